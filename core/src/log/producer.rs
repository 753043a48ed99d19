//! What a log knows of the producers that write to it, as Kafka's `ProducerStateManager`: who is in which epoch, what came
//! last, which transactions are open. It is what the batches of the log say, and can be had from them again (`replay.rs`).
//!
//! ```text
//! transactional batch ─▶ ongoing ─[marker]─▶ unreplicated ─[high watermark past the marker]─▶ stable
//! ```
//!
//! 1. Of a producer the last [`RECENT`] batches of its epoch are known; a batch follows on the last one without a gap.
//! 2. A producer has at most one open transaction in a log, and `ongoing` lists exactly those.
//! 3. The first unstable offset is the least at which a transaction began that is open, or whose marker may be lost yet.

use std::collections::BTreeMap;

use super::aborted::Aborted;
use super::verification::Verification;
use super::{Placed, Verified};
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::record::batch::NO_SEQUENCE;
use crate::record::check::Invalid;
use crate::record::{BatchHeader, Marker};
use crate::time::Timestamp;
use crate::vec_map::VecMap;

/// Kafka's NUM_BATCHES_TO_RETAIN: as many requests of a producer may be on their way at once.
pub const RECENT: usize = 5;
/// The epoch of a producer of which nothing is known.
pub const NO_EPOCH: i16 = -1;
/// From this version of `transaction.version` on the coordinator raises the epoch before it ends a transaction.
const FIRST_WITH_EPOCH_BUMP: i8 = 2;
/// Where no level is known, as for what producers write.
const UNKNOWN_VERSION: i8 = -1;

/// A batch that a producer wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub last_sequence: i32,
    pub last_offset: Offset,
    pub offset_delta: i32,
    /// Its largest.
    pub timestamp: Timestamp,
}

impl Written {
    pub fn first_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Sequences go from `i32::MAX` to 0.
    fn first_sequence(&self) -> i32 {
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(1 << 31) as i32
    }
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub epoch: i16,
    /// Of the last marker; −1 before there was one.
    pub coordinator_epoch: i32,
    pub last_timestamp: Timestamp,
    /// Where its open transaction begins.
    pub transaction: Option<Offset>,
    /// The newest last (1).
    recent: [Written; RECENT],
    known: u8,
}

impl Producer {
    pub fn new(epoch: i16, coordinator_epoch: i32, last_timestamp: Timestamp, transaction: Option<Offset>) -> Producer {
        let recent = [Written::default(); RECENT];
        Producer { epoch, coordinator_epoch, last_timestamp, transaction, recent, known: 0 }
    }

    /// Nothing is known of it.
    fn unknown() -> Producer {
        Producer::new(NO_EPOCH, -1, Timestamp::NONE, None)
    }

    /// Its newest batches in this epoch, the newest last.
    pub fn recent(&self) -> &[Written] {
        &self.recent[..usize::from(self.known)]
    }

    pub fn last(&self) -> Option<Written> {
        self.recent().last().copied()
    }

    /// −1 before it wrote in this epoch.
    pub fn last_sequence(&self) -> i32 {
        self.last().map_or(NO_SEQUENCE, |last| last.last_sequence)
    }

    pub fn push(&mut self, epoch: i16, written: Written) {
        self.enter(epoch);
        if usize::from(self.known) == RECENT {
            self.recent.copy_within(1.., 0);
            self.known -= 1;
        }
        self.recent[usize::from(self.known)] = written;
        self.known += 1;
        self.last_timestamp = written.timestamp;
    }

    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            (self.epoch, self.known) = (epoch, 0);
        }
    }

    fn is_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.transaction.is_none() && now.0.saturating_sub(self.last_timestamp.0) >= expiration_ms
    }
}

/// A batch on its way into the log.
#[derive(Clone, Copy, Debug)]
pub struct Appending<'a> {
    pub header: &'a BatchHeader,
    /// The offset that it is to get.
    pub at: Offset,
    pub partition: &'a str,
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<i64, Producer>,
    /// By their first offset, whose (2).
    ongoing: VecMap<Offset, i64>,
    /// Transactions whose marker is not below the high watermark: first offset to the marker's.
    unreplicated: VecMap<Offset, Offset>,
    pub(super) verifications: VecMap<i64, Verification>,
    pub(super) next_guard: u64,
}

impl Producers {
    /// Nobody is known any more; guards go on where they were, so that none is ever given twice.
    pub(super) fn forgotten(&self) -> Producers {
        Producers { next_guard: self.next_guard, ..Producers::default() }
    }

    pub fn get(&self, id: i64) -> Option<&Producer> {
        self.by_id.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Nothing is known, and nothing would be unstable.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.unreplicated.is_empty()
    }

    /// (3)
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let first = |starts: Option<&Offset>| starts.copied();
        first(self.ongoing.keys().next()).into_iter().chain(first(self.unreplicated.keys().next())).min()
    }

    /// Whether that producer has a transaction open here, in that epoch.
    pub fn has_ongoing(&self, id: i64, epoch: i16) -> bool {
        self.get(id).is_some_and(|producer| producer.transaction.is_some() && producer.epoch == epoch)
    }

    /// Where the open transaction of that producer begins.
    pub fn transaction_of(&self, id: i64) -> Option<Offset> {
        self.get(id)?.transaction
    }

    /// The batch is here already: a producer that got no answer sends it again.
    pub fn duplicate(&self, header: &BatchHeader) -> Option<Placed> {
        let producer = self.get(header.producer_id).filter(|producer| producer.epoch == header.producer_epoch)?;
        let sequences = (header.base_sequence, header.last_sequence());
        let twin = producer.recent().iter().find(|one| (one.first_sequence(), one.last_sequence) == sequences)?;
        Some(Placed {
            base_offset: twin.first_offset(),
            last_offset: twin.last_offset,
            append_time: Some(twin.timestamp),
        })
    }

    /// Whether its epoch and its transaction let a batch be appended.
    ///
    /// Errors: `InvalidProducerEpoch`, `InvalidTxnState`.
    pub fn check(&self, appending: Appending<'_>, verified: Verified) -> Result<(), Invalid> {
        let Appending { header, at, partition } = appending;
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        if header.is_transactional() && !self.has_ongoing(id, epoch) {
            self.is_current(id, epoch)?;
            let guard = self.verifications.get(&id).map(|verification| verification.guard);
            if verified.required && (guard.is_none() || guard != verified.guard) {
                return Err(Invalid::new(ErrorCode::InvalidTxnState, "Record was not part of an ongoing transaction"));
            }
        }
        let Some(producer) = self.get(id) else { return Ok(()) };
        if epoch < producer.epoch {
            return Err(appending.late("<", producer.epoch, UNKNOWN_VERSION));
        }
        if producer.transaction.is_some() && !header.is_transactional() {
            let message =
                format!("Expected transactional write from producer {id} at offset {at} in partition {partition}");
            return Err(Invalid::new(ErrorCode::InvalidTxnState, message));
        }
        Ok(())
    }

    /// A producer that is behind itself must learn so before anything else.
    ///
    /// Errors: `InvalidProducerEpoch`.
    pub fn is_current(&self, id: i64, epoch: i16) -> Result<(), Invalid> {
        match self.get(id).map(|producer| producer.epoch) {
            Some(last) if epoch < last => {
                let message =
                    format!("Epoch of producer {id} is {epoch}, which is smaller than the last seen epoch {last}");
                Err(Invalid::new(ErrorCode::InvalidProducerEpoch, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether a batch follows on the one before it (1).
    ///
    /// Errors: `OutOfOrderSequenceNumber`.
    pub fn check_sequence(&self, appending: Appending<'_>) -> Result<(), Invalid> {
        let Appending { header, at, partition } = appending;
        let (id, epoch, sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
        let out_of_order = |message: String| Err(Invalid::new(ErrorCode::OutOfOrderSequenceNumber, message));
        let producer = self.get(id);
        if let Some(verification) = self.verifications.get(&id) {
            let is_new = producer.is_none_or(|producer| producer.recent().is_empty());
            if verification.bumps_epoch && sequence != 0 && is_new {
                return out_of_order(format!(
                    "Invalid sequence number for producer {id} at offset {at} in partition {partition}: {sequence} \
                     (incoming seq. number). Expected sequence 0 for transactions v2 idempotent producer with no existing \
                     state."
                ));
            }
            if sequence > verification.lowest_sequence {
                return out_of_order(format!(
                    "Out of order sequence number for producer {id} at offset {at} in partition {partition}: {sequence} \
                     (incoming seq. number), {} (earliest seen sequence)",
                    verification.lowest_sequence
                ));
            }
        }
        // Where nothing is known of a producer, what it wrote may have been deleted: it may go on.
        let Some(producer) = producer else { return Ok(()) };
        if epoch != producer.epoch {
            return match sequence {
                0 => Ok(()),
                _ => out_of_order(format!(
                    "Invalid sequence number for new epoch of producer {id} at offset {at} in partition {partition}: \
                     {epoch} (request epoch), {sequence} (seq. number), {} (current producer epoch)",
                    producer.epoch
                )),
            };
        }
        let last = producer.last_sequence();
        if i64::from(sequence) == i64::from(last) + 1 || (sequence == 0 && last == i32::MAX) {
            return Ok(());
        }
        out_of_order(format!(
            "Out of order sequence number for producer {id} at offset {at} in partition {partition}: {sequence} (incoming \
             seq. number), {last} (current end sequence number)"
        ))
    }

    /// Whether a coordinator's marker may be appended, under that level of `transaction.version`.
    ///
    /// Errors: `InvalidProducerEpoch`, `TransactionCoordinatorFenced`.
    pub fn check_marker(&self, appending: Appending<'_>, marker: Marker, version: i8) -> Result<(), Invalid> {
        let Appending { header, at, partition } = appending;
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let Some(producer) = self.get(id) else { return Ok(()) };
        let bumped = version >= FIRST_WITH_EPOCH_BUMP;
        // The same marker again, because its answer was lost, or because another coordinator finishes what it found: that
        // transaction has ended. At the last epoch there is no further one to tell a new transaction by.
        let again = bumped && epoch == producer.epoch && (producer.transaction.is_none() || epoch == i16::MAX);
        if !again && (epoch < producer.epoch || bumped && epoch == producer.epoch) {
            return Err(appending.late(if bumped { "<=" } else { "<" }, producer.epoch, version));
        }
        if producer.coordinator_epoch > marker.coordinator_epoch {
            let message = format!(
                "Invalid coordinator epoch for producerId {id} at offset {at} in partition {partition}: {} (zombie), {} \
                 (current)",
                marker.coordinator_epoch, producer.coordinator_epoch
            );
            return Err(Invalid::new(ErrorCode::TransactionCoordinatorFenced, message));
        }
        Ok(())
    }

    /// A batch was appended. What it says is taken down as it is: the leader has checked it. Gives the transaction that it
    /// aborts, if any.
    pub fn note(
        &mut self,
        header: &BatchHeader,
        base_offset: Offset,
        timestamp: Timestamp,
        marker: Option<Marker>,
    ) -> Option<Aborted> {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        let producer = self.by_id.entry(id).or_insert_with(Producer::unknown);
        let mut aborted = None;
        if let Some(marker) = marker {
            producer.enter(epoch);
            producer.coordinator_epoch = marker.coordinator_epoch;
            producer.last_timestamp = timestamp;
            if let Some(first_offset) = producer.transaction.take() {
                self.ongoing.remove(&first_offset);
                self.unreplicated.insert(first_offset, last_offset);
                let next = self.ongoing.keys().next().copied();
                let last_stable_offset = next.unwrap_or(last_offset + 1);
                let ended = Aborted { producer_id: id, first_offset, last_offset, last_stable_offset };
                aborted = (!marker.commit).then_some(ended);
            }
        } else if !header.is_control() {
            let offset_delta = header.last_offset_delta;
            producer
                .push(epoch, Written { last_sequence: header.last_sequence(), last_offset, offset_delta, timestamp });
            if header.is_transactional() && producer.transaction.is_none() {
                producer.transaction = Some(base_offset);
                self.ongoing.insert(base_offset, id);
            }
        }
        if header.is_transactional() {
            self.verified(id, epoch, header.is_control());
        }
        aborted
    }

    /// What a snapshot says of a producer.
    pub fn insert(&mut self, id: i64, producer: Producer) {
        self.ongoing.extend(producer.transaction.map(|first| (first, id)));
        self.by_id.insert(id, producer);
    }

    /// Everything below `offset` is safe: transactions that ended there are stable.
    pub fn replicated(&mut self, offset: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= offset);
    }

    /// Whether [`Producers::replicated`] would change anything.
    pub fn has_replicated(&self, offset: Offset) -> bool {
        self.unreplicated.values().any(|marker| *marker < offset)
    }

    /// Forgets whoever has not written for `producer.id.expiration.ms`, and verifications that came to nothing.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.by_id.retain(|_, producer| !producer.is_expired(now, expiration_ms));
        self.verifications.retain(|_, verification| now.0.saturating_sub(verification.begun.0) < expiration_ms);
    }

    /// Whether [`Producers::expire`] would change anything.
    pub fn has_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.by_id.values().any(|producer| producer.is_expired(now, expiration_ms))
            || self.verifications.values().any(|one| now.0.saturating_sub(one.begun.0) >= expiration_ms)
    }
}

impl Appending<'_> {
    fn late(&self, comparison: &str, last: i16, version: i8) -> Invalid {
        let Appending { header, at, partition } = self;
        let message = format!(
            "Epoch of producer {} at offset {at} in {partition} is {}, which is {comparison} the last seen epoch {last} \
             (TV{version})",
            header.producer_id, header.producer_epoch
        );
        Invalid::new(ErrorCode::InvalidProducerEpoch, message)
    }
}
