//! This broker and the others: applying what the controller decided, carrying clients' requests to it, and, on the
//! controller's broker, carrying out what it wants.
//!
//! 1. A new state comes from one place, [`Broker::apply`]: partitions are created, removed, led and followed nowhere
//!    else. States of an old version, or of a controller that is not the newest, are ignored.
//! 2. On the controller's broker every decision is in ZooKeeper before it is published here: applied, then told to the
//!    others, then answered.
//! 3. A broker that was restarted, or whose session was lost, takes nothing until the controller knows of its new
//!    registration: it would lead in an epoch that it has led in before.

use std::borrow::Cow;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::{Message, StrBytes};

use super::handle::Asked;
use super::membership::Held;
use super::{Broker, Effect};
use crate::broker::event::Unreachable;
use crate::controller::{Answer, Origin, Work};
use crate::coordinator::topic::Internal;
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, CallId, TopicPartition};
use crate::protocol::cluster::{ClusterRequest, ClusterResponse, ClusterState};
use crate::time::Now;
use crate::view::Level;

/// What a call's answer is for.
#[derive(Clone)]
pub(super) enum Pending {
    /// That broker is to live by this version of the cluster's state.
    Update { to: BrokerId, version: u64 },
    /// Nobody waits: whoever asked for a missing topic's metadata asks again.
    Create,
    /// A client waits; where the controller cannot be reached it gets this answer, made beforehand.
    Forward { asked: Asked, unreachable: Box<ResponseKind> },
    /// This broker is about to stop.
    Shutdown,
}

impl Broker {
    /// Another broker calls.
    pub(super) fn called(
        &mut self,
        now: Now,
        from: BrokerId,
        call: CallId,
        request: ClusterRequest,
        out: &mut Vec<Effect>,
    ) {
        let origin = |version| Origin::Broker { from, call, version };
        let work = match request {
            ClusterRequest::Update(state) => {
                let own = self.id();
                let (to, call, response) = if state.controller_epoch < self.cluster.controller_epoch {
                    (from, call, ClusterResponse::StaleControllerEpoch(self.cluster.controller_epoch))
                } else if state.broker_epochs.get(&own) == Some(&self.membership.epoch) {
                    self.apply(now, state, out);
                    (from, call, ClusterResponse::Done { failed: self.failed_logs() })
                } else {
                    // (3)
                    let Some(stale) = self.membership.hold(own, Held { state, from, call }) else { return };
                    (stale.from, stale.call, ClusterResponse::StaleBrokerEpoch(self.membership.epoch))
                };
                return out.push(Effect::Answer { to, call, response });
            }
            ClusterRequest::Forward { version, client_id, body } => {
                Work::Request { origin: origin(version), version, client_id, body }
            }
            ClusterRequest::ControlledShutdown { broker, epoch } => Work::Shutdown { origin: origin(0), broker, epoch },
        };
        if !self.enqueue(now, work, out) {
            out.push(Effect::Answer { to: from, call, response: ClusterResponse::NotController });
        }
    }

    /// The answer to one of this broker's own calls.
    pub(super) fn answered(
        &mut self,
        now: Now,
        call: CallId,
        result: Result<ClusterResponse, Unreachable>,
        out: &mut Vec<Effect>,
    ) {
        match (self.calls.remove(&call), result) {
            (Some(Pending::Forward { asked, .. }), Ok(ClusterResponse::Forward { body, .. })) => {
                asked.reply(*body, out)
            }
            (Some(Pending::Forward { asked, unreachable }), _) => asked.reply(*unreachable, out),
            (Some(Pending::Create), Ok(ClusterResponse::Forward { body, .. })) => self.not_created(&body, out),
            (Some(Pending::Shutdown), _) => self.handed_over(now, out),
            (Some(Pending::Update { to, version }), Ok(ClusterResponse::Done { failed })) => {
                self.confirmed(now, to, version, failed, out);
            }
            // Nothing depends on it: what this one would write is refused by ZooKeeper.
            (Some(Pending::Update { .. }), Ok(response @ ClusterResponse::StaleControllerEpoch(_))) => {
                out.push(Effect::Note { level: Level::Warn, text: format!("is refused as controller, {response}") });
            }
            // A broker that could not be told is told again when the connection with it is up (`peer`).
            (Some(Pending::Update { .. } | Pending::Create) | None, _) => {}
        }
    }

    /// The connection with another broker came up or went down.
    pub(super) fn peer(&mut self, id: BrokerId, up: bool, out: &mut Vec<Effect>) {
        let Some(controller) = self.controller.as_ref().filter(|_| up) else { return };
        let state = controller.committed().clone();
        if state.brokers.contains_key(&id) {
            self.update(id, state, out);
        }
    }

    fn update(&mut self, to: BrokerId, state: Arc<ClusterState>, out: &mut Vec<Effect>) {
        let pending = Pending::Update { to, version: state.version };
        self.call(to, ClusterRequest::Update(state), pending, out);
    }

    fn confirmed(
        &mut self,
        now: Now,
        broker: BrokerId,
        version: u64,
        failed: Vec<TopicPartition>,
        out: &mut Vec<Effect>,
    ) {
        let mut outputs = Vec::new();
        if let Some(controller) = &mut self.controller {
            controller.confirmed(now, broker, version, &mut outputs);
            controller.logs_failed(now, broker, failed, &mut outputs);
        }
        self.follow(now, outputs, out);
    }

    /// That broker tells once more which of its logs have failed.
    pub(super) fn ask_for_failed_logs(&mut self, now: Now, of: BrokerId, out: &mut Vec<Effect>) {
        let Some(state) = self.controller.as_ref().map(|controller| controller.committed().clone()) else { return };
        match of == self.id() {
            true => self.confirmed(now, of, state.version, self.failed_logs(), out),
            false => self.update(of, state, out),
        }
    }

    /// Logs that the disk has failed under: others lead those partitions, where others are in sync.
    fn failed_logs(&self) -> Vec<TopicPartition> {
        let failed = self.partitions().filter(|partition| partition.offline.is_some());
        failed.map(|partition| partition.name.clone()).collect()
    }

    /// Lets the controller decide a client's request and replies with what it says; `unreachable` makes the reply for
    /// the case that there is no controller to be found.
    pub(crate) fn forward(
        &mut self,
        asked: Asked,
        request: impl Into<RequestKind>,
        unreachable: impl FnOnce() -> ResponseKind,
        out: &mut Vec<Effect>,
    ) {
        let (now, version, body) = (asked.now, asked.version, Box::new(request.into()));
        let client_id = asked.client_id.clone();
        let unreachable = Box::new(unreachable());
        let controller = self.cluster.controller;
        if self.controller.is_some() {
            let origin = Origin::Client { asked, otherwise: unreachable };
            self.enqueue(now, Work::Request { origin, version, client_id, body }, out);
        } else if controller == BrokerId::NONE || controller == self.id() {
            asked.reply(*unreachable, out);
        } else {
            let body = ClusterRequest::Forward { version, client_id, body };
            self.call(controller, body, Pending::Forward { asked, unreachable }, out);
        }
    }

    /// Topics that a client asked about and that are not there: created with the cluster's defaults, if
    /// `auto.create.topics.enable` allows it.
    pub(crate) fn create_missing(
        &mut self,
        now: Now,
        names: Vec<TopicName>,
        client_id: Option<StrBytes>,
        out: &mut Vec<Effect>,
    ) {
        let topic = |name| match Internal::of(&name) {
            Some(internal) => internal.creatable(&self.settings),
            None => CreatableTopic::default().with_name(name).with_num_partitions(-1).with_replication_factor(-1),
        };
        let topics = names.into_iter().map(topic).collect();
        self.create_for_nobody(now, topics, client_id, out);
    }

    /// A topic that a coordinator needs.
    pub(crate) fn create_internal(&mut self, now: Now, internal: Internal, out: &mut Vec<Effect>) {
        let topic = internal.creatable(&self.settings);
        self.create_for_nobody(now, vec![topic], None, out);
    }

    fn create_for_nobody(
        &mut self,
        now: Now,
        topics: Vec<CreatableTopic>,
        client_id: Option<StrBytes>,
        out: &mut Vec<Effect>,
    ) {
        let request = CreateTopicsRequest::default().with_topics(topics);
        // The newest version that may leave both counts to the cluster.
        let (version, body) = (CreateTopicsRequest::VERSIONS.max, Box::new(RequestKind::from(request)));
        let controller = self.cluster.controller;
        if self.controller.is_some() {
            self.enqueue(now, Work::Request { origin: Origin::Nobody, version, client_id, body }, out);
        } else if controller != BrokerId::NONE && controller != self.id() {
            self.call(controller, ClusterRequest::Forward { version, client_id, body }, Pending::Create, out);
        }
    }

    /// What was refused to nobody in particular is told in the log, or nobody would learn why a topic does not come; once,
    /// as it is asked for again and again.
    fn not_created(&mut self, body: &ResponseKind, out: &mut Vec<Effect>) {
        let ResponseKind::CreateTopics(body) = body else { return };
        for topic in &body.topics {
            let error = match ErrorCode::try_from_code(topic.error_code) {
                None | Some(ErrorCode::TopicAlreadyExists) => continue,
                Some(error) => error,
            };
            let why = topic.error_message.as_deref().map_or_else(|| error::message(error), Cow::from);
            let text = format!("Could not create topic {}: {why}", topic.name.0);
            if self.not_created.as_deref() != Some(&*text) {
                self.not_created = Some(text.as_str().into());
                out.push(Effect::Note { level: Level::Warn, text });
            }
        }
    }

    /// Asks the controller to let others lead what this broker leads; goes on in [`Broker::handed_over`]. False where
    /// there is no controller to ask.
    pub(super) fn hand_over(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        let (broker, epoch, controller) = (self.id(), self.membership.epoch, self.cluster.controller);
        if self.enqueue(now, Work::Shutdown { origin: Origin::OwnStop, broker, epoch }, out) {
            return true;
        }
        if controller == BrokerId::NONE || controller == broker {
            return false;
        }
        self.call(controller, ClusterRequest::ControlledShutdown { broker, epoch }, Pending::Shutdown, out);
        true
    }

    /// False where this broker is not the controller.
    fn enqueue(&mut self, now: Now, work: Work, out: &mut Vec<Effect>) -> bool {
        let mut outputs = Vec::new();
        let Some(controller) = &mut self.controller else { return false };
        controller.enqueue(now, work, &mut outputs);
        self.follow(now, outputs, out);
        true
    }

    pub(super) fn controller_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut outputs = Vec::new();
        if let Some(controller) = &mut self.controller {
            controller.timer(now, &mut outputs);
        }
        self.follow(now, outputs, out);
    }

    /// What the controller says to whoever asked.
    pub(super) fn answer(&mut self, now: Now, origin: Origin, answer: Answer, out: &mut Vec<Effect>) {
        match (origin, answer) {
            (Origin::Client { asked, .. }, Answer::Response(body)) => asked.reply(body, out),
            (Origin::Client { asked, otherwise }, _) => asked.reply(*otherwise, out),
            (Origin::Broker { from, call, version }, answer) => {
                let response = match answer {
                    Answer::Response(body) => ClusterResponse::Forward { version, body: Box::new(body) },
                    Answer::Remaining(partitions) => ClusterResponse::Remaining(partitions),
                    Answer::NotController => ClusterResponse::NotController,
                };
                out.push(Effect::Answer { to: from, call, response });
            }
            (Origin::OwnStop, _) => self.handed_over(now, out),
            (Origin::Nobody, Answer::Response(body)) => self.not_created(&body, out),
            (Origin::Nobody, _) => {}
        }
    }

    pub(super) fn call(&mut self, to: BrokerId, request: ClusterRequest, pending: Pending, out: &mut Vec<Effect>) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, pending);
        out.push(Effect::Call { call, to, request });
    }

    /// The controller has decided something, and ZooKeeper holds it: live by it, tell the other brokers. (2)
    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(controller) = &self.controller else { return };
        let state = controller.committed().clone();
        self.apply(now, state.clone(), out);
        let own = self.id();
        for &id in state.brokers.keys().filter(|&&id| id != own) {
            self.update(id, state.clone(), out);
        }
        self.confirmed(now, own, state.version, self.failed_logs(), out);
    }
}
