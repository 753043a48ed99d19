//! One line for every event and effect of a client.

use std::fmt;

use super::{Command, Effect, Event, Report, Wire};
use crate::id::TopicPartition;
use crate::protocol::Response;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Timer => f.write_str("timer"),
            Event::Opened { conn } => write!(f, "opened {conn}"),
            Event::Closed { conn } => write!(f, "closed {conn}"),
            Event::Response { conn, correlation_id, version, body } => {
                let response = Response::new(*version, (**body).clone());
                write!(f, "response {conn} correlation_id={correlation_id} {response}")
            }
            Event::Call { id, call } => write!(f, "call {id} {call}"),
            Event::Command(command) => match &**command {
                Command::Send(record) => write!(f, "command send {}", record.topic),
                Command::Transaction(turn) => write!(f, "command {}", turn.word()),
                Command::SendOffsets(offsets) => write!(f, "command offsets of {}", offsets.group),
                Command::Rate { milli_per_second } => write!(f, "command rate {milli_per_second}/1000s"),
                Command::Close => f.write_str("command close"),
                Command::Seek { name, offset } => write!(f, "command seek {name} {offset}"),
                Command::Pause { name } => write!(f, "command pause {name}"),
                Command::Resume { name } => write!(f, "command resume {name}"),
            },
            Event::Process(polled) => write!(f, "process {}", polled.records.len()),
            Event::Processed { well: true } => f.write_str("processed"),
            Event::Processed { well: false } => f.write_str("processed in vain"),
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wire::Open { conn, to } => write!(f, "open {conn} {}:{}", to.host, to.port),
            Wire::Send { conn, request } => {
                write!(f, "send {conn} correlation_id={} {request}", request.correlation_id)
            }
            Wire::Close { conn } => write!(f, "close {conn}"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Wire(wire) => wire.fmt(f),
            Effect::Report(report) => write!(f, "report {report}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Sent { topic, partition, sequence } => write!(f, "sent {sequence} to {}-{partition}", topic.0),
            Report::Acked { topic, partition, sequence, offset, .. } => {
                write!(f, "acked {sequence} at {}-{partition}@{offset}", topic.0)
            }
            Report::Failed { topic, partition, sequence, .. } => {
                write!(f, "failed {sequence} for {}", topic.0)?;
                // Else it never came to a partition.
                if *partition >= 0 {
                    write!(f, "-{partition}")?;
                }
                write!(f, ": {}", self.why().unwrap_or_default())
            }
            Report::Renumbered { topic, partition, sequences } => {
                write!(f, "renumbered {} records for {}-{partition}:", sequences.len(), topic.0)?;
                sequences.iter().try_for_each(|sequence| write!(f, " {sequence}"))
            }
            Report::Received { topic, partition, offset, .. } => write!(f, "received {}-{partition}@{offset}", topic.0),
            Report::Transaction(stage) => write!(f, "transaction {stage:?}"),
            Report::Thrown { call, error } => write!(f, "{call}() throws {error}"),
            Report::Returned { call, result: Ok(()) } => write!(f, "{call} returns"),
            Report::Returned { call, result: Err(error) } => write!(f, "{call} throws {error}"),
            Report::Assigned { group, generation, added, owned, .. } => {
                write!(f, "assigned by {group} in {generation}: {}, of {}", List(added), List(owned))
            }
            Report::Revoked { group, generation, partitions } => {
                write!(f, "revoked by {group} in {generation}: {}", List(partitions))
            }
            Report::Lost { group, partitions } => write!(f, "lost to {group}: {}", List(partitions)),
            Report::Committed { group, generation, offsets, .. } => {
                write!(f, "committed to {group} in {generation}:")?;
                offsets.iter().try_for_each(|(partition, offset)| write!(f, " {partition}@{offset}"))
            }
            Report::Sought { partition, offset } => write!(f, "sought {partition}@{offset}"),
            Report::Polled(polled) => write!(f, "polled {} for a transaction", polled.records.len()),
            Report::Closed => f.write_str("closed"),
            Report::Note(text) => f.write_str(text),
        }
    }
}

impl Report {
    /// Why a record failed: what send() threw, or what is said of it later, without the exception's name.
    pub fn why(&self) -> Option<String> {
        match self {
            Report::Failed { thrown: true, error, .. } => Some(error.to_string()),
            Report::Failed { thrown: false, error, .. } => Some(error.message.clone()),
            _ => None,
        }
    }
}

/// `orders-0, orders-1`, `none`.
pub struct List<'a>(pub &'a [TopicPartition]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else { return f.write_str("none") };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|partition| write!(f, ", {partition}"))
    }
}
