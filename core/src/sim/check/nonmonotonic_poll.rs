//! **NonmonotonicPoll**: the offsets that a consumer gets of a partition only rise.

use std::sync::Arc;

use super::{Received, Verdict};
use crate::id::Offset;

/// `next` is the offset after the last one that this consumer got; −1 where there is none.
pub(super) fn check(received: &Received<'_>, consumer: &Arc<str>, next: Offset) -> Verdict {
    let Received { topic, partition, offset } = received;
    if *offset >= next {
        return Ok(());
    }
    let found = format!("{consumer} got offset {offset} of {}-{partition} after {}", topic.0, next - 1);
    Err(("NonmonotonicPoll", found, None))
}
