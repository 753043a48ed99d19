//! [`Scenario`] to text: what `parse.rs` reads back.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::lex::quote;
use super::{Action, Cluster, Expectation, Machine, PLACEMENT, PLACEMENT_SETTING, ParseError, Scenario, Timed};
use crate::client::SendRecord;
use crate::sim::zookeeper::NAME as ZOOKEEPER;
use crate::time::{Duration, Instant};

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.opening {
            writeln!(f, "{line}")?;
        }
        if self.seed.0 != 0 {
            writeln!(f, "seed {}", self.seed.0)?;
        }
        writeln!(f, "{}", self.cluster)?;
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

impl Display for Cluster {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cluster brokers={}", self.brokers)?;
        if !self.racks.is_empty() {
            write!(f, " racks={}", self.racks.join(","))?;
        }
        match self.latency {
            Some((from, to)) if from == to => write!(f, " latency={}", Span(from))?,
            Some((from, to)) => write!(f, " latency={}..{}", Span(from), Span(to))?,
            None => {}
        }
        if self.loss_per_million > 0 {
            write!(f, " loss={}%", Decimal(u64::from(self.loss_per_million), 4))?;
        }
        let mut settings = self.settings.clone();
        if let Some(placement) = settings.remove(PLACEMENT_SETTING) {
            write!(f, " {PLACEMENT}={placement}")?;
        }
        properties(f, &settings)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Topic { name, partitions, replication_factor, configs } => {
                write!(f, "topic {name} partitions={partitions} replication.factor={replication_factor}")?;
                properties(f, configs)
            }
            Action::Producer { name, topic, settings } => {
                write!(f, "producer {name} topic={topic}")?;
                properties(f, settings)
            }
            Action::Consumer { name, topics, settings } => {
                write!(f, "consumer {name} topics={}", topics.join(","))?;
                properties(f, settings)
            }
            Action::Rate { producer, milli_per_second } => {
                write!(f, "rate {producer} {}/s", Decimal(*milli_per_second, 3))
            }
            Action::Send(record) => send(f, record),
            Action::Kill(machine) => write!(f, "kill {machine}"),
            Action::Crash(machine) => write!(f, "crash {machine}"),
            Action::Start(machine) => write!(f, "start {machine}"),
            Action::Expire(broker) => write!(f, "expire {broker}"),
            Action::Cut(a, b) => write!(f, "cut {a} {b}"),
            Action::Heal(a, b) => write!(f, "heal {a} {b}"),
            Action::Stop(name) => write!(f, "stop {name}"),
            Action::Expect(expectation) => write!(f, "expect {expectation}"),
        }
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Machine::Broker(id) => id.fmt(f),
            Machine::ZooKeeper => f.write_str(ZOOKEEPER),
        }
    }
}

impl Display for Expectation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::NoAckedRecordLost => f.write_str("no-acked-record-lost"),
            Expectation::Count { what, op, value } => write!(f, "{what} {} {value}", op.symbol()),
        }
    }
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

fn properties(f: &mut Formatter<'_>, properties: &BTreeMap<String, String>) -> fmt::Result {
    properties.iter().try_for_each(|(name, value)| write!(f, " {name}={}", quote(value.as_bytes(), |_| true)))
}

fn send(f: &mut Formatter<'_>, record: &SendRecord) -> fmt::Result {
    write!(f, "send {}", record.topic)?;
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
pub(super) struct Span(pub Duration);

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

/// A number with that many decimal places, without trailing zeros.
struct Decimal(u64, u32);

impl Display for Decimal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.1);
        write!(f, "{}", self.0 / unit)?;
        if !self.0.is_multiple_of(unit) {
            let places = format!("{:0width$}", self.0 % unit, width = self.1 as usize);
            write!(f, ".{}", places.trim_end_matches('0'))?;
        }
        Ok(())
    }
}
