//! What a page draws: a plain snapshot of a cluster. The simulator makes it, a live server makes it, and the page knows
//! nothing else. Names of nodes are those of scenarios: `broker-1`, `p1`, `c1`.

use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::zookeeper::Stat;

/// One moment of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The moment, since the run or the server began.
    pub now: Instant,
    /// Events stepped so far (simulated), requests answered so far (live).
    pub event: u64,
    /// `None` on a live server.
    pub seed: Option<u64>,
    pub brokers: Vec<BrokerView>,
    #[serde(default)]
    pub zookeeper: ZooKeeperView,
    /// Sorted by name.
    pub topics: Vec<TopicView>,
    pub producers: Vec<ProducerView>,
    pub consumers: Vec<ConsumerView>,
    /// Sorted by id.
    #[serde(default)]
    pub groups: Vec<GroupView>,
    /// Pairs of nodes that hold a connection, and pairs that are cut; each pair once, the client's name first.
    #[serde(default)]
    pub links: Vec<LinkView>,
    /// Every request and response that is on its way at this moment (simulated), or that passed lately (live).
    pub messages: Vec<MessageView>,
    /// The newest lines of the event log, oldest first.
    pub log: Vec<LogLine>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    #[default]
    Running,
    /// Takes no events, keeps its memory.
    Paused,
    Dead,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerView {
    pub id: i32,
    /// `broker-1`.
    pub name: String,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
    pub health: Health,
    pub controller: bool,
    /// Sorted by topic and partition.
    pub replicas: Vec<ReplicaView>,
    pub connections: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Requests parked in the purgatory.
    pub parked: u32,
    /// What is wrong with its machine, in words: `its disk is full`.
    #[serde(default)]
    pub faults: Vec<String>,
}

/// The machine that keeps the cluster's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZooKeeperView {
    /// `zookeeper`.
    pub name: String,
    pub health: Health,
    pub znodes: u32,
    pub sessions: u32,
    /// Changes so far.
    pub zxid: i64,
}

/// One replica of a partition, on one broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicaView {
    pub topic: String,
    pub partition: i32,
    pub leader: bool,
    pub in_sync: bool,
    pub leader_epoch: i32,
    pub log_start: i64,
    pub end: i64,
    pub high_watermark: i64,
    /// Everything below survives the machine.
    pub flushed: i64,
    pub bytes: u64,
    pub segments: u32,
    /// The newest batches, oldest first, at most [`View::CELLS`]; `end` is the last one's `last_offset + 1`.
    pub batches: Vec<BatchView>,
}

/// A cell of a strip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    pub base_offset: i64,
    pub last_offset: i64,
    pub bytes: u32,
    pub leader_epoch: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicView {
    pub name: String,
    /// Kafka's base64 form.
    pub id: String,
    pub partitions: u32,
    pub replication_factor: u32,
    /// Only what was set.
    pub configs: Vec<(String, String)>,
    /// The largest end offset of any replica, by partition: the common scale of the strips.
    pub ends: Vec<i64>,
    /// The leader's broker id by partition; −1 is none.
    pub leaders: Vec<i32>,
    /// Its place in the order in which topics came: a topic keeps it when others join.
    #[serde(default)]
    pub hue: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProducerView {
    /// Its name in the scenario; the client.id on a live server.
    pub name: String,
    /// What was set: `acks=1 linger.ms=5`; the peer's address on a live server.
    pub settings: String,
    /// Several with commas between them.
    pub topic: String,
    pub health: Health,
    /// Records a second that it is told to make; measured on a live server.
    pub rate: f64,
    pub sent: u64,
    /// What became of what it sent only the client itself knows: these three are 0 on a live server.
    pub acked: u64,
    pub failed: u64,
    pub retries: u64,
    /// Bytes that wait in its buffer, and `buffer.memory`; 0 where nobody knows, as of a live server's clients.
    pub buffered: u64,
    pub buffer_memory: u64,
    pub in_flight: u32,
    /// Produce requests that it has sent; 0 on a live server.
    #[serde(default)]
    pub requests: u64,
    /// With idempotence.
    #[serde(default)]
    pub identity: Option<IdentityView>,
}

/// Who a producer is to brokers, and its transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdentityView {
    /// −1 before it has one.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub transactional_id: Option<String>,
    /// Kafka's name of it: `IN_TRANSACTION`.
    pub state: String,
    /// Those in which the open transaction has records.
    pub partitions: Vec<String>,
    pub committed: u64,
    pub aborted: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumerView {
    pub name: String,
    pub settings: String,
    pub group: Option<String>,
    /// What it reads, or its group shares out.
    #[serde(default)]
    pub topics: Vec<String>,
    pub health: Health,
    pub received: u64,
    /// Records between its positions and the high watermarks.
    pub lag: u64,
    pub positions: Vec<PositionView>,
    /// Partitions in which it does not know yet where to begin: the lag leaves them out.
    #[serde(default)]
    pub unplaced: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PositionView {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// A group of consumers, as its coordinator knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    pub id: String,
    /// The protocol that it speaks: `classic` or `consumer`.
    pub kind: String,
    /// As Kafka names it: `Stable`, `PreparingRebalance`, `Reconciling`, `Empty`.
    pub state: String,
    /// The generation of a classic group, the group epoch of another.
    pub epoch: i32,
    /// How partitions are assigned: `range`, `uniform`.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    pub members: Vec<MemberView>,
    /// What it has committed, sorted by topic and partition.
    pub offsets: Vec<CommittedView>,
    /// Records between what it has committed and the high watermarks.
    pub lag: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    pub id: String,
    pub client_id: String,
    pub host: String,
    pub instance_id: Option<String>,
    /// Its generation, or member epoch.
    pub epoch: i32,
    /// Topic and partition, sorted; those that it has not let go of yet are among them.
    pub assigned: Vec<(String, i32)>,
}

/// An offset that a group has committed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommittedView {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The partition's high watermark; −1 where nobody leads it.
    pub high_watermark: i64,
    pub lag: u64,
}

/// Two nodes that can talk, or that a fault keeps apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkView {
    pub from: String,
    pub to: String,
    /// No message passes.
    pub cut: bool,
}

/// Which mark a message is drawn as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MessageKind {
    Produce,
    Fetch,
    ReplicaFetch,
    /// Between brokers, about the cluster.
    Cluster,
    /// With ZooKeeper.
    ZooKeeper,
    /// ApiVersions, Metadata, ListOffsets, admin calls.
    #[default]
    Other,
}

/// One request or response between two nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// Unique in a run, and the same in every replay of it.
    pub id: u64,
    pub kind: MessageKind,
    pub response: bool,
    /// Node names.
    pub from: String,
    pub to: String,
    /// The topic it is about, if it is about one: its hue.
    pub topic: Option<String>,
    /// On a live server a way from end to end is too short to be seen: there both say only how the mark is drawn, and
    /// [`Passed`] says when it was.
    pub departed: Instant,
    pub arrives: Instant,
    /// `Produce v12 orders-1 3 records 212 B acks=1`.
    pub line: String,
    pub error: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Instant,
    /// Counts up; the page's key.
    pub seq: u64,
    pub node: String,
    pub text: String,
    pub level: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    #[default]
    Info,
    Good,
    Warn,
    Bad,
}

/// A mark on the time line: an action, a fault, an expectation's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub at: Instant,
    pub text: String,
    pub level: Level,
}

/// What a person holds: something to look into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    Message {
        id: u64,
    },
    Broker {
        id: i32,
    },
    Partition {
        broker: i32,
        topic: String,
        partition: i32,
    },
    /// The batch that holds that offset.
    Batch {
        broker: i32,
        topic: String,
        partition: i32,
        offset: i64,
    },
    Producer {
        name: String,
    },
    Consumer {
        name: String,
    },
    /// A group of consumers.
    Group {
        id: String,
    },
    ZooKeeper,
    /// What ZooKeeper holds there.
    Znode {
        path: String,
    },
}

/// What there is to see of a [`Target`]: everything that needs bytes or message bodies and is not in the [`View`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Detail {
    Message(MessageDetail),
    Batch(BatchDetail),
    Znode(ZnodeDetail),
    /// Everything else: names and values, in groups.
    Facts(Vec<FactGroup>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageDetail {
    pub message: MessageView,
    /// `Produce`, `13`, correlation id, client.id.
    pub api: String,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    /// The real struct's fields, indented, a line each.
    pub fields: String,
    /// The first batch that it carries, if it carries any.
    pub batch: Option<BatchDetail>,
    /// Of a message of a live server.
    #[serde(default)]
    pub passed: Option<Passed>,
}

/// When a live server had to do with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// When the request was read.
    pub read: Instant,
    /// When its answer was handed to the socket; `None` while there is none, as under acks=0.
    pub answered: Option<Instant>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchDetail {
    pub topic: String,
    pub partition: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    /// Where it lies: the segment's base offset and the position in its file; absent while on its way.
    pub at: Option<(i64, u32)>,
    /// The header's fields: name, value in words, first byte, bytes.
    pub header: Vec<HeaderField>,
    /// Decoded; at most 100.
    pub records: Vec<RecordView>,
    /// The first 4 KiB, as they are in the log.
    pub bytes: Vec<u8>,
    pub size: u32,
    /// Why the records could not be decoded.
    pub broken: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZnodeDetail {
    pub path: String,
    /// As text; `None` where there is none.
    pub data: Option<String>,
    pub stat: Stat,
    /// Sorted by name.
    pub children: Vec<ZnodeChild>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZnodeChild {
    pub name: String,
    /// How many it has itself.
    pub children: i32,
    pub ephemeral: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderField {
    pub name: String,
    pub value: String,
    pub at: u32,
    pub len: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    pub offset: i64,
    pub timestamp: i64,
    /// As the first of those that name a serializer or a deserializer reads it: who wrote it, who writes to its topic, who
    /// reads it. Where nobody names one, or can read it: as text where it is UTF-8, else as `0x…`.
    pub key: Option<String>,
    pub value: Option<String>,
    /// Each of those classes, and what it reads or throws.
    #[serde(default)]
    pub key_read: Vec<(String, String)>,
    #[serde(default)]
    pub value_read: Vec<(String, String)>,
    pub headers: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FactGroup {
    pub title: String,
    pub facts: Vec<(String, String)>,
}

impl ZooKeeperView {
    /// One that does not run.
    pub fn dead() -> ZooKeeperView {
        ZooKeeperView { name: super::zookeeper::NAME.to_owned(), health: Health::Dead, ..ZooKeeperView::default() }
    }
}

impl View {
    /// Cells of a strip that a view carries.
    pub const CELLS: usize = 64;
    /// Lines of the event log that a view carries.
    pub const LINES: usize = 200;
}
