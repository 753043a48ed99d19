//! DescribeProducers: who has written to a partition, in which epoch, and where its open transaction begins. Every replica
//! answers.

use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::controller::topic::validate_name;
use crate::error::{self, ErrorCode};
use crate::log::producer::Producer;
use crate::partition::Partition;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeProducersRequest, out: &mut Vec<Effect>) {
    let topics = body.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| partition(broker, &topic.name, index));
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = topics.collect();
    asked.reply(DescribeProducersResponse::default().with_topics(topics), out);
}

fn partition(broker: &Broker, topic: &TopicName, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    let refused = |(error, message): (ErrorCode, Option<String>)| {
        let response = PartitionResponse::default().with_partition_index(index).with_error_code(error.code());
        response.with_error_message(message.map(StrBytes::from_string))
    };
    match look(broker, topic, index) {
        Ok(partition) => response.with_error_message(None).with_active_producers(producers(partition)),
        Err(refusal) => refused(refusal),
    }
}

fn look<'a>(broker: &'a Broker, topic: &TopicName, index: i32) -> Result<&'a Partition, (ErrorCode, Option<String>)> {
    validate_name(&topic.0).map_err(|(error, why)| (error, Some(why)))?;
    if !broker.cluster.topics.contains_key(topic) {
        let error = ErrorCode::UnknownTopicOrPartition;
        return Err((error, Some(error::message(error).into_owned())));
    }
    let log = broker.hosted(topic, index).map_err(|error| (error, None))?;
    match broker.slot(log) {
        Some(partition) if partition.offline.is_none() => Ok(partition),
        Some(_) => Err((ErrorCode::KafkaStorageError, None)),
        None => Err((ErrorCode::NotLeaderOrFollower, None)),
    }
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    let state = |(id, producer): (i64, &Producer)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(producer.epoch.into())
            .with_last_sequence(producer.last_sequence())
            .with_last_timestamp(producer.last_timestamp.0)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction.unwrap_or(-1))
    };
    partition.log.producers().iter().map(state).collect()
}
