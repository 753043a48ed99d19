//! Members fetch: of each share-partition what is available is read from the log, acquired, and sent straight from there.
//!
//! ```text
//! share_fetch ─▶ pass: where does what is available lie? ─▶ too little: park ─[wake, expire, forsake]─▶ pass
//!                  │└─▶ a look-up needs bytes: read ─[loaded]─▶ pass goes on
//!                  └─▶ read: which batches are there? ─[loaded]─▶ acquire ─▶ the next, or done
//! ```
//!
//! Partitions are read in the order of the session, which begins with another one each time, so that each has its turn.

use kafka_protocol::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareFetchableTopicResponse,
};
use kafka_protocol::messages::{BrokerId as WireBroker, ShareFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::acknowledge::{Fetch, Open, error_of};
use super::partition::{Acquired, Slot, Wish};
use super::session::TopicPartitionId;
use crate::broker::purgatory::{Parked, Reading};
use crate::broker::{Broker, Effect};
use crate::coordinator::share::Key;
use crate::coordinator::share::answer::Refused;
use crate::error::ErrorCode;
use crate::id::{LogId, Offset, Ticket};
use crate::log::{Extent, Found, ReadSeek};
use crate::protocol::Response;
use crate::record::Marker;
use crate::record::batch::{Batch, batches};
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use std::sync::Arc;

/// Bytes of one partition that are looked through at once: a member takes no more records than it can process soon.
const READ_BYTES: u32 = 1 << 20;

/// A ShareFetch that looks for records.
#[derive(Clone)]
pub struct ShareFetching {
    pub ticket: Ticket,
    pub deadline: Instant,
    group: Arc<str>,
    wish: Wish,
    read_committed: bool,
    min_bytes: u64,
    max_bytes: u32,
    parts: Vec<Part>,
    pass: Pass,
}

#[derive(Clone)]
struct Part {
    key: Key,
    /// The response must name it.
    named: bool,
    log: Result<LogId, Refused>,
    /// Where what is available lies, from which offset on, in which generation of the log.
    found: Option<(Offset, Extent, u32)>,
    /// What of it the member has.
    given: Option<(Extent, Vec<Acquired>)>,
}

/// One walk over the partitions.
#[derive(Clone, Copy, Default)]
struct Pass {
    /// The part that is next.
    next: usize,
    /// All that there is is found, and now read.
    reads: bool,
    /// Whatever is found is sent.
    last: bool,
    /// It has waited for bytes.
    resumed: bool,
    /// Something became of what was read, though the member may have nothing of it.
    moved: bool,
}

/// What is told of a partition.
#[derive(Clone)]
pub(in crate::broker) struct Fetched {
    id: TopicPartitionId,
    named: bool,
    result: Result<(), Refused>,
    records: Option<(Extent, Vec<Acquired>)>,
}

impl ShareFetching {
    /// The logs that it reads.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        self.parts.iter().filter_map(|part| part.log.as_ref().ok().copied())
    }
}

/// What a ShareFetch asks for besides its partitions.
pub(in crate::broker) struct Terms {
    pub wish: Wish,
    pub deadline: Instant,
    pub min_bytes: i32,
    pub max_bytes: i32,
    /// Which partition is first.
    pub turn: usize,
    /// It does not wait.
    pub last: bool,
}

impl Broker {
    /// Looks for records for an open request.
    pub(in crate::broker) fn fetch_shares(
        &mut self,
        ticket: Ticket,
        group: &Arc<str>,
        terms: Terms,
        wanted: Vec<(TopicPartitionId, bool)>,
        out: &mut Vec<Effect>,
    ) {
        let mut parts: Vec<Part> = Vec::with_capacity(wanted.len());
        for ((topic_id, partition), named) in wanted {
            let key = Key { group: group.clone(), topic_id, partition };
            let log = self.share_log(&key);
            parts.push(Part { key, named, log: log.map_err(Refused::from), found: None, given: None });
        }
        if !parts.is_empty() {
            let turn = terms.turn % parts.len();
            parts.rotate_left(turn);
        }
        let max_bytes = (terms.max_bytes.max(0) as u32).min(self.settings.fetch_max_bytes.max(0) as u32);
        let fetching = Box::new(ShareFetching {
            ticket,
            deadline: terms.deadline,
            group: group.clone(),
            read_committed: self.delivery(group).read_committed,
            min_bytes: u64::from((terms.min_bytes.max(0) as u32).min(max_bytes)),
            max_bytes,
            parts,
            pass: Pass { last: terms.last, ..Pass::default() },
            wish: terms.wish,
        });
        let all_refused = fetching.parts.iter().all(|part| part.log.is_err());
        if all_refused || fetching.wish.max_records == 0 || max_bytes == 0 {
            return self.shares_fetched(fetching, out);
        }
        self.share_pass(fetching, out);
    }

    /// The log of a share-partition that this broker leads.
    fn share_log(&self, key: &Key) -> Result<LogId, ErrorCode> {
        let name = self.topic_names.get(&key.topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let log = self.hosted(name, key.partition)?;
        self.slot(log).ok_or(ErrorCode::NotLeaderOrFollower)?.led_in(-1)?;
        Ok(log)
    }

    /// Walks over the partitions from where the pass stands: finds, then reads.
    fn share_pass(&mut self, mut fetching: Box<ShareFetching>, out: &mut Vec<Effect>) {
        while !fetching.pass.reads {
            let next = fetching.pass.next;
            let Some(part) = fetching.parts.get_mut(next) else {
                let found: u64 =
                    fetching.parts.iter().filter_map(|it| it.found).map(|(_, it, _)| u64::from(it.len)).sum();
                let enough = fetching.pass.last || fetching.pass.resumed || found >= fetching.min_bytes;
                if found == 0 || !enough {
                    return self.share_pause(fetching, out);
                }
                (fetching.pass.reads, fetching.pass.next) = (true, 0);
                break;
            };
            let Ok(log) = part.log else {
                fetching.pass.next += 1;
                continue;
            };
            let key = part.key.clone();
            // It may have gone elsewhere meanwhile.
            if let Err(error) = self.share_log(&key) {
                part.log = Err(error.into());
                fetching.pass.next += 1;
                continue;
            }
            self.ensure_shared(&key, log, out);
            if let Some(refused) = self.sharing.shared.get(&key).and_then(|shared| shared.failed.clone()) {
                self.sharing.drop(&key);
                fetching.parts[next].log = Err(refused);
                fetching.pass.next += 1;
                continue;
            }
            match self.find_shared(&fetching, next, log) {
                None => fetching.pass.next += 1,
                Some(Found::Here(found)) => self.share_found(&mut fetching, found),
                Some(Found::Read(extent, seek)) => {
                    if let Some(shared) = self.sharing.shared.get_mut(&key) {
                        shared.reader = Some(fetching.ticket);
                    }
                    let read = self.purgatory.read(Reading::ShareFetch(fetching, Some(seek)));
                    return out.push(Effect::Read { read, extent });
                }
            }
        }
        while let Some(part) = fetching.parts.get(fetching.pass.next) {
            if let Some((_, extent, _)) = part.found
                && fetching.wish.max_records > 0
            {
                let read = self.purgatory.read(Reading::ShareFetch(fetching, None));
                return out.push(Effect::Read { read, extent });
            }
            fetching.pass.next += 1;
        }
        let empty = fetching.parts.iter().all(|part| part.given.is_none());
        match (empty, fetching.pass.moved) {
            (false, _) => self.shares_fetched(fetching, out),
            // What was there nobody may have; there may be more behind it.
            (true, true) if self.now.instant < fetching.deadline => {
                self.end_share_reads(&fetching);
                fetching.pass = Pass { last: fetching.pass.last, ..Pass::default() };
                fetching.parts.iter_mut().for_each(|part| part.found = None);
                self.share_pass(fetching, out);
            }
            (true, true) => self.shares_fetched(fetching, out),
            (true, false) => self.share_pause(fetching, out),
        }
    }

    /// Where what is available of a part lies; `None` where there is nothing for now.
    fn find_shared(
        &mut self,
        fetching: &ShareFetching,
        next: usize,
        log: LogId,
    ) -> Option<Found<Option<(Offset, Extent, u32)>, (Offset, ReadSeek)>> {
        let part = &fetching.parts[next];
        let delivery = self.delivery(&fetching.group);
        let slot = self.partitions.get(log)?;
        let shared = self.sharing.shared.get_mut(&part.key)?;
        if shared.reader.is_some_and(|reader| reader != fetching.ticket) {
            return None;
        }
        let partition = shared.partition.as_mut()?;
        partition.log_starts_at(slot.log.log_start_offset());
        if !partition.can_acquire(&delivery) {
            return None;
        }
        let offset = partition.next_fetch_offset();
        let upper = match fetching.read_committed {
            true => slot.log.last_stable_offset(),
            false => slot.log.high_watermark(),
        };
        let taken: u64 = fetching.parts.iter().filter_map(|part| part.found).map(|(_, it, _)| u64::from(it.len)).sum();
        let left = (u64::from(fetching.max_bytes).saturating_sub(taken) as u32).min(READ_BYTES);
        let generation = slot.log.generation();
        match slot.log.read(offset, left, upper, taken == 0) {
            Found::Here(result) => {
                let extent = result.ok().and_then(|slice| slice.extent).filter(|extent| extent.len > 0);
                Some(Found::Here(extent.map(|extent| (offset, extent, generation))))
            }
            Found::Read(extent, seek) => Some(Found::Read(extent, (offset, seek))),
        }
    }

    /// Notes what the part that was next has.
    fn share_found(&mut self, fetching: &mut ShareFetching, found: Option<(Offset, Extent, u32)>) {
        let part = &mut fetching.parts[fetching.pass.next];
        let shared = self.sharing.shared.get_mut(&part.key);
        if let Some(shared) = shared.filter(|it| it.reader.is_none_or(|reader| reader == fetching.ticket)) {
            shared.reader = found.map(|_| fetching.ticket);
        }
        part.found = found;
        fetching.pass.next += 1;
    }

    /// Bytes came that a look-up, or a reading, asked for.
    pub(in crate::broker) fn resume_share_fetch(
        &mut self,
        mut fetching: Box<ShareFetching>,
        seek: Option<(Offset, ReadSeek)>,
        bytes: &bytes::Bytes,
        out: &mut Vec<Effect>,
    ) {
        fetching.pass.resumed = true;
        let part = &fetching.parts[fetching.pass.next];
        let Some((offset, seek)) = seek else {
            self.acquire_read(&mut fetching, bytes);
            fetching.pass.next += 1;
            return self.share_pass(fetching, out);
        };
        let slot = part.log.as_ref().ok().and_then(|log| self.slot(*log));
        let found = match slot {
            Some(slot) => match seek.resume(&slot.log, bytes) {
                Found::Here(result) => {
                    let extent = result.ok().and_then(|slice| slice.extent).filter(|extent| extent.len > 0);
                    extent.map(|extent| (offset, extent, slot.log.generation()))
                }
                Found::Read(extent, seek) => {
                    let read = self.purgatory.read(Reading::ShareFetch(fetching, Some((offset, seek))));
                    return out.push(Effect::Read { read, extent });
                }
            },
            None => None,
        };
        self.share_found(&mut fetching, found);
        self.share_pass(fetching, out);
    }

    /// The member has what was read of the part that is next, as far as it may.
    fn acquire_read(&mut self, fetching: &mut ShareFetching, bytes: &bytes::Bytes) {
        let delivery = self.delivery(&fetching.group);
        let until = self.now.instant + delivery.record_lock_duration;
        let ticket = fetching.ticket;
        let part = &mut fetching.parts[fetching.pass.next];
        let (Some((offset, extent, generation)), Ok(log)) = (part.found, &part.log) else { return };
        let Some(slot) = self.partitions.get(*log) else { return };
        if !slot.log.holds(&extent, generation) || slot.led_in(-1).is_err() {
            return;
        }
        let Some(shared) = self.sharing.shared.get_mut(&part.key).filter(|it| it.reader == Some(ticket)) else {
            return;
        };
        let Some(partition) = &mut shared.partition else { return };
        let aborted = match fetching.read_committed {
            true => slot.log.aborted_in(offset, &extent),
            false => Vec::new(),
        };
        // Where each batch begins in what was read, and what it says of itself.
        let (mut slots, mut places, mut begin) = (Vec::new(), Vec::new(), 0);
        let mut open: Vec<i64> = Vec::new();
        let mut waiting = aborted.iter().peekable();
        for (header, slice) in batches(bytes) {
            while let Some(one) = waiting.next_if(|one| one.first_offset <= header.last_offset()) {
                open.push(one.producer_id);
            }
            let of_aborted = header.is_transactional() && open.contains(&header.producer_id);
            // Members know control records, and say that they are gaps.
            let aborted = of_aborted && !header.is_control();
            if header.is_control() && of_aborted {
                let batch = Batch { header, bytes: bytes.slice_ref(slice) };
                if Marker::of(&batch).is_some_and(|marker| !marker.commit) {
                    open.retain(|id| *id != header.producer_id);
                }
            }
            slots.push(Slot { base: header.base_offset, last: header.last_offset(), aborted });
            places.push((begin, begin + slice.len()));
            begin += slice.len();
        }
        let before = partition.next_fetch_offset();
        let acquired = partition.acquire(&fetching.wish, offset, &slots, until, &delivery);
        fetching.pass.moved |= partition.next_fetch_offset() != before;
        let count: i64 = acquired.iter().map(|one| one.last_offset - one.first_offset + 1).sum();
        fetching.wish.max_records = fetching.wish.max_records.saturating_sub(count as usize);
        if let (Some(first), Some(last)) = (acquired.first(), acquired.last()) {
            let from = slots.partition_point(|slot| slot.last < first.first_offset);
            let to = slots.partition_point(|slot| slot.base <= last.last_offset);
            if let (Some(&(begin, _)), Some(&(_, end))) = (places.get(from), places[..to].last()) {
                let position = extent.position + begin as u32;
                part.given = Some((Extent { position, len: (end - begin) as u32, ..extent }, acquired));
            }
        }
        self.sharing.set_alarm(&part.key.clone());
    }

    /// There is nothing for now.
    fn share_pause(&mut self, mut fetching: Box<ShareFetching>, out: &mut Vec<Effect>) {
        if fetching.pass.last || fetching.parts.iter().all(|part| part.log.is_err()) {
            return self.shares_fetched(fetching, out);
        }
        self.end_share_reads(&fetching);
        fetching.pass = Pass::default();
        fetching.parts.iter_mut().for_each(|part| part.found = None);
        self.purgatory.park_share_fetch(fetching);
    }

    fn end_share_reads(&mut self, fetching: &ShareFetching) {
        for part in &fetching.parts {
            if let Some(shared) = self.sharing.shared.get_mut(&part.key) {
                shared.reader.take_if(|reader| *reader == fetching.ticket);
            }
        }
    }

    /// It has what it gets.
    fn shares_fetched(&mut self, fetching: Box<ShareFetching>, out: &mut Vec<Effect>) {
        self.end_share_reads(&fetching);
        let (ticket, resumed) = (fetching.ticket, fetching.pass.resumed);
        let logs: Vec<LogId> = fetching.logs().collect();
        let fetched = fetching.parts.into_iter().map(|part| Fetched {
            id: (part.key.topic_id, part.key.partition),
            named: part.named,
            result: part.log.map(|_| ()),
            records: part.given,
        });
        if let Some(open) = self.sharing.open.get_mut(&ticket) {
            open.fetch = Fetch::Done(fetched.collect());
            self.answer_share(ticket, out);
        }
        // Others had to leave them alone meanwhile.
        for log in logs.into_iter().filter(|_| resumed) {
            self.wake_shares(log);
        }
    }

    /// The time is up, or what it waits for is not what it was.
    pub(in crate::broker) fn finish_share_fetch(&mut self, mut fetching: Box<ShareFetching>, out: &mut Vec<Effect>) {
        fetching.pass = Pass { last: true, ..Pass::default() };
        self.share_pass(fetching, out);
    }

    /// A log, or a share-partition of it, has moved on: whoever waits for it looks again when this step is at its end. (One
    /// that looks may move others on, and so forth.)
    pub(in crate::broker) fn wake_shares(&mut self, log: LogId) {
        self.sharing.woken.insert(log);
    }

    /// The end of a step.
    pub(in crate::broker) fn wake_sharers(&mut self, out: &mut Vec<Effect>) {
        while let Some(log) = self.sharing.woken.pop_first() {
            for ticket in self.purgatory.shares_of(log) {
                if let Some(Parked::ShareFetch(_)) = self.purgatory.get_mut(ticket)
                    && let Some(Parked::ShareFetch(fetching)) = self.purgatory.take(ticket)
                {
                    self.share_pass(fetching, out);
                }
            }
        }
    }

    /// The response, with the records straight from the log.
    pub(super) fn answer_share_fetch(&mut self, open: Open, out: &mut Vec<Effect>) {
        let Open { asked, session, acknowledged, fetch, .. } = open;
        let Fetch::Done(mut fetched) = fetch else { return };
        let acknowledged: VecMap<TopicPartitionId, Result<(), Refused>> = acknowledged.into_iter().collect();
        let known: VecSet<TopicPartitionId> = fetched.iter().map(|one| one.id).collect();
        fetched.iter_mut().for_each(|one| one.named |= acknowledged.contains_key(&one.id));
        let more = acknowledged.keys().filter(|id| !known.contains(id));
        fetched.extend(more.map(|id| Fetched { id: *id, named: true, result: Ok(()), records: None }));
        let mut body = ShareFetchResponse::default();
        body.acquisition_lock_timeout_ms = self.delivery(&session.0).record_lock_duration.as_millis() as i32;
        let mut records = Vec::new();
        // Those of one topic stand together.
        fetched.sort_by_key(|one| one.id.0);
        for Fetched { id, named, result, records: given } in fetched {
            if !named && result.is_ok() && given.is_none() {
                continue;
            }
            let mut data = PartitionData::default().with_partition_index(id.1).with_records(None);
            (data.error_code, data.error_message) = error_of(&result);
            if let Some(result) = acknowledged.get(&id) {
                (data.acknowledge_error_code, data.acknowledge_error_message) = error_of(result);
            }
            let leader = self.new_share_leader(id, data.error_code);
            let leader = leader.or_else(|| self.new_share_leader(id, data.acknowledge_error_code));
            if let Some((leader, epoch)) = leader {
                data.current_leader = LeaderIdAndEpoch::default().with_leader_id(leader.0).with_leader_epoch(epoch);
                if let Some(registration) = self.cluster.brokers.get(&leader)
                    && body.node_endpoints.iter().all(|known| known.node_id.0 != leader.0)
                {
                    body.node_endpoints.push(
                        NodeEndpoint::default()
                            .with_node_id(WireBroker(leader.0))
                            .with_host(StrBytes::from_string(registration.host.clone()))
                            .with_port(i32::from(registration.port))
                            .with_rack(registration.rack.clone().map(StrBytes::from_string)),
                    );
                }
            }
            let (extent, acquired) = match given {
                Some((extent, acquired)) => (Some(extent), acquired),
                None => (None, Vec::new()),
            };
            self.bytes_out += extent.map_or(0, |extent| u64::from(extent.len));
            records.push(extent);
            let acquired = acquired.iter().map(|one| {
                AcquiredRecords::default()
                    .with_first_offset(one.first_offset)
                    .with_last_offset(one.last_offset)
                    .with_delivery_count(one.delivery_count)
            });
            data.acquired_records = acquired.collect();
            match body.responses.last_mut().filter(|topic| topic.topic_id == id.0) {
                Some(topic) => topic.partitions.push(data),
                None => body
                    .responses
                    .push(ShareFetchableTopicResponse::default().with_topic_id(id.0).with_partitions(vec![data])),
            }
        }
        let response = Response { records, ..Response::new(asked.version, body) };
        out.push(Effect::Reply { ticket: asked.ticket, response });
    }
}
