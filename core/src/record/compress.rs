//! The four codecs, as Kafka frames them, in pure Rust.
//!
//! gzip is a plain gzip stream; snappy is snappy-java's stream of length-prefixed blocks behind a 16-byte header, though
//! some clients send one raw block; lz4 is the LZ4 frame format with independent blocks (all that Java reads); zstd is
//! plain zstd frames. Readers take several streams one after another, except of lz4, as Java's do.
//!
//! What comes out of a batch is at most [`MAX_DECOMPRESSED_LEN`] bytes, and of all batches of a request at most
//! [`MAX_REQUEST_DECOMPRESSED_LEN`]: Kafka streams and has no limit; a broker that looks at whole batches must have one.

use std::fmt;
use std::io::{Read, Write};

use bytes::Bytes;

use crate::deflate::{InflateError, gunzip, gzip};

/// Bytes that a batch's records may have when they are decompressed: 128 MiB.
pub const MAX_DECOMPRESSED_LEN: usize = 128 << 20;
/// The same for all batches of a request: 512 MiB.
pub const MAX_REQUEST_DECOMPRESSED_LEN: usize = 512 << 20;

/// The codec in bits 0–2 of a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    pub fn from_id(id: i16) -> Option<Compression> {
        Self::ALL.into_iter().find(|codec| *codec as i16 == id)
    }

    /// As `compression.type` spells it.
    pub fn from_name(name: &str) -> Option<Compression> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecompressError {
    /// They are not what the codec writes.
    Corrupt { codec: Compression, why: String },
    /// They are a bomb, or might be one.
    TooLarge,
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecompressError::Corrupt { codec, why } => write!(f, "Failed to decompress record stream ({codec}: {why})"),
            DecompressError::TooLarge => {
                write!(
                    f,
                    "The records have more than {MAX_DECOMPRESSED_LEN} bytes when they are decompressed, or those of the \
                     request more than {MAX_REQUEST_DECOMPRESSED_LEN}"
                )
            }
        }
    }
}

/// The records of a batch, from what follows its header. What is not compressed is given back as it is.
pub fn decompress(codec: Compression, bytes: Bytes) -> Result<Bytes, DecompressError> {
    if codec == Compression::None {
        return Ok(bytes);
    }
    decompress_within(codec, &bytes, MAX_DECOMPRESSED_LEN).map(Bytes::from)
}

/// The same where fewer bytes than [`MAX_DECOMPRESSED_LEN`] may come out.
pub fn decompress_within(codec: Compression, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit).min(1 << 20));
    match codec {
        Compression::None => out.extend_from_slice(bytes),
        Compression::Gzip => gunzip(bytes, &mut out, limit).map_err(|error| match error {
            InflateError::Corrupt(why) => DecompressError::Corrupt { codec, why: why.into() },
            InflateError::TooLarge => DecompressError::TooLarge,
        })?,
        Compression::Snappy => snappy(bytes, &mut out, limit)?,
        Compression::Lz4 => {
            read_within(codec, lz4_flex::frame::FrameDecoder::new(bytes), &mut out, limit)?;
            if !lz4_ends(bytes) {
                return Err(DecompressError::Corrupt { codec, why: "the frame has no end".into() });
            }
        }
        Compression::Zstd => zstd(bytes, &mut out, limit)?,
    }
    Ok(out)
}

fn read_within(codec: Compression, source: impl Read, out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    let room = limit - out.len();
    let read = source
        .take(room as u64 + 1)
        .read_to_end(out)
        .map_err(|error| DecompressError::Corrupt { codec, why: error.to_string() })?;
    if read > room { Err(DecompressError::TooLarge) } else { Ok(()) }
}

/// snappy-java's header: magic, version 1, compatible with version 1.
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// What every version of that header begins with.
const XERIAL_MAGIC: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes that snappy-java puts in a block.
const XERIAL_BLOCK_LEN: usize = 32 << 10;

fn snappy(bytes: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    let corrupt = |why: &str| DecompressError::Corrupt { codec: Compression::Snappy, why: why.into() };
    let mut rest = bytes;
    if !rest.starts_with(XERIAL_MAGIC) {
        return snappy_block(rest, out, limit);
    }
    while !rest.is_empty() {
        // Streams may follow one another, each with its header.
        if rest.starts_with(XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER.len()..).ok_or_else(|| corrupt("the header is cut"))?;
            continue;
        }
        let (len, after) = rest.split_first_chunk::<4>().ok_or_else(|| corrupt("a block's length is cut"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or_else(|| corrupt("a block is cut"))?;
        snappy_block(block, out, limit)?;
        rest = after;
    }
    Ok(())
}

fn snappy_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    let corrupt = |error: snap::Error| DecompressError::Corrupt { codec: Compression::Snappy, why: error.to_string() };
    let len = snap::raw::decompress_len(block).map_err(corrupt)?;
    let start = out.len();
    if len > limit - start {
        return Err(DecompressError::TooLarge);
    }
    // A byte of snappy stands for at most 64/3 bytes, so a length beyond that is a lie and gets no memory.
    if len > block.len().saturating_mul(22) {
        return Err(corrupt(snap::Error::HeaderMismatch { expected_len: len as u64, got_len: block.len() as u64 }));
    }
    out.resize(start + len, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(corrupt)?;
    out.truncate(start + written);
    Ok(())
}

/// Whether a frame that was read has its end mark, and the checksum that it says is behind that. The decoder takes the end of
/// the bytes for the end of the frame; Java's does not.
fn lz4_ends(frame: &[u8]) -> bool {
    const BLOCK_CHECKSUM: u8 = 1 << 4;
    const CONTENT_SIZE: u8 = 1 << 3;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    const DICTIONARY_ID: u8 = 1;
    let field = |flags: u8, flag: u8, len: usize| if flags & flag == 0 { 0 } else { len };
    let ends = || {
        let flags = *frame.get(4)?;
        // Magic, flags, the blocks' size, a byte that checks the header.
        let header = 4 + 1 + 1 + field(flags, CONTENT_SIZE, 8) + field(flags, DICTIONARY_ID, 4) + 1;
        let mut rest = frame.get(header..)?;
        loop {
            let (len, after) = rest.split_first_chunk::<4>()?;
            // The first bit says that a block is as it was.
            let len = (u32::from_le_bytes(*len) & !(1 << 31)) as usize;
            if len == 0 {
                return after.get(..field(flags, CONTENT_CHECKSUM, 4));
            }
            rest = after.get(len..)?.get(field(flags, BLOCK_CHECKSUM, 4)..)?;
        }
    };
    ends().is_some()
}

fn zstd(bytes: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    let corrupt = |why: String| DecompressError::Corrupt { codec: Compression::Zstd, why };
    let mut rest = bytes;
    while !rest.is_empty() {
        match ruzstd::decoding::StreamingDecoder::new(&mut rest) {
            Ok(mut frame) => {
                let begin = out.len();
                read_within(Compression::Zstd, &mut frame, out, limit)?;
                // The decoder leaves it to its user to compare what the frame says of itself.
                let (said, len) = (frame.decoder.content_size(), (out.len() - begin) as u64);
                if said != 0 && said != len {
                    return Err(corrupt(format!("a frame has {len} bytes and says that it has {said}")));
                }
                let sum = frame.decoder.get_checksum_from_data();
                if sum.is_some() && sum != frame.decoder.get_calculated_checksum() {
                    return Err(corrupt("a frame's checksum is not that of its bytes".into()));
                }
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                rest = rest.get(length as usize..).ok_or_else(|| corrupt("a skippable frame is cut".into()))?;
            }
            Err(error) => return Err(corrupt(error.to_string())),
        }
    }
    Ok(())
}

/// What a producer with that codec sends for these records.
pub fn compress(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    const INTO_MEMORY: &str = "writing into memory cannot fail";
    match codec {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => gzip(bytes),
        Compression::Snappy => {
            let mut out = XERIAL_HEADER.to_vec();
            let mut encoder = snap::raw::Encoder::new();
            for block in bytes.chunks(XERIAL_BLOCK_LEN) {
                let block = encoder.compress_vec(block).expect("a block is far below snappy's 4 GiB");
                out.extend_from_slice(&(block.len() as u32).to_be_bytes());
                out.extend_from_slice(&block);
            }
            out
        }
        Compression::Lz4 => {
            use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
            // As Java writes: 64 KiB blocks, each for itself.
            let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(bytes).expect(INTO_MEMORY);
            encoder.finish().expect(INTO_MEMORY)
        }
        Compression::Zstd => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPRESSED: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    fn text() -> Vec<u8> {
        (0..20_000).flat_map(|line| format!("line {line} of a text that repeats itself\n").into_bytes()).collect()
    }

    #[test]
    fn what_was_compressed_comes_back() {
        for codec in COMPRESSED {
            for bytes in [text(), Vec::new(), vec![7]] {
                let packed = compress(codec, &bytes);
                assert_eq!(decompress(codec, packed.into()).unwrap(), bytes, "{codec}");
            }
        }
    }

    #[test]
    fn streams_may_follow_one_another() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
            let twice = [compress(codec, b"one "), compress(codec, b"two")].concat();
            assert_eq!(&decompress(codec, twice.into()).unwrap()[..], b"one two", "{codec}");
        }
    }

    #[test]
    fn a_raw_snappy_block_is_read_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"no frame around this").unwrap();
        assert_eq!(&decompress(Compression::Snappy, raw.into()).unwrap()[..], b"no frame around this");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 1 << 20];
        for codec in COMPRESSED {
            let bomb = compress(codec, &zeros);
            assert_eq!(decompress_within(codec, &bomb, (1 << 20) - 1), Err(DecompressError::TooLarge), "{codec}");
            assert_eq!(decompress_within(codec, &bomb, 1 << 20).unwrap().len(), 1 << 20, "{codec}");
        }
    }

    /// Java's consumers stop at such a batch for ever, so nobody may be told that it is kept.
    #[test]
    fn a_frame_that_is_not_whole_is_an_error() {
        let corrupt = |codec: Compression, bytes: &[u8], what: &str| {
            let read = decompress_within(codec, bytes, 1 << 20);
            assert!(matches!(read, Err(DecompressError::Corrupt { .. })), "{codec}: {what}: {read:?}");
        };
        let lz4 = compress(Compression::Lz4, b"one record");
        for cut in 1..=4 {
            corrupt(Compression::Lz4, &lz4[..lz4.len() - cut], "the end mark is cut");
        }
        let summed = lz4_flex::frame::FrameInfo::new().content_checksum(true).block_checksums(true);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(summed, Vec::new());
        encoder.write_all(b"one record").unwrap();
        let summed = encoder.finish().unwrap();
        assert_eq!(decompress_within(Compression::Lz4, &summed, 1 << 20).unwrap(), b"one record");
        corrupt(Compression::Lz4, &summed[..summed.len() - 4], "the checksum is cut");

        // Of `zstd --check`, of a file.
        let whole = [
            0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x0a, 0x51, 0x00, 0x00, 0x6f, 0x6e, 0x65, 0x20, 0x72, 0x65, 0x63, 0x6f, 0x72,
            0x64, 0xf4, 0xbc, 0xbb, 0x58,
        ];
        assert_eq!(decompress_within(Compression::Zstd, &whole, 1 << 20).unwrap(), b"one record");
        let mut wrong = whole;
        *wrong.last_mut().unwrap() ^= 1;
        corrupt(Compression::Zstd, &wrong, "its checksum is another");
        let mut longer = whole;
        longer[5] = 11;
        corrupt(Compression::Zstd, &longer, "its size is another");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for codec in COMPRESSED {
            let mut packed = compress(codec, &text());
            packed.truncate(packed.len() / 2);
            assert!(matches!(decompress(codec, packed.into()), Err(DecompressError::Corrupt { .. })), "{codec}");
        }
    }
}
