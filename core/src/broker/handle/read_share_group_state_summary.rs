//! ReadShareGroupStateSummary: Where a group is in a partition. From version 1 on with
//! how many records are done (KIP-1226).
//! Decided by the share coordinator ([`crate::coordinator::share`]), each share-partition by its own.

use kafka_protocol::messages::{ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::share::{Key, What};

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: ReadShareGroupStateSummaryRequest,
    out: &mut Vec<Effect>,
) {
    let mut asks = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let key =
                Key { group: body.group_id.as_str().into(), topic_id: topic.topic_id, partition: partition.partition };
            asks.push((key, What::Summary { leader_epoch: partition.leader_epoch }));
        }
    }
    broker.ask_share_states(asked, asks, join, out);
}

join_share_states!(ReadShareGroupStateSummary, ReadShareGroupStateSummaryResponse);
