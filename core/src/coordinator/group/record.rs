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
//! Share groups and Streams groups have records of other types, which are passed over.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

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
            _ => return Ok(None),
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
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Bytes {
        (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect::<Vec<u8>>()
            .into()
    }

    /// The record, which is written again as Kafka wrote it.
    fn same(key: &str, value: &str) -> Record {
        let (key, value) = (bytes(key), bytes(value));
        let record = Record::decode(Some(key.clone()), Some(value.clone())).unwrap().unwrap();
        assert_eq!(record.encode(), (key, Some(value)), "{record:?}");
        record
    }

    #[test]
    fn what_kafka_4_3_wrote_is_read_and_written_the_same() {
        let Record::Offset(key, Some(value)) = same(
            "000100036b69700002743300000000",
            "0004000000000000012cffffffff01000001a2230b37c0010010c4115fc65bd6432dabd4d515b52173dd",
        ) else {
            panic!()
        };
        assert_eq!((&*key.group, &*key.topic, key.partition), ("kip", "t3", 0));
        let topic_id = Uuid::from_u128(0xc4115fc6_5bd6_432d_abd4_d515b52173dd);
        assert_eq!((value.offset, value.leader_epoch, value.topic_id), (300, -1, topic_id));

        let members = "0000000200286a63322d62396436336133322d663635662d346162372d626635352d636637616633383433316236ffff0003\
            6a6332000a2f3132372e302e302e31000493e00000afc80000001800030000000100027433ffffffff00000000ffffffffffff000000160003\
            00000001000274330000000100000002ffffffff00286a63312d38353466636239372d353763632d346565302d613262352d66366261383264\
            6261386233ffff00036a6331000a2f3132372e302e302e31000493e00000afc80000001800030000000100027433ffffffff00000000000000\
            01ffff0000001a00030000000100027433000000020000000000000001ffffffff";
        let head = "00030008636f6e73756d657200000002000572616e676500286a63312d38353466636239372d353763632d346565302d613262352d\
            663662613832646261386233000001a223099f15";
        let Record::Group(id, Some(value)) = same("000200026a67", &[head, members].concat()) else { panic!() };
        assert_eq!(
            (&*id, value.generation, value.protocol.as_deref(), value.members.len()),
            ("jg", 2, Some("range"), 2)
        );
        assert_eq!(&*value.members[0].client_host, "/127.0.0.1");
        same("000200026a67", "00030008636f6e73756d657200000003ffffffff000001a22309fecc00000000");

        let Record::Epoch(_, Some(value)) = same("000300036b6970", "000000000004010008ff11186131a7735f") else {
            panic!()
        };
        assert_eq!(value, EpochValue { epoch: 4, metadata_hash: 0xff11_1861_31a7_735f_u64 as i64 });
        same("000300036b6970", "00000000000500");

        let member = "00036b697000166d647a564d6f6e695330696844307634644b52617851";
        let key = |kind: &str| [kind, member].concat();
        let Record::Member(key_, Some(value)) =
            same(&key("0005"), "00000000036b330b2f3132372e302e302e310203743301000493e00001000100")
        else {
            panic!()
        };
        assert_eq!((&*key_.group, &*key_.member), ("kip", "mdzVMoniS0ihD0v4dKRaxQ"));
        assert_eq!((value.subscribed_topic_regex.as_deref(), value.classic), (Some(""), None));
        same("000600036b6970", "000000000002010008000001a2230b1ce5");
        same(&key("0007"), "000002c4115fc65bd6432dabd4d515b52173dd0300000000000000010000");
        let Record::Current(_, Some(value)) = same(
            &key("0008"),
            "000000000002000000020102c4115fc65bd6432dabd4d515b52173dd03000000000000000101000903000000020000000202c4115fc65bd6432\
             dabd4d515b52173dd0200000002010005020000000200",
        ) else {
            panic!()
        };
        assert_eq!((value.member_epoch, value.state, value.partitions_pending_revocation.len()), (2, 1, 1));
        assert_eq!(value.assigned_partitions[0].assignment_epochs, [2, 2]);
        same(
            "00100007726567726f7570000974337c6e756d622e2a",
            "000003086e756d626572730374330000000000000c25000001a2230ba6cc00",
        );
    }

    #[test]
    fn versions_of_older_kafkas_are_read() {
        let key = OffsetKey { group: "g".into(), topic: "t".into(), partition: 3 };
        let value = OffsetValue { offset: 7, metadata: "m".into(), commit_timestamp: 9, ..OffsetValue::default() };
        for version in 0..=4 {
            let written = wire::write(version, version, &value);
            let read = Record::decode(Some(wire::write(1, 0, &key)), Some(written)).unwrap();
            assert_eq!(read, Some(Record::Offset(key.clone(), Some(value.clone()))), "version {version}");
        }
        let member = ClassicMember { member_id: "m".into(), session_timeout: 5, ..ClassicMember::default() };
        let value = GroupValue { generation: 2, members: vec![member], ..GroupValue::default() };
        for version in 0..=4 {
            let read =
                Record::decode(Some(id_key(2, &"g".into())), Some(wire::write(version, version, &value))).unwrap();
            assert_eq!(read, Some(Record::Group("g".into(), Some(value.clone()))), "version {version}");
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_makes_no_sense_is_told() {
        assert_eq!(Record::decode(Some(Bytes::from_static(&[0, 11, 0, 1, b'g'])), None), Ok(None));
        assert_eq!(Record::decode(Some(id_key(2, &"g".into())), None), Ok(Some(Record::Group("g".into(), None))));
        assert!(Record::decode(None, None).is_err());
        assert!(Record::decode(Some(Bytes::from_static(&[0, 2, 0, 9, b'g'])), None).is_err());
        let newer = Some(Bytes::from_static(&[0, 9]));
        assert!(Record::decode(Some(id_key(2, &"g".into())), newer).is_err());
    }
}
