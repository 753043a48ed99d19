//! What an idempotent or transactional producer knows of itself and its transaction: Kafka's `TransactionManager`.
//!
//! ```text
//! UNINITIALIZED → INITIALIZING [init_transactions, or the first record of an idempotent producer] → READY
//! READY → IN_TRANSACTION [begin] → COMMITTING_TRANSACTION [commit] ─┐
//!            │                   → ABORTING_TRANSACTION [abort]  ───┴→ READY, or INITIALIZING where the epoch must rise
//!            └→ ABORTABLE_ERROR [a record failed] → ABORTING_TRANSACTION
//! any → FATAL_ERROR [fenced]
//! ```
//!
//! 1. At most one of its requests is on its way, and while it is no batch is sent.
//! 2. A batch goes only to partitions of the transaction; nothing ends it before every batch has its end.
//! 3. After a fatal error nothing is sent any more.
//!
//! `requests.rs` what is asked of coordinators, and their answers | `batches.rs` batches with their sequences

mod batches;
mod requests;

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

pub use self::batches::{Batches, Bump, Refusal};
pub use self::requests::Asked;
use self::requests::Queued;
use super::accumulator::QueueId;
use super::sequences::{ProducerIdAndEpoch, Sequences};
use super::settings::Settings;
use crate::client::Offsets;
use crate::client::connection::LinkId;
use crate::client::exception::{Exception, is_retriable};
use crate::error::ErrorCode;
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    AbortableError,
    FatalError,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Uninitialized => "UNINITIALIZED",
            State::Initializing => "INITIALIZING",
            State::Ready => "READY",
            State::InTransaction => "IN_TRANSACTION",
            State::Committing => "COMMITTING_TRANSACTION",
            State::Aborting => "ABORTING_TRANSACTION",
            State::AbortableError => "ABORTABLE_ERROR",
            State::FatalError => "FATAL_ERROR",
        }
    }

    /// `State.isTransitionValid`.
    fn follows(self, before: State) -> bool {
        use State::*;
        match self {
            Uninitialized => matches!(before, Ready | AbortableError),
            Initializing => matches!(before, Uninitialized | Committing | Aborting),
            Ready => matches!(before, Initializing | Committing | Aborting),
            InTransaction => before == Ready,
            Committing => before == InTransaction,
            Aborting => matches!(before, InTransaction | AbortableError),
            AbortableError => matches!(before, InTransaction | Committing | AbortableError | Initializing),
            FatalError => true,
        }
    }
}

/// A call that waits for coordinators.
#[derive(Clone, Debug)]
struct Pending {
    operation: &'static str,
    /// The request with which it is over.
    awaits: Awaits,
    outcome: Option<Result<(), Exception>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    ProducerId,
    End,
    Offsets,
}

#[derive(Clone, Debug)]
pub struct TransactionManager {
    pub transactional_id: Option<StrBytes>,
    timeout_ms: i32,
    state: State,
    last_error: Option<Exception>,
    producer: ProducerIdAndEpoch,
    partitions: VecMap<QueueId, Sequences>,
    /// Their sequences begin anew when the epoch rises.
    to_rewrite: VecSet<QueueId>,
    epoch_bump_required: bool,
    /// Partitions of the transaction: not told of, told of and not answered, and those that the coordinator knows.
    new: VecSet<QueueId>,
    adding: VecSet<QueueId>,
    added: VecSet<QueueId>,
    /// The coordinator knows of the transaction.
    started: bool,
    pending: Option<Pending>,
    /// In the order in which they came.
    queue: Vec<Queued>,
    /// (1)
    in_flight: Option<Queued>,
    /// The back-off of the next request.
    not_before: Instant,
    coordinator: Option<LinkId>,
    group_coordinator: Option<LinkId>,
    bumps_epochs: bool,
    /// `transaction.version` is 2 or more, as it was when the producer got its id.
    is_v2: bool,
}

impl TransactionManager {
    /// `None` where neither idempotence nor transactions are wanted.
    pub fn new(settings: &Settings) -> Option<TransactionManager> {
        settings.idempotence.then(|| TransactionManager {
            transactional_id: settings.transactional_id.clone(),
            timeout_ms: settings.transaction_timeout.as_millis() as i32,
            state: State::Uninitialized,
            last_error: None,
            producer: ProducerIdAndEpoch::NONE,
            partitions: VecMap::new(),
            to_rewrite: VecSet::new(),
            epoch_bump_required: false,
            new: VecSet::new(),
            adding: VecSet::new(),
            added: VecSet::new(),
            started: false,
            pending: None,
            queue: Vec::new(),
            in_flight: None,
            not_before: Instant::ZERO,
            coordinator: None,
            group_coordinator: None,
            bumps_epochs: false,
            is_v2: false,
        })
    }

    pub fn producer(&self) -> ProducerIdAndEpoch {
        self.producer
    }

    pub fn state(&self) -> &'static str {
        self.state.name()
    }

    pub fn last_error(&self) -> Option<&Exception> {
        self.last_error.as_ref()
    }

    pub fn is_transactional(&self) -> bool {
        self.transactional_id.is_some()
    }

    pub fn has_fatal_error(&self) -> bool {
        self.state == State::FatalError
    }

    pub fn has_abortable_error(&self) -> bool {
        self.state == State::AbortableError
    }

    pub fn is_aborting(&self) -> bool {
        self.state == State::Aborting
    }

    /// Nobody will make the call again that timed out.
    pub fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// Batches must not linger: their transaction is to end.
    pub fn is_completing(&self) -> bool {
        matches!(self.state, State::Committing | State::Aborting)
    }

    /// `hasOngoingTransaction`.
    pub fn has_ongoing_transaction(&self) -> bool {
        matches!(self.state, State::InTransaction | State::Committing | State::Aborting | State::AbortableError)
    }

    /// Whether partitions are added to transactions by the producer.
    pub fn is_before_kip_890(&self) -> bool {
        self.is_transactional() && !self.is_v2
    }

    /// Partitions of the open transaction that the coordinator knows.
    pub fn added(&self) -> impl Iterator<Item = QueueId> {
        self.added.iter().copied()
    }

    /// For the page; `name` is that of a partition.
    pub fn facts(&self, name: impl Fn(QueueId) -> String) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let mut facts = vec![
            fact("producer id", self.producer.id.to_string()),
            fact("producer epoch", self.producer.epoch.to_string()),
        ];
        if let Some(id) = &self.transactional_id {
            facts.push(fact("transactional.id", id.to_string()));
            facts.push(fact("state", self.state.name().to_owned()));
            facts.extend(self.last_error.as_ref().map(|error| fact("last error", error.to_string())));
            let partitions: Vec<String> = self.added.iter().map(|id| name(*id)).collect();
            facts.push(fact("partitions in the transaction", partitions.join(", ")));
        }
        facts.extend(self.partitions.iter().map(|(id, known)| {
            let acked = if known.last_acked < 0 { "none".to_owned() } else { known.last_acked.to_string() };
            fact(&name(*id), format!("next sequence {}, last acknowledged {acked}", known.next))
        }));
        facts
    }

    /// Whether a call that waits has its outcome.
    pub fn is_settled(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.outcome.is_some())
    }

    /// initTransactions()
    pub fn init_transactions(&mut self) -> Option<Result<(), Exception>> {
        self.waits("initTransactions", Awaits::ProducerId, |it| {
            it.transition(State::Initializing)?;
            it.enqueue(Asked::InitProducerId { bump: false });
            Ok(())
        })
    }

    /// beginTransaction()
    pub fn begin(&mut self) -> Result<(), Exception> {
        self.ensure_transactional()?;
        self.ensure_nothing_pends("beginTransaction")?;
        self.ensure_no_error()?;
        self.transition(State::InTransaction)
    }

    /// commitTransaction()
    pub fn commit(&mut self) -> Option<Result<(), Exception>> {
        self.waits("commitTransaction", Awaits::End, |it| {
            it.ensure_no_error()?;
            it.transition(State::Committing)?;
            it.complete(true);
            Ok(())
        })
    }

    /// abortTransaction()
    pub fn abort(&mut self) -> Option<Result<(), Exception>> {
        self.waits("abortTransaction", Awaits::End, |it| {
            if it.state != State::AbortableError {
                it.ensure_no_error()?;
            }
            it.transition(State::Aborting)?;
            // Nothing more need be added to what is given up.
            it.new.clear();
            it.complete(false);
            Ok(())
        })
    }

    /// sendOffsetsToTransaction()
    pub fn send_offsets(&mut self, offsets: &Arc<Offsets>) -> Option<Result<(), Exception>> {
        self.waits("sendOffsetsToTransaction", Awaits::Offsets, |it| {
            it.ensure_no_error()?;
            if it.state != State::InTransaction {
                let state = it.state.name();
                return Err(Exception::illegal_state(format!(
                    "Cannot send offsets if a transaction is not in progress (currentState= {state})"
                )));
            }
            let asked = match it.is_v2 {
                // The coordinator of the group tells that of the transaction.
                true => {
                    it.started = true;
                    Asked::CommitOffsets(offsets.clone())
                }
                false => Asked::AddOffsets(offsets.clone()),
            };
            it.enqueue(asked);
            Ok(())
        })
    }

    /// send() to that partition: it becomes part of the transaction.
    pub fn add_partition(&mut self, id: QueueId, name: &dyn std::fmt::Display) -> Result<(), Exception> {
        self.ensure_no_error()?;
        self.ensure_nothing_pends("send")?;
        if !self.is_transactional() {
            return Ok(());
        }
        if !self.producer.is_valid() {
            return Err(Exception::illegal_state(format!(
                "Cannot add partition {name} to transaction before completing a call to initTransactions"
            )));
        }
        if self.state != State::InTransaction {
            let state = self.state.name();
            return Err(Exception::illegal_state(format!(
                "Cannot add partition {name} to transaction while in state  {state}"
            )));
        }
        if self.is_v2 {
            // The leader tells the coordinator (KIP-890).
            self.added.insert(id);
            self.started = true;
        } else if !self.added.contains(&id) && !self.adding.contains(&id) {
            self.new.insert(id);
        }
        Ok(())
    }

    /// An error that the application must take note of: the transaction can only be aborted, or nothing can.
    pub fn maybe_transition_to_error(&mut self, exception: &Exception) {
        use ErrorCode::{InvalidProducerIdMapping, InvalidTxnState, ProducerFenced, UnsupportedVersion};
        if [ProducerFenced, UnsupportedVersion, InvalidProducerIdMapping].into_iter().any(|code| exception.is(code)) {
            self.fatal(exception.clone());
        } else if self.is_transactional() {
            // Tried to the end: the transaction cannot be whole any more.
            let exhausted = exception.class == "TimeoutException"
                || exception.code.is_some_and(|code| is_retriable(code) || code == InvalidTxnState);
            let exception = &match exhausted {
                true => Exception::new(
                    "TransactionAbortableException",
                    "Transaction Request was aborted after exhausting retries.",
                )
                .caused_by(exception),
                false => exception.clone(),
            };
            if self.bumps_epoch_itself() && !self.is_completing() {
                self.epoch_bump_required = true;
            }
            self.abortable(exception.clone());
        }
    }

    fn complete(&mut self, commit: bool) {
        if !self.new.is_empty() {
            self.enqueue(Asked::AddPartitions);
        }
        self.enqueue(Asked::EndTxn { commit });
        if self.epoch_bump_required {
            self.enqueue(Asked::InitProducerId { bump: true });
            self.await_instead(Awaits::ProducerId);
        }
    }

    /// The transaction is over.
    fn completed(&mut self) {
        let next = if self.epoch_bump_required { State::Initializing } else { State::Ready };
        (self.state, self.last_error) = (next, None);
        self.epoch_bump_required = false;
        self.started = false;
        self.new.clear();
        self.adding.clear();
        self.added.clear();
    }

    /// Begins a call, or goes on waiting for the one that is pending; `None` while it waits.
    fn waits(
        &mut self,
        operation: &'static str,
        awaits: Awaits,
        begin: impl FnOnce(&mut Self) -> Result<(), Exception>,
    ) -> Option<Result<(), Exception>> {
        if let Err(error) = self.ensure_transactional() {
            return Some(Err(error));
        }
        match &self.pending {
            Some(pending) if pending.operation != operation => {
                return Some(self.ensure_nothing_pends(operation));
            }
            Some(_) => {}
            None => {
                self.pending = Some(Pending { operation, awaits, outcome: None });
                if let Err(error) = begin(self) {
                    self.pending = None;
                    return Some(Err(error));
                }
            }
        }
        let outcome = self.pending.as_ref().and_then(|pending| pending.outcome.clone())?;
        self.pending = None;
        Some(outcome)
    }

    fn await_instead(&mut self, awaits: Awaits) {
        if let Some(pending) = &mut self.pending {
            pending.awaits = awaits;
        }
    }

    /// A request is over; so is the call that waits for it.
    fn settle(&mut self, awaits: Awaits, outcome: Result<(), Exception>) {
        if let Some(pending) = &mut self.pending
            && (pending.awaits == awaits || outcome.is_err())
            && pending.outcome.is_none()
        {
            pending.outcome = Some(outcome);
        }
    }

    fn transition(&mut self, target: State) -> Result<(), Exception> {
        if !target.follows(self.state) {
            let id = self.transactional_id.as_ref().map_or(String::new(), |id| format!("TransactionalId {id}: "));
            let (from, to) = (self.state.name(), target.name());
            let message = format!("{id}Invalid transition attempted from state {from} to state {to}");
            return Err(Exception::illegal_state(message));
        }
        (self.state, self.last_error) = (target, None);
        Ok(())
    }

    fn abortable(&mut self, exception: Exception) {
        if self.state != State::Aborting && State::AbortableError.follows(self.state) {
            (self.state, self.last_error) = (State::AbortableError, Some(exception));
        }
    }

    fn fatal(&mut self, exception: Exception) {
        self.queue.clear();
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.outcome.is_none()) {
            pending.outcome = Some(Err(exception.clone()));
        }
        (self.state, self.last_error) = (State::FatalError, Some(exception));
    }

    /// Whether this producer has to raise its epoch itself: after KIP-890 ending a transaction does it.
    fn bumps_epoch_itself(&self) -> bool {
        self.bumps_epochs && !self.is_v2
    }

    fn ensure_transactional(&self) -> Result<(), Exception> {
        match self.is_transactional() {
            true => Ok(()),
            false => Err(Exception::illegal_state("Transactional method invoked on a non-transactional producer.")),
        }
    }

    /// A call that timed out pends until it is made again, even where its outcome has come.
    fn ensure_nothing_pends(&self, operation: &str) -> Result<(), Exception> {
        let Some(pending) = &self.pending else { return Ok(()) };
        Err(Exception::illegal_state(format!(
            "Cannot attempt operation `{operation}` because the previous call to `{}` timed out and must be retried",
            pending.operation
        )))
    }

    /// `maybeFailWithError`.
    fn ensure_no_error(&self) -> Result<(), Exception> {
        let Some(error) = self.last_error.as_ref().filter(|_| self.has_fatal_error() || self.has_abortable_error())
        else {
            return Ok(());
        };
        let id = self.transactional_id.as_deref().unwrap_or("null");
        let who = format!("Producer with transactionalId '{id}' and {}", self.producer);
        Err(if error.is(ErrorCode::ProducerFenced) {
            let message = format!("{who} has been fenced by another producer with the same transactionalId");
            Exception { code: error.code, ..Exception::new("ProducerFencedException", message) }
        } else if error.is(ErrorCode::InvalidProducerEpoch) {
            let message = format!("{who} attempted to produce with an old epoch");
            Exception { code: error.code, ..Exception::new("InvalidProducerEpochException", message) }
        } else {
            let message = "Cannot execute transactional method because we are in an error state";
            Exception::kafka(message).caused_by(error)
        })
    }
}
