//! Raw deflate streams in memory, and gzip's frame around them.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::stream::{self, InflateState};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

use crate::crc::crc32;

/// Why bytes could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    Corrupt(&'static str),
    TooLarge,
}

/// Bytes that a stream is asked for at once.
const CHUNK: usize = 32 << 10;

/// `level` is zlib's: 0 to 9.
pub fn deflate(bytes: &[u8], level: u8) -> Vec<u8> {
    compress_to_vec(bytes, level)
}

/// Puts what the stream at the start of `bytes` holds behind `out`, which is to have at most `limit` bytes; what follows
/// the stream.
pub fn inflate<'a>(bytes: &'a [u8], out: &mut Vec<u8>, limit: usize) -> Result<&'a [u8], InflateError> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut rest = bytes;
    loop {
        let start = out.len();
        out.resize(start + CHUNK.min(limit + 1 - start), 0);
        let step = stream::inflate(&mut state, rest, &mut out[start..], MZFlush::None);
        out.truncate(start + step.bytes_written);
        rest = &rest[step.bytes_consumed..];
        if out.len() > limit {
            return Err(InflateError::TooLarge);
        }
        match step.status {
            Ok(MZStatus::StreamEnd) => return Ok(rest),
            Ok(_) if step.bytes_consumed + step.bytes_written > 0 => {}
            _ => return Err(InflateError::Corrupt("corrupt deflate stream")),
        }
    }
}

/// What every gzip stream begins with: its magic and "deflate".
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// The magic, no flags, no time, no hint, and written on a system that is not said.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// What a header may have, by flag.
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

/// One gzip stream, of zlib's default level.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GZIP_HEADER.to_vec();
    out.extend(deflate(bytes, 6));
    out.extend(crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// Puts what one or more gzip streams hold behind `out`, which is to have at most `limit` bytes.
pub fn gunzip(bytes: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), InflateError> {
    let mut rest = bytes;
    loop {
        let start = out.len();
        let deflated = after_header(rest).ok_or(InflateError::Corrupt("invalid gzip header"))?;
        let trailer = inflate(deflated, out, limit)?;
        let (trailer, after) = trailer.split_first_chunk::<8>().ok_or(InflateError::Corrupt("the trailer is cut"))?;
        let inflated = &out[start..];
        let expected = [crc32(inflated).to_le_bytes(), (inflated.len() as u32).to_le_bytes()];
        if trailer != expected.as_flattened() {
            return Err(InflateError::Corrupt("the checksum or the length is wrong"));
        }
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}

fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let (fixed, mut rest) = bytes.split_first_chunk::<{ GZIP_HEADER.len() }>()?;
    let flags = fixed[3];
    if !fixed.starts_with(&GZIP_MAGIC) {
        return None;
    }
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(u16::from_le_bytes(*len).into()..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let header = &bytes[..bytes.len() - rest.len()];
        let (checksum, after) = rest.split_first_chunk::<2>()?;
        if *checksum != (crc32(header) as u16).to_le_bytes() {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_may_have_all_that_gzip_knows() {
        let mut packed = gzip(b"text");
        let body = packed.split_off(GZIP_HEADER.len());
        packed[3] = HEADER_CRC | EXTRA | NAME | COMMENT;
        packed.extend(b"\x03\0abcname\0comment\0");
        packed.extend((crc32(&packed) as u16).to_le_bytes());
        let header_len = packed.len();
        packed.extend(body);
        let mut out = b"before ".to_vec();
        assert_eq!((gunzip(&packed, &mut out, 11), &out[..]), (Ok(()), &b"before text"[..]));

        for cut in 0..packed.len() {
            assert!(matches!(gunzip(&packed[..cut], &mut Vec::new(), 100), Err(InflateError::Corrupt(_))), "at {cut}");
        }
        packed[header_len - 1] ^= 1;
        assert_eq!(gunzip(&packed, &mut Vec::new(), 100), Err(InflateError::Corrupt("invalid gzip header")));
    }

    #[test]
    fn a_wrong_checksum_is_found() {
        let mut packed = gzip(b"text");
        let at = packed.len() - 8;
        packed[at] ^= 1;
        assert!(matches!(gunzip(&packed, &mut Vec::new(), 100), Err(InflateError::Corrupt(_))));
    }
}
