//! A producer, in the stages that Kafka's documentation draws, each a thing of its own:
//!
//! ```text
//! application ─send()→ serializer → partitioner → accumulator (a queue of batches a partition) → sender → brokers
//!      ↑ blocks while metadata or memory is missing                                                │
//!      └────────────────── acknowledged, or failed ────────────────────────────────────────────────┘
//! ```
//!
//! `application.rs` who calls send() | `serializer.rs` records as bytes | `partitioner.rs` which partition |
//! `accumulator.rs` batches that fill and linger | `sender.rs` requests, answers, retries | `settings.rs` Kafka's names |
//! `transaction/` who it is and its transactions, `sequences.rs` what its batches are numbered with | `closing.rs` close() |
//! `program.rs` a program's threads in the application's place | `facts.rs`, `stages.rs` what the page shows of all that
//!
//! 1. A record that was handed over ends in exactly one of: acknowledged, or failed.
//! 2. Records of a producer are numbered from 0 in the order of their send() calls.

pub mod accumulator;
pub mod application;
mod closing;
mod facts;
pub mod partitioner;
mod program;
pub mod sender;
pub mod sequences;
pub mod serializer;
pub mod settings;
mod stages;
#[cfg(test)]
mod tests;
pub mod transaction;

use std::ops::Range;
use std::sync::Arc;

use kafka_protocol::messages::{ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use self::accumulator::{Accumulator, Exhausted, QueueId};
use self::application::{Application, Made, Method, MethodCall};
use self::closing::Life;
use self::sender::{Around, Sender};
use self::serializer::Serializer;
pub use self::settings::Settings;
use self::transaction::TransactionManager;
use super::connection::{Answer, Network};
use super::exception::Exception;
use super::metadata::Metadata;
use super::setting;
use super::{Command, Effect, Endpoint, Event, Report, TransactionStage, Turn};
use crate::error::ErrorCode;
use crate::node::Node;
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Instant, Now, sooner};
use crate::vec_map::VecMap;

const BUFFER_EXHAUSTED: &str = "BufferExhaustedException";

/// Sends records to its topics at a rate, and chosen ones to any.
#[derive(Clone, Debug)]
pub struct Producer {
    name: String,
    set: setting::Set,
    /// Numbered records go to them in turn.
    topics: Arc<[TopicName]>,
    settings: Arc<Settings>,
    application: Application,
    serializer: Serializer,
    accumulator: Accumulator,
    sender: Sender,
    metadata: Metadata,
    network: Network<Tag>,
    counts: Counts,
    life: Life,
    dice: Stream,
}

/// What a request was for.
#[derive(Clone, Debug)]
pub enum Tag {
    Metadata,
    /// To a coordinator.
    Transaction,
    /// Numbers of the batches in it.
    Produce {
        numbers: Range<u64>,
    },
}

/// Records, and batches that were sent again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub sent: u64,
    pub acked: u64,
    pub failed: u64,
    pub retries: u64,
    /// Produce requests.
    pub requests: u64,
    /// Transactions.
    pub committed: u64,
    pub aborted: u64,
}

/// Why a call is not finished.
enum Unfinished {
    /// It waits; this is what it fails with if it has waited for `max.block.ms`.
    Blocked(Exception),
    /// Its record fails.
    Failed { partition: i32, exception: Exception },
    /// It throws.
    Throws(Exception),
}

impl Producer {
    /// `name` is its `client.id` unless that is set. An error names the setting that is wrong.
    pub fn new(
        name: &str,
        topics: &[String],
        settings: &VecMap<String, String>,
        bootstrap: Vec<Endpoint>,
        seed: Seed,
    ) -> Result<Producer, String> {
        let set = Arc::new(settings.clone());
        let mut settings = Settings::of(settings)?;
        if settings.connection.client_id.is_empty() {
            settings.connection.client_id = StrBytes::from_string(name.to_string());
        }
        let stream = |what: &str| seed.stream(&format!("{name} {what}"));
        let topics: Arc<[TopicName]> =
            topics.iter().map(|topic| TopicName(StrBytes::from_string(topic.clone()))).collect();
        Ok(Producer {
            name: name.to_string(),
            set,
            application: Application::new(&settings, stream("application")),
            serializer: Serializer::new(name),
            accumulator: Accumulator::default(),
            sender: Sender::new(TransactionManager::new(&settings), stream("sender")),
            metadata: Metadata::new(bootstrap, topics.to_vec(), true, stream("metadata")),
            network: Network::new(settings.connection.clone(), stream("network")),
            counts: Counts::default(),
            life: Life::Open,
            dice: stream("partitioner"),
            settings: Arc::new(settings),
            topics,
        })
    }

    /// `acks`, with −1 for all.
    pub fn acks(&self) -> i16 {
        self.settings.acks
    }

    pub fn transactional_id(&self) -> Option<&str> {
        self.settings.transactional_id.as_deref()
    }

    /// The consumer whose records it works off.
    pub fn reads(&self) -> Option<&str> {
        self.settings.reads.as_deref()
    }

    pub fn transaction_timeout(&self) -> Duration {
        match self.settings.transactional_id {
            Some(_) => self.settings.transaction_timeout,
            None => Duration::ZERO,
        }
    }

    /// Whether brokers drop what it sends twice.
    pub fn is_idempotent(&self) -> bool {
        self.settings.idempotence
    }

    /// Lets the application call, and the sender send, until neither has anything to do.
    fn run(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.network.poll(now.instant, out);
        if self.network.take_broken() {
            self.metadata.stale(now.instant);
        }
        for (_, tag) in self.network.take_lost() {
            match tag {
                Tag::Metadata => self.metadata.lost(now.instant, &self.settings.connection),
                Tag::Transaction => self.with_manager(now, out, TransactionManager::lost),
                Tag::Produce { numbers } => self.with_sender(now, out, |sender, around| sender.lost(around, numbers)),
            }
        }
        loop {
            self.call(now, out);
            self.metadata.poll(now.instant, &self.settings.connection, &mut self.network, Tag::Metadata, out);
            let is_settled =
                |sender: &Sender| sender.transactions.as_deref().is_some_and(TransactionManager::is_settled);
            let (reserved, before) = (self.accumulator.reserved(), is_settled(&self.sender));
            self.with_sender(now, out, Sender::send);
            if self.closing(out) {
                continue;
            }
            // Under acks=0 sending makes room at once, and a transaction of nothing needs nobody to end it.
            let settled = !before && is_settled(&self.sender);
            if self.application.blocked().is_none() || !settled && self.accumulator.reserved() >= reserved {
                break;
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command, out: &mut Vec<Effect>) {
        match command {
            Command::Transaction(turn) => self.ask(Method::Transaction(turn), out),
            Command::SendOffsets(offsets) => self.ask(Method::SendOffsets(Arc::new(offsets)), out),
            Command::Rate { milli_per_second } => {
                self.application.set_rate(now, milli_per_second);
                setting::set_rate(&mut self.set, milli_per_second);
            }
            Command::Send(record) => {
                if let Err((sequence, chosen)) = self.application.choose(record) {
                    let call =
                        MethodCall { method: Method::Send(sequence, Made::Chosen(chosen)), blocked: None, id: None };
                    let error = match self.application.is_closed() {
                        true => closing::closed(),
                        false => Exception::kafka("too many records wait behind one that blocks"),
                    };
                    self.refuse(&call, -1, (false, &error), out);
                }
            }
            Command::Close => self.close(out),
            // Those of consumers.
            Command::Seek { .. } | Command::Pause { .. } | Command::Resume { .. } => {}
        }
    }

    /// Another call of the application's.
    fn ask(&mut self, method: Method, out: &mut Vec<Effect>) {
        if self.application.is_closed() {
            let error = closing::closed().to_string();
            out.push(Effect::Report(Report::Thrown { call: name_of(&method), error }));
        }
        self.application.ask(method);
    }

    /// The application's calls that are due, up to one that blocks.
    fn call(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.application.retry();
        let mut starved = false;
        while let Some(call) = self.application.next(now.instant) {
            let done = match &call.method {
                Method::Send(number, made) => self.send(now, *number, made, out),
                _ => self.transact(&call, out),
            };
            match done {
                Ok(()) => program::returned(&call, out),
                Err(Unfinished::Blocked(exception)) => {
                    let since = call.blocked.unwrap_or(now.instant);
                    if now.instant.since(since) < self.settings.max_block {
                        starved |= exception.class == BUFFER_EXHAUSTED;
                        match self.application.block(now.instant, call) {
                            true => break,
                            false => continue,
                        }
                    }
                    self.accumulator.give_up_waiting();
                    match &call.method {
                        Method::Send(..) => self.fail(&call, -1, &exception, out),
                        method => {
                            program::thrown(&call, &exception, out);
                            self.application.again(method);
                        }
                    }
                }
                Err(Unfinished::Failed { partition, exception }) => self.fail(&call, partition, &exception, out),
                Err(Unfinished::Throws(exception)) => self.throw(&call, exception, out),
            }
        }
        if starved {
            self.accumulator.starve();
        }
    }

    /// initTransactions(), beginTransaction() and so on.
    fn transact(&mut self, call: &MethodCall, out: &mut Vec<Effect>) -> Result<(), Unfinished> {
        let Some(manager) = &mut self.sender.transactions else {
            let message = "Transactional method invoked on a non-transactional producer.";
            return Err(Unfinished::Throws(Exception::illegal_state(message)));
        };
        let mut report = |stage| out.push(Effect::Report(Report::Transaction(stage)));
        let first = call.blocked.is_none();
        let (outcome, awaits) = match &call.method {
            Method::Transaction(Turn::Begin) => {
                manager.begin().map_err(Unfinished::Throws)?;
                report(TransactionStage::Begun);
                return Ok(());
            }
            Method::Transaction(Turn::Commit) => (manager.commit(), "EndTxn(true)"),
            Method::Transaction(Turn::Abort) => (manager.abort(), "EndTxn(false)"),
            Method::SendOffsets(offsets) => (manager.send_offsets(offsets), "TxnOffsetCommitHandler"),
            Method::InitTransactions | Method::Send(..) => (manager.init_transactions(), "InitProducerId"),
        };
        if first && outcome.is_none() {
            match call.method {
                Method::Transaction(Turn::Commit) => report(TransactionStage::Committing),
                Method::Transaction(Turn::Abort) => report(TransactionStage::Aborting),
                _ => {}
            }
        }
        match outcome {
            None => {
                let max_block = self.settings.max_block.as_millis();
                let message = format!("Timeout expired after {max_block}ms while awaiting {awaits}");
                Err(Unfinished::Blocked(Exception::new("TimeoutException", message)))
            }
            Some(Err(exception)) => Err(Unfinished::Throws(exception)),
            Some(Ok(())) => {
                match call.method {
                    Method::Transaction(Turn::Commit) => {
                        self.counts.committed += 1;
                        report(TransactionStage::Committed);
                    }
                    Method::Transaction(Turn::Abort) => {
                        self.counts.aborted += 1;
                        report(TransactionStage::Aborted);
                    }
                    Method::InitTransactions => report(TransactionStage::Initialized),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// A call throws, and the application does what it can do then.
    fn throw(&mut self, call: &MethodCall, exception: Exception, out: &mut Vec<Effect>) {
        let fatal = self.sender.transactions.as_deref().is_some_and(TransactionManager::has_fatal_error);
        match &call.method {
            Method::Send(..) => self.refuse(call, -1, (true, &exception), out),
            _ => program::thrown(call, &exception, out),
        }
        if self.application.thrown(&call.method, fatal) && fatal {
            out.push(Effect::Report(Report::Note("closes its producer".to_owned())));
            if self.settings.reads.is_some() {
                out.push(Effect::Report(Report::Closed));
            }
        }
    }

    /// send(): metadata, serializer, partitioner, accumulator.
    fn send(&mut self, now: Now, number: u64, made: &Made, out: &mut Vec<Effect>) -> Result<(), Unfinished> {
        let max_block = self.settings.max_block.as_millis();
        let (name, wanted) = match made {
            Made::Numbered => (&self.topics[(number % self.topics.len() as u64) as usize], None),
            Made::Chosen(chosen) => (&chosen.topic, chosen.record.partition),
        };
        self.metadata.want(now.instant, name);
        let known = self.metadata.topic(name);
        let Some(topic) = known.filter(|topic| !topic.partitions.is_empty()) else {
            // All else may pass: a cluster that begins has no brokers for a topic yet, say.
            let fatal = [ErrorCode::InvalidTopicException, ErrorCode::TopicAuthorizationFailed];
            return Err(match known.and_then(|topic| topic.error).filter(|error| fatal.contains(error)) {
                Some(error) => Unfinished::Failed { partition: -1, exception: Exception::of(error, None) },
                None => timed_out(format!("Topic {} not present in metadata after {max_block} ms.", name.0)),
            });
        };
        let count = topic.partitions.len();
        if let Some(wanted) = wanted.filter(|wanted| *wanted as usize >= count) {
            self.metadata.stale(now.instant);
            return Err(timed_out(format!(
                "Partition {wanted} of topic {} with partition count {count} is not present in metadata after \
                 {max_block} ms.",
                name.0
            )));
        }
        let record = self.serializer.serialize((number, made), &self.settings, now.wall).map_err(Unfinished::Throws)?;
        let at = self.accumulator.topic(name, count);
        let mut partitioner = std::mem::take(&mut self.accumulator.queues_mut(at).partitioner);
        let queues = self.accumulator.queues(at);
        let (partition, sticky) = match wanted {
            Some(wanted) => (wanted as usize, false),
            None => partitioner.partition(&self.settings, &record, &topic.partitions, queues, &mut self.dice),
        };
        // One that is not there is waited for, as Kafka's client does.
        if partition >= count {
            self.accumulator.topic(name, partition + 1);
        }
        let id = QueueId { topic: at, partition };
        let mut joins = || match &mut self.sender.transactions {
            Some(manager) => manager.add_partition(id, &format_args!("{}-{partition}", name.0)),
            None => Ok(()),
        };
        let valid = record.ensure_valid_size(&self.settings);
        let valid = valid.map_err(|exception| Unfinished::Failed { partition: partition as i32, exception });
        let appended = valid.and_then(|()| joins().map_err(Unfinished::Throws)).and_then(|()| {
            let appended = self.accumulator.append(now.instant, &self.settings, id, number, &record);
            appended.map_err(|Exhausted(bytes)| {
                let total = self.settings.buffer_memory;
                let message = format!(
                    "Failed to allocate {bytes} bytes within the configured max blocking time {max_block} ms. Total \
                     memory: {total} bytes. Available memory: {} bytes. Poolable size: {} bytes",
                    total.saturating_sub(self.accumulator.reserved()),
                    self.settings.batch_size
                );
                Unfinished::Blocked(Exception::new(BUFFER_EXHAUSTED, message))
            })
        });
        if let Ok(bytes) = appended
            && sticky
        {
            let queues = self.accumulator.queues(at);
            let full = queues.all_full(partition);
            partitioner.produced(&self.settings, bytes, full, &topic.partitions, queues, &mut self.dice);
        }
        self.accumulator.queues_mut(at).partitioner = partitioner;
        appended?;
        self.counts.sent += 1;
        let report = Report::Sent { topic: name.clone(), partition: partition as i32, sequence: number };
        out.push(Effect::Report(report));
        Ok(())
    }

    /// A record that fails before it is in a batch fails its transaction.
    fn fail(&mut self, call: &MethodCall, partition: i32, exception: &Exception, out: &mut Vec<Effect>) {
        self.refuse(call, partition, (false, exception), out);
        if let Some(manager) = &mut self.sender.transactions {
            manager.maybe_transition_to_error(exception);
        }
    }

    /// A call that fails before its record is in a batch.
    fn refuse(
        &mut self,
        call: &MethodCall,
        partition: i32,
        (thrown, error): (bool, &Exception),
        out: &mut Vec<Effect>,
    ) {
        let Method::Send(sequence, made) = &call.method else { return };
        let (sequence, topic) = (
            *sequence,
            match made {
                Made::Numbered => self.topics[(sequence % self.topics.len() as u64) as usize].clone(),
                Made::Chosen(chosen) => chosen.topic.clone(),
            },
        );
        self.counts.sent += 1;
        self.counts.failed += 1;
        let error = error.clone();
        out.push(Effect::Report(Report::Failed { topic, partition, sequence, thrown, error }));
    }

    fn answered(&mut self, now: Now, answer: Answer<Tag>, out: &mut Vec<Effect>) {
        // The one that comes often, and is large.
        if let (Tag::Produce { numbers }, ResponseKind::Produce(body)) = (&answer.tag, &*answer.body) {
            return self.with_sender(now, out, |sender, around| sender.answered(around, numbers.clone(), body));
        }
        match (answer.tag, *answer.body) {
            (Tag::Metadata, ResponseKind::Metadata(body)) => {
                self.metadata.update(now.instant, &self.settings.connection, body, &mut self.network);
            }
            (Tag::Transaction, body) => {
                self.with_manager(now, out, |manager, around| manager.answered(around, body));
            }
            // An answer of another kind is none.
            (Tag::Metadata, _) => self.metadata.lost(now.instant, &self.settings.connection),
            (Tag::Produce { numbers }, _) => self.with_sender(now, out, |sender, around| sender.lost(around, numbers)),
        }
    }

    fn with_manager(
        &mut self,
        now: Now,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut TransactionManager, &mut Around<'_>),
    ) {
        self.with_sender(now, out, |sender, around| {
            if let Some(manager) = &mut sender.transactions {
                act(manager, around);
            }
        });
    }

    fn with_sender(&mut self, now: Now, out: &mut Vec<Effect>, act: impl FnOnce(&mut Sender, &mut Around<'_>)) {
        let mut around = Around {
            now: now.instant,
            settings: &self.settings,
            accumulator: &mut self.accumulator,
            network: &mut self.network,
            metadata: &mut self.metadata,
            counts: &mut self.counts,
            out,
        };
        act(&mut self.sender, &mut around);
    }
}

impl Node for Producer {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        if self.life == Life::Closed {
            return;
        }
        match event {
            Event::Timer => {}
            Event::Opened { conn } => self.network.opened(now.instant, conn, out),
            Event::Closed { conn } => self.network.closed(now.instant, conn),
            Event::Response { conn, correlation_id, version, body } => {
                if let Some(answer) = self.network.response(now.instant, conn, correlation_id, version, body, out) {
                    self.answered(now, answer, out);
                }
            }
            Event::Process(polled) => self.application.process(&polled, &self.topics[0]),
            Event::Command(command) => self.command(now.instant, *command, out),
            Event::Call { id, call } => self.called(id, *call),
            // That of consumers.
            Event::Processed { .. } => {}
        }
        self.run(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        if self.life == Life::Closed {
            return None;
        }
        let blocked = self.application.blocked().map(|since| since + self.settings.max_block);
        let deadline = sooner(blocked, self.application.deadline());
        let deadline = sooner(deadline, self.sender.deadline());
        sooner(deadline, sooner(self.metadata.deadline(), self.network.deadline()))
    }
}

/// What Kafka's client calls it.
fn name_of(method: &Method) -> &'static str {
    match method {
        Method::Send(..) => "send",
        Method::InitTransactions => "initTransactions",
        Method::Transaction(Turn::Begin) => "beginTransaction",
        Method::Transaction(Turn::Commit) => "commitTransaction",
        Method::Transaction(Turn::Abort) => "abortTransaction",
        Method::SendOffsets(_) => "sendOffsetsToTransaction",
    }
}

fn timed_out(message: String) -> Unfinished {
    Unfinished::Blocked(Exception::new("TimeoutException", message))
}
