//! RoundRobinAssignor: all partitions of all topics in turn, a member that does not read a topic being passed over.

use super::{Assignments, Member, Topics, sorted};
use crate::id::TopicPartition;
use crate::vec_set::VecSet;

pub fn assign(topics: &Topics, members: &[&Member]) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let members = sorted(members);
    let subscribed: VecSet<_> = members.iter().flat_map(|member| &member.topics).collect();
    let mut turn = 0;
    for topic in subscribed {
        let count = topics.get(topic).map_or(0, Vec::len);
        for partition in 0..count as i32 {
            while !members[turn].topics.contains(topic) {
                turn = (turn + 1) % members.len();
            }
            let assigned = assignments.entry(members[turn].id.clone()).or_default();
            assigned.push(TopicPartition::new(topic.clone(), partition));
            turn = (turn + 1) % members.len();
        }
    }
    assignments
}
