//! What lies in a log, as marks: one for every offset, the same where the record is the same. Chunks are shared between
//! checkpoints.
//!
//! A batch that compaction thins out is other bytes of the same records: where a topic is compacted, records are marked
//! one by one.

use std::sync::Arc;

use super::consistent_read;
use crate::id::Offset;
use crate::record::{BatchHeader, Record};

const CHUNK: usize = 1024;

#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    chunks: Vec<Arc<[u64; CHUNK]>>,
    end: Offset,
}

/// What every offset of a batch is marked with: where it lies, who wrote it, and its bytes by their CRC.
pub(super) fn mark(header: &BatchHeader) -> u64 {
    let mut mark = 0xcbf2_9ce4_8422_2325_u64;
    for word in [header.base_offset as u64, header.partition_leader_epoch as u64, u64::from(header.crc)] {
        mark = (mark ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    mark | 1
}

/// The offset of a record of a compacted topic, and its mark: who wrote it, and what it is.
pub(super) fn of_record(header: &BatchHeader, record: &Record) -> (Offset, u64) {
    let mut mark = consistent_read::hash(record.timestamp.0, record.key.as_deref(), record.value.as_deref());
    for word in [record.offset as u64, header.partition_leader_epoch as u64] {
        mark = (mark ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    (record.offset, mark | 1)
}

impl Marks {
    pub fn end(&self) -> Offset {
        self.end
    }

    /// 0 where nothing is known of the offset.
    pub fn get(&self, offset: Offset) -> u64 {
        let known = usize::try_from(offset).ok().filter(|_| offset < self.end);
        let chunk = known.and_then(|place| Some((self.chunks.get(place / CHUNK)?, place % CHUNK)));
        chunk.map_or(0, |(chunk, place)| chunk[place])
    }

    /// Everything from the end up to `to` is that.
    pub fn append(&mut self, to: Offset, mark: u64) {
        while self.end < to {
            let place = self.end as usize;
            let (chunk, place) = (place / CHUNK, place % CHUNK);
            let count = ((to - self.end) as usize).min(CHUNK - place);
            while self.chunks.len() <= chunk {
                self.chunks.push(Arc::new([0; CHUNK]));
            }
            Arc::make_mut(&mut self.chunks[chunk])[place..place + count].fill(mark);
            self.end += count as Offset;
        }
    }

    /// Nothing is known of that offset any more.
    pub fn forget(&mut self, offset: Offset) {
        if self.get(offset) != 0 {
            let place = offset as usize;
            Arc::make_mut(&mut self.chunks[place / CHUNK])[place % CHUNK] = 0;
        }
    }

    /// Nothing is known of any offset any more; the log ends where it did.
    pub fn forget_all(&mut self) {
        let end = self.end;
        self.begin_at(end);
    }

    pub fn cut(&mut self, end: Offset) {
        if end < self.end {
            self.end = end.max(0);
            self.chunks.truncate((self.end as usize).div_ceil(CHUNK));
        }
    }

    /// The log begins anew at `start`, empty.
    pub fn begin_at(&mut self, start: Offset) {
        self.cut(0);
        self.append(start, 0);
    }
}
