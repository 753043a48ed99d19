//! Is what was read still what the log holds (KIP-320)? When the leader or its epoch changes, a consumer asks where the
//! epoch of its last record ended, before it reads on: a new leader may have cut what it had read.
//!
//! ```text
//! Valid → Doubtful [the leader epoch changed] → Asked [OffsetForLeaderEpoch] → Valid, here or at the offset where the
//! logs part
//! ```

use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::positions::{Position, State};
use super::settings::Reset;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, Offset};
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Valid,
    Doubtful,
    Asked,
}

/// A position as it was when it was asked about: an answer about what it is no more says nothing.
#[derive(Clone, Debug)]
pub struct Asked {
    index: usize,
    offset: Option<Offset>,
    epoch: LeaderEpoch,
    leader: Option<(LinkId, LeaderEpoch)>,
}

impl Asked {
    fn about(index: usize, position: &Position) -> Asked {
        let offset = if let State::At(offset) = position.state { Some(offset) } else { None };
        Asked { index, offset, epoch: position.epoch, leader: position.leader }
    }

    /// The position, if it still waits for this answer.
    pub fn waiting<'a>(&self, positions: &'a mut [Position]) -> Option<&'a mut Position> {
        let position = positions.get_mut(self.index)?;
        let now = Asked::about(self.index, position);
        let same = (now.offset, now.epoch, now.leader) == (self.offset, self.epoch, self.leader);
        (same && position.validity == Validity::Asked).then_some(position)
    }
}

/// What an answer says of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// The log was cut below it: what to tell of it.
    Truncated(String),
    /// It must be asked again.
    Failed(ErrorCode),
}

/// The question to one leader about its doubtful positions, and which those are; `None` if there are none.
pub fn ask(
    positions: &mut [Position],
    now: Instant,
    link: LinkId,
) -> Option<(OffsetForLeaderEpochRequest, Vec<Asked>)> {
    let mut asked = Vec::new();
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for (index, position) in positions.iter_mut().enumerate() {
        let Some((_, epoch)) = position.leader.filter(|(leader, _)| *leader == link) else { continue };
        if !position.is_doubtful(now) {
            continue;
        }
        position.validity = Validity::Asked;
        asked.push(Asked::about(index, position));
        let partition = OffsetForLeaderPartition::default()
            .with_partition(position.partition)
            .with_current_leader_epoch(epoch)
            .with_leader_epoch(position.epoch);
        match topics.last_mut().filter(|topic| topic.topic == position.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let topic = OffsetForLeaderTopic::default().with_topic(position.topic.clone());
                topics.push(topic.with_partitions(vec![partition]));
            }
        }
    }
    let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics);
    (!asked.is_empty()).then_some((request, asked))
}

/// What the answer says of each position that was asked about. They stand where they may be read from.
pub fn told(
    positions: &mut [Position],
    asked: &[Asked],
    response: &OffsetForLeaderEpochResponse,
    reset: Reset,
) -> Vec<(usize, Verdict)> {
    let mut verdicts = Vec::new();
    for one in asked {
        let Some(position) = one.waiting(positions) else { continue };
        let topic = response.topics.iter().find(|topic| topic.topic == position.topic);
        let answer =
            topic.and_then(|topic| topic.partitions.iter().find(|answer| answer.partition == position.partition));
        let verdict = match answer.map(|answer| (ErrorCode::try_from_code(answer.error_code), answer)) {
            Some((None, answer)) => judge(position, answer, reset),
            Some((Some(error), _)) => Verdict::Failed(error),
            None => Verdict::Failed(ErrorCode::UnknownServerError),
        };
        position.validity = match verdict {
            Verdict::Failed(_) => Validity::Doubtful,
            _ => Validity::Valid,
        };
        verdicts.push((one.index, verdict));
    }
    verdicts
}

fn judge(position: &mut Position, answer: &EpochEndOffset, reset: Reset) -> Verdict {
    let State::At(offset) = position.state else { return Verdict::Valid };
    let name = position.name();
    let unknown = answer.end_offset < 0 || answer.leader_epoch < 0;
    if !unknown && answer.end_offset >= offset {
        return Verdict::Valid;
    }
    let what = format!("Truncation detected for partition {name} at offset {offset}");
    let (state, told) = match (reset, unknown) {
        (Reset::None, _) => {
            let halted = State::Halted(Exception::new("LogTruncationException", what.clone()));
            (halted, format!("{what}, and no reset policy is set"))
        }
        (_, true) => (State::Unknown, format!("{what}, resetting offset")),
        (_, false) => {
            position.epoch = answer.leader_epoch;
            let to = answer.end_offset;
            (State::At(to), format!("{what}, resetting offset to the first offset known to diverge {to}"))
        }
    };
    position.state = state;
    Verdict::Truncated(told)
}
