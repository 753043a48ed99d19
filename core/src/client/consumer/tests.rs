use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, ResponseKind,
};

use super::settings::Reset;
use super::*;
use crate::client::fake::{Fake, TOPIC_ID, endpoint, topic};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::protocol::Request;
use crate::record::{BatchBuilder, Compression, Stamp};
use crate::time::Timestamp;

fn consumer(settings: &str, leaders: &[(i32, i32)]) -> Fake<Consumer> {
    let set = settings.split_whitespace().filter_map(|pair| pair.split_once('='));
    let set = set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let topics = ["orders".to_string()];
    Fake::new(Consumer::new("c1", &topics, &set, vec![endpoint(1)], Seed(1)).unwrap(), leaders)
}

/// A batch in a log: values `base…base+count`.
fn batch(base: i64, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for offset in base..base + count {
        builder.append(Timestamp(1), None, Some(offset.to_string().as_bytes()), &[]);
    }
    let batch = builder.build();
    let head = Stamp { base_offset: base, leader_epoch: 0, append_time: None }.apply(&batch);
    let mut bytes = BytesMut::from(&head[..]);
    bytes.extend_from_slice(&batch.bytes[head.len()..]);
    bytes.freeze()
}

fn body(request: &Request) -> &FetchRequest {
    let RequestKind::Fetch(body) = &request.body else { panic!("{request:?} is no Fetch") };
    body
}

/// Partition and offset of what a Fetch asks for.
fn asked(request: &Request) -> Vec<(i32, i64)> {
    let partitions = body(request).topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
}

fn session(request: &Request) -> (i32, i32) {
    (body(request).session_id, body(request).session_epoch)
}

fn partition(index: i32, high_watermark: i64, records: Option<Bytes>) -> PartitionData {
    PartitionData::default().with_partition_index(index).with_high_watermark(high_watermark).with_records(records)
}

fn answer(fake: &mut Fake<Consumer>, conn: ConnId, request: &Request, session: i32, partitions: Vec<PartitionData>) {
    let topic = FetchableTopicResponse::default().with_topic_id(TOPIC_ID).with_partitions(partitions);
    let body = FetchResponse::default().with_session_id(session).with_responses(vec![topic]);
    fake.answer(conn, request, ResponseKind::Fetch(body));
}

/// Answers a ListOffsets: every partition begins at `offset`.
fn list_offsets(fake: &mut Fake<Consumer>, offset: i64) -> Request {
    let (_, conn, request) = fake.request();
    let RequestKind::ListOffsets(body) = &request.body else { panic!("{request:?} is no ListOffsets") };
    let partitions = body.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| {
        ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index).with_offset(offset)
    });
    let topic = ListOffsetsTopicResponse::default().with_name(topic()).with_partitions(partitions.collect());
    let response = ListOffsetsResponse::default().with_topics(vec![topic]);
    fake.answer(conn, &request, ResponseKind::ListOffsets(response));
    request
}

/// Without a policy it waits for the application to say where to begin.
fn begin_at(fake: &mut Fake<Consumer>, offset: i64) {
    if fake.node.settings.reset == Reset::None {
        let name = TopicPartition::new(topic(), 0);
        fake.step(Event::Command(Command::Seek { name, offset }.into()));
    } else {
        list_offsets(fake, offset);
    }
}

fn received(fake: &Fake<Consumer>) -> Vec<i64> {
    let received = |report: &Report| match report {
        Report::Received { offset, value, .. } => {
            assert_eq!(value.as_deref(), Some(offset.to_string().as_bytes()));
            Some(*offset)
        }
        _ => None,
    };
    fake.reports.iter().filter_map(received).collect()
}

fn notes(fake: &Fake<Consumer>) -> Vec<&str> {
    fake.reports
        .iter()
        .filter_map(|report| if let Report::Note(note) = report { Some(&note[..]) } else { None })
        .collect()
}

fn thrown(fake: &Fake<Consumer>) -> Vec<&str> {
    fake.reports
        .iter()
        .filter_map(|report| if let Report::Thrown { call: "poll", error } = report { Some(&error[..]) } else { None })
        .collect()
}

/// Values are offsets in decimals: `99` has two bytes, `100` has three.
#[test]
fn at_a_record_that_a_deserializer_refuses_the_position_stays_until_the_application_seeks_past_it() {
    let mut fake = consumer("value.deserializer=ShortDeserializer", &[(1, 4), (1, 4)]);
    fake.pass(1);
    list_offsets(&mut fake, 98);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 77, vec![partition_with(0, 98, 4), partition_with(1, 98, 1)]);
    assert_eq!(received(&fake), [98, 99]);
    fake.pass(10_000);
    let why = "RecordDeserializationException: Error deserializing VALUE for partition orders-0 at offset 100. If needed, \
               please seek past the record to continue consumption., caused by SerializationException: Size of data \
               received by ShortDeserializer is not 2";
    assert_eq!(thrown(&fake), [why]);
    assert_eq!(fake.node.view().positions.iter().map(|position| position.offset).collect::<Vec<_>>(), [100, 98]);
    assert!(fake.requests.is_empty());
    let name = TopicPartition::new(topic(), 0);
    fake.step(Event::Command(Command::Pause { name: name.clone() }.into()));
    // The other partition was waiting behind it.
    assert_eq!(received(&fake), [98, 99, 98]);
    fake.step(Event::Command(Command::Resume { name: name.clone() }.into()));
    fake.step(Event::Command(Command::Seek { name, offset: 102 }.into()));
    let (_, conn, request) = fake.request();
    assert_eq!(asked(&request), [(1, 99)]);
    answer(&mut fake, conn, &request, 77, vec![]);
    assert!(asked(&fake.request().2).contains(&(0, 102)));
    assert_eq!(thrown(&fake).len(), 1);
}

#[test]
fn it_begins_where_auto_offset_reset_says_and_reads_on_in_a_session() {
    for (settings, timestamp) in [("auto.offset.reset=earliest", -2), ("", -1)] {
        let mut fake = consumer(settings, &[(1, 4), (1, 4)]);
        fake.pass(1);
        let RequestKind::ListOffsets(body) = list_offsets(&mut fake, 10).body else { unreachable!() };
        let partition = &body.topics[0].partitions[0];
        assert_eq!((partition.timestamp, partition.current_leader_epoch), (timestamp, 4));

        let (_, conn, request) = fake.request();
        assert_eq!((request.version, session(&request)), (18, (0, 0)));
        assert_eq!(asked(&request), [(0, 10), (1, 10)]);
        answer(&mut fake, conn, &request, 77, vec![partition_with(0, 10, 3), partition_with(1, 10, 0)]);
        assert_eq!(received(&fake), [10, 11, 12]);

        // Only what changed, in the session that the broker gave.
        let (_, conn, request) = fake.request();
        assert_eq!((session(&request), asked(&request)), ((77, 1), vec![(0, 13)]));
        answer(&mut fake, conn, &request, 77, vec![]);
        let (_, _, request) = fake.request();
        assert_eq!((session(&request), asked(&request)), ((77, 2), vec![]));
        assert!(fake.requests.is_empty(), "one fetch at a time");
        let view = fake.node.view();
        assert_eq!((view.received, view.lag, view.positions[0].offset), (3, 0, 13));
    }
}

fn partition_with(index: i32, base: i64, count: i64) -> PartitionData {
    partition(index, base + count, (count > 0).then(|| batch(base, count)))
}

#[test]
fn a_session_that_the_broker_does_not_know_is_begun_anew_in_full() {
    let mut fake = consumer("", &[(1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 5, vec![partition_with(0, 0, 2)]);
    for (error, expected) in [
        (ErrorCode::InvalidFetchSessionEpoch, (5, 0)),
        (ErrorCode::FetchSessionIdNotFound, (0, 0)),
        (ErrorCode::FetchSessionTopicIdError, (5, 0)),
    ] {
        let (_, conn, request) = fake.request();
        assert_eq!(session(&request).0, 5);
        let refused = FetchResponse::default().with_error_code(error.code());
        fake.answer(conn, &request, ResponseKind::Fetch(refused));
        let (_, conn, request) = fake.request();
        assert_eq!((session(&request), asked(&request)), (expected, vec![(0, 2)]), "{error}");
        answer(&mut fake, conn, &request, 5, vec![]);
    }
    assert_eq!(received(&fake), [0, 1]);
}

#[test]
fn a_last_batch_that_is_cut_short_comes_with_the_next_fetch() {
    let mut fake = consumer("", &[(1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 1);
    let (_, conn, request) = fake.request();
    // The first batch begins before the position, the last is torn.
    let (first, second) = (batch(0, 3), batch(3, 3));
    let cut = [&first[..], &second[..second.len() - 5]].concat();
    answer(&mut fake, conn, &request, 5, vec![partition(0, 6, Some(cut.into()))]);
    assert_eq!(received(&fake), [1, 2]);
    let (_, _, request) = fake.request();
    assert_eq!(asked(&request), [(0, 3)]);
    assert_eq!(fake.node.view().lag, 3);
}

#[test]
fn a_broken_batch_halts_its_partition_and_says_why() {
    let mut fake = consumer("", &[(1, 0), (1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    let (_, conn, request) = fake.request();
    let mut broken = batch(2, 1).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let bytes = [&batch(0, 2)[..], &broken].concat();
    answer(&mut fake, conn, &request, 5, vec![partition(0, 3, Some(bytes.into()))]);
    assert_eq!(received(&fake), [0, 1]);
    assert!(
        notes(&fake)[0].starts_with("Record batch for partition orders-0 at offset 2 is invalid"),
        "{:?}",
        notes(&fake)
    );
    // The other partition is read on; the halted one is forgotten.
    let (_, _, request) = fake.request();
    assert_eq!(asked(&request), []);
    assert_eq!(body(&request).forgotten_topics_data[0].partitions, [0]);
}

/// A consumer that has read 0 and 1 of epoch 0 from broker 1, and hears that broker 2 leads in epoch 1. Gives its
/// question about that.
fn read_two_and_lose_the_leader(fake: &mut Fake<Consumer>) -> (Endpoint, ConnId, Request) {
    fake.pass(1);
    begin_at(fake, 0);
    let (_, conn, request) = fake.request();
    answer(fake, conn, &request, 5, vec![partition_with(0, 0, 2)]);
    fake.pass(200);
    let (_, conn, request) = fake.request();
    fake.leaders = vec![(2, 1)];
    let moved = partition(0, -1, None).with_error_code(ErrorCode::NotLeaderOrFollower.code());
    answer(fake, conn, &request, 5, vec![moved]);
    fake.request()
}

fn ended(fake: &mut Fake<Consumer>, conn: ConnId, request: &Request, epoch: i32, end: i64) {
    let RequestKind::OffsetForLeaderEpoch(asked) = &request.body else { panic!("{request:?}") };
    let asked = &asked.topics[0].partitions[0];
    assert_eq!((asked.partition, asked.current_leader_epoch, asked.leader_epoch), (0, 1, 0));
    let answer = EpochEndOffset::default().with_leader_epoch(epoch).with_end_offset(end);
    let topic = OffsetForLeaderTopicResult::default().with_topic(topic()).with_partitions(vec![answer]);
    let body = OffsetForLeaderEpochResponse::default().with_topics(vec![topic]);
    fake.answer(conn, request, ResponseKind::OffsetForLeaderEpoch(body));
}

#[test]
fn a_new_leader_that_has_what_was_read_is_fetched_from_at_the_same_position() {
    let mut fake = consumer("", &[(1, 0)]);
    let (to, conn, request) = read_two_and_lose_the_leader(&mut fake);
    assert_eq!(to, endpoint(2));
    ended(&mut fake, conn, &request, 0, 2);
    let (to, _, request) = fake.request();
    assert_eq!((to, asked(&request)), (endpoint(2), vec![(0, 2)]));
    assert_eq!(body(&request).topics[0].partitions[0].current_leader_epoch, 1);
}

#[test]
fn what_is_fetched_before_the_position_is_known_to_stand_is_not_read() {
    let mut fake = consumer("", &[(1, 0), (3, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    list_offsets(&mut fake, 0);
    let (of_one, of_three) = (fake.request(), fake.request());
    assert_eq!((&of_one.0, &of_three.0), (&endpoint(1), &endpoint(3)));
    answer(&mut fake, of_one.1, &of_one.2, 5, vec![partition_with(0, 0, 2)]);
    let (_, conn, held) = fake.request();
    assert_eq!(asked(&held), [(0, 2)]);
    // While broker 1 is silent, broker 3 makes the consumer ask for metadata, and that tells of another epoch.
    fake.pass(200);
    fake.leaders = vec![(1, 1), (3, 0)];
    let moved = partition(1, -1, None).with_error_code(ErrorCode::NotLeaderOrFollower.code());
    answer(&mut fake, of_three.1, &of_three.2, 6, vec![moved]);
    let (_, _, question) = fake.request();
    answer(&mut fake, conn, &held, 5, vec![partition_with(0, 2, 1)]);
    ended(&mut fake, conn, &question, 0, 2);
    assert_eq!((received(&fake), notes(&fake).iter().any(|note| note.contains("Truncation"))), (vec![0, 1], false));
    let again = std::iter::from_fn(|| (!fake.requests.is_empty()).then(|| fake.request()));
    assert!(again.filter(|(to, ..)| *to == endpoint(1)).any(|(.., request)| asked(&request) == [(0, 2)]));
}

#[test]
fn where_the_new_leader_has_less_reading_goes_on_where_the_logs_part_or_halts() {
    for (reset, end, expected) in [
        ("latest", 1, Some("resetting offset to the first offset known to diverge 1")),
        ("latest", -1, Some("resetting offset")),
        ("none", 1, None),
    ] {
        let mut fake = consumer(&format!("auto.offset.reset={reset}"), &[(1, 0)]);
        let (_, conn, request) = read_two_and_lose_the_leader(&mut fake);
        ended(&mut fake, conn, &request, if end < 0 { -1 } else { 0 }, end);
        let note = notes(&fake).pop().unwrap();
        assert!(note.starts_with("Truncation detected for partition orders-0 at offset 2"), "{note}");
        match expected {
            Some(expected) => {
                assert!(note.ends_with(expected), "{note}");
                let (_, _, request) = fake.request();
                match &request.body {
                    RequestKind::ListOffsets(_) => assert_eq!(end, -1),
                    _ => assert_eq!(asked(&request), [(0, 1)]),
                }
            }
            None => assert!(note.ends_with("no reset policy is set") && fake.requests.is_empty(), "{note}"),
        }
    }
}

#[test]
fn the_replica_that_the_leader_names_is_read_until_it_lags() {
    let mut fake = consumer("client.rack=b", &[(1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    let (to, conn, request) = fake.request();
    assert_eq!((to, body(&request).rack_id.as_str()), (endpoint(1), "b"));
    answer(&mut fake, conn, &request, 5, vec![partition(0, 9, None).with_preferred_read_replica(2.into())]);
    let (to, conn, request) = fake.request();
    assert_eq!((to, asked(&request)), (endpoint(2), vec![(0, 0)]));
    answer(&mut fake, conn, &request, 6, vec![partition_with(0, 0, 2)]);
    assert_eq!(received(&fake), [0, 1]);
    let (to, conn, request) = fake.request();
    assert_eq!((to, asked(&request)), (endpoint(2), vec![(0, 2)]));
    let lags = partition(0, -1, None).with_error_code(ErrorCode::OffsetOutOfRange.code());
    answer(&mut fake, conn, &request, 6, vec![lags]);
    let (to, _, request) = fake.request();
    assert_eq!((to, asked(&request)), (endpoint(1), vec![(0, 2)]));
    assert!(notes(&fake).is_empty(), "{:?}", notes(&fake));
}

#[test]
fn a_broker_that_dies_and_returns_is_read_on() {
    let mut fake = consumer("", &[(1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 5, vec![partition_with(0, 0, 2)]);
    fake.dead = vec![1, 2, 3];
    fake.disconnect(1);
    fake.pass(10_000);
    assert!(fake.requests.is_empty());
    fake.dead = vec![];
    fake.pass(2_000);
    let (_, conn, request) = fake.request();
    assert_eq!((session(&request), asked(&request)), ((5, 0), vec![(0, 2)]));
    answer(&mut fake, conn, &request, 6, vec![partition_with(0, 2, 1)]);
    assert_eq!(received(&fake), [0, 1, 2]);
}

#[test]
fn an_offset_out_of_range_is_reset_or_halts() {
    for (reset, expected) in [("latest", "resetting offset"), ("none", "no reset policy is set")] {
        let mut fake = consumer(&format!("auto.offset.reset={reset}"), &[(1, 0)]);
        fake.pass(1);
        begin_at(&mut fake, 50);
        let (_, conn, request) = fake.request();
        let out_of_range = partition(0, -1, None).with_error_code(ErrorCode::OffsetOutOfRange.code());
        answer(&mut fake, conn, &request, 5, vec![out_of_range]);
        assert!(notes(&fake)[0].ends_with(expected), "{:?}", notes(&fake));
        if reset == "latest" {
            list_offsets(&mut fake, 20);
            let (_, _, request) = fake.request();
            assert_eq!(asked(&request), [(0, 20)]);
        } else {
            fake.pass(5_000);
            assert!(fake.requests.is_empty());
        }
    }
}

#[test]
fn without_a_policy_and_a_position_nothing_is_read() {
    let mut fake = consumer("auto.offset.reset=none", &[(1, 0)]);
    fake.pass(5_000);
    assert!(fake.requests.is_empty());
    let why = fake.node.failure().unwrap().to_string();
    let said = "NoOffsetForPartitionException: Undefined offset with no reset policy for partitions: [orders-0]";
    assert_eq!(why, said);
    begin_at(&mut fake, 3);
    assert_eq!(asked(&fake.request().2), [(0, 3)]);
    assert_eq!(fake.node.failure(), None);
}

#[test]
fn a_slow_application_polls_in_its_own_time_and_no_fetch_buries_it() {
    let mut fake = consumer("rate=10/s max.poll.records=2", &[(1, 0)]);
    fake.pass(1);
    list_offsets(&mut fake, 0);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 5, vec![partition_with(0, 0, 5)]);
    assert_eq!(received(&fake), [0, 1]);
    assert_eq!(fake.node.view().lag, 3);
    fake.pass(199);
    assert!(fake.requests.is_empty() && received(&fake).len() == 2);
    fake.pass(300);
    assert_eq!(received(&fake), [0, 1, 2, 3, 4]);
    assert_eq!(asked(&fake.request().2), [(0, 5)]);
}

#[test]
fn settings_are_shown_as_they_are_now_whatever_their_values_are() {
    let mut fake = consumer("rate=5/s", &[(1, 0)]);
    Arc::make_mut(&mut fake.node.set).insert("client.id".to_owned(), "the shop's own".to_owned());
    fake.step(Event::Command(Command::Rate { milli_per_second: 2_500 }.into()));
    assert_eq!(fake.node.view().settings, "client.id=the shop's own rate=2.5/s");
    let settings = fake.node.facts().pop().unwrap().facts;
    let shown = |name: &str| settings.iter().find(|(of, _)| of == name).unwrap().1.as_str();
    assert_eq!((shown("rate"), shown("client.id")), ("2.5/s (set)", "the shop's own (set)"));
}
