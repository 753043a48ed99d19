//! What a log does as its leader says: batches with the offsets and epochs that they bear, and where to begin anew.

use std::sync::Arc;

use super::Log;
use super::segment::Segment;
use crate::broker::effect::Effect;
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::record::check::Invalid;
use crate::record::{Batch, Stamp};
use crate::time::Now;

impl Log {
    /// Appends one batch as its leader sent it, byte for byte.
    ///
    /// Errors: `InvalidRecord` where it begins below the log's end; `RecordListTooLarge` as [`Log::append`].
    pub fn append_replica(&mut self, now: Now, batch: Batch, out: &mut Vec<Effect>) -> Result<(), Invalid> {
        let header = batch.header;
        let stamp =
            Stamp { base_offset: header.base_offset, leader_epoch: header.partition_leader_epoch, append_time: None };
        if stamp.base_offset < self.end {
            let message = format!(
                "Unexpected offset in append to {}. First offset {} is less than the next offset {}.",
                self.directory, stamp.base_offset, self.end
            );
            return Err(Invalid::new(ErrorCode::InvalidRecord, message));
        }
        self.fits(&batch)?;
        if stamp.leader_epoch >= 0 && self.epochs.assign(stamp.leader_epoch, stamp.base_offset) {
            self.save_epochs(out);
        }
        self.put(now, batch, stamp, out);
        Ok(())
    }

    /// Drops everything; the log begins, empty, at `start`. What the directory held besides the log is gone too where
    /// `start` is not above the log's end.
    pub fn truncate_fully_and_start_at(&mut self, now: Now, start: Offset, out: &mut Vec<Effect>) {
        self.truncations = self.truncations.wrapping_add(1);
        self.generation = self.generation.wrapping_add(1);
        self.erase_snapshots(|_| true, out);
        (self.producers, self.replaying) = (Default::default(), None);
        if start > self.end {
            self.begin_at(start, now, out);
        } else {
            let log = self.id;
            out.push(Effect::Remove { log });
            out.push(Effect::Open { log, directory: self.directory.to_string(), base: start, found: false });
            self.segments = vec![Arc::new(Segment::new(start, now.wall))];
            self.newest.clear();
            self.epochs.clear();
            self.end = start;
        }
        self.log_start = start;
        self.high_watermark = start;
        self.appended = start;
        self.flushed = start;
        self.flush_asked = start;
        self.cleaned = None;
        self.save_epochs(out);
        self.assert_invariants();
    }

    /// Forgets the epochs that began at the log's end: this replica led in them and wrote nothing.
    pub fn forget_empty_epochs(&mut self, out: &mut Vec<Effect>) {
        if self.epochs.truncate_from_end(self.end) {
            self.save_epochs(out);
        }
    }
}
