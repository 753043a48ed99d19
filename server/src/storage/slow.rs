//! A disk that takes longer than it does, for a fault to show: everything is written when it is asked for, and told later.
//!
//! 1. One write is under way at a time; all that comes meanwhile is the next one. What was asked for in order is told in
//!    order.

use std::time::Duration;

use ottla_core::broker::Event;
use ottla_core::time::Instant;

use super::flusher::Job;

/// What a write is followed by.
pub enum Then {
    Tell(Event),
    /// A sync comes after the writes that it syncs.
    Sync(Job),
}

#[derive(Default)]
pub struct Slow {
    /// What every write takes longer.
    by: Duration,
    under_way: Vec<Then>,
    /// When it is done.
    due: Instant,
    next: Vec<Then>,
}

impl Slow {
    pub fn set(&mut self, now: Instant, by: Duration) {
        self.by = by;
        if by.is_zero() {
            self.due = now;
        }
    }

    pub fn by(&self) -> Duration {
        self.by
    }

    /// The disk is as quick as it is, and owes nothing.
    pub fn is_idle(&self) -> bool {
        self.by.is_zero() && self.under_way.is_empty()
    }

    pub fn add(&mut self, now: Instant, then: Then) {
        if self.under_way.is_empty() {
            self.due = now + self.by;
        }
        // Whatever joins a write within the instant of its begin goes with it.
        match self.due == now + self.by {
            true => self.under_way.push(then),
            false => self.next.push(then),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        (!self.under_way.is_empty()).then_some(self.due)
    }

    /// What is done by now.
    pub fn done(&mut self, now: Instant) -> Vec<Then> {
        let mut done = Vec::new();
        while !self.under_way.is_empty() && self.due <= now {
            done.append(&mut self.under_way);
            std::mem::swap(&mut self.under_way, &mut self.next);
            self.due = self.due + self.by;
        }
        done
    }
}
