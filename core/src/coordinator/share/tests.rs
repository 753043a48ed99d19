//! The share coordinator's rules, and that a log says what memory says.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::config::BrokerSettings;
use crate::protocol::cluster::{Assignment, ClusterState, Topic};
use crate::time::{Instant, Now, Timestamp};
use crate::vec_map::VecMap;

const TOPIC: Uuid = Uuid::from_u128(5);

/// What a coordinator has decided so far is its log.
struct Coordinator {
    machine: ShareStates,
    log: Vec<(Bytes, Option<Bytes>)>,
    cluster: ClusterState,
    names: VecMap<Uuid, TopicName>,
    settings: BrokerSettings,
    now: Now,
}

impl Coordinator {
    fn new(settings: &[(&str, &str)]) -> Coordinator {
        let name = TopicName(StrBytes::from_static_str("orders"));
        let topic = Topic { id: TOPIC, configs: VecMap::new(), partitions: vec![Assignment::default()] };
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Coordinator {
            machine: ShareStates::default(),
            log: Vec::new(),
            cluster: ClusterState { topics: [(name.clone(), topic)].into(), ..ClusterState::default() },
            names: [(TOPIC, name)].into(),
            settings: BrokerSettings::parse(&settings).unwrap(),
            now: Now { instant: Instant::ZERO, wall: Timestamp(1_000) },
        }
    }

    fn decide(&mut self, event: Event<ShareStates>) -> Decision<ShareStates> {
        let around =
            Around { now: self.now, cluster: &self.cluster, topic_names: &self.names, settings: &self.settings };
        let decision = self.machine.decide(&around, event);
        for record in &decision.records {
            let at = At { offset: self.log.len() as Offset, producer: None };
            self.machine.replay(record, at);
            self.log.push(record.encode());
        }
        decision
    }

    fn ask(&mut self, what: What) -> Result<Answer, Refused> {
        let key = Key { group: "g".into(), topic_id: TOPIC, partition: 0 };
        let decision = self.decide(Event::Asked(Ask { to: To::Own(7), key, what }));
        let next = decision.next.expect("who asks is answered");
        assert_eq!(next.call, 7);
        next.answer
    }

    fn error(&mut self, what: What) -> ErrorCode {
        self.ask(what).unwrap_err().error
    }

    /// Another broker reads the log.
    fn reloaded(&self) -> ShareStates {
        let mut machine = ShareStates::default();
        for (offset, (key, value)) in (0..).zip(self.log.clone()) {
            let record = Record::decode(Some(key), value).unwrap().unwrap();
            machine.replay(&record, At { offset, producer: None });
        }
        machine
    }
}

fn write(leader_epoch: i32, state_epoch: i32, start_offset: Offset, batches: &[(Offset, Offset, i8)]) -> What {
    let batch = |&(first_offset, last_offset, delivery_state): &(Offset, Offset, i8)| StateBatch {
        first_offset,
        last_offset,
        delivery_state,
        delivery_count: 1,
    };
    let batches = batches.iter().map(batch).collect();
    What::Write(Write { state_epoch, leader_epoch, start_offset, delivery_complete_count: 3, batches })
}

const INITIALIZE: What = What::Initialize { state_epoch: 1, start_offset: 5 };

#[test]
fn what_is_written_is_read_and_another_broker_reads_the_same() {
    let mut coordinator = Coordinator::new(&[("share.coordinator.snapshot.update.records.per.snapshot", "2")]);
    assert_eq!(coordinator.error(write(1, 1, 5, &[])), ErrorCode::InvalidRequest);
    assert_eq!(coordinator.error(What::Read { leader_epoch: 1 }), ErrorCode::InvalidRequest);
    assert_eq!(coordinator.ask(INITIALIZE), Ok(Answer::Initialized));
    let read = coordinator.ask(What::Read { leader_epoch: 1 });
    assert_eq!(read, Ok(Answer::Read { state_epoch: 1, start_offset: 5, batches: vec![] }));
    for offset in 5..10 {
        assert_eq!(coordinator.ask(write(1, 1, 5, &[(offset, offset, 2)])), Ok(Answer::Written));
    }
    assert_eq!(coordinator.ask(write(1, 1, 7, &[(11, 12, 0)])), Ok(Answer::Written));
    let batch = |first_offset, last_offset, delivery_state| StateBatch {
        first_offset,
        last_offset,
        delivery_state,
        delivery_count: 1,
    };
    let batches = vec![batch(7, 9, 2), batch(11, 12, 0)];
    let read = coordinator.ask(What::Read { leader_epoch: 1 });
    assert_eq!(read, Ok(Answer::Read { state_epoch: 1, start_offset: 7, batches }));
    let kinds: Vec<i16> = coordinator.log.iter().map(|(key, _)| i16::from_be_bytes([key[0], key[1]])).collect();
    assert_eq!(kinds, [0, 1, 1, 0, 1, 1, 0, 1], "a snapshot after every two updates");
    let reloaded = coordinator.reloaded();
    let states = |machine: &ShareStates| machine.state.held.values().cloned().collect::<Vec<_>>();
    assert_eq!(states(&reloaded), states(&coordinator.machine));
    assert_eq!(reloaded.state.redundant_below(), Some(6));
}

#[test]
fn who_leads_no_more_and_who_knows_an_older_state_is_refused() {
    let mut coordinator = Coordinator::new(&[]);
    coordinator.ask(INITIALIZE).unwrap();
    coordinator.ask(What::Read { leader_epoch: 3 }).unwrap();
    assert_eq!(coordinator.error(What::Read { leader_epoch: 2 }), ErrorCode::FencedLeaderEpoch);
    assert_eq!(coordinator.error(write(2, 1, 5, &[])), ErrorCode::FencedLeaderEpoch);
    coordinator.ask(What::Initialize { state_epoch: 2, start_offset: 0 }).unwrap();
    assert_eq!(coordinator.error(write(3, 1, 5, &[])), ErrorCode::FencedStateEpoch);
    assert_eq!(coordinator.error(INITIALIZE), ErrorCode::FencedStateEpoch);
    let summary = coordinator.ask(What::Summary { leader_epoch: -1 }).unwrap();
    let Answer::Summary { state_epoch: 2, start_offset: 0, .. } = summary else { panic!("{summary:?}") };
}

#[test]
fn a_state_goes_when_it_is_deleted_and_with_its_topic() {
    let mut coordinator = Coordinator::new(&[]);
    coordinator.ask(INITIALIZE).unwrap();
    assert_eq!(coordinator.ask(What::Delete), Ok(Answer::Deleted));
    assert_eq!(coordinator.ask(What::Delete), Ok(Answer::Deleted), "there is none");
    assert_eq!(coordinator.log.len(), 2);
    assert!(coordinator.reloaded().state.held.is_empty());
    coordinator.ask(INITIALIZE).unwrap();
    let gone = (TopicName(StrBytes::from_static_str("orders")), TOPIC);
    coordinator.decide(Event::Cluster { created: false, deleted: [gone].into() });
    assert!(coordinator.machine.state.held.is_empty());
    (coordinator.cluster, coordinator.names) = (ClusterState::default(), VecMap::new());
    assert_eq!(coordinator.error(INITIALIZE), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn what_has_not_changed_for_long_has_another_snapshot_once() {
    let mut coordinator = Coordinator::new(&[]);
    coordinator.ask(INITIALIZE).unwrap();
    let mut written = |millis: i64| {
        coordinator.now.wall.0 += millis;
        coordinator.decide(Event::Timer(Timer::ColdSnapshots)).records.len()
    };
    assert_eq!([written(299_999), written(1), written(300_000)], [0, 1, 0]);
}

/// As Kafka 4.3 writes them.
#[test]
fn records_have_kafkas_bytes() {
    let key = Key { group: "g".into(), topic_id: TOPIC, partition: 3 };
    let batch = StateBatch { first_offset: 1, last_offset: 2, delivery_state: 2, delivery_count: 1 };
    let update = Update {
        snapshot_epoch: 1,
        leader_epoch: 2,
        start_offset: 3,
        batches: vec![batch],
        delivery_complete_count: 4,
    };
    let (wire_key, value) = Record::Update(key.clone(), update).encode();
    let expected = [&[0, 1, 0, 1, b'g'][..], TOPIC.as_bytes(), &[0, 0, 0, 3]].concat();
    assert_eq!(wire_key, expected);
    let expected = [
        &[0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3][..],
        &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 1, 0],
        &[1, 0, 4, 0, 0, 0, 4],
    ];
    assert_eq!(value.unwrap(), expected.concat());
    assert!(Key::is_one(&key.coordinator_key()) && Key::is_one("a:b:AAAAAAAAAAAAAAAAAAAABQ:0"));
    assert!(!Key::is_one("AAAAAAAAAAAAAAAAAAAABQ:0") && !Key::is_one(" :AAAAAAAAAAAAAAAAAAAABQ:0"));
}
