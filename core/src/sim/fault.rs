//! What breaks, and what is put right again.

use super::network::{EndState, NodeId, Use};
use super::view::Level;
use super::{Actor, Process, Simulation, What};
use crate::broker::{self, Broker};
use crate::id::{BrokerId, ConnId};
use crate::time::Duration;

/// How long two brokers may hear nothing of each other: Kafka's `broker.session.timeout.ms`.
const SESSION: Duration = Duration::from_secs(9);

impl Simulation {
    /// The process dies. The kernel keeps what was written, and resets the connections.
    pub(super) fn kill(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.die(id, Process::Killed)?;
        self.hang_up(node);
        self.check_disks();
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
            }
            if let Use::Peer { .. } = connection.use_ {
                self.schedule(self.now + SESSION, What::Silence { conn });
            }
            self.network.sweep(conn);
        }
        let now = self.now;
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else { return Ok(()) };
        for (directory, bytes) in host.disk.crashed(now, &mut self.dice) {
            self.story.say(now, id, Level::Bad, format!("{directory}: {bytes} bytes were not flushed and are lost"));
        }
        self.check_crash();
        Ok(())
    }

    /// The machine runs, and starts the process over what is on its disk.
    pub(super) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.host_node(id)?;
        let now = self.time();
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else {
            return Err(format!("{id} is no broker"));
        };
        if host.broker().is_some() {
            return Err(format!("{id} is running"));
        }
        let mut out = std::mem::take(&mut self.scratch.broker);
        let broker = match Broker::open(host.config.clone(), host.disk.image(), now, &mut out) {
            Ok(broker) => broker,
            Err(why) => return Err(format!("{id} does not start: {why}")),
        };
        host.process = Process::Running(broker);
        host.incarnation += 1;
        self.reset_what_is_not_known(node);
        // To itself there is a connection always.
        self.network.open(node, node, Use::Peer { calls: Vec::new() }, EndState::Open, self.now);
        self.enact_all(node, out);
        let others: Vec<_> = self.hosts().filter(|(other, host)| *other != node && host.broker().is_some()).collect();
        for other in others.into_iter().map(|(other, _)| other).collect::<Vec<_>>() {
            self.join_peers(node, other);
        }
        Ok(())
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
        let now = self.time();
        if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
            host.disk.stopped(now);
        }
        if self.die(id, Process::Killed).is_ok() {
            self.story.say(self.now, id, Level::Info, "stopped".to_owned());
            self.hang_up(node);
        }
    }

    /// No message passes between the two, in either direction.
    pub(super) fn cut(&mut self, one: &str, other: &str) -> Result<(), String> {
        let (one, other) = (self.node(one)?, self.node(other)?);
        if one == other {
            return Err("a node is not cut off from itself".to_owned());
        }
        self.network.cut(self.now, one, other);
        self.network.cut(self.now, other, one);
        if let Some((conn, _)) = self.network.peer(one, other) {
            self.schedule(self.now + SESSION, What::Silence { conn });
        }
        Ok(())
    }

    pub(super) fn heal(&mut self, one: &str, other: &str) -> Result<(), String> {
        let (one, other) = (self.node(one)?, self.node(other)?);
        for (from, to) in [(one, other), (other, one)] {
            let arrivals = self.network.heal(self.now, from, to);
            self.schedule_all(arrivals);
        }
        let run = |node: NodeId| self.host(node).is_some_and(|host| host.broker().is_some());
        if run(one) && run(other) && self.network.peer(one, other).is_none() {
            self.join_peers(one, other);
        }
        Ok(())
    }

    /// A broker says that it cannot go on.
    pub(super) fn failed(&mut self, node: NodeId) {
        if let Some(id) = self.host(node).map(|host| host.id())
            && self.die(id, Process::Killed).is_ok()
        {
            self.hang_up(node);
        }
    }

    /// A client goes, in order.
    pub(super) fn stop_client(&mut self, node: NodeId) -> Result<(), String> {
        let client = self.client_mut(node);
        if !client.running {
            return Err("it is not running".to_owned());
        }
        client.running = false;
        let slot = &mut self.nodes[node.0 as usize];
        slot.connections.clear();
        slot.timer = None;
        self.hang_up(node);
        Ok(())
    }

    /// True where two brokers have heard nothing of each other for a session's time: both give the connection up.
    pub(super) fn silence(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.network.get(conn) else { return false };
        let cut = |since: Option<crate::time::Instant>| since.is_some_and(|since| self.now.since(since) >= SESSION);
        let gone = connection.ends.iter().any(|end| end.state == EndState::Gone);
        if !gone && !connection.pipes.iter().any(|pipe| cut(pipe.cut)) {
            return false;
        }
        for end in 0..2 {
            match self.network.get(conn).map(|connection| connection.ends[end].state) {
                Some(EndState::Open) => self.closed(conn, end),
                Some(EndState::Opening) => self.forget(conn, end),
                _ => {}
            }
        }
        self.network.remove(conn);
        true
    }

    fn forget(&mut self, conn: ConnId, end: usize) {
        if let Some(connection) = self.network.get_mut(conn) {
            connection.ends[end].state = EndState::Closed;
        }
    }

    fn join_peers(&mut self, from: NodeId, to: NodeId) {
        let conn = self.network.open(from, to, Use::Peer { calls: Vec::new() }, EndState::Opening, self.now);
        self.send(conn, 0, super::network::Body::Connect);
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
        slot.connections.clear();
        slot.timer = None;
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
