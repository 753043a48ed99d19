//! What a broker does by the clock: checkpoints, retention, `flush.ms`; and what it does last.
//!
//! | every | Kafka's setting | what |
//! | --- | --- | --- |
//! | 5 s | replica.high.watermark.checkpoint.interval.ms | `replication-offset-checkpoint` |
//! | 60 s | log.flush.offset.checkpoint.interval.ms | `recovery-point-offset-checkpoint` |
//! | 60 s | log.flush.start.offset.checkpoint.interval.ms | `log-start-offset-checkpoint` |
//! | 300 s | log.retention.check.interval.ms | old segments go |
//! | 15 s | half of replica.lag.time.max.ms | followers that lag leave the ISR |
//! | 600 s | producer.id.expiration.check.interval.ms | producers that have not written for long are forgotten |
//!
//! A file is saved only where it would say something new.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Broker, Effect};
use crate::config::BrokerSettings;
use crate::id::{LogId, Offset};
use crate::log::checkpoint::{self, CLEANER, LOG_START, RECOVERY_POINT, REPLICATION};
use crate::partition::Partition;
use crate::time::{Duration, Instant, Now, sooner};
use crate::vec_map::VecMap;

/// Kafka begins its log chores this long after the start.
const INITIAL_DELAY: Duration = Duration::from_millis(30_000);

/// Kafka's replica.high.watermark.checkpoint.interval.ms.
const HIGH_WATERMARK_INTERVAL: Duration = Duration::from_millis(5_000);

#[derive(Clone)]
pub(super) struct Chores {
    /// When the high watermarks are saved next; `None` while none has moved since the last time.
    high_watermarks: Option<Instant>,
    recovery_points: Instant,
    log_starts: Instant,
    retention: Instant,
    isrs: Instant,
    producers: Instant,
    recovery_interval: Duration,
    log_start_interval: Duration,
    retention_interval: Duration,
    isr_interval: Duration,
    producers_interval: Duration,
    /// By `flush.ms`. A log that has been flushed meanwhile is found so and left alone.
    flushes: BTreeSet<(Instant, LogId)>,
    /// What the files say.
    saved: VecMap<&'static str, Bytes>,
    stop: Option<Stop>,
}

/// How far a stop has come.
///
/// `Handing [the controller has found others to lead] → Flushing [every log is flushed, checkpoints are saved] → Leaving
/// [the session is closed] → Stopped`
#[derive(Clone)]
enum Stop {
    Handing {
        until: Instant,
    },
    /// These logs have not been flushed yet.
    Flushing {
        waiting: VecMap<LogId, Offset>,
    },
    Leaving {
        until: Instant,
    },
    Stopped,
}

/// How long the controller may take to find others to lead.
const HAND_OVER: Duration = Duration::from_millis(3_000);
/// How long ZooKeeper may take to close the session; it would end by itself.
const LEAVE: Duration = Duration::from_millis(1_000);

impl Chores {
    pub fn new(now: Instant, settings: &BrokerSettings) -> Chores {
        let first = now + INITIAL_DELAY;
        // At 0 a follower would never be caught up, and the timer never rest.
        let isr_interval = (settings.replica_lag_time_max / 2).max(Duration::from_millis(1));
        Chores {
            high_watermarks: None,
            recovery_points: first,
            log_starts: first,
            retention: first,
            isrs: now + isr_interval,
            producers: now + settings.producer_id_expiration_check_interval,
            recovery_interval: settings.log_flush_offset_checkpoint_interval,
            log_start_interval: settings.log_flush_start_offset_checkpoint_interval,
            retention_interval: settings.log_retention_check_interval,
            isr_interval,
            producers_interval: settings.producer_id_expiration_check_interval,
            flushes: BTreeSet::new(),
            saved: VecMap::new(),
            stop: None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let flush = self.flushes.first().map(|&(instant, _)| instant);
        let stop = match self.stop {
            Some(Stop::Handing { until } | Stop::Leaving { until }) => Some(until),
            Some(Stop::Flushing { .. } | Stop::Stopped) | None => None,
        };
        let fixed = self.recovery_points.min(self.log_starts).min(self.retention).min(self.isrs).min(self.producers);
        sooner(sooner(Some(fixed), self.high_watermarks), sooner(flush, stop))
    }

    pub fn flush_at(&mut self, instant: Instant, log: LogId) {
        self.flushes.insert((instant, log));
    }

    pub fn high_watermarks_moved(&mut self, now: Instant) {
        self.high_watermarks.get_or_insert(now + HIGH_WATERMARK_INTERVAL);
    }
}

impl Broker {
    /// Does what is due.
    pub(super) fn do_chores(&mut self, now: Now, out: &mut Vec<Effect>) {
        let instant = now.instant;
        match self.chores.stop {
            Some(Stop::Handing { until }) if until <= instant => self.handed_over(now, out),
            Some(Stop::Leaving { until }) if until <= instant => self.session_closed(out),
            _ => {}
        }
        while let Some(&(due, log)) = self.chores.flushes.first().filter(|(due, _)| *due <= instant) {
            self.chores.flushes.remove(&(due, log));
            let Some(partition) = self.partition_mut(log) else { continue };
            partition.log.tick(now, out);
            if let Some(next) = partition.log.deadline() {
                self.chores.flush_at(next.max(instant + Duration::from_millis(1)), log);
            }
        }
        if self.chores.high_watermarks.is_some_and(|due| due <= instant) {
            self.chores.high_watermarks = None;
            self.save_high_watermarks(out);
        }
        if self.chores.retention <= instant {
            self.chores.retention = instant + self.chores.retention_interval;
            self.retain(now, out);
        }
        if self.chores.isrs <= instant {
            self.chores.isrs = instant + self.chores.isr_interval;
            self.check_isrs(now, out);
        }
        if self.chores.producers <= instant {
            self.chores.producers = instant + self.chores.producers_interval;
            self.expire_producers(now);
        }
        if self.chores.recovery_points <= instant {
            self.chores.recovery_points = instant + self.chores.recovery_interval;
            self.save_recovery_points(out);
        }
        if self.chores.log_starts <= instant {
            self.chores.log_starts = instant + self.chores.log_start_interval;
            self.save_log_starts(out);
        }
    }

    fn retain(&mut self, now: Now, out: &mut Vec<Effect>) {
        for slot in self.partitions.rows_mut() {
            // Of compacted logs the cleaner takes care.
            if slot.offline.is_none() && !slot.log.config().cleanup_compact {
                Arc::make_mut(slot).log.retain(now, out);
            }
        }
    }

    fn expire_producers(&mut self, now: Now) {
        let expiration_ms = self.settings.producer_id_expiration_ms;
        for slot in self.partitions.rows_mut() {
            if slot.log.producers().has_expired(now.wall, expiration_ms) {
                Arc::make_mut(slot).log.producers_mut().expire(now.wall, expiration_ms);
            }
        }
    }

    pub(super) fn save_checkpoints(&mut self, out: &mut Vec<Effect>) {
        self.save_recovery_points(out);
        self.save_log_starts(out);
        self.save_high_watermarks(out);
        self.save_cleaned(out);
    }

    fn save_recovery_points(&mut self, out: &mut Vec<Effect>) {
        self.save_offsets(RECOVERY_POINT, |partition| Some(partition.log.recovery_point()), out);
    }

    fn save_log_starts(&mut self, out: &mut Vec<Effect>) {
        self.save_offsets(LOG_START, |partition| partition.log.log_start_offset_checkpoint(), out);
    }

    pub(super) fn save_high_watermarks(&mut self, out: &mut Vec<Effect>) {
        self.save_offsets(REPLICATION, |partition| Some(partition.log.high_watermark()), out);
    }

    /// How far compacted logs are cleaned. Where none ever was there is no such file.
    pub(super) fn save_cleaned(&mut self, out: &mut Vec<Effect>) {
        if self.cleaner.has_logs() || self.chores.saved.contains_key(CLEANER) {
            self.save_offsets(CLEANER, |partition| partition.log.cleaned(), out);
        }
    }

    fn save_offsets(
        &mut self,
        file: &'static str,
        offset: impl Fn(&Partition) -> Option<Offset>,
        out: &mut Vec<Effect>,
    ) {
        let offsets: Vec<_> =
            self.partitions().filter_map(|partition| Some((&partition.name, offset(partition)?))).collect();
        let contents = Bytes::from(checkpoint::print_offsets(offsets));
        if self.chores.saved.get(file) != Some(&contents) {
            self.chores.saved.insert(file, contents.clone());
            out.push(Effect::Save { file: file.to_owned(), contents });
        }
    }

    /// Everything below `end` survives the machine.
    pub(super) fn flushed(&mut self, now: Now, log: LogId, (end, truncations): (Offset, u32), out: &mut Vec<Effect>) {
        let Some(partition) = self.partition_mut(log) else { return };
        partition.log.flushed(now, end, truncations);
        self.go_on_flushing(now, log, out);
    }

    /// More of the log is flushed, or it was cut, or begun anew: a stop may have to wait for it no longer.
    pub(super) fn go_on_flushing(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        if !matches!(self.chores.stop, Some(Stop::Flushing { .. })) {
            return;
        }
        let Some(partition) = self.partition_mut(log) else { return };
        let (flushed, end) = (partition.log.recovery_point(), partition.log.end());
        let Some(Stop::Flushing { waiting }) = &mut self.chores.stop else { return };
        let Some(asked) = waiting.get_mut(&log) else { return };
        // Who leads now may have had less: what was cut off needs no flush, what came in its place needs one of its own.
        *asked = (*asked).min(end);
        if flushed >= *asked {
            self.stopped_waiting_for(now, log, out);
        } else if let Some(partition) = self.partition_mut(log) {
            partition.log.flush(out);
        }
    }

    pub(super) fn stop(&mut self, now: Now, controlled: bool, out: &mut Vec<Effect>) {
        if self.chores.stop.is_some() {
            return;
        }
        self.retire();
        if !controlled {
            // Or it would take the others out of every ISR while they stop, and be left as the only one that may lead.
            self.resign(now, out);
        }
        self.chores.stop = Some(Stop::Handing { until: now.instant + HAND_OVER });
        let hands_over = controlled && self.settings.controlled_shutdown_enable && self.membership.is_member();
        if !(hands_over && self.hand_over(now, out)) {
            self.handed_over(now, out);
        }
    }

    /// Others lead, as far as they can: every log is flushed.
    pub(super) fn handed_over(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(Stop::Handing { .. }) = self.chores.stop else { return };
        let mut waiting = VecMap::new();
        for slot in self.partitions.rows_mut().filter(|slot| slot.offline.is_none()) {
            Arc::make_mut(slot).log.take_snapshot(out);
            if slot.log.recovery_point() < slot.log.end() {
                let partition = Arc::make_mut(slot);
                partition.log.flush(out);
                waiting.insert(partition.log.id(), partition.log.end());
            }
        }
        self.chores.stop = Some(Stop::Flushing { waiting });
        self.leave_if_flushed(now, out);
    }

    /// That log will not be flushed any further: it is, or it is gone.
    pub(super) fn stopped_waiting_for(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        if let Some(Stop::Flushing { waiting }) = &mut self.chores.stop
            && waiting.remove(&log).is_some()
        {
            self.leave_if_flushed(now, out);
        }
    }

    /// All is flushed: the checkpoints are saved, and the broker leaves the cluster.
    fn leave_if_flushed(&mut self, now: Now, out: &mut Vec<Effect>) {
        if matches!(&self.chores.stop, Some(Stop::Flushing { waiting }) if waiting.is_empty()) {
            self.save_checkpoints(out);
            self.chores.stop = Some(Stop::Leaving { until: now.instant + LEAVE });
            self.leave(now, out);
        }
    }

    /// The session is closed, or ends by itself.
    pub(super) fn session_closed(&mut self, out: &mut Vec<Effect>) {
        if let Some(Stop::Leaving { .. }) = self.chores.stop {
            self.chores.stop = Some(Stop::Stopped);
            out.push(Effect::Stopped);
        }
    }
}
