//! The two indexes of a segment, as Kafka keeps them.
//!
//! `.index` says for some batches where they lie: (last offset of the batch, position of its first byte). `.timeindex`
//! says for some moments which was the largest timestamp so far: (timestamp, last offset of the batch that has it). In
//! the files the offsets are relative to the segment's base and all numbers big-endian: 4 + 4 bytes, 8 + 4 bytes.
//!
//! 1. Offsets and positions of `.index` rise strictly.
//! 2. Timestamps of `.timeindex` rise strictly, offsets rise.

use bytes::{BufMut, Bytes, BytesMut};

use super::chunks::Chunks;
use crate::id::Offset;
use crate::time::Timestamp;

const OFFSET_ENTRY_LEN: usize = 8;
const TIME_ENTRY_LEN: usize = 12;

/// What an append adds to the segment's two indexes, in Kafka's file formats: `.index` takes (relative offset i32,
/// position i32), `.timeindex` (timestamp i64, relative offset i32), big-endian, relative to the segment's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: Offset,
    pub position: u32,
    pub time: Option<TimeEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: Timestamp,
    pub offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetEntry {
    /// The last offset of a batch, relative to the segment's base.
    relative: u32,
    position: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentIndex {
    base: Offset,
    offsets: Chunks<OffsetEntry>,
    times: Chunks<TimeEntry>,
    /// Entries in the two files; in memory there may be fewer.
    in_files: (usize, usize),
}

impl SegmentIndex {
    pub fn new(base: Offset) -> Self {
        SegmentIndex { base, offsets: Chunks::new(), times: Chunks::new(), in_files: (0, 0) }
    }

    /// What the files say; `None` where they are not index files of a log of `log_len` bytes. Kafka's end in zeros while
    /// they are in use.
    pub fn decode(base: Offset, index: &[u8], time_index: &[u8], log_len: u64) -> Option<Self> {
        let mut decoded = SegmentIndex::new(base);
        for entry in entries(index, OFFSET_ENTRY_LEN)? {
            let relative = u32::from_be_bytes(entry[..4].try_into().ok()?);
            let position = u32::from_be_bytes(entry[4..].try_into().ok()?);
            let follows =
                decoded.offsets.last().is_none_or(|last| relative > last.relative && position > last.position);
            if !follows || u64::from(position) >= log_len || relative > i32::MAX as u32 {
                return None;
            }
            decoded.offsets.push(OffsetEntry { relative, position });
        }
        for entry in entries(time_index, TIME_ENTRY_LEN)? {
            let timestamp = Timestamp(i64::from_be_bytes(entry[..8].try_into().ok()?));
            let relative = u32::from_be_bytes(entry[8..].try_into().ok()?);
            let offset = base + i64::from(relative);
            let follows = decoded.times.last().is_none_or(|last| timestamp > last.timestamp && offset >= last.offset);
            if !follows || timestamp < Timestamp(0) || relative > i32::MAX as u32 {
                return None;
            }
            decoded.times.push(TimeEntry { timestamp, offset });
        }
        decoded.in_files = (decoded.offsets.len(), decoded.times.len());
        Some(decoded)
    }

    /// Bytes of the two files.
    pub fn file_bytes(&self) -> (u64, u64) {
        let (offsets, times) = self.in_files;
        ((offsets * OFFSET_ENTRY_LEN) as u64, (times * TIME_ENTRY_LEN) as u64)
    }

    /// The contents of the two files.
    pub fn encode(&self) -> (Bytes, Bytes) {
        let mut index = BytesMut::with_capacity(self.offsets.len() * OFFSET_ENTRY_LEN);
        for entry in self.offsets.iter() {
            index.put_u32(entry.relative);
            index.put_u32(entry.position);
        }
        let mut time_index = BytesMut::with_capacity(self.times.len() * TIME_ENTRY_LEN);
        for entry in self.times.iter() {
            time_index.put_i64(entry.timestamp.0);
            time_index.put_u32((entry.offset - self.base) as u32);
        }
        (index.freeze(), time_index.freeze())
    }

    /// `segment.index.bytes` is used up. The time index keeps its last slot for the entry that ends it.
    pub fn is_full(&self, segment_index_bytes: u32) -> bool {
        let room = segment_index_bytes as usize;
        self.offsets.len() >= room / OFFSET_ENTRY_LEN || self.times.len() + 1 >= room / TIME_ENTRY_LEN
    }

    /// Adds that the batch that ends with `offset` lies at `position`, and the largest timestamp so far where it is news:
    /// the time entry that was added.
    pub fn append(&mut self, offset: Offset, position: u32, max: Option<TimeEntry>) -> Option<TimeEntry> {
        let relative = (offset - self.base) as u32;
        let last = self.offsets.last();
        assert!(last.is_none_or(|last| relative > last.relative && position > last.position), "(1)");
        self.offsets.push(OffsetEntry { relative, position });
        self.in_files.0 += 1;
        self.append_time(max)
    }

    /// Adds the largest timestamp so far where it is news: the entry that was added.
    pub fn append_time(&mut self, max: Option<TimeEntry>) -> Option<TimeEntry> {
        let max = max?;
        if self.times.last().is_some_and(|last| max.timestamp <= last.timestamp || max.offset < last.offset) {
            return None;
        }
        self.times.push(max);
        self.in_files.1 += 1;
        Some(max)
    }

    /// From which position a search for the batch that holds `offset` must begin.
    pub fn lookup(&self, offset: Offset) -> u32 {
        let after = self.offsets.partition_point(|entry| self.base + i64::from(entry.relative) <= offset);
        after.checked_sub(1).and_then(|at| self.offsets.get(at)).map_or(0, |entry| entry.position)
    }

    /// The position of the first entry behind `position`.
    pub fn position_after(&self, position: u32) -> Option<u32> {
        let at = self.offsets.partition_point(|entry| entry.position <= position);
        self.offsets.get(at).map(|entry| entry.position)
    }

    /// From which offset a search for a record at or after `timestamp` must begin.
    pub fn lookup_time(&self, timestamp: Timestamp) -> Offset {
        let after = self.times.partition_point(|entry| entry.timestamp <= timestamp);
        after.checked_sub(1).and_then(|at| self.times.get(at)).map_or(self.base, |entry| entry.offset)
    }

    /// The largest timestamp that the time index knows.
    pub fn last_time(&self) -> Option<TimeEntry> {
        self.times.last()
    }

    /// The largest timestamp that the time index knows below `offset`.
    pub fn last_time_below(&self, offset: Offset) -> Option<TimeEntry> {
        let below = self.times.partition_point(|entry| entry.offset < offset);
        below.checked_sub(1).and_then(|at| self.times.get(at))
    }

    /// The last entry: last offset and position of its batch.
    pub fn last_offset(&self) -> Option<(Offset, u32)> {
        self.offsets.last().map(|entry| (self.base + i64::from(entry.relative), entry.position))
    }

    /// The first entry at or behind `position`: last offset and position of its batch.
    pub fn first_from(&self, position: u32) -> Option<(Offset, u32)> {
        let at = self.offsets.partition_point(|entry| entry.position < position);
        self.offsets.get(at).map(|entry| (self.base + i64::from(entry.relative), entry.position))
    }

    /// Keeps what lies below `end`.
    pub fn truncate(&mut self, end: Offset) {
        self.offsets.truncate(self.offsets.partition_point(|entry| self.base + i64::from(entry.relative) < end));
        self.times.truncate(self.times.partition_point(|entry| entry.offset < end));
        self.in_files = (self.offsets.len(), self.times.len());
    }

    /// Keeps in memory only entries at least `spacing` bytes of log apart. The files keep them all; a look-up in a thinned
    /// index reads a little more of the log.
    pub fn thin(&mut self, spacing: u32) {
        let mut next = 0;
        let kept = self.offsets.iter().filter(|entry| {
            let keep = entry.position >= next;
            if keep {
                next = entry.position.saturating_add(spacing);
            }
            keep
        });
        self.offsets = kept.collect();
        if self.times.len() > self.offsets.len() + 1 {
            // As many time entries as offset entries, evenly; the last one says which timestamp is the segment's largest.
            let stride = self.times.len().div_ceil(self.offsets.len() + 1);
            let last = self.times.len() - 1;
            let kept = self.times.iter().enumerate().filter(|(at, _)| at % stride == 0 || *at == last);
            self.times = kept.map(|(_, entry)| entry).collect();
        }
    }
}

/// The entries of an index file, without the zeros at its end: an entry that is all zeros would be a first batch's, which
/// never gets one, or a record's of 1970. `None` where the file ends within an entry.
fn entries(file: &[u8], len: usize) -> Option<impl Iterator<Item = &[u8]>> {
    let used = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(len));
    file.len().is_multiple_of(len).then(|| file[..used].chunks_exact(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(timestamp: i64, offset: Offset) -> Option<TimeEntry> {
        Some(TimeEntry { timestamp: Timestamp(timestamp), offset })
    }

    fn sample() -> SegmentIndex {
        let mut index = SegmentIndex::new(100);
        assert_eq!(index.append(109, 5_000, time(50, 104)), time(50, 104));
        assert_eq!(index.append(119, 10_000, time(50, 104)), None, "no news");
        assert_eq!(index.append(129, 15_000, time(60, 125)), time(60, 125));
        index
    }

    #[test]
    fn lookups_give_the_entry_at_or_below() {
        let index = sample();
        let positions = [100, 108, 109, 118, 119, 128, 129, 999].map(|offset| index.lookup(offset));
        assert_eq!(positions, [0, 0, 5_000, 5_000, 10_000, 10_000, 15_000, 15_000]);
        assert_eq!([49, 50, 59, 60, 99].map(|time| index.lookup_time(Timestamp(time))), [100, 104, 104, 125, 125]);
        assert_eq!(
            [0, 4_999, 5_000, 15_000].map(|at| index.position_after(at)),
            [Some(5_000), Some(5_000), Some(10_000), None]
        );
    }

    #[test]
    fn files_are_read_up_to_the_preallocated_zeros() {
        let index = sample();
        let (offsets, times) = index.encode();
        assert_eq!((offsets.len(), times.len()), (24, 24));
        let padded = |bytes: &Bytes| [bytes.as_ref(), &[0; 240]].concat();
        assert_eq!(SegmentIndex::decode(100, &padded(&offsets), &padded(&times), 20_000), Some(index));
        assert_eq!(SegmentIndex::decode(100, &[0; 80], &[0; 120], 20_000), Some(SegmentIndex::new(100)));
    }

    #[test]
    fn files_that_are_no_indexes_of_this_log_are_refused() {
        let (offsets, times) = sample().encode();
        let decode = |offsets: &[u8], times: &[u8], len| SegmentIndex::decode(100, offsets, times, len);
        assert!(decode(&offsets, &times, 15_001).is_some());
        assert!(decode(&offsets, &times, 15_000).is_none(), "the log is shorter");
        assert!(decode(&offsets[..23], &times, 20_000).is_none() && decode(&offsets, &times[..23], 20_000).is_none());
        let twice = |bytes: &Bytes| bytes.repeat(2);
        assert!(
            decode(&twice(&offsets), &times, 20_000).is_none() && decode(&offsets, &twice(&times), 20_000).is_none()
        );
        assert!(decode(&[0xff; 24], &times, 20_000).is_none() && decode(&offsets, &[0xff; 24], 20_000).is_none());
    }

    #[test]
    fn truncation_keeps_what_lies_below() {
        let mut index = sample();
        index.truncate(119);
        assert_eq!((index.last_offset(), index.last_time()), (Some((109, 5_000)), time(50, 104)));
        index.truncate(0);
        assert_eq!(index, SegmentIndex::new(100));
    }

    #[test]
    fn a_thinned_index_still_finds_a_start_at_or_before() {
        let mut index = SegmentIndex::new(0);
        for n in 1..1_000_u32 {
            index.append((n * 10).into(), n * 4_100, time((n * 7).into(), (n * 10).into()));
        }
        let whole = index.clone();
        index.thin(65_536);
        assert!(index.offsets.len() < 70 && index.times.len() < 70);
        assert_eq!(index.last_time(), whole.last_time());
        for offset in (0..10_000).step_by(37) {
            let (thin, exact) = (index.lookup(offset), whole.lookup(offset));
            assert!(thin <= exact && exact - thin <= 65_536 + 4_100, "{offset}: {thin} {exact}");
        }
    }

    #[test]
    fn full_is_what_kafka_calls_full() {
        let mut index = SegmentIndex::new(0);
        assert!(!index.is_full(24));
        index.append(1, 10, time(1, 1));
        assert!(index.is_full(24), "of two time entries one is kept for the roll");
        assert!(!index.is_full(36));
    }
}
