//! The thread of a broker that waits for the disk, so that no one else does. Jobs are done in the order of their
//! coming; where many files wait, the whole file system is synced once for all of them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use ottla_core::broker::Event;
use ottla_core::id::{LogId, Offset, WorkId};
use ottla_core::time::Timestamp;
use tracing::error;

use super::ledger::{Claim, Ledger};
use super::segment::Dirty;

/// From so many files on it is cheaper to sync all that the file system holds.
const MANY: usize = 64;

pub enum Job {
    /// Answered by [`Event::Flushed`].
    Sync {
        log: LogId,
        end: Offset,
        truncations: u32,
        files: Vec<Unsynced>,
    },
    /// A file that was replaced by renaming, and its directory.
    SyncFile {
        path: PathBuf,
        version: u64,
        contents: Bytes,
    },
    /// What was written aside, to be as old as what it replaces. Answered by [`Event::Sealed`].
    Seal {
        log: LogId,
        seal: WorkId,
        files: Vec<File>,
        modified: Timestamp,
    },
    /// Segments were replaced: their files go when the new names are safe.
    Replaced {
        directory: PathBuf,
        gone: Vec<PathBuf>,
    },
    Unlink(Vec<PathBuf>),
    RemoveDirectory(PathBuf),
}

/// The files of a segment that was written to.
pub struct Unsynced {
    pub files: Vec<Dirty>,
    pub claim: Claim,
}

impl Unsynced {
    pub fn sync(&self, ledger: &Ledger) -> io::Result<()> {
        self.files.iter().try_for_each(Dirty::sync)?;
        ledger.synced(&self.claim);
        Ok(())
    }
}

pub struct Flusher {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    mind: Arc<Mind>,
}

/// What the thread is told beside its jobs.
#[derive(Default)]
struct Mind {
    /// The process has died: what waits is not done.
    dead: AtomicBool,
    /// What every sync takes longer, in nanoseconds.
    slow: AtomicU64,
}

impl Flusher {
    pub fn start(name: String, ledger: Arc<Ledger>, answer: impl Fn(Event) + Send + 'static) -> io::Result<Flusher> {
        let (jobs, queue) = channel::<Job>();
        let mind = Arc::new(Mind::default());
        let own = mind.clone();
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut jobs = vec![first];
                if !own.is_slow() {
                    jobs.extend(queue.try_iter());
                }
                let synced = sync_at_once(&jobs);
                for job in jobs {
                    own.wait(&job);
                    if own.dead.load(Ordering::Acquire) {
                        return;
                    }
                    job.run(&ledger, synced).into_iter().for_each(&answer);
                }
            }
        })?;
        Ok(Flusher { jobs: Some(jobs), thread: Some(thread), mind })
    }

    pub fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // It ends only with this sender, or with the process that it belongs to.
            let _ = jobs.send(job);
        }
    }

    /// Every sync takes so much longer.
    pub fn slow(&self, by: Duration) {
        self.mind.slow.store(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
        self.wake();
    }

    /// Waits until everything is done.
    pub fn finish(&mut self) {
        self.slow(Duration::ZERO);
        self.jobs = None;
        self.join();
    }

    /// Waits for nothing but the one job that is being done.
    pub fn abandon(&mut self) {
        self.mind.dead.store(true, Ordering::Release);
        self.jobs = None;
        self.wake();
        self.join();
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Mind {
    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Acquire) > 0
    }

    /// A slow disk's time, unless it becomes quick meanwhile, or the process dies.
    fn wait(&self, job: &Job) {
        if !matches!(job, Job::Sync { .. } | Job::SyncFile { .. } | Job::Seal { .. }) {
            return;
        }
        let begin = Instant::now();
        loop {
            let slow = Duration::from_nanos(self.slow.load(Ordering::Acquire));
            let left = slow.saturating_sub(begin.elapsed());
            if left.is_zero() || self.dead.load(Ordering::Acquire) {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

impl Job {
    /// What is `synced` need not be synced again.
    fn run(self, ledger: &Ledger, synced: bool) -> Option<Event> {
        match self {
            Job::Sync { log, end, truncations, files } if synced => {
                files.iter().for_each(|files| ledger.synced(&files.claim));
                Some(Event::Flushed { log, end, truncations })
            }
            Job::SyncFile { path, version, contents } if synced => {
                ledger.synced_file(&path, version, contents);
                None
            }
            Job::Sync { log, end, truncations, files } => {
                Some(match files.iter().try_for_each(|files| files.sync(ledger)) {
                    Ok(()) => Event::Flushed { log, end, truncations },
                    Err(error) => Event::Offline { log, cause: error.to_string() },
                })
            }
            Job::SyncFile { path, version, contents } => {
                let synced = File::open(&path)
                    .and_then(|file| file.sync_data())
                    .and_then(|()| File::open(path.parent().expect("a file has a directory"))?.sync_all());
                if synced.is_ok() {
                    ledger.synced_file(&path, version, contents);
                }
                complain(&path, "sync", synced);
                None
            }
            Job::Seal { log, seal, files, modified } => Some(match seal_files(&files, modified) {
                Ok(()) => Event::Sealed { seal },
                Err(error) => Event::Offline { log, cause: error.to_string() },
            }),
            Job::Replaced { directory, gone } => {
                let synced = File::open(&directory).and_then(|directory| directory.sync_all());
                complain(&directory, "sync", synced);
                gone.iter().for_each(|path| complain(path, "remove", fs::remove_file(path)));
                None
            }
            Job::Unlink(paths) => {
                paths.iter().for_each(|path| complain(path, "remove", fs::remove_file(path)));
                None
            }
            Job::RemoveDirectory(path) => {
                complain(&path, "remove", fs::remove_dir_all(&path));
                None
            }
        }
    }
}

fn seal_files(files: &[File], modified: Timestamp) -> io::Result<()> {
    let modified = UNIX_EPOCH + Duration::from_millis(u64::try_from(modified.0).unwrap_or(0));
    for file in files {
        file.set_modified(modified)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Syncs the file system if many of these jobs wait for it. Whether it did; where it failed, each finds out for itself.
fn sync_at_once(jobs: &[Job]) -> bool {
    let segments = jobs.iter().flat_map(|job| match job {
        Job::Sync { files, .. } => &files[..],
        _ => &[],
    });
    let files = segments.flat_map(|segment| &segment.files).collect::<Vec<_>>();
    files.len() >= MANY && sync_all(files[0]).is_ok()
}

/// Syncs those segments, and waits for it.
pub fn sync(segments: &[Unsynced], ledger: &Ledger) -> io::Result<()> {
    let files = segments.iter().flat_map(|segment| &segment.files).collect::<Vec<_>>();
    if files.len() < MANY {
        return segments.iter().try_for_each(|segment| segment.sync(ledger));
    }
    sync_all(files[0])?;
    segments.iter().for_each(|segment| ledger.synced(&segment.claim));
    Ok(())
}

/// Syncs the file system that holds the file.
fn sync_all(file: &Dirty) -> io::Result<()> {
    Ok(rustix::fs::syncfs(&*file.open()?)?)
}

/// What is gone already needs nothing more: a topic may be deleted with its checkpoint still to be synced.
fn complain(path: &std::path::Path, what: &str, result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        error!(path = %path.display(), %error, "cannot {what}");
    }
}
