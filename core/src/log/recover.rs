//! From the bytes of a log's files to the image that [`Log::open`](super::Log::open) takes. The driver reads what a
//! [`Scanner`] wants; which bytes can be trusted and where a file stops making sense is decided here.
//!
//! ```text
//! let mut scanner = Scanner::new(&files, recovery_point);
//! while let Some(wanted) = scanner.wants() {
//!     scanner.feed(&read(wanted)); // shorter, or empty, where the file ends
//! }
//! let image = scanner.finish();
//! ```
//!
//! Below the recovery point everything was synced, and the index files with it: there a scan only looks at the last few
//! batches, to know them and to see that index and log belong together. From the recovery point on every batch is
//! checked, CRC included, and the indexes are built anew by Kafka's rule; so they are for the whole segment where an index
//! file is missing or does not fit. Whatever is no batch ends the log there.

use std::ops::Range;

use super::aborted::{self, Aborted};
use super::chunks::Chunks;
use super::epoch::{EpochCache, EpochEntry};
use super::index::{SegmentIndex, TimeEntry};
use super::lookup::Place;
use super::newest::NEWEST;
use super::snapshot::Snapshots;
use super::walk::STEP_BYTES;
use crate::crc::{crc32c, crc32c_append};
use crate::id::Offset;
use crate::record::BatchHeader;
use crate::record::batch::HEADER_LEN;
use crate::time::Timestamp;

/// Kafka's default of index.interval.bytes: what a topic set is not known while its log is recovered.
const INDEX_INTERVAL_BYTES: u32 = 4_096;
/// So much of what can be trusted is looked at nevertheless, for the dense table and the page.
const LOOK_BACK_BYTES: u32 = 16 * 1024;
/// What is asked for at a time.
const READ_BYTES: u64 = 1024 * 1024;
/// First byte that a batch's CRC covers.
const CRC_FROM: usize = 21;

/// What the driver knows of a segment before it reads the log itself.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFiles<'a> {
    /// The base offset in the files' name.
    pub base: Offset,
    /// Bytes of the `.log` file.
    pub log_len: u64,
    /// When the `.log` file was last written to.
    pub modified: Timestamp,
    /// The whole of the `.index` file; `None` if there is none.
    pub index: Option<&'a [u8]>,
    /// The whole of the `.timeindex` file; `None` if there is none.
    pub time_index: Option<&'a [u8]>,
    /// The whole of the `.txnindex` file; `None` if there is none.
    pub txn_index: Option<&'a [u8]>,
}

/// A log as recovery found it: its segments in order of their base offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogImage {
    pub segments: Vec<SegmentImage>,
    pub snapshots: Snapshots,
}

impl LogImage {
    /// An offset from which on every batch was looked at, and none is a producer's; `None` where that is not known.
    pub(super) fn plain_from(&self) -> Option<Offset> {
        let mut from = None;
        for segment in self.segments.iter().rev() {
            from = segment.plain_from.or(from);
            if segment.plain_from != Some(segment.base) {
                break;
            }
        }
        from
    }
}

/// One segment as recovery found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentImage {
    pub base: Offset,
    /// Bytes that hold whole, valid batches.
    pub valid_len: u32,
    /// Why the file stopped making sense there, where it did.
    pub torn: Option<String>,
    /// The offset after the last valid batch.
    pub next_offset: Offset,
    /// The index files do not say what `index` says: they must be written anew.
    pub stale_index: bool,
    pub(super) index: SegmentIndex,
    pub(super) aborted: Chunks<Aborted>,
    /// From here on every batch was looked at, and none is a producer's. `None` where the last one is.
    pub(super) plain_from: Option<Offset>,
    pub(super) max: Option<TimeEntry>,
    pub(super) first_timestamp: Option<Timestamp>,
    pub(super) modified: Timestamp,
    /// The last batches, up to the end of the segment.
    pub(super) tail: Chunks<Place>,
    /// As far as batches were looked at.
    pub(super) epochs: Vec<EpochEntry>,
}

/// Walks a segment: from its start, or from where its index and the recovery point say that all before can be trusted.
#[derive(Clone, Debug)]
pub struct Scanner {
    log_len: u64,
    recovery_point: Offset,
    /// What the index files hold; `None` where the image has none to compare with.
    files: Option<(Vec<u8>, Vec<u8>)>,
    /// The next entry of the index files: a batch that must be met there, and its last offset.
    claimed: Option<(Offset, u32)>,
    /// One was not: the files do not belong together, and all is read again without them.
    distrusts: bool,
    /// The header at the start of the file is still wanted, for the first batch's timestamp.
    wants_first: bool,
    done: bool,
    /// The position that a new index entry's distance counts from.
    indexed: u32,
    /// Index entries were built anew by Kafka's rule, if only none.
    recovered: bool,
    epochs: EpochCache,
    batch: Partial,
    image: SegmentImage,
}

/// The batch that is being read, as far as it has come.
#[derive(Clone, Debug, Default)]
struct Partial {
    header: Vec<u8>,
    parsed: Option<BatchHeader>,
    crc: u32,
    /// Bytes still to come after the header.
    remaining: u64,
}

impl Scanner {
    /// `recovery_point` is the log's from `recovery-point-offset-checkpoint`; 0 checks every batch.
    pub fn new(files: &SegmentFiles<'_>, recovery_point: Offset) -> Scanner {
        let on_disk = files.index.zip(files.time_index);
        let decoded = on_disk.and_then(|(index, time)| SegmentIndex::decode(files.base, index, time, files.log_len));
        let stale_index = decoded.is_none();
        let mut index = decoded.unwrap_or_else(|| SegmentIndex::new(files.base));
        index.truncate(recovery_point);
        let image = SegmentImage {
            base: files.base,
            valid_len: 0,
            torn: None,
            next_offset: files.base,
            stale_index,
            index,
            aborted: aborted::decode(files.base, files.txn_index.unwrap_or_default()),
            plain_from: Some(files.base),
            max: None,
            first_timestamp: None,
            modified: files.modified,
            tail: Chunks::new(),
            epochs: Vec::new(),
        };
        let mut scanner = Scanner {
            log_len: files.log_len,
            recovery_point,
            files: on_disk.map(|(index, time_index)| (index.to_vec(), time_index.to_vec())),
            claimed: None,
            distrusts: false,
            wants_first: false,
            done: false,
            indexed: 0,
            recovered: false,
            epochs: EpochCache::default(),
            batch: Partial::default(),
            image,
        };
        if let Some((_, last)) = scanner.image.index.last_offset() {
            scanner.indexed = last;
            scanner.claimed = scanner.image.index.first_from(last.saturating_sub(LOOK_BACK_BYTES));
            scanner.image.valid_len = scanner.claimed.map_or(0, |(_, position)| position);
            scanner.image.max = scanner.image.index.last_time();
            scanner.image.plain_from = None;
            scanner.wants_first = true;
        }
        scanner.check_end();
        scanner
    }

    /// The bytes of the `.log` file to read next (any non-empty beginning of them will do); `None` when it is done.
    pub fn wants(&self) -> Option<Range<u64>> {
        if self.wants_first {
            return Some(0..HEADER_LEN as u64);
        }
        let at = self.position() + self.batch.read();
        (!self.done).then(|| at..(at + READ_BYTES).min(self.log_len))
    }

    /// The bytes from the start of what it wanted; empty where the file ends or cannot be read.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if std::mem::take(&mut self.wants_first) {
            match BatchHeader::parse(bytes) {
                Ok(header) => self.image.first_timestamp = Some(header.max_timestamp),
                Err(_) => self.distrusts = true,
            }
        } else if bytes.is_empty() && !self.done {
            self.tear(format!("the file ends at byte {}", self.position() + self.batch.read()));
        } else {
            while !self.done && !self.distrusts && !bytes.is_empty() {
                let taken = match self.batch.parsed {
                    None => self.take_header(bytes),
                    Some(header) => self.take_payload(header, bytes),
                };
                bytes = &bytes[taken..];
            }
        }
        if self.distrusts {
            let (base, modified) = (self.image.base, self.image.modified);
            let files =
                SegmentFiles { base, log_len: self.log_len, modified, index: None, time_index: None, txn_index: None };
            let aborted = self.image.aborted.clone();
            *self = Scanner::new(&files, 0);
            self.image.aborted = aborted;
        }
    }

    pub fn finish(mut self) -> SegmentImage {
        if self.recovered {
            // A segment that was closed in order has its largest timestamp at the end of its time index.
            self.image.index.append_time(self.image.max);
        }
        if let Some((index, time_index)) = &self.files {
            let (built, built_time) = self.image.index.encode();
            self.image.stale_index |= built != *index || built_time != *time_index;
        }
        self.image.epochs = self.epochs.entries().to_vec();
        self.image
    }

    fn position(&self) -> u64 {
        self.image.valid_len.into()
    }

    fn take_header(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(HEADER_LEN - self.batch.header.len());
        self.batch.header.extend_from_slice(&bytes[..taken]);
        if self.batch.header.len() < HEADER_LEN {
            return taken;
        }
        let header = match BatchHeader::parse(&self.batch.header) {
            Ok(header) => header,
            Err(broken) => {
                self.refuse(broken.to_string());
                return taken;
            }
        };
        let last = header.base_offset.checked_add(header.last_offset_delta.into());
        let left = self.log_len - self.position();
        if header.size() as u64 > left {
            self.refuse(format!("a batch of {} bytes begins {left} bytes before the file ends", header.size()));
        } else if self.position() + header.size() as u64 > i32::MAX as u64 {
            self.refuse("the file is larger than a segment can be".to_owned());
        } else if header.base_offset < self.image.next_offset {
            self.refuse(format!("offset {} after {}", header.base_offset, self.image.next_offset - 1));
        } else if header.last_offset_delta < 0 || last.is_none_or(|last| last - self.image.base > i32::MAX.into()) {
            self.refuse(format!("last offset delta {} at offset {}", header.last_offset_delta, header.base_offset));
        } else {
            self.batch.crc = crc32c(&self.batch.header[CRC_FROM..]);
            self.batch.remaining = (header.size() - HEADER_LEN) as u64;
            self.batch.parsed = Some(header);
            if self.batch.remaining == 0 {
                self.take_batch(header);
            }
        }
        taken
    }

    fn take_payload(&mut self, header: BatchHeader, bytes: &[u8]) -> usize {
        let taken = usize::try_from(self.batch.remaining).map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
        self.batch.crc = crc32c_append(self.batch.crc, &bytes[..taken]);
        self.batch.remaining -= taken as u64;
        if self.batch.remaining == 0 {
            self.take_batch(header);
        }
        taken
    }

    /// The batch is whole.
    fn take_batch(&mut self, header: BatchHeader) {
        if self.batch.crc != header.crc {
            return self.refuse(format!("CRC {:08x} where the header says {:08x}", self.batch.crc, header.crc));
        }
        let position = self.image.valid_len;
        if let Some((last_offset, at)) = self.claimed.filter(|(_, at)| *at <= position) {
            self.distrusts = (last_offset, at) != (header.last_offset(), position);
            self.claimed = self.image.index.first_from(position + 1);
        }
        let place = Place {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            segment: self.image.base,
            position,
            // Checked: the segment's end fits 31 bits.
            size: header.size() as u32,
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            transactional: header.is_transactional(),
            control: header.is_control(),
        };
        self.image.first_timestamp.get_or_insert(header.max_timestamp);
        match header.has_producer_id() {
            true => self.image.plain_from = None,
            false => _ = self.image.plain_from.get_or_insert(place.base_offset),
        }
        if place.max_timestamp > self.image.max.map_or(Timestamp::NONE, |max| max.timestamp) {
            self.image.max = Some(TimeEntry { timestamp: place.max_timestamp, offset: place.last_offset });
        }
        let anew = self.image.stale_index || place.last_offset >= self.recovery_point;
        self.recovered |= anew;
        if position.saturating_sub(self.indexed) > if anew { INDEX_INTERVAL_BYTES } else { STEP_BYTES } {
            self.image.index.append(place.last_offset, position, self.image.max);
            self.indexed = position;
        }
        if place.leader_epoch >= 0 && self.epochs.latest().is_none_or(|latest| place.leader_epoch > latest.epoch) {
            self.epochs.assign(place.leader_epoch, place.base_offset);
        }
        self.image.tail.push(place);
        self.image.tail.shed(NEWEST);
        self.image.next_offset = place.last_offset + 1;
        self.image.valid_len = place.end();
        self.batch = Partial::default();
        self.check_end();
    }

    fn check_end(&mut self) {
        let left = self.log_len - self.position();
        if left == 0 {
            self.done = true;
        } else if left < HEADER_LEN as u64 {
            self.refuse(format!("{left} bytes are no batch"));
        }
    }

    /// What stands at the position is no batch: the file ends there, unless the index promises more.
    fn refuse(&mut self, why: String) {
        match self.claimed {
            Some(_) => self.distrusts = true,
            None => self.tear(why),
        }
    }

    fn tear(&mut self, why: String) {
        self.image.torn = Some(format!("byte {}: {why}", self.position()));
        self.done = true;
    }
}

impl Partial {
    /// Bytes of it that were fed.
    fn read(&self) -> u64 {
        let payload = self.parsed.map_or(0, |header| (header.size() - HEADER_LEN) as u64 - self.remaining);
        self.header.len() as u64 + payload
    }
}

/// Checks every batch of a segment that is in memory as a whole and has no index files (the simulator's disk).
pub fn scan(base: Offset, log: &[u8], txn_index: Option<&[u8]>, modified: Timestamp) -> SegmentImage {
    let log_len = log.len() as u64;
    let files = SegmentFiles { base, log_len, modified, index: Some(&[]), time_index: Some(&[]), txn_index };
    let mut scanner = Scanner::new(&files, 0);
    scanner.files = None;
    while let Some(wanted) = scanner.wants() {
        scanner.feed(&log[wanted.start as usize..wanted.end as usize]);
    }
    scanner.finish()
}
