//! [`Scenario`] to text: what `parse.rs` reads back.

use std::fmt::{self, Display, Formatter};

use super::lex::quote;
use super::{Action, BugLine, Expectation, ParseError, Scenario, Timed};
use crate::client::setting::Decimal;
use crate::client::{Command, SendRecord};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.opening {
            writeln!(f, "{line}")?;
        }
        if self.seed.0 != 0 {
            writeln!(f, "seed {}", self.seed.0)?;
        }
        writeln!(f, "{}", self.cluster)?;
        for BugLine { bug, above } in &self.bugs {
            above.iter().try_for_each(|line| writeln!(f, "{line}"))?;
            writeln!(f, "bug {bug}")?;
        }
        if let Some(swarm) = &self.swarm {
            writeln!(f, "{swarm}")?;
        }
        for timed in &self.actions {
            writeln!(f, "{timed}")?;
        }
        for line in &self.closing {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl Display for Timed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.above {
            writeln!(f, "{line}")?;
        }
        match self.at {
            Instant::ZERO => write!(f, "{}", self.action),
            at => write!(f, "@{} {}", Span(at.since(Instant::ZERO)), self.action),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Errand(errand) => errand.fmt(f),
            Action::Producer { name, topics, settings } => {
                write!(f, "producer {name} topic={}", topics.join(","))?;
                self::settings(f, settings)
            }
            Action::Consumer { name, topics, settings } => {
                write!(f, "consumer {name}")?;
                // One that goes by a pattern has none.
                if !topics.is_empty() {
                    write!(f, " topics={}", topics.join(","))?;
                }
                self::settings(f, settings)
            }
            Action::Rate { client, milli_per_second } => {
                write!(f, "rate {client} {}/s", Decimal(*milli_per_second, 3))
            }
            Action::Send { by, record } => send(f, by.as_deref(), record),
            Action::Command { client, command } => self::command(f, client, command),
            Action::Fault(fault) => fault.fmt(f),
            Action::AddBroker => f.write_str("add broker"),
            Action::Stop(name) => write!(f, "stop {name}"),
            Action::Expect(expectation) => write!(f, "expect {expectation}"),
        }
    }
}

impl Display for Expectation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::NoAckedRecordLost => f.write_str("no-acked-record-lost"),
            Expectation::InvariantsHold => f.write_str("invariants-hold"),
            Expectation::Settled => f.write_str("settled"),
            Expectation::Owner { group, partition, consumer } => write!(f, "owner:{group}:{partition} = {consumer}"),
            Expectation::Count { what, op, value } => write!(f, "{what} {} {value}", op.symbol()),
        }
    }
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// ` name=value` for each.
pub(super) fn properties<'a>(
    f: &mut Formatter<'_>,
    mut properties: impl Iterator<Item = (&'a String, &'a str)>,
) -> fmt::Result {
    properties.try_for_each(|(name, value)| write!(f, " {name}={}", quote(value.as_bytes(), |_| true)))
}

pub(super) fn settings(f: &mut Formatter<'_>, settings: &VecMap<String, String>) -> fmt::Result {
    properties(f, settings.iter().map(|(name, value)| (name, value.as_str())))
}

/// The commands that have lines of their own are not among these.
fn command(f: &mut Formatter<'_>, client: &str, command: &Command) -> fmt::Result {
    match command {
        Command::Transaction(turn) => write!(f, "{} {client}", turn.word()),
        Command::SendOffsets(offsets) => {
            write!(f, "offsets {client} {}", offsets.group)?;
            offsets.offsets.iter().try_for_each(|next| write!(f, " {}-{}={}", next.topic, next.partition, next.offset))
        }
        Command::Seek { name, offset } => write!(f, "seek {client} {name} {offset}"),
        Command::Pause { name } => write!(f, "pause {client} {name}"),
        Command::Resume { name } => write!(f, "resume {client} {name}"),
        Command::Rate { milli_per_second } => write!(f, "rate {client} {}/s", Decimal(*milli_per_second, 3)),
        Command::Send(record) => send(f, Some(client), record),
        Command::Close => write!(f, "stop {client}"),
    }
}

fn send(f: &mut Formatter<'_>, by: Option<&str>, record: &SendRecord) -> fmt::Result {
    write!(f, "send {}", record.topic)?;
    if let Some(by) = by {
        write!(f, " by={by}")?;
    }
    if let Some(key) = &record.key {
        write!(f, " key={}", quote(key, |_| true))?;
    }
    if let Some(value) = &record.value {
        write!(f, " value={}", quote(value, |_| true))?;
    }
    for (name, value) in &record.headers {
        write!(f, " header={}", quote(name.as_bytes(), |letter| letter != ':'))?;
        if let Some(value) = value {
            write!(f, ":{}", quote(value, |_| true))?;
        }
    }
    if let Some(partition) = record.partition {
        write!(f, " partition={partition}")?;
    }
    if let Some(timestamp) = record.timestamp {
        write!(f, " timestamp={timestamp}")?;
    }
    Ok(())
}

/// A duration, exactly: `5s`, `1.25s`, `250ms`, `0.5ms`.
pub(in crate::sim) struct Span(pub Duration);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => f.write_str("0s"),
            1..1_000_000_000 => write!(f, "{}ms", Decimal(nanos, 6)),
            _ => write!(f, "{}s", Decimal(nanos, 9)),
        }
    }
}
