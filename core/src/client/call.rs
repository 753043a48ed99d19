//! What a program asks of the client that it runs natively. A scenario has words of its own: [`super::Command`].
//!
//! A call has a number of the program's choice, and ends in a [`super::Report::Returned`] with it; but for poll(), which ends
//! with the records that it gives, what cannot fail, and send(): it ends as its record does, whose number the call's is. Those
//! count from 0.

use std::fmt;

use kafka_protocol::messages::TopicName;

use super::line::List;
use super::{Offsets, SendRecord, Turn};
use crate::id::{Offset, TopicPartition};
use crate::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// send() of a producer that many threads share: one that blocks keeps none of the others waiting.
    Send {
        record: SendRecord,
        /// Since when it blocks, for memory that the node does not know of.
        blocked: Option<Instant>,
    },
    InitTransactions,
    Transaction(Turn),
    SendOffsets(Offsets),
    /// What has been sent so far does not linger.
    Flush,
    /// The application is in poll() until it gets records.
    Poll,
    /// It is in poll() no more, and got nothing.
    Leave,
    /// subscribe(), of a member of a group.
    Subscribe(Vec<TopicName>),
    /// assign()
    Assign(Vec<TopicPartition>),
    /// commitSync(), which is tried again for a while, or commitAsync(): of these offsets, or of the positions.
    Commit {
        offsets: Option<Vec<(TopicPartition, Offset)>>,
        sync: bool,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Send { record, .. } => write!(f, "send {}", record.topic),
            Call::InitTransactions => f.write_str("initTransactions"),
            Call::Transaction(turn) => f.write_str(turn.word()),
            Call::SendOffsets(offsets) => write!(f, "offsets of {}", offsets.group),
            Call::Flush => f.write_str("flush"),
            Call::Poll => f.write_str("poll"),
            Call::Leave => f.write_str("leave poll"),
            Call::Subscribe(topics) => {
                f.write_str("subscribe")?;
                topics.iter().try_for_each(|topic| write!(f, " {}", topic.0))
            }
            Call::Assign(partitions) => write!(f, "assign {}", List(partitions)),
            Call::Commit { sync: true, .. } => f.write_str("commitSync"),
            Call::Commit { sync: false, .. } => f.write_str("commitAsync"),
        }
    }
}
