//! **LastValueKept**: compaction takes a record away only where a later one of its key is there, where it is a tombstone
//! whose delete horizon has passed, or where its transaction was aborted; and a marker only where its horizon has passed
//! and nothing is left of its transaction. What is open or aborted takes nothing else's place. What stays is what it was,
//! at its offset; a follower lacks nothing else.
//!
//! What was taken so may be missing everywhere from then on, for every replica cleans for itself: the other invariants
//! are told by [`Ledger::removed`].

use bytes::Bytes;

use super::Verdict;
use super::ledger::Ledger;
use super::marks;
use crate::id::{BrokerId, Offset};
use crate::record::{Batch, BatchHeader, Marker, Record};
use crate::time::Timestamp;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What a broker is about to do to a log.
pub(in crate::sim) struct Replacement {
    pub old: Vec<Batch>,
    pub new: Vec<Batch>,
    /// What follows on them.
    pub later: Vec<Batch>,
}

/// Compaction replaces segments of that replica, at that time by its clock.
pub(super) fn check(ledger: &mut Ledger, id: BrokerId, now: Timestamp, replacement: &Replacement) -> Verdict {
    let Replacement { old, new, later } = replacement;
    let undone = undone(old.iter().chain(later));
    let counts = |batch: &&Batch| !batch.header.is_control() && !undone.contains_key(&batch.header.base_offset);
    let mut last: VecMap<Option<Bytes>, Offset> = VecMap::new();
    for record in old.iter().chain(later).filter(counts).flat_map(records) {
        last.insert(record.key, record.offset);
    }
    let mut there: VecSet<i64> = VecSet::new();
    let mut stays: VecMap<Offset, Record> =
        new.iter().flat_map(records).map(|record| (record.offset, record)).collect();
    let mut verdict = Ok(());
    for batch in old {
        let header = &batch.header;
        let is_over = header.delete_horizon().is_some_and(|horizon| horizon <= now);
        let marks_nothing = header.is_control() && !there.remove(&header.producer_id);
        if header.is_transactional() && !header.is_control() {
            there.insert(header.producer_id);
        }
        let is_aborted = undone.get(&header.base_offset) == Some(&Fate::Aborted);
        for record in records(batch) {
            let offset = record.offset;
            let why = match stays.remove(&offset) {
                Some(new) if new == record => continue,
                Some(_) => "is another record now",
                None => {
                    ledger.remove(id, offset);
                    let superseded = record.key.is_some() && last.get(&record.key).is_some_and(|last| *last > offset);
                    match header.is_control() {
                        true if marks_nothing && is_over => continue,
                        true => "ends a transaction of which something is left, and is gone",
                        false if is_aborted || superseded || record.value.is_none() && is_over => continue,
                        false if record.key.is_none() => continue,
                        false => "is the last of its key and is gone",
                    }
                }
            };
            verdict =
                verdict.and(Err(("LastValueKept", format!("{} offset {offset} on {id} {why}", ledger.name), None)));
        }
    }
    match stays.keys().next() {
        Some(offset) => {
            let found = format!("{} offset {offset} on {id} comes out of nothing", ledger.name);
            verdict.and(Err(("LastValueKept", found, None)))
        }
        None => verdict,
    }
}

#[derive(PartialEq, Eq)]
enum Fate {
    Open,
    Aborted,
}

/// The transactional batches, by their base offsets, that are not committed.
fn undone<'a>(log: impl Iterator<Item = &'a Batch>) -> VecMap<Offset, Fate> {
    let mut open: VecMap<i64, Vec<Offset>> = VecMap::new();
    let mut undone = VecMap::new();
    for batch in log.filter(|batch| batch.header.is_transactional()) {
        let header = &batch.header;
        if !header.is_control() {
            open.entry(header.producer_id).or_default().push(header.base_offset);
        } else if let Some(marker) = Marker::of(batch) {
            let batches = open.remove(&header.producer_id).unwrap_or_default();
            undone.extend(batches.into_iter().filter(|_| !marker.commit).map(|base| (base, Fate::Aborted)));
        }
    }
    undone.extend(open.into_values().flatten().map(|base| (base, Fate::Open)));
    undone
}

/// A batch is appended that may have been thinned out before: marks for its offsets, and for those that are missing
/// before it.
pub(super) fn appended(ledger: &mut Ledger, id: BrokerId, header: &BatchHeader, batch: &Batch) -> Verdict {
    let there: VecMap<Offset, u64> = records(&Batch { header: *header, bytes: batch.bytes.clone() })
        .map(|record| marks::of_record(header, &record))
        .collect();
    let mut missing = None;
    let first = ledger.replica(id).marks.end();
    for offset in first..header.next_offset() {
        let mark = there.get(&offset).copied().unwrap_or(0);
        if mark == 0 && ledger.truth.get(offset) != 0 && !ledger.removed.contains(offset) {
            missing.get_or_insert(offset);
        }
        ledger.replica(id).marks.append(offset + 1, mark);
    }
    match missing {
        None => Ok(()),
        Some(offset) => {
            let found = format!("{} offset {offset} is missing on {id}, and nobody has cleaned it away", ledger.name);
            Err(("LastValueKept", found, None))
        }
    }
}

/// The mark of a batch's first record.
pub(super) fn first_mark(header: &BatchHeader, batch: &Batch) -> Option<u64> {
    let first = records(&Batch { header: *header, bytes: batch.bytes.clone() }).next()?;
    Some(marks::of_record(header, &first).1)
}

/// (What cannot be decoded has no records; whoever appended it will be told so elsewhere.)
fn records(batch: &Batch) -> impl Iterator<Item = Record> {
    Record::decode(batch).unwrap_or_default().into_iter()
}
