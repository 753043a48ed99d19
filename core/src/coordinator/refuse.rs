//! An answer that was made for the case that all goes well, when it does not.

use kafka_protocol::messages::ResponseKind;
use kafka_protocol::protocol::StrBytes;

use super::group::fetch::nothing;
use crate::error::{ErrorCode, NONE, message};

/// The five answers of the share coordinator have one shape.
macro_rules! share_states {
    ($body:expr, $error:expr) => {
        for result in $body.results.iter_mut().flat_map(|result| &mut result.partitions) {
            let message = Some(StrBytes::from_string(message($error).into_owned()));
            let partition = result.partition;
            *result = Default::default();
            (result.partition, result.error_code, result.error_message) = (partition, $error.code(), message);
        }
    };
}

/// Makes `response` say `error` wherever its clients look for one, and it says none yet.
pub fn refuse(response: &mut ResponseKind, error: ErrorCode) {
    let code = error.code();
    match response {
        ResponseKind::OffsetCommit(body) => {
            let partitions = body.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.filter(|partition| partition.error_code == NONE).for_each(|it| it.error_code = code);
        }
        ResponseKind::TxnOffsetCommit(body) => {
            let partitions = body.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.filter(|partition| partition.error_code == NONE).for_each(|it| it.error_code = code);
        }
        ResponseKind::OffsetFetch(body) => {
            for group in &mut body.groups {
                group.error_code = code;
                for partition in group.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    *partition = nothing(partition.partition_index).with_error_code(code);
                }
            }
        }
        ResponseKind::OffsetDelete(body) => {
            body.error_code = code;
            body.topics.clear();
        }
        ResponseKind::DeleteGroups(body) => body.results.iter_mut().for_each(|result| result.error_code = code),
        ResponseKind::Heartbeat(body) => body.error_code = code,
        ResponseKind::LeaveGroup(body) => {
            body.error_code = code;
            body.members.clear();
        }
        ResponseKind::JoinGroup(body) => body.error_code = code,
        ResponseKind::SyncGroup(body) => body.error_code = code,
        ResponseKind::ConsumerGroupHeartbeat(body) => {
            body.error_code = code;
            body.assignment = None;
        }
        ResponseKind::ShareGroupHeartbeat(body) => {
            body.error_code = code;
            body.assignment = None;
        }
        ResponseKind::DescribeShareGroupOffsets(body) => {
            for group in &mut body.groups {
                group.error_code = code;
                group.error_message = Some(StrBytes::from_string(message(error).into_owned()));
                group.topics.clear();
            }
        }
        ResponseKind::AlterShareGroupOffsets(body) => {
            body.error_code = code;
            body.error_message.get_or_insert_with(|| StrBytes::from_string(message(error).into_owned()));
            body.responses.clear();
        }
        ResponseKind::DeleteShareGroupOffsets(body) => {
            body.error_code = code;
            body.error_message.get_or_insert_with(|| StrBytes::from_string(message(error).into_owned()));
            body.responses.clear();
        }
        ResponseKind::InitProducerId(body) => {
            (body.error_code, body.producer_id.0, body.producer_epoch) = (code, -1, -1);
        }
        ResponseKind::AddPartitionsToTxn(body) => {
            let topics = body.results_by_topic_v3_and_below.iter_mut();
            let batched = body.results_by_transaction.iter_mut().flat_map(|result| &mut result.topic_results);
            let partitions = topics.chain(batched).flat_map(|topic| &mut topic.results_by_partition);
            partitions.for_each(|partition| partition.partition_error_code = code);
        }
        ResponseKind::AddOffsetsToTxn(body) => body.error_code = code,
        ResponseKind::EndTxn(body) => {
            (body.error_code, body.producer_id.0, body.producer_epoch) = (code, -1, -1);
        }
        ResponseKind::InitializeShareGroupState(body) => share_states!(body, error),
        ResponseKind::ReadShareGroupState(body) => share_states!(body, error),
        ResponseKind::WriteShareGroupState(body) => share_states!(body, error),
        ResponseKind::DeleteShareGroupState(body) => share_states!(body, error),
        ResponseKind::ReadShareGroupStateSummary(body) => share_states!(body, error),
        other => debug_assert!(false, "no coordinator answers {other:?}"),
    }
}
