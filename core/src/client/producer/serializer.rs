//! The serializer: a record's key and value as bytes.
//!
//! Numbered records say who made them and which they are, so that what arrives can be matched with what was sent: value
//! `p1-42`, filled up with dots to `value.size`; key `key-6`, one of `keys`.

use std::fmt::Write;

use super::application::Made;
use super::settings::Settings;
use crate::client::exception::Exception;
use crate::record::Header;
use crate::record::batch::HEADER_LEN;
use crate::time::Timestamp;

/// Bytes of a record's fields aside from key, value and headers, at most (`DefaultRecord.MAX_RECORD_OVERHEAD`).
const MAX_RECORD_OVERHEAD: usize = 21;

#[derive(Clone, Debug)]
pub struct Serializer {
    name: String,
    /// Room that is used again for every record.
    key: String,
    value: String,
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
        Serializer { name: name.to_string(), key: String::new(), value: String::new() }
    }

    pub fn serialize<'a>(
        &'a mut self,
        (number, record): (u64, &'a Made),
        settings: &Settings,
        now: Timestamp,
    ) -> Serialized<'a> {
        match record {
            Made::Chosen(chosen) => Serialized {
                key: chosen.record.key.as_deref(),
                value: chosen.record.value.as_deref(),
                headers: &chosen.headers,
                timestamp: chosen.record.timestamp.map_or(now, Timestamp),
            },
            Made::Numbered => {
                self.value.clear();
                self.key.clear();
                // Writing to a string does not fail.
                let _ = write!(self.value, "{}-{}", self.name, number);
                if self.value.len() < settings.value_size {
                    let missing = settings.value_size - self.value.len();
                    self.value.extend(std::iter::repeat_n('.', missing));
                }
                if settings.keys > 0 {
                    let _ = write!(self.key, "key-{}", number % settings.keys);
                }
                Serialized {
                    key: (settings.keys > 0).then_some(self.key.as_bytes()),
                    value: Some(self.value.as_bytes()),
                    headers: &[],
                    timestamp: now,
                }
            }
        }
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
