//! The share coordinator (KIP-932): what the leaders of share-partitions want kept of them, which records were delivered
//! and how often. The cases and their answers are those of Kafka's `ShareCoordinatorShard`.
//!
//! ```text
//! Initialize ─▶ a snapshot          Write ─▶ an update, or after many of them a snapshot        Delete ─▶ a tombstone
//! Read ─▶ the state, and from now on only that leader may write          Summary ─▶ the state without its batches
//! ```
//!
//! 1. Who writes names the epoch in which it leads, and the epoch of the state (the group coordinator raises it when it
//!    sets the start offset anew): what is older than the newest that was seen is refused.
//! 2. A topic that is deleted takes its states along.
//! 3. The topic is not compacted: what lies below every share-partition's last snapshot is deleted now and then, and what
//!    has not changed for long is written once more, so that it holds nothing up.
//!
//! `answer.rs` the answers on the wire | `combine.rs` batches put together | `record.rs` all that in `__share_group_state`

pub mod answer;
pub mod combine;
pub mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Alarm, Around, At, Decision, Event, Machine, Producer, Waiter};
use crate::config::BrokerSettings;
use crate::error::{self, ErrorCode};
use crate::id::Offset;
use crate::log::checkpoint::{parse_uuid, print_uuid};
use crate::record::Compression;
use crate::shared_map::SharedMap;
use crate::time::Duration;

use answer::{Answer, Refused};
use record::{Record, Snapshot, Update};

/// A share-partition: what a group has of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: Arc<str>,
    pub topic_id: Uuid,
    pub partition: i32,
}

/// Records that are in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBatch {
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// 0 available, 2 acknowledged, 4 archived.
    pub delivery_state: i8,
    pub delivery_count: i16,
}

/// The share-partitions of one partition of `__share_group_state`.
#[derive(Clone, Debug, Default)]
pub struct ShareStates {
    state: State,
}

/// What the log says.
#[derive(Clone, Debug, Default)]
pub struct State {
    held: SharedMap<Key, Arc<Held>>,
    /// Where the newest tombstone stands.
    last_tombstone: Offset,
}

/// Of one share-partition.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    now: Snapshot,
    /// The newest that was seen.
    leader_epoch: i32,
    state_epoch: i32,
    /// Updates since the last snapshot.
    updates: usize,
    /// Where that snapshot stands.
    offset: Offset,
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub to: To,
    pub key: Key,
    pub what: What,
}

/// Who is answered.
#[derive(Clone, Debug)]
pub enum To {
    Client(Waiter),
    /// This broker's own call of that number.
    Own(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Initialize { state_epoch: i32, start_offset: Offset },
    Read { leader_epoch: i32 },
    Write(Write),
    Delete,
    Summary { leader_epoch: i32 },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub state_epoch: i32,
    pub leader_epoch: i32,
    /// −1 is the one of before.
    pub start_offset: Offset,
    /// −1 where it is not told.
    pub delivery_complete_count: i32,
    pub batches: Vec<StateBatch>,
}

/// It is known what became of it: this broker's own call is answered so.
#[derive(Clone, Debug)]
pub struct Next {
    call: u64,
    answer: Result<Answer, Refused>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    Prune,
    ColdSnapshots,
}

#[derive(Clone, Debug)]
pub enum Order {
    Answer(u64, Result<Answer, Refused>),
    /// What nobody needs any more is to go.
    Prune,
}

/// Nothing is kept in memory alone.
#[derive(Clone, Debug)]
pub enum Move {}

impl Key {
    /// Kafka's `SharePartitionKey.asCoordinatorKey`.
    pub fn coordinator_key(&self) -> String {
        format!("{}:{}:{}", self.group, print_uuid(self.topic_id), self.partition)
    }

    /// Whether that is such a key, as Kafka sees it: the group may have colons.
    pub fn is_one(text: &str) -> bool {
        let mut tokens = text.rsplitn(3, ':');
        let (partition, topic, group) = (tokens.next(), tokens.next(), tokens.next());
        let whole = partition.is_some_and(|partition| partition.parse::<i32>().is_ok());
        whole && topic.is_some_and(|id| parse_uuid(id).is_some()) && group.is_some_and(|it| !it.trim().is_empty())
    }
}

/// As brokers' logs name it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.coordinator_key())
    }
}

impl Machine for ShareStates {
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
    fn decide(&self, around: &Around<'_>, event: Event<ShareStates>) -> Decision<ShareStates> {
        let settings = &around.settings.share;
        match event {
            Event::Asked(Ask { to, key, what }) => {
                let (records, answer) = match self.asked(around, &key, &what) {
                    Ok((record, answer)) => (record.into_iter().collect(), Ok(answer)),
                    Err(refused) => (Vec::new(), Err(refused)),
                };
                match to {
                    To::Client(waiter) => {
                        let response = Some(waiter.reply(answer::response(&key, &what, answer)));
                        Decision { records, response, ..Decision::default() }
                    }
                    To::Own(call) => Decision { records, next: Some(Next { call, answer }), ..Decision::default() },
                }
            }
            Event::Written { next: Next { call, answer }, result } => {
                let answer = result.map_err(Refused::from).and(answer);
                Decision { orders: vec![Order::Answer(call, answer)], ..Decision::default() }
            }
            Event::Loaded => {
                let prune = (Timer::Prune, Alarm::In(settings.prune_interval));
                let cold = (Timer::ColdSnapshots, Alarm::In(settings.cold_snapshot_interval));
                Decision { timers: vec![prune, cold], ..Decision::default() }
            }
            Event::Timer(Timer::Prune) => {
                let timers = vec![(Timer::Prune, Alarm::In(settings.prune_interval))];
                Decision { timers, orders: vec![Order::Prune], ..Decision::default() }
            }
            Event::Timer(Timer::ColdSnapshots) => {
                let timers = vec![(Timer::ColdSnapshots, Alarm::In(settings.cold_snapshot_interval))];
                Decision { timers, records: self.cold_snapshots(around), splits: true, ..Decision::default() }
            }
            // (2)
            Event::Cluster { deleted, .. } => {
                let is_gone = |key: &&Key| deleted.iter().any(|(_, id)| *id == key.topic_id);
                let records = self.state.held.keys().filter(is_gone).cloned().map(Record::Tombstone).collect();
                Decision { records, splits: true, ..Decision::default() }
            }
            Event::Unloading => Decision::default(),
        }
    }

    fn replay(&mut self, record: &Record, at: At) {
        let state = &mut self.state;
        match record {
            Record::Snapshot(key, snapshot) => {
                let before = state.held.get(key);
                let held = Held {
                    leader_epoch: before.map_or(i32::MIN, |held| held.leader_epoch).max(snapshot.leader_epoch),
                    state_epoch: before.map_or(i32::MIN, |held| held.state_epoch).max(snapshot.state_epoch),
                    now: snapshot.clone(),
                    updates: 0,
                    offset: at.offset,
                };
                state.held.insert(key.clone(), Arc::new(held));
            }
            Record::Update(key, update) => {
                // An update without a snapshot: the log begins in the middle.
                let Some(held) = state.held.get_mut(key) else { return };
                let held = Arc::make_mut(held);
                held.leader_epoch = held.leader_epoch.max(update.leader_epoch);
                held.updates += 1;
                let now = &mut held.now;
                if update.start_offset != -1 {
                    now.start_offset = update.start_offset;
                }
                if update.leader_epoch != -1 {
                    now.leader_epoch = update.leader_epoch;
                }
                now.delivery_complete_count = update.delivery_complete_count;
                now.batches = combine::combine(&now.batches, &update.batches, now.start_offset);
            }
            Record::Tombstone(key) => {
                state.held.remove(key);
                state.last_tombstone = at.offset;
            }
        }
    }

    fn end_transaction(&mut self, _producer: Producer, _committed: bool) {
        // Nobody writes here as part of a transaction.
    }

    fn apply(&mut self, change: Move) {
        match change {}
    }

    fn encode(record: &Record) -> (Bytes, Option<Bytes>) {
        record.encode()
    }

    fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        Record::decode(key, value)
    }

    fn write_timeout(settings: &BrokerSettings) -> Duration {
        settings.share.write_timeout
    }

    fn compression(settings: &BrokerSettings) -> Compression {
        settings.share.topic_compression
    }
}

impl State {
    /// (3) Below it lies nothing that is needed.
    pub fn redundant_below(&self) -> Option<Offset> {
        let oldest = self.held.values().map(|held| held.offset).min();
        Some(oldest.unwrap_or(self.last_tombstone)).filter(|offset| *offset > 0)
    }
}

/// Whether its offsets and counts can be reckoned with.
fn is_sound(what: &What) -> bool {
    let sound = |batch: &StateBatch| {
        batch.first_offset >= 0
            && batch.first_offset <= batch.last_offset
            && batch.last_offset < Offset::MAX
            && batch.delivery_count >= 0
    };
    match what {
        What::Initialize { start_offset, .. } => *start_offset >= -1,
        What::Write(write) => write.start_offset >= -1 && write.batches.iter().all(sound),
        What::Read { .. } | What::Delete | What::Summary { .. } => true,
    }
}

impl ShareStates {
    /// What is written, and what is said when it is.
    fn asked(&self, around: &Around<'_>, key: &Key, what: &What) -> Result<(Option<Record>, Answer), Refused> {
        use ErrorCode::*;
        if key.partition < 0 {
            return Err(Refused::because(InvalidRequest, "The partition id cannot be a negative number."));
        }
        if !is_sound(what) {
            return Err(InvalidRequest.into());
        }
        let held = self.state.held.get(key).map(|held| &**held);
        let now = around.now.wall.0;
        let answer = match (what, held) {
            (What::Initialize { state_epoch, .. }, Some(held)) if is_older(*state_epoch, held.state_epoch) => {
                return Err(FencedStateEpoch.into());
            }
            (What::Initialize { state_epoch, start_offset }, held) => {
                let snapshot = Snapshot {
                    snapshot_epoch: held.map_or(0, |held| held.now.snapshot_epoch + 1),
                    state_epoch: *state_epoch,
                    start_offset: *start_offset,
                    create_ms: now,
                    write_ms: now,
                    ..Snapshot::default()
                };
                (Some(Record::Snapshot(key.clone(), snapshot)), Answer::Initialized)
            }
            (What::Write(_), None) => {
                let why = "Write operation on uninitialized share partition not allowed.";
                return Err(Refused::because(InvalidRequest, why));
            }
            // (1)
            (What::Write(write), Some(held)) if is_older(write.leader_epoch, held.leader_epoch) => {
                return Err(FencedLeaderEpoch.into());
            }
            (What::Write(write), Some(held)) if is_older(write.state_epoch, held.state_epoch) => {
                return Err(FencedStateEpoch.into());
            }
            (What::Write(write), Some(held)) => {
                let record = held.written(around, key, write, held.now.leader_epoch);
                (Some(record), Answer::Written)
            }
            (What::Read { .. }, None) => {
                let why = "Read operation on uninitialized share partition not allowed.";
                return Err(Refused::because(InvalidRequest, why));
            }
            (What::Read { leader_epoch }, Some(held)) if held.leader_epoch > *leader_epoch => {
                return Err(FencedLeaderEpoch.into());
            }
            (What::Read { leader_epoch }, Some(held)) => {
                let write = Write {
                    state_epoch: held.now.state_epoch,
                    leader_epoch: *leader_epoch,
                    start_offset: held.now.start_offset,
                    delivery_complete_count: held.now.delivery_complete_count,
                    batches: Vec::new(),
                };
                let is_new = *leader_epoch != -1 && *leader_epoch != held.leader_epoch;
                let record = is_new.then(|| held.written(around, key, &write, *leader_epoch));
                let answer = Answer::Read {
                    state_epoch: held.now.state_epoch,
                    start_offset: held.now.start_offset,
                    batches: held.now.batches.clone(),
                };
                (record, answer)
            }
            (What::Summary { .. }, held) => {
                let unknown = Snapshot::default();
                let now = held.map_or(&unknown, |held| &held.now);
                let answer = Answer::Summary {
                    state_epoch: now.state_epoch,
                    leader_epoch: now.leader_epoch,
                    start_offset: now.start_offset,
                    delivery_complete_count: now.delivery_complete_count,
                };
                (None, answer)
            }
            (What::Delete, held) => (held.map(|_| Record::Tombstone(key.clone())), Answer::Deleted),
        };
        let topic = around.topic_names.get(&key.topic_id).and_then(|name| around.cluster.topics.get(name));
        match topic.is_some_and(|topic| key.partition < topic.partitions.len() as i32) {
            true => Ok(answer),
            false => Err(UnknownTopicOrPartition.into()),
        }
    }

    /// (3)
    fn cold_snapshots(&self, around: &Around<'_>) -> Vec<Record> {
        let now = around.now.wall.0;
        let interval = around.settings.share.cold_snapshot_interval.as_millis() as i64;
        if self.state.held.values().all(|held| held.now.create_ms != held.now.write_ms) {
            return Vec::new();
        }
        let cold = self.state.held.iter().filter(|(_, held)| now - held.now.write_ms >= interval).map(|(key, held)| {
            let snapshot_epoch = held.now.snapshot_epoch + 1;
            Record::Snapshot(key.clone(), Snapshot { snapshot_epoch, write_ms: now, ..held.now.clone() })
        });
        cold.collect()
    }
}

/// An epoch of −1 is not told.
fn is_older(epoch: i32, newest: i32) -> bool {
    epoch != -1 && epoch < newest
}

impl Held {
    fn written(&self, around: &Around<'_>, key: &Key, write: &Write, leader_epoch: i32) -> Record {
        let now = around.now.wall.0;
        let Write { start_offset, delivery_complete_count, .. } = *write;
        if self.updates < around.settings.share.updates_per_snapshot {
            let update = Update {
                snapshot_epoch: self.now.snapshot_epoch,
                leader_epoch,
                start_offset,
                batches: combine::combine(&[], &write.batches, start_offset),
                delivery_complete_count,
            };
            return Record::Update(key.clone(), update);
        }
        let start_offset = if start_offset == -1 { self.now.start_offset } else { start_offset };
        let snapshot = Snapshot {
            snapshot_epoch: self.now.snapshot_epoch + 1,
            state_epoch: if write.state_epoch == -1 { self.now.state_epoch } else { write.state_epoch },
            leader_epoch,
            start_offset,
            create_ms: now,
            write_ms: now,
            batches: combine::combine(&self.now.batches, &write.batches, start_offset),
            delivery_complete_count,
        };
        Record::Snapshot(key.clone(), snapshot)
    }
}

impl From<ErrorCode> for Refused {
    /// In Kafka's words.
    fn from(error: ErrorCode) -> Refused {
        Refused { error, message: Some(error::message(error).into_owned()) }
    }
}
