//! ShareGroupDescribe: share groups, and who has what in them.

use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{GroupId, ShareGroupDescribeRequest, ShareGroupDescribeResponse};

use super::{Asked, GROUP_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Groups;
use crate::error::{self, ErrorCode};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ShareGroupDescribeRequest, out: &mut Vec<Effect>) {
    let names = broker.topic_names.clone();
    let mut describe = |id: &GroupId| {
        let found = match id.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => broker.coordinator_of::<Groups>(id),
        };
        let mut described = match found {
            Ok((_, shard)) => shard.committed().describe_share(id, &names),
            Err(error) => DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code()),
        };
        if body.include_authorized_operations && described.error_code == error::NONE {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    };
    let groups = body.group_ids.iter().map(&mut describe).collect();
    asked.reply(ShareGroupDescribeResponse::default().with_groups(groups), out);
}
