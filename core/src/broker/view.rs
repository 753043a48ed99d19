//! A broker as a page sees it: the same for the simulator and for a live server.

use std::fmt::Display;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::Broker;
use super::replication::Progress;
use crate::arrange::Arrange;
use crate::id::BrokerId;
use crate::log::checkpoint::print_uuid;
use crate::partition::{Partition, Role};
use crate::protocol::cluster::ClusterState;
use crate::vec_map::VecMap;
use crate::view::{BrokerView, FactGroup, GroupView, Health, ReplicaView, TopicView, TransactionView, View};

impl Broker {
    /// What is drawn. The driver knows the health and may know better who is connected.
    pub fn view(&self) -> BrokerView {
        let who = &self.config.registration;
        BrokerView {
            id: who.id.0,
            name: who.id.to_string(),
            host: who.host.clone(),
            port: who.port,
            rack: who.rack.clone(),
            health: Health::Running,
            controller: self.is_controller(),
            replicas: self.replicas(),
            connections: self.connections.len() as u32,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            parked: self.parked(),
            faults: Vec::new(),
        }
    }

    /// The groups that this broker coordinates, by id.
    pub fn groups(&self) -> Vec<GroupView> {
        if self.groups.active().next().is_none() {
            return Vec::new();
        }
        let default = self.settings.group.consumer.assignors.first().copied();
        let shards = self.groups.active().map(|(_, shard)| shard);
        let views = shards.flat_map(|shard| shard.machine().views(shard.committed(), &self.topic_names, default));
        let mut groups: Vec<GroupView> = views.map(|group| GroupView { coordinator: self.id().0, ..group }).collect();
        groups.arrange_by(|one, other| one.id.cmp(&other.id));
        groups
    }

    /// The transactional ids that this broker coordinates, by id.
    pub fn transactional_ids(&self) -> Vec<TransactionView> {
        let shards = self.transactions.active().map(|(_, shard)| shard);
        let views = shards.flat_map(|shard| shard.committed().views());
        let mut views: Vec<_> = views.map(|one| TransactionView { coordinator: self.id().0, ..one }).collect();
        views.arrange_by(|one, other| one.id.cmp(&other.id));
        views
    }

    /// Requests that wait in the purgatory.
    pub fn parked(&self) -> u32 {
        (self.purgatory.waiting() + self.holds.waiting()) as u32
    }

    /// The replicas that this broker hosts, by topic and partition.
    pub fn replicas(&self) -> Vec<ReplicaView> {
        self.partitions().map(|partition| self.replica_view(partition)).collect()
    }

    fn replica_view(&self, partition: &Partition) -> ReplicaView {
        let log = &partition.log;
        let assignment = self.assignment(&partition.name.topic, partition.name.partition);
        ReplicaView {
            topic: partition.name.topic.to_string(),
            partition: partition.name.partition,
            leader: matches!(partition.role, Role::Leader(_)),
            in_sync: assignment.is_some_and(|assignment| assignment.isr.contains(&self.id())),
            leader_epoch: partition.leader_epoch(),
            log_start: log.log_start_offset(),
            end: log.end(),
            high_watermark: log.high_watermark(),
            stable: log.last_stable_offset(),
            flushed: log.recovery_point(),
            bytes: log.bytes(),
            segments: log.segments() as u32,
            batches: log.newest(View::CELLS),
        }
    }

    /// What there is to know of this broker.
    pub fn broker_facts(&self) -> Vec<FactGroup> {
        let who = &self.config.registration;
        let leads = self.partitions().filter(|partition| matches!(partition.role, Role::Leader(_))).count();
        let mut groups = vec![
            group(
                who.id.to_string(),
                [
                    fact("node.id", who.id.0),
                    fact("listener", format_args!("{}:{}", who.host, who.port)),
                    fact("broker.rack", who.rack.as_deref().unwrap_or("none")),
                    fact("cluster id", &self.cluster.cluster_id),
                    fact("controller", self.cluster.controller),
                    fact("controller epoch", self.cluster.controller_epoch),
                    fact("cluster state", self.cluster.version as u32),
                    fact("broker epoch", self.membership.epoch),
                    fact("ZooKeeper session", self.membership.session()),
                    fact("ZooKeeper", if self.membership.is_connected() { "connected" } else { "not connected" }),
                ],
            ),
            group(
                "Work",
                [
                    fact("partitions hosted", self.partitions().count()),
                    fact("partitions led", leads),
                    fact("connections", self.connections.len()),
                    fact("requests in the purgatory", self.purgatory.waiting()),
                    fact("fetch sessions", self.sessions.len()),
                    fact("record bytes in", self.bytes_in),
                    fact("record bytes out", self.bytes_out),
                ],
            ),
        ];
        if !self.config.settings.is_empty() {
            groups.push(group("Settings", self.config.settings.iter().map(|(name, value)| fact(name, value))));
        }
        groups
    }

    /// What there is to know of a partition; `None` where it is not hosted here.
    pub fn partition_facts(&self, topic: &str, partition: i32) -> Option<Vec<FactGroup>> {
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let assignment = self.assignment(&topic, partition)?;
        let configs = &self.cluster.topics.get(&topic)?.configs;
        let partition = self.partition(&topic, partition)?;
        let log = &partition.log;
        let mut groups = vec![
            group(
                partition.name.to_string(),
                [
                    fact("topic id", print_uuid(partition.topic_id)),
                    fact("role", if matches!(partition.role, Role::Leader(_)) { "leader" } else { "follower" }),
                    fact("leader", assignment.leader),
                    fact("leader_epoch", partition.leader_epoch()),
                    fact("replicas", ids(&assignment.replicas)),
                    fact("isr", ids(&assignment.isr)),
                ],
            ),
            group(
                "Offsets",
                [
                    fact("log_start_offset", log.log_start_offset()),
                    fact("last_stable_offset", log.last_stable_offset()),
                    fact("high_watermark", log.high_watermark()),
                    fact("appended end", log.appended_end()),
                    fact("log_end_offset", log.end()),
                    fact("recovery point", log.recovery_point()),
                ],
            ),
            group(
                "Log",
                [
                    fact("directory", log.directory()),
                    fact("segments", log.segments()),
                    fact("bytes", log.bytes()),
                    fact("segment.bytes", log.config().segment_bytes),
                    fact("retention.ms", log.config().retention_ms),
                    fact("retention.bytes", log.config().retention_bytes),
                ],
            ),
        ];
        if let Some(cause) = &partition.offline {
            groups.push(group("Offline", [fact("cause", cause)]));
        }
        if let Role::Leader(leader) = &partition.role
            && !leader.followers().is_empty()
        {
            let followers = leader.followers().iter().map(|(id, follower)| {
                fact(id, format_args!("end {}{}", follower.end, if follower.in_sync { ", in sync" } else { "" }))
            });
            groups.push(group("Followers", followers));
        }
        if let Role::Follower(follower) = &partition.role
            && follower.leader != BrokerId::NONE
        {
            let state = match self.replication.progress(log.id()) {
                None => "its leader cannot be found",
                Some(Progress::Truncating) => "asks where its log parts from the leader's",
                Some(Progress::Fetching) => "fetches",
                Some(Progress::OutOfRange(_)) => "asks where the leader's log lies",
                Some(Progress::Failed) => "failed, waits for the next leader epoch",
            };
            let told = fact("leader's high_watermark", follower.high_watermark);
            groups.push(group("Following", [fact("leader", follower.leader), fact("state", state), told]));
        }
        if !configs.is_empty() {
            groups.push(group("Topic settings", configs.iter().map(|(name, value)| fact(name, value))));
        }
        Some(groups)
    }
}

/// The topics of a cluster, of which those that do not set `min.insync.replicas` have `min_insync`; where their partitions end
/// is in the brokers' replicas.
pub fn topics(state: &ClusterState, min_insync: u32, brokers: &[BrokerView]) -> Vec<TopicView> {
    let mut topics: Vec<TopicView> = (state.topics.iter())
        .map(|(name, topic)| TopicView {
            name: name.0.to_string(),
            id: print_uuid(topic.id),
            partitions: topic.partitions.len() as u32,
            replication_factor: topic.partitions.first().map_or(0, |first| first.replicas.len() as u32),
            min_insync_replicas: (topic.configs.get("min.insync.replicas"))
                .and_then(|count| count.parse().ok())
                .unwrap_or(min_insync),
            configs: topic.configs.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            ends: vec![0; topic.partitions.len()],
            leaders: topic.partitions.iter().map(|partition| partition.leader.0).collect(),
            hue: 0,
        })
        .collect();
    for replica in brokers.iter().flat_map(|broker| &broker.replicas) {
        let topic = topics.binary_search_by(|topic| topic.name.as_str().cmp(&replica.topic));
        let end = topic.ok().and_then(|place| topics[place].ends.get_mut(replica.partition as usize));
        if let Some(end) = end {
            *end = replica.end.max(*end);
        }
    }
    topics
}

/// Gives topics their places in the order in which they came; those that `came` does not know come last, by name.
pub fn order(topics: &mut [TopicView], came: impl Fn(&str) -> Option<u32>) {
    let mut last = topics.iter().filter_map(|topic| came(&topic.name)).max().map_or(0, |last| last + 1);
    for topic in topics {
        topic.hue = came(&topic.name).unwrap_or(last);
        last = last.max(topic.hue + 1);
    }
}

/// Whoever is dead leads nothing and controls nothing, whatever it thought last; who is in sync the cluster knows.
pub fn bury(brokers: &mut [BrokerView], state: Option<&ClusterState>) {
    for broker in brokers.iter_mut().filter(|broker| broker.health == Health::Dead) {
        broker.controller = false;
        for replica in &mut broker.replicas {
            let topic = TopicName(StrBytes::from_string(replica.topic.clone()));
            let topic = state.and_then(|state| state.topics.get(&topic));
            let assignment = topic.and_then(|topic| topic.partitions.get(usize::try_from(replica.partition).ok()?));
            replica.leader = false;
            replica.in_sync = assignment.is_some_and(|assignment| assignment.isr.contains(&BrokerId(broker.id)));
        }
    }
}

/// How far groups are behind: every group once, as the broker knows it that coordinates it.
pub fn measure(groups: &mut Vec<GroupView>, brokers: &[BrokerView]) {
    groups.arrange_by(|one, other| one.id.cmp(&other.id));
    groups.dedup_by(|one, other| one.id == other.id);
    let replicas = brokers.iter().flat_map(|broker| &broker.replicas).filter(|replica| replica.leader);
    let leaders: VecMap<(&str, i32), i64> =
        replicas.map(|replica| ((&*replica.topic, replica.partition), replica.high_watermark)).collect();
    for group in groups {
        for offset in &mut group.offsets {
            offset.high_watermark = leaders.get(&(&*offset.topic, offset.partition)).copied().unwrap_or(-1);
            offset.lag = u64::try_from(offset.high_watermark - offset.offset).unwrap_or(0);
        }
        group.lag = group.offsets.iter().map(|offset| offset.lag).sum();
    }
}

fn group(title: impl Into<String>, facts: impl IntoIterator<Item = (String, String)>) -> FactGroup {
    FactGroup { title: title.into(), facts: facts.into_iter().collect() }
}

fn fact(name: impl Display, value: impl Display) -> (String, String) {
    (name.to_string(), value.to_string())
}

fn ids(ids: &[BrokerId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ")
}
