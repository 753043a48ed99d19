//! DeleteRecords: raises where logs begin, and replies when every replica that lives has followed.
//!
//! −1 is the high watermark. Whole segments go with the next retention pass. Followers hear of the new start with their
//! next fetch, and tell of theirs with the one after it; whoever waits does so for that, or for the time-out.

use std::collections::BTreeMap;

use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use super::Asked;
use crate::broker::purgatory::Parked;
use crate::broker::{Broker, Effect};
use crate::coordinator::topic::is_internal;
use crate::error::ErrorCode;
use crate::id::{LogId, Offset, Ticket};
use crate::time::{Duration, Instant};

/// Kafka's `INVALID_LOW_WATERMARK`.
const NO_LOW_WATERMARK: Offset = -1;

/// A DeleteRecords that waits for followers.
#[derive(Clone)]
pub struct Deleting {
    pub asked: Asked,
    pub deadline: Instant,
    response: DeleteRecordsResponse,
    waits: Vec<Wait>,
}

/// One partition, and where the response speaks of it.
#[derive(Clone, Copy)]
struct Wait {
    topic: usize,
    partition: usize,
    log: LogId,
    /// Every log must begin there.
    offset: Offset,
}

impl Deleting {
    /// The logs that it waits for.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        self.waits.iter().map(|wait| wait.log)
    }

    /// Settles what `outcome` says is over: with which low watermark, or with which error. True where nothing is left.
    fn settle(&mut self, outcome: impl Fn(&Wait) -> Option<Result<Offset, ErrorCode>>) -> bool {
        let topics = &mut self.response.topics;
        self.waits.retain(|wait| {
            let result = &mut topics[wait.topic].partitions[wait.partition];
            match outcome(wait) {
                None => return true,
                Some(Ok(low_watermark)) => result.low_watermark = low_watermark,
                // What waited in vain still tells how far it came.
                Some(Err(ErrorCode::RequestTimedOut)) => result.error_code = ErrorCode::RequestTimedOut.code(),
                Some(Err(error)) => (result.error_code, result.low_watermark) = (error.code(), NO_LOW_WATERMARK),
            }
            false
        });
        self.waits.is_empty()
    }

    /// The time is up.
    pub fn expire(mut self, out: &mut Vec<Effect>) {
        self.settle(|_| Some(Err(ErrorCode::RequestTimedOut)));
        self.asked.reply(self.response, out);
    }
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DeleteRecordsRequest, out: &mut Vec<Effect>) {
    // Of two offsets for one partition the last counts, as in Kafka.
    let mut wanted: BTreeMap<TopicName, BTreeMap<i32, Offset>> = BTreeMap::new();
    for topic in body.topics {
        let offsets = topic.partitions.iter().map(|partition| (partition.partition_index, partition.offset));
        wanted.entry(topic.name).or_default().extend(offsets);
    }
    let mut topics: Vec<DeleteRecordsTopicResult> = Vec::with_capacity(wanted.len());
    let mut waits = Vec::new();
    for (name, offsets) in wanted {
        let mut partitions = Vec::with_capacity(offsets.len());
        for (index, offset) in offsets {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            partitions.push(match delete(broker, &name, index, offset, out) {
                Ok((log, offset, low_watermark)) => {
                    if low_watermark < offset {
                        waits.push(Wait { topic: topics.len(), partition: partitions.len(), log, offset });
                    }
                    result.with_low_watermark(low_watermark)
                }
                Err(error) => result.with_low_watermark(NO_LOW_WATERMARK).with_error_code(error.code()),
            });
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(name).with_partitions(partitions));
    }
    let response = DeleteRecordsResponse::default().with_topics(topics);
    if waits.is_empty() {
        return asked.reply(response, out);
    }
    let deadline = asked.now.instant + Duration::from_millis(body.timeout_ms.max(0) as u64);
    broker.purgatory.park_delete(Box::new(Deleting { asked, deadline, response, waits }));
}

/// The log, where it is to begin, and where the replica's begins that begins first.
fn delete(
    broker: &mut Broker,
    topic: &TopicName,
    index: i32,
    offset: Offset,
    out: &mut Vec<Effect>,
) -> Result<(LogId, Offset, Offset), ErrorCode> {
    let log = broker.hosted(topic, index);
    if let Err(error @ ErrorCode::UnknownTopicOrPartition) = log {
        return Err(error);
    }
    // Of its own topics Kafka deletes nothing for anybody.
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let log = log?;
    let partition = broker.partition_mut(log).ok_or(ErrorCode::NotLeaderOrFollower)?;
    let (offset, low_watermark) = partition.delete_records(offset, out)?;
    Ok((log, offset, low_watermark))
}

impl Broker {
    /// What lies below in that log is needed by nobody.
    pub(in crate::broker) fn delete_below(&mut self, log: LogId, below: Offset, out: &mut Vec<Effect>) {
        if let Some(partition) = self.partition_mut(log) {
            // It leads no more: whoever leads will find out again.
            let _ = partition.delete_records(below, out);
        }
    }

    /// A follower of that log has said where its log begins, or has died: whoever waited for that goes on.
    pub(in crate::broker) fn wake_deletes(&mut self, log: LogId, out: &mut Vec<Effect>) {
        if !self.purgatory.is_deleted_from(log) {
            return;
        }
        let Some(low_watermark) = self.slot(log).map(|partition| partition.low_watermark()) else { return };
        for ticket in self.purgatory.deletes_of(log) {
            self.settle_delete(ticket, out, |wait| {
                (wait.log == log && wait.offset <= low_watermark).then_some(Ok(low_watermark))
            });
        }
    }

    /// That log is none of this broker's to lead any more.
    pub(in crate::broker) fn forsake_deletes(
        &mut self,
        log: LogId,
        tickets: Vec<Ticket>,
        error: ErrorCode,
        out: &mut Vec<Effect>,
    ) {
        for ticket in tickets {
            self.settle_delete(ticket, out, |wait| (wait.log == log).then_some(Err(error)));
        }
    }

    fn settle_delete(
        &mut self,
        ticket: Ticket,
        out: &mut Vec<Effect>,
        outcome: impl Fn(&Wait) -> Option<Result<Offset, ErrorCode>>,
    ) {
        let Some(Parked::DeleteRecords(mut deleting)) = self.purgatory.take(ticket) else { return };
        match deleting.settle(outcome) {
            true => deleting.asked.reply(deleting.response, out),
            false => self.purgatory.park_delete(deleting),
        }
    }
}
