//! What the members of a group should have, decided anew when the group's epoch has risen.

use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::record::{EpochValue, MemberKey, Record, TargetEpochValue, TargetValue};
use super::super::turn::Turn;
use super::super::{Move, Timer};
use super::assignment::to_target;
use super::assignor::{MemberSpec, Spec};
use super::reconcile::{Reconciliation, wanted_topics};
use super::{Consumer, Member, MemberState};
use crate::config::group::Assignor;
use crate::controller::Refusal;
use crate::protocol::cluster::ClusterState;
use crate::time::Duration;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// When it was last looked at what a group's topics are.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// The cluster's state then.
    version: u64,
    /// The group's epoch since then.
    epoch: i32,
}

impl Checked {
    pub fn new(version: u64, epoch: i32) -> Checked {
        Checked { version, epoch }
    }

    /// Nothing can have changed for a group of that epoch.
    pub fn is_fresh(self, epoch: i32, cluster: &ClusterState) -> bool {
        self.version == cluster.version && self.epoch <= epoch
    }
}

impl Turn<'_, Consumer> {
    pub fn key(&self, member: &Arc<str>) -> MemberKey {
        MemberKey { group: self.group.id.clone(), member: member.clone() }
    }

    /// Who reads what is to be decided anew: with `bump`, or where the topics are not what they were.
    pub fn check_topics(&mut self, bump: bool) {
        if bump || self.group.computed_hash(self.around.cluster) != self.group.metadata_hash {
            self.bump();
        }
        let checked = Checked::new(self.around.cluster.version, self.group.epoch);
        self.decision.moves.push(Move::Checked(self.group.id.clone(), checked));
        if self.group.has_topics_record {
            self.write(Record::Topics(self.group.id.clone(), false));
        }
    }

    /// The group's next epoch.
    pub fn bump(&mut self) {
        let value =
            EpochValue { epoch: self.group.epoch + 1, metadata_hash: self.group.computed_hash(self.around.cluster) };
        self.note(format!(
            "[GroupId {}] Bumped group epoch to {} with metadata hash {}.",
            self.group.id, value.epoch, value.metadata_hash
        ));
        self.write(Record::Epoch(self.group.id.clone(), Some(value)));
    }

    /// Has the assignor decide, where the group's epoch has risen and the last time was long enough ago.
    pub fn update_target(&mut self) {
        let settings = &self.around.settings.group.consumer;
        let now = self.now();
        let interval = self.around.pace(&self.group.id).assignment_interval.as_millis() as i64;
        let last = self.group.assignment_timestamp;
        if self.group.assignment_epoch >= self.group.epoch {
            return;
        }
        if last != 0 && interval != 0 && now.0 < last.saturating_add(interval) {
            return;
        }
        let default = settings.assignors.first().copied().unwrap_or(Assignor::Uniform);
        let preferred = self.group.preferred_assignor().and_then(|name| Assignor::parse(&name));
        let assignor = preferred.unwrap_or(default);
        let spec = spec(&self.group, self.around.cluster);
        let targets = assignor.assign(&spec);
        for (member, target) in spec.members.iter().zip(&targets) {
            if self.group.targets.get(&member.id).is_none_or(|before| **before != *target) {
                let value = TargetValue { topic_partitions: to_target(target) };
                self.write(Record::Target(self.key(&member.id), Some(value)));
            }
        }
        let (id, epoch) = (self.group.id.clone(), self.group.epoch);
        self.note(format!(
            "[GroupId {id}] Computed a new target assignment for epoch {epoch} with '{}' assignor.",
            assignor.name()
        ));
        let value = TargetEpochValue { assignment_epoch: epoch, assignment_timestamp: now.0 };
        self.write(Record::TargetEpoch(id, Some(value)));
    }

    /// The member makes the step towards its target that it can make.
    pub fn reconcile(
        &mut self,
        id: &Arc<str>,
        wants_other: bool,
        owned: Option<&[TopicPartitions]>,
    ) -> Result<(), Refusal> {
        let Some(member) = self.group.member(id).cloned() else { return Ok(()) };
        if !wants_other && member.is_reconciled_to(self.group.assignment_epoch) {
            return Ok(());
        }
        let target = self.group.target(id);
        let reconciliation = Reconciliation {
            group: &self.group,
            cluster: self.around.cluster,
            target_epoch: self.group.assignment_epoch,
            target: &target,
            wants_other,
            owned,
        };
        let after = reconciliation.apply(&member)?;
        if after == *member {
            return Ok(());
        }
        self.write(Record::Current(self.key(id), Some(after.current())));
        // Members that speak the classic protocol have other timers.
        if after.classic().is_none() {
            self.expect_revocation(&after);
        }
        Ok(())
    }

    /// Whoever has to let go of something has so much time for it.
    pub fn expect_revocation(&mut self, member: &Member) {
        let timer = Timer::Revocation { group: self.group.id.clone(), member: member.id.clone() };
        match member.state {
            MemberState::UnrevokedPartitions => {
                let timeout = member.wants.rebalance_timeout_ms.max(0) as u64;
                self.set(timer, Duration::from_millis(timeout));
            }
            _ => self.cancel(timer),
        }
    }

    pub fn expect_consumer_heartbeat(&mut self, member: &Arc<str>, timeout: Duration) {
        self.set(Timer::Session { group: self.group.id.clone(), member: member.clone() }, timeout);
    }
}

/// The group as the assignor is to see it.
fn spec(group: &Consumer, cluster: &ClusterState) -> Spec {
    let member = |member: &Arc<Member>| MemberSpec {
        id: member.id.clone(),
        instance_id: member.wants.instance_id.clone(),
        topics: wanted_topics(group, member, cluster),
        target: group.target(&member.id),
    };
    let members: Vec<MemberSpec> = group.members.values().map(member).collect();
    let wanted: VecSet<Uuid> = members.iter().flat_map(|member| &member.topics).copied().collect();
    let names = group.topic_names();
    let known = names.filter_map(|name| cluster.topics.get(&TopicName(StrBytes::from_string(name.to_string()))));
    let topics: VecMap<Uuid, i32> = known
        .filter(|topic| wanted.contains(&topic.id))
        .map(|topic| (topic.id, topic.partitions.len() as i32))
        .collect();
    Spec { members, topics, homogeneous: group.is_homogeneous() }
}
