//! **StaleCommit**: a commit is refused that a member asks for under a generation, when another one owns the partition
//! since a later generation.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::Verdict;
use super::groups::Known;
use crate::id::TopicPartition;
use crate::time::Instant;

/// The coordinator has acknowledged a commit that was asked for at `asked`.
pub(super) fn check(
    group: &StrBytes,
    consumer: &Arc<str>,
    partition: &TopicPartition,
    known: &Known,
    generation: i32,
    asked: Instant,
) -> Verdict {
    let own = known.claims.range(..=generation).next_back().map(|(_, (claimant, _))| claimant);
    let later = known.claims.range(generation + 1..).find(|(_, (owner, at))| *at < asked && Some(owner) != own);
    let (Some((later, (owner, _))), Some(_)) = (later, own) else { return Ok(()) };
    let found = format!("{group}: {consumer} committed {partition} in {generation}, and {owner} owns it since {later}");
    Err(("StaleCommit", found, None))
}
