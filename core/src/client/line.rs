//! One line for every event and effect of a client.

use std::fmt;

use super::{Command, Effect, Event, Report};
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
            Event::Command(Command::Send(record)) => write!(f, "command send {}", record.topic),
            Event::Command(Command::Transaction(turn)) => write!(f, "command {}", turn.word()),
            Event::Command(Command::SendOffsets(offsets)) => write!(f, "command offsets of {}", offsets.group),
            Event::Command(Command::Rate { milli_per_second }) => write!(f, "command rate {milli_per_second}/1000s"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Open { conn, to } => write!(f, "open {conn} {}:{}", to.host, to.port),
            Effect::Send { conn, request } => {
                write!(f, "send {conn} correlation_id={} {request}", request.correlation_id)
            }
            Effect::Close { conn } => write!(f, "close {conn}"),
            Effect::Report(report) => write!(f, "report {report}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Sent { topic, partition, sequence } => write!(f, "sent {sequence} to {}-{partition}", topic.0),
            Report::Acked { topic, partition, sequence, offset } => {
                write!(f, "acked {sequence} at {}-{partition}@{offset}", topic.0)
            }
            // It never came to a partition.
            Report::Failed { topic, partition: -1, sequence, error } => {
                write!(f, "failed {sequence} for {}: {error}", topic.0)
            }
            Report::Failed { topic, partition, sequence, error } => {
                write!(f, "failed {sequence} for {}-{partition}: {error}", topic.0)
            }
            Report::Received { topic, partition, offset, .. } => write!(f, "received {}-{partition}@{offset}", topic.0),
            Report::Transaction(stage) => write!(f, "transaction {stage:?}"),
            Report::Thrown { call, error } => write!(f, "{call}() throws {error}"),
            Report::Note(text) => f.write_str(text),
        }
    }
}
