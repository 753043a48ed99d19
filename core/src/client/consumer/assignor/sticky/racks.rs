//! Who is where.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::super::{Member, rack, racks_matter};
use crate::arrange::Arrange;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Racks of members, by their place, and of partitions' replicas; none where they do not matter.
pub struct Racks {
    members: Vec<Option<StrBytes>>,
    partitions: VecMap<TopicPartition, VecSet<StrBytes>>,
    /// How many members are where a partition is: known where any member has a rack, whether or not racks matter.
    members_near: VecMap<TopicPartition, usize>,
    pub matter: bool,
}

impl Racks {
    pub fn new(topics: &VecMap<&TopicName, &[VecSet<StrBytes>]>, members: &[&Member]) -> Racks {
        let racks: Vec<Option<StrBytes>> = members.iter().map(|member| rack(member).cloned()).collect();
        let theirs: VecSet<StrBytes> = racks.iter().flatten().cloned().collect();
        let mut partitions = VecMap::new();
        if !theirs.is_empty() {
            for (topic, racks) in topics {
                let named = (0..).zip(*racks).map(|(index, racks)| {
                    let partition = TopicPartition::new((*topic).clone(), index);
                    (partition, racks.clone())
                });
                partitions.extend(named);
            }
        }
        let near = |of: &VecSet<StrBytes>| racks.iter().flatten().filter(|rack| of.contains(*rack)).count();
        let members_near = partitions.iter().map(|(partition, of)| (partition.clone(), near(of))).collect();
        let matter = racks_matter(&theirs, &partitions.values().collect::<Vec<_>>());
        match matter {
            true => Racks { members: racks, partitions, members_near, matter },
            false => Racks { members: vec![None; members.len()], partitions: VecMap::new(), members_near, matter },
        }
    }

    pub fn mismatch(&self, member: usize, partition: &TopicPartition) -> bool {
        self.members[member].as_ref().is_some_and(|rack| !self.of(partition).is_some_and(|racks| racks.contains(rack)))
    }

    pub fn of(&self, partition: &TopicPartition) -> Option<&VecSet<StrBytes>> {
        self.partitions.get(partition)
    }

    /// Whether the member has a rack and the partition a replica in it.
    pub fn match_(&self, member: usize, partition: &TopicPartition) -> bool {
        let racks = self.of(partition);
        self.members[member].as_ref().is_some_and(|rack| racks.is_some_and(|racks| racks.contains(rack)))
    }

    /// Those that the fewest members are near to come first.
    pub fn sort(&self, partitions: &mut [TopicPartition]) {
        partitions.arrange_by_key(|partition| self.members_near.get(partition).copied().unwrap_or(0));
    }

    /// The place in `members` of the next one, from `first` on and round, that is where the partition is.
    pub fn next(&self, partition: &TopicPartition, members: &[usize], first: usize) -> Option<usize> {
        (0..members.len()).map(|step| (first + step) % members.len()).find(|at| self.match_(members[*at], partition))
    }
}
