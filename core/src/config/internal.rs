//! How the topics that coordinators write to are created.

use super::broker::Reader;
use crate::vec_map::VecMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: VecMap<&'static str, String>,
}

/// `__consumer_offsets`.
pub(super) fn offsets(reader: &Reader<'_>) -> InternalTopic {
    InternalTopic {
        partitions: reader.integer("offsets.topic.num.partitions") as i32,
        replication_factor: reader.integer("offsets.topic.replication.factor") as i16,
        configs: [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", reader.integer("offsets.topic.segment.bytes").to_string()),
        ]
        .into(),
    }
}

/// `__transaction_state`.
pub(super) fn transactions(reader: &Reader<'_>) -> InternalTopic {
    InternalTopic {
        partitions: reader.integer("transaction.state.log.num.partitions") as i32,
        replication_factor: reader.integer("transaction.state.log.replication.factor") as i16,
        configs: [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("min.insync.replicas", reader.integer("transaction.state.log.min.isr").to_string()),
            ("segment.bytes", reader.integer("transaction.state.log.segment.bytes").to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ]
        .into(),
    }
}

/// `__share_group_state`: not compacted, its coordinators say what nobody needs.
pub(super) fn share_states(reader: &Reader<'_>) -> InternalTopic {
    InternalTopic {
        partitions: reader.integer("share.coordinator.state.topic.num.partitions") as i32,
        replication_factor: reader.integer("share.coordinator.state.topic.replication.factor") as i16,
        configs: [
            ("cleanup.policy", "delete".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("min.insync.replicas", reader.integer("share.coordinator.state.topic.min.isr").to_string()),
            ("retention.ms", "-1".to_owned()),
            ("segment.bytes", reader.integer("share.coordinator.state.topic.segment.bytes").to_string()),
        ]
        .into(),
    }
}

/// What Kafka's defaults ask of three brokers, for a cluster of fewer: with Kafka's own, its groups and transactions would
/// wait for the others for ever. Only what is not set otherwise is given.
pub fn for_brokers(brokers: usize, set: &VecMap<String, String>) -> VecMap<String, String> {
    let wanted = [
        ("offsets.topic.replication.factor", 3),
        ("transaction.state.log.replication.factor", 3),
        ("transaction.state.log.min.isr", 2),
        ("share.coordinator.state.topic.replication.factor", 3),
        ("share.coordinator.state.topic.min.isr", 2),
    ];
    let fewer = wanted.into_iter().filter(|(name, wanted)| brokers < *wanted && !set.contains_key(*name));
    fewer.map(|(name, _)| (name.to_owned(), brokers.max(1).to_string())).collect()
}
