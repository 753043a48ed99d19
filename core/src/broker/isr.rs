//! The ISR of the partitions that this broker leads: who joins and who leaves. The leader writes it to ZooKeeper, over the
//! state that it knows, and believes it when the controller tells it.
//!
//! ```text
//! a follower fetches ─▶ it has caught up ─┐
//! every replica.lag.time.max.ms / 2 ─▶ it lags ─┴▶ propose ─▶ ZooKeeper ─▶ the controller reads it ─▶ hosting.rs applies it
//! ```
//!
//! A write that comes too late changes nothing: another has changed the state, and what it is now comes the same way. One
//! whose answer is lost is made again, so that nobody believes in a smaller ISR than ZooKeeper may hold.

use std::sync::Arc;

use super::{Broker, Effect};
use crate::broker::session::Wanted;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LogId};
use crate::partition::{IsrChange, Partition, Role};
use crate::protocol::cluster::Assignment;
use crate::time::Now;
use crate::view::Level;

impl Broker {
    /// A follower fetches from an offset: it has everything below.
    ///
    /// Errors: why it is none of this partition's. Of an offset that does not fit the log, the read says what is wrong;
    /// only where nothing is known of its epoch, or it lies below the log, `OffsetOutOfRange` is said here.
    pub(super) fn followed(
        &mut self,
        log: LogId,
        replica: BrokerId,
        wanted: &Wanted,
        out: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(log) else { return Err(ErrorCode::NotLeaderOrFollower) };
        let (epoch, offset) = (wanted.current_leader_epoch, wanted.fetch_offset);
        partition.led_in(epoch)?;
        let fits = partition.diverges(wanted.last_fetched_epoch, offset)?.is_none()
            && (partition.log.log_start_offset()..=partition.log.end()).contains(&offset);
        if !fits {
            return Ok(());
        }
        let partition = Arc::make_mut(partition);
        let rose = partition.followed(now.instant, replica, epoch, offset, wanted.log_start_offset, out)?;
        let joins = partition.expand_isr(replica);
        // Most followers come for what is not there yet.
        if rose || joins.is_some() {
            self.touch(log);
        }
        if rose {
            self.progressed(log, true, out);
        }
        self.wake_deletes(log, out);
        if let Some(change) = joins {
            self.propose_isr(now, vec![change], out);
        }
        Ok(())
    }

    /// Looks for followers that lag, and proposes again what was not answered.
    pub(super) fn check_isrs(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut changes = Vec::new();
        let leads = |partition: &&Partition| matches!(partition.role, Role::Leader(_));
        let logs: Vec<LogId> = self.partitions().filter(leads).map(|partition| partition.log.id()).collect();
        for log in logs {
            let Some(partition) = self.partition_mut(log).filter(|partition| partition.offline.is_none()) else {
                continue;
            };
            if let Some((change, leave)) = partition.shrink_isr(now.instant) {
                out.push(Effect::Note { level: Level::Warn, text: why(partition, &leave, now) });
                changes.push(change);
            } else {
                changes.extend(partition.proposal());
            }
        }
        if !changes.is_empty() {
            self.propose_isr(now, changes, out);
        }
        if self.partitions().any(|partition| self.is_counted_on(partition)) {
            self.write_log_dir_event(now, out);
        }
    }

    /// A log has failed, and the controller has not heard of it yet.
    fn is_counted_on(&self, partition: &Partition) -> bool {
        let (name, own) = (&partition.name, self.id());
        let assignment = self.assignment(&name.topic, name.partition).filter(|_| partition.offline.is_some());
        assignment.is_some_and(|assignment| assignment.leader != BrokerId::NONE && assignment.isr.contains(&own))
    }

    /// The one way to a new ISR.
    fn propose_isr(&mut self, now: Now, changes: Vec<IsrChange>, out: &mut Vec<Effect>) {
        let own = self.id();
        for IsrChange { partition, leader_epoch, partition_epoch, isr } in changes {
            let state = Assignment { isr, leader: own, leader_epoch, partition_epoch, ..Assignment::default() };
            self.write_isr(now, &partition, &state, out);
        }
    }
}

/// In Kafka's words.
fn why(partition: &Partition, leave: &[BrokerId], now: Now) -> String {
    let Role::Leader(leader) = &partition.role else { return String::new() };
    let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",");
    let out_of_sync = leave.iter().filter_map(|id| leader.followers().get_key_value(id)).map(|(id, follower)| {
        let caught_up = match follower.caught_up_at {
            Some(at) => format!("{} ms ago", now.instant.since(at).as_millis()),
            None => "never".to_owned(),
        };
        format!("(brokerId: {}, endOffset: {}, caught up: {caught_up})", id.0, follower.end)
    });
    format!(
        "Shrinking ISR of {} from {} to {}. Leader: (highWatermark: {}, endOffset: {}). Out of sync replicas: {}",
        partition.name,
        ids(leader.isr()),
        ids(leader.proposed().unwrap_or_default()),
        partition.log.high_watermark(),
        partition.log.end(),
        out_of_sync.collect::<Vec<_>>().join(" ")
    )
}
