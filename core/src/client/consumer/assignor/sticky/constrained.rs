//! Where all members read the same topics.
//!
//! 1. Members keep what they own, up to their share; so many of them as the shares do not come out even may keep one more.
//! 2. Where racks matter, what is left goes to members that are where it is.
//! 3. The rest goes round, to members below their share first.

use std::collections::VecDeque;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::racks::Racks;
use super::{Kept, Moving, unassigned};
use crate::arrange::Arrange;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

struct Builder<'a> {
    kept: Kept<'a>,
    racks: &'a Racks,
    assigned: Vec<Vec<TopicPartition>>,
    /// What its owner has to give, if it is not given to the same one again.
    given: VecMap<TopicPartition, usize>,
    moving: Moving,
    least: usize,
    most: usize,
    /// How many members may have more than the least, and how many have.
    may_have_more: usize,
    have_more: usize,
    below: Vec<usize>,
    at_least: VecDeque<usize>,
    /// Whose turn it is among those below, where racks matter.
    next: usize,
}

pub fn assign(
    topics: &VecMap<&TopicName, &[VecSet<StrBytes>]>,
    racks: &Racks,
    kept: Kept<'_>,
) -> (Vec<Vec<TopicPartition>>, Option<Moving>) {
    let total: usize = topics.values().map(|racks| racks.len()).sum();
    let count = kept.members.len().max(1);
    let mut builder = Builder {
        racks,
        assigned: vec![Vec::new(); kept.members.len()],
        given: VecMap::new(),
        moving: Moving::new(),
        least: total / count,
        most: total.div_ceil(count),
        may_have_more: total % count,
        have_more: 0,
        below: Vec::new(),
        at_least: VecDeque::new(),
        next: 0,
        kept,
    };
    builder.keep();
    let all = topics.iter().flat_map(|(topic, racks)| {
        (0..racks.len() as i32).map(|partition| TopicPartition::new((*topic).clone(), partition))
    });
    let mut assigned: Vec<TopicPartition> = builder.assigned.iter().flatten().cloned().collect();
    assigned.arrange();
    let mut left = unassigned(all.collect(), &assigned);
    let id = |member: &usize| builder.kept.members[*member].id.clone();
    builder.below.arrange_by_key(id);
    builder.at_least.make_contiguous().arrange_by_key(id);
    racks.sort(&mut left);
    if racks.matter {
        left.retain(|partition| !builder.near(partition));
    }
    builder.round(left);
    (builder.assigned, Some(builder.moving))
}

impl Builder<'_> {
    fn keep(&mut self) {
        for member in 0..self.kept.owned.len() {
            let mut owned = Vec::new();
            for partition in std::mem::take(&mut self.kept.owned[member]) {
                if self.racks.mismatch(member, &partition) {
                    self.given.insert(partition, member);
                } else if !self.kept.claimed_twice.contains(&partition) {
                    owned.push(partition);
                }
            }
            owned.arrange_by(|one, other| (one.partition, &one.topic).cmp(&(other.partition, &other.topic)));
            let keeps = if owned.len() < self.least {
                self.below.push(member);
                owned.len()
            } else if owned.len() >= self.most && self.have_more < self.may_have_more {
                self.have_more += 1;
                if self.have_more == self.may_have_more {
                    self.at_least.clear();
                }
                self.most
            } else {
                if self.have_more < self.may_have_more {
                    self.at_least.push_back(member);
                }
                self.least
            };
            let gives = owned.split_off(keeps);
            self.given.extend(gives.into_iter().map(|partition| (partition, member)));
            self.assigned[member] = owned;
        }
    }

    /// Gives the partition to a member that is where it is, if one may have it.
    fn near(&mut self, partition: &TopicPartition) -> bool {
        if let Some(place) = self.racks.next(partition, &self.below, self.next) {
            let member = self.below[place];
            let count = self.assigned[member].len() + 1;
            let mut next = place;
            if count >= self.least {
                self.below.remove(place);
                if count < self.most && self.have_more < self.may_have_more {
                    self.at_least.push_back(member);
                }
            } else {
                next += 1;
            }
            self.next = if self.below.is_empty() { 0 } else { next % self.below.len() };
            self.give(partition.clone(), member);
            return true;
        }
        let Some(place) = self.racks.next(partition, self.at_least.make_contiguous(), 0) else { return false };
        let member = self.at_least[place];
        if self.assigned[member].len() + 1 == self.most {
            self.at_least.remove(place);
            self.have_more += 1;
            if self.have_more == self.may_have_more {
                self.at_least.clear();
            }
        }
        self.give(partition.clone(), member);
        true
    }

    fn round(&mut self, left: Vec<TopicPartition>) {
        let mut turn = 0;
        for partition in left {
            let below = if turn < self.below.len() {
                true
            } else {
                turn = 0;
                !self.below.is_empty()
            };
            let Some(member) = (if below { Some(self.below[turn]) } else { self.at_least.pop_front() }) else { return };
            let count = self.give(partition, member);
            if below && count == self.least {
                self.below.remove(turn);
                self.at_least.push_back(member);
            } else {
                turn += usize::from(below);
            }
        }
    }

    /// How many the member has then.
    fn give(&mut self, partition: TopicPartition, member: usize) -> usize {
        let from_another = self.given.get(&partition).is_some_and(|owner| *owner != member);
        if from_another || self.kept.claimed_twice.contains(&partition) {
            self.moving.insert(partition.clone(), self.kept.members[member].id.clone());
        }
        self.assigned[member].push(partition);
        self.assigned[member].len()
    }
}
