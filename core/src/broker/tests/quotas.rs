use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, ApiVersionsRequest, BrokerId as WireBroker, CreateTopicsRequest, MetadataRequest,
};

use super::*;
use crate::protocol::throttle;

/// Of all clients of all users, for they have no names here.
fn quota(key: &str, value: f64) -> AlterClientQuotasRequest {
    let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(None);
    let op = OpData::default().with_key(text(key)).with_value(value);
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    AlterClientQuotasRequest::default().with_entries(vec![entry])
}

impl Room {
    fn limit(&mut self, key: &str, value: f64) {
        let seq = self.send(ApiKey::AlterClientQuotas, 1, quota(key, value));
        let ResponseKind::AlterClientQuotas(body) = &*self.replies[&seq].body else { panic!() };
        assert_eq!(body.entries[0].error_code, error::NONE, "{body:?}");
        assert!(self.muted().is_empty());
    }

    /// For how many milliseconds the client was told to wait.
    fn wait(&mut self, seq: u64) -> u64 {
        throttle::of(&mut self.replies.get_mut(&seq).unwrap().body).as_millis() as u64
    }

    /// For how many milliseconds from now it is not heard, since the last time that this was asked.
    fn muted(&mut self) -> Vec<u64> {
        let now = self.now.instant;
        let mutes = std::mem::take(&mut self.others).into_iter().filter_map(|effect| match effect {
            Effect::Mute { conn, until } => Some((conn, until.since(now).as_millis() as u64)),
            _ => None,
        });
        mutes.inspect(|(conn, _)| assert_eq!(*conn, CLIENT)).map(|(_, millis)| millis).collect()
    }
}

#[test]
fn a_producer_that_sends_too_much_is_answered_at_once_and_then_not_heard() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.limit("producer_byte_rate", 100.0);
    let batch = batch(&["x".repeat(900).as_str()]);
    let bytes = batch.bytes.len() as u64;
    let seq = room.produce("orders", 1, &batch);
    assert_eq!((room.wait(seq), room.muted()), (0, vec![]), "ten seconds' worth may come at once");
    let seq = room.produce("orders", 1, &batch);
    let over = (2 * bytes - 1_000) * 1_000 / 100;
    assert_eq!((room.wait(seq), room.muted()), (over, vec![over]));
    assert_eq!(room.produced(seq).unwrap().error_code, error::NONE, "what it sent is taken all the same");

    room.pass(20_000);
    let seq = room.produce("orders", 1, &batch);
    assert_eq!((room.wait(seq), room.muted()), (0, vec![]), "it has waited long enough");
    // Without an answer, but not without a quota.
    room.produce("orders", 0, &batch);
    assert_eq!(room.muted(), [over]);
}

#[test]
fn a_consumer_that_fetches_too_much_gets_nothing_and_comes_again_for_it() {
    let mut room = Room::new();
    room.create("orders", &[]);
    for _ in 0..3 {
        room.produce("orders", 1, &batch(&["x".repeat(800).as_str()]));
    }
    room.limit("consumer_byte_rate", 100.0);
    let one_batch = |offset| {
        let mut body = fetch("orders", &[(0, offset)]);
        body.topics[0].partitions[0].partition_max_bytes = 1;
        body
    };
    let full = |room: &mut Room, offset| room.send(ApiKey::Fetch, 12, one_batch(offset).with_session_epoch(0));
    let seq = full(&mut room, 0);
    let (body, records) = room.fetched(seq).unwrap();
    assert_eq!((body.throttle_time_ms, values(&records[0]).len()), (0, 1), "ten seconds' worth may come at once");
    let session = body.session_id;
    assert_ne!(session, 0);

    let seq = full(&mut room, 1);
    let (body, _) = room.fetched(seq).unwrap();
    let wait = body.throttle_time_ms as u64;
    assert_eq!((body.session_id, body.responses.len(), body.error_code), (0, 0, error::NONE), "and no session begins");
    assert!((7_000..9_000).contains(&wait), "{wait}");
    assert_eq!(room.muted(), [wait]);

    // Of a session that has begun: it stays where it is.
    let next = |offset, epoch| one_batch(offset).with_session_id(session).with_session_epoch(epoch);
    let seq = room.send(ApiKey::Fetch, 12, next(1, 1));
    let (body, _) = room.fetched(seq).unwrap();
    assert_eq!((body.session_id, body.responses.len(), body.error_code), (session, 0, error::NONE));
    assert_eq!(room.muted(), [wait], "what it was not given does not count");
    room.pass(20_000);
    let seq = room.send(ApiKey::Fetch, 12, next(1, 2));
    assert_eq!(room.fetched_one(seq).unwrap().1.len(), 1);

    let follower = fetch("orders", &[(0, 0)]).with_replica_id(WireBroker(2));
    room.send(ApiKey::Fetch, 12, follower);
    assert_eq!(room.muted(), [0; 0], "followers are not held to quotas");
}

#[test]
fn what_a_request_took_of_the_brokers_time_counts_with_the_next_answer() {
    let mut room = Room::new();
    assert!(!room.broker.counts_time());
    room.limit("request_percentage", 1.0);
    assert!(room.broker.counts_time());
    let ask = |room: &mut Room| room.send(ApiKey::ApiVersions, 3, ApiVersionsRequest::default());
    let seq = ask(&mut room);
    assert_eq!(room.wait(seq), 0);
    // A hundredth of ten seconds would be 100 ms.
    room.step(Event::Spent { time: Duration::from_millis(150) });
    let seq = ask(&mut room);
    assert_eq!((room.wait(seq), room.muted()), (1_000, vec![1_000]), "nobody waits longer than a window");
    let usage = room.broker.usage(room.now.instant);
    assert_eq!((usage.request[0].tags.user.as_str(), usage.request[0].rate.round()), ("ANONYMOUS", 2.0));
    assert_eq!(usage.request[0].waited, Some(1_000.0));
}

#[test]
fn what_the_controller_says_is_told_and_held_to() {
    let mut room = Room::new();
    room.limit("controller_mutation_rate", 1.0);
    let create = |name: &str, version| {
        let topic = CreatableTopic::default().with_name(topic(name)).with_num_partitions(20).with_replication_factor(1);
        (version, CreateTopicsRequest::default().with_topics(vec![topic]))
    };
    let ask = |room: &mut Room, (version, request)| {
        let seq = room.send(ApiKey::CreateTopics, version, request);
        let ResponseKind::CreateTopics(body) = &*room.replies[&seq].body else { panic!() };
        (body.topics[0].error_code, room.wait(seq), room.muted())
    };
    assert_eq!(ask(&mut room, create("one", 6)), (error::NONE, 0, vec![]));
    let refused = code(ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(ask(&mut room, create("two", 6)), (refused, 9_000, vec![9_000]));
    assert_eq!(
        ask(&mut room, create("two", 5)),
        (error::NONE, 29_000, vec![29_000]),
        "older clients know no such error"
    );
    let usage = room.broker.usage(room.now.instant);
    assert_eq!(usage.mutations[0].tokens, Some(-29.0));

    // A topic that is made because someone asks for it costs as much.
    let missing = kafka_protocol::messages::metadata_request::MetadataRequestTopic::default();
    let body = MetadataRequest::default().with_topics(Some(vec![missing.with_name(Some(topic("three")))]));
    room.send(ApiKey::Metadata, 12, body.with_allow_auto_topic_creation(true));
    assert!(!room.broker.cluster_state().topics.contains_key(&topic("three")));
}
