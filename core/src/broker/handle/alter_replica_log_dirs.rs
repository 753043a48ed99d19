//! AlterReplicaLogDirs (KIP-113): a broker has one log directory here, so a replica is where it is asked to be, or is asked
//! to be where nothing is.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::{self, ErrorCode};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AlterReplicaLogDirsRequest, out: &mut Vec<Effect>) {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    let mut places = BTreeMap::new();
    for dir in &body.dirs {
        for topic in &dir.topics {
            let partition = |&index: &i32| {
                let outcome = put(broker, &dir.path, &topic.name, index);
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(error::code(&outcome))
            };
            let partitions = topic.partitions.iter().map(partition);
            let place = *places.entry(&topic.name).or_insert_with(|| {
                results.push(AlterReplicaLogDirTopicResult::default().with_topic_name(topic.name.clone()));
                results.len() - 1
            });
            results[place].partitions.extend(partitions);
        }
    }
    asked.reply(AlterReplicaLogDirsResponse::default().with_results(results), out);
}

/// In the order in which Kafka looks: the directory, then the replica.
fn put(broker: &Broker, path: &str, topic: &TopicName, index: i32) -> Result<(), ErrorCode> {
    if path != broker.config.log_dir {
        return Err(ErrorCode::LogDirNotFound);
    }
    match broker.partition(topic, index) {
        Some(partition) if partition.offline.is_some() => Err(ErrorCode::KafkaStorageError),
        Some(_) => Ok(()),
        None => Err(ErrorCode::ReplicaNotAvailable),
    }
}
