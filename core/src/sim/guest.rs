//! A guest: whoever speaks Kafka's protocol in frames, one request at a time. The same frames can be put to a server, and
//! the answers compared byte by byte.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::Encodable;

use super::workload::App;
use super::{Actor, Simulation, workload};
use crate::client::{Effect, Endpoint, Event, Wire};
use crate::id::{BrokerId, ConnId};
use crate::node::Node;
use crate::protocol::{Request, Response};
use crate::time::{Duration, Instant, Now};

const NAME: &str = "guest";
/// Longer than any request may wait for its answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
pub(super) struct Guest {
    conn: ConnId,
    link: Link,
    answer: Option<(i16, Box<ResponseKind>)>,
}

/// `Closed → Opening [call] → Open [Opened] → Closed [Closed]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Closed,
    Opening,
    Open,
}

impl Node for Guest {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, _now: Now, event: Event, _out: &mut Vec<Effect>) {
        match event {
            Event::Opened { conn } if conn == self.conn => self.link = Link::Open,
            Event::Closed { conn } if conn == self.conn => self.link = Link::Closed,
            Event::Response { conn, version, body, .. } if conn == self.conn => self.answer = Some((version, body)),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl Simulation {
    /// Puts a request, a frame without its length prefix, to a broker and runs on until it is answered; gives the
    /// answer's frame.
    ///
    /// Fails in words where the frame cannot be decoded, the broker cannot be reached, or no answer comes.
    pub fn call(&mut self, broker: BrokerId, frame: Bytes) -> Result<Bytes, String> {
        let request = Request::decode(frame).map_err(|error| error.to_string())?;
        let (api_key, correlation_id) = (request.api_key, request.correlation_id);
        let node = match self.names.get(NAME) {
            Some(node) => *node,
            None => self.join(NAME, Actor::Client(Box::new(workload::Client::guest()))),
        };
        let to = Endpoint { host: broker.to_string(), port: super::PORT };
        if self.guest().link == Link::Closed {
            let guest = self.guest();
            (guest.conn, guest.link) = (ConnId(guest.conn.0 + 1), Link::Opening);
            let conn = guest.conn;
            self.enact_wire(node, Wire::Open { conn, to });
            self.run_guest(|guest| guest.link != Link::Opening);
        }
        if self.guest().link != Link::Open {
            return Err(format!("{broker} cannot be reached"));
        }
        self.guest().answer = None;
        let conn = self.guest().conn;
        self.enact_wire(node, Wire::Send { conn, request });
        self.run_guest(|guest| guest.answer.is_some() || guest.link == Link::Closed);
        let (version, body) = self.guest().answer.take().ok_or("the connection was closed")?;
        encode(api_key, correlation_id, &Response::new(version, *body))
    }

    fn run_guest(&mut self, done: impl Fn(&Guest) -> bool) {
        let until = self.now + PATIENCE;
        while !done(self.guest()) && self.step(until) {}
    }

    fn guest(&mut self) -> &mut Guest {
        let node = self.names[NAME];
        match &mut self.client_mut(node).app {
            App::Guest(guest) => guest,
            _ => unreachable!("the guest's name is its own"),
        }
    }
}

fn encode(api_key: ApiKey, correlation_id: i32, response: &Response) -> Result<Bytes, String> {
    let mut frame = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let version = api_key.response_header_version(response.version);
    header.encode(&mut frame, version).map_err(|error| error.to_string())?;
    response.encode(&mut frame)?;
    Ok(frame.freeze())
}
