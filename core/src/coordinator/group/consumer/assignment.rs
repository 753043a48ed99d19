//! Partitions of topics, as groups assign and own them.

use uuid::Uuid;

use super::super::record::{EpochPartitions, TopicPartitions};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What is assigned. Neither a topic without partitions is in it.
pub type Partitions = VecMap<Uuid, VecSet<i32>>;

/// What is owned, and in which epoch each was assigned.
pub type Owned = VecMap<Uuid, VecMap<i32, i32>>;

pub fn from_target(topics: &[TopicPartitions]) -> Partitions {
    topics.iter().map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect()
}

pub fn to_target(partitions: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(id, partitions): (&Uuid, &VecSet<i32>)| TopicPartitions {
        topic_id: *id,
        partitions: partitions.iter().copied().collect(),
    };
    partitions.iter().map(topic).collect()
}

/// `epoch` is that of partitions of which an older Kafka did not say it.
pub fn from_current(topics: &[EpochPartitions], epoch: i32) -> Owned {
    let topic = |topic: &EpochPartitions| {
        let told = topic.assignment_epochs.len() == topic.partitions.len();
        let epoch = |at: usize| if told { topic.assignment_epochs[at] } else { epoch.max(0) };
        let partitions = topic.partitions.iter().enumerate().map(|(at, &partition)| (partition, epoch(at)));
        (topic.topic_id, partitions.collect())
    };
    topics.iter().map(topic).collect()
}

pub fn to_current(owned: &Owned) -> Vec<EpochPartitions> {
    let topic = |(id, partitions): (&Uuid, &VecMap<i32, i32>)| EpochPartitions {
        topic_id: *id,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: partitions.values().copied().collect(),
    };
    owned.iter().map(topic).collect()
}

/// All of it, assigned in `epoch`.
pub fn in_epoch(partitions: &Partitions, epoch: i32) -> Owned {
    let topic = |(id, partitions): (&Uuid, &VecSet<i32>)| {
        (*id, partitions.iter().map(|&partition| (partition, epoch)).collect())
    };
    partitions.iter().map(topic).collect()
}

pub fn without_epochs(owned: &Owned) -> Partitions {
    owned.iter().map(|(id, partitions)| (*id, partitions.keys().copied().collect())).collect()
}

pub fn holds(owned: &Owned, topic: Uuid, partition: i32) -> bool {
    owned.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

/// Every partition of it.
pub fn each(owned: &Owned) -> impl Iterator<Item = (Uuid, i32)> {
    owned.iter().flat_map(|(topic, partitions)| partitions.keys().map(|&partition| (*topic, partition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_that_an_older_kafka_did_not_write_are_the_members() {
        let topic_id = Uuid::from_u128(1);
        let partitions = EpochPartitions { topic_id, partitions: vec![3, 1], assignment_epochs: vec![5, 6] };
        assert_eq!(from_current(std::slice::from_ref(&partitions), 9), [(topic_id, [(1, 6), (3, 5)].into())].into());
        let older = EpochPartitions { assignment_epochs: vec![], ..partitions };
        assert_eq!(from_current(std::slice::from_ref(&older), 9), [(topic_id, [(1, 9), (3, 9)].into())].into());
        assert_eq!(from_current(&[older], -2), [(topic_id, [(1, 0), (3, 0)].into())].into());
    }
}
