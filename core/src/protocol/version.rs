//! Which APIs a broker serves, at which versions: what kafka-protocol encodes and Kafka 4.3 serves as stable.
//!
//! The table is what ApiVersions tells clients, so an API stands here when its file in `broker/handle/` serves it and
//! not before.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::VersionRange;

use super::{by_id, log_dirs, markers, share};

/// An API and the first and last version that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub api: ApiKey,
    pub min: i16,
    pub max: i16,
}

const fn served(api: ApiKey, min: i16, max: i16) -> Served {
    Served { api, min, max }
}

/// Sorted by API key.
pub const SERVED: &[Served] = &[
    served(ApiKey::Produce, 3, 13),
    served(ApiKey::Fetch, 4, 18),
    served(ApiKey::ListOffsets, 1, 10),
    served(ApiKey::Metadata, 0, 13),
    served(ApiKey::OffsetCommit, 2, 10),
    served(ApiKey::OffsetFetch, 1, 10),
    served(ApiKey::FindCoordinator, 0, 6),
    served(ApiKey::JoinGroup, 0, 9),
    served(ApiKey::Heartbeat, 0, 4),
    served(ApiKey::LeaveGroup, 0, 5),
    served(ApiKey::SyncGroup, 0, 5),
    served(ApiKey::DescribeGroups, 0, 6),
    served(ApiKey::ListGroups, 0, 5),
    served(ApiKey::ApiVersions, 0, 4),
    served(ApiKey::CreateTopics, 2, 7),
    served(ApiKey::DeleteTopics, 1, 6),
    served(ApiKey::DeleteRecords, 0, 2),
    // 6 is Kafka's two-phase commit, which is not stable there.
    served(ApiKey::InitProducerId, 0, 5),
    served(ApiKey::OffsetForLeaderEpoch, 2, 4),
    served(ApiKey::AddPartitionsToTxn, 0, 5),
    served(ApiKey::AddOffsetsToTxn, 0, 4),
    served(ApiKey::EndTxn, 0, 5),
    served(ApiKey::WriteTxnMarkers, 1, 2),
    served(ApiKey::TxnOffsetCommit, 0, 5),
    served(ApiKey::DescribeAcls, 1, 3),
    served(ApiKey::CreateAcls, 1, 3),
    served(ApiKey::DeleteAcls, 1, 3),
    served(ApiKey::DescribeConfigs, 1, 4),
    served(ApiKey::AlterConfigs, 0, 2),
    served(ApiKey::AlterReplicaLogDirs, 1, 2),
    served(ApiKey::DescribeLogDirs, 1, 5),
    served(ApiKey::CreatePartitions, 0, 3),
    served(ApiKey::DeleteGroups, 0, 2),
    served(ApiKey::ElectLeaders, 0, 2),
    served(ApiKey::IncrementalAlterConfigs, 0, 1),
    served(ApiKey::AlterPartitionReassignments, 0, 1),
    served(ApiKey::ListPartitionReassignments, 0, 0),
    served(ApiKey::OffsetDelete, 0, 0),
    served(ApiKey::DescribeClientQuotas, 0, 1),
    served(ApiKey::AlterClientQuotas, 0, 1),
    served(ApiKey::DescribeUserScramCredentials, 0, 0),
    served(ApiKey::UpdateFeatures, 0, 2),
    served(ApiKey::DescribeCluster, 0, 2),
    served(ApiKey::DescribeProducers, 0, 0),
    served(ApiKey::DescribeTransactions, 0, 0),
    served(ApiKey::ListTransactions, 0, 2),
    served(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    served(ApiKey::ConsumerGroupDescribe, 0, 1),
    served(ApiKey::ListConfigResources, 0, 1),
    served(ApiKey::DescribeTopicPartitions, 0, 0),
    served(ApiKey::ShareGroupHeartbeat, 1, 1),
    served(ApiKey::ShareGroupDescribe, 1, 1),
    served(ApiKey::ShareFetch, 1, 2),
    served(ApiKey::ShareAcknowledge, 1, 2),
    served(ApiKey::InitializeShareGroupState, 0, 0),
    served(ApiKey::ReadShareGroupState, 0, 0),
    served(ApiKey::WriteShareGroupState, 0, 1),
    served(ApiKey::DeleteShareGroupState, 0, 0),
    served(ApiKey::ReadShareGroupStateSummary, 0, 1),
    // 1 tells lags, which kafka-protocol does not know.
    served(ApiKey::DescribeShareGroupOffsets, 0, 0),
    served(ApiKey::AlterShareGroupOffsets, 0, 0),
    served(ApiKey::DeleteShareGroupOffsets, 0, 0),
];

/// The versions that can be encoded and decoded.
pub fn encodable(api: ApiKey) -> VersionRange {
    match api {
        ApiKey::WriteTxnMarkers => VersionRange { max: markers::LATEST, ..api.valid_versions() },
        ApiKey::DescribeLogDirs => VersionRange { max: log_dirs::LATEST, ..api.valid_versions() },
        api => match share::latest(api) {
            Some((latest, _)) => VersionRange { max: latest, ..api.valid_versions() },
            None => api.valid_versions(),
        },
    }
}

/// The versions that clients here ask in.
pub fn spoken(api: ApiKey) -> VersionRange {
    match api {
        // They name topics by their names.
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => VersionRange { max: by_id::KNOWN, ..encodable(api) },
        api => encodable(api),
    }
}

/// The entry of `api`, if it is served.
pub fn of(api: ApiKey) -> Option<&'static Served> {
    SERVED.iter().find(|served| served.api == api)
}

/// The version that ApiVersions names as the first one. librdkafka before 2.8 believes that a broker without Produce 0
/// cannot take compressed batches, so Kafka 4 lists versions that it refuses (KAFKA-18659), and so do we.
pub fn advertised_min(served: &Served) -> i16 {
    if served.api == ApiKey::Produce { 0 } else { served.min }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_within_what_can_be_encoded() {
        assert!(SERVED.is_sorted_by_key(|served| served.api as i16));
        for served in SERVED {
            let known = encodable(served.api);
            assert!(known.min <= served.min && served.max <= known.max, "{served:?} is outside {known:?}");
        }
    }
}
