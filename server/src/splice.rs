//! Answers on their way out: bytes that were encoded, and between them runs of segment files that were not.
//!
//! kafka-protocol encodes a Fetch response with its record sets inside. So that nobody copies them, each partition's
//! records are a slice, of the right length, of memory that exists only as addresses ([`hollow`]); the buffer that is
//! encoded into ([`Sieve`]) knows such a slice by where it lies, and notes a hole instead of copying. The holes are filled by
//! `sendfile(2)`, from the page cache to the socket.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::{Arc, LazyLock};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseKind};
use kafka_protocol::protocol::Encodable;
use ottla_core::protocol::Response;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::frame::PREFIX;
use crate::sieve::Sieve;

/// Runs up to this many bytes are read into the answer: one write is cheaper than three calls.
const SMALL: usize = 16 << 10;

/// A run of bytes of a file. The file stays readable until this is dropped, also when its segment is deleted.
#[derive(Clone, Debug)]
pub struct FileSlice {
    pub file: Arc<File>,
    pub position: u64,
    pub len: usize,
}

/// Encoded bytes with holes.
#[derive(Default)]
pub struct Answer {
    bytes: BytesMut,
    holes: Vec<Hole>,
}

struct Hole {
    /// Where in `bytes` it lies.
    at: usize,
    slice: FileSlice,
}

impl Answer {
    pub fn len(&self) -> usize {
        self.bytes.len() + self.holes.iter().map(|hole| hole.slice.len).sum::<usize>()
    }

    /// Bytes of it in memory.
    pub fn encoded(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.holes.clear();
    }

    /// Adds one answer, framed. `files` has one entry a partition of a Fetch, as `response.records` has.
    pub fn push(
        &mut self,
        api: ApiKey,
        correlation_id: i32,
        mut response: Response,
        files: Vec<Option<FileSlice>>,
    ) -> anyhow::Result<()> {
        let (start, before) = (self.bytes.len(), self.len());
        self.bytes.put_i32(0);
        self.bytes.put_i32(correlation_id);
        if api.response_header_version(response.version) > 0 {
            self.bytes.put_u8(0);
        }
        let hollows = files.iter().map(|slice| slice.as_ref().map_or_else(Bytes::new, |slice| hollow(slice.len)));
        let hollows = hollows.chain(std::iter::repeat_with(Bytes::new));
        let spliced = match &mut *response.body {
            ResponseKind::Fetch(fetch) => {
                let partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.zip(hollows).for_each(|(partition, hollow)| partition.records = Some(hollow));
                true
            }
            ResponseKind::ShareFetch(fetch) => {
                let partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.zip(hollows).for_each(|(partition, hollow)| partition.records = Some(hollow));
                true
            }
            _ => false,
        };
        if spliced {
            let mut slices = files.iter().flatten().filter(|slice| slice.len > 0);
            let mut failed = None;
            let take = |bytes: &mut BytesMut, source: &[u8]| {
                if !is_hollow(source) {
                    return false;
                }
                let slice = slices.next().expect("what is hollow stands for a slice");
                assert_eq!(slice.len, source.len());
                let at = bytes.len();
                if slice.len > SMALL {
                    self.holes.push(Hole { at, slice: slice.clone() });
                } else {
                    bytes.resize(at + slice.len, 0);
                    let read = slice.file.read_exact_at(&mut bytes[at..], slice.position);
                    failed = read.err().or(failed.take());
                }
                true
            };
            let sieve = &mut Sieve(&mut self.bytes, take);
            match &*response.body {
                ResponseKind::Fetch(fetch) => fetch.encode(sieve, response.version)?,
                // Its second version is the first.
                ResponseKind::ShareFetch(fetch) => fetch.encode(sieve, response.version.min(1))?,
                _ => {}
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
        } else {
            response.encode(&mut self.bytes).map_err(anyhow::Error::msg)?;
        }
        let length = i32::try_from(self.len() - before - PREFIX)?;
        self.bytes[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Writes everything to the socket; `moved` is told of every step, in bytes.
    pub async fn send(&mut self, stream: &TcpStream, mut moved: impl FnMut(usize)) -> io::Result<()> {
        let mut from = 0;
        for hole in &self.holes {
            // MORE: the kernel joins the header with the records that follow.
            send_all(stream, &self.bytes[from..hole.at], SendFlags::MORE, &mut moved).await?;
            from = hole.at;
            send_file(stream, &hole.slice, &mut moved).await?;
        }
        send_all(stream, &self.bytes[from..], SendFlags::empty(), &mut moved).await?;
        self.clear();
        Ok(())
    }
}

async fn send_all(
    stream: &TcpStream,
    mut bytes: &[u8],
    flags: SendFlags,
    moved: &mut impl FnMut(usize),
) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = step(stream, || Ok(send(stream, bytes, flags | SendFlags::NOSIGNAL)?)).await?;
        bytes = &bytes[sent..];
        moved(sent);
    }
    Ok(())
}

async fn send_file(stream: &TcpStream, slice: &FileSlice, moved: &mut impl FnMut(usize)) -> io::Result<()> {
    if !is_in_memory(slice) {
        // The disk makes a thread of its own wait, not all the connections of this one.
        let cold = slice.clone();
        tokio::task::spawn_blocking(move || bring_in(&cold)).await.map_err(io::Error::other)??;
    }
    let (mut position, mut rest) = (slice.position, slice.len);
    while rest > 0 {
        let sent = step(stream, || Ok(rustix::fs::sendfile(stream, &slice.file, Some(&mut position), rest)?)).await?;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log became shorter under a fetch"));
        }
        rest -= sent;
        moved(sent);
    }
    Ok(())
}

/// Whether the page cache has both ends of a run: what lies between was read or written in order.
fn is_in_memory(slice: &FileSlice) -> bool {
    let has = |position| {
        let byte = &mut [0];
        let read = preadv2(&*slice.file, &mut [io::IoSliceMut::new(byte)], position, ReadWriteFlags::NOWAIT);
        read != Err(Errno::AGAIN)
    };
    has(slice.position) && has(slice.position + slice.len as u64 - 1)
}

fn bring_in(slice: &FileSlice) -> io::Result<()> {
    let mut chunk = vec![0; slice.len.min(256 << 10)];
    let (mut position, end) = (slice.position, slice.position + slice.len as u64);
    while position < end {
        let wanted = chunk.len().min((end - position) as usize);
        match slice.file.read_at(&mut chunk[..wanted], position)? {
            0 => break,
            read => position += read as u64,
        }
    }
    Ok(())
}

/// Runs a non-blocking write, once the socket takes one.
async fn step(stream: &TcpStream, mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Where the addresses of [`hollow`] memory begin.
struct Void(usize);

/// An answer is shorter than this, its length being an i32.
const VOID: usize = 1 << 31;

static NOWHERE: LazyLock<Void> = LazyLock::new(|| {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address that the kernel picks aliases nothing.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), VOID, ProtFlags::READ, flags) };
    Void(start.expect("two gigabytes of address space") as usize)
});

/// `len` bytes that are never looked at.
fn hollow(len: usize) -> Bytes {
    assert!(len <= VOID);
    // SAFETY: the mapping is readable (as zeros), never written, and lives as long as the process.
    Bytes::from_static(unsafe { std::slice::from_raw_parts(NOWHERE.0 as *const u8, len) })
}

fn is_hollow(slice: &[u8]) -> bool {
    !slice.is_empty() && (slice.as_ptr() as usize).wrapping_sub(NOWHERE.0) < VOID
}
