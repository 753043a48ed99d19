//! Clients' requests, one file per API.
//!
//! Every file has one entry, `handle`, of one form: it takes the request's body, and either replies now
//! ([`Asked::reply`]), or hands the [`Asked`] on to what replies later: the purgatory, or the controller
//! ([`Broker::forward`]).

/// One answer of those that a request's share-partitions were given; those of a topic stand together.
macro_rules! join_share_states {
    ($kind:ident, $response:ident) => {
        fn join(_version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
            let mut whole = $response::default();
            let mut places = std::collections::BTreeMap::new();
            for part in parts {
                let ResponseKind::$kind(part) = part else { continue };
                for result in part.results {
                    let place = *places.entry(result.topic_id).or_insert(whole.results.len());
                    match whole.results.get_mut(place) {
                        Some(known) => known.partitions.extend(result.partitions),
                        None => whole.results.push(result),
                    }
                }
            }
            whole.into()
        }
    };
}

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_share_group_offsets;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_share_group_state;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_share_group_offsets;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod initialize_share_group_state;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod read_share_group_state;
pub mod read_share_group_state_summary;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unsupported;
pub mod update_features;
pub mod write_share_group_state;
pub mod write_txn_markers;

use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Effect};
use crate::id::Ticket;
use crate::protocol::{Request, Response};
use crate::time::Now;

/// Answered for what only the controller decides while it cannot be reached; clients come again.
const NOT_CONTROLLER: i16 = 41;

/// The operations that Kafka allows on a topic where no authorizer is configured, as bits by `AclOperation`: Read, Write,
/// Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same on a group: Read, Delete, Describe, DescribeConfigs, AlterConfigs.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// The same on the cluster: Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// What a handler knows of a request besides its body: who asks, when, and in which version.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When the request came.
    pub now: Now,
    pub ticket: Ticket,
    pub version: i16,
    pub client_id: Option<StrBytes>,
    pub host: Option<Arc<str>>,
}

impl Asked {
    /// Where the client is, as groups remember it.
    pub fn client_host(&self) -> Arc<str> {
        self.host.clone().unwrap_or_else(|| "/".into())
    }

    /// Answers, in the version that was asked in.
    pub fn reply(self, body: impl Into<ResponseKind>, out: &mut Vec<Effect>) {
        let response = Response::new(self.version, body);
        out.push(Effect::Reply { ticket: self.ticket, response });
    }
}

/// The table of contents: every API that is served and the file that serves it.
#[allow(clippy::boxed_local)] // What it holds is moved out piece by piece; to move it whole costs more.
pub(super) fn route(
    broker: &mut Broker,
    now: Now,
    ticket: crate::id::Ticket,
    request: Box<Request>,
    out: &mut Vec<Effect>,
) {
    let Request { version, .. } = *request;
    let asked = Asked { now, ticket, version, client_id: request.client_id, host: request.host };
    match request.body {
        RequestKind::ApiVersions(body) => api_versions::handle(broker, asked, body, out),
        RequestKind::Metadata(body) => metadata::handle(broker, asked, body, out),
        RequestKind::DescribeCluster(body) => describe_cluster::handle(broker, asked, body, out),
        RequestKind::ListConfigResources(body) => list_config_resources::handle(broker, asked, body, out),
        RequestKind::DescribeTopicPartitions(body) => describe_topic_partitions::handle(broker, asked, body, out),
        RequestKind::DescribeLogDirs(body) => describe_log_dirs::handle(broker, asked, body, out),

        RequestKind::Produce(body) => produce::handle(broker, asked, body, request.batches, out),
        RequestKind::Fetch(body) => fetch::handle(broker, asked, body, out),
        RequestKind::ListOffsets(body) => list_offsets::handle(broker, asked, body, out),
        RequestKind::OffsetForLeaderEpoch(body) => offset_for_leader_epoch::handle(broker, asked, body, out),
        RequestKind::DeleteRecords(body) => delete_records::handle(broker, asked, body, out),
        RequestKind::InitProducerId(body) => init_producer_id::handle(broker, asked, body, out),
        RequestKind::AddPartitionsToTxn(body) => add_partitions_to_txn::handle(broker, asked, body, out),
        RequestKind::AddOffsetsToTxn(body) => add_offsets_to_txn::handle(broker, asked, body, out),
        RequestKind::TxnOffsetCommit(body) => txn_offset_commit::handle(broker, asked, body, out),
        RequestKind::EndTxn(body) => end_txn::handle(broker, asked, body, out),
        RequestKind::DescribeTransactions(body) => describe_transactions::handle(broker, asked, body, out),
        RequestKind::ListTransactions(body) => list_transactions::handle(broker, asked, body, out),
        RequestKind::WriteTxnMarkers(body) => write_txn_markers::handle(broker, asked, body, out),
        RequestKind::DescribeProducers(body) => describe_producers::handle(broker, asked, body, out),

        RequestKind::FindCoordinator(body) => find_coordinator::handle(broker, asked, body, out),
        RequestKind::JoinGroup(body) => join_group::handle(broker, asked, body, out),
        RequestKind::SyncGroup(body) => sync_group::handle(broker, asked, body, out),
        RequestKind::Heartbeat(body) => heartbeat::handle(broker, asked, body, out),
        RequestKind::LeaveGroup(body) => leave_group::handle(broker, asked, body, out),
        RequestKind::ConsumerGroupHeartbeat(body) => consumer_group_heartbeat::handle(broker, asked, body, out),
        RequestKind::ConsumerGroupDescribe(body) => consumer_group_describe::handle(broker, asked, body, out),
        RequestKind::ShareGroupHeartbeat(body) => share_group_heartbeat::handle(broker, asked, body, out),
        RequestKind::ShareGroupDescribe(body) => share_group_describe::handle(broker, asked, body, out),
        RequestKind::ListGroups(body) => list_groups::handle(broker, asked, body, out),
        RequestKind::DescribeGroups(body) => describe_groups::handle(broker, asked, body, out),
        RequestKind::DeleteGroups(body) => delete_groups::handle(broker, asked, body, out),
        RequestKind::OffsetDelete(body) => offset_delete::handle(broker, asked, body, out),
        RequestKind::OffsetCommit(body) => offset_commit::handle(broker, asked, body, out),
        RequestKind::OffsetFetch(body) => offset_fetch::handle(broker, asked, body, out),
        RequestKind::DescribeShareGroupOffsets(body) => {
            describe_share_group_offsets::handle(broker, asked, body, out);
        }
        RequestKind::AlterShareGroupOffsets(body) => alter_share_group_offsets::handle(broker, asked, body, out),
        RequestKind::DeleteShareGroupOffsets(body) => delete_share_group_offsets::handle(broker, asked, body, out),

        RequestKind::ShareFetch(body) => share_fetch::handle(broker, asked, body, out),
        RequestKind::ShareAcknowledge(body) => share_acknowledge::handle(broker, asked, body, out),
        RequestKind::InitializeShareGroupState(body) => initialize_share_group_state::handle(broker, asked, body, out),
        RequestKind::ReadShareGroupState(body) => read_share_group_state::handle(broker, asked, body, out),
        RequestKind::WriteShareGroupState(body) => write_share_group_state::handle(broker, asked, body, out),
        RequestKind::DeleteShareGroupState(body) => delete_share_group_state::handle(broker, asked, body, out),
        RequestKind::ReadShareGroupStateSummary(body) => {
            read_share_group_state_summary::handle(broker, asked, body, out);
        }

        RequestKind::CreateTopics(body) => create_topics::handle(broker, asked, body, out),
        RequestKind::DeleteTopics(body) => delete_topics::handle(broker, asked, body, out),
        RequestKind::CreatePartitions(body) => create_partitions::handle(broker, asked, body, out),
        RequestKind::DescribeConfigs(body) => describe_configs::handle(broker, asked, body, out),
        RequestKind::AlterConfigs(body) => alter_configs::handle(broker, asked, body, out),
        RequestKind::IncrementalAlterConfigs(body) => incremental_alter_configs::handle(broker, asked, body, out),
        RequestKind::ElectLeaders(body) => elect_leaders::handle(broker, asked, body, out),
        RequestKind::AlterPartitionReassignments(body) => {
            alter_partition_reassignments::handle(broker, asked, body, out);
        }
        RequestKind::ListPartitionReassignments(body) => list_partition_reassignments::handle(broker, asked, body, out),
        RequestKind::AlterReplicaLogDirs(body) => alter_replica_log_dirs::handle(broker, asked, body, out),
        RequestKind::DescribeClientQuotas(body) => describe_client_quotas::handle(broker, asked, body, out),
        RequestKind::DescribeUserScramCredentials(body) => {
            describe_user_scram_credentials::handle(broker, asked, body, out);
        }
        RequestKind::AlterClientQuotas(body) => alter_client_quotas::handle(broker, asked, body, out),
        RequestKind::DescribeAcls(body) => describe_acls::handle(broker, asked, body, out),
        RequestKind::CreateAcls(body) => create_acls::handle(broker, asked, body, out),
        RequestKind::DeleteAcls(body) => delete_acls::handle(broker, asked, body, out),
        RequestKind::UpdateFeatures(body) => update_features::handle(broker, asked, body, out),

        other => unsupported::handle(broker, asked, other, out),
    }
}
