//! A producer for programs: one handle that many threads share.
//!
//! 1. send() blocks while metadata or memory is missing, for `max.block.ms` at most, and keeps no other thread's call waiting.
//! 2. Every record ends in exactly one of: where it is, or Kafka's exception. Those that a thread sends to one partition keep
//!    their order.
//! 3. A producer that is dropped without [`Producer::close`] gives up what it has not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ottla_core::client::producer::Settings;
use ottla_core::client::{self, Call, Command, Event, NextOffset, Offsets, Report, SendRecord, Turn};
use ottla_core::time::Instant as NodeInstant;
use tokio::sync::oneshot;
use tracing::debug;

use super::config::{Parts, refused};
use super::consumer::GroupMetadata;
use super::driver::{Client, Driver, Entered};
use super::{Config, Exception, TopicPartition};

/// What a scenario says of its application.
const WORDS: [&str; 8] =
    ["rate", "value.size", "keys", "transaction.every", "transaction.aborts", "handlers", "handler.ms", "reads"];
/// Bytes of an answer, at most.
const MAX_ANSWER: i32 = 100_000_000;
/// How often a thread looks whether a connection has written what waits.
const LOOK: Duration = Duration::from_millis(1);

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A record to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerRecord(SendRecord);

impl ProducerRecord {
    pub fn new(topic: &str, value: impl Into<Vec<u8>>) -> ProducerRecord {
        ProducerRecord(SendRecord { topic: topic.to_owned(), value: Some(value.into()), ..SendRecord::default() })
    }

    /// With a key it says that there is nothing under it any more.
    pub fn without_value(topic: &str) -> ProducerRecord {
        ProducerRecord(SendRecord { topic: topic.to_owned(), ..SendRecord::default() })
    }

    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.0.partition = Some(partition);
        self
    }

    /// Milliseconds since 1970; else it is the time of send().
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.0.timestamp = Some(timestamp);
        self
    }

    pub fn header(mut self, key: &str, value: Option<&[u8]>) -> Self {
        self.0.headers.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub topic: Arc<str>,
    pub partition: i32,
    /// −1 under `acks=0`.
    pub offset: i64,
    /// The topic's time under LogAppendTime, else the record's.
    pub timestamp: i64,
}

type Outcome = Result<RecordMetadata, Exception>;

/// What becomes of a record: to be awaited, or waited for.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Outcome>);

impl Delivery {
    /// Waits for it in a thread. Panics in a task: tasks await it.
    pub fn wait(self) -> Outcome {
        self.0.blocking_recv().unwrap_or_else(|_| Err(given_up()))
    }

    /// What became of it, if that is known by now.
    pub fn try_wait(&mut self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(given_up())),
        }
    }
}

impl Future for Delivery {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(|_| Err(given_up())))
    }
}

fn given_up() -> Exception {
    Exception::kafka("Producer is closed forcefully.")
}

#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    driver: Driver<Producing>,
    max_block: Duration,
    /// Bytes that may wait for their connection, where no answer says that they have arrived.
    unanswered: Option<usize>,
}

/// The node, and the records and calls that have no end yet.
struct Producing {
    node: client::Producer,
    /// Records that were handed over.
    sent: u64,
    /// By number: in send().
    entering: BTreeMap<u64, Pending>,
    /// In batches.
    placed: BTreeMap<u64, Pending>,
    calls: u64,
    awaited: BTreeSet<u64>,
    returned: BTreeMap<u64, Result<(), Exception>>,
    /// close() was called: nothing else can be.
    closed: bool,
    /// It has sent what it had.
    ended: bool,
    /// The topic that was acknowledged last: one text for all its records.
    topic: Arc<str>,
}

struct Pending {
    tell: oneshot::Sender<Outcome>,
    timestamp: i64,
}

impl Client for Producing {
    type Node = client::Producer;

    fn node(&mut self) -> &mut client::Producer {
        &mut self.node
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Sent { sequence, .. } => {
                self.placed.extend(self.entering.remove(&sequence).map(|pending| (sequence, pending)));
            }
            Report::Acked { topic, partition, sequence, offset, log_append_time } => {
                let Some(Pending { tell, timestamp }) = self.placed.remove(&sequence) else { return };
                if *self.topic != *topic.0 {
                    self.topic = Arc::from(&*topic.0);
                }
                let timestamp = if log_append_time >= 0 { log_append_time } else { timestamp };
                // Who has dropped its delivery does not want to know.
                let _ = tell.send(Ok(RecordMetadata { topic: self.topic.clone(), partition, offset, timestamp }));
            }
            Report::Failed { sequence, error, .. } => {
                let pending = self.entering.remove(&sequence).or_else(|| self.placed.remove(&sequence));
                if let Some(Pending { tell, .. }) = pending {
                    let _ = tell.send(Err(error));
                }
            }
            Report::Returned { call, result } if self.awaited.remove(&call) => drop(self.returned.insert(call, result)),
            Report::Closed => self.ended = true,
            report => debug!("{report}"),
        }
    }
}

impl Producer {
    /// `config` has `bootstrap.servers` and a producer's settings by Kafka's names.
    pub fn new(config: Config) -> Result<Producer, Exception> {
        let id = match config.get("transactional.id") {
            Some(id) => format!("producer-{id}"),
            None => format!("producer-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        };
        let Parts { settings: set, bootstrap, seed } = config.default_to("client.id", &id).parts(&WORDS)?;
        let settings = Settings::of(&set).map_err(refused)?;
        let node = client::Producer::new("producer", &[], &set, bootstrap, seed).map_err(refused)?;
        let client = Producing {
            node: node.for_program(),
            sent: 0,
            entering: BTreeMap::new(),
            placed: BTreeMap::new(),
            calls: 0,
            awaited: BTreeSet::new(),
            returned: BTreeMap::new(),
            closed: false,
            ended: false,
            topic: "".into(),
        };
        let unanswered = (settings.acks == 0).then_some(settings.buffer_memory as usize);
        Ok(Producer {
            shared: Arc::new(Shared {
                driver: Driver::start("ottla-producer", client, MAX_ANSWER)?,
                max_block: settings.max_block,
                unanswered,
            }),
        })
    }

    /// (1)
    pub fn send(&self, ProducerRecord(record): ProducerRecord) -> Delivery {
        let (tell, delivery) = oneshot::channel();
        if let Err(error) = self.hand_over(record, tell) {
            let (tell, refused) = oneshot::channel();
            let _ = tell.send(Err(error));
            return Delivery(refused);
        }
        Delivery(delivery)
    }

    fn hand_over(&self, record: SendRecord, tell: oneshot::Sender<Outcome>) -> Result<(), Exception> {
        if let Some(partition) = record.partition.filter(|partition| *partition < 0) {
            let message =
                format!("Invalid partition: {partition}. Partition number should always be non-negative or null.");
            return Err(Exception::new("IllegalArgumentException", message));
        }
        if let Some(timestamp) = record.timestamp.filter(|timestamp| *timestamp < 0) {
            let message = format!("Invalid timestamp: {timestamp}. Timestamp should always be non-negative or null.");
            return Err(Exception::new("IllegalArgumentException", message));
        }
        let (mut entered, blocked) = self.shared.room()?;
        entered.client.ensure_open()?;
        let timestamp = record.timestamp.unwrap_or_else(|| entered.wall());
        let sequence = entered.client.sent;
        entered.client.sent += 1;
        entered.client.entering.insert(sequence, Pending { tell, timestamp });
        let record = SendRecord { timestamp: Some(timestamp), ..record };
        entered.step(Event::Call { id: sequence, call: Call::Send { record, blocked }.into() });
        entered.wait(None, |client| (!client.entering.contains_key(&sequence)).then_some(()));
        Ok(())
    }

    /// Waits until all that was sent before has its end. What lingers goes at once.
    pub fn flush(&self) -> Result<(), Exception> {
        let entered = self.shared.driver.enter();
        entered.client.ensure_open()?;
        self.shared.flush(entered);
        Ok(())
    }

    pub fn init_transactions(&self) -> Result<(), Exception> {
        self.call(Call::InitTransactions)
    }

    pub fn begin_transaction(&self) -> Result<(), Exception> {
        self.call(Call::Transaction(Turn::Begin))
    }

    pub fn commit_transaction(&self) -> Result<(), Exception> {
        self.call(Call::Transaction(Turn::Commit))
    }

    pub fn abort_transaction(&self) -> Result<(), Exception> {
        self.call(Call::Transaction(Turn::Abort))
    }

    /// The group will have read up to these offsets, which come next, if the transaction is committed.
    pub fn send_offsets_to_transaction(
        &self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
    ) -> Result<(), Exception> {
        let next = |(name, offset): &(TopicPartition, i64)| NextOffset {
            topic: name.topic.to_string(),
            partition: name.partition,
            offset: *offset,
            leader_epoch: -1,
        };
        let mut offsets: Vec<_> = offsets.iter().map(next).collect();
        offsets.sort();
        let (member, generation) = (group.member_id.clone(), group.generation);
        self.call(Call::SendOffsets(Offsets { group: group.group_id.clone(), member, generation, offsets }))
    }

    fn call(&self, call: Call) -> Result<(), Exception> {
        let entered = self.shared.driver.enter();
        entered.client.ensure_open()?;
        made(entered, call)
    }

    /// Sends what is left, and aborts a transaction that is open.
    pub fn close(&self) {
        self.close_within(Duration::from_secs(24 * 3600));
    }

    /// The same, but what has no end by then is given up, and is not sent any more. Whoever closes it again waits as long.
    pub fn close_within(&self, most: Duration) {
        let until = Instant::now().checked_add(most);
        let mut entered = self.shared.driver.enter();
        if !std::mem::replace(&mut entered.client.closed, true) {
            entered.step(Event::Command(Command::Close.into()));
        }
        let (mut entered, _) = entered.wait(until, |client| client.ended.then_some(()));
        while self.shared.unanswered.is_some() && entered.unsent() > 0 && is_before(until) {
            entered = entered.pause(LOOK);
        }
        let client = &mut entered.client;
        client.ended = true;
        let left = std::mem::take(&mut client.entering).into_values();
        for Pending { tell, .. } in left.chain(std::mem::take(&mut client.placed).into_values()) {
            let _ = tell.send(Err(given_up()));
        }
        let calls = std::mem::take(&mut client.awaited).into_iter();
        client.returned.extend(calls.map(|call| (call, Err(given_up()))));
        entered.stop();
    }
}

impl Shared {
    /// Enters where there is room for one more record: without answers no memory is freed by them. Where it had to wait it
    /// says since when, for the node waits for metadata within the same time.
    fn room(&self) -> Result<(Entered<'_, Producing>, Option<NodeInstant>), Exception> {
        let mut entered = self.driver.enter();
        let Some(most) = self.unanswered.filter(|most| entered.unsent() > *most) else { return Ok((entered, None)) };
        let (since, until) = (entered.now(), Instant::now() + self.max_block);
        while entered.unsent() > most {
            if Instant::now() >= until {
                let max_block = self.max_block.as_millis();
                return Err(Exception::new(
                    "BufferExhaustedException",
                    format!("Failed to allocate memory within the configured max blocking time {max_block} ms."),
                ));
            }
            entered = entered.pause(LOOK);
        }
        Ok((entered, Some(since)))
    }

    fn flush(&self, mut entered: Entered<'_, Producing>) {
        let (id, mark) = (entered.client.number(), entered.client.sent);
        entered.step(Event::Call { id, call: Call::Flush.into() });
        let done =
            |client: &mut Producing| client.placed.keys().next().is_none_or(|first| *first >= mark).then_some(());
        let (mut entered, _) = entered.wait(None, done);
        while self.unanswered.is_some() && entered.unsent() > 0 {
            entered = entered.pause(LOOK);
        }
    }
}

fn is_before(until: Option<Instant>) -> bool {
    until.is_none_or(|until| Instant::now() < until)
}

impl Producing {
    fn ensure_open(&self) -> Result<(), Exception> {
        match self.closed {
            true => Err(Exception::illegal_state("Cannot perform operation after producer has been closed")),
            false => Ok(()),
        }
    }

    fn number(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }
}

/// Makes a call, and waits for what becomes of it.
fn made(mut entered: Entered<'_, Producing>, call: Call) -> Result<(), Exception> {
    let id = entered.client.number();
    entered.client.awaited.insert(id);
    entered.step(Event::Call { id, call: call.into() });
    let (_, returned) = entered.wait(None, |client| client.returned.remove(&id));
    returned.unwrap_or_else(|| Err(given_up()))
}
