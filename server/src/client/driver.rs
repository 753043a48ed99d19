//! What runs a client's node natively: it gives it time, connections and calls, and takes its reports.
//!
//! ```text
//! threads of the program ─┐                 ┌─ connections: open, send, close
//! connections' tasks ─────┼─▶ lock ─▶ step ─┤
//! the timer's task ───────┘                 └─ reports: to the client, and to the threads that wait
//! ```
//!
//! 1. Whoever has something for the node locks it, reads the clock, steps it and carries out what it wants. None of that waits,
//!    so a thread holds the lock for as long as a step takes.
//! 2. A thread that waits for what the node will report waits without the lock.
//! 3. What goes wrong with a connection is an event for the node, and a line in the log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use ottla_core::client::{Effect, Endpoint, Event, Report, Wire};
use ottla_core::id::ConnId;
use ottla_core::node::Node;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tracing::{debug, trace, warn};

use super::Exception;
use crate::driver::Clock;
use crate::link::Way;
use crate::peer::Peers;

/// A node is not asked for its timer more often than this.
const TICK: Duration = Duration::from_millis(1);
/// A wait that news alone ends.
const LONG: Duration = Duration::from_secs(3600);

/// A node, and what becomes of its reports.
pub trait Client: Send + 'static {
    type Node: Node<Event = Event, Effect = Effect> + Send;

    fn node(&mut self) -> &mut Self::Node;

    fn report(&mut self, report: Report);
}

/// Dropping it ends all of it at once.
pub struct Driver<C: Client> {
    shared: Arc<Shared<C>>,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

struct Shared<C> {
    state: Mutex<State<C>>,
    news: Condvar,
    timer: Arc<Notify>,
    clock: Clock,
}

pub struct State<C> {
    pub client: C,
    peers: Peers,
    links: BTreeMap<ConnId, Link>,
    effects: Vec<Effect>,
    /// When the timer's task will look next.
    armed: Option<ottla_core::time::Instant>,
    /// Threads that wait for news.
    waiting: usize,
    /// The program is done with it: nothing that goes wrong is worth a line.
    ending: bool,
    /// Nothing happens any more.
    stopped: bool,
}

/// A connection.
struct Link {
    to: Endpoint,
    stage: Stage,
    /// What is asked over it and not answered; answers come in the same order.
    asked: VecDeque<ApiKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    /// It has answered something: there is a broker.
    Answering,
}

impl<C: Client> Driver<C> {
    /// `name` is its thread's; an answer has at most `limit` bytes.
    pub fn start(name: &str, client: C, limit: i32) -> Result<Driver<C>, Exception> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        let runtime = runtime.map_err(|error| Exception::kafka(format!("no thread can be started: {error}")))?;
        let handle = runtime.handle().clone();
        let timer = Arc::new(Notify::new());
        let shared = Arc::new_cyclic(|shared: &Weak<Shared<C>>| {
            let own = shared.clone();
            let listen = move |event| {
                if let Some(shared) = own.upgrade() {
                    shared.enter().step(event);
                }
            };
            let (there, back) = (Way::new(handle.clone()), Way::new(handle.clone()));
            let route = move |_: &Endpoint| (there.clone(), back.clone(), None);
            let state = State {
                client,
                peers: Peers::new(handle.clone(), Arc::new(route), Arc::new(listen)).limited(limit),
                links: BTreeMap::new(),
                effects: Vec::new(),
                armed: None,
                waiting: 0,
                ending: false,
                stopped: false,
            };
            Shared { state: Mutex::new(state), news: Condvar::new(), timer: timer.clone(), clock: Clock::start() }
        });
        runtime.spawn(tick(Arc::downgrade(&shared), timer));
        Ok(Driver { shared, runtime: Some(runtime) })
    }

    pub fn enter(&self) -> Entered<'_, C> {
        self.shared.enter()
    }
}

impl<C: Client> Drop for Driver<C> {
    fn drop(&mut self) {
        self.enter().ending = true;
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops it may be a task itself, which must not wait.
            runtime.shutdown_background();
        }
    }
}

impl<C: Client> Shared<C> {
    fn enter(&self) -> Entered<'_, C> {
        Entered { shared: self, state: self.state.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The lock is held.
pub struct Entered<'a, C: Client> {
    shared: &'a Shared<C>,
    state: MutexGuard<'a, State<C>>,
}

impl<C: Client> Deref for Entered<'_, C> {
    type Target = State<C>;
    fn deref(&self) -> &State<C> {
        &self.state
    }
}

impl<C: Client> DerefMut for Entered<'_, C> {
    fn deref_mut(&mut self) -> &mut State<C> {
        &mut self.state
    }
}

impl<C: Client> Entered<'_, C> {
    /// By the node's clock.
    pub fn now(&self) -> ottla_core::time::Instant {
        self.shared.clock.instant()
    }

    /// Milliseconds since 1970.
    pub fn wall(&self) -> i64 {
        self.shared.clock.now().wall.0
    }

    pub fn step(&mut self, event: Event) {
        let state = &mut *self.state;
        if state.stopped {
            return;
        }
        let answers = matches!(event, Event::Response { .. } | Event::Closed { .. });
        state.look_at(&event);
        trace!(%event);
        state.client.node().step(self.shared.clock.now(), event, &mut state.effects);
        let mut news = answers;
        let mut effects = std::mem::take(&mut state.effects);
        for effect in effects.drain(..) {
            trace!(%effect);
            news |= matches!(effect, Effect::Report(_));
            state.enact(effect);
        }
        state.effects = effects;
        let deadline = state.client.node().deadline();
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            state.armed = deadline;
            self.shared.timer.notify_one();
        }
        if news && state.waiting > 0 {
            self.shared.news.notify_all();
        }
    }

    /// Closes what is open. The node takes no steps from here on.
    pub fn stop(&mut self) {
        let state = &mut *self.state;
        (state.ending, state.stopped) = (true, true);
        for conn in std::mem::take(&mut state.links).into_keys() {
            state.peers.execute(Wire::Close { conn });
        }
        self.shared.news.notify_all();
    }

    /// Waits until `done` gives something, or until then. (2)
    pub fn wait<T>(mut self, until: Option<Instant>, mut done: impl FnMut(&mut C) -> Option<T>) -> (Self, Option<T>) {
        loop {
            let found = done(&mut self.state.client);
            let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
            if found.is_some() || left.is_zero() {
                return (self, found);
            }
            self = self.pause(left);
        }
    }

    /// Waits for news, for that long at most.
    pub fn pause(mut self, most: Duration) -> Self {
        self.state.waiting += 1;
        let Entered { shared, state } = self;
        let (mut state, _) = shared.news.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        Entered { shared, state }
    }

    /// Whether a request of that kind is not answered.
    pub fn is_asking(&self, api: ApiKey) -> bool {
        self.state.links.values().any(|link| link.asked.contains(&api))
    }

    /// Bytes of records that connections have yet to write.
    pub fn unsent(&self) -> usize {
        self.state.peers.unsent()
    }
}

impl<C: Client> State<C> {
    fn enact(&mut self, effect: Effect) {
        let wire = match effect {
            Effect::Wire(wire) => wire,
            Effect::Report(report) => {
                if let Report::Note(note) = &report {
                    debug!("{note}");
                }
                return self.client.report(report);
            }
        };
        match wire {
            Wire::Open { conn, ref to } => {
                self.links.insert(conn, Link { to: to.clone(), stage: Stage::Opening, asked: VecDeque::new() });
            }
            Wire::Close { conn } => {
                if let Some(Link { to: Endpoint { host, port }, .. }) =
                    self.links.remove(&conn).filter(|_| !self.ending)
                {
                    warn!("gives up its connection to {host}:{port}: no answer came in time, or none that fits");
                }
            }
            Wire::Send { conn, ref request } if request.awaits_response() => {
                let api = request.api_key;
                self.links.get_mut(&conn).into_iter().for_each(|link| link.asked.push_back(api));
            }
            Wire::Send { .. } => {}
        }
        self.peers.execute(wire);
    }

    /// (3)
    fn look_at(&mut self, event: &Event) {
        match event {
            Event::Opened { conn } => self.links.get_mut(conn).into_iter().for_each(|link| link.stage = Stage::Open),
            Event::Response { conn, .. } => {
                if let Some(link) = self.links.get_mut(conn) {
                    link.stage = Stage::Answering;
                    link.asked.pop_front();
                }
            }
            Event::Closed { conn } => {
                self.peers.closed(*conn);
                let Some(Link { to: Endpoint { host, port }, stage, .. }) = self.links.remove(conn) else { return };
                match stage {
                    _ if self.ending => {}
                    Stage::Opening => {
                        warn!("Connection to {host}:{port} could not be established. Node may not be available.");
                    }
                    Stage::Open => {
                        warn!("{host}:{port} closed the connection without an answer: is it a Kafka broker?")
                    }
                    Stage::Answering => debug!("{host}:{port} is disconnected"),
                }
            }
            Event::Timer | Event::Command(_) | Event::Call { .. } | Event::Process(_) | Event::Processed { .. } => {}
        }
    }
}

/// Gives the node its timer events, for as long as there is one.
async fn tick<C: Client>(shared: Weak<Shared<C>>, timer: Arc<Notify>) {
    loop {
        let wait = {
            let Some(shared) = shared.upgrade() else { return };
            let mut entered = shared.enter();
            let due = |entered: &mut Entered<'_, C>| entered.client.node().deadline();
            if entered.stopped {
                return;
            }
            if due(&mut entered).is_some_and(|due| due <= shared.clock.instant()) {
                entered.step(Event::Timer);
            }
            let next = due(&mut entered);
            entered.armed = next;
            next.map(|next| next.since(shared.clock.instant()).max(TICK))
        };
        match wait {
            Some(wait) => tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = timer.notified() => {}
            },
            None => timer.notified().await,
        }
    }
}
