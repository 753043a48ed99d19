//! Where members read different topics.
//!
//! Members keep what they own and still read; what is left goes to whoever has least. Then partitions move from members
//! that have more to such that could have them and have less by two or more, back to an earlier owner first, until no move
//! makes it more even; and if all in all that did not, nothing has moved.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::moves::Moves;
use super::racks::Racks;
use super::{Kept, NO_GENERATION, Owned, remove, unassigned};
use crate::arrange::Arrange;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

struct Builder<'a> {
    topics: &'a VecMap<&'a TopicName, &'a [VecSet<StrBytes>]>,
    racks: &'a Racks,
    /// By member: the topics that it reads and that there are.
    reads: Vec<VecSet<&'a TopicName>>,
    /// By topic: its members, in the order of Java's hash map.
    readers: VecMap<&'a TopicName, Vec<usize>>,
    /// `None` for a member whose partitions are settled.
    assigned: Vec<Option<Vec<TopicPartition>>>,
    owners: VecMap<TopicPartition, usize>,
    /// Members by how many partitions they have, then by name: [`Builder::place`].
    order: VecSet<(usize, usize)>,
    /// Of each member among all members' names.
    ranks: Vec<usize>,
    /// Members by their rank.
    ranked: Vec<usize>,
    earlier: VecMap<TopicPartition, (usize, i32)>,
    moves: Moves,
}

pub fn assign(
    topics: &VecMap<&TopicName, &[VecSet<StrBytes>]>,
    racks: &Racks,
    kept: Kept<'_>,
    told: &[Owned],
    max_generation: i32,
) -> Vec<Vec<TopicPartition>> {
    let members = kept.members;
    let reads: Vec<VecSet<&TopicName>> = members
        .iter()
        .map(|member| member.topics.iter().filter(|topic| topics.contains_key(topic)).collect())
        .collect();
    let readers = |topic: &TopicName| (0..members.len()).filter(|member| reads[*member].contains(topic)).collect();
    let readers: VecMap<&TopicName, Vec<usize>> = topics.keys().map(|topic| (*topic, readers(topic))).collect();
    let mut ranked: Vec<usize> = (0..members.len()).collect();
    ranked.arrange_by_key(|member| &members[*member].id);
    let mut ranks = vec![0; members.len()];
    ranked.iter().enumerate().for_each(|(rank, member)| ranks[*member] = rank);
    let owners = (0..).zip(&kept.owned).flat_map(|(member, owned)| owned.iter().map(move |one| (one.clone(), member)));
    let mut builder = Builder {
        topics,
        racks,
        owners: owners.collect(),
        reads,
        readers,
        assigned: kept.owned.into_iter().map(Some).collect(),
        order: VecSet::new(),
        ranks,
        ranked,
        earlier: earlier(told, max_generation),
        moves: Moves::default(),
    };
    builder.build();
    builder.assigned.into_iter().map(Option::unwrap_or_default).collect()
}

/// Who had what in a generation before the last one.
fn earlier(told: &[Owned], max_generation: i32) -> VecMap<TopicPartition, (usize, i32)> {
    let mut earlier: VecMap<TopicPartition, (usize, i32)> = VecMap::new();
    for (member, one) in told.iter().enumerate() {
        let generation = one.generation.unwrap_or(NO_GENERATION);
        if generation >= max_generation {
            continue;
        }
        for partition in &one.partitions {
            let known = earlier.entry(partition.clone()).or_insert((member, generation));
            if generation > known.1 {
                *known = (member, generation);
            }
        }
    }
    earlier
}

impl<'a> Builder<'a> {
    fn build(&mut self) {
        // Those with the fewest readers come first.
        let mut topics: Vec<&TopicName> = self.topics.keys().copied().collect();
        topics.arrange_by_key(|topic| (self.readers[topic].len(), *topic));
        let mut all: Vec<TopicPartition> = Vec::new();
        for topic in topics {
            let count = self.topics[topic].len() as i32;
            all.extend((0..count).map(|partition| TopicPartition::new(topic.clone(), partition)));
        }
        let (mut kept, taken) = self.keep();
        let readers = |partition: &TopicPartition| self.readers[&partition.topic].len();
        kept.arrange_by_key(|partition| (readers(partition), partition.clone()));
        let left = unassigned(all.clone(), &kept);
        self.order = (0..self.assigned.len()).map(|member| self.place(member)).collect();
        self.balance(all, left, taken);
    }

    /// What members keep, and whether something had to be taken from one.
    fn keep(&mut self) -> (Vec<TopicPartition>, bool) {
        let (mut all, mut taken) = (Vec::new(), false);
        for (member, assigned) in self.assigned.iter_mut().enumerate() {
            assigned.iter_mut().for_each(|assigned| {
                assigned.retain(|partition| {
                    let keeps =
                        self.reads[member].contains(&partition.topic) && !self.racks.mismatch(member, partition);
                    taken |= !keeps;
                    keeps
                });
                all.extend(assigned.iter().cloned());
            });
        }
        (all, taken)
    }

    fn balance(&mut self, mut all: Vec<TopicPartition>, mut left: Vec<TopicPartition>, taken: bool) {
        let initial = self.order.last().is_none_or(|(count, _)| *count == 0);
        let mut rest = left.clone();
        if self.racks.matter {
            rest.retain(|partition| !self.hand_out(partition, true));
        }
        for partition in &rest {
            self.hand_out(partition, false);
        }
        // What has one reader at most cannot move, nor what is of members that have all they can have.
        let movable = |partition: &TopicPartition| self.readers[&partition.topic].len() >= 2;
        all.retain(movable);
        left.retain(movable);
        let mut settled = Vec::new();
        for member in 0..self.assigned.len() {
            if !self.can_take_part(member) {
                self.order.remove(&self.place(member));
                settled.push((member, self.assigned[member].take()));
            }
        }
        let before = self.assigned.clone();
        if !taken {
            self.reassign(&left);
        }
        let moved = self.reassign(&all);
        if !initial && moved && score(&self.assigned) >= score(&before) {
            self.assigned = before;
        }
        for (member, assigned) in settled {
            self.assigned[member] = assigned;
        }
    }

    /// To the first in order that may have it.
    fn hand_out(&mut self, partition: &TopicPartition, by_rack: bool) -> bool {
        let may = |member: &usize| {
            self.reads[*member].contains(&partition.topic) && !(by_rack && self.racks.mismatch(*member, partition))
        };
        let Some(member) = self.in_order().find(may) else { return false };
        self.order.remove(&self.place(member));
        self.assigned[member].get_or_insert_default().push(partition.clone());
        self.owners.insert(partition.clone(), member);
        self.order.insert(self.place(member));
        true
    }

    fn can_take_part(&self, member: usize) -> bool {
        let assigned = self.assigned[member].as_deref().unwrap_or_default();
        assigned.len() < self.most(member) || assigned.iter().any(|one| self.readers[&one.topic].len() >= 2)
    }

    fn most(&self, member: usize) -> usize {
        self.reads[member].iter().map(|topic| self.topics[*topic].len()).sum()
    }

    fn reassign(&mut self, partitions: &[TopicPartition]) -> bool {
        let mut any = false;
        loop {
            let mut moved = false;
            for partition in partitions {
                if self.is_balanced() {
                    break;
                }
                let Some(&owner) = self.owners.get(partition) else { continue };
                let more = |other: usize| self.count(owner) > self.count(other) + 1;
                let earlier = self.earlier.get(partition).map(|(member, _)| *member);
                if let Some(earlier) = earlier.filter(|earlier| self.assigned[*earlier].is_some() && more(*earlier)) {
                    self.move_to(partition, earlier);
                    moved = true;
                    continue;
                }
                // Kafka looks for one in the same rack first, and then moves it to the same one either way.
                if self.readers[&partition.topic].iter().any(|other| self.assigned[*other].is_some() && more(*other)) {
                    let reads = |member: &usize| self.reads[*member].contains(&partition.topic);
                    let to = self.in_order().find(reads);
                    if let Some(to) = to {
                        self.move_to(partition, to);
                        moved = true;
                    }
                }
            }
            any |= moved;
            if !moved {
                return any;
            }
        }
    }

    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.order.first(), self.order.last()) else { return true };
        if least + 1 >= *most {
            return true;
        }
        let mut owners: VecMap<&TopicPartition, usize> = VecMap::new();
        for (member, assigned) in self.assigned.iter().enumerate() {
            owners.extend(assigned.iter().flatten().map(|partition| (partition, member)));
        }
        self.in_order().all(|member| {
            let count = self.count(member);
            count == self.most(member)
                || self.reads[member].iter().all(|topic| {
                    (0..self.topics[*topic].len() as i32).all(|partition| {
                        let owner = owners.get(&TopicPartition::new((*topic).clone(), partition));
                        owner.is_none_or(|owner| *owner == member || count + 1 >= self.count(*owner))
                    })
                })
        })
    }

    fn move_to(&mut self, partition: &TopicPartition, to: usize) {
        let Some(&owner) = self.owners.get(partition) else { return };
        let partition = self.moves.instead(partition, owner, to);
        let Some(&from) = self.owners.get(&partition) else { return };
        self.order.remove(&self.place(from));
        self.order.remove(&self.place(to));
        self.moves.moved(&partition, from, to);
        if let Some(assigned) = &mut self.assigned[from] {
            remove(assigned, &partition);
        }
        self.owners.insert(partition.clone(), to);
        self.assigned[to].get_or_insert_default().push(partition);
        self.order.insert(self.place(to));
        self.order.insert(self.place(from));
    }

    fn count(&self, member: usize) -> usize {
        self.assigned[member].as_ref().map_or(0, Vec::len)
    }

    fn place(&self, member: usize) -> (usize, usize) {
        (self.count(member), self.ranks[member])
    }

    /// Members with the fewest partitions first.
    fn in_order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|(_, rank)| self.ranked[*rank])
    }
}

/// How uneven it is: the sum of the differences of all pairs.
fn score(assigned: &[Option<Vec<TopicPartition>>]) -> usize {
    let counts: Vec<usize> = assigned.iter().flatten().map(Vec::len).collect();
    counts.iter().enumerate().flat_map(|(at, one)| counts[at + 1..].iter().map(|other| one.abs_diff(*other))).sum()
}
