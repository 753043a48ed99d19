//! **LiveEpoch**: a transactional id belongs to the producer that was the last to take it: what another one begins after
//! that is never committed.

use std::sync::Arc;

use super::Verdict;
use super::writers::{Transaction, Writer};
use crate::client::TransactionStage;
use crate::time::Instant;
use crate::vec_map::VecMap;

/// Who has taken a transactional id last, and when.
pub(super) type Owners = VecMap<String, (Arc<str>, Instant)>;

/// A producer was told that its transaction is committed.
pub(super) fn check(owners: &Owners, name: &Arc<str>, writer: &Writer) -> Verdict {
    let Some(id) = &writer.transactional_id else { return Ok(()) };
    let Some((owner, since)) = owners.get(id).filter(|(owner, _)| owner != name) else { return Ok(()) };
    match writer.transactions.last() {
        Some(Transaction { begun, records, stage: TransactionStage::Committed })
            if begun > since && records.0 < records.1 =>
        {
            let found = format!("{name} has committed what it began at {begun}, and {owner} is {id} since {since}");
            Err(("LiveEpoch", found, None))
        }
        _ => Ok(()),
    }
}
