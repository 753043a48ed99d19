//! InitProducerId: an id for an idempotent producer, new each time; with a transactional id that id's, in a new epoch, which
//! its coordinator decides ([`crate::coordinator::transaction::init`]).

use kafka_protocol::messages::InitProducerIdRequest;

use super::Asked;
use crate::broker::producer_id::Wanted;
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::coordinator::transaction::Ask;
use crate::coordinator::transaction::init::Init;
use crate::coordinator::transaction::init::given;
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: InitProducerIdRequest, out: &mut Vec<Effect>) {
    let expected = match (body.producer_id.0, body.producer_epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(ErrorCode::InvalidRequest),
        (id, epoch) => Ok(Some(Producer { id, epoch })),
    };
    let max = broker.settings.transactions.max_timeout_ms;
    let checked = expected.and_then(|expected| match &body.transactional_id {
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(_) if !(1..=max).contains(&body.transaction_timeout_ms) => Err(ErrorCode::InvalidTransactionTimeout),
        _ => Ok(expected),
    });
    match (checked, body.transactional_id) {
        (Err(error), _) => asked.reply(given(Err(error)), out),
        (Ok(_), None) => broker.find_producer_id(Wanted::Producer(asked), out),
        (Ok(expected), Some(id)) => {
            let timeout_ms = body.transaction_timeout_ms;
            let init = Init { waiter: asked.into(), id: id.as_str().into(), timeout_ms, expected, fresh: None };
            broker.ask_transaction(&id, Ask::Init(init), out);
        }
    }
}
