//! Record batches, format v2: bytes that pass through, with a view of their header.
//!
//! `batch.rs` the 61-byte header, the CRC, what a broker stamps | `record.rs` one record, decoded |
//! `builder.rs` makes batches | `compress.rs` the four codecs | `marker.rs` the end of a transaction |
//! `check.rs` what a broker asks of a produced batch, `replicated.rs` of its leader's | `thinned.rs` what compaction
//! leaves of a batch

pub mod batch;
pub mod builder;
pub mod check;
pub mod compress;
pub mod marker;
#[allow(clippy::module_inception)]
pub mod record;
pub mod replicated;
#[cfg(test)]
mod tests;
pub(crate) mod thinned;

pub use batch::{Batch, BatchHeader, Stamp, TimestampType, batches};
pub use builder::BatchBuilder;
pub use check::Checked;
pub use compress::Compression;
pub use marker::Marker;
pub use record::{Header, Record};
pub use replicated::replicated;
