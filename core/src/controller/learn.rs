//! What the controller makes of what it has read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::elect::Election;
use super::load::Reads;
use super::reassign::complete_reassignments;
use super::write::Writes;
use super::{Controller, FIRST_REBALANCE, Output, Work, assignment, quota};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::Assignment;
use crate::protocol::znode::{self, Entity};
use crate::time::Now;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::zookeeper::{Path, path};

/// Kafka's `changeExpirationMs`: so long a notification of changed settings stays.
const CHANGE_EXPIRATION_MS: i64 = 15 * 60 * 1_000;

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
        self.failed_logs.retain(|id, _| brokers.contains_key(id));
        if reads.data(znode::FEATURE).is_none() {
            writes.create(znode::FEATURE.into(), znode::feature());
        }
        // Everything is read anyhow, and every broker is told, which says in turn which of its logs have failed.
        reads.remove_isr_changes(writes);
        reads.remove_log_dir_events(writes);

        let held = Arc::make_mut(&mut self.committed);
        held.broker_epochs = brokers.iter().map(|(id, (_, epoch))| (*id, *epoch)).collect();
        held.brokers = brokers.into_iter().map(|(id, (broker, _))| (id, broker)).collect();
        held.broker_configs = reads.broker_configs(out);
        held.group_configs = reads.group_configs(out);
        held.quotas = reads.quotas(writes, out);
        (held.topics, held.deleting) = (topics, BTreeMap::new());
        for name in reads.children(znode::DELETE_TOPICS).map(|name| znode::topic_name(name)) {
            match held.topics.remove(&name) {
                Some(topic) if self.settings.delete_topic_enable => drop(held.deleting.insert(name, topic)),
                Some(topic) => {
                    held.topics.insert(name.clone(), topic);
                    writes.remove(znode::delete_topic_path(&name));
                }
                None => writes.remove(znode::delete_topic_path(&name)),
            }
        }
        self.state = self.committed.clone();
        self.follow_settings();
        self.mutations.follow(&self.state.quotas);
        let electorate = self.electorate();
        self.change(|state| {
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
            electorate.elect(state);
            complete_reassignments(state, &electorate);
        });
        self.resume_deletions();
        self.config_changes.clear();
        self.note_config_changes(now, reads, writes);
        self.elect_as_written(reads, writes, out);
        self.reassign_as_written(reads, writes, out);
        if self.rebalance.is_none() && self.settings.auto_leader_rebalance_enable {
            self.rebalance = Some(now.instant + FIRST_REBALANCE);
        }
        Ok(())
    }

    /// Brokers have come, gone, or come back before anyone saw them go.
    pub(super) fn brokers_changed(&mut self, reads: &Reads, out: &mut Vec<Output>) {
        let brokers = reads.brokers(out);
        let registered: VecMap<BrokerId, i64> = brokers.iter().map(|(id, (_, epoch))| (*id, *epoch)).collect();
        if registered == self.state.broker_epochs {
            return;
        }
        let gone = self.state.broker_epochs.iter().filter(|(id, epoch)| registered.get(id) != Some(epoch));
        let gone: Vec<BrokerId> = gone.map(|(id, _)| *id).collect();
        self.shutting_down.retain(|id| !gone.contains(id));
        self.failed_logs.retain(|id, _| !gone.contains(id));
        let electorate = self.electorate();
        self.change(|state| {
            if !gone.is_empty() {
                state.brokers.retain(|id, _| !gone.contains(id));
                electorate.elect(state);
            }
            state.brokers = brokers.into_iter().map(|(id, (broker, _))| (id, broker)).collect();
            state.broker_epochs = registered;
            electorate.elect(state);
            complete_reassignments(state, &electorate);
        });
    }

    /// A broker tells which of its logs have failed.
    pub fn logs_failed(&mut self, now: Now, broker: BrokerId, failed: Vec<TopicPartition>, out: &mut Vec<Output>) {
        let known = self.failed_logs.get(&broker).map_or(&[][..], Vec::as_slice);
        // One that is gone comes back with logs that are whole.
        if known == failed || !self.state.brokers.contains_key(&broker) {
            return;
        }
        self.failed_logs.insert(broker, failed);
        self.enqueue(now, Work::FailedLogs, out);
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
            let electorate = self.electorate();
            self.change(|state| {
                // Where a leader has stepped out another one leads.
                electorate.elect(state);
                complete_reassignments(state, &electorate);
            });
        }
    }

    /// Settings were changed, by this controller or by another hand: they count, and every broker is told.
    pub(super) fn configs_changed(&mut self, now: Now, reads: &Reads, writes: &mut Writes, out: &mut Vec<Output>) {
        let mut held = (*self.committed).clone();
        for (_, _, entity) in reads.config_changes() {
            let configs = match reads.config(&entity.path()) {
                Ok(configs) => configs,
                Err(why) => {
                    out.push(Output::Note(why));
                    continue;
                }
            };
            let known = match entity {
                Entity::Clients(whose) => {
                    quota::put(&mut held.quotas, whose, configs);
                    continue;
                }
                Entity::Topic(name) => held.topics.get_mut(&name).map(|topic| &mut topic.configs),
                Entity::Broker(id) => Some(held.broker_configs.0.entry(Some(id)).or_default()),
                Entity::Brokers => Some(held.broker_configs.0.entry(None).or_default()),
                Entity::Group(group) => Some(held.group_configs.entry(group).or_default()),
            };
            if let Some(known) = known {
                *known = configs.unwrap_or_default();
            }
        }
        self.note_config_changes(now, reads, writes);
        if held != *self.committed {
            self.committed = Arc::new(held);
            self.state = self.committed.clone();
            self.follow_settings();
            self.mutations.follow(&self.state.quotas);
            let electorate = self.electorate();
            self.change(|state| electorate.elect(state));
        }
    }

    /// Which notifications are known now; those that are old go, as Kafka's brokers see to.
    fn note_config_changes(&mut self, now: Now, reads: &Reads, writes: &mut Writes) {
        let there: VecSet<&Path> = reads.children(znode::CONFIG_CHANGES).collect();
        self.config_changes.retain(|name, _| there.contains(name));
        for name in there {
            if let Some((_, stat)) = reads.data(&path::join(znode::CONFIG_CHANGES, name)) {
                self.config_changes.insert(name.clone(), stat.ctime);
            }
        }
        self.config_changes.retain(|name, written| {
            let old = now.wall.0 - *written > CHANGE_EXPIRATION_MS;
            if old {
                writes.remove(path::join(znode::CONFIG_CHANGES, name));
            }
            !old
        });
    }

    /// Topics were marked for deletion by writing so.
    pub(super) fn marked(&mut self, reads: &Reads, writes: &mut Writes) {
        let names = reads.children(znode::DELETE_TOPICS).map(|name| znode::topic_name(name));
        let (known, unknown): (Vec<_>, Vec<_>) = names
            .filter(|name| !self.state.deleting.contains_key(name))
            .partition(|name| self.state.topics.contains_key(name) && self.settings.delete_topic_enable);
        for name in unknown {
            writes.remove(znode::delete_topic_path(&name));
        }
        if !known.is_empty() {
            writes.are_marked(known.iter().cloned());
            self.begin_deletion(known.into_iter().collect());
        }
    }

    /// Partitions are to be led by their preferred replicas, as is written.
    pub(super) fn elect_as_written(&mut self, reads: &Reads, writes: &mut Writes, out: &mut Vec<Output>) {
        let Some((json, _)) = reads.data(znode::PREFERRED_ELECTION) else { return };
        match znode::parse_preferred_election(json) {
            Ok(partitions) => {
                for TopicPartition { topic, partition } in partitions {
                    // What cannot be is told to nobody.
                    let _ = self.elect_one(&topic, partition, Election::Preferred);
                }
            }
            Err(why) => out.push(Output::Note(format!("{}: {why}", znode::PREFERRED_ELECTION))),
        }
        writes.remove(znode::PREFERRED_ELECTION.into());
    }

    /// Partitions are to lie elsewhere, as is written.
    pub(super) fn reassign_as_written(&mut self, reads: &Reads, writes: &mut Writes, out: &mut Vec<Output>) {
        self.written_moves.clear();
        let Some((json, _)) = reads.data(znode::REASSIGNMENTS) else { return };
        match znode::parse_reassignments(json) {
            Ok(moves) => {
                for (name, target) in moves {
                    match self.reassign(&name.topic, name.partition, Some(&target)) {
                        Ok(()) => self.written_moves.push((name, target)),
                        Err((error, message)) => out.push(Output::Note(format!("{name}: {error}: {message}"))),
                    }
                }
            }
            Err(why) => out.push(Output::Note(format!("{}: {why}", znode::REASSIGNMENTS))),
        }
        let under_way = self.written_moves_under_way();
        writes.set_moves(&under_way);
        self.written_moves = under_way;
    }
}
