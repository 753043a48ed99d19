//! The log of one replica: which offsets there are and where they lie. The core decides; the driver owns the bytes and
//! carries out the effects, in Kafka's own files (`.log`, `.index`, `.timeindex`), byte for byte.
//!
//! `segment.rs` one file and when to leave it | `index.rs` its sparse offset and time index | `newest.rs` the dense table
//! of the newest batches | `lookup.rs` where an offset or a timestamp lies | `epoch.rs` which leader wrote what |
//! `retention.rs` what may go | `recover.rs` from bytes to an image | `open.rs` from an image to a log |
//! `checkpoint.rs` the small text files | `chunks.rs` a vector that is cheap to clone

pub mod checkpoint;
pub mod chunks;
pub mod epoch;
pub mod lookup;
pub mod recover;

use crate::broker::effect::Effect;
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::record::Batch;
use crate::record::check::Invalid;
use crate::sim::view::BatchView;
use crate::time::{Instant, Now, Timestamp};

pub use lookup::{Found, Locate, Place, ReadSeek, Slice, TimeSeek, TimestampedOffset};
pub use recover::{LogImage, SegmentImage};

/// The settings of one log, from the topic's configuration; the names are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub segment_bytes: u32,
    pub segment_ms: u64,
    pub segment_jitter_ms: u64,
    pub index_interval_bytes: u32,
    pub segment_index_bytes: u32,
    pub flush_messages: i64,
    pub flush_ms: i64,
    /// −1 is without limit.
    pub retention_bytes: i64,
    /// −1 is without limit.
    pub retention_ms: i64,
    /// `cleanup.policy` contains `delete`.
    pub cleanup_delete: bool,
}

/// What the data directory's checkpoint files say of one log. Where a file says nothing: 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// `log-start-offset-checkpoint`.
    pub log_start_offset: Offset,
    /// `recovery-point-offset-checkpoint`.
    pub recovery_point: Offset,
    /// `replication-offset-checkpoint`.
    pub high_watermark: Offset,
}

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The timestamp that the leader gave, under LogAppendTime.
    pub append_time: Option<Timestamp>,
}

#[derive(Clone)]
pub struct Log {}

impl Log {
    /// An empty log that begins at `base`; pushes `Open`.
    pub fn create(
        _id: LogId,
        _directory: String,
        _base: Offset,
        _config: LogConfig,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Log {
        todo!()
    }

    /// A log over what recovery found in its directory. Pushes `Open`, then what puts the directory right: `Truncate`
    /// where the tail is torn, `Reindex` where an index file does not fit its log, a new first segment where the log
    /// ends below its start. `epochs` is the text of the directory's `leader-epoch-checkpoint`; one that cannot be read
    /// counts as empty.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        _id: LogId,
        _directory: String,
        _config: LogConfig,
        _image: LogImage,
        _checkpoints: Checkpoints,
        _epochs: Option<&[u8]>,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Log {
        todo!()
    }

    // ── what there is ──

    pub fn id(&self) -> LogId {
        todo!()
    }
    /// `orders-0`.
    pub fn directory(&self) -> &str {
        todo!()
    }
    pub fn config(&self) -> &LogConfig {
        todo!()
    }
    /// The topic's settings changed; they count from the next append or retention pass on.
    pub fn reconfigure(&mut self, _config: LogConfig) {
        todo!()
    }
    pub fn log_start_offset(&self) -> Offset {
        todo!()
    }
    /// The first offset of an undecided transaction, at most the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        todo!()
    }
    pub fn high_watermark(&self) -> Offset {
        todo!()
    }
    /// Everything below is in the file and may be fetched by followers.
    pub fn appended_end(&self) -> Offset {
        todo!()
    }
    /// The offset that the next record gets (Kafka's log end offset, bytes still on their way included).
    pub fn end(&self) -> Offset {
        todo!()
    }
    /// Everything below survives the machine; goes into `recovery-point-offset-checkpoint`.
    pub fn recovery_point(&self) -> Offset {
        todo!()
    }
    /// What `log-start-offset-checkpoint` should say: only where the start is not the first segment's base.
    pub fn log_start_offset_checkpoint(&self) -> Option<Offset> {
        todo!()
    }
    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    pub fn segments(&self) -> usize {
        todo!()
    }
    /// The newest batches, oldest first, at most `limit`.
    pub fn newest(&self, _limit: usize) -> Vec<BatchView> {
        todo!()
    }
    pub fn epochs(&self) -> &epoch::EpochCache {
        todo!()
    }

    // ── writing ──

    /// This replica leads in `epoch` from here on: the epoch begins at the log's end. Pushes the `Save` of
    /// `leader-epoch-checkpoint` where that is news.
    pub fn assign_epoch(&mut self, _epoch: LeaderEpoch, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// Appends one batch as the leader of `epoch`, after rolling the active segment where it is due. The offsets are
    /// given at once; the bytes are there when [`Log::appended`] says so.
    ///
    /// Errors: `RecordListTooLarge` where the batch is larger than `segment.bytes`.
    pub fn append(
        &mut self,
        _now: Now,
        _batch: Batch,
        _epoch: LeaderEpoch,
        _append_time: Option<Timestamp>,
        _out: &mut Vec<Effect>,
    ) -> Result<Placed, Invalid> {
        todo!()
    }

    /// The driver wrote everything below `end`.
    pub fn appended(&mut self, _end: Offset) {
        todo!()
    }

    /// The driver synced everything below `end`: the recovery point.
    pub fn flushed(&mut self, _now: Now, _end: Offset) {
        todo!()
    }

    /// Raises the high watermark to `to`, at most the appended end. True if it rose.
    pub fn raise_high_watermark(&mut self, _to: Offset) -> bool {
        todo!()
    }

    /// Asks for everything to be synced (clean shutdown); nothing is pushed where everything is, or was asked for.
    pub fn flush(&mut self, _out: &mut Vec<Effect>) {
        todo!()
    }

    /// When `flush.ms` next asks for a flush.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Flushes where the deadline has come.
    pub fn tick(&mut self, _now: Now, _out: &mut Vec<Effect>) {
        todo!()
    }

    // ── forgetting ──

    /// DeleteRecords: raises the log start offset to `to`. Whole segments below it go with the next [`Log::retain`].
    ///
    /// Errors: `OffsetOutOfRange` where `to` lies above the high watermark.
    pub fn raise_log_start(&mut self, _to: Offset, _out: &mut Vec<Effect>) -> Result<(), crate::error::ErrorCode> {
        todo!()
    }

    /// Drops whole segments: those below the log start offset, then by `retention.bytes`, then by `retention.ms`. Called
    /// every `log.retention.check.interval.ms`. True if anything went.
    pub fn retain(&mut self, _now: Now, _out: &mut Vec<Effect>) -> bool {
        todo!()
    }

    /// Cuts the log where [`Log::cut`] found that `end` lies.
    pub fn truncate(&mut self, _cut: lookup::Cut, _out: &mut Vec<Effect>) {
        todo!()
    }
}
