//! A share-partition: which records are on their way to the members of a group, as Kafka's `SharePartition` has it.
//!
//! ```text
//! start_offset                                       end
//!      │ Acknowledged │ Acquired (by whom, until when) │ Available │ … what nobody has had yet
//!
//! Available ─[acquire]─▶ Acquired ─[accept]─▶ Acknowledged
//!     ▲                     ├──────[reject, gap]─▶ Archived
//!     └─[release, time]─────┴──────[the same, delivered too often]─▶ Archived
//! ```
//!
//! 1. Runs of records that are in one state lie from `start_offset` to `end` without gaps. What a log has not between two
//!    records that it has is archived like a record.
//! 2. An acknowledgement counts when it is written: until then its records are in their new state, and nobody else can
//!    have them; where it cannot be written they are as they were.
//! 3. The start offset moves over what is acknowledged and archived, when that is written.
//! 4. Nobody has more than `max_record_locks` records at once from the start offset on.

use std::sync::Arc;

use crate::config::group::ShareSettings;
use crate::coordinator::share::{StateBatch, Write};
use crate::error::ErrorCode;
use crate::id::Offset;
use crate::time::Instant;
use crate::vec_map::VecMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    Available = 0,
    Acquired = 1,
    Acknowledged = 2,
    Archived = 4,
}

impl RecordState {
    fn is_terminal(self) -> bool {
        matches!(self, RecordState::Acknowledged | RecordState::Archived)
    }

    fn of(delivery_state: i8) -> RecordState {
        match delivery_state {
            2 => RecordState::Acknowledged,
            4 => RecordState::Archived,
            _ => RecordState::Available,
        }
    }
}

/// Records that are alike, from the offset under which they stand.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    last: Offset,
    state: RecordState,
    delivery_count: i16,
    /// Who has acquired them, and until when.
    owner: Option<(Arc<str>, Instant)>,
    /// (2) The write that is under way, and what they are where it fails.
    pending: Option<(u64, RecordState, Option<(Arc<str>, Instant)>)>,
}

/// Records that a member may have, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub delivery_count: i16,
}

/// What a batch of a log says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub base: Offset,
    pub last: Offset,
    /// Its records are of a transaction that was aborted.
    pub aborted: bool,
}

/// What a member wants.
#[derive(Clone, Debug)]
pub struct Wish {
    pub member: Arc<str>,
    pub max_records: usize,
    pub batch_size: usize,
    /// Not a record more than `max_records`, rather than whole batches.
    pub strict: bool,
}

/// Why an acknowledgement is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub error: ErrorCode,
    pub why: &'static str,
}

const fn invalid(error: ErrorCode, why: &'static str) -> Invalid {
    Invalid { error, why }
}

/// Acknowledgements of neighbouring records: one type for all of them, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub types: Vec<i8>,
}

/// The types; 0, a gap, and 3, reject, are archived.
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
pub const RENEW: i8 = 4;

/// What is to be written, under which number it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub number: u64,
    pub write: Write,
}

#[derive(Clone, Debug)]
pub struct SharePartition {
    pub leader_epoch: i32,
    state_epoch: i32,
    start_offset: Offset,
    /// What is next that nobody has had.
    end: Offset,
    runs: VecMap<Offset, Run>,
    next_write: u64,
}

impl SharePartition {
    /// As it was kept. (1)
    pub fn new(leader_epoch: i32, state_epoch: i32, start_offset: Offset, batches: &[StateBatch]) -> SharePartition {
        let mut partition = SharePartition {
            leader_epoch,
            state_epoch,
            start_offset,
            end: start_offset,
            runs: VecMap::new(),
            next_write: 0,
        };
        for batch in batches.iter().filter(|batch| batch.last_offset >= start_offset) {
            if batch.first_offset > partition.end {
                partition.push(batch.first_offset - 1, RecordState::Available, 0);
            }
            if batch.last_offset >= partition.end {
                partition.push(batch.last_offset, RecordState::of(batch.delivery_state), batch.delivery_count);
            }
        }
        partition.move_start();
        partition
    }

    /// A run at the end.
    fn push(&mut self, last: Offset, state: RecordState, delivery_count: i16) {
        self.runs.insert(self.end, Run { last, state, delivery_count, owner: None, pending: None });
        self.end = last + 1;
    }

    #[cfg(test)]
    fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// Where there is something to be read that a member may have.
    pub fn next_fetch_offset(&self) -> Offset {
        let available = self.runs.iter().find(|(_, run)| run.is_available());
        available.map_or(self.end, |(first, _)| *first)
    }

    fn in_flight(&self) -> usize {
        (self.end - self.start_offset).max(0) as usize
    }

    /// (4)
    pub fn can_acquire(&self, delivery: &ShareSettings) -> bool {
        self.next_fetch_offset() != self.end || self.in_flight() < delivery.partition_max_record_locks
    }

    /// When somebody has had records for long enough.
    pub fn deadline(&self) -> Option<Instant> {
        let held = self.runs.values().filter(|run| run.is_held());
        held.filter_map(|run| run.owner.as_ref().map(|(_, until)| *until)).min()
    }

    /// Records from the start offset on that nobody will have any more.
    fn delivery_complete_count(&self) -> i32 {
        let done = self.runs.iter().filter(|(_, run)| run.state.is_terminal());
        done.map(|(first, run)| run.last - first + 1).sum::<i64>().min(i32::MAX.into()) as i32
    }

    /// Makes `offset` the first of a run.
    fn split(&mut self, offset: Offset) {
        let Some((_, run)) = self.runs.range_mut(..offset).next_back() else { return };
        if run.last < offset {
            return;
        }
        let rest = run.clone();
        run.last = offset - 1;
        self.runs.insert(offset, rest);
    }
}

impl Run {
    fn is_available(&self) -> bool {
        self.state == RecordState::Available && self.pending.is_none()
    }

    fn is_held(&self) -> bool {
        self.state == RecordState::Acquired && self.pending.is_none()
    }

    /// What becomes of records that come back.
    fn given_back(&self, delivery: &ShareSettings) -> RecordState {
        match self.delivery_count >= delivery.delivery_count_limit {
            true => RecordState::Archived,
            false => RecordState::Available,
        }
    }

    fn batch(&self, first_offset: Offset) -> StateBatch {
        StateBatch {
            first_offset,
            last_offset: self.last,
            delivery_state: self.state as i8,
            delivery_count: self.delivery_count,
        }
    }
}

/// Acquiring.
impl SharePartition {
    /// What was read from `fetch_offset` on lies in those batches: gives what of it the member has from now on.
    pub fn acquire(
        &mut self,
        wish: &Wish,
        fetch_offset: Offset,
        slots: &[Slot],
        until: Instant,
        delivery: &ShareSettings,
    ) -> Vec<Acquired> {
        // It was looked for in another state than this.
        if fetch_offset > self.end {
            return Vec::new();
        }
        let (Some(base), Some(mut last)) = (slots.first().map(|slot| slot.base), slots.last().map(|slot| slot.last))
        else {
            return Vec::new();
        };
        if last < self.start_offset || wish.max_records == 0 {
            return Vec::new();
        }
        // (4) Those that come back are in flight already.
        let free = delivery.partition_max_record_locks.saturating_sub(self.in_flight());
        let mut left = wish.max_records.min(free);
        if left == 0 {
            if fetch_offset >= self.end {
                return Vec::new();
            }
            left = wish.max_records.min((self.end - fetch_offset) as usize);
            last = last.min(self.end - 1);
        }
        // What the log has not any more.
        self.archive(fetch_offset, base - 1);
        let first = base.max(self.start_offset);
        let mut acquired = Vec::new();
        let stopped = self.acquire_again(wish, (first, last), &mut left, until, delivery, &mut acquired);
        if left > 0 && !stopped && last >= self.end {
            self.acquire_new(wish, slots, last, left, until, &mut acquired);
        }
        for slot in slots.iter().filter(|slot| slot.aborted) {
            self.archive_of(&wish.member, slot.base, slot.last);
            acquired = acquired.into_iter().flat_map(|one| without(one, slot.base, slot.last)).collect();
        }
        self.move_start();
        acquired
    }

    /// What was given back, between two offsets. Records that were delivered often are delivered few at a time, so that one
    /// that cannot be processed takes few others along (as Kafka 4.2 does). True where no more are to go with them.
    fn acquire_again(
        &mut self,
        wish: &Wish,
        (first, last): (Offset, Offset),
        left: &mut usize,
        until: Instant,
        delivery: &ShareSettings,
        acquired: &mut Vec<Acquired>,
    ) -> bool {
        let throttled_from = ((delivery.delivery_count_limit + 1) / 2).max(2);
        self.split(first);
        self.split(last + 1);
        let starts: Vec<Offset> = self.runs.range(first..=last).map(|(start, _)| *start).collect();
        for start in starts {
            if *left == 0 {
                return true;
            }
            let Some(run) = self.runs.get(&start).filter(|run| run.is_available()) else { continue };
            let len = (run.last - start + 1) as usize;
            let mut take = if wish.strict { len.min(*left) } else { len };
            let throttled = run.delivery_count >= throttled_from;
            if throttled && !acquired.is_empty() {
                return true;
            }
            if throttled {
                let halvings = (run.delivery_count - throttled_from + 1).min(30) as u32;
                take = take.min((len >> halvings).max(1));
                if delivery.delivery_count_limit > 2 && run.delivery_count >= delivery.delivery_count_limit - 1 {
                    take = 1;
                }
            }
            self.split(start + take as Offset);
            let Some(run) = self.runs.get_mut(&start) else { continue };
            run.state = RecordState::Acquired;
            run.delivery_count = run.delivery_count.saturating_add(1);
            run.owner = Some((wish.member.clone(), until));
            let more = Acquired { first_offset: start, last_offset: run.last, delivery_count: run.delivery_count };
            match acquired.last_mut() {
                Some(before) if before.last_offset + 1 == start && before.delivery_count == more.delivery_count => {
                    before.last_offset = more.last_offset;
                }
                _ => acquired.push(more),
            }
            *left = left.saturating_sub(take);
            if throttled {
                return true;
            }
        }
        false
    }

    /// What nobody has had yet, up to `last`: `left` records, or whole batches.
    fn acquire_new(
        &mut self,
        wish: &Wish,
        slots: &[Slot],
        last: Offset,
        left: usize,
        until: Instant,
        acquired: &mut Vec<Acquired>,
    ) {
        let Some(base) = slots.iter().find(|slot| slot.last >= self.end).map(|slot| slot.base) else { return };
        if base > self.end && self.runs.is_empty() {
            (self.start_offset, self.end) = (base, base);
        } else if base > self.end {
            self.push(base - 1, RecordState::Archived, 0);
        }
        let mut last = last;
        let most = self.end + left as Offset - 1;
        if most < last {
            let batch = slots.iter().find(|slot| slot.base <= most && most <= slot.last);
            last = batch.filter(|_| !wish.strict).map_or(most, |slot| slot.last.min(last));
        }
        let mut first = self.end;
        let mut add = |partition: &mut SharePartition, first: Offset, last: Offset| {
            partition.push(last, RecordState::Acquired, 1);
            if let Some(run) = partition.runs.get_mut(&first) {
                run.owner = Some((wish.member.clone(), until));
            }
            acquired.push(Acquired { first_offset: first, last_offset: last, delivery_count: 1 });
        };
        for slot in slots.iter().filter(|slot| slot.base <= last && !wish.strict) {
            if slot.base > first && slot.base - first >= wish.batch_size.max(1) as Offset {
                add(self, first, slot.base - 1);
                first = slot.base;
            }
        }
        add(self, first, last);
    }

    /// Available records between two offsets are none any more.
    fn archive(&mut self, first: Offset, last: Offset) {
        if first > last {
            return;
        }
        self.split(first);
        self.split(last + 1);
        for (_, run) in self.runs.range_mut(first..=last).filter(|(_, run)| run.is_available()) {
            run.state = RecordState::Archived;
        }
    }

    fn archive_of(&mut self, member: &str, first: Offset, last: Offset) {
        self.split(first);
        self.split(last + 1);
        let runs = self.runs.range_mut(first..=last);
        for (_, run) in runs.filter(|(_, run)| run.is_held() && run.owner.as_ref().is_some_and(|it| &*it.0 == member)) {
            (run.state, run.owner) = (RecordState::Archived, None);
        }
    }
}

/// What is left of `one` where those between two offsets are not in it.
fn without(one: Acquired, first: Offset, last: Offset) -> impl Iterator<Item = Acquired> {
    let before = Acquired { last_offset: one.last_offset.min(first - 1), ..one };
    let behind = Acquired { first_offset: one.first_offset.max(last + 1), ..one };
    [before, behind].into_iter().filter(|piece| piece.first_offset <= piece.last_offset)
}

/// Acknowledging.
impl SharePartition {
    /// Gives what is to be written before the member is answered; `None` where there is nothing. All of it holds, or
    /// nothing.
    ///
    /// Errors: `InvalidRequest`, `InvalidRecordState`.
    pub fn acknowledge(
        &mut self,
        member: &str,
        acknowledgements: &[Acknowledgement],
        until: Instant,
        delivery: &ShareSettings,
    ) -> Result<Option<Pending>, Invalid> {
        let before = self.runs.clone();
        let number = self.next_write;
        let mut changed = false;
        for acknowledgement in acknowledgements {
            match self.acknowledge_one(member, acknowledgement, (number, until), delivery) {
                Ok(changes) => changed |= changes,
                Err(invalid) => {
                    self.runs = before;
                    return Err(invalid);
                }
            }
        }
        Ok(changed.then(|| self.pending()))
    }

    fn acknowledge_one(
        &mut self,
        member: &str,
        acknowledgement: &Acknowledgement,
        (number, until): (u64, Instant),
        delivery: &ShareSettings,
    ) -> Result<bool, Invalid> {
        use ErrorCode::{InvalidRecordState, InvalidRequest};
        let Acknowledgement { first_offset, last_offset, types } = acknowledgement;
        let (first, last) = (*first_offset, *last_offset);
        if last < self.start_offset {
            return Ok(false);
        }
        if self.runs.is_empty() {
            let why = "Batch record not found. The request batch offsets are not found in the cache.";
            return Err(invalid(InvalidRecordState, why));
        }
        if first >= self.end {
            let why = "Batch record not found. The first offset in request is past acquired records.";
            return Err(invalid(InvalidRequest, why));
        }
        if last >= self.end {
            let why = "Batch record not found. The last offset in request is past acquired records.";
            return Err(invalid(InvalidRequest, why));
        }
        let begin = first.max(self.start_offset);
        self.split(begin);
        self.split(last + 1);
        if types.len() > 1 {
            (begin..=last).for_each(|offset| self.split(offset));
        }
        let mut changed = false;
        for (start, run) in self.runs.range_mut(begin..=last) {
            let kind = if types.len() > 1 { types.get((*start - first) as usize) } else { types.first() };
            if run.pending.is_some() {
                let why = "The record state is invalid. The acknowledgement of delivery could not be completed.";
                return Err(invalid(InvalidRecordState, why));
            }
            let (RecordState::Acquired, Some((owner, _))) = (run.state, &run.owner) else {
                let why = "The batch cannot be acknowledged. The batch is not in the acquired state.";
                return Err(invalid(InvalidRecordState, why));
            };
            if **owner != *member {
                return Err(invalid(InvalidRecordState, "Member is not the owner of batch record"));
            }
            let state = match kind {
                Some(&RENEW) if delivery.renew_acknowledge => {
                    run.owner = Some((owner.clone(), until));
                    continue;
                }
                Some(&RENEW) => {
                    let why = "Renewing acquisition locks is not enabled for the group.";
                    return Err(invalid(InvalidRecordState, why));
                }
                Some(&ACCEPT) => RecordState::Acknowledged,
                Some(&RELEASE) => run.given_back(delivery),
                Some(_) => RecordState::Archived,
                None => return Err(invalid(InvalidRequest, "An acknowledgement has no type.")),
            };
            run.pending = Some((number, run.state, run.owner.take()));
            run.state = state;
            changed = true;
        }
        Ok(changed)
    }

    /// The member is gone: what it has not acknowledged comes back.
    pub fn release(&mut self, member: &str, delivery: &ShareSettings) -> Option<Pending> {
        let number = self.next_write;
        let mut changed = false;
        for run in self.runs.values_mut() {
            if run.is_held() && run.owner.as_ref().is_some_and(|(owner, _)| **owner == *member) {
                run.pending = Some((number, run.state, run.owner.take()));
                run.state = run.given_back(delivery);
                changed = true;
            }
        }
        changed.then(|| self.pending())
    }

    /// Others may have what members have had for too long: at once, and it is written.
    pub fn expire(&mut self, now: Instant, delivery: &ShareSettings) -> Option<Pending> {
        let mut batches = Vec::new();
        for (first, run) in self.runs.iter_mut() {
            if run.is_held() && run.owner.as_ref().is_some_and(|(_, until)| *until <= now) {
                (run.state, run.owner) = (run.given_back(delivery), None);
                batches.push(run.batch(*first));
            }
        }
        (!batches.is_empty()).then(|| self.write(batches))
    }

    /// Those of this number, to be written.
    fn pending(&mut self) -> Pending {
        let number = self.next_write;
        let of_it = |run: &Run| run.pending.as_ref().is_some_and(|(of, ..)| *of == number);
        let batches = self.runs.iter().filter(|(_, run)| of_it(run)).map(|(first, run)| run.batch(*first)).collect();
        self.write(batches)
    }

    fn write(&mut self, batches: Vec<StateBatch>) -> Pending {
        let write = Write {
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start_offset,
            delivery_complete_count: self.delivery_complete_count(),
            batches,
        };
        let number = self.next_write;
        self.next_write += 1;
        Pending { number, write }
    }

    /// It is known what became of a write. (2, 3)
    pub fn settle(&mut self, number: u64, written: bool) {
        for run in self.runs.values_mut() {
            let Some((_, state, owner)) = run.pending.take_if(|(of, ..)| *of == number) else { continue };
            if !written {
                (run.state, run.owner) = (state, owner);
            }
        }
        if written {
            self.move_start();
        }
        self.merge();
    }

    /// (3)
    fn move_start(&mut self) {
        while let Some((first, run)) = self.runs.first_key_value() {
            if !run.state.is_terminal() || run.pending.is_some() {
                self.start_offset = *first;
                return;
            }
            self.runs.pop_first();
        }
        self.start_offset = self.end;
    }

    /// Neighbours that are alike become one run.
    fn merge(&mut self) {
        let mut merged: VecMap<Offset, Run> = VecMap::new();
        let mut last: Option<(Offset, Run)> = None;
        for (first, run) in std::mem::take(&mut self.runs) {
            match &mut last {
                Some((_, before)) if before.is_like(&run) => before.last = run.last,
                _ => {
                    if let Some((first, run)) = last.replace((first, run)) {
                        merged.insert(first, run);
                    }
                }
            }
        }
        if let Some((first, run)) = last {
            merged.insert(first, run);
        }
        self.runs = merged;
    }

    /// The log begins there: what lies below is gone.
    pub fn log_starts_at(&mut self, offset: Offset) {
        if offset <= self.start_offset {
            return;
        }
        self.split(offset);
        self.runs = self.runs.split_off(&offset);
        self.end = self.end.max(offset);
        self.start_offset = offset;
        self.move_start();
    }
}

impl Run {
    /// But for where they stand.
    fn is_like(&self, other: &Run) -> bool {
        (self.state, self.delivery_count) == (other.state, other.delivery_count)
            && self.owner == other.owner
            && self.pending == other.pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerSettings;

    fn delivery() -> ShareSettings {
        BrokerSettings::default().group.share
    }

    fn wish(member: &str, max_records: usize) -> Wish {
        Wish { member: member.into(), max_records, batch_size: max_records, strict: false }
    }

    /// Batches of ten records.
    fn slots(base: Offset, last: Offset) -> Vec<Slot> {
        (base..=last).step_by(10).map(|base| Slot { base, last: (base + 9).min(last), aborted: false }).collect()
    }

    fn acknowledgement(first_offset: Offset, last_offset: Offset, types: &[i8]) -> Acknowledgement {
        Acknowledgement { first_offset, last_offset, types: types.to_vec() }
    }

    fn acquired(first_offset: Offset, last_offset: Offset, delivery_count: i16) -> Acquired {
        Acquired { first_offset, last_offset, delivery_count }
    }

    const SOON: Instant = Instant::from_millis(30_000);

    fn new() -> SharePartition {
        SharePartition::new(0, 0, 0, &[])
    }

    #[test]
    fn what_is_accepted_moves_the_start_offset_and_what_is_released_comes_again() {
        let mut partition = new();
        let delivery = delivery();
        let got = partition.acquire(&wish("a", 500), 0, &slots(0, 9), SOON, &delivery);
        assert_eq!((got, partition.next_fetch_offset()), (vec![acquired(0, 9, 1)], 10));
        let types = [ACCEPT, ACCEPT, RELEASE, 0, ACCEPT];
        let pending = partition.acknowledge("a", &[acknowledgement(0, 4, &types)], SOON, &delivery).unwrap().unwrap();
        let states: Vec<_> = pending.write.batches.iter().map(|it| (it.first_offset, it.delivery_state)).collect();
        assert_eq!(states, [(0, 2), (1, 2), (2, 0), (3, 4), (4, 2)]);
        assert_eq!((pending.write.start_offset, pending.write.delivery_complete_count), (0, 4));
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (0, 10), "it is not written");
        partition.settle(pending.number, true);
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (2, 2));
        let got = partition.acquire(&wish("b", 500), 2, &slots(0, 9), SOON, &delivery);
        assert_eq!(got, [acquired(2, 2, 2)]);
    }

    #[test]
    fn what_cannot_be_written_is_as_it_was() {
        let mut partition = new();
        let delivery = delivery();
        partition.acquire(&wish("a", 500), 0, &slots(0, 9), SOON, &delivery);
        let all = [acknowledgement(0, 9, &[ACCEPT])];
        let pending = partition.acknowledge("a", &all, SOON, &delivery).unwrap().unwrap();
        assert_eq!(
            partition.acknowledge("a", &all, SOON, &delivery).unwrap_err().error,
            ErrorCode::InvalidRecordState,
            "one is under way"
        );
        partition.settle(pending.number, false);
        assert_eq!(partition.deadline(), Some(SOON));
        assert!(partition.acknowledge("a", &all, SOON, &delivery).unwrap().is_some());
    }

    #[test]
    fn only_who_has_acquired_records_acknowledges_them_and_all_or_nothing() {
        let mut partition = new();
        let delivery = delivery();
        partition.acquire(&wish("a", 500), 0, &slots(0, 9), SOON, &delivery);
        let mut error = |member: &str, acknowledgements: &[Acknowledgement]| {
            partition.acknowledge(member, acknowledgements, SOON, &delivery).unwrap_err().error
        };
        assert_eq!(error("b", &[acknowledgement(0, 9, &[ACCEPT])]), ErrorCode::InvalidRecordState);
        assert_eq!(error("a", &[acknowledgement(0, 12, &[ACCEPT])]), ErrorCode::InvalidRequest);
        assert_eq!(error("a", &[acknowledgement(20, 22, &[ACCEPT])]), ErrorCode::InvalidRequest);
        let twice = [acknowledgement(0, 4, &[ACCEPT]), acknowledgement(4, 5, &[ACCEPT])];
        assert_eq!(error("a", &twice), ErrorCode::InvalidRecordState);
        assert!(partition.acknowledge("a", &[acknowledgement(0, 9, &[ACCEPT])], SOON, &delivery).unwrap().is_some());
    }

    #[test]
    fn what_is_held_too_long_comes_back_and_after_five_deliveries_it_is_archived() {
        let mut partition = new();
        let delivery = delivery();
        for count in 1..=5 {
            let got = partition.acquire(&wish("a", 500), 0, &slots(0, 0), SOON, &delivery);
            assert_eq!(got, [acquired(0, 0, count)]);
            assert_eq!(partition.expire(Instant::from_millis(29_999), &delivery), None);
            let pending = partition.expire(SOON, &delivery).unwrap();
            let state = if count == 5 { 4 } else { 0 };
            assert_eq!(pending.write.batches[0].delivery_state, state);
            partition.settle(pending.number, true);
        }
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (1, 1));
    }

    #[test]
    fn whole_batches_are_acquired_unless_the_member_is_strict() {
        let mut partition = new();
        let delivery = delivery();
        let got = partition.acquire(&wish("a", 15), 0, &slots(0, 39), SOON, &delivery);
        assert_eq!(got, [acquired(0, 19, 1)]);
        let strict = Wish { strict: true, ..wish("b", 15) };
        assert_eq!(partition.acquire(&strict, 20, &slots(20, 39), SOON, &delivery), [acquired(20, 34, 1)]);
        assert_eq!(partition.acquire(&strict, 35, &slots(30, 39), SOON, &delivery), [acquired(35, 39, 1)]);
        let small = Wish { batch_size: 15, ..wish("a", 500) };
        let got = partition.acquire(&small, 40, &slots(40, 79), SOON, &delivery);
        assert_eq!(got, [acquired(40, 59, 1), acquired(60, 79, 1)]);
    }

    #[test]
    fn no_more_are_on_their_way_than_may_be() {
        let mut partition = new();
        let mut delivery = delivery();
        delivery.partition_max_record_locks = 20;
        assert_eq!(partition.acquire(&wish("a", 500), 0, &slots(0, 39), SOON, &delivery), [acquired(0, 19, 1)]);
        assert!(!partition.can_acquire(&delivery));
        assert_eq!(partition.acquire(&wish("a", 500), 20, &slots(20, 39), SOON, &delivery), []);
        let pending = partition.release("a", &delivery).unwrap();
        partition.settle(pending.number, true);
        assert!(partition.can_acquire(&delivery));
        assert_eq!(partition.acquire(&wish("b", 500), 0, &slots(0, 39), SOON, &delivery), [acquired(0, 19, 2)]);
    }

    #[test]
    fn what_was_kept_is_there_again_with_its_gaps() {
        let batch = |first_offset, last_offset, delivery_state, delivery_count| StateBatch {
            first_offset,
            last_offset,
            delivery_state,
            delivery_count,
        };
        let kept = [batch(5, 6, 2, 1), batch(9, 9, 0, 2), batch(10, 11, 4, 5)];
        let mut partition = SharePartition::new(3, 1, 5, &kept);
        let delivery = delivery();
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (7, 7));
        let got = partition.acquire(&wish("a", 500), 7, &slots(0, 19), SOON, &delivery);
        assert_eq!(got, [acquired(7, 8, 1), acquired(9, 9, 3), acquired(12, 19, 1)]);
    }

    #[test]
    fn what_the_log_has_lost_nobody_waits_for() {
        let mut partition = new();
        let delivery = delivery();
        partition.acquire(&wish("a", 500), 0, &slots(0, 19), SOON, &delivery);
        partition.log_starts_at(5);
        assert_eq!(partition.start_offset(), 5);
        assert_eq!(partition.acknowledge("a", &[acknowledgement(0, 4, &[ACCEPT])], SOON, &delivery), Ok(None));
        let pending = partition.acknowledge("a", &[acknowledgement(0, 9, &[ACCEPT])], SOON, &delivery).unwrap();
        partition.settle(pending.unwrap().number, true);
        assert_eq!(partition.start_offset(), 10);
        partition.log_starts_at(100);
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (100, 100));
    }

    #[test]
    fn aborted_records_are_never_delivered() {
        let mut partition = new();
        let mut read = slots(0, 29);
        read[1].aborted = true;
        let got = partition.acquire(&wish("a", 500), 0, &read, SOON, &delivery());
        assert_eq!(got, [acquired(0, 9, 1), acquired(20, 29, 1)]);
        assert_eq!(partition.next_fetch_offset(), 30);
    }

    #[test]
    fn what_the_log_has_lost_holds_nobody_up() {
        let mut partition = SharePartition::new(0, 0, 0, &[]);
        let mut delivery = delivery();
        delivery.partition_max_record_locks = 20;
        assert_eq!(partition.acquire(&wish("a", 500), 0, &slots(0, 39), SOON, &delivery), [acquired(0, 19, 1)]);
        let all_but_one = acknowledgement(1, 19, &[ACCEPT]);
        let pending = partition.acknowledge("a", &[all_but_one], SOON, &delivery).unwrap().unwrap();
        partition.settle(pending.number, true);
        assert!(!partition.can_acquire(&delivery));
        partition.log_starts_at(1);
        assert_eq!(partition.start_offset(), 20);
        assert!(partition.can_acquire(&delivery));
    }

    #[test]
    fn what_was_looked_for_in_another_state_is_nobodys() {
        let mut partition = SharePartition::new(0, 0, 0, &[]);
        assert_eq!(partition.acquire(&wish("a", 500), 100, &slots(100, 109), SOON, &delivery()), []);
        assert_eq!((partition.start_offset(), partition.next_fetch_offset()), (0, 0));
    }
}
