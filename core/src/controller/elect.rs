//! Who leads.

use std::sync::Arc;

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Controller, Refusal};
use crate::config::{BrokerSettings, TopicConfig};
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::{Assignment, ClusterState, Registration, Topic};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Kafka's `ElectionType`: what a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The first replica leads again.
    Preferred,
    /// One that lives leads, in sync or not.
    Unclean,
}

/// Who can be elected, and by which rules.
#[derive(Clone)]
pub(super) struct Electorate {
    /// They live, but lead nothing new.
    pub shutting_down: VecSet<BrokerId>,
    /// They live, but not their logs of these partitions.
    pub failed_logs: VecMap<BrokerId, Vec<TopicPartition>>,
    pub settings: Arc<BrokerSettings>,
}

impl Electorate {
    /// Gives every partition the leader that it should have now, and takes the dead out of its ISR.
    ///
    /// A replica lives whose broker does and whose log has not failed. A leader that lives stays. Otherwise the first replica
    /// leads that is in sync and lives; where `unclean.leader.election.enable` says so, the first that lives at all, and what
    /// only the others have is lost. The ISR of a partition that nobody can lead is kept whole: whoever of it returns first
    /// has all that was committed.
    pub fn elect(&self, state: &mut ClusterState) {
        let brokers = &state.brokers;
        for (name, topic) in &mut state.topics {
            let mut unclean = None;
            for index in 0..topic.partitions.len() {
                let alive = |id: &BrokerId| self.is_alive(brokers, (name, index as i32), id);
                let partition = &topic.partitions[index];
                let (leader, isr) = if alive(&partition.leader) {
                    (partition.leader, partition.isr.iter().copied().filter(alive).collect())
                } else if let Some(leader) = self.in_sync(partition, alive) {
                    (leader, partition.isr.iter().copied().filter(alive).collect())
                } else if let Some(leader) = self.living(partition, alive)
                    && *unclean.get_or_insert_with(|| self.allows_unclean(topic))
                {
                    topic.partitions[index].recovering = true;
                    (leader, vec![leader])
                } else {
                    (BrokerId::NONE, partition.isr.clone())
                };
                lead(&mut topic.partitions[index], leader, isr);
            }
        }
    }

    /// Whether that broker's replica of a partition lives.
    pub fn is_alive(
        &self,
        brokers: &VecMap<BrokerId, Registration>,
        (topic, partition): (&TopicName, i32),
        id: &BrokerId,
    ) -> bool {
        let is_it = |failed: &TopicPartition| failed.partition == partition && failed.topic == *topic;
        brokers.contains_key(id) && !self.failed_logs.get(id).is_some_and(|failed| failed.iter().any(is_it))
    }

    /// The first replica that is in sync and may lead.
    pub fn in_sync(&self, partition: &Assignment, alive: impl Fn(&BrokerId) -> bool) -> Option<BrokerId> {
        let may_lead = |id: &BrokerId| partition.isr.contains(id) && alive(id) && !self.shutting_down.contains(id);
        partition.replicas.iter().copied().find(may_lead)
    }

    fn living(&self, partition: &Assignment, alive: impl Fn(&BrokerId) -> bool) -> Option<BrokerId> {
        partition.replicas.iter().copied().find(|id| alive(id) && !self.shutting_down.contains(id))
    }

    pub fn allows_unclean(&self, topic: &Topic) -> bool {
        TopicConfig::new(&topic.configs, &self.settings).is_ok_and(|config| config.unclean_leader_election_enable)
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

impl Controller {
    pub(super) fn electorate(&self) -> Electorate {
        Electorate {
            shutting_down: self.shutting_down.clone(),
            failed_logs: self.failed_logs.clone(),
            settings: self.settings.clone(),
        }
    }

    pub fn elect_leaders(&mut self, request: &ElectLeadersRequest, version: i16) -> ElectLeadersResponse {
        // Before v1 there is one kind of election.
        let election = match request.election_type {
            0 => Election::Preferred,
            _ if version < 1 => Election::Preferred,
            1 => Election::Unclean,
            _ => return ElectLeadersResponse::default().with_error_code(ErrorCode::InvalidRequest.code()),
        };
        let all = request.topic_partitions.is_none();
        let asked: Vec<(TopicName, Vec<i32>)> = match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| (topic.topic.clone(), topic.partitions.clone())).collect(),
            None => {
                let topics = self.state.topics.iter();
                topics.map(|(name, topic)| (name.clone(), (0..topic.partitions.len() as i32).collect())).collect()
            }
        };
        let mut results = Vec::new();
        for (name, partitions) in asked {
            let mut told = Vec::new();
            for index in partitions {
                let (code, message) = match self.elect_one(&name, index, election) {
                    Ok(()) => (error::NONE, None),
                    // Of all partitions, those that need none are not spoken of.
                    Err((ErrorCode::ElectionNotNeeded, _)) if all => continue,
                    Err((error, message)) => (error.code(), Some(StrBytes::from_string(message))),
                };
                told.push(
                    PartitionResult::default()
                        .with_partition_id(index)
                        .with_error_code(code)
                        .with_error_message(message),
                );
            }
            results.push(ReplicaElectionResult::default().with_topic(name).with_partition_result(told));
        }
        ElectLeadersResponse::default().with_replica_election_results(results)
    }

    /// One partition. What is refused, and in which words, is Kafka's `ReplicationControlManager`.
    pub(super) fn elect_one(&mut self, name: &TopicName, index: i32, election: Election) -> Result<(), Refusal> {
        let unknown = |what: String| Err((ErrorCode::UnknownTopicOrPartition, format!("No such {what}")));
        let Some(topic) = self.state.topics.get(name) else { return unknown(format!("topic as {}", name.0)) };
        let Some(partition) = usize::try_from(index).ok().and_then(|at| topic.partitions.get(at)) else {
            return unknown(format!("partition as {}-{index}", name.0));
        };
        let electorate = self.electorate();
        let alive = |id: &BrokerId| electorate.is_alive(&self.state.brokers, (name, index), id);
        let may_lead = |id: &BrokerId| alive(id) && !self.shutting_down.contains(id);
        let preferred = partition.replicas.first().copied();
        let (leader, isr, recovering) = match election {
            Election::Preferred if preferred == Some(partition.leader) => return plain(ErrorCode::ElectionNotNeeded),
            Election::Preferred => match preferred.filter(|id| partition.isr.contains(id) && may_lead(id)) {
                Some(leader) => (leader, partition.isr.clone(), partition.recovering),
                None => return plain(ErrorCode::PreferredLeaderNotAvailable),
            },
            Election::Unclean if alive(&partition.leader) => return plain(ErrorCode::ElectionNotNeeded),
            // Whoever of the ISR could lead would do so already.
            Election::Unclean => match electorate.living(partition, alive) {
                Some(leader) => (leader, vec![leader], true),
                None => return plain(ErrorCode::EligibleLeadersNotAvailable),
            },
        };
        let name = name.clone();
        self.change(|state| {
            if let Some(partition) = state.partition_mut(&name, index) {
                partition.recovering = recovering;
                lead(partition, leader, isr);
            }
        });
        Ok(())
    }

    /// A broker is about to stop: others lead what it leads, where there are others in sync. Gives how many partitions
    /// with other replicas it still leads.
    pub(super) fn shut_down(&mut self, broker: BrokerId, epoch: i64) -> usize {
        // It has registered anew since.
        if self.state.broker_epochs.get(&broker) != Some(&epoch) {
            return 0;
        }
        self.shutting_down.insert(broker);
        let electorate = self.electorate();
        self.change(|state| {
            let brokers = &state.brokers;
            let topics = state.topics.iter_mut();
            let all = topics.flat_map(|(name, topic)| (0..).zip(&mut topic.partitions).map(move |one| (name, one)));
            for (name, (index, partition)) in all {
                if partition.replicas.len() < 2 || !partition.isr.contains(&broker) {
                    continue;
                }
                let others: Vec<BrokerId> =
                    partition.isr.iter().copied().filter(|id| !electorate.shutting_down.contains(id)).collect();
                let alive = |id: &BrokerId| electorate.is_alive(brokers, (name, index), id);
                let stands_in = |id: &BrokerId| others.contains(id) && alive(id);
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
    /// (`leader.imbalance.per.broker.percentage`). What is on its way elsewhere is left alone.
    pub(super) fn rebalance(&mut self) {
        let electorate = self.electorate();
        let mut moves = Vec::new();
        for (&broker, _) in self.state.brokers.iter().filter(|(id, _)| !self.shutting_down.contains(id)) {
            let topics = self.state.topics.iter();
            let all = topics.flat_map(|(name, topic)| (0..).zip(&topic.partitions).map(move |one| (name, one)));
            let prefer = all.filter(|(_, (_, partition))| partition.replicas.first() == Some(&broker));
            let (led, not_led): (Vec<_>, Vec<_>) = prefer.partition(|(_, (_, partition))| partition.leader == broker);
            let preferred = led.len() + not_led.len();
            if not_led.len() * 100 > preferred * self.settings.leader_imbalance_per_broker_percentage {
                let alive = |name, index| electorate.is_alive(&self.state.brokers, (name, index), &broker);
                let can = |partition: &Assignment| partition.isr.contains(&broker) && !partition.is_moving();
                let can = not_led.iter().filter(|(name, (index, partition))| can(partition) && alive(name, *index));
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

/// An error with Kafka's own message of it.
fn plain(error: ErrorCode) -> Result<(), Refusal> {
    Err((error, error::message(error).into_owned()))
}
