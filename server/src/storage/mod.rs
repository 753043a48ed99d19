//! A broker's data directory: the bytes of its logs, in Kafka's own layout. Which bytes, and when, is the core's to
//! decide; this room writes them.
//!
//! `mod.rs` what the core asks for, carried out | `segment.rs` the files of a segment | `aside.rs` what compaction
//! writes | `flusher.rs` the thread
//! that waits for the disk | `image.rs` reading a data directory | `lock.rs` one server a directory | `ledger.rs` what
//! would survive the machine | `slow.rs` a disk that is slow on purpose
//!
//! 1. Appends of one log are gathered and written with one `pwritev`; whatever else is asked of that log comes after.
//! 2. Nothing here waits for the disk: what must be synced or unlinked goes to the flusher, in order.
//! 3. What is not known to be a log's own is set aside, and never overwritten or removed.
//! 4. Never more files are open than half of what the system allows the process, readers aside: the rest is for clients.
//! 5. A small file that could not be saved is saved again with the next, and at the end.
//! 6. A log whose files fail, as they are written or as they are read, takes nothing more; the core is told once
//!    ([`Event::Offline`]). Kafka takes all logs of the directory offline with it; here the others go on, and
//!    the controller lets others lead what failed.
//! 7. A segment that goes is out of the way at once, by its name: the process may die before it is unlinked.

mod aside;
mod flusher;
mod image;
mod ledger;
mod lock;
mod segment;
mod slow;
#[cfg(test)]
mod tests;

pub use flusher::Flusher;
pub use image::{CLEAN_SHUTDOWN, crashed, read};
pub use ledger::{Ledger, Loss};
pub use lock::DataLock;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_core::broker::Effect;
use ottla_core::broker::Event;
use ottla_core::id::{LogId, Offset};
use ottla_core::log::checkpoint::{DELETE, STRAY};
use ottla_core::log::{Extent, LogTable, TimeEntry};
use ottla_core::time::Instant;

use crate::descriptors;
use crate::driver::Clock;
use crate::splice::FileSlice;
use aside::Aside;
use flusher::Job;
use segment::{OPENED, Segment};
use slow::{Slow, Then};

/// Storages of the process: they share the files that may be open.
static STORAGES: AtomicUsize = AtomicUsize::new(0);

/// The files of all logs of one broker.
pub struct Storage {
    root: PathBuf,
    logs: LogTable<LogFiles>,
    /// Logs with gathered appends.
    gathered: Vec<LogId>,
    flusher: Flusher,
    /// What could not be saved.
    unsaved: BTreeMap<String, Bytes>,
    /// Files that all storages together may keep open.
    max_open: usize,
    /// [`OPENED`] when files were last closed.
    opened: usize,
    ledger: Arc<Ledger>,
    clock: Clock,
    slow: Slow,
    /// On purpose: nothing can be appended.
    full: bool,
    /// Bytes written to logs.
    pub written: u64,
}

struct LogFiles {
    directory: PathBuf,
    /// In order of their base offsets; never empty.
    segments: Vec<Segment>,
    /// By base offset.
    aside: BTreeMap<Offset, Aside>,
    /// The end offset of the gathered appends.
    end: Offset,
    is_gathered: bool,
}

impl LogFiles {
    fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    fn find(&self, base: Offset) -> io::Result<usize> {
        self.segments
            .binary_search_by_key(&base, |segment| segment.base)
            .map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("no segment {base}")))
    }
}

impl Storage {
    pub fn new(root: PathBuf, flusher: Flusher, ledger: Arc<Ledger>, clock: Clock) -> Storage {
        STORAGES.fetch_add(1, Ordering::Relaxed);
        Storage {
            root,
            logs: LogTable::default(),
            gathered: Vec::new(),
            flusher,
            unsaved: BTreeMap::new(),
            max_open: descriptors::files(),
            opened: OPENED.load(Ordering::Relaxed),
            ledger,
            clock,
            slow: Slow::default(),
            full: false,
            written: 0,
        }
    }

    /// The run begins: [`begun`](Self::begun) follows when the effects of its opening are carried out.
    pub fn begin(&self) -> io::Result<()> {
        image::begin(&self.root)
    }

    pub fn begun(&self) -> io::Result<()> {
        image::begun(&self.root)
    }

    /// What is wrong with the disk, on purpose.
    pub fn ail(&mut self, slow: Duration, full: bool) {
        self.slow.set(self.clock.instant(), slow);
        self.flusher.slow(slow);
        self.full = full;
    }

    /// What every read takes longer.
    pub fn read_delay(&self) -> Duration {
        self.slow.by()
    }

    /// When [`Storage::write`] has something to tell, on a slow disk.
    pub fn deadline(&self) -> Option<Instant> {
        self.slow.deadline()
    }

    /// Carries out an effect on the disk. What must be told at once goes to `events`.
    pub fn execute(&mut self, effect: Effect, events: &mut Vec<Event>) {
        let Some(log) = log_of(&effect) else {
            return self.execute_on_file(effect);
        };
        if !matches!(effect, Effect::Append { .. }) {
            self.write_log(log, events);
        }
        if let Err(error) = self.try_execute(log, effect) {
            self.fail(log, &error, events);
        }
    }

    /// Small files belong to no log.
    fn execute_on_file(&mut self, effect: Effect) {
        match effect {
            Effect::Save { file, contents } => {
                self.unsaved.insert(file, contents);
                self.save_all();
            }
            Effect::Erase { file } => self.erase(&file),
            other => unreachable!("no effect on storage: {other}"),
        }
    }

    fn erase(&mut self, file: &str) {
        self.unsaved.remove(file);
        let path = self.root.join(file);
        self.ledger.gone(&path);
        // At once: found again, it would speak of a log that is not this one any more.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::error!(file, %error, "cannot remove"),
            _ => {}
        }
    }

    /// (5)
    fn save_all(&mut self) {
        for (file, contents) in std::mem::take(&mut self.unsaved) {
            if let Err(error) = self.save(&file, &contents) {
                tracing::error!(file, %error, "cannot save; it is tried again with the next");
                self.unsaved.insert(file, contents);
            }
        }
    }

    fn try_execute(&mut self, log: LogId, effect: Effect) -> io::Result<()> {
        if let Effect::Open { directory, base, found, .. } = effect {
            return self.open(log, &directory, base, found);
        }
        let Some(files) = self.logs.get_mut(log) else { return Ok(()) };
        match effect {
            Effect::Append { stamp, batch, index, .. } => {
                let next = stamp.base_offset + i64::from(batch.header.last_offset_delta) + 1;
                files.active().gather(&stamp, *batch);
                if let Some(entry) = index {
                    files.active().index(entry.offset, entry.position);
                    if let Some(time) = entry.time {
                        files.active().time_index(time);
                    }
                }
                files.end = next;
                if !std::mem::replace(&mut files.is_gathered, true) {
                    self.gathered.push(log);
                }
            }
            Effect::Roll { base, last, .. } => {
                files.roll(base, last)?;
            }
            Effect::Flush { end, truncations, .. } => {
                let mut dirty = Vec::new();
                for segment in files.segments.iter_mut().filter(|segment| segment.base < end) {
                    segment.take_dirty(&mut dirty)?;
                }
                let sync = Job::Sync { log, end, truncations, files: dirty };
                self.sync(sync);
            }
            Effect::Truncate { end, segment, position, .. } => {
                let at = files.find(segment)?;
                for gone in files.segments.drain(at + 1..) {
                    self.flusher.send(Job::Unlink(gone.set_aside()?));
                }
                files.active().truncate(end, position)?;
            }
            Effect::Reindex { segment, index, time_index, .. } => {
                let at = files.find(segment)?;
                files.segments[at].reindex(&index, &time_index)?;
            }
            Effect::IndexAborted { segment, position, entries, .. } => {
                let at = files.find(segment)?;
                files.segments[at].index_aborted(position, &entries)?;
            }
            Effect::Delete { below, .. } => {
                // The active segment stays, whatever is asked.
                let kept = files.segments.partition_point(|segment| segment.base < below).min(files.segments.len() - 1);
                for gone in files.segments.drain(..kept) {
                    self.flusher.send(Job::Unlink(gone.set_aside()?));
                }
            }
            Effect::Clean { segment, position, batches, .. } => {
                if self.full {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.written += files.write_aside(segment, position, &batches)?;
            }
            Effect::Seal { seal, segment, files: beside, modified, .. } => {
                let seal = files.seal(log, seal, segment, &beside, modified)?;
                self.sync(seal);
            }
            Effect::Replace { segment, below, .. } => {
                let replaced = files.replace(segment, below)?;
                self.flusher.send(replaced);
            }
            Effect::Discard { segment, .. } => files.discard(segment)?,
            Effect::Remove { .. } => {
                // What a crash leaves of it goes at the next start.
                let gone = aside(&files.directory, DELETE);
                fs::rename(&files.directory, &gone)?;
                self.ledger.gone(&files.directory);
                if let Ok(name) = files.directory.strip_prefix(&self.root) {
                    let inside = format!("{}/", name.display());
                    self.unsaved.retain(|file, _| !file.starts_with(&inside));
                }
                self.logs.remove(log);
                self.flusher.send(Job::RemoveDirectory(gone));
            }
            _ => unreachable!("no effect on a log"),
        }
        Ok(())
    }

    fn open(&mut self, log: LogId, directory: &str, base: Offset, found: bool) -> io::Result<()> {
        let directory = self.root.join(directory);
        if !found {
            // (3)
            set_aside(&directory)?;
            self.ledger.gone(&directory);
        }
        fs::create_dir_all(&directory)?;
        let mut segments = image::bases(&directory)?
            .into_iter()
            .map(|base| Segment::at(&directory, base, &self.ledger))
            .collect::<Vec<_>>();
        if segments.is_empty() {
            segments.push(Segment::create(&directory, base, &self.ledger)?);
        }
        let aside = BTreeMap::new();
        self.logs.insert(log, LogFiles { directory, segments, aside, end: base, is_gathered: false });
        Ok(())
    }

    /// A sync comes after the writes that it syncs.
    fn sync(&mut self, job: Job) {
        match self.slow.is_idle() {
            true => self.flusher.send(job),
            false => self.slow.add(self.clock.instant(), Then::Sync(job)),
        }
    }

    /// Writes everything gathered: one write a log. A slow disk tells what it has done by now.
    pub fn write(&mut self, events: &mut Vec<Event>) {
        for log in std::mem::take(&mut self.gathered) {
            self.write_log(log, events);
        }
        if self.slow.deadline().is_some() {
            for then in self.slow.done(self.clock.instant()) {
                match then {
                    Then::Tell(event) => events.push(event),
                    Then::Sync(job) => self.flusher.send(job),
                }
            }
        }
        let share = self.max_open / STORAGES.load(Ordering::Relaxed).max(1);
        if OPENED.load(Ordering::Relaxed) - self.opened >= (share / 2).max(1) {
            self.close_files(share / 2);
        }
    }

    /// (4) Closes what was not used since the last time, and where more than `keep` would stay open, everything.
    fn close_files(&mut self, keep: usize) {
        self.opened = OPENED.load(Ordering::Relaxed);
        let mut close = |even_used| {
            let segments = self.logs.rows_mut().flat_map(|files| &mut files.segments);
            segments.map(|segment| segment.close(even_used)).sum::<usize>()
        };
        if close(false) > keep {
            close(true);
        }
    }

    fn write_log(&mut self, log: LogId, events: &mut Vec<Event>) {
        let Some(files) = self.logs.get_mut(log) else { return };
        if !std::mem::replace(&mut files.is_gathered, false) {
            return;
        }
        let room = if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        let written = room.and_then(|()| files.active().write());
        match written.and_then(|bytes| files.active().write_indexes().map(|()| bytes)) {
            Ok(bytes) => {
                self.written += bytes;
                let appended = Event::Appended { log, end: files.end };
                match self.slow.is_idle() {
                    true => events.push(appended),
                    false => self.slow.add(self.clock.instant(), Then::Tell(appended)),
                }
            }
            Err(error) => self.fail(log, &error, events),
        }
    }

    fn fail(&mut self, log: LogId, error: &io::Error, events: &mut Vec<Event>) {
        match self.logs.remove(log) {
            Some(files) => {
                tracing::error!(directory = %files.directory.display(), %error, "the log's files fail; it goes offline");
            }
            None => tracing::error!(%log, %error, "the log's files cannot be opened; it is offline"),
        }
        events.push(Event::Offline { log, cause: error.to_string() });
    }

    /// A run of a segment's file cannot be read. (6)
    pub fn unread(&mut self, extent: Extent, error: &io::Error, events: &mut Vec<Event>) {
        // One that has failed already has told so; one that was removed has nobody who waits.
        let Some(files) = self.logs.get(extent.log) else { return };
        let file = files.directory.join(format!("{:020}.log", extent.segment));
        let told = format!("{}, byte {}: {error}", file.display(), extent.position);
        self.fail(extent.log, &io::Error::new(error.kind(), told), events);
    }

    /// Replaces a small file as a whole. A process that dies finds the old or the new; the flusher syncs it then.
    fn save(&self, file: &str, contents: &Bytes) -> io::Result<()> {
        let path = self.root.join(file);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut aside = path.clone().into_os_string();
        aside.push(".tmp");
        fs::write(&aside, contents)?;
        fs::rename(&aside, &path)?;
        let version = self.ledger.saved(&path);
        self.flusher.send(Job::SyncFile { path, version, contents: contents.clone() });
        Ok(())
    }

    /// The run of a segment's file that an extent means.
    pub fn slice(&mut self, extent: Extent) -> io::Result<FileSlice> {
        let files = self.logs.get_mut(extent.log);
        let files = files.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the log is gone"))?;
        let at = files.find(extent.segment)?;
        let file = files.segments[at].file()?;
        Ok(FileSlice { file, position: u64::from(extent.position), len: extent.len as usize })
    }

    /// Syncs everything that is not, in place. For the end of a run only.
    pub fn close(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        self.write(events);
        let mut dirty = Vec::new();
        for segment in self.logs.rows_mut().flat_map(|files| &mut files.segments) {
            segment.take_dirty(&mut dirty)?;
        }
        flusher::sync(&dirty, &self.ledger)?;
        self.save_all();
        self.flusher.finish();
        match self.unsaved.keys().next() {
            Some(file) => Err(io::Error::other(format!("{file} is not saved"))),
            None => Ok(()),
        }
    }

    /// The process dies: what is gathered is not written, what waits to be synced is not synced.
    pub fn abandon(&mut self) {
        self.flusher.abandon();
    }
}

impl LogFiles {
    fn roll(&mut self, base: Offset, last: Option<TimeEntry>) -> io::Result<()> {
        if let Some(time) = last {
            self.active().time_index(time);
        }
        self.active().retire()?;
        let ledger = self.active().ledger.clone();
        self.segments.push(Segment::create(&self.directory, base, &ledger)?);
        Ok(())
    }
}

/// Moves a directory out of the way of a log that is to begin there, unless it holds nothing.
fn set_aside(directory: &Path) -> io::Result<()> {
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    if is_empty {
        return Ok(());
    }
    let stray = aside(directory, STRAY);
    fs::rename(directory, &stray)?;
    tracing::warn!(
        directory = %directory.display(),
        stray = %stray.display(),
        "its files are not those of the log that begins there; they are kept aside"
    );
    Ok(())
}

/// Kafka's name for a log's directory that is a log's no more: `orders-0.<32 hex digits>-delete`. The topic is cut where
/// the name would be longer than file systems take.
fn aside(directory: &Path, suffix: &str) -> PathBuf {
    const NAME_MAX: usize = 255;
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (topic, partition) = name.rsplit_once('-').unwrap_or((name, "0"));
    let rest = format!("-{partition}.{}{suffix}", uuid::Uuid::new_v4().simple());
    // Topics have ASCII names.
    let topic = topic.get(..NAME_MAX - rest.len()).unwrap_or(topic);
    directory.with_file_name(format!("{topic}{rest}"))
}

impl Drop for Storage {
    fn drop(&mut self) {
        STORAGES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn log_of(effect: &Effect) -> Option<LogId> {
    match effect {
        Effect::Open { log, .. }
        | Effect::Append { log, .. }
        | Effect::Flush { log, .. }
        | Effect::Roll { log, .. }
        | Effect::Truncate { log, .. }
        | Effect::Reindex { log, .. }
        | Effect::IndexAborted { log, .. }
        | Effect::Delete { log, .. }
        | Effect::Clean { log, .. }
        | Effect::Seal { log, .. }
        | Effect::Replace { log, .. }
        | Effect::Discard { log, .. }
        | Effect::Remove { log } => Some(*log),
        _ => None,
    }
}

/// Reads a run of a file as far as it goes.
pub fn read_slice(slice: &FileSlice, flags: rustix::io::ReadWriteFlags) -> io::Result<Bytes> {
    let mut bytes = vec![0; slice.len];
    let mut filled = 0;
    while filled < bytes.len() {
        let mut rest = [io::IoSliceMut::new(&mut bytes[filled..])];
        match rustix::io::preadv2(&*slice.file, &mut rest, slice.position + filled as u64, flags) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}
