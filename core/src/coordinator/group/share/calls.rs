//! What a group asks of share coordinators, which keep the states of its partitions (KIP-932): [`Order::ShareState`] takes
//! a call to them, and [`Ask::ShareAnswered`] brings what they said.
//!
//! [`Order::ShareState`]: super::super::Order::ShareState
//! [`Ask::ShareAnswered`]: super::super::Ask::ShareAnswered

use std::sync::Arc;

use uuid::Uuid;

use super::super::delete::Delete;
use super::super::turn::Turn;
use super::super::{Group, Groups, Next, Order};
use super::offsets::{Altered, Deleted, Described};
use super::states::{Named, name_of};
use super::{Share, delete};
use crate::controller::Refusal;
use crate::coordinator::refuse::refuse;
use crate::coordinator::{Around, Decision, Reply};
use crate::error::ErrorCode;

/// The same of several partitions of one group.
#[derive(Clone, Debug)]
pub struct ShareCall {
    pub group: Arc<str>,
    pub parts: Vec<SharePart>,
    pub then: Then,
}

/// What one share coordinator is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePart {
    pub topic_id: Uuid,
    pub partition: i32,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// InitializeShareGroupState; with −1 the state begins where `share.auto.offset.reset` says.
    Initialize { state_epoch: i32, start_offset: i64 },
    /// DeleteShareGroupState.
    Delete,
    /// ReadShareGroupStateSummary.
    ReadSummary,
}

/// What a share coordinator says: of a summary, what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub start_offset: i64,
    pub leader_epoch: i32,
}

/// What becomes of the answers.
#[derive(Clone, Debug)]
pub enum Then {
    /// States of what members want.
    Initialized,
    Altered(Altered),
    OffsetsDeleted(Deleted),
    Described(Described),
    GroupDeleted(Delete),
}

/// A call, and what was said of each of its parts.
#[derive(Clone, Debug)]
pub struct Answered {
    pub call: ShareCall,
    /// In the order of the call's parts.
    pub answers: Vec<Result<Summary, Refusal>>,
}

impl ShareCall {
    /// The same of each of those partitions.
    pub fn of(group: &Arc<str>, partitions: &Named, what: What, then: Then) -> ShareCall {
        let parts = partitions.iter().flat_map(|(&topic_id, (_, partitions))| {
            partitions.iter().map(move |&partition| SharePart { topic_id, partition, what })
        });
        ShareCall { group: group.clone(), parts: parts.collect(), then }
    }

    /// Nobody coordinates the group here any more.
    pub fn refuse(self, error: ErrorCode) -> Option<Reply> {
        let mut reply = match self.then {
            Then::Initialized => return None,
            Then::Altered(altered) => altered.waiter.reply(altered.response),
            Then::OffsetsDeleted(deleted) => deleted.waiter.reply(deleted.response),
            Then::Described(described) => described.into_reply(),
            Then::GroupDeleted(delete) => delete::answer(delete, None),
        };
        refuse(&mut reply.body, error);
        Some(reply)
    }
}

impl Answered {
    /// The first thing that went wrong.
    fn error(&self) -> Option<ErrorCode> {
        self.answers.iter().find_map(|answer| answer.as_ref().err().map(|(error, _)| *error))
    }

    /// The partitions that it was about.
    fn partitions(&self, around: &Around<'_>) -> Named {
        let mut all = Named::new();
        for part in &self.call.parts {
            let topic = all
                .entry(part.topic_id)
                .or_insert_with(|| (name_of(part.topic_id, around.topic_names), Default::default()));
            topic.1.insert(part.partition);
        }
        all
    }
}

impl Groups {
    /// The records that stand before it are committed, so the call goes out; or they are not, and it does not.
    pub(in super::super) fn call(&self, call: ShareCall, result: Result<(), ErrorCode>) -> Decision<Groups> {
        match result {
            Ok(()) => Decision { orders: vec![Order::ShareState(call)], ..Decision::default() },
            Err(error) => Decision {
                replies: call.refuse(crate::coordinator::coordinator_error(error)).into_iter().collect(),
                ..Decision::default()
            },
        }
    }

    /// The share coordinators have answered.
    pub(in super::super) fn share_answered(&self, around: &Around<'_>, answered: Answered) -> Decision<Groups> {
        let error = answered.error();
        match answered.call.then.clone() {
            Then::Initialized => self.initialized(around, &answered, error),
            Then::Altered(altered) => {
                // What was altered is initialized; clients are told before that is written, as in Kafka.
                let replies = vec![altered.answer(&answered)];
                let decision = match error {
                    None => self.initialized(around, &answered, None),
                    Some(_) => Decision::default(),
                };
                Decision { replies, ..decision }
            }
            Then::OffsetsDeleted(deleted) => self.offsets_deleted(around, deleted, &answered),
            Then::Described(described) => {
                Decision { replies: vec![described.answer(&answered)], ..Decision::default() }
            }
            Then::GroupDeleted(delete) => self.states_deleted(delete, error),
        }
    }

    fn initialized(&self, around: &Around<'_>, answered: &Answered, error: Option<ErrorCode>) -> Decision<Groups> {
        let Some(mut turn) = self.share_turn(around, &answered.call.group) else { return Decision::default() };
        self.states_initialized(&mut turn, &answered.partitions(around), error.is_none());
        turn.decision
    }

    /// To decide about the share group of that id, if there is one.
    pub(super) fn share_turn<'a>(&self, around: &Around<'a>, id: &Arc<str>) -> Option<Turn<'a, Share>> {
        match self.state.groups.get(id) {
            Some(Group::Share(group)) => Some(Turn::new(around, Share::clone(group))),
            _ => None,
        }
    }
}

impl Turn<'_, Share> {
    /// When what is decided so far is committed.
    pub(super) fn call(&mut self, call: ShareCall) {
        self.next(Next::Call(call));
    }
}
