//! A broker: a router over closed sets of events. One file per API is in `handle/`.
//!
//! `event.rs`, `effect.rs` what comes in and goes out | `handle/` clients' requests | `purgatory.rs` requests that wait |
//! `session.rs` what consumers fetch | `membership/` registered in ZooKeeper, candidate for controller | `cluster.rs`
//! the cluster's state, applied; the controller and its calls | `isr.rs` who is in sync | `replication/` what it fetches
//! from leaders | `replica_selector.rs` whom consumers read from | `hosting.rs` partitions come, change and go |
//! `chores.rs` what is done by the clock, and at the end | `cleaner.rs` compacted logs |
//! `throttle.rs` what moving replicas may cost | `quota.rs` what clients may do |
//! `coordinate.rs` the coordinators' shards, `loading.rs` how they are read, `gather.rs` answers of several of them |
//! `transaction/` what it asks others for transactions | `share/` partitions that groups share, `share_calls.rs` what their
//! groups ask | `producer_id.rs` ids for idempotent producers | `view.rs` what a page sees of a broker
//!
//! ```text
//! Request ──▶ handle/ ──▶ Reply                   Appended ──▶ partition ──▶ purgatory ──▶ Reply …
//!                └──▶ purgatory (parked)          Loaded, Timer, Peer, … ──▶ the same
//! ```

pub mod chores;
pub mod cleaner;
pub mod cluster;
mod coordinate;
pub mod effect;
pub mod event;
mod gather;
pub mod handle;
pub mod hosting;
mod isr;
mod loading;
pub mod membership;
pub mod producer_id;
pub mod purgatory;
pub mod quota;
mod replica_selector;
pub mod replication;
pub mod session;
pub(crate) mod share;
mod share_calls;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod transaction;
pub mod view;

pub use effect::Effect;
pub use event::Event;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::bug::Bugs;
use crate::config::setting::Value;
use crate::config::{self, BrokerSettings};
use crate::controller::Controller;
use crate::coordinator::group::Groups;
use crate::coordinator::share::ShareStates;
use crate::coordinator::topic::Internal;
use crate::coordinator::transaction::Transactions;
use crate::error::ErrorCode;
use crate::id::{BrokerId, CallId, ConnId, LogId, Offset, ReadId, Ticket};
use crate::log::{LogImage, LogTable};
use crate::node::Node;
use crate::partition::{Partition, Role, Until};
use crate::protocol::cluster::{Assignment, ClusterState, Registration};
use crate::rng::{Seed, Stream};
use crate::time::{Instant, Now, sooner};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use purgatory::{Parked, Reading};

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub registration: Registration,
    pub cluster_id: String,
    /// Its data directory, as clients are told of it.
    pub log_dir: String,
    /// Topic ids and whatever else this broker draws.
    pub seed: Seed,
    /// Kafka's historic mistakes that a scenario wants to see; none natively.
    pub bugs: Bugs,
    /// Kafka's broker settings that were set, by name, as they were given; [`Broker::open`] checks them.
    pub settings: VecMap<String, String>,
}

/// What a driver found in a broker's data directory.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Small files by path relative to the data directory (`recovery-point-offset-checkpoint`,
    /// `orders-0/partition.metadata`, `orders-0/leader-epoch-checkpoint`).
    pub files: BTreeMap<String, Bytes>,
    /// By directory name (`orders-0`).
    pub logs: BTreeMap<String, LogImage>,
    /// All that the last process wrote is there: no machine stopped between the two, and no disk was replaced.
    pub intact: bool,
}

/// Where a controller without ZooKeeper kept the cluster's topics.
const BEFORE_ZOOKEEPER: &str = "cluster-state.json";

/// One broker.
#[derive(Clone)]
pub struct Broker {
    pub(crate) config: Arc<BrokerConfig>,
    /// `config.settings`, parsed.
    pub(crate) settings: Arc<BrokerSettings>,
    /// The newest state that the controller told. Handlers read brokers, topics and leaders here.
    pub(crate) cluster: Arc<ClusterState>,
    /// `cluster.topics` by id.
    pub(crate) topic_names: Arc<VecMap<Uuid, TopicName>>,
    membership: membership::Membership,
    /// On the broker that is the controller.
    pub(crate) controller: Option<Controller>,
    /// Calls to other brokers that have no answer yet.
    calls: VecMap<CallId, cluster::Pending>,
    next_call: u64,
    /// Which topic could not be made last, and why.
    not_created: Option<Arc<str>>,

    /// Which log a partition has here, by topic and partition index; no entry where another broker hosts it.
    hosted: VecMap<TopicName, VecMap<i32, LogId>>,
    /// Shared until written to, so that a broker is cheap to clone.
    partitions: LogTable<Arc<Partition>>,
    next_log: u32,
    /// What was found on disk and is not hosted (yet): the cluster's state says later what to open.
    found: Arc<hosting::Found>,

    purgatory: purgatory::Purgatory,
    sessions: session::Sessions,
    replication: replication::Replication,
    quotas: quota::Quotas,
    /// Of what this broker sends to followers, and of what it fetches as one.
    leader_throttle: throttle::Throttle,
    follower_throttle: throttle::Throttle,
    producer_ids: producer_id::ProducerIds,
    groups: coordinate::Coordinators<Groups>,
    transactions: coordinate::Coordinators<Transactions>,
    share_states: coordinate::Coordinators<ShareStates>,
    sharing: share::Sharing,
    /// Which shard a log is the memory of.
    coordinated: VecMap<LogId, (Internal, i32)>,
    gathers: gather::Gathers,
    share_calls: share_calls::ShareCalls,
    /// What is asked of others for transactions' sake, and who waits for it.
    transacting: transaction::Transacting,
    holds: handle::produce::hold::Holds,
    offsets_waiting: handle::txn_offset_commit::Waiting,
    /// Ids of group members.
    member_ids: Stream,
    chores: chores::Chores,
    cleaner: cleaner::Cleaner,

    /// Of the event that is being stepped.
    now: Now,
    connections: VecSet<ConnId>,
    /// Logs of which something may have changed, for who looks on; `None` while nobody does.
    touched: Option<Vec<LogId>>,
    /// Record bytes taken and given, since the start.
    bytes_in: u64,
    bytes_out: u64,
}

impl Broker {
    /// A broker over what its data directory holds. The first effects open its logs and cut their torn tails.
    ///
    /// Fails, naming the file or the setting, where one that cannot be rebuilt is damaged or wrong.
    pub fn open(config: BrokerConfig, image: Image, now: Now, out: &mut Vec<Effect>) -> Result<Broker, String> {
        let settings = Arc::new(BrokerSettings::parse(&config.settings).map_err(|error| error.to_string())?);
        if image.files.contains_key(BEFORE_ZOOKEEPER) {
            return Err(format!(
                "{BEFORE_ZOOKEEPER} is of an Ottla that had no ZooKeeper: its topics would be lost from sight"
            ));
        }
        let membership = membership::Membership::new(settings.zookeeper_session_timeout, now.instant, &image, out);
        let found = hosting::Found::new(image, &config.log_dir, out)?;
        let slots = settings.max_incremental_fetch_session_cache_slots.max(0) as usize;
        let mut broker = Broker {
            // A stream of its own for every start: a client may still hold a session's id from before.
            sessions: session::Sessions::new(slots, config.seed.stream(&format!("fetch-sessions-{}", now.wall))),
            replication: replication::Replication::new(
                config.registration.id,
                &settings,
                config.seed.stream(&format!("replication-{}", now.wall)),
            ),
            transacting: transaction::Transacting::new(config.registration.id, &settings, |name| {
                config.seed.stream(&format!("{name}-{}", now.wall))
            }),
            sharing: share::Sharing::new(config.registration.id, &settings, |name| {
                config.seed.stream(&format!("{name}-{}", now.wall))
            }),
            member_ids: config.seed.stream(&format!("member-ids-{}", now.wall)),
            config: Arc::new(config),
            quotas: quota::Quotas::new(&settings),
            chores: chores::Chores::new(now.instant, &settings),
            cleaner: cleaner::Cleaner::new(now.instant),
            membership,
            settings,
            cluster: Arc::default(),
            topic_names: Arc::default(),
            controller: None,
            calls: VecMap::new(),
            next_call: 0,
            not_created: None,
            hosted: VecMap::new(),
            partitions: LogTable::default(),
            next_log: 0,
            found: Arc::new(found),
            purgatory: purgatory::Purgatory::default(),
            leader_throttle: throttle::Throttle::default(),
            follower_throttle: throttle::Throttle::default(),
            producer_ids: producer_id::ProducerIds::default(),
            groups: coordinate::Coordinators::new(),
            transactions: coordinate::Coordinators::new(),
            share_states: coordinate::Coordinators::new(),
            coordinated: VecMap::new(),
            gathers: gather::Gathers::default(),
            share_calls: share_calls::ShareCalls::default(),
            holds: handle::produce::hold::Holds::default(),
            offsets_waiting: handle::txn_offset_commit::Waiting::default(),
            now,
            connections: VecSet::new(),
            touched: None,
            bytes_in: 0,
            bytes_out: 0,
        };
        broker.zookeeper_timer(now, out);
        Ok(broker)
    }

    pub fn id(&self) -> BrokerId {
        self.config.registration.id
    }

    /// Topics by id, for [`crate::protocol::line`].
    pub fn topic_names(&self) -> &Arc<VecMap<Uuid, TopicName>> {
        &self.topic_names
    }

    /// Whether it believes to be the controller.
    pub fn is_controller(&self) -> bool {
        self.controller.is_some()
    }

    /// The newest state of the cluster that this broker knows.
    pub fn cluster_state(&self) -> &ClusterState {
        &self.cluster
    }

    /// `min.insync.replicas` of topics that do not set it.
    pub fn min_insync_replicas(&self) -> u32 {
        match config::topic::inherited("min.insync.replicas", &self.settings) {
            Value::Integer(count) => u32::try_from(count).unwrap_or(0),
            _ => 0,
        }
    }

    /// The partition, if this broker hosts it.
    pub fn partition(&self, topic: &TopicName, partition: i32) -> Option<&Partition> {
        self.slot(*self.hosted.get(topic)?.get(&partition)?)
    }

    /// Every partition that this broker hosts, by topic and index.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.hosted.values().flat_map(|topic| topic.values()).filter_map(|&log| self.slot(log))
    }

    pub(crate) fn slot(&self, log: LogId) -> Option<&Partition> {
        self.partitions.get(log).map(Arc::as_ref)
    }

    /// From now on [`Broker::take_touched`] tells which logs to look at: all of them, then those that change.
    pub(crate) fn watch(&mut self) {
        self.touched = Some(self.partitions.logs().collect());
    }

    /// Which logs may have changed since the last time.
    pub(crate) fn take_touched(&mut self, into: &mut Vec<LogId>) {
        if let Some(touched) = &mut self.touched {
            into.append(touched);
        }
    }

    /// What others believe of that log may have changed.
    fn touch(&mut self, log: LogId) {
        if let Some(touched) = self.touched.as_mut().filter(|touched| touched.last() != Some(&log)) {
            touched.push(log);
        }
    }

    /// From how many leaders that log is fetched.
    pub(crate) fn fetchers_of(&self, log: LogId) -> usize {
        self.replication.fetchers_of(log)
    }

    fn partition_mut(&mut self, log: LogId) -> Option<&mut Partition> {
        self.touch(log);
        self.partitions.get_mut(log).map(Arc::make_mut)
    }

    /// The topic that a request names, by its id where `by_id`.
    ///
    /// Errors: `UnknownTopicId`.
    fn topic_name(&self, by_id: bool, name: &TopicName, id: Uuid) -> Result<TopicName, ErrorCode> {
        if by_id { self.topic_names.get(&id).cloned().ok_or(ErrorCode::UnknownTopicId) } else { Ok(name.clone()) }
    }

    /// The log of a partition that clients may ask this broker about.
    ///
    /// Errors: `UnknownTopicOrPartition`; `NotLeaderOrFollower` where another broker hosts it.
    fn hosted(&self, topic: &TopicName, partition: i32) -> Result<LogId, ErrorCode> {
        if let Some(&log) = self.hosted.get(topic).and_then(|partitions| partitions.get(&partition)) {
            return Ok(log);
        }
        let known = self.assignment(topic, partition).is_some();
        Err(if known { ErrorCode::NotLeaderOrFollower } else { ErrorCode::UnknownTopicOrPartition })
    }

    fn assignment(&self, topic: &TopicName, partition: i32) -> Option<&Assignment> {
        self.cluster.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Who leads a partition, and where that broker is found if it is alive.
    fn leader_of(&self, topic: &TopicName, partition: i32) -> (Option<&Assignment>, Option<&Registration>) {
        let assignment = self.assignment(topic, partition);
        (assignment, assignment.and_then(|assignment| self.cluster.brokers.get(&assignment.leader)))
    }
}

impl Node for Broker {
    type Event = Event;
    type Effect = Effect;

    /// The table of contents: every event and who deals with it.
    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        self.now = now;
        let begin = out.len();
        match event {
            // Clients' requests: one file per API in `handle/`, chosen by the table in `handle/mod.rs`.
            Event::Request { ticket, request } => {
                self.connections.insert(ticket.conn);
                if self.quotas.is_enabled() {
                    self.quotas.asked(ticket, &request, out);
                }
                self.admit(now, ticket, request, out);
            }
            Event::Closed { conn } => {
                self.connections.remove(&conn);
                self.gone_while_waiting(conn);
                self.purgatory.closed(conn);
                self.quotas.closed(conn);
                self.holds.closed(conn);
                self.gathers.closed(conn);
                self.share_closed(conn, out);
            }
            Event::Spent { time } => self.quotas.spent(now.instant, time),

            // This broker as a client of others, in `replication/` and `transaction/`.
            Event::Client { event, batches } => self.as_client(now, event, batches, out),

            // The cluster: the controller's decisions and everything that follows from them, in `cluster.rs`.
            Event::Call { from, call, request } => self.called(now, from, call, request, out),
            Event::Answer { call, result } => self.answered(now, call, result, out),
            Event::Peer { id, up } => self.peer(id, up, out),

            // The cluster's memory: registration and candidacy in `membership/`.
            Event::ZooKeeper(event) => self.zookeeper(now, event, out),

            // The logs.
            Event::Appended { log, end } => self.appended(log, end, out),
            Event::Flushed { log, end, truncations } => self.flushed(now, log, (end, truncations), out),
            Event::Loaded { read, bytes } => self.loaded(now, read, &bytes, out),
            Event::Worked { work, done } => self.worked(now, work, *done, out),
            Event::Sealed { seal } => self.sealed(now, seal, out),
            Event::Offline { log, cause } => self.offline(log, cause, out),

            Event::Timer => {
                self.expire(now, out);
                self.zookeeper_timer(now, out);
                self.controller_timer(now, out);
                self.do_chores(now, out);
                self.clean(now, out);
                self.coordinator_timer(now, out);
                self.transact(now, out);
                self.share_timer(now, out);
                self.replicate(now, out);
            }
            Event::Stop { controlled } => self.stop(now, controlled, out),
        }
        self.wake_sharers(out);
        if self.quotas.is_enabled() {
            self.hold_to_quotas(begin, out);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // Asked after every step: no detours.
        let deadline = sooner(self.purgatory.deadline(), self.membership.deadline());
        let deadline = sooner(deadline, self.controller.as_ref().and_then(Controller::deadline));
        let deadline = sooner(deadline, self.chores.deadline());
        let deadline = sooner(deadline, self.cleaner.deadline());
        let deadline = sooner(deadline, self.groups.deadline());
        let deadline = sooner(deadline, self.transactions.deadline());
        let deadline = sooner(deadline, self.share_states.deadline());
        let deadline = sooner(deadline, self.sharing.deadline());
        let deadline = sooner(deadline, self.replication.deadline());
        let deadline = sooner(deadline, self.transacting.deadline());
        sooner(deadline, self.holds.deadline())
    }
}

impl Broker {
    /// A batch was given to the log.
    fn appending(&mut self, log: LogId, bytes: usize, flush: Option<Instant>) {
        self.bytes_in += bytes as u64;
        if let Some(instant) = flush {
            self.chores.flush_at(instant, log);
        }
    }

    /// The driver has written everything below `end`.
    fn appended(&mut self, log: LogId, end: Offset, out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(partition) = self.partition_mut(log) else { return };
        let rose = partition.appended(now.instant, end, out);
        let follows = matches!(partition.role, Role::Follower(_));
        while let Some((ticket, wait)) = self.purgatory.due(log, Until::Written, end) {
            self.settle(ticket, wait, Ok(()), out);
        }
        self.progressed(log, rose, out);
        if follows {
            self.replica_written(now, log, out);
        }
    }

    /// A log has moved on: whoever waited for that goes on.
    fn progressed(&mut self, log: LogId, high_watermark_rose: bool, out: &mut Vec<Effect>) {
        if high_watermark_rose {
            self.chores.high_watermarks_moved(self.now.instant);
            let Some(partition) = self.slot(log) else { return };
            let high_watermark = partition.log.high_watermark();
            let result = partition.acknowledged(high_watermark).unwrap_or(Ok(()));
            while let Some((ticket, wait)) = self.purgatory.due(log, Until::Committed, high_watermark) {
                self.settle(ticket, wait, result, out);
            }
        }
        self.log_moved(log, out);
        self.wake_fetches(log, out);
        if self.purgatory.is_shared(log) {
            self.wake_shares(log);
        }
    }

    /// The bytes are there that a look-up asked for.
    fn loaded(&mut self, now: Now, read: ReadId, bytes: &Bytes, out: &mut Vec<Effect>) {
        match self.purgatory.loaded(read) {
            Some(Reading::Fetch(fetching, seek)) => self.resume_fetch(fetching, seek, bytes, out),
            Some(Reading::ShareFetch(fetching, seek)) => self.resume_share_fetch(fetching, seek, bytes, out),
            Some(Reading::ListOffsets(listing, seek)) => self.resume_list(listing, seek, bytes, out),
            Some(Reading::ShareStart(start, seek)) => self.resume_share_start(start, seek, bytes, out),
            Some(Reading::Cut(cutting)) => self.resume_cut(now, cutting, bytes, out),
            Some(Reading::Replay(log, replay)) => self.resume_replay(now, log, replay, bytes, out),
            Some(Reading::Load(loading)) => self.resume_load(loading, bytes, out),
            None => {}
        }
    }

    /// The disk failed under a log: nobody is kept waiting for it, and another replica is to lead.
    fn offline(&mut self, log: LogId, cause: String, out: &mut Vec<Effect>) {
        let Some(partition) = self.partition_mut(log) else { return };
        partition.offline = Some(cause);
        self.stop_cleaning(log, out);
        self.forsake(log, ErrorCode::KafkaStorageError, out);
        self.look_after(log, out);
        self.stopped_waiting_for(self.now, log, out);
        self.refollow(log);
        self.replicate(self.now, out);
        self.write_log_dir_event(self.now, out);
    }

    /// One batch of a parked request is done; the reply goes out with the last.
    fn settle(&mut self, ticket: Ticket, wait: usize, result: Result<(), ErrorCode>, out: &mut Vec<Effect>) {
        let done = match self.purgatory.get_mut(ticket) {
            Some(Parked::Produce(producing)) => producing.settle(wait, result),
            Some(Parked::Markers(marking)) => marking.settle(wait, result),
            Some(Parked::Fetch(_) | Parked::ShareFetch(_) | Parked::DeleteRecords(_)) | None => false,
        };
        match done.then(|| self.purgatory.take(ticket)).flatten() {
            Some(Parked::Produce(producing)) => self.produced(producing, out),
            Some(Parked::Markers(marking)) => marking.reply(out),
            Some(Parked::Fetch(_) | Parked::ShareFetch(_) | Parked::DeleteRecords(_)) | None => {}
        }
    }

    /// Whoever waits for that log is told now: producers the error, consumers whatever is true of it.
    fn forsake(&mut self, log: LogId, error: ErrorCode, out: &mut Vec<Effect>) {
        for (ticket, wait) in self.purgatory.forsake(log) {
            self.settle(ticket, wait, Err(error), out);
        }
        self.forsake_deletes(log, self.purgatory.deletes_of(log), error, out);
        for ticket in self.purgatory.fetches_of(log) {
            if let Some(Parked::Fetch(fetching)) = self.purgatory.take(ticket) {
                self.finish_fetch(fetching, out);
            }
        }
        for ticket in self.purgatory.shares_of(log) {
            if let Some(Parked::ShareFetch(fetching)) = self.purgatory.take(ticket) {
                self.finish_share_fetch(fetching, out);
            }
        }
    }

    /// Requests whose time is up.
    fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(parked) = self.purgatory.expire(now.instant) {
            match parked {
                Parked::Produce(producing) => producing.expire(out),
                Parked::Markers(marking) => marking.expire(out),
                Parked::Fetch(fetching) => self.finish_fetch(fetching, out),
                Parked::ShareFetch(fetching) => self.finish_share_fetch(fetching, out),
                Parked::DeleteRecords(deleting) => deleting.expire(out),
            }
        }
    }
}
