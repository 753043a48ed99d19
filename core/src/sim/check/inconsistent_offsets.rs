//! **InconsistentOffsets**: an offset belongs to one record; two are never acknowledged at the same.

use std::sync::Arc;

use kafka_protocol::messages::TopicName;

use super::Verdict;
use super::ledger::Ledger;
use crate::id::Offset;

pub(super) fn check(
    ledger: &Ledger,
    topic: &TopicName,
    partition: i32,
    offset: Offset,
    producer: &Arc<str>,
    sequence: u64,
) -> Verdict {
    if !ledger.acked.contains(offset) {
        return Ok(());
    }
    let found =
        format!("{}-{partition} offset {offset} is acknowledged again, for {producer}'s record {sequence}", topic.0);
    Err(("InconsistentOffsets", found, None))
}
