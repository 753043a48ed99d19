//! A batch with fewer records: what compaction leaves of it, byte for byte as Kafka does.
//!
//! 1. Base offset, last offset, sequence, epochs and codec are the old batch's: offsets keep their records, and producers
//!    their place.
//! 2. The base timestamp is the first record's, or the delete horizon where there is one (KIP-534).

use bytes::Bytes;

use super::batch::{Batch, BatchHeader, HEADER_LEN, LOG_OVERHEAD, TimestampType};
use super::compress::{self, Compression};
use super::record::RawRecord;
use crate::time::Timestamp;

/// The batch of `header` with only these of its records, at least one.
pub(crate) fn thinned(header: &BatchHeader, records: &[RawRecord<'_>], horizon: Option<Timestamp>) -> Batch {
    let timestamp = |record: &RawRecord<'_>| record.timestamp(header);
    let base_timestamp = horizon.or_else(|| records.first().map(timestamp)).unwrap_or(Timestamp::NONE);
    let max_timestamp = match header.timestamp_type() {
        TimestampType::CreateTime => records.iter().map(timestamp).max().unwrap_or(Timestamp::NONE),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    let mut payload = Vec::new();
    for record in records {
        record.write(&mut payload, timestamp(record).0.wrapping_sub(base_timestamp.0));
    }
    let codec = header.compression().unwrap_or_default();
    if codec != Compression::None {
        payload = compress::compress(codec, &payload);
    }
    let mut header = *header;
    header.set_delete_horizon(horizon.is_some());
    sealed(BatchHeader { base_timestamp, max_timestamp, record_count: records.len() as i32, ..header }, &payload)
}

/// The batch of `header` without any record: it says how far its producer and its offsets had come.
pub(crate) fn emptied(header: &BatchHeader) -> Batch {
    let mut header = *header;
    header.set_delete_horizon(false);
    header.set_compression(Compression::None);
    sealed(BatchHeader { base_timestamp: Timestamp::NONE, record_count: 0, ..header }, &[])
}

fn sealed(mut header: BatchHeader, payload: &[u8]) -> Batch {
    header.batch_length = (HEADER_LEN - LOG_OVERHEAD + payload.len()) as i32;
    let mut bytes = Vec::with_capacity(header.size());
    bytes.extend_from_slice(&header.seal(payload));
    bytes.extend_from_slice(payload);
    Batch { header, bytes: Bytes::from(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Header, Record, Stamp};

    /// Ten records, the key of each its number, written at offset 100 by producer 7.
    fn batch(codec: Compression) -> Batch {
        let mut builder = BatchBuilder::new(codec);
        builder.set_producer(7, 2, 30);
        for index in 0..10_i64 {
            let headers = [Header { key: "h".into(), value: Some(Bytes::from_static(b"x")) }];
            let value = (index != 4).then_some(&b"value"[..]);
            builder.append(Timestamp(1_000 + index), Some(&[index as u8]), value, &headers);
        }
        let batch = builder.build();
        let stamp = Stamp { base_offset: 100, leader_epoch: 3, append_time: None };
        let bytes = [&stamp.apply(&batch)[..], &batch.payload()].concat();
        Batch::parse(bytes.into()).unwrap()
    }

    fn keep(batch: &Batch, kept: &[usize], horizon: Option<Timestamp>) -> Batch {
        let payload = compress::decompress(batch.header.compression().unwrap(), batch.payload()).unwrap();
        let mut rest = &payload[..];
        let records: Vec<_> = (0..10).map(|_| RawRecord::read(&mut rest).unwrap()).collect();
        let records: Vec<_> = kept.iter().map(|at| records[*at]).collect();
        thinned(&batch.header, &records, horizon)
    }

    #[test]
    fn the_records_that_stay_are_the_same_and_keep_their_offsets() {
        for codec in Compression::ALL {
            let old = batch(codec);
            let new = keep(&old, &[3, 4, 8], None);
            assert!(new.crc_is_right());
            let all = Record::decode(&old).unwrap();
            assert_eq!(Record::decode(&new).unwrap(), [3, 4, 8].map(|at: usize| all[at].clone()));
            let header = new.header;
            assert_eq!((header.base_offset, header.last_offset(), header.record_count), (100, 109, 3));
            assert_eq!((header.base_timestamp, header.max_timestamp), (Timestamp(1_003), Timestamp(1_008)));
            assert_eq!((header.base_sequence, header.last_sequence(), header.producer_epoch), (30, 39, 2));
            assert_eq!((header.partition_leader_epoch, header.compression()), (3, Ok(codec)));
        }
    }

    #[test]
    fn a_delete_horizon_takes_the_base_timestamps_place_and_no_records_time() {
        let old = batch(Compression::None);
        let new = keep(&old, &[4, 9], Some(Timestamp(5_000_000)));
        assert_eq!(new.header.delete_horizon(), Some(Timestamp(5_000_000)));
        let times: Vec<_> = Record::decode(&new).unwrap().iter().map(|record| record.timestamp.0).collect();
        assert_eq!((times, new.header.max_timestamp), (vec![1_004, 1_009], Timestamp(1_009)));
    }

    #[test]
    fn an_emptied_batch_keeps_its_offsets_and_its_producers_place() {
        let old = batch(Compression::Zstd);
        let new = emptied(&old.header);
        assert!(new.crc_is_right() && new.bytes.len() == HEADER_LEN);
        assert_eq!(Record::decode(&new).unwrap(), []);
        assert_eq!((new.header.base_offset, new.header.last_offset(), new.header.last_sequence()), (100, 109, 39));
        assert_eq!((new.header.base_timestamp, new.header.max_timestamp), (Timestamp::NONE, Timestamp(1_009)));
    }
}
