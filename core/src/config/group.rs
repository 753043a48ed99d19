//! What the group coordinator can be set to.

use std::ops::RangeInclusive;

use super::broker::Reader;
use super::setting::{ConfigError, Value};
use crate::coordinator::group::consumer::assignor::Assignor;
use crate::record::Compression;
use crate::time::Duration;

pub(super) const ASSIGNORS: &str = "group.consumer.assignors";

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
    /// `group.coordinator.rebalance.protocols` names the consumer protocol.
    pub consumer_protocol: bool,
    pub consumer: ConsumerSettings,
}

/// Of groups of the consumer protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerSettings {
    pub session_timeout: Duration,
    pub heartbeat_interval_ms: i32,
    pub max_size: usize,
    /// The first is used where no member asks for one.
    pub assignors: Vec<Assignor>,
    /// How often it may be decided anew who reads what.
    pub assignment_interval: Duration,
    /// How often it is looked anyway which topics a regular expression means.
    pub regex_refresh_interval: Duration,
    /// `group.consumer.migration.policy`: classic groups may become consumer groups,
    pub upgrade: bool,
    /// and these may become classic groups again.
    pub downgrade: bool,
}

impl GroupSettings {
    pub(super) fn read(reader: &Reader<'_>) -> GroupSettings {
        let minutes = |name| Duration::from_secs(60 * reader.integer(name).max(0) as u64);
        let list = |name| match reader.value(name) {
            Value::List(names) => names,
            _ => Vec::new(),
        };
        let policy = match reader.value("group.consumer.migration.policy") {
            Value::Text(policy) => policy.to_lowercase(),
            _ => String::new(),
        };
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
            consumer_protocol: list("group.coordinator.rebalance.protocols").iter().any(|name| name == "consumer"),
            consumer: ConsumerSettings {
                session_timeout: reader.millis("group.consumer.session.timeout.ms"),
                heartbeat_interval_ms: reader.integer("group.consumer.heartbeat.interval.ms") as i32,
                max_size: reader.integer("group.consumer.max.size").max(0) as usize,
                assignors: list(ASSIGNORS).iter().filter_map(|name| Assignor::parse(name)).collect(),
                assignment_interval: reader.millis("group.consumer.assignment.interval.ms"),
                regex_refresh_interval: reader.millis("group.consumer.regex.refresh.interval.ms"),
                upgrade: matches!(&*policy, "bidirectional" | "upgrade"),
                downgrade: matches!(&*policy, "bidirectional" | "downgrade"),
            },
        }
    }
}

/// Fails where one of the assignors is not there.
pub(super) fn check_assignors(value: &Value) -> Result<(), ConfigError> {
    let Value::List(names) = value else { return Ok(()) };
    match names.iter().find(|name| Assignor::parse(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let known = Assignor::ALL.map(Assignor::name).join(", ");
            Err(ConfigError(format!("Invalid value {name} for configuration {ASSIGNORS}: it can only be {known}")))
        }
    }
}
