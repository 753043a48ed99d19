//! A broker as a page sees it: the same for the simulator and for a live server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Broker;
use crate::protocol::cluster::ClusterState;
use crate::sim::view::{BrokerView, ReplicaView, TopicView};

impl Broker {
    /// What the controller last told this broker.
    pub fn cluster_state(&self) -> &ClusterState {
        &self.cluster
    }

    /// Requests that wait in the purgatory.
    pub fn parked(&self) -> u32 {
        0
    }

    /// The replicas that this broker hosts, by topic and partition.
    pub fn replicas(&self) -> Vec<ReplicaView> {
        let mut replicas = Vec::new();
        for (name, topic) in &self.cluster.topics {
            for (index, assignment) in (0..).zip(&topic.partitions) {
                if self.partition(name, index).is_some() {
                    replicas.push(ReplicaView {
                        topic: name.0.to_string(),
                        partition: index,
                        leader: assignment.leader == self.id(),
                        in_sync: assignment.isr.contains(&self.id()),
                        leader_epoch: assignment.leader_epoch,
                        ..ReplicaView::default()
                    });
                }
            }
        }
        replicas
    }
}

/// The topics of a cluster; where their partitions end is in the brokers' replicas.
pub fn topics(state: &ClusterState, brokers: &[BrokerView]) -> Vec<TopicView> {
    let mut topics: Vec<TopicView> = (state.topics.iter())
        .map(|(name, topic)| TopicView {
            name: name.0.to_string(),
            id: URL_SAFE_NO_PAD.encode(topic.id.as_bytes()),
            partitions: topic.partitions.len() as u32,
            replication_factor: topic.partitions.first().map_or(0, |first| first.replicas.len() as u32),
            configs: topic.configs.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            ends: vec![0; topic.partitions.len()],
            leaders: topic.partitions.iter().map(|partition| partition.leader.0).collect(),
        })
        .collect();
    for replica in brokers.iter().flat_map(|broker| &broker.replicas) {
        let topic = topics.binary_search_by(|topic| topic.name.as_str().cmp(&replica.topic));
        let end = topic.ok().and_then(|place| topics[place].ends.get_mut(replica.partition as usize));
        if let Some(end) = end {
            *end = replica.end.max(*end);
        }
    }
    topics
}
