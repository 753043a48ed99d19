//! The thread of a broker: drain what has arrived, read the clock once, step each event, carry out one list of effects.
//!
//! ```text
//! connections ──┐                         ┌─ writes, one a log a drain ── Appended ─┐
//! other brokers ┤                         ├─ answers to connections                 │
//! ZooKeeper ────┼─▶ inbox ─▶ step, step… ─┼─ calls to other brokers, to ZooKeeper   ├─▶ step…, until nothing is left
//! the flusher ──┘                         └─ jobs ──────────────────────────────────┘
//! ```
//!
//! 1. Nothing in a drain waits: not for a disk, not for a client, not for another broker.
//! 2. A drain takes at most [`DRAIN`] messages, so that an answer never waits for a queue that does not end.
//! 3. The broker's rules are all in `step`: this file knows none.
//! 4. A process that dies ends between two drains; one that stands still keeps what comes, in order, and can be looked at,
//!    as a stopped process by a debugger.
//! 5. A panic is the death of this process and of no other: what the broker had in memory may be wrong, so none of it is
//!    written or flushed any more. What lies in its files is right, and the next start goes on from there.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_core::broker::event::Unreachable;
use ottla_core::broker::{Broker, Effect, Event};
use ottla_core::client;
use ottla_core::config::ConnectionLimits;
use ottla_core::id::{BrokerId, ConnId, ReadId, Ticket, WorkId};
use ottla_core::log::Extent;
use ottla_core::log::compact::Job;
use ottla_core::node::Node;
use ottla_core::protocol::{Request, Response};
use ottla_core::quota::arrivals::ArrivalRates;
use ottla_core::time::{Instant, Now, Timestamp};
use ottla_core::view::{BrokerView, Level};
use ottla_core::zookeeper;
use rustix::io::ReadWriteFlags;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::{error, info, trace, warn};

use crate::connection::Outbound;
use crate::exchange::Exchange;
use crate::host::Ailments;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::peer::Peers;
use crate::splice::FileSlice;
use crate::storage::{Storage, read_slice};
use crate::zookeeper::Link;

/// Messages that one drain takes.
const DRAIN: usize = 512;

/// What a broker's thread takes.
pub enum Inbox {
    Event(Event),
    /// A client's request; its place in the queue is free once it was taken.
    Request {
        ticket: Ticket,
        request: Box<Request>,
        place: OwnedSemaphorePermit,
        /// What it took of a processor's time before it came here, and the answers before it on their way out.
        spent: Duration,
    },
    Opened {
        conn: ConnId,
        replies: UnboundedSender<Outbound>,
    },
    /// Someone wants to see the broker; it runs between two drains.
    Look(Box<dyn FnOnce(&Broker) + Send>),
    /// Stand still from here on; told once it does.
    Pause(tokio::sync::oneshot::Sender<()>),
    Resume,
    /// What is wrong with the machine.
    Ail(Ailments),
    /// A log's file could not be read; what the broker waits for comes without it.
    Unread {
        extent: Extent,
        error: io::Error,
        then: Event,
    },
    /// Wakes a driver whose process has died.
    Died,
}

/// Where to reach a broker.
#[derive(Clone)]
pub struct Handle {
    pub id: BrokerId,
    pub inbox: Sender<Inbox>,
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
}

impl Handle {
    pub fn send(&self, message: Inbox) -> Result<(), SendError<Inbox>> {
        self.inbox.send(message)
    }

    /// Runs `look` on the broker's thread; `None` if the broker has stopped.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Broker) -> T + Send + 'static) -> Option<T> {
        let (answer, seen) = tokio::sync::oneshot::channel();
        let look = move |broker: &Broker| {
            let _ = answer.send(look(broker));
        };
        self.send(Inbox::Look(Box::new(look))).ok()?;
        seen.await.ok()
    }
}

/// The clock of the process, or of a broker whose machine's clock is wrong.
#[derive(Clone, Copy)]
pub struct Clock {
    begin: std::time::Instant,
    /// How far the wall clock is ahead.
    skew_millis: i64,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { begin: std::time::Instant::now(), skew_millis: 0 }
    }

    pub fn instant(&self) -> Instant {
        Instant::from_nanos(self.begin.elapsed().as_nanos() as u64)
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Now { instant: self.instant(), wall: Timestamp(wall + self.skew_millis) }
    }
}

pub struct Driver {
    pub id: BrokerId,
    pub broker: Broker,
    pub storage: Storage,
    pub zookeeper: Link,
    pub clock: Clock,
    pub inbox: Receiver<Inbox>,
    /// Its other end.
    pub own: Sender<Inbox>,
    /// The way to the other brokers.
    pub exchange: Arc<Exchange>,
    /// Where reads that must wait for the disk are made.
    pub runtime: tokio::runtime::Handle,
    /// This broker's own connections to other brokers.
    pub peers: Peers,
    pub live: Arc<Live>,
    /// By connection: where its answers go.
    pub connections: std::collections::BTreeMap<ConnId, UnboundedSender<Outbound>>,
    /// How many connections are accepted.
    pub limits: watch::Sender<ConnectionLimits>,
    /// How many of an address a second.
    pub rates: watch::Sender<ArrivalRates>,
    pub stopped: bool,
    /// What came while it stood still.
    pub kept: VecDeque<Inbox>,
    pub paused: bool,
    /// Its process has died: it does nothing more.
    pub died: Arc<AtomicBool>,
    /// Why the broker cannot go on.
    pub failed: Option<String>,
}

/// What is left of a broker whose driver has ended.
pub struct Ended {
    pub result: io::Result<()>,
    /// As it was last; one that panicked is not looked at.
    pub view: Option<BrokerView>,
}

impl Driver {
    /// Runs until the broker says that it has stopped, or its process dies; `effects` are those of its opening.
    pub fn run(mut self, effects: Vec<Effect>) -> Ended {
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve(effects)));
        ended.unwrap_or_else(|panic| {
            // (5)
            self.storage.abandon();
            self.exchange.leave(self.id, true);
            Ended { result: Err(io::Error::other(format!("it panicked: {}", words(&*panic)))), view: None }
        })
    }

    fn serve(&mut self, mut effects: Vec<Effect>) -> Ended {
        let mut events = Vec::new();
        let begin = self.storage.begin();
        self.execute(self.clock.now(), &mut effects, &mut events);
        if let Err(error) = begin.and_then(|()| self.storage.begun()) {
            self.failed = Some(format!("its data directory cannot be marked as in use: {error}"));
        }
        self.exchange.join(self.id, self.own.clone());
        while !self.stopped && self.failed.is_none() && !self.has_died() {
            let mut next = self.wait();
            let now = self.clock.now();
            for left in (0..DRAIN).rev() {
                let Some(message) = next else { break };
                self.take(now, message, &mut effects);
                next = if left > 0 { self.next() } else { None };
            }
            if self.broker.deadline().is_some_and(|deadline| deadline <= now.instant) {
                self.step(now, Event::Timer, &mut effects);
            }
            self.execute(now, &mut effects, &mut events);
            if self.paused {
                self.stand_still();
            }
        }
        let died = self.has_died();
        let result = match died {
            true => {
                self.storage.abandon();
                Ok(())
            }
            false => self.storage.close(&mut events),
        };
        let failed = self.failed.take();
        self.exchange.leave(self.id, died || failed.is_some());
        let result = result.and(failed.map_or(Ok(()), |why| Err(io::Error::other(why))));
        Ended { result, view: Some(self.broker.view()) }
    }

    pub fn ail(&mut self, ailments: Ailments) {
        self.storage.ail(ailments.slow_disk, ailments.full_disk);
        self.clock.skew_millis = ailments.skew_millis;
    }

    fn has_died(&self) -> bool {
        self.died.load(Ordering::Acquire)
    }

    fn next(&mut self) -> Option<Inbox> {
        if self.paused {
            return None;
        }
        self.kept.pop_front().or_else(|| self.inbox.try_recv().ok())
    }

    /// The next message; `None` when a deadline comes first.
    fn wait(&mut self) -> Option<Inbox> {
        if let Some(message) = self.next() {
            return Some(message);
        }
        let deadline = self.broker.deadline().into_iter().chain(self.storage.deadline()).min();
        let received = match deadline {
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => match deadline.since(self.clock.instant()) {
                Duration::ZERO => Err(RecvTimeoutError::Timeout),
                left => self.inbox.recv_timeout(left),
            },
        };
        // It holds a sender itself, so it is never disconnected.
        received.ok()
    }

    /// (4)
    fn stand_still(&mut self) {
        while self.paused && !self.has_died() {
            match self.inbox.recv() {
                Ok(Inbox::Look(look)) => look(&self.broker),
                Ok(Inbox::Resume) => self.paused = false,
                Ok(Inbox::Ail(ailments)) => self.ail(ailments),
                Ok(message) => self.kept.push_back(message),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, now: Now, message: Inbox, effects: &mut Vec<Effect>) {
        match message {
            Inbox::Event(event) => {
                match &event {
                    Event::Closed { conn } => drop(self.connections.remove(conn)),
                    Event::Client { event: client::Event::Closed { conn }, .. } => self.peers.closed(*conn),
                    Event::ZooKeeper(zookeeper::client::Event::Closed { conn }) => self.zookeeper.closed(*conn),
                    _ => {}
                }
                self.step(now, event, effects);
            }
            Inbox::Request { ticket, request, place, spent } => {
                drop(place);
                let timed = self.broker.counts_time().then(std::time::Instant::now);
                self.step(now, Event::Request { ticket, request }, effects);
                if let Some(begun) = timed {
                    self.step(now, Event::Spent { time: spent + begun.elapsed() }, effects);
                }
            }
            Inbox::Opened { conn, replies } => {
                self.connections.insert(conn, replies);
            }
            Inbox::Look(look) => look(&self.broker),
            Inbox::Pause(told) => {
                self.paused = true;
                let _ = told.send(());
            }
            Inbox::Ail(ailments) => self.ail(ailments),
            Inbox::Unread { extent, error, then } => {
                let mut events = Vec::new();
                self.storage.unread(extent, &error, &mut events);
                for event in events.into_iter().chain([then]) {
                    self.step(now, event, effects);
                }
            }
            Inbox::Resume | Inbox::Died => {}
        }
    }

    fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        trace!(broker = %self.id, %event);
        self.broker.step(now, event, effects);
    }

    /// Carries out the effects, and what the broker wants after them, until there is nothing left.
    fn execute(&mut self, now: Now, effects: &mut Vec<Effect>, events: &mut Vec<Event>) {
        loop {
            for effect in effects.drain(..) {
                trace!(broker = %self.id, %effect);
                self.enact(effect, events);
            }
            self.storage.write(events);
            if events.is_empty() {
                return;
            }
            for event in events.drain(..) {
                trace!(broker = %self.id, %event);
                self.broker.step(now, event, effects);
            }
        }
    }

    fn enact(&mut self, effect: Effect, events: &mut Vec<Event>) {
        match effect {
            Effect::Reply { ticket, response } => self.reply(ticket, response, events),
            Effect::NoReply { ticket } => self.tell(ticket.conn, Outbound::NoReply { seq: ticket.seq }),
            Effect::Limit { conn } => self.tell(conn, Outbound::Limit),
            Effect::Mute { conn, until } => {
                let left = until.since(self.clock.instant());
                self.tell(conn, Outbound::Mute { until: std::time::Instant::now() + left });
            }
            Effect::Close { conn, why } => self.tell(conn, Outbound::Close { why }),
            Effect::Client(wire) => self.peers.execute(wire),
            Effect::Call { call, to, request } => {
                if !self.exchange.call(self.id, to, call, request) {
                    events.push(Event::Answer { call, result: Err(Unreachable) });
                }
            }
            Effect::Answer { to, call, response } => self.exchange.answer(self.id, to, call, response),
            Effect::Read { read, extent } => self.read(read, extent, events),
            Effect::Work { work, extent, job } => self.work(work, extent, job, events),
            Effect::ZooKeeper(effect) => self.zookeeper.execute(effect),
            Effect::Note { level, text } => {
                match level {
                    Level::Bad => error!(broker = %self.id, "{text}"),
                    Level::Warn => warn!(broker = %self.id, "{text}"),
                    Level::Good | Level::Info => info!(broker = %self.id, "{text}"),
                }
                self.live.say(&self.id.to_string(), text, level);
            }
            Effect::Configure { settings } => {
                self.limits.send_if_modified(|limits| {
                    let new = *limits != settings.connections;
                    if new {
                        limits.clone_from(&settings.connections);
                    }
                    new
                });
            }
            Effect::LimitArrivals { rates } => drop(self.rates.send(rates)),
            Effect::Fail { why } => self.failed = Some(why),
            Effect::Stopped => self.stopped = true,
            storage => self.storage.execute(storage, events),
        }
    }

    fn reply(&mut self, ticket: Ticket, mut response: Response, events: &mut Vec<Event>) {
        let mut files = Vec::with_capacity(response.records.len());
        for at in 0..response.records.len() {
            let file = response.records[at].and_then(|extent| {
                let slice = self.storage.slice(extent);
                slice.map_err(|error| self.storage.unread(extent, &error, events)).ok()
            });
            if file.is_none() && response.records[at].is_some() {
                response.withhold(at);
            }
            files.push(file);
        }
        self.tell(ticket.conn, Outbound::Reply { seq: ticket.seq, response, files });
    }

    /// A connection that is gone needs no answer: its `Closed` is on the way.
    fn tell(&self, conn: ConnId, message: Outbound) {
        if let Some(replies) = self.connections.get(&conn) {
            let _ = replies.send(message);
        }
    }

    /// Work that takes long, and may wait for the disk: a thread that keeps nobody waiting does it.
    fn work(&mut self, work: WorkId, extent: Extent, job: Box<Job>, events: &mut Vec<Event>) {
        let slice = match self.storage.slice(extent) {
            Ok(slice) => slice,
            Err(error) => {
                self.storage.unread(extent, &error, events);
                return events.push(Event::Worked { work, done: job.run(&Bytes::new()).into() });
            }
        };
        self.elsewhere(extent, slice, move |bytes| Event::Worked { work, done: job.run(&bytes).into() });
    }

    /// A few KiB that the broker must look into: at once where they are in memory, else by a thread that may wait.
    fn read(&mut self, read: ReadId, extent: Extent, events: &mut Vec<Event>) {
        let slice = match self.storage.slice(extent) {
            Ok(slice) => slice,
            Err(error) => {
                self.storage.unread(extent, &error, events);
                return events.push(Event::Loaded { read, bytes: Bytes::new() });
            }
        };
        match read_slice(&slice, ReadWriteFlags::NOWAIT) {
            Ok(bytes) if bytes.len() == slice.len && self.storage.read_delay().is_zero() => {
                events.push(Event::Loaded { read, bytes });
            }
            _ => self.elsewhere(extent, slice, move |bytes| Event::Loaded { read, bytes }),
        }
    }

    /// Reads on a thread that may wait, and tells what comes of it.
    fn elsewhere(&self, extent: Extent, slice: FileSlice, then: impl FnOnce(Bytes) -> Event + Send + 'static) {
        let (inbox, delay) = (self.own.clone(), self.storage.read_delay());
        let load = move || {
            let message = match read_slice(&slice, ReadWriteFlags::empty()) {
                Ok(bytes) => Inbox::Event(then(bytes)),
                Err(error) => Inbox::Unread { extent, error, then: then(Bytes::new()) },
            };
            let _ = inbox.send(message);
        };
        if delay.is_zero() {
            self.runtime.spawn_blocking(load);
        } else {
            self.runtime.spawn(async move {
                tokio::time::sleep(delay).await;
                tokio::task::spawn_blocking(load).await
            });
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
