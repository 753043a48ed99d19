//! The serializer: a record's key and value as bytes, by the classes that `key.serializer` and `value.serializer` name.
//!
//! Numbered records say who made them and which they are, so that what arrives can be matched with what was sent: value
//! `p1-42`, filled up with dots to `value.size`; key `key-6`, one of `keys`. Of a serializer that takes no text they have the
//! number alone.

use std::io::Write;

use super::application::Made;
use super::settings::Settings;
use crate::client::SendRecord;
use crate::client::exception::Exception;
use crate::client::serdes::{Part, Serde};
use crate::record::Header;
use crate::record::batch::HEADER_LEN;
use crate::time::Timestamp;

/// Bytes of a record's fields aside from key, value and headers, at most (`DefaultRecord.MAX_RECORD_OVERHEAD`).
const MAX_RECORD_OVERHEAD: usize = 21;

#[derive(Clone, Debug)]
pub struct Serializer {
    name: String,
    /// Room that is used again for every record.
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A record as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Serialized<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header],
    pub timestamp: Timestamp,
}

impl Serializer {
    pub fn new(name: &str) -> Self {
        Serializer { name: name.to_string(), key: Vec::new(), value: Vec::new() }
    }

    pub fn serialize<'a>(
        &'a mut self,
        (number, record): (u64, &'a Made),
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Serialized<'a>, Exception> {
        let (key, value) = (settings.key_serializer, settings.value_serializer);
        let Made::Chosen(chosen) = record else {
            let name = &self.name;
            let key = match settings.keys {
                0 => None,
                keys => numbered(key, number % keys, &mut self.key, |key| {
                    // Writing to memory does not fail.
                    let _ = write!(key, "key-{}", number % keys);
                }),
            };
            let value = numbered(value, number, &mut self.value, |value| {
                let _ = write!(value, "{name}-{number}");
                if value.len() < settings.value_size {
                    value.resize(settings.value_size, b'.');
                }
            });
            return Ok(Serialized { key, value, headers: &[], timestamp: now });
        };
        let SendRecord { key: text, value: other, timestamp, .. } = &chosen.record;
        Ok(Serialized {
            key: self::chosen(key, Part::Key, text.as_deref(), &mut self.key)?,
            value: self::chosen(value, Part::Value, other.as_deref(), &mut self.value)?,
            headers: &chosen.headers,
            timestamp: timestamp.map_or(now, Timestamp),
        })
    }
}

/// A number as bytes, or the text that is made of it.
fn numbered(serde: Serde, number: u64, room: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) -> Option<&[u8]> {
    room.clear();
    if !serde.number(number, room) {
        if serde == Serde::Void {
            return None;
        }
        text(room);
    }
    Some(room)
}

/// What somebody chose as bytes.
fn chosen<'a>(
    serde: Serde,
    part: Part,
    text: Option<&'a [u8]>,
    room: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Exception> {
    match text {
        Some(text) if !serde.is_plain() => {
            room.clear();
            serde.serialize(part, text, room)?;
            Ok(Some(room))
        }
        plain => Ok(plain),
    }
}

impl Serialized<'_> {
    /// Bytes of a batch of this record alone, at most (`AbstractRecords.estimateSizeInBytesUpperBound`).
    pub fn upper_bound(&self) -> usize {
        let sized = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| varint_len(bytes.len()) + bytes.len());
        let headers: usize =
            self.headers.iter().map(|header| sized(Some(header.key.as_bytes())) + sized(header.value.as_deref())).sum();
        HEADER_LEN
            + MAX_RECORD_OVERHEAD
            + sized(self.key)
            + sized(self.value)
            + varint_len(self.headers.len())
            + headers
    }

    /// Kafka's `ensureValidRecordSize`, with its text of a `RecordTooLargeException`.
    pub fn ensure_valid_size(&self, settings: &Settings) -> Result<(), Exception> {
        let too_large = |message| Err(Exception::new("RecordTooLargeException", message));
        let size = self.upper_bound();
        if size > settings.max_request_size {
            return too_large(format!(
                "The message is {size} bytes when serialized which is larger than {}, which is the value of the \
                 max.request.size configuration.",
                settings.max_request_size
            ));
        }
        if size as u64 > settings.buffer_memory {
            return too_large(format!(
                "The message is {size} bytes when serialized which is larger than the total memory buffer you have \
                 configured with the buffer.memory configuration."
            ));
        }
        Ok(())
    }
}

/// Bytes of a length as a zig-zag varint.
fn varint_len(length: usize) -> usize {
    let zigzag = (length as u64) << 1;
    (64 - zigzag.leading_zeros() as usize).max(1).div_ceil(7)
}
