//! One broker's machine: its port, its files, and the process over them, which can die, stand still and start again while
//! the others run.
//!
//! ```text
//! Down ── start ──▶ Running ⇄ Paused [pause, resume]
//!   ▲                  │
//!   └──────────────────┘ kill:  the process dies. Its sockets are reset, its port refuses; what it wrote stays
//!                        crash: the same, and with the machine goes what was not flushed
//!                        stop:  in order, with everything flushed
//!                        bury:  it died of itself: the broker cannot go on and says why, or its thread panicked
//! ```
//!
//! 1. One fault at a time: [`Server::acting`](crate::serve::Server) sees to that.
//! 2. When `kill`, `crash` or `stop` is done, no thread and no connection of the process is left.
//! 3. Every process that ends is told to [`Site::deaths`]: who ended unasked is found there, and buried. The other brokers
//!    go on, as those of other machines would; a panic too is one broker's death ([`crate::driver`]).

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ottla_core::broker::{Broker, BrokerConfig, Event, Image};
use ottla_core::client::Endpoint;
use ottla_core::config::ConnectionLimits;
use ottla_core::config::broker::BrokerSettings;
use ottla_core::id::BrokerId;
use ottla_core::log::checkpoint::{self, MetaProperties};
use ottla_core::protocol::cluster::Registration;
use ottla_core::quota::arrivals::ArrivalRates;
use ottla_core::rng::Seed;
use ottla_core::view::{BrokerView, Health};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use crate::connection::Listener;
use crate::driver::{Clock, Driver, Ended, Handle, Inbox};
use crate::exchange::{Exchange, Node};
use crate::listen::{Listening, Port};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::peer::Peers;
use crate::storage::{self, CLEAN_SHUTDOWN, Flusher, Ledger, Loss, Storage};
use crate::zookeeper::{self, Link};

/// A process that is asked to stop, and has not after so long, is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the brokers of a server share.
pub struct Site {
    pub clock: Clock,
    pub live: Arc<Live>,
    pub exchange: Arc<Exchange>,
    pub settings: BrokerSettings,
    pub cluster_id: String,
    pub zookeeper: zookeeper::Handle,
    pub deaths: UnboundedSender<BrokerId>,
}

pub struct Host {
    pub registration: Registration,
    pub metrics: Arc<Metrics>,
    root: PathBuf,
    port: Port,
    site: Arc<Site>,
    /// What of the files would survive the machine.
    ledger: Arc<Ledger>,
    ailments: Mutex<Ailments>,
    process: Mutex<Process>,
}

/// What is wrong with a machine, whatever runs on it.
#[derive(Clone, Copy, Default)]
pub struct Ailments {
    /// Every write, sync and read takes so much longer.
    pub slow_disk: Duration,
    pub full_disk: bool,
    /// So far is its wall clock ahead.
    pub skew_millis: i64,
}

enum Process {
    Running(Running),
    /// As it was last.
    Down(Box<BrokerView>),
}

pub struct Running {
    handle: Handle,
    listening: Listening,
    paused: bool,
    died: Arc<AtomicBool>,
    /// Its thread has ended.
    over: Arc<AtomicBool>,
    ended: JoinHandle<Ended>,
}

impl Running {
    fn dies(&self) {
        self.listening.breaks();
        self.died.store(true, Ordering::Release);
        let _ = self.handle.send(Inbox::Died);
    }
}

impl Host {
    pub fn new(registration: Registration, metrics: Arc<Metrics>, root: PathBuf, port: Port, site: Arc<Site>) -> Host {
        let down = Box::new(down(&registration));
        Host {
            registration,
            metrics,
            root,
            port,
            site,
            ledger: Arc::default(),
            ailments: Mutex::default(),
            process: Mutex::new(Process::Down(down)),
        }
    }

    pub fn id(&self) -> BrokerId {
        self.registration.id
    }

    /// Where its clients connect.
    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The process, if there is one.
    pub fn broker(&self) -> Option<Handle> {
        match &*self.process() {
            Process::Running(running) => Some(running.handle.clone()),
            Process::Down(_) => None,
        }
    }

    pub fn health(&self) -> Health {
        match &*self.process() {
            Process::Running(Running { paused: true, .. }) => Health::Paused,
            Process::Running(_) => Health::Running,
            Process::Down(_) => Health::Dead,
        }
    }

    /// What a process that is gone was last.
    pub fn last_seen(&self) -> BrokerView {
        match &*self.process() {
            Process::Running(_) => down(&self.registration),
            Process::Down(view) => (**view).clone(),
        }
    }

    /// What is wrong with the machine, in words.
    pub fn faults(&self) -> Vec<String> {
        let Ailments { slow_disk, full_disk, skew_millis } = *self.ailments();
        let skew = Duration::from_millis(skew_millis.unsigned_abs());
        let words = [
            full_disk.then(|| "its disk is full".to_owned()),
            (!slow_disk.is_zero()).then(|| format!("its disk takes {slow_disk:?} longer")),
            (skew_millis != 0)
                .then(|| format!("its clock is {skew:?} {}", if skew_millis < 0 { "behind" } else { "ahead" })),
        ];
        words.into_iter().flatten().chain(self.site.exchange.faults(self.id())).collect()
    }

    /// Starts the process over what is in its files.
    pub async fn start(&self) -> anyhow::Result<()> {
        if self.broker().is_some() {
            bail!("{} is running", self.id());
        }
        let root = self.root.clone();
        let image = spawn_blocking(move || storage::read(&root)).await??;
        self.run(image)
    }

    /// Starts the process over what was found in its files.
    pub fn run(&self, image: Image) -> anyhow::Result<()> {
        let (id, site) = (self.id(), &self.site);
        identify(&self.root, &image, &site.cluster_id, id)?;
        self.ledger.found(&self.root, &image);
        let (inbox, queue) = channel();
        let handle = Handle { id, inbox: inbox.clone(), live: site.live.clone(), metrics: self.metrics.clone() };
        let flusher = {
            let inbox = inbox.clone();
            Flusher::start(format!("flush-{}", id.0), self.ledger.clone(), move |event| {
                let _ = inbox.send(Inbox::Event(event));
            })?
        };
        let config = BrokerConfig {
            registration: self.registration.clone(),
            cluster_id: site.cluster_id.clone(),
            log_dir: std::path::absolute(&self.root)?.display().to_string(),
            bugs: ottla_core::bug::Bugs::default(),
            seed: Seed(Uuid::new_v4().as_u64_pair().0),
            settings: site.settings.layers().given.clone(),
        };
        let mut effects = Vec::new();
        let broker = Broker::open(config, image, site.clock.now(), &mut effects)
            .map_err(|why| anyhow!("{id} cannot start: {why}"))?;
        let limits = watch::Sender::new(site.settings.connections.clone());
        let rates = watch::Sender::new(ArrivalRates::default());
        let listening = self.listen(&handle, limits.subscribe(), rates.subscribe())?;
        let peers = {
            let (site, inbox) = (site.clone(), inbox.clone());
            let listen = move |event| {
                let _ = inbox.send(Inbox::Event(Event::client(event)));
            };
            let route = move |to: &Endpoint| site.exchange.route(id, to);
            Peers::new(tokio::runtime::Handle::current(), Arc::new(route), Arc::new(listen))
        };
        let died = Arc::new(AtomicBool::new(false));
        let mut driver = Driver {
            id,
            broker,
            storage: Storage::new(self.root.clone(), flusher, self.ledger.clone(), site.clock),
            zookeeper: Link {
                runtime: tokio::runtime::Handle::current(),
                address: site.zookeeper.address,
                there: site.exchange.way(Node::Broker(id), Node::ZooKeeper),
                back: site.exchange.way(Node::ZooKeeper, Node::Broker(id)),
                broker: inbox.clone(),
                open: BTreeMap::new(),
            },
            clock: site.clock,
            inbox: queue,
            own: inbox,
            exchange: site.exchange.clone(),
            runtime: tokio::runtime::Handle::current(),
            peers,
            live: site.live.clone(),
            connections: BTreeMap::new(),
            limits,
            rates,
            stopped: false,
            kept: VecDeque::new(),
            paused: false,
            died: died.clone(),
            failed: None,
        };
        driver.ail(*self.ailments());
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name(id.to_string()).spawn(move || {
            let _ = end.send(driver.run(effects));
        })?;
        let over = Arc::new(AtomicBool::new(false));
        let (ends, deaths) = (over.clone(), site.deaths.clone());
        let ended = tokio::spawn(async move {
            let ended = ended.await.expect("a driver says how it ended");
            ends.store(true, Ordering::Release);
            // (3)
            let _ = deaths.send(id);
            ended
        });
        *self.process() = Process::Running(Running { handle, listening, paused: false, died, over, ended });
        self.site.live.changed();
        Ok(())
    }

    fn listen(
        &self,
        handle: &Handle,
        limits: watch::Receiver<ConnectionLimits>,
        rates: watch::Receiver<ArrivalRates>,
    ) -> anyhow::Result<Listening> {
        let settings = &self.site.settings;
        let context = Arc::new(Listener {
            broker: handle.clone(),
            exchange: self.site.exchange.clone(),
            max_request_bytes: settings.socket_request_max_bytes,
            max_idle: settings.connections_max_idle,
            queue: Arc::new(Semaphore::new(settings.queued_max_requests.max(1) as usize)),
            limits,
            rates,
            windows: settings.quota_windows,
            receive_buffer: settings.socket_receive_buffer,
            send_buffer: settings.socket_send_buffer,
            broken: AtomicBool::new(false),
            still: AtomicBool::new(false),
        });
        self.port.listen(context).with_context(|| format!("cannot listen on {}", self.port.address))
    }

    /// The process dies.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let running = self.take()?;
        running.dies();
        self.buried(running.ended.await?, running.listening).await;
        Ok(())
    }

    /// The machine dies; gives what is lost with it.
    pub async fn crash(&self) -> anyhow::Result<Vec<Loss>> {
        self.kill().await?;
        let (ledger, root) = (self.ledger.clone(), self.root.clone());
        let lost =
            spawn_blocking(move || ledger.crash(&root).and_then(|lost| storage::crashed(&root).map(|()| lost))).await?;
        lost.with_context(|| format!("cannot cut {} back", self.root.display()))
    }

    /// A process that has ended unasked is gone; gives why it ended, or `None` where there is none such. (3)
    pub async fn bury(&self) -> Option<String> {
        let is_over = match &*self.process() {
            Process::Running(running) => running.over.load(Ordering::Acquire),
            Process::Down(_) => false,
        };
        let running = if is_over { self.take().ok()? } else { return None };
        running.listening.breaks();
        let ended = match running.ended.await {
            Ok(ended) => self.buried(ended, running.listening).await,
            Err(error) => return Some(error.to_string()),
        };
        Some(ended.result.err().map_or_else(|| "it stopped unasked".to_owned(), |error| error.to_string()))
    }

    /// The process is asked to stop, and does; one that takes too long dies.
    pub async fn stop(&self) -> anyhow::Result<()> {
        if self.health() == Health::Paused {
            bail!("{} stands still: it does not hear that it is to stop", self.id());
        }
        let mut running = self.take()?;
        let _ = running.handle.send(Inbox::Event(Event::Stop { controlled: true }));
        match tokio::time::timeout(PATIENCE, &mut running.ended).await {
            Ok(ended) => self.stopped(ended?, running.listening).await,
            Err(_) => {
                running.dies();
                self.buried(running.ended.await?, running.listening).await;
                bail!("{} did not stop within {} s, and was killed", self.id(), PATIENCE.as_secs())
            }
        }
    }

    /// Tells it that all brokers stop, so that there is nobody to hand anything to; `None` where it does not run. What ails it
    /// ends.
    pub fn stop_with_all(&self) -> Option<Running> {
        self.ail(|ailments| ailments.slow_disk = Duration::ZERO);
        self.resume();
        let running = self.take().ok()?;
        let _ = running.handle.send(Inbox::Event(Event::Stop { controlled: false }));
        Some(running)
    }

    /// Waits until it has stopped, however long that takes.
    pub async fn finish(&self, running: Running) -> anyhow::Result<()> {
        self.stopped(running.ended.await?, running.listening).await
    }

    /// Marks that all is synced.
    async fn stopped(&self, ended: Ended, listening: Listening) -> anyhow::Result<()> {
        self.buried(ended, listening).await.result.with_context(|| self.id().to_string())?;
        // Kafka writes the broker's epoch; there is none without a controller quorum.
        let marker = fs::write(self.root.join(CLEAN_SHUTDOWN), r#"{"version":0,"brokerEpoch":-1}"#);
        marker.with_context(|| format!("cannot mark {}", self.root.display()))
    }

    /// The process stands still, as by SIGSTOP.
    pub async fn pause(&self) -> anyhow::Result<()> {
        let Some(handle) = self.broker() else { bail!("{} is not running", self.id()) };
        let (told, stands) = oneshot::channel();
        if self.set_paused(true) && handle.send(Inbox::Pause(told)).is_ok() {
            return stands.await.map_err(|_| anyhow!("{} died", self.id()));
        }
        bail!("{} stands still", self.id())
    }

    /// It goes on. False where it did not stand still.
    pub fn resume(&self) -> bool {
        let stood = self.set_paused(false);
        if stood && let Some(handle) = self.broker() {
            let _ = handle.send(Inbox::Resume);
        }
        stood
    }

    /// False where that changes nothing.
    fn set_paused(&self, paused: bool) -> bool {
        match &mut *self.process() {
            Process::Running(running) if running.paused != paused => {
                running.paused = paused;
                running.listening.stands_still(paused);
                true
            }
            _ => false,
        }
    }

    /// What is wrong with the machine changes.
    pub fn ail(&self, change: impl FnOnce(&mut Ailments)) {
        let mut ailments = self.ailments();
        change(&mut ailments);
        if let Some(handle) = self.broker() {
            let _ = handle.send(Inbox::Ail(*ailments));
        }
    }

    /// The disk of a machine that is down is empty.
    pub fn wipe(&self) -> anyhow::Result<()> {
        if self.broker().is_some() {
            bail!("{} is running", self.id());
        }
        let wiped = fs::remove_dir_all(&self.root).and_then(|()| fs::create_dir(&self.root));
        self.ledger.gone(&self.root);
        *self.process() = Process::Down(Box::new(down(&self.registration)));
        wiped.with_context(|| format!("cannot empty {}", self.root.display()))
    }

    /// From here on there is no process to be found.
    fn take(&self) -> anyhow::Result<Running> {
        let mut process = self.process();
        match std::mem::replace(&mut *process, Process::Down(Box::new(down(&self.registration)))) {
            Process::Running(running) => Ok(running),
            before => {
                *process = before;
                bail!("{} is not running", self.id())
            }
        }
    }

    /// (2)
    async fn buried(&self, ended: Ended, listening: Listening) -> Ended {
        listening.close().await;
        self.site.live.let_go(self.id());
        if let Some(view) = ended.view.clone() {
            let view = BrokerView { health: Health::Dead, connections: 0, parked: 0, ..view };
            *self.process() = Process::Down(Box::new(view));
        }
        self.site.live.changed();
        ended
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect("not poisoned")
    }

    fn ailments(&self) -> MutexGuard<'_, Ailments> {
        self.ailments.lock().expect("not poisoned")
    }
}

/// A broker of which only its name is known.
fn down(registration: &Registration) -> BrokerView {
    BrokerView {
        id: registration.id.0,
        name: registration.id.to_string(),
        host: registration.host.clone(),
        port: registration.port,
        rack: registration.rack.clone(),
        health: Health::Dead,
        ..BrokerView::default()
    }
}

/// Writes whose directory it is where that is not known, and refuses one that is another broker's: its logs would be
/// lost from sight.
fn identify(root: &Path, image: &Image, cluster_id: &str, id: BrokerId) -> anyhow::Result<()> {
    let path = root.join(checkpoint::META);
    let Some(text) = image.files.get(checkpoint::META) else {
        let meta =
            MetaProperties { cluster_id: cluster_id.to_owned(), node_id: id.0, directory_id: Some(Uuid::new_v4()) };
        return fs::write(&path, checkpoint::print_meta(&meta))
            .with_context(|| format!("cannot write {}", path.display()));
    };
    match checkpoint::parse_meta(text) {
        Ok(meta) if meta.node_id == id.0 && meta.cluster_id == cluster_id => Ok(()),
        Ok(meta) => bail!("{} is of node {} of cluster {}", path.display(), meta.node_id, meta.cluster_id),
        Err(error) => bail!("{} cannot be read: {error}", path.display()),
    }
}
