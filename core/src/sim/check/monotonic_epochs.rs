//! **MonotonicEpochs**: leader epochs only rise, at the controller and in every process; in one epoch there is one leader.

use super::Verdict;
use super::ledger::{Ledger, Process};
use crate::id::{BrokerId, LeaderEpoch};
use crate::protocol::cluster::Assignment;

/// What the controller has decided now; the ledger holds what it had decided before.
pub(super) fn decided(ledger: &Ledger, now: &Assignment) -> Verdict {
    let Some(before) = &ledger.authority else { return Ok(()) };
    // That nobody leads any more needs no epoch of its own; that somebody else does, needs one.
    let led = before.leader != now.leader && now.leader != BrokerId::NONE && before.leader_epoch == now.leader_epoch;
    if before.leader_epoch <= now.leader_epoch && before.partition_epoch <= now.partition_epoch && !led {
        return Ok(());
    }
    let found = format!(
        "{}: the controller goes from {} in epoch {} (partition epoch {}) to {} in epoch {} (partition epoch {})",
        ledger.name,
        before.leader,
        before.leader_epoch,
        before.partition_epoch,
        now.leader,
        now.leader_epoch,
        now.partition_epoch
    );
    Err(("MonotonicEpochs", found, None))
}

/// What that broker believes now, and the epoch that it believed in before.
pub(super) fn believed(ledger: &mut Ledger, id: BrokerId, before: Option<LeaderEpoch>, now: &Process) -> Verdict {
    let name = &ledger.name;
    if let Some(before) = before.filter(|before| *before > now.epoch) {
        let found = format!("{name}: {id} goes back from leader epoch {before} to {}", now.epoch);
        return Err(("MonotonicEpochs", found, None));
    }
    if now.leads {
        let first = *ledger.leaders.entry(now.epoch).or_insert(id);
        if first != id {
            let found = format!("{name}: {first} and {id} both lead in epoch {}", now.epoch);
            return Err(("MonotonicEpochs", found, None));
        }
    }
    Ok(())
}
