//! Kafka's small text files: offset checkpoints, `partition.metadata`, `meta.properties`.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::id::{Offset, TopicPartition};

/// The names in the data directory.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
pub const LOG_START: &str = "log-start-offset-checkpoint";
pub const REPLICATION: &str = "replication-offset-checkpoint";
pub const META: &str = "meta.properties";
/// The names in a log's directory.
pub const PARTITION_METADATA: &str = "partition.metadata";
pub const LEADER_EPOCH: &str = "leader-epoch-checkpoint";

/// Why a file could not be read: the line (from 1) and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Reads one of the three offset checkpoints.
pub fn parse_offsets(_text: &[u8]) -> Result<BTreeMap<TopicPartition, Offset>, Malformed> {
    todo!()
}

pub fn print_offsets<'a>(_offsets: impl ExactSizeIterator<Item = (&'a TopicPartition, Offset)>) -> String {
    todo!()
}

/// The topic id in a `partition.metadata`.
pub fn parse_partition_metadata(_text: &[u8]) -> Result<Uuid, Malformed> {
    todo!()
}

pub fn print_partition_metadata(_topic_id: Uuid) -> String {
    todo!()
}

/// Whose data directory it is: `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Option<Uuid>,
}

pub fn parse_meta(_text: &[u8]) -> Result<MetaProperties, Malformed> {
    todo!()
}

pub fn print_meta(_meta: &MetaProperties) -> String {
    todo!()
}

/// A UUID in Kafka's words: base64, URL-safe, without padding.
pub fn print_uuid(_id: Uuid) -> String {
    todo!()
}

pub fn parse_uuid(_text: &str) -> Option<Uuid> {
    todo!()
}
