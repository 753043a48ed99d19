//! The thread of ZooKeeper: drain what has arrived, step each message, write and sync its log once, answer.
//!
//! `mod.rs` the thread and its files | `listen.rs` its port | `link.rs` the brokers' end of their connections
//!
//! 1. A drain is answered when its log is on the disk, so a drain costs one sync, however much it changes.
//! 2. Where the disk fails the thread ends, and with it the server: nothing that was answered may be lost.

mod link;
pub mod listen;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};
use ottla_core::id::ConnId;
use ottla_core::node::Node;
use ottla_core::view::Level;
use ottla_core::zookeeper::server::{Config, Effect, Event};
use ottla_core::zookeeper::store::Image;
use ottla_core::zookeeper::{Server, SessionId, ToClient, ToServer, Zxid};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{info, trace, warn};

use crate::driver::Clock;
use crate::live::Live;
pub use link::Link;

/// ZooKeeper's name of the directory that its files lie in.
const VERSION: &str = "version-2";
/// Messages that one drain takes.
const DRAIN: usize = 512;

/// What the thread takes.
pub enum Inbox {
    Opened {
        conn: ConnId,
        /// Where what is said to the client goes.
        client: UnboundedSender<Said>,
    },
    Message {
        conn: ConnId,
        message: ToServer,
    },
    Closed {
        conn: ConnId,
    },
    /// Someone wants to see the server; it runs between two drains.
    Look(Box<dyn FnOnce(&Server) + Send>),
    Expire(SessionId),
    /// The connection that a session is on breaks.
    Reset(SessionId),
    Stop,
}

/// To a client.
pub enum Said {
    Message(ToClient),
    Closed,
}

/// Where to reach ZooKeeper.
#[derive(Clone)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
    inbox: Sender<Inbox>,
}

impl Handle {
    pub fn new(address: SocketAddr) -> (Handle, Receiver<Inbox>) {
        let (inbox, queue) = channel();
        (Handle { address, inbox }, queue)
    }

    /// Runs `look` on ZooKeeper's thread; `None` if it has stopped.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Server) -> T + Send + 'static) -> Option<T> {
        let (answer, seen) = tokio::sync::oneshot::channel();
        let look = move |server: &Server| {
            let _ = answer.send(look(server));
        };
        self.inbox.send(Inbox::Look(Box::new(look))).ok()?;
        seen.await.ok()
    }

    /// Ends a session as if nothing had been heard of it for its time.
    pub fn expire(&self, session: SessionId) {
        let _ = self.inbox.send(Inbox::Expire(session));
    }

    /// Breaks the connection that a session is on, if it is on one.
    pub fn reset(&self, session: SessionId) {
        let _ = self.inbox.send(Inbox::Reset(session));
    }

    pub fn stop(&self) {
        let _ = self.inbox.send(Inbox::Stop);
    }
}

/// The thread, as whoever started it sees it.
pub struct Thread {
    thread: Option<JoinHandle<()>>,
    opened: oneshot::Receiver<()>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Thread {
    /// It reads what is on the disk first; until then whoever connects waits.
    pub fn start(root: PathBuf, clock: Clock, live: Arc<Live>, inbox: Receiver<Inbox>) -> io::Result<Thread> {
        let (open, opened) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let run = move || {
            let driver = Driver::open(&root, clock, live, inbox);
            if driver.is_ok() {
                let _ = open.send(());
            }
            let _ = end.send(driver.and_then(Driver::run));
        };
        let thread = thread::Builder::new().name("zookeeper".to_owned()).spawn(run)?;
        Ok(Thread { thread: Some(thread), opened, ended })
    }

    /// It has read its files, or refuses them.
    pub async fn opened(&mut self) -> anyhow::Result<()> {
        match (&mut self.opened).await {
            Ok(()) => Ok(()),
            Err(_) => Err((&mut self.ended).await.unwrap_or(Ok(())).err().unwrap_or_else(|| anyhow!("zookeeper died"))),
        }
    }

    /// Why it ended unasked.
    pub async fn ended(&mut self) -> String {
        match (&mut self.ended).await {
            Ok(Ok(())) => "without a reason".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it died".to_owned(),
        }
    }

    /// When nobody needs it any more.
    pub async fn stop(mut self, handle: &Handle) -> anyhow::Result<()> {
        handle.stop();
        let result = if self.ended.is_terminated() { None } else { (&mut self.ended).await.ok() };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        result.unwrap_or(Err(anyhow!("zookeeper did not end in order")))
    }
}

struct Driver {
    server: Server,
    clock: Clock,
    live: Arc<Live>,
    inbox: Receiver<Inbox>,
    clients: BTreeMap<ConnId, UnboundedSender<Said>>,
    disk: Disk,
}

impl Driver {
    fn open(root: &Path, clock: Clock, live: Arc<Live>, inbox: Receiver<Inbox>) -> anyhow::Result<Driver> {
        let root = root.join(VERSION);
        let image = read(&root).with_context(|| format!("cannot read {}", root.display()))?;
        let mut effects = Vec::new();
        let (server, notes) = Server::open(Config::default(), &image, clock.now(), &mut effects)
            .map_err(|why| anyhow!("{}: {why}", root.display()))?;
        for note in notes {
            warn!("zookeeper: {note}");
        }
        let disk = Disk { root, log: None, written: None };
        let mut driver = Driver { server, clock, live, inbox, clients: BTreeMap::new(), disk };
        driver.execute(&mut effects)?;
        Ok(driver)
    }

    fn run(mut self) -> anyhow::Result<()> {
        let mut effects = Vec::new();
        loop {
            let mut next = self.wait();
            for left in (0..DRAIN).rev() {
                match next {
                    Some(Inbox::Stop) => return Ok(()),
                    Some(message) => self.take(message, &mut effects),
                    None => break,
                }
                next = if left > 0 { self.inbox.try_recv().ok() } else { None };
            }
            if self.server.deadline().is_some_and(|deadline| deadline <= self.clock.instant()) {
                self.step(Event::Timer, &mut effects);
            }
            self.execute(&mut effects)?;
        }
    }

    /// The next message; `None` when the deadline comes first.
    fn wait(&mut self) -> Option<Inbox> {
        let received = match self.server.deadline() {
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => match deadline.since(self.clock.instant()) {
                Duration::ZERO => return self.inbox.try_recv().ok(),
                left => self.inbox.recv_timeout(left),
            },
        };
        match received {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Inbox::Stop),
        }
    }

    fn take(&mut self, message: Inbox, effects: &mut Vec<Effect>) {
        match message {
            Inbox::Opened { conn, client } => {
                self.clients.insert(conn, client);
            }
            Inbox::Message { conn, message } => {
                // One that was closed has nothing to say any more.
                if self.clients.contains_key(&conn) {
                    if matches!(message, ToServer::Connect(_)) {
                        self.live.changed();
                    }
                    self.step(Event::Message { conn, message }, effects);
                }
            }
            Inbox::Closed { conn } => {
                if self.clients.remove(&conn).is_some() {
                    self.live.changed();
                    self.step(Event::Closed { conn }, effects);
                }
            }
            Inbox::Reset(session) => {
                let on = self.server.sessions().find(|(id, _)| *id == session).and_then(|(_, session)| session.conn);
                if let Some((conn, client)) = on.and_then(|conn| self.clients.remove_entry(&conn)) {
                    let _ = client.send(Said::Closed);
                    self.live.changed();
                    self.step(Event::Closed { conn }, effects);
                }
            }
            Inbox::Look(look) => look(&self.server),
            Inbox::Expire(session) => self.step(Event::Expire { session }, effects),
            Inbox::Stop => {}
        }
    }

    fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        trace!(node = "zookeeper", %event);
        self.server.step(self.clock.now(), event, effects);
    }

    /// Carries out the effects, and what follows from them, until there is nothing left. (1)
    fn execute(&mut self, effects: &mut Vec<Effect>) -> io::Result<()> {
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                trace!(node = "zookeeper", %effect);
                match effect {
                    Effect::Send { conn, message } => {
                        if let Some(client) = self.clients.get(&conn) {
                            let _ = client.send(Said::Message(message));
                        }
                    }
                    Effect::Close { conn } => {
                        if let Some(client) = self.clients.remove(&conn) {
                            let _ = client.send(Said::Closed);
                        }
                    }
                    Effect::Note { text } => {
                        info!("zookeeper: {text}");
                        self.live.say("zookeeper", text, Level::Warn);
                    }
                    storage => self.disk.execute(storage)?,
                }
            }
            if let Some(zxid) = self.disk.sync()? {
                self.live.changed();
                self.step(Event::Written { zxid }, effects);
            }
        }
        Ok(())
    }
}

/// The files: one log that is written to, snapshots beside it.
struct Disk {
    root: PathBuf,
    log: Option<(String, File)>,
    /// The newest transaction that is written and not synced.
    written: Option<Zxid>,
}

impl Disk {
    fn execute(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Append { file, bytes, zxid } => {
                let log = match &mut self.log {
                    Some((name, log)) if *name == file => log,
                    _ => {
                        self.sync_log()?;
                        let log = OpenOptions::new().append(true).create(true).open(self.root.join(&file))?;
                        self.sync_directory()?;
                        &mut self.log.insert((file, log)).1
                    }
                };
                log.write_all(&bytes)?;
                self.written = Some(zxid);
                Ok(())
            }
            Effect::Truncate { file, len } => {
                let file = OpenOptions::new().write(true).open(self.root.join(file))?;
                file.set_len(len)?;
                file.sync_all()
            }
            Effect::Save { file, contents } => {
                let path = self.root.join(file);
                let aside = path.with_extension("tmp");
                let mut file = File::create(&aside)?;
                file.write_all(&contents)?;
                file.sync_all()?;
                fs::rename(&aside, &path)?;
                self.sync_directory()
            }
            Effect::Remove { file } => fs::remove_file(self.root.join(file)),
            Effect::Send { .. } | Effect::Close { .. } | Effect::Note { .. } => Ok(()),
        }
    }

    /// Everything appended is on the disk; gives up to where.
    fn sync(&mut self) -> io::Result<Option<Zxid>> {
        if self.written.is_some() {
            self.sync_log()?;
        }
        Ok(self.written.take())
    }

    fn sync_log(&mut self) -> io::Result<()> {
        self.log.as_ref().map_or(Ok(()), |(_, log)| log.sync_data())
    }

    /// A file that was made is there after the machine's death, too.
    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}

fn read(root: &Path) -> io::Result<Image> {
    fs::create_dir_all(root)?;
    let mut image = Image::default();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".tmp") {
            fs::remove_file(entry.path())?;
        } else {
            image.files.insert(name, fs::read(entry.path())?.into());
        }
    }
    Ok(image)
}
