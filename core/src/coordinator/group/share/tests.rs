//! A share group and share coordinators that answer when they are told to, or refuse.

use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse, ResponseKind, ShareGroupHeartbeatRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::delete::Delete;
use super::super::{Ask, Group, Groups, Order};
use super::calls::{Answered, ShareCall, Summary, What};
use super::heartbeat::Heartbeat;
use super::offsets::Deleted;
use super::states::States;
use crate::broker::handle::Asked;
use crate::config::BrokerSettings;
use crate::coordinator::{Around, At, Decision, Event, Machine, Reply};
use crate::error::ErrorCode;
use crate::id::{ConnId, Ticket};
use crate::protocol::cluster::{Assignment, ClusterState, Topic};
use crate::time::{Instant, Now, Timestamp};
use crate::vec_map::VecMap;

const ORDERS: Uuid = Uuid::from_u128(7);

/// What one shard does, and what it asks of share coordinators.
struct Desk {
    groups: Groups,
    now: Now,
    cluster: ClusterState,
    calls: Vec<ShareCall>,
    replies: Vec<ResponseKind>,
}

impl Desk {
    fn new() -> Desk {
        let topic = Topic { id: ORDERS, configs: VecMap::new(), partitions: vec![Assignment::default(); 2] };
        Desk {
            groups: Groups::default(),
            now: Now { instant: Instant::ZERO, wall: Timestamp(1_000_000) },
            cluster: ClusterState { topics: [(orders(), topic)].into(), ..ClusterState::default() },
            calls: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn asked(&self) -> Asked {
        let ticket = Ticket { conn: ConnId(1), seq: 0 };
        Asked { now: self.now, ticket, version: 1, client_id: None, host: None }
    }

    /// Decides, writes, and goes on with what is written.
    fn step(&mut self, event: Event<Groups>) {
        let names: VecMap<Uuid, TopicName> =
            self.cluster.topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect();
        let settings = BrokerSettings::default();
        let around = Around { now: self.now, cluster: &self.cluster, topic_names: &names, settings: &settings };
        let Decision { moves, records, replies, response, next, orders, .. } = self.groups.decide(&around, event);
        moves.into_iter().for_each(|change| self.groups.apply(change));
        for record in &records {
            let (key, value) = Groups::encode(record);
            let read = Groups::decode(Some(key), value).unwrap().unwrap();
            assert_eq!(read, *record);
            self.groups.replay(&read, At { offset: 0, producer: None });
        }
        self.replies.extend(replies.into_iter().chain(response).map(|Reply { body, .. }| body));
        self.calls.extend(orders.into_iter().filter_map(|order| match order {
            Order::ShareState(call) => Some(call),
            Order::Note(..) => None,
        }));
        if let Some(next) = next {
            self.step(Event::Written { next, result: Ok(()) });
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.step(Event::Asked(ask));
    }

    /// A heartbeat, and how many partitions the member has after it.
    fn beats(&mut self, epoch: i32) -> usize {
        let body = ShareGroupHeartbeatRequest::default()
            .with_member_id(StrBytes::from_static_str("m1"))
            .with_member_epoch(epoch)
            .with_subscribed_topic_names(Some(vec![orders()]));
        self.now.wall.0 += 1_000;
        self.ask(Ask::ShareHeartbeat(Heartbeat { waiter: self.asked().into(), group: "g".into(), body }));
        let Some(ResponseKind::ShareGroupHeartbeat(answer)) = self.replies.pop() else { panic!() };
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.assignment.map_or(0, |it| it.topic_partitions.iter().map(|topic| topic.partitions.len()).sum())
    }

    /// Share coordinators answer what was asked last.
    fn answer(&mut self, error: Option<ErrorCode>) {
        let call = self.calls.pop().unwrap();
        let answer = match error {
            None => Ok(Summary { start_offset: 5, leader_epoch: 1 }),
            Some(error) => Err((error, "no".to_owned())),
        };
        let answers = vec![answer; call.parts.len()];
        self.ask(Ask::ShareAnswered(Answered { call, answers }));
    }

    fn states(&self) -> States {
        let Some(Group::Share(group)) = self.groups.state().groups.get("g") else { panic!() };
        group.states.as_deref().cloned().unwrap_or_default()
    }

    fn delete(&mut self) {
        let delete = Delete { waiter: self.asked().into(), group: "g".into() };
        self.ask(Ask::Delete(delete));
    }
}

fn orders() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

fn deleted(desk: &mut Desk) -> i16 {
    let Some(ResponseKind::DeleteGroups(body)) = desk.replies.pop() else { panic!() };
    body.results[0].error_code
}

#[test]
fn only_what_is_initialized_is_assigned_and_what_could_not_be_is_tried_again() {
    let mut desk = Desk::new();
    assert_eq!((desk.beats(0), desk.calls[0].parts.len()), (0, 2));
    assert_eq!(desk.calls[0].parts[1].what, What::Initialize { state_epoch: 2, start_offset: -1 });
    assert_eq!(desk.states().initializing[&ORDERS].1, [0, 1].into());
    assert_eq!((desk.beats(0), desk.calls.len()), (0, 1), "it is on its way");

    desk.answer(Some(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(desk.states(), States::default());
    assert_eq!((desk.beats(0), desk.calls.len()), (0, 1), "once more");

    // Nobody answers.
    desk.calls.clear();
    desk.now.wall.0 += 28_000;
    assert_eq!((desk.beats(0), desk.calls.len()), (0, 0));
    desk.now.wall.0 += 1_000;
    assert_eq!((desk.beats(0), desk.calls.len()), (0, 1));
    desk.answer(None);
    let states = desk.states();
    assert_eq!((states.initializing.len(), &states.initialized[&ORDERS].1), (0, &[0, 1].into()));
    assert_eq!((desk.beats(0), desk.calls.len()), (2, 0));

    // The topic grows.
    let topic = desk.cluster.topics.get_mut(&orders()).unwrap();
    topic.partitions.push(Assignment::default());
    desk.cluster.version += 1;
    assert_eq!((desk.beats(0), desk.calls[0].parts.len(), desk.calls[0].parts[0].partition), (2, 1, 2));
    desk.answer(None);
    assert_eq!(desk.beats(0), 3);
}

#[test]
fn a_topic_that_has_gone_unseen_is_not_waited_for() {
    let mut desk = Desk::new();
    desk.beats(0);
    desk.answer(None);
    assert_eq!(desk.beats(0), 2);
    let successor = Uuid::from_u128(8);
    desk.cluster.topics.get_mut(&orders()).unwrap().id = successor;
    desk.cluster.version += 1;
    assert_eq!((desk.beats(0), desk.calls[0].parts[0].topic_id), (0, successor));
    desk.answer(None);
    assert_eq!(desk.beats(0), 2);
    let epoch = |desk: &Desk| match desk.groups.state().groups.get("g") {
        Some(Group::Share(group)) => group.epoch,
        _ => panic!(),
    };
    let before = epoch(&desk);
    desk.beats(0);
    assert_eq!(epoch(&desk), before);
}

#[test]
fn a_group_goes_when_its_states_have_gone() {
    let mut desk = Desk::new();
    desk.beats(0);
    desk.answer(None);
    desk.delete();
    assert_eq!(deleted(&mut desk), ErrorCode::NonEmptyGroup.code());
    desk.ask(Ask::ShareHeartbeat(Heartbeat {
        waiter: desk.asked().into(),
        group: "g".into(),
        body: ShareGroupHeartbeatRequest::default()
            .with_member_id(StrBytes::from_static_str("m1"))
            .with_member_epoch(-1),
    }));
    desk.delete();
    assert_eq!((desk.calls[0].parts.len(), desk.calls[0].parts[0].what), (2, What::Delete));
    assert_eq!(desk.states(), States { deleting: [ORDERS].into(), ..States::default() });
    desk.answer(Some(ErrorCode::NotCoordinator));
    assert_eq!(deleted(&mut desk), ErrorCode::NotCoordinator.code());
    desk.delete();
    desk.answer(None);
    assert_eq!(deleted(&mut desk), 0);
    assert!(desk.groups.state().groups.get("g").is_none());
}

#[test]
fn an_offset_that_could_not_be_deleted_can_be_deleted_again() {
    let mut desk = Desk::new();
    desk.beats(0);
    desk.answer(None);
    desk.ask(Ask::ShareHeartbeat(Heartbeat {
        waiter: desk.asked().into(),
        group: "g".into(),
        body: ShareGroupHeartbeatRequest::default()
            .with_member_id(StrBytes::from_static_str("m1"))
            .with_member_epoch(-1),
    }));
    desk.replies.clear();
    let mut delete = |error: Option<ErrorCode>| {
        let topic = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(orders());
        let body = DeleteShareGroupOffsetsRequest::default().with_topics(vec![topic]);
        let response = DeleteShareGroupOffsetsResponse::default();
        let deleted = Deleted { waiter: desk.asked().into(), group: "g".into(), body, response };
        desk.ask(Ask::DeleteShareOffsets(deleted));
        assert_eq!(desk.calls[0].parts.len(), 2);
        desk.answer(error);
        let Some(ResponseKind::DeleteShareGroupOffsets(body)) = desk.replies.pop() else { panic!() };
        (body.responses[0].error_code, desk.states().deleting.len())
    };
    let error = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(delete(Some(error)), (error.code(), 1));
    assert_eq!(delete(None), (0, 0));
}
