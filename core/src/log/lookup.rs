//! Look-ups: where an offset lies, which offset has a timestamp. Each is a small state machine: it answers from memory
//! ([`Found::Here`]), or it asks for bytes ([`Found::Read`]) and goes on when it is resumed with them. Between the two
//! the log may have changed (appended, cut, deleted from); every step looks again.

use crate::broker::effect::Extent;
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};
use crate::time::Timestamp;

use super::Log;

/// What a look-up came to: the answer, or the bytes it needs and the state to resume with them
/// (`seek.resume(&log, &bytes)`; as long as the extent, or shorter where the file ends).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T, S> {
    Here(T),
    Read(Extent, S),
}

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The segment's base offset.
    pub segment: Offset,
    /// First byte in the segment's file.
    pub position: u32,
    /// Bytes.
    pub size: u32,
    pub max_timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

/// What a fetch may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// From the batch that holds the offset; may end within a batch at `max_bytes`, as Kafka's do; `None` is nothing.
    pub extent: Option<Extent>,
    /// The offset lies in an older segment than the upper bound. Kafka answers such a fetch at once, however few bytes
    /// there are, since a reply never crosses segments.
    pub older_segment: bool,
}

/// An answer of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// −1 for earliest and latest.
    pub timestamp: Timestamp,
    pub offset: Offset,
    pub leader_epoch: Option<LeaderEpoch>,
}

/// [`Log::read`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSeek {}
/// [`Log::locate`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locate {}
/// [`Log::offset_for_timestamp`] or [`Log::offset_of_max_timestamp`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSeek {}
/// [`Log::cut`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutSeek {}
/// Where to cut; for [`Log::truncate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {}

impl Log {
    /// What a fetch from `offset` may send: at most `max_bytes`, only batches below `upper` (exclusive: the high
    /// watermark or the last stable offset for consumers, [`Log::appended_end`] for followers). With `min_one` a first
    /// batch larger than `max_bytes` is given whole; without, it is not given at all.
    ///
    /// Errors: `OffsetOutOfRange` below the log start offset or above the log's end; `CorruptMessage` where the file
    /// does not hold what it should.
    pub fn read(
        &self,
        _offset: Offset,
        _max_bytes: u32,
        _upper: Offset,
        _min_one: bool,
    ) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        todo!()
    }

    /// The batch that holds `offset` (or the first one after it, where there is a gap).
    ///
    /// Errors: as [`Log::read`]; `OffsetOutOfRange` also at the end.
    pub fn locate(&self, _offset: Offset) -> Found<Result<Place, ErrorCode>, Locate> {
        todo!()
    }

    /// ListOffsets −2: the log start offset.
    pub fn earliest(&self) -> TimestampedOffset {
        todo!()
    }

    /// ListOffsets −1: `end` is the high watermark or the last stable offset, by isolation level (the end for followers).
    pub fn latest(&self, _end: Offset) -> TimestampedOffset {
        todo!()
    }

    /// ListOffsets by time: the first record at or after `timestamp`. Only what is appended is looked at; the caller
    /// holds back what is not committed.
    ///
    /// Errors: `CorruptMessage`.
    pub fn offset_for_timestamp(
        &self,
        _timestamp: Timestamp,
    ) -> Found<Result<Option<TimestampedOffset>, ErrorCode>, TimeSeek> {
        todo!()
    }

    /// ListOffsets −3: the first record that has the largest timestamp of the log.
    ///
    /// Errors: `CorruptMessage`.
    pub fn offset_of_max_timestamp(&self) -> Found<Result<Option<TimestampedOffset>, ErrorCode>, TimeSeek> {
        todo!()
    }

    /// Where to cut so that the log ends at the greatest batch boundary at or below `end`; `None` where there is nothing
    /// at or above `end`.
    ///
    /// Errors: `OffsetOutOfRange` below the first segment; `CorruptMessage`.
    pub fn cut(&self, _end: Offset) -> Found<Result<Option<Cut>, ErrorCode>, CutSeek> {
        todo!()
    }
}

impl ReadSeek {
    pub fn resume(self, _log: &Log, _bytes: &[u8]) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        todo!()
    }
}
impl Locate {
    pub fn resume(self, _log: &Log, _bytes: &[u8]) -> Found<Result<Place, ErrorCode>, Locate> {
        todo!()
    }
}
impl TimeSeek {
    pub fn resume(self, _log: &Log, _bytes: &[u8]) -> Found<Result<Option<TimestampedOffset>, ErrorCode>, TimeSeek> {
        todo!()
    }
}
impl CutSeek {
    pub fn resume(self, _log: &Log, _bytes: &[u8]) -> Found<Result<Option<Cut>, ErrorCode>, CutSeek> {
        todo!()
    }
}
