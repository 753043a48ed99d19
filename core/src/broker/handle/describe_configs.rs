//! DescribeConfigs, of topics, of groups and of this broker. Types and documentation from version 3.
//!
//! A resource that is asked for twice in the same words is described once: clients keep the answers in a map, and an answer
//! must not be thousands of times as long as its request.
//!
//! Clients' metrics have no settings here; this broker has no loggers to set.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::arrange::firsts;
use crate::broker::{Broker, Effect};
use crate::config::describe::{self, Entry};
use crate::config::setting::Kind;
use crate::controller::topic::validate_name;
use crate::error::ErrorCode;

/// Kafka's `ConfigResource.Type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// Kafka's `ConfigType.UNKNOWN`.
const UNKNOWN: i8 = 0;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeConfigsRequest, out: &mut Vec<Effect>) {
    let known = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    // Kafka refuses the request as a whole where it does not know a resource's type.
    let refused = body.resources.iter().any(|resource| !known.contains(&resource.resource_type));
    let shown =
        Shown { synonyms: body.include_synonyms, documentation: body.include_documentation, types: asked.version >= 3 };
    let all = body.resources.iter();
    let all = all.map(|it| (it.resource_type, &it.resource_name, &it.configuration_keys)).collect::<Vec<_>>();
    let firsts = firsts(&all);
    let once = body.resources.iter().zip(firsts).filter_map(|(resource, first)| first.then_some(resource));
    let results = once.map(|resource| {
        let found = if refused {
            Err((ErrorCode::InvalidRequest, Some(ErrorCode::InvalidRequest.to_string())))
        } else {
            entries(broker, resource)
        };
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match found {
            Ok(entries) => {
                let wanted = resource.configuration_keys.as_deref().unwrap_or_default();
                let wanted = |entry: &Entry| wanted.is_empty() || wanted.iter().any(|name| **name == *entry.name);
                result.with_configs(entries.into_iter().filter(wanted).map(|entry| shown.result(entry)).collect())
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(message.map(StrBytes::from_string))
            }
        }
    });
    let response = DescribeConfigsResponse::default().with_results(results.collect());
    asked.reply(response, out);
}

fn entries(broker: &Broker, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, (ErrorCode, Option<String>)> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, Some(message)));
    let name = &resource.resource_name;
    let own_id = || match name.parse::<i32>() {
        Ok(id) => Ok(id == broker.id().0),
        Err(_) => Err((ErrorCode::InvalidRequest, Some(format!("Broker id must be an integer, but it is: {name}")))),
    };
    match resource.resource_type {
        TOPIC => {
            validate_name(name).map_err(|(error, message)| (error, Some(message)))?;
            match broker.cluster.topics.get(&TopicName(name.clone())) {
                Some(topic) => Ok(describe::topic(&topic.configs, &broker.settings)),
                // Kafka's message is empty, not absent.
                None => Err((ErrorCode::UnknownTopicOrPartition, Some(String::new()))),
            }
        }
        BROKER if name.is_empty() => Ok(describe::all_brokers(&broker.settings.layers().all)),
        BROKER if own_id()? => Ok(describe::broker(&broker.settings, &own_settings(broker))),
        BROKER => {
            let id = broker.id().0;
            invalid(format!("Unexpected broker id, expected {id} or empty string, but received {name}"))
        }
        BROKER_LOGGER if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        BROKER_LOGGER if own_id()? => Ok(Vec::new()),
        BROKER_LOGGER => invalid(format!("Unexpected broker id, expected {} but received {name}", broker.id().0)),
        CLIENT_METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty".to_owned()),
        GROUP if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        GROUP => {
            let set = broker.cluster.group_configs.get(&**name).cloned().unwrap_or_default();
            Ok(describe::group(&set, &broker.settings))
        }
        _ => Ok(Vec::new()),
    }
}

/// What the broker decided itself.
fn own_settings(broker: &Broker) -> Vec<(&'static str, String)> {
    let registration = &broker.config.registration;
    let listener = format!("PLAINTEXT://{}:{}", registration.host, registration.port);
    let mut own = vec![
        ("node.id", registration.id.0.to_string()),
        ("broker.id", registration.id.0.to_string()),
        ("advertised.listeners", listener.clone()),
        ("listeners", listener),
        ("log.dirs", broker.config.log_dir.clone()),
    ];
    own.extend(registration.rack.clone().map(|rack| ("broker.rack", rack)));
    own
}

/// What the client wants to see of an entry, and may.
struct Shown {
    synonyms: bool,
    documentation: bool,
    types: bool,
}

impl Shown {
    fn result(&self, entry: Entry) -> DescribeConfigsResourceResult {
        let result = DescribeConfigsResourceResult::default()
            .with_name(describe::wire(entry.name))
            .with_value(entry.value.map(StrBytes::from_string))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source as i8)
            .with_is_sensitive(entry.sensitive);
        let kind = entry.kind.map_or(UNKNOWN, Kind::code);
        let result = if self.types { result.with_config_type(kind) } else { result };
        let result = if self.types && self.documentation {
            result.with_documentation(Some(StrBytes::from_static_str(entry.documentation)))
        } else {
            result.with_documentation(None)
        };
        if !self.synonyms {
            return result;
        }
        let synonyms = entry.synonyms.into_iter().map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(describe::wire(synonym.name))
                .with_value(synonym.value.map(StrBytes::from_string))
                .with_source(synonym.source as i8)
        });
        result.with_synonyms(synonyms.collect())
    }
}
