//! **NoCommittedRecordLost**: a record that was acknowledged is in a log for as long as retention keeps it.
//!
//! Exempt: as many machines died with unflushed data as `min.insync.replicas` asks for. At replication factor 1 that is
//! one machine.

use kafka_protocol::messages::TopicName;

use super::{Ledger, Verdict};
use crate::id::Offset;

/// All logs of the partition end at `end` or before. Gives how many acknowledged records are gone with that.
pub(super) fn check(
    ledger: &mut Ledger,
    topic: &TopicName,
    partition: i32,
    end: Offset,
    exempt: Option<&'static str>,
) -> (u64, Verdict) {
    let lost = ledger.acked.count(end, Offset::MAX);
    ledger.acked.remove(end, Offset::MAX);
    if lost == 0 {
        return (0, Ok(()));
    }
    let found = format!("{}-{partition} ends at {end}: {lost} acknowledged records are gone", topic.0);
    (lost, Err(("NoCommittedRecordLost", found, exempt)))
}
