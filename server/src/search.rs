//! `ottla search`: plays a scenario with many seeds on all cores, and shrinks what breaks.
//!
//! Exit code 0: nothing broke. 1: something did. 2: the text is wrong, or cannot be read.
//!
//! The same scenario and seeds give the same answer: of several seeds that break something it is the lowest one that
//! counts, whichever thread was first, and only its run is shrunk.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as Clock;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ottla_core::rng::Seed;
use ottla_core::sim::Tally;
use ottla_core::sim::scenario::{Scenario, Swarm, link};
use ottla_core::sim::search::{Broken, Finding, Shrunk, Verdict, judge, shrink};

use crate::run;
use crate::say::{complain, say};

/// Seeds that are named beside the first that breaks something.
const MOST_NAMED: usize = 50;
/// Runs that shrinking may take.
const SHRINK_RUNS: usize = 1_500;

#[derive(Args)]
pub struct SearchArgs {
    /// The scenario's file, a link, or the name of a scenario that comes with Ottla
    #[arg(value_name = "SCENARIO")]
    file: PathBuf,
    /// How many seeds to play
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Let every seed draw faults, where the scenario has no line `swarm` of its own
    #[arg(long)]
    swarm: bool,
    /// Play all seeds, whatever breaks
    #[arg(long)]
    keep_going: bool,
    /// Where the page is that the printed link opens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    page: String,
}

/// What came of every seed that was played, in their order: up to the first that broke something, unless all are wanted.
#[derive(Default)]
struct Found(BTreeMap<u64, Verdict>);

impl Found {
    fn broken(&self) -> impl Iterator<Item = (u64, &Finding)> {
        self.0.iter().filter_map(|(seed, verdict)| Some((*seed, verdict.finding.as_ref()?)))
    }
}

pub fn search(args: SearchArgs) -> ExitCode {
    let mut scenario = match run::scenario(&args.file) {
        Ok(scenario) => scenario,
        Err(errors) => {
            complain!("{errors}");
            return ExitCode::from(2);
        }
    };
    if args.swarm && scenario.swarm.is_none() {
        scenario.swarm = Some(Swarm::default());
    }
    // What a failed assertion says is told with what was found.
    std::panic::set_hook(Box::new(|_| {}));
    if let Err(why) = judge_one(&with_seed(&scenario, args.from)) {
        complain!("ottla: {why}");
        return ExitCode::from(2);
    }
    let began = Clock::now();
    let found = play(&args, &scenario);
    say(&numbers(&found, began.elapsed().as_secs_f64()));
    let Some((seed, finding)) = found.broken().next() else { return ExitCode::SUCCESS };
    say(&format!("\nseed {seed} breaks {} at {}: {}", finding.what, finding.at, finding.found));
    let others: Vec<String> = found.broken().skip(1).map(|(seed, _)| seed.to_string()).collect();
    if !others.is_empty() {
        let (named, rest) = others.split_at(others.len().min(MOST_NAMED));
        let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        say(&format!("and so do the seeds {}{rest}", named.join(", ")));
    }
    let shrunk = shrink_on_all_cores(&with_seed(&scenario, seed), finding);
    say(&told(&args, &scenario, seed, &shrunk));
    ExitCode::from(1)
}

fn with_seed(scenario: &Scenario, seed: u64) -> Scenario {
    Scenario { seed: Seed(seed), ..scenario.clone() }
}

/// An assertion of the core's that fails is a finding as any other. When it failed is not known: during the run.
fn judge_one(scenario: &Scenario) -> Result<Verdict, String> {
    std::panic::catch_unwind(|| judge(scenario)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let found = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default();
        let (what, at) = (Broken::Assertion, scenario.end());
        Ok(Verdict { finding: Some(Finding { what, at, found }), now: at, events: 0, tally: Tally::default() })
    })
}

/// All seeds, or as many as it takes until one breaks something and all below it are known to hold.
fn play(args: &SearchArgs, scenario: &Scenario) -> Found {
    let bar = progress(args.seeds, "{elapsed_precise} {bar:40} {pos}/{len} seeds {msg}");
    let next = AtomicU64::new(0);
    // Seeds from here on need not be played.
    let end = AtomicU64::new(args.seeds);
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= end.load(Ordering::Relaxed) {
                        break;
                    }
                    let seed = args.from.wrapping_add(place);
                    // The first seed was judged before, so the cluster can be.
                    let Ok(verdict) = judge_one(&with_seed(scenario, seed)) else { continue };
                    bar.inc(1);
                    if let Some(finding) = &verdict.finding {
                        bar.set_message(format!("{}: seed {seed}", finding.what));
                        if !args.keep_going {
                            end.fetch_min(place, Ordering::Relaxed);
                        }
                    }
                    found.lock().expect("nobody panics while it holds the lock").0.insert(seed, verdict);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().expect("nobody panics while it holds the lock");
    let lowest = found.broken().next().map(|(seed, _)| seed);
    if let Some(lowest) = lowest.filter(|_| !args.keep_going) {
        // Another thread may have been further already.
        found.0.retain(|seed, _| *seed <= lowest);
    }
    found
}

fn shrink_on_all_cores(scenario: &Scenario, finding: &Finding) -> Shrunk {
    let bar = progress(SHRINK_RUNS as u64, "{elapsed_precise} shrinking: {pos} runs, {msg}");
    let mut first = |candidates: &[Scenario]| {
        let next = AtomicU64::new(0);
        // The lowest place that breaks the same, so far.
        let lowest = Mutex::new(None::<(usize, Finding)>);
        std::thread::scope(|scope| {
            for _ in 0..cores() {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let Some(candidate) = candidates.get(place) else { break };
                        let known = || lowest.lock().expect("nobody panics while it holds the lock");
                        if known().as_ref().is_some_and(|(lowest, _)| *lowest < place) {
                            break;
                        }
                        let Ok(Verdict { finding: Some(other), .. }) = judge_one(candidate) else { continue };
                        let mut lowest = known();
                        if other.is_like(finding) && lowest.as_ref().is_none_or(|(lowest, _)| place < *lowest) {
                            *lowest = Some((place, other));
                        }
                    }
                });
            }
        });
        bar.inc(candidates.len() as u64);
        let first = lowest.into_inner().expect("nobody panics while it holds the lock");
        if let Some((place, _)) = &first {
            bar.set_message(format!("{} lines left", candidates[*place].actions.len()));
        }
        first
    };
    let shrunk = shrink(scenario, finding, SHRINK_RUNS, &mut first);
    bar.finish_and_clear();
    shrunk
}

fn progress(len: u64, template: &str) -> ProgressBar {
    // On a terminal only, to stderr.
    let bar = ProgressBar::new(len);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn numbers(found: &Found, wall_seconds: f64) -> String {
    let mut text = String::new();
    let mut tally = Tally::default();
    let (mut seconds, mut events) = (0.0, 0);
    for verdict in found.0.values() {
        tally.add(&verdict.tally);
        seconds += verdict.now.as_secs_f64();
        events += verdict.events;
    }
    let (seeds, pace) = (found.0.len(), seconds / wall_seconds.max(1e-9));
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{seeds} seed{}, {seconds:.0} simulated seconds in {wall_seconds:.1} s ({pace:.0} times real time), {events} events",
        if seeds == 1 { "" } else { "s" },
    );
    for (name, count) in tally.counts() {
        let _ = write!(text, "\n{count:>12} {name}");
    }
    text
}

fn told(args: &SearchArgs, scenario: &Scenario, seed: u64, shrunk: &Shrunk) -> String {
    let Shrunk { scenario: small, finding, runs } = shrunk;
    let lines = |scenario: &Scenario| scenario.drawn().to_string().lines().count();
    let text = small.to_string();
    let fragment = link::encode(&text, finding.at);
    format!(
        "\nshrunk from {} lines to {} in {runs} runs; it breaks {} at {}: {}\n\n{text}\nottla run '{fragment}'\n{}{fragment}",
        lines(&with_seed(scenario, seed)),
        text.lines().count(),
        finding.what,
        finding.at,
        finding.found,
        args.page,
    )
}
