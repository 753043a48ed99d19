//! One segment: a `.log` file, what is known of it, and when to leave it for the next.

use super::LogConfig;
use super::aborted::Aborted;
use super::chunks::Chunks;
use super::index::{IndexEntry, SegmentIndex, TimeEntry};
use super::lookup::Place;
use crate::id::Offset;
use crate::rng::Seed;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub base: Offset,
    /// Bytes.
    pub size: u32,
    pub index: SegmentIndex,
    /// Transactions whose abort markers are here.
    pub aborted: Chunks<Aborted>,
    /// The largest timestamp, with the last offset of the first batch that has it.
    pub max: Option<TimeEntry>,
    /// The largest timestamp of the first batch; `segment.ms` counts from there. `None` while the segment is empty.
    pub first_timestamp: Option<Timestamp>,
    /// Bytes since the batch that has the last index entry, that batch included.
    pub bytes_since_index: u32,
    /// When this process made or opened it.
    pub created: Timestamp,
    /// When it was last written to.
    pub modified: Timestamp,
}

impl Segment {
    pub fn new(base: Offset, now: Timestamp) -> Self {
        Segment {
            base,
            size: 0,
            index: SegmentIndex::new(base),
            aborted: Chunks::new(),
            max: None,
            first_timestamp: None,
            bytes_since_index: 0,
            created: now,
            modified: now,
        }
    }

    /// Takes down where the next batch lies: the index entry that it adds.
    pub fn take(&mut self, place: &Place, interval: u32) -> Option<IndexEntry> {
        self.first_timestamp.get_or_insert(place.max_timestamp);
        if place.max_timestamp > self.max.map_or(Timestamp::NONE, |max| max.timestamp) {
            self.max = Some(TimeEntry { timestamp: place.max_timestamp, offset: place.last_offset });
        }
        let entry = (self.bytes_since_index > interval).then(|| {
            self.bytes_since_index = 0;
            let time = self.index.append(place.last_offset, place.position, self.max);
            IndexEntry { offset: place.last_offset, position: place.position, time }
        });
        self.bytes_since_index = self.bytes_since_index.saturating_add(place.size);
        self.size += place.size;
        entry
    }

    /// Whether a batch must go into a new segment (Kafka's `LogSegment.shouldRoll`): it would take this one over
    /// `segment.bytes`, `segment.ms` is over, an index is full, or its offset is too far from the base for an index.
    pub fn should_roll(
        &self,
        config: &LogConfig,
        now: Timestamp,
        size: u32,
        last_offset: Offset,
        max_timestamp: Timestamp,
    ) -> bool {
        u64::from(self.size) + u64::from(size) > u64::from(config.segment_bytes)
            || (self.size > 0 && self.waited_ms(now, max_timestamp) > self.patience_ms(config))
            || self.index.is_full(config.segment_index_bytes)
            || !self.can_hold(last_offset)
    }

    /// Offsets in index files are 31 bits, relative to the base.
    pub fn can_hold(&self, offset: Offset) -> bool {
        (0..=i64::from(i32::MAX)).contains(&(offset - self.base))
    }

    /// By the timestamps of the records where they have any, else by the wall clock.
    fn waited_ms(&self, now: Timestamp, max_timestamp: Timestamp) -> i64 {
        match self.first_timestamp {
            Some(first) if first >= Timestamp(0) => max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(self.created.0),
        }
    }

    /// `segment.ms` less a jitter below `segment.jitter.ms`, so that the segments of many logs do not all roll at once.
    fn patience_ms(&self, config: &LogConfig) -> i64 {
        let jitter = match config.segment_jitter_ms.min(config.segment_ms) {
            0 => 0,
            // The same for every look at the same segment.
            bound => Seed(self.base as u64 ^ self.created.0 as u64).stream("segment.jitter.ms").below(bound),
        };
        i64::try_from(config.segment_ms - jitter).unwrap_or(i64::MAX)
    }

    /// The timestamp that `retention.ms` counts from: the file's own where the records have none.
    pub fn largest_timestamp(&self) -> Timestamp {
        self.max.map_or(self.modified, |max| max.timestamp)
    }
}
