//! Transactions from end to end: one broker that coordinates them, leads their partitions, and talks to itself about it.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, GroupId, InitProducerIdRequest, ListTransactionsRequest, ProducerId, TransactionalId,
    TxnOffsetCommitRequest,
};

use std::collections::BTreeSet;

use super::coordinating::{fetch_request, fetched};
use super::*;
use crate::coordinator::Producer;

const OK: i16 = error::NONE;
/// The first version of Produce that adds its partitions to the transaction, and of EndTxn that raises the epoch.
const PRODUCE_2: i16 = 12;
const END_2: i16 = 5;
/// Those before.
const PRODUCE_1: i16 = 11;
const END_1: i16 = 4;

const GROUPS: i8 = 0;
const TRANSACTIONS: i8 = 1;

fn room(settings: &[(&str, &str)]) -> Room {
    room_with(&[GROUPS, TRANSACTIONS], settings)
}

/// One in which the internal topics of these kinds are there.
fn room_with(kinds: &[i8], settings: &[(&str, &str)]) -> Room {
    let alone = [
        ("transaction.state.log.num.partitions", "3"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("offsets.topic.num.partitions", "3"),
        ("offsets.topic.replication.factor", "1"),
    ];
    let mut room = Room::with(&[&alone[..], settings].concat());
    room.create("orders", &[]);
    for kind in kinds {
        room.find_coordinator(*kind);
    }
    room
}

fn id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

impl Room {
    fn find_coordinator(&mut self, kind: i8) {
        let body = FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text("t")]);
        self.send(ApiKey::FindCoordinator, 6, body);
    }

    fn add_group(&mut self, producer: Producer) -> i16 {
        let body = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id("t"))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_group_id(GroupId(text("g")));
        let seq = self.send(ApiKey::AddOffsetsToTxn, 4, body);
        let ResponseKind::AddOffsetsToTxn(body) = &*self.replies[&seq].body else { panic!() };
        body.error_code
    }

    fn init(&mut self, version: i16) -> (i16, Producer) {
        self.init_as("t", version, 60_000)
    }

    fn init_as(&mut self, name: &str, version: i16, timeout_ms: i32) -> (i16, Producer) {
        let body = InitProducerIdRequest::default()
            .with_transactional_id(Some(id(name)))
            .with_transaction_timeout_ms(timeout_ms);
        let seq = self.send(ApiKey::InitProducerId, version, body);
        let ResponseKind::InitProducerId(body) = &*self.replies[&seq].body else { panic!() };
        (body.error_code, Producer { id: body.producer_id.0, epoch: body.producer_epoch })
    }

    /// Produces one record to `orders`, whose value is its sequence.
    fn transact_one(&mut self, version: i16, producer: Producer, index: i32, sequence: i32) -> u64 {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.set_producer(producer.id, producer.epoch, sequence);
        builder.set_transactional();
        builder.append(Timestamp(EPOCH_MS), None, Some(sequence.to_string().as_bytes()), &[]);
        let records = Some(builder.build().bytes);
        let partition = PartitionProduceData::default().with_index(index).with_records(records);
        let data = TopicProduceData::default().with_name(topic("orders")).with_partition_data(vec![partition]);
        let body = ProduceRequest::default()
            .with_transactional_id(Some(id("t")))
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        self.send(ApiKey::Produce, version, body)
    }

    fn transact(&mut self, version: i16, producer: Producer, index: i32, sequence: i32) -> i16 {
        let seq = self.transact_one(version, producer, index, sequence);
        self.produced(seq).expect("it is answered").error_code
    }

    fn add_to_transaction(&mut self, producer: Producer, partitions: &[i32]) -> Vec<i16> {
        let topics = AddPartitionsToTxnTopic::default().with_name(topic("orders")).with_partitions(partitions.into());
        let body = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id("t"))
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![topics]);
        let seq = self.send(ApiKey::AddPartitionsToTxn, 3, body);
        let ResponseKind::AddPartitionsToTxn(body) = &*self.replies[&seq].body else { panic!() };
        let topics = body.results_by_topic_v3_and_below.iter();
        topics.flat_map(|topic| &topic.results_by_partition).map(|one| one.partition_error_code).collect()
    }

    fn end(&mut self, version: i16, producer: Producer, commit: bool) -> (i16, Producer) {
        let body = EndTxnRequest::default()
            .with_transactional_id(id("t"))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(commit);
        let seq = self.send(ApiKey::EndTxn, version, body);
        let ResponseKind::EndTxn(body) = &*self.replies[&seq].body else { panic!() };
        (body.error_code, Producer { id: body.producer_id.0, epoch: body.producer_epoch })
    }

    /// What a consumer of that isolation level gets from a partition of `orders`.
    fn reads(&mut self, index: i32, read_committed: bool) -> Vec<String> {
        let body = fetch("orders", &[(index, 0)]).with_isolation_level(read_committed.into()).with_max_wait_ms(0);
        let seq = self.send(ApiKey::Fetch, 12, body);
        let (body, records) = self.fetched(seq).unwrap();
        let aborted = body.responses[0].partitions[0].aborted_transactions.clone().unwrap_or_default();
        let mut aborted: VecDeque<(i64, Offset)> =
            aborted.iter().map(|one| (one.producer_id.0, one.first_offset)).collect();
        let (mut skipped, mut values) = (BTreeSet::new(), Vec::new());
        for (header, bytes) in crate::record::batches(&records[0]) {
            while let Some((producer, _)) = aborted.pop_front_if(|(_, first)| *first <= header.base_offset) {
                skipped.insert(producer);
            }
            if header.is_control() {
                skipped.remove(&header.producer_id);
            } else if !skipped.contains(&header.producer_id) {
                values.extend(super::values(bytes));
            }
        }
        values
    }

    /// The state that the coordinator tells of `t`, and the producer's epoch.
    fn described(&mut self) -> (String, i16) {
        let body = DescribeTransactionsRequest::default().with_transactional_ids(vec![id("t")]);
        let seq = self.send(ApiKey::DescribeTransactions, 0, body);
        let ResponseKind::DescribeTransactions(body) = &*self.replies[&seq].body else { panic!() };
        let state = &body.transaction_states[0];
        assert_eq!(state.error_code, OK);
        (state.transaction_state.to_string(), state.producer_epoch)
    }

    fn listed(&mut self, body: ListTransactionsRequest) -> (i16, Vec<TransactionState>) {
        let seq = self.send(ApiKey::ListTransactions, 2, body);
        let ResponseKind::ListTransactions(body) = &*self.replies[&seq].body else { panic!() };
        (body.error_code, body.transaction_states.clone())
    }

    fn commit_offset(&mut self, version: i16, producer: Producer, offset: i64) -> u64 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topics = TxnOffsetCommitRequestTopic::default().with_name(topic("orders")).with_partitions(vec![partition]);
        let body = TxnOffsetCommitRequest::default()
            .with_transactional_id(id("t"))
            .with_group_id(GroupId(text("g")))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topics]);
        self.send(ApiKey::TxnOffsetCommit, version, body)
    }

    fn offset_committed(&self, seq: u64) -> Option<i16> {
        let ResponseKind::TxnOffsetCommit(body) = &*self.replies.get(&seq)?.body else { panic!() };
        Some(body.topics[0].partitions[0].error_code)
    }

    /// The error and the offset of `orders-0` that the group has.
    fn group_offset(&mut self, stable: bool) -> (i16, i64) {
        let seq = self.send(ApiKey::OffsetFetch, 9, fetch_request("g", stable));
        let ResponseKind::OffsetFetch(body) = &*self.replies[&seq].body else { panic!() };
        let error = body.groups[0].topics[0].partitions[0].error_code;
        (error, fetched(self, seq).unwrap().1[0])
    }
}

#[test]
fn what_a_transaction_writes_is_read_when_it_commits_and_never_when_it_aborts() {
    let mut room = room(&[]);
    let (error, first) = room.init(5);
    assert_eq!((error, first), (OK, Producer { id: 0, epoch: 0 }));
    assert_eq!(room.described(), ("Empty".into(), 0));
    assert_eq!(room.transact(PRODUCE_2, first, 0, 0), OK);
    assert_eq!(room.transact(PRODUCE_2, first, 1, 0), OK);
    assert_eq!(room.described(), ("Ongoing".into(), 0));
    assert_eq!((room.reads(0, true), room.reads(0, false)), (vec![], vec!["0".to_owned()]));

    let (error, second) = room.end(END_2, first, true);
    assert_eq!((error, second.epoch), (OK, 1));
    assert_eq!(room.described(), ("CompleteCommit".into(), 1));
    assert_eq!((room.reads(0, true), room.reads(1, true)), (vec!["0".to_owned()], vec!["0".to_owned()]));

    assert_eq!(room.transact(PRODUCE_2, second, 0, 0), OK);
    assert_eq!(room.end(END_2, second, false), (OK, Producer { epoch: 2, ..first }));
    assert_eq!(room.described(), ("CompleteAbort".into(), 2));
    assert_eq!((room.reads(0, true).len(), room.reads(0, false).len()), (1, 2));
    assert_eq!(room.broker.parked(), 0);
}

#[test]
fn below_level_2_partitions_are_added_first_and_what_was_not_added_is_refused() {
    let mut room = room(&[("ottla.transaction.version", "1")]);
    let (_, own) = room.init(5);
    assert_eq!(room.transact(PRODUCE_1, own, 0, 0), code(ErrorCode::TransactionAbortable));
    assert_eq!(room.transact(10, own, 0, 0), code(ErrorCode::InvalidTxnState), "it knows no other");
    let unknown = [ErrorCode::UnknownTopicOrPartition, ErrorCode::OperationNotAttempted].map(code);
    assert_eq!(room.add_to_transaction(own, &[0, 9]), unknown);
    assert_eq!(room.add_to_transaction(own, &[0]), [OK]);
    assert_eq!(room.transact(PRODUCE_1, own, 0, 0), OK);
    assert_eq!(room.transact(PRODUCE_1, own, 0, 1), OK, "it is open there");
    assert_eq!(room.end(END_1, own, true), (OK, Producer { id: -1, epoch: -1 }));
    assert_eq!(room.described(), ("CompleteCommit".into(), 0), "the epoch is what it was");
    assert_eq!(room.reads(0, true), ["0", "1"]);
    // It was on its way when the transaction ended.
    assert_eq!(room.transact(PRODUCE_1, own, 0, 2), code(ErrorCode::TransactionAbortable));
}

/// The negative control: what KIP-890 is about.
#[test]
fn before_kip_890_a_late_batch_is_in_a_transaction_that_nobody_ends() {
    use crate::bug::Bug;
    let bugs: Bugs = [Bug::TransactionsBeforeKip890].into_iter().collect();
    let mut room = room(&bugs.settings().collect::<Vec<_>>());
    let (_, own) = room.init(5);
    room.add_to_transaction(own, &[0]);
    assert_eq!(room.transact(PRODUCE_1, own, 0, 0), OK);
    assert_eq!(room.end(END_1, own, true).0, OK);
    assert_eq!(room.transact(PRODUCE_1, own, 0, 1), OK, "late, and nobody asks");
    room.pass(120_000);
    assert_eq!(room.described(), ("CompleteCommit".into(), 0));
    assert_eq!((room.reads(0, true), room.reads(0, false).len()), (vec!["0".to_owned()], 2), "it hangs");
    // It joins the next transaction, which did not write it.
    room.add_to_transaction(own, &[0]);
    assert_eq!(room.end(END_1, own, true).0, OK);
    assert_eq!(room.reads(0, true), ["0", "1"]);
}

#[test]
fn with_epochs_of_their_own_a_late_batch_is_fenced() {
    let mut room = room(&[]);
    let (_, first) = room.init(5);
    room.transact(PRODUCE_2, first, 0, 0);
    let (_, second) = room.end(END_2, first, true);
    assert_eq!(room.transact(PRODUCE_2, first, 0, 1), code(ErrorCode::InvalidProducerEpoch));
    assert_eq!(room.transact(PRODUCE_2, first, 1, 0), code(ErrorCode::InvalidProducerEpoch), "where it never wrote");
    assert_eq!(room.transact(PRODUCE_2, second, 0, 1), code(ErrorCode::OutOfOrderSequenceNumber), "it begins at 0");
    assert_eq!(room.transact(PRODUCE_2, second, 0, 0), OK);
}

#[test]
fn a_second_producer_fences_the_first_and_aborts_what_it_left_open() {
    let mut room = room(&[]);
    let (_, first) = room.init(5);
    room.transact(PRODUCE_2, first, 0, 0);
    assert_eq!(room.init(5).0, code(ErrorCode::ConcurrentTransactions));
    let (error, second) = room.init(5);
    assert_eq!((error, second), (OK, Producer { epoch: 2, ..first }));
    assert_eq!(room.transact(PRODUCE_2, first, 0, 1), code(ErrorCode::InvalidProducerEpoch));
    assert_eq!(room.end(END_2, first, true).0, code(ErrorCode::ProducerFenced));
    assert_eq!(room.end(1, first, true).0, code(ErrorCode::InvalidProducerEpoch), "it knows no other");
    room.transact(PRODUCE_2, second, 0, 0);
    assert_eq!(room.end(END_2, second, true).0, OK);
    assert_eq!(room.reads(0, true), ["0"]);
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted() {
    let mut room = room(&[]);
    let (_, own) = room.init_as("t", 5, 5_000);
    room.transact(PRODUCE_2, own, 0, 0);
    room.pass(5_001);
    room.pass(10_000);
    assert_eq!(room.described(), ("CompleteAbort".into(), 1));
    assert_eq!(room.end(END_2, own, true).0, code(ErrorCode::InvalidTxnState), "aborted, and it wanted to commit");
    assert_eq!(room.end(END_2, own, false), (OK, Producer { epoch: 1, ..own }), "as it wanted to");
    assert_eq!(room.transact(PRODUCE_2, own, 0, 1), code(ErrorCode::InvalidProducerEpoch));
    assert_eq!(room.reads(0, true), Vec::<String>::new());
    for timeout in [0, 900_001] {
        assert_eq!(room.init_as("t", 5, timeout).0, code(ErrorCode::InvalidTransactionTimeout));
    }
    assert_eq!(room.init_as("", 5, 5_000).0, code(ErrorCode::InvalidRequest));
}

#[test]
fn a_coordinator_that_comes_back_tells_the_partitions_what_was_decided() {
    let mut room = room(&[]);
    let (_, first) = room.init(5);
    room.transact(PRODUCE_2, first, 0, 0);
    room.transact(PRODUCE_2, first, 1, 0);
    room.deaf = true;
    let (error, second) = room.end(END_2, first, true);
    assert_eq!((error, room.described()), (OK, ("PrepareCommit".into(), 1)));
    assert_eq!(room.reads(0, true), Vec::<String>::new());
    let mut room = room.restart();
    room.pass(50);
    assert_eq!(room.described(), ("CompleteCommit".into(), 1));
    assert_eq!((room.reads(0, true), room.reads(1, true)), (vec!["0".to_owned()], vec!["0".to_owned()]));
    assert_eq!(room.end(END_2, first, true), (OK, second), "its answer was lost");
}

#[test]
fn a_transaction_may_begin_while_the_one_before_it_is_being_ended() {
    let mut room = room(&[("add.partitions.to.txn.retry.backoff.ms", "20")]);
    let (_, first) = room.init(5);
    room.transact(PRODUCE_2, first, 0, 0);
    // What asks goes through, and its answer; the markers do not.
    room.slow = true;
    let (_, own) = (room.end_slowly(first), Producer { epoch: 1, ..first });
    let next = room.transact_one(PRODUCE_2, own, 0, 0);
    assert_eq!(room.produced(next), None, "the coordinator is asked again");
    room.slow = false;
    room.catch_up();
    room.pass(20);
    assert_eq!(room.produced(next).map(|answer| answer.error_code), Some(OK));
    assert_eq!(room.reads(0, true), ["0"]);
}

#[test]
fn a_transaction_that_does_not_end_is_not_waited_for_long() {
    let mut room = room(&[]);
    let (_, first) = room.init(5);
    room.transact(PRODUCE_2, first, 0, 0);
    room.slow = true;
    room.end_slowly(first);
    let next = room.transact_one(PRODUCE_2, Producer { epoch: 1, ..first }, 0, 0);
    for _ in 0..4 {
        room.pass(20);
        assert!(room.produced(next).is_none());
    }
    room.pass(20);
    let answer = room.produced(next).unwrap();
    assert_eq!((answer.error_code, &answer.error_message), (code(ErrorCode::ConcurrentTransactions), &None));
}

impl Room {
    /// Ends the transaction as far as its coordinator's own log; its disk is slow after that.
    fn end_slowly(&mut self, producer: Producer) {
        let body = EndTxnRequest::default()
            .with_transactional_id(id("t"))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(true);
        let seq = self.send(ApiKey::EndTxn, END_2, body);
        let written = self.held.pop_front().expect("the decision is written");
        self.step(written);
        assert!(self.replies.contains_key(&seq));
    }
}

#[test]
fn a_connections_batches_keep_their_order_while_their_transaction_is_looked_at() {
    let mut room = room(&[]);
    let (_, own) = room.init(5);
    room.deaf = true;
    let held: Vec<u64> = (0..3).map(|sequence| room.transact_one(PRODUCE_2, own, 0, sequence)).collect();
    let elsewhere = room.transact_one(PRODUCE_2, own, 1, 0);
    assert!(room.produced(held[0]).is_none() && room.produced(elsewhere).is_none());
    assert_eq!((room.reads(0, false), room.broker.parked()), (Vec::<String>::new(), 4));
    room.hear();
    for seq in held.into_iter().chain([elsewhere]) {
        assert_eq!(room.produced(seq).map(|answer| answer.error_code), Some(OK));
    }
    assert_eq!(room.reads(0, false), ["0", "1", "2"]);
}

#[test]
fn a_partition_that_is_gone_needs_no_marker() {
    let mut room = room(&[]);
    let (_, own) = room.init(5);
    room.transact(PRODUCE_2, own, 0, 0);
    let state = kafka_protocol::messages::delete_topics_request::DeleteTopicState::default();
    let body = kafka_protocol::messages::DeleteTopicsRequest::default()
        .with_topics(vec![state.with_name(Some(topic("orders")))]);
    room.send(ApiKey::DeleteTopics, 6, body);
    assert!(room.broker.partition(&topic("orders"), 0).is_none());
    assert_eq!(room.end(END_2, own, true).0, OK);
    assert_eq!(room.described(), ("CompleteCommit".into(), 1));
}

#[test]
fn where_the_coordinator_cannot_be_asked_producers_come_again() {
    let mut room = room(&[("request.timeout.ms", "30000")]);
    let (_, own) = room.init(5);
    room.deaf = true;
    let held = room.transact_one(PRODUCE_2, own, 0, 0);
    room.pass(30_001);
    let answer = room.produced(held).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::NotEnoughReplicas));
    let message = answer.error_message.as_deref().unwrap();
    assert!(message.ends_with("Underlying error: NETWORK_EXCEPTION"), "{message}");
    room.unheard.clear();
    room.deaf = false;
    room.pass(100);
    assert_eq!(room.transact(PRODUCE_2, own, 0, 0), OK);
}

#[test]
fn a_client_that_has_gone_is_not_waited_for() {
    let mut room = room(&[]);
    let (_, own) = room.init(5);
    room.deaf = true;
    room.transact_one(PRODUCE_2, own, 0, 0);
    room.transact_one(PRODUCE_2, own, 0, 1);
    room.step(Event::Closed { conn: CLIENT });
    room.hear();
    assert_eq!(room.reads(0, false), Vec::<String>::new());
    assert_eq!(room.transact(PRODUCE_2, own, 0, 0), OK);
}

#[test]
fn offsets_count_when_their_transaction_commits() {
    let mut room = room(&[]);
    let (_, mut own) = room.init(5);
    let none = (OK, -1);
    for (commit, before, after) in [(false, none, none), (true, none, (OK, 5)), (false, (OK, 5), (OK, 5))] {
        let seq = room.commit_offset(5, own, 5);
        assert_eq!(room.offset_committed(seq), Some(OK));
        assert_eq!(room.group_offset(true), (code(ErrorCode::UnstableOffsetCommit), -1));
        assert_eq!(room.group_offset(false), before);
        own = room.end(END_2, own, commit).1;
        assert_eq!(room.group_offset(true), after);
    }
}

#[test]
fn below_level_2_offsets_are_added_first() {
    let mut room = room(&[("ottla.transaction.version", "1")]);
    let (_, own) = room.init(5);
    let refused = [room.commit_offset(4, own, 5), room.commit_offset(3, own, 5)];
    let errors = refused.map(|seq| room.offset_committed(seq).unwrap());
    assert_eq!(errors, [ErrorCode::TransactionAbortable, ErrorCode::InvalidTxnState].map(code));
    assert_eq!(room.add_group(own), OK);
    let seq = room.commit_offset(4, own, 5);
    assert_eq!(room.offset_committed(seq), Some(OK));
    room.end(END_1, own, true);
    assert_eq!(room.group_offset(true), (OK, 5));
}

/// kafka-python asks so, and looks for the group's coordinator, which creates the topic, when it has the answer.
#[test]
fn a_group_is_added_before_the_topic_of_offsets_is_there() {
    let mut room = room_with(&[TRANSACTIONS], &[("ottla.transaction.version", "1")]);
    let (_, own) = room.init(5);
    assert_eq!(room.add_group(own), OK);
    room.find_coordinator(GROUPS);
    let seq = room.commit_offset(4, own, 5);
    assert_eq!(room.offset_committed(seq), Some(OK));
    assert_eq!(room.end(END_1, own, true).0, OK);
    assert_eq!(room.group_offset(true), (OK, 5));

    // And where nobody looks for it, nothing has to be told that the transaction ended.
    let mut room = room_with(&[TRANSACTIONS], &[("ottla.transaction.version", "1")]);
    let (_, own) = room.init(5);
    assert_eq!(room.add_group(own), OK);
    assert_eq!(room.end(END_1, own, false).0, OK);
    assert_eq!(room.add_group(own), OK);
}

#[test]
fn transactions_are_listed_as_asked_for() {
    let mut room = room(&[]);
    let (_, own) = room.init(5);
    room.init_as("other", 5, 60_000);
    room.transact(PRODUCE_2, own, 0, 0);
    room.pass(1_000);
    let names = |(error, states): (i16, Vec<TransactionState>)| {
        assert_eq!(error, OK);
        let mut names: Vec<String> = states.iter().map(|state| state.transactional_id.to_string()).collect();
        names.sort_unstable();
        names
    };
    let all = ListTransactionsRequest::default();
    assert_eq!(names(room.listed(all.clone())), ["other", "t"]);
    assert_eq!(names(room.listed(all.clone().with_state_filters(vec![text("Ongoing")]))), ["t"]);
    assert_eq!(names(room.listed(all.clone().with_producer_id_filters(vec![ProducerId(1)]))), ["other"]);
    assert_eq!(names(room.listed(all.clone().with_transactional_id_pattern(Some(text("o.h"))))), Vec::<String>::new());
    assert_eq!(names(room.listed(all.clone().with_transactional_id_pattern(Some(text("o.*"))))), ["other"]);
    assert_eq!(
        names(room.listed(all.clone().with_duration_filter(999).with_state_filters(vec![text("Ongoing")]))),
        ["t"]
    );
    assert_eq!(
        names(room.listed(all.clone().with_duration_filter(1_000).with_state_filters(vec![text("Ongoing")]))),
        Vec::<String>::new()
    );
    let (error, _) = room.listed(all.clone().with_transactional_id_pattern(Some(text("("))));
    assert_eq!(error, code(ErrorCode::InvalidRegularExpression));
    let seq = room.send(ApiKey::ListTransactions, 2, all.with_state_filters(vec![text("Asleep"), text("Dead")]));
    let ResponseKind::ListTransactions(body) = &*room.replies[&seq].body else { panic!() };
    assert_eq!((&body.unknown_state_filters[..], body.transaction_states.len()), (&[text("Asleep")][..], 0));
}

#[test]
fn the_level_of_transactions_is_told_to_clients() {
    for (level, supported, finalized) in [("0", 2, vec![]), ("1", 2, vec![1]), ("2", 2, vec![2])] {
        let mut room = room(&[("ottla.transaction.version", level)]);
        let body = ApiVersionsRequest::default()
            .with_client_software_name(text("test"))
            .with_client_software_version(text("1"));
        for (version, supported) in [(4, supported), (3, 0)] {
            let seq = room.send(ApiKey::ApiVersions, version, body.clone());
            let ResponseKind::ApiVersions(body) = &*room.replies[&seq].body else { panic!() };
            let of_transactions = body.finalized_features.iter().filter(|it| *it.name == *"transaction.version");
            let levels: Vec<i16> = of_transactions.map(|feature| feature.max_version_level).collect();
            assert_eq!((body.supported_features.len(), &levels), (supported, &finalized));
            assert!(body.finalized_features_epoch > 0);
        }
    }
}
