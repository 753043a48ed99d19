//! A member against a scripted coordinator: what it asks, and what it makes of every answer.

use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatResponse, FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse,
    OffsetCommitResponse, OffsetFetchResponse, SyncGroupResponse,
};

use super::super::Consumer;
use super::*;
use crate::client::fake::{Fake, TOPIC_ID, endpoint, topic};
use crate::client::{Command, Endpoint, Event};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::protocol::Request;
use crate::rng::Seed;

type Asked = (Endpoint, ConnId, Request);

fn member(settings: &str) -> Fake<Consumer> {
    let set = format!("group.id=g auto.offset.reset=earliest {settings}");
    let set = set.split_whitespace().filter_map(|pair| pair.split_once('='));
    let set = set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let node = Consumer::new("c1", &["orders".to_string()], &set, vec![endpoint(1)], Seed(1)).unwrap();
    let mut fake = Fake::new(node, &[(3, 0), (3, 0)]);
    fake.pass(1);
    fake
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// The first request of that kind.
fn asked(fake: &mut Fake<Consumer>, api: ApiKey) -> Asked {
    let place = fake.requests.iter().position(|(.., request)| request.api_key == api);
    let known: Vec<ApiKey> = fake.requests.iter().map(|(.., request)| request.api_key).collect();
    fake.requests.remove(place.unwrap_or_else(|| panic!("no {api:?} among {known:?}"))).unwrap()
}

fn asks(fake: &Fake<Consumer>, api: ApiKey) -> usize {
    fake.requests.iter().filter(|(.., request)| request.api_key == api).count()
}

/// Broker 2 coordinates.
fn find(fake: &mut Fake<Consumer>) {
    let (_, conn, request) = asked(fake, ApiKey::FindCoordinator);
    let found = Found::default().with_key(text("g")).with_node_id(2.into()).with_host(text("host")).with_port(9092);
    fake.answer(conn, &request, FindCoordinatorResponse::default().with_coordinators(vec![found]).into());
}

fn refuse_join(fake: &mut Fake<Consumer>, error: ErrorCode, member_id: &'static str) -> RequestKind {
    let (_, conn, request) = asked(fake, ApiKey::JoinGroup);
    let body = JoinGroupResponse::default().with_error_code(error.code()).with_member_id(text(member_id));
    fake.answer(conn, &request, body.into());
    request.body
}

/// It is let in as the leader, and assigns everything to itself.
fn join(fake: &mut Fake<Consumer>, generation: i32) -> RequestKind {
    let (to, conn, request) = asked(fake, ApiKey::JoinGroup);
    assert_eq!(to, endpoint(2));
    let RequestKind::JoinGroup(body) = &request.body else { unreachable!() };
    let metadata = body.protocols[0].metadata.clone();
    let member = JoinGroupResponseMember::default().with_member_id(text("m")).with_metadata(metadata);
    let answer = JoinGroupResponse::default()
        .with_generation_id(generation)
        .with_protocol_name(Some(body.protocols[0].name.clone()))
        .with_leader(text("m"))
        .with_member_id(text("m"))
        .with_members(vec![member]);
    fake.answer(conn, &request, answer.into());
    let (_, conn, sync) = asked(fake, ApiKey::SyncGroup);
    let RequestKind::SyncGroup(body) = &sync.body else { unreachable!() };
    let assignment = body.assignments[0].assignment.clone();
    fake.answer(conn, &sync, SyncGroupResponse::default().with_assignment(assignment).into());
    request.body
}

/// Where the group is in both partitions; −1: nowhere.
fn fetch_offsets(fake: &mut Fake<Consumer>, offset: i64) {
    fetch_offsets_of(fake, offset, -1);
}

/// The same, the record before it written in that epoch.
fn fetch_offsets_of(fake: &mut Fake<Consumer>, offset: i64, epoch: i32) {
    let (_, conn, request) = asked(fake, ApiKey::OffsetFetch);
    let partition = |index| {
        let answer = OffsetFetchResponsePartitions::default().with_partition_index(index);
        answer.with_committed_offset(offset).with_committed_leader_epoch(epoch)
    };
    let topic =
        OffsetFetchResponseTopics::default().with_name(topic()).with_partitions((0..2).map(partition).collect());
    let group = OffsetFetchResponseGroup::default().with_topics(vec![topic]);
    fake.answer(conn, &request, OffsetFetchResponse::default().with_groups(vec![group]).into());
}

fn member_of(fake: &mut Fake<Consumer>) {
    find(fake);
    refuse_join(fake, ErrorCode::MemberIdRequired, "m");
    join(fake, 1);
    fetch_offsets(fake, 7);
}

fn beat(fake: &mut Fake<Consumer>, error: i16) {
    let (_, conn, request) = asked(fake, ApiKey::Heartbeat);
    fake.answer(conn, &request, HeartbeatResponse::default().with_error_code(error).into());
}

fn told(fake: &Fake<Consumer>) -> Vec<String> {
    let told = |report: &Report| match report {
        Report::Assigned { generation, owned, .. } => Some(format!("assigned {} in {generation}", owned.len())),
        Report::Revoked { partitions, .. } => Some(format!("revoked {}", partitions.len())),
        Report::Lost { partitions, .. } => Some(format!("lost {}", partitions.len())),
        Report::Closed => Some("closed".to_owned()),
        _ => None,
    };
    fake.reports.iter().filter_map(told).collect()
}

#[test]
fn who_led_before_the_epoch_that_was_committed_is_not_read_from() {
    let mut fake = member("");
    find(&mut fake);
    refuse_join(&mut fake, ErrorCode::MemberIdRequired, "m");
    join(&mut fake, 1);
    fake.leaders = vec![(2, 1), (2, 1)];
    fetch_offsets_of(&mut fake, 7, 1);
    assert_eq!(asks(&fake, ApiKey::Fetch), 0, "broker 3 may not know yet that it leads no more");
    fake.pass(200);
    let (to, _, request) = asked(&mut fake, ApiKey::OffsetForLeaderEpoch);
    let RequestKind::OffsetForLeaderEpoch(body) = request.body else { unreachable!() };
    let partition = &body.topics[0].partitions[0];
    assert_eq!((to, partition.current_leader_epoch, partition.leader_epoch), (endpoint(2), 1, 1));
}

#[test]
fn a_member_joins_with_the_id_that_it_is_given_and_begins_where_the_group_is() {
    let mut fake = member("client.rack=r group.instance.id=one");
    find(&mut fake);
    let RequestKind::JoinGroup(first) = refuse_join(&mut fake, ErrorCode::MemberIdRequired, "m") else {
        unreachable!()
    };
    assert_eq!((first.member_id.as_str(), first.group_instance_id), ("", Some(text("one"))));
    assert_eq!((first.session_timeout_ms, first.rebalance_timeout_ms), (45_000, 300_000));
    let names: Vec<&str> = first.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["range", "cooperative-sticky"]);
    let RequestKind::JoinGroup(second) = join(&mut fake, 1) else { unreachable!() };
    assert_eq!(second.member_id.as_str(), "m");
    let subscription = subscription::read_subscription(text("m"), None, second.protocols[0].metadata.clone()).unwrap();
    assert_eq!((subscription.topics, subscription.rack), (vec![topic()], Some(text("r"))));
    assert_eq!(told(&fake), ["assigned 2 in 1"]);
    fetch_offsets(&mut fake, 7);
    let (_, _, request) = asked(&mut fake, ApiKey::Fetch);
    let RequestKind::Fetch(body) = request.body else { unreachable!() };
    assert!(body.topics[0].partitions.iter().all(|partition| partition.fetch_offset == 7));
}

#[test]
fn what_nothing_is_committed_of_begins_at_the_reset_or_not_at_all() {
    for (settings, offsets) in [("", 1), ("auto.offset.reset=none", 0)] {
        let mut fake = member(settings);
        find(&mut fake);
        join(&mut fake, 1);
        fetch_offsets(&mut fake, -1);
        assert_eq!(asks(&fake, ApiKey::ListOffsets), offsets);
        let halted = "Undefined offset with no reset policy for partitions: [orders-0]";
        let noted = fake.reports.iter().any(|report| *report == Report::Note(halted.to_owned()));
        assert_eq!(noted, offsets == 0);
    }
}

#[test]
fn an_eager_member_lets_go_of_everything_and_a_cooperative_one_of_nothing_to_join_again() {
    for (strategy, expected) in [
        ("RangeAssignor", vec!["assigned 2 in 1", "revoked 2", "assigned 2 in 2"]),
        ("CooperativeStickyAssignor", vec!["assigned 2 in 1", "assigned 2 in 2"]),
    ] {
        let mut fake = member(&format!("partition.assignment.strategy={strategy} enable.auto.commit=false"));
        member_of(&mut fake);
        fake.pass(3_000);
        beat(&mut fake, ErrorCode::RebalanceInProgress.code());
        join(&mut fake, 2);
        assert_eq!(told(&fake), expected);
    }
}

#[test]
fn a_member_commits_before_it_lets_go() {
    let mut fake = member("");
    member_of(&mut fake);
    fake.pass(3_000);
    beat(&mut fake, ErrorCode::RebalanceInProgress.code());
    let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
    let RequestKind::OffsetCommit(body) = &request.body else { unreachable!() };
    assert_eq!((body.generation_id_or_member_epoch, body.member_id.as_str()), (1, "m"));
    assert_eq!(body.topics[0].partitions[0].committed_offset, 7);
    assert_eq!((asks(&fake, ApiKey::JoinGroup), told(&fake).len()), (0, 1));
    committed(&mut fake, conn, &request, 0);
    assert_eq!((asks(&fake, ApiKey::JoinGroup), &told(&fake)[1..]), (1, &["revoked 2".to_owned()][..]));
}

fn committed(fake: &mut Fake<Consumer>, conn: ConnId, request: &Request, error: i16) {
    let partition = OffsetCommitResponsePartition::default().with_error_code(error);
    let topic = OffsetCommitResponseTopic::default().with_name(topic()).with_partitions(vec![partition]);
    fake.answer(conn, request, OffsetCommitResponse::default().with_topics(vec![topic]).into());
}

#[test]
fn who_is_no_member_any_more_has_lost_what_it_owned_and_joins_anew() {
    for (error, member_id) in [(ErrorCode::UnknownMemberId, ""), (ErrorCode::IllegalGeneration, "m")] {
        let mut fake = member("");
        member_of(&mut fake);
        fake.pass(3_000);
        beat(&mut fake, error.code());
        assert_eq!(told(&fake), ["assigned 2 in 1", "lost 2"]);
        let (.., request) = asked(&mut fake, ApiKey::JoinGroup);
        let RequestKind::JoinGroup(body) = request.body else { unreachable!() };
        assert_eq!(body.member_id.as_str(), member_id, "{error}");
    }
    // The same where a commit finds out.
    let mut fake = member("auto.commit.interval.ms=1000");
    member_of(&mut fake);
    fake.pass(1_000);
    let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
    committed(&mut fake, conn, &request, ErrorCode::UnknownMemberId.code());
    assert_eq!(told(&fake), ["assigned 2 in 1", "lost 2"]);
}

#[test]
fn who_is_fenced_ends() {
    let mut fake = member("group.instance.id=one");
    member_of(&mut fake);
    fake.pass(3_000);
    beat(&mut fake, ErrorCode::FencedInstanceId.code());
    assert_eq!(told(&fake), ["assigned 2 in 1", "closed"]);
    fake.pass(600_000);
    assert_eq!(asks(&fake, ApiKey::JoinGroup) + asks(&fake, ApiKey::Heartbeat), 0);
}

#[test]
fn a_coordinator_that_is_none_any_more_is_looked_for_and_the_member_stays_one() {
    for error in [ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable] {
        let mut fake = member("enable.auto.commit=false");
        member_of(&mut fake);
        fake.pass(3_000);
        beat(&mut fake, error.code());
        find(&mut fake);
        fake.pass(3_000);
        beat(&mut fake, 0);
        assert_eq!(told(&fake), ["assigned 2 in 1"], "{error}");
    }
    let mut fake = member("");
    find(&mut fake);
    refuse_join(&mut fake, ErrorCode::CoordinatorLoadInProgress, "");
    assert_eq!(asks(&fake, ApiKey::JoinGroup), 0);
    fake.pass(200);
    assert_eq!(asks(&fake, ApiKey::JoinGroup), 1);
}

#[test]
fn an_application_that_is_stuck_leaves_and_finds_out_when_it_goes_on() {
    let mut fake = member("max.poll.interval.ms=10000");
    member_of(&mut fake);
    fake.step(Event::Command(Command::Rate { milli_per_second: 0 }.into()));
    for _ in 0..3 {
        fake.pass(3_000);
        beat(&mut fake, 0);
    }
    fake.pass(1_100);
    let (.., request) = asked(&mut fake, ApiKey::LeaveGroup);
    let RequestKind::LeaveGroup(body) = request.body else { unreachable!() };
    assert_eq!(body.members[0].reason, Some(text("consumer poll timeout has expired.")));
    assert_eq!((told(&fake).len(), asks(&fake, ApiKey::JoinGroup)), (1, 0));
    fake.step(Event::Command(Command::Rate { milli_per_second: 1_000_000 }.into()));
    assert_eq!((&told(&fake)[1..], asks(&fake, ApiKey::JoinGroup)), (&["lost 2".to_owned()][..], 1));
}

#[test]
fn closing_commits_lets_go_and_leaves_unless_the_member_is_static() {
    for (instance, leaves) in [("", 1), ("group.instance.id=one", 0)] {
        let mut fake = member(instance);
        member_of(&mut fake);
        fake.step(Event::Command(Command::Close.into()));
        let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
        committed(&mut fake, conn, &request, 0);
        assert_eq!(told(&fake), ["assigned 2 in 1", "revoked 2", "closed"]);
        assert_eq!(asks(&fake, ApiKey::LeaveGroup), leaves);
    }
}

fn heartbeat(fake: &mut Fake<Consumer>, epoch: i32, partitions: Option<Vec<i32>>) -> RequestKind {
    let (_, conn, request) = asked(fake, ApiKey::ConsumerGroupHeartbeat);
    let assignment = partitions.map(|partitions| {
        let topic = TopicPartitions::default().with_topic_id(TOPIC_ID).with_partitions(partitions);
        Assignment::default().with_topic_partitions(vec![topic])
    });
    let body = ConsumerGroupHeartbeatResponse::default()
        .with_member_epoch(epoch)
        .with_heartbeat_interval_ms(5_000)
        .with_assignment(assignment);
    fake.answer(conn, &request, body.into());
    request.body
}

#[test]
fn a_member_of_the_consumer_protocol_lets_go_says_so_and_takes() {
    let mut fake = member("group.protocol=consumer enable.auto.commit=false");
    find(&mut fake);
    let RequestKind::ConsumerGroupHeartbeat(first) = heartbeat(&mut fake, 1, Some(vec![0, 1])) else { unreachable!() };
    assert_eq!((first.member_epoch, first.rebalance_timeout_ms), (0, 300_000));
    assert_eq!((first.subscribed_topic_names, first.topic_partitions), (Some(vec![topic()]), Some(Vec::new())));
    assert_eq!(told(&fake), ["assigned 2 in 1"]);
    // What it has it says at once, and then no more.
    let RequestKind::ConsumerGroupHeartbeat(second) = heartbeat(&mut fake, 1, None) else { unreachable!() };
    assert_eq!(second.topic_partitions.unwrap()[0].partitions, [0, 1]);
    assert_eq!((second.member_epoch, second.rebalance_timeout_ms, second.subscribed_topic_names), (1, -1, None));
    fetch_offsets(&mut fake, 7);
    fake.pass(5_000);
    let RequestKind::ConsumerGroupHeartbeat(third) = heartbeat(&mut fake, 1, Some(vec![1])) else { unreachable!() };
    assert_eq!(third.topic_partitions, None);
    assert_eq!(told(&fake), ["assigned 2 in 1", "revoked 1", "assigned 1 in 1"]);
    let RequestKind::ConsumerGroupHeartbeat(fourth) = heartbeat(&mut fake, 2, None) else { unreachable!() };
    assert_eq!(fourth.topic_partitions.unwrap()[0].partitions, [1]);
}

/// The coordinator repeats an assignment only to who tells it all (KIP-848); else what was in the lost answer would be
/// nobody's for ever.
#[test]
fn after_an_error_a_member_of_the_consumer_protocol_tells_all_of_itself() {
    let errors = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].map(Some);
    for error in errors.into_iter().chain([None]) {
        let mut fake = member("group.protocol=consumer enable.auto.commit=false");
        find(&mut fake);
        heartbeat(&mut fake, 1, Some(vec![0]));
        heartbeat(&mut fake, 1, None);
        fake.pass(5_000);
        match error {
            Some(error) => {
                let (_, conn, request) = asked(&mut fake, ApiKey::ConsumerGroupHeartbeat);
                let body = ConsumerGroupHeartbeatResponse::default().with_error_code(error.code());
                fake.answer(conn, &request, body.into());
            }
            None => fake.disconnect(2),
        }
        // Who is found again before a connection may be tried again is asked about once more.
        for _ in 0..20 {
            match [ApiKey::ConsumerGroupHeartbeat, ApiKey::FindCoordinator].map(|api| asks(&fake, api)) {
                [0, 0] => fake.pass(100),
                [0, _] => find(&mut fake),
                _ => break,
            }
        }
        let RequestKind::ConsumerGroupHeartbeat(body) = heartbeat(&mut fake, 1, None) else { unreachable!() };
        assert_eq!((body.member_epoch, body.rebalance_timeout_ms), (1, 300_000), "{error:?}");
        assert_eq!(body.subscribed_topic_names, Some(vec![topic()]));
        assert_eq!(body.topic_partitions.unwrap()[0].partitions, [0]);
    }
}

#[test]
fn a_member_of_the_consumer_protocol_that_is_fenced_has_lost_all_and_joins_anew() {
    for error in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut fake = member("group.protocol=consumer");
        find(&mut fake);
        heartbeat(&mut fake, 4, Some(vec![0, 1]));
        let (_, conn, request) = asked(&mut fake, ApiKey::ConsumerGroupHeartbeat);
        let body = ConsumerGroupHeartbeatResponse::default().with_error_code(error.code());
        fake.answer(conn, &request, body.into());
        assert_eq!(told(&fake), ["assigned 2 in 4", "lost 2"]);
        let (.., request) = asked(&mut fake, ApiKey::ConsumerGroupHeartbeat);
        let RequestKind::ConsumerGroupHeartbeat(body) = request.body else { unreachable!() };
        assert_eq!(body.member_epoch, 0);
    }
    let mut fake = member("group.protocol=consumer group.instance.id=one");
    find(&mut fake);
    let (_, conn, request) = asked(&mut fake, ApiKey::ConsumerGroupHeartbeat);
    let body = ConsumerGroupHeartbeatResponse::default().with_error_code(ErrorCode::UnreleasedInstanceId.code());
    fake.answer(conn, &request, body.into());
    assert_eq!(told(&fake), ["closed"]);
}

#[test]
fn a_member_of_the_consumer_protocol_says_that_it_leaves() {
    for (settings, epoch) in [("", -1), ("group.instance.id=one", -2)] {
        let mut fake = member(&format!("group.protocol=consumer enable.auto.commit=false {settings}"));
        find(&mut fake);
        heartbeat(&mut fake, 1, Some(vec![0, 1]));
        heartbeat(&mut fake, 1, None);
        fake.step(Event::Command(Command::Close.into()));
        let RequestKind::ConsumerGroupHeartbeat(body) = heartbeat(&mut fake, epoch, None) else { unreachable!() };
        assert_eq!(body.member_epoch, epoch);
        assert_eq!(told(&fake), ["assigned 2 in 1", "revoked 2", "closed"]);
    }
}

/// What a program's calls returned.
fn returned(fake: &Fake<Consumer>) -> Vec<(u64, Option<String>)> {
    let returned = |report: &Report| match report {
        Report::Returned { call, result } => Some((*call, result.clone().err().map(|error| error.class))),
        _ => None,
    };
    fake.reports.iter().filter_map(returned).collect()
}

#[test]
fn a_program_takes_part_in_poll_alone_and_its_commits_return_once() {
    use crate::client::Call;
    let mut fake = member("enable.auto.commit=false");
    fake.node = fake.node.for_program();
    find(&mut fake);
    fake.pass(500);
    assert_eq!(asks(&fake, ApiKey::JoinGroup), 0, "it is not in poll()");
    let commit = |sync| Call::Commit { offsets: Some(vec![(TopicPartition::new(topic(), 0), 3)]), sync };
    fake.step(Event::Call { id: 1, call: commit(true).into() });
    assert_eq!(returned(&fake), [(1, Some("CommitFailedException".to_string()))]);
    fake.step(Event::Call { id: 2, call: Call::Poll.into() });
    refuse_join(&mut fake, ErrorCode::MemberIdRequired, "m");
    join(&mut fake, 1);
    fetch_offsets(&mut fake, 7);

    // commitSync() is tried again where that may help, commitAsync() is not.
    for (id, sync) in [(3, true), (4, false)] {
        fake.step(Event::Call { id, call: commit(sync).into() });
        let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
        committed(&mut fake, conn, &request, ErrorCode::CoordinatorLoadInProgress.code());
        fake.pass(200);
        assert_eq!(asks(&fake, ApiKey::OffsetCommit), usize::from(sync));
        if sync {
            let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
            committed(&mut fake, conn, &request, 0);
        }
    }
    let lost = (4, Some("RetriableCommitFailedException".to_string()));
    assert_eq!(returned(&fake)[1..], [(3, None), lost]);

    // Nor is one that is refused.
    fake.step(Event::Call { id: 5, call: commit(true).into() });
    let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
    committed(&mut fake, conn, &request, ErrorCode::IllegalGeneration.code());
    assert_eq!(returned(&fake).last(), Some(&(5, Some("CommitFailedException".to_string()))));
}

#[test]
fn a_program_that_picks_its_partitions_is_nobodys_member_and_commits_all_the_same() {
    use crate::client::Call;
    let mut fake = member("enable.auto.commit=false");
    fake.node = fake.node.for_program();
    let partitions = (0..2).map(|partition| TopicPartition::new(topic(), partition)).collect();
    fake.step(Event::Call { id: 1, call: Call::Assign(partitions).into() });
    find(&mut fake);
    fetch_offsets(&mut fake, 7);
    fake.step(Event::Call { id: 2, call: Call::Commit { offsets: None, sync: true }.into() });
    let (_, conn, request) = asked(&mut fake, ApiKey::OffsetCommit);
    let RequestKind::OffsetCommit(body) = &request.body else { unreachable!() };
    assert_eq!((body.generation_id_or_member_epoch, &*body.member_id), (-1, ""));
    committed(&mut fake, conn, &request, 0);
    assert_eq!(returned(&fake), [(1, None), (2, None)]);
    assert_eq!((asks(&fake, ApiKey::JoinGroup), fake.node.assignment().len()), (0, 2));
    fake.step(Event::Command(Command::Close.into()));
    assert_eq!(asks(&fake, ApiKey::LeaveGroup), 0);
}

#[test]
fn what_a_program_does_not_subscribe_to_any_more_is_not_asked_for_any_more() {
    use crate::client::Call;
    for protocol in ["classic", "consumer"] {
        let mut fake = member(&format!("group.protocol={protocol} enable.auto.commit=false"));
        fake.node = fake.node.for_program();
        find(&mut fake);
        fake.step(Event::Call { id: 0, call: Call::Poll.into() });
        for id in 1..100 {
            let topics = vec![TopicName(StrBytes::from_string(format!("passing-{id}")))];
            fake.step(Event::Call { id, call: Call::Subscribe(topics).into() });
            fake.pass(100);
        }
        let topics = vec![topic()];
        fake.step(Event::Call { id: 100, call: Call::Subscribe(topics).into() });
        match protocol {
            "classic" => {
                refuse_join(&mut fake, ErrorCode::MemberIdRequired, "m");
                join(&mut fake, 1);
            }
            _ => drop(heartbeat(&mut fake, 1, Some(vec![0, 1]))),
        }
        let asked: Vec<_> = fake.node.metadata.topics().iter().map(|topic| &*topic.name.0).collect();
        assert_eq!(asked, ["orders"], "{protocol}");
    }
}
