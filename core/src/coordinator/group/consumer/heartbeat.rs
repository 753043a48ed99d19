//! ConsumerGroupHeartbeat: a member comes with epoch 0, lives with the epoch that it was told, and says what it wants where
//! that has changed; it is told what it may have where that has changed.
//!
//! - v0: a member that comes may leave it to the coordinator to choose its id. v1: it chooses, and may subscribe by a regular
//!   expression.

use std::sync::Arc;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::super::record::{MemberValue, Record, TargetValue};
use super::super::turn::Turn;
use super::super::{Groups, wire_text};
use super::assignment::{self, Owned};
use super::regex::Regex;
use super::{Consumer, LEAVE, LEAVE_STATIC, Member};
use crate::arrange::Arrange;
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision, Waiter};
use crate::error::ErrorCode;
use crate::log::checkpoint::print_uuid;

/// A ConsumerGroupHeartbeat that makes sense by itself.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: ConsumerGroupHeartbeatRequest,
    /// For an id, if one must be given.
    pub dice: Uuid,
}

/// Which protocol a member speaks that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Classic,
    Consumer,
}

impl Speaks {
    fn name(self) -> &'static str {
        match self {
            Speaks::Classic => "classic",
            Speaks::Consumer => "consumer",
        }
    }
}

impl Groups {
    pub(in super::super) fn consumer_heartbeat(&self, around: &Around<'_>, asked: Heartbeat) -> Decision<Groups> {
        let Heartbeat { waiter, group, body, dice } = asked;
        let done = match body.member_epoch {
            LEAVE | LEAVE_STATIC => self.consumer_leave(around, &group, &body),
            _ => self.consumer_lives(around, &group, &waiter, body, dice),
        };
        match done {
            Ok((decision, answer)) => Decision { response: Some(waiter.reply(answer)), ..decision },
            Err(refusal) => Decision { response: Some(waiter.reply(refused(refusal))), ..Decision::default() },
        }
    }

    fn consumer_lives(
        &self,
        around: &Around<'_>,
        id: &Arc<str>,
        waiter: &Waiter,
        body: ConsumerGroupHeartbeatRequest,
        dice: Uuid,
    ) -> Result<(Decision<Groups>, ConsumerGroupHeartbeatResponse), Refusal> {
        let comes = body.member_epoch == 0;
        let mut turn = self.consumer_turn(around, id, comes)?;
        turn.check_room(&body.member_id)?;
        let member_id: Arc<str> =
            if body.member_id.is_empty() { print_uuid(dice).into() } else { body.member_id.as_str().into() };
        let before = match body.instance_id.as_deref() {
            None => turn.dynamic_member(&member_id, comes, Speaks::Consumer)?,
            Some(instance) => turn.static_member(&member_id, instance, comes, Speaks::Consumer)?,
        };
        check_epoch(&before, body.member_epoch, body.topic_partitions.as_deref())?;

        // What the member wants.
        let text = |text: &Option<StrBytes>| text.as_deref().map(Arc::from);
        let known = &before.wants;
        let wants = MemberValue {
            instance_id: text(&body.instance_id).or_else(|| known.instance_id.clone()),
            rack_id: text(&body.rack_id).or_else(|| known.rack_id.clone()),
            client_id: waiter.asked.client_id.as_deref().unwrap_or_default().into(),
            client_host: waiter.asked.client_host(),
            subscribed_topic_names: match &body.subscribed_topic_names {
                Some(names) => sorted(names.iter().map(|name| Arc::from(name.as_str()))),
                None => known.subscribed_topic_names.clone(),
            },
            subscribed_topic_regex: text(&body.subscribed_topic_regex).or_else(|| known.subscribed_topic_regex.clone()),
            rebalance_timeout_ms: match body.rebalance_timeout_ms {
                -1 => known.rebalance_timeout_ms,
                timeout => timeout,
            },
            server_assignor: text(&body.server_assignor).or_else(|| known.server_assignor.clone()),
            classic: None,
        };
        let subscribed = turn.subscribe(&before, wants, self.new_topics)?;
        let bump = subscribed.names || subscribed.to == Regex::Resolved;
        if bump || !self.is_fresh(around, &turn.group) {
            turn.check_topics(bump);
        }
        // What all should have.
        turn.update_target();
        // What this one may have.
        turn.reconcile(&member_id, subscribed.any(), body.topic_partitions.as_deref())?;
        let pace = around.pace(&turn.group.id);
        turn.expect_consumer_heartbeat(&member_id, pace.session_timeout);

        let mut answer = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(wire_text(&member_id)))
            .with_heartbeat_interval_ms(pace.heartbeat_interval_ms);
        if let Some(after) = turn.group.member(&member_id) {
            answer.member_epoch = after.epoch;
            let tells_all = body.rebalance_timeout_ms != -1
                && (body.subscribed_topic_names.is_some() || body.subscribed_topic_regex.is_some())
                && body.topic_partitions.is_some();
            if comes || tells_all || after.assigned != before.assigned {
                answer.assignment = Some(wire_assignment(&after.assigned));
            }
        }
        Ok((turn.decision, answer))
    }
}

impl Turn<'_, Consumer> {
    pub fn check_room(&self, member: &str) -> Result<(), Refusal> {
        let max = self.around.settings.group.consumer.max_size;
        if self.group.members.len() < max || self.group.member(member).is_some() {
            return Ok(());
        }
        Err((
            ErrorCode::GroupMaxSizeReached,
            format!("The consumer group has reached its maximum capacity of {max} members."),
        ))
    }

    /// The member as it is; a new one where `comes`.
    pub fn dynamic_member(&mut self, id: &Arc<str>, comes: bool, speaks: Speaks) -> Result<Arc<Member>, Refusal> {
        let member = match self.group.member(id) {
            Some(member) => member.clone(),
            None if comes => Arc::new(Member::new(id.clone())),
            None => return Err(self.group.no_member(id)),
        };
        if comes {
            let speaks = speaks.name();
            self.note(format!(
                "[GroupId {}] Member {id} joins the consumer group using the {speaks} protocol.",
                self.group.id
            ));
        }
        Ok(member)
    }

    /// The same of a static member. Who comes with the instance id of one that is there takes that one's place, if it may.
    pub fn static_member(
        &mut self,
        id: &Arc<str>,
        instance: &str,
        comes: bool,
        speaks: Speaks,
    ) -> Result<Arc<Member>, Refusal> {
        let known = self.group.static_member(instance).cloned();
        let group = self.group.id.clone();
        if !comes {
            return self.group.check_instance(known, id, instance);
        }
        let Some(old) = known else {
            self.note(format!(
                "[GroupId {group}] Static member {id} with instance id {instance} joins the consumer group using the {} \
                 protocol.",
                speaks.name()
            ));
            return self.group.member(id).map_or_else(|| Ok(Arc::new(Member::new(id.clone()))), |it| Ok(it.clone()));
        };
        // Of two that speak this protocol the one that was there must have gone.
        if speaks == Speaks::Consumer && old.classic().is_none() && old.epoch != LEAVE_STATIC {
            return Err((
                ErrorCode::UnreleasedInstanceId,
                format!(
                    "Static member {id} with instance id {instance} cannot join the group because the instance id is owned \
                     by {} member.",
                    old.id
                ),
            ));
        }
        let member = Member { id: id.clone(), epoch: 0, previous_epoch: 0, ..Member::clone(&old) };
        let target = self.group.target(&old.id);
        self.remove_member(&old.id);
        self.write(Record::Member(self.key(id), Some(member.wants.clone())));
        let target = TargetValue { topic_partitions: assignment::to_target(&target) };
        self.write(Record::Target(self.key(id), Some(target)));
        self.write(Record::Current(self.key(id), Some(member.current())));
        self.note(format!(
            "[GroupId {group}] Static member with instance id {instance} re-joins the consumer group using the {} protocol. \
             Created a new member {id} to replace the existing member {}.",
            speaks.name(),
            old.id
        ));
        Ok(Arc::new(member))
    }
}

impl Consumer {
    pub fn no_member(&self, id: &str) -> Refusal {
        (ErrorCode::UnknownMemberId, format!("Member {id} is not a member of group {}.", self.id))
    }

    /// Whoever names that instance is the member that `known` says it is.
    pub fn check_instance(&self, known: Option<Arc<Member>>, id: &str, instance: &str) -> Result<Arc<Member>, Refusal> {
        let Some(member) = known else {
            return Err((ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown.")));
        };
        if *member.id != *id {
            return Err((
                ErrorCode::FencedInstanceId,
                format!("Static member {id} with instance id {instance} was fenced by member {}.", member.id),
            ));
        }
        Ok(member)
    }
}

/// A member that lives in another epoch must begin anew; but an answer that told it a new one may have been lost.
fn check_epoch(member: &Member, told: i32, owned: Option<&[TopicPartitions]>) -> Result<(), Refusal> {
    let fenced = |than: &str| {
        let epoch = member.epoch;
        Err((
            ErrorCode::FencedMemberEpoch,
            format!(
                "The consumer group member has a {than} member epoch ({told}) than the one known by the group coordinator \
                 ({epoch}). The member must abandon all its partitions and rejoin."
            ),
        ))
    };
    let has = |topic: &TopicPartitions| {
        topic.partitions.iter().all(|&index| assignment::holds(&member.assigned, topic.topic_id, index))
    };
    match told {
        0 => Ok(()),
        _ if told > member.epoch => fenced("greater"),
        _ if told == member.epoch => Ok(()),
        _ if told == member.previous_epoch && owned.is_some_and(|owned| owned.iter().all(has)) => Ok(()),
        _ => fenced("smaller"),
    }
}

pub fn sorted(names: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = names.collect();
    names.arrange();
    names.dedup();
    names
}

pub fn refused((error, message): Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn wire_assignment(assigned: &Owned) -> kafka_protocol::messages::consumer_group_heartbeat_response::Assignment {
    use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
    let topic = |(id, partitions): (&Uuid, &crate::vec_map::VecMap<i32, i32>)| {
        TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.keys().copied().collect())
    };
    Assignment::default().with_topic_partitions(assigned.iter().map(topic).collect())
}
