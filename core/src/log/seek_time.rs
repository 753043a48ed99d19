//! Look-ups by timestamp, for ListOffsets.

use bytes::Bytes;

use super::lookup::{Found, Place};
use super::walk::{Cursor, Walked};
use super::{Extent, Log};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};
use crate::record::{Batch, Record};
use crate::time::Timestamp;

/// An answer of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// −1 for earliest and latest.
    pub timestamp: Timestamp,
    pub offset: Offset,
    pub leader_epoch: Option<LeaderEpoch>,
}

/// [`Log::offset_for_timestamp`] or [`Log::offset_of_max_timestamp`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSeek {
    ask: TimeAsk,
    state: TimeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeAsk {
    /// The first record at or after.
    From(Timestamp),
    /// The first record of the largest timestamp, which is this one.
    Max(Timestamp),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TimeState {
    /// Looking for a batch by its header.
    Batch(Cursor),
    /// The bytes of this one are on their way: the record is in it, or it begins after them.
    Record(Place, Cursor),
}

type Answer = Found<Result<Option<TimestampedOffset>, ErrorCode>, TimeSeek>;

impl Log {
    /// ListOffsets −2: the log start offset.
    pub fn earliest(&self) -> TimestampedOffset {
        let offset = self.log_start_offset();
        let epoch = self.epochs().earliest().filter(|entry| entry.start_offset <= offset);
        TimestampedOffset { timestamp: Timestamp::NONE, offset, leader_epoch: epoch.map(|entry| entry.epoch) }
    }

    /// ListOffsets by time: the first record at or after `timestamp`, appended or on its way to the file: the caller holds
    /// back what is not committed.
    ///
    /// Errors: `CorruptMessage`.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Answer {
        // (Compaction leaves segments without records; Kafka looks for some in them.)
        let mut segments = self.segments.iter().filter(|segment| segment.size > 0);
        let Some(segment) = segments.find(|segment| segment.largest_timestamp() >= timestamp) else {
            return Found::Here(Ok(None));
        };
        let from = segment.index.lookup_time(timestamp).max(self.log_start_offset());
        self.seek_time(TimeAsk::From(timestamp), self.cursor(segment.base, segment.index.lookup(from)))
    }

    /// ListOffsets −3: the first record that has the largest timestamp of the log.
    ///
    /// Errors: `CorruptMessage`.
    pub fn offset_of_max_timestamp(&self) -> Answer {
        let with_time = self.segments.iter().filter_map(|segment| segment.max.map(|max| (segment, max)));
        // Of equal ones the first segment's: `max_by_key` would give the last.
        let Some((segment, max)) = with_time.rev().max_by_key(|(_, max)| max.timestamp) else {
            return Found::Here(Ok(None));
        };
        self.seek_time(TimeAsk::Max(max.timestamp), self.cursor(segment.base, segment.index.lookup(max.offset)))
    }

    fn seek_time(&self, ask: TimeAsk, cursor: Cursor) -> Answer {
        let cursor = cursor.within_segment();
        self.time_walked(ask, self.walk(cursor, None, |place| ask.may_be_in(place)))
    }

    fn time_walked(&self, ask: TimeAsk, walked: Walked) -> Answer {
        match walked {
            Walked::Hit(place) => {
                let extent =
                    Extent { log: self.id(), segment: place.segment, position: place.position, len: place.size };
                let next = self.cursor(place.segment, place.end());
                Found::Read(extent, TimeSeek { ask, state: TimeState::Record(place, next) })
            }
            Walked::Read(extent, cursor) => Found::Read(extent, TimeSeek { ask, state: TimeState::Batch(cursor) }),
            Walked::End => Found::Here(Ok(None)),
            Walked::Changed => match ask {
                TimeAsk::From(timestamp) => self.offset_for_timestamp(timestamp),
                TimeAsk::Max(_) => self.offset_of_max_timestamp(),
            },
            Walked::Corrupt => Found::Here(Err(ErrorCode::CorruptMessage)),
        }
    }
}

impl TimeSeek {
    pub fn resume(self, log: &Log, bytes: &Bytes) -> Answer {
        let ask = self.ask;
        let (place, next) = match self.state {
            TimeState::Batch(cursor) => {
                return log.time_walked(ask, log.walk(cursor, Some(bytes), |place| ask.may_be_in(place)));
            }
            TimeState::Record(place, next) => (place, next),
        };
        let batch = Batch::parse(bytes.clone()).ok().filter(|batch| batch.header.base_offset == place.base_offset);
        let Some(records) = batch.and_then(|batch| Record::decode(&batch).ok()) else {
            // The bytes may be others than those of the place because the log was cut in between.
            let walked = log.walk(next, None, |_| true);
            return log.time_walked(ask, if walked == Walked::Changed { walked } else { Walked::Corrupt });
        };
        // Of the largest timestamp Kafka tells even where DeleteRecords has taken the record, as long as its segment is there.
        let start = match ask {
            TimeAsk::From(_) => log.log_start_offset(),
            TimeAsk::Max(_) => 0,
        };
        match records.iter().find(|record| ask.is(record) && record.offset >= start) {
            Some(record) => Found::Here(Ok(Some(TimestampedOffset {
                timestamp: record.timestamp,
                offset: record.offset,
                leader_epoch: Some(place.leader_epoch).filter(|epoch| *epoch >= 0),
            }))),
            None => log.seek_time(ask, next),
        }
    }
}

impl TimeAsk {
    fn may_be_in(self, place: &Place) -> bool {
        match self {
            TimeAsk::From(timestamp) => place.max_timestamp >= timestamp,
            TimeAsk::Max(timestamp) => place.max_timestamp == timestamp,
        }
    }

    fn is(self, record: &Record) -> bool {
        match self {
            TimeAsk::From(timestamp) => record.timestamp >= timestamp,
            TimeAsk::Max(timestamp) => record.timestamp == timestamp,
        }
    }
}
