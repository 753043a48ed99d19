//! A broker: a router over closed sets of events. One file per API is in `handle/`.
//!
//! `event.rs`, `effect.rs` what comes in and goes out | `cluster.rs` the cluster's state, applied; the controller, its
//! calls | `handle/` clients' requests

pub mod cluster;
pub mod effect;
pub mod event;
pub mod handle;
pub mod view;

pub use effect::Effect;
pub use event::Event;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::config::broker::BrokerSettings;
use crate::controller::Controller;
use crate::id::{BrokerId, CallId, LogId};
use crate::log::LogImage;
use crate::node::Node;
use crate::partition::Partition;
use crate::protocol::cluster::{ClusterState, Registration};
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
    /// Kafka's broker settings that were set, by name, as they were given; [`Broker::open`] checks them.
    pub settings: BTreeMap<String, String>,
}

impl BrokerConfig {
    /// The lowest id is the controller.
    pub fn controller(&self) -> BrokerId {
        self.peers.iter().copied().min().unwrap_or(self.registration.id)
    }
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

/// One broker.
#[derive(Clone)]
pub struct Broker {
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) settings: Arc<BrokerSettings>,
    /// The newest state that the controller told. Handlers read brokers, topics and leaders here.
    pub(crate) cluster: Arc<ClusterState>,
    /// `cluster.topics` by id.
    pub(crate) topic_names: BTreeMap<Uuid, TopicName>,
    /// On the broker that is the controller.
    pub(crate) controller: Option<Controller>,
    /// Calls to other brokers that have no answer yet.
    calls: BTreeMap<CallId, cluster::Pending>,
    next_call: u64,

    /// Which slot a partition has here, by topic and partition index; no entry where another broker hosts it.
    hosted: BTreeMap<TopicName, BTreeMap<i32, LogId>>,
    /// By [`LogId`]. Slots are not used twice, so that late answers about a removed log find nothing.
    partitions: Vec<Option<Arc<Partition>>>,
    /// What was found on disk and is not hosted (yet): the cluster's state says later what to open.
    found: Image,
}

impl Broker {
    /// A broker over what its data directory holds. The first effects open its logs and cut their torn tails.
    ///
    /// Fails where a setting is wrong, or where a file that cannot be rebuilt is damaged; says which.
    pub fn open(config: BrokerConfig, image: Image, now: Now, out: &mut Vec<Effect>) -> Result<Broker, String> {
        let settings = Arc::new(BrokerSettings::parse(&config.settings).map_err(|error| error.to_string())?);
        let controller = (config.controller() == config.registration.id)
            .then(|| Controller::open(&config, settings.clone(), image.files.get(Controller::FILE)))
            .transpose()?;
        let mut broker = Broker {
            config: Arc::new(config),
            settings,
            cluster: Arc::default(),
            topic_names: BTreeMap::new(),
            controller,
            calls: BTreeMap::new(),
            next_call: 0,
            hosted: BTreeMap::new(),
            partitions: Vec::new(),
            found: image,
        };
        broker.join(now, out);
        Ok(broker)
    }

    pub fn id(&self) -> BrokerId {
        self.config.registration.id
    }

    /// The partition, if this broker hosts it.
    pub fn partition(&self, topic: &TopicName, partition: i32) -> Option<&Partition> {
        let log = *self.hosted.get(topic)?.get(&partition)?;
        self.partitions[log.0 as usize].as_deref()
    }
}

impl Node for Broker {
    type Event = Event;
    type Effect = Effect;

    /// The table of contents: every event and who deals with it.
    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        match event {
            // Clients' requests: one file per API in `handle/`, chosen by the table in `handle/mod.rs`.
            Event::Request { ticket, request } => handle::route(self, now, ticket, *request, out),
            Event::Closed { conn: _ } => {}

            // The cluster: the controller's decisions and everything that follows from them, in `cluster.rs`.
            Event::Call { from, call, request } => self.called(now, from, call, request, out),
            Event::Answer { call, result } => self.answered(now, call, result, out),
            Event::Peer { id, up } => self.peer(now, id, up, out),

            // The logs.
            Event::Appended { log: _, end: _ } => {}
            Event::Flushed { log: _, end: _ } => {}
            Event::Loaded { read: _, bytes: _ } => {}
            Event::Offline { log: _, cause: _ } => {}

            Event::Timer => {}
            Event::Stop => out.push(Effect::Stopped),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
