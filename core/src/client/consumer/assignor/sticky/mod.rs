//! StickyAssignor: as even as can be, and of all such assignments one that moves as little as can be.
//!
//! `constrained.rs` all members read the same topics | `general.rs` they do not, `moves.rs` what has moved there |
//! `racks.rs` who is where

mod constrained;
mod general;
mod moves;
mod racks;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::{Assignments, Member, Topics};
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use racks::Racks;

pub const NO_GENERATION: i32 = -1;

/// What a member says that it owned.
#[derive(Clone, Debug, Default)]
pub struct Owned {
    pub partitions: Vec<TopicPartition>,
    pub generation: Option<i32>,
}

/// What goes from one member to another, and to whom.
pub type Moving = VecMap<TopicPartition, StrBytes>;

/// Members and what they keep for the time being, by their place.
struct Kept<'a> {
    members: &'a [&'a Member],
    owned: Vec<Vec<TopicPartition>>,
    /// Said by several at once.
    claimed_twice: VecSet<TopicPartition>,
}

/// `members` are in the order of Java's hash map. What moves is told where it is known.
pub fn assign(
    topics: &Topics,
    members: &[&Member],
    data: impl Fn(&Member) -> Owned,
    max_generation: &mut i32,
) -> (Assignments, Option<Moving>) {
    let told: Vec<Owned> = members.iter().map(|member| data(member)).collect();
    let subscribed: VecSet<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
    let topics: VecMap<&TopicName, &[VecSet<StrBytes>]> = topics
        .iter()
        .filter(|(topic, racks)| subscribed.contains(topic) && !racks.is_empty())
        .map(|(topic, racks)| (topic, &racks[..]))
        .collect();
    let racks = Racks::new(&topics, members);
    let kept = kept(&topics, members, &told, max_generation);
    let mut read = members.iter().map(|member| member.topics.iter().collect::<VecSet<_>>());
    let first = read.find(|topics| !topics.is_empty()).unwrap_or_default();
    let same = read.all(|topics| topics == first);
    let (assigned, moving) = match same {
        true => constrained::assign(&topics, &racks, kept),
        false => (general::assign(&topics, &racks, kept, &told, *max_generation), None),
    };
    (members.iter().map(|member| member.id.clone()).zip(assigned).collect(), moving)
}

/// What each member keeps of what it says that it owned: of two, the one that had it in the later generation.
fn kept<'a>(
    topics: &VecMap<&TopicName, &[VecSet<StrBytes>]>,
    members: &'a [&'a Member],
    told: &[Owned],
    max_generation: &mut i32,
) -> Kept<'a> {
    let mut kept = Kept { members, owned: vec![Vec::new(); members.len()], claimed_twice: VecSet::new() };
    let mut owners: VecMap<TopicPartition, usize> = VecMap::new();
    for (at, one) in told.iter().enumerate() {
        let generation = one.generation.unwrap_or(NO_GENERATION);
        *max_generation = (*max_generation).max(generation);
        for partition in one.partitions.iter().filter(|partition| topics.contains_key(&partition.topic)) {
            let Some(&other) = owners.get(partition) else {
                kept.owned[at].push(partition.clone());
                owners.insert(partition.clone(), at);
                continue;
            };
            // Kafka asks the subscription here, not the user data that the sticky assignor goes by elsewhere.
            let others = members[other].generation.unwrap_or(NO_GENERATION);
            if generation < others {
                continue;
            }
            if generation == others {
                kept.claimed_twice.insert(partition.clone());
            } else {
                kept.owned[at].push(partition.clone());
            }
            remove(&mut kept.owned[other], partition);
            owners.insert(partition.clone(), at);
        }
    }
    kept
}

fn remove(partitions: &mut Vec<TopicPartition>, partition: &TopicPartition) {
    if let Some(place) = partitions.iter().position(|one| one == partition) {
        partitions.remove(place);
    }
}

/// Of `all`, what is not among `assigned`, both in the same order. What is assigned and does not exist hides what comes
/// after it, as in Kafka.
fn unassigned(all: Vec<TopicPartition>, assigned: &[TopicPartition]) -> Vec<TopicPartition> {
    let mut assigned = assigned.iter().peekable();
    let is_assigned = |partition: &TopicPartition| assigned.next_if(|next| *next == partition).is_some();
    let mut is_assigned = is_assigned;
    all.into_iter().filter(|partition| !is_assigned(partition)).collect()
}

/// What a member of the sticky assignor owned stands in its user data: it has let go of everything when it joins.
pub fn member_data(member: &Member) -> Owned {
    match member.user_data.clone().filter(|bytes| !bytes.is_empty()) {
        None => Owned::default(),
        Some(bytes) => read(bytes).unwrap_or(Owned { partitions: Vec::new(), generation: Some(NO_GENERATION) }),
    }
}

/// The assignment that a member had in a generation.
pub fn user_data(generation: i32, partitions: &[TopicPartition]) -> Bytes {
    let mut by_topic: VecMap<&TopicName, Vec<i32>> = VecMap::new();
    for partition in partitions {
        by_topic.entry(&partition.topic).or_default().push(partition.partition);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i32(by_topic.len() as i32);
    for (topic, partitions) in by_topic {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
        bytes.put_i32(partitions.len() as i32);
        partitions.into_iter().for_each(|partition| bytes.put_i32(partition));
    }
    bytes.put_i32(generation);
    bytes.freeze()
}

/// The generation is not there before version 1.
fn read(mut bytes: Bytes) -> Option<Owned> {
    let mut owned = Owned::default();
    for _ in 0..bytes.try_get_i32().ok()? {
        let len = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if len > bytes.len() {
            return None;
        }
        let topic = TopicName(StrBytes::try_from(bytes.split_to(len)).ok()?);
        for _ in 0..bytes.try_get_i32().ok()? {
            owned.partitions.push(TopicPartition::new(topic.clone(), bytes.try_get_i32().ok()?));
        }
    }
    owned.generation = bytes.try_get_i32().ok();
    Some(owned)
}
