//! What was set, and that it was.

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use serde::{Deserialize, Serialize};

use super::{json, parse, topic_name};
use crate::id::BrokerId;
use crate::quota::{QuotaEntity, Who};
use crate::vec_map::VecMap;
use crate::zookeeper::Path;

#[derive(Serialize, Deserialize)]
struct Config {
    version: i32,
    config: VecMap<String, String>,
}

/// What was set, of a topic, of brokers, of clients or of a group.
pub fn config(config: &VecMap<String, String>) -> Bytes {
    json(&Config { version: 1, config: config.clone() })
}

/// A znode without data is there for those below it.
pub fn parse_config(data: &[u8]) -> Result<VecMap<String, String>, String> {
    if data.is_empty() {
        return Ok(VecMap::new());
    }
    parse::<Config>(data, "settings").map(|config| config.config)
}

/// Whose settings changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    Topic(TopicName),
    Broker(BrokerId),
    /// All brokers.
    Brokers,
    /// Whose quotas.
    Clients(QuotaEntity),
    Group(String),
}

impl Entity {
    /// Where its settings lie below `/config`; Kafka's entity path.
    fn entity_path(&self) -> String {
        match self {
            Entity::Topic(topic) => format!("topics/{}", topic.0),
            Entity::Broker(id) => format!("brokers/{}", id.0),
            Entity::Brokers => format!("brokers/{DEFAULT}"),
            Entity::Clients(whose) => whose.path(),
            Entity::Group(group) => format!("groups/{}", Who::Named(group.clone()).in_path()),
        }
    }

    pub fn path(&self) -> Path {
        format!("/config/{}", self.entity_path()).into()
    }

    /// `None` where it is of another kind than these.
    fn from_path(path: &str) -> Option<Entity> {
        match path.split_once('/')? {
            ("topics", name) => Some(Entity::Topic(topic_name(name))),
            ("brokers", DEFAULT) => Some(Entity::Brokers),
            ("brokers", id) => id.parse().ok().map(BrokerId).map(Entity::Broker),
            ("groups", name) => group(name).map(Entity::Group),
            _ => QuotaEntity::from_path(path).map(Entity::Clients),
        }
    }
}

/// Whose settings the znode of that name below `/config/groups` has.
pub fn group(name: &str) -> Option<String> {
    match Who::from_path(name)? {
        Who::Named(group) => Some(group),
        Who::Default => None,
    }
}

/// Kafka's name of all entities that have nothing of their own.
const DEFAULT: &str = "<default>";

#[derive(Serialize, Deserialize)]
struct ConfigChange {
    version: i32,
    entity_path: String,
}

/// That someone's settings have changed.
pub fn config_change(entity: &Entity) -> Bytes {
    json(&ConfigChange { version: 2, entity_path: entity.entity_path() })
}

/// `None` where it is about other things than these.
pub fn parse_config_change(data: &[u8]) -> Result<Option<Entity>, String> {
    parse::<ConfigChange>(data, "a change of settings").map(|change| Entity::from_path(&change.entity_path))
}
