//! CreateTopics: decided by the controller ([`crate::controller::topic`]); any broker takes it and passes it on.

use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: CreateTopicsRequest, out: &mut Vec<Effect>) {
    let names: Vec<_> = body.topics.iter().map(|topic| topic.name.clone()).collect();
    let unreachable = || {
        let result = |name| CreatableTopicResult::default().with_name(name).with_error_code(NOT_CONTROLLER);
        CreateTopicsResponse::default().with_topics(names.into_iter().map(result).collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
