//! What has moved from whom to whom, so that a partition does not go one way while another of its topic goes the other way.

use kafka_protocol::messages::TopicName;

use super::super::java::Partitions;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;

/// From one member to another, by their places.
type Pair = (usize, usize);

#[derive(Default)]
pub struct Moves {
    moves: VecMap<TopicPartition, Pair>,
    by_topic: VecMap<TopicName, VecMap<Pair, Partitions>>,
}

impl Moves {
    /// The partition to move in the place of `partition`: one that came the other way goes back.
    pub fn instead(&self, partition: &TopicPartition, from: usize, to: usize) -> TopicPartition {
        let Some(pairs) = self.by_topic.get(&partition.topic) else { return partition.clone() };
        let from = self.moves.get(partition).map_or(from, |(first, _)| *first);
        pairs.get(&(to, from)).and_then(Partitions::first).unwrap_or(partition).clone()
    }

    pub fn moved(&mut self, partition: &TopicPartition, from: usize, to: usize) {
        let first = match self.moves.remove(partition) {
            Some(pair) => {
                self.forget(partition, pair);
                if pair.0 == to {
                    return;
                }
                pair.0
            }
            None => from,
        };
        self.moves.insert(partition.clone(), (first, to));
        let pairs = self.by_topic.entry(partition.topic.clone()).or_default();
        pairs.entry((first, to)).or_default().insert(partition.clone());
    }

    fn forget(&mut self, partition: &TopicPartition, pair: Pair) {
        let Some(pairs) = self.by_topic.get_mut(&partition.topic) else { return };
        if let Some(partitions) = pairs.get_mut(&pair) {
            partitions.remove(partition);
            if partitions.is_empty() {
                pairs.remove(&pair);
            }
        }
        if pairs.is_empty() {
            self.by_topic.remove(&partition.topic);
        }
    }
}
