//! Where a follower cuts its log so that it agrees with its leader's (KIP-101, KIP-279).

use bytes::Bytes;

use super::Cutting;
use super::fetcher::Progress;
use crate::broker::purgatory::Reading;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::log::{Cut, CutSeek, Found, Log, Replay};
use crate::time::Now;
use crate::view::Level;

/// Where to cut, and whether the two logs agree below it, or the leader must be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    pub end: Offset,
    pub agreed: bool,
}

/// The leader was asked where an epoch of this log ended, and said: `epoch`, the largest that it knows and that is not
/// above the one asked about, ended at `end`. −1 is that it knows nothing.
pub fn cutoff(log: &Log, epoch: LeaderEpoch, end: Offset) -> Cutoff {
    let agreed = |end| Cutoff { end, agreed: true };
    if end < 0 {
        return agreed(log.high_watermark());
    }
    if epoch < 0 {
        return agreed(end.min(log.end()));
    }
    match log.epochs().end_offset_for(epoch, log.end()) {
        Some((own, own_end)) if own == epoch => agreed(own_end.min(end).min(log.end())),
        // What this log has of later epochs the leader has not; about its own last one below them it must be asked.
        Some((_, own_end)) => Cutoff { end: own_end.min(log.end()), agreed: false },
        None => agreed(end.min(log.end())),
    }
}

impl Broker {
    pub(super) fn cut_to_high_watermark(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        let Some(partition) = self.slot(log) else { return };
        let end = partition.log.high_watermark();
        self.cut(now, log, Cutoff { end, agreed: true }, out);
    }

    /// Cuts, at once or when the bytes have come that say where.
    pub(super) fn cut(&mut self, now: Now, log: LogId, at: Cutoff, out: &mut Vec<Effect>) {
        let Some(partition) = self.slot(log) else { return };
        let high_watermark = partition.log.high_watermark();
        if at.end < high_watermark {
            let text =
                format!("Truncating {} to offset {} below high watermark {high_watermark}", partition.name, at.end);
            out.push(Effect::Note { level: Level::Warn, text });
        }
        let found = partition.log.cut(at.end);
        self.cut_found(now, log, at, found, out);
    }

    /// The bytes came that a cut waits for.
    pub(in crate::broker) fn resume_cut(&mut self, now: Now, cutting: Cutting, bytes: &Bytes, out: &mut Vec<Effect>) {
        let Cutting { log, epoch, at, seek } = cutting;
        // Meanwhile it may follow another leader, or lead.
        let Some(fetcher) = self.replication.fetcher_of(log).filter(|fetcher| fetcher.epoch(log) == Some(epoch)) else {
            return;
        };
        fetcher.free(log);
        let Some(partition) = self.slot(log) else { return };
        let found = seek.resume(&partition.log, bytes);
        self.cut_found(now, log, at, found, out);
        self.replicate(now, out);
    }

    fn cut_found(
        &mut self,
        now: Now,
        log: LogId,
        at: Cutoff,
        found: Found<Result<Option<Cut>, ErrorCode>, CutSeek>,
        out: &mut Vec<Effect>,
    ) {
        let Some(partition) = self.partition_mut(log) else { return };
        let high_watermark = partition.log.high_watermark();
        match found {
            Found::Here(Ok(Some(cut))) => partition.log.truncate(now, cut, out),
            Found::Here(Ok(None)) => partition.log.forget_empty_epochs(out),
            Found::Here(Err(ErrorCode::OffsetOutOfRange)) => partition.restart_at(now, at.end, out),
            Found::Here(Err(error)) => return self.replica_failed(log, &format!("cannot be cut: {error}"), out),
            Found::Read(extent, seek) => {
                let epoch = partition.leader_epoch();
                if let Some(fetcher) = self.replication.fetcher_of(log) {
                    fetcher.engage(log);
                }
                let read = self.purgatory.read(Reading::Cut(Cutting { log, epoch, at, seek }));
                return out.push(Effect::Read { read, extent });
            }
        }
        let progress = if at.agreed { Progress::Fetching } else { Progress::Truncating };
        if let Some(fetcher) = self.replication.fetcher_of(log) {
            fetcher.progressed(log, progress);
        }
        if self.slot(log).is_some_and(|partition| partition.log.high_watermark() < high_watermark) {
            // Or a start would take what comes in the place of what was cut for committed.
            self.save_high_watermarks(out);
        }
        self.replay_producers(now, log, out);
        self.go_on_flushing(now, log, out);
        // Whoever reads here may have read what is gone.
        self.wake_fetches(log, out);
    }

    /// The log was opened or cut: who wrote what is left is found out before anything is fetched.
    pub(in crate::broker) fn replay_producers(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        if self.slot(log).is_some_and(|partition| partition.log.is_replaying())
            && let Some(partition) = self.partition_mut(log)
        {
            let found = partition.log.replay(now, out);
            self.replayed(log, found, out);
        }
    }

    /// The bytes came that a replay waits for.
    pub(in crate::broker) fn resume_replay(
        &mut self,
        now: Now,
        log: LogId,
        replay: Replay,
        bytes: &Bytes,
        out: &mut Vec<Effect>,
    ) {
        let Some(partition) = self.partition_mut(log).filter(|partition| partition.offline.is_none()) else { return };
        let found = replay.resume(&mut partition.log, now, bytes, out);
        if self.replayed(log, found, out) {
            self.replicate(now, out);
        }
    }

    /// True where its fetcher has been waiting for that.
    fn replayed(&mut self, log: LogId, found: Found<(), Replay>, out: &mut Vec<Effect>) -> bool {
        let fetcher = self.replication.fetcher_of(log);
        match found {
            Found::Read(extent, replay) => {
                if let Some(fetcher) = fetcher {
                    fetcher.engage(log);
                }
                let read = self.purgatory.read(Reading::Replay(log, replay));
                out.push(Effect::Read { read, extent });
                false
            }
            Found::Here(()) => {
                let is_known = self.slot(log).is_some_and(|partition| !partition.log.is_replaying());
                let frees = is_known && self.replication.fetcher_of(log).is_some_and(|fetcher| fetcher.free(log));
                // The last stable offset may have risen.
                self.wake_fetches(log, out);
                frees
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::LogId;
    use crate::log::{LogConfig, Origin, Verified};
    use crate::record::{Batch, BatchBuilder, Compression};
    use crate::time::{Instant, Timestamp};

    const ORIGIN: Origin = Origin::Client(Verified { guard: None, required: true });
    const NOW: Now = Now { instant: Instant::ZERO, wall: Timestamp(0) };

    /// One record an entry, each written in that epoch.
    fn log(epochs: &[LeaderEpoch]) -> Log {
        let mut out = Vec::new();
        let mut log = Log::create(LogId(0), "orders-0".into(), 0, LogConfig::default(), NOW, &mut out);
        for &epoch in epochs {
            log.append(NOW, record(), epoch, None, ORIGIN, &mut out).unwrap();
        }
        log.appended(log.end());
        log
    }

    fn record() -> Batch {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(0), None, Some(b"v"), &[]);
        builder.build()
    }

    /// Asks the leader as a follower does, until both agree; gives where the log was cut each time.
    fn agree(mut follower: Log, leader: &Log) -> Vec<Offset> {
        let mut ends = Vec::new();
        loop {
            let latest = follower.epochs().latest().expect("it has records").epoch;
            let (epoch, end) = leader.epochs().end_offset_for(latest, leader.end()).unwrap_or((-1, -1));
            let at = cutoff(&follower, epoch, end);
            ends.push(at.end);
            match follower.cut(at.end) {
                Found::Here(Ok(Some(cut))) => follower.truncate(NOW, cut, &mut Vec::new()),
                Found::Here(Ok(None)) => follower.forget_empty_epochs(&mut Vec::new()),
                other => panic!("{other:?}"),
            }
            if at.agreed {
                return ends;
            }
        }
    }

    #[test]
    fn a_log_that_the_leaders_continues_is_kept_whole() {
        assert_eq!(agree(log(&[0, 0, 1]), &log(&[0, 0, 1, 1, 2])), [3]);
    }

    #[test]
    fn what_an_epoch_wrote_that_ended_earlier_at_the_leader_is_cut() {
        // KIP-101: the last record of epoch 0 was never replicated.
        assert_eq!(agree(log(&[0, 0, 0]), &log(&[0, 0, 2, 2])), [2]);
    }

    #[test]
    fn records_of_an_epoch_that_the_leader_never_saw_are_cut_although_the_lengths_agree() {
        // KIP-279: A led in epochs 0 and 2, B wrote in epoch 1 what A never fetched. A says that epoch 0 ended at 3.
        let mut leader = log(&[0, 0, 0]);
        leader.assign_epoch(2, &mut Vec::new());
        assert_eq!(agree(log(&[0, 0, 1]), &leader), [2]);
    }

    #[test]
    fn where_the_follower_lacks_the_epoch_that_the_leader_names_it_asks_again_from_below() {
        // KIP-279, over several epochs: of 5 the leader knows nothing, but of 3; of that the follower knows nothing, but
        // of 1, which ended at 2 in both.
        assert_eq!(agree(log(&[1, 1, 4, 5]), &log(&[1, 1, 3, 3, 6])), [2, 2]);
        assert_eq!(agree(log(&[1, 1, 1, 4, 5]), &log(&[1, 1, 3, 3, 6])), [3, 2]);
    }

    #[test]
    fn a_leader_that_knows_nothing_leaves_what_is_committed() {
        let mut follower = log(&[0, 0, 0]);
        follower.raise_high_watermark(2);
        assert_eq!(cutoff(&follower, -1, -1), Cutoff { end: 2, agreed: true });
    }

    #[test]
    fn a_follower_whose_log_begins_later_believes_the_leader() {
        // Epoch 1 at the leader ended below all that the follower has, which is of epoch 4.
        let mut out = Vec::new();
        let mut follower = Log::create(LogId(0), "orders-0".into(), 10, LogConfig::default(), NOW, &mut out);
        follower.append(NOW, record(), 4, None, ORIGIN, &mut out).unwrap();
        assert_eq!(cutoff(&follower, 1, 10), Cutoff { end: 10, agreed: true });
    }
}
