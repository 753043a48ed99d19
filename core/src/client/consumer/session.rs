//! Fetch sessions (KIP-227): after the first, full fetch only what changed goes over the wire.
//!
//! ```text
//! Full (epoch 0) → Incremental (epoch 1, 2, …) [the broker gave a session id]
//!   ↑  ↑ no id given: full again                │
//!   └──┴── session unknown, epoch wrong, request lost
//! ```

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::positions::{Position, State};
use super::settings::Settings;
use crate::client::connection::LinkId;
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};
use crate::time::Instant;

/// The consumer's session with one broker.
#[derive(Clone, Debug)]
pub struct Session {
    pub link: LinkId,
    id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the broker knows of this session.
    told: Vec<Told>,
    pub in_flight: bool,
    /// The broker refused the fetch as a whole: not before this.
    pub retry_at: Instant,
}

/// What the broker was told of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    topic: TopicName,
    topic_id: Uuid,
    partition: i32,
    offset: Offset,
    epoch: LeaderEpoch,
}

impl Session {
    pub fn new(link: LinkId) -> Self {
        Session { link, id: 0, epoch: 0, told: Vec::new(), in_flight: false, retry_at: Instant::ZERO }
    }

    /// The next fetch, of what can be fetched from this broker now; `None` where that is nothing.
    pub fn fetch(&mut self, positions: &[Position], now: Instant, settings: &Settings) -> Option<FetchRequest> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut forgotten: Vec<ForgottenTopic> = Vec::new();
        if self.epoch == 0 {
            self.told.clear();
        }
        let mut wanted = 0;
        for position in positions {
            let Some((_, epoch)) = position.source(now).filter(|(source, _)| *source == self.link) else { continue };
            let Some(offset) = position.fetchable(now) else { continue };
            wanted += 1;
            let known = self.told.iter_mut().find(|told| told.is(position));
            match known {
                Some(told) if told.offset == offset && told.epoch == epoch && told.topic_id == position.topic_id => {
                    continue;
                }
                Some(told) => {
                    if told.topic_id != position.topic_id {
                        forget(&mut forgotten, told);
                    }
                    (told.offset, told.epoch, told.topic_id) = (offset, epoch, position.topic_id);
                }
                None => self.told.push(Told {
                    topic: position.topic.clone(),
                    topic_id: position.topic_id,
                    partition: position.partition,
                    offset,
                    epoch,
                }),
            }
            let mut partition = FetchPartition::default();
            partition.partition = position.partition;
            partition.current_leader_epoch = epoch;
            partition.fetch_offset = offset;
            partition.partition_max_bytes = settings.max_partition_bytes;
            match topics.last_mut().filter(|topic| topic.topic == position.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => {
                    let mut topic = FetchTopic::default();
                    (topic.topic, topic.topic_id) = (position.topic.clone(), position.topic_id);
                    topic.partitions = vec![partition];
                    match topics.is_empty() {
                        true => topics = vec![topic],
                        false => topics.push(topic),
                    }
                }
            }
        }
        if wanted == 0 {
            return None;
        }
        if self.told.len() > wanted {
            self.told.retain(|told| {
                let of = |position: &Position| {
                    let read = position.source(now).is_some_and(|(source, _)| source == self.link);
                    read && position.fetchable(now).is_some() && told.is(position)
                };
                let keep = positions.iter().any(of);
                if !keep {
                    forget(&mut forgotten, told);
                }
                keep
            });
        }
        self.in_flight = true;
        let mut request = FetchRequest::default();
        request.max_wait_ms = settings.max_wait.as_millis() as i32;
        (request.min_bytes, request.max_bytes) = (settings.min_bytes, settings.max_bytes);
        request.isolation_level = settings.isolation_level;
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        (request.topics, request.forgotten_topics_data) = (topics, forgotten);
        request.rack_id = StrBytes::from_string(settings.rack.clone());
        Some(request)
    }

    /// Whether the fetch on its way, or the last one, asked for the offset where that position is.
    pub fn asked_for(&self, position: &Position) -> bool {
        self.told.iter().any(|told| told.is(position) && position.state == State::At(told.offset))
    }

    /// Whether every topic that the broker was told of has an id: from version 13 on they go by it.
    pub fn has_ids(&self) -> bool {
        self.told.iter().all(|told| !told.topic_id.is_nil())
    }

    /// The broker took the fetch, and says which session it belongs to.
    pub fn answered(&mut self, session_id: i32) {
        self.in_flight = false;
        if session_id == 0 {
            // It keeps no session for us: everything again, next time.
            (self.id, self.epoch) = (0, 0);
        } else {
            self.id = session_id;
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
    }

    /// The broker refused the fetch as a whole. Whether that is the session's matter, so that a full fetch mends it.
    pub fn refused(&mut self, error: ErrorCode) -> bool {
        self.in_flight = false;
        match error {
            ErrorCode::FetchSessionIdNotFound => {
                (self.id, self.epoch) = (0, 0);
                true
            }
            ErrorCode::InvalidFetchSessionEpoch | ErrorCode::FetchSessionTopicIdError => {
                self.epoch = 0;
                true
            }
            _ => {
                self.epoch = 0;
                false
            }
        }
    }

    /// No answer will come: the next fetch closes the session that may be left and begins another.
    pub fn lost(&mut self) {
        self.in_flight = false;
        self.epoch = 0;
    }

    /// For the page.
    pub fn describe(&self) -> String {
        match self.id {
            0 => "no session".to_string(),
            id => format!("session {id}, epoch {}, {} partitions", self.epoch, self.told.len()),
        }
    }
}

impl Told {
    fn is(&self, position: &Position) -> bool {
        self.partition == position.partition && self.topic == position.topic
    }
}

fn forget(forgotten: &mut Vec<ForgottenTopic>, told: &Told) {
    match forgotten.iter_mut().find(|topic| topic.topic == told.topic && topic.topic_id == told.topic_id) {
        Some(topic) => topic.partitions.push(told.partition),
        None => forgotten.push(
            ForgottenTopic::default()
                .with_topic(told.topic.clone())
                .with_topic_id(told.topic_id)
                .with_partitions(vec![told.partition]),
        ),
    }
}
