//! Who is there: the cluster's id, its brokers, its controller, the producer ids that were given out, its features.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{json, parse};
use crate::id::BrokerId;
use crate::protocol::cluster::Registration;
use crate::time::Timestamp;
use crate::vec_map::VecMap;

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
    features: VecMap<String, Value>,
    listener_security_protocol_map: VecMap<String, String>,
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
        features: VecMap::new(),
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

/// Kafka's `LogDirEventNotification`.
#[derive(Serialize, Deserialize)]
struct LogDirEvent {
    version: i32,
    broker: BrokerId,
    event: i32,
}

/// That a log directory of that broker has failed; here, a log.
pub fn log_dir_event(broker: BrokerId) -> Bytes {
    json(&LogDirEvent { version: 1, broker, event: 1 })
}

pub fn parse_log_dir_event(data: &[u8]) -> Result<BrokerId, String> {
    Ok(parse::<LogDirEvent>(data, "a log directory's event")?.broker)
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
