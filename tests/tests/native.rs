//! The core's own producers and consumers, run natively: against this server, and against what is none.
//!
//! With `KAFKA=host:port` they run against that Kafka instead, one test at a time, each on an empty one with as many partitions a
//! topic as it asks for: so they are compared with Apache Kafka itself. Those that kill, pause or create something need Ottla.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ottla_server::client::{Config, Consumer, Exception, Producer, ProducerRecord, Rebalance, partition};
use ottla_tests::server::{PROGRAM, Server};

const PATIENCE: Duration = Duration::from_secs(90);

struct Cluster {
    bootstrap: String,
    own: Option<(Server, tempfile::TempDir)>,
}

fn start(flags: &[&str]) -> Cluster {
    if let Ok(bootstrap) = std::env::var("KAFKA") {
        return Cluster { bootstrap, own: None };
    }
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[&["--set", "group.initial.rebalance.delay.ms=0"], flags].concat());
    let brokers: Vec<String> = server.brokers.iter().map(ToString::to_string).collect();
    Cluster { bootstrap: brokers.join(","), own: Some((server, directory)) }
}

impl Cluster {
    fn act(&self, line: &str) {
        self.own.as_ref().expect("Ottla").0.act(line);
    }
}

fn config(cluster: &Cluster) -> Config {
    Config::new().set("bootstrap.servers", &cluster.bootstrap)
}

fn text(bytes: &Option<bytes::Bytes>) -> String {
    String::from_utf8(bytes.as_ref().expect("a value").to_vec()).unwrap()
}

/// All values of a topic by partition, from its beginning, until there are so many.
fn read_all(config: Config, topic: &str, count: usize) -> BTreeMap<i32, Vec<String>> {
    let mut consumer = Consumer::new(config.set("auto.offset.reset", "earliest")).unwrap();
    consumer.assign_topics(&[topic]).unwrap();
    let (mut values, mut read): (BTreeMap<i32, Vec<String>>, _) = (BTreeMap::new(), 0);
    let begin = Instant::now();
    while read < count {
        assert!(begin.elapsed() < PATIENCE, "{read} of {count} were read");
        for record in consumer.poll(Duration::from_millis(200)).unwrap() {
            values.entry(record.partition).or_default().push(text(&record.value));
            read += 1;
        }
    }
    // Nothing comes after them.
    assert_eq!(consumer.poll(Duration::from_millis(500)).unwrap(), []);
    assert_eq!(read, count);
    consumer.close();
    values
}

#[test]
fn threads_share_a_producer_while_a_broker_dies_and_every_record_is_there_once_and_in_order() {
    const THREADS: u64 = 4;
    let replicated = ["--brokers", "3", "--set", "num.partitions=3", "--set", "default.replication.factor=3"];
    let server = start(
        &[&replicated[..], &["--set", "min.insync.replicas=2", "--set", "zookeeper.session.timeout.ms=3000"]].concat(),
    );
    let producer = Producer::new(config(&server)).unwrap();
    let (acked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (producer, acked, stop) = (producer.clone(), acked.clone(), stop.clone());
            thread::spawn(move || {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let send = |number: u64| {
                        let record = ProducerRecord::new("orders", format!("{thread}:{number}"));
                        producer.send(record.key(format!("{thread}:{}", number % 5)))
                    };
                    let deliveries: Vec<_> = (sent..sent + 100).map(send).collect();
                    sent += 100;
                    for delivery in deliveries {
                        delivery.wait().expect("it is acknowledged");
                        acked.fetch_add(1, Ordering::Relaxed);
                    }
                }
                sent
            })
        })
        .collect();
    let more = |count: u64| {
        let (begin, until) = (Instant::now(), acked.load(Ordering::Relaxed) + count);
        while acked.load(Ordering::Relaxed) < until {
            assert!(begin.elapsed() < PATIENCE, "no more records are acknowledged");
            thread::sleep(Duration::from_millis(5));
        }
    };
    more(2_000);
    server.act("kill broker-2");
    more(2_000);
    server.act("start broker-2");
    more(2_000);
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    producer.close();

    let mut next: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for value in read_all(config(&server), "orders", sent.iter().sum::<u64>() as usize).into_values().flatten() {
        let (thread, number) = value.split_once(':').unwrap();
        let (thread, number): (u64, u64) = (thread.parse().unwrap(), number.parse().unwrap());
        let next = next.entry((thread, number % 5)).or_insert(number % 5);
        assert_eq!(number, *next, "of thread {thread}");
        *next += 5;
    }
    for (thread, sent) in (0..).zip(&sent) {
        (0..5).for_each(|key| assert_eq!(next[&(thread, key)], sent + key));
    }
}

#[test]
fn a_call_that_blocks_keeps_no_other_thread_waiting_and_ends_in_its_own_time() {
    let server = start(&["--set", "auto.create.topics.enable=false"]);
    let producer = Producer::new(config(&server).set("max.block.ms", "6000").set("buffer.memory", "50000")).unwrap();
    let no_topic = || producer.send(ProducerRecord::new("nope", "x")).wait().unwrap_err();
    thread::scope(|scope| {
        let begin = Instant::now();
        let first = scope.spawn(no_topic);
        let second = scope.spawn(|| {
            thread::sleep(Duration::from_millis(1_500));
            no_topic()
        });
        // Refused at once, with both of them waiting.
        let late = Producer::send(&producer, ProducerRecord::new("nope", vec![0; 2 << 20]).partition(-1)).wait();
        assert_eq!(late.unwrap_err().class, "IllegalArgumentException");
        let why = Exception::new("TimeoutException", "Topic nope not present in metadata after 6000 ms.");
        assert_eq!(first.join().unwrap(), why);
        assert!(begin.elapsed() >= Duration::from_millis(5_900));
        assert_eq!(second.join().unwrap(), why);
        assert!(begin.elapsed() < Duration::from_millis(11_900), "one after the other");
    });

    server.act("topic orders partitions=1");
    let known = producer.send(ProducerRecord::new("orders", "x")).wait().unwrap();
    assert_eq!((&*known.topic, known.partition, known.offset), ("orders", 0, 0));
    thread::scope(|scope| {
        let blocked = scope.spawn(no_topic);
        thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        assert_eq!(producer.send(ProducerRecord::new("orders", "y")).wait().unwrap().offset, 1);
        assert!(begin.elapsed() < Duration::from_millis(5_000), "it waited for the other");
        blocked.join().unwrap();
    });

    // Nobody takes anything: the buffer fills, send() blocks and gives up; what was taken arrives later.
    server.act("pause broker-1");
    let begin = Instant::now();
    let mut taken = Vec::new();
    let why = loop {
        let mut delivery = producer.send(ProducerRecord::new("orders", vec![b'z'; 5_000]));
        match delivery.try_wait() {
            None => taken.push(delivery),
            Some(outcome) => break outcome.unwrap_err(),
        }
        assert!(taken.len() < 20);
    };
    assert_eq!(why.class, "BufferExhaustedException");
    assert!(why.message.starts_with("Failed to allocate "), "{why}");
    assert!(begin.elapsed() >= Duration::from_millis(2_900));
    server.act("resume broker-1");
    let begin = Instant::now();
    producer.flush().unwrap();
    assert!(begin.elapsed() < PATIENCE && !taken.is_empty());
    taken.into_iter().for_each(|mut delivery| drop(delivery.try_wait().expect("flush() waits for it").unwrap()));
    producer.close();
    let closed = producer.send(ProducerRecord::new("orders", "x")).wait().unwrap_err();
    assert_eq!(closed, Exception::illegal_state("Cannot perform operation after producer has been closed"));
}

#[test]
fn what_lingers_goes_when_it_is_flushed_or_the_producer_closed() {
    let server = start(&[]);
    let slow =
        || Producer::new(config(&server).set("linger.ms", "60000").set("delivery.timeout.ms", "120000")).unwrap();
    let producer = slow();
    let begin = Instant::now();
    let mut delivery = producer.send(ProducerRecord::new("orders", "1").header("h", None).timestamp(7));
    assert_eq!(delivery.try_wait(), None);
    producer.flush().unwrap();
    let placed = delivery.try_wait().unwrap().unwrap();
    assert_eq!((placed.offset, placed.timestamp), (0, 7));
    let lingers = producer.send(ProducerRecord::new("orders", "2"));
    producer.close();
    assert_eq!(lingers.wait().unwrap().offset, 1);
    let dropped = {
        let producer = slow();
        producer.send(ProducerRecord::new("orders", "3"))
    };
    assert_eq!(dropped.wait().unwrap_err(), Exception::kafka("Producer is closed forcefully."));
    assert!(begin.elapsed() < Duration::from_secs(30));
    let mut consumer = Consumer::new(config(&server).set("auto.offset.reset", "earliest")).unwrap();
    consumer.assign(&[partition("orders", 0)]).unwrap();
    let records = consumer.poll(PATIENCE).unwrap();
    assert_eq!((records[0].timestamp, &*records[0].headers[0].key), (7, "h"));
}

#[test]
fn a_close_that_may_not_wait_gives_up_what_is_in_flight() {
    let server = start(&[]);
    let producer = Producer::new(config(&server)).unwrap();
    producer.send(ProducerRecord::new("orders", "1")).wait().unwrap();
    server.act("pause broker-1");
    let (in_flight, most) = (producer.send(ProducerRecord::new("orders", "2")), Duration::from_secs(1));
    let begin = Instant::now();
    producer.close_within(most);
    assert!(begin.elapsed() >= most && begin.elapsed() < Duration::from_secs(20));
    assert_eq!(in_flight.wait().unwrap_err(), Exception::kafka("Producer is closed forcefully."));
    let closed = producer.send(ProducerRecord::new("orders", "3")).wait().unwrap_err();
    assert_eq!(closed, Exception::illegal_state("Cannot perform operation after producer has been closed"));
    server.act("resume broker-1");
    let begin = Instant::now();
    let reader = Producer::new(config(&server)).unwrap();
    assert!(reader.send(ProducerRecord::new("orders", "4")).wait().is_ok() && begin.elapsed() < PATIENCE);
    // The second was given to the socket before the end: nobody can say whether it is there. The third never is.
    let mut consumer = Consumer::new(config(&server).set("auto.offset.reset", "earliest")).unwrap();
    consumer.assign(&[partition("orders", 0)]).unwrap();
    let mut read = Vec::new();
    while read.last().is_none_or(|last| last != "4") {
        assert!(begin.elapsed() < PATIENCE);
        read.extend(consumer.poll(Duration::from_millis(200)).unwrap().iter().map(|record| text(&record.value)));
    }
    assert!(read == ["1", "4"] || read == ["1", "2", "4"], "{read:?}");
}

#[test]
fn without_acknowledgements_what_is_flushed_is_sent_and_memory_is_bounded_all_the_same() {
    let server = start(&[]);
    let config = config(&server).set("acks", "0").set("buffer.memory", "200000");
    let producer = Producer::new(config.clone()).unwrap();
    for number in 0..500 {
        let mut placed = producer.send(ProducerRecord::new("orders", format!("{number:01000}")));
        match number {
            0 => assert_eq!(placed.wait().unwrap().offset, -1),
            _ => assert!(placed.try_wait().is_none_or(|placed| placed.is_ok()), "{number} is taken"),
        }
    }
    producer.close();
    drop(producer);
    assert_eq!(read_all(self::config(&server), "orders", 500)[&0].len(), 500);

    // Who never reads is sent no more than there is memory for, and what the sockets hold.
    let producer = Producer::new(config.set("max.block.ms", "5000")).unwrap();
    producer.send(ProducerRecord::new("orders", "x")).wait().unwrap();
    server.act("pause broker-1");
    let failed = (0..20_000).find_map(|_| {
        let mut delivery = producer.send(ProducerRecord::new("orders", vec![0; 10_000]));
        delivery.try_wait().and_then(Result::err)
    });
    assert_eq!(failed.map(|error| error.class).as_deref(), Some("BufferExhaustedException"));
}

#[test]
fn a_transaction_commits_and_aborts_and_a_later_producer_of_its_id_fences_the_first() {
    let server = start(&[]);
    let open = || Producer::new(config(&server).set("transactional.id", "t1")).unwrap();
    let producer = open();
    let send = |producer: &Producer, value: &str| producer.send(ProducerRecord::new("orders", value));
    // Before it has its id nothing can be sent.
    let why = send(&producer, "too early").wait().unwrap_err();
    assert_eq!(why.class, "IllegalStateException", "{why}");
    producer.init_transactions().unwrap();
    for (round, commits) in [(0, true), (1, false), (2, true)] {
        producer.begin_transaction().unwrap();
        assert_eq!(producer.begin_transaction().unwrap_err().class, "IllegalStateException");
        thread::scope(|scope| {
            for thread in 0..3 {
                let (producer, send) = (&producer, &send);
                scope.spawn(move || drop(send(producer, &format!("{round}:{thread}"))));
            }
        });
        // What is aborted before it is sent never is.
        producer.flush().unwrap();
        if commits { producer.commit_transaction().unwrap() } else { producer.abort_transaction().unwrap() }
    }
    let values = |level: &str, count| {
        let read = read_all(config(&server).set("isolation.level", level), "orders", count);
        let mut values: Vec<String> = read.into_values().flatten().collect();
        values.sort();
        values
    };
    assert_eq!(values("read_committed", 6), ["0:0", "0:1", "0:2", "2:0", "2:1", "2:2"]);
    assert_eq!(values("read_uncommitted", 9).len(), 9);

    producer.begin_transaction().unwrap();
    let lost = send(&producer, "lost");
    producer.flush().unwrap();
    lost.wait().unwrap();
    let second = open();
    second.init_transactions().unwrap();
    let fenced = producer.commit_transaction().unwrap_err();
    assert!(["ProducerFencedException", "InvalidProducerEpochException"].contains(&&*fenced.class), "{fenced}");
    // A transaction that is open when its producer is closed is aborted.
    second.begin_transaction().unwrap();
    let left = send(&second, "left");
    second.close();
    left.wait().unwrap();
    assert_eq!(values("read_committed", 6).len(), 6);
}

#[test]
fn what_a_transaction_read_is_committed_with_what_it_wrote() {
    let server = start(&[]);
    let input = Producer::new(config(&server)).unwrap();
    (0..10).for_each(|number| drop(input.send(ProducerRecord::new("in", number.to_string())).wait().unwrap()));
    let producer = Producer::new(config(&server).set("transactional.id", "t1")).unwrap();
    producer.init_transactions().unwrap();
    let group = config(&server).set("group.id", "g").set("enable.auto.commit", "false");
    let group = group.set("auto.offset.reset", "earliest").set("max.poll.records", "4");
    // The second takes nothing for done that the first had in a transaction that was aborted.
    for commits in [false, true] {
        let mut consumer = Consumer::new(group.clone()).unwrap();
        consumer.subscribe(&["in"]).unwrap();
        let mut read = 0;
        while read < 10 {
            let records = consumer.poll(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            read += records.len();
            let next = records.last().expect("in time").offset + 1;
            records.iter().for_each(|record| drop(producer.send(ProducerRecord::new("out", text(&record.value)))));
            let metadata = consumer.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&[(partition("in", 0), next)], &metadata).unwrap();
            if commits { producer.commit_transaction().unwrap() } else { producer.abort_transaction().unwrap() }
        }
        consumer.close();
    }
    let out = read_all(config(&server).set("isolation.level", "read_committed"), "out", 10);
    assert_eq!(out[&0], (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    let mut consumer = Consumer::new(group).unwrap();
    consumer.subscribe(&["in"]).unwrap();
    let begin = Instant::now();
    while consumer.position(&partition("in", 0)) != Some(10) {
        assert_eq!(consumer.poll(Duration::from_millis(100)).unwrap(), []);
        assert!(begin.elapsed() < PATIENCE);
    }
}

/// A member that reads until it is told to stop; it tells what it reads, and who it is.
fn member(
    number: usize,
    (config, topic): (Config, &str),
    read: &Arc<Mutex<Vec<(usize, u64)>>>,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (read, stop, topic) = (read.clone(), stop.clone(), topic.to_owned());
    thread::spawn(move || {
        let mut consumer = Consumer::new(config).unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        while !stop.load(Ordering::Relaxed) {
            let records = consumer.poll(Duration::from_millis(100)).unwrap();
            let values = records.iter().map(|record| (number, text(&record.value).parse().unwrap()));
            read.lock().unwrap().extend(values);
        }
        consumer.close();
    })
}

#[test]
fn a_group_of_two_rebalances_and_reads_every_record_once() {
    for protocol in ["classic", "consumer"] {
        let quick = ["--set", "group.consumer.min.heartbeat.interval.ms=100", "--set"];
        let server =
            start(&[&quick[..], &["group.consumer.heartbeat.interval.ms=100", "--set", "num.partitions=6"]].concat());
        let producer = Producer::new(config(&server)).unwrap();
        let topic = format!("orders-{protocol}");
        let send = |from: u64, to: u64| {
            let record = |number: u64| ProducerRecord::new(&topic, number.to_string()).partition((number % 6) as i32);
            let deliveries: Vec<_> = (from..to).map(|number| producer.send(record(number))).collect();
            deliveries.into_iter().for_each(|delivery| drop(delivery.wait().unwrap()));
        };
        send(0, 600);
        let mut group = config(&server).set("group.id", protocol).set("group.protocol", protocol);
        group = group.set("auto.offset.reset", "earliest").set("max.poll.records", "10");
        if protocol == "classic" {
            group = group.set("heartbeat.interval.ms", "200");
        }
        let (read, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let reads = |number: usize| read.lock().unwrap().iter().filter(|(by, _)| *by == number).count();
        let begin = Instant::now();
        let wait = |what: &str| {
            assert!(begin.elapsed() < PATIENCE, "{protocol}: {what}, {} and {}", reads(0), reads(1));
            thread::sleep(Duration::from_millis(20));
        };
        let first = member(0, (group.clone(), &topic), &read, &stop);
        while reads(0) < 100 {
            wait("nothing is read");
        }
        let second = member(1, (group.clone(), &topic), &read, &stop);
        let mut sent = 600;
        while reads(1) < 100 {
            send(sent, sent + 60);
            sent += 60;
            wait("the second has no part");
        }
        let with_both = reads(0);
        while reads(0) == with_both {
            send(sent, sent + 60);
            sent += 60;
            wait("the first has no part any more");
        }
        while reads(0) + reads(1) < sent as usize {
            wait("not all is read");
        }
        stop.store(true, Ordering::Relaxed);
        [first, second].into_iter().for_each(|member| member.join().unwrap());
        let mut values: Vec<u64> = read.lock().unwrap().iter().map(|(_, value)| *value).collect();
        values.sort();
        assert_eq!(values, (0..sent).collect::<Vec<_>>(), "{protocol}");

        // What they read is committed: whoever comes later goes on behind it, and is told what it reads.
        let mut third = Consumer::new(group).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        third.on_rebalance(move |rebalance| tell.lock().unwrap().push(rebalance.clone()));
        third.subscribe(&[&topic]).unwrap();
        send(sent, sent + 1);
        assert_eq!(text(&third.poll(PATIENCE).unwrap()[0].value), sent.to_string());
        third.close();
        let told = told.lock().unwrap();
        let of = |rebalance: &Rebalance| match rebalance {
            Rebalance::Assigned(partitions) => ("assigned", partitions.len()),
            Rebalance::Revoked(partitions) => ("revoked", partitions.len()),
            Rebalance::Lost(partitions) => ("lost", partitions.len()),
        };
        assert_eq!(told.iter().map(of).collect::<Vec<_>>(), [("assigned", 6), ("revoked", 6)], "{protocol}");
    }
}

#[test]
fn a_consumer_seeks_pauses_and_commits_what_it_names() {
    let server = start(&["--set", "num.partitions=2"]);
    let producer = Producer::new(config(&server)).unwrap();
    for number in 0..20 {
        drop(producer.send(ProducerRecord::new("orders", number.to_string()).partition(number % 2)));
    }
    producer.flush().unwrap();
    let (even, odd) = (partition("orders", 0), partition("orders", 1));
    let group = config(&server).set("group.id", "g").set("enable.auto.commit", "false");
    let open = || {
        let mut consumer = Consumer::new(group.clone().set("auto.offset.reset", "earliest")).unwrap();
        let no = consumer.poll(Duration::ZERO).unwrap_err();
        assert_eq!(no.class, "IllegalStateException");
        consumer.assign(&[even.clone(), odd.clone()]).unwrap();
        consumer
    };
    let mut consumer = open();
    assert_eq!(consumer.subscribe(&["orders"]).unwrap_err().class, "IllegalStateException");
    consumer.pause(&odd).unwrap();
    let values = |consumer: &mut Consumer, most| -> Vec<String> {
        consumer.poll(most).unwrap().iter().map(|record| text(&record.value)).collect()
    };
    assert_eq!(values(&mut consumer, PATIENCE), (0..20).step_by(2).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(values(&mut consumer, Duration::from_millis(700)), Vec::<String>::new());
    consumer.seek(&even, 8).unwrap();
    assert_eq!(values(&mut consumer, PATIENCE), ["16", "18"]);
    consumer.commit_sync().unwrap();
    consumer.resume(&odd).unwrap();
    assert_eq!(values(&mut consumer, PATIENCE).len(), 10);
    consumer.commit_offsets(&[(odd.clone(), 3)]).unwrap();
    let why = consumer.seek(&partition("orders", 7), 0).unwrap_err();
    assert_eq!(why, Exception::illegal_state("No current assignment for partition orders-7"));
    consumer.close();

    let mut consumer = open();
    assert_eq!(values(&mut consumer, PATIENCE)[0], "7");
    assert_eq!(consumer.position(&even), Some(10));
    consumer.close();
    let none = config(&server).set("auto.offset.reset", "none");
    for none in [none.clone().set("group.id", "other"), none] {
        let mut none = Consumer::new(none).unwrap();
        none.assign(std::slice::from_ref(&even)).unwrap();
        let why = none.poll(PATIENCE).unwrap_err();
        let said = "NoOffsetForPartitionException: Undefined offset with no reset policy for partitions: [orders-0]";
        assert_eq!(why.to_string(), said);
    }
    let mut refused =
        Consumer::new(config(&server).set("group.id", "other").set("session.timeout.ms", "4000")).unwrap();
    refused.subscribe(&["orders"]).unwrap();
    let why = refused.poll(PATIENCE).unwrap_err();
    assert!(why.to_string().starts_with("InvalidSessionTimeoutException: The session timeout is not within"), "{why}");
}

fn run(words: &[&str], input: &str) -> Output {
    let mut command = Command::new(&*PROGRAM);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = process.wait_with_output().unwrap();
    let _ = feed.join().unwrap();
    output
}

fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn lines_go_through_the_commands_and_come_back() {
    let server = start(&["--brokers", "3"]);
    let topic = ["--bootstrap-server", &server.bootstrap, "--topic", "orders"];
    let lines: String = (0..5_000).map(|number| format!("k{}:line {number}\n", number % 7)).collect();
    let output = run(&[&["produce"], &topic[..], &["--key-separator", ":"]].concat(), &lines);
    assert_eq!(code(&output), (Some(0), String::new()));
    assert_eq!(output.stdout, b"");
    let consume = |more: &[&str]| run(&[&["consume"], &topic[..], more].concat(), "");
    let all = consume(&["--from-beginning", "--max-messages", "5000", "--key-separator", ":"]);
    assert_eq!(code(&all), (Some(0), "Processed a total of 5000 messages\n".to_owned()));
    assert_eq!(String::from_utf8(all.stdout).unwrap(), lines);

    // A group goes on behind what was printed, not behind what was fetched.
    let in_group = |count: &str| consume(&["--from-beginning", "--group", "g", "--max-messages", count]).stdout;
    assert_eq!(in_group("3"), b"line 0\nline 1\nline 2\n");
    assert_eq!(in_group("2"), b"line 3\nline 4\n");
    let part = consume(&["--partition", "0", "--offset", "4998", "--timeout-ms", "8000"]);
    assert_eq!(part.stdout, b"line 4998\nline 4999\n");
    assert_eq!(code(&part).0, Some(0));

    // What makes no sense is refused, before anything is sent.
    for (words, why) in [
        (&["produce", "--property", "lingering.ms=1"][..], "a producer has no setting lingering.ms."),
        (&["produce", "--property", "rate=1/s"], "rate is a word of scenarios"),
        (&["produce", "--property", "acks=2"], "expected acks to be one of"),
        (&["consume", "--property", "group.ids=1"], "a consumer has no setting group.ids."),
        (&["consume", "--from-beginning", "--property", "auto.offset.reset=latest"], "Can't simultaneously specify"),
    ] {
        let (code, told) = code(&run(&[words, &topic[..]].concat(), "x\n"));
        assert!(code == Some(2) && told.contains(why), "{words:?}: {code:?}, {told}");
    }
    let (code, told) = code(&run(&[&["produce"], &topic[..], &["--key-separator", ":"]].concat(), "a:b\nc\n"));
    assert!(code == Some(1) && told.contains("No key separator found on line number 2: 'c'"), "{told}");
}

/// Listens, and does that with each connection.
fn listener(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn what_is_no_broker_ends_in_an_error_that_says_so() {
    let says = |bytes: &'static [u8]| {
        listener(move |mut stream| {
            let _ = stream.write_all(bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    // An answer to the first request, and nonsense in it.
    let answers = |body: &'static [u8]| {
        listener(move |mut stream| {
            let mut head = [0; 12];
            if stream.read_exact(&mut head).is_ok() {
                let length = 4 + body.len() as u32;
                let _ = stream.write_all(&[&length.to_be_bytes(), &head[8..12], body].concat());
            }
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    let many = [0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for (what, address, told) in [
        ("closes at once", listener(drop), "closed the connection without an answer"),
        ("HTTP", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not a Kafka broker: \"HTTP\""),
        ("a huge frame", says(&[0x7f, 0xff, 0xff, 0xff]), "an answer of 2147483647 bytes"),
        ("a negative frame", says(&[0xff; 8]), "an answer of -1 bytes"),
        ("an unasked answer", says(&[0, 0, 0, 4, 0, 0, 0, 9]), "an answer"),
        ("garbage", answers(&[0xff; 40]), "cannot be decoded"),
        ("a long list", answers(Box::leak(Box::new(many))), "cannot be decoded"),
        ("knows nothing", answers(&[0, 0, 1, 0, 0, 0, 0, 0]), "gives up its connection"),
        ("nobody", "127.0.0.1:1".to_owned(), "could not be established. Node may not be available."),
        ("silence", listener(|mut stream| drop(stream.read_to_end(&mut Vec::new()))), "gives up its connection"),
    ] {
        let patience = ["--property", "max.block.ms=5000", "--property", "request.timeout.ms=1000"];
        let words = ["produce", "--bootstrap-server", &address, "--topic", "orders"];
        let output = run(&[&words[..], &patience[..]].concat(), "x\n");
        let (code, log) = code(&output);
        let timed_out = "TimeoutException: Topic orders not present in metadata after 5000 ms.";
        assert!(code == Some(1) && log.contains(timed_out) && !log.contains("panicked"), "{what}: {code:?}, {log}");
        assert!(log.contains(told), "{what}: {log}");
    }
}
