//! What flexible versions are made of, for requests that kafka-protocol does not know.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Of a compact array that is not null, and cannot have more elements than there are bytes.
pub(super) fn count(frame: &mut Bytes) -> Result<u32, String> {
    match get_uvarint(frame)?.checked_sub(1) {
        Some(count) if count as usize <= frame.len() => Ok(count),
        Some(count) => Err(format!("an array of {count} elements in {} bytes", frame.len())),
        None => Err("an array is null that must not be".into()),
    }
}

pub(super) fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), String> {
    for _ in 0..get_uvarint(frame)? {
        get_uvarint(frame)?;
        let size = get_uvarint(frame)? as usize;
        if size > frame.len() {
            return Err("a tagged field is cut off".into());
        }
        frame.advance(size);
    }
    Ok(())
}

pub(super) fn get_uvarint(frame: &mut Bytes) -> Result<u32, String> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = frame.try_get_u8().map_err(|_| "a number is cut off")?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number does not end".into())
}

pub(super) fn put_uvarint(frame: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        frame.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    frame.put_u8(value as u8);
}

/// A compact string that may be null.
pub(super) fn get_string(frame: &mut Bytes) -> Result<Option<StrBytes>, String> {
    let Some(len) = get_uvarint(frame)?.checked_sub(1) else { return Ok(None) };
    if len as usize > frame.len() {
        return Err("a string is cut off".into());
    }
    StrBytes::try_from(frame.split_to(len as usize)).map(Some).map_err(|error| error.to_string())
}

pub(super) fn put_string(frame: &mut BytesMut, text: Option<&str>) {
    put_uvarint(frame, text.map_or(0, |text| text.len() as u32 + 1));
    frame.put_slice(text.unwrap_or_default().as_bytes());
}

pub(super) fn get_uuid(frame: &mut Bytes) -> Result<Uuid, String> {
    frame.try_get_u128().map(Uuid::from_u128).map_err(|_| "an id is cut off".into())
}

pub(super) fn get_i32(frame: &mut Bytes) -> Result<i32, String> {
    frame.try_get_i32().map_err(|_| "a number is cut off".into())
}
