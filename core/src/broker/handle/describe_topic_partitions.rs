//! DescribeTopicPartitions (KIP-966): topics a page at a time, in order of their names.

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId as WireBroker, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use std::collections::BTreeSet;

use super::metadata::{leader, missing_topic_error, offline, wire};
use super::{Asked, TOPIC_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::Assignment;

/// Kafka's `max.request.partition.size.limit`.
const MAX_PARTITIONS: i32 = 2_000;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeTopicPartitionsRequest, out: &mut Vec<Effect>) {
    asked.reply(page(broker, &body), out);
}

fn page(broker: &Broker, body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let cursor = body.cursor.as_ref();
    let from = |name: &TopicName| cursor.is_none_or(|cursor| *name >= cursor.topic_name);
    let everything = body.topics.is_empty();
    let names: BTreeSet<&TopicName> = if everything {
        broker.cluster.topics.keys().filter(|name| from(name)).collect()
    } else {
        body.topics.iter().map(|topic| &topic.name).filter(|name| from(name)).collect()
    };
    if let Some(cursor) = cursor {
        let listed = everything || names.contains(&cursor.topic_name);
        if !listed || cursor.partition_index < 0 {
            return refused(body);
        }
    }

    let mut left = body.response_partition_limit.clamp(1, MAX_PARTITIONS) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    let next = |name: &TopicName, partition: usize| {
        Cursor::default().with_topic_name(name.clone()).with_partition_index(partition as i32)
    };
    for name in names {
        if left == 0 {
            response.next_cursor = Some(next(name, 0));
            break;
        }
        let Some(topic) = broker.cluster.topics.get(name) else {
            response.topics.push(
                DescribeTopicPartitionsResponseTopic::default()
                    .with_error_code(missing_topic_error(name).code())
                    .with_name(Some(name.clone()))
                    .with_topic_authorized_operations(TOPIC_OPERATIONS),
            );
            continue;
        };
        let first =
            cursor.filter(|cursor| cursor.topic_name == *name).map_or(0, |cursor| cursor.partition_index as usize);
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .skip(first)
            .take(left)
            .map(|(index, assignment)| partition(broker, name, index, assignment))
            .collect();
        left -= partitions.len();
        let end = first + partitions.len();
        response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name.clone()))
                .with_topic_id(topic.id)
                .with_topic_authorized_operations(TOPIC_OPERATIONS)
                .with_partitions(partitions),
        );
        if end < topic.partitions.len() {
            response.next_cursor = Some(next(name, end));
            break;
        }
    }
    response
}

fn partition(
    broker: &Broker,
    name: &TopicName,
    index: i32,
    assignment: &Assignment,
) -> DescribeTopicPartitionsResponsePartition {
    let leader = leader(broker, name, index, assignment);
    let error = if leader == BrokerId::NONE { ErrorCode::LeaderNotAvailable.code() } else { 0 };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_leader_id(WireBroker(leader.0))
        .with_leader_epoch(assignment.leader_epoch)
        .with_replica_nodes(wire(&assignment.replicas))
        .with_isr_nodes(wire(&assignment.isr))
        // Not kept (KIP-966). Null would say so, but Kafka's own admin client falls over it.
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(offline(broker, name, index, assignment))
}

/// A cursor that points to a topic that was not asked for, or before a first partition: the API has no error of its own
/// at the top, so every topic carries it.
fn refused(body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = body.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}
