//! What a broker asks of the bytes that a producer sent for one partition.
//!
//! [`check`] is what needs no topic: exactly one batch of format v2, whole, CRC right, records as many and as well
//! formed as the header says. It runs where requests are decoded, on every byte that is produced: one walk over the
//! records, no allocation a record. [`Checked::obeys`] is the rest, which depends on the topic's settings; it looks at
//! records again only where something is wrong.
//!
//! 1. What [`check`] lets through has `base_offset` 0, offset deltas 0, 1, 2, …, and a `max_timestamp` that is the
//!    records' (Kafka mends a wrong one in the same way).
//!
//! Kafka lets an uncompressed batch with other offset deltas into its log, and re-packs a compressed one. Both would
//! come from a broken client; here they are refused.

use std::fmt::Write;

use bytes::Bytes;

use super::batch::{Batch, BatchHeader, Broken, HEADER_LEN, TimestampType, batches, computed_crc};
use super::compress::{self, Compression, DecompressError};
use super::record::{Malformed, RawRecord};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::time::Timestamp;

/// What was wrong. Kafka logs the reason, and tells the client no more than the code, except where single records were
/// refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub error: ErrorCode,
    pub message: String,
    /// Index in the batch, and what is wrong with that record.
    pub record_errors: Vec<(i32, String)>,
    /// No partition need be looked at to find it: Kafka refuses it before.
    pub at_sight: bool,
}

impl Invalid {
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Invalid {
        Invalid { error, message: message.into(), record_errors: Vec::new(), at_sight: false }
    }

    /// What `error_message` of a Produce response says.
    pub fn told(&self) -> Option<&str> {
        (!self.record_errors.is_empty()).then_some(&self.message)
    }
}

impl From<Malformed> for Invalid {
    fn from(malformed: Malformed) -> Invalid {
        Invalid::new(ErrorCode::InvalidRecord, malformed.0)
    }
}

impl From<DecompressError> for Invalid {
    /// For a batch that is too large Kafka's producers have a cure: they send it in two.
    fn from(error: DecompressError) -> Invalid {
        let code = match error {
            DecompressError::Corrupt { .. } => ErrorCode::UnknownServerError,
            DecompressError::TooLarge => ErrorCode::MessageTooLarge,
        };
        Invalid::new(code, error.to_string())
    }
}

/// Of so many records that were refused the client is told which they are. Kafka tells of all; an answer with a million of
/// them helps nobody.
const RECORD_ERRORS: usize = 1_000;
/// A batch with more bytes of records is refused without a word about single ones: to look at them again would keep
/// everybody else waiting.
const LOOKED_AT_AGAIN: usize = 16 << 20;

/// A batch that a producer sent, and what its records are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub batch: Batch,
    /// A record has no key: compacted topics take none such.
    pub keyless: bool,
    /// Of the records that have one; [`Timestamp::NONE`] where none has.
    pub min_timestamp: Timestamp,
    /// Bytes of its records when they are decompressed.
    pub records_len: usize,
}

/// Checks what a producer sent for one partition in a Produce request of that version.
pub fn check(version: i16, records: Option<Bytes>) -> Result<Checked, Invalid> {
    let mut budget = compress::MAX_DECOMPRESSED_LEN;
    check_within(version, records, &mut budget)
}

/// The same where no more than `budget` bytes may be decompressed, from which what is decompressed is taken away.
///
/// Errors: besides all others `MessageTooLarge`, in words of its own, where the budget is not enough.
pub fn check_within(version: i16, records: Option<Bytes>, budget: &mut usize) -> Result<Checked, Invalid> {
    let mut batch =
        the_one_batch(version, records.unwrap_or_default()).map_err(|invalid| Invalid { at_sight: true, ..invalid })?;
    let header = &batch.header;
    if header.base_offset != 0 {
        return Err(Invalid::new(
            ErrorCode::InvalidRecord,
            format!("The baseOffset of the record batch in the append should be 0, but it is {}", header.base_offset),
        ));
    }
    let computed = computed_crc(&batch.bytes);
    if computed != header.crc {
        return Err(Invalid::new(
            ErrorCode::CorruptMessage,
            format!("Record is corrupt (stored crc = {}, computed crc = {computed})", header.crc),
        ));
    }
    let codec = header
        .compression()
        .map_err(|id| Invalid::new(ErrorCode::UnknownServerError, format!("Unknown compression type id: {id}")))?;
    claims(header)?;
    let (seen, records_len) = if codec == Compression::None {
        (walk(header, &batch.bytes[HEADER_LEN..])?, batch.bytes.len() - HEADER_LEN)
    } else {
        let limit = (*budget).min(compress::MAX_DECOMPRESSED_LEN);
        let records = compress::decompress_within(codec, &batch.bytes[HEADER_LEN..], limit).inspect_err(|error| {
            if *error == DecompressError::TooLarge {
                *budget -= limit;
            }
        })?;
        *budget -= records.len();
        (walk(header, &records)?, records.len())
    };
    if header.timestamp_type() == TimestampType::CreateTime && header.max_timestamp != seen.max_timestamp {
        let mut bytes = batch.bytes.to_vec();
        batch.header.max_timestamp = seen.max_timestamp;
        let sealed = batch.header.seal(&bytes[HEADER_LEN..]);
        bytes[..HEADER_LEN].copy_from_slice(&sealed);
        batch.bytes = bytes.into();
    }
    Ok(Checked { batch, keyless: seen.keyless, min_timestamp: seen.min_timestamp, records_len })
}

/// Exactly one batch, and of a format that this version of Produce may carry.
fn the_one_batch(version: i16, records: Bytes) -> Result<Batch, Invalid> {
    let batch = match Batch::parse(records.clone()) {
        Ok(batch) => batch,
        Err(Broken::Torn) => {
            return Err(Invalid::new(
                ErrorCode::InvalidRecord,
                format!("Produce requests with version {version} must have at least one record batch per partition"),
            ));
        }
        Err(Broken::Magic(0 | 1)) => {
            return Err(Invalid::new(
                ErrorCode::InvalidRecord,
                format!(
                    "Produce requests with version {version} are only allowed to contain record batches with magic \
                     version 2"
                ),
            ));
        }
        Err(Broken::Magic(magic)) => {
            return Err(Invalid::new(ErrorCode::CorruptMessage, format!("Invalid magic found in record: {magic}")));
        }
        Err(Broken::Length(length)) => {
            return Err(Invalid::new(
                ErrorCode::CorruptMessage,
                format!(
                    "Record batch is corrupt (the size {} is smaller than the minimum allowed overhead {HEADER_LEN})",
                    i64::from(length) + 12
                ),
            ));
        }
    };
    if version < 7 && batch.header.compression() == Ok(Compression::Zstd) {
        return Err(Invalid::new(
            ErrorCode::UnsupportedCompressionType,
            format!("Produce requests with version {version} are not allowed to use ZStandard compression"),
        ));
    }
    let rest = records.slice(batch.bytes.len()..);
    // Kafka drops a torn tail after the batch without a word.
    let mut more = batches(&rest);
    match (more.next(), more.broken()) {
        (None, None | Some(Broken::Torn)) => Ok(batch),
        (Some(_), _) | (None, Some(Broken::Magic(0 | 1))) => Err(Invalid::new(
            ErrorCode::InvalidRecord,
            format!(
                "Produce requests with version {version} are only allowed to contain exactly one record batch per \
                 partition"
            ),
        )),
        (None, Some(broken)) => Err(Invalid::new(ErrorCode::CorruptMessage, broken.to_string())),
    }
}

/// What the header claims about offsets, and what only brokers may claim.
fn claims(header: &BatchHeader) -> Result<(), Invalid> {
    let invalid = |message| Err(Invalid::new(ErrorCode::InvalidRecord, message));
    let range = (header.base_offset, header.last_offset());
    if header.last_offset_delta < 0 {
        return invalid(format!("Batch has an invalid offset range: [{}, {}]", range.0, range.1));
    }
    if header.record_count <= 0 {
        return invalid(format!("Invalid reported count for record batch: {}", header.record_count));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return invalid(format!(
            "Inconsistent batch offset range [{}, {}] and count of records {}",
            range.0, range.1, header.record_count
        ));
    }
    if header.is_control() {
        return invalid("Clients are not allowed to write control records".into());
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return invalid(format!(
            "Invalid sequence number {} in record batch with producerId {}",
            header.base_sequence, header.producer_id
        ));
    }
    Ok(())
}

struct Seen {
    keyless: bool,
    min_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

fn walk(header: &BatchHeader, records: &[u8]) -> Result<Seen, Invalid> {
    let mut keyless = false;
    let mut min: Option<i64> = None;
    let mut max = Timestamp::NONE.0;
    let mut rest = records;
    for index in 0..header.record_count {
        let record = RawRecord::read(&mut rest)?;
        if record.offset_delta != index {
            return Err(Invalid::new(
                ErrorCode::InvalidRecord,
                format!("Record {index} of the batch has offset delta {}", record.offset_delta),
            ));
        }
        keyless |= record.key.is_none();
        let timestamp = header.base_timestamp.0.wrapping_add(record.timestamp_delta);
        max = max.max(timestamp);
        if timestamp != Timestamp::NONE.0 {
            min = Some(min.map_or(timestamp, |min| min.min(timestamp)));
        }
    }
    if !rest.is_empty() {
        return Err(Malformed::remaining().into());
    }
    let min_timestamp = min.map_or(Timestamp::NONE, Timestamp);
    Ok(Seen { keyless, min_timestamp, max_timestamp: Timestamp(max) })
}

/// The settings of a topic that say which records it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `cleanup.policy` holds `compact`.
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    pub before_max_ms: i64,
    pub after_max_ms: i64,
}

impl Checked {
    /// Whether a topic with these rules takes the batch now. The size is not looked at.
    pub fn obeys(&self, rules: &Rules, partition: &TopicPartition, now: Timestamp) -> Result<(), Invalid> {
        let header = &self.batch.header;
        let create_time = rules.timestamp_type == TimestampType::CreateTime;
        let in_range = |timestamp: Timestamp| {
            let behind = now.0.wrapping_sub(timestamp.0);
            behind <= rules.before_max_ms && behind.wrapping_neg() <= rules.after_max_ms
        };
        let timely = !create_time
            || self.min_timestamp == Timestamp::NONE
            || in_range(self.min_timestamp) && in_range(header.max_timestamp);
        let keyed = !(rules.compacted && self.keyless);
        if timely && keyed && header.timestamp_type() == TimestampType::CreateTime {
            return Ok(());
        }
        if self.records_len > LOOKED_AT_AGAIN {
            let untimely = !timely || header.timestamp_type() == TimestampType::LogAppendTime;
            let error = if untimely { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord };
            return Err(Invalid::new(error, format!("one of the batch's {} records at least", header.record_count)));
        }
        self.refuse(|index, raw| {
            if rules.compacted && raw.key.is_none() {
                let text = format!("Compacted topic cannot accept message without key in topic partition {partition}");
                return Some((ErrorCode::InvalidRecord, text));
            }
            if header.timestamp_type() == TimestampType::LogAppendTime {
                let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                let text = format!(
                    "Invalid timestamp type in message DefaultRecord(offset={index}, timestamp={}, key={} bytes, value={} \
                     bytes). Producer should not set timestamp type to LogAppendTime.",
                    header.max_timestamp,
                    len(raw.key),
                    len(raw.value)
                );
                return Some((ErrorCode::InvalidTimestamp, text));
            }
            let timestamp = Timestamp(header.base_timestamp.0.wrapping_add(raw.timestamp_delta));
            if create_time && timestamp != Timestamp::NONE && !in_range(timestamp) {
                let text = format!(
                    "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be \
                     within [{}, {}]",
                    now.0.wrapping_sub(rules.before_max_ms),
                    now.0.wrapping_add(rules.after_max_ms)
                );
                return Some((ErrorCode::InvalidTimestamp, text));
            }
            None
        })
    }

    /// Asks every record what is wrong with it.
    fn refuse(&self, wrong: impl Fn(i32, &RawRecord<'_>) -> Option<(ErrorCode, String)>) -> Result<(), Invalid> {
        let codec = self.batch.header.compression().unwrap_or_default();
        let records = compress::decompress(codec, self.batch.payload())?;
        let mut rest = &records[..];
        let mut untimely = false;
        let mut count = 0;
        let mut errors = Vec::new();
        for index in 0..self.batch.header.record_count {
            let record = RawRecord::read(&mut rest)?;
            if let Some((error, message)) = wrong(index, &record) {
                untimely |= error == ErrorCode::InvalidTimestamp;
                count += 1;
                if errors.len() < RECORD_ERRORS {
                    errors.push((index, message));
                }
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        if untimely {
            return Err(Invalid {
                error: ErrorCode::InvalidTimestamp,
                message: "One or more records have been rejected due to invalid timestamp".into(),
                record_errors: errors,
                at_sight: false,
            });
        }
        let mut message = format!(
            "One or more records have been rejected due to {count} record errors in total, and only showing the first \
             three errors at most: ["
        );
        for (position, (index, text)) in errors.iter().take(3).enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(message, "{comma}RecordError(batchIndex={index}, message='{text}')").expect("into memory");
        }
        message.push(']');
        Err(Invalid { error: ErrorCode::InvalidRecord, message, record_errors: errors, at_sight: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::StrBytes;

    fn builder() -> BatchBuilder {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(100), Some(b"k"), Some(b"v"), &[]);
        builder.append(Timestamp(50), None, Some(b"w"), &[]);
        builder
    }

    /// A batch whose header was changed after it was built, with its CRC made right.
    fn forged(change: impl FnOnce(&mut BatchHeader)) -> Bytes {
        let batch = builder().build();
        let mut header = batch.header;
        change(&mut header);
        let mut bytes = batch.bytes.to_vec();
        let sealed = header.seal(&bytes[HEADER_LEN..]);
        bytes[..HEADER_LEN].copy_from_slice(&sealed);
        bytes.into()
    }

    fn refused(bytes: Bytes) -> (ErrorCode, String) {
        let invalid = check(12, Some(bytes)).unwrap_err();
        assert_eq!(invalid.told(), None);
        (invalid.error, invalid.message)
    }

    #[test]
    fn a_good_batch_passes_as_it_is() {
        let batch = builder().build();
        let checked = check(12, Some(batch.bytes.clone())).unwrap();
        let records_len = batch.bytes.len() - HEADER_LEN;
        assert_eq!(checked, Checked { batch, keyless: true, min_timestamp: Timestamp(50), records_len });
    }

    #[test]
    fn what_is_not_one_whole_batch_of_format_2_is_refused() {
        let good = builder().build().bytes;
        assert_eq!(refused(Bytes::new()).0, ErrorCode::InvalidRecord);
        assert_eq!(refused(good.slice(..good.len() - 1)).0, ErrorCode::InvalidRecord);
        let twice = Bytes::from([&good[..], &good[..]].concat());
        assert!(refused(twice).1.ends_with("exactly one record batch per partition"));
        let tail = Bytes::from([&good[..], &good[..20]].concat());
        assert_eq!(check(12, Some(tail)).unwrap().batch.bytes, good);
        assert_eq!(check(12, None).unwrap_err().error, ErrorCode::InvalidRecord);
        let magic = |magic: i8| forged(|header| header.magic = magic);
        assert_eq!(refused(magic(1)).0, ErrorCode::InvalidRecord);
        assert_eq!(refused(magic(3)), (ErrorCode::CorruptMessage, "Invalid magic found in record: 3".into()));
        assert_eq!(refused(forged(|header| header.batch_length = 20)).0, ErrorCode::CorruptMessage);
        let mut corrupt = good.to_vec();
        *corrupt.last_mut().unwrap() ^= 1;
        assert_eq!(refused(corrupt.into()).0, ErrorCode::CorruptMessage);
    }

    #[test]
    fn claims_that_only_a_broker_may_make_or_that_do_not_add_up_are_refused() {
        let message = |change: fn(&mut BatchHeader)| {
            let (error, message) = refused(forged(change));
            assert_eq!(error, ErrorCode::InvalidRecord);
            message
        };
        assert!(message(|header| header.base_offset = 7).contains("should be 0, but it is 7"));
        assert_eq!(message(|header| header.last_offset_delta = -1), "Batch has an invalid offset range: [0, -1]");
        assert_eq!(message(|header| header.record_count = 0), "Invalid reported count for record batch: 0");
        assert_eq!(
            message(|header| header.record_count = 3),
            "Inconsistent batch offset range [0, 1] and count of records 3"
        );
        assert_eq!(message(|header| header.attributes = 0x20), "Clients are not allowed to write control records");
        assert_eq!(
            message(|header| header.producer_id = 5),
            "Invalid sequence number -1 in record batch with producerId 5"
        );
        let three = |header: &mut BatchHeader| (header.last_offset_delta, header.record_count) = (2, 3);
        assert_eq!(message(three), "Incorrect declared batch size, premature EOF reached");
        let one = |header: &mut BatchHeader| (header.last_offset_delta, header.record_count) = (0, 1);
        assert_eq!(message(one), "Incorrect declared batch size, records still remaining in file");
        let unknown = forged(|header| header.attributes = 5);
        assert_eq!(refused(unknown), (ErrorCode::UnknownServerError, "Unknown compression type id: 5".into()));
    }

    #[test]
    fn zstd_needs_produce_7() {
        let mut zstd = BatchBuilder::new(Compression::Zstd);
        zstd.append(Timestamp(1), None, Some(b"v"), &[]);
        let bytes = zstd.build().bytes;
        assert_eq!(check(6, Some(bytes.clone())).unwrap_err().error, ErrorCode::UnsupportedCompressionType);
        assert!(check(7, Some(bytes)).is_ok());
    }

    #[test]
    fn a_batch_of_a_million_bad_records_is_refused_in_few_words() {
        let (rules, partition) = (
            Rules {
                compacted: true,
                timestamp_type: TimestampType::CreateTime,
                before_max_ms: i64::MAX,
                after_max_ms: i64::MAX,
            },
            TopicPartition::new(TopicName(StrBytes::from_static_str("t")), 0),
        );
        let refused = |count: usize, value: &[u8]| {
            let mut builder = BatchBuilder::new(Compression::Gzip);
            for _ in 0..count {
                builder.append(Timestamp(1), None, Some(value), &[]);
            }
            let checked = check(12, Some(builder.build().bytes)).unwrap();
            checked.obeys(&rules, &partition, Timestamp(90)).unwrap_err()
        };
        let many = refused(5_000, b"");
        assert_eq!((many.error, many.record_errors.len()), (ErrorCode::InvalidRecord, RECORD_ERRORS));
        assert!(many.message.contains("due to 5000 record errors in total"), "{}", many.message);
        let large = refused(20, &[0; 1 << 20]);
        assert_eq!((large.error, large.record_errors.len()), (ErrorCode::InvalidRecord, 0));
    }

    #[test]
    fn a_wrong_max_timestamp_is_mended() {
        let checked = check(12, Some(forged(|header| header.max_timestamp = Timestamp(1)))).unwrap();
        assert_eq!(checked.batch, builder().build());
    }

    #[test]
    fn a_topic_refuses_single_records_and_says_which() {
        let partition = TopicPartition::new(TopicName(StrBytes::from_static_str("t")), 0);
        let rules = Rules {
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 10,
        };
        let checked = check(12, Some(builder().build().bytes)).unwrap();
        assert_eq!(checked.obeys(&rules, &partition, Timestamp(90)), Ok(()));
        let late = checked.obeys(&rules, &partition, Timestamp(89)).unwrap_err();
        assert_eq!(late.error, ErrorCode::InvalidTimestamp);
        assert_eq!(late.told(), Some("One or more records have been rejected due to invalid timestamp"));
        assert_eq!(late.record_errors.len(), 1);
        assert!(late.record_errors[0].1.starts_with("Timestamp 100 of message with offset 0 is out of range."));
        let append_time = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules };
        assert_eq!(checked.obeys(&append_time, &partition, Timestamp(0)), Ok(()));
        let keyless = checked.obeys(&Rules { compacted: true, ..rules }, &partition, Timestamp(90)).unwrap_err();
        assert_eq!(
            keyless.message,
            "One or more records have been rejected due to 1 record errors in total, and only showing the first three \
             errors at most: [RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in \
             topic partition t-0')]"
        );
        let mut last = BatchBuilder::new(Compression::None);
        last.append(Timestamp(i64::MAX), None, Some(b"v"), &[]);
        let last = check(12, Some(last.build().bytes)).unwrap().obeys(&rules, &partition, Timestamp(90)).unwrap_err();
        assert_eq!(last.error, ErrorCode::InvalidTimestamp);
        let stamped = check(12, Some(forged(|header| header.attributes = 0x08))).unwrap();
        let stamped = stamped.obeys(&rules, &partition, Timestamp(90)).unwrap_err();
        assert_eq!(stamped.error, ErrorCode::InvalidTimestamp);
        assert_eq!(stamped.record_errors.len(), 2);
    }
}
