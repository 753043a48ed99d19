//! The hand that makes a scenario's topics, and asks for what else admins ask for: a client node that asks one broker after
//! the other until it is answered, as `kafka-topics --create` would be. It waits for all brokers to be there first, so that
//! they share the partitions.

use std::collections::VecDeque;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, MetadataRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::client::{Effect, Endpoint, Event, Report};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::node::Node;
use crate::protocol::Request;
use crate::sim::scenario;
use crate::time::{Duration, Instant, Now};

/// As the other clients see it, and as the page names it.
pub(crate) const NAME: &str = "admin";
/// Kafka's default.api.timeout.ms would be a minute; a scenario should not stand still for so long.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Kafka's retry.backoff.ms.
const BACKOFF: Duration = Duration::from_millis(100);
/// Answers that another try may change.
const RETRIABLE: [ErrorCode; 5] = [
    ErrorCode::NotController,
    ErrorCode::RequestTimedOut,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::BrokerNotAvailable,
    ErrorCode::InvalidReplicationFactor,
];

/// What is to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub what: Wish,
    /// When it was asked for.
    pub since: Instant,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Topic { name: String, partitions: u32, replication_factor: u32, configs: Vec<(String, String)> },
    Admin(scenario::Admin),
}

#[derive(Clone)]
pub(super) struct Admin {
    brokers: Vec<Endpoint>,
    /// All of them were seen in one answer.
    formed: bool,
    /// Whom it asks; another one after every failure.
    turn: usize,
    queue: VecDeque<Wanted>,
    link: Link,
    next_conn: u64,
    correlation_id: i32,
}

/// `Idle → Opening [open] → Asking [Opened] → Idle | Resting [failed] → Opening [Timer]`
#[derive(Clone, Copy)]
enum Link {
    Idle,
    Opening(ConnId, Instant),
    Asking(ConnId, Instant),
    Resting(Instant),
}

impl Admin {
    pub fn new(brokers: Vec<Endpoint>) -> Admin {
        Admin {
            brokers,
            formed: false,
            turn: 0,
            queue: VecDeque::new(),
            link: Link::Idle,
            next_conn: 0,
            correlation_id: 0,
        }
    }

    pub fn want(&mut self, topic: Wanted) {
        self.queue.push_back(topic);
    }

    /// Nothing is left to make.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    fn open(&mut self, now: Now, out: &mut Vec<Effect>) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let to = self.brokers[self.turn % self.brokers.len()].clone();
        out.push(Effect::Open { conn, to });
        self.link = Link::Opening(conn, now.instant + TIMEOUT);
    }

    fn ask(&mut self, now: Now, conn: ConnId, out: &mut Vec<Effect>) {
        let Some(wanted) = self.queue.front() else {
            out.push(Effect::Close { conn });
            self.link = Link::Idle;
            return;
        };
        let (api_key, version, body) = match self.formed {
            true => match &wanted.what {
                Wish::Topic { name, partitions, replication_factor, configs } => {
                    let body = create(name, *partitions, *replication_factor, configs);
                    (ApiKey::CreateTopics, 7, RequestKind::CreateTopics(body))
                }
                Wish::Admin(asked) => asked.request(TIMEOUT.as_millis() as i32),
            },
            false => {
                (ApiKey::Metadata, 12, RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![]))))
            }
        };
        let name = Some(StrBytes::from_static_str(NAME));
        let request = Request::new(api_key, version, self.correlation_id, name, body);
        self.correlation_id += 1;
        out.push(Effect::Send { conn, request: Box::new(request) });
        self.link = Link::Asking(conn, now.instant + TIMEOUT);
    }

    /// The connection is of no use: another broker, a little later. Gives up on a topic that took too long.
    fn fail(&mut self, now: Now, close: Option<ConnId>, why: &str, out: &mut Vec<Effect>) {
        out.extend(close.map(|conn| Effect::Close { conn }));
        self.turn += 1;
        self.link = Link::Resting(now.instant + BACKOFF);
        if self.queue.front().is_some_and(|wanted| now.instant.since(wanted.since) >= TIMEOUT) {
            let wanted = self.queue.pop_front().expect("there is a first");
            let note = match wanted.what {
                Wish::Topic { name, .. } => format!("topic {name} could not be created: {why}"),
                Wish::Admin(asked) => format!("{asked}: {why}"),
            };
            out.push(Effect::Report(Report::Note(note)));
        }
    }

    fn answered(&mut self, now: Now, conn: ConnId, body: ResponseKind, out: &mut Vec<Effect>) {
        let topic = match body {
            ResponseKind::Metadata(metadata) => {
                self.formed = metadata.brokers.len() >= self.brokers.len() || !self.young(now);
                return if self.formed { self.ask(now, conn, out) } else { self.fail(now, Some(conn), "", out) };
            }
            ResponseKind::CreateTopics(response) => response.topics.into_iter().next(),
            other => {
                if let Some((code, words)) = scenario::Admin::outcome(&other) {
                    self.was_told(now, conn, code, words, out);
                }
                return;
            }
        };
        let Some(topic) = topic else { return };
        let error = ErrorCode::try_from_code(topic.error_code);
        match error {
            Some(error) if RETRIABLE.contains(&error) && self.young(now) => {
                return self.fail(now, Some(conn), &format!("{error:?}"), out);
            }
            Some(ErrorCode::TopicAlreadyExists) | None => {}
            Some(error) => {
                let why = topic.error_message.map_or_else(|| error.to_string(), |message| message.to_string());
                let note = format!("topic {} was refused: {error:?}: {why}", topic.name.0);
                out.push(Effect::Report(Report::Note(note)));
            }
        }
        self.queue.pop_front();
        self.ask(now, conn, out);
    }

    /// The answer to what is not about topics.
    fn was_told(&mut self, now: Now, conn: ConnId, code: i16, words: Option<String>, out: &mut Vec<Effect>) {
        let error = ErrorCode::try_from_code(code);
        // Whoever leads the partition has it.
        let elsewhere = [ErrorCode::NotLeaderOrFollower, ErrorCode::UnknownTopicOrPartition];
        if let Some(error) = error.filter(|error| RETRIABLE.contains(error) || elsewhere.contains(error))
            && self.young(now)
        {
            return self.fail(now, Some(conn), &format!("{error:?}"), out);
        }
        if let Some((error, Wish::Admin(asked))) = error.zip(self.queue.front().map(|wanted| &wanted.what)) {
            let why = words.unwrap_or_else(|| error.to_string());
            out.push(Effect::Report(Report::Note(format!("{asked} was refused: {error:?}: {why}"))));
        }
        self.queue.pop_front();
        self.ask(now, conn, out);
    }

    fn young(&self, now: Now) -> bool {
        self.queue.front().is_some_and(|wanted| now.instant.since(wanted.since) < TIMEOUT)
    }
}

fn create(name: &str, partitions: u32, replication_factor: u32, configs: &[(String, String)]) -> CreateTopicsRequest {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(partitions as i32)
        .with_replication_factor(replication_factor as i16)
        .with_configs(configs.iter().map(config).collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT.as_millis() as i32)
}

impl Node for Admin {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        match (event, self.link) {
            (Event::Opened { conn }, Link::Opening(own, _)) if own == conn => self.ask(now, conn, out),
            (Event::Closed { conn }, Link::Opening(own, _) | Link::Asking(own, _)) if own == conn => {
                self.fail(now, None, "no broker answers", out);
            }
            (Event::Response { conn, body, .. }, Link::Asking(own, _)) if own == conn => {
                self.answered(now, conn, *body, out);
            }
            (Event::Timer, Link::Idle) if !self.queue.is_empty() => self.open(now, out),
            (Event::Timer, Link::Resting(until)) if until <= now.instant => {
                if self.queue.is_empty() {
                    self.link = Link::Idle
                } else {
                    self.open(now, out)
                }
            }
            (Event::Timer, Link::Opening(conn, until) | Link::Asking(conn, until)) if until <= now.instant => {
                self.fail(now, Some(conn), "no broker answers", out);
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Idle => self.queue.front().map(|wanted| wanted.since),
            Link::Opening(_, until) | Link::Asking(_, until) | Link::Resting(until) => Some(until),
        }
    }
}
