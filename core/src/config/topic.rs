//! What a topic can be set to, and what holds where it is not: the broker's settings, then Kafka's defaults.

use super::broker::BrokerSettings;
use super::setting::{ConfigError, Value};
use super::table::TOPIC;
use crate::id::BrokerId;
use crate::log::LogConfig;
use crate::record::TimestampType;
use crate::record::check::Rules;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Broker settings that stand in for a topic's, the first that is set before the others, and what their unit is
/// multiplied with.
#[rustfmt::skip]
const SYNONYMS: &[(&str, &[(&str, i64)])] = &[
    ("segment.bytes", &[("log.segment.bytes", 1)]),
    ("segment.ms", &[("log.roll.ms", 1), ("log.roll.hours", HOUR)]),
    ("segment.jitter.ms", &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR)]),
    ("segment.index.bytes", &[("log.index.size.max.bytes", 1)]),
    ("flush.messages", &[("log.flush.interval.messages", 1)]),
    ("flush.ms", &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    ("retention.bytes", &[("log.retention.bytes", 1)]),
    ("retention.ms", &[("log.retention.ms", 1), ("log.retention.minutes", MINUTE), ("log.retention.hours", HOUR)]),
    ("max.message.bytes", &[("message.max.bytes", 1)]),
    ("index.interval.bytes", &[("log.index.interval.bytes", 1)]),
    ("delete.retention.ms", &[("log.cleaner.delete.retention.ms", 1)]),
    ("min.compaction.lag.ms", &[("log.cleaner.min.compaction.lag.ms", 1)]),
    ("max.compaction.lag.ms", &[("log.cleaner.max.compaction.lag.ms", 1)]),
    ("file.delete.delay.ms", &[("log.segment.delete.delay.ms", 1)]),
    ("min.cleanable.dirty.ratio", &[("log.cleaner.min.cleanable.ratio", 1)]),
    ("cleanup.policy", &[("log.cleanup.policy", 1)]),
    ("unclean.leader.election.enable", &[("unclean.leader.election.enable", 1)]),
    ("min.insync.replicas", &[("min.insync.replicas", 1)]),
    ("compression.type", &[("compression.type", 1)]),
    ("compression.gzip.level", &[("compression.gzip.level", 1)]),
    ("compression.lz4.level", &[("compression.lz4.level", 1)]),
    ("compression.zstd.level", &[("compression.zstd.level", 1)]),
    ("preallocate", &[("log.preallocate", 1)]),
    ("message.timestamp.type", &[("log.message.timestamp.type", 1)]),
    ("message.timestamp.before.max.ms", &[("log.message.timestamp.before.max.ms", 1)]),
    ("message.timestamp.after.max.ms", &[("log.message.timestamp.after.max.ms", 1)]),
    ("local.retention.ms", &[("log.local.retention.ms", 1)]),
    ("local.retention.bytes", &[("log.local.retention.bytes", 1)]),
];

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A topic's settings, set or inherited.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    pub cleanup_compact: bool,
    pub cleanup_delete: bool,
    /// `producer` keeps what the producer chose.
    pub compression_type: String,
    pub delete_retention_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub follower_throttled_replicas: Throttled,
    pub index_interval_bytes: u32,
    pub leader_throttled_replicas: Throttled,
    /// Bytes of one record batch.
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    /// In millionths.
    pub min_cleanable_dirty_per_million: u32,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    /// −1 is without limit.
    pub retention_bytes: i64,
    /// −1 is without limit.
    pub retention_ms: i64,
    pub segment_bytes: u32,
    pub segment_index_bytes: u32,
    pub segment_jitter_ms: u64,
    pub segment_ms: u64,
    pub unclean_leader_election_enable: bool,
}

/// Replicas whose replication is throttled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Throttled {
    /// `*`.
    All,
    /// `0:1,0:2`: partitions, and brokers that they are on.
    These(VecSet<(i32, BrokerId)>),
}

impl Throttled {
    pub fn contains(&self, partition: i32, broker: BrokerId) -> bool {
        match self {
            Throttled::All => true,
            Throttled::These(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

impl TopicConfig {
    /// Checks a topic's own settings and completes them. Errors are Kafka's, of INVALID_CONFIG.
    pub fn new(set: &VecMap<String, String>, broker: &BrokerSettings) -> Result<TopicConfig, ConfigError> {
        if let Some(name) = set.keys().find(|name| TOPIC.get(name).is_none()) {
            return Err(ConfigError(format!("Unknown topic config name: {name}")));
        }
        let mut values = VecMap::new();
        for setting in TOPIC.iter() {
            let value = match set.get(setting.name) {
                Some(text) => setting.parse(text)?,
                None => inherited(setting.name, broker),
            };
            values.insert(setting.name, value);
        }
        let values = Values(values);
        check_lags(values.integer("min.compaction.lag.ms"), values.integer("max.compaction.lag.ms"))?;
        if values.boolean("remote.storage.enable") {
            return Err(ConfigError(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                 storage."
                    .into(),
            ));
        }
        Ok(values.typed())
    }

    /// What records the topic takes.
    pub fn rules(&self) -> Rules {
        Rules {
            compacted: self.cleanup_compact,
            timestamp_type: self.message_timestamp_type,
            before_max_ms: self.message_timestamp_before_max_ms,
            after_max_ms: self.message_timestamp_after_max_ms,
        }
    }
}

impl Default for TopicConfig {
    /// As Kafka comes.
    fn default() -> TopicConfig {
        TopicConfig::new(&VecMap::new(), &BrokerSettings::default()).expect("the defaults are valid")
    }
}

impl From<&TopicConfig> for LogConfig {
    fn from(topic: &TopicConfig) -> LogConfig {
        LogConfig {
            segment_bytes: topic.segment_bytes,
            // A record must be out of the active segment before it can be compacted.
            segment_ms: match (topic.cleanup_compact, u64::try_from(topic.max_compaction_lag_ms)) {
                (true, Ok(lag)) if lag > 0 => topic.segment_ms.min(lag),
                _ => topic.segment_ms,
            },
            segment_jitter_ms: topic.segment_jitter_ms,
            index_interval_bytes: topic.index_interval_bytes,
            segment_index_bytes: topic.segment_index_bytes,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
            retention_bytes: topic.retention_bytes,
            retention_ms: topic.retention_ms,
            cleanup_delete: topic.cleanup_delete,
            cleanup_compact: topic.cleanup_compact,
            min_cleanable_dirty_per_million: topic.min_cleanable_dirty_per_million,
            min_compaction_lag_ms: topic.min_compaction_lag_ms,
            max_compaction_lag_ms: topic.max_compaction_lag_ms,
            delete_retention_ms: topic.delete_retention_ms,
            ..LogConfig::default()
        }
    }
}

/// Fails where a record would have to be compacted before it may be.
pub(super) fn check_lags(min: i64, max: i64) -> Result<(), ConfigError> {
    if min <= max {
        return Ok(());
    }
    Err(ConfigError(format!(
        "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
    )))
}

/// The broker settings behind a topic's, in order.
pub(super) fn synonyms(name: &str) -> &'static [(&'static str, i64)] {
    SYNONYMS.iter().find(|(topic, _)| *topic == name).map_or(&[], |(_, synonyms)| synonyms)
}

/// What holds for a topic that does not set `name` itself.
pub(crate) fn inherited(name: &str, broker: &BrokerSettings) -> Value {
    let scaled = |synonym: &str, unit: i64| match broker.value(synonym) {
        Value::Integer(number) if number < 0 => Value::Integer(number),
        Value::Integer(number) => Value::Integer(number.saturating_mul(unit)),
        value => value,
    };
    let candidates = synonyms(name).iter().map(|&(synonym, unit)| scaled(synonym, unit));
    candidates
        .into_iter()
        .find(|value| *value != Value::Null)
        .or_else(|| TOPIC.get(name).map(|setting| setting.default_value()))
        .unwrap_or(Value::Null)
}

/// A value for every setting that a topic has.
struct Values(VecMap<&'static str, Value>);

impl Values {
    fn typed(&self) -> TopicConfig {
        let policies = match &self.0["cleanup.policy"] {
            Value::List(policies) => &policies[..],
            _ => &[],
        };
        // Kafka's way around the 1 MiB that segment.bytes must have at least.
        let segment_bytes = match self.0["internal.segment.bytes"] {
            Value::Integer(bytes) => bytes,
            _ => self.integer("segment.bytes"),
        };
        TopicConfig {
            cleanup_compact: policies.iter().any(|policy| policy == "compact"),
            cleanup_delete: policies.iter().any(|policy| policy == "delete"),
            compression_type: self.text("compression.type"),
            delete_retention_ms: self.integer("delete.retention.ms"),
            flush_messages: self.integer("flush.messages"),
            flush_ms: self.integer("flush.ms"),
            follower_throttled_replicas: self.throttled("follower.replication.throttled.replicas"),
            index_interval_bytes: self.unsigned("index.interval.bytes"),
            leader_throttled_replicas: self.throttled("leader.replication.throttled.replicas"),
            max_compaction_lag_ms: self.integer("max.compaction.lag.ms"),
            max_message_bytes: self.integer("max.message.bytes") as i32,
            message_timestamp_after_max_ms: self.integer("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: self.integer("message.timestamp.before.max.ms"),
            message_timestamp_type: match &self.text("message.timestamp.type")[..] {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_per_million: match self.0["min.cleanable.dirty.ratio"] {
                // What is no number is less than nothing: such a log waits for max.compaction.lag.ms.
                Value::Double(ratio) if ratio.is_nan() => u32::MAX,
                Value::Double(ratio) => (ratio * 1e6) as u32,
                _ => 0,
            },
            min_compaction_lag_ms: self.integer("min.compaction.lag.ms"),
            min_insync_replicas: self.integer("min.insync.replicas") as i32,
            retention_bytes: self.integer("retention.bytes"),
            retention_ms: self.integer("retention.ms"),
            segment_bytes: u32::try_from(segment_bytes.max(1)).unwrap_or(u32::MAX),
            segment_index_bytes: self.unsigned("segment.index.bytes"),
            segment_jitter_ms: self.integer("segment.jitter.ms").max(0) as u64,
            segment_ms: self.integer("segment.ms").max(1) as u64,
            unclean_leader_election_enable: self.boolean("unclean.leader.election.enable"),
        }
    }

    fn integer(&self, name: &str) -> i64 {
        match self.0[name] {
            Value::Integer(number) => number,
            _ => 0,
        }
    }

    fn unsigned(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or(0)
    }

    /// One that names a number that is too large names nothing.
    fn throttled(&self, name: &str) -> Throttled {
        let Value::List(items) = &self.0[name] else { return Throttled::These(VecSet::new()) };
        if items[..] == ["*"] {
            return Throttled::All;
        }
        let replica = |item: &String| {
            let (partition, broker) = item.split_once(':')?;
            Some((partition.parse().ok()?, BrokerId(broker.parse().ok()?)))
        };
        Throttled::These(items.iter().filter_map(replica).collect())
    }

    fn boolean(&self, name: &str) -> bool {
        self.0[name] == Value::Boolean(true)
    }

    fn text(&self, name: &str) -> String {
        self.0[name].text().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> VecMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn topic(pairs: &[(&str, &str)]) -> Result<TopicConfig, ConfigError> {
        TopicConfig::new(&map(pairs), &BrokerSettings::default())
    }

    /// What Kafka 4.3 answered to CreateTopics with these settings; `ok` where it took them.
    const KAFKA: &[(&str, &str, &str)] = &[
        ("retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", "1.5", "Invalid value 1.5 for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", " 12 ", "ok"),
        ("retention.ms", "+5", "ok"),
        ("nope", "1", "Unknown topic config name: nope"),
        ("segment.bytes", "5", "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"),
        ("internal.segment.bytes", "1000", "ok"),
        (
            "cleanup.policy",
            "foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        ("cleanup.policy", "", "ok"),
        ("cleanup.policy", "delete,delete", "ok"),
        ("cleanup.policy", " compact , delete ", "ok"),
        (
            "min.cleanable.dirty.ratio",
            "2",
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "min.cleanable.dirty.ratio",
            "x",
            "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE",
        ),
        ("min.cleanable.dirty.ratio", "NaN", "ok"),
        ("min.cleanable.dirty.ratio", "5e-1d", "ok"),
        (
            "preallocate",
            "maybe",
            "Invalid value maybe for configuration preallocate: Expected value to be either true or false",
        ),
        ("preallocate", "TRUE", "ok"),
        (
            "compression.type",
            "lzma",
            "Invalid value lzma for configuration compression.type: String must be one of: uncompressed, zstd, lz4, \
             snappy, gzip, producer",
        ),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        ("segment.ms", "0", "Invalid value 0 for configuration segment.ms: Value must be at least 1"),
        (
            "leader.replication.throttled.replicas",
            "zz",
            "Invalid value [zz] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        ("leader.replication.throttled.replicas", "*", "ok"),
        ("leader.replication.throttled.replicas", "0:1,1:2", "ok"),
        (
            "max.message.bytes",
            "99999999999",
            "Invalid value 99999999999 for configuration max.message.bytes: Not a number of type INT",
        ),
        (
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
             storage.",
        ),
        (
            "compression.zstd.level",
            "30",
            "Invalid value 30 for configuration compression.zstd.level: Value must be no more than 22",
        ),
        (
            "min.compaction.lag.ms",
            "9223372036854775808",
            "Invalid value 9223372036854775808 for configuration min.compaction.lag.ms: Not a number of type LONG",
        ),
    ];

    #[test]
    fn values_are_taken_and_refused_in_kafkas_words() {
        for &(name, value, expected) in KAFKA {
            let answer = topic(&[(name, value)]).map_or_else(|error| error.0, |_| "ok".into());
            assert_eq!(answer, expected, "{name}={value}");
        }
        assert_eq!(
            topic(&[("min.compaction.lag.ms", "50"), ("max.compaction.lag.ms", "40")]).unwrap_err().0,
            "conflict topic config setting min.compaction.lag.ms (50) > max.compaction.lag.ms (40)"
        );
    }

    #[test]
    fn a_topic_inherits_from_the_broker_by_the_first_synonym_that_is_set() {
        let settings = map(&[("log.retention.hours", "2"), ("log.retention.minutes", "3"), ("log.roll.hours", "1")]);
        let broker = BrokerSettings::parse(&settings).unwrap();
        let config = TopicConfig::new(&map(&[("segment.ms", "7")]), &broker).unwrap();
        assert_eq!(config.retention_ms, 180_000);
        assert_eq!(config.segment_ms, 7);
        let broker = BrokerSettings::parse(&map(&[("log.retention.ms", "-1")])).unwrap();
        assert_eq!(TopicConfig::new(&VecMap::new(), &broker).unwrap().retention_ms, -1);
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = TopicConfig::default();
        assert_eq!(config.retention_ms, 604_800_000);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.flush_ms, i64::MAX);
        assert!(config.cleanup_delete && !config.cleanup_compact);
        assert!(SYNONYMS.iter().all(|(topic, _)| TOPIC.get(topic).is_some()));
        // Where Kafka gives a topic and the broker a default each, they are the same.
        for setting in TOPIC.iter() {
            let name = setting.name;
            assert_eq!(inherited(name, &BrokerSettings::default()), setting.default_value(), "{name}");
        }
    }
}
