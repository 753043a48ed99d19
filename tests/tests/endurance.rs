//! A producer and a consumer live through faults of every kind on a server of three brokers. Twelve faults; as many as
//! `OTTLA_FAULTS` says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ottla_core::rng::Seed;
use ottla_core::sim::view::View;
use ottla_tests::page::Page;
use ottla_tests::server::Server;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;
const REPLICAS: usize = PARTITIONS as usize * 3;

/// By partition and offset: the numbers that were acknowledged there.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<BTreeMap<(i32, i64), u64>>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let message = result.as_ref().unwrap_or_else(|(error, _)| panic!("{number} is given up: {error}"));
        self.0.lock().unwrap().insert((message.partition(), message.offset()), *number);
    }
}

const CRASH: u64 = 1;

/// What is done, and what puts it right again.
fn fault(draw: u64, broker: u64) -> (String, String) {
    let (one, other) = (format!("broker-{}", broker + 1), format!("broker-{}", (broker + 1) % 3 + 1));
    match draw {
        0 => (format!("kill {one}"), format!("start {one}")),
        CRASH => (format!("crash {one}"), format!("start {one}")),
        2 => (format!("stop {one}"), format!("start {one}")),
        3 => (format!("pause {one}"), format!("resume {one}")),
        4 => (format!("cut {one} {other}"), format!("heal {one} {other}")),
        5 => (format!("cut {one} -> {other}"), "heal".into()),
        6 => (format!("slow {one} disk 30ms\nslow {one} {other} 20ms"), format!("slow {one} off")),
        _ => (format!("kill {one}\nstart {one}\nreset {one} {other}"), "heal".into()),
    }
}

fn in_sync(view: &View) -> usize {
    view.brokers.iter().flat_map(|broker| &broker.replicas).filter(|replica| replica.in_sync).count()
}

#[test]
fn no_acknowledged_record_is_lost_or_reordered_whatever_strikes() {
    let faults = std::env::var("OTTLA_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--set", "min.insync.replicas=2"]);
    server.act(&format!("topic orders partitions={PARTITIONS} replication.factor=3"));
    let mut page = Page::open(&server);
    page.wait_for(|view| in_sync(view) == REPLICAS);
    let bootstrap = server.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");

    let acknowledged = Acknowledged::default();
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("acks", "all")
        .set("linger.ms", "2")
        // Without idempotence a second request in flight may overtake the first.
        .set("max.in.flight.requests.per.connection", "1")
        .set("reconnect.backoff.max.ms", "200")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("request.timeout.ms", "5000")
        .create_with_context(acknowledged.clone())
        .unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let sending = {
        let (over, producer) = (over.clone(), producer.clone());
        thread::spawn(move || {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let value = number.to_string();
                let partition = (number % PARTITIONS as u64) as i32;
                let record = BaseRecord::with_opaque_to("orders", Box::new(number)).partition(partition);
                producer.send(record.key("k").payload(&value)).map_err(|(error, _)| error).unwrap();
                number += 1;
                thread::sleep(Duration::from_millis(1));
            }
            number
        })
    };

    let mut dice = Seed(7).stream("faults");
    let mut told = 0;
    for round in 0..faults {
        let (draw, broker) = (if round < 8 { round } else { dice.below(8) }, dice.below(3));
        // While broker-1 alone is the controller nobody takes over what it leads when its machine dies.
        let (breaks, mends) = fault(draw, if draw == CRASH { broker.max(1) } else { broker });
        let before = acknowledged.0.lock().unwrap().len();
        eprintln!("{before} acknowledged; {}", breaks.replace('\n', ", "));
        server.act(&breaks);
        thread::sleep(Duration::from_millis(100 + dice.below(400)));
        server.act(&mends);
        // Whoever crashes next must not be the only one that has what was acknowledged. Older views do not count.
        let mended =
            |view: &View| view.log.iter().find(|it| it.seq > told && it.text.starts_with(&mends)).map(|it| it.seq);
        let view = page.wait_for(|view| mended(view).is_some() && in_sync(view) == REPLICAS);
        told = mended(&view).unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let sent = sending.join().unwrap();
    producer.flush(PATIENCE).unwrap();

    let acknowledged = acknowledged.0.lock().unwrap().clone();
    assert_eq!(acknowledged.values().collect::<std::collections::BTreeSet<_>>().len() as u64, sent);
    let stored = read(&bootstrap);
    for partition in 0..PARTITIONS {
        let numbers = stored.iter().filter(|((of, _), _)| *of == partition).map(|(_, number)| *number);
        let mut newest = None;
        for number in numbers {
            // One that was sent again lies there twice; a new one comes after all before it.
            assert!(newest.is_none_or(|newest| number <= newest || number == newest + PARTITIONS as u64), "{number}");
            newest = newest.max(Some(number));
        }
    }
    for (place, number) in &acknowledged {
        assert_eq!(stored.get(place), Some(number), "acknowledged at {place:?}");
    }
    assert!(server.terminate().success());
}

/// Everything that is there, by partition and offset.
fn read(bootstrap: &str) -> BTreeMap<(i32, i64), u64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "none")
        // It waits so long for a coordinator to take its leave of.
        .set("session.timeout.ms", "100")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    let mut count = 0;
    for partition in 0..PARTITIONS {
        count += consumer.fetch_watermarks("orders", partition, PATIENCE).unwrap().1 as usize;
        from.add_partition_offset("orders", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut stored = BTreeMap::new();
    while stored.len() < count {
        // Its coordinator is asked for and not found: it reads on.
        if let Ok(message) = consumer.poll(PATIENCE).expect("a record in time") {
            let number = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
            stored.insert((message.partition(), message.offset()), number);
        }
    }
    stored
}
