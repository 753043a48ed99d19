//! WriteShareGroupState: The leader of a share-partition says what has changed. From version 1 on it
//! says how many records are done (KIP-1226).
//! Decided by the share coordinator ([`crate::coordinator::share`]), each share-partition by its own.

use kafka_protocol::messages::write_share_group_state_request::PartitionData;
use kafka_protocol::messages::{ResponseKind, WriteShareGroupStateRequest, WriteShareGroupStateResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::share::{Key, StateBatch, What, Write};
use crate::protocol::share::delivery_complete_count;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: WriteShareGroupStateRequest, out: &mut Vec<Effect>) {
    let mut asks = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let key =
                Key { group: body.group_id.as_str().into(), topic_id: topic.topic_id, partition: partition.partition };
            asks.push((key, write(partition)));
        }
    }
    broker.ask_share_states(asked, asks, join, out);
}

join_share_states!(WriteShareGroupState, WriteShareGroupStateResponse);

fn write(asked: &PartitionData) -> What {
    let batches = asked.state_batches.iter().map(|batch| StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    });
    What::Write(Write {
        state_epoch: asked.state_epoch,
        leader_epoch: asked.leader_epoch,
        start_offset: asked.start_offset,
        delivery_complete_count: delivery_complete_count(&asked.unknown_tagged_fields),
        batches: batches.collect(),
    })
}
