//! A partition as one broker holds it.

use crate::id::{LogId, TopicPartition};

#[derive(Clone)]
pub struct Partition {
    pub name: TopicPartition,
    pub log: LogId,
}
