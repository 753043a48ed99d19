//! How a transaction ends: EndTxn, a producer that was fenced, a time-out; and the last record of it, when every partition
//! has its marker.
//!
//! Below `transaction.version` 2 a producer's epoch stays what it is, so that a request that comes late cannot be told
//! from the next one. From 2 on it is raised before the markers are written (KIP-890), and the producer is told the new
//! one. Who asks again is known by the epoch before:
//!
//! | | abort again | abort | commit again | commit |
//! | --- | --- | --- | --- | --- |
//! | Ongoing | fenced | it ends | fenced | it ends |
//! | Empty | fenced | a new epoch | fenced | INVALID_TXN_STATE |
//! | CompleteAbort | as before | a new epoch | INVALID_TXN_STATE | INVALID_TXN_STATE |
//! | CompleteCommit | INVALID_TXN_STATE | a new epoch | as before | INVALID_TXN_STATE |

use std::sync::Arc;

use kafka_protocol::messages::{EndTxnResponse, ProducerId};

use super::record::{Stage, Transaction};
use super::{Ask, FIRST_WITH_EPOCH_BUMP, Marks, Move, Next, Order, RETRY, Timer, Transactions, told};
use crate::coordinator::{Alarm, Around, Decision, Producer, Reply, Waiter};
use crate::error::ErrorCode;

/// The first version of EndTxn that knows PRODUCER_FENCED.
const FIRST_WITH_FENCED: i16 = 2;
const NOBODY: Producer = Producer { id: -1, epoch: -1 };

#[derive(Clone, Debug)]
pub struct End {
    pub waiter: Waiter,
    pub id: Arc<str>,
    pub producer: Producer,
    pub commit: bool,
    /// The level of `transaction.version` that the client speaks.
    pub client_version: i8,
    /// A producer id that nobody has, where one was needed.
    pub fresh: Option<i64>,
}

/// A transaction has been open for longer than its producer wanted.
#[derive(Clone, Debug)]
pub struct TimedOut {
    pub id: Arc<str>,
    pub producer: Producer,
    pub fresh: Option<i64>,
}

/// Every partition has its marker.
#[derive(Clone, Debug)]
pub struct Complete {
    pub id: Arc<str>,
    /// Whose markers those were.
    pub producer: Producer,
}

impl End {
    pub fn refuse(self, error: ErrorCode) -> Reply {
        self.answer(Some(error), NOBODY)
    }

    /// From version 5 on with the producer that goes on.
    fn answer(self, error: Option<ErrorCode>, producer: Producer) -> Reply {
        let version = self.waiter.asked.version;
        let code = error.map_or(0, |error| told(error, version, FIRST_WITH_FENCED).code());
        let response = EndTxnResponse::default()
            .with_error_code(code)
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch);
        self.waiter.reply(response)
    }
}

impl Transaction {
    fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.producer_epoch }
    }

    /// What its partitions are to be told.
    pub(super) fn marks(&self, id: &Arc<str>) -> Marks {
        Marks {
            id: id.clone(),
            producer: self.producer(),
            commit: self.stage == Stage::PrepareCommit,
            version: self.client_version,
            partitions: self.partitions.clone(),
        }
    }

    /// It is decided how it ends. `None` where the next transaction needs a producer id, and none is `fresh`.
    fn prepared(
        &self,
        stage: Stage,
        client_version: i8,
        fresh: Option<i64>,
        now: i64,
        is_empty: bool,
    ) -> Option<Transaction> {
        let bumps = client_version >= FIRST_WITH_EPOCH_BUMP;
        if bumps && self.is_exhausted() && fresh.is_none() {
            return None;
        }
        Some(Transaction {
            previous_producer_id: self.producer_id,
            next_producer_id: fresh.filter(|_| bumps && self.is_exhausted()).unwrap_or(-1),
            // At the last one it stays, for the abort to go through.
            producer_epoch: if bumps { self.producer_epoch.saturating_add(1) } else { self.producer_epoch },
            last_producer_epoch: if bumps { self.producer_epoch } else { self.last_producer_epoch },
            stage,
            start_ms: if is_empty { now } else { self.start_ms },
            last_update_ms: now,
            client_version,
            ..self.clone()
        })
    }

    /// What it is when it has ended.
    fn completed(&self, now: i64) -> Transaction {
        let rotates = self.client_version >= FIRST_WITH_EPOCH_BUMP && self.next_producer_id != -1;
        Transaction {
            previous_producer_id: self.producer_id,
            producer_id: if rotates { self.next_producer_id } else { self.producer_id },
            producer_epoch: if rotates { 0 } else { self.producer_epoch },
            next_producer_id: -1,
            stage: match self.stage {
                Stage::PrepareCommit => Stage::CompleteCommit,
                _ => Stage::CompleteAbort,
            },
            partitions: Default::default(),
            last_update_ms: now,
            ..self.clone()
        }
    }
}

/// What an EndTxn comes to.
enum Ending {
    /// It has been answered before.
    Already,
    Refused(ErrorCode),
    /// The transaction ends so.
    To {
        stage: Stage,
        is_empty: bool,
    },
}

impl Transactions {
    pub(super) fn end(&self, around: &Around<'_>, end: End) -> Decision<Transactions> {
        let at_once = |reply| Decision { replies: vec![reply], ..Decision::default() };
        let Some(current) = self.get(&end.id) else {
            return at_once(end.refuse(ErrorCode::InvalidProducerIdMapping));
        };
        let bumps = end.client_version >= FIRST_WITH_EPOCH_BUMP;
        let pending = self.is_pending(&end.id);
        let ending = if bumps { current.ends_with_bump(&end, pending) } else { current.ends(&end, pending) };
        let (stage, is_empty) = match ending {
            Ending::Refused(error) => return at_once(end.refuse(error)),
            Ending::Already => {
                let producer = if bumps { current.producer() } else { NOBODY };
                return Decision { response: Some(end.answer(None, producer)), ..Decision::default() };
            }
            Ending::To { stage, is_empty } => (stage, is_empty),
        };
        let now = around.now.wall.0;
        let Some(to) = current.prepared(stage, end.client_version, end.fresh, now, is_empty) else {
            return Decision { orders: vec![Order::ProducerId(Ask::End(end))], ..Decision::default() };
        };
        let next = if bumps { to.completed(now).producer() } else { NOBODY };
        let id = end.id.clone();
        self.change(around, &id, to, Some(end.answer(None, next)))
    }

    /// An open transaction is aborted, and its producer fenced. `None` where the next one needs a producer id, and none is
    /// `fresh`.
    pub(super) fn abort(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        current: &Transaction,
        fresh: Option<i64>,
        response: Option<Reply>,
    ) -> Option<Decision<Transactions>> {
        let now = around.now.wall.0;
        let to = if around.settings.transactions.version >= FIRST_WITH_EPOCH_BUMP {
            current.prepared(Stage::PrepareAbort, around.settings.transactions.version, fresh, now, false)?
        } else {
            let fenced = Transaction {
                producer_epoch: current.producer_epoch.saturating_add(1),
                last_producer_epoch: -1,
                ..current.clone()
            };
            fenced.prepared(Stage::PrepareAbort, 0, None, now, false)?
        };
        Some(self.change(around, id, to, response))
    }

    /// Looks for transactions that are open for too long.
    pub(super) fn time_outs(&self, around: &Around<'_>) -> Decision<Transactions> {
        let now = around.now.wall.0;
        let late = self.state.ids.iter().filter(|(id, one)| {
            one.stage == Stage::Ongoing
                // Kafka's mark of two-phase commits, which do not time out.
                && one.timeout_ms != i32::MAX
                && one.start_ms.saturating_add(one.timeout_ms.into()) < now
                && !self.is_pending(id)
        });
        let orders = late.map(|(id, one)| {
            Order::Ask(Ask::TimedOut(TimedOut { id: id.clone(), producer: one.producer(), fresh: None }))
        });
        let again = Alarm::In(around.settings.transactions.abort_timed_out_interval);
        Decision { orders: orders.collect(), timers: vec![(Timer::TimeOuts, again)], ..Decision::default() }
    }

    pub(super) fn timed_out(&self, around: &Around<'_>, timed_out: TimedOut) -> Decision<Transactions> {
        let TimedOut { id, producer, fresh } = &timed_out;
        let open = self.get(id).filter(|one| one.stage == Stage::Ongoing && one.producer() == *producer);
        let Some(current) = open.filter(|_| !self.is_pending(id)) else { return Decision::default() };
        self.abort(around, id, current, *fresh, None).unwrap_or_else(|| Decision {
            orders: vec![Order::ProducerId(Ask::TimedOut(timed_out.clone()))],
            ..Decision::default()
        })
    }

    /// Every partition has its marker.
    pub(super) fn complete(&self, around: &Around<'_>, complete: &Complete) -> Decision<Transactions> {
        let Complete { id, producer } = complete;
        match self.get(id).filter(|one| one.stage.is_ending() && one.producer() == *producer) {
            Some(current) if !self.pending.contains(id) => self.complete_now(around, id, current),
            _ => Decision::default(),
        }
    }

    pub(super) fn complete_again(&self, around: &Around<'_>, id: &Arc<str>) -> Decision<Transactions> {
        match self.get(id).filter(|one| one.stage.is_ending()) {
            Some(current) => self.complete_now(around, id, current),
            None => Decision::default(),
        }
    }

    fn complete_now(&self, around: &Around<'_>, id: &Arc<str>, current: &Transaction) -> Decision<Transactions> {
        let change = self.change(around, id, current.completed(around.now.wall.0), None);
        Decision { next: Some(Next::Ended(id.clone())), ..change }
    }

    /// It is known what became of a transaction's last record.
    pub(super) fn ended(&self, id: Arc<str>, result: Result<(), ErrorCode>) -> Decision<Transactions> {
        let is_refused = self.get(&id).is_some_and(|one| one.stage.is_ending());
        match result {
            Ok(()) => Decision { moves: vec![Move::Settled(id)], ..Decision::default() },
            Err(_) if is_refused => {
                Decision { timers: vec![(Timer::Complete(id), Alarm::In(RETRY))], ..Decision::default() }
            }
            // It is in the log, and not all replicas that should have it have it yet.
            Err(_) => Decision { next: Some(Next::Ended(id)), ..Decision::default() },
        }
    }
}

impl Transaction {
    /// Below `transaction.version` 2.
    fn ends(&self, end: &End, is_pending: bool) -> Ending {
        if self.producer_id != end.producer.id {
            return Ending::Refused(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != end.producer.epoch {
            return Ending::Refused(ErrorCode::ProducerFenced);
        }
        if is_pending {
            return Ending::Refused(ErrorCode::ConcurrentTransactions);
        }
        match (self.stage, end.commit) {
            (Stage::Ongoing, true) => Ending::To { stage: Stage::PrepareCommit, is_empty: false },
            (Stage::Ongoing, false) => Ending::To { stage: Stage::PrepareAbort, is_empty: false },
            (Stage::CompleteCommit, true) | (Stage::CompleteAbort, false) => Ending::Already,
            _ => Ending::Refused(ErrorCode::InvalidTxnState),
        }
    }

    /// From `transaction.version` 2 on.
    fn ends_with_bump(&self, end: &End, is_pending: bool) -> Ending {
        let Producer { id, epoch } = end.producer;
        // Before anything else: the producer may have its next id already.
        if is_pending {
            return Ending::Refused(ErrorCode::ConcurrentTransactions);
        }
        let overflowed = self.previous_producer_id == id && epoch == i16::MAX - 1 && self.producer_epoch == 0;
        let bumped = i32::from(self.producer_epoch) == i32::from(epoch) + 1;
        let is_current = self.producer_epoch == epoch;
        if self.producer_id != id && !overflowed {
            return Ending::Refused(ErrorCode::InvalidProducerIdMapping);
        }
        let is_valid = match self.stage {
            Stage::CompleteCommit | Stage::CompleteAbort => bumped || overflowed || is_current,
            _ => is_current,
        };
        if !is_valid {
            return Ending::Refused(ErrorCode::ProducerFenced);
        }
        let again = bumped || overflowed;
        let abort_nothing = Ending::To { stage: Stage::PrepareAbort, is_empty: true };
        match (self.stage, end.commit) {
            (Stage::Ongoing, true) => Ending::To { stage: Stage::PrepareCommit, is_empty: false },
            (Stage::Ongoing, false) => Ending::To { stage: Stage::PrepareAbort, is_empty: false },
            (Stage::CompleteCommit, true) | (Stage::CompleteAbort, false) if again => Ending::Already,
            (Stage::CompleteCommit | Stage::CompleteAbort, false) if !again => abort_nothing,
            (Stage::Empty, false) => abort_nothing,
            _ => Ending::Refused(ErrorCode::InvalidTxnState),
        }
    }
}
