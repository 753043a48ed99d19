//! One broker in a room: its disk is a few vectors that answer at once (or when they are told to), its clients are the
//! tests. Every reply is encoded at its version, so that no answer passes that could not be sent.

mod admin;
mod classic;
mod consumers;
mod converting;
mod coordinating;
mod deleting;
mod fetching;
mod following;
mod producing;
mod quotas;
mod running;
mod share_groups;
mod sharing;
mod transacting;
mod transactions;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FetchRequest, FetchResponse, ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Broker, BrokerConfig, Effect, Event, Image};
use crate::bug::Bugs;
use crate::client::{self, Wire};
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, ConnId, LogId, Offset, Ticket};
use crate::log::Extent;
use crate::log::LogImage;
use crate::log::recover::scan;
use crate::node::Node;
use crate::protocol::cluster::Registration;
use crate::protocol::{Request, Response};
use crate::record::{Batch, BatchBuilder, Compression, Record};
use crate::rng::Seed;
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::vec_map::VecMap;
use crate::view::Level;
use crate::zookeeper;

const CLIENT: ConnId = ConnId(7);
/// Where the numbers begin of the broker's connections to itself.
const TO_ITSELF: ConnId = ConnId(1 << 32);

/// A wall clock that is not 0 when the run begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

struct Room {
    broker: Broker,
    now: Now,
    /// By directory, what the last process has left.
    found: VecMap<String, VecMap<Offset, Vec<u8>>>,
    logs: VecMap<LogId, LogFiles>,
    files: BTreeMap<String, Bytes>,
    /// Appends are not answered while the disk is slow.
    slow: bool,
    held: VecDeque<Event>,
    /// It answers at once, whatever the disk does.
    zookeeper: zookeeper::Server,
    said: VecDeque<Event>,
    requests: u64,
    replies: VecMap<u64, Response>,
    /// Directories that had to be set aside.
    strays: Vec<String>,
    /// What it says to itself over its connections for transactions does not arrive.
    deaf: bool,
    unheard: VecDeque<Event>,
    /// What whoever runs it is told.
    notes: Vec<(Level, String)>,
    /// What nobody here took.
    others: Vec<Effect>,
}

#[derive(Default)]
struct LogFiles {
    directory: String,
    segments: VecMap<Offset, Vec<u8>>,
}

impl Room {
    fn new() -> Room {
        Room::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Room {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let now = Now { instant: Instant::ZERO, wall: Timestamp(EPOCH_MS) };
        let image = Image { intact: true, ..Image::default() };
        Room::open(settings, image, BTreeMap::new(), empty_zookeeper(now), now, false)
    }

    fn open(
        settings: VecMap<String, String>,
        image: Image,
        files: BTreeMap<String, Bytes>,
        zookeeper: zookeeper::Server,
        now: Now,
        slow: bool,
    ) -> Room {
        let registration = Registration { id: BrokerId(1), host: "localhost".into(), port: 9092, rack: None };
        let config = BrokerConfig {
            registration,
            cluster_id: "room".into(),
            log_dir: "/room".into(),
            bugs: Bugs::default(),
            seed: Seed(1),
            settings,
        };
        let mut found: VecMap<String, VecMap<Offset, Vec<u8>>> = VecMap::new();
        for (path, bytes) in &files {
            if let Some((directory, file)) = path.split_once('/')
                && let Some(base) = file.strip_suffix(".log")
            {
                found.entry(directory.to_owned()).or_default().insert(base.parse().unwrap(), bytes.to_vec());
            }
        }
        let mut out = Vec::new();
        let broker = Broker::open(config, image, now, &mut out).unwrap();
        let mut room = Room {
            broker,
            zookeeper,
            said: VecDeque::new(),
            now,
            found,
            logs: VecMap::new(),
            files: files.into_iter().filter(|(path, _)| !path.ends_with(".log")).collect(),
            slow,
            held: VecDeque::new(),
            requests: 0,
            replies: VecMap::new(),
            strays: Vec::new(),
            deaf: false,
            unheard: VecDeque::new(),
            notes: Vec::new(),
            others: Vec::new(),
        };
        room.enact(out);
        room
    }

    /// The process dies; a new one finds what was written.
    fn restart(self) -> Room {
        let zookeeper = self.zookeeper.clone();
        self.restart_with(zookeeper, false)
    }

    /// The same where the disk is slow.
    fn restart_slow(self) -> Room {
        let zookeeper = self.zookeeper.clone();
        self.restart_with(zookeeper, true)
    }

    /// The same, with a ZooKeeper that knows of nothing.
    fn restart_apart(self) -> Room {
        let zookeeper = empty_zookeeper(self.now);
        self.restart_with(zookeeper, false)
    }

    fn restart_with(self, mut zookeeper: zookeeper::Server, slow: bool) -> Room {
        let gone = zookeeper::server::Event::Closed { conn: ConnId(0) };
        zookeeper.step(self.now, gone, &mut Vec::new());
        let mut image = Image { files: self.files.clone(), intact: true, ..Image::default() };
        let mut files = self.files;
        for LogFiles { directory, segments } in self.logs.into_values() {
            let scan = |(&base, bytes): (&Offset, &Vec<u8>)| {
                let txn_index = files.get(&format!("{directory}/{base:020}.txnindex"));
                scan(base, bytes, txn_index.map(|index| &index[..]), self.now.wall)
            };
            let scanned = segments.iter().map(scan).collect();
            image.logs.insert(directory.clone(), LogImage { segments: scanned, ..LogImage::default() });
            files.extend(
                segments.into_iter().map(|(base, bytes)| (format!("{directory}/{base:020}.log"), bytes.into())),
            );
        }
        let settings = self.broker.config.settings.clone();
        Room::open(settings, image, files, zookeeper, self.now, slow)
    }

    /// What it was told since the last time, of that level.
    fn told(&mut self, level: Level) -> Vec<String> {
        let told = std::mem::take(&mut self.notes).into_iter().filter(|(of, _)| *of == level);
        told.map(|(_, text)| text).collect()
    }

    fn step(&mut self, event: Event) {
        let mut out = Vec::new();
        self.broker.step(self.now, event, &mut out);
        self.enact(out);
    }

    fn enact(&mut self, out: Vec<Effect>) {
        let mut events = Vec::new();
        for effect in out {
            match effect {
                Effect::Open { log, directory, base, found } => {
                    let inside = format!("{directory}/");
                    if !found && self.files.keys().any(|file| file.starts_with(&inside)) {
                        self.files.retain(|file, _| !file.starts_with(&inside));
                        self.strays.push(directory.clone());
                    }
                    let segments =
                        if found { self.found.remove(&directory).unwrap_or_default() } else { VecMap::new() };
                    let files = self.logs.entry(log).or_insert(LogFiles { directory, segments });
                    if files.segments.is_empty() {
                        files.segments.insert(base, Vec::new());
                    }
                }
                Effect::Append { log, stamp, batch, .. } => {
                    let file = self.logs.get_mut(&log).unwrap().segments.values_mut().next_back().unwrap();
                    file.extend_from_slice(&stamp.apply(&batch));
                    file.extend_from_slice(&batch.bytes[61..]);
                    events.push(Event::Appended { log, end: stamp.header(&batch).next_offset() });
                }
                Effect::Flush { log, end, truncations } => events.push(Event::Flushed { log, end, truncations }),
                Effect::Roll { log, base, .. } => {
                    self.logs.get_mut(&log).unwrap().segments.insert(base, Vec::new());
                }
                Effect::Truncate { log, segment, position, .. } => {
                    let segments = &mut self.logs.get_mut(&log).unwrap().segments;
                    segments.retain(|&base, _| base <= segment);
                    segments.get_mut(&segment).unwrap().truncate(position as usize);
                }
                Effect::Delete { log, below } => {
                    self.logs.get_mut(&log).unwrap().segments.retain(|&base, _| base >= below);
                }
                Effect::Remove { log } => {
                    let directory = self.logs.remove(&log).unwrap().directory;
                    self.files.retain(|file, _| !file.starts_with(&format!("{directory}/")));
                }
                Effect::Read { read, extent } => events.push(Event::Loaded { read, bytes: self.bytes(extent) }),
                Effect::Save { file, contents } => {
                    self.files.insert(file, contents);
                }
                Effect::Erase { file } => drop(self.files.remove(&file)),
                Effect::IndexAborted { log, segment, position, entries } => {
                    let file = format!("{}/{segment:020}.txnindex", self.logs[&log].directory);
                    let file = self.files.entry(file).or_default();
                    *file = [&file[..position as usize], &entries].concat().into();
                }
                Effect::Reply { ticket, response } => {
                    response.encode(&mut BytesMut::new()).expect("a reply can be sent");
                    match ticket.conn {
                        CLIENT => drop(self.replies.insert(ticket.seq, response)),
                        conn => self.said.push_back(answer_to_itself(conn, ticket.seq, response)),
                    }
                }
                Effect::Note { level, text } => self.notes.push((level, text)),
                Effect::Reindex { .. } => {}
                Effect::ZooKeeper(effect) => self.ask_zookeeper(effect),
                Effect::Client(Wire::Open { conn, .. }) if conn >= TO_ITSELF => {
                    self.say_to_itself(Event::Client { event: client::Event::Opened { conn }, batches: Vec::new() });
                }
                Effect::Client(Wire::Send { conn, request }) if conn >= TO_ITSELF => {
                    let mut frame = BytesMut::new();
                    request.encode(&mut frame).expect("a request can be sent");
                    let request = Request::decode(frame.freeze()).expect("a request can be read");
                    let ticket = Ticket { conn, seq: request.correlation_id as u64 };
                    self.say_to_itself(Event::Request { ticket, request });
                }
                other => self.others.push(other),
            }
        }
        for event in events {
            if self.slow {
                self.held.push_back(event);
            } else {
                self.step(event);
            }
        }
        while let Some(event) = self.said.pop_front() {
            self.step(event);
        }
    }

    fn say_to_itself(&mut self, event: Event) {
        if self.deaf { self.unheard.push_back(event) } else { self.said.push_back(event) }
    }

    /// It is not deaf any more.
    fn hear(&mut self) {
        self.deaf = false;
        while let Some(event) = self.unheard.pop_front() {
            self.step(event);
        }
    }

    /// ZooKeeper's disk is never slow, and what it says arrives at once.
    fn ask_zookeeper(&mut self, effect: zookeeper::client::Effect) {
        use zookeeper::{client, server};
        let mut out = Vec::new();
        let event = match effect {
            client::Effect::Open { conn } => {
                return self.said.push_back(Event::ZooKeeper(client::Event::Opened { conn }));
            }
            client::Effect::Send { conn, message } => server::Event::Message { conn, message },
            client::Effect::Close { conn } => server::Event::Closed { conn },
        };
        self.zookeeper.step(self.now, event, &mut out);
        let mut said = |event| self.said.push_back(Event::ZooKeeper(event));
        while !out.is_empty() {
            for effect in std::mem::take(&mut out) {
                match effect {
                    server::Effect::Send { conn, message } => {
                        said(client::Event::Message { conn, message: message.into() })
                    }
                    server::Effect::Close { conn } => said(client::Event::Closed { conn }),
                    server::Effect::Append { zxid, .. } => {
                        self.zookeeper.step(self.now, server::Event::Written { zxid }, &mut out);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The disk does what it has held back.
    fn catch_up(&mut self) {
        while let Some(event) = self.held.pop_front() {
            self.step(event);
        }
    }

    /// Time passes; the timer rings if it is due.
    fn pass(&mut self, millis: u64) {
        self.now.instant = self.now.instant + Duration::from_millis(millis);
        self.now.wall.0 += millis as i64;
        if self.broker.deadline().is_some_and(|deadline| deadline <= self.now.instant) {
            self.step(Event::Timer);
        }
    }

    fn bytes(&self, extent: Extent) -> Bytes {
        let file = &self.logs[&extent.log].segments[&extent.segment];
        let (start, end) = (extent.position as usize, (extent.position + extent.len) as usize);
        Bytes::copy_from_slice(&file[start.min(file.len())..end.min(file.len())])
    }

    /// Sends a request and gives its number; the reply, if there is one yet, is in `replies`.
    fn send(&mut self, api_key: ApiKey, version: i16, body: impl Into<RequestKind>) -> u64 {
        let seq = self.requests;
        self.requests += 1;
        let request = Request::new(api_key, version, seq as i32, None, body.into());
        self.step(Event::Request { ticket: Ticket { conn: CLIENT, seq }, request });
        seq
    }

    fn create(&mut self, name: &str, configs: &[(&str, &str)]) -> Uuid {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let topic = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let seq = self.send(ApiKey::CreateTopics, 7, CreateTopicsRequest::default().with_topics(vec![topic]));
        let ResponseKind::CreateTopics(body) = &*self.replies[&seq].body else { panic!() };
        assert_eq!(body.topics[0].error_code, error::NONE, "{body:?}");
        body.topics[0].topic_id
    }

    /// Produces one batch to partition 0 by name, in version 12.
    fn produce(&mut self, name: &str, acks: i16, batch: &Batch) -> u64 {
        self.produce_to(name, 0, acks, batch)
    }

    fn produce_to(&mut self, name: &str, index: i32, acks: i16, batch: &Batch) -> u64 {
        let partition = PartitionProduceData::default().with_index(index).with_records(Some(batch.bytes.clone()));
        let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![partition]);
        let body = ProduceRequest::default().with_acks(acks).with_timeout_ms(1_000).with_topic_data(vec![data]);
        self.send(ApiKey::Produce, 12, body)
    }

    /// What the reply to a Produce of one batch says; `None` while there is none.
    fn produced(&self, seq: u64) -> Option<&PartitionProduceResponse> {
        let ResponseKind::Produce(body) = &*self.replies.get(&seq)?.body else { panic!() };
        Some(&body.responses[0].partition_responses[0])
    }

    /// The body of a Fetch reply, and its record sets; `None` while there is none.
    fn fetched(&self, seq: u64) -> Option<(&FetchResponse, Vec<Bytes>)> {
        let reply = self.replies.get(&seq)?;
        let ResponseKind::Fetch(body) = &*reply.body else { panic!() };
        let partitions: usize = body.responses.iter().map(|topic| topic.partitions.len()).sum();
        assert_eq!(partitions, reply.records.len());
        Some((body, reply.records.iter().map(|extent| extent.map_or_else(Bytes::new, |it| self.bytes(it))).collect()))
    }

    /// The one partition of a Fetch reply and the values in its records.
    fn fetched_one(&self, seq: u64) -> Option<(&PartitionData, Vec<String>)> {
        let (body, records) = self.fetched(seq)?;
        Some((&body.responses[0].partitions[0], values(&records[0])))
    }
}

fn answer_to_itself(conn: ConnId, seq: u64, response: Response) -> Event {
    let Response { version, body, .. } = response;
    let event = client::Event::Response { conn, correlation_id: seq as i32, version, body };
    Event::Client { event, batches: Vec::new() }
}

fn empty_zookeeper(now: Now) -> zookeeper::Server {
    let (config, image) = (zookeeper::server::Config::default(), zookeeper::store::Image::default());
    zookeeper::Server::open(config, &image, now, &mut Vec::new()).unwrap().0
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A batch with one record for each value, a second apart, the first at [`EPOCH_MS`].
fn batch(values: &[&str]) -> Batch {
    batch_in(Compression::None, values)
}

fn batch_in(codec: Compression, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(codec);
    for (index, value) in (0..).zip(values) {
        builder.append(Timestamp(EPOCH_MS + 1_000 * index), Some(b"k"), Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// The values of all records in a record set; a batch that is cut off at the end is left out.
fn values(records: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = Bytes::copy_from_slice(records);
    while let Ok(batch) = Batch::parse(rest.clone()) {
        rest = rest.slice(batch.bytes.len()..);
        let records = Record::decode(&batch).unwrap();
        values.extend(records.iter().map(|it| String::from_utf8_lossy(it.value.as_deref().unwrap()).into_owned()));
    }
    values
}

/// A fetch by name, in version 12: these partitions of a topic from these offsets.
fn fetch(name: &str, partitions: &[(i32, Offset)]) -> FetchRequest {
    let partitions = partitions.iter().map(|&(index, offset)| {
        FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
    });
    FetchRequest::default()
        .with_replica_id(kafka_protocol::messages::BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic(name)).with_partitions(partitions.collect())])
}

fn code(error: ErrorCode) -> i16 {
    error.code()
}
