//! What a page draws: a plain snapshot of a cluster. The simulator makes it, a live server makes it, and the page knows
//! nothing else. Names of nodes are those of scenarios: `broker-1`, `p1`, `c1`.
//!
//! `held.rs` what there is to see of one thing

mod held;

use serde::{Deserialize, Serialize};

pub use self::held::*;
use crate::time::Instant;

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
    /// Sorted by id.
    #[serde(default)]
    pub transactions: Vec<TransactionView>,
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
    /// The last stable offset: read_committed consumers stop here.
    #[serde(default)]
    pub stable: i64,
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
    #[serde(default, skip_serializing_if = "Fate::is_plain")]
    pub fate: Fate,
}

/// What a batch is to transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Nothing.
    #[default]
    Plain,
    /// Its transaction has no marker yet.
    Open,
    Committed,
    Aborted,
    /// It is a marker, which says how a transaction ended.
    CommitMarker,
    AbortMarker,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicView {
    pub name: String,
    /// Kafka's base64 form.
    pub id: String,
    pub partitions: u32,
    pub replication_factor: u32,
    /// What holds, set here or by the brokers.
    #[serde(default)]
    pub min_insync_replicas: u32,
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
    /// Where what it has in hand is; `None` where nobody knows.
    #[serde(default)]
    pub stages: Option<StagesView>,
}

/// The way of a record through a producer: serializer, partitioner, a queue of batches a partition, in flight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagesView {
    /// Why send() waits, if it does.
    pub blocked: Option<String>,
    /// How it finds a partition.
    pub partitioner: String,
    /// `batch.size`.
    pub batch_size: u32,
    pub linger_ms: u64,
    /// Those with something in them, by topic and partition.
    pub queues: Vec<QueueView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueView {
    pub topic: String,
    pub partition: i32,
    /// Batches that wait, and those that are on their way to the leader.
    pub waiting: u32,
    pub in_flight: u32,
    /// The oldest of both, at most [`StagesView::BATCHES`] of each.
    pub batches: Vec<PendingView>,
    pub flying: Vec<PendingView>,
}

/// A batch in a producer's hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingView {
    pub records: u32,
    pub bytes: u32,
    /// How often it has been sent.
    pub attempts: u32,
}

/// Who a producer is to brokers, and its transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdentityView {
    /// −1 before it has one.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub transactional_id: Option<String>,
    /// Kafka's name of it: `IN_TRANSACTION`. Only the client knows it, and what follows: empty on a live server.
    pub state: String,
    /// Those in which the open transaction has records.
    pub partitions: Vec<String>,
    pub committed: u64,
    pub aborted: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumerView {
    pub name: String,
    /// By which its group knows it.
    #[serde(default)]
    pub client_id: String,
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
    /// How it stands with its group, in its own words, or its coordinator's: `stable`, `joins`; empty where nobody knows.
    #[serde(default)]
    pub membership: String,
}

impl ConsumerView {
    /// How far it is behind, once all its positions are known.
    pub fn known_lag(&self) -> Option<u64> {
        (self.unplaced == 0 && !self.positions.is_empty()).then_some(self.lag)
    }
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
    /// Of a classic group: it has joined the rebalance that goes on.
    #[serde(default)]
    pub joined: bool,
}

/// A transactional id, as its coordinator knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionView {
    pub id: String,
    /// As Kafka names it: `Ongoing`, `PrepareCommit`, `CompleteAbort`.
    pub state: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Topic and partition, sorted: those that take part, until all of them have their markers.
    pub partitions: Vec<(String, i32)>,
    pub timeout_ms: i32,
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

impl ZooKeeperView {
    /// One that does not run.
    pub fn dead() -> ZooKeeperView {
        ZooKeeperView { name: crate::zookeeper::NAME.to_owned(), health: Health::Dead, ..ZooKeeperView::default() }
    }
}

impl Fate {
    pub fn is_plain(&self) -> bool {
        *self == Fate::Plain
    }

    pub fn is_marker(self) -> bool {
        matches!(self, Fate::CommitMarker | Fate::AbortMarker)
    }
}

impl StagesView {
    /// Batches of a queue that a view carries.
    pub const BATCHES: usize = 6;
}

impl View {
    /// Cells of a strip that a view carries.
    pub const CELLS: usize = 64;
    /// Lines of the event log that a view carries.
    pub const LINES: usize = 200;
}
