//! What three replicas cost and what they are worth: throughput and latency with acks=all, and how long nobody can write
//! after a leader has died.
//!
//! `cargo run --release -p ottla-tests --example replicated [-- MEGABYTES]` measures a server of its own. To measure another
//! cluster of three brokers beside it, say where it is, and how a broker dies, stops and starts there; `$BROKER` is its id:
//!
//! ```sh
//! BOOTSTRAP=127.0.0.1:9092,127.0.0.1:9093 KILL='kill -9 $(cat k$BROKER/pid)' STOP='kill $(cat k$BROKER/pid)' \
//!   START='./start.sh $BROKER' SESSION=18000 cargo run --release -p ottla-tests --example replicated
//! ```

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ottla_tests::server::Server;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

const RECORD: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(120);
const ROUNDS: usize = 3;

fn main() {
    let megabytes = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(500);
    if std::env::var_os("BOOTSTRAP").is_some() {
        let session = std::env::var("SESSION").unwrap_or_default();
        return measure(&Cluster::Other, megabytes, &session);
    }
    for session in ["18000", "2000"] {
        let data = tempfile::tempdir().unwrap();
        let setting = format!("zookeeper.session.timeout.ms={session}");
        let server = Server::start(data.path(), &["--brokers", "3", "--set", &setting]);
        measure(&Cluster::Own(server), megabytes, session);
    }
}

enum Cluster {
    Own(Server),
    Other,
}

impl Cluster {
    fn bootstrap(&self) -> String {
        match self {
            Cluster::Own(server) => server.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Cluster::Other => std::env::var("BOOTSTRAP").unwrap(),
        }
    }

    /// `kill`, `stop` or `start`; comes back when it is done.
    fn act(&self, word: &str, broker: i32) {
        match self {
            Cluster::Own(server) => drop(server.act(&format!("{word} broker-{broker}"))),
            Cluster::Other => {
                let command = std::env::var(word.to_uppercase()).unwrap_or_else(|_| panic!("how to {word}?"));
                let mut shell = Command::new("sh");
                let status = shell.args(["-c", &command]).env("BROKER", broker.to_string()).status().unwrap();
                assert!(status.success(), "{command}");
            }
        }
    }
}

fn measure(cluster: &Cluster, megabytes: usize, session: &str) {
    let admin = Admin::new(&cluster.bootstrap());
    println!("session {session} ms:");
    for topic in ["bulk", "calm", "kill", "stop"] {
        admin.create(topic, if topic == "bulk" { 3 } else { 1 });
    }
    throughput(cluster, megabytes);
    latency(cluster, 1_000, Duration::from_secs(20));
    for word in ["kill", "stop"] {
        let mut took: Vec<Duration> = (0..ROUNDS).map(|_| failover(cluster, &admin, word)).collect();
        took.sort_unstable();
        let told: Vec<String> = took.iter().map(|took| format!("{:.0} ms", took.as_secs_f64() * 1e3)).collect();
        println!("  {word} of the leader to the first acknowledged write at the new one: {}", told.join(", "));
    }
}

struct Admin(AdminClient<DefaultClientContext>);

impl Admin {
    fn new(bootstrap: &str) -> Admin {
        Admin(ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap())
    }

    fn create(&self, topic: &str, partitions: i32) {
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(3)).set("min.insync.replicas", "2");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(self.0.create_topics([&topic], &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|result| drop(result.unwrap()));
        self.leader(topic.name);
    }

    /// Of its first partition, once all three are in sync.
    fn leader(&self, topic: &str) -> i32 {
        let begin = Instant::now();
        loop {
            let metadata = self.0.inner().fetch_metadata(Some(topic), PATIENCE).unwrap();
            let partition = &metadata.topics()[0].partitions().first();
            match partition {
                Some(partition) if partition.isr().len() == 3 && partition.leader() > 0 => return partition.leader(),
                _ => assert!(begin.elapsed() < PATIENCE, "{topic} is not in sync"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// When a record was sent, and how long it took.
type Times = Arc<Mutex<Vec<(Instant, Duration)>>>;

struct Clocked(Times);

impl ClientContext for Clocked {}

impl ProducerContext for Clocked {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Instant>) {
        result.as_ref().unwrap_or_else(|(error, _)| panic!("a record is given up: {error}"));
        self.0.lock().unwrap().push((*sent, sent.elapsed()));
    }
}

fn producer(cluster: &Cluster, settings: &[(&str, &str)]) -> (ThreadedProducer<Clocked>, Times) {
    let times = Times::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap()).set("acks", "all");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    (config.create_with_context(Clocked(times.clone())).unwrap(), times)
}

fn send(producer: &ThreadedProducer<Clocked>, topic: &str, payload: &str) {
    let mut record = BaseRecord::<(), _, _>::with_opaque_to(topic, Box::new(Instant::now())).payload(payload);
    while let Err((_, back)) = producer.send(record) {
        record = back;
        thread::sleep(Duration::from_millis(1));
    }
}

fn throughput(cluster: &Cluster, megabytes: usize) {
    let settings =
        [("linger.ms", "5"), ("batch.size", "1000000"), ("batch.num.messages", "10000"), ("partitioner", "random")];
    let (producer, _) = producer(cluster, &settings);
    let payload = payload();
    let begin = Instant::now();
    (0..megabytes * 1_000_000 / RECORD).for_each(|_| send(&producer, "bulk", &payload));
    producer.flush(PATIENCE).unwrap();
    let rate = megabytes as f64 / begin.elapsed().as_secs_f64();
    println!("  in {megabytes} MB of 1 KB records, three partitions, factor 3, acks=all: {rate:.0} MB/s");
}

fn latency(cluster: &Cluster, per_second: u32, length: Duration) {
    let (producer, times) = producer(cluster, &[("linger.ms", "0")]);
    let payload = payload();
    let begin = Instant::now();
    for number in 0..(f64::from(per_second) * length.as_secs_f64()) as u32 {
        let due = begin + Duration::from_secs(1) / per_second * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        send(&producer, "calm", &payload);
    }
    producer.flush(PATIENCE).unwrap();
    // The first two seconds warm up.
    let times = times.lock().unwrap();
    let warm = times.iter().filter(|(sent, _)| *sent > begin + Duration::from_secs(2));
    let mut took: Vec<Duration> = warm.map(|(_, took)| *took).collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  {per_second} records/s of 1 KB, factor 3, acks=all, linger.ms=0: p50 {:.2} ms, p99 {:.2}, p99.9 {:.2}, worst {:.1}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// From the command to the answer to a record that was sent after the leader was gone.
fn failover(cluster: &Cluster, admin: &Admin, word: &str) -> Duration {
    let leader = admin.leader(word);
    let (producer, times) = producer(cluster, &[("linger.ms", "0")]);
    let write = |length: Duration, until: Option<Instant>| {
        let begin = Instant::now();
        while begin.elapsed() < length {
            send(&producer, word, "x");
            thread::sleep(Duration::from_millis(2));
            let answered = times.lock().unwrap().last().map(|(sent, _)| *sent);
            if until.is_some_and(|gone| answered.is_some_and(|sent| sent > gone)) {
                return;
            }
        }
        assert!(until.is_none(), "nothing is acknowledged");
    };
    write(Duration::from_secs(1), None);
    let begin = Instant::now();
    cluster.act(word, leader);
    let gone = Instant::now();
    write(PATIENCE, Some(gone));
    producer.flush(PATIENCE).unwrap();
    let times = times.lock().unwrap();
    let answers = times.iter().filter(|(sent, _)| *sent > gone).map(|(sent, took)| *sent + *took);
    let first = answers.min().expect("there was one");
    cluster.act("start", leader);
    admin.leader(word);
    first - begin
}

fn payload() -> String {
    (0..RECORD).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect()
}
