//! The offsets that groups have committed, by group, topic and partition; and those that wait for the end of a
//! transaction.
//!
//! 1. An offset that was written later is the newer one, whether or not in a transaction: compaction may leave an older
//!    one behind it.
//! 2. A tombstone takes away what waits for transactions, too.

use std::sync::Arc;

use uuid::Uuid;

use super::record::{OffsetKey, OffsetValue};
use crate::arrange::Arrange;
use crate::coordinator::At;
use crate::id::Offset;
use crate::shared_map::SharedMap;
use crate::time::Timestamp;

/// An offset as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub value: OffsetValue,
    /// Where its record stands in the log.
    record_offset: Offset,
}

pub type Partitions = SharedMap<i32, Arc<Committed>>;
pub type Topics = SharedMap<Arc<str>, Partitions>;

/// Neither a group nor a topic without any is in it.
#[derive(Clone, Debug, Default)]
struct ByGroup(SharedMap<Arc<str>, Topics>);

#[derive(Clone, Debug, Default)]
pub struct Offsets {
    committed: ByGroup,
    /// By producer id: what its open transaction has committed.
    pending: SharedMap<i64, ByGroup>,
    /// The producers whose open transactions have committed an offset there; never none.
    open: SharedMap<OffsetKey, Vec<i64>>,
}

impl Offsets {
    /// What a group has committed.
    pub fn of(&self, group: &str) -> Option<&Topics> {
        self.committed.0.get(group)
    }

    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(group, topic, partition)
    }

    /// An open transaction has committed an offset of that partition.
    pub fn is_pending(&self, key: &OffsetKey) -> bool {
        self.open.contains_key(key)
    }

    /// An open transaction has committed an offset of that group.
    pub fn is_any_pending(&self, group: &Arc<str>) -> bool {
        self.pending_of(group).next().is_some()
    }

    fn pending_of(&self, group: &Arc<str>) -> impl Iterator<Item = &OffsetKey> {
        let first = OffsetKey { group: group.clone(), topic: "".into(), partition: i32::MIN };
        self.open.range_from(&first).map(|(key, _)| key).take_while(move |key| key.group == first.group)
    }

    /// The partitions of which there is anything.
    pub fn partitions(&self, group: &Arc<str>) -> Vec<OffsetKey> {
        let mut keys: Vec<OffsetKey> = self.pending_of(group).cloned().collect();
        for (topic, partitions) in self.of(group).into_iter().flatten() {
            let key = |partition: &i32| OffsetKey { group: group.clone(), topic: topic.clone(), partition: *partition };
            keys.extend(partitions.keys().map(key));
        }
        keys.arrange();
        keys.dedup();
        keys
    }

    /// What there is of a topic that is no more, by every group. An offset that does not say which topic of that name it
    /// was committed for is of any.
    pub fn partitions_of_topic(&self, topic: &str, id: Uuid) -> Vec<OffsetKey> {
        let topic: Arc<str> = topic.into();
        let mut keys = Vec::new();
        for offsets in [&self.committed].into_iter().chain(self.pending.values()) {
            for (group, topics) in &offsets.0 {
                let partitions = topics.get(&topic).into_iter().flatten();
                let of_it = partitions.filter(|(_, committed)| {
                    let of = committed.value.topic_id;
                    of.is_nil() || of == id
                });
                keys.extend(of_it.map(|(&partition, _)| OffsetKey {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition,
                }));
            }
        }
        keys.arrange();
        keys.dedup();
        keys
    }

    pub fn replay(&mut self, key: &OffsetKey, value: Option<&OffsetValue>, at: At) {
        let Some(value) = value else {
            self.committed.remove(key);
            // (2)
            for producer in self.open.remove(key).unwrap_or_default() {
                if let Some(pending) = self.pending.get_mut(&producer) {
                    pending.remove(key);
                }
            }
            return;
        };
        let committed = Arc::new(Committed { value: value.clone(), record_offset: at.offset });
        let Some(producer) = at.producer else { return self.committed.put(key, committed) };
        if !self.pending.contains_key(&producer.id) {
            self.pending.insert(producer.id, ByGroup::default());
        }
        if let Some(pending) = self.pending.get_mut(&producer.id) {
            pending.put(key, committed);
        }
        let mut open = self.open.get(key).cloned().unwrap_or_default();
        if !open.contains(&producer.id) {
            open.push(producer.id);
            self.open.insert(key.clone(), open);
        }
    }

    /// The producer's transaction is over.
    pub fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let Some(pending) = self.pending.remove(&producer_id) else { return };
        for (group, topics) in &pending.0 {
            for (topic, partitions) in topics {
                for (&partition, offset) in partitions {
                    let key = OffsetKey { group: group.clone(), topic: topic.clone(), partition };
                    self.close(&key, producer_id);
                    let before = self.committed.get(group, topic, partition);
                    // (1)
                    if committed && before.is_none_or(|before| before.record_offset < offset.record_offset) {
                        self.committed.put(&key, offset.clone());
                    }
                }
            }
        }
    }

    fn close(&mut self, key: &OffsetKey, producer_id: i64) {
        let mut open = self.open.get(key).cloned().unwrap_or_default();
        open.retain(|id| *id != producer_id);
        if open.is_empty() {
            self.open.remove(key);
        } else {
            self.open.insert(key.clone(), open);
        }
    }
}

impl ByGroup {
    fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(group)?.get(topic)?.get(&partition).map(|committed| &**committed)
    }

    fn put(&mut self, key: &OffsetKey, committed: Arc<Committed>) {
        if !self.0.contains_key(&*key.group) {
            self.0.insert(key.group.clone(), Topics::new());
        }
        let Some(topics) = self.0.get_mut(&*key.group) else { return };
        match topics.get_mut(&*key.topic) {
            Some(partitions) => drop(partitions.insert(key.partition, committed)),
            None => drop(topics.insert(key.topic.clone(), [(key.partition, committed)].into_iter().collect())),
        }
    }

    fn remove(&mut self, key: &OffsetKey) {
        if self.get(&key.group, &key.topic, key.partition).is_none() {
            return;
        }
        let Some(topics) = self.0.get_mut(&*key.group) else { return };
        if let Some(partitions) = topics.get_mut(&*key.topic) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&*key.topic);
            }
        }
        if topics.is_empty() {
            self.0.remove(&*key.group);
        }
    }
}

impl Committed {
    /// Whether it is no longer kept; `base` is when its retention began where it does not say itself when it ends.
    pub fn is_expired(&self, now: Timestamp, base: Timestamp, retention_ms: i64) -> bool {
        match self.value.expire_timestamp {
            -1 => now.0.saturating_sub(base.0) >= retention_ms,
            expires => now.0 >= expires,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Producer;

    fn key(partition: i32) -> OffsetKey {
        OffsetKey { group: "g".into(), topic: "t".into(), partition }
    }

    fn put(offsets: &mut Offsets, partition: i32, offset: i64, record_offset: Offset, producer: Option<i64>) {
        let producer = producer.map(|id| Producer { id, epoch: 0 });
        let value = OffsetValue { offset, ..OffsetValue::default() };
        offsets.replay(&key(partition), Some(&value), At { offset: record_offset, producer });
    }

    fn got(offsets: &Offsets, partition: i32) -> Option<i64> {
        offsets.get("g", "t", partition).map(|committed| committed.value.offset)
    }

    #[test]
    fn what_a_transaction_commits_counts_when_it_is_committed_and_only_over_what_was_written_before() {
        let mut offsets = Offsets::default();
        put(&mut offsets, 0, 10, 0, None);
        put(&mut offsets, 0, 11, 1, Some(7));
        put(&mut offsets, 1, 21, 2, Some(7));
        put(&mut offsets, 1, 22, 3, None);
        assert!(offsets.is_pending(&key(0)) && offsets.is_any_pending(&"g".into()));
        let aborted = {
            let mut offsets = offsets.clone();
            offsets.end_transaction(7, false);
            offsets
        };
        assert_eq!(
            (got(&aborted, 0), got(&aborted, 1), aborted.is_any_pending(&"g".into())),
            (Some(10), Some(22), false)
        );
        offsets.end_transaction(7, true);
        assert_eq!(
            (got(&offsets, 0), got(&offsets, 1), offsets.is_any_pending(&"g".into())),
            (Some(11), Some(22), false)
        );
    }

    #[test]
    fn a_tombstone_takes_what_waits_for_a_transaction_too() {
        let mut offsets = Offsets::default();
        put(&mut offsets, 0, 10, 0, None);
        put(&mut offsets, 0, 11, 1, Some(7));
        put(&mut offsets, 1, 12, 2, Some(8));
        assert_eq!(offsets.partitions(&"g".into()), [key(0), key(1)]);
        offsets.replay(&key(0), None, At { offset: 3, producer: None });
        offsets.end_transaction(7, true);
        assert_eq!((got(&offsets, 0), offsets.of("g").is_none()), (None, true));
        assert_eq!(offsets.partitions(&"g".into()), [key(1)]);
    }
}
