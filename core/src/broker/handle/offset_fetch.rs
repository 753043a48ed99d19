//! OffsetFetch: what groups have committed.
//!
//! - v1: errors are told for each partition; from v2 of the whole, and no list of topics asks for all.
//! - v7: `require_stable`: the answer waits for what is being written, and what an open transaction has committed is
//!   UNSTABLE_OFFSET_COMMIT. Others are answered with what is committed at the moment.
//! - v8: several groups at once.
//! - v10: topics are named by their ids.

use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, ResponseKind};

use super::Asked;
use crate::arrange::Arrange;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::fetch::{self, Fetch};
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::{Event, Waiter};
use crate::error;
use crate::protocol::by_id;

/// The first version that asks for several groups.
const FIRST_BATCHED: i16 = 8;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: OffsetFetchRequest, out: &mut Vec<Effect>) {
    let mut groups =
        if asked.version >= FIRST_BATCHED { body.groups } else { vec![the_one_group(body.group_id, body.topics)] };
    let by_id = asked.version >= by_id::FIRST;
    for topics in groups.iter_mut().filter(|_| by_id).filter_map(|group| group.topics.as_mut()) {
        for topic in topics.iter_mut() {
            topic.name = broker.topic_names.get(&topic.topic_id).cloned().unwrap_or_default();
        }
        // As in Kafka, what is not there is answered last.
        topics.arrange_by_key(|topic| topic.name.is_empty());
    }
    let cluster = broker.cluster.clone();
    broker.gathers.begin(asked.clone(), groups.len(), whole, out);
    for (part, group) in groups.into_iter().enumerate() {
        let waiter = Waiter::from(asked.clone()).part(part);
        let answer = match broker.coordinator_of::<Groups>(&group.group_id) {
            Ok((partition, _)) if body.require_stable => {
                let ask = Ask::Fetch(Fetch { waiter, group });
                broker.coordinate::<Groups>(partition, Event::Asked(ask), out);
                continue;
            }
            Ok((_, shard)) => shard.committed().fetch(&group, false, by_id.then_some(&*cluster)),
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| fetch::refused(&group, error));
        broker.gathers.put(waiter.reply(OffsetFetchResponse::default().with_groups(vec![answer])), out);
    }
}

fn the_one_group(
    id: kafka_protocol::messages::GroupId,
    topics: Option<Vec<kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic>>,
) -> OffsetFetchRequestGroup {
    let topics = topics.map(|topics| {
        let topic = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(topic).collect()
    });
    OffsetFetchRequestGroup::default().with_group_id(id).with_topics(topics)
}

/// Makes one answer of the groups' answers, as the version has it.
fn whole(version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
    let groups = parts.into_iter().flat_map(|part| match part {
        ResponseKind::OffsetFetch(body) => body.groups,
        _ => Vec::new(),
    });
    let mut groups: Vec<OffsetFetchResponseGroup> = groups.collect();
    for group in groups.iter_mut().filter(|group| group.error_code != error::NONE && version >= 2) {
        group.topics.clear();
    }
    if version >= FIRST_BATCHED {
        return OffsetFetchResponse::default().with_groups(groups).into();
    }
    let Some(group) = groups.pop() else { return OffsetFetchResponse::default().into() };
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(if version >= 5 { partition.committed_leader_epoch } else { -1 })
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    let error_code = if version >= 2 { group.error_code } else { error::NONE };
    OffsetFetchResponse::default().with_error_code(error_code).with_topics(topics.collect()).into()
}
