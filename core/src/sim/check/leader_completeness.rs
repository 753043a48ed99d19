//! **LeaderCompleteness**: every record that was acknowledged by all in-sync replicas (acks=all) is in the log of the
//! leader that the controller has chosen, from the moment on when it believes to lead.
//!
//! Exempt by construction: a leader whose machine lost what it had not flushed; what is gone with it is told as lost.

use super::Verdict;
use super::ledger::Ledger;

pub(super) fn check(ledger: &Ledger) -> Verdict {
    let Some(authority) = &ledger.authority else { return Ok(()) };
    let (leader, epoch, promised) = (authority.leader, authority.leader_epoch, ledger.promised);
    let Some(replica) = ledger.replicas.get(&leader).filter(|replica| !replica.is_lossy()) else { return Ok(()) };
    if !replica.process.as_ref().is_some_and(|process| process.leads && process.epoch == epoch) {
        return Ok(());
    }
    let has = replica.agrees(&ledger.truth, promised);
    if has >= promised.min(ledger.truth.end()) {
        return Ok(());
    }
    let found =
        format!("{}: {leader} leads in epoch {epoch} and does not have the acknowledged record {has}", ledger.name);
    Err(("LeaderCompleteness", found, None))
}
