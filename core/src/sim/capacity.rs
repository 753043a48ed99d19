//! How busy machines are: network cards and the hands that take up requests. What is too much waits, so congestion is
//! nothing special: a follower falls behind where its leader's card has more to send than it can.
//!
//! 1. Only brokers' machines have limits. Where the cluster has none, nothing is counted.
//! 2. A card sends one message after the other and receives one after the other; both ways at once.
//! 3. A message that is held back by a cut link has been sent: it costs its receiver nothing when it comes.

use super::network::NodeId;
use super::scenario::Capacity;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Capacities {
    capacity: Capacity,
    machines: VecMap<NodeId, Machine>,
}

/// From when on each part of it is free.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    sends: Instant,
    receives: Instant,
    works: Instant,
}

/// What a message asks of machines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub bytes: u64,
    /// Somebody has to take it up.
    pub request: bool,
}

impl Capacities {
    pub fn new(capacity: Capacity) -> Capacities {
        Capacities { capacity, machines: VecMap::new() }
    }

    /// Whether messages have to be counted at all.
    pub fn limited(&self) -> bool {
        self.capacity.link_bytes.is_some() || self.capacity.requests.is_some()
    }

    /// A broker's machine is there.
    pub fn add(&mut self, node: NodeId) {
        self.machines.insert(node, Machine::default());
    }

    /// When a message that is sent now has been received, and taken up if it is a request. The way takes `delay`.
    pub fn pass(&mut self, now: Instant, from: NodeId, to: NodeId, load: Load, delay: Duration) -> Instant {
        let wire = self.capacity.link_bytes.map_or(Duration::ZERO, |rate| span(load.bytes, rate));
        let sent = match self.machines.get_mut(&from) {
            Some(machine) => {
                machine.sends = machine.sends.max(now) + wire;
                machine.sends
            }
            None => now,
        };
        let Some(machine) = self.machines.get_mut(&to) else { return sent + delay };
        machine.receives = (machine.receives + wire).max(sent + delay);
        match self.capacity.requests.filter(|_| load.request) {
            Some(rate) => {
                machine.works = machine.works.max(machine.receives) + span(1, rate);
                machine.works
            }
            None => machine.receives,
        }
    }
}

/// What `count` things take at that many a second.
pub(super) fn span(count: u64, per_second: u64) -> Duration {
    Duration::from_nanos((u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_sends_one_after_the_other_and_hands_take_up_one_after_the_other() {
        let capacity = Capacity { link_bytes: Some(1_000), disk_bytes: None, requests: Some(2) };
        let mut capacities = Capacities::new(capacity);
        let [broker, other, client] = [NodeId(0), NodeId(1), NodeId(2)];
        capacities.add(broker);
        capacities.add(other);
        let at = Instant::from_millis;
        let bulk = Load { bytes: 500, request: false };
        let mut pass = |from, to, load| capacities.pass(at(0), from, to, load, Duration::from_millis(10));
        assert_eq!([pass(broker, client, bulk), pass(broker, client, bulk)], [at(510), at(1_010)]);
        assert_eq!(pass(broker, other, bulk), at(1_510), "whoever it is for");
        assert_eq!(pass(client, broker, bulk), at(500), "the other way is free");
        let request = Load { bytes: 0, request: true };
        assert_eq!([pass(client, other, request), pass(client, other, request)], [at(2_010), at(2_510)]);
    }
}
