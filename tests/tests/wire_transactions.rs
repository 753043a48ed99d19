//! Transactions of librdkafka, which speaks the protocol of before KIP-890, against the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ottla_tests::server::Server;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing has to come before there is nothing.
const QUIET: Duration = Duration::from_secs(2);

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    let bootstrap: Vec<String> = server.brokers.iter().map(|address| address.to_string()).collect();
    config.set("bootstrap.servers", bootstrap.join(",")).set("enable.auto.commit", "false");
    config
}

fn create(server: &Server, topic: &str, partitions: i32) {
    let replicas = server.brokers.len().min(3) as i32;
    let admin: AdminClient<DefaultClientContext> = config(server).create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

fn producer(server: &Server, id: &str) -> BaseProducer {
    let producer: BaseProducer = config(server).set("transactional.id", id).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::<(), str>::to(topic).partition(0).payload(value)).map_err(|(error, _)| error).unwrap();
}

/// The values that a consumer of that isolation level finds in partition 0.
fn read(server: &Server, topic: &str, isolation: &str) -> Vec<String> {
    let mut config = config(server);
    config.set("group.id", "none").set("isolation.level", isolation);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let (mut values, mut last) = (Vec::new(), Instant::now());
    while last.elapsed() < QUIET {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8(message.unwrap().payload().unwrap().to_vec()).unwrap());
            last = Instant::now();
        }
    }
    values
}

#[test]
fn what_commits_is_read_and_a_second_producer_fences_the_first() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    create(&server, "orders", 1);
    let first = producer(&server, "one");
    first.begin_transaction().unwrap();
    send(&first, "orders", "committed");
    first.commit_transaction(PATIENCE).unwrap();
    first.begin_transaction().unwrap();
    send(&first, "orders", "aborted");
    first.flush(PATIENCE).unwrap();
    first.abort_transaction(PATIENCE).unwrap();
    first.begin_transaction().unwrap();
    send(&first, "orders", "open");
    first.flush(PATIENCE).unwrap();
    assert_eq!(read(&server, "orders", "read_committed"), ["committed"]);
    assert_eq!(read(&server, "orders", "read_uncommitted"), ["committed", "aborted", "open"]);

    let second = producer(&server, "one");
    second.begin_transaction().unwrap();
    send(&second, "orders", "of the second");
    second.commit_transaction(PATIENCE).unwrap();
    let Err(KafkaError::Transaction(error)) = first.commit_transaction(PATIENCE) else { panic!("it is not fenced") };
    assert!(error.is_fatal() && error.code() == RDKafkaErrorCode::Fenced, "{error:?}");
    assert_eq!(read(&server, "orders", "read_committed"), ["committed", "of the second"]);
}

#[test]
fn a_killed_server_knows_when_it_comes_back_what_had_committed_and_what_was_open() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    create(&server, "orders", 1);
    let one = producer(&server, "one");
    let other = producer(&server, "other");
    for number in 0..50 {
        one.begin_transaction().unwrap();
        send(&one, "orders", &format!("{number:02}"));
        one.commit_transaction(PATIENCE).unwrap();
    }
    other.begin_transaction().unwrap();
    send(&other, "orders", "open");
    other.flush(PATIENCE).unwrap();
    server.kill();

    let server = Server::start(data.path(), &[]);
    let committed: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    assert_eq!(read(&server, "orders", "read_committed"), committed);
    // Whoever gets the id ends what was open.
    let other = producer(&server, "other");
    other.begin_transaction().unwrap();
    send(&other, "orders", "again");
    other.commit_transaction(PATIENCE).unwrap();
    assert_eq!(read(&server, "orders", "read_committed"), [committed, vec!["again".to_owned()]].concat());
}

/// Reads `from`, writes to `to`, and commits both at once, while brokers die; what fails is done again.
#[test]
fn every_record_is_transformed_exactly_once_through_brokers_that_die() {
    const RECORDS: usize = 300;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--set", "zookeeper.session.timeout.ms=2000"]);
    create(&server, "from", 1);
    create(&server, "to", 1);
    let source: BaseProducer = config(&server).set("enable.idempotence", "true").create().unwrap();
    for number in 0..RECORDS {
        send(&source, "from", &format!("{number:04}"));
    }
    source.flush(PATIENCE).unwrap();

    let transform = producer(&server, "transform");
    let mut config_of_group = config(&server);
    config_of_group.set("group.id", "transformers").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config_of_group.set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["from"]).unwrap();
    let (mut next, mut rounds) = (0, 0);
    let begin = Instant::now();
    while next < RECORDS as i64 {
        assert!(begin.elapsed() < 3 * PATIENCE, "{next} after {rounds} rounds");
        let Some(message) = consumer.poll(Duration::from_millis(500)) else { continue };
        // A broker is gone, and the client looks for it.
        if let Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure)) = message {
            continue;
        }
        let mut batch = vec![message.expect("a record").detach()];
        while batch.len() < 20
            && let Some(Ok(message)) = consumer.poll(Duration::from_millis(50))
        {
            batch.push(message.detach());
        }
        rounds += 1;
        match rounds {
            3 => drop(server.act("kill broker-2")),
            6 => drop(server.act("start broker-2")),
            9 => drop(server.act("kill broker-3")),
            12 => drop(server.act("start broker-3")),
            _ => {}
        }
        transform.begin_transaction().unwrap();
        for message in &batch {
            send(&transform, "to", std::str::from_utf8(message.payload().unwrap()).unwrap());
        }
        let mut offsets = TopicPartitionList::new();
        let end = batch.last().unwrap().offset() + 1;
        offsets.add_partition_offset("from", 0, Offset::Offset(end)).unwrap();
        let group = consumer.group_metadata().unwrap();
        let done = transform
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            // Every other round changes its mind.
            .and_then(|()| match rounds % 2 {
                0 => transform.flush(PATIENCE).and_then(|()| transform.abort_transaction(PATIENCE)),
                _ => transform.commit_transaction(PATIENCE),
            });
        match done {
            Ok(()) if rounds % 2 == 1 => next = end,
            Ok(()) => consumer.seek("from", 0, Offset::Offset(next), PATIENCE).unwrap(),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                transform.abort_transaction(PATIENCE).unwrap();
                consumer.seek("from", 0, Offset::Offset(next), PATIENCE).unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let values = read(&server, "to", "read_committed");
    assert_eq!(values.len(), RECORDS, "{} of them different", values.iter().collect::<BTreeSet<_>>().len());
    assert!(values.is_sorted());
    let mut asked = TopicPartitionList::new();
    asked.add_partition("from", 0);
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(RECORDS as i64));
}
