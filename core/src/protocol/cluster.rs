//! What brokers say to each other. One broker is the controller; the others register with it, forward what only it may
//! decide, and receive the state of the cluster from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{BrokerId, LeaderEpoch};

#[derive(Clone, Debug)]
pub enum ClusterRequest {
    /// A broker that started, to the controller.
    Register(Registration),
    /// A client's request that only the controller may decide (CreateTopics, …), with its API version.
    Forward { version: i16, body: Box<RequestKind> },
    /// The controller, to every live broker: all of the cluster's state.
    Update(Arc<ClusterState>),
}

#[derive(Clone, Debug)]
pub enum ClusterResponse {
    /// To `Register` and `Update`.
    Done,
    Forward(Box<ResponseKind>),
    /// The receiver is not the controller.
    NotController,
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
    /// Counts up with every change.
    pub version: u64,
    pub cluster_id: String,
    pub controller: BrokerId,
    /// The live ones.
    pub brokers: BTreeMap<BrokerId, Registration>,
    pub topics: BTreeMap<TopicName, Topic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    /// Only what was set for this topic; all else is the default.
    pub configs: BTreeMap<String, String>,
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
}
