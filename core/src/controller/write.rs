//! What the controller writes: the difference between what ZooKeeper holds and what is decided, as operations.
//!
//! A decision of a few hundred znodes is one multi. A larger one is several, each of which leaves the tree such that
//! another controller can go on from it: a topic's own znode comes first, and a partition without a state is new. What can
//! only go together is glued: a partition and its state, a topic and the mark of its deletion.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::{Assignment, ClusterState, Topic};
use crate::protocol::znode::{self, Entity};
use crate::quota::{ClientQuotas, Who};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::zookeeper::Path;
use crate::zookeeper::protocol::{ANY_VERSION, CreateMode, MAX_REQUEST, Op, Reply};

/// Operations of one multi.
const BATCH: usize = 500;
/// Bytes of one multi, after which no further operation is put into it.
const BATCH_BYTES: usize = 128 << 10;
/// Bytes of one znode: what ZooKeeper takes in a request, but for what else is in the multi.
const MAX_ZNODE: usize = MAX_REQUEST - BATCH_BYTES - (64 << 10);

/// Operations still to be sent, and the partitions whose states they write.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    to_come: VecDeque<Write>,
    under_way: Vec<Option<(TopicName, i32)>>,
    /// Their deletion is marked already, by another hand.
    marked: VecSet<TopicName>,
}

#[derive(Clone, Debug)]
struct Write {
    op: Op,
    /// Whose state it writes.
    state_of: Option<(TopicName, i32)>,
    /// It is done with the one behind it.
    glued: bool,
}

impl Writes {
    /// The next multi; `None` where all is written.
    pub fn next(&mut self) -> Option<Vec<Op>> {
        let (mut ops, mut bytes) = (Vec::new(), 0);
        self.under_way.clear();
        let mut goes_on = true;
        while (goes_on || ops.len() < BATCH && bytes < BATCH_BYTES)
            && let Some(Write { op, state_of, glued }) = self.to_come.pop_front()
        {
            bytes += size(&op);
            ops.push(op);
            self.under_way.push(state_of);
            goes_on = glued;
        }
        (!ops.is_empty()).then_some(ops)
    }

    /// A znode that is more than ZooKeeper would take, if there is one.
    pub fn too_large(&self) -> Option<Path> {
        let large = self.to_come.iter().find(|write| size(&write.op) > MAX_ZNODE)?;
        large.op.path().cloned()
    }

    /// The last multi is done: its states have new versions.
    pub fn written(&mut self, replies: &[Reply], state: &mut ClusterState) {
        // The first answer is that of the check.
        for (reply, state_of) in replies.iter().skip(1).zip(self.under_way.drain(..)) {
            let version = match reply {
                Reply::SetData { stat } => stat.version,
                _ => 0,
            };
            let partition = state_of.and_then(|(topic, index)| state.partition_mut(&topic, index));
            if let Some(partition) = partition {
                partition.partition_epoch = version;
            }
        }
    }

    pub fn create(&mut self, path: Path, data: Bytes) {
        self.push(Op::Create { path, data: Some(data), mode: CreateMode::Persistent });
    }

    pub fn create_empty(&mut self, path: Path) {
        self.push(Op::Create { path, data: None, mode: CreateMode::Persistent });
    }

    pub fn remove(&mut self, path: Path) {
        self.push(Op::Delete { path, version: ANY_VERSION });
    }

    fn set(&mut self, path: Path, data: Bytes, version: i32) {
        self.push(Op::SetData { path, data: Some(data), version });
    }

    fn push(&mut self, op: Op) {
        self.to_come.push_back(Write { op, state_of: None, glued: false });
    }

    fn push_state(&mut self, op: Op, topic: &TopicName, index: i32) {
        self.to_come.push_back(Write { op, state_of: Some((topic.clone(), index)), glued: false });
    }

    /// That the deletion of these is marked.
    pub fn are_marked(&mut self, names: impl Iterator<Item = TopicName>) {
        self.marked.extend(names);
    }

    /// Of the reassignments that were asked for by writing them, those that are still under way.
    pub fn set_moves(&mut self, moves: &[(TopicPartition, Vec<BrokerId>)]) {
        let path = znode::REASSIGNMENTS.into();
        match moves {
            [] => self.remove(path),
            moves => self.set(path, znode::reassignments(moves.iter()), ANY_VERSION),
        }
    }

    /// What makes `before` to `after`.
    pub fn difference(&mut self, before: &ClusterState, after: &ClusterState, controller_epoch: i32) {
        for (name, topic) in &after.deleting {
            let old = before.deleting.get(name);
            if old.is_none() && !self.marked.contains(name) {
                self.create_empty(znode::delete_topic_path(name));
            }
            if old != Some(topic) {
                self.change_topic(name, old.or_else(|| before.topics.get(name)), topic, controller_epoch);
            }
        }
        for (name, topic) in before.deleting.iter().filter(|(name, _)| !after.deleting.contains_key(*name)) {
            self.delete_topic(name, topic);
        }
        for (name, topic) in &after.topics {
            let old = before.topics.get(name).filter(|old| old.id == topic.id);
            if old != Some(topic) {
                self.change_topic(name, old, topic, controller_epoch);
            }
        }
        for (whose, configs) in &after.broker_configs.0 {
            let old = before.broker_configs.0.get(whose);
            if old != Some(configs) {
                let entity = whose.map_or(Entity::Brokers, Entity::Broker);
                self.change_config(&entity, old.is_some(), configs);
            }
        }
        if before.group_configs.is_empty() && !after.group_configs.is_empty() {
            self.create_empty(znode::GROUP_CONFIGS.into());
        }
        for (group, configs) in &after.group_configs {
            let old = before.group_configs.get(group);
            if old != Some(configs) {
                self.change_config(&Entity::Group(group.clone()), old.is_some(), configs);
            }
        }
        self.change_quotas(&before.quotas, &after.quotas);
    }

    /// A user's znode stands before those of the user's clients, and goes after them.
    fn change_quotas(&mut self, before: &ClientQuotas, after: &ClientQuotas) {
        if before == after {
            return;
        }
        let (had, have) = (users_with_clients(before), users_with_clients(after));
        let (inner, outer): (Vec<_>, Vec<_>) =
            after.iter().filter(|(whose, set)| before.get(whose) != Some(set)).partition(|(whose, _)| whose.is_inner());
        for (whose, set) in outer {
            let entity = Entity::Clients(whose.clone());
            match (before.contains_key(whose), set.is_empty()) {
                (false, true) => self.create_empty(entity.path()),
                (is_there, _) => self.change_config(&entity, is_there, set),
            }
        }
        for user in have.difference(&had) {
            self.create_empty(znode::clients_of_path(user));
        }
        for (whose, set) in inner {
            self.change_config(&Entity::Clients(whose.clone()), before.contains_key(whose), set);
        }
        let (inner, outer): (Vec<_>, Vec<_>) =
            before.keys().filter(|whose| !after.contains_key(whose)).partition(|whose| whose.is_inner());
        for whose in inner {
            self.remove_config(&Entity::Clients(whose.clone()));
        }
        for user in had.difference(&have) {
            self.remove(znode::clients_of_path(user));
        }
        for whose in outer {
            let entity = Entity::Clients(whose.clone());
            match before[whose].is_empty() {
                true => self.remove(entity.path()),
                false => self.remove_config(&entity),
            }
        }
    }

    fn delete_topic(&mut self, name: &TopicName, topic: &Topic) {
        for (index, partition) in (0..).zip(&topic.partitions) {
            if partition.partition_epoch != Assignment::NEW {
                self.remove(znode::state_path(name, index));
                self.glue();
                self.remove(znode::partition_path(name, index));
            }
        }
        for path in [znode::partitions_path(name), znode::topic_path(name), znode::topic_config_path(name)] {
            self.remove(path);
            self.glue();
        }
        self.remove(znode::delete_topic_path(name));
    }

    fn glue(&mut self) {
        if let Some(last) = self.to_come.back_mut() {
            last.glued = true;
        }
    }

    /// Settings that changed, and that they did.
    fn change_config(&mut self, entity: &Entity, is_there: bool, configs: &VecMap<String, String>) {
        match is_there {
            true => self.set(entity.path(), znode::config(configs), ANY_VERSION),
            false => self.create(entity.path(), znode::config(configs)),
        }
        self.tell_config_change(entity);
    }

    fn remove_config(&mut self, entity: &Entity) {
        self.remove(entity.path());
        self.tell_config_change(entity);
    }

    fn tell_config_change(&mut self, entity: &Entity) {
        let (path, data) = (znode::config_change_path(), Some(znode::config_change(entity)));
        self.push(Op::Create { path, data, mode: CreateMode::PersistentSequential });
    }

    fn change_topic(&mut self, name: &TopicName, old: Option<&Topic>, topic: &Topic, controller_epoch: i32) {
        let lies =
            |partition: &Assignment| (partition.replicas.clone(), partition.adding.clone(), partition.removing.clone());
        match old {
            None => {
                self.create(znode::topic_config_path(name), znode::config(&topic.configs));
                self.create(znode::topic_path(name), znode::topic(topic.id, &topic.partitions));
                self.create_empty(znode::partitions_path(name));
            }
            Some(old) => {
                if old.configs != topic.configs {
                    self.change_config(&Entity::Topic(name.clone()), true, &topic.configs);
                }
                if !old.partitions.iter().map(lies).eq(topic.partitions.iter().map(lies)) {
                    let json = znode::topic(topic.id, &topic.partitions);
                    self.set(znode::topic_path(name), json, ANY_VERSION);
                }
            }
        }
        let is_new = |partition: &Assignment| partition.partition_epoch == Assignment::NEW;
        for (index, partition) in (0..).zip(&topic.partitions) {
            // One that is to be deleted before it was begun never is.
            if is_new(partition) && partition.leader == BrokerId::NONE && partition.isr.is_empty() {
                continue;
            }
            let path = znode::state_path(name, index);
            let data = Some(znode::state(partition, controller_epoch));
            let before = old.and_then(|old| old.partitions.get(index as usize));
            let says = |partition: &Assignment| (partition.leader, partition.leader_epoch, partition.isr.clone());
            if is_new(partition) {
                self.create_empty(znode::partition_path(name, index));
                self.push_state(Op::Create { path, data, mode: CreateMode::Persistent }, name, index);
            } else if before.map(says) != Some(says(partition)) {
                self.push_state(Op::SetData { path, data, version: partition.partition_epoch }, name, index);
            }
        }
    }
}

fn users_with_clients(quotas: &ClientQuotas) -> VecSet<&Who> {
    quotas.keys().filter(|whose| whose.is_inner()).filter_map(|whose| whose.user.as_ref()).collect()
}

/// About what an operation takes on the wire, where it is one that has data.
fn size(op: &Op) -> usize {
    let data = match op {
        Op::Create { data, .. } | Op::SetData { data, .. } => data.as_ref().map_or(0, Bytes::len),
        _ => 0,
    };
    op.path().map_or(0, |path| path.len()) + data
}
