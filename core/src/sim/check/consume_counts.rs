//! **ConsumeCounts**, exactly once: where a group commits its offsets with transactions, a record is consumed by one of those
//! that were committed. Never by two, as their applications know it; and when all has settled by one, as can be read:
//! every record that they write says what it was made of.
//!
//! Two of them that were made of the same are told by Duplicate.
//!
//! Exempt: the records that were read, the group's offsets or the coordinator's transactions were lost as Kafka allows it.

use super::Verdict;
use super::groups::Known;
use super::ledger::Ledger;
use super::writers::{Made, Writer};
use crate::client::Read;

/// A transaction that has consumed that record was committed.
pub(super) fn check(group: &str, known: &Known, read: &Read, exempt: Option<&'static str>) -> Verdict {
    if !known.consumed.contains(read.offset) {
        return Ok(());
    }
    let Read { partition, offset, .. } = read;
    let found = format!("{group} has consumed offset {offset} of {partition} in two committed transactions");
    Err(("ConsumeCounts", found, exempt))
}

/// When all has settled: everything has been made of a partition's records, by a group that has members.
pub(super) fn settled(name: &str, writer: &Writer, ledgers: &[Ledger]) -> Result<(), String> {
    let Some(Made { place, from }) = writer.made else { return Ok(()) };
    let ledger = &ledgers[place];
    // Nobody has read what was made.
    if ledger.torn.is_some() || !writer.is_read() {
        return Ok(());
    }
    let left = |offset: &i64| !writer.was_read(*offset as u64) && !ledger.transactions.hides(*offset, true);
    match (from.max(ledger.deleted)..ledger.truth.end()).find(left) {
        Some(offset) => Err(format!("nothing was made of offset {offset} by {name}")),
        None => Ok(()),
    }
}
