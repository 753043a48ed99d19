//! **Unseen**: a group that has committed reads every record: whoever takes a partition over skips none that has not
//! reached the group. That holds where the application commits what it has got, and not before.
//!
//! Exempt: what `__consumer_offsets` lost as Kafka allows it, so that `auto.offset.reset` decides.

use std::sync::Arc;

use super::groups::Known;
use super::{Received, Verdict};
use crate::id::Offset;

pub(super) fn check(
    received: &Received<'_>,
    consumer: &Arc<str>,
    known: &Known,
    exempt: Option<&'static str>,
    hides: impl Fn(Offset) -> bool,
) -> Verdict {
    let Received { topic, partition, offset } = received;
    // Before a commit it is `auto.offset.reset` that decides.
    // A commit may lie behind markers of transactions, and what was aborted, which reach nobody; and so may a record.
    if known.committed < 0 || known.end < 0 || (known.end.max(known.committed)..*offset).all(hides) {
        return Ok(());
    }
    let found =
        format!("{consumer} begins {}-{partition} at {offset}, and its group has read up to {}", topic.0, known.end);
    Err(("Unseen", found, exempt))
}
