//! **Duplicate**: a record of an idempotent producer is there once.
//!
//! Exempt: a leader that lost what it had acknowledged, as Kafka allows it, has forgotten the producer's sequences too.

use std::sync::Arc;

use super::ledger::Ledger;
use super::writers::Writer;
use super::{Received, Verdict};
use crate::id::Offset;

/// It was read at the offset `before` of the same or another partition.
pub(super) fn check(
    (ledger, other): (&Ledger, &Ledger),
    received: &Received<'_>,
    (producer, writer, number): (&Arc<str>, &Writer, u64),
    before: Offset,
) -> Verdict {
    if !writer.idempotent {
        return Ok(());
    }
    let lossy = ledger.torn.is_some() || other.torn.is_some();
    let Received { topic, partition, offset } = received;
    let found = format!(
        "record {number} of {producer} is at {}-{partition} offset {offset} and at {} offset {before}",
        topic.0, other.name
    );
    Err(("Duplicate", found, lossy.then_some("the leader's memory of the producer was lost with its records")))
}
