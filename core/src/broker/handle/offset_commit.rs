//! OffsetCommit: decided by the group's coordinator ([`crate::coordinator::group::commit`]). A partition that is not there
//! is refused alone.
//!
//! - v10: topics are named by their ids.

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::{OffsetCommitRequest, TopicName};

use super::Asked;
use crate::arrange::Arrange;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::commit::{self, Commit};
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::refuse::refuse;
use crate::coordinator::{Event, Waiter};
use crate::error::ErrorCode;
use crate::protocol::by_id;

pub(super) fn handle(broker: &mut Broker, asked: Asked, mut body: OffsetCommitRequest, out: &mut Vec<Effect>) {
    let by_id = asked.version >= by_id::FIRST;
    for topic in body.topics.iter_mut().filter(|_| by_id) {
        topic.name = broker.topic_names.get(&topic.topic_id).cloned().unwrap_or_default();
    }
    let is_there = |topic: &TopicName, index| broker.assignment(topic, index).is_some();
    let is_whole = |topic: &OffsetCommitRequestTopic| {
        topic.partitions.iter().all(|partition| is_there(&topic.name, partition.partition_index))
    };
    // As in Kafka, what is not there is answered first.
    if !body.topics.iter().all(is_whole) {
        body.topics.arrange_by_key(is_whole);
        for topic in &mut body.topics {
            topic.partitions.arrange_by_key(|partition| is_there(&topic.name, partition.partition_index));
        }
    }
    let mut response = commit::answer(&body.topics);
    let mut any = false;
    for (topic, answer) in body.topics.iter().zip(&mut response.topics) {
        for (partition, answer) in topic.partitions.iter().zip(&mut answer.partitions) {
            if is_there(&topic.name, partition.partition_index) {
                any = true;
            } else {
                let is_known = !by_id || !topic.name.is_empty();
                let error = if is_known { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
                answer.error_code = error.code();
            }
        }
    }
    if !any {
        return asked.reply(response, out);
    }
    match broker.coordinator_of::<Groups>(&body.group_id).map(|(partition, _)| partition) {
        Ok(partition) => {
            let id = |name: &TopicName| broker.cluster.topics.get(name).map(|topic| topic.id).unwrap_or_default();
            let commit = Commit {
                waiter: Waiter::from(asked),
                group: body.group_id.as_str().into(),
                topic_ids: body.topics.iter().map(|topic| id(&topic.name)).collect(),
                body,
                response,
                transaction: None,
                guard: None,
            };
            broker.coordinate::<Groups>(partition, Event::Asked(Ask::Commit(commit)), out);
        }
        Err(error) => {
            let mut response = response.into();
            refuse(&mut response, error);
            asked.reply(response, out);
        }
    }
}
