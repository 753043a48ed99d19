//! Idempotent and transactional producers, and those who read what they write.

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, ListOffsetsRequest, ProducerId, TransactionalId, WriteTxnMarkersRequest,
};

use super::*;
use crate::protocol::markers::with_transaction_version;

const PRODUCER: i64 = 7;

/// A batch of that producer; its values are its sequences.
pub(super) fn numbered(epoch: i16, sequence: i32, count: i32, transactional: bool) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_producer(PRODUCER, epoch, sequence);
    if transactional {
        builder.set_transactional();
    }
    for sequence in sequence..sequence + count {
        builder.append(Timestamp(EPOCH_MS), None, Some(sequence.to_string().as_bytes()), &[]);
    }
    builder.build()
}

impl Room {
    /// Transactions are taken at their word: there is no coordinator to verify them.
    fn trusting() -> Room {
        let mut room = Room::with(&[("transaction.partition.verification.enable", "false")]);
        room.create("orders", &[]);
        room
    }

    pub(super) fn write(&mut self, batch: &Batch) -> (i16, Offset) {
        let id = batch.header.is_transactional().then(|| TransactionalId(text("t")));
        let partition = PartitionProduceData::default().with_records(Some(batch.bytes.clone()));
        let data = TopicProduceData::default().with_name(topic("orders")).with_partition_data(vec![partition]);
        let body = ProduceRequest::default()
            .with_transactional_id(id)
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        let seq = self.send(ApiKey::Produce, 11, body);
        let answer = self.produced(seq).expect("it is answered at once");
        (answer.error_code, answer.base_offset)
    }

    /// Ends the producer's transaction in `orders-0`, and in a partition that is not there. Gives the error codes.
    pub(super) fn mark(
        &mut self,
        version: i16,
        epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
        level: i8,
    ) -> Option<[i16; 2]> {
        let seq = self.send_marker(version, epoch, commit, coordinator_epoch, level);
        self.marked(seq)
    }

    fn send_marker(&mut self, version: i16, epoch: i16, commit: bool, coordinator_epoch: i32, level: i8) -> u64 {
        let topics = WritableTxnMarkerTopic::default().with_name(topic("orders")).with_partition_indexes(vec![0, 9]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(PRODUCER))
            .with_producer_epoch(epoch)
            .with_transaction_result(commit)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topics]);
        let marker = if version > 1 { with_transaction_version(marker, level) } else { marker };
        self.send(ApiKey::WriteTxnMarkers, version, WriteTxnMarkersRequest::default().with_markers(vec![marker]))
    }

    fn marked(&self, seq: u64) -> Option<[i16; 2]> {
        let ResponseKind::WriteTxnMarkers(body) = &*self.replies.get(&seq)?.body else { panic!() };
        let partitions = &body.markers[0].topics[0].partitions;
        Some([0, 1].map(|at| partitions[at].error_code))
    }

    /// What a consumer of that isolation level gets from an offset on: aborted transactions, and values.
    fn consume(&mut self, offset: Offset, read_committed: bool) -> (Offset, Option<Vec<(i64, Offset)>>, Vec<String>) {
        let body = fetch("orders", &[(0, offset)]).with_isolation_level(read_committed.into()).with_max_wait_ms(0);
        let seq = self.send(ApiKey::Fetch, 12, body);
        let (body, records) = self.fetched(seq).unwrap();
        let partition = &body.responses[0].partitions[0];
        let aborted = partition.aborted_transactions.as_ref();
        let aborted = aborted.map(|all| all.iter().map(|one| (one.producer_id.0, one.first_offset)).collect());
        (partition.last_stable_offset, aborted, data(&records[0]))
    }

    fn latest(&mut self, read_committed: bool) -> Offset {
        let partition = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
        let topics = ListOffsetsTopic::default().with_name(topic("orders")).with_partitions(vec![partition]);
        let body = ListOffsetsRequest::default()
            .with_replica_id(kafka_protocol::messages::BrokerId(-1))
            .with_isolation_level(read_committed.into())
            .with_topics(vec![topics]);
        let seq = self.send(ApiKey::ListOffsets, 7, body);
        let ResponseKind::ListOffsets(body) = &*self.replies[&seq].body else { panic!() };
        body.topics[0].partitions[0].offset
    }
}

/// The values of what are no control records.
fn data(records: &[u8]) -> Vec<String> {
    let batches = crate::record::batches(records).filter(|(header, _)| !header.is_control());
    batches.flat_map(|(_, bytes)| values(bytes)).collect()
}

const OK: i16 = error::NONE;

#[test]
fn a_retry_is_answered_as_the_first_try_was_and_stored_once() {
    let mut room = Room::new();
    room.create("orders", &[]);
    assert_eq!(room.write(&numbered(0, 0, 2, false)), (OK, 0));
    assert_eq!(room.write(&numbered(0, 2, 3, false)), (OK, 2));
    assert_eq!(room.write(&numbered(0, 0, 2, false)), (OK, 0));
    assert_eq!(room.write(&numbered(0, 7, 1, false)), (code(ErrorCode::OutOfOrderSequenceNumber), -1));
    assert_eq!(room.consume(0, false).2, ["0", "1", "2", "3", "4"]);
    assert_eq!(room.broker.parked(), 0);
}

#[test]
fn a_retry_waits_for_what_the_first_try_waits_for() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.slow = true;
    let first = room.produce("orders", -1, &numbered(0, 0, 1, false));
    let other = room.produce("orders", -1, &batch(&["x"]));
    let again = room.produce("orders", -1, &numbered(0, 0, 1, false));
    assert!(room.produced(again).is_none());
    room.catch_up();
    let offsets = [first, other, again].map(|seq| room.produced(seq).unwrap().base_offset);
    assert_eq!(offsets, [0, 1, 0]);
    let last = room.produce("orders", 1, &numbered(0, 0, 1, false));
    assert_eq!(room.produced(last).map(|answer| answer.base_offset), Some(0));
    assert_eq!(room.broker.parked(), 0);
}

#[test]
fn a_restarted_broker_still_knows_what_it_has_from_whom() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.write(&numbered(0, 0, 2, false));
    room.write(&numbered(0, 2, 1, false));
    let mut room = room.restart();
    assert_eq!(room.write(&numbered(0, 2, 1, false)), (OK, 2));
    assert_eq!(room.write(&numbered(0, 4, 1, false)).0, code(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(room.write(&numbered(0, 3, 1, false)), (OK, 3));
}

#[test]
fn read_committed_waits_for_the_end_and_is_told_what_was_aborted() {
    let mut room = Room::trusting();
    room.write(&batch(&["plain"]));
    assert_eq!(room.write(&numbered(0, 0, 2, true)), (OK, 1));
    room.write(&batch(&["behind"]));
    assert_eq!(room.consume(0, true), (1, Some(vec![]), vec!["plain".to_owned()]));
    assert_eq!(room.consume(0, false), (1, None, ["plain", "0", "1", "behind"].map(str::to_owned).to_vec()));
    assert_eq!((room.latest(true), room.latest(false)), (1, 4));
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(room.mark(1, 0, false, 3, 0), Some([OK, unknown]));
    let (stable, aborted, values) = room.consume(0, true);
    assert_eq!((stable, aborted), (5, Some(vec![(PRODUCER, 1)])));
    assert_eq!(values, ["plain", "0", "1", "behind"], "the consumer leaves out what is aborted");
    assert_eq!((room.latest(true), room.latest(false)), (5, 5));
    // Sequences go on after a marker of the same epoch.
    assert_eq!(room.write(&numbered(0, 2, 1, true)), (OK, 5));
    room.mark(1, 0, true, 3, 0);
    assert_eq!(room.consume(5, true), (7, Some(vec![]), vec!["2".to_owned()]));
}

#[test]
fn markers_are_committed_before_they_are_answered_and_late_ones_refused() {
    let mut room = Room::trusting();
    room.write(&numbered(0, 0, 1, true));
    room.slow = true;
    let seq = room.send_marker(2, 1, true, 5, 2);
    assert_eq!(room.marked(seq), None);
    room.slow = false;
    room.catch_up();
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(room.marked(seq), Some([OK, unknown]));
    let epoch = code(ErrorCode::InvalidProducerEpoch);
    assert_eq!(room.mark(2, 0, true, 5, 2), Some([epoch, unknown]));
    assert_eq!(room.mark(1, 1, true, 4, 0), Some([code(ErrorCode::TransactionCoordinatorFenced), unknown]));
    assert_eq!(room.write(&numbered(0, 1, 1, true)).0, epoch, "the marker's epoch fences the producer's");
    assert_eq!(room.write(&numbered(1, 0, 1, true)), (OK, 2));
}

#[test]
fn an_open_transaction_outlives_its_broker() {
    let mut room = Room::trusting();
    room.write(&numbered(0, 0, 1, true));
    room.write(&batch(&["x"]));
    let mut room = room.restart();
    assert_eq!(room.consume(0, true), (0, Some(vec![]), vec![]));
    room.mark(1, 0, false, 0, 0);
    let mut room = room.restart();
    assert_eq!(room.consume(0, true).1, Some(vec![(PRODUCER, 0)]));
}

#[test]
fn a_transactional_batch_needs_an_id_and_a_verified_transaction() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let seq = room.produce("orders", -1, &numbered(0, 0, 1, true));
    assert_eq!(room.produced(seq).unwrap().error_code, code(ErrorCode::TransactionalIdAuthorizationFailed));
}

#[test]
fn every_producer_of_a_partition_is_described() {
    let mut room = Room::trusting();
    room.write(&numbered(2, 0, 3, true));
    let topics = ["orders", "nowhere", "b@d"]
        .map(|name| TopicRequest::default().with_name(topic(name)).with_partition_indexes(vec![0]));
    let body = DescribeProducersRequest::default().with_topics(topics.to_vec());
    let seq = room.send(ApiKey::DescribeProducers, 0, body);
    let ResponseKind::DescribeProducers(body) = &*room.replies[&seq].body else { panic!() };
    let codes: Vec<i16> = body.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    assert_eq!(codes, [0, code(ErrorCode::UnknownTopicOrPartition), code(ErrorCode::InvalidTopicException)]);
    let [one] = &body.topics[0].partitions[0].active_producers[..] else { panic!() };
    assert_eq!(
        (one.producer_id.0, one.producer_epoch, one.last_sequence, one.coordinator_epoch, one.current_txn_start_offset),
        (PRODUCER, 2, 2, -1, 0)
    );
}
