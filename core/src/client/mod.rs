//! Clients are nodes too: the simulator runs these against simulated brokers, a native driver runs the same ones over
//! TCP against any Kafka.
//!
//! `producer/`, `consumer/` the nodes, with their stages and settings | `connection.rs` connections, requests in flight,
//! time-outs | `metadata.rs` which broker leads what | `admin.rs` what operators ask | `setting.rs` settings by Kafka's names |
//! `call.rs` what a program asks natively | `serdes.rs` Kafka's serializers and deserializers, `lists.rs` that of lists | `exception.rs` what calls throw

pub mod admin;
pub mod call;
pub mod connection;
pub mod consumer;
pub mod exception;
#[cfg(test)]
mod fake;
pub mod line;
mod lists;
pub mod metadata;
pub mod producer;
pub mod serdes;
pub mod setting;

pub use call::Call;
pub use consumer::Consumer;
pub use producer::Producer;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use self::exception::Exception;
use crate::id::{ConnId, LeaderEpoch, Offset, TopicPartition};
use crate::protocol::Request;
use crate::record::{Header, TimestampType};
use crate::time::Instant;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// What can happen to a client.
#[derive(Clone, Debug)]
pub enum Event {
    Timer,
    /// The connection that this client asked for stands.
    Opened {
        conn: ConnId,
    },
    /// It could not be made, or was lost.
    Closed {
        conn: ConnId,
    },
    /// The answer to a request; record sets of a Fetch are in the body.
    Response {
        conn: ConnId,
        correlation_id: i32,
        version: i16,
        body: Box<ResponseKind>,
    },
    /// What the application (a scenario, a hand on the page) wants.
    Command(Box<Command>),
    /// What a program wants that runs the client natively; what it returns has the same number.
    Call {
        id: u64,
        call: Box<Call>,
    },
    /// Producers: what a consumer of the same application has read is to be worked off, in a transaction.
    Process(Arc<Polled>),
    /// Consumers: what poll() gave is worked off, or is to be read again.
    Processed {
        well: bool,
    },
}

/// What an application can ask of a running client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Produce one chosen record.
    Send(SendRecord),
    /// Records a second, from now on; 0 stops.
    Rate {
        milli_per_second: u64,
    },
    /// beginTransaction(), commitTransaction(), abortTransaction().
    Transaction(Turn),
    /// sendOffsetsToTransaction()
    SendOffsets(Offsets),
    /// Close in order, which [`Report::Closed`] ends.
    Close,
    Seek {
        name: TopicPartition,
        offset: Offset,
    },
    Pause {
        name: TopicPartition,
    },
    Resume {
        name: TopicPartition,
    },
}

/// What an application does with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Begin,
    Commit,
    Abort,
}

impl Turn {
    pub const ALL: [Turn; 3] = [Turn::Begin, Turn::Commit, Turn::Abort];

    pub fn word(self) -> &'static str {
        match self {
            Turn::Begin => "begin",
            Turn::Commit => "commit",
            Turn::Abort => "abort",
        }
    }
}

/// Offsets that a group is to have read up to when the transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub group: String,
    /// Whose they are in the group: the member's id and its generation; none and −1 for nobody's.
    pub member: String,
    pub generation: i32,
    /// Those of a topic stand together.
    pub offsets: Vec<NextOffset>,
}

/// How far a partition has been worked off: Kafka's `OffsetAndMetadata`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextOffset {
    pub topic: String,
    pub partition: i32,
    /// That of the record that comes next.
    pub offset: Offset,
    /// In which epoch the last one before it was written; −1 is not known (KIP-320).
    pub leader_epoch: LeaderEpoch,
}

/// What one poll() gave to an application that works it off in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Where the group is to have come to when that is done.
    pub offsets: Offsets,
    pub records: Vec<Read>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub key: Option<Bytes>,
}

/// One chosen record: `send orders key=4711 value=hello header=a:b partition=1 timestamp=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendRecord {
    pub topic: String,
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
}

/// What is asked of the network. Connection ids are the client's own, counted from 0.
#[derive(Clone, Debug)]
pub enum Wire {
    Open { conn: ConnId, to: Endpoint },
    Send { conn: ConnId, request: Box<Request> },
    Close { conn: ConnId },
}

/// What a client can ask of the world.
#[derive(Clone, Debug)]
pub enum Effect {
    Wire(Wire),
    /// Something that the application would see; the simulator's checks and the event log live on it.
    Report(Report),
}

impl From<Wire> for Effect {
    fn from(wire: Wire) -> Effect {
        Effect::Wire(wire)
    }
}

/// What became of records. A record's sequence counts from 0, per producer, in the order of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A record was handed to the producer and has its partition.
    Sent { topic: TopicName, partition: i32, sequence: u64 },
    /// Acknowledged at that offset (−1 under acks=0); the broker's timestamp under LogAppendTime, else −1.
    Acked { topic: TopicName, partition: i32, sequence: u64, offset: i64, log_append_time: i64 },
    /// Given up; partition −1 where it never got one. `thrown` by send() itself, that is.
    Failed { topic: TopicName, partition: i32, sequence: u64, thrown: bool, error: Exception },
    /// These may be written already, and are sent again under other sequences: no leader knows them again.
    Renumbered { topic: TopicName, partition: i32, sequences: Vec<u64> },
    /// A record reached the application.
    Received {
        topic: TopicName,
        partition: i32,
        offset: i64,
        timestamp: i64,
        timestamp_type: TimestampType,
        leader_epoch: LeaderEpoch,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Vec<Header>,
    },
    /// How a transaction goes. Records that are sent between its begin and its end are its own.
    Transaction(TransactionStage),
    /// A call threw an exception.
    Thrown { call: &'static str, error: String },
    /// What became of a program's call.
    Returned { call: u64, result: Result<(), Exception> },
    /// The rebalance listener of a group's member is told: it may read `owned` from now on, of which `added` is new.
    Assigned {
        group: StrBytes,
        member_id: StrBytes,
        instance_id: Option<StrBytes>,
        /// The member epoch, in the consumer protocol.
        generation: i32,
        added: Vec<TopicPartition>,
        owned: Vec<TopicPartition>,
    },
    /// It has to let go of these.
    Revoked { group: StrBytes, generation: i32, partitions: Vec<TopicPartition> },
    /// These are its own no more, and perhaps somebody else's already.
    Lost { group: StrBytes, partitions: Vec<TopicPartition> },
    /// The coordinator has taken a commit, which was asked for at that moment.
    Committed { group: StrBytes, generation: i32, asked: Instant, offsets: Vec<(TopicPartition, Offset)> },
    /// The application goes on reading there.
    Sought { partition: TopicPartition, offset: Offset },
    /// The application has what poll() gave, and works it off in a transaction: it calls poll() when that has ended.
    Polled(Arc<Polled>),
    /// The client is closed, or an application that cannot go on has closed its producer.
    Closed,
    /// A line for the event log.
    Note(String),
}

/// Where a transaction stands, as its application knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStage {
    /// initTransactions() is done: the transactional id is this producer's.
    Initialized,
    Begun,
    /// Asked for, and not known to be done.
    Committing,
    Aborting,
    Committed,
    Aborted,
}
