//! A client's end: one session, over as many connections as it takes.
//!
//! ```text
//! Resting ─ time is up ─▶ Opening ─ opened ─▶ Connecting ─ connected ─▶ Connected
//!    ▲ └──────────────────────┴──────────────────┴── lost, or silent ───────┘
//! ```
//!
//! 1. Operations are sent and answered in the order in which they were asked for. Those that are asked for while there
//!    is no connection wait for one; those that were under way when it was lost are answered CONNECTIONLOSS.
//! 2. A client learns that its session has expired from the server alone, when it reaches one again. Then all that waits
//!    is answered SESSIONEXPIRED, the watches are gone, and a new session is asked for.
//! 3. Watches outlive a connection: they are set again on the next one, and what was missed is told then.
//! 4. A third of the session's time without a word of ours, and we ping; two thirds without a word of the server's, and
//!    the connection counts as lost (ZooKeeper's own proportions).

use std::collections::VecDeque;
use std::fmt;

use super::protocol::{Connect, Error, Op, Password, Reply, ToClient, ToServer, WatchEvent, WatchKind};
use super::{Path, SessionId, Zxid};
use crate::id::ConnId;
use crate::time::{Duration, Instant};
use crate::vec_set::VecSet;

/// After a connection was lost or refused.
const RECONNECT: Duration = Duration::from_millis(100);
/// ZooKeeper's numbers for what is no request of a user's.
const PING_XID: i32 = -2;
const SET_WATCHES_XID: i32 = -8;

/// What happens to a client's connections, which it numbers itself.
#[derive(Clone, Debug)]
pub enum Event {
    Opened {
        conn: ConnId,
    },
    Message {
        conn: ConnId,
        message: Box<ToClient>,
    },
    /// Lost, or never made.
    Closed {
        conn: ConnId,
    },
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// Answered by [`Event::Opened`] or [`Event::Closed`].
    Open {
        conn: ConnId,
    },
    Send {
        conn: ConnId,
        message: ToServer,
    },
    Close {
        conn: ConnId,
    },
}

/// What a client has to tell whoever uses it. `T` is what an operation was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Told<T> {
    /// With a new session, or with the one from before.
    Connected {
        new: bool,
    },
    Disconnected,
    Expired,
    /// The session was closed, as asked.
    Closed,
    Answer {
        tag: T,
        result: Result<Reply, Error>,
    },
    Watched(WatchEvent),
}

#[derive(Clone, Debug)]
pub struct Client<T> {
    /// What is asked for, then what was given.
    timeout: Duration,
    session: SessionId,
    password: Password,
    state: State,
    next_conn: u64,
    next_xid: i32,
    /// The newest change that the server has told of.
    zxid: Zxid,
    waiting: VecDeque<(Op, T)>,
    in_flight: VecDeque<InFlight<T>>,
    watches: Watches,
    sent: Instant,
    heard: Instant,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting {
        until: Instant,
    },
    Opening {
        conn: ConnId,
    },
    Connecting {
        conn: ConnId,
    },
    Connected {
        conn: ConnId,
    },
    /// By its own wish, for good.
    Closed,
}

#[derive(Clone, Debug)]
struct InFlight<T> {
    xid: i32,
    /// `None` for what the client asked itself.
    tag: Option<T>,
    watch: Option<Watch>,
}

/// A watch that is there once the answer is.
#[derive(Clone, Debug)]
enum Watch {
    Data(Path),
    /// Of an exists: on data where the znode is there.
    Exists(Path),
    Children(Path),
}

#[derive(Clone, Debug, Default)]
struct Watches {
    data: VecSet<Path>,
    exist: VecSet<Path>,
    child: VecSet<Path>,
}

impl<T> Client<T> {
    /// Rests until [`Client::timer`] is called for the first time.
    pub fn new(timeout: Duration, now: Instant) -> Client<T> {
        Client {
            timeout,
            session: SessionId::NONE,
            password: Password::default(),
            state: State::Resting { until: now },
            next_conn: 0,
            next_xid: 1,
            zxid: Zxid(0),
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            watches: Watches::default(),
            sent: now,
            heard: now,
            closing: false,
        }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// How long a session lasts without a word.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The newest change that the server has told of.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    pub fn request(&mut self, now: Instant, op: Op, tag: T, out: &mut Vec<Effect>) {
        match self.state {
            State::Connected { conn } if !self.closing => self.send(now, conn, op, Some(tag), out),
            _ => self.waiting.push_back((op, tag)),
        }
    }

    /// Gives the session back. What waits is not sent any more; [`Told::Closed`] comes when the server has answered, or
    /// at once where there is no connection: the session then ends by itself.
    pub fn close(&mut self, now: Instant, out: &mut Vec<Effect>, told: &mut Vec<Told<T>>) {
        self.waiting.clear();
        match self.state {
            State::Connected { conn } => {
                self.closing = true;
                self.send(now, conn, Op::CloseSession, None, out);
            }
            State::Opening { conn } | State::Connecting { conn } => {
                out.push(Effect::Close { conn });
                self.closed(told);
            }
            State::Resting { .. } => self.closed(told),
            State::Closed => {}
        }
    }

    pub fn event(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>, told: &mut Vec<Told<T>>) {
        match (event, self.state) {
            (Event::Opened { conn }, State::Opening { conn: own }) if conn == own => self.opened(now, conn, out),
            (Event::Closed { conn }, State::Opening { conn: own }) if conn == own => self.lost(now, told),
            (Event::Closed { conn }, State::Connecting { conn: own }) if conn == own => self.lost(now, told),
            (Event::Closed { conn }, State::Connected { conn: own }) if conn == own => self.lost(now, told),
            (Event::Message { conn, message }, State::Connecting { conn: own } | State::Connected { conn: own })
                if conn == own =>
            {
                self.heard = now;
                self.message(now, conn, *message, out, told);
            }
            // Of a connection that was given up.
            _ => {}
        }
    }

    /// Does what is due.
    pub fn timer(&mut self, now: Instant, out: &mut Vec<Effect>, told: &mut Vec<Told<T>>) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.state {
            State::Resting { .. } => {
                let conn = ConnId(self.next_conn);
                self.next_conn += 1;
                self.state = State::Opening { conn };
                (self.heard, self.sent) = (now, now);
                out.push(Effect::Open { conn });
            }
            State::Connected { conn } if now.since(self.heard) < self.patience() => {
                self.send(now, conn, Op::Ping, None, out);
            }
            State::Opening { conn } | State::Connecting { conn } | State::Connected { conn } => {
                out.push(Effect::Close { conn });
                self.lost(now, told);
            }
            State::Closed => {}
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } => Some(until),
            State::Opening { .. } | State::Connecting { .. } => Some(self.heard + self.patience()),
            State::Connected { .. } => {
                let patience = self.patience();
                Some((self.heard + patience).min(self.sent + patience / 2))
            }
            State::Closed => None,
        }
    }

    /// How long the server may say nothing. (4)
    fn patience(&self) -> Duration {
        Duration::from_nanos(self.timeout.as_nanos() as u64 * 2 / 3)
    }

    fn opened(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Effect>) {
        self.state = State::Connecting { conn };
        self.heard = now;
        let connect = Connect {
            last_zxid_seen: self.zxid,
            timeout_ms: self.timeout.as_millis() as i32,
            session: self.session,
            password: self.password,
        };
        out.push(Effect::Send { conn, message: ToServer::Connect(connect) });
    }

    fn message(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: ToClient,
        out: &mut Vec<Effect>,
        told: &mut Vec<Told<T>>,
    ) {
        match message {
            ToClient::Connected(connected) if connected.timeout_ms == 0 => {
                out.push(Effect::Close { conn });
                self.expired(now, told);
            }
            ToClient::Connected(connected) => {
                let new = connected.session != self.session;
                self.session = connected.session;
                self.password = connected.password;
                self.timeout = Duration::from_millis(connected.timeout_ms as u64);
                self.state = State::Connected { conn };
                if let Some(op) = self.watches.as_op(self.zxid) {
                    self.send(now, conn, op, None, out);
                }
                for (op, tag) in std::mem::take(&mut self.waiting) {
                    self.send(now, conn, op, Some(tag), out);
                }
                told.push(Told::Connected { new });
            }
            ToClient::Response { xid, zxid, result } => {
                let Some(asked) = self.in_flight.pop_front().filter(|asked| asked.xid == xid) else {
                    // Not an answer to anything: whoever talks there, it is no server of ours.
                    out.push(Effect::Close { conn });
                    return self.lost(now, told);
                };
                self.zxid = self.zxid.max(zxid);
                if let Some(watch) = asked.watch {
                    self.watches.set(watch, &result);
                }
                if let Some(tag) = asked.tag {
                    told.push(Told::Answer { tag, result });
                } else if result == Ok(Reply::CloseSession) {
                    out.push(Effect::Close { conn });
                    self.closed(told);
                }
            }
            ToClient::Notification(event) => {
                self.watches.fired(&event);
                told.push(Told::Watched(event));
            }
        }
    }

    fn send(&mut self, now: Instant, conn: ConnId, op: Op, tag: Option<T>, out: &mut Vec<Effect>) {
        let xid = match op {
            Op::Ping => PING_XID,
            Op::SetWatches { .. } => SET_WATCHES_XID,
            _ => {
                self.next_xid = self.next_xid.checked_add(1).unwrap_or(1);
                self.next_xid - 1
            }
        };
        let watch = match &op {
            Op::GetData { path, watch: true } => Some(Watch::Data(path.clone())),
            Op::Exists { path, watch: true } => Some(Watch::Exists(path.clone())),
            Op::GetChildren { path, watch: true } | Op::GetChildren2 { path, watch: true } => {
                Some(Watch::Children(path.clone()))
            }
            _ => None,
        };
        self.in_flight.push_back(InFlight { xid, tag, watch });
        self.sent = now;
        out.push(Effect::Send { conn, message: ToServer::Request { xid, op } });
    }

    /// The connection is lost, or could not be made.
    fn lost(&mut self, now: Instant, told: &mut Vec<Told<T>>) {
        if self.closing {
            return self.closed(told);
        }
        let was_connected = self.is_connected();
        self.state = State::Resting { until: now + RECONNECT };
        self.fail(Error::ConnectionLoss, told);
        if was_connected {
            told.push(Told::Disconnected);
        }
    }

    /// (2)
    fn expired(&mut self, now: Instant, told: &mut Vec<Told<T>>) {
        self.state = State::Resting { until: now };
        self.session = SessionId::NONE;
        self.password = Password::default();
        self.watches = Watches::default();
        self.fail(Error::SessionExpired, told);
        for (_, tag) in std::mem::take(&mut self.waiting) {
            told.push(Told::Answer { tag, result: Err(Error::SessionExpired) });
        }
        told.push(Told::Expired);
    }

    fn fail(&mut self, error: Error, told: &mut Vec<Told<T>>) {
        let tags = std::mem::take(&mut self.in_flight).into_iter().filter_map(|asked| asked.tag);
        told.extend(tags.map(|tag| Told::Answer { tag, result: Err(error) }));
    }

    fn closed(&mut self, told: &mut Vec<Told<T>>) {
        self.state = State::Closed;
        self.session = SessionId::NONE;
        self.in_flight.clear();
        told.push(Told::Closed);
    }
}

impl Watches {
    fn set(&mut self, watch: Watch, result: &Result<Reply, Error>) {
        match (watch, result) {
            (Watch::Data(path) | Watch::Exists(path), Ok(_)) => self.data.insert(path),
            (Watch::Exists(path), Err(Error::NoNode)) => self.exist.insert(path),
            (Watch::Children(path), Ok(_)) => self.child.insert(path),
            (_, Err(_)) => false,
        };
    }

    /// A watch fires once.
    fn fired(&mut self, event: &WatchEvent) {
        if event.kind != WatchKind::NodeChildrenChanged {
            self.data.remove(&event.path);
            self.exist.remove(&event.path);
        }
        if matches!(event.kind, WatchKind::NodeChildrenChanged | WatchKind::NodeDeleted) {
            self.child.remove(&event.path);
        }
    }

    /// (3)
    fn as_op(&self, relative_zxid: Zxid) -> Option<Op> {
        let all = |paths: &VecSet<Path>| paths.iter().cloned().collect::<Vec<_>>();
        let (data, exist, child) = (all(&self.data), all(&self.exist), all(&self.child));
        let any = !(data.is_empty() && exist.is_empty() && child.is_empty());
        any.then_some(Op::SetWatches { relative_zxid, data, exist, child })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Opened { .. } => f.write_str("opened"),
            Event::Message { message, .. } => message.fmt(f),
            Event::Closed { .. } => f.write_str("closed"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Open { .. } => f.write_str("open"),
            Effect::Send { message, .. } => message.fmt(f),
            Effect::Close { .. } => f.write_str("close"),
        }
    }
}
