//! `ottla run`: plays a scenario headless, as fast as it goes, and says what came of it.
//!
//! Exit code 0: every expectation held, and every invariant, but for what an `expect broken` speaks of later. 1: one did not.
//! 2: the text is wrong, or cannot be read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant as Clock;

use clap::Args;
use ottla_core::rng::Seed;
use ottla_core::sim::scenario::{Action, Expectation, Scenario, link, parse, prepared};
use ottla_core::sim::trace::Trace;
use ottla_core::sim::{Outcome, Simulation};
use ottla_core::time::{Duration, Instant};
use ottla_core::view::View;
use serde::Serialize;

use crate::say::{complain, say};

/// Events between two looks at the trace.
const CHUNK: u64 = 1_000;

#[derive(Args)]
pub struct RunArgs {
    /// The scenario's file, a link, or the name of a scenario that comes with Ottla (first-cluster, …)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Play it with this seed instead of its own
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// How much simulated time to play, such as 60s or 2m [default: up to the scenario's last action]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    until: Option<Duration>,
    /// Print the event log: what a person would tell of the run
    #[arg(long)]
    log: bool,
    /// Print every event and effect as a line, on stderr where the result is JSON
    #[arg(long)]
    trace: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Where the page is that the printed link opens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    page: String,
}

/// What came of a run.
#[derive(Serialize)]
struct Report {
    file: String,
    title: Option<String>,
    seed: u64,
    /// Simulated.
    seconds: f64,
    events: u64,
    wall_seconds: f64,
    ok: bool,
    expectations: Vec<Expected>,
    violations: Vec<Violated>,
    /// Of the scenario, that the run did not come to.
    not_reached: usize,
    link: String,
    view: View,
}

#[derive(Serialize)]
struct Expected {
    at: f64,
    expectation: String,
    held: bool,
    found: String,
}

#[derive(Serialize)]
struct Violated {
    at: f64,
    invariant: &'static str,
    found: String,
    /// Why Kafka allows it, where it does.
    exempt: Option<&'static str>,
}

pub fn run(args: RunArgs) -> ExitCode {
    let mut scenario = match scenario(&args.file) {
        Ok(scenario) => scenario,
        Err(errors) => {
            complain!("{errors}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = args.seed {
        scenario.seed = Seed(seed);
    }
    let report = match play(&args, args.file.display().to_string(), &scenario) {
        Ok(report) => report,
        Err(error) => {
            complain!("ottla: {error}");
            return ExitCode::from(2);
        }
    };
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => say(&json),
            Err(error) => complain!("ottla: {error}"),
        }
    } else {
        say(&summary(&report));
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse::duration(text).filter(|duration| *duration <= parse::MAX_TIME);
    duration.ok_or_else(|| "expected a time up to 24h, such as 60s, 250ms or 2m".to_string())
}

/// The scenario that a file, a link or a name leads to; errors in words, a line each.
pub fn scenario(file: &std::path::Path) -> Result<Scenario, String> {
    let (name, text) = read(file).map_err(|error| format!("ottla: {error}"))?;
    parse::scenario(&text).map_err(|errors| {
        // The form that editors and terminals make a link of.
        let told = errors.iter().map(|error| format!("{name}:{}:{}: {}", error.line, error.column, error.message));
        told.collect::<Vec<_>>().join("\n")
    })
}

/// The scenario's text, and what to call it.
fn read(file: &std::path::Path) -> Result<(String, String), String> {
    let name = file.display().to_string();
    if let Some((_, fragment)) = name.split_once("#v") {
        let (text, _) = link::decode(&format!("v{fragment}"))?;
        return Ok(("link".to_owned(), text));
    }
    // More than a scenario can have is not read.
    let bytes = File::open(file).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(parse::MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    match bytes {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(_) => Err(format!("{name} is not UTF-8")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match prepared::find(&name) {
            Some(prepared) => Ok((name, prepared.text.to_string())),
            None => {
                let known: Vec<&str> = prepared::every().map(|prepared| prepared.name).collect();
                Err(format!("there is no file {name}, and none of these is called so: {}", known.join(", ")))
            }
        },
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn play(args: &RunArgs, file: String, scenario: &Scenario) -> Result<Report, String> {
    let until = args.until.map_or_else(|| scenario.end(), |until| Instant::ZERO + until);
    let began = Clock::now();
    let mut simulation = Simulation::new(scenario)?;
    if args.trace {
        simulation.set_trace(Trace::Lines(Vec::new()));
    }
    // JSON stands alone.
    let print: fn(&str) = if args.json { |text: &str| complain!("{text}") } else { say };
    let mut told = 0;
    loop {
        let more = simulation.run(until, if args.log { 1 } else { CHUNK }) > 0;
        print_trace(&mut simulation, print);
        if args.log {
            told = print_log(&simulation, told, print);
        }
        if !more {
            break;
        }
    }
    let wall_seconds = began.elapsed().as_secs_f64();

    let outcomes = simulation.outcomes();
    let violations = simulation.violations();
    let asked = scenario.actions.iter().filter(|timed| matches!(timed.action, Action::Expect(_))).count();
    let wrong = violations.iter().find(|violation| violation.exempt.is_none()).map(|violation| violation.at);
    let failed = outcomes.iter().find(|outcome| !outcome.held).map(|outcome| outcome.at);
    // Whoever expects so many to be broken speaks of those up to then.
    let is_of_breaches = |it: &&Outcome| matches!(&it.expectation, Expectation::Count { what, .. } if what == "broken");
    let spoken_of = outcomes.iter().filter(is_of_breaches).map(|outcome| outcome.at).max();
    let broken = violations.iter().any(|it| it.exempt.is_none() && spoken_of.is_none_or(|until| until < it.at));
    // Where something went wrong, the link shows that moment; else the run from its start.
    let moment = wrong.into_iter().chain(failed).min();
    let fragment = link::encode(&scenario.to_string(), moment.unwrap_or(Instant::ZERO));
    Ok(Report {
        file,
        title: scenario.title().map(str::to_string),
        seed: scenario.seed.0,
        seconds: simulation.now().as_secs_f64(),
        events: simulation.event(),
        wall_seconds,
        ok: failed.is_none() && !broken,
        expectations: outcomes
            .iter()
            .map(|outcome| Expected {
                at: outcome.at.as_secs_f64(),
                expectation: outcome.expectation.to_string(),
                held: outcome.held,
                found: outcome.found.clone(),
            })
            .collect(),
        violations: violations
            .iter()
            .map(|violation| Violated {
                at: violation.at.as_secs_f64(),
                invariant: violation.invariant,
                found: violation.found.clone(),
                exempt: violation.exempt,
            })
            .collect(),
        not_reached: asked - outcomes.len().min(asked),
        link: format!("{}{fragment}", args.page),
        view: simulation.view(),
    })
}

fn print_trace(simulation: &mut Simulation, print: fn(&str)) {
    let lines = simulation.trace().take();
    if !lines.is_empty() {
        let text = lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
        print(text.trim_end());
    }
}

/// The lines of the event log from that number on. Gives the number of the next one.
fn print_log(simulation: &Simulation, from: u64, print: fn(&str)) -> u64 {
    simulation.lines_from(from).fold(from, |_, line| {
        print(&format!("{} {} {}", line.at, line.node, line.text));
        line.seq + 1
    })
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    let view = &report.view;
    // Writing to a string does not fail.
    let _ = (|| {
        writeln!(text, "{}", report.title.as_deref().unwrap_or(&report.file))?;
        let pace = report.seconds / report.wall_seconds.max(1e-9);
        writeln!(
            text,
            "{} s simulated in {:.3} s ({pace:.0} times real time), {} events, seed {}",
            report.seconds, report.wall_seconds, report.events, report.seed
        )?;
        if !view.producers.is_empty() {
            writeln!(text, "\n{:<16}{:>10}{:>10}{:>10}{:>10}", "producer", "sent", "acked", "failed", "retries")?;
        }
        for producer in &view.producers {
            let (name, retries) = (&producer.name, producer.retries);
            writeln!(
                text,
                "{name:<16}{:>10}{:>10}{:>10}{retries:>10}",
                producer.sent, producer.acked, producer.failed
            )?;
        }
        if !view.consumers.is_empty() {
            writeln!(text, "\n{:<16}{:>10}{:>10}", "consumer", "received", "lag")?;
        }
        for consumer in &view.consumers {
            let lag = consumer.known_lag().map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
            writeln!(text, "{:<16}{:>10}{lag:>10}", consumer.name, consumer.received)?;
        }
        if !view.topics.is_empty() {
            writeln!(text, "\n{:<16}{:>10}{:>10}{:>10}{:>10}", "partition", "leader", "start", "end", "segments")?;
        }
        for topic in &view.topics {
            for (partition, leader) in (0..).zip(&topic.leaders) {
                let led = view.brokers.iter().find(|broker| broker.id == *leader).and_then(|broker| {
                    broker
                        .replicas
                        .iter()
                        .find(|replica| (&replica.topic, replica.partition) == (&topic.name, partition))
                });
                let name = format!("{}-{partition}", topic.name);
                match led {
                    Some(replica) => {
                        let leader = format!("broker-{leader}");
                        let (start, end, segments) = (replica.log_start, replica.end, replica.segments);
                        writeln!(text, "{name:<16}{leader:>10}{start:>10}{end:>10}{segments:>10}")?;
                    }
                    None => writeln!(text, "{name:<16}{:>10}", "none")?,
                }
            }
        }
        writeln!(text)?;
        for expected in &report.expectations {
            let mark = if expected.held { "ok    " } else { "FAILED" };
            let found = if expected.held { String::new() } else { format!(": {}", expected.found) };
            writeln!(text, "{mark} @{}s expect {}{found}", expected.at, expected.expectation)?;
        }
        for violation in &report.violations {
            let Violated { at, invariant, found, exempt } = violation;
            match exempt {
                Some(why) => writeln!(text, "noted  @{at}s {invariant}: {found} ({why})")?,
                None => writeln!(text, "BROKEN @{at}s {invariant}: {found}")?,
            }
        }
        if report.not_reached > 0 {
            writeln!(text, "The run ended before {} of the expectations.", report.not_reached)?;
        }
        write!(text, "\n{}", report.link)
    })();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> RunArgs {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            run: RunArgs,
        }
        <Cli as clap::Parser>::parse_from(format!("run {line}").split_whitespace()).run
    }

    #[test]
    fn a_failed_expectation_is_told_and_the_link_opens_at_its_moment() {
        let text = "topic orders\nproducer p1 topic=orders rate=1/s\n@3s expect acked > 5\n@9s expect acked > 5\n";
        let scenario = parse::scenario(text).unwrap();
        let report = play(&args("x --until 5s"), "x".into(), &scenario).unwrap();
        assert!(!report.ok);
        assert_eq!((report.expectations[0].held, report.expectations[0].found.as_str()), (false, "acked is 3"));
        assert_eq!(report.not_reached, 1);
        let fragment = report.link.strip_prefix("http://127.0.0.1:8080/").unwrap();
        assert_eq!(link::decode(fragment), Ok((scenario.to_string(), Instant::from_millis(3_000))));
        assert!(summary(&report).contains("FAILED @3s expect acked > 5: acked is 3\n"), "{}", summary(&report));
    }

    #[test]
    fn a_prepared_scenario_is_found_by_its_name_and_plays_to_its_end() {
        let (_, text) = read(std::path::Path::new("first-cluster")).unwrap();
        let report = play(&args("first-cluster"), "first-cluster".into(), &parse::scenario(&text).unwrap()).unwrap();
        assert!(report.ok && report.not_reached == 0 && report.seconds == 25.0);
        let (_, text) = read(std::path::Path::new("kip-101-before")).unwrap();
        let broken = play(&args("kip-101-before"), "kip".into(), &parse::scenario(&text).unwrap()).unwrap();
        assert!(broken.ok && !broken.violations.is_empty(), "it expects that much");
        let early = text.replace("@20s expect broken >= 1", "@1s expect broken = 0");
        let broken = play(&args("kip-101-before"), "kip".into(), &parse::scenario(&early).unwrap()).unwrap();
        assert!(!broken.ok && broken.expectations.iter().all(|expected| expected.held), "that was before");
        assert!(read(std::path::Path::new("no-such")).unwrap_err().contains("first-cluster"));
    }
}
