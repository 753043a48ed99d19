//! What the controller reads: everything when it begins, and whatever a watch says has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use super::elect::elect;
use super::write::Writes;
use super::{Controller, FIRST_REBALANCE, Output, Work, assignment};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::{Assignment, Registration, Topic};
use crate::protocol::znode;
use crate::time::Now;
use crate::zookeeper::{Error, Path, Reply, Stat, path};

/// What has been read for a piece of work so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    waiting: BTreeSet<(bool, Path)>,
    /// By parent; `None` where there is no such znode.
    children: BTreeMap<Path, Option<Vec<Path>>>,
    data: BTreeMap<Path, Option<(Bytes, Stat)>>,
}

impl Reads {
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn asked(&mut self, children: bool, path: Path) {
        self.waiting.insert((children, path));
    }

    pub fn found(&mut self, children: bool, path: Path, result: Result<Reply, Error>) {
        self.waiting.remove(&(children, path.clone()));
        match result {
            Ok(Reply::GetChildren { children }) => drop(self.children.insert(path, Some(children))),
            Ok(Reply::GetData { data, stat }) => drop(self.data.insert(path, Some((data.unwrap_or_default(), stat)))),
            // There is no other reason not to read a znode.
            _ if children => drop(self.children.insert(path, None)),
            _ => drop(self.data.insert(path, None)),
        }
    }

    fn children(&self, path: &str) -> impl Iterator<Item = &Path> {
        self.children.get(path).into_iter().flatten().flatten()
    }

    fn data(&self, path: &str) -> Option<&(Bytes, Stat)> {
        self.data.get(path)?.as_ref()
    }

    fn is_known(&self, children: bool, path: &Path) -> bool {
        if children { self.children.contains_key(path) } else { self.data.contains_key(path) }
    }
}

/// What must be read next: of children or of data, the path, and whether to watch it.
pub(super) fn wanted(work: &Work, reads: &Reads) -> Vec<(bool, Path, bool)> {
    let mut wanted: Vec<(bool, Path, bool)> = Vec::new();
    let list = |path: &str, watch| (true, Path::from(path), watch);
    let data = |path: Path| (false, path, false);
    if let Work::Load | Work::Brokers = work {
        wanted.push(list(znode::BROKER_IDS, true));
        let brokers = reads.children(znode::BROKER_IDS);
        wanted.extend(brokers.map(|id| data(path::join(znode::BROKER_IDS, id))));
    }
    if let Work::Load | Work::IsrChanges = work {
        wanted.push(list(znode::ISR_CHANGES, true));
    }
    match work {
        Work::Load => {
            wanted.push(list(znode::TOPICS, false));
            wanted.push(list(znode::DELETE_TOPICS, false));
            wanted.push(data(znode::FEATURE.into()));
            for topic in reads.children(znode::TOPICS) {
                let name = znode::topic_name(topic);
                let at = znode::topic_path(&name);
                let partitions = reads.data(&at).and_then(|(json, _)| znode::parse_topic(json).ok());
                let partitions = partitions.map_or(0, |(_, partitions)| partitions.len() as i32);
                wanted.push(data(at));
                wanted.push(data(znode::topic_config_path(&name)));
                wanted.push((true, znode::partitions_path(&name), false));
                wanted.extend((0..partitions).map(|index| data(znode::state_path(&name, index))));
            }
        }
        Work::IsrChanges => {
            let notes = || reads.children(znode::ISR_CHANGES).map(|name| path::join(znode::ISR_CHANGES, name));
            wanted.extend(notes().map(data));
            for TopicPartition { topic, partition } in reads.isr_changes() {
                wanted.push(data(znode::state_path(&topic, partition)));
            }
        }
        _ => {}
    }
    wanted.retain(|(children, path, _)| !reads.is_known(*children, path));
    wanted
}

impl Reads {
    /// The brokers that are registered, each with the zxid of its registration; and what cannot be read.
    fn brokers(&self, out: &mut Vec<Output>) -> BTreeMap<BrokerId, (Registration, i64)> {
        let mut brokers = BTreeMap::new();
        for name in self.children(znode::BROKER_IDS) {
            let Some((json, stat)) = self.data(&path::join(znode::BROKER_IDS, name)) else { continue };
            let id = name.parse().map(BrokerId).map_err(|_| format!("{name} is no broker id"));
            match id.and_then(|id| znode::parse_broker(id, json)) {
                Ok(broker) => drop(brokers.insert(broker.id, (broker, stat.czxid.0))),
                Err(why) => out.push(Output::Note(format!("{}/{name}: {why}", znode::BROKER_IDS))),
            }
        }
        brokers
    }

    /// The partitions whose ISRs have changed, as the notifications tell.
    fn isr_changes(&self) -> BTreeSet<TopicPartition> {
        let notes = self.children(znode::ISR_CHANGES).map(|name| path::join(znode::ISR_CHANGES, name));
        // Whatever cannot be read tells nothing; it is removed with the others.
        let told = notes.filter_map(|path| self.data(&path)).filter_map(|(json, _)| znode::parse_isr_change(json).ok());
        told.flatten().collect()
    }

    fn remove_isr_changes(&self, writes: &mut Writes) {
        for name in self.children(znode::ISR_CHANGES) {
            writes.remove(path::join(znode::ISR_CHANGES, name));
        }
    }

    /// A topic as ZooKeeper holds it.
    fn topic(&self, name: &TopicName, writes: &mut Writes) -> Result<Option<Topic>, String> {
        let at = znode::topic_path(name);
        let Some((json, _)) = self.data(&at) else { return Ok(None) };
        let (id, mut partitions) = znode::parse_topic(json).map_err(|why| format!("{at}: {why}"))?;
        for (index, partition) in (0..).zip(&mut partitions) {
            let at = znode::state_path(name, index);
            if let Some((json, stat)) = self.data(&at) {
                znode::parse_state(json, stat.version, partition).map_err(|why| format!("{at}: {why}"))?;
            }
        }
        let at = znode::topic_config_path(name);
        let configs = match self.data(&at) {
            Some((json, _)) => znode::parse_config(json).map_err(|why| format!("{at}: {why}"))?,
            None => {
                writes.create(at, znode::config(&BTreeMap::new()));
                BTreeMap::new()
            }
        };
        if self.children.get(&znode::partitions_path(name)).is_none_or(Option::is_none) {
            writes.create_empty(znode::partitions_path(name));
        }
        Ok(Some(Topic { id, configs, partitions }))
    }
}

impl Controller {
    /// Everything is read: this is the cluster. Whoever must lead is elected, and what an earlier controller left
    /// unfinished is finished.
    pub(super) fn loaded(
        &mut self,
        now: Now,
        reads: &Reads,
        writes: &mut Writes,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let mut topics = BTreeMap::new();
        for name in reads.children(znode::TOPICS) {
            let name = znode::topic_name(name);
            if let Some(topic) = reads.topic(&name, writes)? {
                topics.insert(name, topic);
            }
        }
        let brokers = reads.brokers(out);
        self.shutting_down.retain(|id| brokers.contains_key(id));
        self.marked = reads.children(znode::DELETE_TOPICS).map(|name| znode::topic_name(name)).collect();
        if reads.data(znode::FEATURE).is_none() {
            writes.create(znode::FEATURE.into(), znode::feature());
        }
        // Everything is read anyhow.
        reads.remove_isr_changes(writes);

        let held = Arc::make_mut(&mut self.committed);
        held.broker_epochs = brokers.iter().map(|(id, (_, epoch))| (*id, *epoch)).collect();
        held.brokers = brokers.into_iter().map(|(id, (broker, _))| (id, broker)).collect();
        held.topics = topics;
        self.state = self.committed.clone();
        let (marked, shutting_down, settings) =
            (self.marked.clone(), self.shutting_down.clone(), self.settings.clone());
        self.change(|state| {
            state.topics.retain(|name, _| !marked.contains(name));
            for partition in state.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
                if partition.partition_epoch == Assignment::NEW
                    && let Some(new) = assignment(partition.replicas.clone(), &state.brokers)
                {
                    (partition.leader, partition.isr) = (new.leader, new.isr);
                } else if partition.partition_epoch == Assignment::NEW {
                    // Nobody lives who could begin it; the first of its replicas to come will.
                    partition.isr = partition.replicas.clone();
                }
            }
            elect(state, &shutting_down, &settings);
        });
        if self.rebalance.is_none() && self.settings.auto_leader_rebalance_enable {
            self.rebalance = Some(now.instant + FIRST_REBALANCE);
        }
        Ok(())
    }

    /// Brokers have come, gone, or come back before anyone saw them go.
    pub(super) fn brokers_changed(&mut self, reads: &Reads, out: &mut Vec<Output>) {
        let brokers = reads.brokers(out);
        let registered: BTreeMap<BrokerId, i64> = brokers.iter().map(|(id, (_, epoch))| (*id, *epoch)).collect();
        if registered == self.state.broker_epochs {
            return;
        }
        let gone = self.state.broker_epochs.iter().filter(|(id, epoch)| registered.get(id) != Some(epoch));
        let gone: Vec<BrokerId> = gone.map(|(id, _)| *id).collect();
        self.shutting_down.retain(|id| !gone.contains(id));
        let (shutting_down, settings) = (self.shutting_down.clone(), self.settings.clone());
        self.change(|state| {
            if !gone.is_empty() {
                state.brokers.retain(|id, _| !gone.contains(id));
                elect(state, &shutting_down, &settings);
            }
            state.brokers = brokers.into_iter().map(|(id, (broker, _))| (id, broker)).collect();
            state.broker_epochs = registered;
            elect(state, &shutting_down, &settings);
        });
    }

    /// Leaders have written new ISRs, or who may have lost records has left them: they count, and every broker is told.
    pub(super) fn isrs_changed(&mut self, reads: &Reads, writes: &mut Writes, out: &mut Vec<Output>) {
        reads.remove_isr_changes(writes);
        let mut held = (*self.committed).clone();
        let mut changed = false;
        for TopicPartition { topic, partition: index } in reads.isr_changes() {
            let at = znode::state_path(&topic, index);
            let (Some(partition), Some((json, stat))) = (held.partition_mut(&topic, index), reads.data(&at)) else {
                continue;
            };
            let before = partition.clone();
            if let Err(why) = znode::parse_state(json, stat.version, partition) {
                *partition = before;
                out.push(Output::Note(format!("{at}: {why}")));
            } else {
                changed |= *partition != before;
            }
        }
        if changed {
            self.committed = Arc::new(held);
            self.state = self.committed.clone();
            let (shutting_down, settings) = (self.shutting_down.clone(), self.settings.clone());
            // Where a leader has stepped out another one leads.
            self.change(|state| elect(state, &shutting_down, &settings));
        }
    }
}
