//! **WeakIsr**: what lies below the high watermark of a broker that believes to lead is the same on every member of the
//! ISR that this broker knows.
//!
//! Exempt by construction: a replica whose machine lost what it had not flushed, until it has everything again.

use super::Verdict;
use super::ledger::Ledger;
use super::strong_isr::missing;

pub(super) fn check(ledger: &Ledger) -> Verdict {
    for (leader, replica, process) in ledger.leaders() {
        if let Some(found) = missing(ledger, leader, replica.high_watermark(), &process.isr) {
            return Err(("WeakIsr", format!("{found}, which is in sync for the leader"), None));
        }
    }
    Ok(())
}
