//! What a person wants to read of a transaction's messages: `EndTxn v5 app producer=7#3 commit`, `WriteTxnMarkers v2 producer=7#4
//! commit orders-0 orders-1`.

use std::fmt::Write;

use kafka_protocol::messages::{ProducerId, RequestKind, ResponseKind};

use super::list;
use crate::error;

pub(super) fn write_request(body: &RequestKind, line: &mut String) {
    match body {
        RequestKind::InitProducerId(body) => {
            if let Some(id) = &body.transactional_id {
                let _ = write!(line, " {}", id.0);
            }
            if body.producer_id.0 != -1 {
                producer(line, body.producer_id, body.producer_epoch);
            }
        }
        RequestKind::AddPartitionsToTxn(body) => {
            if !body.v3_and_below_transactional_id.is_empty() {
                let _ = write!(line, " {}", body.v3_and_below_transactional_id.0);
                producer(line, body.v3_and_below_producer_id, body.v3_and_below_producer_epoch);
            }
            let topics = body.v3_and_below_topics.iter();
            partitions(line, topics.map(|topic| (&*topic.name.0, &topic.partitions[..])));
            list(line, body.transactions.iter(), |line, transaction| {
                let _ = write!(line, " {}", transaction.transactional_id.0);
                producer(line, transaction.producer_id, transaction.producer_epoch);
                partitions(line, transaction.topics.iter().map(|topic| (&*topic.name.0, &topic.partitions[..])));
                if transaction.verify_only {
                    line.push_str(" verify only");
                }
            });
        }
        RequestKind::AddOffsetsToTxn(body) => {
            let _ = write!(line, " {}", body.transactional_id.0);
            producer(line, body.producer_id, body.producer_epoch);
            let _ = write!(line, " group={}", body.group_id.0);
        }
        RequestKind::TxnOffsetCommit(body) => {
            let _ = write!(line, " {}", body.transactional_id.0);
            producer(line, body.producer_id, body.producer_epoch);
            let _ = write!(line, " group={}", body.group_id.0);
            let all = body.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (&topic.name, one)));
            list(line, all, |line, (name, one)| {
                let _ = write!(line, " {}-{}@{}", name.0, one.partition_index, one.committed_offset);
            });
        }
        RequestKind::EndTxn(body) => {
            let _ = write!(line, " {}", body.transactional_id.0);
            producer(line, body.producer_id, body.producer_epoch);
            line.push_str(verdict(body.committed));
        }
        RequestKind::WriteTxnMarkers(body) => list(line, body.markers.iter(), |line, marker| {
            producer(line, marker.producer_id, marker.producer_epoch);
            line.push_str(verdict(marker.transaction_result));
            partitions(line, marker.topics.iter().map(|topic| (&*topic.name.0, &topic.partition_indexes[..])));
        }),
        _ => {}
    }
}

/// The producer that an answer gives, where it gives one.
pub(super) fn write_response(body: &ResponseKind, line: &mut String) {
    match body {
        ResponseKind::InitProducerId(body) if body.error_code == error::NONE => {
            producer(line, body.producer_id, body.producer_epoch);
        }
        ResponseKind::EndTxn(body) if body.error_code == error::NONE && body.producer_id.0 != -1 => {
            producer(line, body.producer_id, body.producer_epoch);
        }
        _ => {}
    }
}

/// The error codes in an answer.
pub(super) fn error_codes(body: &ResponseKind) -> Vec<i16> {
    match body {
        ResponseKind::AddPartitionsToTxn(body) => {
            let batched = body.results_by_transaction.iter().flat_map(|result| &result.topic_results);
            let topics = body.results_by_topic_v3_and_below.iter().chain(batched);
            let partitions = topics.flat_map(|topic| &topic.results_by_partition);
            [body.error_code].into_iter().chain(partitions.map(|one| one.partition_error_code)).collect()
        }
        ResponseKind::AddOffsetsToTxn(body) => vec![body.error_code],
        ResponseKind::EndTxn(body) => vec![body.error_code],
        ResponseKind::TxnOffsetCommit(body) => {
            body.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        }
        ResponseKind::WriteTxnMarkers(body) => {
            let topics = body.markers.iter().flat_map(|marker| &marker.topics);
            topics.flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        }
        ResponseKind::DescribeTransactions(body) => body.transaction_states.iter().map(|one| one.error_code).collect(),
        ResponseKind::ListTransactions(body) => vec![body.error_code],
        ResponseKind::DescribeProducers(body) => {
            body.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        }
        _ => Vec::new(),
    }
}

fn producer(line: &mut String, id: ProducerId, epoch: i16) {
    let _ = write!(line, " producer={}#{epoch}", id.0);
}

fn verdict(committed: bool) -> &'static str {
    if committed { " commit" } else { " abort" }
}

fn partitions<'a>(line: &mut String, topics: impl Iterator<Item = (&'a str, &'a [i32])>) {
    let all = topics.flat_map(|(name, indexes)| indexes.iter().map(move |index| (name, index)));
    list(line, all, |line, (name, index)| {
        let _ = write!(line, " {name}-{index}");
    });
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    use kafka_protocol::messages::{
        ApiKey, EndTxnRequest, EndTxnResponse, TopicName, TransactionalId, WriteTxnMarkersRequest,
    };
    use kafka_protocol::protocol::StrBytes;

    use crate::error::ErrorCode;
    use crate::protocol::{Request, Response};

    #[test]
    fn how_a_transaction_ends_can_be_read() {
        let end = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(StrBytes::from_static_str("app")))
            .with_producer_id(7.into())
            .with_producer_epoch(3)
            .with_committed(true);
        let request = Request::new(ApiKey::EndTxn, 5, 0, None, end.into());
        assert_eq!(request.to_string(), "EndTxn v5 app producer=7#3 commit");
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_indexes(vec![0, 1]);
        let marker =
            WritableTxnMarker::default().with_producer_id(7.into()).with_producer_epoch(4).with_topics(vec![topic]);
        let markers = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let request = Request::new(ApiKey::WriteTxnMarkers, 1, 0, None, markers.into());
        assert_eq!(request.to_string(), "WriteTxnMarkers v1 producer=7#4 abort orders-0 orders-1");

        let ended = EndTxnResponse::default().with_producer_id(7.into()).with_producer_epoch(4);
        assert_eq!(Response::new(5, ended.clone()).to_string(), "EndTxn v5 producer=7#4");
        let refused = ended.with_error_code(ErrorCode::ProducerFenced.code());
        assert_eq!(Response::new(5, refused).to_string(), "EndTxn v5 PRODUCER_FENCED");
    }
}
