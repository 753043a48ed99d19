//! A producer's settings: Kafka's names, Kafka 4's defaults.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::partitioner::{Class, Table};
use crate::client::connection;
use crate::client::serdes::{self, Part, Serde};
use crate::client::setting::{self, Reader, Setting, Valid};
use crate::record::Compression;
use crate::time::Duration;
use crate::vec_map::VecMap;

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const TABLE_PARTITIONER: &str = "TablePartitioner";
/// Brokers remember as many batches of a producer.
const IN_FLIGHT_FOR_IDEMPOTENCE: usize = 5;

/// Every setting of a producer; the last eight are words of scenarios.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "key.serializer",
        default: "ByteArraySerializer",
        valid: Valid::Class(serdes::PACKAGE, serdes::SERIALIZERS),
        doc: "What makes bytes of keys. Kafka has no default; without one the application hands bytes over.",
    },
    Setting {
        name: "value.serializer",
        default: "ByteArraySerializer",
        valid: Valid::Class(serdes::PACKAGE, serdes::SERIALIZERS),
        doc: "What makes bytes of values. Kafka has no default; without one the application hands bytes over.",
    },
    Setting {
        name: "default.list.key.serde.inner",
        default: "",
        valid: Valid::Class(serdes::PACKAGE, serdes::ENTRIES),
        doc: "What the entries of a ListSerializer of keys are of.",
    },
    Setting {
        name: "default.list.value.serde.inner",
        default: "",
        valid: Valid::Class(serdes::PACKAGE, serdes::ENTRIES),
        doc: "What the entries of a ListSerializer of values are of.",
    },
    Setting {
        name: "acks",
        default: "all",
        valid: Valid::Of(&["all", "-1", "0", "1"]),
        doc: "Whose acknowledgement a record waits for: nobody's (0), the leader's (1), all in-sync replicas' (all, -1).",
    },
    Setting {
        name: "batch.size",
        default: "16384",
        valid: Valid::Number(0, INT),
        doc: "Bytes that a batch of records for one partition may have. 0: no batching.",
    },
    Setting {
        name: "linger.ms",
        default: "5",
        valid: Valid::Number(0, LONG),
        doc: "How long a batch that is not full waits for more records.",
    },
    Setting {
        name: "buffer.memory",
        default: "33554432",
        valid: Valid::Number(0, LONG),
        doc: "Bytes that may wait for sending. When they are used up, send() blocks.",
    },
    Setting {
        name: "max.block.ms",
        default: "60000",
        valid: Valid::Number(0, LONG),
        doc: "How long send() may block, for the buffer or for metadata.",
    },
    Setting {
        name: "request.timeout.ms",
        default: "30000",
        valid: Valid::Number(0, INT),
        doc: "How long a request waits for its response.",
    },
    Setting {
        name: "delivery.timeout.ms",
        default: "120000",
        valid: Valid::Number(0, INT),
        doc: "Until when, from send() on, a record is acknowledged or given up, retries included.",
    },
    Setting {
        name: "retries",
        default: "2147483647",
        valid: Valid::Number(0, INT),
        doc: "How often a batch is sent again after an error that may pass.",
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
        name: "max.in.flight.requests.per.connection",
        default: "5",
        valid: Valid::Number(1, INT),
        doc: "Requests that wait for their responses on one connection. With more than 1 and retries, batches of a \
              partition may change places.",
    },
    Setting {
        name: "compression.type",
        default: "none",
        valid: Valid::Of(&["none", "gzip", "snappy", "lz4", "zstd"]),
        doc: "The codec of whole batches.",
    },
    Setting {
        name: "max.request.size",
        default: "1048576",
        valid: Valid::Number(0, INT),
        doc: "Bytes that a request, and so a record, may have.",
    },
    Setting {
        name: "partitioner.class",
        default: "",
        valid: Valid::Class("org.apache.kafka.clients.producer", &["RoundRobinPartitioner", TABLE_PARTITIONER]),
        doc: "Who picks a record's partition. Not set: murmur2 of the key; without a key, one partition until \
              batch.size bytes are produced to it. TablePartitioner is one that an application could have written.",
    },
    Setting {
        name: "partitioner.table",
        default: "",
        valid: Valid::Text,
        doc: "Of the TablePartitioner: keys that have partitions of their own, such as VIP:0,gold:1. A word of scenarios.",
    },
    Setting {
        name: "partitioner.ignore.keys",
        default: "false",
        valid: Valid::Bool,
        doc: "Spread records with keys as if they had none.",
    },
    Setting {
        name: "partitioner.adaptive.partitioning.enable",
        default: "true",
        valid: Valid::Bool,
        doc: "Give more records without a key to partitions that are faster.",
    },
    Setting { name: "client.id", default: "", valid: Valid::Text, doc: "What the producer calls itself to brokers." },
    connection::METADATA_MAX_AGE,
    connection::METADATA_MAX_IDLE,
    connection::RECONNECT_BACKOFF,
    connection::RECONNECT_BACKOFF_MAX,
    connection::SETUP_TIMEOUT,
    connection::SETUP_TIMEOUT_MAX,
    Setting {
        name: "enable.idempotence",
        default: "true",
        valid: Valid::Bool,
        doc: "Number batches, so that brokers know what a retry sends twice. Needs acks=all, retries, and at most 5 requests \
              in flight; where one of the first two is set otherwise and this is not set, there is none.",
    },
    Setting {
        name: "transactional.id",
        default: "",
        valid: Valid::Text,
        doc: "Who the producer is, from start to start: with it records are sent in transactions.",
    },
    Setting {
        name: "transaction.timeout.ms",
        default: "60000",
        valid: Valid::Number(0, INT),
        doc: "How long a transaction may take before its coordinator aborts it.",
    },
    Setting {
        name: "rate",
        default: "0/s",
        valid: Valid::Rate,
        doc: "Records that the application sends a second, numbered: p1-0, p1-1, …",
    },
    Setting {
        name: "value.size",
        default: "0",
        valid: Valid::Number(0, 16 * 1024 * 1024),
        doc: "Bytes of a value, which is filled up with dots behind its number. 0: only the number.",
    },
    Setting {
        name: "keys",
        default: "0",
        valid: Valid::Number(0, 1_000_000),
        doc: "How many keys there are: key-0, key-1, … in turn. 0: records have no key.",
    },
    Setting {
        name: "handlers",
        default: "1",
        valid: Valid::Number(1, 1_000),
        doc: "Threads of the application that share the producer. Each works on one record at a time, and sends it.",
    },
    Setting {
        name: "handler.ms",
        default: "0",
        valid: Valid::Number(0, 3_600_000),
        doc: "How long a thread works on a record before it sends it.",
    },
    Setting {
        name: "transaction.every",
        default: "0",
        valid: Valid::Number(0, 1_000_000),
        doc: "Records of the application's transactions: it begins one, sends so many, and commits. 0: by hand.",
    },
    Setting {
        name: "transaction.aborts",
        default: "0",
        valid: Valid::Number(0, 100),
        doc: "Of a hundred of these transactions, how many the application aborts.",
    },
    Setting {
        name: "reads",
        default: "",
        valid: Valid::Text,
        doc: "A consumer of the same application, with commit=transaction: for every record that it reads this producer \
              writes one, and what one poll() gave is one transaction, the consumer's offsets included.",
    },
];

/// Whether `name=value` may be set.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    setting::check("producer", TABLE, name, value)
}

/// The settings, read.
#[derive(Clone, Debug)]
pub struct Settings {
    pub key_serializer: Serde,
    pub value_serializer: Serde,
    pub acks: i16,
    /// Bytes.
    pub batch_size: usize,
    pub linger: Duration,
    /// Bytes.
    pub buffer_memory: u64,
    pub max_block: Duration,
    pub delivery_timeout: Duration,
    pub retries: u32,
    pub max_in_flight: usize,
    pub compression: Compression,
    /// Bytes.
    pub max_request_size: usize,
    pub partitioner: Class,
    pub ignore_keys: bool,
    pub adaptive: bool,
    pub rate_milli: u64,
    /// Bytes.
    pub value_size: usize,
    pub keys: u64,
    pub handlers: usize,
    /// Of a handler with one record.
    pub handling: Duration,
    pub idempotence: bool,
    pub transactional_id: Option<StrBytes>,
    pub transaction_timeout: Duration,
    /// Records of a transaction; 0: by hand.
    pub transaction_every: u64,
    /// Of a hundred.
    pub transaction_aborts: u64,
    /// The consumer whose records it works off.
    pub reads: Option<String>,
    pub connection: connection::Settings,
}

impl Settings {
    pub fn of(set: &VecMap<String, String>) -> Result<Settings, String> {
        set.iter().try_for_each(|(name, value)| check(name, value))?;
        let read = Reader { table: TABLE, set };
        let serde = |part| serdes::serializer(read, part);
        let mut settings = Settings {
            key_serializer: serde(Part::Key)?,
            value_serializer: serde(Part::Value)?,
            acks: read.text("acks").parse().unwrap_or(-1),
            batch_size: read.number("batch.size") as usize,
            linger: read.millis("linger.ms"),
            buffer_memory: read.number("buffer.memory"),
            max_block: read.millis("max.block.ms"),
            delivery_timeout: read.millis("delivery.timeout.ms"),
            retries: read.number("retries") as u32,
            max_in_flight: read.number("max.in.flight.requests.per.connection") as usize,
            compression: match read.text("compression.type") {
                "gzip" => Compression::Gzip,
                "snappy" => Compression::Snappy,
                "lz4" => Compression::Lz4,
                "zstd" => Compression::Zstd,
                _ => Compression::None,
            },
            max_request_size: read.number("max.request.size") as usize,
            partitioner: partitioner(read)?,
            ignore_keys: read.is("partitioner.ignore.keys"),
            adaptive: read.is("partitioner.adaptive.partitioning.enable"),
            rate_milli: setting::rate(read.text("rate")).unwrap_or(0),
            value_size: read.number("value.size") as usize,
            keys: read.number("keys"),
            handlers: read.number("handlers") as usize,
            handling: read.millis("handler.ms"),
            idempotence: read.is("enable.idempotence"),
            transactional_id: set.get("transactional.id").map(|id| StrBytes::from_string(id.clone())),
            transaction_timeout: read.millis("transaction.timeout.ms"),
            transaction_every: read.number("transaction.every"),
            transaction_aborts: read.number("transaction.aborts"),
            reads: set.get("reads").filter(|reads| !reads.is_empty()).cloned(),
            connection: connection::Settings::of(read),
        };
        // Kafka's `configureDeliveryTimeout`: what was set must fit, the default gives way.
        let least = settings.linger + settings.connection.request_timeout;
        if settings.delivery_timeout < least {
            if set.contains_key("delivery.timeout.ms") {
                return Err(
                    "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms".into()
                );
            }
            settings.delivery_timeout = least;
        }
        settings.settle_idempotence(set)?;
        if settings.transaction_every > 0 && !settings.handling.is_zero() {
            return Err("handler.ms cannot be set with transaction.every: one thread makes a transaction".to_owned());
        }
        Ok(settings)
    }

    /// Kafka's `postProcessAndValidateIdempotenceConfigs`: what was set must fit, the default gives way.
    fn settle_idempotence(&mut self, set: &VecMap<String, String>) -> Result<(), String> {
        let asked = set.contains_key("enable.idempotence");
        if self.idempotence {
            let conflict = match (self.retries, self.acks) {
                (0, _) => Some("Must set retries to non-zero when using the idempotent producer."),
                (_, 0 | 1) => Some(
                    "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee \
                     idempotence.",
                ),
                _ => None,
            };
            match conflict {
                Some(conflict) if asked => return Err(conflict.to_owned()),
                // Kafka says so even where the first two turn it off.
                _ if self.max_in_flight > IN_FLIGHT_FOR_IDEMPOTENCE => {
                    return Err(format!(
                        "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most \
                         {IN_FLIGHT_FOR_IDEMPOTENCE}. Current value is {}.",
                        self.max_in_flight
                    ));
                }
                conflict => self.idempotence = conflict.is_none(),
            }
        }
        if self.transactional_id.as_ref().is_some_and(|id| id.is_empty()) {
            return Err("Invalid value  for configuration transactional.id: String must be non-empty".to_owned());
        }
        if self.transactional_id.is_some() && !self.idempotence {
            return Err("Cannot set a transactional.id without also enabling idempotence.".to_owned());
        }
        if self.transactional_id.is_none() && self.transaction_every > 0 {
            return Err("transaction.every needs a transactional.id, such as transactional.id=t1".to_owned());
        }
        if self.reads.is_some() && self.transactional_id.is_none() {
            return Err("reads needs a transactional.id, such as transactional.id=t1".to_owned());
        }
        if self.reads.is_some() && (self.rate_milli > 0 || self.transaction_every > 0) {
            return Err(
                "a producer with reads sends for what it reads alone: without rate and transaction.every".to_owned()
            );
        }
        Ok(())
    }
}

fn partitioner(read: Reader<'_>) -> Result<Class, String> {
    let (class, table) = (read.text("partitioner.class"), read.text("partitioner.table"));
    let is_table = class.ends_with(TABLE_PARTITIONER);
    match (class, table) {
        ("", "") => Ok(Class::BuiltIn),
        (_, "") if !is_table => Ok(Class::RoundRobin),
        (_, table) if is_table => {
            Ok(Class::Table(Arc::new(Table::parse(table, serdes::serializer(read, Part::Key)?)?)))
        }
        _ => Err(format!("partitioner.table needs partitioner.class={TABLE_PARTITIONER}")),
    }
}
