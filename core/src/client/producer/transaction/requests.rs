//! What a producer asks of coordinators, one after the other, and what it makes of their answers.
//!
//! Finding a coordinator comes before all else, an end comes when all else is done, and a request that failed in passing
//! waits for its back-off and goes again.

use std::sync::Arc;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, EndTxnRequest,
    EndTxnResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse,
    RequestKind, ResponseKind, TopicName, TransactionalId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Awaits, State, TransactionManager};
use crate::client::exception::{Exception, is_retriable};
use crate::client::producer::Tag;
use crate::client::producer::accumulator::{Accumulator, QueueId};
use crate::client::producer::sender::Around;
use crate::client::producer::sequences::ProducerIdAndEpoch;
use crate::client::{Endpoint, NextOffset, Offsets};
use crate::error::ErrorCode;
use crate::time::Duration;

/// `ADD_PARTITIONS_RETRY_BACKOFF_MS`: the transaction before is not over yet, and soon will be.
const SOON: Duration = Duration::from_millis(20);
/// The last versions of before KIP-890's second part.
const LAST_END_V1: i16 = 4;
const LAST_OFFSETS_V1: i16 = 4;
/// The last version of AddPartitionsToTxn that is for clients.
const LAST_FOR_CLIENTS: i16 = 3;
/// `CoordinatorType`.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The coordinator of the transaction, or of a group.
    Find(Option<StrBytes>),
    InitProducerId {
        bump: bool,
    },
    AddPartitions,
    AddOffsets(Arc<Offsets>),
    CommitOffsets(Arc<Offsets>),
    EndTxn {
        commit: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Queued {
    asked: Asked,
    again: bool,
    /// Instead of `retry.backoff.ms`.
    backoff: Option<Duration>,
}

/// Whom a request goes to.
enum Whom {
    Anybody,
    Coordinator,
    GroupCoordinator(StrBytes),
}

impl Asked {
    /// Lower ones go first.
    fn priority(&self) -> u8 {
        match self {
            Asked::Find(_) => 0,
            Asked::InitProducerId { bump: false } => 1,
            Asked::AddPartitions | Asked::AddOffsets(_) | Asked::CommitOffsets(_) => 2,
            Asked::EndTxn { .. } => 3,
            Asked::InitProducerId { bump: true } => 4,
        }
    }

    fn awaited(&self) -> Option<Awaits> {
        match self {
            Asked::InitProducerId { .. } => Some(Awaits::ProducerId),
            Asked::EndTxn { .. } => Some(Awaits::End),
            Asked::AddOffsets(_) | Asked::CommitOffsets(_) => Some(Awaits::Offsets),
            Asked::Find(_) | Asked::AddPartitions => None,
        }
    }
}

impl TransactionManager {
    pub(super) fn enqueue(&mut self, asked: Asked) {
        self.queue.push(Queued { asked, again: false, backoff: None });
    }

    fn again(&mut self, queued: Queued) {
        self.queue.push(Queued { again: true, ..queued });
    }

    /// Sends what is next, if it can go: one at a time; true while batches have to wait for it.
    pub fn ask(&mut self, around: &mut Around<'_>, has_incomplete_batches: bool) -> bool {
        if self.in_flight.is_some() {
            return true;
        }
        if !self.new.is_empty() {
            self.enqueue(Asked::AddPartitions);
            self.adding.append(&mut self.new);
        }
        while let Some(at) = self.next(has_incomplete_batches) {
            let queued = self.queue.remove(at);
            if self.is_hopeless(&queued) {
                continue;
            }
            if matches!(queued.asked, Asked::EndTxn { .. }) && !self.started {
                // Nobody knows of this transaction.
                self.completed();
                self.settle(Awaits::End, Ok(()));
                continue;
            }
            if queued.again && around.now < self.not_before {
                self.queue.insert(0, queued);
                return true;
            }
            if self.send(around, queued) {
                return true;
            }
        }
        false
    }

    /// When what waits for its back-off may go.
    pub fn deadline(&self) -> Option<crate::time::Instant> {
        (self.in_flight.is_none() && self.queue.iter().any(|queued| queued.again)).then_some(self.not_before)
    }

    fn next(&self, has_incomplete_batches: bool) -> Option<usize> {
        let (at, first) = self.queue.iter().enumerate().min_by_key(|(at, queued)| (queued.asked.priority(), *at))?;
        (!matches!(first.asked, Asked::EndTxn { .. }) || !has_incomplete_batches).then_some(at)
    }

    /// `maybeTerminateRequestWithError`.
    fn is_hopeless(&mut self, queued: &Queued) -> bool {
        let Some(error) = self.last_error.clone().filter(|_| self.has_fatal_error() || self.has_abortable_error())
        else {
            return false;
        };
        if self.has_abortable_error() && matches!(queued.asked, Asked::Find(_)) {
            return false;
        }
        if let Some(awaited) = queued.asked.awaited() {
            self.settle(awaited, Err(error));
        }
        true
    }

    /// False where something else must be asked first.
    fn send(&mut self, around: &mut Around<'_>, queued: Queued) -> bool {
        let whom = self.whom(&queued.asked);
        let link = match &whom {
            Whom::Anybody => around.metadata.anybody(around.now, around.network, around.out),
            Whom::Coordinator => self.coordinator,
            Whom::GroupCoordinator(_) => self.group_coordinator,
        };
        let Some(link) = link else {
            match whom {
                // A connection is on its way.
                Whom::Anybody => {
                    self.queue.insert(0, queued);
                    return true;
                }
                Whom::Coordinator => self.look_up(None, queued),
                Whom::GroupCoordinator(group) => self.look_up(Some(group), queued),
            }
            return false;
        };
        if !around.network.connect(around.now, link, around.out) {
            if around.network.is_backing_off(around.now, link) && !matches!(whom, Whom::Anybody) {
                // It may be another one by now.
                self.not_before = around.now + around.settings.connection.retry_backoff.least;
                let group = if let Whom::GroupCoordinator(group) = whom { Some(group) } else { None };
                self.look_up(group, queued);
                self.queue.iter_mut().for_each(|queued| queued.again = true);
            } else {
                self.queue.insert(0, queued);
            }
            return true;
        }
        if matches!(whom, Whom::Coordinator) {
            self.bumps_epochs =
                around.network.version(link, ApiKey::InitProducerId).is_some_and(|version| version >= 3);
        }
        let (api, body) = self.body(&queued.asked, around.accumulator);
        let Some(version) = around.network.version(link, api).map(|version| self.limited(api, version)) else {
            self.fatal(Exception::of(ErrorCode::UnsupportedVersion, None));
            return true;
        };
        let body = match body {
            RequestKind::FindCoordinator(body) if version < 4 => {
                let key = body.coordinator_keys.first().cloned().unwrap_or_default();
                RequestKind::FindCoordinator(body.with_key(key).with_coordinator_keys(Vec::new()))
            }
            body => body,
        };
        around.network.send(around.now, link, (api, version), body, Some(Tag::Transaction), around.out);
        self.in_flight = Some(queued);
        true
    }

    fn whom(&self, asked: &Asked) -> Whom {
        match asked {
            Asked::Find(_) => Whom::Anybody,
            Asked::InitProducerId { .. } if !self.is_transactional() => Whom::Anybody,
            Asked::CommitOffsets(offsets) => Whom::GroupCoordinator(StrBytes::from_string(offsets.group.clone())),
            _ => Whom::Coordinator,
        }
    }

    /// `None` is the transaction's.
    fn look_up(&mut self, group: Option<StrBytes>, then: Queued) {
        match group {
            None => self.coordinator = None,
            Some(_) => self.group_coordinator = None,
        }
        let find = Asked::Find(group);
        if !self.queue.iter().any(|queued| queued.asked == find) {
            self.enqueue(find);
        }
        self.again(then);
    }

    fn limited(&self, api: ApiKey, version: i16) -> i16 {
        match api {
            ApiKey::AddPartitionsToTxn => version.min(LAST_FOR_CLIENTS),
            ApiKey::EndTxn if !self.is_v2 => version.min(LAST_END_V1),
            ApiKey::TxnOffsetCommit if !self.is_v2 => version.min(LAST_OFFSETS_V1),
            _ => version,
        }
    }

    fn body(&self, asked: &Asked, accumulator: &Accumulator) -> (ApiKey, RequestKind) {
        let own = TransactionalId(self.transactional_id.clone().unwrap_or_default());
        let ProducerIdAndEpoch { id, epoch } = self.producer;
        match asked {
            Asked::Find(group) => {
                let key_type = if group.is_some() { GROUP } else { TRANSACTION };
                let key = group.clone().unwrap_or(own.0);
                let body = FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![key]);
                (ApiKey::FindCoordinator, body.into())
            }
            Asked::InitProducerId { bump } => {
                let (id, epoch) = if *bump { (id, epoch) } else { (-1, -1) };
                let timeout = if self.is_transactional() { self.timeout_ms } else { i32::MAX };
                let body = InitProducerIdRequest::default()
                    .with_transactional_id(self.is_transactional().then_some(own))
                    .with_transaction_timeout_ms(timeout)
                    .with_producer_id(id.into())
                    .with_producer_epoch(epoch);
                (ApiKey::InitProducerId, body.into())
            }
            Asked::AddPartitions => {
                let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
                for id in &self.adding {
                    let name = &accumulator.queues(id.topic).topic;
                    match topics.last_mut().filter(|topic| topic.name == *name) {
                        Some(topic) => topic.partitions.push(id.partition as i32),
                        None => topics.push(
                            AddPartitionsToTxnTopic::default()
                                .with_name(name.clone())
                                .with_partitions(vec![id.partition as i32]),
                        ),
                    }
                }
                let body = AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(own)
                    .with_v3_and_below_producer_id(id.into())
                    .with_v3_and_below_producer_epoch(epoch)
                    .with_v3_and_below_topics(topics);
                (ApiKey::AddPartitionsToTxn, body.into())
            }
            Asked::AddOffsets(offsets) => {
                let body = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(own)
                    .with_producer_id(id.into())
                    .with_producer_epoch(epoch)
                    .with_group_id(StrBytes::from_string(offsets.group.clone()).into());
                (ApiKey::AddOffsetsToTxn, body.into())
            }
            Asked::CommitOffsets(offsets) => {
                let text = |text: &str| StrBytes::from_string(text.to_owned());
                let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
                for NextOffset { topic, partition, offset, leader_epoch } in &offsets.offsets {
                    let partition = TxnOffsetCommitRequestPartition::default()
                        .with_partition_index(*partition)
                        .with_committed_offset(*offset)
                        .with_committed_leader_epoch(*leader_epoch)
                        .with_committed_metadata(Some(StrBytes::default()));
                    match topics.last_mut().filter(|known| *known.name.0 == **topic) {
                        Some(known) => known.partitions.push(partition),
                        None => {
                            let topic = TxnOffsetCommitRequestTopic::default().with_name(TopicName(text(topic)));
                            topics.push(topic.with_partitions(vec![partition]));
                        }
                    }
                }
                let body = TxnOffsetCommitRequest::default()
                    .with_transactional_id(own)
                    .with_group_id(text(&offsets.group).into())
                    .with_producer_id(id.into())
                    .with_producer_epoch(epoch)
                    .with_generation_id(offsets.generation)
                    .with_member_id(text(&offsets.member))
                    .with_topics(topics);
                (ApiKey::TxnOffsetCommit, body.into())
            }
            Asked::EndTxn { commit } => {
                let body = EndTxnRequest::default()
                    .with_transactional_id(own)
                    .with_producer_id(id.into())
                    .with_producer_epoch(epoch)
                    .with_committed(*commit);
                (ApiKey::EndTxn, body.into())
            }
        }
    }

    /// No answer will come.
    pub fn lost(&mut self, around: &mut Around<'_>) {
        let Some(queued) = self.in_flight.take() else { return };
        self.back_off(around, &queued);
        match self.whom(&queued.asked) {
            Whom::Anybody => self.again(queued),
            Whom::Coordinator => self.look_up(None, queued),
            Whom::GroupCoordinator(group) => self.look_up(Some(group), queued),
        }
    }

    pub fn answered(&mut self, around: &mut Around<'_>, body: ResponseKind) {
        let Some(queued) = self.in_flight.take() else { return };
        match (queued.asked.clone(), body) {
            (Asked::Find(group), ResponseKind::FindCoordinator(body)) => self.found(around, queued, group, &body),
            (Asked::InitProducerId { bump }, ResponseKind::InitProducerId(body)) => {
                self.identified(around, queued, bump, &body);
            }
            (Asked::AddPartitions, ResponseKind::AddPartitionsToTxn(body)) => {
                self.partitions_added(around, queued, &body)
            }
            (Asked::AddOffsets(offsets), ResponseKind::AddOffsetsToTxn(body)) => {
                match ErrorCode::try_from_code(body.error_code) {
                    None => {
                        self.enqueue(Asked::CommitOffsets(offsets));
                        self.started = true;
                    }
                    Some(error) => self.refused(around, queued, error, "Unexpected error in AddOffsetsToTxnResponse"),
                }
            }
            (Asked::CommitOffsets(_), ResponseKind::TxnOffsetCommit(body)) => {
                self.offsets_committed(around, queued, &body)
            }
            (Asked::EndTxn { .. }, ResponseKind::EndTxn(body)) => self.ended(around, queued, &body),
            // An answer of another kind is none.
            _ => {
                self.in_flight = Some(queued);
                self.lost(around);
            }
        }
    }

    fn found(
        &mut self,
        around: &mut Around<'_>,
        queued: Queued,
        group: Option<StrBytes>,
        body: &FindCoordinatorResponse,
    ) {
        let (error, host, port, message) = match body.coordinators.first() {
            Some(found) => (found.error_code, &found.host, found.port, &found.error_message),
            None => (body.error_code, &body.host, body.port, &body.error_message),
        };
        match (ErrorCode::try_from_code(error), &group) {
            (None, _) => {
                let endpoint = Endpoint { host: host.to_string(), port: port as u16 };
                let link = around.network.link(&endpoint);
                match group {
                    None => self.coordinator = Some(link),
                    Some(_) => self.group_coordinator = Some(link),
                }
            }
            (Some(error), _) if error.is_retriable() => {
                self.back_off(around, &queued);
                self.again(queued);
            }
            (Some(error @ ErrorCode::TransactionAbortable), _) => self.abortable(Exception::of(error, None)),
            (Some(error @ ErrorCode::TransactionalIdAuthorizationFailed), _) => self.fatal(Exception::of(error, None)),
            (Some(error @ ErrorCode::GroupAuthorizationFailed), Some(_)) => self.abortable(Exception::of(error, None)),
            (Some(_), group) => {
                let kind = if group.is_some() { "GROUP" } else { "TRANSACTION" };
                let key = group.as_ref().or(self.transactional_id.as_ref()).map_or("", |key| key);
                let message = message.as_deref().unwrap_or("null");
                self.fatal(Exception::kafka(format!(
                    "Could not find a coordinator with type {kind} with key {key} due to unexpected error: {message}"
                )));
            }
        }
    }

    fn identified(&mut self, around: &mut Around<'_>, queued: Queued, bump: bool, body: &InitProducerIdResponse) {
        match ErrorCode::try_from_code(body.error_code) {
            None => {
                self.producer = ProducerIdAndEpoch { id: body.producer_id.0, epoch: body.producer_epoch };
                (self.state, self.last_error) = (State::Ready, None);
                self.is_v2 = around.network.features().is_some_and(|(_, level)| level >= 2);
                if bump {
                    self.partitions.clear();
                }
                self.settle(Awaits::ProducerId, Ok(()));
            }
            Some(error) => self.refused(around, queued, error, "Unexpected error in InitProducerIdResponse"),
        }
    }

    fn partitions_added(&mut self, around: &mut Around<'_>, queued: Queued, body: &AddPartitionsToTxnResponse) {
        let mut errors = Vec::new();
        let mut answered = Vec::new();
        for topic in &body.results_by_topic_v3_and_below {
            for partition in &topic.results_by_partition {
                let id = QueueId {
                    topic: around.accumulator.place(&topic.name).unwrap_or(usize::MAX),
                    partition: partition.partition_index as usize,
                };
                answered.push(id);
                match ErrorCode::try_from_code(partition.partition_error_code) {
                    None => {}
                    Some(
                        error @ (ErrorCode::OperationNotAttempted
                        | ErrorCode::TopicAuthorizationFailed
                        | ErrorCode::InvalidTopicException),
                    ) => {
                        errors.push(format!("{}-{}={error:?}", topic.name.0, partition.partition_index));
                    }
                    Some(error) => return self.refused(around, queued, error, "Could not add partitions"),
                }
            }
        }
        self.adding.retain(|id| !answered.contains(id));
        if errors.is_empty() {
            self.added.extend(answered);
            self.started = true;
        } else {
            let errors = errors.join(", ");
            let message = format!("Could not add partitions to transaction due to errors: {{{errors}}}");
            self.abortable(Exception::kafka(message));
        }
    }

    fn offsets_committed(&mut self, around: &mut Around<'_>, queued: Queued, body: &TxnOffsetCommitResponse) {
        let codes = body.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        let errors: Vec<ErrorCode> = codes.filter_map(ErrorCode::try_from_code).collect();
        let Some(error) = errors.iter().find(|error| !is_retriable(**error)).or(errors.first()).copied() else {
            return self.settle(Awaits::Offsets, Ok(()));
        };
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                let why = crate::error::message(error);
                let message =
                    format!("Transaction offset Commit failed due to consumer group metadata mismatch: {why}");
                self.give_up(Awaits::Offsets, Exception::new("CommitFailedException", message));
            }
            ErrorCode::FencedInstanceId | ErrorCode::GroupAuthorizationFailed => {
                self.give_up(Awaits::Offsets, Exception::of(error, None));
            }
            error => self.refused(around, queued, error, "Unexpected error in TxnOffsetCommitResponse"),
        }
    }

    fn ended(&mut self, around: &mut Around<'_>, queued: Queued, body: &EndTxnResponse) {
        let Some(error) = ErrorCode::try_from_code(body.error_code) else {
            if body.producer_id.0 >= 0 {
                self.producer = ProducerIdAndEpoch { id: body.producer_id.0, epoch: body.producer_epoch };
                self.partitions.clear();
            }
            self.completed();
            return self.settle(Awaits::End, Ok(()));
        };
        self.refused(around, queued, error, "Unhandled error in EndTxnResponse");
    }

    /// What all answers have in common that are errors.
    fn refused(&mut self, around: &mut Around<'_>, queued: Queued, error: ErrorCode, unexpected: &str) {
        let awaited = queued.asked.awaited();
        let exception = Exception::of(error, None);
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.back_off(around, &queued);
                match self.whom(&queued.asked) {
                    Whom::Anybody => self.again(queued),
                    Whom::Coordinator => self.look_up(None, queued),
                    Whom::GroupCoordinator(group) => self.look_up(Some(group), queued),
                }
            }
            ErrorCode::ConcurrentTransactions if queued.asked == Asked::AddPartitions && self.added.is_empty() => {
                let queued = Queued { backoff: Some(SOON), ..queued };
                self.back_off(around, &queued);
                self.again(queued);
            }
            error if is_retriable(error) => {
                self.back_off(around, &queued);
                self.again(queued);
            }
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
                self.fatal(Exception::of(ErrorCode::ProducerFenced, None));
            }
            ErrorCode::TransactionAbortable if queued.asked == (Asked::EndTxn { commit: false }) => {
                self.fatal(Exception::kafka("Failed to abort transaction").caused_by(&exception));
            }
            ErrorCode::TransactionAbortable => self.give_up_or(awaited, exception),
            ErrorCode::UnknownProducerId
                if !matches!(queued.asked, Asked::InitProducerId { .. } | Asked::CommitOffsets(_)) =>
            {
                if self.bumps_epochs || self.is_v2 {
                    self.epoch_bump_required = self.bumps_epoch_itself();
                    self.give_up_or(awaited, exception);
                } else {
                    self.fatal(exception);
                }
            }
            ErrorCode::InvalidTxnState
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::TransactionalIdAuthorizationFailed
                if !matches!(queued.asked, Asked::InitProducerId { .. }) =>
            {
                self.fatal(exception);
            }
            _ if queued.asked == Asked::AddPartitions => {
                self.adding.clear();
                let message = format!("Could not add partitions to transaction due to errors: {{{error:?}}}");
                self.abortable(Exception::kafka(message));
            }
            _ => self.fatal(Exception::kafka(format!("{unexpected}; {}", exception.message))),
        }
    }

    fn give_up_or(&mut self, awaited: Option<Awaits>, exception: Exception) {
        match awaited {
            Some(awaited) => self.give_up(awaited, exception),
            None => self.abortable(exception),
        }
    }

    fn give_up(&mut self, awaited: Awaits, exception: Exception) {
        self.settle(awaited, Err(exception.clone()));
        self.abortable(exception);
    }

    fn back_off(&mut self, around: &mut Around<'_>, queued: &Queued) {
        let wait = around.settings.connection.retry_backoff.least;
        self.not_before = around.now + queued.backoff.unwrap_or(wait);
    }
}
