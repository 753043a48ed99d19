//! What compaction writes aside, and how it takes the place of what was there.
//!
//! 1. What is written aside is nobody's until it takes its place: a process that starts finds none of it.
//! 2. It takes its place at once and whole, as files that are renamed, and in the order of the log's other work.
//! 3. It was synced before that: where everything before it was, too, what is durable reaches behind it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Chunk, Disk, LogFiles, Op, Place, READ, SYNC, Segment, Written};
use crate::broker::Effect;
use crate::id::{LogId, Offset, WorkId};
use crate::log::Extent;
use crate::log::compact::{Done, Job};
use crate::record::Batch;
use crate::sim::check::Replacement;
use crate::time::{Instant, Now, Timestamp};

impl Disk {
    /// Takes an effect of compaction that is answered by nothing.
    pub fn write_aside(&mut self, now: Now, effect: Effect) -> Written {
        match effect {
            Effect::Clean { log, segment, position, batches } => {
                if let Some((files, _)) = self.files_mut(log) {
                    files.write_aside(segment, position, batches);
                }
                Written::default()
            }
            Effect::Discard { log, segment } => {
                if let Some((files, _)) = self.files_mut(log) {
                    files.aside.remove(&segment);
                }
                Written::default()
            }
            Effect::Replace { log, segment, below } => self.submit_op(now, log, Op::Replace { segment, below }),
            _ => Written::default(),
        }
    }

    /// What is about to be replaced, and by what: for those who look on.
    pub fn replacement(&self, directory: &str, base: Offset, below: Offset) -> Replacement {
        let files = self.logs.get(directory);
        let batches = |from: Offset, to: Offset| {
            let segments = files.into_iter().flat_map(|files| &files.segments);
            segments.filter(|one| (from..to).contains(&one.base)).flat_map(|one| one.batches()).collect()
        };
        let new = files.and_then(|files| files.aside.get(&base));
        Replacement {
            old: batches(base, below),
            new: new.into_iter().flat_map(Segment::batches).collect(),
            later: batches(below, Offset::MAX),
        }
    }

    /// Gives when what is written aside is safe.
    pub fn seal(
        &mut self,
        now: Instant,
        seal: WorkId,
        log: LogId,
        segment: Offset,
        aborted: Bytes,
        modified: Timestamp,
    ) -> Option<Instant> {
        let (files, _) = self.files_mut(log)?;
        let aside = files.aside.entry(segment).or_insert_with(|| Segment::new(segment));
        (aside.aborted, aside.modified) = (aborted, modified);
        self.seals.push_back(seal);
        Some(self.done(now, SYNC))
    }

    pub fn sealed(&mut self) -> Option<WorkId> {
        self.seals.pop_front()
    }

    /// Gives when the work is done.
    pub fn work(&mut self, now: Instant, work: WorkId, extent: Extent, job: Job) -> Instant {
        let bytes = self.read(extent);
        self.works.push_back((work, job, bytes));
        self.done(now, READ)
    }

    pub fn worked(&mut self) -> Option<(WorkId, Done)> {
        let (work, job, bytes) = self.works.pop_front()?;
        Some((work, job.run(&bytes)))
    }
}

impl Segment {
    fn batches(&self) -> impl Iterator<Item = Batch> {
        self.walk().filter_map(|(at, header)| Batch::parse(self.read(at, header.size() as u32)).ok())
    }
}

impl LogFiles {
    fn write_aside(&mut self, segment: Offset, position: u32, batches: Vec<Bytes>) {
        if position == 0 {
            self.aside.remove(&segment);
        }
        let aside = self.aside.entry(segment).or_insert_with(|| Segment::new(segment));
        for bytes in batches {
            let len = bytes.len() as u32;
            aside.chunks.push(Chunk { at: aside.len, bytes });
            aside.len += len;
            aside.join();
        }
    }

    /// (2)
    pub(super) fn replace(&mut self, base: Offset, below: Offset) {
        let Some(new) = self.aside.remove(&base) else { return };
        let from = self.segments.partition_point(|one| one.base < base);
        let to = self.segments.partition_point(|one| one.base < below);
        self.segments.splice(from..to, [Arc::new(new)]);
        // (3)
        let moved = |place: &mut Place| {
            if (base..below).contains(&place.0) {
                *place = Place(below, 0);
            }
        };
        moved(&mut self.durable);
        self.syncs.iter_mut().for_each(|sync| moved(&mut sync.place));
        self.dirty.iter_mut().for_each(|(_, place)| moved(place));
    }
}
