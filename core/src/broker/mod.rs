//! A broker: a router over closed sets of events. One file per API is in `handle/`.

pub mod effect;
pub mod event;

pub use effect::Effect;
pub use event::Event;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::BrokerId;
use crate::log::LogImage;
use crate::node::Node;
use crate::protocol::cluster::Registration;
use crate::rng::Seed;
use crate::time::{Instant, Now};

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub registration: Registration,
    pub cluster_id: String,
    /// Every broker of the cluster, this one included; the lowest id is the controller.
    pub peers: Vec<BrokerId>,
    /// Topic ids and whatever else this broker draws.
    pub seed: Seed,
    /// Kafka's broker settings that were set, by name, checked by [`crate::config::broker`].
    pub settings: BTreeMap<String, String>,
}

/// What a driver found in a broker's data directory.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Small files by path relative to the data directory (`recovery-point-offset-checkpoint`,
    /// `orders-0/partition.metadata`, `orders-0/leader-epoch-checkpoint`).
    pub files: BTreeMap<String, Bytes>,
    /// By directory name (`orders-0`).
    pub logs: BTreeMap<String, LogImage>,
}

#[derive(Clone)]
pub struct Broker {}

impl Broker {
    /// A broker over what its data directory holds. The first effects open its logs and cut their torn tails.
    pub fn open(_config: BrokerConfig, _image: Image, _now: Now, _out: &mut Vec<Effect>) -> Broker {
        todo!()
    }
}

impl Node for Broker {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, _now: Now, _event: Event, _out: &mut Vec<Effect>) {
        todo!()
    }

    fn deadline(&self) -> Option<Instant> {
        todo!()
    }
}
