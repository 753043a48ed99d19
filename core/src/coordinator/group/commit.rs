//! OffsetCommit, and TxnOffsetCommit: one record for each offset.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, ResponseKind, TxnOffsetCommitResponse};
use uuid::Uuid;

use super::classic::ClassicState;
use super::consumer::Commits;
use super::record::{OffsetKey, OffsetValue, Record};
use super::turn::Turn;
use super::{Committer, Group, Groups, refused};
use crate::coordinator::refuse::refuse;
use crate::coordinator::{Around, Decision, Producer, Reply, Waiter};
use crate::error::{self, ErrorCode};
use crate::log::Guard;

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
    /// Of which transaction the offsets are part; then the answer is one to a TxnOffsetCommit.
    pub transaction: Option<Producer>,
    /// That the transaction goes on here, where its coordinator was asked.
    pub guard: Option<Guard>,
}

impl Groups {
    pub(super) fn commit(&self, around: &Around<'_>, commit: Commit) -> Decision<Groups> {
        let Commit { waiter, group, body, mut response, topic_ids, transaction, guard } = commit;
        let committer = Committer {
            member: &body.member_id,
            instance: body.group_instance_id.as_deref(),
            generation: body.generation_id_or_member_epoch,
            in_transaction: transaction.is_some(),
            version: waiter.asked.version,
        };
        let (mut decision, commits) = match self.may_commit(around, &group, &committer) {
            Ok(may) => may,
            Err(error) => return refused(Reply { to: waiter, body: answer_to(transaction, response) }, error),
        };
        (decision.producer, decision.guard) = (transaction, guard);
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
                if let Err(error) = commits.check(topic_id, partition.partition_index) {
                    return refused(Reply { to: waiter, body: answer_to(transaction, response) }, error);
                }
                let key = OffsetKey { group: group.clone(), topic: name.clone(), partition: partition.partition_index };
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.into(),
                    commit_timestamp: now,
                    expire_timestamp,
                    // Kafka leaves it out in transactions.
                    topic_id: if transaction.is_none() { topic_id } else { Uuid::nil() },
                };
                decision.records.push(Record::Offset(key, Some(value)));
            }
        }
        decision.response = Some(Reply { to: waiter, body: answer_to(transaction, response) });
        decision
    }

    /// What besides the offsets changes: a commit is a sign of life.
    fn may_commit(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        committer: &Committer<'_>,
    ) -> Result<(Decision<Groups>, Commits), ErrorCode> {
        match self.state.groups.get(id) {
            // From outside the group: nobody is in it.
            None if committer.generation < 0 => Ok((Decision::default(), Commits::All)),
            None if committer.version >= 9 && !committer.in_transaction => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
            Some(Group::Classic(value)) => {
                let group = self.classic_as_of(id, value);
                self.may_commit_to_classic(&group, committer)?;
                let lives = matches!(group.state, ClassicState::Stable | ClassicState::PreparingRebalance)
                    && !committer.in_transaction;
                let mut turn = Turn::new(around, group);
                if let Some(member) = turn.group.member(committer.member).filter(|_| lives).cloned() {
                    turn.expect_heartbeat(&member);
                }
                // The group itself is what it was.
                Ok((turn.decision, Commits::All))
            }
            Some(Group::Consumer(group)) => Ok((Decision::default(), group.may_commit(committer)?)),
            Some(Group::Share(_)) => Err(ErrorCode::GroupIdNotFound),
        }
    }
}

impl Commit {
    /// The answer with what is known already.
    pub fn as_it_is(self) -> Reply {
        Reply { to: self.waiter, body: answer_to(self.transaction, self.response) }
    }

    /// The answer that says why nothing comes of it.
    pub fn refuse(self, error: ErrorCode) -> Reply {
        let mut reply = self.as_it_is();
        refuse(&mut reply.body, error);
        reply
    }
}

fn answer_to(transaction: Option<Producer>, answer: OffsetCommitResponse) -> ResponseKind {
    match transaction {
        None => answer.into(),
        Some(_) => in_transaction(answer).into(),
    }
}

fn in_transaction(answer: OffsetCommitResponse) -> TxnOffsetCommitResponse {
    use kafka_protocol::messages::txn_offset_commit_response::{
        TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
    };
    let topic = |topic: OffsetCommitResponseTopic| {
        let partition = |partition: OffsetCommitResponsePartition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(partition.error_code)
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    TxnOffsetCommitResponse::default().with_topics(answer.topics.into_iter().map(topic).collect())
}

/// Java counts the 16-bit halves.
pub(super) fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}

/// The topics of an OffsetCommit as an answer without an error.
pub fn answer(topics: &[OffsetCommitRequestTopic]) -> OffsetCommitResponse {
    let topics = topics.iter().map(|topic| {
        let partition = |partition: &kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition| {
            OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index)
        };
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(topic.partitions.iter().map(partition).collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::handle::Asked;
    use crate::config::BrokerSettings;
    use crate::coordinator::group::Ask;
    use crate::coordinator::{At, Event, Machine};
    use crate::id::{ConnId, Ticket};
    use crate::protocol::cluster::ClusterState;
    use crate::time::{Instant, Now, Timestamp};
    use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
    use kafka_protocol::messages::{GroupId, TopicName};
    use kafka_protocol::protocol::StrBytes;

    const PRODUCER: Producer = Producer { id: 7, epoch: 1 };

    /// What an open transaction commits for a group, by whoever says that it is in that generation.
    fn commit(groups: &Groups, generation: i32) -> Decision<Groups> {
        let now = Now { instant: Instant::ZERO, wall: Timestamp(1_000) };
        let ticket = Ticket { conn: ConnId(1), seq: 0 };
        let asked = Asked { now, ticket, version: 4, client_id: None, host: None };
        let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(5);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        let body = OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_generation_id_or_member_epoch(generation)
            .with_retention_time_ms(-1)
            .with_topics(vec![topic]);
        let commit = Commit {
            waiter: asked.into(),
            group: "g".into(),
            response: answer(&body.topics),
            topic_ids: vec![Uuid::nil()],
            body,
            transaction: Some(PRODUCER),
            guard: None,
        };
        let (cluster, names) = (ClusterState::default(), Default::default());
        let around = Around { now, cluster: &cluster, topic_names: &names, settings: &BrokerSettings::default() };
        groups.decide(&around, Event::Asked(Ask::Commit(commit)))
    }

    fn error(decision: &Decision<Groups>) -> i16 {
        let Some(Reply { body: ResponseKind::TxnOffsetCommit(body), .. }) = &decision.response else { panic!() };
        body.topics[0].partitions[0].error_code
    }

    #[test]
    fn what_is_committed_in_a_transaction_is_part_of_it() {
        let mut groups = Groups::default();
        let decision = commit(&groups, -1);
        assert_eq!((error(&decision), decision.producer, decision.records.len()), (0, Some(PRODUCER), 1));
        let offset = |groups: &Groups| groups.state().offsets.get("g", "t", 0).map(|committed| committed.value.offset);
        groups.replay(&decision.records[0], At { offset: 3, producer: Some(PRODUCER) });
        assert_eq!(offset(&groups), None);
        groups.end_transaction(PRODUCER, true);
        assert_eq!(offset(&groups), Some(5));
        // In no version is it told that there is no such group.
        let decision = commit(&Groups::default(), 3);
        assert_eq!((error(&decision), decision.records.len()), (ErrorCode::IllegalGeneration.code(), 0));
    }
}
