//! Knowing the producers again, after a start and after a truncation: from the newest snapshot that still holds, and from
//! the headers of the batches that came after it.
//!
//! ```text
//! known to the end ─[open, truncate]─▶ replaying: a snapshot, then batch after batch ─▶ known to the end
//! ```
//!
//! 1. Until it is done, no batch of a producer is taken and nothing past the place that it has come to counts as stable.
//! 2. What was found in a `.txnindex` below the recovery point is trusted; the rest is found again on the way.

use std::sync::Arc;

use bytes::Bytes;

use super::aborted::Aborted;
use super::lookup::Found;
use super::{Extent, Log};
use crate::broker::Effect;
use crate::id::Offset;
use crate::record::batch::HEADER_LEN;
use crate::record::{Batch, BatchHeader, Marker};
use crate::time::Now;
use crate::view::Level;

/// Bytes that are asked for at a time: many small batches, or not too much of a large one.
const READ_BYTES: u32 = 32 * 1024;
/// No marker is larger than this.
const MARKER_BYTES: usize = 4 * 1024;

/// How far a log has come that does not know its producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaying {
    /// Everything below is known.
    pub known: Offset,
    /// Where the log ended when it began: what comes later is noted as it comes.
    end: Offset,
}

/// [`Log::replay`] under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Where the bytes begin that were asked for: at a batch.
    segment: Offset,
    position: u32,
    generation: u32,
}

impl Log {
    /// The producers are being found out.
    pub fn is_replaying(&self) -> bool {
        self.replaying.is_some()
    }

    /// The log was cut to `end`: whoever wrote what is gone must be known as before.
    pub(super) fn forget_producers(&mut self, now: Now, end: Offset, out: &mut Vec<Effect>) {
        match self.producers.is_empty() && !self.is_replaying() {
            true => self.erase_snapshots(|at| at > end, out),
            false => self.recall_producers(now, end, None, out),
        }
    }

    /// Goes back to the newest snapshot at or below `limit`; [`Log::replay`] does the rest. From `plain_from` on no batch is
    /// a producer's.
    pub(super) fn recall_producers(
        &mut self,
        now: Now,
        limit: Offset,
        plain_from: Option<Offset>,
        out: &mut Vec<Effect>,
    ) {
        let (first, end) = (self.segments[0].base, self.end);
        self.erase_snapshots(|at| at > end || at < first, out);
        let mut producers = self.producers.forgotten();
        let mut known = self.log_start;
        if let Some((at, entries)) = self.newest_snapshot(limit.min(end), out) {
            known = at.max(known);
            entries.into_iter().for_each(|(id, producer)| producers.insert(id, producer));
        }
        producers.expire(now.wall, self.config.producer_id_expiration_ms);
        self.producers = Arc::new(producers);
        let is_known = known >= end || plain_from.is_some_and(|plain_from| plain_from <= known);
        self.replaying = (!is_known).then_some(Replaying { known, end });
    }

    /// Begins to find out what came after the snapshot, if anything did.
    pub fn replay(&mut self, now: Now, out: &mut Vec<Effect>) -> Found<(), Replay> {
        let Some(Replaying { known, .. }) = self.replaying else { return Found::Here(()) };
        let segment = self.segment_for(known).unwrap_or(&self.segments[0]);
        let begin =
            Replay { segment: segment.base, position: segment.index.lookup(known), generation: self.generation };
        begin.go_on(self, now, &Bytes::new(), out)
    }

    fn noted(&mut self, segment: Offset, aborted: Aborted, out: &mut Vec<Effect>) {
        let Ok(at) = self.segments.binary_search_by_key(&segment, |segment| segment.base) else { return };
        // (2)
        if self.segments[at].aborted.last().is_none_or(|last| last.last_offset < aborted.last_offset) {
            let segment = Arc::make_mut(&mut self.segments[at]);
            segment.aborted.push(aborted);
            let segment = &self.segments[at];
            self.reindex_aborted(segment, segment.aborted.len() - 1, out);
        }
    }

    fn replayed(&mut self, now: Now, out: &mut Vec<Effect>) -> Found<(), Replay> {
        self.recalled(now);
        self.take_snapshot(out);
        Found::Here(())
    }

    /// The log has something there that is no batch: what is known is all that can be known, and no snapshot is to say that it
    /// is all there was.
    fn replay_broken(
        &mut self,
        now: Now,
        (segment, position): (Offset, u32),
        out: &mut Vec<Effect>,
    ) -> Found<(), Replay> {
        let text = format!(
            "{}: what its producers sent is known up to byte {position} of segment {segment} alone, where there is no batch",
            self.directory
        );
        out.push(Effect::Note { level: Level::Bad, text });
        self.recalled(now);
        Found::Here(())
    }

    fn recalled(&mut self, now: Now) {
        self.replaying = None;
        let high_watermark = self.high_watermark;
        let producers = Arc::make_mut(&mut self.producers);
        producers.replicated(high_watermark);
        producers.expire(now.wall, self.config.producer_id_expiration_ms);
    }
}

impl Replay {
    pub fn resume(self, log: &mut Log, now: Now, bytes: &Bytes, out: &mut Vec<Effect>) -> Found<(), Replay> {
        if self.generation != log.generation || !log.is_replaying() {
            // The log was cut meanwhile, and another replay is under way.
            return Found::Here(());
        }
        if bytes.len() < HEADER_LEN {
            return log.replay_broken(now, (self.segment, self.position), out);
        }
        self.go_on(log, now, bytes, out)
    }

    /// `bytes` are those from the position on; none at the beginning.
    fn go_on(mut self, log: &mut Log, now: Now, bytes: &Bytes, out: &mut Vec<Effect>) -> Found<(), Replay> {
        let mut rest = bytes.clone();
        loop {
            let Some(Replaying { known, end }) = log.replaying else { return Found::Here(()) };
            let Some(segment) = log.segment(self.segment) else { return log.replay(now, out) };
            if self.position >= segment.size {
                match log.segment_after(self.segment).map(|next| next.base) {
                    Some(next) if next < end => (self.segment, self.position) = (next, 0),
                    _ => return log.replayed(now, out),
                }
                rest.clear();
                continue;
            }
            let left = segment.size - self.position;
            if rest.len() < HEADER_LEN {
                return Found::Read(self.extent(log, READ_BYTES.min(left)), self);
            }
            let header = match BatchHeader::parse(&rest) {
                Ok(header) if header.last_offset_delta >= 0 && header.size() as u64 <= u64::from(left) => header,
                _ => return log.replay_broken(now, (self.segment, self.position), out),
            };
            if header.base_offset >= end {
                return log.replayed(now, out);
            }
            let size = header.size();
            if header.last_offset() >= known && header.has_producer_id() {
                let marker = match header.is_control() && size <= MARKER_BYTES {
                    // The file is shorter than the log.
                    true if rest.len() < size && rest.len() == bytes.len() => {
                        return log.replay_broken(now, (self.segment, self.position), out);
                    }
                    true if rest.len() < size => return Found::Read(self.extent(log, size as u32), self),
                    true => Batch::parse(rest.clone()).ok().and_then(|batch| Marker::of(&batch)),
                    false => None,
                };
                let producers = Arc::make_mut(&mut log.producers);
                if let Some(aborted) = producers.note(&header, header.base_offset, header.max_timestamp, marker) {
                    log.noted(self.segment, aborted, out);
                }
            }
            log.replaying = Some(Replaying { known: known.max(header.next_offset()), end });
            self.position += size as u32;
            rest = rest.slice(size.min(rest.len())..);
        }
    }

    fn extent(&self, log: &Log, len: u32) -> Extent {
        Extent { log: log.id(), segment: self.segment, position: self.position, len }
    }
}
