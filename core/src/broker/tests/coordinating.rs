//! What the coordinators' shards do whatever they keep: found, loaded, written, lost.

use super::*;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    DescribeConfigsRequest, FindCoordinatorRequest, GroupId, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
};

/// A room of one broker, whose internal topics have one replica.
pub(super) fn room() -> Room {
    room_with(&[])
}

pub(super) fn room_with(settings: &[(&str, &str)]) -> Room {
    let alone = [("offsets.topic.replication.factor", "1"), ("offsets.topic.num.partitions", "3")];
    let mut room = Room::with(&[&alone[..], settings].concat());
    room.create("orders", &[]);
    room
}

/// The error, and the coordinator's id.
fn find(room: &mut Room, group: &str) -> (i16, i32) {
    let body = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
    let asked = room.send(ApiKey::FindCoordinator, 6, body);
    let ResponseKind::FindCoordinator(body) = &*room.replies[&asked].body else { panic!() };
    (body.coordinators[0].error_code, body.coordinators[0].node_id.0)
}

pub(super) fn commit_request(group: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(3)
        .with_committed_metadata(Some(text("here")));
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![
            OffsetCommitRequestTopic::default().with_name(topic("orders")).with_partitions(vec![partition]),
        ])
}

pub(super) fn commit(room: &mut Room, group: &str, partition: i32, offset: i64) -> u64 {
    room.send(ApiKey::OffsetCommit, 8, commit_request(group, partition, offset))
}

/// What became of an OffsetCommit of one offset; `None` while it waits.
pub(super) fn committed(room: &Room, asked: u64) -> Option<i16> {
    let ResponseKind::OffsetCommit(body) = &*room.replies.get(&asked)?.body else { panic!() };
    Some(body.topics[0].partitions[0].error_code)
}

pub(super) fn fetch_request(group: &str, require_stable: bool) -> OffsetFetchRequest {
    let topics = OffsetFetchRequestTopics::default().with_name(topic("orders")).with_partition_indexes(vec![0, 1]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topics]));
    OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(require_stable)
}

/// The group's error, and the two offsets of `orders`; `None` while the answer waits.
pub(super) fn fetched(room: &Room, asked: u64) -> Option<(i16, Vec<i64>)> {
    let ResponseKind::OffsetFetch(body) = &*room.replies.get(&asked)?.body else { panic!() };
    let group = &body.groups[0];
    let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
    Some((group.error_code, partitions.map(|partition| partition.committed_offset).collect()))
}

fn fetch_offsets(room: &mut Room, group: &str) -> (i16, Vec<i64>) {
    let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request(group, false));
    fetched(room, asked).unwrap()
}

#[test]
fn the_topic_of_groups_is_made_when_it_is_first_asked_for_and_with_kafkas_settings() {
    let mut room = room();
    assert_eq!(find(&mut room, "g"), (code(ErrorCode::CoordinatorNotAvailable), -1));
    assert_eq!(find(&mut room, "g"), (0, 1));
    let name = topic("__consumer_offsets");
    let asked = room.send(
        ApiKey::Metadata,
        12,
        MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name.clone()))])),
    );
    let ResponseKind::Metadata(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!((body.topics[0].is_internal, body.topics[0].partitions.len()), (true, 3));
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(name.0)
        .with_configuration_keys(Some(["cleanup.policy", "segment.bytes", "compression.type"].map(text).into()));
    let asked = room.send(ApiKey::DescribeConfigs, 4, DescribeConfigsRequest::default().with_resources(vec![resource]));
    let ResponseKind::DescribeConfigs(body) = &*room.replies[&asked].body else { panic!() };
    let configs = body.results[0].configs.iter();
    let mut values: Vec<_> =
        configs.map(|config| (config.name.as_str(), config.value.as_deref().unwrap_or_default())).collect();
    values.sort_unstable();
    assert_eq!(
        values,
        [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
    );
}

#[test]
fn only_the_coordinator_writes_to_its_topic() {
    let mut room = room();
    find(&mut room, "g");
    let asked = room.produce("__consumer_offsets", 1, &batch(&["a"]));
    assert_eq!(room.produced(asked).unwrap().error_code, code(ErrorCode::InvalidTopicException));
}

#[test]
fn offsets_that_were_committed_are_there_after_a_restart() {
    let mut room = room();
    assert_eq!(fetch_offsets(&mut room, "g").0, code(ErrorCode::NotCoordinator), "there is no topic yet");
    find(&mut room, "g");
    for offset in 1..=500 {
        let asked = commit(&mut room, "g", (offset % 2) as i32, offset);
        assert_eq!(committed(&room, asked), Some(0));
    }
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![500, 499]));
    assert_eq!(fetch_offsets(&mut room, "another"), (0, vec![-1, -1]));
    let mut room = room.restart();
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![500, 499]));
}

#[test]
fn what_is_not_written_yet_is_not_told_and_who_wants_stable_offsets_waits_for_it() {
    let mut room = room();
    find(&mut room, "g");
    commit(&mut room, "g", 0, 1);
    room.slow = true;
    let second = commit(&mut room, "g", 0, 2);
    assert_eq!(committed(&room, second), None);
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![1, -1]));
    let stable = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", true));
    assert_eq!(fetched(&room, stable), None);
    room.catch_up();
    assert_eq!((committed(&room, second), fetched(&room, stable)), (Some(0), Some((0, vec![2, -1]))));
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![2, -1]));
}

#[test]
fn who_waits_in_vain_is_told_and_what_was_written_counts_all_the_same() {
    let mut room = room();
    find(&mut room, "g");
    room.slow = true;
    let late = commit(&mut room, "g", 0, 1);
    room.pass(4_999);
    assert_eq!(committed(&room, late), None);
    room.pass(1);
    assert_eq!(committed(&room, late), Some(code(ErrorCode::CoordinatorNotAvailable)));
    room.slow = false;
    room.catch_up();
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![1, -1]));
}

#[test]
fn while_the_log_is_read_clients_are_asked_to_wait() {
    let mut room = room();
    find(&mut room, "g");
    commit(&mut room, "g", 0, 7);
    let mut room = room.restart_slow();
    assert_eq!(fetch_offsets(&mut room, "g").0, code(ErrorCode::CoordinatorLoadInProgress));
    let refused = commit(&mut room, "g", 0, 8);
    assert_eq!(committed(&room, refused), Some(code(ErrorCode::CoordinatorLoadInProgress)));
    room.catch_up();
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![7, -1]));
}

#[test]
fn a_batch_that_the_partition_refuses_has_never_happened() {
    let mut room = room();
    find(&mut room, "g");
    commit(&mut room, "g", 0, 1);
    let mut large = commit_request("g", 0, 2);
    large.topics = vec![large.topics[0].clone(); 20_000];
    let asked = room.send(ApiKey::OffsetCommit, 8, large);
    assert_eq!(committed(&room, asked), Some(code(ErrorCode::UnknownServerError)), "over max.message.bytes");
    assert_eq!(fetch_offsets(&mut room, "g"), (0, vec![1, -1]));
}

#[test]
fn several_groups_are_answered_in_one() {
    let mut room = room();
    find(&mut room, "a");
    for (group, offset) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        commit(&mut room, group, 0, offset);
    }
    let mut body = OffsetFetchRequest::default();
    body.groups = ["d", "a", "c", "b"].into_iter().flat_map(|group| fetch_request(group, false).groups).collect();
    let asked = room.send(ApiKey::OffsetFetch, 8, body);
    let ResponseKind::OffsetFetch(body) = &*room.replies[&asked].body else { panic!() };
    let seen: Vec<_> = body
        .groups
        .iter()
        .map(|group| (group.group_id.as_str(), group.topics[0].partitions[0].committed_offset))
        .collect();
    assert_eq!(seen, [("d", 4), ("a", 1), ("c", 3), ("b", 2)]);
}
