//! ShareGroupHeartbeat: a member comes with epoch 0 and an id of its own choice, lives with the epoch that it was told, and
//! goes with −1. It says what it wants where that has changed, and is told what it has where that has changed.

use std::sync::Arc;

use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::consumer::LEAVE;
use super::super::consumer::assignment::Partitions;
use super::super::consumer::heartbeat::sorted;
use super::super::record::share::{MemberValue, ShareRecord};
use super::super::turn::Turn;
use super::super::{Group, Groups, Timer, wire_text};
use super::{Member, Share, not_a_share_group};
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision, Waiter};
use crate::error::ErrorCode;
use crate::time::Duration;
use crate::vec_set::VecSet;

/// A ShareGroupHeartbeat that makes sense by itself.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: ShareGroupHeartbeatRequest,
}

impl Groups {
    pub(in super::super) fn share_heartbeat(&self, around: &Around<'_>, asked: Heartbeat) -> Decision<Groups> {
        let Heartbeat { waiter, group, body } = asked;
        let done = match body.member_epoch {
            LEAVE => self.share_leave(around, &group, &body),
            _ => self.share_lives(around, &group, &waiter, &body),
        };
        match done {
            Ok((decision, answer)) => Decision { response: Some(waiter.reply(answer)), ..decision },
            Err(refusal) => Decision { response: Some(waiter.reply(refused(refusal))), ..Decision::default() },
        }
    }

    fn share_lives(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        waiter: &Waiter,
        body: &ShareGroupHeartbeatRequest,
    ) -> Result<(Decision<Groups>, ShareGroupHeartbeatResponse), Refusal> {
        let comes = body.member_epoch == 0;
        let group = match self.state.groups.get(id) {
            Some(Group::Share(group)) => Share::clone(group),
            Some(_) => return Err(not_a_share_group(id)),
            None if comes => Share::new(id.clone()),
            None => return Err((ErrorCode::GroupIdNotFound, format!("Share group {id} not found."))),
        };
        let mut turn = Turn::new(around, group);
        let settings = around.share(id);
        turn.check_room(&body.member_id, settings.max_size)?;
        let member_id: Arc<str> = body.member_id.as_str().into();
        let before = match turn.group.member(&member_id) {
            Err(_) if comes => Arc::new(Member::new(member_id.clone())),
            known => known?,
        };
        check_epoch(&before, body.member_epoch)?;
        if comes {
            turn.note(format!("[GroupId {id}] Member {member_id} joins the share group using the share protocol."));
        }

        // What the member wants.
        let wants = MemberValue {
            rack_id: body.rack_id.as_deref().map(Arc::from).or_else(|| before.wants.rack_id.clone()),
            client_id: waiter.asked.client_id.as_deref().unwrap_or_default().into(),
            client_host: waiter.asked.client_host(),
            subscribed_topic_names: match &body.subscribed_topic_names {
                Some(names) => sorted(names.iter().map(|name| Arc::from(name.as_str()))),
                None => before.wants.subscribed_topic_names.clone(),
            },
        };
        let mut bump = wants.subscribed_topic_names != before.wants.subscribed_topic_names;
        // What was initialised since the last time.
        bump |= turn.group.assignment_epoch >= turn.group.epoch && turn.group.has_unassigned(around.cluster);
        if wants != before.wants {
            turn.write(ShareRecord::Member(turn.key(&member_id), Some(wants)));
        }
        if bump || !self.is_checked(around, id, turn.group.epoch) {
            bump = turn.check_topics(bump);
        }
        // What all should have.
        turn.update_target();
        // What this one has.
        turn.take_target(&member_id, bump);
        turn.expect_share_heartbeat(&member_id, settings.pace.session_timeout);

        let after = turn.group.members.get(&member_id).cloned().unwrap_or_else(|| before.clone());
        let mut answer = ShareGroupHeartbeatResponse::default()
            .with_member_id(Some(wire_text(&member_id)))
            .with_member_epoch(after.epoch)
            .with_heartbeat_interval_ms(settings.pace.heartbeat_interval_ms);
        if comes || body.subscribed_topic_names.is_some() || after.assigned != before.assigned {
            answer.assignment = Some(wire_assignment(&after.assigned));
        }
        // What it wants and has no state yet.
        if let Some(call) = turn.initialize(self.initializing.get(id).copied()) {
            turn.call(call);
        }
        Ok((turn.decision, answer))
    }

    fn share_leave(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        body: &ShareGroupHeartbeatRequest,
    ) -> Result<(Decision<Groups>, ShareGroupHeartbeatResponse), Refusal> {
        let group = self.state.share_group(id)?;
        let member = group.member(&body.member_id)?;
        let mut turn = Turn::new(around, Share::clone(group));
        turn.note(format!("[GroupId {id}] Member {} left the share group.", member.id));
        turn.fence(&member.id);
        let answer = ShareGroupHeartbeatResponse::default()
            .with_member_id(Some(body.member_id.clone()))
            .with_member_epoch(body.member_epoch);
        Ok((turn.decision, answer))
    }

    /// A member was not heard of.
    pub(in super::super) fn share_session_expired(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        member: &Arc<str>,
    ) -> Decision<Groups> {
        let Some(mut turn) = self.share_turn(around, id) else { return Decision::default() };
        if turn.group.members.contains_key(member) {
            turn.note(format!(
                "[GroupId {id}] Member {member} fenced from the group because the member session expired."
            ));
            turn.fence(member);
        }
        turn.decision
    }
}

impl Turn<'_, Share> {
    fn check_room(&self, member: &str, max: usize) -> Result<(), Refusal> {
        if self.group.members.len() < max || self.group.members.contains_key(member) {
            return Ok(());
        }
        Err((
            ErrorCode::GroupMaxSizeReached,
            format!("The share group has reached its maximum capacity of {max} members."),
        ))
    }

    /// The member is out; the others have what it had when they are heard of.
    fn fence(&mut self, member: &Arc<str>) {
        self.write(ShareRecord::Current(self.key(member), None));
        self.write(ShareRecord::Target(self.key(member), None));
        self.write(ShareRecord::Member(self.key(member), None));
        self.bump();
        self.cancel(Timer::Session { group: self.group.id.clone(), member: member.clone() });
    }

    pub fn expect_share_heartbeat(&mut self, member: &Arc<str>, timeout: Duration) {
        self.set(Timer::Session { group: self.group.id.clone(), member: member.clone() }, timeout);
    }
}

/// A member that lives in another epoch must begin anew; but an answer that told it a new one may have been lost.
fn check_epoch(member: &Member, told: i32) -> Result<(), Refusal> {
    let (epoch, previous) = (member.epoch, member.previous_epoch);
    let known = format!("({told}) than the one known by the group coordinator ({epoch})");
    let why = match told {
        0 => return Ok(()),
        _ if told > epoch => format!("The share group member has a greater member epoch {known}."),
        _ if told == epoch || told == previous => return Ok(()),
        _ => format!(
            "The share group member has a smaller member epoch {known}, and it does not match the previous member epoch \
             ({previous})."
        ),
    };
    Err((ErrorCode::FencedMemberEpoch, format!("{why} The member must abandon all its partitions and rejoin.")))
}

pub fn refused((error, message): Refusal) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn wire_assignment(assigned: &Partitions) -> Assignment {
    let topic = |(id, partitions): (&Uuid, &VecSet<i32>)| {
        TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.iter().copied().collect())
    };
    Assignment::default().with_topic_partitions(assigned.iter().map(topic).collect())
}
