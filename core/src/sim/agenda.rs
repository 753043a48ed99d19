//! What is to happen, in order. Most of it is to happen soon: the next entries lie sorted, so that to take one costs nothing;
//! what lies further ahead waits in a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::What;
use crate::time::Instant;

/// Entries that lie sorted, at most.
const NEAR: usize = 64;

#[derive(Clone, Default)]
pub(super) struct Agenda {
    /// The next one last. Empty only if all is.
    near: Vec<Entry>,
    /// Comes after all that is near.
    far: BinaryHeap<Reverse<Entry>>,
    next_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    /// The order of what happens at one instant.
    seq: u64,
    what: What,
}

impl Agenda {
    /// When the next entry is due.
    pub fn next(&self) -> Option<Instant> {
        self.near.last().map(|entry| entry.at)
    }

    pub fn push(&mut self, at: Instant, what: What) {
        let entry = Entry { at, seq: self.next_seq, what };
        self.next_seq += 1;
        if self.far.peek().is_some_and(|Reverse(first)| first.at <= at) {
            return self.far.push(Reverse(entry));
        }
        if self.near.len() == NEAR {
            self.far.extend(self.near.drain(..NEAR / 2).map(Reverse));
            if self.near[0].at <= at {
                return self.far.push(Reverse(entry));
            }
        }
        // Behind those of the same instant.
        let place = self.near.partition_point(|other| other.at > at);
        self.near.insert(place, entry);
    }

    pub fn pop(&mut self) -> Option<(Instant, What)> {
        let Entry { at, what, .. } = self.near.pop()?;
        if self.near.is_empty() {
            while self.near.len() < NEAR / 2
                && let Some(Reverse(entry)) = self.far.pop()
            {
                self.near.push(entry);
            }
            self.near.reverse();
        }
        Some((at, what))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::network::NodeId;

    #[test]
    fn what_comes_first_is_taken_first_and_of_one_instant_what_was_put_first() {
        let mut agenda = Agenda::default();
        let mut expected = Vec::new();
        let mut dice = 1u64;
        let mut now = 0;
        for seq in 0..5_000u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = now + (dice >> 40) % if seq % 3 == 0 { 1_000 } else { 40 };
            agenda.push(Instant::from_nanos(at), What::Timer { node: NodeId(seq) });
            expected.push((at, seq));
            // Now many wait and now few.
            let takes = if seq % 1_000 < 500 { seq % 2 } else { seq % 5 / 2 };
            for _ in 0..takes {
                let Some(first) = expected.iter().min().copied() else { break };
                expected.retain(|entry| *entry != first);
                assert_eq!(agenda.next(), Some(Instant::from_nanos(first.0)));
                let Some((at, What::Timer { node })) = agenda.pop() else { panic!() };
                assert_eq!((at.as_nanos(), node.0), first);
                now = first.0;
            }
        }
        expected.sort();
        for first in expected {
            let Some((at, What::Timer { node })) = agenda.pop() else { panic!() };
            assert_eq!((at.as_nanos(), node.0), first);
        }
        assert_eq!(agenda.next(), None);
        assert!(agenda.pop().is_none());
    }
}
