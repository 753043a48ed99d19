//! Faults on a running server: what its clients feel, what its files keep, and who may cause them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ottla_core::view::{BrokerView, Health, ReplicaView, View};
use ottla_tests::page::Page;
use ottla_tests::server::{PROGRAM, Server, objects};
use ottla_tests::wire;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(60);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// ApiVersions v0, without a client.id.
fn api_versions(correlation_id: u32) -> Vec<u8> {
    [&[0, 18, 0, 0][..], &correlation_id.to_be_bytes(), &[0xff, 0xff]].concat()
}

fn answers(stream: &mut TcpStream) {
    let answer = wire::call(stream, &api_versions(7)).unwrap();
    assert_eq!(&answer[..4], &7_u32.to_be_bytes());
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The offset after the last record of `orders-0`.
fn end(server: &Server) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", server.bootstrap()).set("group.id", "none").create().unwrap();
    consumer.fetch_watermarks("orders", 0, PATIENCE).unwrap().1
}

fn send(server: &Server, count: usize) {
    let lines = (0..count).map(|number| format!("send orders partition=0 value={number}\n")).collect::<String>();
    assert_eq!(server.act(&lines).len(), count);
}

fn broker(view: &View, id: i32) -> &BrokerView {
    view.brokers.iter().find(|broker| broker.id == id).unwrap()
}

/// Broker 1's replica of orders-0.
fn orders(view: &View) -> Option<&ReplicaView> {
    broker(view, 1).replicas.iter().find(|replica| &*replica.topic == "orders")
}

fn is_logged(view: &View, node: &str, text: &str) -> bool {
    view.log.iter().any(|line| line.node == node && line.text.contains(text))
}

#[test]
fn a_killed_broker_resets_its_sockets_refuses_new_ones_and_comes_back_with_its_records() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let mut page = Page::open(&server);
    let [first, second] = server.brokers[..] else { panic!() };
    let mut bystander = connect(first);
    let mut connected = [connect(second), connect(second)];
    answers(&mut connected[0]);
    server.act("topic orders partitions=2\nsend orders partition=0 value=a\nsend orders partition=1 value=b");

    server.act("kill broker-2");
    for stream in &mut connected {
        let error = stream.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert!(is_refused(second));
    answers(&mut bystander);
    let view = page.wait_for(|view| broker(view, 2).health == Health::Dead && is_logged(view, "hand", "kill broker-2"));
    let seen = broker(&view, 2);
    assert_eq!((seen.replicas.len(), seen.replicas[0].end, seen.connections), (1, 1, 0));
    assert_eq!(broker(&view, 1).health, Health::Running);
    let again = server.http("POST", "/api/actions", "", "kill broker-2");
    assert!(again.starts_with("HTTP/1.1 409"), "{again}");
    assert_eq!(objects(&again)[0]["error"], "broker-2 is not running");

    server.act("start broker-2");
    answers(&mut connect(second));
    page.wait_for(|view| {
        let broker = broker(view, 2);
        broker.health == Health::Running && broker.replicas.iter().any(|replica| replica.leader && replica.end == 1)
    });
    for partition in 0..2 {
        server.act(&format!("send orders partition={partition} value=c"));
    }
    assert!(server.terminate().success());
}

#[test]
fn clients_recover_by_themselves_from_kills_and_no_acknowledged_record_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    server.act("topic orders");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("linger.ms", "0")
        .set("acks", "all")
        .set("reconnect.backoff.max.ms", "100")
        .create()
        .unwrap();
    for round in 0..5 {
        for number in 0..20 {
            let value = format!("{round}-{number}");
            producer
                .send(BaseRecord::<(), _>::to("orders").partition(0).payload(&value))
                .map_err(|(error, _)| error)
                .unwrap();
        }
        server.act("kill broker-1\nstart broker-1");
        producer.flush(PATIENCE).unwrap();
    }
    assert_eq!(producer.in_flight_count(), 0);
    // A request whose answer was lost is sent again, and its batch stored twice.
    assert!(end(&server) >= 100, "{}", end(&server));
}

#[test]
fn a_crash_keeps_what_was_flushed_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut page = Page::open(&server);
    server.act("topic orders partitions=1 flush.messages=10");
    send(&server, 25);
    let flushed = |view: &View| orders(view).is_some_and(|it| (it.flushed, it.end) == (20, 25));
    page.wait_for(flushed);
    let crashed = server.act("crash broker-1\nstart broker-1");
    let told = crashed[0]["done"].as_str().unwrap();
    assert!(told.contains("lost: ") && told.contains(" bytes of orders-0"), "{told}");
    assert_eq!(end(&server), 20);

    // What a kill leaves is no safer than it was.
    server.act("stop broker-1\nstart broker-1");
    send(&server, 5);
    server.act("kill broker-1\nstart broker-1");
    assert_eq!(end(&server), 25);
    server.act("crash broker-1\nstart broker-1");
    assert_eq!(end(&server), 20);
    send(&server, 3);
    assert_eq!(end(&server), 23);

    // Stopped in order, it has flushed all.
    server.act("stop broker-1\nstart broker-1\ncrash broker-1\nstart broker-1");
    assert_eq!(end(&server), 23);
    assert!(server.terminate().success());
    assert_eq!(end(&Server::start(data.path(), &[])), 23);
}

#[test]
fn a_crash_takes_the_segments_behind_the_one_that_it_cuts() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut page = Page::open(&server);
    server.act("topic orders partitions=1 segment.bytes=1048576 flush.messages=1\nsend orders value=first");
    let replica = |view: &View| orders(view).cloned().unwrap_or_default();
    page.wait_for(|view| replica(view).flushed == 1);
    // From here on no sync is done.
    server.act("slow broker-1 disk 60s");
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", server.bootstrap()).set("acks", "0").create().unwrap();
    for _ in 0..3_000 {
        let value = "x".repeat(1_000);
        producer
            .send(BaseRecord::<(), _>::to("orders").partition(0).payload(&value))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    page.wait_for(|view| replica(view).segments > 2);
    server.act("crash broker-1\nslow broker-1 off\nstart broker-1");
    assert_eq!(end(&server), 1);
    page.wait_for(|view| (replica(view).end, replica(view).segments) == (1, 1) && replica(view).leader);
    send(&server, 2);
    assert_eq!(end(&server), 3);
}

#[test]
fn a_paused_broker_keeps_its_sockets_and_answers_when_it_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let mut page = Page::open(&server);
    let mut stream = connect(server.brokers[1]);
    answers(&mut stream);
    server.act("pause broker-2");
    page.wait_for(|view| broker(view, 2).health == Health::Paused);
    let request = api_versions(9);
    stream.write_all(&[&(request.len() as u32).to_be_bytes()[..], &request].concat()).unwrap();
    // More than it takes in; the sockets stay open all the same.
    let mut others = (0..40).map(|_| connect(server.brokers[1])).collect::<Vec<_>>();
    for other in &mut others {
        for _ in 0..40 {
            other.write_all(&[&(request.len() as u32).to_be_bytes()[..], &request].concat()).unwrap();
        }
    }
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silence = stream.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    let metrics = server.http("GET", "/metrics", "", "");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    let stop = server.http("POST", "/api/actions", "", "stop broker-2\npause broker-2");
    assert!(stop.starts_with("HTTP/1.1 409") && objects(&stop).iter().all(|it| it["error"].is_string()), "{stop}");

    server.act("resume broker-2");
    for stream in others.iter_mut().chain([&mut stream]) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[4..], 9_u32.to_be_bytes());
    }
    page.wait_for(|view| broker(view, 2).health == Health::Running && is_logged(view, "hand", "resume broker-2"));
    // One that stands still can be killed, and a server whose broker stands still can be stopped.
    server.act("pause broker-2\nkill broker-2\nstart broker-2\npause broker-2");
    assert!(server.terminate().success());
}

#[test]
fn a_stopped_broker_closes_its_sockets_in_order_and_a_server_without_brokers_shows_its_page_and_stops() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let mut page = Page::open(&server);
    let mut stream = connect(server.brokers[1]);
    answers(&mut stream);
    server.act("stop broker-2");
    assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
    assert!(is_refused(server.brokers[1]));
    assert!(data.path().join("broker-2/.kafka_cleanshutdown").exists());
    server.act("start broker-2");
    answers(&mut connect(server.brokers[1]));
    server.act("kill broker-1\ncrash broker-2");
    let view = page.wait_for(|view| view.brokers.iter().all(|broker| broker.health == Health::Dead));
    assert_eq!(view.brokers.len(), 2);
    let nobody = server.http("POST", "/api/actions", "", "send orders value=x");
    assert_eq!(objects(&nobody)[0]["error"], "no broker is running");
    let root = server.http("GET", "/", "", "");
    assert!(root.starts_with("HTTP/1.1 200"), "{root}");
    assert!(server.terminate().success());
}

#[test]
fn a_cut_link_is_given_up_after_the_session_timeout_and_connected_anew_when_it_heals() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--set", "broker.session.timeout.ms=400"]);
    let mut page = Page::open(&server);
    let cut = |view: &View| {
        let cut = view.links.iter().filter(|link| link.cut);
        cut.map(|link| format!("{} {}", link.from, link.to)).collect::<Vec<_>>()
    };
    // Of three brokers with each other, and with ZooKeeper.
    page.wait_for(|view| view.links.len() == 6);
    server.act("cut broker-3 broker-1");
    page.wait_for(|view| cut(view) == ["broker-1 broker-3"]);
    page.wait_for(|view| is_logged(view, "broker-1", "lost broker-3") && is_logged(view, "broker-3", "lost broker-1"));
    let seen = |view: &View, text: &str| view.log.iter().filter(|line| line.text.contains(text)).count();
    server.act("heal broker-1 broker-3");
    let whole = |view: &View| cut(view).is_empty() && view.links.len() == 6;
    // Six at the start: both ends of each of three links. A busy machine may take more than one attempt.
    let view = page.wait_for(|view| whole(view) && seen(view, "connected with") >= 8);
    assert!(!is_logged(&view, "broker-2", "lost"));
    // One way is enough to be lost, and `heal` mends all.
    server.act("cut broker-1 -> broker-2\nslow broker-2 broker-3 20ms");
    page.wait_for(|view| is_logged(view, "broker-2", "lost broker-1"));
    server.act("heal");
    page.wait_for(whole);
}

#[test]
fn a_broker_that_is_cut_off_from_zookeeper_loses_its_session_and_registers_anew_when_it_heals() {
    let data = tempfile::tempdir().unwrap();
    let settings = ["--brokers", "2", "--set", "zookeeper.session.timeout.ms=3000"];
    let server = Server::start(data.path(), &settings);
    let mut page = Page::open(&server);
    let alive = |view: &View, count: usize| view.zookeeper.sessions == count as u32;
    page.wait_for(|view| alive(view, 2) && view.links.len() == 3);
    // A connection that breaks costs nobody its session. The way is long enough for the page to see that it is gone.
    server.act("slow broker-1 zookeeper 200ms\nreset broker-1 zookeeper\nreset broker-2 zookeeper");
    page.wait_for(|view| view.links.len() < 3);
    let view = page.wait_for(|view| view.links.len() == 3);
    server.act("slow broker-1 zookeeper off");
    assert!(!is_logged(&view, "zookeeper", "has expired"));
    server.act("cut broker-2 zookeeper");
    let view = page.wait_for(|view| is_logged(view, "zookeeper", "and with it /brokers/ids/2") && alive(view, 1));
    assert!(view.links.iter().any(|link| link.cut && (&*link.from, &*link.to) == ("broker-2", "zookeeper")));
    server.act("heal");
    page.wait_for(|view| alive(view, 2) && view.links.iter().filter(|link| !link.cut).count() == 3);
}

#[test]
fn a_cut_link_holds_what_followers_fetch_and_a_slow_one_delays_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let mut page = Page::open(&server);
    server.act("topic orders partitions=1 replication.factor=2");
    let in_sync = |view: &View| view.brokers.iter().flat_map(|broker| &broker.replicas).filter(|it| it.in_sync).count();
    page.wait_for(|view| in_sync(view) == 2);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let produce = || {
        let record = BaseRecord::<(), _>::to("orders").partition(0).payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    produce();
    producer.flush(PATIENCE).unwrap();
    server.act("cut broker-1 broker-2");
    produce();
    assert!(producer.flush(Duration::from_millis(500)).is_err(), "a follower that is cut off cannot have it");
    server.act("heal broker-1 broker-2");
    producer.flush(PATIENCE).unwrap();
    server.act("slow broker-1 broker-2 200ms");
    let begin = Instant::now();
    produce();
    producer.flush(PATIENCE).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let slow = |view: &View| broker(view, 1).faults == ["its messages to broker-2 take 200ms longer"];
    page.wait_for(slow);
    server.act("slow broker-1 off");
    page.wait_for(|view| broker(view, 1).faults.is_empty());
    assert_eq!(end(&server), 3);
}

#[test]
fn a_slow_disk_delays_what_waits_for_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    server.act("topic orders");
    server.act("slow broker-1 disk 300ms");
    let begin = Instant::now();
    server.act("send orders value=x");
    assert!(begin.elapsed() >= Duration::from_millis(300));
    server.act("slow broker-1 disk off\nsend orders value=x");
    assert_eq!(end(&server), 2);
    // A start finds the machine as it is.
    server.act("slow broker-1 disk 200ms\nkill broker-1\nstart broker-1");
    let begin = Instant::now();
    server.act("send orders value=x");
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert!(server.terminate().success());
}

#[test]
fn a_full_disk_takes_nothing_and_a_wiped_one_is_empty() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    server.act("topic orders partitions=2\nsend orders partition=1 value=x");
    let leads = |broker: &&BrokerView| broker.replicas.iter().any(|it| (it.partition, it.end) == (1, 1));
    let mut page = Page::open(&server);
    let view = page.wait_for(|view| view.brokers.iter().any(|broker| leads(&broker)));
    let name = &view.brokers.iter().find(leads).unwrap().name;
    server.act(&format!("fill {name}"));
    let full = server.http("POST", "/api/actions", "", "send orders partition=1 value=y");
    assert!(objects(&full)[0]["error"].as_str().unwrap().starts_with("KAFKA_STORAGE_ERROR"), "{full}");
    server.act(&format!("free {name}\nkill {name}\nstart {name}\nsend orders partition=1 value=y"));
    server.act(&format!("kill {name}\nwipe {name}"));
    assert_eq!(std::fs::read_dir(data.path().join(name)).unwrap().count(), 0);
    server.act(&format!("start {name}"));
    assert!(server.terminate().success());
}

#[test]
fn a_wrong_line_is_told_by_line_and_column_and_nothing_of_the_text_is_done() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let text = "kill broker-1\n# a comment\n\nkil broker-2\ncrash broker-3\n  cut broker-1 pump\nproducer p1 topic=a";
    let answer = server.http("POST", "/api/actions", "", text);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let wrong = objects(&answer);
    let places = wrong.iter().map(|it| (it["line"].as_u64().unwrap(), it["column"].as_u64().unwrap()));
    assert_eq!(places.collect::<Vec<_>>(), [(4, 1), (5, 7), (6, 16), (7, 1)]);
    assert_eq!(wrong[1]["error"], "expected broker-1 to broker-2, found broker-3");
    answers(&mut connect(server.brokers[0]));
    for text in ["", "hold broker-1 broker-2 1s", "@5s kill broker-1", "expect acked > 5", "kill broker-1 now"] {
        let answer = server.http("POST", "/api/actions", "", text);
        assert!(answer.starts_with("HTTP/1.1 400"), "{text}: {answer}");
    }
    answers(&mut connect(server.brokers[0]));
}

#[test]
fn ottla_do_says_what_was_done_and_ends_with_0_1_or_2() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2"]);
    let url = format!("http://{}/", server.page);
    let run = |lines: &[&str]| -> Output {
        let command = &mut Command::new(&*PROGRAM);
        command.arg("do").args(["--http", &url]).args(lines).stdin(Stdio::null()).output().unwrap()
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let done = run(&["kill broker-2", "start broker-2"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done.stderr));
    assert!(said(&done.stdout).starts_with("kill broker-2: its process is dead\nstart broker-2: it runs"));
    assert_eq!(run(&["kill", "broker-2"]).status.code(), Some(0));
    let failed = run(&["kill broker-2", "start broker-2"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(said(&failed.stderr), "kill broker-2 is not done: broker-2 is not running\n");
    let wrong = run(&["kill broker-1", "kill broker-7"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(said(&wrong.stderr), "line 2, column 6: expected broker-1 to broker-2, found broker-7\n");
    answers(&mut connect(server.brokers[0]));
    server.kill();
    assert_eq!(run(&["kill broker-1"]).status.code(), Some(1));
}

#[test]
fn other_peoples_pages_reach_neither_the_actions_nor_the_views() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let kill = |headers: &str| server.http("POST", "/api/actions", headers, "kill broker-1");
    let refused = [
        ("Origin: http://evil.example\r\n", "403"),
        ("Origin: null\r\n", "403"),
        ("Host: evil.example\r\n", "403"),
        ("Host: evil.example\r\nOrigin: http://evil.example\r\n", "403"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", "415"),
        ("Content-Type: application/json\r\n", "415"),
        ("Content-Type: \r\n", "415"),
    ];
    for (headers, status) in refused {
        let answer = kill(headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
    }
    let raw = |request: String| {
        let mut stream = connect(server.page);
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    let page = server.page;
    let length = "Content-Length: 13";
    let untyped = format!("POST /api/actions HTTP/1.1\r\nHost: {page}\r\n{length}\r\n\r\nkill broker-1");
    assert_eq!(raw(untyped), "HTTP/1.1 415");
    let upgrade = |host: &str, origin: &str| {
        format!(
            "GET /api/live HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    assert_eq!(raw(upgrade(&page.to_string(), "http://evil.example")), "HTTP/1.1 403");
    assert_eq!(raw(upgrade("evil.example", "http://evil.example")), "HTTP/1.1 403");
    assert_eq!(raw(upgrade(&page.to_string(), &format!("http://{page}"))), "HTTP/1.1 101");
    // The rest is not waited for.
    let huge = "#".repeat(70_000);
    let length = "Content-Length: 1000000000";
    let huge =
        format!("POST /api/actions HTTP/1.1\r\nHost: {page}\r\nContent-Type: text/plain\r\n{length}\r\n\r\n{huge}");
    assert_eq!(raw(huge), "HTTP/1.1 413");
    answers(&mut connect(server.brokers[0]));
    // The page itself, and curl, may.
    assert!(kill(&format!("Origin: http://{page}\r\nContent-Type: text/plain;charset=UTF-8\r\n")).contains("is dead"));
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert!(server.http("POST", "/api/actions", form, "start broker-1").contains("it runs"));
}
