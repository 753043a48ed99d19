//! ConsumerGroupHeartbeat: decided by the group's coordinator ([`crate::coordinator::group::consumer::heartbeat`]). What
//! makes no sense by itself is refused here.

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::config::group::Assignor;
use crate::controller::Refusal;
use crate::coordinator::group::Ask;
use crate::coordinator::group::consumer::heartbeat::{self, Heartbeat};
use crate::coordinator::group::consumer::{LEAVE, LEAVE_STATIC};
use crate::error::ErrorCode;

/// The first version in which a consumer chooses its id.
const FIRST_WITH_IDS: i16 = 1;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ConsumerGroupHeartbeatRequest, out: &mut Vec<Effect>) {
    let settings = &broker.settings.group;
    if !settings.consumer_protocol {
        let error = ErrorCode::UnsupportedVersion.code();
        return asked.reply(ConsumerGroupHeartbeatResponse::default().with_error_code(error), out);
    }
    if let Err(refusal) = check(&body, asked.version, &settings.consumer.assignors) {
        return asked.reply(heartbeat::refused(refusal), out);
    }
    let dice = broker.member_ids.uuid();
    let (id, template) = (body.group_id.clone(), ConsumerGroupHeartbeatResponse::default());
    let ask = |waiter, group| Ask::ConsumerHeartbeat(Heartbeat { waiter, group, body, dice });
    broker.ask_group(asked.into(), &id, template, ask, out);
}

fn check(body: &ConsumerGroupHeartbeatRequest, version: i16, assignors: &[Assignor]) -> Result<(), Refusal> {
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, why.to_owned()));
    // Kafka does not count white space.
    let is_blank = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
    let epoch = body.member_epoch;
    if (version >= FIRST_WITH_IDS || epoch > 0 || epoch == LEAVE) && is_blank(Some(&body.member_id)) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(Some(&body.group_id)) {
        return invalid("GroupId can't be empty.");
    }
    if is_blank(body.instance_id.as_deref()) {
        return invalid("InstanceId can't be empty.");
    }
    if is_blank(body.rack_id.as_deref()) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        0 if body.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if body.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if body.subscribed_topic_names.is_none() && body.subscribed_topic_regex.is_none() => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        LEAVE_STATIC if body.instance_id.is_none() => return invalid("InstanceId can't be null."),
        _ if epoch < LEAVE_STATIC => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match body.server_assignor.as_deref() {
        Some(name) if assignors.iter().all(|known| known.name() != name) => {
            let known: Vec<&str> = assignors.iter().map(|known| known.name()).collect();
            Err((
                ErrorCode::UnsupportedAssignor,
                format!("ServerAssignor {name} is not supported. Supported assignors: {}.", known.join(", ")),
            ))
        }
        _ => Ok(()),
    }
}
