//! AddPartitionsToTxn: decided by the transactional id's coordinator ([`crate::coordinator::transaction::partitions`]). Up to
//! version 3 a producer asks for its transaction; from 4 on another broker, for many. A partition that is not there is
//! refused, and the others of its transaction are not tried.

use std::collections::BTreeSet;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::transaction::partitions::{Add, Form, answer};
use crate::coordinator::transaction::{Ask, FIRST_WITH_EPOCH_BUMP};
use crate::coordinator::{Producer, Waiter};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::vec_set::VecSet;

/// The first version that brokers ask in.
const FIRST_BATCHED: i16 = 4;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AddPartitionsToTxnRequest, out: &mut Vec<Effect>) {
    if asked.version < FIRST_BATCHED {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(body.v3_and_below_transactional_id)
            .with_producer_id(body.v3_and_below_producer_id)
            .with_producer_epoch(body.v3_and_below_producer_epoch)
            .with_topics(body.v3_and_below_topics);
        return add(broker, asked.into(), transaction, Form::Partitions, out);
    }
    broker.gathers.begin(asked.clone(), body.transactions.len(), whole, out);
    for (part, transaction) in body.transactions.into_iter().enumerate() {
        add(broker, Waiter::from(asked.clone()).part(part), transaction, Form::Batched, out);
    }
}

fn add(
    broker: &mut Broker,
    waiter: Waiter,
    transaction: AddPartitionsToTxnTransaction,
    form: Form,
    out: &mut Vec<Effect>,
) {
    let id = transaction.transactional_id.0;
    let (known, unknown) = partitions(broker, &transaction.topics);
    if !unknown.is_empty() {
        let unknown = unknown.iter().map(|partition| (partition, ErrorCode::UnknownTopicOrPartition.code()));
        let known = known.iter().map(|partition| (partition, ErrorCode::OperationNotAttempted.code()));
        let body = answer(form, &id, unknown.chain(known));
        return broker.gathers.put(waiter.reply(body), out);
    }
    let add = Add {
        waiter,
        id: id.as_str().into(),
        producer: Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch },
        partitions: known,
        client_version: if form == Form::Batched { FIRST_WITH_EPOCH_BUMP } else { 0 },
        verify_only: transaction.verify_only,
        form,
    };
    broker.ask_transaction(&id, Ask::Add(add), out);
}

/// Those that are there, and those that are not.
fn partitions(
    broker: &Broker,
    topics: &[AddPartitionsToTxnTopic],
) -> (VecSet<TopicPartition>, BTreeSet<TopicPartition>) {
    let (mut known, mut unknown) = (VecSet::new(), BTreeSet::new());
    for topic in topics {
        // The cluster's name, since the request's is part of its buffer.
        let name = broker.cluster.topics.get_key_value(&topic.name).map(|(name, _)| name);
        for &partition in &topic.partitions {
            match name.filter(|name| broker.assignment(name, partition).is_some()) {
                Some(name) => known.insert(TopicPartition::new(name.clone(), partition)),
                None => unknown.insert(TopicPartition::new(topic.name.clone(), partition)),
            };
        }
    }
    (known, unknown)
}

fn whole(_version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
    let results = parts.into_iter().flat_map(|part| match part {
        ResponseKind::AddPartitionsToTxn(body) => body.results_by_transaction,
        _ => Vec::new(),
    });
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect()).into()
}
