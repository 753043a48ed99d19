//! **PollSkip**: a consumer skips no offset of a partition.
//!
//! Exempt: what retention removed before the consumer came there. What compaction removed is not skipped, nor are markers of
//! transactions, which are no records, nor, for who reads what is committed, what was aborted.

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
    let there =
        |skipped: &Offset| !ledger.removed.contains(*skipped) && !ledger.transactions.hides(*skipped, committed);
    let Some(next) = (next..*offset).find(there) else { return Ok(()) };
    let exempt = (next < ledger.deleted).then_some("retention removed them");
    let found = format!("{consumer} got offset {offset} of {}-{partition} after {}", topic.0, next - 1);
    Err(("PollSkip", found, exempt))
}
