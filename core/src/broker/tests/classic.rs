//! Classic groups, with members that the tests play.

use super::coordinating::{commit, commit_request, committed, fetch_request, fetched, room, room_with};
use super::*;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetDeleteRequest, SyncGroupRequest, SyncGroupResponse,
};

/// A subscription of version 0 to those topics.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.freeze()
}

pub(super) fn join_request(member: &str, instance: Option<&str>) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription(&["orders"]));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn join(room: &mut Room, member: &str) -> u64 {
    room.send(ApiKey::JoinGroup, 9, join_request(member, None))
}

pub(super) fn joined(room: &Room, asked: u64) -> Option<&JoinGroupResponse> {
    let ResponseKind::JoinGroup(body) = &*room.replies.get(&asked)?.body else { panic!() };
    Some(body)
}

/// A member's id, given by the coordinator.
pub(super) fn new_id(room: &mut Room) -> String {
    let asked = join(room, "");
    let answer = joined(room, asked).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::MemberIdRequired));
    answer.member_id.to_string()
}

fn sync(room: &mut Room, member: &str, generation: i32, assignments: &[(&str, &'static str)]) -> u64 {
    let assignments = assignments.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(assignment.as_bytes()))
    });
    let body = SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assignments.collect());
    room.send(ApiKey::SyncGroup, 5, body)
}

pub(super) fn synced(room: &Room, asked: u64) -> Option<&SyncGroupResponse> {
    let ResponseKind::SyncGroup(body) = &*room.replies.get(&asked)?.body else { panic!() };
    Some(body)
}

/// The error of a SyncGroup, and what is assigned.
fn assignment(room: &Room, asked: u64) -> Option<(i16, &str)> {
    let answer = synced(room, asked)?;
    Some((answer.error_code, std::str::from_utf8(&answer.assignment).unwrap()))
}

pub(super) fn heartbeat(room: &mut Room, member: &str, generation: i32) -> i16 {
    let body = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(generation)
        .with_member_id(text(member));
    let asked = room.send(ApiKey::Heartbeat, 4, body);
    let ResponseKind::Heartbeat(body) = &*room.replies[&asked].body else { panic!() };
    body.error_code
}

pub(super) fn leave(room: &mut Room, member: &str, instance: Option<&str>) -> i16 {
    let member = MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text));
    let body = LeaveGroupRequest::default().with_group_id(GroupId(text("g"))).with_members(vec![member]);
    let asked = room.send(ApiKey::LeaveGroup, 5, body);
    let ResponseKind::LeaveGroup(body) = &*room.replies[&asked].body else { panic!() };
    body.members[0].error_code
}

pub(super) fn describe(room: &mut Room, version: i16) -> DescribedGroup {
    let body = DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g"))]);
    let asked = room.send(ApiKey::DescribeGroups, version, body);
    let ResponseKind::DescribeGroups(body) = &*room.replies[&asked].body else { panic!() };
    body.groups[0].clone()
}

pub(super) fn state(room: &mut Room) -> String {
    describe(room, 5).group_state.to_string()
}

/// A room where the coordinator is found.
fn found(mut room: Room) -> Room {
    let body = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text("g")]);
    room.send(ApiKey::FindCoordinator, 6, body);
    room
}

/// Two members, stable in generation 1; the first of them leads.
fn stable(room: &mut Room) -> [String; 2] {
    let mut ids = [new_id(room), new_id(room)];
    let asked = ids.each_ref().map(|id| join(room, id));
    room.pass(3_000);
    room.pass(3_000);
    let answers = asked.map(|asked| joined(room, asked).expect("no more are waited for").clone());
    assert!(answers.iter().all(|answer| (answer.error_code, answer.generation_id) == (0, 1)), "{answers:?}");
    if answers[1].leader == *ids[1] {
        ids.reverse();
    }
    let [leader, follower] = &ids;
    let waiting = sync(room, follower, 1, &[]);
    assert_eq!(assignment(room, waiting), None);
    let led = sync(room, leader, 1, &[(leader, "a"), (follower, "b")]);
    assert_eq!((assignment(room, led), assignment(room, waiting)), (Some((0, "a")), Some((0, "b"))));
    assert_eq!(state(room), "Stable");
    ids
}

#[test]
fn members_join_the_leader_assigns_and_all_are_told() {
    let mut room = found(room());
    let ids = [new_id(&mut room), new_id(&mut room)];
    assert_eq!(state(&mut room), "Empty");
    let first = join(&mut room, &ids[0]);
    room.pass(2_000);
    let second = join(&mut room, &ids[1]);
    assert_eq!(state(&mut room), "PreparingRebalance");
    room.pass(1_000);
    assert!(joined(&room, first).is_none(), "another has come, so more may come");
    room.pass(3_000);
    let (first, second) = (joined(&room, first).unwrap().clone(), joined(&room, second).unwrap().clone());
    assert_eq!((first.generation_id, first.protocol_name.as_deref()), (1, Some("range")));
    assert_eq!((&first.leader, &second.leader), (&first.leader, &first.leader));
    let (leader, follower) = if first.leader == first.member_id { (&first, &second) } else { (&second, &first) };
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(leader.members[0].metadata, subscription(&["orders"]));
    assert_eq!(state(&mut room), "CompletingRebalance");
}

#[test]
fn the_assignment_counts_when_it_is_written() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    let again = join(&mut room, &leader);
    assert_eq!(heartbeat(&mut room, &follower, 1), code(ErrorCode::RebalanceInProgress));
    let other = join(&mut room, &follower);
    assert_eq!((joined(&room, again).unwrap().generation_id, joined(&room, other).unwrap().generation_id), (2, 2));
    room.slow = true;
    let led = sync(&mut room, &leader, 2, &[(&leader, "c")]);
    let late = sync(&mut room, &follower, 2, &[]);
    assert_eq!((assignment(&room, led), assignment(&room, late)), (None, None));
    room.catch_up();
    assert_eq!((assignment(&room, led), assignment(&room, late)), (Some((0, "c")), Some((0, ""))));
}

#[test]
fn what_could_not_be_written_is_no_assignment() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    let again = join(&mut room, &leader);
    join(&mut room, &follower);
    assert_eq!(joined(&room, again).unwrap().generation_id, 2);
    let late = sync(&mut room, &follower, 2, &[]);
    let large = Box::leak("x".repeat(2 << 20).into_boxed_str());
    let led = sync(&mut room, &leader, 2, &[(&leader, large)]);
    let error = code(ErrorCode::UnknownServerError);
    assert_eq!((assignment(&room, led), assignment(&room, late)), (Some((error, "")), Some((error, ""))));
    assert_eq!(state(&mut room), "PreparingRebalance");
}

#[test]
fn a_member_that_is_not_heard_of_is_out_and_the_others_go_on() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    room.pass(6_000);
    assert_eq!(heartbeat(&mut room, &leader, 1), 0);
    room.pass(4_000);
    assert_eq!(heartbeat(&mut room, &leader, 1), code(ErrorCode::RebalanceInProgress));
    assert_eq!(heartbeat(&mut room, &follower, 1), code(ErrorCode::UnknownMemberId));
    let again = join(&mut room, &leader);
    let answer = joined(&room, again).unwrap();
    assert_eq!((answer.generation_id, answer.members.len()), (2, 1));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    let again = join(&mut room, &leader);
    for _ in 0..4 {
        room.pass(7_499);
        assert_eq!(heartbeat(&mut room, &follower, 1), code(ErrorCode::RebalanceInProgress));
    }
    assert!(joined(&room, again).is_none());
    room.pass(4);
    assert_eq!(joined(&room, again).unwrap().members.len(), 1);
    assert_eq!(heartbeat(&mut room, &follower, 1), code(ErrorCode::UnknownMemberId));
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_out() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    join(&mut room, &leader);
    join(&mut room, &follower);
    sync(&mut room, &leader, 2, &[]);
    for _ in 0..4 {
        room.pass(7_500);
        assert!([0, code(ErrorCode::RebalanceInProgress)].contains(&heartbeat(&mut room, &leader, 2)));
        heartbeat(&mut room, &follower, 2);
    }
    assert_eq!(heartbeat(&mut room, &follower, 2), code(ErrorCode::UnknownMemberId));
    assert_eq!(state(&mut room), "PreparingRebalance");
}

#[test]
fn the_last_member_leaves_an_empty_group_behind() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    assert_eq!(leave(&mut room, &follower, None), 0);
    assert_eq!(leave(&mut room, &follower, None), code(ErrorCode::UnknownMemberId));
    assert_eq!(state(&mut room), "PreparingRebalance");
    assert_eq!(leave(&mut room, &leader, None), 0);
    let described = describe(&mut room, 5);
    assert_eq!((described.group_state.as_str(), described.protocol_type.as_str()), ("Empty", "consumer"));
    let again = join(&mut room, &leader);
    assert_eq!(joined(&room, again).unwrap().error_code, code(ErrorCode::UnknownMemberId));
}

#[test]
fn a_group_goes_on_after_a_restart_with_its_members_generation_and_offsets() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    let body = commit_request("g", 0, 42).with_generation_id_or_member_epoch(1).with_member_id(text(&leader));
    let asked = room.send(ApiKey::OffsetCommit, 8, body);
    assert_eq!(committed(&room, asked), Some(0));
    let mut room = room.restart();
    assert_eq!(heartbeat(&mut room, &leader, 1), 0);
    let described = describe(&mut room, 5);
    assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
    let members: Vec<_> =
        described.members.iter().map(|it| (it.member_id.to_string(), it.member_assignment.clone())).collect();
    let mut expected = vec![(leader.clone(), Bytes::from("a")), (follower.clone(), Bytes::from("b"))];
    expected.sort();
    assert_eq!(members, expected);
    // The follower's session counts from the start on.
    room.pass(9_999);
    assert_eq!(heartbeat(&mut room, &leader, 1), 0);
    room.pass(1);
    assert_eq!(heartbeat(&mut room, &follower, 1), code(ErrorCode::UnknownMemberId));
    assert_eq!(state(&mut room), "PreparingRebalance");
}

#[test]
fn offsets_are_taken_from_members_of_this_generation_and_from_nobody_else() {
    let mut room = found(room());
    let [leader, _] = stable(&mut room);
    let mut as_member = |member: &str, generation| {
        let body =
            commit_request("g", 0, 1).with_generation_id_or_member_epoch(generation).with_member_id(text(member));
        let asked = room.send(ApiKey::OffsetCommit, 9, body);
        committed(&room, asked).unwrap()
    };
    assert_eq!(as_member(&leader, 1), 0);
    assert_eq!(as_member(&leader, 0), code(ErrorCode::IllegalGeneration));
    assert_eq!(as_member("stranger", 1), code(ErrorCode::UnknownMemberId));
    assert_eq!(as_member("", -1), code(ErrorCode::UnknownMemberId));
    let elsewhere = commit(&mut room, "other", 0, 5);
    assert_eq!(committed(&room, elsewhere), Some(0), "a group that nobody is in");
    let body = commit_request("nowhere", 0, 1).with_generation_id_or_member_epoch(1);
    let asked = room.send(ApiKey::OffsetCommit, 9, body);
    assert_eq!(committed(&room, asked), Some(code(ErrorCode::GroupIdNotFound)));
    join(&mut room, &leader);
    let body = commit_request("g", 0, 2).with_generation_id_or_member_epoch(1).with_member_id(text(&leader));
    let asked = room.send(ApiKey::OffsetCommit, 9, body);
    assert_eq!(committed(&room, asked), Some(0), "while it prepares to rebalance, members commit what they have read");
}

#[test]
fn a_static_member_that_comes_again_takes_its_own_place_without_a_rebalance() {
    let mut room = found(room());
    let come = |room: &mut Room, version| room.send(ApiKey::JoinGroup, version, join_request("", Some("one")));
    let first = come(&mut room, 9);
    room.pass(3_000);
    let old = joined(&room, first).unwrap().member_id.to_string();
    assert!(old.starts_with("one-"));
    let led = sync(&mut room, &old, 1, &[(&old, "a")]);
    assert_eq!(assignment(&room, led), Some((0, "a")));
    let again = come(&mut room, 9);
    let answer = joined(&room, again).unwrap().clone();
    assert_eq!((answer.error_code, answer.generation_id, answer.skip_assignment), (0, 1, true));
    assert_eq!((&answer.leader, answer.members.len()), (&answer.member_id, 1));
    assert_ne!(answer.member_id, *old);
    let synced = sync(&mut room, &answer.member_id, 1, &[]);
    assert_eq!(assignment(&room, synced), Some((0, "a")));
    // Who was there before is fenced.
    let body = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(1)
        .with_member_id(text(&old))
        .with_group_instance_id(Some(text("one")));
    let asked = room.send(ApiKey::Heartbeat, 4, body);
    let ResponseKind::Heartbeat(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.error_code, code(ErrorCode::FencedInstanceId));
    // An older client would assign, and must not believe that it leads.
    let older = come(&mut room, 5);
    let answer = joined(&room, older).unwrap();
    assert_ne!(answer.leader, answer.member_id);
    assert_eq!(leave(&mut room, "", Some("one")), 0);
    assert_eq!(state(&mut room), "Empty");
}

#[test]
fn before_version_4_a_member_joins_without_an_id() {
    let mut room = found(room());
    for version in 0..4 {
        let asked = room.send(ApiKey::JoinGroup, version, join_request("", None));
        assert!(joined(&room, asked).is_none());
    }
    room.pass(3_000);
    room.pass(3_000);
    assert_eq!(describe(&mut room, 0).members.len(), 4);
    let asked = room.send(ApiKey::JoinGroup, 1, join_request("unknown", None));
    assert_eq!(joined(&room, asked).unwrap().error_code, code(ErrorCode::UnknownMemberId));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut room = found(room_with(&[("group.max.size", "2")]));
    let refused = |room: &mut Room, change: fn(JoinGroupRequest) -> JoinGroupRequest| {
        let asked = room.send(ApiKey::JoinGroup, 9, change(join_request("", None)));
        joined(room, asked).unwrap().error_code
    };
    assert_eq!(refused(&mut room, |it| it.with_session_timeout_ms(5_999)), code(ErrorCode::InvalidSessionTimeout));
    assert_eq!(refused(&mut room, |it| it.with_session_timeout_ms(1_800_001)), code(ErrorCode::InvalidSessionTimeout));
    assert_eq!(refused(&mut room, |it| it.with_group_id(GroupId(text("")))), code(ErrorCode::InvalidGroupId));
    assert_eq!(refused(&mut room, |it| it.with_protocols(vec![])), code(ErrorCode::InconsistentGroupProtocol));
    stable(&mut room);
    assert_eq!(refused(&mut room, |it| it), code(ErrorCode::GroupMaxSizeReached));
    let other = |it: JoinGroupRequest| it.with_protocol_type(text("connect"));
    let mut room = found(super::coordinating::room());
    stable(&mut room);
    assert_eq!(refused(&mut room, other), code(ErrorCode::InconsistentGroupProtocol));
}

#[test]
fn groups_are_listed_by_state_and_type_and_deleted_when_nobody_is_in_them() {
    let mut room = found(room());
    let [leader, follower] = stable(&mut room);
    commit(&mut room, "offsets-only", 0, 1);
    let list = |room: &mut Room, states: &[&str], types: &[&str]| {
        let body = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|it| text(it)).collect())
            .with_types_filter(types.iter().map(|it| text(it)).collect());
        let asked = room.send(ApiKey::ListGroups, 5, body);
        let ResponseKind::ListGroups(body) = &*room.replies[&asked].body else { panic!() };
        body.groups
            .iter()
            .map(|it| format!("{} {} {}", it.group_id.0, it.group_state, it.protocol_type))
            .collect::<Vec<_>>()
    };
    let mut all = list(&mut room, &[], &["Classic"]);
    all.sort();
    assert_eq!(all, ["g Stable consumer", "offsets-only Empty "]);
    assert_eq!(list(&mut room, &["empty"], &[]), ["offsets-only Empty "]);
    assert!(list(&mut room, &[], &["consumer"]).is_empty());
    let delete = |room: &mut Room| {
        let names = ["g", "offsets-only", "nowhere", "g"].map(|id| GroupId(text(id))).into();
        let asked = room.send(ApiKey::DeleteGroups, 2, DeleteGroupsRequest::default().with_groups_names(names));
        let ResponseKind::DeleteGroups(body) = &*room.replies[&asked].body else { panic!() };
        body.results.iter().map(|it| (it.group_id.0.to_string(), it.error_code)).collect::<Vec<_>>()
    };
    let nowhere = ("nowhere".to_owned(), code(ErrorCode::GroupIdNotFound));
    let busy = ("g".to_owned(), code(ErrorCode::NonEmptyGroup));
    assert_eq!(delete(&mut room), [busy, ("offsets-only".to_owned(), 0), nowhere.clone()]);
    leave(&mut room, &leader, None);
    leave(&mut room, &follower, None);
    let gone = ("offsets-only".to_owned(), code(ErrorCode::GroupIdNotFound));
    assert_eq!(delete(&mut room), [("g".to_owned(), 0), gone, nowhere]);
    assert!(list(&mut room, &[], &[]).is_empty());
    let mut room = room.restart();
    assert!(list(&mut room, &[], &[]).is_empty());
    assert_eq!(describe(&mut room, 6).error_code, code(ErrorCode::GroupIdNotFound));
    assert_eq!(describe(&mut room, 5).group_state.as_str(), "Dead");
}

#[test]
fn offsets_are_deleted_of_topics_that_nobody_in_the_group_reads() {
    let mut room = found(room());
    room.create("other", &[]);
    let [leader, follower] = stable(&mut room);
    for name in ["orders", "other"] {
        let mut body = commit_request("g", 0, 7).with_generation_id_or_member_epoch(1).with_member_id(text(&leader));
        body.topics[0].name = topic(name);
        let asked = room.send(ApiKey::OffsetCommit, 8, body);
        assert_eq!(committed(&room, asked), Some(0));
    }
    let delete = |room: &mut Room, name: &str| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topics = vec![OffsetDeleteRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition])];
        let body = OffsetDeleteRequest::default().with_group_id(GroupId(text("g"))).with_topics(topics);
        let asked = room.send(ApiKey::OffsetDelete, 0, body);
        let ResponseKind::OffsetDelete(body) = &*room.replies[&asked].body else { panic!() };
        (body.error_code, body.topics[0].partitions[0].error_code)
    };
    assert_eq!(delete(&mut room, "orders"), (0, code(ErrorCode::GroupSubscribedToTopic)));
    assert_eq!(delete(&mut room, "other"), (0, 0));
    assert_eq!(delete(&mut room, "nowhere"), (0, code(ErrorCode::UnknownTopicOrPartition)));
    leave(&mut room, &leader, None);
    leave(&mut room, &follower, None);
    assert_eq!(delete(&mut room, "orders"), (0, 0));
    let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", false));
    assert_eq!(fetched(&room, asked), Some((0, vec![-1, -1])));
}

#[test]
fn offsets_expire_when_the_group_has_been_empty_for_so_long() {
    let mut room = found(room_with(&[("offsets.retention.minutes", "60")]));
    let [leader, follower] = stable(&mut room);
    let body = commit_request("g", 0, 7).with_generation_id_or_member_epoch(1).with_member_id(text(&leader));
    room.send(ApiKey::OffsetCommit, 8, body);
    commit(&mut room, "simple", 0, 1);
    let offset = |room: &mut Room, group: &str| {
        let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request(group, false));
        fetched(room, asked).unwrap().1[0]
    };
    let stay = |room: &mut Room, minutes: u64| {
        for _ in 0..minutes * 10 {
            room.pass(6_000);
            heartbeat(room, &leader, 1);
            heartbeat(room, &follower, 1);
        }
    };
    stay(&mut room, 50);
    assert_eq!((offset(&mut room, "g"), offset(&mut room, "simple")), (7, 1));
    stay(&mut room, 20);
    assert_eq!((offset(&mut room, "g"), offset(&mut room, "simple")), (7, -1), "who reads a topic keeps its offsets");
    leave(&mut room, &leader, None);
    leave(&mut room, &follower, None);
    for _ in 0..5 {
        room.pass(600_000);
    }
    assert_eq!(offset(&mut room, "g"), 7);
    for _ in 0..2 {
        room.pass(600_000);
    }
    assert_eq!((offset(&mut room, "g"), state(&mut room)), (-1, "Dead".to_owned()));
}

#[test]
fn offsets_of_a_topic_that_is_gone_are_forgotten() {
    use kafka_protocol::messages::DeleteTopicsRequest;
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
    let mut room = found(room());
    commit(&mut room, "g", 0, 7);
    let gone = DeleteTopicState::default().with_name(Some(topic("orders")));
    room.send(ApiKey::DeleteTopics, 6, DeleteTopicsRequest::default().with_topics(vec![gone]));
    room.create("orders", &[]);
    let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", false));
    assert_eq!(fetched(&room, asked), Some((0, vec![-1, -1])));
}
