//! **Duplicate**: a record of an idempotent producer is there once; and what a transaction makes of a record that it has read
//! is once among what is committed.
//!
//! Exempt, as Kafka allows it:
//!
//! 1. A leader that lost what it had acknowledged has forgotten the producer's sequences too.
//! 2. A replica that starts anew, or cuts its log, has its producers from a snapshot, and that holds the last batch of each
//!    (`ProducerStateManager.writeSnapshot`). When such a one leads and an older batch comes again, because its answer was
//!    lost, it is refused as out of order; the producer raises its epoch (KIP-360,
//!    `TransactionManager.bumpIdempotentProducerEpoch`), and writes once more what was on its way: those records alone.

use std::sync::Arc;

use super::ledger::Ledger;
use super::writers::Writer;
use super::{Received, Verdict};
use crate::id::Offset;

/// It was read at the offset `before` of the same or another partition. `lost` is why its transaction may have been done
/// once more, if it may.
pub(super) fn check(
    (ledger, other): (&Ledger, &Ledger),
    received: &Received<'_>,
    (producer, writer, number): (&Arc<str>, &Writer, u64),
    before: Offset,
    lost: Option<&'static str>,
) -> Verdict {
    if !writer.idempotent {
        return Ok(());
    }
    let exempt = match () {
        () if lost.is_some() => lost,
        () if ledger.torn.is_some() || other.torn.is_some() => {
            Some("the leader's memory of the producer was lost with its records")
        }
        () if writer.has_renumbered(number) && ledger.recalled && ledger.name == other.name => {
            Some("the leader had the producer from a snapshot, which holds its last batch alone (KIP-360)")
        }
        () => None,
    };
    let Received { topic, partition, offset } = received;
    let found = format!(
        "record {number} of {producer} is at {}-{partition} offset {offset} and at {} offset {before}",
        topic.0, other.name
    );
    Err(("Duplicate", found, exempt))
}
