//! DeleteShareGroupOffsets: decided by the group's coordinator ([`crate::coordinator::group::share::offsets`]).

use kafka_protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Ask;
use crate::coordinator::group::share::offsets::Deleted;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DeleteShareGroupOffsetsRequest, out: &mut Vec<Effect>) {
    let id = body.group_id.clone();
    let response = DeleteShareGroupOffsetsResponse::default();
    let template = response.clone();
    let ask = |waiter, group| Ask::DeleteShareOffsets(Deleted { waiter, group, body, response });
    broker.ask_group(asked.into(), &id, template, ask, out);
}
