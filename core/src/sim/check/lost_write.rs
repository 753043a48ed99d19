//! **LostWrite**: an acknowledged record reaches every consumer that reads past it, unless it reads what is committed
//! alone and the record's transaction was aborted.
//!
//! When all has settled the log is held against the application: of a transaction that it has committed, everything
//! counts, in all partitions.

use std::sync::Arc;

use super::ledger::Ledger;
use super::writers::Writer;
use super::{Received, Verdict};
use crate::id::Offset;

/// `next` is the offset after the last one that this consumer got; −1 where there is none.
pub(super) fn check(
    ledger: &Ledger,
    received: &Received<'_>,
    (consumer, committed): (&Arc<str>, bool),
    next: Offset,
) -> Verdict {
    let Received { topic, partition, offset } = received;
    if next < 0 || *offset <= next {
        return Ok(());
    }
    let lost = |skipped: &Offset| ledger.acked.contains(*skipped) && !ledger.transactions.hides(*skipped, committed);
    match (next..*offset).filter(lost).count() {
        0 => Ok(()),
        lost => {
            let found =
                format!("{consumer} read {}-{partition} past {lost} acknowledged records before {offset}", topic.0);
            Err(("LostWrite", found, None))
        }
    }
}

/// What its application has committed, the log has, and does not call aborted or open.
pub(super) fn settled(name: &str, writer: &Writer, ledgers: &[Ledger]) -> Result<(), String> {
    for (number, place, offset) in writer.committed() {
        let ledger = &ledgers[place];
        let what = match () {
            () if ledger.torn.is_some() || offset < ledger.deleted => continue,
            () if ledger.transactions.aborted.contains(offset) => "is aborted",
            () if ledger.transactions.is_open(offset) => "is in an open transaction",
            () if offset >= ledger.truth.end() => "is not there",
            () => continue,
        };
        let partition = &ledger.name;
        return Err(format!("record {number} of {name} is committed, and {what} at {partition} offset {offset}"));
    }
    Ok(())
}
