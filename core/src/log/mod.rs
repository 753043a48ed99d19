//! The log of one replica: which offsets there are and where they lie. The driver owns the bytes.

use bytes::Bytes;

use crate::broker::effect::{Effect, Extent};
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::record::Batch;
use crate::time::{Now, Timestamp};

/// One segment as recovery found it. Made by [`recover::scan`] from the bytes of the `.log` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentImage {
    pub base: Offset,
}

/// A log as recovery found it: its segments in order of their base offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogImage {
    pub segments: Vec<SegmentImage>,
}

/// The settings of one log, from the topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub segment_bytes: u32,
    pub segment_ms: u64,
    pub segment_jitter_ms: u64,
    pub index_interval_bytes: u32,
    pub segment_index_bytes: u32,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub retention_bytes: i64,
    pub retention_ms: i64,
}

#[derive(Clone)]
pub struct Log {}

/// Where an offset was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The timestamp that the leader gave, under LogAppendTime.
    pub append_time: Option<Timestamp>,
}

/// What a look-up needs next, or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Known from memory.
    Here(T),
    /// Only the bytes can tell: read this, then go on with [`Log::resume`]-like calls.
    Read(Extent),
}

impl Log {
    /// An empty log that begins at `base`; pushes `Open`.
    pub fn create(_id: LogId, _directory: String, _base: Offset, _config: LogConfig, _out: &mut Vec<Effect>) -> Log {
        todo!()
    }

    /// Appends one batch as the leader of `epoch`. The offsets are given at once; the bytes are there when
    /// [`Log::appended`] says so.
    pub fn append(
        &mut self,
        _now: Now,
        _batch: Batch,
        _epoch: LeaderEpoch,
        _append_time: Option<Timestamp>,
        _out: &mut Vec<Effect>,
    ) -> Placed {
        todo!()
    }

    /// The driver wrote everything below `end`.
    pub fn appended(&mut self, _end: Offset) {
        todo!()
    }

    /// The driver synced everything below `end`.
    pub fn flushed(&mut self, _end: Offset) {
        todo!()
    }
}

/// Placeholder until `recover.rs` stands.
pub mod recover {
    use super::*;
    /// Walks the bytes of one segment, checks every batch, and stops where the file stops making sense.
    pub fn scan(_base: Offset, _log: &[u8]) -> SegmentImage {
        let _ = Bytes::new();
        todo!()
    }
}
