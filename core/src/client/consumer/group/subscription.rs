//! What members of a classic group tell each other through the coordinator, which does not read it: Kafka's
//! `ConsumerProtocol`, versions 0 to 3.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::super::assignor::Member;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;

const NEWEST: i16 = 3;

/// As all members write it, in the newest version.
pub fn subscription(member: &Member) -> Bytes {
    let owned = by_topic(&member.owned).into_iter();
    let owned = owned.map(|(topic, partitions)| Owned::default().with_topic(topic).with_partitions(partitions));
    let body = ConsumerProtocolSubscription::default()
        .with_topics(member.topics.iter().map(|topic| topic.0.clone()).collect())
        .with_user_data(member.user_data.clone())
        .with_owned_partitions(owned.collect())
        .with_generation_id(member.generation.unwrap_or(-1))
        .with_rack_id(member.rack.clone());
    write(&body)
}

/// What a member subscribes to; `None` where it makes no sense.
pub fn read_subscription(id: StrBytes, instance_id: Option<StrBytes>, mut bytes: Bytes) -> Option<Member> {
    let version = version(&mut bytes)?;
    let body = ConsumerProtocolSubscription::decode(&mut bytes, version).ok()?;
    let owned = body.owned_partitions.into_iter().flat_map(|of| {
        of.partitions.into_iter().map(move |partition| TopicPartition::new(of.topic.clone(), partition))
    });
    Some(Member {
        id,
        instance_id,
        topics: body.topics.into_iter().map(TopicName).collect(),
        rack: body.rack_id,
        owned: owned.collect(),
        generation: (version >= 2).then_some(body.generation_id).filter(|generation| *generation >= 0),
        user_data: body.user_data,
    })
}

pub fn assignment(partitions: &[TopicPartition]) -> Bytes {
    let assigned = by_topic(partitions).into_iter();
    let assigned =
        assigned.map(|(topic, partitions)| Assigned::default().with_topic(topic).with_partitions(partitions));
    write(&ConsumerProtocolAssignment::default().with_assigned_partitions(assigned.collect()))
}

/// What is assigned; `None` where it makes no sense.
pub fn read_assignment(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    let version = version(&mut bytes)?;
    let body = ConsumerProtocolAssignment::decode(&mut bytes, version).ok()?;
    let partitions = body.assigned_partitions.into_iter().flat_map(|of| {
        of.partitions.into_iter().map(move |partition| TopicPartition::new(of.topic.clone(), partition))
    });
    Some(partitions.collect())
}

pub fn by_topic(partitions: &[TopicPartition]) -> VecMap<TopicName, Vec<i32>> {
    let mut by_topic: VecMap<TopicName, Vec<i32>> = VecMap::new();
    for partition in partitions {
        by_topic.entry(partition.topic.clone()).or_default().push(partition.partition);
    }
    by_topic
}

fn write(body: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(NEWEST);
    match body.encode(&mut bytes, NEWEST) {
        Ok(()) => bytes.freeze(),
        Err(_) => unreachable!("what is ours can be written in the newest version"),
    }
}

/// A newer version begins with what is known.
fn version(bytes: &mut Bytes) -> Option<i16> {
    bytes.try_get_i16().ok().filter(|version| *version >= 0).map(|version| version.min(NEWEST))
}
