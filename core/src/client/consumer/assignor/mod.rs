//! Assignors: how the leader of a classic group shares the partitions out, decided exactly as Kafka's classes decide.
//!
//! | `partition.assignment.strategy` | | |
//! | --- | --- | --- |
//! | RangeAssignor | of each topic the first partitions to the first member … | `range.rs` |
//! | RoundRobinAssignor | all partitions of all topics in turn | `round_robin.rs` |
//! | StickyAssignor | as even as can be, moving as little as can be | `sticky/` |
//! | CooperativeStickyAssignor | the same, and what moves is first let go of by its owner | `cooperative_sticky.rs` |
//!
//! Where Kafka's decision hangs on the order of a Java hash map, so does this one: `java.rs`.

mod cooperative_sticky;
mod java;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::id::TopicPartition;
use crate::near::hint;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// An entry of `partition.assignment.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Range,
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

/// A member, as its subscription tells of it.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub topics: Vec<TopicName>,
    pub rack: Option<StrBytes>,
    pub owned: Vec<TopicPartition>,
    /// In which generation it had those; `None` where it is too old to say.
    pub generation: Option<i32>,
    pub user_data: Option<Bytes>,
}

/// The racks of every partition's replicas, by topic. A topic without partitions is not there.
pub type Topics = VecMap<TopicName, Vec<VecSet<StrBytes>>>;

/// By member.
pub type Assignments = VecMap<StrBytes, Vec<TopicPartition>>;

impl Strategy {
    const ALL: [Strategy; 4] = [Strategy::Range, Strategy::RoundRobin, Strategy::Sticky, Strategy::CooperativeSticky];

    /// By its class's name, with or without the package.
    pub fn of(class: &str) -> Result<Strategy, String> {
        let short = class.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(class);
        let known = Strategy::ALL.map(Strategy::class);
        Strategy::ALL.into_iter().find(|one| one.class() == short).ok_or_else(|| {
            format!(
                "expected partition.assignment.strategy to be of {}, found {class}.{}",
                known.join(", "),
                hint(short, known)
            )
        })
    }

    pub fn class(self) -> &'static str {
        match self {
            Strategy::Range => "RangeAssignor",
            Strategy::RoundRobin => "RoundRobinAssignor",
            Strategy::Sticky => "StickyAssignor",
            Strategy::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }

    /// As the group's members and the coordinator call it.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Range => "range",
            Strategy::RoundRobin => "roundrobin",
            Strategy::Sticky => "sticky",
            Strategy::CooperativeSticky => "cooperative-sticky",
        }
    }

    pub fn named(name: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether members keep what they own while they rebalance.
    pub fn is_cooperative(self) -> bool {
        self == Strategy::CooperativeSticky
    }

    /// What a member lets the leader know beside its subscription. `last` is the last generation that it was assigned
    /// partitions in, and these.
    pub fn user_data(self, last: Option<(i32, &[TopicPartition])>) -> Option<Bytes> {
        match self {
            Strategy::Range | Strategy::RoundRobin => None,
            Strategy::Sticky => last.map(|(generation, partitions)| sticky::user_data(generation, partitions)),
            Strategy::CooperativeSticky => {
                let generation = last.map_or(sticky::NO_GENERATION, |(generation, _)| generation);
                Some(Bytes::copy_from_slice(&generation.to_be_bytes()))
            }
        }
    }

    /// Shares the partitions out. `max_generation` is the highest that this leader has heard of from members.
    pub fn assign(self, topics: &Topics, members: &[Member], max_generation: &mut i32) -> Assignments {
        // As Kafka's leader does, which keeps them in a hash map.
        let members = java::in_order(members, |member| &member.id);
        let mut assignments = match self {
            Strategy::Range => range::assign(topics, &members),
            Strategy::RoundRobin => round_robin::assign(topics, &members),
            Strategy::Sticky => sticky::assign(topics, &members, sticky::member_data, max_generation).0,
            Strategy::CooperativeSticky => cooperative_sticky::assign(topics, &members, max_generation),
        };
        assignments.values_mut().for_each(|partitions| partitions.sort());
        assignments
    }
}

/// Static members by their own names, then the others by the names that the coordinator gave them.
fn sorted<'a>(members: &[&'a Member]) -> Vec<&'a Member> {
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|member| match &member.instance_id {
        Some(instance) => (false, instance.clone()),
        None => (true, member.id.clone()),
    });
    sorted
}

/// Whether racks can make a difference: some member is where some replica is, and not every partition is everywhere.
fn racks_matter(members: &VecSet<StrBytes>, partitions: &[&VecSet<StrBytes>]) -> bool {
    let all: VecSet<StrBytes> = partitions.iter().flat_map(|racks| racks.iter().cloned()).collect();
    !members.is_disjoint(&all) && !partitions.iter().all(|racks| **racks == all)
}

/// A member's rack, if it has said one.
fn rack(member: &Member) -> Option<&StrBytes> {
    member.rack.as_ref().filter(|rack| !rack.is_empty())
}
