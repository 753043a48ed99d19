//! The ISR of the partitions that this broker leads: who joins, who leaves, and what the controller says to it.
//!
//! ```text
//! a follower fetches ─▶ it has caught up ─┐                   ┌─▶ the new state comes: hosting.rs applies it
//! every replica.lag.time.max.ms / 2 ─▶ it lags ─┴▶ propose_isr ─┴─▶ refused: stale (the newer state comes), or for good
//! ```

use super::{Broker, Effect};
use crate::broker::cluster::Pending;
use crate::broker::session::Wanted;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LogId};
use crate::partition::{Partition, Role};
use crate::protocol::cluster::{ClusterRequest, IsrChange};
use crate::sim::view::Level;
use crate::time::Now;

impl Broker {
    /// A follower fetches from an offset: it has everything below.
    ///
    /// Errors: why it is none of this partition's. What is wrong with the offset itself, the read will say.
    pub(super) fn followed(
        &mut self,
        log: LogId,
        replica: BrokerId,
        wanted: &Wanted,
        out: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let now = self.now;
        let Some(partition) = self.partition_mut(log) else { return Err(ErrorCode::NotLeaderOrFollower) };
        let (epoch, offset) = (wanted.current_leader_epoch, wanted.fetch_offset);
        partition.led_in(epoch)?;
        let fits = partition.diverges(wanted.last_fetched_epoch, offset)?.is_none()
            && (partition.log.log_start_offset()..=partition.log.end()).contains(&offset);
        if !fits {
            return Ok(());
        }
        let rose = partition.followed(now.instant, replica, epoch, offset, wanted.log_start_offset, out)?;
        let joins = partition.expand_isr(replica);
        if rose {
            self.progressed(log, true, out);
        }
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
    }

    /// The one way to a new ISR: the controller is asked for it, and until its answer is here nothing is believed.
    fn propose_isr(&mut self, now: Now, changes: Vec<IsrChange>, out: &mut Vec<Effect>) {
        let own = self.id();
        if let Some(controller) = &mut self.controller {
            let results = controller.alter_isr(own, &changes);
            self.publish(now, out);
            self.isr_decided(&changes, &results);
        } else {
            let request = ClusterRequest::AlterIsr(changes.clone());
            self.call(self.config.controller(), request, Pending::AlterIsr(changes), out);
        }
    }

    /// What became of proposals. A change that was made came with the state, and so does what made a proposal stale; only
    /// one that was refused for good leaves everything as it was.
    pub(super) fn isr_decided(&mut self, changes: &[IsrChange], results: &[Result<(), ErrorCode>]) {
        for (change, result) in changes.iter().zip(results) {
            let log = self.hosted(&change.partition.topic, change.partition.partition);
            if let (Err(ErrorCode::IneligibleReplica), Ok(log)) = (result, log)
                && !self.is_proposed(change)
                && let Some(Role::Leader(leader)) = self.partition_mut(log).map(|partition| &mut partition.role)
            {
                leader.refused(change.partition_epoch);
            }
        }
    }
}

impl Broker {
    /// The same proposal is on its way once more, and may yet be made: the controller may know by now that the replica
    /// lives.
    fn is_proposed(&self, change: &IsrChange) -> bool {
        self.calls.values().any(|pending| matches!(pending, Pending::AlterIsr(changes) if changes.contains(change)))
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
