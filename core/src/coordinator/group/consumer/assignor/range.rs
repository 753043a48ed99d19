//! Of each topic a range for each member.

use uuid::Uuid;

use super::super::assignment::Partitions;
use super::Spec;
use crate::arrange::Arrange;
use crate::vec_map::VecMap;

/// What of a topic is still to be had.
struct Rest {
    next: i32,
    /// For each member.
    quota: i32,
    /// So many members get one more.
    extra: i32,
}

pub fn assign(group: &Spec) -> Vec<Partitions> {
    let mut rests: VecMap<Uuid, Rest> = VecMap::new();
    for (&topic, &partitions) in &group.topics {
        let members = group.members.iter().filter(|member| member.topics.contains(&topic)).count() as i32;
        if members > 0 {
            rests.insert(topic, Rest { next: 0, quota: partitions / members, extra: partitions % members });
        }
    }
    // Static members first, whose instances have their ranges again when they come again.
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.arrange_by_key(|&index| {
        let member = &group.members[index];
        (member.instance_id.is_none(), member.instance_id.clone().unwrap_or_else(|| member.id.clone()))
    });
    let mut targets = vec![Partitions::new(); group.members.len()];
    for index in order {
        for topic in &group.members[index].topics {
            let Some(rest) = rests.get_mut(topic) else { continue };
            let end = rest.next + rest.quota + i32::from(rest.extra > 0);
            rest.extra -= i32::from(rest.extra > 0);
            if rest.next < end {
                targets[index].insert(*topic, (rest.next..end).collect());
            }
            rest.next = end;
        }
    }
    targets
}
