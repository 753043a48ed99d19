//! Topics' settings are changed. What is refused, and in which words, is Kafka's `ConfigAdminManager` and
//! `ConfigurationControlManager`.
//!
//! Settings of brokers are given when a broker starts and do not change while it runs; Kafka's other resources (client
//! metrics, groups, loggers) have no settings here.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as ReplaceResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::topic::validate_name;
use super::{Controller, Refusal};
use crate::config::setting::Kind;
use crate::config::{TopicConfig, table};
use crate::error::ErrorCode;

/// Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Kafka's `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// A value may have so many characters: Kafka keeps it behind a 16-bit length.
const MAX_VALUE_LEN: usize = i16::MAX as usize;

/// What one request wants of one resource.
struct Change<'a> {
    resource_type: i8,
    resource_name: &'a StrBytes,
    /// What is not named goes (AlterConfigs).
    replace: bool,
    /// Name, operation, value.
    operations: Vec<(&'a str, i8, Option<&'a str>)>,
}

impl Controller {
    pub fn alter_configs(&mut self, request: &AlterConfigsRequest) -> AlterConfigsResponse {
        let changes = request.resources.iter().map(|resource| Change {
            resource_type: resource.resource_type,
            resource_name: &resource.resource_name,
            replace: true,
            operations: resource.configs.iter().map(|config| (&*config.name, SET, config.value.as_deref())).collect(),
        });
        let outcomes = self.alter(changes.collect(), request.validate_only);
        let results = request.resources.iter().zip(outcomes).map(|(resource, outcome)| {
            let (code, message) = told(outcome);
            ReplaceResult::default()
                .with_error_code(code)
                .with_error_message(message)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        AlterConfigsResponse::default().with_responses(results.collect())
    }

    pub fn incremental_alter_configs(
        &mut self,
        request: &IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let changes = request.resources.iter().map(|resource| Change {
            resource_type: resource.resource_type,
            resource_name: &resource.resource_name,
            replace: false,
            operations: resource
                .configs
                .iter()
                .map(|config| (&*config.name, config.config_operation, config.value.as_deref()))
                .collect(),
        });
        let outcomes = self.alter(changes.collect(), request.validate_only);
        let results = request.resources.iter().zip(outcomes).map(|(resource, outcome)| {
            let (code, message) = told(outcome);
            IncrementalResult::default()
                .with_error_code(code)
                .with_error_message(message)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
        });
        IncrementalAlterConfigsResponse::default().with_responses(results.collect())
    }

    /// One outcome for each change, in order. A change is made whole or not at all.
    fn alter(&mut self, changes: Vec<Change<'_>>, validate_only: bool) -> Vec<Result<(), Refusal>> {
        let mut seen = BTreeMap::new();
        for change in &changes {
            *seen.entry((change.resource_type, &**change.resource_name)).or_insert(0) += 1;
        }
        changes
            .iter()
            .map(|change| {
                if seen[&(change.resource_type, &**change.resource_name)] > 1 {
                    return refuse(ErrorCode::InvalidRequest, "Each resource must appear at most once.");
                }
                well_formed(change)?;
                let configs = self.altered(change)?;
                let name = TopicName(change.resource_name.clone());
                if !validate_only && self.state.topics.get(&name).is_some_and(|topic| topic.configs != configs) {
                    self.change(|state| {
                        if let Some(topic) = state.topics.get_mut(&name) {
                            topic.configs = configs;
                        }
                    });
                }
                Ok(())
            })
            .collect()
    }

    /// The topic's settings after the change, checked.
    fn altered(&self, change: &Change<'_>) -> Result<BTreeMap<String, String>, Refusal> {
        let name = TopicName(change.resource_name.clone());
        let topic = self.state.topics.get(&name);
        let current = topic.map(|topic| topic.configs.clone()).unwrap_or_default();
        let mut configs = if change.replace { BTreeMap::new() } else { current };
        for &(key, operation, value) in &change.operations {
            apply(&mut configs, key, operation, value.unwrap_or_default())?;
        }
        if configs.values().any(|value| value.chars().count() > MAX_VALUE_LEN) {
            let message = format!(
                "The configuration value cannot be added because it exceeds the maximum value size of {MAX_VALUE_LEN} \
                 bytes."
            );
            return Err((ErrorCode::InvalidConfig, message));
        }
        if change.resource_name.is_empty() {
            return refuse(ErrorCode::InvalidRequest, "Default topic resources are not allowed.");
        }
        validate_name(change.resource_name)?;
        TopicConfig::new(&configs, &self.settings).map_err(|error| (ErrorCode::InvalidConfig, error.0))?;
        if topic.is_none() {
            let message = format!("The topic '{}' does not exist.", change.resource_name);
            return Err((ErrorCode::UnknownTopicOrPartition, message));
        }
        Ok(configs)
    }
}

/// What can be seen without knowing any topic.
fn well_formed(change: &Change<'_>) -> Result<(), Refusal> {
    let mut keys = BTreeSet::new();
    if !change.operations.iter().all(|(key, ..)| keys.insert(*key)) {
        return refuse(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
    }
    let null = change.operations.iter().filter(|(_, operation, value)| *operation != DELETE && value.is_none());
    let null: Vec<&str> = null.map(|(key, ..)| *key).collect();
    if !null.is_empty() {
        let message = format!("Null value not supported for : {}", null.join(", "));
        return Err((ErrorCode::InvalidRequest, message));
    }
    match change.resource_type {
        TOPIC => {}
        BROKER => {
            let name = change.resource_name;
            let message = if !name.is_empty() && name.parse::<i32>().is_err() {
                format!("Node id must be an integer, but it is: {name}")
            } else {
                let keys: Vec<&str> = keys.into_iter().collect();
                format!("Cannot update these configs dynamically: [{}]", keys.join(", "))
            };
            return Err((ErrorCode::InvalidRequest, message));
        }
        other => return Err((ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
    }
    let unknown = change.operations.iter().find(|(_, operation, _)| !(SET..=SUBTRACT).contains(operation));
    match unknown {
        Some((_, operation, _)) => Err((ErrorCode::InvalidRequest, format!("Unknown operations type {operation}"))),
        None => Ok(()),
    }
}

fn apply(configs: &mut BTreeMap<String, String>, key: &str, operation: i8, value: &str) -> Result<(), Refusal> {
    match operation {
        SET => {
            configs.insert(key.to_owned(), value.to_owned());
        }
        DELETE => {
            configs.remove(key);
        }
        _ => {
            let Some(setting) = table::TOPIC.get(key).filter(|setting| setting.kind == Kind::List) else {
                let operation = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                let message = format!("Can't {operation} to key {key} because its type is not LIST.");
                return Err((ErrorCode::InvalidConfig, message));
            };
            let old = configs.get(key).map(String::as_str).or(setting.default).unwrap_or_default();
            let mut items: Vec<&str> = old.split(',').filter(|item| !item.is_empty()).collect();
            for item in value.split(',') {
                let at = items.iter().position(|old| *old == item);
                match (operation, at) {
                    (APPEND, None) => items.push(item),
                    (SUBTRACT, Some(at)) => {
                        items.remove(at);
                    }
                    _ => {}
                }
            }
            let items = items.join(",");
            configs.insert(key.to_owned(), items);
        }
    }
    Ok(())
}

fn refuse<T>(error: ErrorCode, message: &str) -> Result<T, Refusal> {
    Err((error, message.to_owned()))
}

fn told(outcome: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(()) => (crate::error::NONE, None),
        Err((error, message)) => (error.code(), Some(StrBytes::from_string(message))),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    use kafka_protocol::messages::incremental_alter_configs_request as incremental;

    use super::super::tests::{cluster, topic};
    use super::*;

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn resource(name: &str, operations: &[(&str, i8, Option<&str>)]) -> incremental::AlterConfigsResource {
        let configs = operations.iter().map(|(key, operation, value)| {
            incremental::AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(*operation)
                .with_value(value.map(text))
        });
        incremental::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configs(configs.collect())
    }

    fn controller() -> Controller {
        let mut controller = cluster(1);
        controller.create_topics(&super::super::topic::tests::request("t", 1, 1), 7);
        controller
    }

    fn ask(controller: &mut Controller, resources: Vec<incremental::AlterConfigsResource>) -> Vec<(i16, String)> {
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
        let response = controller.incremental_alter_configs(&request);
        let told = |result: IncrementalResult| {
            (result.error_code, result.error_message.map_or(String::new(), |message| message.to_string()))
        };
        response.responses.into_iter().map(told).collect()
    }

    fn one(controller: &mut Controller, name: &str, key: &str, operation: i8, value: Option<&str>) -> (i16, String) {
        ask(controller, vec![resource(name, &[(key, operation, value)])]).remove(0)
    }

    fn configs(controller: &Controller) -> Vec<(&str, &str)> {
        let configs = &controller.state.topics[&topic("t")].configs;
        configs.iter().map(|(name, value)| (&name[..], &value[..])).collect()
    }

    #[test]
    fn what_kafka_refuses_is_refused_in_its_words() {
        let controller = &mut controller();
        let version = controller.state.version;
        for (name, key, operation, value, code, message) in [
            (
                "t",
                "retention.ms",
                SET,
                Some("abc"),
                ErrorCode::InvalidConfig,
                "Invalid value abc for configuration retention.ms: Not a number of type LONG",
            ),
            ("t", "nope", SET, Some("1"), ErrorCode::InvalidConfig, "Unknown topic config name: nope"),
            (
                "t",
                "nope",
                APPEND,
                Some("1"),
                ErrorCode::InvalidConfig,
                "Can't APPEND to key nope because its type is not LIST.",
            ),
            (
                "missing",
                "retention.ms",
                SET,
                Some("1"),
                ErrorCode::UnknownTopicOrPartition,
                "The topic 'missing' does not exist.",
            ),
            ("", "retention.ms", SET, Some("1"), ErrorCode::InvalidRequest, "Default topic resources are not allowed."),
            (
                "bad name",
                "retention.ms",
                SET,
                Some("1"),
                ErrorCode::InvalidTopicException,
                "Topic name is invalid: 'bad name' contains one or more characters other than ASCII alphanumerics, \
                 '.', '_' and '-'",
            ),
            ("t", "retention.ms", SET, None, ErrorCode::InvalidRequest, "Null value not supported for : retention.ms"),
        ] {
            assert_eq!(one(controller, name, key, operation, value), (code.code(), message.to_owned()));
        }
        let twice = vec![resource("t", &[]), resource("t", &[])];
        let told = ask(controller, twice);
        assert!(told.iter().all(|(code, text)| *code == 42 && text == "Each resource must appear at most once."));
        let duplicate = resource("t", &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)]);
        assert_eq!(ask(controller, vec![duplicate])[0].1, "Error due to duplicate config keys");
        assert_eq!(controller.state.version, version);
    }

    #[test]
    fn lists_grow_and_shrink_and_what_is_deleted_is_inherited_again() {
        let controller = &mut controller();
        let ok = (0, String::new());
        assert_eq!(one(controller, "t", "cleanup.policy", APPEND, Some("compact")), ok);
        assert_eq!(configs(controller), [("cleanup.policy", "delete,compact")]);
        assert_eq!(one(controller, "t", "cleanup.policy", SUBTRACT, Some("delete")), ok);
        assert_eq!(one(controller, "t", "retention.ms", SET, Some("5")), ok);
        assert_eq!(configs(controller), [("cleanup.policy", "compact"), ("retention.ms", "5")]);
        assert_eq!(one(controller, "t", "cleanup.policy", DELETE, None), ok);
        assert_eq!(one(controller, "t", "nope", DELETE, None), ok);
        assert_eq!(configs(controller), [("retention.ms", "5")]);
    }

    #[test]
    fn alter_configs_replaces_all_and_validation_changes_nothing() {
        let controller = &mut controller();
        one(controller, "t", "retention.ms", SET, Some("5"));
        let config = AlterableConfig::default().with_name(text("flush.ms")).with_value(Some(text("9")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
        assert_eq!(controller.alter_configs(&request).responses[0].error_code, 0);
        assert_eq!(configs(controller), [("retention.ms", "5")]);
        controller.alter_configs(&request.with_validate_only(false));
        assert_eq!(configs(controller), [("flush.ms", "9")]);
    }

    #[test]
    fn brokers_are_not_altered_while_they_run() {
        let broker = resource("1", &[("log.segment.bytes", SET, Some("1048576"))]).with_resource_type(BROKER);
        let told = ask(&mut controller(), vec![broker]);
        assert_eq!(told, [(42, "Cannot update these configs dynamically: [log.segment.bytes]".to_owned())]);
    }
}
