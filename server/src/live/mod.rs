//! What the page shows of a running server: who is connected, and what they said lately.
//!
//! `mod.rs` the clients | `messages.rs` the newest requests and answers, kept while someone watches | `view.rs` the
//! snapshot that the page draws | `detail.rs` what there is to see of one thing | `hand.rs` what the page sends
//!
//! A request costs a few counters. Messages are kept only while someone watches, and then not more than
//! [`messages::Messages::ADMITTED_PER_S`] a second: a page cannot show more.

pub mod detail;
pub mod hand;
mod messages;
pub mod view;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use kafka_protocol::messages::{RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use ottla_core::broker::transaction::asker;
use ottla_core::id::{BrokerId, ConnId, Offset};
use ottla_core::protocol::line::{self, Names};
use ottla_core::protocol::request::follower;
use ottla_core::protocol::{Request, Response};
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{Level, TopicView};

use tokio::sync::Notify;

use crate::connection::next_conn;
use crate::driver::Clock;
use crate::splice::FileSlice;
pub use messages::{Kept, Message, Messages};

pub struct Live {
    pub clock: Clock,
    /// Pages that watch.
    watchers: AtomicUsize,
    /// Counts up with everyone who begins to watch.
    arrivals: AtomicU64,
    arrival: Notify,
    clients: Mutex<BTreeMap<ConnId, Arc<Watched>>>,
    past: Mutex<BTreeMap<Who, Past>>,
    messages: Mutex<Messages>,
    story: Mutex<view::Story>,
    /// Topics by id, as of the last view.
    names: Mutex<Arc<Names>>,
    /// Topics by name, numbered as they came into a view.
    came: Mutex<Arc<BTreeMap<String, u32>>>,
    /// By broker: the page itself, once it has sent something there.
    hands: Mutex<BTreeMap<BrokerId, Arc<Watched>>>,
    /// Counts up with everything that a view would show.
    changes: AtomicU64,
}

/// One connection, as the page knows it.
pub struct Watched {
    pub conn: ConnId,
    pub broker: BrokerId,
    pub peer: String,
    pub produced: Counts,
    pub fetched: Counts,
    /// The broker that it comes from, to follow this one or for a transaction; −1 is none.
    asker: AtomicI32,
    said: Mutex<Said>,
}

/// Connections with the same of these are shown as one client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    pub client_id: String,
    pub host: String,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Producer,
    Consumer,
    /// It has neither produced nor fetched yet.
    Unknown,
}

/// What a client's connections did that are closed: it is the same client that comes back.
#[derive(Clone)]
pub struct Past {
    /// Records that it produced.
    pub sent: u64,
    pub said: Said,
    /// When the last of them was closed.
    closed: Instant,
}

/// So long is it waited for a client that has gone.
const ABSENCE: Duration = Duration::from_secs(60);
/// Clients that are waited for.
const MOST_PAST: usize = 1_000;
/// Positions that are remembered of one client: it may name what there is not.
const MOST_POSITIONS: usize = 10_000;

/// What can only be known from requests themselves.
#[derive(Clone, Default)]
pub struct Said {
    pub client_id: String,
    pub acks: Option<i16>,
    /// The topic last produced to.
    pub topic: Option<Topic>,
    pub transactional_id: Option<String>,
    /// Where it fetched last.
    pub positions: BTreeMap<(TopicName, i32), Offset>,
    /// By topic id, where a fetch names topics so.
    pub positions_by_id: BTreeMap<(uuid::Uuid, i32), Offset>,
    /// Offsets that it has gone on by, since it was heard first.
    pub received: u64,
}

/// As a request names it.
#[derive(Clone)]
pub enum Topic {
    Named(TopicName),
    Id(uuid::Uuid),
}

#[derive(Default)]
pub struct Counts {
    pub requests: AtomicU64,
    pub answered: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
}

impl Live {
    pub fn new(clock: Clock) -> Live {
        Live {
            clock,
            watchers: AtomicUsize::new(0),
            arrivals: AtomicU64::new(0),
            arrival: Notify::new(),
            clients: Mutex::default(),
            past: Mutex::default(),
            messages: Mutex::default(),
            story: Mutex::default(),
            names: Mutex::default(),
            came: Mutex::default(),
            hands: Mutex::default(),
            changes: AtomicU64::new(0),
        }
    }

    pub fn opened(&self, broker: BrokerId, conn: ConnId, peer: String) -> Arc<Watched> {
        let watched = Arc::new(Watched {
            conn,
            broker,
            peer,
            produced: Counts::default(),
            fetched: Counts::default(),
            asker: AtomicI32::new(-1),
            said: Mutex::default(),
        });
        self.clients.lock().expect("not poisoned").insert(conn, watched.clone());
        self.changed();
        watched
    }

    /// The page itself as a client of that broker.
    pub fn hand(&self, broker: BrokerId) -> Arc<Watched> {
        let mut hands = self.hands.lock().expect("not poisoned");
        hands.entry(broker).or_insert_with(|| self.opened(broker, next_conn(), "this page".into())).clone()
    }

    /// That broker's process is gone, and what the page had of it.
    pub fn let_go(&self, broker: BrokerId) {
        let hand = self.hands.lock().expect("not poisoned").remove(&broker);
        if let Some(hand) = hand {
            self.clients.lock().expect("not poisoned").remove(&hand.conn);
        }
    }

    /// `broken`: not by the client, but with the broker's process.
    pub fn closed(&self, conn: ConnId, broken: bool) {
        let gone = self.clients.lock().expect("not poisoned").remove(&conn);
        if let Some(gone) = gone.filter(|gone| !gone.client_id().is_empty()) {
            self.remember(&gone);
            match broken {
                true => self.say(&gone.client_id(), format!("loses its connection with {}", gone.broker), Level::Warn),
                false => self.say(&gone.client_id(), format!("left {}", gone.broker), Level::Info),
            }
        }
        self.changed();
    }

    fn remember(&self, gone: &Watched) {
        let (now, said) = (self.clock.instant(), gone.said());
        let who = gone.who(&said);
        if gone.asker().is_some() || who.role == Role::Unknown {
            return;
        }
        let sent = gone.produced.records.load(Ordering::Relaxed);
        let mut past = self.past.lock().expect("not poisoned");
        let gone = match past.remove(&who) {
            Some(before) => Past { sent: before.sent + sent, said: before.said.then(said), closed: now },
            None => Past { sent, said, closed: now },
        };
        past.insert(who, gone);
        if past.len() > MOST_PAST
            && let Some(oldest) = past.iter().min_by_key(|(_, past)| past.closed).map(|(who, _)| who.clone())
        {
            past.remove(&oldest);
        }
    }

    /// What was before the connections of today.
    pub fn past(&self, today: &[(Arc<Watched>, Said)]) -> BTreeMap<Who, Past> {
        let now = self.clock.instant();
        let is_there = |who: &Who| {
            today.iter().any(|(watched, said)| said.client_id == who.client_id && watched.host() == who.host)
        };
        let mut past = self.past.lock().expect("not poisoned");
        past.retain(|who, past| past.closed + ABSENCE > now || is_there(who));
        past.clone()
    }

    pub fn clients(&self) -> Vec<Arc<Watched>> {
        self.clients.lock().expect("not poisoned").values().cloned().collect()
    }

    pub fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().expect("not poisoned")
    }

    /// Into the event log.
    pub fn say(&self, node: &str, text: String, level: Level) {
        self.story().say(self.clock.instant(), node.to_owned(), text, level);
        self.changed();
    }

    pub fn names(&self) -> Arc<Names> {
        self.names.lock().expect("not poisoned").clone()
    }

    pub fn set_names(&self, names: Names) {
        *self.names.lock().expect("not poisoned") = Arc::new(names);
    }

    /// In which order users' topics came; those that are new come last. The coordinators' own have no hue.
    pub fn came(&self, topics: &[TopicView]) -> Arc<BTreeMap<String, u32>> {
        let mut came = self.came.lock().expect("not poisoned");
        let is_new = |topic: &&TopicView| !topic.name.starts_with("__") && !came.contains_key(&topic.name);
        for topic in topics.iter().filter(is_new).collect::<Vec<_>>() {
            let next = came.len() as u32;
            Arc::make_mut(&mut came).insert(topic.name.clone(), next);
        }
        came.clone()
    }

    pub fn story(&self) -> MutexGuard<'_, view::Story> {
        self.story.lock().expect("not poisoned")
    }

    pub fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Someone watches, until the guard is dropped.
    pub fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        self.arrivals.fetch_add(1, Ordering::Release);
        self.arrival.notify_one();
        Watching(self.clone())
    }

    /// Waits until someone begins to watch.
    pub async fn arrived(&self) {
        self.arrival.notified().await;
    }

    /// How many have begun to watch since the start.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Acquire)
    }

    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

pub struct Watching(Arc<Live>);

impl Drop for Watching {
    fn drop(&mut self) {
        if self.0.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.messages().forget();
        }
    }
}

impl Watched {
    pub fn host(&self) -> &str {
        self.peer.rsplit_once(':').map_or(&*self.peer, |(host, _)| host)
    }

    pub fn who(&self, said: &Said) -> Who {
        let counted = [&self.produced, &self.fetched].map(|counts| counts.requests.load(Ordering::Relaxed));
        let role = match counted {
            [0, 0] => Role::Unknown,
            [0, _] => Role::Consumer,
            _ => Role::Producer,
        };
        Who { client_id: said.client_id.clone(), host: self.host().to_owned(), role }
    }

    pub fn client_id(&self) -> String {
        self.said.lock().expect("not poisoned").client_id.clone()
    }

    pub fn said(&self) -> Said {
        self.said.lock().expect("not poisoned").clone()
    }

    /// The broker that it comes from, if it comes from one.
    pub fn asker(&self) -> Option<BrokerId> {
        Some(BrokerId(self.asker.load(Ordering::Relaxed))).filter(|id| id.0 >= 0)
    }

    /// As the event log names whom it comes from.
    fn name(&self) -> String {
        self.asker().map_or_else(|| self.client_id(), |broker| broker.to_string())
    }

    /// A request was read. Gives its number among the messages, if it is kept.
    pub fn request(&self, live: &Live, request: &Request, bytes: usize) -> Option<u64> {
        let counts = match &request.body {
            RequestKind::Produce(_) => Some(&self.produced),
            RequestKind::Fetch(fetch) => {
                self.asker.store(follower(fetch).unwrap_or(BrokerId::NONE).0, Ordering::Relaxed);
                Some(&self.fetched)
            }
            _ => None,
        };
        if let Some(counts) = counts {
            counts.requests.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            let records =
                request.batches.iter().flatten().map(|checked| checked.batch.header.record_count.max(0) as u64);
            counts.records.fetch_add(records.sum(), Ordering::Relaxed);
        }
        live.changed();
        let mut said = self.said.lock().expect("not poisoned");
        if let Some(id) = &request.client_id
            && said.client_id != id.as_str()
        {
            said.client_id = id.to_string();
            if let Some(broker) = asker(id) {
                self.asker.store(broker.0, Ordering::Relaxed);
            }
            live.say(id, format!("connected to {} from {}", self.broker, self.peer), Level::Info);
        }
        if !live.is_watched() {
            return None;
        }
        said.hear(&request.body);
        drop(said);
        let names = live.names();
        let mut messages = live.messages();
        let id = messages.keep_request(live.clock.instant(), self, (request, bytes), &names)?;
        let line = messages.worth_a_line(id);
        drop(messages);
        if let Some(line) = line {
            live.say(&self.name(), line, Level::Info);
        }
        Some(id)
    }

    /// The answer to a request is about to be sent. Gives its number among the messages, if it is kept: how long it is,
    /// [`Messages::weigh`] is told once that is known.
    pub fn response(
        &self,
        live: &Live,
        message: Option<u64>,
        correlation_id: i32,
        response: &Response,
        files: &[Option<FileSlice>],
    ) -> Option<u64> {
        let counts = match &*response.body {
            kafka_protocol::messages::ResponseKind::Produce(_) => Some(&self.produced),
            kafka_protocol::messages::ResponseKind::Fetch(_) => Some(&self.fetched),
            _ => None,
        };
        if let Some(counts) = counts {
            counts.answered.fetch_add(1, Ordering::Relaxed);
        }
        live.changed();
        let message = message?;
        let names = live.names();
        if line::is_error(&response.body) {
            live.say(&self.broker.to_string(), line::response(response, &names), Level::Bad);
        }
        live.messages().keep_response(live.clock.instant(), self, message, correlation_id, response, files, &names)
    }
}

impl Said {
    /// What was said on one connection, and later on another.
    fn then(mut self, later: Said) -> Said {
        self.positions.extend(later.positions);
        self.positions_by_id.extend(later.positions_by_id);
        Said {
            client_id: later.client_id,
            acks: later.acks.or(self.acks),
            topic: later.topic.or(self.topic),
            transactional_id: later.transactional_id.or(self.transactional_id),
            positions: self.positions,
            positions_by_id: self.positions_by_id,
            received: self.received + later.received,
        }
    }

    fn hear(&mut self, body: &RequestKind) {
        match body {
            RequestKind::Produce(produce) => {
                self.acks = Some(produce.acks);
                self.topic = produce.topic_data.first().map(|topic| match topic.topic_id.is_nil() {
                    true => Topic::Named(own(&topic.name)),
                    false => Topic::Id(topic.topic_id),
                });
                self.transactional_id = produce.transactional_id.as_ref().map(|id| id.0.to_string());
            }
            RequestKind::Fetch(fetch) => {
                // A session that begins is about what is named here and nothing else; one that goes on forgets by name
                // (KIP-227). Without one, a client that pauses a partition leaves it out.
                if fetch.session_epoch == 0 {
                    self.positions.clear();
                    self.positions_by_id.clear();
                }
                for topic in &fetch.forgotten_topics_data {
                    for index in &topic.partitions {
                        self.positions.remove(&(topic.topic.clone(), *index));
                        self.positions_by_id.remove(&(topic.topic_id, *index));
                    }
                }
                for topic in &fetch.topics {
                    for partition in &topic.partitions {
                        let (index, offset) = (partition.partition, partition.fetch_offset);
                        self.received += match topic.topic_id.is_nil() {
                            true => note(&mut self.positions, (own(&topic.topic), index), offset),
                            false => note(&mut self.positions_by_id, (topic.topic_id, index), offset),
                        };
                    }
                }
            }
            _ => {}
        }
    }
}

/// Gives how far it has gone on.
fn note<K: Ord>(positions: &mut BTreeMap<K, Offset>, partition: K, offset: Offset) -> u64 {
    if positions.len() >= MOST_POSITIONS && !positions.contains_key(&partition) {
        return 0;
    }
    let before = positions.insert(partition, offset).unwrap_or(offset);
    offset.saturating_sub(before).max(0) as u64
}

/// Without the request that it came in.
fn own(name: &TopicName) -> TopicName {
    TopicName(StrBytes::from_string(name.to_string()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::FetchRequest;
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
    use uuid::Uuid;

    use super::*;

    fn fetch(epoch: i32, wanted: &[(i32, Offset)], forgotten: &[i32]) -> RequestKind {
        let partition = |(index, offset): &(i32, Offset)| {
            FetchPartition::default().with_partition(*index).with_fetch_offset(*offset)
        };
        let wanted = wanted.iter().map(partition).collect();
        let topic = FetchTopic::default().with_topic_id(Uuid::from_u128(7)).with_partitions(wanted);
        let forgotten = ForgottenTopic::default().with_topic_id(Uuid::from_u128(7)).with_partitions(forgotten.to_vec());
        FetchRequest::default()
            .with_session_epoch(epoch)
            .with_topics(vec![topic])
            .with_forgotten_topics_data(vec![forgotten])
            .into()
    }

    #[test]
    fn positions_are_those_of_the_fetch_session() {
        let mut said = Said::default();
        let mut after = |request: RequestKind| {
            said.hear(&request);
            said.positions_by_id.iter().map(|((_, index), offset)| (*index, *offset)).collect::<Vec<_>>()
        };
        assert_eq!(after(fetch(0, &[(0, 5), (1, 6)], &[])), [(0, 5), (1, 6)]);
        assert_eq!(after(fetch(1, &[(1, 9)], &[0])), [(1, 9)]);
        assert_eq!(after(fetch(-1, &[(2, 3)], &[])), [(1, 9), (2, 3)], "without a session nothing is forgotten");
        assert_eq!(after(fetch(0, &[(3, 1)], &[])), [(3, 1)]);
        assert_eq!(said.received, 3, "of partition 1 from 6 to 9");
    }
}
