//! A partition as one broker holds it: a log, and the role that the controller gave to this replica.
//!
//! ```text
//! Follower ──[lead]──▶ Leader ──[follow]──▶ Follower      any ──[fail]──▶ offline, for good
//! ```
//!
//! 1. log_start_offset ≤ last_stable_offset ≤ high_watermark ≤ appended end ≤ end.
//! 2. Only a leader takes producers' batches, and only in its own epoch; a follower takes its leader's, as they are.
//! 3. A leader's high watermark is what every replica of the ISR has appended; it never falls. A follower's is what its
//!    leader told, as far as it has it.
//! 4. Consumers see nothing at or above the high watermark.
//!
//! `leader.rs` acks, the high watermark, the ISR | `follower.rs` whom it follows | `settings.rs` the topic's settings

pub mod follower;
pub mod leader;
pub mod settings;

pub use follower::Follower;
pub use leader::Leader;
pub use settings::Settings;

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::Effect;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use crate::log::checkpoint::{self, PARTITION_METADATA};
use crate::log::{Log, Origin, Placed};
use crate::protocol::cluster::{Assignment, Registration};
use crate::record::Batch;
use crate::record::check::{Checked, Invalid};
use crate::time::{Duration, Instant, Now};
use crate::vec_map::VecMap;

/// One replica.
#[derive(Clone)]
pub struct Partition {
    pub name: TopicPartition,
    pub topic_id: Uuid,
    pub log: Log,
    pub role: Role,
    pub settings: Settings,
    /// The disk failed under this log: nothing is read or written any more.
    pub offline: Option<String>,
}

#[derive(Clone)]
pub enum Role {
    Leader(Leader),
    Follower(Follower),
}

/// What a role is taken in.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub own: BrokerId,
    pub alive: &'a VecMap<BrokerId, Registration>,
    /// Kafka's `replica.lag.time.max.ms`.
    pub lag: Duration,
    pub now: Instant,
}

/// A new ISR, as a leader proposes it. It is made only where the state is still the one that the leader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    pub partition: TopicPartition,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    pub isr: Vec<BrokerId>,
}

/// What a batch of a Produce waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The driver has written it (acks=1).
    Written,
    /// The high watermark is past it (acks=all).
    Committed,
}

/// What a leader tells with the batches that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: Offset,
    pub log_start: Offset,
}

impl Partition {
    /// Takes the role that `assignment` gives to this replica. True if who leads, or the epoch, changed.
    pub fn assume(&mut self, assignment: &Assignment, around: &Around<'_>, out: &mut Vec<Effect>) -> bool {
        let epoch_before = self.leader_epoch();
        let leads = assignment.leader == around.own;
        let led_before = matches!(self.role, Role::Leader(_));
        let changed = epoch_before != assignment.leader_epoch || led_before != leads;
        match &mut self.role {
            Role::Leader(leader) if !changed => leader.set_isr(assignment, around),
            Role::Follower(follower) if !changed => follower.leader = assignment.leader,
            _ if leads => {
                self.log.assign_epoch(assignment.leader_epoch, out);
                self.role = Role::Leader(Leader::new(assignment, self.log.end(), around));
            }
            _ => self.role = Role::Follower(Follower::new(assignment.leader, assignment.leader_epoch)),
        }
        self.advance(around.now, out);
        changed
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Leader(leader) => leader.epoch,
            Role::Follower(follower) => follower.epoch,
        }
    }

    /// Why this replica must not be used by who believes in the leader epoch `epoch`; −1 is none.
    pub fn in_epoch(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        match self.leader_epoch() {
            _ if self.offline.is_some() => Err(ErrorCode::KafkaStorageError),
            own if epoch != -1 && epoch < own => Err(ErrorCode::FencedLeaderEpoch),
            own if epoch != -1 && epoch > own => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// The leader's side, or why a client must not use this replica.
    pub fn led_in(&self, epoch: LeaderEpoch) -> Result<&Leader, ErrorCode> {
        self.in_epoch(epoch)?;
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Who has read up to `offset`, the last of it written in `epoch`, has something else than this log: the largest
    /// epoch, not above that one, which both may have, and where it ends here. `None` where the two agree.
    ///
    /// Errors: `OffsetOutOfRange` where nothing is known of that epoch, or the offset lies below the log.
    pub fn diverges(&self, epoch: LeaderEpoch, offset: Offset) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        if epoch < 0 {
            return Ok(None);
        }
        let end = self.log.epochs().end_offset_for(epoch, self.log.end());
        let (known, end) = end.ok_or(ErrorCode::OffsetOutOfRange)?;
        if offset < self.log.log_start_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok((known < epoch || end < offset).then_some((known, end)))
    }

    /// Appends a producer's batch. The offsets are given at once; what is there when the driver has written it, and
    /// acknowledged when `acks` are met, is said by [`Partition::appended`].
    pub fn append(
        &mut self,
        now: Now,
        acks: i16,
        checked: Checked,
        origin: Origin,
        out: &mut Vec<Effect>,
    ) -> Result<Placed, Invalid> {
        let leader = self.led_in(-1).map_err(refusal)?;
        let epoch = leader.epoch;
        if acks == -1 && self.is_under_min_isr(leader) {
            return Err(refusal(ErrorCode::NotEnoughReplicas));
        }
        self.fits(checked.batch.bytes.len())?;
        checked.obeys(&self.settings.rules, &self.name, now.wall)?;
        let batch = self.settings.recompressed(checked.batch)?;
        self.fits(batch.bytes.len())?;
        self.log.append(now, batch, epoch, self.settings.append_time(now), origin, out)
    }

    /// Appends what a coordinator has made, for all in-sync replicas to have: the end of a transaction, under that level of
    /// `transaction.version`.
    pub fn append_marker(
        &mut self,
        now: Now,
        batch: Batch,
        version: i8,
        out: &mut Vec<Effect>,
    ) -> Result<Placed, Invalid> {
        let leader = self.led_in(-1).map_err(refusal)?;
        let epoch = leader.epoch;
        if self.is_under_min_isr(leader) {
            return Err(refusal(ErrorCode::NotEnoughReplicas));
        }
        self.fits(batch.bytes.len())?;
        self.log.append(now, batch, epoch, self.settings.append_time(now), Origin::Marker { version }, out)
    }

    /// DeleteRecords: the log begins at `offset` from now on; −1 is the high watermark. Gives that offset, and the low
    /// watermark.
    ///
    /// Errors: `PolicyViolation` where records are kept for their keys; `OffsetOutOfRange` beyond the high watermark.
    pub fn delete_records(&mut self, offset: Offset, out: &mut Vec<Effect>) -> Result<(Offset, Offset), ErrorCode> {
        self.led_in(-1)?;
        if self.settings.rules.compacted && !self.settings.log.cleanup_delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let offset = if offset == -1 { self.log.high_watermark() } else { offset };
        if offset < 0 {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.log.raise_log_start(offset, out)?;
        Ok((offset, self.low_watermark()))
    }

    /// Of all replicas whose brokers live, where the log begins that begins first.
    pub fn low_watermark(&self) -> Offset {
        let own = self.log.log_start_offset();
        match &self.role {
            Role::Leader(leader) => leader.low_watermark(own),
            Role::Follower(_) => own,
        }
    }

    fn fits(&self, bytes: usize) -> Result<(), Invalid> {
        if bytes <= self.settings.max_message_bytes { Ok(()) } else { Err(refusal(ErrorCode::MessageTooLarge)) }
    }

    /// `min.insync.replicas`, or all replicas where there are fewer.
    fn is_under_min_isr(&self, leader: &Leader) -> bool {
        leader.in_sync() < self.settings.min_insync_replicas.min(1 + leader.followers().len())
    }

    /// Appends what the leader sent from this log's end on, as it is, and takes down what it told besides. Gives whether
    /// there was anything to append, and whether the high watermark rose at once.
    pub fn replicate(
        &mut self,
        now: Now,
        batches: Vec<Batch>,
        told: Told,
        out: &mut Vec<Effect>,
    ) -> Result<(bool, bool), Invalid> {
        if let (Some(first), Some(last)) = (batches.first(), batches.last()) {
            // The leader's log begins within its first batch, and this one holds nothing yet.
            let (start, end) = (self.log.log_start_offset(), self.log.end());
            if start == end && first.header.base_offset < end && last.header.last_offset() >= end {
                self.restart_at(now, first.header.base_offset, out);
            }
        }
        let appends = !batches.is_empty();
        for batch in batches {
            self.log.append_replica(now, batch, out)?;
        }
        if let Role::Follower(follower) = &mut self.role {
            (follower.high_watermark, follower.log_start) = (told.high_watermark, told.log_start);
        }
        Ok((appends, self.advance(now.instant, out)))
    }

    /// Drops everything; the log begins, empty, at `start`.
    pub fn restart_at(&mut self, now: Now, start: Offset, out: &mut Vec<Effect>) {
        self.log.truncate_fully_and_start_at(now, start, out);
        self.save_metadata(out);
    }

    /// `partition.metadata`: whose directory it is.
    pub fn save_metadata(&self, out: &mut Vec<Effect>) {
        let file = format!("{}/{PARTITION_METADATA}", self.log.directory());
        let contents = Bytes::from(checkpoint::print_partition_metadata(self.topic_id));
        out.push(Effect::Save { file, contents });
    }

    /// The driver wrote everything below `end`. True if the high watermark rose.
    pub fn appended(&mut self, now: Instant, end: Offset, out: &mut Vec<Effect>) -> bool {
        self.log.appended(end);
        self.advance(now, out)
    }

    /// A follower fetches from `offset`: it has everything below. True if the high watermark rose.
    ///
    /// Errors: `UnknownLeaderEpoch` where it is none of the replicas (KIP-595: it may become one soon),
    /// `NotLeaderOrFollower` where it does not say what it believes.
    pub fn followed(
        &mut self,
        now: Instant,
        replica: BrokerId,
        epoch: LeaderEpoch,
        offset: Offset,
        log_start: Offset,
        out: &mut Vec<Effect>,
    ) -> Result<bool, ErrorCode> {
        let end = self.log.appended_end();
        if let Role::Leader(leader) = &mut self.role {
            if !leader.followers().contains_key(&replica) {
                let told = epoch != -1;
                return Err(if told { ErrorCode::UnknownLeaderEpoch } else { ErrorCode::NotLeaderOrFollower });
            }
            leader.followed(replica, offset, log_start, end, now);
        }
        Ok(self.advance(now, out))
    }

    /// (3)
    pub fn advance(&mut self, now: Instant, out: &mut Vec<Effect>) -> bool {
        match &self.role {
            Role::Leader(leader) if self.is_under_min_isr(leader) => false,
            Role::Leader(leader) => self.log.raise_high_watermark(leader.high_watermark(self.log.appended_end(), now)),
            Role::Follower(follower) => {
                let log_start = follower.log_start;
                let rose = self.log.raise_high_watermark(follower.high_watermark);
                // It is at most the leader's high watermark, but this one's may lag.
                let _ = self.log.raise_log_start(log_start.min(self.log.high_watermark()), out);
                rose
            }
        }
    }

    /// A follower has caught up: the ISR to propose, if it joins.
    pub fn expand_isr(&mut self, replica: BrokerId) -> Option<IsrChange> {
        let high_watermark = self.log.high_watermark();
        let Role::Leader(leader) = &mut self.role else { return None };
        if leader.expand(replica, high_watermark) { self.proposal() } else { None }
    }

    /// Looks for followers that lag: the ISR to propose, and who leaves it.
    pub fn shrink_isr(&mut self, now: Instant) -> Option<(IsrChange, Vec<BrokerId>)> {
        let end = self.log.appended_end();
        let Role::Leader(leader) = &mut self.role else { return None };
        let leave = leader.shrink(end, now);
        if leave.is_empty() { None } else { Some((self.proposal()?, leave)) }
    }

    /// The ISR that was proposed and has not been decided on.
    pub fn proposal(&self) -> Option<IsrChange> {
        let Role::Leader(leader) = &self.role else { return None };
        Some(IsrChange {
            partition: self.name.clone(),
            leader_epoch: leader.epoch,
            partition_epoch: leader.partition_epoch(),
            isr: leader.proposed()?.to_vec(),
        })
    }

    /// What a producer is told that waits `until` everything below `end` is so far: nothing yet, or how it went.
    pub fn has(&self, until: Until, end: Offset) -> Option<Result<(), ErrorCode>> {
        match until {
            Until::Written => (self.log.appended_end() >= end).then_some(Ok(())),
            Until::Committed => self.acknowledged(end),
        }
    }

    /// What a producer that waits for every in-sync replica is told about `end`: nothing yet, or how it went.
    pub fn acknowledged(&self, end: Offset) -> Option<Result<(), ErrorCode>> {
        let leader = match self.led_in(-1) {
            Ok(leader) => leader,
            Err(error) => return Some(Err(error)),
        };
        // The ISR may have shrunk since the batch was taken: it will not be committed before it has grown again.
        if self.is_under_min_isr(leader) {
            return Some(Err(ErrorCode::NotEnoughReplicasAfterAppend));
        }
        (self.log.high_watermark() >= end).then_some(Ok(()))
    }
}

/// A refusal that Kafka has no words for beyond the code.
fn refusal(error: ErrorCode) -> Invalid {
    Invalid::new(error, "")
}
