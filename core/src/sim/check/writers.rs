//! What is known of producers by their own reports: which of their records belong to which transaction, how that went, and
//! where their numbered records were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::Stage;
use crate::id::Offset;
use crate::time::{Duration, Instant};

const CHUNK: usize = 1024;
/// Records of a producer of which it is known where they were read.
const MOST: u64 = 1 << 20;

/// What a client promises of itself when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Who {
    Producer { idempotent: bool, transactional_id: Option<String>, timeout: Duration },
    Consumer { read_committed: bool },
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub idempotent: bool,
    pub transactional_id: Option<String>,
    pub timeout: Duration,
    /// In order.
    pub transactions: Arc<Vec<Transaction>>,
    read: Read,
}

/// A transaction, as its application knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub begun: Instant,
    /// The numbers of its records, half open; none yet where both are the same.
    pub records: (u64, u64),
    pub stage: Stage,
}

/// Where a producer's records were read first, by number: the partition's ledger and the offset.
#[derive(Clone, Debug, Default)]
struct Read {
    chunks: Vec<Arc<[u64; CHUNK]>>,
}

impl Writer {
    pub fn new(idempotent: bool, transactional_id: Option<String>, timeout: Duration) -> Writer {
        Writer { idempotent, transactional_id, timeout, transactions: Arc::default(), read: Read::default() }
    }

    pub fn sent(&mut self, number: u64) {
        if let Some(open) = Arc::make_mut(&mut self.transactions).last_mut()
            && open.stage == Stage::Begun
        {
            let from = if open.records.0 == open.records.1 { number } else { open.records.0 };
            open.records = (from, number + 1);
        }
    }

    pub fn reached(&mut self, at: Instant, stage: Stage) {
        let transactions = Arc::make_mut(&mut self.transactions);
        match stage {
            Stage::Initialized => {}
            Stage::Begun => transactions.push(Transaction { begun: at, records: (0, 0), stage }),
            stage => transactions.last_mut().into_iter().for_each(|open| open.stage = stage),
        }
    }

    /// The transaction of a record.
    pub fn transaction_of(&self, number: u64) -> Option<&Transaction> {
        let known = self.transactions.iter().rev();
        known
            .filter(|known| known.records.0 < known.records.1)
            .find(|known| known.records.0 <= number)
            .filter(|known| number < known.records.1)
    }

    /// A record was read there; gives where it was read before, if that was elsewhere.
    pub fn read(&mut self, number: u64, place: usize, offset: Offset) -> Option<(usize, Offset)> {
        if number >= MOST {
            return None;
        }
        let (chunk, slot) = (number as usize / CHUNK, number as usize % CHUNK);
        while self.read.chunks.len() <= chunk {
            self.read.chunks.push(Arc::new([0; CHUNK]));
        }
        let here = (place as u64 + 1) << 40 | offset as u64;
        match self.read.chunks[chunk][slot] {
            0 => {
                Arc::make_mut(&mut self.read.chunks[chunk])[slot] = here;
                None
            }
            there if there == here => None,
            there => Some(((there >> 40) as usize - 1, (there & ((1 << 40) - 1)) as Offset)),
        }
    }

    /// What was read at that place from `end` on is something else from now on.
    pub fn forget(&mut self, place: usize, end: Offset) {
        for chunk in &mut self.read.chunks {
            let gone = |there: u64| {
                there != 0 && (there >> 40) as usize - 1 == place && (there & ((1 << 40) - 1)) as Offset >= end
            };
            if chunk.iter().any(|there| gone(*there)) {
                Arc::make_mut(chunk).iter_mut().filter(|there| gone(**there)).for_each(|there| *there = 0);
            }
        }
    }
}

/// Whose numbered record that is, and which: `p1-42`, filled up with dots.
pub(super) fn numbered<'a>(
    writers: &'a mut BTreeMap<Arc<str>, Writer>,
    value: Option<&[u8]>,
) -> Option<(&'a Arc<str>, &'a mut Writer, u64)> {
    let value = value?;
    let end = value.iter().rposition(|byte| *byte != b'.')? + 1;
    let (name, number) = std::str::from_utf8(&value[..end]).ok()?.rsplit_once('-')?;
    let number = number.parse().ok()?;
    // The one with the name, whose key is shared with what is told of it.
    writers
        .range_mut::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Included(name)))
        .next()
        .map(|(name, writer)| (name, writer, number))
}
