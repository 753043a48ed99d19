//! What the group has committed: where members begin, and how far they say that they have come.
//!
//! What is committed is the position: what poll() gave before it was called again counts as worked off.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ApiKey, GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};

use super::super::positions::{State, Tenure, undefined};
use super::super::settings::{GroupSettings, Manual, Reset};
use super::super::validate::Validity;
use super::called::Called;
use super::coordinator::Coordinator;
use super::{Around, Ask, Identity, Membership, Shared, called, subscription};
use crate::arrange::Arrange;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::client::{Effect, Report};
use crate::error::{self, ErrorCode};
use crate::id::{LeaderEpoch, Offset, TopicPartition};
use crate::time::{Duration, Instant};

/// From 10 on OffsetCommit and OffsetFetch name topics by their ids.
const LAST_WITH_NAMES: i16 = 9;
/// From this version on OffsetFetch asks for several groups at once.
const BATCHED: i16 = 8;
/// Kafka's `default.api.timeout.ms`.
pub(super) const API_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) const COMMIT_FAILED: &str = "Offset commit cannot be completed since the consumer is not part of an active group for auto \
                             partition assignment; it is likely that the consumer was kicked out of the group.";

#[derive(Clone, Debug, Default)]
pub struct Offsets {
    /// `None` before anything was assigned.
    next_auto: Option<Instant>,
    /// The application has got records that it has not committed.
    owed: bool,
    /// commitSync() waits, until then at the latest.
    sync: Option<Instant>,
    /// The commit before a rebalance, or before the end.
    last: Last,
    /// A commit that somebody waits for is on its way.
    asked: bool,
    fetching: bool,
    /// What a program calls for.
    pub(super) called: Vec<Called>,
    pub(super) retry_at: Instant,
    /// In a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Due,
    Asked,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    Waiting,
    Done,
}

/// Why offsets are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `auto.commit.interval.ms` has passed.
    Auto,
    /// Before partitions are let go of.
    Last,
    Sync,
    Async,
    /// The program's call of that number.
    Called(u64),
}

/// A commit that is on its way.
#[derive(Clone, Debug)]
pub struct Commit {
    why: Why,
    generation: i32,
    asked: Instant,
    offsets: Vec<(TopicPartition, Offset)>,
}

impl Offsets {
    pub fn blocks(&self) -> bool {
        self.sync.is_some()
    }

    /// Whether the commit before partitions are let go of is on its way.
    pub fn is_last_asked(&self) -> bool {
        self.last == Last::Asked
    }

    pub fn polled(&mut self, settings: &GroupSettings) {
        self.owed = settings.commit.is_some();
    }

    /// Partitions were assigned: time begins to count.
    pub fn begin(&mut self, now: Instant, settings: &GroupSettings) {
        self.next_auto = settings.auto_commit.map(|interval| now + interval);
    }

    /// Partitions are going to be let go of; `done`: they were already.
    pub fn prepare(&mut self, done: bool) {
        self.last = if done { Last::Done } else { Last::Due };
    }

    pub fn prepared(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        identity: Identity,
        link: LinkId,
    ) -> Prepared {
        if self.last == Last::Due && self.retry_at <= around.now {
            match self.commit(around, settings, shared, identity, link, Why::Last) {
                Sent::Yes => self.last = Last::Asked,
                Sent::Nothing => self.last = Last::Done,
                Sent::NotYet => {}
            }
        }
        if self.last == Last::Done { Prepared::Done } else { Prepared::Waiting }
    }

    /// The same at the end: true where that is done.
    pub fn closes(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        (identity, picked): (Identity, bool),
        link: LinkId,
    ) -> bool {
        let commits = settings.auto_commit.is_some() || settings.commit.is_some();
        if !self.called.is_empty() {
            return false;
        }
        !commits
            || identity.generation <= 0 && !picked
            || self.prepared(around, settings, shared, identity, link) == Prepared::Done
    }

    /// In poll(): what time or the application asks for.
    pub fn commit_what_is_due(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        identity: Option<Identity>,
        link: LinkId,
    ) {
        let Some(identity) = identity else {
            if self.sync.take().is_some() {
                self.asked = false;
                around.note(COMMIT_FAILED);
            }
            return;
        };
        if let Some(until) = self.sync {
            if until <= around.now {
                self.sync = None;
                around.note("Timeout of 60000ms expired before successfully committing offsets");
            } else if !self.asked && self.retry_at <= around.now {
                self.commit(around, settings, shared, identity, link, Why::Sync);
            }
            return;
        }
        if !around.polling {
            return;
        }
        if let (Some(interval), Some(next)) = (settings.auto_commit, self.next_auto)
            && next <= around.now
        {
            self.next_auto = Some(around.now + interval);
            self.commit(around, settings, shared, identity.clone(), link, Why::Auto);
        }
        match settings.commit.filter(|_| std::mem::take(&mut self.owed)) {
            Some(Manual::Async) => drop(self.commit(around, settings, shared, identity, link, Why::Async)),
            Some(Manual::Sync) => match self.commit(around, settings, shared, identity, link, Why::Sync) {
                Sent::Nothing => {}
                Sent::Yes | Sent::NotYet => self.sync = Some(around.now + API_TIMEOUT),
            },
            None => {}
        }
    }

    pub(super) fn commit(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        identity: Identity,
        link: LinkId,
        why: Why,
    ) -> Sent {
        let positions = around.positions.iter();
        let at = |position: &super::Position| match position.state {
            State::At(offset) => Some((position.name(), offset, position.epoch)),
            _ => None,
        };
        let own = positions.filter(|position| shared.owned.contains(&position.name()));
        let mut offsets: Vec<_> = own.filter_map(at).collect();
        offsets.arrange();
        self.request(around, settings, shared, identity, link, why, offsets)
    }

    /// Commits these; each topic's stand together.
    pub(super) fn request(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        Identity { member_id, generation }: Identity,
        link: LinkId,
        why: Why,
        told: Vec<(TopicPartition, Offset, LeaderEpoch)>,
    ) -> Sent {
        let mut offsets = Vec::new();
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (name, offset, epoch) in told {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(name.partition)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(epoch)
                .with_committed_metadata(Some(Default::default()));
            match topics.last_mut().filter(|topic| topic.name == name.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(
                    OffsetCommitRequestTopic::default().with_name(name.topic.clone()).with_partitions(vec![partition]),
                ),
            }
            offsets.push((name, offset));
        }
        if offsets.is_empty() {
            return Sent::Nothing;
        }
        let body = OffsetCommitRequest::default()
            .with_group_id(GroupId(shared.id.clone()))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(member_id)
            .with_group_instance_id(settings.instance_id.clone())
            .with_topics(topics);
        let ask = Ask::Commit(Commit { why, generation, asked: around.now, offsets });
        if !around.ask(link, ApiKey::OffsetCommit, LAST_WITH_NAMES, ask, Duration::ZERO, body.into()) {
            return Sent::NotYet;
        }
        self.asked |= why == Why::Sync;
        Sent::Yes
    }

    pub(super) fn committed(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        membership: &mut Membership,
        commit: Commit,
        body: OffsetCommitResponse,
    ) {
        let mut answers = body.topics.iter().flat_map(|topic| &topic.partitions);
        let failed = answers.find_map(|answer| ErrorCode::try_from_code(answer.error_code));
        let Some(error) = failed else {
            self.settled(around, &commit, None);
            for (partition, offset) in &commit.offsets {
                let of = |position: &&mut super::Position| position.name() == *partition;
                around.positions.iter_mut().filter(of).for_each(|position| position.committed = *offset);
            }
            let (group, generation) = (shared.id.clone(), commit.generation);
            let report = Report::Committed { group, generation, asked: commit.asked, offsets: commit.offsets };
            return around.out.push(Effect::Report(report));
        };
        coordinator.is_elsewhere(error);
        match error {
            ErrorCode::RequestTimedOut => {
                coordinator.forget();
                return self.commit_lost(around, commit);
            }
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::UnknownTopicOrPartition => return self.commit_lost(around, commit),
            // The member has moved on, and says the same under its new epoch.
            ErrorCode::StaleMemberEpoch if membership.identity().generation > commit.generation => {
                return self.commit_lost(around, commit);
            }
            ErrorCode::FencedInstanceId | ErrorCode::GroupAuthorizationFailed => {
                shared.fail(around, Exception::of(error, None));
            }
            ErrorCode::RebalanceInProgress => {
                around.note("offset commit failed since group is already rebalancing");
                if let Membership::Classic(classic) = membership
                    && classic.generation == commit.generation
                {
                    classic.request_rejoin("offset commit failed since group is already rebalancing");
                }
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                around.note(COMMIT_FAILED);
                if let Membership::Classic(classic) = membership
                    && classic.generation == commit.generation
                {
                    classic.reset(error);
                }
            }
            _ => around.note(format!("Offset commit failed: {}", error::name(error.code()))),
        }
        self.settled(around, &commit, Some(error));
    }

    /// It can be tried again.
    pub fn commit_lost(&mut self, around: &mut Around<'_>, commit: Commit) {
        self.retry_at = around.retry_at(0);
        match commit.why {
            Why::Last => self.last = Last::Due,
            Why::Sync => self.asked = false,
            Why::Auto => {
                if let Some(next) = &mut self.next_auto {
                    *next = self.retry_at.min(*next);
                }
            }
            Why::Async => around.note("Asynchronous commit of offsets failed, and is not tried again"),
            Why::Called(id) => self.call_lost(around, id),
        }
    }

    fn settled(&mut self, around: &mut Around<'_>, commit: &Commit, failed: Option<ErrorCode>) {
        match commit.why {
            Why::Last => self.last = Last::Done,
            Why::Sync => (self.asked, self.sync) = (false, None),
            Why::Auto if failed.is_some() => self.retry_at = around.retry_at(0),
            Why::Auto | Why::Async => {}
            Why::Called(id) => self.answer(around, id, failed.map_or(Ok(()), |error| Err(called::exception(error)))),
        }
    }

    /// Asks where to begin in what was newly assigned.
    pub fn fetch(&mut self, around: &mut Around<'_>, shared: &Shared, membership: &Membership, link: LinkId) {
        if self.fetching || self.retry_at > around.now {
            return;
        }
        let fresh = |(index, position): (usize, &super::Position)| {
            (position.state == State::Fresh).then(|| (position.name(), Tenure { index, count: position.tenure }))
        };
        let mut asked: Vec<_> = around.positions.iter().enumerate().filter_map(fresh).collect();
        if asked.is_empty() {
            return;
        }
        asked.arrange_by(|(one, _), (other, _)| one.cmp(other));
        let (names, tenures): (Vec<TopicPartition>, Vec<Tenure>) = asked.into_iter().unzip();
        let group = GroupId(shared.id.clone());
        let topics = subscription::by_topic(&names).into_iter();
        let body = match around.network.version(link, ApiKey::OffsetFetch) {
            Some(version) if version < BATCHED => {
                let topic = |(name, partitions): (TopicName, Vec<i32>)| {
                    OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(partitions)
                };
                let topics = topics.map(topic).collect();
                OffsetFetchRequest::default().with_group_id(group).with_topics(Some(topics))
            }
            _ => {
                let topic = |(name, partitions): (TopicName, Vec<i32>)| {
                    OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(partitions)
                };
                let mut one = OffsetFetchRequestGroup::default()
                    .with_group_id(group)
                    .with_topics(Some(topics.map(topic).collect()))
                    .with_member_epoch(-1);
                if let Membership::Consumer(member) = membership {
                    let Identity { member_id, generation } = member.identity();
                    one = one.with_member_id(Some(member_id)).with_member_epoch(generation);
                }
                OffsetFetchRequest::default().with_groups(vec![one])
            }
        };
        let body = body.with_require_stable(true);
        let ask = Ask::Fetch(tenures);
        self.fetching = around.ask(link, ApiKey::OffsetFetch, LAST_WITH_NAMES, ask, Duration::ZERO, body.into());
    }

    pub(super) fn fetched(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        asked: Vec<Tenure>,
        body: OffsetFetchResponse,
    ) {
        let (code, answers) = answers(body);
        if let Some(error) = ErrorCode::try_from_code(code) {
            coordinator.is_elsewhere(error);
            if error == ErrorCode::GroupAuthorizationFailed {
                shared.fail(around, Exception::of(error, None));
            }
            return self.fetch_lost(around, asked);
        }
        self.fetching = false;
        self.failures = 0;
        for tenure in asked {
            let Some(position) = tenure.of(around.positions).filter(|position| position.state == State::Fresh) else {
                continue;
            };
            let name = position.name();
            let answer = answers.iter().find(|(partition, ..)| *partition == name);
            let told = match answer {
                Some((_, code, ..)) if *code != error::NONE => {
                    // Of a transaction that is under way, say: asked again.
                    self.retry_at = around.now + around.settings.connection.retry_backoff.least;
                    continue;
                }
                Some((_, _, offset, epoch)) if *offset >= 0 => Some((*offset, *epoch)),
                _ => None,
            };
            match told {
                Some((offset, epoch)) => {
                    position.committed = offset;
                    position.state = State::At(offset);
                    position.epoch = epoch;
                    around.metadata.saw(around.now, &name, epoch);
                    position.validity = if epoch >= 0 { Validity::Doubtful } else { Validity::Valid };
                }
                None if around.settings.reset == Reset::None => {
                    let why = undefined(&name);
                    position.state = State::Halted(why.clone());
                    around.note(why.message);
                }
                None => position.state = State::Unknown,
            }
        }
    }

    pub fn fetch_lost(&mut self, around: &mut Around<'_>, _asked: Vec<Tenure>) {
        self.fetching = false;
        self.retry_at = around.retry_at(self.failures);
        self.failures += 1;
    }

    pub fn deadline(&self, settings: &GroupSettings) -> impl Iterator<Item = Instant> {
        let auto = settings.auto_commit.and(self.next_auto);
        auto.into_iter().chain(self.sync).chain(self.call_deadline()).chain([self.retry_at])
    }
}

/// What became of a wish to commit.
pub(super) enum Sent {
    Yes,
    /// There is nothing to commit.
    Nothing,
    /// There is no connection.
    NotYet,
}

type Told = (TopicPartition, i16, Offset, i32);

fn answers(body: OffsetFetchResponse) -> (i16, Vec<Told>) {
    let mut told = Vec::new();
    let code = match body.groups.into_iter().next() {
        Some(group) => {
            for topic in group.topics {
                told.extend(topic.partitions.iter().map(|one| {
                    let name = TopicPartition::new(topic.name.clone(), one.partition_index);
                    (name, one.error_code, one.committed_offset, one.committed_leader_epoch)
                }));
            }
            group.error_code
        }
        None => {
            for topic in body.topics {
                told.extend(topic.partitions.iter().map(|one| {
                    let name = TopicPartition::new(topic.name.clone(), one.partition_index);
                    (name, one.error_code, one.committed_offset, one.committed_leader_epoch)
                }));
            }
            body.error_code
        }
    };
    (code, told)
}
