//! Text to [`Scenario`], and one line to [`Action`].
//!
//! Every wrong line is told at once, each by its first mistake. Sizes and counts are bounded, so that a text from a
//! stranger's link costs no more than a page of patience.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::lex::{self, Word};
use super::names::{Names, is_name, topic_name};
use super::{
    Action, BROKER_COUNTS, BugLine, CLUSTER_COUNTS, COUNTS, Comparison, Expectation, GROUP_COUNTS, PARTITION_COUNTS,
    ParseError, Scenario, Swarm, Timed, errand, fault,
};
use crate::bug::Bug;
use crate::client::admin::Errand;
use crate::client::setting::{decimal, rate};
use crate::client::{Command, Offsets, SendRecord, Turn, consumer, producer};
use crate::id::{BrokerId, TopicPartition};
use crate::near::hint;
use crate::rng::Seed;
use crate::sim::admin::NAME as ADMIN;
use crate::sim::workload::HAND;
use crate::time::{Duration, Instant};
use crate::zookeeper::NAME as ZOOKEEPER;

/// Bytes of a text.
pub const MAX_TEXT: usize = 64 * 1024;
pub const MAX_ACTIONS: usize = 2_000;
pub const MAX_BROKERS: u32 = 32;
/// Of all topics together.
pub const MAX_PARTITIONS: u32 = 1_000;
/// Producers and consumers.
pub const MAX_CLIENTS: usize = 100;
pub const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// Who owns what has no owner.
pub const NOBODY: &str = "none";

/// The words that open a line, besides those about errands ([`errand::WORDS`]) and faults ([`fault::WORDS`]).
const STATEMENTS: [&str; 16] = [
    "seed", "cluster", "bug", "swarm", "producer", "consumer", "rate", "seek", "send", "begin", "commit", "abort",
    "offsets", "add", "stop", "expect",
];

fn statements() -> impl Iterator<Item = &'static str> {
    STATEMENTS.into_iter().chain(errand::WORDS).chain(fault::WORDS)
}

type Parsed<T> = Result<T, ParseError>;

/// Reads a whole text; every line that is wrong is in the error.
pub fn scenario(text: &str) -> Result<Scenario, Vec<ParseError>> {
    if text.len() > MAX_TEXT {
        let message = format!("a scenario may have {MAX_TEXT} bytes, and this one has {}", text.len());
        return Err(vec![ParseError::new(1, 1, message)]);
    }
    let mut errors = Vec::new();
    let mut lines = Vec::new();
    // Some editors begin a text with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.lines().zip(1..) {
        match lex::words(line, number) {
            Ok((words, comment)) => lines.push((Line { number, words, names: None }, line, comment)),
            Err(error) => errors.push(error),
        }
    }
    let names = Names::of(lines.iter().map(|(line, ..)| line));
    let mut reader = Reader::default();
    for (line, text, comment) in lines {
        let line = Line { names: Some(&names), ..line };
        if let Err(error) = reader.line(&line, text, comment) {
            errors.push(error);
        }
    }
    if !errors.is_empty() {
        errors.sort_by_key(|error| (error.line, error.column));
        return Err(errors);
    }
    if let Err(error) = reader.ensure_order() {
        return Err(vec![error]);
    }
    let mut scenario = reader.scenario;
    scenario.closing = reader.above;
    // Stable: ties stay in the order of the text.
    scenario.actions.sort_by_key(|timed| timed.at);
    Ok(scenario)
}

/// One action line without its `@time`, as the page and the HTTP API send it.
pub fn action(line: &str) -> Parsed<Action> {
    if line.len() > MAX_TEXT {
        return Err(ParseError::new(
            1,
            1,
            format!("a line may have {MAX_TEXT} bytes, and this one has {}", line.len()),
        ));
    }
    let (words, _) = lex::words(line, 1)?;
    Line { number: 1, words, names: None }.action(0)
}

/// `5s`, `250ms`, `2m`, `1.5s`: exact to the nanosecond.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
    let unit: u64 = match &text[digits..] {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    decimal(&text[..digits], unit).map(Duration::from_nanos)
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    scenario: Scenario,
    above: Vec<String>,
    seeded: bool,
    cluster: bool,
    partitions: u32,
    declared: BTreeSet<String>,
    /// When clients come, by the place of their lines.
    born: BTreeMap<String, (Instant, usize)>,
    /// Who is spoken of, when, and where.
    uses: Vec<Use>,
}

struct Use {
    client: String,
    at: (Instant, usize),
    line: usize,
    column: usize,
}

impl Reader {
    fn line(&mut self, line: &Line<'_>, text: &str, comment: Option<&str>) -> Parsed<()> {
        if line.words.is_empty() {
            self.above.push(text.trim_end().to_string());
            return Ok(());
        }
        // A comment behind an action is kept above it.
        self.above.extend(comment.map(str::to_string));
        match line.words[0].text().as_deref() {
            Some("seed") => {
                if std::mem::replace(&mut self.seeded, true) {
                    return line.wrong(0, "the seed is given twice");
                }
                self.open();
                line.end(2)?;
                self.scenario.seed = Seed(line.number(1, "a seed: a whole number", 0..=u64::MAX)?);
                Ok(())
            }
            Some("cluster") => {
                if std::mem::replace(&mut self.cluster, true) {
                    return line.wrong(0, "the cluster is given twice");
                }
                self.open();
                self.scenario.cluster = line.cluster()?;
                Ok(())
            }
            Some("bug") => {
                let bug = line.bug()?;
                if self.scenario.bugs().has(bug) {
                    return line.wrong(1, format!("{bug} is on already"));
                }
                self.scenario.bugs.push(BugLine { bug, above: std::mem::take(&mut self.above) });
                Ok(())
            }
            Some("swarm") => {
                if self.scenario.swarm.is_some() {
                    return line.wrong(0, "the swarm is given twice");
                }
                let above = std::mem::take(&mut self.above);
                self.scenario.swarm = Some(Swarm { above, ..line.swarm()? });
                Ok(())
            }
            Some(_) => {
                let (at, from) = line.time()?;
                let action = line.action(from)?;
                self.declare(line, from, &action)?;
                if !self.seeded && !self.cluster && self.scenario.actions.is_empty() {
                    self.open();
                }
                if self.scenario.actions.len() == MAX_ACTIONS {
                    return line.wrong(0, format!("a scenario may have {MAX_ACTIONS} actions, and this is one more"));
                }
                let place = self.scenario.actions.len();
                match &action {
                    Action::Producer { name, .. } | Action::Consumer { name, .. } => {
                        self.born.insert(name.clone(), (at, place));
                    }
                    _ => {
                        let (number, column) = (line.number, line.words[from].column);
                        let used =
                            |client: &str| Use { client: client.to_owned(), at: (at, place), line: number, column };
                        self.uses.extend(action.clients().map(used));
                    }
                }
                self.scenario.actions.push(Timed { at, action, above: std::mem::take(&mut self.above) });
                Ok(())
            }
            None => line.wrong(0, "expected text in UTF-8"),
        }
    }

    /// Nobody is spoken of before they come.
    fn ensure_order(&self) -> Parsed<()> {
        let early = |one: &&Use| self.born.get(&one.client).is_some_and(|born| *born > one.at);
        match self.uses.iter().find(early) {
            None => Ok(()),
            Some(Use { client, line, column, .. }) => {
                let message = format!("{client} is not there yet: the line that brings it comes later");
                Err(ParseError::new(*line, *column, message))
            }
        }
    }

    /// What stands above the seed, the cluster and, failing them, the first action opens the text.
    fn open(&mut self) {
        self.scenario.opening.append(&mut self.above);
    }

    fn add_partitions(&mut self, line: &Line<'_>, from: usize, partitions: u32) -> Parsed<()> {
        self.partitions += partitions;
        if self.partitions > MAX_PARTITIONS {
            return line.wrong(from, format!("a scenario may have {MAX_PARTITIONS} partitions in all"));
        }
        Ok(())
    }

    fn declare(&mut self, line: &Line<'_>, from: usize, action: &Action) -> Parsed<()> {
        let (kind, name) = match action {
            Action::Errand(Errand::Delete { topic }) => {
                self.declared.remove(&format!("topic {topic}"));
                return Ok(());
            }
            Action::Errand(Errand::Grow { partitions, .. }) => {
                self.add_partitions(line, from, *partitions)?;
                return Ok(());
            }
            Action::Errand(Errand::Create { topic: name, partitions, .. }) => {
                self.add_partitions(line, from, *partitions)?;
                ("topic", name)
            }
            Action::Producer { name, .. } | Action::Consumer { name, .. } => ("client", name),
            Action::AddBroker if line.names.is_some_and(|names| names.brokers > MAX_BROKERS) => {
                return line.wrong(from, format!("a scenario may have {MAX_BROKERS} brokers in all"));
            }
            _ => return Ok(()),
        };
        if !self.declared.insert(format!("{kind} {name}")) {
            return line.wrong(from + 1, format!("{name} is there already: names are given once"));
        }
        if self.declared.iter().filter(|name| name.starts_with("client ")).count() > MAX_CLIENTS {
            return line.wrong(from, format!("a scenario may have {MAX_CLIENTS} producers and consumers"));
        }
        Ok(())
    }
}

/// One line, as words.
pub(super) struct Line<'a> {
    number: usize,
    pub words: Vec<Word>,
    /// Absent for a lone action: whoever takes it knows who is there.
    names: Option<&'a Names>,
}

impl Line<'_> {
    pub(super) fn wrong<T>(&self, index: usize, message: impl Into<String>) -> Parsed<T> {
        let column = match self.words.get(index) {
            Some(word) => word.column,
            // Past the end: where the next word would begin.
            None => {
                self.words.last().map_or(1, |word| word.column + word.text().map_or(0, |text| text.chars().count()) + 1)
            }
        };
        Err(ParseError::new(self.number, column, message))
    }

    /// Of the line as a whole.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.number, self.words.first().map_or(1, |word| word.column), message)
    }

    pub(super) fn at<T>(&self, word: &Word, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(self.number, word.column, message))
    }

    pub(super) fn text(&self, index: usize, expected: &str) -> Parsed<String> {
        match self.words.get(index).map(Word::text) {
            Some(Some(text)) => Ok(text),
            Some(None) => self.wrong(index, "expected text in UTF-8"),
            None => self.wrong(index, format!("expected {expected}")),
        }
    }

    fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &self,
        index: usize,
        expected: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Parsed<T> {
        let text = self.text(index, expected)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => self.wrong(index, format!("expected {expected}, found {text}")),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(&self, index: usize) -> Parsed<()> {
        match self.words.get(index) {
            Some(word) => self.at(word, "expected the line to end here"),
            None => Ok(()),
        }
    }

    /// The `@time` that opens it, and which word follows.
    fn time(&self) -> Parsed<(Instant, usize)> {
        let text = self.text(0, "an action")?;
        let Some(time) = text.strip_prefix('@') else { return Ok((Instant::ZERO, 0)) };
        match duration(time) {
            Some(span) if span <= MAX_TIME => Ok((Instant::ZERO + span, 1)),
            Some(_) => self.wrong(0, "expected a time of at most 24h"),
            None => self.wrong(0, "expected a time after the @, such as @5s, @250ms, @1.5s or @2m"),
        }
    }

    fn action(&self, from: usize) -> Parsed<Action> {
        let statement = self.text(from, &format!("one of {}", statements().collect::<Vec<_>>().join(", ")))?;
        match statement.as_str() {
            "producer" => self.producer(from),
            "consumer" => self.consumer(from),
            "rate" => {
                let client = self.client(from + 1, true, true)?;
                self.end(from + 3)?;
                let text = self.text(from + 2, "a rate, such as 10/s")?;
                match rate(&text) {
                    Some(milli_per_second) => Ok(Action::Rate { client, milli_per_second }),
                    None => self.wrong(from + 2, format!("expected a rate up to 100000/s, such as 10/s, found {text}")),
                }
            }
            "send" => self.send(from),
            "offsets" => self.offsets(from),
            "begin" | "commit" | "abort" => {
                let turn = Turn::ALL.into_iter().find(|turn| turn.word() == statement).unwrap_or(Turn::Begin);
                let client = self.client(from + 1, true, false)?;
                self.end(from + 2)?;
                Ok(Action::Command { client, command: Command::Transaction(turn) })
            }
            "seek" => {
                let client = self.consumer_named(from + 1)?;
                let name = self.topic_partition(from + 2)?;
                let offset = self.number(from + 3, "an offset: a whole number from 0", 0..=i64::MAX)?;
                self.end(from + 4)?;
                Ok(Action::Command { client, command: Command::Seek { name, offset } })
            }
            // Without a partition it is the process that stands still.
            word @ ("pause" | "resume") if self.words.len() == from + 3 && self.is_client(from + 1) => {
                let client = self.consumer_named(from + 1)?;
                let name = self.topic_partition(from + 2)?;
                let command = if word == "pause" { Command::Pause { name } } else { Command::Resume { name } };
                Ok(Action::Command { client, command })
            }
            "add" => match self.text(from + 1, "add broker")?.as_str() {
                "broker" => self.end(from + 2).map(|()| Action::AddBroker),
                other => self.wrong(from + 1, format!("expected add broker, found add {other}")),
            },
            "stop" => {
                let name = self.node(from + 1)?;
                self.end(from + 2)?;
                Ok(Action::Stop(name))
            }
            "expect" => self.expect(from).map(Action::Expect),
            "seed" | "cluster" | "swarm" => {
                self.wrong(from, format!("{statement} has no time: it describes the whole run"))
            }
            word if errand::WORDS.contains(&word) => self.errand(from, word).map(Action::Errand),
            word if fault::WORDS.contains(&word) => self.fault(from, word).map(Action::Fault),
            _ => {
                let hint = hint(&statement, statements());
                let known: Vec<&str> = statements().collect();
                self.wrong(from, format!("expected one of {}, found {statement}.{hint}", known.join(", ")))
            }
        }
    }

    fn bug(&self) -> Parsed<Bug> {
        let known = Bug::ALL.map(Bug::name);
        let name = self.text(1, &format!("one of {}", known.join(", ")))?;
        self.end(2)?;
        match Bug::ALL.into_iter().find(|bug| bug.name() == name) {
            Some(bug) => Ok(bug),
            None => {
                let hint = hint(&name, known);
                self.wrong(1, format!("expected one of {}, found {name}.{hint}", known.join(", ")))
            }
        }
    }

    fn producer(&self, from: usize) -> Parsed<Action> {
        let name = self.client_name(from + 1)?;
        let (mut topics, mut settings) = (Vec::new(), BTreeMap::new());
        for (property, value, word) in self.properties(from + 2)? {
            if property == "topic" {
                topics = value.split(',').map(str::to_string).collect();
                topics.iter().try_for_each(|topic| topic_name(topic)).or_else(|message| self.at(&word, message))?;
            } else {
                producer::settings::check(&property, &value).or_else(|message| self.at(&word, message))?;
                if property == "reads" && self.names.is_some_and(|names| !names.consumers.contains(&value)) {
                    return self.at(&word, format!("there is no consumer {value}"));
                }
                settings.insert(property, value);
            }
        }
        if topics.is_empty() {
            return self.wrong(self.words.len(), "expected the producer's topic, such as topic=orders");
        }
        producer::Settings::of(&settings).map_err(|message| self.error(message))?;
        Ok(Action::Producer { name, topics, settings })
    }

    fn consumer(&self, from: usize) -> Parsed<Action> {
        let name = self.client_name(from + 1)?;
        let (mut topics, mut settings) = (Vec::new(), BTreeMap::new());
        for (property, value, word) in self.properties(from + 2)? {
            if property == "topics" {
                topics = value.split(',').map(str::to_string).collect();
                topics.iter().try_for_each(|topic| topic_name(topic)).or_else(|message| self.at(&word, message))?;
            } else {
                consumer::settings::check(&property, &value).or_else(|message| self.at(&word, message))?;
                settings.insert(property, value);
            }
        }
        if topics.is_empty() && !settings.contains_key("pattern") {
            return self.wrong(self.words.len(), "expected the consumer's topics, such as topics=orders,payments");
        }
        consumer::Settings::of(&settings).map_err(|message| self.error(message))?;
        Ok(Action::Consumer { name, topics, settings })
    }

    fn send(&self, from: usize) -> Parsed<Action> {
        const FIELDS: [&str; 6] = ["by", "key", "value", "header", "partition", "timestamp"];
        let mut record = SendRecord { topic: self.topic_name(from + 1)?, ..SendRecord::default() };
        let mut by = None;
        let mut seen = BTreeSet::new();
        for word in self.words.iter().skip(from + 2) {
            let Some((name, value)) = word.split(b'=') else {
                return self
                    .at(word, format!("expected a field with its value, such as key=4711: {}", FIELDS.join(", ")));
            };
            let name = name.text().unwrap_or_default();
            if name != "header" && !seen.insert(name.clone()) {
                return self.at(word, format!("{name} is given twice"));
            }
            match name.as_str() {
                "by" => {
                    let producer = value.text().unwrap_or_default();
                    self.known_client_at(&value, &producer, true, false)?;
                    by = Some(producer);
                }
                "key" => record.key = Some(value.bytes()),
                "value" => record.value = Some(value.bytes()),
                "header" => {
                    let (key, header) = match value.split(b':') {
                        Some((key, header)) => (key, Some(header.bytes())),
                        None => (value, None),
                    };
                    let Some(key) = key.text() else { return self.at(&key, "expected a header's key in UTF-8") };
                    record.headers.push((key, header));
                }
                "partition" => match value.text().and_then(|text| text.parse().ok()) {
                    Some(partition) if partition >= 0 => record.partition = Some(partition),
                    _ => return self.at(&value, "expected a partition: a whole number from 0"),
                },
                "timestamp" => match value.text().and_then(|text| text.parse().ok()) {
                    Some(timestamp) if timestamp >= 0 => record.timestamp = Some(timestamp),
                    _ => return self.at(&value, "expected a timestamp: milliseconds since 1970"),
                },
                _ => {
                    let hint = hint(&name, FIELDS);
                    return self.at(word, format!("expected one of {}, found {name}.{hint}", FIELDS.join(", ")));
                }
            }
        }
        Ok(Action::Send { by, record })
    }

    /// `offsets p1 shop orders-0=42 orders-1=7`
    fn offsets(&self, from: usize) -> Parsed<Action> {
        let client = self.client(from + 1, true, false)?;
        let group = self.text(from + 2, "a group, such as shop")?;
        let mut offsets: Vec<(String, i32, i64)> = Vec::new();
        for (name, value, word) in self.properties(from + 3)? {
            let place = name.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
            match (place.filter(|(topic, _)| topic_name(topic).is_ok()), value.parse::<i64>()) {
                (Some((topic, partition)), Ok(at @ 0..)) => offsets.push((topic.to_string(), i32::from(partition), at)),
                _ => return self.at(&word, "expected a partition with the offset that comes next: orders-0=42"),
            }
        }
        if offsets.is_empty() {
            return self.wrong(self.words.len(), "expected a partition with the offset that comes next: orders-0=42");
        }
        offsets.sort();
        let offsets = Offsets { group, member: String::new(), generation: -1, offsets };
        Ok(Action::Command { client, command: Command::SendOffsets(offsets) })
    }

    fn expect(&self, from: usize) -> Parsed<Expectation> {
        // Spaces around the comparison are free.
        let mut text = String::new();
        for index in from + 1..self.words.len() {
            text.push_str(&self.text(index, "an expectation")?);
        }
        match text.as_str() {
            "no-acked-record-lost" => return Ok(Expectation::NoAckedRecordLost),
            "invariants-hold" => return Ok(Expectation::InvariantsHold),
            "settled" => return Ok(Expectation::Settled),
            _ => {}
        }
        let counts = COUNTS.map(|(name, _)| name);
        let of_partitions = PARTITION_COUNTS.map(|(name, _)| name);
        let of_cluster = CLUSTER_COUNTS.map(|(name, _)| name);
        let of_brokers = BROKER_COUNTS.map(|(name, _)| name);
        let of_groups = GROUP_COUNTS.map(|(name, _)| name);
        if let Some(owner) = text.strip_prefix("owner:") {
            return self.owner(from + 1, owner);
        }
        let known = || {
            let all = counts.into_iter().chain(of_partitions).chain(of_cluster).chain(of_brokers).chain(of_groups);
            all.chain(["no-acked-record-lost", "invariants-hold", "settled"])
        };
        let Some(at) = text.find(['<', '=', '>']) else {
            let hint = hint(&text, known());
            let message =
                format!("expected no-acked-record-lost, or a count such as acked >= 100, found {text}.{hint}");
            return self.wrong(from + 1, message);
        };
        let (what, rest) = text.split_at(at);
        let (count, of) = what.split_once(':').map_or((what, None), |(count, of)| (count, Some(of)));
        match of {
            None if counts.contains(&count) || of_cluster.contains(&count) || of_brokers.contains(&count) => {}
            Some(of) if of_brokers.contains(&count) => drop(self.broker_named(from + 1, of)?),
            Some(of) if counts.contains(&count) => self.known_client(from + 1, of, true, true)?,
            Some(of) if of_partitions.contains(&count) => {
                let partition =
                    of.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
                if partition.is_none_or(|(topic, _)| topic_name(topic).is_err()) {
                    return self.wrong(from + 1, format!("expected a partition, such as {count}:orders-0"));
                }
            }
            Some(of) if of_groups.contains(&count) && !of.is_empty() => {}
            None | Some("") if of_groups.contains(&count) => {
                return self.wrong(from + 1, format!("expected a group behind it, such as {count}:g"));
            }
            None if of_partitions.contains(&count) => {
                return self.wrong(from + 1, format!("expected a partition behind it, such as {count}:orders-0"));
            }
            _ => {
                let hint = hint(count, known());
                let known: Vec<&str> = known().collect();
                return self.wrong(from + 1, format!("expected one of {}, found {count}.{hint}", known.join(", ")));
            }
        }
        let number = rest.trim_start_matches(['<', '=', '>']);
        let symbol = match &rest[..rest.len() - number.len()] {
            "==" => "=",
            symbol => symbol,
        };
        let op = Comparison::ALL.into_iter().find(|op| op.symbol() == symbol);
        match (op, number.parse()) {
            (Some(op), Ok(value)) => Ok(Expectation::Count { what: what.to_string(), op, value }),
            (None, _) => self.wrong(from + 1, format!("expected one of <, <=, =, >=, >, found {symbol}")),
            (_, Err(_)) => self.wrong(self.words.len() - 1, format!("expected a whole number after {symbol}")),
        }
    }

    /// `g:orders-0=c1`, behind `owner:`.
    fn owner(&self, index: usize, text: &str) -> Parsed<Expectation> {
        let parts = text.split_once('=').and_then(|(what, consumer)| Some((what.rsplit_once(':')?, consumer)));
        let Some(((group, partition), consumer)) = parts.filter(|((group, _), _)| !group.is_empty()) else {
            return self.wrong(index, "expected a group, a partition and a consumer, such as owner:g:orders-0 = c1");
        };
        let name = partition.rsplit_once('-').and_then(|(topic, number)| Some((topic, number.parse::<u16>().ok()?)));
        let Some((topic, number)) = name.filter(|(topic, _)| topic_name(topic).is_ok()) else {
            return self.wrong(index, format!("expected a partition, such as orders-0, found {partition}"));
        };
        if consumer != NOBODY {
            self.known_client(index, consumer, false, true)?;
        }
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let partition = TopicPartition::new(topic, i32::from(number));
        Ok(Expectation::Owner { group: group.to_owned(), partition, consumer: consumer.to_owned() })
    }

    /// The `name=value` words from there on: no name twice.
    pub(super) fn properties(&self, from: usize) -> Parsed<Vec<(String, String, Word)>> {
        let mut properties: Vec<(String, String, Word)> = Vec::new();
        for word in self.words.iter().skip(from) {
            let pair = word.split(b'=').and_then(|(name, value)| Some((name.text()?, value.text()?)));
            match pair {
                Some((name, _)) if properties.iter().any(|(known, ..)| *known == name) => {
                    return self.at(word, format!("{name} is given twice"));
                }
                Some((name, value)) if !name.is_empty() => properties.push((name, value, word.clone())),
                _ => return self.at(word, "expected name=value, such as acks=all"),
            }
        }
        Ok(properties)
    }

    pub(super) fn topic_name(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a topic's name")?;
        topic_name(&name).or_else(|message| self.wrong(index, message))?;
        Ok(name)
    }

    fn client_name(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a name, such as p1")?;
        if name.contains('=') || !is_name(&name) {
            return self.wrong(index, format!("expected a name of letters, digits, - and _, such as p1, found {name}"));
        }
        if [HAND, ADMIN, ZOOKEEPER].contains(&&name[..]) {
            return self.wrong(index, format!("expected another name: {name} is there in every run"));
        }
        if name.starts_with("broker-") {
            return self.wrong(index, "expected another name: those that begin with broker- are the brokers'");
        }
        if fault::RESERVED.contains(&&name[..]) {
            return self.wrong(index, format!("expected another name: {name} is a word of scenarios"));
        }
        Ok(name)
    }

    fn client(&self, index: usize, producers: bool, consumers: bool) -> Parsed<String> {
        let name = self.text(index, if consumers { "a producer or consumer" } else { "a producer" })?;
        self.known_client(index, &name, producers, consumers)?;
        Ok(name)
    }

    fn consumer_named(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a consumer, such as c1")?;
        match self.names {
            Some(names) if !names.consumers.contains(&name) => {
                let hint = hint(&name, names.consumers.iter().map(String::as_str));
                self.wrong(index, format!("no consumer is called {name}.{hint}"))
            }
            _ => Ok(name),
        }
    }

    /// Whether the word there may name a producer or consumer.
    fn is_client(&self, index: usize) -> bool {
        let name = self.words.get(index).and_then(Word::text);
        name.is_some_and(|name| !name.starts_with("broker-") && !fault::RESERVED.contains(&&name[..]))
    }

    /// `orders-0`.
    fn topic_partition(&self, index: usize) -> Parsed<TopicPartition> {
        let (topic, partition) = self.partition(index)?;
        Ok(TopicPartition::new(TopicName(StrBytes::from_string(topic)), partition))
    }

    pub(super) fn known_client(&self, index: usize, name: &str, producers: bool, consumers: bool) -> Parsed<()> {
        self.is_known_client(name, producers, consumers).or_else(|message| self.wrong(index, message))
    }

    fn known_client_at(&self, word: &Word, name: &str, producers: bool, consumers: bool) -> Parsed<()> {
        self.is_known_client(name, producers, consumers).or_else(|message| self.at(word, message))
    }

    fn is_known_client(&self, name: &str, producers: bool, consumers: bool) -> Result<(), String> {
        let Some(names) = self.names else { return Ok(()) };
        let known = || {
            let producers = names.producers.iter().filter(move |_| producers);
            producers.chain(names.consumers.iter().filter(move |_| consumers)).map(String::as_str)
        };
        // Who sends the records that a scenario chooses; there from the first of them on.
        if known().any(|known| known == name) || name == HAND {
            return Ok(());
        }
        let kind = if consumers { "producer or consumer" } else { "producer" };
        Err(format!("no {kind} is called {name}.{}", hint(name, known())))
    }

    pub(super) fn broker(&self, index: usize) -> Parsed<BrokerId> {
        let text = self.text(index, "a broker, such as broker-1")?;
        self.broker_named(index, &text)
    }

    /// How many there may be.
    pub(super) fn brokers(&self) -> u32 {
        self.names.map_or(MAX_BROKERS, |names| names.brokers)
    }

    fn broker_named(&self, index: usize, text: &str) -> Parsed<BrokerId> {
        let brokers = self.brokers();
        match BrokerId::named(text) {
            Some(id) if (1..=brokers).contains(&id.0.cast_unsigned()) => Ok(id),
            Some(_) if brokers == 1 => self.wrong(index, format!("expected broker-1, the only broker, found {text}")),
            Some(_) => self.wrong(index, format!("expected broker-1 to broker-{brokers}, found {text}")),
            None => self.wrong(index, format!("expected a broker, such as broker-1, found {text}")),
        }
    }

    pub(super) fn known_rack(&self, index: usize, rack: &str) -> Parsed<()> {
        let Some(names) = self.names else { return Ok(()) };
        match names.racks.contains(rack) {
            true => Ok(()),
            false => {
                let hint = hint(rack, names.racks.iter().map(String::as_str));
                self.wrong(index, format!("no broker is in a rack {rack}.{hint}"))
            }
        }
    }

    fn node(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a broker, zookeeper, producer or consumer")?;
        if name == ZOOKEEPER {
            return Ok(name);
        }
        match name.starts_with("broker-") {
            true => self.broker(index).map(|broker| broker.to_string()),
            false => self.client(index, true, true),
        }
    }
}
