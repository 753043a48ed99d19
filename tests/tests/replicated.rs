//! Three brokers of one server: every replica has the same bytes, and kill -9 in the middle costs nothing that was
//! acknowledged.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla_tests::server::Server;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;
const THREE: &[&str] = &["--brokers", "3"];

fn make_topic(server: &Server) {
    let line = format!("topic orders partitions={PARTITIONS} replication.factor=3 min.insync.replicas=2");
    let made = server.http("POST", "/api/actions", "", &line);
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
}

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    let brokers = server.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    config.set("bootstrap.servers", brokers).set("group.id", "none").set("enable.auto.commit", "false");
    config
}

/// Notes what was acknowledged.
#[derive(Clone, Default)]
struct Acked(Arc<Mutex<Vec<u64>>>);

impl ClientContext for Acked {}

impl ProducerContext for Acked {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        if result.is_ok() {
            self.0.lock().unwrap().push(*number);
        }
    }
}

/// Sends numbers from `from` on until it is told to stop, or has sent as many as `count`; gives the next one.
fn produce(mut config: ClientConfig, acked: &Acked, from: u64, count: u64, stop: &AtomicBool) -> u64 {
    config.set("acks", "all").set("linger.ms", "2");
    let producer: BaseProducer<Acked> = config.create_with_context(acked.clone()).unwrap();
    let mut number = from;
    while number - from < count && !stop.load(Ordering::Relaxed) {
        let value = number.to_string();
        let partition = (number % PARTITIONS as u64) as i32;
        let record: BaseRecord<'_, (), str, Box<u64>> =
            BaseRecord::with_opaque_to("orders", Box::new(number)).partition(partition).payload(&value);
        match producer.send(record) {
            Ok(()) => number += 1,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => panic!("{error}"),
        }
        producer.poll(Duration::ZERO);
    }
    if !stop.load(Ordering::Relaxed) {
        producer.flush(PATIENCE).unwrap();
    }
    number
}

/// Every value of all partitions, up to where they end now.
fn values(server: &Server) -> Vec<u64> {
    let consumer: BaseConsumer = config(server).create().unwrap();
    let mut from = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..PARTITIONS {
        from.add_partition_offset("orders", partition, Offset::Beginning).unwrap();
        left += end(&consumer, partition);
    }
    consumer.assign(&from).unwrap();
    let mut values = Vec::new();
    while values.len() < left as usize {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a record");
        values.push(number(&message.detach()));
    }
    values
}

/// Asked again while a new leader does not know yet what is committed, which librdkafka leaves to its users.
fn end(consumer: &BaseConsumer, partition: i32) -> i64 {
    let begin = Instant::now();
    loop {
        match consumer.fetch_watermarks("orders", partition, PATIENCE) {
            Ok((_, end)) => return end,
            Err(error) if begin.elapsed() > PATIENCE => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn number(message: &OwnedMessage) -> u64 {
    std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap()
}

/// The `.log` files of a partition on a broker, in order, and what is in them.
fn segments(data: &tempfile::TempDir, broker: u32, partition: i32) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = data.path().join(format!("broker-{broker}/orders-{partition}"));
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = files.filter(|path| path.extension().is_some_and(|it| it == "log")).collect::<Vec<_>>();
    logs.sort();
    logs.into_iter().map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap())).collect()
}

#[test]
fn what_is_acknowledged_by_all_is_in_every_replicas_file_byte_for_byte() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), THREE);
    make_topic(&server);
    let acked = Acked::default();
    produce(config(&server), &acked, 0, 20_000, &AtomicBool::new(false));
    assert_eq!(acked.0.lock().unwrap().len(), 20_000);
    for partition in 0..PARTITIONS {
        let leader = segments(&data, 1, partition);
        assert!(leader.iter().any(|(_, bytes)| bytes.len() > 10_000));
        for broker in 2..=3 {
            assert!(segments(&data, broker, partition) == leader, "orders-{partition} on broker-{broker}");
        }
    }
    assert!(server.terminate().success());
}

#[test]
fn brokers_find_each_other_although_what_they_advertise_is_for_others() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--advertised-host", "nowhere.invalid"]);
    make_topic(&server);
    let sent = server.http("POST", "/api/actions", "", "send orders partition=0 value=hello\n");
    assert!(sent.contains(r#""done":"orders-0@0""#), "{sent}");
    let leader = segments(&data, 1, 0);
    assert!(!leader[0].1.is_empty());
    let begin = Instant::now();
    while (2..=3).any(|broker| segments(&data, broker, 0) != leader) {
        assert!(begin.elapsed() < PATIENCE, "a follower has not found its leader");
        std::thread::yield_now();
    }
}

#[test]
fn kill_9_in_the_middle_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), THREE);
    make_topic(&server);
    let acked = Acked::default();
    let mut next = 0;
    for round in 1..=3 {
        let stop = AtomicBool::new(false);
        let mut config = config(&server);
        config.set("message.timeout.ms", "5000");
        next = std::thread::scope(|scope| {
            let producing = scope.spawn(|| produce(config, &acked, next, u64::MAX, &stop));
            // Somewhere in the middle: what is in flight then may be lost, what was acknowledged may not.
            while acked.0.lock().unwrap().len() < round * 5_000 {
                std::thread::yield_now();
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
            producing.join().unwrap()
        });
        server = Server::start(data.path(), THREE);
        let there: std::collections::BTreeSet<u64> = values(&server).into_iter().collect();
        let acked = acked.0.lock().unwrap();
        let lost = acked.iter().filter(|number| !there.contains(number)).count();
        assert_eq!(lost, 0, "of {} in round {round}", acked.len());
    }
    assert!(server.terminate().success());
}
