//! Compacted topics, cleaned all the while. On three brokers of one server readers see the last value of every key, and kill
//! -9 in the middle of it costs nothing; what coordinators need of their own topics is there afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_core::record::{Batch, Record, batches};
use ottla_tests::server::Server;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u64 = 50;
const RECORDS: u64 = 6_000;
const SETTINGS: &[&str] = &[
    "--brokers",
    "3",
    "--set",
    "log.cleaner.backoff.ms=50",
    "--set",
    "log.cleaner.min.cleanable.ratio=0.01",
    "--set",
    "log.cleaner.threads=2",
];

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    let brokers = server.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    config.set("bootstrap.servers", brokers).set("group.id", "none").set("enable.auto.commit", "false");
    config
}

/// Numbers, each with the rest of its division by the number of keys as key; tens are compressed.
fn produce(config: &ClientConfig, numbers: std::ops::Range<u64>) {
    for codec in ["none", "lz4"] {
        let mut config = config.clone();
        config.set("acks", "all").set("batch.num.messages", "20").set("compression.type", codec);
        let producer: BaseProducer = config.create().unwrap();
        for number in numbers.clone().filter(|number| (number / 10 % 2 == 0) == (codec == "none")) {
            let (key, value) = (format!("key-{}", number % KEYS), format!("{number:<60}"));
            let record = BaseRecord::to("table").partition(0).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }
}

/// A new leader does not tell its high watermark before it has caught up with that of its predecessor.
fn end(consumer: &BaseConsumer) -> i64 {
    let begin = Instant::now();
    loop {
        match consumer.fetch_watermarks("table", 0, PATIENCE) {
            Ok((_, end)) => return end,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// What a consumer reads from the start to the end that there is now: how many records, and the last of every key.
fn read(server: &Server) -> (usize, BTreeMap<String, u64>) {
    let consumer: BaseConsumer = config(server).create().unwrap();
    let end = end(&consumer);
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("table", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let (mut count, mut table, mut last) = (0, BTreeMap::new(), -1);
    while last + 1 < end {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a record");
        assert!(message.offset() > last, "{} after {last}", message.offset());
        last = message.offset();
        count += 1;
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        table.insert(text(message.key()), text(message.payload()).trim_end().parse().unwrap());
    }
    (count, table)
}

/// Every record in the files of one replica.
fn records(data: &Path, broker: usize, partition: &str) -> Vec<Record> {
    let mut files: Vec<_> = fs::read_dir(data.join(format!("broker-{broker}/{partition}")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    let mut records = Vec::new();
    for file in files {
        let bytes = Bytes::from(fs::read(file).unwrap());
        for (header, batch) in batches(&bytes) {
            records.extend(Record::decode(&Batch { header, bytes: bytes.slice_ref(batch) }).unwrap());
        }
    }
    records
}

/// The last value of every key in the files of one replica, and how many records lie there.
fn on_disk(data: &Path, broker: usize) -> (usize, BTreeMap<String, u64>) {
    let records = records(data, broker, "table-0");
    let text = |bytes: &Option<Bytes>| String::from_utf8(bytes.as_ref().unwrap().to_vec()).unwrap();
    let last = |record: &Record| (text(&record.key), text(&record.value).trim_end().parse().unwrap());
    (records.len(), records.iter().map(last).collect())
}

/// Up to where that broker has cleaned a partition, by its file.
fn cleaned(data: &Path, broker: usize, partition: &str) -> u64 {
    let file = fs::read_to_string(data.join(format!("broker-{broker}/cleaner-offset-checkpoint")));
    let line = file.unwrap_or_default().lines().find(|line| line.starts_with(partition)).map(str::to_owned);
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// The codecs are written one after the other: the greatest number of a key is that of the later one, if it has any.
fn expected(end: u64) -> BTreeMap<String, u64> {
    let mut table = BTreeMap::new();
    for lz4 in [false, true] {
        for number in (0..end).filter(|number| (number / 10 % 2 == 1) == lz4) {
            table.insert(format!("key-{}", number % KEYS), number);
        }
    }
    table
}

#[test]
fn readers_see_the_last_value_of_every_key_while_brokers_clean_and_after_they_were_killed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), SETTINGS);
    let line = "topic table partitions=1 replication.factor=3 min.insync.replicas=2 cleanup.policy=compact \
                internal.segment.bytes=20000 index.interval.bytes=500";
    // Until all three brokers are registered it cannot have three replicas.
    let begin = Instant::now();
    while !server.http("POST", "/api/actions", "", line).starts_with("HTTP/1.1 200") {
        assert!(begin.elapsed() < PATIENCE);
    }
    let config = config(&server);
    let writing = std::thread::spawn(move || produce(&config, 0..RECORDS));
    while !writing.is_finished() {
        read(&server);
    }
    writing.join().unwrap();
    server.wait_for_log("Cleaned log table-0");
    server.kill();

    let server = Server::start(data.path(), SETTINGS);
    assert_eq!(read(&server).1, expected(RECORDS));
    let cleaned = |broker| cleaned(data.path(), broker, "table 0 ");
    let begin = Instant::now();
    while (1..=3).any(|broker| cleaned(broker) < RECORDS - 500) {
        assert!(begin.elapsed() < PATIENCE, "cleaned up to {:?}", [1, 2, 3].map(cleaned));
        std::thread::sleep(Duration::from_millis(50));
    }
    let (count, table) = read(&server);
    assert_eq!(table, expected(RECORDS));
    assert!(count < RECORDS as usize / 4, "{count} of {RECORDS} records are left");
    assert!(server.terminate().success());
    for broker in 1..=3 {
        let (count, table) = on_disk(data.path(), broker);
        assert_eq!(table, expected(RECORDS), "broker {broker}");
        assert!(count < RECORDS as usize / 4, "{count} records on broker {broker}");
    }
    let server = Server::start(data.path(), SETTINGS);
    assert_eq!(read(&server).1, expected(RECORDS));
}

/// An offset of `orders-0`, with so much beside it that segments fill.
fn offset(offset: i64) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("orders", 0, Offset::Offset(offset)).unwrap();
    offsets.find_partition("orders", 0).unwrap().set_metadata("m".repeat(4_000));
    offsets
}

fn group(server: &Server, name: &str) -> BaseConsumer {
    config(server).set("group.id", name).create().unwrap()
}

fn committed(server: &Server, name: &str) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition("orders", 0);
    let found = group(server, name).committed_offsets(asked, PATIENCE).unwrap();
    found.find_partition("orders", 0).unwrap().offset()
}

#[test]
fn what_groups_have_committed_is_compacted_and_found_again_after_a_kill() {
    const COMMITS: i64 = 600;
    const TRANSACTIONS: i64 = 100;
    let settings = [
        &SETTINGS[2..],
        &["--set", "offsets.topic.num.partitions=1", "--set", "offsets.topic.segment.bytes=1048576"],
        &["--set", "group.initial.rebalance.delay.ms=0"],
    ]
    .concat();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &settings);
    assert!(server.http("POST", "/api/actions", "", "topic orders").starts_with("HTTP/1.1 200"));
    let (plain, chain) = (group(&server, "plain"), group(&server, "chain"));
    for at in 1..=COMMITS {
        plain.commit(&offset(at), CommitMode::Sync).unwrap();
    }
    let producer: BaseProducer = config(&server).set("transactional.id", "chain").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    // The last one is aborted.
    for at in 1..=TRANSACTIONS {
        producer.begin_transaction().unwrap();
        producer.send_offsets_to_transaction(&offset(at), &chain.group_metadata().unwrap(), PATIENCE).unwrap();
        match at % 2 {
            1 => producer.commit_transaction(PATIENCE).unwrap(),
            _ => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
    for at in COMMITS + 1..=2 * COMMITS {
        plain.commit(&offset(at), CommitMode::Sync).unwrap();
    }
    let begin = Instant::now();
    while cleaned(data.path(), 1, "__consumer_offsets 0 ") < (COMMITS + 2 * TRANSACTIONS) as u64 {
        assert!(begin.elapsed() < PATIENCE, "it is not cleaned");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill();

    let server = Server::start(data.path(), &settings);
    assert_eq!(committed(&server, "plain"), Offset::Offset(2 * COMMITS));
    assert_eq!(committed(&server, "chain"), Offset::Offset(TRANSACTIONS - 1));
    assert!(server.terminate().success());
    let left = records(data.path(), 1, "__consumer_offsets-0");
    // Markers go a day later; of the rest there are the last ones, and what the active segment holds.
    assert!(left.len() < COMMITS as usize, "{} records are left", left.len());
    let server = Server::start(data.path(), &settings);
    assert_eq!(committed(&server, "plain"), Offset::Offset(2 * COMMITS));
    assert_eq!(committed(&server, "chain"), Offset::Offset(TRANSACTIONS - 1));
}
