//! Fetch: record sets straight from the log, never copied and never looked into.
//!
//! ```text
//! handle ──▶ pass ──▶ enough, or an error, or nothing to wait for ──▶ respond
//!             │└─▶ a look-up needs bytes: read ──[loaded]──▶ pass goes on
//!             └──▶ too little: park ──[wake, expire, forsake]──▶ last pass ──▶ respond
//! ```
//!
//! Partitions are read in the order of the request (or the session), each up to its own maximum and what is left of the
//! response's. The first batch of the first partition that has any is given whole, however large, so that a consumer
//! always gets on. A partition that Kafka cannot name (UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION) is answered last.
//!
//! - A follower's offset tells the leader what the follower has; it reads up to the log's end, consumers up to the high
//!   watermark.
//! - v11: consumers may read from followers too, and say in which rack they are; with
//!   `replica.selector.class=…RackAwareReplicaSelector` the leader names the replica to read from (KIP-392).
//! - v12: readers say in which epoch the last record was written that they have; where this log has something else, they
//!   are told where the two part (KIP-595).
//!
//! `respond.rs` makes the answer

mod respond;

use bytes::Bytes;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Asked;
use crate::arrange::Arrange;
use crate::broker::purgatory::{Parked, Reading};
use crate::broker::session::{Context, Key, Read, TopicRef, Wanted};
use crate::broker::throttle::Throttle;
use crate::broker::{Broker, Effect};
use crate::config::BrokerSettings;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, LogId, Offset};
use crate::log::Extent;
use crate::log::{Found, ReadSeek, Slice};
use crate::partition::Partition;
use crate::protocol::request::follower;
use crate::record::Compression;
use crate::time::{Duration, Instant};
use crate::view::Level;

/// From this version on consumers may read from followers.
const FIRST_FROM_FOLLOWERS: i16 = 11;

/// A Fetch under way.
#[derive(Clone)]
pub struct Fetching {
    pub asked: Asked,
    pub deadline: Instant,
    context: Context,
    /// The follower that asks; `None` is a consumer.
    replica: Option<BrokerId>,
    /// Where the consumer is; empty where it does not say.
    rack: StrBytes,
    read_committed: bool,
    min_bytes: u64,
    max_bytes: u32,
    parts: Vec<Part>,
    pass: Pass,
}

/// One partition of a fetch.
#[derive(Clone)]
struct Part {
    key: Key,
    wanted: Wanted,
    /// In the session.
    place: u64,
    /// Refused here: the name means nothing.
    log: Result<LogId, ErrorCode>,
    /// What the latest pass found.
    seen: Result<Seen, ErrorCode>,
    /// Bytes that were there when it was last looked at.
    available: u64,
    /// The response names it.
    named: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    extent: Option<Extent>,
    /// Of the log: in another one the extent means nothing.
    generation: u32,
    high_watermark: Offset,
    last_stable_offset: Offset,
    log_start_offset: Offset,
    /// Where the reader's log parts from this one: the epoch, and where it ends here.
    diverges: Option<(LeaderEpoch, Offset)>,
    /// The replica that the consumer should read from instead.
    preferred: Option<BrokerId>,
}

/// One walk over the partitions.
#[derive(Clone, Copy)]
struct Pass {
    /// The part that is next.
    next: usize,
    /// What is left of the response's maximum.
    left: u32,
    /// No partition has given anything yet.
    min_one: bool,
    /// Something is there that must not wait: an error, advice, or the rest of an older segment.
    urgent: bool,
    /// Whatever is found is sent.
    last: bool,
    /// It has waited for bytes, and what was found before that may not be so any more.
    resumed: bool,
}

impl Fetching {
    /// The logs that it reads.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        self.parts.iter().filter_map(|part| part.log.ok())
    }

    fn begin_pass(&mut self, last: bool) {
        self.pass = Pass { next: 0, left: self.max_bytes, min_one: true, urgent: false, last, resumed: false };
    }

    /// Notes what the part that was next gave.
    fn note(&mut self, result: Result<(Slice, Seen), ErrorCode>) {
        let part = &mut self.parts[self.pass.next];
        self.pass.next += 1;
        match result {
            Ok((slice, seen)) => {
                let len = slice.extent.map_or(0, |extent| extent.len);
                self.pass.left = self.pass.left.saturating_sub(len);
                self.pass.min_one &= len == 0;
                self.pass.urgent |= slice.older_segment || seen.diverges.is_some() || seen.preferred.is_some();
                part.available = u64::from(len);
                part.seen = Ok(Seen { extent: slice.extent, ..seen });
            }
            Err(error) => {
                self.pass.urgent = true;
                part.available = 0;
                part.seen = Err(error);
            }
        }
    }

    fn available(&self) -> u64 {
        self.parts.iter().map(|part| part.available).sum()
    }

    /// Up to where this client may read.
    fn upper(&self, partition: &Partition) -> Offset {
        match (self.replica, self.read_committed) {
            (Some(_), _) => partition.log.appended_end(),
            (None, true) => partition.log.last_stable_offset(),
            (None, false) => partition.log.high_watermark(),
        }
    }

    /// A log that it watches has moved on: is there enough now? Only that log is looked at. `held_back` where nothing may
    /// be sent of it.
    fn wake(&mut self, log: LogId, partition: &Partition, held_back: bool) -> bool {
        let upper = self.upper(partition);
        for part in self.parts.iter_mut().filter(|part| part.log == Ok(log)) {
            if part.wanted.fetch_offset == upper || held_back {
                continue;
            }
            if self.min_bytes <= 1 || partition.in_epoch(part.wanted.current_leader_epoch).is_err() {
                return true;
            }
            let max_bytes = part.wanted.max_bytes.max(0) as u32;
            match partition.log.read(part.wanted.fetch_offset, max_bytes, upper, true) {
                Found::Here(Ok(slice)) if !slice.older_segment => {
                    part.available = u64::from(slice.extent.map_or(0, |extent| extent.len.min(max_bytes)));
                }
                _ => return true,
            }
        }
        self.available() >= self.min_bytes
    }
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: FetchRequest, out: &mut Vec<Effect>) {
    let uses_ids = asked.version >= 13;
    let replica = follower(&body);
    let reference =
        |name: TopicName, id: Uuid| if uses_ids { TopicRef::Id(id) } else { TopicRef::Name(broker.own_name(name)) };
    let mut wanted = Vec::with_capacity(body.topics.iter().map(|topic| topic.partitions.len()).sum());
    for topic in body.topics {
        let topic_ref = reference(topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|partition| {
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start_offset: partition.log_start_offset,
            };
            Read { key: (topic_ref.clone(), partition.partition), wanted, place: 0 }
        }));
    }
    let mut forgotten = Vec::new();
    for topic in body.forgotten_topics_data {
        let topic_ref = reference(topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|&partition| (topic_ref.clone(), partition)));
    }

    let now = asked.now.instant;
    let opened = broker.sessions.open(now, body.session_id, body.session_epoch, uses_ids, wanted, &forgotten);
    let (context, wanted) = match opened {
        Ok(opened) => opened,
        Err(error) => return asked.reply(FetchResponse::default().with_error_code(error.code()), out),
    };
    let mut parts: Vec<Part> = wanted.into_iter().map(Part::new).collect();
    broker.find_logs(&mut parts);
    let is_unknown =
        |part: &Part| matches!(part.log, Err(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition));
    if parts.iter().any(is_unknown) {
        parts.arrange_by_key(is_unknown);
    }

    if let Some(replica) = replica {
        for part in &mut parts {
            if let Ok(log) = part.log
                && let Err(error) = broker.followed(log, replica, &part.wanted, out)
            {
                part.log = Err(error);
            }
        }
    }
    let mut max_bytes = (body.max_bytes.max(0) as u32).min(broker.settings.fetch_max_bytes.max(0) as u32);
    if replica.is_none()
        && let Some(most) = broker.quotas.most_fetched(now, asked.client_id.as_deref().unwrap_or_default())
    {
        // More would never be given.
        max_bytes = max_bytes.min(most);
    }
    let mut fetching = Box::new(Fetching {
        deadline: now + Duration::from_millis(body.max_wait_ms.max(0) as u64),
        context,
        replica,
        rack: if broker.settings.selects_replicas_by_rack { body.rack_id } else { StrBytes::default() },
        read_committed: body.isolation_level == 1,
        min_bytes: u64::from((body.min_bytes.max(0) as u32).min(max_bytes)),
        max_bytes,
        parts,
        pass: Pass { next: 0, left: 0, min_one: true, urgent: false, last: false, resumed: false },
        asked,
    });
    fetching.begin_pass(body.max_wait_ms <= 0);
    broker.pass(fetching, out);
}

impl Part {
    /// Not looked for yet.
    fn new(Read { key, wanted, place }: Read) -> Part {
        let unknown = ErrorCode::UnknownServerError;
        Part { key, wanted, place, log: Err(unknown), seen: Err(unknown), available: 0, named: true }
    }
}

impl Broker {
    /// A name that a session may keep: one that is cut from a request would keep the whole buffer that it came in.
    fn own_name(&self, name: TopicName) -> TopicName {
        match self.cluster.topics.get_key_value(&name) {
            Some((own, _)) => own.clone(),
            None => TopicName(StrBytes::from_string(name.0.to_string())),
        }
    }

    /// What a topic is called; `None` where an id names none.
    fn name_by<'a>(&'a self, topic: &'a TopicRef) -> Option<&'a TopicName> {
        match topic {
            TopicRef::Name(name) => Some(name),
            TopicRef::Id(id) => self.topic_names.get(id),
        }
    }

    /// Finds the logs of partitions; those of one topic follow each other, and the topic is looked for once.
    fn find_logs(&self, parts: &mut [Part]) {
        for of_topic in parts.chunk_by_mut(|one, next| one.key.0 == next.key.0) {
            let hosted = self.name_by(&of_topic[0].key.0).and_then(|name| self.hosted.get(name));
            for part in of_topic {
                part.log = match hosted.and_then(|partitions| partitions.get(&part.key.1)) {
                    Some(&log) => Ok(log),
                    None => self.hosted_by(&part.key),
                };
            }
        }
    }

    /// The same as [`hosted`](Self::hosted), and `UnknownTopicId`.
    fn hosted_by(&self, (topic, partition): &Key) -> Result<LogId, ErrorCode> {
        self.hosted(self.name_by(topic).ok_or(ErrorCode::UnknownTopicId)?, *partition)
    }

    /// Reads the partitions from where the pass stands, then responds or parks.
    fn pass(&mut self, mut fetching: Box<Fetching>, out: &mut Vec<Effect>) {
        while let Some(part) = fetching.parts.get(fetching.pass.next) {
            let found = match part.log.and_then(|log| self.looked_at(log, part, &fetching)) {
                Ok((_, seen)) if seen.diverges.is_some() || seen.preferred.is_some() => Ok((Slice::default(), seen)),
                Ok((partition, seen)) if self.is_held_back(partition, fetching.replica) => {
                    // Where it asks for what is not there it is told so all the same.
                    let upper = fetching.upper(partition);
                    let there = partition.log.log_start_offset()..=upper;
                    match there.contains(&part.wanted.fetch_offset) {
                        true => Ok((Slice::default(), seen)),
                        false => Err(ErrorCode::OffsetOutOfRange),
                    }
                }
                Ok((partition, seen)) => {
                    let max_bytes = (part.wanted.max_bytes.max(0) as u32).min(fetching.pass.left);
                    let upper = fetching.upper(partition);
                    match partition.log.read(part.wanted.fetch_offset, max_bytes, upper, fetching.pass.min_one) {
                        Found::Here(result) => result.map(|slice| (slice, seen)),
                        Found::Read(extent, seek) => {
                            let read = self.purgatory.read(Reading::Fetch(fetching, seek));
                            return out.push(Effect::Read { read, extent });
                        }
                    }
                }
                Err(error) => Err(error),
            };
            fetching.note(found);
        }
        if fetching.pass.resumed && !fetching.parts.iter().all(|part| self.still_holds(part)) {
            fetching.begin_pass(fetching.pass.last);
            return self.pass(fetching, out);
        }
        let enough = fetching.parts.is_empty() || fetching.available() >= fetching.min_bytes;
        if enough || fetching.pass.urgent || fetching.pass.last {
            self.respond(fetching, out);
        } else {
            self.purgatory.park_fetch(fetching);
        }
    }

    /// Whether what was found of a part lies where it was found.
    fn still_holds(&self, part: &Part) -> bool {
        let found =
            part.log.ok().zip(part.seen.ok()).and_then(|(log, seen)| Some((log, seen.extent?, seen.generation)));
        found.is_none_or(|(log, extent, generation)| {
            self.slot(log).is_some_and(|partition| partition.log.holds(&extent, generation))
        })
    }

    /// Bytes came that a look-up asked for.
    pub(in crate::broker) fn resume_fetch(
        &mut self,
        mut fetching: Box<Fetching>,
        seek: ReadSeek,
        bytes: &Bytes,
        out: &mut Vec<Effect>,
    ) {
        // (`read` was only asked for a part that is there.)
        let part = &fetching.parts[fetching.pass.next];
        let found = match part.log.and_then(|log| self.looked_at(log, part, &fetching)) {
            Ok((partition, seen)) => match seek.resume(&partition.log, bytes) {
                Found::Here(result) => {
                    if result == Err(ErrorCode::CorruptMessage) {
                        let (name, offset) = (&partition.name, part.wanted.fetch_offset);
                        let text =
                            format!("its files are damaged: where offset {offset} of {name} should be is no batch");
                        out.push(Effect::Note { level: Level::Bad, text });
                    }
                    result.map(|slice| (slice, seen))
                }
                Found::Read(extent, seek) => {
                    let read = self.purgatory.read(Reading::Fetch(fetching, seek));
                    return out.push(Effect::Read { read, extent });
                }
            },
            Err(error) => Err(error),
        };
        fetching.pass.resumed = true;
        fetching.note(found);
        self.pass(fetching, out);
    }

    /// The time is up, or what it waits for is not what it was: whatever is there now is the answer.
    pub(in crate::broker) fn finish_fetch(&mut self, mut fetching: Box<Fetching>, out: &mut Vec<Effect>) {
        fetching.begin_pass(true);
        self.pass(fetching, out);
    }

    /// A log has moved on: fetches that have enough now are answered.
    pub(in crate::broker) fn wake_fetches(&mut self, log: LogId, out: &mut Vec<Effect>) {
        let mut after = None;
        while let Some(ticket) = self.purgatory.fetch_after(log, after) {
            after = Some(ticket);
            let Some(partition) = self.partitions.get(log) else { return };
            let Some(Parked::Fetch(fetching)) = self.purgatory.get_mut(ticket) else { continue };
            let held_back =
                is_held_back(&self.leader_throttle, &self.settings, self.now.instant, partition, fetching.replica);
            if fetching.wake(log, partition, held_back)
                && let Some(Parked::Fetch(fetching)) = self.purgatory.take(ticket)
            {
                self.finish_fetch(fetching, out);
            }
        }
    }

    /// A follower that is not in sync gets nothing of it for now (KIP-73).
    fn is_held_back(&self, partition: &Partition, replica: Option<BrokerId>) -> bool {
        is_held_back(&self.leader_throttle, &self.settings, self.now.instant, partition, replica)
    }

    /// The partition, if this client may read it, and what there is to tell of it before it is read.
    fn looked_at(&self, log: LogId, part: &Part, fetching: &Fetching) -> Result<(&Partition, Seen), ErrorCode> {
        let partition =
            self.slot(log).ok_or_else(|| self.hosted_by(&part.key).err().unwrap_or(ErrorCode::NotLeaderOrFollower))?;
        let (version, wanted) = (fetching.asked.version, &part.wanted);
        if fetching.replica.is_some() || version < FIRST_FROM_FOLLOWERS {
            partition.led_in(wanted.current_leader_epoch)?;
        } else {
            partition.in_epoch(wanted.current_leader_epoch)?;
        }
        if version < 10 && partition.settings.compression == Some(Compression::Zstd) {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        let preferred = match fetching.replica {
            None => self.preferred_read_replica(partition, &fetching.rack, wanted.fetch_offset),
            Some(_) => None,
        };
        let diverges = match preferred {
            None => partition.diverges(wanted.last_fetched_epoch, wanted.fetch_offset)?,
            Some(_) => None,
        };
        let seen = Seen {
            extent: None,
            generation: partition.log.generation(),
            high_watermark: partition.log.high_watermark(),
            last_stable_offset: partition.log.last_stable_offset(),
            log_start_offset: partition.log.log_start_offset(),
            diverges,
            preferred,
        };
        Ok((partition, seen))
    }
}

fn is_held_back(
    throttle: &Throttle,
    settings: &BrokerSettings,
    now: Instant,
    partition: &Partition,
    replica: Option<BrokerId>,
) -> bool {
    let Some(replica) = replica.filter(|_| partition.settings.throttled_as_leader) else { return false };
    let in_sync = partition.led_in(-1).is_ok_and(|leader| leader.isr().contains(&replica));
    !in_sync && throttle.exceeded_until(now, settings.leader_throttled_rate, settings).is_some()
}
