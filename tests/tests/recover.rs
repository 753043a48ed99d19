//! kill -9, torn files, and what is found afterwards.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ottla_tests::server::Server;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.bootstrap()).set("group.id", "none").set("enable.auto.commit", "false");
    config
}

fn produce(server: &Server, count: usize) {
    produce_padded(server, count, 0);
}

/// Numbers, each with blanks up to `width` bytes.
fn produce_padded(server: &Server, count: usize, width: usize) {
    let producer: BaseProducer = config(server).set("batch.num.messages", "10").create().unwrap();
    for number in 0..count {
        let value = format!("{number:<width$}");
        let record = BaseRecord::<(), _>::to("orders").partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn values(server: &Server, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = config(server).create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("orders", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let poll = |_| {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("a record");
        String::from_utf8(message.payload().unwrap().to_vec()).unwrap().trim_end().to_owned()
    };
    (0..count).map(poll).collect()
}

fn end(server: &Server) -> i64 {
    let consumer: BaseConsumer = config(server).create().unwrap();
    consumer.fetch_watermarks("orders", 0, PATIENCE).unwrap().1
}

fn segments(data: &tempfile::TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(data.path().join("broker-1/orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = files.filter(|path| path.extension().is_some_and(|it| it == "log")).collect::<Vec<_>>();
    logs.sort();
    logs
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    produce(&server, 100);
    server.kill();
    let segment = segments(&data).pop().unwrap();
    let whole = fs::metadata(&segment).unwrap().len();
    // The beginning of a batch that was never written to its end.
    let begun = fs::read(&segment).unwrap()[..70].to_vec();
    OpenOptions::new().append(true).open(&segment).unwrap().write_all(&begun).unwrap();
    let server = Server::start(data.path(), &[]);
    server.wait_for_log("torn tail is cut");
    assert_eq!(end(&server), 100);
    assert_eq!(fs::metadata(&segment).unwrap().len(), whole);
    produce(&server, 5);
    let expected = (0..100).chain(0..5).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(values(&server, 105), expected);
}

#[test]
fn a_flipped_bit_ends_the_log_before_its_batch() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    produce(&server, 100);
    server.kill();
    let segment = segments(&data).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let server = Server::start(data.path(), &[]);
    server.wait_for_log("torn tail is cut");
    let end = end(&server);
    assert!((1..100).contains(&end), "{end}");
    assert_eq!(values(&server, end as usize).len(), end as usize);
}

#[test]
fn segments_roll_and_every_one_is_read_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let made = server.http("POST", "/api/actions", "", "topic orders partitions=1 segment.bytes=1048576");
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    produce_padded(&server, 10_000, 1_000);
    let rolled = segments(&data).len();
    assert!(rolled > 5, "{rolled} segments");
    let expected = (0..10_000).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(values(&server, 10_000), expected);
    server.kill();
    // Indexes are made anew where they are gone.
    fs::remove_file(segments(&data)[1].with_extension("index")).unwrap();
    let server = Server::start(data.path(), &[]);
    assert_eq!(values(&server, 10_000), expected);
    assert!(server.terminate().success());
    assert!(data.path().join("broker-1/.kafka_cleanshutdown").exists());
    let server = Server::start(data.path(), &[]);
    assert_eq!(values(&server, 10_000), expected);
}

/// 5,000 numbers in several segments, stopped cleanly.
fn stopped_with_segments() -> (tempfile::TempDir, Vec<PathBuf>) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    server.http("POST", "/api/actions", "", "topic orders partitions=1 segment.bytes=1048576");
    produce_padded(&server, 5_000, 1_000);
    assert!(server.terminate().success());
    let segments = segments(&data);
    (data, segments)
}

#[test]
fn what_is_lost_between_two_runs_is_told() {
    let (data, segments) = stopped_with_segments();
    assert!(segments.len() > 3, "{segments:?}");
    fs::remove_file(&segments[1]).unwrap();
    fs::write(segments.last().unwrap(), "").unwrap();
    let server = Server::start(data.path(), &[]);
    server.wait_for_log("offsets are missing between two segments");
    server.wait_for_log("the log ends before the offset in recovery-point-offset-checkpoint: records are lost");
    server.kill();
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&segments[0], bytes).unwrap();
    let server = Server::start(data.path(), &[]);
    server.wait_for_log("the segments behind it are kept aside");
    let name = segments[2].file_name().unwrap();
    let mut directories = fs::read_dir(data.path().join("broker-1")).unwrap().map(|entry| entry.unwrap().path());
    assert!(directories.any(|path| path.to_str().unwrap().ends_with("-stray") && path.join(name).exists()));
}

#[test]
fn stray_bytes_behind_a_segment_take_no_other_with_them() {
    let (data, segments) = stopped_with_segments();
    let whole = fs::metadata(&segments[0]).unwrap().len();
    OpenOptions::new().append(true).open(&segments[0]).unwrap().write_all(b"\0").unwrap();
    let server = Server::start(data.path(), &[]);
    server.wait_for_log("what is no batch is cut off");
    assert_eq!(fs::metadata(&segments[0]).unwrap().len(), whole);
    let expected = (0..5_000).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(values(&server, 5_000), expected);
}

/// What one replica has lost the others have: it must not lead before it has fetched it.
#[test]
fn a_damaged_replica_does_not_take_acknowledged_records_with_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    server.http("POST", "/api/actions", "", "topic orders partitions=1 replication.factor=3");
    produce(&server, 100);
    let consumer: BaseConsumer = config(&server).create().unwrap();
    let metadata = consumer.fetch_metadata(Some("orders"), PATIENCE).unwrap();
    let leader = metadata.topics()[0].partitions()[0].leader();
    drop(consumer);
    assert!(server.terminate().success());
    let segment = data.path().join(format!("broker-{leader}/orders-0/00000000000000000000.log"));
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    let expected = (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(values(&server, 100), expected);
}

#[test]
fn one_chosen_record_is_sent_from_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let sent = server.http("POST", "/api/actions", "", "send orders key=4711 value=hello header=a:b\n");
    assert!(sent.contains(r#""done":"orders-0@0""#), "{sent}");
    assert_eq!(values(&server, 1), ["hello"]);
}
