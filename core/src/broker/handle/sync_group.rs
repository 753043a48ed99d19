//! SyncGroup: decided by the group's coordinator ([`crate::coordinator::group::sync`]). From version 5 it says which
//! protocol it is of.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::{Ask, sync};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: SyncGroupRequest, out: &mut Vec<Effect>) {
    let response = SyncGroupResponse::default();
    if asked.version >= 5 && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        return asked.reply(response.with_error_code(ErrorCode::InconsistentGroupProtocol.code()), out);
    }
    let id = body.group_id.clone();
    broker.ask_group(asked.into(), &id, response, |waiter, group| Ask::Sync(sync::Sync { waiter, group, body }), out);
}
