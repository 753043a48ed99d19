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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, TopicName};

use super::{Broker, Effect, Image};
use crate::controller::{Controller, Output, Tag};
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
/// Partitions' states in one multi: ZooKeeper takes a megabyte.
const MAX_STEPS: usize = 1_000;
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

/// What there is before we register.
#[derive(Clone, Default)]
struct Survey {
    children: BTreeMap<Path, Vec<Path>>,
    data: BTreeMap<Path, (Bytes, Stat)>,
    absent: BTreeSet<Path>,
}

impl Survey {
    fn read<T>(&self, path: &str, parse: impl FnOnce(&[u8], &Stat) -> Result<T, String>) -> Option<T> {
        let (json, stat) = self.data.get(path)?;
        parse(json, stat).ok()
    }

    /// The topics, where they lie.
    fn topics(&self) -> impl Iterator<Item = (TopicName, Option<Vec<Assignment>>)> {
        let names = self.children.get(znode::TOPICS).into_iter().flatten().map(|name| znode::topic_name(name));
        names.map(|name| {
            let partitions = self.read(&znode::topic_path(&name), |json, _| znode::parse_topic(json));
            (name, partitions.map(|(_, partitions)| partitions))
        })
    }

    /// What is still to be read to know of which ISRs `own` is a member.
    fn states_to_read(&self, own: BrokerId) -> Vec<Path> {
        let mut paths = Vec::new();
        for (name, partitions) in self.topics() {
            let Some(partitions) = partitions else {
                paths.push(znode::topic_path(&name));
                continue;
            };
            let mine = (0..).zip(&partitions).filter(|(_, partition)| partition.replicas.contains(&own));
            paths.extend(mine.map(|(index, _)| znode::state_path(&name, index)));
        }
        paths.retain(|path| !self.data.contains_key(path) && !self.absent.contains(path));
        paths
    }

    /// The states without `own` in their ISRs, and whose they are.
    fn steps_out(&self, own: BrokerId) -> (Vec<Op>, Vec<TopicPartition>) {
        let (mut ops, mut names) = (Vec::new(), Vec::new());
        let epoch = self.read(znode::CONTROLLER_EPOCH, |text, _| znode::parse_controller_epoch(text)).unwrap_or(0);
        for (name, partitions) in self.topics() {
            for (index, mut partition) in (0..).zip(partitions.unwrap_or_default()) {
                let path = znode::state_path(&name, index);
                let parsed = self.read(&path, |json, stat| znode::parse_state(json, stat.version, &mut partition));
                if parsed.is_none() || !partition.isr.contains(&own) {
                    continue;
                }
                if partition.isr.len() > 1 {
                    partition.isr.retain(|id| *id != own);
                    if partition.leader == own {
                        partition.leader = BrokerId::NONE;
                        partition.leader_epoch += 1;
                    }
                } else {
                    partition.leader_epoch += 1;
                }
                let (data, version) = (Some(znode::state(&partition, epoch)), partition.partition_epoch);
                ops.push(Op::SetData { path, data, version });
                names.push(TopicPartition::new(name.clone(), index));
            }
        }
        (ops, names)
    }
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

    /// What is there already.
    fn survey(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.membership.leaving {
            return;
        }
        let children = |path: &str| Op::GetChildren { path: path.into(), watch: false };
        let data = |path: Path| Op::GetData { path, watch: false };
        let mut ops = vec![
            children("/"),
            children("/brokers"),
            children("/config"),
            children("/admin"),
            data(znode::CLUSTER_ID.into()),
            data(znode::CONTROLLER.into()),
            data(znode::broker_path(self.id())),
        ];
        if self.membership.may_have_lost {
            ops.extend([children(znode::TOPICS), data(znode::CONTROLLER_EPOCH.into())]);
        }
        self.look_at(now, ops, Survey::default(), out);
    }

    fn look_at(&mut self, now: Now, ops: Vec<Op>, survey: Survey, out: &mut Vec<Effect>) {
        self.membership.stage = Stage::Surveying { waiting: ops.len(), survey };
        for op in ops {
            let path = op.path().cloned().unwrap_or_else(|| "/".into());
            self.ask_zookeeper(now, op, Purpose::Survey(path), out);
        }
    }

    fn surveyed(&mut self, now: Now, path: Path, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let Stage::Surveying { waiting, survey } = &mut self.membership.stage else { return };
        *waiting -= 1;
        match result {
            Ok(Reply::GetChildren { children }) => drop(survey.children.insert(path, children)),
            Ok(Reply::GetData { data, stat }) => drop(survey.data.insert(path, (data.unwrap_or_default(), stat))),
            Ok(_) | Err(Error::NoNode) => drop(survey.absent.insert(path)),
            // The connection is lost: `reconnected`, or a new session, begins again.
            Err(_) => {
                self.membership.stage = Stage::Away;
                return;
            }
        }
        if *waiting > 0 {
            return;
        }
        let survey = std::mem::take(survey);
        if !self.membership.may_have_lost {
            return self.register(now, &survey, out);
        }
        let states = survey.states_to_read(self.id());
        if !states.is_empty() {
            let ops = states.into_iter().map(|path| Op::GetData { path, watch: false });
            return self.look_at(now, ops.collect(), survey, out);
        }
        let (rest, told) = survey.steps_out(self.id());
        if !told.is_empty() {
            let text = format!("may have lost records: steps out of {} ISRs before it registers", told.len());
            out.push(Effect::Note { level: Level::Warn, text });
        }
        self.step_out(now, survey, rest, told, out);
    }

    /// (4)
    fn step_out(
        &mut self,
        now: Now,
        survey: Survey,
        mut rest: Vec<Op>,
        told: Vec<TopicPartition>,
        out: &mut Vec<Effect>,
    ) {
        if rest.is_empty() {
            self.membership.may_have_lost = false;
            out.push(Effect::Save { file: MAY_HAVE_LOST.to_owned(), contents: Bytes::new() });
            return self.register(now, &survey, out);
        }
        let later = rest.split_off(rest.len().min(MAX_STEPS));
        let names = told.iter().take(rest.len());
        let data = Some(znode::isr_change(names));
        rest.push(Op::Create { path: znode::isr_change_path(), data, mode: CreateMode::PersistentSequential });
        let told = told[told.len() - later.len()..].to_vec();
        self.membership.stage = Stage::SteppingOut { survey, rest: later, told };
        self.ask_zookeeper(now, Op::Multi(rest), Purpose::StepOut, out);
    }

    fn stepped_out(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let Stage::SteppingOut { survey, rest, told } = &mut self.membership.stage else { return };
        match result {
            Ok(Reply::Multi(Ok(_))) => {
                let (survey, rest, told) = (std::mem::take(survey), std::mem::take(rest), std::mem::take(told));
                self.step_out(now, survey, rest, told, out);
            }
            // Another has changed a state meanwhile.
            Ok(_) => self.survey(now, out),
            Err(_) => self.membership.stage = Stage::Away,
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

    /// (2)
    fn look_for_the_controller(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.membership.is_member() && !self.membership.leaving {
            let op = Op::Exists { path: znode::CONTROLLER.into(), watch: true };
            self.ask_zookeeper(now, op, Purpose::Controller, out);
        }
    }

    fn found_controller(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match result {
            Ok(Reply::Exists { stat }) if stat.ephemeral_owner == self.membership.session() => {
                // Elected, though the answer to that was lost.
                if self.controller.is_none() {
                    let op = Op::GetData { path: znode::CONTROLLER_EPOCH.into(), watch: false };
                    self.ask_zookeeper(now, op, Purpose::OwnEpoch, out);
                }
            }
            Ok(_) => self.resign(now, out),
            Err(Error::NoNode) => {
                self.resign(now, out);
                if !self.membership.leaving {
                    let op = Op::GetData { path: znode::CONTROLLER_EPOCH.into(), watch: false };
                    self.ask_zookeeper(now, op, Purpose::LastEpoch, out);
                }
            }
            // The connection is lost: `reconnected` looks again.
            Err(_) => {}
        }
    }

    fn run(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let path: Path = znode::CONTROLLER_EPOCH.into();
        let data = Some(znode::controller(self.id(), now.wall));
        let mut ops = vec![Op::Create { path: znode::CONTROLLER.into(), data, mode: CreateMode::Ephemeral }];
        let (last, version) = match result {
            Ok(Reply::GetData { data, stat }) => match znode::parse_controller_epoch(&data.unwrap_or_default()) {
                Ok(epoch) => (epoch, stat.version),
                Err(why) => return out.push(Effect::Fail { why }),
            },
            Err(Error::NoNode) => {
                let data = Some(znode::controller_epoch(0));
                ops.push(Op::Create { path: path.clone(), data, mode: CreateMode::Persistent });
                (0, 0)
            }
            Ok(_) | Err(_) => return,
        };
        let epoch = last + 1;
        ops.push(Op::SetData { path, data: Some(znode::controller_epoch(epoch)), version });
        self.ask_zookeeper(now, Op::Multi(ops), Purpose::Run { epoch }, out);
    }

    fn ran(&mut self, now: Now, epoch: i32, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match result {
            Ok(Reply::Multi(Ok(replies))) => {
                if let Some(Reply::SetData { stat }) = replies.last() {
                    self.become_controller(now, epoch, stat.version, out);
                }
            }
            // Another was faster. It may be gone again already, before our watch saw it come.
            Ok(_) => self.look_for_the_controller(now, out),
            Err(_) => {}
        }
    }

    fn become_controller(&mut self, now: Now, epoch: i32, fence: i32, out: &mut Vec<Effect>) {
        if self.membership.leaving || self.controller.is_some() {
            return;
        }
        let cluster_id = self.membership.cluster_id.clone().unwrap_or_default();
        let mut controller = Controller::new(&self.config, self.settings.clone(), cluster_id, epoch, fence);
        let mut outputs = Vec::new();
        controller.begin(now, &mut outputs);
        self.controller = Some(controller);
        out.push(Effect::Note { level: Level::Info, text: format!("is the controller, epoch {epoch}") });
        self.follow(now, outputs, out);
    }

    /// Another is the controller, or nobody.
    pub(super) fn resign(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Some(mut controller) = self.controller.take() {
            out.push(Effect::Note {
                level: Level::Info,
                text: format!("is the controller no more, its epoch was {}", controller.epoch()),
            });
            let outputs = controller.resign();
            self.follow(now, outputs, out);
        }
    }

    /// Carries out what the controller wants.
    pub(super) fn follow(&mut self, now: Now, outputs: Vec<Output>, out: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::Ask { tag, op } => self.ask_zookeeper(now, op, Purpose::Decide(tag), out),
                Output::Publish => self.publish(now, out),
                Output::Answer { origin, answer } => self.answer(now, origin, answer, out),
                Output::Note(text) => out.push(Effect::Note { level: Level::Info, text }),
                Output::Resign => {
                    self.resign(now, out);
                    // Whoever is the controller now: the znode says it.
                    self.look_for_the_controller(now, out);
                }
                Output::Fail(why) => out.push(Effect::Fail { why }),
            }
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
}
