//! InitProducerId with a transactional id: the id's producer gets a new epoch, and whoever had the last one is fenced.
//!
//! A producer that goes on after an error says which id and epoch it has (KIP-360): then it gets the next one only if
//! nobody else came in between, and the same again where its last request was answered and the answer lost.

use std::sync::Arc;

use kafka_protocol::messages::{InitProducerIdResponse, ProducerId};

use super::record::{Stage, Transaction};
use super::{Ask, Order, Transactions, told};
use crate::coordinator::{Around, Decision, Producer, Reply, Waiter};
use crate::error::ErrorCode;

/// The first version that knows PRODUCER_FENCED.
const FIRST_WITH_FENCED: i16 = 4;

#[derive(Clone, Debug)]
pub struct Init {
    pub waiter: Waiter,
    pub id: Arc<str>,
    pub timeout_ms: i32,
    /// What the producer has.
    pub expected: Option<Producer>,
    /// A producer id that nobody has, where one was needed.
    pub fresh: Option<i64>,
}

impl Init {
    /// The answer that there is no id, or not this one's.
    pub fn refuse(self, error: ErrorCode) -> Reply {
        let error = told(error, self.waiter.asked.version, FIRST_WITH_FENCED);
        self.waiter.reply(given(Err(error)))
    }
}

impl Transaction {
    /// No epoch is left for another producer, but the last one, to fence it.
    pub(super) fn is_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }
}

fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Transactions {
    pub(super) fn init(&self, around: &Around<'_>, init: Init) -> Decision<Transactions> {
        if self.is_pending(&init.id) {
            return self.init_refused(init, ErrorCode::ConcurrentTransactions);
        }
        let now = around.now.wall.0;
        let new = init.fresh.map(|producer_id| Transaction {
            producer_id,
            timeout_ms: init.timeout_ms,
            last_update_ms: now,
            ..Transaction::default()
        });
        let Some(current) = self.get(&init.id).cloned().or(new) else {
            return Decision { orders: vec![Order::ProducerId(Ask::Init(init))], ..Decision::default() };
        };
        if let Some(expected) = init.expected
            && !current.may_be_of(expected)
        {
            return self.init_refused(init, ErrorCode::ProducerFenced);
        }
        if current.stage == Stage::Ongoing {
            // The producer asks again, when that has ended.
            let response = init.clone().refuse(ErrorCode::ConcurrentTransactions);
            return match self.abort(around, &init.id, &current, init.fresh, Some(response)) {
                Some(decision) => decision,
                None => Decision { orders: vec![Order::ProducerId(Ask::Init(init))], ..Decision::default() },
            };
        }
        let expected_epoch = init.expected.map(|expected| expected.epoch);
        let rotates = current.is_exhausted() && expected_epoch.is_none_or(|epoch| epoch == current.producer_epoch);
        let next = match (rotates, init.fresh) {
            (true, None) => {
                return Decision { orders: vec![Order::ProducerId(Ask::Init(init))], ..Decision::default() };
            }
            (true, Some(fresh)) => {
                let last = expected_epoch.map_or(-1, |_| current.producer_epoch);
                Ok((fresh, 0, last))
            }
            (false, _) => current.next_epoch(expected_epoch).map(|(epoch, last)| (current.producer_id, epoch, last)),
        };
        let (producer_id, producer_epoch, last_producer_epoch) = match next {
            Ok(next) => next,
            Err(error) => return self.init_refused(init, error),
        };
        let to = Transaction {
            previous_producer_id: current.producer_id,
            producer_id,
            producer_epoch,
            last_producer_epoch,
            timeout_ms: init.timeout_ms,
            stage: Stage::Empty,
            partitions: Default::default(),
            start_ms: -1,
            last_update_ms: now,
            ..current
        };
        let response = InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(producer_epoch);
        self.change(around, &init.id, to, Some(init.waiter.reply(response)))
    }

    fn init_refused(&self, init: Init, error: ErrorCode) -> Decision<Transactions> {
        Decision { replies: vec![init.refuse(error)], ..Decision::default() }
    }
}

impl Transaction {
    /// Whether a producer that goes on may be the one that has the id.
    fn may_be_of(&self, expected: Producer) -> bool {
        // A new id, or the one that it says, or the one before, whose epochs it has used up: it got no answer.
        self.producer_epoch == -1
            || expected.id == self.producer_id
            || expected.id == self.previous_producer_id && is_exhausted(expected.epoch)
    }

    /// The next epoch, and the one before it that the same producer may have.
    fn next_epoch(&self, expected: Option<i16>) -> Result<(i16, i16), ErrorCode> {
        if self.is_exhausted() {
            // Kafka's IllegalStateException.
            return Err(ErrorCode::UnknownServerError);
        }
        let epoch = self.producer_epoch;
        match expected {
            None => Ok((epoch + 1, -1)),
            Some(expected) if epoch == -1 || expected == epoch => Ok((epoch + 1, epoch)),
            Some(expected) if expected == self.last_producer_epoch => Ok((epoch, expected)),
            Some(_) => Err(ErrorCode::ProducerFenced),
        }
    }
}

/// The answer to InitProducerId, whoever gives the id.
pub fn given(id: Result<i64, ErrorCode>) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    match id {
        Ok(id) => response.with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(error) => response.with_error_code(error.code()).with_producer_id(ProducerId(-1)).with_producer_epoch(-1),
    }
}
