//! Kafka's error codes. The numbers are kafka-protocol's, which are Kafka's `Errors`.

use std::borrow::Cow;

pub use kafka_protocol::ResponseError as ErrorCode;

/// The code of "no error".
pub const NONE: i16 = 0;

/// The wire code of a result: 0 where it is `Ok`.
pub fn code<T>(result: &Result<T, ErrorCode>) -> i16 {
    match result {
        Ok(_) => NONE,
        Err(error) => error.code(),
    }
}

/// Kafka's name of a code: `NOT_LEADER_OR_FOLLOWER`, `NONE`.
pub fn name(code: i16) -> String {
    let Some(error) = ErrorCode::try_from_code(code) else { return "NONE".to_owned() };
    let mut name = String::new();
    for letter in error.to_string().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Kafka's default message of an error that producers and consumers meet; of others, the name.
pub fn message(error: ErrorCode) -> Cow<'static, str> {
    use ErrorCode::*;
    Cow::Borrowed(match error {
        UnknownServerError => "The server experienced an unexpected error when processing the request.",
        OffsetOutOfRange => "The requested offset is not within the range of offsets maintained by the server.",
        CorruptMessage => {
            "This message has failed its CRC checksum, exceeds the valid size, has a null key for a compacted topic, or is otherwise corrupt."
        }
        UnknownTopicOrPartition => "This server does not host this topic-partition.",
        LeaderNotAvailable => {
            "There is no leader for this topic-partition as we are in the middle of a leadership election."
        }
        NotLeaderOrFollower => {
            "For requests intended only for the leader, this error indicates that the broker is not the current leader. For requests intended for any replica, this error indicates that the broker is not a replica of the topic partition."
        }
        RequestTimedOut => "The request timed out.",
        ReplicaNotAvailable => {
            "The replica is not available for the requested topic-partition. Produce/Fetch requests and other requests intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the broker is not a replica of the topic-partition."
        }
        MessageTooLarge => "The request included a message larger than the max message size the server will accept.",
        NetworkException => "The server disconnected before a response was received.",
        InvalidTopicException => "The request attempted to perform an operation on an invalid topic.",
        RecordListTooLarge => {
            "The request included message batch larger than the configured segment size on the server."
        }
        NotEnoughReplicas => "Messages are rejected since there are fewer in-sync replicas than required.",
        NotEnoughReplicasAfterAppend => "Messages are written to the log, but to fewer in-sync replicas than required.",
        InvalidRequiredAcks => "Produce request specified an invalid value for required acks.",
        CoordinatorLoadInProgress => "The coordinator is loading and hence can't process requests.",
        CoordinatorNotAvailable => "The coordinator is not available.",
        NotCoordinator => "This is not the correct coordinator.",
        NotController => "This is not the correct controller for this cluster.",
        InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."
        }
        TopicAuthorizationFailed => "Topic authorization failed.",
        IllegalGeneration => "Specified group generation id is not valid.",
        InconsistentGroupProtocol => {
            "The group member's supported protocols are incompatible with those of existing members or first group member tried to join with empty protocol type or empty protocol list."
        }
        InvalidGroupId => "The group id is invalid.",
        UnknownMemberId => "The coordinator is not aware of this member.",
        InvalidSessionTimeout => {
            "The session timeout is not within the range allowed by the broker (as configured by group.min.session.timeout.ms and group.max.session.timeout.ms)."
        }
        RebalanceInProgress => "The group is rebalancing, so a rejoin is needed.",
        OffsetMetadataTooLarge => "The metadata field of the offset request was too large.",
        InvalidCommitOffsetSize => "The committing offset data size is not valid.",
        GroupAuthorizationFailed => "Group authorization failed.",
        NonEmptyGroup => "The group is not empty.",
        GroupIdNotFound => "The group id does not exist.",
        GroupMaxSizeReached => "The group has reached its maximum size.",
        FencedInstanceId => {
            "The broker rejected this static consumer since another consumer with the same group.instance.id has registered with a different member.id."
        }
        GroupSubscribedToTopic => {
            "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."
        }
        UnstableOffsetCommit => "There are unstable offsets that need to be cleared.",
        FencedMemberEpoch => {
            "The member epoch is fenced by the group coordinator. The member must abandon all its partitions and rejoin."
        }
        UnreleasedInstanceId => {
            "The instance ID is still used by another member in the consumer group. That member must leave first."
        }
        UnsupportedAssignor => "The assignor or its version range is not supported by the consumer group.",
        StaleMemberEpoch => {
            "The member epoch is stale. The member must retry after receiving its updated member epoch via the ConsumerGroupHeartbeat API."
        }
        InvalidTimestamp => "The timestamp of the message is out of acceptable range.",
        UnsupportedVersion => "The version of API is not supported.",
        InvalidPartitions => "Number of partitions is below 1.",
        InvalidReplicationFactor => "Replication factor is below 1 or larger than the number of available brokers.",
        UnsupportedForMessageFormat => "The message format version on the broker does not support the request.",
        TopicDeletionDisabled => "Topic deletion is disabled.",
        PolicyViolation => "Request parameters do not satisfy the configured policy.",
        KafkaStorageError => "Disk error when trying to access log file on the disk.",
        FetchSessionIdNotFound => "The fetch session ID was not found.",
        InvalidFetchSessionEpoch => "The fetch session epoch is invalid.",
        FencedLeaderEpoch => "The leader epoch in the request is older than the epoch on the broker.",
        UnknownLeaderEpoch => "The leader epoch in the request is newer than the epoch on the broker.",
        UnsupportedCompressionType => "The requesting client does not support the compression type of given partition.",
        OffsetNotAvailable => {
            "The leader high watermark has not caught up from a recent leader election so the offsets cannot be guaranteed to be monotonically increasing."
        }
        OutOfOrderSequenceNumber => "The broker received an out of order sequence number.",
        DuplicateSequenceNumber => "The broker received a duplicate sequence number.",
        InvalidProducerEpoch => "Producer attempted to produce with an old epoch.",
        InvalidTxnState => "The producer attempted a transactional operation in an invalid state.",
        InvalidProducerIdMapping => {
            "The producer attempted to use a producer id which is not currently assigned to its transactional id."
        }
        InvalidTransactionTimeout => {
            "The transaction timeout is larger than the maximum value allowed by the broker (as configured by transaction.max.timeout.ms)."
        }
        ConcurrentTransactions => {
            "The producer attempted to update a transaction while another concurrent operation on the same transaction was ongoing."
        }
        OperationNotAttempted => {
            "The broker did not attempt to execute this operation. This may happen for batched RPCs where some operations in the batch failed, causing the broker to respond without trying the rest."
        }
        UnknownProducerId => {
            "This exception is raised by the broker if it could not locate the producer metadata associated with the producerId in question. This could happen if, for instance, the producer's records were deleted because their retention time had elapsed. Once the last records of the producerId are removed, the producer's metadata is removed from the broker, and future appends by the producer will return this exception."
        }
        ProducerFenced => "There is a newer producer with the same transactionalId which fences the current one.",
        TransactionalIdNotFound => "The transactionalId could not be found.",
        TransactionAbortable => {
            "The server encountered an error with the transaction. The client can abort the transaction to continue using this transactional ID."
        }
        InvalidRecord => "This record has failed the validation on broker and hence will be rejected.",
        ThrottlingQuotaExceeded => "The throttling quota has been exceeded.",
        PreferredLeaderNotAvailable => "The preferred leader was not available.",
        EligibleLeadersNotAvailable => "Eligible topic partition leaders are not available.",
        ElectionNotNeeded => "Leader election not needed for topic partition.",
        NoReassignmentInProgress => "No partition reassignment is in progress.",
        UnknownTopicId => "This server does not host this topic ID.",
        InvalidRecordState => "The record state is invalid. The acknowledgement of delivery could not be completed.",
        ShareSessionNotFound => "The share session was not found.",
        InvalidShareSessionEpoch => "The share session epoch is invalid.",
        FencedStateEpoch => {
            "The share coordinator rejected the request because the share-group state epoch did not match."
        }
        ShareSessionLimitReached => "The limit of share sessions has been reached.",
        InconsistentTopicId => "The log's topic ID did not match the topic ID in the request",
        FetchSessionTopicIdError => "The fetch session encountered inconsistent topic ID usage",
        _ => return Cow::Owned(name(error.code())),
    })
}
