use super::*;
use kafka_protocol::messages::InitProducerIdRequest;

#[test]
fn acks_1_waits_for_the_write_and_acks_0_for_nothing() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.slow = true;
    let one = room.produce("orders", 1, &batch(&["a", "b"]));
    assert!(room.produced(one).is_none());
    room.produce("orders", 0, &batch(&["c"]));
    assert!(matches!(room.others[..], [Effect::NoReply { ticket: Ticket { conn: CLIENT, seq: 2 } }]));
    room.catch_up();
    let answer = room.produced(one).unwrap();
    assert_eq!(
        (answer.error_code, answer.base_offset, answer.log_append_time_ms, answer.log_start_offset),
        (0, 0, -1, 0)
    );
    assert_eq!(room.broker.parked(), 0);
}

#[test]
fn acks_all_waits_for_the_high_watermark_and_gives_up_in_time() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.slow = true;
    let late = room.produce("orders", -1, &batch(&["a"]));
    room.pass(999);
    assert!(room.produced(late).is_none());
    room.pass(1);
    assert_eq!(room.produced(late).unwrap().error_code, code(ErrorCode::RequestTimedOut));
    let good = room.produce("orders", -1, &batch(&["b"]));
    room.catch_up();
    let answer = room.produced(good).unwrap();
    assert_eq!((answer.error_code, answer.base_offset), (0, 1));
}

#[test]
fn a_topic_of_one_replica_asks_for_no_more_than_that_one() {
    let mut room = Room::new();
    room.create("orders", &[("min.insync.replicas", "2")]);
    let all = room.produce("orders", -1, &batch(&["a"]));
    assert_eq!(room.produced(all).unwrap().error_code, 0);
}

#[test]
fn other_acks_are_invalid_and_unknown_topics_are_told_first() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let acks = room.produce("orders", 2, &batch(&["a"]));
    assert_eq!(room.produced(acks).unwrap().error_code, code(ErrorCode::InvalidRequiredAcks));
    let nowhere = room.produce("nowhere", 2, &batch(&["a"]));
    assert_eq!(room.produced(nowhere).unwrap().error_code, code(ErrorCode::UnknownTopicOrPartition));
    let beyond = room.produce_to("orders", 2, 1, &batch(&["a"]));
    let answer = room.produced(beyond).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::UnknownTopicOrPartition));
    assert_eq!((answer.base_offset, answer.log_append_time_ms, answer.log_start_offset), (-1, -1, -1));
}

#[test]
fn what_is_no_batch_is_refused_before_the_partition_is_looked_at() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let twice = [batch(&["a"]).bytes, batch(&["b"]).bytes].concat();
    for records in [None, Some(Bytes::new()), Some(twice.into())] {
        let partition = PartitionProduceData::default().with_records(records);
        let data = TopicProduceData::default().with_name(topic("orders")).with_partition_data(vec![partition]);
        let body = ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data]);
        let seq = room.send(ApiKey::Produce, 12, body);
        let answer = room.produced(seq).unwrap();
        assert_eq!((answer.error_code, answer.base_offset), (code(ErrorCode::InvalidRecord), -1));
        assert_eq!((answer.log_start_offset, &answer.error_message), (-1, &None));
    }
}

#[test]
fn an_error_under_acks_0_closes_the_connection() {
    let mut room = Room::new();
    room.produce("nowhere", 0, &batch(&["a"]));
    assert!(matches!(room.others[..], [Effect::Close { conn: CLIENT, .. }]), "{:?}", room.others);
}

#[test]
fn from_version_13_topics_have_ids() {
    let mut room = Room::new();
    let id = room.create("orders", &[]);
    let mut produce = |id| {
        let partition = PartitionProduceData::default().with_records(Some(batch(&["a"]).bytes));
        let data = TopicProduceData::default().with_topic_id(id).with_partition_data(vec![partition]);
        let seq = room.send(ApiKey::Produce, 13, ProduceRequest::default().with_acks(1).with_topic_data(vec![data]));
        room.produced(seq).unwrap().error_code
    };
    assert_eq!(produce(id), 0);
    assert_eq!(produce(Uuid::from_u128(1)), code(ErrorCode::UnknownTopicId));
}

#[test]
fn a_batch_over_max_message_bytes_is_too_large() {
    let mut room = Room::new();
    room.create("orders", &[("max.message.bytes", "100")]);
    let seq = room.produce("orders", 1, &batch(&[&"x".repeat(100)]));
    let answer = room.produced(seq).unwrap();
    assert_eq!((answer.error_code, &answer.error_message), (code(ErrorCode::MessageTooLarge), &None));
}

#[test]
fn timestamps_out_of_range_are_refused_record_by_record() {
    let mut room = Room::new();
    room.create("orders", &[("message.timestamp.after.max.ms", "1500")]);
    let seq = room.produce("orders", 1, &batch(&["0 s", "1 s", "2 s"]));
    let answer = room.produced(seq).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::InvalidTimestamp));
    assert_eq!(answer.record_errors.iter().map(|record| record.batch_index).collect::<Vec<_>>(), [2]);
    assert!(answer.error_message.is_some());
}

#[test]
fn under_log_append_time_the_broker_stamps_and_says_when() {
    let mut room = Room::new();
    room.create("orders", &[("message.timestamp.type", "LogAppendTime")]);
    room.pass(5);
    let seq = room.produce("orders", 1, &batch(&["a", "b"]));
    assert_eq!(room.produced(seq).unwrap().log_append_time_ms, EPOCH_MS + 5);
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    let (_, records) = room.fetched(seq).unwrap();
    let stored = Batch::parse(records[0].clone()).unwrap();
    assert!(stored.crc_is_right());
    let times: Vec<_> = Record::decode(&stored).unwrap().iter().map(|record| record.timestamp.0).collect();
    assert_eq!(times, [EPOCH_MS + 5, EPOCH_MS + 5]);
}

#[test]
fn a_topic_with_its_own_codec_recompresses() {
    let mut room = Room::new();
    room.create("orders", &[("compression.type", "zstd")]);
    room.produce("orders", 1, &batch_in(Compression::Gzip, &["a", "b"]));
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    let (_, records) = room.fetched(seq).unwrap();
    let stored = Batch::parse(records[0].clone()).unwrap();
    assert_eq!((stored.header.compression(), stored.crc_is_right()), (Ok(Compression::Zstd), true));
    assert_eq!(values(&records[0]), ["a", "b"]);
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut room = Room::new();
    let next = |room: &mut Room| {
        let body = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(kafka_protocol::messages::ProducerId(-1))
            .with_producer_epoch(-1);
        let seq = room.send(ApiKey::InitProducerId, 4, body);
        let ResponseKind::InitProducerId(body) = &*room.replies[&seq].body else { panic!() };
        assert_eq!((body.error_code, body.producer_epoch), (0, 0));
        body.producer_id.0
    };
    let (first, second) = (next(&mut room), next(&mut room));
    assert_eq!(second, first + 1);
    let mut room = room.restart();
    assert!(next(&mut room) > second);
}
