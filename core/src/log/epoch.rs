//! The leader epoch cache: which leader epoch began at which offset, for every epoch that has records in the log. Kept
//! in `leader-epoch-checkpoint`.
//!
//! 1. Epochs and start offsets rise strictly.

use super::checkpoint::{Malformed, Table};
use crate::id::{LeaderEpoch, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// Reads a `leader-epoch-checkpoint`.
    pub fn parse(text: &[u8]) -> Result<EpochCache, Malformed> {
        let mut cache = EpochCache::default();
        for row in Table::parse(text)?.rows {
            let [epoch, start] = row.fields()?;
            let (epoch, start_offset): (LeaderEpoch, Offset) = (row.number(epoch)?, row.number(start)?);
            if epoch < 0 || start_offset < 0 {
                return Err(row.malformed(format!("epoch {epoch} at offset {start_offset} is negative")));
            }
            cache.assign(epoch, start_offset);
        }
        Ok(cache)
    }

    /// The text of a `leader-epoch-checkpoint`.
    pub fn print(&self) -> String {
        Table::print(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
    }

    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// `epoch` begins at `start_offset`. Entries that contradict it give way: nothing was written under them. True if
    /// that changed anything.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if self.latest().is_some_and(|latest| latest.epoch == epoch && start_offset >= latest.start_offset) {
            return false;
        }
        let stays = |entry: &EpochEntry| entry.epoch < epoch && entry.start_offset < start_offset;
        while self.latest().is_some_and(|latest| !stays(&latest)) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// OffsetForLeaderEpoch: the largest epoch at or below `epoch`, and where it ends. An epoch below all that are known
    /// ends where the first known one begins; `None` where `epoch` lies above all that are known.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch < 0 {
            return None;
        }
        if self.latest().is_some_and(|latest| latest.epoch == epoch) {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(higher)?.start_offset;
        let found = higher.checked_sub(1).map_or(epoch, |at| self.entries[at].epoch);
        Some((found, end))
    }

    /// The log now ends at `end`. True if that changed anything.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end);
        let changes = kept < self.entries.len();
        self.entries.truncate(kept);
        changes
    }

    /// The log now begins at `start`. True if that changed anything.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let begun = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(current) = begun.checked_sub(1) else { return false };
        let changes = current > 0 || self.entries[0].start_offset < start;
        self.entries.drain(..current);
        self.entries[0].start_offset = start;
        changes
    }

    pub fn clear(&mut self) -> bool {
        let changes = !self.entries.is_empty();
        self.entries.clear();
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(LeaderEpoch, Offset)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start) in entries {
            assert!(cache.assign(*epoch, *start));
        }
        cache
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let cache = cache(&[(2, 6), (5, 7), (7, 12)]);
        let end = |epoch| cache.end_offset_for(epoch, 20);
        assert_eq!([end(-1), end(1), end(2), end(3)], [None, Some((1, 6)), Some((2, 7)), Some((2, 7))]);
        assert_eq!([end(5), end(6), end(7), end(8)], [Some((5, 12)), Some((5, 12)), Some((7, 20)), None]);
    }

    #[test]
    fn a_new_entry_drops_those_that_contradict_it() {
        let mut cache = cache(&[(1, 0), (3, 10), (4, 10)]);
        assert_eq!(cache.entries.len(), 2, "epoch 3 wrote nothing");
        assert!(!cache.assign(4, 15), "the epoch goes on");
        assert!(cache.assign(2, 8));
        assert_eq!(cache.print(), "0\n2\n1 0\n2 8\n");
    }

    #[test]
    fn truncation_moves_the_first_and_drops_the_last() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(cache.truncate_from_end(20) && !cache.truncate_from_end(15));
        assert!(cache.truncate_from_start(12) && !cache.truncate_from_start(12));
        assert_eq!(cache.entries, [EpochEntry { epoch: 2, start_offset: 12 }]);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let cache = cache(&[(0, 0), (3, 90)]);
        assert_eq!(EpochCache::parse(cache.print().as_bytes()), Ok(cache));
        assert_eq!(EpochCache::parse(b"0\n1\n0 0\n"), Ok(self::cache(&[(0, 0)])), "Kafka's own");
        let error = EpochCache::parse(b"0\n1\n0 x\n").unwrap_err();
        assert_eq!(error.to_string(), "line 3: `x` is not a number");
    }
}
