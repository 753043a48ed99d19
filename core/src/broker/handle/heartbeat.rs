//! Heartbeat: decided by the group's coordinator ([`crate::coordinator::group::leave`]). While that loads its groups, all
//! is well.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::{Ask, Groups, leave};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: HeartbeatRequest, out: &mut Vec<Effect>) {
    let (id, response) = (body.group_id.clone(), HeartbeatResponse::default());
    let loads = broker.coordinator_of::<Groups>(&id).err() == Some(ErrorCode::CoordinatorLoadInProgress);
    if loads && !id.is_empty() {
        return asked.reply(response, out);
    }
    let ask = |waiter, group| Ask::Heartbeat(leave::Heartbeat { waiter, group, body });
    broker.ask_group(asked.into(), &id, response, ask, out);
}
