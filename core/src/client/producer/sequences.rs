//! The sequence numbers of a producer's batches in one partition: Kafka's `TxnPartitionEntry`.
//!
//! 1. Every record has a sequence, from 0 on; what the leader takes next follows on what it took last.
//! 2. A batch keeps its sequence from try to try: only so can the leader know it again.
//! 3. Sequences begin anew at 0 with another epoch, and then every batch on its way is numbered anew.

use super::accumulator::{Accumulator, ProducerBatch, QueueId};
use crate::arrange::Arrange;

/// Whose batches they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerIdAndEpoch {
    pub id: i64,
    pub epoch: i16,
}

impl ProducerIdAndEpoch {
    pub const NONE: ProducerIdAndEpoch = ProducerIdAndEpoch { id: -1, epoch: -1 };

    pub fn is_valid(self) -> bool {
        self.id >= 0
    }
}

impl std::fmt::Display for ProducerIdAndEpoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProducerIdAndEpoch(producerId={}, epoch={})", self.id, self.epoch)
    }
}

/// What a batch is numbered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub producer: ProducerIdAndEpoch,
    /// Of its first record.
    pub sequence: i32,
    pub transactional: bool,
    /// It was numbered anew after it had been sent.
    pub reset: bool,
    /// How many batches of its partition were numbered before it.
    pub place: u64,
}

/// One partition's.
#[derive(Clone, Copy, Debug)]
pub struct Sequences {
    pub producer: ProducerIdAndEpoch,
    pub next: i32,
    /// Batches that were numbered.
    pub numbered: u64,
    /// −1 before anything was acknowledged.
    pub last_acked: i32,
    pub last_acked_offset: i64,
    /// A batch up to that sequence was given up and may have been written: nothing new goes before that is known.
    pub unresolved: Option<i32>,
}

impl Default for Sequences {
    fn default() -> Self {
        Sequences {
            producer: ProducerIdAndEpoch::NONE,
            next: 0,
            numbered: 0,
            last_acked: -1,
            last_acked_offset: -1,
            unresolved: None,
        }
    }
}

impl Sequences {
    /// The stamp of the next batch.
    pub fn take(&mut self, records: usize, transactional: bool) -> Stamp {
        let (sequence, place) = (self.next, self.numbered);
        self.next = increment(self.next, records as i32);
        self.numbered += 1;
        Stamp { producer: self.producer, sequence, transactional, reset: false, place }
    }

    pub fn acked(&mut self, last_sequence: i32, last_offset: Option<i64>) {
        self.last_acked = self.last_acked.max(last_sequence);
        self.last_acked_offset =
            last_offset.map_or(self.last_acked_offset, |offset| self.last_acked_offset.max(offset));
    }

    /// Whether that one follows on what was acknowledged last.
    pub fn is_next(&self, sequence: i32) -> bool {
        sequence.wrapping_sub(self.last_acked) == 1
    }

    /// (3)
    pub fn restart<'a>(
        &mut self,
        producer: ProducerIdAndEpoch,
        on_their_way: impl Iterator<Item = &'a mut ProducerBatch>,
    ) {
        let mut batches: Vec<&mut ProducerBatch> = on_their_way.collect();
        batches.arrange_by_key(|batch| batch.stamp.map(|stamp| (stamp.producer, stamp.sequence)));
        let mut sequence = 0;
        for batch in batches {
            let known = batch.stamp.map(|stamp| (stamp.transactional, stamp.place));
            let (transactional, place) = known.unwrap_or((false, self.numbered));
            batch.stamp = Some(Stamp { producer, sequence, transactional, reset: true, place });
            sequence = increment(sequence, batch.sequences.len() as i32);
        }
        (self.producer, self.next, self.last_acked) = (producer, sequence, -1);
    }

    /// A batch was refused for good: those after it take its numbers.
    pub fn close_gap<'a>(
        &mut self,
        (sequence, records): (i32, i32),
        on_their_way: impl Iterator<Item = &'a mut ProducerBatch>,
    ) {
        self.next -= records;
        for stamp in on_their_way.filter_map(|batch| batch.stamp.as_mut()).filter(|stamp| stamp.sequence >= sequence) {
            (stamp.sequence, stamp.reset) = (stamp.sequence - records, true);
        }
    }
}

/// `DefaultRecordBatch.incrementSequence`: after the largest number comes 0.
pub fn increment(sequence: i32, by: i32) -> i32 {
    match sequence.checked_add(by) {
        Some(sequence) => sequence,
        None => by - (i32::MAX - sequence) - 1,
    }
}

/// The batches of a partition that have a sequence and no end: those in flight, and those that came back.
pub fn on_their_way<'a>(
    in_flight: &'a mut crate::vec_map::VecMap<u64, (QueueId, ProducerBatch)>,
    accumulator: &'a mut Accumulator,
    id: QueueId,
) -> impl Iterator<Item = &'a mut ProducerBatch> {
    let in_flight = in_flight.values_mut().filter(move |(of, _)| *of == id).map(|(_, batch)| batch);
    in_flight.chain(accumulator.queue_mut(id).batches_mut()).filter(|batch| batch.stamp.is_some())
}
