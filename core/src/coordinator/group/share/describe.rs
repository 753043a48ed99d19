//! ShareGroupDescribe, of one group.

use std::sync::Arc;

use kafka_protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member as Described, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::{Group, State, wire_text};
use super::{Member, Share, assignor, not_a_share_group};
use crate::controller::Refusal;
use crate::error::ErrorCode;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

impl State {
    /// Errors: `GroupIdNotFound`.
    pub(super) fn share_group(&self, id: &str) -> Result<&Arc<Share>, Refusal> {
        match self.groups.get(id) {
            Some(Group::Share(group)) => Ok(group),
            Some(_) => Err(not_a_share_group(id)),
            None => Err((ErrorCode::GroupIdNotFound, format!("Group {id} not found."))),
        }
    }

    pub fn describe_share(&self, id: &GroupId, names: &VecMap<Uuid, TopicName>) -> DescribedGroup {
        let answer = DescribedGroup::default().with_group_id(id.clone());
        match self.share_group(id) {
            Ok(group) => answer
                .with_group_state(StrBytes::from_static_str(group.state()))
                .with_group_epoch(group.epoch)
                .with_assignment_epoch(group.assignment_epoch)
                .with_assignor_name(StrBytes::from_static_str(assignor::NAME))
                .with_members(group.members.values().map(|member| describe(member, names)).collect()),
            Err((error, message)) => {
                answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        }
    }
}

fn describe(member: &Member, names: &VecMap<Uuid, TopicName>) -> Described {
    let topic = |(id, partitions): (&Uuid, &VecSet<i32>)| {
        let name = names.get(id)?.clone();
        let partitions = partitions.iter().copied().collect();
        Some(TopicPartitions::default().with_topic_id(*id).with_topic_name(name).with_partitions(partitions))
    };
    let has = member.assigned.iter().filter_map(topic).collect();
    let wants = member.wants.subscribed_topic_names.iter().map(|name| TopicName(wire_text(name)));
    Described::default()
        .with_member_id(wire_text(&member.id))
        .with_member_epoch(member.epoch)
        .with_rack_id(member.wants.rack_id.as_ref().map(wire_text))
        .with_client_id(wire_text(&member.wants.client_id))
        .with_client_host(wire_text(&member.wants.client_host))
        .with_subscribed_topic_names(wants.collect())
        .with_assignment(Assignment::default().with_topic_partitions(has))
}
