//! What the group coordinator can be set to.

use std::ops::RangeInclusive;

use super::broker::Reader;
use super::setting::Value;
use crate::record::Compression;
use crate::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct GroupSettings {
    /// How long the first rebalance of a group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// Members of a classic group.
    pub max_size: usize,
    /// What a member of a classic group may ask for, in milliseconds.
    pub session_timeout_ms: RangeInclusive<i32>,
    /// How long a write to `__consumer_offsets` may take.
    pub offsets_commit_timeout: Duration,
    pub offsets_topic_compression: Compression,
    /// How long the offsets of a group without members are kept.
    pub offsets_retention: Duration,
    pub offsets_retention_check_interval: Duration,
    /// Characters that may be kept with an offset.
    pub offset_metadata_max_bytes: usize,
}

impl GroupSettings {
    pub(super) fn read(reader: &Reader<'_>) -> GroupSettings {
        let minutes = |name| Duration::from_secs(60 * reader.integer(name).max(0) as u64);
        GroupSettings {
            initial_rebalance_delay: reader.millis("group.initial.rebalance.delay.ms"),
            max_size: reader.integer("group.max.size").max(0) as usize,
            session_timeout_ms: reader.integer("group.min.session.timeout.ms") as i32
                ..=reader.integer("group.max.session.timeout.ms") as i32,
            offsets_commit_timeout: reader.millis("offsets.commit.timeout.ms"),
            offsets_topic_compression: match reader.value("offsets.topic.compression.codec") {
                Value::Integer(id) => Compression::from_id(id as i16).unwrap_or_default(),
                _ => Compression::None,
            },
            offsets_retention: minutes("offsets.retention.minutes"),
            offsets_retention_check_interval: reader.millis("offsets.retention.check.interval.ms"),
            offset_metadata_max_bytes: reader.integer("offset.metadata.max.bytes").max(0) as usize,
        }
    }
}
