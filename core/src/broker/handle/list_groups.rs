//! ListGroups: the groups that this broker coordinates. Version 4 asks for states, 5 for types.

use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::describe::Filter;
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ListGroupsRequest, out: &mut Vec<Effect>) {
    if broker.groups.is_loading() {
        let error = ErrorCode::CoordinatorLoadInProgress.code();
        return asked.reply(ListGroupsResponse::default().with_error_code(error), out);
    }
    let filter = Filter::new(&body);
    let shards = broker.groups.active();
    let groups = shards.flat_map(|(_, shard)| shard.machine().list(shard.committed(), &filter));
    let response = ListGroupsResponse::default().with_groups(groups.collect());
    asked.reply(response, out);
}
