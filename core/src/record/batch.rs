//! A record batch v2: 61 bytes of header, then records, possibly compressed.
//!
//! ```text
//!  0 base_offset i64            8 batch_length i32 (of what follows)   12 partition_leader_epoch i32
//! 16 magic i8 (2)              17 crc u32, CRC-32C of bytes 21..       21 attributes i16
//! 23 last_offset_delta i32     27 base_timestamp i64                   35 max_timestamp i64
//! 43 producer_id i64           51 producer_epoch i16                   53 base_sequence i32   57 record_count i32
//! ```
//!
//! Base offset and leader epoch lie outside the CRC, so a broker stamps a batch without touching the rest
//! (<https://kafka.apache.org/documentation/#recordbatch>).

use bytes::Bytes;

use crate::id::{LeaderEpoch, Offset};
use crate::time::Timestamp;

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes before those that `batch_length` counts.
pub const LOG_OVERHEAD: usize = 12;
/// Base offset, length, leader epoch, magic: enough to walk from batch to batch.
pub const MAGIC: i8 = 2;

/// The header of a batch, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    pub batch_length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Bytes of the whole batch in a log.
    pub fn size(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }
}

/// One batch, whole: a slice of the buffer it came in, and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

/// What a leader writes into a batch as it appends it. The driver applies it to the bytes that it writes
/// ([`Stamp::apply`]); the record bytes stay untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Set under `message.timestamp.type=LogAppendTime`: it becomes the max timestamp, the timestamp type's bit is
    /// set, and the CRC, which covers both, is computed anew.
    pub append_time: Option<Timestamp>,
}
