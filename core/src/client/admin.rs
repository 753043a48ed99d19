//! What an operator asks of a cluster while it runs, as Kafka's own tools ask it: the request that it is, and what its
//! answer says.

use std::fmt::{self, Display, Formatter};

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterPartitionReassignmentsRequest, ApiKey, BrokerId as WireBroker,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, Offset};
use crate::quota::{Key, QuotaEntity, Who};
use crate::vec_map::VecMap;

/// Something to be asked of a cluster. Its text is a line of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    Create {
        topic: String,
        partitions: u32,
        replication_factor: u32,
        configs: VecMap<String, String>,
    },
    Delete {
        topic: String,
    },
    Grow {
        topic: String,
        partitions: u32,
    },
    /// Where it is to lie; `None` takes back what is under way.
    Reassign {
        topic: String,
        partition: i32,
        target: Option<Vec<BrokerId>>,
    },
    Elect {
        election: Election,
        topic: String,
        partition: i32,
    },
    /// By name; without a value a setting is taken back.
    Configure {
        whose: Whose,
        configs: VecMap<String, Option<String>>,
    },
    /// What lies below that offset; −1 is all that is committed.
    DeleteRecords {
        topic: String,
        partition: i32,
        before: Offset,
    },
    /// Without a value, which is a number, a quota is taken back.
    Quota {
        whose: QuotaEntity,
        quotas: VecMap<Key, Option<String>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    Preferred = 0,
    Unclean = 1,
}

impl Election {
    pub const ALL: [Election; 2] = [Election::Preferred, Election::Unclean];

    pub fn name(self) -> &'static str {
        match self {
            Election::Preferred => "preferred",
            Election::Unclean => "unclean",
        }
    }
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Topic(String),
    Broker(BrokerId),
    AllBrokers,
}

/// Kafka's `ConfigResource.Type` and `AlterConfigOp.OpType`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

impl Errand {
    /// The broker that alone can take it.
    pub fn taker(&self) -> Option<BrokerId> {
        match self {
            Errand::Configure { whose: Whose::Broker(id), .. } => Some(*id),
            _ => None,
        }
    }

    /// The partition whose leader alone can take it.
    pub fn partition(&self) -> Option<(&str, i32)> {
        match self {
            Errand::DeleteRecords { topic, partition, .. } => Some((topic, *partition)),
            _ => None,
        }
    }

    /// The request that asks for it; `timeout_ms` is how long the cluster may take.
    pub fn request(&self, timeout_ms: i32) -> (ApiKey, i16, RequestKind) {
        match self {
            Errand::Create { topic, partitions, replication_factor, configs } => {
                let config = |(name, value): (&String, &String)| {
                    CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
                };
                let topic = CreatableTopic::default()
                    .with_name(name(topic))
                    .with_num_partitions(*partitions as i32)
                    .with_replication_factor(*replication_factor as i16)
                    .with_configs(configs.iter().map(config).collect());
                let body = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
                (ApiKey::CreateTopics, 7, body.into())
            }
            Errand::Delete { topic } => {
                let topic = DeleteTopicState::default().with_name(Some(name(topic)));
                let body = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
                (ApiKey::DeleteTopics, 6, body.into())
            }
            Errand::Grow { topic, partitions } => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(name(topic))
                    .with_count(*partitions as i32)
                    .with_assignments(None);
                let body = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
                (ApiKey::CreatePartitions, 3, body.into())
            }
            Errand::Reassign { topic, partition, target } => {
                let replicas = target.as_ref().map(|ids| ids.iter().map(|id| WireBroker(id.0)).collect());
                let partition =
                    ReassignablePartition::default().with_partition_index(*partition).with_replicas(replicas);
                let topic = ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
                let body = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
                (ApiKey::AlterPartitionReassignments, 0, body.with_timeout_ms(timeout_ms).into())
            }
            Errand::Elect { election, topic, partition } => {
                let topic = TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![*partition]);
                let body = ElectLeadersRequest::default()
                    .with_election_type(*election as i8)
                    .with_topic_partitions(Some(vec![topic]))
                    .with_timeout_ms(timeout_ms);
                (ApiKey::ElectLeaders, 2, body.into())
            }
            Errand::Configure { whose, configs } => {
                let (kind, resource) = match whose {
                    Whose::Topic(name) => (TOPIC, text(name)),
                    Whose::Broker(id) => (BROKER, StrBytes::from_string(id.0.to_string())),
                    Whose::AllBrokers => (BROKER, StrBytes::default()),
                };
                let config = |(name, value): (&String, &Option<String>)| {
                    AlterableConfig::default()
                        .with_name(text(name))
                        .with_config_operation(if value.is_some() { SET } else { DELETE })
                        .with_value(value.as_deref().map(text))
                };
                let resource = AlterConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(resource)
                    .with_configs(configs.iter().map(config).collect());
                let body = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
                (ApiKey::IncrementalAlterConfigs, 1, body.into())
            }
            Errand::DeleteRecords { topic, partition, before } => {
                let asked = DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(*before);
                let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![asked]);
                let body = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
                (ApiKey::DeleteRecords, 2, body.into())
            }
            Errand::Quota { whose, quotas } => {
                let part = |kind: &str, who: &Option<Who>| {
                    let name = match who.as_ref()? {
                        Who::Default => None,
                        Who::Named(name) => Some(text(name)),
                    };
                    Some(EntityData::default().with_entity_type(text(kind)).with_entity_name(name))
                };
                let parts = [part("user", &whose.user), part("client-id", &whose.client)];
                let op = |(key, value): (&Key, &Option<String>)| {
                    let number = value.as_deref().and_then(|value| value.parse().ok());
                    let op = OpData::default().with_key(text(key.name()));
                    op.with_value(number.unwrap_or(0.0)).with_remove(value.is_none())
                };
                let entry = EntryData::default()
                    .with_entity(parts.into_iter().flatten().collect())
                    .with_ops(quotas.iter().map(op).collect());
                (ApiKey::AlterClientQuotas, 1, AlterClientQuotasRequest::default().with_entries(vec![entry]).into())
            }
        }
    }

    /// What an answer says of it; `None` where it is no answer to this.
    pub fn outcome(&self, body: &ResponseKind) -> Option<Result<(), (ErrorCode, String)>> {
        let (code, message) = match body {
            ResponseKind::CreateTopics(body) => {
                let topic = body.topics.first()?;
                (topic.error_code, &topic.error_message)
            }
            ResponseKind::DeleteTopics(body) => {
                let topic = body.responses.first()?;
                (topic.error_code, &topic.error_message)
            }
            ResponseKind::CreatePartitions(body) => {
                let topic = body.results.first()?;
                (topic.error_code, &topic.error_message)
            }
            ResponseKind::AlterPartitionReassignments(body) if body.error_code != error::NONE => {
                (body.error_code, &body.error_message)
            }
            ResponseKind::AlterPartitionReassignments(body) => {
                let partition = body.responses.first()?.partitions.first()?;
                (partition.error_code, &partition.error_message)
            }
            ResponseKind::ElectLeaders(body) if body.error_code != error::NONE => (body.error_code, &None),
            ResponseKind::ElectLeaders(body) => {
                let partition = body.replica_election_results.first()?.partition_result.first()?;
                (partition.error_code, &partition.error_message)
            }
            ResponseKind::IncrementalAlterConfigs(body) => {
                let resource = body.responses.first()?;
                (resource.error_code, &resource.error_message)
            }
            ResponseKind::DeleteRecords(body) => (body.topics.first()?.partitions.first()?.error_code, &None),
            ResponseKind::AlterClientQuotas(body) => {
                let entry = body.entries.first()?;
                (entry.error_code, &entry.error_message)
            }
            _ => return None,
        };
        let Some(error) = ErrorCode::try_from_code(code) else { return Some(Ok(())) };
        let message = message.as_deref().filter(|message| !message.is_empty());
        Some(Err((error, message.map_or_else(|| error::message(error).into_owned(), str::to_owned))))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

impl Display for Whose {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Topic(name) => f.write_str(name),
            Whose::Broker(id) => id.fmt(f),
            Whose::AllBrokers => f.write_str("brokers"),
        }
    }
}
