//! How long a client is told to wait before it is heard again: the field that nearly every answer has for it.

use kafka_protocol::messages::ResponseKind;

use crate::time::Duration;

/// `None` where an answer cannot tell it.
fn field(response: &mut ResponseKind) -> Option<&mut i32> {
    macro_rules! told_by {
        ($($told:ident)*) => {
            match response {
                $(ResponseKind::$told(response) => Some(&mut response.throttle_time_ms),)*
                _ => None,
            }
        };
    }
    told_by! {
        Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup
        SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId
        OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeAcls CreateAcls
        DeleteAcls DescribeConfigs AlterConfigs AlterReplicaLogDirs DescribeLogDirs CreatePartitions
        CreateDelegationToken RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DeleteGroups
        ElectLeaders IncrementalAlterConfigs AlterPartitionReassignments ListPartitionReassignments OffsetDelete
        DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials AlterUserScramCredentials AlterPartition
        UpdateFeatures FetchSnapshot DescribeCluster DescribeProducers BrokerRegistration BrokerHeartbeat
        UnregisterBroker DescribeTransactions ListTransactions AllocateProducerIds ConsumerGroupHeartbeat
        ConsumerGroupDescribe ControllerRegistration GetTelemetrySubscriptions PushTelemetry AssignReplicasToDirs
        ListConfigResources DescribeTopicPartitions ShareGroupHeartbeat ShareGroupDescribe ShareFetch
        ShareAcknowledge AddRaftVoter RemoveRaftVoter UpdateRaftVoter DescribeShareGroupOffsets
        AlterShareGroupOffsets DeleteShareGroupOffsets
    }
}

/// Tells it, where that can be told.
pub fn set(response: &mut ResponseKind, wait: Duration) {
    if let Some(field) = field(response) {
        *field = wait.as_millis().min(i32::MAX as u128) as i32;
    }
}

/// What an answer tells.
pub fn of(response: &mut ResponseKind) -> Duration {
    Duration::from_millis(field(response).map_or(0, |field| u64::try_from(*field).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{MetadataResponse, SaslHandshakeResponse};

    use super::*;

    #[test]
    fn what_was_set_is_told_where_it_can_be() {
        let mut response = MetadataResponse::default().into();
        assert_eq!(of(&mut response), Duration::ZERO);
        set(&mut response, Duration::from_millis(1_234));
        assert_eq!(of(&mut response), Duration::from_millis(1_234));
        let mut response = SaslHandshakeResponse::default().into();
        set(&mut response, Duration::from_millis(1_234));
        assert_eq!(of(&mut response), Duration::ZERO);
    }
}
