//! What the controller writes: the difference between what ZooKeeper holds and what is decided, as operations.
//!
//! A decision of a few hundred znodes is one multi. A larger one is several, each of which leaves the tree such that
//! another controller can go on from it: a topic's own znode comes first, and a partition without a state is new. That a
//! topic goes is marked (`/admin/delete_topics`) before the first of its znodes does.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use crate::protocol::cluster::{Assignment, ClusterState, Topic};
use crate::protocol::znode;
use crate::zookeeper::Path;
use crate::zookeeper::protocol::{ANY_VERSION, CreateMode, Op, Reply};

/// Operations of one multi: far below what fits into ZooKeeper's `jute.maxbuffer` of 1 MiB.
const BATCH: usize = 500;

/// Operations still to be sent, and the partitions whose states they write.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    to_come: VecDeque<Write>,
    under_way: Vec<Option<(TopicName, i32)>>,
}

#[derive(Clone, Debug)]
struct Write {
    op: Op,
    /// Whose state it writes.
    state_of: Option<(TopicName, i32)>,
    /// What comes behind needs it to be done.
    is_last: bool,
}

impl Writes {
    /// The next multi; `None` where all is written.
    pub fn next(&mut self) -> Option<Vec<Op>> {
        let mut ops = Vec::new();
        self.under_way.clear();
        while ops.len() < BATCH
            && let Some(Write { op, state_of, is_last }) = self.to_come.pop_front()
        {
            ops.push(op);
            self.under_way.push(state_of);
            if is_last {
                break;
            }
        }
        (!ops.is_empty()).then_some(ops)
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
        self.to_come.push_back(Write { op, state_of: None, is_last: false });
    }

    fn push_state(&mut self, op: Op, topic: &TopicName, index: i32) {
        self.to_come.push_back(Write { op, state_of: Some((topic.clone(), index)), is_last: false });
    }

    /// What makes `before` to `after`. `marked` are the topics whose deletion is marked already.
    pub fn difference(
        &mut self,
        before: &ClusterState,
        after: &ClusterState,
        controller_epoch: i32,
        marked: &mut BTreeSet<TopicName>,
    ) {
        let stays = |name: &TopicName, topic: &Topic| after.topics.get(name).is_some_and(|now| now.id == topic.id);
        let gone: Vec<_> = before.topics.iter().filter(|(name, topic)| !stays(name, topic)).collect();
        for (name, _) in &gone {
            if marked.insert((*name).clone()) {
                self.create_empty(znode::delete_topic_path(name));
            }
        }
        if let Some(last) = self.to_come.back_mut().filter(|_| !gone.is_empty()) {
            last.is_last = true;
        }
        for (name, topic) in gone {
            self.delete_topic(name, topic);
        }
        for name in std::mem::take(marked) {
            self.remove(znode::delete_topic_path(&name));
        }
        for (name, topic) in &after.topics {
            let old = before.topics.get(name).filter(|old| old.id == topic.id);
            if old != Some(topic) {
                self.change_topic(name, old, topic, controller_epoch);
            }
        }
    }

    fn delete_topic(&mut self, name: &TopicName, topic: &Topic) {
        for (index, partition) in (0..).zip(&topic.partitions) {
            if partition.partition_epoch != Assignment::NEW {
                self.remove(znode::state_path(name, index));
                self.remove(znode::partition_path(name, index));
            }
        }
        self.remove(znode::partitions_path(name));
        self.remove(znode::topic_path(name));
        self.remove(znode::topic_config_path(name));
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
                    self.set(znode::topic_config_path(name), znode::config(&topic.configs), ANY_VERSION);
                }
                if !old.partitions.iter().map(lies).eq(topic.partitions.iter().map(lies)) {
                    let json = znode::topic(topic.id, &topic.partitions);
                    self.set(znode::topic_path(name), json, ANY_VERSION);
                }
            }
        }
        for (index, partition) in (0..).zip(&topic.partitions) {
            let path = znode::state_path(name, index);
            let data = Some(znode::state(partition, controller_epoch));
            let before = old.and_then(|old| old.partitions.get(index as usize));
            let says = |partition: &Assignment| (partition.leader, partition.leader_epoch, partition.isr.clone());
            if partition.partition_epoch == Assignment::NEW {
                self.create_empty(znode::partition_path(name, index));
                self.push_state(Op::Create { path, data, mode: CreateMode::Persistent }, name, index);
            } else if before.map(says) != Some(says(partition)) {
                self.push_state(Op::SetData { path, data, version: partition.partition_epoch }, name, index);
            }
        }
    }
}
