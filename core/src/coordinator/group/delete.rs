//! What goes: groups that are deleted, offsets that are deleted, that have outlived their time, or whose topic is gone.
//!
//! | a group's offset expires | from when on it counts |
//! | --- | --- |
//! | nobody has ever been a member | its own commit |
//! | all members have gone | when the last one went |
//! | consumers read, but not this topic | its own commit |
//! | anything else | never |

use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::offset_delete_response::OffsetDeleteResponse;
use kafka_protocol::messages::{DeleteGroupsResponse, GroupId, OffsetDeleteRequest, TopicName};
use uuid::Uuid;

use super::classic::{Classic, ClassicState};
use super::consumer::Consumer;
use super::record::{OffsetKey, Record};
use super::{Group, Groups, Timer, refused, wire_text};
use crate::coordinator::{Alarm, Around, Decision, Waiter};
use crate::error::{self, ErrorCode};
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Delete {
    pub waiter: Waiter,
    pub group: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: OffsetDeleteRequest,
    /// For each partition of the body the error that is known already, or none.
    pub response: OffsetDeleteResponse,
}

/// A group, as its offsets' fate depends on it.
enum Readers {
    Classic(Box<Classic>),
    Consumer(Arc<Consumer>),
}

impl Readers {
    fn is_nobody(&self) -> bool {
        match self {
            Readers::Classic(group) => group.state == ClassicState::Empty,
            Readers::Consumer(group) => group.members.is_empty(),
        }
    }

    fn are_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Readers::Classic(group) => group.is_subscribed_to(topic),
            Readers::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// From when on the time of an offset counts that was committed then; `None` where it does not.
    fn retention_begins(&self, commit: Timestamp) -> Option<Timestamp> {
        let Readers::Classic(group) = self else { return Some(commit) };
        match group.state {
            _ if group.protocol_type.is_none() => Some(commit),
            ClassicState::Empty => Some(group.since.unwrap_or(commit)),
            ClassicState::Stable if group.subscribed_topics.is_some() => Some(commit),
            _ => None,
        }
    }
}

impl Groups {
    pub(super) fn delete(&self, around: &Around<'_>, delete: Delete) -> Decision<Groups> {
        if let Some(Group::Share(group)) = self.state.groups.get(&delete.group)
            && group.members.is_empty()
            && let Some(first) = self.delete_states(around, group, &delete)
        {
            return first;
        }
        self.delete_now(delete)
    }

    /// With nothing of it left elsewhere.
    pub(super) fn delete_now(&self, delete: Delete) -> Decision<Groups> {
        let Delete { waiter, group } = delete;
        let error = self.may_delete(&group).err();
        let result = DeletableGroupResult::default()
            .with_group_id(GroupId(wire_text(&group)))
            .with_error_code(error.map_or(error::NONE, |error| error.code()));
        let response = Some(waiter.reply(DeleteGroupsResponse::default().with_results(vec![result])));
        if error.is_some() {
            return Decision { response, ..Decision::default() };
        }
        let mut decision = Decision { response, ..Decision::default() };
        let tombstones = self.state.offsets.partitions(&group).into_iter().map(|key| Record::Offset(key, None));
        decision.records.extend(tombstones);
        self.remove(&group, &mut decision);
        decision
    }

    fn may_delete(&self, id: &Arc<str>) -> Result<(), ErrorCode> {
        match self.state.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)? {
            Group::Classic(value) => match self.classic_as_of(id, value).state {
                ClassicState::Empty => Ok(()),
                _ => Err(ErrorCode::NonEmptyGroup),
            },
            Group::Consumer(group) if group.members.is_empty() => Ok(()),
            Group::Consumer(_) => Err(ErrorCode::NonEmptyGroup),
            Group::Share(group) if group.members.is_empty() => Ok(()),
            Group::Share(_) => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// The group itself, when its offsets go or are gone.
    pub(super) fn remove(&self, id: &Arc<str>, decision: &mut Decision<Groups>) {
        match self.state.groups.get(id) {
            Some(Group::Classic(_)) => {
                decision.records.push(Record::Group(id.clone(), None));
                let timers = [Timer::Join(id.clone()), Timer::Sync(id.clone())];
                decision.timers.extend(timers.map(|timer| (timer, Alarm::Off)));
            }
            Some(Group::Consumer(group)) => decision.records.extend(group.tombstones()),
            Some(Group::Share(group)) => decision.records.extend(group.tombstones()),
            None => {}
        }
    }

    pub(super) fn delete_offsets(&self, delete: DeleteOffsets) -> Decision<Groups> {
        let DeleteOffsets { waiter, group, body, mut response } = delete;
        let known = match self.may_delete_offsets(&group) {
            Ok(known) => known,
            Err(error) => return refused(waiter.reply(response), error),
        };
        let mut records = Vec::new();
        for (topic, answer) in body.topics.iter().zip(&mut response.topics) {
            let subscribed = known.are_subscribed_to(&topic.name);
            for (partition, answer) in topic.partitions.iter().zip(&mut answer.partitions) {
                if answer.error_code != error::NONE {
                    continue;
                }
                if subscribed {
                    answer.error_code = ErrorCode::GroupSubscribedToTopic.code();
                    continue;
                }
                let key = OffsetKey {
                    group: group.clone(),
                    topic: topic.name.as_str().into(),
                    partition: partition.partition_index,
                };
                let offsets = &self.state.offsets;
                if offsets.get(&key.group, &key.topic, key.partition).is_some() || offsets.is_pending(&key) {
                    records.push(Record::Offset(key, None));
                }
            }
        }
        Decision { records, response: Some(waiter.reply(response)), ..Decision::default() }
    }

    fn may_delete_offsets(&self, id: &Arc<str>) -> Result<Readers, ErrorCode> {
        match self.state.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)? {
            Group::Classic(value) => {
                let group = self.classic_as_of(id, value);
                if group.state == ClassicState::Empty || group.is_of_consumers() {
                    Ok(Readers::Classic(Box::new(group)))
                } else {
                    Err(ErrorCode::NonEmptyGroup)
                }
            }
            Group::Consumer(group) => Ok(Readers::Consumer(group.clone())),
            Group::Share(_) => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// Looks for what has outlived its time: offsets, and groups without members that have none left.
    pub(super) fn expire(&self, around: &Around<'_>) -> Decision<Groups> {
        let settings = &around.settings.group;
        let retention_ms = i64::try_from(settings.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let mut decision = Decision { splits: true, ..Decision::default() };
        for (id, group) in &self.state.groups {
            let readers = match group {
                Group::Classic(value) => Readers::Classic(Box::new(self.classic_as_of(id, value))),
                Group::Consumer(group) => Readers::Consumer(group.clone()),
                // They have no offsets here, and go only when they are deleted.
                Group::Share(_) => continue,
            };
            let none_left = self.expire_offsets(id, &readers, around.now.wall, retention_ms, &mut decision);
            if none_left && readers.is_nobody() {
                self.remove(id, &mut decision);
            }
        }
        decision.timers.push((Timer::Expire, Alarm::In(settings.offsets_retention_check_interval)));
        decision
    }

    /// True where nothing is left.
    fn expire_offsets(
        &self,
        group: &Arc<str>,
        readers: &Readers,
        now: Timestamp,
        retention_ms: i64,
        decision: &mut Decision<Groups>,
    ) -> bool {
        let mut all = !self.state.offsets.is_any_pending(group);
        let Some(topics) = self.state.offsets.of(group) else { return all };
        for (topic, partitions) in topics {
            let subscribed = readers.are_subscribed_to(topic);
            for (&partition, committed) in partitions {
                let commit = Timestamp(committed.value.commit_timestamp);
                let base = readers.retention_begins(commit).filter(|_| !subscribed);
                let key = OffsetKey { group: group.clone(), topic: topic.clone(), partition };
                let expired = base.is_some_and(|base| committed.is_expired(now, base, retention_ms));
                if expired && !self.state.offsets.is_pending(&key) {
                    decision.records.push(Record::Offset(key, None));
                } else {
                    all = false;
                }
            }
        }
        all
    }

    /// Topics are gone: what was committed for them means nothing any more.
    pub(super) fn forget_topics(&self, deleted: &[(TopicName, Uuid)]) -> Decision<Groups> {
        let keys = deleted.iter().flat_map(|(topic, id)| self.state.offsets.partitions_of_topic(&topic.0, *id));
        let records = keys.map(|key| Record::Offset(key, None)).collect();
        Decision { records, splits: true, ..Decision::default() }
    }
}
