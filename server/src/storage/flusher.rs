//! The thread of a broker that waits for the disk, so that no one else does. Jobs are done in the order of their
//! coming; where many files wait, the whole file system is synced once for all of them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use ottla_core::broker::Event;
use ottla_core::id::{LogId, Offset};
use tracing::error;

use super::segment::Dirty;

/// From so many files on it is cheaper to sync all that the file system holds.
pub const MANY: usize = 64;

pub enum Job {
    /// Answered by [`Event::Flushed`].
    Sync {
        log: LogId,
        end: Offset,
        files: Vec<Dirty>,
    },
    /// A file that was replaced by renaming, and its directory.
    SyncFile(PathBuf),
    Unlink(Vec<PathBuf>),
    RemoveDirectory(PathBuf),
}

pub struct Flusher {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub fn start(name: String, answer: impl Fn(Event) + Send + 'static) -> io::Result<Flusher> {
        let (jobs, queue) = channel::<Job>();
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut jobs = vec![first];
                jobs.extend(queue.try_iter());
                let synced = sync_at_once(&jobs);
                for job in jobs {
                    job.run(synced).into_iter().for_each(&answer);
                }
            }
        })?;
        Ok(Flusher { jobs: Some(jobs), thread: Some(thread) })
    }

    pub fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // It ends only with this sender.
            let _ = jobs.send(job);
        }
    }

    /// Waits until everything is done.
    pub fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Job {
    /// What is `synced` need not be synced again.
    fn run(self, synced: bool) -> Option<Event> {
        match self {
            Job::Sync { log, end, .. } if synced => Some(Event::Flushed { log, end }),
            Job::SyncFile(_) if synced => None,
            Job::Sync { log, end, files } => {
                let synced = files.iter().try_for_each(Dirty::sync);
                Some(match synced {
                    Ok(()) => Event::Flushed { log, end },
                    Err(error) => Event::Offline { log, cause: error.to_string() },
                })
            }
            Job::SyncFile(path) => {
                let synced = File::open(&path)
                    .and_then(|file| file.sync_data())
                    .and_then(|()| File::open(path.parent().expect("a file has a directory"))?.sync_all());
                complain(&path, "sync", synced);
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

/// Syncs the file system if many of these jobs wait for it. Whether it did; where it failed, each finds out for itself.
fn sync_at_once(jobs: &[Job]) -> bool {
    let files = || {
        jobs.iter().filter_map(|job| match job {
            Job::Sync { files, .. } => Some(files),
            _ => None,
        })
    };
    files().map(Vec::len).sum::<usize>() >= MANY && files().flatten().next().is_some_and(|file| sync_all(file).is_ok())
}

/// Syncs the file system that holds the file.
pub fn sync_all(file: &Dirty) -> io::Result<()> {
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
