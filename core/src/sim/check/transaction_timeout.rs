//! **TransactionTimeout**: no transaction outlives its time. Looked at when the faults are over (`expect settled`), for a
//! coordinator that is away cannot end what has run out.

use super::ledger::Ledger;
use crate::time::{Duration, Instant};

/// A coordinator looks for what has run out every ten seconds
/// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`), and takes its time to end it.
const SLACK: Duration = Duration::from_secs(15);

/// `longest` is the most that any producer's transaction may take.
pub(super) fn check(ledgers: &[Ledger], now: Instant, longest: Duration) -> Result<(), String> {
    for ledger in ledgers {
        for (id, open) in &ledger.transactions.open {
            if now.since(open.since) > longest + SLACK {
                let name = &ledger.name;
                return Err(format!("in {name} a transaction of producer {id} hangs since {}", open.since));
            }
        }
    }
    Ok(())
}
