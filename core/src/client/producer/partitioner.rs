//! The partitioner: which partition a record goes to.
//!
//! 1. A chosen partition is taken as it is.
//! 2. One key, one partition: murmur2 of the key's bytes, modulo the number of partitions. It says nothing of leaders,
//!    so a key's partition stays the same while its leader is away.
//! 3. Without a key, one partition is used until `batch.size` bytes have gone to it and its batch is full, then another
//!    is drawn among those that have a leader, those with shorter queues more often (KIP-794).

use super::accumulator::Queues;
use super::settings::Settings;
use crate::client::metadata::Partition;
use crate::rng::Stream;

/// The partitioner's memory for one topic.
#[derive(Clone, Debug, Default)]
pub struct Partitioner {
    /// The partition that records without a key go to now, and the bytes that have gone there.
    sticky: Option<(usize, usize)>,
    /// `RoundRobinPartitioner`'s.
    turn: usize,
}

impl Partitioner {
    /// The partition of a record, and whether it is the sticky one.
    pub fn partition(
        &mut self,
        settings: &Settings,
        key: Option<&[u8]>,
        partitions: &[Partition],
        queues: &Queues,
        dice: &mut Stream,
    ) -> (usize, bool) {
        if settings.round_robin {
            let available: Vec<usize> = available(partitions).collect();
            let turn = self.turn;
            self.turn += 1;
            let place = available.get(turn % available.len().max(1)).copied();
            return (place.unwrap_or(turn % partitions.len()), false);
        }
        if let Some(key) = key
            && !settings.ignore_keys
        {
            return (for_key(key, partitions.len()), false);
        }
        let sticky = match self.sticky {
            Some((partition, _)) if partition < partitions.len() => partition,
            _ => {
                let partition = draw(settings, partitions, queues, dice);
                self.sticky = Some((partition, 0));
                partition
            }
        };
        (sticky, true)
    }

    /// That many bytes went to the sticky partition; `may_switch` unless a batch there still waits to be filled.
    pub fn produced(
        &mut self,
        settings: &Settings,
        bytes: usize,
        may_switch: bool,
        partitions: &[Partition],
        queues: &Queues,
        dice: &mut Stream,
    ) {
        let Some((_, produced)) = &mut self.sticky else { return };
        *produced += bytes;
        let size = settings.batch_size.max(1);
        if *produced >= size && may_switch || *produced >= size * 2 {
            self.sticky = Some((draw(settings, partitions, queues, dice), 0));
        }
    }

    /// The partition that records without a key go to.
    pub fn sticky(&self) -> Option<usize> {
        self.sticky.map(|(partition, _)| partition)
    }
}

fn available(partitions: &[Partition]) -> impl Iterator<Item = usize> {
    partitions.iter().enumerate().filter(|(_, partition)| partition.leader.is_some()).map(|(index, _)| index)
}

/// (3)
fn draw(settings: &Settings, partitions: &[Partition], queues: &Queues, dice: &mut Stream) -> usize {
    let longest = available(partitions).map(|partition| queues.len(partition)).max();
    let Some(longest) = longest else { return dice.below(partitions.len() as u64) as usize };
    let weight = |partition| if settings.adaptive { longest + 1 - queues.len(partition) } else { 1 };
    let mut rest = dice.below(available(partitions).map(weight).sum::<usize>() as u64) as usize;
    available(partitions)
        .find(|partition| match rest.checked_sub(weight(*partition)) {
            Some(left) => {
                rest = left;
                false
            }
            None => true,
        })
        .unwrap_or(0)
}

/// (2) `Utils.toPositive(Utils.murmur2(key)) % partitions`.
pub fn for_key(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// MurmurHash2, 32 bits, with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Apache Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn keys_hash_as_in_kafka() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
