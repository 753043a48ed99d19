//! Who of a group's members should have which partitions.
//!
//! Both assignors are Kafka's in what they promise; where Kafka goes through members and topics in the order of a hash map,
//! here they are in the order of their ids.

mod range;
mod uniform;

use std::sync::Arc;

use uuid::Uuid;

use super::assignment::Partitions;
use crate::config::group::Assignor;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

impl Assignor {
    /// What each of the members should have.
    pub fn assign(self, group: &Spec) -> Vec<Partitions> {
        match self {
            _ if group.members.is_empty() => Vec::new(),
            Assignor::Uniform => uniform::assign(group),
            Assignor::Range => range::assign(group),
        }
    }
}

/// A group as an assignor sees it.
pub struct Spec {
    /// In the order of their ids.
    pub members: Vec<MemberSpec>,
    /// How many partitions the topics have that anybody wants.
    pub topics: VecMap<Uuid, i32>,
    /// Every member wants the same topics.
    pub homogeneous: bool,
}

pub struct MemberSpec {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    /// The topics that it wants and that there are.
    pub topics: VecSet<Uuid>,
    /// What it should have until now.
    pub target: Arc<Partitions>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn spec(topics: &[(Uuid, i32)], members: &[(&str, &[Uuid])]) -> Spec {
        let member = |(id, topics): &(&str, &[Uuid])| MemberSpec {
            id: (*id).into(),
            instance_id: None,
            topics: topics.iter().copied().collect(),
            target: Arc::default(),
        };
        let homogeneous = members.windows(2).all(|pair| pair[0].1 == pair[1].1);
        Spec { members: members.iter().map(member).collect(), topics: topics.iter().copied().collect(), homogeneous }
    }

    fn held(group: &mut Spec, targets: Vec<Partitions>) {
        for (member, target) in group.members.iter_mut().zip(targets) {
            member.target = Arc::new(target);
        }
    }

    fn sizes(targets: &[Partitions]) -> Vec<usize> {
        targets.iter().map(|target| target.values().map(VecSet::len).sum()).collect()
    }

    fn of<const N: usize>(topic: Uuid, partitions: [i32; N]) -> (Uuid, VecSet<i32>) {
        (topic, partitions.into())
    }

    /// Nobody has what another has, nor what there is not or it does not want; and what anybody wants somebody has.
    fn check(group: &Spec, targets: &[Partitions]) {
        let mut all = VecSet::new();
        for (member, target) in group.members.iter().zip(targets) {
            for (topic, partitions) in target {
                assert!(member.topics.contains(topic) && !partitions.is_empty());
                for &partition in partitions {
                    assert!(partition < group.topics[topic] && all.insert((*topic, partition)));
                }
            }
        }
        let wanted =
            group.topics.iter().filter(|(id, _)| group.members.iter().any(|member| member.topics.contains(id)));
        assert_eq!(all.len() as i32, wanted.map(|(_, count)| count).sum::<i32>());
    }

    #[test]
    fn uniform_gives_everybody_as_much_and_moves_little() {
        let mut group = spec(&[(A, 3), (B, 4)], &[("m1", &[A, B]), ("m2", &[A, B])]);
        let first = Assignor::Uniform.assign(&group);
        check(&group, &first);
        assert_eq!(sizes(&first), [3, 4]);
        held(&mut group, first.clone());
        assert_eq!(Assignor::Uniform.assign(&group), first);

        group.members.push(spec(&[], &[("m3", &[A, B])]).members.remove(0));
        let three = Assignor::Uniform.assign(&group);
        check(&group, &three);
        assert_eq!(sizes(&three), [3, 2, 2]);
        for (before, after) in first.iter().zip(&three) {
            assert!(after.iter().all(|(topic, partitions)| partitions.is_subset(&before[topic])));
        }

        group.members.remove(0);
        held(&mut group, three[1..].to_vec());
        let two = Assignor::Uniform.assign(&group);
        check(&group, &two);
        assert_eq!(sizes(&two), [3, 4]);
        for (before, after) in three[1..].iter().zip(&two) {
            assert!(before.iter().all(|(topic, partitions)| partitions.is_subset(&after[topic])));
        }
    }

    #[test]
    fn uniform_leaves_the_extra_partition_to_who_has_it() {
        let mut group = spec(&[(A, 3)], &[("m1", &[A]), ("m2", &[A])]);
        let held_so_far = vec![Partitions::from([of(A, [0])]), Partitions::from([of(A, [1, 2])])];
        held(&mut group, held_so_far.clone());
        assert_eq!(Assignor::Uniform.assign(&group), held_so_far);
    }

    #[test]
    fn uniform_is_fair_where_members_want_different_topics() {
        let mut group = spec(&[(A, 6), (B, 2)], &[("m1", &[A]), ("m2", &[A, B]), ("m3", &[B])]);
        let targets = Assignor::Uniform.assign(&group);
        check(&group, &targets);
        assert_eq!(sizes(&targets), [3, 3, 2]);
        // One more that wants all of A takes from the two that have most of it.
        held(&mut group, targets);
        group.members.push(spec(&[], &[("m4", &[A])]).members.remove(0));
        let targets = Assignor::Uniform.assign(&group);
        check(&group, &targets);
        assert_eq!(sizes(&targets), [2, 2, 2, 2]);
        // Who does not want it any more has it no longer.
        held(&mut group, targets);
        group.members[0].topics = [B].into();
        let targets = Assignor::Uniform.assign(&group);
        check(&group, &targets);
        assert!(!targets[0].contains_key(&A));
    }

    #[test]
    fn range_brings_together_what_belongs_together() {
        let mut group = spec(&[(A, 3), (B, 3)], &[("m1", &[A, B]), ("m2", &[A, B])]);
        let together = [Partitions::from([of(A, [0, 1]), of(B, [0, 1])]), Partitions::from([of(A, [2]), of(B, [2])])];
        assert_eq!(Assignor::Range.assign(&group), together);
        // Static members come first, in the order of their instances.
        group.members[1].instance_id = Some("a".into());
        assert_eq!(Assignor::Range.assign(&group), [together[1].clone(), together[0].clone()]);
        let group = spec(&[(A, 2), (B, 1)], &[("m1", &[A]), ("m2", &[A, B]), ("m3", &[A])]);
        assert_eq!(
            Assignor::Range.assign(&group),
            [Partitions::from([of(A, [0])]), Partitions::from([of(A, [1]), of(B, [0])]), Partitions::new()]
        );
    }

    #[test]
    fn without_topics_nobody_has_anything() {
        let group = spec(&[], &[("m1", &[]), ("m2", &[])]);
        for assignor in Assignor::ALL {
            assert_eq!(assignor.assign(&group), [Partitions::new(), Partitions::new()]);
        }
        assert!(Assignor::Range.assign(&spec(&[(A, 1)], &[])).is_empty());
    }
}
