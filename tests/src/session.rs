//! A scripted client's session over every API that is served: each version, and the errors that users meet.
//!
//! The same session is held with the simulated broker, with the server and, by hand, with Apache Kafka
//! (`cargo run -p ottla-tests --example compare -- HOST:PORT HOST:PORT`); what may differ between two clusters (ports,
//! ids, times) is masked, and everything else must be the same bytes.

mod acls;
mod admin;
mod groups;
mod mixed;
mod quotas;
mod shares;
mod transactions;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsResource};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use ottla_core::protocol::{by_id, log_dirs, version};
use ottla_core::record::batch::{HEADER_LEN, computed_crc};
use ottla_core::record::compress::compress;
use ottla_core::record::{BatchBuilder, Compression, Header};
use ottla_core::time::Timestamp;
use uuid::Uuid;

/// What a session has learned and later requests need.
#[derive(Default)]
pub struct Learned {
    /// Topic ids by name: every cluster draws its own.
    pub ids: BTreeMap<String, Uuid>,
    /// The fetch session that was opened last.
    pub fetch_session: i32,
    /// The member of a classic group that this is, and the generation that it is in.
    pub member: String,
    pub generation: i32,
    /// What each InitProducerId was answered: id and epoch.
    pub producers: Vec<(i64, i16)>,
}

/// One request of the session. It may need what was learned before.
pub struct Exchange {
    pub name: String,
    pub api: ApiKey,
    pub version: i16,
    pub body: Box<dyn Fn(&Learned) -> RequestKind>,
}

impl Exchange {
    /// The request as a frame without its length prefix.
    pub fn frame(&self, correlation_id: i32, learned: &Learned) -> Bytes {
        let header = RequestHeader::default()
            .with_request_api_key(self.api as i16)
            .with_request_api_version(self.version)
            .with_correlation_id(correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("session")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, self.api.request_header_version(self.version)).expect("a header that can be encoded");
        // What only a version in range can carry; a version out of range is answered from its header alone.
        let known = version::encodable(self.api);
        if (known.min..=known.max).contains(&self.version) {
            let mut body = (self.body)(learned);
            let encoded = match by_id::is_one(self.api, self.version) {
                true => {
                    name_by_id(&mut body, learned);
                    by_id::encode(&body, &mut frame)
                }
                false => {
                    let version = self.version.min(self.api.valid_versions().max);
                    body.encode(&mut frame, version).map_err(|why| why.to_string())
                }
            };
            encoded.unwrap_or_else(|why| panic!("{}: {why}", self.name));
        }
        frame.freeze()
    }

    /// ApiVersions answers a version that it lacks in version 0.
    pub fn response_version(&self) -> i16 {
        let known = version::encodable(self.api);
        if (known.min..=known.max).contains(&self.version) { self.version } else { 0 }
    }

    /// A response frame, decoded; whatever differs between clusters is masked.
    pub fn understand(&self, mut frame: Bytes, learned: &mut Learned) -> Result<ResponseKind, String> {
        let version = self.response_version();
        let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", self.name);
        use kafka_protocol::protocol::Decodable;
        ResponseHeader::decode(&mut frame, self.api.response_header_version(version)).map_err(|why| fail(&why))?;
        let mut body = match (self.api, version) {
            (ApiKey::DescribeLogDirs, log_dirs::LATEST) => {
                log_dirs::decode(&mut frame).map_err(|why| fail(&why))?.into()
            }
            (api, version) => ResponseKind::decode(api, &mut frame, version).map_err(|why| fail(&why))?,
        };
        if !frame.is_empty() {
            return Err(fail(&format!("{} bytes after the body", frame.len())));
        }
        mask(&mut body, learned);
        Ok(body)
    }
}

/// Topics get the ids that the cluster gave them.
fn name_by_id(body: &mut RequestKind, learned: &Learned) {
    let id = |name: &mut TopicName| {
        let name = std::mem::take(name);
        learned.ids.get(name.as_str()).copied().unwrap_or(Uuid::from_u128(9))
    };
    match body {
        RequestKind::OffsetCommit(body) => {
            body.topics.iter_mut().for_each(|topic| topic.topic_id = id(&mut topic.name));
        }
        RequestKind::OffsetFetch(body) => {
            let topics = body.groups.iter_mut().flat_map(|group| group.topics.iter_mut().flatten());
            topics.for_each(|topic| topic.topic_id = id(&mut topic.name));
        }
        _ => {}
    }
}

/// Notes what later requests need, and wipes what two clusters need not agree on.
fn mask(body: &mut ResponseKind, learned: &mut Learned) {
    let masked = |id: &mut Uuid| {
        if !id.is_nil() {
            *id = Uuid::max();
        }
    };
    match body {
        ResponseKind::Metadata(body) => {
            for broker in &mut body.brokers {
                (broker.port, broker.host) = (0, StrBytes::default());
            }
            body.cluster_id = body.cluster_id.as_ref().map(|_| StrBytes::from_static_str("cluster"));
            for topic in &mut body.topics {
                if let Some(name) = &topic.name {
                    learned.ids.insert(name.0.to_string(), topic.topic_id);
                }
                masked(&mut topic.topic_id);
            }
        }
        ResponseKind::DescribeCluster(body) => {
            body.cluster_id = StrBytes::from_static_str("cluster");
            for broker in &mut body.brokers {
                (broker.port, broker.host) = (0, StrBytes::default());
            }
        }
        ResponseKind::OffsetCommit(body) => body.topics.iter_mut().for_each(|topic| masked(&mut topic.topic_id)),
        ResponseKind::OffsetFetch(body) => {
            let topics = body.groups.iter_mut().flat_map(|group| &mut group.topics);
            topics.for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::CreateTopics(body) => body.topics.iter_mut().for_each(|topic| masked(&mut topic.topic_id)),
        ResponseKind::DeleteTopics(body) => body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id)),
        ResponseKind::DescribeTopicPartitions(body) => {
            body.topics.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::Produce(body) => {
            for topic in &mut body.responses {
                masked(&mut topic.topic_id);
                for partition in &mut topic.partition_responses {
                    partition.log_append_time_ms = partition.log_append_time_ms.min(0);
                    for record in &mut partition.record_errors {
                        let told = &mut record.batch_index_error_message;
                        *told = told.as_deref().map(without_range).map(text);
                    }
                }
            }
            for endpoint in &mut body.node_endpoints {
                (endpoint.port, endpoint.host) = (0, StrBytes::default());
            }
        }
        ResponseKind::Fetch(body) => {
            learned.fetch_session = body.session_id;
            body.session_id = i32::from(body.session_id != 0);
            body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
            for partition in body.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.records.as_mut().map(transactions::mask_producers);
                let aborted = partition.aborted_transactions.iter_mut().flatten();
                aborted.for_each(|one| one.producer_id = ProducerId(0));
            }
            for endpoint in &mut body.node_endpoints {
                (endpoint.port, endpoint.host) = (0, StrBytes::default());
            }
        }
        ResponseKind::DescribeLogDirs(body) => {
            for directory in &mut body.results {
                directory.log_dir = StrBytes::default();
                (directory.total_bytes, directory.usable_bytes) = (-1, -1);
            }
        }
        ResponseKind::FindCoordinator(body) => {
            (body.port, body.host) = (0, StrBytes::default());
            for coordinator in &mut body.coordinators {
                (coordinator.port, coordinator.host) = (0, StrBytes::default());
                // A share-partition is known by its topic's id.
                if let Some((group, _)) = coordinator.key.split_once(':') {
                    coordinator.key = text(group);
                }
            }
        }
        ResponseKind::ShareGroupHeartbeat(body) => {
            let assigned = body.assignment.iter_mut().flat_map(|assignment| &mut assignment.topic_partitions);
            assigned.for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::ShareGroupDescribe(body) => {
            for member in body.groups.iter_mut().flat_map(|group| &mut group.members) {
                member.client_host = StrBytes::default();
                member.assignment.topic_partitions.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
            }
        }
        ResponseKind::DescribeShareGroupOffsets(body) => {
            body.groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
            let topics = body.groups.iter_mut().flat_map(|group| &mut group.topics);
            topics.for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::AlterShareGroupOffsets(body) => {
            body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::DeleteShareGroupOffsets(body) => {
            body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::ShareFetch(body) => body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id)),
        ResponseKind::ShareAcknowledge(body) => body.responses.iter_mut().for_each(|topic| masked(&mut topic.topic_id)),
        ResponseKind::InitializeShareGroupState(body) => {
            body.results.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::ReadShareGroupState(body) => {
            body.results.iter_mut().for_each(|topic| masked(&mut topic.topic_id))
        }
        ResponseKind::WriteShareGroupState(body) => {
            body.results.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::DeleteShareGroupState(body) => {
            body.results.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::ReadShareGroupStateSummary(body) => {
            body.results.iter_mut().for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::JoinGroup(body) => {
            if !body.member_id.is_empty() && body.member_id.starts_with("session-") {
                learned.member = body.member_id.to_string();
                learned.generation = body.generation_id;
                body.member_id = text("member");
            }
            if body.error_code == ResponseError::MemberIdRequired.code() && !body.member_id.starts_with("session-") {
                body.member_id = text("member");
            }
            let member = &learned.member;
            let name = |id: &mut StrBytes| {
                if **id == **member {
                    *id = text("member")
                }
            };
            name(&mut body.leader);
            body.members.iter_mut().for_each(|member| name(&mut member.member_id));
        }
        ResponseKind::LeaveGroup(body) => {
            let known = body.members.iter_mut().filter(|member| *member.member_id == *learned.member);
            known.for_each(|member| member.member_id = text("member"));
        }
        ResponseKind::DescribeGroups(body) => {
            for member in body.groups.iter_mut().flat_map(|group| &mut group.members) {
                (member.member_id, member.client_host) = (text("member"), StrBytes::default());
            }
        }
        ResponseKind::ListGroups(body) => body.groups.sort_by(|one, other| one.group_id.cmp(&other.group_id)),
        ResponseKind::DeleteGroups(body) => body.results.sort_by(|one, other| one.group_id.cmp(&other.group_id)),
        ResponseKind::ConsumerGroupHeartbeat(body) => {
            let told = &mut body.error_message;
            *told = told.as_deref().map(|told| text(&told.replace(&learned.member, "member")));
            let assigned = body.assignment.iter_mut().flat_map(|assignment| &mut assignment.topic_partitions);
            assigned.for_each(|topic| masked(&mut topic.topic_id));
        }
        ResponseKind::ConsumerGroupDescribe(body) => {
            for group in &mut body.groups {
                for member in group.members.iter_mut().filter(|member| member.member_type == 0) {
                    member.member_id = text("member");
                }
                group.members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
                for member in &mut group.members {
                    member.client_host = StrBytes::default();
                    member.subscribed_topic_names.sort();
                    let assigned = member.assignment.topic_partitions.iter_mut();
                    assigned
                        .chain(&mut member.target_assignment.topic_partitions)
                        .for_each(|topic| masked(&mut topic.topic_id));
                }
            }
        }
        ResponseKind::InitProducerId(body) => {
            if learned.producers.is_empty() {
                (body.error_code, body.producer_id, body.producer_epoch) = (0, ProducerId(0), 0);
            }
            learned.producers.push((body.producer_id.0, body.producer_epoch));
            body.producer_id = ProducerId(body.producer_id.0.min(0));
        }
        ResponseKind::EndTxn(body) => body.producer_id = ProducerId(body.producer_id.0.min(0)),
        ResponseKind::DescribeProducers(body) => {
            for partition in body.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.active_producers.sort_by_key(|producer| producer.producer_id);
                for producer in &mut partition.active_producers {
                    producer.last_timestamp = producer.last_timestamp.min(1_700_000_000_001);
                    producer.producer_id = ProducerId(0);
                }
            }
        }
        ResponseKind::DescribeTransactions(body) => {
            for state in &mut body.transaction_states {
                state.producer_id = ProducerId(state.producer_id.0.min(1));
                state.transaction_start_time_ms = state.transaction_start_time_ms.min(1);
                state.topics.sort_by(|one, other| one.topic.cmp(&other.topic));
                state.topics.iter_mut().for_each(|topic| topic.partitions.sort());
            }
        }
        ResponseKind::ListTransactions(body) => {
            body.unknown_state_filters.sort();
            body.transaction_states.sort_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
            body.transaction_states.iter_mut().for_each(|state| state.producer_id = ProducerId(0));
        }
        ResponseKind::AddPartitionsToTxn(body) => {
            body.results_by_transaction.sort_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
            let batched = body.results_by_transaction.iter_mut().flat_map(|result| &mut result.topic_results);
            for topic in body.results_by_topic_v3_and_below.iter_mut().chain(batched) {
                topic.results_by_partition.sort_by_key(|partition| partition.partition_index);
            }
        }
        ResponseKind::TxnOffsetCommit(body) => {
            body.topics.sort_by(|one, other| one.name.cmp(&other.name));
            body.topics.iter_mut().for_each(|topic| topic.partitions.sort_by_key(|one| one.partition_index));
        }
        ResponseKind::WriteTxnMarkers(body) => {
            for marker in &mut body.markers {
                marker.producer_id = ProducerId(0);
                marker.topics.sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
        _ => {}
    }
}

/// What is told of a timestamp, without the range that was allowed at the time.
fn without_range(told: &str) -> &str {
    told.split_once(" should be within [").map_or(told, |(before, _)| before)
}

/// The whole session, in order.
pub fn script() -> Vec<Exchange> {
    let mut script = Vec::new();
    api_versions(&mut script);
    topics(&mut script);
    metadata(&mut script);
    produce(&mut script);
    list_offsets(&mut script);
    fetch(&mut script);
    epochs(&mut script);
    delete_records(&mut script);
    configs(&mut script);
    cluster(&mut script);
    groups::exchanges(&mut script);
    mixed::exchanges(&mut script);
    transactions::exchanges(&mut script);
    admin::exchanges(&mut script);
    quotas::exchanges(&mut script);
    acls::exchanges(&mut script);
    shares::exchanges(&mut script);
    unserved(&mut script);
    removal(&mut script);
    script
}

fn ask<B: Into<RequestKind>>(
    script: &mut Vec<Exchange>,
    what: &str,
    api: ApiKey,
    version: i16,
    body: impl Fn(&Learned) -> B + 'static,
) {
    let name = format!("{api:?} v{version}: {what}");
    script.push(Exchange { name, api, version, body: Box::new(move |learned| body(learned).into()) });
}

/// Every version of `api` that is served.
fn versions(api: ApiKey) -> impl Iterator<Item = i16> {
    let served = version::of(api).unwrap_or_else(|| panic!("{api:?} is not served"));
    served.min..=served.max
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn api_versions(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::ApiVersions) {
        ask(script, "what is served", ApiKey::ApiVersions, version, move |_| {
            let request = ApiVersionsRequest::default();
            match version {
                3.. => request.with_client_software_name(text("session")).with_client_software_version(text("1.0")),
                _ => request,
            }
        });
    }
    ask(script, "software name that is none", ApiKey::ApiVersions, 3, |_| {
        ApiVersionsRequest::default().with_client_software_name(text("-")).with_client_software_version(text("1"))
    });
    ask(script, "a version that does not exist", ApiKey::ApiVersions, 77, |_| ApiVersionsRequest::default());
}

fn topics(script: &mut Vec<Exchange>) {
    let create =
        |topics: Vec<CreatableTopic>| CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(5_000);
    let topic = |topic: &str, partitions: i32, factor: i16| {
        CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(factor)
    };
    let set = |key: &'static str, value: &'static str| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    for version in versions(ApiKey::CreateTopics) {
        ask(script, "one topic", ApiKey::CreateTopics, version, move |_| {
            create(vec![topic(&format!("t{version}"), 2, 1)])
        });
        ask(script, "it exists", ApiKey::CreateTopics, version, move |_| {
            create(vec![topic(&format!("t{version}"), 2, 1)])
        });
    }
    let newest = 7;
    for (what, made) in [
        ("no name", topic("", 1, 1)),
        ("a name with a space", topic("a b", 1, 1)),
        ("no partitions", topic("none", 0, 1)),
        ("more replicas than brokers", topic("wide", 1, 3)),
        ("no replicas", topic("zero", 1, 0)),
        ("an unknown setting", topic("odd", 1, 1).with_configs(vec![set("no.such.thing", "1")])),
        ("a setting of the wrong type", topic("odd", 1, 1).with_configs(vec![set("retention.ms", "long")])),
        ("a setting out of range", topic("odd", 1, 1).with_configs(vec![set("segment.bytes", "1")])),
        ("log append time", topic("stamped", 1, 1).with_configs(vec![set("message.timestamp.type", "LogAppendTime")])),
        ("compacted", topic("compacted", 1, 1).with_configs(vec![set("cleanup.policy", "compact")])),
        ("small messages", topic("small", 1, 1).with_configs(vec![set("max.message.bytes", "200")])),
        ("defaults", topic("defaults", -1, -1)),
        ("recompressed", topic("zipped", 1, 1).with_configs(vec![set("compression.type", "gzip")])),
    ] {
        ask(script, what, ApiKey::CreateTopics, newest, move |_| create(vec![made.clone()]));
    }
    ask(script, "only validated", ApiKey::CreateTopics, newest, move |_| {
        create(vec![topic("validated", 1, 1)]).with_validate_only(true)
    });
    ask(script, "the same twice", ApiKey::CreateTopics, newest, move |_| {
        create(vec![topic("d", 1, 1), topic("d", 1, 1)])
    });

    for version in versions(ApiKey::CreatePartitions) {
        let grow = move |topic: &str, count: i32| {
            let topic =
                CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(None);
            CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000)
        };
        ask(script, "grows by one", ApiKey::CreatePartitions, version, move |_| grow("t2", i32::from(version) + 3));
        ask(script, "no growth", ApiKey::CreatePartitions, version, move |_| grow("t2", i32::from(version) + 3));
        ask(script, "shrinks", ApiKey::CreatePartitions, version, move |_| grow("t2", 1));
        ask(script, "unknown topic", ApiKey::CreatePartitions, version, move |_| grow("nowhere", 3));
    }
}

fn metadata(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::Metadata) {
        let asked = move |topics: &[&str]| {
            let topics =
                topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic)))).collect();
            let request = MetadataRequest::default().with_topics(Some(topics));
            if version >= 4 { request.with_allow_auto_topic_creation(false) } else { request }
        };
        ask(script, "two topics", ApiKey::Metadata, version, move |_| asked(&["t2", "stamped"]));
        ask(script, "a name that cannot be", ApiKey::Metadata, version, move |_| asked(&["a b"]));
        if version >= 4 {
            ask(script, "a topic that is not there", ApiKey::Metadata, version, move |_| asked(&["nowhere"]));
        }
        ask(script, "all or none", ApiKey::Metadata, version, move |_| asked(&[]));
    }
    for version in 12..=13 {
        let by_id = |id: Uuid| {
            let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            MetadataRequest::default().with_topics(Some(vec![topic]))
        };
        ask(script, "by id", ApiKey::Metadata, version, move |learned| by_id(learned.ids["t3"]));
        ask(script, "an id that is not there", ApiKey::Metadata, version, move |_| by_id(Uuid::from_u128(9)));
    }
    ask(script, "every name's id", ApiKey::Metadata, 12, |_| MetadataRequest::default().with_topics(None));
}

/// Two records with a header that comes twice, made at a fixed time.
pub fn batch(compression: Compression) -> BytesMut {
    let mut builder = BatchBuilder::new(compression);
    let header = |value: &'static str| Header { key: "h".into(), value: Some(Bytes::from_static(value.as_bytes())) };
    builder.append(Timestamp(1_700_000_000_000), Some(b"k1"), Some(b"value one"), &[header("1"), header("2")]);
    builder.append(Timestamp(1_700_000_000_005), None, Some(b"value two"), &[]);
    BytesMut::from(&builder.build().bytes[..])
}

fn produce_to(
    version: i16,
    learned: &Learned,
    topic: &str,
    index: i32,
    acks: i16,
    records: Option<Bytes>,
) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(index).with_records(records);
    let data = TopicProduceData::default().with_partition_data(vec![partition]);
    let data = match version {
        13.. => data.with_topic_id(learned.ids.get(topic).copied().unwrap_or(Uuid::from_u128(9))),
        _ => data.with_name(name(topic)),
    };
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![data])
}

fn produce(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::Produce) {
        let whole = || Some(batch(Compression::None).freeze());
        for (what, topic, index, acks, records) in [
            ("acks=1", "t2", 0, 1, whole()),
            ("acks=all", "t2", 1, -1, whole()),
            ("log append time", "stamped", 0, 1, whole()),
            ("a partition that is not there", "t2", 99, 1, whole()),
            ("a topic that is not there", "nowhere", 0, 1, whole()),
            ("acks that do not exist", "t2", 0, 2, whole()),
            ("a record without a key into a compacted topic", "compacted", 0, 1, whole()),
            ("no records", "t2", 0, 1, Some(Bytes::new())),
        ] {
            ask(script, what, ApiKey::Produce, version, move |learned| {
                produce_to(version, learned, topic, index, acks, records.clone())
            });
        }
        ask(script, "a wrong CRC", ApiKey::Produce, version, move |learned| {
            let mut records = batch(Compression::None);
            let last = records.len() - 1;
            records[last] ^= 1;
            produce_to(version, learned, "t2", 0, 1, Some(records.freeze()))
        });
        ask(script, "two batches", ApiKey::Produce, version, move |learned| {
            let mut records = batch(Compression::None);
            records.extend_from_slice(&batch(Compression::None));
            produce_to(version, learned, "t2", 0, 1, Some(records.freeze()))
        });
        ask(script, "too large a batch", ApiKey::Produce, version, move |learned| {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(Timestamp(1_700_000_000_000), Some(b"k"), Some(&[b'x'; 300]), &[]);
            produce_to(version, learned, "small", 0, 1, Some(builder.build().bytes))
        });
    }
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        ask(script, &format!("{compression:?}"), ApiKey::Produce, 9, move |learned| {
            produce_to(9, learned, "t3", 0, 1, Some(batch(compression).freeze()))
        });
    }
    odd_records(script);
    ask(script, "a time far ahead", ApiKey::Produce, 9, |learned| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(99_000_000_000_000), Some(b"k"), Some(b"v"), &[]);
        produce_to(9, learned, "t4", 0, 1, Some(builder.build().bytes))
    });
}

/// Records whose lengths are nonsense. Any negative length of a key or a value is null; the length of a record is looked at
/// where it is not compressed.
fn odd_records(script: &mut Vec<Exchange>) {
    fn varint(number: i64) -> u8 {
        u8::try_from(number << 1 ^ number >> 63).expect("one byte")
    }
    let record = |len: Option<i64>, body: &[u8]| [&[varint(len.unwrap_or(body.len() as i64))], body].concat();
    let body = |key: i64, value: i64, rest: &[u8]| {
        let text = |len: i64| if len > 0 { &b"x"[..] } else { &b""[..] };
        [&[0, 0, 0, varint(key)], text(key), &[varint(value)], text(value), rest].concat()
    };
    let plain = body(1, 1, &[0]);
    for (what, record, compressed_too) in [
        ("a key of -7 bytes", record(None, &body(-7, 1, &[0])), true),
        ("a value of -9 bytes", record(None, &body(1, -9, &[0])), true),
        ("a header's value of -7 bytes", record(None, &body(1, 1, &[varint(1), varint(1), b'a', varint(-7)])), true),
        ("a header's key of -1 bytes", record(None, &body(1, 1, &[varint(1), varint(-1), varint(-1)])), true),
        ("-1 headers", record(None, &body(1, 1, &[varint(-1)])), true),
        ("a key that is longer than its record", record(None, &body(50, 1, &[0])), true),
        ("a record of -5 bytes", record(Some(-5), &plain), false),
        ("a record of 3 bytes too few", record(Some(plain.len() as i64 - 3), &plain), false),
        ("a record of a byte too many", record(Some(plain.len() as i64 + 1), &plain), false),
    ] {
        for codec in [Compression::None, Compression::Gzip] {
            if codec == Compression::None || compressed_too {
                let records = one_record(codec, &record);
                ask(script, &format!("{what}, {codec:?}"), ApiKey::Produce, 9, move |learned| {
                    produce_to(9, learned, "t4", 0, 1, Some(records.clone()))
                });
            }
        }
    }
}

/// A batch that says it has one record, of those bytes.
fn one_record(codec: Compression, record: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.append(Timestamp(1_700_000_000_000), None, None, &[]);
    let mut batch = builder.build().bytes[..HEADER_LEN].to_vec();
    batch.extend_from_slice(&compress(codec, record));
    let len = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&len.to_be_bytes());
    let crc = computed_crc(&batch);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

fn list_offsets(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::ListOffsets) {
        let list = move |topic: &str, index: i32, timestamp: i64| {
            let partition = ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
        };
        for (what, topic, index, timestamp) in [
            ("earliest", "t2", 0, -2),
            ("latest", "t2", 0, -1),
            ("by a time within", "t2", 0, 1_700_000_000_001),
            ("by a time after all", "t2", 0, 1_800_000_000_000),
            ("by time in gzip", "t3", 0, 1_700_000_000_005),
            ("unknown partition", "t2", 99, -1),
        ] {
            ask(script, what, ApiKey::ListOffsets, version, move |_| list(topic, index, timestamp));
        }
        // The largest time, earliest local, latest tiered, earliest pending upload, and what Kafka does not have.
        for timestamp in -7..=-3 {
            ask(script, &format!("timestamp {timestamp}"), ApiKey::ListOffsets, version, move |_| {
                let request = list("t2", 0, timestamp);
                if version >= 10 { request.with_timeout_ms(1_000) } else { request }
            });
        }
    }
}

fn fetch_from(
    version: i16,
    learned: &Learned,
    topic: &str,
    index: i32,
    offset: i64,
    session: (i32, i32),
) -> FetchRequest {
    let partition =
        FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = match version {
        13.. => FetchTopic::default().with_topic_id(learned.ids.get(topic).copied().unwrap_or(Uuid::from_u128(9))),
        _ => FetchTopic::default().with_topic(name(topic)),
    };
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic.with_partitions(vec![partition])]);
    let request = if version < 15 { request.with_replica_id(BrokerId(-1)) } else { request };
    if version >= 7 { request.with_session_id(session.0).with_session_epoch(session.1) } else { request }
}

fn fetch(script: &mut Vec<Exchange>) {
    const NO_SESSION: (i32, i32) = (0, -1);
    for version in versions(ApiKey::Fetch) {
        for (what, topic, index, offset) in [
            ("from the beginning", "t2", 0, 0),
            ("from within a batch", "t2", 0, 3),
            ("from the end", "t2", 1, 2 * 11),
            ("from beyond the end", "t2", 0, 1_000),
            ("a partition that is not there", "t2", 99, 0),
            ("a topic that is not there", "nowhere", 0, 0),
            ("compressed", "t3", 0, 0),
        ] {
            ask(script, what, ApiKey::Fetch, version, move |learned| {
                fetch_from(version, learned, topic, index, offset, NO_SESSION)
            });
        }
        ask(script, "at most one byte: the first batch, whole", ApiKey::Fetch, version, move |learned| {
            let mut request = fetch_from(version, learned, "t2", 0, 0, NO_SESSION).with_max_bytes(1);
            request.topics[0].partitions[0].partition_max_bytes = 1;
            request
        });
        if version >= 7 {
            ask(script, "opens a session", ApiKey::Fetch, version, move |learned| {
                fetch_from(version, learned, "t2", 0, 20, (0, 0))
            });
            ask(script, "goes on with it", ApiKey::Fetch, version, move |learned| {
                let mut request = fetch_from(version, learned, "t2", 0, 0, (learned.fetch_session, 1));
                request.topics.clear();
                request
            });
            ask(script, "with a wrong epoch", ApiKey::Fetch, version, move |learned| {
                fetch_from(version, learned, "t2", 0, 0, (learned.fetch_session, 9))
            });
            ask(script, "a session that is not there", ApiKey::Fetch, version, move |learned| {
                fetch_from(version, learned, "t2", 0, 0, (12_345, 1))
            });
        }
    }
}

/// Where epochs end, asked outright and told by Fetch.
fn epochs(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        for (what, topic, index, current, epoch) in [
            ("the epoch that there is", "t2", 0, -1, 0),
            ("with the current epoch", "t2", 0, 0, 0),
            ("an epoch that is yet to come", "t2", 0, -1, 1),
            ("no epoch", "t2", 0, -1, -1),
            ("in a later epoch than there is", "t2", 0, 7, 0),
            ("a partition that is not there", "t2", 99, -1, 0),
            ("a topic that is not there", "nowhere", 0, -1, 0),
        ] {
            ask(script, what, ApiKey::OffsetForLeaderEpoch, version, move |_| {
                let partition = OffsetForLeaderPartition::default()
                    .with_partition(index)
                    .with_current_leader_epoch(current)
                    .with_leader_epoch(epoch);
                let topic = OffsetForLeaderTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
                let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
                if version >= 3 { request.with_replica_id(BrokerId(-1)) } else { request }
            });
        }
    }
    for version in versions(ApiKey::Fetch).filter(|version| *version >= 12) {
        for (what, offset, epoch) in [
            ("from where its log agrees", 3, 0),
            ("from beyond the end of its epoch", 1_000, 0),
            ("having read in an epoch yet to come", 3, 5),
        ] {
            ask(script, what, ApiKey::Fetch, version, move |learned| {
                let mut request = fetch_from(version, learned, "t2", 0, offset, (0, -1));
                request.topics[0].partitions[0].last_fetched_epoch = epoch;
                request
            });
        }
        ask(script, "in a later epoch than there is", ApiKey::Fetch, version, move |learned| {
            let mut request = fetch_from(version, learned, "t2", 0, 3, (0, -1));
            request.topics[0].partitions[0].current_leader_epoch = 7;
            request
        });
        ask(script, "as a follower that is none", ApiKey::Fetch, version, move |learned| {
            let mut request = fetch_from(version, learned, "t2", 0, 3, (0, -1));
            match version {
                15.. => request.replica_state.replica_id = BrokerId(77),
                _ => request.replica_id = BrokerId(77),
            }
            request
        });
    }
}

fn delete_records(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::DeleteRecords) {
        let delete = |topic: &'static str, index: i32, offset: i64| {
            let partition = DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset);
            let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000)
        };
        for (what, topic, index, offset) in [
            ("some", "t2", 0, 2 + i64::from(version)),
            ("what is gone already", "t2", 0, 1),
            ("beyond the end", "t2", 0, 1_000),
            ("a negative offset", "t2", 0, -2),
            ("of a compacted topic", "compacted", 0, 0),
            ("a partition that is not there", "t2", 99, 0),
            ("a topic that is not there", "nowhere", 0, 0),
            ("all", "t3", 0, -1),
        ] {
            ask(script, what, ApiKey::DeleteRecords, version, move |_| delete(topic, index, offset));
        }
        ask(script, "nothing", ApiKey::DeleteRecords, version, |_| DeleteRecordsRequest::default());
    }
    ask(script, "an offset that is gone", ApiKey::Fetch, 12, |learned| fetch_from(12, learned, "t2", 0, 1, (0, -1)));
    ask(script, "the earliest that is left", ApiKey::ListOffsets, 5, |_| {
        let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-2);
        let topic = ListOffsetsTopic::default().with_name(name("t2")).with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
    });
}

fn configs(script: &mut Vec<Exchange>) {
    const TOPIC: i8 = 2;
    for version in versions(ApiKey::DescribeConfigs) {
        let describe = move |topic: &str, keys: Option<&[&str]>| {
            let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
            let resource = DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configuration_keys(keys);
            let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
            if version >= 3 { request.with_include_documentation(true) } else { request }
        };
        ask(script, "all of a topic", ApiKey::DescribeConfigs, version, move |_| describe("small", None));
        ask(script, "some of a topic", ApiKey::DescribeConfigs, version, move |_| {
            describe("small", Some(&["max.message.bytes", "retention.ms"]))
        });
        ask(script, "a topic that is not there", ApiKey::DescribeConfigs, version, move |_| describe("nowhere", None));
    }
    for version in versions(ApiKey::IncrementalAlterConfigs) {
        let alter = |topic: &'static str, changes: Vec<(&'static str, i8, Option<&'static str>)>| {
            let configs = changes.iter().map(|(key, operation, value)| {
                incremental::AlterableConfig::default()
                    .with_name(text(key))
                    .with_config_operation(*operation)
                    .with_value(value.map(text))
            });
            let resource = incremental::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configs(configs.collect());
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
        };
        const SET: i8 = 0;
        const DELETE: i8 = 1;
        const APPEND: i8 = 2;
        const SUBTRACT: i8 = 3;
        for (what, topic, changes) in [
            ("sets", "t4", vec![("retention.ms", SET, Some("1000"))]),
            ("deletes", "t4", vec![("retention.ms", DELETE, None)]),
            ("appends to a list", "t4", vec![("cleanup.policy", APPEND, Some("compact"))]),
            ("subtracts from a list", "t4", vec![("cleanup.policy", SUBTRACT, Some("compact"))]),
            ("appends to what is no list", "t4", vec![("retention.ms", APPEND, Some("1"))]),
            ("an unknown setting", "t4", vec![("no.such.thing", SET, Some("1"))]),
            ("a wrong type", "t4", vec![("retention.ms", SET, Some("long"))]),
            ("a topic that is not there", "nowhere", vec![("retention.ms", SET, Some("1"))]),
            ("the same twice", "t4", vec![("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))]),
            ("no value", "t4", vec![("retention.ms", SET, None)]),
        ] {
            ask(script, what, ApiKey::IncrementalAlterConfigs, version, move |_| alter(topic, changes.clone()));
        }
    }
    for version in versions(ApiKey::AlterConfigs) {
        let alter = |topic: &'static str, key: &'static str, value: Option<&'static str>| {
            let config =
                alter_configs_request::AlterableConfig::default().with_name(text(key)).with_value(value.map(text));
            let resource = AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configs(vec![config]);
            AlterConfigsRequest::default().with_resources(vec![resource])
        };
        for (what, topic, key, value) in [
            ("replaces", "t4", "segment.bytes", Some("1048576")),
            ("an unknown setting", "t4", "no.such.thing", Some("1")),
            ("no value", "t4", "segment.bytes", None),
            ("a topic that is not there", "nowhere", "segment.bytes", Some("1048576")),
        ] {
            ask(script, what, ApiKey::AlterConfigs, version, move |_| alter(topic, key, value));
        }
    }
}

fn cluster(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::DescribeCluster) {
        ask(script, "brokers", ApiKey::DescribeCluster, version, |_| {
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)
        });
    }
    for version in versions(ApiKey::DescribeLogDirs) {
        let describe = |topic: &str, partitions: &[i32]| {
            let topic = DescribableLogDirTopic::default().with_topic(name(topic)).with_partitions(partitions.to_vec());
            DescribeLogDirsRequest::default().with_topics(Some(vec![topic]))
        };
        ask(script, "two partitions of which one is there", ApiKey::DescribeLogDirs, version, move |_| {
            describe("t3", &[0, 99])
        });
        ask(script, "a topic that is not there", ApiKey::DescribeLogDirs, version, move |_| describe("nowhere", &[0]));
    }
    ask(script, "controllers", ApiKey::DescribeCluster, 1, |_| DescribeClusterRequest::default().with_endpoint_type(2));
    let describe = |topics: &[&str], limit: i32| {
        let topics = topics.iter().map(|topic| TopicRequest::default().with_name(name(topic))).collect();
        DescribeTopicPartitionsRequest::default().with_topics(topics).with_response_partition_limit(limit)
    };
    ask(script, "two topics", ApiKey::DescribeTopicPartitions, 0, move |_| describe(&["t3", "t2", "nowhere"], 2_000));
    ask(script, "a page of one", ApiKey::DescribeTopicPartitions, 0, move |_| describe(&["t2", "t3"], 1));
}

/// APIs that Kafka has and that are not served: answered in their own form, and the connection lives.
fn unserved(script: &mut Vec<Exchange>) {
    let api = ApiKey::DescribeDelegationToken;
    assert!(version::of(api).is_none(), "{api:?} is served");
    let version = api.valid_versions().min;
    ask(script, "not served", api, version, |_| DescribeDelegationTokenRequest::default());
}

fn removal(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::DeleteTopics) {
        let delete = move |topics: &[&str]| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(5_000);
            match version {
                6.. => request.with_topics(
                    topics.iter().map(|topic| DeleteTopicState::default().with_name(Some(name(topic)))).collect(),
                ),
                _ => request.with_topic_names(topics.iter().map(|topic| name(topic)).collect()),
            }
        };
        ask(script, "a topic that is not there", ApiKey::DeleteTopics, version, move |_| delete(&["nowhere"]));
        ask(script, "a topic", ApiKey::DeleteTopics, version, move |_| {
            delete(&[["t5", "t6", "t7", "d", "defaults", "zipped"][version as usize - 1]])
        });
    }
}
