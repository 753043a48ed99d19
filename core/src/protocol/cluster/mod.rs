//! What brokers say to each other. One broker is the controller; the others forward what only it may decide, and receive
//! the state of the cluster from it.
//!
//! `mod.rs` what is said | `wire.rs` the same as bytes

pub mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line;
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};
use crate::quota::ClientQuotas;
use crate::vec_map::VecMap;

#[derive(Clone, Debug, PartialEq)]
pub enum ClusterRequest {
    /// A client's request that only the controller may decide (CreateTopics, …), with its API version; and which client
    /// that is.
    Forward { version: i16, client_id: Option<StrBytes>, body: Box<RequestKind> },
    /// The controller, to every live broker: all of the cluster's state.
    Update(Arc<ClusterState>),
    /// A broker that is about to stop, to the controller: its partitions should be led by others. `epoch` is that of its
    /// registration.
    ControlledShutdown { broker: BrokerId, epoch: i64 },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ClusterResponse {
    /// To `Update`: which partitions' logs have failed at the receiver.
    Done { failed: Vec<TopicPartition> },
    /// To `Forward`, in its version.
    Forward { version: i16, body: Box<ResponseKind> },
    /// To `ControlledShutdown`: how many partitions the broker leads that have other replicas.
    Remaining(usize),
    /// The receiver is not the controller.
    NotController,
    /// The receiver has heard of a later controller than the sender of this `Update`.
    StaleControllerEpoch(i32),
    /// The `Update` is for an earlier process, or session, of the receiver.
    StaleBrokerEpoch(i64),
}

/// Who a broker is and where clients find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub id: BrokerId,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

/// What the controller has decided, whole. Brokers take the newest `version` and derive what to host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// Counts up with every change: the controller's epoch, and in the lower 32 bits what that controller has decided.
    pub version: u64,
    pub cluster_id: String,
    pub controller: BrokerId,
    /// Counts controllers.
    pub controller_epoch: i32,
    /// The live ones.
    pub brokers: VecMap<BrokerId, Registration>,
    /// Kafka's broker epochs: under which zxid each of them has registered.
    pub broker_epochs: VecMap<BrokerId, i64>,
    pub topics: BTreeMap<TopicName, Topic>,
    /// Topics whose deletion is under way: to clients they are gone, and whoever has replicas of them removes those.
    pub deleting: BTreeMap<TopicName, Topic>,
    pub broker_configs: BrokerConfigs,
    /// What was set of groups; an entry without settings is one whose settings were taken back.
    pub group_configs: VecMap<String, VecMap<String, String>>,
    pub quotas: ClientQuotas,
}

/// What was set of brokers while they run; under `None`, of all of them. An entry without settings is one whose settings
/// were taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerConfigs(pub VecMap<Option<BrokerId>, VecMap<String, String>>);

impl BrokerConfigs {
    /// Of all brokers.
    pub fn of_all(&self) -> &VecMap<String, String> {
        self.get(None)
    }

    /// Of that one alone.
    pub fn of(&self, id: BrokerId) -> &VecMap<String, String> {
        self.get(Some(id))
    }

    pub fn get(&self, whose: Option<BrokerId>) -> &VecMap<String, String> {
        static NOTHING: VecMap<String, String> = VecMap::new();
        self.0.get(&whose).unwrap_or(&NOTHING)
    }
}

impl ClusterState {
    pub fn partition_mut(&mut self, topic: &TopicName, partition: i32) -> Option<&mut Assignment> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    /// Only what was set for this topic; all else is the default.
    pub configs: VecMap<String, String>,
    /// By partition index.
    pub partitions: Vec<Assignment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// [`BrokerId::NONE`] while no replica that may lead is alive.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    /// The version of the partition's state in ZooKeeper: whoever changes the state names the one that it knows. Kafka's
    /// partition epoch.
    pub partition_epoch: i32,
    /// Of `replicas`, those that a reassignment brings.
    pub adding: Vec<BrokerId>,
    /// Of `replicas`, those that go when the reassignment is complete.
    pub removing: Vec<BrokerId>,
    /// The leader was not in sync when it was elected, and the ISR has not changed since.
    pub recovering: bool,
}

impl Assignment {
    /// Its state is not in ZooKeeper yet.
    pub const NEW: i32 = -1;

    /// A reassignment is under way.
    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas that there are when the reassignment is complete.
    pub fn target(&self) -> Vec<BrokerId> {
        self.replicas.iter().copied().filter(|id| !self.removing.contains(id)).collect()
    }

    /// The replicas that there were before it.
    pub fn origin(&self) -> Vec<BrokerId> {
        self.replicas.iter().copied().filter(|id| !self.adding.contains(id)).collect()
    }
}

impl Default for Assignment {
    /// New, and on no broker.
    fn default() -> Assignment {
        Assignment {
            replicas: Vec::new(),
            isr: Vec::new(),
            leader: BrokerId::NONE,
            leader_epoch: 0,
            partition_epoch: Assignment::NEW,
            adding: Vec::new(),
            removing: Vec::new(),
            recovering: false,
        }
    }
}

impl fmt::Display for ClusterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterRequest::Forward { version, body, .. } => write!(f, "forward {} v{version}", line::variant(body)),
            ClusterRequest::Update(state) => write!(
                f,
                "update {}.{}: {} brokers, {} topics",
                state.controller_epoch,
                state.version as u32,
                state.brokers.len(),
                state.topics.len()
            ),
            ClusterRequest::ControlledShutdown { broker, .. } => write!(f, "controlled shutdown of {broker}"),
        }
    }
}

impl fmt::Display for ClusterResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterResponse::Done { failed } if failed.is_empty() => f.write_str("done"),
            ClusterResponse::Done { failed } => write!(f, "done: {} logs have failed", failed.len()),
            ClusterResponse::Forward { version, body } => write!(f, "forward {} v{version}", line::variant(body)),
            ClusterResponse::Remaining(partitions) => write!(f, "{partitions} partitions remain"),
            ClusterResponse::NotController => f.write_str("not the controller"),
            ClusterResponse::StaleControllerEpoch(epoch) => write!(f, "stale: the controller epoch is {epoch}"),
            ClusterResponse::StaleBrokerEpoch(epoch) => write!(f, "stale: the broker epoch is {epoch}"),
        }
    }
}
