//! The group coordinator: what groups have committed.
//!
//! `record.rs` what stands in `__consumer_offsets` | `offsets.rs` committed offsets, and those of open transactions |
//! `commit.rs` OffsetCommit | `fetch.rs` OffsetFetch

pub mod commit;
pub mod fetch;
pub mod offsets;
pub mod record;

use std::sync::Arc;

use bytes::Bytes;

use super::refuse::refuse;
use super::{Around, At, Decision, Event, Machine, Producer, Reply};
use crate::config::BrokerSettings;
use crate::error::ErrorCode;
use crate::record::Compression;
use crate::shared_map::SharedMap;
use crate::time::Duration;

use commit::Commit;
use fetch::Fetch;
use offsets::Offsets;
use record::{GroupValue, Record};

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    state: State,
}

/// What the log says.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub groups: SharedMap<Arc<str>, Group>,
    pub offsets: Offsets,
}

#[derive(Clone, Debug)]
pub enum Group {
    Classic(Arc<GroupValue>),
}

/// What the coordinator of a group can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Commit(Commit),
    /// Offsets that must be stable: those of open transactions are refused, and those of writes under way waited for.
    Fetch(Fetch),
}

impl Machine for Groups {
    type State = State;
    type Record = Record;
    type Ask = Ask;
    type Next = ();
    type Timer = ();
    type Move = ();
    type Order = ();

    fn state(&self) -> &State {
        &self.state
    }

    /// The table of contents.
    fn decide(&self, around: &Around<'_>, event: Event<Groups>) -> Decision<Groups> {
        match event {
            Event::Asked(Ask::Commit(commit)) => self.commit(around, commit),
            Event::Asked(Ask::Fetch(fetch)) => self.fetch_stable(fetch),
            Event::Loaded | Event::Timer(()) | Event::Written { .. } | Event::Cluster | Event::Unloading => {
                Decision::default()
            }
        }
    }

    fn replay(&mut self, record: &Record, at: At) {
        let state = &mut self.state;
        match record {
            Record::Offset(key, value) => {
                // Who commits without being a member makes a group of it: an empty one, without a protocol type.
                if value.is_some() && !state.groups.contains_key(&key.group) {
                    state.groups.insert(key.group.clone(), Group::Classic(Arc::default()));
                }
                state.offsets.replay(key, value.as_ref(), at);
            }
            Record::Group(id, Some(value)) => {
                state.groups.insert(id.clone(), Group::Classic(Arc::new(value.clone())));
            }
            Record::Group(id, None) => drop(state.groups.remove(id)),
            _ => {}
        }
    }

    fn end_transaction(&mut self, producer: Producer, committed: bool) {
        self.state.offsets.end_transaction(producer.id, committed);
    }

    fn apply(&mut self, _change: ()) {}

    fn encode(record: &Record) -> (Bytes, Option<Bytes>) {
        record.encode()
    }

    fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Record>, String> {
        Record::decode(key, value)
    }

    fn write_timeout(settings: &BrokerSettings) -> Duration {
        settings.group.offsets_commit_timeout
    }

    fn compression(settings: &BrokerSettings) -> Compression {
        settings.group.offsets_topic_compression
    }
}

/// Nothing happens, and the answer says why.
fn refused(mut reply: Reply, error: ErrorCode) -> Decision<Groups> {
    refuse(&mut reply.body, error);
    Decision { response: Some(reply), ..Decision::default() }
}
