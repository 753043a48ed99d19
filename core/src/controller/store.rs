//! What the controller keeps across restarts, as JSON: topics, their ids, settings and replicas. Which brokers live is
//! not kept; they register again.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, ClusterState, Topic};

const FILE: &str = super::Controller::FILE;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    version: u64,
    cluster_id: String,
    topics: BTreeMap<String, SavedTopic>,
}

#[derive(Serialize, Deserialize)]
struct SavedTopic {
    id: Uuid,
    configs: BTreeMap<String, String>,
    partitions: Vec<SavedPartition>,
}

#[derive(Serialize, Deserialize)]
struct SavedPartition {
    replicas: Vec<BrokerId>,
    isr: Vec<BrokerId>,
    leader_epoch: i32,
    #[serde(default)]
    partition_epoch: i32,
}

pub(super) fn save(state: &ClusterState) -> Bytes {
    let topics = state.topics.iter().map(|(name, topic)| {
        let partitions = topic.partitions.iter().map(|partition| SavedPartition {
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
        });
        let saved = SavedTopic { id: topic.id, configs: topic.configs.clone(), partitions: partitions.collect() };
        (name.0.to_string(), saved)
    });
    let saved = Saved {
        format: FORMAT,
        version: state.version,
        cluster_id: state.cluster_id.clone(),
        topics: topics.collect(),
    };
    serde_json::to_vec_pretty(&saved).expect("maps with string keys and numbers always serialise").into()
}

/// The state with no broker alive, so with no leaders.
pub(super) fn load(bytes: &[u8]) -> Result<ClusterState, String> {
    let saved: Saved = serde_json::from_slice(bytes).map_err(|error| format!("{FILE}: {error}"))?;
    if saved.format != FORMAT {
        return Err(format!("{FILE}: format {} is not {FORMAT}, the one that this version writes", saved.format));
    }
    let mut topics = BTreeMap::new();
    for (name, topic) in saved.topics {
        super::topic::validate_name(&name).map_err(|(_, why)| format!("{FILE}: {why}"))?;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, partition) in topic.partitions.into_iter().enumerate() {
            if partition.isr.is_empty() || !partition.isr.iter().all(|id| partition.replicas.contains(id)) {
                return Err(format!("{FILE}: the ISR of {name}-{index} is empty or not among its replicas"));
            }
            partitions.push(Assignment {
                replicas: partition.replicas,
                isr: partition.isr,
                leader: BrokerId::NONE,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
            });
        }
        let topic = Topic { id: topic.id, configs: topic.configs, partitions };
        topics.insert(TopicName(StrBytes::from_string(name)), topic);
    }
    Ok(ClusterState {
        version: saved.version,
        cluster_id: saved.cluster_id,
        controller: BrokerId::NONE,
        brokers: BTreeMap::new(),
        topics,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cluster, open, topic};
    use super::super::topic::tests::request;
    use super::*;

    #[test]
    fn topics_survive_a_restart_and_their_ids_are_not_drawn_again() {
        let mut before = cluster(1);
        before.create_topics(&request("orders", 2, 1), 7);
        let mut after = open(Some(&before.contents())).unwrap();
        assert!(after.state().version > before.state().version);
        assert_eq!(after.state().topics[&topic("orders")].id, before.state().topics[&topic("orders")].id);
        assert!(after.state().topics[&topic("orders")].partitions.iter().all(|partition| partition.leader_epoch == 1));
        after.create_topics(&request("more", 1, 1), 7);
        assert_ne!(after.state().topics[&topic("more")].id, after.state().topics[&topic("orders")].id);
    }

    #[test]
    fn a_damaged_file_is_refused_by_name() {
        for text in ["{", "{}", r#"{"format":9,"version":1,"cluster_id":"x","topics":{}}"#] {
            let refused = open(Some(&Bytes::from(text))).err().unwrap();
            assert!(refused.starts_with(FILE), "{refused}");
        }
    }
}
