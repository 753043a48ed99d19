//! Members of a share group fetch and acknowledge; what is kept of that outlives the broker.

use super::*;
use crate::protocol::share::{set_renews, with_acquire_mode};
use kafka_protocol::messages::initialize_share_group_state_request::{
    InitializeStateData, PartitionData as InitializePartition,
};
use kafka_protocol::messages::read_share_group_state_summary_request::{
    PartitionData as SummaryPartition, ReadStateSummaryData,
};
use kafka_protocol::messages::share_acknowledge_request as acknowledge;
use kafka_protocol::messages::share_fetch_request as fetch;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, InitializeShareGroupStateRequest, ReadShareGroupStateSummaryRequest,
    ShareAcknowledgeRequest, ShareFetchRequest,
};

const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

type Range = (Offset, Offset, i16);

const OF_THE_TOPIC: [(&str, &str); 3] = [
    ("share.coordinator.state.topic.num.partitions", "2"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];

/// A room where the group `g` begins at the start of `orders`, of which partition 0 has three records.
fn room_with(settings: &[(&str, &str)]) -> (Room, Uuid) {
    let mut room = Room::with(&[&OF_THE_TOPIC[..], settings].concat());
    let id = room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["a", "b"]));
    room.produce("orders", 1, &batch(&["c"]));
    let find = FindCoordinatorRequest::default().with_key_type(2).with_coordinator_keys(vec![
        text(&key(id)),
        text("g:x:0"),
        text("no key"),
    ]);
    for expected in [ErrorCode::CoordinatorNotAvailable.code(), 0] {
        let seq = room.send(ApiKey::FindCoordinator, 6, find.clone());
        let ResponseKind::FindCoordinator(body) = &*room.replies[&seq].body else { panic!() };
        let codes: Vec<i16> = body.coordinators.iter().map(|it| it.error_code).collect();
        assert_eq!(codes, [expected, code(ErrorCode::InvalidRequest), code(ErrorCode::InvalidRequest)]);
    }
    assert_eq!(initialize(&mut room, id, 0, 0), 0);
    (room, id)
}

fn key(id: Uuid) -> String {
    format!("g:{}:0", crate::log::checkpoint::print_uuid(id))
}

fn initialize(room: &mut Room, id: Uuid, state_epoch: i32, start_offset: Offset) -> i16 {
    let partition = InitializePartition::default().with_state_epoch(state_epoch).with_start_offset(start_offset);
    let topic = InitializeStateData::default().with_topic_id(id).with_partitions(vec![partition]);
    let body = InitializeShareGroupStateRequest::default().with_group_id(text("g")).with_topics(vec![topic]);
    let seq = room.send(ApiKey::InitializeShareGroupState, 0, body);
    let ResponseKind::InitializeShareGroupState(body) = &*room.replies[&seq].body else { panic!() };
    body.results[0].partitions[0].error_code
}

/// Start offset and delivery complete count, as the coordinator has them.
fn summary(room: &mut Room, id: Uuid) -> (Offset, i32) {
    let topic = ReadStateSummaryData::default().with_topic_id(id).with_partitions(vec![SummaryPartition::default()]);
    let body = ReadShareGroupStateSummaryRequest::default().with_group_id(text("g")).with_topics(vec![topic]);
    let seq = room.send(ApiKey::ReadShareGroupStateSummary, 1, body);
    let ResponseKind::ReadShareGroupStateSummary(body) = &*room.replies[&seq].body else { panic!() };
    let partition = &body.results[0].partitions[0];
    (partition.start_offset, crate::protocol::share::delivery_complete_count(&partition.unknown_tagged_fields))
}

fn fetch_request(id: Uuid, member: &str, epoch: i32) -> ShareFetchRequest {
    let partition = fetch::FetchPartition::default();
    let topics = vec![fetch::FetchTopic::default().with_topic_id(id).with_partitions(vec![partition])];
    ShareFetchRequest::default()
        .with_group_id(Some(GroupId(text("g"))))
        .with_member_id(Some(text(member)))
        .with_share_session_epoch(epoch)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_max_records(500)
        .with_batch_size(500)
        .with_topics(topics)
}

fn acknowledge_request(
    id: Uuid,
    member: &str,
    epoch: i32,
    batches: &[(Offset, Offset, i8)],
) -> ShareAcknowledgeRequest {
    let batches = batches.iter().map(|&(first, last, kind)| {
        acknowledge::AcknowledgementBatch::default()
            .with_first_offset(first)
            .with_last_offset(last)
            .with_acknowledge_types(vec![kind])
    });
    let partition = acknowledge::AcknowledgePartition::default().with_acknowledgement_batches(batches.collect());
    let topic = acknowledge::AcknowledgeTopic::default().with_topic_id(id).with_partitions(vec![partition]);
    let mut body = ShareAcknowledgeRequest::default()
        .with_group_id(Some(GroupId(text("g"))))
        .with_member_id(Some(text(member)))
        .with_share_session_epoch(epoch)
        .with_topics(vec![topic]);
    set_renews(&mut body.unknown_tagged_fields, true);
    body
}

impl Room {
    /// What a ShareFetch was given: which records, with their values; `None` while there is no answer.
    fn shared(&self, seq: u64) -> Option<(Vec<Range>, Vec<String>)> {
        let reply = self.replies.get(&seq)?;
        let ResponseKind::ShareFetch(body) = &*reply.body else { panic!() };
        assert_eq!((body.error_code, body.acquisition_lock_timeout_ms), (0, 30_000));
        let partitions: Vec<_> = body.responses.iter().flat_map(|topic| &topic.partitions).collect();
        assert_eq!(partitions.len(), reply.records.len());
        let Some(partition) = partitions.first() else { return Some((vec![], vec![])) };
        assert_eq!((partition.error_code, partition.acknowledge_error_code), (0, 0), "{partition:?}");
        let ranges = partition.acquired_records.iter();
        let ranges = ranges.map(|it| (it.first_offset, it.last_offset, it.delivery_count)).collect();
        Some((ranges, reply.records[0].map_or_else(Vec::new, |extent| values(&self.bytes(extent)))))
    }

    fn share_fetch(&mut self, body: ShareFetchRequest) -> u64 {
        self.send(ApiKey::ShareFetch, 2, body)
    }

    /// The codes of all and of the one partition.
    fn acknowledge(&mut self, body: ShareAcknowledgeRequest) -> (i16, i16) {
        let seq = self.send(ApiKey::ShareAcknowledge, 2, body);
        let ResponseKind::ShareAcknowledge(body) = &*self.replies[&seq].body else { panic!() };
        (body.error_code, body.responses.first().map_or(0, |topic| topic.partitions[0].error_code))
    }
}

#[test]
fn records_are_acquired_accepted_released_and_rejected_and_a_restart_knows_it() {
    let (mut room, id) = room_with(&[]);
    let seq = room.share_fetch(fetch_request(id, "a", 0));
    assert_eq!(room.shared(seq).unwrap(), (vec![(0, 2, 1)], vec!["a".into(), "b".into(), "c".into()]));
    // What another has nobody else gets.
    let waits = room.share_fetch(fetch_request(id, "b", 0));
    assert_eq!(room.shared(waits), None);
    let some = [(0, 0, ACCEPT), (1, 1, RELEASE), (2, 2, REJECT)];
    assert_eq!(room.acknowledge(acknowledge_request(id, "a", 1, &some)), (0, 0));
    assert_eq!(room.shared(waits).unwrap(), (vec![(1, 1, 2)], vec!["a".into(), "b".into()]));
    assert_eq!(summary(&mut room, id), (0, 2));
    // Nothing is left for anybody.
    let waits = room.share_fetch(fetch_request(id, "a", 2));
    room.pass(500);
    assert_eq!(room.shared(waits).unwrap(), (vec![], vec![]));

    let mut room = room.restart();
    let seq = room.share_fetch(fetch_request(id, "c", 0).with_max_wait_ms(30_000));
    room.pass(1_000);
    room.pass(1_000);
    assert_eq!(room.shared(seq).unwrap().0, [(1, 1, 2)], "its last delivery was not written");
    assert_eq!(room.acknowledge(acknowledge_request(id, "c", 1, &[(1, 1, ACCEPT)])), (0, 0));
    assert_eq!(summary(&mut room, id), (1, 2), "what was done before it, and behind it");
    room.produce("orders", 1, &batch(&["d"]));
    let seq = room.share_fetch(fetch_request(id, "c", 2));
    assert_eq!(room.shared(seq).unwrap().0, [(3, 3, 1)]);
}

#[test]
fn what_a_member_holds_too_long_others_get_unless_it_renews_its_lock() {
    let (mut room, id) = room_with(&[]);
    let seq = room.share_fetch(fetch_request(id, "a", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(0, 2, 1)]);
    room.pass(20_000);
    assert_eq!(room.acknowledge(acknowledge_request(id, "a", 1, &[(0, 2, RENEW)])), (0, 0));
    let waits = room.share_fetch(fetch_request(id, "b", 0).with_max_wait_ms(60_000));
    room.pass(29_999);
    assert_eq!(room.shared(waits), None);
    room.pass(1);
    assert_eq!(room.shared(waits).unwrap().0, [(0, 2, 2)]);
    let late = acknowledge_request(id, "a", 2, &[(0, 2, ACCEPT)]);
    assert_eq!(room.acknowledge(late), (0, code(ErrorCode::InvalidRecordState)));
}

#[test]
fn after_five_deliveries_a_record_is_given_up() {
    let (mut room, id) = room_with(&[]);
    for count in 1..=5 {
        let seq = room.share_fetch(fetch_request(id, "a", 2 * (count - 1)).with_max_records(1));
        let (ranges, _) = room.shared(seq).unwrap();
        assert_eq!(ranges[0].2, count as i16);
        let (first, last) = (ranges[0].0, ranges[ranges.len() - 1].1);
        room.acknowledge(acknowledge_request(id, "a", 2 * count - 1, &[(first, last, RELEASE)]));
    }
    let seq = room.share_fetch(fetch_request(id, "a", 10).with_max_wait_ms(0));
    assert!(room.shared(seq).unwrap().0.iter().all(|(first, ..)| *first > 0));
}

#[test]
fn a_session_ends_with_its_last_epoch_or_with_its_connection_and_what_it_holds_comes_back() {
    let (mut room, id) = room_with(&[]);
    let strict = with_acquire_mode(fetch_request(id, "a", 0).with_max_records(1), 1);
    let seq = room.share_fetch(strict);
    assert_eq!(room.shared(seq).unwrap().0, [(0, 0, 1)]);
    assert_eq!(room.acknowledge(acknowledge_request(id, "a", 7, &[])).0, code(ErrorCode::InvalidShareSessionEpoch));
    assert_eq!(room.acknowledge(acknowledge_request(id, "x", 1, &[])).0, code(ErrorCode::ShareSessionNotFound));
    let seq = room.share_fetch(fetch_request(id, "b", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(1, 2, 1)]);
    let waits = room.share_fetch(fetch_request(id, "c", 0));
    assert_eq!(room.acknowledge(acknowledge_request(id, "a", -1, &[])), (0, 0));
    assert_eq!(room.shared(waits).unwrap().0, [(0, 0, 2)]);
    room.step(Event::Closed { conn: CLIENT });
    let seq = room.share_fetch(fetch_request(id, "d", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(0, 0, 3), (1, 2, 2)]);
    room.step(Event::Closed { conn: CLIENT });
    let seq = room.share_fetch(fetch_request(id, "e", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(0, 0, 4)], "it was delivered often: alone");
    let seq = room.share_fetch(fetch_request(id, "e", 1));
    assert_eq!(room.shared(seq).unwrap().0, [(1, 2, 3)]);
}

#[test]
fn a_leader_that_knows_an_old_state_reads_the_new_one() {
    let (mut room, id) = room_with(&[]);
    let seq = room.share_fetch(fetch_request(id, "a", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(0, 2, 1)]);
    assert_eq!(initialize(&mut room, id, 1, 2), 0);
    assert_eq!(initialize(&mut room, id, 0, 0), code(ErrorCode::FencedStateEpoch));
    let all = acknowledge_request(id, "a", 1, &[(0, 2, ACCEPT)]);
    assert_eq!(room.acknowledge(all), (0, code(ErrorCode::NotLeaderOrFollower)));
    let seq = room.share_fetch(fetch_request(id, "a", 2));
    assert_eq!(room.shared(seq).unwrap(), (vec![(2, 2, 1)], vec!["c".into()]));
}

/// The group is set to that.
fn set_group(room: &mut Room, settings: &[(&str, &str)]) {
    let mut state = room.broker.cluster_state().clone();
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    state.group_configs.insert("g".to_owned(), settings);
    running::tell_state(room, state);
}

#[test]
fn a_group_that_reads_what_is_committed_gets_nothing_that_was_aborted() {
    let (mut room, id) = room_with(&[("transaction.partition.verification.enable", "false")]);
    set_group(&mut room, &[("share.isolation.level", "read_committed"), ("share.auto.offset.reset", "earliest")]);
    assert_eq!(initialize(&mut room, id, 1, -1), 0);
    assert_eq!(room.write(&transactions::numbered(0, 0, 2, true)), (0, 3));
    let seq = room.share_fetch(fetch_request(id, "a", 0));
    assert_eq!(room.shared(seq).unwrap().0, [(0, 2, 1)]);
    let waits = room.share_fetch(fetch_request(id, "a", 1));
    room.produce("orders", 1, &batch(&["d"]));
    assert_eq!(room.shared(waits), None, "the transaction is open");
    room.mark(1, 0, false, 0, 0).unwrap();
    assert_eq!(room.shared(waits).unwrap().0, [(5, 6, 1)], "and the marker");
}

#[test]
fn a_group_begins_with_what_is_not_too_old_or_with_what_comes() {
    for (reset, first) in [("by_duration:PT5S", 3), ("by_duration:PT1H", 0), ("latest", 4)] {
        let (mut room, id) = room_with(&[]);
        set_group(&mut room, &[("share.auto.offset.reset", reset)]);
        assert_eq!(initialize(&mut room, id, 1, -1), 0);
        room.pass(10_000);
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(room.now.wall, None, Some(b"d"), &[]);
        room.produce("orders", 1, &builder.build());
        let seq = room.share_fetch(fetch_request(id, "a", 0).with_max_wait_ms(100));
        room.produce("orders", 1, &batch(&["e"]));
        assert_eq!(room.shared(seq).unwrap().0[0].0, first, "{reset}");
    }
}

#[test]
fn a_coordinator_that_is_elsewhere_is_asked_until_there_is_one() {
    let (mut room, id) = room_with(&[]);
    let before = room.broker.cluster_state().clone();
    let mut state = before.clone();
    let [one, two] = [BrokerId(1), BrokerId(2)];
    let registration = Registration { id: two, ..state.brokers[&one].clone() };
    state.brokers.insert(two, registration);
    for partition in &mut state.topics.get_mut(&topic("__share_group_state")).unwrap().partitions {
        (partition.leader, partition.leader_epoch, partition.replicas) = (two, 1, vec![one, two]);
    }
    running::tell_state(&mut room, state);
    let seq = room.share_fetch(fetch_request(id, "a", 0).with_max_wait_ms(60_000));
    room.pass(500);
    assert_eq!(room.shared(seq), None, "what is sent there comes here, which is none");
    let mut state = before;
    for partition in &mut state.topics.get_mut(&topic("__share_group_state")).unwrap().partitions {
        partition.leader_epoch = 2;
    }
    running::tell_state(&mut room, state);
    room.pass(1_000);
    assert_eq!(room.shared(seq).unwrap().0, [(0, 2, 1)]);
}

#[test]
fn all_who_wait_hear_that_nothing_is_kept_of_their_group() {
    let mut room = Room::with(&OF_THE_TOPIC);
    let id = room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["a"]));
    let member = |n: i32| fetch_request(id, &format!("m{n}"), 0).with_max_wait_ms(600_000);
    let waiting: Vec<u64> = (0..1_000).map(|n| room.share_fetch(member(n))).collect();
    room.pass(60_000);
    for seq in waiting {
        let ResponseKind::ShareFetch(body) = &*room.replies[&seq].body else { panic!() };
        assert_ne!(body.responses[0].partitions[0].error_code, 0);
    }
}
