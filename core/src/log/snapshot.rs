//! Snapshots of a log's producers, in Kafka's `.snapshot` files: what was known when the log ended at the offset that the
//! file is named by. One is taken where a segment begins and at a clean stop, so that there is little to replay.
//!
//! ```text
//! version i16 (1) | crc u32, CRC-32C of what follows | count i32 | entries:
//! producer_id i64 | epoch i16 | last_sequence i32 | last_offset i64 | offset_delta i32 | timestamp i64
//! | coordinator_epoch i32 | current_txn_first_offset i64 (−1 is none)
//! ```
//!
//! 1. The newest [`KEPT`] are in memory too; whoever must go back further begins at the start of the log.
//! 2. There is none above the log's end, and none below its first segment.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Log;
use super::producer::{Producer, Producers, Written};
use crate::broker::effect::Effect;
use crate::crc::crc32c;
use crate::id::Offset;
use crate::time::Timestamp;
use crate::vec_map::VecMap;

/// How the files' names end.
pub const SUFFIX: &str = ".snapshot";

const VERSION: i16 = 1;
const CRC_FROM: usize = 6;
const ENTRY_LEN: usize = 46;
/// Of segments that are older nobody truncates, but after an unclean election.
pub const KEPT: usize = 3;

/// The snapshot files of a log: what is in those that are in memory, nothing for the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    files: VecMap<Offset, Option<Bytes>>,
}

impl Snapshots {
    /// From files by name; of those older than the newest [`KEPT`] only the names are looked at.
    pub fn found<'a>(files: impl Iterator<Item = (&'a str, Bytes)>) -> Snapshots {
        let mut snapshots = Snapshots::default();
        for (name, contents) in files {
            if let Some(at) = offset(name) {
                snapshots.put(at, contents);
            }
        }
        snapshots
    }

    fn latest(&self) -> Option<Offset> {
        self.files.keys().next_back().copied()
    }

    fn put(&mut self, at: Offset, contents: Bytes) {
        self.files.insert(at, Some(contents));
        for contents in self.files.values_mut().rev().skip(KEPT) {
            *contents = None;
        }
    }

    /// Takes out those that `goes` says of.
    fn take(&mut self, goes: impl Fn(Offset) -> bool) -> Vec<Offset> {
        let gone: Vec<Offset> = self.files.keys().copied().filter(|at| goes(*at)).collect();
        gone.iter().for_each(|at| _ = self.files.remove(at));
        gone
    }
}

/// By which offset a file is named, if it is a snapshot.
pub fn offset(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a snapshot says; `None` where it is damaged.
pub fn decode(mut file: &[u8]) -> Option<Vec<(i64, Producer)>> {
    let computed = crc32c(file.get(CRC_FROM..)?);
    if file.try_get_i16().ok()? != VERSION || file.try_get_u32().ok()? != computed {
        return None;
    }
    let count = usize::try_from(file.try_get_i32().ok()?).ok()?;
    (file.len() == count.checked_mul(ENTRY_LEN)?).then_some(())?;
    let entries = (0..count).map(|_| {
        let (id, epoch) = (file.get_i64(), file.get_i16());
        let (last_sequence, last_offset, offset_delta) = (file.get_i32(), file.get_i64(), file.get_i32());
        let (timestamp, coordinator_epoch, first) = (Timestamp(file.get_i64()), file.get_i32(), file.get_i64());
        let mut producer = Producer::new(epoch, coordinator_epoch, timestamp, (first >= 0).then_some(first));
        if last_offset >= 0 {
            producer.push(epoch, Written { last_sequence, last_offset, offset_delta, timestamp });
        }
        (id, producer)
    });
    Some(entries.collect())
}

pub fn encode(producers: &Producers) -> Bytes {
    let mut file = BytesMut::with_capacity(CRC_FROM + 4 + producers.len() * ENTRY_LEN);
    file.put_i16(VERSION);
    file.put_u32(0);
    file.put_i32(producers.len() as i32);
    for (id, producer) in producers.iter() {
        let last = producer.last();
        file.put_i64(id);
        file.put_i16(producer.epoch);
        file.put_i32(producer.last_sequence());
        file.put_i64(last.map_or(-1, |last| last.last_offset));
        file.put_i32(last.map_or(0, |last| last.offset_delta));
        file.put_i64(producer.last_timestamp.0);
        file.put_i32(producer.coordinator_epoch);
        file.put_i64(producer.transaction.unwrap_or(-1));
    }
    let crc = crc32c(&file[CRC_FROM..]);
    file[2..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    file.freeze()
}

impl Log {
    /// Saves what is known of the producers, unless nothing has come since the last time.
    pub fn take_snapshot(&mut self, out: &mut Vec<Effect>) {
        if self.is_replaying() || self.snapshots.latest().unwrap_or(self.log_start) >= self.end {
            return;
        }
        let contents = encode(&self.producers);
        out.push(Effect::Save { file: self.snapshot_file(self.end), contents: contents.clone() });
        Arc::make_mut(&mut self.snapshots).put(self.end, contents);
    }

    /// (2)
    pub(super) fn erase_snapshots(&mut self, goes: impl Fn(Offset) -> bool, out: &mut Vec<Effect>) {
        if self.snapshots.files.keys().any(|at| goes(*at)) {
            for at in Arc::make_mut(&mut self.snapshots).take(goes) {
                out.push(Effect::Erase { file: self.snapshot_file(at) });
            }
        }
    }

    /// The newest snapshot at or below `limit` that is whole and in memory: its offset and what it says. Damaged ones are
    /// removed.
    pub(super) fn newest_snapshot(
        &mut self,
        limit: Offset,
        out: &mut Vec<Effect>,
    ) -> Option<(Offset, Vec<(i64, Producer)>)> {
        loop {
            let (&at, contents) = self.snapshots.files.range(..=limit).next_back()?;
            match decode(contents.as_ref()?) {
                Some(producers) => return Some((at, producers)),
                None => self.erase_snapshots(|one| one == at, out),
            }
        }
    }

    fn snapshot_file(&self, at: Offset) -> String {
        format!("{}/{at:020}{SUFFIX}", self.directory)
    }
}
