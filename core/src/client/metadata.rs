//! Which brokers there are, which partitions each topic has, and who leads them: what Kafka's client calls metadata.
//!
//! Asked for at the start, when an answer says that it is out of date (`NOT_LEADER_OR_FOLLOWER`, a lost connection), and
//! when it is `metadata.max.age.ms` old; never more often than `retry.backoff.ms` allows while it does not help.
//!
//! 1. A leader is replaced only by one of the same or a later leader epoch (KIP-320): answers from brokers that lag
//!    behind do not turn time back. A topic with another id is another topic.
//! 2. A producer forgets a topic to which it has sent nothing for `metadata.max.idle.ms` when it asks next (KIP-526).

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use regex_lite::Regex;
use uuid::Uuid;

use super::connection::{LinkId, Network, Settings};
use super::{Effect, Endpoint};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};
use crate::rng::Stream;
use crate::time::Instant;

#[derive(Clone, Debug)]
pub struct Metadata {
    /// All topics whose names match are asked for.
    pattern: Option<Regex>,
    bootstrap: Vec<Endpoint>,
    auto_create: bool,
    brokers: Vec<Broker>,
    topics: Vec<Topic>,
    /// When to ask again: at once, after a back-off, or when what is known has grown old.
    due: Instant,
    /// Not earlier than this: the last attempt and its back-off.
    not_before: Instant,
    /// Asked, not answered.
    asked: bool,
    /// A topic is wanted since then: the answer will not have it.
    came_late: bool,
    /// Nobody can be asked before a connection stands.
    waiting: bool,
    /// Attempts in a row that brought nothing new.
    failures: u32,
    /// Whom to ask next, so that a dead broker is not asked for ever.
    turn: usize,
    /// Counts up with everything learnt.
    pub version: u64,
    dice: Stream,
}

#[derive(Clone, Debug)]
struct Broker {
    id: BrokerId,
    link: LinkId,
    rack: Option<StrBytes>,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub name: TopicName,
    pub id: Uuid,
    /// By index; empty until it is known.
    pub partitions: Vec<Partition>,
    /// On which brokers each of them lies.
    replicas: Vec<Vec<BrokerId>>,
    /// What the broker said of it last.
    pub error: Option<ErrorCode>,
    /// When it was wanted last; `None` before a broker was asked about it.
    wanted: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
}

impl Topic {
    fn unknown(name: TopicName) -> Topic {
        Topic { name, id: Uuid::nil(), partitions: Vec::new(), replicas: Vec::new(), error: None, wanted: None }
    }
}

impl Metadata {
    pub fn new(bootstrap: Vec<Endpoint>, topics: Vec<TopicName>, auto_create: bool, dice: Stream) -> Self {
        Metadata {
            pattern: None,
            bootstrap,
            auto_create,
            brokers: Vec::new(),
            topics: topics.into_iter().map(Topic::unknown).collect(),
            due: Instant::ZERO,
            not_before: Instant::ZERO,
            asked: false,
            came_late: false,
            waiting: false,
            failures: 0,
            turn: 0,
            version: 0,
            dice,
        }
    }

    /// Asks for all topics whose names match, too.
    pub fn matching(self, pattern: Option<Regex>) -> Self {
        Metadata { pattern, ..self }
    }

    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    pub fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == *name)
    }

    /// Asks for one more topic from now on, for as long as `metadata.max.idle.ms` say where that is set.
    pub fn want(&mut self, now: Instant, name: &TopicName) {
        match self.topics.iter_mut().find(|topic| topic.name == *name) {
            Some(topic) => topic.wanted = topic.wanted.map(|_| now),
            None => {
                self.topics.push(Topic::unknown(name.clone()));
                self.due = self.due.min(now);
                self.came_late |= self.asked;
            }
        }
    }

    /// Asks for no others any more.
    pub fn keep(&mut self, needs: impl Fn(&TopicName) -> bool) {
        self.topics.retain(|topic| needs(&topic.name));
    }

    /// The connection to the leader of a partition, and its epoch.
    pub fn leader(&self, topic: &TopicName, partition: i32) -> Option<(LinkId, LeaderEpoch)> {
        let partition = self.topic(topic)?.partitions.get(usize::try_from(partition).ok()?)?;
        let broker = self.brokers.iter().find(|broker| Some(broker.id) == partition.leader)?;
        Some((broker.link, partition.leader_epoch))
    }

    /// The connection to a broker that is known.
    pub fn broker(&self, id: BrokerId) -> Option<LinkId> {
        self.brokers.iter().find(|broker| broker.id == id).map(|broker| broker.link)
    }

    /// The racks of a partition's replicas.
    pub fn racks(&self, topic: &Topic, partition: usize) -> Vec<StrBytes> {
        let replicas = topic.replicas.get(partition).map_or(&[][..], |replicas| replicas);
        let brokers = replicas.iter().filter_map(|id| self.brokers.iter().find(|broker| broker.id == *id));
        brokers.filter_map(|broker| broker.rack.clone()).collect()
    }

    /// A broker that can be asked anything, as soon as there is a connection to one.
    pub fn anybody<T>(&mut self, now: Instant, network: &mut Network<T>, out: &mut Vec<Effect>) -> Option<LinkId> {
        self.whom(now, network, out)
    }

    /// Something showed that it is out of date: ask as soon as the back-off allows.
    pub fn stale(&mut self, now: Instant) {
        self.due = self.due.min(now.max(self.not_before));
    }

    /// Asks, if it is time to and somebody can be asked.
    pub fn poll<T>(
        &mut self,
        now: Instant,
        settings: &Settings,
        network: &mut Network<T>,
        tag: T,
        out: &mut Vec<Effect>,
    ) {
        if self.asked || now < self.due {
            return;
        }
        let link = self.whom(now, network, out);
        self.waiting = link.is_none();
        let Some(link) = link else { return };
        let Some(version) = network.version(link, ApiKey::Metadata) else { return };
        let topic = |topic: &Topic| MetadataRequestTopic::default().with_name(Some(topic.name.clone()));
        let topics = self.pattern.is_none().then(|| self.topics.iter().map(topic).collect());
        let request = MetadataRequest::default()
            .with_topics(topics)
            // Before version 4 asking is creating.
            .with_allow_auto_topic_creation(self.auto_create || version < 4);
        network.send(now, link, (ApiKey::Metadata, version), RequestKind::Metadata(request), Some(tag), out);
        self.asked = true;
        self.due = now + settings.metadata_max_age;
    }

    /// An answer came.
    pub fn update<T>(
        &mut self,
        now: Instant,
        settings: &Settings,
        response: MetadataResponse,
        network: &mut Network<T>,
    ) {
        self.asked = false;
        self.version += 1;
        if !response.brokers.is_empty() {
            let broker = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| Broker {
                id: BrokerId(broker.node_id.0),
                link: network.link(&Endpoint { host: broker.host.to_string(), port: broker.port as u16 }),
                rack: broker.rack.clone(),
            };
            self.brokers = response.brokers.iter().map(broker).collect();
        }
        // Whether it brought all that was asked for, and anything new.
        let (mut complete, mut changed) = (!response.brokers.is_empty(), false);
        if let Some(pattern) = &self.pattern {
            let listed = |name: &TopicName| response.topics.iter().any(|answer| answer.name.as_ref() == Some(name));
            // What is gone is asked for no more; all there is was listed.
            self.topics.retain(|topic| listed(&topic.name));
            let matching = response.topics.iter().filter(|answer| !answer.is_internal);
            for name in matching.filter_map(|answer| answer.name.clone()) {
                if pattern.is_match(&name) && !self.topics.iter().any(|topic| topic.name == name) {
                    self.topics.push(Topic::unknown(name));
                }
            }
        }
        for answer in response.topics {
            let Some(topic) = self.topics.iter_mut().find(|topic| Some(&topic.name) == answer.name.as_ref()) else {
                continue;
            };
            topic.error = ErrorCode::try_from_code(answer.error_code);
            complete &= topic.error.is_none();
            if answer.partitions.is_empty() {
                // What was known stays until it is known better.
                continue;
            }
            if topic.id != answer.topic_id {
                topic.id = answer.topic_id;
                topic.partitions.clear();
                topic.replicas.clear();
            }
            let count = topic.partitions.len().max(answer.partitions.len());
            topic.partitions.resize(count, Partition { leader: None, leader_epoch: -1 });
            topic.replicas.resize(count, Vec::new());
            for partition in answer.partitions {
                let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
                let Some(known) = topic.partitions.get_mut(index) else { continue };
                let leader = Some(BrokerId(partition.leader_id.0)).filter(|leader| leader.0 >= 0);
                complete &= leader.is_some();
                topic.replicas[index] = partition.replica_nodes.iter().map(|id| BrokerId(id.0)).collect();
                let told = Partition { leader, leader_epoch: partition.leader_epoch };
                // (1) Before version 7 there is no epoch: the answer is believed.
                if told != *known && (told.leader_epoch < 0 || told.leader_epoch >= known.leader_epoch) {
                    *known = told;
                    changed = true;
                }
            }
        }
        // (2)
        self.topics.retain_mut(|topic| {
            let wanted = *topic.wanted.get_or_insert(now);
            settings.metadata_max_idle.is_none_or(|most| now < wanted + most)
        });
        self.failures = if complete || changed { 0 } else { self.failures + 1 };
        self.not_before = now + settings.retry_backoff.after(self.failures, &mut self.dice);
        self.due = match std::mem::take(&mut self.came_late) {
            true => now,
            false if complete => now + settings.metadata_max_age,
            false => self.not_before,
        };
    }

    /// A leader that an error response named (KIP-951).
    pub fn hint<T>(
        &mut self,
        topic: &TopicName,
        partition: i32,
        leader: (i32, LeaderEpoch),
        endpoint: Option<Endpoint>,
        network: &mut Network<T>,
    ) {
        let (id, leader_epoch) = (BrokerId(leader.0), leader.1);
        if id.0 < 0 {
            return;
        }
        if let Some(endpoint) = endpoint {
            let link = network.link(&endpoint);
            match self.brokers.iter_mut().find(|broker| broker.id == id) {
                Some(broker) => broker.link = link,
                None => self.brokers.push(Broker { id, link, rack: None }),
            }
        }
        let known = self.topics.iter_mut().find(|known| known.name == *topic);
        let known = known.and_then(|topic| topic.partitions.get_mut(usize::try_from(partition).ok()?));
        if let Some(known) = known
            && leader_epoch > known.leader_epoch
        {
            *known = Partition { leader: Some(id), leader_epoch };
            self.version += 1;
        }
    }

    /// Somebody has written in that epoch: whoever led before does not any more, and who does is to be found out (Kafka's
    /// `updateLastSeenEpochIfNewer`, KIP-320).
    pub fn saw(&mut self, now: Instant, name: &TopicPartition, leader_epoch: LeaderEpoch) {
        let topic = self.topics.iter_mut().find(|topic| topic.name == name.topic);
        let known = topic.and_then(|topic| topic.partitions.get_mut(usize::try_from(name.partition).ok()?));
        if let Some(known) = known.filter(|known| leader_epoch > known.leader_epoch) {
            *known = Partition { leader: None, leader_epoch };
            self.version += 1;
            self.stale(now);
        }
    }

    /// The request was lost.
    pub fn lost(&mut self, now: Instant, settings: &Settings) {
        (self.asked, self.came_late) = (false, false);
        self.turn += 1;
        self.not_before = now + settings.retry_backoff.after(self.failures, &mut self.dice);
        self.failures += 1;
        self.due = self.not_before;
    }

    /// `None` while an answer or a connection is on its way: the network has the deadlines for those.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.asked && !self.waiting).then_some(self.due)
    }

    /// A broker that can be asked now, the one with the fewest requests in flight; else one is being connected to, in
    /// turn, over all that are known and those that the client was started with.
    fn whom<T>(&mut self, now: Instant, network: &mut Network<T>, out: &mut Vec<Effect>) -> Option<LinkId> {
        let ready = self.brokers.iter().map(|broker| broker.link).filter(|link| network.is_ready(*link));
        if let Some(link) = ready.min_by_key(|link| network.in_flight(*link)) {
            return Some(link);
        }
        let mut links: Vec<LinkId> = self.brokers.iter().map(|broker| broker.link).collect();
        for endpoint in &self.bootstrap {
            let link = network.link(endpoint);
            if !links.contains(&link) {
                links.push(link);
            }
        }
        for _ in 0..links.len() {
            let link = links[self.turn % links.len()];
            if network.connect(now, link, out) {
                return Some(link);
            }
            if !network.is_backing_off(now, link) {
                return None;
            }
            self.turn += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;

    use super::super::connection::Backoff;
    use super::*;
    use crate::rng::Seed;
    use crate::time::Duration;

    #[test]
    fn what_is_wanted_while_an_answer_is_on_its_way_is_asked_for_as_soon_as_that_has_come() {
        let never = Backoff { least: Duration::from_secs(100), most: Duration::from_secs(100) };
        let settings = Settings {
            client_id: StrBytes::default(),
            request_timeout: Duration::from_secs(30),
            retry_backoff: never,
            reconnect_backoff: never,
            setup_timeout: never,
            metadata_max_age: Duration::from_secs(300),
            metadata_max_idle: None,
        };
        let mut network = Network::<u64>::new(settings.clone(), Seed(1).stream("network"));
        let mut metadata = Metadata::new(Vec::new(), Vec::new(), true, Seed(1).stream("metadata"));
        let answer = || MetadataResponse::default().with_brokers(vec![MetadataResponseBroker::default()]);
        metadata.asked = true;
        let orders = TopicName(StrBytes::from_static_str("orders"));
        metadata.want(Instant::from_millis(1), &orders);
        metadata.update(Instant::from_millis(2), &settings, answer(), &mut network);
        assert_eq!(metadata.deadline(), Some(Instant::from_millis(2)));
        metadata.asked = true;
        metadata.want(Instant::from_millis(3), &orders);
        metadata.update(Instant::from_millis(4), &settings, answer(), &mut network);
        assert_eq!(metadata.deadline(), Some(Instant::from_millis(300_004)), "that was asked for");
    }
}
