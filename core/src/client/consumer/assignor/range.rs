//! RangeAssignor: of each topic the first partitions to the first member, the next ones to the next, so that partitions of
//! the same number go together where topics have as many and the same readers.
//!
//! Where racks matter, members first get what has a replica where they are, within the same numbers (KIP-881).

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::{Assignments, Member, Topics, rack, racks_matter, sorted};
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// How far one topic is assigned.
struct State<'a> {
    topic: &'a TopicName,
    racks: &'a [VecSet<StrBytes>],
    /// In order, with how many partitions each has.
    members: Vec<(&'a Member, usize)>,
    unassigned: Vec<i32>,
    each: usize,
    /// How many members can still have one more than `each`.
    extra: usize,
    /// Members' and replicas' racks make a difference.
    rack_aware: bool,
}

pub fn assign(topics: &Topics, members: &[&Member]) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let subscribed: VecSet<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
    let known = topics.iter().filter(|(topic, racks)| subscribed.contains(topic) && !racks.is_empty());
    let mut states: Vec<State<'_>> = known.map(|(topic, racks)| State::new(topic, racks, members)).collect();
    if states.iter().any(|state| state.rack_aware) {
        with_racks(&mut states, &mut assignments);
    }
    for state in &mut states {
        state.ranges(false, &mut assignments);
    }
    assignments
}

fn with_racks(states: &mut [State<'_>], assignments: &mut Assignments) {
    let mut together: VecMap<(Vec<StrBytes>, usize), Vec<usize>> = VecMap::new();
    for (at, state) in states.iter().enumerate() {
        let members = state.members.iter().map(|(member, _)| member.id.clone()).collect();
        // Without a member in a rack nothing is known of where partitions are.
        let known = state.members.iter().any(|(member, _)| rack(member).is_some());
        let count = if known { state.racks.len() } else { 0 };
        together.entry((members, count)).or_default().push(at);
    }
    for ((_, count), group) in together {
        match group[..] {
            [one] if states[one].rack_aware => states[one].ranges(true, assignments),
            [_] => {}
            _ => co_partitioned(states, &group, count, assignments),
        }
    }
}

/// Partitions of the same number of topics that have as many, to a member that is where all of them are.
fn co_partitioned(states: &mut [State<'_>], group: &[usize], count: usize, assignments: &mut Assignments) {
    let mut remaining: Vec<usize> = (0..states[group[0]].members.len()).collect();
    for partition in 0..count as i32 {
        let fits = |member: usize| {
            let fits = |at: &usize| states[*at].matches(member, partition) && states[*at].room(member) > 0;
            group.iter().all(fits)
        };
        let Some(place) = remaining.iter().position(|member| fits(*member)) else { continue };
        let member = remaining[place];
        for at in group {
            states[*at].assign(member, &[partition], assignments);
        }
        if group.iter().all(|at| states[*at].room(member) == 0) {
            remaining.remove(place);
        }
    }
}

impl<'a> State<'a> {
    fn new(topic: &'a TopicName, racks: &'a [VecSet<StrBytes>], members: &[&'a Member]) -> State<'a> {
        let members: Vec<&Member> = members.iter().copied().filter(|member| member.topics.contains(topic)).collect();
        let members = sorted(&members);
        let theirs = members.iter().filter_map(|member| rack(member).cloned()).collect();
        let count = members.len().max(1);
        State {
            topic,
            racks,
            unassigned: (0..racks.len() as i32).collect(),
            each: racks.len() / count,
            extra: racks.len() % count,
            rack_aware: racks_matter(&theirs, &racks.iter().collect::<Vec<_>>()),
            members: members.into_iter().map(|member| (member, 0)).collect(),
        }
    }

    fn ranges(&mut self, by_rack: bool, assignments: &mut Assignments) {
        for member in 0..self.members.len() {
            let fits = |partition: &&i32| !by_rack || self.matches(member, **partition);
            let range: Vec<i32> = self.unassigned.iter().filter(fits).take(self.room(member)).copied().collect();
            if !range.is_empty() {
                self.assign(member, &range, assignments);
            }
        }
    }

    fn matches(&self, member: usize, partition: i32) -> bool {
        rack(self.members[member].0).is_none_or(|rack| self.racks[partition as usize].contains(rack))
    }

    /// How many more the member can have.
    fn room(&self, member: usize) -> usize {
        (self.each + usize::from(self.extra > 0)).saturating_sub(self.members[member].1)
    }

    fn assign(&mut self, member: usize, partitions: &[i32], assignments: &mut Assignments) {
        let (one, count) = &mut self.members[member];
        *count += partitions.len();
        // Kafka counts down below zero; there is no room then either way.
        self.extra = self.extra.saturating_sub(usize::from(*count > self.each));
        let assigned = assignments.entry(one.id.clone()).or_default();
        assigned.extend(partitions.iter().map(|partition| TopicPartition::new(self.topic.clone(), *partition)));
        self.unassigned.retain(|partition| !partitions.contains(partition));
    }
}
