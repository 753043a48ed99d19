//! **LogMatching**: two logs agree below the smaller of their high watermarks.
//!
//! Every log is compared with what was committed first: if all agree with that below their own high watermarks, any two
//! agree below the smaller one.

use super::Verdict;
use super::ledger::Ledger;
use crate::id::BrokerId;

/// That replica's high watermark or log has changed.
pub(super) fn check(ledger: &Ledger, id: BrokerId) -> Verdict {
    let Some(replica) = ledger.replicas.get(&id) else { return Ok(()) };
    let high_watermark = replica.high_watermark().min(ledger.truth.end()).min(replica.marks.end());
    let agrees = replica.agrees(&ledger.truth, high_watermark);
    if agrees >= high_watermark {
        return Ok(());
    }
    let found =
        format!("{} offset {agrees} is below {id}'s high watermark and not what was committed there", ledger.name);
    Err(("LogMatching", found, None))
}
