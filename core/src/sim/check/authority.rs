//! What is so: what ZooKeeper holds of every partition. Leaders and the controller write there and believe what they read,
//! sooner or later; the checkers compare them with what is written.
//!
//! A transaction counts when it is in ZooKeeper's log: nobody is told of it before.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Checks, UNCLEAN_SETTING, epoch_fenced_truncation, leader_in_isr, monotonic_epochs, no_committed_record_lost,
    rack_spread,
};
use crate::id::TopicPartition;
use crate::protocol::cluster::{Assignment, ClusterState};
use crate::protocol::znode::{self, Located};
use crate::sim::tally::Tally;
use crate::time::Instant;
use crate::zookeeper::txn::Txn;

/// What settings promise of a topic's records.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Promises {
    /// `unclean.leader.election.enable`
    pub unclean: bool,
    /// `min.insync.replicas`
    pub min_insync: usize,
}

impl Default for Promises {
    fn default() -> Promises {
        Promises { unclean: false, min_insync: 1 }
    }
}

impl Promises {
    /// Those of a topic or a broker, where it does not say what it inherits.
    pub fn of(settings: &BTreeMap<String, String>, inherited: &Promises) -> Promises {
        let min_insync = settings.get("min.insync.replicas").and_then(|value| value.parse().ok());
        Promises {
            unclean: settings.get(UNCLEAN_SETTING).map_or(inherited.unclean, |value| value == "true"),
            min_insync: min_insync.unwrap_or(inherited.min_insync),
        }
    }
}

impl Checks {
    /// ZooKeeper's log holds that transaction.
    pub fn logged(&mut self, at: Instant, txn: &Txn, inherited: &Promises, tally: &mut Tally) {
        let mut changed = BTreeMap::new();
        self.read(txn, inherited, &mut changed);
        for (place, assignment) in changed {
            self.ledgers[place].written.clone_from(&assignment);
            if assignment.partition_epoch == Assignment::NEW {
                continue;
            }
            if let Some(before) = &self.ledgers[place].authority {
                tally.elections += u64::from(before.leader != assignment.leader);
                tally.isr_changes += u64::from(before.isr != assignment.isr);
            }
            self.decided(at, place, &assignment);
        }
    }

    /// Collects what becomes of partitions: all of a multi at once.
    fn read(&mut self, txn: &Txn, inherited: &Promises, changed: &mut BTreeMap<usize, Assignment>) {
        match txn {
            Txn::Create { path, data, .. } => self.wrote(path, data, 0, inherited, changed),
            Txn::SetData { path, data, version } => self.wrote(path, data, *version, inherited, changed),
            Txn::Delete { path } => {
                if let Some(Located::Topic(name)) = znode::locate(path) {
                    self.index.remove(&name);
                }
            }
            Txn::Multi(txns) => txns.iter().for_each(|txn| self.read(txn, inherited, changed)),
            Txn::Check { .. } | Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Error { .. } => {}
        }
    }

    /// What cannot be read says nothing: the controller complains of it.
    fn wrote(
        &mut self,
        path: &str,
        data: &Option<Bytes>,
        version: i32,
        inherited: &Promises,
        changed: &mut BTreeMap<usize, Assignment>,
    ) {
        let (Some(located), Some(data)) = (znode::locate(path), data) else { return };
        match located {
            Located::Topic(name) => {
                let Ok((id, partitions)) = znode::parse_topic(data) else { return };
                let promises = self.promises.get(&name).unwrap_or(inherited).clone();
                for (index, lies) in (0..).zip(partitions) {
                    let place = self.ledger_of(TopicPartition::new(name.clone(), index), id);
                    let ledger = &mut self.ledgers[place];
                    (ledger.unclean, ledger.min_insync) = (promises.unclean, promises.min_insync);
                    let now = changed.entry(place).or_insert_with(|| ledger.written.clone());
                    (now.replicas, now.adding, now.removing) = (lies.replicas, lies.adding, lies.removing);
                }
            }
            Located::State(TopicPartition { topic, partition }) => {
                let Some(place) = self.place(&topic, partition) else { return };
                let now = changed.entry(place).or_insert_with(|| self.ledgers[place].written.clone());
                let _ = znode::parse_state(data, version, now);
            }
            Located::TopicConfig(name) => {
                let Ok(config) = znode::parse_config(data) else { return };
                let promises = Promises::of(&config, inherited);
                for place in self.index.get(&name).into_iter().flatten() {
                    let ledger = &mut self.ledgers[*place];
                    (ledger.unclean, ledger.min_insync) = (promises.unclean, promises.min_insync);
                }
                self.promises.insert(name, promises);
            }
        }
    }

    fn decided(&mut self, at: Instant, place: usize, assignment: &Assignment) {
        let ledger = &mut self.ledgers[place];
        let verdicts = [
            leader_in_isr::check(ledger, assignment),
            monotonic_epochs::decided(ledger, assignment),
            epoch_fenced_truncation::joins(ledger, assignment),
        ];
        let unclean = leader_in_isr::is_unclean(ledger, assignment) && ledger.unclean;
        ledger.authority = Some(assignment.clone());
        for id in &assignment.replicas {
            ledger.replica(*id);
        }
        if unclean {
            let lost = no_committed_record_lost::elected(ledger, at, assignment.leader);
            self.lose(at, place, lost);
        }
        for verdict in verdicts {
            self.judge(at, verdict);
        }
        self.look(at, place);
    }

    /// What the controller goes by now: where it has placed partitions, among the brokers that it knew.
    pub fn placed(&mut self, at: Instant, state: &ClusterState) {
        if state.version <= self.version {
            return;
        }
        // What an earlier controller placed was placed among the brokers of its time.
        let is_loaded = state.version >> 32 != self.version >> 32;
        self.version = state.version;
        for (name, topic) in &state.topics {
            for (partition, assignment) in (0..).zip(&topic.partitions) {
                let Some(place) = self.place(name, partition) else { continue };
                let ledger = &mut self.ledgers[place];
                if std::mem::replace(&mut ledger.placed, true) || is_loaded {
                    continue;
                }
                let spread = rack_spread::check(ledger, assignment, &state.brokers);
                self.judge(at, spread);
            }
        }
    }
}
