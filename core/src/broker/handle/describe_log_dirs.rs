//! DescribeLogDirs: what lies in this broker's data directory, as `kafka-log-dirs` shows it.
//!
//! Without a list of topics it is all of them; partitions that are not here are left out. How large the volume is and how
//! much of it is free (version 4) is not known to the core: Kafka's −1.

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::id::LogId;

/// Kafka's `UNKNOWN_VOLUME_BYTES`.
const UNKNOWN: i64 = -1;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeLogDirsRequest, out: &mut Vec<Effect>) {
    let wanted = |topic: &TopicName, partition: i32| match &body.topics {
        None => true,
        Some(topics) => topics.iter().any(|asked| asked.topic == *topic && asked.partitions.contains(&partition)),
    };
    let topics = broker.hosted.iter().filter_map(|(name, partitions)| {
        let here = partitions.iter().filter(|(partition, _)| wanted(name, **partition));
        let partitions: Vec<_> = here.filter_map(|(&partition, &log)| describe(broker, partition, log)).collect();
        let topic = DescribeLogDirsTopic::default().with_name(name.clone()).with_partitions(partitions);
        (!topic.partitions.is_empty()).then_some(topic)
    });
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(broker.config.log_dir.clone()))
        .with_topics(topics.collect())
        .with_total_bytes(UNKNOWN)
        .with_usable_bytes(UNKNOWN);
    asked.reply(DescribeLogDirsResponse::default().with_results(vec![directory]), out);
}

fn describe(broker: &Broker, index: i32, log: LogId) -> Option<DescribeLogDirsPartition> {
    let log = &broker.slot(log).filter(|partition| partition.offline.is_none())?.log;
    Some(
        DescribeLogDirsPartition::default()
            .with_partition_index(index)
            .with_partition_size(log.bytes() as i64)
            // How far this replica knows itself to be behind.
            .with_offset_lag((log.high_watermark() - log.end()).max(0)),
    )
}
