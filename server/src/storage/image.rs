//! What a data directory holds, as the core's [`Image`]: small files as they are, logs as recovery finds them.

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
use ottla_core::log::checkpoint::parse_offsets;
use ottla_core::log::recover::{LogImage, Scanner, SegmentFiles, SegmentImage};
use ottla_core::time::Timestamp;
use tracing::warn;

use super::segment::DELETED;

/// Kafka's marker: everything was synced before the process ended.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Bytes that recovery reads at once.
const CHUNK: u64 = 1 << 20;

/// Reads a broker's data directory. Logs are checked from their recovery points on, unless the last run ended cleanly;
/// the marker of that is taken away, for this run has not ended yet.
pub fn read(root: &Path) -> anyhow::Result<Image> {
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let clean = fs::remove_file(root.join(CLEAN_SHUTDOWN)).is_ok();
    let mut image = Image::default();
    let mut directories = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.file_type()?.is_dir() {
            directories.push(name);
        } else if !name.starts_with('.') && !name.ends_with(".tmp") {
            image.files.insert(name, fs::read(entry.path())?.into());
        }
    }
    let recovery_points = recovery_points(&image.files);
    for name in directories {
        let directory = root.join(&name);
        if name.ends_with("-delete") {
            fs::remove_dir_all(&directory)?;
            continue;
        }
        let recovery_point = if clean { Offset::MAX } else { recovery_points.get(&name).copied().unwrap_or(0) };
        let log = read_log(&directory, &name, recovery_point, &mut image.files)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        image.logs.insert(name, log);
    }
    Ok(image)
}

/// By directory name.
fn recovery_points(files: &BTreeMap<String, Bytes>) -> BTreeMap<String, Offset> {
    let Some(text) = files.get(RECOVERY_POINTS) else { return BTreeMap::new() };
    match parse_offsets(text) {
        Ok(offsets) => offsets.into_iter().map(|(partition, offset)| (partition.to_string(), offset)).collect(),
        Err(error) => {
            warn!("{RECOVERY_POINTS} cannot be read, every batch is checked: {error:?}");
            BTreeMap::new()
        }
    }
}

/// The base offsets of the segments in a directory, in order.
pub fn bases(directory: &Path) -> io::Result<Vec<Offset>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        bases.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<Offset>().ok()));
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
        if let Some(contents) = if_there(fs::read(directory.join(file)))? {
            files.insert(format!("{name}/{file}"), contents.into());
        }
    }
    sweep(directory)?;
    let bases = bases(directory)?;
    let segments = bases.into_iter().map(|base| read_segment(directory, base, recovery_point));
    Ok(LogImage { segments: segments.collect::<io::Result<_>>()? })
}

/// Removes what the last run set aside and did not come to remove.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == DELETED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn read_segment(directory: &Path, base: Offset, recovery_point: Offset) -> io::Result<SegmentImage> {
    let stem = directory.join(format!("{base:020}"));
    let log = File::open(stem.with_extension("log"))?;
    let metadata = log.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let index = if_there(fs::read(stem.with_extension("index")))?;
    let time_index = if_there(fs::read(stem.with_extension("timeindex")))?;
    let mut scanner = Scanner::new(
        &SegmentFiles {
            base,
            log_len: metadata.len(),
            modified: Timestamp(modified),
            index: index.as_deref(),
            time_index: time_index.as_deref(),
        },
        recovery_point,
    );
    let mut buffer = Vec::new();
    while let Some(wanted) = scanner.wants() {
        buffer.resize((wanted.end - wanted.start).min(CHUNK) as usize, 0);
        let read = log.read_at(&mut buffer, wanted.start)?;
        scanner.feed(&buffer[..read]);
    }
    let image = scanner.finish();
    if let Some(why) = &image.torn {
        warn!(segment = %stem.display(), valid_bytes = image.valid_len, of = metadata.len(), "torn tail is cut: {why}");
    }
    Ok(image)
}

fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
