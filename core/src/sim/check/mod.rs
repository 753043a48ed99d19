//! What must always hold, checked as it happens: one invariant, one file, by the names of the field (Kafka's TLA+
//! specifications, Jepsen's reports).
//!
//! The checkers see what the outside sees: what producers were told, what consumers got, what lies in logs and on disks;
//! and what every broker believes of itself, as the TLA+ specifications do. Where Kafka does not promise anything (every
//! machine that was in sync died with unflushed data) a breach is recorded as exempt and shown as such, not hidden.
//!
//! | of replication | what ZooKeeper holds, brokers believe and logs show | `authority.rs`, `ledger.rs`, `marks.rs` |
//! | --- | --- | --- |
//! | StrongIsr, WeakIsr, ValidHighWatermark | the ISR has what lies below the high watermark | `strong_isr.rs` … |
//! | LogMatching | all logs agree below their high watermarks | `log_matching.rs` |
//! | LeaderInIsr, LeaderCompleteness | who is elected, and what it has | `leader_in_isr.rs` … |
//! | MonotonicEpochs, EpochFencedTruncation | epochs fence | `monotonic_epochs.rs` … |
//! | LastValueKept | compaction takes what it may | `last_value_kept.rs` |
//! | ValidFetcherState, RackSpread | who fetches, where replicas lie | `valid_fetcher_state.rs` … |
//! | Liveness | all settles after the faults | `liveness.rs` |
//!
//! | of clients | what producers and consumers show | |
//! | --- | --- | --- |
//! | NoCommittedRecordLost | what is committed stays | `no_committed_record_lost.rs` |
//! | ConsistentRead, InconsistentOffsets | an offset is one record | `consistent_read.rs` … |
//! | LostWrite, PollSkip, NonmonotonicPoll | consumers get all, in order | `lost_write.rs` … |
//! | Duplicate | once | `duplicate.rs` |
//! | G1a, G1b | nothing of what was aborted, or goes on | `g1a.rs`, `g1b.rs` |
//!
//! | of transactions | what logs and applications say of them, `transactions.rs`, `writers.rs` | |
//! | --- | --- | --- |
//! | ContiguousSequences, FencedEpoch | what producers write | `contiguous_sequences.rs` … |
//! | LiveEpoch, SameMarker | who ends a transaction, and how | `live_epoch.rs` … |
//! | StableOffset, TransactionTimeout | what waits for its end | `stable_offset.rs` … |
//!
//! | of groups | what their members are told | `groups.rs` |
//! | --- | --- | --- |
//! | OneOwner, MonotonicGeneration | who reads what, in which generation | `one_owner.rs` … |
//! | StaleCommit, CommittedOffsetKept, Unseen | what is committed, and what reaches the group | `stale_commit.rs` … |
//! | ConsumeCounts | exactly once, where transactions commit for a group | `consume_counts.rs` |
//! | EventuallyOwned | all is read after the faults | `eventually_owned.rs` |
//!
//! As in Jepsen's table of what is allowed, a consumer whose group gives it a partition again may skip what others have read
//! meanwhile, and read again what nobody has committed: PollSkip and NonmonotonicPoll hold from one assignment to the next.

mod authority;
mod committed_offset_kept;
mod consistent_read;
mod consume_counts;
mod contiguous_sequences;
mod duplicate;
mod epoch_fenced_truncation;
pub(super) mod eventually_owned;
mod fenced_epoch;
mod g1a;
mod g1b;
pub(super) mod groups;
mod inconsistent_offsets;
mod last_value_kept;
mod leader_completeness;
mod leader_in_isr;
mod ledger;
mod live_epoch;
pub(super) mod liveness;
mod log_matching;
mod lost_write;
mod marks;
mod monotonic_epochs;
mod monotonic_generation;
mod no_committed_record_lost;
mod nonmonotonic_poll;
mod one_owner;
mod poll_skip;
mod rack_spread;
mod ranges;
mod replication;
mod same_marker;
mod stable_offset;
mod stale_commit;
mod strong_isr;
mod transaction_timeout;
mod transactions;
mod unseen;
mod valid_fetcher_state;
mod valid_high_watermark;
mod weak_isr;
mod writers;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kafka_protocol::messages::TopicName;

use crate::client::{Polled, Report, TransactionStage};
use crate::coordinator::topic::Internal;
use crate::id::{BrokerId, Offset};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

pub(super) use authority::Promises;
pub(super) use groups::Groups;
pub(super) use last_value_kept::Replacement;
use ledger::Ledger;
pub(super) use replication::Death;
use transactions::Committed;
pub(super) use writers::Who;
use writers::{Made, Writer};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub at: Instant,
    /// Where, and what was found.
    pub found: String,
    /// Why Kafka allows it, where it does.
    pub exempt: Option<&'static str>,
}

/// Breaches that are kept; a broken rule would fill the memory otherwise.
const MOST: usize = 1_000;

/// What has been promised and seen so far.
#[derive(Clone, Default)]
pub(super) struct Checks {
    /// Partitions that were ever there; those that are gone stay, unnamed.
    ledgers: Vec<Ledger>,
    /// Which ledger a partition has.
    index: Index,
    /// Which ledger a broker's log has, by its slot.
    logs: VecMap<BrokerId, Vec<Option<usize>>>,
    /// What was set of topics, and what of all brokers while they run.
    topic_configs: VecMap<TopicName, VecMap<String, String>>,
    brokers_config: VecMap<String, String>,
    /// The version of the controller's decisions that was seen last.
    version: u64,
    /// By consumer, topic and partition: the offset that comes next; −1 where any may.
    next: Next,
    /// Producers, and whether a consumer reads what is committed alone.
    writers: VecMap<Arc<str>, Writer>,
    readers: VecMap<Arc<str>, bool>,
    owners: live_epoch::Owners,
    ends: same_marker::Ends,
    /// Places at which a numbered record was read that had been read elsewhere.
    duplicates: VecSet<(usize, Offset)>,
    groups: Groups,
    /// What a consumer's application works off in a transaction.
    polled: VecMap<Arc<str>, Arc<Polled>>,
    violations: Vec<Arc<Violation>>,
    /// Acknowledged records that are gone, exempt or not.
    lost: u64,
}

/// One record at a consumer.
struct Received<'a> {
    topic: &'a TopicName,
    partition: i32,
    offset: Offset,
}

/// The invariant, what was found, and why Kafka allows it, where it does.
type Breach = (&'static str, String, Option<&'static str>);
type Verdict = Result<(), Breach>;

impl Checks {
    /// `said` is when the broker said what the client reports of now; `alone` is that it asked for the leader's
    /// acknowledgement alone (acks=1).
    pub fn report(&mut self, at: Instant, said: Instant, name: &Arc<str>, alone: bool, report: &Report) {
        match report {
            // Without acknowledgements (acks=0) nothing is promised.
            Report::Acked { offset: -1, .. } => {}
            Report::Acked { topic, partition, sequence, offset, .. } => {
                let Some(place) = self.place(topic, *partition) else { return };
                of_client(&mut self.writers, name).into_iter().for_each(|it| it.acked(*sequence, place, *offset));
                let ledger = &mut self.ledgers[place];
                // The acknowledgement was on its way while the record was lost.
                if ledger.is_torn(said, *offset) {
                    self.lost += 1;
                    return;
                }
                // So is what a leader acknowledges that does not know of that; others will have that offset.
                if !alone && ledger.is_given_up(*offset) {
                    self.lost += 1;
                    let verdict = ledger.promise(*offset, false);
                    return self.judge_once(at, place, verdict);
                }
                let again = ledger.acked.contains(*offset);
                let verdict = match again && (alone || ledger.single.contains(*offset)) {
                    // One of the two was a leader's word alone.
                    true => {
                        self.lost += 1;
                        no_committed_record_lost::twice(ledger, *offset)
                    }
                    false => inconsistent_offsets::check(ledger, topic, *partition, *offset, name, *sequence),
                };
                // Compaction may have been faster than the acknowledgement.
                if !ledger.removed.contains(*offset) {
                    ledger.acked.insert(*offset, *offset + 1);
                    if alone {
                        ledger.single.insert(*offset, *offset + 1);
                    }
                }
                let verdict = verdict.and_then(|()| ledger.promise(*offset, alone));
                self.judge_once(at, place, verdict);
            }
            Report::Received { topic, partition, offset, timestamp, key, value, .. } => {
                let received = Received { topic, partition: *partition, offset: *offset };
                let Some(place) = self.place(topic, *partition) else { return };
                let ledger = &mut self.ledgers[place];
                let hash = consistent_read::hash(*timestamp, key.as_deref(), value.as_deref());
                let next = next(&mut self.next, name, topic, *partition);
                // The answer was on its way while the record was lost, or is of a leader that does not know of that.
                if ledger.is_torn(said, *offset) || ledger.is_given_up(*offset) {
                    *next = -1;
                    return;
                }
                let expected = *next;
                *next = offset + 1;
                let committed = of_client(&mut self.readers, name).is_some_and(|committed| *committed);
                let deleted = *offset > ledger.deleted && ledger.deleted > 0;
                let verdicts = [
                    consistent_read::check(ledger, &received, hash),
                    nonmonotonic_poll::check(&received, name, expected),
                    poll_skip::check(ledger, &received, (name, committed), expected),
                    lost_write::check(ledger, &received, (name, committed), expected),
                    if committed { g1a::by_log(ledger, &received, name) } else { Ok(()) },
                    if committed { g1b::by_log(ledger, &received, name) } else { Ok(()) },
                ];
                self.judge_all(at, verdicts);
                self.numbered(at, place, &received, (name, committed), value.as_deref());
                let (ledgers, index) = (&self.ledgers, &self.index);
                // What groups had committed may be gone, as Kafka allows it.
                let lost = || is_torn(ledgers, index, Internal::Groups).then_some("commits were lost");
                let exempt = || deleted.then_some("retention removed them").or_else(lost);
                let hides = |offset| ledgers[place].transactions.hides(offset, committed);
                for verdict in self.groups.received(name, &received, exempt, hides) {
                    self.judge(at, verdict);
                }
            }
            Report::Assigned { .. } | Report::Committed { .. } | Report::Revoked { .. } | Report::Lost { .. } => {
                for verdict in self.groups.told(at, name, report) {
                    self.judge(at, verdict);
                }
                if let Report::Revoked { partitions, .. } | Report::Lost { partitions, .. } = report {
                    for partition in partitions {
                        *next(&mut self.next, name, &partition.topic, partition.partition) = -1;
                    }
                }
            }
            Report::Sent { sequence, .. } | Report::Failed { sequence, partition: -1, .. } => {
                of_client(&mut self.writers, name).into_iter().for_each(|writer| writer.sent(*sequence));
            }
            Report::Renumbered { sequences, .. } => {
                self.writers.get_mut(name).into_iter().for_each(|writer| writer.renumbered(sequences));
            }
            Report::Transaction(stage) => self.transaction(at, name, *stage),
            Report::Failed { .. } | Report::Thrown { .. } | Report::Returned { .. } | Report::Note(_) => {}
            Report::Sought { partition, offset } => {
                self.groups.sought(name, partition, *offset);
                *next(&mut self.next, name, &partition.topic, partition.partition) = -1;
            }
            Report::Polled(polled) => self.polled(name, polled),
            Report::Closed => {}
        }
    }

    /// A client starts, perhaps under the name of one that was stopped.
    pub fn began(&mut self, name: &Arc<str>, who: Who) {
        self.next.remove(name);
        match who {
            // The numbers of one that was there before begin anew: they say nothing any more. What works off a consumer's
            // records does not go by numbers of its own.
            Who::Producer { reads: None, .. } if self.writers.contains_key(name) => {
                self.writers.insert(name.clone(), Writer::anew());
            }
            Who::Producer { idempotent, transactional_id, timeout, reads } => {
                let mut writer = Writer::new(idempotent, transactional_id, timeout);
                writer.reads = reads;
                self.writers.insert(name.clone(), writer);
            }
            Who::Consumer { read_committed } => drop(self.readers.insert(name.clone(), read_committed)),
            Who::Other => {}
        }
    }

    fn transaction(&mut self, at: Instant, name: &Arc<str>, stage: TransactionStage) {
        let Some(writer) = self.writers.get_mut(name) else { return };
        writer.reached(at, stage);
        match (stage, &writer.transactional_id) {
            (TransactionStage::Initialized, Some(id)) => drop(self.owners.insert(id.clone(), (name.clone(), at))),
            (TransactionStage::Committed, _) => {
                let verdict = live_epoch::check(&self.owners, name, writer);
                let polled = writer.reads.as_deref().and_then(|consumer| self.polled.remove(consumer));
                self.judge(at, verdict);
                if let Some(polled) = polled {
                    self.consumed(at, &polled);
                }
            }
            (TransactionStage::Aborted, _) => {
                let consumer = writer.reads.as_deref();
                consumer.into_iter().for_each(|consumer| drop(self.polled.remove(consumer)));
            }
            _ => {}
        }
    }

    /// An application begins to work off what its consumer has got.
    fn polled(&mut self, name: &Arc<str>, polled: &Arc<Polled>) {
        self.polled.insert(name.clone(), polled.clone());
        // One poll gives records of one partition.
        let Some(first) = polled.records.first() else { return };
        let Some(place) = self.place(&first.partition.topic, first.partition.partition) else { return };
        let name = format!("{}:{}", polled.offsets.group, first.partition);
        match self.writers.get_mut(&*name).and_then(|writer| writer.made.as_mut()) {
            Some(made) => made.from = made.from.min(first.offset),
            None => {
                let made = Made { place, from: first.offset };
                self.writers.insert(name.into(), Writer::of_made(made));
            }
        }
    }

    fn consumed(&mut self, at: Instant, polled: &Polled) {
        let place = polled.records.first().map(|read| &read.partition);
        let place = place.and_then(|name| self.place(&name.topic, name.partition));
        let exempt = place.and_then(|place| lost_transactions(&self.ledgers, &self.index, place));
        for verdict in self.groups.consumed(polled, exempt) {
            self.judge(at, verdict);
        }
    }

    /// What must be so when all has settled, beyond what brokers and groups show.
    pub fn settled(&self, now: Instant) -> Result<(), String> {
        self.no_transaction_hangs(now)?;
        self.writers.iter().try_for_each(|(name, writer)| {
            lost_write::settled(name, writer, &self.ledgers)?;
            consume_counts::settled(name, writer, &self.ledgers)
        })
    }

    /// Whether a producer's transaction has taken longer than it may.
    pub fn is_overdue(&self, now: Instant, name: &str) -> bool {
        let writer = self.writers.get(name);
        writer.is_some_and(|writer| {
            writer.transactions.last().is_some_and(|last| now.since(last.begun) >= writer.timeout)
        })
    }

    /// A record was read: whose it is, if it is a numbered one, and whether it was read elsewhere before.
    fn numbered(
        &mut self,
        at: Instant,
        place: usize,
        received: &Received<'_>,
        (consumer, committed): (&Arc<str>, bool),
        value: Option<&[u8]>,
    ) {
        let Some((producer, writer, number)) = writers::numbered(&mut self.writers, value) else { return };
        // A transaction that was aborted is done once more.
        if writer.made.is_some() && !committed {
            return;
        }
        let before = writer.read(number, place, received.offset);
        let whose = (producer, &*writer, number);
        let (aborted, open) = match committed {
            true => (g1a::by_application(received, consumer, whose), g1b::by_application(received, consumer, whose)),
            false => (Ok(()), Ok(())),
        };
        let twice = match before {
            Some((other, before)) if self.duplicates.insert((place, received.offset)) => {
                let lost = writer.made.and_then(|made| lost_transactions(&self.ledgers, &self.index, made.place));
                duplicate::check((&self.ledgers[place], &self.ledgers[other]), received, whose, before, lost)
            }
            _ => Ok(()),
        };
        self.judge_all(at, [aborted, open, twice]);
    }

    /// More of a partition is committed.
    fn transactions_committed(&mut self, at: Instant, place: usize, news: &[Committed]) {
        for committed in news {
            let name = &self.ledgers[place].name;
            let verdicts = [
                contiguous_sequences::check(name, committed),
                fenced_epoch::check(name, committed),
                same_marker::check(&mut self.ends, name, committed),
            ];
            for verdict in verdicts {
                self.judge_once(at, place, verdict);
            }
        }
    }

    /// Numbered records that were read where they should not be: elsewhere than before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.len() as u64
    }

    /// Acknowledged records that nobody has got.
    pub fn unseen(&self) -> u64 {
        self.ledgers.iter().filter(|ledger| self.is_there(ledger)).map(Ledger::unseen).sum()
    }

    fn is_there(&self, ledger: &Ledger) -> bool {
        let known = self.place(&ledger.name.topic, ledger.name.partition);
        known.is_some_and(|place| self.ledgers[place].topic_id == ledger.topic_id)
    }

    /// Whether no transaction has outlived its time.
    fn no_transaction_hangs(&self, now: Instant) -> Result<(), String> {
        let longest = self.writers.values().map(|writer| writer.timeout).max().unwrap_or(Duration::ZERO);
        transaction_timeout::check(&self.ledgers, now, longest)
    }

    /// The process of a client is gone, or it has ended by itself.
    pub fn ended(&mut self, at: Instant, name: &Arc<str>) {
        self.groups.ended(at, name);
        self.next.remove(name);
    }

    /// Acknowledged records that are gone, exempt or not.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn violations(&self) -> &[Arc<Violation>] {
        &self.violations
    }

    pub fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    fn place(&self, topic: &TopicName, partition: i32) -> Option<usize> {
        self.index.get(topic)?.get(usize::try_from(partition).ok()?).copied()
    }

    /// Almost always all of them are well.
    #[inline]
    fn judge_all<const N: usize>(&mut self, at: Instant, verdicts: [Verdict; N]) {
        if verdicts.iter().any(Result::is_err) {
            verdicts.into_iter().filter_map(Result::err).for_each(|breach| self.breached(at, breach));
        }
    }

    #[inline]
    fn judge(&mut self, at: Instant, verdict: Verdict) {
        if let Err(breach) = verdict {
            self.breached(at, breach);
        }
    }

    #[cold]
    fn breached(&mut self, at: Instant, (invariant, found, exempt): Breach) {
        if self.violations.len() < MOST {
            self.violations.push(Arc::new(Violation { invariant, at, found, exempt }));
        }
    }
}

type Index = VecMap<TopicName, Vec<usize>>;
type Next = VecMap<Arc<str>, VecMap<TopicName, Vec<Offset>>>;

fn is_torn(ledgers: &[Ledger], index: &Index, internal: Internal) -> bool {
    index.get(&internal.name()).into_iter().flatten().any(|place| ledgers[*place].torn.is_some())
}

/// Why a transaction that has read of that partition may be done once more, if it may.
fn lost_transactions(ledgers: &[Ledger], index: &Index, place: usize) -> Option<&'static str> {
    match () {
        () if ledgers[place].torn.is_some() => Some("what was read was lost"),
        () if is_torn(ledgers, index, Internal::Transactions) => {
            Some("what coordinators knew of transactions was lost")
        }
        () if is_torn(ledgers, index, Internal::Groups) => Some("commits were lost"),
        () => None,
    }
}

/// A client's place, found by the name's own address: there is one of each most often, and looks cost less than letters.
fn place_of<V>(clients: &VecMap<Arc<str>, V>, name: &Arc<str>) -> Option<usize> {
    clients.keys().position(|known| Arc::ptr_eq(known, name))
}

/// What is known of that client.
fn of_client<'a, V>(clients: &'a mut VecMap<Arc<str>, V>, name: &Arc<str>) -> Option<&'a mut V> {
    match place_of(clients, name) {
        Some(place) => clients.value_at_mut(place),
        None => clients.get_mut(name),
    }
}

fn next<'a>(next: &'a mut Next, name: &Arc<str>, topic: &TopicName, partition: i32) -> &'a mut Offset {
    let topics = match place_of(next, name) {
        Some(place) => next.value_at_mut(place).expect("it has that place"),
        None => next.get_or_insert_entry(name, || (name.clone(), VecMap::default())),
    };
    let offsets = topics.get_or_insert_entry(topic, || (topic.clone(), Vec::new()));
    let place = partition as usize;
    if offsets.len() <= place {
        offsets.resize(place + 1, -1);
    }
    &mut offsets[place]
}
