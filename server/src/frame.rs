//! Frames of a connection: a length (i32, big-endian), then that many bytes.
//!
//! Small frames are slices of one read buffer. A large one gets a buffer of its own out of the pool, and the socket is
//! read straight into it; the batches in it are slices of it until they are in the log.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::buffer::POOL;

/// Bytes of the length.
pub const PREFIX: usize = 4;
/// Bytes of the buffer that small frames share.
const READ: usize = 32 << 10;
/// A frame longer than this has a buffer of its own.
const LARGE: usize = 16 << 10;

/// Why a connection gives no more frames.
#[derive(Debug)]
pub enum End {
    /// The client closed it between two frames.
    Closed,
    /// The client closed it inside a frame.
    Half {
        got: usize,
        of: usize,
    },
    /// Not a length that a client may send.
    Length {
        length: i32,
        limit: i32,
        bytes: [u8; PREFIX],
    },
    Lost(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed by the client"),
            End::Half { got, of } => write!(f, "closed by the client inside a frame ({got} of {of} bytes)"),
            End::Length { bytes, .. } if bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ') => {
                let text = String::from_utf8_lossy(bytes);
                write!(f, "not a Kafka client: it began with {text:?} where a frame's length belongs")
            }
            End::Length { length, limit, .. } => {
                write!(f, "a frame of {length} bytes where 0 to {limit} (socket.request.max.bytes) are allowed")
            }
            End::Lost(error) => error.fmt(f),
        }
    }
}

/// How far a connection has come, read by the watch over slow and idle clients.
#[derive(Default)]
pub struct Progress {
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Frames completed.
    pub frames: AtomicU64,
    /// Bytes of the frame that has begun and is not complete; 0 is none.
    pub pending: AtomicU64,
}

pub struct Frames<'a> {
    stream: &'a TcpStream,
    buffer: BytesMut,
    /// Kafka's `socket.request.max.bytes`.
    limit: i32,
    progress: &'a Progress,
}

impl<'a> Frames<'a> {
    pub fn new(stream: &'a TcpStream, limit: i32, progress: &'a Progress) -> Self {
        Frames { stream, buffer: BytesMut::new(), limit, progress }
    }

    pub fn stream(&self) -> &'a TcpStream {
        self.stream
    }

    pub async fn next(&mut self) -> Result<Bytes, End> {
        loop {
            let mut wanted = PREFIX;
            if let Some(prefix) = self.buffer.first_chunk::<PREFIX>() {
                let length = i32::from_be_bytes(*prefix);
                if !(0..=self.limit).contains(&length) {
                    return Err(End::Length { length, limit: self.limit, bytes: *prefix });
                }
                let size = length as usize;
                if self.buffer.len() >= PREFIX + size {
                    self.buffer.advance(PREFIX);
                    self.complete();
                    return Ok(self.buffer.split_to(size).freeze());
                }
                self.progress.pending.store(size as u64, Ordering::Relaxed);
                if size > LARGE {
                    return self.large(size).await;
                }
                wanted += size;
            }
            if self.buffer.len() < wanted && self.buffer.capacity() < READ / 4 + wanted {
                self.buffer.reserve(READ);
            }
            if receive(self.stream, &mut self.buffer, self.progress).await? == 0 {
                return Err(match self.buffer.len() {
                    0 => End::Closed,
                    got => End::Half { got, of: wanted },
                });
            }
        }
    }

    /// A large frame of which the buffer holds the beginning.
    async fn large(&mut self, size: usize) -> Result<Bytes, End> {
        let mut buffer = POOL.take(size);
        buffer.bytes.extend_from_slice(&self.buffer[PREFIX..]);
        self.buffer.clear();
        while buffer.bytes.len() < size {
            let rest = size - buffer.bytes.len();
            if receive(self.stream, &mut (&mut buffer.bytes).limit(rest), self.progress).await? == 0 {
                return Err(End::Half { got: PREFIX + buffer.bytes.len(), of: PREFIX + size });
            }
        }
        self.complete();
        Ok(buffer.freeze())
    }

    fn complete(&self) {
        self.progress.pending.store(0, Ordering::Relaxed);
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
    }
}

async fn receive(stream: &TcpStream, into: &mut impl BufMut, progress: &Progress) -> Result<usize, End> {
    loop {
        match stream.try_read_buf(into) {
            Ok(read) => {
                progress.bytes.fetch_add(read as u64, Ordering::Relaxed);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await.map_err(End::Lost)?,
            Err(error) => return Err(End::Lost(error)),
        }
    }
}
