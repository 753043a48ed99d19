//! The search for what breaks an invariant: a run is judged, and what broke is shrunk to the smallest scenario that
//! still breaks the same.
//!
//! 1. The same scenario has the same verdict, and shrinks to the same scenario, however many threads look.
//! 2. What is shrunk can be written down: its text, read back, is the same run.
//! 3. Every step on the way breaks the same invariant, or the same expectation.
//!
//! `shrink.rs` which smaller scenarios there are to try

mod shrink;

use std::fmt::{self, Display, Formatter};

pub use shrink::{Shrunk, shrink};

use super::scenario::{Action, Expectation, Scenario, Timed};
use super::{Simulation, Tally};
use crate::time::{Duration, Instant};

/// Events between two looks at what is broken.
const CHUNK: u64 = 500;

/// What broke first in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: Broken,
    pub at: Instant,
    pub found: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// By its name.
    Invariant(&'static str),
    /// By its text.
    Expectation(String),
    /// What the core believes of itself.
    Assertion,
}

impl Finding {
    /// The same broke: an invariant by its name, an expectation also by what was found in its stead, numbers aside.
    pub fn is_like(&self, other: &Finding) -> bool {
        let words = |finding: &Finding| finding.found.replace(|letter: char| letter.is_ascii_digit(), "");
        self.what == other.what && (!matches!(self.what, Broken::Expectation(_)) || words(self) == words(other))
    }
}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Invariant(name) => f.write_str(name),
            Broken::Expectation(text) => write!(f, "expect {text}"),
            Broken::Assertion => f.write_str("an assertion"),
        }
    }
}

/// A run that was judged.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub finding: Option<Finding>,
    /// How far it went.
    pub now: Instant,
    pub events: u64,
    pub tally: Tally,
}

/// Plays a scenario to its end, or until something breaks. An error in words where its cluster cannot be.
pub fn judge(scenario: &Scenario) -> Result<Verdict, String> {
    let mut simulation = Simulation::new(scenario)?;
    let end = scenario.end();
    loop {
        let more = simulation.run(end, CHUNK) == CHUNK;
        let finding = broken(&simulation);
        if finding.is_some() || !more {
            let (now, events, tally) = (simulation.now(), simulation.event(), simulation.tally().clone());
            return Ok(Verdict { finding, now, events, tally });
        }
    }
}

/// What broke first; at one moment an invariant comes before an expectation, which may only say the same.
fn broken(simulation: &Simulation) -> Option<Finding> {
    let violation = simulation.violations().iter().find(|violation| violation.exempt.is_none());
    let violation = violation.map(|violation| Finding {
        what: Broken::Invariant(violation.invariant),
        at: violation.at,
        found: violation.found.clone(),
    });
    let outcome = simulation.outcomes().iter().find(|outcome| !outcome.held);
    let outcome = outcome.map(|outcome| Finding {
        what: Broken::Expectation(outcome.expectation.to_string()),
        at: outcome.at,
        found: outcome.found.clone(),
    });
    violation.into_iter().chain(outcome).min_by_key(|finding| finding.at)
}

impl Scenario {
    /// This scenario up to what broke in it, without dice and without comments; its last line says what should hold.
    fn up_to(&self, finding: &Finding) -> Scenario {
        let mut scenario = self.drawn();
        scenario.actions.retain(|timed| timed.at <= finding.at && !matches!(timed.action, Action::Expect(_)));
        scenario.actions.iter_mut().for_each(|timed| timed.above.clear());
        scenario.bugs.iter_mut().for_each(|line| line.above.clear());
        (scenario.opening, scenario.closing) = (Vec::new(), Vec::new());
        let expectation = match &finding.what {
            Broken::Invariant(_) | Broken::Assertion => Expectation::InvariantsHold,
            Broken::Expectation(text) => {
                let lost = self.actions.iter().find_map(|timed| match &timed.action {
                    Action::Expect(expectation) if expectation.to_string() == *text => Some(expectation.clone()),
                    _ => None,
                });
                lost.unwrap_or(Expectation::InvariantsHold)
            }
        };
        let at = match finding.what {
            // Whole milliseconds, so that a person can read it.
            Broken::Invariant(_) => Instant::from_millis(finding.at.as_millis() + 1),
            Broken::Expectation(_) | Broken::Assertion => finding.at,
        };
        scenario.actions.push(Timed { at, action: Action::Expect(expectation), above: Vec::new() });
        scenario
    }

    /// When a run of it is over: after the last thing that it says, or after a minute where it says nothing.
    pub fn end(&self) -> Instant {
        match self.last() {
            Instant::ZERO => Instant::ZERO + MINUTE,
            last => last,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
