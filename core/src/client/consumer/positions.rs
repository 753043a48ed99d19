//! Positions: where a consumer reads in each of its partitions, and how it came there.
//!
//! ```text
//! Free → Fresh [assigned by the group] → At [OffsetFetch: what is committed]
//!          ↓ nothing is
//!       Unknown → Asked [ListOffsets] → At(offset) → At(offset') [poll] …
//!          ↑                               │ → Halted [no reset wanted, or the log is broken]
//!          └──── OFFSET_OUT_OF_RANGE ──────┘
//! ```
//!
//! A member of a group keeps the places of what it has let go of ([`State::Free`]): whoever waits for an answer about one
//! asks by its [`Tenure`]. (Not for ListOffsets: what an earlier question was answered tells as well where to begin.)
//!
//! A position is read from its partition's leader, or from the follower that the leader named (KIP-392), until that one
//! refuses or `metadata.max.age.ms` have passed.

use std::collections::VecDeque;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::fetched::Fetched;
use super::settings::{Reset, Settings};
use super::validate::Validity;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::client::metadata::Metadata;
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset, TopicPartition};
use crate::time::{Instant, Timestamp};

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
    /// What the group has committed, as far as this member knows; −1 is not known.
    pub committed: Offset,
    /// The application does not want its records for now.
    pub paused: bool,
    /// By its timestamp nothing was found: what is written from now on is read.
    pub to_end: bool,
    /// How often it was let go of.
    pub tenure: u32,
}

/// A position for as long as it is the consumer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub index: usize,
    pub count: u32,
}

impl Tenure {
    /// The position, unless it was let go of meanwhile.
    pub fn of(self, positions: &mut [Position]) -> Option<&mut Position> {
        positions.get_mut(self.index).filter(|position| position.tenure == self.count)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Another member's, if anybody's.
    Free,
    /// Where the group is, is to be asked.
    Fresh,
    Unknown,
    Asked,
    At(Offset),
    /// Why no more is read.
    Halted(Exception),
}

impl Position {
    /// The offset to fetch from, if it can be fetched from now.
    pub fn fetchable(&self, now: Instant) -> Option<Offset> {
        match self.state {
            State::At(offset) if self.retry_at <= now && self.validity == Validity::Valid && !self.paused => {
                Some(offset)
            }
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
            State::At(offset) => u64::try_from(self.high_watermark.saturating_sub(offset)).unwrap_or(0),
            _ => 0,
        }
    }
}

impl Position {
    fn new(topic: TopicName, partition: i32, state: State) -> Position {
        Position {
            topic,
            topic_id: uuid::Uuid::nil(),
            partition,
            state,
            leader: None,
            preferred: None,
            epoch: -1,
            validity: Validity::Valid,
            retry_at: Instant::ZERO,
            failures: 0,
            high_watermark: -1,
            buffered: false,
            committed: -1,
            paused: false,
            to_end: false,
            tenure: 0,
        }
    }
}

/// All partitions of all topics, and new ones as metadata learns of them.
pub fn assign(positions: &mut Vec<Position>, metadata: &Metadata) {
    for topic in metadata.topics() {
        let known = positions.iter().filter(|position| position.topic == topic.name).count() as i32;
        let new = known..topic.partitions.len() as i32;
        positions.extend(new.map(|partition| Position::new(topic.name.clone(), partition, State::Unknown)));
    }
    lead(positions, metadata);
}

/// These are the consumer's from now on, by its group.
pub fn take(positions: &mut Vec<Position>, metadata: &Metadata, partitions: &[TopicPartition]) {
    for TopicPartition { topic, partition } in partitions {
        let of = |position: &Position| position.topic == *topic && position.partition == *partition;
        match positions.iter().position(of) {
            Some(place) => {
                let tenure = positions[place].tenure;
                positions[place] = Position { tenure, ..Position::new(topic.clone(), *partition, State::Fresh) };
            }
            None => positions.push(Position::new(topic.clone(), *partition, State::Fresh)),
        }
    }
    lead(positions, metadata);
}

/// These are not any more: what was fetched of them is dropped.
pub fn release(positions: &mut [Position], fetched: &mut VecDeque<Fetched>, partitions: &[TopicPartition]) {
    for (index, position) in positions.iter_mut().enumerate() {
        if position.state != State::Free && partitions.contains(&position.name()) {
            let tenure = position.tenure + 1;
            *position = Position { tenure, ..Position::new(position.topic.clone(), position.partition, State::Free) };
            fetched.retain(|fetched| fetched.position != index);
        }
    }
}

/// Who leads what, as metadata knows it now.
pub fn lead(positions: &mut [Position], metadata: &Metadata) {
    for topic in metadata.topics() {
        for position in positions.iter_mut().filter(|position| position.topic == topic.name) {
            position.topic_id = topic.id;
        }
    }
    for position in positions.iter_mut().filter(|position| position.state != State::Free) {
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

/// Nothing is known of a place to begin at, and `auto.offset.reset` is `none`.
pub fn undefined(name: &TopicPartition) -> Exception {
    let why = format!("Undefined offset with no reset policy for partitions: [{name}]");
    Exception::new("NoOffsetForPartitionException", why)
}

/// The ListOffsets that asks one broker where to begin, and for which positions; `None` if there is nothing to ask.
pub fn ask(
    positions: &mut [Position],
    now: Instant,
    link: LinkId,
    wall: Timestamp,
    settings: &Settings,
) -> Option<(ListOffsetsRequest, Vec<usize>)> {
    let timestamp = |position: &Position| match settings.reset {
        _ if position.to_end => Some(LATEST),
        Reset::Latest => Some(LATEST),
        Reset::Earliest => Some(EARLIEST),
        Reset::ByDuration(ago) => {
            Some(wall.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0))
        }
        Reset::None => None,
    };
    let mut asked = Vec::new();
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (index, position) in positions.iter_mut().enumerate() {
        let Some((_, epoch)) = position.leader.filter(|(leader, _)| *leader == link) else { continue };
        if position.state != State::Unknown || position.retry_at > now {
            continue;
        }
        let Some(timestamp) = timestamp(position) else {
            position.state = State::Halted(undefined(&position.name()));
            continue;
        };
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
    by_time: bool,
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
            // Nothing is as young as that.
            Some((None, _)) if by_time && !position.to_end => {
                position.to_end = true;
                position.state = State::Unknown;
                continue;
            }
            Some((Some(error), _)) => Err(error),
            _ => Err(ErrorCode::UnknownServerError),
        };
        position.state = match result {
            Ok(offset) => {
                position.to_end = false;
                State::At(offset)
            }
            Err(_) => State::Unknown,
        };
        position.epoch = answer.map_or(-1, |answer| answer.leader_epoch);
        position.validity = Validity::Valid;
        results.push((*index, result));
    }
    results
}
