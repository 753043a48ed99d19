//! Requests that wait. Nothing here is looked at unless something happened to what it waits for, or its time is up.
//!
//! ```text
//! Produce acks=1    ──▶ until the log has the batch            [written]
//! Produce acks=all  ──▶ until the high watermark is past it    [committed], or request timeout [expire]
//! WriteTxnMarkers   ──▶ the same as acks=all
//! Fetch             ──▶ until min_bytes are there              [fetches_of], or max_wait_ms [expire]
//! ShareFetch        ──▶ until something may be available       [shares_of], or max_wait_ms [expire]
//! DeleteRecords     ──▶ until every replica's log begins there [deletes_of], or its time-out [expire]
//! any of them       ──▶ until the log goes away                [forsake], or the connection does [closed]
//! any look-up       ──▶ until the bytes come                   [loaded]
//! ```
//!
//! 1. A request waits under its ticket, once: parked here, or with a read under way, never both.
//! 2. Offsets in a queue rise, so waking looks only at what is due.
//! 3. A ticket in a queue whose request is no longer parked is skipped when it comes up; a parked fetch or delete is in
//!    the watch list of each of its logs, and leaves them all when it is taken.

use std::collections::{BTreeSet, VecDeque};

use super::handle::{
    delete_records::Deleting, fetch::Fetching, list_offsets::Listing, produce::Producing, write_txn_markers::Marking,
};
use super::loading::Loading;
use super::replication::Cutting;
use super::share::Start;
use super::share::fetch::ShareFetching;
use crate::id::{ConnId, LogId, Offset, ReadId, Ticket};
use crate::log::{LogTable, ReadSeek, Replay, TimeSeek};
use crate::partition::Until;
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

#[derive(Clone)]
pub enum Parked {
    Produce(Box<Producing>),
    Markers(Box<Marking>),
    Fetch(Box<Fetching>),
    ShareFetch(Box<ShareFetching>),
    DeleteRecords(Box<Deleting>),
}

impl Parked {
    /// What each of its batches waits for.
    fn ends(&self) -> Vec<(LogId, Offset)> {
        match self {
            Parked::Produce(producing) => producing.ends().collect(),
            Parked::Markers(marking) => marking.ends().collect(),
            Parked::Fetch(_) | Parked::ShareFetch(_) | Parked::DeleteRecords(_) => Vec::new(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Parked::Produce(producing) => producing.deadline,
            Parked::Markers(marking) => Some(marking.deadline),
            Parked::Fetch(fetching) => Some(fetching.deadline),
            Parked::ShareFetch(fetching) => Some(fetching.deadline),
            Parked::DeleteRecords(deleting) => Some(deleting.deadline),
        }
    }
}

/// A request that goes on when bytes come.
#[derive(Clone)]
pub enum Reading {
    Fetch(Box<Fetching>, ReadSeek),
    /// A look-up of that offset, or without one the records themselves: which batches they are.
    ShareFetch(Box<ShareFetching>, Option<(Offset, ReadSeek)>),
    ListOffsets(Listing, TimeSeek),
    /// Nobody's: a share-partition finds out where it begins.
    ShareStart(Start, TimeSeek),
    /// Not a client's: a follower that finds out where to cut.
    Cut(Cutting),
    /// Nobody's: a log that finds out who wrote to it.
    Replay(LogId, Replay),
    /// Not a client's: a coordinator that reads its log.
    Load(Loading),
}

impl Reading {
    fn ticket(&self) -> Option<Ticket> {
        match self {
            Reading::Fetch(fetching, _) => Some(fetching.asked.ticket),
            Reading::ShareFetch(fetching, _) => Some(fetching.ticket),
            Reading::ListOffsets(listing, _) => Some(listing.asked.ticket),
            Reading::ShareStart(..) | Reading::Cut(_) | Reading::Replay(..) | Reading::Load(_) => None,
        }
    }
}

/// A place in a log's queue.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    end: Offset,
    ticket: Ticket,
    /// Which of the request's batches.
    wait: usize,
}

#[derive(Clone, Default)]
struct Queues {
    written: VecDeque<Waiting>,
    committed: VecDeque<Waiting>,
    /// In order.
    fetches: Vec<Ticket>,
    shares: VecSet<Ticket>,
    deletes: VecSet<Ticket>,
}

#[derive(Clone, Default)]
pub struct Purgatory {
    /// By connection, which has few; an entry stays until the connection is closed.
    parked: VecMap<ConnId, VecMap<u64, Parked>>,
    waiting: usize,
    /// When to give up.
    deadlines: BTreeSet<(Instant, Ticket)>,
    logs: LogTable<Queues>,
    reading: VecMap<ReadId, Reading>,
    next_read: u64,
}

impl Purgatory {
    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting + self.reading.len()
    }

    /// The logs that requests can wait for.
    #[cfg(test)]
    pub fn logs(&self) -> Vec<LogId> {
        self.logs.logs().collect()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(instant, _)| instant)
    }

    /// From now on requests can wait for that log.
    pub fn insert(&mut self, log: LogId) {
        self.logs.insert(log, Queues::default());
    }

    /// The log is gone, and whoever waited for it was told: see [`forsake`](Self::forsake).
    pub fn remove(&mut self, log: LogId) {
        self.logs.remove(log);
    }

    /// Parks what has written until all its batches are `until`.
    pub fn park(&mut self, ticket: Ticket, parked: Parked, until: Until) {
        for (wait, (log, end)) in parked.ends().into_iter().enumerate() {
            let Some(queues) = self.logs.get_mut(log) else { continue };
            let queue = match until {
                Until::Written => &mut queues.written,
                Until::Committed => &mut queues.committed,
            };
            // (2) Only what was there already waits for less than those before it.
            let at = match queue.back().is_none_or(|last| last.end <= end) {
                true => queue.len(),
                false => queue.partition_point(|waiting| waiting.end <= end),
            };
            queue.insert(at, Waiting { end, ticket, wait });
        }
        if let Some(instant) = parked.deadline() {
            self.deadlines.insert((instant, ticket));
        }
        self.put(ticket, parked);
    }

    /// Parks a Fetch until its deadline, or until it is taken because one of its logs moved on.
    pub fn park_fetch(&mut self, fetching: Box<Fetching>) {
        let ticket = fetching.asked.ticket;
        self.in_logs(fetching.logs(), |queues| {
            if let Err(place) = queues.fetches.binary_search(&ticket) {
                queues.fetches.insert(place, ticket);
            }
        });
        self.deadlines.insert((fetching.deadline, ticket));
        self.put(ticket, Parked::Fetch(fetching));
    }

    /// Parks a ShareFetch until its deadline, or until it is taken because something may be available.
    pub fn park_share_fetch(&mut self, fetching: Box<ShareFetching>) {
        let ticket = fetching.ticket;
        self.in_logs(fetching.logs(), |queues| {
            queues.shares.insert(ticket);
        });
        self.deadlines.insert((fetching.deadline, ticket));
        self.put(ticket, Parked::ShareFetch(fetching));
    }

    /// Parks a DeleteRecords until its deadline, or until it is taken because one of its logs moved on.
    pub fn park_delete(&mut self, deleting: Box<Deleting>) {
        let ticket = deleting.asked.ticket;
        self.in_logs(deleting.logs(), |queues| {
            queues.deletes.insert(ticket);
        });
        self.deadlines.insert((deleting.deadline, ticket));
        self.put(ticket, Parked::DeleteRecords(deleting));
    }

    /// The next batch of that log that is `until` below `end`: the request and which of its batches.
    pub fn due(&mut self, log: LogId, until: Until, end: Offset) -> Option<(Ticket, usize)> {
        let queues = self.logs.get_mut(log)?;
        let queue = match until {
            Until::Written => &mut queues.written,
            Until::Committed => &mut queues.committed,
        };
        // (2)
        let waiting = *queue.front().filter(|waiting| waiting.end <= end)?;
        queue.pop_front();
        Some((waiting.ticket, waiting.wait))
    }

    /// The parked fetches that watch `log`.
    pub fn fetches_of(&self, log: LogId) -> Vec<Ticket> {
        self.logs.get(log).map(|queues| queues.fetches.clone()).unwrap_or_default()
    }

    /// The first parked fetch behind `ticket` that watches `log`.
    pub fn fetch_after(&self, log: LogId, ticket: Option<Ticket>) -> Option<Ticket> {
        let fetches = &self.logs.get(log)?.fetches;
        let place = ticket.map_or(0, |ticket| fetches.partition_point(|other| *other <= ticket));
        fetches.get(place).copied()
    }

    /// Whether a ShareFetch watches `log`.
    pub fn is_shared(&self, log: LogId) -> bool {
        self.logs.get(log).is_some_and(|queues| !queues.shares.is_empty())
    }

    /// The parked ShareFetches that watch `log`.
    pub fn shares_of(&self, log: LogId) -> Vec<Ticket> {
        self.logs.get(log).map(|queues| queues.shares.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether a DeleteRecords waits for `log`.
    pub fn is_deleted_from(&self, log: LogId) -> bool {
        self.logs.get(log).is_some_and(|queues| !queues.deletes.is_empty())
    }

    /// The parked DeleteRecords that wait for `log`.
    pub fn deletes_of(&self, log: LogId) -> Vec<Ticket> {
        self.logs.get(log).map(|queues| queues.deletes.iter().copied().collect()).unwrap_or_default()
    }

    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Parked> {
        self.parked.get_mut(&ticket.conn)?.get_mut(&ticket.seq)
    }

    fn put(&mut self, ticket: Ticket, parked: Parked) {
        let old = self.parked.entry(ticket.conn).or_default().insert(ticket.seq, parked);
        self.waiting += usize::from(old.is_none());
    }

    /// Takes a request out, wherever it waits in queues.
    pub fn take(&mut self, ticket: Ticket) -> Option<Parked> {
        let parked = self.parked.get_mut(&ticket.conn)?.remove(&ticket.seq)?;
        self.waiting -= 1;
        if let Parked::Fetch(fetching) = &parked {
            self.in_logs(fetching.logs(), |queues| {
                if let Ok(place) = queues.fetches.binary_search(&ticket) {
                    queues.fetches.remove(place);
                }
            });
        }
        if let Parked::ShareFetch(fetching) = &parked {
            self.in_logs(fetching.logs(), |queues| {
                queues.shares.remove(&ticket);
            });
        }
        if let Parked::DeleteRecords(deleting) = &parked {
            self.in_logs(deleting.logs(), |queues| {
                queues.deletes.remove(&ticket);
            });
        }
        if let Some(instant) = parked.deadline() {
            self.deadlines.remove(&(instant, ticket));
        }
        Some(parked)
    }

    /// The next request whose time is up.
    pub fn expire(&mut self, now: Instant) -> Option<Parked> {
        let &(_, ticket) = self.deadlines.first().filter(|(instant, _)| *instant <= now)?;
        self.take(ticket)
    }

    /// The log is gone or is led elsewhere: every batch that waits for it. Fetches and deletes stay until they are taken.
    pub fn forsake(&mut self, log: LogId) -> Vec<(Ticket, usize)> {
        let Some(queues) = self.logs.get_mut(log) else { return Vec::new() };
        let batches = queues.written.drain(..).chain(queues.committed.drain(..));
        batches.map(|waiting| (waiting.ticket, waiting.wait)).collect()
    }

    /// Keeps a request until the bytes that it needs are there.
    pub fn read(&mut self, reading: Reading) -> ReadId {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        self.reading.insert(read, reading);
        read
    }

    /// The bytes are there. `None` where the client has gone.
    pub fn loaded(&mut self, read: ReadId) -> Option<Reading> {
        self.reading.remove(&read)
    }

    /// Nobody waits for answers on that connection any more.
    pub fn closed(&mut self, conn: ConnId) {
        while let Some(&seq) = self.parked.get(&conn).and_then(|parked| parked.key_at(0)) {
            self.take(Ticket { conn, seq });
        }
        self.parked.remove(&conn);
        self.reading.retain(|_, reading| reading.ticket().is_none_or(|ticket| ticket.conn != conn));
    }

    /// A log that has gone meanwhile has nobody who could be woken.
    fn in_logs(&mut self, logs: impl Iterator<Item = LogId>, act: impl Fn(&mut Queues)) {
        for log in logs {
            if let Some(queues) = self.logs.get_mut(log) {
                act(queues);
            }
        }
    }
}
