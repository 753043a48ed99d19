//! What the checkers and the event log are told of.

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::check::{Death, Promises, eventually_owned, liveness};
use super::network::{EndState, NodeId};
use super::scenario::parse::NOBODY;
use super::scenario::{Expectation, GROUP_COUNTS};
use super::workload::App;
use super::{Actor, Process, Simulation, story};
use crate::broker;
use crate::client::{self, TransactionStage};
use crate::id::TopicPartition;
use crate::protocol::znode::BROKER_IDS;
use crate::view::{Health, Level, View};
use crate::zookeeper::txn::{self, LOG_HEADER, Txn};

/// What calls of a producer throw that was fenced.
const FENCED: [&str; 2] = ["ProducerFencedException", "InvalidProducerEpochException"];

impl Simulation {
    pub(super) fn report(&mut self, node: NodeId, report: &client::Report) {
        let slot = &self.nodes[node.0 as usize];
        if let Some((level, text)) = story::of_report(report) {
            self.story.say(self.now, &slot.name, level, text);
        }
        let alone = match &slot.actor {
            Actor::Client(client) => match &client.app {
                App::Producer(producer) => producer.acks() == 1,
                _ => false,
            },
            Actor::Broker(_) | Actor::ZooKeeper(_) => false,
        };
        if self.checks.groups().knows(report) {
            let groups = self.groups();
            let members = || groups.iter().flat_map(|group| &group.members);
            let is_member =
                |name: &str| members().any(|member| member.id == name || member.instance_id.as_deref() == Some(name));
            self.checks.groups_mut().assigned_again(report, is_member);
        }
        let before = self.checks.violations().len();
        self.checks.report(self.now, self.said, &self.nodes[node.0 as usize].name, alone, report);
        self.tell_violations(before);
        // Most tell of single records, and mean no more than that.
        if matches!(
            report,
            client::Report::Sent { .. } | client::Report::Acked { .. } | client::Report::Received { .. }
        ) {
            return;
        }
        let name = self.nodes[node.0 as usize].name.clone();
        self.count_in_tally(&name, report);
        self.pass_on(node, report);
        if *report == client::Report::Closed {
            if let Err(why) = self.stop_client(node) {
                self.story.say(self.now, &name, Level::Bad, why);
            }
            self.closed_of_process(node);
        }
    }

    fn count_in_tally(&mut self, name: &str, report: &client::Report) {
        match report {
            client::Report::Transaction(TransactionStage::Committed) => self.tally.committed += 1,
            client::Report::Transaction(TransactionStage::Aborted) => self.tally.aborted += 1,
            client::Report::Thrown { error, .. } if FENCED.iter().any(|fenced| error.starts_with(fenced)) => {
                self.tally.fenced += 1;
                self.tally.timed_out += u64::from(self.checks.is_overdue(self.now, name));
            }
            client::Report::Assigned { .. } => self.tally.rebalances = self.checks.groups().rebalances(),
            _ => {}
        }
    }

    /// A broker has taken a step: if it is the controller it may have decided something.
    pub(super) fn observe_decisions(&mut self, node: NodeId) {
        let Actor::Broker(host) = &self.nodes[node.0 as usize].actor else { return };
        let Some(controller) = host.broker().and_then(|broker| broker.controller.as_ref()) else { return };
        let before = self.checks.violations().len();
        self.checks.placed(self.now, controller.committed());
        self.tell_violations(before);
    }

    /// ZooKeeper has made that write lasting.
    pub(super) fn observe_log_of_zookeeper(&mut self, bytes: &Bytes) {
        let entry = bytes.strip_prefix(&LOG_HEADER).map_or_else(|| bytes.clone(), |entry| bytes.slice_ref(entry));
        let txn::Next::Entry(header, txn, _) = txn::next(&entry) else { return };
        // Nobody asked for it.
        self.tally.sessions_lost += u64::from(matches!(txn, Txn::CloseSession { .. }) && header.cxid == 0);
        let inherited = Promises::of(&self.cluster.settings, &Promises::default());
        let before = self.checks.violations().len();
        self.checks.logged(self.now, &txn, &inherited, &mut self.tally);
        self.tell_violations(before);
    }

    /// A broker has taken a step, and what it wanted is carried out.
    pub(super) fn observe_step(&mut self, node: NodeId) {
        let mut touched = std::mem::take(&mut self.scratch.touched);
        let before = self.checks.violations().len();
        if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
            let id = host.id();
            if let Process::Running(broker) = &mut host.process {
                broker.take_touched(&mut touched);
                self.checks.stepped(self.now, id, broker, &touched);
            }
        }
        touched.clear();
        self.scratch.touched = touched;
        self.tell_violations(before);
    }

    pub(super) fn observe_effect(&mut self, node: NodeId, effect: &broker::Effect) {
        use broker::Effect;
        let slot = &self.nodes[node.0 as usize];
        let Actor::Broker(host) = &slot.actor else { return };
        let id = host.id();
        let log = match effect {
            Effect::Append { log, stamp, batch, .. } => {
                let before = self.checks.violations().len();
                self.checks.appended(self.now, id, *log, &stamp.header(batch), batch);
                return self.tell_violations(before);
            }
            Effect::Replace { log, segment, below } => {
                let before = self.checks.violations().len();
                let wall = self.time_of(node).wall;
                let directory = host.disk.directory(*log).unwrap_or_default();
                let replacement = host.disk.replacement(directory, *segment, *below);
                self.checks.replaced(self.now, id, *log, wall, &replacement);
                return self.tell_violations(before);
            }
            Effect::Roll { log, .. }
            | Effect::Truncate { log, .. }
            | Effect::Delete { log, .. }
            | Effect::Remove { log } => Some(*log),
            Effect::Open { .. } | Effect::Close { .. } | Effect::Note { .. } | Effect::Fail { .. } => None,
            _ => return,
        };
        let directory = log.and_then(|log| host.disk.directory(log)).unwrap_or_default().to_owned();
        self.story.broker_effect(self.now, &slot.name, &directory, effect);
        let before = self.checks.violations().len();
        match effect {
            Effect::Open { log, directory, base, .. } => {
                if let Some(name) = parse_directory(directory) {
                    self.checks.log_opened(id, *log, &name, *base);
                }
            }
            Effect::Delete { log, below } => self.checks.deleted(id, *log, *below),
            Effect::Remove { log } => self.checks.removed(self.now, id, *log),
            Effect::Truncate { log, end, .. } => {
                self.tally.truncations += 1;
                self.checks.truncated(self.now, id, *log, *end);
            }
            _ => {}
        }
        self.tell_violations(before);
    }

    /// A process, its machine or its disk is gone.
    pub(super) fn observe_death(&mut self, node: NodeId, how: Death) {
        let Actor::Broker(host) = &self.nodes[node.0 as usize].actor else { return };
        let before = self.checks.violations().len();
        let end = |name: &TopicPartition| host.disk.end(&name.to_string()).unwrap_or(0);
        self.checks.died(self.now, host.id(), how, end);
        self.tell_violations(before);
    }

    #[inline]
    fn tell_violations(&mut self, before: usize) {
        if self.checks.violations().len() > before {
            self.say_violations(before);
        }
    }

    #[cold]
    fn say_violations(&mut self, before: usize) {
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
            Expectation::InvariantsHold => {
                let mut broken = self.checks.violations().iter().filter(|violation| violation.exempt.is_none());
                match broken.next() {
                    None => (true, "none was broken".to_owned()),
                    Some(first) => (false, format!("{} was broken at {}", first.invariant, first.at)),
                }
            }
            Expectation::Owner { group, partition, consumer } => {
                let owner = self.checks.groups().get(group).and_then(|group| group.owner(partition));
                let owner = owner.map_or(NOBODY, |owner| owner);
                (owner == consumer, format!("{owner} reads {partition}"))
            }
            Expectation::Settled => match settled(&self.view()).and_then(|()| self.checks.settled(self.now)) {
                Ok(()) => (true, "every write is accepted or refused, and every replica has it".to_owned()),
                Err(why) => (false, why),
            },
            Expectation::Count { what, op, value } => match self.count(what) {
                Some(count) => (op.holds(count, *value), format!("{what} is {count}")),
                None => (false, format!("there is no {what} to count")),
            },
        }
    }

    /// Of one group: [`GROUP_COUNTS`](super::scenario::GROUP_COUNTS).
    fn count_of_group(&self, what: &str, id: &str) -> Option<i64> {
        let coordinated = || self.view().groups.into_iter().find(|group| group.id == id);
        let told = self.checks.groups().get(id);
        Some(match what {
            "members" => coordinated()?.members.len() as i64,
            "generation" => i64::from(coordinated()?.epoch),
            "group-lag" => coordinated()?.lag as i64,
            "rebalances" => told?.rebalances() as i64,
            "idle-ms" => told?.longest_idle(self.now).as_millis() as i64,
            "redelivered" => told?.redelivered as i64,
            _ => return None,
        })
    }

    /// One of [`COUNTS`](super::scenario::COUNTS), all in all or of one node, or of
    /// [`PARTITION_COUNTS`](super::scenario::PARTITION_COUNTS), [`BROKER_COUNTS`](super::scenario::BROKER_COUNTS) or
    /// [`CLUSTER_COUNTS`](super::scenario::CLUSTER_COUNTS).
    fn count(&self, what: &str) -> Option<i64> {
        let (what, of) = what.split_once(':').map_or((what, None), |(what, of)| (what, Some(of)));
        if GROUP_COUNTS.iter().any(|(name, _)| *name == what) {
            return self.count_of_group(what, of?);
        }
        let view = self.view();
        let mine = |name: &str| of.is_none_or(|of| of == name);
        let members = || self.checks.groups().all().flat_map(|group| &group.readers).filter(|(name, _)| mine(name));
        let partition = || {
            let replicas = view.brokers.iter().flat_map(|broker| &broker.replicas);
            let mine =
                replicas.filter(|replica| Some(format!("{}-{}", replica.topic, replica.partition).as_str()) == of);
            // Without a leader it is what lies on the disks.
            mine.max_by_key(|replica| (replica.leader, replica.end))
        };
        let assigned = || {
            let TopicPartition { topic, partition } = parse_directory(of?)?;
            self.cluster_state()?.topics.get(&topic)?.partitions.get(usize::try_from(partition).ok()?)
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
            "requests" => producers().map(|producer| producer.requests).sum(),
            "requests-per-1000" => {
                let acked = producers().map(|producer| producer.acked).sum::<u64>();
                producers().map(|producer| producer.requests * 1000).sum::<u64>().checked_div(acked)?
            }
            "connections" => {
                let clients = producers().map(|one| &one.name).chain(consumers().map(|one| &one.name));
                let nodes: Vec<NodeId> = clients.filter_map(|name| self.names.get(name).copied()).collect();
                let held = self.network.iter().map(|(_, connection)| &connection.ends[0]);
                held.filter(|end| end.state == EndState::Open && nodes.contains(&end.node)).count() as u64
            }
            "committed" => producers().filter_map(|it| it.identity.as_ref()).map(|it| it.committed).sum(),
            "aborted" => producers().filter_map(|it| it.identity.as_ref()).map(|it| it.aborted).sum(),
            "duplicates" => self.checks.duplicates(),
            "unseen" => self.checks.unseen(),
            "received" => consumers().map(|consumer| consumer.received).sum(),
            // Nobody waits for what a dead one has not read.
            "lag" => {
                let live = consumers().filter(|consumer| of.is_some() || consumer.health != Health::Dead);
                live.map(|consumer| consumer.lag).sum()
            }
            "assigned" => members().map(|(_, reader)| reader.owned.len() as u64).sum(),
            "revoked" if of.is_none() => self.checks.groups().all().map(|group| group.revoked).sum(),
            "taken" if of.is_none() => self.checks.groups().all().map(|group| group.lost).sum(),
            "revoked" => members().map(|(_, reader)| reader.revoked).sum(),
            "taken" => members().map(|(_, reader)| reader.lost).sum(),
            "end" => return Some(partition()?.end),
            "start" => return Some(partition()?.log_start),
            "segments" => return Some(i64::from(partition()?.segments)),
            "high-watermark" => return Some(partition()?.high_watermark),
            "isr" => return i64::try_from(assigned()?.isr.len()).ok(),
            "leader" => return Some(i64::from(assigned()?.leader.0)),
            "epoch" => return Some(i64::from(assigned()?.leader_epoch)),
            "replicas" => brokers().map(|broker| broker.replicas.len() as u64).sum(),
            "leaders" => brokers().flat_map(|broker| &broker.replicas).filter(|replica| replica.leader).count() as u64,
            "controllers" => brokers().filter(|broker| broker.controller).count() as u64,
            "controller-epoch" => return Some(i64::from(self.cluster_state()?.controller_epoch)),
            "registered" => self.znode(BROKER_IDS)?.children.len() as u64,
            "topics" => self.cluster_state()?.topics.len() as u64,
            "moving" => {
                let partitions = self.cluster_state()?.topics.values().flat_map(|topic| &topic.partitions);
                partitions.filter(|partition| partition.is_moving()).count() as u64
            }
            "lost" => self.checks.lost(),
            "broken" => self.violations().iter().filter(|violation| violation.exempt.is_none()).count() as u64,
            _ => return None,
        };
        i64::try_from(sum).ok()
    }
}

/// All that must be so some time after the last fault.
fn settled(view: &View) -> Result<(), String> {
    liveness::check(view)?;
    eventually_owned::check(view)
}

/// `orders-0`.
fn parse_directory(directory: &str) -> Option<TopicPartition> {
    let (topic, partition) = directory.rsplit_once('-')?;
    let topic = TopicName(StrBytes::from_string(topic.to_owned()));
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}
