//! Groups of the consumer protocol, with members that the tests play.

use super::coordinating::{commit_request, committed, fetch_request, fetched, room, room_with};
use super::*;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    CreatePartitionsRequest, DeleteGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest,
};

/// A room where the coordinator is found, and who reads what is decided anew whenever there is a reason.
pub(super) fn found(settings: &[(&str, &str)]) -> Room {
    let at_once = ("group.consumer.assignment.interval.ms", "0");
    let mut room = room_with(&[&[at_once], settings].concat());
    let body = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text("g")]);
    room.send(ApiKey::FindCoordinator, 6, body);
    room
}

pub(super) fn request(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

pub(super) fn send(room: &mut Room, body: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    let asked = room.send(ApiKey::ConsumerGroupHeartbeat, 1, body);
    let ResponseKind::ConsumerGroupHeartbeat(body) = &*room.replies[&asked].body else { panic!() };
    body.clone()
}

fn names(topics: &[&str]) -> Option<Vec<TopicName>> {
    Some(topics.iter().map(|name| topic(name)).collect())
}

/// A member as a client plays it: it lets go at once of what it is told to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Player {
    pub id: &'static str,
    pub epoch: i32,
    pub owned: Vec<TopicPartitions>,
}

impl Player {
    pub fn new(id: &'static str) -> Player {
        Player { id, epoch: 0, owned: Vec::new() }
    }

    pub fn comes(room: &mut Room, id: &'static str) -> Player {
        let mut player = Player::new(id);
        player.joins(room, player.joining());
        player
    }

    pub fn joining(&self) -> ConsumerGroupHeartbeatRequest {
        request(self.id, 0)
            .with_rebalance_timeout_ms(20_000)
            .with_subscribed_topic_names(names(&["orders"]))
            .with_topic_partitions(Some(vec![]))
    }

    pub fn joins(&mut self, room: &mut Room, body: ConsumerGroupHeartbeatRequest) {
        let answer = send(room, body);
        self.takes(&answer);
    }

    /// A heartbeat that says what it has.
    pub fn beats(&mut self, room: &mut Room) -> ConsumerGroupHeartbeatResponse {
        let answer = send(room, request(self.id, self.epoch).with_topic_partitions(Some(self.owned.clone())));
        self.takes(&answer);
        answer
    }

    fn takes(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        let Some(assignment) = &answer.assignment else { return };
        let topic = |topic: &kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
            TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions.clone())
        };
        self.owned = assignment.topic_partitions.iter().map(topic).collect();
    }

    /// Its partitions of all topics.
    pub fn has(&self) -> Vec<i32> {
        self.owned.iter().flat_map(|topic| topic.partitions.clone()).collect()
    }
}

pub(super) fn describe(room: &mut Room) -> DescribedGroup {
    let body = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text("g"))]);
    let asked = room.send(ApiKey::ConsumerGroupDescribe, 1, body);
    let ResponseKind::ConsumerGroupDescribe(body) = &*room.replies[&asked].body else { panic!() };
    body.groups[0].clone()
}

pub(super) fn state(room: &mut Room) -> String {
    describe(room).group_state.to_string()
}

/// Two members, each with one of the two partitions.
fn two(room: &mut Room) -> [Player; 2] {
    let mut first = Player::comes(room, "m1");
    assert_eq!(first.has(), [0, 1]);
    let mut second = Player::comes(room, "m2");
    assert_eq!((second.has(), state(room).as_str()), (vec![], "Reconciling"));
    first.beats(room);
    assert_eq!(first.has().len(), 1, "it has to let go of one");
    assert_eq!(second.beats(room).assignment, None, "which is not free yet");
    first.beats(room);
    second.beats(room);
    assert_eq!((second.has().len(), state(room).as_str()), (1, "Stable"));
    assert_ne!(first.has(), second.has());
    assert_eq!(first.epoch, second.epoch);
    [first, second]
}

#[test]
fn a_partition_goes_from_one_member_to_another_when_the_first_has_let_go_of_it() {
    let mut room = found(&[]);
    let [first, _] = two(&mut room);
    let described = describe(&mut room);
    assert_eq!((described.group_epoch, described.assignment_epoch), (first.epoch, first.epoch));
    assert_eq!((described.assignor_name.as_str(), described.members.len()), ("uniform", 2));
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.member_type, member.member_epoch), ("m1", 1, first.epoch));
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(member.assignment.topic_partitions[0].topic_name, topic("orders"));
    let asked = room.send(
        ApiKey::ListGroups,
        5,
        ListGroupsRequest::default().with_types_filter(vec![text("consumer")]).with_states_filter(vec![text("stable")]),
    );
    let ResponseKind::ListGroups(listed) = &*room.replies[&asked].body else { panic!() };
    assert_eq!((listed.groups.len(), listed.groups[0].group_type.as_str()), (1, "consumer"));
}

#[test]
fn who_reads_what_is_not_decided_anew_more_often_than_is_set() {
    let mut room = found(&[("group.consumer.assignment.interval.ms", "1000")]);
    let mut first = Player::comes(&mut room, "m1");
    room.pass(999);
    let mut second = Player::comes(&mut room, "m2");
    first.beats(&mut room);
    assert_eq!((first.has(), second.has(), state(&mut room).as_str()), (vec![0, 1], vec![], "Assigning"));
    room.pass(1);
    first.beats(&mut room);
    assert_eq!(first.has().len(), 1);
    first.beats(&mut room);
    second.beats(&mut room);
    assert_eq!(second.has().len(), 1);
}

#[test]
fn a_member_of_another_epoch_begins_anew_unless_it_cannot_have_heard_of_it() {
    let mut room = found(&[]);
    let [first, second] = two(&mut room);
    let answer = send(&mut room, request("m1", first.epoch + 1).with_topic_partitions(Some(first.owned.clone())));
    assert_eq!(answer.error_code, code(ErrorCode::FencedMemberEpoch));
    let known = first.epoch;
    assert_eq!(
        answer.error_message.unwrap().to_string(),
        format!(
            "The consumer group member has a greater member epoch ({}) than the one known by the group coordinator \
             ({known}). The member must abandon all its partitions and rejoin.",
            known + 1
        )
    );
    let before = send(&mut room, request("m1", known - 1).with_topic_partitions(Some(first.owned.clone())));
    assert_eq!((before.error_code, before.member_epoch), (0, known), "the answer that told it was lost");
    let more = send(&mut room, request("m1", known - 1).with_topic_partitions(Some(second.owned.clone())));
    assert_eq!(more.error_code, code(ErrorCode::FencedMemberEpoch), "it has what it cannot have");
    let unknown = send(&mut room, request("stranger", 1));
    assert_eq!(unknown.error_code, code(ErrorCode::UnknownMemberId));
    assert_eq!(unknown.error_message.unwrap().as_str(), "Member stranger is not a member of group g.");
    let anew = send(&mut room, first.joining());
    assert_eq!((anew.error_code, anew.member_epoch, anew.assignment.is_some()), (0, known, true));
}

#[test]
fn a_member_that_is_not_heard_of_is_out_and_the_other_has_everything() {
    let mut room = found(&[]);
    let [mut first, _] = two(&mut room);
    room.pass(44_999);
    first.beats(&mut room);
    assert_eq!(describe(&mut room).members.len(), 2);
    room.pass(1);
    assert_eq!(describe(&mut room).members.len(), 1);
    first.beats(&mut room);
    assert_eq!((first.has(), state(&mut room).as_str()), (vec![0, 1], "Stable"));
}

#[test]
fn what_is_set_of_a_group_counts_from_a_members_next_heartbeat_on() {
    let mut room = found(&[]);
    let [mut first, mut second] = two(&mut room);
    assert_eq!(first.beats(&mut room).heartbeat_interval_ms, 5_000);
    for (name, value) in [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "6000")] {
        assert_eq!(room.set_of_group("g", name, Some(value)), 0);
        assert_eq!(room.set_of_group("other", name, None), 0);
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
fn who_does_not_let_go_in_time_is_out() {
    let mut room = found(&[]);
    let mut first = Player::comes(&mut room, "m1");
    let mut second = Player::comes(&mut room, "m2");
    let held = first.owned.clone();
    first.beats(&mut room);
    let stubborn = |room: &mut Room, epoch| send(room, request("m1", epoch).with_topic_partitions(Some(held.clone())));
    room.pass(19_999);
    assert_eq!(stubborn(&mut room, first.epoch).error_code, 0);
    room.pass(1);
    assert_eq!(stubborn(&mut room, first.epoch).error_code, code(ErrorCode::UnknownMemberId));
    second.beats(&mut room);
    assert_eq!(second.has(), [0, 1]);
}

#[test]
fn whoever_leaves_leaves_its_partitions_and_the_last_one_an_empty_group() {
    let mut room = found(&[]);
    let [mut first, second] = two(&mut room);
    let left = send(&mut room, request("m2", -1));
    assert_eq!((left.error_code, left.member_epoch, left.member_id), (0, -1, Some(text("m2"))));
    first.beats(&mut room);
    assert_eq!(first.has(), [0, 1]);
    assert_eq!(send(&mut room, request("m2", second.epoch)).error_code, code(ErrorCode::UnknownMemberId));
    let delete = |room: &mut Room| {
        let body = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("g"))]);
        let asked = room.send(ApiKey::DeleteGroups, 2, body);
        let ResponseKind::DeleteGroups(body) = &*room.replies[&asked].body else { panic!() };
        body.results[0].error_code
    };
    assert_eq!(delete(&mut room), code(ErrorCode::NonEmptyGroup));
    send(&mut room, request("m1", -1));
    assert_eq!(state(&mut room), "Empty");
    assert_eq!(delete(&mut room), 0);
    let gone = describe(&mut room);
    assert_eq!(gone.error_code, code(ErrorCode::GroupIdNotFound));
    assert_eq!(gone.error_message.unwrap().as_str(), "Group g not found.");
    let unknown = send(&mut room, request("m1", 3));
    assert_eq!(unknown.error_message.unwrap().as_str(), "Consumer group g not found.");
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut room = found(&[]);
    let mut first = Player::new("m1");
    let joining = first.joining().with_instance_id(Some(text("i1")));
    first.joins(&mut room, joining);
    let mut second = Player::comes(&mut room, "m2");
    first.beats(&mut room);
    first.beats(&mut room);
    second.beats(&mut room);
    let epoch = describe(&mut room).group_epoch;

    let mut again = Player::new("m3");
    let joining = again.joining().with_instance_id(Some(text("i1")));
    let taken = send(&mut room, joining.clone());
    assert_eq!(taken.error_code, code(ErrorCode::UnreleasedInstanceId));
    assert_eq!(
        taken.error_message.unwrap().as_str(),
        "Static member m3 with instance id i1 cannot join the group because the instance id is owned by m1 member."
    );
    let left = send(&mut room, request("m1", -2).with_instance_id(Some(text("i1"))));
    assert_eq!((left.error_code, left.member_epoch), (0, -2));
    assert_eq!(second.beats(&mut room).assignment, None, "nobody else has its partitions");
    again.joins(&mut room, joining);
    assert_eq!((again.has(), again.epoch, describe(&mut room).group_epoch), (first.has(), epoch, epoch));

    let fenced = send(&mut room, request("m1", epoch).with_instance_id(Some(text("i1"))));
    assert_eq!(fenced.error_code, code(ErrorCode::FencedInstanceId));
    assert_eq!(fenced.error_message.unwrap().as_str(), "Static member m1 with instance id i1 was fenced by member m3.");
    send(&mut room, request("m3", -1).with_instance_id(Some(text("i1"))));
    second.beats(&mut room);
    assert_eq!(second.has(), [0, 1], "it has left for good");
}

#[test]
fn a_group_goes_on_after_a_restart() {
    let mut room = found(&[]);
    let mut first = Player::comes(&mut room, "m1");
    let mut second = Player::comes(&mut room, "m2");
    first.beats(&mut room);
    let before = describe(&mut room);
    let mut room = room.restart();
    assert_eq!(describe(&mut room), before);
    first.beats(&mut room);
    second.beats(&mut room);
    assert_eq!((first.has().len(), second.has().len(), state(&mut room).as_str()), (1, 1, "Stable"));
    // The sessions count from the start on.
    let mut room = room.restart();
    room.pass(44_999);
    first.beats(&mut room);
    room.pass(1);
    assert_eq!(describe(&mut room).members.len(), 1);
}

#[test]
fn what_is_not_written_yet_is_not_told() {
    let mut room = found(&[]);
    let mut first = Player::comes(&mut room, "m1");
    room.slow = true;
    let asked = room.send(ApiKey::ConsumerGroupHeartbeat, 1, Player::new("m2").joining());
    assert_eq!((!room.replies.contains_key(&asked), describe(&mut room).members.len()), (true, 1));
    room.catch_up();
    assert!(room.replies.contains_key(&asked));
    room.slow = false;
    first.beats(&mut room);
    assert_eq!((first.has().len(), describe(&mut room).members.len()), (1, 2));
}

#[test]
fn topics_that_come_grow_and_go_are_seen() {
    let mut room = found(&[]);
    let mut first = Player::new("m1");
    let joining = first.joining().with_subscribed_topic_names(names(&["orders", "later"]));
    first.joins(&mut room, joining);
    assert_eq!((first.has(), first.beats(&mut room).assignment), (vec![0, 1], None));
    room.create("later", &[]);
    first.beats(&mut room);
    assert_eq!(first.has(), [0, 1, 0, 1]);
    let more = kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic::default()
        .with_name(topic("orders"))
        .with_count(3)
        .with_assignments(None);
    room.send(
        ApiKey::CreatePartitions,
        3,
        CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(1_000),
    );
    first.beats(&mut room);
    assert_eq!(first.has().len(), 5);
    let epoch = first.epoch;
    // What it does not want any more it lets go of.
    let less = request("m1", epoch)
        .with_subscribed_topic_names(names(&["later"]))
        .with_topic_partitions(Some(first.owned.clone()));
    let answer = send(&mut room, less);
    first.takes(&answer);
    first.beats(&mut room);
    assert_eq!((first.has(), first.epoch), (vec![0, 1], epoch + 1));
}

#[test]
fn a_regular_expression_means_the_topics_whose_names_match_whenever_they_come() {
    let mut room = found(&[]);
    let mut first = Player::new("m1");
    let joining =
        first.joining().with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("ord.*|pay")));
    first.joins(&mut room, joining.clone());
    room.pass(0);
    first.beats(&mut room);
    assert_eq!(first.has(), [0, 1]);
    let epoch = first.epoch;
    room.create("pay", &[]);
    room.create("payments", &[]);
    room.pass(10_000);
    first.beats(&mut room);
    room.pass(1);
    first.beats(&mut room);
    room.pass(0);
    first.beats(&mut room);
    assert_eq!((first.has().len(), first.epoch), (4, epoch + 1));
    // Another of the same mind needs no other look.
    let mut second = Player::new("m2");
    let joining =
        second.joining().with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("ord.*|pay")));
    second.joins(&mut room, joining);
    first.beats(&mut room);
    first.beats(&mut room);
    second.beats(&mut room);
    assert_eq!((first.has().len(), second.has().len()), (2, 2));
    let room = &mut room.restart();
    first.beats(room);
    assert_eq!(
        (first.has().len(), describe(room).members[0].subscribed_topic_regex.clone()),
        (2, Some(text("ord.*|pay")))
    );

    let wrong = send(room, request("m1", first.epoch).with_subscribed_topic_regex(Some(text("or(d"))));
    assert_eq!(wrong.error_code, code(ErrorCode::InvalidRegularExpression));
}

#[test]
fn offsets_are_taken_from_members_that_have_the_partition_and_told_to_members_of_this_epoch() {
    let mut room = found(&[]);
    let mut first = Player::comes(&mut room, "m1");
    let joined = first.epoch;
    let mut second = Player::comes(&mut room, "m2");
    first.beats(&mut room);
    first.beats(&mut room);
    second.beats(&mut room);
    let (kept, lost) = (first.has()[0], second.has()[0]);
    let commits = |room: &mut Room, member: &str, epoch, partition| {
        let body =
            commit_request("g", partition, 5).with_generation_id_or_member_epoch(epoch).with_member_id(text(member));
        let asked = room.send(ApiKey::OffsetCommit, 9, body);
        committed(room, asked).unwrap()
    };
    let (epoch, stale) = (first.epoch, code(ErrorCode::StaleMemberEpoch));
    assert!(joined < epoch);
    assert_eq!(commits(&mut room, "m1", epoch, kept), 0);
    assert_eq!(commits(&mut room, "m1", joined, kept), 0, "it has had it since then");
    assert_eq!(commits(&mut room, "m1", joined, lost), stale);
    assert_eq!(commits(&mut room, "m2", joined, lost), stale, "it has it since later");
    assert_eq!(commits(&mut room, "m1", epoch + 1, kept), stale);
    assert_eq!(commits(&mut room, "stranger", epoch, kept), code(ErrorCode::UnknownMemberId));
    assert_eq!(commits(&mut room, "", -1, kept), code(ErrorCode::UnknownMemberId));
    let old = commit_request("g", kept, 5).with_generation_id_or_member_epoch(epoch).with_member_id(text("m1"));
    let asked = room.send(ApiKey::OffsetCommit, 8, old);
    assert_eq!(committed(&room, asked), Some(code(ErrorCode::UnsupportedVersion)));

    for stable in [false, true] {
        let mut fetches = |member: Option<&str>, epoch| {
            let mut body = fetch_request("g", stable);
            body.groups[0].member_id = member.map(text);
            body.groups[0].member_epoch = epoch;
            let asked = room.send(ApiKey::OffsetFetch, 9, body);
            let (error, offsets) = fetched(&room, asked).unwrap();
            (error, offsets.into_iter().max())
        };
        assert_eq!(fetches(Some("m1"), epoch), (0, Some(5)));
        assert_eq!(fetches(None, -1), (0, Some(5)));
        assert_eq!(fetches(Some("m1"), joined).0, stale);
        assert_eq!(fetches(Some("stranger"), epoch).0, code(ErrorCode::UnknownMemberId));
    }
}

#[test]
fn offsets_of_topics_that_nobody_reads_expire_and_the_empty_group_with_them() {
    let mut room = found(&[("offsets.retention.minutes", "60")]);
    let mut first = Player::comes(&mut room, "m1");
    let body = commit_request("g", 0, 7).with_generation_id_or_member_epoch(first.epoch).with_member_id(text("m1"));
    room.send(ApiKey::OffsetCommit, 9, body);
    let offset = |room: &mut Room| {
        let asked = room.send(ApiKey::OffsetFetch, 9, fetch_request("g", false));
        fetched(room, asked).unwrap().1[0]
    };
    for _ in 0..140 {
        room.pass(30_000);
        first.beats(&mut room);
    }
    assert_eq!(offset(&mut room), 7, "who reads a topic keeps its offsets");
    send(&mut room, request("m1", -1));
    room.pass(600_000);
    assert_eq!((offset(&mut room), describe(&mut room).error_code), (-1, code(ErrorCode::GroupIdNotFound)));
}

#[test]
fn the_assignor_that_most_members_ask_for_decides() {
    let mut room = found(&[("group.consumer.max.size", "2")]);
    room.create("pay", &[]);
    let both = |player: &Player| player.joining().with_subscribed_topic_names(names(&["orders", "pay"]));
    let (mut first, mut second) = (Player::new("m1"), Player::new("m2"));
    let joining = both(&first).with_server_assignor(Some(text("range")));
    first.joins(&mut room, joining);
    let joining = both(&second);
    second.joins(&mut room, joining);
    first.beats(&mut room);
    first.beats(&mut room);
    second.beats(&mut room);
    assert_eq!((first.has(), second.has()), (vec![0, 0], vec![1, 1]));
    assert_eq!(describe(&mut room).assignor_name, text("range"));
    let full = send(&mut room, Player::new("m3").joining());
    assert_eq!(full.error_code, code(ErrorCode::GroupMaxSizeReached));
    assert_eq!(
        full.error_message.unwrap().as_str(),
        "The consumer group has reached its maximum capacity of 2 members."
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut room = found(&[]);
    let joining = Player::new("m").joining();
    let mut why = |body: ConsumerGroupHeartbeatRequest| {
        let answer = send(&mut room, body);
        (answer.error_code, answer.error_message.unwrap_or_default().to_string())
    };
    let invalid = |why: &str| (code(ErrorCode::InvalidRequest), why.to_owned());
    let all = joining.clone();
    assert_eq!(why(all.clone().with_member_id(text(" "))), invalid("MemberId can't be empty."));
    assert_eq!(why(all.clone().with_group_id(GroupId(text("")))), invalid("GroupId can't be empty."));
    assert_eq!(why(all.clone().with_instance_id(Some(text("")))), invalid("InstanceId can't be empty."));
    assert_eq!(why(all.clone().with_rack_id(Some(text("")))), invalid("RackId can't be empty."));
    assert_eq!(
        why(all.clone().with_rebalance_timeout_ms(-1)),
        invalid("RebalanceTimeoutMs must be provided in first request.")
    );
    assert_eq!(
        why(all.clone().with_topic_partitions(None)),
        invalid("TopicPartitions must be empty when (re-)joining.")
    );
    assert_eq!(
        why(all.clone().with_subscribed_topic_names(None)),
        invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
    );
    assert_eq!(why(request("m", -2)), invalid("InstanceId can't be null."));
    assert_eq!(why(request("m", -3)), invalid("MemberEpoch is invalid."));
    assert_eq!(
        why(all.with_server_assignor(Some(text("mine")))),
        (
            code(ErrorCode::UnsupportedAssignor),
            "ServerAssignor mine is not supported. Supported assignors: uniform, range.".to_owned()
        )
    );
    let asked = room.send(ApiKey::ConsumerGroupHeartbeat, 0, joining.clone().with_member_id(text("")));
    let ResponseKind::ConsumerGroupHeartbeat(given) = &*room.replies[&asked].body else { panic!() };
    assert_eq!((given.error_code, given.member_id.as_ref().unwrap().len()), (0, 22), "before version 1 an id is given");

    let mut without = room_with(&[("group.coordinator.rebalance.protocols", "classic")]);
    assert_eq!(send(&mut without, joining).error_code, code(ErrorCode::UnsupportedVersion));
    assert_eq!(describe(&mut without).error_code, code(ErrorCode::UnsupportedVersion));
    let nowhere = &mut self::room();
    assert_eq!(describe(nowhere).error_code, code(ErrorCode::NotCoordinator));
}
