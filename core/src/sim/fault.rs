//! What breaks, and what is put right again.

use super::check::Death;
use super::disk::Loss;
use super::network::{End, EndState, NodeId, Use};
use super::workload::App;
use super::{Actor, Process, Simulation, What};
use crate::broker::{self, Broker};
use crate::client;
use crate::id::{BrokerId, ConnId};
use crate::time::{Duration, Instant};
use crate::view::Level;

/// How long two brokers may hear nothing of each other: Kafka's `broker.session.timeout.ms`.
const SESSION: Duration = Duration::from_secs(9);

impl Simulation {
    /// The process dies. The kernel keeps what was written, and resets the connections.
    pub(super) fn kill(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.die(id, Process::Killed)?;
        self.hang_up(node);
        self.observe_death(node, Death::Killed);
        Ok(())
    }

    /// The machine dies. What was not flushed is lost as the dice say, and nobody is told.
    pub(super) fn crash(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.die(id, Process::Crashed)?;
        for (conn, side) in self.network.of(node) {
            let Some(connection) = self.network.get_mut(conn) else { continue };
            let end = &mut connection.ends[side];
            if end.state == EndState::Open || (end.state == EndState::Opening && side == 0) {
                end.state = EndState::Gone;
                connection.died.get_or_insert(self.now);
            }
            if let Use::Peer { .. } = connection.use_ {
                self.schedule(self.now + SESSION, What::Silence { conn });
            }
            self.network.sweep(conn);
        }
        let now = self.now;
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else { return Ok(()) };
        let damaged = host.disk.tears || host.disk.corrupts;
        let losses = host.disk.crashed(now, &mut self.dice);
        host.look_at_disk();
        if damaged && losses.is_empty() {
            let text = "everything was flushed: there is nothing to tear or corrupt".to_owned();
            self.story.say(now, id, Level::Info, text);
        }
        for Loss { directory, bytes, corrupted } in losses {
            if bytes > 0 {
                let text = format!("{directory}: {bytes} bytes were not flushed and are lost");
                self.story.say(now, id, Level::Bad, text);
            }
            if let Some(offset) = corrupted {
                let text = format!("{directory}: the batch at {offset} was not flushed and has a wrong byte");
                self.story.say(now, id, Level::Bad, text);
            }
        }
        self.observe_death(node, Death::Crashed);
        Ok(())
    }

    /// The machine runs, and starts the process over what is on its disk.
    pub(super) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.host_node(id)?;
        let now = self.time_of(node);
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else {
            return Err(format!("{id} is no broker"));
        };
        if host.broker().is_some() {
            return Err(format!("{id} is running"));
        }
        let mut out = std::mem::take(&mut self.scratch.broker);
        let mut broker = match Broker::open(host.config.clone(), host.disk.image(), now, &mut out) {
            Ok(broker) => broker,
            Err(why) => return Err(format!("{id} does not start: {why}")),
        };
        host.disk.found();
        broker.watch();
        host.process = Process::Running(broker);
        host.incarnation += 1;
        self.reset_what_is_not_known(node);
        // To itself there is a connection always.
        self.network.open(node, node, Use::Peer { calls: Vec::new() }, EndState::Open, self.now);
        self.enact_all(node, out);
        self.join_all_peers(node);
        Ok(())
    }

    /// A machine more, with the next id, whose broker starts and joins the others.
    pub(super) fn add_broker(&mut self) -> Result<(), String> {
        let id = BrokerId(self.hosts().map(|(_, host)| host.id().0).max().unwrap_or(0) + 1);
        self.add_host(id);
        self.start(id)
    }

    /// A machine runs again: the senders try again what was not acknowledged, and meet a kernel that knows nothing of it.
    pub(super) fn reset_what_is_not_known(&mut self, node: NodeId) {
        for (conn, side) in self.network.of(node) {
            let Some(connection) = self.network.get_mut(conn) else { continue };
            if connection.ends[side].state == EndState::Gone && connection.unacknowledged {
                self.reset(conn, side);
                self.network.sweep(conn);
            }
        }
    }

    /// The process is asked to stop: it flushes, and ends when it is ready.
    pub(super) fn stop_broker(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.host_node(id)?;
        if self.host(node).and_then(|host| host.broker()).is_none() {
            return Err(format!("{id} is not running"));
        }
        self.tell_broker(node, broker::Event::Stop { controlled: true });
        Ok(())
    }

    /// The process has stopped in order.
    pub(super) fn stopped(&mut self, node: NodeId) {
        let Some(id) = self.host(node).map(|host| host.id()) else { return };
        let now = self.time_of(node);
        if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
            host.disk.stopped(now);
        }
        if self.die(id, Process::Killed).is_ok() {
            self.story.say(self.now, id, Level::Info, "stopped".to_owned());
            self.hang_up(node);
            self.observe_death(node, Death::Killed);
        }
    }

    /// From now on no message passes that way.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.network.cut(self.now, from, to);
        if let Some((conn, _)) = self.network.peer(from, to) {
            self.schedule(self.now + SESSION, What::Silence { conn });
        }
    }

    pub(super) fn heal(&mut self, from: NodeId, to: NodeId) {
        let arrivals = self.network.heal(self.now, from, to);
        self.schedule_all(arrivals);
        self.join_peers(from, to);
    }

    /// The connections between the two break, and what is on them is lost.
    pub(super) fn reset_link(&mut self, one: NodeId, other: NodeId) {
        for (conn, side) in self.network.of(one) {
            if self.network.get(conn).is_none_or(|connection| connection.ends[1 - side].node != other) {
                continue;
            }
            self.network.drop_messages(conn);
            self.break_off(conn);
        }
        self.join_peers(one, other);
    }

    /// A broker says that it cannot go on.
    pub(super) fn failed(&mut self, node: NodeId) {
        if let Some(id) = self.host(node).map(|host| host.id())
            && self.die(id, Process::Killed).is_ok()
        {
            self.hang_up(node);
        }
    }

    /// The process of a producer or consumer is gone: nobody is told, and its kernel resets its connections.
    pub(super) fn kill_client(&mut self, name: &str) -> Result<(), String> {
        let node = self.node(name)?;
        for node in self.process_of(node) {
            let client = self.client_mut(node);
            client.failed = false;
            if client.running {
                self.stop_client(node)?;
            }
        }
        Ok(())
    }

    /// A client closes in order: members of a group leave it first.
    pub(super) fn close_client(&mut self, node: NodeId) -> Result<(), String> {
        // Of a process the consumer closes first, and then all of it ends.
        let node = self.process_of(node)[0];
        let client = self.client_mut(node);
        if client.running && matches!(&client.app, App::Producer(_) | App::Consumer(_)) {
            self.tell_client(node, client::Event::Command(client::Command::Close.into()));
            return Ok(());
        }
        self.stop_client(node)
    }

    pub(super) fn stop_client(&mut self, node: NodeId) -> Result<(), String> {
        let client = self.client_mut(node);
        if !client.running {
            return Err("it is not running".to_owned());
        }
        client.running = false;
        let slot = &mut self.nodes[node.0 as usize];
        slot.connections.clear();
        (slot.timer, slot.paused) = (None, None);
        self.hang_up(node);
        let name = self.name(node).clone();
        self.checks.ended(self.now, &name);
        Ok(())
    }

    /// True where two brokers have heard nothing of each other for a session's time: both give the connection up.
    pub(super) fn silence(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.network.get(conn) else { return false };
        let cut = |since: Option<Instant>| since.is_some_and(|since| self.now.since(since) >= SESSION);
        let still = |end: &End| cut(self.nodes[end.node.0 as usize].paused.as_ref().map(|paused| paused.since));
        let silent = connection.pipes.iter().any(|pipe| cut(pipe.cut)) || connection.ends.iter().any(still);
        if !silent && !cut(connection.died) {
            return false;
        }
        self.break_off(conn);
        true
    }

    /// The node has fallen silent: whoever is connected with it will find out.
    pub(super) fn watch_silence(&mut self, node: NodeId) {
        for (conn, side) in self.network.of(node) {
            let Some(connection) = self.network.get(conn) else { continue };
            if matches!(connection.use_, Use::Peer { .. }) && connection.ends[1 - side].node != node {
                self.schedule(self.now + SESSION, What::Silence { conn });
            }
        }
    }

    /// Both ends give the connection up.
    fn break_off(&mut self, conn: ConnId) {
        for end in 0..2 {
            let Some(connection) = self.network.get(conn) else { return };
            let node = connection.ends[end].node;
            match (connection.ends[end].state, &connection.use_) {
                (EndState::Open, _) => self.closed(conn, end),
                (EndState::Opening, Use::Client { own, .. }) if end == 0 => {
                    let own = *own;
                    self.forget(conn, end);
                    self.lost(node, own);
                }
                (EndState::Opening, _) => self.forget(conn, end),
                _ => {}
            }
        }
        self.network.remove(conn);
    }

    fn forget(&mut self, conn: ConnId, end: usize) {
        if let Some(connection) = self.network.get_mut(conn) {
            connection.ends[end].state = EndState::Closed;
        }
    }

    pub(super) fn join_all_peers(&mut self, node: NodeId) {
        let others: Vec<NodeId> = self.hosts().map(|(other, _)| other).filter(|other| *other != node).collect();
        for other in others {
            self.join_peers(node, other);
        }
    }

    /// Two brokers that run have a connection.
    fn join_peers(&mut self, from: NodeId, to: NodeId) {
        let runs = |node: NodeId| self.host(node).is_some_and(|host| host.broker().is_some());
        if !runs(from) || !runs(to) || self.network.peer(from, to).is_some_and(|(conn, _)| self.lasts(conn)) {
            return;
        }
        let conn = self.network.open(from, to, Use::Peer { calls: Vec::new() }, EndState::Opening, self.now);
        self.send(conn, 0, super::network::Body::Connect);
        // Nobody is told that the other one stands still, or cannot be heard.
        self.schedule(self.now + SESSION, What::Silence { conn });
    }

    /// Neither end has given the connection up, or died.
    fn lasts(&self, conn: ConnId) -> bool {
        let lasts = |end: &End| matches!(end.state, EndState::Opening | EndState::Open);
        self.network.get(conn).is_some_and(|connection| connection.ends.iter().all(lasts))
    }

    fn die(&mut self, id: BrokerId, how: Process) -> Result<NodeId, String> {
        let node = self.host_node(id)?;
        let slot = &mut self.nodes[node.0 as usize];
        let Actor::Broker(host) = &mut slot.actor else { return Err(format!("{id} is no broker")) };
        let Some(broker) = host.broker() else { return Err(format!("{id} is not running")) };
        host.last_seen = broker.replicas().into();
        host.process = how;
        host.zookeeper.clear();
        host.disk.killed();
        host.look_at_disk();
        slot.connections.clear();
        (slot.timer, slot.paused) = (None, None);
        for (conn, side) in self.network.of(node) {
            let Some(connection) = self.network.get_mut(conn) else { continue };
            match &mut connection.use_ {
                Use::Client { pending, .. } => pending.clear(),
                Use::Peer { .. } if connection.ends[0].node == connection.ends[1].node => self.network.remove(conn),
                Use::Peer { calls } => calls.retain(|(made, _)| *made != side),
                Use::ZooKeeper { .. } => {}
            }
        }
        Ok(node)
    }

    /// Ends all connections of a node, as the kernel does for a process that is gone.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        for (conn, side) in self.network.of(node) {
            // Nobody has accepted yet what others want to open: that will be refused when it comes.
            if side == 1 && self.network.get(conn).is_some_and(|one| one.ends[1].state == EndState::Opening) {
                continue;
            }
            self.close(conn, side);
        }
    }
}
