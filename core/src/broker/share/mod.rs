//! Partitions that the members of a group share (KIP-932), where this broker leads them.
//!
//! `persister.rs` what is kept of them, with the share coordinators

pub(crate) mod persister;

use super::transaction::{SHARE_STATES, conn};
use super::{Broker, Effect};
use crate::client;
use crate::config::BrokerSettings;
use crate::coordinator::share::Key;
use crate::coordinator::share::answer::{Answer, Refused};
use crate::id::{BrokerId, ConnId};
use crate::protocol::cluster::Registration;
use crate::rng::Stream;
use crate::time::{Instant, Now};
use crate::vec_map::VecMap;
use persister::Persister;

/// What the leader of a share-partition asks its coordinator for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It begins to lead; the number tells it from an earlier one.
    Load(u64),
    /// What that write holds is settled when it is answered.
    Write(u64),
}

#[derive(Clone)]
pub(super) struct Sharing {
    persister: Persister,
}

impl Sharing {
    pub fn new(own: BrokerId, settings: &BrokerSettings, dice: impl FnMut(&str) -> Stream) -> Sharing {
        Sharing { persister: Persister::new(own, settings, dice) }
    }

    /// Whether it happened on one of these connections.
    pub fn owns(event: &client::Event) -> bool {
        conn(event).is_some_and(|conn| conn >= SHARE_STATES)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.persister.deadline()
    }
}

impl Broker {
    /// The clock.
    pub(super) fn share_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.ask_share_states_again(now, out);
    }

    /// A client's connection is gone.
    pub(super) fn share_closed(&mut self, _conn: ConnId, _out: &mut Vec<Effect>) {}

    /// The cluster's state is another.
    pub(super) fn sharing_sees_cluster(
        &mut self,
        now: Now,
        before: &VecMap<BrokerId, Registration>,
        out: &mut Vec<Effect>,
    ) {
        self.persister_sees_cluster(now, before, out);
    }

    fn share_partition_answered(
        &mut self,
        _key: Key,
        _purpose: Purpose,
        _said: Result<Answer, Refused>,
        _out: &mut Vec<Effect>,
    ) {
    }
}
