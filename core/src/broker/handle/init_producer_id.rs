//! InitProducerId: an id for an idempotent producer, new each time. Transactions are not served: a request that names
//! one is UNSUPPORTED_VERSION.

use kafka_protocol::messages::InitProducerIdRequest;

use super::Asked;
use crate::broker::producer_id::given;
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
    match refused {
        Some(error) => asked.reply(given(Err(error)), out),
        None => broker.give_producer_id(asked, out),
    }
}
