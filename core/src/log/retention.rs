//! What may go: DeleteRecords raises the log start offset, retention drops whole segments from the front.
//!
//! 1. No segment goes that reaches the high watermark, so the log start offset never passes it.
//! 2. There is always an active segment.

use super::Log;
use super::segment::Segment;
use crate::broker::effect::Effect;
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::time::Now;

impl Log {
    /// DeleteRecords: raises the log start offset to `to`. Whole segments below it go with the next [`Log::retain`].
    ///
    /// Errors: `OffsetOutOfRange` where `to` lies above the high watermark.
    pub fn raise_log_start(&mut self, to: Offset, out: &mut Vec<Effect>) -> Result<(), ErrorCode> {
        if to > self.high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if to > self.log_start {
            self.log_start = to;
            if self.epochs.truncate_from_start(to) {
                self.save_epochs(out);
            }
        }
        self.assert_invariants();
        Ok(())
    }

    /// Drops whole segments: those below the log start offset, then by `retention.bytes`, then by `retention.ms`. Called
    /// every `log.retention.check.interval.ms`. True if anything went.
    pub fn retain(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        let start = self.log_start;
        let mut gone = self.drop_while(now, out, |_, next| next.is_some_and(|next| next.base <= start));
        if !self.config.cleanup_delete {
            return gone;
        }
        if let Ok(limit) = u64::try_from(self.config.retention_bytes) {
            let mut excess = self.bytes().saturating_sub(limit);
            gone |= self.drop_while(now, out, |segment, _| {
                let goes = excess > 0 && excess >= u64::from(segment.size);
                excess -= if goes { u64::from(segment.size) } else { 0 };
                goes
            });
        }
        let limit_ms = self.config.retention_ms;
        if limit_ms >= 0 {
            gone |= self
                .drop_while(now, out, |segment, _| now.wall.0.saturating_sub(segment.largest_timestamp().0) > limit_ms);
        }
        gone
    }

    /// Drops segments from the front as long as `goes` says so of a segment and the one behind it.
    fn drop_while(
        &mut self,
        now: Now,
        out: &mut Vec<Effect>,
        mut goes: impl FnMut(&Segment, Option<&Segment>) -> bool,
    ) -> bool {
        let mut count = 0;
        while let Some(segment) = self.segments.get(count) {
            let next = self.segments.get(count + 1);
            let reaches = next.map_or(self.end, |next| next.base);
            let active_and_empty = next.is_none() && segment.size == 0;
            // (1)
            if active_and_empty || reaches > self.high_watermark || !goes(segment, next.map(|next| &**next)) {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return false;
        }
        if count == self.segments.len() {
            // (2)
            self.roll(now, out);
        }
        let below = self.segments[count].base;
        self.segments.drain(..count);
        self.newest.delete(below);
        out.push(Effect::Delete { log: self.id, below });
        self.erase_snapshots(|at| at < below, out);
        if below > self.log_start {
            self.log_start = below;
            if self.epochs.truncate_from_start(below) {
                self.save_epochs(out);
            }
        }
        self.assert_invariants();
        true
    }
}
