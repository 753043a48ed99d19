//! The log of one replica: which offsets there are and where they lie. The core decides; the driver owns the bytes and
//! carries out the effects, in Kafka's own files (`.log`, `.index`, `.timeindex`), byte for byte.
//!
//! ```text
//!   log_start_offset     last_stable_offset    high_watermark      appended_end          end
//!         │ ◄── read_committed ──► │ ◄── consumers ──► │ ◄── followers ──► │ ◄── on its way ──► │
//!   ┌─────┴─────────┬──────────────┴───────────────────┼───────────────────┴────────────────────┘
//!   │ segment 0     │ segment 4711                     │ active segment
//! ```
//!
//! 1. `log_start_offset ≤ last_stable_offset ≤ high_watermark ≤ appended_end ≤ end`.
//! 2. `recovery_point ≤ end`, and nothing below it is lost in a crash.
//! 3. There is always an active segment, the last; base offsets rise strictly, none lies above `end`.
//! 4. The dense table ends with the last batch.
//! 5. What is known of producers is what the log's batches say, up to its end, unless they are being replayed.
//!
//! Moves: `end` by [`append`](Log::append) and [`append_replica`](Log::append_replica), `appended_end` by [`appended`](Log::appended), `recovery_point` by
//! [`flushed`](Log::flushed), `high_watermark` by [`raise_high_watermark`](Log::raise_high_watermark), `log_start_offset`
//! by [`raise_log_start`](Log::raise_log_start) and [`retain`](Log::retain); [`truncate`](Log::truncate) lowers them all, and
//! [`truncate_fully_and_start_at`](Log::truncate_fully_and_start_at) sets them all.
//!
//! `extent.rs` a run of bytes | `segment.rs` one file and when to leave it | `index.rs` its sparse offset and time index | `newest.rs` the dense table
//! of the newest batches | `lookup.rs` where an offset lies, `seek_time.rs` where a timestamp lies, `walk.rs` from batch to
//! batch | `epoch.rs` which leader wrote what | `follow.rs` what a leader says | `retention.rs` what may go |
//! `compact/` of every key the last | `admit.rs` what is appended | `producer.rs` who writes in which epoch, sequence and
//! transaction, `verification.rs` transactions that are being verified, `aborted.rs` those that were aborted,
//! `snapshot.rs` what is saved of all that, `replay.rs` how it is found out again |
//! `recover.rs` from bytes to an image | `open.rs` from an image to a log | `checkpoint.rs` the small text files |
//! `chunks.rs` a vector that is cheap to clone | `table.rs` what others keep of every log

pub mod aborted;
mod admit;
pub mod checkpoint;
mod chunks;
pub mod compact;
pub mod epoch;
mod extent;
mod follow;
mod index;
pub mod lookup;
mod newest;
mod open;
pub mod producer;
pub mod recover;
pub mod replay;
mod retention;
mod seek_time;
mod segment;
pub mod snapshot;
mod table;
pub mod verification;
mod walk;

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::Effect;
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::record::check::Invalid;
use crate::record::{Batch, Marker, Stamp};
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::view::{BatchView, Fate};

use aborted::Aborted;
use newest::Newest;
use producer::Producers;
use replay::Replaying;
use segment::Segment;
use snapshot::Snapshots;

pub use admit::{Origin, Verified};
pub use extent::Extent;
pub use index::{IndexEntry, TimeEntry};
pub use lookup::{Cut, CutSeek, Found, Locate, Place, ReadSeek, Slice};
pub use recover::{LogImage, SegmentImage};
pub use replay::Replay;
pub use seek_time::{TimeSeek, TimestampedOffset};
pub use table::LogTable;
pub use verification::Guard;

/// In memory the index of a segment that is no longer written to keeps entries at least so far apart.
const THIN_BYTES: u32 = 64 * 1024;

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
    /// `cleanup.policy` contains `compact`.
    pub cleanup_compact: bool,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_cleanable_dirty_per_million: u32,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub delete_retention_ms: i64,
    /// Kafka's `producer.id.expiration.ms`, which is a broker's.
    pub producer_id_expiration_ms: i64,
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
    /// `cleaner-offset-checkpoint`.
    pub cleaned: Option<Offset>,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4_096,
            segment_index_bytes: 10 * 1024 * 1024,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_bytes: -1,
            retention_ms: WEEK_MS as i64,
            cleanup_delete: true,
            cleanup_compact: false,
            min_cleanable_dirty_per_million: 500_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 60 * 60 * 1_000,
            producer_id_expiration_ms: 24 * 60 * 60 * 1_000,
        }
    }
}

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The timestamp that the leader gave, under LogAppendTime; of a batch that was there already, its own.
    pub append_time: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Log {
    id: LogId,
    directory: Arc<str>,
    config: LogConfig,
    segments: Vec<Arc<Segment>>,
    newest: Newest,
    epochs: epoch::EpochCache,
    /// Shared, as the snapshots are, so that a checkpoint of a node copies neither.
    producers: Arc<Producers>,
    snapshots: Arc<Snapshots>,
    replaying: Option<Replaying>,
    log_start: Offset,
    high_watermark: Offset,
    appended: Offset,
    end: Offset,
    flushed: Offset,
    /// Everything below is synced, or the driver was asked to sync it since the last truncation.
    flush_asked: Offset,
    /// Counts truncations: the answer to a flush that was asked for before one may speak of bytes that were cut off since.
    truncations: u32,
    /// When the log was last synced.
    flushed_at: Instant,
    /// Counts truncations, and segments that were replaced: positions that a look-up took down before one mean nothing
    /// after it.
    generation: u32,
    /// Compaction has seen everything below.
    cleaned: Option<Offset>,
}

/// What there is.
impl Log {
    pub fn id(&self) -> LogId {
        self.id
    }

    /// `orders-0`.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// The topic's settings changed; they count from the next append or retention pass on.
    pub fn reconfigure(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// Consumers that read committed records stop here: at the first transaction that is open, or whose end may be lost
    /// yet.
    pub fn last_stable_offset(&self) -> Offset {
        let unknown = self.replaying.map(|replaying| replaying.known);
        let unstable = self.producers.first_unstable_offset().into_iter().chain(unknown).min();
        unstable.map_or(self.high_watermark, |unstable| unstable.clamp(self.log_start, self.high_watermark))
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn producers_mut(&mut self) -> &mut Producers {
        Arc::make_mut(&mut self.producers)
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Everything below is in the file and may be fetched by followers.
    pub fn appended_end(&self) -> Offset {
        self.appended
    }

    /// The offset that the next record gets: Kafka's log end offset, bytes on their way to the file included.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below survives the machine; goes into `recovery-point-offset-checkpoint`.
    pub fn recovery_point(&self) -> Offset {
        self.flushed
    }

    /// What `log-start-offset-checkpoint` should say: only where the start is not the first segment's base.
    pub fn log_start_offset_checkpoint(&self) -> Option<Offset> {
        (self.log_start > self.segments[0].base).then_some(self.log_start)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.size)).sum()
    }

    /// Their number.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The newest batches, oldest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<BatchView> {
        let mut places: Vec<Place> = self.newest.iter().rev().take(limit).collect();
        places.reverse();
        let ends = places.iter().find(|place| place.transactional).map(|first| (first.base_offset, self.end));
        let aborted = ends.map_or_else(Vec::new, |(from, to)| self.aborted_between(from, to));
        places.iter().map(|place| BatchView { fate: self.fate(place, &aborted), ..place.view() }).collect()
    }

    /// What a batch is to transactions, of which those are `aborted` that may have to do with it.
    fn fate(&self, place: &Place, aborted: &[Aborted]) -> Fate {
        let mut aborted = aborted.iter().filter(|one| one.producer_id == place.producer_id);
        let open = |first: Offset| first <= place.base_offset;
        match (place.control, place.transactional) {
            (_, false) => Fate::Plain,
            (true, _) if aborted.any(|one| one.last_offset == place.last_offset) => Fate::AbortMarker,
            (true, _) => Fate::CommitMarker,
            (false, _) if aborted.any(|one| (one.first_offset..one.last_offset).contains(&place.base_offset)) => {
                Fate::Aborted
            }
            (false, _) if self.producers.transaction_of(place.producer_id).is_some_and(open) => Fate::Open,
            (false, _) => Fate::Committed,
        }
    }

    /// Where batches lie has changed where this has.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether an extent that was found in that generation still is what it was.
    pub fn holds(&self, extent: &Extent, generation: u32) -> bool {
        generation == self.generation && self.segment(extent.segment).is_some()
    }

    pub fn epochs(&self) -> &epoch::EpochCache {
        &self.epochs
    }
}

/// Writing.
impl Log {
    /// This replica leads in `epoch` from here on: the epoch begins at the log's end. Pushes the `Save` of
    /// `leader-epoch-checkpoint` where that is news.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, out: &mut Vec<Effect>) {
        if self.epochs.assign(epoch, self.end) {
            self.save_epochs(out);
        }
    }

    /// Appends one batch as the leader of `epoch`, after rolling the active segment where it is due. The offsets are
    /// given at once; the bytes are there when [`Log::appended`] says so. Of a batch that is there already, those are given
    /// that it has.
    ///
    /// Errors: `RecordListTooLarge` where the batch is larger than `segment.bytes`; what is wrong with it as one of its
    /// producer's; `NotLeaderOrFollower` while that cannot be told.
    pub fn append(
        &mut self,
        now: Now,
        batch: Batch,
        epoch: LeaderEpoch,
        append_time: Option<Timestamp>,
        origin: Origin,
        out: &mut Vec<Effect>,
    ) -> Result<Placed, Invalid> {
        self.fits(&batch)?;
        if batch.header.has_producer_id()
            && let Some(twin) = self.admit(&batch, origin)?
        {
            return Ok(twin);
        }
        self.assign_epoch(epoch, out);
        Ok(self.put(now, batch, Stamp { base_offset: self.end, leader_epoch: epoch, append_time }, out))
    }

    /// The driver wrote everything below `end`.
    pub fn appended(&mut self, end: Offset) {
        self.appended = self.appended.max(end.min(self.end));
    }

    /// The driver synced everything below `end`, as it was asked to after so many truncations: the recovery point.
    pub fn flushed(&mut self, now: Now, end: Offset, truncations: u32) {
        if truncations != self.truncations {
            return;
        }
        self.flushed = self.flushed.max(end.min(self.end));
        self.flush_asked = self.flush_asked.max(self.flushed);
        self.flushed_at = now.instant;
    }

    /// Raises the high watermark to `to`, at most the appended end. True if it rose.
    pub fn raise_high_watermark(&mut self, to: Offset) -> bool {
        let to = to.min(self.appended);
        let rises = to > self.high_watermark;
        self.high_watermark = self.high_watermark.max(to);
        if rises && self.producers.has_replicated(to) {
            self.producers_mut().replicated(to);
        }
        rises
    }

    /// Asks for everything to be synced; nothing is pushed where everything is, or was asked for.
    pub fn flush(&mut self, out: &mut Vec<Effect>) {
        self.flush_below(self.end, out);
    }

    /// When `flush.ms` next asks for a flush.
    pub fn deadline(&self) -> Option<Instant> {
        let after = u64::try_from(self.config.flush_ms).ok().filter(|_| self.config.flush_ms < i64::MAX)?;
        (self.end > self.flush_asked).then(|| self.flushed_at + Duration::from_millis(after))
    }

    /// Flushes where the deadline has come.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.deadline().is_some_and(|deadline| deadline <= now.instant) {
            self.flushed_at = now.instant;
            self.flush(out);
        }
    }

    /// Cuts the log where [`Log::cut`] found that it must end. A cut that was found before another truncation does nothing.
    pub fn truncate(&mut self, now: Now, cut: Cut, out: &mut Vec<Effect>) {
        if cut.generation != self.generation || cut.end > self.end {
            return;
        }
        self.truncations = self.truncations.wrapping_add(1);
        self.generation = self.generation.wrapping_add(1);
        self.segments.truncate(self.segments.partition_point(|segment| segment.base <= cut.segment));
        let segment = Arc::make_mut(self.segments.last_mut().expect("(3)"));
        segment.size = cut.position;
        segment.index.truncate(cut.end);
        segment.max = cut.max;
        segment.bytes_since_index = 0;
        if segment.size == 0 {
            segment.first_timestamp = None;
            segment.created = now.wall;
        }
        let (index, time_index) = segment.index.encode();
        let unaborts = segment.forget_aborted(cut.end);
        let (log, segment) = (self.id, segment.base);
        out.push(Effect::Truncate { log, end: cut.end, segment, position: cut.position });
        out.push(Effect::Reindex { log, segment, index, time_index });
        if unaborts {
            self.reindex_aborted(self.active(), self.active().aborted.len(), out);
        }
        self.newest.truncate(cut.end);
        self.end = cut.end;
        self.appended = self.appended.min(cut.end);
        self.high_watermark = self.high_watermark.min(cut.end);
        self.log_start = self.log_start.min(cut.end);
        self.flushed = self.flushed.min(cut.end);
        self.flush_asked = self.flushed;
        self.cleaned = self.cleaned.map(|cleaned| cleaned.min(cut.end));
        if self.epochs.truncate_from_end(cut.end) {
            self.save_epochs(out);
        }
        self.forget_producers(now, cut.end, out);
        self.assert_invariants();
    }

    /// Puts a batch at the end, after rolling the active segment where it is due.
    fn put(&mut self, now: Now, batch: Batch, stamp: Stamp, out: &mut Vec<Effect>) -> Placed {
        let size = batch.bytes.len() as u32;
        let base_offset = stamp.base_offset;
        let last_offset = base_offset + i64::from(batch.header.last_offset_delta);
        let max_timestamp = stamp.append_time.unwrap_or(batch.header.max_timestamp);
        if self.active().should_roll(&self.config, now.wall, size, last_offset, max_timestamp) {
            self.roll(now, out);
        }
        let segment = self.active();
        let place = Place {
            base_offset,
            last_offset,
            segment: segment.base,
            position: segment.size,
            size,
            max_timestamp,
            leader_epoch: stamp.leader_epoch,
            producer_id: batch.header.producer_id,
            transactional: batch.header.is_transactional(),
            control: batch.header.is_control(),
        };
        let index = self.place(place, now.wall);
        let header = batch.header;
        let marker = if header.is_control() { Marker::of(&batch) } else { None };
        out.push(Effect::Append { log: self.id, stamp, batch: Box::new(batch), index });
        if header.has_producer_id()
            && let Some(aborted) = self.producers_mut().note(&header, base_offset, max_timestamp, marker)
        {
            self.index_aborted(aborted, out);
        }
        if self.end - self.flush_asked >= self.config.flush_messages {
            self.flush(out);
        }
        self.assert_invariants();
        Placed { base_offset, last_offset, append_time: stamp.append_time }
    }

    /// Takes down where the next batch lies: the index entry that it adds.
    fn place(&mut self, place: Place, now: Timestamp) -> Option<IndexEntry> {
        let interval = self.config.index_interval_bytes;
        let segment = self.active_mut();
        let entry = segment.take(&place, interval);
        segment.modified = now;
        self.newest.push(place);
        self.end = place.last_offset + 1;
        entry
    }

    /// Begins a new active segment at the log's end; the old one is synced, as Kafka does.
    fn roll(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (log, base) = (self.id, self.end);
        let old = self.active_mut();
        if old.base == base {
            // Nothing was written to it: it is as good as new.
            old.created = now.wall;
            return;
        }
        let last = old.index.append_time(old.max);
        old.index.thin(THIN_BYTES);
        self.segments.push(Arc::new(Segment::new(base, now.wall)));
        out.push(Effect::Roll { log, base, last });
        self.take_snapshot(out);
        self.flush_below(base, out);
    }

    fn flush_below(&mut self, end: Offset, out: &mut Vec<Effect>) {
        if end > self.flush_asked {
            self.flush_asked = end;
            out.push(Effect::Flush { log: self.id, end, truncations: self.truncations });
        }
    }

    fn save_epochs(&self, out: &mut Vec<Effect>) {
        let file = format!("{}/{}", self.directory, checkpoint::LEADER_EPOCH);
        out.push(Effect::Save { file, contents: Bytes::from(self.epochs.print()) });
    }
}

/// Segments.
impl Log {
    fn active(&self) -> &Segment {
        self.segments.last().expect("(3)")
    }

    fn active_mut(&mut self) -> &mut Segment {
        Arc::make_mut(self.segments.last_mut().expect("(3)"))
    }

    /// The segment with that base offset.
    fn segment(&self, base: Offset) -> Option<&Segment> {
        self.segment_for(base).filter(|segment| segment.base == base)
    }

    /// The segment in which `offset` lies, or would lie.
    fn segment_for(&self, offset: Offset) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.base <= offset);
        after.checked_sub(1).map(|at| &*self.segments[at])
    }

    fn segment_after(&self, base: Offset) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|segment| segment.base <= base)).map(|segment| &**segment)
    }

    fn assert_invariants(&self) {
        let Log { log_start, high_watermark, appended, end, flushed, .. } = *self;
        let stable = self.last_stable_offset();
        let counters = (log_start, stable, high_watermark, appended, end, flushed);
        assert!(log_start <= stable && stable <= high_watermark, "(1) {counters:?}");
        assert!(high_watermark <= appended && appended <= end, "(1) {counters:?}");
        assert!(flushed <= end, "(2) {counters:?}");
        assert!(self.segments.last().is_some_and(|active| active.base <= end), "(3) {counters:?}");
        assert!(self.newest.last().is_none_or(|last| last.last_offset < end), "(4) {counters:?}");
    }
}

#[cfg(test)]
mod tests;
