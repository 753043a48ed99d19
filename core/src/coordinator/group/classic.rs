//! A group whose members agree among themselves, by a leader, who reads what (the classic protocol).
//!
//! ```text
//!                    ┌────────────────[complete_join: nobody has joined]───────────────┐
//!                    ▼                                                                 │
//! (from nothing) ─▶ Empty ──────[prepare_rebalance: the first joins]──────▶ PreparingRebalance ◀──────────────┐
//!                                                                           │          ▲                      │
//!                                                                [complete_join]       │              [prepare_rebalance:
//!                                                                           ▼          │               one joins, leaves,
//!                                                                   CompletingRebalance┘               or changes]
//!                                                                           │                                 │
//!                                                                [assigned: what the leader said is written]  │
//!                                                                           ▼                                 │
//!                                                                        Stable ──────────────────────────────┘
//! any ─[Event::Unloading: another broker coordinates; its tombstone]─▶ Dead, which is to say: not here
//! ```
//!
//! 1. Generations rise by one with every [`complete_join`](super::rebalance).
//! 2. There is a protocol that every member supports, and members are of one protocol type.
//! 3. `awaiting_join` members have a `join`; a static member is found by its instance id.
//! 4. The leader is a member; there is none only where there are no members.
//!
//! A group lives in memory. What the log says of it, [`GroupValue`], is its last stable generation, and is what it is made
//! of again on the next broker.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;

use super::count;
use super::record::{self, GroupValue};
use crate::arrange::firsts;
use crate::coordinator::wire::{Malformed, Wire};
use crate::coordinator::{Reply, Waiter};
use crate::error::ErrorCode;
use crate::shared_map::SharedMap;
use crate::time::{Duration, Timestamp};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl ClassicState {
    pub fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Classic {
    pub id: Arc<str>,
    pub state: ClassicState,
    /// The state before this one was Empty.
    pub was_empty: bool,
    /// When it came into this state; older Kafkas did not write it down.
    pub since: Option<Timestamp>,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    pub members: SharedMap<Arc<str>, Arc<Member>>,
    /// Member ids by instance id.
    pub static_members: SharedMap<Arc<str>, Arc<str>>,
    /// Ids that were given out, whose members have not come with them yet.
    pub pending_join: SharedMap<Arc<str>, ()>,
    /// Members of this generation that have not asked what is theirs yet.
    pub pending_sync: SharedMap<Arc<str>, ()>,
    /// Members whose JoinGroup waits.
    pub awaiting_join: usize,
    /// What its members read; `None` where they are not consumers, or cannot be understood.
    pub subscribed_topics: Option<Arc<VecSet<Arc<str>>>>,
    /// Of the first rebalance.
    pub initial: Initial,
    /// How many members support a protocol.
    supported: SharedMap<Arc<str>, usize>,
}

/// The first rebalance of a group waits for more members.
#[derive(Clone, Copy, Debug, Default)]
pub struct Initial {
    /// One more has come since it began to wait.
    pub new_member: bool,
    /// How long it waits, and how much longer it may.
    pub delay: Duration,
    pub remaining: Duration,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocol_type: Arc<str>,
    /// In the order of its preference; names are told apart.
    pub protocols: Arc<[Protocol]>,
    pub assignment: Bytes,
    pub join: Option<Waiter>,
    pub sync: Option<Waiter>,
    /// It has not learnt its id yet, so it cannot be expected to send heartbeats.
    pub is_new: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: Arc<str>,
    pub metadata: Bytes,
}

impl Member {
    /// Waiting is as good as a heartbeat.
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms.max(0) as u64)
    }

    /// What it says under a protocol.
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let known = self.protocols.iter().find(|one| Some(&*one.name) == protocol);
        known.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    pub fn vote<'a>(&self, candidates: &VecSet<&'a Arc<str>>) -> Option<&'a Arc<str>> {
        self.protocols.iter().find_map(|protocol| candidates.get(&protocol.name).copied())
    }
}

/// Protocols as a member names them; of two with one name the first counts. Nothing holds on to the request's buffer.
pub fn protocols(asked: &[JoinGroupRequestProtocol]) -> Arc<[Protocol]> {
    let firsts = firsts(&asked.iter().map(|protocol| protocol.name.as_str()).collect::<Vec<_>>());
    let new = asked.iter().zip(firsts).filter_map(|(protocol, first)| first.then_some(protocol));
    let own = |protocol: &JoinGroupRequestProtocol| Protocol {
        name: protocol.name.as_str().into(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    new.map(own).collect()
}

/// Members come and go.
impl Classic {
    pub fn new(id: Arc<str>, now: Timestamp) -> Classic {
        Classic {
            id,
            state: ClassicState::Empty,
            was_empty: false,
            since: Some(now),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: SharedMap::new(),
            static_members: SharedMap::new(),
            pending_join: SharedMap::new(),
            pending_sync: SharedMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
            initial: Initial::default(),
            supported: SharedMap::new(),
        }
    }

    /// As the log has it.
    pub fn from_log(id: Arc<str>, value: &GroupValue) -> Classic {
        let now = Timestamp(value.current_state_timestamp);
        let mut group = Classic::new(id, now);
        group.since = (now != Timestamp::NONE).then_some(now);
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type.clone()).filter(|kind| !kind.is_empty());
        group.protocol = value.protocol.clone();
        group.leader = value.leader.clone();
        for member in &value.members {
            let protocol =
                Protocol { name: value.protocol.clone().unwrap_or_default(), metadata: member.subscription.clone() };
            let rebalance_timeout_ms = match member.rebalance_timeout {
                -1 => member.session_timeout,
                timeout => timeout,
            };
            group.add(Member {
                id: member.member_id.clone(),
                instance_id: member.group_instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout,
                protocol_type: value.protocol_type.clone(),
                protocols: [protocol].into(),
                assignment: member.assignment.clone(),
                join: None,
                sync: None,
                is_new: false,
            });
        }
        if !group.members.is_empty() {
            group.state = ClassicState::Stable;
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// What the log is to say; `assignment` is what a member should have.
    pub fn value(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupValue {
        let members = self.members.values().map(|member| record::ClassicMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: assignment(member),
        });
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.since.unwrap_or(Timestamp::NONE).0,
            members: members.collect(),
        }
    }

    pub fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        // (4)
        self.leader.get_or_insert_with(|| member.id.clone());
        self.count(&member.protocols, true);
        self.awaiting_join += usize::from(member.join.is_some());
        self.pending_join.remove(&member.id);
        self.members.insert(member.id.clone(), Arc::new(member));
    }

    pub fn remove(&mut self, id: &str) -> Option<Arc<Member>> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.count(&member.protocols, false);
            self.awaiting_join -= usize::from(member.join.is_some());
            if let Some(instance) = &member.instance_id {
                self.static_members.remove(instance);
            }
        }
        // (4)
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        removed
    }

    pub fn member(&self, id: &str) -> Option<&Arc<Member>> {
        self.members.get(id)
    }

    /// Changes a member. (3)
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(id) else { return };
        let (joining, protocols) = (member.join.is_some(), member.protocols.clone());
        let member = Arc::make_mut(member);
        change(member);
        let (joins, now) = (member.join.is_some(), member.protocols.clone());
        self.awaiting_join = self.awaiting_join + usize::from(joins) - usize::from(joining);
        if !Arc::ptr_eq(&protocols, &now) {
            self.count(&protocols, false);
            self.count(&now, true);
        }
    }

    /// Another process comes with the instance id of a member, and takes its place under a new id. Whoever still waits as
    /// the old one is fenced.
    pub fn replace_static(&mut self, instance: &Arc<str>, old: &str, new: Arc<str>, out: &mut Vec<Reply>) {
        let Some(mut member) = self.members.remove(old).map(Arc::unwrap_or_clone) else { return };
        if let Some(waiter) = member.join.take() {
            self.awaiting_join -= 1;
            out.push(super::join::refused(waiter, old, ErrorCode::FencedInstanceId));
        }
        if let Some(waiter) = member.sync.take() {
            out.push(super::sync::refused(waiter, ErrorCode::FencedInstanceId));
        }
        member.id = new.clone();
        self.members.insert(new.clone(), Arc::new(member));
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(new.clone());
        }
        self.static_members.insert(instance.clone(), new);
    }

    fn count(&mut self, protocols: &[Protocol], more: bool) {
        for protocol in protocols {
            count(&mut self.supported, &protocol.name, more);
        }
    }
}

/// What is true of it.
impl Classic {
    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    pub fn has_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The longest that any member asks for.
    pub fn rebalance_timeout(&self) -> Duration {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        Duration::from_millis(longest.unwrap_or(0).max(0) as u64)
    }

    /// Who asks is who it says it is.
    pub fn validate_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let known = self.static_members.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if **known != *id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// (2)
    pub fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == ClassicState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let by_all = |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(|one| by_all(&one.name))
    }

    /// The protocol that most members prefer of those that all support.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let by_all = self.supported.iter().filter(|(_, count)| **count == self.members.len());
        let candidates: VecSet<&Arc<str>> = by_all.map(|(name, _)| name).collect();
        let mut votes: VecMap<&Arc<str>, usize> = VecMap::new();
        for protocol in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(protocol).or_default() += 1;
        }
        votes.into_iter().rev().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.clone())
    }

    /// What the leader is told of the members.
    pub fn wire_members(&self) -> Vec<JoinGroupResponseMember> {
        let member = |member: &Arc<Member>| {
            JoinGroupResponseMember::default()
                .with_member_id(super::wire_text(&member.id))
                .with_group_instance_id(member.instance_id.as_ref().map(super::wire_text))
                .with_metadata(member.metadata(self.protocol.as_deref()))
        };
        self.members.values().map(member).collect()
    }

    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Where it is not known what consumers read, they may read it.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed_topics.as_ref().map_or(self.is_of_consumers(), |topics| topics.contains(topic))
    }

    pub fn compute_subscribed_topics(&self) -> Option<Arc<VecSet<Arc<str>>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(Arc::default());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = Vec::new();
        for member in self.members.values() {
            topics.extend(subscription_topics(member.metadata(Some(protocol))).ok()?);
        }
        Some(Arc::new(topics.into_iter().collect()))
    }
}

/// Moves between states; why and when is in `rebalance.rs`.
impl Classic {
    pub fn transition(&mut self, to: ClassicState, now: Timestamp) {
        self.was_empty = self.state == ClassicState::Empty;
        self.state = to;
        self.since = Some(now);
    }

    /// Those who have joined are the next generation. (1)
    pub fn begin_generation(&mut self, now: Timestamp) {
        self.generation += 1;
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let empty = self.members.is_empty();
        self.transition(if empty { ClassicState::Empty } else { ClassicState::CompletingRebalance }, now);
        self.pending_sync = SharedMap::new();
    }

    /// The leader has joined again, or another who has takes its place. False where nobody has, or nobody is there.
    pub fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.join.is_some());
        match &self.leader {
            None => false,
            Some(leader) if joined(leader) => true,
            Some(_) => match self.members.values().find(|member| member.join.is_some()) {
                Some(member) => {
                    self.leader = Some(member.id.clone());
                    true
                }
                None => false,
            },
        }
    }
}

/// The topics of a consumer's subscription. It is read as of version 0, which every later one begins with.
pub fn subscription_topics(subscription: Bytes) -> Result<Vec<Arc<str>>, Malformed> {
    let mut wire = Wire::Read(subscription);
    let (mut version, mut user_data, mut topics) = (0, 0, Vec::new());
    wire.i16(&mut version)?;
    wire.array(&mut topics, false, |topic, wire| wire.string(topic, false))?;
    wire.i32(&mut user_data)?;
    match wire {
        Wire::Read(rest) if user_data > rest.len() as i32 => Err(Malformed),
        _ if version < 0 => Err(Malformed),
        _ => Ok(topics),
    }
}
