//! A server holds librdkafka's clients to their quotas: they are slowed, told so, and lose nothing.

use std::time::{Duration, Instant};

use ottla_tests::server::Server;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: usize = 400;
/// Bytes a second, and how many of them may come at once: two seconds' worth.
const RATE: usize = 100_000;
const BURST: usize = 2 * RATE;
const RECORD: usize = 1_000;

fn client(server: &Server, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.brokers[0].to_string()).set("client.id", name);
    config
}

/// How long it takes to have every record acknowledged.
fn produce(server: &Server, name: &str) -> Duration {
    let producer: BaseProducer = client(server, name).set("batch.num.messages", "10").create().unwrap();
    let (begin, payload) = (Instant::now(), "x".repeat(RECORD));
    for _ in 0..RECORDS {
        producer
            .send(BaseRecord::<(), _>::to("orders").partition(0).payload(&payload))
            .map_err(|(why, _)| why)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    begin.elapsed()
}

/// How long it takes to read every record, in order.
fn consume(server: &Server, name: &str) -> Duration {
    let mut config = client(server, name);
    config.set("group.id", "none").set("enable.auto.commit", "false").set("fetch.message.max.bytes", "20000");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("orders", 0, Offset::Beginning).unwrap();
    let begin = Instant::now();
    consumer.assign(&from).unwrap();
    let mut next = 0;
    while next < RECORDS as i64 {
        match consumer.poll(PATIENCE).expect("a record in time") {
            // It asks for a coordinator that it does not need.
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnsupportedVersion)) => {}
            message => {
                assert_eq!(message.expect("a record").offset(), next);
                next += 1;
            }
        }
    }
    begin.elapsed()
}

/// A number of `/metrics`.
fn metric(server: &Server, name: &str, resource: &str, client: &str) -> Option<f64> {
    let text = server.http("GET", "/metrics", "", "");
    let labels = [format!("resource=\"{resource}\""), format!("client_id=\"{client}\"")];
    let line = text.lines().find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn clients_are_slowed_to_their_quotas_and_others_are_not() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "quota.window.num=3"]);
    let act = |line: &str| assert!(server.http("POST", "/api/actions", "", line).starts_with("HTTP/1.1 200"), "{line}");
    act("topic orders");
    assert!(metric(&server, "kafka_server_quota", "Produce", "slow").is_none(), "nothing is measured without quotas");
    act(&format!("quota client=slow producer_byte_rate={RATE} consumer_byte_rate={RATE}"));

    let least = Duration::from_secs_f64((RECORDS * RECORD - BURST) as f64 / RATE as f64);
    let took = produce(&server, "slow");
    assert!((least..least * 4).contains(&took), "produced in {took:?}, at least {least:?}");
    assert!(metric(&server, "kafka_server_quota_throttle_time", "Produce", "slow").unwrap() > 0.0);
    let took = consume(&server, "slow");
    assert!((least..least * 4).contains(&took), "consumed in {took:?}, at least {least:?}");
    assert!(metric(&server, "kafka_server_quota_throttle_time", "Fetch", "slow").unwrap() > 0.0);

    let took = consume(&server, "quick");
    assert!(took < least, "consumed in {took:?} without a quota");
    assert_eq!(metric(&server, "kafka_server_quota_throttle_time", "Fetch", "quick"), Some(0.0));
    act("quota client=slow producer_byte_rate= consumer_byte_rate=");
    let took = consume(&server, "slow");
    assert!(took < least, "consumed in {took:?} after the quota was taken back");
}
