//! A partition as one broker holds it: a log, and the role that the controller gave to this replica.
//!
//! ```text
//! Follower ──[lead]──▶ Leader ──[follow]──▶ Follower      any ──[fail]──▶ offline, for good
//! ```
//!
//! 1. log_start_offset ≤ last_stable_offset ≤ high_watermark ≤ appended end ≤ end.
//! 2. Only a leader appends, and only in its own epoch.
//! 3. A leader's high watermark is what every replica of the ISR has appended; it never falls.
//! 4. Consumers see nothing at or above the high watermark.
//!
//! `leader.rs` acks, the high watermark, the ISR | `follower.rs` whom it follows | `settings.rs` the topic's settings

pub mod follower;
pub mod leader;
pub mod settings;

pub use follower::Follower;
pub use leader::Leader;
pub use settings::Settings;

use uuid::Uuid;

use crate::broker::Effect;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use crate::log::{Log, Placed};
use crate::protocol::cluster::Assignment;
use crate::record::check::{Checked, Invalid};
use crate::time::Now;

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

impl Partition {
    /// Takes the role that `assignment` gives to `own`. True if who leads, or the epoch, changed.
    pub fn assume(&mut self, own: BrokerId, assignment: &Assignment, out: &mut Vec<Effect>) -> bool {
        let epoch_before = self.leader_epoch();
        let led_before = matches!(self.role, Role::Leader(_));
        if assignment.leader == own {
            match &mut self.role {
                Role::Leader(leader) if leader.epoch == assignment.leader_epoch => leader.set_isr(own, assignment),
                _ => {
                    self.log.assign_epoch(assignment.leader_epoch, out);
                    self.role = Role::Leader(Leader::new(own, assignment, self.log.end()));
                }
            }
            self.advance();
        } else {
            self.role = Role::Follower(Follower { leader: assignment.leader, epoch: assignment.leader_epoch });
        }
        epoch_before != assignment.leader_epoch || led_before != (assignment.leader == own)
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Leader(leader) => leader.epoch,
            Role::Follower(follower) => follower.epoch,
        }
    }

    /// The leader's side, or why a client must not use this replica. `epoch` is the leader epoch that the client
    /// believes in; −1 is none.
    pub fn led_in(&self, epoch: LeaderEpoch) -> Result<&Leader, ErrorCode> {
        if self.offline.is_some() {
            return Err(ErrorCode::KafkaStorageError);
        }
        match self.leader_epoch() {
            own if epoch != -1 && epoch < own => return Err(ErrorCode::FencedLeaderEpoch),
            own if epoch != -1 && epoch > own => return Err(ErrorCode::UnknownLeaderEpoch),
            _ => {}
        }
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Appends a producer's batch. The offsets are given at once; what is there when the driver has written it, and
    /// acknowledged when `acks` are met, is said by [`Partition::appended`].
    pub fn append(&mut self, now: Now, acks: i16, checked: Checked, out: &mut Vec<Effect>) -> Result<Placed, Invalid> {
        let leader = self.led_in(-1).map_err(refusal)?;
        let epoch = leader.epoch;
        if acks == -1 && leader.in_sync() < self.settings.min_insync_replicas {
            return Err(refusal(ErrorCode::NotEnoughReplicas));
        }
        self.fits(checked.batch.bytes.len())?;
        checked.obeys(&self.settings.rules, &self.name, now.wall)?;
        let batch = self.settings.recompressed(checked.batch)?;
        self.fits(batch.bytes.len())?;
        self.log.append(now, batch, epoch, self.settings.append_time(now), out)
    }

    fn fits(&self, bytes: usize) -> Result<(), Invalid> {
        if bytes <= self.settings.max_message_bytes { Ok(()) } else { Err(refusal(ErrorCode::MessageTooLarge)) }
    }

    /// The driver wrote everything below `end`. True if the high watermark rose.
    pub fn appended(&mut self, end: Offset) -> bool {
        self.log.appended(end);
        self.advance()
    }

    /// A follower fetches from `offset`: it has everything below. True if the high watermark rose.
    pub fn followed(&mut self, replica: BrokerId, offset: Offset) -> bool {
        if let Role::Leader(leader) = &mut self.role {
            leader.followed(replica, offset);
        }
        self.advance()
    }

    /// (3)
    fn advance(&mut self) -> bool {
        match &self.role {
            Role::Leader(leader) if leader.in_sync() >= self.settings.min_insync_replicas => {
                self.log.raise_high_watermark(leader.high_watermark(self.log.appended_end()))
            }
            _ => false,
        }
    }

    /// What a producer that waits for every in-sync replica is told about `end`: nothing yet, or how it went.
    pub fn acknowledged(&self, end: Offset) -> Option<Result<(), ErrorCode>> {
        let leader = match self.led_in(-1) {
            Ok(leader) => leader,
            Err(error) => return Some(Err(error)),
        };
        if self.log.high_watermark() < end {
            return None;
        }
        // The ISR may have shrunk since the batch was taken.
        let enough = leader.in_sync() >= self.settings.min_insync_replicas;
        Some(if enough { Ok(()) } else { Err(ErrorCode::NotEnoughReplicasAfterAppend) })
    }
}

/// A refusal that Kafka has no words for beyond the code.
fn refusal(error: ErrorCode) -> Invalid {
    Invalid { error, message: String::new(), record_errors: Vec::new() }
}
