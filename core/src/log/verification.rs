//! Transactional batches that wait for their coordinator's word that the partition is part of the transaction (KIP-890).
//!
//! ```text
//! none ─[begin: the coordinator is asked]─▶ pending ─[note: the batch is appended, under the same guard]─▶ ongoing
//!                                             └─[note: a marker ends the transaction]─▶ none
//! ```
//!
//! 1. An append is let through only under the guard that stands here: what the coordinator said of one transaction lets no
//!    batch into the next.

use super::producer::Producers;
use crate::record::check::Invalid;
use crate::time::Timestamp;

/// A verification, told apart from all others of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

/// A producer whose transaction is being verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    pub guard: Guard,
    /// By the wall clock: it is forgotten as producers are.
    pub begun: Timestamp,
    /// The producer's epoch rises with every transaction, and its sequences begin at 0 then.
    pub bumps_epoch: bool,
    /// No batch goes before one that it would make out of order for good.
    pub lowest_sequence: i32,
    epoch: i16,
}

impl Producers {
    /// A transactional batch has come. Gives the guard for its append, or `None` where its transaction is open here.
    ///
    /// Errors: `InvalidProducerEpoch`.
    pub fn begin_verification(
        &mut self,
        now: Timestamp,
        id: i64,
        epoch: i16,
        sequence: i32,
        bumps_epoch: bool,
    ) -> Result<Option<Guard>, Invalid> {
        self.is_current(id, epoch)?;
        if self.has_ongoing(id, epoch) {
            return Ok(None);
        }
        let next_guard = &mut self.next_guard;
        let verification = self.verifications.entry(id).or_insert_with(|| {
            *next_guard += 1;
            let guard = Guard(*next_guard);
            Verification { guard, begun: now, bumps_epoch, lowest_sequence: sequence, epoch }
        });
        if epoch > verification.epoch {
            (verification.epoch, verification.lowest_sequence) = (epoch, sequence);
        } else if epoch == verification.epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(sequence);
        }
        Ok(Some(verification.guard))
    }

    /// A transactional batch or a marker was appended. The marker of a transaction that is over may come after the next
    /// one's first batch: that one's epoch is the marker's.
    pub(super) fn verified(&mut self, id: i64, epoch: i16, is_control: bool) {
        let waits = |one: &Verification| one.bumps_epoch && is_control && one.epoch == epoch;
        if self.verifications.get(&id).is_some_and(|one| !waits(one)) {
            self.verifications.remove(&id);
        }
    }
}
