//! Transactions that were aborted, segment by segment, in Kafka's `.txnindex` files: what a read_committed consumer must
//! leave out of what it reads.
//!
//! ```text
//! version i16 (0) | producer_id i64 | first_offset i64 | last_offset i64 | last_stable_offset i64
//! ```
//!
//! 1. In a segment's index are the transactions whose markers are in the segment, in the order of their markers.

use bytes::{BufMut, Bytes, BytesMut};

use super::chunks::Chunks;
use super::segment::Segment;
use super::{Extent, Log};
use crate::broker::Effect;
use crate::id::Offset;

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 34;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    pub producer_id: i64,
    pub first_offset: Offset,
    /// Of the marker.
    pub last_offset: Offset,
    /// When the marker was written, everything below was decided: of what ends later nothing lies there.
    pub last_stable_offset: Offset,
}

impl Aborted {
    fn encode(&self, out: &mut BytesMut) {
        out.put_i16(0);
        out.put_i64(self.producer_id);
        out.put_i64(self.first_offset);
        out.put_i64(self.last_offset);
        out.put_i64(self.last_stable_offset);
    }

    fn decode(entry: &[u8]) -> Option<Aborted> {
        let at = |at: usize| Some(i64::from_be_bytes(entry.get(at..at + 8)?.try_into().ok()?));
        // Kafka reads the first byte alone, and knows no version but 0.
        (*entry.first()? == 0).then_some(())?;
        Some(Aborted { producer_id: at(2)?, first_offset: at(10)?, last_offset: at(18)?, last_stable_offset: at(26)? })
    }
}

/// What a `.txnindex` of the segment at `base` holds, as far as it makes sense.
pub fn decode(base: Offset, file: &[u8]) -> Chunks<Aborted> {
    let mut found: Chunks<Aborted> = Chunks::new();
    for entry in file.chunks_exact(ENTRY_LEN) {
        let after = found.last().map_or(base, |last| last.last_offset + 1);
        match Aborted::decode(entry).filter(|one| one.last_offset >= after && one.first_offset <= one.last_offset) {
            Some(aborted) => found.push(aborted),
            None => break,
        }
    }
    found
}

pub(super) fn encode(entries: impl Iterator<Item = Aborted>) -> Bytes {
    let mut bytes = BytesMut::new();
    entries.for_each(|aborted| aborted.encode(&mut bytes));
    bytes.freeze()
}

impl Segment {
    /// Keeps those whose markers lie below `end`. True if any goes.
    pub(super) fn forget_aborted(&mut self, end: Offset) -> bool {
        let kept = self.aborted.partition_point(|one| one.last_offset < end);
        let goes = kept < self.aborted.len();
        self.aborted.truncate(kept);
        goes
    }
}

impl Log {
    /// Takes down an aborted transaction whose marker is the last batch of the log.
    pub(super) fn index_aborted(&mut self, aborted: Aborted, out: &mut Vec<Effect>) {
        let segment = self.active_mut();
        let position = (segment.aborted.len() * ENTRY_LEN) as u32;
        segment.aborted.push(aborted);
        let segment = segment.base;
        let entries = encode(std::iter::once(aborted));
        out.push(Effect::IndexAborted { log: self.id(), segment, position, entries });
    }

    /// Writes a segment's index from the entry `from` on anew.
    pub(super) fn reindex_aborted(&self, segment: &Segment, from: usize, out: &mut Vec<Effect>) {
        let entries = encode((from..segment.aborted.len()).filter_map(|at| segment.aborted.get(at)));
        let position = (from * ENTRY_LEN) as u32;
        out.push(Effect::IndexAborted { log: self.id(), segment: segment.base, position, entries });
    }

    /// The aborted transactions that may have records in what a fetch from `offset` gives.
    pub fn aborted_in(&self, offset: Offset, extent: &Extent) -> Vec<Aborted> {
        let first = self.segments.partition_point(|segment| segment.base <= extent.segment).saturating_sub(1);
        let upper = self.upper_bound(&self.segments[first], extent.position + extent.len);
        self.aborted_from(first, offset, upper)
    }

    /// Those that have records, or the marker, from `from` on and below `to`: what compaction of these must know.
    pub(super) fn aborted_between(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        let first = self.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        self.aborted_from(first, from, to)
    }

    fn aborted_from(&self, first: usize, offset: Offset, upper: Offset) -> Vec<Aborted> {
        let mut found = Vec::new();
        for segment in &self.segments[first..] {
            let ends_before = segment.aborted.partition_point(|one| one.last_offset < offset);
            for one in (ends_before..segment.aborted.len()).filter_map(|at| segment.aborted.get(at)) {
                if one.first_offset < upper {
                    found.push(one);
                }
                if one.last_stable_offset >= upper {
                    return found;
                }
            }
        }
        found
    }

    /// An offset above all batches before `position`, as near as the index knows it.
    fn upper_bound(&self, segment: &Segment, position: u32) -> Offset {
        let known = segment.index.first_from(position).map(|(offset, _)| offset);
        known.or_else(|| self.segment_after(segment.base).map(|next| next.base)).unwrap_or(self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Aborted = Aborted { producer_id: 7, first_offset: 10, last_offset: 12, last_stable_offset: 11 };

    #[test]
    fn entries_have_kafkas_bytes_and_what_makes_no_sense_ends_the_index() {
        let two = Aborted { last_offset: 20, ..ONE };
        let bytes = encode([ONE, two].into_iter());
        assert_eq!(
            bytes[..ENTRY_LEN],
            *[
                &[0, 0][..],
                &[0, 0, 0, 0, 0, 0, 0, 7],
                &[0, 0, 0, 0, 0, 0, 0, 10],
                &[0, 0, 0, 0, 0, 0, 0, 12],
                &[0, 0, 0, 0, 0, 0, 0, 11]
            ]
            .concat()
        );
        let read = |base, bytes: &[u8]| decode(base, bytes).iter().collect::<Vec<_>>();
        assert_eq!(read(5, &bytes), [ONE, two]);
        assert_eq!(read(5, &bytes[..ENTRY_LEN + 33]), [ONE], "a torn one");
        assert_eq!(read(13, &bytes), [], "of another segment");
        assert_eq!(read(5, &bytes.repeat(2)), [ONE, two]);
        assert_eq!(read(5, &[1; 68]), []);
    }
}
