//! The end of a transaction in a log: a control batch of one record.
//!
//! ```text
//! key    version i16 (0), type i16 (0 abort, 1 commit)
//! value  version i16 (0), coordinator_epoch i32
//! ```

use bytes::Bytes;

use super::batch::{Batch, NO_SEQUENCE};
use super::{BatchBuilder, Compression, Record};
use crate::time::Timestamp;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub commit: bool,
    /// The leader epoch of the partition of `__transaction_state` in which the coordinator decided.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The control batch that ends the transaction of that producer.
    pub fn batch(self, now: Timestamp, producer_id: i64, producer_epoch: i16) -> Batch {
        let kind = if self.commit { COMMIT } else { ABORT };
        let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
        let value = [&0_i16.to_be_bytes()[..], &self.coordinator_epoch.to_be_bytes()].concat();
        let mut builder = BatchBuilder::new(Compression::None);
        builder.set_producer(producer_id, producer_epoch, NO_SEQUENCE);
        builder.set_transactional();
        builder.set_control();
        builder.append(now, Some(&key), Some(&value), &[]);
        builder.build()
    }

    /// What a control batch says. `None` where it ends no transaction: a kind that is not known, or one whose record was
    /// compacted away.
    pub fn of(batch: &Batch) -> Option<Marker> {
        let record = Record::decode_first(batch, 1).ok()?.into_iter().next()?;
        Marker::parse(&record.key?, &record.value?)
    }

    fn parse(key: &Bytes, value: &Bytes) -> Option<Marker> {
        // Later versions may add fields behind these.
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        let coordinator_epoch = i32::from_be_bytes(value.get(2..6)?.try_into().ok()?);
        let commit = match kind {
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        Some(Marker { commit, coordinator_epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::HEADER_LEN;

    #[test]
    fn a_marker_has_kafkas_bytes() {
        let marker = Marker { commit: true, coordinator_epoch: 7 };
        let batch = marker.batch(Timestamp(1_700_000_000_000), 4_711, 3);
        let header = batch.header;
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4_711, 3, -1));
        assert!(header.is_control() && header.is_transactional() && batch.crc_is_right());
        // length 16, attributes, deltas, key of 4 bytes, value of 6, no headers.
        assert_eq!(batch.bytes[HEADER_LEN..], [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 7, 0]);
        assert_eq!(Marker::of(&batch), Some(marker));
    }

    #[test]
    fn what_ends_no_transaction_is_none() {
        let parse = |key: &'static [u8], value: &'static [u8]| Marker::parse(&key.into(), &value.into());
        let value = &[0, 0, 0, 0, 0, 7];
        assert_eq!(parse(&[0, 0, 0, 0], value), Some(Marker { commit: false, coordinator_epoch: 7 }));
        assert_eq!(
            parse(&[0, 9, 0, 1, 5], &[0, 9, 0, 0, 0, 7, 5]),
            Some(Marker { commit: true, coordinator_epoch: 7 })
        );
        assert_eq!(
            (parse(&[0, 0, 0, 2], value), parse(&[0, 0, 0], value), parse(&[0, 0, 0, 1], &[0])),
            (None, None, None)
        );
    }
}
