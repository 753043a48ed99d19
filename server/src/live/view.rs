//! The snapshot that the page draws, of a running server.
//!
//! 1. Brokers and partitions are the brokers' own word, taken between two of their drains.
//! 2. A client is what shares a client.id, an address, and a role; its role is what it sends.
//! 3. While someone watches and something changed, a view is made ten times a second; while no one does, none is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use ottla_core::broker::Broker;
use ottla_core::broker::view::{bury, measure, order, topics};
use ottla_core::id::{BrokerId, ConnId};
use ottla_core::protocol::cluster::ClusterState;
use ottla_core::protocol::znode;
use ottla_core::time::Instant;
use ottla_core::view::{
    BrokerView, ConsumerView, GroupView, IdentityView, Level, LinkView, LogLine, MessageView, PositionView,
    ProducerView, View, ZooKeeperView,
};
use ottla_core::zookeeper;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{Past, Role, Said, Topic, Watched, Who};
use crate::serve::Server;

const SPACING: Duration = Duration::from_millis(100);
/// How long a message stays in the views after it has arrived: the page draws a little behind.
const LINGER: Duration = Duration::from_millis(500);
/// How long after the last change views are made: the page remembers who talked to whom for five seconds of theirs.
const SETTLES: Duration = Duration::from_secs(6);
/// Rates are measured over this long.
const RATE_WINDOW: Duration = Duration::from_millis(1000);

/// Makes views for everyone who watches.
pub async fn broadcast(server: Arc<Server>, views: watch::Sender<Utf8Bytes>) {
    let mut ticks = interval(SPACING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    let mut moving = false;
    let mut changed = Instant::ZERO;
    let mut greeted = 0;
    let mut rates = Rates::default();
    loop {
        if views.receiver_count() == 0 {
            server.live.arrived().await;
        }
        ticks.tick().await;
        let (arrivals, changes) = (server.live.arrivals(), server.live.changes());
        // Who came between two ticks must get a view also where another left meanwhile and nothing else happened.
        let joined = arrivals != greeted;
        if views.receiver_count() == 0 || !(joined || moving || seen != Some(changes)) {
            continue;
        }
        greeted = arrivals;
        let is_new = seen.replace(changes) != Some(changes);
        let view = make(&server, &mut rates).await;
        changed = if is_new { view.now } else { changed };
        moving = changed + SETTLES > view.now
            || view.messages.iter().any(|message| message.arrives + LINGER > view.now)
            || view.producers.iter().any(|producer| producer.rate > 0.0);
        if let Ok(text) = serde_json::to_string(&view) {
            views.send_replace(text.into());
        }
    }
}

/// Records a second, by producer.
#[derive(Default)]
pub struct Rates(BTreeMap<String, Rate>);

struct Rate {
    since: Instant,
    records: u64,
    per_second: f64,
}

impl Rates {
    fn measure(&mut self, now: Instant, name: &str, records: u64) -> f64 {
        let rate = self.0.entry(name.to_owned()).or_insert(Rate { since: now, records, per_second: 0.0 });
        let elapsed = now.since(rate.since);
        if elapsed >= RATE_WINDOW {
            let per_second = records.saturating_sub(rate.records) as f64 / elapsed.as_secs_f64();
            *rate = Rate { since: now, records, per_second };
        }
        rate.per_second
    }
}

pub async fn make(server: &Server, rates: &mut Rates) -> View {
    let mut view = View { now: server.live.clock.instant(), ..View::default() };
    // First, so that no offset is behind what a message says of it.
    let passed = passed(server, view.now);
    let mut newest: Option<(ClusterState, u32)> = None;
    for host in &server.hosts {
        let look = |broker: &Broker| {
            let state = (broker.cluster_state().clone(), broker.min_insync_replicas());
            (broker.view(), state, broker.groups(), broker.transactional_ids())
        };
        let seen = match host.broker() {
            Some(broker) => broker.look(look).await,
            None => None,
        };
        let mut broker = match seen {
            Some((broker, state, groups, transactions)) => {
                view.groups.extend(groups);
                view.transactions.extend(transactions);
                if newest.as_ref().is_none_or(|(newest, _)| newest.version < state.0.version) {
                    newest = Some(state);
                }
                BrokerView { health: host.health(), ..broker }
            }
            None => host.last_seen(),
        };
        broker.connections = host.metrics.connections.get().max(0) as u32;
        (broker.bytes_in, broker.bytes_out) = host.metrics.bytes();
        broker.faults = host.faults();
        view.event += host.metrics.requests();
        view.brokers.push(broker);
    }
    bury(&mut view.brokers, newest.as_ref().map(|(state, _)| state));
    measure(&mut view.groups, &view.brokers);
    view.transactions.sort_by(|one, other| one.id.cmp(&other.id));
    view.transactions.dedup_by(|one, other| one.id == other.id);
    if let Some((state, min_insync)) = newest {
        view.topics = topics(&state, min_insync, &view.brokers);
        let came = server.live.came(&view.topics);
        order(&mut view.topics, |name| came.get(name).copied());
        server.live.set_names(state.topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect());
    }
    let look = |keeper: &zookeeper::Server| (keeper.view(), connected(keeper));
    let (zookeeper, connected) =
        server.zookeeper.look(look).await.unwrap_or_else(|| (ZooKeeperView::dead(), BTreeSet::new()));
    view.zookeeper = zookeeper;
    clients(server, &mut view, passed, rates);
    view.links.extend(server.exchange.links(&connected));
    view.log = server.live.story().lines();
    view
}

/// The brokers whose sessions are on a connection.
fn connected(keeper: &zookeeper::Server) -> BTreeSet<BrokerId> {
    let sessions = keeper.sessions().filter(|(_, session)| session.conn.is_some());
    let znodes = sessions.flat_map(|(id, _)| keeper.tree().ephemerals(id));
    znodes
        .filter_map(|path| path.strip_prefix(znode::BROKER_IDS)?.strip_prefix('/')?.parse().ok())
        .map(BrokerId)
        .collect()
}

/// Connections that are shown as one client.
#[derive(Default)]
struct Connections {
    members: Vec<(Arc<Watched>, Said)>,
    past: Option<Past>,
}

/// Producers, consumers, their links, and the messages between them and the brokers.
fn clients(server: &Server, view: &mut View, passed: Vec<(ConnId, MessageView)>, rates: &mut Rates) {
    let mut groups: BTreeMap<Who, Connections> = BTreeMap::new();
    let mut names: BTreeMap<ConnId, String> = BTreeMap::new();
    let mut links = BTreeSet::new();
    let members: BTreeSet<String> =
        view.groups.iter().flat_map(|group| &group.members).map(|member| member.client_id.clone()).collect();
    let mut today = Vec::new();
    for watched in server.live.clients() {
        match watched.asker() {
            Some(broker) => drop(names.insert(watched.conn, broker.to_string())),
            None => today.push((watched.clone(), watched.said())),
        }
    }
    let mut past = server.live.past(&today);
    for (watched, said) in today {
        let mut who = watched.who(&said);
        if who.role == Role::Unknown && members.contains(&who.client_id) {
            // A member of a group that was given no partition fetches nothing.
            who.role = Role::Consumer;
        }
        groups.entry(who).or_default().members.push((watched, said));
    }
    // A client's first connection only asks for metadata: it belongs to what the others show it to be, or did before.
    let unknown = groups.keys().filter(|who| who.role == Role::Unknown).cloned().collect::<Vec<_>>();
    for who in unknown {
        let known = [Role::Producer, Role::Consumer].map(|role| Who { role, ..who.clone() });
        let is_there = |known: &&Who| groups.contains_key(known);
        let was_there = |known: &&Who| past.contains_key(known);
        if let Some(known) = known.iter().find(is_there).or_else(|| known.iter().find(was_there)) {
            let group = groups.remove(&who).expect("it was listed");
            groups.entry(known.clone()).or_default().members.extend(group.members);
        }
    }
    for (who, group) in &mut groups {
        group.past = past.remove(who);
    }
    let mut taken = BTreeSet::new();
    for (Who { client_id, host, role }, group) in groups {
        let name = name(&client_id, &host, role, &mut taken);
        for (member, _) in &group.members {
            names.insert(member.conn, name.clone());
            links.insert(LinkView { from: name.clone(), to: member.broker.to_string(), cut: false });
        }
        match role {
            Role::Consumer => view.consumers.push(consumer(server, view, &client_id, name, &host, &group)),
            _ => view.producers.push(producer(server, view, name, &host, &group, rates)),
        }
    }
    rates.0.retain(|name, _| taken.contains(name));
    view.links = links.into_iter().collect();
    view.messages = passed
        .into_iter()
        .filter_map(|(conn, mut message)| {
            let client = names.get(&conn)?.clone();
            if message.response {
                message.to = client
            } else {
                message.from = client
            }
            Some(message)
        })
        .collect();
}

/// The messages that are still to be seen, without their clients' names.
fn passed(server: &Server, now: Instant) -> Vec<(ConnId, MessageView)> {
    let messages = server.live.messages();
    let seen = messages.all().filter(|message| message.view.arrives + LINGER > now);
    seen.map(|message| (message.conn, message.view.clone())).collect()
}

fn name(client_id: &str, host: &str, role: Role, taken: &mut BTreeSet<String>) -> String {
    let plain = if client_id.is_empty() { host } else { client_id };
    let role = if role == Role::Consumer { "consumer" } else { "producer" };
    let choices = [plain.to_owned(), format!("{plain} ({role})"), format!("{plain} ({role}, {host})")];
    let choice = choices.into_iter().find(|choice| !taken.contains(choice)).unwrap_or_else(|| plain.to_owned());
    taken.insert(choice.clone());
    choice
}

impl Connections {
    fn sum(&self, count: impl Fn(&Watched) -> u64) -> u64 {
        self.members.iter().map(|(member, _)| count(member)).sum()
    }

    /// On the connections of today, then on those that were.
    fn said(&self) -> impl DoubleEndedIterator<Item = &Said> {
        self.members.iter().map(|(_, said)| said).chain(self.past.iter().map(|past| &past.said))
    }

    fn settings(&self, host: &str) -> String {
        let connections = self.members.len();
        let acks = self.said().find_map(|said| said.acks);
        let acks = acks.map_or(String::new(), |acks| match acks {
            -1 => "acks=all ".to_owned(),
            acks => format!("acks={acks} "),
        });
        format!("{acks}from {host}, {connections} connection{}", if connections == 1 { "" } else { "s" })
    }
}

fn producer(
    server: &Server,
    view: &View,
    name: String,
    host: &str,
    group: &Connections,
    rates: &mut Rates,
) -> ProducerView {
    let before = group.past.as_ref().map_or(0, |past| past.sent);
    let sent = before + group.sum(|member| member.produced.records.load(Ordering::Relaxed));
    let requests = group.sum(|member| member.produced.requests.load(Ordering::Relaxed));
    let answered = group.sum(|member| member.produced.answered.load(Ordering::Relaxed));
    let names = server.live.names();
    let topic = group.said().find_map(|said| match &said.topic {
        Some(Topic::Named(name)) => Some(name.clone()),
        Some(Topic::Id(id)) => names.get(id).cloned(),
        None => None,
    });
    ProducerView {
        rate: rates.measure(view.now, &name, sent),
        identity: group.said().find_map(|said| said.transactional_id.as_ref()).map(|id| identity(view, id)),
        settings: group.settings(host),
        topic: topic.map(|topic| topic.to_string()).unwrap_or_default(),
        sent,
        // Under acks=0 nothing is answered, and nothing is waited for.
        in_flight: match group.said().find_map(|said| said.acks) {
            Some(0) => 0,
            _ => requests.saturating_sub(answered).min(u64::from(u32::MAX)) as u32,
        },
        name,
        // What it holds back, tries again or gives up, and what it makes of an answer, only the client knows.
        ..ProducerView::default()
    }
}

/// What its coordinator tells of a transactional producer.
fn identity(view: &View, transactional_id: &str) -> IdentityView {
    let known = view.transactions.iter().find(|transaction| transaction.id == transactional_id);
    IdentityView {
        transactional_id: Some(transactional_id.to_owned()),
        producer_id: known.map_or(-1, |known| known.producer_id),
        producer_epoch: known.map_or(-1, |known| known.producer_epoch),
        ..IdentityView::default()
    }
}

fn consumer(
    server: &Server,
    view: &View,
    client_id: &str,
    name: String,
    host: &str,
    group: &Connections,
) -> ConsumerView {
    let names = server.live.names();
    let mut positions = BTreeMap::new();
    // What was said last counts.
    for said in group.said().rev() {
        for ((topic, partition), offset) in &said.positions {
            positions.insert((topic.to_string(), *partition), *offset);
        }
        for ((id, partition), offset) in &said.positions_by_id {
            if let Some(topic) = names.get(id) {
                positions.insert((topic.to_string(), *partition), *offset);
            }
        }
    }
    let end = |topic: &str, partition: i32| {
        let topic = view.topics.iter().find(|it| it.name == topic)?;
        topic.ends.get(usize::try_from(partition).ok()?).copied()
    };
    let behind = |((topic, partition), offset): (&(String, i32), &i64)| {
        end(topic, *partition).map_or(0, |end| (end - offset).max(0) as u64)
    };
    let of_group = view.groups.iter().find(|group| group.members.iter().any(|member| member.client_id == client_id));
    if let Some(of_group) = of_group {
        // What it once fetched and another member was given since is not its own any more.
        let own = of_group.members.iter().filter(|member| member.client_id == client_id);
        let assigned: BTreeSet<_> = own.flat_map(|member| &member.assigned).collect();
        positions.retain(|partition, _| assigned.contains(partition));
    }
    let joined = |of_group: &GroupView| {
        let mut own = of_group.members.iter().filter(|member| member.client_id == client_id);
        own.all(|member| member.joined)
    };
    // As its coordinator sees it.
    let membership = of_group.map_or("", |of_group| match &*of_group.state {
        "PreparingRebalance" if joined(of_group) => "joins",
        "PreparingRebalance" => "is to join again",
        "CompletingRebalance" => "waits for its assignment",
        _ => "stable",
    });
    ConsumerView {
        group: of_group.map(|group| group.id.clone()),
        membership: membership.to_owned(),
        settings: group.settings(host),
        lag: positions.iter().map(behind).sum(),
        received: group.said().map(|said| said.received).sum(),
        positions: positions
            .into_iter()
            .map(|((topic, partition), offset)| PositionView { topic, partition, offset })
            .collect(),
        client_id: client_id.to_owned(),
        name,
        ..ConsumerView::default()
    }
}

/// The event log.
#[derive(Default)]
pub struct Story {
    lines: std::collections::VecDeque<LogLine>,
    next: u64,
}

impl Story {
    pub fn say(&mut self, at: Instant, node: String, text: String, level: Level) {
        if self.lines.len() == View::LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(LogLine { at, seq: self.next, node, text, level });
        self.next += 1;
    }

    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.iter().cloned().collect()
    }
}
