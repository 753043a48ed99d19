//! CreatePartitions: decided by the controller ([`crate::controller::topic`]); any broker takes it and passes it on.

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: CreatePartitionsRequest, out: &mut Vec<Effect>) {
    let names: Vec<_> = body.topics.iter().map(|topic| topic.name.clone()).collect();
    let unreachable = || {
        let result = |name| CreatePartitionsTopicResult::default().with_name(name).with_error_code(NOT_CONTROLLER);
        CreatePartitionsResponse::default().with_results(names.into_iter().map(result).collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
