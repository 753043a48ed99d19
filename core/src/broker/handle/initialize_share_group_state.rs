//! InitializeShareGroupState: The group coordinator says where the group begins in a partition, or sets it anew.
//! Decided by the share coordinator ([`crate::coordinator::share`]), each share-partition by its own.

use kafka_protocol::messages::{InitializeShareGroupStateRequest, InitializeShareGroupStateResponse, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::share::{Key, What};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: InitializeShareGroupStateRequest, out: &mut Vec<Effect>) {
    let mut asks = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let key =
                Key { group: body.group_id.as_str().into(), topic_id: topic.topic_id, partition: partition.partition };
            asks.push((
                key,
                What::Initialize { state_epoch: partition.state_epoch, start_offset: partition.start_offset },
            ));
        }
    }
    broker.ask_share_states(asked, asks, join, out);
}

join_share_states!(InitializeShareGroupState, InitializeShareGroupStateResponse);
