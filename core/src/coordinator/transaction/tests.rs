//! A coordinator whose log takes every record at once, or is told not to.

use std::sync::Arc;

use kafka_protocol::messages::ResponseKind;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::end::{Complete, End, TimedOut};
use super::init::Init;
use super::partitions::{Add, Form};
use super::record::{Record, Stage, Transaction};
use super::{Ask, Marks, Next, Order, Timer, Transactions};
use crate::broker::handle::Asked;
use crate::config::BrokerSettings;
use crate::coordinator::{Around, At, Decision, Event, Machine, Producer, Waiter};
use crate::error::ErrorCode;
use crate::id::{ConnId, Ticket, TopicPartition};
use crate::protocol::cluster::ClusterState;
use crate::time::{Instant, Now, Timestamp};

const LAST: i16 = i16::MAX - 1;
const OK: i16 = crate::error::NONE;

struct Coordinator {
    machine: Transactions,
    settings: BrokerSettings,
    now: i64,
    next_producer_id: i64,
    /// What its log says of the next records.
    log: Result<(), ErrorCode>,
    answers: Vec<ResponseKind>,
    marks: Vec<Marks>,
    timers: Vec<Timer>,
    /// What it would be told when the log has made up its mind.
    waits: Vec<Next>,
}

impl Coordinator {
    /// Of a cluster at that level of `transaction.version`.
    fn new(level: i8) -> Coordinator {
        let mut settings = BrokerSettings::default();
        settings.transactions.version = level;
        Coordinator {
            machine: Transactions::default(),
            settings,
            now: 1_000,
            next_producer_id: 100,
            log: Ok(()),
            answers: Vec::new(),
            marks: Vec::new(),
            timers: Vec::new(),
            waits: Vec::new(),
        }
    }

    /// One whose log says that of `t`.
    fn found(level: i8, transaction: Transaction) -> Coordinator {
        let mut coordinator = Coordinator::new(level);
        let record = Record { id: "t".into(), value: Some(Arc::new(transaction)), version: 1 };
        coordinator.machine.replay(&record, At { offset: 0, producer: None });
        coordinator
    }

    fn decide(&mut self, event: Event<Transactions>) {
        let (cluster, names) = (ClusterState::default(), Default::default());
        let now = Now { instant: Instant::ZERO, wall: Timestamp(self.now) };
        let around = Around { now, cluster: &cluster, topic_names: &names, settings: &self.settings };
        let Decision { moves, timers, records, replies, response, next, orders, .. } =
            self.machine.decide(&around, event);
        moves.into_iter().for_each(|change| self.machine.apply(change));
        self.timers.extend(timers.into_iter().map(|(timer, _)| timer));
        for record in records {
            self.machine.replay(&record, At { offset: 0, producer: None });
        }
        self.answers.extend(replies.into_iter().chain(response.filter(|_| self.log.is_ok())).map(|reply| reply.body));
        for order in orders {
            match order {
                Order::ProducerId(ask) => {
                    self.next_producer_id += 1;
                    self.decide(Event::Asked(ask.with_producer_id(self.next_producer_id - 1)));
                }
                Order::Ask(ask) => self.decide(Event::Asked(ask)),
                Order::Mark(marks) => self.marks.push(marks),
            }
        }
        match (next, self.log) {
            (Some(next), Ok(())) => self.decide(Event::Written { next, result: Ok(()) }),
            (Some(next), Err(_)) => self.waits.push(next),
            (None, _) => {}
        }
    }

    fn ask(&mut self, ask: Ask) -> Option<ResponseKind> {
        self.decide(Event::Asked(ask));
        self.answers.pop()
    }

    /// InitProducerId, version 5: the error, and the producer.
    fn init(&mut self, expected: Option<Producer>) -> (i16, Producer) {
        let init = Init { waiter: waiter(5), id: "t".into(), timeout_ms: 60_000, expected, fresh: None };
        let Some(ResponseKind::InitProducerId(body)) = self.ask(Ask::Init(init)) else { panic!("no answer") };
        (body.error_code, Producer { id: body.producer_id.0, epoch: body.producer_epoch })
    }

    /// The partition is added, or asked about.
    fn add(&mut self, producer: Producer, index: i32, client_version: i8, verify_only: bool) -> i16 {
        let add = Add {
            waiter: waiter(if client_version == 0 { 3 } else { 5 }),
            id: "t".into(),
            producer,
            partitions: [partition(index)].into(),
            client_version,
            verify_only,
            form: Form::Partitions,
        };
        let Some(ResponseKind::AddPartitionsToTxn(body)) = self.ask(Ask::Add(add)) else { panic!("no answer") };
        body.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    /// EndTxn: the error, and the producer that goes on.
    fn end(&mut self, producer: Producer, commit: bool, client_version: i8) -> (i16, Producer) {
        let version = if client_version == 0 { 4 } else { 5 };
        let end = End { waiter: waiter(version), id: "t".into(), producer, commit, client_version, fresh: None };
        let Some(ResponseKind::EndTxn(body)) = self.ask(Ask::End(end)) else { panic!("no answer") };
        (body.error_code, Producer { id: body.producer_id.0, epoch: body.producer_epoch })
    }

    /// The markers of the last transaction are written.
    fn complete(&mut self) {
        let Marks { id, producer, .. } = self.marks.pop().expect("markers are to be written");
        self.decide(Event::Asked(Ask::Complete(Complete { id, producer })));
    }

    /// A transaction, from its first partition to its last marker.
    fn transact(&mut self, producer: Producer, commit: bool, client_version: i8) -> Producer {
        assert_eq!(self.add(producer, 0, client_version, false), OK);
        let (error, next) = self.end(producer, commit, client_version);
        assert_eq!(error, OK);
        self.complete();
        next
    }

    fn transaction(&self) -> Transaction {
        Transaction::clone(self.machine.state().ids.get("t").expect("the id is known"))
    }

    fn stage(&self) -> Stage {
        self.transaction().stage
    }
}

fn waiter(version: i16) -> Waiter {
    let now = Now { instant: Instant::ZERO, wall: Timestamp(0) };
    let ticket = Ticket { conn: ConnId(0), seq: 0 };
    Asked { now, ticket, version, client_id: None, host: None }.into()
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new(TopicName(StrBytes::from_static_str("orders")), index)
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn code(error: ErrorCode) -> i16 {
    error.code()
}

#[test]
fn whoever_comes_gets_the_next_epoch_and_fences_the_one_before() {
    let mut coordinator = Coordinator::new(1);
    assert_eq!(coordinator.init(None), (OK, producer(100, 0)));
    assert_eq!(coordinator.init(None), (OK, producer(100, 1)));
    assert_eq!(coordinator.add(producer(100, 0), 0, 0, false), code(ErrorCode::ProducerFenced));
    assert_eq!(coordinator.add(producer(99, 1), 0, 0, false), code(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(coordinator.end(producer(100, 0), true, 0).0, code(ErrorCode::ProducerFenced));
    assert_eq!(coordinator.add(producer(100, 1), 0, 0, false), OK);
}

/// KIP-360.
#[test]
fn a_producer_that_goes_on_after_an_error_is_fenced_only_by_another() {
    let mut coordinator = Coordinator::new(1);
    coordinator.init(None);
    let [zero, one, two] = [0, 1, 2].map(|epoch| producer(100, epoch));
    assert_eq!(coordinator.init(Some(zero)), (OK, one));
    assert_eq!(coordinator.init(Some(zero)), (OK, one), "its answer was lost");
    assert_eq!(coordinator.init(Some(one)), (OK, two));
    assert_eq!(coordinator.init(Some(zero)).0, code(ErrorCode::ProducerFenced));
    assert_eq!(coordinator.init(None), (OK, producer(100, 3)), "another producer");
    assert_eq!(coordinator.init(Some(two)).0, code(ErrorCode::ProducerFenced));
    assert_eq!(coordinator.init(Some(producer(7, 3))).0, code(ErrorCode::ProducerFenced));
}

#[test]
fn an_open_transaction_is_aborted_before_anybody_else_gets_the_id() {
    for (level, next) in [(1, producer(100, 2)), (2, producer(100, 2))] {
        let mut coordinator = Coordinator::new(level);
        let (_, first) = coordinator.init(None);
        assert_eq!(coordinator.add(first, 0, 0, false), OK);
        assert_eq!(coordinator.init(None), (code(ErrorCode::ConcurrentTransactions), producer(-1, -1)));
        let marks = coordinator.marks.last().unwrap();
        assert_eq!((marks.commit, marks.producer), (false, producer(100, 1)), "under an epoch that nobody has");
        assert_eq!(marks.version, if level == 2 { 2 } else { 0 });
        assert_eq!(coordinator.init(None).0, code(ErrorCode::ConcurrentTransactions), "it has not ended");
        coordinator.complete();
        assert_eq!(coordinator.init(None), (OK, next));
    }
}

#[test]
fn below_level_2_an_epoch_lasts_and_from_there_on_every_transaction_has_its_own() {
    let mut coordinator = Coordinator::new(1);
    let (_, first) = coordinator.init(None);
    assert_eq!(coordinator.transact(first, true, 0), producer(-1, -1), "nobody asked");
    assert_eq!((coordinator.stage(), coordinator.transaction().producer_epoch), (Stage::CompleteCommit, 0));
    coordinator.transact(first, false, 0);
    assert_eq!((coordinator.stage(), coordinator.transaction().producer_epoch), (Stage::CompleteAbort, 0));

    let mut coordinator = Coordinator::new(2);
    let (_, mut epoch) = coordinator.init(None);
    for (raised, commit) in [(1, true), (2, false), (3, true)] {
        epoch = coordinator.transact(epoch, commit, 2);
        assert_eq!(epoch, producer(100, raised));
    }
}

/// The table in `end.rs`, by who asks: the producer of the last transaction again, and then with its new epoch.
#[test]
fn whoever_asks_again_is_told_the_same_and_nobody_ends_what_is_not_open() {
    let [fenced, invalid] = [ErrorCode::ProducerFenced, ErrorCode::InvalidTxnState].map(|error| (code(error), -1));
    let again = |epoch| (OK, epoch);
    // Abort again, commit again, commit, abort.
    let rows = [
        (None, [fenced, fenced, invalid, (OK, 2)]),
        (Some(false), [again(2), invalid, invalid, (OK, 3)]),
        (Some(true), [invalid, again(2), invalid, (OK, 3)]),
    ];
    for (ended, expected) in rows {
        let mut coordinator = Coordinator::new(2);
        coordinator.init(None);
        let (_, mut before) = coordinator.init(None);
        let now = match ended {
            Some(commit) => coordinator.transact(before, commit, 2),
            None => std::mem::replace(&mut before, producer(100, 0)),
        };
        let asked = [(before, false), (before, true), (now, true), (now, false)];
        for ((who, commit), expected) in asked.into_iter().zip(expected) {
            let (error, next) = coordinator.end(who, commit, 2);
            assert_eq!((error, next.epoch), expected, "{ended:?} {who:?} {commit}");
        }
    }

    let mut coordinator = Coordinator::new(1);
    let (_, own) = coordinator.init(None);
    assert_eq!(coordinator.end(own, false, 0).0, code(ErrorCode::InvalidTxnState), "nothing is open");
    coordinator.transact(own, true, 0);
    assert_eq!(coordinator.end(own, true, 0).0, OK);
    assert_eq!(coordinator.end(own, false, 0).0, code(ErrorCode::InvalidTxnState));
}

#[test]
fn whoever_asks_while_a_transaction_ends_comes_again() {
    let mut coordinator = Coordinator::new(2);
    let (_, own) = coordinator.init(None);
    coordinator.add(own, 0, 2, false);
    let (_, next) = coordinator.end(own, true, 2);
    let concurrent = code(ErrorCode::ConcurrentTransactions);
    assert_eq!(coordinator.stage(), Stage::PrepareCommit);
    assert_eq!(coordinator.end(own, true, 2).0, concurrent);
    assert_eq!(coordinator.add(next, 1, 2, false), concurrent);
    assert_eq!(coordinator.add(next, 1, 2, true), concurrent);
    assert_eq!(coordinator.init(None).0, concurrent);
    coordinator.complete();
    assert_eq!(coordinator.add(next, 1, 2, false), OK);
}

#[test]
fn what_is_only_verified_is_not_added() {
    let mut coordinator = Coordinator::new(1);
    let (_, own) = coordinator.init(None);
    coordinator.add(own, 0, 0, false);
    assert_eq!(coordinator.add(own, 0, 0, true), OK);
    assert_eq!(coordinator.add(own, 1, 0, true), code(ErrorCode::TransactionAbortable));
    assert_eq!(coordinator.transaction().partitions, [partition(0)].into());
}

#[test]
fn epochs_that_are_used_up_bring_another_producer_id() {
    let used_up =
        Transaction { producer_id: 7, previous_producer_id: 7, producer_epoch: LAST, ..Transaction::default() };
    let mut coordinator = Coordinator::found(1, used_up.clone());
    assert_eq!(coordinator.init(None), (OK, producer(100, 0)));

    let mut coordinator = Coordinator::found(1, used_up.clone());
    assert_eq!(coordinator.init(Some(producer(7, LAST))), (OK, producer(100, 0)));
    assert_eq!(coordinator.init(Some(producer(7, LAST))), (OK, producer(100, 0)), "its answer was lost");

    // The transaction ends under the last epoch of all, which no producer has.
    let mut coordinator = Coordinator::found(2, used_up);
    coordinator.add(producer(7, LAST), 0, 2, false);
    assert_eq!(coordinator.end(producer(7, LAST), true, 2), (OK, producer(100, 0)));
    assert_eq!(coordinator.marks[0].producer, producer(7, i16::MAX));
    assert_eq!(coordinator.add(producer(100, 0), 1, 2, false), code(ErrorCode::ConcurrentTransactions));
    coordinator.complete();
    assert_eq!(coordinator.end(producer(7, LAST), true, 2), (OK, producer(100, 0)), "its answer was lost");
    assert_eq!(coordinator.add(producer(100, 0), 1, 2, false), OK);
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_fenced() {
    for level in [1, 2] {
        let mut coordinator = Coordinator::new(level);
        let (_, own) = coordinator.init(None);
        coordinator.add(own, 0, 0, false);
        coordinator.now += 60_000;
        coordinator.decide(Event::Timer(Timer::TimeOuts));
        assert_eq!(coordinator.stage(), Stage::Ongoing);
        coordinator.now += 1;
        coordinator.decide(Event::Timer(Timer::TimeOuts));
        assert_eq!((coordinator.stage(), coordinator.transaction().producer_epoch), (Stage::PrepareAbort, 1));
        coordinator.complete();
        assert_eq!(coordinator.end(own, true, 0).0, code(ErrorCode::ProducerFenced));
        assert!(coordinator.timers.iter().all(|timer| *timer == Timer::TimeOuts) && coordinator.timers.len() == 2);
    }
    // What was late is told from what came after it.
    let mut coordinator = Coordinator::new(2);
    let (_, own) = coordinator.init(None);
    let next = coordinator.transact(own, true, 2);
    coordinator.add(next, 0, 2, false);
    coordinator.decide(Event::Asked(Ask::TimedOut(TimedOut { id: "t".into(), producer: own, fresh: None })));
    assert_eq!(coordinator.stage(), Stage::Ongoing);
}

#[test]
fn an_id_that_is_not_used_for_long_is_forgotten_unless_its_transaction_is_open() {
    let mut coordinator = Coordinator::new(2);
    let (_, own) = coordinator.init(None);
    coordinator.add(own, 0, 2, false);
    coordinator.now += coordinator.settings.transactions.id_expiration_ms;
    coordinator.decide(Event::Timer(Timer::Expiration));
    assert_eq!(coordinator.stage(), Stage::Ongoing);
    coordinator.end(own, true, 2);
    coordinator.complete();
    coordinator.now += coordinator.settings.transactions.id_expiration_ms - 1;
    coordinator.decide(Event::Timer(Timer::Expiration));
    assert_eq!(coordinator.stage(), Stage::CompleteCommit);
    coordinator.now += 1;
    coordinator.decide(Event::Timer(Timer::Expiration));
    assert!(coordinator.machine.state().ids.is_empty());
    assert_eq!(coordinator.init(None), (OK, producer(101, 0)), "with a producer id of its own");
}

#[test]
fn a_coordinator_finishes_what_it_finds_when_its_log_is_committed() {
    let open = Transaction { producer_id: 7, producer_epoch: 3, ..Transaction::default() };
    let ends =
        Transaction { stage: Stage::PrepareCommit, partitions: [partition(4)].into(), client_version: 2, ..open };
    let mut coordinator = Coordinator::found(2, ends);
    coordinator.log = Err(ErrorCode::CoordinatorNotAvailable);
    coordinator.decide(Event::Loaded);
    assert!(coordinator.marks.is_empty());
    coordinator.log = Ok(());
    let next = coordinator.waits.pop().unwrap();
    coordinator.decide(Event::Written { next, result: Ok(()) });
    let marks = &coordinator.marks[0];
    assert_eq!((marks.commit, marks.producer, &marks.partitions), (true, producer(7, 3), &[partition(4)].into()));
    coordinator.complete();
    assert_eq!(coordinator.stage(), Stage::CompleteCommit);
}

#[test]
fn no_marker_is_written_before_it_is_committed_how_the_transaction_ends() {
    let mut coordinator = Coordinator::new(2);
    let (_, own) = coordinator.init(None);
    coordinator.add(own, 0, 2, false);
    coordinator.log = Err(ErrorCode::CoordinatorNotAvailable);
    let end = End { waiter: waiter(5), id: "t".into(), producer: own, commit: true, client_version: 2, fresh: None };
    assert!(coordinator.ask(Ask::End(end)).is_none());
    // It was waited for in vain; but it is in the log.
    let next = coordinator.waits.pop().unwrap();
    coordinator.decide(Event::Written { next, result: Err(ErrorCode::CoordinatorNotAvailable) });
    assert!(coordinator.marks.is_empty());
    assert_eq!(coordinator.end(own, true, 2).0, code(ErrorCode::ConcurrentTransactions));
    coordinator.log = Ok(());
    let next = coordinator.waits.pop().unwrap();
    coordinator.decide(Event::Written { next, result: Ok(()) });
    coordinator.complete();
    assert_eq!(coordinator.end(own, true, 2), (OK, producer(100, 1)), "asked again");
}
