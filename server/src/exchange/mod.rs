//! What the brokers of this server say to each other, over TCP, and what ails the ways between its nodes.
//!
//! `mod.rs` who is connected with whom, and what is cut | `talk.rs` one connection
//!
//! 1. A call is answered once: by the other broker, or as unreachable when the connection ends before that.
//! 2. When a broker dies its connections are reset: the others hear of it after what of its words had arrived.
//! 3. A cut way holds what is said until it is healed, and nobody is told. After `broker.session.timeout.ms` both ends
//!    give the connection up; what is held is then said to nobody.
//! 4. Two brokers have one connection at most; what comes on an earlier one is dropped.
//! 5. What a broker says to itself takes no way.

mod talk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use ottla_core::broker::Event;
use ottla_core::broker::event::Unreachable;
use ottla_core::client::Endpoint;
use ottla_core::id::{BrokerId, CallId};
use ottla_core::protocol::cluster::wire::{self, Frame, Message};
use ottla_core::protocol::cluster::{ClusterRequest, ClusterResponse, ClusterState, Registration};
use ottla_core::view::{Level, LinkView};
use ottla_core::zookeeper::NAME as ZOOKEEPER;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;
use uuid::Uuid;

use crate::driver::Inbox;
use crate::link::Way;
use crate::live::Live;

/// Who is on either end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Broker(BrokerId),
    ZooKeeper,
}

pub struct Exchange {
    /// Of this process alone: who says it is one of its brokers, and no client that has found their port.
    secret: String,
    /// Who there is, and where each is found from within.
    brokers: Vec<(Registration, SocketAddr)>,
    /// From, to: every pair of this server's nodes.
    ways: BTreeMap<(Node, Node), Arc<Way>>,
    board: Mutex<Board>,
    /// The newest state that a controller has told of, as bytes: it is told to all.
    told: Mutex<(Weak<ClusterState>, Bytes)>,
    /// Kafka's `broker.session.timeout.ms`.
    session: Duration,
    runtime: Handle,
    live: Arc<Live>,
}

#[derive(Default)]
struct Board {
    /// Those that run.
    processes: BTreeMap<BrokerId, Process>,
    /// What the first of the two has of its connection with the second.
    ends: BTreeMap<(BrokerId, BrokerId), End>,
    /// Processes and connections so far.
    count: u64,
    /// Cuts so far, and those that last.
    cuts: u64,
    cut: BTreeMap<(Node, Node), u64>,
}

struct Process {
    number: u64,
    inbox: Sender<Inbox>,
}

/// One end of an open connection.
struct End {
    connection: u64,
    /// What is to be sent; dropping it closes the connection.
    frames: UnboundedSender<Frame>,
    /// It is to be closed by a reset.
    broken: Arc<AtomicBool>,
    /// Its own, without an answer.
    calls: BTreeSet<CallId>,
}

/// An end, as the task that serves the connection has it.
struct Opened {
    connection: u64,
    queue: UnboundedReceiver<Frame>,
    broken: Arc<AtomicBool>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Broker(id) => id.fmt(f),
            Node::ZooKeeper => f.write_str(ZOOKEEPER),
        }
    }
}

impl Exchange {
    pub fn new(
        brokers: Vec<(Registration, SocketAddr)>,
        session: Duration,
        runtime: Handle,
        live: Arc<Live>,
    ) -> Arc<Exchange> {
        let nodes = brokers.iter().map(|(broker, _)| Node::Broker(broker.id)).chain([Node::ZooKeeper]);
        let nodes = nodes.collect::<Vec<_>>();
        let pairs = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to)));
        let ways = pairs.filter(|(from, to)| from != to).map(|pair| (pair, Way::new(runtime.clone()))).collect();
        let told = Mutex::default();
        let secret = Uuid::new_v4().to_string();
        Arc::new(Exchange { secret, brokers, ways, board: Mutex::default(), told, session, runtime, live })
    }

    /// The way from one node to another; nothing ails those that are not this server's.
    pub fn way(&self, from: Node, to: Node) -> Arc<Way> {
        self.ways.get(&(from, to)).cloned().unwrap_or_else(|| Way::new(self.runtime.clone()))
    }

    /// The way from a broker to whoever listens there, the way back, and where that is found from within.
    pub fn route(&self, from: BrokerId, to: &Endpoint) -> (Arc<Way>, Arc<Way>, Option<SocketAddr>) {
        let named = |(broker, _): &&(Registration, SocketAddr)| (&broker.host, broker.port) == (&to.host, to.port);
        match self.brokers.iter().find(named) {
            Some((to, address)) => {
                let (from, to) = (Node::Broker(from), Node::Broker(to.id));
                (self.way(from, to), self.way(to, from), Some(*address))
            }
            None => (Way::new(self.runtime.clone()), Way::new(self.runtime.clone()), None),
        }
    }

    /// A broker runs: it is to be connected with all that run.
    pub fn join(self: &Arc<Self>, id: BrokerId, inbox: Sender<Inbox>) {
        let mut board = self.board();
        board.count += 1;
        let number = board.count;
        board.processes.insert(id, Process { number, inbox });
        drop(board);
        for (other, _) in &self.brokers {
            self.dial(id, other.id);
        }
    }

    /// A broker's process is gone, by its death or in order (2).
    pub fn leave(&self, id: BrokerId, died: bool) {
        let mut board = self.board();
        board.processes.remove(&id);
        for (_, end) in board.ends.extract_if(.., |(of, _), _| *of == id) {
            end.broken.store(died, Ordering::Release);
        }
    }

    /// Ends when all that run are connected.
    pub async fn complete(&self) {
        let apart = || {
            let board = self.board();
            let run = board.processes.keys().copied().collect::<Vec<_>>();
            let mut pairs = run.iter().flat_map(|one| run.iter().map(move |other| (*one, *other)));
            pairs.any(|pair| pair.0 != pair.1 && !board.ends.contains_key(&pair))
        };
        while apart() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// False where there is no connection for it.
    pub fn call(self: &Arc<Self>, from: BrokerId, to: BrokerId, call: CallId, request: ClusterRequest) -> bool {
        // (5)
        if from == to {
            return self.board().tell(to, Event::Call { from, call, request });
        }
        if !self.board().ends.contains_key(&(from, to)) {
            return false;
        }
        let request = match self.bytes(&request) {
            Ok(request) => request,
            Err(why) => {
                error!(broker = %from, "a call that cannot be encoded: {why}");
                return false;
            }
        };
        match self.board().ends.get_mut(&(from, to)) {
            Some(end) => end.calls.insert(call),
            None => return false,
        };
        self.say(from, to, Frame::call(call, request));
        true
    }

    pub fn answer(self: &Arc<Self>, from: BrokerId, to: BrokerId, call: CallId, response: ClusterResponse) {
        if from == to {
            self.board().tell(to, Event::Answer { call, result: Ok(response) });
            return;
        }
        match wire::response(&response) {
            Ok(response) => self.say(from, to, Frame::answer(call, response)),
            Err(why) => error!(broker = %from, "an answer that cannot be encoded: {why}"),
        }
    }

    /// Nothing passes from the one to the other from here on.
    pub fn cut(self: &Arc<Self>, from: Node, to: Node) {
        let Some(way) = self.ways.get(&(from, to)) else { return };
        way.cut();
        let mut board = self.board();
        board.cuts += 1;
        let cut = board.cuts;
        if board.cut.contains_key(&(from, to)) {
            return;
        }
        board.cut.insert((from, to), cut);
        drop(board);
        // A session with ZooKeeper has its own time.
        let (Node::Broker(one), Node::Broker(other)) = (from, to) else { return };
        let exchange = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(exchange.session).await;
            let still = exchange.board().cut.get(&(from, to)) == Some(&cut);
            if still {
                exchange.give_up(one, other, false);
            }
        });
    }

    /// What was held goes on. Whoever has no connection any more gets a new one.
    pub fn heal(&self, from: Node, to: Node) {
        let Some(way) = self.ways.get(&(from, to)) else { return };
        if self.board().cut.remove(&(from, to)).is_some() {
            way.heal();
        }
    }

    pub fn slow(&self, from: Node, to: Node, delay: Duration) {
        if let Some(way) = self.ways.get(&(from, to)) {
            way.slow(delay);
        }
    }

    /// The connection between the two breaks, what is on it is lost, and they connect anew.
    pub fn reset(self: &Arc<Self>, one: BrokerId, other: BrokerId) {
        self.give_up(one, other, true);
    }

    /// Every cut and every delay ends.
    pub fn heal_all(&self) {
        for (&(from, to), way) in &self.ways {
            way.slow(Duration::ZERO);
            self.heal(from, to);
        }
    }

    /// All ways that begin or end at a broker are as quick as they are.
    pub fn quicken(&self, id: BrokerId) {
        let node = Node::Broker(id);
        for ((from, to), way) in &self.ways {
            if *from == node || *to == node {
                way.slow(Duration::ZERO);
            }
        }
    }

    /// Who is connected with whom, and who is cut off from whom; each pair once. `clients` are the brokers that are
    /// connected with ZooKeeper.
    pub fn links(&self, clients: &BTreeSet<BrokerId>) -> Vec<LinkView> {
        let board = self.board();
        let pairs = self.ways.keys().filter(|(from, to)| from < to);
        let link = |&(from, to): &(Node, Node)| {
            let cut = board.cut.contains_key(&(from, to)) || board.cut.contains_key(&(to, from));
            let open = match (from, to) {
                (Node::Broker(from), Node::Broker(to)) => board.ends.contains_key(&(from, to)),
                (Node::Broker(id), _) | (_, Node::Broker(id)) => clients.contains(&id),
                (Node::ZooKeeper, Node::ZooKeeper) => false,
            };
            (cut || open).then(|| LinkView { from: from.to_string(), to: to.to_string(), cut })
        };
        pairs.filter_map(link).collect()
    }

    /// What is wrong with the ways from a broker, in words; cuts are seen as links.
    pub fn faults(&self, id: BrokerId) -> impl Iterator<Item = String> {
        let slow = move |((from, to), way): (&(Node, Node), &Arc<Way>)| {
            let delay = if *from == Node::Broker(id) { way.delay() } else { Duration::ZERO };
            (!delay.is_zero()).then(|| format!("its messages to {to} take {delay:?} longer"))
        };
        self.ways.iter().filter_map(slow)
    }

    /// The request as bytes; one that is told to all, once for all.
    fn bytes(&self, request: &ClusterRequest) -> Result<Bytes, String> {
        let ClusterRequest::Update(state) = request else { return wire::request(request) };
        let mut told = self.told.lock().expect("not poisoned");
        if !told.0.upgrade().is_some_and(|known| Arc::ptr_eq(&known, state)) {
            *told = (Arc::downgrade(state), wire::request(request)?);
        }
        Ok(told.1.clone())
    }

    /// `own` has something to say to the other, if they are connected.
    fn say(&self, own: BrokerId, other: BrokerId, frame: Frame) {
        let board = self.board();
        let Some(frames) = board.ends.get(&(own, other)).map(|end| end.frames.clone()) else { return };
        drop(board);
        // Where the task has ended the end of the connection is on its way.
        self.way(Node::Broker(own), Node::Broker(other)).send(move || drop(frames.send(frame)));
    }

    /// What `other` said has arrived at `own`. (4)
    fn hear(&self, own: BrokerId, other: BrokerId, connection: u64, message: Message) {
        let mut board = self.board();
        let Some(end) = board.ends.get_mut(&(own, other)).filter(|end| end.connection == connection) else { return };
        match message {
            Message::Call { call, request } => {
                board.tell(own, Event::Call { from: other, call, request });
            }
            Message::Answer { call, response } => {
                if end.calls.remove(&call) {
                    board.tell(own, Event::Answer { call, result: Ok(response) });
                }
            }
            Message::Accept => {}
        }
    }

    fn knows(&self, id: BrokerId) -> bool {
        self.brokers.iter().any(|(broker, _)| broker.id == id)
    }

    fn is_cut(&self, one: BrokerId, other: BrokerId) -> bool {
        let (one, other) = (Node::Broker(one), Node::Broker(other));
        let board = self.board();
        board.cut.contains_key(&(one, other)) || board.cut.contains_key(&(other, one))
    }

    /// Whether that process of `own` runs, and has no connection with the other.
    fn wants(&self, own: BrokerId, other: BrokerId, process: u64) -> bool {
        let board = self.board();
        board.number(own) == Some(process) && !board.ends.contains_key(&(own, other))
    }

    /// Connects the two, if it is for `own` to do so.
    fn dial(self: &Arc<Self>, own: BrokerId, other: BrokerId) {
        let address = self.brokers.iter().find(|(broker, _)| broker.id == other).map(|(_, address)| *address);
        let (Some(process), Some(address)) = (self.board().number(own), address) else { return };
        if own > other {
            self.runtime.spawn(talk::dial(self.clone(), own, other, address, process));
        }
    }

    /// `own` has a new connection with the other; `None` where its process does not run, or is not the one that wanted it.
    fn opened(self: &Arc<Self>, own: BrokerId, other: BrokerId, process: Option<u64>) -> Option<Opened> {
        let mut board = self.board();
        let number = board.number(own)?;
        if process.is_some_and(|process| process != number) {
            return None;
        }
        let (frames, queue) = unbounded_channel();
        board.count += 1;
        let (connection, broken) = (board.count, Arc::<AtomicBool>::default());
        // Who was connected to says so first, before its broker can say anything.
        if process.is_none() {
            let frames = frames.clone();
            self.way(Node::Broker(own), Node::Broker(other)).send(move || drop(frames.send(Frame::accept())));
        }
        let end = End { connection, frames, broken: broken.clone(), calls: BTreeSet::new() };
        if let Some(before) = board.ends.insert((own, other), end) {
            self.lost(&board, own, other, before);
        }
        self.live.say(&own.to_string(), format!("connected with {other}"), Level::Good);
        board.tell(own, Event::Peer { id: other, up: true });
        Some(Opened { connection, queue, broken })
    }

    /// A connection of `own` has ended.
    fn closed(self: &Arc<Self>, own: BrokerId, other: BrokerId, connection: u64) {
        let mut board = self.board();
        if board.ends.get(&(own, other)).is_some_and(|end| end.connection == connection)
            && let Some(end) = board.ends.remove(&(own, other))
        {
            self.lost(&board, own, other, end);
        }
        drop(board);
        self.dial(own, other);
    }

    /// Neither waits for the connection between them any longer.
    fn give_up(self: &Arc<Self>, one: BrokerId, other: BrokerId, broken: bool) {
        let mut board = self.board();
        for (own, other) in [(one, other), (other, one)] {
            if let Some(end) = board.ends.remove(&(own, other)) {
                end.broken.store(broken, Ordering::Release);
                self.lost(&board, own, other, end);
            }
        }
    }

    /// (1)
    fn lost(&self, board: &Board, own: BrokerId, other: BrokerId, end: End) {
        self.live.say(&own.to_string(), format!("lost {other}"), Level::Warn);
        board.tell(own, Event::Peer { id: other, up: false });
        for call in end.calls {
            board.tell(own, Event::Answer { call, result: Err(Unreachable) });
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("not poisoned")
    }
}

impl Board {
    /// Of the process that runs as that broker.
    fn number(&self, id: BrokerId) -> Option<u64> {
        self.processes.get(&id).map(|process| process.number)
    }

    fn tell(&self, id: BrokerId, event: Event) -> bool {
        self.processes.get(&id).is_some_and(|process| process.inbox.send(Inbox::Event(event)).is_ok())
    }
}
