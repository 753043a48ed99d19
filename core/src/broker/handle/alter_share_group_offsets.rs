//! AlterShareGroupOffsets: decided by the group's coordinator ([`crate::coordinator::group::share::offsets`]).

use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Ask;
use crate::coordinator::group::share::offsets::Altered;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AlterShareGroupOffsetsRequest, out: &mut Vec<Effect>) {
    let id = body.group_id.clone();
    let response = AlterShareGroupOffsetsResponse::default();
    let template = response.clone();
    let ask = |waiter, group| Ask::AlterShareOffsets(Altered { waiter, group, body, response });
    broker.ask_group(asked.into(), &id, template, ask, out);
}
