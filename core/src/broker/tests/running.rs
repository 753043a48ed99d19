use super::*;
use crate::id::CallId;
use crate::log::checkpoint::{RECOVERY_POINT, REPLICATION, print_partition_metadata};
use crate::protocol::cluster::{Assignment, ClusterRequest, ClusterState, Topic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    ListConfigResourcesRequest, MetadataRequest,
};
use std::sync::Arc;

/// What a controller would tell: one topic, `orders`, of one partition on brokers 1 and 2.
pub(super) fn tell(room: &mut Room, version: u64, leader: BrokerId, leader_epoch: i32) {
    let [one, two] = [BrokerId(1), BrokerId(2)];
    let partition =
        Assignment { replicas: vec![one, two], isr: vec![one, two], leader, leader_epoch, ..Assignment::default() };
    let orders = Topic { id: Uuid::from_u128(5), configs: VecMap::new(), partitions: vec![partition] };
    let registration = |id| Registration { id, host: "localhost".into(), port: 9091 + id.0 as u16, rack: None };
    let state = ClusterState {
        version: (2 << 32) + version,
        controller_epoch: 2,
        cluster_id: "room".into(),
        controller: one,
        brokers: [one, two].map(|id| (id, registration(id))).into(),
        topics: [(topic("orders"), orders)].into(),
        ..ClusterState::default()
    };
    tell_state(room, state);
}

/// The broker is told all of that; an old version is a newer one.
pub(super) fn tell_state(room: &mut Room, state: ClusterState) {
    let version = state.version.max(room.broker.cluster_state().version + 1);
    let broker_epochs = [(BrokerId(1), room.broker.membership.epoch)].into();
    let request = ClusterRequest::Update(Arc::new(ClusterState { version, broker_epochs, ..state }));
    room.step(Event::Call { from: BrokerId(1), call: CallId(version), request });
}

#[test]
fn acks_all_waits_for_the_follower_that_is_in_sync() {
    let mut room = Room::new();
    tell(&mut room, 100, BrokerId(1), 0);
    let producer = room.produce("orders", -1, &batch(&["a"]));
    let consumer = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    let follower = kafka_protocol::messages::BrokerId(2);
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]).with_replica_id(follower));
    assert_eq!(room.fetched_one(seq).unwrap().1, ["a"]);
    assert!(room.produced(producer).is_none() && room.fetched(consumer).is_none());
    room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 1)]).with_replica_id(follower));
    assert_eq!(room.produced(producer).unwrap().error_code, 0);
    assert_eq!(room.fetched_one(consumer).unwrap().1, ["a"]);
}

#[test]
fn who_waits_for_a_leader_that_is_no_more_is_told_who_leads_now() {
    let mut room = Room::new();
    tell(&mut room, 100, BrokerId(1), 0);
    let producer = room.produce("orders", -1, &batch(&["a"]));
    let consumer = room.send(ApiKey::Fetch, 16, {
        let mut body = fetch("", &[(0, 0)]);
        body.topics[0].topic_id = Uuid::from_u128(5);
        body.topics[0].partitions[0].current_leader_epoch = 0;
        body
    });
    tell(&mut room, 101, BrokerId(2), 1);
    let answer = room.produced(producer).unwrap();
    assert_eq!(answer.error_code, code(ErrorCode::NotLeaderOrFollower));
    assert_eq!((answer.current_leader.leader_id.0, answer.current_leader.leader_epoch), (2, 1));
    let (body, _) = room.fetched(consumer).unwrap();
    let answer = &body.responses[0].partitions[0];
    assert_eq!(
        (answer.error_code, answer.current_leader.leader_id.0, answer.current_leader.leader_epoch),
        (code(ErrorCode::FencedLeaderEpoch), 2, 1)
    );
    assert_eq!((body.node_endpoints[0].node_id.0, body.node_endpoints[0].port), (2, 9093));
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let mut room = Room::with(&[("log.segment.bytes", "1048576")]);
    room.create("orders", &[]);
    for round in 0..20 {
        room.produce("orders", 1, &batch(&[&format!("{round}"), &"x".repeat(100_000)]));
    }
    assert!(room.logs.values().any(|log| log.segments.len() > 1));
    let mut room = room.restart();
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 38)]));
    let (answer, seen) = room.fetched_one(seq).unwrap();
    assert_eq!((answer.high_watermark, &seen[0][..]), (40, "19"));
    let seq = room.produce("orders", 1, &batch(&["next"]));
    assert_eq!(room.produced(seq).unwrap().base_offset, 40);
}

#[test]
fn a_directory_of_another_topic_is_set_aside_and_its_name_begins_empty() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["precious"]));
    let other = Bytes::from(print_partition_metadata(Uuid::from_u128(9)));
    room.files.insert("orders-0/partition.metadata".into(), other);
    let mut room = room.restart();
    assert_eq!(room.strays, ["orders-0"]);
    assert!(
        room.told(Level::Warn)[0]
            .starts_with("orders-0 holds the topic of id AAAAAAAAAAAAAAAAAAAACQ, and orders has id ")
    );
    let seq = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    room.pass(500);
    assert!(room.fetched_one(seq).unwrap().1.is_empty());
}

#[test]
fn what_the_cluster_does_not_know_stays_and_is_told_of() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.zookeeper = empty_zookeeper(room.now);
    let mut room = room.restart();
    assert_eq!(
        room.told(Level::Warn),
        ["the cluster knows of no replica of orders here: orders-0, orders-1 not hosted; the files stay"]
    );
    assert!(room.strays.is_empty() && room.files.contains_key("orders-0/partition.metadata"));
}

#[test]
fn a_stop_flushes_everything_then_saves_the_checkpoints_then_ends() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["a"]));
    room.slow = true;
    assert!(room.broker.controller.is_some());
    room.step(Event::Stop { controlled: false });
    assert!(room.broker.controller.is_none(), "it would shrink every ISR to itself while the others stop");
    assert!(room.others.is_empty());
    room.catch_up();
    assert!(matches!(room.others[..], [Effect::Stopped]));
    for file in [RECOVERY_POINT, REPLICATION] {
        assert_eq!(room.files[file], "0\n2\norders 0 1\norders 1 0\n");
    }
}

#[test]
fn high_watermarks_are_saved_five_seconds_after_they_moved() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.produce("orders", 1, &batch(&["a"]));
    room.pass(4_999);
    assert!(!room.files.contains_key(REPLICATION));
    room.pass(1);
    assert_eq!(room.files[REPLICATION], "0\n2\norders 0 1\norders 1 0\n");
}

#[test]
fn a_broken_disk_keeps_nobody_waiting() {
    let mut room = Room::new();
    room.create("orders", &[]);
    room.slow = true;
    let producer = room.produce("orders", 1, &batch(&["a"]));
    let consumer = room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, 0)]));
    let log = room.broker.partition(&topic("orders"), 0).unwrap().log.id();
    room.step(Event::Offline { log, cause: "no space left on device".into() });
    assert_eq!(room.produced(producer).unwrap().error_code, code(ErrorCode::KafkaStorageError));
    assert_eq!(room.fetched_one(consumer).unwrap().0.error_code, code(ErrorCode::KafkaStorageError));
    let facts = room.broker.partition_facts("orders", 0).unwrap();
    assert!(facts.iter().any(|group| group.title == "Offline"));
}

#[test]
fn who_asks_is_told_that_a_log_is_offline() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let log = room.broker.partition(&topic("orders"), 0).unwrap().log.id();
    room.step(Event::Offline { log, cause: "No space left on device".into() });
    let asked = room.send(ApiKey::Metadata, 12, MetadataRequest::default().with_topics(None));
    let ResponseKind::Metadata(body) = &*room.replies[&asked].body else { panic!() };
    let told = |index: usize| {
        let partition = &body.topics[0].partitions[index];
        (partition.error_code, partition.leader_id.0, partition.offline_replicas.iter().map(|id| id.0).collect())
    };
    assert_eq!(told(0), (code(ErrorCode::LeaderNotAvailable), -1, vec![1]));
    assert_eq!(told(1), (0, 1, vec![]));
}

/// Names without end, as fast as they can be read: what is quadratic takes minutes.
#[test]
fn a_hundred_thousand_unknown_names_are_answered_and_where_creation_is_off_none_is_made() {
    let mut room = Room::with(&[("auto.create.topics.enable", "false")]);
    let names = (0..100_000).map(|n| MetadataRequestTopic::default().with_name(Some(topic(&format!("t{n}")))));
    let body = MetadataRequest::default().with_topics(Some(names.collect())).with_allow_auto_topic_creation(true);
    let asked = room.send(ApiKey::Metadata, 12, body);
    let ResponseKind::Metadata(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.topics.len(), 100_000);
    assert!(room.broker.cluster_state().topics.is_empty());
}

#[test]
fn a_name_that_is_asked_for_twice_is_made_once() {
    let mut room = Room::new();
    let names = ["a", "b", "a"].map(|name| MetadataRequestTopic::default().with_name(Some(topic(name))));
    let body = MetadataRequest::default().with_topics(Some(names.into())).with_allow_auto_topic_creation(true);
    let asked = room.send(ApiKey::Metadata, 12, body);
    let ResponseKind::Metadata(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.topics.len(), 3);
    assert_eq!(room.broker.cluster_state().topics.keys().map(|name| name.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_resource_is_described_once_however_often_it_is_asked_for() {
    let mut room = Room::new();
    let resource = DescribeConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
    let one = resource.clone().with_configuration_keys(Some(vec![text("log.dirs")]));
    let mut resources = vec![resource; 2_000];
    resources.push(one);
    let asked = room.send(ApiKey::DescribeConfigs, 4, DescribeConfigsRequest::default().with_resources(resources));
    let ResponseKind::DescribeConfigs(body) = &*room.replies[&asked].body else { panic!() };
    let configs = body.results.iter().map(|result| result.configs.len()).collect::<Vec<_>>();
    assert!(configs.len() == 2 && configs[0] > 50 && configs[1] <= 1, "{configs:?}");
}

#[test]
fn a_broker_says_where_its_logs_lie() {
    let mut room = Room::new();
    let resource = DescribeConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
    let resource = resource.with_configuration_keys(Some(vec![text("log.dirs")]));
    let body = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let asked = room.send(ApiKey::DescribeConfigs, 4, body);
    let ResponseKind::DescribeConfigs(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.results[0].configs[0].value, Some(text("/room")));
}

#[test]
fn what_has_settings_is_listed_by_kind() {
    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;
    const GROUP: i8 = 32;
    let mut room = Room::new();
    room.create("orders", &[]);
    let mut listed = |version: i16, kinds: &[i8]| {
        let body = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let asked = room.send(ApiKey::ListConfigResources, version, body);
        let ResponseKind::ListConfigResources(body) = &*room.replies[&asked].body else { panic!() };
        let resources = body.config_resources.iter().map(|one| format!("{} {}", one.resource_type, one.resource_name));
        (body.error_code, resources.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(listed(1, &[]), (error::NONE, "8 1, 4 1, 2 orders".into()));
    assert_eq!(listed(1, &[TOPIC, BROKER]), (error::NONE, "4 1, 2 orders".into()));
    assert_eq!(listed(1, &[GROUP]), (error::NONE, String::new()));
    assert_eq!(listed(1, &[TOPIC, 99]), (code(ErrorCode::UnsupportedVersion), String::new()));
    assert_eq!(listed(0, &[]), (error::NONE, String::new()));
}

#[test]
fn what_is_not_there_is_told_in_kafkas_words_or_in_none() {
    let mut room = Room::new();
    let grow = CreatePartitionsTopic::default().with_name(topic("gone")).with_count(3);
    let asked = room.send(ApiKey::CreatePartitions, 3, CreatePartitionsRequest::default().with_topics(vec![grow]));
    let ResponseKind::CreatePartitions(body) = &*room.replies[&asked].body else { panic!() };
    let told = (body.results[0].error_code, body.results[0].error_message.clone());
    assert_eq!(told, (code(ErrorCode::UnknownTopicOrPartition), None));
    let gone = DeleteTopicState::default().with_name(Some(topic("gone")));
    let asked = room.send(ApiKey::DeleteTopics, 6, DeleteTopicsRequest::default().with_topics(vec![gone]));
    let ResponseKind::DeleteTopics(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.responses[0].error_message.as_deref(), Some("This server does not host this topic-partition."));
    let nowhere = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("gone"));
    let asked = room.send(ApiKey::DescribeConfigs, 4, DescribeConfigsRequest::default().with_resources(vec![nowhere]));
    let ResponseKind::DescribeConfigs(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!(body.results[0].error_message.as_deref(), Some(""));
    let new = CreatableTopic::default().with_name(topic("new")).with_num_partitions(1).with_replication_factor(1);
    let asked = room.send(ApiKey::CreateTopics, 7, CreateTopicsRequest::default().with_topics(vec![new]));
    let ResponseKind::CreateTopics(body) = &*room.replies[&asked].body else { panic!() };
    assert_eq!((body.topics[0].error_code, body.topics[0].error_message.clone()), (error::NONE, None));
}

#[test]
fn a_version_of_api_versions_that_does_not_exist_is_answered_in_version_0() {
    let mut room = Room::new();
    let seq = room.send(ApiKey::ApiVersions, 99, ApiVersionsRequest::default());
    let reply = &room.replies[&seq];
    let ResponseKind::ApiVersions(body) = &*reply.body else { panic!() };
    assert_eq!((reply.version, body.error_code), (0, code(ErrorCode::UnsupportedVersion)));
    let keys: Vec<_> = body.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(keys, [(18, 0, 4)]);
}

#[test]
fn a_client_must_name_its_software_in_plain_words() {
    let mut room = Room::new();
    let mut ask = |name: &str, version| {
        let body = ApiVersionsRequest::default()
            .with_client_software_name(text(name))
            .with_client_software_version(text("2.3.0-rc1"));
        let seq = room.send(ApiKey::ApiVersions, version, body);
        let ResponseKind::ApiVersions(body) = &*room.replies[&seq].body else { panic!() };
        body.error_code
    };
    assert_eq!(ask("librdkafka", 4), 0);
    assert_eq!(ask("lib rdkafka", 3), code(ErrorCode::InvalidRequest));
    assert_eq!(ask("", 3), code(ErrorCode::InvalidRequest));
    assert_eq!(ask("", 2), 0);
}

#[test]
fn topics_that_come_and_go_leave_nothing_behind() {
    let mut room = Room::new();
    room.create("stays", &[]);
    let kept = |room: &Room| {
        let logs: Vec<LogId> = room.broker.partitions.logs().collect();
        assert_eq!(room.broker.purgatory.logs(), logs);
        (logs.len(), room.broker.purgatory.waiting(), room.logs.len(), room.files.len(), room.broker.hosted.len())
    };
    let mut before = None;
    for _ in 0..1_000 {
        room.create("passes", &[("cleanup.policy", "compact")]);
        room.produce("passes", -1, &batch(&["a"]));
        let waits = room.send(ApiKey::Fetch, 12, fetch("passes", &[(0, 1)]));
        let gone = DeleteTopicsRequest::default().with_topic_names(vec![topic("passes")]);
        room.send(ApiKey::DeleteTopics, 5, gone);
        assert_eq!(room.fetched_one(waits).unwrap().0.error_code, code(ErrorCode::UnknownTopicOrPartition));
        // Checkpoints are written with the first.
        assert_eq!(kept(&room), *before.get_or_insert_with(|| kept(&room)));
    }
    room.produce("stays", 1, &batch(&["a"]));
    let seq = room.send(ApiKey::Fetch, 12, fetch("stays", &[(0, 0)]));
    assert_eq!(room.fetched_one(seq).unwrap().1, ["a"]);
}
