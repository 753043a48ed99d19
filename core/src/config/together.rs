//! What no setting's own type says: how settings must be to each other, and which names and numbers are there.
//!
//! It is looked at in Kafka's order, when a broker starts and when something is set while it runs; the first that does not
//! hold is told in Kafka's words.

use super::broker::{BrokerSettings, Reader};
use super::group::{self, Assignor, bound, of_all};
use super::setting::{ConfigError, Value, comes_with_kafka};
use super::table::TOPIC;
use super::{connections, topic};
use crate::record::Compression;

/// Bytes of the offset map of each of the cleaner's threads: at least more than these.
pub(super) const MIN_CLEANER_MAP: u64 = 1 << 20;

const OF_SHARED_RECORDS: [&str; 3] =
    ["share.delivery.count.limit", "share.partition.max.record.locks", "share.record.lock.duration.ms"];

/// Names of classes that Kafka does not check before it loads them.
const LOADED: [&str; 3] = ["authorizer.class.name", "group.share.persister.class.name", "kafka.metrics.reporters"];

/// How one number must be to another.
#[derive(Clone, Copy)]
enum Order {
    AtLeast,
    AtMost,
    Less,
}

/// What must hold of a broker that starts, and of one that runs.
pub(super) fn check(settings: &BrokerSettings) -> Result<(), ConfigError> {
    let reader = settings.reader();
    groups(&reader)?;
    logs(settings)?;
    let wait = reader.integer("replica.fetch.wait.max.ms");
    require(
        wait <= reader.integer("replica.socket.timeout.ms"),
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket \
         timeouts",
    )?;
    require(
        wait <= reader.integer("replica.lag.time.max.ms"),
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent \
         changes in ISR",
    )?;
    // There is one listener.
    let between_brokers = match reader.value("inter.broker.listener.name") {
        Value::Null => reader.value("security.inter.broker.protocol"),
        name => name,
    };
    require(
        matches!(between_brokers, Value::Text(name) if name.eq_ignore_ascii_case("PLAINTEXT")),
        "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on \
         currently configured listeners are PLAINTEXT",
    )?;
    let queued = reader.integer("queued.max.request.bytes");
    require(
        queued <= 0 || queued >= reader.integer("socket.request.max.bytes"),
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
    )?;
    connections::check(&reader)
}

/// What must hold besides where a broker starts: Kafka does not look at it when it is set later.
pub(super) fn check_at_start(settings: &BrokerSettings) -> Result<(), ConfigError> {
    let reader = settings.reader();
    let [min, max] = ["log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"];
    topic::check_lags(reader.integer(min), reader.integer(max))?;
    let flush = TOPIC.get("flush.ms").expect("Kafka has it");
    flush.check(&topic::inherited(flush.name, settings))?;
    for name in LOADED {
        let classes = match reader.value(name) {
            Value::Text(class) if !class.is_empty() => vec![class],
            Value::List(classes) => classes,
            _ => Vec::new(),
        };
        if let Some(class) = classes.iter().find(|class| !comes_with_kafka(class)) {
            return Err(ConfigError(format!("java.lang.ClassNotFoundException: {class}")));
        }
    }
    classes(&reader, "metric.reporters", comes_with_kafka).map(drop)
}

fn groups(reader: &Reader<'_>) -> Result<(), ConfigError> {
    classes(reader, group::ASSIGNORS, |name| Assignor::parse(name).is_some())?;
    codec(reader, "offsets.topic.compression.codec")?;
    let simple = ["org.apache.kafka.coordinator.group.assignor.SimpleAssignor", "simple"];
    let of_share_groups = classes(reader, group::SHARE_ASSIGNORS, |name| simple.contains(&name))?;
    for kind in ["consumer", "share", "streams"] {
        let [heartbeat, session, assignment] =
            ["heartbeat.interval", "session.timeout", "assignment.interval"].map(|what| format!("{kind}.{what}.ms"));
        bounded(reader, &heartbeat)?;
        bounded(reader, &session)?;
        compare(reader, &of_all(&heartbeat), Order::Less, &of_all(&session))?;
        if kind == "share" && of_share_groups != 1 {
            let name = group::SHARE_ASSIGNORS;
            return Err(ConfigError(format!("{name} must contain exactly one assignor, but found {of_share_groups}")));
        }
        bounded(reader, &assignment)?;
    }
    compare(reader, "group.streams.num.standby.replicas", Order::AtMost, "group.streams.max.standby.replicas")?;
    for name in OF_SHARED_RECORDS {
        compare(reader, &bound(name, "max"), Order::AtLeast, &of_all(name))?;
        compare(reader, &of_all(name), Order::AtLeast, &bound(name, "min"))?;
    }
    compare(reader, "group.share.max.share.sessions", Order::AtLeast, "group.share.max.size")?;
    codec(reader, "share.coordinator.state.topic.compression.codec")?;
    match group::speaks(reader, "classic") {
        true => Ok(()),
        false => Err(ConfigError("Disabling the 'classic' protocol is not supported.".to_owned())),
    }
}

fn logs(settings: &BrokerSettings) -> Result<(), ConfigError> {
    let inherited = |name| match topic::inherited(name, settings) {
        Value::Integer(number) => number,
        _ => 0,
    };
    require(inherited("segment.ms") >= 1, "log.roll.ms must be greater than or equal to 1")?;
    require(inherited("segment.jitter.ms") >= 0, "log.roll.jitter.ms must be greater than or equal to 0")?;
    // Whatever is negative is without limit.
    require(inherited("retention.ms") != 0, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1")?;
    let reader = settings.reader();
    let memory = reader.integer("log.cleaner.dedupe.buffer.size");
    let Some(of_a_thread) = memory.checked_div(reader.integer("log.cleaner.threads")) else {
        return Err(ConfigError("/ by zero".to_owned()));
    };
    require(
        of_a_thread > MIN_CLEANER_MAP as i64,
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    )
}

/// `consumer.session.timeout.ms` and its like are between what all groups' settings say.
fn bounded(reader: &Reader<'_>, name: &str) -> Result<(), ConfigError> {
    let [min, own, max] = [bound(name, "min"), of_all(name), bound(name, "max")];
    compare(reader, &max, Order::AtLeast, &min)?;
    compare(reader, &own, Order::AtLeast, &min)?;
    compare(reader, &own, Order::AtMost, &max)
}

fn compare(reader: &Reader<'_>, left: &str, order: Order, right: &str) -> Result<(), ConfigError> {
    let numbers = (reader.integer(left), reader.integer(right));
    let (holds, words) = match order {
        Order::AtLeast => (numbers.0 >= numbers.1, "greater than or equal to"),
        Order::AtMost => (numbers.0 <= numbers.1, "less than or equal to"),
        Order::Less => (numbers.0 < numbers.1, "less than"),
    };
    if holds { Ok(()) } else { Err(ConfigError(format!("{left} must be {words} {right}"))) }
}

fn codec(reader: &Reader<'_>, name: &str) -> Result<(), ConfigError> {
    let id = reader.integer(name);
    match i16::try_from(id).ok().and_then(Compression::from_id) {
        Some(_) => Ok(()),
        None => Err(ConfigError(format!("Unknown compression type id: {id}"))),
    }
}

/// How many there are; fails where one of them is not there.
fn classes(reader: &Reader<'_>, name: &str, is_known: impl Fn(&str) -> bool) -> Result<usize, ConfigError> {
    let names = reader.list(name);
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(names.len()),
        Some(name) => Err(ConfigError(format!("Class {name} cannot be found"))),
    }
}

/// As Scala says it.
pub(super) fn require(holds: bool, why: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError(format!("requirement failed: {why}"))) }
}
