//! As many partitions for each, and no more moves than that takes.

use std::cmp::Reverse;

use uuid::Uuid;

use super::super::assignment::Partitions;
use super::Spec;
use crate::arrange::Arrange;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Kafka's: how often all topics are gone through until nothing can be made better.
const ROUNDS: usize = 16;

pub fn assign(group: &Spec) -> Vec<Partitions> {
    if group.homogeneous { homogeneous(group) } else { Heterogeneous::new(group).assign() }
}

/// All want the same: whoever has more than its share gives the rest to those who have less.
fn homogeneous(group: &Spec) -> Vec<Partitions> {
    let topics = &group.members[0].topics;
    let total: usize = topics.iter().filter_map(|topic| group.topics.get(topic)).map(|&count| count as usize).sum();
    let share = total / group.members.len();
    // So many members have one more.
    let mut extras = total % group.members.len();
    let mut free = unassigned(group);
    let mut room: Vec<usize> = Vec::with_capacity(group.members.len());
    let mut targets: Vec<Partitions> = Vec::with_capacity(group.members.len());
    for (index, member) in group.members.iter().enumerate() {
        let mut target = Partitions::clone(&member.target);
        target.retain(|topic, _| topics.contains(topic));
        let takes_extra = extras > 0;
        let mut quota = share + usize::from(takes_extra);
        for (&topic, partitions) in &mut target {
            let excess: Vec<i32> = partitions.iter().copied().skip(quota).collect();
            quota -= partitions.len() - excess.len();
            for partition in excess {
                partitions.remove(&partition);
                free.push((topic, partition));
            }
        }
        target.retain(|_, partitions| !partitions.is_empty());
        // An extra partition is left to others who have one already, unless only those are left who must take them.
        let others_can = group.members.len() - index > extras;
        if takes_extra && quota > 0 && others_can {
            quota -= 1;
        } else if takes_extra {
            extras -= 1;
        }
        room.push(quota);
        targets.push(target);
    }
    let mut free = free.into_iter();
    for (target, room) in targets.iter_mut().zip(room) {
        for (topic, partition) in free.by_ref().take(room) {
            target.entry(topic).or_default().insert(partition);
        }
    }
    targets
}

/// What nobody should have until now.
fn unassigned(group: &Spec) -> Vec<(Uuid, i32)> {
    let mut taken: VecMap<Uuid, VecSet<i32>> = VecMap::new();
    for member in &group.members {
        for (&topic, partitions) in member.target.iter().filter(|(topic, _)| member.topics.contains(topic)) {
            taken.entry(topic).or_default().extend(partitions.iter().copied());
        }
    }
    let is_free = |&(topic, partition): &(Uuid, i32)| taken.get(&topic).is_none_or(|taken| !taken.contains(&partition));
    let all = group.topics.iter().flat_map(|(&topic, &count)| (0..count).map(move |partition| (topic, partition)));
    all.filter(is_free).collect()
}

/// Members want different topics: topic by topic, who has least gets more.
struct Heterogeneous<'a> {
    group: &'a Spec,
    /// Who wants a topic.
    wanted_by: VecMap<Uuid, Vec<usize>>,
    /// Those with most partitions for each who wants them first.
    order: Vec<Uuid>,
    targets: Vec<Partitions>,
    /// How many partitions each member has.
    loads: Vec<usize>,
}

impl Heterogeneous<'_> {
    fn new(group: &Spec) -> Heterogeneous<'_> {
        let mut wanted_by: VecMap<Uuid, Vec<usize>> = VecMap::new();
        let mut targets = Vec::with_capacity(group.members.len());
        for (index, member) in group.members.iter().enumerate() {
            for &topic in &member.topics {
                wanted_by.entry(topic).or_default().push(index);
            }
            let mut target = Partitions::clone(&member.target);
            target.retain(|topic, _| member.topics.contains(topic));
            targets.push(target);
        }
        let loads = targets.iter().map(|target| target.values().map(VecSet::len).sum()).collect();
        let mut order: Vec<Uuid> = wanted_by.keys().copied().collect();
        let share = |topic: &Uuid| {
            let (partitions, members) = (group.topics[topic] as u64, wanted_by[topic].len() as u64);
            // Fractions that differ at all differ by more than this rounds.
            (Reverse((u128::from(partitions) << 64) / u128::from(members)), members)
        };
        order.arrange_by_key(|topic| (share(topic), *topic));
        Heterogeneous { group, wanted_by, order, targets, loads }
    }

    fn assign(mut self) -> Vec<Partitions> {
        let mut free: VecMap<Uuid, Vec<i32>> = VecMap::new();
        for (topic, partition) in unassigned(self.group) {
            free.entry(topic).or_default().push(partition);
        }
        for topic in self.order.clone() {
            let mut by_load = self.by_load(topic);
            for partition in free.remove(&topic).unwrap_or_default() {
                let Some((_, least)) = by_load.pop_first() else { continue };
                self.give(topic, partition, least);
                by_load.insert((self.loads[least], least));
            }
        }
        for _ in 0..ROUNDS {
            let mut moved = false;
            for topic in self.order.clone() {
                moved |= self.balance(topic);
            }
            if !moved {
                break;
            }
        }
        self.targets
    }

    /// Who wants the topic, those who have least of everything first.
    fn by_load(&self, topic: Uuid) -> VecSet<(usize, usize)> {
        self.wanted_by[&topic].iter().map(|&member| (self.loads[member], member)).collect()
    }

    fn give(&mut self, topic: Uuid, partition: i32, to: usize) {
        self.targets[to].entry(topic).or_default().insert(partition);
        self.loads[to] += 1;
    }

    /// From those who have most to those who have least, as long as that makes it better.
    fn balance(&mut self, topic: Uuid) -> bool {
        let mut by_load = self.by_load(topic);
        // Of the same set, those who have something of this topic to give.
        let mut givers: VecSet<(usize, usize)> =
            by_load.iter().copied().filter(|&(_, member)| self.targets[member].contains_key(&topic)).collect();
        let mut moved = false;
        while let (Some(&(most, from)), Some(&(least, to))) = (givers.last(), by_load.first()) {
            if most < least + 2 {
                break;
            }
            let partition = self.take(topic, from);
            self.give(topic, partition, to);
            for (load, member) in [(most, from), (least, to)] {
                givers.remove(&(load, member));
                by_load.remove(&(load, member));
                by_load.insert((self.loads[member], member));
                if self.targets[member].contains_key(&topic) {
                    givers.insert((self.loads[member], member));
                }
            }
            moved = true;
        }
        moved
    }

    /// The last partition of it that the member has.
    fn take(&mut self, topic: Uuid, from: usize) -> i32 {
        let partitions = self.targets[from].get_mut(&topic).expect("it has some");
        let partition = partitions.pop_last().expect("none is left of a topic only where it is not there");
        if partitions.is_empty() {
            self.targets[from].remove(&topic);
        }
        self.loads[from] -= 1;
        partition
    }
}
