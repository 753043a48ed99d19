//! Metadata: which brokers live, which topics there are, who leads their partitions.
//!
//! - v0: an empty list of topics asks for all; from v1 `null` does, and an empty list asks for none.
//! - v4: `allow_auto_topic_creation`. A topic that is not there is asked of the controller, and answered meanwhile with
//!   the error that makes clients come again, as Kafka does.
//! - v12: topics may be asked for by id.

use std::collections::BTreeSet;

use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId as WireBroker, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Asked, CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::controller::topic::validate_name;
use crate::coordinator::topic::is_internal;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, Registration, Topic};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: MetadataRequest, out: &mut Vec<Effect>) {
    let version = asked.version;
    let all = body.topics.as_ref().is_none_or(|topics| version == 0 && topics.is_empty());
    let mut topics: Vec<MetadataResponseTopic> = if all {
        broker.cluster.topics.iter().map(|(name, topic)| known(broker, name, topic)).collect()
    } else {
        Vec::new()
    };
    // Before v4 asking was creating.
    let creates = broker.settings.auto_create_topics_enable && (version < 4 || body.allow_auto_topic_creation);
    let mut missing: BTreeSet<&TopicName> = BTreeSet::new();
    for requested in body.topics.iter().flatten() {
        let (name, id) = (requested.name.as_ref(), requested.topic_id);
        topics.push(if version >= 12 && !id.is_nil() {
            match broker.topic_names.get(&id) {
                Some(name) => known(broker, name, &broker.cluster.topics[name]),
                None => unknown(None, id, ErrorCode::UnknownTopicId),
            }
        } else if let Some(name) = name {
            match broker.cluster.topics.get(name) {
                Some(topic) => known(broker, name, topic),
                None => {
                    let error = missing_topic_error(name);
                    if creates && error == ErrorCode::UnknownTopicOrPartition {
                        missing.insert(name);
                    }
                    unknown(Some(name), Uuid::nil(), error)
                }
            }
        } else {
            unknown(None, id, ErrorCode::InvalidRequest)
        });
    }
    if !missing.is_empty() {
        let client_id = asked.client_id.clone();
        broker.create_missing(asked.now, missing.into_iter().cloned().collect(), client_id, out);
    }

    if version >= 8 && body.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let mut response = MetadataResponse::default()
        .with_brokers(broker.cluster.brokers.values().map(wire_broker).collect())
        .with_cluster_id(Some(StrBytes::from_string(broker.cluster.cluster_id.clone())))
        .with_controller_id(WireBroker(broker.cluster.controller.0))
        .with_topics(topics);
    if (8..=10).contains(&version) && body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    asked.reply(response, out);
}

fn known(broker: &Broker, name: &TopicName, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, assignment)| partition(broker, name, index, assignment));
    MetadataResponseTopic::default()
        .with_name(Some(name.clone()))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(name))
        .with_partitions(partitions.collect())
}

fn partition(broker: &Broker, name: &TopicName, index: i32, assignment: &Assignment) -> MetadataResponsePartition {
    let leader = leader(broker, name, index, assignment);
    let error = if leader == BrokerId::NONE { ErrorCode::LeaderNotAvailable.code() } else { 0 };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_leader_id(WireBroker(leader.0))
        .with_leader_epoch(assignment.leader_epoch)
        .with_replica_nodes(wire(&assignment.replicas))
        .with_isr_nodes(wire(&assignment.isr))
        .with_offline_replicas(offline(broker, name, index, assignment))
}

fn unknown(name: Option<&TopicName>, id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name.cloned())
        .with_topic_id(id)
        .with_is_internal(name.is_some_and(is_internal))
}

fn wire_broker(broker: &Registration) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(WireBroker(broker.id.0))
        .with_host(StrBytes::from_string(broker.host.clone()))
        .with_port(i32::from(broker.port))
        .with_rack(broker.rack.clone().map(StrBytes::from_string))
}

/// Why there is no topic of that name: it could not exist, or it does not.
pub(super) fn missing_topic_error(name: &TopicName) -> ErrorCode {
    match validate_name(&name.0) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err((error, _)) => error,
    }
}

pub(super) fn wire(ids: &[BrokerId]) -> Vec<WireBroker> {
    ids.iter().map(|id| WireBroker(id.0)).collect()
}

/// Who leads, as clients are told: nobody where that is this broker and the disk failed under its log.
pub(super) fn leader(broker: &Broker, name: &TopicName, index: i32, assignment: &Assignment) -> BrokerId {
    let failed = assignment.leader == broker.id() && is_offline_here(broker, name, index);
    if failed { BrokerId::NONE } else { assignment.leader }
}

/// The replicas whose brokers do not live, and this broker's own where the disk failed under it.
pub(super) fn offline(broker: &Broker, name: &TopicName, index: i32, assignment: &Assignment) -> Vec<WireBroker> {
    let own = is_offline_here(broker, name, index).then_some(broker.id());
    let is_offline = |id: &&BrokerId| own == Some(**id) || !broker.cluster.brokers.contains_key(id);
    assignment.replicas.iter().filter(is_offline).map(|id| WireBroker(id.0)).collect()
}

fn is_offline_here(broker: &Broker, name: &TopicName, index: i32) -> bool {
    broker.partition(name, index).is_some_and(|partition| partition.offline.is_some())
}
