//! Who leads.

use std::collections::BTreeSet;

use crate::config::{BrokerSettings, TopicConfig};
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, ClusterState, Topic};

use super::Controller;

/// Gives every partition the leader that it should have now, and takes the dead out of its ISR.
///
/// A leader that lives stays. Otherwise the first replica leads that is in sync and lives; where
/// `unclean.leader.election.enable` says so, the first that lives at all, and what only the others have is lost. The ISR
/// of a partition that nobody can lead is kept whole: whoever of it returns first has all that was committed.
pub(super) fn elect(state: &mut ClusterState, shutting_down: &BTreeSet<BrokerId>, settings: &BrokerSettings) {
    let brokers = &state.brokers;
    let alive = |id: &BrokerId| brokers.contains_key(id);
    let may_lead = |id: &BrokerId| alive(id) && !shutting_down.contains(id);
    for topic in state.topics.values_mut() {
        let mut unclean = None;
        for index in 0..topic.partitions.len() {
            let partition = &topic.partitions[index];
            let in_sync = |id: &BrokerId| partition.isr.contains(id);
            let (leader, isr) = if alive(&partition.leader) {
                let isr = partition.isr.iter().copied().filter(alive).collect();
                (partition.leader, isr)
            } else if let Some(leader) = partition.replicas.iter().copied().find(|id| in_sync(id) && may_lead(id)) {
                let isr = partition.isr.iter().copied().filter(alive).collect();
                (leader, isr)
            } else if let Some(leader) = partition.replicas.iter().copied().find(may_lead)
                && *unclean.get_or_insert_with(|| allows_unclean(topic, settings))
            {
                (leader, vec![leader])
            } else {
                (BrokerId::NONE, partition.isr.clone())
            };
            lead(&mut topic.partitions[index], leader, isr);
        }
    }
}

/// Invariant 3 of the controller.
pub(super) fn lead(partition: &mut Assignment, leader: BrokerId, isr: Vec<BrokerId>) {
    if partition.leader == leader && partition.isr == isr {
        return;
    }
    // One that is not written yet begins with its first leader.
    if partition.partition_epoch != Assignment::NEW {
        partition.leader_epoch += 1;
    }
    (partition.leader, partition.isr) = (leader, isr);
}

fn allows_unclean(topic: &Topic, settings: &BrokerSettings) -> bool {
    TopicConfig::new(&topic.configs, settings).is_ok_and(|config| config.unclean_leader_election_enable)
}

impl Controller {
    /// A broker is about to stop: others lead what it leads, where there are others in sync. Gives how many partitions
    /// with other replicas it still leads.
    pub(super) fn shut_down(&mut self, broker: BrokerId, epoch: i64) -> usize {
        // It has registered anew since.
        if self.state.broker_epochs.get(&broker) != Some(&epoch) {
            return 0;
        }
        self.shutting_down.insert(broker);
        let shutting_down = self.shutting_down.clone();
        self.change(|state| {
            let brokers = &state.brokers;
            for partition in state.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
                if partition.replicas.len() < 2 || !partition.isr.contains(&broker) {
                    continue;
                }
                let others: Vec<BrokerId> =
                    partition.isr.iter().copied().filter(|id| !shutting_down.contains(id)).collect();
                let stands_in = |id: &BrokerId| others.contains(id) && brokers.contains_key(id);
                if partition.leader != broker {
                    let isr = partition.isr.iter().copied().filter(|id| *id != broker).collect();
                    let leader = partition.leader;
                    lead(partition, leader, isr);
                } else if let Some(leader) = partition.replicas.iter().copied().find(stands_in) {
                    lead(partition, leader, others);
                }
            }
        });
        let led = self.state.topics.values().flat_map(|topic| &topic.partitions);
        led.filter(|partition| partition.leader == broker && partition.replicas.len() > 1).count()
    }

    /// Where a broker leads too few of the partitions that prefer it, it leads those again that it can
    /// (`leader.imbalance.per.broker.percentage`).
    pub(super) fn rebalance(&mut self) {
        let mut moves = Vec::new();
        for (&broker, _) in self.state.brokers.iter().filter(|(id, _)| !self.shutting_down.contains(id)) {
            let topics = self.state.topics.iter();
            let all = topics.flat_map(|(name, topic)| (0..).zip(&topic.partitions).map(move |one| (name, one)));
            let prefer = all.filter(|(_, (_, partition))| partition.replicas.first() == Some(&broker));
            let (led, not_led): (Vec<_>, Vec<_>) = prefer.partition(|(_, (_, partition))| partition.leader == broker);
            let preferred = led.len() + not_led.len();
            if not_led.len() * 100 > preferred * self.settings.leader_imbalance_per_broker_percentage {
                let can = not_led.iter().filter(|(_, (_, partition))| partition.isr.contains(&broker));
                moves.extend(can.map(|(name, (index, _))| ((*name).clone(), *index, broker)));
            }
        }
        if moves.is_empty() {
            return;
        }
        self.change(|state| {
            for (topic, index, leader) in moves {
                if let Some(partition) = state.partition_mut(&topic, index) {
                    let isr = partition.isr.clone();
                    lead(partition, leader, isr);
                }
            }
        });
    }
}
