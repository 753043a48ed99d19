//! CooperativeStickyAssignor: as the sticky one, and a partition that another member still owns is assigned to nobody: its
//! owner lets go of it and joins again, and then its new one gets it.

use super::sticky::{self, Owned};
use super::{Assignments, Member, Topics};
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

pub fn assign(topics: &Topics, members: &[&Member], max_generation: &mut i32) -> Assignments {
    let (mut assignments, moving) = sticky::assign(topics, members, member_data, max_generation);
    let moving = moving.unwrap_or_else(|| transferred(members, &assignments));
    for (partition, to) in moving {
        if let Some(assigned) = assignments.get_mut(&to) {
            assigned.retain(|one| *one != partition);
        }
    }
    assignments
}

/// What a member owned, and since when.
fn member_data(member: &Member) -> Owned {
    let generation = member.generation.or_else(|| {
        let user_data = member.user_data.as_ref()?;
        let word = user_data.get(..4).and_then(|word| word.try_into().ok());
        Some(word.map_or(sticky::NO_GENERATION, i32::from_be_bytes))
    });
    Owned { partitions: member.owned.clone(), generation }
}

/// What somebody gets that somebody else has to give, and who gets it.
fn transferred(
    members: &[&Member],
    assignments: &Assignments,
) -> VecMap<TopicPartition, kafka_protocol::protocol::StrBytes> {
    let (mut added, mut revoked) = (VecMap::new(), VecSet::new());
    for member in members {
        let assigned: VecSet<&TopicPartition> = assignments.get(&member.id).into_iter().flatten().collect();
        let owned: VecSet<&TopicPartition> = member.owned.iter().collect();
        added.extend(assigned.difference(&owned).map(|partition| ((*partition).clone(), member.id.clone())));
        revoked.extend(owned.difference(&assigned).map(|partition| (*partition).clone()));
    }
    added.retain(|partition, _| revoked.contains(partition));
    added
}
