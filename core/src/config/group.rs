//! What the group coordinator can be set to, and what one group can be set to while brokers run (Kafka's `GroupConfig`):
//! Kafka's other settings of groups are of kinds of groups that are not here.

use std::ops::RangeInclusive;

use super::broker::{BrokerSettings, Reader};
use super::setting::{ConfigError, Value};
use super::table::GROUP;
use crate::record::Compression;
use crate::time::Duration;
use crate::vec_map::VecMap;

/// Who shares the partitions out among the members of a group, where the coordinator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Everybody has as many partitions as the others, and keeps what it has as far as possible.
    Uniform,
    /// Of each topic the first member has the first partitions, and so on, so that what belongs together in several topics
    /// comes to the same member.
    Range,
}

impl Assignor {
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// As settings name it: Kafka takes the names of its own classes, too.
    pub fn parse(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| {
            match name.strip_prefix("org.apache.kafka.coordinator.group.assignor.") {
                Some("UniformAssignor") => *assignor == Assignor::Uniform,
                Some("RangeAssignor") => *assignor == Assignor::Range,
                _ => name == assignor.name(),
            }
        })
    }
}

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
    /// Where a group has none of its own.
    pub pace: Pace,
    pub max_size: usize,
    /// The first is used where no member asks for one.
    pub assignors: Vec<Assignor>,
    /// How often it is looked anyway which topics a regular expression means.
    pub regex_refresh_interval: Duration,
    /// `group.consumer.migration.policy`: classic groups may become consumer groups,
    pub upgrade: bool,
    /// and these may become classic groups again.
    pub downgrade: bool,
}

/// How fast things go in one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub session_timeout: Duration,
    pub heartbeat_interval_ms: i32,
    /// How often it may be decided anew who reads what.
    pub assignment_interval: Duration,
}

const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT_INTERVAL: &str = "consumer.assignment.interval.ms";

/// What one group can be set to.
pub(super) const OF_ONE: [&str; 3] = [SESSION_TIMEOUT, HEARTBEAT_INTERVAL, ASSIGNMENT_INTERVAL];

/// The setting of all groups that one of a group stands before.
pub(super) fn of_all(name: &str) -> String {
    format!("group.{name}")
}

impl Pace {
    /// With what was set of one group.
    pub fn with(self, set: Option<&VecMap<String, String>>) -> Pace {
        let Some(set) = set else { return self };
        let number = |name: &str| match GROUP.get(name)?.parse(set.get(name)?) {
            Ok(Value::Integer(number)) => Some(number),
            _ => None,
        };
        let millis = |name| number(name).and_then(|number| u64::try_from(number).ok()).map(Duration::from_millis);
        Pace {
            session_timeout: millis(SESSION_TIMEOUT).unwrap_or(self.session_timeout),
            heartbeat_interval_ms: number(HEARTBEAT_INTERVAL).map_or(self.heartbeat_interval_ms, |ms| ms as i32),
            assignment_interval: millis(ASSIGNMENT_INTERVAL).unwrap_or(self.assignment_interval),
        }
    }
}

/// Whether this can be all that is set of a group. Errors are Kafka's, of INVALID_CONFIG.
pub fn validate(set: &VecMap<String, String>, broker: &BrokerSettings) -> Result<(), ConfigError> {
    if let Some(name) = set.keys().find(|name| GROUP.get(name).is_none()) {
        return Err(ConfigError(format!("Unknown group config name: {name}")));
    }
    let number = |value| match value {
        Value::Integer(number) => number,
        _ => 0,
    };
    let mut values = Vec::new();
    for setting in GROUP.iter() {
        let value = match set.get(setting.name) {
            Some(text) => setting.parse(text)?,
            None => broker.value(&of_all(setting.name)),
        };
        values.push((setting.name, number(value)));
    }
    for (name, value) in values.iter().filter(|(name, _)| set.contains_key(*name)) {
        // `consumer.session.timeout.ms` is bounded by `group.consumer.min.session.timeout.ms` and its like.
        let bound = |which: &str| of_all(&name.replacen("consumer.", &format!("consumer.{which}."), 1));
        let (min, max) = (bound("min"), bound("max"));
        let bound = if *value < number(broker.value(&min)) {
            format!("greater than or equal to {min}")
        } else if *value > number(broker.value(&max)) {
            format!("less than or equal to {max}")
        } else {
            continue;
        };
        return Err(ConfigError(format!("{name} must be {bound}")));
    }
    let of = |wanted| values.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    if of(SESSION_TIMEOUT) <= of(HEARTBEAT_INTERVAL) {
        return Err(ConfigError(format!("{SESSION_TIMEOUT} must be greater than {HEARTBEAT_INTERVAL}")));
    }
    Ok(())
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
                pace: Pace {
                    session_timeout: reader.millis("group.consumer.session.timeout.ms"),
                    heartbeat_interval_ms: reader.integer("group.consumer.heartbeat.interval.ms") as i32,
                    assignment_interval: reader.millis("group.consumer.assignment.interval.ms"),
                },
                max_size: reader.integer("group.consumer.max.size").max(0) as usize,
                assignors: list(ASSIGNORS).iter().filter_map(|name| Assignor::parse(name)).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> VecMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// As Kafka 4.3 answers.
    #[test]
    fn what_a_group_is_set_to_is_within_what_the_brokers_allow() {
        let broker = BrokerSettings::default();
        let answer =
            |pairs: &[(&str, &str)]| validate(&map(pairs), &broker).map_or_else(|error| error.0, |()| "ok".to_owned());
        assert_eq!(
            answer(&[("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "6000")]),
            "ok"
        );
        assert_eq!(answer(&[("consumer.assignment.interval.ms", "0")]), "ok");
        for (name, value, why) in [
            ("retention.ms", "1", "Unknown group config name: retention.ms"),
            (
                "consumer.session.timeout.ms",
                "x",
                "Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT",
            ),
            (
                "consumer.session.timeout.ms",
                "4000",
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.heartbeat.interval.ms",
                "50000",
                "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
            ),
        ] {
            assert_eq!(answer(&[(name, value)]), why);
        }
        let low = map(&[("group.consumer.min.session.timeout.ms", "1000")]);
        let set = map(&[("consumer.session.timeout.ms", "5000")]);
        assert_eq!(
            validate(&set, &BrokerSettings::parse(&low).unwrap()).unwrap_err().0,
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
        );
    }
}
