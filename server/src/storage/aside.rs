//! What compaction writes aside, and how it takes the place of what was there, under Kafka's names:
//!
//! ```text
//! *.log.cleaned  being written, then synced ─▶ *.log.swap ─▶ the old segments' files are named *.deleted ─▶ *.log
//! ```
//!
//! A process that dies leaves one of these behind, and [`recover`] finishes what was whole: a `.swap` is, a `.cleaned` is
//! not known to be.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_core::id::{LogId, Offset, WorkId};
use ottla_core::log::compact::IndexFiles;
use ottla_core::log::recover::{Scanner, SegmentFiles};
use ottla_core::time::Timestamp;
use tracing::{info, warn};

use super::LogFiles;
use super::flusher::Job;
use super::image::{CHUNK, bases};
use super::ledger::EXTENSIONS;
use super::segment::{DELETED, Segment};

const CLEANED: &str = "cleaned";
const SWAP: &str = "swap";

/// A segment that is being written aside.
pub struct Aside {
    stem: PathBuf,
    log: File,
    /// It has a `.txnindex`, too.
    has_aborted: bool,
}

impl Aside {
    fn create(directory: &Path, base: Offset) -> io::Result<Aside> {
        let stem = directory.join(format!("{base:020}"));
        let log = OpenOptions::new().write(true).create(true).truncate(true).open(named(&stem, "log", CLEANED))?;
        Ok(Aside { stem, log, has_aborted: false })
    }

    fn extensions(&self) -> &'static [&'static str] {
        if self.has_aborted { &EXTENSIONS } else { &EXTENSIONS[..3] }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.extensions().iter().map(|extension| named(&self.stem, extension, CLEANED))
    }
}

/// `00000000000000000000.log.cleaned`.
fn named(stem: &Path, extension: &str, suffix: &str) -> PathBuf {
    stem.with_extension(extension).with_added_extension(suffix)
}

impl LogFiles {
    /// Appends to what is written aside; begins it where `position` is 0. Gives how many bytes that are.
    pub fn write_aside(&mut self, base: Offset, position: u32, batches: &[Bytes]) -> io::Result<u64> {
        if position == 0 {
            self.aside.insert(base, Aside::create(&self.directory, base)?);
        }
        let aside = self.aside.get(&base).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut at = u64::from(position);
        for batch in batches {
            aside.log.write_all_at(batch, at)?;
            at += batch.len() as u64;
        }
        Ok(at - u64::from(position))
    }

    /// What is written aside is whole: gives what makes it safe.
    pub fn seal(
        &mut self,
        log: LogId,
        seal: WorkId,
        base: Offset,
        IndexFiles { index, time_index, txn_index }: &IndexFiles,
        modified: Timestamp,
    ) -> io::Result<Job> {
        if !self.aside.contains_key(&base) {
            self.aside.insert(base, Aside::create(&self.directory, base)?);
        }
        let aside = self.aside.get_mut(&base).expect("it is there");
        fs::write(named(&aside.stem, "index", CLEANED), index)?;
        fs::write(named(&aside.stem, "timeindex", CLEANED), time_index)?;
        if !txn_index.is_empty() {
            fs::write(named(&aside.stem, "txnindex", CLEANED), txn_index)?;
            aside.has_aborted = true;
        }
        // Open: they may be discarded before they are synced.
        let files = aside.files().map(|path| File::options().write(true).open(path)).collect::<io::Result<_>>()?;
        Ok(Job::Seal { log, seal, files, modified })
    }

    /// Puts what was sealed in the place of the segments from `base` up to `below`.
    pub fn replace(&mut self, base: Offset, below: Offset) -> io::Result<Job> {
        let aside = self.aside.remove(&base).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let from = self.segments.partition_point(|segment| segment.base < base);
        // The active segment stays, whatever is asked.
        let to = self.segments.partition_point(|segment| segment.base < below).min(self.segments.len() - 1);
        for extension in aside.extensions() {
            fs::rename(named(&aside.stem, extension, CLEANED), named(&aside.stem, extension, SWAP))?;
        }
        let ledger = self.active().ledger.clone();
        let mut gone = Vec::new();
        let new = Segment::at(&self.directory, base, &ledger);
        for old in self.segments.splice(from..to, [new]) {
            gone.extend(old.set_aside()?);
        }
        for extension in aside.extensions() {
            fs::rename(named(&aside.stem, extension, SWAP), aside.stem.with_extension(extension))?;
        }
        Ok(Job::Replaced { directory: self.directory.clone(), gone })
    }

    pub fn discard(&mut self, base: Offset) -> io::Result<()> {
        let Some(aside) = self.aside.remove(&base) else { return Ok(()) };
        aside.files().try_for_each(|path| remove(&path))
    }
}

/// Finishes or undoes what a process that died had begun in a log's directory, by the rules of Kafka's `LogLoader`:
/// a `.swap` was whole and safe, and the segments that it covers are what it replaces; a `.cleaned` goes, and with it
/// a `.swap` at or behind it, for it is one of several that belong together.
pub fn recover(directory: &Path) -> io::Result<()> {
    for path in with_suffix(directory, DELETED)? {
        remove(&path)?;
    }
    let cleaned = with_suffix(directory, CLEANED)?;
    let incomplete = cleaned.iter().filter_map(|path| base_of(path)).min().unwrap_or(Offset::MAX);
    for path in with_suffix(directory, SWAP)? {
        if base_of(&path).is_some_and(|base| base >= incomplete) {
            remove(&path)?;
        }
    }
    for path in cleaned {
        info!(file = %path.display(), "left by a cleaning that did not end; it goes");
        remove(&path)?;
    }
    let swaps = with_suffix(directory, SWAP)?;
    for path in swaps.iter().filter(|path| path.with_extension("").extension().is_some_and(|it| it == "log")) {
        let Some(base) = base_of(path) else { continue };
        let end = next_offset(path, base)?;
        for replaced in bases(directory)?.into_iter().filter(|other| (base..end).contains(other)) {
            let stem = directory.join(format!("{replaced:020}"));
            warn!(segment = %stem.display(), by = %path.display(), "was replaced by a cleaning; it goes");
            EXTENSIONS.iter().try_for_each(|extension| remove(&stem.with_extension(extension)))?;
        }
    }
    for path in swaps {
        fs::rename(&path, path.with_extension(""))?;
    }
    Ok(())
}

/// The files of that suffix.
fn with_suffix(directory: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == suffix) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Of `00000000000000000000.log.swap`.
fn base_of(path: &Path) -> Option<Offset> {
    let name = path.file_name()?.to_str()?;
    name.split('.').next()?.parse().ok()
}

/// The offset after the last batch of a segment's file, whatever index it has.
fn next_offset(path: &Path, base: Offset) -> io::Result<Offset> {
    let file = File::open(path)?;
    let files = SegmentFiles {
        base,
        log_len: file.metadata()?.len(),
        modified: Timestamp::NONE,
        index: None,
        time_index: None,
        txn_index: None,
    };
    let mut scanner = Scanner::new(&files, 0);
    let mut buffer = Vec::new();
    while let Some(wanted) = scanner.wants() {
        buffer.resize((wanted.end - wanted.start).min(CHUNK) as usize, 0);
        let read = file.read_at(&mut buffer, wanted.start)?;
        scanner.feed(&buffer[..read]);
    }
    Ok(scanner.finish().next_offset)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
