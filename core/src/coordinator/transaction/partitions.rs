//! AddPartitionsToTxn and AddOffsetsToTxn: a transaction has begun, or goes on, in these partitions. From version 4 on it
//! is other brokers that ask, for a producer whose batch they have: they add the partition, or only want to know whether
//! it is there (KIP-890).

use std::sync::Arc;

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, ResponseKind, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::record::{Stage, Transaction};
use super::{Transactions, told};
use crate::coordinator::{Around, Decision, Producer, Reply, Waiter};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::vec_set::VecSet;

/// The first version that knows PRODUCER_FENCED, of both.
const FIRST_WITH_FENCED: i16 = 2;

#[derive(Clone, Debug)]
pub struct Add {
    pub waiter: Waiter,
    pub id: Arc<str>,
    pub producer: Producer,
    pub partitions: VecSet<TopicPartition>,
    /// The level of `transaction.version` that the client speaks.
    pub client_version: i8,
    /// Nothing is added.
    pub verify_only: bool,
    pub form: Form,
}

/// How it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By partition, of one transaction.
    Partitions,
    /// By partition, of one transaction of many.
    Batched,
    /// AddOffsetsToTxn: once.
    Offsets,
}

impl Add {
    pub fn refuse(self, error: ErrorCode) -> Reply {
        self.answer(|_| Some(error))
    }

    /// With what is wrong in each partition.
    fn answer(self, error: impl Fn(&TopicPartition) -> Option<ErrorCode>) -> Reply {
        let version = self.waiter.asked.version;
        let code = |error: Option<ErrorCode>| error.map_or(0, |error| told(error, version, FIRST_WITH_FENCED).code());
        let body: ResponseKind = match self.form {
            Form::Offsets => {
                let error = self.partitions.first().and_then(error);
                AddOffsetsToTxnResponse::default().with_error_code(code(error)).into()
            }
            form => answer(form, &self.id, self.partitions.iter().map(|one| (one, code(error(one))))),
        };
        self.waiter.reply(body)
    }
}

/// What is told of each partition of a transaction.
pub fn answer<'a>(form: Form, id: &str, partitions: impl Iterator<Item = (&'a TopicPartition, i16)>) -> ResponseKind {
    let mut topics: Vec<AddPartitionsToTxnTopicResult> = Vec::new();
    for (TopicPartition { topic, partition }, code) in partitions {
        let result = AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(*partition)
            .with_partition_error_code(code);
        match topics.last_mut().filter(|last| last.name == *topic) {
            Some(last) => last.results_by_partition.push(result),
            None => topics.push(
                AddPartitionsToTxnTopicResult::default()
                    .with_name(topic.clone())
                    .with_results_by_partition(vec![result]),
            ),
        }
    }
    let response = AddPartitionsToTxnResponse::default();
    if form == Form::Partitions {
        return response.with_results_by_topic_v3_and_below(topics).into();
    }
    let id = TransactionalId(StrBytes::from_string(id.to_owned()));
    let result = AddPartitionsToTxnResult::default().with_transactional_id(id).with_topic_results(topics);
    response.with_results_by_transaction(vec![result]).into()
}

impl Transactions {
    pub(super) fn add(&self, around: &Around<'_>, add: Add) -> Decision<Transactions> {
        let refused = |add: Add, error| Decision { replies: vec![add.refuse(error)], ..Decision::default() };
        // Before anything else: the producer may have its next id already. A change on its way does not keep from verifying:
        // the append itself is checked against what came of it.
        if !add.verify_only && self.is_pending(&add.id) {
            return refused(add, ErrorCode::ConcurrentTransactions);
        }
        let Some(current) = self.get(&add.id) else { return refused(add, ErrorCode::InvalidProducerIdMapping) };
        if let Err(error) = current.is_of(add.producer) {
            return refused(add, error);
        }
        if current.stage.is_ending() {
            return refused(add, ErrorCode::ConcurrentTransactions);
        }
        if add.verify_only {
            let partitions = current.partitions.clone();
            let lacks =
                move |one: &TopicPartition| (!partitions.contains(one)).then_some(ErrorCode::TransactionAbortable);
            return Decision { response: Some(add.answer(lacks)), ..Decision::default() };
        }
        if current.stage == Stage::Ongoing && add.partitions.is_subset(&current.partitions) {
            return Decision { response: Some(add.answer(|_| None)), ..Decision::default() };
        }
        let now = around.now.wall.0;
        let to = Transaction {
            previous_producer_id: current.producer_id,
            stage: Stage::Ongoing,
            partitions: current.partitions.iter().chain(&add.partitions).cloned().collect(),
            start_ms: if current.stage == Stage::Ongoing { current.start_ms } else { now },
            last_update_ms: now,
            client_version: add.client_version,
            ..current.clone()
        };
        let id = add.id.clone();
        self.change(around, &id, to, Some(add.answer(|_| None)))
    }
}

impl Transaction {
    /// Whether a producer that knows its epoch has the id.
    fn is_of(&self, producer: Producer) -> Result<(), ErrorCode> {
        if self.producer_id != producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(())
    }
}
