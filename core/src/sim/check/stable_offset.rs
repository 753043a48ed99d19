//! **StableOffset**: last stable offset ≤ high watermark ≤ log end, at every leader.

use super::Verdict;
use crate::id::{Offset, TopicPartition};

pub(super) fn check(name: &TopicPartition, (stable, high_watermark, end): (Offset, Offset, Offset)) -> Verdict {
    if stable <= high_watermark && high_watermark <= end {
        return Ok(());
    }
    let found = format!("{name} is stable to {stable}, with a high watermark of {high_watermark}, and ends at {end}");
    Err(("StableOffset", found, None))
}
