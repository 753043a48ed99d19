//! DescribeGroups: classic groups and their members. From version 6 one that is not there is GROUP_ID_NOT_FOUND; before, it
//! is Dead.

use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::{Asked, GROUP_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Groups;
use crate::error;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeGroupsRequest, out: &mut Vec<Effect>) {
    let operations = asked.version >= 3 && body.include_authorized_operations;
    let mut describe = |id: &GroupId| {
        let mut described = match broker.coordinator_of::<Groups>(id) {
            Ok((_, shard)) => shard.machine().describe(shard.committed(), id, asked.version),
            Err(error) => DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code()),
        };
        if operations && described.error_code == error::NONE {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    };
    let groups = body.groups.iter().map(&mut describe).collect();
    asked.reply(DescribeGroupsResponse::default().with_groups(groups), out);
}
