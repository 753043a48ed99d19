//! Coordinators: what a broker decides for groups, and for transactions, where it leads a partition of their topic.
//!
//! ```text
//! a request, a timer ─▶ decide ─▶ Decision ─▶ its records are appended, as one batch ─▶ replay ─▶ the new state
//!                                    │             └ refused: nothing has happened
//!                                    └▶ its response waits until the high watermark has passed them
//! ```
//!
//! What a partition of `__consumer_offsets`, `__transaction_state` or `__share_group_state` holds is one [`Shard`]: a
//! [`Machine`], loaded from the log when this broker begins to lead the partition, dropped when it leads it no more.
//! [`crate::broker::coordinate`] runs the shards of a broker.
//!
//! 1. `decide` changes nothing. [`Machine::replay`] writes what the log says, [`Machine::apply`] what memory alone holds,
//!    and nothing else writes.
//! 2. Records are replayed after the partition has taken them, so that nothing of what was refused needs
//!    undoing. What memory alone holds stays as it was decided, as in Kafka: a classic group whose state could not be
//!    written is in it all the same.
//! 3. Decisions are made on the newest state; a response goes out when all that it was made on is committed.
//! 4. Who only reads sees what is committed: the state as it was at the high watermark is kept beside the newest one.
//!
//! `group/` groups | `transaction/` transactions | `share/` what is kept of shared partitions | `shard.rs` one partition's |
//! `timers.rs` deadlines by name | `refuse.rs` an answer that says it went wrong | `topic.rs` the topics that coordinators write to | `wire.rs` how their records lie there

pub mod group;
pub mod refuse;
pub mod shard;
pub mod share;
pub mod timers;
pub mod topic;
pub mod transaction;
pub mod wire;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{ResponseKind, TopicName};
use uuid::Uuid;

pub use shard::Shard;

use crate::broker::handle::Asked;
use crate::config::BrokerSettings;
use crate::config::group::{Pace, ShareSettings};
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::log::Guard;
use crate::protocol::cluster::ClusterState;
use crate::record::Compression;
use crate::time::{Duration, Now};
use crate::vec_map::VecMap;

/// The rules of one kind of coordinator, and what it holds of one partition.
pub trait Machine: Clone + Default {
    /// What the log says. Cheap to clone.
    type State: Clone;
    /// What the log is made of.
    type Record: Clone;
    /// What it can be asked.
    type Ask;
    /// What is to be decided when it is known what became of a decision's records.
    type Next: Clone;
    type Timer: Clone + Ord;
    /// A change of what memory alone holds.
    type Move;
    /// What the broker is to do besides.
    type Order;

    fn state(&self) -> &Self::State;

    /// The one place where anything is decided. (1)
    fn decide(&self, around: &Around<'_>, event: Event<Self>) -> Decision<Self>;

    fn replay(&mut self, record: &Self::Record, at: At);

    /// A marker of the log: the producer's transaction is committed or aborted.
    fn end_transaction(&mut self, producer: Producer, committed: bool);

    fn apply(&mut self, change: Self::Move);

    /// Key and value; no value is a tombstone.
    fn encode(record: &Self::Record) -> (Bytes, Option<Bytes>);

    /// `Ok(None)` where a newer Kafka wrote what this one does not know.
    fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self::Record>, String>;

    /// How long a response may wait for its records to be committed.
    fn write_timeout(settings: &BrokerSettings) -> Duration;

    fn compression(settings: &BrokerSettings) -> Compression;
}

/// What a decision may look at besides the machine.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub now: Now,
    pub cluster: &'a ClusterState,
    /// The cluster's topics by their ids.
    pub topic_names: &'a VecMap<Uuid, TopicName>,
    pub settings: &'a BrokerSettings,
}

impl Around<'_> {
    /// How fast things go in a group of the consumer protocol.
    pub fn pace(&self, group: &str) -> Pace {
        self.settings.group.consumer.pace.with(self.cluster.group_configs.get(group))
    }

    /// What holds of a share group.
    pub fn share(&self, group: &str) -> ShareSettings {
        self.settings.group.share.with(self.cluster.group_configs.get(group))
    }
}

/// What there is to decide.
pub enum Event<M: Machine> {
    /// The log has been read: from now on it is asked.
    Loaded,
    Asked(M::Ask),
    Timer(M::Timer),
    /// What became of the records of the decision that named `next`; the error is the coordinator's.
    Written {
        next: M::Next,
        result: Result<(), ErrorCode>,
    },
    /// The cluster has another state.
    Cluster {
        /// There are topics in it that were not there before.
        created: bool,
        /// These are gone from it.
        deleted: Arc<[(TopicName, Uuid)]>,
    },
    /// Another broker leads from now on. Only `replies` count: those who wait in memory alone are sent there.
    Unloading,
}

/// What is to happen, in the order of the fields.
pub struct Decision<M: Machine> {
    pub moves: Vec<M::Move>,
    pub timers: Vec<(M::Timer, Alarm)>,
    /// One batch: all or none of them are in the log.
    pub records: Vec<M::Record>,
    /// They may be in several batches, since each of them is right without the others.
    pub splits: bool,
    /// Of which transaction they are part.
    pub producer: Option<Producer>,
    /// That this transaction goes on in this partition, where its coordinator was asked.
    pub guard: Option<Guard>,
    /// At once.
    pub replies: Vec<Reply>,
    /// When everything that is decided so far is committed; with the error where it is not.
    pub response: Option<Reply>,
    /// The same; the answer is one more decision.
    pub next: Option<M::Next>,
    pub orders: Vec<M::Order>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Instead of what was set before.
    In(Duration),
    /// Unless one was set before.
    First(Duration),
    Off,
}

impl<M: Machine> Default for Decision<M> {
    fn default() -> Self {
        Decision {
            moves: Vec::new(),
            timers: Vec::new(),
            records: Vec::new(),
            splits: false,
            producer: None,
            guard: None,
            replies: Vec::new(),
            response: None,
            next: None,
            orders: Vec::new(),
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub offset: Offset,
    /// Of which transaction it is part.
    pub producer: Option<Producer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// An answer, and who gets it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub to: Waiter,
    pub body: ResponseKind,
}

/// A request that waits, or one part of a request that several shards answer.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub asked: Asked,
    pub part: Option<usize>,
}

impl Waiter {
    /// For that part of the answer.
    pub fn part(self, part: usize) -> Waiter {
        Waiter { part: Some(part), ..self }
    }

    pub fn reply(self, body: impl Into<ResponseKind>) -> Reply {
        Reply { to: self, body: body.into() }
    }
}

impl From<Asked> for Waiter {
    fn from(asked: Asked) -> Waiter {
        Waiter { asked, part: None }
    }
}

/// What a coordinator says where its partition says `error`, so that clients look for it again or wait, as Kafka does.
pub fn coordinator_error(error: ErrorCode) -> ErrorCode {
    use ErrorCode::*;
    match error {
        UnknownTopicOrPartition | NotEnoughReplicas | NotEnoughReplicasAfterAppend | RequestTimedOut => {
            CoordinatorNotAvailable
        }
        NotLeaderOrFollower | KafkaStorageError => NotCoordinator,
        MessageTooLarge | RecordListTooLarge | InvalidFetchSize => UnknownServerError,
        NetworkException => CoordinatorLoadInProgress,
        other => other,
    }
}
