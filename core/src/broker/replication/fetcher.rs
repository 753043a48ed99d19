//! One leader's fetcher: which of its partitions stand where, and the request that comes next.

use std::sync::Arc;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId as WireBroker, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, RequestKind,
    TopicName,
};
use uuid::Uuid;

use super::{Broker, Effect, Tag};
use crate::bug::{Bug, Bugs};
use crate::client::Wire;
use crate::client::connection::LinkId;
use crate::config::BrokerSettings;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, LogId, Offset, TopicPartition};
use crate::partition::{Partition, Role};
use crate::time::{Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// ListOffsets' timestamps that are none.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;
/// From this version of Fetch on the follower says who it is in a structure of its own.
const FIRST_WITH_REPLICA_STATE: i16 = 15;

#[derive(Clone)]
pub struct Fetcher {
    pub link: LinkId,
    pub partitions: VecMap<LogId, Followed>,
    /// What is on its way.
    pub asked: Option<(Tag, Ask)>,
    /// Logs that are being written or cut.
    busy: VecSet<LogId>,
    /// Partitions that rest after an error, and until when.
    resting: VecSet<(Instant, LogId)>,
    session: Session,
}

/// A partition that follows this leader.
#[derive(Clone, Debug)]
pub struct Followed {
    pub name: TopicPartition,
    pub topic_id: Uuid,
    /// The leader's.
    pub epoch: LeaderEpoch,
    pub progress: Progress,
    rests_until: Option<Instant>,
    /// What the leader's fetch session has.
    pub told: Option<Told>,
}

/// How far following a partition has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is not known yet where this log parts from the leader's.
    Truncating,
    Fetching,
    /// The leader does not have the offset: it is asked where its log ends, or then where it begins, by ListOffsets'
    /// timestamps.
    OutOfRange(i64),
    Failed,
}

/// A request that is on its way, and what it is about.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Each log, and the leader epoch in which it is followed.
    Epochs(Vec<(LogId, LeaderEpoch)>),
    Offsets(Vec<(LogId, LeaderEpoch)>, i64),
    Fetch,
}

/// Where a follower stands, as it tells its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub offset: Offset,
    pub epoch: LeaderEpoch,
    last_fetched_epoch: LeaderEpoch,
    log_start: Offset,
}

/// The leader's fetch session (KIP-227).
#[derive(Clone, Debug, Default)]
struct Session {
    id: i32,
    /// Of the next request; 0 begins a new session.
    epoch: i32,
    /// Partitions that the leader has in it and that have gone.
    forgotten: Vec<(TopicPartition, Uuid)>,
}

impl Fetcher {
    pub fn new(link: LinkId) -> Fetcher {
        Fetcher {
            link,
            partitions: VecMap::default(),
            asked: None,
            busy: VecSet::new(),
            resting: VecSet::new(),
            session: Session::default(),
        }
    }

    /// Follows in that epoch from here on, if it does not yet.
    pub fn follow(&mut self, log: LogId, partition: &Partition, epoch: LeaderEpoch, bugs: Bugs) {
        if self.partitions.get(&log).is_some_and(|followed| followed.epoch == epoch) {
            return;
        }
        let told = self.partitions.get(&log).and_then(|followed| followed.told);
        self.wake(log);
        self.busy.remove(&log);
        self.partitions.insert(
            log,
            Followed {
                name: partition.name.clone(),
                topic_id: partition.topic_id,
                epoch,
                progress: match bugs.has(Bug::Kip320FirstTry) {
                    // What this log has in common with the leader's, its answers to fetches were to tell.
                    true => Progress::Fetching,
                    false => Progress::Truncating,
                },
                rests_until: None,
                told,
            },
        );
        if partition.log.appended_end() < partition.log.end() || partition.log.is_replaying() {
            // What it wrote as a leader, or who wrote it.
            self.busy.insert(log);
        }
    }

    pub fn remove(&mut self, log: LogId) {
        self.wake(log);
        self.busy.remove(&log);
        if let Some(followed) = self.partitions.remove(&log).filter(|followed| followed.told.is_some()) {
            self.session.forgotten.push((followed.name, followed.topic_id));
        }
    }

    pub fn progress(&self, log: LogId) -> Option<Progress> {
        self.partitions.get(&log).map(|followed| followed.progress)
    }

    pub fn epoch(&self, log: LogId) -> Option<LeaderEpoch> {
        self.partitions.get(&log).map(|followed| followed.epoch)
    }

    pub fn progressed(&mut self, log: LogId, progress: Progress) {
        if let Some(followed) = self.partitions.get_mut(&log) {
            followed.progress = progress;
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let free = self.asked.is_none() && self.busy.is_empty();
        self.resting.first().filter(|_| free).map(|(until, _)| *until)
    }

    /// What it asks next depends on what was asked, and on what is being written or cut; and there is nothing else to do.
    fn waits(&self) -> bool {
        let cuts = || self.ready(|progress| progress == Progress::Truncating).next().is_some();
        (self.asked.is_some() || !self.busy.is_empty())
            && self.resting.is_empty()
            && !self.partitions.is_empty()
            && !(self.busy.is_empty() && cuts())
    }

    /// The log is being written or cut.
    pub fn engage(&mut self, log: LogId) {
        self.busy.insert(log);
    }

    /// It is not any more. True if the fetcher has been waiting for that alone.
    pub fn free(&mut self, log: LogId) -> bool {
        self.busy.remove(&log) && self.busy.is_empty()
    }

    /// No answer will come to that request.
    pub fn lost(&mut self, tag: Tag, until: Instant) {
        if self.asked.as_ref().is_some_and(|(asked, _)| *asked == tag) {
            self.asked = None;
            self.session.epoch = 0;
            self.rest_all(until);
        }
    }

    /// The whole fetch was refused.
    pub fn refused(&mut self, error: ErrorCode, until: Instant) {
        self.session.epoch = 0;
        match error {
            ErrorCode::FetchSessionIdNotFound => self.session.id = 0,
            ErrorCode::InvalidFetchSessionEpoch => {}
            _ => self.rest_all(until),
        }
    }

    /// The fetch was taken into that session; 0 is none.
    pub fn taken(&mut self, session_id: i32) {
        let session = &mut self.session;
        (session.id, session.epoch) = match session_id {
            0 => (0, 0),
            id => (id, session.epoch.checked_add(1).unwrap_or(1)),
        };
    }

    /// An error that passes.
    pub fn rest(&mut self, log: LogId, until: Instant) {
        if let Some(followed) = self.partitions.get_mut(&log).filter(|followed| followed.rests_until.is_none()) {
            followed.rests_until = Some(until);
            self.resting.insert((until, log));
        }
    }

    /// What is throttled and not in sync rests (KIP-73).
    fn hold_back<'a>(&mut self, until: Instant, partition: impl Fn(LogId) -> Option<&'a Partition>) {
        let lags = |partition: &Partition| match &partition.role {
            Role::Follower(follower) => follower.high_watermark > partition.log.end(),
            Role::Leader(_) => false,
        };
        let held = |log: &LogId| {
            partition(*log).is_some_and(|partition| partition.settings.throttled_as_follower && lags(partition))
        };
        let logs: Vec<LogId> = self.partitions.keys().copied().filter(held).collect();
        logs.into_iter().for_each(|log| self.rest(log, until));
    }

    fn rest_all(&mut self, until: Instant) {
        let logs: Vec<LogId> = self.partitions.keys().copied().collect();
        logs.into_iter().for_each(|log| self.rest(log, until));
    }

    fn wake(&mut self, log: LogId) {
        if let Some(until) = self.partitions.get_mut(&log).and_then(|followed| followed.rests_until.take()) {
            self.resting.remove(&(until, log));
        }
    }

    fn wake_due(&mut self, now: Instant) {
        while let Some((_, log)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.wake(log);
        }
    }

    /// Those that are in that state and do not rest.
    fn ready(&self, wanted: impl Fn(Progress) -> bool) -> impl Iterator<Item = (LogId, &Followed)> {
        let ready = self.partitions.iter().map(|(log, followed)| (*log, followed));
        ready.filter(move |(_, followed)| followed.rests_until.is_none() && wanted(followed.progress))
    }

    fn epochs(&self, own: BrokerId, latest: impl Fn(LogId) -> Option<LeaderEpoch>) -> Option<(RequestKind, Ask)> {
        let mut asked = Vec::new();
        let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
        for (log, followed) in self.ready(|progress| progress == Progress::Truncating) {
            let Some(epoch) = latest(log) else { continue };
            asked.push((log, followed.epoch));
            let partition = OffsetForLeaderPartition::default()
                .with_partition(followed.name.partition)
                .with_current_leader_epoch(followed.epoch)
                .with_leader_epoch(epoch);
            match topics.last_mut().filter(|topic| topic.topic == followed.name.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(
                    OffsetForLeaderTopic::default()
                        .with_topic(followed.name.topic.clone())
                        .with_partitions(vec![partition]),
                ),
            }
        }
        if asked.is_empty() {
            return None;
        }
        let request = OffsetForLeaderEpochRequest::default().with_replica_id(WireBroker(own.0)).with_topics(topics);
        Some((request.into(), Ask::Epochs(asked)))
    }

    fn offsets(&self, own: BrokerId, timestamp: i64) -> Option<(RequestKind, Ask)> {
        let mut asked = Vec::new();
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for (log, followed) in self.ready(|progress| progress == Progress::OutOfRange(timestamp)) {
            asked.push((log, followed.epoch));
            let partition = ListOffsetsPartition::default()
                .with_partition_index(followed.name.partition)
                .with_current_leader_epoch(followed.epoch)
                .with_timestamp(timestamp);
            match topics.last_mut().filter(|topic| topic.name == followed.name.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(
                    ListOffsetsTopic::default().with_name(followed.name.topic.clone()).with_partitions(vec![partition]),
                ),
            }
        }
        if asked.is_empty() {
            return None;
        }
        let request = ListOffsetsRequest::default().with_replica_id(WireBroker(own.0)).with_topics(topics);
        Some((request.into(), Ask::Offsets(asked, timestamp)))
    }

    /// That is on its way from now on.
    fn asks(&mut self, ask: Ask, next_tag: &mut u64) -> Tag {
        *next_tag += 1;
        let tag = Tag(*next_tag);
        self.asked = Some((tag, ask));
        tag
    }

    /// The next Fetch: in a session only what has changed.
    fn fetch(
        &mut self,
        own: BrokerId,
        version: i16,
        settings: &BrokerSettings,
        bugs: Bugs,
        stands: impl Fn(LogId, LeaderEpoch) -> Option<Told>,
    ) -> Option<FetchRequest> {
        let begins = self.session.epoch == 0;
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut wanted = 0;
        for (&log, followed) in self.partitions.iter_mut() {
            let ready = followed.rests_until.is_none() && followed.progress == Progress::Fetching;
            let Some(now) = stands(log, followed.epoch).filter(|_| ready) else {
                if followed.told.take().is_some() && !begins {
                    self.session.forgotten.push((followed.name.clone(), followed.topic_id));
                }
                continue;
            };
            wanted += 1;
            if followed.told.is_none() {
                self.session.forgotten.retain(|(name, id)| *name != followed.name || *id != followed.topic_id);
            }
            if followed.told.replace(now) == Some(now) && !begins {
                continue;
            }
            let mut partition = FetchPartition::default();
            partition.partition = followed.name.partition;
            partition.current_leader_epoch = if bugs.fences_fetches() { now.epoch } else { -1 };
            partition.fetch_offset = now.offset;
            partition.last_fetched_epoch = if bugs.tells_last_epoch() { now.last_fetched_epoch } else { -1 };
            partition.log_start_offset = now.log_start;
            partition.partition_max_bytes = settings.replica_fetch_max_bytes;
            match topics.last_mut().filter(|topic| topic.topic == followed.name.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => {
                    let mut topic = FetchTopic::default();
                    (topic.topic, topic.topic_id) = (followed.name.topic.clone(), followed.topic_id);
                    topic.partitions = vec![partition];
                    match topics.is_empty() {
                        true => topics = vec![topic],
                        false => topics.push(topic),
                    }
                }
            }
        }
        if wanted == 0 {
            return None;
        }
        let mut forgotten = std::mem::take(&mut self.session.forgotten);
        if begins {
            forgotten.clear();
        }
        let mut request = FetchRequest::default();
        request.max_wait_ms = i32::try_from(settings.replica_fetch_wait_max.as_millis()).unwrap_or(i32::MAX);
        request.min_bytes = settings.replica_fetch_min_bytes;
        request.max_bytes = settings.replica_fetch_response_max_bytes;
        (request.session_id, request.session_epoch) = (self.session.id, self.session.epoch);
        request.topics = topics;
        request.forgotten_topics_data = grouped(forgotten);
        if version >= FIRST_WITH_REPLICA_STATE {
            request.replica_state.replica_id = WireBroker(own.0);
        } else {
            request.replica_id = WireBroker(own.0);
        }
        Some(request)
    }
}

fn grouped(forgotten: Vec<(TopicPartition, Uuid)>) -> Vec<ForgottenTopic> {
    let mut topics: VecMap<(TopicName, Uuid), Vec<i32>> = VecMap::new();
    for (name, id) in forgotten {
        topics.entry((name.topic, id)).or_default().push(name.partition);
    }
    let topic = |((name, id), partitions)| {
        ForgottenTopic::default().with_topic(name).with_topic_id(id).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

impl Told {
    /// Where that log stands, followed in that epoch.
    pub fn of(partition: &Partition, epoch: LeaderEpoch) -> Told {
        let log = &partition.log;
        Told {
            offset: log.end(),
            epoch,
            last_fetched_epoch: log.epochs().latest().map_or(-1, |latest| latest.epoch),
            log_start: log.log_start_offset(),
        }
    }
}

impl Broker {
    /// Asks one leader what is to be asked now, if it can be asked: where epochs end before all else, then where logs
    /// begin and end, then for records.
    pub(super) fn ask_leader(&mut self, now: Now, leader: BrokerId, wants: &mut Vec<Wire>, out: &mut Vec<Effect>) {
        if self.follower_throttle.is_idle() && self.replication.fetchers.get(&leader).is_some_and(Fetcher::waits) {
            return;
        }
        self.cut_without_epochs(now, leader, out);
        let own = self.id();
        let (replication, slots) = (&mut self.replication, &self.partitions);
        let Some(fetcher) = replication.fetchers.get_mut(&leader) else { return };
        if fetcher.partitions.is_empty() {
            replication.network.hang_up(now.instant, fetcher.link, wants);
            replication.fetchers.remove(&leader);
            return;
        }
        fetcher.wake_due(now.instant);
        let rate = self.settings.follower_throttled_rate;
        if let Some(until) = self.follower_throttle.exceeded_until(now.instant, rate, &self.settings) {
            // The rate may be another by then.
            let until = until.min(now.instant + self.settings.replica_fetch_backoff);
            fetcher.hold_back(until, |log| slots.get(log).map(Arc::as_ref));
        }
        // What it asks next depends on what was asked, and on what is being written or cut.
        if fetcher.asked.is_some() || !fetcher.busy.is_empty() || fetcher.resting.len() == fetcher.partitions.len() {
            return;
        }
        if fetcher.ready(|progress| progress != Progress::Failed).next().is_none() {
            return;
        }
        let link = fetcher.link;
        if !replication.network.connect(now.instant, link, wants) {
            return;
        }
        let slot = |log: LogId| slots.get(log).map(Arc::as_ref);
        let latest = |log| slot(log).and_then(|partition| partition.log.epochs().latest()).map(|latest| latest.epoch);
        let asked = fetcher
            .epochs(own, latest)
            .or_else(|| fetcher.offsets(own, LATEST))
            .or_else(|| fetcher.offsets(own, EARLIEST));
        if let Some((body, ask)) = asked {
            let api = if let Ask::Epochs(_) = ask { ApiKey::OffsetForLeaderEpoch } else { ApiKey::ListOffsets };
            let Some(version) = replication.network.version(link, api) else { return };
            let tag = fetcher.asks(ask, &mut replication.next_tag);
            return replication.network.send(now.instant, link, (api, version), body, Some(tag), wants);
        }
        let Some(version) = replication.network.version(link, ApiKey::Fetch) else { return };
        let stands = |log, epoch| slot(log).map(|partition| Told::of(partition, epoch));
        if let Some(body) = fetcher.fetch(own, version, &self.settings, self.config.bugs, stands) {
            let tag = fetcher.asks(Ask::Fetch, &mut replication.next_tag);
            replication.network.send(now.instant, link, (ApiKey::Fetch, version), body.into(), Some(tag), wants);
        }
    }

    /// A log without epochs has no records of any: nothing above its high watermark can be believed.
    fn cut_without_epochs(&mut self, now: Now, leader: BrokerId, out: &mut Vec<Effect>) {
        let Some(fetcher) = self.replication.fetchers.get(&leader).filter(|it| it.busy.is_empty()) else { return };
        // Before KIP-101 all were: what this follower knows to be committed lags behind what its leader knows.
        let never_asks = self.config.bugs.has(Bug::TruncateToHighWatermark);
        let has_none = |partition: &Partition| partition.log.epochs().latest().is_none();
        let without = |log: &LogId| self.slot(*log).is_some_and(|partition| never_asks || has_none(partition));
        let truncating = fetcher.ready(|progress| progress == Progress::Truncating).map(|(log, _)| log);
        let logs: Vec<LogId> = truncating.filter(without).collect();
        for log in logs {
            self.cut_to_high_watermark(now, log, out);
        }
    }
}
