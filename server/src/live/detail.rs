//! What there is to see of something that a hand on the page holds.

use std::sync::Arc;

use bytes::Bytes;
use ottla_core::broker::Broker;
use ottla_core::id::BrokerId;
use ottla_core::protocol::fields;
use ottla_core::record::Batch;
use ottla_core::sim::detail;
use ottla_core::view::{BatchDetail, Detail, MessageDetail, Target, ZnodeDetail};
use ottla_core::zookeeper;
use rustix::io::ReadWriteFlags;

use super::{Kept, Message, hand};
use crate::serve::Server;
use crate::splice::FileSlice;
use crate::storage::read_slice;

/// `None` where it is not there (any more).
pub async fn of(server: &Arc<Server>, target: &Target) -> Option<Detail> {
    match target {
        Target::Message { id } => {
            let message = server.live.messages().find(*id)?.clone();
            Some(Detail::Message(tokio::task::spawn_blocking(|| message_detail(message)).await.ok()?))
        }
        Target::Batch { broker, topic, partition, offset } => {
            let handle = server.broker(BrokerId(*broker))?;
            let (segment, position, slice) = hand::locate(&handle, topic, *partition, *offset).await?;
            let (topic, partition) = (topic.clone(), *partition);
            let read = move || stored(topic, partition, segment, position, &slice);
            tokio::task::spawn_blocking(read).await.ok()?.map(Detail::Batch)
        }
        Target::Broker { id } => {
            let facts = server.broker(BrokerId(*id))?.look(|broker| broker.broker_facts()).await?;
            Some(Detail::Facts(facts))
        }
        Target::Partition { broker, topic, partition } => {
            let (topic, partition) = (topic.clone(), *partition);
            let facts = move |broker: &Broker| broker.partition_facts(&topic, partition);
            server.broker(BrokerId(*broker))?.look(facts).await?.map(Detail::Facts)
        }
        Target::ZooKeeper => server.zookeeper.look(zookeeper::Server::facts).await.map(Detail::Facts),
        Target::Znode { path } => znode(server, path.clone()).await.map(Detail::Znode),
        // What a server knows of these is all in the view.
        Target::Producer { .. }
        | Target::Consumer { .. }
        | Target::Group { .. }
        | Target::Transaction { .. }
        | Target::Topic { .. } => Some(Detail::Facts(Vec::new())),
    }
}

/// What ZooKeeper holds there.
pub async fn znode(server: &Server, path: String) -> Option<ZnodeDetail> {
    server.zookeeper.look(move |server| server.znode(&path)).await?
}

fn message_detail(mut message: Message) -> MessageDetail {
    let client = if message.view.response { &mut message.view.to } else { &mut message.view.from };
    client.clone_from(message.client_id.as_ref().unwrap_or(&String::new()));
    let (fields, batch) = match &message.kept {
        Kept::Request(request) => {
            let batch = request.batches.iter().flatten().next().map(|checked| {
                let (topic, partition) = first_partition(&request.body).unwrap_or_default();
                batch_detail(topic, partition, None, checked.batch.bytes.clone())
            });
            (fields::of_request(request), batch)
        }
        Kept::Fields(fields) => (fields.clone(), None),
        Kept::Response(response, slice) => {
            let extent = response.records.iter().flatten().next();
            let batch = slice.as_ref().zip(extent).and_then(|(slice, extent)| {
                let topic = message.view.topic.clone().unwrap_or_default();
                stored(topic, 0, extent.segment, extent.position, slice)
            });
            (fields::of_response(response), batch)
        }
    };
    MessageDetail {
        api: format!("{:?}", message.api),
        version: message.version,
        correlation_id: message.correlation_id,
        client_id: message.client_id,
        fields,
        batch,
        passed: Some(message.passed),
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
    // No longer than the file, whatever it says of itself.
    let left = slice.file.metadata().ok()?.len().saturating_sub(slice.position);
    let len = len.min(usize::try_from(left).ok()?);
    let bytes = read_slice(&FileSlice { len, ..slice.clone() }, ReadWriteFlags::empty()).ok()?;
    Some(batch_detail(topic, partition, Some((segment, position)), bytes))
}

fn batch_detail(topic: String, partition: i32, at: Option<(i64, u32)>, bytes: Bytes) -> BatchDetail {
    let size = bytes.len() as u32;
    match Batch::parse(bytes) {
        Ok(batch) => detail::batch_detail(&topic, partition, &batch, at),
        Err(broken) => {
            BatchDetail { topic, partition, at, size, broken: Some(broken.to_string()), ..BatchDetail::default() }
        }
    }
}
