//! A scenario: a text that people write and read, one action a line, with Kafka's own property names.
//!
//! ```text
//! # Three brokers, a topic, traffic, and a death.
//! seed 7
//! cluster brokers=3 racks=a,b,c log.segment.bytes=1048576
//! topic orders partitions=3 replication.factor=1
//! producer p1 topic=orders rate=10/s acks=all linger.ms=5
//! consumer c1 topics=orders auto.offset.reset=earliest
//! @3s  send orders key=4711 value="hello world" header=a:b partition=1 timestamp=1700000000000
//! @5s  kill broker-1
//! @8s  cut p1 broker-2
//! @9s  heal p1 broker-2
//! @12s start broker-1
//! @20s expect no-acked-record-lost
//! ```

use std::collections::BTreeMap;

use crate::client::SendRecord;
use crate::id::BrokerId;
use crate::rng::Seed;
use crate::time::{Duration, Instant};

/// A whole run: who is there, and what happens when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    pub seed: Seed,
    pub cluster: Cluster,
    /// In order of time, ties in the order of the text. What has no `@time` happens at 0.
    pub actions: Vec<Timed>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    pub at: Instant,
    pub action: Action,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    pub brokers: u32,
    /// Given to brokers in turn.
    pub racks: Vec<String>,
    /// Kafka's broker settings, checked.
    pub settings: BTreeMap<String, String>,
    /// Of every link, one way.
    pub latency: Option<(Duration, Duration)>,
    /// Messages lost, in a million.
    pub loss_per_million: u32,
}

/// Whatever a scenario, or a hand on the page, can do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Topic {
        name: String,
        partitions: u32,
        replication_factor: u32,
        configs: BTreeMap<String, String>,
    },
    Producer {
        name: String,
        topic: String,
        settings: BTreeMap<String, String>,
    },
    Consumer {
        name: String,
        topics: Vec<String>,
        settings: BTreeMap<String, String>,
    },
    /// Milli-records a second, from now on.
    Rate {
        producer: String,
        milli_per_second: u64,
    },
    Send(SendRecord),
    /// The process dies; what it wrote stays.
    Kill(BrokerId),
    /// The machine dies, and with it what was not flushed.
    Crash(BrokerId),
    Start(BrokerId),
    /// No message passes between the two, in either direction.
    Cut(String, String),
    Heal(String, String),
    /// A producer or consumer goes.
    Stop(String),
    Expect(Expectation),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    NoAckedRecordLost,
    /// `acked >= 100`-like counts, by name (`acked`, `sent`, `failed`, `received`, `end:orders-0`, `lag`).
    Count {
        what: String,
        op: Comparison,
        value: i64,
    },
}

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

pub mod link;
pub mod parse;
