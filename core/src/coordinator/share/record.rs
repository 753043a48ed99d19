//! The records of `__share_group_state`, as Kafka 4.3 lays them out: by share-partition a snapshot of its state, or what
//! has changed since; or a tombstone where the state was deleted.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Key, StateBatch};
use crate::coordinator::wire::{self, Fields, Malformed, Tag, Wire};

/// The types of keys.
const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;
/// The only version of each value. It is flexible.
const VERSION: i16 = 0;

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Snapshot(Key, Snapshot),
    Update(Key, Update),
    Tombstone(Key),
}

/// All that is known of a share-partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// How many snapshots there were before.
    pub snapshot_epoch: i32,
    pub state_epoch: i32,
    pub leader_epoch: i32,
    /// −1 is none yet.
    pub start_offset: i64,
    pub create_ms: i64,
    pub write_ms: i64,
    pub batches: Vec<StateBatch>,
    /// Offsets from the start offset on whose delivery is complete; −1 where it is not told.
    pub delivery_complete_count: i32,
}

/// What has changed since the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub snapshot_epoch: i32,
    pub leader_epoch: i32,
    /// −1 is the one of before.
    pub start_offset: i64,
    pub batches: Vec<StateBatch>,
    pub delivery_complete_count: i32,
}

impl Record {
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let key = |kind, key: &Key| wire::write(kind, VERSION, &WireKey(key.clone()));
        match self {
            Record::Snapshot(of, snapshot) => (key(SNAPSHOT, of), Some(wire::write(VERSION, VERSION, snapshot))),
            Record::Update(of, update) => (key(UPDATE, of), Some(wire::write(VERSION, VERSION, update))),
            Record::Tombstone(of) => (key(SNAPSHOT, of), None),
        }
    }

    /// `Ok(None)` where a newer Kafka wrote what this one does not know.
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        let malformed = |_: Malformed| "a malformed record".to_owned();
        let (kind, key) = wire::prefix(key.ok_or("a record without a key")?).map_err(malformed)?;
        if kind != SNAPSHOT && kind != UPDATE {
            return Ok(None);
        }
        let WireKey(key) = wire::read(VERSION, key).map_err(malformed)?;
        let Some(value) = value else { return Ok((kind == SNAPSHOT).then_some(Record::Tombstone(key))) };
        let (version, value) = wire::prefix(value).map_err(malformed)?;
        if version != VERSION {
            return Ok(None);
        }
        let record = match kind {
            SNAPSHOT => Record::Snapshot(key, wire::read(version, value).map_err(malformed)?),
            _ => Record::Update(key, wire::read(version, value).map_err(malformed)?),
        };
        Ok(Some(record))
    }
}

#[derive(Clone)]
struct WireKey(Key);

impl Default for WireKey {
    fn default() -> WireKey {
        WireKey(Key { group: Arc::from(""), topic_id: Uuid::nil(), partition: 0 })
    }
}

impl Fields for WireKey {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.0.group, false)?;
        wire.uuid(&mut self.0.topic_id)?;
        wire.i32(&mut self.0.partition)
    }
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot {
            snapshot_epoch: 0,
            state_epoch: 0,
            leader_epoch: 0,
            start_offset: -1,
            create_ms: 0,
            write_ms: 0,
            batches: Vec::new(),
            delivery_complete_count: -1,
        }
    }
}

impl Fields for Snapshot {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.snapshot_epoch)?;
        wire.i32(&mut self.state_epoch)?;
        wire.i32(&mut self.leader_epoch)?;
        wire.i64(&mut self.start_offset)?;
        wire.i64(&mut self.create_ms)?;
        wire.i64(&mut self.write_ms)?;
        wire.array(&mut self.batches, true, StateBatch::fields)?;
        tags(&mut self.delivery_complete_count, wire)
    }
}

impl Default for Update {
    fn default() -> Update {
        Update {
            snapshot_epoch: 0,
            leader_epoch: 0,
            start_offset: -1,
            batches: Vec::new(),
            delivery_complete_count: -1,
        }
    }
}

impl Fields for Update {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.snapshot_epoch)?;
        wire.i32(&mut self.leader_epoch)?;
        wire.i64(&mut self.start_offset)?;
        wire.array(&mut self.batches, true, StateBatch::fields)?;
        tags(&mut self.delivery_complete_count, wire)
    }
}

impl StateBatch {
    fn fields(&mut self, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i64(&mut self.first_offset)?;
        wire.i64(&mut self.last_offset)?;
        wire.i8(&mut self.delivery_state)?;
        wire.i16(&mut self.delivery_count)?;
        wire.tags(&mut [])
    }
}

fn tags(delivery_complete_count: &mut i32, wire: &mut Wire) -> Result<(), Malformed> {
    let is_set = *delivery_complete_count != -1;
    wire.tags(&mut [Tag { tag: 0, is_set, field: &mut |wire| wire.i32(delivery_complete_count) }])
}
