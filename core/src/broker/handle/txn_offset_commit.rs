//! TxnOffsetCommit: decided by the group's coordinator ([`crate::coordinator::group::commit`]), after the transaction's
//! coordinator has added the partition of `__consumer_offsets` to the transaction, or found it there.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::{OffsetCommitRequest, TopicName, TxnOffsetCommitRequest};

use super::Asked;
use crate::broker::transaction::verify::{Operation, Question, Verdict, Whom};
use crate::broker::{Broker, Effect};
use crate::coordinator::group::commit::{self, Commit};
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::topic::Internal;
use crate::coordinator::{Event, Producer, coordinator_error};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::record::batch::NO_SEQUENCE;
use crate::vec_map::VecMap;

/// TxnOffsetCommits that wait for the word of their transaction's coordinator, by number.
#[derive(Clone, Default)]
pub struct Waiting {
    commits: VecMap<u64, Commit>,
    next: u64,
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: TxnOffsetCommitRequest, out: &mut Vec<Effect>) {
    let producer = Producer { id: body.producer_id.0, epoch: body.producer_epoch };
    let id: Arc<str> = body.transactional_id.as_str().into();
    let body = OffsetCommitRequest::default()
        .with_group_id(body.group_id)
        .with_member_id(body.member_id)
        .with_group_instance_id(body.group_instance_id)
        .with_generation_id_or_member_epoch(body.generation_id)
        .with_retention_time_ms(-1)
        .with_topics(body.topics.into_iter().map(topic).collect());
    let mut response = commit::answer(&body.topics);
    let mut any = false;
    for topic in &mut response.topics {
        for partition in &mut topic.partitions {
            match broker.assignment(&topic.name, partition.partition_index) {
                Some(_) => any = true,
                None => partition.error_code = ErrorCode::UnknownTopicOrPartition.code(),
            }
        }
    }
    let topic_id = |name: &TopicName| broker.cluster.topics.get(name).map(|topic| topic.id).unwrap_or_default();
    let commit = Commit {
        waiter: asked.into(),
        group: body.group_id.as_str().into(),
        topic_ids: body.topics.iter().map(|topic| topic_id(&topic.name)).collect(),
        body,
        response,
        transaction: Some(producer),
        guard: None,
    };
    if !any {
        return broker.reply_all([commit.as_it_is()], out);
    }
    if let Err((commit, error)) = begin(broker, commit, id, producer, out) {
        refuse(broker, commit, error, out);
    }
}

fn topic(topic: TxnOffsetCommitRequestTopic) -> OffsetCommitRequestTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_committed_metadata(partition.committed_metadata)
    });
    OffsetCommitRequestTopic::default().with_name(topic.name).with_partitions(partitions.collect())
}

/// Asks the transaction's coordinator, unless the transaction is open here already.
fn begin(
    broker: &mut Broker,
    mut commit: Commit,
    id: Arc<str>,
    producer: Producer,
    out: &mut Vec<Effect>,
) -> Result<(), (Commit, ErrorCode)> {
    let operation = Operation::of_offset_commit(commit.waiter.asked.version);
    if commit.group.is_empty() {
        return Err((commit, ErrorCode::InvalidGroupId));
    }
    let partition = match broker.coordinator_of::<Groups>(&commit.group) {
        Ok((partition, _)) => partition,
        Err(error) => return Err((commit, error)),
    };
    if operation.adds() || broker.settings.transactions.verification_enable {
        let now = broker.now;
        let name = TopicPartition::new(Internal::Groups.name(), partition);
        match broker.begin_verification(now, &name, producer, NO_SEQUENCE, operation) {
            Err(error) => return Err((commit, coordinator_error(error))),
            Ok(None) => {}
            Ok(guard) => {
                commit.guard = guard;
                let waiting = &mut broker.offsets_waiting;
                let whom = Whom::Offsets(waiting.next);
                waiting.commits.insert(waiting.next, commit);
                waiting.next += 1;
                broker.verify(now, Question { whom, id, producer, partitions: vec![name], operation }, out);
                return Ok(());
            }
        }
    }
    broker.coordinate::<Groups>(partition, Event::Asked(Ask::Commit(commit)), out);
    Ok(())
}

fn refuse(broker: &mut Broker, commit: Commit, error: ErrorCode, out: &mut Vec<Effect>) {
    // Producers of before 2.0 could not bear the other (KAFKA-7296).
    let old = commit.waiter.asked.version < 2;
    let error = match error {
        ErrorCode::CoordinatorLoadInProgress if old => ErrorCode::CoordinatorNotAvailable,
        error => error,
    };
    broker.reply_all([commit.refuse(error)], out);
}

impl Broker {
    /// The transaction's coordinator has said whether the offsets may be committed.
    pub(in crate::broker) fn offsets_verified(&mut self, number: u64, verdict: Verdict, out: &mut Vec<Effect>) {
        let Some(commit) = self.offsets_waiting.commits.remove(&number) else { return };
        if let Some(error) = verdict.into_values().next() {
            return refuse(self, commit, coordinator_error(error), out);
        }
        match self.coordinator_of::<Groups>(&commit.group).map(|(partition, _)| partition) {
            Ok(partition) => self.coordinate::<Groups>(partition, Event::Asked(Ask::Commit(commit)), out),
            Err(error) => refuse(self, commit, error, out),
        }
    }
}
