//! Settings are changed: of topics, of groups, of one broker, of all brokers. What is refused, and in which words, is Kafka's
//! `ConfigAdminManager` and `ConfigurationControlManager`.
//!
//! 1. One broker's settings are changed by asking that broker: the clients of Kafka see to it, and others are told.
//! 2. A broker has no loggers whose level could be set here; clients' metrics have no settings.

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
use crate::arrange::firsts;
use crate::config::setting::{Kind, Setting};
use crate::config::table::Table;
use crate::config::{TopicConfig, dynamic, group, table};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::vec_map::VecMap;

/// Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

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
    pub fn alter_configs(&mut self, asked: BrokerId, request: &AlterConfigsRequest) -> AlterConfigsResponse {
        let changes = request.resources.iter().map(|resource| Change {
            resource_type: resource.resource_type,
            resource_name: &resource.resource_name,
            replace: true,
            operations: resource.configs.iter().map(|config| (&*config.name, SET, config.value.as_deref())).collect(),
        });
        let outcomes = self.alter(asked, changes.collect(), request.validate_only);
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
        asked: BrokerId,
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
        let outcomes = self.alter(asked, changes.collect(), request.validate_only);
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
    fn alter(&mut self, asked: BrokerId, changes: Vec<Change<'_>>, validate_only: bool) -> Vec<Result<(), Refusal>> {
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
                match change.resource_type {
                    TOPIC => self.alter_topic(change, validate_only),
                    GROUP => self.alter_group(change, validate_only),
                    BROKER => self.alter_broker(asked, change, validate_only),
                    BROKER_LOGGER if !change.replace => alter_loggers(asked, change),
                    CLIENT_METRICS => only_with_kraft(),
                    other => Err((ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
                }
            })
            .collect()
    }

    fn alter_topic(&mut self, change: &Change<'_>, validate_only: bool) -> Result<(), Refusal> {
        let name = TopicName(change.resource_name.clone());
        let topic = self.state.topics.get(&name);
        let current = topic.map(|topic| topic.configs.clone()).unwrap_or_default();
        let configs = altered_of(&table::TOPIC, change, current)?;
        if change.resource_name.is_empty() {
            return refuse(ErrorCode::InvalidRequest, "Default topic resources are not allowed.");
        }
        validate_name(change.resource_name)?;
        TopicConfig::new(&configs, &self.settings).map_err(|error| (ErrorCode::InvalidConfig, error.0))?;
        let Some(topic) = topic else {
            let message = format!("The topic '{}' does not exist.", change.resource_name);
            return Err((ErrorCode::UnknownTopicOrPartition, message));
        };
        if !validate_only && topic.configs != configs {
            let electorate = self.electorate();
            self.change(|state| {
                if let Some(topic) = state.topics.get_mut(&name) {
                    topic.configs = configs;
                }
                // One may lead now who could not before.
                electorate.elect(state);
            });
        }
        Ok(())
    }

    /// The group need not be there.
    fn alter_group(&mut self, change: &Change<'_>, validate_only: bool) -> Result<(), Refusal> {
        let name = &**change.resource_name;
        let current = self.state.group_configs.get(name).cloned().unwrap_or_default();
        let configs = altered_of(&table::GROUP, change, current.clone())?;
        if name.is_empty() {
            return refuse(ErrorCode::InvalidRequest, "Default group resources are not allowed.");
        }
        group::validate(&configs, &self.settings).map_err(|error| (ErrorCode::InvalidConfig, error.0))?;
        if !validate_only && current != configs {
            self.change(|state| drop(state.group_configs.insert(name.to_owned(), configs)));
        }
        Ok(())
    }

    /// (1)
    fn alter_broker(&mut self, asked: BrokerId, change: &Change<'_>, validate_only: bool) -> Result<(), Refusal> {
        let name = change.resource_name;
        let whose = match name.parse().map(BrokerId) {
            _ if name.is_empty() => None,
            Ok(id) if id == asked => Some(id),
            Ok(_) => {
                let message = format!("Unexpected broker id, expected {}, but received {name}", asked.0);
                return Err((ErrorCode::InvalidRequest, message));
            }
            Err(_) => {
                return Err((ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}")));
            }
        };
        let unknown = change.operations.iter().find(|(_, operation, _)| !(SET..=SUBTRACT).contains(operation));
        if let Some((_, operation, _)) = unknown {
            return Err((ErrorCode::InvalidRequest, format!("Unknown operations type {operation}")));
        }
        let current = self.state.broker_configs.get(whose).clone();
        let configs = altered(change, current, |configs, key, operation, value| match table::BROKER.get(key) {
            None => Err((ErrorCode::InvalidConfig, format!("Unknown config name: {key}"))),
            Some(setting) if setting.kind == Kind::List => {
                change_list(configs, setting, operation, value);
                Ok(())
            }
            Some(_) => {
                let operation = if operation == APPEND { "append" } else { "subtract" };
                let message = format!("Config value {operation} is not allowed for config key: {key}");
                Err((ErrorCode::InvalidConfig, message))
            }
        })?;
        let mut next = self.state.broker_configs.clone();
        next.0.insert(whose, configs.clone());
        let [now, then] = [&self.state.broker_configs, &next].map(|configs| self.settings.under(configs, asked));
        dynamic::validate(&configs, whose.is_some())
            .and_then(|()| dynamic::validate_change(&now, &then))
            .map_err(|error| (ErrorCode::InvalidRequest, error.0))?;
        if validate_only || self.state.broker_configs.0.get(&whose) == Some(&configs) {
            return Ok(());
        }
        self.change(|state| drop(state.broker_configs.0.insert(whose, configs)));
        self.follow_settings();
        let electorate = self.electorate();
        self.change(|state| electorate.elect(state));
        Ok(())
    }
}

/// What can be seen without knowing any resource.
fn well_formed(change: &Change<'_>) -> Result<(), Refusal> {
    if firsts(&change.operations.iter().map(|(key, ..)| *key).collect::<Vec<_>>()).contains(&false) {
        return refuse(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
    }
    let null = change.operations.iter().filter(|(_, operation, value)| *operation != DELETE && value.is_none());
    let null: Vec<&str> = null.map(|(key, ..)| *key).collect();
    if !null.is_empty() {
        let message = format!("Null value not supported for : {}", null.join(", "));
        return Err((ErrorCode::InvalidRequest, message));
    }
    let unknown = change.operations.iter().find(|(_, operation, _)| !(SET..=SUBTRACT).contains(operation));
    match unknown {
        Some((_, operation, _)) if matches!(change.resource_type, TOPIC | GROUP) => {
            Err((ErrorCode::InvalidRequest, format!("Unknown operations type {operation}")))
        }
        _ => Ok(()),
    }
}

/// The settings of a topic or a group after the change.
fn altered_of(
    table: &Table,
    change: &Change<'_>,
    current: VecMap<String, String>,
) -> Result<VecMap<String, String>, Refusal> {
    let configs = altered(change, current, |configs, key, operation, value| {
        let Some(setting) = table.get(key).filter(|setting| setting.kind == Kind::List) else {
            let operation = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {operation} to key {key} because its type is not LIST.");
            return Err((ErrorCode::InvalidConfig, message));
        };
        change_list(configs, setting, operation, value);
        Ok(())
    })?;
    if configs.values().any(|value| value.chars().count() > MAX_VALUE_LEN) {
        let message = format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {MAX_VALUE_LEN} bytes."
        );
        return Err((ErrorCode::InvalidConfig, message));
    }
    Ok(configs)
}

/// The settings after the change; `list` appends to or subtracts from one that is a list.
fn altered(
    change: &Change<'_>,
    current: VecMap<String, String>,
    list: impl Fn(&mut BTreeMap<String, String>, &str, i8, &str) -> Result<(), Refusal>,
) -> Result<VecMap<String, String>, Refusal> {
    // A tree: what one asks for may be long, and in any order.
    let mut configs: BTreeMap<String, String> =
        if change.replace { BTreeMap::new() } else { current.into_iter().collect() };
    for &(key, operation, value) in &change.operations {
        let value = value.unwrap_or_default();
        match operation {
            SET => drop(configs.insert(key.to_owned(), value.to_owned())),
            DELETE => drop(configs.remove(key)),
            _ => list(&mut configs, key, operation, value)?,
        }
    }
    Ok(configs.into_iter().collect())
}

fn change_list(configs: &mut BTreeMap<String, String>, setting: &Setting, operation: i8, value: &str) {
    let old = configs.get(setting.name).map(String::as_str).or(setting.default).unwrap_or_default();
    let mut items: Vec<&str> = old.split(',').filter(|item| !item.is_empty()).collect();
    if operation == APPEND {
        let mut known: BTreeSet<&str> = items.iter().copied().collect();
        items.extend(value.split(',').filter(|item| known.insert(item)));
    } else {
        let mut less: BTreeMap<&str, usize> = BTreeMap::new();
        value.split(',').for_each(|item| *less.entry(item).or_default() += 1);
        items.retain(|item| match less.get_mut(item).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                false
            }
            None => true,
        });
    }
    let items = items.join(",");
    configs.insert(setting.name.to_owned(), items);
}

/// (2) What Kafka's `RuntimeLoggerManager` says of a logger that is not there.
fn alter_loggers(asked: BrokerId, change: &Change<'_>) -> Result<(), Refusal> {
    let name = change.resource_name;
    match name.parse::<i32>() {
        Ok(id) if id == asked.0 => {}
        Ok(id) => {
            let message = format!("Unexpected node id. Expected {}, but received {id}", asked.0);
            return Err((ErrorCode::InvalidRequest, message));
        }
        Err(_) => return Err((ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}"))),
    }
    let Some((logger, operation, _)) = change.operations.first() else { return Ok(()) };
    let not_allowed =
        |what: &str| Err((ErrorCode::InvalidRequest, format!("{what} is not allowed for the BROKER_LOGGER resource")));
    match *operation {
        SET | DELETE => Err((ErrorCode::InvalidConfig, format!("Logger {logger} does not exist!"))),
        APPEND => not_allowed("APPEND operation"),
        SUBTRACT => not_allowed("SUBTRACT operation"),
        other => not_allowed(&format!("Unknown operation type {other}")),
    }
}

/// (2) What Kafka 3.9 says of clients' metrics where its cluster's state is in ZooKeeper.
fn only_with_kraft() -> Result<(), Refusal> {
    let message = "Config type client-metrics is only supported on KRaft clusters";
    Err((ErrorCode::InvalidRequest, message.to_owned()))
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
        let response = controller.incremental_alter_configs(BrokerId(1), &request);
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
        assert_eq!(controller.alter_configs(BrokerId(1), &request).responses[0].error_code, 0);
        assert_eq!(configs(controller), [("retention.ms", "5")]);
        controller.alter_configs(BrokerId(1), &request.with_validate_only(false));
        assert_eq!(configs(controller), [("flush.ms", "9")]);
    }

    #[test]
    fn one_brokers_settings_and_those_of_all_are_changed_and_what_kafka_refuses_is_refused() {
        let controller = &mut controller();
        let version = controller.state.version;
        for (name, key, operation, value, code, message) in [
            (
                "1",
                "num.partitions",
                SET,
                "3",
                ErrorCode::InvalidRequest,
                "Cannot update these configs dynamically: [num.partitions]",
            ),
            (
                "",
                "max.connections.per.ip",
                SET,
                "0",
                ErrorCode::InvalidRequest,
                "requirement failed: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides \
                 property is set.",
            ),
            (
                "2",
                "log.retention.ms",
                SET,
                "3",
                ErrorCode::InvalidRequest,
                "Unexpected broker id, expected 1, but received 2",
            ),
            ("x", "log.retention.ms", SET, "3", ErrorCode::InvalidRequest, "Node id must be an integer, but it is: x"),
            (
                "",
                "log.retention.ms",
                SET,
                "x",
                ErrorCode::InvalidRequest,
                "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
            ),
            (
                "",
                "log.retention.ms",
                APPEND,
                "1",
                ErrorCode::InvalidConfig,
                "Config value append is not allowed for config key: log.retention.ms",
            ),
            ("", "nope", SUBTRACT, "1", ErrorCode::InvalidConfig, "Unknown config name: nope"),
            ("", "log.retention.ms", 9, "1", ErrorCode::InvalidRequest, "Unknown operations type 9"),
        ] {
            let change = resource(name, &[(key, operation, Some(value))]).with_resource_type(BROKER);
            assert_eq!(ask(controller, vec![change]), [(code.code(), message.to_owned())]);
        }
        assert_eq!(controller.state.version, version);

        let ok = (0, String::new());
        let all = resource("", &[("log.retention.ms", SET, Some("7"))]).with_resource_type(BROKER);
        let one = resource("1", &[("log.cleanup.policy", APPEND, Some("compact"))]).with_resource_type(BROKER);
        assert_eq!(ask(controller, vec![all, one]), [ok.clone(), ok]);
        assert_eq!(controller.state.broker_configs.of_all()["log.retention.ms"], "7");
        assert_eq!(controller.state.broker_configs.of(BrokerId(1))["log.cleanup.policy"], "delete,compact");
        let topic = TopicConfig::new(&VecMap::new(), &controller.settings).unwrap();
        assert!(topic.retention_ms == 7 && topic.cleanup_compact, "topics inherit it");
    }

    #[test]
    fn clients_metrics_have_settings_with_kraft_alone() {
        let controller = &mut controller();
        let change = resource("m1", &[("interval.ms", SET, Some("1000"))]).with_resource_type(CLIENT_METRICS);
        let words = "Config type client-metrics is only supported on KRaft clusters".to_owned();
        assert_eq!(ask(controller, vec![change]), [(42, words)]);
    }

    #[test]
    fn a_broker_has_no_loggers() {
        let controller = &mut controller();
        let logger = |operation| resource("1", &[("root", operation, Some("DEBUG"))]).with_resource_type(BROKER_LOGGER);
        let told = ask(controller, vec![logger(SET)]);
        assert_eq!(told, [(ErrorCode::InvalidConfig.code(), "Logger root does not exist!".to_owned())]);
        let told = ask(controller, vec![logger(APPEND)]);
        assert_eq!(told[0].1, "APPEND operation is not allowed for the BROKER_LOGGER resource");
    }
}
