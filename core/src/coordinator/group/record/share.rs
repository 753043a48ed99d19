//! The records of share groups (KIP-932).
//!
//! | type | record | value's versions | written as |
//! | --- | --- | --- | --- |
//! | 10 | a member: what it wants | 0 | 0 |
//! | 11 | a share group: its epoch | 0 | 0 |
//! | 12 | of which epoch the target assignment is | 0 | 0 |
//! | 13 | a member: what it should have | 0 | 0 |
//! | 14 | a member: what it has | 0 | 0 |
//! | 15 | the partitions of which share coordinators keep a state for the group | 0 | 0 |

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{MemberKey, TargetEpochValue, TargetValue, TopicPartitions, id_key, read_id, read_key, read_value, zero};
use crate::coordinator::wire::{self, Fields, Malformed, Wire};

/// A record: its key, and its value or a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareRecord {
    Member(MemberKey, Option<MemberValue>),
    Epoch(Arc<str>, Option<EpochValue>),
    TargetEpoch(Arc<str>, Option<TargetEpochValue>),
    Target(MemberKey, Option<TargetValue>),
    Current(MemberKey, Option<CurrentValue>),
    States(Arc<str>, Option<StatesValue>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberValue {
    pub rack_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub subscribed_topic_names: Vec<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochValue {
    pub epoch: i32,
    pub metadata_hash: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentValue {
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    pub state: i8,
    pub assigned_partitions: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatesValue {
    pub initializing_topics: Vec<NamedPartitions>,
    pub initialized_topics: Vec<NamedPartitions>,
    pub deleting_topics: Vec<NamedTopic>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedPartitions {
    pub topic_id: Uuid,
    pub topic_name: Arc<str>,
    pub partitions: Vec<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedTopic {
    pub topic_id: Uuid,
    pub topic_name: Arc<str>,
}

impl ShareRecord {
    pub fn group(&self) -> &Arc<str> {
        match self {
            ShareRecord::Member(key, _) | ShareRecord::Target(key, _) | ShareRecord::Current(key, _) => &key.group,
            ShareRecord::Epoch(id, _) | ShareRecord::TargetEpoch(id, _) | ShareRecord::States(id, _) => id,
        }
    }

    pub fn is_tombstone(&self) -> bool {
        match self {
            ShareRecord::Member(_, value) => value.is_none(),
            ShareRecord::Epoch(_, value) => value.is_none(),
            ShareRecord::TargetEpoch(_, value) => value.is_none(),
            ShareRecord::Target(_, value) => value.is_none(),
            ShareRecord::Current(_, value) => value.is_none(),
            ShareRecord::States(_, value) => value.is_none(),
        }
    }

    pub(super) fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            ShareRecord::Member(key, value) => (wire::write(10, 0, key), zero(value)),
            ShareRecord::Epoch(id, value) => (id_key(11, id), zero(value)),
            ShareRecord::TargetEpoch(id, value) => (id_key(12, id), zero(value)),
            ShareRecord::Target(key, value) => (wire::write(13, 0, key), zero(value)),
            ShareRecord::Current(key, value) => (wire::write(14, 0, key), zero(value)),
            ShareRecord::States(id, value) => (id_key(15, id), zero(value)),
        }
    }

    /// `None` for a type that is none of these.
    pub(super) fn decode(kind: i16, key: Bytes, value: Option<Bytes>) -> Result<Option<ShareRecord>, String> {
        let wrong = |_| format!("a record of type {kind} is malformed");
        Ok(Some(match kind {
            10 => ShareRecord::Member(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            11 => ShareRecord::Epoch(read_id(key).map_err(wrong)?, read_value(value, 0)?),
            12 => ShareRecord::TargetEpoch(read_id(key).map_err(wrong)?, read_value(value, 0)?),
            13 => ShareRecord::Target(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            14 => ShareRecord::Current(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            15 => ShareRecord::States(read_id(key).map_err(wrong)?, read_value(value, 0)?),
            _ => return Ok(None),
        }))
    }
}

impl Fields for MemberValue {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.nullable_string(&mut self.rack_id, true)?;
        wire.string(&mut self.client_id, true)?;
        wire.string(&mut self.client_host, true)?;
        super::topic_names(wire, &mut self.subscribed_topic_names)?;
        wire.tags(&mut [])
    }
}

impl Fields for EpochValue {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.epoch)?;
        wire.i64(&mut self.metadata_hash)?;
        wire.tags(&mut [])
    }
}

impl Fields for CurrentValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.member_epoch)?;
        wire.i32(&mut self.previous_member_epoch)?;
        wire.i8(&mut self.state)?;
        wire.array(&mut self.assigned_partitions, true, |topic, wire| topic.fields(version, wire))?;
        wire.tags(&mut [])
    }
}

impl Fields for StatesValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.array(&mut self.initializing_topics, true, |topic, wire| topic.fields(version, wire))?;
        wire.array(&mut self.initialized_topics, true, |topic, wire| topic.fields(version, wire))?;
        wire.array(&mut self.deleting_topics, true, |topic, wire| topic.fields(version, wire))?;
        wire.tags(&mut [])
    }
}

impl Fields for NamedPartitions {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.uuid(&mut self.topic_id)?;
        wire.string(&mut self.topic_name, true)?;
        wire.array(&mut self.partitions, true, |partition, wire| wire.i32(partition))?;
        wire.tags(&mut [])
    }
}

impl Fields for NamedTopic {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.uuid(&mut self.topic_id)?;
        wire.string(&mut self.topic_name, true)?;
        wire.tags(&mut [])
    }
}
