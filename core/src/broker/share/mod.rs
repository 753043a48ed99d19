//! Partitions that the members of a group share (KIP-932), where this broker leads them.
//!
//! ```text
//! ShareFetch ─▶ its session ─▶ acknowledgements ─▶ written ─▶ answered ─┐
//!                   └────────▶ fetch.rs: read, acquire, or wait ────────┴─▶ the response
//! ShareAcknowledge ─▶ its session ─▶ acknowledgements ─▶ written ─▶ the response
//! ```
//!
//! `partition.rs` which records are on their way | `session.rs` what a member has from this broker | `fetch.rs` members
//! fetch | `acknowledge.rs` and say what became of it | `persister.rs` what is kept of all that, with the share
//! coordinators
//!
//! 1. A share-partition is loaded from its coordinator when it is first fetched, and dropped when this broker leads the
//!    partition no more, or when the coordinator knows of a newer leader or a newer state.
//! 2. While a fetch reads of a share-partition no other does.

pub(super) mod acknowledge;
pub(super) mod fetch;
pub(super) mod partition;
pub(crate) mod persister;
pub(super) mod session;

use bytes::Bytes;

use super::purgatory::Reading;
use super::transaction::{SHARE_STATES, conn};
use super::{Broker, Effect};
use crate::client;
use crate::config::BrokerSettings;
use crate::config::group::{ShareReset, ShareSettings};
use crate::coordinator::share::answer::{Answer, Refused};
use crate::coordinator::share::{Key, StateBatch, What};
use crate::error::ErrorCode;
use crate::id::{BrokerId, ConnId, LogId, Offset, Ticket};
use crate::log::{Found, TimeSeek};
use crate::protocol::cluster::Registration;
use crate::rng::Stream;
use crate::time::{Instant, Now, Timestamp, sooner};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use acknowledge::Open;
use partition::{Pending, SharePartition};
use persister::{Persister, ShareCaller};
use session::{SessionKey, Sessions, TopicPartitionId};

/// What the leader of a share-partition asks its coordinator for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It begins to lead; the number tells it from an earlier one.
    Load(u64),
    /// What that write holds is settled when it is answered; the first number is that of the share-partition.
    Write(u64, u64),
}

#[derive(Clone)]
pub(super) struct Sharing {
    persister: Persister,
    sessions: Sessions,
    shared: VecMap<Key, Shared>,
    /// When records of which of them have been held for long enough.
    alarms: VecSet<(Instant, Key)>,
    /// Logs of which something has moved on in this step.
    woken: VecSet<LogId>,
    /// Requests that are not answered yet.
    open: VecMap<Ticket, Open>,
    next_generation: u64,
}

/// A share-partition that is loaded, but for where it begins.
#[derive(Clone)]
pub struct Start {
    key: Key,
    generation: u64,
    state_epoch: i32,
    batches: Vec<StateBatch>,
}

/// A share-partition of this broker.
#[derive(Clone)]
struct Shared {
    log: LogId,
    leader_epoch: i32,
    generation: u64,
    /// `None` until it is loaded.
    partition: Option<Box<SharePartition>>,
    /// (2)
    reader: Option<Ticket>,
    /// Who waits for which write.
    writes: VecMap<u64, Ticket>,
    /// Why it could not be loaded: the next fetch says so, and it is here no more.
    failed: Option<Refused>,
    alarm: Option<Instant>,
}

impl Sharing {
    pub fn new(own: BrokerId, settings: &BrokerSettings, dice: impl FnMut(&str) -> Stream) -> Sharing {
        Sharing {
            persister: Persister::new(own, settings, dice),
            sessions: Sessions::default(),
            shared: VecMap::new(),
            alarms: VecSet::new(),
            woken: VecSet::new(),
            open: VecMap::new(),
            next_generation: 0,
        }
    }

    /// Whether it happened on one of these connections.
    pub fn owns(event: &client::Event) -> bool {
        conn(event).is_some_and(|conn| conn >= SHARE_STATES)
    }

    pub fn deadline(&self) -> Option<Instant> {
        sooner(self.persister.deadline(), self.alarms.first().map(|(at, _)| *at))
    }

    /// Takes down when that share-partition is next to be looked at.
    fn set_alarm(&mut self, key: &Key) {
        let Some(shared) = self.shared.get_mut(key) else { return };
        let at = shared.partition.as_ref().and_then(|partition| partition.deadline());
        if shared.alarm == at {
            return;
        }
        if let Some(before) = std::mem::replace(&mut shared.alarm, at) {
            self.alarms.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.alarms.insert((at, key.clone()));
        }
    }

    /// It is here no more.
    fn drop(&mut self, key: &Key) -> Option<Shared> {
        let shared = self.shared.remove(key)?;
        if let Some(at) = shared.alarm {
            self.alarms.remove(&(at, key.clone()));
        }
        Some(shared)
    }
}

impl Broker {
    /// A ShareFetch came: what it reads ([`Sessions::open`]).
    pub(super) fn open_share_session(
        &mut self,
        key: &SessionKey,
        (epoch, conn): (i32, ConnId),
        asked: &[TopicPartitionId],
        forgotten: &[TopicPartitionId],
        most: usize,
    ) -> Result<Vec<(TopicPartitionId, bool)>, ErrorCode> {
        self.sharing.sessions.open(key, (epoch, conn), asked, forgotten, most)
    }

    /// A ShareAcknowledge came ([`Sessions::acknowledge`]).
    pub(super) fn acknowledge_share_session(&mut self, key: &SessionKey, epoch: i32) -> Result<(), ErrorCode> {
        self.sharing.sessions.acknowledge(key, epoch)
    }

    /// A request that is to be answered later.
    pub(super) fn open_share(&mut self, open: Open) {
        self.sharing.open.insert(open.asked.ticket, open);
    }

    /// How records are delivered to that group.
    fn delivery(&self, group: &str) -> ShareSettings {
        self.settings.group.share.with(self.cluster.group_configs.get(group))
    }

    /// The clock.
    pub(super) fn share_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((_, key)) = self.sharing.alarms.first().filter(|(at, _)| *at <= now.instant).cloned() {
            let delivery = self.delivery(&key.group);
            let shared = self.sharing.shared.get_mut(&key);
            let partition = shared.and_then(|shared| shared.partition.as_mut());
            let pending = partition.and_then(|partition| partition.expire(now.instant, &delivery));
            self.share_changed(&key, pending, None, out);
            self.wake_shares_of(&key);
        }
        self.ask_share_states_again(now, out);
    }

    /// A client's connection is gone.
    pub(super) fn share_closed(&mut self, conn: ConnId, out: &mut Vec<Effect>) {
        self.sharing.open.retain(|ticket, _| ticket.conn != conn);
        let mut freed = Vec::new();
        for (key, shared) in self.sharing.shared.iter_mut() {
            if shared.reader.take_if(|ticket| ticket.conn == conn).is_some() {
                freed.push(key.clone());
            }
            shared.writes.retain(|_, ticket| ticket.conn != conn);
        }
        for session in self.sharing.sessions.of_connection(conn) {
            self.close_share_session(&session, out);
        }
        for key in freed {
            self.wake_shares_of(&key);
        }
    }

    /// The cluster's state is another.
    pub(super) fn sharing_sees_cluster(
        &mut self,
        now: Now,
        before: &VecMap<BrokerId, Registration>,
        out: &mut Vec<Effect>,
    ) {
        let is_led = |(key, shared): (&Key, &Shared)| {
            let led = self.slot(shared.log).is_some_and(|slot| slot.led_in(shared.leader_epoch).is_ok());
            (!led).then(|| key.clone())
        };
        let lost: Vec<Key> = self.sharing.shared.iter().filter_map(is_led).collect();
        for key in lost {
            self.drop_shared(&key, ErrorCode::NotLeaderOrFollower, out);
        }
        self.persister_sees_cluster(now, before, out);
    }

    /// The member has left this broker's session: what it holds comes back. With the last of a group what is known here of its
    /// partitions goes, so that offsets that are set then count.
    fn close_share_session(&mut self, session: &SessionKey, out: &mut Vec<Effect>) {
        let (group, member) = session;
        let delivery = self.delivery(group);
        for (topic_id, partition) in self.sharing.sessions.close(session) {
            let key = Key { group: group.clone(), topic_id, partition };
            let shared = self.sharing.shared.get_mut(&key);
            let shared = shared.and_then(|shared| shared.partition.as_mut());
            let pending = shared.and_then(|shared| shared.release(member, &delivery));
            self.share_changed(&key, pending, None, out);
        }
        if !self.sharing.sessions.has(group) {
            self.forget_shared(group, out);
        }
    }

    fn forget_shared(&mut self, group: &str, out: &mut Vec<Effect>) {
        // Nobody waits for it: the answer to a last acknowledgement is to say what became of that.
        let idle = |(key, shared): &(&Key, &Shared)| &*key.group == group && shared.writes.is_empty();
        for key in self.sharing.shared.iter().filter(idle).map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.drop_shared(&key, ErrorCode::NotLeaderOrFollower, out);
        }
    }

    /// (1) Whoever waits for it is told why.
    fn drop_shared(&mut self, key: &Key, error: ErrorCode, out: &mut Vec<Effect>) {
        let Some(shared) = self.sharing.drop(key) else { return };
        for ticket in shared.writes.into_values() {
            self.acknowledged(ticket, key, Err(error.into()), out);
        }
        self.wake_shares(shared.log);
    }

    /// It has changed: what is pending is written, for a request that waits for it.
    fn share_changed(&mut self, key: &Key, pending: Option<Pending>, waits: Option<Ticket>, out: &mut Vec<Effect>) {
        self.sharing.set_alarm(key);
        let (Some(Pending { number, write }), Some(shared)) = (pending, self.sharing.shared.get_mut(key)) else {
            return;
        };
        if let Some(ticket) = waits {
            shared.writes.insert(number, ticket);
        }
        let purpose = Purpose::Write(shared.generation, number);
        self.ask_share_state(key.clone(), What::Write(write), ShareCaller::Partition(purpose), out);
    }

    /// (1) The share-partition is here from now on, loaded or not.
    fn ensure_shared(&mut self, key: &Key, log: LogId, out: &mut Vec<Effect>) {
        let Some(leader_epoch) = self.slot(log).map(|slot| slot.leader_epoch()) else { return };
        if self.sharing.shared.get(key).is_some_and(|it| (it.log, it.leader_epoch) != (log, leader_epoch)) {
            self.drop_shared(key, ErrorCode::NotLeaderOrFollower, out);
        }
        if self.sharing.shared.contains_key(key) {
            return;
        }
        let generation = self.sharing.next_generation;
        self.sharing.next_generation += 1;
        let shared = Shared {
            log,
            leader_epoch,
            generation,
            partition: None,
            reader: None,
            writes: VecMap::new(),
            failed: None,
            alarm: None,
        };
        self.sharing.shared.insert(key.clone(), shared);
        let caller = ShareCaller::Partition(Purpose::Load(generation));
        self.ask_share_state(key.clone(), What::Read { leader_epoch }, caller, out);
    }

    /// The coordinator has answered.
    fn share_partition_answered(
        &mut self,
        key: Key,
        purpose: Purpose,
        said: Result<Answer, Refused>,
        out: &mut Vec<Effect>,
    ) {
        let (Purpose::Load(generation) | Purpose::Write(generation, _)) = purpose;
        let Some(shared) = self.sharing.shared.get_mut(&key).filter(|it| it.generation == generation) else { return };
        let log = shared.log;
        match (purpose, said) {
            (Purpose::Load(_), Ok(Answer::Read { state_epoch, start_offset, batches })) => {
                let start = Start { key, generation, state_epoch, batches };
                match start_offset {
                    -1 => self.find_share_start(start, out),
                    offset => self.share_starts(start, offset),
                }
            }
            (Purpose::Load(_), said) => {
                let refused = said.err().unwrap_or_else(|| ErrorCode::UnknownServerError.into());
                shared.failed = Some(told(refused));
                self.wake_shares(log);
            }
            (Purpose::Write(_, number), said) => {
                if let Some(partition) = &mut shared.partition {
                    partition.settle(number, said.is_ok());
                }
                let waits = shared.writes.remove(&number);
                let fenced = said.as_ref().is_err_and(|refused| is_fenced(refused.error));
                if let Some(ticket) = waits {
                    self.acknowledged(ticket, &key, said.map(|_| ()).map_err(told), out);
                }
                match fenced {
                    true => self.drop_shared(&key, ErrorCode::NotLeaderOrFollower, out),
                    false => self.sharing.set_alarm(&key),
                }
                if !self.sharing.sessions.has(&key.group) {
                    self.forget_shared(&key.group, out);
                }
                self.wake_shares(log);
            }
        }
    }

    /// A group has not been here: it begins where it is set to begin.
    fn find_share_start(&mut self, start: Start, out: &mut Vec<Effect>) {
        let slot = self.sharing.shared.get(&start.key).and_then(|shared| self.slot(shared.log));
        let Some(slot) = slot else { return };
        let (begin, end) = (slot.log.log_start_offset(), slot.log.high_watermark());
        let offset = match self.delivery(&start.key.group).auto_offset_reset {
            ShareReset::Latest => end,
            ShareReset::Earliest => begin,
            ShareReset::ByDuration(age) => {
                let since = Timestamp(self.now.wall.0.saturating_sub(age.as_millis() as i64).max(0));
                match slot.log.offset_for_timestamp(since) {
                    Found::Here(looked) => looked.ok().flatten().map_or(end, |found| found.offset.min(end)),
                    Found::Read(extent, seek) => {
                        let read = self.purgatory.read(Reading::ShareStart(start, seek));
                        return out.push(Effect::Read { read, extent });
                    }
                }
            }
        };
        self.share_starts(start, offset);
    }

    /// Bytes came that the look-up asked for.
    pub(super) fn resume_share_start(&mut self, start: Start, seek: TimeSeek, bytes: &Bytes, out: &mut Vec<Effect>) {
        let slot = self.sharing.shared.get(&start.key).and_then(|shared| self.slot(shared.log));
        let Some(slot) = slot else { return };
        let end = slot.log.high_watermark();
        match seek.resume(&slot.log, bytes) {
            Found::Here(looked) => {
                let offset = looked.ok().flatten().map_or(end, |found| found.offset.min(end));
                self.share_starts(start, offset);
            }
            Found::Read(extent, seek) => {
                let read = self.purgatory.read(Reading::ShareStart(start, seek));
                out.push(Effect::Read { read, extent });
            }
        }
    }

    /// The share-partition is loaded.
    fn share_starts(&mut self, start: Start, offset: Offset) {
        let Start { key, generation, state_epoch, batches } = start;
        let Some(shared) = self.sharing.shared.get_mut(&key).filter(|it| it.generation == generation) else { return };
        let partition = SharePartition::new(shared.leader_epoch, state_epoch, offset, &batches);
        shared.partition = Some(Box::new(partition));
        let log = shared.log;
        self.wake_shares(log);
    }

    fn wake_shares_of(&mut self, key: &Key) {
        if let Some(log) = self.sharing.shared.get(key).map(|shared| shared.log) {
            self.wake_shares(log);
        }
    }
}

/// There is a newer leader, or a newer state; or the topic is gone.
fn is_fenced(error: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(error, FencedLeaderEpoch | FencedStateEpoch | GroupIdNotFound | UnknownTopicOrPartition)
}

/// What members are told of what coordinators say.
fn told(refused: Refused) -> Refused {
    use ErrorCode::*;
    let error = match refused.error {
        NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress => CoordinatorNotAvailable,
        error @ (GroupIdNotFound | UnknownTopicOrPartition) => error,
        FencedLeaderEpoch | FencedStateEpoch => NotLeaderOrFollower,
        _ => UnknownServerError,
    };
    Refused { error, ..refused }
}
