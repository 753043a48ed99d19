//! The ISR of the partitions that this broker leads: who joins, who leaves.
//!
//! ```text
//! a follower fetches ─▶ it has caught up ─┐              ┌─▶ written to ZooKeeper: isr_written, and the controller reads it
//! every replica.lag.time.max.ms / 2 ─▶ it lags ─┴▶ propose_isr ─┴─▶ stale: the controller tells the newer state
//! ```

use std::sync::Arc;

use super::{Broker, Effect};
use crate::broker::session::Wanted;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LogId, TopicPartition};
use crate::partition::{IsrChange, Partition, Role};
use crate::protocol::cluster::ClusterState;
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

    /// The one way to a new ISR: it is written to ZooKeeper over the state that the leader knows, and until it is there
    /// nothing is believed. What cannot be written now is proposed again with the next check.
    fn propose_isr(&mut self, now: Now, changes: Vec<IsrChange>, out: &mut Vec<Effect>) {
        if self.membership.is_connected() {
            changes.into_iter().for_each(|change| self.write_isr(now, change, out));
        }
    }

    /// ZooKeeper has it, under that version: the leader lives by it at once. The controller reads it by its notification
    /// and tells the others.
    pub(super) fn isr_written(&mut self, now: Now, change: &IsrChange, version: i32, out: &mut Vec<Effect>) {
        let name = &change.partition;
        let Ok(log) = self.hosted(&name.topic, name.partition) else { return };
        let leads = |partition: &Partition| {
            partition.topic_id == change.topic_id
                && partition
                    .led_in(change.leader_epoch)
                    .is_ok_and(|leader| leader.partition_epoch() == change.partition_epoch)
        };
        if !self.slot(log).is_some_and(leads) {
            return;
        }
        let assignment =
            Arc::make_mut(&mut self.cluster).partition_mut(&name.topic, name.partition).map(|assignment| {
                assignment.isr.clone_from(&change.isr);
                assignment.partition_epoch = version;
                assignment.clone()
            });
        if let Some(assignment) = assignment {
            self.change(now, log, &assignment, None, out);
        }
    }

    /// What the controller tells may be older than what this broker has written as a leader: that stays.
    pub(super) fn keep_newer_isrs(&self, state: Arc<ClusterState>) -> Arc<ClusterState> {
        let own = self.id();
        let newer = self.partitions().filter_map(|partition| {
            let TopicPartition { topic, partition: index } = &partition.name;
            let known = self.assignment(topic, *index).filter(|known| known.leader == own)?;
            let at = usize::try_from(*index).ok()?;
            let told = state.topics.get(topic).filter(|told| told.id == partition.topic_id)?.partitions.get(at)?;
            let stays = told.leader_epoch == known.leader_epoch && told.partition_epoch < known.partition_epoch;
            stays.then(|| (topic.clone(), *index, known.isr.clone(), known.partition_epoch))
        });
        let newer: Vec<_> = newer.collect();
        let mut state = state;
        for (topic, index, isr, partition_epoch) in newer {
            if let Some(told) = Arc::make_mut(&mut state).partition_mut(&topic, index) {
                (told.isr, told.partition_epoch) = (isr, partition_epoch);
            }
        }
        state
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
