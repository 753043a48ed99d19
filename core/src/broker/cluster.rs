//! This broker and the cluster: joining it, applying what the controller decided, carrying clients' requests to it.
//!
//! 1. A new state comes from one place, [`Broker::apply`]: partitions are created, removed, led and followed nowhere
//!    else. States of an old version are ignored.
//! 2. On the controller's broker every decision goes through [`Broker::publish`]: saved first, then applied, then told
//!    to the others, then answered.

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::Message;

use super::handle::Asked;
use super::{Broker, Effect};
use crate::broker::event::Unreachable;
use crate::controller::Controller;
use crate::id::{BrokerId, CallId};
use crate::protocol::cluster::{ClusterRequest, ClusterResponse, IsrChange};
use crate::time::Now;

/// What a call's answer is for.
#[derive(Clone)]
pub(super) enum Pending {
    /// This broker waits to be let in.
    Register,
    /// The other broker's business.
    Update,
    /// The proposals of this broker as a leader.
    AlterIsr(Vec<IsrChange>),
    /// Nobody waits: whoever asked for a missing topic's metadata asks again.
    Create,
    /// A client waits; where the controller cannot be reached it gets this answer, made beforehand.
    Forward { asked: Asked, unreachable: Box<ResponseKind> },
}

impl Broker {
    /// First thing: the controller's broker applies its own state, every other one registers.
    pub(super) fn join(&mut self, now: Now, out: &mut Vec<Effect>) {
        match &self.controller {
            Some(_) => self.publish(now, out),
            None => self.register(out),
        }
    }

    fn register(&mut self, out: &mut Vec<Effect>) {
        let request = ClusterRequest::Register(self.config.registration.clone());
        self.call(self.config.controller(), request, Pending::Register, out);
    }

    /// Another broker, or this one, calls.
    pub(super) fn called(
        &mut self,
        now: Now,
        from: BrokerId,
        call: CallId,
        request: ClusterRequest,
        out: &mut Vec<Effect>,
    ) {
        let response = match (request, &mut self.controller) {
            (ClusterRequest::Update(state), _) => {
                self.apply(now, state, out);
                ClusterResponse::Done
            }
            (ClusterRequest::Register(registration), Some(controller)) => {
                controller.register(registration);
                self.publish(now, out);
                ClusterResponse::Done
            }
            (ClusterRequest::Forward { version, body }, Some(controller)) => {
                let response = controller.decide(now, version, *body);
                self.publish(now, out);
                ClusterResponse::Forward(Box::new(response))
            }
            (ClusterRequest::AlterIsr(changes), Some(controller)) => {
                let results = controller.alter_isr(from, &changes);
                self.publish(now, out);
                ClusterResponse::AlterIsr(results)
            }
            (_, None) => ClusterResponse::NotController,
        };
        out.push(Effect::Answer { to: from, call, response });
    }

    /// The answer to one of this broker's own calls.
    pub(super) fn answered(
        &mut self,
        _now: Now,
        call: CallId,
        result: Result<ClusterResponse, Unreachable>,
        out: &mut Vec<Effect>,
    ) {
        match (self.calls.remove(&call), result) {
            (Some(Pending::Forward { asked, .. }), Ok(ClusterResponse::Forward(body))) => asked.reply(*body, out),
            (Some(Pending::Forward { asked, unreachable }), _) => asked.reply(*unreachable, out),
            (Some(Pending::AlterIsr(changes)), Ok(ClusterResponse::AlterIsr(results))) => {
                self.isr_decided(&changes, &results);
            }
            // Proposed again with the next check of the ISRs.
            (Some(Pending::AlterIsr(_)), _) => {}
            // A controller that could not be reached is called again when the connection with it is up (`peer`).
            (Some(Pending::Register | Pending::Update | Pending::Create) | None, _) => {}
        }
    }

    /// The connection with another broker came up or went down.
    pub(super) fn peer(&mut self, now: Now, id: BrokerId, up: bool, out: &mut Vec<Effect>) {
        match &mut self.controller {
            Some(controller) => {
                controller.peer(id, up);
                self.publish(now, out);
            }
            None if up && id == self.config.controller() => {
                self.register(out);
                self.check_isrs(now, out);
            }
            None => {}
        }
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
        let request = request.into();
        if let Some(controller) = &mut self.controller {
            let response = controller.decide(asked.now, asked.version, request);
            self.publish(asked.now, out);
            asked.reply(response, out);
        } else {
            let body = ClusterRequest::Forward { version: asked.version, body: Box::new(request) };
            let pending = Pending::Forward { asked, unreachable: Box::new(unreachable()) };
            self.call(self.config.controller(), body, pending, out);
        }
    }

    /// Topics that a client asked about and that are not there: created with the cluster's defaults, if
    /// `auto.create.topics.enable` allows it.
    pub(crate) fn create_missing(&mut self, now: Now, names: Vec<TopicName>, out: &mut Vec<Effect>) {
        let topic =
            |name| CreatableTopic::default().with_name(name).with_num_partitions(-1).with_replication_factor(-1);
        let request = CreateTopicsRequest::default().with_topics(names.into_iter().map(topic).collect());
        // The newest version that may leave both counts to the cluster.
        let (version, request) = (CreateTopicsRequest::VERSIONS.max, RequestKind::from(request));
        if let Some(controller) = &mut self.controller {
            controller.decide(now, version, request);
            self.publish(now, out);
        } else {
            let body = ClusterRequest::Forward { version, body: Box::new(request) };
            self.call(self.config.controller(), body, Pending::Create, out);
        }
    }

    pub(super) fn call(&mut self, to: BrokerId, request: ClusterRequest, pending: Pending, out: &mut Vec<Effect>) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, pending);
        out.push(Effect::Call { call, to, request });
    }

    /// If the controller has decided something: save it, live by it, tell the other brokers.
    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(controller) = &self.controller else { return };
        let state = controller.state().clone();
        if state.version <= self.cluster.version {
            return;
        }
        out.push(Effect::Save { file: Controller::FILE.to_owned(), contents: controller.contents() });
        self.apply(now, state.clone(), out);
        let own = self.id();
        for &id in state.brokers.keys().filter(|&&id| id != own) {
            self.call(id, ClusterRequest::Update(state.clone()), Pending::Update, out);
        }
    }
}
