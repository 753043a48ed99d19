//! **ValidFetcherState**: a broker fetches a partition from at most one leader, and from none while it leads it.

use super::Verdict;
use super::ledger::Ledger;
use crate::id::BrokerId;

/// That broker has so many fetchers for the partition.
pub(super) fn check(ledger: &Ledger, id: BrokerId, leads: bool, fetchers: usize) -> Verdict {
    if fetchers <= usize::from(!leads) {
        return Ok(());
    }
    let role = if leads { "leads" } else { "follows" };
    let found = format!("{}: {id} {role} and has {fetchers} fetchers for it", ledger.name);
    Err(("ValidFetcherState", found, None))
}
