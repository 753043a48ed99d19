//! What of a data directory would survive its machine: which bytes of which files are on the disk, and not only in the
//! page cache. It is the machine's, so it outlives the broker's process; a crash cuts the files back to it.
//!
//! 1. A file that is not listed is safe as it is: it was there before this server, or nothing was written to it.
//! 2. What is listed is safe up to the length that is written here; the flusher raises it, once it has synced.
//! 3. Cutting, renaming and deleting are safe at once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use ottla_core::broker::Image;

/// Bytes of a segment's four files: `.log`, `.index`, `.timeindex`, and `.txnindex`, which most have not.
pub type Lengths = [u64; 4];

pub const EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// A log has many of these, and none is replaced by another version.
const WRITTEN_ONCE: &str = "snapshot";

#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// By the files' path without extension: a directory's segments in the order of their offsets.
    segments: BTreeMap<PathBuf, Entry>,
    /// By path.
    files: BTreeMap<PathBuf, Small>,
}

#[derive(Default)]
struct Entry {
    safe: Lengths,
    /// Truncations so far, and the shortest that its files were since the last sync that knew of them all.
    truncations: u64,
    shortest: Lengths,
}

/// A file that is replaced as a whole.
#[derive(Default)]
struct Small {
    /// What is on the disk; `None` where no file of that name is.
    safe: Option<Bytes>,
    saved: u64,
    synced: u64,
}

/// What is handed to the flusher with a segment's files.
pub struct Claim {
    pub stem: PathBuf,
    pub lengths: Lengths,
    truncations: u64,
}

/// What a crash took.
pub struct Loss {
    /// A log's directory, or a file.
    pub of: String,
    pub bytes: u64,
}

impl Ledger {
    /// What is found at a start is what later versions of small files replace.
    pub fn found(&self, root: &Path, image: &Image) {
        let mut entries = self.entries();
        for (file, contents) in &image.files {
            let small = || Small { safe: Some(contents.clone()), ..Small::default() };
            entries.files.entry(root.join(file)).or_insert_with(small);
        }
    }

    /// A segment of those lengths is about to be written to, for the first time since it was synced.
    pub fn writing(&self, stem: &Path, lengths: impl FnOnce() -> io::Result<Lengths>) -> io::Result<()> {
        let mut entries = self.entries();
        if !entries.segments.contains_key(stem) {
            let safe = lengths()?;
            entries.segments.insert(stem.to_owned(), Entry { safe, truncations: 0, shortest: safe });
        }
        Ok(())
    }

    /// All of those lengths will be synced.
    pub fn claim(&self, stem: PathBuf, lengths: Lengths) -> Claim {
        let truncations = self.entries().segments.get(&stem).map_or(0, |entry| entry.truncations);
        Claim { stem, lengths, truncations }
    }

    /// It was.
    pub fn synced(&self, claim: &Claim) {
        if let Some(entry) = self.entries().segments.get_mut(&claim.stem) {
            entry.safe = match claim.truncations == entry.truncations {
                true => claim.lengths,
                // Some of what was synced has been cut off since, and what is there now came later.
                false => {
                    std::array::from_fn(|file| entry.safe[file].max(claim.lengths[file].min(entry.shortest[file])))
                }
            };
        }
    }

    pub fn truncated(&self, stem: &Path, lengths: Lengths) {
        let mut entries = self.entries();
        let entry = entries.segments.entry(stem.to_owned()).or_insert_with(|| Entry {
            safe: lengths,
            truncations: 0,
            shortest: lengths,
        });
        entry.truncations += 1;
        for (file, length) in lengths.into_iter().enumerate() {
            entry.safe[file] = entry.safe[file].min(length);
            entry.shortest[file] = entry.shortest[file].min(length);
        }
    }

    /// A segment, or a log's directory.
    pub fn gone(&self, path: &Path) {
        let mut entries = self.entries();
        take_below(&mut entries.segments, path);
        take_below(&mut entries.files, path);
    }

    /// A small file was replaced; gives the number of that version.
    pub fn saved(&self, path: &Path) -> u64 {
        let mut entries = self.entries();
        let small = entries.files.entry(path.to_owned()).or_default();
        small.saved += 1;
        small.saved
    }

    pub fn synced_file(&self, path: &Path, version: u64, contents: Bytes) {
        let mut entries = self.entries();
        let Some(small) = entries.files.get_mut(path) else { return };
        if small.saved == version && path.extension().is_some_and(|extension| extension == WRITTEN_ONCE) {
            // (1)
            entries.files.remove(path);
        } else {
            (small.safe, small.synced) = (Some(contents), version);
        }
    }

    /// The machine is gone: what was not safe is lost. Nobody may have the files open for writing.
    pub fn crash(&self, root: &Path) -> io::Result<Vec<Loss>> {
        let mut entries = self.entries();
        let mut losses: Vec<Loss> = Vec::new();
        // The directory in which a segment has lost bytes: what was written behind them came later, and is lost too.
        let mut torn: Option<PathBuf> = None;
        let mut first: Option<PathBuf> = None;
        for (stem, entry) in &entries.segments {
            let directory = stem.parent().unwrap_or(root);
            let is_first = first.as_deref() != Some(directory);
            first = Some(directory.to_owned());
            let behind = torn.as_deref() == Some(directory);
            let safe = if behind { Lengths::default() } else { entry.safe };
            let lost = cut(&stem.with_extension("log"), safe[0])?;
            for file in 1..EXTENSIONS.len() {
                cut(&stem.with_extension(EXTENSIONS[file]), safe[file])?;
            }
            if lost > 0 {
                torn = Some(directory.to_owned());
                lose(&mut losses, root, directory, lost);
            }
            // A file's name is safe with its first bytes.
            if safe[0] == 0 && (behind || !is_first || has_earlier(directory, stem)?) {
                for extension in EXTENSIONS {
                    remove(&stem.with_extension(extension))?;
                }
            }
        }
        for (path, small) in entries.files.iter().filter(|(_, small)| small.synced < small.saved) {
            let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
            match &small.safe {
                Some(contents) => fs::write(path, contents)?,
                None => remove(path)?,
            }
            lose(&mut losses, root, path, length);
        }
        entries.segments.clear();
        entries.files.values_mut().for_each(|small| small.synced = small.saved);
        Ok(losses)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("not poisoned")
    }
}

/// That path and what lies below it are together, in the order of paths.
fn take_below<T>(entries: &mut BTreeMap<PathBuf, T>, path: &Path) {
    let below = entries.range(path.to_owned()..).map(|(one, _)| one).take_while(|one| one.starts_with(path));
    for one in below.cloned().collect::<Vec<_>>() {
        entries.remove(&one);
    }
}

fn lose(losses: &mut Vec<Loss>, root: &Path, of: &Path, bytes: u64) {
    let of = of.strip_prefix(root).unwrap_or(of).display().to_string();
    match losses.last_mut().filter(|last| last.of == of) {
        Some(last) => last.bytes += bytes,
        None => losses.push(Loss { of, bytes }),
    }
}

/// Gives how many bytes that takes away.
fn cut(path: &Path, length: u64) -> io::Result<u64> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => {
            let before = file.metadata()?.len();
            if before > length {
                file.set_len(length)?;
            }
            Ok(before.saturating_sub(length))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a segment that is safe, and therefore not listed, lies before that one.
fn has_earlier(directory: &Path, stem: &Path) -> io::Result<bool> {
    let bases = super::image::bases(directory)?;
    let own = stem.file_name().and_then(|name| name.to_str()?.parse().ok());
    Ok(bases.first().copied() < own)
}
