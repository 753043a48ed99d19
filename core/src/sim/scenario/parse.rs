//! Text to [`Scenario`], and one line to [`Action`].
//!
//! Every wrong line is told at once, each by its first mistake. Sizes and counts are bounded, so that a text from a
//! stranger's link costs no more than a page of patience.

use super::lex;
use super::line::{Line, Parsed, none_of};
use super::names::Names;
use super::{Action, BugLine, ParseError, Scenario, Swarm, Timed, errand, fault};
use crate::arrange::Arrange;
use crate::bug::Bug;
use crate::client::admin::Errand;
use crate::client::setting::{decimal, rate};
use crate::client::{Command, Turn};
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

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

fn statements() -> impl Iterator<Item = &'static str> + Clone {
    STATEMENTS.into_iter().chain(errand::WORDS).chain(fault::WORDS)
}

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
        errors.arrange_by_key(|error| (error.line, error.column));
        return Err(errors);
    }
    if let Err(error) = reader.ensure_order() {
        return Err(vec![error]);
    }
    let mut scenario = reader.scenario;
    scenario.closing = reader.above;
    // Stable: ties stay in the order of the text.
    scenario.actions.arrange_by_key(|timed| timed.at);
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
    declared: VecSet<String>,
    /// When clients come, by the place of their lines.
    born: VecMap<String, (Instant, usize)>,
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

impl Line<'_> {
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
            "seed" | "cluster" | "bug" | "swarm" => {
                self.wrong(from, format!("{statement} has no time: it describes the whole run"))
            }
            word if errand::WORDS.contains(&word) => self.errand(from, word).map(Action::Errand),
            word if fault::WORDS.contains(&word) => self.fault(from, word).map(Action::Fault),
            _ => self.wrong(from, none_of(&statement, statements())),
        }
    }

    fn bug(&self) -> Parsed<Bug> {
        let known = Bug::ALL.map(Bug::name);
        let name = self.text(1, &format!("one of {}", known.join(", ")))?;
        self.end(2)?;
        match Bug::ALL.into_iter().find(|bug| bug.name() == name) {
            Some(bug) => Ok(bug),
            None => self.wrong(1, none_of(&name, known.into_iter())),
        }
    }
}
