//! The records of `__consumer_offsets`, as Kafka 4.3 lays them out.
//!
//! | type | record | value's versions | written as |
//! | --- | --- | --- | --- |
//! | 0, 1 | an offset that is committed | 0 … 4 | 4; 1 where it says when it expires |
//! | 2 | a classic group | 0 … 4 | 3 |
//! | 3 | a consumer group: its epoch | 0 | 0 |
//! | 4 | a consumer group's topics, which older Kafkas kept | 0 | never; a tombstone where a group goes |
//! | 5 | a member: what it wants | 0 | 0 |
//! | 6 | of which epoch the target assignment is | 0 | 0 |
//! | 7 | a member: what it should have | 0 | 0 |
//! | 8 | a member: what it has | 0 | 0 |
//! | 16 | the topics that a regular expression means | 0 | 0 |
//!
//! Share groups have those of `share.rs`; Streams groups have records of other types, which are passed over.

pub mod share;

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use self::share::ShareRecord;
use crate::coordinator::wire::{self, Fields, Malformed, Tag, Wire};

/// A record: its key, and its value or a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Offset(OffsetKey, Option<OffsetValue>),
    Group(Arc<str>, Option<GroupValue>),
    Epoch(Arc<str>, Option<EpochValue>),
    /// Of it, only that it is there.
    Topics(Arc<str>, bool),
    Member(MemberKey, Option<MemberValue>),
    TargetEpoch(Arc<str>, Option<TargetEpochValue>),
    Target(MemberKey, Option<TargetValue>),
    Current(MemberKey, Option<CurrentValue>),
    Regex(RegexKey, Option<RegexValue>),
    Share(ShareRecord),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    pub group: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    pub offset: i64,
    /// −1 is none.
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
    pub commit_timestamp: i64,
    /// −1 where the broker's settings say it.
    pub expire_timestamp: i64,
    pub topic_id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    pub protocol_type: Arc<str>,
    pub generation: i32,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    /// −1 is none.
    pub current_state_timestamp: i64,
    pub members: Vec<ClassicMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    pub member_id: Arc<str>,
    pub group_instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    /// −1 before version 1: the session timeout.
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochValue {
    pub epoch: i32,
    pub metadata_hash: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberKey {
    pub group: Arc<str>,
    pub member: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub instance_id: Option<Arc<str>>,
    pub rack_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub subscribed_topic_names: Vec<Arc<str>>,
    pub subscribed_topic_regex: Option<Arc<str>>,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<Arc<str>>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMetadata {
    pub session_timeout_ms: i32,
    pub supported_protocols: Vec<ClassicProtocol>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicProtocol {
    pub name: Arc<str>,
    pub metadata: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetEpochValue {
    pub assignment_epoch: i32,
    pub assignment_timestamp: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetValue {
    pub topic_partitions: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentValue {
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    pub state: i8,
    pub assigned_partitions: Vec<EpochPartitions>,
    pub partitions_pending_revocation: Vec<EpochPartitions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// Partitions, and in which epoch each of them was assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
    /// Empty where an older Kafka wrote it.
    pub assignment_epochs: Vec<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegexKey {
    pub group: Arc<str>,
    pub regex: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegexValue {
    pub topics: Vec<Arc<str>>,
    /// The version of the cluster's metadata that it was looked up in.
    pub version: i64,
    pub timestamp: i64,
}

impl Record {
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Record::Offset(key, value) => {
                let version = |value: &OffsetValue| if value.expire_timestamp == -1 { 4 } else { 1 };
                (wire::write(1, 0, key), value.as_ref().map(|value| wire::write(version(value), version(value), value)))
            }
            Record::Group(id, value) => (id_key(2, id), value.as_ref().map(|value| wire::write(3, 3, value))),
            Record::Epoch(id, value) => (id_key(3, id), zero(value)),
            Record::Topics(id, _) => (id_key(4, id), None),
            Record::Member(key, value) => (wire::write(5, 0, key), zero(value)),
            Record::TargetEpoch(id, value) => (id_key(6, id), zero(value)),
            Record::Target(key, value) => (wire::write(7, 0, key), zero(value)),
            Record::Current(key, value) => (wire::write(8, 0, key), zero(value)),
            Record::Regex(key, value) => (wire::write(16, 0, key), zero(value)),
            Record::Share(record) => record.encode(),
        }
    }

    /// `None` for a type that is passed over.
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        let (kind, key) = wire::prefix(key.unwrap_or_default()).map_err(|_| "a record without a key".to_owned())?;
        let wrong = |_| format!("a record of type {kind} is malformed");
        let record = match kind {
            0 | 1 => Record::Offset(read_key(key).map_err(wrong)?, read_value(value, if kind == 0 { 0 } else { 4 })?),
            2 => Record::Group(read_id(key).map_err(wrong)?, read_value(value, 4)?),
            3 => Record::Epoch(read_id(key).map_err(wrong)?, read_value(value, 0)?),
            4 => Record::Topics(read_id(key).map_err(wrong)?, value.is_some()),
            5 => Record::Member(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            6 => Record::TargetEpoch(read_id(key).map_err(wrong)?, read_value(value, 0)?),
            7 => Record::Target(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            8 => Record::Current(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            16 => Record::Regex(read_key(key).map_err(wrong)?, read_value(value, 0)?),
            _ => return Ok(ShareRecord::decode(kind, key, value)?.map(Record::Share)),
        };
        Ok(Some(record))
    }
}

/// The key that is a group's id alone.
#[derive(Clone, Default)]
struct IdKey(Arc<str>);

fn id_key(kind: i16, id: &Arc<str>) -> Bytes {
    wire::write(kind, 0, &IdKey(id.clone()))
}

fn read_id(key: Bytes) -> Result<Arc<str>, Malformed> {
    wire::read::<IdKey>(0, key).map(|key| key.0)
}

fn read_key<T: Fields>(key: Bytes) -> Result<T, Malformed> {
    wire::read(0, key)
}

fn zero<T: Fields>(value: &Option<T>) -> Option<Bytes> {
    value.as_ref().map(|value| wire::write(0, 0, value))
}

fn read_value<T: Fields>(value: Option<Bytes>, newest: i16) -> Result<Option<T>, String> {
    let Some(value) = value else { return Ok(None) };
    let malformed = |_| "a value is malformed".to_owned();
    let (version, value) = wire::prefix(value).map_err(malformed)?;
    if !(0..=newest).contains(&version) {
        return Err(format!("a value has the version {version}, and {newest} is the newest known"));
    }
    wire::read(version, value).map(Some).map_err(malformed)
}

fn topic_names(wire: &mut Wire, names: &mut Vec<Arc<str>>) -> Result<(), Malformed> {
    wire.array(names, true, |name, wire| wire.string(name, true))
}

impl Fields for IdKey {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.0, false)
    }
}

impl Fields for OffsetKey {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.group, false)?;
        wire.string(&mut self.topic, false)?;
        wire.i32(&mut self.partition)
    }
}

impl Default for OffsetValue {
    fn default() -> Self {
        OffsetValue {
            offset: 0,
            leader_epoch: -1,
            metadata: "".into(),
            commit_timestamp: 0,
            expire_timestamp: -1,
            topic_id: Uuid::nil(),
        }
    }
}

impl Fields for OffsetValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        let flexible = version >= 4;
        wire.i64(&mut self.offset)?;
        if version >= 3 {
            wire.i32(&mut self.leader_epoch)?;
        }
        wire.string(&mut self.metadata, flexible)?;
        wire.i64(&mut self.commit_timestamp)?;
        if version == 1 {
            wire.i64(&mut self.expire_timestamp)?;
        }
        if flexible {
            let is_set = !self.topic_id.is_nil();
            wire.tags(&mut [Tag { tag: 0, is_set, field: &mut |wire| wire.uuid(&mut self.topic_id) }])?;
        }
        Ok(())
    }
}

impl Default for GroupValue {
    fn default() -> Self {
        GroupValue {
            protocol_type: "".into(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: -1,
            members: Vec::new(),
        }
    }
}

impl Fields for GroupValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        let flexible = version >= 4;
        wire.string(&mut self.protocol_type, flexible)?;
        wire.i32(&mut self.generation)?;
        wire.nullable_string(&mut self.protocol, flexible)?;
        wire.nullable_string(&mut self.leader, flexible)?;
        if version >= 2 {
            wire.i64(&mut self.current_state_timestamp)?;
        }
        wire.array(&mut self.members, flexible, |member, wire| member.fields(version, wire))?;
        if flexible { wire.tags(&mut []) } else { Ok(()) }
    }
}

impl Default for ClassicMember {
    fn default() -> Self {
        ClassicMember {
            member_id: "".into(),
            group_instance_id: None,
            client_id: "".into(),
            client_host: "".into(),
            rebalance_timeout: -1,
            session_timeout: 0,
            subscription: Bytes::new(),
            assignment: Bytes::new(),
        }
    }
}

impl Fields for ClassicMember {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        let flexible = version >= 4;
        wire.string(&mut self.member_id, flexible)?;
        if version >= 3 {
            wire.nullable_string(&mut self.group_instance_id, flexible)?;
        }
        wire.string(&mut self.client_id, flexible)?;
        wire.string(&mut self.client_host, flexible)?;
        if version >= 1 {
            wire.i32(&mut self.rebalance_timeout)?;
        }
        wire.i32(&mut self.session_timeout)?;
        wire.bytes(&mut self.subscription, flexible)?;
        wire.bytes(&mut self.assignment, flexible)?;
        if flexible { wire.tags(&mut []) } else { Ok(()) }
    }
}

impl Fields for EpochValue {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.epoch)?;
        let is_set = self.metadata_hash != 0;
        wire.tags(&mut [Tag { tag: 0, is_set, field: &mut |wire| wire.i64(&mut self.metadata_hash) }])
    }
}

impl Fields for MemberKey {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.group, false)?;
        wire.string(&mut self.member, false)
    }
}

impl Default for MemberValue {
    fn default() -> Self {
        MemberValue {
            instance_id: None,
            rack_id: None,
            client_id: "".into(),
            client_host: "".into(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: None,
            rebalance_timeout_ms: -1,
            server_assignor: None,
            classic: None,
        }
    }
}

impl Fields for MemberValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.nullable_string(&mut self.instance_id, true)?;
        wire.nullable_string(&mut self.rack_id, true)?;
        wire.string(&mut self.client_id, true)?;
        wire.string(&mut self.client_host, true)?;
        topic_names(wire, &mut self.subscribed_topic_names)?;
        wire.nullable_string(&mut self.subscribed_topic_regex, true)?;
        wire.i32(&mut self.rebalance_timeout_ms)?;
        wire.nullable_string(&mut self.server_assignor, true)?;
        wire.tags(&mut [Tag { tag: 0, is_set: true, field: &mut |wire| wire.nullable(&mut self.classic, version) }])
    }
}

impl Fields for ClassicMetadata {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.session_timeout_ms)?;
        wire.array(&mut self.supported_protocols, true, |protocol, wire| protocol.fields(version, wire))?;
        wire.tags(&mut [])
    }
}

impl Fields for ClassicProtocol {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.name, true)?;
        wire.bytes(&mut self.metadata, true)?;
        wire.tags(&mut [])
    }
}

impl Fields for TargetEpochValue {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.assignment_epoch)?;
        let is_set = self.assignment_timestamp != 0;
        wire.tags(&mut [Tag { tag: 0, is_set, field: &mut |wire| wire.i64(&mut self.assignment_timestamp) }])
    }
}

impl Fields for TargetValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.array(&mut self.topic_partitions, true, |topic, wire| topic.fields(version, wire))?;
        wire.tags(&mut [])
    }
}

impl Fields for CurrentValue {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.i32(&mut self.member_epoch)?;
        wire.i32(&mut self.previous_member_epoch)?;
        wire.i8(&mut self.state)?;
        wire.array(&mut self.assigned_partitions, true, |topic, wire| topic.fields(version, wire))?;
        wire.array(&mut self.partitions_pending_revocation, true, |topic, wire| topic.fields(version, wire))?;
        wire.tags(&mut [])
    }
}

impl Fields for TopicPartitions {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.uuid(&mut self.topic_id)?;
        wire.array(&mut self.partitions, true, |partition, wire| wire.i32(partition))?;
        wire.tags(&mut [])
    }
}

impl Fields for EpochPartitions {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.uuid(&mut self.topic_id)?;
        wire.array(&mut self.partitions, true, |partition, wire| wire.i32(partition))?;
        let is_set = !self.assignment_epochs.is_empty();
        let epochs = &mut self.assignment_epochs;
        let mut field = |wire: &mut Wire| wire.array(epochs, true, |epoch, wire| wire.i32(epoch));
        wire.tags(&mut [Tag { tag: 0, is_set, field: &mut field }])
    }
}

impl Fields for RegexKey {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        wire.string(&mut self.group, false)?;
        wire.string(&mut self.regex, false)
    }
}

impl Fields for RegexValue {
    fn fields(&mut self, _version: i16, wire: &mut Wire) -> Result<(), Malformed> {
        topic_names(wire, &mut self.topics)?;
        wire.i64(&mut self.version)?;
        wire.i64(&mut self.timestamp)?;
        wire.tags(&mut [])
    }
}

#[cfg(test)]
mod tests;
