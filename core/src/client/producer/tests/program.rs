//! A program's threads in front of a producer.

use super::*;
use crate::client::{Call, Turn};

fn program(settings: &str) -> Fake<Producer> {
    let set = settings.split_whitespace().filter_map(|pair| pair.split_once('='));
    let set = set.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let node = Producer::new("p1", &[], &set, vec![endpoint(1)], Seed(1)).unwrap();
    Fake::new(node.for_program(), &[(1, 0)])
}

fn call(fake: &mut Fake<Producer>, id: u64, call: Call) {
    fake.step(Event::Call { id, call: call.into() });
}

fn record(topic: &str, size: usize) -> Call {
    let value = Some(vec![b'v'; size]);
    Call::Send { record: SendRecord { topic: topic.to_string(), value, ..SendRecord::default() }, blocked: None }
}

fn returned(fake: &Fake<Producer>) -> Vec<(u64, Result<(), String>)> {
    let returned = |report: &Report| match report {
        Report::Returned { call, result } => Some((*call, result.clone().map_err(|error| error.class))),
        _ => None,
    };
    fake.reports.iter().filter_map(returned).collect()
}

#[test]
fn a_thread_that_blocks_keeps_no_other_waiting_and_gives_up_in_its_own_time() {
    let mut fake = program("max.block.ms=3000 linger.ms=0");
    fake.pass(1);
    call(&mut fake, 0, record("payments", 1));
    fake.pass(1_000);
    call(&mut fake, 1, record("payments", 1));
    call(&mut fake, 2, record("orders", 1));
    assert_eq!(values(&fake.request().2), [(0, vec!["v".to_string()])]);
    assert!(failures(&fake).is_empty());
    fake.pass(2_000);
    assert_eq!(failures(&fake).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [0]);
    fake.pass(1_000);
    assert_eq!(failures(&fake).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn what_has_blocked_before_it_came_to_the_node_blocks_no_longer_for_that() {
    let mut fake = program("max.block.ms=3000 acks=0");
    fake.pass(2_000);
    call(&mut fake, 0, record("payments", 1));
    let Call::Send { record, .. } = record("payments", 1) else { unreachable!() };
    call(&mut fake, 1, Call::Send { record, blocked: Some(Instant::ZERO) });
    fake.pass(1_000);
    assert_eq!(failures(&fake).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1]);
    fake.pass(2_000);
    assert_eq!(failures(&fake).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn threads_that_wait_for_memory_make_what_lingers_go_and_take_what_it_frees() {
    let mut fake = program("linger.ms=60000 batch.size=1000 buffer.memory=1500");
    fake.pass(1);
    (0..3).for_each(|id| call(&mut fake, id, record("orders", [100, 1_000, 100][id as usize])));
    for sent in 0..2 {
        let (_, conn, request) = fake.request();
        assert_eq!(values(&request)[0].1.len(), 1);
        assert!(fake.requests.is_empty());
        answer(&mut fake, conn, &request, 0, sent);
    }
    assert_eq!(acked(&fake), [(0, 0), (1, 1)]);
    // Nobody waits any more.
    assert!(fake.requests.is_empty() && fake.node.view().buffered > 0);
}

#[test]
fn what_was_sent_before_a_flush_does_not_linger_and_what_comes_later_does() {
    let mut fake = program("linger.ms=60000");
    fake.pass(1);
    call(&mut fake, 0, record("orders", 1));
    assert!(fake.requests.is_empty());
    call(&mut fake, 9, Call::Flush);
    let (_, conn, request) = fake.request();
    answer(&mut fake, conn, &request, 0, 5);
    assert_eq!(acked(&fake), [(0, 5)]);
    call(&mut fake, 1, record("orders", 1));
    fake.pass(100);
    assert!(fake.requests.is_empty());
}

#[test]
fn a_transactional_id_is_asked_for_when_the_program_says_so_and_calls_return_by_number() {
    let mut fake = program("transactional.id=t1");
    fake.pass(1_000);
    assert!(fake.requests.is_empty());
    call(&mut fake, 1, Call::Transaction(Turn::Begin));
    assert_eq!(returned(&fake), [(1, Err("IllegalStateException".to_string()))]);
    call(&mut fake, 2, Call::InitTransactions);
    assert_eq!(fake.request().2.api_key, ApiKey::InitProducerId);
    fake.pass(61_000);
    assert_eq!(returned(&fake)[1..], [(2, Err("TimeoutException".to_string()))]);
}
