//! The sender: takes ready batches to the brokers that lead their partitions, and what they answer back.
//!
//! 1. With `max.in.flight.requests.per.connection=1` a partition has at most one batch in flight, and what comes back
//!    goes first again, so the order of sending is the order in the log. With more, and without idempotence, a batch
//!    that comes back may be overtaken: that is Kafka's behaviour too.
//! 2. A batch ends in exactly one of: acknowledged, or failed. Its records end with it.
//! 3. An answer for a batch that has been given up meanwhile changes nothing.
//! 4. With idempotence a batch that comes back waits until it is the next, and none overtakes it.

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, RequestKind, TopicName, TransactionalId};
use uuid::Uuid;

use super::accumulator::{Accumulator, ProducerBatch, QueueId};
use super::sequences::Stamp;
use super::settings::Settings;
use super::transaction::{Batches, Bump, Refusal, TransactionManager};
use super::{Counts, Tag};
use crate::arrange::Arrange;
use crate::client::connection::{LinkId, Network};
use crate::client::exception::Exception;
use crate::client::metadata::Metadata;
use crate::client::{Effect, Endpoint, Report};
use crate::error::{self, ErrorCode};
use crate::id::TopicPartition;
use crate::rng::Stream;
use crate::time::Instant;
use crate::vec_map::VecMap;

/// The last version of Produce that names topics; later ones give their ids.
const LAST_WITH_NAMES: i16 = 12;
/// The last with which a leader does not add partitions to transactions.
const LAST_BEFORE_KIP_890: i16 = 11;

#[derive(Clone, Debug)]
pub struct Sender {
    /// With idempotence.
    pub transactions: Option<Box<TransactionManager>>,
    /// The producer is being closed: nobody lingers.
    pub hurries: bool,
    /// By number, as the requests' tags name them.
    in_flight: VecMap<u64, (QueueId, ProducerBatch)>,
    next: u64,
    /// Which partition of a node is drained first, so that none starves.
    turn: usize,
    /// When there is something to do next, as the last look showed.
    wake: Option<Instant>,
    dice: Stream,
}

/// What the sender works with.
pub struct Around<'a> {
    pub now: Instant,
    pub settings: &'a Settings,
    pub accumulator: &'a mut Accumulator,
    pub network: &'a mut Network<Tag>,
    pub metadata: &'a mut Metadata,
    pub counts: &'a mut Counts,
    pub out: &'a mut Vec<Effect>,
}

impl Sender {
    pub fn new(transactions: Option<TransactionManager>, dice: Stream) -> Self {
        let transactions = transactions.map(Box::new);
        Sender { transactions, hurries: false, in_flight: VecMap::new(), next: 0, turn: 0, wake: None, dice }
    }

    /// Batches that wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// They, the oldest first.
    pub fn flying(&self) -> impl Iterator<Item = &(QueueId, ProducerBatch)> {
        self.in_flight.values()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    /// Asks coordinators what must be asked first, gives up what is too old and sends what is ready.
    pub fn send(&mut self, around: &mut Around<'_>) {
        if self.transact(around) {
            let retry = self.transactions.as_deref().and_then(TransactionManager::deadline);
            self.wake = retry.filter(|at| *at > around.now);
            return;
        }
        self.expire(around);
        loop {
            let ready = self.ready(around);
            if ready.is_empty() {
                break;
            }
            ready.into_iter().for_each(|link| self.drain(around, link));
        }
        self.wake = self.next_wake(around);
    }

    /// What an idempotent producer does before it sends; true where no batch may go now.
    fn transact(&mut self, around: &mut Around<'_>) -> bool {
        let Some(mut manager) = self.transactions.take() else { return false };
        manager.resolve(&mut self.batches(around));
        let waits = if manager.has_fatal_error() {
            self.abort(around, &manager, true);
            true
        } else {
            if let Some(bump) = manager.bump_if_needed(&mut self.batches(around)) {
                around.begun_anew(bump);
            }
            if manager.has_abortable_error() || manager.is_aborting() {
                self.abort(around, &manager, false);
            }
            let incomplete = !self.in_flight.is_empty() || around.accumulator.waiting().next().is_some();
            manager.ask(around, incomplete)
        };
        self.transactions = Some(manager);
        waits
    }

    /// Gives batches up: all, or those that were never sent.
    fn abort(&mut self, around: &mut Around<'_>, manager: &TransactionManager, sent: bool) {
        let aborted = || Exception::new("TransactionAbortedException", "Failing batch since transaction was aborted");
        let why = manager.last_error().map_or_else(aborted, Exception::clone);
        let waiting: Vec<QueueId> = around.accumulator.waiting().map(|(id, ..)| id).collect();
        for id in waiting {
            for batch in around.accumulator.take_all(id, sent) {
                around.fail(id, &batch, |_| why.clone());
            }
        }
        if sent {
            for (id, batch) in std::mem::take(&mut self.in_flight).into_values() {
                around.fail(id, &batch, |_| why.clone());
            }
        }
    }

    fn batches<'a>(&'a mut self, around: &'a mut Around<'_>) -> Batches<'a> {
        Batches { in_flight: &mut self.in_flight, accumulator: around.accumulator }
    }

    /// (4) Whether the first batch of a queue has to wait.
    fn holds(&self, id: QueueId, first: &ProducerBatch) -> bool {
        self.transactions.as_ref().is_some_and(|manager| manager.holds(id, first, self.stamps(id)))
    }

    /// Those of a partition's batches that are in flight.
    fn stamps(&self, id: QueueId) -> impl Iterator<Item = Stamp> {
        self.in_flight.values().filter(move |(of, _)| *of == id).filter_map(|(_, batch)| batch.stamp)
    }

    /// Nobody lingers: a call waits for memory, or for the end of the transaction.
    fn hurries(&self, around: &Around<'_>) -> bool {
        let completing = self.transactions.as_deref().is_some_and(TransactionManager::is_completing);
        self.hurries || around.accumulator.is_exhausted() || completing
    }

    /// Fails the batches for which `delivery.timeout.ms` is over, waiting or in flight.
    fn expire(&mut self, around: &mut Around<'_>) {
        let now = around.now;
        let patience = around.settings.delivery_timeout;
        if now < Instant::ZERO + patience {
            return;
        }
        let before = Instant::from_nanos(now.as_nanos() - patience.as_nanos() as u64);
        let old = |batch: &ProducerBatch| batch.created <= before;
        let waiting = around.accumulator.waiting().any(|(_, _, queue)| queue.first().is_some_and(old));
        if !waiting && !self.in_flight.values().any(|(_, batch)| old(batch)) {
            return;
        }
        let mut expired = Vec::new();
        let waiting: Vec<QueueId> = around.accumulator.waiting().map(|(id, ..)| id).collect();
        for id in waiting {
            while let Some(batch) = around.accumulator.queue_mut(id).expired(before) {
                expired.push((id, batch, 0));
            }
        }
        let numbers: Vec<u64> =
            self.in_flight.iter().filter(|(_, (_, batch))| batch.created <= before).map(|(n, _)| *n).collect();
        // (3) Their requests stay in flight; the answers find nothing.
        for (id, batch) in numbers.into_iter().filter_map(|number| self.in_flight.remove(&number)) {
            around.accumulator.queue_mut(id).muted = false;
            expired.push((id, batch, 1));
        }
        for (id, batch, first_try) in expired {
            let error = format!(
                "Expiring {} record(s) for {}:{} ms has passed since batch creation. The request has not been sent, or \
                 no server response has been received yet.",
                batch.sequences.len(),
                around.partition(id),
                now.since(batch.created).as_millis(),
            );
            let error = Exception::new("TimeoutException", error);
            around.fail(id, &batch, |_| error.clone());
            self.given_up(around, id, &batch, &error, false);
            // It came back before, and whether it was written nobody knows.
            if let Some(manager) = self.transactions.as_mut().filter(|_| batch.attempts > first_try) {
                manager.mark_unresolved(id, &batch);
            }
        }
    }

    fn given_up(
        &mut self,
        around: &mut Around<'_>,
        id: QueueId,
        batch: &ProducerBatch,
        exception: &Exception,
        adjust: bool,
    ) {
        let Some(mut manager) = self.transactions.take() else { return };
        manager.failed(id, batch, exception, adjust, &mut self.batches(around));
        self.transactions = Some(manager);
    }

    /// The links over which a batch can go now; others are being connected to.
    fn ready(&mut self, around: &mut Around<'_>) -> Vec<LinkId> {
        let hurry = self.hurries(around);
        let (mut links, mut leaderless) = (Vec::new(), Vec::new());
        for (id, topic, queue) in around.accumulator.waiting() {
            let Some((link, epoch)) = around.metadata.leader(topic, id.partition as i32) else {
                leaderless.push(topic);
                continue;
            };
            let hurry = hurry || around.accumulator.is_flushed(queue);
            let ready = queue.ready_at(around.settings, epoch, hurry).is_some_and(|at| at <= around.now);
            let is_held = || queue.first().is_some_and(|first| self.holds(id, first));
            if ready && !queue.muted && !links.contains(&link) && !is_held() {
                links.push(link);
            }
        }
        if !leaderless.is_empty() {
            leaderless.into_iter().for_each(|topic| around.metadata.want(around.now, topic));
            around.metadata.stale(around.now);
        }
        links.retain(|link| around.network.connect(around.now, *link, around.out));
        links.retain(|link| around.network.in_flight(*link) < around.settings.max_in_flight);
        links
    }

    /// One request to one broker: the first batch of every partition that it leads, as many as `max.request.size`
    /// takes. Whoever is first goes along although it has not lingered: the request goes anyway.
    fn drain(&mut self, around: &mut Around<'_>, link: LinkId) {
        let mut led: Vec<QueueId> = Vec::new();
        for (id, topic, queue) in around.accumulator.waiting() {
            let leader = around.metadata.leader(topic, id.partition as i32);
            let Some((_, epoch)) = leader.filter(|(leader, _)| *leader == link) else { continue };
            let may_go = |first: &ProducerBatch| first.backed_off_at(epoch) <= around.now && !self.holds(id, first);
            if queue.first().is_some_and(may_go) && !queue.muted {
                led.push(id);
            }
        }
        if led.is_empty() {
            return;
        }
        self.turn += 1;
        let first = self.turn % led.len();
        led.rotate_left(first);
        let (mut size, mut batches) = (0, Vec::with_capacity(led.len()));
        for id in led {
            let next = around.accumulator.queue_mut(id).first().map_or(0, ProducerBatch::size);
            if size + next > around.settings.max_request_size && !batches.is_empty() {
                break;
            }
            size += next;
            let Some(mut batch) = around.accumulator.take(id) else { continue };
            let topic = &around.accumulator.queues(id.topic).topic;
            batch.sent_to = around.metadata.leader(topic, id.partition as i32).map_or(-1, |(_, epoch)| epoch);
            batch.attempts += 1;
            let idle = self.stamps(id).next().is_none();
            if let Some(manager) = self.transactions.as_mut().filter(|_| batch.stamp.is_none()) {
                batch.stamp = Some(manager.stamp(id, batch.sequences.len(), idle));
            }
            batch.close();
            around.accumulator.queue_mut(id).muted = around.settings.max_in_flight == 1 && around.settings.acks != 0;
            batches.push((id, batch));
        }
        self.request(around, link, batches);
    }

    fn request(&mut self, around: &mut Around<'_>, link: LinkId, mut batches: Vec<(QueueId, ProducerBatch)>) {
        let Some(version) = around.network.version(link, ApiKey::Produce) else {
            let error = Exception::of(ErrorCode::UnsupportedVersion, None);
            return batches.iter().for_each(|(id, batch)| around.fail(*id, batch, |_| error.clone()));
        };
        // Batches of one topic stand together.
        batches.arrange_by_key(|(id, _)| id.topic);
        let mut topics: Vec<TopicProduceData> = Vec::with_capacity(batches.len());
        let mut last = usize::MAX;
        let count = batches.len();
        for (id, batch) in &mut batches {
            if id.topic != last {
                last = id.topic;
                let name = around.accumulator.queues(id.topic).topic.clone();
                let topic_id = around.metadata.topic(&name).map_or(Uuid::nil(), |topic| topic.id);
                let mut topic = TopicProduceData::default();
                (topic.name, topic.topic_id) = (name, topic_id);
                topic.partition_data.reserve_exact(count);
                topics.push(topic);
            }
            batch.topic_id = topics.last().map_or(Uuid::nil(), |topic| topic.topic_id);
            if let Some(topic) = topics.last_mut() {
                let mut data = PartitionProduceData::default();
                (data.index, data.records) = (id.partition as i32, Some(batch.bytes()));
                topic.partition_data.push(data);
            }
        }
        let ids = topics.iter().all(|topic| !topic.topic_id.is_nil());
        let version = if ids { version } else { version.min(LAST_WITH_NAMES) };
        let version = match &self.transactions {
            Some(manager) if manager.is_before_kip_890() => version.min(LAST_BEFORE_KIP_890),
            _ => version,
        };
        let acks = around.settings.acks;
        let timeout = around.settings.connection.request_timeout.as_millis() as i32;
        let transactional_id = self.transactions.as_ref().and_then(|manager| manager.transactional_id.clone());
        let body = ProduceRequest::default()
            .with_transactional_id(transactional_id.map(TransactionalId))
            .with_acks(acks)
            .with_timeout_ms(timeout)
            .with_topic_data(topics);
        around.counts.requests += 1;
        let numbers = self.next..self.next + batches.len() as u64;
        self.next = numbers.end;
        let tag = (acks != 0).then(|| Tag::Produce { numbers: numbers.clone() });
        around.network.send(around.now, link, (ApiKey::Produce, version), RequestKind::Produce(body), tag, around.out);
        if acks == 0 {
            // Nobody will answer: sent is done.
            batches.iter().for_each(|(id, batch)| around.acknowledge(*id, batch, -1, -1));
        } else {
            self.in_flight.extend(numbers.zip(batches));
        }
    }

    /// A Produce was answered.
    pub fn answered(&mut self, around: &mut Around<'_>, numbers: std::ops::Range<u64>, response: &ProduceResponse) {
        let mut batches: Vec<(QueueId, ProducerBatch)> =
            numbers.filter_map(|number| self.in_flight.remove(&number)).collect();
        for topic in &response.responses {
            for answer in &topic.partition_responses {
                let of = |(id, batch): &(QueueId, ProducerBatch)| {
                    let same = match topic.topic_id.is_nil() {
                        true => around.accumulator.queues(id.topic).topic == topic.name,
                        false => batch.topic_id == topic.topic_id,
                    };
                    same && id.partition as i32 == answer.index
                };
                let Some(at) = batches.iter().position(of) else { continue };
                let (id, batch) = batches.remove(at);
                let name = around.accumulator.queues(id.topic).topic.clone();
                let leader = &answer.current_leader;
                let endpoint = response.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
                let endpoint = endpoint.map(|node| Endpoint { host: node.host.to_string(), port: node.port as u16 });
                let leader = (leader.leader_id.0, leader.leader_epoch);
                around.metadata.hint(&name, answer.index, leader, endpoint, around.network);
                self.complete(around, id, batch, answer);
            }
        }
        // A response that forgets a partition says nothing about it.
        for (id, batch) in batches {
            self.failed(around, id, batch, ErrorCode::UnknownServerError, None);
        }
    }

    /// A Produce will not be answered.
    pub fn lost(&mut self, around: &mut Around<'_>, numbers: std::ops::Range<u64>) {
        around.metadata.stale(around.now);
        for number in numbers {
            if let Some((id, batch)) = self.in_flight.remove(&number) {
                self.failed(around, id, batch, ErrorCode::NetworkException, None);
            }
        }
    }

    fn complete(
        &mut self,
        around: &mut Around<'_>,
        id: QueueId,
        batch: ProducerBatch,
        answer: &PartitionProduceResponse,
    ) {
        let Some(error) = ErrorCode::try_from_code(answer.error_code) else {
            around.accumulator.queue_mut(id).muted = false;
            if let Some(manager) = &mut self.transactions {
                manager.acknowledged(id, &batch, answer.base_offset);
            }
            return around.acknowledge(id, &batch, answer.base_offset, answer.log_append_time_ms);
        };
        // It is there, and the leader has forgotten where.
        if error == ErrorCode::DuplicateSequenceNumber && self.transactions.is_some() {
            around.accumulator.queue_mut(id).muted = false;
            return around.acknowledge(id, &batch, -1, -1);
        }
        if error == ErrorCode::MessageTooLarge && batch.sequences.len() > 1 {
            around.accumulator.queue_mut(id).muted = false;
            let count = batch.sequences.len();
            match around.accumulator.split(id, batch, around.settings) {
                Ok(()) => {
                    let partition = around.partition(id);
                    return around
                        .note(format!("{partition}: a batch of {count} records is too large: split, sent again"));
                }
                Err(batch) => return around.fail(id, &batch, |_| Exception::of(error, None)),
            }
        }
        self.failed(around, id, batch, error, Some(answer));
    }

    /// Back into its queue if it may be tried again, else given up.
    fn failed(
        &mut self,
        around: &mut Around<'_>,
        id: QueueId,
        mut batch: ProducerBatch,
        error: ErrorCode,
        answer: Option<&PartitionProduceResponse>,
    ) {
        around.accumulator.queue_mut(id).muted = false;
        if is_metadata(error) {
            around.metadata.stale(around.now);
        }
        let message = answer.and_then(|answer| answer.error_message.as_deref());
        let exception = Exception::of(error, message);
        let retries = around.settings.retries;
        let tries_left = batch.attempts <= retries;
        if !tries_left || !self.may_retry(around, id, &mut batch, error, answer) {
            let told = answer.map_or(&[][..], |answer| &answer.record_errors);
            around.fail(id, &batch, |index| match told.iter().find(|record| record.batch_index as usize == index) {
                Some(record) => {
                    let own = record.batch_index_error_message.as_deref().unwrap_or(&exception.message);
                    // Of several nobody knows which the error of the whole is of.
                    match told.len() {
                        1 => Exception { message: own.to_owned(), ..exception.clone() },
                        _ => Exception::new("InvalidRecordException", own),
                    }
                }
                None if told.is_empty() => exception.clone(),
                None => Exception::kafka(
                    "Failed to append record because it was part of a batch which had one more more invalid records",
                ),
            });
            // One that was tried to the end may have been written.
            return self.given_up(around, id, &batch, &exception, tries_left);
        }
        let left = retries - batch.attempts;
        let partition = around.partition(id);
        around.note(format!(
            "{partition}: {} records again, {left} attempts left: {}",
            batch.sequences.len(),
            error::name(error.code())
        ));
        around.counts.retries += 1;
        let wait = around.settings.connection.retry_backoff.after(batch.attempts - 1, &mut self.dice);
        batch.retry_at = around.now + wait;
        around.accumulator.put_back(id, batch);
    }

    /// Whether a batch goes again.
    fn may_retry(
        &mut self,
        around: &mut Around<'_>,
        id: QueueId,
        batch: &mut ProducerBatch,
        error: ErrorCode,
        answer: Option<&PartitionProduceResponse>,
    ) -> bool {
        let Some(mut manager) = self.transactions.take() else { return error.is_retriable() };
        let log_start_offset = answer.map_or(-1, |answer| answer.log_start_offset);
        let refusal = Refusal { error, log_start_offset };
        let may = manager.can_retry(id, batch, refusal, &mut self.batches(around));
        self.transactions = Some(manager);
        may
    }

    /// When a batch will be ready or too old. What is ready but cannot go yet waits for the network, not for time.
    fn next_wake(&self, around: &Around<'_>) -> Option<Instant> {
        let patience = around.settings.delivery_timeout;
        let hurry = self.hurries(around);
        let in_flight = self.in_flight.values().map(|(_, batch)| batch.created + patience);
        let waiting = around.accumulator.waiting().filter_map(|(id, topic, queue)| {
            let expiry = queue.first()?.created + patience;
            let held = queue.muted || queue.first().is_some_and(|first| self.holds(id, first));
            let ready = around.metadata.leader(topic, id.partition as i32).filter(|_| !held);
            let hurry = hurry || around.accumulator.is_flushed(queue);
            let ready = ready.and_then(|(_, epoch)| queue.ready_at(around.settings, epoch, hurry));
            Some(ready.filter(|ready| *ready > around.now).map_or(expiry, |ready| ready.min(expiry)))
        });
        in_flight.chain(waiting).min()
    }
}

impl Around<'_> {
    pub fn partition(&self, id: QueueId) -> TopicPartition {
        TopicPartition::new(self.topic(id), id.partition as i32)
    }

    fn topic(&self, id: QueueId) -> TopicName {
        self.accumulator.queues(id.topic).topic.clone()
    }

    /// (2)
    fn acknowledge(&mut self, id: QueueId, batch: &ProducerBatch, base_offset: i64, log_append_time: i64) {
        self.accumulator.free(batch);
        self.counts.acked += batch.sequences.len() as u64;
        let (topic, partition) = (self.topic(id), id.partition as i32);
        for (sequence, place) in batch.sequences.iter().zip(0..) {
            let offset = if base_offset < 0 { -1 } else { base_offset.saturating_add(place) };
            let sequence = *sequence;
            let report = Report::Acked { topic: topic.clone(), partition, sequence, offset, log_append_time };
            self.out.push(Effect::Report(report));
        }
    }

    /// (2)
    fn fail(&mut self, id: QueueId, batch: &ProducerBatch, error: impl Fn(usize) -> Exception) {
        self.accumulator.free(batch);
        self.counts.failed += batch.sequences.len() as u64;
        let (topic, partition) = (self.topic(id), id.partition as i32);
        for (index, sequence) in batch.sequences.iter().enumerate() {
            let (topic, sequence, error) = (topic.clone(), *sequence, error(index));
            let report = Report::Failed { topic, partition, sequence, thrown: false, error };
            self.out.push(Effect::Report(report));
        }
    }

    fn begun_anew(&mut self, bump: Bump) {
        if bump.epoch >= 0 {
            self.note(format!("raises its epoch to {}: its sequences begin anew", bump.epoch));
        }
        for (id, sequences) in bump.renumbered.into_iter().filter(|(_, sequences)| !sequences.is_empty()) {
            let (topic, partition) = (self.topic(id), id.partition as i32);
            self.out.push(Effect::Report(Report::Renumbered { topic, partition, sequences }));
        }
    }

    pub fn note(&mut self, note: String) {
        self.out.push(Effect::Report(Report::Note(note)));
    }
}

/// Kafka's `InvalidMetadataException` and its kin: the answer says that metadata is out of date.
fn is_metadata(error: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        error,
        UnknownTopicOrPartition
            | LeaderNotAvailable
            | NotLeaderOrFollower
            | ReplicaNotAvailable
            | NetworkException
            | KafkaStorageError
            | FencedLeaderEpoch
            | UnknownTopicId
            | InconsistentTopicId
            | ListenerNotFound
    )
}
