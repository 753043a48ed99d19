//! Partitions move to other brokers (KIP-455).
//!
//! ```text
//! replicas [1, 2] ─[to 3, 1]─▶ replicas [3, 1, 2], adding [3], removing [2] ─[3 has joined the ISR]─▶ replicas [3, 1]
//!                                   └─[cancel]─▶ replicas [1, 2]        └─[to other brokers]─▶ from [1, 2] anew
//! ```
//!
//! 1. The topic's znode holds all three lists, so that whoever is the controller next goes on.
//! 2. It is complete when every target replica is in the ISR. Those that go leave the ISR, and with it any claim to lead,
//!    in the same decision.
//! 3. The leader epoch rises when it begins and when it ends: what a leader writes of the ISR meanwhile is refused.

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId as WireBroker,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::elect::{Electorate, lead};
use super::write::Writes;
use super::{Controller, Refusal};
use crate::arrange::Arrange;
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::{Assignment, ClusterState, Registration};
use crate::vec_map::VecMap;

impl Controller {
    pub fn alter_partition_reassignments(
        &mut self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> AlterPartitionReassignmentsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let target: Option<Vec<BrokerId>> =
                    asked.replicas.as_ref().map(|ids| ids.iter().map(|id| BrokerId(id.0)).collect());
                let keeps_factor = !request.allow_replication_factor_change;
                let decided = self
                    .fits_factor(&topic.name, asked.partition_index, target.as_deref().filter(|_| keeps_factor))
                    .and_then(|()| self.reassign(&topic.name, asked.partition_index, target.as_deref()));
                let (code, message) = match decided {
                    Ok(()) => (error::NONE, None),
                    Err((error, message)) => {
                        // Where there is no more to say than the code says, Kafka does not.
                        let more = Some(message).filter(|message| *message != error::message(error));
                        (error.code(), more.map(StrBytes::from_string))
                    }
                };
                ReassignablePartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(code)
                    .with_error_message(message)
            });
            let partitions = partitions.collect();
            ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        AlterPartitionReassignmentsResponse::default()
            .with_error_message(None)
            .with_allow_replication_factor_change(request.allow_replication_factor_change)
            .with_responses(topics.collect())
    }

    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let wanted = |name: &TopicName, index: i32| match &request.topics {
            None => true,
            Some(topics) => topics.iter().any(|topic| topic.name == *name && topic.partition_indexes.contains(&index)),
        };
        let wire = |ids: &[BrokerId]| ids.iter().map(|id| WireBroker(id.0)).collect::<Vec<_>>();
        let topics = self.state.topics.iter().filter_map(|(name, topic)| {
            let moving = (0..).zip(&topic.partitions).filter(|(index, one)| one.is_moving() && wanted(name, *index));
            let partitions = moving.map(|(index, one)| {
                OngoingPartitionReassignment::default()
                    .with_partition_index(index)
                    .with_replicas(wire(&one.replicas))
                    .with_adding_replicas(wire(&one.adding))
                    .with_removing_replicas(wire(&one.removing))
            });
            let partitions: Vec<_> = partitions.collect();
            let topic = OngoingTopicReassignment::default().with_name(name.clone()).with_partitions(partitions);
            (!topic.partitions.is_empty()).then_some(topic)
        });
        ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics.collect())
    }

    /// KIP-860.
    fn fits_factor(&self, name: &TopicName, index: i32, target: Option<&[BrokerId]>) -> Result<(), Refusal> {
        let (Some(target), Ok(partition)) = (target, self.known(name, index)) else { return Ok(()) };
        let (now, then) = (partition.target().len(), target.len());
        if now == then {
            return Ok(());
        }
        let message = format!("The replication factor is changed from {now} to {then}");
        Err((ErrorCode::InvalidReplicationFactor, message))
    }

    fn known(&self, name: &TopicName, index: i32) -> Result<&Assignment, Refusal> {
        let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, format!("Unable to find {what}."));
        let topic = self.state.topics.get(name).ok_or_else(|| unknown(format!("a topic named {}", name.0)))?;
        let partition = usize::try_from(index).ok().and_then(|at| topic.partitions.get(at));
        partition.ok_or_else(|| unknown(format!("partition {}:{index}", name.0)))
    }

    /// One partition: to lie there from now on, or, without a target, where it lay before. What is refused, and in which
    /// words, is Kafka's `ReplicationControlManager`.
    pub(super) fn reassign(
        &mut self,
        name: &TopicName,
        index: i32,
        target: Option<&[BrokerId]>,
    ) -> Result<(), Refusal> {
        let partition = self.known(name, index)?;
        let target = match target {
            Some(target) => {
                valid(target, &self.state.brokers)?;
                target.to_vec()
            }
            None if partition.is_moving() => partition.origin(),
            None => {
                let error = ErrorCode::NoReassignmentInProgress;
                return Err((error, error::message(error).into_owned()));
            }
        };
        let origin = partition.origin();
        let removing: Vec<BrokerId> = origin.iter().copied().filter(|id| !target.contains(id)).collect();
        let adding = target.iter().copied().filter(|id| !origin.contains(id)).collect();
        let replicas: Vec<BrokerId> = target.iter().chain(&removing).copied().collect();
        let after = Assignment { replicas, adding, removing, ..partition.clone() };
        let stays = |id: &BrokerId| after.replicas.contains(id);
        let isr: Vec<BrokerId> = partition.isr.iter().copied().filter(stays).collect();
        let topic = &self.state.topics[name];
        if isr.is_empty() && !self.electorate().allows_unclean(topic) {
            let message = format!(
                "Unable to revert partition assignment for {}:{index} because it would require an unclean leader election.",
                name.0
            );
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
        if after == *partition && isr == partition.isr {
            return Ok(());
        }
        let (electorate, name) = (self.electorate(), name.clone());
        self.change(|state| {
            let brokers = &state.brokers;
            let Some(partition) =
                state.topics.get_mut(&name).and_then(|topic| topic.partitions.get_mut(index as usize))
            else {
                return;
            };
            let alive = |id: &BrokerId| electorate.is_alive(brokers, (&name, index), id);
            let before = std::mem::replace(partition, after);
            // (3)
            if (&partition.replicas, &partition.adding, &partition.removing)
                != (&before.replicas, &before.adding, &before.removing)
            {
                partition.leader_epoch += 1;
            }
            partition.isr = isr;
            if partition.isr.is_empty() {
                partition.isr = vec![partition.replicas[0]];
                partition.recovering = true;
            }
            if !partition.isr.contains(&partition.leader) {
                let leader = electorate.in_sync(partition, alive);
                partition.leader = leader.unwrap_or(BrokerId::NONE);
            }
            complete(partition, alive, &electorate);
        });
        Ok(())
    }

    /// Of the moves that were asked for by writing them, those that are not complete.
    pub(super) fn written_moves_under_way(&self) -> Vec<(TopicPartition, Vec<BrokerId>)> {
        let under_way = |(name, target): &&(TopicPartition, Vec<BrokerId>)| {
            let known = self.known(&name.topic, name.partition);
            known.is_ok_and(|partition| partition.is_moving() && partition.target() == *target)
        };
        self.written_moves.iter().filter(under_way).cloned().collect()
    }

    /// Those that were asked for by writing them, and are complete, are written no more.
    pub(super) fn tell_written_moves(&mut self, writes: &mut Writes) {
        let under_way = self.written_moves_under_way();
        if under_way.len() < self.written_moves.len() {
            writes.set_moves(&under_way);
            self.written_moves = under_way;
        }
    }
}

fn valid(target: &[BrokerId], brokers: &VecMap<BrokerId, Registration>) -> Result<(), Refusal> {
    let wrong = |what: String| {
        Err((ErrorCode::InvalidReplicaAssignment, format!("The manual partition assignment includes {what}.")))
    };
    if target.is_empty() {
        return wrong("an empty replica list".to_owned());
    }
    let mut sorted = target.to_vec();
    sorted.arrange();
    for (at, id) in sorted.iter().enumerate() {
        if !brokers.contains_key(id) {
            return wrong(format!("broker {}, but no such broker is registered", id.0));
        }
        if at > 0 && sorted[at - 1] == *id {
            return wrong(format!("the broker {} more than once", id.0));
        }
    }
    Ok(())
}

/// Every reassignment that can be complete is.
pub(super) fn complete_reassignments(state: &mut ClusterState, electorate: &Electorate) {
    let brokers = &state.brokers;
    for (name, topic) in &mut state.topics {
        for (index, partition) in (0..).zip(&mut topic.partitions) {
            complete(partition, |id| electorate.is_alive(brokers, (name, index), id), electorate);
        }
    }
}

/// (2)
fn complete(partition: &mut Assignment, alive: impl Fn(&BrokerId) -> bool, electorate: &Electorate) {
    let target = partition.target();
    if !partition.is_moving() || !target.iter().all(|id| partition.isr.contains(id)) {
        return;
    }
    let isr: Vec<BrokerId> = partition.isr.iter().copied().filter(|id| target.contains(id)).collect();
    let after = Assignment { replicas: target, adding: Vec::new(), removing: Vec::new(), isr, ..partition.clone() };
    let leader = match after.isr.contains(&partition.leader) && alive(&partition.leader) {
        true => partition.leader,
        false => match electorate.in_sync(&after, alive) {
            Some(leader) => leader,
            // Nobody of the target could lead: it waits until someone can.
            None => return,
        },
    };
    let isr = after.isr.clone();
    *partition = Assignment { leader: partition.leader, isr: partition.isr.clone(), ..after };
    lead(partition, leader, isr);
}
