//! **MonotonicGeneration**: the generations, or member epochs, in which a member is assigned partitions only rise.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::Verdict;
use super::groups::Reader;

/// `reader` is the member as it was. One under another id has joined anew.
pub(super) fn check(
    group: &StrBytes,
    consumer: &Arc<str>,
    reader: &Reader,
    member_id: &StrBytes,
    generation: i32,
) -> Verdict {
    if reader.member_id != *member_id || generation >= reader.generation {
        return Ok(());
    }
    let before = reader.generation;
    let found = format!("{group}: {consumer} is assigned partitions in {generation} after {before}");
    Err(("MonotonicGeneration", found, None))
}
