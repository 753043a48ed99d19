//! Deadlines by name: each name has one at most.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

#[derive(Clone, Debug)]
pub struct Timers<T> {
    at: BTreeMap<T, Instant>,
    due: BTreeSet<(Instant, T)>,
}

impl<T: Ord + Clone> Timers<T> {
    pub fn new() -> Self {
        Timers { at: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Instead of what was set before.
    pub fn set(&mut self, name: T, at: Instant) {
        self.cancel(&name);
        self.due.insert((at, name.clone()));
        self.at.insert(name, at);
    }

    /// Unless it is set.
    pub fn set_first(&mut self, name: T, at: Instant) {
        if !self.at.contains_key(&name) {
            self.set(name, at);
        }
    }

    pub fn cancel(&mut self, name: &T) {
        if let Some((name, at)) = self.at.remove_entry(name) {
            self.due.remove(&(at, name));
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// The next that is due.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let (_, name) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
        self.cancel(&name);
        Some(name)
    }
}

impl<T: Ord + Clone> Default for Timers<T> {
    fn default() -> Self {
        Timers::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_rings_once_and_at_the_time_that_was_set_last() {
        let at = Instant::from_millis;
        let mut timers = Timers::new();
        timers.set("a", at(5));
        timers.set("b", at(3));
        timers.set("a", at(2));
        timers.set_first("b", at(1));
        timers.set("c", at(1));
        timers.cancel(&"c");
        assert_eq!((timers.deadline(), timers.expire(at(1))), (Some(at(2)), None));
        assert_eq!((timers.expire(at(9)), timers.expire(at(9)), timers.expire(at(9))), (Some("a"), Some("b"), None));
        assert_eq!(timers.deadline(), None);
    }
}
