//! The partitions of which share coordinators keep a state for a group, or are about to, or to forget it (Kafka's
//! `ShareGroupStatePartitionMetadata`).
//!
//! A partition whose initialisation was begun and not heard of is tried again after
//! `group.share.initialize.retry.interval.ms`: the time counts in memory alone, from the last record of that kind on.

use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::record::Record;
use super::super::record::share::{NamedPartitions, NamedTopic, ShareRecord, StatesValue};
use super::super::turn::Turn;
use super::super::{Group, Groups, Move};
use super::Share;
use super::calls::{ShareCall, Then, What};
use crate::coordinator::Decision;
use crate::protocol::cluster::{ClusterState, Topic};
use crate::time::Timestamp;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What Kafka writes where it does not know a topic's name.
const UNKNOWN: &str = "<UNKNOWN>";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    pub initializing: Named,
    pub initialized: Named,
    pub deleting: VecSet<Uuid>,
}

/// Topics, their names, and partitions of them.
pub type Named = VecMap<Uuid, (Arc<str>, VecSet<i32>)>;

impl States {
    pub fn from_log(value: &StatesValue) -> States {
        let named = |topics: &[NamedPartitions]| {
            let topic = |topic: &NamedPartitions| {
                (topic.topic_id, (topic.topic_name.clone(), topic.partitions.iter().copied().collect()))
            };
            topics.iter().map(topic).collect()
        };
        States {
            initializing: named(&value.initializing_topics),
            initialized: named(&value.initialized_topics),
            deleting: value.deleting_topics.iter().map(|topic| topic.topic_id).collect(),
        }
    }

    pub fn record(&self, group: &Arc<str>, names: &VecMap<Uuid, TopicName>) -> ShareRecord {
        let named = |topics: &Named| {
            let topic = |(id, (name, partitions)): (&Uuid, &(Arc<str>, VecSet<i32>))| NamedPartitions {
                topic_id: *id,
                topic_name: name.clone(),
                partitions: partitions.iter().copied().collect(),
            };
            topics.iter().map(topic).collect()
        };
        let deleting = |id: &Uuid| NamedTopic { topic_id: *id, topic_name: name_of(*id, names) };
        let value = StatesValue {
            initializing_topics: named(&self.initializing),
            initialized_topics: named(&self.initialized),
            deleting_topics: self.deleting.iter().map(deleting).collect(),
        };
        ShareRecord::States(group.clone(), Some(value))
    }

    /// That initialisation is over: with `done` the partitions are initialized.
    fn initialized(&mut self, partitions: &Named, done: bool) {
        for (id, (_, over)) in partitions {
            if let Some((_, initializing)) = self.initializing.get_mut(id) {
                initializing.retain(|partition| !over.contains(partition));
            }
        }
        self.initializing.retain(|_, (_, partitions)| !partitions.is_empty());
        if done {
            combine(&mut self.initialized, partitions);
        }
    }

    /// Topics that are no more.
    fn without(&self, gone: &VecSet<Uuid>) -> States {
        let mut left = self.clone();
        left.initializing.retain(|id, _| !gone.contains(id));
        left.initialized.retain(|id, _| !gone.contains(id));
        left.deleting.retain(|id| !gone.contains(id));
        left
    }
}

/// These partitions, too; a topic's newer name counts.
pub fn combine(all: &mut Named, more: &Named) {
    for (id, (name, partitions)) in more {
        let known = all.entry(*id).or_default();
        known.0 = name.clone();
        known.1.extend(partitions.iter().copied());
    }
}

pub fn name_of(id: Uuid, names: &VecMap<Uuid, TopicName>) -> Arc<str> {
    names.get(&id).map_or(UNKNOWN, |name| name.as_str()).into()
}

pub fn topic<'a>(cluster: &'a ClusterState, name: &str) -> Option<&'a Topic> {
    cluster.topics.get(&TopicName(StrBytes::from_string(name.to_owned())))
}

impl Share {
    /// What of its topics has no state, nor one on its way since less than the retry interval.
    fn uninitialized(&self, cluster: &ClusterState, fresh: bool) -> Named {
        let mut known = Named::new();
        if let Some(states) = &self.states {
            known = states.initialized.clone();
            if fresh {
                combine(&mut known, &states.initializing);
            }
        }
        let missing = |name: &Arc<str>| {
            let topic = topic(cluster, name)?;
            let has = known.get(&topic.id).map(|(_, partitions)| partitions);
            let partitions = 0..topic.partitions.len() as i32;
            let missing: VecSet<i32> =
                partitions.filter(|partition| has.is_none_or(|has| !has.contains(partition))).collect();
            (!missing.is_empty()).then(|| (topic.id, (name.clone(), missing)))
        };
        self.topic_names().filter_map(missing).collect()
    }

    /// There is something initialized that a member wants and nobody has. (3)
    pub fn has_unassigned(&self, cluster: &ClusterState) -> bool {
        let Some(states) = &self.states else { return false };
        let mut assigned: VecMap<Uuid, VecSet<i32>> = VecMap::new();
        for (id, partitions) in self.targets.values().flat_map(|target| target.iter()) {
            assigned.entry(*id).or_default().extend(partitions.iter().copied());
        }
        states.initialized.iter().any(|(id, (name, partitions))| {
            // A topic may have gone while nobody coordinated.
            let is_there = topic(cluster, name).is_some_and(|topic| topic.id == *id);
            let wanted = is_there && self.topics.contains_key(name);
            wanted && assigned.get(id).is_none_or(|assigned| assigned != partitions)
        })
    }
}

impl Turn<'_, Share> {
    pub fn write_states(&mut self, states: &States) {
        let record = states.record(&self.group.id, self.around.topic_names);
        self.write(record);
        self.decision.moves.push(Move::States(self.group.id.clone(), self.now()));
    }

    /// Has the states of what its members want initialised, as far as there are none. `since` is when that was last begun.
    pub fn initialize(&mut self, since: Option<Timestamp>) -> Option<ShareCall> {
        let retry = self.around.settings.group.share.initialize_retry_interval.as_millis() as i64;
        let fresh = since.is_some_and(|since| self.now().0.saturating_sub(since.0) < retry);
        let missing = self.group.uninitialized(self.around.cluster, fresh);
        if missing.is_empty() {
            return None;
        }
        let mut states = self.group.states.as_deref().cloned().unwrap_or_default();
        combine(&mut states.initializing, &missing);
        states.deleting.retain(|id| !states.initializing.contains_key(id));
        self.write_states(&states);
        let what = What::Initialize { state_epoch: self.group.epoch, start_offset: -1 };
        Some(ShareCall::of(&self.group.id, &missing, what, Then::Initialized))
    }
}

impl Groups {
    /// The share coordinators have initialised the states of those partitions, or not.
    pub(super) fn states_initialized(&self, turn: &mut Turn<'_, Share>, partitions: &Named, done: bool) {
        let before = turn.group.states.as_deref().cloned().unwrap_or_default();
        if !done && before.initializing.is_empty() {
            return;
        }
        let mut states = before;
        states.initialized(partitions, done);
        turn.write_states(&states);
    }

    /// Topics are gone: share coordinators forget their states by themselves.
    pub(in super::super) fn forget_states(
        &self,
        deleted: &[(TopicName, Uuid)],
        names: &VecMap<Uuid, TopicName>,
        decision: &mut Decision<Groups>,
    ) {
        let gone: VecSet<Uuid> = deleted.iter().map(|(_, id)| *id).collect();
        for (id, group) in &self.state.groups {
            let Group::Share(group) = group else { continue };
            let Some(states) = &group.states else { continue };
            let left = states.without(&gone);
            if left != **states {
                decision.records.push(Record::Share(left.record(id, names)));
            }
        }
    }
}
