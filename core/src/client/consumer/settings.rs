//! A consumer's settings: Kafka's names, Kafka 4's defaults.

use kafka_protocol::protocol::StrBytes;
use regex_lite::Regex;

use super::assignor::Strategy;
use crate::client::connection;
use crate::client::serdes::{self, Part, Serde};
use crate::client::setting::{self, Reader, Setting, Valid};
use crate::time::Duration;
use crate::vec_map::VecMap;

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;

const STRATEGY: &str = "partition.assignment.strategy";
const SESSION_TIMEOUT: &str = "session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "heartbeat.interval.ms";
const AUTO_COMMIT: &str = "enable.auto.commit";

/// Every setting of a consumer.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "key.deserializer",
        default: "ByteArrayDeserializer",
        valid: Valid::Class(serdes::PACKAGE, serdes::DESERIALIZERS),
        doc: "What makes keys of bytes. Kafka has no default; without one the application takes the bytes.",
    },
    Setting {
        name: "value.deserializer",
        default: "ByteArrayDeserializer",
        valid: Valid::Class(serdes::PACKAGE, serdes::DESERIALIZERS),
        doc: "What makes values of bytes. Kafka has no default; without one the application takes the bytes.",
    },
    Setting {
        name: "default.list.key.serde.inner",
        default: "",
        valid: Valid::Class(serdes::PACKAGE, serdes::ENTRIES),
        doc: "What the entries of a ListDeserializer of keys are of.",
    },
    Setting {
        name: "default.list.value.serde.inner",
        default: "",
        valid: Valid::Class(serdes::PACKAGE, serdes::ENTRIES),
        doc: "What the entries of a ListDeserializer of values are of.",
    },
    Setting {
        name: "default.list.key.serde.type",
        default: "",
        valid: Valid::Class("java.util", &["ArrayList", "LinkedList"]),
        doc: "What list a ListDeserializer of keys makes. Here they all are the same.",
    },
    Setting {
        name: "default.list.value.serde.type",
        default: "",
        valid: Valid::Class("java.util", &["ArrayList", "LinkedList"]),
        doc: "What list a ListDeserializer of values makes. Here they all are the same.",
    },
    Setting {
        name: "auto.offset.reset",
        default: "latest",
        valid: Valid::Text,
        doc: "Where to begin without a position, or with one that the broker no longer has: earliest, latest, none, or \
              by_duration:PT1H, an hour ago.",
    },
    Setting {
        name: "fetch.min.bytes",
        default: "1",
        valid: Valid::Number(0, INT),
        doc: "Bytes that a broker waits for before it answers a fetch.",
    },
    Setting {
        name: "fetch.max.wait.ms",
        default: "500",
        valid: Valid::Number(0, INT),
        doc: "How long it waits for them.",
    },
    Setting {
        name: "fetch.max.bytes",
        default: "52428800",
        valid: Valid::Number(0, INT),
        doc: "Bytes of a fetch's response. A first batch that is larger is given all the same.",
    },
    Setting {
        name: "max.partition.fetch.bytes",
        default: "1048576",
        valid: Valid::Number(0, INT),
        doc: "Bytes of one partition in a fetch's response. A first batch that is larger is given all the same.",
    },
    Setting {
        name: "max.poll.records",
        default: "500",
        valid: Valid::Number(1, INT),
        doc: "Records that one poll() gives.",
    },
    Setting {
        name: "rate",
        default: "",
        valid: Valid::Rate,
        doc: "How many records a second the application works off; not set: as they come. A word of scenarios.",
    },
    Setting {
        name: "isolation.level",
        default: "read_uncommitted",
        valid: Valid::Of(&["read_uncommitted", "read_committed"]),
        doc: "Whether records of transactions that are open or aborted are given.",
    },
    Setting { name: "check.crcs", default: "true", valid: Valid::Bool, doc: "Check the CRC of every batch." },
    Setting {
        name: "request.timeout.ms",
        default: "30000",
        valid: Valid::Number(0, INT),
        doc: "How long a request waits for its response.",
    },
    Setting {
        name: "retry.backoff.ms",
        default: "100",
        valid: Valid::Number(0, LONG),
        doc: "How long to wait before the first retry; each further one waits twice as long.",
    },
    Setting {
        name: "retry.backoff.max.ms",
        default: "1000",
        valid: Valid::Number(0, LONG),
        doc: "The longest wait before a retry.",
    },
    Setting {
        name: "allow.auto.create.topics",
        default: "true",
        valid: Valid::Bool,
        doc: "Whether asking for a topic may create it.",
    },
    Setting { name: "client.id", default: "", valid: Valid::Text, doc: "What the consumer calls itself to brokers." },
    Setting { name: "client.rack", default: "", valid: Valid::Text, doc: "The rack that the consumer is in." },
    connection::METADATA_MAX_AGE,
    connection::RECONNECT_BACKOFF,
    connection::RECONNECT_BACKOFF_MAX,
    connection::SETUP_TIMEOUT,
    connection::SETUP_TIMEOUT_MAX,
    Setting {
        name: "group.id",
        default: "",
        valid: Valid::Text,
        doc: "The group whose members share the partitions. Without one a consumer reads all partitions of its topics.",
    },
    Setting {
        name: "group.instance.id",
        default: "",
        valid: Valid::Text,
        doc: "A member's own name, by which it is known again when it returns: static membership.",
    },
    Setting {
        name: "group.protocol",
        default: "classic",
        valid: Valid::OfIgnoringCase(&["classic", "consumer"]),
        doc: "Whether members assign (classic) or the coordinator does (consumer, KIP-848).",
    },
    Setting {
        name: "group.remote.assignor",
        default: "",
        valid: Valid::Text,
        doc: "Of the consumer protocol: how the coordinator assigns, uniform or range; not set: as the group does.",
    },
    Setting {
        name: STRATEGY,
        default: "RangeAssignor,CooperativeStickyAssignor",
        valid: Valid::Text,
        doc: "Of the classic protocol: how the group's leader assigns, by Kafka's class names, the preferred one first.",
    },
    Setting {
        name: SESSION_TIMEOUT,
        default: "45000",
        valid: Valid::Number(0, INT),
        doc: "Of the classic protocol: a member that is not heard of for so long is dead.",
    },
    Setting {
        name: HEARTBEAT_INTERVAL,
        default: "3000",
        valid: Valid::Number(0, INT),
        doc: "Of the classic protocol: how often a member is heard of.",
    },
    Setting {
        name: "max.poll.interval.ms",
        default: "300000",
        valid: Valid::Number(1, INT),
        doc: "How long the application may take from one poll() to the next before it has to leave the group.",
    },
    Setting {
        name: AUTO_COMMIT,
        default: "true",
        valid: Valid::Bool,
        doc: "Whether poll() commits now and then what earlier ones gave.",
    },
    Setting { name: "auto.commit.interval.ms", default: "5000", valid: Valid::Number(0, INT), doc: "How often." },
    Setting {
        name: "commit",
        default: "",
        valid: Valid::Of(&["", "sync", "async", "transaction"]),
        doc: "What the application calls when it has worked off what a poll() gave: commitSync(), which waits, or \
              commitAsync(), or sendOffsetsToTransaction() of the producer that reads it. A word of scenarios.",
    },
    Setting {
        name: "pattern",
        default: "",
        valid: Valid::Text,
        doc: "A regular expression: the consumer subscribes to all topics whose names match. A word of scenarios.",
    },
];

/// Whether `name=value` may be set.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    setting::check("consumer", TABLE, name, value)
}

/// The settings, read.
#[derive(Clone, Debug)]
pub struct Settings {
    pub key_deserializer: Serde,
    pub value_deserializer: Serde,
    pub reset: Reset,
    pub min_bytes: i32,
    pub max_wait: Duration,
    pub max_bytes: i32,
    pub max_partition_bytes: i32,
    pub max_poll_records: usize,
    /// Thousandths of a record a second; `None`: without limit.
    pub rate_milli: Option<u64>,
    /// 0 read_uncommitted, 1 read_committed.
    pub isolation_level: i8,
    pub check_crcs: bool,
    pub auto_create: bool,
    pub rack: String,
    pub group: Option<GroupSettings>,
    pub pattern: Option<Regex>,
    pub connection: connection::Settings,
}

/// `auto.offset.reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    None,
    /// What was written so long ago, or since.
    ByDuration(Duration),
}

/// What concerns a group.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    pub id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub protocol: Protocol,
    pub max_poll_interval: Duration,
    /// `None`: it is not enabled.
    pub auto_commit: Option<Duration>,
    pub commit: Option<Manual>,
    /// A producer commits what it has read, with its transactions.
    pub transactional: bool,
}

#[derive(Clone, Debug)]
pub enum Protocol {
    Classic {
        /// The preferred one first.
        strategies: Vec<Strategy>,
        session_timeout: Duration,
        heartbeat_interval: Duration,
    },
    Consumer {
        remote_assignor: Option<StrBytes>,
    },
}

/// How the application commits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manual {
    Sync,
    Async,
}

impl Settings {
    pub fn of(set: &VecMap<String, String>) -> Result<Settings, String> {
        set.iter().try_for_each(|(name, value)| check(name, value))?;
        let read = Reader { table: TABLE, set };
        let rate_milli = setting::rate(read.text("rate"));
        if rate_milli == Some(0) {
            return Err("expected rate to be more than 0/s: stop the consumer instead".to_string());
        }
        let pattern = match read.text("pattern") {
            "" => None,
            pattern => Some(whole(pattern)?),
        };
        let serde = |part| serdes::deserializer(read, part);
        Ok(Settings {
            key_deserializer: serde(Part::Key)?,
            value_deserializer: serde(Part::Value)?,
            reset: reset(read.text("auto.offset.reset"))?,
            min_bytes: read.number("fetch.min.bytes") as i32,
            max_wait: read.millis("fetch.max.wait.ms"),
            max_bytes: read.number("fetch.max.bytes") as i32,
            max_partition_bytes: read.number("max.partition.fetch.bytes") as i32,
            max_poll_records: read.number("max.poll.records") as usize,
            rate_milli,
            isolation_level: i8::from(read.text("isolation.level") == "read_committed"),
            check_crcs: read.is("check.crcs"),
            auto_create: read.is("allow.auto.create.topics"),
            rack: read.text("client.rack").to_string(),
            group: group(read)?,
            pattern,
            connection: connection::Settings::of(read),
        })
    }
}

/// The settings of the group, if there is one. What cannot go together is refused as Kafka refuses it.
fn group(read: Reader<'_>) -> Result<Option<GroupSettings>, String> {
    let set = |name: &str| read.set.contains_key(name);
    let text = |name: &str| Some(read.text(name)).filter(|text| !text.is_empty()).map(|text| text.to_string().into());
    if read.set.get("group.id").is_some_and(|id| id.trim().is_empty()) {
        return Err("The configured group.id should not be an empty string or whitespace.".to_owned());
    }
    let Some(id) = text("group.id") else {
        if set(AUTO_COMMIT) && read.is(AUTO_COMMIT) {
            return Err(format!("{AUTO_COMMIT} cannot be set to true when default group id (null) is used."));
        }
        return match ["group.instance.id", "commit", "group.protocol"].into_iter().find(|name| set(name)) {
            Some(name) => Err(format!("{name} needs a group.id")),
            None => Ok(None),
        };
    };
    let protocol = if read.text("group.protocol").eq_ignore_ascii_case("consumer") {
        if let Some(name) = [STRATEGY, HEARTBEAT_INTERVAL, SESSION_TIMEOUT].into_iter().find(|name| set(name)) {
            return Err(format!("{name} cannot be set when group.protocol=CONSUMER"));
        }
        Protocol::Consumer { remote_assignor: text("group.remote.assignor") }
    } else {
        if set("group.remote.assignor") {
            return Err("group.remote.assignor cannot be set when group.protocol=CLASSIC".to_string());
        }
        let (session_timeout, heartbeat_interval) = (read.millis(SESSION_TIMEOUT), read.millis(HEARTBEAT_INTERVAL));
        if heartbeat_interval >= session_timeout {
            return Err("Heartbeat must be set lower than the session timeout".to_string());
        }
        let strategies: Vec<Strategy> =
            read.text(STRATEGY).split(',').map(|name| Strategy::of(name.trim())).collect::<Result<_, _>>()?;
        if let Some(twice) = strategies.iter().enumerate().find(|(at, one)| strategies[..*at].contains(one)) {
            return Err(format!("expected {STRATEGY} to name {} once", twice.1.name()));
        }
        Protocol::Classic { strategies, session_timeout, heartbeat_interval }
    };
    let transactional = read.text("commit") == "transaction";
    if transactional && read.is(AUTO_COMMIT) {
        return Err(format!("commit=transaction needs {AUTO_COMMIT}=false"));
    }
    Ok(Some(GroupSettings {
        id,
        instance_id: text("group.instance.id"),
        protocol,
        max_poll_interval: read.millis("max.poll.interval.ms"),
        auto_commit: read.is(AUTO_COMMIT).then(|| read.millis("auto.commit.interval.ms")),
        commit: match read.text("commit") {
            "sync" => Some(Manual::Sync),
            "async" => Some(Manual::Async),
            _ => None,
        },
        transactional,
    }))
}

/// A name matches as a whole.
fn whole(pattern: &str) -> Result<Regex, String> {
    let whole = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
    whole.map_err(|malformed| format!("expected pattern to be a regular expression, found {pattern}: {malformed}"))
}

fn reset(text: &str) -> Result<Reset, String> {
    match text {
        "earliest" => Ok(Reset::Earliest),
        "latest" => Ok(Reset::Latest),
        "none" => Ok(Reset::None),
        _ => match text.strip_prefix("by_duration:").and_then(iso_duration) {
            Some(ago) => Ok(Reset::ByDuration(ago)),
            None => Err(format!(
                "expected auto.offset.reset to be one of earliest, latest, none, or by_duration with a duration, such as \
                 by_duration:PT1H, found {text}"
            )),
        },
    }
}

/// ISO 8601's, as Java writes it: `P1DT2H3M4.5S`.
pub(crate) fn iso_duration(text: &str) -> Option<Duration> {
    let (days, mut rest) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, rest)) if !rest.is_empty() => (days, rest),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    let part = |digits: &str, seconds: u64| setting::decimal(digits, seconds.checked_mul(1_000)?);
    let mut millis = match days.strip_suffix('D') {
        Some(digits) if !digits.contains('.') => part(digits, 24 * 3600)?,
        None if days.is_empty() && !rest.is_empty() => 0,
        _ => return None,
    };
    for (unit, seconds) in [('H', 3600), ('M', 60), ('S', 1)] {
        if let Some((digits, after)) = rest.split_once(unit) {
            if unit != 'S' && digits.contains('.') {
                return None;
            }
            millis = millis.checked_add(part(digits, seconds)?)?;
            rest = after;
        }
    }
    rest.is_empty().then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        let set = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Settings::of(&set.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn what_cannot_go_together_is_refused_in_kafkas_words() {
        for (text, why) in [
            (
                "enable.auto.commit=true",
                "enable.auto.commit cannot be set to true when default group id (null) is used.",
            ),
            ("group.id=", "The configured group.id should not be an empty string or whitespace."),
            ("group.instance.id=a", "group.instance.id needs a group.id"),
            (
                "group.id=g group.protocol=consumer session.timeout.ms=9000",
                "session.timeout.ms cannot be set when group.protocol=CONSUMER",
            ),
            (
                "group.id=g group.remote.assignor=range",
                "group.remote.assignor cannot be set when group.protocol=CLASSIC",
            ),
            (
                "group.id=g heartbeat.interval.ms=9000 session.timeout.ms=9000",
                "Heartbeat must be set lower than the session timeout",
            ),
        ] {
            assert_eq!(of(text).unwrap_err(), why);
        }
        assert!(of("group.id=g partition.assignment.strategy=Best").unwrap_err().contains("expected"));
        assert!(of("pattern=a(").unwrap_err().contains("regular expression"));
        assert!(of("").unwrap().group.is_none());
        let group = of("group.id=g").unwrap().group.unwrap();
        assert_eq!((group.auto_commit, group.commit), (Some(Duration::from_secs(5)), None));
    }

    #[test]
    fn a_duration_is_read_as_java_reads_it() {
        for (text, millis) in [
            ("PT1H", Some(3_600_000)),
            ("P1D", Some(86_400_000)),
            ("P1DT2H3M4.5S", Some(93_784_500)),
            ("PT0.001S", Some(1)),
            ("PT", None),
            ("P", None),
            ("1H", None),
            ("PT-1H", None),
            ("PT1.5H", None),
            ("PT1H1", None),
        ] {
            assert_eq!(iso_duration(text), millis.map(Duration::from_millis), "{text}");
        }
        assert!(of("auto.offset.reset=by_duration:PT").is_err() && of("auto.offset.reset=first").is_err());
    }
}
