//! What consumers of the classic protocol tell each other through the coordinator, which reads and writes it itself where
//! they are members of a consumer group: subscriptions, versions 0 to 3, and assignments.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::assignment::Partitions;
use crate::coordinator::wire::{self, Fields, Malformed, Wire};
use crate::protocol::cluster::ClusterState;
use crate::vec_map::VecMap;

const NEWEST: i16 = 3;

#[derive(Clone, Debug, Default)]
pub struct Subscription {
    pub topics: Vec<Arc<str>>,
    user_data: Option<Bytes>,
    owned: Vec<TopicOf>,
    generation: i32,
    pub rack: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default)]
pub struct Assignment {
    assigned: Vec<TopicOf>,
    pub user_data: Option<Bytes>,
}

#[derive(Clone, Debug, Default)]
struct TopicOf {
    topic: Arc<str>,
    partitions: Vec<i32>,
}

impl Subscription {
    pub fn read(bytes: Bytes) -> Result<Subscription, Malformed> {
        read(bytes)
    }

    /// What it says that the consumer has, as the consumer protocol says it.
    pub fn owned(&self, cluster: &ClusterState) -> Vec<TopicPartitions> {
        let topic = |of: &TopicOf| {
            let id = id_of(&of.topic, cluster)?;
            Some(TopicPartitions::default().with_topic_id(id).with_partitions(of.partitions.clone()))
        };
        self.owned.iter().filter_map(topic).collect()
    }
}

impl Assignment {
    pub fn read(bytes: Bytes) -> Result<Assignment, Malformed> {
        read(bytes)
    }

    /// In the version of a subscription, so that whoever wrote that understands it.
    pub fn write(partitions: &Partitions, names: &VecMap<Uuid, TopicName>, subscription: &Bytes) -> Bytes {
        let topic = |(id, partitions): (&Uuid, &crate::vec_set::VecSet<i32>)| {
            let topic = names.get(id)?.as_str().into();
            Some(TopicOf { topic, partitions: partitions.iter().copied().collect() })
        };
        let assignment = Assignment { assigned: partitions.iter().filter_map(topic).collect(), user_data: None };
        let version = wire::prefix(subscription.clone()).map_or(0, |(version, _)| version).clamp(0, NEWEST);
        wire::write(version, version, &assignment)
    }

    /// By the topics' names.
    pub fn named(&self) -> impl Iterator<Item = (String, i32)> {
        self.assigned.iter().flat_map(|of| of.partitions.iter().map(|partition| (of.topic.to_string(), *partition)))
    }

    /// Of topics that there are.
    pub fn partitions(&self, cluster: &ClusterState) -> Partitions {
        let topic = |of: &TopicOf| Some((id_of(&of.topic, cluster)?, of.partitions.iter().copied().collect()));
        self.assigned.iter().filter_map(topic).collect()
    }
}

fn id_of(topic: &Arc<str>, cluster: &ClusterState) -> Option<Uuid> {
    cluster.topics.get(&TopicName(StrBytes::from_string(topic.to_string()))).map(|topic| topic.id)
}

/// A newer version begins with what is known.
fn read<T: Fields>(bytes: Bytes) -> Result<T, Malformed> {
    let (version, rest) = wire::prefix(bytes)?;
    if version < 0 {
        return Err(Malformed);
    }
    wire::read(version.min(NEWEST), rest)
}

impl Fields for Subscription {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.array(&mut self.topics, false, |topic, wire| wire.string(topic, false))?;
        nullable_bytes(&mut self.user_data, wire)?;
        if version >= 1 {
            wire.array(&mut self.owned, false, |topic, wire| topic.fields(version, wire))?;
        }
        if version >= 2 {
            wire.i32(&mut self.generation)?;
        }
        if version >= 3 {
            wire.nullable_string(&mut self.rack, false)?;
        }
        Ok(())
    }
}

impl Fields for Assignment {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.array(&mut self.assigned, false, |topic, wire| topic.fields(version, wire))?;
        nullable_bytes(&mut self.user_data, wire)
    }
}

impl Fields for TopicOf {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.topic, false)?;
        wire.array(&mut self.partitions, false, |partition, wire| wire.i32(partition))
    }
}

fn nullable_bytes(field: &mut Option<Bytes>, wire: &mut Wire) -> Result<(), Malformed> {
    let mut len = field.as_ref().map_or(-1, |bytes| bytes.len() as i32);
    wire.i32(&mut len)?;
    match wire {
        Wire::Write(bytes) => bytes.extend(field.iter().flatten()),
        Wire::Read(bytes) => {
            *field = match usize::try_from(len) {
                Ok(len) if len > bytes.len() => return Err(Malformed),
                Ok(len) => Some(Bytes::copy_from_slice(&bytes.split_to(len))),
                Err(_) => None,
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::cluster::Topic;

    #[test]
    fn what_a_subscription_says_is_read_in_every_version() {
        let id = Uuid::from_u128(7);
        let topic = Topic { id, configs: Default::default(), partitions: Vec::new() };
        let cluster = ClusterState {
            topics: [(TopicName(StrBytes::from_static_str("t")), topic)].into(),
            ..ClusterState::default()
        };
        let owned = |topic: &str, partitions| TopicOf { topic: topic.into(), partitions };
        let subscription = Subscription {
            topics: vec!["t".into(), "u".into()],
            user_data: Some(Bytes::from_static(b"mine")),
            owned: vec![owned("t", vec![0, 2]), owned("gone", vec![1])],
            generation: 4,
            rack: Some("r1".into()),
        };
        for version in 0..=3 {
            let read = Subscription::read(wire::write(version, version, &subscription)).unwrap();
            assert_eq!(read.topics, subscription.topics);
            let owned = TopicPartitions::default().with_topic_id(id).with_partitions(vec![0, 2]);
            assert_eq!(read.owned(&cluster), if version >= 1 { vec![owned] } else { Vec::new() });
            assert_eq!(read.rack.as_deref(), (version >= 3).then_some("r1"));
        }
        assert!(Subscription::read(wire::write(9, 3, &subscription)).is_ok());
        assert!(Subscription::read(Bytes::from_static(&[0, 0, 0, 0, 0, 9])).is_err());
        assert!(Subscription::read(Bytes::from_static(&[0xff, 0xff, 0, 0, 0, 0])).is_err());

        let partitions: Partitions = [(id, [0, 2].into()), (Uuid::from_u128(8), [1].into())].into();
        let names = [(id, TopicName(StrBytes::from_static_str("t")))].into();
        let written = Assignment::write(&partitions, &names, &Bytes::from_static(&[0, 1]));
        assert_eq!(written[..], [0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 255, 255, 255, 255]);
        let read = Assignment::read(written).unwrap();
        assert_eq!((read.user_data.clone(), read.partitions(&cluster)), (None, [(id, [0, 2].into())].into()));
    }
}
