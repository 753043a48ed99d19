//! What compaction must know of transactions and of producers, and what the log knows.
//!
//! A walk over a log meets the batches of a transaction before its marker. Batches of aborted ones go; a marker goes when
//! none of its transaction's batches has been met, for then all are gone (Kafka's `CleanedTransactionMetadata`).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Offset;
use crate::log::Log;
use crate::log::aborted::Aborted;
use crate::log::producer::Producer;
use crate::record::Record;
use crate::record::batch::{Batch, BatchHeader};

/// The newest that a producer has in the log: what it may send again is recognised by that, so it stays, if only as an
/// empty batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// `None` where the newest is a marker.
    pub data_offset: Option<Offset>,
    pub producer_epoch: i16,
}

impl Log {
    /// Of every producer whose state is kept.
    pub(super) fn last_records_of_producers(&self) -> BTreeMap<i64, LastRecord> {
        let last = |(id, producer): (i64, &Producer)| {
            let data_offset = producer.last().map(|last| last.last_offset);
            (id, LastRecord { data_offset, producer_epoch: producer.epoch })
        };
        self.producers.iter().map(last).collect()
    }
}

/// A walk over the batches of a log, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// Aborted ones that the walk has not come to, by their first offsets.
    ahead: BTreeMap<(Offset, i64), Aborted>,
    /// Aborted ones that it is in, by producer, and whether it has met a batch of them.
    aborted: BTreeMap<i64, (Aborted, bool)>,
    /// Producers of which it has met batches of a transaction that was not aborted.
    committed: BTreeSet<i64>,
    /// Aborted ones that still have batches in what the walk has passed.
    kept: Vec<Aborted>,
}

impl Transactions {
    pub fn add(&mut self, aborted: Vec<Aborted>) {
        self.ahead.extend(aborted.into_iter().map(|one| ((one.first_offset, one.producer_id), one)));
    }

    /// Of the segment that is complete: what its `.txnindex` must say.
    pub fn take_kept(&mut self) -> Vec<Aborted> {
        std::mem::take(&mut self.kept)
    }

    /// Whether the batch goes: of data, because its transaction was aborted; a marker, because nothing is left of what it
    /// marks.
    pub fn met(&mut self, batch: &Batch) -> bool {
        let header = &batch.header;
        while let Some(entry) = self.ahead.first_entry().filter(|entry| entry.key().0 <= header.last_offset()) {
            let aborted = entry.remove();
            self.aborted.entry(aborted.producer_id).or_insert((aborted, false));
        }
        if header.is_control() {
            return self.marker(batch);
        }
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, met)) => {
                *met = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    fn marker(&mut self, batch: &Batch) -> bool {
        let producer_id = batch.header.producer_id;
        match control_type(batch) {
            Some(Control::Abort) => match self.aborted.remove(&producer_id) {
                Some((aborted, true)) => {
                    self.kept.push(aborted);
                    false
                }
                _ => true,
            },
            Some(Control::Commit) => !self.committed.remove(&producer_id),
            Some(Control::Other) => false,
            // It was emptied before.
            None => true,
        }
    }
}

enum Control {
    Abort,
    Commit,
    Other,
}

/// The first record's key: a version, then the type. `None` where the batch has no record.
fn control_type(batch: &Batch) -> Option<Control> {
    let records = Record::decode_first(batch, 1).ok()?;
    let key = records.first()?.key.as_deref().unwrap_or_default();
    Some(match key.get(2..4) {
        Some([0, 0]) => Control::Abort,
        Some([0, 1]) => Control::Commit,
        _ => Control::Other,
    })
}

/// Whether that is the batch by which its producer is recognised.
pub(super) fn is_last_of_producer(header: &BatchHeader, last: &BTreeMap<i64, LastRecord>) -> bool {
    header.has_producer_id()
        && last.get(&header.producer_id).is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.producer_epoch,
        })
}
