//! OffsetCommit: one record for each offset.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use uuid::Uuid;

use super::record::{OffsetKey, OffsetValue, Record};
use super::{Group, Groups, refused};
use crate::coordinator::{Around, Decision, Reply, Waiter};
use crate::error::{self, ErrorCode};

/// An OffsetCommit whose topics are there.
#[derive(Clone, Debug)]
pub struct Commit {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: OffsetCommitRequest,
    /// For each partition of the body the error that is known already, or none.
    pub response: OffsetCommitResponse,
    /// For each topic of the body.
    pub topic_ids: Vec<Uuid>,
}

impl Groups {
    pub(super) fn commit(&self, around: &Around<'_>, commit: Commit) -> Decision<Groups> {
        let Commit { waiter, group, body, mut response, topic_ids } = commit;
        if let Err(error) = self.may_commit(&group, &body, waiter.asked.version) {
            return refused(waiter.reply(response), error);
        }
        let now = around.now.wall.0;
        let expire_timestamp =
            if body.retention_time_ms == -1 { -1 } else { now.saturating_add(body.retention_time_ms) };
        let mut records = Vec::new();
        for ((topic, answer), topic_id) in body.topics.iter().zip(&mut response.topics).zip(topic_ids) {
            let name: Arc<str> = topic.name.as_str().into();
            for (partition, answer) in topic.partitions.iter().zip(&mut answer.partitions) {
                let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
                if answer.error_code != error::NONE {
                    continue;
                }
                if is_too_long(metadata, around.settings.group.offset_metadata_max_bytes) {
                    answer.error_code = ErrorCode::OffsetMetadataTooLarge.code();
                    continue;
                }
                let key = OffsetKey { group: group.clone(), topic: name.clone(), partition: partition.partition_index };
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.into(),
                    commit_timestamp: now,
                    expire_timestamp,
                    topic_id,
                };
                records.push(Record::Offset(key, Some(value)));
            }
        }
        Decision { records, response: Some(Reply { to: waiter, body: response.into() }), ..Decision::default() }
    }

    fn may_commit(&self, group: &str, body: &OffsetCommitRequest, version: i16) -> Result<(), ErrorCode> {
        match self.state.groups.get(group) {
            // From outside the group: nobody is in it.
            None if body.generation_id_or_member_epoch < 0 => Ok(()),
            None if version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
            Some(Group::Classic(_)) if body.generation_id_or_member_epoch < 0 => Ok(()),
            Some(Group::Classic(_)) => Err(ErrorCode::UnknownMemberId),
        }
    }
}

/// Java counts the 16-bit halves.
fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}

/// The topics of an OffsetCommit as an answer without an error.
pub fn answer(topics: &[OffsetCommitRequestTopic]) -> OffsetCommitResponse {
    use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
    let topics = topics.iter().map(|topic| {
        let partition = |partition: &kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition| {
            OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index)
        };
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
