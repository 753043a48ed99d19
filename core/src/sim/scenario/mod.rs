//! A scenario: a text that people write and read, one action a line, with Kafka's own property names.
//!
//! ```text
//! # Three brokers, a topic, traffic, and a death.
//! seed 7
//! cluster brokers=3 racks=a,b,c latency=1ms..5ms loss=0.1% log.segment.bytes=1048576
//! topic orders partitions=3 replication.factor=1
//! producer p1 topic=orders rate=10/s acks=all linger.ms=5
//! consumer c1 topics=orders auto.offset.reset=earliest
//! @3s  send orders key=4711 value="hello world" header=a:b partition=1 timestamp=1700000000000
//! @4s  rate p1 50/s
//! @5s  kill broker-1
//! @8s  cut p1 broker-2
//! @9s  heal p1 broker-2
//! @12s start broker-1
//! @10s producer p2 topic=orders,payments transactional.id=t1
//! @10s begin p2
//! @10s send orders by=p2 key=4711
//! @10s offsets p2 shop orders-0=42
//! @11s commit p2
//! @11s producer p3 topic=orders rate=10/s transactional.id=t2 transaction.every=5 transaction.aborts=20
//! @11s consumer c2 topics=orders group.id=g enable.auto.commit=false commit=transaction isolation.level=read_committed
//! @11s producer p4 topic=results reads=c2 transactional.id=t3
//! @13s add broker
//! @13s reassign orders-0 4,2
//! @14s elect preferred orders-1
//! @14s expire broker-1
//! @15s stop p1
//! @16s kill c1
//! @17s start c1
//! @18s rate c1 5/s
//! @18s seek c1 orders-0 100
//! @19s pause c1 orders-0
//! @20s resume c1 orders-0
//! @16s quota client=p1 producer_byte_rate=1000
//! @17s delete-records orders-0 before=20
//! @20s expect no-acked-record-lost
//! @20s expect acked >= 100
//! @20s expect members:g = 2
//! @20s expect owner:g:orders-0 = c1
//! ```
//!
//! A producer that `reads` a consumer works off what that one gets, poll by poll, in transactions that commit the consumer's
//! offsets too; both are one process, and whatever strikes one of them strikes both.
//!
//! A consumer with a `group.id` is a member of that group. `stop` closes it, so that it leaves in order; `kill` ends its
//! process, and the group waits for it until its session ends; `start` begins another process, which knows nothing. A producer
//! that is stopped sends what it has, and aborts a transaction that is open. `rate` is
//! how fast its application works off what `poll()` gives; at 0/s it is stuck. `pause c1` holds the process, `pause c1
//! orders-0` is what the application asks for.
//!
//! 1. `parse::scenario(&scenario.to_string()) == Ok(scenario)`: what is written is read back, comments and blank lines
//!    included.
//! 2. A text is taken whole or not at all: one wrong line, and nothing of it runs.
//!
//! `parse.rs` text to [`Scenario`]: every `line.rs`, by the words of `lex.rs` and the names of `names.rs` | `text.rs`
//! [`Scenario`] to text | `cluster.rs` what the cluster is made of | `client.rs` producers and consumers | `expect.rs` what is
//! expected | `errand.rs` what operators do | `fault.rs` what can break, `swarm.rs` when, by dice | `link.rs` a run as a link | `prepared.rs` the
//! scenarios that come with Ottla, `flip.rs` what each of them hangs on

use crate::bug::{Bug, Bugs};
use crate::client::admin::Errand;
use crate::client::{Command, SendRecord};
use crate::id::TopicPartition;
use crate::rng::Seed;
use crate::time::Instant;
use crate::vec_map::VecMap;

mod client;
mod cluster;
mod errand;
mod expect;
mod fault;
pub mod flip;
mod lex;
mod line;
pub mod link;
mod names;
pub mod parse;
pub mod prepared;
pub mod swarm;
mod text;

pub use cluster::{Capacity, Cluster};
pub use fault::{Fault, Link, WORDS as FAULTS, Who, breaks};
pub use names::{is_name, topic_name};
pub use swarm::Swarm;
pub(super) use text::Span;

/// A whole run: who is there, and what happens when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// The comments and blank lines that open the text, as they stand: by custom `# Title`, then a paragraph.
    pub opening: Vec<String>,
    pub seed: Seed,
    pub cluster: Cluster,
    /// Kafka's historic mistakes that are to be seen.
    pub bugs: Vec<BugLine>,
    /// Faults that the seed draws.
    pub swarm: Option<Swarm>,
    /// In order of time, ties in the order of the text. What has no `@time` happens at 0.
    pub actions: Vec<Timed>,
    /// The comments and blank lines after the last action.
    pub closing: Vec<String>,
}

/// `bug truncate-to-high-watermark`.
#[derive(Clone, Debug, PartialEq)]
pub struct BugLine {
    pub bug: Bug,
    /// The comments and blank lines above it.
    pub above: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    pub at: Instant,
    pub action: Action,
    /// The comments and blank lines above it.
    pub above: Vec<String>,
}

/// Whatever a scenario, or a hand on the page, can do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Something is asked of the cluster, such as a topic.
    Errand(Errand),
    Producer {
        name: String,
        topics: Vec<String>,
        settings: VecMap<String, String>,
    },
    Consumer {
        name: String,
        topics: Vec<String>,
        settings: VecMap<String, String>,
    },
    /// Milli-records a second, from now on: that a producer makes, or that the application of a consumer works off.
    Rate {
        client: String,
        milli_per_second: u64,
    },
    /// By a producer, or by nobody's.
    Send {
        by: Option<String>,
        record: SendRecord,
    },
    /// A client's application makes a call: begin, commit, abort; seek, pause, resume.
    Command {
        client: String,
        command: Command,
    },
    /// Something breaks, or is put right.
    Fault(Fault),
    /// A new broker, with the next id, joins the running cluster.
    AddBroker,
    /// A broker, a producer or a consumer goes, in order.
    Stop(String),
    Expect(Expectation),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    NoAckedRecordLost,
    /// No invariant was broken so far, but where Kafka allows it.
    InvariantsHold,
    /// What must be so some time after the last fault: see `check/liveness.rs`.
    Settled,
    /// `owner:g:orders-0 = c1`: who reads a partition in a group; nobody is `none`.
    Owner {
        group: String,
        partition: TopicPartition,
        consumer: String,
    },
    /// `acked >= 100`: one of [`COUNTS`], compared with a number.
    Count {
        what: String,
        op: Comparison,
        value: i64,
    },
}

/// What an `expect` can count, over all producers or consumers, or of one: `received`, `received:c1`.
pub const COUNTS: [(&str, &str); 14] = [
    ("sent", "records that producers were given"),
    ("acked", "records that were acknowledged to producers"),
    ("failed", "records that producers gave up"),
    ("retries", "batches that producers sent once more"),
    ("requests", "Produce requests that producers sent"),
    ("requests-per-1000", "the same for every 1,000 records that were acknowledged"),
    ("connections", "connections that producers and consumers hold"),
    ("committed", "transactions that producers committed"),
    ("aborted", "transactions that producers aborted"),
    ("received", "records that reached consumers"),
    ("lag", "records between consumers' positions and the high watermarks"),
    ("assigned", "partitions that consumers own by their groups"),
    ("revoked", "partitions that consumers had to let go of, counted once more every time"),
    ("taken", "partitions that consumers found to be theirs no more, likewise"),
];

/// What an `expect` can count of one group: `members:g`.
pub const GROUP_COUNTS: [(&str, &str); 6] = [
    ("members", "members of the group, as its coordinator knows it"),
    ("generation", "its generation, or group epoch"),
    ("rebalances", "generations, or epochs, in which its members were assigned partitions"),
    ("group-lag", "records between what it has committed and the high watermarks"),
    ("idle-ms", "the longest time that a partition, once read, was without a reader, in milliseconds"),
    ("redelivered", "records that reached it once more"),
];

/// What an `expect` can count of the cluster.
pub const CLUSTER_COUNTS: [(&str, &str); 9] = [
    ("controllers", "brokers that believe to be the controller"),
    ("controller-epoch", "how many controllers there have been"),
    ("registered", "brokers that are registered in ZooKeeper"),
    ("topics", "topics that clients can see"),
    ("duplicates", "numbered records that were read once more, at another offset"),
    ("unseen", "acknowledged records that no consumer has got"),
    ("moving", "partitions that are on their way to other brokers"),
    ("lost", "acknowledged records that are gone"),
    ("broken", "invariants that were broken, without what Kafka allows"),
];

/// What an `expect` can count over all brokers, or of one: `replicas:broker-1`.
pub const BROKER_COUNTS: [(&str, &str); 2] =
    [("replicas", "replicas of partitions"), ("leaders", "partitions that are led")];

/// What an `expect` can count of one partition: `end:orders-0`.
pub const PARTITION_COUNTS: [(&str, &str); 7] = [
    ("end", "the leader's log end offset"),
    ("start", "the leader's log start offset"),
    ("segments", "the leader's segments"),
    ("isr", "in-sync replicas"),
    ("leader", "the leader's broker id, -1 where there is none"),
    ("epoch", "the leader epoch"),
    ("high-watermark", "the leader's high watermark"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// Where a text is wrong, and what was expected there. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl Scenario {
    /// Puts an action in at its moment, behind what happens at that moment already.
    pub fn insert(&mut self, at: Instant, action: Action) {
        let place = self.actions.partition_point(|timed| timed.at <= at);
        self.actions.insert(place, Timed { at, action, above: Vec::new() });
    }

    /// Takes the rate away that the last action of that moment sets, if `action` sets it anew. False where it does not.
    pub fn take_back(&mut self, at: Instant, action: &Action) -> bool {
        let Action::Rate { client, .. } = action else { return false };
        let place = self.actions.partition_point(|timed| timed.at <= at);
        let same = |timed: &Timed| {
            timed.at == at
                && timed.above.is_empty()
                && matches!(&timed.action, Action::Rate { client: known, .. } if known == client)
        };
        match place.checked_sub(1).filter(|last| self.actions.get(*last).is_some_and(same)) {
            Some(last) => {
                self.actions.remove(last);
                true
            }
            None => false,
        }
    }

    /// When the last thing that it says happens.
    pub fn last(&self) -> Instant {
        let drawn = self.swarm.as_ref().map_or(Instant::ZERO, |swarm| swarm.until);
        self.actions.last().map_or(drawn, |timed| timed.at.max(drawn))
    }

    pub fn bugs(&self) -> Bugs {
        self.bugs.iter().map(|line| line.bug).collect()
    }

    /// Its first comment line without the `#`.
    pub fn title(&self) -> Option<&str> {
        self.opening.iter().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty())
    }
}

impl Action {
    /// The producers and consumers that must be there for it.
    pub fn clients(&self) -> impl Iterator<Item = &str> {
        let (one, fault) = match self {
            Action::Rate { client, .. } | Action::Command { client, .. } => (Some(client), None),
            Action::Send { by, .. } => (by.as_ref(), None),
            Action::Stop(name) => (Some(name), None),
            Action::Fault(fault) => (None, Some(fault)),
            _ => (None, None),
        };
        one.map(String::as_str).into_iter().chain(fault.into_iter().flat_map(Fault::clients))
    }
}

impl Comparison {
    pub const ALL: [Comparison; 5] =
        [Comparison::Less, Comparison::AtMost, Comparison::Equal, Comparison::AtLeast, Comparison::More];

    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "=",
            Comparison::AtLeast => ">=",
            Comparison::More => ">",
        }
    }

    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::AtMost => left <= right,
            Comparison::Equal => left == right,
            Comparison::AtLeast => left >= right,
            Comparison::More => left > right,
        }
    }
}

impl ParseError {
    pub fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        ParseError { line, column, message: message.into() }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests;
