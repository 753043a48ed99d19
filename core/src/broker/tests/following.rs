//! The broker as a follower, with a leader that the test plays.

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse};

use super::running::tell;
use super::*;
use crate::client::{self, Wire};
use crate::log::checkpoint::RECOVERY_POINT;
use crate::protocol::version::SERVED;
use crate::record::Stamp;

const LEADER: BrokerId = BrokerId(2);

impl Room {
    /// The request that the follower has sent last, and over which connection.
    fn asked_leader(&mut self) -> Option<(ConnId, Request)> {
        let sent = self.others.drain(..).filter_map(|effect| match effect {
            Effect::Client(Wire::Send { conn, request }) => Some((conn, *request)),
            _ => None,
        });
        sent.last()
    }

    fn leader_answers(&mut self, conn: ConnId, request: &Request, body: impl Into<ResponseKind>) {
        let (correlation_id, version, body) = (request.correlation_id, request.version, Box::new(body.into()));
        self.step(Event::client(client::Event::Response { conn, correlation_id, version, body }));
    }

    /// Follows `orders-0` of broker 2; gives its first Fetch.
    fn follow(&mut self) -> (ConnId, Request) {
        tell(self, 100, LEADER, 0);
        let open = self.others.drain(..).find_map(|effect| match effect {
            Effect::Client(Wire::Open { conn, .. }) => Some(conn),
            _ => None,
        });
        let conn = open.expect("it connects to its leader");
        self.step(Event::client(client::Event::Opened { conn }));
        let (conn, request) = self.asked_leader().expect("it shakes hands");
        let api = |served: &crate::protocol::version::Served| {
            ApiVersion::default()
                .with_api_key(served.api as i16)
                .with_min_version(served.min)
                .with_max_version(served.max)
        };
        let apis = ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(api).collect());
        self.leader_answers(conn, &request, apis);
        self.asked_leader().expect("it fetches")
    }

    fn log_of_orders(&self) -> &crate::log::Log {
        &self.broker.partition(&topic("orders"), 0).expect("it is hosted").log
    }
}

fn offset(request: &Request) -> Offset {
    let RequestKind::Fetch(body) = &request.body else { panic!("{request}") };
    assert_eq!(body.replica_state.replica_id.0, 1);
    body.topics[0].partitions[0].fetch_offset
}

/// What a leader of that epoch has from `base` on.
fn stored(base: Offset, epoch: i32, values: &[&str]) -> Vec<u8> {
    let batch = batch(values);
    let stamp = Stamp { base_offset: base, leader_epoch: epoch, append_time: None };
    [&stamp.apply(&batch)[..], &batch.payload()].concat()
}

fn records(high_watermark: Offset, records: Vec<u8>) -> FetchResponse {
    let partition = PartitionData::default()
        .with_high_watermark(high_watermark)
        .with_log_start_offset(0)
        .with_records(Some(records.into()));
    let topic = FetchableTopicResponse::default().with_topic_id(Uuid::from_u128(5)).with_partitions(vec![partition]);
    FetchResponse::default().with_session_id(0).with_responses(vec![topic])
}

#[test]
fn what_the_leader_sends_is_appended_as_it_is_and_the_next_fetch_says_so() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    assert_eq!(offset(&fetch), 0);
    let bytes = [stored(0, 0, &["a", "b"]), stored(2, 0, &["c"])].concat();
    room.leader_answers(conn, &fetch, records(1, bytes.clone()));
    let (_, fetch) = room.asked_leader().unwrap();
    assert_eq!((offset(&fetch), room.log_of_orders().high_watermark()), (3, 1));
    let file = room.logs.values().find(|log| log.directory == "orders-0").unwrap();
    assert_eq!(file.segments[&0], bytes);
}

#[test]
fn a_stop_does_not_wait_for_what_is_cut_off_meanwhile() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    room.leader_answers(conn, &fetch, records(0, stored(0, 0, &["a", "b"])));
    let (conn, fetch) = room.asked_leader().unwrap();
    room.leader_answers(conn, &fetch, records(0, stored(2, 0, &["c"])));
    let (conn, fetch) = room.asked_leader().unwrap();
    room.slow = true;
    room.step(Event::Stop { controlled: false });
    let flushed = room.held.pop_front().expect("it flushes");
    room.slow = false;
    let diverging = EpochEndOffset::default().with_epoch(0).with_end_offset(2);
    let mut answer = records(0, Vec::new());
    answer.responses[0].partitions[0].diverging_epoch = diverging;
    room.leader_answers(conn, &fetch, answer);
    assert_eq!(room.log_of_orders().end(), 2);
    room.step(flushed);
    assert!(room.others.iter().any(|effect| matches!(effect, Effect::Stopped)), "{:?}", room.others);
    assert!(room.files[RECOVERY_POINT].ends_with(b"orders 0 2\n"), "{:?}", room.files[RECOVERY_POINT]);
}

#[test]
fn while_the_disk_writes_nothing_more_is_asked_for() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    room.slow = true;
    room.leader_answers(conn, &fetch, records(0, stored(0, 0, &["a"])));
    assert!(room.asked_leader().is_none());
    room.slow = false;
    room.catch_up();
    assert_eq!(offset(&room.asked_leader().unwrap().1), 1);
}

#[test]
fn a_corrupt_batch_is_not_taken_and_is_fetched_again_after_the_backoff() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    let mut flipped = stored(0, 0, &["a"]);
    *flipped.last_mut().unwrap() ^= 1;
    room.leader_answers(conn, &fetch, records(1, flipped));
    assert!(
        room.told(Level::Bad)[0].starts_with("Found invalid messages during fetch for partition orders-0 offset 0")
    );
    assert!(room.asked_leader().is_none() && room.log_of_orders().end() == 0);
    room.pass(999);
    assert!(room.asked_leader().is_none());
    room.pass(1);
    let (conn, fetch) = room.asked_leader().expect("replica.fetch.backoff.ms is over");
    room.leader_answers(conn, &fetch, records(1, stored(0, 0, &["a"])));
    assert_eq!(room.log_of_orders().end(), 1);
}

#[test]
fn a_batch_that_does_not_follow_on_fails_the_partition_until_the_next_epoch() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    room.leader_answers(conn, &fetch, records(1, stored(0, 0, &["a", "b"])));
    let (conn, fetch) = room.asked_leader().unwrap();
    room.leader_answers(conn, &fetch, records(1, stored(1, 0, &["b"])));
    assert!(room.told(Level::Bad)[0].starts_with("Partition orders-0 marked as failed: Unexpected offset"));
    room.pass(5_000);
    assert!(room.asked_leader().is_none() && room.log_of_orders().end() == 2);
    tell(&mut room, 101, LEADER, 1);
    let (_, request) = room.asked_leader().expect("a new epoch, a new try");
    assert_eq!(request.api_key, ApiKey::OffsetForLeaderEpoch);
}

#[test]
fn an_answer_of_an_epoch_that_is_over_is_not_taken() {
    let mut room = Room::new();
    let (conn, fetch) = room.follow();
    tell(&mut room, 101, LEADER, 1);
    room.leader_answers(conn, &fetch, records(1, stored(0, 0, &["a"])));
    assert_eq!(room.log_of_orders().end(), 0);
}

#[test]
fn a_leader_that_cannot_be_reached_is_tried_again_after_the_backoff_and_a_new_one_at_once() {
    let mut room = Room::new();
    let (conn, _) = room.follow();
    room.step(Event::client(client::Event::Closed { conn }));
    let opens = |room: &mut Room| {
        let opened = room.others.drain(..).filter(|it| matches!(it, Effect::Client(Wire::Open { .. })));
        opened.count()
    };
    assert_eq!(opens(&mut room), 0);
    room.pass(500);
    assert_eq!(opens(&mut room), 0);
    tell(&mut room, 101, BrokerId::NONE, 1);
    tell(&mut room, 102, LEADER, 2);
    assert_eq!(opens(&mut room), 1);
}
