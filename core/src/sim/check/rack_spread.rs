//! **RackSpread**: the replicas of a new partition are on at least min(racks, replication factor) distinct racks.
//!
//! It is about what the cluster placed by itself: a scenario's topics name no brokers.

use super::Verdict;
use super::ledger::Ledger;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, Registration};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

pub(super) fn check(ledger: &Ledger, new: &Assignment, alive: &VecMap<BrokerId, Registration>) -> Verdict {
    let racks: VecSet<&str> = alive.values().filter_map(|broker| broker.rack.as_deref()).collect();
    // Kafka spreads over racks only where every broker has one.
    if alive.values().any(|broker| broker.rack.is_none()) {
        return Ok(());
    }
    let used: VecSet<&str> = new.replicas.iter().filter_map(|id| alive.get(id)?.rack.as_deref()).collect();
    let wanted = racks.len().min(new.replicas.len());
    if used.len() >= wanted {
        return Ok(());
    }
    let found = format!("{} is on {} racks of {}, and could be on {wanted}", ledger.name, used.len(), racks.len());
    Err(("RackSpread", found, None))
}
