//! Which brokers a partition's replicas go to: the notes' chapter "Partition Allocation", step by step.
//!
//! 1. Put the brokers into an ordered list in which the next broker is from another rack than the last, as long as racks
//!    last.
//! 2. Leaders first: round robin over the list.
//! 3. Each further round of replicas the same way, but begun one broker later.
//!
//! The notes draw the first broker of the list by lot; here the list is rotated by how many partitions the cluster has
//! already, so that small topics do not pile up on one broker and the same history places the same way.

use std::collections::BTreeMap;

use super::Refusal;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::Registration;

/// The replicas of `count` new partitions, the preferred leader first.
pub fn place(
    brokers: &BTreeMap<BrokerId, Registration>,
    start: usize,
    count: usize,
    replication_factor: usize,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    if replication_factor > brokers.len() {
        return Err((
            ErrorCode::InvalidReplicationFactor,
            format!(
                "Unable to replicate the partition {replication_factor} time(s): The target replication factor of \
                 {replication_factor} cannot be reached because only {} broker(s) are registered.",
                brokers.len()
            ),
        ));
    }
    let list = alternate_racks(brokers);
    Ok((0..count)
        .map(|partition| (0..replication_factor).map(|round| list[(start + partition + round) % list.len()]).collect())
        .collect())
}

/// The brokers, racks in turn: from each rack its first, then from each its second, and so on.
fn alternate_racks(brokers: &BTreeMap<BrokerId, Registration>) -> Vec<BrokerId> {
    let mut racks: BTreeMap<Option<&str>, Vec<BrokerId>> = BTreeMap::new();
    for broker in brokers.values() {
        racks.entry(broker.rack.as_deref()).or_default().push(broker.id);
    }
    let deepest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..deepest).flat_map(|depth| racks.values().filter_map(move |rack| rack.get(depth).copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::broker;
    use super::*;

    fn cluster(racks: &[(i32, &str)]) -> BTreeMap<BrokerId, Registration> {
        racks.iter().map(|&(id, rack)| (BrokerId(id), broker(id, Some(rack)))).collect()
    }

    #[test]
    fn the_notes_example_puts_4_5_6_6_5_4_replicas_down_the_ordered_list() {
        let brokers = cluster(&[(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "b")]);
        let list = alternate_racks(&brokers);
        assert_eq!(list, [1, 4, 2, 5, 3, 6].map(BrokerId));
        let placed = place(&brokers, 0, 10, 3).unwrap();
        let count = |id| placed.iter().flatten().filter(|&&replica| replica == id).count();
        assert_eq!(list.iter().map(|&id| count(id)).collect::<Vec<_>>(), [4, 5, 6, 6, 5, 4]);
        for replicas in &placed {
            let on_a = replicas.iter().filter(|id| id.0 <= 3).count();
            assert!(on_a == 1 || on_a == 2, "{replicas:?} lie in one rack");
        }
    }

    #[test]
    fn a_factor_beyond_the_brokers_is_refused_in_kafkas_words() {
        let (error, message) = place(&cluster(&[(1, "a")]), 0, 1, 3).unwrap_err();
        assert_eq!(error, ErrorCode::InvalidReplicationFactor);
        assert_eq!(
            message,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered."
        );
    }
}
