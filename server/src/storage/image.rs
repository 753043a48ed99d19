//! What a data directory holds, as the core's [`Image`]: small files as they are, logs as recovery finds them. What recovery
//! would delete with a damaged segment, the segments behind it, is set aside first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use bytes::Bytes;
use ottla_core::broker::Image;
use ottla_core::id::Offset;
use ottla_core::log::checkpoint::{CLEANER, DELETE, RECOVERY_POINT, REPLICATION, STRAY, parse_offsets};
use ottla_core::log::recover::{LogImage, Scanner, SegmentFiles, SegmentImage};
use ottla_core::log::snapshot;
use ottla_core::time::Timestamp;
use tracing::{info, warn};

use super::aside;
use super::ledger::EXTENSIONS;

/// Kafka's marker: everything was synced before the process ended.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Which start of the machine the last run was in: while that lasts, a process that dies loses nothing that it wrote.
const BOOT: &str = ".ottla-boot";
/// Bytes that recovery reads at once.
pub const CHUNK: u64 = 1 << 20;

/// Reads a broker's data directory. Logs are checked from their recovery points on, unless the last run ended cleanly.
pub fn read(root: &Path) -> anyhow::Result<Image> {
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let clean = root.join(CLEAN_SHUTDOWN).exists();
    let boot = boot();
    let intact = clean || boot.is_some() && fs::read_to_string(root.join(BOOT)).ok() == boot;
    let mut image = Image { intact, ..Image::default() };
    let mut directories = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link counts as what it leads to.
        if entry.path().is_dir() {
            directories.push(name);
        } else if !name.starts_with('.') && !name.ends_with(".tmp") {
            image.files.insert(name, read_file(&entry.path())?.into());
        }
    }
    let recovery_points = offsets(&image.files, RECOVERY_POINT);
    let high_watermarks = offsets(&image.files, REPLICATION);
    let checkpoints = [(RECOVERY_POINT, &recovery_points), (REPLICATION, &high_watermarks)];
    let cleaned = offsets(&image.files, CLEANER);
    for name in directories {
        let directory = root.join(&name);
        if name.ends_with(DELETE) {
            fs::remove_dir_all(&directory)?;
            continue;
        }
        if name.ends_with(STRAY) {
            info!(directory = %directory.display(), "set aside in an earlier run; it is left alone");
            continue;
        }
        let flushed = recovery_points.get(&name).copied().unwrap_or(0);
        let mut log = read_log(&directory, &name, if clean { Offset::MAX } else { flushed }, &mut image.files)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        mend(&directory, &mut log.segments)?;
        tell_what_is_lost(&directory, &log, cleaned.get(&name).copied().unwrap_or(0));
        let end = log.segments.last().map_or(0, |segment| segment.next_offset);
        // A process that dies leaves a last batch that it had not written to its end; all else is damage.
        image.intact &= !log.segments.iter().any(|segment| segment.torn.is_some()) || !clean && end >= flushed;
        for (checkpoint, offsets) in checkpoints {
            if let Some(&expected) = offsets.get(&name).filter(|expected| **expected > end) {
                warn!(log = name, end, expected, "the log ends before the offset in {checkpoint}: records are lost");
                image.intact = false;
            }
        }
        image.logs.insert(name, log);
    }
    for (checkpoint, offsets) in checkpoints {
        for name in offsets.iter().filter(|(_, offset)| **offset > 0).map(|(name, _)| name) {
            if !image.logs.contains_key(name) {
                warn!(log = name, "it is named in {checkpoint}, and its directory is missing: records are lost");
                image.intact = false;
            }
        }
    }
    Ok(image)
}

/// A segment before the last one was whole when the next one began. What stands behind its last batch is cut off where no
/// offset is missing; where one is, the segments behind it are set aside, with what they hold.
fn mend(directory: &Path, segments: &mut Vec<SegmentImage>) -> io::Result<()> {
    for at in 1..segments.len() {
        let next = segments[at].base;
        let segment = &mut segments[at - 1];
        let Some(why) = segment.torn.take() else { continue };
        let (file, valid_bytes) = (directory.join(format!("{:020}.log", segment.base)), segment.valid_len);
        if segment.next_offset == next {
            warn!(file = %file.display(), valid_bytes, "what is no batch is cut off, and no record with it: {why}");
            File::options().write(true).open(&file)?.set_len(valid_bytes.into())?;
            continue;
        }
        segment.torn = Some(why);
        let stray = super::aside(directory, STRAY);
        warn!(file = %file.display(), stray = %stray.display(), "the segments behind it are kept aside");
        fs::create_dir(&stray)?;
        for gone in segments.drain(at..) {
            for extension in EXTENSIONS {
                let name = format!("{:020}.{extension}", gone.base);
                if_there(fs::rename(directory.join(&name), stray.join(&name)))?;
            }
        }
        break;
    }
    Ok(())
}

/// A run begins, and has not ended cleanly until it says so. One that is refused, over what it read, does not begin.
pub fn begin(root: &Path) -> io::Result<()> {
    if_there(fs::remove_file(root.join(CLEAN_SHUTDOWN))).map(drop)
}

/// What may be lost of the last run is written down: the next one has only this one to ask for.
pub fn begun(root: &Path) -> io::Result<()> {
    fs::write(root.join(BOOT), boot().unwrap_or_default())
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

/// The machine died, as far as the next run is concerned.
pub fn crashed(root: &Path) -> io::Result<()> {
    if_there(fs::remove_file(root.join(BOOT))).map(drop)
}

/// What a checkpoint says, by directory name; the core tells of one that cannot be read.
fn offsets(files: &BTreeMap<String, Bytes>, checkpoint: &str) -> BTreeMap<String, Offset> {
    let offsets = files.get(checkpoint).and_then(|text| parse_offsets(text).ok()).unwrap_or_default();
    offsets.into_iter().map(|(partition, offset)| (partition.to_string(), offset)).collect()
}

/// The base offsets of the segments in a directory, in order. A segment's name is 20 digits, and nothing else is one.
pub fn bases(directory: &Path) -> io::Result<Vec<Offset>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".log"));
        let digits = digits.filter(|stem| stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit()));
        bases.extend(digits.and_then(|stem| stem.parse::<Offset>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

fn read_log(
    directory: &Path,
    name: &str,
    recovery_point: Offset,
    files: &mut BTreeMap<String, Bytes>,
) -> io::Result<LogImage> {
    for file in ["partition.metadata", "leader-epoch-checkpoint"] {
        if let Some(contents) = if_there(read_file(&directory.join(file)))? {
            files.insert(format!("{name}/{file}"), contents.into());
        }
    }
    aside::recover(directory)?;
    read_snapshots(directory, name, files)?;
    let bases = bases(directory)?;
    let segments = bases.into_iter().map(|base| read_segment(directory, base, recovery_point));
    Ok(LogImage { segments: segments.collect::<io::Result<_>>()?, ..LogImage::default() })
}

/// What is in the newest snapshots; of the others only that they are there.
fn read_snapshots(directory: &Path, name: &str, files: &mut BTreeMap<String, Bytes>) -> io::Result<()> {
    let mut snapshots = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.file_name();
        snapshots.extend(file.to_str().filter(|file| snapshot::offset(file).is_some()).map(str::to_owned));
    }
    snapshots.sort_unstable();
    for (age, file) in snapshots.into_iter().rev().enumerate() {
        let contents = if age < snapshot::KEPT { read_file(&directory.join(&file))?.into() } else { Bytes::new() };
        files.insert(format!("{name}/{file}"), contents);
    }
    Ok(())
}

/// What recovery mends, and what nothing can. Below `cleaned` compaction may have taken what is missing.
fn tell_what_is_lost(directory: &Path, log: &LogImage, cleaned: Offset) {
    let directory = directory.display();
    for (at, segment) in log.segments.iter().enumerate() {
        if let Some(why) = &segment.torn {
            let (segment, valid_bytes) = (segment.base, segment.valid_len);
            warn!(%directory, segment, valid_bytes, "torn tail is cut: {why}");
            return;
        }
        if segment.stale_index {
            warn!(%directory, segment = segment.base, "its index files do not fit it; they are made anew");
        }
        if let Some(next) = log.segments.get(at + 1).filter(|next| next.base > segment.next_offset.max(cleaned)) {
            let (from, to) = (segment.next_offset, next.base - 1);
            warn!(%directory, from, to, "offsets are missing between two segments");
        }
    }
}

fn read_segment(directory: &Path, base: Offset, recovery_point: Offset) -> io::Result<SegmentImage> {
    let stem = directory.join(format!("{base:020}"));
    let path = stem.with_extension("log");
    let log = File::open(&path).map_err(|error| named(&path, error))?;
    let metadata = log.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let index = if_there(read_file(&stem.with_extension("index")))?;
    let time_index = if_there(read_file(&stem.with_extension("timeindex")))?;
    let txn_index = if_there(read_file(&stem.with_extension("txnindex")))?;
    let mut scanner = Scanner::new(
        &SegmentFiles {
            base,
            log_len: metadata.len(),
            modified: Timestamp(modified),
            index: index.as_deref(),
            time_index: time_index.as_deref(),
            txn_index: txn_index.as_deref(),
        },
        recovery_point,
    );
    let mut buffer = Vec::new();
    while let Some(wanted) = scanner.wants() {
        buffer.resize((wanted.end - wanted.start).min(CHUNK) as usize, 0);
        let read = log.read_at(&mut buffer, wanted.start).map_err(|error| named(&path, error))?;
        scanner.feed(&buffer[..read]);
    }
    Ok(scanner.finish())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| named(path, error))
}

/// The error, and of which file it is.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
