//! What Kafka's admin tools ask: elections, reassignments, log directories, and the settings of brokers.

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

use super::*;

const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

pub(super) fn exchanges(script: &mut Vec<Exchange>) {
    elections(script);
    reassignments(script);
    log_dirs(script);
    broker_configs(script);
}

fn elections(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::ElectLeaders) {
        let elect = move |election: i8, topic: &str, index: i32| {
            let topic = TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![index]);
            let request =
                ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic])).with_timeout_ms(5_000);
            if version >= 1 { request.with_election_type(election) } else { request }
        };
        ask(script, "one that leads already", ApiKey::ElectLeaders, version, move |_| elect(0, "t2", 0));
        ask(script, "a partition that is not there", ApiKey::ElectLeaders, version, move |_| elect(0, "t2", 99));
        ask(script, "a topic that is not there", ApiKey::ElectLeaders, version, move |_| elect(0, "nowhere", 0));
        if version >= 1 {
            ask(script, "unclean where one leads", ApiKey::ElectLeaders, version, move |_| elect(1, "t2", 0));
        }
    }
}

fn reassignments(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::AlterPartitionReassignments) {
        let alter = |topic: &str, index: i32, target: Option<&[i32]>| {
            let replicas = target.map(|ids| ids.iter().copied().map(BrokerId).collect());
            let partition = ReassignablePartition::default().with_partition_index(index).with_replicas(replicas);
            let topic = ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
            AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000)
        };
        for (what, topic, index, target) in [
            ("to where it lies", "t2", 0, Some(&[1][..])),
            ("back from nowhere", "t2", 0, None),
            ("to nobody", "t2", 0, Some(&[])),
            ("to one twice", "t2", 0, Some(&[1, 1])),
            ("to one that is not there", "t2", 0, Some(&[1, 9])),
            ("a partition that is not there", "t2", 99, Some(&[1])),
            ("a topic that is not there", "nowhere", 0, Some(&[1])),
        ] {
            ask(script, what, ApiKey::AlterPartitionReassignments, version, move |_| alter(topic, index, target));
        }
        if version >= 1 {
            ask(script, "as many replicas as before", ApiKey::AlterPartitionReassignments, version, move |_| {
                alter("t2", 0, Some(&[1])).with_allow_replication_factor_change(false)
            });
        }
    }
    for version in versions(ApiKey::ListPartitionReassignments) {
        ask(script, "all", ApiKey::ListPartitionReassignments, version, |_| {
            ListPartitionReassignmentsRequest::default().with_topics(None)
        });
        ask(script, "some", ApiKey::ListPartitionReassignments, version, |_| {
            let asked = |topic: &str| {
                ListPartitionReassignmentsTopics::default().with_name(name(topic)).with_partition_indexes(vec![0, 99])
            };
            ListPartitionReassignmentsRequest::default().with_topics(Some(vec![asked("t2"), asked("nowhere")]))
        });
    }
}

fn log_dirs(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::AlterReplicaLogDirs) {
        ask(script, "a directory that is not there", ApiKey::AlterReplicaLogDirs, version, |_| {
            let topic = AlterReplicaLogDirTopic::default().with_name(name("t2")).with_partitions(vec![0, 99]);
            let dir = AlterReplicaLogDir::default().with_path(text("/nowhere")).with_topics(vec![topic]);
            AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])
        });
    }
}

fn broker_configs(script: &mut Vec<Exchange>) {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    type Change = (&'static str, i8, Option<&'static str>);
    let alter = |resource_type: i8, broker: &'static str, changes: Vec<Change>| {
        let configs = changes.into_iter().map(|(key, operation, value)| {
            incremental::AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(operation)
                .with_value(value.map(text))
        });
        let resource = incremental::AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(text(broker))
            .with_configs(configs.collect());
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };
    for (what, resource_type, broker, changes) in [
        (
            "sets of a broker",
            BROKER,
            "1",
            vec![("log.retention.ms", SET, Some("7200000")), ("max.connections", SET, Some("900"))],
        ),
        ("sets of all brokers", BROKER, "", vec![("log.retention.ms", SET, Some("3600000"))]),
        ("appends to a list of a broker", BROKER, "1", vec![("log.cleanup.policy", APPEND, Some("compact"))]),
        ("appends to what is no list", BROKER, "1", vec![("log.retention.ms", APPEND, Some("1"))]),
        ("what is read at the start only", BROKER, "1", vec![("num.partitions", SET, Some("3"))]),
        ("of all brokers, likewise", BROKER, "", vec![("log.dirs", SET, Some("/x"))]),
        ("a wrong type of a broker's", BROKER, "1", vec![("log.retention.ms", SET, Some("long"))]),
        ("out of a broker's range", BROKER, "1", vec![("max.connections", SET, Some("-1"))]),
        ("another broker's", BROKER, "9", vec![("log.retention.ms", SET, Some("1"))]),
        ("of a broker without a number", BROKER, "one", vec![("log.retention.ms", SET, Some("1"))]),
        ("an operation that is none", BROKER, "1", vec![("log.retention.ms", 9, Some("1"))]),
        ("a level of a logger that is not there", BROKER_LOGGER, "1", vec![("no.such.logger", SET, Some("DEBUG"))]),
        ("a level of another broker's logger", BROKER_LOGGER, "9", vec![("no.such.logger", SET, Some("DEBUG"))]),
    ] {
        ask(script, what, ApiKey::IncrementalAlterConfigs, 1, move |_| alter(resource_type, broker, changes.clone()));
    }
    let describe = |broker: &'static str, keys: &[&str]| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(text(broker))
            .with_configuration_keys(Some(keys.iter().map(|key| text(key)).collect()));
        DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true)
    };
    const SOME: &[&str] =
        &["log.retention.ms", "max.connections", "log.cleanup.policy", "log.segment.bytes", "broker.id"];
    for version in versions(ApiKey::DescribeConfigs) {
        ask(script, "some of a broker", ApiKey::DescribeConfigs, version, move |_| describe("1", SOME));
        ask(script, "some of all brokers", ApiKey::DescribeConfigs, version, move |_| {
            describe("", &["log.retention.ms", "log.segment.bytes"])
        });
        ask(script, "another broker", ApiKey::DescribeConfigs, version, move |_| describe("9", SOME));
        ask(script, "a topic that inherits", ApiKey::DescribeConfigs, version, move |_| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("t2"))
                .with_configuration_keys(Some(vec![text("retention.ms"), text("cleanup.policy")]));
            DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true)
        });
    }
    for (broker, keys) in
        [("1", &["log.retention.ms", "max.connections", "log.cleanup.policy"][..]), ("", &["log.retention.ms"])]
    {
        ask(script, "takes it back", ApiKey::IncrementalAlterConfigs, 1, move |_| {
            alter(BROKER, broker, keys.iter().map(|key| (*key, DELETE, None)).collect())
        });
    }
    ask(script, "some of a broker, as it began", ApiKey::DescribeConfigs, 4, move |_| describe("1", SOME));
}
