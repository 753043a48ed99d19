//! The core's clients for programs: [`Producer`] and [`Consumer`], against Ottla's brokers or any Kafka.
//!
//! They are the nodes that the simulator runs ([`ottla_core::client`]), with a driver around them that gives them time, dice
//! and TCP. What they do, and what they throw, is Kafka's; so are the names of their settings.
//!
//! ```no_run
//! use std::time::Duration;
//! use ottla_server::client::{Config, Consumer, Producer, ProducerRecord};
//!
//! let config = Config::new().set("bootstrap.servers", "127.0.0.1:9092");
//! let producer = Producer::new(config.clone().set("linger.ms", "20"))?;
//! let placed = producer.send(ProducerRecord::new("orders", "hello").key("4711")).wait()?;
//! println!("{}-{} has it at {}", placed.topic, placed.partition, placed.offset);
//!
//! let mut consumer = Consumer::new(config.set("group.id", "shop").set("auto.offset.reset", "earliest"))?;
//! consumer.subscribe(&["orders"])?;
//! for record in consumer.poll(Duration::from_secs(5))? {
//!     println!("{:?}", record.value);
//! }
//! # Ok::<(), ottla_server::client::Exception>(())
//! ```
//!
//! `config.rs` settings, `unused.rs` those that change nothing | `driver.rs` what runs a node | `producer.rs`, `consumer.rs` the handles
//!
//! An answer whose lengths lie may ask for more memory than there is. A program that reads from brokers that it does not trust
//! installs the allocator that grants what nobody touches, so that such an answer ends its connection and nothing else:
//! `#[global_allocator] static ALLOCATOR: ottla_server::alloc::Allocator = ottla_server::alloc::Allocator;`

mod config;
mod consumer;
mod driver;
mod producer;
mod unused;

pub use config::Config;
pub use consumer::{Consumer, ConsumerRecord, GroupMetadata, Rebalance};
pub use ottla_core::client::exception::Exception;
pub use ottla_core::id::TopicPartition;
pub use ottla_core::record::TimestampType;
pub use producer::{Delivery, Producer, ProducerRecord, RecordMetadata};

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

/// A partition's name.
pub fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(name(topic), partition)
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
