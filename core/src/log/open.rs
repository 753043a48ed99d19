//! From the image of a log to the log: what was torn is cut, what came after it goes, the checkpoints are taken for what
//! the image allows.

use std::sync::Arc;

use super::epoch::EpochCache;
use super::newest::Newest;
use super::recover::SegmentImage;
use super::segment::Segment;
use super::{Checkpoints, Log, LogConfig, LogImage, THIN_BYTES};
use crate::broker::effect::Effect;
use crate::id::{LogId, Offset};
use crate::time::Now;

impl Log {
    /// An empty log that begins at `base`; pushes `Open`.
    pub fn create(
        id: LogId,
        directory: String,
        base: Offset,
        config: LogConfig,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Log {
        let checkpoints =
            Checkpoints { log_start_offset: base, recovery_point: base, high_watermark: base, cleaned: None };
        out.push(Effect::Open { log: id, directory: directory.clone(), base, found: false });
        Log::over(id, directory, config, LogImage::default(), checkpoints, None, now, out)
    }

    /// A log over what recovery found in its directory. Pushes `Open`, then what puts the directory right: `Truncate`
    /// where the tail is torn, `Reindex` where index files do not fit their log, a new first segment where the log ends
    /// below its start. `epochs` is the text of the directory's `leader-epoch-checkpoint`; one that cannot be read counts
    /// as empty.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        id: LogId,
        directory: String,
        config: LogConfig,
        image: LogImage,
        checkpoints: Checkpoints,
        epochs: Option<&[u8]>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Log {
        let base = checkpoints.log_start_offset.max(0);
        out.push(Effect::Open { log: id, directory: directory.clone(), base, found: true });
        Log::over(id, directory, config, image, checkpoints, epochs, now, out)
    }

    #[allow(clippy::too_many_arguments)]
    fn over(
        id: LogId,
        directory: String,
        config: LogConfig,
        image: LogImage,
        checkpoints: Checkpoints,
        epochs: Option<&[u8]>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Log {
        let start = checkpoints.log_start_offset.max(0);
        let saved = epochs.and_then(|text| EpochCache::parse(text).ok()).unwrap_or_default();
        let mut log = Log {
            id,
            directory: directory.into(),
            config,
            segments: Vec::new(),
            newest: Newest::default(),
            epochs: saved.clone(),
            producers: Arc::default(),
            snapshots: Arc::new(image.snapshots.clone()),
            replaying: None,
            log_start: start,
            high_watermark: start,
            appended: start,
            end: start,
            flushed: start,
            flush_asked: start,
            truncations: 0,
            flushed_at: now.instant,
            generation: 0,
            cleaned: checkpoints.cleaned,
        };
        let plain_from = image.plain_from();
        log.restore(image, now, out);
        // Kafka's rule for the epochs that the last crash may have left behind.
        log.epochs.truncate_from_end(log.end);
        log.epochs.truncate_from_start(log.log_start);
        if log.epochs != saved {
            log.save_epochs(out);
        }
        log.appended = log.end;
        log.flushed = checkpoints.recovery_point.clamp(log.log_start, log.end);
        log.flush_asked = log.flushed;
        log.high_watermark = checkpoints.high_watermark.clamp(log.log_start, log.end);
        log.distrust_aborted(out);
        log.recall_producers(now, log.flushed, plain_from, out);
        log.assert_invariants();
        log
    }

    fn restore(&mut self, image: LogImage, now: Now, out: &mut Vec<Effect>) {
        for segment in image.segments {
            let torn = segment.torn.is_some();
            self.restore_segment(segment, now, out);
            if torn {
                // What lies behind a torn segment was written after what is lost: Kafka drops it, and so does `Truncate`.
                break;
            }
        }
        let Some(first) = self.segments.first() else {
            self.segments.push(Arc::new(Segment::new(self.log_start, now.wall)));
            return;
        };
        let first = first.base;
        if self.end < self.log_start {
            self.begin_at(self.log_start, now, out);
        } else {
            self.log_start = self.log_start.max(first);
        }
    }

    fn restore_segment(&mut self, image: SegmentImage, now: Now, out: &mut Vec<Effect>) {
        let (log, segment) = (self.id, image.base);
        if image.torn.is_some() {
            out.push(Effect::Truncate { log, end: image.next_offset, segment, position: image.valid_len });
        }
        if image.stale_index {
            let (index, time_index) = image.index.encode();
            out.push(Effect::Reindex { log, segment, index, time_index });
        }
        for entry in image.epochs {
            if self.epochs.latest().is_none_or(|latest| entry.epoch > latest.epoch) {
                self.epochs.assign(entry.epoch, entry.start_offset);
            }
        }
        if image.tail.first().is_some_and(|place| place.position > 0) {
            // The batches between those of the segment before and these are not known one by one.
            self.newest.clear();
        }
        image.tail.iter().for_each(|place| self.newest.push(place));
        if let Some(sealed) = self.segments.last_mut() {
            Arc::make_mut(sealed).index.thin(THIN_BYTES);
        }
        self.end = if self.segments.is_empty() { image.next_offset } else { image.next_offset.max(self.end) };
        self.segments.push(Arc::new(Segment {
            size: image.valid_len,
            index: image.index,
            aborted: image.aborted,
            max: image.max,
            first_timestamp: image.first_timestamp,
            modified: image.modified,
            ..Segment::new(image.base, now.wall)
        }));
    }

    /// What a `.txnindex` says of markers at or above the recovery point is found out anew, with the producers.
    fn distrust_aborted(&mut self, out: &mut Vec<Effect>) {
        let recovery_point = self.flushed;
        for at in 0..self.segments.len() {
            let reaches = self.segments[at].aborted.last().is_some_and(|last| last.last_offset >= recovery_point);
            if reaches {
                Arc::make_mut(&mut self.segments[at]).forget_aborted(recovery_point);
                let segment = &self.segments[at];
                self.reindex_aborted(segment, segment.aborted.len(), out);
            }
        }
    }

    /// Forgets everything; the log begins, empty, at `base`, which lies above its end.
    pub(super) fn begin_at(&mut self, base: Offset, now: Now, out: &mut Vec<Effect>) {
        self.end = base;
        self.roll(now, out);
        self.segments.drain(..self.segments.len() - 1);
        out.push(Effect::Delete { log: self.id, below: base });
        self.newest.clear();
        self.epochs.clear();
    }
}
