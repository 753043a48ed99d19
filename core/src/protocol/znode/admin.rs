//! What Kafka's tools wrote here before there were requests for it, and what its controller still takes from here: partitions
//! that their preferred replicas are to lead, and partitions that are to lie elsewhere.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{json, parse, topic_name};
use crate::id::{BrokerId, TopicPartition};

#[derive(Serialize, Deserialize)]
struct Partitions<T> {
    version: i32,
    partitions: Vec<T>,
}

#[derive(Serialize, Deserialize)]
struct Elected {
    topic: String,
    partition: i32,
}

#[derive(Serialize, Deserialize)]
struct Moved {
    topic: String,
    partition: i32,
    replicas: Vec<BrokerId>,
}

/// The partitions that their preferred replicas are to lead.
pub fn parse_preferred_election(data: &[u8]) -> Result<Vec<TopicPartition>, String> {
    let Partitions { partitions, .. } = parse::<Partitions<Elected>>(data, "a preferred replica election")?;
    Ok(partitions.into_iter().map(|one| TopicPartition::new(topic_name(&one.topic), one.partition)).collect())
}

/// The partitions that are to lie elsewhere, and where.
pub fn parse_reassignments(data: &[u8]) -> Result<Vec<(TopicPartition, Vec<BrokerId>)>, String> {
    let Partitions { partitions, .. } = parse::<Partitions<Moved>>(data, "a reassignment")?;
    let name = |one: &Moved| TopicPartition::new(topic_name(&one.topic), one.partition);
    Ok(partitions.into_iter().map(|one| (name(&one), one.replicas)).collect())
}

/// Those that are still under way.
pub fn reassignments<'a>(moves: impl Iterator<Item = &'a (TopicPartition, Vec<BrokerId>)>) -> Bytes {
    let moved = |(name, replicas): &(TopicPartition, Vec<BrokerId>)| Moved {
        topic: name.topic.0.to_string(),
        partition: name.partition,
        replicas: replicas.clone(),
    };
    json(&Partitions { version: 1, partitions: moves.map(moved).collect() })
}
