//! What a person wants to read of a group's messages: `JoinGroup v9 billing c1-7 range`, `JoinGroup v9 c1-7
//! generation=3 leads 2 members`, `ConsumerGroupHeartbeat v1 billing m1 epoch=2 has 3`, `OffsetCommit v9 billing orders-0@57`.

use std::fmt::Write;

use kafka_protocol::messages::{RequestKind, ResponseKind};
use uuid::Uuid;

use super::{Names, list, write_count, write_partition};
use crate::error::NONE;

pub(super) fn write_request(body: &RequestKind, names: &Names, line: &mut String) {
    match body {
        RequestKind::FindCoordinator(body) => {
            let keys = Some(&body.key).filter(|key| !key.is_empty());
            list(line, keys.into_iter().chain(&body.coordinator_keys), |line, key| word(line, key));
        }
        RequestKind::JoinGroup(body) => {
            member(line, &body.group_id, &body.member_id, body.group_instance_id.as_deref());
            list(line, body.protocols.iter(), |line, protocol| word(line, &protocol.name));
        }
        RequestKind::SyncGroup(body) => {
            member(line, &body.group_id, &body.member_id, body.group_instance_id.as_deref());
            let _ = write!(line, " generation={}", body.generation_id);
            if !body.assignments.is_empty() {
                write_count(line, body.assignments.len() as i32, "assignment");
            }
        }
        RequestKind::Heartbeat(body) => {
            member(line, &body.group_id, &body.member_id, body.group_instance_id.as_deref());
            let _ = write!(line, " generation={}", body.generation_id);
        }
        RequestKind::LeaveGroup(body) => {
            word(line, &body.group_id);
            let one = Some(&body.member_id).filter(|id| !id.is_empty());
            let named = body.members.iter().map(|one| match &one.group_instance_id {
                Some(instance) if one.member_id.is_empty() => instance,
                _ => &one.member_id,
            });
            list(line, one.into_iter().chain(named), |line, id| word(line, id));
        }
        RequestKind::ConsumerGroupHeartbeat(body) => {
            member(line, &body.group_id, &body.member_id, body.instance_id.as_deref());
            let _ = write!(line, " epoch={}", body.member_epoch);
            list(line, body.subscribed_topic_names.iter().flatten(), |line, topic| word(line, topic));
            if let Some(regex) = body.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty()) {
                let _ = write!(line, " /{regex}/");
            }
            if let Some(owned) = &body.topic_partitions {
                let _ = write!(line, " has {}", owned.iter().map(|topic| topic.partitions.len()).sum::<usize>());
            }
        }
        RequestKind::ShareGroupHeartbeat(body) => {
            member(line, &body.group_id, &body.member_id, None);
            let _ = write!(line, " epoch={}", body.member_epoch);
            list(line, body.subscribed_topic_names.iter().flatten(), |line, topic| word(line, topic));
        }
        RequestKind::ShareGroupDescribe(body) => list(line, body.group_ids.iter(), |line, group| word(line, group)),
        RequestKind::DescribeShareGroupOffsets(body) => {
            list(line, body.groups.iter(), |line, group| word(line, &group.group_id));
        }
        RequestKind::AlterShareGroupOffsets(body) => {
            word(line, &body.group_id);
            let all = body.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
            list(line, all, |line, (topic, one)| {
                write_partition(line, &topic.topic_name, Uuid::nil(), one.partition_index, names);
                let _ = write!(line, "@{}", one.start_offset);
            });
        }
        RequestKind::DeleteShareGroupOffsets(body) => {
            word(line, &body.group_id);
            list(line, body.topics.iter(), |line, topic| word(line, &topic.topic_name));
        }
        RequestKind::OffsetCommit(body) => {
            word(line, &body.group_id);
            let all = body.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
            list(line, all, |line, (topic, one)| {
                write_partition(line, &topic.name, topic.topic_id, one.partition_index, names);
                let _ = write!(line, "@{}", one.committed_offset);
            });
        }
        RequestKind::OffsetFetch(body) => {
            let one = Some(&body.group_id).filter(|id| !id.is_empty());
            let groups = one.into_iter().chain(body.groups.iter().map(|group| &group.group_id));
            list(line, groups, |line, group| word(line, group));
        }
        RequestKind::OffsetDelete(body) => {
            word(line, &body.group_id);
            list(line, body.topics.iter(), |line, topic| word(line, &topic.name));
        }
        RequestKind::DescribeGroups(body) => list(line, body.groups.iter(), |line, group| word(line, group)),
        RequestKind::ConsumerGroupDescribe(body) => list(line, body.group_ids.iter(), |line, group| word(line, group)),
        RequestKind::DeleteGroups(body) => list(line, body.groups_names.iter(), |line, group| word(line, group)),
        _ => {}
    }
}

/// What is told where all went well.
pub(super) fn write_response(body: &ResponseKind, names: &Names, line: &mut String) {
    match body {
        ResponseKind::FindCoordinator(body) => {
            let one = Some(body.node_id).filter(|id| body.coordinators.is_empty() && id.0 >= 0);
            let found = body.coordinators.iter().filter(|one| one.error_code == NONE).map(|one| one.node_id);
            list(line, one.into_iter().chain(found), |line, id| {
                let _ = write!(line, " broker-{}", id.0);
            });
        }
        ResponseKind::JoinGroup(body) if body.error_code == NONE => {
            word(line, &body.member_id);
            let _ = write!(line, " generation={}", body.generation_id);
            if body.leader == body.member_id {
                line.push_str(" leads");
                write_count(line, body.members.len() as i32, "member");
            }
        }
        ResponseKind::SyncGroup(body) if body.error_code == NONE => {
            let _ = write!(line, " {} B", body.assignment.len());
        }
        ResponseKind::ConsumerGroupHeartbeat(body) if body.error_code == NONE => {
            let _ = write!(line, " epoch={}", body.member_epoch);
            if let Some(assignment) = &body.assignment {
                let topics = assignment.topic_partitions.iter();
                let _ = write!(line, " may have {}", topics.map(|topic| topic.partitions.len()).sum::<usize>());
            }
        }
        ResponseKind::ShareGroupHeartbeat(body) if body.error_code == NONE => {
            let _ = write!(line, " epoch={}", body.member_epoch);
            if let Some(assignment) = &body.assignment {
                let topics = assignment.topic_partitions.iter();
                let _ = write!(line, " may have {}", topics.map(|topic| topic.partitions.len()).sum::<usize>());
            }
        }
        ResponseKind::DescribeShareGroupOffsets(body) => {
            let all = body
                .groups
                .iter()
                .flat_map(|group| &group.topics)
                .flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
            list(line, all, |line, (topic, one)| {
                write_partition(line, &topic.topic_name, topic.topic_id, one.partition_index, names);
                let _ = write!(line, "@{}", one.start_offset);
            });
        }
        ResponseKind::OffsetFetch(body) => {
            let batched = body.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| {
                let id = topic.topic_id;
                topic.partitions.iter().map(move |one| (&topic.name, id, one.partition_index, one.committed_offset))
            });
            let single = body.topics.iter().flat_map(|topic| {
                let id = Uuid::nil();
                topic.partitions.iter().map(move |one| (&topic.name, id, one.partition_index, one.committed_offset))
            });
            list(line, single.chain(batched), |line, (name, id, index, offset)| {
                write_partition(line, name, id, index, names);
                let _ = write!(line, "@{offset}");
            });
        }
        ResponseKind::ListGroups(body) => write_count(line, body.groups.len() as i32, "group"),
        _ => {}
    }
}

/// The error codes in an answer.
pub(super) fn error_codes(body: &ResponseKind) -> Vec<i16> {
    match body {
        ResponseKind::FindCoordinator(body) => {
            [body.error_code].into_iter().chain(body.coordinators.iter().map(|one| one.error_code)).collect()
        }
        ResponseKind::JoinGroup(body) => vec![body.error_code],
        ResponseKind::SyncGroup(body) => vec![body.error_code],
        ResponseKind::Heartbeat(body) => vec![body.error_code],
        ResponseKind::LeaveGroup(body) => {
            [body.error_code].into_iter().chain(body.members.iter().map(|member| member.error_code)).collect()
        }
        ResponseKind::ConsumerGroupHeartbeat(body) => vec![body.error_code],
        ResponseKind::ShareGroupHeartbeat(body) => vec![body.error_code],
        ResponseKind::ShareGroupDescribe(body) => body.groups.iter().map(|group| group.error_code).collect(),
        ResponseKind::DescribeShareGroupOffsets(body) => {
            let partitions = body.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
            let groups = body.groups.iter().map(|group| group.error_code);
            groups.chain(partitions.map(|one| one.error_code)).collect()
        }
        ResponseKind::AlterShareGroupOffsets(body) => {
            let partitions = body.responses.iter().flat_map(|topic| &topic.partitions);
            [body.error_code].into_iter().chain(partitions.map(|one| one.error_code)).collect()
        }
        ResponseKind::DeleteShareGroupOffsets(body) => {
            [body.error_code].into_iter().chain(body.responses.iter().map(|topic| topic.error_code)).collect()
        }
        ResponseKind::OffsetCommit(body) => {
            body.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        }
        ResponseKind::OffsetFetch(body) => {
            let batched = body.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
            let single = body.topics.iter().flat_map(|topic| &topic.partitions);
            let groups = body.groups.iter().map(|group| group.error_code);
            let partitions = single.map(|one| one.error_code).chain(batched.map(|one| one.error_code));
            [body.error_code].into_iter().chain(groups).chain(partitions).collect()
        }
        ResponseKind::OffsetDelete(body) => {
            let partitions = body.topics.iter().flat_map(|topic| &topic.partitions);
            [body.error_code].into_iter().chain(partitions.map(|one| one.error_code)).collect()
        }
        ResponseKind::ListGroups(body) => vec![body.error_code],
        ResponseKind::DescribeGroups(body) => body.groups.iter().map(|group| group.error_code).collect(),
        ResponseKind::ConsumerGroupDescribe(body) => body.groups.iter().map(|group| group.error_code).collect(),
        ResponseKind::DeleteGroups(body) => body.results.iter().map(|result| result.error_code).collect(),
        _ => Vec::new(),
    }
}

fn word(line: &mut String, word: &str) {
    let _ = write!(line, " {word}");
}

fn member(line: &mut String, group: &str, member: &str, instance: Option<&str>) {
    word(line, group);
    if !member.is_empty() {
        word(line, member);
    }
    if let Some(instance) = instance {
        let _ = write!(line, " instance={instance}");
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
    use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use kafka_protocol::messages::{
        ApiKey, ConsumerGroupHeartbeatRequest, GroupId, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest,
        ShareGroupHeartbeatRequest, TopicName,
    };
    use kafka_protocol::protocol::StrBytes;

    use crate::error::ErrorCode;
    use crate::protocol::{Request, Response};

    #[test]
    fn who_comes_lives_and_commits_can_be_read() {
        let text = StrBytes::from_static_str;
        let group = GroupId(text("billing"));
        let join = JoinGroupRequest::default()
            .with_group_id(group.clone())
            .with_member_id(text("c1-7"))
            .with_group_instance_id(Some(text("i")));
        let line = Request::new(ApiKey::JoinGroup, 9, 0, None, join.into()).to_string();
        assert_eq!(line, "JoinGroup v9 billing c1-7 instance=i");
        let joined = JoinGroupResponse::default()
            .with_generation_id(3)
            .with_member_id(text("c1-7"))
            .with_leader(text("c1-7"))
            .with_members(vec![Default::default()]);
        assert_eq!(Response::new(9, joined.clone()).to_string(), "JoinGroup v9 c1-7 generation=3 leads 1 member");
        let refused = joined.with_error_code(ErrorCode::MemberIdRequired.code());
        assert_eq!(Response::new(9, refused).to_string(), "JoinGroup v9 MEMBER_ID_REQUIRED");
        let owned = TopicPartitions::default().with_partitions(vec![0, 1]);
        let beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group.clone())
            .with_member_id(text("m1"))
            .with_member_epoch(2)
            .with_topic_partitions(Some(vec![owned]));
        let line = Request::new(ApiKey::ConsumerGroupHeartbeat, 1, 0, None, beat.into()).to_string();
        assert_eq!(line, "ConsumerGroupHeartbeat v1 billing m1 epoch=2 has 2");
        let beat = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("billing")))
            .with_member_id(text("m1"))
            .with_subscribed_topic_names(Some(vec![TopicName(text("orders"))]));
        let line = Request::new(ApiKey::ShareGroupHeartbeat, 1, 0, None, beat.into()).to_string();
        assert_eq!(line, "ShareGroupHeartbeat v1 billing m1 epoch=0 orders");
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(57);
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text("orders"))).with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default().with_group_id(group).with_topics(vec![topic]);
        let line = Request::new(ApiKey::OffsetCommit, 9, 0, None, commit.into()).to_string();
        assert_eq!(line, "OffsetCommit v9 billing orders-0@57");
    }
}
