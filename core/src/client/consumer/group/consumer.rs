//! A member of the consumer protocol (KIP-848): it says what it wants and what it has, and the coordinator says what it is
//! to have.
//!
//! ```text
//! Joining ─[heartbeat with epoch 0]→ Stable ⇄ Reconciling [it is to have something else: commits, lets go, takes]
//!    ↑                                 ↑           ↓
//!    │                                 └─[heartbeat: what it has] Acknowledging
//!    ├── Fenced [the coordinator does not know it any more: all is lost]
//!    └── Stale  [the application has not called poll() in time: it has left]
//! ```

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::settings::{GroupSettings, Protocol};
use super::coordinator::Coordinator;
use super::offsets::{Offsets, Prepared};
use super::{Around, Ask, Identity, Shared, subscription};
use crate::arrange::Arrange;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::error::{self, ErrorCode};
use crate::id::TopicPartition;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Member epochs that say that a member leaves, for good, or for a while.
const LEAVES: i32 = -1;
const LEAVES_FOR_A_WHILE: i32 = -2;

/// The last version in which the coordinator names members.
const NAMED_BY_COORDINATOR: i16 = 0;

#[derive(Clone, Debug)]
pub struct Member {
    stage: Stage,
    /// Its own choice, for as long as the consumer lives.
    id: StrBytes,
    epoch: i32,
    /// What it is to have, by topic id; `None` where it has it.
    target: Option<VecMap<Uuid, Vec<i32>>>,
    interval: Duration,
    next: Instant,
    asked: bool,
    /// What the coordinator was last told: it is not told again.
    told: Told,
    /// In a row.
    failures: u32,
    /// The wish to leave is on its way, or has arrived.
    left: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Joining,
    Stable,
    Reconciling,
    Acknowledging,
    Stale,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    topics: Option<Vec<kafka_protocol::messages::TopicName>>,
    owned: Option<Vec<TopicPartition>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    No,
    Asked,
    Yes,
}

impl Member {
    pub fn new(id: StrBytes) -> Member {
        Member {
            stage: Stage::Joining,
            id,
            epoch: 0,
            target: None,
            interval: Duration::ZERO,
            next: Instant::ZERO,
            asked: false,
            told: Told::default(),
            failures: 0,
            left: Left::No,
        }
    }

    pub fn identity(&self) -> Identity {
        Identity { member_id: self.id.clone(), generation: self.epoch }
    }

    pub fn may_commit(&self) -> bool {
        self.epoch > 0 && self.stage != Stage::Stale
    }

    pub fn state(&self) -> &'static str {
        match self.stage {
            Stage::Joining => "joining",
            Stage::Stable => "stable",
            Stage::Reconciling => "reconciling",
            Stage::Acknowledging => "acknowledging",
            Stage::Stale => "stale",
        }
    }

    pub fn run(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        offsets: &mut Offsets,
        link: LinkId,
    ) {
        let expired = shared.polled + settings.max_poll_interval <= around.now;
        if expired && !matches!(self.stage, Stage::Stale | Stage::Joining) {
            around.note(
                "consumer poll timeout has expired. This means the time between subsequent calls to poll() was longer than \
                 the configured max.poll.interval.ms, which typically implies that the poll loop is spending too much time \
                 processing messages.",
            );
            self.stage = Stage::Stale;
            self.left = Left::No;
        }
        if self.stage == Stage::Stale {
            if !self.leave(around, settings, shared, link) || !around.polling {
                return;
            }
            shared.lose_all(around);
            self.begin(around.now);
        }
        if around.polling {
            self.reconcile(around, settings, shared, offsets, link);
        }
        self.beat(around, settings, shared, link);
    }

    /// It is about to let go of some of what it has.
    pub fn is_reconciling(&self) -> bool {
        self.stage == Stage::Reconciling
    }

    /// What it subscribes to is another.
    pub fn say_soon(&mut self, now: Instant) {
        self.next = now;
    }

    /// It joins, as if it never had.
    fn begin(&mut self, now: Instant) {
        (self.stage, self.epoch, self.left) = (Stage::Joining, 0, Left::No);
        (self.target, self.told, self.next) = (None, Told::default(), now);
    }

    /// Lets go of what it is not to have, says so, and takes what it is to have.
    fn reconcile(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        offsets: &mut Offsets,
        link: LinkId,
    ) {
        if self.stage != Stage::Reconciling {
            return;
        }
        let Some(target) = &self.target else { return };
        let (mut known, mut all) = (Vec::new(), true);
        for (id, partitions) in target {
            let topic = around.metadata.topics().iter().find(|topic| topic.id == *id);
            all &= topic.is_some();
            let name = topic.map(|topic| topic.name.clone());
            known.extend(name.into_iter().flat_map(|name| {
                partitions.iter().map(move |partition| TopicPartition::new(name.clone(), *partition))
            }));
        }
        if !all {
            around.metadata.stale(around.now);
        }
        known.arrange();
        if known == shared.owned {
            if all {
                self.target = None;
                self.stage = Stage::Acknowledging;
                self.next = around.now;
                offsets.prepare(true);
            }
            return;
        }
        if settings.auto_commit.is_some()
            && offsets.prepared(around, settings, shared, self.identity(), link) == Prepared::Waiting
        {
            return;
        }
        let revoked: Vec<_> = shared.owned.iter().filter(|one| !known.contains(one)).cloned().collect();
        shared.revoke(around, self.epoch, revoked);
        if known.iter().any(|one| !shared.owned.contains(one)) {
            offsets.begin(around.now, settings);
        }
        shared.assign(around, self.id.clone(), self.epoch, known);
        offsets.prepare(false);
        if all {
            self.target = None;
        }
        self.stage = Stage::Acknowledging;
        self.next = around.now;
    }

    fn beat(&mut self, around: &mut Around<'_>, settings: &GroupSettings, shared: &Shared, link: LinkId) {
        if self.asked || self.next > around.now {
            return;
        }
        // With all that there is to say, so that it is told all: an answer may have been lost, and an assignment with it.
        let full = self.epoch == 0 || self.told.owned.is_none();
        let topics = around.settings.pattern.is_none().then(|| shared.topics.clone());
        let told = Told { topics, owned: Some(shared.owned.clone()) };
        let mut body = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(shared.id.clone()))
            .with_member_id(self.id.clone())
            .with_member_epoch(self.epoch)
            .with_instance_id(settings.instance_id.clone())
            .with_rebalance_timeout_ms(-1);
        if full {
            let rack = Some(&around.settings.rack).filter(|rack| !rack.is_empty());
            let pattern = around.settings.pattern.as_ref().map(|pattern| pattern.as_str());
            let Protocol::Consumer { remote_assignor } = &settings.protocol else { return };
            body = body
                .with_rebalance_timeout_ms(settings.max_poll_interval.as_millis() as i32)
                .with_rack_id(rack.map(|rack| StrBytes::from_string(rack.clone())))
                .with_subscribed_topic_regex(pattern.map(|pattern| StrBytes::from_string(pattern.to_owned())))
                .with_server_assignor(remote_assignor.clone());
        }
        if full || told.topics != self.told.topics {
            body = body.with_subscribed_topic_names(told.topics.clone());
        }
        if full || told.owned != self.told.owned {
            body = body.with_topic_partitions(Some(by_id(around, &shared.owned)));
        }
        if self.send(around, link, false, body) {
            self.told = told;
            if self.stage == Stage::Acknowledging {
                self.stage = if self.target.is_some() { Stage::Reconciling } else { Stage::Stable };
            }
        }
    }

    fn send(
        &mut self,
        around: &mut Around<'_>,
        link: LinkId,
        leaves: bool,
        mut body: ConsumerGroupHeartbeatRequest,
    ) -> bool {
        let api = ApiKey::ConsumerGroupHeartbeat;
        let named = around.network.version(link, api) == Some(NAMED_BY_COORDINATOR);
        if named && body.member_epoch == 0 && self.epoch == 0 {
            body.member_id = StrBytes::default();
        }
        let latest = api.valid_versions().max;
        let sent = around.ask(link, api, latest, Ask::Beat { leaves }, Duration::ZERO, body.into());
        if sent {
            self.asked = true;
            self.next = around.now + self.interval;
        }
        sent
    }

    /// Says that it leaves. True where that has arrived, as far as it can.
    pub fn leave(&mut self, around: &mut Around<'_>, settings: &GroupSettings, shared: &Shared, link: LinkId) -> bool {
        if self.epoch == 0 {
            return true;
        }
        if self.left == Left::No && !self.asked {
            let epoch = if settings.instance_id.is_some() { LEAVES_FOR_A_WHILE } else { LEAVES };
            let body = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(GroupId(shared.id.clone()))
                .with_member_id(self.id.clone())
                .with_member_epoch(epoch)
                .with_instance_id(settings.instance_id.clone())
                .with_rebalance_timeout_ms(-1);
            if self.send(around, link, true, body) {
                self.left = Left::Asked;
            }
        }
        self.left == Left::Yes
    }

    pub fn beaten(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        leaves: bool,
        body: ConsumerGroupHeartbeatResponse,
    ) {
        self.asked = false;
        if leaves {
            self.left = Left::Yes;
            return;
        }
        // It says that it leaves as soon as it can, and what it was told before that does not count.
        if self.stage == Stage::Stale {
            return;
        }
        let Some(error) = ErrorCode::try_from_code(body.error_code) else {
            self.failures = 0;
            if let Some(id) = body.member_id.filter(|id| !id.is_empty()) {
                self.id = id;
            }
            self.epoch = body.member_epoch;
            self.interval = Duration::from_millis(u64::try_from(body.heartbeat_interval_ms).unwrap_or(0));
            self.next = around.now + self.interval;
            if let Some(assignment) = body.assignment {
                let topics = assignment.topic_partitions.into_iter();
                self.target = Some(topics.map(|topic| (topic.topic_id, topic.partitions)).collect());
                self.stage = Stage::Reconciling;
            } else if self.stage == Stage::Joining {
                self.stage = Stage::Stable;
            }
            return;
        };
        self.told = Told::default();
        if coordinator.is_elsewhere(error) {
            self.next = around.now;
            return;
        }
        match error {
            ErrorCode::CoordinatorLoadInProgress => self.again(around),
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                around.note(format!("is fenced: {}", error::name(error.code())));
                shared.lose_all(around);
                self.begin(around.now);
            }
            _ => {
                let why = body.error_message.filter(|why| !why.is_empty());
                shared.fail(around, Exception::of(error, why.as_deref()));
            }
        }
    }

    pub fn lost(&mut self, around: &mut Around<'_>, leaves: bool) {
        self.asked = false;
        if leaves {
            // Nobody waits for a member that is gone for longer than its session.
            self.left = Left::Yes;
        }
        self.told = Told::default();
        self.again(around);
    }

    fn again(&mut self, around: &mut Around<'_>) {
        self.next = around.retry_at(self.failures);
        self.failures += 1;
    }

    pub fn deadline(&self, settings: &GroupSettings, shared: &Shared) -> Vec<Instant> {
        let mut times = Vec::new();
        if !self.asked {
            times.push(self.next);
        }
        if !matches!(self.stage, Stage::Stale | Stage::Joining) {
            times.push(shared.polled + settings.max_poll_interval);
        }
        times
    }
}

/// As the coordinator knows topics.
fn by_id(around: &Around<'_>, partitions: &[TopicPartition]) -> Vec<TopicPartitions> {
    let topics = subscription::by_topic(partitions).into_iter().filter_map(|(name, partitions)| {
        let topic = around.metadata.topic(&name)?;
        Some(TopicPartitions::default().with_topic_id(topic.id).with_partitions(partitions))
    });
    topics.collect()
}
