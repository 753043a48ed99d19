//! What clients ask of the controller, and what was asked by writing it into ZooKeeper.

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId as WireBroker, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::*;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

impl Hall {
    /// The error of the one partition, and its message.
    fn elect(&mut self, election: i8, name: &str, index: i32) -> (i16, String) {
        let asked = TopicPartitions::default().with_topic(topic(name)).with_partitions(vec![index]);
        let request = ElectLeadersRequest::default().with_election_type(election);
        self.request(2, request.with_topic_partitions(Some(vec![asked])));
        let Some(Answer::Response(ResponseKind::ElectLeaders(body))) = self.answers.last() else { panic!() };
        let result = &body.replica_election_results[0].partition_result[0];
        (result.error_code, result.error_message.as_ref().map_or(String::new(), ToString::to_string))
    }

    fn elect_all(&mut self, election: i8) -> Vec<(String, i32, i16)> {
        self.request(2, ElectLeadersRequest::default().with_election_type(election).with_topic_partitions(None));
        let Some(Answer::Response(ResponseKind::ElectLeaders(body))) = self.answers.last() else { panic!() };
        let of = |topic: &kafka_protocol::messages::elect_leaders_response::ReplicaElectionResult| {
            let name = topic.topic.0.to_string();
            topic
                .partition_result
                .iter()
                .map(move |one| (name.clone(), one.partition_id, one.error_code))
                .collect::<Vec<_>>()
        };
        body.replica_election_results.iter().flat_map(of).collect()
    }

    fn reassign(&mut self, name: &str, index: i32, target: Option<&[i32]>) -> (i16, String) {
        let replicas = target.map(|ids| ids.iter().copied().map(WireBroker).collect());
        let partition = ReassignablePartition::default().with_partition_index(index).with_replicas(replicas);
        let topic = ReassignableTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
        self.request(1, AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]));
        let Some(Answer::Response(ResponseKind::AlterPartitionReassignments(body))) = self.answers.last() else {
            panic!()
        };
        let result = &body.responses[0].partitions[0];
        (result.error_code, result.error_message.as_ref().map_or(String::new(), ToString::to_string))
    }

    /// `replicas, adding, removing` of whatever moves.
    fn moving(&mut self) -> Vec<[Vec<i32>; 3]> {
        self.request(0, ListPartitionReassignmentsRequest::default().with_topics(None));
        let Some(Answer::Response(ResponseKind::ListPartitionReassignments(body))) = self.answers.last() else {
            panic!()
        };
        let ids = |ids: &[WireBroker]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
        let partitions = body.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|one| [ids(&one.replicas), ids(&one.adding_replicas), ids(&one.removing_replicas)]).collect()
    }

    fn replicas(&self, name: &str, index: usize) -> Vec<i32> {
        let partition = &self.controller.committed().topics[&topic(name)].partitions[index];
        partition.replicas.iter().map(|id| id.0).collect()
    }

    fn set_config(&mut self, resource_type: i8, name: &str, key: &'static str, value: &'static str) {
        let config = AlterableConfig::default()
            .with_name(StrBytes::from_static_str(key))
            .with_value(Some(StrBytes::from_static_str(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configs(vec![config]);
        self.request(1, IncrementalAlterConfigsRequest::default().with_resources(vec![resource]));
        let Some(Answer::Response(ResponseKind::IncrementalAlterConfigs(body))) = self.answers.last() else { panic!() };
        assert_eq!(body.responses[0].error_code, 0, "{body:?}");
    }

    fn dies(&mut self, id: i32) {
        self.remove(&znode::broker_path(BrokerId(id)));
        self.watched(znode::BROKER_IDS);
    }

    fn returns(&mut self, id: i32) {
        self.register(id);
        self.watched(znode::BROKER_IDS);
    }

    fn joins(&mut self, name: &str, index: i32, isr: &[i32]) {
        self.write_isr(name, index, isr);
        self.watched(znode::ISR_CHANGES);
    }
}

#[test]
fn a_preferred_replica_leads_again_on_demand_where_it_can() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 1], &[3, 1]]);
    assert_eq!(
        hall.elect(PREFERRED, "orders", 0),
        (ErrorCode::ElectionNotNeeded.code(), "Leader election not needed for topic partition.".to_owned())
    );
    hall.dies(2);
    assert_eq!(
        hall.elect(PREFERRED, "orders", 0),
        (ErrorCode::PreferredLeaderNotAvailable.code(), "The preferred leader was not available.".to_owned())
    );
    hall.returns(2);
    assert_eq!(hall.elect(PREFERRED, "orders", 0).0, ErrorCode::PreferredLeaderNotAvailable.code(), "not in sync");
    hall.joins("orders", 0, &[1, 2]);
    assert_eq!(hall.partition("orders", 0), (1, 1, vec![1, 2]));
    // Those that need none are not spoken of where all are asked for.
    assert_eq!(hall.elect_all(PREFERRED), [("orders".to_owned(), 0, 0)]);
    assert_eq!(hall.partition("orders", 0), (2, 2, vec![1, 2]));
    assert_eq!(
        hall.elect(PREFERRED, "orders", 7),
        (ErrorCode::UnknownTopicOrPartition.code(), "No such partition as orders-7".to_owned())
    );
    assert_eq!(hall.elect(PREFERRED, "nope", 0).1, "No such topic as nope");
}

#[test]
fn an_unclean_election_on_demand_needs_no_setting_and_is_marked() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3]]);
    assert_eq!(hall.elect(UNCLEAN, "orders", 0).0, ErrorCode::ElectionNotNeeded.code());
    hall.dies(3);
    hall.dies(2);
    assert_eq!(
        hall.elect(UNCLEAN, "orders", 0),
        (
            ErrorCode::EligibleLeadersNotAvailable.code(),
            "Eligible topic partition leaders are not available.".to_owned()
        )
    );
    hall.returns(3);
    assert_eq!(hall.partition("orders", 0), (-1, 2, vec![2]));
    assert_eq!(hall.elect(UNCLEAN, "orders", 0).0, 0);
    assert_eq!(hall.partition("orders", 0), (3, 3, vec![3]));
    assert_eq!(
        hall.data("/brokers/topics/orders/partitions/0/state").unwrap(),
        r#"{"controller_epoch":1,"leader":3,"version":1,"leader_recovery_state":1,"leader_epoch":3,"isr":[3]}"#
    );
}

#[test]
fn unclean_elections_that_are_allowed_while_a_partition_is_offline_are_held_at_once() {
    for (resource_type, resource) in [(TOPIC, "orders"), (BROKER, "")] {
        let mut hall = Hall::new(3);
        hall.create("orders", &[&[2, 3]]);
        hall.dies(3);
        hall.dies(2);
        hall.returns(3);
        assert_eq!(hall.partition("orders", 0), (-1, 2, vec![2]));
        hall.set_config(resource_type, resource, "unclean.leader.election.enable", "true");
        assert_eq!(hall.partition("orders", 0), (3, 3, vec![3]));
    }
}

#[test]
fn a_partition_moves_when_what_it_gains_is_in_sync_and_leaves_what_it_loses() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2], &[2, 3]]);
    assert_eq!(hall.reassign("orders", 1, Some(&[3, 1])), (0, String::new()));
    assert_eq!(hall.moving(), [[vec![3, 1, 2], vec![1], vec![2]]]);
    assert_eq!(hall.partition("orders", 1), (2, 1, vec![2, 3]));
    // As Kafka 3.9.1 wrote it.
    let written = hall.data("/brokers/topics/orders").unwrap();
    assert!(written.starts_with(r#"{"partitions":{"0":[1,2],"1":[3,1,2]},"topic_id":""#));
    assert!(written.ends_with(r#"","adding_replicas":{"1":[1]},"removing_replicas":{"1":[2]},"version":3}"#));
    // Its leader goes with it.
    hall.joins("orders", 1, &[2, 3, 1]);
    assert_eq!((hall.partition("orders", 1), hall.replicas("orders", 1)), ((3, 2, vec![3, 1]), vec![3, 1]));
    assert!(hall.moving().is_empty());
    assert!(
        hall.data("/brokers/topics/orders")
            .unwrap()
            .ends_with(r#"","adding_replicas":{},"removing_replicas":{},"version":3}"#)
    );
    // What only changes its order is complete at once.
    assert_eq!(hall.reassign("orders", 1, Some(&[1, 3])).0, 0);
    assert_eq!((hall.partition("orders", 1), hall.replicas("orders", 1)), ((3, 3, vec![3, 1]), vec![1, 3]));
}

#[test]
fn a_move_is_replaced_or_cancelled_and_begins_where_the_partition_lay() {
    let mut hall = Hall::new(4);
    hall.create("orders", &[&[1, 2]]);
    assert_eq!(hall.reassign("orders", 0, None).0, ErrorCode::NoReassignmentInProgress.code());
    hall.reassign("orders", 0, Some(&[3, 2]));
    assert_eq!(hall.moving(), [[vec![3, 2, 1], vec![3], vec![1]]]);
    hall.joins("orders", 0, &[1, 3]);
    hall.reassign("orders", 0, Some(&[1, 4]));
    assert_eq!(hall.moving(), [[vec![1, 4, 2], vec![4], vec![2]]]);
    assert_eq!(hall.partition("orders", 0), (1, 2, vec![1]), "what it does not gain any more is not in sync");
    assert_eq!(hall.reassign("orders", 0, None).0, 0);
    assert_eq!((hall.moving().len(), hall.replicas("orders", 0)), (0, vec![1, 2]));
    assert_eq!(hall.partition("orders", 0), (1, 3, vec![1]));
}

#[test]
fn the_next_controller_goes_on_with_what_moves() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2]]);
    hall.reassign("orders", 0, Some(&[3, 2]));
    let mut hall = hall.successor();
    assert_eq!(hall.moving(), [[vec![3, 2, 1], vec![3], vec![1]]]);
    hall.write_isr("orders", 0, &[1, 2, 3]);
    let mut hall = hall.successor();
    assert_eq!((hall.moving().len(), hall.partition("orders", 0)), (0, (3, 2, vec![2, 3])));
}

#[test]
fn a_new_topic_has_replicas_on_a_broker_that_is_away_but_on_none_that_never_was() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 3]]);
    hall.dies(3);
    hall.create("payments", &[&[3, 1]]);
    assert_eq!((hall.partition("payments", 0), hall.replicas("payments", 0)), ((1, 0, vec![1]), vec![3, 1]));
    hall.create("refunds", &[&[9, 1]]);
    assert!(!hall.controller.committed().topics.contains_key(&topic("refunds")));
}

#[test]
fn moves_that_cannot_be_are_refused_in_kafkas_words() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2]]);
    let invalid = ErrorCode::InvalidReplicaAssignment;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    for (name, index, target, error, message) in [
        ("orders", 0, &[][..], invalid, "The manual partition assignment includes an empty replica list."),
        ("orders", 0, &[1, 1], invalid, "The manual partition assignment includes the broker 1 more than once."),
        (
            "orders",
            0,
            &[1, 9],
            invalid,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        ("orders", 1, &[1], unknown, "Unable to find partition orders:1."),
        ("nope", 0, &[1], unknown, "Unable to find a topic named nope."),
    ] {
        assert_eq!(hall.reassign(name, index, Some(target)), (error.code(), message.to_owned()));
    }
    // Nothing would be left that has what was committed.
    hall.reassign("orders", 0, Some(&[3]));
    hall.joins("orders", 0, &[1, 2]);
    hall.dies(2);
    let before = hall.partition("orders", 0);
    assert_eq!(
        hall.reassign("orders", 0, Some(&[2])),
        (
            invalid.code(),
            "The manual partition assignment includes broker 2, but no such broker is registered.".to_owned()
        )
    );
    assert_eq!(hall.partition("orders", 0), before);
    hall.request(1, {
        let partition = ReassignablePartition::default()
            .with_partition_index(0)
            .with_replicas(Some(vec![WireBroker(1), WireBroker(3)]));
        let topic = ReassignableTopic::default().with_name(topic("orders")).with_partitions(vec![partition]);
        AlterPartitionReassignmentsRequest::default()
            .with_allow_replication_factor_change(false)
            .with_topics(vec![topic])
    });
    let Some(Answer::Response(ResponseKind::AlterPartitionReassignments(body))) = hall.answers.last() else { panic!() };
    let told = &body.responses[0].partitions[0];
    assert_eq!(told.error_message.as_deref(), Some("The replication factor is changed from 1 to 2"));
}

#[test]
fn a_topic_that_moves_does_not_grow() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2]]);
    hall.reassign("orders", 0, Some(&[3, 2]));
    hall.request(3, {
        let topic = kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic("orders"))
            .with_count(2)
            .with_assignments(None);
        kafka_protocol::messages::CreatePartitionsRequest::default().with_topics(vec![topic])
    });
    let Some(Answer::Response(ResponseKind::CreatePartitions(body))) = hall.answers.last() else { panic!() };
    assert_eq!(body.results[0].error_code, ErrorCode::ReassignmentInProgress.code());
}

#[test]
fn a_topic_whose_replica_is_on_a_broker_that_is_down_stays_marked_until_that_returns() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3], &[3, 1]]);
    hall.dies(3);
    hall.delete("orders");
    assert_eq!(hall.code(), 0);
    assert!(hall.controller.committed().topics.is_empty(), "to clients it is gone");
    assert_eq!(
        (hall.children(znode::DELETE_TOPICS), hall.children(znode::TOPICS)),
        (vec!["orders".into()], vec!["orders".to_owned()])
    );
    // As Kafka 3.9.1 wrote it.
    assert_eq!(
        hall.data("/brokers/topics/orders/partitions/0/state").unwrap(),
        r#"{"controller_epoch":1,"leader":-1,"version":1,"leader_epoch":2,"isr":[2]}"#
    );
    hall.create("orders", &[&[1]]);
    let Some(Answer::Response(ResponseKind::CreateTopics(body))) = hall.answers.last() else { panic!() };
    assert_eq!(body.topics[0].error_message.as_deref(), Some("Topic 'orders' is marked for deletion."));
    hall.delete("orders");
    assert_eq!(hall.code(), ErrorCode::UnknownTopicOrPartition.code());

    // The next controller waits, too.
    let mut hall = hall.successor();
    assert_eq!(hall.children(znode::TOPICS), ["orders"]);
    hall.returns(3);
    assert!(hall.children(znode::DELETE_TOPICS).is_empty() && hall.children(znode::TOPICS).is_empty());
    assert!(hall.controller.committed().deleting.is_empty());
}

#[test]
fn a_mark_by_another_hand_deletes_unless_deletion_is_off() {
    let mut hall = Hall::new(2);
    hall.create("orders", &[&[1, 2]]);
    hall.put("/admin/delete_topics/orders", None, CreateMode::Persistent);
    hall.put("/admin/delete_topics/nope", None, CreateMode::Persistent);
    hall.watched(znode::DELETE_TOPICS);
    assert!(hall.children(znode::DELETE_TOPICS).is_empty() && hall.children(znode::TOPICS).is_empty());

    let mut hall = Hall::with(2, &[("delete.topic.enable", "false")]);
    hall.create("orders", &[&[1, 2]]);
    hall.put("/admin/delete_topics/orders", None, CreateMode::Persistent);
    hall.watched(znode::DELETE_TOPICS);
    assert!(hall.children(znode::DELETE_TOPICS).is_empty());
    assert_eq!(hall.children(znode::TOPICS), ["orders"]);
}

#[test]
fn a_large_topic_goes_in_several_multis() {
    let mut hall = Hall::new(1);
    hall.create("large", &[&[1][..]; 1_201]);
    hall.delete("large");
    assert!(hall.children(znode::TOPICS).is_empty() && hall.children(znode::DELETE_TOPICS).is_empty());
}

#[test]
fn settings_are_in_zookeeper_as_kafka_lays_them_out_and_announced() {
    let mut hall = Hall::new(2);
    hall.create("orders", &[&[1, 2]]);
    hall.set_config(TOPIC, "orders", "retention.ms", "5000");
    hall.set_config(BROKER, "1", "log.cleaner.threads", "2");
    hall.set_config(BROKER, "", "log.segment.bytes", "2097152");
    // As Kafka 3.9.1 wrote them.
    for (path, expected) in [
        ("/config/topics/orders", r#"{"version":1,"config":{"retention.ms":"5000"}}"#),
        ("/config/brokers/1", r#"{"version":1,"config":{"log.cleaner.threads":"2"}}"#),
        ("/config/brokers/<default>", r#"{"version":1,"config":{"log.segment.bytes":"2097152"}}"#),
        ("/config/changes/config_change_0000000000", r#"{"version":2,"entity_path":"topics/orders"}"#),
        ("/config/changes/config_change_0000000001", r#"{"version":2,"entity_path":"brokers/1"}"#),
        ("/config/changes/config_change_0000000002", r#"{"version":2,"entity_path":"brokers/<default>"}"#),
    ] {
        assert_eq!(hall.data(path).as_deref(), Some(expected), "{path}");
    }
    let published = hall.published;
    hall.watched(znode::CONFIG_CHANGES);
    assert_eq!(hall.published, published, "what this controller wrote is known");
    let configs = hall.controller.committed().broker_configs.clone();
    let hall = hall.successor();
    assert_eq!(hall.controller.committed().broker_configs, configs);
}

#[test]
fn settings_of_groups_lie_beside_the_others_and_the_next_controller_knows_them() {
    let mut hall = Hall::new(2);
    hall.set_config(GROUP, "a/b", "consumer.session.timeout.ms", "50000");
    assert_eq!(
        hall.data("/config/groups/a%2Fb").as_deref(),
        Some(r#"{"version":1,"config":{"consumer.session.timeout.ms":"50000"}}"#)
    );
    assert_eq!(
        hall.data("/config/changes/config_change_0000000000").as_deref(),
        Some(r#"{"version":2,"entity_path":"groups/a%2Fb"}"#)
    );
    let configs = hall.controller.committed().group_configs.clone();
    assert_eq!(configs["a/b"]["consumer.session.timeout.ms"], "50000");
    let hall = hall.successor();
    assert_eq!(hall.controller.committed().group_configs, configs);
}

#[test]
fn settings_that_another_hand_wrote_count_and_old_notifications_go() {
    let mut hall = Hall::new(2);
    hall.create("orders", &[&[1, 2]]);
    let tell = |hall: &mut Hall, path: &str, data: &str, entity: &str| {
        match hall.data(path) {
            Some(_) => hall.set(path, Bytes::from(data.to_owned())),
            None => hall.put(path, Some(data), CreateMode::Persistent),
        }
        let change = format!(r#"{{"version":2,"entity_path":"{entity}"}}"#);
        hall.put("/config/changes/config_change_", Some(&change), CreateMode::PersistentSequential);
    };
    let retention = r#"{"version":1,"config":{"retention.ms":"9"}}"#;
    tell(&mut hall, "/config/topics/orders", retention, "topics/orders");
    tell(&mut hall, "/config/brokers/2", r#"{"version":1,"config":{"log.retention.ms":"7"}}"#, "brokers/2");
    hall.put("/config/changes/config_change_", Some("{"), CreateMode::PersistentSequential);
    tell(&mut hall, "/config/users/alice", r#"{"version":1,"config":{}}"#, "users/alice");
    hall.watched(znode::CONFIG_CHANGES);
    let state = hall.controller.committed();
    assert_eq!(state.topics[&topic("orders")].configs["retention.ms"], "9");
    assert_eq!(state.broker_configs.of(BrokerId(2))["log.retention.ms"], "7");
    assert_eq!(hall.children(znode::CONFIG_CHANGES).len(), 4);

    let later = Now { wall: Timestamp(NOW.wall.0 + 15 * 60_000 + 1), ..NOW };
    let mut out = Vec::new();
    hall.controller.watched(later, znode::CONFIG_CHANGES, &mut out);
    hall.held = true;
    hall.follow(out);
    while let Some((tag, op)) = hall.asked.pop_front() {
        let result = match op {
            Op::GetChildren { path, .. } => {
                let children = hall.tree.get(&path).unwrap().children.iter().cloned().collect();
                Ok(Reply::GetChildren { children })
            }
            op => Ok(hall.outside(op)),
        };
        let mut out = Vec::new();
        hall.controller.answered(later, tag, result, &mut out);
        hall.follow(out);
    }
    assert!(hall.children(znode::CONFIG_CHANGES).is_empty());
}

#[test]
fn what_was_asked_for_by_writing_it_is_done() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 1]]);
    hall.create("pair", &[&[3, 1]]);
    hall.dies(2);
    hall.returns(2);
    hall.joins("orders", 0, &[1, 2]);
    let wanted = r#"{"version":1,"partitions":[{"topic":"orders","partition":0},{"topic":"nope","partition":1}]}"#;
    hall.put(znode::PREFERRED_ELECTION, Some(wanted), CreateMode::Persistent);
    hall.watched(znode::PREFERRED_ELECTION);
    assert_eq!((hall.partition("orders", 0), hall.data(znode::PREFERRED_ELECTION)), ((2, 2, vec![1, 2]), None));

    let wanted = r#"{"version":1,"partitions":[{"topic":"pair","partition":0,"replicas":[3,2]},{"topic":"nope","partition":0,"replicas":[3,2]}]}"#;
    hall.put(znode::REASSIGNMENTS, Some(wanted), CreateMode::Persistent);
    hall.watched(znode::REASSIGNMENTS);
    // As Kafka 3.9.1 left it while that was under way.
    let under_way = r#"{"version":1,"partitions":[{"topic":"pair","partition":0,"replicas":[3,2]}]}"#;
    assert_eq!(hall.data(znode::REASSIGNMENTS).as_deref(), Some(under_way));
    let mut hall = hall.successor();
    assert_eq!(hall.data(znode::REASSIGNMENTS).as_deref(), Some(under_way));
    hall.joins("pair", 0, &[3, 1, 2]);
    assert_eq!((hall.replicas("pair", 0), hall.data(znode::REASSIGNMENTS)), (vec![3, 2], None));
}

#[test]
fn what_zookeeper_would_not_take_is_not_asked_of_it() {
    let mut hall = Hall::new(1);
    let set = |hall: &mut Hall, count: usize| {
        let config = |number| {
            AlterableConfig::default()
                .with_name(StrBytes::from_string(format!("plugin.number.{number}")))
                .with_value(Some(StrBytes::from_string("long".repeat(8_000))))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(StrBytes::from_static_str("1"))
            .with_configs((0..count).map(config).collect());
        hall.request(1, IncrementalAlterConfigsRequest::default().with_resources(vec![resource]));
        matches!(hall.answers.last(), Some(Answer::Response(_)))
    };
    assert!(!set(&mut hall, 32), "a million bytes");
    assert_eq!(hall.notes, ["given up: /config/brokers/1 would be longer than ZooKeeper's jute.maxbuffer allows"]);
    assert_eq!(hall.data("/config/brokers/1"), None);
    assert!(set(&mut hall, 2));
    assert!(hall.data("/config/brokers/1").unwrap().contains("plugin.number.1"));
}
