//! OffsetCommit 10 and OffsetFetch 10, whose requests kafka-protocol does not know: version 9, where topics are named by
//! their ids. It knows the answers, and in memory the ids have their places.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{ApiKey, GroupId, OffsetCommitRequest, OffsetFetchRequest, RequestKind};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::compact::{count, get_i32, get_string, get_uuid, get_uvarint, put_string, put_uvarint, skip_tagged_fields};

/// The first version that names topics so.
pub const FIRST: i16 = 10;
/// The last one that kafka-protocol knows.
pub const KNOWN: i16 = 9;

/// Whether that is a request that is encoded and decoded here.
pub fn is_one(api: ApiKey, version: i16) -> bool {
    matches!(api, ApiKey::OffsetCommit | ApiKey::OffsetFetch) && version == FIRST
}

pub fn encode(request: &RequestKind, frame: &mut BytesMut) -> Result<(), String> {
    match request {
        RequestKind::OffsetCommit(request) => encode_commit(request, frame),
        RequestKind::OffsetFetch(request) => encode_fetch(request, frame),
        _ => return Err("topics are not named by their ids there".into()),
    }
    // No tagged fields.
    frame.put_u8(0);
    Ok(())
}

pub fn decode(api: ApiKey, frame: &mut Bytes) -> Result<RequestKind, String> {
    let request = match api {
        ApiKey::OffsetCommit => decode_commit(frame)?.into(),
        ApiKey::OffsetFetch => decode_fetch(frame)?.into(),
        _ => return Err("topics are not named by their ids there".into()),
    };
    skip_tagged_fields(frame)?;
    Ok(request)
}

fn encode_commit(request: &OffsetCommitRequest, frame: &mut BytesMut) {
    put_string(frame, Some(&request.group_id));
    frame.put_i32(request.generation_id_or_member_epoch);
    put_string(frame, Some(&request.member_id));
    put_string(frame, request.group_instance_id.as_deref());
    put_uvarint(frame, request.topics.len() as u32 + 1);
    for topic in &request.topics {
        frame.put_u128(topic.topic_id.as_u128());
        put_uvarint(frame, topic.partitions.len() as u32 + 1);
        for partition in &topic.partitions {
            partition.encode(frame, KNOWN).expect("nothing that the version cannot carry");
        }
        frame.put_u8(0);
    }
}

fn decode_commit(frame: &mut Bytes) -> Result<OffsetCommitRequest, String> {
    let not_null = || "a string is null that must not be".to_owned();
    let mut request = OffsetCommitRequest::default()
        .with_group_id(GroupId(get_string(frame)?.ok_or_else(not_null)?))
        .with_generation_id_or_member_epoch(get_i32(frame)?)
        .with_member_id(get_string(frame)?.ok_or_else(not_null)?)
        .with_group_instance_id(get_string(frame)?);
    for _ in 0..count(frame)? {
        let topic = OffsetCommitRequestTopic::default().with_topic_id(get_uuid(frame)?);
        let partitions = (0..count(frame)?).map(|_| OffsetCommitRequestPartition::decode(frame, KNOWN));
        let partitions = partitions.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        skip_tagged_fields(frame)?;
        request.topics.push(topic.with_partitions(partitions));
    }
    Ok(request)
}

fn encode_fetch(request: &OffsetFetchRequest, frame: &mut BytesMut) {
    put_uvarint(frame, request.groups.len() as u32 + 1);
    for group in &request.groups {
        put_string(frame, Some(&group.group_id));
        put_string(frame, group.member_id.as_deref());
        frame.put_i32(group.member_epoch);
        put_uvarint(frame, group.topics.as_ref().map_or(0, |topics| topics.len() as u32 + 1));
        for topic in group.topics.iter().flatten() {
            frame.put_u128(topic.topic_id.as_u128());
            put_uvarint(frame, topic.partition_indexes.len() as u32 + 1);
            topic.partition_indexes.iter().for_each(|index| frame.put_i32(*index));
            frame.put_u8(0);
        }
        frame.put_u8(0);
    }
    frame.put_u8(request.require_stable.into());
}

fn decode_fetch(frame: &mut Bytes) -> Result<OffsetFetchRequest, String> {
    let mut request = OffsetFetchRequest::default();
    for _ in 0..count(frame)? {
        let id = get_string(frame)?.ok_or("a string is null that must not be")?;
        let mut group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(id))
            .with_member_id(get_string(frame)?)
            .with_member_epoch(get_i32(frame)?);
        // Null asks for all.
        group.topics = match frame.first() {
            Some(0) => get_uvarint(frame).map(|_| None)?,
            _ => {
                let topics = count(frame)?;
                let topic = |_| {
                    let topic = OffsetFetchRequestTopics::default().with_topic_id(get_uuid(frame)?);
                    let indexes = (0..count(frame)?).map(|_| get_i32(frame)).collect::<Result<_, _>>()?;
                    skip_tagged_fields(frame)?;
                    Ok::<_, String>(topic.with_partition_indexes(indexes))
                };
                Some((0..topics).map(topic).collect::<Result<_, _>>()?)
            }
        };
        skip_tagged_fields(frame)?;
        request.groups.push(group);
    }
    request.require_stable = frame.try_get_u8().map_err(|_| "a flag is cut off")? != 0;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;
    use uuid::Uuid;

    use super::*;

    fn requests() -> [RequestKind; 2] {
        let text = StrBytes::from_static_str;
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(3)
            .with_committed_offset(77)
            .with_committed_leader_epoch(2)
            .with_committed_metadata(Some(text("m")));
        let topic =
            OffsetCommitRequestTopic::default().with_topic_id(Uuid::from_u128(5)).with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id_or_member_epoch(4)
            .with_member_id(text("me"))
            .with_topics(vec![topic]);
        let topic =
            OffsetFetchRequestTopics::default().with_topic_id(Uuid::from_u128(5)).with_partition_indexes(vec![0, 200]);
        let group = |topics| {
            let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(topics);
            group.with_member_id(Some(text("me"))).with_member_epoch(9)
        };
        let fetch = OffsetFetchRequest::default()
            .with_groups(vec![group(Some(vec![topic])), group(None)])
            .with_require_stable(true);
        [commit.into(), fetch.into()]
    }

    #[test]
    fn requests_have_kafkas_bytes_and_are_decoded_as_they_were_encoded() {
        let [commit, fetch] = requests().map(|request| {
            let mut frame = BytesMut::new();
            encode(&request, &mut frame).unwrap();
            frame.freeze()
        });
        let id = Uuid::from_u128(5).into_bytes();
        let expected = [
            &[2, b'g', 0, 0, 0, 4, 3, b'm', b'e', 0, 2][..],
            &id,
            &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 2, 2, b'm', 0, 0, 0],
        ];
        assert_eq!(commit, expected.concat());
        let head = [2, b'g', 3, b'm', b'e', 0, 0, 0, 9];
        let expected =
            [&[3][..], &head, &[2], &id, &[3, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0], &head, &[0, 0], &[1, 0]].concat();
        assert_eq!(fetch, expected);
        let [asked, wanted] = requests();
        assert_eq!(decode(ApiKey::OffsetCommit, &mut commit.clone()), Ok(asked));
        assert_eq!(decode(ApiKey::OffsetFetch, &mut fetch.clone()), Ok(wanted));
    }

    #[test]
    fn what_is_cut_or_claims_too_much_is_refused() {
        for (api, request) in [ApiKey::OffsetCommit, ApiKey::OffsetFetch].into_iter().zip(requests()) {
            let mut frame = BytesMut::new();
            encode(&request, &mut frame).unwrap();
            for end in 0..frame.len() {
                assert!(decode(api, &mut Bytes::copy_from_slice(&frame[..end])).is_err(), "{api:?}: {end} bytes");
            }
            assert!(decode(api, &mut Bytes::from_static(&[0xff; 8])).is_err());
        }
    }
}
