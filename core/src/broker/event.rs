//! What can happen to a broker.

use std::fmt;

use bytes::Bytes;
use kafka_protocol::messages::ResponseKind;

use crate::client;
use crate::id::{BrokerId, CallId, ConnId, LogId, Offset, ReadId, Ticket, WorkId};
use crate::log::compact::Done;
use crate::protocol::Request;
use crate::protocol::cluster::{ClusterRequest, ClusterResponse};
use crate::record::check::Invalid;
use crate::record::{Batch, replicated};
use crate::time::Duration;
use crate::zookeeper;

#[derive(Clone, Debug)]
pub enum Event {
    /// The deadline came, or the driver had a reason to look.
    Timer,
    /// A client's request, decoded; its batches are checked.
    Request { ticket: Ticket, request: Box<Request> },
    /// What the request that came last took of the broker's time: told where
    /// [`Broker::counts_time`](super::Broker::counts_time), right after it.
    Spent { time: Duration },
    /// A client's connection is gone: nothing more comes from it and nothing can be sent to it.
    Closed { conn: ConnId },
    /// Everything below `end` is in the file (the page cache, not yet the disk). Cumulative.
    Appended { log: LogId, end: Offset },
    /// Everything below `end` would survive the machine. Cumulative.
    Flushed { log: LogId, end: Offset, truncations: u32 },
    /// What a [`Read`](super::Effect::Read) asked for: as long as the extent, or shorter where the file ends.
    Loaded { read: ReadId, bytes: Bytes },
    /// What a [`Work`](super::Effect::Work) came to.
    Worked { work: WorkId, done: Box<Done> },
    /// What a [`Seal`](super::Effect::Seal) was about would survive the machine.
    Sealed { seal: WorkId },
    /// The disk failed under this log; it takes no more effects.
    Offline { log: LogId, cause: String },
    /// What became of this broker's own connections to other brokers, and the answers to its requests there.
    /// Made by [`Event::client`].
    Client {
        event: client::Event,
        /// For Fetch, one for each partition in the order of the body, whose `records` are `None`; empty otherwise.
        batches: Vec<Result<Vec<Batch>, Invalid>>,
    },
    /// Another broker (or this one) calls.
    Call { from: BrokerId, call: CallId, request: ClusterRequest },
    /// The answer to a call of this broker's; an error where the peer could not be reached or went away.
    Answer { call: CallId, result: Result<ClusterResponse, Unreachable> },
    /// The connection with another broker came up or went down.
    Peer { id: BrokerId, up: bool },
    /// Of one of this broker's connections with ZooKeeper.
    ZooKeeper(zookeeper::client::Event),
    /// The process is asked to stop: checkpoint everything, then say [`Stopped`](super::Effect::Stopped). `controlled`
    /// where the cluster goes on without it: then others lead first what it leads.
    Stop { controlled: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl Event {
    /// Takes the record sets out of an answer to Fetch and checks them: work for whoever reads the connection.
    pub fn client(mut event: client::Event) -> Event {
        let batches = match &mut event {
            client::Event::Response { body, .. } => match &mut **body {
                ResponseKind::Fetch(fetch) => {
                    let partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                    partitions.map(|partition| replicated(partition.records.take())).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Event::Client { event, batches }
    }
}

/// One line each: golden traces, the page's event log and the server's debug log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Timer => f.write_str("timer"),
            Event::Request { ticket, request } => write!(f, "request {ticket} {request}"),
            Event::Spent { time } => write!(f, "spent {} ns", time.as_nanos()),
            Event::Closed { conn } => write!(f, "closed {conn}"),
            Event::Appended { log, end } => write!(f, "appended {log} below {end}"),
            Event::Flushed { log, end, .. } => write!(f, "flushed {log} below {end}"),
            Event::Loaded { read, bytes } => write!(f, "loaded {read} {} B", bytes.len()),
            Event::Worked { work, done } => write!(f, "worked {work} {done}"),
            Event::Sealed { seal } => write!(f, "sealed {seal}"),
            Event::Offline { log, cause } => write!(f, "offline {log}: {cause}"),
            Event::Client { event, .. } => write!(f, "client {event}"),
            Event::Call { from, call, request } => write!(f, "call {from} {call} {request}"),
            Event::Answer { call, result: Ok(response) } => write!(f, "answer {call} {response}"),
            Event::Answer { call, result: Err(Unreachable) } => write!(f, "answer {call} unreachable"),
            Event::Peer { id, up: true } => write!(f, "peer {id} up"),
            Event::Peer { id, up: false } => write!(f, "peer {id} down"),
            Event::ZooKeeper(event) => write!(f, "zookeeper {event}"),
            Event::Stop { controlled: true } => f.write_str("stop"),
            Event::Stop { controlled: false } => f.write_str("stop with all others"),
        }
    }
}
