//! The ZooKeeper server: a [`Node`] that keeps the tree, the sessions and the watches.
//!
//! 1. Nobody is told of a change before it is written: what is said after a change leaves when [`Event::Written`] has
//!    come for it, in the order in which it was said. Reads wait in that order too.
//! 2. Every change has the next zxid, and is in the log under it.
//! 3. A connection speaks for one session, and a session is on one connection at most.

use std::collections::VecDeque;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::protocol::{Connect, Connected, Error, Op, Reply, ToClient, ToServer, WatchEvent, WatchKind};
use super::session::{Session, Sessions, password};
use super::store::{self, Image};
use super::tree::{Change, Tree};
use super::txn::{self, Header, LOG_HEADER, Txn};
use super::watch::Watches;
use super::{Path, SessionId, Zxid};
use crate::id::ConnId;
use crate::node::Node;
use crate::time::{Duration, Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// ZooKeeper's settings, by its names.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sessions end at ticks.
    pub tick_time: Duration,
    pub min_session_timeout: Duration,
    pub max_session_timeout: Duration,
    /// Transactions between two snapshots.
    pub snap_count: u32,
    /// Snapshots that are kept (`autopurge.snapRetainCount`).
    pub snap_retain_count: usize,
}

impl Default for Config {
    /// Shorter ticks than ZooKeeper's two or three seconds, so that a session of few seconds can be had and ends on time.
    fn default() -> Config {
        Config {
            tick_time: Duration::from_millis(100),
            min_session_timeout: Duration::from_millis(200),
            max_session_timeout: Duration::from_secs(60),
            snap_count: 10_000,
            snap_retain_count: 3,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The deadline came, or the driver had a reason to look.
    Timer,
    Message {
        conn: ConnId,
        message: ToServer,
    },
    /// A client's connection is gone; its session is not.
    Closed {
        conn: ConnId,
    },
    /// All transactions up to this one are in the log and survive the machine. Cumulative.
    Written {
        zxid: Zxid,
    },
    /// A session is to end now, as if its time were over.
    Expire {
        session: SessionId,
    },
}

#[derive(Clone, Debug)]
pub enum Effect {
    Send {
        conn: ConnId,
        message: ToClient,
    },
    Close {
        conn: ConnId,
    },
    /// Put behind what the file holds (nothing, where it is new) and sync; answered by [`Event::Written`], once for all
    /// appends of a drain.
    Append {
        file: String,
        bytes: Bytes,
        zxid: Zxid,
    },
    /// Cut a file down to so many bytes.
    Truncate {
        file: String,
        len: u64,
    },
    /// Make a file, whole and synced, before the effects that follow.
    Save {
        file: String,
        contents: Bytes,
    },
    Remove {
        file: String,
    },
    /// For whoever reads the log.
    Note {
        text: String,
    },
}

#[derive(Clone)]
pub struct Server {
    config: Config,
    tree: Tree,
    sessions: Sessions,
    watches: Watches,
    /// Open connections, and the session that each speaks for once it has said so.
    conns: VecMap<ConnId, Option<SessionId>>,
    /// The newest change.
    zxid: Zxid,
    written: Zxid,
    /// What waits until a change is written. (1)
    held: VecDeque<(Zxid, Effect)>,
    /// The log that is written to; the next transaction begins one where there is none.
    log: Option<String>,
    /// In the data directory.
    files: VecSet<String>,
    since_snapshot: u32,
}

impl Server {
    /// A server over what its data directory holds. Gives what there is to say of that: what was cut off, and why.
    ///
    /// Fails, naming the file, where it is damaged.
    pub fn open(
        config: Config,
        image: &Image,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Server, Vec<String>), String> {
        let recovered = store::recover(image)?;
        let mut files: VecSet<String> = image.files.keys().cloned().collect();
        if recovered.snapshot.is_none() {
            let file = store::snapshot_name(Zxid(0));
            let contents = store::encode_snapshot(&recovered.tree, std::iter::empty());
            files.insert(file.clone());
            out.push(Effect::Save { file, contents });
        }
        let mut log = None;
        if let Some((file, len)) = recovered.log {
            if len < image.files[&file].len() as u64 {
                out.push(Effect::Truncate { file: file.clone(), len });
            }
            // One without even a header is made anew.
            log = (len > 0).then_some(file);
        }
        let sessions = Sessions::open(first_session(now), config.tick_time, &recovered.sessions, now.instant);
        let server = Server {
            config,
            tree: recovered.tree,
            sessions,
            watches: Watches::default(),
            conns: VecMap::new(),
            zxid: recovered.zxid,
            written: recovered.zxid,
            held: VecDeque::new(),
            log,
            files,
            since_snapshot: recovered.replayed,
        };
        Ok((server, recovered.notes))
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter()
    }

    fn message(&mut self, now: Now, conn: ConnId, message: ToServer, out: &mut Vec<Effect>) {
        let session = *self.conns.entry(conn).or_default();
        match (message, session) {
            (ToServer::Connect(connect), None) => self.connect(now, conn, &connect, out),
            (ToServer::Request { xid, op }, Some(session)) => {
                self.sessions.touch(session, now.instant);
                self.request(now, conn, session, xid, op, out);
            }
            // Out of turn.
            (ToServer::Connect(_), Some(_)) | (ToServer::Request { .. }, None) => self.close(conn, out),
        }
    }

    fn connect(&mut self, now: Now, conn: ConnId, connect: &Connect, out: &mut Vec<Effect>) {
        // It knows more than we do: what we have is old.
        if connect.last_zxid_seen > self.zxid {
            return self.close(conn, out);
        }
        let session = if connect.session == SessionId::NONE {
            let wanted = Duration::from_millis(connect.timeout_ms.max(0) as u64);
            let timeout = wanted.clamp(self.config.min_session_timeout, self.config.max_session_timeout);
            let session = self.sessions.create(timeout, conn, now.instant);
            let header = self.header(now, session, 0);
            self.log(&header, &Txn::CreateSession { timeout_ms: timeout.as_millis() as i32 }, out);
            session
        } else if self.sessions.get(connect.session).is_some() && connect.password == password(connect.session) {
            // (3)
            if let Some(old) = self.sessions.attach(connect.session, conn).filter(|old| *old != conn) {
                self.close(old, out);
            }
            self.sessions.touch(connect.session, now.instant);
            connect.session
        } else {
            self.say(conn, ToClient::Connected(Connected::EXPIRED), out);
            return self.close(conn, out);
        };
        self.conns.insert(conn, Some(session));
        let timeout = self.sessions.get(session).map_or(Duration::ZERO, |session| session.timeout);
        let timeout_ms = timeout.as_millis() as i32;
        self.say(conn, ToClient::Connected(Connected { timeout_ms, session, password: password(session) }), out);
    }

    fn request(&mut self, now: Now, conn: ConnId, session: SessionId, xid: i32, op: Op, out: &mut Vec<Effect>) {
        let result = match op {
            Op::Create { .. } | Op::Create2 { .. } | Op::Delete { .. } | Op::SetData { .. } | Op::Multi(_) => {
                self.change(now, session, xid, &op, out)
            }
            Op::CloseSession => {
                self.end(now, session, xid, out);
                Ok(Reply::CloseSession)
            }
            Op::Exists { path, watch } => {
                if watch {
                    self.watches.watch_data(path.clone(), conn);
                }
                self.tree.get(&path).map(|znode| Reply::Exists { stat: znode.stat() })
            }
            Op::GetData { path, watch } => self.tree.get(&path).map(|znode| {
                if watch {
                    self.watches.watch_data(path.clone(), conn);
                }
                Reply::GetData { data: znode.data.clone(), stat: znode.stat() }
            }),
            Op::GetChildren { path, watch } => {
                self.children(conn, path, watch).map(|(children, _)| Reply::GetChildren { children })
            }
            Op::GetChildren2 { path, watch } => {
                self.children(conn, path, watch).map(|(children, stat)| Reply::GetChildren2 { children, stat })
            }
            Op::Sync { path } => Ok(Reply::Sync { path }),
            Op::Auth => Ok(Reply::Auth),
            Op::Ping => Ok(Reply::Ping),
            Op::GetAcl { path } => self.tree.get(&path).map(|znode| Reply::GetAcl { stat: znode.stat() }),
            Op::Check { .. } => Err(Error::Unimplemented),
            Op::Refused { error, .. } => Err(error),
            Op::SetWatches { relative_zxid, data, exist, child } => {
                self.set_watches(conn, relative_zxid, data, exist, child, out);
                Ok(Reply::SetWatches)
            }
        };
        let closed = matches!(result, Ok(Reply::CloseSession) | Err(Error::AuthFailed));
        self.say(conn, ToClient::Response { xid, zxid: self.zxid, result }, out);
        if closed {
            self.close(conn, out);
        }
    }

    fn children(&mut self, conn: ConnId, path: Path, watch: bool) -> Result<(Vec<Path>, super::Stat), Error> {
        let znode = self.tree.get(&path)?;
        let found = (znode.children.iter().cloned().collect(), znode.stat());
        if watch {
            self.watches.watch_children(path, conn);
        }
        Ok(found)
    }

    /// What happened while the client was away is told now; the rest is watched.
    fn set_watches(
        &mut self,
        conn: ConnId,
        since: Zxid,
        data: Vec<Path>,
        exist: Vec<Path>,
        child: Vec<Path>,
        out: &mut Vec<Effect>,
    ) {
        let mut missed = Vec::new();
        for path in data {
            match self.tree.get(&path) {
                Err(_) => missed.push((WatchKind::NodeDeleted, path)),
                Ok(znode) if znode.kept.mzxid > since => missed.push((WatchKind::NodeDataChanged, path)),
                Ok(_) => self.watches.watch_data(path, conn),
            }
        }
        for path in exist {
            match self.tree.get(&path) {
                Ok(_) => missed.push((WatchKind::NodeCreated, path)),
                Err(_) => self.watches.watch_data(path, conn),
            }
        }
        for path in child {
            match self.tree.get(&path) {
                Err(_) => missed.push((WatchKind::NodeDeleted, path)),
                Ok(znode) if znode.kept.pzxid > since => missed.push((WatchKind::NodeChildrenChanged, path)),
                Ok(_) => self.watches.watch_children(path, conn),
            }
        }
        for (kind, path) in missed {
            self.say(conn, ToClient::Notification(WatchEvent { kind, path }), out);
        }
    }

    fn change(
        &mut self,
        now: Now,
        session: SessionId,
        xid: i32,
        op: &Op,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Error> {
        let header = self.header(now, session, xid);
        let mut changed = Vec::new();
        let (txn, result) = self.tree.attempt(&header, op, &mut changed);
        if let Some(txn) = txn {
            self.log(&header, &txn, out);
        }
        self.fire(&changed, out);
        result
    }

    /// The session is over, and its ephemeral znodes with it.
    fn end(&mut self, now: Now, session: SessionId, xid: i32, out: &mut Vec<Effect>) {
        // Whatever is in it, closing a session cannot fail.
        let _ = self.change(now, session, xid, &Op::CloseSession, out);
        self.sessions.remove(session);
    }

    fn expire(&mut self, now: Now, session: SessionId, out: &mut Vec<Effect>) {
        let Some(conn) = self.sessions.get(session).map(|session| session.conn) else { return };
        let gone = self.tree.ephemerals(session).join(", ");
        let with = if gone.is_empty() { String::new() } else { format!(", and with it {gone}") };
        out.push(Effect::Note { text: format!("session {session} has expired{with}") });
        self.end(now, session, 0, out);
        if let Some(conn) = conn {
            self.close(conn, out);
        }
    }

    fn fire(&mut self, changed: &[Change], out: &mut Vec<Effect>) {
        let mut events = Vec::new();
        for change in changed {
            self.watches.fire(change, &mut events);
        }
        for (conn, event) in events {
            self.say(conn, ToClient::Notification(event), out);
        }
    }

    /// For the next change. (2)
    fn header(&self, now: Now, session: SessionId, cxid: i32) -> Header {
        Header { session, cxid, zxid: Zxid(self.zxid.0 + 1), time: now.wall.0 }
    }

    fn log(&mut self, header: &Header, txn: &Txn, out: &mut Vec<Effect>) {
        self.zxid = header.zxid;
        let mut bytes = BytesMut::new();
        let file = self.log.get_or_insert_with(|| {
            bytes.put_slice(&LOG_HEADER);
            let file = store::log_name(header.zxid);
            self.files.insert(file.clone());
            file
        });
        let entry = txn::encode(header, txn);
        let bytes = if bytes.is_empty() {
            entry
        } else {
            bytes.extend_from_slice(&entry);
            bytes.freeze()
        };
        out.push(Effect::Append { file: file.clone(), bytes, zxid: header.zxid });
        self.since_snapshot += 1;
    }

    /// The log has grown long: a snapshot, another log, and what is older than the oldest snapshot goes.
    fn snapshot(&mut self, out: &mut Vec<Effect>) {
        if self.since_snapshot < self.config.snap_count {
            return;
        }
        self.since_snapshot = 0;
        self.log = None;
        let sessions: Vec<_> =
            self.sessions.iter().map(|(id, session)| (id, session.timeout.as_millis() as i32)).collect();
        let file = store::snapshot_name(self.zxid);
        let contents = store::encode_snapshot(&self.tree, sessions.into_iter());
        self.files.insert(file.clone());
        out.push(Effect::Save { file, contents });
        for file in store::superfluous(self.files.iter().map(String::as_str), self.config.snap_retain_count) {
            self.files.remove(&file);
            out.push(Effect::Remove { file });
        }
    }

    /// (1)
    fn say(&mut self, conn: ConnId, message: ToClient, out: &mut Vec<Effect>) {
        self.after_the_log(Effect::Send { conn, message }, out);
    }

    fn close(&mut self, conn: ConnId, out: &mut Vec<Effect>) {
        self.forget(conn);
        self.after_the_log(Effect::Close { conn }, out);
    }

    fn after_the_log(&mut self, effect: Effect, out: &mut Vec<Effect>) {
        if self.zxid == self.written {
            out.push(effect);
        } else {
            self.held.push_back((self.zxid, effect));
        }
    }

    fn written(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        self.written = self.written.max(zxid);
        while self.held.front().is_some_and(|(after, _)| *after <= self.written) {
            out.extend(self.held.pop_front().map(|(_, effect)| effect));
        }
    }

    fn forget(&mut self, conn: ConnId) {
        if let Some(session) = self.conns.remove(&conn).flatten() {
            self.sessions.detach(session, conn);
        }
        self.watches.forget(conn);
    }
}

impl Node for Server {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Timer => {
                while let Some(session) = self.sessions.expired(now.instant) {
                    self.expire(now, session, out);
                }
            }
            Event::Message { conn, message } => self.message(now, conn, message, out),
            Event::Closed { conn } => self.forget(conn),
            Event::Written { zxid } => self.written(zxid, out),
            Event::Expire { session } => self.expire(now, session, out),
        }
        self.snapshot(out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.sessions.deadline()
    }
}

/// Where ids of sessions begin: ZooKeeper's `initializeNextSessionId`, of server 1, by the wall clock.
fn first_session(now: Now) -> SessionId {
    const SERVER: i64 = 1;
    let time = (((now.wall.0 as u64) << 24) >> 8) as i64;
    SessionId(time | (SERVER << 56))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Timer => f.write_str("timer"),
            Event::Message { conn, message } => write!(f, "{conn} {message}"),
            Event::Closed { conn } => write!(f, "closed {conn}"),
            Event::Written { zxid } => write!(f, "written up to {zxid}"),
            Event::Expire { session } => write!(f, "expire {session}"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Send { conn, message } => write!(f, "send {conn} {message}"),
            Effect::Close { conn } => write!(f, "close {conn}"),
            Effect::Append { file, bytes, zxid } => write!(f, "append {file} {zxid} {} B", bytes.len()),
            Effect::Truncate { file, len } => write!(f, "truncate {file} to {len} B"),
            Effect::Save { file, contents } => write!(f, "save {file} {} B", contents.len()),
            Effect::Remove { file } => write!(f, "remove {file}"),
            Effect::Note { text } => write!(f, "note: {text}"),
        }
    }
}
