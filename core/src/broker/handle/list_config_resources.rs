//! ListConfigResources: what has settings, by kind. Version 0 knows of clients' metrics only, of which there are none here.

use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ListConfigResourcesRequest, out: &mut Vec<Effect>) {
    // In the order of Kafka's answers.
    let known: &[i8] = if asked.version == 0 { &[] } else { &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC] };
    let wanted = &body.resource_types;
    let response = if wanted.iter().all(|kind| known.contains(kind)) {
        let kinds = known.iter().filter(|kind| wanted.is_empty() || wanted.contains(kind));
        let resources = kinds.flat_map(|kind| {
            let resource =
                |name: StrBytes| ConfigResource::default().with_resource_name(name).with_resource_type(*kind);
            let names = names(broker, *kind);
            names.into_iter().map(resource)
        });
        ListConfigResourcesResponse::default().with_config_resources(resources.collect())
    } else {
        ListConfigResourcesResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code())
    };
    asked.reply(response, out);
}

fn names(broker: &Broker, kind: i8) -> Vec<StrBytes> {
    match kind {
        TOPIC => broker.cluster.topics.keys().map(|topic| topic.0.clone()).collect(),
        BROKER | BROKER_LOGGER => {
            broker.cluster.brokers.keys().map(|id| StrBytes::from_string(id.0.to_string())).collect()
        }
        GROUP => {
            let set = broker.cluster.group_configs.iter().filter(|(_, configs)| !configs.is_empty());
            set.map(|(group, _)| StrBytes::from_string(group.clone())).collect()
        }
        _ => Vec::new(),
    }
}
