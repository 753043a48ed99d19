//! What a partition needs of its topic's settings, parsed once.

use crate::config::TopicConfig;
use crate::id::BrokerId;
use crate::log::LogConfig;
use crate::record::check::{Invalid, Rules};
use crate::record::{Batch, BatchBuilder, Compression, Record, TimestampType};
use crate::time::{Now, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub log: LogConfig,
    pub rules: Rules,
    /// `max.message.bytes`: of a batch, as it was sent.
    pub max_message_bytes: usize,
    /// `compression.type`; `None` is `producer`.
    pub compression: Option<Compression>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// What followers that are not in sync fetch of this replica is throttled.
    pub throttled_as_leader: bool,
    /// What this replica fetches until it is in sync is throttled.
    pub throttled_as_follower: bool,
}

impl Settings {
    /// Of one replica.
    pub fn new(topic: &TopicConfig, partition: i32, broker: BrokerId) -> Settings {
        Settings {
            log: topic.into(),
            rules: topic.rules(),
            max_message_bytes: topic.max_message_bytes.max(0) as usize,
            compression: match &topic.compression_type[..] {
                "uncompressed" => Some(Compression::None),
                "gzip" => Some(Compression::Gzip),
                "snappy" => Some(Compression::Snappy),
                "lz4" => Some(Compression::Lz4),
                "zstd" => Some(Compression::Zstd),
                _ => None,
            },
            min_insync_replicas: topic.min_insync_replicas.max(0) as usize,
            throttled_as_leader: topic.leader_throttled_replicas.contains(partition, broker),
            throttled_as_follower: topic.follower_throttled_replicas.contains(partition, broker),
        }
    }

    /// The moment that the leader stamps into a batch, under LogAppendTime.
    pub fn append_time(&self, now: Now) -> Option<Timestamp> {
        (self.rules.timestamp_type == TimestampType::LogAppendTime).then_some(now.wall)
    }

    /// The batch in the codec that the topic wants: nearly always as it is.
    pub fn recompressed(&self, batch: Batch) -> Result<Batch, Invalid> {
        let Some(wanted) = self.compression.filter(|&wanted| batch.header.compression() != Ok(wanted)) else {
            return Ok(batch);
        };
        let header = &batch.header;
        let mut builder = BatchBuilder::new(wanted);
        if header.has_producer_id() {
            builder.set_producer(header.producer_id, header.producer_epoch, header.base_sequence);
        }
        if header.is_transactional() {
            builder.set_transactional();
        }
        for record in Record::decode(&batch)? {
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
        }
        Ok(builder.build())
    }
}
