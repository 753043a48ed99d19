//! A classic group becomes a consumer group, and back, while its members go on reading.
//!
//! | when | from | to |
//! | --- | --- | --- |
//! | a member comes by the consumer protocol | a classic group of consumers, if `group.consumer.migration.policy` allows it | a consumer group whose members have what they had |
//! | the last one goes that spoke the consumer protocol | a consumer group, if the policy allows it | a classic group, which rebalances |
//! | anybody comes | a group without members | one of whatever protocol it speaks |

use std::sync::Arc;

use super::super::classic::{self, Classic, ClassicState, Protocol};
use super::super::record::{ClassicMetadata, ClassicProtocol, EpochValue, MemberValue, Record, RegexKey};
use super::super::record::{TargetEpochValue, TargetValue};
use super::super::turn::Turn;
use super::super::{Group, Groups, Move, Next, join, sync};
use super::assignment::{in_epoch, to_target};
use super::heartbeat::sorted;
use super::leave::not_a_consumer_group;
use super::protocol::{Assignment, Subscription};
use super::{Consumer, Member, MemberState, Partitions};
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision};
use crate::error::ErrorCode;

impl Groups {
    /// To decide about the consumer group of that id. Where `comes` somebody it is made, if there is none.
    pub(super) fn consumer_turn<'a>(
        &self,
        around: &Around<'a>,
        id: &Arc<str>,
        comes: bool,
    ) -> Result<Turn<'a, Consumer>, Refusal> {
        match self.state.groups.get(id) {
            Some(Group::Consumer(group)) => Ok(Turn::new(around, Consumer::clone(group))),
            Some(Group::Classic(value)) if comes => upgrade(around, self.classic_as_of(id, value)),
            Some(_) => Err(not_a_consumer_group(id)),
            None if comes => Ok(Turn::new(around, Consumer::new(id.clone()))),
            None => Err((ErrorCode::GroupIdNotFound, format!("Consumer group {id} not found."))),
        }
    }

    /// The group is a classic one from now on, or could not be written as one.
    pub(in super::super) fn downgraded(&self, id: &Arc<str>, result: Result<(), ErrorCode>) -> Decision<Groups> {
        match self.state.groups.get(id) {
            Some(Group::Consumer(_)) if result.is_err() => {
                Decision { moves: vec![Move::Classic(id.clone(), None)], ..Decision::default() }
            }
            _ => Decision::default(),
        }
    }
}

fn upgrade<'a>(around: &Around<'a>, classic: Classic) -> Result<Turn<'a, Consumer>, Refusal> {
    let id = classic.id.clone();
    let mut turn = Turn::new(around, Consumer::new(id.clone()));
    turn.write(Record::Group(id.clone(), None));
    if classic.state == ClassicState::Empty {
        turn.note(format!("[GroupId {id}] Converted the empty classic group to a consumer group."));
        return Ok(turn);
    }
    let settings = &around.settings.group.consumer;
    let refuse = |why: &str| {
        (ErrorCode::GroupIdNotFound, format!("Cannot upgrade classic group {id} to consumer group because {why}."))
    };
    if !settings.upgrade {
        return Err(refuse("online upgrade is disabled"));
    }
    if !classic.is_of_consumers() {
        return Err(refuse("the group does not use the consumer embedded protocol"));
    }
    if classic.members.len() > settings.max_size {
        return Err(refuse("the group size exceeds the consumer group maximum size"));
    }
    let protocol = classic.protocol.clone().or_else(|| classic.select_protocol());
    let mut members = Vec::with_capacity(classic.members.len());
    for member in classic.members.values() {
        let malformed = |_| refuse("the embedded consumer protocol is malformed");
        let mut target = Partitions::new();
        if !member.assignment.is_empty() {
            let assignment = Assignment::read(member.assignment.clone()).map_err(malformed)?;
            if assignment.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
                return Err(refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                     assignor before re-attempting the upgrade",
                ));
            }
            target = assignment.partitions(around.cluster);
        }
        let subscription = Subscription::read(member.metadata(protocol.as_deref())).map_err(malformed)?;
        members.push((upgraded(member, subscription, &target, classic.generation), target));
    }
    for (member, _) in &members {
        turn.write(Record::Member(turn.key(&member.id), Some(member.wants.clone())));
    }
    let metadata_hash = turn.group.computed_hash(around.cluster);
    turn.write(Record::Epoch(id.clone(), Some(EpochValue { epoch: classic.generation, metadata_hash })));
    for (member, target) in &members {
        let target = TargetValue { topic_partitions: to_target(target) };
        turn.write(Record::Target(turn.key(&member.id), Some(target)));
    }
    let assigned = TargetEpochValue { assignment_epoch: classic.generation, assignment_timestamp: 0 };
    turn.write(Record::TargetEpoch(id.clone(), Some(assigned)));
    for (member, _) in &members {
        turn.write(Record::Current(turn.key(&member.id), Some(member.current())));
    }
    // Whoever waits comes again, and is told then.
    for member in classic.members.values() {
        let waiters = (member.join.clone(), member.sync.clone());
        turn.decision.replies.extend(waiters.0.map(|to| join::refused(to, &member.id, ErrorCode::RebalanceInProgress)));
        turn.decision.replies.extend(waiters.1.map(|to| sync::refused(to, ErrorCode::RebalanceInProgress)));
        turn.expect_consumer_heartbeat(&member.id, member.session_timeout());
    }
    turn.note(format!("[GroupId {id}] Converted the classic group to a consumer group."));
    Ok(turn)
}

/// A member of the classic group as one of the consumer group: it has what it had.
fn upgraded(member: &classic::Member, subscription: Subscription, target: &Partitions, epoch: i32) -> Member {
    let protocol = |known: &Protocol| ClassicProtocol { name: known.name.clone(), metadata: known.metadata.clone() };
    Member {
        epoch,
        previous_epoch: epoch,
        state: MemberState::Stable,
        wants: MemberValue {
            instance_id: member.instance_id.clone(),
            rack_id: subscription.rack.filter(|rack| !rack.is_empty()),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: sorted(subscription.topics.into_iter()),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            classic: Some(ClassicMetadata {
                session_timeout_ms: member.session_timeout_ms,
                supported_protocols: member.protocols.iter().map(protocol).collect(),
            }),
            ..Member::new(member.id.clone()).wants
        },
        assigned: Arc::new(in_epoch(target, epoch)),
        ..Member::new(member.id.clone())
    }
}

impl Turn<'_, Consumer> {
    /// Whether only members that speak the classic protocol are left without those.
    pub fn may_become_classic(&self, without: &[Arc<Member>]) -> bool {
        let left = self.group.members.len() - without.len();
        let classic = without.iter().filter(|member| member.classic().is_some()).count();
        left > 0 && self.group.classic_members - classic == left && self.allows_downgrade(left)
    }

    /// Whether there are only such if one of them takes the place of that one.
    pub fn may_become_classic_without(&self, replaced: &Member) -> bool {
        let members = self.group.members.len();
        replaced.classic().is_none() && self.group.classic_members == members - 1 && self.allows_downgrade(members)
    }

    fn allows_downgrade(&self, members: usize) -> bool {
        let settings = &self.around.settings.group;
        settings.consumer.downgrade && members <= settings.max_size
    }

    /// The group is a classic one from now on, without `leaving`; it rebalances where there is a reason to.
    pub fn into_classic(mut self, leaving: &[Arc<Member>], rebalance: Option<String>) -> Decision<Groups> {
        let id = self.group.id.clone();
        let now = self.now();
        let mut classic = Classic::new(id.clone(), now);
        classic.state = ClassicState::Stable;
        classic.generation = self.group.epoch;
        let stays = |member: &&Arc<Member>| leaving.iter().all(|one| one.id != member.id);
        for member in self.group.members.values().filter(stays) {
            let spoken = member.classic().cloned().unwrap_or_default();
            let protocol = |one: ClassicProtocol| Protocol { name: one.name, metadata: one.metadata };
            classic.add(classic::Member {
                id: member.id.clone(),
                instance_id: member.wants.instance_id.clone(),
                client_id: member.wants.client_id.clone(),
                client_host: member.wants.client_host.clone(),
                rebalance_timeout_ms: member.wants.rebalance_timeout_ms,
                session_timeout_ms: spoken.session_timeout_ms,
                protocol_type: classic::CONSUMER.into(),
                protocols: spoken.supported_protocols.into_iter().map(protocol).collect(),
                assignment: bytes::Bytes::new(),
                join: None,
                sync: None,
                is_new: false,
            });
        }
        classic.protocol = classic.select_protocol();
        classic.subscribed_topics = classic.compute_subscribed_topics();
        let ids: Vec<Arc<str>> = classic.members.keys().cloned().collect();
        let protocol = classic.protocol.clone();
        for member in &ids {
            let (target, names) = (self.group.target(member), self.around.topic_names);
            classic.change(member, |member| {
                member.assignment = Assignment::write(&target, names, &member.metadata(protocol.as_deref()));
            });
        }
        self.decision.records.extend(self.group.tombstones());
        self.note(format!("[GroupId {id}] Converted the consumer group to a classic group."));
        let mut turn = Turn { around: self.around, group: classic, decision: self.decision };
        let value = turn.group.value(|member| member.assignment.clone());
        turn.decision.records.push(Record::Group(id.clone(), Some(value)));
        turn.next(Next::Downgraded(id));
        let members: Vec<Arc<classic::Member>> = turn.group.members.values().cloned().collect();
        for member in &members {
            turn.expect_heartbeat(member);
        }
        if let Some(why) = rebalance {
            turn.prepare_rebalance(&why);
        }
        turn.end()
    }
}

impl Consumer {
    /// What there is of the group in the log, ended.
    pub fn tombstones(&self) -> Vec<Record> {
        let key = |member: &Arc<str>| super::MemberKey { group: self.id.clone(), member: member.clone() };
        let regex = |regex: &Arc<str>| RegexKey { group: self.id.clone(), regex: regex.clone() };
        let members = || self.members.keys().map(key);
        let mut records: Vec<Record> = members().map(|key| Record::Current(key, None)).collect();
        records.extend(members().map(|key| Record::Target(key, None)));
        records.push(Record::TargetEpoch(self.id.clone(), None));
        records.extend(members().map(|key| Record::Member(key, None)));
        records.extend(self.regexes.keys().map(|one| Record::Regex(regex(one), None)));
        records.push(Record::Topics(self.id.clone(), false));
        records.push(Record::Epoch(self.id.clone(), None));
        records
    }
}
