//! A consumer's settings: Kafka's names, Kafka 4's defaults.

use std::collections::BTreeMap;

use crate::client::connection;
use crate::client::setting::{self, Reader, Setting, Valid};
use crate::time::Duration;

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;

/// Every setting of a consumer.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "auto.offset.reset",
        default: "latest",
        valid: Valid::Of(&["earliest", "latest", "none"]),
        doc: "Where to begin without a position, or with one that the broker no longer has.",
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
        name: "group",
        default: "",
        valid: Valid::Only("", "there are no consumer groups yet: a consumer reads all partitions of its topics"),
        doc: "Kafka's group.id, in a scenario's word. Not here yet.",
    },
    Setting {
        name: "group.id",
        default: "",
        valid: Valid::Only("", "there are no consumer groups yet: a consumer reads all partitions of its topics"),
        doc: "The group whose members share the partitions. Not here yet.",
    },
];

/// Whether `name=value` may be set.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    setting::check("consumer", TABLE, name, value)
}

/// The settings, read.
#[derive(Clone, Debug)]
pub struct Settings {
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
    pub connection: connection::Settings,
}

/// `auto.offset.reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    None,
}

impl Settings {
    pub fn of(set: &BTreeMap<String, String>) -> Result<Settings, String> {
        set.iter().try_for_each(|(name, value)| check(name, value))?;
        let read = Reader { table: TABLE, set };
        let rate_milli = setting::rate(read.text("rate"));
        if rate_milli == Some(0) {
            return Err("expected rate to be more than 0/s: stop the consumer instead".to_string());
        }
        Ok(Settings {
            reset: match read.text("auto.offset.reset") {
                "earliest" => Reset::Earliest,
                "none" => Reset::None,
                _ => Reset::Latest,
            },
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
            connection: connection::Settings::of(read),
        })
    }
}
