//! The last offset of every key, as Kafka's `SkimpyOffsetMap`: 24 bytes a key, of which only the MD5 is kept.
//!
//! 1. It holds at most as many keys as its memory has room for; the caller stops well before (the load factor).
//! 2. No more memory than that is ever taken: while it holds few keys the table is small and grows, from a sixteenth of
//!    its room on it is as large as it will ever be.

use std::fmt;

use md5::{Digest, Md5};

use crate::id::Offset;

/// Bytes of a key and its offset.
const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
const FIRST_SLOTS: usize = 1_024;
const EMPTY: Slot = Slot { key: [0; 2], offset: -1 };

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The MD5.
    key: [u64; 2],
    /// −1 where there is nothing.
    offset: Offset,
}

#[derive(Clone)]
pub struct OffsetMap {
    table: Vec<Slot>,
    /// Of the table when it is as large as it may be.
    room: usize,
    len: usize,
    latest: Offset,
}

impl OffsetMap {
    /// One that takes at most so many bytes.
    pub fn new(bytes: u64) -> OffsetMap {
        let room = usize::try_from(bytes / SLOT_BYTES).unwrap_or(usize::MAX).max(1);
        OffsetMap { table: vec![EMPTY; FIRST_SLOTS.min(room)], room, len: 0, latest: -1 }
    }

    /// Keys that there is room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Everything up to and with that offset is in it.
    pub fn latest(&self) -> Offset {
        self.latest
    }

    pub fn set_latest(&mut self, offset: Offset) {
        self.latest = offset;
    }

    /// `offset` is the key's last so far. A full map takes no new key.
    pub fn put(&mut self, key: &[u8], offset: Offset) {
        let hash = hash(key);
        let mut at = self.find(hash);
        if self.table[at].offset < 0 {
            if self.len + 1 > self.table.len() / 8 * 7 && self.table.len() < self.room {
                self.grow();
                at = self.find(hash);
            }
            self.len += 1;
        } else if self.table[at].key != hash {
            // It is full, and this is another key's place.
            return;
        }
        self.table[at] = Slot { key: hash, offset };
        self.latest = offset;
    }

    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let hash = hash(key);
        let slot = self.table[self.find(hash)];
        (slot.offset >= 0 && slot.key == hash).then_some(slot.offset)
    }

    /// Where the key is, or would be; in a full table that lacks it, where another is.
    fn find(&self, hash: [u64; 2]) -> usize {
        let mut at = ((u128::from(hash[0]) * self.table.len() as u128) >> 64) as usize;
        for _ in 0..self.table.len() {
            let slot = &self.table[at];
            if slot.offset < 0 || slot.key == hash {
                break;
            }
            at = if at + 1 == self.table.len() { 0 } else { at + 1 };
        }
        at
    }

    /// (2)
    fn grow(&mut self) {
        let larger = self.table.len() * 2;
        let len = if larger > self.room / 16 { self.room } else { larger };
        let old = std::mem::replace(&mut self.table, vec![EMPTY; len]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let at = self.find(slot.key);
            self.table[at] = slot;
        }
    }
}

impl fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OffsetMap").field("len", &self.len).field("latest", &self.latest).finish_non_exhaustive()
    }
}

fn hash(key: &[u8]) -> [u64; 2] {
    let digest: [u8; 16] = Md5::digest(key).into();
    let word = |at: usize| u64::from_be_bytes(digest[at..at + 8].try_into().expect("eight bytes"));
    [word(0), word(8)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use crate::vec_map::VecMap;

    #[test]
    fn it_remembers_the_last_offset_of_every_key() {
        let mut dice = Seed(3).stream("map");
        let (mut map, mut model) = (OffsetMap::new(24 * 40_000), VecMap::new());
        for offset in 0..60_000 {
            let key = dice.below(30_000).to_string();
            map.put(key.as_bytes(), offset);
            model.insert(key, offset);
        }
        assert_eq!((map.len(), map.latest(), map.room()), (model.len(), 59_999, 40_000));
        for key in 0..31_000 {
            let key = key.to_string();
            assert_eq!(map.get(key.as_bytes()), model.get(&key).copied());
        }
    }

    #[test]
    fn a_full_one_takes_no_new_key_and_no_more_memory() {
        let mut map = OffsetMap::new(24 * 100);
        (0..200_u8).for_each(|key| map.put(&[key], key.into()));
        assert_eq!((map.len(), map.table.len(), map.latest()), (100, 100, 99));
        map.put(&[7], 500);
        assert_eq!((map.get(&[7]), map.get(&[150]), map.latest()), (Some(500), None, 500));
    }

    #[test]
    fn few_keys_take_little_of_the_memory() {
        let mut map = OffsetMap::new(128 << 20);
        (0..5_000_u32).for_each(|key| map.put(&key.to_be_bytes(), key.into()));
        assert!(map.table.len() <= 8_192, "{}", map.table.len());
    }
}
