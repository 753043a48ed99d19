//! TxnOffsetCommit: decided by the group's coordinator ([`crate::coordinator::group::commit_in_transaction`]), after the
//! transaction's coordinator has added the partition of `__consumer_offsets` to the transaction, or found it there.

use std::collections::BTreeMap;

use kafka_protocol::messages::{TopicName, TxnOffsetCommitRequest};

use super::Asked;
use crate::broker::transaction::verify::{Operation, Question, Verdict, Whom};
use crate::broker::{Broker, Effect};
use crate::coordinator::group::commit_in_transaction::{self, Commit};
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::topic::Internal;
use crate::coordinator::{Event, Waiter, coordinator_error};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::record::batch::NO_SEQUENCE;

/// TxnOffsetCommits that wait for the word of their transaction's coordinator, by number.
#[derive(Clone, Default)]
pub struct Waiting {
    commits: BTreeMap<u64, Commit>,
    next: u64,
}

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: TxnOffsetCommitRequest, out: &mut Vec<Effect>) {
    let mut response = commit_in_transaction::answer(&body.topics);
    let mut any = false;
    for (topic, answer) in body.topics.iter().zip(&mut response.topics) {
        for (partition, answer) in topic.partitions.iter().zip(&mut answer.partitions) {
            if broker.assignment(&topic.name, partition.partition_index).is_some() {
                any = true;
            } else {
                answer.error_code = ErrorCode::UnknownTopicOrPartition.code();
            }
        }
    }
    if !any {
        return asked.reply(response, out);
    }
    let id = |name: &TopicName| broker.cluster.topics.get(name).map(|topic| topic.id).unwrap_or_default();
    let commit = Commit {
        waiter: Waiter::from(asked),
        group: body.group_id.as_str().into(),
        topic_ids: body.topics.iter().map(|topic| id(&topic.name)).collect(),
        body,
        response,
        guard: None,
    };
    match begin(broker, commit, out) {
        Ok(()) => {}
        Err((commit, error)) => refuse(broker, commit, error, out),
    }
}

/// Asks the transaction's coordinator, unless the transaction is open here already.
fn begin(broker: &mut Broker, mut commit: Commit, out: &mut Vec<Effect>) -> Result<(), (Commit, ErrorCode)> {
    let operation = Operation::of_offset_commit(commit.waiter.asked.version);
    if commit.group.is_empty() {
        return Err((commit, ErrorCode::InvalidGroupId));
    }
    let partition = match broker.coordinator_of::<Groups>(&commit.group) {
        Ok((partition, _)) => partition,
        Err(error) => return Err((commit, error)),
    };
    if operation.adds() || broker.settings.transactions.verification_enable {
        let (now, producer) = (broker.now, commit.producer());
        let name = TopicPartition::new(Internal::Groups.name(), partition);
        match broker.begin_verification(now, &name, producer, NO_SEQUENCE, operation) {
            Err(error) => return Err((commit, coordinator_error(error))),
            Ok(None) => {}
            Ok(guard) => {
                commit.guard = guard;
                let id = commit.body.transactional_id.as_str().into();
                let waiting = &mut broker.offsets_waiting;
                let whom = Whom::Offsets(waiting.next);
                waiting.commits.insert(waiting.next, commit);
                waiting.next += 1;
                broker.verify(now, Question { whom, id, producer, partitions: vec![name], operation }, out);
                return Ok(());
            }
        }
    }
    broker.coordinate::<Groups>(partition, Event::Asked(Ask::CommitInTransaction(commit)), out);
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
            Ok(partition) => {
                self.coordinate::<Groups>(partition, Event::Asked(Ask::CommitInTransaction(commit)), out);
            }
            Err(error) => refuse(self, commit, error, out),
        }
    }
}
