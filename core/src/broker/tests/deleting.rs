use super::running::tell;
use super::*;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_records_response::DeleteRecordsPartitionResult;
use kafka_protocol::messages::{BrokerId as WireBroker, DeleteRecordsRequest};

fn delete(name: &str, offsets: &[(i32, Offset)]) -> DeleteRecordsRequest {
    let partitions = offsets
        .iter()
        .map(|&(index, offset)| DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset));
    let topic = DeleteRecordsTopic::default().with_name(topic(name)).with_partitions(partitions.collect());
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
}

impl Room {
    fn delete(&mut self, name: &str, offsets: &[(i32, Offset)]) -> u64 {
        self.send(ApiKey::DeleteRecords, 2, delete(name, offsets))
    }

    /// Error and low watermark of each partition; `None` while there is no reply.
    fn deleted(&self, seq: u64) -> Option<Vec<(i16, Offset)>> {
        let ResponseKind::DeleteRecords(body) = &*self.replies.get(&seq)?.body else { panic!() };
        let told = |result: &DeleteRecordsPartitionResult| (result.error_code, result.low_watermark);
        Some(body.topics.iter().flat_map(|topic| topic.partitions.iter().map(told)).collect())
    }

    /// Broker 2 fetches `orders-0` from there, and says where its log begins.
    fn follower_fetches(&mut self, offset: Offset, log_start: Offset) -> u64 {
        let mut body = fetch("orders", &[(0, offset)]).with_replica_id(WireBroker(2)).with_max_wait_ms(0);
        body.topics[0].partitions[0].log_start_offset = log_start;
        self.send(ApiKey::Fetch, 12, body)
    }
}

#[test]
fn a_log_begins_where_it_is_told_and_consumers_cannot_read_below() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["a", "b", "c"]));
    room.produce("orders", 1, &batch(&["d"]));
    let seq = room.delete("orders", &[(0, 2)]);
    assert_eq!(room.deleted(seq).unwrap(), [(0, 2)]);
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 1)]));
    assert_eq!(room.fetched_one(seq).unwrap().0.error_code, code(ErrorCode::OffsetOutOfRange));
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 2)]));
    assert_eq!(room.fetched_one(seq).unwrap().0.log_start_offset, 2);

    let seq = room.delete("orders", &[(0, 1)]);
    assert_eq!(room.deleted(seq).unwrap(), [(0, 2)], "it never goes back");
    let seq = room.delete("orders", &[(0, -1)]);
    assert_eq!(room.deleted(seq).unwrap(), [(0, 4)], "−1 is the high watermark");

    room.pass(60_000);
    assert_eq!(room.files["log-start-offset-checkpoint"], "0\n1\norders 0 4\n");
    let room = room.restart();
    assert_eq!(room.broker.partition(&topic("orders"), 0).unwrap().log.log_start_offset(), 4);
}

#[test]
fn what_cannot_be_deleted_is_refused_with_kafkas_codes() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.create("compacted", &[("cleanup.policy", "compact")]);
    room.create("both", &[("cleanup.policy", "compact,delete")]);
    room.create("__consumer_offsets", &[]);
    room.produce("both", 1, &batch(&["a"]));
    let out_of_range = (code(ErrorCode::OffsetOutOfRange), -1);
    let unknown = (code(ErrorCode::UnknownTopicOrPartition), -1);
    for (name, offsets, expected) in [
        ("orders", &[(0, 1), (1, -2)][..], vec![out_of_range, out_of_range]),
        ("orders", &[(0, 0), (7, 0)], vec![(0, 0), unknown]),
        ("nowhere", &[(0, 0)], vec![unknown]),
        ("compacted", &[(0, 0)], vec![(code(ErrorCode::PolicyViolation), -1)]),
        ("both", &[(0, 1)], vec![(0, 1)]),
        ("__consumer_offsets", &[(0, 0)], vec![(code(ErrorCode::InvalidTopicException), -1)]),
        ("__consumer_offsets", &[(7, 0)], vec![unknown]),
    ] {
        let seq = room.delete(name, offsets);
        assert_eq!(room.deleted(seq).unwrap(), expected, "{name} {offsets:?}");
    }
}

#[test]
fn a_delete_waits_until_every_follower_begins_there() {
    let mut room = Room::new();
    tell(&mut room, 100, BrokerId(1), 0);
    room.produce("orders", 1, &batch(&["a", "b", "c"]));
    room.follower_fetches(3, 0);
    let seq = room.delete("orders", &[(0, 2)]);
    assert!(room.deleted(seq).is_none());
    let fetch = room.follower_fetches(3, 0);
    assert_eq!(room.fetched_one(fetch).unwrap().0.log_start_offset, 2, "the follower is told");
    assert!(room.deleted(seq).is_none());
    room.follower_fetches(3, 2);
    assert_eq!(room.deleted(seq).unwrap(), [(0, 2)]);
    assert_eq!(room.broker.parked(), 0);

    let late = room.delete("orders", &[(0, 3)]);
    room.pass(999);
    assert!(room.deleted(late).is_none());
    room.pass(1);
    assert_eq!(room.deleted(late).unwrap(), [(code(ErrorCode::RequestTimedOut), 2)]);

    let seq = room.delete("orders", &[(0, 3)]);
    tell(&mut room, 101, BrokerId(2), 1);
    assert_eq!(room.deleted(seq).unwrap(), [(code(ErrorCode::NotLeaderOrFollower), -1)]);
    assert_eq!(room.broker.parked(), 0);
}
