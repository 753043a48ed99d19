//! **ValidHighWatermark**: every in-sync replica's log ends at the high watermark or beyond, for every broker that
//! believes to lead.
//!
//! Exempt by construction: a replica whose machine lost what it had not flushed, until it has everything again.

use super::Verdict;
use super::ledger::Ledger;

pub(super) fn check(ledger: &Ledger) -> Verdict {
    let Some(authority) = &ledger.authority else { return Ok(()) };
    for (leader, replica, _) in ledger.leaders() {
        let high_watermark = replica.high_watermark();
        for member in &authority.isr {
            let Some(other) = ledger.replicas.get(member).filter(|other| !other.is_lossy()) else { continue };
            let end = other.marks.end();
            if end < high_watermark {
                let name = &ledger.name;
                let found = format!(
                    "{name}: {leader}'s high watermark is {high_watermark}, and {member}, in sync, ends at {end}"
                );
                return Err(("ValidHighWatermark", found, None));
            }
        }
    }
    Ok(())
}
