//! One decision about a group, while it is made: on a copy of the group.
//!
//! - The copy of a classic group takes the group's place when the decision is carried out.
//! - What the log says of a consumer group is all there is of it: the copy goes along with the records.

use std::sync::Arc;

use super::classic::{Classic, Member};
use super::consumer::Consumer;
use super::record::Record;
use super::{Groups, Move, Next, Order, Timer};
use crate::coordinator::{Alarm, Around, Decision, Reply};
use crate::time::{Duration, Timestamp};
use crate::view::Level;

pub(super) struct Turn<'a, G = Classic> {
    pub around: Around<'a>,
    pub group: G,
    pub decision: Decision<Groups>,
}

impl<'a, G> Turn<'a, G> {
    pub fn new(around: &Around<'a>, group: G) -> Turn<'a, G> {
        Turn { around: *around, group, decision: Decision::default() }
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

    /// Unless it is set.
    pub fn set_first(&mut self, timer: Timer, after: Duration) {
        self.decision.timers.push((timer, Alarm::First(after)));
    }

    pub fn cancel(&mut self, timer: Timer) {
        self.decision.timers.push((timer, Alarm::Off));
    }

    pub fn note(&mut self, text: String) {
        self.decision.orders.push(Order::Note(Level::Info, text));
    }
}

impl Turn<'_> {
    pub fn end(mut self) -> Decision<Groups> {
        let id = self.group.id.clone();
        self.decision.moves.push(Move::Classic(id, Some(Arc::new(self.group))));
        self.decision
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

impl Turn<'_, Consumer> {
    pub fn write(&mut self, record: Record) {
        self.group.replay(&record);
        self.decision.records.push(record);
    }
}
