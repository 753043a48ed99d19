//! A Produce whose transaction is to be looked at first ([`crate::broker::transaction::verify`]). Until there is a verdict
//! it is held, and with it whatever the same connection sends after it, as Kafka mutes the channel: batches keep their
//! order.
//!
//! ```text
//! look ─[all partitions have the transaction open already, or there is none]─▶ append
//!   └─▶ held ─[verdict]─▶ append, but what is refused
//!        ▲        └─[CONCURRENT_TRANSACTIONS, and it is not for long: the one before has not ended]─┐
//!        └──────────────────────────────[add.partitions.to.txn.retry.backoff.ms]────────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::messages::ProduceRequest;

use super::{Before, Held, Refused};
use crate::broker::transaction::verify::{Operation, Question, Verdict, Whom};
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::error::{self, ErrorCode};
use crate::id::{ConnId, TopicPartition};
use crate::log::Guard;
use crate::record::check::Invalid;
use crate::time::{Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// By connection.
#[derive(Clone, Default)]
pub struct Holds {
    by_conn: VecMap<ConnId, Hold>,
    retries: VecSet<(Instant, ConnId)>,
}

#[derive(Clone)]
struct Hold {
    first: Held,
    transaction: Transaction,
    looked: Looked,
    /// When a transaction that has not ended is waited for no longer.
    give_up: Instant,
    later: VecDeque<Held>,
}

/// What a Produce says of its transaction.
#[derive(Clone)]
struct Transaction {
    id: Arc<str>,
    producer: Producer,
    operation: Operation,
    /// Its partitions, each with its first sequence.
    partitions: Vec<(TopicPartition, i32)>,
}

/// What is known of the partitions of a Produce before its batches are appended.
#[derive(Clone, Default)]
pub struct Looked {
    guards: VecMap<TopicPartition, Guard>,
    errors: VecMap<TopicPartition, ErrorCode>,
    /// Who asks knows what CONCURRENT_TRANSACTIONS is.
    knows_concurrent: bool,
}

impl Looked {
    /// Under which guard a batch is appended, if under any; or why it is not.
    pub(super) fn guard(&self, partition: &TopicPartition) -> Result<Option<Guard>, Refused> {
        use ErrorCode::*;
        let Some(&error) = self.errors.get(partition) else { return Ok(self.guards.get(partition).copied()) };
        let unable = || {
            let underlying = error::name(error.code());
            let message = format!(
                "Unable to verify the partition has been added to the transaction. Underlying error: {underlying}"
            );
            Refused::told(NotEnoughReplicas, message)
        };
        Err(match error {
            InvalidTxnState => Refused::told(error, "Partition was not added to the transaction".to_owned()),
            // What not all producers know to be worth another try becomes what they do.
            NetworkException | CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator => unable(),
            ConcurrentTransactions if !self.knows_concurrent => unable(),
            error => Refused::plain(error),
        })
    }
}

impl Holds {
    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.by_conn.values().map(|hold| 1 + hold.later.len()).sum()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.retries.first().map(|&(at, _)| at)
    }

    /// Keeps a request back that comes after one that is held.
    pub fn queue(&mut self, held: Held) -> Option<Held> {
        match self.by_conn.get_mut(&held.asked.ticket.conn) {
            Some(hold) => {
                hold.later.push_back(held);
                None
            }
            None => Some(held),
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.by_conn.remove(&conn);
        self.retries.retain(|(_, one)| *one != conn);
    }
}

/// What a Produce says of its transaction; `None` where it is in none.
///
/// Errors: `InvalidProducerIdMapping`.
fn transaction(broker: &Broker, held: &Held) -> Result<Option<Transaction>, ErrorCode> {
    let Some(id) = &held.body.transactional_id else { return Ok(None) };
    let (mut producer, mut several) = (None, false);
    let mut partitions = Vec::new();
    for (name, batch) in named(broker, held.asked.version, &held.body).zip(&held.batches) {
        if let (Some(name), Ok(checked)) = (name, batch)
            && checked.batch.header.is_transactional()
            && checked.batch.header.producer_id >= 0
        {
            let header = &checked.batch.header;
            let own = Producer { id: header.producer_id, epoch: header.producer_epoch };
            several |= *producer.get_or_insert(own) != own;
            partitions.push((name, header.base_sequence));
        }
    }
    let Some(producer) = producer else { return Ok(None) };
    if several {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let operation = Operation::of_produce(held.asked.version);
    let looks = operation.adds() || broker.settings.transactions.verification_enable;
    let id = id.as_str().into();
    Ok(looks.then_some(Transaction { id, producer, operation, partitions }))
}

/// The partitions of a Produce, in its order; `None` for those that are not there.
fn named(broker: &Broker, version: i16, body: &ProduceRequest) -> impl Iterator<Item = Option<TopicPartition>> {
    body.topic_data.iter().flat_map(move |topic| {
        let name = broker.topic_name(version >= 13, &topic.name, topic.topic_id).ok();
        topic.partition_data.iter().map(move |partition| {
            let known = name.as_ref().filter(|name| broker.assignment(name, partition.index).is_some());
            // A name of its own, since this one is part of the request's buffer.
            let (known, _) = broker.cluster.topics.get_key_value(known?)?;
            Some(TopicPartition::new(known.clone(), partition.index))
        })
    })
}

impl Broker {
    /// Appends the batches of a Produce that is part of a transaction, now or when its coordinator has spoken.
    pub(super) fn look_at_transaction(&mut self, held: Held, out: &mut Vec<Effect>) {
        let transaction = match transaction(self, &held) {
            Ok(Some(transaction)) => transaction,
            Ok(None) => return super::append_all(self, held, Before::Nothing, out),
            Err(error) => return super::append_all(self, held, Before::Refused(error), out),
        };
        let looked = self.begin_verifications(&transaction);
        if looked.guards.is_empty() {
            return super::append_all(self, held, Before::Looked(&looked), out);
        }
        let conn = held.asked.ticket.conn;
        let question = transaction.question(conn, &looked);
        let now = self.now;
        let patience = self.settings.transactions.add_partitions_retry_backoff_max.min(self.settings.request_timeout);
        let give_up = now.instant + patience;
        self.holds.by_conn.insert(conn, Hold { first: held, transaction, looked, give_up, later: VecDeque::new() });
        self.verify(now, question, out);
    }

    /// Begins to verify where the transaction is not open already.
    fn begin_verifications(&mut self, transaction: &Transaction) -> Looked {
        let Transaction { producer, operation, .. } = transaction;
        let now = self.now;
        let mut looked = Looked { knows_concurrent: operation.adds(), ..Looked::default() };
        for (name, sequence) in &transaction.partitions {
            let begun = self.begin_verification(now, name, *producer, *sequence, *operation);
            match begun {
                Ok(Some(guard)) => drop(looked.guards.insert(name.clone(), guard)),
                Ok(None) => {}
                Err(error) => drop(looked.errors.insert(name.clone(), error)),
            }
        }
        looked
    }

    /// `None` where the producer's transaction is open in that partition.
    ///
    /// Errors: those of a partition that is not led here; `InvalidProducerEpoch`.
    pub(in crate::broker) fn begin_verification(
        &mut self,
        now: Now,
        name: &TopicPartition,
        producer: Producer,
        sequence: i32,
        operation: Operation,
    ) -> Result<Option<Guard>, ErrorCode> {
        let log = self.hosted(&name.topic, name.partition)?;
        let partition = self.partition_mut(log).ok_or(ErrorCode::NotLeaderOrFollower)?;
        partition.led_in(-1)?;
        let producers = partition.log.producers_mut();
        let begun = producers.begin_verification(now.wall, producer.id, producer.epoch, sequence, operation.adds());
        begun.map_err(|Invalid { error, .. }| error)
    }

    /// The coordinator has said who may write.
    pub(in crate::broker) fn produce_verified(&mut self, conn: ConnId, verdict: Verdict, out: &mut Vec<Effect>) {
        let now = self.now.instant;
        let Some(hold) = self.holds.by_conn.get_mut(&conn) else { return };
        hold.looked.errors.extend(verdict);
        let concurrent = hold.looked.errors.values().any(|error| *error == ErrorCode::ConcurrentTransactions);
        if concurrent && hold.transaction.operation.adds() && now < hold.give_up {
            let at = now + self.settings.transactions.add_partitions_retry_backoff;
            self.holds.retries.insert((at, conn));
            return;
        }
        self.release(conn, out);
    }

    /// Asks again, where it was too early.
    pub(in crate::broker) fn retry_verifications(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(&(_, conn)) = self.holds.retries.first().filter(|(at, _)| *at <= now.instant) {
            self.holds.retries.pop_first();
            let Some(hold) = self.holds.by_conn.get(&conn) else { continue };
            let transaction = hold.transaction.clone();
            let looked = self.begin_verifications(&transaction);
            let question = (!looked.guards.is_empty()).then(|| transaction.question(conn, &looked));
            if let Some(hold) = self.holds.by_conn.get_mut(&conn) {
                hold.looked = looked;
            }
            match question {
                Some(question) => self.verify(now, question, out),
                None => self.release(conn, out),
            }
        }
    }

    /// A Produce goes on, and those that came after it.
    fn release(&mut self, conn: ConnId, out: &mut Vec<Effect>) {
        let Some(Hold { mut first, looked, mut later, .. }) = self.holds.by_conn.remove(&conn) else { return };
        first.asked.now = self.now;
        super::append_all(self, first, Before::Looked(&looked), out);
        while let Some(mut next) = later.pop_front() {
            next.asked.now = self.now;
            super::produce(self, next, out);
            // It may have to wait itself.
            if let Some(hold) = self.holds.by_conn.get_mut(&conn) {
                hold.later = later;
                return;
            }
        }
    }
}

impl Transaction {
    fn question(&self, conn: ConnId, looked: &Looked) -> Question {
        Question {
            whom: Whom::Produce(conn),
            id: self.id.clone(),
            producer: self.producer,
            partitions: looked.guards.keys().cloned().collect(),
            operation: self.operation,
        }
    }
}
