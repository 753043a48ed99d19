//! What idempotent and transactional producers ask, and what they make of the answers.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdResponse, TxnOffsetCommitResponse,
};

use super::*;
use crate::client::fake::coordinator;
use crate::client::{NextOffset, Offsets};

/// Of the first batch in a Produce: producer id, epoch, sequence, and whether it is transactional.
fn stamp(request: &Request) -> (i64, i16, i32, bool) {
    let header = &request.batches[0].as_ref().unwrap().batch.header;
    (header.producer_id, header.producer_epoch, header.base_sequence, header.is_transactional())
}

fn refuse(fake: &mut Fake<Producer>, conn: ConnId, request: &Request, error: ErrorCode) {
    let partition = PartitionProduceResponse::default()
        .with_index(values(request)[0].0)
        .with_error_code(error.code())
        .with_base_offset(-1)
        .with_log_start_offset(0);
    let topic = TopicProduceResponse::default().with_topic_id(TOPIC_ID).with_name(topic());
    let topic = if request.version < 13 { topic.with_topic_id(uuid::Uuid::nil()) } else { topic };
    let body = ProduceResponse::default().with_responses(vec![topic.with_partition_responses(vec![partition])]);
    fake.answer(conn, request, ResponseKind::Produce(body));
}

fn turn(fake: &mut Fake<Producer>, turn: Turn) {
    fake.step(Event::Command(Command::Transaction(turn).into()));
}

fn thrown(fake: &Fake<Producer>) -> Vec<String> {
    let thrown = |report: &Report| match report {
        Report::Thrown { call, error } => Some(format!("{call}() throws {error}")),
        _ => None,
    };
    fake.reports.iter().filter_map(thrown).collect()
}

fn stages(fake: &Fake<Producer>) -> Vec<TransactionStage> {
    let stage = |report: &Report| match report {
        Report::Transaction(stage) if *stage != TransactionStage::Initialized => Some(*stage),
        _ => None,
    };
    fake.reports.iter().filter_map(stage).collect()
}

/// A producer with a transactional id, which has its producer id.
fn transactional(settings: &str, version: i16) -> Fake<Producer> {
    let mut fake = producer(&format!("linger.ms=0 transactional.id=t1 {settings}"), &[(1, 0), (2, 0)]);
    fake.transaction_version = version;
    fake.pass(1);
    let (to, conn, request) = fake.request();
    assert_eq!((to, request.api_key), (endpoint(3), ApiKey::InitProducerId));
    let body = InitProducerIdResponse::default().with_producer_id(9.into());
    fake.answer(conn, &request, ResponseKind::InitProducerId(body));
    fake
}

/// Answers an EndTxn; `epoch` is the one that it gives, if it gives one.
fn ended(fake: &mut Fake<Producer>, committed: bool, error: i16, epoch: Option<i16>) {
    let (to, conn, request) = fake.request();
    let RequestKind::EndTxn(body) = &request.body else { panic!("{request:?} is no EndTxn") };
    assert_eq!((to, body.committed), (endpoint(3), committed));
    let body = EndTxnResponse::default().with_error_code(error).with_producer_id((-1).into());
    let body = match epoch {
        Some(epoch) => body.with_producer_id(9.into()).with_producer_epoch(epoch),
        None => body,
    };
    fake.answer(conn, &request, ResponseKind::EndTxn(body));
}

#[test]
fn batches_are_numbered_and_a_retry_keeps_its_number_and_its_place() {
    let mut fake = producer("linger.ms=0", &[(1, 0)]);
    fake.pass(1);
    (0..3).for_each(|number| send(&mut fake, None, &number.to_string()));
    let sent = [fake.request(), fake.request(), fake.request()];
    assert_eq!(sent.each_ref().map(|(.., request)| stamp(request).2), [0, 1, 2]);
    refuse(&mut fake, sent[0].1, &sent[0].2, ErrorCode::NotEnoughReplicas);
    // What follows it is refused, too, and all come again one after the other.
    refuse(&mut fake, sent[1].1, &sent[1].2, ErrorCode::OutOfOrderSequenceNumber);
    refuse(&mut fake, sent[2].1, &sent[2].2, ErrorCode::OutOfOrderSequenceNumber);
    for sequence in 0..3 {
        fake.pass(300);
        let (_, conn, request) = fake.request();
        assert_eq!(stamp(&request), (7, 0, sequence, false));
        assert!(fake.requests.is_empty(), "no more than one of them is on its way");
        answer(&mut fake, conn, &request, 0, i64::from(sequence));
    }
    assert_eq!(acked(&fake), [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn a_duplicate_that_the_leader_has_forgotten_is_a_success_without_an_offset() {
    let mut fake = producer("linger.ms=0", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "hello");
    let (_, conn, request) = fake.request();
    refuse(&mut fake, conn, &request, ErrorCode::DuplicateSequenceNumber);
    assert_eq!(acked(&fake), [(0, -1)]);
}

#[test]
fn a_gap_raises_the_epoch_and_the_sequences_begin_anew() {
    let mut fake = producer("linger.ms=0", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "0");
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 0, 0);
    send(&mut fake, None, "1");
    let (_, conn, request) = fake.request();
    assert_eq!(stamp(&request), (7, 0, 1, false));
    // It is the next, and is refused all the same: the leader has lost what was before it.
    refuse(&mut fake, conn, &request, ErrorCode::OutOfOrderSequenceNumber);
    fake.pass(300);
    let (_, conn, request) = fake.request();
    assert_eq!(stamp(&request), (7, 1, 0, false));
    answer(&mut fake, conn, &request, 0, 1);
    assert_eq!(acked(&fake), [(0, 0), (1, 1)]);
    let renumbered = Report::Renumbered { topic: topic(), partition: 0, sequences: vec![1] };
    assert!(fake.reports.contains(&renumbered), "what was acknowledged is not sent again");
}

#[test]
fn no_batch_goes_that_is_five_ahead_of_one_that_is_still_with_the_leader_before() {
    let mut fake = producer("linger.ms=0 metadata.max.age.ms=1000", &[(1, 0), (2, 0)]);
    let send = |fake: &mut Fake<Producer>, partition| {
        let record = SendRecord { topic: "orders".to_owned(), partition: Some(partition), ..SendRecord::default() };
        fake.step(Event::Command(Command::Send(record).into()));
    };
    fake.pass(1);
    // Whoever is asked for metadata is one that nothing is asked of.
    send(&mut fake, 1);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 0, 0);
    send(&mut fake, 0);
    let (to, conn, first) = fake.request();
    assert_eq!(to, endpoint(1));
    fake.leaders = vec![(2, 1), (2, 0)];
    fake.pass(1_500);
    for number in 1..5 {
        send(&mut fake, 0);
        let (to, conn, request) = fake.request();
        assert_eq!((to, stamp(&request).2), (endpoint(2), number));
        answer(&mut fake, conn, &request, 0, i64::from(number));
    }
    // The new leader knows the last five batches: those four, and the one that hangs, which may be with it.
    send(&mut fake, 0);
    fake.pass(1_500);
    assert!(fake.requests.is_empty());
    answer(&mut fake, conn, &first, 0, 0);
    assert_eq!(stamp(&fake.request().2), (7, 0, 5, false));
}

#[test]
fn after_a_batch_that_may_be_written_was_given_up_the_next_goes_in_another_epoch() {
    let mut fake = producer("linger.ms=0 request.timeout.ms=1000 delivery.timeout.ms=3500", &[(1, 0)]);
    fake.pass(1);
    send(&mut fake, None, "lost");
    for _ in 0..20 {
        fake.pass(250);
        fake.requests.clear();
    }
    assert_eq!(failures(&fake).len(), 1);
    send(&mut fake, None, "next");
    fake.pass(500);
    assert_eq!(stamp(&fake.request().2), (7, 1, 0, false));
}

#[test]
fn idempotence_gives_way_to_other_settings_unless_it_was_asked_for() {
    let settings = |text: &str| {
        let set = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Settings::of(&set.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    };
    let on = |text: &str| settings(text).map(|settings| settings.idempotence);
    assert_eq!(on(""), Ok(true));
    assert_eq!(on("acks=1"), Ok(false));
    assert_eq!(on("retries=0"), Ok(false));
    let error = |text: &str| settings(text).map(drop).unwrap_err();
    assert_eq!(
        error("enable.idempotence=true acks=1"),
        "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."
    );
    assert_eq!(
        error("enable.idempotence=true retries=0"),
        "Must set retries to non-zero when using the idempotent producer."
    );
    assert_eq!(
        error("max.in.flight.requests.per.connection=6"),
        "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. Current value \
         is 6."
    );
    assert_eq!(
        error("transactional.id=t enable.idempotence=false"),
        "Cannot set a transactional.id without also enabling idempotence."
    );
}

#[test]
fn a_transaction_ends_when_all_its_batches_are_answered_and_the_next_has_its_own_epoch() {
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    turn(&mut fake, Turn::Commit);
    let (_, conn, request) = fake.request();
    assert_eq!((request.api_key, stamp(&request)), (ApiKey::Produce, (9, 0, 0, true)));
    assert!(fake.requests.is_empty(), "EndTxn waits for the batch");
    answer(&mut fake, conn, &request, 0, 5);
    ended(&mut fake, true, 0, Some(1));
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Committing, TransactionStage::Committed]);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "again");
    assert_eq!(stamp(&fake.request().2), (9, 1, 0, true));
}

#[test]
fn before_kip_890_the_coordinator_is_told_of_partitions_first() {
    let mut fake = transactional("", 1);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    let (to, conn, request) = fake.request();
    assert_eq!((to, request.api_key, request.version), (endpoint(3), ApiKey::AddPartitionsToTxn, 3));
    let RequestKind::AddPartitionsToTxn(body) = &request.body else { panic!("{request:?}") };
    let index = body.v3_and_below_topics[0].partitions[0];
    assert!(fake.requests.is_empty(), "no batch before that");
    let partition = AddPartitionsToTxnPartitionResult::default().with_partition_index(index);
    let result = AddPartitionsToTxnTopicResult::default().with_name(topic()).with_results_by_partition(vec![partition]);
    let body = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![result]);
    fake.answer(conn, &request, ResponseKind::AddPartitionsToTxn(body));
    let (_, conn, request) = fake.request();
    assert_eq!((request.version, stamp(&request)), (11, (9, 0, 0, true)));
    answer(&mut fake, conn, &request, 0, 0);
    turn(&mut fake, Turn::Abort);
    ended(&mut fake, false, 0, None);
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Aborting, TransactionStage::Aborted]);
    // The epoch stays, and sequences go on.
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "again");
    assert_eq!(fake.request().2.api_key, ApiKey::AddPartitionsToTxn);
}

#[test]
fn a_transaction_of_nothing_needs_nobody_to_end_it() {
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    turn(&mut fake, Turn::Commit);
    assert!(fake.requests.is_empty());
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Committing, TransactionStage::Committed]);
}

#[test]
fn a_producer_that_closes_sends_what_it_has_and_aborts_its_open_transaction() {
    let mut fake = transactional("linger.ms=60000", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    assert!(fake.requests.is_empty());
    fake.step(Event::Command(Command::Close.into()));
    let (_, conn, request) = fake.request();
    assert!(fake.requests.is_empty());
    answer(&mut fake, conn, &request, 0, 5);
    assert_eq!(acked(&fake), [(0, 5)]);
    turn(&mut fake, Turn::Commit);
    let closed = "IllegalStateException: Cannot perform operation after producer has been closed";
    assert_eq!(thrown(&fake), [format!("commitTransaction() throws {closed}")]);
    ended(&mut fake, false, 0, Some(1));
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Aborting, TransactionStage::Aborted]);
    assert_eq!(fake.reports.last(), Some(&Report::Closed));

    // One that is being committed is committed.
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    let (_, conn, request) = fake.request();
    turn(&mut fake, Turn::Commit);
    fake.step(Event::Command(Command::Close.into()));
    answer(&mut fake, conn, &request, 0, 5);
    assert!(!fake.reports.contains(&Report::Closed));
    ended(&mut fake, true, 0, Some(1));
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Committing, TransactionStage::Committed]);
    assert_eq!(fake.reports.last(), Some(&Report::Closed));
}

#[test]
fn a_call_that_timed_out_is_to_be_made_again_and_abort_does_not_pass_for_its_commit() {
    let mut fake = transactional("max.block.ms=1000", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 0, 5);
    turn(&mut fake, Turn::Commit);
    fake.pass(1_001);
    let timed_out = "TimeoutException: Timeout expired after 1000ms while awaiting EndTxn(true)";
    assert_eq!(thrown(&fake), [format!("commitTransaction() throws {timed_out}")]);
    ended(&mut fake, true, 0, Some(1));
    // One that waits for a partition that is not there does not keep the producer busy with what nobody has collected.
    let record = SendRecord { topic: "orders".to_owned(), partition: Some(99), ..SendRecord::default() };
    fake.step(Event::Command(Command::Send(record).into()));
    fake.pass(1_001);
    turn(&mut fake, Turn::Abort);
    let told = "IllegalStateException: Cannot attempt operation `abortTransaction` because the previous call to \
                `commitTransaction` timed out and must be retried";
    assert_eq!(thrown(&fake)[1..], [format!("abortTransaction() throws {told}")]);
    turn(&mut fake, Turn::Commit);
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Committing, TransactionStage::Committed]);
}

#[test]
fn calls_in_the_wrong_state_throw_in_kafkas_words() {
    let mut fake = transactional("", 2);
    send(&mut fake, Some("k"), "early");
    turn(&mut fake, Turn::Commit);
    turn(&mut fake, Turn::Begin);
    turn(&mut fake, Turn::Begin);
    let states = "IllegalStateException: TransactionalId t1: Invalid transition attempted from state";
    assert_eq!(
        thrown(&fake),
        [
            format!("commitTransaction() throws {states} READY to state COMMITTING_TRANSACTION"),
            format!("beginTransaction() throws {states} IN_TRANSACTION to state IN_TRANSACTION"),
        ]
    );
    let (_, error) = failures(&fake).remove(0);
    assert!(error.ends_with("to transaction while in state  READY"), "{error}");
    let mut fake = producer("", &[(1, 0)]);
    turn(&mut fake, Turn::Begin);
    assert!(thrown(&fake)[0].ends_with("Transactional method invoked on a non-transactional producer."));
}

#[test]
fn a_record_that_failed_lets_commit_throw_and_abort_is_what_remains() {
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "bad");
    let (_, conn, request) = fake.request();
    refuse(&mut fake, conn, &request, ErrorCode::InvalidRecord);
    turn(&mut fake, Turn::Commit);
    assert_eq!(
        thrown(&fake),
        ["commitTransaction() throws KafkaException: Cannot execute transactional method because we are in an error \
          state, caused by InvalidRecordException: This record has failed the validation on broker and hence will be \
          rejected."]
    );
    turn(&mut fake, Turn::Abort);
    ended(&mut fake, false, 0, Some(1));
    assert_eq!(stages(&fake), [TransactionStage::Begun, TransactionStage::Aborting, TransactionStage::Aborted]);
}

#[test]
fn a_fenced_producer_can_do_nothing_any_more() {
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    send(&mut fake, Some("k"), "hello");
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 0, 5);
    turn(&mut fake, Turn::Commit);
    ended(&mut fake, true, ErrorCode::ProducerFenced.code(), None);
    turn(&mut fake, Turn::Abort);
    assert_eq!(
        thrown(&fake),
        [
            "commitTransaction() throws ProducerFencedException: There is a newer producer with the same \
             transactionalId which fences the current one.",
            "abortTransaction() throws ProducerFencedException: Producer with transactionalId 't1' and \
             ProducerIdAndEpoch(producerId=9, epoch=0) has been fenced by another producer with the same \
             transactionalId",
        ]
    );
}

#[test]
fn an_application_makes_transactions_of_so_many_records_and_aborts_some() {
    let mut fake = transactional("rate=100/s transaction.every=3 transaction.aborts=50 keys=1", 2);
    let mut epoch = 0;
    for _ in 0..400 {
        fake.pass(10);
        while let Some((_, conn, request)) = fake.requests.front().cloned() {
            if let RequestKind::EndTxn(body) = &request.body {
                epoch += 1;
                ended(&mut fake, body.committed, 0, Some(epoch));
            } else {
                fake.requests.pop_front();
                answer(&mut fake, conn, &request, 0, 0);
            }
        }
    }
    let view = fake.node.view();
    let identity = view.identity.unwrap();
    assert!(identity.committed > 30 && identity.aborted > 30, "{identity:?}");
    let begun = stages(&fake).iter().filter(|stage| **stage == TransactionStage::Begun).count();
    assert_eq!(view.sent.div_ceil(3), begun as u64);
}

#[test]
fn offsets_become_part_of_a_transaction() {
    let mut fake = transactional("", 2);
    turn(&mut fake, Turn::Begin);
    let (group, member) = ("shop".to_owned(), String::new());
    let offsets = vec![NextOffset { topic: "orders".to_owned(), partition: 0, offset: 42, leader_epoch: 3 }];
    fake.step(Event::Command(Command::SendOffsets(Offsets { group, member, generation: -1, offsets }).into()));
    let (_, conn, request) = fake.request();
    let RequestKind::FindCoordinator(asked) = &request.body else { panic!("{request:?}") };
    fake.answer(conn, &request, coordinator(asked));
    let (_, conn, request) = fake.request();
    assert_eq!((request.api_key, request.version), (ApiKey::TxnOffsetCommit, 5));
    let RequestKind::TxnOffsetCommit(asked) = &request.body else { panic!("{request:?}") };
    let partition = &asked.topics[0].partitions[0];
    assert_eq!((partition.committed_offset, partition.committed_leader_epoch), (42, 3));
    fake.answer(conn, &request, ResponseKind::TxnOffsetCommit(TxnOffsetCommitResponse::default()));
    turn(&mut fake, Turn::Commit);
    ended(&mut fake, true, 0, Some(1));
    assert_eq!(thrown(&fake), Vec::<String>::new());
}
