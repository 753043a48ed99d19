//! **EpochFencedTruncation**: a follower appends only behind what it shares with the leader of its epoch, so it has asked
//! where the two logs part (OffsetForLeaderEpoch) before it fetches in a new epoch; epochs and their start offsets rise
//! strictly in every log; a replica joins the ISR only from the start of the leader's epoch on.

use super::Verdict;
use super::ledger::{Ledger, Replica};
use crate::id::{BrokerId, Offset};
use crate::log::epoch::EpochCache;
use crate::protocol::cluster::Assignment;

/// A broker appends from `base` on, in the epoch that it believes in.
pub(super) fn appends(ledger: &Ledger, id: BrokerId, base: Offset) -> Verdict {
    let follower = ledger.replicas.get(&id);
    let Some((follower, process)) = follower.and_then(|one| Some((one, one.process.as_ref()?))) else { return Ok(()) };
    if process.leads || base == 0 {
        return Ok(());
    }
    let leader = ledger.leaders.get(&process.epoch).and_then(|leader| Some((leader, ledger.replicas.get(leader)?)));
    // One that leads no more may have cut its log back since it sent this.
    let still = |log: &Replica| log.process.as_ref().is_some_and(|it| it.leads && it.epoch == process.epoch);
    let Some((leader, log)) = leader.filter(|(_, log)| still(log)) else { return Ok(()) };
    let (own, theirs) = (follower.marks.get(base - 1), log.marks.get(base - 1));
    if own == theirs || own == 0 || theirs == 0 {
        return Ok(());
    }
    let (name, epoch) = (&ledger.name, process.epoch);
    let found =
        format!("{name}: {id} appends at {base} in epoch {epoch}, and what it has before is not what {leader} has");
    Err(("EpochFencedTruncation", found, None))
}

pub(super) fn epochs(ledger: &Ledger, id: BrokerId, cache: &EpochCache) -> Verdict {
    let [.., before, last] = cache.entries() else { return Ok(()) };
    if before.epoch < last.epoch && before.start_offset < last.start_offset {
        return Ok(());
    }
    let found = format!(
        "{}: {id}'s epoch {} begins at {} and is followed by {} at {}",
        ledger.name, before.epoch, before.start_offset, last.epoch, last.start_offset
    );
    Err(("EpochFencedTruncation", found, None))
}

/// What the controller has decided now; the ledger holds what it had decided before.
pub(super) fn joins(ledger: &Ledger, now: &Assignment) -> Verdict {
    let Some(before) = &ledger.authority else { return Ok(()) };
    let leader = ledger.replicas.get(&now.leader).and_then(|replica| replica.process.as_ref());
    let Some(leader) = leader.filter(|leader| leader.leads && leader.epoch == now.leader_epoch) else { return Ok(()) };
    for member in now.isr.iter().filter(|member| !before.isr.contains(member) && **member != now.leader) {
        let replica = ledger.replicas.get(member);
        let end = replica.map_or(0, |replica| replica.marks.end());
        // Its machine may have died while it was proposed.
        if end < leader.epoch_start && !replica.is_some_and(Replica::is_lossy) {
            let found = format!(
                "{}: {member} joins the ISR with an end of {end}, and epoch {} began at {}",
                ledger.name, now.leader_epoch, leader.epoch_start
            );
            return Err(("EpochFencedTruncation", found, None));
        }
    }
    Ok(())
}
