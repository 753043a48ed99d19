//! What the group coordinator can be set to, and what one group can be set to while brokers run (Kafka's `GroupConfig`):
//! those of Kafka Streams' groups are not here.
//!
//! What is set of one group stands in [`ClusterState::group_configs`](crate::protocol::cluster::ClusterState), on every
//! broker: [`Pace::with`] and [`ShareSettings::with`] read it.

use std::ops::RangeInclusive;

use super::broker::{BrokerSettings, Reader};
use super::setting::{ConfigError, Value};
use super::table::{BROKER, GROUP};
use crate::client::consumer::settings::iso_duration;
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
pub(super) const SHARE_ASSIGNORS: &str = "group.share.assignors";

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
    pub share: ShareSettings,
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

/// Of share groups (KIP-932): those of all, or with [`ShareSettings::with`] those of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareSettings {
    pub pace: Pace,
    /// Members of one group.
    pub max_size: usize,
    /// After so long it is tried again to initialise a partition's state.
    pub initialize_retry_interval: Duration,
    /// Where a group begins to read a partition.
    pub auto_offset_reset: ShareReset,
    /// `share.isolation.level`: what transactions have not committed is not delivered.
    pub read_committed: bool,
    /// How long a record is its consumer's alone.
    pub record_lock_duration: Duration,
    /// How often a record is delivered at most.
    pub delivery_count_limit: i16,
    /// Records of one partition that may be on their way at once.
    pub partition_max_record_locks: usize,
    /// A consumer may ask for more time for a record.
    pub renew_acknowledge: bool,
    /// What one group's own may be, in the order of [`BOUNDED`]: brokers may have been set otherwise since it was set.
    bounds: [(i64, i64); BOUNDED.len()],
}

/// The settings of one share group that all groups' settings bound.
const BOUNDED: [&str; 6] = [
    SHARE_SESSION_TIMEOUT,
    SHARE_HEARTBEAT_INTERVAL,
    SHARE_ASSIGNMENT_INTERVAL,
    RECORD_LOCK_DURATION,
    DELIVERY_COUNT_LIMIT,
    MAX_RECORD_LOCKS,
];

/// `share.auto.offset.reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareReset {
    Earliest,
    Latest,
    /// What was written so long ago, or since.
    ByDuration(Duration),
}

impl ShareReset {
    pub fn parse(text: &str) -> Option<ShareReset> {
        match text {
            "earliest" => Some(ShareReset::Earliest),
            "latest" => Some(ShareReset::Latest),
            _ => text.strip_prefix("by_duration:").and_then(iso_duration).map(ShareReset::ByDuration),
        }
    }
}

const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT_INTERVAL: &str = "consumer.assignment.interval.ms";
const SHARE_SESSION_TIMEOUT: &str = "share.session.timeout.ms";
const SHARE_HEARTBEAT_INTERVAL: &str = "share.heartbeat.interval.ms";
const SHARE_ASSIGNMENT_INTERVAL: &str = "share.assignment.interval.ms";
const RECORD_LOCK_DURATION: &str = "share.record.lock.duration.ms";
const DELIVERY_COUNT_LIMIT: &str = "share.delivery.count.limit";
const MAX_RECORD_LOCKS: &str = "share.partition.max.record.locks";
const AUTO_OFFSET_RESET: &str = "share.auto.offset.reset";
const ISOLATION_LEVEL: &str = "share.isolation.level";
const RENEW_ACKNOWLEDGE: &str = "share.renew.acknowledge.enable";

/// What one group can be set to.
pub(super) const OF_ONE: [&str; 12] = [
    SESSION_TIMEOUT,
    HEARTBEAT_INTERVAL,
    ASSIGNMENT_INTERVAL,
    SHARE_SESSION_TIMEOUT,
    SHARE_HEARTBEAT_INTERVAL,
    RECORD_LOCK_DURATION,
    DELIVERY_COUNT_LIMIT,
    MAX_RECORD_LOCKS,
    AUTO_OFFSET_RESET,
    ISOLATION_LEVEL,
    RENEW_ACKNOWLEDGE,
    SHARE_ASSIGNMENT_INTERVAL,
];

/// The setting of all groups that one of a group stands before.
pub(super) fn of_all(name: &str) -> String {
    format!("group.{name}")
}

impl Pace {
    /// With what was set of one group.
    pub fn with(self, set: Option<&VecMap<String, String>>) -> Pace {
        let millis = |name| number(set, name).and_then(|number| u64::try_from(number).ok()).map(Duration::from_millis);
        Pace {
            session_timeout: millis(SESSION_TIMEOUT).unwrap_or(self.session_timeout),
            heartbeat_interval_ms: number(set, HEARTBEAT_INTERVAL).map_or(self.heartbeat_interval_ms, |ms| ms as i32),
            assignment_interval: millis(ASSIGNMENT_INTERVAL).unwrap_or(self.assignment_interval),
        }
    }
}

impl ShareSettings {
    /// With what was set of one group.
    pub fn with(self, set: Option<&VecMap<String, String>>) -> ShareSettings {
        let number = |name: &str| {
            let place = BOUNDED.iter().position(|bounded| *bounded == name)?;
            let (min, max) = self.bounds[place];
            number(set, name).map(|number| number.min(max).max(min))
        };
        let millis = |name| number(name).and_then(|number| u64::try_from(number).ok()).map(Duration::from_millis);
        let text = |name| match own(set, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        let reset = text(AUTO_OFFSET_RESET).and_then(|text| ShareReset::parse(&text));
        ShareSettings {
            pace: Pace {
                session_timeout: millis(SHARE_SESSION_TIMEOUT).unwrap_or(self.pace.session_timeout),
                heartbeat_interval_ms: number(SHARE_HEARTBEAT_INTERVAL)
                    .map_or(self.pace.heartbeat_interval_ms, |interval| interval as i32),
                assignment_interval: millis(SHARE_ASSIGNMENT_INTERVAL).unwrap_or(self.pace.assignment_interval),
            },
            max_size: self.max_size,
            initialize_retry_interval: self.initialize_retry_interval,
            auto_offset_reset: reset.unwrap_or(self.auto_offset_reset),
            read_committed: text(ISOLATION_LEVEL).map_or(self.read_committed, |level| level == "read_committed"),
            record_lock_duration: millis(RECORD_LOCK_DURATION).unwrap_or(self.record_lock_duration),
            delivery_count_limit: number(DELIVERY_COUNT_LIMIT).map_or(self.delivery_count_limit, |it| it as i16),
            partition_max_record_locks: number(MAX_RECORD_LOCKS)
                .map_or(self.partition_max_record_locks, |locks| locks as usize),
            renew_acknowledge: match own(set, RENEW_ACKNOWLEDGE) {
                Some(Value::Boolean(enabled)) => enabled,
                _ => self.renew_acknowledge,
            },
            bounds: self.bounds,
        }
    }
}

/// What was set of one group, if it makes sense.
fn own(set: Option<&VecMap<String, String>>, name: &str) -> Option<Value> {
    GROUP.get(name)?.parse(set?.get(name)?).ok()
}

fn number(set: Option<&VecMap<String, String>>, name: &str) -> Option<i64> {
    match own(set, name) {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    }
}

/// `consumer.session.timeout.ms` is bounded by `group.consumer.min.session.timeout.ms` and its like.
pub(super) fn bound(name: &str, which: &str) -> String {
    of_all(&name.replacen('.', &format!(".{which}."), 1))
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
        let (min, max) = (bound(name, "min"), bound(name, "max"));
        if BROKER.get(&min).is_none() {
            continue;
        }
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
    for (session, heartbeat) in
        [(SESSION_TIMEOUT, HEARTBEAT_INTERVAL), (SHARE_SESSION_TIMEOUT, SHARE_HEARTBEAT_INTERVAL)]
    {
        if of(session) <= of(heartbeat) {
            return Err(ConfigError(format!("{session} must be greater than {heartbeat}")));
        }
    }
    Ok(())
}

impl GroupSettings {
    pub(super) fn read(reader: &Reader<'_>) -> GroupSettings {
        let minutes = |name| Duration::from_secs(60 * reader.integer(name).max(0) as u64);
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
            consumer_protocol: speaks(reader, "consumer"),
            consumer: ConsumerSettings {
                pace: Pace {
                    session_timeout: reader.millis("group.consumer.session.timeout.ms"),
                    heartbeat_interval_ms: reader.integer("group.consumer.heartbeat.interval.ms") as i32,
                    assignment_interval: reader.millis("group.consumer.assignment.interval.ms"),
                },
                max_size: reader.integer("group.consumer.max.size").max(0) as usize,
                assignors: reader.list(ASSIGNORS).iter().filter_map(|name| Assignor::parse(name)).collect(),
                regex_refresh_interval: reader.millis("group.consumer.regex.refresh.interval.ms"),
                upgrade: matches!(&*policy, "bidirectional" | "upgrade"),
                downgrade: matches!(&*policy, "bidirectional" | "downgrade"),
            },
            share: ShareSettings {
                pace: Pace {
                    session_timeout: reader.millis("group.share.session.timeout.ms"),
                    heartbeat_interval_ms: reader.integer("group.share.heartbeat.interval.ms") as i32,
                    assignment_interval: reader.millis("group.share.assignment.interval.ms"),
                },
                max_size: reader.integer("group.share.max.size").max(0) as usize,
                initialize_retry_interval: reader.millis("group.share.initialize.retry.interval.ms"),
                auto_offset_reset: ShareReset::Latest,
                read_committed: false,
                record_lock_duration: reader.millis("group.share.record.lock.duration.ms"),
                delivery_count_limit: reader.integer("group.share.delivery.count.limit") as i16,
                partition_max_record_locks: reader.integer("group.share.partition.max.record.locks").max(0) as usize,
                renew_acknowledge: true,
                bounds: BOUNDED.map(|name| (reader.integer(&bound(name, "min")), reader.integer(&bound(name, "max")))),
            },
        }
    }
}

/// Whether groups may speak that protocol.
pub(super) fn speaks(reader: &Reader<'_>, protocol: &str) -> bool {
    reader.list("group.coordinator.rebalance.protocols").iter().any(|name| name == protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_of_a_share_group_counts_before_what_is_set_of_all() {
        let of_all = map(&[("group.share.delivery.count.limit", "4")]);
        let all = BrokerSettings::parse(&of_all).unwrap().group.share;
        assert_eq!((all.delivery_count_limit, all.with(None)), (4, all));
        assert_eq!((all.auto_offset_reset, all.read_committed), (ShareReset::Latest, false));
        let set = map(&[
            ("share.auto.offset.reset", "by_duration:PT1H"),
            ("share.isolation.level", "read_committed"),
            ("share.record.lock.duration.ms", "20000"),
            ("share.renew.acknowledge.enable", "false"),
            ("share.session.timeout.ms", "50000"),
        ]);
        assert!(validate(&set, &BrokerSettings::default()).is_ok());
        let one = all.with(Some(&set));
        let hour = Duration::from_secs(3600);
        assert_eq!((one.auto_offset_reset, one.read_committed), (ShareReset::ByDuration(hour), true));
        assert_eq!((one.record_lock_duration, one.renew_acknowledge), (Duration::from_secs(20), false));
        assert_eq!((one.pace.session_timeout, one.delivery_count_limit), (Duration::from_secs(50), 4));
        // It was set before brokers were set otherwise.
        let higher = map(&[("group.share.min.record.lock.duration.ms", "25000")]);
        let all = BrokerSettings::parse(&higher).unwrap().group.share;
        assert_eq!(all.with(Some(&set)).record_lock_duration, Duration::from_secs(25));
    }

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
            (
                "share.record.lock.duration.ms",
                "14999",
                "share.record.lock.duration.ms must be greater than or equal to group.share.min.record.lock.duration.ms",
            ),
            (
                "share.delivery.count.limit",
                "11",
                "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit",
            ),
            (
                "share.partition.max.record.locks",
                "99",
                "Invalid value 99 for configuration share.partition.max.record.locks: Value must be at least 100",
            ),
            (
                "share.isolation.level",
                "none",
                "Invalid value none for configuration share.isolation.level: String must be one of: read_committed, \
                 read_uncommitted",
            ),
            (
                "share.auto.offset.reset",
                "by_duration:-PT1H",
                "Invalid value by_duration:-PT1H for configuration share.auto.offset.reset: Invalid value \
                 `by_duration:-PT1H` for configuration share.auto.offset.reset. The value must be either 'earliest', \
                 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
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
