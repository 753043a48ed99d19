//! The cleaner: which compacted log is cleaned, and when. How is in [`crate::log::compact`].
//!
//! The dirtiest log that is dirty enough comes first, then the next; when none is, the cleaner looks again after
//! `log.cleaner.backoff.ms`. With every look old segments of compacted logs go, too.
//!
//! ```text
//! look ─▶ begin ─▶ Work ─[worked]─▶ Work … ─▶ Seal ─[sealed]─▶ replaced, Work … ─▶ over ─▶ checkpoint, look
//!                   ▲───[not before log.cleaner.io.max.bytes.per.second allows it]───┘
//! ```
//!
//! 1. At most `log.cleaner.threads` logs are cleaned at once, each with its share of the memory.
//! 2. A log that turns out to be corrupt is not cleaned again, and is told of once.
//! 3. `cleaner-offset-checkpoint` says what was cleaned to the end; what was not is cleaned anew.

use super::{Broker, Effect};
use crate::config::BrokerSettings;
use crate::id::{LogId, WorkId};
use crate::log::Extent;
use crate::log::Log;
use crate::log::compact::{Cleanable, Cleaned, Cleaning, Done, Job, Over, Step};
use crate::time::{Duration, Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::view::Level;

#[derive(Clone)]
pub(super) struct Cleaner {
    /// When to look for a log to clean.
    due: Instant,
    /// Those that are compacted.
    logs: VecSet<LogId>,
    running: VecMap<LogId, Cleaning>,
    /// What a driver was asked for.
    asked: VecMap<WorkId, LogId>,
    /// Work that must wait for the limit of bytes in a second.
    waiting: VecMap<LogId, (Extent, Job)>,
    next: u64,
    /// When the limit allows more.
    free: Instant,
    /// (2)
    uncleanable: VecSet<LogId>,
}

impl Cleaner {
    pub fn new(now: Instant) -> Cleaner {
        Cleaner {
            due: now,
            logs: VecSet::new(),
            running: VecMap::new(),
            asked: VecMap::new(),
            waiting: VecMap::new(),
            next: 0,
            free: now,
            uncleanable: VecSet::new(),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let look = (!self.logs.is_empty()).then_some(self.due);
        let wait = (!self.waiting.is_empty()).then_some(self.free);
        look.into_iter().chain(wait).min()
    }

    pub fn has_logs(&self) -> bool {
        !self.logs.is_empty()
    }

    pub fn is_cleaning(&self, log: LogId) -> bool {
        self.running.contains_key(&log)
    }

    fn ask(&mut self, log: LogId) -> WorkId {
        let work = WorkId(self.next);
        self.next += 1;
        self.asked.insert(work, log);
        work
    }

    /// Bytes were read or written: the limit allows more a while later.
    fn spend(&mut self, now: Instant, bytes: u64, settings: &BrokerSettings) {
        if let Some(limit) = settings.log_cleaner_io_max_bytes_per_second {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(limit);
            self.free = self.free.max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}

impl Broker {
    /// Does what is due.
    pub(super) fn clean(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.cleaner.free <= now.instant {
            while let Some((log, (extent, job))) = self.cleaner.waiting.pop_first() {
                self.work(now, log, extent, job, out);
                if self.cleaner.free > now.instant {
                    break;
                }
            }
        }
        if self.cleaner.due <= now.instant && !self.cleaner.logs.is_empty() {
            self.look_for_dirt(now, out);
        }
    }

    /// The driver has worked on what it was given.
    pub(super) fn worked(&mut self, now: Now, work: WorkId, done: Done, out: &mut Vec<Effect>) {
        self.resume(now, work, out, |cleaning, log, out| cleaning.worked(log, done, out));
    }

    /// What was written aside is safe.
    pub(super) fn sealed(&mut self, now: Now, seal: WorkId, out: &mut Vec<Effect>) {
        self.resume(now, seal, out, |cleaning, log, out| cleaning.sealed(log, out));
    }

    /// A log is there, or its settings have changed.
    pub(super) fn set_cleaned(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        if !self.slot(log).is_some_and(|partition| partition.log.config().cleanup_compact) {
            self.stop_cleaning(log, out);
        } else if self.cleaner.logs.insert(log) && self.cleaner.logs.len() == 1 {
            self.cleaner.due = now.instant + self.settings.log_cleaner_backoff;
        }
    }

    /// That log is not this broker's any more, or is not compacted any more.
    pub(super) fn stop_cleaning(&mut self, log: LogId, out: &mut Vec<Effect>) {
        self.cleaner.logs.remove(&log);
        self.cleaner.waiting.remove(&log);
        self.cleaner.uncleanable.remove(&log);
        self.cleaner.asked.retain(|_, asked| *asked != log);
        if let Some(mut cleaning) = self.cleaner.running.remove(&log)
            && let Some(partition) = self.slot(log)
        {
            cleaning.abort(&partition.log, out);
        }
    }

    fn look_for_dirt(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.cleaner.due = now.instant + self.settings.log_cleaner_backoff;
        if !self.settings.log_cleaner_enable {
            return;
        }
        // A name in the file may have been another log's.
        self.save_cleaned(out);
        let limits = self.settings.log_cleaner_limits;
        while self.cleaner.running.len() < self.settings.log_cleaner_threads {
            let Some((log, cleanable)) = self.dirtiest(now) else { break };
            let Some(partition) = self.partition_mut(log) else { break };
            let mut cleaning = Cleaning::begin(&partition.log, cleanable, &limits, now);
            let step = cleaning.start(&mut partition.log, out);
            self.cleaner.running.insert(log, cleaning);
            self.take_step(now, log, step, out);
        }
        let idle = self.cleaner.logs.iter().copied().filter(|log| !self.cleaner.is_cleaning(*log));
        for log in idle.collect::<Vec<_>>() {
            if let Some(partition) = self.partition_mut(log).filter(|partition| partition.offline.is_none()) {
                partition.log.retain(now, out);
            }
        }
    }

    /// The log that should be cleaned before all others, if one should be cleaned now.
    fn dirtiest(&self, now: Now) -> Option<(LogId, Cleanable)> {
        let mut dirtiest: Option<(LogId, Cleanable)> = None;
        for &log in &self.cleaner.logs {
            let cleaner = &self.cleaner;
            let Some(partition) = self.slot(log).filter(|partition| partition.offline.is_none()) else { continue };
            // Who its producers are must be known first: of each the last batch stays.
            if cleaner.is_cleaning(log) || cleaner.uncleanable.contains(&log) || partition.log.is_replaying() {
                continue;
            }
            let cleanable = partition.log.cleanable(now.wall);
            let is_due = cleanable.is_due(partition.log.config().min_cleanable_dirty_per_million);
            if is_due && dirtiest.as_ref().is_none_or(|(_, most)| cleanable.is_dirtier_than(most)) {
                dirtiest = Some((log, cleanable));
            }
        }
        dirtiest
    }

    fn resume(
        &mut self,
        now: Now,
        work: WorkId,
        out: &mut Vec<Effect>,
        resume: impl FnOnce(&mut Cleaning, &mut Log, &mut Vec<Effect>) -> Step,
    ) {
        let Some(log) = self.cleaner.asked.remove(&work) else { return };
        let Some(mut cleaning) = self.cleaner.running.remove(&log) else { return };
        let Some(partition) = self.partition_mut(log) else { return };
        let first = out.len();
        let step = resume(&mut cleaning, &mut partition.log, out);
        let written = out[first..].iter().map(|effect| match effect {
            Effect::Clean { batches, .. } => batches.iter().map(|batch| batch.len() as u64).sum(),
            _ => 0,
        });
        self.cleaner.spend(now.instant, written.sum(), &self.settings);
        self.cleaner.running.insert(log, cleaning);
        self.take_step(now, log, step, out);
    }

    fn take_step(&mut self, now: Now, log: LogId, step: Step, out: &mut Vec<Effect>) {
        match step {
            Step::Work(extent, job) if self.cleaner.free > now.instant => {
                self.cleaner.waiting.insert(log, (extent, job));
            }
            Step::Work(extent, job) => self.work(now, log, extent, job, out),
            Step::Seal { segment, files, modified } => {
                let seal = self.cleaner.ask(log);
                out.push(Effect::Seal { seal, log, segment, files, modified });
            }
            Step::Over(over) => {
                self.cleaner.running.remove(&log);
                self.cleaned(now, log, over, out);
            }
        }
    }

    fn work(&mut self, now: Now, log: LogId, extent: Extent, job: Job, out: &mut Vec<Effect>) {
        self.cleaner.spend(now.instant, extent.len.into(), &self.settings);
        let work = self.cleaner.ask(log);
        out.push(Effect::Work { work, extent, job: Box::new(job) });
    }

    fn cleaned(&mut self, now: Now, log: LogId, over: Over, out: &mut Vec<Effect>) {
        let Some(name) = self.slot(log).map(|partition| partition.name.clone()) else { return };
        match over {
            Over::Cleaned(cleaned) => {
                out.push(Effect::Note { level: Level::Info, text: format!("Cleaned log {name} {}", told(&cleaned)) });
                // (3)
                self.save_cleaned(out);
            }
            Over::Aborted => {}
            Over::Corrupt(why) => {
                // (2)
                self.cleaner.uncleanable.insert(log);
                let text = format!("Log {name} cannot be cleaned, its partition is marked as uncleanable: {why}");
                out.push(Effect::Note { level: Level::Bad, text });
            }
        }
        self.look_for_dirt(now, out);
    }
}

/// As Kafka's log cleaner tells it.
fn told(cleaned: &Cleaned) -> String {
    let Cleaned { from, end, bytes, bytes_left, records, records_left } = cleaned;
    format!(
        "(dirty section = [{from}, {end}]). Start size: {bytes} bytes ({records} messages). End size: {bytes_left} bytes \
         ({records_left} messages)"
    )
}
