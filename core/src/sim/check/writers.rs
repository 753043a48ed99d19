//! What is known of producers by their own reports: which of their records belong to which transaction, how that went, and
//! where their numbered records were read.

use std::sync::Arc;

use super::ranges::Ranges;
use crate::client::TransactionStage;
use crate::id::Offset;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

const CHUNK: usize = 1024;
/// Records of a producer of which it is known where they were read.
const MOST: u64 = 1 << 20;

/// What a client promises of itself when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Who {
    Producer {
        idempotent: bool,
        transactional_id: Option<String>,
        timeout: Duration,
        /// The consumer that it works off.
        reads: Option<String>,
    },
    Consumer {
        read_committed: bool,
    },
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub idempotent: bool,
    pub transactional_id: Option<String>,
    pub timeout: Duration,
    /// In order.
    pub transactions: Arc<Vec<Transaction>>,
    /// The numbers of records that it sent again as if they were new.
    renumbered: Ranges,
    /// The consumer that it works off.
    pub reads: Option<String>,
    /// Its numbers have begun anew, so that they do not say which record is meant.
    anew: bool,
    /// Its records are made of others.
    pub made: Option<Made>,
    read: Places,
    acked: Places,
}

/// Records that transactions make of those of a partition, numbered with their offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// The ledger of that partition.
    pub place: usize,
    /// The first offset that was given to one of them.
    pub from: Offset,
}

/// A transaction, as its application knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub begun: Instant,
    /// The numbers of its records, half open; none yet where both are the same.
    pub records: (u64, u64),
    pub stage: TransactionStage,
}

/// Where a producer's records are, by number: the partition's ledger and the offset.
#[derive(Clone, Debug, Default)]
struct Places {
    chunks: Vec<Arc<[u64; CHUNK]>>,
}

impl Places {
    /// Where that number is, which is here if nothing was known of it.
    fn first(&mut self, number: u64, place: usize, offset: Offset) -> (usize, Offset) {
        let (chunk, slot) = (number as usize / CHUNK, number as usize % CHUNK);
        while self.chunks.len() <= chunk {
            self.chunks.push(Arc::new([0; CHUNK]));
        }
        if self.chunks[chunk][slot] == 0 {
            Arc::make_mut(&mut self.chunks[chunk])[slot] = (place as u64 + 1) << 40 | offset as u64;
        }
        read_out(self.chunks[chunk][slot]).unwrap_or((place, offset))
    }

    fn get(&self, number: u64) -> Option<(usize, Offset)> {
        read_out(*self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)?)
    }

    /// What is at that place from `end` on is something else from now on.
    fn forget(&mut self, place: usize, end: Offset) {
        let gone = |there: u64| read_out(there).is_some_and(|(other, offset)| other == place && offset >= end);
        for chunk in &mut self.chunks {
            if chunk.iter().any(|there| gone(*there)) {
                Arc::make_mut(chunk).iter_mut().filter(|there| gone(**there)).for_each(|there| *there = 0);
            }
        }
    }
}

fn read_out(there: u64) -> Option<(usize, Offset)> {
    (there != 0).then(|| ((there >> 40) as usize - 1, (there & ((1 << 40) - 1)) as Offset))
}

impl Writer {
    pub fn new(idempotent: bool, transactional_id: Option<String>, timeout: Duration) -> Writer {
        Writer {
            idempotent,
            transactional_id,
            timeout,
            transactions: Arc::default(),
            renumbered: Ranges::default(),
            reads: None,
            anew: false,
            made: None,
            read: Places::default(),
            acked: Places::default(),
        }
    }

    /// Of what transactions make of the records of a partition.
    pub fn of_made(made: Made) -> Writer {
        Writer { made: Some(made), ..Writer::new(true, None, Duration::ZERO) }
    }

    /// Of a process that was started under the name of another one.
    pub fn anew() -> Writer {
        Writer { anew: true, ..Writer::new(false, None, Duration::ZERO) }
    }

    pub fn was_read(&self, number: u64) -> bool {
        number >= MOST || self.read.get(number).is_some()
    }

    /// Whether any of it was.
    pub fn is_read(&self) -> bool {
        !self.read.chunks.is_empty()
    }

    pub fn renumbered(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.renumbered.insert(*number as i64, *number as i64 + 1));
    }

    pub fn has_renumbered(&self, number: u64) -> bool {
        self.renumbered.contains(number as i64)
    }

    pub fn sent(&mut self, number: u64) {
        if self.transactions.last().is_some_and(|last| last.stage == TransactionStage::Begun)
            && let Some(open) = Arc::make_mut(&mut self.transactions).last_mut()
        {
            let from = if open.records.0 == open.records.1 { number } else { open.records.0 };
            open.records = (from, number + 1);
        }
    }

    pub fn reached(&mut self, at: Instant, stage: TransactionStage) {
        let transactions = Arc::make_mut(&mut self.transactions);
        match stage {
            TransactionStage::Initialized => {}
            TransactionStage::Begun => transactions.push(Transaction { begun: at, records: (0, 0), stage }),
            stage => transactions.last_mut().into_iter().for_each(|open| open.stage = stage),
        }
    }

    /// The transaction of a record.
    pub fn transaction_of(&self, number: u64) -> Option<&Transaction> {
        let known = self.transactions.iter().rev().filter(|_| !self.anew);
        known
            .filter(|known| known.records.0 < known.records.1)
            .find(|known| known.records.0 <= number)
            .filter(|known| number < known.records.1)
    }

    /// A record was read there; gives where it was read before, if that was elsewhere.
    pub fn read(&mut self, number: u64, place: usize, offset: Offset) -> Option<(usize, Offset)> {
        let first = (number < MOST).then(|| self.read.first(number, place, offset));
        first.filter(|first| *first != (place, offset))
    }

    /// A record was acknowledged.
    pub fn acked(&mut self, number: u64, place: usize, offset: Offset) {
        if number < MOST && self.transactional_id.is_some() {
            self.acked.first(number, place, offset);
        }
    }

    /// Where records were acknowledged that its application believes to be committed.
    pub fn committed(&self) -> impl Iterator<Item = (u64, usize, Offset)> {
        let committed = self.transactions.iter().filter(|transaction| transaction.stage == TransactionStage::Committed);
        let numbers = committed.flat_map(|transaction| transaction.records.0..transaction.records.1);
        numbers.filter_map(|number| self.acked.get(number).map(|(place, offset)| (number, place, offset)))
    }

    /// What was read and acknowledged at that place from `end` on is something else from now on.
    pub fn forget(&mut self, place: usize, end: Offset) {
        self.read.forget(place, end);
        self.acked.forget(place, end);
    }
}

/// Whose numbered record that is, and which: `p1-42`, filled up with dots.
pub(super) fn numbered<'a>(
    writers: &'a mut VecMap<Arc<str>, Writer>,
    value: Option<&[u8]>,
) -> Option<(&'a Arc<str>, &'a mut Writer, u64)> {
    let mut value = value?;
    while let Some((before, last)) = value.split_last_chunk()
        && *last == [b'.'; 16]
    {
        value = before;
    }
    let end = value.iter().rposition(|byte| *byte != b'.')? + 1;
    let (name, number) = std::str::from_utf8(&value[..end]).ok()?.rsplit_once('-')?;
    let number = number.parse().ok()?;
    writers.get_entry_mut(name).map(|(name, writer)| (name, writer, number))
}
