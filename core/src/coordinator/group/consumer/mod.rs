//! A group whose coordinator decides who reads what (the consumer protocol, KIP-848).
//!
//! ```text
//! the group:  Empty ─[a member joins]─▶ Assigning ─[a target is computed]─▶ Reconciling ─[every member has it]─▶ Stable
//!               ▲                          ▲                                    │                                  │
//!               └─[the last member goes]───┴──[a member comes, goes, or wants something else; topics change]──────┘
//!
//! a member:   Stable ─[the target is another]─▶ UnrevokedPartitions ─[it has let go]─▶ UnreleasedPartitions ─[others have,
//!               ▲                                                                                              too]─┐
//!               └───────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The group's epoch rises whenever who reads what must be decided anew; the assignment's epoch says for which epoch of the
//! group it was decided; a member's epoch is that of the assignment that it lives by.
//!
//! 1. assignment_epoch ≤ epoch; a member's epoch ≤ assignment_epoch, or it is leaving (−1, or −2 for a static member that
//!    will be back).
//! 2. A partition has one owner: who has it, or has still to let go of it.
//!
//! All of it stands in the log: [`Consumer::replay`] is the only thing that writes.
//!
//! `heartbeat.rs` ConsumerGroupHeartbeat: a member comes, lives, wants | `target.rs` what members should have, by an assignor
//! of `assignor/` | `reconcile.rs` a member on its way there | `leave.rs` it goes, or is missed | `regex.rs` topics by a
//! regular expression | `classic.rs` members that speak the classic protocol | `convert.rs` a classic group becomes one of
//! these, and back | `describe.rs` ConsumerGroupDescribe | `assignment.rs`, `hash.rs`, `protocol.rs` what they are made of

pub mod assignment;
pub mod assignor;
mod classic;
mod convert;
pub mod describe;
pub mod hash;
pub mod heartbeat;
mod leave;
pub mod protocol;
mod reconcile;
mod regex;
pub mod target;

use std::sync::Arc;

use uuid::Uuid;

use self::assignment::{Owned, Partitions};
use self::hash::group_hash;
use super::record::{ClassicMetadata, CurrentValue, MemberKey, MemberValue, Record, RegexValue, TargetValue};
use super::{Committer, count, step};
use crate::error::ErrorCode;
use crate::protocol::cluster::ClusterState;
use crate::shared_map::SharedMap;

/// The epoch of a member that leaves.
pub const LEAVE: i32 = -1;
/// The epoch of a static member that leaves and will be back.
pub const LEAVE_STATIC: i32 = -2;

#[derive(Clone, Debug)]
pub struct Consumer {
    pub id: Arc<str>,
    pub epoch: i32,
    pub metadata_hash: i64,
    pub assignment_epoch: i32,
    /// When it was computed; 0 where that is not known.
    pub assignment_timestamp: i64,
    pub members: SharedMap<Arc<str>, Arc<Member>>,
    /// Member ids by instance id.
    pub static_members: SharedMap<Arc<str>, Arc<str>>,
    pub targets: SharedMap<Arc<str>, Arc<Partitions>>,
    /// What is known of the topics that regular expressions mean.
    pub regexes: SharedMap<Arc<str>, Arc<RegexValue>>,
    /// An older Kafka kept its topics in a record that has to go.
    pub has_topics_record: bool,

    // What follows from the members.
    /// In which epoch a partition's owner owns it. (2)
    owners: SharedMap<(Uuid, i32), i32>,
    /// By how many members, and by how many regular expressions, a topic is wanted.
    topics: SharedMap<Arc<str>, Wanted>,
    /// How many members have a regular expression.
    regex_members: SharedMap<Arc<str>, usize>,
    /// How many members ask for an assignor.
    assignors: SharedMap<Arc<str>, usize>,
    /// How many members speak the classic protocol, and how many of them support each of its protocols.
    pub classic_members: usize,
    classic_protocols: SharedMap<Arc<str>, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    by_name: usize,
    by_regex: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has its target.
    Stable,
    /// It has to let go of something first.
    UnrevokedPartitions,
    /// Others have.
    UnreleasedPartitions,
    /// Of a newer Kafka.
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: Arc<str>,
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    /// What it wants.
    pub wants: MemberValue,
    pub assigned: Arc<Owned>,
    pub revoking: Arc<Owned>,
}

impl Member {
    pub fn new(id: Arc<str>) -> Member {
        Member {
            id,
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            wants: MemberValue { subscribed_topic_regex: Some("".into()), ..MemberValue::default() },
            assigned: Arc::default(),
            revoking: Arc::default(),
        }
    }

    pub fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// Where it speaks the classic protocol.
    pub fn classic(&self) -> Option<&ClassicMetadata> {
        self.wants.classic.as_ref()
    }

    /// The regular expression that it subscribes to.
    pub fn regex(&self) -> Option<&Arc<str>> {
        self.wants.subscribed_topic_regex.as_ref().filter(|regex| !regex.is_empty())
    }

    /// What it is told when it names another epoch.
    fn wrong_epoch(&self) -> ErrorCode {
        if self.classic().is_some() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
    }

    /// Takes a new epoch, and remembers the last.
    pub fn advance(&mut self, epoch: i32) {
        self.previous_epoch = std::mem::replace(&mut self.epoch, epoch);
    }

    pub fn current(&self) -> CurrentValue {
        CurrentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: match self.state {
                MemberState::Stable => 0,
                MemberState::UnrevokedPartitions => 1,
                MemberState::UnreleasedPartitions => 2,
                MemberState::Unknown => 127,
            },
            assigned_partitions: assignment::to_current(&self.assigned),
            partitions_pending_revocation: assignment::to_current(&self.revoking),
        }
    }
}

/// What is true of it.
impl Consumer {
    pub fn new(id: Arc<str>) -> Consumer {
        Consumer {
            id,
            epoch: 1,
            metadata_hash: 0,
            assignment_epoch: 1,
            assignment_timestamp: 0,
            members: SharedMap::new(),
            static_members: SharedMap::new(),
            targets: SharedMap::new(),
            regexes: SharedMap::new(),
            has_topics_record: false,
            owners: SharedMap::new(),
            topics: SharedMap::new(),
            regex_members: SharedMap::new(),
            assignors: SharedMap::new(),
            classic_members: 0,
            classic_protocols: SharedMap::new(),
        }
    }

    /// As Kafka names it.
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub fn member(&self, id: &str) -> Option<&Arc<Member>> {
        self.members.get(id)
    }

    pub fn static_member(&self, instance: &str) -> Option<&Arc<Member>> {
        self.members.get(&**self.static_members.get(instance)?)
    }

    /// What the member should have.
    pub fn target(&self, member: &str) -> Arc<Partitions> {
        self.targets.get(member).cloned().unwrap_or_default()
    }

    /// Whether somebody owns that partition.
    pub fn is_owned(&self, topic: Uuid, partition: i32) -> bool {
        self.owners.contains_key(&(topic, partition))
    }

    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// The topics that anybody wants, whether or not there are such.
    pub fn topic_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// How many members have that regular expression.
    pub fn subscribers_of(&self, regex: &str) -> usize {
        self.regex_members.get(regex).copied().unwrap_or(0)
    }

    /// Every regular expression that a member has.
    pub fn subscribed_regexes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.regex_members.keys()
    }

    /// The hash of what its topics are now.
    pub fn computed_hash(&self, cluster: &ClusterState) -> i64 {
        group_hash(self.topics.keys().map(|name| &**name), cluster)
    }

    /// All members want the same.
    pub fn is_homogeneous(&self) -> bool {
        let members = self.members.len();
        match self.regex_members.values().next() {
            None => self.topics.values().all(|wanted| wanted.by_name == members),
            Some(&count) if count == members => {
                self.topics.values().all(|wanted| wanted.by_regex == 1 && wanted.by_name == 0)
            }
            Some(_) => false,
        }
    }

    /// The assignor that most members ask for.
    pub fn preferred_assignor(&self) -> Option<Arc<str>> {
        let most = self.assignors.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse((*name).clone())));
        most.map(|(name, _)| name.clone())
    }

    /// Whether a member that speaks the classic protocol and has these protocols fits in.
    pub fn supports_classic<'a>(&self, protocol_type: &str, mut protocols: impl Iterator<Item = &'a str>) -> bool {
        if protocol_type != super::classic::CONSUMER {
            return false;
        }
        if self.members.is_empty() {
            return protocols.next().is_some();
        }
        protocols.any(|name| self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members)
    }

    /// The member waits for partitions that others have not let go of.
    pub fn waits_for_others(&self, member: &Member) -> bool {
        member.state == MemberState::UnreleasedPartitions
            && self.target(&member.id).iter().any(|(&topic, partitions)| {
                partitions.iter().any(|&partition| {
                    !assignment::holds(&member.assigned, topic, partition) && self.is_owned(topic, partition)
                })
            })
    }
}

/// What a committer may commit offsets of.
pub(super) enum Commits {
    All,
    /// It does not know its newest epoch: of what it has had since the epoch that it knows; anything else is `error`.
    Assigned {
        member: Arc<Member>,
        epoch: i32,
        error: ErrorCode,
    },
}

impl Commits {
    pub fn check(&self, topic: Uuid, partition: i32) -> Result<(), ErrorCode> {
        let Commits::Assigned { member, epoch, error } = self else { return Ok(()) };
        let since = |owned: &Owned| owned.get(&topic).and_then(|partitions| partitions.get(&partition)).copied();
        match since(&member.assigned).or_else(|| since(&member.revoking)) {
            Some(since) if *epoch >= since => Ok(()),
            _ => Err(*error),
        }
    }
}

/// Offsets.
impl Consumer {
    /// From outside the group where it has no members; from a member otherwise.
    pub(super) fn may_commit(&self, committer: &Committer<'_>) -> Result<Commits, ErrorCode> {
        let from_outside = committer.generation < 0 && self.members.is_empty();
        let unnamed = committer.generation == -1 && committer.member.is_empty() && committer.instance.is_none();
        if from_outside || (committer.in_transaction && unnamed) {
            return Ok(Commits::All);
        }
        let member = self.member(committer.member).ok_or(ErrorCode::UnknownMemberId)?;
        if !committer.in_transaction && member.classic().is_none() && committer.version < 9 {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let error = if committer.in_transaction { ErrorCode::IllegalGeneration } else { member.wrong_epoch() };
        match committer.generation {
            epoch if epoch == member.epoch => Ok(Commits::All),
            epoch if epoch > member.epoch => Err(error),
            epoch => Ok(Commits::Assigned { member: member.clone(), epoch, error }),
        }
    }

    /// Whoever says that it is a member must be one, in that epoch.
    pub fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = member.and_then(|id| self.member(id)).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(member.wrong_epoch()) }
    }
}

/// Writing.
impl Consumer {
    pub fn replay(&mut self, record: &Record) {
        match record {
            Record::Epoch(_, Some(value)) => (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash),
            Record::TargetEpoch(_, value) => {
                (self.assignment_epoch, self.assignment_timestamp) =
                    value.as_ref().map_or((-1, 0), |value| (value.assignment_epoch, value.assignment_timestamp));
            }
            Record::Target(MemberKey { member, .. }, value) => match value {
                Some(TargetValue { topic_partitions }) => {
                    let partitions = assignment::from_target(topic_partitions);
                    self.targets.insert(member.clone(), Arc::new(partitions));
                }
                None => drop(self.targets.remove(member)),
            },
            Record::Topics(_, there) => self.has_topics_record = *there,
            Record::Member(MemberKey { member, .. }, value) => match value {
                Some(wants) => {
                    let before = self.member(member).cloned().unwrap_or_else(|| Arc::new(Member::new(member.clone())));
                    self.put(Member { wants: wants.clone(), ..Arc::unwrap_or_clone(before) });
                }
                None => self.take(member),
            },
            Record::Current(MemberKey { member, .. }, value) => self.replay_current(member, value.as_ref()),
            Record::Regex(key, value) => {
                self.count_regex(&key.regex, false);
                match value {
                    Some(value) => drop(self.regexes.insert(key.regex.clone(), Arc::new(value.clone()))),
                    None => drop(self.regexes.remove(&key.regex)),
                }
                self.count_regex(&key.regex, true);
            }
            Record::Epoch(_, None) | Record::Offset(..) | Record::Group(..) | Record::Share(..) => {}
        }
    }

    fn replay_current(&mut self, id: &Arc<str>, value: Option<&CurrentValue>) {
        let before = self.member(id).map(|member| Member::clone(member));
        let member = match (before, value) {
            (before, Some(value)) => Member {
                epoch: value.member_epoch,
                previous_epoch: value.previous_member_epoch,
                state: match value.state {
                    0 => MemberState::Stable,
                    1 => MemberState::UnrevokedPartitions,
                    2 => MemberState::UnreleasedPartitions,
                    _ => MemberState::Unknown,
                },
                assigned: Arc::new(assignment::from_current(&value.assigned_partitions, value.member_epoch)),
                revoking: Arc::new(assignment::from_current(&value.partitions_pending_revocation, value.member_epoch)),
                ..before.unwrap_or_else(|| Member::new(id.clone()))
            },
            (Some(before), None) => Member {
                epoch: LEAVE,
                previous_epoch: LEAVE,
                assigned: Arc::default(),
                revoking: Arc::default(),
                ..before
            },
            (None, None) => return,
        };
        self.put(member);
    }

    fn put(&mut self, member: Member) {
        if let Some(before) = self.members.get(&member.id).cloned() {
            self.count(&before, false);
        }
        self.count(&member, true);
        if let Some(instance) = &member.wants.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), Arc::new(member));
    }

    fn take(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.count(&member, false);
        if let Some(instance) = &member.wants.instance_id {
            self.static_members.remove(instance);
        }
    }

    /// What a member wants and owns is taken into account, or not any more.
    fn count(&mut self, member: &Member, more: bool) {
        for (topic, partition) in assignment::each(&member.assigned).chain(assignment::each(&member.revoking)) {
            let key = (topic, partition);
            if more {
                self.owners.insert(key, member.epoch);
            } else if self.owners.get(&key) == Some(&member.epoch) {
                self.owners.remove(&key);
            }
        }
        for topic in &member.wants.subscribed_topic_names {
            self.want(topic, |wanted| step(&mut wanted.by_name, more));
        }
        if let Some(regex) = member.regex() {
            count(&mut self.regex_members, regex, more);
        }
        if let Some(assignor) = &member.wants.server_assignor {
            count(&mut self.assignors, assignor, more);
        }
        if let Some(classic) = member.classic() {
            step(&mut self.classic_members, more);
            for protocol in &classic.supported_protocols {
                count(&mut self.classic_protocols, &protocol.name, more);
            }
        }
    }

    fn count_regex(&mut self, regex: &Arc<str>, more: bool) {
        let Some(resolved) = self.regexes.get(regex).cloned() else { return };
        for topic in &resolved.topics {
            self.want(topic, |wanted| step(&mut wanted.by_regex, more));
        }
    }

    fn want(&mut self, topic: &Arc<str>, change: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.topics.get(topic).copied().unwrap_or_default();
        change(&mut wanted);
        if wanted.by_name + wanted.by_regex == 0 {
            self.topics.remove(topic);
        } else {
            self.topics.insert(topic.clone(), wanted);
        }
    }
}
