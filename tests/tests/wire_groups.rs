//! librdkafka's consumers in groups, of the classic protocol and of the consumer protocol.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use ottla_tests::server::{PROGRAM, Server};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(90);
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
const PARTITIONS: i32 = 6;
/// Rebalances that do not take their time.
const SETTINGS: [&str; 8] = [
    "--set",
    "group.initial.rebalance.delay.ms=0",
    "--set",
    "group.consumer.min.heartbeat.interval.ms=500",
    "--set",
    "group.consumer.heartbeat.interval.ms=500",
    "--set",
    "group.consumer.assignment.interval.ms=0",
];

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.bootstrap());
    config
}

fn create(server: &Server, topic: &str, replicas: i32) {
    let admin: AdminClient<DefaultClientContext> = config(server).create().unwrap();
    let topic = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(replicas));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap()[0].clone().unwrap();
}

fn produce(server: &Server, topic: &str, keys: std::ops::Range<u32>) {
    let producer: BaseProducer = config(server).set("acks", "all").create().unwrap();
    for number in keys {
        let (key, partition) = (number.to_string(), number as i32 % PARTITIONS);
        producer
            .send(BaseRecord::to(topic).partition(partition).key(&key).payload("value"))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

struct Reader {
    consumer: BaseConsumer,
    /// The keys, in the order of reading.
    read: Vec<u32>,
}

impl Reader {
    fn join(server: &Server, topic: &str, protocol: &str) -> Reader {
        let mut config = config(server);
        config.set("group.id", topic).set("group.protocol", protocol).set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false");
        if protocol == "classic" {
            config.set("heartbeat.interval.ms", "500").set("partition.assignment.strategy", "cooperative-sticky");
        }
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Reader { consumer, read: Vec::new() }
    }

    fn poll(&mut self) {
        if let Some(message) = self.consumer.poll(Duration::from_millis(20)) {
            let message = match message {
                // A broker is gone, and the client looks for it.
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure)) => return,
                message => message.expect("a record"),
            };
            self.read.push(std::str::from_utf8(message.key().unwrap()).unwrap().parse().unwrap());
        }
    }

    fn partitions(&self) -> BTreeSet<i32> {
        self.consumer.assignment().unwrap().elements().iter().map(|one| one.partition()).collect()
    }

    fn commit(&self) {
        self.consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    }

    /// The group's offsets, added up.
    fn committed(&self, topic: &str) -> i64 {
        let mut asked = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            asked.add_partition(topic, partition);
        }
        let told = self.consumer.committed_offsets(asked, PATIENCE).unwrap();
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        told.elements().iter().map(|one| offset(one.offset())).sum()
    }
}

/// All of them poll until it is so.
fn until(readers: &mut [Reader], what: &str, is_so: impl Fn(&[Reader]) -> bool) {
    let begin = Instant::now();
    while !is_so(readers) {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}; {:?}", shares(readers));
        readers.iter_mut().for_each(Reader::poll);
    }
}

fn shares(readers: &[Reader]) -> Vec<BTreeSet<i32>> {
    readers.iter().map(Reader::partitions).collect()
}

fn share_all(readers: &[Reader]) -> bool {
    let shares = shares(readers);
    shares.iter().map(BTreeSet::len).sum::<usize>() == PARTITIONS as usize
        && shares.iter().all(|share| share.len() == PARTITIONS as usize / readers.len())
        && shares.iter().flatten().collect::<BTreeSet<_>>().len() == PARTITIONS as usize
}

fn have_read(readers: &[Reader], keys: std::ops::Range<u32>) -> bool {
    let read: BTreeSet<u32> = readers.iter().flat_map(|reader| reader.read.iter().copied()).collect();
    keys.into_iter().all(|key| read.contains(&key))
}

#[test]
fn a_group_shares_a_topic_and_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &SETTINGS);
    for topic in PROTOCOLS {
        create(&server, topic, 1);
        produce(&server, topic, 0..300);
        let mut readers = vec![Reader::join(&server, topic, topic)];
        until(&mut readers, "one reads all", |readers| share_all(readers) && have_read(readers, 0..300));
        readers[0].commit();
        readers.push(Reader::join(&server, topic, topic));
        readers.push(Reader::join(&server, topic, topic));
        until(&mut readers, "three share", share_all);
        produce(&server, topic, 300..600);
        until(&mut readers, "three read", |readers| have_read(readers, 300..600));
        let mut all: Vec<u32> = readers.iter().flat_map(|reader| reader.read.iter().copied()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..600).collect::<Vec<_>>(), "each record is read once");
        readers.iter().for_each(Reader::commit);
        assert_eq!(readers[0].committed(topic), 600);
        // Two leave.
        readers.truncate(1);
        until(&mut readers, "one has all again", share_all);
        produce(&server, topic, 600..660);
        until(&mut readers, "one reads the rest", |readers| have_read(readers, 600..660));
        readers[0].commit();
    }
    assert!(server.terminate().success());
    // What was committed is there after a restart.
    let server = Server::start(data.path(), &SETTINGS);
    for topic in PROTOCOLS {
        produce(&server, topic, 660..720);
        let mut readers = vec![Reader::join(&server, topic, topic)];
        until(&mut readers, "the next one goes on", |readers| have_read(readers, 660..720));
        let mut read = readers.remove(0).read;
        read.sort_unstable();
        assert_eq!(read, (660..720).collect::<Vec<_>>());
    }
}

fn act(server: &Server, line: &str) {
    let done = Command::new(&*PROGRAM).args(["do", "--http", &format!("http://{}", server.page), line]).status();
    assert!(done.unwrap().success(), "{line}");
}

#[test]
fn a_group_goes_on_when_its_coordinator_dies() {
    let data = tempfile::tempdir().unwrap();
    let more = ["--brokers", "3", "--set", "zookeeper.session.timeout.ms=6000"];
    let server = Server::start(data.path(), &[&SETTINGS[..], &more[..]].concat());
    for topic in PROTOCOLS {
        create(&server, topic, 3);
        produce(&server, topic, 0..60);
    }
    let mut groups =
        PROTOCOLS.map(|topic| vec![Reader::join(&server, topic, topic), Reader::join(&server, topic, topic)]);
    for readers in &mut groups {
        until(readers, "two read", |readers| share_all(readers) && have_read(readers, 0..60));
        readers.iter().for_each(Reader::commit);
    }
    let before = groups.each_ref().map(|readers| shares(readers));
    // Whatever they coordinate, one after the other: each group's coordinator is among them.
    for broker in 1..=3 {
        act(&server, &format!("kill broker-{broker}"));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            groups.iter_mut().flatten().for_each(Reader::poll);
        }
        act(&server, &format!("start broker-{broker}"));
    }
    for (readers, topic) in groups.iter_mut().zip(PROTOCOLS) {
        produce(&server, topic, 60..120);
        until(readers, "two go on reading", |readers| have_read(readers, 60..120));
        until(readers, "everybody has what it had", share_all);
        readers.iter().for_each(Reader::commit);
        assert!(readers[0].committed(topic) >= 120);
    }
    assert_eq!(groups.each_ref().map(|readers| shares(readers)), before);
}
