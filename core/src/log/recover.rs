//! From the bytes of a log's files to the image that [`Log::open`](super::Log::open) takes. The driver reads what a
//! [`Scanner`] wants; which bytes can be trusted and where a file stops making sense is decided here.
//!
//! ```ignore
//! let mut scanner = Scanner::new(&files, recovery_point);
//! while let Some(wanted) = scanner.wants() {
//!     scanner.feed(&read(wanted)); // shorter, or empty, where the file ends
//! }
//! let image = scanner.finish();
//! ```

use std::ops::Range;

use crate::id::Offset;
use crate::time::Timestamp;

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
}

/// Walks a segment: from its start, or from where its index and the recovery point say that all before can be trusted.
#[derive(Clone, Debug)]
pub struct Scanner {}

impl Scanner {
    /// `recovery_point` is the log's from `recovery-point-offset-checkpoint`; 0 checks every batch.
    pub fn new(_files: &SegmentFiles<'_>, _recovery_point: Offset) -> Scanner {
        todo!()
    }
    /// The bytes of the `.log` file to read next (any non-empty beginning of them will do); `None` when it is done.
    pub fn wants(&self) -> Option<Range<u64>> {
        todo!()
    }
    /// The bytes from the start of what it wanted; empty where the file ends or cannot be read.
    pub fn feed(&mut self, _bytes: &[u8]) {
        todo!()
    }
    pub fn finish(self) -> SegmentImage {
        todo!()
    }
}

/// Checks every batch of a segment that is in memory as a whole and keeps no index files (the simulator's disk).
pub fn scan(_base: Offset, _log: &[u8], _modified: Timestamp) -> SegmentImage {
    todo!()
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
}

/// A log as recovery found it: its segments in order of their base offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogImage {
    pub segments: Vec<SegmentImage>,
}
