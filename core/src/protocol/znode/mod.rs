//! What Kafka keeps in ZooKeeper: the znodes of Kafka 3.9, their paths and their JSON, in the order in which it writes
//! the keys (Kafka's `ZkData`).
//!
//! Here the paths | `broker.rs` who is there | `topic.rs` a topic's partitions | `config.rs` what was set |
//! `admin.rs` what was asked for by writing it

mod admin;
mod broker;
mod config;
mod topic;

pub use admin::*;
pub use broker::*;
pub use config::*;
pub use topic::*;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};

use crate::id::{BrokerId, TopicPartition};
use crate::quota::Who;
use crate::zookeeper::Path;

/// What every broker makes sure of when it starts, parents first. They hold no data.
pub const PERSISTENT: [&str; 18] = [
    "/consumers",
    "/brokers",
    "/brokers/ids",
    "/brokers/topics",
    "/brokers/seqid",
    "/config",
    "/config/changes",
    "/config/topics",
    CLIENT_CONFIGS,
    USER_CONFIGS,
    "/config/brokers",
    IP_CONFIGS,
    "/admin",
    "/admin/delete_topics",
    ISR_CHANGES,
    PRODUCER_IDS,
    LOG_DIR_EVENTS,
    "/cluster",
];

pub const CLUSTER_ID: &str = "/cluster/id";
pub const CONTROLLER: &str = "/controller";
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub const BROKER_IDS: &str = "/brokers/ids";
pub const TOPICS: &str = "/brokers/topics";
pub const DELETE_TOPICS: &str = "/admin/delete_topics";
pub const CONFIG_CHANGES: &str = "/config/changes";
pub const BROKER_CONFIGS: &str = "/config/brokers";
/// Kafka with ZooKeeper has no settings of groups; these lie where they would, and the znode is made with the first of them.
pub const GROUP_CONFIGS: &str = "/config/groups";
pub const CLIENT_CONFIGS: &str = "/config/clients";
pub const USER_CONFIGS: &str = "/config/users";
pub const IP_CONFIGS: &str = "/config/ips";
/// The old way to ask for a preferred replica election.
pub const PREFERRED_ELECTION: &str = "/admin/preferred_replica_election";
/// The old way to ask for a reassignment.
pub const REASSIGNMENTS: &str = "/admin/reassign_partitions";
pub const ISR_CHANGES: &str = "/isr_change_notification";
pub const LOG_DIR_EVENTS: &str = "/log_dir_event_notification";
pub const PRODUCER_IDS: &str = "/latest_producer_id_block";
pub const FEATURE: &str = "/feature";

pub fn broker_path(id: BrokerId) -> Path {
    format!("{BROKER_IDS}/{}", id.0).into()
}

pub fn topic_path(topic: &TopicName) -> Path {
    format!("{TOPICS}/{}", topic.0).into()
}

pub fn partitions_path(topic: &TopicName) -> Path {
    format!("{TOPICS}/{}/partitions", topic.0).into()
}

pub fn partition_path(topic: &TopicName, partition: i32) -> Path {
    format!("{TOPICS}/{}/partitions/{partition}", topic.0).into()
}

pub fn state_path(topic: &TopicName, partition: i32) -> Path {
    format!("{TOPICS}/{}/partitions/{partition}/state", topic.0).into()
}

pub fn topic_config_path(topic: &TopicName) -> Path {
    Entity::Topic(topic.clone()).path()
}

/// Below which a user's clients lie.
pub fn clients_of_path(user: &Who) -> Path {
    format!("{USER_CONFIGS}/{}/clients", user.in_path()).into()
}

pub fn delete_topic_path(topic: &TopicName) -> Path {
    format!("{DELETE_TOPICS}/{}", topic.0).into()
}

/// What a path is the path of, among those that say what becomes of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    Topic(TopicName),
    State(TopicPartition),
    TopicConfig(TopicName),
    /// The settings of all brokers.
    BrokersConfig,
    /// That a topic is to go.
    Mark(TopicName),
}

pub fn locate(path: &str) -> Option<Located> {
    if let Some(name) = path.strip_prefix(DELETE_TOPICS).and_then(|below| below.strip_prefix('/')) {
        return Some(Located::Mark(topic_name(name)));
    }
    if *path == *Entity::Brokers.path() {
        return Some(Located::BrokersConfig);
    }
    if let Some(name) = path.strip_prefix("/config/topics/") {
        return Some(Located::TopicConfig(topic_name(name)));
    }
    let (name, below) = match path.strip_prefix(TOPICS)?.strip_prefix('/')?.split_once('/') {
        Some((name, below)) => (name, below),
        None => return Some(Located::Topic(topic_name(&path[TOPICS.len() + 1..]))),
    };
    let partition = below.strip_prefix("partitions/")?.strip_suffix("/state")?.parse().ok()?;
    Some(Located::State(TopicPartition::new(topic_name(name), partition)))
}

/// Of a sequential znode: digits come behind.
pub fn config_change_path() -> Path {
    format!("{CONFIG_CHANGES}/config_change_").into()
}

/// Of a sequential znode: digits come behind.
pub fn isr_change_path() -> Path {
    format!("{ISR_CHANGES}/isr_change_").into()
}

/// Of a sequential znode, too.
pub fn log_dir_event_path() -> Path {
    format!("{LOG_DIR_EVENTS}/log_dir_event_").into()
}

/// A name as a topic's.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("structs of strings and numbers always serialise").into()
}

fn parse<'a, T: Deserialize<'a>>(data: &'a [u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|error| format!("{what} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::log::checkpoint::parse_uuid;
    use crate::protocol::cluster::{Assignment, Registration};
    use crate::quota::QuotaEntity;
    use crate::time::Timestamp;

    fn text(data: Bytes) -> String {
        String::from_utf8(data.to_vec()).unwrap()
    }

    /// As Kafka 3.9.1 wrote them.
    #[test]
    fn every_znode_has_kafkas_bytes() {
        let who = Registration { id: BrokerId(1), host: "127.0.0.1".into(), port: 9092, rack: None };
        let now = Timestamp(1_700_000_000_000);
        assert_eq!(
            text(broker(&who, now)),
            r#"{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://127.0.0.1:9092"],"jmx_port":-1,"port":9092,"host":"127.0.0.1","version":5,"timestamp":"1700000000000"}"#
        );
        assert_eq!(
            text(controller(BrokerId(1), now)),
            r#"{"version":2,"brokerid":1,"timestamp":"1700000000000","kraftControllerEpoch":-1}"#
        );
        let [one, two] = [BrokerId(1), BrokerId(2)];
        let partition = Assignment {
            replicas: vec![one, two],
            isr: vec![one],
            leader: one,
            leader_epoch: 3,
            ..Assignment::default()
        };
        assert_eq!(
            text(state(&partition, 7)),
            r#"{"controller_epoch":7,"leader":1,"version":1,"leader_epoch":3,"isr":[1]}"#
        );
        let unclean = Assignment { recovering: true, ..partition.clone() };
        assert_eq!(
            text(state(&unclean, 2)),
            r#"{"controller_epoch":2,"leader":1,"version":1,"leader_recovery_state":1,"leader_epoch":3,"isr":[1]}"#
        );
        let id = parse_uuid("Jb8wHvF3RyeK8Gg8YbLqIw").unwrap();
        let moving = Assignment { adding: vec![two], ..partition.clone() };
        assert_eq!(
            text(topic(id, &[moving, partition])),
            r#"{"partitions":{"0":[1,2],"1":[1,2]},"topic_id":"Jb8wHvF3RyeK8Gg8YbLqIw","adding_replicas":{"0":[2]},"removing_replicas":{},"version":3}"#
        );
        let configs = [("retention.ms".to_owned(), "5".to_owned())].into();
        assert_eq!(text(config(&configs)), r#"{"version":1,"config":{"retention.ms":"5"}}"#);
        for (entity, path) in [
            (Entity::Topic(topic_name("t")), "topics/t"),
            (Entity::Broker(two), "brokers/2"),
            (Entity::Brokers, "brokers/<default>"),
            (Entity::Clients(QuotaEntity::user(Who::Named("a b".into()))), "users/a%20b"),
            (Entity::Group("a/b".into()), "groups/a%2Fb"),
        ] {
            let change = config_change(&entity);
            assert_eq!(parse_config_change(&change), Ok(Some(entity)));
            assert_eq!(text(change), format!(r#"{{"version":2,"entity_path":"{path}"}}"#));
        }
        assert_eq!(text(cluster_id("x")), r#"{"version":"1","id":"x"}"#);
        assert_eq!(text(producer_ids(one, 0, 999)), r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#);
        let name = TopicPartition::new(topic_name("t"), 4);
        assert_eq!(
            text(isr_change([&name].into_iter())),
            r#"{"version":1,"partitions":[{"topic":"t","partition":4}]}"#
        );
        assert_eq!(text(log_dir_event(two)), r#"{"version":1,"broker":2,"event":1}"#);
        assert_eq!(parse_log_dir_event(&log_dir_event(two)), Ok(two));
        let moved = (name.clone(), vec![two, one]);
        assert_eq!(
            text(reassignments([&moved].into_iter())),
            r#"{"version":1,"partitions":[{"topic":"t","partition":4,"replicas":[2,1]}]}"#
        );
        let asked = br#"{"version":1,"partitions":[{"topic":"t","partition":4}]}"#;
        assert_eq!(parse_preferred_election(asked), Ok(vec![name]));
    }

    #[test]
    fn paths_are_told_apart() {
        let (topic, name) = (topic_name("t"), TopicPartition::new(topic_name("t"), 4));
        assert_eq!(locate(&topic_path(&topic)), Some(Located::Topic(topic.clone())));
        assert_eq!(locate(&state_path(&topic, 4)), Some(Located::State(name)));
        assert_eq!(locate(&topic_config_path(&topic)), Some(Located::TopicConfig(topic.clone())));
        assert_eq!(locate(&delete_topic_path(&topic)), Some(Located::Mark(topic.clone())));
        assert_eq!(locate("/config/brokers/<default>"), Some(Located::BrokersConfig));
        let others = [partitions_path(&topic), partition_path(&topic, 4), TOPICS.into(), broker_path(BrokerId(1))];
        assert!(others.iter().all(|path| locate(path).is_none()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let who = Registration { id: BrokerId(4), host: "h".into(), port: 1, rack: Some("a".into()) };
        assert_eq!(parse_broker(BrokerId(4), &broker(&who, Timestamp(5))), Ok(who));
        let replicas = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let partitions: Vec<Assignment> = (0..12)
            .map(|index| Assignment {
                replicas: replicas(&[index, 2]),
                removing: if index == 11 { replicas(&[2]) } else { Vec::new() },
                ..Assignment::default()
            })
            .collect();
        let id = Uuid::from_u128(77);
        assert_eq!(parse_topic(&topic(id, &partitions)), Ok((id, partitions)));
        assert_eq!(parse_producer_ids(&producer_ids(BrokerId(1), 1_000, 1_999)), Ok(1_999));
        assert!(
            parse_state(
                br#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[2]}"#,
                0,
                &mut Assignment::default()
            )
            .is_err()
        );
        assert!(parse_cluster_id(b"{").unwrap_err().starts_with("the cluster's id cannot be read"));
    }
}
