//! Time travel: checkpoints on the way, seek by restoring the nearest one and running on.
//!
//! `(scenario, actions)` is the whole run, so going back loses nothing: what was ahead is played again, the same.
//!
//! 1. There is a checkpoint at the start, and there are never more than [`MOST`]: near ones stay close to each other, old
//!    ones grow sparse, so that memory is bounded and a step back is cheap.
//! 2. Checkpoints ahead of now stay true, until something is done by hand: then they are of another run, and go.
//! 3. An action by hand falls on a whole millisecond after all that has happened, so that the scenario's text, played
//!    again, is this run.

use std::sync::Arc;

use super::scenario::{Action, Scenario};
use super::{Simulation, story};
use crate::arrange::Arrange;
use crate::time::Instant;
use crate::view::{Detail, Level, Mark, Target, View};

/// Checkpoints that are kept.
const MOST: usize = 64;
/// Events between two checkpoints near now.
const EVERY: u64 = 1_000;

/// A run that can go forward and back, and that a hand can interfere with.
pub struct Player {
    scenario: Scenario,
    simulation: Simulation,
    /// By their event counts, which differ.
    checkpoints: Vec<Simulation>,
    /// Nothing has happened since an action at this very moment: another one may share it.
    acted: bool,
}

impl Player {
    /// The scenario at its start. An error in words where its cluster cannot be.
    pub fn new(scenario: Scenario) -> Result<Player, String> {
        let simulation = Simulation::new(&scenario)?;
        Ok(Player { scenario, checkpoints: vec![simulation.clone()], simulation, acted: false })
    }

    pub fn now(&self) -> Instant {
        self.simulation.now()
    }

    /// Events so far.
    pub fn event(&self) -> u64 {
        self.simulation.event()
    }

    /// Runs on to `to`, or until `max_events` have been stepped, whichever comes first; gives where it stopped.
    pub fn advance(&mut self, to: Instant, max_events: u64) -> Instant {
        for _ in 0..max_events {
            if !self.forward(to) {
                break;
            }
        }
        self.now()
    }

    /// One event on.
    pub fn step(&mut self) {
        if let Some(at) = self.simulation.next() {
            while !self.forward(at) {
                // What was due then was of no consequence.
                if self.simulation.next().is_none_or(|next| next > at) {
                    return self.step();
                }
            }
        }
    }

    /// One event back.
    pub fn step_back(&mut self) {
        let Some(target) = self.simulation.event().checked_sub(1) else { return };
        self.restore(|checkpoint| checkpoint.event() <= target);
        while self.simulation.event() < target && self.forward(Instant::from_nanos(u64::MAX)) {}
    }

    /// To any moment, before or after.
    pub fn seek(&mut self, to: Instant) {
        if to < self.now() {
            self.restore(|checkpoint| checkpoint.now() <= to);
        } else {
            let event = self.event();
            let ahead = self.checkpoints.iter().rev().find(|checkpoint| checkpoint.now() <= to);
            if let Some(checkpoint) = ahead.filter(|checkpoint| checkpoint.event() > event) {
                self.simulation = checkpoint.clone();
                self.acted = false;
            }
        }
        while self.forward(to) {}
    }

    /// Does something now. It becomes part of the scenario; what the scenario still had ahead stays ahead.
    ///
    /// An error in words where it cannot be done; the run is then as it was.
    pub fn act(&mut self, action: Action) -> Result<(), String> {
        self.simulation.allows(&action)?;
        let at =
            if self.acted || self.event() == 0 { self.now() } else { Instant::from_millis(self.now().as_millis() + 1) };
        // A rate that was just set and is set again was never this rate.
        let again = self.acted && self.scenario.take_back(at, &action);
        self.scenario.insert(at, action);
        let actions = Arc::new(self.scenario.timeline());
        self.checkpoints.retain(|checkpoint| checkpoint.now() < at || checkpoint.event() == 0);
        for checkpoint in &mut self.checkpoints {
            checkpoint.set_actions(actions.clone());
        }
        if again {
            self.restore(|checkpoint| checkpoint.now() < at);
        }
        self.simulation.set_actions(actions);
        self.simulation.run_actions(at);
        self.acted = true;
        Ok(())
    }

    pub fn view(&self) -> View {
        self.simulation.view()
    }

    pub fn detail(&self, target: &Target) -> Option<Detail> {
        self.simulation.detail(target)
    }

    /// Every action that has a time, and every expectation with what became of it so far.
    pub fn marks(&self) -> Vec<Mark> {
        let mut outcomes = self.simulation.outcomes().iter();
        let mut marks = Vec::new();
        for timed in self.simulation.actions.iter() {
            let text = timed.action.to_string();
            let (text, level) = match &timed.action {
                Action::Expect(_) => match outcomes.next() {
                    Some(outcome) if outcome.held => (text, Level::Good),
                    Some(outcome) => (format!("{text} FAILED: {}", outcome.found), Level::Bad),
                    None => (text, Level::Info),
                },
                action => (text, story::level_of(action)),
            };
            if timed.at > Instant::ZERO {
                marks.push(Mark { at: timed.at, text, level });
            }
        }
        let broken = self.simulation.violations().iter().filter(|violation| violation.exempt.is_none());
        marks.extend(broken.map(|violation| Mark {
            at: violation.at,
            text: format!("{} is violated: {}", violation.invariant, violation.found),
            level: Level::Bad,
        }));
        marks.arrange_by_key(|mark| mark.at);
        marks
    }

    /// The scenario with everything that was done by hand; its `Display` is the text.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// The event counts of the checkpoints, rising.
    pub fn checkpoints(&self) -> Vec<u64> {
        self.checkpoints.iter().map(Simulation::event).collect()
    }

    /// One event on, if there is one up to `to`; a checkpoint where one is due.
    fn forward(&mut self, to: Instant) -> bool {
        if !self.simulation.step(to) {
            self.acted &= self.now() == to;
            return false;
        }
        self.acted = false;
        let last = self.checkpoints.last().map_or(0, |checkpoint| checkpoint.event());
        if self.event() >= last + EVERY {
            self.checkpoints.push(self.simulation.clone());
            if self.checkpoints.len() > MOST {
                self.thin();
            }
        }
        true
    }

    /// The newest checkpoint of which that is true; the start's always is.
    fn restore(&mut self, fits: impl Fn(&Simulation) -> bool) {
        let checkpoint =
            self.checkpoints.iter().rev().find(|checkpoint| fits(checkpoint)).unwrap_or(&self.checkpoints[0]);
        self.simulation = checkpoint.clone();
        self.acted = false;
    }

    /// Drops the checkpoint whose absence is felt least: the gap that it would leave, against how long ago that was.
    fn thin(&mut self) {
        let end = self.checkpoints.last().map_or(0, |checkpoint| checkpoint.event());
        let felt = |place: &usize| {
            let [before, own, after] = [place - 1, *place, place + 1].map(|place| self.checkpoints[place].event());
            (after - before) as u128 * 1_000_000 / u128::from(end - own + EVERY)
        };
        if let Some(place) = (1..self.checkpoints.len() - 1).min_by_key(felt) {
            self.checkpoints.remove(place);
        }
    }
}
