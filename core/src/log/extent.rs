//! Where bytes lie, as whoever has the bytes is told of it.

use std::fmt;

use crate::id::{LogId, Offset};

/// A run of bytes of one segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log: LogId,
    /// Base offset of the segment.
    pub segment: Offset,
    /// First byte in the segment's file.
    pub position: u32,
    /// Bytes.
    pub len: u32,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segment {} byte {} {} B", self.log, self.segment, self.position, self.len)
    }
}
