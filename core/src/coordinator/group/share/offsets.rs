//! DescribeShareGroupOffsets, AlterShareGroupOffsets and DeleteShareGroupOffsets: where a share group begins to read
//! partitions, which share coordinators know.

use std::sync::Arc;

use kafka_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::turn::Turn;
use super::super::{Group, Groups, Order, refused, wire_text};
use super::calls::{Answered, ShareCall, SharePart, Then, What};
use super::states::{Named, combine, name_of, topic};
use super::{Share, not_a_share_group};
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision, Reply, Waiter};
use crate::error::{ErrorCode, NONE, message};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// A group of a DescribeShareGroupOffsets, and then the part of the answer that is known.
#[derive(Clone, Debug)]
pub struct Described {
    pub waiter: Waiter,
    pub body: DescribeShareGroupOffsetsRequestGroup,
    topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
}

/// An AlterShareGroupOffsets, and then what is answered if all goes well.
#[derive(Clone, Debug)]
pub struct Altered {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: AlterShareGroupOffsetsRequest,
    pub response: AlterShareGroupOffsetsResponse,
}

/// A DeleteShareGroupOffsets, and then the part of the answer that is known.
#[derive(Clone, Debug)]
pub struct Deleted {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: DeleteShareGroupOffsetsRequest,
    pub response: DeleteShareGroupOffsetsResponse,
}

impl Described {
    pub fn new(waiter: Waiter, body: DescribeShareGroupOffsetsRequestGroup) -> Described {
        Described { waiter, body, topics: Vec::new() }
    }

    /// What is known.
    pub fn into_reply(self) -> Reply {
        let group = DescribeShareGroupOffsetsResponseGroup::default()
            .with_group_id(self.body.group_id)
            .with_topics(self.topics);
        self.waiter.reply(DescribeShareGroupOffsetsResponse::default().with_groups(vec![group]))
    }

    pub(super) fn answer(mut self, answered: &Answered) -> Reply {
        for (part, answer) in answered.call.parts.iter().zip(&answered.answers) {
            let partition = DescribeShareGroupOffsetsResponsePartition::default().with_partition_index(part.partition);
            let partition = match answer {
                Ok(summary) => {
                    partition.with_start_offset(summary.start_offset).with_leader_epoch(summary.leader_epoch)
                }
                // Kafka tells of no error here.
                Err(_) => partition.with_start_offset(-1).with_leader_epoch(0),
            };
            let told = self.topics.iter_mut().find(|topic| topic.topic_id == part.topic_id);
            if let Some(topic) = told {
                topic.partitions.push(partition);
            }
        }
        // What is not there comes last.
        let (there, not): (Vec<_>, Vec<_>) = self.topics.into_iter().partition(|topic| !topic.topic_id.is_nil());
        self.topics = there.into_iter().chain(not).collect();
        self.into_reply()
    }
}

impl Altered {
    pub(super) fn answer(self, answered: &Answered) -> Reply {
        let mut response = self.response;
        for (part, answer) in answered.call.parts.iter().zip(&answered.answers) {
            let Err((error, why)) = answer else { continue };
            let topics = response.responses.iter_mut().filter(|topic| topic.topic_id == part.topic_id);
            let partitions = topics.flat_map(|topic| &mut topic.partitions);
            for told in partitions.filter(|told| told.partition_index == part.partition && told.error_code == NONE) {
                told.error_code = error.code();
                told.error_message = Some(StrBytes::from_string(why.clone()));
            }
        }
        self.waiter.reply(response)
    }
}

/// Describing.
impl Groups {
    pub(in super::super) fn describe_share_offsets(
        &self,
        around: &Around<'_>,
        mut asked: Described,
    ) -> Decision<Groups> {
        let group: Arc<str> = asked.body.group_id.as_str().into();
        let mut parts = Vec::new();
        let mut ask = |topic_id, partition| parts.push(SharePart { topic_id, partition, what: What::ReadSummary });
        let told = |id, name| DescribeShareGroupOffsetsResponseTopic::default().with_topic_id(id).with_topic_name(name);
        match asked.body.topics.clone() {
            Some(topics) => {
                for wanted in topics {
                    let nothing = |&index: &i32| {
                        DescribeShareGroupOffsetsResponsePartition::default()
                            .with_partition_index(index)
                            .with_start_offset(-1)
                    };
                    let Some(known) = around.cluster.topics.get(&wanted.topic_name) else {
                        let partitions = wanted.partitions.iter().map(nothing).collect();
                        asked.topics.push(told(Uuid::nil(), wanted.topic_name).with_partitions(partitions));
                        continue;
                    };
                    let count = known.partitions.len() as i32;
                    let partitions: VecSet<i32> = wanted.partitions.iter().copied().collect();
                    let gone = partitions.iter().filter(|index| !(0..count).contains(*index)).map(nothing).collect();
                    asked.topics.push(told(known.id, wanted.topic_name).with_partitions(gone));
                    partitions.iter().filter(|index| (0..count).contains(*index)).for_each(|&it| ask(known.id, it));
                }
            }
            None => {
                let states = self.state.share_group(&group).ok().and_then(|group| group.states.clone());
                for (id, (_, partitions)) in states.iter().flat_map(|states| states.initialized.iter()) {
                    let Some(name) = around.topic_names.get(id) else { continue };
                    asked.topics.push(told(*id, name.clone()));
                    partitions.iter().for_each(|&partition| ask(*id, partition));
                }
            }
        }
        if parts.is_empty() {
            return Decision { replies: vec![asked.into_reply()], ..Decision::default() };
        }
        let call = ShareCall { group, parts, then: Then::Described(asked) };
        Decision { orders: vec![Order::ShareState(call)], ..Decision::default() }
    }
}

/// Altering.
impl Groups {
    /// A group that is not there is made: an empty one.
    pub(in super::super) fn alter_share_offsets(&self, around: &Around<'_>, mut asked: Altered) -> Decision<Groups> {
        let group = match self.state.groups.get(&asked.group) {
            Some(Group::Share(group)) if group.members.is_empty() => Share::clone(group),
            Some(Group::Share(_)) => return asked.refuse(non_empty()),
            Some(_) => {
                let why = not_a_share_group(&asked.group);
                return asked.refuse(why);
            }
            None => Share::new(asked.group.clone()),
        };
        let mut turn = Turn::new(around, group);
        let mut initializing = Named::new();
        let mut offsets: VecMap<(Uuid, i32), i64> = VecMap::new();
        for wanted in &asked.body.topics {
            let known = around.cluster.topics.get(&wanted.topic_name);
            let id = known.map(|topic| topic.id).unwrap_or_default();
            let count = known.map_or(0, |topic| topic.partitions.len() as i32);
            let partitions = wanted.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let answer = AlterShareGroupOffsetsResponsePartition::default().with_partition_index(index);
                if !(0..count).contains(&index) {
                    let unknown = ErrorCode::UnknownTopicOrPartition;
                    let why = StrBytes::from_string(message(unknown).into_owned());
                    return answer.with_error_code(unknown.code()).with_error_message(Some(why));
                }
                let name = || (wanted.topic_name.as_str().into(), Default::default());
                initializing.entry(id).or_insert_with(name).1.insert(index);
                offsets.insert((id, index), partition.start_offset);
                answer
            });
            let answer = AlterShareGroupOffsetsResponseTopic::default()
                .with_topic_name(wanted.topic_name.clone())
                .with_topic_id(id)
                .with_partitions(partitions.collect());
            asked.response.responses.push(answer);
        }
        if offsets.is_empty() {
            return Decision { response: Some(asked.waiter.reply(asked.response)), ..Decision::default() };
        }
        let mut states = turn.group.states.as_deref().cloned().unwrap_or_default();
        combine(&mut states.initializing, &initializing);
        states.deleting.retain(|id| !states.initializing.contains_key(id));
        turn.write_states(&states);
        let state_epoch = turn.group.epoch;
        let part = |(&(topic_id, partition), &start_offset): (&(Uuid, i32), &i64)| SharePart {
            topic_id,
            partition,
            what: What::Initialize { state_epoch, start_offset },
        };
        let parts = offsets.iter().map(part).collect();
        turn.call(ShareCall { group: asked.group.clone(), parts, then: Then::Altered(asked) });
        turn.decision
    }
}

impl Altered {
    fn refuse(self, (error, why): Refusal) -> Decision<Groups> {
        let response = AlterShareGroupOffsetsResponse::default().with_error_message(Some(StrBytes::from_string(why)));
        refused(self.waiter.reply(response), error)
    }
}

/// Deleting.
impl Groups {
    pub(in super::super) fn delete_share_offsets(&self, around: &Around<'_>, mut asked: Deleted) -> Decision<Groups> {
        let group = match self.state.share_group(&asked.group) {
            Ok(group) if group.members.is_empty() => group,
            Ok(_) => return asked.refuse(non_empty()),
            Err(refusal) => return asked.refuse(refusal),
        };
        let Some(before) = group.states.as_deref() else {
            return Decision { response: Some(asked.waiter.reply(asked.response)), ..Decision::default() };
        };
        let mut states = before.clone();
        let mut gone = Named::new();
        for wanted in &asked.body.topics {
            let answer = DeleteShareGroupOffsetsResponseTopic::default().with_topic_name(wanted.topic_name.clone());
            let unknown = |why: &str| {
                let answer = answer.clone().with_error_code(ErrorCode::UnknownTopicOrPartition.code());
                answer.with_error_message(Some(StrBytes::from_string(why.to_owned())))
            };
            match topic(around.cluster, &wanted.topic_name) {
                Some(known) => {
                    let name: Arc<str> = wanted.topic_name.as_str().into();
                    if let Some((_, partitions)) = states.initialized.remove(&known.id) {
                        states.deleting.insert(known.id);
                        gone.insert(known.id, (name, partitions));
                    } else if states.deleting.contains(&known.id) {
                        // What could not be deleted the last time.
                        gone.insert(known.id, (name, (0..known.partitions.len() as i32).collect()));
                    } else {
                        asked.response.responses.push(unknown("There is no offset information to delete."));
                    }
                }
                None => {
                    asked.response.responses.push(unknown(&message(ErrorCode::UnknownTopicOrPartition)));
                }
            }
        }
        let mut turn = Turn::new(around, Share::clone(group));
        turn.write_states(&states);
        if gone.is_empty() {
            turn.respond(asked.waiter.reply(asked.response));
        } else {
            turn.call(ShareCall::of(&asked.group.clone(), &gone, What::Delete, Then::OffsetsDeleted(asked)));
        }
        turn.decision
    }

    /// The share coordinators have forgotten them, or some of them have not.
    pub(super) fn offsets_deleted(
        &self,
        around: &Around<'_>,
        mut asked: Deleted,
        answered: &Answered,
    ) -> Decision<Groups> {
        let mut errors: VecMap<Uuid, Option<ErrorCode>> = VecMap::new();
        for (part, answer) in answered.call.parts.iter().zip(&answered.answers) {
            let error = errors.entry(part.topic_id).or_insert(None);
            *error = error.or(answer.as_ref().err().map(|(error, _)| *error));
        }
        let topic = |id: Uuid| {
            let name = TopicName(wire_text(&name_of(id, around.topic_names)));
            DeleteShareGroupOffsetsResponseTopic::default().with_topic_id(id).with_topic_name(name)
        };
        let failed = errors.iter().filter_map(|(id, error)| {
            let error = (*error)?;
            let why = StrBytes::from_string(message(error).into_owned());
            Some(topic(*id).with_error_code(error.code()).with_error_message(Some(why)))
        });
        let mut responses: Vec<_> =
            errors.iter().filter(|(_, error)| error.is_none()).map(|(id, _)| topic(*id)).collect();
        responses.append(&mut asked.response.responses);
        responses.extend(failed);
        asked.response.responses = responses;
        let response = asked.waiter.reply(asked.response);
        let Some(mut turn) = self.share_turn(around, &asked.group) else {
            return Decision { response: Some(response), ..Decision::default() };
        };
        if let Some(mut states) = turn.group.states.as_deref().cloned() {
            states.deleting.retain(|id| errors.get(id) != Some(&None));
            turn.write_states(&states);
        }
        turn.respond(response);
        turn.decision
    }
}

impl Deleted {
    fn refuse(self, (error, why): Refusal) -> Decision<Groups> {
        let response = DeleteShareGroupOffsetsResponse::default().with_error_message(Some(StrBytes::from_string(why)));
        refused(self.waiter.reply(response), error)
    }
}

/// Somebody reads.
fn non_empty() -> Refusal {
    (ErrorCode::NonEmptyGroup, "The group is not empty.".to_owned())
}
