//! The controller: decides what the cluster is. Which brokers live, which topics there are, where their partitions lie
//! and who leads them. A broker with extra duties, not a master.
//!
//! It only decides: it holds the newest [`ClusterState`] and answers. Its broker ([`crate::broker::cluster`]) sees after
//! every call whether [`Controller::state`] has a new version, and then saves it, applies it and tells the others,
//! before it passes the answer on.
//!
//! ```text
//! a broker registers ──▶ its partitions without a leader get one
//! a broker is gone   ──▶ it leaves the ISRs; what it led is led by another in-sync replica that lives, or by none
//! a leader says who is in sync with it ──▶ the ISR changes, or the proposal is stale and refused
//! CreateTopics, DeleteTopics, CreatePartitions, …AlterConfigs ──▶ changed and answered, or refused with Kafka's error
//! ```
//!
//! Invariants:
//! 1. `state.version` rises with every change and stands still otherwise.
//! 2. A leader is alive and in its ISR; the ISR is a subset of the replicas and never empty: the last member stays, dead
//!    or alive.
//! 3. A leader epoch rises whenever the leader changes.
//!
//! `topic.rs` creation, deletion, growth | `isr.rs` the ISR | `config.rs` settings changed | `placement.rs` which brokers a partition goes
//! to | `store.rs` what survives a restart

pub mod config;
mod isr;
pub mod placement;
pub mod store;
pub mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::broker::BrokerConfig;
use crate::config::broker::BrokerSettings;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, ClusterState, Registration};
use crate::rng::Stream;
use crate::time::Now;

/// Kafka's error with the message that goes with it.
pub type Refusal = (ErrorCode, String);

#[derive(Clone)]
pub struct Controller {
    state: Arc<ClusterState>,
    /// Draws topic ids.
    ids: Stream,
    /// What topics inherit.
    settings: Arc<BrokerSettings>,
}

impl Controller {
    /// The file that [`Controller::contents`] is saved in.
    pub const FILE: &str = "cluster-state.json";

    /// Goes on from what was saved, if anything was; its own broker is registered and alive.
    ///
    /// Fails where the saved state cannot be understood: what is on disk is not overwritten by guesses.
    pub fn open(
        config: &BrokerConfig,
        settings: Arc<BrokerSettings>,
        saved: Option<&Bytes>,
    ) -> Result<Controller, String> {
        let mut state = match saved {
            Some(bytes) => store::load(bytes)?,
            None => ClusterState { cluster_id: config.cluster_id.clone(), ..ClusterState::default() },
        };
        state.controller = config.registration.id;
        // A stream of its own for every start, or a restarted controller would draw the ids again that it has given out.
        let ids = config.seed.stream(&format!("topic-ids-{}", state.version));
        let mut controller = Controller { state: Arc::new(state), ids, settings };
        controller.register(config.registration.clone());
        Ok(controller)
    }

    pub fn state(&self) -> &Arc<ClusterState> {
        &self.state
    }

    /// The state as the file's contents.
    pub fn contents(&self) -> Bytes {
        store::save(&self.state)
    }

    /// A broker started and is alive.
    pub fn register(&mut self, registration: Registration) {
        self.change(|state| {
            state.brokers.insert(registration.id, registration);
            elect(state);
        });
    }

    /// The connection with a broker came up or went down. One that comes up registers before it counts.
    pub fn peer(&mut self, id: BrokerId, up: bool) {
        if !up && self.state.brokers.contains_key(&id) {
            self.change(|state| {
                state.brokers.remove(&id);
                isr::leave(state, id);
                elect(state);
            });
        }
    }

    /// Answers a request that only the controller may decide (CreateTopics, DeleteTopics, CreatePartitions,
    /// AlterConfigs, IncrementalAlterConfigs).
    pub fn decide(&mut self, _now: Now, version: i16, request: RequestKind) -> ResponseKind {
        match request {
            RequestKind::CreateTopics(request) => self.create_topics(&request, version).into(),
            RequestKind::DeleteTopics(request) => self.delete_topics(&request, version).into(),
            RequestKind::CreatePartitions(request) => self.create_partitions(&request).into(),
            RequestKind::AlterConfigs(request) => self.alter_configs(&request).into(),
            RequestKind::IncrementalAlterConfigs(request) => self.incremental_alter_configs(&request).into(),
            other => crate::broker::handle::unsupported::response(version, &other),
        }
    }

    fn change(&mut self, decide: impl FnOnce(&mut ClusterState)) {
        let state = Arc::make_mut(&mut self.state);
        decide(state);
        state.version += 1;
        // (2)
        debug_assert!(state.topics.values().flat_map(|topic| &topic.partitions).all(|partition| {
            !partition.isr.is_empty()
                && partition.isr.iter().all(|id| partition.replicas.contains(id))
                && (partition.leader == BrokerId::NONE
                    || partition.isr.contains(&partition.leader) && state.brokers.contains_key(&partition.leader))
        }));
    }
}

/// Gives every partition the leader that it should have now: the first of its replicas that is in sync and lives.
/// A leader that lives stays.
fn elect(state: &mut ClusterState) {
    let brokers = &state.brokers;
    for partition in state.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
        if brokers.contains_key(&partition.leader) {
            continue;
        }
        let in_sync_and_alive = |id: &BrokerId| partition.isr.contains(id) && brokers.contains_key(id);
        let leader = partition.replicas.iter().copied().find(in_sync_and_alive).unwrap_or(BrokerId::NONE);
        if leader != partition.leader {
            partition.leader = leader;
            // (3)
            partition.leader_epoch += 1;
            partition.partition_epoch += 1;
        }
    }
}

/// A new partition on those replicas: those that live are in sync, and the first of them leads. `None` where none lives.
fn assignment(replicas: Vec<BrokerId>, alive: &BTreeMap<BrokerId, Registration>) -> Option<Assignment> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|id| alive.contains_key(id)).collect();
    let leader = *isr.first()?;
    Some(Assignment { replicas, isr, leader, leader_epoch: 0, partition_epoch: 0 })
}

#[cfg(test)]
pub(crate) mod tests {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::bug::Bugs;
    use crate::rng::Seed;

    pub(crate) fn broker(id: i32, rack: Option<&str>) -> Registration {
        Registration {
            id: BrokerId(id),
            host: format!("broker-{id}"),
            port: 9091 + id as u16,
            rack: rack.map(str::to_string),
        }
    }

    pub(crate) fn open(saved: Option<&Bytes>) -> Result<Controller, String> {
        let config = BrokerConfig {
            registration: broker(1, None),
            cluster_id: "cluster".to_string(),
            log_dir: "/cluster".to_string(),
            peers: vec![BrokerId(1)],
            bugs: Bugs::default(),
            seed: Seed(7),
            settings: BTreeMap::new(),
        };
        let settings = BrokerSettings::parse(&config.settings).unwrap();
        Controller::open(&config, Arc::new(settings), saved)
    }

    pub(crate) fn cluster(brokers: i32) -> Controller {
        let mut controller = open(None).unwrap();
        for id in 2..=brokers {
            controller.register(broker(id, None));
        }
        controller
    }

    pub(crate) fn topic(name: &str) -> TopicName {
        TopicName(StrBytes::from_string(name.to_string()))
    }

    #[test]
    fn a_dead_broker_leaves_its_partitions_without_a_leader_and_returns_with_a_new_epoch() {
        let mut controller = cluster(3);
        controller.create_topics(&topic::tests::request("orders", 3, 1), 7);
        let on_broker_2 = |controller: &Controller| {
            let partitions = &controller.state().topics[&topic("orders")].partitions;
            let partition = partitions.iter().find(|partition| partition.replicas == [BrokerId(2)]).unwrap();
            (partition.leader, partition.leader_epoch, partition.isr.clone())
        };
        assert_eq!(on_broker_2(&controller), (BrokerId(2), 0, vec![BrokerId(2)]));
        controller.peer(BrokerId(2), false);
        assert_eq!(on_broker_2(&controller), (BrokerId::NONE, 1, vec![BrokerId(2)]));
        controller.peer(BrokerId(2), true);
        controller.register(broker(2, None));
        assert_eq!(on_broker_2(&controller), (BrokerId(2), 2, vec![BrokerId(2)]));
    }
}
