//! Heartbeat and LeaveGroup: a member lives, or goes.
//!
//! - LeaveGroup v3: several members at once, static ones by their instance ids; errors are told for each.

use std::sync::Arc;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse, LeaveGroupResponse};

use super::classic::{Classic, ClassicState};
use super::turn::Turn;
use super::{Group, Groups, refused};
use crate::coordinator::{Around, Decision, Waiter};
use crate::error::ErrorCode;

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: HeartbeatRequest,
}

#[derive(Clone, Debug)]
pub struct Leave {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub members: Vec<MemberIdentity>,
}

impl Groups {
    pub(super) fn heartbeat(&self, around: &Around<'_>, heartbeat: Heartbeat) -> Decision<Groups> {
        if let Some(Group::Consumer(group)) = self.state.groups.get(&heartbeat.group) {
            return self.heartbeat_consumer(around, group, heartbeat);
        }
        let Heartbeat { waiter, group, body } = heartbeat;
        let reply = waiter.reply(HeartbeatResponse::default());
        let Some(group) = self.classic(&group) else { return refused(reply, ErrorCode::UnknownMemberId) };
        if let Err(error) = group.validate_member(&body.member_id, body.group_instance_id.as_deref()) {
            return refused(reply, error);
        }
        if body.generation_id != group.generation {
            return refused(reply, ErrorCode::IllegalGeneration);
        }
        let state = group.state;
        let Some(member) = group.member(&body.member_id).cloned() else {
            return refused(reply, ErrorCode::UnknownMemberId);
        };
        let mut turn = Turn::new(around, group);
        turn.expect_heartbeat(&member);
        // The group itself is what it was.
        let mut decision = turn.decision;
        decision.response = match state {
            ClassicState::PreparingRebalance => refused(reply, ErrorCode::RebalanceInProgress).response,
            _ => Some(reply),
        };
        decision
    }

    pub(super) fn leave(&self, around: &Around<'_>, leave: Leave) -> Decision<Groups> {
        if let Some(Group::Consumer(group)) = self.state.groups.get(&leave.group) {
            return self.leave_consumer(around, group, leave);
        }
        let Leave { waiter, group, members } = leave;
        let Some(group) = self.classic(&group) else {
            let unknown = |member| answer(member, Err(ErrorCode::UnknownMemberId));
            let body = LeaveGroupResponse::default().with_members(members.iter().map(unknown).collect());
            return Decision { response: Some(waiter.reply(body)), ..Decision::default() };
        };
        let mut turn = Turn::new(around, group);
        let mut left = Vec::new();
        let mut answers = Vec::with_capacity(members.len());
        for member in &members {
            let found = find(&turn.group, member);
            if let Ok(id) = &found {
                turn.expect_no_heartbeat(id);
                turn.dismiss(id);
                left.push(member.member_id.to_string());
            }
            answers.push(answer(member, found.map(|_| ())));
        }
        let why = format!("explicit `LeaveGroup` request for ({}) members.", left.join(", "));
        if !left.is_empty() {
            match turn.group.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => turn.rebalance_or_complete_join(&why),
                ClassicState::PreparingRebalance => turn.complete_join_if_all_joined(),
                ClassicState::Empty => {}
            }
        }
        turn.respond(waiter.reply(LeaveGroupResponse::default().with_members(answers)));
        turn.end()
    }
}

/// The id of the member that is to leave, which may be one that was only given out.
fn find(group: &Classic, member: &MemberIdentity) -> Result<Arc<str>, ErrorCode> {
    if member.member_id.is_empty() {
        // An administrator names static members without knowing their ids.
        let known = member.group_instance_id.as_deref().and_then(|instance| group.static_members.get(instance));
        return known.cloned().ok_or(ErrorCode::UnknownMemberId);
    }
    if !group.pending_join.contains_key(member.member_id.as_str()) {
        group.validate_member(&member.member_id, member.group_instance_id.as_deref())?;
    }
    Ok(member.member_id.as_str().into())
}

pub fn answer(member: &MemberIdentity, result: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(member.member_id.clone())
        .with_group_instance_id(member.group_instance_id.clone())
        .with_error_code(crate::error::code(&result))
}
