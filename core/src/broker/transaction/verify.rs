//! Who writes here as part of a transaction: its coordinator adds the partition to the transaction, or only says whether it
//! is in it (KIP-890). As Kafka's `AddPartitionsToTxnManager` asks.
//!
//! Of a transactional id at most one question waits for a broker: where another one comes, the producer has given the
//! first one up, or is another. The verdict comes in any case; of partitions that it does not name all is well.

use std::sync::Arc;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, ProducerId, RequestKind, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::{Sent, Transacting};
use crate::broker::{Broker, Effect};
use crate::client::Wire;
use crate::coordinator::Producer;
use crate::coordinator::topic::Internal;
use crate::error::ErrorCode;
use crate::id::{BrokerId, ConnId, TopicPartition};
use crate::time::{Instant, Now};
use crate::vec_map::VecMap;

#[derive(Clone, Default)]
pub struct Verifier {
    channels: VecMap<BrokerId, Channel>,
}

/// What one broker is asked.
#[derive(Clone, Default)]
struct Channel {
    waiting: VecMap<Arc<str>, Question>,
    sent: Option<VecMap<Arc<str>, Question>>,
}

#[derive(Clone)]
pub struct Question {
    pub whom: Whom,
    pub id: Arc<str>,
    pub producer: Producer,
    pub partitions: Vec<TopicPartition>,
    pub operation: Operation,
}

/// Who waits for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The Produce of that connection.
    Produce(ConnId),
    /// The TxnOffsetCommit of that number.
    Offsets(u64),
}

/// Kafka's `TransactionSupportedOperation`: what the client that writes knows of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing of TRANSACTION_ABORTABLE.
    Default,
    GenericErrors,
    /// That its partitions are added by writing to them.
    AddsPartition,
}

/// What is wrong with which partition.
pub type Verdict = VecMap<TopicPartition, ErrorCode>;

impl Operation {
    pub fn of_produce(version: i16) -> Operation {
        match version {
            12.. => Operation::AddsPartition,
            11 => Operation::GenericErrors,
            _ => Operation::Default,
        }
    }

    pub fn of_offset_commit(version: i16) -> Operation {
        match version {
            5.. => Operation::AddsPartition,
            4 => Operation::GenericErrors,
            _ => Operation::Default,
        }
    }

    pub fn adds(self) -> bool {
        self == Operation::AddsPartition
    }
}

impl Question {
    /// The same is wrong with all of it.
    fn refused(&self, error: ErrorCode) -> (Whom, Verdict) {
        (self.whom, self.partitions.iter().map(|partition| (partition.clone(), error)).collect())
    }

    /// What the coordinator says of it.
    fn answered(&self, response: &AddPartitionsToTxnResponse) -> (Whom, Verdict) {
        use ErrorCode::*;
        if let Some(error) = ErrorCode::try_from_code(response.error_code) {
            return self.refused(error);
        }
        let mut results = response.results_by_transaction.iter();
        let Some(result) = results.find(|result| *result.transactional_id.0 == *self.id) else {
            return self.refused(NetworkException);
        };
        let mut verdict = Verdict::new();
        for topic in &result.topic_results {
            for partition in &topic.results_by_partition {
                let error = match ErrorCode::try_from_code(partition.partition_error_code) {
                    None => continue,
                    // Producers know what to do about this one.
                    Some(ProducerFenced) => InvalidProducerEpoch,
                    Some(TransactionAbortable) if self.operation == Operation::Default => InvalidTxnState,
                    Some(error) => error,
                };
                verdict.insert(TopicPartition::new(topic.name.clone(), partition.partition_index), error);
            }
        }
        (self.whom, verdict)
    }
}

impl Verifier {
    /// Gives a verdict where there is one already: of this question, or of one that it takes the place of.
    fn ask(&mut self, broker: BrokerId, question: Question) -> Option<(Whom, Verdict)> {
        let waiting = &mut self.channels.entry(broker).or_default().waiting;
        let before = waiting.get(&question.id).map(|before| before.producer.epoch);
        match before {
            Some(epoch) if question.producer.epoch < epoch => Some(question.refused(ErrorCode::InvalidProducerEpoch)),
            before => {
                let error = match before {
                    Some(epoch) if epoch == question.producer.epoch => ErrorCode::NetworkException,
                    _ => ErrorCode::InvalidProducerEpoch,
                };
                waiting.insert(question.id.clone(), question).map(|before| before.refused(error))
            }
        }
    }
}

impl Broker {
    /// Has the coordinator say whether a producer may write; [`Broker::verified`] is told.
    pub(in crate::broker) fn verify(&mut self, now: Now, question: Question, out: &mut Vec<Effect>) {
        let partition = self.coordinator_partition(Internal::Transactions, &question.id);
        let leader = partition.and_then(|partition| self.leader_of(&Internal::Transactions.name(), partition).1);
        let verdict = match leader.map(|leader| leader.id) {
            Some(leader) => self.transacting.verifier.ask(leader, question),
            None => Some(question.refused(ErrorCode::CoordinatorNotAvailable)),
        };
        if let Some((whom, verdict)) = verdict {
            self.verified(whom, verdict, out);
        }
        self.transact(now, out);
    }

    pub(super) fn send_verifications(&mut self, now: Instant, wants: &mut Vec<Wire>, out: &mut Vec<Effect>) {
        let cluster = self.cluster.clone();
        let mut verdicts = Vec::new();
        let Transacting { verifier, to_coordinators, .. } = &mut self.transacting;
        for (id, channel) in &mut verifier.channels {
            if channel.sent.is_some() || channel.waiting.is_empty() {
                continue;
            }
            let body = |_| request(channel.waiting.values());
            let sent =
                to_coordinators.send(now, (ApiKey::AddPartitionsToTxn, *id), cluster.brokers.get(id), body, wants);
            match sent {
                Sent::Yes => channel.sent = Some(std::mem::take(&mut channel.waiting)),
                Sent::Waits => {}
                Sent::No => {
                    let questions = std::mem::take(&mut channel.waiting);
                    verdicts.extend(questions.values().map(|question| question.refused(ErrorCode::NetworkException)));
                }
            }
        }
        for (whom, verdict) in verdicts {
            self.verified(whom, verdict, out);
        }
    }

    pub(super) fn verification_answered(
        &mut self,
        broker: BrokerId,
        body: Option<AddPartitionsToTxnResponse>,
        out: &mut Vec<Effect>,
    ) {
        let channel = self.transacting.verifier.channels.get_mut(&broker);
        let Some(questions) = channel.and_then(|channel| channel.sent.take()) else { return };
        for question in questions.values() {
            let (whom, verdict) = match &body {
                Some(body) => question.answered(body),
                None => question.refused(ErrorCode::NetworkException),
            };
            self.verified(whom, verdict, out);
        }
    }

    /// Whoever waited for it goes on.
    fn verified(&mut self, whom: Whom, verdict: Verdict, out: &mut Vec<Effect>) {
        match whom {
            Whom::Produce(conn) => self.produce_verified(conn, verdict, out),
            Whom::Offsets(number) => self.offsets_verified(number, verdict, out),
        }
    }
}

fn request<'a>(questions: impl Iterator<Item = &'a Question>) -> RequestKind {
    let transactions = questions.map(|question| {
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        for TopicPartition { topic, partition } in &question.partitions {
            match topics.iter_mut().find(|known| known.name == *topic) {
                Some(known) => known.partitions.push(*partition),
                None => topics.push(
                    AddPartitionsToTxnTopic::default().with_name(topic.clone()).with_partitions(vec![*partition]),
                ),
            }
        }
        AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(question.id.to_string())))
            .with_producer_id(ProducerId(question.producer.id))
            .with_producer_epoch(question.producer.epoch)
            .with_verify_only(!question.operation.adds())
            .with_topics(topics)
    });
    AddPartitionsToTxnRequest::default().with_transactions(transactions.collect()).into()
}
