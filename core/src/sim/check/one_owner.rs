//! **OneOwner**: in a generation a partition has one owner. A member that has missed a generation may believe for a while
//! that it still owns what it owned: the later generation counts.

use kafka_protocol::protocol::StrBytes;

use super::Verdict;
use super::groups::Known;
use crate::id::TopicPartition;

pub(super) fn check(
    group: &StrBytes,
    partition: &TopicPartition,
    known: &Known,
    claimant: &StrBytes,
    generation: i32,
) -> Verdict {
    match known.claims.get(&generation) {
        Some((owner, _)) if owner != claimant => {
            let found =
                format!("{group}: {partition} was given to {owner} and to {claimant} in generation {generation}");
            Err(("OneOwner", found, None))
        }
        _ => Ok(()),
    }
}
