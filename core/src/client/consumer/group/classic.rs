//! A member of the classic protocol, in which members agree among themselves who reads what.
//!
//! ```text
//! Out → Preparing [prepare: commits, then lets go] → Ready → Joining [join] → Assigning [the leader: assign]
//!  ↑                                                               ↓                 ↓
//!  │                                                            Syncing  ←───────────┘
//!  │                                                               ↓ [synced]
//!  └─ thrown out, left; or asked to join again ← Stable ← Synced ──┘ [complete, in poll()]
//! ```
//!
//! Eager members let go of everything before they join; cooperative ones keep what they own, let go of what they are told
//! to, and then join again.

use bytes::Bytes;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    ApiKey, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::assignor::Strategy;
use super::super::settings::{GroupSettings, Protocol};
use super::coordinator::Coordinator;
use super::offsets::{Offsets, Prepared};
use super::{Around, Ask, Identity, Shared};
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::error::{self, ErrorCode};
use crate::id::TopicPartition;
use crate::time::{Duration, Instant};

/// No generation.
pub const NONE: i32 = -1;

const POLL_TIMEOUT: &str = "consumer poll timeout has expired. This means the time between subsequent calls to poll() was \
                            longer than the configured max.poll.interval.ms, which typically implies that the poll loop \
                            is spending too much time processing messages. You can address this either by increasing \
                            max.poll.interval.ms or by reducing the maximum size of batches returned in poll() with \
                            max.poll.records.";

#[derive(Clone, Debug)]
pub struct Classic {
    pub(super) stage: Stage,
    pub(super) member_id: StrBytes,
    pub(super) generation: i32,
    /// Why it has to join again, if so.
    pub(super) rejoin: Option<&'static str>,
    /// It has let go of what it must not have while it joins.
    pub(super) prepared: bool,
    prepare_until: Instant,
    pub(super) strategy: Option<Strategy>,
    pub(super) is_leader: bool,
    /// Of a leader: what it assigned, so that it sees when there is more or less.
    pub(super) assigned_on: Option<Vec<(TopicName, usize)>>,
    pub(super) joined_topics: Vec<TopicName>,
    /// The last generation that it was assigned partitions in, and these.
    pub(super) last: Option<(i32, Vec<TopicPartition>)>,
    pub(super) max_generation: i32,
    heartbeat: Beat,
    pub(super) retry_at: Instant,
    pub(super) failures: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Out,
    Preparing,
    Ready,
    Joining,
    /// Until the leader knows the topics of all members.
    Assigning(Box<JoinGroupResponse>),
    Syncing,
    Synced(Bytes),
    Stable,
}

#[derive(Clone, Copy, Debug, Default)]
struct Beat {
    next: Instant,
    /// Of the last one that was answered, or what stands for it.
    answered: Instant,
    asked: bool,
}

impl Default for Classic {
    fn default() -> Self {
        Classic {
            stage: Stage::Out,
            member_id: StrBytes::default(),
            generation: NONE,
            rejoin: Some(""),
            prepared: false,
            prepare_until: Instant::ZERO,
            strategy: None,
            is_leader: false,
            assigned_on: None,
            joined_topics: Vec::new(),
            last: None,
            max_generation: NONE,
            heartbeat: Beat::default(),
            retry_at: Instant::ZERO,
            failures: 0,
        }
    }
}

pub(super) fn times(settings: &GroupSettings) -> (Duration, Duration) {
    match settings.protocol {
        Protocol::Classic { session_timeout, heartbeat_interval, .. } => (session_timeout, heartbeat_interval),
        Protocol::Consumer { .. } => unreachable!("members of the classic protocol alone ask"),
    }
}

pub(super) fn strategies(settings: &GroupSettings) -> &[Strategy] {
    match &settings.protocol {
        Protocol::Classic { strategies, .. } => strategies,
        Protocol::Consumer { .. } => unreachable!("members of the classic protocol alone ask"),
    }
}

/// The rebalance protocol is the one that all strategies know.
pub(super) fn is_cooperative(settings: &GroupSettings) -> bool {
    strategies(settings).iter().all(|strategy| strategy.is_cooperative())
}

impl Classic {
    pub fn identity(&self) -> Identity {
        Identity { member_id: self.member_id.clone(), generation: self.generation }
    }

    pub fn state(&self) -> &'static str {
        match self.stage {
            Stage::Out => "not a member",
            Stage::Preparing => "commits before it joins",
            Stage::Ready => "is about to join",
            Stage::Joining => "joins",
            Stage::Assigning(_) => "assigns",
            Stage::Syncing | Stage::Synced(_) => "waits for its assignment",
            Stage::Stable => "stable",
        }
    }

    pub fn may_commit(&self) -> bool {
        self.generation != NONE && matches!(self.stage, Stage::Stable | Stage::Preparing)
    }

    /// Whether everything that it owns is about to be let go of.
    pub fn revokes(&self) -> bool {
        self.stage == Stage::Preparing
    }

    pub fn run(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        offsets: &mut Offsets,
        coordinator: &mut Coordinator,
        link: LinkId,
    ) {
        if self.heartbeats() {
            self.beat(around, settings, shared, coordinator, link);
        }
        if !around.polling || coordinator.link().is_none() || shared.fatal.is_some() {
            return;
        }
        self.look_at_topics(around, shared);
        if let Stage::Synced(assignment) = &self.stage {
            let assignment = assignment.clone();
            self.complete(around, settings, shared, offsets, assignment);
        }
        if matches!(self.stage, Stage::Assigning(_)) {
            self.assign(around, settings, shared, link);
        }
        if self.rejoin.is_some() && matches!(self.stage, Stage::Out | Stage::Stable) {
            self.stage = if self.prepared { Stage::Ready } else { Stage::Preparing };
            self.prepare_until = around.now + settings.max_poll_interval;
            offsets.prepare(self.prepared);
        }
        if self.stage == Stage::Preparing {
            self.prepare(around, settings, shared, offsets, link);
        }
        if self.stage == Stage::Ready && self.retry_at <= around.now {
            self.join(around, settings, shared, link);
        }
    }

    /// The coordinator was found.
    pub fn found(&mut self, now: Instant) {
        self.heartbeat.answered = now;
    }

    /// The member is to join again, for a reason that the coordinator is told.
    pub(super) fn request_rejoin(&mut self, why: &'static str) {
        self.rejoin = Some(why);
    }

    /// It is not in that generation any more; perhaps the coordinator does not know it at all.
    pub(super) fn reset(&mut self, error: ErrorCode) {
        self.generation = NONE;
        if error != ErrorCode::IllegalGeneration {
            self.member_id = StrBytes::default();
        }
        self.stage = Stage::Out;
        // What it owned is lost, which it finds when it prepares.
        self.prepared = false;
        self.request_rejoin("encountered an error of its generation");
    }

    fn look_at_topics(&mut self, around: &Around<'_>, shared: &Shared) {
        if self.stage != Stage::Stable {
            return;
        }
        if self.joined_topics != shared.subscription(around) {
            self.request_rejoin("the subscription has changed since the last join");
        } else if let Some(assigned_on) = &self.assigned_on
            && assigned_on.iter().any(|(topic, count)| partitions(around, topic) != *count)
        {
            self.request_rejoin("cached metadata has changed since the last assignment");
        }
    }

    /// Commits what was polled, if that is the consumer's to do, and lets go of what must not be kept.
    fn prepare(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        offsets: &mut Offsets,
        link: LinkId,
    ) {
        let out = self.generation == NONE || self.member_id.is_empty();
        if settings.auto_commit.is_some() && !out && self.prepare_until > around.now {
            match offsets.prepared(around, settings, shared, self.identity(), link) {
                Prepared::Waiting => return,
                Prepared::Done => {}
            }
        }
        if out {
            shared.lose_all(around);
        } else if is_cooperative(settings) {
            let topics = shared.subscription(around);
            let gone = shared.owned.iter().filter(|partition| !topics.contains(&partition.topic)).cloned().collect();
            shared.revoke(around, self.generation, gone);
        } else {
            shared.revoke(around, self.generation, shared.owned.clone());
        }
        self.is_leader = false;
        self.prepared = true;
        self.stage = Stage::Ready;
    }

    /// From the moment at which the coordinator has let it in.
    fn heartbeats(&self) -> bool {
        self.generation != NONE
            && matches!(
                self.stage,
                Stage::Stable | Stage::Preparing | Stage::Assigning(_) | Stage::Syncing | Stage::Synced(_)
            )
    }

    pub(super) fn begin_heartbeats(&mut self, now: Instant, settings: &GroupSettings) {
        self.heartbeat = Beat { next: now + times(settings).1, answered: now, asked: self.heartbeat.asked };
    }

    fn beat(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        link: LinkId,
    ) {
        let (session_timeout, interval) = times(settings);
        if self.heartbeat.answered + session_timeout <= around.now {
            around.note("session timed out without receiving a heartbeat response");
            coordinator.forget();
            return;
        }
        if shared.polled + settings.max_poll_interval <= around.now {
            around.note(POLL_TIMEOUT);
            self.leave(around, settings, shared, link, "consumer poll timeout has expired.");
            return;
        }
        if self.heartbeat.asked || self.heartbeat.next > around.now {
            return;
        }
        let body = HeartbeatRequest::default()
            .with_group_id(GroupId(shared.id.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(settings.instance_id.clone());
        let (ask, latest) = (Ask::Heartbeat { generation: self.generation }, ApiKey::Heartbeat.valid_versions().max);
        self.heartbeat.asked = around.ask(link, ApiKey::Heartbeat, latest, ask, Duration::ZERO, body.into());
        self.heartbeat.next = around.now + interval;
    }

    pub fn beaten(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        generation: i32,
        body: HeartbeatResponse,
    ) {
        self.heartbeat.asked = false;
        let Some(error) = ErrorCode::try_from_code(body.error_code) else {
            self.heartbeat.answered = around.now;
            return;
        };
        if coordinator.is_elsewhere(error) {
            self.heartbeat.next = around.now;
            return;
        }
        match error {
            ErrorCode::RebalanceInProgress => {
                self.heartbeat.answered = around.now;
                if self.stage == Stage::Stable {
                    self.request_rejoin("group is already rebalancing");
                }
            }
            _ if generation != self.generation || !self.heartbeats() => {}
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
                around.note(format!("resets its generation: {}", error::name(error.code())));
                self.reset(error);
            }
            ErrorCode::FencedInstanceId => {
                self.stage = Stage::Out;
                shared.fail(around, Exception::of(error, None));
            }
            _ => self.heartbeat.next = around.retry_at(0),
        }
    }

    /// Tells the coordinator, unless it is a static member: that is waited for until its session ends. True where that is
    /// done, as far as it is done at all.
    pub fn leave(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        link: LinkId,
        why: &'static str,
    ) -> bool {
        if settings.instance_id.is_none() && !self.member_id.is_empty() {
            let reason = Some(StrBytes::from_static_str(why));
            let member = MemberIdentity::default().with_member_id(self.member_id.clone()).with_reason(reason);
            let group = GroupId(shared.id.clone());
            let body = match around.network.version(link, ApiKey::LeaveGroup) {
                Some(..=2) => LeaveGroupRequest::default().with_group_id(group).with_member_id(self.member_id.clone()),
                _ => LeaveGroupRequest::default().with_group_id(group).with_members(vec![member]),
            };
            let latest = ApiKey::LeaveGroup.valid_versions().max;
            if !around.ask(link, ApiKey::LeaveGroup, latest, Ask::Leave, Duration::ZERO, body.into()) {
                return false;
            }
        }
        self.reset(ErrorCode::UnknownMemberId);
        self.request_rejoin("consumer pro-actively leaving the group");
        true
    }

    pub fn lost(&mut self, around: &mut Around<'_>, ask: &Ask) {
        match ask {
            Ask::Heartbeat { .. } => {
                self.heartbeat.asked = false;
                self.heartbeat.next = around.now;
            }
            _ => self.join_again(around, "rebalance failed: the coordinator was lost"),
        }
    }

    /// Joining failed, and is tried once more after a while.
    pub(super) fn join_again(&mut self, around: &mut Around<'_>, why: &'static str) {
        self.retry_at = around.retry_at(self.failures);
        self.failures += 1;
        self.stage = Stage::Out;
        self.request_rejoin(why);
    }

    pub fn deadline(&self, settings: &GroupSettings, shared: &Shared) -> Vec<Instant> {
        let mut times = vec![self.retry_at];
        if self.heartbeats() {
            let (session_timeout, _) = self::times(settings);
            times.extend([
                self.heartbeat.next,
                self.heartbeat.answered + session_timeout,
                shared.polled + settings.max_poll_interval,
            ]);
        }
        if self.stage == Stage::Preparing {
            times.push(self.prepare_until);
        }
        times
    }
}

pub(super) fn partitions(around: &Around<'_>, topic: &TopicName) -> usize {
    around.metadata.topic(topic).map_or(0, |topic| topic.partitions.len())
}
