//! The machine with ZooKeeper: one node, beside the brokers. Its disk has done what was synced, and a write of the log is
//! a write and a sync; nothing that it has answered is lost.

use std::collections::VecDeque;
use std::sync::Arc;

use super::disk::SYNC;
use super::network::{Body, EndState, NodeId, Use};
use super::{Actor, Simulation, Told, What};
use crate::broker;
use crate::id::{BrokerId, ConnId};
use crate::node::Node;
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::view::{FactGroup, Level, ZnodeDetail, ZooKeeperView};
use crate::zookeeper::server::{Config, Effect, Event};
use crate::zookeeper::store::Image;
use crate::zookeeper::{NAME, Server, Zxid, client};

#[derive(Clone)]
pub(super) struct Machine {
    pub process: Process,
    /// Counts processes: what was meant for an earlier one is dropped.
    incarnation: u32,
    files: VecMap<String, Arc<Vec<u8>>>,
    /// Asked for, and not begun.
    queue: VecDeque<Write>,
    writing: VecDeque<Write>,
}

#[derive(Clone)]
struct Write {
    file: String,
    bytes: bytes::Bytes,
    zxid: Zxid,
}

/// As a broker's: `Running → Killed | Crashed → Running`
#[derive(Clone)]
pub(super) enum Process {
    Running(Server),
    Killed,
    Crashed,
}

impl Machine {
    pub fn new() -> Machine {
        Machine {
            process: Process::Killed,
            incarnation: 0,
            files: VecMap::new(),
            queue: VecDeque::new(),
            writing: VecDeque::new(),
        }
    }

    pub fn server(&self) -> Option<&Server> {
        match &self.process {
            Process::Running(server) => Some(server),
            Process::Killed | Process::Crashed => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.server().and_then(Server::deadline)
    }

    fn append(&mut self, write: Write) {
        let file = self.files.entry(write.file).or_default();
        Arc::make_mut(file).extend_from_slice(&write.bytes);
    }
}

impl Simulation {
    pub(super) fn zookeeper_node(&self) -> NodeId {
        self.names[NAME]
    }

    pub(super) fn zookeeper(&self) -> &Machine {
        match &self.nodes[self.zookeeper_node().0 as usize].actor {
            Actor::ZooKeeper(machine) => machine,
            _ => unreachable!("the name is taken when the simulation is made"),
        }
    }

    fn zookeeper_mut(&mut self) -> &mut Machine {
        let node = self.zookeeper_node();
        match &mut self.nodes[node.0 as usize].actor {
            Actor::ZooKeeper(machine) => machine,
            _ => unreachable!("the name is taken when the simulation is made"),
        }
    }

    /// Steps the server, if it runs, and carries out what it wants.
    pub(super) fn tell_zookeeper(&mut self, event: Event) {
        let node = self.zookeeper_node();
        let now = self.time_of(node);
        let slot = &mut self.nodes[node.0 as usize];
        let Actor::ZooKeeper(machine) = &mut slot.actor else { return };
        let Process::Running(server) = &mut machine.process else { return };
        if let Some(paused) = &mut slot.paused {
            return paused.inbox.push_back(Told::ZooKeeper(event));
        }
        if self.trace.is_on() {
            self.trace.line(now.instant, &slot.name, '<', &event);
        }
        let mut out = std::mem::take(&mut self.scratch.zookeeper);
        server.step(now, event, &mut out);
        self.enact_zookeeper(out);
    }

    fn enact_zookeeper(&mut self, mut out: Vec<Effect>) {
        for effect in out.drain(..) {
            if self.trace.is_on() {
                self.trace.line(self.now, NAME, '>', &effect);
            }
            match effect {
                Effect::Send { conn, message } => self.send(conn, 1, Body::FromZooKeeper(message.into())),
                Effect::Close { conn } => self.close(conn, 1),
                Effect::Append { file, bytes, zxid } => {
                    self.zookeeper_mut().queue.push_back(Write { file, bytes, zxid });
                    self.begin_to_log();
                }
                Effect::Truncate { file, len } => {
                    if let Some(file) = self.zookeeper_mut().files.get_mut(&file) {
                        Arc::make_mut(file).truncate(len as usize);
                    }
                }
                Effect::Save { file, contents } => {
                    self.zookeeper_mut().files.insert(file, Arc::new(contents.to_vec()));
                }
                Effect::Remove { file } => drop(self.zookeeper_mut().files.remove(&file)),
                Effect::Note { text } => self.story.say(self.now, NAME, Level::Warn, text),
            }
        }
        self.scratch.zookeeper = out;
        self.set_timer(self.zookeeper_node());
    }

    /// Unless a write is on its way: then the next one takes all that has come until it is done.
    fn begin_to_log(&mut self) {
        let machine = self.zookeeper_mut();
        if machine.writing.is_empty() && !machine.queue.is_empty() {
            std::mem::swap(&mut machine.queue, &mut machine.writing);
            let incarnation = machine.incarnation;
            self.schedule(self.now + SYNC, What::Logged { incarnation });
        }
    }

    /// False where that was of a process that is gone.
    pub(super) fn logged(&mut self, incarnation: u32) -> bool {
        let machine = self.zookeeper_mut();
        if machine.incarnation != incarnation {
            return false;
        }
        let Some(zxid) = machine.writing.back().map(|write| write.zxid) else { return false };
        let written = std::mem::take(&mut machine.writing);
        for write in written {
            let bytes = write.bytes.clone();
            self.zookeeper_mut().append(write);
            self.observe_log_of_zookeeper(&bytes);
        }
        self.begin_to_log();
        self.tell_zookeeper(Event::Written { zxid });
        true
    }

    pub(super) fn kill_zookeeper(&mut self) -> Result<(), String> {
        let node = self.zookeeper_dies(Process::Killed)?;
        self.hang_up(node);
        Ok(())
    }

    pub(super) fn crash_zookeeper(&mut self) -> Result<(), String> {
        let node = self.zookeeper_dies(Process::Crashed)?;
        for (conn, side) in self.network.of(node) {
            let Some(connection) = self.network.get_mut(conn) else { continue };
            if connection.ends[side].state == EndState::Open {
                connection.ends[side].state = EndState::Gone;
            }
            self.network.sweep(conn);
        }
        Ok(())
    }

    fn zookeeper_dies(&mut self, how: Process) -> Result<NodeId, String> {
        let node = self.zookeeper_node();
        let machine = self.zookeeper_mut();
        if machine.server().is_none() {
            return Err(format!("{NAME} is not running"));
        }
        machine.process = how;
        machine.incarnation += 1;
        machine.queue.clear();
        machine.writing.clear();
        let slot = &mut self.nodes[node.0 as usize];
        (slot.timer, slot.paused) = (None, None);
        Ok(node)
    }

    pub(super) fn start_zookeeper(&mut self) -> Result<(), String> {
        let node = self.zookeeper_node();
        let now = self.time_of(node);
        let machine = self.zookeeper_mut();
        if machine.server().is_some() {
            return Err(format!("{NAME} is running"));
        }
        let files = machine.files.iter().map(|(name, bytes)| (name.clone(), bytes.to_vec().into()));
        let image = Image { files: files.collect() };
        let mut out = Vec::new();
        let (server, notes) = Server::open(Config::default(), &image, now, &mut out)
            .map_err(|why| format!("{NAME} does not start: {why}"))?;
        machine.process = Process::Running(server);
        for note in notes {
            self.story.say(self.now, NAME, Level::Warn, note);
        }
        self.reset_what_is_not_known(node);
        self.enact_zookeeper(out);
        Ok(())
    }

    /// A broker's session ends now, as if nothing had been heard of it for its time; the broker learns it as it is cut
    /// off.
    pub(super) fn expire_session(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.host_node(id)?;
        let session = self.host(node).and_then(|host| host.broker()).map(|broker| broker.session());
        let session = session.ok_or_else(|| format!("{id} is not running"))?;
        if self.zookeeper().server().is_none() {
            return Err(format!("{NAME} is not running"));
        }
        self.tell_zookeeper(Event::Expire { session });
        Ok(())
    }

    /// What a broker wants of its connections with ZooKeeper.
    pub(super) fn enact_client_of_zookeeper(&mut self, node: NodeId, effect: client::Effect) {
        match effect {
            client::Effect::Open { conn: own } => {
                let to = self.zookeeper_node();
                let conn = self.network.open(node, to, Use::ZooKeeper { own }, EndState::Opening, self.now);
                if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
                    host.zookeeper.push((own, conn));
                }
                self.send(conn, 0, Body::Connect);
            }
            client::Effect::Send { conn, message } => {
                if let Some(conn) = self.zookeeper_connection(node, conn) {
                    self.send(conn, 0, Body::ToZooKeeper(message));
                }
            }
            client::Effect::Close { conn } => {
                let global = self.zookeeper_connection(node, conn);
                self.forget_zookeeper_connection(node, conn);
                if let Some(conn) = global {
                    self.close(conn, 0);
                }
            }
        }
    }

    fn zookeeper_connection(&self, node: NodeId, own: ConnId) -> Option<ConnId> {
        let connections = &self.host(node)?.zookeeper;
        connections.iter().find(|(one, _)| *one == own).map(|(_, conn)| *conn)
    }

    fn forget_zookeeper_connection(&mut self, node: NodeId, own: ConnId) {
        if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
            host.zookeeper.retain(|(one, _)| *one != own);
        }
    }

    /// A broker's connection with ZooKeeper is there, or is gone.
    pub(super) fn zookeeper_connected(&mut self, node: NodeId, own: ConnId, up: bool) {
        let event = if up {
            client::Event::Opened { conn: own }
        } else {
            self.forget_zookeeper_connection(node, own);
            client::Event::Closed { conn: own }
        };
        self.tell_broker(node, broker::Event::ZooKeeper(event));
    }

    pub(super) fn zookeeper_view(&self) -> ZooKeeperView {
        self.zookeeper().server().map_or_else(ZooKeeperView::dead, Server::view)
    }

    pub(super) fn zookeeper_facts(&self) -> Vec<FactGroup> {
        let machine = self.zookeeper();
        let mut groups = machine.server().map_or_else(Vec::new, Server::facts);
        let files = machine.files.iter().map(|(name, bytes)| (name.clone(), format!("{} B", bytes.len())));
        groups.push(FactGroup { title: "Files".to_owned(), facts: files.collect() });
        groups
    }

    pub(super) fn znode(&self, path: &str) -> Option<ZnodeDetail> {
        self.zookeeper().server()?.znode(path)
    }
}
