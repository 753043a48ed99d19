//! What there is of a topic: where its partitions lie, who leads them and who is in sync.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{json, parse, topic_name};
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};
use crate::log::checkpoint::{parse_uuid, print_uuid};
use crate::protocol::cluster::Assignment;
use crate::vec_map::VecMap;

type Replicas = VecMap<Index, Vec<BrokerId>>;

/// A partition's index as a key of JSON, in the order of numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Index(i32);

impl From<Index> for String {
    fn from(index: Index) -> String {
        index.0.to_string()
    }
}

impl TryFrom<String> for Index {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Index, Self::Error> {
        text.parse().map(Index)
    }
}

#[derive(Serialize, Deserialize)]
struct Topic {
    partitions: Replicas,
    topic_id: String,
    #[serde(default)]
    adding_replicas: Replicas,
    #[serde(default)]
    removing_replicas: Replicas,
    version: i32,
}

/// A topic's id and where its partitions lie.
pub fn topic(id: Uuid, partitions: &[Assignment]) -> Bytes {
    let some = |of: fn(&Assignment) -> &Vec<BrokerId>| -> Replicas {
        let all = (0..).map(Index).zip(partitions).map(|(index, partition)| (index, of(partition).clone()));
        all.filter(|(_, replicas)| !replicas.is_empty()).collect()
    };
    json(&Topic {
        partitions: some(|partition| &partition.replicas),
        topic_id: print_uuid(id),
        adding_replicas: some(|partition| &partition.adding),
        removing_replicas: some(|partition| &partition.removing),
        version: 3,
    })
}

/// The topic's id and its partitions, which have no state yet.
pub fn parse_topic(data: &[u8]) -> Result<(Uuid, Vec<Assignment>), String> {
    let mut topic: Topic = parse(data, "a topic's assignment")?;
    let id = parse_uuid(&topic.topic_id).ok_or_else(|| format!("{} is no topic id", topic.topic_id))?;
    if !topic.partitions.keys().copied().eq((0..topic.partitions.len() as i32).map(Index)) {
        return Err("a topic's partitions are not numbered from 0 on".to_owned());
    }
    let partitions = topic.partitions.into_iter().map(|(index, replicas)| Assignment {
        replicas,
        adding: topic.adding_replicas.remove(&index).unwrap_or_default(),
        removing: topic.removing_replicas.remove(&index).unwrap_or_default(),
        ..Assignment::default()
    });
    Ok((id, partitions.collect()))
}

#[derive(Serialize, Deserialize)]
struct State {
    controller_epoch: i32,
    leader: BrokerId,
    version: i32,
    /// Kafka's `LeaderRecoveryState`, where it is not RECOVERED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader_recovery_state: Option<u8>,
    leader_epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
}

/// Kafka's `LeaderRecoveryState.RECOVERING`.
const RECOVERING: u8 = 1;

/// Who leads a partition and who is in sync.
pub fn state(partition: &Assignment, controller_epoch: i32) -> Bytes {
    json(&State {
        controller_epoch,
        leader: partition.leader,
        version: 1,
        leader_recovery_state: partition.recovering.then_some(RECOVERING),
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
    })
}

/// Puts what a state's znode of that version says into `partition`.
pub fn parse_state(data: &[u8], version: i32, partition: &mut Assignment) -> Result<(), String> {
    let State { leader, leader_epoch, isr, leader_recovery_state, .. } = parse(data, "a partition's state")?;
    if isr.is_empty() || leader != BrokerId::NONE && !isr.contains(&leader) {
        return Err(format!("a partition's ISR {isr:?} is empty or lacks its leader {}", leader.0));
    }
    (partition.leader, partition.leader_epoch, partition.isr) = (leader, leader_epoch, isr);
    partition.partition_epoch = version;
    partition.recovering = leader_recovery_state == Some(RECOVERING);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct IsrChange {
    version: i32,
    partitions: Vec<IsrChanged>,
}

#[derive(Serialize, Deserialize)]
struct IsrChanged {
    topic: String,
    partition: i32,
}

/// That leaders have changed the ISR of these partitions.
pub fn isr_change<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> Bytes {
    let changed = |name: &TopicPartition| IsrChanged { topic: name.topic.0.to_string(), partition: name.partition };
    json(&IsrChange { version: 1, partitions: partitions.map(changed).collect() })
}

pub fn parse_isr_change(data: &[u8]) -> Result<Vec<TopicPartition>, String> {
    let IsrChange { partitions, .. } = parse(data, "a change of ISRs")?;
    Ok(partitions.into_iter().map(|one| TopicPartition::new(topic_name(&one.topic), one.partition)).collect())
}
