//! What a broker can ask of the world.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::Wire;
use crate::config::BrokerSettings;
use crate::id::{BrokerId, CallId, ConnId, LogId, Offset, ReadId, Ticket, WorkId};
use crate::log::compact::{IndexFiles, Job};
use crate::log::{Extent, IndexEntry, TimeEntry};
use crate::protocol::Response;
use crate::protocol::cluster::{ClusterRequest, ClusterResponse};
use crate::quota::arrivals::ArrivalRates;
use crate::record::{Batch, Stamp};
use crate::time::{Instant, Timestamp};
use crate::view::Level;
use crate::zookeeper;

#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a request. Drivers send the answers of one connection in the order of its requests.
    Reply { ticket: Ticket, response: Response },
    /// The request has no answer (Produce with acks=0): its place in the order is free.
    NoReply { ticket: Ticket },
    /// From here on take a request from a client only when all before it are answered: it has a quota.
    Limit { conn: ConnId },
    /// Take no more requests from a client before then: those that it sends meanwhile wait. Its answers go out as ever.
    Mute { conn: ConnId, until: Instant },
    /// Cut a client off.
    Close { conn: ConnId, why: String },
    /// As a client of another broker, of which it replicates: connect, send, close. Answered by
    /// [`Client`](super::Event::Client).
    Client(Wire),
    /// Ask another broker; answered by [`Answer`](super::Event::Answer).
    Call { call: CallId, to: BrokerId, request: ClusterRequest },
    /// Answer another broker's call.
    Answer { to: BrokerId, call: CallId, response: ClusterResponse },
    /// On one of this broker's connections with ZooKeeper; what comes of it is a [`ZooKeeper`](super::Event::ZooKeeper).
    ZooKeeper(zookeeper::client::Effect),

    /// From here on `log` means that directory of the data directory (`orders-0`); it is made if it is not there, with
    /// a first segment at `base` if it holds none. Where the log was not `found` by the start, the directory is to be
    /// empty: what lies there is not this log's, and is set aside as Kafka does (`orders-0.<uuid>-stray`).
    Open { log: LogId, directory: String, base: Offset, found: bool },
    /// Append a batch to the active segment, stamped; then its index entries, if any. Answered by
    /// [`Appended`](super::Event::Appended), once for all appends of a drain.
    Append { log: LogId, stamp: Stamp, batch: Box<Batch>, index: Option<IndexEntry> },
    /// Make everything below `end` survive the machine. Answered by [`Flushed`](super::Event::Flushed), which gives back after
    /// how many truncations of the log it was asked for.
    Flush { log: LogId, end: Offset, truncations: u32 },
    /// Close the active segment (its time index ends with `last`) and begin one at `base`.
    Roll { log: LogId, base: Offset, last: Option<TimeEntry> },
    /// Drop everything at and above `end`, which lies in `segment` at byte `position`; later segments go.
    Truncate { log: LogId, end: Offset, segment: Offset, position: u32 },
    /// Replace the index files of a segment as a whole: they were missing, torn, or reached past a cut. Not on the disk
    /// before the next `Flush`; a driver without index files ignores it.
    Reindex { log: LogId, segment: Offset, index: Bytes, time_index: Bytes },
    /// Write into a segment's `.txnindex` from byte `position` on; what lay behind goes. The file is made when it is
    /// needed, and is not on the disk before the next `Flush`.
    IndexAborted { log: LogId, segment: Offset, position: u32, entries: Bytes },
    /// Drop the segments whose base offsets are below `below`. They may still be read by replies already given.
    Delete { log: LogId, below: Offset },
    /// Remove the log and its directory.
    Remove { log: LogId },
    /// Append batches to the segment that is being written aside (`.cleaned`) to replace the one of that base and some that
    /// follow it; begun anew where `position` is 0.
    Clean { log: LogId, segment: Offset, position: u32, batches: Vec<Bytes> },
    /// What is written aside is whole: write its index files, and make it all survive the machine. Answered by
    /// [`Sealed`](super::Event::Sealed).
    Seal { seal: WorkId, log: LogId, segment: Offset, files: Box<IndexFiles>, modified: Timestamp },
    /// Put what was written aside and sealed in the place of the segments from its base up to `below`: all of it or, if the
    /// process dies, after the next start. They may still be read by replies already given.
    Replace { log: LogId, segment: Offset, below: Offset },
    /// Drop what was written aside.
    Discard { log: LogId, segment: Offset },
    /// Read bytes and do work on them, where it keeps nobody waiting; answered by [`Worked`](super::Event::Worked). Where
    /// they cannot be read the log goes [`Offline`](super::Event::Offline) first, and the work is done on nothing.
    Work { work: WorkId, extent: Extent, job: Box<Job> },
    /// Read bytes for the core itself; answered by [`Loaded`](super::Event::Loaded). Where they cannot be read the log goes
    /// [`Offline`](super::Event::Offline) first, and nothing is loaded.
    Read { read: ReadId, extent: Extent },
    /// Replace a small file of the data directory as a whole (checkpoints, `orders-0/partition.metadata`): written
    /// aside, synced, renamed. In place before the effects that follow.
    Save { file: String, contents: Bytes },
    /// Remove a small file, if it is there.
    Erase { file: String },
    /// The broker is set otherwise from here on: what the driver has of it is, too (`max.connections`).
    Configure { settings: Arc<BrokerSettings> },
    /// From here on so many connections a second are taken from an address.
    LimitArrivals { rates: ArrivalRates },
    /// Something that whoever runs the broker should read.
    Note { level: Level, text: String },
    /// This broker cannot go on, and says why; it takes no more events.
    Fail { why: String },
    /// The answer to [`Stop`](super::Event::Stop): nothing is left to do; logs may be synced and closed.
    Stopped,
}

/// One line each: golden traces, the page's event log and the server's debug log.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Reply { ticket, response } => write!(f, "reply {ticket} {response}"),
            Effect::NoReply { ticket } => write!(f, "no reply {ticket}"),
            Effect::Limit { conn } => write!(f, "limit {conn}"),
            Effect::Mute { conn, until } => write!(f, "mute {conn} until {until}"),
            Effect::Close { conn, why } => write!(f, "close {conn}: {why}"),
            Effect::Client(wire) => write!(f, "client {wire}"),
            Effect::Call { call, to, request } => write!(f, "call {to} {call} {request}"),
            Effect::Answer { to, call, response } => write!(f, "answer {to} {call} {response}"),
            Effect::Open { log, directory, base, .. } => write!(f, "open {log} {directory} at {base}"),
            Effect::Append { log, stamp, batch, index } => {
                let header = stamp.header(batch);
                write!(
                    f,
                    "append {log} {}..{} epoch {} {} B",
                    header.base_offset,
                    header.next_offset(),
                    header.partition_leader_epoch,
                    batch.bytes.len()
                )?;
                if stamp.append_time.is_some() {
                    write!(f, " append time {}", header.max_timestamp)?;
                }
                if let Some(index) = index {
                    write!(f, " index {}@{}", index.offset, index.position)?;
                }
                Ok(())
            }
            Effect::Flush { log, end, .. } => write!(f, "flush {log} below {end}"),
            Effect::Roll { log, base, last: _ } => write!(f, "roll {log} at {base}"),
            Effect::Truncate { log, end, segment, position } => {
                write!(f, "truncate {log} to {end} (segment {segment} byte {position})")
            }
            Effect::Reindex { log, segment, index, time_index } => {
                write!(f, "reindex {log} segment {segment} {} B, time {} B", index.len(), time_index.len())
            }
            Effect::IndexAborted { log, segment, position, entries } => {
                write!(f, "index aborted {log} segment {segment} byte {position} {} B", entries.len())
            }
            Effect::Delete { log, below } => write!(f, "delete {log} below {below}"),
            Effect::Remove { log } => write!(f, "remove {log}"),
            Effect::Clean { log, segment, position, batches } => {
                let bytes: usize = batches.iter().map(Bytes::len).sum();
                write!(f, "clean {log} segment {segment} byte {position} {bytes} B")
            }
            Effect::Seal { seal, log, segment, .. } => write!(f, "seal {seal} {log} segment {segment}"),
            Effect::Replace { log, segment, below } => {
                write!(f, "replace {log} segments from {segment} below {below}")
            }
            Effect::Discard { log, segment } => write!(f, "discard {log} segment {segment}"),
            Effect::Work { work, extent, job } => write!(f, "{work} {job} {extent}"),
            Effect::Read { read, extent } => write!(f, "read {read} {extent}"),
            Effect::Save { file, contents } => write!(f, "save {file} {} B", contents.len()),
            Effect::Erase { file } => write!(f, "erase {file}"),
            Effect::ZooKeeper(effect) => write!(f, "zookeeper {effect}"),
            Effect::Configure { .. } => f.write_str("configure"),
            Effect::LimitArrivals { .. } => f.write_str("limit arrivals"),
            Effect::Note { text, .. } => write!(f, "note {text}"),
            Effect::Fail { why } => write!(f, "fail: {why}"),
            Effect::Stopped => f.write_str("stopped"),
        }
    }
}
