//! A consumer for programs: a member of a group, or a reader of partitions that it picks.
//!
//! ```text
//! new ─subscribe→ member of its group        ─┐
//!     ─assign→ reads these partitions        ─┼─ poll, commit, seek, pause … ─close→
//!     ─assign_topics→ reads all that there are┘
//! ```
//!
//! 1. One thread has it: everything takes `&mut self`.
//! 2. It takes part in its group in poll() alone; its heartbeats go on for `max.poll.interval.ms` without. So whoever commits
//!    before it polls again has nothing to commit when it is told that partitions are revoked.
//! 3. One that is dropped without [`Consumer::close`] leaves nothing behind but a member that its group will miss.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use ottla_core::client::consumer::Settings;
use ottla_core::client::{self, Call, Command, Endpoint, Event, Report};
use ottla_core::record::{Header, TimestampType};
use ottla_core::rng::Seed;
use ottla_core::vec_map::VecMap;
use tracing::{debug, warn};

use super::config::{Parts, refused};
use super::driver::{Client, Driver};
use super::{Config, Exception, TopicPartition, name};

/// What a scenario says of its application.
const WORDS: [&str; 3] = ["rate", "commit", "pattern"];
/// Bytes of an answer, at most; more where `fetch.max.bytes` says so.
const MAX_ANSWER: i32 = 100_000_000;
/// Bytes of an answer beside its records.
const FRAME: i32 = 1 << 20;
/// How often poll() looks whether something is wrong that no report tells of.
const LOOK: Duration = Duration::from_millis(100);
/// Kafka's `default.api.timeout.ms`, with room for what the node itself waits.
const PATIENCE: Duration = Duration::from_secs(90);

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub timestamp_type: TimestampType,
    pub leader_epoch: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// What a member of a group is told in poll() and in close().
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// These are its own from now on, beside what it has.
    Assigned(Vec<TopicPartition>),
    /// It has let go of these; with `enable.auto.commit` what it had got of them is committed.
    Revoked(Vec<TopicPartition>),
    /// Somebody else may have these already.
    Lost(Vec<TopicPartition>),
}

/// Who a member is, for [`super::Producer::send_offsets_to_transaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group_id: String,
    pub member_id: String,
    /// The member epoch, in the consumer protocol.
    pub generation: i32,
}

pub struct Consumer {
    settings: VecMap<String, String>,
    /// `group.id` is set, and not empty.
    has_group: bool,
    bootstrap: Vec<Endpoint>,
    seed: Seed,
    /// `None` before it knows what to read.
    driver: Option<Driver<Consuming>>,
    /// It is a member of its group.
    subscribed: bool,
    listener: Option<Box<dyn FnMut(&Rebalance) + Send>>,
}

/// The node, and what it has reported that nobody has taken.
struct Consuming {
    node: client::Consumer,
    received: Vec<ConsumerRecord>,
    rebalances: Vec<Rebalance>,
    calls: u64,
    awaited: BTreeSet<u64>,
    returned: BTreeMap<u64, Result<(), Exception>>,
    closed: bool,
    /// The topic that was read last: one text for all its records.
    topic: Arc<str>,
}

impl Client for Consuming {
    type Node = client::Consumer;

    fn node(&mut self) -> &mut client::Consumer {
        &mut self.node
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Received {
                topic,
                partition,
                offset,
                timestamp,
                timestamp_type,
                leader_epoch,
                key,
                value,
                headers,
            } => {
                if *self.topic != *topic.0 {
                    self.topic = Arc::from(&*topic.0);
                }
                let topic = self.topic.clone();
                self.received.push(ConsumerRecord {
                    topic,
                    partition,
                    offset,
                    timestamp,
                    timestamp_type,
                    leader_epoch,
                    key,
                    value,
                    headers,
                });
            }
            Report::Assigned { added, .. } => self.rebalances.push(Rebalance::Assigned(added)),
            Report::Revoked { partitions, .. } => self.rebalances.push(Rebalance::Revoked(partitions)),
            Report::Lost { partitions, .. } => self.rebalances.push(Rebalance::Lost(partitions)),
            Report::Returned { call, result } if self.awaited.remove(&call) => drop(self.returned.insert(call, result)),
            Report::Returned { result: Err(error), .. } => warn!("Asynchronous commit of offsets failed: {error}"),
            Report::Closed => self.closed = true,
            report => debug!("{report}"),
        }
    }
}

impl Consuming {
    fn number(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// What poll() ends with, if it ends.
    fn polled(&mut self) -> Option<Result<Vec<ConsumerRecord>, Exception>> {
        if !self.received.is_empty() {
            return Some(Ok(std::mem::take(&mut self.received)));
        }
        let failure = self.node.failure();
        failure.or_else(|| self.closed.then(|| Exception::kafka("The consumer cannot go on."))).map(Err)
    }
}

impl Consumer {
    /// `config` has `bootstrap.servers` and a consumer's settings by Kafka's names.
    pub fn new(config: Config) -> Result<Consumer, Exception> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = match config.get("group.id") {
            Some(group) => format!("consumer-{group}-{number}"),
            None => format!("consumer-null-{number}"),
        };
        let Parts { settings, bootstrap, seed } = config.default_to("client.id", &id).parts(&WORDS)?;
        let has_group = Settings::of(&settings).map_err(refused)?.group.is_some();
        Ok(Consumer { settings, has_group, bootstrap, seed, driver: None, subscribed: false, listener: None })
    }

    /// Whether its settings name a group.
    pub fn has_group(&self) -> bool {
        self.has_group
    }

    /// Is told in poll() and close() what the group does with the member.
    pub fn on_rebalance(&mut self, listener: impl FnMut(&Rebalance) + Send + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// Shares these topics with the other members of `group.id`; in the place of those it had.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), Exception> {
        if !self.has_group {
            return Err(Exception::new(
                "InvalidGroupIdException",
                "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer \
                 configuration.",
            ));
        }
        self.ensure_free(!self.subscribed)?;
        match self.driver {
            None => self.start(topics, None)?,
            Some(_) => self.call(Call::Subscribe(topics.iter().map(|topic| name(topic)).collect()))?,
        }
        self.subscribed = true;
        Ok(())
    }

    /// The same with all topics whose whole names match, those to come too.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), Exception> {
        self.ensure_free(true)?;
        self.start(&[], Some(pattern))?;
        self.subscribed = self.has_group;
        Ok(())
    }

    /// Reads these partitions, whoever else does; in the place of those it had.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Exception> {
        self.ensure_free(self.subscribed)?;
        if self.driver.is_none() {
            self.start(&[], None)?;
        }
        self.call(Call::Assign(partitions.to_vec()))
    }

    /// Reads all partitions of these topics, as many as there come to be; without a group.
    pub fn assign_topics(&mut self, topics: &[&str]) -> Result<(), Exception> {
        if self.has_group {
            return Err(Exception::illegal_state("a member of a group subscribes to topics"));
        }
        self.ensure_free(true)?;
        self.start(topics, None)
    }

    /// Records of one partition, `max.poll.records` at most; none where none came in that time.
    pub fn poll(&mut self, most: Duration) -> Result<Vec<ConsumerRecord>, Exception> {
        let until = Instant::now() + most.min(Duration::from_secs(24 * 3600));
        let polled = {
            let mut entered = self.driver()?.enter();
            let id = entered.client.number();
            entered.step(Event::Call { id, call: Call::Poll.into() });
            loop {
                let look = until.min(Instant::now() + LOOK);
                let (after, polled) = entered.wait(Some(look), Consuming::polled);
                entered = after;
                match polled {
                    Some(Ok(records)) => break Ok(records),
                    None if look < until => {}
                    failed => {
                        entered.step(Event::Call { id, call: Call::Leave.into() });
                        // What came in the last moment.
                        break failed.or_else(|| entered.client.polled()).unwrap_or(Ok(Vec::new()));
                    }
                }
            }
        };
        self.tell();
        polled
    }

    /// Commits the positions: what poll() gave. Waits until that is done.
    pub fn commit_sync(&mut self) -> Result<(), Exception> {
        self.call(Call::Commit { offsets: None, sync: true })
    }

    /// Commits these offsets, which are those that come next.
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Exception> {
        if let Some((_, offset)) = offsets.iter().find(|(_, offset)| *offset < 0) {
            return Err(Exception::new("IllegalArgumentException", format!("Invalid negative offset: {offset}")));
        }
        self.call(Call::Commit { offsets: Some(offsets.to_vec()), sync: true })
    }

    /// Commits the positions; one that fails is a line in the log.
    pub fn commit_async(&mut self) -> Result<(), Exception> {
        let mut entered = self.driver()?.enter();
        let id = entered.client.number();
        entered.step(Event::Call { id, call: Call::Commit { offsets: None, sync: false }.into() });
        Ok(())
    }

    /// What it reads now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.driver.as_ref().map_or_else(Vec::new, |driver| driver.enter().client.node.assignment())
    }

    /// The offset that comes next, where that is known by now.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.driver.as_ref()?.enter().client.node.position(partition)
    }

    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        let metadata = self.driver.as_ref()?.enter().client.node.group_metadata();
        metadata.map(|(group_id, member_id, generation)| GroupMetadata { group_id, member_id, generation })
    }

    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Exception> {
        if offset < 0 {
            return Err(Exception::new("IllegalArgumentException", "seek offset must not be a negative number"));
        }
        self.command(partition, Command::Seek { name: partition.clone(), offset })
    }

    pub fn pause(&mut self, partition: &TopicPartition) -> Result<(), Exception> {
        self.command(partition, Command::Pause { name: partition.clone() })
    }

    pub fn resume(&mut self, partition: &TopicPartition) -> Result<(), Exception> {
        self.command(partition, Command::Resume { name: partition.clone() })
    }

    /// With `enable.auto.commit` commits what poll() gave; leaves the group.
    pub fn close(mut self) {
        if let Some(driver) = &self.driver {
            let mut entered = driver.enter();
            entered.step(Event::Command(Command::Close.into()));
            let until = Instant::now() + PATIENCE;
            (entered, _) = entered.wait(Some(until), |client| client.closed.then_some(()));
            // The node does not wait for the answer, but what is not sent yet would go with the connection.
            while entered.is_asking(ApiKey::LeaveGroup) && Instant::now() < until {
                entered = entered.pause(LOOK);
            }
        }
        self.tell();
    }

    fn start(&mut self, topics: &[&str], pattern: Option<&str>) -> Result<(), Exception> {
        let mut set = self.settings.clone();
        set.extend(pattern.map(|pattern| ("pattern".to_owned(), pattern.to_owned())));
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let most = Settings::of(&set).map_err(refused)?.max_bytes.saturating_add(FRAME);
        let node = client::Consumer::new("consumer", &topics, &set, self.bootstrap.clone(), self.seed);
        let client = Consuming {
            node: node.map_err(refused)?.for_program(),
            received: Vec::new(),
            rebalances: Vec::new(),
            calls: 0,
            awaited: BTreeSet::new(),
            returned: BTreeMap::new(),
            closed: false,
            topic: "".into(),
        };
        self.driver = Some(Driver::start("ottla-consumer", client, most.max(MAX_ANSWER))?);
        Ok(())
    }

    fn driver(&self) -> Result<&Driver<Consuming>, Exception> {
        self.driver.as_ref().ok_or_else(|| {
            Exception::illegal_state("Consumer is not subscribed to any topics or assigned any partitions")
        })
    }

    fn call(&mut self, call: Call) -> Result<(), Exception> {
        let returned = {
            let mut entered = self.driver()?.enter();
            let id = entered.client.number();
            entered.client.awaited.insert(id);
            entered.step(Event::Call { id, call: call.into() });
            let until = Instant::now() + PATIENCE;
            let done = |client: &mut Consuming| match client.returned.remove(&id) {
                None if client.closed => Some(Err(client.node.failure().unwrap_or_else(given_up))),
                returned => returned,
            };
            let (mut entered, returned) = entered.wait(Some(until), done);
            // Where nobody waits for it any more, what it returns is not kept.
            entered.client.awaited.remove(&id);
            returned
        };
        self.tell();
        returned.unwrap_or_else(|| Err(given_up()))
    }

    fn command(&mut self, partition: &TopicPartition, command: Command) -> Result<(), Exception> {
        let mut entered = self.driver()?.enter();
        if !entered.client.node.assignment().contains(partition) {
            return Err(Exception::illegal_state(format!("No current assignment for partition {partition}")));
        }
        entered.step(Event::Command(command.into()));
        Ok(())
    }

    /// The listener hears what has happened, in order.
    fn tell(&mut self) {
        let Some(driver) = &self.driver else { return };
        let rebalances = std::mem::take(&mut driver.enter().client.rebalances);
        if let Some(listener) = &mut self.listener {
            rebalances.iter().for_each(listener);
        }
    }

    /// Whether it is not bound to another way of knowing what to read.
    fn ensure_free(&self, other: bool) -> Result<(), Exception> {
        match self.driver.is_some() && other {
            true => {
                Err(Exception::illegal_state("Subscription to topics, partitions and pattern are mutually exclusive"))
            }
            false => Ok(()),
        }
    }
}

fn given_up() -> Exception {
    Exception::new("TimeoutException", "Timed out while waiting for the consumer")
}
