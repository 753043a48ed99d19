//! A server holds librdkafka's clients to their quotas: they are slowed, told so, and lose nothing. What is asked of time is
//! only that it took long enough; that a client was never slowed is known from what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ottla_tests::server::Server;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: usize = 400;
/// Bytes a second, and how many of them may come at once: two seconds' worth.
const RATE: usize = 100_000;
const BURST: usize = 2 * RATE;
const RECORD: usize = 1_000;

/// Hears the largest `throttle_time_ms` that a client was told.
#[derive(Clone, Default)]
struct Told(Arc<AtomicI64>);

impl ClientContext for Told {
    fn stats(&self, statistics: Statistics) {
        let throttles = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref());
        self.0.fetch_max(throttles.map(|window| window.max).max().unwrap_or(0), Ordering::Relaxed);
    }
}

impl ConsumerContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
    }
}

/// What became of a run: how long it took, and the largest `throttle_time_ms`.
struct Run {
    took: Duration,
    throttle_ms: i64,
}

fn client(server: &Server, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.brokers[0].to_string()).set("client.id", name);
    config.set("statistics.interval.ms", "20");
    config
}

/// Has that many records acknowledged.
fn produce(server: &Server, name: &str, records: usize) -> Run {
    let told = Told::default();
    let mut config = client(server, name);
    config.set("batch.num.messages", "10");
    let producer: BaseProducer<Told> = config.create_with_context(told.clone()).unwrap();
    let (begin, payload) = (Instant::now(), "x".repeat(RECORD));
    for _ in 0..records {
        let record = BaseRecord::<(), _>::to("orders").partition(0).payload(&payload);
        producer.send(record).map_err(|(why, _)| why).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let took = begin.elapsed();
    heard(|| {
        producer.poll(Duration::from_millis(20));
    });
    Run { took, throttle_ms: told.0.load(Ordering::Relaxed) }
}

/// Reads [`RECORDS`] records, in order.
fn consume(server: &Server, name: &str) -> Run {
    let told = Told::default();
    let mut config = client(server, name);
    config.set("group.id", "none").set("enable.auto.commit", "false").set("fetch.message.max.bytes", "20000");
    let consumer: BaseConsumer<Told> = config.create_with_context(told.clone()).unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("orders", 0, Offset::Beginning).unwrap();
    let begin = Instant::now();
    consumer.assign(&from).unwrap();
    for next in 0..RECORDS as i64 {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a record");
        assert_eq!(message.offset(), next);
    }
    let took = begin.elapsed();
    heard(|| drop(consumer.poll(Duration::from_millis(20))));
    Run { took, throttle_ms: told.0.load(Ordering::Relaxed) }
}

/// Statistics come by the clock: those of what was done last, too.
fn heard(mut poll: impl FnMut()) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(100) {
        poll();
    }
}

/// A number of `/metrics`.
fn metric(server: &Server, name: &str, resource: &str, client: &str) -> Option<f64> {
    let text = server.http("GET", "/metrics", "", "");
    let labels = [format!("resource=\"{resource}\""), format!("client_id=\"{client}\"")];
    let line = text.lines().find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn server(data: &tempfile::TempDir) -> Server {
    let server = Server::start(data.path(), &["--set", "quota.window.num=3"]);
    act(&server, "topic orders");
    server
}

fn act(server: &Server, line: &str) {
    assert!(server.http("POST", "/api/actions", "", line).starts_with("HTTP/1.1 200"), "{line}");
}

#[test]
fn clients_are_slowed_to_their_byte_rates_and_others_are_not() {
    let data = tempfile::tempdir().unwrap();
    let server = server(&data);
    assert!(metric(&server, "kafka_server_quota", "Produce", "slow").is_none(), "nothing is measured without quotas");
    act(&server, &format!("quota client=slow producer_byte_rate={RATE} consumer_byte_rate={RATE}"));

    let least = Duration::from_secs_f64((RECORDS * RECORD - BURST) as f64 / RATE as f64);
    let run = produce(&server, "slow", RECORDS);
    assert!(run.took >= least, "produced in {:?}, at least {least:?}", run.took);
    assert!(run.throttle_ms > 0, "it was told");
    assert!(metric(&server, "kafka_server_quota_throttle_time", "Produce", "slow").unwrap() > 0.0);
    let run = consume(&server, "slow");
    assert!(run.took >= least, "consumed in {:?}, at least {least:?}", run.took);
    assert!(run.throttle_ms > 0, "it was told");
    assert!(metric(&server, "kafka_server_quota_throttle_time", "Fetch", "slow").unwrap() > 0.0);

    assert_eq!(consume(&server, "quick").throttle_ms, 0, "without a quota");
    assert_eq!(metric(&server, "kafka_server_quota_throttle_time", "Fetch", "quick"), Some(0.0));
    act(&server, "quota client=slow producer_byte_rate= consumer_byte_rate=");
    assert_eq!(consume(&server, "slow").throttle_ms, 0, "after the quota was taken back");
}

#[test]
fn clients_are_slowed_to_their_share_of_the_brokers_time() {
    const REQUESTS: usize = 12;
    let data = tempfile::tempdir().unwrap();
    let server = server(&data);
    // A tenth of a microsecond in a second: whatever a request takes is too much.
    act(&server, "quota client=slow request_percentage=0.00001");
    let run = produce(&server, "slow", 10 * REQUESTS);
    assert!(run.throttle_ms > 0, "it was told");
    // Nobody must wait longer than a window for a request, and that is what it is here.
    assert!(run.took >= Duration::from_secs(1), "took {:?}", run.took);
    assert_eq!(produce(&server, "quick", 10 * REQUESTS).throttle_ms, 0, "without a quota");
}
