//! A broker's disk: segments and small files, what of them the process has written and what the machine has synced.
//!
//! 1. Writes of a log are grouped as the native driver groups them: while one is on its way, all that comes waits and
//!    then goes as one, answered once.
//! 2. Bytes are stamped as they are written, and never change afterwards.
//! 3. The page cache outlives the process. Of what no [`Flush`](Effect::Flush) has covered, a machine's death keeps a
//!    prefix, torn at any byte; what has lain there for [`WRITEBACK`] the kernel has written by itself.
//! 4. Small files are replaced whole and survive everything.
//! 5. A copy is cheap: sealed segments and blocks of bytes are shared.
//! 6. One disk writes for all its logs, so many bytes a second, if it has a limit; what it is told to sync or read waits
//!    behind that.
//! 7. Without room an append fails, and with it the log, which takes nothing more until the process starts anew. Small
//!    files find room always.
//!
//! `disk/aside.rs` what compaction writes

mod aside;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::capacity::span;
use crate::broker::{Effect, Event, Image};
use crate::id::{LogId, Offset, ReadId, WorkId};
use crate::log::Extent;
use crate::log::LogImage;
use crate::log::checkpoint::STRAY;
use crate::log::compact::Job;
use crate::log::recover;
use crate::record::batch::HEADER_LEN;
use crate::record::{Batch, BatchHeader, Stamp};
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::vec_map::VecMap;
use crate::view::BatchView;

/// From a write's begin until it is in the page cache.
const WRITE: Duration = Duration::from_micros(50);
/// An fsync of a good SSD.
pub(super) const SYNC: Duration = Duration::from_millis(1);
/// A read of a few KiB.
const READ: Duration = Duration::from_micros(100);
/// Linux's `vm.dirty_expire_centisecs`.
const WRITEBACK: Duration = Duration::from_secs(30);
/// Linux's `vm.dirty_writeback_centisecs`.
const WRITEBACK_EVERY: Duration = Duration::from_secs(5);
/// Where a batch has its CRC: that and all behind it is covered.
const CRC_AT: u64 = 17;
/// Small chunks are joined into blocks of about this size, in bytes.
const BLOCK: usize = 64 << 10;

#[derive(Clone, Default)]
pub(super) struct Disk {
    files: BTreeMap<String, Bytes>,
    logs: VecMap<String, LogFiles>,
    /// Which directory a log of the running process is, and its place in `logs`.
    open: VecMap<LogId, (String, usize)>,
    reads: VecDeque<(ReadId, Bytes)>,
    works: VecDeque<(WorkId, Job, Bytes)>,
    seals: VecDeque<WorkId>,
    pub drive: Drive,
    /// There is no room.
    pub full: bool,
    /// What the next crash does to what was not flushed.
    pub tears: bool,
    pub corrupts: bool,
    /// The machine died, or the disk is another one, since a broker last started over it.
    lost: bool,
}

/// How fast it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Drive {
    /// Bytes that it writes in a second; `None` is without limit.
    rate: Option<u64>,
    /// When it has written what it was given. Stays at 0 without a limit.
    busy: Instant,
    /// How much longer everything takes.
    pub slow: Duration,
}

/// What a log has lost when a machine died.
pub(super) struct Loss {
    pub directory: String,
    /// Bytes that are gone.
    pub bytes: u64,
    /// The batch of that offset has a wrong byte.
    pub corrupted: Option<Offset>,
}

/// The files of one log.
#[derive(Clone)]
struct LogFiles {
    /// Sorted by base offset; the last one is the active one. Never empty.
    segments: Vec<Arc<Segment>>,
    /// What is written to replace segments, by base offset.
    aside: VecMap<Offset, Segment>,
    /// Room that the next batches are stamped into.
    room: BytesMut,
    /// What the process has asked for and is not done.
    queue: VecDeque<Op>,
    writing: VecDeque<Op>,
    syncs: VecDeque<Syncing>,
    /// Everything before it would survive the machine.
    durable: Place,
    /// How far the log had got when, for the kernel's own writing back.
    dirty: VecDeque<(Instant, Place)>,
    /// From this batch on nothing can be read: it has a wrong byte.
    broken: Option<Offset>,
    /// An append found no room: the process gets no more out of this log.
    failed: bool,
}

/// A place in a log: a segment's base offset and a position in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Offset, u32);

#[derive(Clone)]
struct Segment {
    base: Offset,
    len: u32,
    /// Whole batches, first by blocks of many, then one by one.
    chunks: Vec<Chunk>,
    /// Chunks that are blocks.
    blocks: usize,
    /// Its `.txnindex`, which is no part of `len`.
    aborted: Bytes,
    modified: Timestamp,
}

#[derive(Clone)]
struct Chunk {
    at: u32,
    bytes: Bytes,
}

/// A flush that is on its way.
#[derive(Clone)]
struct Syncing {
    end: Offset,
    truncations: u32,
    place: Place,
}

#[derive(Clone)]
enum Op {
    Append { stamp: Stamp, batch: Box<Batch> },
    Roll { base: Offset },
    Truncate { segment: Offset, position: u32 },
    Delete { below: Offset },
    Replace { segment: Offset, below: Offset },
    IndexAborted { segment: Offset, position: u32, entries: Bytes },
    Flush { end: Offset, truncations: u32 },
}

/// What a finished write means.
#[derive(Default)]
pub(super) struct Written {
    pub appended: Option<Offset>,
    /// Syncs that it began, and when they are done.
    pub syncs: usize,
    pub synced: Instant,
    /// More had come meanwhile: the next write has begun, and is done then.
    pub again: Option<Instant>,
    /// There was no room: the log is of no use any more.
    pub failed: bool,
}

impl Disk {
    pub fn new(rate: Option<u64>) -> Disk {
        Disk { drive: Drive { rate, ..Drive::default() }, ..Disk::default() }
    }

    /// Takes an effect on a log.
    pub fn submit(&mut self, now: Now, effect: Effect) -> Written {
        let (log, op) = match effect {
            Effect::Append { log, stamp, batch, .. } => (log, Op::Append { stamp, batch }),
            Effect::Roll { log, base, .. } => (log, Op::Roll { base }),
            Effect::Truncate { log, segment, position, .. } => (log, Op::Truncate { segment, position }),
            Effect::Delete { log, below } => (log, Op::Delete { below }),
            Effect::IndexAborted { log, segment, position, entries } => {
                (log, Op::IndexAborted { segment, position, entries })
            }
            Effect::Flush { log, end, truncations } => (log, Op::Flush { end, truncations }),
            effect => return self.write_aside(now, effect),
        };
        self.submit_op(now, log, op)
    }

    fn submit_op(&mut self, now: Now, log: LogId, op: Op) -> Written {
        let full = self.full;
        let Some((files, drive)) = self.files_mut(log) else { return Written::default() };
        if files.failed {
            return Written::default();
        }
        let idle = files.queue.is_empty() && files.writing.is_empty();
        let mut written = Written::default();
        match op {
            Op::Append { .. } => files.queue.push_back(op),
            op if idle => written = files.apply(now, op, full),
            op => files.queue.push_back(op),
        }
        if idle {
            drive.go_on(now.instant, files, &mut written);
        }
        written
    }

    /// The write of this log that was on its way is done.
    pub fn wrote(&mut self, now: Now, log: LogId) -> Option<Written> {
        let full = self.full;
        let (files, drive) = self.files_mut(log)?;
        if files.writing.is_empty() {
            return None;
        }
        let mut all = Written::default();
        while let Some(op) = files.writing.pop_front() {
            let one = files.apply(now, op, full);
            all.appended = one.appended.or(all.appended);
            all.syncs += one.syncs;
            if one.failed {
                files.fail();
                all.failed = true;
            }
        }
        drive.go_on(now.instant, files, &mut all);
        Some(all)
    }

    fn done(&self, now: Instant, takes: Duration) -> Instant {
        self.drive.done(now, takes)
    }

    /// The oldest sync of this log is done: everything below the offset survives.
    pub fn synced(&mut self, log: LogId) -> Option<Event> {
        let (files, _) = self.files_mut(log)?;
        let Syncing { end, truncations, place } = files.syncs.pop_front()?;
        files.durable = files.durable.max(place);
        Some(Event::Flushed { log, end, truncations })
    }

    pub fn open(&mut self, log: LogId, directory: String, base: Offset, found: bool) {
        if !found && let Some(files) = self.logs.remove(&directory) {
            self.set_aside(log, &directory, files);
        }
        self.logs.entry(directory.clone()).or_insert_with(|| LogFiles {
            segments: vec![Arc::new(Segment::new(base))],
            aside: VecMap::new(),
            room: BytesMut::new(),
            queue: VecDeque::new(),
            writing: VecDeque::new(),
            syncs: VecDeque::new(),
            durable: Place(base, 0),
            dirty: VecDeque::new(),
            broken: None,
            failed: false,
        });
        self.open.insert(log, (directory, 0));
        self.find_places();
    }

    /// `logs` has others than before.
    fn find_places(&mut self) {
        for (directory, place) in self.open.values_mut() {
            // One that is not there has no place.
            *place = self.logs.place_of(directory, *place).unwrap_or(usize::MAX);
        }
    }

    fn files(&self, log: LogId) -> Option<&LogFiles> {
        self.logs.value_at(self.open.get(&log)?.1)
    }

    /// Another log's directory stands where a new one is to be.
    fn set_aside(&mut self, log: LogId, directory: &str, files: LogFiles) {
        let stray = format!("{directory}.{:032x}{STRAY}", log.0);
        let inside = format!("{directory}/");
        for name in self.files.keys().filter(|name| name.starts_with(&inside)).cloned().collect::<Vec<_>>() {
            let contents = self.files.remove(&name).expect("it was listed");
            self.files.insert(format!("{stray}/{}", &name[inside.len()..]), contents);
        }
        self.logs.insert(stray, files);
    }

    /// Gives the directory's name.
    pub fn remove(&mut self, log: LogId) -> Option<String> {
        let (directory, _) = self.open.remove(&log)?;
        self.logs.remove(&directory);
        self.find_places();
        let inside = format!("{directory}/");
        self.files.retain(|file, _| !file.starts_with(&inside));
        Some(directory)
    }

    pub fn save(&mut self, file: String, contents: Bytes) {
        self.files.insert(file, contents);
    }

    pub fn erase(&mut self, file: &str) {
        self.files.remove(file);
    }

    /// The bytes of an extent, as many of them as there are; a slice where they lie together.
    pub fn read(&self, extent: Extent) -> Bytes {
        let segment = self.files(extent.log).and_then(|files| files.segment(extent.segment));
        segment.map_or_else(Bytes::new, |segment| segment.read(extent.position, extent.len))
    }

    /// Gives when it has been read.
    pub fn load(&mut self, now: Instant, read: ReadId, extent: Extent) -> Instant {
        let bytes = self.read(extent);
        self.reads.push_back((read, bytes));
        self.done(now, READ)
    }

    pub fn loaded(&mut self) -> Option<(ReadId, Bytes)> {
        self.reads.pop_front()
    }

    pub fn directory(&self, log: LogId) -> Option<&str> {
        self.open.get(&log).map(|(directory, _)| directory.as_str())
    }

    /// The process is gone: what it had not written is lost, what it had is there.
    pub fn killed(&mut self) {
        self.open.clear();
        self.reads.clear();
        self.works.clear();
        self.seals.clear();
        for files in self.logs.values_mut() {
            files.aside.clear();
            files.queue.clear();
            files.writing.clear();
            files.syncs.clear();
            files.failed = false;
        }
    }

    /// The process stops in order, which leaves nothing to the page cache alone.
    pub fn stopped(&mut self, now: Now) {
        for files in self.logs.values_mut() {
            let writing = std::mem::take(&mut files.writing);
            let queue = std::mem::take(&mut files.queue);
            for op in writing.into_iter().chain(queue) {
                files.apply(now, op, self.full);
            }
            files.aside.clear();
            files.durable = files.end_place();
        }
    }

    /// The machine is gone, and with it what `dice` say of what was not synced.
    pub fn crashed(&mut self, now: Instant, dice: &mut Stream) -> Vec<Loss> {
        self.killed();
        self.lost = true;
        let (tears, corrupts) = (std::mem::take(&mut self.tears), std::mem::take(&mut self.corrupts));
        let mut losses = Vec::new();
        for (directory, files) in &mut self.logs {
            let written = files.dirty.iter().rev().find(|(at, _)| now.since(*at) >= WRITEBACK);
            files.durable = written.map_or(files.durable, |(_, place)| files.durable.max(*place));
            files.dirty.clear();
            let cache = files.behind(files.durable);
            let kept = match (tears, corrupts) {
                (true, _) => files.within_a_batch(dice),
                (false, true) => cache,
                (false, false) => dice.below(cache + 1),
            };
            files.tear(kept);
            let corrupted = if corrupts { files.corrupt(dice) } else { None };
            if kept < cache || corrupted.is_some() {
                losses.push(Loss { directory: directory.clone(), bytes: cache - kept, corrupted });
            }
        }
        losses
    }

    /// Another disk, empty, in its place. Gives how many bytes of logs there were.
    pub fn wipe(&mut self) -> u64 {
        let bytes = self.bytes();
        *self = Disk { lost: true, drive: self.drive, full: self.full, ..Disk::default() };
        bytes
    }

    /// A broker has started over it, and knows.
    pub fn found(&mut self) {
        self.lost = false;
    }

    /// What a starting broker reads: every file, every segment's bytes.
    pub fn image(&self) -> Image {
        let scan = |segment: &Arc<Segment>| {
            recover::scan(segment.base, &segment.read(0, segment.len), Some(&segment.aborted), segment.modified)
        };
        let image =
            |files: &LogFiles| LogImage { segments: files.segments.iter().map(scan).collect(), ..LogImage::default() };
        let logs = self.logs.iter().filter(|(directory, _)| !directory.ends_with(STRAY));
        let logs = logs.map(|(directory, files)| (directory.clone(), image(files))).collect();
        Image { files: self.files.clone(), logs, intact: !self.lost }
    }

    /// The offset after the last whole batch.
    pub fn end(&self, directory: &str) -> Option<Offset> {
        self.logs.get(directory).map(LogFiles::end)
    }

    /// The whole batch at a place of a segment.
    pub fn batch(&self, directory: &str, segment: Offset, position: u32) -> Option<Bytes> {
        let segment = self.logs.get(directory)?.segment(segment)?;
        let header = BatchHeader::parse(&segment.read(position, HEADER_LEN as u32)).ok()?;
        Some(segment.read(position, header.size() as u32))
    }

    /// Where the batch that holds `offset` lies: the segment's base offset and the position.
    pub fn find(&self, directory: &str, offset: Offset) -> Option<(Offset, u32)> {
        let segments = &self.logs.get(directory)?.segments;
        let segment = &segments[segments.partition_point(|segment| segment.base <= offset).checked_sub(1)?];
        let mut walk = segment.walk();
        walk.find(|(_, header)| header.next_offset() > offset).map(|(position, _)| (segment.base, position))
    }

    /// The newest whole batches, oldest first.
    pub fn newest(&self, directory: &str, count: usize) -> Vec<BatchView> {
        let Some(files) = self.logs.get(directory) else { return Vec::new() };
        let readable = |header: &BatchHeader| files.broken.is_none_or(|broken| header.base_offset < broken);
        let mut newest: Vec<BatchView> = Vec::new();
        for segment in files.segments.iter().rev() {
            if newest.len() >= count {
                break;
            }
            let cell = |(_, header): (u32, BatchHeader)| BatchView {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                bytes: header.size() as u32,
                leader_epoch: header.partition_leader_epoch,
                ..BatchView::default()
            };
            newest.splice(0..0, segment.walk().filter(|(_, header)| readable(header)).map(cell));
        }
        newest.split_off(newest.len().saturating_sub(count))
    }

    /// Segments as `(base offset, bytes)`.
    pub fn segments(&self, directory: &str) -> Vec<(Offset, u32)> {
        let list = |files: &LogFiles| files.segments.iter().map(|one| (one.base, one.len)).collect();
        self.logs.get(directory).map_or_else(Vec::new, list)
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        self.logs.values().map(|files| files.behind(Place::default())).sum()
    }

    fn files_mut(&mut self, log: LogId) -> Option<(&mut LogFiles, &mut Drive)> {
        Some((self.logs.value_at_mut(self.open.get(&log)?.1)?, &mut self.drive))
    }
}

impl Drive {
    /// Begins to write what has come meanwhile, and says when that and what was begun before is done.
    fn go_on(&mut self, now: Instant, files: &mut LogFiles, written: &mut Written) {
        let bytes = files.begin();
        if let (Some(bytes), Some(rate)) = (bytes, self.rate) {
            self.busy = self.busy.max(now) + span(bytes, rate);
        }
        written.synced = self.done(now, SYNC);
        written.again = bytes.map(|_| self.done(now, WRITE));
    }

    /// When what is begun now and takes so long by itself is done.
    fn done(&self, now: Instant, takes: Duration) -> Instant {
        self.busy.max(now) + takes + self.slow
    }
}

impl LogFiles {
    /// Gives how many bytes the write has that begins now, if one does.
    fn begin(&mut self) -> Option<u64> {
        debug_assert!(self.writing.is_empty());
        std::mem::swap(&mut self.queue, &mut self.writing);
        let bytes = |op: &Op| match op {
            Op::Append { batch, .. } => batch.bytes.len() as u64,
            _ => 0,
        };
        (!self.writing.is_empty()).then(|| self.writing.iter().map(bytes).sum())
    }

    /// (7)
    fn fail(&mut self) {
        self.queue.clear();
        self.writing.clear();
        self.failed = true;
    }

    fn apply(&mut self, now: Now, op: Op, full: bool) -> Written {
        let mut written = Written::default();
        match op {
            Op::Append { .. } if full => written.failed = true,
            Op::Append { stamp, batch } => {
                written.appended = Some(stamp.base_offset + i64::from(batch.header.last_offset_delta) + 1);
                self.append(now, stamp, &batch);
            }
            Op::Roll { base } => {
                if self.end_place().0 != base {
                    self.segments.push(Arc::new(Segment::new(base)));
                }
            }
            Op::Truncate { segment, position } => {
                self.segments.retain(|one| one.base <= segment);
                match self.segments.last_mut() {
                    Some(last) if last.base == segment => Arc::make_mut(last).truncate(position),
                    _ => self.segments.push(Arc::new(Segment::new(segment))),
                }
                let end = self.end_place();
                self.durable = self.durable.min(end);
                self.syncs.iter_mut().for_each(|sync| sync.place = sync.place.min(end));
                self.dirty.clear();
                // Recovery cuts a log off where it cannot be read; nothing else is cut before that.
                self.broken = None;
            }
            Op::Delete { below } => {
                self.segments.retain(|one| one.base >= below);
                if self.segments.is_empty() {
                    self.segments.push(Arc::new(Segment::new(below)));
                }
            }
            Op::Replace { segment, below } => self.replace(segment, below),
            Op::IndexAborted { segment, position, entries } => {
                if let Some(one) = self.segments.iter_mut().find(|one| one.base == segment) {
                    let one = Arc::make_mut(one);
                    let kept = &one.aborted[..(position as usize).min(one.aborted.len())];
                    one.aborted = [kept, &entries].concat().into();
                }
            }
            Op::Flush { end, truncations } => {
                let place = self.end_place();
                self.syncs.push_back(Syncing { end, truncations, place });
                written.syncs = 1;
            }
        }
        written
    }

    fn append(&mut self, now: Now, stamp: Stamp, batch: &Batch) {
        let len = batch.bytes.len();
        if self.room.capacity() < len {
            self.room = BytesMut::with_capacity(BLOCK.max(len));
        }
        self.room.extend_from_slice(&stamp.apply(batch));
        self.room.extend_from_slice(&batch.bytes[HEADER_LEN..]);
        let bytes = self.room.split().freeze();
        let segment = self.active();
        segment.chunks.push(Chunk { at: segment.len, bytes });
        segment.len += len as u32;
        segment.modified = now.wall;
        segment.join();
        let now = now.instant;
        if self.dirty.back().is_none_or(|(at, _)| now.since(*at) >= WRITEBACK_EVERY) {
            let place = self.end_place();
            self.dirty.push_back((now, place));
            // The newest mark that is old enough is all that counts.
            while self.dirty.get(1).is_some_and(|(at, _)| now.since(*at) >= WRITEBACK) {
                self.dirty.pop_front();
            }
        }
    }

    fn active(&mut self) -> &mut Segment {
        Arc::make_mut(self.segments.last_mut().expect("a log has a segment"))
    }

    fn end_place(&self) -> Place {
        self.segments.last().map_or(Place::default(), |last| Place(last.base, last.len))
    }

    fn end(&self) -> Offset {
        let last = |segment: &Arc<Segment>| segment.walk().last().map(|(_, header)| header.next_offset());
        let base = self.segments.first().map_or(0, |segment| segment.base);
        let end = self.segments.iter().rev().find_map(last).unwrap_or(base);
        self.broken.map_or(end, |broken| broken.min(end))
    }

    fn segment(&self, base: Offset) -> Option<&Arc<Segment>> {
        let place = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        Some(&self.segments[place])
    }

    /// Bytes behind a place.
    fn behind(&self, Place(base, position): Place) -> u64 {
        let bytes = |segment: &Arc<Segment>| match segment.base.cmp(&base) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => u64::from(segment.len.saturating_sub(position)),
            std::cmp::Ordering::Greater => u64::from(segment.len),
        };
        self.segments.iter().map(bytes).sum()
    }

    /// Keeps `kept` bytes behind what is durable; segments that lose all their bytes are gone, but for the first.
    fn tear(&mut self, mut kept: u64) {
        let durable = self.durable;
        let mut gone = false;
        self.segments.retain_mut(|segment| {
            if segment.base < durable.0 {
                return true;
            }
            let safe = if segment.base == durable.0 { durable.1 } else { 0 };
            let own = u64::from(segment.len - safe.min(segment.len));
            let keeps = kept.min(own);
            kept -= keeps;
            let first = segment.base == durable.0;
            if gone && !first {
                return false;
            }
            if keeps < own {
                gone = true;
                Arc::make_mut(segment).truncate(safe + keeps as u32);
            }
            first || segment.len > 0
        });
    }
}

impl LogFiles {
    /// The batches behind what is durable: their segment's place, their position and size.
    fn volatile(&self) -> Vec<(usize, u32, BatchHeader)> {
        let Place(base, position) = self.durable;
        let segments = self.segments.iter().enumerate().filter(|(_, segment)| segment.base >= base);
        let batches = segments.flat_map(|(place, segment)| segment.walk().map(move |(at, header)| (place, at, header)));
        batches.filter(|(place, at, _)| self.segments[*place].base > base || *at >= position).collect()
    }

    /// How many bytes behind what is durable end within a batch.
    fn within_a_batch(&self, dice: &mut Stream) -> u64 {
        let batches = self.volatile();
        let torn = dice.below(batches.len() as u64) as usize;
        let before = batches.iter().take(torn).map(|(.., header)| header.size() as u64).sum();
        batches.get(torn).map_or(before, |(.., header)| before + dice.between(1, header.size() as u64 - 1))
    }

    /// Makes a byte wrong behind what is durable. Gives the base offset of its batch; `None` where there is none.
    fn corrupt(&mut self, dice: &mut Stream) -> Option<Offset> {
        let batches = self.volatile();
        let (segment, at, header) = batches.get(dice.below(batches.len() as u64) as usize)?;
        // Before its CRC a batch has what its CRC does not cover: Kafka would not see that it is wrong.
        let position = at + dice.between(CRC_AT, header.size() as u64 - 1) as u32;
        Arc::make_mut(&mut self.segments[*segment]).flip(position);
        self.broken = Some(header.base_offset);
        self.broken
    }
}

impl Segment {
    fn new(base: Offset) -> Segment {
        Segment { base, len: 0, chunks: Vec::new(), blocks: 0, aborted: Bytes::new(), modified: Timestamp::NONE }
    }

    /// Joins single batches to a block, so that a segment is few chunks and a copy of it cheap.
    fn join(&mut self) {
        let first = self.chunks[self.blocks].at;
        if ((self.len - first) as usize) < BLOCK {
            return;
        }
        let bytes = self.read(first, self.len - first);
        self.chunks.truncate(self.blocks);
        self.chunks.push(Chunk { at: first, bytes });
        self.blocks += 1;
    }

    fn read(&self, position: u32, len: u32) -> Bytes {
        let end = position.saturating_add(len).min(self.len);
        if position >= end {
            return Bytes::new();
        }
        let at = self.chunks.partition_point(|chunk| chunk.at <= position) - 1;
        let chunk = &self.chunks[at];
        let from = (position - chunk.at) as usize;
        let wanted = (end - position) as usize;
        if from + wanted <= chunk.bytes.len() {
            return chunk.bytes.slice(from..from + wanted);
        }
        let mut all = BytesMut::with_capacity(wanted);
        for chunk in &self.chunks[at..] {
            let from = position.saturating_sub(chunk.at) as usize;
            let wanted = wanted - all.len();
            if wanted == 0 {
                break;
            }
            all.extend_from_slice(&chunk.bytes[from..chunk.bytes.len().min(from + wanted)]);
        }
        all.freeze()
    }

    /// Another bit than was written.
    fn flip(&mut self, position: u32) {
        let at = self.chunks.partition_point(|chunk| chunk.at <= position) - 1;
        let chunk = &mut self.chunks[at];
        let mut bytes = BytesMut::from(&chunk.bytes[..]);
        bytes[(position - chunk.at) as usize] ^= 1;
        chunk.bytes = bytes.freeze();
    }

    fn truncate(&mut self, len: u32) {
        if len >= self.len {
            return;
        }
        self.chunks.retain(|chunk| chunk.at < len);
        if let Some(last) = self.chunks.last_mut() {
            last.bytes.truncate((len - last.at) as usize);
        }
        self.blocks = self.blocks.min(self.chunks.len().saturating_sub(1));
        self.len = len;
    }

    /// Its whole batches, with their positions.
    fn walk(&self) -> impl Iterator<Item = (u32, BatchHeader)> {
        let mut position = 0;
        std::iter::from_fn(move || {
            let header = self.read(position, HEADER_LEN as u32);
            let header = BatchHeader::parse(&header).ok()?;
            let at = position;
            position = at.checked_add(u32::try_from(header.size()).ok()?)?;
            (position <= self.len).then_some((at, header))
        })
    }
}
