//! ListPartitionReassignments (KIP-455): answered by the controller ([`crate::controller::reassign`]), which alone knows
//! what has just begun; any broker takes it and passes it on.

use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: ListPartitionReassignmentsRequest,
    out: &mut Vec<Effect>,
) {
    let unreachable = || {
        let response = ListPartitionReassignmentsResponse::default().with_error_code(NOT_CONTROLLER);
        response.with_error_message(None).into()
    };
    broker.forward(asked, body, unreachable, out);
}
