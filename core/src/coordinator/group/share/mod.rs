//! A group whose members share partitions: every record goes to one of them, and any of them may have any partition
//! (KIP-932).
//!
//! ```text
//! the group:      Empty ─[a member joins]─▶ Stable ─[the last one goes]─▶ Empty ─[DeleteGroups]─▶ Dead, which is: not here
//!
//! a partition:    nothing ─[a member wants its topic: Initialize]─▶ initializing ─[the share coordinator has done it]─▶
//!                 initialized ─[DeleteShareGroupOffsets, DeleteGroups]─▶ deleting ─[it has done that]─▶ nothing
//! ```
//!
//! The epochs are those of a consumer group: the group's rises whenever who has what must be decided anew; the
//! assignment's says for which epoch of the group it was decided; a member's is that of the assignment that it lives by.
//!
//! 1. assignment_epoch ≤ epoch; a member's epoch ≤ assignment_epoch.
//! 2. A member takes its target at once: nobody has to let go of anything first.
//! 3. What is assigned is initialized: its state stands at a share coordinator.
//!
//! All of it stands in the log: [`Share::replay`] is the only thing that writes.
//!
//! `heartbeat.rs` ShareGroupHeartbeat: a member comes, lives, goes or is missed | `target.rs` what members should have, by
//! `assignor.rs` | `states.rs` the partitions that have a state | `calls.rs` what is asked of share coordinators |
//! `offsets.rs` Describe-, Alter- and DeleteShareGroupOffsets | `delete.rs` DeleteGroups | `describe.rs` ShareGroupDescribe

mod assignor;
pub mod calls;
mod delete;
pub mod describe;
pub mod heartbeat;
pub mod offsets;
pub mod states;
mod target;

use std::sync::Arc;

use self::states::States;
use super::consumer::LEAVE;
use super::consumer::assignment::{Partitions, from_target, to_target};
use super::consumer::hash::group_hash;
use super::count;
use super::record::share::{CurrentValue, EpochValue, MemberValue, ShareRecord};
use super::record::{MemberKey, Record, TargetEpochValue};
use super::turn::Turn;
use crate::controller::Refusal;
use crate::error::ErrorCode;
use crate::protocol::cluster::ClusterState;
use crate::shared_map::SharedMap;

/// The one assignor.
pub use self::assignor::NAME as ASSIGNOR;

/// The protocol type of share groups.
pub const SHARE: &str = "share";

#[derive(Clone, Debug)]
pub struct Share {
    pub id: Arc<str>,
    pub epoch: i32,
    pub metadata_hash: i64,
    pub assignment_epoch: i32,
    /// When it was computed; 0 where that is not known.
    pub assignment_timestamp: i64,
    pub members: SharedMap<Arc<str>, Arc<Member>>,
    pub targets: SharedMap<Arc<str>, Arc<Partitions>>,
    /// `None` while no partition was ever initialised.
    pub states: Option<Arc<States>>,

    /// How many members want a topic; it follows from them.
    topics: SharedMap<Arc<str>, usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: Arc<str>,
    pub epoch: i32,
    pub previous_epoch: i32,
    /// What it wants.
    pub wants: MemberValue,
    pub assigned: Arc<Partitions>,
}

impl Member {
    pub fn new(id: Arc<str>) -> Member {
        Member { id, epoch: 0, previous_epoch: -1, wants: MemberValue::default(), assigned: Arc::default() }
    }

    fn current(&self) -> CurrentValue {
        CurrentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            // Kafka's STABLE, as there is no other. (2)
            state: 0,
            assigned_partitions: to_target(&self.assigned),
        }
    }
}

/// What is true of it.
impl Share {
    pub fn new(id: Arc<str>) -> Share {
        Share {
            id,
            epoch: 1,
            metadata_hash: 0,
            assignment_epoch: 1,
            assignment_timestamp: 0,
            members: SharedMap::new(),
            targets: SharedMap::new(),
            states: None,
            topics: SharedMap::new(),
        }
    }

    /// As Kafka names it.
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }

    /// Errors: `UnknownMemberId`.
    pub fn member(&self, id: &str) -> Result<Arc<Member>, Refusal> {
        let unknown = || (ErrorCode::UnknownMemberId, format!("Member {id} is not a member of group {}.", self.id));
        self.members.get(id).cloned().ok_or_else(unknown)
    }

    /// What the member should have.
    pub fn target(&self, member: &str) -> Arc<Partitions> {
        self.targets.get(member).cloned().unwrap_or_default()
    }

    /// The topics that anybody wants, whether or not there are such.
    pub fn topic_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// The hash of what its topics are now.
    fn computed_hash(&self, cluster: &ClusterState) -> i64 {
        group_hash(self.topics.keys().map(|name| &**name), cluster)
    }

    /// All members want the same.
    fn is_homogeneous(&self) -> bool {
        self.topics.values().all(|&wanted| wanted == self.members.len())
    }

    /// What there is of the group in the log, ended.
    pub fn tombstones(&self) -> Vec<Record> {
        let key = |member: &Arc<str>| MemberKey { group: self.id.clone(), member: member.clone() };
        let members = || self.members.keys().map(key);
        let mut records: Vec<ShareRecord> = members().map(|key| ShareRecord::Current(key, None)).collect();
        records.extend(members().map(|key| ShareRecord::Target(key, None)));
        records.push(ShareRecord::TargetEpoch(self.id.clone(), None));
        records.extend(members().map(|key| ShareRecord::Member(key, None)));
        records.push(ShareRecord::States(self.id.clone(), None));
        records.push(ShareRecord::Epoch(self.id.clone(), None));
        records.into_iter().map(Record::Share).collect()
    }
}

pub fn not_a_share_group(id: &str) -> Refusal {
    (ErrorCode::GroupIdNotFound, format!("Group {id} is not a share group."))
}

impl Turn<'_, Share> {
    fn key(&self, member: &Arc<str>) -> MemberKey {
        MemberKey { group: self.group.id.clone(), member: member.clone() }
    }

    pub(super) fn write(&mut self, record: ShareRecord) {
        self.group.replay(&record);
        self.decision.records.push(Record::Share(record));
    }
}

/// Writing.
impl Share {
    pub fn replay(&mut self, record: &ShareRecord) {
        match record {
            ShareRecord::Epoch(_, Some(EpochValue { epoch, metadata_hash })) => {
                (self.epoch, self.metadata_hash) = (*epoch, *metadata_hash);
            }
            // The group is gone with it.
            ShareRecord::Epoch(_, None) => {}
            ShareRecord::TargetEpoch(_, value) => {
                (self.assignment_epoch, self.assignment_timestamp) = match value {
                    Some(TargetEpochValue { assignment_epoch, assignment_timestamp }) => {
                        (*assignment_epoch, *assignment_timestamp)
                    }
                    None => (-1, 0),
                };
            }
            ShareRecord::Target(MemberKey { member, .. }, value) => match value {
                Some(value) => {
                    self.targets.insert(member.clone(), Arc::new(from_target(&value.topic_partitions)));
                }
                None => drop(self.targets.remove(member)),
            },
            ShareRecord::Member(MemberKey { member, .. }, value) => match value {
                Some(wants) => {
                    let before = self.known(member);
                    self.put(Member { wants: wants.clone(), ..before });
                }
                None => {
                    if let Some(gone) = self.members.remove(member) {
                        self.count(&gone, false);
                    }
                }
            },
            ShareRecord::Current(MemberKey { member, .. }, Some(value)) => {
                let before = self.known(member);
                self.put(Member {
                    epoch: value.member_epoch,
                    previous_epoch: value.previous_member_epoch,
                    assigned: Arc::new(from_target(&value.assigned_partitions)),
                    ..before
                });
            }
            ShareRecord::Current(MemberKey { member, .. }, None) => {
                if self.members.contains_key(member) {
                    let before = self.known(member);
                    self.put(Member { epoch: LEAVE, previous_epoch: LEAVE, assigned: Arc::default(), ..before });
                }
            }
            ShareRecord::States(_, value) => {
                self.states = value.as_ref().map(|value| Arc::new(States::from_log(value)));
            }
        }
    }

    /// The member as it is, or a new one.
    fn known(&self, id: &Arc<str>) -> Member {
        self.members.get(id).map_or_else(|| Member::new(id.clone()), |member| Member::clone(member))
    }

    fn put(&mut self, member: Member) {
        if let Some(before) = self.members.get(&member.id).cloned() {
            self.count(&before, false);
        }
        self.count(&member, true);
        self.members.insert(member.id.clone(), Arc::new(member));
    }

    fn count(&mut self, member: &Member, more: bool) {
        for topic in &member.wants.subscribed_topic_names {
            count(&mut self.topics, topic, more);
        }
    }
}

#[cfg(test)]
mod tests;
