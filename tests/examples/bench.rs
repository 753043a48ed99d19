//! The server's numbers in the README: start, idle memory, throughput in and out, latency at a fixed rate.
//!
//! `cargo run --release -p ottla-tests --example bench [-- MEGABYTES]`, on a machine that does nothing else. Client and
//! server share its cores, so throughput is as much librdkafka's as the server's: the CPU seconds are the server's own.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ProduceRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes, encode_request_header_into_buffer};
use ottla_core::record::{BatchBuilder, Compression};
use ottla_core::time::Timestamp;
use ottla_tests::server::{PROGRAM, Server};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

const RECORD: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let megabytes = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2_000);
    start();
    idle();
    throughput(megabytes);
    latency(20_000, Duration::from_secs(15));
}

/// From the process's birth to its first ApiVersions answer.
fn start() {
    let mut took = (0..20).map(|_| started()).collect::<Vec<_>>();
    took.sort_unstable();
    println!("start, 3 brokers, to the first ApiVersions answer: median {:.1?}, worst {:.1?}", took[10], took[19]);
}

fn started() -> Duration {
    let data = tempfile::tempdir().unwrap();
    // Not of those from which the system takes a client's own port: who tries often enough to connect there meets itself.
    let is_free = |port: u16| (port..port + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let port = (20_000..30_000).step_by(3).find(|port| is_free(*port)).expect("three free ports in a row");
    let begin = Instant::now();
    let mut process = Command::new(&*PROGRAM)
        .args(["serve", "--brokers", "3", "--http-port", "0", "--kafka-port", &port.to_string(), "--data"])
        .arg(data.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(Duration::from_micros(100)),
        }
    };
    stream.write_all(&frame(ApiKey::ApiVersions, 0, 1, &ApiVersionsRequest::default())).unwrap();
    answer(&mut stream, &mut Vec::new());
    let took = begin.elapsed();
    process.kill().unwrap();
    process.wait().unwrap();
    took
}

fn idle() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    thread::sleep(Duration::from_secs(1));
    println!("idle, 3 brokers: {:.1} MB resident", resident(server.id()));
}

fn throughput(megabytes: usize) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let records = megabytes * 1_000_000 / RECORD;
    let payload = payload();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("acks", "1")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "100000")
        .create()
        .unwrap();
    // The topic is there before the clock starts.
    producer.send(BaseRecord::<(), _>::to("bench").partition(0).payload(&payload)).unwrap();
    producer.flush(PATIENCE).unwrap();
    report(&server, "in ", megabytes, || {
        for _ in 0..records {
            let mut record = BaseRecord::<(), _>::to("bench").partition(0).payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
        }
        producer.flush(PATIENCE).unwrap();
    });
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("group.id", "none")
        .set("fetch.message.max.bytes", "10000000")
        .set("queued.max.messages.kbytes", "1000000")
        .set("check.crcs", "false")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("bench", 0, Offset::Beginning).unwrap();
    report(&server, "out", megabytes, || {
        consumer.assign(&from).unwrap();
        for _ in 0..records {
            assert_eq!(next(&consumer).payload().map(<[u8]>::len), Some(RECORD));
        }
    });
    assert!(server.terminate().success());
}

/// The next record. That there is no group coordinator is told every second, and does not concern who reads by partition.
fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    loop {
        match consumer.poll(PATIENCE).expect("a record in time") {
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnsupportedVersion)) => {}
            message => return message.expect("a record"),
        }
    }
}

/// Runs a transfer; prints its rate, and what it cost the server.
fn report(server: &Server, which: &str, megabytes: usize, transfer: impl FnOnce()) {
    let (begin, before) = (Instant::now(), cpu(server.id()));
    transfer();
    let (took, spent) = (begin.elapsed().as_secs_f64(), cpu(server.id()) - before);
    println!(
        "{which} {megabytes} MB of 1 KB records, one partition, acks=1: {:.0} MB/s, {:.2} CPU s a GB of the server, {:.1} MB resident",
        megabytes as f64 / took,
        spent * 1000.0 / megabytes as f64,
        resident(server.id()),
    );
}

/// Single-record requests at a fixed rate on one connection, each answered before it counts.
fn latency(per_second: u64, length: Duration) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let made = server.http("POST", "/api/actions", "", "topic bench partitions=1");
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(0), None, Some(payload().as_bytes()), &[]);
    let data = PartitionProduceData::default().with_records(Some(batch.build().bytes));
    let name = TopicName(StrBytes::from_static_str("bench"));
    let data = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    let body = ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let request = frame(ApiKey::Produce, 9, 1, &body);

    let mut writer = server.connect();
    writer.set_nodelay(true).unwrap();
    let mut reader = writer.try_clone().unwrap();
    let count = (per_second as f64 * length.as_secs_f64()) as u32;
    let interval = Duration::from_secs(1) / per_second as u32;
    let begin = Instant::now();
    let answers = thread::spawn(move || {
        let mut buffer = Vec::new();
        let mut took = Vec::with_capacity(count as usize);
        for number in 0..count {
            answer(&mut reader, &mut buffer);
            // From when it was due, so that a server that makes the client wait gains nothing by it.
            took.push((begin + interval * number).elapsed());
        }
        took
    });
    for number in 0..count {
        let due = begin + interval * number;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            thread::sleep(wait);
        }
        writer.write_all(&request).unwrap();
    }
    let mut took = answers.join().unwrap();
    // The first second warms up.
    took.drain(..per_second as usize);
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{per_second} requests/s of one 1 KB record, acks=1: p50 {:.0?}, p99 {:.0?}, p99.9 {:.0?}, worst {:.1?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    assert!(server.terminate().success());
}

fn payload() -> String {
    (0..RECORD).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect()
}

fn frame(api: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id);
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    body.encode(&mut frame, version).unwrap();
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    buffer.resize(i32::from_be_bytes(length) as usize, 0);
    stream.read_exact(buffer).unwrap();
}

/// Seconds of CPU that a process has used.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
    let ticks = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Megabytes.
fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}
