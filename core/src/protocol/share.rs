//! What Kafka 4.2 added to the requests of share groups (KIP-1206, KIP-1222, KIP-1226), which kafka-protocol does not
//! know. In memory what was added is among the tagged fields, under tags of its own.
//!
//! | message | since | adds |
//! | --- | --- | --- |
//! | ShareFetch request | 2 | how strictly records are counted; whether locks are renewed |
//! | ShareAcknowledge request | 2 | whether locks are renewed |
//! | ShareAcknowledge response | 2 | for how long records are locked |
//! | WriteShareGroupState request | 1 | how many records from the start offset on are done |
//! | ReadShareGroupStateSummary response | 1 | the same |

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::read_share_group_state_summary_response::{
    PartitionResult as Summary, ReadStateSummaryResult,
};
use kafka_protocol::messages::share_acknowledge_request::AcknowledgeTopic;
use kafka_protocol::messages::share_acknowledge_response::{NodeEndpoint, ShareAcknowledgeTopicResponse};
use kafka_protocol::messages::share_fetch_request::{FetchTopic, ForgottenTopic};
use kafka_protocol::messages::write_share_group_state_request::{PartitionData, StateBatch, WriteStateData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::compact::{count, get_i32, get_string, get_uuid, put_string, put_uvarint, skip_tagged_fields};

/// Where the added fields are in memory.
const ADDED: i32 = -1;
const RENEWS: i32 = -2;

type Tagged = BTreeMap<i32, Bytes>;

/// The last version that there is, and the one that kafka-protocol knows, where they differ.
pub fn latest(api: ApiKey) -> Option<(i16, i16)> {
    match api {
        ApiKey::ShareFetch | ApiKey::ShareAcknowledge => Some((2, 1)),
        ApiKey::WriteShareGroupState | ApiKey::ReadShareGroupStateSummary => Some((1, 0)),
        _ => None,
    }
}

/// Whether messages of that version are encoded and decoded here.
pub fn is_one(api: ApiKey, version: i16) -> bool {
    latest(api).is_some_and(|(latest, _)| version == latest)
}

fn number(tagged: &Tagged, tag: i32) -> Option<i32> {
    tagged.get(&tag).and_then(|bytes| bytes.clone().try_get_i32().ok())
}

fn with_number(tagged: &mut Tagged, tag: i32, number: i32) {
    tagged.insert(tag, Bytes::copy_from_slice(&number.to_be_bytes()));
}

/// `share_acquire_mode` 1: not a record more than was asked for.
pub fn is_strict(request: &ShareFetchRequest) -> bool {
    number(&request.unknown_tagged_fields, ADDED) == Some(1)
}

pub fn with_acquire_mode(mut request: ShareFetchRequest, mode: i8) -> ShareFetchRequest {
    with_number(&mut request.unknown_tagged_fields, ADDED, mode.into());
    request
}

/// `is_renew_ack` of a request.
pub fn renews(tagged: &Tagged) -> bool {
    number(tagged, RENEWS) == Some(1)
}

pub fn set_renews(tagged: &mut Tagged, renews: bool) {
    with_number(tagged, RENEWS, renews.into());
}

pub fn with_lock_timeout_ms(mut response: ShareAcknowledgeResponse, millis: i32) -> ShareAcknowledgeResponse {
    with_number(&mut response.unknown_tagged_fields, ADDED, millis);
    response
}

/// −1 where it is not told.
pub fn delivery_complete_count(tagged: &Tagged) -> i32 {
    number(tagged, ADDED).unwrap_or(-1)
}

pub fn with_delivery_complete_count(mut partition: Summary, count: i32) -> Summary {
    with_number(&mut partition.unknown_tagged_fields, ADDED, count);
    partition
}

pub fn write_with_delivery_complete_count(mut partition: PartitionData, count: i32) -> PartitionData {
    with_number(&mut partition.unknown_tagged_fields, ADDED, count);
    partition
}

/// What is not said in older versions must not be there when they are encoded, or were decoded.
pub fn without_added(body: &RequestKind) -> RequestKind {
    let mut body = body.clone();
    match &mut body {
        RequestKind::ShareFetch(body) => body.unknown_tagged_fields.clear(),
        RequestKind::ShareAcknowledge(body) => body.unknown_tagged_fields.clear(),
        RequestKind::WriteShareGroupState(body) => {
            body.topics
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions)
                .for_each(|it| it.unknown_tagged_fields.clear());
        }
        _ => {}
    }
    body
}

/// The same of answers.
pub fn without_added_answer(body: &ResponseKind) -> ResponseKind {
    let mut body = body.clone();
    match &mut body {
        ResponseKind::ShareAcknowledge(body) => body.unknown_tagged_fields.clear(),
        ResponseKind::ReadShareGroupStateSummary(body) => {
            body.results.iter_mut().flat_map(|it| &mut it.partitions).for_each(|it| it.unknown_tagged_fields.clear());
        }
        _ => {}
    }
    body
}

fn put_all<T: Encodable>(frame: &mut BytesMut, all: &[T], version: i16) -> Result<(), String> {
    put_uvarint(frame, all.len() as u32 + 1);
    all.iter().try_for_each(|one| one.encode(frame, version)).map_err(|error| error.to_string())
}

fn get_all<T: Decodable>(frame: &mut Bytes, version: i16) -> Result<Vec<T>, String> {
    (0..count(frame)?).map(|_| T::decode(frame, version)).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn get_u8(frame: &mut Bytes) -> Result<u8, String> {
    frame.try_get_u8().map_err(|_| "a number is cut off".to_owned())
}

fn get_i64(frame: &mut Bytes) -> Result<i64, String> {
    frame.try_get_i64().map_err(|_| "a number is cut off".to_owned())
}

/// In the latest version.
pub fn encode(request: &RequestKind, frame: &mut BytesMut) -> Result<(), String> {
    match request {
        RequestKind::ShareFetch(request) => {
            put_string(frame, request.group_id.as_ref().map(|group| group.as_str()));
            put_string(frame, request.member_id.as_deref());
            let numbers = [
                request.share_session_epoch,
                request.max_wait_ms,
                request.min_bytes,
                request.max_bytes,
                request.max_records,
                request.batch_size,
            ];
            numbers.into_iter().for_each(|number| frame.put_i32(number));
            frame.put_u8(is_strict(request).into());
            frame.put_u8(renews(&request.unknown_tagged_fields).into());
            put_all(frame, &request.topics, 1)?;
            put_all(frame, &request.forgotten_topics_data, 1)?;
        }
        RequestKind::ShareAcknowledge(request) => {
            put_string(frame, request.group_id.as_ref().map(|group| group.as_str()));
            put_string(frame, request.member_id.as_deref());
            frame.put_i32(request.share_session_epoch);
            frame.put_u8(renews(&request.unknown_tagged_fields).into());
            put_all(frame, &request.topics, 1)?;
        }
        RequestKind::WriteShareGroupState(request) => {
            put_string(frame, Some(&request.group_id));
            put_uvarint(frame, request.topics.len() as u32 + 1);
            for topic in &request.topics {
                frame.put_u128(topic.topic_id.as_u128());
                put_uvarint(frame, topic.partitions.len() as u32 + 1);
                for partition in &topic.partitions {
                    frame.put_i32(partition.partition);
                    frame.put_i32(partition.state_epoch);
                    frame.put_i32(partition.leader_epoch);
                    frame.put_i64(partition.start_offset);
                    frame.put_i32(delivery_complete_count(&partition.unknown_tagged_fields));
                    put_all(frame, &partition.state_batches, 0)?;
                    frame.put_u8(0);
                }
                frame.put_u8(0);
            }
        }
        // The request is the same.
        RequestKind::ReadShareGroupStateSummary(request) => {
            return request.encode(frame, 0).map_err(|error| error.to_string());
        }
        _ => return Err("nothing was added there".into()),
    }
    // No tagged fields.
    frame.put_u8(0);
    Ok(())
}

/// In the latest version.
pub fn decode(api: ApiKey, frame: &mut Bytes) -> Result<RequestKind, String> {
    let group = |frame: &mut Bytes| Ok::<_, String>(get_string(frame)?.map(GroupId));
    let request = match api {
        ApiKey::ShareFetch => {
            let mut request = ShareFetchRequest::default()
                .with_group_id(group(frame)?)
                .with_member_id(get_string(frame)?)
                .with_share_session_epoch(get_i32(frame)?)
                .with_max_wait_ms(get_i32(frame)?)
                .with_min_bytes(get_i32(frame)?)
                .with_max_bytes(get_i32(frame)?)
                .with_max_records(get_i32(frame)?)
                .with_batch_size(get_i32(frame)?);
            request = with_acquire_mode(request, get_u8(frame)? as i8);
            set_renews(&mut request.unknown_tagged_fields, get_u8(frame)? != 0);
            request.topics = get_all::<FetchTopic>(frame, 1)?;
            request.forgotten_topics_data = get_all::<ForgottenTopic>(frame, 1)?;
            request.into()
        }
        ApiKey::ShareAcknowledge => {
            let mut request = ShareAcknowledgeRequest::default()
                .with_group_id(group(frame)?)
                .with_member_id(get_string(frame)?)
                .with_share_session_epoch(get_i32(frame)?);
            set_renews(&mut request.unknown_tagged_fields, get_u8(frame)? != 0);
            request.topics = get_all::<AcknowledgeTopic>(frame, 1)?;
            request.into()
        }
        ApiKey::WriteShareGroupState => {
            let group = get_string(frame)?.ok_or("a string is null that must not be")?;
            let mut request = WriteShareGroupStateRequest::default().with_group_id(group);
            for _ in 0..count(frame)? {
                let mut topic = WriteStateData::default().with_topic_id(get_uuid(frame)?);
                for _ in 0..count(frame)? {
                    let partition = PartitionData::default()
                        .with_partition(get_i32(frame)?)
                        .with_state_epoch(get_i32(frame)?)
                        .with_leader_epoch(get_i32(frame)?)
                        .with_start_offset(get_i64(frame)?);
                    let complete = get_i32(frame)?;
                    let partition = partition.with_state_batches(get_all::<StateBatch>(frame, 0)?);
                    skip_tagged_fields(frame)?;
                    topic.partitions.push(write_with_delivery_complete_count(partition, complete));
                }
                skip_tagged_fields(frame)?;
                request.topics.push(topic);
            }
            request.into()
        }
        ApiKey::ReadShareGroupStateSummary => {
            let request = ReadShareGroupStateSummaryRequest::decode(frame, 0).map_err(|error| error.to_string())?;
            return Ok(request.into());
        }
        _ => return Err("nothing was added there".into()),
    };
    skip_tagged_fields(frame)?;
    Ok(request)
}

/// In the latest version.
pub fn encode_answer(response: &ResponseKind, frame: &mut BytesMut) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    match response {
        ResponseKind::ShareAcknowledge(response) => {
            frame.put_i32(response.throttle_time_ms);
            frame.put_i16(response.error_code);
            put_string(frame, response.error_message.as_deref());
            frame.put_i32(number(&response.unknown_tagged_fields, ADDED).unwrap_or(0));
            put_all(frame, &response.responses, 1)?;
            put_all(frame, &response.node_endpoints, 1)?;
            frame.put_u8(0);
        }
        ResponseKind::ReadShareGroupStateSummary(response) => {
            put_uvarint(frame, response.results.len() as u32 + 1);
            for result in &response.results {
                frame.put_u128(result.topic_id.as_u128());
                put_uvarint(frame, result.partitions.len() as u32 + 1);
                for partition in &result.partitions {
                    let known = partition.clone().with_unknown_tagged_fields(Default::default());
                    known.encode(frame, 0).map_err(|error| words(&error))?;
                    // Before the number of tagged fields, which is 0.
                    frame.truncate(frame.len() - 1);
                    frame.put_i32(delivery_complete_count(&partition.unknown_tagged_fields));
                    frame.put_u8(0);
                }
                frame.put_u8(0);
            }
            frame.put_u8(0);
        }
        ResponseKind::ShareFetch(response) => return response.encode(frame, 1).map_err(|error| words(&error)),
        ResponseKind::WriteShareGroupState(response) => {
            return response.encode(frame, 0).map_err(|error| words(&error));
        }
        _ => return Err("nothing was added there".into()),
    }
    Ok(())
}

/// In the latest version.
pub fn decode_answer(api: ApiKey, frame: &mut Bytes) -> Result<ResponseKind, String> {
    match api {
        ApiKey::ShareAcknowledge => {
            let mut response = ShareAcknowledgeResponse::default()
                .with_throttle_time_ms(get_i32(frame)?)
                .with_error_code(frame.try_get_i16().map_err(|_| "a number is cut off".to_owned())?)
                .with_error_message(get_string(frame)?);
            response = with_lock_timeout_ms(response, get_i32(frame)?);
            response.responses = get_all::<ShareAcknowledgeTopicResponse>(frame, 1)?;
            response.node_endpoints = get_all::<NodeEndpoint>(frame, 1)?;
            skip_tagged_fields(frame)?;
            Ok(response.into())
        }
        ApiKey::ReadShareGroupStateSummary => {
            let mut response = ReadShareGroupStateSummaryResponse::default();
            for _ in 0..count(frame)? {
                let mut result = ReadStateSummaryResult::default().with_topic_id(get_uuid(frame)?);
                for _ in 0..count(frame)? {
                    let partition = Summary::default()
                        .with_partition(get_i32(frame)?)
                        .with_error_code(frame.try_get_i16().map_err(|_| "a number is cut off".to_owned())?)
                        .with_error_message(get_string(frame)?)
                        .with_state_epoch(get_i32(frame)?)
                        .with_leader_epoch(get_i32(frame)?)
                        .with_start_offset(get_i64(frame)?);
                    let complete = get_i32(frame)?;
                    skip_tagged_fields(frame)?;
                    result.partitions.push(with_delivery_complete_count(partition, complete));
                }
                skip_tagged_fields(frame)?;
                response.results.push(result);
            }
            skip_tagged_fields(frame)?;
            Ok(response.into())
        }
        // The answer is the same.
        _ => {
            let (_, known) = latest(api).ok_or("nothing was added there")?;
            ResponseKind::decode(api, frame, known).map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;
    use uuid::Uuid;

    use super::*;

    fn requests() -> Vec<(ApiKey, RequestKind)> {
        let group = Some(GroupId(StrBytes::from_static_str("g")));
        let member = Some(StrBytes::from_static_str("m"));
        let id = Uuid::from_u128(5);
        let mut fetch = ShareFetchRequest::default()
            .with_group_id(group.clone())
            .with_member_id(member.clone())
            .with_max_records(7)
            .with_topics(vec![FetchTopic::default().with_topic_id(id)]);
        fetch = with_acquire_mode(fetch, 1);
        set_renews(&mut fetch.unknown_tagged_fields, true);
        let mut acknowledge = ShareAcknowledgeRequest::default().with_group_id(group).with_member_id(member);
        set_renews(&mut acknowledge.unknown_tagged_fields, true);
        let partition = PartitionData::default().with_start_offset(3).with_state_batches(vec![Default::default()]);
        let partition = write_with_delivery_complete_count(partition, 9);
        let topic = WriteStateData::default().with_topic_id(id).with_partitions(vec![partition]);
        let write = WriteShareGroupStateRequest::default().with_group_id("g".into()).with_topics(vec![topic]);
        vec![
            (ApiKey::ShareFetch, fetch.into()),
            (ApiKey::ShareAcknowledge, acknowledge.into()),
            (ApiKey::WriteShareGroupState, write.into()),
            (ApiKey::ReadShareGroupStateSummary, ReadShareGroupStateSummaryRequest::default().into()),
        ]
    }

    #[test]
    fn messages_are_decoded_as_they_were_encoded_and_never_from_less() {
        for (api, request) in requests() {
            let mut frame = BytesMut::new();
            encode(&request, &mut frame).unwrap();
            assert_eq!(decode(api, &mut frame.clone().freeze()), Ok(request));
            for end in 0..frame.len() {
                assert!(decode(api, &mut Bytes::copy_from_slice(&frame[..end])).is_err(), "{api:?}: {end} bytes");
            }
        }
        let summary = with_delivery_complete_count(Summary::default().with_start_offset(4), 2);
        let result = ReadStateSummaryResult::default().with_partitions(vec![summary]);
        let answers: [(ApiKey, ResponseKind); 2] = [
            (ApiKey::ShareAcknowledge, with_lock_timeout_ms(ShareAcknowledgeResponse::default(), 30_000).into()),
            (
                ApiKey::ReadShareGroupStateSummary,
                ReadShareGroupStateSummaryResponse::default().with_results(vec![result]).into(),
            ),
        ];
        for (api, answer) in answers {
            let mut frame = BytesMut::new();
            encode_answer(&answer, &mut frame).unwrap();
            assert_eq!(decode_answer(api, &mut frame.freeze()), Ok(answer));
        }
    }
}
