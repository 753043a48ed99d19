//! A simulation as a [`View`].

use super::network::{Body, EndState, NodeId, Pipe, Use};
use super::scenario::{Action, Span, Timed};
use super::workload::{App, Client};
use super::{Host, Process, Simulation};
use crate::arrange::Arrange;
use crate::broker::Broker;
use crate::broker::view::{bury, measure, order, topics};
use crate::client::admin::Errand;
use crate::id::BrokerId;
use crate::protocol::cluster::ClusterState;
use crate::protocol::line::{self, Names};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::view::{
    BrokerView, GroupView, Health, LinkView, MessageKind, MessageView, ReplicaView, TransactionView, View,
};

impl Simulation {
    /// What there is to see now.
    pub fn view(&self) -> View {
        let newest = self.newest_broker();
        let state = newest.map(Broker::cluster_state);
        let names = self.topic_names();
        let mut view = View {
            now: self.now,
            event: self.event,
            seed: Some(self.seed.0),
            brokers: self.hosts().map(|(node, host)| self.broker_view(node, host, state)).collect(),
            log: self.story.lines().cloned().collect(),
            zookeeper: self.zookeeper_view(),
            messages: self.messages(&names),
            links: self.links(),
            ..View::default()
        };
        bury(&mut view.brokers, state);
        view.groups = self.groups();
        view.transactions = self.transactions();
        measure(&mut view.groups, &view.brokers);
        view.topics = newest.map_or_else(Vec::new, |newest| {
            topics(newest.cluster_state(), newest.min_insync_replicas(), &view.brokers)
        });
        let topic = |timed: &Timed| match &timed.action {
            Action::Errand(Errand::Create { topic, .. }) => Some(topic.clone()),
            _ => None,
        };
        let came: VecMap<String, u32> = self.actions.iter().filter_map(topic).zip(0..).collect();
        order(&mut view.topics, |name| came.get(name).copied());
        for (node, client) in self.clients() {
            let name = self.name(node).to_string();
            let health = match client.running {
                true if self.is_paused(node) => Health::Paused,
                true => Health::Running,
                false => Health::Dead,
            };
            match &client.app {
                App::Producer(producer) => {
                    view.producers.push(crate::view::ProducerView { name, health, ..producer.view() });
                }
                App::Consumer(consumer) => {
                    view.consumers.push(crate::view::ConsumerView { name, health, ..consumer.view() });
                }
                App::Admin(_) | App::Guest(_) => {}
            }
        }
        view
    }

    /// The groups, as their coordinators know them; two brokers may believe to coordinate one, and then the one that leads
    /// where it is kept, as the others know, comes first.
    pub(super) fn groups(&self) -> Vec<GroupView> {
        let hosts = self.hosts().filter_map(|(_, host)| host.broker());
        let mut hosts: Vec<_> = hosts.collect();
        hosts.arrange_by_key(|broker| std::cmp::Reverse(broker.cluster_state().version));
        hosts.into_iter().flat_map(|broker| broker.groups()).collect()
    }

    /// The transactional ids, as their coordinators know them; where two brokers believe to coordinate one, the one counts
    /// that has heard more.
    fn transactions(&self) -> Vec<TransactionView> {
        let mut brokers: Vec<_> = self.hosts().filter_map(|(_, host)| host.broker()).collect();
        brokers.arrange_by_key(|broker| std::cmp::Reverse(broker.cluster_state().version));
        let mut views: Vec<_> = brokers.into_iter().flat_map(|broker| broker.transactional_ids()).collect();
        views.arrange_by(|one, other| one.id.cmp(&other.id));
        views.dedup_by(|one, other| one.id == other.id);
        views
    }

    /// What the controller last told, as the broker knows it that heard last.
    pub(super) fn cluster_state(&self) -> Option<&ClusterState> {
        self.newest_broker().map(Broker::cluster_state)
    }

    /// The one that knows the newest state of the cluster.
    fn newest_broker(&self) -> Option<&Broker> {
        self.hosts().filter_map(|(_, host)| host.broker()).max_by_key(|broker| broker.cluster_state().version)
    }

    pub(super) fn topic_names(&self) -> Names {
        let topics = self.cluster_state().map(|state| &state.topics);
        topics.map_or_else(Names::new, |topics| topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect())
    }

    fn broker_view(&self, node: NodeId, host: &Host, state: Option<&ClusterState>) -> BrokerView {
        let id = host.id();
        let registration = &host.config.registration;
        let replicas = host.broker().map_or_else(|| left_behind(host, state), |broker| broker.replicas());
        let open = |(_, connection): &(_, &super::network::Connection)| {
            let end = &connection.ends[1];
            matches!(connection.use_, Use::Client { .. }) && end.node == node && end.state == EndState::Open
        };
        BrokerView {
            id: id.0,
            name: self.name(node).to_string(),
            host: registration.host.clone(),
            port: registration.port,
            rack: registration.rack.clone(),
            health: match host.process {
                Process::Running(_) if self.is_paused(node) => Health::Paused,
                Process::Running(_) => Health::Running,
                Process::Killed | Process::Crashed => Health::Dead,
            },
            controller: host.broker().is_some_and(|broker| broker.is_controller()),
            replicas,
            connections: self.network.iter().filter(open).count() as u32,
            bytes_in: host.bytes_in,
            bytes_out: host.bytes_out,
            parked: host.broker().map_or(0, |broker| broker.parked()),
            faults: self.faults_of(node, host),
        }
    }

    /// What is wrong with a machine, in words.
    fn faults_of(&self, node: NodeId, host: &Host) -> Vec<String> {
        let mut faults = Vec::new();
        if host.disk.full {
            faults.push("its disk is full".to_owned());
        }
        if !host.disk.drive.slow.is_zero() {
            faults.push(format!("its disk takes {} longer", Span(host.disk.drive.slow)));
        }
        if host.disk.tears {
            faults.push("a crash will tear what is not flushed".to_owned());
        }
        if host.disk.corrupts {
            faults.push("a crash will corrupt what is not flushed".to_owned());
        }
        let skew = self.nodes[node.0 as usize].skew;
        if skew != 0 {
            let way = if skew < 0 { "behind" } else { "ahead" };
            faults.push(format!("its clock is {} {way}", Span(Duration::from_millis(skew.unsigned_abs()))));
        }
        for (_, to, by) in self.network.slowed().filter(|(from, ..)| *from == node) {
            faults.push(format!("its messages to {} take {} longer", self.name(to), Span(by)));
        }
        faults
    }

    /// Every message that is on its way, oldest first.
    fn messages(&self, names: &Names) -> Vec<MessageView> {
        let mut messages = Vec::new();
        for (_, connection) in self.network.iter() {
            let [one, other] = connection.ends.map(|end| end.node);
            for (pipe, from, to) in [(&connection.pipes[0], one, other), (&connection.pipes[1], other, one)] {
                if from != to {
                    messages.extend(self.messages_of(pipe, from, to, names));
                }
            }
        }
        messages.arrange_by_key(|message| message.id);
        messages
    }

    fn messages_of(&self, pipe: &Pipe, from: NodeId, to: NodeId, names: &Names) -> impl Iterator<Item = MessageView> {
        let messages = pipe.queue.iter().filter(|message| message.body.is_message());
        messages.map(move |message| MessageView {
            id: message.id,
            from: self.name(from).to_string(),
            to: self.name(to).to_string(),
            departed: message.departed,
            // What a cut link holds stays in the middle of it.
            arrives: match pipe.cut {
                Some(_) => self.now + self.now.since(message.departed).max(HELD),
                None => message.arrives,
            },
            ..describe(&message.body, names)
        })
    }

    /// Who is connected with whom, and who is cut off from whom.
    fn links(&self) -> Vec<LinkView> {
        let mut links = Vec::new();
        let pair = |from: NodeId, to: NodeId, cut: bool| {
            // Whoever asks first: a client, then a broker; of two brokers the lower one.
            let rank = |node: NodeId| (node == self.zookeeper_node(), self.host(node).is_some(), node);
            let (from, to) = if rank(from) > rank(to) { (to, from) } else { (from, to) };
            LinkView { from: self.name(from).to_string(), to: self.name(to).to_string(), cut }
        };
        for (_, connection) in self.network.iter() {
            let [one, other] = connection.ends.map(|end| end.node);
            if one != other && other != NodeId::NOWHERE && connection.ends[0].state == EndState::Open {
                links.push(pair(one, other, self.network.is_cut(one, other) || self.network.is_cut(other, one)));
            }
        }
        for (from, to) in self.network.cuts() {
            if from < to {
                links.push(pair(from, to, true));
            }
        }
        links.arrange();
        links.dedup();
        links
    }

    pub(super) fn client_of(&self, name: &str) -> Option<&Client> {
        let node = self.names.get(name)?;
        self.clients().find(|(one, _)| one == node).map(|(_, client)| client)
    }
}

/// The replicas of a broker that is dead: as it left them, but for what was decided since.
fn left_behind(host: &Host, state: Option<&ClusterState>) -> Vec<ReplicaView> {
    let mut replicas = host.last_seen.to_vec();
    for replica in &mut replicas {
        let topic = state.and_then(|state| state.topics.iter().find(|(name, _)| *name.0 == *replica.topic));
        let assigned = topic.and_then(|(_, topic)| topic.partitions.get(usize::try_from(replica.partition).ok()?));
        if let Some(assigned) = assigned {
            replica.in_sync = assigned.isr.contains(&host.id());
            replica.leader &= [BrokerId::NONE, host.id()].contains(&assigned.leader);
        }
    }
    replicas
}

/// A held message does not seem to have arrived in the instant in which it departed.
const HELD: crate::time::Duration = crate::time::Duration::from_millis(1);

/// What a message is, whoever sent it.
pub(super) fn describe(body: &Body, names: &Names) -> MessageView {
    let name = |topic: Option<kafka_protocol::messages::TopicName>| topic.map(|topic| topic.0.to_string());
    let (kind, response, topic, line, error) = match body {
        Body::Request(request) => {
            let topic = name(line::request_topic(&request.body, names));
            (line::request_kind(&request.body), false, topic, line::request(request, names), false)
        }
        Body::Response { to, response } => {
            let topic = name(line::response_topic(&response.body, names));
            (to.kind, true, topic, line::response(response, names), line::is_error(&response.body))
        }
        Body::Call { request, .. } => (MessageKind::Cluster, false, None, request.to_string(), false),
        Body::Answer { response, .. } => (MessageKind::Cluster, true, None, response.to_string(), false),
        Body::ToZooKeeper(message) => (MessageKind::ZooKeeper, false, None, message.to_string(), false),
        Body::FromZooKeeper(message) => (MessageKind::ZooKeeper, true, None, message.to_string(), message.is_error()),
        Body::Connect | Body::Accept | Body::Close | Body::Unreachable { .. } => {
            (MessageKind::Other, false, None, String::new(), false)
        }
    };
    let at = Instant::ZERO;
    MessageView { kind, response, topic, line, error, departed: at, arrives: at, ..MessageView::default() }
}
