//! A prepared scenario is held to what it says: as written, all that it expects holds; with any one of its `# flip:` lines
//! done, something does not. A scenario whose expectations hold whatever one does to it explains nothing.
//!
//! `OTTLA_SCENARIO=leader-failover cargo test -p ottla-tests --test flips` plays one of them and prints what it found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ottla_core::sim::scenario::prepared::{self, Prepared};
use ottla_core::sim::scenario::{flip, parse};
use ottla_core::sim::{Outcome, Simulation};

/// Those that hang on no setting, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("first-cluster", "nothing is decided in it: it shows who is there"),
    ("one-chosen-record", "nothing is decided in it: it shows one record's way"),
    ("batching-and-linger", "what it shows is how many requests there are, not what becomes of them"),
];

#[test]
fn every_prepared_scenario_holds_as_written_and_fails_where_it_is_flipped() {
    let chosen = std::env::var("OTTLA_SCENARIO").ok();
    let scenarios: Vec<_> =
        prepared::ALL.iter().filter(|it| chosen.as_ref().is_none_or(|name| name == it.name)).collect();
    assert!(!scenarios.is_empty(), "no scenario is called {chosen:?}");
    let next = AtomicUsize::new(0);
    let work = || -> Vec<String> {
        let mine = std::iter::from_fn(|| scenarios.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.flat_map(|scenario| judge(scenario, chosen.is_some())).collect()
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a scenario panicked")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn those_without_a_flip_are_there_and_have_none() {
    for (name, _) in WITHOUT {
        let scenario = prepared::find(name).unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(flip::all(scenario.text), Ok(vec![]), "{name}");
    }
}

/// What is wrong with it, in words.
fn judge(scenario: &Prepared, loud: bool) -> Vec<String> {
    let Prepared { name, text, .. } = *scenario;
    let mut wrong = Vec::new();
    match play(text) {
        Ok(found) => {
            if loud {
                found.iter().for_each(|outcome| println!("{} {}", outcome.at, told(outcome)));
            }
            if found.is_empty() {
                wrong.push(format!("{name} expects nothing"));
            }
            wrong.extend(found.iter().filter(|it| !it.held).map(|it| format!("{name}: {}", told(it))));
        }
        Err(why) => wrong.push(format!("{name}: {why}")),
    }
    let flips = match flip::all(text) {
        Ok(flips) => flips,
        Err(why) => return vec![format!("{name}: {why}")],
    };
    if flips.is_empty() && !WITHOUT.iter().any(|(known, _)| *known == name) {
        wrong.push(format!("{name} has no line `# flip:` to say what it hangs on"));
    }
    for flip in flips {
        match outcomes(&flip.apply(text)) {
            Ok((found, _)) if found.iter().all(|outcome| outcome.held) => {
                wrong.push(format!("{name} holds {flip}"));
            }
            Ok((found, _)) if loud => {
                let failed = found.iter().filter(|outcome| !outcome.held);
                failed.for_each(|outcome| println!("{flip}: {}", told(outcome)));
            }
            Ok(_) => {}
            Err(why) => wrong.push(format!("{name}, {flip}: {why}")),
        }
    }
    wrong
}

fn told(outcome: &Outcome) -> String {
    format!("expect {} {}: {}", outcome.expectation, if outcome.held { "holds" } else { "FAILS" }, outcome.found)
}

/// Its outcomes; what it breaks of the invariants is an error, unless it shows one of Kafka's mistakes.
fn play(text: &str) -> Result<Vec<Outcome>, String> {
    let (outcomes, broken) = outcomes(text)?;
    match broken {
        Some(broken) => Err(broken),
        None => Ok(outcomes),
    }
}

fn outcomes(text: &str) -> Result<(Vec<Outcome>, Option<String>), String> {
    let scenario = parse::scenario(text).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    simulation.run(scenario.last(), u64::MAX);
    let mut violations = simulation.violations().iter().filter(|it| it.exempt.is_none() && scenario.bugs.is_empty());
    let broken = violations.next().map(|it| format!("{} is broken at {}: {}", it.invariant, it.at, it.found));
    Ok((simulation.outcomes().to_vec(), broken))
}
