//! `ottla serve`: brings the brokers up, and down again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow, bail};
use axum::extract::ws::Utf8Bytes;
use ottla_core::broker::{Broker, BrokerConfig, Event, Image};
use ottla_core::config::broker::BrokerSettings;
use ottla_core::id::BrokerId;
use ottla_core::log::checkpoint::{self, MetaProperties};
use ottla_core::protocol::cluster::Registration;
use ottla_core::rng::Seed;
use ottla_core::sim::view::View;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::config::ServeArgs;
use crate::connection::{self, Listener};
use crate::driver::{Clock, Driver, Handle, Inbox};
use crate::live::{Live, view};
use crate::metrics::AllMetrics;
use crate::peer::Peers;
use crate::storage::{self, CLEAN_SHUTDOWN, DataLock, Flusher, Storage};
use crate::zookeeper;

/// A server that runs.
pub struct Server {
    pub brokers: Vec<Handle>,
    pub registrations: Vec<Registration>,
    pub zookeeper: zookeeper::Handle,
    pub live: Arc<Live>,
    pub metrics: Arc<AllMetrics>,
    /// Views as JSON, made while someone subscribes.
    pub views: watch::Sender<Utf8Bytes>,
}

impl Server {
    pub fn broker(&self, id: BrokerId) -> Option<&Handle> {
        self.brokers.iter().find(|broker| broker.id == id)
    }

    /// A view of its own, rates left out.
    pub async fn view(&self) -> View {
        view::make(self, &mut view::Rates::default()).await
    }

    /// Fills in what is not counted as it happens.
    pub async fn measure(&self) {
        for broker in &self.brokers {
            let Some((replicas, parked)) = broker.look(|broker| (broker.replicas(), broker.parked())).await else {
                continue;
            };
            broker.metrics.partitions.set(replicas.len() as i64);
            broker.metrics.parked.set(i64::from(parked));
            broker.metrics.log_bytes.set(replicas.iter().map(|replica| replica.bytes as i64).sum());
            broker.metrics.log_segments.set(replicas.iter().map(|replica| i64::from(replica.segments)).sum());
        }
    }
}

pub fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = check(&args.settings)?;
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("ottla-").tempdir().context("cannot make a temporary directory")?),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned())).expect("one of both");
    let _lock = DataLock::take(&data)?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(&args, settings, &data));
    runtime.shutdown_background();
    result
}

async fn run(args: &ServeArgs, settings: BrokerSettings, data: &Path) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let listeners = bind(args).await?;
    let http = TcpListener::bind((args.host, args.http_port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", args.host, args.http_port))?;
    let clock = Clock::start();
    let live = Arc::new(Live::new(clock));
    let metrics = Arc::new(AllMetrics::default());

    let roots = (1..=listeners.len()).map(|id| data.join(format!("broker-{id}"))).collect::<Vec<_>>();
    let mut images = Vec::new();
    for root in &roots {
        images.push(storage::read(root)?);
    }
    let cluster_id = cluster_id(&images);
    let registrations = register(args, &listeners)?;
    for ((root, image), registration) in roots.iter().zip(&images).zip(&registrations) {
        identify(root, image, &cluster_id, registration.id)?;
    }
    let (inboxes, queues): (Vec<_>, Vec<_>) = registrations.iter().map(|_| channel()).unzip();
    let brokers = registrations
        .iter()
        .zip(&inboxes)
        .map(|(registration, inbox)| Handle {
            id: registration.id,
            inbox: inbox.clone(),
            live: live.clone(),
            metrics: Arc::new(metrics.broker(registration.id.0)),
        })
        .collect::<Vec<_>>();

    let (zookeeper, queue) = zookeeper::Handle::new();
    let mut keeper = zookeeper::Thread::start(data.join("zookeeper"), clock, live.clone(), queue)?;
    let mut threads = Vec::new();
    for (((handle, image), root), inbox) in brokers.iter().zip(images).zip(roots).zip(queues) {
        let config = BrokerConfig {
            registration: registrations[(handle.id.0 - 1) as usize].clone(),
            cluster_id: cluster_id.clone(),
            seed: Seed(Uuid::new_v4().as_u64_pair().0),
            settings: settings.set().clone(),
        };
        let flusher = {
            let inbox = handle.inbox.clone();
            Flusher::start(format!("flush-{}", handle.id.0), move |event| {
                let _ = inbox.send(Inbox::Event(event));
            })?
        };
        let mut effects = Vec::new();
        let broker = Broker::open(config, image, clock.now(), &mut effects)
            .map_err(|why| anyhow!("{} cannot start: {why}", handle.id))?;
        let peers = {
            let inbox = handle.inbox.clone();
            let tell = move |event| {
                let _ = inbox.send(Inbox::Event(Event::client(event)));
            };
            Peers::new(tokio::runtime::Handle::current(), Arc::new(tell))
        };
        let driver = Driver {
            id: handle.id,
            broker,
            storage: Storage::new(root, flusher),
            zookeeper: zookeeper.link(handle.inbox.clone()),
            clock,
            inbox,
            brokers: inboxes.clone(),
            runtime: tokio::runtime::Handle::current(),
            peers,
            live: live.clone(),
            connections: BTreeMap::new(),
            stopped: false,
            failed: None,
        };
        threads.push(BrokerThread::start(driver, effects)?);
    }
    introduce(&inboxes);

    let addresses = listeners.iter().map(|listener| listener.local_addr()).collect::<Result<Vec<_>, _>>()?;
    for (listener, handle) in listeners.into_iter().zip(&brokers) {
        let context = Arc::new(Listener {
            broker: handle.clone(),
            max_request_bytes: settings.socket_request_max_bytes,
            max_idle: settings.connections_max_idle,
            queue: Arc::new(Semaphore::new(settings.queued_max_requests.max(1) as usize)),
            room: Arc::new(Semaphore::new(settings.max_connections.max(1) as usize)),
        });
        tokio::spawn(accept(listener, context));
    }
    let page = http.local_addr()?;
    let views = watch::Sender::new(Utf8Bytes::default());
    let server = Arc::new(Server {
        brokers: brokers.clone(),
        registrations,
        zookeeper: zookeeper.clone(),
        live,
        metrics,
        views: views.clone(),
    });
    tokio::spawn(view::broadcast(server.clone(), views));
    tokio::spawn(crate::http::serve(http, server, args.page.clone()));
    announce(page, &addresses, args.data.as_deref(), data);

    tokio::select! {
        name = signals.next() => info!("{name}: stopping"),
        broker = ended(&mut threads) => {
            error!("{broker} ended; the others are stopped");
        }
        why = keeper.ended() => {
            error!("zookeeper ended ({why}); the brokers are stopped");
        }
    }
    stop(&brokers, threads, data, signals).await?;
    keeper.stop(&zookeeper).await
}

/// Kafka's names only, values that Kafka would take; what has no effect yet is said.
fn check(settings: &[(String, String)]) -> anyhow::Result<BrokerSettings> {
    let settings =
        BrokerSettings::parse(&settings.iter().cloned().collect()).map_err(|error| anyhow!("--set: {error}"))?;
    let without_effect = settings.without_effect().collect::<Vec<_>>();
    if !without_effect.is_empty() {
        warn!("accepted, without effect yet: {}", without_effect.join(", "));
    }
    Ok(settings)
}

async fn bind(args: &ServeArgs) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for index in 0..args.brokers {
        let port = match args.kafka_port {
            0 => 0,
            first => {
                first.checked_add(index).ok_or_else(|| anyhow!("there is no port {}", first as u32 + index as u32))?
            }
        };
        let address = SocketAddr::new(args.host, port);
        listeners.push(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?);
    }
    Ok(listeners)
}

/// Who the brokers are and where clients find them.
fn register(args: &ServeArgs, listeners: &[TcpListener]) -> anyhow::Result<Vec<Registration>> {
    let host = match &args.advertised_host {
        Some(host) => host.clone(),
        None if args.host.is_unspecified() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        None => args.host.to_string(),
    };
    let registration = |(index, listener): (usize, &TcpListener)| {
        let port = listener.local_addr()?.port();
        Ok(Registration { id: BrokerId(index as i32 + 1), host: host.clone(), port, rack: None })
    };
    listeners.iter().enumerate().map(registration).collect()
}

/// The one that the data directory was made with, or a new one.
fn cluster_id(images: &[Image]) -> String {
    let metas = images.iter().filter_map(|image| image.files.get(checkpoint::META));
    let known = metas.filter_map(|meta| checkpoint::parse_meta(meta).ok()).map(|meta| meta.cluster_id).next();
    known.unwrap_or_else(|| checkpoint::print_uuid(Uuid::new_v4()))
}

/// Writes whose directory it is where that is not known, and refuses one that is another broker's: its logs would be
/// lost from sight.
fn identify(root: &Path, image: &Image, cluster_id: &str, id: BrokerId) -> anyhow::Result<()> {
    let Some(text) = image.files.get(checkpoint::META) else {
        let meta =
            MetaProperties { cluster_id: cluster_id.to_owned(), node_id: id.0, directory_id: Some(Uuid::new_v4()) };
        let path = root.join(checkpoint::META);
        return fs::write(&path, checkpoint::print_meta(&meta))
            .with_context(|| format!("cannot write {}", path.display()));
    };
    let path = root.join(checkpoint::META);
    match checkpoint::parse_meta(text) {
        Ok(meta) if meta.node_id == id.0 && meta.cluster_id == cluster_id => Ok(()),
        Ok(meta) => bail!("{} is of node {} of cluster {}", path.display(), meta.node_id, meta.cluster_id),
        Err(error) => bail!("{} cannot be read: {error}", path.display()),
    }
}

/// All brokers live in this process: each is told that the others are up.
fn introduce(inboxes: &[Sender<Inbox>]) {
    for (to, inbox) in inboxes.iter().enumerate() {
        for id in (0..inboxes.len()).filter(|id| *id != to) {
            let _ = inbox.send(Inbox::Event(Event::Peer { id: BrokerId(id as i32 + 1), up: true }));
        }
    }
}

async fn accept(listener: TcpListener, context: Arc<Listener>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match context.room.clone().try_acquire_owned() {
                Ok(place) => {
                    let served = connection::serve(stream, peer, context.clone());
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(_) => warn!(%peer, "not accepted: max.connections are open"),
            },
            Err(error) => {
                // Out of descriptors, mostly: those in use end some time.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// The one line for people, and for tests.
fn announce(page: SocketAddr, brokers: &[SocketAddr], given: Option<&Path>, data: &Path) {
    let brokers = brokers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let kept = match given {
        Some(_) => format!("data in {}", data.display()),
        None => "data in a temporary directory".into(),
    };
    println!("Ottla: page on http://{page}, Kafka on {brokers}, {kept}");
}

struct BrokerThread {
    id: BrokerId,
    thread: Option<JoinHandle<()>>,
    /// `None` where it died.
    ended: tokio::sync::oneshot::Receiver<std::io::Result<PathBuf>>,
}

impl BrokerThread {
    fn start(driver: Driver, effects: Vec<ottla_core::broker::Effect>) -> std::io::Result<BrokerThread> {
        let (end, ended) = tokio::sync::oneshot::channel();
        let id = driver.id;
        let root = driver.storage.root().to_owned();
        let thread = thread::Builder::new().name(id.to_string()).spawn(move || {
            let result = driver.run(effects).map(|()| root);
            let _ = end.send(result);
        })?;
        Ok(BrokerThread { id, thread: Some(thread), ended })
    }
}

/// The first broker that ends unasked.
async fn ended(threads: &mut [BrokerThread]) -> BrokerId {
    let mut ends = threads.iter_mut().map(|thread| (thread.id, &mut thread.ended)).collect::<Vec<_>>();
    std::future::poll_fn(|context| {
        for (id, end) in &mut ends {
            if std::future::Future::poll(std::pin::Pin::new(&mut **end), context).is_ready() {
                return std::task::Poll::Ready(*id);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Asks every broker to stop, waits, and marks what was synced. A second signal waits for nothing.
async fn stop(brokers: &[Handle], threads: Vec<BrokerThread>, data: &Path, mut signals: Signals) -> anyhow::Result<()> {
    for broker in brokers {
        let _ = broker.send(Inbox::Event(Event::Stop { controlled: false }));
    }
    let all = async {
        let mut failed = Vec::new();
        for mut thread in threads {
            let result = if thread.ended.is_terminated() { None } else { (&mut thread.ended).await.ok() };
            if let Some(handle) = thread.thread.take() {
                let _ = handle.join();
            }
            match result {
                Some(Ok(root)) => {
                    // Kafka writes the broker's epoch; there is none without a controller quorum.
                    let marker = fs::write(root.join(CLEAN_SHUTDOWN), r#"{"version":0,"brokerEpoch":-1}"#);
                    marker.with_context(|| format!("cannot mark {}", root.display()))?;
                }
                Some(Err(error)) => failed.push(format!("{}: {error}", thread.id)),
                None => failed.push(format!("{} died", thread.id)),
            }
        }
        if !failed.is_empty() {
            bail!("not stopped cleanly: {}", failed.join(", "));
        }
        debug!(data = %data.display(), "stopped");
        Ok(())
    };
    tokio::select! {
        result = all => result,
        name = signals.next() => bail!("{name} again: stopped without waiting; recovery will check the logs"),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to terminate",
        }
    }
}

/// Every segment that is read keeps a file open: as many as the system allows.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
