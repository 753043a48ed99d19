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

/// One answer of those of its share-partitions.
fn join(_version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
    let mut whole = InitializeShareGroupStateResponse::default();
    for part in parts {
        let ResponseKind::InitializeShareGroupState(part) = part else { continue };
        for result in part.results {
            match whole.results.iter_mut().find(|known| known.topic_id == result.topic_id) {
                Some(known) => known.partitions.extend(result.partitions),
                None => whole.results.push(result),
            }
        }
    }
    whole.into()
}
