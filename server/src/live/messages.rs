//! The newest requests and answers, with their real fields, in a ring that is bounded by their number and by the bytes
//! that they hold on to: a request's are those of its frame, an answer's as many as it has on the wire, records in files
//! aside, and its request's, whose names it may hold. The newest are whole; of the others the fields are kept, as text.

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use ottla_core::id::ConnId;
use ottla_core::protocol::fields;
use ottla_core::protocol::line::{self, Names};
use ottla_core::protocol::{Request, Response};
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{MessageView, Passed};

use super::Watched;
use crate::splice::FileSlice;

/// Messages that are kept: those of twenty seconds at least, for who stops to look.
const KEPT: usize = 8192;
/// Of these, the newest that are whole: a small one may hold a buffer that it shares with others.
const WHOLE: u64 = 1024;
/// Bytes of what is kept.
const KEPT_BYTES: usize = 32 << 20;
/// How long a mark takes from one end of its arrow to the other, on the page: the real time ([`Passed`]) is too short to
/// be seen.
const SEEN: Duration = Duration::from_millis(300);

/// A message that passed.
#[derive(Clone)]
pub struct Message {
    /// Without the client's name: the view knows by what name it shows the connection.
    pub view: MessageView,
    pub conn: ConnId,
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    pub passed: Passed,
    pub kept: Kept,
    /// Bytes that it holds on to.
    bytes: usize,
    /// Of those, the request's.
    frame: usize,
}

#[derive(Clone)]
pub enum Kept {
    Request(Box<Request>),
    /// With the first run of records that it carries.
    Response(Response, Option<FileSlice>),
    /// What it said, without records.
    Fields(String),
}

#[derive(Default)]
pub struct Messages {
    ring: VecDeque<Message>,
    /// Of all in the ring.
    bytes: usize,
    next: u64,
    /// Messages below are fields.
    shed: u64,
    /// The tenth of a second that is being counted, and requests kept in it.
    window: u64,
    admitted: u64,
    /// A Produce, and a Fetch, of this tenth of a second is in the event log.
    told: [bool; 2],
}

impl Messages {
    /// Requests that are kept, a second.
    pub const ADMITTED_PER_S: u64 = 200;

    pub fn find(&self, id: u64) -> Option<&Message> {
        let at = self.ring.binary_search_by_key(&id, |message| message.view.id).ok()?;
        self.ring.get(at)
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut Message> {
        let at = self.ring.binary_search_by_key(&id, |message| message.view.id).ok()?;
        self.ring.get_mut(at)
    }

    /// A request's line, if the event log should have it too: of the many that only move records, ten of each kind a second,
    /// and none of those that go on as before.
    pub(super) fn worth_a_line(&mut self, id: u64) -> Option<String> {
        let message = self.find(id)?;
        let Kept::Request(request) = &message.kept else { return None };
        let line = message.view.line.clone();
        let told = match &request.body {
            RequestKind::Produce(_) => &mut self.told[0],
            RequestKind::Fetch(fetch) if fetch.session_epoch > 0 && fetch.topics.is_empty() => return None,
            RequestKind::Fetch(_) => &mut self.told[1],
            _ => return Some(line),
        };
        (!std::mem::replace(told, true)).then_some(line)
    }

    /// Oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Message> {
        self.ring.iter()
    }

    /// Nobody watches any more.
    pub fn forget(&mut self) {
        (self.ring, self.bytes) = (VecDeque::new(), 0);
    }

    pub(super) fn keep_request(
        &mut self,
        now: Instant,
        client: &Watched,
        (request, bytes): (&Request, usize),
        names: &Names,
    ) -> Option<u64> {
        let window = now.as_millis() / 100;
        if self.window != window {
            (self.window, self.admitted, self.told) = (window, 0, [false; 2]);
        }
        if self.admitted >= Self::ADMITTED_PER_S / 10 {
            return None;
        }
        self.admitted += 1;
        let message = Message {
            view: MessageView {
                id: self.next,
                kind: line::request_kind(&request.body),
                response: false,
                to: client.broker.to_string(),
                topic: line::request_topic(&request.body, names).map(|name| name.to_string()),
                departed: now,
                arrives: now + SEEN,
                line: line::request(request, names),
                error: request.batches.iter().any(Result::is_err),
                ..MessageView::default()
            },
            conn: client.conn,
            api: request.api_key,
            version: request.version,
            correlation_id: request.correlation_id,
            client_id: request.client_id.as_ref().map(ToString::to_string),
            passed: Passed { read: now, answered: None },
            kept: Kept::Request(Box::new(request.clone())),
            bytes,
            frame: bytes,
        };
        Some(self.push(message))
    }

    pub(super) fn keep_response(
        &mut self,
        now: Instant,
        client: &Watched,
        request: u64,
        correlation_id: i32,
        response: &Response,
        files: &[Option<FileSlice>],
        names: &Names,
    ) -> Option<u64> {
        let asked = self.find_mut(request)?;
        asked.passed.answered = Some(now);
        let topic = match &*response.body {
            // Nothing is on its way.
            ResponseKind::Fetch(_) if response.records.iter().flatten().all(|extent| extent.len == 0) => None,
            body => line::response_topic(body, names).map(|name| name.to_string()).or_else(|| asked.view.topic.clone()),
        };
        let message = Message {
            view: MessageView {
                id: 0,
                kind: asked.view.kind,
                response: true,
                from: client.broker.to_string(),
                topic,
                // A mark that comes back sets out when the one that went has arrived.
                departed: now.max(asked.view.arrives),
                arrives: now.max(asked.view.arrives) + SEEN,
                line: line::response(response, names),
                error: line::is_error(&response.body),
                ..MessageView::default()
            },
            conn: client.conn,
            api: asked.api,
            version: response.version,
            correlation_id,
            client_id: asked.client_id.clone(),
            passed: asked.passed,
            kept: Kept::Response(response.clone(), files.iter().flatten().next().cloned()),
            bytes: asked.frame,
            frame: asked.frame,
        };
        Some(self.push(message))
    }

    /// So many bytes has an answer on the wire.
    pub fn weigh(&mut self, id: u64, bytes: usize) {
        let Some(message) = self.find_mut(id).filter(|message| !matches!(message.kept, Kept::Fields(_))) else {
            return;
        };
        message.bytes += bytes;
        self.bytes += bytes;
        self.bound();
    }

    fn push(&mut self, mut message: Message) -> u64 {
        message.view.id = self.next;
        self.next += 1;
        self.bytes += message.bytes;
        self.ring.push_back(message);
        self.bound();
        self.next - 1
    }

    /// The newest stays whole, however large it is.
    fn bound(&mut self) {
        while self.shed + 1 < self.next && (self.bytes > KEPT_BYTES || self.next - self.shed > WHOLE) {
            self.shed_oldest();
        }
        while self.ring.len() > KEPT || (self.bytes > KEPT_BYTES && self.ring.len() > 1) {
            self.bytes -= self.ring.pop_front().map_or(0, |oldest| oldest.bytes);
        }
    }

    /// The oldest that is whole becomes its fields.
    fn shed_oldest(&mut self) {
        let id = self.shed;
        self.shed += 1;
        let Some(message) = self.find_mut(id) else { return };
        let fields = match &message.kept {
            Kept::Request(request) => fields::of_request(request),
            Kept::Response(response, _) => fields::of_response(response),
            Kept::Fields(_) => return,
        };
        let (before, after) = (std::mem::replace(&mut message.bytes, fields.len()), fields.len());
        message.kept = Kept::Fields(fields);
        self.bytes = self.bytes - before + after;
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
    use ottla_core::id::BrokerId;

    use super::super::Live;
    use super::*;
    use crate::driver::Clock;

    #[test]
    fn the_event_log_has_each_kind_of_request_that_says_something() {
        let live = Live::new(Clock::start());
        let client = live.opened(BrokerId(1), ConnId(1), "here".to_owned());
        let mut messages = Messages::default();
        let mut worth = |now, api, body: RequestKind| {
            let request = Request::new(api, 3, 0, None, body);
            let id = messages.keep_request(Instant::from_millis(now), &client, (&request, 10), &Names::new()).unwrap();
            messages.worth_a_line(id).is_some()
        };
        let goes_on = || FetchRequest::default().with_session_epoch(7).into();
        assert!(worth(0, ApiKey::Metadata, MetadataRequest::default().into()));
        assert!(!worth(0, ApiKey::Fetch, goes_on()));
        assert!(worth(0, ApiKey::Fetch, FetchRequest::default().into()));
        assert!(worth(0, ApiKey::Produce, ProduceRequest::default().into()), "others have come before");
        assert!(!worth(99, ApiKey::Produce, ProduceRequest::default().into()));
        assert!(worth(100, ApiKey::Produce, ProduceRequest::default().into()));
    }

    #[test]
    fn the_newest_are_whole_as_far_as_bytes_go_and_the_others_are_fields() {
        let live = Live::new(Clock::start());
        let client = live.opened(BrokerId(1), ConnId(1), "here".to_owned());
        let request =
            Request::new(ApiKey::Produce, 9, 0, None, ProduceRequest::default().with_timeout_ms(4_711).into());
        let answer = Response::new(9, kafka_protocol::messages::ProduceResponse::default());
        let mut messages = Messages::default();
        let ask = |messages: &mut Messages, tenth: u64, bytes| {
            let now = Instant::from_millis(tenth * 100);
            let id = messages.keep_request(now, &client, (&request, bytes), &Names::new()).unwrap();
            messages.keep_response(now, &client, id, 0, &answer, &[], &Names::new()).unwrap()
        };
        let whole = |messages: &Messages| {
            messages.all().filter(|message| !matches!(message.kept, Kept::Fields(_))).count() as u64
        };
        for tenth in 0..20 {
            let id = ask(&mut messages, tenth, KEPT_BYTES / 8);
            messages.weigh(id, 100);
        }
        assert!(messages.bytes <= KEPT_BYTES, "{} bytes", messages.bytes);
        assert_eq!((messages.all().count(), whole(&messages)), (40, 7), "an answer holds its request's frame");
        let Kept::Fields(fields) = &messages.all().next().unwrap().kept else { panic!("the oldest is whole") };
        assert!(fields.contains("timeout_ms: 4711"), "{fields}");
        for tenth in 20..(20 + KEPT as u64) {
            ask(&mut messages, tenth, 10);
        }
        assert_eq!((messages.all().count(), whole(&messages)), (KEPT, WHOLE));
        let newest = messages.all().last().unwrap().view.id;
        messages.weigh(newest, 2 * KEPT_BYTES);
        assert_eq!(messages.all().count(), 1);
        messages.forget();
        assert_eq!((messages.bytes, messages.all().count()), (0, 0));
    }
}
