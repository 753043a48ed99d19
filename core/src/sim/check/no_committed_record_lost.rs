//! **NoCommittedRecordLost**: a record that was acknowledged is in a log for as long as retention keeps it.
//!
//! Exempt: as many machines died with unflushed data as `min.insync.replicas` asks for (at replication factor 1 that is
//! one machine); a leader with followers acknowledged it alone (acks=1).

use kafka_protocol::messages::TopicName;

use super::{Ledger, Verdict};
use crate::id::Offset;

const ALONE: &str = "the leader had acknowledged them alone (acks=1)";

/// Another record is acknowledged at an offset. Gives how many acknowledged ones are gone with that.
pub(super) fn replaced(ledger: &mut Ledger, topic: &TopicName, partition: i32, offset: Offset) -> (u64, Verdict) {
    if !ledger.alone.contains(offset) {
        return (0, Ok(()));
    }
    ledger.alone.remove(offset, offset + 1);
    let found = format!("{}-{partition} has another record at {offset} than the acknowledged one", topic.0);
    (1, Err(("NoCommittedRecordLost", found, Some(ALONE))))
}

/// All logs of the partition end at `end` or before. Gives how many acknowledged records are gone with that.
pub(super) fn check(
    ledger: &mut Ledger,
    topic: &TopicName,
    partition: i32,
    end: Offset,
    exempt: Option<&'static str>,
) -> (u64, Verdict) {
    let (lost, alone) = (ledger.acked.count(end, Offset::MAX), ledger.alone.count(end, Offset::MAX));
    ledger.acked.remove(end, Offset::MAX);
    ledger.alone.remove(end, Offset::MAX);
    let (lost, exempt) = match (lost, alone) {
        (0, 0) => return (0, Ok(())),
        (0, alone) => (alone, Some(ALONE)),
        (lost, alone) => (lost + alone, exempt),
    };
    let found = format!("{}-{partition} ends at {end}: {lost} acknowledged records are gone", topic.0);
    (lost, Err(("NoCommittedRecordLost", found, exempt)))
}
