//! InitProducerId: an id for an idempotent producer, new each time. Transactions are not served: a request that names
//! one is UNSUPPORTED_VERSION.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: InitProducerIdRequest, out: &mut Vec<Effect>) {
    let has_id = body.producer_id.0 != -1;
    let has_epoch = body.producer_epoch != -1;
    let refused = match body.transactional_id.as_deref().map(|id| id.is_empty()) {
        Some(true) => Some(ErrorCode::InvalidRequest),
        Some(false) => Some(ErrorCode::UnsupportedVersion),
        None if has_id != has_epoch => Some(ErrorCode::InvalidRequest),
        None => None,
    };
    let response = match refused {
        Some(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
        None => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(broker.producer_ids.next(out)))
            .with_producer_epoch(0),
    };
    asked.reply(response, out);
}
