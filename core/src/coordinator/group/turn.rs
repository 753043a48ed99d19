//! One decision about a classic group, while it is made: on a copy of the group, which takes the group's place when the
//! decision is carried out.

use std::sync::Arc;

use super::classic::{Classic, Member};
use super::{Groups, Move, Next, Order, Timer};
use crate::coordinator::{Alarm, Around, Decision, Reply};
use crate::sim::view::Level;
use crate::time::{Duration, Timestamp};

pub(super) struct Turn<'a> {
    pub around: Around<'a>,
    pub group: Classic,
    pub decision: Decision<Groups>,
}

impl<'a> Turn<'a> {
    pub fn new(around: &Around<'a>, group: Classic) -> Turn<'a> {
        Turn { around: *around, group, decision: Decision::default() }
    }

    pub fn end(mut self) -> Decision<Groups> {
        let id = self.group.id.clone();
        self.decision.moves.push(Move::Classic(id, Some(Arc::new(self.group))));
        self.decision
    }

    pub fn now(&self) -> Timestamp {
        self.around.now.wall
    }

    /// At once.
    pub fn reply(&mut self, reply: Reply) {
        self.decision.replies.push(reply);
    }

    /// When what is decided so far is committed.
    pub fn respond(&mut self, reply: Reply) {
        self.decision.response = Some(reply);
    }

    pub fn next(&mut self, next: Next) {
        self.decision.next = Some(next);
    }

    pub fn set(&mut self, timer: Timer, after: Duration) {
        self.decision.timers.push((timer, Alarm::In(after)));
    }

    pub fn cancel(&mut self, timer: Timer) {
        self.decision.timers.push((timer, Alarm::Off));
    }

    pub fn note(&mut self, text: String) {
        self.decision.orders.push(Order::Note(Level::Info, text));
    }

    /// From now on the member is expected to be heard of in time.
    pub fn expect_heartbeat(&mut self, member: &Member) {
        let timer = Timer::Session { group: self.group.id.clone(), member: member.id.clone() };
        self.set(timer, member.session_timeout());
    }

    pub fn expect_no_heartbeat(&mut self, member: &str) {
        self.cancel(Timer::Session { group: self.group.id.clone(), member: member.into() });
    }
}
