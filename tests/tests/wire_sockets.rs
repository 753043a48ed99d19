//! What a client must not do, and what the server does about it: that connection ends, the others do not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest,
    MetadataRequest, RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, encode_request_header_into_buffer};
use ottla_tests::server::{Server, objects, refused};

fn frame(api: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    body.encode(&mut frame, version).unwrap();
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

fn api_versions(correlation_id: i32) -> Bytes {
    frame(ApiKey::ApiVersions, 0, correlation_id, &ApiVersionsRequest::default())
}

/// One answer: its correlation id and what follows.
fn answer(stream: &mut TcpStream) -> (i32, Bytes) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    let mut body = Bytes::from(body);
    let correlation_id = i32::from_be_bytes(body.split_to(4)[..].try_into().unwrap());
    (correlation_id, body)
}

fn is_cut(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn lives(server: &Server) {
    let mut stream = server.connect();
    stream.write_all(&api_versions(7)).unwrap();
    let (correlation_id, mut body) = answer(&mut stream);
    assert_eq!(correlation_id, 7);
    assert_eq!(ApiVersionsResponse::decode(&mut body, 0).unwrap().error_code, 0);
}

#[test]
fn garbage_and_oversize_frames_end_their_connection_and_no_other() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "socket.request.max.bytes=1000"]);
    let mut bystander = server.connect();
    let cases: [(&[u8], &str); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", "not a Kafka client"),
        (&(-5_i32).to_be_bytes(), "a frame of -5 bytes"),
        (&1001_i32.to_be_bytes(), "a frame of 1001 bytes where 0 to 1000 (socket.request.max.bytes) are allowed"),
        (&[0, 0, 0, 2, 0, 3], "it has 2 bytes"),
        (&[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff], "Unknown API key 32767"),
        // Metadata v1 that claims two billion topics.
        (&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff], "Metadata, apiVersion: 1"),
    ];
    for (bytes, why) in cases {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        assert!(is_cut(&mut stream), "{why}");
        server.wait_for_log(why);
    }
    bystander.write_all(&api_versions(1)).unwrap();
    assert_eq!(answer(&mut bystander).0, 1);
}

#[test]
fn half_a_frame_and_then_nothing_ends_the_connection() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("hasty"), &["--set", "connections.max.idle.ms=300"]);
    let mut half = server.connect();
    half.write_all(&api_versions(1)[..9]).unwrap();
    assert!(is_cut(&mut half));
    server.wait_for_log("half a frame");
    let mut idle = server.connect();
    assert!(is_cut(&mut idle));
    server.wait_for_log("connections.max.idle.ms");

    let server = Server::start(&data.path().join("patient"), &[]);
    let mut gone = server.connect();
    gone.write_all(&api_versions(1)[..9]).unwrap();
    drop(gone);
    server.wait_for_log("closed by the client inside a frame");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut stream = server.connect();
    let mut all = Vec::new();
    // A fetch that waits stands before requests that need not.
    for correlation_id in 0..200 {
        if correlation_id % 50 == 0 {
            let fetch = FetchRequest::default().with_max_wait_ms(200).with_min_bytes(1);
            all.extend_from_slice(&frame(ApiKey::Fetch, 4, correlation_id, &fetch));
        } else if correlation_id % 2 == 0 {
            all.extend_from_slice(&frame(ApiKey::Metadata, 4, correlation_id, &MetadataRequest::default()));
        } else {
            all.extend_from_slice(&api_versions(correlation_id));
        }
    }
    stream.write_all(&all).unwrap();
    for correlation_id in 0..200 {
        assert_eq!(answer(&mut stream).0, correlation_id);
    }
}

#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    // Topics make a Metadata answer much larger than its request.
    let topics = (0..200).map(|n| format!("topic a-topic-with-a-long-name-{n} partitions=20\n")).collect::<String>();
    let made = server.http("POST", "/api/actions", "", &topics);
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let before = resident_bytes(&server);
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = frame(ApiKey::Metadata, 4, 1, &MetadataRequest::default().with_topics(None));
    let many = request.repeat(1000);
    // It stops reading long before a gigabyte of answers is asked for.
    let mut sent = 0;
    let stopped = (0..200).any(|_| {
        let wrote = stream.write(&many);
        sent += *wrote.as_ref().unwrap_or(&0);
        wrote.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    });
    assert!(stopped, "it took {sent} bytes of requests");
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    lives(&server);
}

fn resident_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_topic_of_many_names_that_is_not_there_is_no_reason_to_die() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "auto.create.topics.enable=false"]);
    let mut stream = server.connect();
    let names = (0..1000).map(|n| {
        let name = TopicName(StrBytes::from_string(format!("t{n}")));
        kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(name))
    });
    let body = MetadataRequest::default().with_topics(Some(names.collect()));
    stream.write_all(&frame(ApiKey::Metadata, 4, 3, &body)).unwrap();
    assert_eq!(answer(&mut stream).0, 3);
    lives(&server);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let (status, said) = refused(&["--data", data.path().to_str().unwrap()]);
    assert!(!status.success());
    assert!(said.contains("another server uses"), "{said}");
    lives(&server);
}

#[test]
fn settings_are_kafkas_or_refused() {
    let (status, said) = refused(&["--set", "no.such.setting=1"]);
    assert!(!status.success());
    assert!(said.contains("Unknown broker config name: no.such.setting"), "{said}");
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--set", "num.io.threads=3"]);
    server.wait_for_log("without effect yet: num.io.threads");
}

#[test]
fn what_cannot_be_used_is_refused_in_plain_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (file, directory) = (file.to_str().unwrap(), directory.path().to_str().unwrap());
    for (flags, why) in
        [(["--data", file], "is not a directory"), (["--page", directory], "there is no index.html in it")]
    {
        let (status, told) = refused(&flags);
        assert!(!status.success() && told.contains(why), "{flags:?}: {told}");
    }
}

#[test]
fn the_page_is_only_read() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let answer = server.http("POST", "/", "", "x");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[test]
fn without_data_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::start_without_data(temporary.path());
    lives(&server);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    assert!(server.terminate().success());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn brokers_are_in_the_racks_in_turn() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--racks", "a,b"]);
    for (id, rack) in [(1, "a"), (2, "b"), (3, "a")] {
        let answer = server.http("GET", &format!("/api/zk?path=/brokers/ids/{id}"), "", "");
        let registered = objects(&answer)[0]["data"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert!(registered.contains(&format!("\"rack\":\"{rack}\"")), "{registered}");
    }
}

#[test]
fn who_comes_when_max_connections_are_open_waits_and_who_has_too_many_is_turned_away() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("one"), &["--set", "max.connections=3"]);
    let served = |stream: &mut TcpStream| {
        stream.write_all(&api_versions(7)).is_ok() && matches!(stream.read(&mut [0; 4]), Ok(4))
    };
    let mut open = [server.connect(), server.connect(), server.connect()];
    assert!(open.iter_mut().all(served));
    let mut waits = server.connect();
    server.wait_for_log("max.connections are open: whoever comes waits until another goes");
    waits.write_all(&api_versions(9)).unwrap();
    waits.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let early = waits.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(early.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{early}");
    let [goes, _second, _third] = open;
    drop(goes);
    waits.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(answer(&mut waits).0, 9);

    let server = Server::start(&data.path().join("other"), &["--set", "max.connections.per.ip=1"]);
    let mut one = server.connect();
    assert!(served(&mut one));
    assert!(is_cut(&mut server.connect()));
    server.wait_for_log(
        "Rejected connection from 127.0.0.1, address already has the configured maximum of 1 connections.",
    );
    drop(one);
    // As soon as the server has seen it go.
    let begin = Instant::now();
    while !served(&mut server.connect()) {
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}

/// Sets how many connections a second come from here, or takes it back.
fn limit_arrivals(stream: &mut TcpStream, rate: Option<f64>) {
    let text = StrBytes::from_static_str;
    let entity = EntityData::default().with_entity_type(text("ip")).with_entity_name(Some(text("127.0.0.1")));
    let op = OpData::default().with_key(text("connection_creation_rate"));
    let op = op.with_value(rate.unwrap_or_default()).with_remove(rate.is_none());
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let body = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    stream.write_all(&frame(ApiKey::AlterClientQuotas, 0, 1, &body)).unwrap();
    let answered = AlterClientQuotasResponse::decode(&mut answer(stream).1, 0).unwrap();
    assert_eq!(answered.entries[0].error_code, 0, "{answered:?}");
}

#[test]
fn an_address_that_opens_too_many_connections_has_the_next_ones_closed_after_a_while() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let served = |stream: &mut TcpStream| {
        stream.write_all(&api_versions(7)).is_ok() && matches!(stream.read(&mut [0; 4]), Ok(4))
    };
    let until = |wanted: bool| {
        let begin = Instant::now();
        while served(&mut server.connect()) != wanted {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
    };
    let mut open = server.connect();
    // Ten at once are as many as come in ten seconds.
    limit_arrivals(&mut open, Some(1.0));
    until(false);
    // Whoever is there is not asked.
    limit_arrivals(&mut open, None);
    until(true);
}
