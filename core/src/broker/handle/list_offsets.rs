//! ListOffsets: where a log begins and ends, and which offset has a time.
//!
//! −1 latest, −2 earliest, −3 the record of the largest timestamp (from version 7), −4 earliest local (8), −5 latest
//! tiered (9); there is no tiered storage, so −4 is earliest and −5 is none. Anything else below 0 is
//! UNSUPPORTED_VERSION. A look-up by time may need bytes; then the request goes on when they come.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::Asked;
use crate::broker::purgatory::Reading;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::log::{Found, TimeSeek, TimestampedOffset};
use crate::partition::Partition;
use crate::time::Timestamp;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// A ListOffsets under way.
#[derive(Clone)]
pub struct Listing {
    pub asked: Asked,
    body: ListOffsetsRequest,
    duplicates: BTreeSet<(TopicName, i32)>,
    answered: Vec<ListOffsetsTopicResponse>,
}

/// What a look-up gave.
type Looked = Result<Option<TimestampedOffset>, ErrorCode>;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ListOffsetsRequest, out: &mut Vec<Effect>) {
    let mut seen = BTreeSet::new();
    let mut duplicates = BTreeSet::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                duplicates.insert(key);
            }
        }
    }
    broker.list(Listing { asked, body, duplicates, answered: Vec::new() }, out);
}

impl Listing {
    /// The partition that is next.
    fn next(&self) -> Option<(&TopicName, &ListOffsetsPartition)> {
        let (topic, partition) = match self.answered.last() {
            None => (0, 0),
            Some(last) => (self.answered.len() - 1, last.partitions.len()),
        };
        let rest = self.body.topics.iter().skip(topic);
        let mut skipped = partition;
        for topic in rest {
            if let Some(next) = topic.partitions.get(skipped) {
                return Some((&topic.name, next));
            }
            skipped = 0;
        }
        None
    }

    /// Answers the partition that is next.
    fn answer(&mut self, response: ListOffsetsPartitionResponse) {
        while self
            .answered
            .last()
            .is_none_or(|last| last.partitions.len() == self.body.topics[self.answered.len() - 1].partitions.len())
        {
            let name = self.body.topics[self.answered.len()].name.clone();
            self.answered.push(ListOffsetsTopicResponse::default().with_name(name));
        }
        if let Some(last) = self.answered.last_mut() {
            last.partitions.push(response);
        }
    }

    /// Up to where this client may look; replicas see everything.
    fn last_fetchable_offset(&self, partition: &Partition) -> Offset {
        match (self.body.replica_id.0, self.body.isolation_level) {
            (-1, 1) => partition.log.last_stable_offset(),
            (-1, _) => partition.log.high_watermark(),
            _ => partition.log.end(),
        }
    }

    /// After an election the new leader does not know yet what is committed: clients must ask again.
    fn offset_not_available(&self, partition: &Partition) -> Option<ErrorCode> {
        let leader = partition.led_in(-1).ok()?;
        let lagging = self.body.replica_id.0 == -1 && leader.epoch_start > partition.log.high_watermark();
        lagging.then_some(if self.asked.version >= 5 {
            ErrorCode::OffsetNotAvailable
        } else {
            ErrorCode::LeaderNotAvailable
        })
    }
}

impl Broker {
    /// Answers partition after partition, until a look-up needs bytes.
    fn list(&mut self, mut listing: Listing, out: &mut Vec<Effect>) {
        while let Some((topic, asked)) = listing.next() {
            let looked = match self.look(&listing, topic, asked) {
                Found::Here(looked) => looked,
                Found::Read(extent, seek) => {
                    let read = self.purgatory.read(Reading::ListOffsets(listing, seek));
                    return out.push(Effect::Read { read, extent });
                }
            };
            let response = response(&listing, asked, looked);
            listing.answer(response);
        }
        let Listing { asked, answered, .. } = listing;
        asked.reply(ListOffsetsResponse::default().with_topics(answered), out);
    }

    /// Bytes came that a look-up asked for.
    pub(in crate::broker) fn resume_list(
        &mut self,
        mut listing: Listing,
        seek: TimeSeek,
        bytes: &Bytes,
        out: &mut Vec<Effect>,
    ) {
        let Some((topic, asked)) = listing.next() else { return };
        let looked = match self.listed(topic, asked) {
            Ok(partition) => match seek.resume(&partition.log, bytes) {
                Found::Here(looked) => committed(&listing, partition, looked),
                Found::Read(extent, seek) => {
                    let read = self.purgatory.read(Reading::ListOffsets(listing, seek));
                    return out.push(Effect::Read { read, extent });
                }
            },
            Err(error) => Err(error),
        };
        let response = response(&listing, asked, looked);
        listing.answer(response);
        self.list(listing, out);
    }

    fn listed(&self, topic: &TopicName, asked: &ListOffsetsPartition) -> Result<&Partition, ErrorCode> {
        let log = self.hosted(topic, asked.partition_index)?;
        let partition = self.slot(log).ok_or(ErrorCode::NotLeaderOrFollower)?;
        partition.led_in(asked.current_leader_epoch)?;
        Ok(partition)
    }

    fn look(&self, listing: &Listing, topic: &TopicName, asked: &ListOffsetsPartition) -> Found<Looked, TimeSeek> {
        if listing.duplicates.contains(&(topic.clone(), asked.partition_index)) {
            return Found::Here(Err(ErrorCode::InvalidRequest));
        }
        if !is_supported(asked.timestamp, listing.asked.version) {
            return Found::Here(Err(ErrorCode::UnsupportedVersion));
        }
        let partition = match self.listed(topic, asked) {
            Ok(partition) => partition,
            Err(error) => return Found::Here(Err(error)),
        };
        let log = &partition.log;
        let found = match asked.timestamp {
            LATEST => {
                return Found::Here(match listing.offset_not_available(partition) {
                    Some(error) => Err(error),
                    None => Ok(Some(TimestampedOffset {
                        timestamp: Timestamp::NONE,
                        offset: listing.last_fetchable_offset(partition),
                        leader_epoch: Some(partition.leader_epoch()),
                    })),
                });
            }
            EARLIEST | EARLIEST_LOCAL => return Found::Here(Ok(Some(log.earliest()))),
            LATEST_TIERED => return Found::Here(Ok(None)),
            MAX_TIMESTAMP => log.offset_of_max_timestamp(),
            timestamp => log.offset_for_timestamp(Timestamp(timestamp)),
        };
        match found {
            Found::Here(looked) => Found::Here(committed(listing, partition, looked)),
            read => read,
        }
    }
}

/// Holds back what the client may not see yet.
fn committed(listing: &Listing, partition: &Partition, looked: Looked) -> Looked {
    match looked? {
        Some(found) if found.offset < listing.last_fetchable_offset(partition) => Ok(Some(found)),
        _ => listing.offset_not_available(partition).map_or(Ok(None), Err),
    }
}

fn is_supported(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST | 0.. => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        _ => false,
    }
}

fn response(listing: &Listing, asked: &ListOffsetsPartition, looked: Looked) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_timestamp(-1)
        .with_offset(-1);
    match looked {
        Ok(Some(found)) => {
            let epoch = found.leader_epoch.filter(|_| listing.asked.version >= 4).unwrap_or(-1);
            response.with_timestamp(found.timestamp.0).with_offset(found.offset).with_leader_epoch(epoch)
        }
        Ok(None) => response,
        Err(error) => response.with_error_code(error.code()),
    }
}
