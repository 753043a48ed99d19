//! OffsetCommit: one record for each offset.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use uuid::Uuid;

use super::classic::ClassicState;
use super::record::{OffsetKey, OffsetValue, Record};
use super::turn::Turn;
use super::{Committer, Group, Groups, refused};
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
        let mut decision = match self.may_commit(around, &group, &body, waiter.asked.version) {
            Ok(decision) => decision,
            Err(error) => return refused(waiter.reply(response), error),
        };
        let now = around.now.wall.0;
        let expire_timestamp =
            if body.retention_time_ms == -1 { -1 } else { now.saturating_add(body.retention_time_ms) };
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
                decision.records.push(Record::Offset(key, Some(value)));
            }
        }
        decision.response = Some(Reply { to: waiter, body: response.into() });
        decision
    }

    /// What besides the offsets changes: a commit is a sign of life.
    fn may_commit(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        body: &OffsetCommitRequest,
        version: i16,
    ) -> Result<Decision<Groups>, ErrorCode> {
        let committer = Committer {
            member: &body.member_id,
            instance: body.group_instance_id.as_deref(),
            generation: body.generation_id_or_member_epoch,
            in_transaction: false,
        };
        match self.state.groups.get(id) {
            // From outside the group: nobody is in it.
            None if committer.generation < 0 => Ok(Decision::default()),
            None if version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
            Some(Group::Classic(value)) => {
                let group = self.classic_as_of(id, value);
                self.may_commit_to_classic(&group, &committer)?;
                let lives = matches!(group.state, ClassicState::Stable | ClassicState::PreparingRebalance);
                let mut turn = Turn::new(around, group);
                if let Some(member) = turn.group.member(committer.member).filter(|_| lives).cloned() {
                    turn.expect_heartbeat(&member);
                }
                // The group itself is what it was.
                Ok(turn.decision)
            }
        }
    }
}

/// Java counts the 16-bit halves.
pub(super) fn is_too_long(metadata: &str, max: usize) -> bool {
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
