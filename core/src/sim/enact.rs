//! Effects, carried out: what nodes want becomes messages on connections and work for disks, and comes back as events.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ResponseKind};

use super::disk::{Disk, Written};
use super::network::{Answer, Arrival, Body, EndState, Header, Message, NodeId, Pending, Use};
use super::{Actor, Power, Simulation, What};
use crate::broker::{self, event};
use crate::client::{self, Wire};
use crate::id::{CallId, ConnId, LogId, Ticket};
use crate::protocol::{Request, Response, line};
use crate::time::Instant;
use crate::view::Level;
use crate::zookeeper::{self, server};

/// Linux's words for ENOSPC.
const NO_ROOM: &str = "No space left on device";

impl Simulation {
    pub(super) fn enact(&mut self, node: NodeId, effect: broker::Effect) {
        use broker::Effect;
        self.observe_effect(node, &effect);
        match effect {
            Effect::Reply { ticket, response } => {
                let response = self.materialise(node, response);
                self.answer(ticket, Answer::Ready(response));
            }
            Effect::NoReply { ticket } => self.answer(ticket, Answer::None),
            Effect::Limit { conn } => {
                if let Some(Use::Client { limited, .. }) = self.network.get_mut(conn).map(|one| &mut one.use_) {
                    *limited = true;
                }
            }
            Effect::Mute { conn, until } => {
                let later = self.network.mute(conn, until);
                self.schedule_all(later);
            }
            Effect::Close { conn, .. } => self.close(conn, 1),
            Effect::Client(wire) => self.enact_wire(node, wire),

            Effect::Call { call, to, request } => {
                let peer = self.host_node(to).ok().and_then(|to| self.network.peer(node, to));
                match peer.filter(|(conn, side)| self.is_open(*conn, *side)) {
                    Some((conn, side)) => {
                        if let Some(Use::Peer { calls }) = self.network.get_mut(conn).map(|one| &mut one.use_) {
                            calls.push((side, call));
                        }
                        self.send(conn, side, Body::Call { call, request });
                    }
                    None => self.unreachable(node, call),
                }
            }
            Effect::Answer { to, call, response } => {
                let peer = self.host_node(to).ok().and_then(|to| self.network.peer(node, to));
                if let Some((conn, side)) = peer.filter(|(conn, side)| self.is_open(*conn, *side)) {
                    self.send(conn, side, Body::Answer { call, response });
                }
            }

            Effect::ZooKeeper(effect) => self.enact_client_of_zookeeper(node, effect),
            // The event log has it (`observe_effect`).
            Effect::Note { .. } => {}
            // Simulated connections are not counted.
            Effect::Configure { .. } | Effect::LimitArrivals { .. } => {}
            Effect::Fail { .. } => self.failed(node),

            Effect::Append { log, .. }
            | Effect::Flush { log, .. }
            | Effect::Roll { log, .. }
            | Effect::Truncate { log, .. }
            | Effect::IndexAborted { log, .. }
            | Effect::Delete { log, .. }
            | Effect::Clean { log, .. }
            | Effect::Replace { log, .. }
            | Effect::Discard { log, .. } => {
                let now = self.time_of(node);
                let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else { return };
                let written = host.disk.submit(now, effect);
                self.written(node, log, written);
            }
            // The simulated disk keeps no index files.
            Effect::Reindex { .. } => {}
            Effect::Open { log, directory, base, found } => self.disk(node).open(log, directory, base, found),
            Effect::Remove { log } => drop(self.disk(node).remove(log)),
            Effect::Save { file, contents } => self.disk(node).save(file, contents),
            Effect::Erase { file } => self.disk(node).erase(&file),
            Effect::Read { read, extent } => {
                let now = self.now;
                let loaded = self.disk(node).load(now, read, extent);
                let incarnation = self.incarnation(node);
                self.schedule(loaded, What::Loaded { node, incarnation });
            }
            // The simulated disk keeps no other index files.
            Effect::Seal { seal, log, segment, files, modified } => {
                let now = self.now;
                if let Some(at) = self.disk(node).seal(now, seal, log, segment, files.txn_index, modified) {
                    let incarnation = self.incarnation(node);
                    self.schedule(at, What::Sealed { node, incarnation });
                }
            }
            Effect::Work { work, extent, job } => {
                let now = self.now;
                let worked = self.disk(node).work(now, work, extent, *job);
                let incarnation = self.incarnation(node);
                self.schedule(worked, What::Worked { node, incarnation });
            }
            Effect::Stopped => self.stopped(node),
        }
    }

    /// What a node wants as a client: producers, consumers, and brokers that follow others.
    pub(super) fn enact_wire(&mut self, node: NodeId, wire: Wire) {
        match wire {
            Wire::Open { conn, to } => {
                let broker = self.names.get(&to.host).copied().unwrap_or(NodeId::NOWHERE);
                let use_ = Use::Client {
                    own: conn,
                    client_id: None,
                    limited: false,
                    requests: 0,
                    pending: Default::default(),
                };
                let own = conn;
                let conn = self.network.open(node, broker, use_, EndState::Opening, self.now);
                self.nodes[node.0 as usize].connections.push((own, conn));
                if self.host(broker).is_some() {
                    self.send(conn, 0, Body::Connect);
                } else {
                    self.reset(conn, 1);
                }
            }
            Wire::Send { conn, request } => {
                if let Some(conn) = self.nodes[node.0 as usize].connection(conn) {
                    self.send(conn, 0, Body::Request(request));
                }
            }
            Wire::Close { conn } => {
                let slot = &mut self.nodes[node.0 as usize];
                let global = slot.connection(conn);
                slot.connections.retain(|(own, _)| *own != conn);
                if let Some(conn) = global {
                    self.close(conn, 0);
                }
            }
        }
    }

    /// A write, or what needed none, is done.
    pub(super) fn written(&mut self, node: NodeId, log: LogId, written: Written) -> bool {
        let incarnation = self.incarnation(node);
        if let Some(at) = written.again {
            self.schedule(at, What::Wrote { node, incarnation, log });
        }
        for _ in 0..written.syncs {
            self.schedule(written.synced, What::Synced { node, incarnation, log });
        }
        if let Some(end) = written.appended {
            self.tell_broker(node, broker::Event::Appended { log, end });
        }
        if written.failed {
            let cause = NO_ROOM.to_owned();
            self.tell_broker(node, broker::Event::Offline { log, cause });
        }
        true
    }

    /// A message reaches the other end.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> bool {
        let (conn, side) = (arrival.conn, arrival.side as usize);
        let Some(message) = self.network.arrive(self.now, arrival) else { return false };
        let Some(connection) = self.network.get_mut(conn) else { return false };
        let end = 1 - side;
        let (node, sender) = (connection.ends[end].node, connection.ends[side].node);
        match connection.ends[end].state {
            EndState::Closed => {}
            // It asked to connect; anything else cannot come yet.
            EndState::Opening if end == 0 => self.accepted(conn, message),
            EndState::Opening => self.called(arrival, message),
            EndState::Open => match (&connection.use_, &message.body) {
                (Use::Client { limited: true, pending, .. }, Body::Request(_)) if !pending.is_empty() => {
                    self.network.put_back(conn, message);
                }
                _ => self.deliver(conn, end, node, sender, message),
            },
            EndState::Gone => match self.machine(node) == Some(Power::Off) {
                true => connection_mut(self, conn).unacknowledged = true,
                false => self.reset(conn, end),
            },
        }
        self.network.sweep(conn);
        true
    }

    /// The answer to an attempt to connect.
    fn accepted(&mut self, conn: ConnId, message: Message) {
        let connection = connection_mut(self, conn);
        let [opener, callee] = connection.ends.map(|end| end.node);
        let up = matches!(message.body, Body::Accept);
        connection.ends[0].state = if up { EndState::Open } else { EndState::Closed };
        match connection.use_ {
            Use::Client { own, .. } if up => self.tell_as_client(opener, client::Event::Opened { conn: own }),
            Use::Client { own, .. } => self.lost(opener, own),
            Use::Peer { .. } if up => self.peer(opener, callee, true),
            Use::Peer { .. } => {}
            Use::ZooKeeper { own } => self.zookeeper_connected(opener, own, up),
        }
    }

    /// An attempt to connect reaches the machine.
    fn called(&mut self, arrival: Arrival, message: Message) {
        let conn = arrival.conn;
        let [opener, callee] = connection_mut(self, conn).ends.map(|end| end.node);
        match self.machine(callee) {
            Some(Power::Running) => {
                connection_mut(self, conn).ends[1].state = EndState::Open;
                self.send(conn, 1, Body::Accept);
                if let Use::Peer { .. } = connection_mut(self, conn).use_ {
                    self.replace_peers(conn, opener, callee);
                    self.peer(callee, opener, true);
                }
            }
            Some(Power::Off) => {
                let mut again = Vec::new();
                if self.network.retry(self.now, arrival, message, &mut again) {
                    self.schedule_all(again);
                } else {
                    self.reset(conn, 1);
                }
            }
            Some(Power::NoProcess) | None => self.reset(conn, 1),
        }
    }

    /// Another connection between two brokers that this end still holds is of a process that is gone.
    fn replace_peers(&mut self, new: ConnId, opener: NodeId, callee: NodeId) {
        for (conn, end) in self.network.of(callee) {
            let Some(connection) = self.network.get(conn) else { continue };
            let same = matches!(connection.use_, Use::Peer { .. }) && connection.ends[1 - end].node == opener;
            if same && conn != new && connection.ends[end].state == EndState::Open {
                self.closed(conn, end);
                self.network.sweep(conn);
            }
        }
    }

    fn deliver(&mut self, conn: ConnId, end: usize, node: NodeId, sender: NodeId, message: Message) {
        match message.body {
            Body::Connect | Body::Accept => {}
            Body::Request(request) => self.requested(conn, node, request),
            Body::Response { to: Header { correlation_id, .. }, response } => {
                let Some(Use::Client { own, .. }) = self.network.get(conn).map(|connection| &connection.use_) else {
                    return;
                };
                let Response { version, body, .. } = response;
                let event = client::Event::Response { conn: *own, correlation_id, version, body };
                self.said = message.departed;
                self.tell_as_client(node, event);
            }
            Body::Call { call, request } => {
                let Some(from) = self.host(sender).map(|host| host.id()) else { return };
                self.tell_broker(node, broker::Event::Call { from, call, request });
            }
            Body::Answer { call, response } => {
                if let Use::Peer { calls } = &mut connection_mut(self, conn).use_ {
                    calls.retain(|made| *made != (end, call));
                }
                self.tell_broker(node, broker::Event::Answer { call, result: Ok(response) });
            }
            Body::ToZooKeeper(message) => self.tell_zookeeper(server::Event::Message { conn, message }),
            Body::FromZooKeeper(message) => {
                if let Some(Use::ZooKeeper { own }) = self.network.get(conn).map(|connection| &connection.use_) {
                    let event = zookeeper::client::Event::Message { conn: *own, message };
                    self.tell_broker(node, broker::Event::ZooKeeper(event));
                }
            }
            Body::Unreachable { call } => {
                self.tell_broker(node, broker::Event::Answer { call, result: Err(event::Unreachable) });
            }
            Body::Close => self.closed(conn, end),
        }
    }

    fn requested(&mut self, conn: ConnId, node: NodeId, mut request: Box<Request>) {
        if matches!(request.api_key, ApiKey::JoinGroup | ApiKey::ConsumerGroupHeartbeat | ApiKey::ShareGroupHeartbeat) {
            let client = self.network.get(conn).map(|connection| connection.ends[0]);
            request.host = client.map(|client| format!("/{}", self.nodes[client.node.0 as usize].name).into());
        }
        let Use::Client { requests, pending, client_id, .. } = &mut connection_mut(self, conn).use_ else { return };
        if *client_id != request.client_id {
            client_id.clone_from(&request.client_id);
        }
        let ticket = Ticket { conn, seq: *requests };
        *requests += 1;
        let header = Header {
            api_key: request.api_key,
            kind: line::request_kind(&request.body),
            correlation_id: request.correlation_id,
        };
        pending.push_back(Pending { header, answer: Answer::NotYet });
        if request.api_key == ApiKey::Produce {
            let bytes = request.batches.iter().flatten().map(|one| one.batch.bytes.len() as u64).sum::<u64>();
            if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
                host.bytes_in += bytes;
            }
        }
        self.tell_broker(node, broker::Event::Request { ticket, request });
    }

    /// Takes an answer, and sends what is now at the head of its connection.
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let conn = ticket.conn;
        let Some(Use::Client { requests, pending, .. }) = self.network.get_mut(conn).map(|one| &mut one.use_) else {
            return;
        };
        let first = *requests - pending.len() as u64;
        let Some(slot) = ticket.seq.checked_sub(first).and_then(|place| pending.get_mut(place as usize)) else {
            return;
        };
        slot.answer = answer;
        loop {
            let Some(Use::Client { pending, .. }) = self.network.get_mut(conn).map(|one| &mut one.use_) else { return };
            if pending.front().is_none_or(|first| matches!(first.answer, Answer::NotYet)) {
                break;
            }
            let Some(Pending { header, answer }) = pending.pop_front() else { return };
            if let Answer::Ready(response) = answer {
                self.send(conn, 1, Body::Response { to: header, response });
            }
        }
        // What was put back comes now, unless the client is muted.
        if let Some(Use::Client { limited: true, .. }) = self.network.get(conn).map(|one| &one.use_) {
            let next = self.network.mute(conn, self.now);
            self.schedule_all(next);
        }
    }

    /// Puts the record sets of a Fetch, or a ShareFetch, into its body, as the client sees them.
    fn materialise(&mut self, node: NodeId, mut response: Response) -> Response {
        if response.records.is_empty() {
            return response;
        }
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else { return response };
        let (fetch, share_fetch) = match &mut *response.body {
            ResponseKind::Fetch(fetch) => (Some(fetch), None),
            ResponseKind::ShareFetch(fetch) => (None, Some(fetch)),
            _ => return response,
        };
        let fetched = fetch.into_iter().flat_map(|fetch| &mut fetch.responses).flat_map(|topic| &mut topic.partitions);
        let shared =
            share_fetch.into_iter().flat_map(|fetch| &mut fetch.responses).flat_map(|topic| &mut topic.partitions);
        let places =
            fetched.map(|partition| &mut partition.records).chain(shared.map(|partition| &mut partition.records));
        for (records, extent) in places.zip(response.records.drain(..)) {
            let bytes = extent.map_or_else(Bytes::new, |extent| host.disk.read(extent));
            host.bytes_out += bytes.len() as u64;
            *records = Some(bytes);
        }
        response
    }

    pub(super) fn send(&mut self, conn: ConnId, side: usize, body: Body) {
        if let Some((at, arrival)) = self.network.send(self.now, conn, side, body) {
            self.schedule(at, What::Arrive(arrival));
        }
    }

    pub(super) fn schedule_all(&mut self, arrivals: Vec<(Instant, Arrival)>) {
        for (at, arrival) in arrivals {
            self.schedule(at, What::Arrive(arrival));
        }
    }

    /// This end closes: the other one hears of it after all that was sent before.
    pub(super) fn close(&mut self, conn: ConnId, side: usize) {
        let Some(connection) = self.network.get_mut(conn) else { return };
        if matches!(connection.ends[side].state, EndState::Opening | EndState::Open) {
            connection.ends[side].state = EndState::Closed;
            self.send(conn, side, Body::Close);
        }
        self.network.sweep(conn);
    }

    /// This end does not know the connection (any more) and says so.
    pub(super) fn reset(&mut self, conn: ConnId, side: usize) {
        connection_mut(self, conn).ends[side].state = EndState::Closed;
        self.send(conn, side, Body::Close);
    }

    /// This end hears that the other one closed.
    pub(super) fn closed(&mut self, conn: ConnId, end: usize) {
        let connection = connection_mut(self, conn);
        connection.ends[end].state = EndState::Closed;
        let node = connection.ends[end].node;
        let other = connection.ends[1 - end].node;
        match &mut connection.use_ {
            Use::Client { own, .. } if end == 0 => {
                let own = *own;
                if self.host(node).is_none() {
                    let text = format!("loses its connection with {}", self.name(other));
                    self.story.say(self.now, self.name(node).clone(), Level::Warn, text);
                }
                self.lost(node, own);
            }
            Use::Client { .. } => self.tell_broker(node, broker::Event::Closed { conn }),
            Use::ZooKeeper { own } if end == 0 => {
                let own = *own;
                self.zookeeper_connected(node, own, false);
            }
            Use::ZooKeeper { .. } => self.tell_zookeeper(server::Event::Closed { conn }),
            Use::Peer { calls } => {
                let calls = std::mem::take(calls);
                let (own, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(side, _)| *side == end);
                if let Use::Peer { calls } = &mut connection_mut(self, conn).use_ {
                    *calls = others;
                }
                self.peer(node, other, false);
                for (_, call) in own {
                    let result = Err(event::Unreachable);
                    self.tell_broker(node, broker::Event::Answer { call, result });
                }
            }
        }
    }

    /// A client's connection is gone.
    pub(super) fn lost(&mut self, node: NodeId, own: ConnId) {
        self.nodes[node.0 as usize].connections.retain(|(one, _)| *one != own);
        self.tell_as_client(node, client::Event::Closed { conn: own });
    }

    fn peer(&mut self, node: NodeId, other: NodeId, up: bool) {
        if let Some(id) = self.host(other).map(|host| host.id()) {
            self.tell_broker(node, broker::Event::Peer { id, up });
        }
    }

    /// There is no connection for a call: the caller learns it as an event, not in the middle of a step.
    fn unreachable(&mut self, node: NodeId, call: CallId) {
        if let Some((conn, side)) = self.network.peer(node, node) {
            self.send(conn, side, Body::Unreachable { call });
        }
    }

    fn is_open(&self, conn: ConnId, side: usize) -> bool {
        self.network.get(conn).is_some_and(|connection| connection.ends[side].state == EndState::Open)
    }

    fn incarnation(&self, node: NodeId) -> u32 {
        self.host(node).map_or(0, |host| host.incarnation)
    }

    fn disk(&mut self, node: NodeId) -> &mut Disk {
        match &mut self.nodes[node.0 as usize].actor {
            Actor::Broker(host) => &mut host.disk,
            Actor::ZooKeeper(_) | Actor::Client(_) => unreachable!("only brokers have effects on these disks"),
        }
    }
}

/// A connection that is known to be there.
fn connection_mut(simulation: &mut Simulation, conn: ConnId) -> &mut super::network::Connection {
    simulation.network.get_mut(conn).expect("a connection is removed by `sweep` alone, at the end of an arrival")
}
