//! Where a follower cuts its log so that it agrees with its leader's (KIP-101, KIP-279).

use bytes::Bytes;

use super::Cutting;
use super::fetcher::Progress;
use crate::broker::purgatory::Reading;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::log::{Cut, CutSeek, Found, Log};
use crate::sim::view::Level;
use crate::time::Now;

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
        // Whoever reads here may have read what is gone.
        self.wake_fetches(log, out);
    }
}
