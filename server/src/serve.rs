//! `ottla serve`: brings the brokers up, and down again.
//!
//! 1. A broker that dies of itself is told of and is down, as after `kill`; the others go on, and `start` brings it back.
//!    When none is left the server ends, and fails: whoever watches over it starts it anew.
//! 2. ZooKeeper is the memory of all: where it ends, all end. No broker starts before its files are read.
//! 3. Topics that lie in the brokers' directories are not lost from sight: where ZooKeeper has no cluster at all, nothing
//!    starts. (Kafka's broker refuses such a ZooKeeper too: its new cluster id is not that of `meta.properties`.)

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::extract::ws::Utf8Bytes;
use ottla_core::broker::{Broker, Image};
use ottla_core::config::broker::BrokerSettings;
use ottla_core::config::internal;
use ottla_core::id::BrokerId;
use ottla_core::log::checkpoint;
use ottla_core::protocol::cluster::Registration;
use ottla_core::protocol::znode;
use ottla_core::vec_map::VecMap;
use ottla_core::view::Level;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::config::ServeArgs;
use crate::descriptors;
use crate::driver::{Clock, Handle};
use crate::exchange::Exchange;
use crate::host::{Host, Site};
use crate::listen::Port;
use crate::live::{Live, view};
use crate::metrics::AllMetrics;
use crate::storage::{self, DataLock};
use crate::zookeeper;

/// Until the brokers are connected with each other.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_micros(500);
/// Names that a message lists.
const MOST_NAMES: usize = 20;

/// A server that runs.
pub struct Server {
    /// In the order of their ids, from 1 on.
    pub hosts: Vec<Host>,
    pub exchange: Arc<Exchange>,
    pub zookeeper: zookeeper::Handle,
    pub live: Arc<Live>,
    pub metrics: Arc<AllMetrics>,
    /// Views as JSON, made while someone subscribes.
    pub views: watch::Sender<Utf8Bytes>,
    /// Held by whoever breaks something or puts it right, and at the end by whoever stops the brokers.
    pub acting: Mutex<()>,
}

impl Server {
    pub fn host(&self, id: BrokerId) -> Option<&Host> {
        self.hosts.iter().find(|host| host.id() == id)
    }

    /// The broker, if its process runs.
    pub fn broker(&self, id: BrokerId) -> Option<Handle> {
        self.host(id)?.broker()
    }

    /// Fills in what is not counted as it happens.
    pub async fn measure(&self) {
        let mut usage = Vec::new();
        for host in &self.hosts {
            let Some(broker) = host.broker() else { continue };
            let now = self.live.clock.instant();
            let look = move |broker: &Broker| (broker.replicas(), broker.parked(), broker.usage(now));
            let Some((replicas, parked, used)) = broker.look(look).await else { continue };
            usage.push((host.id().0, used));
            broker.metrics.partitions.set(replicas.len() as i64);
            broker.metrics.parked.set(i64::from(parked));
            broker.metrics.log_bytes.set(replicas.iter().map(|replica| replica.bytes as i64).sum());
            broker.metrics.log_segments.set(replicas.iter().map(|replica| i64::from(replica.segments)).sum());
        }
        self.metrics.usage(&usage);
    }
}

pub fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = check(&args.settings, args.brokers)?;
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("ottla-").tempdir().context("cannot make a temporary directory")?),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned())).expect("one of both");
    refuse_kafkas(&data)?;
    let _lock = DataLock::take(&data)?;
    descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(&args, settings, &data));
    runtime.shutdown_background();
    result
}

/// A log directory of Kafka's own is not taken for an empty one: the brokers' directories are below, and Kafka does not start
/// any more where there are others than its own.
fn refuse_kafkas(data: &Path) -> anyhow::Result<()> {
    let meta = data.join(checkpoint::META);
    if meta.exists() {
        bail!(
            "{} is of a log directory of Kafka's: Ottla keeps each broker's logs in a directory below, such as {}. Give it \
             a directory of its own",
            meta.display(),
            data.join("broker-1").display()
        );
    }
    Ok(())
}

async fn run(args: &ServeArgs, settings: BrokerSettings, data: &Path) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let http = TcpListener::bind((args.http_host, args.http_port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", args.http_host, args.http_port))?;
    if !args.http_host.is_loopback() {
        warn!("the page listens on {}: whoever reaches it can stop brokers and delete what they hold", args.http_host);
    }
    let (server, mut keeper, deaths) = bring_up(args, settings, data).await?;
    let (last, mut none_left) = oneshot::channel();
    tokio::spawn(bury(server.clone(), deaths, last));
    // Each is connected with the others, and has heard that all are registered, before anyone is told where to find them:
    // who makes a topic at once finds as many brokers as there are.
    let ready = async {
        server.exchange.complete().await;
        all_registered(&server.hosts).await;
    };
    let mut why = tokio::select! {
        ready = tokio::time::timeout(PATIENCE, ready) => {
            if ready.is_err() {
                warn!("not all brokers are registered after {} s: topics are made of those that are", PATIENCE.as_secs());
            }
            None
        }
        ended = ended(&mut none_left, &mut keeper) => Some(ended),
    };
    if why.is_none() {
        let page = http.local_addr()?;
        tokio::spawn(view::broadcast(server.clone(), server.views.clone()));
        tokio::spawn(crate::http::serve(http, server.clone(), args.page.clone()));
        announce(page, &server, args.data.as_deref(), data);
        why = tokio::select! {
            name = signals.next() => {
                info!("{name}: stopping");
                None
            }
            ended = ended(&mut none_left, &mut keeper) => Some(ended),
        };
    }
    if let Some(why) = &why {
        error!("{why}: the server stops");
    }
    let zookeeper = server.zookeeper.clone();
    let stopped = stop(server, data, signals).await;
    let kept = keeper.stop(&zookeeper).await;
    match why {
        Some(why) => bail!("{why}"),
        None => stopped.and(kept),
    }
}

/// Why nothing can go on.
async fn ended(none_left: &mut oneshot::Receiver<String>, keeper: &mut zookeeper::Thread) -> String {
    tokio::select! {
        Ok(last) = none_left => format!("no broker is left ({last})"),
        why = keeper.ended() => format!("zookeeper ended ({why})"),
    }
}

/// Starts everything but the page; gives ZooKeeper's thread, and who has died.
async fn bring_up(
    args: &ServeArgs,
    settings: BrokerSettings,
    data: &Path,
) -> anyhow::Result<(Arc<Server>, zookeeper::Thread, UnboundedReceiver<BrokerId>)> {
    let ports = hold(args)?;
    let keeper = TcpListener::bind((Ipv4Addr::LOCALHOST, args.zookeeper_port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", Ipv4Addr::LOCALHOST, args.zookeeper_port))?;
    let clock = Clock::start();
    let live = Arc::new(Live::new(clock));
    let metrics = Arc::new(AllMetrics::default());

    let roots = (1..=ports.len()).map(|id| data.join(format!("broker-{id}"))).collect::<Vec<_>>();
    let images = roots.iter().map(|root| storage::read(root)).collect::<Result<Vec<_>, _>>()?;
    let registrations = register(args, &ports);
    let session = settings.broker_session_timeout;
    let found = registrations.iter().cloned().zip(ports.iter().map(within)).collect();
    let runtime = tokio::runtime::Handle::current();
    let exchange = Exchange::new(found, session, runtime, live.clone());
    let (deaths, died) = unbounded_channel();
    let (zookeeper, queue) = zookeeper::Handle::new(keeper.local_addr()?);
    let most = registrations.len() + zookeeper::listen::MAX_CLIENTS;
    tokio::spawn(zookeeper::listen::accept(keeper, zookeeper.clone(), most));
    let mut thread = zookeeper::Thread::start(data.join("zookeeper"), clock, live.clone(), queue)?;
    // (2)
    thread.opened().await?;
    let kept = zookeeper.look(|server| server.tree().get(znode::CLUSTER_ID).ok().and_then(|znode| znode.data.clone()));
    let cluster_id = cluster_id(&images, kept.await.flatten().as_deref(), data)?;
    let site = Site {
        clock,
        live: live.clone(),
        exchange: exchange.clone(),
        settings,
        cluster_id,
        zookeeper: zookeeper.clone(),
        deaths,
    };
    let site = Arc::new(site);

    let hosts = registrations.into_iter().zip(roots).zip(ports).map(|((registration, root), port)| {
        let metrics = Arc::new(metrics.broker(registration.id.0));
        Host::new(registration, metrics, root, port, site.clone())
    });
    let hosts = hosts.collect::<Vec<_>>();
    for (host, image) in hosts.iter().zip(images) {
        host.run(image)?;
    }
    let views = watch::Sender::new(Utf8Bytes::default());
    let server = Server { hosts, exchange, zookeeper, live, metrics, views, acting: Mutex::default() };
    Ok((Arc::new(server), thread, died))
}

/// Tells of every broker that dies of itself, and that none is left. (1)
async fn bury(server: Arc<Server>, mut deaths: UnboundedReceiver<BrokerId>, last: oneshot::Sender<String>) {
    while let Some(id) = deaths.recv().await {
        let _acting = server.acting.lock().await;
        let Some(host) = server.host(id) else { continue };
        let Some(why) = host.bury().await else { continue };
        error!(broker = %id, "cannot go on, and is dead: {why}");
        server.live.say(&id.to_string(), format!("cannot go on, and is dead: {why}"), Level::Bad);
        if server.hosts.iter().all(|host| host.broker().is_none()) {
            let _ = last.send(format!("{id}: {why}"));
            return;
        }
        error!("the other brokers go on; ottla do 'start {id}' brings it back");
    }
}

/// Ends when every broker knows of all.
async fn all_registered(hosts: &[Host]) {
    for host in hosts {
        let all = hosts.len();
        let knows = async || match host.broker() {
            Some(broker) => {
                broker.look(move |broker| broker.cluster_state().brokers.len() == all).await.unwrap_or(true)
            }
            None => true,
        };
        while !knows().await {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Kafka's names only, values that Kafka would take; what has no effect yet is said, and what is set because there are
/// fewer brokers than Kafka's defaults ask for.
fn check(settings: &[(String, String)], brokers: u16) -> anyhow::Result<BrokerSettings> {
    let mut set: VecMap<String, String> = settings.iter().cloned().collect();
    let fewer = internal::for_brokers(brokers.into(), &set);
    if !fewer.is_empty() {
        let words: Vec<String> = fewer.iter().map(|(name, value)| format!("{name}={value}")).collect();
        info!("with {brokers} broker(s): {}", words.join(", "));
    }
    set.extend(fewer);
    let settings = BrokerSettings::parse(&set).map_err(|error| anyhow!("--set: {error}"))?;
    let without_effect = settings.without_effect().collect::<Vec<_>>();
    if !without_effect.is_empty() {
        warn!("accepted, without effect yet: {}", without_effect.join(", "));
    }
    Ok(settings)
}

fn hold(args: &ServeArgs) -> anyhow::Result<Vec<Port>> {
    let mut ports = Vec::new();
    for index in 0..args.brokers {
        let port = match args.kafka_port {
            0 => 0,
            first => {
                first.checked_add(index).ok_or_else(|| anyhow!("there is no port {}", first as u32 + index as u32))?
            }
        };
        let address = SocketAddr::new(args.host, port);
        ports.push(Port::hold(address).with_context(|| format!("cannot listen on {address}"))?);
    }
    Ok(ports)
}

/// Who the brokers are and where clients find them.
fn register(args: &ServeArgs, ports: &[Port]) -> Vec<Registration> {
    let host = match &args.advertised_host {
        Some(host) => host.clone(),
        None if args.host.is_unspecified() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        None => args.host.to_string(),
    };
    let mut racks = args.racks.iter().cycle().cloned();
    let registration = |(id, port): (i32, &Port)| Registration {
        id: BrokerId(id),
        host: host.clone(),
        port: port.address.port(),
        rack: racks.next(),
    };
    (1..).zip(ports).map(registration).collect()
}

/// Where the others of this process reach that broker, whatever it advertises to clients.
fn within(port: &Port) -> SocketAddr {
    let mut address = port.address;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The one that the data directory was made with, or a new one; `kept` is what ZooKeeper has of it.
fn cluster_id(images: &[Image], kept: Option<&[u8]>, data: &Path) -> anyhow::Result<String> {
    let metas = images.iter().filter_map(|image| image.files.get(checkpoint::META));
    let known = metas.filter_map(|meta| checkpoint::parse_meta(meta).ok()).map(|meta| meta.cluster_id).next();
    let Some(kept) = kept else {
        // (3)
        let logs = images.iter().flat_map(|image| image.logs.keys());
        let topics = logs.filter_map(|log| log.rsplit_once('-')).map(|(topic, _)| topic).collect::<BTreeSet<_>>();
        if !topics.is_empty() {
            let (count, data) = (topics.len(), data.display());
            let mut names = topics.into_iter().take(MOST_NAMES).collect::<Vec<_>>().join(", ");
            if count > MOST_NAMES {
                names += ", …";
            }
            bail!(
                "ZooKeeper's files in {data}/zookeeper know of no cluster, but the brokers' directories in {data} hold \
                 {count} topic(s): {names}. To start would be to begin an empty cluster, and to lose them from sight. Put \
                 back {data}/zookeeper as it was; or move {data}/broker-* away, and an empty cluster begins"
            );
        }
        return Ok(known.unwrap_or_else(|| checkpoint::print_uuid(Uuid::new_v4())));
    };
    match known {
        Some(known) => Ok(known),
        None => znode::parse_cluster_id(kept).map_err(|why| anyhow!("{data}/zookeeper: {why}", data = data.display())),
    }
}

/// The one line for people, and for tests.
fn announce(page: SocketAddr, server: &Server, given: Option<&Path>, data: &Path) {
    let brokers = server.hosts.iter().map(|host| host.address().to_string()).collect::<Vec<_>>().join(",");
    let kept = match given {
        Some(_) => format!("data in {}", data.display()),
        None => "data in a temporary directory".into(),
    };
    let zookeeper = server.zookeeper.address;
    // Who has gone away needs no address.
    let _ = writeln!(
        std::io::stdout(),
        "Ottla: page on http://{page}, Kafka on {brokers}, ZooKeeper on {zookeeper}, {kept}"
    );
}

/// Asks every broker that runs to stop, waits, and marks what was synced. A second signal waits for nothing.
async fn stop(server: Arc<Server>, data: &Path, mut signals: Signals) -> anyhow::Result<()> {
    let all = async {
        let _acting = server.acting.lock().await;
        // All of them hear of it before the first has gone.
        let running = server.hosts.iter().map(Host::stop_with_all).collect::<Vec<_>>();
        let mut ends = JoinSet::new();
        for (index, running) in running.into_iter().enumerate() {
            let (server, Some(running)) = (server.clone(), running) else { continue };
            ends.spawn(async move { server.hosts[index].finish(running).await });
        }
        let failed = ends.join_all().await.into_iter().filter_map(Result::err);
        let failed = failed.map(|error| format!("{error:#}")).collect::<Vec<_>>();
        if !failed.is_empty() {
            bail!("not stopped cleanly: {}", failed.join(", "));
        }
        debug!(data = %data.display(), "stopped");
        Ok(())
    };
    tokio::select! {
        result = all => result,
        name = signals.again() => bail!("{name} again: stopped without waiting; recovery will check the logs"),
    }
}

/// A signal that follows another so soon is the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Another one, and not the same twice: `timeout` signals a process and then its group.
    async fn again(&mut self) -> &'static str {
        let begin = std::time::Instant::now();
        loop {
            let name = self.next().await;
            if begin.elapsed() > SAME_SIGNAL {
                return name;
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to terminate",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ottla_core::view::Health;

    use super::*;
    use crate::driver::Inbox;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        serve: ServeArgs,
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_panics_is_dead_and_the_others_go_on_until_none_is_left() {
        let data = tempfile::tempdir().unwrap();
        let args = Flags::parse_from(["serve", "--brokers", "2", "--kafka-port", "0"]).serve;
        let settings = check(&[], args.brokers).unwrap();
        let (server, keeper, deaths) = bring_up(&args, settings, data.path()).await.unwrap();
        let (last, mut none_left) = oneshot::channel();
        tokio::spawn(bury(server.clone(), deaths, last));
        let panics = async |id: usize| {
            let broker = server.hosts[id - 1].broker().unwrap();
            let _ = broker.send(Inbox::Look(Box::new(|_| panic!("on purpose"))));
            while server.hosts[id - 1].broker().is_some() {
                tokio::time::sleep(POLL).await;
            }
        };
        panics(2).await;
        assert_eq!(server.hosts[1].health(), Health::Dead);
        let others = server.hosts[0].broker().unwrap();
        assert_eq!(others.look(|broker| broker.id()).await, Some(BrokerId(1)));
        server.hosts[1].start().await.unwrap();
        all_registered(&server.hosts).await;
        assert!(none_left.try_recv().is_err());

        panics(1).await;
        panics(2).await;
        assert_eq!(none_left.await.unwrap(), "broker-2: it panicked: on purpose");
        keeper.stop(&server.zookeeper).await.unwrap();
    }
}
