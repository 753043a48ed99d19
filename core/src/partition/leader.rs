//! The leader's side of a partition: how far its followers are, who is in sync, and up to where all of those are.
//!
//! ```text
//! committed ──[expand: a follower has caught up]──▶ joining ──[set_isr]──▶ committed
//!           ──[shrink: followers lag]────────────▶ leaving ──[set_isr]──▶ committed
//! ```
//!
//! 1. The offset that a follower asks for says that it has everything below.
//! 2. One change of the ISR is proposed at a time, and no other before it is known what became of it.
//! 3. A follower that is proposed for the ISR counts as in it at once, one that is to leave until it has left: the
//!    larger ISR is the stricter one (KIP-497's maximal ISR).
//! 4. A follower joins only from the epoch's start on, and from the high watermark on: what it lacks may be committed.

use super::Around;
use crate::id::{BrokerId, LeaderEpoch, Offset};
use crate::protocol::cluster::{Assignment, Registration};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub epoch: LeaderEpoch,
    /// Where the epoch began. While the high watermark is below it, what is committed is not known yet.
    pub epoch_start: Offset,
    /// Kafka's `replica.lag.time.max.ms`.
    lag: Duration,
    /// As the controller has it.
    isr: Vec<BrokerId>,
    partition_epoch: i32,
    pending: Option<Pending>,
    /// The other replicas.
    followers: VecMap<BrokerId, FollowerState>,
}

/// A proposal whose fate is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    isr: Vec<BrokerId>,
    joins: Option<BrokerId>,
}

/// What a leader knows of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerState {
    pub in_sync: bool,
    pub alive: bool,
    /// It has everything below: the offset of its last fetch in this epoch; −1 before that.
    pub end: Offset,
    /// Where its log begins, as it said then.
    pub log_start: Offset,
    /// Where the leader's log ended then.
    leader_end: Offset,
    fetched_at: Option<Instant>,
    /// The newest moment at which the leader's log ended no further than what the follower has.
    pub caught_up_at: Option<Instant>,
}

impl FollowerState {
    fn is_caught_up(&self, leader_end: Offset, now: Instant, lag: Duration) -> bool {
        self.end == leader_end || self.caught_up_at.is_some_and(|at| now.since(at) <= lag)
    }
}

impl Leader {
    /// `end` is the log's end when the epoch begins.
    pub fn new(assignment: &Assignment, end: Offset, around: &Around<'_>) -> Leader {
        let mut leader = Leader {
            epoch: assignment.leader_epoch,
            epoch_start: end,
            lag: around.lag,
            isr: Vec::new(),
            partition_epoch: -1,
            pending: None,
            followers: VecMap::new(),
        };
        leader.set_isr(assignment, around);
        for follower in leader.followers.values_mut().filter(|follower| follower.in_sync) {
            follower.caught_up_at = Some(around.now);
        }
        leader
    }

    /// The controller changed the replicas or the ISR, not the leader. What is known of the followers stays.
    pub fn set_isr(&mut self, assignment: &Assignment, around: &Around<'_>) {
        if assignment.partition_epoch != self.partition_epoch {
            // (2)
            self.pending = None;
            self.partition_epoch = assignment.partition_epoch;
        }
        self.isr.clone_from(&assignment.isr);
        let before = std::mem::take(&mut self.followers);
        for &id in assignment.replicas.iter().filter(|&&id| id != around.own) {
            let unknown = FollowerState {
                in_sync: false,
                alive: false,
                end: -1,
                log_start: -1,
                leader_end: -1,
                fetched_at: None,
                caught_up_at: None,
            };
            let known = before.get(&id).copied().unwrap_or(unknown);
            let (in_sync, alive) = (assignment.isr.contains(&id), around.alive.contains_key(&id));
            self.followers.insert(id, FollowerState { in_sync, alive, ..known });
        }
    }

    /// Brokers came or went.
    pub fn set_alive(&mut self, alive: &VecMap<BrokerId, Registration>) {
        for (id, follower) in &mut self.followers {
            follower.alive = alive.contains_key(id);
        }
    }

    pub fn followers(&self) -> &VecMap<BrokerId, FollowerState> {
        &self.followers
    }

    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// As the controller has it, this replica included.
    pub fn isr(&self) -> &[BrokerId] {
        &self.isr
    }

    /// Replicas in sync, this one included.
    pub fn in_sync(&self) -> usize {
        self.isr.len()
    }

    /// A follower fetched from `end` on, while this log ended at `leader_end`.
    pub fn followed(&mut self, replica: BrokerId, end: Offset, log_start: Offset, leader_end: Offset, now: Instant) {
        let Some(follower) = self.followers.get_mut(&replica) else { return };
        if end >= leader_end {
            follower.caught_up_at = Some(now);
        } else if end >= follower.leader_end {
            // It has what there was when it fetched before.
            follower.caught_up_at = follower.caught_up_at.max(follower.fetched_at);
        }
        // (1)
        follower.end = end;
        follower.log_start = log_start;
        follower.leader_end = follower.leader_end.max(leader_end);
        follower.fetched_at = Some(now);
    }

    /// What every in-sync replica has: the least of their ends and of this one's. A follower that is about to catch up
    /// is waited for, or it never could.
    pub fn high_watermark(&self, own_end: Offset, now: Instant) -> Offset {
        let counts = |(id, follower): &(&BrokerId, &FollowerState)| {
            // (3)
            follower.in_sync
                || self.pending.as_ref().is_some_and(|pending| pending.joins == Some(**id))
                || follower.alive && follower.is_caught_up(own_end, now, self.lag)
        };
        let ends = self.followers.iter().filter(counts).map(|(_, follower)| follower.end);
        ends.fold(own_end, Offset::min)
    }

    /// Where the log of a replica that lives begins, the least of all. A follower that has not said so begins at −1.
    pub fn low_watermark(&self, own_start: Offset) -> Offset {
        let alive = self.followers.values().filter(|follower| follower.alive);
        alive.map(|follower| follower.log_start).fold(own_start, Offset::min)
    }

    /// Proposes the follower for the ISR, if it may join now.
    pub fn expand(&mut self, replica: BrokerId, high_watermark: Offset) -> bool {
        let Some(follower) = self.followers.get(&replica) else { return false };
        // (4)
        let caught_up = follower.end >= high_watermark && follower.end >= self.epoch_start;
        let joins = self.pending.is_none() && !follower.in_sync && follower.alive && caught_up;
        if joins {
            let isr = self.isr.iter().copied().chain([replica]).collect();
            self.pending = Some(Pending { isr, joins: Some(replica) });
        }
        joins
    }

    /// Proposes the ISR without the followers that lag. Gives their ids.
    pub fn shrink(&mut self, own_end: Offset, now: Instant) -> Vec<BrokerId> {
        if self.pending.is_some() {
            return Vec::new();
        }
        let lags = |follower: &FollowerState| follower.in_sync && !follower.is_caught_up(own_end, now, self.lag);
        let leave: Vec<BrokerId> =
            self.followers.iter().filter(|(_, follower)| lags(follower)).map(|(id, _)| *id).collect();
        if !leave.is_empty() {
            let isr = self.isr.iter().copied().filter(|id| !leave.contains(id)).collect();
            self.pending = Some(Pending { isr, joins: None });
        }
        leave
    }

    /// The ISR that is proposed.
    pub fn proposed(&self) -> Option<&[BrokerId]> {
        self.pending.as_ref().map(|pending| &pending.isr[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [BrokerId; 3] = [BrokerId(1), BrokerId(2), BrokerId(3)];
    const LAG: Duration = Duration::from_millis(30_000);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn alive() -> VecMap<BrokerId, Registration> {
        let registration = |id| Registration { id, host: String::new(), port: 0, rack: None };
        IDS.map(|id| (id, registration(id))).into()
    }

    fn assignment(isr: &[BrokerId], partition_epoch: i32) -> Assignment {
        Assignment {
            replicas: IDS.to_vec(),
            isr: isr.to_vec(),
            leader: IDS[0],
            leader_epoch: 4,
            partition_epoch,
            ..Assignment::default()
        }
    }

    fn leader(isr: &[BrokerId], end: Offset) -> Leader {
        let around = Around { own: IDS[0], alive: &alive(), lag: LAG, now: at(0) };
        Leader::new(&assignment(isr, 7), end, &around)
    }

    fn set_isr(leader: &mut Leader, isr: &[BrokerId], partition_epoch: i32) {
        let around = Around { own: IDS[0], alive: &alive(), lag: LAG, now: at(0) };
        leader.set_isr(&assignment(isr, partition_epoch), &around);
    }

    #[test]
    fn the_high_watermark_is_the_least_end_of_the_in_sync_replicas() {
        let [own, fast, slow] = IDS;
        let mut leader = leader(&[own, fast], 10);
        assert_eq!(leader.high_watermark(12, at(0)), -1, "the follower has not said how far it is");
        leader.followed(fast, 11, 0, 12, at(1));
        leader.followed(slow, 3, 0, 12, at(1));
        assert_eq!((leader.high_watermark(12, at(1)), leader.in_sync()), (11, 2));
        set_isr(&mut leader, &IDS, 8);
        assert_eq!((leader.high_watermark(12, at(1)), leader.in_sync()), (3, 3));
    }

    #[test]
    fn a_follower_leaves_when_it_has_not_caught_up_for_so_long_and_holds_the_high_watermark_until_it_has_left() {
        let [own, fast, slow] = IDS;
        let mut leader = leader(&IDS, 0);
        leader.followed(slow, 5, 0, 5, at(1_000));
        leader.followed(fast, 9, 0, 9, at(20_000));
        assert_eq!(leader.shrink(9, at(31_000)), []);
        assert_eq!(leader.shrink(9, at(31_001)), [slow]);
        assert_eq!((leader.proposed(), leader.in_sync()), (Some(&[own, fast][..]), 3));
        assert_eq!(leader.shrink(9, at(90_000)), [], "one change at a time");
        assert_eq!(leader.high_watermark(9, at(90_000)), 5);
        set_isr(&mut leader, &[own, fast], 8);
        assert_eq!((leader.proposed(), leader.high_watermark(9, at(90_000))), (None, 9));
    }

    #[test]
    fn a_follower_that_is_always_a_little_behind_has_caught_up_with_what_there_was() {
        let mut leader = leader(&IDS, 0);
        for second in 1..100 {
            // What it fetches is always what there was a second ago.
            IDS[1..].iter().for_each(|id| leader.followed(*id, second - 1, 0, second, at(second as u64 * 1_000)));
            assert_eq!(leader.shrink(second, at(second as u64 * 1_000)), []);
        }
    }

    #[test]
    fn a_follower_joins_past_the_high_watermark_and_the_epochs_start_and_counts_at_once() {
        let [own, fast, late] = IDS;
        let mut leader = leader(&[own, fast], 10);
        leader.followed(fast, 12, 0, 12, at(40_000));
        leader.followed(late, 9, 0, 12, at(40_000));
        assert!(!leader.expand(late, 8), "below the epoch's start");
        leader.followed(late, 11, 0, 12, at(40_001));
        assert!(!leader.expand(late, 12), "below the high watermark");
        assert!(leader.expand(late, 11) && !leader.expand(late, 11));
        assert_eq!(leader.proposed(), Some(&IDS[..]));
        assert_eq!((leader.high_watermark(12, at(90_000)), leader.in_sync()), (11, 2));
        set_isr(&mut leader, &[own, fast], 7);
        assert!(leader.proposed().is_some(), "the state that it was proposed over says nothing");
        set_isr(&mut leader, &[own, fast], 8);
        assert_eq!((leader.proposed(), leader.high_watermark(12, at(90_000))), (None, 12), "another was faster");
    }

    #[test]
    fn the_dead_do_not_join_and_are_not_waited_for() {
        let [own, fast, late] = IDS;
        let mut leader = leader(&[own, fast], 0);
        leader.followed(fast, 9, 0, 9, at(1));
        leader.followed(late, 8, 0, 8, at(1));
        assert_eq!(leader.high_watermark(9, at(2)), 8);
        let mut left = alive();
        left.remove(&late);
        leader.set_alive(&left);
        assert_eq!(leader.high_watermark(9, at(2)), 9);
        assert!(!leader.expand(late, 8));
    }
}
