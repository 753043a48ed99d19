//! The transaction coordinator: which producer a transactional id has, which partitions are in its transaction, and how
//! that ends. The cases and their answers are those of Kafka's `TransactionCoordinator`.
//!
//! ```text
//! init.rs        InitProducerId: a new epoch, which fences whoever had the id; an open transaction is aborted first
//! partitions.rs  AddPartitionsToTxn, AddOffsetsToTxn: the transaction has begun; or only whether they are in it
//! end.rs         EndTxn, time-outs: how it ends is decided ─[committed]─▶ Order::Mark ─[all partitions have their
//!                markers: Ask::Complete]─▶ it has ended
//! expire.rs      ids that have not been used for long
//! describe.rs    what is told of them
//! record.rs      all that in `__transaction_state`
//! ```
//!
//! 1. One change of an id is decided at a time: until it is committed, whoever asks is told CONCURRENT_TRANSACTIONS.
//! 2. Markers are written only when it is committed how the transaction ends, so that any coordinator that comes later
//!    decides the same.
//! 3. No epoch is ever given to two producers, and none above the one before `i16::MAX`, so that it can be fenced: then
//!    the id gets another producer id.

pub mod describe;
pub mod end;
pub mod expire;
pub mod init;
pub mod partitions;
pub mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::{Alarm, Around, At, Decision, Event, Machine, Producer, Reply};
use crate::config::BrokerSettings;
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::record::Compression;
use crate::shared_map::SharedMap;
use crate::time::Duration;
use crate::vec_set::VecSet;

use end::{Complete, End, TimedOut};
use init::Init;
use partitions::Add;
use record::{Record, Transaction};

/// From this level of `transaction.version` on every transaction has an epoch of its own (KIP-890).
pub const FIRST_WITH_EPOCH_BUMP: i8 = 2;

/// The transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    state: State,
    /// (1)
    pending: VecSet<Arc<str>>,
}

/// What the log says.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub ids: SharedMap<Arc<str>, Arc<Transaction>>,
}

/// What the coordinator of a transactional id can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Init(Init),
    Add(Add),
    End(End),
    TimedOut(TimedOut),
    Complete(Complete),
}

#[derive(Clone, Debug)]
pub enum Next {
    /// These ids are as they were decided to be, or not.
    Changed(Vec<Arc<str>>),
    /// All its partitions have their markers, and this one is the last record of the transaction, or it is not written.
    Ended(Arc<str>),
    /// Whatever was found in the log is committed.
    Loaded,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    TimeOuts,
    Expiration,
    /// The last record of that transaction could not be written.
    Complete(Arc<str>),
}

#[derive(Clone, Debug)]
pub enum Move {
    Pending(Arc<str>),
    Settled(Arc<str>),
}

#[derive(Clone, Debug)]
pub enum Order {
    /// The same again, with a producer id that nobody has.
    ProducerId(Ask),
    Ask(Ask),
    Mark(Marks),
}

/// How a transaction ends, for its partitions to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    pub id: Arc<str>,
    pub producer: Producer,
    pub commit: bool,
    /// The level of `transaction.version` that it was under.
    pub version: i8,
    pub partitions: VecSet<TopicPartition>,
}

/// How long to wait before a record is written again that could not be.
const RETRY: Duration = Duration::from_millis(100);

impl Machine for Transactions {
    type State = State;
    type Record = Record;
    type Ask = Ask;
    type Next = Next;
    type Timer = Timer;
    type Move = Move;
    type Order = Order;

    fn state(&self) -> &State {
        &self.state
    }

    /// The table of contents.
    fn decide(&self, around: &Around<'_>, event: Event<Transactions>) -> Decision<Transactions> {
        match event {
            Event::Asked(Ask::Init(init)) => self.init(around, init),
            Event::Asked(Ask::Add(add)) => self.add(around, add),
            Event::Asked(Ask::End(end)) => self.end(around, end),
            Event::Asked(Ask::TimedOut(timed_out)) => self.timed_out(around, timed_out),
            Event::Asked(Ask::Complete(complete)) => self.complete(around, &complete),
            Event::Loaded => {
                let intervals = &around.settings.transactions;
                let timers = vec![
                    (Timer::TimeOuts, Alarm::In(intervals.abort_timed_out_interval)),
                    (Timer::Expiration, Alarm::In(intervals.remove_expired_interval)),
                ];
                Decision { timers, next: Some(Next::Loaded), ..Decision::default() }
            }
            Event::Written { next: Next::Loaded, result } => self.finish_what_was_found(result),
            Event::Written { next: Next::Changed(ids), result } => self.changed(ids, result),
            Event::Written { next: Next::Ended(id), result } => self.ended(id, result),
            Event::Timer(Timer::TimeOuts) => self.time_outs(around),
            Event::Timer(Timer::Expiration) => self.expire(around),
            Event::Timer(Timer::Complete(id)) => self.complete_again(around, &id),
            Event::Cluster { .. } | Event::Unloading => Decision::default(),
        }
    }

    fn replay(&mut self, record: &Record, _at: At) {
        match &record.value {
            Some(transaction) => drop(self.state.ids.insert(record.id.clone(), transaction.clone())),
            None => drop(self.state.ids.remove(&*record.id)),
        }
    }

    fn end_transaction(&mut self, _producer: Producer, _committed: bool) {
        // Nobody writes here as part of a transaction.
    }

    fn apply(&mut self, change: Move) {
        match change {
            Move::Pending(id) => drop(self.pending.insert(id)),
            Move::Settled(id) => drop(self.pending.remove(&id)),
        }
    }

    fn encode(record: &Record) -> (Bytes, Option<Bytes>) {
        record.encode()
    }

    fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        Record::decode(key, value)
    }

    fn write_timeout(settings: &BrokerSettings) -> Duration {
        settings.request_timeout
    }

    fn compression(_settings: &BrokerSettings) -> Compression {
        Compression::None
    }
}

impl Ask {
    /// With a producer id that nobody has.
    pub fn with_producer_id(self, id: i64) -> Ask {
        let fresh = Some(id);
        match self {
            Ask::Init(init) => Ask::Init(Init { fresh, ..init }),
            Ask::End(end) => Ask::End(End { fresh, ..end }),
            Ask::TimedOut(timed_out) => Ask::TimedOut(TimedOut { fresh, ..timed_out }),
            other => other,
        }
    }

    /// Whoever asked is told why nothing comes of it.
    pub fn refuse(self, error: ErrorCode) -> Option<Reply> {
        match self {
            Ask::Init(init) => Some(init.refuse(error)),
            Ask::Add(add) => Some(add.refuse(error)),
            Ask::End(end) => Some(end.refuse(error)),
            Ask::TimedOut(_) | Ask::Complete(_) => None,
        }
    }
}

impl Transactions {
    fn get(&self, id: &str) -> Option<&Transaction> {
        self.state.ids.get(id).map(|transaction| &**transaction)
    }

    /// (1) How a transaction ends is one change, from the decision to the last marker.
    fn is_pending(&self, id: &str) -> bool {
        self.pending.contains(id) || self.get(id).is_some_and(|transaction| transaction.stage.is_ending())
    }

    /// The id becomes that; `response` says so.
    fn change(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        to: Transaction,
        response: Option<Reply>,
    ) -> Decision<Transactions> {
        let version = i16::from(around.settings.transactions.version >= 1);
        Decision {
            moves: vec![Move::Pending(id.clone())],
            records: vec![Record { id: id.clone(), value: Some(Arc::new(to)), version }],
            response,
            next: Some(Next::Changed(vec![id.clone()])),
            ..Decision::default()
        }
    }

    /// It is known what became of a change.
    fn changed(&self, ids: Vec<Arc<str>>, result: Result<(), ErrorCode>) -> Decision<Transactions> {
        let mut decision = Decision::default();
        let mut waits = Vec::new();
        for id in ids {
            let ending = self.get(&id).filter(|transaction| transaction.stage.is_ending());
            match (ending, result) {
                // (2)
                (Some(transaction), Ok(())) => decision.orders.push(Order::Mark(transaction.marks(&id))),
                // It is in the log, and not all replicas that should have it have it yet.
                (Some(_), Err(_)) => {
                    waits.push(id);
                    continue;
                }
                (None, _) => {}
            }
            decision.moves.push(Move::Settled(id));
        }
        decision.next = (!waits.is_empty()).then_some(Next::Changed(waits));
        decision
    }

    /// An earlier coordinator has decided how these end, and may not have told all their partitions.
    fn finish_what_was_found(&self, result: Result<(), ErrorCode>) -> Decision<Transactions> {
        if result.is_err() {
            return Decision { next: Some(Next::Loaded), ..Decision::default() };
        }
        let ending = self.state.ids.iter().filter(|(_, transaction)| transaction.stage.is_ending());
        let orders = ending.map(|(id, transaction)| Order::Mark(transaction.marks(id))).collect();
        Decision { orders, ..Decision::default() }
    }
}

/// Before they knew PRODUCER_FENCED, producers were told INVALID_PRODUCER_EPOCH.
fn told(error: ErrorCode, version: i16, first_that_knows: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if version < first_that_knows => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
