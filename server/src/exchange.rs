//! What the brokers of this server say to each other, and who is connected with whom: what TCP would do between processes.
//!
//! 1. A call is answered once: by the other broker, or as unreachable when the connection ends before that.
//! 2. When a broker dies the others hear of it after all that it had said, as by the reset of a connection.
//! 3. A cut link holds what is said until it is healed, and nobody is told. After `broker.session.timeout.ms` both ends
//!    give the connection up; what is held is then said to nobody.
//! 4. An end believes what it has heard: both ends of a connection know its number, and what comes on another one is
//!    dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ottla_core::broker::Event;
use ottla_core::broker::event::Unreachable;
use ottla_core::client::Endpoint;
use ottla_core::id::{BrokerId, CallId};
use ottla_core::protocol::cluster::{ClusterRequest, ClusterResponse, Registration};
use ottla_core::sim::view::{Level, LinkView};
use tokio::runtime::Handle;

use crate::driver::Inbox;
use crate::link::Way;
use crate::live::Live;

pub struct Exchange {
    brokers: Vec<Registration>,
    /// From, to: every pair of this server's brokers.
    ways: BTreeMap<(BrokerId, BrokerId), Arc<Way>>,
    board: Mutex<Board>,
    /// Kafka's `broker.session.timeout.ms`.
    session: Duration,
    runtime: Handle,
    live: Arc<Live>,
}

#[derive(Default)]
struct Board {
    /// Of those that run.
    inboxes: BTreeMap<BrokerId, Sender<Inbox>>,
    /// What the first of the two has of its connection with the second.
    ends: BTreeMap<(BrokerId, BrokerId), End>,
    /// Connections so far.
    connections: u64,
    /// Cuts so far, and those that last.
    cuts: u64,
    cut: BTreeMap<(BrokerId, BrokerId), u64>,
}

/// ```text
/// (none) → opening [connect] → open [accept] → (none) [close, give up]
///                      open [connected to] ──▶
/// ```
struct End {
    connection: u64,
    open: bool,
    /// Its own, without an answer.
    calls: BTreeSet<CallId>,
}

enum Said {
    Connect,
    Accept,
    /// The end, by reset.
    Close,
    Call {
        call: CallId,
        request: ClusterRequest,
    },
    Answer {
        call: CallId,
        response: ClusterResponse,
    },
}

impl Exchange {
    pub fn new(brokers: Vec<Registration>, session: Duration, runtime: Handle, live: Arc<Live>) -> Arc<Exchange> {
        let pairs = brokers.iter().flat_map(|from| brokers.iter().map(|to| (from.id, to.id)));
        let ways = pairs.filter(|(from, to)| from != to).map(|pair| (pair, Way::new(runtime.clone()))).collect();
        Arc::new(Exchange { brokers, ways, board: Mutex::default(), session, runtime, live })
    }

    /// The way from a broker to whoever listens there, and the way back.
    pub fn route(&self, from: BrokerId, to: &Endpoint) -> (Arc<Way>, Arc<Way>) {
        let named = self.brokers.iter().find(|broker| (&broker.host, broker.port) == (&to.host, to.port));
        let way = |from, to| self.ways.get(&(from, to)).cloned().unwrap_or_else(|| Way::new(self.runtime.clone()));
        match named {
            Some(to) => (way(from, to.id), way(to.id, from)),
            // Nothing ails the ways to other servers.
            None => (Way::new(self.runtime.clone()), Way::new(self.runtime.clone())),
        }
    }

    /// A broker runs: it is connected with all that run.
    pub fn join(self: &Arc<Self>, id: BrokerId, inbox: Sender<Inbox>) {
        let mut board = self.board();
        let others = board.inboxes.keys().copied().filter(|other| *other != id).collect::<Vec<_>>();
        board.inboxes.insert(id, inbox);
        let connections = others.into_iter().map(|other| (other, board.open(id, other))).collect::<Vec<_>>();
        drop(board);
        for (other, connection) in connections {
            self.say(id, other, connection, Said::Connect);
        }
    }

    /// A broker's process is gone (2).
    pub fn leave(self: &Arc<Self>, id: BrokerId) {
        let mut board = self.board();
        board.inboxes.remove(&id);
        let gone = board.ends.extract_if(.., |(of, _), _| *of == id).collect::<Vec<_>>();
        drop(board);
        for ((_, other), end) in gone {
            self.say(id, other, end.connection, Said::Close);
        }
    }

    /// False where there is no connection for it.
    pub fn call(self: &Arc<Self>, from: BrokerId, to: BrokerId, call: CallId, request: ClusterRequest) -> bool {
        let mut board = self.board();
        if from == to {
            return board.tell(to, Event::Call { from, call, request });
        }
        let Some(end) = board.ends.get_mut(&(from, to)).filter(|end| end.open) else { return false };
        end.calls.insert(call);
        let connection = end.connection;
        drop(board);
        self.say(from, to, connection, Said::Call { call, request });
        true
    }

    pub fn answer(self: &Arc<Self>, from: BrokerId, to: BrokerId, call: CallId, response: ClusterResponse) {
        let board = self.board();
        if from == to {
            board.tell(to, Event::Answer { call, result: Ok(response) });
        } else if let Some(connection) = board.connection(from, to) {
            drop(board);
            self.say(from, to, connection, Said::Answer { call, response });
        }
    }

    /// Nothing passes from the one to the other from here on.
    pub fn cut(self: &Arc<Self>, from: BrokerId, to: BrokerId) {
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
        let exchange = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(exchange.session).await;
            let still = exchange.board().cut.get(&(from, to)) == Some(&cut);
            if still {
                exchange.give_up(from, to);
                exchange.give_up(to, from);
            }
        });
    }

    /// What was held goes on. Whoever has no connection any more gets a new one.
    pub fn heal(self: &Arc<Self>, from: BrokerId, to: BrokerId) {
        let Some(way) = self.ways.get(&(from, to)) else { return };
        if self.board().cut.remove(&(from, to)).is_none() {
            return;
        }
        way.heal();
        let mut board = self.board();
        let whole = !board.cut.contains_key(&(to, from));
        let run = board.inboxes.contains_key(&from) && board.inboxes.contains_key(&to);
        let apart = !board.ends.contains_key(&(from, to)) && !board.ends.contains_key(&(to, from));
        if whole && run && apart {
            let connection = board.open(from, to);
            drop(board);
            self.say(from, to, connection, Said::Connect);
        }
    }

    pub fn slow(&self, from: BrokerId, to: BrokerId, delay: Duration) {
        if let Some(way) = self.ways.get(&(from, to)) {
            way.slow(delay);
        }
    }

    /// The connection between the two breaks, what is on it is lost, and they connect anew.
    pub fn reset(self: &Arc<Self>, one: BrokerId, other: BrokerId) {
        self.give_up(one, other);
        self.give_up(other, one);
        let mut board = self.board();
        if board.inboxes.contains_key(&one) && board.inboxes.contains_key(&other) {
            let connection = board.open(one, other);
            drop(board);
            self.say(one, other, connection, Said::Connect);
        }
    }

    /// Every cut and every delay ends.
    pub fn heal_all(self: &Arc<Self>) {
        for (&(from, to), way) in &self.ways {
            way.slow(Duration::ZERO);
            self.heal(from, to);
        }
    }

    /// All ways that begin or end at a broker are as quick as they are.
    pub fn quicken(&self, id: BrokerId) {
        for ((from, to), way) in &self.ways {
            if *from == id || *to == id {
                way.slow(Duration::ZERO);
            }
        }
    }

    /// Who is connected with whom, and who is cut off from whom; each pair once.
    pub fn links(&self) -> Vec<LinkView> {
        let board = self.board();
        let pairs = self.ways.keys().filter(|(from, to)| from < to);
        let link = |&(from, to): &(BrokerId, BrokerId)| {
            let cut = board.cut.contains_key(&(from, to)) || board.cut.contains_key(&(to, from));
            let open = board.connection(from, to).is_some();
            (cut || open).then(|| LinkView { from: from.to_string(), to: to.to_string(), cut })
        };
        pairs.filter_map(link).collect()
    }

    /// What is wrong with the ways from a broker, in words; cuts are seen as links.
    pub fn faults(&self, id: BrokerId) -> impl Iterator<Item = String> {
        let slow = move |((from, to), way): (&(BrokerId, BrokerId), &Arc<Way>)| {
            let delay = if *from == id { way.delay() } else { Duration::ZERO };
            (!delay.is_zero()).then(|| format!("its messages to {to} take {delay:?} longer"))
        };
        self.ways.iter().filter_map(slow)
    }

    fn say(self: &Arc<Self>, from: BrokerId, to: BrokerId, connection: u64, said: Said) {
        let Some(way) = self.ways.get(&(from, to)) else { return };
        let exchange = self.clone();
        way.send(move || exchange.hear(from, to, connection, said));
    }

    /// What `from` said has arrived at `to`.
    fn hear(self: Arc<Self>, from: BrokerId, to: BrokerId, connection: u64, said: Said) {
        let mut board = self.board();
        let known = board.ends.get(&(to, from)).is_some_and(|end| end.connection == connection);
        match said {
            Said::Connect if board.inboxes.contains_key(&to) => {
                let calls = BTreeSet::new();
                let before = board.ends.insert((to, from), End { connection, open: true, calls });
                self.lost(&board, to, from, before);
                self.up(&board, to, from);
                drop(board);
                self.say(to, from, connection, Said::Accept);
            }
            Said::Accept if known => {
                if let Some(end) = board.ends.get_mut(&(to, from)) {
                    end.open = true;
                }
                self.up(&board, to, from);
            }
            Said::Close if known => {
                let end = board.ends.remove(&(to, from));
                self.lost(&board, to, from, end);
            }
            Said::Call { call, request } if known => {
                board.tell(to, Event::Call { from, call, request });
            }
            Said::Answer { call, response } if known => {
                let awaited = board.ends.get_mut(&(to, from)).is_some_and(|end| end.calls.remove(&call));
                if awaited {
                    board.tell(to, Event::Answer { call, result: Ok(response) });
                }
            }
            // (4)
            _ => {}
        }
    }

    /// That end is not waited for any longer.
    fn give_up(&self, of: BrokerId, other: BrokerId) {
        let mut board = self.board();
        let open = board.connection(of, other).is_some();
        let end = if open { board.ends.remove(&(of, other)) } else { None };
        self.lost(&board, of, other, end);
    }

    fn up(&self, board: &Board, to: BrokerId, other: BrokerId) {
        self.live.say(&to.to_string(), format!("connected with {other}"), Level::Good);
        board.tell(to, Event::Peer { id: other, up: true });
    }

    /// (1)
    fn lost(&self, board: &Board, to: BrokerId, other: BrokerId, end: Option<End>) {
        let Some(end) = end.filter(|end| end.open) else { return };
        self.live.say(&to.to_string(), format!("lost {other}"), Level::Warn);
        board.tell(to, Event::Peer { id: other, up: false });
        for call in end.calls {
            board.tell(to, Event::Answer { call, result: Err(Unreachable) });
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("not poisoned")
    }
}

impl Board {
    /// The number of a new connection, opening at the end of `from`.
    fn open(&mut self, from: BrokerId, to: BrokerId) -> u64 {
        self.connections += 1;
        let end = End { connection: self.connections, open: false, calls: BTreeSet::new() };
        self.ends.insert((from, to), end);
        self.connections
    }

    /// The connection that `of` has with `other`, if it is open.
    fn connection(&self, of: BrokerId, other: BrokerId) -> Option<u64> {
        self.ends.get(&(of, other)).filter(|end| end.open).map(|end| end.connection)
    }

    fn tell(&self, id: BrokerId, event: Event) -> bool {
        self.inboxes.get(&id).is_some_and(|inbox| inbox.send(Inbox::Event(event)).is_ok())
    }
}
