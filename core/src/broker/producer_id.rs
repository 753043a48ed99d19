//! Ids for idempotent producers.
//!
//! As Kafka does, a broker takes ids from a block of its own. The newest block that anyone has is in ZooKeeper
//! (`/latest_producer_id_block`); a broker takes the next one by writing it there, if nobody else did so since it looked,
//! so that no id is given out twice. Whoever wants one waits meanwhile, or comes again where ZooKeeper cannot be reached.

use std::collections::VecDeque;

use super::handle::Asked;
use super::membership::Purpose;
use super::{Broker, Effect};
use crate::coordinator::Event;
use crate::coordinator::transaction::init::given;
use crate::coordinator::transaction::{Ask, Transactions};
use crate::error::ErrorCode;
use crate::protocol::znode;
use crate::time::Now;
use crate::view::Level;
use crate::zookeeper::{Error, Op, Reply};

/// Kafka's PRODUCER_ID_BLOCK_SIZE.
const BLOCK: i64 = 1_000;

#[derive(Clone, Default)]
pub(super) struct ProducerIds {
    next: i64,
    /// The first id that is not ours.
    end: i64,
    /// They wait for the next block, which is on its way.
    waiting: VecDeque<Wanted>,
}

/// Who wants a producer id.
#[derive(Clone)]
pub(super) enum Wanted {
    /// An idempotent producer, without transactions.
    Producer(Asked),
    /// The transaction coordinator of that partition, to decide that.
    Transaction(i32, Ask),
}

impl Broker {
    /// Gives an id that nobody has, now or when there is one.
    pub(super) fn find_producer_id(&mut self, wanted: Wanted, out: &mut Vec<Effect>) {
        let ids = &mut self.producer_ids;
        if ids.next < ids.end {
            ids.next += 1;
            let id = ids.next - 1;
            return self.producer_id_found(wanted, Ok(id), out);
        }
        if !self.membership.is_connected() {
            return self.producer_id_found(wanted, Err(ErrorCode::CoordinatorLoadInProgress), out);
        }
        ids.waiting.push_back(wanted);
        if ids.waiting.len() == 1 {
            self.read_producer_ids(self.now, out);
        }
    }

    fn producer_id_found(&mut self, wanted: Wanted, id: Result<i64, ErrorCode>, out: &mut Vec<Effect>) {
        match (wanted, id) {
            (Wanted::Producer(asked), id) => asked.reply(given(id), out),
            (Wanted::Transaction(partition, ask), id) => {
                match id.and_then(|id| self.transactions.shard(partition).map(|_| id)) {
                    Ok(id) => {
                        let ask = Event::Asked(ask.with_producer_id(id));
                        self.coordinate::<Transactions>(partition, ask, out);
                    }
                    Err(error) => self.reply_all(ask.refuse(error), out),
                }
            }
        }
    }

    fn read_producer_ids(&mut self, now: Now, out: &mut Vec<Effect>) {
        let op = Op::GetData { path: znode::PRODUCER_IDS.into(), watch: false };
        self.ask_zookeeper(now, op, Purpose::ProducerIds, out);
    }

    pub(super) fn producer_ids_read(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let Ok(Reply::GetData { data, stat }) = result else { return self.no_producer_ids(out) };
        let start = match data.filter(|data| !data.is_empty()) {
            None => 0,
            Some(json) => match znode::parse_producer_ids(&json) {
                Ok(end) => end + 1,
                Err(why) => {
                    out.push(Effect::Note { level: Level::Bad, text: why });
                    return self.no_producer_ids(out);
                }
            },
        };
        let data = Some(znode::producer_ids(self.id(), start, start + BLOCK - 1));
        let op = Op::SetData { path: znode::PRODUCER_IDS.into(), data, version: stat.version };
        self.ask_zookeeper(now, op, Purpose::NextProducerIds { start }, out);
    }

    pub(super) fn producer_ids_written(
        &mut self,
        now: Now,
        start: i64,
        result: Result<Reply, Error>,
        out: &mut Vec<Effect>,
    ) {
        match result {
            Ok(_) => {
                (self.producer_ids.next, self.producer_ids.end) = (start, start + BLOCK);
                for wanted in std::mem::take(&mut self.producer_ids.waiting) {
                    self.find_producer_id(wanted, out);
                }
            }
            // Another broker was faster.
            Err(Error::BadVersion) => self.read_producer_ids(now, out),
            Err(_) => self.no_producer_ids(out),
        }
    }

    fn no_producer_ids(&mut self, out: &mut Vec<Effect>) {
        for wanted in std::mem::take(&mut self.producer_ids.waiting) {
            self.producer_id_found(wanted, Err(ErrorCode::CoordinatorLoadInProgress), out);
        }
    }
}
