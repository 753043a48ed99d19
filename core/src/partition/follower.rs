//! The follower's side of a partition: it takes no clients, and knows who does.

use crate::id::{BrokerId, LeaderEpoch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// [`BrokerId::NONE`] while nobody leads.
    pub leader: BrokerId,
    pub epoch: LeaderEpoch,
}
