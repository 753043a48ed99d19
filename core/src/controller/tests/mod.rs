//! A controller in a hall: ZooKeeper is a tree that answers at once, or does not answer, or has been changed meanwhile. The
//! brokers are told, and do what they are told.
//!
//! Here the hall and what becomes of brokers and topics | `admin.rs` what is asked for | `quotas.rs` quotas

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, RequestKind, ResponseKind, TopicName};

mod admin;
mod quotas;

use super::*;
use crate::config::BrokerSettings;
use crate::id::TopicPartition;
use crate::rng::Seed;
use crate::time::Timestamp;
use crate::vec_map::VecMap;
use crate::zookeeper::protocol::{ANY_VERSION, CreateMode};
use crate::zookeeper::tree::Tree;
use crate::zookeeper::txn::Header;
use crate::zookeeper::{SessionId, Zxid};

pub(crate) fn broker(id: i32, rack: Option<&str>) -> Registration {
    Registration {
        id: BrokerId(id),
        host: format!("broker-{id}"),
        port: 9091 + id as u16,
        rack: rack.map(str::to_string),
    }
}

fn new(id: i32, epoch: i32, fence: i32, settings: &[(&str, &str)]) -> Controller {
    let settings: VecMap<String, String> =
        settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let parsed = BrokerSettings::parse(&settings).unwrap();
    let config = BrokerConfig {
        registration: broker(id, None),
        cluster_id: "cluster".to_string(),
        log_dir: "/cluster".to_string(),
        bugs: crate::bug::Bugs::default(),
        seed: Seed(7),
        settings,
    };
    Controller::new(&config, Arc::new(parsed), "cluster".to_string(), epoch, fence)
}

/// One that has loaded so many brokers and nothing else.
pub(crate) fn cluster(brokers: i32) -> Controller {
    let mut controller = new(1, 1, 1, &[]);
    controller.change(|state| state.brokers = (1..=brokers).map(|id| (BrokerId(id), broker(id, None))).collect());
    controller
}

pub(crate) fn topic(name: &str) -> TopicName {
    znode::topic_name(name)
}

const NOW: Now = Now { instant: Instant::ZERO, wall: Timestamp(1_700_000_000_000) };

struct Hall {
    tree: Tree,
    zxid: i64,
    controller: Controller,
    /// Operations that ZooKeeper has not been asked yet, while it is held.
    asked: VecDeque<(Tag, Op)>,
    held: bool,
    published: u32,
    answers: Vec<Answer>,
    notes: Vec<String>,
    resigned: bool,
    failed: Option<String>,
    asked_for_failed: Vec<BrokerId>,
}

impl Hall {
    fn new(brokers: i32) -> Hall {
        Hall::with(brokers, &[])
    }

    fn with(brokers: i32, settings: &[(&str, &str)]) -> Hall {
        let mut hall = Hall {
            tree: Tree::default(),
            zxid: 0,
            controller: new(1, 1, 0, settings),
            asked: VecDeque::new(),
            held: false,
            published: 0,
            answers: Vec::new(),
            notes: Vec::new(),
            resigned: false,
            failed: None,
            asked_for_failed: Vec::new(),
        };
        for path in znode::PERSISTENT {
            hall.put(path, None, CreateMode::Persistent);
        }
        hall.put(znode::CONTROLLER_EPOCH, Some("1"), CreateMode::Persistent);
        for id in 1..=brokers {
            hall.register(id);
        }
        hall.begin();
        hall
    }

    /// Something is done in ZooKeeper that is not the controller's doing.
    fn outside(&mut self, op: Op) -> Reply {
        self.zxid += 1;
        let header = Header { zxid: Zxid(self.zxid), session: SessionId(1), time: NOW.wall.0, cxid: 0 };
        let (_, reply) = self.tree.attempt(&header, &op, &mut Vec::new());
        reply.unwrap_or_else(|error| panic!("{op}: {error}"))
    }

    fn put(&mut self, path: &str, data: Option<&str>, mode: CreateMode) {
        let data = data.map(|data| Bytes::from(data.to_owned()));
        self.outside(Op::Create { path: path.into(), data, mode });
    }

    fn register(&mut self, id: i32) {
        let data = Some(znode::broker(&broker(id, None), NOW.wall));
        self.outside(Op::Create { path: znode::broker_path(BrokerId(id)), data, mode: CreateMode::Ephemeral });
    }

    fn remove(&mut self, path: &str) {
        self.outside(Op::Delete { path: path.into(), version: ANY_VERSION });
    }

    fn begin(&mut self) {
        let mut out = Vec::new();
        self.controller.begin(NOW, &mut out);
        self.follow(out);
    }

    fn follow(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Ask { tag, op } => self.asked.push_back((tag, op)),
                Output::Publish => {
                    self.published += 1;
                    let state = self.controller.committed().clone();
                    for &id in state.brokers.keys() {
                        let mut out = Vec::new();
                        self.controller.confirmed(NOW, id, state.version, &mut out);
                        self.follow(out);
                    }
                }
                Output::AskForFailedLogs(broker) => self.asked_for_failed.push(broker),
                Output::Answer { answer, .. } => self.answers.push(answer),
                Output::Note(text) => self.notes.push(text),
                Output::Resign => self.resigned = true,
                Output::Fail(why) => self.failed = Some(why),
            }
        }
        while !self.held
            && let Some((tag, op)) = self.asked.pop_front()
        {
            self.zookeeper(tag, op);
        }
    }

    fn zookeeper(&mut self, tag: Tag, op: Op) {
        let result = match op {
            Op::GetChildren { path, .. } => self
                .tree
                .get(&path)
                .map(|znode| Reply::GetChildren { children: znode.children.iter().cloned().collect() }),
            Op::GetData { path, .. } => {
                self.tree.get(&path).map(|znode| Reply::GetData { data: znode.data.clone(), stat: znode.stat() })
            }
            Op::Exists { path, .. } => self.tree.get(&path).map(|znode| Reply::Exists { stat: znode.stat() }),
            op => Ok(self.outside(op)),
        };
        self.answer(tag, result);
    }

    fn answer(&mut self, tag: Tag, result: Result<Reply, Error>) {
        let mut out = Vec::new();
        self.controller.answered(NOW, tag, result, &mut out);
        self.follow(out);
    }

    fn enqueue(&mut self, work: Work) {
        let mut out = Vec::new();
        self.controller.enqueue(NOW, work, &mut out);
        self.follow(out);
    }

    fn watched(&mut self, path: &str) {
        let mut out = Vec::new();
        self.controller.watched(NOW, path, &mut out);
        self.follow(out);
    }

    fn request(&mut self, version: i16, body: impl Into<RequestKind>) {
        self.enqueue(Work::Request { origin: Origin::Nobody, version, client_id: None, body: Box::new(body.into()) });
    }

    /// A topic whose partitions lie there.
    fn create(&mut self, name: &str, partitions: &[&[i32]]) {
        let assignment = |(index, ids): (i32, &&[i32])| {
            let ids = ids.iter().map(|&id| kafka_protocol::messages::BrokerId(id)).collect();
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(ids)
        };
        let topic = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments((0..).zip(partitions).map(assignment).collect());
        self.request(7, CreateTopicsRequest::default().with_topics(vec![topic]));
    }

    fn delete(&mut self, name: &str) {
        let state = DeleteTopicState::default().with_name(Some(topic(name)));
        self.request(6, DeleteTopicsRequest::default().with_topics(vec![state]));
    }

    /// A leader writes an ISR and says so.
    fn write_isr(&mut self, name: &str, index: i32, isr: &[i32]) {
        let isr = isr.iter().map(|&id| BrokerId(id)).collect();
        let partition = self.controller.committed().topics[&topic(name)].partitions[index as usize].clone();
        let data = znode::state(&Assignment { isr, ..partition }, 1);
        self.set(&znode::state_path(&topic(name), index), data);
        let name = TopicPartition::new(topic(name), index);
        let data = Some(znode::isr_change([&name].into_iter()));
        let mode = CreateMode::PersistentSequential;
        self.outside(Op::Create { path: znode::isr_change_path(), data, mode });
    }

    fn set(&mut self, path: &str, data: Bytes) {
        self.outside(Op::SetData { path: path.into(), data: Some(data), version: ANY_VERSION });
    }

    /// `leader @ epoch, isr` of a partition, as brokers were told; what ZooKeeper holds is the same.
    fn partition(&self, name: &str, index: i32) -> (i32, i32, Vec<i32>) {
        let path = znode::state_path(&topic(name), index);
        let znode = self.tree.get(&path).unwrap();
        let mut held = Assignment::default();
        znode::parse_state(znode.data.as_ref().unwrap(), znode.stat().version, &mut held).unwrap();
        let told = &self.controller.committed().topics[&topic(name)].partitions[index as usize];
        assert_eq!(
            (held.leader, held.leader_epoch, &held.isr, held.partition_epoch, held.recovering),
            (told.leader, told.leader_epoch, &told.isr, told.partition_epoch, told.recovering)
        );
        (told.leader.0, told.leader_epoch, told.isr.iter().map(|id| id.0).collect())
    }

    fn data(&self, path: &str) -> Option<String> {
        let znode = self.tree.get(path).ok()?;
        Some(String::from_utf8(znode.data.clone().unwrap_or_default().to_vec()).unwrap())
    }

    fn children(&self, path: &str) -> Vec<String> {
        self.tree.get(path).unwrap().children.iter().map(|name| name.to_string()).collect()
    }

    /// Another broker is elected and loads what is there.
    fn successor(self) -> Hall {
        let epoch = self.controller.epoch() + 1;
        let mut hall = Hall { controller: new(2, epoch, epoch - 1, &[]), answers: Vec::new(), published: 0, ..self };
        hall.set(znode::CONTROLLER_EPOCH, znode::controller_epoch(epoch));
        hall.begin();
        hall
    }

    fn code(&self) -> i16 {
        match self.answers.last() {
            Some(Answer::Response(ResponseKind::CreateTopics(body))) => body.topics[0].error_code,
            Some(Answer::Response(ResponseKind::DeleteTopics(body))) => body.responses[0].error_code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_topic_is_in_zookeeper_as_kafka_lays_it_out_before_anyone_is_told() {
    let mut hall = Hall::new(2);
    assert_eq!((hall.published, hall.data(znode::FEATURE).is_some()), (1, true));
    hall.held = true;
    hall.create("orders", &[&[2, 1]]);
    assert!(hall.answers.is_empty() && hall.published == 1 && hall.controller.committed().topics.is_empty());
    hall.held = false;
    hall.follow(Vec::new());
    assert_eq!((hall.code(), hall.published), (0, 2));
    assert_eq!(hall.partition("orders", 0), (2, 0, vec![2, 1]));
    assert_eq!(
        hall.data("/brokers/topics/orders/partitions/0/state").unwrap(),
        r#"{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,1]}"#
    );
    assert_eq!(hall.data("/config/topics/orders").unwrap(), r#"{"version":1,"config":{}}"#);
    let assignment = hall.data("/brokers/topics/orders").unwrap();
    assert!(assignment.contains(r#""partitions":{"0":[2,1]}"#) && assignment.ends_with(r#""version":3}"#));
}

#[test]
fn the_next_controller_finds_the_cluster_as_it_was_left() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2], &[2, 3]]);
    let before = hall.controller.committed().topics.clone();
    let hall = hall.successor();
    let after = hall.controller.committed();
    assert_eq!((&after.topics, after.controller, after.controller_epoch), (&before, BrokerId(2), 2));
    assert_eq!((after.version, hall.published), ((2 << 32) + 1, 1));
}

#[test]
fn a_controller_whose_epoch_is_over_writes_nothing_and_resigns() {
    let mut hall = Hall::new(2);
    hall.set(znode::CONTROLLER_EPOCH, Bytes::from_static(b"2"));
    let before = hall.tree.clone();
    hall.create("orders", &[&[1]]);
    assert!(hall.resigned && hall.tree == before && hall.published == 1 && hall.answers.is_empty());
    let out = hall.controller.resign();
    hall.follow(out);
    assert!(matches!(hall.answers[..], [Answer::NotController]));
}

#[test]
fn the_dead_lead_nothing_and_leave_the_isr_but_for_its_last_member() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3], &[3, 2]]);
    hall.create("alone", &[&[2]]);
    hall.write_isr("orders", 0, &[2, 3]);
    hall.write_isr("orders", 1, &[3, 2]);
    hall.watched(znode::ISR_CHANGES);
    assert_eq!((hall.partition("orders", 0), hall.partition("orders", 1)), ((2, 0, vec![2, 3]), (3, 0, vec![3, 2])));
    hall.remove("/brokers/ids/2");
    hall.watched(znode::BROKER_IDS);
    assert_eq!(hall.partition("orders", 0), (3, 1, vec![3]));
    assert_eq!(hall.partition("orders", 1), (3, 1, vec![3]));
    assert_eq!(hall.partition("alone", 0), (-1, 1, vec![2]));
    hall.register(2);
    hall.watched(znode::BROKER_IDS);
    assert_eq!(hall.partition("orders", 0), (3, 1, vec![3]));
    assert_eq!(hall.partition("alone", 0), (2, 2, vec![2]));
    assert_eq!(hall.controller.committed().brokers.len(), 3);
}

#[test]
fn a_broker_that_is_back_before_anyone_saw_it_go_has_died_all_the_same() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3]]);
    hall.create("alone", &[&[2]]);
    hall.write_isr("orders", 0, &[2, 3]);
    hall.watched(znode::ISR_CHANGES);
    hall.remove("/brokers/ids/2");
    hall.register(2);
    hall.watched(znode::BROKER_IDS);
    assert_eq!(hall.partition("orders", 0), (3, 1, vec![3]));
    assert_eq!(hall.partition("alone", 0), (2, 2, vec![2]));
}

#[test]
fn whose_log_has_failed_leads_no_more_until_it_starts_anew() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2], &[2, 1]]);
    hall.create("alone", &[&[1]]);
    hall.outside(Op::Create {
        path: znode::log_dir_event_path(),
        data: Some(znode::log_dir_event(BrokerId(1))),
        mode: CreateMode::PersistentSequential,
    });
    hall.watched(znode::LOG_DIR_EVENTS);
    assert_eq!(hall.asked_for_failed, [BrokerId(1)]);
    assert!(hall.children(znode::LOG_DIR_EVENTS).is_empty());
    let failed = [("alone", 0), ("orders", 0), ("orders", 1)];
    let failed = failed.map(|(name, index)| TopicPartition::new(topic(name), index)).to_vec();
    for _ in 0..2 {
        let mut out = Vec::new();
        hall.controller.logs_failed(NOW, BrokerId(1), failed.clone(), &mut out);
        hall.follow(out);
        assert_eq!(hall.partition("orders", 0), (2, 1, vec![2]));
        assert_eq!(hall.partition("orders", 1), (2, 1, vec![2]), "and what it follows it is not in sync with");
        assert_eq!(hall.partition("alone", 0), (-1, 1, vec![1]), "nobody else has it");
    }
    hall.remove("/brokers/ids/1");
    hall.watched(znode::BROKER_IDS);
    // It was on its way.
    let mut out = Vec::new();
    hall.controller.logs_failed(NOW, BrokerId(1), failed, &mut out);
    hall.follow(out);
    hall.register(1);
    hall.watched(znode::BROKER_IDS);
    assert_eq!(hall.partition("orders", 0), (2, 1, vec![2]));
    assert_eq!(hall.partition("alone", 0), (1, 2, vec![1]));
}

#[test]
fn only_where_it_is_allowed_one_leads_that_was_not_in_sync() {
    for (settings, expected) in
        [(&[][..], (-1, 1, vec![2])), (&[("unclean.leader.election.enable", "true")], (3, 1, vec![3]))]
    {
        let mut hall = Hall::with(3, settings);
        hall.create("orders", &[&[2, 3]]);
        hall.write_isr("orders", 0, &[2]);
        hall.watched(znode::ISR_CHANGES);
        hall.remove("/brokers/ids/2");
        hall.watched(znode::BROKER_IDS);
        assert_eq!(hall.partition("orders", 0), expected);
    }
}

#[test]
fn an_isr_that_a_leader_has_written_meanwhile_is_read_before_the_decision_is_made_anew() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3, 1]]);
    hall.write_isr("orders", 0, &[2, 1]);
    hall.remove("/brokers/ids/2");
    hall.watched(znode::BROKER_IDS);
    assert_eq!(hall.partition("orders", 0), (1, 1, vec![1]));
    assert!(hall.children(znode::ISR_CHANGES).is_empty());
}

#[test]
fn notifications_are_read_told_and_removed() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[1, 2], &[1, 2]]);
    let published = hall.published;
    hall.write_isr("orders", 1, &[1, 2]);
    hall.put("/isr_change_notification/isr_change_", Some("{"), CreateMode::PersistentSequential);
    hall.watched(znode::ISR_CHANGES);
    assert_eq!((hall.partition("orders", 1), hall.published), ((1, 0, vec![1, 2]), published + 1));
    assert!(hall.children(znode::ISR_CHANGES).is_empty());
}

#[test]
fn a_write_whose_answer_was_lost_is_not_made_twice() {
    let mut hall = Hall::new(1);
    hall.held = true;
    hall.create("orders", &[&[1]]);
    let (tag, op) = hall.asked.pop_front().unwrap();
    hall.outside(op);
    hall.answer(tag, Err(Error::ConnectionLoss));
    hall.held = false;
    let mut out = Vec::new();
    hall.controller.reconnected(NOW, &mut out);
    hall.follow(out);
    // It is there, and as nobody knows whose it is, the client is told what is true.
    assert_eq!(hall.code(), ErrorCode::TopicAlreadyExists.code());
    assert_eq!(hall.partition("orders", 0), (1, 0, vec![1]));
}

#[test]
fn a_topic_goes_with_all_its_znodes_and_what_was_left_of_one_is_finished() {
    let mut hall = Hall::new(1);
    let whole = hall.tree.clone();
    hall.create("orders", &[&[1], &[1]]);
    hall.delete("orders");
    assert_eq!(hall.code(), 0);
    let paths = |tree: &Tree| tree.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&hall.tree), paths(&whole));

    // Half a topic was made, and another one was marked, when their controller died.
    hall.create("marked", &[&[1]]);
    hall.create("half", &[&[1], &[1]]);
    for path in ["/brokers/topics/half/partitions/1/state", "/brokers/topics/half/partitions/1", "/config/topics/half"]
    {
        hall.remove(path);
    }
    hall.put("/admin/delete_topics/marked", None, CreateMode::Persistent);
    hall.put("/admin/delete_topics/gone-already", None, CreateMode::Persistent);
    let hall = hall.successor();
    assert_eq!(hall.children(znode::TOPICS), ["half"]);
    assert!(hall.children(znode::DELETE_TOPICS).is_empty());
    assert_eq!((hall.partition("half", 0), hall.partition("half", 1)), ((1, 0, vec![1]), (1, 0, vec![1])));
    assert_eq!(hall.data("/config/topics/half").unwrap(), r#"{"version":1,"config":{}}"#);
}

#[test]
fn a_large_topic_is_written_in_several_multis() {
    let mut hall = Hall::new(1);
    hall.create("large", &[&[1][..]; 1_200]);
    assert_eq!((hall.code(), hall.published), (0, 2));
    assert_eq!(hall.children("/brokers/topics/large/partitions").len(), 1_200);
    assert_eq!(hall.partition("large", 1_199), (1, 0, vec![1]));
}

#[test]
fn a_broker_that_is_about_to_stop_hands_over_what_others_can_lead() {
    let mut hall = Hall::new(3);
    hall.create("orders", &[&[2, 3], &[3, 2], &[2, 1]]);
    hall.create("alone", &[&[2]]);
    hall.write_isr("orders", 0, &[2, 3]);
    hall.write_isr("orders", 1, &[3, 2]);
    hall.write_isr("orders", 2, &[2]);
    hall.watched(znode::ISR_CHANGES);
    let epoch = hall.tree.get("/brokers/ids/2").unwrap().stat().czxid.0;
    hall.enqueue(Work::Shutdown { origin: Origin::Nobody, broker: BrokerId(2), epoch });
    assert_eq!((hall.partition("orders", 0), hall.partition("orders", 1)), ((3, 1, vec![3]), (3, 1, vec![3])));
    // Nobody else has it, or is in sync.
    assert_eq!((hall.partition("alone", 0), hall.partition("orders", 2)), ((2, 0, vec![2]), (2, 0, vec![2])));
    assert!(matches!(hall.answers.last(), Some(Answer::Remaining(1))));
    hall.request(7, {
        let topic =
            CreatableTopic::default().with_name(topic("more")).with_num_partitions(4).with_replication_factor(2);
        CreateTopicsRequest::default().with_topics(vec![topic])
    });
    let more = &hall.controller.committed().topics[&topic("more")];
    assert!(more.partitions.iter().all(|partition| !partition.replicas.contains(&BrokerId(2))));
}

#[test]
fn leaders_go_back_to_where_they_are_preferred_when_enough_are_elsewhere() {
    let mut hall = Hall::new(2);
    hall.create("orders", &[&[2, 1], &[1, 2]]);
    hall.write_isr("orders", 0, &[2, 1]);
    hall.watched(znode::ISR_CHANGES);
    hall.remove("/brokers/ids/2");
    hall.watched(znode::BROKER_IDS);
    hall.register(2);
    hall.watched(znode::BROKER_IDS);
    hall.enqueue(Work::Rebalance);
    assert_eq!(hall.partition("orders", 0), (1, 1, vec![1]), "not in sync yet");
    hall.write_isr("orders", 0, &[1, 2]);
    hall.watched(znode::ISR_CHANGES);
    let (mut out, due) = (Vec::new(), hall.controller.deadline().unwrap());
    hall.controller.timer(Now { instant: due, ..NOW }, &mut out);
    hall.follow(out);
    assert_eq!(hall.partition("orders", 0), (2, 2, vec![1, 2]));
    assert_eq!(hall.controller.deadline(), Some(due + Duration::from_secs(300)));
}

#[test]
fn what_makes_no_sense_in_zookeeper_is_not_written_over() {
    let mut hall = Hall::new(1);
    hall.create("orders", &[&[1]]);
    hall.set("/brokers/topics/orders", Bytes::from_static(b"{"));
    let hall = hall.successor();
    assert!(hall.failed.unwrap().starts_with("/brokers/topics/orders: a topic's assignment cannot be read"));
    assert_eq!(hall.published, 0);
}
