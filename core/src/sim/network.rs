//! The network: connections as TCP makes them, between clients and brokers, between brokers, and between brokers and
//! ZooKeeper.
//!
//! 1. Order holds per connection and direction, and nowhere else.
//! 2. While both machines live nothing is lost for good and nothing comes twice. A lost packet is sent again after
//!    [`RTO`], doubling, so loss shows as delay of that message and of all behind it; whether that is too late is for the
//!    client's `request.timeout.ms` to say.
//! 3. A cut link holds what is on it, in that direction, until it is healed. Nobody is told. A single message that is
//!    held delays those behind it on its connection, and no others.
//! 4. When a process dies its connections are reset: the other end learns of it one way later. When a machine dies
//!    nobody is told; once it runs again it resets the old connections on which something arrives.
//! 5. To connect is refused by a machine without the process, and tried again ([`SYN_RETRIES`]) towards a dead machine.
//! 6. Each direction of each connection has its own dice, so that a new connection does not move the others' latencies.
//! 7. A connection that is reset loses what is on it, and both ends hear of it: only then is a message lost for good.
//!
//! No message is encoded: bodies travel as the structs that the ends read and write.

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::capacity::{Capacities, Load};
use super::scenario::Cluster;
use crate::id::{CallId, ConnId};
use crate::protocol::cluster::{ClusterRequest, ClusterResponse};
use crate::protocol::{Request, Response};
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::view::MessageKind;
use crate::zookeeper::{ToClient, ToServer};

/// A node of a simulation: its place in the table of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// A host that no name leads to.
    pub(super) const NOWHERE: NodeId = NodeId(u32::MAX);
}

/// What one way takes where the scenario does not say.
pub const DEFAULT_LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));
/// Linux's least retransmission timeout.
const RTO: Duration = Duration::from_millis(200);
/// After so many losses in a row the next try gets through, so that a loss of 100 % is slow and not a stopped clock.
const RETRANSMISSIONS: u32 = 8;
/// Linux's `tcp_syn_retries`: 1 + 2 + 4 + … seconds, 127 in all.
pub(super) const SYN_RETRIES: u32 = 6;
/// Bytes of a message besides its record batches, about.
const ENVELOPE: u64 = 150;
/// Connections whose places are remembered.
const PLACES: usize = 64;
/// What a message to the same machine takes.
const LOOPBACK: Duration = Duration::from_micros(20);

#[derive(Clone)]
pub struct Network {
    seed: Seed,
    latency: (Duration, Duration),
    loss_per_million: u32,
    /// From, to.
    cut: VecSet<(NodeId, NodeId)>,
    /// From, to: how much longer every message takes.
    slow: VecMap<(NodeId, NodeId), Duration>,
    /// From, to: how much longer the next message takes.
    holds: VecMap<(NodeId, NodeId), Duration>,
    capacities: Capacities,
    connections: VecMap<ConnId, Box<Connection>>,
    /// Where in there they were found last, by the last bits of their numbers: most are still there.
    places: [usize; PLACES],
    /// Between brokers, by the pair in order.
    peers: VecMap<(NodeId, NodeId), ConnId>,
    next_conn: u64,
    next_message: u64,
}

#[derive(Clone)]
pub(super) struct Connection {
    /// The one that connected, then the one that was called.
    pub ends: [End; 2],
    /// What each end has sent and the other has not seen.
    pub pipes: [Pipe; 2],
    pub use_: Use,
    /// Something was sent to a machine that was dead: the sender's retransmissions will find it when it runs again.
    pub unacknowledged: bool,
    /// When a machine died that had an end of it.
    pub died: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub node: NodeId,
    pub state: EndState,
}

/// ```text
/// Opening → Open [accept, accepted] → Closed [close]
///                                   → Gone   [the machine died] → Closed [reset]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    Opening,
    Open,
    Closed,
    Gone,
}

#[derive(Clone)]
pub(super) enum Use {
    /// Also a broker's that follows another.
    Client {
        /// The client's own number for it.
        own: ConnId,
        /// As it said last who it is.
        client_id: Option<StrBytes>,
        /// The client has a quota: the broker takes one request at a time.
        limited: bool,
        /// Requests that the broker has been given.
        requests: u64,
        /// Those that it has not answered yet, in order: answers leave in the order of the requests.
        pending: VecDeque<Pending>,
    },
    Peer {
        /// Calls without an answer, and which end made them.
        calls: Vec<(usize, CallId)>,
    },
    /// A broker's with ZooKeeper.
    ZooKeeper {
        /// The broker's own number for it.
        own: ConnId,
    },
}

/// What a response has of its request.
#[derive(Clone)]
pub(super) struct Header {
    pub api_key: ApiKey,
    pub kind: MessageKind,
    pub correlation_id: i32,
}

#[derive(Clone)]
pub(super) struct Pending {
    pub header: Header,
    pub answer: Answer,
}

#[derive(Clone)]
pub(super) enum Answer {
    NotYet,
    /// It leaves when all before it have left.
    Ready(Response),
    /// There will be none.
    None,
}

#[derive(Clone)]
pub(super) struct Pipe {
    dice: Stream,
    pub queue: VecDeque<Message>,
    /// When the last message arrives: nothing overtakes.
    clear: Instant,
    /// Since when the link is cut in this direction.
    pub cut: Option<Instant>,
    /// How much longer a message takes.
    slow: Duration,
    loopback: bool,
}

/// One message on its way.
#[derive(Clone)]
pub(super) struct Message {
    pub id: u64,
    pub departed: Instant,
    pub arrives: Instant,
    tries: u32,
    pub body: Body,
}

#[derive(Clone)]
pub(super) enum Body {
    Connect,
    Accept,
    /// The end, in order or by reset.
    Close,
    Request(Box<Request>),
    Response {
        to: Header,
        response: Response,
    },
    Call {
        call: CallId,
        request: ClusterRequest,
    },
    Answer {
        call: CallId,
        response: ClusterResponse,
    },
    ToZooKeeper(ToServer),
    /// Boxed, as it would be by far the largest.
    FromZooKeeper(Box<ToClient>),
    /// To oneself: there is no connection for that call.
    Unreachable {
        call: CallId,
    },
}

impl Connection {
    /// Who the client said that it is.
    pub fn client_id(&self) -> Option<&str> {
        match &self.use_ {
            Use::Client { client_id, .. } => client_id.as_deref(),
            Use::Peer { .. } | Use::ZooKeeper { .. } => None,
        }
    }
}

impl Body {
    /// Whether a person sees it as a message: handshakes are the network's own.
    pub fn is_message(&self) -> bool {
        !matches!(self, Body::Connect | Body::Accept | Body::Close | Body::Unreachable { .. })
    }

    /// What it asks of machines: its record batches, and something for all else.
    fn load(&self) -> Load {
        let records = match self {
            Body::Request(request) => request.batches.iter().flatten().map(|one| one.batch.bytes.len()).sum(),
            Body::Response { response, .. } => match &*response.body {
                ResponseKind::Fetch(fetch) => {
                    let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
                    partitions.filter_map(|partition| partition.records.as_ref()).map(|records| records.len()).sum()
                }
                ResponseKind::ShareFetch(fetch) => {
                    let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
                    partitions.filter_map(|partition| partition.records.as_ref()).map(|records| records.len()).sum()
                }
                _ => 0,
            },
            _ => 0,
        };
        Load { bytes: records as u64 + ENVELOPE, request: matches!(self, Body::Request(_) | Body::Call { .. }) }
    }
}

/// That a message will arrive: for the heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub conn: ConnId,
    pub id: u64,
    pub side: u8,
}

impl Network {
    pub(super) fn new(seed: Seed, cluster: &Cluster) -> Network {
        Network {
            seed,
            latency: cluster.latency.unwrap_or(DEFAULT_LATENCY),
            loss_per_million: cluster.loss_per_million,
            cut: VecSet::new(),
            slow: VecMap::new(),
            holds: VecMap::new(),
            capacities: Capacities::new(cluster.capacity),
            connections: VecMap::default(),
            places: [0; PLACES],
            peers: VecMap::new(),
            next_conn: 0,
            next_message: 0,
        }
    }

    /// A broker's machine, with what it can do in a second.
    pub(super) fn add_machine(&mut self, node: NodeId) {
        self.capacities.add(node);
    }

    /// A new connection, both ends in `state`.
    pub(super) fn open(&mut self, from: NodeId, to: NodeId, use_: Use, state: EndState, now: Instant) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        if let Use::Peer { .. } = use_ {
            // A new attempt takes the place of one that nobody has accepted.
            let old = self.peers.insert((from.min(to), from.max(to)), conn);
            let stale = |conn: &ConnId| {
                self.connections.get(conn).is_some_and(|old| old.ends.iter().all(|end| end.state != EndState::Open))
            };
            if let Some(old) = old.filter(stale) {
                self.connections.remove(&old);
            }
        }
        let pipe = |from: NodeId, to: NodeId| Pipe {
            dice: self.seed.stream(&format!("network {conn} {}", from.0)),
            queue: VecDeque::new(),
            clear: Instant::ZERO,
            cut: self.cut.contains(&(from, to)).then_some(now),
            slow: self.slow.get(&(from, to)).copied().unwrap_or_default(),
            loopback: from == to,
        };
        let pipes = [pipe(from, to), pipe(to, from)];
        let ends = [End { node: from, state }, End { node: to, state }];
        let connection = Connection { ends, pipes, use_, unacknowledged: false, died: None };
        self.connections.insert(conn, Box::new(connection));
        conn
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        let place = self.connections.place_of(&conn, self.places[conn.0 as usize % PLACES])?;
        self.connections.value_at(place).map(|connection| &**connection)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        let place = &mut self.places[conn.0 as usize % PLACES];
        *place = self.connections.place_of(&conn, *place)?;
        self.connections.value_at_mut(*place).map(|connection| &mut **connection)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        self.connections.iter().map(|(conn, connection)| (*conn, &**connection))
    }

    /// The connection between two brokers, and which end the first of them has.
    pub(super) fn peer(&self, from: NodeId, to: NodeId) -> Option<(ConnId, usize)> {
        let conn = *self.peers.get(&(from.min(to), from.max(to)))?;
        let side = usize::from(self.connections.get(&conn)?.ends[0].node != from);
        Some((conn, side))
    }

    /// Sends what the end `side` of `conn` says. `None` while the link holds it back.
    pub(super) fn send(&mut self, now: Instant, conn: ConnId, side: usize, body: Body) -> Option<(Instant, Arrival)> {
        let latency = self.latency;
        let loss_per_million = self.loss_per_million;
        let place = &mut self.places[conn.0 as usize % PLACES];
        *place = self.connections.place_of(&conn, *place)?;
        let connection = self.connections.value_at_mut(*place)?;
        let (from, to) = (connection.ends[side].node, connection.ends[1 - side].node);
        let pipe = &mut connection.pipes[side];
        let mut delay = pipe.delay(latency, loss_per_million);
        if !self.holds.is_empty() && body.is_message() {
            delay += self.holds.remove(&(from, to)).unwrap_or_default();
        }
        let arrives = match self.capacities.limited() && from != to {
            true => self.capacities.pass(now, from, to, body.load(), delay),
            false => now + delay,
        };
        let arrives = arrives.max(pipe.clear);
        let id = self.next_message;
        self.next_message += 1;
        pipe.clear = arrives;
        pipe.queue.push_back(Message { id, departed: now, arrives, tries: 0, body });
        pipe.cut.is_none().then_some((arrives, Arrival { conn, id, side: side as u8 }))
    }

    /// Takes the message that arrives now, unless it is held back or was taken off.
    pub(super) fn arrive(&mut self, now: Instant, arrival: Arrival) -> Option<Message> {
        let pipe = &mut self.get_mut(arrival.conn)?.pipes[arrival.side as usize];
        let head = pipe.queue.front()?;
        let due = head.id == arrival.id && head.arrives == now && pipe.cut.is_none();
        if due { pipe.queue.pop_front() } else { None }
    }

    /// A call for a connection met a dead machine: TCP tries again. False where it gives up.
    pub(super) fn retry(
        &mut self,
        now: Instant,
        arrival: Arrival,
        message: Message,
        out: &mut Vec<(Instant, Arrival)>,
    ) -> bool {
        let Some(connection) = self.get_mut(arrival.conn) else { return true };
        if message.tries == SYN_RETRIES {
            return false;
        }
        let again = now + Duration::from_secs(1 << message.tries);
        let side = arrival.side as usize;
        let pipe = &mut connection.pipes[side];
        pipe.queue.push_front(Message { tries: message.tries + 1, arrives: again, ..message });
        pipe.resend(again, arrival.conn, side, out);
        true
    }

    /// The broker takes it later.
    pub(super) fn put_back(&mut self, conn: ConnId, message: Message) {
        if let Some(connection) = self.get_mut(conn) {
            connection.pipes[0].queue.push_front(message);
        }
    }

    /// A broker takes nothing more from a client before `until`: what the client sends meanwhile waits.
    pub(super) fn mute(&mut self, conn: ConnId, until: Instant) -> Vec<(Instant, Arrival)> {
        let mut later = Vec::new();
        if let Some(connection) = self.get_mut(conn) {
            connection.pipes[0].resend(until, conn, 0, &mut later);
        }
        later
    }

    /// Removes a connection that neither end holds any more.
    pub(super) fn sweep(&mut self, conn: ConnId) {
        let over = |end: &End| matches!(end.state, EndState::Closed | EndState::Gone);
        if self.get(conn).is_some_and(|connection| connection.ends.iter().all(over)) {
            self.remove(conn);
        }
    }

    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        let [one, other] = connection.ends.map(|end| end.node);
        let pair = (one.min(other), one.max(other));
        if self.peers.get(&pair) == Some(&conn) {
            self.peers.remove(&pair);
        }
    }

    /// What is on its way is lost.
    pub(super) fn drop_messages(&mut self, conn: ConnId) {
        let pipes = self.connections.get_mut(&conn).into_iter().flat_map(|connection| &mut connection.pipes);
        pipes.for_each(|pipe| pipe.queue.clear());
    }

    /// From now on nothing passes from `from` to `to`.
    pub(super) fn cut(&mut self, now: Instant, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
        for pipe in self.pipes_mut(from, to) {
            pipe.2.cut.get_or_insert(now);
        }
    }

    /// What was held back on the way from `from` to `to` goes on, in order.
    pub(super) fn heal(&mut self, now: Instant, from: NodeId, to: NodeId) -> Vec<(Instant, Arrival)> {
        self.cut.remove(&(from, to));
        let latency = self.latency;
        let mut arrivals = Vec::new();
        for (conn, side, pipe) in self.pipes_mut(from, to) {
            if pipe.cut.take().is_some() {
                let earliest = now + pipe.delay(latency, 0);
                pipe.resend(earliest, conn, side, &mut arrivals);
            }
        }
        arrivals
    }

    /// Every message from `from` to `to` takes that much longer from now on.
    pub(super) fn slow(&mut self, from: NodeId, to: NodeId, by: Duration) {
        match by.is_zero() {
            true => drop(self.slow.remove(&(from, to))),
            false => drop(self.slow.insert((from, to), by)),
        }
        for (_, _, pipe) in self.pipes_mut(from, to) {
            pipe.slow = by;
        }
    }

    /// The next message from `from` to `to` takes that much longer.
    pub(super) fn hold(&mut self, from: NodeId, to: NodeId, by: Duration) {
        self.holds.insert((from, to), by);
    }

    /// From, to, and by how much.
    pub(super) fn slowed(&self) -> impl Iterator<Item = (NodeId, NodeId, Duration)> {
        self.slow.iter().map(|(&(from, to), &by)| (from, to, by))
    }

    /// No next message is held any more.
    pub(super) fn hold_none(&mut self) {
        self.holds.clear();
    }

    /// From, to.
    pub(super) fn cuts(&self) -> impl Iterator<Item = (NodeId, NodeId)> {
        self.cut.iter().copied()
    }

    /// The message of that id, while it is on its way, and on which connection.
    pub(super) fn message(&self, id: u64) -> Option<(&Connection, &Message)> {
        self.connections.values().find_map(|connection| {
            let mut all = connection.pipes.iter().flat_map(|pipe| &pipe.queue);
            Some((&**connection, all.find(|message| message.id == id)?))
        })
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Connections that `node` has an end of, and which.
    pub(super) fn of(&self, node: NodeId) -> Vec<(ConnId, usize)> {
        let ends = |(conn, connection): (ConnId, &Connection)| {
            let side = connection.ends.iter().position(|end| end.node == node)?;
            Some((conn, side))
        };
        self.iter().filter_map(ends).collect()
    }

    fn pipes_mut(&mut self, from: NodeId, to: NodeId) -> impl Iterator<Item = (ConnId, usize, &mut Pipe)> {
        self.connections.iter_mut().filter_map(move |(conn, connection)| {
            let [one, other] = connection.ends.map(|end| end.node);
            let side = match (one == from && other == to, other == from && one == to) {
                (true, _) => 0,
                (_, true) => 1,
                _ => return None,
            };
            Some((*conn, side, &mut connection.pipes[side]))
        })
    }
}

impl Pipe {
    fn delay(&mut self, (least, most): (Duration, Duration), loss_per_million: u32) -> Duration {
        if self.loopback {
            return LOOPBACK;
        }
        let mut delay = Duration::from_nanos(self.dice.between(least.as_nanos() as u64, most.as_nanos() as u64));
        if !self.slow.is_zero() {
            delay += self.slow;
        }
        if loss_per_million == 0 {
            return delay;
        }
        let mut wait = RTO;
        for _ in 0..RETRANSMISSIONS {
            if !self.dice.chance(loss_per_million) {
                break;
            }
            delay += wait;
            wait *= 2;
        }
        delay
    }

    /// Gives all that waits a new arrival, not before `earliest`.
    fn resend(&mut self, earliest: Instant, conn: ConnId, side: usize, out: &mut Vec<(Instant, Arrival)>) {
        for message in &mut self.queue {
            message.arrives = message.arrives.max(earliest);
            if self.cut.is_none() {
                out.push((message.arrives, Arrival { conn, id: message.id, side: side as u8 }));
            }
        }
        self.clear = self.clear.max(earliest);
    }
}
