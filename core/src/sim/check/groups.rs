//! What is known of groups: what members were told, and which records have reached which group.
//!
//! The process of a member may believe for a while what is true no more (it stands still, it is cut off): generations say
//! what counts.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::ranges::Ranges;
use super::{
    Received, Verdict, committed_offset_kept, consume_counts, monotonic_generation, one_owner, stale_commit, unseen,
};
use crate::client::{Polled, Report};
use crate::id::{Offset, TopicPartition};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Claims on a partition that are kept.
const MOST: usize = 16;

#[derive(Clone, Default)]
pub(in crate::sim) struct Groups {
    groups: VecMap<StrBytes, Group>,
    /// Which group a consumer is in.
    members: VecMap<Arc<str>, StrBytes>,
}

#[derive(Clone, Default)]
pub(in crate::sim) struct Group {
    pub readers: VecMap<Arc<str>, Reader>,
    pub partitions: VecMap<TopicPartition, Known>,
    /// In which somebody was assigned something.
    generations: VecSet<i32>,
    /// How many partitions members were told to let go of, or found lost.
    pub revoked: u64,
    pub lost: u64,
    /// Records that reached the group once more.
    pub redelivered: u64,
}

/// A consumer that runs and is, as it believes, a member.
#[derive(Clone, Default)]
pub(in crate::sim) struct Reader {
    pub member_id: StrBytes,
    pub generation: i32,
    pub owned: VecSet<TopicPartition>,
    pub revoked: u64,
    pub lost: u64,
}

/// What is known of a partition in a group.
#[derive(Clone)]
pub(in crate::sim) struct Known {
    /// Who was told that it is theirs, by generation: the name that a static member has, or its member id; and when.
    pub claims: VecMap<i32, (StrBytes, Instant)>,
    /// The offset after the last record that reached the group; −1 before.
    pub end: Offset,
    /// The highest offset that the coordinator has acknowledged, and when; −1 before.
    pub committed: Offset,
    /// Since when nobody reads it, and how long that was at most.
    pub idle_since: Option<Instant>,
    pub longest_idle: Duration,
    /// The reader that it was assigned to last, until that one has got something of it.
    pub fresh: Option<Arc<str>>,
    /// What transactions have consumed that their applications know to be committed.
    pub(super) consumed: Ranges,
}

impl Groups {
    pub fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id.as_bytes())
    }

    /// How often the members of any of them came to be in another generation together.
    pub fn rebalances(&self) -> u64 {
        self.groups.values().map(|group| group.generations.len() as u64).sum()
    }

    pub fn all(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group whose members are all gone may begin anew, with low generations: so it does if none of those is a member who
    /// were assigned something in such a generation before. `is_member` knows them by the names of their claims.
    pub fn assigned_again(&mut self, report: &Report, is_member: impl Fn(&str) -> bool) {
        let Report::Assigned { group, member_id, instance_id, generation, .. } = report else { return };
        let Some(group) = self.groups.get_mut(group) else { return };
        let claimant = instance_id.as_ref().unwrap_or(member_id);
        let claims = group.partitions.values().flat_map(|known| known.claims.range(generation..));
        let others: Vec<&StrBytes> = claims.map(|(_, (owner, _))| owner).filter(|owner| *owner != claimant).collect();
        if !others.is_empty() && !others.iter().any(|owner| is_member(owner)) {
            for known in group.partitions.values_mut() {
                known.claims.split_off(generation);
            }
        }
    }

    /// Whether somebody was assigned something in that generation, or a later one.
    pub fn knows(&self, report: &Report) -> bool {
        let Report::Assigned { group, generation, .. } = report else { return false };
        self.groups.get(group).is_some_and(|group| group.generations.range(generation..).next().is_some())
    }

    /// A member was told something, or told it.
    pub(super) fn told(&mut self, at: Instant, name: &Arc<str>, report: &Report) -> Vec<Verdict> {
        match report {
            Report::Assigned { group: id, member_id, instance_id, generation, added, owned } => {
                let group = self.group(id, name);
                let claimant = instance_id.as_ref().unwrap_or(member_id);
                let reader = group.readers.entry(name.clone()).or_default();
                let mut verdicts = vec![monotonic_generation::check(id, name, reader, member_id, *generation)];
                (reader.member_id, reader.generation) = (member_id.clone(), *generation);
                reader.owned = owned.iter().cloned().collect();
                group.generations.insert(*generation);
                for partition in owned {
                    let known = group.partitions.entry(partition.clone()).or_default();
                    verdicts.push(one_owner::check(id, partition, known, claimant, *generation));
                    known.claims.entry(*generation).or_insert_with(|| (claimant.clone(), at));
                    while known.claims.len() > MOST {
                        known.claims.pop_first();
                    }
                }
                for partition in added {
                    let known = group.partitions.entry(partition.clone()).or_default();
                    known.taken(at);
                    // Who hears of a generation after the next one has begun takes nothing over.
                    if known.claims.last_key_value().is_some_and(|(latest, _)| latest == generation) {
                        known.fresh = Some(name.clone());
                    }
                }
                verdicts
            }
            Report::Revoked { group: id, partitions, .. } => {
                let group = self.group(id, name);
                group.revoked += partitions.len() as u64;
                if let Some(reader) = group.readers.get_mut(name) {
                    reader.revoked += partitions.len() as u64;
                }
                group.let_go(at, name, partitions);
                Vec::new()
            }
            Report::Lost { group: id, partitions } => {
                let group = self.group(id, name);
                group.lost += partitions.len() as u64;
                if let Some(reader) = group.readers.get_mut(name) {
                    reader.lost += partitions.len() as u64;
                }
                group.let_go(at, name, partitions);
                Vec::new()
            }
            Report::Committed { group: id, generation, asked, offsets } => {
                let group = self.group(id, name);
                let mut verdicts = Vec::new();
                for (partition, offset) in offsets {
                    let known = group.partitions.entry(partition.clone()).or_default();
                    verdicts.push(stale_commit::check(id, name, partition, known, *generation, *asked));
                    known.committed = known.committed.max(*offset);
                }
                verdicts
            }
            _ => Vec::new(),
        }
    }

    /// A record reached a member, which gets nothing at offsets that are hidden. `exempt` is why the group may have less than
    /// it was promised.
    pub(super) fn received(
        &mut self,
        name: &Arc<str>,
        received: &Received<'_>,
        exempt: impl FnOnce() -> Option<&'static str>,
        hides: impl Fn(Offset) -> bool,
    ) -> Vec<Verdict> {
        let Some(group) = self.members.get(name).and_then(|id| self.groups.get_mut(id)) else { return Vec::new() };
        let partition = TopicPartition::new(received.topic.clone(), received.partition);
        let Some(known) = group.partitions.get_mut(&partition) else { return Vec::new() };
        let mut verdicts = Vec::new();
        // An earlier reader that does not know of its successor reads on from where it was.
        if known.fresh.take_if(|reader| reader == name).is_some() {
            let exempt = exempt();
            verdicts.push(committed_offset_kept::check(received, name, known, exempt));
            verdicts.push(unseen::check(received, name, known, exempt, hides));
        }
        group.redelivered += u64::from(received.offset < known.end);
        known.end = known.end.max(received.offset + 1);
        verdicts
    }

    /// That transaction is committed, and with it how far its group has come.
    pub(super) fn consumed(&mut self, polled: &Polled, exempt: Option<&'static str>) -> Vec<Verdict> {
        let id = &polled.offsets.group;
        let Some(group) = self.groups.get_mut(id.as_bytes()) else { return Vec::new() };
        let mut verdicts = Vec::new();
        for read in &polled.records {
            let Some(known) = group.partitions.get_mut(&read.partition) else { continue };
            verdicts.push(consume_counts::check(id, known, read, exempt));
            known.consumed.insert(read.offset, read.offset + 1);
            known.committed = known.committed.max(read.offset + 1);
        }
        verdicts
    }

    /// The application has chosen where to read on: what it skips or reads again is its own doing.
    pub fn sought(&mut self, name: &Arc<str>, partition: &TopicPartition, offset: Offset) {
        let Some(group) = self.members.get(name).and_then(|id| self.groups.get_mut(id)) else { return };
        let owns = group.owner(partition) == Some(name);
        let Some(known) = group.partitions.get_mut(partition) else { return };
        known.end = known.end.max(offset);
        if owns {
            (known.fresh, known.committed) = (None, -1);
        }
    }

    /// The process of a consumer is gone: nobody reads what it read.
    pub fn ended(&mut self, at: Instant, name: &Arc<str>) {
        let Some(group) = self.members.remove(name).and_then(|id| self.groups.get_mut(&id)) else { return };
        if let Some(reader) = group.readers.get(name) {
            let owned: Vec<TopicPartition> = reader.owned.iter().cloned().collect();
            group.let_go(at, name, &owned);
            group.readers.remove(name);
        }
    }

    fn group(&mut self, id: &StrBytes, name: &Arc<str>) -> &mut Group {
        self.members.insert(name.clone(), id.clone());
        self.groups.entry(id.clone()).or_default()
    }
}

impl Group {
    /// How often members came to be in another generation together.
    pub fn rebalances(&self) -> usize {
        self.generations.len()
    }

    /// Who reads a partition, as they believe: those of the latest generation alone.
    pub fn owner(&self, partition: &TopicPartition) -> Option<&Arc<str>> {
        let readers = self.readers.iter().filter(|(_, reader)| reader.owned.contains(partition));
        readers.max_by_key(|(_, reader)| reader.generation).map(|(name, _)| name)
    }

    /// The longest time that a partition, once it had a reader, was without one.
    pub fn longest_idle(&self, now: Instant) -> Duration {
        let idle =
            |known: &Known| known.longest_idle.max(known.idle_since.map_or(Duration::ZERO, |since| now.since(since)));
        self.partitions.values().map(idle).max().unwrap_or_default()
    }

    fn let_go(&mut self, at: Instant, name: &Arc<str>, partitions: &[TopicPartition]) {
        if let Some(reader) = self.readers.get_mut(name) {
            reader.owned.retain(|one| !partitions.contains(one));
        }
        for partition in partitions {
            let read = self.readers.values().any(|reader| reader.owned.contains(partition));
            if let Some(known) = self.partitions.get_mut(partition).filter(|_| !read) {
                known.idle_since.get_or_insert(at);
            }
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Known {
            claims: VecMap::new(),
            end: -1,
            committed: -1,
            idle_since: None,
            longest_idle: Duration::ZERO,
            fresh: None,
            consumed: Ranges::default(),
        }
    }
}

impl Known {
    fn taken(&mut self, at: Instant) {
        if let Some(since) = self.idle_since.take() {
            self.longest_idle = self.longest_idle.max(at.since(since));
        }
    }
}
