//! The group coordinator: who is in a group, who reads what, and what the group has committed.
//!
//! `classic.rs` a group of the classic protocol, its states and members: `turn.rs` a decision about one | `join.rs` JoinGroup |
//! `rebalance.rs` from one generation to the next | `sync.rs` SyncGroup | `leave.rs` Heartbeat, LeaveGroup
//!
//! `consumer/` a group of the consumer protocol | `share/` a share group
//!
//! `offsets.rs` committed offsets, and those of open transactions: `commit.rs` OffsetCommit | `fetch.rs` OffsetFetch |
//! `delete.rs` what goes: deleted, expired, of topics that are gone
//!
//! `describe.rs` ListGroups, DescribeGroups | `view.rs` groups for the page | `record/` what stands in `__consumer_offsets`

pub mod classic;
pub mod commit;
pub mod consumer;
pub mod delete;
pub mod describe;
pub mod fetch;
pub mod join;
pub mod leave;
pub mod offsets;
mod rebalance;
pub mod record;
pub mod share;
pub mod sync;
mod turn;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::refuse::refuse;
use super::{Alarm, Around, At, Decision, Event, Machine, Producer, Reply};
use crate::config::BrokerSettings;
use crate::error::ErrorCode;
use crate::record::Compression;
use crate::shared_map::SharedMap;
use crate::time::{Duration, Timestamp};
use crate::view::Level;

use classic::{Classic, ClassicState};
use consumer::target::Checked;
use consumer::{Consumer, MemberState};
use offsets::Offsets;
use record::share::ShareRecord;
use record::{GroupValue, MemberKey, Record, RegexKey};
use share::Share;
use share::calls::{Answered, ShareCall};
use turn::Turn;

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Default)]
pub struct Groups {
    state: State,
    /// Classic groups as they are at the moment. One that is not here is as the log has it.
    live: SharedMap<Arc<str>, Arc<Classic>>,
    /// When it was last looked at what the topics of consumer and share groups are.
    checked: SharedMap<Arc<str>, Checked>,
    /// When something was last written of the states of share groups' partitions.
    initializing: SharedMap<Arc<str>, Timestamp>,
    /// The last version of the cluster's state that has brought topics, as far as it was seen.
    new_topics: u64,
}

/// What the log says.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub groups: SharedMap<Arc<str>, Group>,
    pub offsets: Offsets,
}

#[derive(Clone, Debug)]
pub enum Group {
    Classic(Arc<GroupValue>),
    Consumer(Arc<Consumer>),
    Share(Arc<Share>),
}

/// What the coordinator of a group can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Join(join::Join),
    Sync(sync::Sync),
    Heartbeat(leave::Heartbeat),
    Leave(leave::Leave),
    ConsumerHeartbeat(consumer::heartbeat::Heartbeat),
    ShareHeartbeat(share::heartbeat::Heartbeat),
    Commit(commit::Commit),
    /// Offsets that must be stable: those of open transactions are refused, and those of writes under way waited for.
    Fetch(fetch::Fetch),
    Delete(delete::Delete),
    DeleteOffsets(delete::DeleteOffsets),
    DescribeShareOffsets(share::offsets::Described),
    AlterShareOffsets(share::offsets::Altered),
    DeleteShareOffsets(share::offsets::Deleted),
    /// What share coordinators said.
    ShareAnswered(Answered),
}

/// What waits for its records.
#[derive(Clone, Debug)]
pub enum Next {
    Created(Arc<str>),
    Replaced(join::Replaced),
    Assigned(sync::Assigned),
    Downgraded(Arc<str>),
    Call(ShareCall),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A member was not heard of.
    Session { group: Arc<str>, member: Arc<str> },
    /// Members were long enough waited for.
    Join(Arc<str>),
    /// They should all have asked for their assignments.
    Sync(Arc<str>),
    /// A member of a consumer group has had time to let go of partitions.
    Revocation { group: Arc<str>, member: Arc<str> },
    /// One that speaks the classic protocol has had time to join again.
    MemberJoin { group: Arc<str>, member: Arc<str> },
    /// The same: to ask for its assignment.
    MemberSync { group: Arc<str>, member: Arc<str> },
    /// It is to be looked up what a group's regular expressions mean.
    Regex(Arc<str>),
    /// Offsets may have outlived their time.
    Expire,
}

#[derive(Clone, Debug)]
pub enum Move {
    Classic(Arc<str>, Option<Arc<Classic>>),
    Checked(Arc<str>, Checked),
    /// The cluster's state of that version has brought topics.
    NewTopics(u64),
    /// Something was written of the states of that group's partitions.
    States(Arc<str>, Timestamp),
}

#[derive(Clone, Debug)]
pub enum Order {
    Note(Level, String),
    /// To share coordinators.
    ShareState(ShareCall),
}

impl Machine for Groups {
    type State = State;
    type Record = Record;
    type Ask = Ask;
    type Next = Next;
    type Timer = Timer;
    type Move = Move;
    type Order = Order;

    fn state(&self) -> &State {
        &self.state
    }

    /// The table of contents.
    fn decide(&self, around: &Around<'_>, event: Event<Groups>) -> Decision<Groups> {
        match event {
            Event::Asked(ask) => match ask {
                Ask::Join(join) => self.join(around, join),
                Ask::Sync(sync) => self.sync(around, sync),
                Ask::Heartbeat(heartbeat) => self.heartbeat(around, heartbeat),
                Ask::Leave(leave) => self.leave(around, leave),
                Ask::ConsumerHeartbeat(heartbeat) => self.consumer_heartbeat(around, heartbeat),
                Ask::ShareHeartbeat(heartbeat) => self.share_heartbeat(around, heartbeat),
                Ask::Commit(commit) => self.commit(around, commit),
                Ask::Fetch(fetch) => self.fetch_stable(around, fetch),
                Ask::Delete(delete) => self.delete(around, delete),
                Ask::DeleteOffsets(delete) => self.delete_offsets(delete),
                Ask::DescribeShareOffsets(asked) => self.describe_share_offsets(around, asked),
                Ask::AlterShareOffsets(asked) => self.alter_share_offsets(around, asked),
                Ask::DeleteShareOffsets(asked) => self.delete_share_offsets(around, asked),
                Ask::ShareAnswered(answered) => self.share_answered(around, answered),
            },
            Event::Written { next, result } => match next {
                Next::Created(group) => self.created(&group, result),
                Next::Replaced(replaced) => self.replaced(around, replaced, result),
                Next::Assigned(assigned) => self.assigned(around, assigned, result),
                Next::Downgraded(group) => self.downgraded(&group, result),
                Next::Call(call) => self.call(call, result),
            },
            Event::Timer(timer) => match timer {
                Timer::Session { group, member } => self.session_expired(around, &group, &member),
                Timer::Join(group) => self.join_expired(around, &group),
                Timer::Sync(group) => self.sync_expired(around, &group),
                Timer::Revocation { group, member } => self.revocation_expired(around, &group, &member),
                Timer::MemberJoin { group, member } => {
                    let reason = "the classic member failed to join within the rebalance timeout";
                    self.fence(around, &group, &member, reason)
                }
                Timer::MemberSync { group, member } => {
                    self.fence(around, &group, &member, "the member failed to sync within timeout")
                }
                Timer::Regex(group) => self.resolve_regexes(around, &group),
                Timer::Expire => self.expire(around),
            },
            Event::Loaded => self.loaded(around),
            Event::Cluster { created, deleted } => self.see_topics(around, created, &deleted),
            Event::Unloading => self.unloading(),
        }
    }

    fn replay(&mut self, record: &Record, at: At) {
        let state = &mut self.state;
        match record {
            Record::Offset(key, value) => {
                // Who commits without being a member makes a group of it: an empty one, without a protocol type.
                if value.is_some() && !state.groups.contains_key(&key.group) {
                    state.groups.insert(key.group.clone(), Group::Classic(Arc::default()));
                }
                state.offsets.replay(key, value.as_ref(), at);
            }
            Record::Group(id, Some(value)) => {
                state.groups.insert(id.clone(), Group::Classic(Arc::new(value.clone())));
            }
            Record::Group(id, None) => {
                state.groups.remove(id);
                self.live.remove(id);
            }
            Record::Epoch(id, None) => {
                if let Some(Group::Consumer(_)) = state.groups.get(id) {
                    state.groups.remove(id);
                    self.checked.remove(id);
                }
            }
            Record::Epoch(id, Some(_)) => state.replay_consumer(id, true, record),
            Record::TargetEpoch(id, value) => state.replay_consumer(id, value.is_some(), record),
            Record::Topics(id, there) => state.replay_consumer(id, *there, record),
            Record::Member(MemberKey { group, .. }, value) => state.replay_consumer(group, value.is_some(), record),
            Record::Target(MemberKey { group, .. }, value) => state.replay_consumer(group, value.is_some(), record),
            Record::Current(MemberKey { group, .. }, value) => state.replay_consumer(group, value.is_some(), record),
            Record::Regex(RegexKey { group, .. }, value) => state.replay_consumer(group, value.is_some(), record),
            Record::Share(ShareRecord::Epoch(id, None)) => {
                if let Some(Group::Share(_)) = state.groups.get(id) {
                    state.groups.remove(id);
                    self.checked.remove(id);
                    self.initializing.remove(id);
                }
            }
            Record::Share(record) => state.replay_share(record),
        }
    }

    fn end_transaction(&mut self, producer: Producer, committed: bool) {
        self.state.offsets.end_transaction(producer.id, committed);
    }

    fn apply(&mut self, change: Move) {
        match change {
            Move::Classic(id, Some(group)) => drop(self.live.insert(id, group)),
            Move::Classic(id, None) => drop(self.live.remove(&id)),
            Move::Checked(id, checked) => drop(self.checked.insert(id, checked)),
            Move::NewTopics(version) => self.new_topics = version,
            Move::States(id, now) => drop(self.initializing.insert(id, now)),
        }
    }

    fn encode(record: &Record) -> (Bytes, Option<Bytes>) {
        record.encode()
    }

    fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        Record::decode(key, value)
    }

    fn write_timeout(settings: &BrokerSettings) -> Duration {
        settings.group.offsets_commit_timeout
    }

    fn compression(settings: &BrokerSettings) -> Compression {
        settings.group.offsets_topic_compression
    }
}

impl Groups {
    /// A classic group as it is at the moment; `None` where there is none of that id.
    fn classic(&self, id: &Arc<str>) -> Option<Classic> {
        match self.state.groups.get(id)? {
            Group::Classic(value) => Some(self.classic_as_of(id, value)),
            Group::Consumer(_) | Group::Share(_) => None,
        }
    }

    /// Nothing can have changed of what a consumer group's topics are.
    fn is_fresh(&self, around: &Around<'_>, group: &Consumer) -> bool {
        self.is_checked(around, &group.id, group.epoch)
    }

    /// The same of a group of that epoch.
    fn is_checked(&self, around: &Around<'_>, id: &Arc<str>, epoch: i32) -> bool {
        self.checked.get(id).is_some_and(|checked| checked.is_fresh(epoch, around.cluster))
    }

    /// The same, of which the log says `value`.
    fn classic_as_of(&self, id: &Arc<str>, value: &GroupValue) -> Classic {
        match self.live.get(id) {
            Some(live) => Classic::clone(live),
            None => Classic::from_log(id.clone(), value),
        }
    }

    /// This broker coordinates now: members are expected to be heard of.
    fn loaded(&self, around: &Around<'_>) -> Decision<Groups> {
        let mut all = Decision::default();
        let check = around.settings.group.offsets_retention_check_interval;
        all.timers.push((Timer::Expire, Alarm::In(check)));
        all.moves.push(Move::NewTopics(around.cluster.version));
        for (id, group) in &self.state.groups {
            let decision = match group {
                Group::Classic(value) if value.members.is_empty() => continue,
                Group::Classic(value) => loaded_classic(Turn::new(around, Classic::from_log(id.clone(), value))),
                Group::Consumer(group) => loaded_consumer(Turn::new(around, Consumer::clone(group))),
                Group::Share(group) => loaded_share(Turn::new(around, Share::clone(group))),
            };
            all.moves.extend(decision.moves);
            all.timers.extend(decision.timers);
            all.orders.extend(decision.orders);
        }
        all
    }

    /// Topics have come, or are gone.
    fn see_topics(&self, around: &Around<'_>, created: bool, deleted: &[(TopicName, Uuid)]) -> Decision<Groups> {
        let mut decision = self.forget_topics(deleted);
        self.forget_states(deleted, around.topic_names, &mut decision);
        if created {
            decision.moves.push(Move::NewTopics(around.cluster.version));
        }
        decision
    }

    /// Another broker coordinates: whoever waits is sent there.
    fn unloading(&self) -> Decision<Groups> {
        let mut replies = Vec::new();
        for member in self.live.values().flat_map(|group| group.members.values()) {
            if let Some(waiter) = member.join.clone() {
                replies.push(join::refused(waiter, &member.id, ErrorCode::NotCoordinator));
            }
            if let Some(waiter) = member.sync.clone() {
                replies.push(sync::refused(waiter, ErrorCode::NotCoordinator));
            }
        }
        Decision { replies, ..Decision::default() }
    }

    /// From outside the group where it has no members; from a member of this generation otherwise.
    fn may_commit_to_classic(&self, group: &Classic, committer: &Committer<'_>) -> Result<(), ErrorCode> {
        let empty = group.state == ClassicState::Empty;
        if committer.generation < 0 && empty {
            return Ok(());
        }
        if committer.generation >= 0 || !committer.member.is_empty() || committer.instance.is_some() {
            group.validate_member(committer.member, committer.instance)?;
            if committer.generation != group.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !committer.in_transaction && !empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !committer.in_transaction && group.state == ClassicState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }
}

impl State {
    /// There is that share group from now on; a tombstone makes none.
    fn replay_share(&mut self, record: &ShareRecord) {
        let id = record.group();
        if !matches!(self.groups.get(id), Some(Group::Share(_))) {
            if record.is_tombstone() {
                return;
            }
            self.groups.insert(id.clone(), Group::Share(Arc::new(Share::new(id.clone()))));
        }
        if let Some(Group::Share(group)) = self.groups.get_mut(id) {
            Arc::make_mut(group).replay(record);
        }
    }

    /// Of a consumer group. With `makes` there is one from now on; a tombstone makes none.
    fn replay_consumer(&mut self, id: &Arc<str>, makes: bool, record: &Record) {
        if !matches!(self.groups.get(id), Some(Group::Consumer(_))) {
            if !makes {
                return;
            }
            self.groups.insert(id.clone(), Group::Consumer(Arc::new(Consumer::new(id.clone()))));
        }
        if let Some(Group::Consumer(group)) = self.groups.get_mut(id) {
            Arc::make_mut(group).replay(record);
        }
    }
}

fn loaded_classic(mut turn: Turn<'_>) -> Decision<Groups> {
    let members: Vec<_> = turn.group.members.values().cloned().collect();
    for member in &members {
        turn.expect_heartbeat(member);
    }
    let max = turn.around.settings.group.max_size;
    if members.len() > max {
        turn.prepare_rebalance(&format!(
            "Freshly-loaded group {} (size {}) is over capacity {max}. Rebalancing in order to give a chance for consumers \
             to commit offsets",
            turn.group.id,
            members.len()
        ));
    }
    turn.end()
}

fn loaded_consumer(mut turn: Turn<'_, Consumer>) -> Decision<Groups> {
    let session_timeout = turn.around.pace(&turn.group.id).session_timeout;
    let members: Vec<_> = turn.group.members.values().cloned().collect();
    for member in &members {
        turn.expect_consumer_heartbeat(&member.id, session_timeout);
        if member.state == MemberState::UnrevokedPartitions {
            turn.expect_revocation(member);
        }
    }
    turn.decision
}

fn loaded_share(mut turn: Turn<'_, Share>) -> Decision<Groups> {
    let session_timeout = turn.around.share(&turn.group.id).pace.session_timeout;
    let members: Vec<_> = turn.group.members.keys().cloned().collect();
    for member in &members {
        turn.expect_share_heartbeat(member, session_timeout);
    }
    let (id, now) = (turn.group.id.clone(), turn.now());
    turn.decision.moves.push(Move::States(id, now));
    turn.decision
}

/// Who commits offsets, as it says itself.
struct Committer<'a> {
    member: &'a str,
    instance: Option<&'a str>,
    /// Or member epoch; −1 is none.
    generation: i32,
    in_transaction: bool,
    /// Of the request.
    version: i16,
}

/// One more, or less, of that name; none is not kept.
fn count(counts: &mut SharedMap<Arc<str>, usize>, name: &Arc<str>, more: bool) {
    let mut number = counts.get(name).copied().unwrap_or(0);
    step(&mut number, more);
    if number == 0 {
        counts.remove(name);
    } else {
        counts.insert(name.clone(), number);
    }
}

fn step(count: &mut usize, more: bool) {
    *count = if more { *count + 1 } else { count.saturating_sub(1) };
}

/// Nothing happens, and the answer says why.
fn refused(mut reply: Reply, error: ErrorCode) -> Decision<Groups> {
    refuse(&mut reply.body, error);
    Decision { response: Some(reply), ..Decision::default() }
}

fn wire_text(text: &Arc<str>) -> StrBytes {
    StrBytes::from_string(text.to_string())
}
