//! The records of `__transaction_state`, as Kafka 4.3 lays them out: by transactional id all that is known of its producer
//! and its transaction, or a tombstone where the id has expired.
//!
//! | `transaction.version` | value's version | |
//! | --- | --- | --- |
//! | 0 | 0 | |
//! | 1, 2 | 1 | flexible: with the previous and the next producer id, and the level that the client spoke |

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::coordinator::wire::{self, Fields, Malformed, Tag, Wire};
use crate::id::TopicPartition;
use crate::vec_set::VecSet;

/// The only type of key.
const KEY: i16 = 0;
/// The first version that is flexible.
const FLEXIBLE: i16 = 1;

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: Arc<str>,
    pub value: Option<Arc<Transaction>>,
    /// Of the value.
    pub version: i16,
}

/// A transactional id: its producer, and where its transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub producer_id: i64,
    /// Before the last change; −1 is none.
    pub previous_producer_id: i64,
    /// Which id the producer is told when the transaction is complete, because the epochs of this one are used up; −1 is
    /// none.
    pub next_producer_id: i64,
    pub producer_epoch: i16,
    /// The epoch before, where the producer that asks may be one that got no answer; −1 is none. Not in the log.
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub stage: Stage,
    pub partitions: VecSet<TopicPartition>,
    /// Of the transaction; −1 before there was one.
    pub start_ms: i64,
    pub last_update_ms: i64,
    /// The level of `transaction.version` that the client spoke.
    pub client_version: i8,
}

/// Kafka's `TransactionState`, with its numbers.
///
/// ```text
/// Empty ─[add partitions]─▶ Ongoing ─[end]─▶ PrepareCommit ─[markers]─▶ CompleteCommit ─[add partitions]─▶ Ongoing …
///                              └─[end, fenced, time out]─▶ PrepareAbort ─[markers]─▶ CompleteAbort …
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
}

impl Stage {
    pub const ALL: [Stage; 6] = [
        Stage::Empty,
        Stage::Ongoing,
        Stage::PrepareCommit,
        Stage::PrepareAbort,
        Stage::CompleteCommit,
        Stage::CompleteAbort,
    ];

    /// As DescribeTransactions and ListTransactions name it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Empty => "Empty",
            Stage::Ongoing => "Ongoing",
            Stage::PrepareCommit => "PrepareCommit",
            Stage::PrepareAbort => "PrepareAbort",
            Stage::CompleteCommit => "CompleteCommit",
            Stage::CompleteAbort => "CompleteAbort",
        }
    }

    /// It is decided how the transaction ends, and not told in all partitions.
    pub fn is_ending(self) -> bool {
        matches!(self, Stage::PrepareCommit | Stage::PrepareAbort)
    }
}

impl Record {
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let key = wire::write(KEY, KEY, &Key { id: self.id.clone() });
        let value = self.value.as_ref().map(|value| wire::write(self.version, self.version, &**value));
        (key, value)
    }

    /// `Ok(None)` where a newer Kafka wrote what this one does not know.
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        let malformed = |_: Malformed| "a malformed record".to_owned();
        let (kind, key) = wire::prefix(key.ok_or("a record without a key")?).map_err(malformed)?;
        if kind != KEY {
            return Ok(None);
        }
        let Key { id } = wire::read(KEY, key).map_err(malformed)?;
        let Some(value) = value else { return Ok(Some(Record { id, value: None, version: FLEXIBLE })) };
        let (version, value) = wire::prefix(value).map_err(malformed)?;
        if !(0..=FLEXIBLE).contains(&version) {
            return Ok(None);
        }
        let value = wire::read(version, value).map_err(malformed)?;
        Ok(Some(Record { id, value: Some(Arc::new(value)), version }))
    }
}

#[derive(Clone, Debug, Default)]
struct Key {
    id: Arc<str>,
}

impl Fields for Key {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.id, false)
    }
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            producer_id: -1,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: -1,
            last_producer_epoch: -1,
            timeout_ms: 0,
            stage: Stage::Empty,
            partitions: VecSet::new(),
            start_ms: -1,
            last_update_ms: -1,
            client_version: 0,
        }
    }
}

impl Fields for Transaction {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        let flexible = version >= FLEXIBLE;
        wire.i64(&mut self.producer_id)?;
        wire.i16(&mut self.producer_epoch)?;
        wire.i32(&mut self.timeout_ms)?;
        let mut stage = self.stage as i8;
        wire.i8(&mut stage)?;
        self.stage = Stage::ALL.into_iter().find(|one| *one as i8 == stage).ok_or(Malformed)?;
        let mut topics = self.topics();
        wire.nullable_array(&mut topics, flexible, |topic, wire| topic.fields(version, wire))?;
        self.partitions = topics.into_iter().flatten().flat_map(Topic::partitions).collect();
        wire.i64(&mut self.last_update_ms)?;
        wire.i64(&mut self.start_ms)?;
        if !flexible {
            return Ok(());
        }
        let mut client_version = i16::from(self.client_version);
        wire.tags(&mut [
            Tag {
                tag: 0,
                is_set: self.previous_producer_id != -1,
                field: &mut |wire| wire.i64(&mut self.previous_producer_id),
            },
            Tag {
                tag: 1,
                is_set: self.next_producer_id != -1,
                field: &mut |wire| wire.i64(&mut self.next_producer_id),
            },
            Tag { tag: 2, is_set: client_version != 0, field: &mut |wire| wire.i16(&mut client_version) },
        ])?;
        self.client_version = i8::try_from(client_version).map_err(|_| Malformed)?;
        Ok(())
    }
}

impl Transaction {
    /// An empty transaction has none, which is not the same as an empty list.
    fn topics(&self) -> Option<Vec<Topic>> {
        if self.stage == Stage::Empty {
            return None;
        }
        let mut topics: Vec<Topic> = Vec::new();
        for TopicPartition { topic, partition } in &self.partitions {
            match topics.last_mut().filter(|last| *last.name == *topic.0) {
                Some(last) => last.ids.push(*partition),
                None => topics.push(Topic { name: topic.as_str().into(), ids: vec![*partition] }),
            }
        }
        Some(topics)
    }
}

#[derive(Clone, Debug, Default)]
struct Topic {
    name: Arc<str>,
    ids: Vec<i32>,
}

impl Topic {
    fn partitions(self) -> impl Iterator<Item = TopicPartition> {
        let name = TopicName(StrBytes::from_string(self.name.to_string()));
        self.ids.into_iter().map(move |partition| TopicPartition::new(name.clone(), partition))
    }
}

impl Fields for Topic {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        let flexible = version >= FLEXIBLE;
        wire.string(&mut self.name, flexible)?;
        wire.array(&mut self.ids, flexible, |id, wire| wire.i32(id))?;
        if flexible { wire.tags(&mut []) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that Kafka 4.3 wrote for a producer of `transaction.version` 0, then for one of 2, and their keys.
    const KAFKAS: [(&str, &[&str]); 2] = [
        (
            "00000008662d313533383638",
            &[
                "000000000000000003ea00000000ea6000ffffffff000001a2233745f5ffffffffffffffff",
                "000000000000000003ea00000000ea600100000001000b66656e63653135333836380000000100000000000001a22337461c000001a2\
                 2337461c",
                "000000000000000003ea00010000ea600300000001000b66656e63653135333836380000000100000000000001a2233746e4000001a2\
                 2337461c",
                "000000000000000003ea00010000ea600500000000000001a2233746e5000001a22337461c",
            ],
        ),
        (
            "0000000a6374702d343035313139",
            &[
                "0001000000000000000400000000ea600000000001a2232c4fb0ffffffffffffffff0100080000000000000004",
                "0001000000000000000400000000ea600103135f5f636f6e73756d65725f6f6666736574730200000015000a6f757434303531313902\
                 0000000000000001a2232c555a000001a2232c5540020008000000000000000402020002",
                "0001000000000000000400010000ea600303135f5f636f6e73756d65725f6f6666736574730200000015000a6f757434303531313902\
                 0000000000000001a2232c555e000001a2232c5540020008000000000000000402020002",
                "0001000000000000000400010000ea600501000001a2232c555f000001a2232c5540020008000000000000000402020002",
            ],
        ),
    ];

    fn bytes(hex: &str) -> Bytes {
        let digits = |at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        (0..hex.len() / 2).map(digits).collect::<Vec<u8>>().into()
    }

    fn record(key: &str, value: &str) -> Record {
        Record::decode(Some(bytes(key)), Some(bytes(value))).unwrap().unwrap()
    }

    #[test]
    fn records_have_kafkas_bytes() {
        for (key, values) in KAFKAS {
            for value in values {
                let record = record(key, value);
                assert_eq!(record.encode(), (bytes(key), Some(bytes(value))), "{record:?}");
            }
        }
    }

    #[test]
    fn what_kafka_says_is_understood() {
        let [(old, old_values), (new, new_values)] = KAFKAS;
        let Record { id, value, version } = record(old, old_values[2]);
        let aborted = value.unwrap();
        assert_eq!((&*id, version, aborted.producer_id, aborted.producer_epoch), ("f-153868", 0, 1002, 1));
        assert_eq!((aborted.stage, aborted.timeout_ms, aborted.client_version), (Stage::PrepareAbort, 60_000, 0));
        let open = record(new, new_values[1]).value.unwrap();
        assert_eq!((open.stage, open.client_version, open.previous_producer_id), (Stage::Ongoing, 2, 4));
        let partitions: Vec<String> = open.partitions.iter().map(TopicPartition::to_string).collect();
        assert_eq!(partitions, ["__consumer_offsets-21", "out405119-0"]);
        assert_eq!(open.start_ms - open.last_update_ms, -26);
    }

    #[test]
    fn a_tombstone_forgets_and_what_is_cut_off_or_unknown_is_no_record() {
        let (key, value) = (bytes(KAFKAS[1].0), bytes(KAFKAS[1].1[1]));
        let tombstone = Record::decode(Some(key.clone()), None).unwrap().unwrap();
        assert_eq!((tombstone.value.clone(), tombstone.encode()), (None, (key.clone(), None)));
        for end in 0..value.len() {
            assert!(Record::decode(Some(key.clone()), Some(value.slice(..end))).is_err(), "{end} bytes");
        }
        let newer = [&[0, 9], &value[2..]].concat();
        assert_eq!(Record::decode(Some(key.clone()), Some(newer.into())), Ok(None));
        let other = [&[0, 1], &key[2..]].concat();
        assert_eq!(Record::decode(Some(other.into()), Some(value.clone())), Ok(None));
        assert!(Record::decode(None, Some(value)).is_err());
    }
}
