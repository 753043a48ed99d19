//! IncrementalAlterConfigs: decided by the controller ([`crate::controller::config`]); any broker takes it and passes it
//! on.

use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: IncrementalAlterConfigsRequest, out: &mut Vec<Effect>) {
    let resources: Vec<_> =
        body.resources.iter().map(|resource| (resource.resource_type, resource.resource_name.clone())).collect();
    let unreachable = || {
        let result = |(resource_type, name)| {
            AlterConfigsResourceResponse::default()
                .with_error_code(NOT_CONTROLLER)
                .with_resource_type(resource_type)
                .with_resource_name(name)
        };
        IncrementalAlterConfigsResponse::default().with_responses(resources.into_iter().map(result).collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
