//! JoinGroup: decided by the group's coordinator ([`crate::coordinator::group::join`]). Version 0 has one timeout for both.

use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Waiter;
use crate::coordinator::group::{Ask, join};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, mut body: JoinGroupRequest, out: &mut Vec<Effect>) {
    if asked.version == 0 {
        body.rebalance_timeout_ms = body.session_timeout_ms;
    }
    let id = body.group_id.clone();
    if !id.is_empty() && !broker.settings.group.session_timeout_ms.contains(&body.session_timeout_ms) {
        let member = body.member_id.clone();
        let reply = join::refused(Waiter::from(asked), &member, ErrorCode::InvalidSessionTimeout);
        return broker.gathers.put(reply, out);
    }
    let dice = broker.member_ids.uuid();
    let protocol_name = (asked.version < 7).then(Default::default);
    let template = JoinGroupResponse::default().with_protocol_name(protocol_name);
    let ask = |waiter, group| Ask::Join(join::Join { waiter, group, body, dice });
    broker.ask_group(asked.into(), &id, template, ask, out);
}
