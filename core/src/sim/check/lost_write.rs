//! **LostWrite**: an acknowledged record reaches every consumer that reads past it, unless it reads what is committed
//! alone and the record's transaction was aborted.

use std::sync::Arc;

use super::ledger::Ledger;
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
