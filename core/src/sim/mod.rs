//! The simulator: one heap of events, one clock, and a world in which things break.
//!
//! A [`Simulation`] runs brokers and clients, the same nodes that run natively, over a simulated network and simulated
//! disks. Time passes only from event to event.
//!
//! 1. `(scenario, seed)` is the whole run: the same pair gives the same events in the same order, everywhere.
//! 2. Events at the same instant happen in the order in which they were caused; an action of the scenario comes before
//!    all events of its instant.
//! 3. A copy of a simulation is a checkpoint: it goes on exactly as the original does, and is cheap to make.
//! 4. Nobody but the clock changes anything: [`Simulation::view`] and [`Simulation::detail`] only look.
//!
//! `agenda.rs` what comes next | `network.rs` connections, `capacity.rs` how busy machines are | `disk.rs` what brokers write | `zookeeper.rs` the machine
//! with ZooKeeper | `strike.rs` whom a fault strikes, `fault.rs` what breaks then, `tally.rs` how often | `workload.rs` who
//! is there and what they do, `application.rs` with two clients in one process | `admin.rs` makes the topics | `guest.rs` brings frames from outside | `enact.rs` effects,
//! carried out | `observe.rs`, `check/` what must always hold |
//! `story.rs` the event log | `trace.rs` every event as a line | `inspect.rs`, `detail.rs` what the page sees |
//! `history.rs` time travel | `scenario/` runs as texts and links | `search.rs` for what breaks an invariant

mod admin;
mod agenda;
mod application;
mod capacity;
pub mod check;
pub mod detail;
mod disk;
mod enact;
mod fault;
mod guest;
pub mod history;
mod inspect;
pub mod network;
mod observe;
pub mod scenario;
pub mod search;
mod story;
mod strike;
mod tally;
pub mod trace;
mod workload;
pub mod zookeeper;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::{self, Broker, BrokerConfig};
use crate::bug::Bugs;
use crate::client::{self, Wire};
use crate::config::internal;
use crate::id::{BrokerId, ConnId, LogId};
use crate::node::Node;
use crate::protocol::cluster::Registration;
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Instant, Now, Timestamp, sooner};

use crate::vec_map::VecMap;
use crate::view::{self, ReplicaView};
use admin::Admin;
use agenda::Agenda;
use application::Passing;
use check::{Checks, Violation};
use disk::Disk;
use network::{Arrival, Network, NodeId};
use scenario::{Action, Cluster, Expectation, Scenario, Timed};
use story::Story;
pub use tally::Tally;
use trace::Trace;

/// What the wall clock shows when a run begins: 2025-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp(1_735_689_600_000);
/// Every simulated broker is on its own host.
const PORT: u16 = 9092;
/// A node whose deadline does not move is not asked more often.
const TICK: Duration = Duration::from_micros(1);

/// A cluster, its clients, and all that is on its way, at one moment.
#[derive(Clone)]
pub struct Simulation {
    now: Instant,
    /// Events so far.
    event: u64,
    seed: Seed,
    agenda: Agenda,
    nodes: Vec<Slot>,
    names: VecMap<String, NodeId>,
    cluster: Arc<Cluster>,
    bugs: Bugs,
    network: Network,
    /// What is lost when a machine dies.
    dice: Stream,
    /// Of the scenario, all of them, and how many have happened.
    actions: Arc<Vec<Timed>>,
    done: usize,
    /// Clients that start as soon as the topics that were asked for before them stand.
    waiting: VecDeque<Action>,
    /// What clients of one process tell each other at this moment.
    passing: VecDeque<Passing>,
    outcomes: Vec<Outcome>,
    checks: Checks,
    /// When what a client hears now was said.
    said: Instant,
    story: Story,
    tally: Tally,
    trace: Trace,
    scratch: Scratch,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub at: Instant,
    pub expectation: Expectation,
    pub held: bool,
    /// What was found.
    pub found: String,
}

/// One node, by [`NodeId`].
#[derive(Clone)]
struct Slot {
    name: Arc<str>,
    /// The timer that counts; others are stale.
    timer: Option<Instant>,
    /// While the process stands still.
    paused: Option<Paused>,
    /// By how many milliseconds its wall clock is wrong.
    skew: i64,
    /// Its own numbers of the connections that it opened as a client, and the network's.
    connections: Vec<(ConnId, ConnId)>,
    actor: Actor,
}

/// A process that stands still: the kernel takes what comes, and keeps it.
#[derive(Clone)]
struct Paused {
    since: Instant,
    inbox: VecDeque<Told>,
}

/// What a process that stood still finds when it goes on.
#[derive(Clone)]
enum Told {
    Broker(broker::Event),
    ZooKeeper(crate::zookeeper::server::Event),
    /// With the moment when that was said.
    Client(client::Event, Instant),
}

#[derive(Clone)]
enum Actor {
    Broker(Box<Host>),
    ZooKeeper(Box<zookeeper::Machine>),
    Client(Box<workload::Client>),
}

/// A machine with a broker.
#[derive(Clone)]
struct Host {
    config: BrokerConfig,
    process: Process,
    /// Counts processes: what was meant for an earlier one is dropped.
    incarnation: u32,
    disk: Disk,
    /// Its own numbers of its connections with ZooKeeper, and the network's.
    zookeeper: Vec<(ConnId, ConnId)>,
    /// Bytes of record batches that clients sent and got.
    bytes_in: u64,
    bytes_out: u64,
    /// The replicas of the last process, while there is none.
    last_seen: Arc<[ReplicaView]>,
}

/// ```text
/// Running → Killed  [kill: the process died] → Running [start]
///         → Crashed [crash: the machine died] → Running [start]
/// ```
#[derive(Clone)]
enum Process {
    Running(Broker),
    Killed,
    Crashed,
}

/// How it stands with a machine that others can connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Running,
    /// The machine runs, and its kernel refuses.
    NoProcess,
    Off,
}

/// What can be on the agenda.
#[derive(Clone, Copy, Debug)]
enum What {
    Arrive(Arrival),
    Timer {
        node: NodeId,
    },
    Wrote {
        node: NodeId,
        incarnation: u32,
        log: LogId,
    },
    Synced {
        node: NodeId,
        incarnation: u32,
        log: LogId,
    },
    Loaded {
        node: NodeId,
        incarnation: u32,
    },
    /// Work on bytes is done.
    Worked {
        node: NodeId,
        incarnation: u32,
    },
    /// What compaction wrote aside is safe.
    Sealed {
        node: NodeId,
        incarnation: u32,
    },
    /// ZooKeeper's log is written.
    Logged {
        incarnation: u32,
    },
    /// Two brokers may have heard nothing of each other for too long.
    Silence {
        conn: ConnId,
    },
    /// A client hears from another one of its process.
    Passed,
    /// A process that ended by itself is started again.
    Restart {
        producer: NodeId,
    },
}

/// Sinks for effects, kept for their room.
#[derive(Default)]
struct Scratch {
    broker: Vec<broker::Effect>,
    zookeeper: Vec<crate::zookeeper::server::Effect>,
    client: Vec<client::Effect>,
    touched: Vec<LogId>,
}

impl Simulation {
    /// The cluster of the scenario at 0, its brokers just started. An error in words where the cluster cannot be.
    pub fn new(scenario: &Scenario) -> Result<Simulation, String> {
        let cluster = &scenario.cluster;
        if cluster.brokers == 0 {
            return Err("a cluster needs a broker".to_owned());
        }
        let seed = scenario.seed;
        let mut simulation = Simulation {
            now: Instant::ZERO,
            event: 0,
            seed,
            agenda: Agenda::default(),
            nodes: Vec::new(),
            names: VecMap::new(),
            network: Network::new(seed, cluster),
            cluster: Arc::new(cluster.clone()),
            bugs: scenario.bugs(),
            dice: seed.stream("crash"),
            actions: Arc::new(scenario.timeline()),
            done: 0,
            waiting: VecDeque::new(),
            passing: VecDeque::new(),
            outcomes: Vec::new(),
            checks: Checks::default(),
            said: Instant::ZERO,
            story: Story::default(),
            tally: Tally::default(),
            trace: Trace::Off,
            scratch: Scratch::default(),
        };
        let ids: Vec<BrokerId> = (1..=cluster.brokers as i32).map(BrokerId).collect();
        for &id in &ids {
            simulation.add_host(id);
        }
        simulation.join(crate::zookeeper::NAME, Actor::ZooKeeper(Box::new(zookeeper::Machine::new())));
        simulation
            .join(admin::NAME, Actor::Client(Box::new(workload::Client::admin(Admin::new(simulation.brokers())))));
        simulation.start_zookeeper()?;
        for id in ids {
            simulation.start(id)?;
        }
        Ok(simulation)
    }

    /// A machine for a broker; nothing runs on it yet.
    fn add_host(&mut self, id: BrokerId) {
        let rack = match self.cluster.racks.len() {
            0 => None,
            racks => Some(self.cluster.racks[(id.0 - 1) as usize % racks].clone()),
        };
        let name = id.to_string();
        let mut settings = self.cluster.settings.clone();
        settings.extend(internal::for_brokers(self.cluster.brokers as usize, &settings));
        settings.extend(self.bugs.settings().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let config = BrokerConfig {
            registration: Registration { id, host: name.clone(), port: PORT, rack },
            cluster_id: "ottla-simulated-cluster".to_owned(),
            log_dir: format!("/var/lib/kafka/{name}"),
            seed: Seed(self.seed.stream(&name).next()),
            bugs: self.bugs,
            settings,
        };
        let host = Host {
            config,
            process: Process::Killed,
            incarnation: 0,
            disk: Disk::new(self.cluster.capacity.disk_bytes),
            zookeeper: Vec::new(),
            bytes_in: 0,
            bytes_out: 0,
            last_seen: Arc::default(),
        };
        let node = self.join(&name, Actor::Broker(Box::new(host)));
        self.network.add_machine(node);
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// Events so far.
    pub fn event(&self) -> u64 {
        self.event
    }

    /// What became of the expectations so far, in order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Invariants that did not hold so far, in order.
    pub fn violations(&self) -> &[Arc<Violation>] {
        self.checks.violations()
    }

    /// What this run has held so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The lines of the event log from that number on, as far as they are kept ([`View::LINES`](view::View::LINES)).
    pub fn lines_from(&self, seq: u64) -> impl Iterator<Item = &view::LogLine> {
        self.story.lines_from(seq)
    }

    /// Writes down what happens from here on.
    pub fn set_trace(&mut self, trace: Trace) {
        self.trace = trace;
    }

    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The scenario has other actions ahead; those that have happened are the same.
    pub(crate) fn set_actions(&mut self, actions: Arc<Vec<Timed>>) {
        self.actions = actions;
    }

    /// One event on, if there is one up to `until`. False if there is none; time then stands at `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        loop {
            let action = self.actions.get(self.done).map(|timed| timed.at);
            match (action, self.agenda.next()) {
                (Some(at), next) if at <= until && next.is_none_or(|next| at <= next) => {
                    self.next_action();
                    return true;
                }
                (_, Some(at)) if at <= until => {
                    let Some((_, what)) = self.agenda.pop() else { return false };
                    self.now = at;
                    if self.happen(what) {
                        self.event += 1;
                        self.act_late();
                        return true;
                    }
                }
                _ => {
                    self.now = self.now.max(until);
                    return false;
                }
            }
        }
    }

    /// When something next happens, or seems to.
    pub(crate) fn next(&self) -> Option<Instant> {
        let action = self.actions.get(self.done).map(|timed| timed.at);
        sooner(action, self.agenda.next())
    }

    /// Runs on to `until`, or until `max_events` more have happened; gives how many did.
    pub fn run(&mut self, until: Instant, max_events: u64) -> u64 {
        (0..max_events).take_while(|_| self.step(until)).count() as u64
    }

    /// Runs on to just before the events of `until`, then does what the scenario says for that instant.
    pub(crate) fn run_actions(&mut self, until: Instant) {
        let before = Instant::from_nanos(until.as_nanos().saturating_sub(1));
        while self.step(before) {}
        while self.actions.get(self.done).is_some_and(|timed| timed.at <= until) {
            self.next_action();
        }
        self.now = self.now.max(until);
    }

    fn next_action(&mut self) {
        let Timed { at, action, .. } = self.actions[self.done].clone();
        self.done += 1;
        self.event += 1;
        self.now = self.now.max(at);
        self.act(action);
    }

    /// False where it turns out to be of no consequence.
    fn happen(&mut self, what: What) -> bool {
        match what {
            What::Arrive(arrival) => self.arrive(arrival),
            What::Timer { node } => self.timer(node),
            What::Silence { conn } => self.silence(conn),
            What::Passed => self.passed(),
            What::Restart { producer } => self.restart(producer),
            What::Logged { incarnation } => self.logged(incarnation),
            What::Wrote { node, incarnation, log } => {
                let now = self.time_of(node);
                let Some(host) = self.host_mut(node, incarnation) else { return false };
                let Some(written) = host.disk.wrote(now, log) else { return false };
                self.written(node, log, written)
            }
            What::Synced { node, incarnation, log } => {
                let Some(host) = self.host_mut(node, incarnation) else { return false };
                let Some(flushed) = host.disk.synced(log) else { return false };
                self.tell_broker(node, flushed);
                true
            }
            What::Loaded { node, incarnation } => {
                let Some(host) = self.host_mut(node, incarnation) else { return false };
                let Some((read, bytes)) = host.disk.loaded() else { return false };
                self.tell_broker(node, broker::Event::Loaded { read, bytes });
                true
            }
            What::Worked { node, incarnation } => {
                let Some(host) = self.host_mut(node, incarnation) else { return false };
                let Some((work, done)) = host.disk.worked() else { return false };
                self.tell_broker(node, broker::Event::Worked { work, done: done.into() });
                true
            }
            What::Sealed { node, incarnation } => {
                let Some(host) = self.host_mut(node, incarnation) else { return false };
                let Some(seal) = host.disk.sealed() else { return false };
                self.tell_broker(node, broker::Event::Sealed { seal });
                true
            }
        }
    }

    fn timer(&mut self, node: NodeId) -> bool {
        let now = self.now;
        let slot = &mut self.nodes[node.0 as usize];
        if slot.timer != Some(now) {
            return false;
        }
        slot.timer = None;
        if slot.paused.is_some() {
            return false;
        }
        if slot.deadline().is_none_or(|deadline| deadline > now) {
            self.set_timer(node);
            return false;
        }
        match slot.actor {
            Actor::Broker(_) => self.tell_broker(node, broker::Event::Timer),
            Actor::ZooKeeper(_) => self.tell_zookeeper(crate::zookeeper::server::Event::Timer),
            Actor::Client(_) => self.tell_client(node, client::Event::Timer),
        }
        true
    }

    /// Steps a broker, if it runs, and carries out what it wants.
    fn tell_broker(&mut self, node: NodeId, event: broker::Event) {
        let now = self.time_of(node);
        let slot = &mut self.nodes[node.0 as usize];
        let Actor::Broker(host) = &mut slot.actor else { return };
        let Process::Running(broker) = &mut host.process else { return };
        if let Some(paused) = &mut slot.paused {
            return paused.inbox.push_back(Told::Broker(event));
        }
        if self.trace.is_on() {
            self.trace.line(now.instant, &slot.name, '<', &event);
        }
        self.story.broker_event(now.instant, &slot.name, &event);
        let mut out = std::mem::take(&mut self.scratch.broker);
        broker.step(now, event, &mut out);
        self.enact_all(node, out);
    }

    fn enact_all(&mut self, node: NodeId, mut out: Vec<broker::Effect>) {
        self.observe_decisions(node);
        // Moved once each: a drain moves what it gives twice more.
        for effect in &mut out {
            let effect = std::mem::replace(effect, broker::Effect::Stopped);
            if self.trace.is_on() {
                self.trace.line(self.now, &self.nodes[node.0 as usize].name, '>', &effect);
            }
            self.enact(node, effect);
        }
        out.clear();
        self.scratch.broker = out;
        self.observe_step(node);
        self.set_timer(node);
    }

    /// Steps a client, if it runs, and carries out what it wants.
    fn tell_client(&mut self, node: NodeId, event: client::Event) {
        let now = self.time_of(node);
        let slot = &mut self.nodes[node.0 as usize];
        let Actor::Client(client) = &mut slot.actor else { return };
        if !client.running {
            return;
        }
        if let Some(paused) = &mut slot.paused {
            return paused.inbox.push_back(Told::Client(event, self.said));
        }
        if self.trace.is_on() {
            self.trace.line(now.instant, &slot.name, '<', &event);
        }
        self.story.client_event(now.instant, &slot.name, &event);
        let mut out = std::mem::take(&mut self.scratch.client);
        client.app.step(now, event, &mut out);
        for effect in &mut out {
            if self.trace.is_on() {
                self.trace.line(self.now, &self.nodes[node.0 as usize].name, '>', effect);
            }
            match effect {
                // Nobody has to own a report.
                client::Effect::Report(report) => self.report(node, report),
                client::Effect::Wire(wire) => {
                    let wire = std::mem::replace(wire, Wire::Close { conn: ConnId::default() });
                    self.enact_wire(node, wire);
                }
            }
        }
        out.clear();
        self.scratch.client = out;
        self.set_timer(node);
    }

    /// Something happened on a connection that the node opened: clients do, and brokers that follow others.
    fn tell_as_client(&mut self, node: NodeId, event: client::Event) {
        match self.nodes[node.0 as usize].actor {
            Actor::Broker(_) => self.tell_broker(node, broker::Event::client(event)),
            Actor::Client(_) => self.tell_client(node, event),
            // It opens none.
            Actor::ZooKeeper(_) => {}
        }
    }

    /// Puts the node's next timer on the agenda, unless an earlier one stands there: that one looks again.
    fn set_timer(&mut self, node: NodeId) {
        let slot = &mut self.nodes[node.0 as usize];
        if slot.paused.is_some() {
            return;
        }
        let Some(deadline) = slot.deadline() else { return };
        let at = deadline.max(self.now + TICK);
        if slot.timer.is_none_or(|timer| at < timer) {
            slot.timer = Some(at);
            self.schedule(at, What::Timer { node });
        }
    }

    fn schedule(&mut self, at: Instant, what: What) {
        self.agenda.push(at, what);
    }

    /// What that node's clocks show.
    fn time_of(&self, node: NodeId) -> Now {
        let skew = self.nodes[node.0 as usize].skew;
        Now { instant: self.now, wall: Timestamp(EPOCH.0 + self.now.as_millis() as i64 + skew) }
    }

    fn join(&mut self, name: &str, actor: Actor) -> NodeId {
        let node = NodeId(self.nodes.len() as u32);
        let slot = Slot { name: name.into(), timer: None, paused: None, skew: 0, connections: Vec::new(), actor };
        self.nodes.push(slot);
        self.names.insert(name.to_owned(), node);
        node
    }

    fn name(&self, node: NodeId) -> &Arc<str> {
        &self.nodes[node.0 as usize].name
    }

    fn node(&self, name: &str) -> Result<NodeId, String> {
        self.names.get(name).copied().ok_or_else(|| format!("there is no {name}"))
    }

    fn hosts(&self) -> impl Iterator<Item = (NodeId, &Host)> {
        self.nodes.iter().enumerate().filter_map(|(node, slot)| match &slot.actor {
            Actor::Broker(host) => Some((NodeId(node as u32), &**host)),
            Actor::ZooKeeper(_) | Actor::Client(_) => None,
        })
    }

    fn host_node(&self, id: BrokerId) -> Result<NodeId, String> {
        self.node(&id.to_string())
    }

    fn host(&self, node: NodeId) -> Option<&Host> {
        match &self.nodes.get(node.0 as usize)?.actor {
            Actor::Broker(host) => Some(host),
            Actor::ZooKeeper(_) | Actor::Client(_) => None,
        }
    }

    /// `None` where nothing listens.
    fn machine(&self, node: NodeId) -> Option<Power> {
        Some(match &self.nodes.get(node.0 as usize)?.actor {
            Actor::Broker(host) => match host.process {
                Process::Running(_) => Power::Running,
                Process::Killed => Power::NoProcess,
                Process::Crashed => Power::Off,
            },
            Actor::ZooKeeper(machine) => match machine.process {
                zookeeper::Process::Running(_) => Power::Running,
                zookeeper::Process::Killed => Power::NoProcess,
                zookeeper::Process::Crashed => Power::Off,
            },
            Actor::Client(_) => return None,
        })
    }

    /// The machine, while that process runs on it.
    fn host_mut(&mut self, node: NodeId, incarnation: u32) -> Option<&mut Host> {
        match &mut self.nodes.get_mut(node.0 as usize)?.actor {
            Actor::Broker(host) if host.incarnation == incarnation => Some(host),
            _ => None,
        }
    }

    fn brokers(&self) -> Vec<client::Endpoint> {
        self.hosts().map(|(_, host)| host.endpoint()).collect()
    }

    /// Where that broker is found.
    fn endpoint(&self, id: BrokerId) -> Result<client::Endpoint, String> {
        let node = self.host_node(id)?;
        self.host(node).map(Host::endpoint).ok_or_else(|| format!("{id} is no broker"))
    }
}

impl Slot {
    fn connection(&self, own: ConnId) -> Option<ConnId> {
        self.connections.iter().find(|(one, _)| *one == own).map(|(_, conn)| *conn)
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.actor {
            Actor::Broker(host) => match &host.process {
                Process::Running(broker) => broker.deadline(),
                Process::Killed | Process::Crashed => None,
            },
            Actor::ZooKeeper(machine) => machine.deadline(),
            Actor::Client(client) if client.running => client.app.deadline(),
            Actor::Client(_) => None,
        }
    }
}

impl Host {
    fn id(&self) -> BrokerId {
        self.config.registration.id
    }

    fn endpoint(&self) -> client::Endpoint {
        let registration = &self.config.registration;
        client::Endpoint { host: registration.host.clone(), port: registration.port }
    }

    fn broker(&self) -> Option<&Broker> {
        match &self.process {
            Process::Running(broker) => Some(broker),
            Process::Killed | Process::Crashed => None,
        }
    }

    /// There is no process: of its replicas there is what lies on the disk.
    fn look_at_disk(&mut self) {
        let on_disk = |replica: &ReplicaView| {
            let directory = format!("{}-{}", replica.topic, replica.partition);
            let end = self.disk.end(&directory)?;
            let segments = self.disk.segments(&directory);
            // What was known of a batch the disk alone does not tell.
            let known = |batch: view::BatchView| {
                let before = replica.batches.binary_search_by_key(&batch.base_offset, |one| one.base_offset);
                let fate = before.map_or_else(|_| batch.fate, |at| replica.batches[at].fate);
                view::BatchView { fate, ..batch }
            };
            // What a machine's death has left would survive another one.
            let flushed = if matches!(self.process, Process::Crashed) { end } else { replica.flushed.min(end) };
            Some(ReplicaView {
                log_start: replica.log_start.min(end),
                end,
                high_watermark: replica.high_watermark.min(end),
                stable: replica.stable.min(end),
                flushed,
                bytes: segments.iter().map(|(_, bytes)| u64::from(*bytes)).sum(),
                segments: segments.len() as u32,
                batches: self.disk.newest(&directory, view::View::CELLS).into_iter().map(known).collect(),
                ..replica.clone()
            })
        };
        self.last_seen = self.last_seen.iter().filter_map(on_disk).collect();
    }
}

impl Clone for Scratch {
    /// Sinks are empty between two events.
    fn clone(&self) -> Self {
        Scratch::default()
    }
}
