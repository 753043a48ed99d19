//! librdkafka, the client that most languages wrap, against the server.

use std::time::Duration;

use ottla_tests::server::Server;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.bootstrap()).set("group.id", "none").set("enable.auto.commit", "false");
    config
}

fn value(number: usize) -> String {
    format!("{number:06} {}", "the same words again and again ".repeat(number % 40))
}

fn produce(server: &Server, topic: &str, codec: &str, numbers: std::ops::Range<usize>) {
    let mut config = config(server);
    config.set("compression.type", codec).set("acks", "all").set("linger.ms", "5");
    let producer: BaseProducer = config.create().unwrap();
    for number in numbers {
        let (key, value) = (number.to_string(), value(number));
        let headers = OwnedHeaders::new()
            .insert(Header { key: "twice", value: Some("a") })
            .insert(Header { key: "twice", value: Some("b") });
        let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    consumer.poll(PATIENCE).expect("a record in time").expect("a record")
}

fn consume(server: &Server, topic: &str, count: usize) {
    let consumer: BaseConsumer = config(server).create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    for number in 0..count {
        let message = next(&consumer);
        assert_eq!(message.offset(), number as i64);
        assert_eq!(message.key(), Some(number.to_string().as_bytes()));
        assert_eq!(message.payload(), Some(value(number).as_bytes()), "{topic} {number}");
        let headers = message.headers().unwrap();
        let headers = headers.iter().map(|header| (header.key, header.value.unwrap())).collect::<Vec<_>>();
        assert_eq!(headers, [("twice", &b"a"[..]), ("twice", b"b")]);
    }
    let (low, high) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    assert_eq!((low, high), (0, count as i64));
}

#[test]
fn what_was_acknowledged_is_there_after_kill_and_restart_in_every_codec() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    for codec in CODECS {
        produce(&server, codec, codec, 0..2_000);
        consume(&server, codec, 2_000);
    }
    server.kill();
    let server = Server::start(data.path(), &[]);
    for codec in CODECS {
        consume(&server, codec, 2_000);
        produce(&server, codec, codec, 2_000..2_500);
    }
    assert!(server.terminate().success());
    let server = Server::start(data.path(), &[]);
    for codec in CODECS {
        consume(&server, codec, 2_500);
    }
}

#[test]
fn three_brokers_share_a_topic_and_a_client_finds_them_all() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    let admin: AdminClient<DefaultClientContext> = config(&server).create().unwrap();
    let topic = NewTopic::new("orders", 6, TopicReplication::Fixed(1)).set("segment.bytes", "1048576");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert_eq!(made, [Ok("orders".to_owned())]);
    let producer: BaseProducer = config(&server).create().unwrap();
    for number in 0..600 {
        let (key, value) = (number.to_string(), value(number));
        producer.send(BaseRecord::to("orders").key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let metadata = producer.client().fetch_metadata(Some("orders"), PATIENCE).unwrap();
    assert_eq!(metadata.brokers().len(), 3);
    let mut leaders = metadata.topics()[0].partitions().iter().map(|partition| partition.leader()).collect::<Vec<_>>();
    leaders.sort_unstable();
    assert_eq!(leaders, [1, 1, 2, 2, 3, 3]);
    let consumer: BaseConsumer = config(&server).create().unwrap();
    let mut from = TopicPartitionList::new();
    for partition in 0..6 {
        from.add_partition_offset("orders", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut keys =
        (0..600).map(|_| String::from_utf8(next(&consumer).key().unwrap().to_vec()).unwrap()).collect::<Vec<_>>();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 600);
}
