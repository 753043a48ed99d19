//! How a classic group goes from one generation to the next: it waits for its members to join again, then for the leader to
//! say who reads what.
//!
//! | timer | set | what happens |
//! | --- | --- | --- |
//! | Join | the first rebalance | more members are waited for, as long as more come; then it is completed |
//! | Join | any other rebalance | whoever has not joined again is out, static members aside; it is completed |
//! | Sync | a generation has begun | whoever has not asked what is theirs is out; another rebalance |
//! | Session | at every sign of life | the member is out |

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::classic::{ClassicState, Member};
use super::record::Record;
use super::turn::Turn;
use super::{Group, Groups, Timer, join, sync};
use crate::coordinator::{Around, Decision};
use crate::error::ErrorCode;

/// The clock.
impl Groups {
    pub(super) fn join_expired(&self, around: &Around<'_>, id: &Arc<str>) -> Decision<Groups> {
        let Some(group) = self.classic(id) else { return Decision::default() };
        let mut turn = Turn::new(around, group);
        if turn.group.state == ClassicState::PreparingRebalance && turn.group.was_empty {
            turn.complete_initial_or_wait_on();
        } else {
            turn.complete_join();
        }
        turn.end()
    }

    pub(super) fn sync_expired(&self, around: &Around<'_>, id: &Arc<str>) -> Decision<Groups> {
        let Some(group) = self.classic(id) else { return Decision::default() };
        let mut turn = Turn::new(around, group);
        if matches!(turn.group.state, ClassicState::CompletingRebalance | ClassicState::Stable) {
            let late: Vec<Arc<str>> = turn.group.pending_sync.keys().cloned().collect();
            if !late.is_empty() {
                for member in &late {
                    turn.group.remove(member);
                    turn.expect_no_heartbeat(member);
                }
                turn.prepare_rebalance(&format!("Removing [{}] on pending sync request expiration", late.join(", ")));
            }
        }
        turn.end()
    }

    pub(super) fn session_expired(&self, around: &Around<'_>, id: &Arc<str>, member: &Arc<str>) -> Decision<Groups> {
        match self.state.groups.get(id) {
            Some(Group::Consumer(_)) => return self.fence(around, id, member, "the member session expired"),
            Some(Group::Share(_)) => return self.share_session_expired(around, id, member),
            Some(Group::Classic(_)) | None => {}
        }
        let Some(group) = self.classic(id) else { return Decision::default() };
        let mut turn = Turn::new(around, group);
        if turn.group.pending_join.contains_key(member) {
            turn.note(format!(
                "Pending member {member} in group {id} has been removed after session timeout expiration."
            ));
            turn.group.remove(member);
            if turn.group.state == ClassicState::PreparingRebalance && turn.group.has_all_joined() {
                turn.complete_join();
            }
        } else if turn.group.member(member).is_some_and(|member| !member.has_satisfied_heartbeat()) {
            turn.note(format!("Member {member} in group {id} has failed, removing it from the group."));
            turn.dismiss(member);
            match turn.group.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => {
                    turn.rebalance_or_complete_join(&format!("removing member {member} on heartbeat expiration."));
                }
                ClassicState::PreparingRebalance if turn.group.has_all_joined() => turn.complete_join(),
                ClassicState::PreparingRebalance | ClassicState::Empty => {}
            }
        }
        turn.end()
    }
}

impl Turn<'_> {
    pub fn rebalance_or_complete_join(&mut self, why: &str) {
        match self.group.state {
            ClassicState::PreparingRebalance => self.complete_join_if_all_joined(),
            ClassicState::Empty | ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.prepare_rebalance(why)
            }
        }
    }

    /// Empty, CompletingRebalance, Stable → PreparingRebalance.
    pub fn prepare_rebalance(&mut self, why: &str) {
        if self.group.state == ClassicState::CompletingRebalance {
            self.forget_assignment(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_sync = Default::default();
        self.cancel(Timer::Sync(self.group.id.clone()));
        let is_initial = self.group.state == ClassicState::Empty;
        if is_initial {
            let delay = self.around.settings.group.initial_rebalance_delay;
            self.group.initial.delay = delay;
            self.group.initial.remaining = self.group.rebalance_timeout().saturating_sub(delay);
            self.set(Timer::Join(self.group.id.clone()), delay);
        }
        self.group.transition(ClassicState::PreparingRebalance, self.now());
        self.note(format!(
            "Preparing to rebalance group {} in state {} with old generation {} (reason: {why}).",
            self.group.id,
            self.group.state.name(),
            self.group.generation
        ));
        if is_initial {
            return;
        }
        if self.group.has_all_joined() {
            self.complete_join();
        } else {
            self.set(Timer::Join(self.group.id.clone()), self.group.rebalance_timeout());
        }
    }

    /// While more come, the first rebalance waits for more; but never longer than a rebalance may take.
    fn complete_initial_or_wait_on(&mut self) {
        let initial = self.group.initial;
        if !initial.new_member || initial.remaining.is_zero() {
            return self.complete_join();
        }
        let delay = self.around.settings.group.initial_rebalance_delay.min(initial.remaining);
        self.group.initial.new_member = false;
        self.group.initial.remaining = initial.remaining.saturating_sub(initial.delay);
        self.group.initial.delay = delay;
        self.set(Timer::Join(self.group.id.clone()), delay);
    }

    pub fn complete_join_if_all_joined(&mut self) {
        // The first rebalance takes its time.
        let prepares = self.group.state == ClassicState::PreparingRebalance && !self.group.was_empty;
        if prepares && self.group.has_all_joined() {
            self.complete_join();
        }
    }

    /// PreparingRebalance → CompletingRebalance with those who have joined, or Empty where nobody has.
    pub fn complete_join(&mut self) {
        self.cancel(Timer::Join(self.group.id.clone()));
        let late = self.group.members.values().filter(|member| member.join.is_none() && member.instance_id.is_none());
        let late: Vec<Arc<str>> = late.map(|member| member.id.clone()).collect();
        for member in &late {
            self.group.remove(member);
            self.expect_no_heartbeat(member);
        }
        if !late.is_empty() {
            self.note(format!(
                "Group {} removed dynamic members who haven't joined: [{}]",
                self.group.id,
                late.join(", ")
            ));
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Static members that have not come back stay until their sessions end.
            return self.set(Timer::Join(self.group.id.clone()), self.group.rebalance_timeout());
        }
        self.group.begin_generation(self.now());
        let (id, generation) = (self.group.id.clone(), self.group.generation);
        if self.group.state == ClassicState::Empty {
            self.note(format!("Group {id} with generation {generation} is now empty."));
            let value = self.group.value(|_| bytes::Bytes::new());
            return self.decision.records.push(Record::Group(id, Some(value)));
        }
        let members: Vec<Arc<Member>> = self.group.members.values().cloned().collect();
        self.note(format!("Stabilized group {id} generation {generation} with {} members.", members.len()));
        for member in members {
            let leads = self.group.is_leader(&member.id);
            let mut body = self.joined(&member.id, false);
            if leads {
                body.members = self.group.wire_members();
            }
            self.group.change(&member.id, |member| member.is_new = false);
            if let Some(waiter) = self.take_join(&member.id) {
                self.reply(waiter.reply(body));
            }
            self.expect_heartbeat(&member);
            self.group.pending_sync.insert(member.id.clone(), ());
        }
        self.set(Timer::Sync(id), self.group.rebalance_timeout());
    }

    /// CompletingRebalance: whoever waits for an assignment is told why there is none.
    pub fn forget_assignment(&mut self, error: ErrorCode) {
        let members: Vec<Arc<Member>> = self.group.members.values().cloned().collect();
        for member in members {
            let mut waiter = None;
            self.group.change(&member.id, |member| {
                member.assignment = bytes::Bytes::new();
                waiter = member.sync.take();
            });
            if let Some(waiter) = waiter {
                self.reply(sync::refused(waiter, error));
                self.expect_heartbeat(&member);
            }
        }
    }

    /// The member is out. If it waits it is told to come again as a new one.
    pub fn dismiss(&mut self, id: &str) {
        if let Some(waiter) = self.take_join(id) {
            self.reply(join::refused(waiter, &StrBytes::default(), ErrorCode::UnknownMemberId));
        }
        self.group.remove(id);
    }
}
