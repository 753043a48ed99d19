//! **StrongIsr**: what lies below the high watermark of a broker that believes to lead is the same on every member of the
//! ISR that the controller knows. So whoever is elected has what consumers may have seen.
//!
//! Exempt by construction: a replica whose machine lost what it had not flushed, until it has everything again.

use super::Verdict;
use super::ledger::Ledger;
use crate::id::{BrokerId, Offset};

pub(super) fn check(ledger: &Ledger) -> Verdict {
    let Some(authority) = &ledger.authority else { return Ok(()) };
    for (leader, replica, _) in ledger.leaders() {
        if let Some(found) = missing(ledger, leader, replica.high_watermark(), &authority.isr) {
            return Err(("StrongIsr", format!("{found}, which is in sync for the controller"), None));
        }
    }
    Ok(())
}

/// Where a member of an ISR does not have what lies below a leader's high watermark, in words.
pub(super) fn missing(ledger: &Ledger, leader: BrokerId, high_watermark: Offset, isr: &[BrokerId]) -> Option<String> {
    let committed = high_watermark.min(ledger.truth.end());
    for member in isr {
        let Some(replica) = ledger.replicas.get(member).filter(|replica| !replica.is_lossy()) else { continue };
        let agrees = replica.agrees(&ledger.truth, committed);
        if agrees < committed {
            let name = &ledger.name;
            return Some(format!(
                "{name} offset {agrees} is below {leader}'s high watermark and not the same on {member}"
            ));
        }
    }
    None
}
