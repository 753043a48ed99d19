//! The partitioner: which partition a record goes to.
//!
//! 1. A chosen partition is taken as it is.
//! 2. One key, one partition: murmur2 of the key's bytes, modulo the number of partitions. It says nothing of leaders,
//!    so a key's partition stays the same while its leader is away.
//! 3. By default, without a key, one partition is used until `batch.size` bytes have gone to it and no batch of it waits to be
//!    filled, or twice as many bytes; then another is drawn among those that have a leader, those with shorter queues more often
//!    (KIP-794). Whether a batch waits is looked at before a record is appended, and after.
//!
//! `partitioner.class` names another one: Kafka's `RoundRobinPartitioner`, or a [`Table`], which is such a class as applications
//! write themselves.

use std::sync::Arc;

use super::accumulator::Queues;
use super::serializer::Serialized;
use super::settings::Settings;
use crate::client::metadata::Partition;
use crate::client::serdes::{Part, Serde};
use crate::rng::Stream;
use crate::vec_map::VecMap;

/// `partitioner.class`.
#[derive(Clone, Debug, Default)]
pub enum Class {
    #[default]
    BuiltIn,
    RoundRobin,
    Table(Arc<Table>),
}

impl Class {
    pub fn name(&self) -> &'static str {
        match self {
            Class::BuiltIn => "not set",
            Class::RoundRobin => "RoundRobinPartitioner",
            Class::Table(_) => "TablePartitioner",
        }
    }
}

/// Keys that have partitions of their own. Others are hashed over the partitions that are nobody's own; without a key it is
/// these in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// By their bytes.
    own: VecMap<Vec<u8>, usize>,
}

impl Table {
    /// No partition is higher.
    pub const MAX_PARTITION: usize = 999;

    /// `VIP:0,gold:1`, keys as the application has them.
    pub fn parse(text: &str, serializer: Serde) -> Result<Table, String> {
        let mut own = VecMap::new();
        for entry in text.split(',') {
            let place =
                entry.rsplit_once(':').and_then(|(key, partition)| Some((key, partition.parse::<usize>().ok()?)));
            let Some((key, partition)) = place.filter(|(_, partition)| *partition <= Table::MAX_PARTITION) else {
                let most = Table::MAX_PARTITION;
                return Err(format!(
                    "expected partitioner.table to be keys with partitions up to {most}, such as VIP:0,gold:1, found {text}"
                ));
            };
            let mut bytes = Vec::new();
            serializer.serialize(Part::Key, key.as_bytes(), &mut bytes).map_err(|exception| exception.message)?;
            if own.insert(bytes, partition).is_some() {
                return Err(format!("expected partitioner.table to name the key {key} once"));
            }
        }
        Ok(Table { own })
    }

    fn partition(&self, key: Option<&[u8]>, turn: &mut usize, count: usize) -> usize {
        if let Some(own) = key.and_then(|key| self.own.get(key)) {
            // One that is not there is waited for.
            return *own;
        }
        let shared = || (0..count).filter(|partition| !self.own.values().any(|own| own == partition));
        let among = match shared().count() {
            0 => count,
            shared => shared,
        };
        let place = match key {
            Some(key) => for_key(key, among),
            None => {
                *turn += 1;
                (*turn - 1) % among
            }
        };
        shared().nth(place).unwrap_or(place)
    }
}

/// The partitioner's memory for one topic.
#[derive(Clone, Debug, Default)]
pub struct Partitioner {
    /// The partition that records without a key go to now, and the bytes that have gone there.
    sticky: Option<(usize, usize)>,
    /// Of records that have none of their own.
    turn: usize,
}

impl Partitioner {
    /// The partition of a record, and whether it is the sticky one.
    pub fn partition(
        &mut self,
        settings: &Settings,
        record: &Serialized<'_>,
        partitions: &[Partition],
        queues: &Queues,
        dice: &mut Stream,
    ) -> (usize, bool) {
        let key = record.key;
        match &settings.partitioner {
            Class::BuiltIn => {}
            Class::RoundRobin => {
                let available: Vec<usize> = available(partitions).collect();
                let turn = self.turn;
                self.turn += 1;
                let place = available.get(turn % available.len().max(1)).copied();
                return (place.unwrap_or(turn % partitions.len()), false);
            }
            Class::Table(table) => return (table.partition(key, &mut self.turn, partitions.len()), false),
        }
        if let Some(key) = key
            && !settings.ignore_keys
        {
            return (for_key(key, partitions.len()), false);
        }
        let sticky = match self.sticky {
            Some((partition, produced))
                if partition < partitions.len()
                    && (produced < settings.batch_size.max(1) || queues.waits_for(partition, record)) =>
            {
                partition
            }
            _ => {
                let partition = draw(settings, partitions, queues, dice);
                self.sticky = Some((partition, 0));
                partition
            }
        };
        (sticky, true)
    }

    /// That many bytes went to the sticky partition; `may_switch` unless a batch there still waits to be filled. (3)
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

    #[test]
    fn a_table_gives_keys_their_own_partitions_and_hashes_others_over_the_rest() {
        let table = Table::parse("VIP:1,gold:7", Serde::String).unwrap();
        let mut turn = 0;
        let mut of = |key: Option<&str>, count| table.partition(key.map(str::as_bytes), &mut turn, count);
        assert_eq!((of(Some("VIP"), 3), of(Some("gold"), 3)), (1, 7));
        for key in ["a", "b", "c", "d"] {
            assert_eq!(of(Some(key), 3), [0, 2][for_key(key.as_bytes(), 2)]);
        }
        assert_eq!([(); 3].map(|()| of(None, 3)), [0, 2, 0]);
        // Nothing is left for others: they share.
        let table = Table::parse("1:0", Serde::Integer).unwrap();
        assert_eq!(table.partition(Some(b"x"), &mut turn, 1), 0);
        assert_eq!(table.partition(Some(&[0, 0, 0, 1]), &mut turn, 1), 0);
    }

    #[test]
    fn a_table_that_says_nothing_is_refused() {
        for (text, serializer, why) in [
            ("VIP", Serde::String, "such as VIP:0,gold:1, found VIP"),
            ("VIP:1000", Serde::String, "partitions up to 999"),
            ("", Serde::String, "partitions up to 999"),
            ("a:0,a:1", Serde::String, "to name the key a once"),
            ("VIP:0", Serde::Long, "Can't convert key of class java.lang.String"),
        ] {
            let refused = Table::parse(text, serializer).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

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
