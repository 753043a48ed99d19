//! Time travel: checkpoints on the way, seek by restoring the nearest one and running on.
//!
//! `(scenario, actions)` is the whole run, so going back loses nothing: what was ahead is played again, the same.

use super::scenario::{Action, Scenario};
use super::view::{Detail, Mark, Target, View};
use crate::time::Instant;

/// A run that can go forward and back, and that a hand can interfere with.
pub struct Player {}

impl Player {
    pub fn new(_scenario: Scenario) -> Result<Player, String> {
        todo!()
    }

    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Runs on to `to`, or until `max_events` have been stepped, whichever comes first; gives where it stopped.
    pub fn advance(&mut self, _to: Instant, _max_events: u64) -> Instant {
        todo!()
    }

    /// One event on.
    pub fn step(&mut self) {
        todo!()
    }

    /// One event back.
    pub fn step_back(&mut self) {
        todo!()
    }

    /// To any moment, before or after.
    pub fn seek(&mut self, _to: Instant) {
        todo!()
    }

    /// Does something now. It becomes part of the scenario; what the scenario still had ahead stays ahead.
    pub fn act(&mut self, _action: Action) -> Result<(), String> {
        todo!()
    }

    pub fn view(&self) -> View {
        todo!()
    }

    pub fn detail(&self, _target: &Target) -> Option<Detail> {
        todo!()
    }

    /// Every action that has a time, and every fault and expectation that has been met so far.
    pub fn marks(&self) -> Vec<Mark> {
        todo!()
    }

    /// The scenario with everything that was done by hand; its `Display` is the text.
    pub fn scenario(&self) -> &Scenario {
        todo!()
    }
}
