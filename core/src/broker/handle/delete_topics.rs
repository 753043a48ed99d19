//! DeleteTopics: decided by the controller ([`crate::controller::topic`]); any broker takes it and passes it on.

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use uuid::Uuid;

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DeleteTopicsRequest, out: &mut Vec<Effect>) {
    // Before v6 topics are named in a list of their own.
    let named = body.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil()));
    let asked_for: Vec<_> = named.chain(body.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id))).collect();
    let unreachable = || {
        let result = |(name, id)| {
            DeletableTopicResult::default().with_name(name).with_topic_id(id).with_error_code(NOT_CONTROLLER)
        };
        DeleteTopicsResponse::default().with_responses(asked_for.into_iter().map(result).collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
