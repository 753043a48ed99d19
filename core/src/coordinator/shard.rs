//! What one partition of a coordinator's topic holds, on the broker that leads it.
//!
//! ```text
//! Loading ─[loaded: the log is read]─▶ Active        Loading ─[failed: it makes no sense]─▶ Failed
//!    committed state ── pending: what is decided and not committed yet ──▶ newest state
//! ```
//!
//! `pending` is in the order of offsets. The last one's state is the newest; where there is none, the committed one is.

use std::collections::VecDeque;

use super::timers::Timers;
use super::{Alarm, At, Machine, Producer, Reply};
use crate::error::ErrorCode;
use crate::id::{LogId, Offset};
use crate::record::batch::batches;
use crate::record::{Batch, Marker, Record};
use crate::time::{Instant, Now};

#[derive(Clone)]
pub struct Shard<M: Machine> {
    pub log: LogId,
    /// Tells it from an earlier one of the same partition: reads that were made for that one come to nothing.
    pub generation: u64,
    machine: M,
    /// As of the high watermark.
    committed: M::State,
    pending: VecDeque<Pending<M>>,
    timers: Timers<M::Timer>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything below `next` has been read; `reading` while a piece from there on is on its way from the log.
    Loading {
        next: Offset,
        reading: bool,
    },
    Active,
    Failed,
}

/// What was decided and is not committed yet.
#[derive(Clone)]
struct Pending<M: Machine> {
    /// It is committed when the high watermark is here.
    end: Offset,
    /// The state with it.
    state: M::State,
    /// Whoever waits for it waits until then.
    deadline: Instant,
    settled: Option<Settled<M>>,
}

/// What is to be said, and decided, when it is known what became of a decision.
#[derive(Clone)]
pub struct Settled<M: Machine> {
    pub response: Option<Reply>,
    pub next: Option<M::Next>,
}

impl<M: Machine> Shard<M> {
    /// Its log is to be read from `start` on.
    pub fn new(log: LogId, generation: u64, start: Offset) -> Self {
        let machine = M::default();
        Shard {
            log,
            generation,
            committed: machine.state().clone(),
            machine,
            pending: VecDeque::new(),
            timers: Timers::new(),
            stage: Stage::Loading { next: start, reading: false },
        }
    }

    /// Why it cannot be asked.
    pub fn active(&self) -> Result<(), ErrorCode> {
        match self.stage {
            Stage::Loading { .. } => Err(ErrorCode::CoordinatorLoadInProgress),
            Stage::Active => Ok(()),
            Stage::Failed => Err(ErrorCode::NotCoordinator),
        }
    }

    /// The newest state, committed or not.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// What may be told to who only reads.
    pub fn committed(&self) -> &M::State {
        &self.committed
    }

    /// When its timers, or those who wait, are next to be looked at.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = self.pending.iter().find(|pending| pending.settled.is_some()).map(|pending| pending.deadline);
        [waits, self.timers.deadline()].into_iter().flatten().min()
    }
}

/// Loading.
impl<M: Machine> Shard<M> {
    pub fn is_loading(&self) -> bool {
        matches!(self.stage, Stage::Loading { .. })
    }

    /// From where on the log is to be read now: nothing is read twice, so not while a piece is on its way.
    pub fn loads_from(&self) -> Option<Offset> {
        match self.stage {
            Stage::Loading { next, reading: false } => Some(next),
            Stage::Loading { reading: true, .. } | Stage::Active | Stage::Failed => None,
        }
    }

    /// What lies below has gone from the log.
    pub fn skip_to(&mut self, offset: Offset) {
        self.stage = Stage::Loading { next: offset, reading: false };
    }

    /// A piece was asked of the log, or a part of it that tells where the piece lies: [`Shard::replay_read`] is to come.
    pub fn reads(&mut self) {
        if let Stage::Loading { reading, .. } = &mut self.stage {
            *reading = true;
        }
    }

    /// Replays what was read from where the loading stands; a batch that is cut off at the end is read again. While it lies
    /// below the high watermark it counts as committed. Fails, saying why, where it makes no sense.
    pub fn replay_read(&mut self, bytes: bytes::Bytes, high_watermark: Offset) -> Result<(), String> {
        let Stage::Loading { mut next, .. } = self.stage else { return Ok(()) };
        let begin = next;
        let mut walk = batches(&bytes);
        for (header, slice) in &mut walk {
            if header.last_offset() < next {
                continue;
            }
            let batch = Batch { header, bytes: bytes.slice_ref(slice) };
            self.replay_batch(&batch).map_err(|why| format!("offset {}: {why}", header.base_offset))?;
            next = header.next_offset();
            if next <= high_watermark {
                self.committed = self.machine.state().clone();
            }
        }
        if next == begin {
            let why = walk.broken().map_or_else(|| "there is nothing".to_owned(), |broken| broken.to_string());
            return Err(format!("offset {begin}: {why}"));
        }
        self.stage = Stage::Loading { next, reading: false };
        Ok(())
    }

    fn replay_batch(&mut self, batch: &Batch) -> Result<(), String> {
        let header = &batch.header;
        let producer =
            header.is_transactional().then_some(Producer { id: header.producer_id, epoch: header.producer_epoch });
        if header.is_control() {
            if let (Some(marker), Some(producer)) = (Marker::of(batch), producer) {
                self.machine.end_transaction(producer, marker.commit);
            }
            return Ok(());
        }
        for record in Record::decode(batch).map_err(|malformed| malformed.to_string())? {
            if let Some(parsed) = M::decode(record.key, record.value)? {
                self.machine.replay(&parsed, At { offset: record.offset, producer });
            }
        }
        Ok(())
    }

    /// Everything below `end` has been read.
    pub fn loaded(&mut self, end: Offset, high_watermark: Offset) {
        self.stage = Stage::Active;
        if high_watermark >= end {
            self.committed = self.machine.state().clone();
        } else {
            self.pend(end);
        }
    }

    pub fn failed(&mut self) {
        self.stage = Stage::Failed;
    }
}

/// Deciding.
impl<M: Machine> Shard<M> {
    pub fn apply(&mut self, moves: Vec<M::Move>, timers: Vec<(M::Timer, Alarm)>, now: Now) {
        for change in moves {
            self.machine.apply(change);
        }
        for (timer, alarm) in timers {
            match alarm {
                Alarm::In(after) => self.timers.set(timer, now.instant + after),
                Alarm::First(after) => self.timers.set_first(timer, now.instant + after),
                Alarm::Off => self.timers.cancel(&timer),
            }
        }
    }

    /// The partition has taken the records, from `base` on.
    pub fn appended(&mut self, records: &[M::Record], base: Offset, producer: Option<Producer>) {
        for (offset, record) in (base..).zip(records) {
            self.machine.replay(record, At { offset, producer });
        }
    }

    /// The partition has taken a marker.
    pub fn marked(&mut self, producer: Producer, committed: bool) {
        self.machine.end_transaction(producer, committed);
    }

    /// Waits until everything below `end` is committed; until then the state stays what it was.
    pub fn wait(&mut self, end: Offset, deadline: Instant, settled: Settled<M>) {
        let state = self.machine.state().clone();
        self.pending.push_back(Pending { end, state, deadline, settled: Some(settled) });
    }

    /// The state as it is now is committed with what ends there; nobody waits for it.
    pub fn pend(&mut self, end: Offset) {
        let state = self.machine.state().clone();
        self.pending.push_back(Pending { end, state, deadline: Instant::ZERO, settled: None });
    }

    /// Where what is decided so far ends; `None` where all of it is committed.
    pub fn pending_end(&self) -> Option<Offset> {
        self.pending.back().map(|last| last.end)
    }

    /// The high watermark is at `to`: the next that is committed by that.
    pub fn commit(&mut self, to: Offset) -> Option<Option<Settled<M>>> {
        let pending = self.pending.pop_front_if(|pending| pending.end <= to)?;
        self.committed = pending.state;
        Some(pending.settled)
    }

    /// The next that has waited in vain. What was decided may still be committed.
    pub fn give_up(&mut self, now: Instant) -> Option<Settled<M>> {
        let late = self.pending.iter_mut().find(|pending| pending.settled.is_some())?;
        if late.deadline <= now { late.settled.take() } else { None }
    }

    pub fn expire(&mut self, now: Instant) -> Option<M::Timer> {
        self.timers.expire(now)
    }

    /// Everybody who waits; nothing is waited for any more.
    pub fn abandon(&mut self) -> impl Iterator<Item = Settled<M>> {
        std::mem::take(&mut self.pending).into_iter().filter_map(|pending| pending.settled)
    }
}
