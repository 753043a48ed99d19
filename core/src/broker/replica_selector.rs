//! Which replica a consumer should read from (KIP-392).

use kafka_protocol::protocol::StrBytes;

use super::Broker;
use crate::id::{BrokerId, Offset};
use crate::partition::{Partition, Role};

impl Broker {
    /// Kafka's `RackAwareReplicaSelector`: of the followers in the consumer's rack that are in sync and have the offset,
    /// the one that is the furthest. `None` is the leader, which it is also where the leader is in that rack.
    pub(super) fn preferred_read_replica(
        &self,
        partition: &Partition,
        rack: &StrBytes,
        offset: Offset,
    ) -> Option<BrokerId> {
        let Role::Leader(leader) = &partition.role else { return None };
        let own_rack = self.config.registration.rack.as_deref();
        if rack.is_empty() || !self.settings.selects_replicas_by_rack || own_rack == Some(rack.as_str()) {
            return None;
        }
        let in_rack = |id: &BrokerId| {
            self.cluster.brokers.get(id).is_some_and(|broker| broker.rack.as_deref() == Some(rack.as_str()))
        };
        let followers = leader.followers().iter().filter(|(id, follower)| {
            follower.in_sync && follower.end >= offset && follower.log_start <= offset && in_rack(id)
        });
        followers.max_by_key(|(id, follower)| (follower.end, follower.caught_up_at, **id)).map(|(id, _)| *id)
    }
}
