//! What the checkers of replication are told of brokers: what they write and believe, how they die.

use kafka_protocol::messages::TopicName;

use super::ledger::Ledger;
use super::transactions::Wrote;
use super::{
    Breach, Checks, Replacement, Verdict, epoch_fenced_truncation, last_value_kept, leader_completeness, log_matching,
    monotonic_epochs, no_committed_record_lost, stable_offset, strong_isr, valid_fetcher_state, valid_high_watermark,
    weak_isr,
};
use crate::broker::Broker;
use crate::id::{BrokerId, LogId, Offset, TopicPartition};
use crate::record::{Batch, BatchHeader};
use crate::time::{Instant, Timestamp};

/// What made a log shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Death {
    /// The process died; what it wrote stays.
    Killed,
    /// The machine died, and with it what was not flushed.
    Crashed,
    /// The disk is another one.
    Wiped,
}

impl Checks {
    /// A broker calls a directory's log by that slot from now on.
    pub fn log_opened(&mut self, broker: BrokerId, log: LogId, name: &TopicPartition, base: Offset) {
        let Some(place) = self.place(&name.topic, name.partition) else { return };
        let logs = self.logs.entry(broker).or_default();
        let slot = log.0 as usize;
        if logs.len() <= slot {
            logs.resize(slot + 1, None);
        }
        logs[slot] = Some(place);
        let replica = self.ledgers[place].replica(broker);
        if replica.marks.end() == 0 && base > 0 {
            replica.begin_at(base);
        }
    }

    pub fn appended(&mut self, at: Instant, broker: BrokerId, log: LogId, header: &BatchHeader, batch: &Batch) {
        let Some(place) = self.log(broker, log) else { return };
        let ledger = &mut self.ledgers[place];
        let verdict = epoch_fenced_truncation::appends(ledger, broker, header.base_offset);
        if ledger.compacted {
            if let (Some(wrote), Some(first)) = (Wrote::of(header, batch), last_value_kept::first_mark(header, batch)) {
                ledger.transactions.appended(first, wrote);
            }
            let lacks = last_value_kept::appended(ledger, broker, header, batch);
            self.judge_once(at, place, lacks);
            return self.judge_once(at, place, verdict);
        }
        let replica = ledger.replica(broker);
        if replica.marks.end() < header.base_offset {
            replica.begin_at(header.base_offset);
        }
        let mark = super::marks::mark(header);
        replica.marks.append(header.next_offset(), mark);
        if let Some(wrote) = Wrote::of(header, batch) {
            ledger.transactions.appended(mark, wrote);
        }
        self.judge_once(at, place, verdict);
    }

    /// Compaction replaces segments of a log.
    pub fn replaced(&mut self, at: Instant, broker: BrokerId, log: LogId, wall: Timestamp, replacement: &Replacement) {
        let Some(place) = self.log(broker, log) else { return };
        let verdict = last_value_kept::check(&mut self.ledgers[place], broker, wall, replacement);
        self.judge_once(at, place, verdict);
    }

    /// A broker has no replica of that partition any more: it believes nothing of it.
    pub fn removed(&mut self, at: Instant, broker: BrokerId, log: LogId) {
        let Some(place) = self.log(broker, log) else { return };
        let ledger = &mut self.ledgers[place];
        ledger.replica(broker).process = None;
        ledger.replica(broker).cut(0);
        self.look_for_losses(at, place, None);
    }

    /// A broker cuts a log back.
    pub fn truncated(&mut self, at: Instant, broker: BrokerId, log: LogId, end: Offset) {
        let Some(place) = self.log(broker, log) else { return };
        self.ledgers[place].recalled = true;
        self.ledgers[place].replica(broker).cut(end);
        self.look_for_losses(at, place, None);
    }

    /// Retention removed what is below.
    pub fn deleted(&mut self, broker: BrokerId, log: LogId, below: Offset) {
        let Some(place) = self.log(broker, log) else { return };
        let ledger = &mut self.ledgers[place];
        ledger.deleted = ledger.deleted.max(below);
        let replica = ledger.replica(broker);
        if replica.marks.end() < below {
            replica.begin_at(below);
        }
        ledger.acked.remove(Offset::MIN, below);
    }

    /// A broker's process is gone; `end` says where a directory's log ends on its disk now.
    pub fn died(&mut self, at: Instant, broker: BrokerId, how: Death, end: impl Fn(&TopicPartition) -> Offset) {
        self.logs.remove(&broker);
        let exempt = match how {
            Death::Killed => None,
            Death::Crashed => Some(no_committed_record_lost::LOSSY),
            Death::Wiped => Some(no_committed_record_lost::WIPED),
        };
        let places: Vec<usize> = self.index.values().flatten().copied().collect();
        for place in places {
            let ledger = &mut self.ledgers[place];
            let end = end(&ledger.name);
            let Some(replica) = ledger.replicas.get_mut(&broker) else { continue };
            ledger.recalled = true;
            replica.process = None;
            if how != Death::Killed {
                replica.lost = replica.lost.max(Some(replica.marks.end()));
            }
            if end < replica.marks.end() {
                replica.cut(end);
                self.look_for_losses(at, place, exempt);
            }
        }
    }

    /// A broker has taken a step in which it touched those logs.
    pub fn stepped(&mut self, at: Instant, id: BrokerId, broker: &Broker, touched: &[LogId]) {
        for &log in touched {
            let (Some(place), Some(partition)) = (self.log(id, log), broker.slot(log)) else { continue };
            let ledger = &mut self.ledgers[place];
            let replica = ledger.replica(id);
            let end = partition.log.end();
            if replica.marks.end() < end {
                replica.begin_at(end);
            }
            let is_shorter = end < replica.marks.end();
            replica.cut(end);
            let changes = replica.process.as_ref().is_none_or(|before| before.is_changed_by(partition));
            let epoch_before = replica.process.as_ref().map(|before| before.epoch);
            let now = replica.process.get_or_insert_default();
            let believes = now.set(partition) || epoch_before.is_none();
            let (leads, epoch) = (now.leads, now.epoch);
            if changes {
                let now = now.clone();
                let verdict = monotonic_epochs::believed(ledger, id, epoch_before, &now);
                self.judge_once(at, place, verdict);
            }
            let ledger = &self.ledgers[place];
            let stable = partition.log.last_stable_offset();
            let stable = match leads {
                true => stable_offset::check(&ledger.name, (stable, partition.log.high_watermark(), end)),
                false => Ok(()),
            };
            let fetches = valid_fetcher_state::check(ledger, id, leads, broker.fetchers_of(log));
            let rises = epoch_fenced_truncation::epochs(ledger, id, partition.log.epochs());
            self.judge_once(at, place, fetches);
            self.judge_once(at, place, rises);
            self.judge_once(at, place, stable);
            let ledger = &mut self.ledgers[place];
            // A log that has only grown breaks nothing.
            let is_lossy = ledger.is_lossy();
            if !believes && !is_shorter && !is_lossy {
                continue;
            }
            // What a follower learns of the high watermark its own log alone answers for.
            let learns = !leads && !changes && !is_shorter && !is_lossy;
            let chosen = ledger.authority.as_ref().map(|authority| (authority.leader, authority.leader_epoch));
            if changes && leads && chosen == Some((id, epoch)) {
                // What was given up, it may have after all.
                let replica = ledger.replica(id);
                replica.trust();
                if replica.is_lossy() {
                    let lost = no_committed_record_lost::led(ledger, at, id);
                    self.lose(at, place, lost);
                }
            }
            if leads {
                self.commit(at, place, id);
            }
            let matches = log_matching::check(&self.ledgers[place], id);
            self.judge_once(at, place, matches);
            if learns {
                // More may have been promised since.
                let complete = leader_completeness::check(&self.ledgers[place]);
                self.judge_once(at, place, complete);
            } else {
                self.look(at, place);
            }
        }
    }

    /// The high watermark of a broker that believes to lead may have risen.
    fn commit(&mut self, at: Instant, place: usize, id: BrokerId) {
        let ledger = &mut self.ledgers[place];
        let end = ledger.truth.end();
        if ledger.commit(id) && ledger.truth.end() > end {
            let ledger = &mut self.ledgers[place];
            let committed = ledger.transactions.committed(at, &ledger.truth, end);
            let lost = no_committed_record_lost::committed(ledger);
            self.lose(at, place, lost);
            self.transactions_committed(at, place, &committed);
        }
    }

    /// What holds between the replicas of a partition.
    pub(super) fn look(&mut self, at: Instant, place: usize) {
        let ledger = &mut self.ledgers[place];
        for (id, replica) in ledger.replicas.iter_mut().filter(|(_, replica)| replica.is_lossy()) {
            let in_sync = ledger.authority.as_ref().is_some_and(|authority| authority.isr.contains(id));
            let returned = replica.process.is_some() && in_sync;
            let has_all = returned && replica.agrees(&ledger.truth, Offset::MAX) >= ledger.truth.end();
            replica.lost = replica.lost.filter(|end| !has_all || replica.marks.end() < *end);
        }
        let ledger = &self.ledgers[place];
        let high_watermark = valid_high_watermark::check(ledger);
        let strong = strong_isr::check(ledger);
        let isr = ledger.authority.as_ref().map(|authority| &authority.isr);
        // Where leaders and ZooKeeper agree on who is in sync, both ask the same.
        let same = strong.is_ok() && ledger.leaders().all(|(_, _, process)| isr == Some(&process.isr));
        let weak = if same { Ok(()) } else { weak_isr::check(ledger) };
        let complete = leader_completeness::check(ledger);
        self.judge_once(at, place, high_watermark);
        self.judge_once(at, place, strong);
        self.judge_once(at, place, weak);
        self.judge_once(at, place, complete);
    }

    fn look_for_losses(&mut self, at: Instant, place: usize, exempt: Option<&'static str>) {
        let lost = no_committed_record_lost::check(&mut self.ledgers[place], at, exempt);
        self.lose(at, place, lost);
        self.look(at, place);
    }

    /// Acknowledged records are gone. Consumers that were beyond start anew, and what comes there now is something else.
    pub(super) fn lose(&mut self, at: Instant, place: usize, (lost, verdicts): (u64, Vec<Verdict>)) {
        if verdicts.is_empty() {
            return;
        }
        self.lost += lost;
        let ledger = &mut self.ledgers[place];
        let name = ledger.name.clone();
        self.writers.values_mut().for_each(|writer| writer.forget(place, ledger.truth.end()));
        if ledger.seen.forget(ledger.truth.end()) || lost > 0 {
            for offsets in self.next.values_mut().filter_map(|topics| topics.get_mut(&name.topic)) {
                if let Some(next) = offsets.get_mut(name.partition as usize) {
                    *next = -1;
                }
            }
        }
        for verdict in verdicts {
            self.judge(at, verdict);
        }
    }

    /// The same invariant is told once for a partition: what is broken stays so for a while.
    #[inline]
    pub(super) fn judge_once(&mut self, at: Instant, place: usize, verdict: Verdict) {
        if let Err(breach) = verdict {
            self.breached_once(at, place, breach);
        }
    }

    #[cold]
    fn breached_once(&mut self, at: Instant, place: usize, breach: Breach) {
        let broken = &mut self.ledgers[place].broken;
        if !broken.contains(&breach.0) {
            broken.push(breach.0);
            self.breached(at, breach);
        }
    }

    /// The ledger of a broker's log, unless its topic is gone.
    fn log(&self, broker: BrokerId, log: LogId) -> Option<usize> {
        let place = (*self.logs.get(&broker)?.get(log.0 as usize)?)?;
        (!self.ledgers[place].gone).then_some(place)
    }

    /// The topic is gone, or will be.
    pub(super) fn forget_topic(&mut self, name: &TopicName) {
        for place in self.index.remove(name).into_iter().flatten() {
            self.ledgers[place].gone = true;
        }
    }

    /// A topic of the same name and another id is another one.
    pub(super) fn ledger_of(&mut self, name: TopicPartition, topic_id: uuid::Uuid) -> usize {
        if let Some(place) = self.place(&name.topic, name.partition).filter(|at| self.ledgers[*at].topic_id == topic_id)
        {
            return place;
        }
        let place = self.ledgers.len();
        if name.partition == 0 {
            self.forget_topic(&name.topic);
            let topic: &str = &name.topic.0;
            for topics in self.next.values_mut() {
                topics.retain(|known, _| &*known.0 != topic);
            }
        }
        self.index.entry(name.topic.clone()).or_default().push(place);
        self.ledgers.push(Ledger::new(name, topic_id));
        place
    }
}
