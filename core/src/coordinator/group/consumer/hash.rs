//! The hash of what a consumer group reads, by which its coordinator knows that topics have changed: Kafka's, byte for
//! byte, XXH3 of 64 bits.

use kafka_protocol::messages::TopicName;
use twox_hash::XxHash3_64;

use crate::protocol::cluster::{ClusterState, Topic};

/// Of the topics of those names that there are, in their order.
pub fn group_hash<'a>(names: impl Iterator<Item = &'a str>, cluster: &ClusterState) -> i64 {
    let mut bytes = Vec::new();
    for name in names {
        let key = TopicName(kafka_protocol::protocol::StrBytes::from_string(name.to_owned()));
        if let Some(topic) = cluster.topics.get(&key) {
            bytes.extend_from_slice(&topic_hash(name, topic, cluster).to_le_bytes());
        }
    }
    if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes) as i64 }
}

fn topic_hash(name: &str, topic: &Topic, cluster: &ClusterState) -> u64 {
    let (most, least) = topic.id.as_u64_pair();
    // The hash's version.
    let mut bytes = vec![0];
    bytes.extend_from_slice(&most.to_le_bytes());
    bytes.extend_from_slice(&least.to_le_bytes());
    put_text(&mut bytes, name);
    bytes.extend_from_slice(&(topic.partitions.len() as i32).to_le_bytes());
    for (index, partition) in (0_i32..).zip(&topic.partitions) {
        bytes.extend_from_slice(&index.to_le_bytes());
        let brokers = partition.replicas.iter().filter_map(|id| cluster.brokers.get(id));
        let mut racks: Vec<&str> = brokers.filter_map(|broker| broker.rack.as_deref()).collect();
        racks.sort_unstable();
        for rack in racks {
            bytes.extend_from_slice(&(rack.encode_utf16().count() as i32).to_le_bytes());
            put_text(&mut bytes, rack);
        }
    }
    XxHash3_64::oneshot(&bytes)
}

/// As hash4j does: the 16-bit units, then how many they are.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let before = bytes.len();
    text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
    let units = (bytes.len() - before) / 2;
    bytes.extend_from_slice(&(units as i32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::cluster::Assignment;
    use kafka_protocol::protocol::StrBytes;
    use uuid::Uuid;

    #[test]
    fn a_hash_is_the_one_that_kafka_wrote() {
        let topic = Topic {
            id: Uuid::from_u128(0xc4115fc6_5bd6_432d_abd4_d515b52173dd),
            configs: Default::default(),
            partitions: vec![Assignment::default(); 3],
        };
        let name = TopicName(StrBytes::from_static_str("t3"));
        let cluster = ClusterState { topics: [(name, topic)].into(), ..ClusterState::default() };
        assert_eq!(group_hash(["t3"].into_iter(), &cluster) as u64, 0xff11_1861_31a7_735f);
        assert_eq!(group_hash(["gone", "t3"].into_iter(), &cluster) as u64, 0xff11_1861_31a7_735f);
        assert_eq!(group_hash(["gone"].into_iter(), &cluster), 0);
    }
}
