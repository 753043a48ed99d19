//! A transaction manager and the batches: who may go, with which sequence, and what their ends mean.

use super::TransactionManager;
use crate::client::exception::{Exception, is_retriable};
use crate::client::producer::accumulator::{Accumulator, ProducerBatch, QueueId};
use crate::client::producer::sequences::{ProducerIdAndEpoch, Sequences, Stamp, increment, on_their_way};
use crate::error::ErrorCode;
use crate::log::producer::RECENT;

use super::State;

/// Where batches with sequences are: in flight, and back in their queues.
pub struct Batches<'a> {
    pub in_flight: &'a mut crate::vec_map::VecMap<u64, (QueueId, ProducerBatch)>,
    pub accumulator: &'a mut Accumulator,
}

impl Batches<'_> {
    fn of(&mut self, id: QueueId) -> impl Iterator<Item = &mut ProducerBatch> {
        on_their_way(self.in_flight, self.accumulator, id)
    }
}

/// What a broker answered of a batch, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub error: ErrorCode,
    pub log_start_offset: i64,
}

/// What a producer begins anew with.
#[derive(Clone, Debug)]
pub struct Bump {
    /// −1 where it needs another id.
    pub epoch: i16,
    /// Records of which it is not known whether they were written: they are sent under new sequences.
    pub renumbered: Vec<(QueueId, Vec<u64>)>,
}

impl TransactionManager {
    fn sequences(&mut self, id: QueueId) -> &mut Sequences {
        self.partitions.entry(id).or_default()
    }

    /// `RecordAccumulator.shouldStopDrainBatchesForPartition`: whether the first batch of a queue has to wait. `others`
    /// are the stamps of the batches of that partition that are in flight.
    pub fn holds(&self, id: QueueId, first: &ProducerBatch, others: impl Iterator<Item = Stamp>) -> bool {
        if self.has_fatal_error() || self.is_transactional() && !self.added.contains(&id) || !self.producer.is_valid() {
            return true;
        }
        let mut others = others;
        let Some(stamp) = first.stamp else {
            let known = self.partitions.get(&id).copied().unwrap_or_default();
            // None of another epoch goes before those on their way have their end. And none that is so far
            // ahead of the oldest of them, which may be with the leader before, that the next one would not know that again.
            let oldest = others.map(|other| other.place).min();
            return oldest.is_some_and(|oldest| {
                known.producer != self.producer || known.numbered.saturating_sub(oldest) >= RECENT as u64
            }) || known.unresolved.is_some();
        };
        // One that came back waits until it is the next: what follows it would be refused.
        others.any(|other| (other.producer, other.sequence) < (stamp.producer, stamp.sequence))
    }

    /// The stamp of a batch that goes for the first time; `idle` is that none of its partition is on its way.
    pub fn stamp(&mut self, id: QueueId, records: usize, idle: bool) -> Stamp {
        let (producer, transactional) = (self.producer, self.is_transactional());
        let sequences = self.sequences(id);
        if sequences.producer != producer && idle {
            sequences.restart(producer, std::iter::empty());
        }
        sequences.take(records, transactional)
    }

    pub fn acknowledged(&mut self, id: QueueId, batch: &ProducerBatch, base_offset: i64) {
        let Some(stamp) = batch.stamp else { return };
        let records = batch.sequences.len() as i32;
        let last_offset = (base_offset >= 0).then_some(base_offset.wrapping_add(i64::from(records) - 1));
        self.sequences(id).acked(increment(stamp.sequence, records - 1), last_offset);
    }

    /// Whether a refused batch may be sent again; it is not among `batches`.
    pub fn can_retry(
        &mut self,
        id: QueueId,
        batch: &mut ProducerBatch,
        refusal: Refusal,
        batches: &mut Batches<'_>,
    ) -> bool {
        let Some(stamp) = batch.stamp else { return is_retriable(refusal.error) };
        let known = *self.sequences(id);
        match refusal.error {
            // The leader does not know where the log begins.
            ErrorCode::UnknownProducerId if refusal.log_start_offset == -1 || stamp.reset => true,
            // What this producer wrote is gone, and the leader's memory of it too.
            ErrorCode::UnknownProducerId if known.last_acked_offset < refusal.log_start_offset => {
                match self.is_transactional() {
                    true => {
                        let producer = self.producer;
                        self.sequences(id).restart(producer, batches.of(id).chain([batch]));
                    }
                    false => self.request_bump(id),
                }
                true
            }
            ErrorCode::UnknownProducerId if !self.is_transactional() => {
                self.request_bump(id);
                true
            }
            // One before it is missing, which comes again first.
            ErrorCode::OutOfOrderSequenceNumber
                if known.unresolved.is_none() && (stamp.reset || !known.is_next(stamp.sequence)) =>
            {
                true
            }
            ErrorCode::OutOfOrderSequenceNumber if !self.is_transactional() => {
                if known.unresolved.is_none_or(|next| next == stamp.sequence) {
                    self.request_bump(id);
                }
                true
            }
            error => is_retriable(error),
        }
    }

    /// A batch is given up, and is no longer among `batches`; `adjust` says that it was not written.
    pub fn failed(
        &mut self,
        id: QueueId,
        batch: &ProducerBatch,
        exception: &Exception,
        adjust: bool,
        batches: &mut Batches<'_>,
    ) {
        self.maybe_transition_to_error(exception);
        let Some(stamp) = batch.stamp.filter(|_| !self.has_fatal_error()) else { return };
        if exception.is(ErrorCode::OutOfOrderSequenceNumber) && !self.is_transactional() {
            self.request_bump(id);
        } else if exception.is(ErrorCode::UnknownProducerId) {
            self.partitions.remove(&id);
        } else if adjust && !self.is_transactional() {
            self.request_bump(id);
        } else if adjust {
            let gap = (stamp.sequence, batch.sequences.len() as i32);
            self.sequences(id).close_gap(gap, batches.of(id));
        }
    }

    /// A batch was given up that may have been written.
    pub fn mark_unresolved(&mut self, id: QueueId, batch: &ProducerBatch) {
        let Some(stamp) = batch.stamp else { return };
        let next = increment(stamp.sequence, batch.sequences.len() as i32);
        let sequences = self.sequences(id);
        sequences.unresolved = sequences.unresolved.max(Some(next));
    }

    /// Where all batches of a partition have their end: are its sequences without a gap?
    pub fn resolve(&mut self, batches: &mut Batches<'_>) {
        let unresolved: Vec<QueueId> =
            self.partitions.iter().filter(|(_, known)| known.unresolved.is_some()).map(|(id, _)| *id).collect();
        for id in unresolved {
            if batches.of(id).next().is_some() {
                continue;
            }
            let known = *self.sequences(id);
            self.sequences(id).unresolved = None;
            if known.is_next(known.next) {
                continue;
            }
            if !self.is_transactional() {
                self.request_bump(id);
                continue;
            }
            let lost = "The client hasn't received acknowledgment for some previously sent messages and can no longer \
                        retry them. ";
            if self.bumps_epochs || self.is_v2 {
                self.epoch_bump_required = self.bumps_epoch_itself();
                self.abortable(Exception::kafka(format!("{lost}It is safe to abort the transaction and continue.")));
            } else {
                self.fatal(Exception::kafka(format!("{lost}It isn't safe to continue.")));
            }
        }
    }

    /// An idempotent producer raises its epoch by itself (KIP-360), and asks for an id where it has none.
    pub fn bump_if_needed(&mut self, batches: &mut Batches<'_>) -> Option<Bump> {
        if self.is_transactional() {
            return None;
        }
        let mut bump = None;
        if self.epoch_bump_required {
            self.epoch_bump_required = false;
            if self.producer.epoch == i16::MAX {
                self.producer = ProducerIdAndEpoch::NONE;
                self.state = State::Uninitialized;
            } else {
                self.producer.epoch += 1;
            }
            let mut renumbered = Vec::new();
            for id in std::mem::take(&mut self.to_rewrite) {
                renumbered.push((id, batches.of(id).flat_map(|batch| &batch.sequences).copied().collect()));
                let producer = self.producer;
                let sequences = self.sequences(id);
                sequences.restart(producer, batches.of(id));
                sequences.unresolved = None;
            }
            bump = Some(Bump { epoch: self.producer.epoch, renumbered });
        }
        if self.state != State::Initializing && !self.producer.is_valid() {
            self.state = State::Initializing;
            self.enqueue(super::Asked::InitProducerId { bump: false });
        }
        bump
    }

    fn request_bump(&mut self, id: QueueId) {
        self.epoch_bump_required = true;
        self.to_rewrite.insert(id);
    }
}
