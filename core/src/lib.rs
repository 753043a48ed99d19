//! Ottla's core: Kafka's rules, free of IO. This page is the map of the building.
//!
//! **The contract.** Everything that lives in a cluster is a [`node::Node`]: one event in, effects out. Time comes in as
//! [`time::Now`], chance as a [`rng::Stream`]; there is no clock, no thread, no file and no socket in this crate.
//!
//! **What a record passes, in order**
//!
//! | room | what it is |
//! | --- | --- |
//! | [`protocol`] | a request as decoded from a frame; the table of APIs and versions; one line for every message |
//! | [`record`] | batches as bytes that pass through: header, CRC, stamp, codecs, and what a broker asks of a batch |
//! | [`broker`] | the router: requests in [`broker::handle`], one file per API; who waits, in [`broker::purgatory`] |
//! | [`partition`] | acks, the ISR, the high watermark |
//! | [`log`] | offsets, segments, indexes, look-ups, recovery: which bytes lie where; a driver owns the bytes |
//! | [`broker::replication`] | the same record at a follower: what it fetches from leaders, and where its log parts from theirs |
//!
//! **Who decides for groups and transactions**: [`coordinator`], on the broker that leads the partition where each is kept.
//!
//! **What the members of a share group take, record by record**: [`broker`]'s `share`, on the broker that leads the partition.
//!
//! **How much a client may ask for**: [`quota`].
//!
//! **Who decides for all**: [`controller`], carried by one broker; what can be set, [`config`]. What must outlive them all
//! lies in [`zookeeper`].
//!
//! **Who talks to brokers**: [`client`], producers and consumers as nodes.
//!
//! **What Kafka once did wrong**, to be turned on where it is to be seen: [`bug`].
//!
//! **What a page draws**: [`view`], which the simulator fills, and a live server.
//!
//! **Where it all runs without a machine**: [`sim`]: network, disks and faults around the same nodes; scenarios and time
//! travel. Natively the driver is the crate `ottla-server`.

pub mod arrange;
pub mod broker;
pub mod bug;
pub mod client;
pub mod config;
pub mod controller;
pub mod coordinator;
mod crc;
mod deflate;
pub mod error;
pub mod id;
pub mod log;
pub mod near;
pub mod node;
pub mod partition;
pub mod protocol;
pub mod quota;
pub mod record;
pub mod rng;
pub mod shared_map;
pub mod sim;
pub mod time;
pub mod vec_map;
pub mod vec_set;
pub mod view;
pub mod zookeeper;
