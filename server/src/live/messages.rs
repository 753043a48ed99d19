//! The newest requests and answers, with their real fields, in a bounded ring.

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use ottla_core::protocol::{Request, Response};
use ottla_core::sim::view::{MessageKind, MessageView};
use ottla_core::time::{Duration, Instant};

use super::Watched;

/// Messages that are kept.
const KEPT: usize = 1024;
/// How long a mark takes from one end of its arrow to the other, on the page: the real time is too short to be seen.
const SEEN: Duration = Duration::from_millis(300);

/// A message that passed.
#[derive(Clone)]
pub struct Message {
    pub view: MessageView,
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    pub kept: Kept,
}

#[derive(Clone)]
pub enum Kept {
    Request(Box<Request>),
    Response(Box<Response>),
}

#[derive(Default)]
pub struct Messages {
    ring: VecDeque<Message>,
    next: u64,
    /// The tenth of a second that is being counted, and requests kept in it.
    window: u64,
    admitted: u64,
}

impl Messages {
    /// Requests that are kept, a second.
    pub const ADMITTED_PER_S: u64 = 200;

    pub fn find(&self, id: u64) -> Option<&Message> {
        let at = self.ring.binary_search_by_key(&id, |message| message.view.id).ok()?;
        self.ring.get(at)
    }

    /// Those that departed at or after `since`, oldest first.
    pub fn since(&self, since: Instant) -> impl Iterator<Item = &Message> {
        self.ring.iter().filter(move |message| message.view.departed >= since)
    }

    /// Nobody watches any more.
    pub fn forget(&mut self) {
        self.ring = VecDeque::new();
    }

    pub(super) fn keep_request(&mut self, now: Instant, client: &Watched, request: &Request) -> Option<u64> {
        let window = now.as_millis() / 100;
        if self.window != window {
            (self.window, self.admitted) = (window, 0);
        }
        if self.admitted >= Self::ADMITTED_PER_S / 10 {
            return None;
        }
        self.admitted += 1;
        let name = client_name(client);
        let message = Message {
            view: MessageView {
                id: self.next,
                kind: kind(request.api_key),
                response: false,
                from: name,
                to: client.broker.to_string(),
                topic: topic_of_request(&request.body),
                departed: now,
                arrives: now + SEEN,
                line: request.to_string(),
                error: request.batches.iter().any(Result::is_err),
                ..MessageView::default()
            },
            api: request.api_key,
            version: request.version,
            correlation_id: request.correlation_id,
            client_id: request.client_id.as_ref().map(ToString::to_string),
            kept: Kept::Request(Box::new(request.clone())),
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
    ) {
        let Some(asked) = self.find(request) else { return };
        let message = Message {
            view: MessageView {
                id: 0,
                kind: asked.view.kind,
                response: true,
                from: client.broker.to_string(),
                to: asked.view.from.clone(),
                topic: asked.view.topic.clone(),
                // A mark that comes back sets out when the one that went has arrived.
                departed: now.max(asked.view.arrives),
                arrives: now.max(asked.view.arrives) + SEEN,
                line: response.to_string(),
                error: has_error(response),
                ..MessageView::default()
            },
            api: asked.api,
            version: response.version,
            correlation_id,
            client_id: asked.client_id.clone(),
            kept: Kept::Response(Box::new(response.clone())),
        };
        self.push(message);
    }

    fn push(&mut self, mut message: Message) -> u64 {
        message.view.id = self.next;
        self.next += 1;
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(message);
        self.next - 1
    }
}

/// Its client.id, or the address where it has none.
pub(super) fn client_name(client: &Watched) -> String {
    Some(client.client_id()).filter(|id| !id.is_empty()).unwrap_or_else(|| client.peer.clone())
}

fn kind(api: ApiKey) -> MessageKind {
    match api {
        ApiKey::Produce => MessageKind::Produce,
        ApiKey::Fetch => MessageKind::Fetch,
        _ => MessageKind::Other,
    }
}

fn topic_of_request(body: &RequestKind) -> Option<String> {
    let name = match body {
        RequestKind::Produce(produce) => &produce.topic_data.first()?.name,
        RequestKind::Fetch(fetch) => &fetch.topics.first()?.topic,
        RequestKind::ListOffsets(list) => &list.topics.first()?.name,
        RequestKind::Metadata(metadata) => metadata.topics.as_ref()?.first()?.name.as_ref()?,
        RequestKind::CreateTopics(create) => &create.topics.first()?.name,
        _ => return None,
    };
    Some(name.to_string()).filter(|name| !name.is_empty())
}

fn has_error(response: &Response) -> bool {
    match &response.body {
        ResponseKind::Produce(produce) => {
            produce.responses.iter().flat_map(|topic| &topic.partition_responses).any(|it| it.error_code != 0)
        }
        ResponseKind::Fetch(fetch) => {
            let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
            fetch.error_code != 0 || partitions.into_iter().any(|partition| partition.error_code != 0)
        }
        ResponseKind::Metadata(metadata) => metadata.topics.iter().any(|topic| topic.error_code != 0),
        ResponseKind::CreateTopics(create) => create.topics.iter().any(|topic| topic.error_code != 0),
        _ => false,
    }
}
