//! **FencedEpoch**: where a producer has written in a later epoch, or a marker of one lies, an earlier one writes nothing.

use super::Verdict;
use super::transactions::Committed;
use crate::id::TopicPartition;

pub(super) fn check(name: &TopicPartition, committed: &Committed) -> Verdict {
    let header = committed.wrote.header;
    let Some(before) = committed.before.filter(|before| header.producer_epoch < before.epoch) else { return Ok(()) };
    let (id, epoch, offset) = (header.producer_id, header.producer_epoch, header.base_offset);
    let found = format!("{name} offset {offset} is of producer {id} epoch {epoch}, after epoch {}", before.epoch);
    Err(("FencedEpoch", found, None))
}
