//! AlterPartitionReassignments (KIP-455): decided by the controller ([`crate::controller::reassign`]); any broker takes it
//! and passes it on.

use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: AlterPartitionReassignmentsRequest,
    out: &mut Vec<Effect>,
) {
    let unreachable = || {
        let response = AlterPartitionReassignmentsResponse::default().with_error_code(NOT_CONTROLLER);
        response.with_error_message(None).into()
    };
    broker.forward(asked, body, unreachable, out);
}
