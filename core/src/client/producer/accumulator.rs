//! The accumulator: records wait here, in batches, one queue a partition.
//!
//! 1. Only the last batch of a queue is open; those before it are full.
//! 2. A batch reserves `batch.size` bytes of `buffer.memory` (or what its first record needs, if that is more) until it
//!    is acknowledged or given up.
//! 3. A batch is ready when it is full, when it has lingered, when the memory is used up and somebody waits for it, or
//!    when its transaction is to end; but not during its back-off after a failure.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::partitioner::Partitioner;
use super::sequences::{ProducerIdAndEpoch, Stamp, increment};
use super::serializer::Serialized;
use super::settings::Settings;
use crate::id::LeaderEpoch;
use crate::record::batch::HEADER_LEN;
use crate::record::{Batch, BatchBuilder, Record};
use crate::time::Instant;

#[derive(Default, Clone, Debug)]
pub struct Accumulator {
    topics: Vec<Queues>,
    /// Bytes of `buffer.memory` that batches have reserved.
    reserved: u64,
    /// A call waits for memory.
    exhausted: bool,
    /// Batches that hold records from before this one do not linger.
    flushed: u64,
}

/// The queues of one topic, and its partitioner.
#[derive(Clone, Debug)]
pub struct Queues {
    pub topic: TopicName,
    pub partitioner: Partitioner,
    queues: Vec<Queue>,
}

#[derive(Clone, Debug, Default)]
pub struct Queue {
    batches: VecDeque<ProducerBatch>,
    /// A batch is in flight, and with one request at a time none may overtake it.
    pub muted: bool,
}

/// A batch on its way: collecting, waiting, in flight, or waiting to be sent again.
#[derive(Clone, Debug)]
pub struct ProducerBatch {
    body: Body,
    /// Of its records, in their order.
    pub sequences: Vec<u64>,
    pub created: Instant,
    /// Bytes of `buffer.memory`.
    reserved: u64,
    /// Bytes that it may grow to.
    limit: usize,
    /// How often it has been sent.
    pub attempts: u32,
    /// It came back: not before this, unless its partition has a newer leader than it was sent to.
    pub retry_at: Instant,
    pub sent_to: LeaderEpoch,
    /// Of the topic to which it was sent, where that has one.
    pub topic_id: Uuid,
    /// Of an idempotent producer's, once it has been sent.
    pub stamp: Option<Stamp>,
}

#[derive(Clone, Debug)]
enum Body {
    Open(Box<BatchBuilder>),
    Closed(Batch),
}

/// Where a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueId {
    pub topic: usize,
    pub partition: usize,
}

/// There is no memory for a new batch of that many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted(pub usize);

impl Accumulator {
    /// The place of a topic's queues, with as many as it has partitions.
    pub fn topic(&mut self, name: &TopicName, partitions: usize) -> usize {
        let at = self.place(name).unwrap_or_else(|| {
            let (topic, partitioner) = (name.clone(), Partitioner::default());
            self.topics.push(Queues { topic, partitioner, queues: Vec::new() });
            self.topics.len() - 1
        });
        let queues = &mut self.topics[at].queues;
        if queues.len() < partitions {
            queues.resize_with(partitions, Queue::default);
        }
        at
    }

    pub fn queues(&self, topic: usize) -> &Queues {
        &self.topics[topic]
    }

    pub fn queues_mut(&mut self, topic: usize) -> &mut Queues {
        &mut self.topics[topic]
    }

    pub fn queue_mut(&mut self, id: QueueId) -> &mut Queue {
        &mut self.topics[id.topic].queues[id.partition]
    }

    /// Every queue that holds something.
    pub fn waiting(&self) -> impl Iterator<Item = (QueueId, &TopicName, &Queue)> {
        self.topics.iter().enumerate().flat_map(|(topic, queues)| {
            let waiting = queues.queues.iter().enumerate().filter(|(_, queue)| !queue.batches.is_empty());
            waiting.map(move |(partition, queue)| (QueueId { topic, partition }, &queues.topic, queue))
        })
    }

    /// The partition that records without a key go to now, of every topic that has one.
    pub fn sticky(&self) -> impl Iterator<Item = (&TopicName, usize)> {
        self.topics.iter().filter_map(|queues| Some((&queues.topic, queues.partitioner.sticky()?)))
    }

    /// Bytes of `buffer.memory` in use.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Puts a record into the open batch of a queue, or into a new one; gives the bytes that it took there, with those of a new
    /// batch's header.
    pub fn append(
        &mut self,
        now: Instant,
        settings: &Settings,
        id: QueueId,
        sequence: u64,
        record: &Serialized<'_>,
    ) -> Result<usize, Exhausted> {
        let queue = &mut self.topics[id.topic].queues[id.partition];
        if let Some(last) = queue.batches.back_mut()
            && let Some(bytes) = last.append(sequence, record)
        {
            self.exhausted = false;
            return Ok(bytes);
        }
        // (2)
        let limit = settings.batch_size.max(record.upper_bound());
        if self.reserved + limit as u64 > settings.buffer_memory {
            self.exhausted = true;
            return Err(Exhausted(limit));
        }
        self.reserved += limit as u64;
        self.exhausted = false;
        let mut batch = ProducerBatch {
            body: Body::Open(Box::new(BatchBuilder::new(settings.compression))),
            sequences: Vec::new(),
            created: now,
            reserved: limit as u64,
            limit,
            attempts: 0,
            retry_at: Instant::ZERO,
            sent_to: -1,
            topic_id: Uuid::nil(),
            stamp: None,
        };
        let bytes = batch.append(sequence, record).unwrap_or(0);
        queue.batches.push_back(batch);
        Ok(HEADER_LEN + bytes)
    }

    /// Of what was handed over before the record of that number nothing lingers.
    pub fn flush(&mut self, sequence: u64) {
        self.flushed = sequence;
    }

    /// Whether a queue's first batch is to go because of that.
    pub fn is_flushed(&self, queue: &Queue) -> bool {
        queue.first().and_then(|batch| batch.sequences.first()).is_some_and(|first| *first < self.flushed)
    }

    /// A call waits for memory, although others had some.
    pub fn starve(&mut self) {
        self.exhausted = true;
    }

    /// Nobody waits for memory any more.
    pub fn give_up_waiting(&mut self) {
        self.exhausted = false;
    }

    /// The first batch of a queue, for sending.
    pub fn take(&mut self, id: QueueId) -> Option<ProducerBatch> {
        self.queue_mut(id).batches.pop_front()
    }

    /// Back to the front of its queue: sent before everything that is not in flight; of those with a sequence the lowest
    /// goes first.
    pub fn put_back(&mut self, id: QueueId, batch: ProducerBatch) {
        let order = |batch: &ProducerBatch| batch.stamp.map(|stamp| (stamp.producer, stamp.sequence));
        let batches = &mut self.queue_mut(id).batches;
        let before = |other: &&ProducerBatch| order(other).is_some_and(|other| Some(other) < order(&batch));
        let place = batches.iter().take_while(before).count();
        batches.insert(place, batch);
    }

    /// All that wait, or those alone that have no sequence.
    pub fn take_all(&mut self, id: QueueId, with_sequences: bool) -> Vec<ProducerBatch> {
        let (gone, kept) = std::mem::take(&mut self.queue_mut(id).batches)
            .into_iter()
            .partition(|batch| with_sequences || batch.stamp.is_none());
        self.queue_mut(id).batches = kept;
        Vec::from(gone as VecDeque<ProducerBatch>)
    }

    /// The place of a topic's queues, if there are any.
    pub fn place(&self, name: &TopicName) -> Option<usize> {
        self.topics.iter().position(|queues| queues.topic == *name)
    }

    /// A batch is done: its memory is free.
    pub fn free(&mut self, batch: &ProducerBatch) {
        self.reserved -= batch.reserved;
    }

    /// A broker found the batch too large: two halves in its place. The memory counts as the larger one's.
    pub fn split(&mut self, id: QueueId, mut batch: ProducerBatch, settings: &Settings) -> Result<(), ProducerBatch> {
        batch.close();
        let Body::Closed(body) = &batch.body else { return Err(batch) };
        let Ok(records) = Record::decode(body) else { return Err(batch) };
        if records.len() != batch.sequences.len() || records.len() < 2 {
            return Err(batch);
        }
        let middle = records.len() / 2;
        let half = |range: std::ops::Range<usize>, reserved| {
            let mut builder = BatchBuilder::new(settings.compression);
            if batch.stamp.is_some_and(|stamp| stamp.transactional) {
                builder.set_transactional();
            }
            for record in &records[range.clone()] {
                builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
            }
            let body = Body::Closed(builder.build());
            let sequence = |stamp: Stamp| increment(stamp.sequence, range.start as i32);
            let stamp = batch.stamp.map(|stamp| Stamp { sequence: sequence(stamp), ..stamp });
            ProducerBatch { body, sequences: batch.sequences[range].to_vec(), reserved, stamp, ..batch.clone() }
        };
        let (first, second) = (half(0..middle, batch.reserved), half(middle..records.len(), 0));
        self.put_back(id, second);
        self.put_back(id, first);
        Ok(())
    }
}

impl Queues {
    /// Batches that wait for a partition.
    pub fn len(&self, partition: usize) -> usize {
        self.queues.get(partition).map_or(0, |queue| queue.batches.len())
    }

    /// Whether a partition has no batch that waits to be filled.
    pub fn all_full(&self, partition: usize) -> bool {
        self.queues.get(partition).and_then(|queue| queue.batches.back()).is_none_or(ProducerBatch::is_full)
    }

    /// Whether it has one that has room for that record.
    pub fn waits_for(&self, partition: usize, record: &Serialized<'_>) -> bool {
        let last = self.queues.get(partition).and_then(|queue| queue.batches.back());
        last.is_some_and(|last| !last.is_full() && last.room_for(record).is_some())
    }
}

impl Queue {
    pub fn first(&self) -> Option<&ProducerBatch> {
        self.batches.front()
    }

    /// Its batches, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &ProducerBatch> {
        self.batches.iter()
    }

    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    pub fn batches_mut(&mut self) -> impl Iterator<Item = &mut ProducerBatch> {
        self.batches.iter_mut()
    }

    /// (3) When the first batch is ready; `epoch` is the partition's leader epoch now, `hurry` that nobody lingers.
    pub fn ready_at(&self, settings: &Settings, epoch: LeaderEpoch, hurry: bool) -> Option<Instant> {
        let first = self.batches.front()?;
        let full = self.batches.len() > 1 || first.is_full() || hurry || first.attempts > 0;
        let filled = if full { Instant::ZERO } else { first.created + settings.linger };
        Some(filled.max(first.backed_off_at(epoch)))
    }

    /// Takes the batches that were made before `before`, from the front.
    pub fn expired(&mut self, before: Instant) -> Option<ProducerBatch> {
        self.batches.pop_front_if(|batch| batch.created <= before)
    }
}

impl ProducerBatch {
    /// Bytes that the record would take; `None` where there is no room.
    fn room_for(&self, record: &Serialized<'_>) -> Option<usize> {
        let Body::Open(builder) = &self.body else { return None };
        let Serialized { key, value, headers, timestamp } = *record;
        let bytes = builder.record_size(timestamp, key, value, headers);
        (builder.is_empty() || builder.size() + bytes <= self.limit).then_some(bytes)
    }

    /// Bytes that the record took; `None` where there is no room.
    fn append(&mut self, sequence: u64, record: &Serialized<'_>) -> Option<usize> {
        let bytes = self.room_for(record)?;
        let Body::Open(builder) = &mut self.body else { return None };
        let Serialized { key, value, headers, timestamp } = *record;
        builder.append(timestamp, key, value, headers);
        self.sequences.push(sequence);
        Some(bytes)
    }

    fn is_full(&self) -> bool {
        match &self.body {
            Body::Open(builder) => builder.size() >= self.limit,
            Body::Closed(_) => true,
        }
    }

    /// Ready to be sent, with its sequence in its header.
    pub fn close(&mut self) {
        if let Body::Open(builder) = &mut self.body {
            let mut builder = builder.take();
            if let Some(Stamp { producer: ProducerIdAndEpoch { id, epoch }, sequence, transactional, .. }) = self.stamp
            {
                builder.set_producer(id, epoch, sequence);
                if transactional {
                    builder.set_transactional();
                }
            }
            self.body = Body::Closed(builder.build());
        }
        let (Body::Closed(batch), Some(stamp)) = (&mut self.body, self.stamp) else { return };
        let ProducerIdAndEpoch { id, epoch } = stamp.producer;
        let header = &batch.header;
        if (header.producer_id, header.producer_epoch, header.base_sequence) != (id, epoch, stamp.sequence) {
            *batch = batch.of_producer(id, epoch, stamp.sequence);
        }
    }

    pub fn backed_off_at(&self, epoch: LeaderEpoch) -> Instant {
        if epoch > self.sent_to { Instant::ZERO } else { self.retry_at }
    }

    pub fn size(&self) -> usize {
        match &self.body {
            Body::Open(builder) => builder.size(),
            Body::Closed(batch) => batch.bytes.len(),
        }
    }

    /// The bytes to send; empty while it is open.
    pub fn bytes(&self) -> Bytes {
        match &self.body {
            Body::Open(_) => Bytes::new(),
            Body::Closed(batch) => batch.bytes.clone(),
        }
    }
}
