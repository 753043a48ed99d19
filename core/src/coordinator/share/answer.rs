//! What the share coordinator says, and how it stands in the five answers of its requests: each of one share-partition.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::{Key, StateBatch, What};
use crate::error::{ErrorCode, NONE};
use crate::id::Offset;
use crate::protocol::share::{delivery_complete_count, with_delivery_complete_count};

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Initialized,
    /// A start offset of −1 is none yet.
    Read {
        state_epoch: i32,
        start_offset: Offset,
        batches: Vec<StateBatch>,
    },
    Written,
    Deleted,
    Summary {
        state_epoch: i32,
        leader_epoch: i32,
        start_offset: Offset,
        /// −1 where it is not known.
        delivery_complete_count: i32,
    },
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub error: ErrorCode,
    pub message: Option<String>,
}

impl Refused {
    pub fn because(error: ErrorCode, why: &str) -> Refused {
        Refused { error, message: Some(why.to_owned()) }
    }
}

/// The answer on the wire.
pub fn response(key: &Key, what: &What, answer: Result<Answer, Refused>) -> ResponseKind {
    let (code, message) = match &answer {
        Ok(_) => (NONE, None),
        Err(refused) => (refused.error.code(), refused.message.clone().map(StrBytes::from_string)),
    };
    macro_rules! whole {
        ($module:ident, $result:ident, $response:ident, $with:expr) => {{
            use $module::{PartitionResult, $result};
            let mut partition = PartitionResult::default();
            (partition.partition, partition.error_code, partition.error_message) = (key.partition, code, message);
            let partition: PartitionResult = $with(partition);
            let result = $result::default().with_topic_id(key.topic_id).with_partitions(vec![partition]);
            $response::default().with_results(vec![result]).into()
        }};
    }
    match what {
        What::Initialize { .. } => {
            whole!(
                initialize_share_group_state_response,
                InitializeStateResult,
                InitializeShareGroupStateResponse,
                |it| it
            )
        }
        What::Write(_) => {
            whole!(write_share_group_state_response, WriteStateResult, WriteShareGroupStateResponse, |it| it)
        }
        What::Delete => {
            whole!(delete_share_group_state_response, DeleteStateResult, DeleteShareGroupStateResponse, |it| it)
        }
        What::Read { .. } => {
            use read_share_group_state_response::StateBatch as Wire;
            whole!(
                read_share_group_state_response,
                ReadStateResult,
                ReadShareGroupStateResponse,
                |partition: read_share_group_state_response::PartitionResult| {
                    let Ok(Answer::Read { state_epoch, start_offset, batches }) = answer else { return partition };
                    let batches = batches.iter().map(|batch| {
                        Wire::default()
                            .with_first_offset(batch.first_offset)
                            .with_last_offset(batch.last_offset)
                            .with_delivery_state(batch.delivery_state)
                            .with_delivery_count(batch.delivery_count)
                    });
                    let batches = batches.collect();
                    partition.with_state_epoch(state_epoch).with_start_offset(start_offset).with_state_batches(batches)
                }
            )
        }
        What::Summary { .. } => whole!(
            read_share_group_state_summary_response,
            ReadStateSummaryResult,
            ReadShareGroupStateSummaryResponse,
            |partition: read_share_group_state_summary_response::PartitionResult| match answer {
                Ok(Answer::Summary { state_epoch, leader_epoch, start_offset, delivery_complete_count }) => {
                    let partition = partition
                        .with_state_epoch(state_epoch)
                        .with_leader_epoch(leader_epoch)
                        .with_start_offset(start_offset);
                    with_delivery_complete_count(partition, delivery_complete_count)
                }
                _ => partition,
            }
        ),
    }
}

/// What such an answer says of its one share-partition; `None` where it does not speak of it.
pub fn parse(key: &Key, body: &ResponseKind) -> Option<Result<Answer, Refused>> {
    macro_rules! of {
        ($body:expr, $answer:expr) => {{
            let result = $body.results.iter().find(|result| result.topic_id == key.topic_id)?;
            let partition = result.partitions.iter().find(|partition| partition.partition == key.partition)?;
            Some(match ErrorCode::try_from_code(partition.error_code) {
                None => Ok($answer(partition)),
                Some(error) => {
                    let message = partition.error_message.as_ref().map(|message| message.to_string());
                    Err(Refused { error, message })
                }
            })
        }};
    }
    match body {
        ResponseKind::InitializeShareGroupState(body) => of!(body, |_| Answer::Initialized),
        ResponseKind::WriteShareGroupState(body) => of!(body, |_| Answer::Written),
        ResponseKind::DeleteShareGroupState(body) => of!(body, |_| Answer::Deleted),
        ResponseKind::ReadShareGroupState(body) => {
            of!(body, |partition: &read_share_group_state_response::PartitionResult| Answer::Read {
                state_epoch: partition.state_epoch,
                start_offset: partition.start_offset,
                batches: partition.state_batches.iter().map(StateBatch::from).collect(),
            })
        }
        ResponseKind::ReadShareGroupStateSummary(body) => {
            of!(body, |partition: &read_share_group_state_summary_response::PartitionResult| Answer::Summary {
                state_epoch: partition.state_epoch,
                leader_epoch: partition.leader_epoch,
                start_offset: partition.start_offset,
                delivery_complete_count: delivery_complete_count(&partition.unknown_tagged_fields),
            })
        }
        _ => None,
    }
}

impl From<&read_share_group_state_response::StateBatch> for StateBatch {
    fn from(wire: &read_share_group_state_response::StateBatch) -> StateBatch {
        StateBatch {
            first_offset: wire.first_offset,
            last_offset: wire.last_offset,
            delivery_state: wire.delivery_state,
            delivery_count: wire.delivery_count,
        }
    }
}
