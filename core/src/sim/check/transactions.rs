//! What the committed part of a partition's log says of its producers and their transactions: the ground on which the
//! checkers of transactions stand.
//!
//! Batches are read as they are appended, and kept by their marks until they are committed; in that order they are
//! understood, once, whatever happens to logs before.

use std::sync::Arc;

use super::marks::Marks;
use super::ranges::Ranges;
use crate::id::Offset;
use crate::record::{Batch, BatchHeader, Marker};
use crate::time::Instant;
use crate::vec_map::VecMap;

/// A batch of a producer, or a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrote {
    pub header: BatchHeader,
    /// Of a marker: whether it commits.
    pub commit: Option<bool>,
}

impl Wrote {
    /// `None` for what has no producer.
    pub fn of(header: &BatchHeader, batch: &Batch) -> Option<Wrote> {
        let marker = if header.is_control() { Marker::of(batch) } else { None };
        header.has_producer_id().then(|| Wrote { header: *header, commit: marker.map(|marker| marker.commit) })
    }
}

/// A transaction that no marker has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub since: Instant,
    pub epoch: i16,
    pub ranges: Ranges,
}

/// What a producer wrote last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub epoch: i16,
    /// `None` after a marker of a later epoch: that begins anew.
    pub sequence: Option<i32>,
}

#[derive(Clone, Default)]
pub(super) struct Transactions {
    ahead: Arc<VecMap<u64, Wrote>>,
    /// By producer id.
    pub open: VecMap<i64, Open>,
    pub last: VecMap<i64, Last>,
    pub markers: Ranges,
    pub aborted: Ranges,
}

/// What was committed, and what was known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub wrote: Wrote,
    pub before: Option<Last>,
    /// Of a marker: the transaction that it ended.
    pub ended: Option<Open>,
}

impl Transactions {
    pub fn appended(&mut self, mark: u64, wrote: Wrote) {
        if !self.ahead.contains_key(&mark) {
            Arc::make_mut(&mut self.ahead).insert(mark, wrote);
        }
    }

    /// What is new in `from..` is committed now.
    pub fn committed(&mut self, at: Instant, truth: &Marks, from: Offset) -> Vec<Committed> {
        if self.ahead.is_empty() {
            return Vec::new();
        }
        let mut news = Vec::new();
        let mut offset = from;
        while offset < truth.end() {
            let known = Arc::make_mut(&mut self.ahead).remove(&truth.get(offset));
            // A batch that was committed in part is committed with its last record.
            let Some(wrote) = known.filter(|wrote| wrote.header.next_offset() <= truth.end()) else {
                if let Some(wrote) = known {
                    self.appended(truth.get(offset), wrote);
                }
                offset += 1;
                continue;
            };
            offset = wrote.header.next_offset();
            news.push(self.understand(at, wrote));
        }
        if !self.ahead.is_empty() {
            Arc::make_mut(&mut self.ahead).retain(|_, wrote| wrote.header.next_offset() > truth.end());
        }
        news
    }

    fn understand(&mut self, at: Instant, wrote: Wrote) -> Committed {
        let header = wrote.header;
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let (first, next) = (header.base_offset, header.next_offset());
        let before = self.last.get(&id).copied();
        let mut ended = None;
        if let Some(commit) = wrote.commit {
            self.markers.insert(first, next);
            ended = self.open.remove(&id);
            if let Some(open) = ended.as_ref().filter(|_| !commit) {
                open.ranges.iter().for_each(|(from, to)| self.aborted.insert(from, to));
            }
            let sequence = before.filter(|before| before.epoch == epoch).and_then(|before| before.sequence);
            self.last.insert(id, Last { epoch, sequence });
        } else {
            self.last.insert(id, Last { epoch, sequence: Some(header.last_sequence()) });
            if header.is_transactional() {
                let open = self.open.entry(id);
                let open = open.or_insert_with(|| Open { since: at, epoch, ranges: Ranges::default() });
                open.ranges.insert(first, next);
            }
        }
        Committed { wrote, before, ended }
    }

    /// What was committed from `end` on is gone.
    pub fn forget(&mut self, end: Offset) {
        self.markers.remove(end, Offset::MAX);
        self.aborted.remove(end, Offset::MAX);
        self.open.clear();
        self.last.clear();
    }

    /// Whether an application that reads so gets nothing at that offset.
    pub fn hides(&self, offset: Offset, committed: bool) -> bool {
        self.markers.contains(offset) || committed && self.aborted.contains(offset)
    }

    /// Whether that offset is in a transaction that nobody has ended.
    pub fn is_open(&self, offset: Offset) -> bool {
        self.open.values().any(|open| open.ranges.contains(offset))
    }
}
