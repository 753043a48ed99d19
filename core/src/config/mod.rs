//! Kafka's settings: names, types, defaults, valid values, documentation.
//!
//! `setting.rs` one setting and its values | `table.rs` all settings of Kafka 4.3 | `topic.rs` what a topic can be set
//! to | `broker.rs` what a broker can be set to, `dynamic.rs` while it runs, `together.rs` how that must be to each other |
//! `connections.rs` how many it takes | `group.rs` what of that is the group coordinator's | `transaction.rs` what is the
//! transaction coordinator's | `internal.rs` the topics that coordinators write to | `describe.rs` what DescribeConfigs
//! says of them
//!
//! The tables, `topic.tsv` and `broker.tsv`, are what Kafka 4.3 itself says when it is asked: a line a setting, in the
//! order in which Kafka defines (and checks) them; only that some lists may not be empty it does not say there. A default
//! of `null` is none, `required` has none, all others follow an `=`. `own.tsv` has in the same form what went from Kafka
//! with ZooKeeper, what can be set there only while brokers run, and what is only here. The documentation of each is in a
//! file beside its table.

pub mod broker;
pub mod connections;
pub mod describe;
pub mod dynamic;
pub mod group;
pub mod internal;
pub mod setting;
pub mod share;
pub mod table;
mod together;
pub mod topic;
pub mod transaction;

pub use broker::BrokerSettings;
pub use connections::ConnectionLimits;
pub use setting::ConfigError;
pub use topic::TopicConfig;
