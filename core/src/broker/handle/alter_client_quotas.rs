//! AlterClientQuotas (KIP-546): decided by the controller ([`crate::controller::quota`]); any broker takes it and passes it
//! on.

use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AlterClientQuotasRequest, out: &mut Vec<Effect>) {
    let entities: Vec<_> = body.entries.iter().map(|entry| entry.entity.clone()).collect();
    let unreachable = || {
        let entries = entities.into_iter().map(|entity| {
            let part = |part: kafka_protocol::messages::alter_client_quotas_request::EntityData| {
                EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name)
            };
            EntryData::default()
                .with_error_code(NOT_CONTROLLER)
                .with_error_message(None)
                .with_entity(entity.into_iter().map(part).collect())
        });
        AlterClientQuotasResponse::default().with_entries(entries.collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
