//! **LeaderInIsr**: the leader is in the ISR, and was in it when it was elected; the ISR is a subset of the replicas, and
//! its last member stays even when it is dead.
//!
//! Exempt: an unclean election, where the topic allows it or an operator has asked for it.

use super::Verdict;
use super::ledger::Ledger;
use super::no_committed_record_lost::UNCLEAN;
use crate::id::BrokerId;
use crate::protocol::cluster::Assignment;

/// What the controller has decided now; the ledger holds what it had decided before.
pub(super) fn check(ledger: &Ledger, now: &Assignment) -> Verdict {
    let wrong = |found: String, exempt| Err(("LeaderInIsr", format!("{}: {found}", ledger.name), exempt));
    if now.isr.is_empty() {
        return wrong("the ISR is empty".to_owned(), None);
    }
    if let Some(stranger) = now.isr.iter().find(|member| !now.replicas.contains(member)) {
        return wrong(format!("{stranger} is in the ISR and is no replica"), None);
    }
    if now.leader == BrokerId::NONE {
        return Ok(());
    }
    if !now.isr.contains(&now.leader) {
        return wrong(format!("{} leads and is not in the ISR", now.leader), None);
    }
    match is_unclean(ledger, now) {
        true => wrong(
            format!("{} was not in sync when it was elected", now.leader),
            ledger.may_be_unclean().then_some(UNCLEAN),
        ),
        false => Ok(()),
    }
}

/// A new leader was not in the ISR before.
pub(super) fn is_unclean(ledger: &Ledger, now: &Assignment) -> bool {
    let before = ledger.authority.as_ref();
    before.is_some_and(|before| before.leader_epoch != now.leader_epoch && !before.isr.contains(&now.leader))
        && now.leader != BrokerId::NONE
}
