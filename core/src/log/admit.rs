//! Whether a leader appends a batch: it must fit in a segment, and follow on what is known of its producer.

use super::producer::Appending;
use super::{Guard, Log, Placed};
use crate::error::ErrorCode;
use crate::record::check::Invalid;
use crate::record::{Batch, Marker};

/// Who wants to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer.
    Client(Verified),
    /// A coordinator, in its own topic.
    Coordinator(Verified),
    /// A transaction's coordinator, to end it, under that level of `transaction.version`.
    Marker { version: i8 },
}

/// How the transaction of a batch was verified, where one is not open yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub guard: Option<Guard>,
    /// Without a guard nothing is taken.
    pub required: bool,
}

impl Log {
    pub(super) fn fits(&self, batch: &Batch) -> Result<(), Invalid> {
        let (size, limit) = (batch.bytes.len(), self.config.segment_bytes);
        if size as u64 <= u64::from(limit) {
            return Ok(());
        }
        let message = format!(
            "Message batch size is {size} bytes in append to partition {}, which exceeds the maximum configured segment \
             size of {limit}.",
            self.directory
        );
        Err(Invalid::new(ErrorCode::RecordListTooLarge, message))
    }

    /// Checks a producer's batch, or a marker, against what is known of that producer. Gives where it is, if it is here.
    pub(super) fn admit(&self, batch: &Batch, origin: Origin) -> Result<Option<Placed>, Invalid> {
        if self.is_replaying() {
            let message = format!("the producers of {} are not known yet", self.directory);
            return Err(Invalid::new(ErrorCode::NotLeaderOrFollower, message));
        }
        let (header, producers) = (&batch.header, &self.producers);
        let at = Appending { header, at: self.end, partition: &self.directory };
        match origin {
            Origin::Client(verified) => {
                let twin = producers.duplicate(header);
                if twin.is_none() {
                    producers.check(at, verified)?;
                    producers.check_sequence(at)?;
                }
                return Ok(twin);
            }
            Origin::Coordinator(verified) => producers.check(at, verified)?,
            Origin::Marker { version } => {
                if let Some(marker) = Marker::of(batch) {
                    producers.check_marker(at, marker, version)?;
                }
            }
        }
        Ok(None)
    }
}
