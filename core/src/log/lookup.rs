//! Look-ups: where an offset lies, which offset has a timestamp. Each is a small state machine: it answers from memory
//! ([`Found::Here`]), or it asks for bytes ([`Found::Read`]) and goes on when it is resumed with them. Between the two
//! the log may have changed (appended, cut, deleted from): then the look-up begins anew.
//!
//! `walk.rs` goes from batch to batch, which is what all of them do | `seek_time.rs` those by timestamp

use bytes::Bytes;

use super::walk::{Cursor, Walked};
use super::{Extent, Log, TimeEntry};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};
use crate::time::Timestamp;
use crate::view::{BatchView, Fate};

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
    pub producer_id: i64,
    pub transactional: bool,
    pub control: bool,
}

impl Place {
    /// The position after its last byte.
    pub fn end(&self) -> u32 {
        self.position + self.size
    }

    pub fn view(&self) -> BatchView {
        BatchView {
            base_offset: self.base_offset,
            last_offset: self.last_offset,
            bytes: self.size,
            leader_epoch: self.leader_epoch,
            fate: Fate::Plain,
        }
    }
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

/// [`Log::read`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSeek {
    ask: ReadAsk,
    state: ReadState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReadAsk {
    offset: Offset,
    max_bytes: u32,
    upper: Offset,
    min_one: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReadState {
    /// Looking for the batch that holds `offset`.
    First(Cursor),
    /// It is known; looking for the batch that holds `upper`, before which the slice must end.
    End(Place, Cursor),
}

/// [`Log::locate`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locate {
    offset: Offset,
    cursor: Cursor,
}

/// [`Log::cut`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutSeek {
    end: Offset,
    segment: Offset,
    max: Option<TimeEntry>,
    cursor: Cursor,
}

/// Where to cut; for [`Log::truncate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub(super) end: Offset,
    pub(super) segment: Offset,
    pub(super) position: u32,
    /// The largest timestamp that stays in the segment.
    pub(super) max: Option<TimeEntry>,
    pub(super) generation: u32,
}

impl Log {
    /// What a fetch from `offset` may send: at most `max_bytes`, only batches below `upper` (exclusive: the high
    /// watermark or the last stable offset for consumers, [`Log::appended_end`] for followers). With `min_one` a first
    /// batch larger than `max_bytes` is given whole; without, it is not given at all.
    ///
    /// Errors: `OffsetOutOfRange` below the log start offset or above the log's end; `CorruptMessage` where the file
    /// does not hold what it should.
    pub fn read(
        &self,
        offset: Offset,
        max_bytes: u32,
        upper: Offset,
        min_one: bool,
    ) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        if !(self.log_start_offset()..=self.end()).contains(&offset) {
            return Found::Here(Err(ErrorCode::OffsetOutOfRange));
        }
        let upper = upper.min(self.appended_end());
        if offset >= upper {
            return Found::Here(Ok(Slice::default()));
        }
        let ask = ReadAsk { offset, max_bytes, upper, min_one };
        self.read_from(ask, self.find_offset(offset))
    }

    /// The batch that holds `offset` (or the first one after it, where there is a gap).
    ///
    /// Errors: as [`Log::read`]; `OffsetOutOfRange` also at the end.
    pub fn locate(&self, offset: Offset) -> Found<Result<Place, ErrorCode>, Locate> {
        if !(self.log_start_offset()..self.end()).contains(&offset) {
            return Found::Here(Err(ErrorCode::OffsetOutOfRange));
        }
        self.located(offset, self.find_offset(offset))
    }

    /// Where to cut so that the log ends at `end`, before the batch that holds it; `None` where there is nothing at or
    /// above `end`.
    ///
    /// Errors: `OffsetOutOfRange` below the first segment; `CorruptMessage`.
    pub fn cut(&self, end: Offset) -> Found<Result<Option<Cut>, ErrorCode>, CutSeek> {
        if end >= self.end() {
            return Found::Here(Ok(None));
        }
        let Some(segment) = self.segment_for(end) else {
            return Found::Here(Err(ErrorCode::OffsetOutOfRange));
        };
        // From the batch that has the largest timestamp that is known to stay: a later one may lie behind it.
        let max = segment.index.last_time_below(end);
        let position = segment.index.lookup(max.map_or(segment.base, |max| max.offset).min(end));
        let cursor = self.cursor(segment.base, position).within_segment();
        let mut seek = CutSeek { end, segment: segment.base, max, cursor };
        let walked = seek.walk(self, None);
        seek.walked(self, walked)
    }

    fn read_from(&self, ask: ReadAsk, walked: Walked) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        match walked {
            Walked::Hit(first) => self.read_to(ask, first),
            Walked::Read(extent, cursor) => Found::Read(extent, ReadSeek { ask, state: ReadState::First(cursor) }),
            Walked::End => Found::Here(Ok(Slice::default())),
            Walked::Changed => self.read(ask.offset, ask.max_bytes, ask.upper, ask.min_one),
            Walked::Corrupt => Found::Here(Err(ErrorCode::CorruptMessage)),
        }
    }

    /// `first` is where the slice begins: finds its end.
    fn read_to(&self, ask: ReadAsk, first: Place) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        if first.base_offset >= ask.upper || (first.size > ask.max_bytes && !ask.min_one) {
            return Found::Here(Ok(Slice::default()));
        }
        let Some(segment) = self.segment(first.segment) else {
            return self.read(ask.offset, ask.max_bytes, ask.upper, ask.min_one);
        };
        let older = self.segment_for(ask.upper).is_some_and(|upper| upper.base > first.segment);
        if older || ask.upper >= self.end() {
            return Found::Here(Ok(self.slice(ask, first, segment.size)));
        }
        let safe = segment.index.lookup(ask.upper).max(first.position);
        if safe - first.position >= ask.max_bytes.max(first.size) {
            return Found::Here(Ok(self.slice(ask, first, safe)));
        }
        let from = self.cursor(first.segment, safe).within_segment();
        self.read_until(ask, first, self.walk_to_offset(ask.upper, from))
    }

    fn read_until(&self, ask: ReadAsk, first: Place, walked: Walked) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        match walked {
            Walked::Hit(beyond) => Found::Here(Ok(self.slice(ask, first, beyond.position))),
            Walked::End => {
                let limit = self.segment(first.segment).map_or(first.end(), |segment| segment.size);
                Found::Here(Ok(self.slice(ask, first, limit)))
            }
            Walked::Read(extent, cursor) => Found::Read(extent, ReadSeek { ask, state: ReadState::End(first, cursor) }),
            Walked::Changed => self.read(ask.offset, ask.max_bytes, ask.upper, ask.min_one),
            Walked::Corrupt => Found::Here(Err(ErrorCode::CorruptMessage)),
        }
    }

    /// From `first` up to the position `limit`, or less where that is more than was asked for.
    fn slice(&self, ask: ReadAsk, first: Place, limit: u32) -> Slice {
        let len = ask.max_bytes.max(first.size).min(limit.saturating_sub(first.position));
        let extent = Extent { log: self.id(), segment: first.segment, position: first.position, len };
        let older_segment = self.segment_for(ask.upper).is_some_and(|upper| upper.base > first.segment);
        Slice { extent: (len > 0).then_some(extent), older_segment }
    }

    fn located(&self, offset: Offset, walked: Walked) -> Found<Result<Place, ErrorCode>, Locate> {
        match walked {
            Walked::Hit(place) => Found::Here(Ok(place)),
            Walked::Read(extent, cursor) => Found::Read(extent, Locate { offset, cursor }),
            Walked::End => Found::Here(Err(ErrorCode::OffsetOutOfRange)),
            Walked::Changed => self.locate(offset),
            Walked::Corrupt => Found::Here(Err(ErrorCode::CorruptMessage)),
        }
    }
}

impl ReadSeek {
    pub fn resume(self, log: &Log, bytes: &Bytes) -> Found<Result<Slice, ErrorCode>, ReadSeek> {
        let ask = self.ask;
        match self.state {
            ReadState::First(cursor) => log.read_from(ask, log.walk(cursor, Some(bytes), holds(ask.offset))),
            ReadState::End(first, cursor) => {
                log.read_until(ask, first, log.walk(cursor, Some(bytes), holds(ask.upper)))
            }
        }
    }
}

impl Locate {
    pub fn resume(self, log: &Log, bytes: &Bytes) -> Found<Result<Place, ErrorCode>, Locate> {
        log.located(self.offset, log.walk(self.cursor, Some(bytes), holds(self.offset)))
    }
}

impl CutSeek {
    pub fn resume(mut self, log: &Log, bytes: &Bytes) -> Found<Result<Option<Cut>, ErrorCode>, CutSeek> {
        let walked = self.walk(log, Some(bytes));
        self.walked(log, walked)
    }

    /// Walks to the batch that goes, and keeps the largest timestamp on the way.
    fn walk(&mut self, log: &Log, bytes: Option<&[u8]>) -> Walked {
        let (end, max) = (self.end, &mut self.max);
        log.walk(self.cursor, bytes, |place| {
            let goes = place.last_offset >= end;
            if !goes && place.max_timestamp > max.map_or(Timestamp::NONE, |max| max.timestamp) {
                *max = Some(TimeEntry { timestamp: place.max_timestamp, offset: place.last_offset });
            }
            goes
        })
    }

    fn walked(mut self, log: &Log, walked: Walked) -> Found<Result<Option<Cut>, ErrorCode>, CutSeek> {
        let position = match walked {
            Walked::Hit(goes) => goes.position,
            Walked::End => log.segment(self.segment).map_or(0, |segment| segment.size),
            Walked::Read(extent, cursor) => {
                self.cursor = cursor;
                return Found::Read(extent, self);
            }
            Walked::Changed => return log.cut(self.end),
            Walked::Corrupt => return Found::Here(Err(ErrorCode::CorruptMessage)),
        };
        let CutSeek { end, segment, max, cursor } = self;
        Found::Here(Ok(Some(Cut { end, segment, position, max, generation: cursor.generation() })))
    }
}

/// Whether a batch holds `offset`, or is the first one after it.
fn holds(offset: Offset) -> impl Fn(&Place) -> bool {
    move |place| place.last_offset >= offset
}
