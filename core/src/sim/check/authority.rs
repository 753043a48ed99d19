//! What is so: what ZooKeeper holds of every partition. Leaders and the controller write there and believe what they read,
//! sooner or later; the checkers compare them with what is written.
//!
//! A transaction counts when it is in ZooKeeper's log: nobody is told of it before.

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use super::{Checks, epoch_fenced_truncation, leader_in_isr, monotonic_epochs, no_committed_record_lost, rack_spread};
use crate::id::TopicPartition;
use crate::protocol::cluster::{Assignment, ClusterState};
use crate::protocol::znode::{self, Located};
use crate::sim::tally::Tally;
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::zookeeper::txn::Txn;

/// The same name for brokers and topics.
pub(in crate::sim) const UNCLEAN_SETTING: &str = "unclean.leader.election.enable";

/// What settings promise of a topic's records.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Promises {
    /// [`UNCLEAN_SETTING`].
    pub unclean: bool,
    /// `min.insync.replicas`
    pub min_insync: usize,
    /// `cleanup.policy` holds `compact`, so that records may go before retention removes them.
    pub compacted: bool,
}

impl Default for Promises {
    fn default() -> Promises {
        Promises { unclean: false, min_insync: 1, compacted: false }
    }
}

impl Promises {
    /// Those of a topic or a broker, where it does not say what it inherits.
    pub fn of(settings: &VecMap<String, String>, inherited: &Promises) -> Promises {
        let min_insync = settings.get("min.insync.replicas").and_then(|value| value.parse().ok());
        let policy = settings.get("cleanup.policy").or_else(|| settings.get("log.cleanup.policy"));
        Promises {
            unclean: settings
                .get(UNCLEAN_SETTING)
                .map_or(inherited.unclean, |value| value.trim().eq_ignore_ascii_case("true")),
            min_insync: min_insync.unwrap_or(inherited.min_insync),
            compacted: policy.map_or(inherited.compacted, |value| value.contains("compact")),
        }
    }
}

impl Checks {
    /// ZooKeeper's log holds that transaction; `given` is what brokers promise as they were started.
    pub fn logged(&mut self, at: Instant, txn: &Txn, given: &Promises, tally: &mut Tally) {
        let mut changed = VecMap::new();
        self.read(txn, given, &mut changed);
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
    fn read(&mut self, txn: &Txn, given: &Promises, changed: &mut VecMap<usize, Assignment>) {
        match txn {
            Txn::Create { path, data, .. } => self.wrote(path, data, 0, given, changed),
            Txn::SetData { path, data, version } => self.wrote(path, data, *version, given, changed),
            Txn::Delete { path } => {
                if let Some(Located::Topic(name)) = znode::locate(path) {
                    self.forget_topic(&name);
                }
            }
            Txn::Multi(txns) => txns.iter().for_each(|txn| self.read(txn, given, changed)),
            Txn::Check { .. } | Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Error { .. } => {}
        }
    }

    /// What cannot be read says nothing: the controller complains of it.
    fn wrote(
        &mut self,
        path: &str,
        data: &Option<Bytes>,
        version: i32,
        given: &Promises,
        changed: &mut VecMap<usize, Assignment>,
    ) {
        let Some(located) = znode::locate(path) else { return };
        let data = &data.clone().unwrap_or_default();
        let inherited = &Promises::of(&self.brokers_config, given);
        match located {
            Located::Topic(name) => {
                let Ok((id, partitions)) = znode::parse_topic(data) else { return };
                let promises = self.topic_configs.get(&name).map(|config| Promises::of(config, inherited));
                let promises = promises.unwrap_or_else(|| inherited.clone());
                for (index, lies) in (0..).zip(partitions) {
                    let place = self.ledger_of(TopicPartition::new(name.clone(), index), id);
                    let ledger = &mut self.ledgers[place];
                    ledger.keep_to(&promises);
                    let now = changed.entry(place).or_insert_with(|| ledger.written.clone());
                    (now.replicas, now.adding, now.removing) = (lies.replicas, lies.adding, lies.removing);
                }
            }
            Located::State(TopicPartition { topic, partition }) => {
                let Some(place) = self.place(&topic, partition) else { return };
                let now = changed.entry(place).or_insert_with(|| self.ledgers[place].written.clone());
                let _ = znode::parse_state(data, version, now);
            }
            // Whatever becomes of it from here on is nobody's loss.
            Located::Mark(name) => self.forget_topic(&name),
            Located::BrokersConfig => {
                let Ok(config) = znode::parse_config(data) else { return };
                let inherited = Promises::of(&config, given);
                self.brokers_config = config;
                for ledger in &mut self.ledgers {
                    let own = self.topic_configs.get(&ledger.name.topic);
                    let promises = own.map(|config| Promises::of(config, &inherited));
                    ledger.keep_to(&promises.unwrap_or_else(|| inherited.clone()));
                }
            }
            Located::TopicConfig(name) => {
                let Ok(config) = znode::parse_config(data) else { return };
                let promises = Promises::of(&config, inherited);
                for place in self.index.get(&name).into_iter().flatten() {
                    self.ledgers[*place].keep_to(&promises);
                }
                self.topic_configs.insert(name, config);
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
        let unclean = leader_in_isr::is_unclean(ledger, assignment) && ledger.may_be_unclean();
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

    /// An operator asks for an unclean election.
    pub fn unclean_election(&mut self, topic: &TopicName, partition: i32) {
        if let Some(place) = self.place(topic, partition) {
            self.ledgers[place].unclean_asked = true;
        }
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
