//! The follower's side of a partition: whom it follows, and what its leader told it last. The fetching itself is one
//! for all partitions of a leader, in [`crate::broker::replication`].

use crate::id::{BrokerId, LeaderEpoch, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// [`BrokerId::NONE`] while nobody leads.
    pub leader: BrokerId,
    pub epoch: LeaderEpoch,
    /// The leader's high watermark, which may lie beyond this log's end; −1 before it told.
    pub high_watermark: Offset,
    /// Where the leader's log begins; −1 before it told.
    pub log_start: Offset,
}

impl Follower {
    pub fn new(leader: BrokerId, epoch: LeaderEpoch) -> Follower {
        Follower { leader, epoch, high_watermark: -1, log_start: -1 }
    }
}
