//! **ConsistentRead**: what an offset has been read as, by anybody, it is read as ever after.
//!
//! Exempt by construction: what a log has lost ([`Seen::forget`]) is another record when it comes again. What compaction
//! has taken away is not read again, and what it leaves is what it was.

use std::sync::Arc;

use super::ledger::Ledger;
use super::{Received, Verdict};
use crate::id::Offset;

const CHUNK: usize = 1024;

/// What every offset was read as: a hash, 0 where it was not read. Chunks are shared between checkpoints.
#[derive(Clone, Default)]
pub(super) struct Seen {
    chunks: Vec<Arc<[u64]>>,
    /// The offset after the last one that was read.
    end: Offset,
}

impl Seen {
    /// What the offset was read as before, if it was; from now on it is `hash`.
    fn replace(&mut self, offset: Offset, hash: u64) -> Option<u64> {
        let place = usize::try_from(offset).ok()?;
        let (chunk, place) = (place / CHUNK, place % CHUNK);
        while self.chunks.len() <= chunk {
            self.chunks.push(Arc::new([0; CHUNK]));
        }
        self.end = self.end.max(offset + 1);
        let old = self.chunks[chunk][place];
        if old != hash {
            Arc::make_mut(&mut self.chunks[chunk])[place] = hash;
        }
        (old != 0).then_some(old)
    }

    /// Whether anybody has read that offset.
    pub fn has(&self, offset: Offset) -> bool {
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        self.chunks.get(place / CHUNK).is_some_and(|chunk| chunk[place % CHUNK] != 0)
    }

    /// The log ends at `end`. True if something was read beyond.
    pub fn forget(&mut self, end: Offset) -> bool {
        let read = self.end > end;
        for offset in end..self.end {
            self.replace(offset, 0);
        }
        self.end = self.end.min(end);
        read
    }
}

pub(super) fn hash(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ timestamp as u64;
    let mut mix = |word: u64| hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    for part in [key, value] {
        mix(part.map_or(u64::MAX, |part| part.len() as u64));
        let (words, rest) = part.unwrap_or_default().as_chunks();
        words.iter().for_each(|word| mix(u64::from_be_bytes(*word)));
        if !rest.is_empty() {
            mix(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
    hash | 1
}

pub(super) fn check(ledger: &mut Ledger, received: &Received<'_>, hash: u64) -> Verdict {
    match ledger.seen.replace(received.offset, hash) {
        Some(old) if old != hash => {
            let Received { topic, partition, offset } = received;
            let found = format!("{}-{partition} offset {offset} was read as something else before", topic.0);
            Err(("ConsistentRead", found, None))
        }
        _ => Ok(()),
    }
}
