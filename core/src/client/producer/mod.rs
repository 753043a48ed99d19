//! A producer, in the stages that Kafka's documentation draws, each a thing of its own:
//!
//! ```text
//! application ─send()→ serializer → partitioner → accumulator (a queue of batches a partition) → sender → brokers
//!      ↑ blocks while metadata or memory is missing                                                │
//!      └────────────────── acknowledged, or failed ────────────────────────────────────────────────┘
//! ```
//!
//! `application.rs` who calls send() | `serializer.rs` records as bytes | `partitioner.rs` which partition |
//! `accumulator.rs` batches that fill and linger | `sender.rs` requests, answers, retries | `settings.rs` Kafka's names
//!
//! 1. A record that was handed over ends in exactly one of: acknowledged, or failed.
//! 2. Records of a producer are numbered from 0 in the order of their send() calls.

pub mod accumulator;
pub mod application;
pub mod partitioner;
pub mod sender;
pub mod serializer;
pub mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kafka_protocol::messages::{ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use self::accumulator::{Accumulator, Exhausted, QueueId};
use self::application::{Application, Call, Made};
use self::sender::{Around, Sender};
use self::serializer::Serializer;
pub use self::settings::Settings;
use super::connection::{Answer, Network};
use super::metadata::Metadata;
use super::{Command, Effect, Endpoint, Event, Report};
use crate::node::Node;
use crate::rng::{Seed, Stream};
use crate::sim::view::{FactGroup, Health, ProducerView};
use crate::time::{Instant, Now};

/// Sends records to one topic at a rate, and chosen ones to any.
#[derive(Clone, Debug)]
pub struct Producer {
    name: String,
    /// As they were set, for the page.
    set: Arc<str>,
    topic: TopicName,
    settings: Arc<Settings>,
    application: Application,
    serializer: Serializer,
    accumulator: Accumulator,
    sender: Sender,
    metadata: Metadata,
    network: Network<Tag>,
    counts: Counts,
    dice: Stream,
}

/// What a request was for.
#[derive(Clone, Debug)]
pub enum Tag {
    Metadata,
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
}

/// Why a call of send() is not finished.
enum Unfinished {
    /// It waits; this is what it fails with if it has waited for `max.block.ms`.
    Blocked(String),
    /// It fails.
    Failed { partition: i32, error: String },
}

impl Producer {
    /// `name` is its `client.id` unless that is set. An error names the setting that is wrong.
    pub fn new(
        name: &str,
        topic: &str,
        settings: &BTreeMap<String, String>,
        bootstrap: Vec<Endpoint>,
        seed: Seed,
    ) -> Result<Producer, String> {
        let set = super::setting::text(settings);
        let mut settings = Settings::of(settings)?;
        if settings.connection.client_id.is_empty() {
            settings.connection.client_id = StrBytes::from_string(name.to_string());
        }
        let stream = |what: &str| seed.stream(&format!("{name} {what}"));
        let topic = TopicName(StrBytes::from_string(topic.to_string()));
        Ok(Producer {
            name: name.to_string(),
            set: set.into(),
            application: Application::new(settings.rate_milli),
            serializer: Serializer::new(name),
            accumulator: Accumulator::default(),
            sender: Sender::new(stream("sender")),
            metadata: Metadata::new(bootstrap, vec![topic.clone()], true, stream("metadata")),
            network: Network::new(settings.connection.clone(), stream("network")),
            counts: Counts::default(),
            dice: stream("partitioner"),
            settings: Arc::new(settings),
            topic,
        })
    }

    /// `acks`, with −1 for all.
    pub fn acks(&self) -> i16 {
        self.settings.acks
    }

    pub fn view(&self) -> ProducerView {
        ProducerView {
            name: self.name.clone(),
            // The rate of the moment stands beside it, and a hand may have changed it.
            settings: self.set.split(' ').filter(|pair| !pair.starts_with("rate=")).collect::<Vec<_>>().join(" "),
            topic: self.topic.to_string(),
            health: Health::Running,
            rate: self.application.rate(),
            sent: self.counts.sent,
            acked: self.counts.acked,
            failed: self.counts.failed,
            retries: self.counts.retries,
            buffered: self.accumulator.reserved(),
            buffer_memory: self.settings.buffer_memory,
            in_flight: self.network.all_in_flight() as u32,
        }
    }

    /// What there is to see of it beyond the view, stage by stage.
    pub fn facts(&self) -> Vec<FactGroup> {
        let group = |title: &str, facts| FactGroup { title: title.to_string(), facts };
        let fact = |name: &str, value: String| (name.to_string(), value);
        let queued = self.accumulator.waiting().map(|(id, topic, queue)| {
            let first = queue.first().map_or(0, |batch| batch.sequences.len());
            (
                format!("{}-{}", topic.0, id.partition),
                format!("{} batches, {first} records in the first", queue.batches()),
            )
        });
        let blocked = self.application.blocked().map_or("no".to_string(), |since| format!("since {since}"));
        let accumulator = [fact("bytes reserved", self.accumulator.reserved().to_string())].into_iter().chain(queued);
        let leaders = self.metadata.topics().iter().flat_map(|topic| {
            topic.partitions.iter().enumerate().map(|(index, partition)| {
                let leader = partition.leader.map_or("none".to_string(), |leader| leader.to_string());
                (format!("{}-{index}", topic.name.0), format!("leader {leader}, epoch {}", partition.leader_epoch))
            })
        });
        vec![
            group(
                "Application",
                vec![
                    fact("records a second", self.application.rate().to_string()),
                    fact("send() blocks", blocked),
                    fact("calls waiting", self.application.waiting().to_string()),
                ],
            ),
            group("Accumulator", accumulator.collect()),
            group("Sender", vec![fact("batches in flight", self.sender.in_flight().to_string())]),
            group("Metadata", leaders.collect()),
            group("Connections", self.network.facts()),
            group("Settings", super::setting::facts(settings::TABLE, &self.set, &self.name)),
        ]
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
                Tag::Produce { numbers } => self.with_sender(now, out, |sender, around| sender.lost(around, numbers)),
            }
        }
        loop {
            self.call(now, out);
            self.metadata.poll(now.instant, &self.settings.connection, &mut self.network, Tag::Metadata, out);
            let reserved = self.accumulator.reserved();
            self.with_sender(now, out, Sender::send);
            // Under acks=0 sending makes room at once.
            if self.application.blocked().is_none() || self.accumulator.reserved() >= reserved {
                break;
            }
        }
    }

    /// The application's calls that are due, up to one that blocks.
    fn call(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(call) = self.application.next(now.instant) {
            match self.send(now, &call, out) {
                Ok(()) => {}
                Err(Unfinished::Blocked(error)) => {
                    let since = call.blocked.unwrap_or(now.instant);
                    if now.instant.since(since) < self.settings.max_block {
                        self.application.block(now.instant, call);
                        break;
                    }
                    self.accumulator.give_up_waiting();
                    self.refuse(&call, -1, error, out);
                }
                Err(Unfinished::Failed { partition, error }) => self.refuse(&call, partition, error, out),
            }
        }
    }

    /// send(): metadata, serializer, partitioner, accumulator.
    fn send(&mut self, now: Now, call: &Call, out: &mut Vec<Effect>) -> Result<(), Unfinished> {
        let max_block = self.settings.max_block.as_millis();
        let (name, wanted) = match &call.record {
            Made::Numbered => (&self.topic, None),
            Made::Chosen(chosen) => (&chosen.topic, chosen.record.partition),
        };
        self.metadata.want(now.instant, name);
        let known = self.metadata.topic(name);
        let Some(topic) = known.filter(|topic| !topic.partitions.is_empty()) else {
            return Err(match known.and_then(|topic| topic.error).filter(|error| !error.is_retriable()) {
                Some(error) => Unfinished::Failed { partition: -1, error: crate::error::message(error).to_string() },
                None => Unfinished::Blocked(format!("Topic {} not present in metadata after {max_block} ms.", name.0)),
            });
        };
        let count = topic.partitions.len();
        if let Some(wanted) = wanted.filter(|wanted| *wanted as usize >= count) {
            self.metadata.stale(now.instant);
            return Err(Unfinished::Blocked(format!(
                "Partition {wanted} of topic {} with partition count {count} is not present in metadata after \
                 {max_block} ms.",
                name.0
            )));
        }
        let record = self.serializer.serialize(call, &self.settings, now.wall);
        let at = self.accumulator.topic(name, count);
        let mut partitioner = std::mem::take(&mut self.accumulator.queues_mut(at).partitioner);
        let queues = self.accumulator.queues(at);
        let (partition, sticky) = match wanted {
            Some(wanted) => (wanted as usize, false),
            None => partitioner.partition(&self.settings, record.key, &topic.partitions, queues, &mut self.dice),
        };
        let appended = match record.ensure_valid_size(&self.settings) {
            Err(error) => Err(Unfinished::Failed { partition: partition as i32, error }),
            Ok(()) => {
                let id = QueueId { topic: at, partition };
                let appended = self.accumulator.append(now.instant, &self.settings, id, call.sequence, &record);
                appended.map_err(|Exhausted(bytes)| {
                    let total = self.settings.buffer_memory;
                    Unfinished::Blocked(format!(
                        "Failed to allocate {bytes} bytes within the configured max blocking time {max_block} ms. Total \
                         memory: {total} bytes. Available memory: {} bytes. Poolable size: {} bytes",
                        total.saturating_sub(self.accumulator.reserved()),
                        self.settings.batch_size
                    ))
                })
            }
        };
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
        let report = Report::Sent { topic: name.clone(), partition: partition as i32, sequence: call.sequence };
        out.push(Effect::Report(report));
        Ok(())
    }

    /// A call that fails before its record is in a batch.
    fn refuse(&mut self, call: &Call, partition: i32, error: String, out: &mut Vec<Effect>) {
        let topic = match &call.record {
            Made::Numbered => self.topic.clone(),
            Made::Chosen(chosen) => chosen.topic.clone(),
        };
        self.counts.sent += 1;
        self.counts.failed += 1;
        out.push(Effect::Report(Report::Failed { topic, partition, sequence: call.sequence, error }));
    }

    fn answered(&mut self, now: Now, answer: Answer<Tag>, out: &mut Vec<Effect>) {
        match (answer.tag, answer.body) {
            (Tag::Metadata, ResponseKind::Metadata(body)) => {
                self.metadata.update(now.instant, &self.settings.connection, body, &mut self.network);
            }
            (Tag::Produce { numbers }, ResponseKind::Produce(body)) => {
                self.with_sender(now, out, |sender, around| sender.answered(around, numbers, body));
            }
            // An answer of another kind is none.
            (Tag::Metadata, _) => self.metadata.lost(now.instant, &self.settings.connection),
            (Tag::Produce { numbers }, _) => self.with_sender(now, out, |sender, around| sender.lost(around, numbers)),
        }
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
        match event {
            Event::Timer => {}
            Event::Opened { conn } => self.network.opened(now.instant, conn, out),
            Event::Closed { conn } => self.network.closed(now.instant, conn),
            Event::Response { conn, correlation_id, version, body } => {
                if let Some(answer) = self.network.response(now.instant, conn, correlation_id, version, *body, out) {
                    self.answered(now, answer, out);
                }
            }
            Event::Command(Command::Rate { milli_per_second }) => {
                self.application.set_rate(now.instant, milli_per_second);
            }
            Event::Command(Command::Send(record)) => {
                if let Err((sequence, chosen)) = self.application.choose(record) {
                    let call = Call { sequence, record: Made::Chosen(chosen), blocked: None };
                    self.refuse(&call, -1, "too many records wait behind one that blocks".to_string(), out);
                }
            }
            // Those of consumers.
            Event::Command(Command::Close | Command::Seek { .. } | Command::Pause { .. } | Command::Resume { .. }) => {}
        }
        self.run(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let blocked = self.application.blocked().map(|since| since + self.settings.max_block);
        [
            blocked,
            self.application.deadline(),
            self.sender.deadline(),
            self.metadata.deadline(),
            self.network.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
