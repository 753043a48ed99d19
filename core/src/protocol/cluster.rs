//! What brokers say to each other. One broker is the controller; the others register with it, forward what only it may
//! decide, and receive the state of the cluster from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line;
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

impl fmt::Display for ClusterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterRequest::Register(who) => write!(f, "register {} at {}:{}", who.id, who.host, who.port),
            ClusterRequest::Forward { version, body } => write!(f, "forward {} v{version}", line::variant(body)),
            ClusterRequest::Update(state) => write!(
                f,
                "update to state {}: {} brokers, {} topics",
                state.version,
                state.brokers.len(),
                state.topics.len()
            ),
        }
    }
}

impl fmt::Display for ClusterResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterResponse::Done => f.write_str("done"),
            ClusterResponse::Forward(body) => write!(f, "forward {}", line::variant(body)),
            ClusterResponse::NotController => f.write_str("not the controller"),
        }
    }
}
