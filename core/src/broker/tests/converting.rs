//! Groups that members of both protocols are in, or come to one after the other.

use super::classic::{self, heartbeat, join_request, joined, leave, new_id, synced};
use super::consumers::{Player, describe, found, request, send, state};
use super::coordinating::{commit, commit_request, committed, fetch_request, fetched};
use super::*;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{GroupId, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};

/// Partitions of `orders` as consumers of the classic protocol write them.
fn owned(bytes: &mut BytesMut, partitions: &[i32]) {
    bytes.extend_from_slice(&1_i32.to_be_bytes());
    bytes.extend_from_slice(&[0, 6]);
    bytes.extend_from_slice(b"orders");
    bytes.extend_from_slice(&(partitions.len() as i32).to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
}

/// An assignment of version 1.
fn assignment(partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::from(&[0, 1][..]);
    owned(&mut bytes, partitions);
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.freeze()
}

/// A JoinGroup whose subscription, of version 1, says what the member has.
fn join_owning(member: &str, partitions: &[i32]) -> JoinGroupRequest {
    let mut bytes = BytesMut::from(&[0, 1, 0, 0, 0, 1, 0, 6][..]);
    bytes.extend_from_slice(b"orders");
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    owned(&mut bytes, partitions);
    let mut body = join_request(member, None);
    body.protocols[0].metadata = bytes.freeze();
    body
}

fn join(room: &mut Room, body: JoinGroupRequest) -> JoinGroupResponse {
    let asked = room.send(ApiKey::JoinGroup, 9, body);
    joined(room, asked).expect("nobody is waited for").clone()
}

fn sync(room: &mut Room, member: &str, generation: i32, assigned: &[(&str, Bytes)]) -> (i16, Bytes) {
    let assigned = assigned.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(assignment.clone())
    });
    let body = SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assigned.collect());
    let asked = room.send(ApiKey::SyncGroup, 5, body);
    let answer = synced(room, asked).expect("nobody is waited for");
    (answer.error_code, answer.assignment.clone())
}

/// A classic group of one member, which has both partitions in generation 1.
fn alone(room: &mut Room) -> String {
    let id = new_id(room);
    let asked = room.send(ApiKey::JoinGroup, 9, join_owning(&id, &[]));
    room.pass(3_000);
    assert_eq!(joined(room, asked).unwrap().generation_id, 1);
    let all = assignment(&[0, 1]);
    assert_eq!(sync(room, &id, 1, &[(&id, all.clone())]), (0, all));
    id
}

const REBALANCE: ErrorCode = ErrorCode::RebalanceInProgress;

/// One of each protocol in generation 2, each with one partition.
fn mixed(room: &mut Room) -> (String, Player) {
    let old = alone(room);
    let mut new = Player::comes(room, "m");
    assert_eq!((new.has(), new.epoch, heartbeat(room, &old, 1)), (vec![], 2, code(REBALANCE)));
    // It lets go of one partition first,
    assert_eq!(join(room, join_owning(&old, &[0, 1])).generation_id, 1);
    let (error, kept) = sync(room, &old, 1, &[]);
    assert_eq!((error, kept.len(), heartbeat(room, &old, 1)), (0, assignment(&[0]).len(), code(REBALANCE)));
    let keeps = i32::from(kept == assignment(&[1]));
    // and comes again when it has.
    assert_eq!(join(room, join_owning(&old, &[keeps])).generation_id, 2);
    assert_eq!(sync(room, &old, 2, &[]), (0, assignment(&[keeps])));
    new.beats(room);
    assert_eq!((new.has(), heartbeat(room, &old, 2)), (vec![1 - keeps], 0));
    (old, new)
}

#[test]
fn a_classic_group_goes_on_as_a_consumer_group_when_a_member_of_that_protocol_comes() {
    let mut room = found(&[]);
    let (old, new) = mixed(&mut room);
    let described = describe(&mut room);
    let kinds: VecMap<&str, i8> =
        described.members.iter().map(|member| (member.member_id.as_str(), member.member_type)).collect();
    assert_eq!((described.group_state.as_str(), kinds), ("Stable", [(&*old, 0), ("m", 1)].into()));
    assert_eq!(classic::describe(&mut room, 6).error_message.unwrap().as_str(), "Group g is not a classic group.");

    let mut commits = |version, generation, partition| {
        let body =
            commit_request("g", partition, 5).with_generation_id_or_member_epoch(generation).with_member_id(text(&old));
        let asked = room.send(ApiKey::OffsetCommit, version, body);
        committed(&room, asked).unwrap()
    };
    let (others, illegal) = (new.has()[0], code(ErrorCode::IllegalGeneration));
    assert_eq!(commits(8, 2, 1 - others), 0);
    assert_eq!(commits(8, 1, 1 - others), 0, "it has had it since then");
    assert_eq!((commits(8, 1, others), commits(8, 3, 1 - others)), (illegal, illegal));
    assert_eq!(heartbeat(&mut room, &old, 1), illegal);
    assert_eq!(heartbeat(&mut room, "m", 2), code(ErrorCode::UnknownMemberId), "it does not speak this protocol");

    let mut room = room.restart();
    assert_eq!(heartbeat(&mut room, &old, 2), 0);
    assert_eq!(leave(&mut room, &old, None), 0);
    assert_eq!(describe(&mut room).members.len(), 1);
}

#[test]
fn it_is_a_classic_group_again_when_the_last_of_the_other_protocol_has_gone() {
    let mut room = found(&[]);
    let (old, _) = mixed(&mut room);
    assert_eq!(send(&mut room, request("m", -1)).error_code, 0);
    assert_eq!(
        (classic::state(&mut room).as_str(), heartbeat(&mut room, &old, 2)),
        ("PreparingRebalance", code(REBALANCE))
    );
    let again = join(&mut room, join_owning(&old, &[0]));
    assert_eq!((again.error_code, again.generation_id, again.leader.as_str()), (0, 3, &*old));
    let all = assignment(&[0, 1]);
    assert_eq!(sync(&mut room, &old, 3, &[(&old, all.clone())]), (0, all.clone()));
    let mut room = room.restart();
    assert_eq!((classic::state(&mut room).as_str(), heartbeat(&mut room, &old, 3)), ("Stable", 0));
    assert_eq!(classic::describe(&mut room, 6).members[0].member_assignment, all);
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_out() {
    let mut room = found(&[]);
    let old = alone(&mut room);
    let mut new = Player::comes(&mut room, "m");
    for _ in 0..6 {
        assert_eq!(heartbeat(&mut room, &old, 1), code(REBALANCE));
        room.pass(5_000);
        new.beats(&mut room);
    }
    assert_eq!(heartbeat(&mut room, &old, 1), code(ErrorCode::UnknownMemberId));
    assert_eq!(new.has(), [0, 1]);
    // Nor one that joins and does not ask what is its own.
    let id = join(&mut room, join_owning("", &[])).member_id.to_string();
    assert_eq!(join(&mut room, join_owning(&id, &[])).error_code, 0);
    let epoch = describe(&mut room).assignment_epoch;
    for _ in 0..6 {
        assert_eq!(heartbeat(&mut room, &id, epoch), 0);
        room.pass(5_000);
    }
    assert_eq!(heartbeat(&mut room, &id, epoch), code(ErrorCode::UnknownMemberId));
}

#[test]
fn a_static_member_that_comes_back_with_the_other_protocol_has_what_it_had() {
    let mut room = found(&[]);
    let old = alone(&mut room);
    let mut new = Player::new("m");
    let joining = new.joining().with_instance_id(Some(text("i")));
    new.joins(&mut room, joining);
    join(&mut room, join_owning(&old, &[0, 1]));
    let kept = sync(&mut room, &old, 1, &[]).1;
    let keeps = i32::from(kept == assignment(&[1]));
    join(&mut room, join_owning(&old, &[keeps]));
    sync(&mut room, &old, 2, &[]);
    new.beats(&mut room);
    // It was the only one that spoke the consumer protocol.
    let mut body = join_owning("", &[1 - keeps]);
    body.group_instance_id = Some(text("i"));
    let back = join(&mut room, body);
    assert_eq!((back.error_code, back.generation_id), (0, 2));
    assert_eq!(classic::state(&mut room), "Stable");
    assert_eq!(sync(&mut room, &back.member_id, 2, &[]), (0, assignment(&[1 - keeps])));
    assert_eq!(heartbeat(&mut room, &old, 2), 0);
}

#[test]
fn who_waits_in_a_classic_group_that_becomes_another_is_told_to_come_again() {
    let mut room = found(&[]);
    let old = alone(&mut room);
    let second = new_id(&mut room);
    let waits = room.send(ApiKey::JoinGroup, 9, join_owning(&second, &[]));
    assert_eq!(joined(&room, waits), None);
    Player::comes(&mut room, "m");
    assert_eq!(joined(&room, waits).unwrap().error_code, code(REBALANCE));
    let members = describe(&mut room).members;
    let mut ids = vec![old.as_str(), "m", &second];
    ids.sort_unstable();
    assert_eq!(members.iter().map(|member| member.member_id.as_str()).collect::<Vec<_>>(), ids);
    assert_eq!(join(&mut room, join_owning(&second, &[])).error_code, 0);
}

#[test]
fn without_the_policy_only_groups_without_members_change_their_protocol() {
    let mut room = found(&[("group.consumer.migration.policy", "Disabled")]);
    let old = alone(&mut room);
    let refused = send(&mut room, Player::new("m").joining());
    assert_eq!(refused.error_code, code(ErrorCode::GroupIdNotFound));
    assert_eq!(
        refused.error_message.unwrap().as_str(),
        "Cannot upgrade classic group g to consumer group because online upgrade is disabled."
    );
    assert_eq!(heartbeat(&mut room, &old, 1), 0, "nothing has happened");
    let not_there = send(&mut room, request("m", 1));
    assert_eq!(not_there.error_message.unwrap().as_str(), "Group g is not a consumer group.");

    assert_eq!(leave(&mut room, &old, None), 0);
    commit(&mut room, "g", 0, 9);
    let new = Player::comes(&mut room, "m");
    assert_eq!((new.has(), state(&mut room).as_str()), (vec![0, 1], "Stable"));
    send(&mut room, request("m", -1));
    let old = alone(&mut room);
    assert_eq!((classic::state(&mut room).as_str(), heartbeat(&mut room, &old, 1)), ("Stable", 0));
    let mut room = room.restart();
    assert_eq!((classic::state(&mut room).as_str(), heartbeat(&mut room, &old, 1)), ("Stable", 0));
    let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", false));
    assert_eq!(fetched(&room, asked), Some((0, vec![9, -1])), "offsets are the group's, whatever it speaks");
}
