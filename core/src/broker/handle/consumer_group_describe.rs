//! ConsumerGroupDescribe: groups of the consumer protocol, and who reads what in them.

use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};

use super::{Asked, GROUP_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Groups;
use crate::error::{self, ErrorCode};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ConsumerGroupDescribeRequest, out: &mut Vec<Effect>) {
    let settings = &broker.settings.group;
    let (served, default) = (settings.consumer_protocol, settings.consumer.assignors.first().copied());
    let names = broker.topic_names.clone();
    let mut describe = |id: &GroupId| {
        let found = match id.is_empty() {
            _ if !served => Err(ErrorCode::UnsupportedVersion),
            true => Err(ErrorCode::InvalidGroupId),
            false => broker.coordinator_of::<Groups>(id),
        };
        let mut described = match found {
            Ok((_, shard)) => shard.committed().describe_consumer(id, &names, default),
            Err(error) => DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code()),
        };
        if body.include_authorized_operations && described.error_code == error::NONE {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    };
    let groups = body.group_ids.iter().map(&mut describe).collect();
    asked.reply(ConsumerGroupDescribeResponse::default().with_groups(groups), out);
}
