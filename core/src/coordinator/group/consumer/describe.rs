//! ConsumerGroupDescribe, of one group.

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as Described, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::{Group, State, wire_text};
use super::assignment::{self, Partitions};
use super::leave::not_a_consumer_group;
use super::{Consumer, Member};
use crate::config::group::Assignor;
use crate::error::ErrorCode;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

impl State {
    pub fn describe_consumer(
        &self,
        id: &GroupId,
        names: &VecMap<Uuid, TopicName>,
        default: Option<Assignor>,
    ) -> DescribedGroup {
        let answer = DescribedGroup::default().with_group_id(id.clone());
        let group = match self.groups.get(id.as_str()) {
            Some(Group::Consumer(group)) => group,
            known => {
                let (error, message) = match known {
                    Some(_) => not_a_consumer_group(id),
                    None => (ErrorCode::GroupIdNotFound, format!("Group {} not found.", &**id)),
                };
                return answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)));
            }
        };
        let assignor = match group.preferred_assignor() {
            Some(name) => wire_text(&name),
            None => StrBytes::from_static_str(default.map_or("", Assignor::name)),
        };
        answer
            .with_group_state(StrBytes::from_static_str(group.state()))
            .with_group_epoch(group.epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(assignor)
            .with_members(group.members.values().map(|member| describe(group, member, names)).collect())
    }
}

fn describe(group: &Consumer, member: &Member, names: &VecMap<Uuid, TopicName>) -> Described {
    // It is responsible for what it has not let go of.
    let mut has = assignment::without_epochs(&member.assigned);
    for (topic, partition) in assignment::each(&member.revoking) {
        has.entry(topic).or_default().insert(partition);
    }
    let topic_name = |name: &std::sync::Arc<str>| TopicName(wire_text(name));
    Described::default()
        .with_member_id(wire_text(&member.id))
        .with_member_epoch(member.epoch)
        .with_instance_id(member.wants.instance_id.as_ref().map(wire_text))
        .with_rack_id(member.wants.rack_id.as_ref().map(wire_text))
        .with_client_id(wire_text(&member.wants.client_id))
        .with_client_host(wire_text(&member.wants.client_host))
        .with_subscribed_topic_names(member.wants.subscribed_topic_names.iter().map(topic_name).collect())
        .with_subscribed_topic_regex(member.wants.subscribed_topic_regex.as_ref().map(wire_text))
        .with_assignment(wire_assignment(&has, names))
        .with_target_assignment(wire_assignment(&group.target(&member.id), names))
        .with_member_type(i8::from(member.classic().is_none()))
}

fn wire_assignment(partitions: &Partitions, names: &VecMap<Uuid, TopicName>) -> Assignment {
    let topic = |(id, partitions): (&Uuid, &VecSet<i32>)| {
        let name = names.get(id)?.clone();
        let partitions = partitions.iter().copied().collect();
        Some(TopicPartitions::default().with_topic_id(*id).with_topic_name(name).with_partitions(partitions))
    };
    Assignment::default().with_topic_partitions(partitions.iter().filter_map(topic).collect())
}
