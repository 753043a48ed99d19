//! The leader epoch cache: which leader epoch began at which offset. Kept in `leader-epoch-checkpoint`.

use crate::id::{LeaderEpoch, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// Epochs and start offsets both rise strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }
    /// OffsetForLeaderEpoch: the epoch at or below `epoch` and where it ends.
    pub fn end_offset_for(&self, _epoch: LeaderEpoch, _log_end: Offset) -> Option<EpochEntry> {
        todo!()
    }
    /// Who wrote `offset`.
    pub fn epoch_for(&self, _offset: Offset) -> Option<LeaderEpoch> {
        todo!()
    }
}
