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
//!
//! | of groups | what their members are told | `groups.rs` |
//! | --- | --- | --- |
//! | OneOwner, MonotonicGeneration | who reads what, in which generation | `one_owner.rs` … |
//! | StaleCommit, CommittedOffsetKept, Unseen | what is committed, and what reaches the group | `stale_commit.rs` … |
//! | EventuallyOwned | all is read after the faults | `eventually_owned.rs` |
//!
//! As in Jepsen's table of what is allowed, a consumer whose group gives it a partition again may skip what others have read
//! meanwhile, and read again what nobody has committed: PollSkip and NonmonotonicPoll hold from one assignment to the next.

mod authority;
mod committed_offset_kept;
mod consistent_read;
mod epoch_fenced_truncation;
pub(super) mod eventually_owned;
pub(super) mod groups;
mod inconsistent_offsets;
mod last_value_kept;
mod leader_completeness;
mod leader_in_isr;
mod ledger;
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
mod stale_commit;
mod strong_isr;
mod unseen;
mod valid_fetcher_state;
mod valid_high_watermark;
mod weak_isr;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::TopicName;

use crate::client::Report;
use crate::coordinator::topic::Internal;
use crate::id::{BrokerId, Offset};
use crate::time::Instant;

pub(super) use authority::Promises;
pub(super) use groups::Groups;
pub(super) use last_value_kept::Replacement;
use ledger::Ledger;
pub(super) use replication::Death;

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
    index: BTreeMap<TopicName, Vec<usize>>,
    /// Which ledger a broker's log has, by its slot.
    logs: BTreeMap<BrokerId, Vec<Option<usize>>>,
    /// What was set of topics, and what of all brokers while they run.
    topic_configs: BTreeMap<TopicName, BTreeMap<String, String>>,
    brokers_config: BTreeMap<String, String>,
    /// The version of the controller's decisions that was seen last.
    version: u64,
    /// By consumer, topic and partition: the offset that comes next; −1 where any may.
    next: BTreeMap<Arc<str>, BTreeMap<TopicName, Vec<Offset>>>,
    groups: Groups,
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

type Verdict = Result<(), (&'static str, String, Option<&'static str>)>;

impl Checks {
    /// `said` is when the broker said what the client reports of now; `alone` is that it asked for the leader's
    /// acknowledgement alone (acks=1).
    pub fn report(&mut self, at: Instant, said: Instant, name: &Arc<str>, alone: bool, report: &Report) {
        match report {
            // Without acknowledgements (acks=0) nothing is promised.
            Report::Acked { offset: -1, .. } => {}
            Report::Acked { topic, partition, sequence, offset } => {
                let Some(place) = self.place(topic, *partition) else { return };
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
            Report::Received { topic, partition, offset, timestamp, key, value } => {
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
                let deleted = (*offset > ledger.deleted && ledger.deleted > 0).then_some("retention removed them");
                let verdicts = [
                    consistent_read::check(ledger, &received, hash),
                    nonmonotonic_poll::check(&received, name, expected),
                    poll_skip::check(ledger, &received, name, expected),
                    lost_write::check(ledger, &received, name, expected),
                ];
                for verdict in verdicts {
                    self.judge(at, verdict);
                }
                let exempt = deleted.or_else(|| self.lost_commits());
                for verdict in self.groups.received(name, &received, exempt) {
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
            Report::Sent { .. } | Report::Failed { .. } | Report::Note(_) => {}
            Report::Sought { partition, offset } => {
                self.groups.sought(name, partition, *offset);
                *next(&mut self.next, name, &partition.topic, partition.partition) = -1;
            }
            Report::Closed => {}
        }
    }

    /// A consumer starts, perhaps under the name of one that was stopped.
    pub fn began(&mut self, name: &str) {
        self.next.remove(name);
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

    /// What groups had committed may be gone, as Kafka allows it.
    fn lost_commits(&self) -> Option<&'static str> {
        let places = self.index.get(&Internal::Groups.name())?;
        places.iter().any(|place| self.ledgers[*place].torn.is_some()).then_some("commits were lost")
    }

    fn place(&self, topic: &TopicName, partition: i32) -> Option<usize> {
        self.index.get(topic)?.get(usize::try_from(partition).ok()?).copied()
    }

    fn judge(&mut self, at: Instant, verdict: Verdict) {
        if let Err((invariant, found, exempt)) = verdict
            && self.violations.len() < MOST
        {
            self.violations.push(Arc::new(Violation { invariant, at, found, exempt }));
        }
    }
}

fn next<'a>(
    next: &'a mut BTreeMap<Arc<str>, BTreeMap<TopicName, Vec<Offset>>>,
    name: &Arc<str>,
    topic: &TopicName,
    partition: i32,
) -> &'a mut Offset {
    if !next.contains_key(name) {
        next.insert(name.clone(), BTreeMap::new());
    }
    let topics = next.get_mut(name).expect("it was put in");
    if !topics.contains_key(topic) {
        topics.insert(topic.clone(), Vec::new());
    }
    let offsets = topics.get_mut(topic).expect("it was put in");
    let place = partition as usize;
    if offsets.len() <= place {
        offsets.resize(place + 1, -1);
    }
    &mut offsets[place]
}
