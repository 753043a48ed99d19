//! A record batch v2: 61 bytes of header, then records, possibly compressed.
//!
//! ```text
//!  0 base_offset i64            8 batch_length i32 (of what follows)   12 partition_leader_epoch i32
//! 16 magic i8 (2)              17 crc u32, CRC-32C of bytes 21..       21 attributes i16
//! 23 last_offset_delta i32     27 base_timestamp i64                   35 max_timestamp i64
//! 43 producer_id i64           51 producer_epoch i16                   53 base_sequence i32   57 record_count i32
//! ```
//!
//! Base offset and leader epoch lie outside the CRC, so a broker stamps a batch without touching the rest
//! (<https://kafka.apache.org/documentation/#recordbatch>).
//!
//! 1. A [`Batch`] is whole: `header` is what `bytes` say, and `bytes` are as long as `header.size()`.
//! 2. A size is at least [`HEADER_LEN`]; nothing else in a header is to be trusted before [`check`](super::check).

use std::fmt;

use bytes::Bytes;

use super::Compression;
use crate::crc::{crc32c, crc32c_append};
use crate::id::{LeaderEpoch, Offset};
use crate::time::Timestamp;
use crate::view::HeaderField;

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes before those that `batch_length` counts.
pub const LOG_OVERHEAD: usize = 12;
/// The format that this is.
pub const MAGIC: i8 = 2;
/// Producer id, epoch and sequence of a producer that is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_SEQUENCE: i32 = -1;

/// What the CRC covers begins here.
pub(crate) const ATTRIBUTES_AT: usize = 21;
const MAGIC_AT: usize = 16;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// The header of a batch, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    pub batch_length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

/// Why bytes do not begin with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// They end before the batch does: a torn tail, or a record set that was cut at a size limit.
    Torn,
    /// A `batch_length` that no batch can have.
    Length(i32),
    /// Not format v2.
    Magic(i8),
}

/// Whose time a batch bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

impl BatchHeader {
    /// The header at the start of `bytes`, which need hold no more than the header.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, Broken> {
        if bytes.len() <= MAGIC_AT {
            return Err(Broken::Torn);
        }
        let batch_length = i32_at(bytes, 8);
        let magic = bytes[MAGIC_AT] as i8;
        if magic != MAGIC {
            return Err(Broken::Magic(magic));
        }
        if batch_length < (HEADER_LEN - LOG_OVERHEAD) as i32 || batch_length > i32::MAX - LOG_OVERHEAD as i32 {
            return Err(Broken::Length(batch_length));
        }
        if bytes.len() < HEADER_LEN {
            return Err(Broken::Torn);
        }
        Ok(BatchHeader {
            base_offset: i64_at(bytes, 0),
            batch_length,
            partition_leader_epoch: i32_at(bytes, 12),
            magic,
            crc: i32_at(bytes, 17) as u32,
            attributes: i16_at(bytes, 21),
            last_offset_delta: i32_at(bytes, 23),
            base_timestamp: Timestamp(i64_at(bytes, 27)),
            max_timestamp: Timestamp(i64_at(bytes, 35)),
            producer_id: i64_at(bytes, 43),
            producer_epoch: i16_at(bytes, 51),
            base_sequence: i32_at(bytes, 53),
            record_count: i32_at(bytes, 57),
        })
    }

    /// The header's 61 bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[16] = self.magic as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch in a log.
    pub fn size(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().wrapping_add(1)
    }

    /// The codec; an id that Kafka does not have is given back.
    pub fn compression(&self) -> Result<Compression, i16> {
        Compression::from_id(self.attributes & COMPRESSION_MASK).ok_or(self.attributes & COMPRESSION_MASK)
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Markers of transactions, which only brokers write.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// From when on compaction may drop the batch's tombstones; it takes the base timestamp's place.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Written by an idempotent producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The sequence number of the last record; it wraps to 0 after `i32::MAX`, as Kafka's does.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) % (1 << 31)) as i32
    }

    /// Name, value in words, first byte and length of every field, in their order.
    pub fn fields(&self) -> Vec<HeaderField> {
        let field = |name: &str, at, len, value: String| HeaderField { name: name.into(), value, at, len };
        vec![
            field("base_offset", 0, 8, self.base_offset.to_string()),
            field("batch_length", 8, 4, format!("{} bytes follow", self.batch_length)),
            field("partition_leader_epoch", 12, 4, or_none(self.partition_leader_epoch.into())),
            field("magic", 16, 1, self.magic.to_string()),
            field("crc", 17, 4, format!("0x{:08x}", self.crc)),
            field("attributes", 21, 2, self.attributes_in_words()),
            field("last_offset_delta", 23, 4, self.last_offset_delta.to_string()),
            field("base_timestamp", 27, 8, or_none(self.base_timestamp.0)),
            field("max_timestamp", 35, 8, or_none(self.max_timestamp.0)),
            field("producer_id", 43, 8, or_none(self.producer_id)),
            field("producer_epoch", 51, 2, or_none(self.producer_epoch.into())),
            field("base_sequence", 53, 4, or_none(self.base_sequence.into())),
            field("record_count", 57, 4, self.record_count.to_string()),
        ]
    }

    fn attributes_in_words(&self) -> String {
        let mut words = format!("0x{:04x}: ", self.attributes);
        match self.compression() {
            Ok(Compression::None) => words.push_str("not compressed"),
            Ok(codec) => words.push_str(codec.name()),
            Err(id) => words.push_str(&format!("unknown codec {id}")),
        }
        words.push_str(match self.timestamp_type() {
            TimestampType::CreateTime => ", CreateTime",
            TimestampType::LogAppendTime => ", LogAppendTime",
        });
        for (set, word) in [
            (self.is_transactional(), ", transactional"),
            (self.is_control(), ", control"),
            (self.delete_horizon().is_some(), ", delete horizon"),
        ] {
            if set {
                words.push_str(word);
            }
        }
        words
    }

    pub(crate) fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !LOG_APPEND_TIME_BIT,
            TimestampType::LogAppendTime => self.attributes |= LOG_APPEND_TIME_BIT,
        }
    }

    pub(crate) fn set_compression(&mut self, codec: Compression) {
        self.attributes = self.attributes & !COMPRESSION_MASK | codec as i16;
    }

    pub(crate) fn set_delete_horizon(&mut self, set: bool) {
        self.attributes = self.attributes & !DELETE_HORIZON_BIT | if set { DELETE_HORIZON_BIT } else { 0 };
    }

    pub(crate) fn set_transactional(&mut self) {
        self.attributes |= TRANSACTIONAL_BIT;
    }

    pub(crate) fn set_control(&mut self) {
        self.attributes |= CONTROL_BIT;
    }

    /// Makes the CRC right for this header in front of `records`; gives the header's bytes.
    pub(crate) fn seal(&mut self, records: &[u8]) -> [u8; HEADER_LEN] {
        let mut bytes = self.encode();
        self.crc = crc32c_append(crc32c(&bytes[ATTRIBUTES_AT..]), records);
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes
    }
}

fn or_none(value: i64) -> String {
    if value == -1 { "−1 (none)".into() } else { value.to_string() }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Torn => f.write_str("the bytes end before the batch does"),
            Broken::Length(length) => write!(f, "a batch cannot have a length of {length} bytes"),
            Broken::Magic(magic) => write!(f, "the batch has magic {magic}, not {MAGIC}"),
        }
    }
}

/// One batch, whole: a slice of the buffer it came in, and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl Batch {
    /// The same records as a batch of that producer, whose first one has `base_sequence`.
    pub fn of_producer(&self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Batch {
        let mut header = BatchHeader { producer_id, producer_epoch, base_sequence, ..self.header };
        let records = &self.bytes[HEADER_LEN..];
        let sealed = header.seal(records);
        Batch { header, bytes: [&sealed[..], records].concat().into() }
    }

    /// The batch at the start of `bytes`; what follows it is left out.
    pub fn parse(bytes: Bytes) -> Result<Batch, Broken> {
        let header = BatchHeader::parse(&bytes)?;
        if bytes.len() < header.size() {
            return Err(Broken::Torn);
        }
        Ok(Batch { header, bytes: bytes.slice(..header.size()) })
    }

    /// Everything after the header, compressed as it is.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }

    pub fn crc_is_right(&self) -> bool {
        computed_crc(&self.bytes) == self.header.crc
    }
}

/// The CRC of a whole batch's bytes, as its header should have it.
pub fn computed_crc(batch: &[u8]) -> u32 {
    crc32c(&batch[ATTRIBUTES_AT..])
}

/// Walks over batches that lie one after another. Stops at the end, or at what is not a whole batch: then
/// [`Batches::broken`] says why, and [`Batches::position`] where.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, position: 0, broken: None }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    broken: Option<Broken>,
}

impl Batches<'_> {
    /// Bytes of the whole batches so far: where the next one begins.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What stopped the walk before the end of the bytes.
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }
}

impl<'a> Iterator for Batches<'a> {
    /// The header, and the bytes of the whole batch, header included.
    type Item = (BatchHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() || self.broken.is_some() {
            return None;
        }
        match BatchHeader::parse(rest) {
            Ok(header) if header.size() <= rest.len() => {
                self.position += header.size();
                Some((header, &rest[..header.size()]))
            }
            Ok(_) => {
                self.broken = Some(Broken::Torn);
                None
            }
            Err(broken) => {
                self.broken = Some(broken);
                None
            }
        }
    }
}

/// What a leader writes into a batch as it appends it. The driver applies it to the bytes that it writes
/// ([`Stamp::apply`]); the record bytes stay untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Set under `message.timestamp.type=LogAppendTime`: it becomes the max timestamp, the timestamp type's bit is
    /// set, and the CRC, which covers both, is computed anew.
    pub append_time: Option<Timestamp>,
}

impl Stamp {
    /// The 61 bytes to write in front of `batch.bytes[HEADER_LEN..]`.
    pub fn apply(&self, batch: &Batch) -> [u8; HEADER_LEN] {
        self.header(batch).encode()
    }

    /// The header that [`Stamp::apply`] encodes.
    pub fn header(&self, batch: &Batch) -> BatchHeader {
        let mut header = batch.header;
        header.base_offset = self.base_offset;
        header.partition_leader_epoch = self.leader_epoch;
        if let Some(time) = self.append_time {
            header.max_timestamp = time;
            header.set_timestamp_type(TimestampType::LogAppendTime);
            header.seal(&batch.bytes[HEADER_LEN..]);
        }
        header
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    fn batch() -> Batch {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1_700_000_000_000), Some(b"k"), Some(b"v"), &[]);
        builder.append(Timestamp(1_700_000_000_005), None, Some(b"w"), &[]);
        builder.build()
    }

    #[test]
    fn a_stamp_outside_the_crc_leaves_the_crc_right() {
        let batch = batch();
        let stamp = Stamp { base_offset: 42, leader_epoch: 7, append_time: None };
        let mut written = batch.bytes.to_vec();
        written[..HEADER_LEN].copy_from_slice(&stamp.apply(&batch));
        let stamped = Batch::parse(written.into()).unwrap();
        assert!(stamped.crc_is_right());
        assert_eq!(stamped.header.crc, batch.header.crc);
        assert_eq!((stamped.header.base_offset, stamped.header.last_offset()), (42, 43));
        assert_eq!(stamped.header.partition_leader_epoch, 7);
    }

    #[test]
    fn append_time_replaces_the_max_timestamp_and_the_crc() {
        let batch = batch();
        let stamp = Stamp { base_offset: 0, leader_epoch: 0, append_time: Some(Timestamp(99)) };
        let mut written = batch.bytes.to_vec();
        written[..HEADER_LEN].copy_from_slice(&stamp.apply(&batch));
        let stamped = Batch::parse(written.into()).unwrap();
        assert!(stamped.crc_is_right());
        assert_eq!(stamped.header.max_timestamp, Timestamp(99));
        assert_eq!(stamped.header.timestamp_type(), TimestampType::LogAppendTime);
    }

    #[test]
    fn a_walk_stops_where_the_tail_is_torn() {
        let one = batch().bytes;
        let mut bytes = [&one[..], &one[..], &one[..]].concat();
        bytes.truncate(2 * one.len() + 60);
        let mut walk = batches(&bytes);
        assert_eq!(walk.by_ref().count(), 2);
        assert_eq!((walk.position(), walk.broken()), (2 * one.len(), Some(Broken::Torn)));
        bytes[one.len() + MAGIC_AT] = 1;
        let mut walk = batches(&bytes);
        assert_eq!(walk.by_ref().count(), 1);
        assert_eq!(walk.broken(), Some(Broken::Magic(1)));
    }

    #[test]
    fn a_header_tells_its_fields_in_words_and_encodes_to_what_it_was_parsed_from() {
        let batch = batch();
        assert_eq!(batch.header.encode(), batch.bytes[..HEADER_LEN]);
        let fields = batch.header.fields();
        assert_eq!(fields.iter().map(|field| field.len as usize).sum::<usize>(), HEADER_LEN);
        assert_eq!(fields[5].value, "0x0000: not compressed, CreateTime");
        assert_eq!(fields[9].value, "−1 (none)");
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut header = batch().header;
        header.base_sequence = i32::MAX;
        assert_eq!(header.last_sequence(), 0);
    }
}
