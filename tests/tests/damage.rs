//! What is broken on a server of which nobody broke it on purpose: it is told as what it is, and no more stops than must.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use ottla_core::error::ErrorCode;
use ottla_tests::server::{Server, refused};
use ottla_tests::session::Exchange;
use ottla_tests::{wire, zookeeper};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(60);

fn produce(server: &Server, partition: i32, count: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("batch.num.messages", "100")
        .create()
        .unwrap();
    for _ in 0..count {
        let record = BaseRecord::<(), _>::to("orders").partition(partition).payload(&[7; 1_000]);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// What a fetch of those partitions of `orders`, each from its offset, is told of each.
fn fetch(server: &Server, wanted: &'static [(i32, i64)]) -> Vec<PartitionData> {
    let body = move || {
        let partition = |&(index, offset): &(i32, i64)| {
            FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
        };
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str("orders")))
            .with_partitions(wanted.iter().map(partition).collect());
        FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_bytes(4 << 20).with_topics(vec![topic])
    };
    let exchange = Exchange {
        name: "fetch".into(),
        api: ApiKey::Fetch,
        version: 12,
        body: Box::new(move |_| RequestKind::Fetch(body())),
    };
    let (_, answer) = wire::hold(&server.bootstrap(), &[exchange]).remove(0);
    let ResponseKind::Fetch(fetched) = answer.unwrap() else { panic!() };
    let mut partitions = fetched.responses.into_iter().flat_map(|topic| topic.partitions).collect::<Vec<_>>();
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

fn errors(fetched: &[PartitionData]) -> Vec<i16> {
    fetched.iter().map(|partition| partition.error_code).collect()
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("broker-1/orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = files.filter(|path| path.extension().is_some_and(|it| it == "log")).collect::<Vec<_>>();
    logs.sort();
    logs
}

#[test]
fn a_file_that_cannot_be_read_takes_its_log_offline_and_no_other() {
    const STORAGE: i16 = ErrorCode::KafkaStorageError.code();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    server.act("topic orders partitions=2 segment.bytes=1048576");
    produce(&server, 0, 3_000);
    produce(&server, 1, 1);
    // Rolled segments are opened when someone reads them.
    server.act("stop broker-1\nstart broker-1");
    assert_eq!(errors(&fetch(&server, &[(1, 0)])), [0]);
    let segment = segments(data.path()).remove(0);
    let kept = data.path().join("kept");
    fs::rename(&segment, &kept).unwrap();

    assert_eq!(errors(&fetch(&server, &[(0, 0), (1, 0)])), [STORAGE, 0]);
    server.wait_for_log(&format!("{}, byte 0: No such file or directory", segment.display()));
    assert!(!server.log().contains("corrupt"), "{}", server.log());
    // Nothing of that log is served any more, what could be read included.
    assert_eq!(errors(&fetch(&server, &[(0, 3_000), (1, 0)])), [STORAGE, 0]);

    fs::rename(&kept, &segment).unwrap();
    server.act("kill broker-1\nstart broker-1");
    let fetched = fetch(&server, &[(0, 0), (1, 0)]);
    assert_eq!(errors(&fetched), [0, 0]);
    assert!(fetched.iter().all(|partition| partition.records.as_ref().is_some_and(|records| !records.is_empty())));

    // What lies behind a clean end is not read again at the start: whoever asks for it finds out.
    server.act("stop broker-1");
    let mut damaged = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    damaged.seek(SeekFrom::Start(8)).unwrap();
    damaged.write_all(&[0x7f]).unwrap();
    server.act("start broker-1");
    assert_eq!(errors(&fetch(&server, &[(0, 0), (1, 0)])), [ErrorCode::CorruptMessage.code(), 0]);
    server.wait_for_log("its files are damaged: where offset 0 of orders-0 should be is no batch");
}

#[test]
fn a_broker_that_cannot_go_on_is_dead_and_the_others_go_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    server.act("topic orders partitions=2 replication.factor=1");
    let id = zookeeper::get(server.zookeeper, "/cluster/id");
    zookeeper::set(server.zookeeper, "/cluster/id", (&b"junk"[..]).into());
    server.act("kill broker-2\nstart broker-2");
    server.wait_for_log("cannot go on, and is dead: the cluster's id cannot be read");
    server.wait_for_log("the other brokers go on; ottla do 'start broker-2' brings it back");
    server.act("send orders partition=0 value=served");
    zookeeper::set(server.zookeeper, "/cluster/id", id);
    server.act("start broker-2\nkill broker-2");

    // Without any broker a server is of no use.
    zookeeper::set(server.zookeeper, "/cluster/id", (&b"junk"[..]).into());
    server.act("kill broker-1\nstart broker-1");
    server.wait_for_log("no broker is left (broker-1: the cluster's id cannot be read");
    assert_eq!(server.ended().code(), Some(1));
}

#[test]
fn topics_of_which_zookeeper_has_lost_everything_are_not_lost_from_sight() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--data", data.path().to_str().unwrap(), "--brokers", "2"];
    let server = Server::start(data.path(), &flags[2..]);
    server.act("topic orders partitions=1\ntopic shipments partitions=1\nsend orders value=a");
    assert!(server.terminate().success());
    let (zookeeper, kept) = (data.path().join("zookeeper"), data.path().join("kept"));
    fs::rename(&zookeeper, &kept).unwrap();
    let (status, told) = refused(&flags);
    assert_eq!(status.code(), Some(1));
    assert!(told.contains("hold 2 topic(s): orders, shipments."), "{told}");
    // Put back, as it says, and all is there.
    fs::remove_dir_all(&zookeeper).unwrap();
    fs::rename(&kept, &zookeeper).unwrap();
    let server = Server::start(data.path(), &flags[2..]);
    server.act("send orders value=b");
    assert!(server.terminate().success());
    // Or moved away, as it says, and it begins anew.
    fs::remove_dir_all(&zookeeper).unwrap();
    for id in 1..=2 {
        fs::rename(data.path().join(format!("broker-{id}")), data.path().join(format!("old-{id}"))).unwrap();
    }
    Server::start(data.path(), &flags[2..]).act("topic orders partitions=1");
}

#[test]
fn files_of_zookeepers_that_are_refused_are_all_that_is_told() {
    let data = tempfile::tempdir().unwrap();
    assert!(Server::start(data.path(), &[]).terminate().success());
    let version = data.path().join("zookeeper/version-2");
    fs::write(version.join("snapshot.0"), "junk").unwrap();
    let (status, told, said) = ottla_tests::server::output(&["--data", data.path().to_str().unwrap()]);
    assert_eq!(status.code(), Some(1));
    assert!(told.contains("no snapshot can be read: snapshot.0 is damaged"), "{told}");
    assert_eq!(said, "", "it says where it listens though nothing does");
}

#[test]
fn malformed_checkpoints_are_told_with_file_and_line_as_kafka_tells_them() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--data", data.path().to_str().unwrap()];
    let server = Server::start(data.path(), &[]);
    server.act("topic orders partitions=1\nsend orders value=a");
    assert!(server.terminate().success());
    let broker = data.path().join("broker-1");

    for (file, junk, told) in [
        ("replication-offset-checkpoint", "0\n1\norders 0\n", "line 3: `orders 0` does not have 3 fields"),
        ("cleaner-offset-checkpoint", "7\n0\n", "line 1: version 7, expected 0"),
        ("orders-0/leader-epoch-checkpoint", "0\n2\n0 0\n", "line 2: 2 entries expected, 1 found"),
        ("orders-0/partition.metadata", "version: 0\ntopic_id: junk\n", "line 2: `junk` is not a UUID"),
        ("meta.properties", "version=1\ncluster.id=x\n", "line 3: `node.id` is missing"),
    ] {
        let path = broker.join(file);
        let kept = fs::read(&path).ok();
        fs::write(&path, junk).unwrap();
        let (status, said) = refused(&flags);
        assert_eq!(status.code(), Some(1), "{file}: {said}");
        assert!(said.contains(file) && said.contains(told), "{file}: {said}");
        match kept {
            Some(kept) => fs::write(&path, kept).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }

    // What can be found anew is.
    for file in ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint"] {
        fs::write(broker.join(file), "0\njunk\n").unwrap();
    }
    let server = Server::start(data.path(), &[]);
    for (file, then) in [
        ("recovery-point-offset-checkpoint", "resetting the recovery checkpoint to 0"),
        ("log-start-offset-checkpoint", "resetting to the base offset of the first segment"),
    ] {
        let directory = broker.display();
        server.wait_for_log(&format!(
            "Error occurred while reading {file} file of directory {directory}, {then}: line 2: `junk` is not a number"
        ));
    }
    assert_eq!(errors(&fetch(&server, &[(0, 0)])), [0]);
}
