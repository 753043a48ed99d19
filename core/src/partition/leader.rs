//! The leader's side of a partition: who is in sync, and how far all of those are.

use std::collections::BTreeMap;

use crate::id::{BrokerId, LeaderEpoch, Offset};
use crate::protocol::cluster::Assignment;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub epoch: LeaderEpoch,
    /// Where the epoch began. While the high watermark is below it, what is committed is not known yet.
    pub epoch_start: Offset,
    /// The other replicas.
    followers: BTreeMap<BrokerId, FollowerState>,
}

/// What a leader knows of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerState {
    pub in_sync: bool,
    /// It has everything below: the offset of its last fetch in this epoch.
    pub end: Offset,
}

impl Leader {
    /// `end` is the log's end when the epoch begins.
    pub fn new(own: BrokerId, assignment: &Assignment, end: Offset) -> Leader {
        let mut leader = Leader { epoch: assignment.leader_epoch, epoch_start: end, followers: BTreeMap::new() };
        leader.set_isr(own, assignment);
        leader
    }

    /// The controller changed the replicas or the ISR, not the leader. What is known of the followers stays.
    pub fn set_isr(&mut self, own: BrokerId, assignment: &Assignment) {
        let before = std::mem::take(&mut self.followers);
        for &id in assignment.replicas.iter().filter(|&&id| id != own) {
            let end = before.get(&id).map_or(0, |follower| follower.end);
            self.followers.insert(id, FollowerState { in_sync: assignment.isr.contains(&id), end });
        }
    }

    pub fn followers(&self) -> &BTreeMap<BrokerId, FollowerState> {
        &self.followers
    }

    /// Replicas in sync, this one included.
    pub fn in_sync(&self) -> usize {
        1 + self.followers.values().filter(|follower| follower.in_sync).count()
    }

    /// A follower has everything below `end`.
    pub fn followed(&mut self, replica: BrokerId, end: Offset) {
        if let Some(follower) = self.followers.get_mut(&replica) {
            follower.end = end;
        }
    }

    /// What every in-sync replica has: the least of their ends and of this one's.
    pub fn high_watermark(&self, own_end: Offset) -> Offset {
        let followers = self.followers.values().filter(|follower| follower.in_sync);
        followers.map(|follower| follower.end).fold(own_end, Offset::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_watermark_is_the_least_end_of_the_in_sync_replicas() {
        let [own, fast, slow] = [BrokerId(1), BrokerId(2), BrokerId(3)];
        let assignment = Assignment {
            replicas: vec![own, fast, slow],
            isr: vec![own, fast],
            leader: own,
            leader_epoch: 4,
            ..Assignment::default()
        };
        let mut leader = Leader::new(own, &assignment, 10);
        assert_eq!(leader.high_watermark(12), 0);
        leader.followed(fast, 11);
        leader.followed(slow, 3);
        assert_eq!((leader.high_watermark(12), leader.in_sync()), (11, 2));
        leader.set_isr(own, &Assignment { isr: vec![own, fast, slow], ..assignment });
        assert_eq!((leader.high_watermark(12), leader.in_sync()), (3, 3));
    }
}
