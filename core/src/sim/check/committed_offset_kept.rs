//! **CommittedOffsetKept**: whoever takes a partition over begins where its group has committed, or later.
//!
//! Exempt: what `__consumer_offsets` lost as Kafka allows it.

use std::sync::Arc;

use super::groups::Known;
use super::{Received, Verdict};

pub(super) fn check(
    received: &Received<'_>,
    consumer: &Arc<str>,
    known: &Known,
    exempt: Option<&'static str>,
) -> Verdict {
    let Received { topic, partition, offset } = received;
    if *offset >= known.committed {
        return Ok(());
    }
    let committed = known.committed;
    let found =
        format!("{consumer} begins {}-{partition} at {offset}, and its group has committed {committed}", topic.0);
    Err(("CommittedOffsetKept", found, exempt))
}
