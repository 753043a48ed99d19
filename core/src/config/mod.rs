//! Kafka's settings: names, types, defaults, valid values, documentation.
//!
//! `topic.rs` what a topic can be set to | `broker.rs` what a broker can be set to
