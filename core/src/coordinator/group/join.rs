//! JoinGroup: a member comes, or comes again.
//!
//! - v4: whoever has no id yet is given one, and comes again with it, so that a client that gave up waiting leaves no member
//!   behind (KIP-394).
//! - v5: a member with an instance id is static (KIP-345): who comes with one that is known takes that member's place, and
//!   where it changes nothing for the others there is no rebalance.
//! - v9: such a one that leads is told that it leads, and that there is nothing to assign (KIP-814).

use std::sync::Arc;

use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::classic::{Classic, ClassicState, Member, protocols};
use super::record::Record;
use super::turn::Turn;
use super::{Group, Groups, Next, Timer, wire_text};
use crate::coordinator::{Around, Decision, Reply, Waiter};
use crate::error::ErrorCode;
use crate::protocol::strings;
use crate::time::Duration;

/// Kafka's: how long a new member that does not know its id yet may wait to join.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_millis(300_000);

#[derive(Clone, Debug)]
pub struct Join {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: JoinGroupRequest,
    /// For an id, if one must be given.
    pub dice: Uuid,
}

impl Groups {
    pub(super) fn join(&self, around: &Around<'_>, join: Join) -> Decision<Groups> {
        let unknown = join.body.member_id.is_empty();
        let mut ended = Vec::new();
        match self.state.groups.get(&join.group) {
            Some(Group::Consumer(group)) if group.members.is_empty() => ended = group.tombstones(),
            Some(Group::Consumer(group)) => return self.join_consumer(around, group, join),
            Some(Group::Share(_)) => {
                let reply = refused(join.waiter, "", ErrorCode::InconsistentGroupProtocol);
                return Decision { replies: vec![reply], ..Decision::default() };
            }
            Some(Group::Classic(_)) | None => {}
        }
        let group = match self.classic(&join.group) {
            Some(group) => group,
            None if unknown => Classic::new(join.group.clone(), around.now.wall),
            None => {
                let reply = refused(join.waiter, &join.body.member_id, ErrorCode::UnknownMemberId);
                return Decision { replies: vec![reply], ..Decision::default() };
            }
        };
        let is_new = !matches!(self.state.groups.get(&join.group), Some(Group::Classic(_)));
        let mut turn = Turn::new(around, group);
        if !turn.accepts(&join.body.member_id) {
            turn.group.remove(&join.body.member_id);
            turn.reply(refused(join.waiter, "", ErrorCode::GroupMaxSizeReached));
        } else if !turn.group.supports(&join.body.protocol_type, &join.body.protocols) {
            let id = join.body.member_id.clone();
            turn.reply(refused(join.waiter, &id, ErrorCode::InconsistentGroupProtocol));
        } else if unknown {
            turn.join_new(join);
        } else {
            turn.join_again(join);
        }
        if is_new && turn.decision.records.is_empty() {
            // So that there is such a group.
            let created = Classic::new(turn.group.id.clone(), turn.now()).value(|member| member.assignment.clone());
            turn.decision.records = ended;
            turn.decision.records.push(Record::Group(turn.group.id.clone(), Some(created)));
            turn.next(Next::Created(turn.group.id.clone()));
        }
        turn.end()
    }

    /// The first record of a group is written, or there is no such group.
    pub(super) fn created(&self, id: &Arc<str>, result: Result<(), ErrorCode>) -> Decision<Groups> {
        let (Err(error), Some(group)) = (result, self.live.get(id)) else { return Decision::default() };
        let waiters = group.members.values().filter_map(|member| member.join.clone());
        let replies = waiters.map(|waiter| refused(waiter, "", error)).collect();
        Decision { moves: vec![super::Move::Classic(id.clone(), None)], replies, ..Decision::default() }
    }

    /// What became of a static member that took another's place without a rebalance.
    pub(super) fn replaced(
        &self,
        around: &Around<'_>,
        next: Replaced,
        result: Result<(), ErrorCode>,
    ) -> Decision<Groups> {
        let Replaced { group, instance, new, old, leader } = next;
        let Some(group) = self.classic(&group) else { return Decision::default() };
        let mut turn = Turn::new(around, group);
        let waiter = turn.take_join(&new);
        if let Err(error) = result {
            // As if it had never come.
            if turn.group.member(&new).is_some() {
                turn.group.change(&new, |member| {
                    member.protocols = old.protocols.clone();
                    member.rebalance_timeout_ms = old.rebalance_timeout_ms;
                    member.session_timeout_ms = old.session_timeout_ms;
                });
                let mut replies = Vec::new();
                turn.group.replace_static(&instance, &new, old.id.clone(), &mut replies);
                turn.decision.replies.append(&mut replies);
                turn.expect_heartbeat(&old);
            }
            if let Some(waiter) = waiter {
                let mut body = turn.joined("", false).with_error_code(error.code());
                body.leader = leader.as_ref().map(wire_text).unwrap_or_default();
                turn.reply(waiter.reply(body));
            }
            return turn.end();
        }
        if let Some(waiter) = waiter {
            let mut body = turn.joined(&new, false);
            if waiter.asked.version >= 9 {
                let leads = turn.group.is_leader(&new);
                body.skip_assignment = leads;
                body.members = if leads { turn.group.wire_members() } else { Vec::new() };
            } else {
                // Old clients would assign, and what they assign would be ignored: they must not believe that they lead.
                body.leader = leader.as_ref().map(wire_text).unwrap_or_default();
            }
            turn.reply(waiter.reply(body));
        }
        turn.end()
    }
}

/// A static member has taken another's place; its record is on its way.
#[derive(Clone, Debug)]
pub struct Replaced {
    group: Arc<str>,
    instance: Arc<str>,
    new: Arc<str>,
    /// As it was.
    old: Arc<Member>,
    /// Who led before.
    leader: Option<Arc<str>>,
}

impl Turn<'_> {
    /// There is room for it.
    fn accepts(&self, id: &str) -> bool {
        let max = self.around.settings.group.max_size;
        match self.group.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                let waits = self.group.member(id).is_some_and(|member| member.join.is_some());
                waits || self.group.awaiting_join < max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.group.member(id).is_some() || self.group.members.len() < max
            }
        }
    }

    /// It has no id yet.
    fn join_new(&mut self, join: Join) {
        let instance = join.body.group_instance_id.clone();
        let prefix = match &instance {
            Some(instance) => instance.clone(),
            None => join.waiter.asked.client_id.clone().unwrap_or_default(),
        };
        let id: Arc<str> = format!("{prefix}-{}", join.dice).into();
        if id.len() > strings::MAX_LEN {
            // Kafka, too, finds out that it cannot write such a member down.
            return self.reply(refused(join.waiter, "", ErrorCode::UnknownServerError));
        }
        if let Some(instance) = instance {
            let known = self.group.static_members.get(&*instance).cloned();
            return match known {
                Some(old) => self.replace_static(join, old, id),
                None => self.add_member(join, id),
            };
        }
        if join.waiter.asked.version < 4 {
            return self.add_member(join, id);
        }
        self.group.pending_join.insert(id.clone(), ());
        let after = Duration::from_millis(join.body.session_timeout_ms.max(0) as u64);
        self.set(Timer::Session { group: self.group.id.clone(), member: id.clone() }, after);
        self.reply(refused(join.waiter, &id, ErrorCode::MemberIdRequired));
    }

    /// It names an id.
    fn join_again(&mut self, join: Join) {
        let id: Arc<str> = join.body.member_id.as_str().into();
        if self.group.pending_join.contains_key(&id) {
            // An id is pending only where it was given to a dynamic member.
            return match join.body.group_instance_id {
                None => self.add_member(join, id),
                Some(_) => self.reply(refused(join.waiter, &id, ErrorCode::UnknownServerError)),
            };
        }
        let member = match self.group.validate_member(&id, join.body.group_instance_id.as_deref()) {
            Ok(()) => self.group.member(&id).cloned(),
            Err(error) => return self.reply(refused(join.waiter, &id, error)),
        };
        let same = member.is_some_and(|member| *member.protocols == *protocols(&join.body.protocols));
        let leads = self.group.is_leader(&id);
        let reason = join_reason(&join.body);
        let state = self.group.state.name();
        match self.group.state {
            ClassicState::Empty => self.reply(refused(join.waiter, &id, ErrorCode::UnknownMemberId)),
            ClassicState::PreparingRebalance => {
                let why = format!("Member {id} is joining group during {state}; client reason: {reason}");
                self.update_member(join, &id, why);
            }
            // It may not have received the answer of before.
            ClassicState::CompletingRebalance if same => self.tell_generation(join.waiter, &id, leads),
            // Whatever a leader has seen that the others have not: it comes to assign again.
            ClassicState::Stable if leads => {
                let why = format!("Leader {id} re-joining group during {state}; client reason: {reason}");
                self.update_member(join, &id, why);
            }
            ClassicState::Stable if same => self.tell_generation(join.waiter, &id, false),
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                let why = format!("Updating metadata for member {id} during {state}; client reason: {reason}");
                self.update_member(join, &id, why);
            }
        }
    }

    /// What the generation is that it is in already.
    fn tell_generation(&mut self, waiter: Waiter, id: &str, with_members: bool) {
        let mut body = self.joined(id, false);
        if with_members {
            body.members = self.group.wire_members();
        }
        self.reply(waiter.reply(body));
    }

    fn add_member(&mut self, join: Join, id: Arc<str>) {
        let Join { waiter, body, .. } = join;
        if self.group.state == ClassicState::PreparingRebalance && self.group.was_empty {
            self.group.initial.new_member = true;
        }
        let instance = body.group_instance_id.as_deref();
        let why = format!(
            "Adding new member {id} with group instance id {}; client reason: {}",
            instance.unwrap_or("null"),
            join_reason(&body)
        );
        let asked = &waiter.asked;
        self.group.add(Member {
            id: id.clone(),
            instance_id: instance.map(Arc::from),
            client_id: asked.client_id.as_deref().unwrap_or_default().into(),
            client_host: asked.client_host(),
            rebalance_timeout_ms: body.rebalance_timeout_ms,
            session_timeout_ms: body.session_timeout_ms,
            protocol_type: body.protocol_type.as_str().into(),
            protocols: protocols(&body.protocols),
            assignment: bytes::Bytes::new(),
            join: Some(waiter),
            sync: None,
            is_new: true,
        });
        // It cannot send heartbeats before it knows its id; a client that has gone meanwhile is not waited for for ever.
        self.set(Timer::Session { group: self.group.id.clone(), member: id }, NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete_join(&why);
    }

    fn update_member(&mut self, join: Join, id: &str, why: String) {
        self.take_over(join, id);
        self.rebalance_or_complete_join(&why);
    }

    /// The member is as the request has it, and waits.
    fn take_over(&mut self, join: Join, id: &str) {
        let Join { waiter, body, .. } = join;
        self.group.change(id, |member| {
            member.protocols = protocols(&body.protocols);
            member.rebalance_timeout_ms = body.rebalance_timeout_ms;
            member.session_timeout_ms = body.session_timeout_ms;
            member.join = Some(waiter);
        });
    }

    fn replace_static(&mut self, join: Join, old_id: Arc<str>, id: Arc<str>) {
        let (Some(instance), Some(old)) = (join.body.group_instance_id.clone(), self.group.member(&old_id).cloned())
        else {
            return;
        };
        let (instance, leader): (Arc<str>, _) = (instance.as_str().into(), self.group.leader.clone());
        let reason = join_reason(&join.body);
        let mut replies = Vec::new();
        self.group.replace_static(&instance, &old_id, id.clone(), &mut replies);
        self.decision.replies.append(&mut replies);
        if let Some(member) = self.group.member(&id).cloned() {
            self.expect_heartbeat(&member);
        }
        self.take_over(join, &id);
        match self.group.state {
            ClassicState::Stable if self.group.select_protocol() == self.group.protocol => {
                let value = self.group.value(|member| member.assignment.clone());
                self.decision.records.push(Record::Group(self.group.id.clone(), Some(value)));
                let old = Arc::new(Member { join: None, sync: None, ..Arc::unwrap_or_clone(old) });
                let group = self.group.id.clone();
                self.next(Next::Replaced(Replaced { group, instance, new: id, old, leader }));
            }
            ClassicState::Stable => {
                let why = format!(
                    "Group's selectedProtocol will change because static member {id} with instance id {instance} joined \
                     with change of protocol; client reason: {reason}"
                );
                self.rebalance_or_complete_join(&why);
            }
            // The leader may have been told of the old one, and will assign to it.
            ClassicState::CompletingRebalance => {
                let why = format!(
                    "Updating metadata for static member {id} with instance id {instance}; client reason: {reason}"
                );
                self.prepare_rebalance(&why);
            }
            ClassicState::PreparingRebalance | ClassicState::Empty => self.complete_join_if_all_joined(),
        }
    }

    /// The answer to a JoinGroup in the generation as it is.
    pub fn joined(&self, id: &str, skip_assignment: bool) -> JoinGroupResponse {
        JoinGroupResponse::default()
            .with_generation_id(self.group.generation)
            .with_protocol_type(self.group.protocol_type.as_ref().map(wire_text))
            .with_protocol_name(self.group.protocol.as_ref().map(wire_text))
            .with_leader(self.group.leader.as_ref().map(wire_text).unwrap_or_default())
            .with_skip_assignment(skip_assignment)
            .with_member_id(StrBytes::from_string(id.to_owned()))
    }

    /// The member's JoinGroup does not wait any more.
    pub fn take_join(&mut self, id: &str) -> Option<Waiter> {
        let mut waiter = None;
        self.group.change(id, |member| waiter = member.join.take());
        waiter
    }
}

/// The answer that says why not.
pub fn refused(waiter: Waiter, id: &str, error: ErrorCode) -> Reply {
    // Before version 7 there is no null.
    let protocol_name = (waiter.asked.version < 7).then(StrBytes::default);
    let body = JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_member_id(StrBytes::from_string(id.to_owned()))
        .with_protocol_name(protocol_name);
    waiter.reply(body)
}

fn join_reason(body: &JoinGroupRequest) -> String {
    match body.reason.as_deref() {
        None | Some("") => "not provided".to_owned(),
        Some(reason) => reason.chars().take(255).collect(),
    }
}
