//! What Kafka keeps in ZooKeeper: the znodes of Kafka 3.9, their paths and their JSON, in the order in which it writes
//! the keys (Kafka's `ZkData`).

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::cluster::{Assignment, Registration};
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};
use crate::log::checkpoint::{parse_uuid, print_uuid};
use crate::time::Timestamp;
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
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
    "/admin",
    "/admin/delete_topics",
    ISR_CHANGES,
    PRODUCER_IDS,
    "/log_dir_event_notification",
    "/cluster",
];

pub const CLUSTER_ID: &str = "/cluster/id";
pub const CONTROLLER: &str = "/controller";
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub const BROKER_IDS: &str = "/brokers/ids";
pub const TOPICS: &str = "/brokers/topics";
pub const DELETE_TOPICS: &str = "/admin/delete_topics";
pub const CONFIG_CHANGES: &str = "/config/changes";
/// The settings of all brokers that have none of their own.
pub const DEFAULT_BROKER_CONFIG: &str = "/config/brokers/<default>";
pub const ISR_CHANGES: &str = "/isr_change_notification";
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
    format!("/config/topics/{}", topic.0).into()
}

pub fn delete_topic_path(topic: &TopicName) -> Path {
    format!("{DELETE_TOPICS}/{}", topic.0).into()
}

/// What a path is the path of, among those that say what a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    Topic(TopicName),
    State(TopicPartition),
    TopicConfig(TopicName),
}

pub fn locate(path: &str) -> Option<Located> {
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

/// A name as a topic's.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

#[derive(Serialize, Deserialize)]
struct ClusterId {
    version: String,
    id: String,
}

pub fn cluster_id(id: &str) -> Bytes {
    json(&ClusterId { version: "1".to_owned(), id: id.to_owned() })
}

pub fn parse_cluster_id(data: &[u8]) -> Result<String, String> {
    parse::<ClusterId>(data, "the cluster's id").map(|cluster| cluster.id)
}

#[derive(Serialize, Deserialize)]
struct Broker {
    features: BTreeMap<String, Value>,
    listener_security_protocol_map: BTreeMap<String, String>,
    endpoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    jmx_port: i32,
    port: u16,
    host: String,
    version: i32,
    timestamp: String,
}

/// Who a broker is, as it registers itself.
pub fn broker(who: &Registration, now: Timestamp) -> Bytes {
    json(&Broker {
        features: BTreeMap::new(),
        listener_security_protocol_map: [("PLAINTEXT".to_owned(), "PLAINTEXT".to_owned())].into(),
        endpoints: vec![format!("PLAINTEXT://{}:{}", who.host, who.port)],
        rack: who.rack.clone(),
        jmx_port: -1,
        port: who.port,
        host: who.host.clone(),
        version: 5,
        timestamp: now.to_string(),
    })
}

pub fn parse_broker(id: BrokerId, data: &[u8]) -> Result<Registration, String> {
    let Broker { host, port, rack, .. } = parse(data, "a broker's registration")?;
    Ok(Registration { id, host, port, rack })
}

#[derive(Serialize, Deserialize)]
struct Controller {
    version: i32,
    brokerid: i32,
    timestamp: String,
    #[serde(rename = "kraftControllerEpoch", default = "none")]
    kraft_controller_epoch: i32,
}

fn none() -> i32 {
    -1
}

pub fn controller(id: BrokerId, now: Timestamp) -> Bytes {
    json(&Controller { version: 2, brokerid: id.0, timestamp: now.to_string(), kraft_controller_epoch: none() })
}

pub fn parse_controller(data: &[u8]) -> Result<BrokerId, String> {
    parse::<Controller>(data, "the controller").map(|controller| BrokerId(controller.brokerid))
}

pub fn controller_epoch(epoch: i32) -> Bytes {
    Bytes::from(epoch.to_string())
}

pub fn parse_controller_epoch(data: &[u8]) -> Result<i32, String> {
    let number = std::str::from_utf8(data).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("the controller's epoch is no number: {}", String::from_utf8_lossy(data)))
}

type Replicas = BTreeMap<Index, Vec<BrokerId>>;

/// A partition's index as a key of JSON, in the order of numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Index(i32);

impl From<Index> for String {
    fn from(index: Index) -> String {
        index.0.to_string()
    }
}

impl TryFrom<String> for Index {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Index, Self::Error> {
        text.parse().map(Index)
    }
}

#[derive(Serialize, Deserialize)]
struct Topic {
    #[serde(default)]
    removing_replicas: Replicas,
    partitions: Replicas,
    topic_id: String,
    #[serde(default)]
    adding_replicas: Replicas,
    version: i32,
}

/// A topic's id and where its partitions lie.
pub fn topic(id: Uuid, partitions: &[Assignment]) -> Bytes {
    let some = |of: fn(&Assignment) -> &Vec<BrokerId>| -> Replicas {
        let all = (0..).map(Index).zip(partitions).map(|(index, partition)| (index, of(partition).clone()));
        all.filter(|(_, replicas)| !replicas.is_empty()).collect()
    };
    json(&Topic {
        removing_replicas: some(|partition| &partition.removing),
        partitions: some(|partition| &partition.replicas),
        topic_id: print_uuid(id),
        adding_replicas: some(|partition| &partition.adding),
        version: 3,
    })
}

/// The topic's id and its partitions, which have no state yet.
pub fn parse_topic(data: &[u8]) -> Result<(Uuid, Vec<Assignment>), String> {
    let mut topic: Topic = parse(data, "a topic's assignment")?;
    let id = parse_uuid(&topic.topic_id).ok_or_else(|| format!("{} is no topic id", topic.topic_id))?;
    if !topic.partitions.keys().copied().eq((0..topic.partitions.len() as i32).map(Index)) {
        return Err("a topic's partitions are not numbered from 0 on".to_owned());
    }
    let partitions = topic.partitions.into_iter().map(|(index, replicas)| Assignment {
        replicas,
        adding: topic.adding_replicas.remove(&index).unwrap_or_default(),
        removing: topic.removing_replicas.remove(&index).unwrap_or_default(),
        ..Assignment::default()
    });
    Ok((id, partitions.collect()))
}

#[derive(Serialize, Deserialize)]
struct State {
    controller_epoch: i32,
    leader: BrokerId,
    version: i32,
    leader_epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
}

/// Who leads a partition and who is in sync.
pub fn state(partition: &Assignment, controller_epoch: i32) -> Bytes {
    json(&State {
        controller_epoch,
        leader: partition.leader,
        version: 1,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
    })
}

/// Puts what a state's znode of that version says into `partition`.
pub fn parse_state(data: &[u8], version: i32, partition: &mut Assignment) -> Result<(), String> {
    let State { leader, leader_epoch, isr, .. } = parse(data, "a partition's state")?;
    if isr.is_empty() || leader != BrokerId::NONE && !isr.contains(&leader) {
        return Err(format!("a partition's ISR {isr:?} is empty or lacks its leader {}", leader.0));
    }
    (partition.leader, partition.leader_epoch, partition.isr) = (leader, leader_epoch, isr);
    partition.partition_epoch = version;
    Ok(())
}

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

#[derive(Serialize, Deserialize)]
struct IsrChange {
    version: i32,
    partitions: Vec<IsrChanged>,
}

#[derive(Serialize, Deserialize)]
struct IsrChanged {
    topic: String,
    partition: i32,
}

/// That leaders have changed the ISR of these partitions.
pub fn isr_change<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> Bytes {
    let changed = |name: &TopicPartition| IsrChanged { topic: name.topic.0.to_string(), partition: name.partition };
    json(&IsrChange { version: 1, partitions: partitions.map(changed).collect() })
}

pub fn parse_isr_change(data: &[u8]) -> Result<Vec<TopicPartition>, String> {
    let IsrChange { partitions, .. } = parse(data, "a change of ISRs")?;
    Ok(partitions.into_iter().map(|one| TopicPartition::new(topic_name(&one.topic), one.partition)).collect())
}

#[derive(Serialize, Deserialize)]
struct ProducerIds {
    version: i32,
    broker: i32,
    block_start: String,
    block_end: String,
}

/// The newest block of producer ids, and whose it is: `start` to `end`, both included.
pub fn producer_ids(broker: BrokerId, start: i64, end: i64) -> Bytes {
    json(&ProducerIds { version: 1, broker: broker.0, block_start: start.to_string(), block_end: end.to_string() })
}

/// The last id that has been given to anyone.
pub fn parse_producer_ids(data: &[u8]) -> Result<i64, String> {
    let block: ProducerIds = parse(data, "the block of producer ids")?;
    block.block_end.parse().map_err(|_| format!("{} is no producer id", block.block_end))
}

/// Kafka's features: none is finalized, and that is settled.
pub fn feature() -> Bytes {
    Bytes::from_static(br#"{"features":{},"version":2,"status":1}"#)
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("structs of strings and numbers always serialise").into()
}

fn parse<'a, T: Deserialize<'a>>(data: &'a [u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|error| format!("{what} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let id = parse_uuid("Jb8wHvF3RyeK8Gg8YbLqIw").unwrap();
        let moving = Assignment { adding: vec![two], ..partition.clone() };
        assert_eq!(
            text(topic(id, &[moving, partition])),
            r#"{"removing_replicas":{},"partitions":{"0":[1,2],"1":[1,2]},"topic_id":"Jb8wHvF3RyeK8Gg8YbLqIw","adding_replicas":{"0":[2]},"version":3}"#
        );
        let configs = [("retention.ms".to_owned(), "5".to_owned())].into();
        assert_eq!(text(config(&configs)), r#"{"version":1,"config":{"retention.ms":"5"}}"#);
        assert_eq!(text(config_change(&topic_name("t"))), r#"{"version":2,"entity_path":"topics/t"}"#);
        assert_eq!(text(cluster_id("x")), r#"{"version":"1","id":"x"}"#);
        assert_eq!(text(producer_ids(one, 0, 999)), r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#);
        let name = TopicPartition::new(topic_name("t"), 4);
        assert_eq!(
            text(isr_change([&name].into_iter())),
            r#"{"version":1,"partitions":[{"topic":"t","partition":4}]}"#
        );
    }

    #[test]
    fn paths_are_told_apart() {
        let (topic, name) = (topic_name("t"), TopicPartition::new(topic_name("t"), 4));
        assert_eq!(locate(&topic_path(&topic)), Some(Located::Topic(topic.clone())));
        assert_eq!(locate(&state_path(&topic, 4)), Some(Located::State(name)));
        assert_eq!(locate(&topic_config_path(&topic)), Some(Located::TopicConfig(topic.clone())));
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
