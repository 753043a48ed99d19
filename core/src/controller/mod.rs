//! The controller: decides what the cluster is. Which brokers live, which topics there are, where their partitions lie
//! and who leads them. A broker with extra duties, not a master: the one whose `/controller` stands in ZooKeeper.
//!
//! It is one queue. Each piece of [`Work`] is read for, decided, written, told and answered before the next one begins:
//!
//! ```text
//! Idle ─ work ─▶ Reading ─ all is read ─▶ decided ─▶ Writing ─ all is written ─▶ told to the brokers, answered ─▶ Idle
//!                   │                                  │  another has changed it meanwhile: loaded anew, decided anew
//!                   └───── the connection is lost ─────┴▶ Waiting ─ connected ─▶ loaded anew, decided anew
//! ```
//!
//! Its broker ([`crate::broker::cluster`]) carries its operations to ZooKeeper and its decisions to the other brokers.
//!
//! Invariants:
//! 1. `state.version` rises with every change and stands still otherwise.
//! 2. A leader is alive and in its ISR; the ISR is a subset of the replicas and never empty: the last
//!    member stays, dead or alive.
//! 3. A leader epoch rises whenever the leader changes, or the ISR by the controller's hand.
//! 4. Brokers are told what ZooKeeper holds, and nothing else.
//! 5. Every write stands beside a check of `/controller_epoch`: who is not the controller any more writes nothing.
//!
//! `load.rs` what is read, `learn.rs` what is made of it | `write.rs` what is written | `elect.rs` leaders | `topic.rs`
//! creation, growth | `delete.rs` deletion | `reassign.rs` partitions that move | `config.rs` settings changed |
//! `quota.rs` quotas changed, and held to | `placement.rs` which brokers a partition goes to

pub mod config;
pub mod delete;
pub mod elect;
mod learn;
pub mod load;
pub mod placement;
pub mod quota;
pub mod reassign;
#[cfg(test)]
pub(crate) mod tests;
pub mod topic;
pub mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::BrokerConfig;
use crate::broker::handle::Asked;
use crate::config::broker::BrokerSettings;
use crate::error::ErrorCode;
use crate::id::{BrokerId, CallId, TopicPartition};
use crate::protocol::cluster::{Assignment, BrokerConfigs, ClusterState, Registration};
use crate::protocol::znode;
use crate::quota::bucket::Mutations;
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::zookeeper::protocol::{Failed, Op, Reply};
use crate::zookeeper::{Error, Path};

use delete::Deletion;
use load::{Reads, What};
use quota::Charge;
use write::Writes;

/// Kafka's error with the message that goes with it.
pub type Refusal = (ErrorCode, String);

/// How often a decision is made anew because others had changed what it was made for.
const MAX_TRIES: u32 = 5;
/// After it is elected, until it first looks whether leaders should move.
const FIRST_REBALANCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Controller {
    epoch: i32,
    /// The version of `/controller_epoch` that says `epoch`. (5)
    fence: i32,
    /// What ZooKeeper holds and brokers have been told. (4)
    committed: Arc<ClusterState>,
    /// What is decided.
    state: Arc<ClusterState>,
    /// They are about to stop: they live, but lead nothing new.
    shutting_down: VecSet<BrokerId>,
    /// By broker: of these partitions it has a replica whose log has failed, until it starts anew.
    failed_logs: VecMap<BrokerId, Vec<TopicPartition>>,
    deletions: VecMap<TopicName, Deletion>,
    /// Moves that were asked for by writing them, and are not complete.
    written_moves: Vec<(TopicPartition, Vec<BrokerId>)>,
    /// The notifications of changed settings that are known, and when each was written.
    config_changes: VecMap<Path, i64>,
    queue: VecDeque<Work>,
    step: Step,
    /// Answers of earlier turns are not waited for any more.
    turn: u64,
    /// How often what is being done was refused.
    tries: u32,
    rebalance: Option<Instant>,
    /// Draws topic ids, and where `placement=kafka` begins.
    dice: Stream,
    id: BrokerId,
    /// As its broker has them by `state`, and the part of that which they come from.
    settings: Arc<BrokerSettings>,
    settings_of: BrokerConfigs,
    /// What it has done for clients, and may do for the one whose request is decided.
    mutations: Mutations,
    charge: Charge,
}

/// What there is to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// Learn everything from ZooKeeper.
    Load,
    /// Brokers came or went.
    Brokers,
    /// Leaders have changed ISRs.
    IsrChanges,
    /// Logs of some brokers have failed.
    LogDirEvents,
    /// It is known which.
    FailedLogs,
    /// Settings were changed.
    ConfigChanges,
    /// Topics were marked for deletion.
    Marks,
    /// Brokers have dropped what they had of topics that go.
    Deleted,
    /// It is written that preferred replicas are to lead.
    PreferredElection,
    /// It is written that partitions are to move.
    Reassignments,
    /// A client's request that only the controller may decide.
    Request { origin: Origin, version: i16, client_id: Option<StrBytes>, body: Box<RequestKind> },
    /// A broker is about to stop.
    Shutdown { origin: Origin, broker: BrokerId, epoch: i64 },
    /// Leaders go back to where they are preferred.
    Rebalance,
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A client of this broker; where it turns out that this is not the controller any more it gets `otherwise`.
    Client { asked: Asked, otherwise: Box<ResponseKind> },
    /// Another broker, for a client of its own who speaks that version.
    Broker { from: BrokerId, call: CallId, version: i16 },
    /// This broker, which is about to stop.
    OwnStop,
    /// Nobody waits: whoever asked for a missing topic's metadata asks again.
    Nobody,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Response(ResponseKind),
    Remaining(usize),
    NotController,
}

/// What the controller wants of its broker, in that order.
#[derive(Clone, Debug)]
pub enum Output {
    /// To ZooKeeper; answered by [`Controller::answered`].
    Ask {
        tag: Tag,
        op: Op,
    },
    /// There is a new state to live by.
    Publish,
    /// Answered by [`Controller::logs_failed`].
    AskForFailedLogs(BrokerId),
    Answer {
        origin: Origin,
        answer: Answer,
    },
    /// For the log.
    Note(String),
    /// Another one is the controller.
    Resign,
    /// What lies in ZooKeeper makes no sense: guesses would write over it.
    Fail(String),
}

/// What an operation was asked for.
#[derive(Clone, Debug)]
pub struct Tag {
    pub epoch: i32,
    turn: u64,
    what: What,
    path: Path,
}

#[derive(Clone)]
enum Step {
    Idle,
    Reading { work: Work, reads: Reads },
    Writing { work: Work, answer: Option<(Origin, Answer)>, writes: Writes },
    Waiting,
}

impl Controller {
    /// Elected; it begins with reading everything.
    pub fn new(
        config: &BrokerConfig,
        settings: Arc<BrokerSettings>,
        cluster_id: String,
        epoch: i32,
        fence: i32,
    ) -> Controller {
        let state = ClusterState {
            version: (epoch as u64) << 32,
            cluster_id,
            controller: config.registration.id,
            controller_epoch: epoch,
            ..ClusterState::default()
        };
        let state = Arc::new(state);
        Controller {
            epoch,
            fence,
            committed: state.clone(),
            state,
            shutting_down: VecSet::new(),
            failed_logs: VecMap::new(),
            deletions: VecMap::new(),
            written_moves: Vec::new(),
            config_changes: VecMap::new(),
            queue: [Work::Load].into(),
            step: Step::Idle,
            turn: 0,
            tries: 0,
            rebalance: None,
            // A stream of its own for every controller, or another one would draw the ids again that this gives out.
            dice: config.seed.stream(&format!("controller-{epoch}")),
            id: config.registration.id,
            mutations: Mutations::new(settings.controller_quota_windows),
            charge: Charge::default(),
            settings,
            settings_of: BrokerConfigs::default(),
        }
    }

    /// First thing.
    pub fn begin(&mut self, now: Now, out: &mut Vec<Output>) {
        self.go_on(now, out);
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// What brokers live by. (4)
    pub fn committed(&self) -> &Arc<ClusterState> {
        &self.committed
    }

    /// What is decided, written or not.
    pub fn state(&self) -> &Arc<ClusterState> {
        &self.state
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.rebalance
    }

    /// There is more to do.
    pub fn enqueue(&mut self, now: Now, work: Work, out: &mut Vec<Output>) {
        self.queue.push_back(work);
        self.go_on(now, out);
    }

    /// A watch of ours has fired.
    pub fn watched(&mut self, now: Now, path: &str, out: &mut Vec<Output>) {
        let work = match path {
            znode::BROKER_IDS => Work::Brokers,
            znode::ISR_CHANGES => Work::IsrChanges,
            znode::LOG_DIR_EVENTS => Work::LogDirEvents,
            znode::CONFIG_CHANGES => Work::ConfigChanges,
            znode::DELETE_TOPICS => Work::Marks,
            znode::PREFERRED_ELECTION => Work::PreferredElection,
            znode::REASSIGNMENTS => Work::Reassignments,
            _ => return,
        };
        if !self.queue.iter().any(|queued| std::mem::discriminant(queued) == std::mem::discriminant(&work)) {
            self.enqueue(now, work, out);
        }
    }

    /// Does what is due.
    pub fn timer(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.rebalance.is_some_and(|due| due <= now.instant) {
            self.rebalance = Some(now.instant + self.settings.leader_imbalance_check_interval);
            self.enqueue(now, Work::Rebalance, out);
        }
    }

    /// The connection with ZooKeeper is back, and the session the same.
    pub fn reconnected(&mut self, now: Now, out: &mut Vec<Output>) {
        if let Step::Waiting = self.step {
            self.step = Step::Idle;
            self.go_on(now, out);
        }
    }

    /// ZooKeeper has answered.
    pub fn answered(&mut self, now: Now, tag: Tag, result: Result<Reply, Error>, out: &mut Vec<Output>) {
        if tag.turn != self.turn {
            return;
        }
        match (std::mem::replace(&mut self.step, Step::Idle), result) {
            // What was under way may be done or not: it is looked at again.
            (Step::Reading { work, .. }, Err(Error::ConnectionLoss)) => self.interrupted(work, false),
            (Step::Writing { work, .. }, Err(Error::ConnectionLoss)) => self.interrupted(work, true),
            // The session is gone: its broker learns it too, and drops this controller.
            (Step::Reading { work, .. } | Step::Writing { work, .. }, Err(Error::SessionExpired)) => {
                self.interrupted(work, false);
            }
            (Step::Reading { work, mut reads }, result) => {
                reads.found(tag.what, tag.path, result);
                self.read_on(now, work, reads, out);
            }
            (Step::Writing { work, answer, mut writes }, Ok(Reply::Multi(Ok(replies)))) => {
                writes.written(&replies, Arc::make_mut(&mut self.state));
                self.write_on(now, work, answer, writes, out);
            }
            (Step::Writing { work, .. }, Ok(Reply::Multi(Err(failed)))) => self.refused(now, work, failed, out),
            (Step::Writing { work, .. }, Err(error)) => {
                self.give_up(work, error.to_string(), out);
                self.go_on(now, out);
            }
            (step, _) => self.step = step,
        }
    }

    /// It is the controller no more: whoever waits is told so.
    pub fn resign(&mut self) -> Vec<Output> {
        let step = std::mem::replace(&mut self.step, Step::Waiting);
        let begun = match step {
            Step::Reading { work, .. } | Step::Writing { work, .. } => Some(work),
            Step::Idle | Step::Waiting => None,
        };
        let works = begun.into_iter().chain(std::mem::take(&mut self.queue));
        let origins = works.filter_map(Work::origin);
        origins.map(|origin| Output::Answer { origin, answer: Answer::NotController }).collect()
    }

    fn go_on(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Step::Idle = self.step {
            let Some(work) = self.queue.pop_front() else { return };
            match work {
                Work::Request { .. } | Work::Shutdown { .. } | Work::Rebalance | Work::Deleted | Work::FailedLogs => {
                    self.decide_work(now, work, &Reads::default(), out);
                }
                work => self.read_on(now, work, Reads::default(), out),
            }
        }
    }

    /// Asks for what is still to be read, or decides.
    fn read_on(&mut self, now: Now, work: Work, mut reads: Reads, out: &mut Vec<Output>) {
        if reads.is_waiting() {
            self.step = Step::Reading { work, reads };
            return;
        }
        let wanted = self.wanted(&work, &reads);
        if wanted.is_empty() {
            self.decide_work(now, work, &reads, out);
            return self.go_on(now, out);
        }
        self.turn += 1;
        for wish in wanted {
            let tag = Tag { epoch: self.epoch, turn: self.turn, what: wish.what, path: wish.path.clone() };
            reads.asked(&wish);
            out.push(Output::Ask { tag, op: wish.op() });
        }
        self.step = Step::Reading { work, reads };
    }

    /// The table of contents: every piece of work and what it changes.
    fn decide_work(&mut self, now: Now, work: Work, reads: &Reads, out: &mut Vec<Output>) {
        let mut writes = Writes::default();
        let mut answer = None;
        let decided = match &work {
            Work::Load => self.loaded(now, reads, &mut writes, out),
            Work::Brokers => {
                self.brokers_changed(reads, out);
                Ok(())
            }
            Work::IsrChanges => {
                self.isrs_changed(reads, &mut writes, out);
                Ok(())
            }
            Work::LogDirEvents => {
                reads.remove_log_dir_events(&mut writes);
                out.extend(reads.log_dir_events().into_iter().map(Output::AskForFailedLogs));
                Ok(())
            }
            Work::FailedLogs => {
                let electorate = self.electorate();
                self.change(|state| electorate.elect(state));
                Ok(())
            }
            Work::ConfigChanges => {
                self.configs_changed(now, reads, &mut writes, out);
                Ok(())
            }
            Work::Marks => {
                self.marked(reads, &mut writes);
                Ok(())
            }
            Work::Deleted => {
                self.finish_deletions();
                Ok(())
            }
            Work::PreferredElection => {
                self.elect_as_written(reads, &mut writes, out);
                Ok(())
            }
            Work::Reassignments => {
                self.reassign_as_written(reads, &mut writes, out);
                Ok(())
            }
            Work::Request { origin, version, client_id, body } => {
                let asked = match origin {
                    Origin::Broker { from, .. } => *from,
                    Origin::Client { .. } | Origin::OwnStop | Origin::Nobody => self.id,
                };
                self.charge = Charge::new(client_id.as_deref(), now.instant, *version, body);
                let response = self.decide(asked, *version, body);
                let response = self.charge.tell(response);
                answer = Some((origin.clone(), Answer::Response(response)));
                Ok(())
            }
            Work::Shutdown { origin, broker, epoch } => {
                let remaining = self.shut_down(*broker, *epoch);
                answer = Some((origin.clone(), Answer::Remaining(remaining)));
                Ok(())
            }
            Work::Rebalance => {
                self.rebalance();
                Ok(())
            }
        };
        if let Err(why) = decided {
            self.step = Step::Waiting;
            return out.push(Output::Fail(why));
        }
        self.tell_written_moves(&mut writes);
        writes.difference(&self.committed, &self.state, self.epoch);
        if let Some(path) = writes.too_large() {
            return self.give_up(work, format!("{path} would be longer than ZooKeeper's jute.maxbuffer allows"), out);
        }
        self.write_on(now, work, answer, writes, out);
    }

    /// Writes what is still to be written, or is done with this piece of work.
    fn write_on(
        &mut self,
        now: Now,
        work: Work,
        answer: Option<(Origin, Answer)>,
        mut writes: Writes,
        out: &mut Vec<Output>,
    ) {
        let Some(ops) = writes.next() else {
            if self.state.version != self.committed.version {
                self.committed = self.state.clone();
                self.deletions.retain(|name, _| self.committed.deleting.contains_key(name));
                out.push(Output::Publish);
            }
            out.extend(answer.map(|(origin, answer)| Output::Answer { origin, answer }));
            if !matches!(work, Work::Load) {
                self.tries = 0;
            }
            self.step = Step::Idle;
            return self.go_on(now, out);
        };
        self.turn += 1;
        // (5)
        let fence = Op::Check { path: znode::CONTROLLER_EPOCH.into(), version: self.fence };
        let op = Op::Multi([fence].into_iter().chain(ops).collect());
        let tag = Tag { epoch: self.epoch, turn: self.turn, what: What::Data, path: znode::CONTROLLER_EPOCH.into() };
        out.push(Output::Ask { tag, op });
        self.step = Step::Writing { work, answer, writes };
    }

    /// ZooKeeper refused: another has changed what this was decided for.
    fn refused(&mut self, now: Now, work: Work, failed: Failed, out: &mut Vec<Output>) {
        if failed.at == 0 {
            out.push(Output::Note(format!("controller epoch {} is over ({})", self.epoch, failed.error)));
            self.queue.push_front(work);
            self.step = Step::Waiting;
            out.push(Output::Resign);
            return;
        }
        self.tries += 1;
        if self.tries < MAX_TRIES {
            self.interrupted(work, true);
            self.step = Step::Idle;
            return self.go_on(now, out);
        }
        self.give_up(work, format!("{} at operation {} again and again", failed.error, failed.at), out);
        self.go_on(now, out);
    }

    /// It is not done, whoever asked for it may ask again, and what else there is to do is done.
    fn give_up(&mut self, work: Work, why: String, out: &mut Vec<Output>) {
        self.tries = 0;
        self.go_back();
        out.push(Output::Note(format!("given up: {why}")));
        out.extend(work.origin().map(|origin| Output::Answer { origin, answer: Answer::NotController }));
        self.step = Step::Idle;
    }

    /// That piece of work begins anew, after everything was loaded where what was written is not known.
    fn interrupted(&mut self, work: Work, reload: bool) {
        self.go_back();
        self.turn += 1;
        let is_load = matches!(work, Work::Load);
        self.queue.push_front(work);
        if reload && !is_load {
            self.queue.push_front(Work::Load);
        }
        self.step = Step::Waiting;
    }

    /// What was decided is not written: it was not decided.
    fn go_back(&mut self) {
        self.state = self.committed.clone();
        self.deletions.retain(|name, _| self.committed.deleting.contains_key(name));
        self.follow_settings();
        self.mutations.follow(&self.state.quotas);
    }

    /// This broker's settings are what the cluster's state makes them.
    fn follow_settings(&mut self) {
        if self.state.broker_configs != self.settings_of {
            self.settings_of = self.state.broker_configs.clone();
            self.settings = Arc::new(self.settings.under(&self.settings_of, self.id));
        }
    }

    /// Answers a request that only the controller may decide; `asked` is the broker that a client asked.
    pub fn decide(&mut self, asked: BrokerId, version: i16, request: &RequestKind) -> ResponseKind {
        match request {
            RequestKind::CreateTopics(request) => self.create_topics(request, version).into(),
            RequestKind::DeleteTopics(request) => self.delete_topics(request, version).into(),
            RequestKind::CreatePartitions(request) => self.create_partitions(request).into(),
            RequestKind::AlterConfigs(request) => self.alter_configs(asked, request).into(),
            RequestKind::IncrementalAlterConfigs(request) => self.incremental_alter_configs(asked, request).into(),
            RequestKind::AlterClientQuotas(request) => self.alter_client_quotas(request).into(),
            RequestKind::ElectLeaders(request) => self.elect_leaders(request, version).into(),
            RequestKind::AlterPartitionReassignments(request) => self.alter_partition_reassignments(request).into(),
            RequestKind::ListPartitionReassignments(request) => self.list_partition_reassignments(request).into(),
            other => crate::broker::handle::unsupported::response(other),
        }
    }

    fn change(&mut self, decide: impl FnOnce(&mut ClusterState)) {
        let state = Arc::make_mut(&mut self.state);
        decide(state);
        state.version += 1;
        // (2)
        debug_assert!(state.topics.values().flat_map(|topic| &topic.partitions).all(|partition| {
            !partition.isr.is_empty()
                && partition.isr.iter().all(|id| partition.replicas.contains(id))
                && (partition.leader == BrokerId::NONE
                    || partition.isr.contains(&partition.leader) && state.brokers.contains_key(&partition.leader))
        }));
    }

    /// The brokers that partitions may be placed on.
    fn placeable(&self) -> VecMap<BrokerId, Registration> {
        let live = self.state.brokers.iter().filter(|(id, _)| !self.shutting_down.contains(id));
        live.map(|(id, broker)| (*id, broker.clone())).collect()
    }
}

impl Work {
    fn origin(self) -> Option<Origin> {
        match self {
            Work::Request { origin, .. } | Work::Shutdown { origin, .. } => Some(origin),
            _ => None,
        }
    }
}

/// A new partition on those replicas: those that live are in sync, and the first of them leads. `None` where none lives.
fn assignment(replicas: Vec<BrokerId>, alive: &VecMap<BrokerId, Registration>) -> Option<Assignment> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|id| alive.contains_key(id)).collect();
    let leader = *isr.first()?;
    Some(Assignment { replicas, isr, leader, leader_epoch: 0, ..Assignment::default() })
}
