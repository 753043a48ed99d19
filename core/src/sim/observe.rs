//! What the checkers and the event log are told of.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::network::NodeId;
use super::scenario::Expectation;
use super::view::Level;
use super::workload::App;
use super::{Actor, Simulation, story};
use crate::broker;
use crate::client;
use crate::id::Offset;
use crate::protocol::cluster::Assignment;
use crate::protocol::znode::BROKER_IDS;

impl Simulation {
    pub(super) fn report(&mut self, node: NodeId, report: client::Report) {
        let name = self.nodes[node.0 as usize].name.clone();
        if let Some((level, text)) = story::of_report(&report) {
            self.story.say(self.now, &name, level, text);
        }
        let before = self.checks.violations().len();
        let alone = self.acknowledges_alone(node, &report);
        self.checks.report(self.now, self.said, &name, alone, &report);
        self.tell_violations(before);
    }

    /// Whether a leader with followers acknowledged to a producer that does not wait for them.
    fn acknowledges_alone(&self, node: NodeId, report: &client::Report) -> bool {
        let client::Report::Acked { topic, partition, .. } = report else { return false };
        let Actor::Client(client) = &self.nodes[node.0 as usize].actor else { return false };
        let App::Producer(producer) = &client.app else { return false };
        let is_replicated = || self.assignment(topic, *partition).is_some_and(|assigned| assigned.replicas.len() > 1);
        producer.acks() != -1 && is_replicated()
    }

    fn assignment(&self, topic: &TopicName, partition: i32) -> Option<&Assignment> {
        self.cluster_state()?.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(super) fn observe_effect(&mut self, node: NodeId, effect: &broker::Effect) {
        use broker::Effect;
        let slot = &self.nodes[node.0 as usize];
        let Actor::Broker(host) = &slot.actor else { return };
        let log = match effect {
            Effect::Roll { log, .. }
            | Effect::Truncate { log, .. }
            | Effect::Delete { log, .. }
            | Effect::Remove { log } => Some(*log),
            Effect::Open { .. } | Effect::Close { .. } | Effect::Fail { .. } => None,
            _ => return,
        };
        let directory = log.and_then(|log| host.disk.directory(log)).unwrap_or_default().to_owned();
        self.story.broker_effect(self.now, &slot.name, &directory, effect);
        let Some((topic, partition)) = parse_directory(&directory) else { return };
        match effect {
            Effect::Delete { below, .. } => self.checks.deleted(&topic, partition, *below),
            Effect::Remove { .. } => self.checks.removed(&topic),
            Effect::Truncate { end, .. } => {
                let others =
                    self.hosts().filter(|(other, _)| *other != node).filter_map(|(_, host)| host.disk.end(&directory));
                let end = others.fold(*end, Offset::max);
                self.check_end(&topic, partition, end, None);
            }
            _ => {}
        }
    }

    /// A process died: what it had acknowledged is written.
    pub(super) fn check_disks(&mut self) {
        self.check_ends(None);
    }

    /// A machine died.
    pub(super) fn check_crash(&mut self) {
        self.check_ends(Some("the only machine that had them died before it had flushed them"));
    }

    fn check_ends(&mut self, exempt: Option<&'static str>) {
        for (topic, partition) in self.checks.partitions() {
            let directory = format!("{}-{partition}", topic.0);
            let end = self.hosts().filter_map(|(_, host)| host.disk.end(&directory)).max();
            if let Some(end) = end {
                self.check_end(&topic, partition, end, exempt);
            }
        }
    }

    fn check_end(&mut self, topic: &TopicName, partition: i32, end: Offset, exempt: Option<&'static str>) {
        let before = self.checks.violations().len();
        self.checks.ends(self.now, topic, partition, end, exempt);
        self.tell_violations(before);
    }

    fn tell_violations(&mut self, before: usize) {
        for violation in &self.checks.violations()[before..] {
            let text = match violation.exempt {
                None => format!("{} is violated: {}", violation.invariant, violation.found),
                Some(why) => format!("{}: {}; exempt, as {why}", violation.invariant, violation.found),
            };
            self.story.say(self.now, "check", Level::Bad, text);
        }
    }

    /// Whether it holds now, and what was found.
    pub(super) fn evaluate(&self, expectation: &Expectation) -> (bool, String) {
        match expectation {
            Expectation::NoAckedRecordLost => match self.checks.lost() {
                0 => (true, "every acknowledged record is there".to_owned()),
                lost => (false, format!("{lost} acknowledged records are gone")),
            },
            Expectation::Count { what, op, value } => match self.count(what) {
                Some(count) => (op.holds(count, *value), format!("{what} is {count}")),
                None => (false, format!("there is no {what} to count")),
            },
        }
    }

    /// One of [`COUNTS`](super::scenario::COUNTS), all in all or of one node, or of
    /// [`PARTITION_COUNTS`](super::scenario::PARTITION_COUNTS), [`BROKER_COUNTS`](super::scenario::BROKER_COUNTS) or
    /// [`CLUSTER_COUNTS`](super::scenario::CLUSTER_COUNTS).
    fn count(&self, what: &str) -> Option<i64> {
        let (what, of) = what.split_once(':').map_or((what, None), |(what, of)| (what, Some(of)));
        let view = self.view();
        let mine = |name: &str| of.is_none_or(|of| of == name);
        let partition = || {
            let replicas = view.brokers.iter().flat_map(|broker| &broker.replicas);
            let mut leaders = replicas.filter(|replica| replica.leader);
            leaders.find(|replica| Some(format!("{}-{}", replica.topic, replica.partition).as_str()) == of)
        };
        let assigned = || {
            let (topic, partition) = parse_directory(of?)?;
            self.assignment(&topic, partition)
        };
        let producers = || view.producers.iter().filter(|producer| mine(&producer.name));
        let brokers = || view.brokers.iter().filter(|broker| mine(&broker.name));
        let consumers = || view.consumers.iter().filter(|consumer| mine(&consumer.name));
        if of.is_some_and(|of| !of.contains('-') && !self.names.contains_key(of)) {
            return None;
        }
        let sum = match what {
            "sent" => producers().map(|producer| producer.sent).sum::<u64>(),
            "acked" => producers().map(|producer| producer.acked).sum(),
            "failed" => producers().map(|producer| producer.failed).sum(),
            "retries" => producers().map(|producer| producer.retries).sum(),
            "received" => consumers().map(|consumer| consumer.received).sum(),
            "lag" => consumers().map(|consumer| consumer.lag).sum(),
            "end" => return Some(partition()?.end),
            "start" => return Some(partition()?.log_start),
            "segments" => return Some(i64::from(partition()?.segments)),
            "isr" => return i64::try_from(assigned()?.isr.len()).ok(),
            "leader" => return Some(i64::from(assigned()?.leader.0)),
            "replicas" => brokers().map(|broker| broker.replicas.len() as u64).sum(),
            "leaders" => brokers().flat_map(|broker| &broker.replicas).filter(|replica| replica.leader).count() as u64,
            "controllers" => brokers().filter(|broker| broker.controller).count() as u64,
            "controller-epoch" => return Some(i64::from(self.cluster_state()?.controller_epoch)),
            "registered" => self.znode(BROKER_IDS)?.children.len() as u64,
            _ => return None,
        };
        i64::try_from(sum).ok()
    }
}

/// `orders-0`.
pub(super) fn parse_directory(directory: &str) -> Option<(TopicName, i32)> {
    let (topic, partition) = directory.rsplit_once('-')?;
    Some((TopicName(StrBytes::from_string(topic.to_owned())), partition.parse().ok()?))
}
