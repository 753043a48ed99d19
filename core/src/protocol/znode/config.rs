//! What was set, and that it was.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use serde::{Deserialize, Serialize};

use super::{json, parse};

#[derive(Serialize, Deserialize)]
struct Config {
    version: i32,
    config: BTreeMap<String, String>,
}

/// What was set, of a topic or of brokers.
pub fn config(config: &BTreeMap<String, String>) -> Bytes {
    json(&Config { version: 1, config: config.clone() })
}

pub fn parse_config(data: &[u8]) -> Result<BTreeMap<String, String>, String> {
    parse::<Config>(data, "settings").map(|config| config.config)
}

#[derive(Serialize)]
struct ConfigChange {
    version: i32,
    entity_path: String,
}

/// That a topic's settings have changed.
pub fn config_change(topic: &TopicName) -> Bytes {
    json(&ConfigChange { version: 2, entity_path: format!("topics/{}", topic.0) })
}
