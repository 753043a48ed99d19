//! What a broker can be set to: Kafka's names and defaults. Read when the broker starts, and when something is set while it
//! runs.

use super::connections::ConnectionLimits;
use super::dynamic;
use super::group::GroupSettings;
use super::internal::{self, InternalTopic};
use super::setting::{ConfigError, Value};
use super::share::ShareStateSettings;
use super::table::BROKER;
use super::together::{self, MIN_CLEANER_MAP};
use super::transaction::TransactionSettings;
use crate::id::BrokerId;
use crate::log::compact::Limits;
use crate::protocol::cluster::BrokerConfigs;
use crate::quota::window::Windows;
use crate::time::Duration;
use crate::vec_map::VecMap;

/// Settings that change what this broker does; the others of Kafka's are accepted and have no effect yet.
const WITH_EFFECT: &[&str] = &[
    "add.partitions.to.txn.retry.backoff.max.ms",
    "add.partitions.to.txn.retry.backoff.ms",
    "auto.create.topics.enable",
    "auto.leader.rebalance.enable",
    "broker.session.timeout.ms",
    "compression.type",
    "connections.max.idle.ms",
    "controlled.shutdown.enable",
    "controller.quota.window.num",
    "controller.quota.window.size.seconds",
    "default.replication.factor",
    "delete.topic.enable",
    "fetch.max.bytes",
    "follower.replication.throttled.rate",
    "group.consumer.assignment.interval.ms",
    "group.consumer.assignors",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.max.assignment.interval.ms",
    "group.consumer.max.heartbeat.interval.ms",
    "group.consumer.max.session.timeout.ms",
    "group.consumer.max.size",
    "group.consumer.migration.policy",
    "group.consumer.min.assignment.interval.ms",
    "group.consumer.min.heartbeat.interval.ms",
    "group.consumer.min.session.timeout.ms",
    "group.consumer.regex.refresh.interval.ms",
    "group.consumer.session.timeout.ms",
    "group.coordinator.rebalance.protocols",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "group.share.assignment.interval.ms",
    "group.share.delivery.count.limit",
    "group.share.heartbeat.interval.ms",
    "group.share.initialize.retry.interval.ms",
    "group.share.max.assignment.interval.ms",
    "group.share.max.delivery.count.limit",
    "group.share.max.heartbeat.interval.ms",
    "group.share.max.partition.max.record.locks",
    "group.share.max.record.lock.duration.ms",
    "group.share.max.session.timeout.ms",
    "group.share.max.share.sessions",
    "group.share.max.size",
    "group.share.min.assignment.interval.ms",
    "group.share.min.delivery.count.limit",
    "group.share.min.heartbeat.interval.ms",
    "group.share.min.partition.max.record.locks",
    "group.share.min.record.lock.duration.ms",
    "group.share.min.session.timeout.ms",
    "group.share.partition.max.record.locks",
    "group.share.record.lock.duration.ms",
    "group.share.session.timeout.ms",
    "leader.imbalance.check.interval.seconds",
    "leader.imbalance.per.broker.percentage",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.enable",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.threads",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.flush.offset.checkpoint.interval.ms",
    "log.flush.scheduler.interval.ms",
    "log.flush.start.offset.checkpoint.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.check.interval.ms",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "max.incremental.fetch.session.cache.slots",
    "message.max.bytes",
    "min.insync.replicas",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.commit.timeout.ms",
    "offsets.retention.check.interval.ms",
    "offsets.retention.minutes",
    "offsets.topic.compression.codec",
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "offsets.topic.segment.bytes",
    "ottla.placement",
    "ottla.transaction.version",
    "producer.id.expiration.check.interval.ms",
    "producer.id.expiration.ms",
    "queued.max.requests",
    "quota.window.num",
    "quota.window.size.seconds",
    "replica.fetch.backoff.ms",
    "replica.fetch.max.bytes",
    "replica.fetch.min.bytes",
    "replica.fetch.response.max.bytes",
    "replica.fetch.wait.max.ms",
    "replica.lag.time.max.ms",
    "replica.selector.class",
    "replica.socket.timeout.ms",
    "replication.quota.window.num",
    "replication.quota.window.size.seconds",
    "request.timeout.ms",
    "share.coordinator.cold.partition.snapshot.interval.ms",
    "share.coordinator.snapshot.update.records.per.snapshot",
    "share.coordinator.state.topic.compression.codec",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.num.partitions",
    "share.coordinator.state.topic.prune.interval.ms",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.segment.bytes",
    "share.coordinator.write.timeout.ms",
    "socket.receive.buffer.bytes",
    "socket.request.max.bytes",
    "socket.send.buffer.bytes",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    "transaction.max.timeout.ms",
    "transaction.partition.verification.enable",
    "transaction.remove.expired.transaction.cleanup.interval.ms",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
    "transaction.state.log.segment.bytes",
    "transactional.id.expiration.ms",
    "unclean.leader.election.enable",
    "zookeeper.session.timeout.ms",
];

/// Settings that the broker itself decides, so that nobody else may: who it is and where it listens and stores.
const OWN: &[&str] = &[
    "advertised.listeners",
    "broker.id",
    "broker.rack",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "listeners",
    "log.dir",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// The one selector that comes with Kafka.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Whether setting it changes anything here.
pub fn has_effect(name: &str) -> bool {
    WITH_EFFECT.binary_search(&name).is_ok()
}

/// A broker's settings: those that were set, checked, and what follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerSettings {
    layers: Layers,
    /// What holds of the layers.
    set: VecMap<String, String>,

    pub auto_create_topics_enable: bool,
    pub auto_leader_rebalance_enable: bool,
    /// How long two brokers may hear nothing of each other.
    pub broker_session_timeout: Duration,
    pub connections: ConnectionLimits,
    pub connections_max_idle: Duration,
    pub controlled_shutdown_enable: bool,
    /// In which it is measured what the controller does for a client.
    pub controller_quota_windows: Windows,
    pub default_replication_factor: i16,
    pub delete_topic_enable: bool,
    /// Bytes of one Fetch response, whatever the client allows.
    pub fetch_max_bytes: i32,
    /// Bytes a second that this broker fetches of the replicas that its topics throttle.
    pub follower_throttled_rate: u64,
    pub group: GroupSettings,
    /// By [`Internal`](crate::coordinator::topic::Internal).
    pub internal_topics: [InternalTopic; 3],
    pub leader_imbalance_check_interval: Duration,
    pub leader_imbalance_per_broker_percentage: usize,
    /// Bytes a second that it sends of them.
    pub leader_throttled_rate: u64,
    /// How long the cleaner rests when there is nothing to clean.
    pub log_cleaner_backoff: Duration,
    pub log_cleaner_enable: bool,
    /// Bytes that the cleaner reads and writes in a second; `None` is without limit.
    pub log_cleaner_io_max_bytes_per_second: Option<u64>,
    /// What cleaning one log may take: `log.cleaner.dedupe.buffer.size`, `log.cleaner.io.buffer.size` and
    /// `log.cleaner.io.buffer.load.factor`, shared among the threads.
    pub log_cleaner_limits: Limits,
    /// Logs that are cleaned at once.
    pub log_cleaner_threads: usize,
    pub log_flush_offset_checkpoint_interval: Duration,
    pub log_flush_start_offset_checkpoint_interval: Duration,
    pub log_retention_check_interval: Duration,
    pub max_incremental_fetch_session_cache_slots: i32,
    pub num_partitions: i32,
    pub placement: Placement,
    pub producer_id_expiration_check_interval: Duration,
    pub producer_id_expiration_ms: i64,
    /// Requests of all connections that wait for the broker before it stops reading.
    pub queued_max_requests: i32,
    /// In which it is measured what a client does.
    pub quota_windows: Windows,
    /// What a follower waits after a fetch that failed.
    pub replica_fetch_backoff: Duration,
    /// Bytes of one partition that a follower fetches.
    pub replica_fetch_max_bytes: i32,
    /// Bytes that a leader waits for before it answers a follower.
    pub replica_fetch_min_bytes: i32,
    /// Bytes that a follower fetches at once.
    pub replica_fetch_response_max_bytes: i32,
    /// How long a leader waits for them.
    pub replica_fetch_wait_max: Duration,
    /// A follower that has not caught up for so long is not in sync.
    pub replica_lag_time_max: Duration,
    /// What a follower waits for an answer.
    pub replica_socket_timeout: Duration,
    /// How long a window is in which throttled replication is measured, and how many are.
    pub replication_quota_window: Duration,
    pub replication_quota_windows: u32,
    /// How long other brokers may take to answer, and replicas to have what a coordinator wrote.
    pub request_timeout: Duration,
    /// `replica.selector.class` is Kafka's `RackAwareReplicaSelector`.
    pub selects_replicas_by_rack: bool,
    pub share: ShareStateSettings,
    /// Bytes of one request.
    pub socket_request_max_bytes: i32,
    /// SO_RCVBUF of clients' connections, in bytes; `None` leaves it to the system.
    pub socket_receive_buffer: Option<u32>,
    /// SO_SNDBUF of clients' connections, in bytes; `None` leaves it to the system.
    pub socket_send_buffer: Option<u32>,
    pub transactions: TransactionSettings,
    pub zookeeper_session_timeout: Duration,
}

/// Who has set what, by name; each hides what those below it have set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// For this broker, while it runs.
    pub own: VecMap<String, String>,
    /// For all brokers, while they run.
    pub all: VecMap<String, String>,
    /// When it started.
    pub given: VecMap<String, String>,
}

/// How partitions are placed on brokers: [`crate::controller::placement`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    #[default]
    Notes,
    Kafka,
}

impl BrokerSettings {
    /// Checks what was set. Names that Kafka does not have are refused, as are those that the broker decides itself.
    pub fn parse(set: &VecMap<String, String>) -> Result<BrokerSettings, ConfigError> {
        for (name, text) in set {
            check(name, text)?;
        }
        let settings = BrokerSettings::of(Layers { given: set.clone(), ..Layers::default() });
        together::check(&settings)?;
        together::check_at_start(&settings)?;
        Ok(settings)
    }

    /// The same broker's, under what was set while it runs. What cannot be set so, or is no value, counts as not set.
    pub fn under(&self, configs: &BrokerConfigs, id: BrokerId) -> BrokerSettings {
        BrokerSettings::of(Layers {
            own: dynamic::applicable(configs.of(id), true),
            all: dynamic::applicable(configs.of_all(), false),
            given: self.layers.given.clone(),
        })
    }

    /// Of layers that were checked.
    fn of(layers: Layers) -> BrokerSettings {
        let mut set = layers.given.clone();
        set.extend(layers.all.clone());
        set.extend(layers.own.clone());
        let reader = Reader(&set);
        BrokerSettings {
            auto_create_topics_enable: reader.boolean("auto.create.topics.enable"),
            broker_session_timeout: reader.millis("broker.session.timeout.ms"),
            auto_leader_rebalance_enable: reader.boolean("auto.leader.rebalance.enable"),
            connections: ConnectionLimits::read(&reader),
            connections_max_idle: reader.millis("connections.max.idle.ms"),
            controlled_shutdown_enable: reader.boolean("controlled.shutdown.enable"),
            controller_quota_windows: reader
                .windows("controller.quota.window.num", "controller.quota.window.size.seconds"),
            default_replication_factor: reader.integer("default.replication.factor") as i16,
            delete_topic_enable: reader.boolean("delete.topic.enable"),
            fetch_max_bytes: reader.integer("fetch.max.bytes") as i32,
            follower_throttled_rate: reader.integer("follower.replication.throttled.rate").max(0) as u64,
            group: GroupSettings::read(&reader),
            internal_topics: [
                internal::offsets(&reader),
                internal::transactions(&reader),
                internal::share_states(&reader),
            ],
            leader_imbalance_check_interval: Duration::from_secs(
                reader.integer("leader.imbalance.check.interval.seconds").max(1) as u64,
            ),
            leader_imbalance_per_broker_percentage: reader.integer("leader.imbalance.per.broker.percentage").max(0)
                as usize,
            leader_throttled_rate: reader.integer("leader.replication.throttled.rate").max(0) as u64,
            log_cleaner_backoff: reader.millis("log.cleaner.backoff.ms"),
            log_cleaner_enable: reader.boolean("log.cleaner.enable"),
            log_cleaner_io_max_bytes_per_second: {
                let limit = reader.double("log.cleaner.io.max.bytes.per.second");
                (limit < u64::MAX as f64).then_some(limit.max(1.0) as u64)
            },
            log_cleaner_limits: reader.cleaner_limits(),
            log_cleaner_threads: reader.integer("log.cleaner.threads").max(0) as usize,
            log_flush_offset_checkpoint_interval: reader.millis("log.flush.offset.checkpoint.interval.ms"),
            log_flush_start_offset_checkpoint_interval: reader.millis("log.flush.start.offset.checkpoint.interval.ms"),
            log_retention_check_interval: reader.millis("log.retention.check.interval.ms"),
            max_incremental_fetch_session_cache_slots: reader.integer("max.incremental.fetch.session.cache.slots")
                as i32,
            num_partitions: reader.integer("num.partitions") as i32,
            placement: match reader.value("ottla.placement") {
                Value::Text(name) if name == "kafka" => Placement::Kafka,
                _ => Placement::Notes,
            },
            producer_id_expiration_check_interval: reader.millis("producer.id.expiration.check.interval.ms"),
            producer_id_expiration_ms: reader.integer("producer.id.expiration.ms"),
            queued_max_requests: reader.integer("queued.max.requests") as i32,
            quota_windows: reader.windows("quota.window.num", "quota.window.size.seconds"),
            replica_fetch_backoff: reader.millis("replica.fetch.backoff.ms"),
            replica_fetch_max_bytes: reader.integer("replica.fetch.max.bytes") as i32,
            replica_fetch_min_bytes: reader.integer("replica.fetch.min.bytes") as i32,
            replica_fetch_response_max_bytes: reader.integer("replica.fetch.response.max.bytes") as i32,
            replica_fetch_wait_max: reader.millis("replica.fetch.wait.max.ms"),
            replica_lag_time_max: reader.millis("replica.lag.time.max.ms"),
            replica_socket_timeout: reader.millis("replica.socket.timeout.ms"),
            replication_quota_window: Duration::from_secs(
                reader.integer("replication.quota.window.size.seconds").max(1) as u64,
            ),
            replication_quota_windows: reader.integer("replication.quota.window.num").max(1) as u32,
            request_timeout: reader.millis("request.timeout.ms"),
            selects_replicas_by_rack: reader.value("replica.selector.class") == Value::Text(RACK_AWARE.to_owned()),
            socket_request_max_bytes: reader.integer("socket.request.max.bytes") as i32,
            share: ShareStateSettings::read(&reader),
            // Kafka's −1.
            socket_receive_buffer: u32::try_from(reader.integer("socket.receive.buffer.bytes")).ok(),
            socket_send_buffer: u32::try_from(reader.integer("socket.send.buffer.bytes")).ok(),
            transactions: TransactionSettings::read(&reader),
            zookeeper_session_timeout: reader.millis("zookeeper.session.timeout.ms"),
            layers,
            set,
        }
    }

    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Names that were given and change nothing, in order.
    pub fn without_effect(&self) -> impl Iterator<Item = &str> {
        self.layers.given.keys().map(String::as_str).filter(|name| !has_effect(name))
    }

    /// Names that were set otherwise while the broker runs, and change nothing, in order.
    pub fn set_without_effect_since(&self, before: &BrokerSettings) -> impl Iterator<Item = &str> {
        let new = self.set.iter().filter(|(name, value)| before.set.get(*name) != Some(*value));
        new.map(|(name, _)| name.as_str()).filter(|name| BROKER.get(name).is_some() && !has_effect(name))
    }

    /// The value of a setting of Kafka's, set or by default.
    pub fn value(&self, name: &str) -> Value {
        self.reader().value(name)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader(&self.set)
    }
}

impl Default for BrokerSettings {
    /// As Kafka comes.
    fn default() -> BrokerSettings {
        BrokerSettings::parse(&VecMap::new()).expect("the defaults are valid")
    }
}

/// Checks one `name=value` of a command line or a scenario.
pub fn check(name: &str, text: &str) -> Result<(), ConfigError> {
    if OWN.contains(&name) {
        return Err(ConfigError(format!("{name} is decided by the broker itself and cannot be set")));
    }
    let Some(setting) = BROKER.get(name) else {
        return Err(ConfigError(format!("Unknown broker config name: {name}")));
    };
    if name == "replica.selector.class" && text != RACK_AWARE {
        return Err(ConfigError(format!("Invalid value {text} for configuration {name}: it can only be {RACK_AWARE}")));
    }
    setting.parse(text).map(drop)
}

/// Reads from settings that were checked.
pub(super) struct Reader<'a>(&'a VecMap<String, String>);

impl Reader<'_> {
    pub fn value(&self, name: &str) -> Value {
        let Some(setting) = BROKER.get(name) else {
            return Value::Null;
        };
        let set = self.0.get(name).and_then(|text| setting.parse(text).ok());
        set.unwrap_or_else(|| setting.default_value())
    }

    pub fn boolean(&self, name: &str) -> bool {
        matches!(self.value(name), Value::Boolean(true))
    }

    pub fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Integer(number) => number,
            _ => 0,
        }
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(items) => items,
            _ => Vec::new(),
        }
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Double(number) => number,
            _ => 0.0,
        }
    }

    /// Bytes of the cleaner's offset maps, for one thread.
    fn cleaner_map_bytes(&self) -> u64 {
        let threads = self.integer("log.cleaner.threads").max(1) as u64;
        self.integer("log.cleaner.dedupe.buffer.size").max(0) as u64 / threads
    }

    fn cleaner_limits(&self) -> Limits {
        let threads = self.integer("log.cleaner.threads").max(1) as u64;
        Limits {
            map_bytes: self.cleaner_map_bytes().clamp(MIN_CLEANER_MAP, i32::MAX as u64),
            load_per_million: (self.double("log.cleaner.io.buffer.load.factor") * 1e6) as u64,
            // Kafka has one for reading and one for writing.
            chunk_bytes: (self.integer("log.cleaner.io.buffer.size").max(0) as u64 / threads / 2) as u32,
        }
    }

    fn windows(&self, count: &str, seconds: &str) -> Windows {
        Windows {
            count: self.integer(count).max(1) as u32,
            length: Duration::from_secs(self.integer(seconds).max(1) as u64),
        }
    }

    /// Milliseconds; what is negative never ends.
    pub fn millis(&self, name: &str) -> Duration {
        u64::try_from(self.integer(name)).map_or(Duration::MAX, Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<BrokerSettings, ConfigError> {
        BrokerSettings::parse(&pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn names_in_the_code_are_kafkas() {
        assert!(WITH_EFFECT.is_sorted());
        assert!(WITH_EFFECT.iter().chain(OWN).all(|name| BROKER.get(name).is_some()));
    }

    #[test]
    fn defaults_are_kafkas() {
        let settings = BrokerSettings::default();
        assert_eq!(settings.num_partitions, 1);
        assert_eq!(settings.socket_request_max_bytes, 104_857_600);
        assert_eq!(settings.max_incremental_fetch_session_cache_slots, 1_000);
        assert_eq!(settings.connections_max_idle, Duration::from_secs(600));
        assert!(settings.auto_create_topics_enable && settings.delete_topic_enable);
    }

    #[test]
    fn an_unknown_name_or_a_wrong_value_is_refused() {
        let error = |pairs| parse(pairs).unwrap_err().0;
        assert_eq!(error(&[("log.segment.byte", "1")]), "Unknown broker config name: log.segment.byte");
        assert_eq!(
            error(&[("num.partitions", "0")]),
            "Invalid value 0 for configuration num.partitions: Value must be at least 1"
        );
        assert_eq!(error(&[("node.id", "7")]), "node.id is decided by the broker itself and cannot be set");
    }

    #[test]
    fn what_has_no_effect_is_accepted_and_told() {
        let settings = parse(&[("num.io.threads", "4"), ("num.partitions", "3")]).unwrap();
        assert_eq!(settings.num_partitions, 3);
        assert_eq!(settings.without_effect().collect::<Vec<_>>(), ["num.io.threads"]);
    }
}
