//! Positions: where a consumer reads in each of its partitions, and how it came there.
//!
//! ```text
//! Unknown → Reset asked [ListOffsets] → At(offset) → At(offset') [poll] …
//!    ↑                                      │ → Halted [no reset wanted, or the log is broken]
//!    └──── OFFSET_OUT_OF_RANGE ─────────────┘
//! ```
//!
//! A position is read from its partition's leader, or from the follower that the leader named (KIP-392), until that one
//! refuses or `metadata.max.age.ms` have passed.

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::settings::{Reset, Settings};
use super::validate::Validity;
use crate::client::connection::LinkId;
use crate::client::metadata::Metadata;
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset, TopicPartition};
use crate::time::Instant;

/// ListOffsets' timestamps that are none.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// One partition, as the consumer sees it.
#[derive(Clone, Debug)]
pub struct Position {
    pub topic: TopicName,
    pub topic_id: uuid::Uuid,
    pub partition: i32,
    pub state: State,
    /// Who leads it, at which epoch.
    pub leader: Option<(LinkId, LeaderEpoch)>,
    /// The follower to read from, and until when.
    pub preferred: Option<(LinkId, Instant)>,
    /// In which epoch the record before the offset was written; −1 is not known.
    pub epoch: LeaderEpoch,
    pub validity: Validity,
    /// Something went wrong: not before this.
    pub retry_at: Instant,
    /// In a row.
    pub failures: u32,
    /// As of the last answer; −1 before.
    pub high_watermark: Offset,
    /// Fetched records wait for the application.
    pub buffered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Unknown,
    Asked,
    At(Offset),
    /// Why no more is read.
    Halted(String),
}

impl Position {
    /// The offset to fetch from, if it can be fetched from now.
    pub fn fetchable(&self, now: Instant) -> Option<Offset> {
        match self.state {
            State::At(offset) if self.retry_at <= now && self.validity == Validity::Valid => Some(offset),
            _ => None,
        }
    }

    /// Whether it must be asked now if the log still holds what was read.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        let at = matches!(self.state, State::At(_));
        at && self.validity == Validity::Doubtful && self.retry_at <= now && !self.buffered
    }

    /// The broker to read from, and the leader epoch that it should be in.
    pub fn source(&self, now: Instant) -> Option<(LinkId, LeaderEpoch)> {
        let (leader, epoch) = self.leader?;
        let preferred = self.preferred.filter(|(_, until)| now < *until);
        Some((preferred.map_or(leader, |(follower, _)| follower), epoch))
    }

    pub fn name(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }

    pub fn lag(&self) -> u64 {
        match self.state {
            State::At(offset) => u64::try_from(self.high_watermark - offset).unwrap_or(0),
            _ => 0,
        }
    }
}

/// All partitions of all topics, and new ones as metadata learns of them.
pub fn assign(positions: &mut Vec<Position>, metadata: &Metadata) {
    for topic in metadata.topics() {
        let known = positions.iter().filter(|position| position.topic == topic.name).count();
        positions.extend((known..topic.partitions.len()).map(|partition| Position {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partition: partition as i32,
            state: State::Unknown,
            leader: None,
            preferred: None,
            epoch: -1,
            validity: Validity::Valid,
            retry_at: Instant::ZERO,
            failures: 0,
            high_watermark: -1,
            buffered: false,
        }));
        for position in positions.iter_mut().filter(|position| position.topic == topic.name) {
            position.topic_id = topic.id;
        }
    }
    for position in positions {
        let leader = metadata.leader(&position.topic, position.partition);
        if leader != position.leader {
            // Another leader deserves a try at once.
            position.leader = leader;
            position.preferred = None;
            if position.epoch >= 0 && leader.is_some() {
                position.validity = Validity::Doubtful;
            }
            position.retry_at = Instant::ZERO;
            position.failures = 0;
        }
    }
}

/// The ListOffsets that asks one broker where to begin, and for which positions; `None` if there is nothing to ask.
pub fn ask(
    positions: &mut [Position],
    now: Instant,
    link: LinkId,
    settings: &Settings,
) -> Option<(ListOffsetsRequest, Vec<usize>)> {
    let timestamp = match settings.reset {
        Reset::Latest => LATEST,
        Reset::Earliest | Reset::None => EARLIEST,
    };
    let mut asked = Vec::new();
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (index, position) in positions.iter_mut().enumerate() {
        let Some((_, epoch)) = position.leader.filter(|(leader, _)| *leader == link) else { continue };
        if position.state != State::Unknown || position.retry_at > now {
            continue;
        }
        position.state = State::Asked;
        asked.push(index);
        let partition = ListOffsetsPartition::default()
            .with_partition_index(position.partition)
            .with_current_leader_epoch(epoch)
            .with_timestamp(timestamp);
        match topics.last_mut().filter(|topic| topic.name == position.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let topic = ListOffsetsTopic::default().with_name(position.topic.clone());
                topics.push(topic.with_partitions(vec![partition]));
            }
        }
    }
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(settings.isolation_level)
        .with_timeout_ms(settings.connection.request_timeout.as_millis() as i32)
        .with_topics(topics);
    (!asked.is_empty()).then_some((request, asked))
}

/// What ListOffsets told: the positions that got their offset, and those that must ask again, with the error.
pub fn told(
    positions: &mut [Position],
    asked: &[usize],
    response: &ListOffsetsResponse,
) -> Vec<(usize, Result<Offset, ErrorCode>)> {
    let mut results = Vec::new();
    for index in asked {
        let Some(position) = positions.get_mut(*index).filter(|position| position.state == State::Asked) else {
            continue;
        };
        let topic = response.topics.iter().find(|topic| topic.name == position.topic);
        let answer =
            topic.and_then(|topic| topic.partitions.iter().find(|answer| answer.partition_index == position.partition));
        let result = match answer.map(|answer| (ErrorCode::try_from_code(answer.error_code), answer.offset)) {
            Some((None, offset)) if offset >= 0 => Ok(offset),
            Some((Some(error), _)) => Err(error),
            _ => Err(ErrorCode::UnknownServerError),
        };
        position.state = match result {
            Ok(offset) => State::At(offset),
            Err(_) => State::Unknown,
        };
        position.epoch = answer.map_or(-1, |answer| answer.leader_epoch);
        position.validity = Validity::Valid;
        results.push((*index, result));
    }
    results
}
