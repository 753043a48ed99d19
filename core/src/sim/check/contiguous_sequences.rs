//! **ContiguousSequences**: in one epoch of a producer the sequences of a partition follow each other without a gap, and a
//! new epoch begins at 0. What a group's coordinator writes for a producer's transaction has none (`CoordinatorPartitionWriter`).

use super::Verdict;
use super::transactions::{Committed, Last};
use crate::client::producer::sequences::increment;
use crate::coordinator::topic::is_internal;
use crate::id::TopicPartition;
use crate::record::batch::NO_SEQUENCE;

pub(super) fn check(name: &TopicPartition, committed: &Committed) -> Verdict {
    let header = committed.wrote.header;
    let Some(Last { epoch, sequence }) = committed.before.filter(|_| committed.wrote.commit.is_none()) else {
        return Ok(());
    };
    let expected = match sequence {
        Some(sequence) if epoch == header.producer_epoch => increment(sequence, 1),
        _ if epoch <= header.producer_epoch => 0,
        // That is another checker's.
        _ => return Ok(()),
    };
    let is_coordinators = header.base_sequence == NO_SEQUENCE && is_internal(&name.topic);
    if header.base_sequence == expected || is_coordinators {
        return Ok(());
    }
    let (id, epoch, found) = (header.producer_id, header.producer_epoch, header.base_sequence);
    let offset = header.base_offset;
    let found =
        format!("{name} offset {offset} has sequence {found} of producer {id} epoch {epoch}, where {expected} is next");
    Err(("ContiguousSequences", found, None))
}
