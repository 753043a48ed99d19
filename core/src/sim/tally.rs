//! What a run held, in numbers: a search that never met an election has not searched there.

use super::scenario::{FAULTS, Fault};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Partitions that were given another leader, or none.
    pub elections: u64,
    /// ISRs that grew or shrank.
    pub isr_changes: u64,
    /// Logs that were cut back.
    pub truncations: u64,
    /// Sessions with ZooKeeper that ended because nothing was heard of the broker.
    pub sessions_lost: u64,
    /// Lines about faults that struck, in the order of [`FAULTS`].
    faults: [u64; FAULTS.len()],
}

impl Tally {
    pub(super) fn struck(&mut self, fault: &Fault) {
        let word = FAULTS.iter().position(|word| *word == fault.word());
        if let Some(count) = word.and_then(|place| self.faults.get_mut(place)) {
            *count += 1;
        }
    }

    pub fn add(&mut self, other: &Tally) {
        let Tally { elections, isr_changes, truncations, sessions_lost, faults } = other;
        self.elections += elections;
        self.isr_changes += isr_changes;
        self.truncations += truncations;
        self.sessions_lost += sessions_lost;
        self.faults.iter_mut().zip(faults).for_each(|(all, one)| *all += one);
    }

    /// Names and numbers, faults last.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let rest = [
            ("elections", self.elections),
            ("ISR changes", self.isr_changes),
            ("truncations", self.truncations),
            ("session losses", self.sessions_lost),
        ];
        rest.into_iter().chain(FAULTS.into_iter().zip(self.faults))
    }
}
