//! What a producer sends, and what it tells of its records.

mod program;
mod transactions;

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ApiKey, ProduceResponse, RequestKind};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::client::SendRecord;
use crate::client::fake::{Fake, TOPIC_ID, endpoint, topic};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::protocol::Request;
use crate::record::Record;

fn producer(settings: &str, leaders: &[(i32, i32)]) -> Fake<Producer> {
    let set = settings.split_whitespace().filter_map(|pair| pair.split_once('='));
    let set = set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Fake::new(
        Producer::new("p1", &["orders".to_owned()], &set, vec![endpoint(1), endpoint(2)], Seed(1)).unwrap(),
        leaders,
    )
}

fn send(fake: &mut Fake<Producer>, key: Option<&str>, value: &str) {
    let record = SendRecord {
        topic: "orders".to_string(),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        ..SendRecord::default()
    };
    fake.step(Event::Command(Command::Send(record).into()));
}

/// What a Produce carries: partition and values.
fn values(request: &Request) -> Vec<(i32, Vec<String>)> {
    let RequestKind::Produce(body) = &request.body else { panic!("{request:?} is no Produce") };
    let partitions = body.topic_data.iter().flat_map(|topic| &topic.partition_data).map(|data| data.index);
    let batches = request.batches.iter().map(|checked| {
        let records = Record::decode(&checked.as_ref().unwrap().batch).unwrap();
        let text = |value: Option<Bytes>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
        records.into_iter().map(|record| text(record.value)).collect()
    });
    partitions.zip(batches).collect()
}

fn answer(fake: &mut Fake<Producer>, conn: ConnId, request: &Request, error: i16, base_offset: i64) {
    let partitions = values(request).into_iter().map(|(index, _)| {
        PartitionProduceResponse::default().with_index(index).with_error_code(error).with_base_offset(base_offset)
    });
    let topic = TopicProduceResponse::default().with_name(topic());
    let topic = if request.version > 12 { topic.with_topic_id(TOPIC_ID) } else { topic };
    let body = ProduceResponse::default().with_responses(vec![topic.with_partition_responses(partitions.collect())]);
    fake.answer(conn, request, ResponseKind::Produce(body));
}

fn acked(fake: &Fake<Producer>) -> Vec<(u64, i64)> {
    let acked = |report: &Report| match report {
        Report::Acked { sequence, offset, .. } => Some((*sequence, *offset)),
        _ => None,
    };
    fake.reports.iter().filter_map(acked).collect()
}

fn failures(fake: &Fake<Producer>) -> Vec<(u64, String)> {
    let failed = |report: &Report| match report {
        Report::Failed { sequence, .. } => Some((*sequence, report.why().unwrap())),
        _ => None,
    };
    fake.reports.iter().filter_map(failed).collect()
}

#[test]
fn records_at_a_rate_linger_in_a_batch_and_are_acknowledged_by_number() {
    let mut fake = producer("rate=1000/s linger.ms=5 keys=1", &[(1, 0)]);
    fake.pass(5);
    let (to, conn, request) = fake.request();
    assert_eq!(to, endpoint(1));
    assert_eq!((request.api_key, request.version), (ApiKey::Produce, 13));
    assert_eq!(request.client_id.as_deref(), Some("p1"));
    assert_eq!(values(&request), [(0, (0..6).map(|number| format!("p1-{number}")).collect())]);
    assert!(fake.requests.is_empty());
    answer(&mut fake, conn, &request, 0, 100);
    assert_eq!(acked(&fake), [(0, 100), (1, 101), (2, 102), (3, 103), (4, 104), (5, 105)]);
    assert_eq!(fake.node.view().acked, 6);
}

#[test]
fn a_value_that_does_not_fit_its_serializer_is_thrown_back_and_others_are_sent() {
    let mut fake = producer("linger.ms=0 value.serializer=IntegerSerializer", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, Some("k"), "hello");
    assert!(fake.requests.is_empty());
    let why = "SerializationException: Can't convert value of class java.lang.String to class \
               org.apache.kafka.common.serialization.IntegerSerializer specified in value.serializer";
    assert_eq!(failures(&fake), [(0, why.to_owned())]);
    send(&mut fake, Some("k"), "258");
    assert_eq!(values(&fake.request().2), [(0, vec!["\0\0\u{1}\u{2}".to_owned()])]);
}

#[test]
fn numbered_records_are_of_the_class_that_the_serializer_takes() {
    let settings = "rate=1000/s linger.ms=5 keys=2 key.serializer=ShortSerializer value.serializer=LongSerializer";
    let mut fake = producer(settings, &[(1, 0)]);
    fake.pass(5);
    let request = fake.request().2;
    let records = Record::decode(&request.batches[0].as_ref().unwrap().batch).unwrap();
    let keys: Vec<_> = records.iter().map(|record| record.key.as_deref().unwrap()).collect();
    assert_eq!(keys, [[0, 0], [0, 1], [0, 0], [0, 1], [0, 0], [0, 1]]);
    assert_eq!(records[5].value.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 5][..]));
}

#[test]
fn handlers_that_share_a_producer_work_side_by_side_and_the_main_thread_waits_for_one() {
    let sent = |settings: &str| {
        let mut fake = producer(&format!("rate=100/s handler.ms=30 {settings}"), &[(1, 0)]);
        fake.pass(3_000);
        fake.node.view().sent
    };
    assert_eq!(sent("handlers=1"), 100);
    // The second one begins 10 ms later.
    assert_eq!(sent("handlers=2"), 199);
    // More than are needed: all records but the three that are being worked on.
    assert_eq!(sent("handlers=9"), 301 - 3);
}

#[test]
fn a_partition_that_a_partitioner_makes_up_is_waited_for_until_delivery_times_out() {
    let settings = "linger.ms=0 partitioner.class=TablePartitioner partitioner.table=VIP:7 request.timeout.ms=1000 \
                    delivery.timeout.ms=2000";
    let mut fake = producer(settings, &[(1, 0), (1, 0)]);
    fake.pass(1);
    send(&mut fake, Some("VIP"), "hello");
    assert!(fake.requests.is_empty());
    fake.pass(3_000);
    let why = "Expiring 1 record(s) for orders-7:2000 ms has passed since batch creation. The request has not been sent, \
               or no server response has been received yet.";
    assert_eq!(failures(&fake), [(0, why.to_owned())]);
}

#[test]
fn a_producer_that_closes_sends_what_lingers_and_refuses_what_comes() {
    let mut fake = producer("linger.ms=60000 rate=100/s", &[(1, 0)]);
    fake.pass(25);
    fake.step(Event::Command(Command::Close.into()));
    fake.pass(1_000);
    send(&mut fake, None, "late");
    let late = "Cannot perform operation after producer has been closed";
    assert_eq!(failures(&fake), [(3, late.to_owned())]);
    assert!(!fake.reports.contains(&Report::Closed));
    let (_, conn, request) = fake.request();
    assert_eq!(values(&request), [(0, vec!["p1-0".to_owned(), "p1-1".to_owned(), "p1-2".to_owned()])]);
    answer(&mut fake, conn, &request, 0, 0);
    assert_eq!((fake.reports.last(), fake.node.deadline()), (Some(&Report::Closed), None));
}

#[test]
fn a_call_that_blocks_is_told_when_its_producer_closes() {
    let mut fake = producer("", &[]);
    fake.pass(1);
    send(&mut fake, None, "blocks");
    send(&mut fake, None, "waits");
    fake.step(Event::Command(Command::Close.into()));
    assert_eq!(
        failures(&fake),
        [
            (0, "Producer closed while send in progress".to_owned()),
            (1, "Cannot perform operation after producer has been closed".to_owned())
        ]
    );
    assert_eq!(fake.reports.last(), Some(&Report::Closed));
}

#[test]
fn a_full_batch_goes_at_once_and_the_linger_is_for_the_rest() {
    let mut fake = producer("linger.ms=1000 batch.size=150", &[(1, 0)]);
    fake.pass(1);
    for number in 0..3 {
        send(&mut fake, Some("k"), &format!("{number:060}"));
    }
    assert_eq!(values(&fake.request().2), [(0, vec![format!("{:060}", 0)])]);
    assert_eq!(values(&fake.request().2), [(0, vec![format!("{:060}", 1)])]);
    assert!(fake.requests.is_empty());
    fake.pass(999);
    assert!(fake.requests.is_empty());
    fake.pass(2);
    assert_eq!(values(&fake.request().2), [(0, vec![format!("{:060}", 2)])]);
}

#[test]
fn not_leader_refreshes_metadata_and_the_batch_goes_to_the_new_leader() {
    let mut fake = producer("linger.ms=0 retry.backoff.ms=100", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "hello");
    let (to, conn, request) = fake.request();
    assert_eq!((to, fake.metadata_requests), (endpoint(1), 1));
    fake.pass(200);
    fake.leaders = vec![(2, 1)];
    answer(&mut fake, conn, &request, ErrorCode::NotLeaderOrFollower.code(), -1);
    assert_eq!(fake.metadata_requests, 2);
    // A newer leader is tried without the back-off.
    let (to, conn, request) = fake.request();
    assert_eq!((to, values(&request)), (endpoint(2), vec![(0, vec!["hello".to_string()])]));
    answer(&mut fake, conn, &request, 0, 4);
    assert_eq!(acked(&fake), [(0, 4)]);
    assert_eq!(fake.node.view().retries, 1);
}

#[test]
fn an_answer_that_names_the_leader_is_believed_without_asking() {
    let mut fake = producer("linger.ms=0", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "hello");
    let (_, conn, request) = fake.request();
    let leader = LeaderIdAndEpoch::default().with_leader_id(3.into()).with_leader_epoch(5);
    let node =
        NodeEndpoint::default().with_node_id(3.into()).with_host(StrBytes::from_static_str("host")).with_port(9093);
    let partition = PartitionProduceResponse::default()
        .with_error_code(ErrorCode::NotLeaderOrFollower.code())
        .with_current_leader(leader);
    let topic = TopicProduceResponse::default().with_topic_id(TOPIC_ID).with_partition_responses(vec![partition]);
    let body = ProduceResponse::default().with_responses(vec![topic]).with_node_endpoints(vec![node]);
    fake.answer(conn, &request, ResponseKind::Produce(body));
    assert_eq!((fake.request().0, fake.metadata_requests), (endpoint(3), 1));
}

#[test]
fn a_request_without_an_answer_cuts_the_connection_and_is_sent_again() {
    let mut fake = producer("linger.ms=0 request.timeout.ms=2000", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "hello");
    let (_, conn, _) = fake.request();
    fake.pass(1_999);
    assert!(fake.closed.is_empty());
    fake.pass(1_000);
    assert_eq!(fake.closed, [conn]);
    let (_, again, request) = fake.request();
    assert_ne!(again, conn);
    assert_eq!(values(&request), [(0, vec!["hello".to_string()])]);
    let note = "orders-0: 1 records again, 2147483646 attempts left: NETWORK_EXCEPTION";
    assert!(fake.reports.contains(&Report::Note(note.to_string())), "{:?}", fake.reports);
}

#[test]
fn a_batch_is_given_up_when_its_delivery_time_is_over_even_in_flight() {
    let mut fake = producer("linger.ms=0 request.timeout.ms=2000 delivery.timeout.ms=3000", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "hello");
    fake.silent = true;
    fake.pass(2_500);
    assert!(failures(&fake).is_empty());
    fake.pass(1_000);
    let error = "Expiring 1 record(s) for orders-0:3000 ms has passed since batch creation. The request has not been sent, \
                 or no server response has been received yet.";
    assert_eq!(failures(&fake), [(0, error.to_string())]);
    assert_eq!(fake.node.view().buffered, 0);
}

#[test]
fn one_request_in_flight_keeps_the_order_through_a_retry() {
    let mut fake = producer("linger.ms=0 max.in.flight.requests.per.connection=1", &[(1, 0)]);
    fake.pass(1);
    (0..3).for_each(|number| send(&mut fake, None, &number.to_string()));
    let (_, conn, request) = fake.request();
    assert!(fake.requests.is_empty(), "the second waits for the first");
    answer(&mut fake, conn, &request, ErrorCode::NotEnoughReplicas.code(), -1);
    fake.pass(200);
    let mut order = Vec::new();
    while let Some((_, conn, request)) = fake.requests.pop_front() {
        order.extend(values(&request).into_iter().flat_map(|(_, values)| values));
        answer(&mut fake, conn, &request, 0, order.len() as i64);
        fake.pass(10);
    }
    assert_eq!(order, ["0", "1", "2"]);
}

#[test]
fn five_requests_in_flight_let_a_batch_overtake_one_that_is_retried() {
    let mut fake = producer("linger.ms=0 enable.idempotence=false", &[(1, 0)]);
    fake.pass(1);
    (0..7).for_each(|number| send(&mut fake, None, &number.to_string()));
    assert_eq!(fake.requests.len(), 5, "not more than max.in.flight.requests.per.connection");
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, ErrorCode::NotEnoughReplicas.code(), -1);
    let mut order = Vec::new();
    while let Some((_, conn, request)) = fake.requests.pop_front() {
        order.extend(values(&request).into_iter().flat_map(|(_, values)| values));
        answer(&mut fake, conn, &request, 0, order.len() as i64);
        fake.pass(if fake.requests.is_empty() { 200 } else { 0 });
    }
    assert_eq!(order[..4], ["1", "2", "3", "4"]);
    assert!(order.contains(&"0".to_string()) && order.len() == 7, "{order:?}");
}

#[test]
fn under_acks_0_sent_is_done() {
    let mut fake = producer("linger.ms=0 acks=0 batch.size=100 buffer.memory=200", &[(1, 0)]);
    fake.pass(1);
    (0..20).for_each(|number| send(&mut fake, None, &number.to_string()));
    assert_eq!(acked(&fake), (0..20).map(|number| (number, -1)).collect::<Vec<_>>());
    let view = fake.node.view();
    assert_eq!((view.buffered, view.in_flight), (0, 0));
}

#[test]
fn a_full_buffer_blocks_send_until_there_is_room_or_max_block_is_over() {
    let settings = "rate=10/s linger.ms=0 batch.size=1000 buffer.memory=2000 max.block.ms=1500 max.in.flight.requests.per.connection=1";
    let mut fake = producer(settings, &[(1, 0)]);
    fake.pass(1_000);
    let (_, conn, request) = fake.request();
    assert_eq!(fake.node.view().sent, 11, "what fits into two batches");
    fake.silent = true;
    (0..1).for_each(|_| send(&mut fake, None, &"x".repeat(990)));
    fake.pass(1_400);
    assert!(failures(&fake).is_empty());
    fake.pass(200);
    let error = "Failed to allocate 1076 bytes within the configured max blocking time 1500 ms. Total memory: 2000 bytes. \
                 Available memory: 0 bytes. Poolable size: 1000 bytes";
    assert_eq!(failures(&fake), [(11, error.to_string())]);
    fake.silent = false;
    answer(&mut fake, conn, &request, 0, 0);
    fake.pass(1_000);
    assert!(fake.node.view().sent >= 20, "the application goes on: {:?}", fake.node.view());
}

#[test]
fn a_record_of_more_than_max_request_size_fails_in_kafkas_words() {
    let mut fake = producer("rate=1/s value.size=1048576", &[(1, 0)]);
    fake.pass(10);
    let error = "The message is 1048664 bytes when serialized which is larger than 1048576, which is the value of the \
                 max.request.size configuration.";
    assert_eq!(failures(&fake), [(0, error.to_string())]);
    assert!(fake.requests.is_empty());
}

#[test]
fn a_batch_that_the_broker_finds_too_large_is_split_and_a_single_record_fails() {
    let mut fake = producer("linger.ms=10", &[(1, 0)]);
    fake.pass(1);
    (0..3).for_each(|number| send(&mut fake, None, &number.to_string()));
    fake.pass(20);
    let too_large = ErrorCode::MessageTooLarge;
    let mut seen = Vec::new();
    while let Some((_, conn, request)) = fake.requests.pop_front() {
        let (_, values) = values(&request).remove(0);
        let error = if values.len() > 1 || values[0] == "2" { too_large.code() } else { 0 };
        seen.push(values);
        answer(&mut fake, conn, &request, error, 0);
    }
    assert_eq!(seen[0], ["0", "1", "2"]);
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!(acked(&fake).len(), 2);
    assert_eq!(failures(&fake), [(2, crate::error::message(too_large).to_string())]);
    assert_eq!(fake.node.view().buffered, 0);
}

#[test]
fn an_unknown_topic_fails_after_max_block() {
    let mut fake = producer("max.block.ms=3000", &[(1, 0)]);
    fake.pass(1);
    let record = SendRecord { topic: "payments".to_string(), ..SendRecord::default() };
    fake.step(Event::Command(Command::Send(record).into()));
    fake.pass(2_900);
    assert!(failures(&fake).is_empty());
    fake.pass(200);
    assert_eq!(failures(&fake), [(0, "Topic payments not present in metadata after 3000 ms.".to_string())]);
    // With back-off: not at every turn.
    assert!((4..20).contains(&fake.metadata_requests), "{}", fake.metadata_requests);
}

#[test]
fn an_old_broker_is_spoken_to_in_its_own_versions() {
    let mut fake = producer("linger.ms=0", &[(1, -1)]);
    fake.newest = vec![(ApiKey::ApiVersions, 2), (ApiKey::Produce, 7), (ApiKey::Metadata, 5)];
    fake.pass(1);
    send(&mut fake, None, "hello");
    let (_, conn, request) = fake.request();
    assert_eq!(request.version, 7);
    answer(&mut fake, conn, &request, 0, 9);
    assert_eq!(acked(&fake), [(0, 9)]);
}

#[test]
fn a_dead_bootstrap_broker_is_passed_by_and_a_lost_one_comes_back() {
    let mut fake = producer("linger.ms=0", &[(2, 0)]);
    fake.dead = vec![1];
    fake.pass(500);
    send(&mut fake, None, "hello");
    let (to, ..) = fake.request();
    assert_eq!(to, endpoint(2));
    fake.dead = vec![1, 2, 3];
    fake.disconnect(2);
    fake.pass(5_000);
    assert!(fake.requests.is_empty());
    fake.dead = vec![];
    fake.pass(2_000);
    let (to, conn, request) = fake.request();
    assert_eq!((to, values(&request)), (endpoint(2), vec![(0, vec!["hello".to_string()])]));
    answer(&mut fake, conn, &request, 0, 0);
    assert_eq!(acked(&fake), [(0, 0)]);
}

#[test]
fn keys_choose_partitions_and_records_without_one_stick_until_a_batch_is_full() {
    let leaders = [(1, 0), (2, 0), (3, 0)];
    let mut fake = producer("linger.ms=0", &leaders);
    fake.pass(1);
    for key in ["21", "foobar", "abc"] {
        send(&mut fake, Some(key), key);
    }
    // toPositive(murmur2(key)) % 3, by Kafka's own hashes.
    let by_key: Vec<i32> = fake.requests.drain(..).map(|(_, _, request)| values(&request)[0].0).collect();
    assert_eq!(by_key, [(-973_932_308_i32 & i32::MAX) % 3, (-790_332_482_i32 & i32::MAX) % 3, 479_470_107 % 3]);

    let mut fake = producer("linger.ms=0 acks=0 batch.size=500", &leaders);
    fake.pass(1);
    (0..60).for_each(|_| send(&mut fake, None, &"x".repeat(40)));
    let partitions: Vec<i32> = fake.requests.drain(..).map(|(_, _, request)| values(&request)[0].0).collect();
    // Each of these batches has 110 bytes: the fifth brings them beyond 500, and none waits when the next record comes.
    let stuck = partitions.chunks(5).all(|five| five.iter().all(|partition| *partition == five[0]));
    let used: std::collections::BTreeSet<i32> = partitions.iter().copied().collect();
    assert_eq!((partitions.len(), used.len()), (60, 3));
    assert!(stuck, "{partitions:?}");
}

#[test]
fn topics_to_which_nothing_is_sent_are_forgotten_and_found_again() {
    let mut fake = producer("max.block.ms=100 metadata.max.age.ms=1000 metadata.max.idle.ms=5000", &[(1, 0)]);
    let record = |topic: String| Event::Command(Command::Send(SendRecord { topic, ..SendRecord::default() }).into());
    for number in 0..20 {
        fake.step(record(format!("passing-{number}")));
        fake.pass(100);
    }
    assert_eq!(fake.node.metadata.topics().len(), 21);
    fake.pass(7_000);
    assert_eq!(fake.node.metadata.topics().len(), 0);
    send(&mut fake, None, "a");
    fake.pass(100);
    let (_, conn, request) = fake.request();
    assert_eq!(fake.node.metadata.topics().len(), 1);
    answer(&mut fake, conn, &request, 0, 7);
    assert!(matches!(fake.reports.last(), Some(Report::Acked { offset: 7, .. })), "{:?}", fake.reports.last());
}
