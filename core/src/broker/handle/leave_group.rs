//! LeaveGroup: decided by the group's coordinator ([`crate::coordinator::group::leave`]). Before version 3 one member leaves,
//! and the answer has one error.

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Waiter;
use crate::coordinator::group::{Ask, leave};
use crate::error;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: LeaveGroupRequest, out: &mut Vec<Effect>) {
    let members =
        if asked.version >= 3 { body.members } else { vec![MemberIdentity::default().with_member_id(body.member_id)] };
    broker.gathers.begin(asked.clone(), 1, whole, out);
    let waiter = Waiter::from(asked).part(0);
    let ask = |waiter, group| Ask::Leave(leave::Leave { waiter, group, members });
    broker.ask_group(waiter, &body.group_id, LeaveGroupResponse::default(), ask, out);
}

fn whole(version: i16, mut parts: Vec<ResponseKind>) -> ResponseKind {
    let Some(ResponseKind::LeaveGroup(mut body)) = parts.pop() else { return LeaveGroupResponse::default().into() };
    if version < 3 {
        let member = std::mem::take(&mut body.members).first().map_or(error::NONE, |member| member.error_code);
        body.error_code = if body.error_code == error::NONE { member } else { body.error_code };
    }
    body.into()
}
