//! One record, decoded; and the walk over a batch's records that decodes nothing it need not.
//!
//! ```text
//! length varint | attributes i8 | timestamp_delta varlong | offset_delta varint
//! key_length varint (−1: null), key | value_length varint (−1: null), value
//! header_count varint, headers: key_length varint, key, value_length varint (−1: null), value
//! ```
//!
//! Varints are zig-zag. Whatever a record claims is bounded by the bytes that are there.

use std::fmt;

use bytes::Bytes;

use super::batch::{Batch, BatchHeader, TimestampType};
use super::compress;
use crate::id::Offset;
use crate::time::Timestamp;

/// Bytes of the smallest record: a length, attributes, two deltas, two lengths and a header count, a byte each.
pub(crate) const MIN_RECORD_LEN: usize = 7;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In the order in which they were written; a name may come twice.
    pub headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is not UTF-8 in it is replaced, as Java does.
    pub key: String,
    pub value: Option<Bytes>,
}

/// Why a batch's records cannot be read, in Kafka's words where it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Record {
    /// All records of a batch, decompressed. Keys and values are slices of the batch, or of what was decompressed.
    /// Under LogAppendTime every record has the batch's max timestamp.
    pub fn decode(batch: &Batch) -> Result<Vec<Record>, Malformed> {
        Self::decode_first(batch, usize::MAX)
    }

    /// The same, for the first `limit` records; those after them are not looked at.
    pub fn decode_first(batch: &Batch, limit: usize) -> Result<Vec<Record>, Malformed> {
        let header = &batch.header;
        let codec = header.compression().map_err(|id| Malformed(format!("Unknown compression type id: {id}")))?;
        let payload = batch.payload();
        let payload = compress::decompress(codec, payload).map_err(|error| Malformed(error.to_string()))?;
        let count = usize::try_from(header.record_count)
            .map_err(|_| Malformed(format!("Found invalid record count {} in magic v2 batch", header.record_count)))?;
        let count = count.min(limit);
        let mut records = Vec::with_capacity(count.min(payload.len() / MIN_RECORD_LEN));
        let mut rest = &payload[..];
        for _ in 0..count {
            let raw = RawRecord::read(&mut rest)?;
            records.push(Record {
                offset: raw.offset(header),
                timestamp: raw.timestamp(header),
                key: raw.key.map(|key| payload.slice_ref(key)),
                value: raw.value.map(|value| payload.slice_ref(value)),
                headers: raw.headers(&payload)?,
            });
        }
        if count == header.record_count as usize && !rest.is_empty() {
            return Err(Malformed::remaining());
        }
        Ok(records)
    }
}

impl Malformed {
    pub(crate) fn remaining() -> Malformed {
        Malformed("Incorrect declared batch size, records still remaining in file".into())
    }

    fn structure() -> Malformed {
        Malformed("Found invalid record structure".into())
    }
}

/// A record where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    header_count: i32,
    headers: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// The record at the start of `input`, which then begins after it. Headers are walked over, so that a record that
    /// is read is well formed.
    #[inline]
    pub(crate) fn read(input: &mut &'a [u8]) -> Result<RawRecord<'a>, Malformed> {
        let Some(size) = read_varint(input) else {
            return Err(Malformed("Incorrect declared batch size, premature EOF reached".into()));
        };
        if size < 0 {
            return Err(Malformed::structure());
        }
        if size as usize > input.len() {
            return Err(Malformed(format!(
                "Invalid record size: expected {size} bytes in record payload, but instead the buffer has only {} \
                 remaining bytes.",
                input.len()
            )));
        }
        let (mut body, rest) = input.split_at(size as usize);
        *input = rest;
        Self::read_body(&mut body)
    }

    #[inline]
    fn read_body(body: &mut &'a [u8]) -> Result<RawRecord<'a>, Malformed> {
        let size = body.len();
        let structure = Malformed::structure;
        // Attributes of single records are unused so far.
        take(body, 1).ok_or_else(structure)?;
        let timestamp_delta = read_varlong(body).ok_or_else(structure)?;
        let offset_delta = read_varint(body).ok_or_else(structure)?;
        let key = read_nullable(body).ok_or_else(structure)?;
        let value = read_nullable(body).ok_or_else(structure)?;
        let header_count = read_varint(body).ok_or_else(structure)?;
        if header_count < 0 {
            return Err(Malformed(format!("Found invalid number of record headers {header_count}")));
        }
        if header_count as usize > body.len() {
            return Err(Malformed(format!(
                "Found invalid number of record headers. {header_count} is larger than the remaining size of the buffer"
            )));
        }
        let headers = *body;
        for _ in 0..header_count {
            read_header(body)?;
        }
        if !body.is_empty() {
            return Err(Malformed(format!(
                "Invalid record size: expected to read {size} bytes in record payload, but instead read {}",
                size - body.len()
            )));
        }
        Ok(RawRecord { timestamp_delta, offset_delta, key, value, header_count, headers })
    }

    /// In the batch of that header.
    pub(crate) fn offset(&self, header: &BatchHeader) -> Offset {
        header.base_offset.wrapping_add(i64::from(self.offset_delta))
    }

    /// In the batch of that header.
    pub(crate) fn timestamp(&self, header: &BatchHeader) -> Timestamp {
        match header.timestamp_type() {
            TimestampType::CreateTime => Timestamp(header.base_timestamp.0.wrapping_add(self.timestamp_delta)),
            TimestampType::LogAppendTime => header.max_timestamp,
        }
    }

    /// Appends the record as it was read, but for the timestamp's delta.
    pub(crate) fn write(&self, out: &mut Vec<u8>, timestamp_delta: i64) {
        let nullable = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len());
        let body = 1
            + varint_len(timestamp_delta)
            + varint_len(self.offset_delta.into())
            + nullable(self.key)
            + nullable(self.value)
            + varint_len(self.header_count.into())
            + self.headers.len();
        write_varint(out, body as i64);
        out.push(0);
        write_varint(out, timestamp_delta);
        write_varint(out, self.offset_delta.into());
        write_nullable(out, self.key);
        write_nullable(out, self.value);
        write_varint(out, self.header_count.into());
        out.extend_from_slice(self.headers);
    }

    fn headers(&self, payload: &Bytes) -> Result<Vec<Header>, Malformed> {
        let mut input = self.headers;
        (0..self.header_count)
            .map(|_| {
                let (key, value) = read_header(&mut input)?;
                let key = String::from_utf8_lossy(key).into_owned();
                Ok(Header { key, value: value.map(|value| payload.slice_ref(value)) })
            })
            .collect()
    }
}

fn read_header<'a>(input: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), Malformed> {
    let key_size = read_varint(input).ok_or_else(Malformed::structure)?;
    if key_size < 0 {
        return Err(Malformed(format!("Invalid negative header key size {key_size}")));
    }
    let key = take(input, key_size as usize).ok_or_else(Malformed::structure)?;
    let value = read_nullable(input).ok_or_else(Malformed::structure)?;
    Ok((key, value))
}

/// A length and that many bytes; any negative length is null, as in Kafka.
#[inline]
fn read_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let size = read_varint(input)?;
    if size < 0 {
        return Some(None);
    }
    Some(Some(take(input, size as usize)?))
}

#[inline]
fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(taken)
}

/// A zig-zag varint of at most five bytes; `None` where it does not end.
#[inline]
pub(crate) fn read_varint(input: &mut &[u8]) -> Option<i32> {
    // Most are one byte.
    if let [byte @ ..0x80, rest @ ..] = *input {
        *input = rest;
        return Some(i32::from(byte >> 1) ^ -i32::from(byte & 1));
    }
    let mut value = 0_u32;
    for (index, &byte) in input.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    None
}

/// A zig-zag varint of at most ten bytes; `None` where it does not end.
#[inline]
pub(crate) fn read_varlong(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for (index, &byte) in input.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Appends a zig-zag varint; Kafka's varint and varlong are the same bytes for the same number.
pub(crate) fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1) as u64 ^ (value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a length and that many bytes; −1 is null.
pub(crate) fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varint(out, -1),
        Some(bytes) => {
            write_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Bytes of a zig-zag varint.
pub(crate) fn varint_len(value: i64) -> usize {
    let zigzag = (value << 1) as u64 ^ (value >> 63) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression};

    #[test]
    fn varints_are_zig_zag_and_bounded() {
        for value in [0, -1, 1, 63, -64, 64, 300, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            let mut input = &bytes[..];
            assert_eq!(read_varlong(&mut input), Some(value));
            assert!(input.is_empty());
            if let Ok(small) = i32::try_from(value) {
                assert_eq!(read_varint(&mut &bytes[..]), Some(small));
            }
        }
        assert_eq!(read_varint(&mut &[0xff; 6][..]), None);
        assert_eq!(read_varlong(&mut &[0xff; 11][..]), None);
        assert_eq!(read_varint(&mut &[0x80][..]), None);
    }

    #[test]
    fn duplicate_headers_are_kept_in_order() {
        let headers = [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&b"2"[..]))];
        let headers: Vec<Header> = headers
            .into_iter()
            .map(|(key, value)| Header { key: key.into(), value: value.map(Bytes::copy_from_slice) })
            .collect();
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(5), None, None, &headers);
        let records = Record::decode(&builder.build()).unwrap();
        assert_eq!(records, [Record { offset: 0, timestamp: Timestamp(5), key: None, value: None, headers }]);
    }

    #[test]
    fn under_log_append_time_every_record_has_the_max_timestamp() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(5), None, Some(b"a"), &[]);
        builder.append(Timestamp(6), None, Some(b"b"), &[]);
        let batch = builder.build();
        let stamp = crate::record::Stamp { base_offset: 9, leader_epoch: 0, append_time: Some(Timestamp(77)) };
        let stamped = Batch { header: stamp.header(&batch), bytes: batch.bytes };
        let records = Record::decode(&stamped).unwrap();
        let seen: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp.0)).collect();
        assert_eq!(seen, [(9, 77), (10, 77)]);
    }
}
