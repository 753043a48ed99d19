//! The order in which Java's hash maps give what is in them, where it decides.
//!
//! Entries come by bucket, and within a bucket in the order in which they were put in: a table that grows splits its
//! buckets and keeps the order.

use crate::arrange::Arrange;
use crate::id::TopicPartition;

/// The smallest table.
const LEAST: usize = 16;

/// Things in the order in which a `HashMap` gives them that they were put into, one after the other, by `key`.
pub fn in_order<T>(things: &[T], key: impl Fn(&T) -> &str) -> Vec<&T> {
    let buckets = buckets(things.len());
    let mut ordered: Vec<&T> = things.iter().collect();
    ordered.arrange_by_key(|thing| bucket(of_string(key(thing)), buckets));
    ordered
}

/// A `HashSet` of partitions, of which only the first is asked for.
#[derive(Default)]
pub struct Partitions {
    /// In the order in which they were put in.
    partitions: Vec<TopicPartition>,
    /// How many there ever were at once: a table does not shrink.
    most: usize,
}

impl Partitions {
    pub fn insert(&mut self, partition: TopicPartition) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
            self.most = self.most.max(self.partitions.len());
        }
    }

    pub fn remove(&mut self, partition: &TopicPartition) {
        self.partitions.retain(|one| one != partition);
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub fn first(&self) -> Option<&TopicPartition> {
        let buckets = buckets(self.most);
        self.partitions.iter().min_by_key(|partition| bucket(of_partition(partition), buckets))
    }
}

/// Three quarters of a table's buckets may be used.
fn buckets(entries: usize) -> usize {
    let mut buckets = LEAST;
    while entries * 4 > buckets * 3 {
        buckets *= 2;
    }
    buckets
}

fn bucket(hash: u32, buckets: usize) -> usize {
    (hash ^ hash >> 16) as usize & (buckets - 1)
}

/// `String.hashCode`.
fn of_string(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// `TopicPartition.hashCode`.
fn of_partition(partition: &TopicPartition) -> u32 {
    31_u32.wrapping_add(partition.partition as u32).wrapping_mul(31).wrapping_add(of_string(&partition.topic))
}
