//! A server in a room: its disk is a map of files that answers at once, or when it is told to; its clients are the tests,
//! or [`Client`]s.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::client::{self, Told};
use super::protocol::{ANY_VERSION, Connect, Connected, CreateMode, Failed, Password};
use super::server::{Config, Effect, Event};
use super::store::Image;
use super::*;
use crate::id::ConnId;
use crate::node::Node;
use crate::time::{Duration, Instant, Now, Timestamp};

mod wire;

const SESSION_MS: i32 = 6_000;

struct Room {
    server: Server,
    now: Now,
    files: BTreeMap<String, Vec<u8>>,
    notes: Vec<String>,
    /// Writes are not answered while the disk is slow.
    slow: bool,
    held: VecDeque<Event>,
    said: BTreeMap<ConnId, VecDeque<ToClient>>,
    closed: Vec<ConnId>,
    xid: i32,
}

impl Room {
    fn new() -> Room {
        Room::open(Config::default(), BTreeMap::new(), Instant::ZERO).unwrap()
    }

    fn open(config: Config, files: BTreeMap<String, Vec<u8>>, now: Instant) -> Result<Room, String> {
        let now = Now { instant: now, wall: Timestamp(1_700_000_000_000 + now.as_millis() as i64) };
        let image = Image { files: files.iter().map(|(name, bytes)| (name.clone(), bytes.clone().into())).collect() };
        let mut out = Vec::new();
        let (server, notes) = Server::open(config, &image, now, &mut out)?;
        let mut room = Room {
            server,
            now,
            files,
            notes,
            slow: false,
            held: VecDeque::new(),
            said: BTreeMap::new(),
            closed: Vec::new(),
            xid: 0,
        };
        room.enact(out);
        Ok(room)
    }

    /// The process dies, and another one starts over its files.
    fn restart(self) -> Room {
        let now = self.now.instant + Duration::from_millis(10);
        Room::open(Config::default(), self.files, now).unwrap()
    }

    fn step(&mut self, event: Event) {
        let mut out = Vec::new();
        self.server.step(self.now, event, &mut out);
        self.enact(out);
    }

    fn enact(&mut self, out: Vec<Effect>) {
        for effect in out {
            match effect {
                Effect::Send { conn, message } => self.said.entry(conn).or_default().push_back(message),
                Effect::Close { conn } => self.closed.push(conn),
                Effect::Append { file, bytes, zxid } => {
                    self.files.entry(file).or_default().extend_from_slice(&bytes);
                    self.held.push_back(Event::Written { zxid });
                }
                Effect::Truncate { file, len } => self.files.get_mut(&file).unwrap().truncate(len as usize),
                Effect::Save { file, contents } => {
                    self.files.insert(file, contents.to_vec());
                }
                Effect::Remove { file } => {
                    self.files.remove(&file).unwrap();
                }
                Effect::Note { text } => self.notes.push(text),
            }
        }
        if !self.slow {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        while let Some(event) = self.held.pop_front() {
            self.step(event);
        }
    }

    /// Time passes; the timer rings when it is due.
    fn pass(&mut self, millis: u64) {
        let end = self.now.instant + Duration::from_millis(millis);
        while let Some(deadline) = self.server.deadline().filter(|deadline| *deadline <= end) {
            self.now.instant = deadline.max(self.now.instant);
            self.step(Event::Timer);
        }
        self.now.instant = end;
    }

    fn connect(&mut self, conn: u64) -> SessionId {
        self.reconnect(conn, SessionId::NONE, Password::default()).map(|connected| connected.session).unwrap()
    }

    fn reconnect(&mut self, conn: u64, session: SessionId, password: Password) -> Option<Connected> {
        let connect = Connect { last_zxid_seen: Zxid(0), timeout_ms: SESSION_MS, session, password };
        self.step(Event::Message { conn: ConnId(conn), message: ToServer::Connect(connect) });
        match self.hear(conn) {
            Some(ToClient::Connected(connected)) if connected.timeout_ms > 0 => Some(connected),
            _ => None,
        }
    }

    fn send(&mut self, conn: u64, op: Op) {
        self.xid += 1;
        self.step(Event::Message { conn: ConnId(conn), message: ToServer::Request { xid: self.xid, op } });
    }

    fn hear(&mut self, conn: u64) -> Option<ToClient> {
        self.said.get_mut(&ConnId(conn))?.pop_front()
    }

    /// Asks, and gives the answer; notifications before it stay unheard.
    fn ask(&mut self, conn: u64, op: Op) -> Result<Reply, Error> {
        self.send(conn, op);
        let said = self.said.get_mut(&ConnId(conn)).unwrap();
        let at = said.iter().position(|message| matches!(message, ToClient::Response { .. })).unwrap();
        match said.remove(at) {
            Some(ToClient::Response { result, .. }) => result,
            _ => unreachable!(),
        }
    }

    /// The notifications that a client has been sent.
    fn watched(&mut self, conn: u64) -> Vec<String> {
        let said = self.said.remove(&ConnId(conn)).unwrap_or_default();
        let event = |message| match message {
            ToClient::Notification(event) => Some(event.to_string()),
            _ => None,
        };
        said.into_iter().filter_map(event).collect()
    }

    fn stat(&mut self, conn: u64, path: &str) -> Result<Stat, Error> {
        match self.ask(conn, Op::Exists { path: path.into(), watch: false })? {
            Reply::Exists { stat } => Ok(stat),
            other => panic!("{other}"),
        }
    }

    fn children(&mut self, conn: u64, path: &str) -> String {
        self.ask(conn, Op::GetChildren { path: path.into(), watch: false }).unwrap().to_string()
    }
}

fn create(path: &str, data: &'static str, mode: CreateMode) -> Op {
    Op::Create { path: path.into(), data: Some(Bytes::from_static(data.as_bytes())), mode }
}

fn persistent(path: &str) -> Op {
    create(path, "", CreateMode::Persistent)
}

fn set(path: &str, data: &'static str, version: i32) -> Op {
    Op::SetData { path: path.into(), data: Some(Bytes::from_static(data.as_bytes())), version }
}

fn delete(path: &str, version: i32) -> Op {
    Op::Delete { path: path.into(), version }
}

#[test]
fn a_new_tree_is_that_of_zookeeper() {
    let mut room = Room::new();
    room.connect(1);
    assert_eq!(room.children(1, "/"), "[zookeeper]");
    assert_eq!(room.children(1, "/zookeeper"), "[config, quota]");
    let root = room.stat(1, "/").unwrap();
    assert_eq!((root.cversion, root.num_children, root.czxid), (-1, 1, Zxid(0)));
    assert_eq!(room.ask(1, delete("/zookeeper", ANY_VERSION)), Err(Error::BadArguments));
}

#[test]
fn a_stat_counts_what_was_done_to_its_znode() {
    let mut room = Room::new();
    room.connect(1);
    room.ask(1, create("/a", "one", CreateMode::Persistent)).unwrap();
    room.now.wall.0 += 5;
    room.ask(1, set("/a", "three", 0)).unwrap();
    room.ask(1, persistent("/a/x")).unwrap();
    room.ask(1, persistent("/a/y")).unwrap();
    room.ask(1, delete("/a/x", 0)).unwrap();
    // The session was the first change.
    let told = Stat {
        czxid: Zxid(2),
        mzxid: Zxid(3),
        ctime: 1_700_000_000_000,
        mtime: 1_700_000_000_005,
        version: 1,
        cversion: 3,
        aversion: 0,
        ephemeral_owner: SessionId::NONE,
        data_length: 5,
        num_children: 1,
        pzxid: Zxid(6),
    };
    assert_eq!(room.stat(1, "/a"), Ok(told));
}

#[test]
fn what_zookeeper_refuses_is_refused_with_its_codes() {
    let mut room = Room::new();
    room.connect(1);
    room.ask(1, persistent("/a")).unwrap();
    room.ask(1, persistent("/a/b")).unwrap();
    room.ask(1, create("/e", "", CreateMode::Ephemeral)).unwrap();
    let zxid = room.server.zxid();
    for (op, error, code) in [
        (persistent("/a"), Error::NodeExists, -110),
        (persistent("/x/y"), Error::NoNode, -101),
        (persistent("/e/x"), Error::NoChildrenForEphemerals, -108),
        (persistent("/a/"), Error::BadArguments, -8),
        (delete("/a", ANY_VERSION), Error::NotEmpty, -111),
        (delete("/a/b", 1), Error::BadVersion, -103),
        (delete("/x", ANY_VERSION), Error::NoNode, -101),
        (set("/a", "", 1), Error::BadVersion, -103),
        (Op::GetData { path: "/x".into(), watch: true }, Error::NoNode, -101),
    ] {
        assert_eq!(room.ask(1, op.clone()), Err(error), "{op}");
        assert_eq!(error.code(), code);
    }
    assert_eq!(room.server.zxid(), zxid, "nothing changed");
}

#[test]
fn a_sequence_goes_on_where_it_was_though_its_znodes_are_gone() {
    let mut room = Room::new();
    room.connect(1);
    room.ask(1, persistent("/q")).unwrap();
    let mut next = || room.ask(1, create("/q/n_", "", CreateMode::PersistentSequential)).unwrap().to_string();
    assert_eq!((next(), next()), ("created /q/n_0000000000".into(), "created /q/n_0000000001".into()));
    room.ask(1, delete("/q/n_0000000001", ANY_VERSION)).unwrap();
    let third = room.ask(1, create("/q/n_", "", CreateMode::EphemeralSequential)).unwrap();
    assert_eq!(third.to_string(), "created /q/n_0000000002");
}

#[test]
fn a_multi_is_done_whole_or_not_at_all() {
    let mut room = Room::new();
    room.connect(1);
    room.ask(1, create("/a", "old", CreateMode::Persistent)).unwrap();
    room.ask(1, Op::GetData { path: "/a".into(), watch: true }).unwrap();
    let before = room.server.tree().clone();
    let zxid = room.server.zxid();
    let failing = vec![
        Op::Check { path: "/a".into(), version: 0 },
        set("/a", "new", 0),
        persistent("/a/b"),
        create("/a/b/e", "", CreateMode::Ephemeral),
        delete("/a/b/e", ANY_VERSION),
        delete("/a/b", 7),
        persistent("/c"),
    ];
    let failed = Failed { at: 5, of: 7, error: Error::BadVersion };
    assert_eq!(room.ask(1, Op::Multi(failing)), Ok(Reply::Multi(Err(failed))));
    assert!(*room.server.tree() == before && room.server.zxid() == zxid && room.watched(1).is_empty());

    // Every operation sees what those before it did, and all have one zxid.
    let whole = vec![persistent("/c"), persistent("/c/d"), set("/a", "new", 0), set("/a", "newer", 1)];
    let Ok(Reply::Multi(Ok(replies))) = room.ask(1, Op::Multi(whole)) else { panic!() };
    assert_eq!(replies.len(), 4);
    assert_eq!((room.stat(1, "/c").unwrap().czxid, room.stat(1, "/a").unwrap().mzxid), (Zxid(3), Zxid(3)));
    assert_eq!(room.watched(1), ["NodeDataChanged /a"], "and a watch fires once");
}

#[test]
fn a_watch_fires_once_and_only_for_what_it_watches() {
    let mut room = Room::new();
    for conn in [1, 2] {
        room.connect(conn);
    }
    let watch = |room: &mut Room| {
        assert_eq!(room.ask(2, Op::Exists { path: "/a".into(), watch: true }), Err(Error::NoNode));
        room.ask(2, Op::GetChildren { path: "/".into(), watch: true }).unwrap();
    };
    watch(&mut room);
    room.ask(1, persistent("/a")).unwrap();
    room.ask(1, set("/a", "x", 0)).unwrap();
    assert_eq!(room.watched(2), ["NodeCreated /a", "NodeChildrenChanged /"]);
    room.ask(2, Op::GetData { path: "/a".into(), watch: true }).unwrap();
    room.ask(2, Op::GetChildren2 { path: "/a".into(), watch: true }).unwrap();
    room.ask(1, persistent("/a/b")).unwrap();
    assert_eq!(room.watched(2), ["NodeChildrenChanged /a"]);
    room.ask(2, Op::GetChildren { path: "/a".into(), watch: true }).unwrap();
    room.ask(1, delete("/a/b", 0)).unwrap();
    room.ask(2, Op::GetChildren { path: "/a".into(), watch: true }).unwrap();
    room.ask(1, delete("/a", 1)).unwrap();
    assert_eq!(room.watched(2), ["NodeChildrenChanged /a", "NodeDeleted /a"], "told once, though it watches twice");
}

#[test]
fn an_expired_session_takes_its_ephemerals_with_it_and_is_refused() {
    let mut room = Room::new();
    let session = room.connect(1);
    room.connect(2);
    room.ask(1, create("/e", "", CreateMode::Ephemeral)).unwrap();
    assert_eq!(room.stat(2, "/e").unwrap().ephemeral_owner, session);
    room.ask(2, Op::Exists { path: "/e".into(), watch: true }).unwrap();
    room.pass(4_000);
    room.ask(2, Op::Ping).unwrap();
    room.pass(2_050);
    assert!(room.closed.is_empty(), "sessions end at ticks");
    room.pass(50);
    assert_eq!(room.closed, [ConnId(1)]);
    assert_eq!(room.watched(2), ["NodeDeleted /e"]);
    assert_eq!(room.stat(2, "/e"), Err(Error::NoNode));
    assert_eq!(room.reconnect(3, session, session::password(session)), None);
    assert!(room.closed.contains(&ConnId(3)));
}

#[test]
fn a_session_goes_on_over_another_connection_for_who_knows_its_password() {
    let mut room = Room::new();
    let session = room.connect(1);
    room.ask(1, create("/e", "", CreateMode::Ephemeral)).unwrap();
    room.step(Event::Closed { conn: ConnId(1) });
    assert_eq!(room.reconnect(2, session, Password([9; 16])), None);
    assert!(room.reconnect(3, session, session::password(session)).is_some());
    room.pass(3_000);
    // The client did not wait to see its connection lost.
    assert!(room.reconnect(4, session, session::password(session)).is_some());
    assert!(room.closed.ends_with(&[ConnId(3)]));
    room.pass(4_000);
    assert_eq!(room.stat(4, "/e").unwrap().ephemeral_owner, session);
    assert_eq!(room.ask(4, Op::CloseSession), Ok(Reply::CloseSession));
    room.connect(5);
    assert_eq!(room.stat(5, "/e"), Err(Error::NoNode));
}

#[test]
fn nobody_is_told_of_a_change_that_is_not_written() {
    let mut room = Room::new();
    for conn in [1, 2] {
        room.connect(conn);
    }
    room.ask(2, Op::GetChildren { path: "/".into(), watch: true }).unwrap();
    room.slow = true;
    room.send(1, persistent("/a"));
    room.send(2, Op::Exists { path: "/a".into(), watch: false });
    assert!(room.hear(1).is_none() && room.hear(2).is_none());
    room.catch_up();
    assert!(matches!(room.hear(1), Some(ToClient::Response { result: Ok(_), .. })));
    assert!(matches!(room.hear(2), Some(ToClient::Notification(_))));
    assert!(matches!(room.hear(2), Some(ToClient::Response { result: Ok(_), .. })));
}

#[test]
fn a_restart_finds_everything_and_sessions_get_their_time_again() {
    let mut room = Room::new();
    let session = room.connect(1);
    room.ask(1, create("/a", "x", CreateMode::Persistent)).unwrap();
    room.ask(1, Op::Multi(vec![set("/a", "y", 0), create("/e", "", CreateMode::Ephemeral)])).unwrap();
    room.pass(5_000);
    let before = room.server.tree().clone();
    let mut room = room.restart();
    assert!(*room.server.tree() == before && room.notes.is_empty());
    room.pass(5_000);
    assert!(room.reconnect(1, session, session::password(session)).is_some());
    assert_eq!(room.stat(1, "/a").unwrap().version, 1);
    room.pass(6_100);
    let mut room = room.restart();
    room.connect(1);
    assert_eq!(room.stat(1, "/e"), Err(Error::NoNode), "the end of a session is in the log too");
}

#[test]
fn a_torn_end_of_the_log_is_cut_off_and_said() {
    let mut room = Room::new();
    room.connect(1);
    room.ask(1, create("/a", "", CreateMode::Persistent)).unwrap();
    let whole = room.files["log.1"].len();
    room.ask(1, create("/b", "", CreateMode::Persistent)).unwrap();
    let files = room.files;
    // The first bytes of an entry are zeros, which is what ZooKeeper lays in advance.
    for cut in whole + 5..files["log.1"].len() {
        let mut torn = files.clone();
        torn.get_mut("log.1").unwrap().truncate(cut);
        let mut room = Room::open(Config::default(), torn, Instant::ZERO).unwrap();
        assert_eq!(room.notes.len(), 1, "{:?}", room.notes);
        assert!(room.notes[0].starts_with(&format!("log.1, byte {whole}: a transaction cannot be read")));
        room.connect(1);
        assert_eq!((room.stat(1, "/a").is_ok(), room.stat(1, "/b")), (true, Err(Error::NoNode)));
        // What comes after the cut can be read again.
        room.ask(1, persistent("/b")).unwrap();
        let mut room = room.restart();
        room.connect(1);
        assert!(room.notes.is_empty() && room.stat(1, "/b").is_ok());
    }
}

#[test]
fn damage_that_is_no_torn_end_is_refused_by_name() {
    let mut room = Room::new();
    room.connect(1);
    for path in ["/a", "/b", "/c"] {
        room.ask(1, persistent(path)).unwrap();
    }
    let files = room.files;
    let refused = |damage: &dyn Fn(&mut BTreeMap<String, Vec<u8>>)| {
        let mut damaged = files.clone();
        damage(&mut damaged);
        Room::open(Config::default(), damaged, Instant::ZERO).err().expect("it is refused")
    };
    let flipped = refused(&|files| files.get_mut("log.1").unwrap()[120] ^= 1);
    assert!(flipped.starts_with("log.1, byte 65: a transaction cannot be read (its checksum is wrong)"), "{flipped}");
    let alien = refused(&|files| drop(files.insert("log.1".into(), b"hello, I am no log at all".to_vec())));
    assert_eq!(alien, "log.1 is not a log of ZooKeeper's");
    let lost = refused(&|files| drop(files.remove("snapshot.0")));
    assert_eq!(lost, "no snapshot can be read: there are logs, but no snapshot");
    let gap = refused(&|files| {
        let log = files.remove("log.1").unwrap();
        let entries = [&txn::LOG_HEADER[..], &log[65..]].concat();
        files.insert("log.1".into(), entries);
    });
    assert_eq!(gap, "log.1: transaction 0x2 follows 0x0: those between are missing");
}

#[test]
fn snapshots_replace_old_logs_and_a_damaged_one_is_passed_over() {
    let config = Config { snap_count: 10, snap_retain_count: 2, ..Config::default() };
    let mut room = Room::open(config.clone(), BTreeMap::new(), Instant::ZERO).unwrap();
    room.connect(1);
    for number in 0..34 {
        room.ask(1, persistent(&format!("/n{number}"))).unwrap();
    }
    assert_eq!(room.files.keys().collect::<Vec<_>>(), ["log.15", "log.1f", "snapshot.14", "snapshot.1e"]);
    let before = room.server.tree().clone();
    let mut files = room.files;
    let again = Room::open(config.clone(), files.clone(), Instant::ZERO).unwrap();
    assert!(*again.server.tree() == before && again.notes.is_empty());
    files.get_mut("snapshot.1e").unwrap()[40] ^= 1;
    let older = Room::open(config, files, Instant::ZERO).unwrap();
    assert!(*older.server.tree() == before && older.notes.len() == 1, "{:?}", older.notes);
}

/// A client and its way to the room's server: everything arrives at once, unless the way is cut.
struct Walker {
    client: Client<&'static str>,
    /// Connections of the client are numbered from here on in the room.
    base: u64,
    told: Vec<String>,
    cut: bool,
}

impl Walker {
    fn new(base: u64, now: Instant) -> Walker {
        let timeout = Duration::from_millis(SESSION_MS as u64);
        Walker { client: Client::new(timeout, now), base, told: Vec::new(), cut: false }
    }

    fn ask(&mut self, room: &mut Room, op: Op, tag: &'static str) {
        let mut out = Vec::new();
        self.client.request(room.now.instant, op, tag, &mut out);
        self.carry(room, out);
    }

    fn carry(&mut self, room: &mut Room, mut out: Vec<client::Effect>) {
        while !out.is_empty() || room.said.keys().any(|conn| self.owns(*conn)) {
            let mut events = Vec::new();
            for effect in std::mem::take(&mut out) {
                match effect {
                    client::Effect::Open { conn } if self.cut => events.push(client::Event::Closed { conn }),
                    client::Effect::Open { conn } => events.push(client::Event::Opened { conn }),
                    client::Effect::Send { .. } if self.cut => {}
                    client::Effect::Send { conn, message } => {
                        room.step(Event::Message { conn: ConnId(self.base + conn.0), message });
                    }
                    client::Effect::Close { conn } => room.step(Event::Closed { conn: ConnId(self.base + conn.0) }),
                }
            }
            let own: Vec<ConnId> = room.said.keys().copied().filter(|conn| self.owns(*conn)).collect();
            for conn in own {
                let said = room.said.remove(&conn).unwrap_or_default();
                let conn = ConnId(conn.0 - self.base);
                events.extend(said.into_iter().map(|message| client::Event::Message { conn, message: message.into() }));
            }
            let mut told = Vec::new();
            for event in events {
                self.client.event(room.now.instant, event, &mut out, &mut told);
            }
            self.note(told);
        }
    }

    fn owns(&self, conn: ConnId) -> bool {
        (self.base..self.base + 1_000).contains(&conn.0)
    }

    fn note(&mut self, told: Vec<Told<&'static str>>) {
        self.told.extend(told.into_iter().map(|told| match told {
            Told::Answer { tag, result: Ok(reply) } => format!("{tag}: {reply}"),
            Told::Answer { tag, result: Err(error) } => format!("{tag}: {error}"),
            Told::Watched(event) => event.to_string(),
            other => format!("{other:?}"),
        }));
    }

    /// Time passes for both.
    fn pass(&mut self, room: &mut Room, millis: u64) {
        for _ in 0..millis / 50 {
            room.pass(50);
            let (mut out, mut told) = (Vec::new(), Vec::new());
            self.client.timer(room.now.instant, &mut out, &mut told);
            self.note(told);
            self.carry(room, out);
        }
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn a_client_keeps_its_session_by_pings_and_asks_in_order() {
    let mut room = Room::new();
    let mut walker = Walker::new(1_000, room.now.instant);
    walker.ask(&mut room, create("/e", "", CreateMode::Ephemeral), "create");
    walker.ask(&mut room, set("/e", "x", 0), "set");
    assert!(walker.told().is_empty(), "there is no connection yet");
    walker.pass(&mut room, 60_000);
    assert_eq!(walker.told(), ["Connected { new: true }", "create: created /e", "set: set to version 1"]);
    assert_eq!(room.server.sessions().count(), 1);
}

#[test]
fn a_client_that_was_cut_off_keeps_its_session_and_its_watches() {
    let mut room = Room::new();
    room.connect(1);
    let mut walker = Walker::new(1_000, room.now.instant);
    walker.pass(&mut room, 100);
    walker.ask(&mut room, create("/e", "", CreateMode::Ephemeral), "create");
    walker.ask(&mut room, Op::GetChildren { path: "/".into(), watch: true }, "list");
    walker.ask(&mut room, Op::Exists { path: "/x".into(), watch: true }, "exists");
    walker.told();
    walker.cut = true;
    walker.ask(&mut room, Op::Sync { path: "/".into() }, "lost");
    walker.pass(&mut room, 4_500);
    assert_eq!(walker.told(), ["lost: CONNECTIONLOSS", "Disconnected"]);
    walker.ask(&mut room, Op::Sync { path: "/".into() }, "waits");
    room.ask(1, persistent("/x")).unwrap();
    walker.cut = false;
    walker.pass(&mut room, 300);
    let told = walker.told();
    assert_eq!(told, ["Connected { new: false }", "NodeCreated /x", "NodeChildrenChanged /", "waits: synced /"]);
    assert!(room.stat(1, "/e").is_ok());
}

#[test]
fn a_client_learns_that_its_session_expired_when_it_is_back_and_begins_another() {
    let mut room = Room::new();
    let mut walker = Walker::new(1_000, room.now.instant);
    walker.pass(&mut room, 100);
    walker.ask(&mut room, create("/e", "", CreateMode::Ephemeral), "create");
    walker.told();
    walker.cut = true;
    walker.pass(&mut room, 20_000);
    assert_eq!(walker.told(), ["Disconnected"]);
    walker.ask(&mut room, set("/e", "x", 0), "set");
    walker.cut = false;
    walker.pass(&mut room, 300);
    assert_eq!(walker.told(), ["set: SESSIONEXPIRED", "Expired", "Connected { new: true }"]);
    walker.ask(&mut room, Op::Exists { path: "/e".into(), watch: false }, "exists");
    assert_eq!(walker.told(), ["exists: NONODE"]);
}

#[test]
fn a_client_that_closes_its_session_is_told_when_it_is_closed() {
    let mut room = Room::new();
    room.connect(1);
    let mut walker = Walker::new(1_000, room.now.instant);
    walker.pass(&mut room, 100);
    walker.ask(&mut room, create("/e", "", CreateMode::Ephemeral), "create");
    let (mut out, mut told) = (Vec::new(), Vec::new());
    walker.client.close(room.now.instant, &mut out, &mut told);
    walker.carry(&mut room, out);
    assert_eq!(walker.told().last().unwrap(), "Closed");
    assert_eq!((walker.client.deadline(), room.stat(1, "/e")), (None, Err(Error::NoNode)));
}
