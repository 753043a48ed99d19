//! OffsetForLeaderEpoch: where an epoch ended in the leader's log (KIP-101), and which epoch that is where the one that
//! was asked about left no records here (KIP-279).
//!
//! Followers ask before they fetch in a new epoch, consumers when the leader has changed (KIP-320). Only the leader
//! answers; an epoch above all that it knows, or a log without any, is answered with −1.

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: OffsetForLeaderEpochRequest, out: &mut Vec<Effect>) {
    let topics = body.topics.into_iter().map(|topic| {
        let answer = |partition: &OffsetForLeaderPartition| {
            let answer = EpochEndOffset::default().with_partition(partition.partition);
            match look(broker, &topic.topic, partition) {
                Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end),
                Ok(None) => answer.with_leader_epoch(-1).with_end_offset(-1),
                Err(error) => answer.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(-1),
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    let topics = topics.collect();
    asked.reply(OffsetForLeaderEpochResponse::default().with_topics(topics), out);
}

fn look(
    broker: &Broker,
    topic: &TopicName,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let log = broker.hosted(topic, asked.partition)?;
    let partition = broker.slot(log).ok_or(ErrorCode::NotLeaderOrFollower)?;
    partition.led_in(asked.current_leader_epoch)?;
    Ok(partition.log.epochs().end_offset_for(asked.leader_epoch, partition.log.end()))
}
