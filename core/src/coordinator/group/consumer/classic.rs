//! Members of a consumer group that speak the classic protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup, answered as
//! a classic group would, while the coordinator assigns.
//!
//! A generation is the member's epoch. Whoever has something to let go of, or to take, is told to join again: what it says
//! then that it has is what a heartbeat of the consumer protocol would say.

use std::sync::Arc;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::classic::{self as classic_group, CONSUMER};
use super::super::join::{self, Join};
use super::super::leave::{Heartbeat, Leave, answer};
use super::super::record::{ClassicMetadata, ClassicProtocol, MemberValue};
use super::super::sync::{self, Sync};
use super::super::turn::Turn;
use super::super::{Groups, Timer, refused, wire_text};
use super::heartbeat::{Speaks, sorted};
use super::protocol::{Assignment, Subscription};
use super::{Consumer, Member, MemberState};
use crate::controller::Refusal;
use crate::coordinator::{Around, Decision};
use crate::error::ErrorCode;
use crate::log::checkpoint::print_uuid;
use crate::time::Duration;

impl Groups {
    pub(in super::super) fn join_consumer(
        &self,
        around: &Around<'_>,
        group: &Consumer,
        join: Join,
    ) -> Decision<Groups> {
        let Join { waiter, body, dice, .. } = join;
        let unknown = body.member_id.is_empty();
        let id: Arc<str> = if unknown { print_uuid(dice).into() } else { body.member_id.as_str().into() };
        let mut turn = Turn::new(around, group.clone());
        let fits = turn.check_room(&id).and_then(|()| turn.check_protocols(&id, &body));
        if let Err((error, _)) = fits {
            return Decision { replies: vec![join::refused(waiter, "", error)], ..Decision::default() };
        }
        if unknown && body.group_instance_id.is_none() && waiter.asked.version >= 4 {
            turn.note(format!(
                "[GroupId {}] Dynamic member with unknown member id joins the consumer group. Created a new member id {id} \
                 and requesting the member to rejoin with this id.",
                group.id
            ));
            turn.reply(join::refused(waiter, &id, ErrorCode::MemberIdRequired));
            return turn.decision;
        }
        let client = (waiter.asked.client_id.as_deref().unwrap_or_default().into(), waiter.asked.client_host());
        match self.joins_consumer(turn, &id, &body, client, unknown) {
            Ok((decision, answer)) => Decision { response: Some(waiter.reply(answer)), ..decision },
            Err((error, _)) => Decision { replies: vec![join::refused(waiter, "", error)], ..Decision::default() },
        }
    }

    fn joins_consumer(
        &self,
        mut turn: Turn<'_, Consumer>,
        id: &Arc<str>,
        body: &JoinGroupRequest,
        (client_id, client_host): (Arc<str>, Arc<str>),
        unknown: bool,
    ) -> Result<(Decision<Groups>, JoinGroupResponse), Refusal> {
        let around = turn.around;
        let mut downgrade = false;
        let before = match body.group_instance_id.as_deref() {
            None => turn.dynamic_member(id, true, Speaks::Classic)?,
            Some(instance) => {
                let known = turn.group.static_member(instance).cloned();
                downgrade = known.is_some_and(|known| turn.may_become_classic_without(&known));
                turn.static_member(id, instance, unknown, Speaks::Classic)?
            }
        };
        let protocols = classic_group::protocols(&body.protocols);
        let first = protocols.first().map(|protocol| protocol.metadata.clone()).unwrap_or_default();
        let subscription = Subscription::read(first).map_err(|_| {
            let why = "Malformed embedded consumer protocol in subscription deserialization.";
            (ErrorCode::UnknownServerError, why.to_owned())
        })?;
        let known = &before.wants;
        let protocol =
            |one: &classic_group::Protocol| ClassicProtocol { name: one.name.clone(), metadata: one.metadata.clone() };
        let wants = MemberValue {
            instance_id: body.group_instance_id.as_deref().map(Arc::from).or_else(|| known.instance_id.clone()),
            rack_id: subscription.rack.clone().filter(|rack| !rack.is_empty()).or_else(|| known.rack_id.clone()),
            client_id,
            client_host,
            subscribed_topic_names: sorted(subscription.topics.iter().cloned()),
            // Only the consumer protocol has them.
            subscribed_topic_regex: Some("".into()),
            rebalance_timeout_ms: match body.rebalance_timeout_ms {
                -1 => known.rebalance_timeout_ms,
                timeout => timeout,
            },
            server_assignor: known.server_assignor.clone(),
            classic: Some(ClassicMetadata {
                session_timeout_ms: body.session_timeout_ms,
                supported_protocols: protocols.iter().map(protocol).collect(),
            }),
        };
        let bump = turn.subscribe(&before, wants, self.new_topics)?.any();
        if bump || !self.is_fresh(&around, &turn.group) {
            turn.check_topics(bump);
        }
        let owned = subscription.owned(around.cluster);
        let stale = turn.group.assignment_epoch < turn.group.epoch;
        if !downgrade {
            turn.update_target();
        }
        // Where the group becomes a classic one that rebalances there is nothing to be brought to.
        if !downgrade || !stale {
            turn.reconcile(id, bump, Some(&owned))?;
        }
        let epoch = turn.group.member(id).map_or(0, |member| member.epoch);
        let answer = JoinGroupResponse::default()
            .with_member_id(wire_text(id))
            .with_generation_id(epoch)
            .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
            .with_protocol_name(protocols.first().map(|protocol| wire_text(&protocol.name)));
        let group = turn.group.id.clone();
        turn.cancel(Timer::MemberJoin { group: group.clone(), member: id.clone() });
        if downgrade {
            let why = format!("Downgrade group {group} from consumer to classic with stale assignment.");
            return Ok((turn.into_classic(&[], stale.then_some(why)), answer));
        }
        turn.expect_consumer_heartbeat(id, millis(body.session_timeout_ms));
        turn.set(Timer::MemberSync { group, member: id.clone() }, millis(body.rebalance_timeout_ms));
        Ok((turn.decision, answer))
    }

    pub(in super::super) fn sync_consumer(
        &self,
        around: &Around<'_>,
        group: &Consumer,
        sync: Sync,
    ) -> Decision<Groups> {
        let Sync { waiter, body, .. } = sync;
        let mut turn = Turn::new(around, group.clone());
        match turn.syncs(&body) {
            Ok(answer) => Decision { response: Some(waiter.reply(answer)), ..turn.decision },
            Err((error, _)) => {
                turn.reply(sync::refused(waiter, error));
                turn.decision
            }
        }
    }

    pub(in super::super) fn heartbeat_consumer(
        &self,
        around: &Around<'_>,
        group: &Consumer,
        heartbeat: Heartbeat,
    ) -> Decision<Groups> {
        let Heartbeat { waiter, body, .. } = heartbeat;
        let reply = waiter.reply(HeartbeatResponse::default());
        let mut turn = Turn::new(around, group.clone());
        let lives =
            group.classic_member(&body.member_id, body.group_instance_id.as_deref()).and_then(|(member, spoken)| {
                group.check_generation(&member, body.generation_id).map(|()| (member, spoken))
            });
        let (member, spoken) = match lives {
            Ok(lives) => lives,
            Err((error, _)) => return refused(reply, error),
        };
        turn.expect_consumer_heartbeat(&member.id, millis(spoken.session_timeout_ms));
        let may_go_on = member.state == MemberState::UnreleasedPartitions && !group.waits_for_others(&member);
        if member.epoch < group.assignment_epoch || member.state == MemberState::UnrevokedPartitions || may_go_on {
            turn.expect_join(&member);
            return Decision { response: refused(reply, ErrorCode::RebalanceInProgress).response, ..turn.decision };
        }
        turn.respond(reply);
        turn.decision
    }

    pub(in super::super) fn leave_consumer(
        &self,
        around: &Around<'_>,
        group: &Consumer,
        leave: Leave,
    ) -> Decision<Groups> {
        let Leave { waiter, members, .. } = leave;
        let mut turn = Turn::new(around, group.clone());
        let mut answers: Vec<MemberResponse> = Vec::with_capacity(members.len());
        let mut leaving: Vec<Arc<Member>> = Vec::new();
        for identity in &members {
            let found = group.leaving_member(identity);
            answers.push(answer(identity, found.as_ref().map(|_| ()).map_err(|refusal| refusal.0)));
            let Ok(member) = found else { continue };
            let reason = identity.reason.as_deref().unwrap_or("not provided");
            let who = match &identity.group_instance_id {
                None => format!("Dynamic member {}", member.id),
                Some(instance) => format!("Static member {} with instance id {instance}", member.id),
            };
            turn.note(format!(
                "[GroupId {}] {who} has left group through explicit `LeaveGroup` request; client reason: {reason}",
                group.id
            ));
            if leaving.iter().all(|known| known.id != member.id) {
                leaving.push(member);
            }
        }
        let response = waiter.reply(LeaveGroupResponse::default().with_members(answers));
        Decision { response: Some(response), ..turn.fence(&leaving) }
    }
}

impl Turn<'_, Consumer> {
    fn check_protocols(&self, id: &str, body: &JoinGroupRequest) -> Result<(), Refusal> {
        if self.group.supports_classic(&body.protocol_type, body.protocols.iter().map(|protocol| &*protocol.name)) {
            return Ok(());
        }
        Err((ErrorCode::InconsistentGroupProtocol, format!("Member {id}'s protocols are not supported.")))
    }

    /// The member is to join again, and has so much time for it.
    fn expect_join(&mut self, member: &Member) {
        let timer = Timer::MemberJoin { group: self.group.id.clone(), member: member.id.clone() };
        self.set_first(timer, millis(member.wants.rebalance_timeout_ms));
    }

    fn syncs(&mut self, body: &SyncGroupRequest) -> Result<SyncGroupResponse, Refusal> {
        let group = &self.group;
        let (member, spoken) = group.classic_member(&body.member_id, body.group_instance_id.as_deref())?;
        group.check_generation(&member, body.generation_id)?;
        let first = spoken.supported_protocols.first().cloned().unwrap_or_default();
        let other_type = body.protocol_type.as_deref().is_some_and(|kind| kind != CONSUMER);
        if other_type || body.protocol_name.as_deref().is_some_and(|name| *name != *first.name) {
            return Err((
                ErrorCode::InconsistentGroupProtocol,
                format!("The protocol from member {} request is not equal to that of the group.", member.id),
            ));
        }
        // Who has something to let go of has joined already.
        if group.assignment_epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            let why = format!(
                "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
                group.id, member.id
            );
            self.expect_join(&member);
            return Err((ErrorCode::RebalanceInProgress, why));
        }
        let assigned = super::assignment::without_epochs(&member.assigned);
        let assignment = Assignment::write(&assigned, self.around.topic_names, &first.metadata);
        self.cancel(Timer::MemberSync { group: self.group.id.clone(), member: member.id.clone() });
        self.expect_consumer_heartbeat(&member.id, millis(spoken.session_timeout_ms));
        Ok(SyncGroupResponse::default()
            .with_protocol_type(body.protocol_type.clone())
            .with_protocol_name(body.protocol_name.clone())
            .with_assignment(assignment))
    }
}

impl Consumer {
    /// The member, if it speaks the classic protocol.
    fn classic_member(&self, id: &str, instance: Option<&str>) -> Result<(Arc<Member>, ClassicMetadata), Refusal> {
        let member = match instance {
            None => self.member(id).cloned().ok_or_else(|| self.no_member(id))?,
            Some(instance) => self.check_instance(self.static_member(instance).cloned(), id, instance)?,
        };
        match member.classic().cloned() {
            Some(spoken) => Ok((member, spoken)),
            None => {
                let why = format!("Member {} does not use the classic protocol.", member.id);
                Err((ErrorCode::UnknownMemberId, why))
            }
        }
    }

    fn check_generation(&self, member: &Member, asked: i32) -> Result<(), Refusal> {
        if member.epoch == asked {
            return Ok(());
        }
        Err((
            ErrorCode::IllegalGeneration,
            format!(
                "The request generation id {asked} is not equal to the member epoch {} of member {}.",
                member.epoch, member.id
            ),
        ))
    }

    /// Whatever protocol it speaks.
    fn leaving_member(&self, identity: &MemberIdentity) -> Result<Arc<Member>, Refusal> {
        let id = &*identity.member_id;
        let Some(instance) = identity.group_instance_id.as_deref() else {
            return self.member(id).cloned().ok_or_else(|| self.no_member(id));
        };
        let known = self.static_member(instance).cloned();
        match (known, id.is_empty()) {
            // An administrator names static members without knowing their ids.
            (Some(member), true) => Ok(member),
            (known, _) => self.check_instance(known, id, instance),
        }
    }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(millis.max(0) as u64)
}
