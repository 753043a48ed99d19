//! What the members of a share group should have, decided anew when the group's epoch has risen, and that a member has it.

use std::sync::Arc;

use uuid::Uuid;

use super::super::Move;
use super::super::consumer::assignment::{Partitions, to_target};
use super::super::consumer::target::Checked;
use super::super::record::share::{EpochValue, ShareRecord};
use super::super::record::{TargetEpochValue, TargetValue};
use super::super::turn::Turn;
use super::assignor::{self, MemberSpec, Spec};
use super::states::topic;
use super::{Member, Share};
use crate::protocol::cluster::ClusterState;
use crate::vec_set::VecSet;

impl Turn<'_, Share> {
    /// Who has what is to be decided anew: with `bump`, or where the topics are not what they were. True if it is.
    pub fn check_topics(&mut self, bump: bool) -> bool {
        let bump = bump || self.group.computed_hash(self.around.cluster) != self.group.metadata_hash;
        if bump {
            self.bump();
        }
        let checked = Checked::new(self.around.cluster.version, self.group.epoch);
        self.decision.moves.push(Move::Checked(self.group.id.clone(), checked));
        bump
    }

    /// The group's next epoch.
    pub fn bump(&mut self) {
        let metadata_hash = self.group.computed_hash(self.around.cluster);
        let value = EpochValue { epoch: self.group.epoch + 1, metadata_hash };
        self.note(format!(
            "[GroupId {}] Bumped group epoch to {} with metadata hash {metadata_hash}.",
            self.group.id, value.epoch
        ));
        self.write(ShareRecord::Epoch(self.group.id.clone(), Some(value)));
    }

    /// Has the assignor decide, where the group's epoch has risen and the last time was long enough ago.
    pub fn update_target(&mut self) {
        let interval = self.around.share(&self.group.id).pace.assignment_interval.as_millis() as i64;
        let (now, last) = (self.now(), self.group.assignment_timestamp);
        if self.group.assignment_epoch >= self.group.epoch {
            return;
        }
        if last != 0 && interval != 0 && now.0 < last.saturating_add(interval) {
            return;
        }
        let spec = spec(&self.group, self.around.cluster);
        let targets = assignor::assign(&spec);
        for (member, target) in spec.members.iter().zip(&targets) {
            if self.group.targets.get(&member.id).is_none_or(|before| **before != *target) {
                let value = TargetValue { topic_partitions: to_target(target) };
                self.write(ShareRecord::Target(self.key(&member.id), Some(value)));
            }
        }
        let (id, epoch) = (self.group.id.clone(), self.group.epoch);
        self.note(format!(
            "[GroupId {id}] Computed a new target assignment for epoch {epoch} with '{}' assignor.",
            assignor::NAME
        ));
        let value = TargetEpochValue { assignment_epoch: epoch, assignment_timestamp: now.0 };
        self.write(ShareRecord::TargetEpoch(id, Some(value)));
    }

    /// The member has its target, as far as it is of topics that it wants.
    pub fn take_target(&mut self, id: &Arc<str>, wants_other: bool) {
        let Some(member) = self.group.members.get(id).cloned() else { return };
        let epoch = self.group.assignment_epoch;
        if !wants_other && member.epoch == epoch {
            return;
        }
        let wanted = wanted(&member, self.around.cluster);
        let target = self.group.target(id);
        let mut assigned = Partitions::clone(&target);
        assigned.retain(|topic, _| wanted.contains(topic));
        let mut after = Member { assigned: Arc::new(assigned), ..Member::clone(&member) };
        if member.epoch != epoch {
            after.previous_epoch = std::mem::replace(&mut after.epoch, epoch);
        }
        if after != *member {
            self.write(ShareRecord::Current(self.key(id), Some(after.current())));
        }
    }
}

/// The topics that it wants and that there are.
fn wanted(member: &Member, cluster: &ClusterState) -> VecSet<Uuid> {
    let names = member.wants.subscribed_topic_names.iter();
    names.filter_map(|name| topic(cluster, name)).map(|topic| topic.id).collect()
}

/// The group as the assignor is to see it.
fn spec(group: &Share, cluster: &ClusterState) -> Spec {
    let member = |member: &Arc<Member>| MemberSpec {
        id: member.id.clone(),
        topics: wanted(member, cluster),
        target: group.target(&member.id),
    };
    let initialized = group.states.iter().flat_map(|states| states.initialized.iter());
    let there = initialized.filter(|(id, (name, _))| topic(cluster, name).is_some_and(|topic| topic.id == **id));
    Spec {
        members: group.members.values().map(member).collect(),
        partitions: there.map(|(id, (_, partitions))| (*id, partitions.clone())).collect(),
        homogeneous: group.is_homogeneous(),
    }
}
