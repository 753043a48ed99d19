//! A scripted peer for tests: it answers handshakes and metadata, keeps everything else for the test to answer, and
//! moves time from deadline to deadline.

use std::collections::VecDeque;

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdResponse,
    MetadataResponse, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Effect, Endpoint, Event, Report, Wire};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::node::Node;
use crate::protocol::Request;
use crate::time::{Duration, Instant, Now, Timestamp};

pub struct Fake<N> {
    pub node: N,
    pub now: Instant,
    /// Requests that the test must answer: the connection's endpoint, the connection, the request.
    pub requests: VecDeque<(Endpoint, ConnId, Request)>,
    pub reports: Vec<Report>,
    pub closed: Vec<ConnId>,
    pub metadata_requests: usize,
    /// The broker that leads each partition of `orders`, and its leader epoch; broker ids count from 1, −1 is none.
    pub leaders: Vec<(i32, i32)>,
    /// Connections to these brokers' ports are refused.
    pub dead: Vec<u16>,
    /// No message gets through, nor does a connection.
    pub silent: bool,
    /// The highest version that the peer has of an API; others as kafka-protocol knows them.
    pub newest: Vec<(ApiKey, i16)>,
    /// The level of `transaction.version`.
    pub transaction_version: i16,
    open: Vec<(ConnId, Endpoint)>,
}

pub fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

pub const TOPIC_ID: Uuid = Uuid::from_u128(7);

pub fn endpoint(broker: u16) -> Endpoint {
    Endpoint { host: "host".to_string(), port: 9090 + broker }
}

impl<N: Node<Event = Event, Effect = Effect>> Fake<N> {
    pub fn new(node: N, leaders: &[(i32, i32)]) -> Self {
        Fake {
            node,
            now: Instant::ZERO,
            requests: VecDeque::new(),
            reports: Vec::new(),
            closed: Vec::new(),
            metadata_requests: 0,
            leaders: leaders.to_vec(),
            dead: Vec::new(),
            silent: false,
            newest: Vec::new(),
            transaction_version: 2,
            open: Vec::new(),
        }
    }

    pub fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let wall = Timestamp(1_700_000_000_000 + self.now.as_millis() as i64);
            let mut out = Vec::new();
            self.node.step(Now { instant: self.now, wall }, event, &mut out);
            for effect in out {
                match effect {
                    Effect::Wire(Wire::Open { .. }) if self.silent => {}
                    Effect::Wire(Wire::Open { conn, to }) if self.dead.contains(&(to.port - 9090)) => {
                        events.push_back(Event::Closed { conn });
                    }
                    Effect::Wire(Wire::Open { conn, to }) => {
                        self.open.push((conn, to));
                        events.push_back(Event::Opened { conn });
                    }
                    Effect::Wire(Wire::Close { conn }) => {
                        self.closed.push(conn);
                        self.open.retain(|(open, _)| *open != conn);
                    }
                    Effect::Report(report) => self.reports.push(report),
                    Effect::Wire(Wire::Send { .. }) if self.silent => {}
                    Effect::Wire(Wire::Send { conn, request }) => {
                        let to = self.open.iter().find(|(open, _)| *open == conn).map(|(_, to)| to.clone());
                        let Some(to) = to else { continue };
                        match self.automatic(&request) {
                            Some((version, body)) => events.push_back(Event::Response {
                                conn,
                                correlation_id: request.correlation_id,
                                version,
                                body: Box::new(body),
                            }),
                            None => self.requests.push_back((to, conn, *request)),
                        }
                    }
                }
            }
        }
    }

    /// Lets that much time pass, with a timer at every deadline.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        let mut idle = 0;
        while let Some(at) = self.node.deadline().filter(|at| *at <= end) {
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 20, "at {} the node asks for a timer again and again", self.now);
            self.now = self.now.max(at);
            self.step(Event::Timer);
        }
        self.now = end;
    }

    /// The next request that is the test's to answer.
    pub fn request(&mut self) -> (Endpoint, ConnId, Request) {
        self.requests.pop_front().expect("a request is waiting")
    }

    pub fn answer(&mut self, conn: ConnId, request: &Request, body: ResponseKind) {
        let (correlation_id, version) = (request.correlation_id, request.version);
        self.step(Event::Response { conn, correlation_id, version, body: Box::new(body) });
    }

    /// The broker's connection breaks, and what was asked over it is forgotten.
    pub fn disconnect(&mut self, broker: u16) {
        let gone: Vec<ConnId> =
            self.open.iter().filter(|(_, to)| *to == endpoint(broker)).map(|(conn, _)| *conn).collect();
        self.open.retain(|(conn, _)| !gone.contains(conn));
        self.requests.retain(|(_, conn, _)| !gone.contains(conn));
        gone.into_iter().for_each(|conn| self.step(Event::Closed { conn }));
    }

    fn automatic(&mut self, request: &Request) -> Option<(i16, ResponseKind)> {
        match &request.body {
            RequestKind::ApiVersions(_) => {
                let newest = |api: ApiKey| {
                    let known = self.newest.iter().find(|(known, _)| *known == api);
                    known.map_or(api.valid_versions().max, |(_, version)| *version)
                };
                let apis = [
                    ApiKey::Produce,
                    ApiKey::Fetch,
                    ApiKey::ListOffsets,
                    ApiKey::Metadata,
                    ApiKey::ApiVersions,
                    ApiKey::OffsetForLeaderEpoch,
                    ApiKey::FindCoordinator,
                    ApiKey::InitProducerId,
                    ApiKey::AddPartitionsToTxn,
                    ApiKey::AddOffsetsToTxn,
                    ApiKey::TxnOffsetCommit,
                    ApiKey::EndTxn,
                    ApiKey::JoinGroup,
                    ApiKey::SyncGroup,
                    ApiKey::Heartbeat,
                    ApiKey::LeaveGroup,
                    ApiKey::ConsumerGroupHeartbeat,
                    ApiKey::OffsetCommit,
                    ApiKey::OffsetFetch,
                ];
                let entry = |api: ApiKey| {
                    ApiVersion::default().with_api_key(api as i16).with_min_version(0).with_max_version(newest(api))
                };
                let feature = FinalizedFeatureKey::default()
                    .with_name(StrBytes::from_static_str("transaction.version"))
                    .with_max_version_level(self.transaction_version);
                let body = ApiVersionsResponse::default()
                    .with_api_keys(apis.into_iter().map(entry).collect())
                    .with_finalized_features_epoch(1)
                    .with_finalized_features(vec![feature]);
                if request.version > newest(ApiKey::ApiVersions) {
                    let error = ErrorCode::UnsupportedVersion.code();
                    return Some((0, ResponseKind::ApiVersions(body.with_error_code(error))));
                }
                Some((request.version, ResponseKind::ApiVersions(body)))
            }
            // An idempotent producer's first question; a transactional one's is the test's.
            RequestKind::InitProducerId(body) if body.transactional_id.is_none() => {
                let body = InitProducerIdResponse::default().with_producer_id(7.into());
                Some((request.version, ResponseKind::InitProducerId(body)))
            }
            // Of a transactional id; a group's is the test's.
            RequestKind::FindCoordinator(body) if body.key_type == 1 => Some((request.version, coordinator(body))),
            RequestKind::Metadata(body) => {
                self.metadata_requests += 1;
                let broker = |id: u16| {
                    MetadataResponseBroker::default()
                        .with_node_id(i32::from(id).into())
                        .with_host(StrBytes::from_static_str("host"))
                        .with_port(i32::from(endpoint(id).port))
                };
                let partition = |(index, (leader, epoch)): (usize, &(i32, i32))| {
                    let error = if *leader < 0 { ErrorCode::LeaderNotAvailable.code() } else { 0 };
                    MetadataResponsePartition::default()
                        .with_error_code(error)
                        .with_partition_index(index as i32)
                        .with_leader_id((*leader).into())
                        .with_leader_epoch(*epoch)
                };
                let asked = body.topics.iter().flatten().filter_map(|topic| topic.name.clone());
                let topics = asked.map(|name| match name == topic() {
                    true => MetadataResponseTopic::default()
                        .with_name(Some(name))
                        .with_topic_id(TOPIC_ID)
                        .with_partitions(self.leaders.iter().enumerate().map(partition).collect()),
                    false => MetadataResponseTopic::default()
                        .with_name(Some(name))
                        .with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
                });
                let body = MetadataResponse::default()
                    .with_brokers((1..=3).map(broker).collect())
                    .with_topics(topics.collect());
                Some((request.version, ResponseKind::Metadata(body)))
            }
            _ => None,
        }
    }
}

/// Of whatever is asked about, broker 3.
pub fn coordinator(request: &FindCoordinatorRequest) -> ResponseKind {
    let found = Coordinator::default()
        .with_key(request.coordinator_keys.first().cloned().unwrap_or_default())
        .with_node_id(3.into())
        .with_host(StrBytes::from_static_str("host"))
        .with_port(i32::from(endpoint(3).port));
    FindCoordinatorResponse::default().with_coordinators(vec![found]).into()
}
