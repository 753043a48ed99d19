//! The two kinds of work that compaction does on bytes: first it learns the last offset of every key, then it decides
//! batch by batch what stays. Both are pure and take long, so whoever runs the broker does them where nobody waits.
//!
//! 1. A job takes whole batches from the start of its bytes; what is cut at the end comes with the next.
//! 2. Of a key the last record stays. A tombstone stays until its delete horizon has passed, which is set by the first
//!    cleaning that meets it (KIP-534); what lies beyond the map stays.
//! 3. The last batch below the upper bound stays, if only as an empty one: with it would go how far the log has come. So
//!    does the last of every producer that is known.
//! 4. What is corrupt is never rewritten: it would look right.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::offset_map::OffsetMap;
use super::transactions::{LastRecord, Transactions, is_last_of_producer};
use crate::id::Offset;
use crate::record::batch::{Batch, BatchHeader, batches};
use crate::record::compress;
use crate::record::record::{Malformed, RawRecord};
use crate::record::thinned::{emptied, thinned};
use crate::time::Timestamp;

/// Work on a chunk of a segment.
#[derive(Clone, Debug)]
pub enum Job {
    Index(Index),
    Filter(Filter),
}

/// A job that is done, to go on with, and what it came to. Errors: what is wrong with the bytes.
#[derive(Clone, Debug)]
pub struct Done {
    pub(super) job: Job,
    pub(super) outcome: Result<Outcome, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken(Taken),
    /// The first batch alone has so many bytes.
    Larger(u32),
}

/// So many bytes were whole batches of so many records, and this is left of them; an index leaves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub bytes: u32,
    pub records: u64,
    pub kept: Vec<Kept>,
    pub records_left: u64,
}

/// A batch that stays, whole or thinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

/// Learns which offset every key has last.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) map: Arc<OffsetMap>,
    /// Below, everything was learnt by an earlier cleaning.
    pub(super) from: Offset,
    /// Keys that it takes before it is full.
    pub(super) limit: usize,
    /// It has met a key too many.
    pub(super) full: bool,
    pub(super) transactions: Transactions,
}

/// Decides what stays.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(super) map: Arc<OffsetMap>,
    /// When the cleaning began.
    pub(super) now: Timestamp,
    pub(super) delete_retention_ms: i64,
    /// (3)
    pub(super) upper_bound: Offset,
    pub(super) last_records: Arc<BTreeMap<i64, LastRecord>>,
    pub(super) transactions: Transactions,
}

impl Job {
    /// Does the work on these bytes of a segment.
    pub fn run(mut self, bytes: &Bytes) -> Done {
        let mut taken = Taken::default();
        let mut walk = batches(bytes);
        for (header, whole) in walk.by_ref() {
            let batch = Batch { header, bytes: bytes.slice_ref(whole) };
            let done = match &mut self {
                Job::Index(index) => index.learn(&batch),
                Job::Filter(filter) => filter.decide(&batch, &mut taken),
            };
            if let Err(why) = done {
                let outcome = Err(format!("the batch at offset {}: {why}", header.base_offset));
                return Done { job: self, outcome };
            }
            taken.records += header.record_count.max(0) as u64;
            if matches!(&self, Job::Index(index) if index.full) {
                break;
            }
        }
        taken.bytes = walk.position() as u32;
        let outcome = match (taken.bytes, walk.broken()) {
            (0, Some(broken)) => match BatchHeader::parse(bytes) {
                Ok(header) => Ok(Outcome::Larger(header.size() as u32)),
                Err(_) => Err(broken.to_string()),
            },
            (0, None) => Err("the file ends before its segment does".to_owned()),
            _ => Ok(Outcome::Taken(taken)),
        };
        Done { job: self, outcome }
    }
}

impl Index {
    fn learn(&mut self, batch: &Batch) -> Result<(), Malformed> {
        let header = &batch.header;
        let aborted = self.transactions.met(batch);
        let map = Arc::make_mut(&mut self.map);
        if !header.is_control() && !aborted {
            let payload = records(batch)?;
            let mut rest = &payload[..];
            for _ in 0..header.record_count {
                let record = RawRecord::read(&mut rest)?;
                let offset = record.offset(header);
                let Some(key) = record.key.filter(|_| offset >= self.from) else { continue };
                if map.len() >= self.limit {
                    self.full = true;
                    return Ok(());
                }
                map.put(key, offset);
            }
        }
        if header.last_offset() >= self.from {
            map.set_latest(header.last_offset());
        }
        Ok(())
    }
}

impl Filter {
    /// Adds what is left of the batch.
    fn decide(&mut self, batch: &Batch, taken: &mut Taken) -> Result<(), Malformed> {
        let header = &batch.header;
        // (4)
        if !batch.crc_is_right() {
            return Err(Malformed("its CRC is wrong".to_owned()));
        }
        let goes = self.transactions.met(batch);
        let is_over = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let discarded = goes && (!header.is_control() || is_over);
        // (3)
        let stays_empty = is_last_of_producer(header, &self.last_records) || header.next_offset() == self.upper_bound;
        let empty = |taken: &mut Taken| {
            if stays_empty {
                taken.kept.push(Kept::from(emptied(header)));
            }
            Ok(())
        };
        if discarded {
            return empty(taken);
        }
        let payload = records(batch)?;
        let mut rest = &payload[..];
        let mut retained = Vec::new();
        let mut has_tombstone = false;
        for _ in 0..header.record_count {
            let record = RawRecord::read(&mut rest)?;
            if header.is_control() || self.stays(header, &record) {
                has_tombstone |= record.value.is_none();
                retained.push(record);
            }
        }
        if retained.is_empty() {
            return empty(taken);
        }
        let marks_nothing = goes && header.is_control();
        let sets_horizon = (has_tombstone || marks_nothing) && header.delete_horizon().is_none();
        taken.records_left += retained.len() as u64;
        taken.kept.push(if retained.len() == header.record_count as usize && !sets_horizon {
            Kept { header: *header, bytes: batch.bytes.clone() }
        } else if sets_horizon {
            let horizon = Timestamp(self.now.0.saturating_add(self.delete_retention_ms));
            Kept::from(thinned(header, &retained, Some(horizon)))
        } else {
            Kept::from(thinned(header, &retained, header.delete_horizon()))
        });
        Ok(())
    }

    /// (2)
    fn stays(&self, header: &BatchHeader, record: &RawRecord<'_>) -> bool {
        let offset = record.offset(header);
        if offset > self.map.latest() {
            return true;
        }
        // A record without a key has no place here; it is from before the topic was compacted.
        let Some(key) = record.key else { return false };
        let is_last = self.map.get(key).is_none_or(|last| offset >= last);
        is_last && (record.value.is_some() || header.delete_horizon().is_none_or(|horizon| self.now < horizon))
    }
}

/// The records of a batch, decompressed.
fn records(batch: &Batch) -> Result<Bytes, Malformed> {
    let codec = batch.header.compression().map_err(|id| Malformed(format!("Unknown compression type id: {id}")))?;
    compress::decompress(codec, batch.payload()).map_err(|error| Malformed(error.to_string()))
}

impl From<Batch> for Kept {
    fn from(batch: Batch) -> Kept {
        Kept { header: batch.header, bytes: batch.bytes }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Job::Index(_) => "learn keys",
            Job::Filter(_) => "thin out",
        })
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(Outcome::Taken(Taken { bytes, kept, .. })) => {
                let left: usize = kept.iter().map(|one| one.bytes.len()).sum();
                match &self.job {
                    Job::Index(index) => write!(f, "{} keys in {bytes} B", index.map.len()),
                    Job::Filter(_) => write!(f, "{left} B of {bytes} B stay"),
                }
            }
            Ok(Outcome::Larger(size)) => write!(f, "the next batch has {size} B"),
            Err(why) => f.write_str(why),
        }
    }
}
