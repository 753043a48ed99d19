//! The log against a disk in memory, against Kafka's own files, and against a naive model.

mod compact;
mod kafka;
mod model;
mod producers;
mod recovery;
mod rules;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::recover::{Scanner, SegmentFiles};
use super::*;
use crate::error::ErrorCode;
use crate::record::batch::HEADER_LEN;
use crate::record::{BatchBuilder, Compression};

const LOG: LogId = LogId(7);
/// A producer that is no part of a transaction.
const ORIGIN: Origin = Origin::Client(Verified { guard: None, required: true });

/// Carries out a log's effects as a driver does.
#[derive(Clone, Debug, Default)]
struct Disk {
    segments: BTreeMap<Offset, Files>,
    /// What compaction writes.
    aside: BTreeMap<Offset, Files>,
    saved: BTreeMap<String, Bytes>,
    appended: Offset,
    flushed: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    log: Vec<u8>,
    index: Vec<u8>,
    time_index: Vec<u8>,
    txn_index: Vec<u8>,
}

impl Files {
    fn time(&mut self, base: Offset, entry: Option<TimeEntry>) {
        if let Some(entry) = entry {
            self.time_index.extend(entry.timestamp.0.to_be_bytes());
            self.time_index.extend(((entry.offset - base) as u32).to_be_bytes());
        }
    }
}

impl Disk {
    fn enact(&mut self, out: &mut Vec<Effect>) {
        for effect in out.drain(..) {
            match effect {
                Effect::Open { base, .. } => {
                    if self.segments.is_empty() {
                        self.segments.insert(base, Files::default());
                    }
                }
                Effect::Append { stamp, batch, index, .. } => {
                    let mut active = self.segments.last_entry().unwrap();
                    let base = *active.key();
                    let files = active.get_mut();
                    if let Some(entry) = index {
                        assert_eq!(entry.position as usize, files.log.len());
                        files.index.extend(((entry.offset - base) as u32).to_be_bytes());
                        files.index.extend(entry.position.to_be_bytes());
                        files.time(base, entry.time);
                    }
                    files.log.extend(stamp.apply(&batch));
                    files.log.extend(&batch.bytes[HEADER_LEN..]);
                    self.appended = stamp.header(&batch).next_offset();
                }
                Effect::Flush { end, .. } => self.flushed = end,
                Effect::Roll { base, last, .. } => {
                    let mut active = self.segments.last_entry().unwrap();
                    let old = *active.key();
                    active.get_mut().time(old, last);
                    assert!(self.segments.insert(base, Files::default()).is_none());
                }
                Effect::Truncate { end, segment, position, .. } => {
                    self.segments.retain(|base, _| *base <= segment);
                    self.segments.get_mut(&segment).unwrap().log.truncate(position as usize);
                    self.appended = self.appended.min(end);
                }
                Effect::Reindex { segment, index, time_index, .. } => {
                    let files = self.segments.get_mut(&segment).unwrap();
                    (files.index, files.time_index) = (index.to_vec(), time_index.to_vec());
                }
                Effect::Delete { below, .. } => self.segments.retain(|base, _| *base >= below),
                Effect::Clean { segment, position, batches, .. } => {
                    let aside = self.aside.entry(segment).or_default();
                    aside.log.truncate(position as usize);
                    assert_eq!(aside.log.len(), position as usize);
                    batches.iter().for_each(|batch| aside.log.extend_from_slice(batch));
                }
                Effect::Seal { segment, files, .. } => {
                    let aside = self.aside.entry(segment).or_default();
                    (aside.index, aside.time_index) = (files.index.to_vec(), files.time_index.to_vec());
                    aside.txn_index = files.txn_index.to_vec();
                }
                Effect::Replace { segment, below, .. } => {
                    self.segments.retain(|base, _| !(segment..below).contains(base));
                    self.segments.insert(segment, self.aside.remove(&segment).expect("it was sealed"));
                    assert!(self.segments.contains_key(&below));
                }
                Effect::Discard { segment, .. } => _ = self.aside.remove(&segment),
                Effect::IndexAborted { segment, position, entries, .. } => {
                    let file = &mut self.segments.get_mut(&segment).unwrap().txn_index;
                    file.truncate(position as usize);
                    file.extend(entries);
                }
                Effect::Save { file, contents } => {
                    self.saved.insert(file, contents);
                }
                Effect::Erase { file } => drop(self.saved.remove(&file)),
                other => panic!("{other}"),
            }
        }
    }

    fn read(&self, extent: Extent) -> Bytes {
        let file = &self.segments[&extent.segment].log;
        let start = (extent.position as usize).min(file.len());
        let end = (start + extent.len as usize).min(file.len());
        Bytes::copy_from_slice(&file[start..end])
    }

    fn image(&self, recovery_point: Offset) -> LogImage {
        let segments = self.segments.iter().map(|(base, files)| {
            let mut scanner = Scanner::new(
                &SegmentFiles {
                    base: *base,
                    log_len: files.log.len() as u64,
                    modified: Timestamp(0),
                    index: Some(&files.index),
                    time_index: Some(&files.time_index),
                    txn_index: Some(&files.txn_index),
                },
                recovery_point,
            );
            while let Some(wanted) = scanner.wants() {
                // A few bytes at a time: any beginning will do.
                let end = wanted.end.min(wanted.start + 100).min(files.log.len() as u64);
                scanner.feed(&files.log[wanted.start as usize..end as usize]);
            }
            scanner.finish()
        });
        let snapshots =
            self.saved.iter().filter_map(|(file, contents)| Some((file.strip_prefix("fix-0/")?, contents.clone())));
        LogImage { segments: segments.collect(), snapshots: Snapshots::found(snapshots) }
    }

    fn open(&mut self, config: LogConfig, checkpoints: Checkpoints) -> Log {
        self.open_at(config, checkpoints, at(0))
    }

    fn open_at(&mut self, config: LogConfig, checkpoints: Checkpoints, now: Now) -> Log {
        let mut out = Vec::new();
        let image = self.image(checkpoints.recovery_point);
        let epochs = self.saved.get("fix-0/leader-epoch-checkpoint").cloned();
        let log = Log::open(LOG, "fix-0".into(), config, image, checkpoints, epochs.as_deref(), now, &mut out);
        self.enact(&mut out);
        self.appended = log.end();
        log
    }
}

fn at(wall_ms: i64) -> Now {
    Now { instant: Instant::from_millis(wall_ms as u64), wall: Timestamp(wall_ms) }
}

fn create(config: LogConfig) -> (Log, Disk) {
    let (mut disk, mut out) = (Disk::default(), Vec::new());
    let log = Log::create(LOG, "fix-0".into(), 0, config, at(0), &mut out);
    disk.enact(&mut out);
    (log, disk)
}

/// A batch of records with these timestamps, and values of `len` bytes.
fn batch(timestamps: &[i64], len: usize) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    for timestamp in timestamps {
        builder.append(Timestamp(*timestamp), None, Some(&vec![b'v'; len]), &[]);
    }
    builder.build()
}

/// Appends, and lets the disk catch up.
fn append(log: &mut Log, disk: &mut Disk, now: Now, batch: Batch) -> Placed {
    append_as(log, disk, now, batch, ORIGIN)
}

fn append_as(log: &mut Log, disk: &mut Disk, now: Now, batch: Batch, origin: Origin) -> Placed {
    let mut out = Vec::new();
    let placed = log.append(now, batch, 0, None, origin, &mut out).unwrap();
    disk.enact(&mut out);
    log.appended(disk.appended);
    log.raise_high_watermark(disk.appended);
    placed
}

/// Serves the reads of a replay.
fn replay(log: &mut Log, disk: &mut Disk, now: Now) -> usize {
    let mut out = Vec::new();
    let mut found = log.replay(now, &mut out);
    let mut reads = 0;
    while let Found::Read(extent, replay) = found {
        reads += 1;
        found = replay.resume(log, now, &disk.read(extent), &mut out);
    }
    disk.enact(&mut out);
    assert!(!log.is_replaying());
    reads
}

/// Serves a look-up's reads.
macro_rules! resolve {
    ($log:expr, $disk:expr, $found:expr) => {{
        let mut found = $found;
        loop {
            match found {
                Found::Here(answer) => break answer,
                Found::Read(extent, seek) => found = seek.resume(&$log, &$disk.read(extent)),
            }
        }
    }};
}
use resolve;
