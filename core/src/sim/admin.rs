//! The operator: a client node that asks brokers for what a scenario's errands are (topics above all), one after the other,
//! each until it is answered, as Kafka's own tools would. It waits for all brokers to be there first, so that they share the
//! partitions.

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::Errand;
use crate::client::{Effect, Endpoint, Event, Report, Wire};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::node::Node;
use crate::protocol::Request;
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

/// Something to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub errand: Errand,
    /// The broker that alone can take it.
    pub taker: Option<Endpoint>,
    /// When it was asked for.
    pub since: Instant,
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

    pub fn want(&mut self, wanted: Wanted) {
        self.queue.push_back(wanted);
    }

    /// Nothing is left to ask for.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    fn open(&mut self, now: Now, out: &mut Vec<Effect>) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let anyone = &self.brokers[self.turn % self.brokers.len()];
        let taker = self.queue.front().and_then(|wanted| wanted.taker.as_ref()).filter(|_| self.formed);
        out.push(Effect::Wire(Wire::Open { conn, to: taker.unwrap_or(anyone).clone() }));
        self.link = Link::Opening(conn, now.instant + TIMEOUT);
    }

    fn ask(&mut self, now: Now, conn: ConnId, out: &mut Vec<Effect>) {
        let Some(wanted) = self.queue.front() else {
            out.push(Effect::Wire(Wire::Close { conn }));
            self.link = Link::Idle;
            return;
        };
        let (api_key, version, body) = match self.formed {
            true => wanted.errand.request(TIMEOUT.as_millis() as i32),
            false => {
                (ApiKey::Metadata, 12, RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![]))))
            }
        };
        let name = Some(StrBytes::from_static_str(NAME));
        let request = Request::new(api_key, version, self.correlation_id, name, body);
        self.correlation_id += 1;
        out.push(Effect::Wire(Wire::Send { conn, request }));
        self.link = Link::Asking(conn, now.instant + TIMEOUT);
    }

    /// The connection is of no use: another broker, a little later. Gives up on what took too long.
    fn fail(&mut self, now: Now, close: Option<ConnId>, why: &str, out: &mut Vec<Effect>) {
        out.extend(close.map(|conn| Effect::Wire(Wire::Close { conn })));
        self.turn += 1;
        self.link = Link::Resting(now.instant + BACKOFF);
        if self.queue.front().is_some_and(|wanted| now.instant.since(wanted.since) >= TIMEOUT) {
            let wanted = self.queue.pop_front().expect("there is a first");
            out.push(Effect::Report(Report::Note(format!("{} could not be done: {why}", what(&wanted.errand)))));
        }
    }

    fn answered(&mut self, now: Now, conn: ConnId, body: ResponseKind, out: &mut Vec<Effect>) {
        if let ResponseKind::Metadata(metadata) = body {
            self.formed = metadata.brokers.len() >= self.brokers.len() || !self.young(now);
            let elsewhere = self.queue.front().is_some_and(|wanted| wanted.taker.is_some());
            return match self.formed {
                true if !elsewhere => self.ask(now, conn, out),
                _ => self.fail(now, Some(conn), "", out),
            };
        }
        let Some(wanted) = self.queue.front() else { return };
        let Some(outcome) = wanted.errand.outcome(&body) else { return };
        match outcome {
            Err((error, _)) if self.young(now) && may_pass(&wanted.errand, error) => {
                return self.fail(now, Some(conn), &format!("{error:?}"), out);
            }
            Ok(()) => {}
            // An answer to an earlier try may have been lost.
            Err((ErrorCode::TopicAlreadyExists, _)) if matches!(wanted.errand, Errand::Create { .. }) => {}
            Err((error, why)) => {
                let note = format!("{} is refused: {error:?}: {why}", what(&wanted.errand));
                out.push(Effect::Report(Report::Note(note)));
            }
        }
        self.queue.pop_front();
        if self.queue.front().is_some_and(|next| next.taker.is_some()) {
            out.push(Effect::Wire(Wire::Close { conn }));
            return self.open(now, out);
        }
        self.ask(now, conn, out);
    }

    fn young(&self, now: Now) -> bool {
        self.queue.front().is_some_and(|wanted| now.instant.since(wanted.since) < TIMEOUT)
    }
}

/// Whether another try, and another broker, may answer otherwise.
fn may_pass(errand: &Errand, error: ErrorCode) -> bool {
    let elsewhere = [ErrorCode::NotLeaderOrFollower, ErrorCode::UnknownTopicOrPartition];
    RETRIABLE.contains(&error) || errand.partition().is_some() && elsewhere.contains(&error)
}

/// An errand, as its outcome names it.
fn what(errand: &Errand) -> String {
    match errand {
        Errand::Create { topic, .. } => format!("topic {topic}"),
        other => other.to_string(),
    }
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
