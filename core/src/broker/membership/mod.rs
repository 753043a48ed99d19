//! This broker's place in the cluster, which ZooKeeper keeps: its session, its registration, its candidacy.
//!
//! ```text
//! Away ─ new session ─▶ Surveying ─ all is read ─▶ Registering ─ /brokers/ids/N is ours ─▶ Member
//!   ▲                     ▲ │ ▲ └──── another was faster, or the connection was lost ─────┘   │
//!   │  it may have lost records, and is in ISRs ▼ │ it is in none any more                      │
//!   │                     │ SteppingOut                                                         │
//!   └─────────────────────┴──────────────────── the session expired ────────────────────────────┘
//! ```
//!
//! 1. A broker registers in one multi, with whatever of [`znode::PERSISTENT`] is missing. What a session of its
//!    predecessor still holds in its name, registration and `/controller`, goes in that multi too: the data directory is
//!    locked, so there is no other process of this broker.
//! 2. Every member watches `/controller`. Where there is none it runs for it: who creates the znode, and increments
//!    `/controller_epoch` in the same multi, is the controller.
//! 3. Until it has heard of the cluster once, a broker answers ApiVersions only; other requests wait.
//! 4. Who may have lost records, because its machine died or has another disk, is in no ISR when it registers, but where
//!    nobody else is in it; there it leads in a new epoch. So nobody who has everything is cut back to what it still has
//!    (KIP-966's unclean shutdown).
//! 5. A controller may see a registration before its broker is told that it is there: what it says then is held until
//!    the broker knows.
//!
//! `survey.rs` what is read before, and what is left | `candidacy.rs` who is the controller

mod candidacy;
mod survey;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::RequestKind;

use self::survey::Survey;
use super::{Broker, Effect, Image};
use crate::controller::Tag;
use crate::id::{BrokerId, CallId, ConnId, Ticket, TopicPartition};
use crate::protocol::Request;
use crate::protocol::cluster::{Assignment, ClusterRequest, ClusterState};
use crate::protocol::znode;
use crate::time::{Duration, Instant, Now};
use crate::view::Level;
use crate::zookeeper::client::{self, Told};
use crate::zookeeper::protocol::{CreateMode, Op, Reply, WatchEvent};
use crate::zookeeper::{Client, Error, Path, SessionId, Stat};

/// Says, while there is something in it, that ISRs are still to be left. (4)
const MAY_HAVE_LOST: &str = "may-have-lost-records";
/// Requests that wait until the broker is let in; whoever sends more is cut off.
const MAX_WAITING: usize = 10_000;

#[derive(Clone)]
pub(super) struct Membership {
    client: Client<Purpose>,
    stage: Stage,
    /// The cluster's id, once ZooKeeper has said it.
    cluster_id: Option<String>,
    /// The zxid of our registration: Kafka's broker epoch.
    pub epoch: i64,
    /// (3)
    waiting: VecDeque<(Ticket, Box<Request>)>,
    /// (4)
    may_have_lost: bool,
    /// (5)
    held: Option<Held>,
    /// The broker stops: it runs for nothing any more.
    leaving: bool,
}

#[derive(Clone)]
enum Stage {
    Away,
    Surveying { waiting: usize, survey: Survey },
    SteppingOut { survey: Survey, rest: Vec<Op>, told: Vec<TopicPartition> },
    Registering,
    Member,
}

/// What an operation of ours was for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Survey(Path),
    StepOut,
    Register,
    /// Whether there is a controller.
    Controller,
    /// The epoch that ours would follow.
    LastEpoch,
    Run {
        epoch: i32,
    },
    /// We are the controller already: the version of our epoch.
    OwnEpoch,
    Decide(Tag),
    ProducerIds,
    NextProducerIds {
        start: i64,
    },
    /// Nobody waits for it.
    Told,
}

impl Membership {
    pub fn new(timeout: Duration, now: Instant, found: &Image, out: &mut Vec<Effect>) -> Membership {
        let told = found.files.get(MAY_HAVE_LOST).is_some_and(|told| !told.is_empty());
        if !found.intact && !told {
            let contents = Bytes::from_static(b"what was not flushed\n");
            out.push(Effect::Save { file: MAY_HAVE_LOST.to_owned(), contents });
        }
        Membership {
            may_have_lost: told || !found.intact,
            client: Client::new(timeout, now),
            stage: Stage::Away,
            cluster_id: None,
            epoch: -1,
            waiting: VecDeque::new(),
            held: None,
            leaving: false,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    pub fn session(&self) -> SessionId {
        self.client.session()
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    pub fn is_member(&self) -> bool {
        matches!(self.stage, Stage::Member)
    }

    /// Keeps what a controller says that may know of our registration before we do. Gives what is not kept: that, or what
    /// was kept before. (5)
    pub fn hold(&mut self, own: BrokerId, told: Held) -> Option<Held> {
        let known = told.state.broker_epochs.get(&own);
        let may = !self.is_member() && known.is_some_and(|known| *known > self.epoch);
        match &self.held {
            Some(held) if held.state.version >= told.state.version => Some(told),
            _ if may => self.held.replace(told),
            _ => Some(told),
        }
    }
}

/// What a controller says, and the call that waits until it counts.
#[derive(Clone)]
pub(super) struct Held {
    pub state: Arc<ClusterState>,
    pub from: BrokerId,
    pub call: CallId,
}

impl Broker {
    /// Its session with ZooKeeper, as far as it knows.
    pub fn session(&self) -> SessionId {
        self.membership.session()
    }

    /// Something came from ZooKeeper.
    pub(super) fn zookeeper(&mut self, now: Now, event: client::Event, out: &mut Vec<Effect>) {
        let (mut effects, mut told) = (Vec::new(), Vec::new());
        self.membership.client.event(now.instant, event, &mut effects, &mut told);
        self.carry(now, effects, told, out);
    }

    pub(super) fn zookeeper_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (mut effects, mut told) = (Vec::new(), Vec::new());
        self.membership.client.timer(now.instant, &mut effects, &mut told);
        self.carry(now, effects, told, out);
    }

    /// Asks ZooKeeper for something; the answer comes to [`Broker::zookeeper_answered`].
    pub(super) fn ask_zookeeper(&mut self, now: Now, op: Op, purpose: Purpose, out: &mut Vec<Effect>) {
        let mut effects = Vec::new();
        self.membership.client.request(now.instant, op, purpose, &mut effects);
        out.extend(effects.into_iter().map(Effect::ZooKeeper));
    }

    fn carry(&mut self, now: Now, effects: Vec<client::Effect>, told: Vec<Told<Purpose>>, out: &mut Vec<Effect>) {
        out.extend(effects.into_iter().map(Effect::ZooKeeper));
        for told in told {
            match told {
                Told::Connected { new: true } => self.survey(now, out),
                Told::Connected { new: false } => self.reconnected(now, out),
                Told::Disconnected => {}
                Told::Expired => {
                    out.push(Effect::Note {
                        level: Level::Warn,
                        text: "learns that its session has expired".to_owned(),
                    });
                    self.membership.stage = Stage::Away;
                    self.resign(now, out);
                }
                Told::Closed => self.session_closed(out),
                Told::Answer { tag, result } => self.zookeeper_answered(now, tag, result, out),
                Told::Watched(event) => self.watched(now, &event, out),
            }
        }
    }

    /// The same session over another connection: what was under way when the last one was lost is begun again.
    fn reconnected(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.membership.stage {
            Stage::Away | Stage::Surveying { .. } | Stage::SteppingOut { .. } | Stage::Registering => {
                self.survey(now, out);
            }
            Stage::Member => {
                let mut outputs = Vec::new();
                if let Some(controller) = &mut self.controller {
                    controller.reconnected(now, &mut outputs);
                }
                self.follow(now, outputs, out);
                self.look_for_the_controller(now, out);
                self.check_isrs(now, out);
            }
        }
    }

    fn watched(&mut self, now: Now, event: &WatchEvent, out: &mut Vec<Effect>) {
        if &*event.path == znode::CONTROLLER {
            return self.look_for_the_controller(now, out);
        }
        let mut outputs = Vec::new();
        if let Some(controller) = &mut self.controller {
            controller.watched(now, &event.path, &mut outputs);
        }
        self.follow(now, outputs, out);
    }

    fn zookeeper_answered(&mut self, now: Now, purpose: Purpose, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match purpose {
            Purpose::Survey(path) => self.surveyed(now, path, result, out),
            Purpose::StepOut => self.stepped_out(now, result, out),
            Purpose::Register => self.registered(now, result, out),
            Purpose::Controller => self.found_controller(now, result, out),
            Purpose::LastEpoch => self.run(now, result, out),
            Purpose::Run { epoch } => self.ran(now, epoch, result, out),
            Purpose::OwnEpoch => {
                if let Ok(Reply::GetData { data, stat }) = result {
                    let epoch = znode::parse_controller_epoch(&data.unwrap_or_default());
                    match epoch {
                        Ok(epoch) => self.become_controller(now, epoch, stat.version, out),
                        Err(why) => out.push(Effect::Fail { why }),
                    }
                }
            }
            Purpose::Decide(tag) => {
                let mut outputs = Vec::new();
                if let Some(controller) = self.controller.as_mut().filter(|one| one.epoch() == tag.epoch) {
                    controller.answered(now, tag, result, &mut outputs);
                }
                self.follow(now, outputs, out);
            }
            Purpose::ProducerIds => self.producer_ids_read(now, result, out),
            Purpose::NextProducerIds { start } => self.producer_ids_written(now, start, result, out),
            Purpose::Told => {}
        }
    }

    /// (1)
    fn register(&mut self, now: Now, survey: &Survey, out: &mut Vec<Effect>) {
        let mut ops = Vec::new();
        for path in znode::PERSISTENT {
            let (parent, name) = crate::zookeeper::path::split(path).unwrap_or(("/", path));
            let there =
                survey.children.get(parent).is_some_and(|children| children.iter().any(|child| **child == *name));
            if !there {
                ops.push(Op::Create { path: path.into(), data: None, mode: CreateMode::Persistent });
            }
        }
        let own = self.config.cluster_id.clone();
        match survey.data.get(znode::CLUSTER_ID).map(|(json, _)| znode::parse_cluster_id(json)) {
            None => {
                let data = Some(znode::cluster_id(&own));
                ops.push(Op::Create { path: znode::CLUSTER_ID.into(), data, mode: CreateMode::Persistent });
            }
            Some(Ok(id)) if id == own => {}
            Some(Ok(id)) => {
                let why = format!(
                    "The Cluster ID {id} doesn't match stored clusterId Some({own}) in meta.properties. The broker is \
                     trying to join the wrong cluster."
                );
                return out.push(Effect::Fail { why });
            }
            Some(Err(why)) => return out.push(Effect::Fail { why }),
        }
        self.membership.cluster_id = Some(own);
        let path = znode::broker_path(self.id());
        let is_stale = |stat: &Stat| stat.ephemeral_owner != self.membership.session();
        if let Some((json, stat)) = survey.data.get(znode::CONTROLLER)
            && znode::parse_controller(json) == Ok(self.id())
            && is_stale(stat)
        {
            ops.push(Op::Delete { path: znode::CONTROLLER.into(), version: stat.version });
        }
        if let Some((_, stat)) = survey.data.get(&path) {
            ops.push(Op::Delete { path: path.clone(), version: stat.version });
        }
        let data = Some(znode::broker(&self.config.registration, now.wall));
        ops.push(Op::Create2 { path, data, mode: CreateMode::Ephemeral });
        self.membership.stage = Stage::Registering;
        self.ask_zookeeper(now, Op::Multi(ops), Purpose::Register, out);
    }

    fn registered(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match result {
            Ok(Reply::Multi(Ok(replies))) => {
                if let Some(Reply::Create2 { stat, .. }) = replies.last() {
                    self.membership.epoch = stat.czxid.0;
                }
                self.membership.stage = Stage::Member;
                out.push(Effect::Note {
                    level: Level::Info,
                    text: format!("is registered, broker epoch {}", self.membership.epoch),
                });
                if let Some(Held { state, from, call }) = self.membership.held.take() {
                    self.called(now, from, call, ClusterRequest::Update(state), out);
                }
                self.look_for_the_controller(now, out);
            }
            // Another broker was faster with what was missing.
            Ok(_) => self.survey(now, out),
            Err(_) => self.membership.stage = Stage::Away,
        }
    }

    /// Takes a client's request. (3)
    pub(super) fn admit(&mut self, now: Now, ticket: Ticket, request: Box<Request>, out: &mut Vec<Effect>) {
        let waits = self.cluster.version == 0 && !matches!(request.body, RequestKind::ApiVersions(_));
        if !waits {
            return super::handle::route(self, now, ticket, request, out);
        }
        if self.membership.waiting.len() == MAX_WAITING {
            let why = "too many requests wait until this broker has joined its cluster".to_owned();
            return out.push(Effect::Close { conn: ticket.conn, why });
        }
        self.membership.waiting.push_back((ticket, request));
    }

    /// The first word of the cluster has come: whoever waited for it is served.
    pub(super) fn admit_those_who_waited(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (ticket, request) in std::mem::take(&mut self.membership.waiting) {
            super::handle::route(self, now, ticket, request, out);
        }
    }

    pub(super) fn gone_while_waiting(&mut self, conn: ConnId) {
        self.membership.waiting.retain(|(ticket, _)| ticket.conn != conn);
    }

    /// Gives the session back, and with it the registration; answered by [`Broker::session_closed`].
    pub(super) fn leave(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (mut effects, mut told) = (Vec::new(), Vec::new());
        self.membership.client.close(now.instant, &mut effects, &mut told);
        self.carry(now, effects, told, out);
    }

    /// The broker is about to stop: from now on it runs for nothing.
    pub(super) fn retire(&mut self) {
        self.membership.leaving = true;
    }

    /// For a leader: writes `assignment`, with the ISR that it should have, as the state of a partition, unless another
    /// has changed that since (`partition_epoch`), and notifies the controller in the same multi. The controller reads
    /// it and tells every broker, this one included, what the partition is now; a write that came too late changes
    /// nothing, and what was there instead is told the same way.
    pub fn write_isr(&mut self, now: Now, partition: &TopicPartition, assignment: &Assignment, out: &mut Vec<Effect>) {
        let path = znode::state_path(&partition.topic, partition.partition);
        let data = Some(znode::state(assignment, self.cluster.controller_epoch));
        let set = Op::SetData { path, data, version: assignment.partition_epoch };
        let data = Some(znode::isr_change([partition].into_iter()));
        let tell = Op::Create { path: znode::isr_change_path(), data, mode: CreateMode::PersistentSequential };
        self.ask_zookeeper(now, Op::Multi(vec![set, tell]), Purpose::Told, out);
    }

    /// Tells the controller that a log of this broker has failed; it asks which.
    pub fn write_log_dir_event(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (path, data) = (znode::log_dir_event_path(), Some(znode::log_dir_event(self.id())));
        self.ask_zookeeper(now, Op::Create { path, data, mode: CreateMode::PersistentSequential }, Purpose::Told, out);
    }
}
