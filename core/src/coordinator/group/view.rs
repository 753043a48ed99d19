//! Groups as a page sees them: the same for the simulator and for a live server.

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::classic::ClassicState;
use super::consumer::assignment;
use super::consumer::protocol::Assignment;
use super::{Group, Groups, State};
use crate::arrange::Arrange;
use crate::config::group::Assignor;
use crate::vec_map::VecMap;
use crate::view::{CommittedView, GroupView, MemberView};

impl Groups {
    /// Every group that is kept here. What is committed of offsets is told without how far the partitions reach.
    pub fn views(
        &self,
        committed: &State,
        names: &VecMap<Uuid, TopicName>,
        default: Option<Assignor>,
    ) -> Vec<GroupView> {
        let view = |(id, group): (&std::sync::Arc<str>, &Group)| {
            let offsets = committed.offsets.of(id).into_iter().flatten().flat_map(|(topic, partitions)| {
                partitions.iter().map(|(&partition, committed)| CommittedView {
                    topic: topic.to_string(),
                    partition,
                    offset: committed.value.offset,
                    ..CommittedView::default()
                })
            });
            let view = GroupView { id: id.to_string(), offsets: offsets.collect(), ..GroupView::default() };
            match group {
                Group::Classic(value) => {
                    let group = self.classic_as_of(id, value);
                    let stable = group.state == ClassicState::Stable;
                    let members = group.members.values().map(|member| {
                        let assignment = Some(&member.assignment).filter(|_| stable).cloned();
                        let assigned = assignment.and_then(|bytes| Assignment::read(bytes).ok());
                        MemberView {
                            id: member.id.to_string(),
                            client_id: member.client_id.to_string(),
                            host: member.client_host.to_string(),
                            instance_id: member.instance_id.as_ref().map(|id| id.to_string()),
                            epoch: group.generation,
                            assigned: assigned.map(|assigned| assigned.named().collect()).unwrap_or_default(),
                            joined: member.join.is_some(),
                        }
                    });
                    GroupView {
                        kind: "classic".to_owned(),
                        state: group.state.name().to_owned(),
                        epoch: group.generation,
                        protocol: group.protocol.as_deref().unwrap_or_default().to_owned(),
                        members: members.collect(),
                        ..view
                    }
                }
                Group::Consumer(group) => {
                    let members = group.members.values().map(|member| {
                        let has = assignment::without_epochs(&member.assigned);
                        let mut all: Vec<_> = assignment::each(&member.assigned).collect();
                        all.extend(assignment::each(&member.revoking).filter(|(topic, partition)| {
                            !has.get(topic).is_some_and(|partitions| partitions.contains(partition))
                        }));
                        let named = |(topic, partition)| Some((names.get(&topic)?.to_string(), partition));
                        let mut assigned: Vec<_> = all.into_iter().filter_map(named).collect();
                        assigned.arrange();
                        MemberView {
                            id: member.id.to_string(),
                            client_id: member.wants.client_id.to_string(),
                            host: member.wants.client_host.to_string(),
                            instance_id: member.wants.instance_id.as_ref().map(|id| id.to_string()),
                            epoch: member.epoch,
                            assigned,
                            joined: false,
                        }
                    });
                    let assignor = group.preferred_assignor();
                    GroupView {
                        kind: "consumer".to_owned(),
                        state: group.state().to_owned(),
                        epoch: group.epoch,
                        protocol: match &assignor {
                            Some(name) => name.to_string(),
                            None => default.map_or("", Assignor::name).to_owned(),
                        },
                        members: members.collect(),
                        ..view
                    }
                }
                Group::Share(group) => {
                    let members = group.members.values().map(|member| {
                        let all = member.assigned.iter().flat_map(|(topic, partitions)| {
                            partitions.iter().filter_map(|&partition| Some((names.get(topic)?.to_string(), partition)))
                        });
                        let mut assigned: Vec<_> = all.collect();
                        assigned.arrange();
                        MemberView {
                            id: member.id.to_string(),
                            client_id: member.wants.client_id.to_string(),
                            host: member.wants.client_host.to_string(),
                            instance_id: None,
                            epoch: member.epoch,
                            assigned,
                            joined: false,
                        }
                    });
                    GroupView {
                        kind: "share".to_owned(),
                        state: group.state().to_owned(),
                        epoch: group.epoch,
                        protocol: super::share::ASSIGNOR.to_owned(),
                        members: members.collect(),
                        ..view
                    }
                }
            }
        };
        committed.groups.iter().map(view).collect()
    }
}
