//! What groups here ask of share coordinators ([`crate::coordinator::group::share::calls`]): one question for each partition,
//! and the group hears of it when all of them are answered.
//!
//! ```text
//! Order::ShareState ─▶ call_share_state ─▶ ask_share_state, for each part ─▶ share_part_answered ─▶ Ask::ShareAnswered
//! ```

use crate::controller::Refusal;
use crate::coordinator::Event;
use crate::coordinator::group::share::calls::{Answered, ShareCall, Summary, What};
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::share::answer::{Answer, Refused};
use crate::coordinator::share::{self, Key};
use crate::error;
use crate::vec_map::VecMap;

use super::share::persister::ShareCaller;
use super::{Broker, Effect};

#[derive(Clone, Default)]
pub(super) struct ShareCalls {
    open: VecMap<u64, Open>,
    next: u64,
}

/// A call that waits for answers.
#[derive(Clone)]
struct Open {
    /// Of `__consumer_offsets`, where the group is kept.
    partition: i32,
    call: ShareCall,
    answers: Vec<Option<Result<Summary, Refusal>>>,
}

impl Broker {
    /// Asks for the group that is kept in that partition of `__consumer_offsets`.
    pub(super) fn call_share_state(&mut self, partition: i32, call: ShareCall, out: &mut Vec<Effect>) {
        let number = self.share_calls.next;
        self.share_calls.next += 1;
        let (group, parts) = (call.group.clone(), call.parts.clone());
        self.share_calls.open.insert(number, Open { partition, answers: vec![None; parts.len()], call });
        for (index, part) in parts.iter().enumerate() {
            let key = Key { group: group.clone(), topic_id: part.topic_id, partition: part.partition };
            let what = match part.what {
                What::Initialize { state_epoch, start_offset } => share::What::Initialize { state_epoch, start_offset },
                What::Delete => share::What::Delete,
                // A group coordinator knows of no leader.
                What::ReadSummary => share::What::Summary { leader_epoch: -1 },
            };
            self.note_share_call(key, what, ShareCaller::Group(number, index), out);
        }
        self.send_share_calls(self.now, out);
        // There may have been nothing to ask.
        self.share_call_answered(number, out);
    }

    /// What was said of one part of a call.
    pub(super) fn share_part_answered(
        &mut self,
        (number, index): (u64, usize),
        said: Result<Answer, Refused>,
        out: &mut Vec<Effect>,
    ) {
        let answer = match said {
            Ok(Answer::Summary { start_offset, leader_epoch, .. }) => Ok(Summary { start_offset, leader_epoch }),
            Ok(_) => Ok(Summary { start_offset: -1, leader_epoch: 0 }),
            Err(Refused { error, message }) => {
                Err((error, message.unwrap_or_else(|| error::message(error).into_owned())))
            }
        };
        let Some(open) = self.share_calls.open.get_mut(&number) else { return };
        if let Some(place) = open.answers.get_mut(index) {
            *place = Some(answer);
        }
        self.share_call_answered(number, out);
    }

    /// The group hears of the call if all of it is answered.
    fn share_call_answered(&mut self, number: u64, out: &mut Vec<Effect>) {
        let Some(open) = self.share_calls.open.get(&number) else { return };
        if open.answers.iter().any(Option::is_none) {
            return;
        }
        let Some(Open { partition, call, answers }) = self.share_calls.open.remove(&number) else { return };
        let answers = answers.into_iter().flatten().collect();
        match self.groups.shard(partition).map(|_| ()) {
            Ok(()) => {
                let ask = Ask::ShareAnswered(Answered { call, answers });
                self.coordinate::<Groups>(partition, Event::Asked(ask), out);
            }
            Err(error) => self.reply_all(call.refuse(error), out),
        }
    }
}
