//! A program in front of a consumer, natively: it calls poll() itself, and is in it for as long as it says.

use super::positions::{self, State};
use super::{Consumer, NEVER, Position};
use crate::client::exception::Exception;
use crate::client::{Call, Effect, Report};
use crate::error::ErrorCode;
use crate::id::{Offset, TopicPartition};
use crate::time::Instant;

const NO_GROUP: &str = "To use the group management or offset commit APIs, you must provide a valid group.id in the \
                        consumer configuration.";

impl Consumer {
    /// Nothing is given but to a [`Call::Poll`].
    pub fn for_program(self) -> Consumer {
        Consumer { by_program: true, rate_milli: None, next_poll: NEVER, ..self }
    }

    pub(super) fn called(&mut self, now: Instant, id: u64, call: Call, out: &mut Vec<Effect>) {
        let result = match (call, &mut self.group) {
            (Call::Poll, _) => return self.next_poll = now,
            (Call::Leave, _) => return self.next_poll = NEVER,
            (Call::Assign(partitions), _) => {
                self.pick(now, partitions);
                Ok(())
            }
            (Call::Subscribe(topics), Some(group)) => {
                topics.iter().for_each(|topic| self.metadata.want(now, topic));
                group.subscribe(now, topics, &mut self.metadata);
                Ok(())
            }
            (Call::Commit { offsets, sync }, Some(group)) => return group.commit(now, id, offsets, sync),
            (Call::Subscribe(_) | Call::Commit { .. }, None) => {
                Err(Exception::new("InvalidGroupIdException", NO_GROUP))
            }
            // Those of producers.
            (
                Call::Send { .. } | Call::InitTransactions | Call::Transaction(_) | Call::SendOffsets(_) | Call::Flush,
                _,
            ) => {
                return;
            }
        };
        out.push(Effect::Report(Report::Returned { call: id, result }));
    }

    /// assign()
    fn pick(&mut self, now: Instant, partitions: Vec<TopicPartition>) {
        self.metadata.keep(|topic| partitions.iter().any(|partition| partition.topic == *topic));
        partitions.iter().for_each(|partition| self.metadata.want(now, &partition.topic));
        let (kept, gone): (Vec<_>, Vec<_>) = self.assignment().into_iter().partition(|own| partitions.contains(own));
        positions::release(&mut self.positions, &mut self.fetched, &gone);
        let added: Vec<TopicPartition> = partitions.iter().filter(|one| !kept.contains(one)).cloned().collect();
        positions::take(&mut self.positions, &self.metadata, &added);
        match &mut self.group {
            Some(group) => group.pick(now, partitions, self.settings.group.as_ref()),
            // Nobody knows of a place where it has been.
            None => {
                let fresh = self.positions.iter_mut().filter(|position| position.state == State::Fresh);
                fresh.for_each(|position| position.state = State::Unknown);
            }
        }
        self.picked = true;
        // What the leaders of these are asked is to be found out.
        self.assigned = u64::MAX;
    }

    /// What it reads now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.own().map(Position::name).collect()
    }

    /// The offset that comes next, where that is known.
    pub fn position(&self, name: &TopicPartition) -> Option<Offset> {
        self.own().find(|position| position.name() == *name).and_then(|position| match position.state {
            State::At(offset) => Some(offset),
            _ => None,
        })
    }

    /// The group, the member's id and its generation; none where it is in no group.
    pub fn group_metadata(&self) -> Option<(String, String, i32)> {
        self.group.as_ref().map(|group| group.metadata())
    }

    /// What poll() throws, where it has nothing to give.
    pub fn failure(&self) -> Option<Exception> {
        if let Some(fatal) = self.group.as_ref().and_then(|group| group.fatal()) {
            return Some(fatal.clone());
        }
        let refused = self.metadata.topics().iter().find_map(|topic| match topic.error {
            Some(error @ ErrorCode::InvalidTopicException) => {
                Some(Exception { message: format!("Invalid topics: [{}]", topic.name.0), ..Exception::of(error, None) })
            }
            Some(error @ ErrorCode::TopicAuthorizationFailed) => {
                let message = format!("Not authorized to access topics: [{}]", topic.name.0);
                Some(Exception { message, ..Exception::of(error, None) })
            }
            _ => None,
        });
        let halted = || {
            self.own().filter(|position| !position.paused).find_map(|position| match &position.state {
                State::Halted(why) => Some(why.clone()),
                _ => None,
            })
        };
        refused.or_else(halted)
    }

    fn own(&self) -> impl Iterator<Item = &Position> {
        self.positions.iter().filter(|position| position.state != State::Free)
    }
}
