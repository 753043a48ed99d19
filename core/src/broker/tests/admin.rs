//! What Kafka's admin tools ask of a broker, and what follows from it there.

use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, DescribeConfigsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, ListPartitionReassignmentsRequest, UpdateFeaturesRequest,
};

use super::running::tell_state;
use super::*;
use crate::id::CallId;
use crate::protocol::cluster::{Assignment, ClusterRequest, ClusterState, Topic};

/// Kafka's `ConfigResource.Type`.
const BROKER: i8 = 4;
const GROUP: i8 = 32;

impl Room {
    /// Sets one broker setting, of all brokers where there is no name; gives the error.
    fn set(&mut self, broker: &str, name: &str, value: Option<&str>) -> i16 {
        self.set_of(BROKER, broker, name, value)
    }

    pub(super) fn set_of_group(&mut self, group: &str, name: &str, value: Option<&str>) -> i16 {
        self.set_of(GROUP, group, name, value)
    }

    fn set_of(&mut self, resource_type: i8, whose: &str, name: &str, value: Option<&str>) -> i16 {
        let config = AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(if value.is_some() { 0 } else { 1 })
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(text(whose))
            .with_configs(vec![config]);
        let body = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let seq = self.send(ApiKey::IncrementalAlterConfigs, 1, body);
        let ResponseKind::IncrementalAlterConfigs(body) = &*self.replies[&seq].body else { panic!() };
        body.responses[0].error_code
    }

    fn described_setting(&mut self, broker: &str, name: &str) -> Option<DescribeConfigsResourceResult> {
        self.described_of(BROKER, broker, name)
    }

    fn described_of(&mut self, resource_type: i8, whose: &str, name: &str) -> Option<DescribeConfigsResourceResult> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(text(whose))
            .with_configuration_keys(Some(vec![text(name)]));
        let body = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        let seq = self.send(ApiKey::DescribeConfigs, 4, body);
        let ResponseKind::DescribeConfigs(body) = &*self.replies[&seq].body else { panic!() };
        body.results[0].configs.first().cloned()
    }
}

#[test]
fn what_is_set_while_a_broker_runs_counts_at_once_and_after_a_restart_and_is_taken_back() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let large = batch(&[&"x".repeat(2_000)]);
    let produce = |room: &mut Room| {
        let seq = room.produce("orders", 1, &large);
        room.produced(seq).unwrap().error_code
    };
    assert_eq!(produce(&mut room), 0);
    assert_eq!(room.set("", "message.max.bytes", Some("1000")), 0);
    assert_eq!(produce(&mut room), code(ErrorCode::MessageTooLarge));
    assert_eq!(room.set("1", "message.max.bytes", Some("5000")), 0);
    assert_eq!(produce(&mut room), 0, "its own stands before that of all");

    let entry = room.described_setting("1", "message.max.bytes").unwrap();
    assert_eq!((entry.value.as_deref(), entry.config_source, entry.read_only), (Some("5000"), 2, false));
    let sources = entry.synonyms.iter().map(|synonym| (synonym.source, synonym.value.as_deref().unwrap()));
    assert_eq!(sources.collect::<Vec<_>>(), [(2, "5000"), (3, "1000"), (5, "1048588")]);
    let of_all = room.described_setting("", "message.max.bytes").unwrap();
    assert_eq!((of_all.value.as_deref(), of_all.config_source), (Some("1000"), 3));
    assert!(room.others.iter().any(|effect| matches!(effect, Effect::Configure { .. })));

    let mut room = room.restart();
    assert_eq!(room.described_setting("1", "message.max.bytes").unwrap().value.as_deref(), Some("5000"));
    assert_eq!(room.set("1", "message.max.bytes", None), 0);
    assert_eq!(produce(&mut room), code(ErrorCode::MessageTooLarge));
    assert_eq!(room.set("", "message.max.bytes", None), 0);
    assert_eq!(produce(&mut room), 0);
    assert_eq!(room.described_setting("", "message.max.bytes"), None);
}

#[test]
fn what_is_set_of_a_group_stands_before_what_the_brokers_have_and_is_taken_back() {
    let mut room = Room::new();
    let name = "consumer.session.timeout.ms";
    let described = |room: &mut Room| {
        let entry = room.described_of(GROUP, "shop", name).unwrap();
        let synonyms = entry.synonyms.iter().map(|it| (it.name.to_string(), it.source, it.value.clone().unwrap()));
        (entry.value.unwrap().to_string(), entry.config_source, entry.read_only, synonyms.collect::<Vec<_>>())
    };
    let listed = |room: &mut Room| {
        let body = ListConfigResourcesRequest::default().with_resource_types(vec![GROUP]);
        let seq = room.send(ApiKey::ListConfigResources, 1, body);
        let ResponseKind::ListConfigResources(body) = &*room.replies[&seq].body else { panic!() };
        body.config_resources.iter().map(|resource| resource.resource_name.to_string()).collect::<Vec<_>>()
    };
    // As Kafka 4.3 prints them.
    let of_all = ("group.consumer.session.timeout.ms".to_owned(), 5, text("45000"));
    let default = ("45000".to_owned(), 5, false, vec![of_all.clone()]);
    assert_eq!((described(&mut room), listed(&mut room)), (default.clone(), vec![]));
    assert_eq!(room.set_of_group("shop", name, Some("46000")), 0);
    let own = (name.to_owned(), 8, text("46000"));
    assert_eq!(described(&mut room), ("46000".to_owned(), 8, false, vec![own, of_all]));
    assert_eq!(listed(&mut room), ["shop"]);
    assert_eq!(room.set_of_group("shop", name, Some("1")), code(ErrorCode::InvalidConfig));
    assert_eq!(room.set_of_group("", name, Some("46000")), code(ErrorCode::InvalidRequest));
    assert_eq!(room.set_of_group("shop", name, None), 0);
    assert_eq!((described(&mut room), listed(&mut room)), (default, vec![]));
}

#[test]
fn a_broker_has_one_log_directory() {
    let mut room = Room::new();
    room.create("orders", &[]);
    let mut put = |path: &str, index| {
        let topic = AlterReplicaLogDirTopic::default().with_name(topic("orders")).with_partitions(vec![index]);
        let dir = AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic]);
        let body = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
        let seq = room.send(ApiKey::AlterReplicaLogDirs, 2, body);
        let ResponseKind::AlterReplicaLogDirs(body) = &*room.replies[&seq].body else { panic!() };
        body.results[0].partitions[0].error_code
    };
    assert_eq!((put("/room", 0), put("/elsewhere", 0)), (0, code(ErrorCode::LogDirNotFound)));
    assert_eq!(put("/room", 9), code(ErrorCode::ReplicaNotAvailable));
}

#[test]
fn one_feature_that_cannot_be_updated_fails_them_all() {
    let mut room = Room::new();
    let mut update = |version: i16, updates: &[(&str, i16, i8)]| {
        let updates = updates.iter().map(|&(feature, level, upgrade_type)| {
            FeatureUpdateKey::default()
                .with_feature(text(feature))
                .with_max_version_level(level)
                .with_upgrade_type(upgrade_type)
        });
        let body = UpdateFeaturesRequest::default().with_feature_updates(updates.collect());
        let seq = room.send(ApiKey::UpdateFeatures, version, body);
        let ResponseKind::UpdateFeatures(body) = &*room.replies[&seq].body else { panic!() };
        (body.error_code, body.error_message.as_deref().map(str::to_owned), body.results.len())
    };
    let refused = |why: &str| {
        let of_all = "The update failed for all features since the following feature had an error: ";
        (code(ErrorCode::InvalidUpdateVersion), Some(format!("{of_all}Invalid update version {why}")), 0)
    };
    let same = ("transaction.version", 2, 1);
    assert_eq!(update(1, &[same]), (0, None, 1));
    assert_eq!(update(2, &[same]), (0, None, 0));
    let unknown = refused("1 for feature x. Local controller 1 does not support this feature.");
    assert_eq!(update(0, &[("x", 1, 1)]), unknown);
    assert_eq!(update(2, &[same, ("x", 1, 1)]), unknown);
    for (level, upgrade_type, why) in [
        (3, 1, "Local controller 1 only supports versions 0-2"),
        (-1, 1, "A feature version cannot be less than 0."),
        (1, 0, "The controller does not support the given upgrade type."),
        (
            1,
            1,
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
        ),
        (1, 2, "The setting ottla.transaction.version says it, when a broker starts."),
    ] {
        let why = refused(&format!("{level} for feature transaction.version. {why}"));
        assert_eq!(update(1, &[("transaction.version", level, upgrade_type)]), why);
    }
    assert_eq!(update(1, &[("x", 0, 2)]), refused("0 for feature x. Feature x not found."));
}

#[test]
fn where_there_is_no_controller_that_is_the_answer() {
    let mut room = Room::new();
    let nobody = ClusterState {
        controller: BrokerId::NONE,
        version: 9 << 32,
        controller_epoch: 9,
        ..room.broker.cluster_state().clone()
    };
    // Another broker was the controller, and is gone.
    room.broker.controller = None;
    room.step(Event::Call { from: BrokerId(2), call: CallId(9), request: ClusterRequest::Update(nobody.into()) });
    let seq = room.send(ApiKey::ElectLeaders, 2, ElectLeadersRequest::default().with_topic_partitions(None));
    let ResponseKind::ElectLeaders(body) = &*room.replies[&seq].body else { panic!() };
    assert_eq!(body.error_code, code(ErrorCode::NotController));
    let seq = room.send(ApiKey::ListPartitionReassignments, 0, ListPartitionReassignmentsRequest::default());
    let ResponseKind::ListPartitionReassignments(body) = &*room.replies[&seq].body else { panic!() };
    assert_eq!(body.error_code, code(ErrorCode::NotController));
}

#[test]
fn what_was_found_of_a_topic_that_is_being_deleted_goes() {
    let mut room = Room::new();
    let id = room.create("orders", &[]);
    let other = room.create("other", &[]);
    room.produce("orders", 1, &batch(&["a"]));
    // A new process: the cluster is told by hand.
    let cluster = room.broker.cluster_state().clone();
    let mut room = room.restart_apart();
    assert!(room.broker.partitions().next().is_none() && room.found.contains_key("orders-0"));
    let of = |name: &str| cluster.topics[&topic(name)].clone();
    let deleting =
        [("orders", id), ("other", Uuid::from_u128(1))].map(|(name, id)| (topic(name), Topic { id, ..of(name) }));
    tell_state(&mut room, ClusterState { topics: Default::default(), deleting: deleting.into(), ..cluster.clone() });
    assert!(!room.found.contains_key("orders-0") && room.logs.is_empty());
    assert!(room.files.keys().all(|file| !file.starts_with("orders-")), "{:?}", room.files);
    // It is another topic's, of the same name.
    assert!(room.found.contains_key("other-0") && room.files.contains_key("other-0/partition.metadata"), "{other}");
}

#[test]
fn a_follower_that_is_not_in_sync_is_held_back_where_its_topic_throttles_it() {
    let mut room = Room::with(&[("leader.replication.throttled.rate", "1000")]);
    let [one, two, three] = [1, 2, 3].map(BrokerId);
    let partition = Assignment {
        replicas: vec![one, two, three],
        isr: vec![one, two],
        leader: one,
        partition_epoch: 0,
        ..Assignment::default()
    };
    let configs = [("leader.replication.throttled.replicas".to_owned(), "0:1".to_owned())].into();
    let orders = Topic { id: Uuid::from_u128(5), configs, partitions: vec![partition] };
    let cluster = room.broker.cluster_state().clone();
    tell_state(&mut room, ClusterState { topics: [(topic("orders"), orders)].into(), ..cluster });
    room.produce("orders", 1, &batch(&[&"x".repeat(4_000)]));
    room.produce("orders", 1, &batch(&["y"]));
    let follow = |room: &mut Room, id: BrokerId, offset| {
        let replica = kafka_protocol::messages::BrokerId(id.0);
        room.send(ApiKey::Fetch, 12, fetch("orders", &[(0, offset)]).with_replica_id(replica))
    };
    // What is sent at once counts afterwards.
    let first = follow(&mut room, three, 0);
    assert_eq!(room.fetched_one(first).unwrap().1.len(), 2);
    let again = follow(&mut room, three, 0);
    let in_sync = follow(&mut room, two, 0);
    assert!(room.fetched(again).is_none() && room.fetched_one(in_sync).unwrap().1.len() == 2);
    room.produce("orders", 1, &batch(&["z"]));
    assert!(room.fetched(again).is_none());
    room.pass(500);
    assert!(room.fetched_one(again).unwrap().1.is_empty(), "max_wait_ms is over");
    room.pass(9_000);
    let later = follow(&mut room, three, 0);
    assert_eq!(room.fetched_one(later).unwrap().1.len(), 3);
}
