//! Makes batches: records in, one v2 batch out.

use bytes::Bytes;

use super::batch::{Batch, BatchHeader, HEADER_LEN, LOG_OVERHEAD, MAGIC, NO_PRODUCER_ID, NO_SEQUENCE};
use super::record::{varint_len, write_nullable, write_varint};
use super::{Compression, Header, compress};
use crate::time::Timestamp;

/// Collects records of one batch. Offsets count from 0; the leader stamps the base.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    producer: Option<(i64, i16, i32)>,
    transactional: bool,
    control: bool,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    /// Room for the header, then the records, encoded but not compressed.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(compression: Compression) -> BatchBuilder {
        // Few batches have less.
        let mut bytes = Vec::with_capacity(512);
        bytes.resize(HEADER_LEN, 0);
        BatchBuilder {
            compression,
            producer: None,
            transactional: false,
            control: false,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            count: 0,
            bytes,
        }
    }

    /// All that it has; what is left builds no batch.
    pub fn take(&mut self) -> BatchBuilder {
        BatchBuilder { bytes: std::mem::take(&mut self.bytes), ..*self }
    }

    /// Makes it the batch of an idempotent producer; `base_sequence` is the first record's.
    pub fn set_producer(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        self.producer = Some((producer_id, producer_epoch, base_sequence));
    }

    pub fn set_transactional(&mut self) {
        self.transactional = true;
    }

    /// Makes it a control batch, which only brokers write.
    pub(super) fn set_control(&mut self) {
        self.control = true;
    }

    /// Adds a record; gives its offset in the batch.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> i32 {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        let offset_delta = self.count;
        let body = body_len(timestamp_delta, offset_delta, key, value, headers);
        let out = &mut self.bytes;
        write_varint(out, body as i64);
        out.push(0);
        write_varint(out, timestamp_delta);
        write_varint(out, offset_delta.into());
        write_nullable(out, key);
        write_nullable(out, value);
        write_varint(out, headers.len() as i64);
        for header in headers {
            write_nullable(out, Some(header.key.as_bytes()));
            write_nullable(out, header.value.as_deref());
        }
        self.count += 1;
        offset_delta
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records so far.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes that the batch would have if it were built now, uncompressed: what `batch.size` is compared with.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that one more record would add, uncompressed.
    pub fn record_size(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> usize {
        let base = if self.count == 0 { timestamp } else { self.base_timestamp };
        let body = body_len(timestamp.0.wrapping_sub(base.0), self.count, key, value, headers);
        varint_len(body as i64) + body
    }

    pub fn build(self) -> Batch {
        let (producer_id, producer_epoch, base_sequence) = self.producer.unwrap_or((NO_PRODUCER_ID, -1, NO_SEQUENCE));
        let mut bytes = self.bytes;
        if self.compression != Compression::None {
            let payload = compress::compress(self.compression, &bytes[HEADER_LEN..]);
            bytes.truncate(HEADER_LEN);
            bytes.extend_from_slice(&payload);
        }
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: (bytes.len() - LOG_OVERHEAD) as i32,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: self.compression as i16,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: self.count,
        };
        if self.transactional {
            header.set_transactional();
        }
        if self.control {
            header.set_control();
        }
        let sealed = header.seal(&bytes[HEADER_LEN..]);
        bytes[..HEADER_LEN].copy_from_slice(&sealed);
        Batch { header, bytes: Bytes::from(bytes) }
    }
}

fn body_len(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header],
) -> usize {
    let nullable = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len());
    let headers_len: usize =
        headers.iter().map(|header| nullable(Some(header.key.as_bytes())) + nullable(header.value.as_deref())).sum();
    1 + varint_len(timestamp_delta)
        + varint_len(offset_delta.into())
        + nullable(key)
        + nullable(value)
        + varint_len(headers.len() as i64)
        + headers_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn what_is_built_decodes_to_what_was_appended_under_every_codec() {
        for compression in Compression::ALL {
            let mut builder = BatchBuilder::new(compression);
            builder.set_producer(7, 1, 100);
            let headers = [Header { key: "h".into(), value: None }];
            for index in 0..1_000_i64 {
                let value = format!("value {index} {}", "x".repeat(index as usize % 300));
                let key = (index % 3 != 0).then(|| index.to_string());
                let before = builder.size();
                let key = key.as_ref().map(String::as_bytes);
                let adds = builder.record_size(Timestamp(index * 3), key, Some(value.as_bytes()), &headers);
                builder.append(Timestamp(index * 3), key, Some(value.as_bytes()), &headers);
                assert_eq!(builder.size() - before, adds);
            }
            let batch = builder.build();
            assert_eq!(Batch::parse(batch.bytes.clone()).unwrap(), batch);
            assert!(batch.crc_is_right());
            assert_eq!(batch.header.compression(), Ok(compression));
            assert_eq!((batch.header.base_sequence, batch.header.last_sequence()), (100, 1_099));
            assert_eq!(batch.header.max_timestamp, Timestamp(2_997));
            let records = Record::decode(&batch).unwrap();
            assert_eq!(records.len(), 1_000);
            assert_eq!(records[999].offset, 999);
            assert_eq!(records[999].key, None);
            assert_eq!(records[998].key.as_deref(), Some(&b"998"[..]));
            assert!(records[998].value.as_ref().unwrap().starts_with(b"value 998 xxx"));
        }
    }
}
