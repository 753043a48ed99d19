//! What there is to see of something that a hand on the page holds.

use std::sync::Arc;

use bytes::Bytes;
use ottla_core::protocol::fields;
use ottla_core::record::{Batch, Record};
use ottla_core::sim::view::{BatchDetail, Detail, FactGroup, MessageDetail, RecordView, Target, View};
use rustix::io::ReadWriteFlags;

use super::{Kept, Message, hand};
use crate::serve::Server;
use crate::splice::FileSlice;
use crate::storage::read_slice;

/// Bytes of a batch that a detail shows.
const SHOWN: usize = 4 << 10;
/// Records of a batch that a detail shows.
const RECORDS: usize = 100;
/// Bytes of a record's value that a detail shows.
const VALUE: usize = 4 << 10;

/// `None` where it is not there (any more).
pub async fn of(server: &Arc<Server>, target: &Target) -> Option<Detail> {
    match target {
        Target::Message { id } => {
            let message = server.live.messages().find(*id)?.clone();
            Some(Detail::Message(tokio::task::spawn_blocking(|| message_detail(message)).await.ok()?))
        }
        Target::Batch { broker, topic, partition, offset } => {
            let handle = server.broker(ottla_core::id::BrokerId(*broker))?;
            let (segment, position, slice) = hand::locate(handle, topic, *partition, *offset).await?;
            let (topic, partition) = (topic.clone(), *partition);
            let read = move || stored(topic, partition, segment, position, &slice);
            tokio::task::spawn_blocking(read).await.ok()?.map(Detail::Batch)
        }
        Target::Broker { .. } | Target::Partition { .. } | Target::Producer { .. } | Target::Consumer { .. } => {
            facts(&server.view().await, target).map(Detail::Facts)
        }
    }
}

fn message_detail(message: Message) -> MessageDetail {
    let (fields, batch) = match &message.kept {
        Kept::Request(request) => {
            let batch = request.batches.iter().flatten().next().map(|checked| {
                let (topic, partition) = first_partition(&request.body).unwrap_or_default();
                batch_detail(topic, partition, None, checked.batch.bytes.clone())
            });
            (fields::of_request(&request.body), batch)
        }
        Kept::Response(response, slice) => {
            let extent = response.records.iter().flatten().next();
            let batch = slice.as_ref().zip(extent).and_then(|(slice, extent)| {
                let topic = message.view.topic.clone().unwrap_or_default();
                stored(topic, 0, extent.segment, extent.position, slice)
            });
            (fields::of_response(&response.body), batch)
        }
    };
    MessageDetail {
        api: format!("{:?}", message.api),
        version: message.version,
        correlation_id: message.correlation_id,
        client_id: message.client_id,
        fields,
        batch,
        message: message.view,
    }
}

fn first_partition(body: &kafka_protocol::messages::RequestKind) -> Option<(String, i32)> {
    let kafka_protocol::messages::RequestKind::Produce(produce) = body else { return None };
    let topic = produce.topic_data.first()?;
    Some((topic.name.to_string(), topic.partition_data.first()?.index))
}

/// The batch at the beginning of a run of a log.
fn stored(topic: String, partition: i32, segment: i64, position: u32, slice: &FileSlice) -> Option<BatchDetail> {
    let head = FileSlice { len: ottla_core::record::batch::LOG_OVERHEAD, ..slice.clone() };
    let head = read_slice(&head, ReadWriteFlags::empty()).ok()?;
    let length = i32::from_be_bytes(head.get(8..12)?.try_into().expect("four bytes"));
    let len = ottla_core::record::batch::LOG_OVERHEAD + usize::try_from(length).ok()?;
    let bytes = read_slice(&FileSlice { len, ..slice.clone() }, ReadWriteFlags::empty()).ok()?;
    Some(batch_detail(topic, partition, Some((segment, position)), bytes))
}

fn batch_detail(topic: String, partition: i32, at: Option<(i64, u32)>, bytes: Bytes) -> BatchDetail {
    let mut detail = BatchDetail {
        topic,
        partition,
        at,
        size: bytes.len() as u32,
        bytes: bytes[..bytes.len().min(SHOWN)].to_vec(),
        ..BatchDetail::default()
    };
    let batch = match Batch::parse(bytes) {
        Ok(batch) => batch,
        Err(broken) => {
            detail.broken = Some(format!("{broken:?}"));
            return detail;
        }
    };
    detail.base_offset = batch.header.base_offset;
    detail.last_offset = batch.header.last_offset();
    detail.header = batch.header.fields();
    match Record::decode_first(&batch, RECORDS) {
        Ok(records) => detail.records = records.iter().map(record_view).collect(),
        Err(malformed) => detail.broken = Some(malformed.0),
    }
    detail
}

fn record_view(record: &Record) -> RecordView {
    RecordView {
        offset: record.offset,
        timestamp: record.timestamp.0,
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(text),
        headers: record.headers.iter().map(|header| (header.key.clone(), header.value.as_deref().map(text))).collect(),
    }
}

/// As text where it is UTF-8, else as `0x…`.
fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(VALUE)];
    match std::str::from_utf8(shown) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned()
        }
        Err(_) => shown.iter().fold(String::from("0x"), |hex, byte| hex + &format!("{byte:02x}")),
    }
}

/// Names and values, out of the view.
fn facts(view: &View, target: &Target) -> Option<Vec<FactGroup>> {
    let fact = |name: &str, value: &dyn std::fmt::Display| (name.to_owned(), value.to_string());
    let group = |title: &str, facts| FactGroup { title: title.to_owned(), facts };
    match target {
        Target::Broker { id } => {
            let broker = view.brokers.iter().find(|broker| broker.id == *id)?;
            let own = vec![
                fact("node.id", &broker.id),
                fact("listens on", &format!("{}:{}", broker.host, broker.port)),
                fact("controller", &if broker.controller { "yes" } else { "no" }),
                fact("connections", &broker.connections),
                fact("bytes in", &broker.bytes_in),
                fact("bytes out", &broker.bytes_out),
                fact("requests parked", &broker.parked),
            ];
            let logs = broker.replicas.iter().map(|replica| {
                let name = format!("{}-{}", replica.topic, replica.partition);
                (name, format!("{}..{}, {} bytes", replica.log_start, replica.end, replica.bytes))
            });
            Some(vec![group(&broker.name, own), group("logs", logs.collect())])
        }
        Target::Partition { broker, topic, partition } => {
            let broker = view.brokers.iter().find(|it| it.id == *broker)?;
            let replica = broker.replicas.iter().find(|it| it.topic == *topic && it.partition == *partition)?;
            let facts = vec![
                fact("role", &if replica.leader { "leader" } else { "follower" }),
                fact("leader_epoch", &replica.leader_epoch),
                fact("log_start_offset", &replica.log_start),
                fact("high_watermark", &replica.high_watermark),
                fact("log_end_offset", &replica.end),
                fact("flushed", &replica.flushed),
                fact("bytes", &replica.bytes),
                fact("segments", &replica.segments),
            ];
            let about = view.topics.iter().find(|it| it.name == *topic)?;
            let configs = about.configs.clone();
            let own = vec![fact("topic id", &about.id), fact("partitions", &about.partitions)];
            let mut groups = vec![group(&format!("{topic}-{partition} on {}", broker.name), facts), group(topic, own)];
            if !configs.is_empty() {
                groups.push(group("set for the topic", configs));
            }
            Some(groups)
        }
        Target::Producer { name } => {
            let producer = view.producers.iter().find(|producer| producer.name == *name)?;
            let facts = vec![
                fact("connection", &producer.settings),
                fact("topic", &producer.topic),
                fact("records sent", &producer.sent),
                fact("records a second", &format!("{:.1}", producer.rate)),
                fact("requests in flight", &producer.in_flight),
            ];
            Some(vec![group(name, facts)])
        }
        Target::Consumer { name } => {
            let consumer = view.consumers.iter().find(|consumer| consumer.name == *name)?;
            let mut groups =
                vec![group(name, vec![fact("connection", &consumer.settings), fact("lag", &consumer.lag)])];
            let position = |it: &ottla_core::sim::view::PositionView| {
                (format!("{}-{}", it.topic, it.partition), it.offset.to_string())
            };
            groups.push(group("fetches from", consumer.positions.iter().map(position).collect()));
            Some(groups)
        }
        Target::Message { .. } | Target::Batch { .. } => None,
    }
}
