//! `simple`, Kafka's assignor for share groups: everybody has something, partitions are shared where members are more than
//! partitions, and who has something keeps it as far as that is fair.
//!
//! 1. A partition has ⌈members ÷ partitions⌉ members, and a member as many partitions as follow from that.
//! 2. Where all members want the same, that counts over all partitions; otherwise for each topic by itself.
//!
//! Where Kafka goes through members and partitions in the order of a hash map, here they are in the order of their ids.

use std::sync::Arc;

use uuid::Uuid;

use super::super::consumer::assignment::Partitions;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

pub const NAME: &str = "simple";

/// A group as the assignor sees it.
pub struct Spec {
    /// In the order of their ids.
    pub members: Vec<MemberSpec>,
    /// The partitions that may be assigned, of the topics that anybody wants.
    pub partitions: VecMap<Uuid, VecSet<i32>>,
    /// Every member wants the same topics.
    pub homogeneous: bool,
}

pub struct MemberSpec {
    pub id: Arc<str>,
    /// The topics that it wants and that there are.
    pub topics: VecSet<Uuid>,
    /// What it should have until now.
    pub target: Arc<Partitions>,
}

type Held = VecSet<(Uuid, i32)>;

/// What each of the members should have.
pub fn assign(group: &Spec) -> Vec<Partitions> {
    let mut targets = vec![Partitions::new(); group.members.len()];
    let mut give = |topics: &VecSet<Uuid>| {
        let wants = |member: &&MemberSpec| topics.iter().any(|topic| member.topics.contains(topic));
        let places: Vec<usize> =
            (0..).zip(&group.members).filter(|(_, member)| wants(member)).map(|(place, _)| place).collect();
        let held = places.iter().map(|&place| {
            let target = group.members[place].target.iter().filter(|(topic, _)| topics.contains(*topic));
            target.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition))).collect()
        });
        let known = group.partitions.iter().filter(|(topic, _)| topics.contains(*topic));
        let partitions: Held =
            known.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition))).collect();
        for (place, held) in places.iter().zip(share(&partitions, held.collect())) {
            for (topic, partition) in &held {
                targets[*place].entry(*topic).or_default().insert(*partition);
            }
        }
    };
    let all: VecSet<Uuid> = group.members.iter().flat_map(|member| &member.topics).copied().collect();
    if group.homogeneous {
        give(&all);
    } else {
        all.iter().for_each(|topic| give(&[*topic].into()));
    }
    targets
}

/// Shares partitions among members that all want them; `held` is what they have, and then what they should have.
fn share(partitions: &Held, mut held: Vec<Held>) -> Vec<Held> {
    let members = held.len();
    if members == 0 {
        return held;
    }
    // (1)
    let sharing = if partitions.is_empty() { 0 } else { members.div_ceil(partitions.len()) };
    let total = sharing * partitions.len();
    let desired = |member: usize| (total * (member + 1)).div_ceil(members) - (total * member).div_ceil(members);
    let mut holders: VecMap<(Uuid, i32), VecSet<usize>> = partitions.iter().map(|key| (*key, VecSet::new())).collect();
    for (member, held) in held.iter_mut().enumerate() {
        held.retain(|key| partitions.contains(key));
        while held.len() > desired(member) {
            held.pop_first();
        }
        for key in held.iter() {
            holders.entry(*key).or_default().insert(member);
        }
    }
    for (key, holders) in holders.iter_mut() {
        while holders.len() > sharing {
            let Some(member) = holders.pop_first() else { break };
            held[member].remove(key);
        }
    }
    let mut unfilled: Vec<usize> = (0..members).filter(|&member| held[member].len() < desired(member)).collect();
    let mut at = 0;
    for (key, holders) in holders.iter_mut() {
        // Once around without having given it to anybody: whoever is left has it.
        let mut refused = 0;
        while holders.len() < sharing && refused < unfilled.len() {
            at %= unfilled.len();
            let member = unfilled[at];
            if !holders.insert(member) {
                (at, refused) = (at + 1, refused + 1);
                continue;
            }
            refused = 0;
            held[member].insert(*key);
            if held[member].len() >= desired(member) {
                unfilled.remove(at);
            } else {
                at += 1;
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn spec(topics: &[(Uuid, i32)], members: &[(&str, &[Uuid])]) -> Spec {
        let member = |(id, topics): &(&str, &[Uuid])| MemberSpec {
            id: (*id).into(),
            topics: topics.iter().copied().collect(),
            target: Arc::default(),
        };
        Spec {
            members: members.iter().map(member).collect(),
            partitions: topics.iter().map(|(id, count)| (*id, (0..*count).collect())).collect(),
            homogeneous: members.windows(2).all(|pair| pair[0].1 == pair[1].1),
        }
    }

    fn hold(group: &mut Spec, targets: Vec<Partitions>) {
        for (member, target) in group.members.iter_mut().zip(targets) {
            member.target = Arc::new(target);
        }
    }

    fn sizes(targets: &[Partitions]) -> Vec<usize> {
        targets.iter().map(|target| target.values().map(VecSet::len).sum()).collect()
    }

    /// How many members have each partition of a topic.
    fn sharing(targets: &[Partitions], topic: Uuid, partitions: i32) -> Vec<usize> {
        let has = |target: &&Partitions, partition| target.get(&topic).is_some_and(|has| has.contains(&partition));
        (0..partitions).map(|partition| targets.iter().filter(|target| has(target, partition)).count()).collect()
    }

    #[test]
    fn partitions_are_shared_where_members_are_more() {
        let members: [(&str, &[Uuid]); 5] = [("m1", &[A]), ("m2", &[A]), ("m3", &[A]), ("m4", &[A]), ("m5", &[A])];
        let targets = assign(&spec(&[(A, 2)], &members));
        assert_eq!(sharing(&targets, A, 2), [3, 3]);
        assert!(sizes(&targets).iter().all(|&size| size >= 1), "nobody is idle: {targets:?}");
        let one = assign(&spec(&[(A, 1)], &members));
        assert_eq!((sizes(&one), sharing(&one, A, 1)), (vec![1; 5], vec![5]));
    }

    #[test]
    fn members_have_the_same_number_and_keep_what_they_have() {
        let mut group = spec(&[(A, 3), (B, 4)], &[("m1", &[A, B]), ("m2", &[A, B])]);
        let first = assign(&group);
        assert_eq!(sizes(&first), [4, 3]);
        hold(&mut group, first.clone());
        assert_eq!(assign(&group), first, "nothing has changed");
        group.members.push(spec(&[], &[("m3", &[A, B])]).members.remove(0));
        let three = assign(&group);
        assert_eq!(sizes(&three), [3, 2, 2]);
        for (before, after) in first.iter().zip(&three) {
            assert!(after.iter().all(|(topic, partitions)| partitions.is_subset(&before[topic])));
        }
        group.members.truncate(1);
        hold(&mut group, three);
        assert_eq!(sizes(&assign(&group)), [7]);
    }

    #[test]
    fn what_is_not_initialized_or_not_wanted_nobody_has() {
        let mut group = spec(&[(A, 2), (B, 2)], &[("m1", &[A]), ("m2", &[A, B]), ("m3", &[B])]);
        let targets = assign(&group);
        assert_eq!((sharing(&targets, A, 2), sharing(&targets, B, 2)), (vec![1, 1], vec![1, 1]));
        assert_eq!(sizes(&targets), [1, 2, 1]);
        hold(&mut group, targets);
        group.members[1].topics = [B].into();
        group.partitions.insert(B, [1].into());
        let targets = assign(&group);
        assert_eq!(targets[0], Partitions::from([(A, [0, 1].into())]));
        assert_eq!((targets[1].clone(), targets[2].clone()), {
            let shared = Partitions::from([(B, [1].into())]);
            (shared.clone(), shared)
        });
        assert_eq!(sizes(&assign(&spec(&[], &[("m1", &[]), ("m2", &[])]))), [0, 0]);
        assert!(assign(&spec(&[(A, 1)], &[])).is_empty());
    }
}
