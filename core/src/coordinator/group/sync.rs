//! SyncGroup: the leader says who reads what, and every member is told what is theirs when that is written.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::classic::{ClassicState, Member};
use super::record::Record;
use super::turn::Turn;
use super::{Group, Groups, Next, Timer, wire_text};
use crate::coordinator::{Around, Decision, Reply, Waiter};
use crate::error::ErrorCode;
use crate::vec_map::VecMap;

#[derive(Clone, Debug)]
pub struct Sync {
    pub waiter: Waiter,
    pub group: Arc<str>,
    pub body: SyncGroupRequest,
}

/// What a leader has assigned; its record is on its way.
#[derive(Clone, Debug)]
pub struct Assigned {
    group: Arc<str>,
    generation: i32,
    leader: Arc<str>,
    assignments: Arc<VecMap<Arc<str>, Bytes>>,
}

impl Groups {
    pub(super) fn sync(&self, around: &Around<'_>, sync: Sync) -> Decision<Groups> {
        if let Some(Group::Consumer(group)) = self.state.groups.get(&sync.group) {
            return self.sync_consumer(around, group, sync);
        }
        let refuse = |waiter, error| Decision { replies: vec![refused(waiter, error)], ..Decision::default() };
        let Some(group) = self.classic(&sync.group).filter(|group| group.state != ClassicState::Empty) else {
            return refuse(sync.waiter, ErrorCode::UnknownMemberId);
        };
        let Sync { waiter, body, .. } = sync;
        let wrong = |asked: &Option<StrBytes>, known: &Option<Arc<str>>| match (asked, known) {
            (Some(asked), Some(known)) => **asked != **known,
            _ => false,
        };
        if let Err(error) = group.validate_member(&body.member_id, body.group_instance_id.as_deref()) {
            return refuse(waiter, error);
        }
        if body.generation_id != group.generation {
            return refuse(waiter, ErrorCode::IllegalGeneration);
        }
        if wrong(&body.protocol_type, &group.protocol_type) || wrong(&body.protocol_name, &group.protocol) {
            return refuse(waiter, ErrorCode::InconsistentGroupProtocol);
        }
        let mut turn = Turn::new(around, group);
        match turn.group.state {
            ClassicState::Empty | ClassicState::PreparingRebalance => {
                turn.reply(refused(waiter, ErrorCode::RebalanceInProgress));
            }
            ClassicState::CompletingRebalance => turn.wait_for_assignment(waiter, &body),
            ClassicState::Stable => {
                turn.synced(&body.member_id);
                let assignment = turn.group.member(&body.member_id).map(|member| member.assignment.clone());
                let body = turn.assigned(assignment.unwrap_or_default());
                turn.reply(waiter.reply(body));
            }
        }
        turn.end()
    }

    /// The leader's assignment is written, or could not be.
    pub(super) fn assigned(
        &self,
        around: &Around<'_>,
        next: Assigned,
        result: Result<(), ErrorCode>,
    ) -> Decision<Groups> {
        let Assigned { group, generation, leader, assignments } = next;
        let Some(group) = self.classic(&group) else { return Decision::default() };
        // Another may have joined meanwhile, and all of it is void.
        if group.state != ClassicState::CompletingRebalance || group.generation != generation {
            return Decision::default();
        }
        let mut turn = Turn::new(around, group);
        match result {
            Ok(()) => turn.stabilize(&assignments),
            Err(error) => {
                turn.forget_assignment(error);
                turn.rebalance_or_complete_join(&format!(
                    "Error {} when storing group assignment during SyncGroup (member: {leader}).",
                    crate::error::name(error.code())
                ));
            }
        }
        turn.end()
    }
}

impl Turn<'_> {
    fn wait_for_assignment(&mut self, waiter: Waiter, body: &SyncGroupRequest) {
        let id: Arc<str> = body.member_id.as_str().into();
        self.group.change(&id, |member| member.sync = Some(waiter));
        self.synced(&id);
        if !self.group.is_leader(&id) {
            return;
        }
        let given = body.assignments.iter();
        let given: VecMap<Arc<str>, Bytes> =
            given.map(|one| (one.member_id.as_str().into(), Bytes::copy_from_slice(&one.assignment))).collect();
        let value = self.group.value(|member| given.get(&member.id).cloned().unwrap_or_default());
        self.note(format!(
            "Assignment received from leader {id} for group {} for generation {}. The group has {} members, {} of which \
             are static.",
            self.group.id,
            self.group.generation,
            self.group.members.len(),
            self.group.static_members.len()
        ));
        self.decision.records.push(Record::Group(self.group.id.clone(), Some(value)));
        let assigned = Assigned {
            group: self.group.id.clone(),
            generation: self.group.generation,
            leader: id,
            assignments: Arc::new(given),
        };
        self.next(Next::Assigned(assigned));
    }

    /// CompletingRebalance → Stable.
    fn stabilize(&mut self, assignments: &VecMap<Arc<str>, Bytes>) {
        let members: Vec<Arc<Member>> = self.group.members.values().cloned().collect();
        for member in members {
            let assignment = assignments.get(&member.id).cloned().unwrap_or_default();
            let mut waiter = None;
            self.group.change(&member.id, |member| {
                member.assignment = assignment.clone();
                waiter = member.sync.take();
            });
            if let Some(waiter) = waiter {
                let body = self.assigned(assignment);
                self.reply(waiter.reply(body));
                // Its session may have ended while it waited, which did not count.
                self.expect_heartbeat(&member);
            }
        }
        self.group.transition(ClassicState::Stable, self.now());
    }

    /// The member has asked what is its own.
    fn synced(&mut self, id: &str) {
        self.group.pending_sync.remove(id);
        if self.group.pending_sync.is_empty() {
            self.cancel(Timer::Sync(self.group.id.clone()));
        }
    }

    fn assigned(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.group.protocol_type.as_ref().map(wire_text))
            .with_protocol_name(self.group.protocol.as_ref().map(wire_text))
            .with_assignment(assignment)
    }
}

/// The answer that says why not.
pub fn refused(waiter: Waiter, error: ErrorCode) -> Reply {
    waiter.reply(SyncGroupResponse::default().with_error_code(error.code()))
}
