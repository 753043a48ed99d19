//! ShareGroupHeartbeat: decided by the group's coordinator ([`crate::coordinator::group::share::heartbeat`]). What makes no
//! sense by itself is refused here.

use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

use super::Asked;
use super::share_fetch::is_member_id;
use crate::broker::{Broker, Effect};
use crate::controller::Refusal;
use crate::coordinator::group::Ask;
use crate::coordinator::group::consumer::LEAVE;
use crate::coordinator::group::share::heartbeat::{self, Heartbeat};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ShareGroupHeartbeatRequest, out: &mut Vec<Effect>) {
    // Kafka gives no reason.
    if !is_member_id(&body.member_id) {
        let refused = ShareGroupHeartbeatResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        return asked.reply(refused, out);
    }
    if let Err(refusal) = check(&body) {
        return asked.reply(heartbeat::refused(refusal), out);
    }
    let (id, template) = (body.group_id.clone(), ShareGroupHeartbeatResponse::default());
    let ask = |waiter, group| Ask::ShareHeartbeat(Heartbeat { waiter, group, body });
    broker.ask_group(asked.into(), &id, template, ask, out);
}

fn check(body: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, why.to_owned()));
    // Kafka does not count white space.
    let is_blank = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
    if is_blank(Some(&body.member_id)) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(Some(&body.group_id)) {
        return invalid("GroupId can't be empty.");
    }
    if is_blank(body.rack_id.as_deref()) {
        return invalid("RackId can't be empty.");
    }
    match body.member_epoch {
        0 if body.subscribed_topic_names.as_ref().is_none_or(Vec::is_empty) => {
            invalid("SubscribedTopicNames must be set in first request.")
        }
        epoch if epoch < LEAVE => invalid("MemberEpoch is invalid."),
        _ => Ok(()),
    }
}
