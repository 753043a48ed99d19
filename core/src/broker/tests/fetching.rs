use super::*;
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, ListOffsetsRequest};

#[test]
fn a_fetch_at_the_end_waits_for_data_or_for_its_time() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let waiting = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0), (1, 0)]));
    assert!(room.fetched(waiting).is_none());
    assert_eq!(room.broker.parked(), 1);
    room.produce_to("orders", 1, 1, &batch(&["a"]));
    let (_, records) = room.fetched(waiting).unwrap();
    assert_eq!((values(&records[0]), values(&records[1])), (vec![], vec!["a".to_owned()]));

    let vain = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    room.pass(499);
    assert!(room.fetched(vain).is_none());
    room.pass(1);
    let (answer, records) = room.fetched_one(vain).unwrap();
    assert_eq!((answer.error_code, answer.high_watermark, records), (0, 0, vec![]));
    assert_eq!(room.broker.parked(), 0);
}

#[test]
fn nothing_is_seen_before_it_is_written() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.slow = true;
    room.produce("orders", 1, &batch(&["a"]));
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]).with_max_wait_ms(0));
    assert_eq!(room.fetched_one(seq).unwrap().1, Vec::<String>::new());
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    room.catch_up();
    assert_eq!(room.fetched_one(seq).unwrap().1, ["a"]);
}

#[test]
fn min_bytes_holds_a_fetch_until_enough_has_come() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let size = batch(&["a"]).bytes.len() as i32;
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0), (1, 0)]).with_min_bytes(3 * size));
    room.produce_to("orders", 0, 1, &batch(&["a"]));
    room.produce_to("orders", 1, 1, &batch(&["b"]));
    assert!(room.fetched(seq).is_none());
    room.produce_to("orders", 0, 1, &batch(&["c"]));
    let (_, records) = room.fetched(seq).unwrap();
    assert_eq!((values(&records[0]), values(&records[1])), (vec!["a".into(), "c".into()], vec!["b".into()]));
}

#[test]
fn one_oversized_batch_is_given_whole_and_only_to_the_first_partition_that_has_data() {
    let mut room = Room::new();
    room.create("orders", &[]);
    for index in [0, 1] {
        room.produce_to("orders", index, 1, &batch(&[&"x".repeat(500)]));
    }
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0), (1, 0)]).with_max_bytes(10));
    let (_, records) = room.fetched(seq).unwrap();
    assert_eq!(values(&records[0]).len(), 1);
    assert!(records[1].is_empty());
}

#[test]
fn offsets_outside_the_log_and_foreign_epochs_are_errors_at_once() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let mut error = |offset, epoch| {
        let mut body = fetch("orders", &[(0, offset)]);
        body.topics[0].partitions[0].current_leader_epoch = epoch;
        let seq = room.send(ApiKey::Fetch, 12, body);
        let (answer, _) = room.fetched_one(seq).unwrap();
        assert_eq!((answer.high_watermark, answer.last_stable_offset, answer.log_start_offset), (-1, -1, -1));
        answer.error_code
    };
    assert_eq!(error(1, -1), code(ErrorCode::OffsetOutOfRange));
    assert_eq!(error(0, 1), code(ErrorCode::UnknownLeaderEpoch));
}

#[test]
fn a_topic_that_goes_releases_who_waits_for_it() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let waiting = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic("orders")]);
    room.send(ApiKey::DeleteTopics, 5, delete);
    let (answer, _) = room.fetched_one(waiting).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::UnknownTopicOrPartition));
    assert!(room.logs.is_empty());
}

#[test]
fn a_session_names_only_what_changed() {
    let mut room = Room::new();
    let id = room.create("orders", &[]);
    let by_id = |body: FetchRequest, id| {
        let mut body = body.with_max_wait_ms(0);
        body.topics.iter_mut().for_each(|topic| (topic.topic_id, topic.topic) = (id, TopicName::default()));
        body
    };
    let full = by_id(fetch("orders", &[(0, 0), (1, 0)]), id).with_session_epoch(0);
    let seq = room.send(ApiKey::Fetch, 17, full);
    let (body, _) = room.fetched(seq).unwrap();
    let session = body.session_id;
    assert_ne!(session, 0);
    assert_eq!(body.responses[0].partitions.len(), 2);

    let next = |epoch| fetch("orders", &[]).with_topics(vec![]).with_session_id(session).with_session_epoch(epoch);
    let seq = room.send(ApiKey::Fetch, 17, next(1).with_max_wait_ms(0));
    assert_eq!(room.fetched(seq).unwrap().0.responses, []);
    room.produce_to("orders", 1, 1, &batch(&["a"]));
    let seq = room.send(ApiKey::Fetch, 17, next(2));
    let (body, records) = room.fetched(seq).unwrap();
    assert_eq!((body.responses[0].partitions[0].partition_index, body.session_id), (1, session));
    assert_eq!(values(&records[0]), ["a"]);

    let seq = room.send(ApiKey::Fetch, 17, next(2));
    assert_eq!(room.fetched(seq).unwrap().0.error_code, code(ErrorCode::InvalidFetchSessionEpoch));
    let forgotten = ForgottenTopic::default().with_topic_id(id).with_partitions(vec![0, 1]);
    let seq = room.send(ApiKey::Fetch, 17, next(3).with_forgotten_topics_data(vec![forgotten]));
    assert_eq!(room.fetched(seq).unwrap().0.session_id, 0);
    let seq = room.send(ApiKey::Fetch, 17, next(4));
    assert_eq!(room.fetched(seq).unwrap().0.error_code, code(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn an_unknown_topic_id_is_answered_last_and_does_not_wait() {
    let mut room = Room::new();
    let id = room.create("orders", &[]);
    let of = |id| {
        let partition = FetchPartition::default().with_partition_max_bytes(100);
        FetchTopic::default().with_topic_id(id).with_partitions(vec![partition])
    };
    let body = fetch("", &[]).with_topics(vec![of(Uuid::from_u128(1)), of(id)]);
    let seq = room.send(ApiKey::Fetch, 13, body);
    let (body, _) = room.fetched(seq).unwrap();
    let codes: Vec<_> = body.responses.iter().map(|topic| (topic.topic_id, topic.partitions[0].error_code)).collect();
    assert_eq!(codes, [(id, 0), (Uuid::from_u128(1), code(ErrorCode::UnknownTopicId))]);
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    room.step(Event::Closed { conn: CLIENT });
    room.produce_to("orders", 0, 1, &batch(&["a"]));
    room.pass(1_000);
    assert!(room.fetched(seq).is_none());
    assert_eq!((room.broker.parked(), room.broker.view().connections), (0, 1));
}

#[test]
fn offsets_are_listed_by_place_and_by_time() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["0 s", "1 s", "2 s"]));
    let mut list = |version, timestamp| {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
        let topics = vec![ListOffsetsTopic::default().with_name(topic("orders")).with_partitions(vec![partition])];
        let body =
            ListOffsetsRequest::default().with_replica_id(kafka_protocol::messages::BrokerId(-1)).with_topics(topics);
        let seq = room.send(ApiKey::ListOffsets, version, body);
        let ResponseKind::ListOffsets(body) = &*room.replies[&seq].body else { panic!() };
        let found = &body.topics[0].partitions[0];
        (found.error_code, found.offset, found.timestamp, found.leader_epoch)
    };
    assert_eq!(list(7, -2), (0, 0, -1, 0));
    assert_eq!(list(7, -1), (0, 3, -1, 0));
    assert_eq!(list(3, -1), (0, 3, -1, -1));
    assert_eq!(list(7, EPOCH_MS + 500), (0, 1, EPOCH_MS + 1_000, 0));
    assert_eq!(list(7, EPOCH_MS + 5_000), (0, -1, -1, -1));
    assert_eq!(list(7, -3), (0, 2, EPOCH_MS + 2_000, 0));
    assert_eq!(list(9, -5), (0, -1, -1, -1));
    assert_eq!(list(6, -3), (code(ErrorCode::UnsupportedVersion), -1, -1, -1));
    assert_eq!(list(9, -7), (code(ErrorCode::UnsupportedVersion), -1, -1, -1));
}
