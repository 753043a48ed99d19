//! Strings that are too long to be kept.
//!
//! Flexible versions carry a string of any length; Kafka reads none longer than a 16-bit length tells, because that is how
//! the coordinators' records keep it. Here are the strings that such records are made of.

use kafka_protocol::messages::RequestKind;
use kafka_protocol::protocol::StrBytes;

/// Kafka's `Short.MAX_VALUE`, in bytes.
pub const MAX_LEN: usize = i16::MAX as usize;

/// Errors: in the words in which Kafka refuses to parse the request.
pub fn check(body: &RequestKind) -> Result<(), String> {
    match body {
        RequestKind::JoinGroup(body) => {
            is_short("groupId", &body.group_id)?;
            is_short("memberId", &body.member_id)?;
            is_short_or_null("groupInstanceId", &body.group_instance_id)?;
            is_short("protocolType", &body.protocol_type)?;
            body.protocols.iter().try_for_each(|protocol| is_short("name", &protocol.name))
        }
        RequestKind::SyncGroup(body) => is_short("groupId", &body.group_id),
        RequestKind::LeaveGroup(body) => is_short("groupId", &body.group_id),
        RequestKind::ConsumerGroupHeartbeat(body) => {
            is_short("groupId", &body.group_id)?;
            is_short("memberId", &body.member_id)?;
            is_short_or_null("instanceId", &body.instance_id)?;
            is_short_or_null("rackId", &body.rack_id)?;
            is_short_or_null("serverAssignor", &body.server_assignor)?;
            is_short_or_null("subscribedTopicRegex", &body.subscribed_topic_regex)?;
            let topics = body.subscribed_topic_names.iter().flatten();
            topics.map(|name| &name.0).try_for_each(|name| is_short("subscribedTopicNames element", name))
        }
        RequestKind::ShareGroupHeartbeat(body) => {
            is_short("groupId", &body.group_id)?;
            is_short("memberId", &body.member_id)?;
            is_short_or_null("rackId", &body.rack_id)?;
            let topics = body.subscribed_topic_names.iter().flatten();
            topics.map(|name| &name.0).try_for_each(|name| is_short("subscribedTopicNames element", name))
        }
        RequestKind::AlterShareGroupOffsets(body) => {
            is_short("groupId", &body.group_id)?;
            body.topics.iter().try_for_each(|topic| is_short("topicName", &topic.topic_name))
        }
        RequestKind::OffsetCommit(body) => {
            is_short("groupId", &body.group_id)?;
            body.topics.iter().try_for_each(|topic| is_short("name", &topic.name))
        }
        RequestKind::TxnOffsetCommit(body) => {
            is_short("transactionalId", &body.transactional_id)?;
            is_short("groupId", &body.group_id)?;
            body.topics.iter().try_for_each(|topic| is_short("name", &topic.name))
        }
        RequestKind::InitProducerId(body) => {
            body.transactional_id.iter().try_for_each(|id| is_short("transactionalId", id))
        }
        RequestKind::AddPartitionsToTxn(body) => {
            is_short("v3AndBelowTransactionalId", &body.v3_and_below_transactional_id)?;
            body.transactions
                .iter()
                .try_for_each(|transaction| is_short("transactionalId", &transaction.transactional_id))
        }
        RequestKind::AddOffsetsToTxn(body) => {
            is_short("transactionalId", &body.transactional_id)?;
            is_short("groupId", &body.group_id)
        }
        RequestKind::EndTxn(body) => is_short("transactionalId", &body.transactional_id),
        _ => Ok(()),
    }
}

fn is_short(field: &str, text: &StrBytes) -> Result<(), String> {
    match text.len() {
        0..=MAX_LEN => Ok(()),
        len => Err(format!("string field {field} had invalid length {len}")),
    }
}

fn is_short_or_null(field: &str, text: &Option<StrBytes>) -> Result<(), String> {
    text.iter().try_for_each(|text| is_short(field, text))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, InitProducerIdRequest, TransactionalId};

    use super::*;

    #[test]
    fn a_string_that_a_16_bit_length_cannot_tell_is_refused_in_kafkas_words() {
        let text = |len| StrBytes::from_string("x".repeat(len));
        let asks =
            |len| InitProducerIdRequest::default().with_transactional_id(Some(TransactionalId(text(len)))).into();
        assert_eq!(check(&asks(MAX_LEN)), Ok(()));
        assert_eq!(check(&asks(40_000)), Err("string field transactionalId had invalid length 40000".to_owned()));
        let beats = ConsumerGroupHeartbeatRequest::default().with_group_id(GroupId(text(70_000)));
        assert_eq!(check(&beats.into()), Err("string field groupId had invalid length 70000".to_owned()));
    }
}
