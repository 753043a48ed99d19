//! What the share coordinator can be set to, and brokers that lead share-partitions. How records are delivered to a group is
//! in [`super::group`].

use super::broker::Reader;
use super::setting::Value;
use crate::record::Compression;
use crate::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct ShareStateSettings {
    /// How long a write to `__share_group_state` may take.
    pub write_timeout: Duration,
    pub topic_compression: Compression,
    /// Updates of a share-partition before it has another snapshot.
    pub updates_per_snapshot: usize,
    /// How often that is deleted which nobody needs.
    pub prune_interval: Duration,
    /// A share-partition that has not changed for so long has another snapshot.
    pub cold_snapshot_interval: Duration,
    /// Share sessions of one broker.
    pub max_sessions: usize,
}

impl ShareStateSettings {
    pub(super) fn read(reader: &Reader<'_>) -> ShareStateSettings {
        ShareStateSettings {
            write_timeout: reader.millis("share.coordinator.write.timeout.ms"),
            topic_compression: match reader.value("share.coordinator.state.topic.compression.codec") {
                Value::Integer(id) => Compression::from_id(id as i16).unwrap_or_default(),
                _ => Compression::None,
            },
            updates_per_snapshot: reader.integer("share.coordinator.snapshot.update.records.per.snapshot").max(0)
                as usize,
            prune_interval: reader.millis("share.coordinator.state.topic.prune.interval.ms"),
            cold_snapshot_interval: reader.millis("share.coordinator.cold.partition.snapshot.interval.ms"),
            max_sessions: reader.integer("group.share.max.share.sessions").max(0) as usize,
        }
    }
}
