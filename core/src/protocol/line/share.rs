//! What a person wants to read of the messages of share groups' records: `ShareFetch v2 shop/m1#3 orders-0 accept 5..9`,
//! `ShareFetch v2 orders-0 212 B 10..14×1`, `WriteShareGroupState v1 shop <topic id>-0@5 8..9`.

use std::fmt::Write;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};

use super::{Names, list, write_error, write_partition};
use crate::error;
use crate::protocol::Response;

/// Both requests of a member have the same fields for what it says of records.
macro_rules! acknowledging {
    ($body:expr, $names:expr, $line:expr) => {{
        let group = $body.group_id.as_ref().map(|group| &***group);
        who($line, group, $body.member_id.as_deref(), $body.share_session_epoch);
        let all = $body.topics.iter();
        let all = all.flat_map(|topic| topic.partitions.iter().map(move |partition| (topic.topic_id, partition)));
        list($line, all, |line, (id, partition)| {
            write_partition(line, &TopicName::default(), id, partition.partition_index, $names);
            for batch in &partition.acknowledgement_batches {
                acknowledged(line, batch.first_offset, batch.last_offset, &batch.acknowledge_types);
            }
        });
    }};
}

pub(super) fn write_request(body: &RequestKind, names: &Names, line: &mut String) {
    let unnamed = TopicName::default();
    match body {
        RequestKind::ShareFetch(body) => acknowledging!(body, names, line),
        RequestKind::ShareAcknowledge(body) => acknowledging!(body, names, line),
        RequestKind::WriteShareGroupState(body) => {
            let _ = write!(line, " {}", body.group_id);
            let all = body.topics.iter();
            let all = all.flat_map(|topic| topic.partitions.iter().map(move |partition| (topic.topic_id, partition)));
            list(line, all, |line, (id, partition)| {
                write_partition(line, &unnamed, id, partition.partition, names);
                let _ = write!(line, "@{}", partition.start_offset);
                for batch in &partition.state_batches {
                    let _ = write!(line, " {}..{}", batch.first_offset, batch.last_offset);
                }
            });
        }
        RequestKind::InitializeShareGroupState(body) => {
            let _ = write!(line, " {}", body.group_id);
            let all = body.topics.iter();
            let all = all.flat_map(|topic| topic.partitions.iter().map(move |partition| (topic.topic_id, partition)));
            list(line, all, |line, (id, partition)| {
                write_partition(line, &unnamed, id, partition.partition, names);
                let _ = write!(line, "@{}", partition.start_offset);
            });
        }
        RequestKind::ReadShareGroupState(body) => {
            let _ = write!(line, " {}", body.group_id);
            let all = body.topics.iter();
            let all = all.flat_map(|topic| topic.partitions.iter().map(move |it| (topic.topic_id, it.partition)));
            list(line, all, |line, (id, partition)| write_partition(line, &unnamed, id, partition, names));
        }
        _ => {}
    }
}

pub(super) fn write_response(response: &Response, names: &Names, line: &mut String) -> bool {
    let unnamed = TopicName::default();
    let ResponseKind::ShareFetch(body) = &*response.body else { return false };
    write_error(line, body.error_code);
    let mut records = response.records.iter();
    let all = body.responses.iter();
    let all = all.flat_map(|topic| topic.partitions.iter().map(move |partition| (topic.topic_id, partition)));
    list(line, all, |line, (id, partition)| {
        write_partition(line, &unnamed, id, partition.partition_index, names);
        let stored = records.next().copied().flatten().map(|extent| extent.len as usize);
        let bytes = stored.or(partition.records.as_ref().map(|records| records.len())).unwrap_or(0);
        let code = [partition.error_code, partition.acknowledge_error_code].into_iter().find(|it| *it != error::NONE);
        let _ = match code {
            Some(code) => write!(line, " {}", error::name(code)),
            None => write!(line, " {bytes} B"),
        };
        for one in &partition.acquired_records {
            let _ = write!(line, " {}..{}×{}", one.first_offset, one.last_offset, one.delivery_count);
        }
    });
    true
}

/// The error codes in an answer.
pub(super) fn error_codes(body: &ResponseKind) -> Vec<i16> {
    macro_rules! states {
        ($body:expr) => {
            $body.results.iter().flat_map(|result| &result.partitions).map(|one| one.error_code).collect()
        };
    }
    match body {
        ResponseKind::ShareFetch(body) => {
            let partitions = body.responses.iter().flat_map(|topic| &topic.partitions);
            let codes = partitions.flat_map(|one| [one.error_code, one.acknowledge_error_code]);
            [body.error_code].into_iter().chain(codes).collect()
        }
        ResponseKind::ShareAcknowledge(body) => {
            let partitions = body.responses.iter().flat_map(|topic| &topic.partitions);
            [body.error_code].into_iter().chain(partitions.map(|one| one.error_code)).collect()
        }
        ResponseKind::InitializeShareGroupState(body) => states!(body),
        ResponseKind::ReadShareGroupState(body) => states!(body),
        ResponseKind::WriteShareGroupState(body) => states!(body),
        ResponseKind::DeleteShareGroupState(body) => states!(body),
        ResponseKind::ReadShareGroupStateSummary(body) => states!(body),
        _ => Vec::new(),
    }
}

fn who(line: &mut String, group: Option<&str>, member: Option<&str>, epoch: i32) {
    let _ = write!(line, " {}/{}#{epoch}", group.unwrap_or("null"), member.unwrap_or("null"));
}

fn acknowledged(line: &mut String, first_offset: i64, last_offset: i64, types: &[i8]) {
    let names = ["gap", "accept", "release", "reject", "renew"];
    let name = match types {
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => {
            usize::try_from(*first).ok().and_then(|kind| names.get(kind)).copied().unwrap_or("?")
        }
        _ => "acknowledge",
    };
    let _ = write!(line, " {name} {first_offset}..{last_offset}");
}
