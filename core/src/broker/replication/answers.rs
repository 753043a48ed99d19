//! What a follower does with its leader's answers. The cases and their consequences are those of Kafka's
//! `AbstractFetcherThread`.

use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{
    FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, ResponseKind, TopicName,
};

use super::fetcher::{Ask, Progress, Told};
use super::truncate::{Cutoff, cutoff};
use super::{Broker, Effect, Tag, fetcher};
use crate::bug::Bug;
use crate::client::connection::Answer;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, LogId, Offset};
use crate::partition;
use crate::record::Batch;
use crate::record::check::Invalid;
use crate::time::{Instant, Now};
use crate::view::Level;

impl Broker {
    pub(super) fn leader_answered(
        &mut self,
        now: Now,
        answer: Answer<Tag>,
        batches: Vec<Result<Vec<Batch>, Invalid>>,
        out: &mut Vec<Effect>,
    ) {
        let asked_it = |fetcher: &fetcher::Fetcher| fetcher.asked.as_ref().is_some_and(|(tag, _)| *tag == answer.tag);
        let Some(leader) =
            self.replication.fetchers.iter().find(|(_, fetcher)| asked_it(fetcher)).map(|(leader, _)| *leader)
        else {
            // Of a fetcher that is no more.
            return;
        };
        let until = self.after_backoff(now);
        let Some(fetcher) = self.replication.fetchers.get_mut(&leader) else { return };
        let asked = fetcher.asked.take();
        // The one that comes often, and is large.
        if let (Some((_, Ask::Fetch)), ResponseKind::Fetch(body)) = (&asked, &*answer.body) {
            return match ErrorCode::try_from_code(body.error_code) {
                None => {
                    fetcher.taken(body.session_id);
                    self.fetch_answered(now, leader, body, batches, out);
                }
                Some(error) => fetcher.refused(error, until),
            };
        }
        match (asked, *answer.body) {
            (Some((_, Ask::Epochs(asked))), ResponseKind::OffsetForLeaderEpoch(body)) => {
                self.epochs_answered(now, leader, &asked, body, out);
            }
            (Some((_, Ask::Offsets(asked, timestamp))), ResponseKind::ListOffsets(body)) => {
                self.offsets_answered(now, leader, &asked, timestamp, body, out);
            }
            // An answer of another kind is none.
            (asked, _) => {
                fetcher.asked = asked;
                fetcher.lost(answer.tag, until);
            }
        }
    }

    fn epochs_answered(
        &mut self,
        now: Now,
        leader: BrokerId,
        asked: &[(LogId, LeaderEpoch)],
        body: OffsetForLeaderEpochResponse,
        out: &mut Vec<Effect>,
    ) {
        let mut told = Vec::with_capacity(asked.len());
        for topic in &body.topics {
            for answer in &topic.partitions {
                let ended = (answer.leader_epoch, answer.end_offset);
                told.push((&topic.topic, answer.partition, answer.error_code, ended));
            }
        }
        for (log, (epoch, end)) in self.answered_logs(now, leader, asked, &told, Progress::Truncating, out) {
            if let Some(partition) = self.slot(log) {
                // Before KIP-279 the answer did not say of which epoch it is: as if it were always the one asked about.
                let epoch = if self.config.bugs.has(Bug::Kip101Only) { -1 } else { epoch };
                let at = cutoff(&partition.log, epoch, end);
                self.cut(now, log, at, out);
            }
        }
    }

    fn offsets_answered(
        &mut self,
        now: Now,
        leader: BrokerId,
        asked: &[(LogId, LeaderEpoch)],
        timestamp: i64,
        body: ListOffsetsResponse,
        out: &mut Vec<Effect>,
    ) {
        let mut told = Vec::with_capacity(asked.len());
        for topic in &body.topics {
            for answer in &topic.partitions {
                told.push((&topic.name, answer.partition_index, answer.error_code, answer.offset));
            }
        }
        let stands = Progress::OutOfRange(timestamp);
        for (log, offset) in self.answered_logs(now, leader, asked, &told, stands, out) {
            self.begin_in_range(now, log, timestamp, offset, out);
        }
    }

    /// The leader does not have what this log asked for: it ends (or begins) at `offset`.
    fn begin_in_range(&mut self, now: Now, log: LogId, timestamp: i64, offset: Offset, out: &mut Vec<Effect>) {
        let Some(partition) = self.partition_mut(log) else { return };
        let (name, end) = (partition.name.clone(), partition.log.end());
        let mut note = |text| out.push(Effect::Note { level: Level::Warn, text });
        let progress = if timestamp == fetcher::LATEST {
            if offset < end {
                // An unclean election: the leader has less than this follower.
                note(format!(
                    "Reset fetch offset for partition {name} from {end} to current leader's latest offset {offset}"
                ));
                return self.cut(now, log, Cutoff { end: offset, agreed: true }, out);
            }
            Progress::OutOfRange(fetcher::EARLIEST)
        } else {
            if offset > end {
                note(format!(
                    "Truncate fully and reset fetch offset for partition {name} from {end} to the current leader's \
                     start offset {offset}"
                ));
                partition.restart_at(now, offset, out);
            }
            Progress::Fetching
        };
        if let Some(fetcher) = self.replication.fetcher_of(log) {
            fetcher.progressed(log, progress);
        }
    }

    /// Of the logs that were asked about, those that were answered and stand where they stood then. The others rest, or
    /// wait for the next epoch.
    fn answered_logs<T: Copy>(
        &mut self,
        now: Now,
        leader: BrokerId,
        asked: &[(LogId, LeaderEpoch)],
        told: &[(&TopicName, i32, i16, T)],
        stands: Progress,
        out: &mut Vec<Effect>,
    ) -> Vec<(LogId, T)> {
        let until = self.after_backoff(now);
        let mut answered = Vec::with_capacity(asked.len());
        let mut fenced = Vec::new();
        let Some(fetcher) = self.replication.fetchers.get_mut(&leader) else { return answered };
        let told: BTreeMap<_, _> = told.iter().map(|(topic, partition, ..)| (*topic, *partition)).zip(told).collect();
        for (log, epoch) in asked {
            let Some(followed) = fetcher.partitions.get(log) else { continue };
            if followed.epoch != *epoch || followed.progress != stands {
                continue;
            }
            let answer = told.get(&(&followed.name.topic, followed.name.partition));
            match answer.map(|(_, _, code, value)| (ErrorCode::try_from_code(*code), *value)) {
                Some((None, value)) => answered.push((*log, value)),
                Some((Some(ErrorCode::FencedLeaderEpoch), _)) => fenced.push(*log),
                _ => fetcher.rest(*log, until),
            }
        }
        for log in fenced {
            self.fenced(log, out);
        }
        answered
    }

    fn fetch_answered(
        &mut self,
        now: Now,
        leader: BrokerId,
        body: &FetchResponse,
        batches: Vec<Result<Vec<Batch>, Invalid>>,
        out: &mut Vec<Effect>,
    ) {
        let mut batches = batches.into_iter();
        let names = self.topic_names.clone();
        for topic in &body.responses {
            let name = if topic.topic_id.is_nil() { Some(&topic.topic) } else { names.get(&topic.topic_id) };
            for answer in &topic.partitions {
                let of = |name| self.hosted.get(name)?.get(&answer.partition_index).copied();
                let log = name.and_then(of);
                // `Event::client` made one for each partition.
                let batches = batches.next().unwrap_or_else(|| Ok(Vec::new()));
                if let Some(log) = log.filter(|log| self.stands_as_told(leader, *log)) {
                    self.partition_answered(now, log, answer, batches, out);
                }
            }
        }
    }

    /// What was told counts only for a partition that stands where it stood when its leader was asked.
    fn stands_as_told(&self, leader: BrokerId, log: LogId) -> bool {
        let followed = self.replication.fetchers.get(&leader).and_then(|fetcher| fetcher.partitions.get(&log));
        let (Some(followed), Some(partition)) = (followed, self.slot(log)) else { return false };
        let now = Told::of(partition, followed.epoch);
        followed.progress == Progress::Fetching
            && followed.told.is_some_and(|told| (told.offset, told.epoch) == (now.offset, now.epoch))
    }

    fn partition_answered(
        &mut self,
        now: Now,
        log: LogId,
        answer: &PartitionData,
        batches: Result<Vec<Batch>, Invalid>,
        out: &mut Vec<Effect>,
    ) {
        let until = self.after_backoff(now);
        match ErrorCode::try_from_code(answer.error_code) {
            None if answer.diverging_epoch.epoch >= 0 || answer.diverging_epoch.end_offset >= 0 => {
                let Some(partition) = self.slot(log) else { return };
                let told = &answer.diverging_epoch;
                let at = cutoff(&partition.log, told.epoch, told.end_offset);
                // The next fetch shows whether they agree now.
                self.cut(now, log, Cutoff { agreed: true, ..at }, out);
            }
            None => {
                let told =
                    partition::Told { high_watermark: answer.high_watermark, log_start: answer.log_start_offset };
                self.records_came(now, log, batches, told, out);
            }
            Some(ErrorCode::OffsetOutOfRange) => {
                if let Some(fetcher) = self.replication.fetcher_of(log) {
                    fetcher.progressed(log, Progress::OutOfRange(fetcher::LATEST));
                }
            }
            Some(ErrorCode::FencedLeaderEpoch) => self.fenced(log, out),
            Some(_) => {
                if let Some(fetcher) = self.replication.fetcher_of(log) {
                    fetcher.rest(log, until);
                }
            }
        }
    }

    fn records_came(
        &mut self,
        now: Now,
        log: LogId,
        batches: Result<Vec<Batch>, Invalid>,
        told: partition::Told,
        out: &mut Vec<Effect>,
    ) {
        let until = self.after_backoff(now);
        self.touch(log);
        let Some(partition) = self.slot(log) else { return };
        let batches = match batches {
            Ok(batches) => batches,
            Err(invalid) => {
                let (name, end) = (&partition.name, partition.log.end());
                let text = format!(
                    "Found invalid messages during fetch for partition {name} offset {end}: {}",
                    invalid.message
                );
                out.push(Effect::Note { level: Level::Bad, text });
                if let Some(fetcher) = self.replication.fetcher_of(log) {
                    fetcher.rest(log, until);
                }
                return;
            }
        };
        let bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
        if partition.settings.throttled_as_follower {
            self.follower_throttle.record(now.instant, bytes as u64, &self.settings);
        }
        let Some(partition) = self.partition_mut(log) else { return };
        match partition.replicate(now, batches, told, out) {
            Ok((appends, rose)) => {
                let flush = partition.log.deadline();
                if let Some(fetcher) = self.replication.fetcher_of(log).filter(|_| appends) {
                    fetcher.engage(log);
                }
                if let Some(instant) = flush {
                    self.chores.flush_at(instant, log);
                }
                if rose {
                    self.progressed(log, true, out);
                }
            }
            Err(invalid) => self.replica_failed(log, &invalid.message, out),
        }
    }

    /// The leader is in a later epoch than this broker knows of.
    fn fenced(&mut self, log: LogId, out: &mut Vec<Effect>) {
        let Some(epoch) = self.slot(log).map(|partition| partition.leader_epoch()) else { return };
        let why = format!("has an older epoch ({epoch}) than the current leader: it waits for the next");
        self.give_up_replica(log, Level::Warn, &why, out);
    }

    /// Nothing more is fetched for that partition in this epoch.
    pub(super) fn replica_failed(&mut self, log: LogId, why: &str, out: &mut Vec<Effect>) {
        self.give_up_replica(log, Level::Bad, why, out);
    }

    fn give_up_replica(&mut self, log: LogId, level: Level, why: &str, out: &mut Vec<Effect>) {
        let Some(name) = self.slot(log).map(|partition| partition.name.clone()) else { return };
        out.push(Effect::Note { level, text: format!("Partition {name} marked as failed: {why}") });
        if let Some(fetcher) = self.replication.fetcher_of(log) {
            fetcher.progressed(log, Progress::Failed);
        }
    }

    fn after_backoff(&self, now: Now) -> Instant {
        now.instant + self.settings.replica_fetch_backoff
    }
}
