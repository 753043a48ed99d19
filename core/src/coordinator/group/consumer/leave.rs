//! Members go: they say so, are not heard of, or do not do in time what they must.

use std::sync::Arc;

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::super::record::Record;
use super::super::turn::Turn;
use super::super::{Group, Groups, Timer};
use super::{Consumer, LEAVE_STATIC, Member, MemberState};
use crate::arrange::Arrange;
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision};
use crate::error::ErrorCode;

impl Groups {
    pub(super) fn consumer_leave(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        body: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(Decision<Groups>, ConsumerGroupHeartbeatResponse), Refusal> {
        let group = match self.state.groups.get(id) {
            Some(Group::Consumer(group)) => group,
            Some(_) => return Err(not_a_consumer_group(id)),
            None => return Err((ErrorCode::GroupIdNotFound, format!("Group {id} not found."))),
        };
        let answer = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(body.member_id.clone()))
            .with_member_epoch(body.member_epoch);
        let member = match body.instance_id.as_deref() {
            None => group.member(&body.member_id).cloned().ok_or_else(|| group.no_member(&body.member_id))?,
            Some(instance) => {
                let known = group.static_member(instance).cloned();
                group.check_instance(known, &body.member_id, instance)?
            }
        };
        let mut turn = Turn::new(around, Consumer::clone(group));
        let (who, how) = match body.instance_id.as_deref() {
            None => (format!("Member {}", member.id), "left"),
            Some(instance) if body.member_epoch == LEAVE_STATIC => {
                (format!("Static member {} with instance id {instance}", member.id), "temporarily left")
            }
            Some(instance) => (format!("Static member {} with instance id {instance}", member.id), "left"),
        };
        turn.note(format!("[GroupId {id}] {who} {how} the consumer group."));
        let decision = match body.instance_id {
            Some(_) if body.member_epoch == LEAVE_STATIC => {
                turn.leave_for_a_while(&member);
                turn.decision
            }
            _ => turn.fence(&[member]),
        };
        Ok((decision, answer))
    }

    /// A timer of a member has run out.
    pub(in super::super) fn fence(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        member: &Arc<str>,
        reason: &str,
    ) -> Decision<Groups> {
        let Some(Group::Consumer(group)) = self.state.groups.get(id) else { return Decision::default() };
        let Some(member) = group.member(member).cloned() else { return Decision::default() };
        let mut turn = Turn::new(around, Consumer::clone(group));
        turn.note(format!("[GroupId {id}] Member {} fenced from the group because {reason}.", member.id));
        turn.fence(&[member])
    }

    /// A member should have let go of something by now.
    pub(in super::super) fn revocation_expired(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        member: &Arc<str>,
    ) -> Decision<Groups> {
        let Some(Group::Consumer(group)) = self.state.groups.get(id) else { return Decision::default() };
        match group.member(member) {
            Some(late) if late.state == MemberState::UnrevokedPartitions && late.epoch != LEAVE_STATIC => {
                let (epoch, timeout) = (late.epoch, late.wants.rebalance_timeout_ms);
                let reason = format!("it failed to transition from epoch {epoch} within {timeout}ms");
                self.fence(around, id, member, &reason)
            }
            _ => Decision::default(),
        }
    }
}

impl Turn<'_, Consumer> {
    /// The members are out. Where only such are left as speak the classic protocol the group is one of that again.
    pub fn fence(mut self, members: &[Arc<Member>]) -> Decision<Groups> {
        if members.is_empty() {
            return self.decision;
        }
        if self.may_become_classic(members) {
            let why = format!("Downgrade group {} from consumer to classic for member leaving.", self.group.id);
            return self.into_classic(members, Some(why));
        }
        for member in members {
            self.remove_member(&member.id);
            for timer in timers(&self.group.id, &member.id) {
                self.cancel(timer);
            }
        }
        let mut regexes: Vec<&Arc<str>> = members.iter().filter_map(|member| member.regex()).collect();
        regexes.arrange();
        regexes.dedup();
        for regex in regexes {
            self.forget_unused(regex);
        }
        self.bump();
        self.decision
    }

    pub fn remove_member(&mut self, member: &Arc<str>) {
        self.write(Record::Current(self.key(member), None));
        self.write(Record::Target(self.key(member), None));
        self.write(Record::Member(self.key(member), None));
    }

    /// What it has stays its own, or that of who comes with its instance id.
    fn leave_for_a_while(&mut self, member: &Member) {
        let mut assigned = super::Owned::clone(&member.assigned);
        assigned.values_mut().flat_map(|partitions| partitions.values_mut()).for_each(|since| *since = 0);
        let left =
            Member { epoch: LEAVE_STATIC, assigned: Arc::new(assigned), revoking: Arc::default(), ..member.clone() };
        self.write(Record::Current(self.key(&member.id), Some(left.current())));
    }
}

fn timers(group: &Arc<str>, member: &Arc<str>) -> [Timer; 4] {
    let (group, member) = (group.clone(), member.clone());
    [
        Timer::Session { group: group.clone(), member: member.clone() },
        Timer::Revocation { group: group.clone(), member: member.clone() },
        Timer::MemberJoin { group: group.clone(), member: member.clone() },
        Timer::MemberSync { group, member },
    ]
}

pub fn not_a_consumer_group(id: &str) -> Refusal {
    (ErrorCode::GroupIdNotFound, format!("Group {id} is not a consumer group."))
}
