//! Ottla's core: Kafka's rules, free of IO.

pub mod broker;
pub mod client;
pub mod config;
pub mod controller;
pub mod error;
pub mod id;
pub mod log;
pub mod near;
pub mod node;
pub mod partition;
pub mod protocol;
pub mod record;
pub mod rng;
pub mod sim;
pub mod time;
