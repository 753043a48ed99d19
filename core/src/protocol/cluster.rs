//! What brokers say to each other. One broker is the controller; the others register with it, forward what only it may
//! decide, and receive the state of the cluster from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line;
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};

#[derive(Clone, Debug)]
pub enum ClusterRequest {
    /// A broker that started, to the controller.
    Register(Registration),
    /// A client's request that only the controller may decide (CreateTopics, …), with its API version.
    Forward { version: i16, body: Box<RequestKind> },
    /// A leader, to the controller: who is in sync with it now.
    AlterIsr(Vec<IsrChange>),
    /// The controller, to every live broker: all of the cluster's state.
    Update(Arc<ClusterState>),
}

#[derive(Clone, Debug)]
pub enum ClusterResponse {
    /// To `Register` and `Update`.
    Done,
    Forward(Box<ResponseKind>),
    /// What became of each change. Those that were made are in the state that the controller told before.
    AlterIsr(Vec<Result<(), ErrorCode>>),
    /// The receiver is not the controller.
    NotController,
}

/// A new ISR, as the leader proposes it. It is made only where both epochs are still those that the leader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    pub topic_id: Uuid,
    pub partition: TopicPartition,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    pub isr: Vec<BrokerId>,
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
    /// How often anything of this has changed: Kafka's partition epoch, in ZooKeeper the version of the partition's state.
    pub partition_epoch: i32,
}

impl fmt::Display for ClusterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterRequest::Register(who) => write!(f, "register {} at {}:{}", who.id, who.host, who.port),
            ClusterRequest::Forward { version, body } => write!(f, "forward {} v{version}", line::variant(body)),
            ClusterRequest::AlterIsr(changes) => {
                f.write_str("alter")?;
                changes.iter().try_for_each(|change| {
                    let ids: Vec<_> = change.isr.iter().map(|id| id.0.to_string()).collect();
                    write!(f, " {} isr={}", change.partition, ids.join(","))
                })
            }
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
            ClusterResponse::AlterIsr(results) => {
                f.write_str("altered")?;
                results.iter().try_for_each(|result| write!(f, " {}", error::name(error::code(result))))
            }
            ClusterResponse::NotController => f.write_str("not the controller"),
        }
    }
}
