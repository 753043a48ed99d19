//! OffsetDelete: decided by the group's coordinator ([`crate::coordinator::group::delete`]). A partition that is not there is
//! refused alone.

use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::Asked;
use crate::arrange::Arrange;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Ask;
use crate::coordinator::group::delete::DeleteOffsets;
use crate::error::{self, ErrorCode};

pub(super) fn handle(broker: &mut Broker, asked: Asked, mut body: OffsetDeleteRequest, out: &mut Vec<Effect>) {
    let is_there = |topic: &TopicName, index| broker.assignment(topic, index).is_some();
    // As in Kafka, what is not there is answered first.
    for topic in &mut body.topics {
        topic.partitions.arrange_by_key(|partition| is_there(&topic.name, partition.partition_index));
    }
    body.topics.arrange_by_key(|topic| {
        topic.partitions.first().is_none_or(|first| is_there(&topic.name, first.partition_index))
    });
    let topics = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let error =
                if is_there(&topic.name, index) { error::NONE } else { ErrorCode::UnknownTopicOrPartition.code() };
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(error)
        });
        OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    let response = OffsetDeleteResponse::default().with_topics(topics.collect());
    let id = body.group_id.clone();
    let template = response.clone();
    let ask = |waiter, group| Ask::DeleteOffsets(DeleteOffsets { waiter, group, body, response });
    broker.ask_group(asked.into(), &id, template, ask, out);
}
