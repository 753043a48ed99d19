//! The ISR: a broker that dies leaves it, and its leader says who else does, or joins.
//!
//! 1. A proposal is made whole or not at all, and only by the leader, in its epoch, over the state that it knows.
//! 2. Nobody joins who does not live.

use super::Controller;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, ClusterState, IsrChange};

impl Controller {
    /// What a leader proposes: what became of each change.
    ///
    /// Errors, as in Kafka's AlterPartition: `UnknownTopicId`, `UnknownTopicOrPartition`, `FencedLeaderEpoch`,
    /// `InvalidUpdateVersion`, `InvalidRequest`, `IneligibleReplica`.
    pub fn alter_isr(&mut self, from: BrokerId, changes: &[IsrChange]) -> Vec<Result<(), ErrorCode>> {
        let alter = |change: &IsrChange| {
            self.check(from, change)?;
            self.change(|state| {
                let topic = state.topics.get_mut(&change.partition.topic);
                if let Some(partition) =
                    topic.and_then(|topic| topic.partitions.get_mut(change.partition.partition as usize))
                {
                    partition.isr.clone_from(&change.isr);
                    partition.partition_epoch += 1;
                }
            });
            Ok(())
        };
        changes.iter().map(alter).collect()
    }

    fn check(&self, from: BrokerId, change: &IsrChange) -> Result<(), ErrorCode> {
        let topic = self.state.topics.get(&change.partition.topic).filter(|topic| topic.id == change.topic_id);
        let topic = topic.ok_or(ErrorCode::UnknownTopicId)?;
        let known = usize::try_from(change.partition.partition).ok().and_then(|index| topic.partitions.get(index));
        let known = known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        // (1)
        if known.leader != from || known.leader_epoch != change.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if known.partition_epoch != change.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        if !change.isr.contains(&from) || !change.isr.iter().all(|id| known.replicas.contains(id)) {
            return Err(ErrorCode::InvalidRequest);
        }
        // (2)
        let joins = |id: &&BrokerId| !known.isr.contains(id);
        if !change.isr.iter().filter(joins).all(|id| self.state.brokers.contains_key(id)) {
            return Err(ErrorCode::IneligibleReplica);
        }
        Ok(())
    }
}

/// A broker is gone: it leaves the ISRs in which it is not the last.
pub(super) fn leave(state: &mut ClusterState, id: BrokerId) {
    let stays = |partition: &Assignment| partition.isr == [id] || !partition.isr.contains(&id);
    for partition in state.topics.values_mut().flat_map(|topic| &mut topic.partitions).filter(|one| !stays(one)) {
        partition.isr.retain(|member| *member != id);
        partition.partition_epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cluster, topic};
    use super::super::topic::tests::request;
    use super::*;
    use crate::id::TopicPartition;

    const IDS: [BrokerId; 3] = [BrokerId(1), BrokerId(2), BrokerId(3)];

    fn partition(controller: &Controller) -> &Assignment {
        &controller.state().topics[&topic("orders")].partitions[0]
    }

    fn change(controller: &Controller, isr: &[BrokerId]) -> IsrChange {
        let known = partition(controller);
        IsrChange {
            topic_id: controller.state().topics[&topic("orders")].id,
            partition: TopicPartition::new(topic("orders"), 0),
            leader_epoch: known.leader_epoch,
            partition_epoch: known.partition_epoch,
            isr: isr.to_vec(),
        }
    }

    #[test]
    fn a_stale_proposal_is_refused_and_so_is_one_of_another_than_the_leader() {
        let mut controller = cluster(3);
        controller.create_topics(&request("orders", 1, 3), 7);
        let leader = partition(&controller).leader;
        let other = IDS.into_iter().find(|id| *id != leader).unwrap();
        let shrink = change(&controller, &[leader]);
        assert_eq!(controller.alter_isr(other, std::slice::from_ref(&shrink)), [Err(ErrorCode::FencedLeaderEpoch)]);
        assert_eq!(
            controller.alter_isr(leader, &[shrink.clone(), shrink]),
            [Ok(()), Err(ErrorCode::InvalidUpdateVersion)]
        );
        assert_eq!(partition(&controller).isr, [leader]);
        let without_itself = change(&controller, &[other]);
        assert_eq!(controller.alter_isr(leader, &[without_itself]), [Err(ErrorCode::InvalidRequest)]);
        controller.peer(other, false);
        let dead = change(&controller, &[leader, other]);
        assert_eq!(controller.alter_isr(leader, &[dead]), [Err(ErrorCode::IneligibleReplica)]);
    }

    #[test]
    fn brokers_that_die_leave_the_isr_but_for_the_last() {
        let mut controller = cluster(3);
        controller.create_topics(&request("orders", 1, 3), 7);
        let replicas = partition(&controller).replicas.clone();
        for (dead, isr) in [(0, &replicas[1..]), (1, &replicas[2..]), (2, &replicas[2..])] {
            let before = partition(&controller).clone();
            controller.peer(replicas[dead], false);
            let now = partition(&controller);
            assert_eq!(now.isr, isr);
            assert!(now.partition_epoch > before.partition_epoch && now.leader_epoch > before.leader_epoch);
        }
        assert_eq!(partition(&controller).leader, BrokerId::NONE);
        // One that was not in sync does not lead; the last member does.
        let registration = |id: BrokerId| super::super::tests::broker(id.0, None);
        controller.register(registration(replicas[0]));
        assert_eq!(partition(&controller).leader, BrokerId::NONE);
        controller.register(registration(replicas[2]));
        assert_eq!(partition(&controller).leader, replicas[2]);
    }
}
