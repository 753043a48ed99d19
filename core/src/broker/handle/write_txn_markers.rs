//! WriteTxnMarkers: a transaction coordinator ends transactions in the partitions that this broker leads.
//!
//! Each marker is a control batch of its own, appended as by a producer that waits for all in-sync replicas, and refused
//! where it comes too late: by the producer's epoch, and by the coordinator's. What is not hosted here is
//! UNKNOWN_TOPIC_OR_PARTITION. Markers of one producer are answered together. Version 2 says under which level of
//! `transaction.version` the transaction was (KIP-1228).

use std::collections::BTreeMap;

use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{ProducerId, TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::Asked;
use crate::broker::purgatory::Parked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::error::{self, ErrorCode};
use crate::id::{LogId, Offset};
use crate::partition::Until;
use crate::protocol::markers;
use crate::record::Marker;
use crate::time::Instant;

/// A WriteTxnMarkers whose markers are placed, on its way to being committed.
#[derive(Clone)]
pub struct Marking {
    asked: Asked,
    pub deadline: Instant,
    response: WriteTxnMarkersResponse,
    waits: Vec<Wait>,
    /// How many of `waits` are not done.
    left: usize,
}

/// One marker in one partition, and where the response speaks of it.
#[derive(Clone, Copy)]
struct Wait {
    place: Place,
    log: LogId,
    end: Offset,
    done: bool,
}

#[derive(Clone, Copy)]
struct Place {
    producer: usize,
    topic: usize,
    partition: usize,
}

impl Marking {
    /// What each marker waits for.
    pub fn ends(&self) -> impl Iterator<Item = (LogId, Offset)> {
        self.waits.iter().map(|wait| (wait.log, wait.end))
    }

    /// One is done, well or not. True when it was the last.
    pub fn settle(&mut self, wait: usize, result: Result<(), ErrorCode>) -> bool {
        let wait = &mut self.waits[wait];
        if !std::mem::replace(&mut wait.done, true) {
            self.left -= 1;
            answer(&mut self.response, wait.place).error_code = error::code(&result);
        }
        self.left == 0
    }

    pub fn reply(mut self, out: &mut Vec<Effect>) {
        self.asked.version = self.asked.version.min(markers::KNOWN);
        self.asked.reply(self.response, out);
    }

    /// The time is up for all that is not done.
    pub fn expire(mut self, out: &mut Vec<Effect>) {
        for wait in 0..self.waits.len() {
            self.settle(wait, Err(ErrorCode::RequestTimedOut));
        }
        self.reply(out);
    }
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: WriteTxnMarkersRequest, out: &mut Vec<Effect>) {
    let mut response = WriteTxnMarkersResponse::default();
    let (mut places, mut waits) = (Places::default(), Vec::new());
    for marker in body.markers {
        let (id, epoch, version) = (marker.producer_id, marker.producer_epoch, markers::transaction_version(&marker));
        let end = Marker { commit: marker.transaction_result, coordinator_epoch: marker.coordinator_epoch };
        for topic in marker.topics {
            for index in topic.partition_indexes {
                let place = places.make(&mut response, id, &topic.name, index);
                match append(broker, &asked, &topic.name, index, end, (id, epoch, version), out) {
                    Ok((log, end)) => waits.push(Wait { place, log, end, done: false }),
                    Err(error) => answer(&mut response, place).error_code = error.code(),
                }
            }
        }
    }
    let deadline = asked.now.instant + broker.settings.request_timeout;
    let marking = Box::new(Marking { asked, deadline, response, left: waits.len(), waits });
    match marking.left {
        0 => marking.reply(out),
        _ => broker.purgatory.park(marking.asked.ticket, Parked::Markers(marking), Until::Committed),
    }
}

/// Gives where the marker will be committed.
fn append(
    broker: &mut Broker,
    asked: &Asked,
    topic: &TopicName,
    index: i32,
    marker: Marker,
    (id, epoch, version): (ProducerId, i16, i8),
    out: &mut Vec<Effect>,
) -> Result<(LogId, Offset), ErrorCode> {
    let log = broker.hosted(topic, index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    broker.may_mark(log)?;
    let partition = broker.partition_mut(log).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let batch = marker.batch(asked.now.wall, id.0, epoch);
    let bytes = batch.bytes.len();
    let placed = partition.append_marker(asked.now, batch, version, out).map_err(|invalid| invalid.error)?;
    let flush = partition.log.deadline();
    broker.appending(log, bytes, flush);
    let end = placed.last_offset + 1;
    broker.marked(log, Producer { id: id.0, epoch }, marker.commit, end);
    Ok((log, end))
}

/// Where the response speaks of a producer, and of a producer in a topic.
#[derive(Default)]
struct Places {
    producers: BTreeMap<i64, usize>,
    topics: BTreeMap<(i64, TopicName), usize>,
}

impl Places {
    /// Makes a place for what becomes of a marker.
    fn make(&mut self, response: &mut WriteTxnMarkersResponse, id: ProducerId, name: &TopicName, index: i32) -> Place {
        let results = &mut response.markers;
        let producer = *self.producers.entry(id.0).or_insert_with(|| {
            results.push(WritableTxnMarkerResult::default().with_producer_id(id));
            results.len() - 1
        });
        let topics = &mut results[producer].topics;
        let topic = *self.topics.entry((id.0, name.clone())).or_insert_with(|| {
            topics.push(WritableTxnMarkerTopicResult::default().with_name(name.clone()));
            topics.len() - 1
        });
        let partitions = &mut topics[topic].partitions;
        partitions.push(WritableTxnMarkerPartitionResult::default().with_partition_index(index));
        Place { producer, topic, partition: partitions.len() - 1 }
    }
}

fn answer(response: &mut WriteTxnMarkersResponse, place: Place) -> &mut WritableTxnMarkerPartitionResult {
    &mut response.markers[place.producer].topics[place.topic].partitions[place.partition]
}
