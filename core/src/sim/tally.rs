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
    /// Transactions that applications committed, and aborted.
    pub committed: u64,
    pub aborted: u64,
    /// Producers that were told that another one has their place, or their coordinator.
    pub fenced: u64,
    /// Of these, the ones whose transaction had taken too long.
    pub timed_out: u64,
    /// Generations of groups.
    pub rebalances: u64,
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
        let Tally { elections, isr_changes, truncations, sessions_lost, faults, .. } = other;
        self.elections += elections;
        self.isr_changes += isr_changes;
        self.truncations += truncations;
        self.sessions_lost += sessions_lost;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.fenced += other.fenced;
        self.timed_out += other.timed_out;
        self.rebalances += other.rebalances;
        self.faults.iter_mut().zip(faults).for_each(|(all, one)| *all += one);
    }

    /// Names and numbers, faults last; of transactions and groups where there are any.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let rest = [
            ("elections", self.elections),
            ("ISR changes", self.isr_changes),
            ("truncations", self.truncations),
            ("session losses", self.sessions_lost),
        ];
        let clients = [
            ("commits", self.committed),
            ("aborts", self.aborted),
            ("fenced", self.fenced),
            ("timed-out transactions", self.timed_out),
            ("rebalances", self.rebalances),
        ];
        let clients = clients.into_iter().filter(|(_, count)| *count > 0);
        rest.into_iter().chain(clients).chain(FAULTS.into_iter().zip(self.faults))
    }
}
