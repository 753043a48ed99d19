//! A segment: `00000000000000000000.log` with its `.index` and `.timeindex`, and its `.txnindex` once a transaction was
//! aborted, named by the first offset.
//!
//! Index entries are written after the batches that they point to, once a drain. Files are opened when they are needed and
//! may be closed between any two uses.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ottla_core::id::Offset;
use ottla_core::log::TimeEntry;
use ottla_core::record::batch::HEADER_LEN;
use ottla_core::record::{Batch, Stamp};

use super::flusher::Unsynced;
use super::ledger::{EXTENSIONS, Ledger, Lengths};

/// Linux takes no more runs in one write.
const IOV_MAX: usize = 1024;
/// Bytes of an entry: relative offset i32, position i32.
pub const INDEX_ENTRY: usize = 8;
/// Bytes of an entry: timestamp i64, relative offset i32.
pub const TIME_ENTRY: usize = 12;
/// Kafka's suffix of a file that is on its way out.
pub const DELETED: &str = "deleted";

/// Files opened by all segments of the process since the start.
pub static OPENED: AtomicUsize = AtomicUsize::new(0);

/// A file that holds what is not on the disk yet.
pub enum Dirty {
    Open(Arc<File>),
    Closed(PathBuf),
    /// Of files that are new.
    Directory(PathBuf),
}

pub struct Segment {
    pub base: Offset,
    /// The files' path without its extension.
    stem: PathBuf,
    /// Opened when it is first needed; replies in progress hold it too.
    file: Option<Arc<File>>,
    /// Bytes of the `.log` file; known once it was opened for writing.
    size: u64,
    headers: Vec<[u8; HEADER_LEN]>,
    bodies: Vec<Bytes>,
    index: Index,
    time_index: Index,
    txn_index: Index,
    /// Written since it was last handed to the flusher.
    dirty: bool,
    /// Its files were made since then.
    new: bool,
    /// A file of it was needed since it was last asked to close them.
    used: bool,
    pub ledger: Arc<Ledger>,
}

impl Segment {
    /// One that is there.
    pub fn at(directory: &Path, base: Offset, ledger: &Arc<Ledger>) -> Segment {
        Segment {
            base,
            stem: directory.join(format!("{base:020}")),
            file: None,
            size: 0,
            headers: Vec::new(),
            bodies: Vec::new(),
            index: Index::default(),
            time_index: Index::default(),
            txn_index: Index::default(),
            dirty: false,
            new: false,
            used: false,
            ledger: ledger.clone(),
        }
    }

    /// A new one, its files made, and empty.
    pub fn create(directory: &Path, base: Offset, ledger: &Arc<Ledger>) -> io::Result<Segment> {
        let segment = Segment { new: true, ..Segment::at(directory, base, ledger) };
        let [log, index, time_index, _] = segment.paths();
        for path in [log, index, time_index] {
            File::create(path)?;
        }
        ledger.writing(&segment.stem, || Ok(Lengths::default()))?;
        Ok(segment)
    }

    fn paths(&self) -> [PathBuf; 4] {
        EXTENSIONS.map(|extension| self.stem.with_extension(extension))
    }

    /// Gives its files Kafka's names for those that are on their way out, and says which.
    pub fn set_aside(self) -> io::Result<Vec<PathBuf>> {
        let mut aside = Vec::new();
        for path in self.paths() {
            let name = path.with_added_extension(DELETED);
            match fs::rename(&path, &name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => aside.push(name),
            }
        }
        self.ledger.gone(&self.stem);
        Ok(aside)
    }

    /// Closes its files, those that were used since the last time only where `even_used`. Gives how many stay open.
    pub fn close(&mut self, even_used: bool) -> usize {
        if !std::mem::take(&mut self.used) || even_used {
            (self.file, self.index.file, self.time_index.file, self.txn_index.file) = (None, None, None, None);
        }
        self.open_files().into_iter().flatten().count()
    }

    fn open_files(&self) -> [&Option<Arc<File>>; 4] {
        [&self.file, &self.index.file, &self.time_index.file, &self.txn_index.file]
    }

    pub fn file(&mut self) -> io::Result<Arc<File>> {
        self.used = true;
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        // One that is gone is a failure, and no empty one.
        let file = Arc::new(open(&self.stem.with_extension("log"), false)?);
        self.size = file.metadata()?.len();
        Ok(self.file.insert(file).clone())
    }

    /// Adds a batch to the next [`write`](Self::write).
    pub fn gather(&mut self, stamp: &Stamp, batch: Batch) {
        self.headers.push(stamp.apply(&batch));
        self.bodies.push(batch.bytes.slice(HEADER_LEN..));
    }

    /// Writes what was gathered; gives its size in bytes.
    pub fn write(&mut self) -> io::Result<u64> {
        let file = self.file()?;
        let (headers, bodies) = (std::mem::take(&mut self.headers), std::mem::take(&mut self.bodies));
        let mut runs = headers
            .iter()
            .zip(&bodies)
            .flat_map(|(header, body)| [IoSlice::new(header), IoSlice::new(body)])
            .collect::<Vec<_>>();
        let before = self.size;
        let mut rest = &mut runs[..];
        self.touch()?;
        while !rest.is_empty() {
            let count = rest.len().min(IOV_MAX);
            match rustix::io::pwritev(&*file, &rest[..count], self.size) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.size += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(runs);
        // The next drain gathers into the same room.
        (self.headers, self.bodies) = (headers, bodies);
        self.headers.clear();
        self.bodies.clear();
        Ok(self.size - before)
    }

    pub fn index(&mut self, offset: Offset, position: u32) {
        self.index.waiting.extend_from_slice(&((offset - self.base) as i32).to_be_bytes());
        self.index.waiting.extend_from_slice(&(position as i32).to_be_bytes());
    }

    pub fn time_index(&mut self, entry: TimeEntry) {
        self.time_index.waiting.extend_from_slice(&entry.timestamp.0.to_be_bytes());
        self.time_index.waiting.extend_from_slice(&((entry.offset - self.base) as i32).to_be_bytes());
    }

    /// Writes the index entries that wait.
    pub fn write_indexes(&mut self) -> io::Result<()> {
        self.index.write(&self.stem, "index")?;
        self.time_index.write(&self.stem, "timeindex")
    }

    /// The files that must be synced for all of this segment to be safe; it counts as clean from here on.
    pub fn take_dirty(&mut self, dirty: &mut Vec<Unsynced>) -> io::Result<()> {
        self.write_indexes()?;
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        let claim = self.ledger.claim(self.stem.clone(), self.lengths()?);
        let files = self.open_files().into_iter().zip(self.paths()).map(|(open, path)| match open {
            Some(file) => Dirty::Open(file.clone()),
            None => Dirty::Closed(path),
        });
        let mut files: Vec<Dirty> = files.collect();
        if std::mem::take(&mut self.new) {
            // As Kafka's `flushDir`; the directory may be as new as they are.
            files.extend(self.stem.ancestors().skip(1).take(2).map(|path| Dirty::Directory(path.to_owned())));
        }
        dirty.push(Unsynced { files, claim });
        Ok(())
    }

    /// It is not safe as it is any more.
    fn touch(&mut self) -> io::Result<()> {
        if !self.dirty {
            self.ledger.writing(&self.stem, || self.lengths())?;
            self.dirty = true;
        }
        Ok(())
    }

    /// Of its files, as they are now.
    fn lengths(&self) -> io::Result<Lengths> {
        let [_, index, time_index, txn_index] = self.paths();
        Ok([
            self.size,
            self.index.length(&index)?,
            self.time_index.length(&time_index)?,
            self.txn_index.length(&txn_index)?,
        ])
    }

    /// No more appends: the indexes are complete, and their files closed once they are synced.
    pub fn retire(&mut self) -> io::Result<()> {
        self.write_indexes()?;
        (self.headers, self.bodies) = (Vec::new(), Vec::new());
        Ok(())
    }

    /// Drops everything from `end` on, which lies at byte `position`.
    pub fn truncate(&mut self, end: Offset, position: u32) -> io::Result<()> {
        self.write_indexes()?;
        self.file()?.set_len(u64::from(position))?;
        self.size = u64::from(position);
        self.dirty = true;
        let relative = i32::try_from(end - self.base).unwrap_or(i32::MAX);
        let offset_at = |entry: &[u8], at: usize| i32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        self.index.cut(&self.stem.with_extension("index"), INDEX_ENTRY, |entry| offset_at(entry, 0) < relative)?;
        self.time_index
            .cut(&self.stem.with_extension("timeindex"), TIME_ENTRY, |entry| offset_at(entry, 8) < relative)?;
        self.ledger.truncated(&self.stem, self.lengths()?);
        Ok(())
    }

    /// Replaces both indexes as a whole.
    pub fn reindex(&mut self, index: &[u8], time_index: &[u8]) -> io::Result<()> {
        for (which, extension, contents) in
            [(&mut self.index, "index", index), (&mut self.time_index, "timeindex", time_index)]
        {
            which.waiting.clear();
            let file = which.open(&self.stem.with_extension(extension))?;
            file.set_len(0)?;
            file.write_all_at(contents, 0)?;
            which.size = contents.len() as u64;
        }
        self.file()?;
        self.dirty = true;
        self.ledger.truncated(&self.stem, [self.size, 0, 0, u64::MAX]);
        Ok(())
    }

    /// Writes into the index of aborted transactions from byte `position` on, where it ends after that.
    pub fn index_aborted(&mut self, position: u32, entries: &[u8]) -> io::Result<()> {
        self.file()?;
        self.touch()?;
        let (position, path) = (u64::from(position), self.stem.with_extension("txnindex"));
        if position == 0 && entries.is_empty() && !path.exists() {
            return Ok(());
        }
        let file = self.txn_index.open(&path)?;
        if position < self.txn_index.size {
            file.set_len(position)?;
            self.ledger.truncated(&self.stem, [u64::MAX, u64::MAX, u64::MAX, position]);
        }
        file.write_all_at(entries, position)?;
        self.txn_index.size = position + entries.len() as u64;
        Ok(())
    }
}

impl Dirty {
    pub fn open(&self) -> io::Result<Arc<File>> {
        match self {
            Dirty::Open(file) => Ok(file.clone()),
            Dirty::Closed(path) | Dirty::Directory(path) => Ok(Arc::new(File::open(path)?)),
        }
    }

    /// Waits until the file is on the disk. One that is gone needs nothing more.
    pub fn sync(&self) -> io::Result<()> {
        match self.open() {
            // Names are not what `fdatasync` must write.
            Ok(file) if matches!(self, Dirty::Directory(_)) => file.sync_all(),
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// One index file.
#[derive(Default)]
struct Index {
    file: Option<Arc<File>>,
    size: u64,
    waiting: Vec<u8>,
}

impl Index {
    fn open(&mut self, path: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = Arc::new(open(path, true)?);
        self.size = file.metadata()?.len();
        Ok(self.file.insert(file).clone())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        match &self.file {
            Some(_) => Ok(self.size),
            None => match path.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                metadata => metadata.map(|metadata| metadata.len()),
            },
        }
    }

    fn write(&mut self, stem: &Path, extension: &str) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.open(&stem.with_extension(extension))?.write_all_at(&self.waiting, self.size)?;
        self.size += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Drops the entries from the first on that is not to be kept.
    fn cut(&mut self, path: &Path, entry: usize, keep: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        let file = self.open(path)?;
        let mut contents = vec![0; self.size as usize];
        file.read_exact_at(&mut contents, 0)?;
        let kept = contents.chunks_exact(entry).take_while(|entry| keep(entry)).count();
        self.size = (kept * entry) as u64;
        file.set_len(self.size)
    }
}

fn open(path: &Path, or_create: bool) -> io::Result<File> {
    OPENED.fetch_add(1, Ordering::Relaxed);
    OpenOptions::new().read(true).write(true).create(or_create).truncate(false).open(path)
}
