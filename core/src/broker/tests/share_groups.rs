//! Share groups, with members that the tests play.

use super::coordinating::{commit, committed, fetch_request, fetched, room_with};
use super::*;
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteGroupsRequest, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DeleteTopicsRequest, DescribeGroupsRequest, DescribeShareGroupOffsetsRequest,
    FindCoordinatorRequest, GroupId, JoinGroupRequest, ListGroupsRequest, ShareGroupDescribeRequest,
    ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};

/// A room where the coordinator is found, and who has what is decided anew whenever there is a reason.
fn found(settings: &[(&str, &str)]) -> Room {
    let own = [
        ("group.share.assignment.interval.ms", "0"),
        ("share.coordinator.state.topic.num.partitions", "2"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
    ];
    let mut room = room_with(&[&own[..], settings].concat());
    let state = format!("g:{}:0", crate::log::checkpoint::print_uuid(Uuid::from_u128(7)));
    for (kind, key) in [(0, "g"), (2, &state)] {
        let body = FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(key)]);
        room.send(ApiKey::FindCoordinator, 6, body);
    }
    room
}

fn request(member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
}

fn joining(member: &str) -> ShareGroupHeartbeatRequest {
    request(member, 0).with_subscribed_topic_names(Some(vec![topic("orders")]))
}

fn send(room: &mut Room, body: ShareGroupHeartbeatRequest) -> ShareGroupHeartbeatResponse {
    let asked = room.send(ApiKey::ShareGroupHeartbeat, 1, body);
    let ResponseKind::ShareGroupHeartbeat(body) = &*room.replies[&asked].body else { panic!() };
    body.clone()
}

/// A member as a client plays it.
#[derive(Clone, Debug, PartialEq)]
struct Player {
    id: &'static str,
    epoch: i32,
    has: Vec<i32>,
}

impl Player {
    fn comes(room: &mut Room, id: &'static str) -> Player {
        let mut player = Player { id, epoch: 0, has: Vec::new() };
        let answer = send(room, joining(id));
        player.takes(&answer);
        player
    }

    fn beats(&mut self, room: &mut Room) -> ShareGroupHeartbeatResponse {
        let answer = send(room, request(self.id, self.epoch));
        self.takes(&answer);
        answer
    }

    fn takes(&mut self, answer: &ShareGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            self.has = assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
        }
    }
}

fn describe(room: &mut Room) -> DescribedGroup {
    let body = ShareGroupDescribeRequest::default().with_group_ids(vec![GroupId(text("g"))]);
    let asked = room.send(ApiKey::ShareGroupDescribe, 1, body);
    let ResponseKind::ShareGroupDescribe(body) = &*room.replies[&asked].body else { panic!() };
    body.groups[0].clone()
}

fn list(room: &mut Room, kind: &str, state: &str) -> Vec<ListedGroup> {
    let filter = |word: &str| if word.is_empty() { vec![] } else { vec![text(word)] };
    let body = ListGroupsRequest::default().with_types_filter(filter(kind)).with_states_filter(filter(state));
    let asked = room.send(ApiKey::ListGroups, 5, body);
    let ResponseKind::ListGroups(body) = &*room.replies[&asked].body else { panic!() };
    body.groups.clone()
}

fn delete(room: &mut Room) -> i16 {
    let body = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("g"))]);
    let asked = room.send(ApiKey::DeleteGroups, 2, body);
    let ResponseKind::DeleteGroups(body) = &*room.replies[&asked].body else { panic!() };
    body.results[0].error_code
}

/// Two members that both have what there is of it.
fn two(room: &mut Room) -> [Player; 2] {
    let mut first = Player::comes(room, "m1");
    assert_eq!(first.has, [0_i32; 0], "nothing is initialized yet");
    first.beats(room);
    assert_eq!(first.has, [0, 1]);
    let mut second = Player::comes(room, "m2");
    first.beats(room);
    second.beats(room);
    assert_eq!((first.has.len(), second.has.len()), (1, 1), "{first:?} {second:?}");
    [first, second]
}

#[test]
fn members_have_partitions_when_these_are_initialized_and_share_them_where_they_are_fewer() {
    let mut room = found(&[]);
    let [mut first, mut second] = two(&mut room);
    assert_ne!(first.has, second.has);
    assert_eq!(first.beats(&mut room).assignment, None, "it is what it was");
    let mut third = Player::comes(&mut room, "m3");
    first.beats(&mut room);
    second.beats(&mut room);
    let mut all = [&first, &second, &third].map(|player| player.has.clone()).concat();
    all.sort_unstable();
    assert_eq!((third.has.len() == 1 || third.has.len() == 2, all.len()), (true, 4), "two members each: {all:?}");
    assert_eq!(all, [0, 0, 1, 1]);
    assert_eq!(third.beats(&mut room).heartbeat_interval_ms, 5_000);

    let described = describe(&mut room);
    assert_eq!((described.group_state.as_str(), described.assignor_name.as_str()), ("Stable", "simple"));
    assert_eq!((described.group_epoch, described.assignment_epoch), (third.epoch, third.epoch));
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch), ("m1", first.epoch));
    assert_eq!(member.assignment.topic_partitions[0].topic_name, topic("orders"));
    assert_eq!(member.subscribed_topic_names, [topic("orders")]);
    let listed = list(&mut room, "share", "stable");
    assert_eq!((listed[0].group_type.as_str(), listed[0].protocol_type.as_str()), ("share", "share"));
    assert!(list(&mut room, "consumer", "").is_empty() && list(&mut room, "share", "empty").is_empty());
}

#[test]
fn a_member_of_another_epoch_begins_anew() {
    let mut room = found(&[]);
    let [first, _] = two(&mut room);
    let known = first.epoch;
    let greater = send(&mut room, request("m1", known + 1));
    assert_eq!(greater.error_code, code(ErrorCode::FencedMemberEpoch));
    assert_eq!(
        greater.error_message.unwrap().to_string(),
        format!(
            "The share group member has a greater member epoch ({}) than the one known by the group coordinator ({known}). \
             The member must abandon all its partitions and rejoin.",
            known + 1
        )
    );
    assert_eq!(send(&mut room, request("m1", known - 1)).member_epoch, known, "the answer that told it was lost");
    let smaller = send(&mut room, request("m1", known - 2));
    assert_eq!(
        smaller.error_message.unwrap().to_string(),
        format!(
            "The share group member has a smaller member epoch ({}) than the one known by the group coordinator ({known}), \
             and it does not match the previous member epoch ({}). The member must abandon all its partitions and rejoin.",
            known - 2,
            known - 1
        )
    );
    let stranger = send(&mut room, request("stranger", 1));
    assert_eq!(stranger.error_code, code(ErrorCode::UnknownMemberId));
    assert_eq!(stranger.error_message.unwrap().as_str(), "Member stranger is not a member of group g.");
    let again = send(&mut room, joining("m1"));
    assert_eq!((again.error_code, again.member_epoch, again.assignment.is_some()), (0, known, true));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut room = found(&[("group.share.max.size", "1")]);
    let mut why = |body: ShareGroupHeartbeatRequest| {
        let answer = send(&mut room, body);
        (answer.error_code, answer.error_message.unwrap_or_default().to_string())
    };
    let invalid = |why: &str| (code(ErrorCode::InvalidRequest), why.to_owned());
    assert_eq!(why(joining("")), invalid(""));
    assert_eq!(why(joining(&"m".repeat(37))), invalid(""));
    assert_eq!(why(joining(" ")), invalid("MemberId can't be empty."));
    assert_eq!(why(joining("m1").with_group_id(GroupId(text(" ")))), invalid("GroupId can't be empty."));
    assert_eq!(why(joining("m1").with_rack_id(Some(text("")))), invalid("RackId can't be empty."));
    assert_eq!(why(request("m1", 0)), invalid("SubscribedTopicNames must be set in first request."));
    assert_eq!(why(request("m1", -2)), invalid("MemberEpoch is invalid."));
    let not_found = code(ErrorCode::GroupIdNotFound);
    assert_eq!(why(request("m1", 1)), (not_found, "Share group g not found.".to_owned()));
    assert_eq!(why(request("m1", -1)), (not_found, "Group g not found.".to_owned()));
    Player::comes(&mut room, "m1");
    let full = send(&mut room, joining("m2"));
    assert_eq!(full.error_code, code(ErrorCode::GroupMaxSizeReached));
    assert_eq!(full.error_message.unwrap().as_str(), "The share group has reached its maximum capacity of 1 members.");
}

#[test]
fn a_group_of_another_kind_is_no_share_group_and_the_other_way_round() {
    let mut room = found(&[]);
    super::consumers::Player::comes(&mut room, "m1");
    let answer = send(&mut room, joining("m2"));
    assert_eq!(answer.error_code, code(ErrorCode::GroupIdNotFound));
    assert_eq!(answer.error_message.unwrap().as_str(), "Group g is not a share group.");
    assert_eq!(describe(&mut room).error_message.unwrap().as_str(), "Group g is not a share group.");

    let mut room = found(&[]);
    Player::comes(&mut room, "m1");
    let joining = super::consumers::Player::new("m2").joining();
    let answer = super::consumers::send(&mut room, joining);
    assert_eq!(answer.error_message.unwrap().as_str(), "Group g is not a consumer group.");
    let body = JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![Default::default()]);
    let asked = room.send(ApiKey::JoinGroup, 9, body);
    let ResponseKind::JoinGroup(joined) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(joined.error_code, code(ErrorCode::InconsistentGroupProtocol));
    let body = DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g"))]);
    let asked = room.send(ApiKey::DescribeGroups, 6, body);
    let ResponseKind::DescribeGroups(body) = &*room.replies[&asked].body else { panic!() };
    let described = &body.groups[0];
    assert_eq!((described.error_code, described.group_state.as_str()), (code(ErrorCode::GroupIdNotFound), "Dead"));
    assert_eq!(described.error_message.as_deref(), Some("Group g is not a classic group."));
    let asked = commit(&mut room, "g", 0, 5);
    assert_eq!(committed(&room, asked), Some(code(ErrorCode::GroupIdNotFound)));
    let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", false));
    assert_eq!(fetched(&room, asked).unwrap().0, code(ErrorCode::GroupIdNotFound));
}

#[test]
fn who_goes_or_is_not_heard_of_leaves_its_partitions_to_the_others() {
    let mut room = found(&[]);
    let [mut first, _] = two(&mut room);
    room.pass(44_999);
    first.beats(&mut room);
    assert_eq!(describe(&mut room).members.len(), 2);
    room.pass(1);
    assert_eq!(describe(&mut room).members.len(), 1);
    first.beats(&mut room);
    assert_eq!(first.has, [0, 1]);
    assert_eq!(delete(&mut room), code(ErrorCode::NonEmptyGroup));
    let left = send(&mut room, request("m1", -1));
    assert_eq!((left.error_code, left.member_epoch, left.member_id), (0, -1, Some(text("m1"))));
    assert_eq!((describe(&mut room).group_state.as_str(), list(&mut room, "share", "empty").len()), ("Empty", 1));
    assert_eq!(delete(&mut room), 0);
    assert_eq!(describe(&mut room).error_message.unwrap().as_str(), "Group g not found.");
    assert!(list(&mut room, "", "").is_empty());
    assert_eq!(delete(&mut room), code(ErrorCode::GroupIdNotFound));
}

#[test]
fn what_is_set_of_a_group_counts_from_a_members_next_heartbeat_on() {
    let mut room = found(&[]);
    let [mut first, mut second] = two(&mut room);
    for (name, value) in [("share.session.timeout.ms", "50000"), ("share.heartbeat.interval.ms", "6000")] {
        assert_eq!(room.set_of_group("g", name, Some(value)), 0);
    }
    assert_eq!(first.beats(&mut room).heartbeat_interval_ms, 6_000);
    second.beats(&mut room);
    room.pass(49_999);
    first.beats(&mut room);
    assert_eq!(describe(&mut room).members.len(), 2);
    room.pass(1);
    assert_eq!(describe(&mut room).members.len(), 1);
}

#[test]
fn a_group_goes_on_after_a_restart() {
    let mut room = found(&[]);
    let [mut first, mut second] = two(&mut room);
    let before = describe(&mut room);
    let mut room = room.restart();
    assert_eq!(describe(&mut room), before);
    first.beats(&mut room);
    second.beats(&mut room);
    assert_eq!((first.has.len(), second.has.len(), describe(&mut room)), (1, 1, before));
    // The sessions count from the start on.
    let mut room = room.restart();
    room.pass(44_999);
    first.beats(&mut room);
    room.pass(1);
    assert_eq!(describe(&mut room).members.len(), 1);
}

#[test]
fn a_topic_that_is_gone_nobody_has() {
    let mut room = found(&[]);
    let [mut first, _] = two(&mut room);
    let body = DeleteTopicsRequest::default().with_topic_names(vec![topic("orders")]).with_timeout_ms(1_000);
    room.send(ApiKey::DeleteTopics, 5, body);
    first.beats(&mut room);
    assert_eq!(first.has, [0_i32; 0]);
    room.create("orders", &[]);
    first.beats(&mut room);
    first.beats(&mut room);
    assert_eq!(first.has.len(), 1, "its successor is initialized anew");
}

fn offsets(room: &mut Room, topics: Option<&[(&str, &[i32])]>) -> Vec<(String, i32, i64)> {
    let wanted = |(name, partitions): &(&str, &[i32])| {
        DescribeShareGroupOffsetsRequestTopic::default()
            .with_topic_name(topic(name))
            .with_partitions(partitions.to_vec())
    };
    let group = DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(topics.map(|topics| topics.iter().map(wanted).collect()));
    let body = DescribeShareGroupOffsetsRequest::default().with_groups(vec![group]);
    let asked = room.send(ApiKey::DescribeShareGroupOffsets, 0, body);
    let ResponseKind::DescribeShareGroupOffsets(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.groups[0].error_code, 0);
    let all = body.groups[0].topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
    all.map(|(topic, one)| (topic.topic_name.to_string(), one.partition_index, one.start_offset)).collect()
}

fn alter(room: &mut Room, name: &str, partitions: &[(i32, i64)]) -> AlterShareGroupOffsetsResponse {
    let partition = |&(index, offset): &(i32, i64)| {
        AlterShareGroupOffsetsRequestPartition::default().with_partition_index(index).with_start_offset(offset)
    };
    let wanted = AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(topic(name))
        .with_partitions(partitions.iter().map(partition).collect());
    let body = AlterShareGroupOffsetsRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![wanted]);
    let asked = room.send(ApiKey::AlterShareGroupOffsets, 0, body);
    let ResponseKind::AlterShareGroupOffsets(body) = &*room.replies[&asked].body else { panic!() };
    body.clone()
}

fn delete_offsets(room: &mut Room, name: &str) -> DeleteShareGroupOffsetsResponse {
    let wanted = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic(name));
    let body = DeleteShareGroupOffsetsRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![wanted]);
    let asked = room.send(ApiKey::DeleteShareGroupOffsets, 0, body);
    let ResponseKind::DeleteShareGroupOffsets(body) = &*room.replies[&asked].body else { panic!() };
    body.clone()
}

#[test]
fn where_a_group_begins_can_be_described_altered_and_deleted() {
    let mut room = found(&[]);
    assert_eq!(offsets(&mut room, None), []);
    let unknown = delete_offsets(&mut room, "orders");
    assert_eq!(unknown.error_code, code(ErrorCode::GroupIdNotFound));
    assert_eq!(unknown.error_message.as_deref(), Some("Group g not found."));

    // It makes a group that is not there.
    let altered = alter(&mut room, "orders", &[(0, 7), (5, 7)]);
    assert_eq!(altered.error_code, 0);
    let told = &altered.responses[0].partitions;
    assert_eq!((told[0].error_code, told[1].error_code), (0, code(ErrorCode::UnknownTopicOrPartition)));
    assert_eq!(told[1].error_message.as_deref(), Some("This server does not host this topic-partition."));
    assert_eq!(offsets(&mut room, None), [("orders".to_owned(), 0, 7)]);
    let described = describe(&mut room);
    assert_eq!((described.group_state.as_str(), described.group_epoch), ("Empty", 1));

    let asked: [(&str, &[i32]); 2] = [("gone", &[3]), ("orders", &[1])];
    assert_eq!(offsets(&mut room, Some(&asked)), [("orders".to_owned(), 1, -1), ("gone".to_owned(), 3, -1)]);

    let mut first = Player::comes(&mut room, "m1");
    first.beats(&mut room);
    assert_eq!(first.has, [0, 1]);
    let refused = alter(&mut room, "orders", &[(0, 7)]);
    assert_eq!((refused.error_code, refused.responses.len()), (code(ErrorCode::NonEmptyGroup), 0));
    assert_eq!(refused.error_message.as_deref(), Some("The group is not empty."));
    assert_eq!(delete_offsets(&mut room, "orders").error_code, code(ErrorCode::NonEmptyGroup));
    send(&mut room, request("m1", -1));

    let deleted = delete_offsets(&mut room, "orders");
    assert_eq!((deleted.error_code, deleted.responses[0].error_code), (0, 0));
    assert_eq!(deleted.responses[0].topic_name, topic("orders"));
    assert_eq!(offsets(&mut room, None), []);
    let again = delete_offsets(&mut room, "orders");
    assert_eq!(again.responses[0].error_code, code(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(again.responses[0].error_message.as_deref(), Some("There is no offset information to delete."));
}
