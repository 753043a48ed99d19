//! commitSync() and commitAsync() of a program: of the offsets that it names, or of the positions.
//!
//! 1. A call returns once. commitSync() is tried again until it is done, or [`API_TIMEOUT`] has passed; commitAsync() is not.

use super::super::settings::GroupSettings;
use super::offsets::{API_TIMEOUT, COMMIT_FAILED, Offsets, Sent, Why};
use super::{Around, Membership, Shared, classic};
use crate::arrange::Arrange;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::client::{Effect, Report};
use crate::error::ErrorCode;
use crate::id::{Offset, TopicPartition};
use crate::time::Instant;

const REBALANCING: &str = "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition \
                           assignment. You can try completing the rebalance by calling poll() and then retry the operation.";

const MAY_SUCCEED_LATER: &str = "Offset commit failed with a retriable exception. You should retry committing the latest \
                                 consumed offsets.";

#[derive(Clone, Debug)]
pub struct Called {
    id: u64,
    /// `None`: the positions.
    offsets: Option<Vec<(TopicPartition, Offset)>>,
    sync: bool,
    until: Instant,
    /// It is on its way.
    asked: bool,
}

impl Offsets {
    pub fn call(&mut self, now: Instant, id: u64, mut offsets: Option<Vec<(TopicPartition, Offset)>>, sync: bool) {
        offsets.iter_mut().for_each(|offsets| offsets.arrange());
        self.called.push(Called { id, offsets, sync, until: now + API_TIMEOUT, asked: false });
    }

    /// (1)
    pub(super) fn expire(&mut self, around: &mut Around<'_>) {
        while let Some(late) = self.called.iter().find(|called| called.until <= around.now && !called.asked) {
            let message =
                format!("Timeout of {}ms expired before successfully committing offsets", API_TIMEOUT.as_millis());
            self.answer(around, late.id, Err(Exception::new("TimeoutException", message)));
        }
    }

    /// Sends those that are not on their way.
    pub(super) fn commit_called(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &Shared,
        membership: &Membership,
        link: LinkId,
    ) {
        if self.called.is_empty() || self.retry_at > around.now {
            return;
        }
        let waiting = self.called.iter().filter(|called| !called.asked);
        let waiting: Vec<_> = waiting.map(|called| (called.id, called.offsets.clone())).collect();
        for (id, offsets) in waiting {
            let Some(identity) = membership.committer() else {
                let why = match membership.generation() {
                    ..=classic::NONE => Exception::new("CommitFailedException", COMMIT_FAILED),
                    _ => Exception::new("RebalanceInProgressException", REBALANCING),
                };
                self.answer(around, id, Err(why));
                continue;
            };
            let why = Why::Called(id);
            let sent = match offsets {
                None => self.commit(around, settings, shared, identity, link, why),
                Some(offsets) => {
                    // In which epoch the record before each was written the program does not say.
                    let told = offsets.into_iter().map(|(partition, offset)| (partition, offset, -1)).collect();
                    self.request(around, settings, shared, identity, link, why, told)
                }
            };
            match sent {
                Sent::Yes => self.of(id).for_each(|called| called.asked = true),
                Sent::Nothing => self.answer(around, id, Ok(())),
                Sent::NotYet => {}
            }
        }
    }

    /// What was asked failed in passing.
    pub(super) fn call_lost(&mut self, around: &mut Around<'_>, id: u64) {
        let now = around.now;
        let again = self.of(id).any(|called| {
            called.asked = false;
            called.sync && called.until > now
        });
        if !again {
            self.answer(around, id, Err(Exception::new("RetriableCommitFailedException", MAY_SUCCEED_LATER)));
        }
    }

    /// (1)
    pub(super) fn answer(&mut self, around: &mut Around<'_>, id: u64, result: Result<(), Exception>) {
        let before = self.called.len();
        self.called.retain(|called| called.id != id);
        if self.called.len() < before {
            around.out.push(Effect::Report(Report::Returned { call: id, result }));
        }
    }

    pub(super) fn call_deadline(&self) -> Option<Instant> {
        self.called.iter().map(|called| called.until).min()
    }

    fn of(&mut self, id: u64) -> impl Iterator<Item = &mut Called> {
        self.called.iter_mut().filter(move |called| called.id == id)
    }
}

/// What a commit throws that the coordinator refuses.
pub(super) fn exception(error: ErrorCode) -> Exception {
    match error {
        ErrorCode::RebalanceInProgress => Exception::new("RebalanceInProgressException", REBALANCING),
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::StaleMemberEpoch => {
            Exception::new("CommitFailedException", COMMIT_FAILED)
        }
        error => Exception::of(error, None),
    }
}
