//! Ids for idempotent producers.
//!
//! As Kafka does, a broker takes ids from a block that it has reserved on disk beforehand, so that no id is given out
//! twice, whatever happens. Kafka's controller hands the blocks out; here every broker has a range of its own.

use bytes::Bytes;

use super::{Effect, Image};
use crate::id::BrokerId;

/// Kafka's PRODUCER_ID_BLOCK_SIZE.
const BLOCK: i64 = 1_000;

/// Ids of one broker: far more than it can give out.
const RANGE_BITS: u32 = 32;

/// The first id that is not reserved, as a decimal number.
const FILE: &str = "producer-id-block";

#[derive(Clone)]
pub(super) struct ProducerIds {
    next: i64,
    /// Ids below are reserved on disk.
    reserved: i64,
}

impl ProducerIds {
    pub fn open(broker: BrokerId, image: &mut Image) -> Result<ProducerIds, String> {
        let next = match image.files.get(FILE) {
            None => i64::from(broker.0) << RANGE_BITS,
            Some(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| format!("{FILE}: expected a number, found {:?}", String::from_utf8_lossy(text)))?,
        };
        Ok(ProducerIds { next, reserved: next })
    }

    /// An id that nobody has.
    pub fn next(&mut self, out: &mut Vec<Effect>) -> i64 {
        if self.next == self.reserved {
            self.reserved += BLOCK;
            let contents = Bytes::from(format!("{}\n", self.reserved));
            out.push(Effect::Save { file: FILE.to_owned(), contents });
        }
        self.next += 1;
        self.next - 1
    }
}
