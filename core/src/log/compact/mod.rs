//! Compaction: of every key the last record stays, as in Kafka's cleaner.
//!
//! ```text
//!   0                 first_dirty          first_uncleanable       end
//!   │ ◄── clean ────────► │ ◄── its keys are learnt ──► │ ◄── active ──► │
//!   └─────────────────────┴─────────────────────────────┘
//!     all of it is thinned out, group of segments by group, each into one new segment
//!
//! begin ─▶ Indexing ─[every key is learnt, or the map is full]─▶ Filtering ─[a group is written]─▶ Sealing
//!                                                                   ▲─────[it is safe: replaced]──────┘
//! any ─[the log was cut, or begun anew]─▶ given up: what is written aside goes
//! ```
//!
//! 1. Nothing is cleaned at or above the last stable offset, nor what is younger than `min.compaction.lag.ms`, nor the
//!    active segment.
//! 2. Offsets never change: what stays keeps its offset, a new segment the first base offset of those that it replaces.
//! 3. A group has at most `segment.bytes`, and index files of at most `segment.index.bytes`.
//! 4. What replaces segments is whole and safe on the disk before it does. Replies that were given before read the old ones.
//! 5. While a log is cleaned, retention leaves it alone.
//!
//! The broker's cleaner ([`crate::broker::cleaner`]) says which log and when; a driver does the [`Job`]s.
//!
//! `offset_map.rs` the keys | `job.rs` what is done with bytes | `transactions.rs` markers, aborted records, producers

mod job;
mod offset_map;
mod transactions;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::aborted;
use super::chunks::Chunks;
use super::lookup::Place;
use super::newest::NEWEST;
use super::segment::Segment;
use super::{Extent, Log, THIN_BYTES};
use crate::broker::Effect;
use crate::id::Offset;
use crate::record::batch::HEADER_LEN;
use crate::time::{Now, Timestamp};
use crate::vec_set::VecSet;

pub use job::{Done, Job};
use job::{Filter, Index, Kept, Outcome, Taken};
use offset_map::OffsetMap;
use transactions::Transactions;

/// What of a log could be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    pub first_dirty: Offset,
    /// Base offset of the first segment that must stay as it is.
    pub first_uncleanable: Offset,
    clean_bytes: u64,
    dirty_bytes: u64,
    /// `max.compaction.lag.ms` is over.
    is_overdue: bool,
}

/// What cleaning may take, from the broker's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the map of keys.
    pub map_bytes: u64,
    /// How full it may become.
    pub load_per_million: u64,
    /// Bytes that are read at once; a larger batch is read whole.
    pub chunk_bytes: u32,
}

/// What comes next in cleaning a log.
#[derive(Clone, Debug)]
pub enum Step {
    /// Read these bytes and do this with them; then [`Cleaning::worked`].
    Work(Extent, Job),
    /// Make what is written aside safe, with these index files; then [`Cleaning::sealed`].
    Seal {
        segment: Offset,
        files: Box<IndexFiles>,
        modified: Timestamp,
    },
    Over(Over),
}

/// What lies beside a segment.
#[derive(Clone, Debug, Default)]
pub struct IndexFiles {
    pub index: Bytes,
    pub time_index: Bytes,
    /// Empty where no transaction was aborted: there is to be no such file.
    pub txn_index: Bytes,
}

/// How cleaning a log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    Cleaned(Cleaned),
    /// The log is not what it was: it is looked at again.
    Aborted,
    /// The log cannot be cleaned, and why.
    Corrupt(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub from: Offset,
    pub end: Offset,
    pub bytes: u64,
    pub bytes_left: u64,
    pub records: u64,
    pub records_left: u64,
}

/// One log that is being cleaned.
#[derive(Clone, Debug)]
pub struct Cleaning {
    generation: u32,
    first_uncleanable: Offset,
    chunk_bytes: u32,
    /// Bytes of the chunk that comes next.
    wanted: u32,
    /// Where it begins.
    segment: Offset,
    position: u32,
    stage: Stage,
    cleaned: Cleaned,
}

#[derive(Clone, Debug)]
enum Stage {
    /// (The index is `None` while it is being worked on, and so is the filter.)
    Indexing {
        index: Option<Index>,
        delete_retention_ms: i64,
        now: Timestamp,
    },
    Filtering {
        filter: Option<Filter>,
        groups: VecDeque<Group>,
        new: Option<Replacement>,
    },
    Sealing {
        filter: Filter,
        groups: VecDeque<Group>,
        new: Replacement,
    },
    Over,
}

/// Segments that become one.
#[derive(Clone, Debug)]
struct Group {
    bases: VecDeque<Offset>,
    /// Base offset of the segment behind them.
    below: Offset,
    modified: Timestamp,
}

/// A segment that is being written aside.
#[derive(Clone, Debug)]
struct Replacement {
    segment: Segment,
    /// Its last batches.
    places: Chunks<Place>,
    below: Offset,
}

impl Cleanable {
    pub fn is_empty(&self) -> bool {
        self.clean_bytes + self.dirty_bytes == 0
    }

    /// The log is dirty enough, or has waited for too long.
    pub fn is_due(&self, min_dirty_per_million: u32) -> bool {
        let total = u128::from(self.clean_bytes + self.dirty_bytes);
        let dirty = u128::from(self.dirty_bytes) * 1_000_000;
        (self.is_overdue && self.dirty_bytes > 0) || dirty > total * u128::from(min_dirty_per_million)
    }

    /// Whether it is dirtier than another.
    pub fn is_dirtier_than(&self, other: &Cleanable) -> bool {
        let share =
            |one: &Cleanable, by: &Cleanable| u128::from(one.dirty_bytes) * u128::from(by.clean_bytes + by.dirty_bytes);
        share(self, other) > share(other, self)
    }
}

impl Log {
    /// Everything below was cleaned; goes into `cleaner-offset-checkpoint`. `None` where nothing was.
    pub fn cleaned(&self) -> Option<Offset> {
        self.cleaned
    }

    /// What could be cleaned now.
    pub fn cleanable(&self, now: Timestamp) -> Cleanable {
        let start = self.log_start_offset();
        let first_dirty = self.cleaned.filter(|end| (start..=self.end()).contains(end)).unwrap_or(start);
        let active = self.active().base;
        let dirty = self.segments_between(first_dirty, active);
        let lag_ms = self.config.min_compaction_lag_ms.max(0);
        let too_new = |segment: &&Arc<Segment>| segment.largest_timestamp().0 > now.0.saturating_sub(lag_ms);
        let too_new = dirty.iter().find(too_new).filter(|_| lag_ms > 0).map(|segment| segment.base);
        // (1)
        let limits = [Some(self.last_stable_offset()), Some(active), too_new];
        let limit = limits.into_iter().flatten().min().unwrap_or(active).max(first_dirty);
        let first_uncleanable = self.segment_for(limit).map_or(active, |segment| segment.base).min(active);

        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| u64::from(segment.size)).sum();
        let first_times = dirty.iter().filter_map(|segment| segment.first_timestamp).filter(|time| time.0 > 0);
        let overdue = now.0.saturating_sub(self.config.max_compaction_lag_ms.max(0));
        Cleanable {
            first_dirty,
            first_uncleanable,
            clean_bytes: bytes(&self.segments[..self.segments.partition_point(|segment| segment.base < first_dirty)]),
            dirty_bytes: bytes(self.segments_between(first_dirty.min(first_uncleanable), first_uncleanable)),
            is_overdue: first_times.min().is_some_and(|first| first.0 < overdue),
        }
    }

    /// Puts a segment in the place of those from its base up to `below` (4).
    fn replace(&mut self, new: Replacement, out: &mut Vec<Effect>) {
        let Replacement { mut segment, places, below } = new;
        let (log, base) = (self.id, segment.base);
        segment.index.thin(THIN_BYTES);
        let from = self.segments.partition_point(|segment| segment.base < base);
        let to = self.segments.partition_point(|segment| segment.base < below);
        let gone: VecSet<Offset> =
            self.segments[from..to].iter().map(|old| old.base).filter(|old| *old > base).collect();
        self.segments.splice(from..to, [Arc::new(segment)]);
        self.newest.replace(below, &places);
        self.generation = self.generation.wrapping_add(1);
        out.push(Effect::Replace { log, segment: base, below });
        self.erase_snapshots(|at| gone.contains(&at), out);
        self.assert_invariants();
    }

    /// Kafka's `logSegments(from, to)`: the segment in which `from` lies, and those behind it that begin below `to`.
    fn segments_between(&self, from: Offset, to: Offset) -> &[Arc<Segment>] {
        let first = self.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        let last = self.segments.partition_point(|segment| segment.base < to);
        if from < to { &self.segments[first.min(last)..last] } else { &[] }
    }

    /// The segments below `end`, in groups (3).
    fn groups(&self, end: Offset, first_uncleanable: Offset) -> VecDeque<Group> {
        let segments = &self.segments[..self.segments.partition_point(|segment| segment.base < end)];
        let behind = |at: usize| self.segments.get(at + 1).map_or(first_uncleanable, |next| next.base);
        let mut groups = VecDeque::new();
        let mut at = 0;
        while let Some(first) = segments.get(at) {
            let mut group = Group { bases: [first.base].into(), below: behind(at), modified: first.modified };
            let (mut bytes, mut indexes) = (u64::from(first.size), first.index.file_bytes());
            at += 1;
            while let Some(next) = segments.get(at) {
                let (offsets, times) = next.index.file_bytes();
                let room = u64::from(self.config.segment_index_bytes);
                let fits = bytes + u64::from(next.size) <= u64::from(self.config.segment_bytes)
                    && indexes.0 + offsets <= room
                    && indexes.1 + times <= room
                    // Offsets in index files are relative to the base. An empty segment has none.
                    && (next.size == 0 || first.can_hold(behind(at).min(first_uncleanable) - 1));
                if !fits {
                    break;
                }
                group.bases.push_back(next.base);
                (group.below, group.modified) = (behind(at), next.modified);
                bytes += u64::from(next.size);
                indexes = (indexes.0 + offsets, indexes.1 + times);
                at += 1;
            }
            groups.push_back(group);
        }
        groups
    }
}

impl Cleaning {
    /// Begins to clean what `cleanable` says.
    pub fn begin(log: &Log, cleanable: Cleanable, limits: &Limits, now: Now) -> Cleaning {
        let Cleanable { first_dirty, first_uncleanable, .. } = cleanable;
        let map = OffsetMap::new(limits.map_bytes);
        let limit = map.room() as u128 * u128::from(limits.load_per_million) / 1_000_000;
        let mut transactions = Transactions::default();
        transactions.add(log.aborted_between(first_dirty, first_uncleanable));
        let limit = limit.min(map.room() as u128) as usize;
        let index = Index { map: Arc::new(map), from: first_dirty, limit, full: false, transactions };
        let first = log.segments_between(first_dirty, first_uncleanable).first();
        let chunk_bytes = limits.chunk_bytes.max(HEADER_LEN as u32);
        Cleaning {
            generation: log.generation,
            first_uncleanable,
            chunk_bytes,
            wanted: chunk_bytes,
            segment: first.map_or(first_uncleanable, |first| first.base),
            position: first.map_or(0, |first| first.index.lookup(first_dirty)),
            stage: Stage::Indexing {
                index: Some(index),
                delete_retention_ms: log.config.delete_retention_ms,
                now: now.wall,
            },
            cleaned: Cleaned { from: first_dirty, end: first_dirty, ..Cleaned::default() },
        }
    }

    /// What to do first.
    pub fn start(&mut self, log: &mut Log, out: &mut Vec<Effect>) -> Step {
        self.go_on(log, out)
    }

    /// The driver has done what [`Step::Work`] asked for.
    pub fn worked(&mut self, log: &mut Log, done: Done, out: &mut Vec<Effect>) -> Step {
        if self.generation != log.generation {
            return self.give_up(log, Over::Aborted, out);
        }
        match done.outcome {
            Ok(Outcome::Taken(taken)) => {
                self.position += taken.bytes;
                self.wanted = self.chunk_bytes;
                if let Err(why) = self.take(log, taken, out) {
                    return self.give_up(log, Over::Corrupt(why), out);
                }
            }
            Ok(Outcome::Larger(size)) if size > self.wanted && size <= self.left(log) => self.wanted = size,
            Ok(Outcome::Larger(size)) => {
                let why = format!("a batch of {size} bytes where {} are left", self.left(log));
                return self.give_up(log, Over::Corrupt(why), out);
            }
            Err(why) => return self.give_up(log, Over::Corrupt(why), out),
        }
        match (done.job, &mut self.stage) {
            (Job::Index(done), Stage::Indexing { index, .. }) => *index = Some(done),
            (Job::Filter(done), Stage::Filtering { filter, .. }) => *filter = Some(done),
            (job, _) => unreachable!("nobody asked to {job}"),
        }
        self.go_on(log, out)
    }

    /// What was written aside is safe.
    pub fn sealed(&mut self, log: &mut Log, out: &mut Vec<Effect>) -> Step {
        if self.generation != log.generation {
            return self.give_up(log, Over::Aborted, out);
        }
        let Stage::Sealing { mut filter, groups, new } = std::mem::replace(&mut self.stage, Stage::Over) else {
            unreachable!("nobody asked to seal");
        };
        log.replace(new, out);
        self.generation = log.generation;
        self.enter(log, &mut filter, &groups);
        self.stage = Stage::Filtering { filter: Some(filter), groups, new: None };
        self.go_on(log, out)
    }

    /// Stops; what is written aside goes.
    pub fn abort(&mut self, log: &Log, out: &mut Vec<Effect>) {
        self.give_up(log, Over::Aborted, out);
    }

    fn go_on(&mut self, log: &mut Log, out: &mut Vec<Effect>) -> Step {
        if self.generation != log.generation {
            return self.give_up(log, Over::Aborted, out);
        }
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Indexing { index: Some(mut index), delete_retention_ms, now } => {
                    if index.full || self.segment >= self.first_uncleanable {
                        self.indexed(log, index, delete_retention_ms, now);
                    } else if let Some(extent) = self.chunk(log) {
                        self.stage = Stage::Indexing { index: None, delete_retention_ms, now };
                        return Step::Work(extent, Job::Index(index));
                    } else {
                        // There may be no record at the segment's end any more.
                        let next = log.segment_after(self.segment).map_or(self.first_uncleanable, |next| next.base);
                        Arc::make_mut(&mut index.map).set_latest(next - 1);
                        (self.segment, self.position) = (next, 0);
                        self.stage = Stage::Indexing { index: Some(index), delete_retention_ms, now };
                    }
                }
                Stage::Filtering { filter: Some(mut filter), mut groups, new } => {
                    let Some(group) = groups.front_mut() else {
                        log.cleaned = Some(self.cleaned.end);
                        return Step::Over(Over::Cleaned(self.cleaned.clone()));
                    };
                    let mut new = new.unwrap_or_else(|| Replacement::of(group, filter.now));
                    if let Some(extent) = self.chunk(log) {
                        self.stage = Stage::Filtering { filter: None, groups, new: Some(new) };
                        return Step::Work(extent, Job::Filter(filter));
                    }
                    group.bases.pop_front();
                    if !group.bases.is_empty() {
                        self.enter(log, &mut filter, &groups);
                        self.stage = Stage::Filtering { filter: Some(filter), groups, new: Some(new) };
                        continue;
                    }
                    groups.pop_front();
                    filter.transactions.take_kept().into_iter().for_each(|aborted| new.segment.aborted.push(aborted));
                    return self.seal(filter, groups, new);
                }
                _ => unreachable!("a cleaning goes on when its job is done"),
            }
        }
    }

    /// Every key is known that there is room for: from here on it is decided what stays.
    fn indexed(&mut self, log: &Log, index: Index, delete_retention_ms: i64, now: Timestamp) {
        self.cleaned.end = (index.map.latest() + 1).max(self.cleaned.from);
        let groups = log.groups(self.cleaned.end, self.first_uncleanable);
        let mut filter = Filter {
            map: index.map,
            now,
            delete_retention_ms,
            upper_bound: self.first_uncleanable,
            last_records: Arc::new(log.last_records_of_producers()),
            transactions: Transactions::default(),
        };
        self.enter(log, &mut filter, &groups);
        self.stage = Stage::Filtering { filter: Some(filter), groups, new: None };
    }

    /// Goes to the first segment of the first group, if there is one.
    fn enter(&mut self, log: &Log, filter: &mut Filter, groups: &VecDeque<Group>) {
        let Some(group) = groups.front() else { return };
        (self.segment, self.position) = (group.bases[0], 0);
        let below = group.bases.get(1).copied().unwrap_or(group.below);
        filter.transactions.add(log.aborted_between(self.segment, below));
    }

    /// Takes down what is left of a chunk.
    fn take(&mut self, log: &Log, taken: Taken, out: &mut Vec<Effect>) -> Result<(), String> {
        let Stage::Filtering { new: Some(new), .. } = &mut self.stage else { return Ok(()) };
        let before = new.segment.size;
        new.take(log, taken.kept, out)?;
        self.cleaned.bytes += u64::from(taken.bytes);
        self.cleaned.bytes_left += u64::from(new.segment.size - before);
        self.cleaned.records += taken.records;
        self.cleaned.records_left += taken.records_left;
        Ok(())
    }

    fn seal(&mut self, filter: Filter, groups: VecDeque<Group>, mut new: Replacement) -> Step {
        let segment = &mut new.segment;
        segment.index.append_time(segment.max);
        let (index, time_index) = segment.index.encode();
        let txn_index = aborted::encode(segment.aborted.iter());
        let (segment, modified) = (segment.base, segment.modified);
        self.stage = Stage::Sealing { filter, groups, new };
        Step::Seal { segment, files: Box::new(IndexFiles { index, time_index, txn_index }), modified }
    }

    fn give_up(&mut self, log: &Log, over: Over, out: &mut Vec<Effect>) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Filtering { new: Some(new), .. } | Stage::Sealing { new, .. } => {
                out.push(Effect::Discard { log: log.id, segment: new.segment.base });
            }
            _ => {}
        }
        Step::Over(over)
    }

    /// Bytes of the segment that were not looked at.
    fn left(&self, log: &Log) -> u32 {
        log.segment(self.segment).map_or(0, |segment| segment.size.saturating_sub(self.position))
    }

    /// The next of them; `None` at the segment's end.
    fn chunk(&self, log: &Log) -> Option<Extent> {
        let len = self.left(log).min(self.wanted);
        (len > 0).then_some(Extent { log: log.id, segment: self.segment, position: self.position, len })
    }
}

impl Replacement {
    fn of(group: &Group, now: Timestamp) -> Replacement {
        let segment = Segment { modified: group.modified, ..Segment::new(group.bases[0], now) };
        Replacement { segment, places: Chunks::new(), below: group.below }
    }

    /// Adds batches.
    fn take(&mut self, log: &Log, kept: Vec<Kept>, out: &mut Vec<Effect>) -> Result<(), String> {
        let (base, position) = (self.segment.base, self.segment.size);
        for Kept { header, bytes } in &kept {
            let size = bytes.len() as u32;
            if u64::from(self.segment.size) + u64::from(size) > i32::MAX as u64 {
                return Err("what is left of its segments is larger than a segment can be".to_owned());
            }
            let place = Place {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                segment: base,
                position: self.segment.size,
                size,
                max_timestamp: header.max_timestamp,
                leader_epoch: header.partition_leader_epoch,
                producer_id: header.producer_id,
                transactional: header.is_transactional(),
                control: header.is_control(),
            };
            self.segment.take(&place, log.config.index_interval_bytes);
            self.places.push(place);
            self.places.shed(NEWEST);
        }
        if !kept.is_empty() {
            let batches = kept.into_iter().map(|kept| kept.bytes).collect();
            out.push(Effect::Clean { log: log.id, segment: base, position, batches });
        }
        Ok(())
    }
}
