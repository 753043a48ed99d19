//! TxnOffsetCommit: offsets that count when the transaction commits. The partition is part of the transaction by now.

use std::sync::Arc;

use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use uuid::Uuid;

use super::commit::is_too_long;
use super::record::{OffsetKey, OffsetValue, Record};
use super::{Committer, Group, Groups, refused};
use crate::coordinator::{Around, Decision, Producer, Reply, Waiter};
use crate::error::{self, ErrorCode};
use crate::log::Guard;

/// A TxnOffsetCommit whose topics are there.
#[derive(Clone, Debug)]
pub struct Commit {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: TxnOffsetCommitRequest,
    /// For each partition of the body the error that is known already, or none.
    pub response: TxnOffsetCommitResponse,
    /// For each topic of the body.
    pub topic_ids: Vec<Uuid>,
    pub guard: Option<Guard>,
}

impl Commit {
    pub fn producer(&self) -> Producer {
        Producer { id: self.body.producer_id.0, epoch: self.body.producer_epoch }
    }

    pub fn refuse(self, error: ErrorCode) -> Reply {
        let mut reply = self.waiter.reply(self.response);
        crate::coordinator::refuse::refuse(&mut reply.body, error);
        reply
    }
}

impl Groups {
    pub(super) fn commit_in_transaction(&self, around: &Around<'_>, commit: Commit) -> Decision<Groups> {
        if let Err(error) = self.may_commit_in_transaction(&commit.group, &commit.body) {
            return refused(commit.waiter.reply(commit.response), error);
        }
        let producer = commit.producer();
        let Commit { waiter, group, body, mut response, topic_ids, guard } = commit;
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
                    commit_timestamp: around.now.wall.0,
                    expire_timestamp: -1,
                    topic_id,
                };
                records.push(Record::Offset(key, Some(value)));
            }
        }
        let response = Some(Reply { to: waiter, body: response.into() });
        Decision { records, producer: Some(producer), guard, response, ..Decision::default() }
    }

    fn may_commit_in_transaction(&self, id: &Arc<str>, body: &TxnOffsetCommitRequest) -> Result<(), ErrorCode> {
        let committer = Committer {
            member: &body.member_id,
            instance: body.group_instance_id.as_deref(),
            generation: body.generation_id,
            in_transaction: true,
        };
        match self.state.groups.get(id) {
            None if committer.generation < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
            Some(Group::Classic(value)) => self.may_commit_to_classic(&self.classic_as_of(id, value), &committer),
        }
    }
}

/// The topics of a TxnOffsetCommit as an answer without an error.
pub fn answer(topics: &[TxnOffsetCommitRequestTopic]) -> TxnOffsetCommitResponse {
    use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
    use kafka_protocol::messages::txn_offset_commit_response::{
        TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
    };
    let topics = topics.iter().map(|topic| {
        let partition = |partition: &TxnOffsetCommitRequestPartition| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(partition.partition_index)
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
