//! The coordinators' shards for transactions: those of transactional ids are run as all are
//! ([`coordinate`](crate::broker::coordinate)); those of groups see what markers end in their logs.

use crate::broker::coordinate::{Coordinators, Hosted};
use crate::broker::producer_id::Wanted;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::Groups;
use crate::coordinator::shard::Settled;
use crate::coordinator::topic::Internal;
use crate::coordinator::transaction::{Ask, Order, Transactions};
use crate::coordinator::{Event, Machine, Producer};
use crate::error::ErrorCode;
use crate::id::{LeaderEpoch, LogId, Offset};
use crate::partition::Partition;

impl Hosted for Transactions {
    const TOPIC: Internal = Internal::Transactions;

    fn coordinators(broker: &mut Broker) -> &mut Coordinators<Transactions> {
        &mut broker.transactions
    }

    fn carry_out(broker: &mut Broker, partition: i32, order: Order, out: &mut Vec<Effect>) {
        match order {
            Order::Mark(marks) => broker.mark(partition, marks, out),
            Order::Ask(ask) => broker.coordinate::<Transactions>(partition, Event::Asked(ask), out),
            Order::ProducerId(ask) => broker.find_producer_id(Wanted::Transaction(partition, ask), out),
        }
    }

    fn dropped(broker: &mut Broker, partition: i32) {
        broker.forget_markers(partition);
    }
}

impl Broker {
    /// Has a transactional id's coordinator decide, if that is this broker.
    pub(crate) fn ask_transaction(&mut self, id: &str, ask: Ask, out: &mut Vec<Effect>) {
        let found = match id.is_empty() {
            true => Err(ErrorCode::InvalidRequest),
            false => self.coordinator_of::<Transactions>(id).map(|(partition, _)| partition),
        };
        match found {
            Ok(partition) => self.coordinate::<Transactions>(partition, Event::Asked(ask), out),
            Err(error) => self.reply_all(ask.refuse(error), out),
        }
    }

    /// The term in which this broker coordinates that partition's transactions.
    pub(crate) fn coordinator_epoch(&mut self, partition: i32) -> LeaderEpoch {
        let log = self.transactions.shard_mut(partition).map(|shard| shard.log);
        log.and_then(|log| self.slot(log)).map_or(-1, Partition::leader_epoch)
    }
}

/// What markers do to the shards of groups.
impl Broker {
    /// The shard that a log is the memory of has to know what is written there; fails where it does not answer.
    ///
    /// Errors: `NotLeaderOrFollower`.
    pub(crate) fn may_mark(&mut self, log: LogId) -> Result<(), ErrorCode> {
        match self.coordinated.get(&log) {
            Some(&(Internal::Groups, partition)) if self.groups.shard(partition).is_err() => {
                Err(ErrorCode::NotLeaderOrFollower)
            }
            _ => Ok(()),
        }
    }

    /// A marker was appended, and ends at `end`.
    pub(crate) fn marked(&mut self, log: LogId, producer: Producer, committed: bool, end: Offset) {
        let Some(&(Internal::Groups, partition)) = self.coordinated.get(&log) else { return };
        let deadline = self.now.instant + Groups::write_timeout(&self.settings);
        if let Some(shard) = self.groups.shard_mut(partition) {
            shard.marked(producer, committed);
            shard.wait(end, deadline, Settled { response: None, next: None });
        }
    }
}
