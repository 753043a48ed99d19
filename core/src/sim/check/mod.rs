//! What must always hold, checked as it happens: one invariant, one file, by the names of the field (Kafka's TLA+
//! specifications, Jepsen's reports).
//!
//! The checkers see what the outside sees: what producers were told, what consumers got, what lies on disks. Where Kafka
//! does not promise anything (a machine died with unflushed data and there is no other replica) a breach is recorded as
//! exempt and shown as such, not hidden.

mod consistent_read;
mod inconsistent_offsets;
mod lost_write;
mod no_committed_record_lost;
mod nonmonotonic_poll;
mod poll_skip;
mod ranges;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::TopicName;

use crate::client::Report;
use crate::id::Offset;
use crate::time::Instant;

use consistent_read::Seen;
use ranges::Ranges;

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
    topics: BTreeMap<TopicName, Vec<Ledger>>,
    /// By consumer, topic and partition: the offset that comes next; −1 where any may.
    next: BTreeMap<Arc<str>, BTreeMap<TopicName, Vec<Offset>>>,
    violations: Vec<Arc<Violation>>,
    /// Acknowledged records that are gone, exempt or not.
    lost: u64,
}

/// What is known of one partition.
#[derive(Clone, Default)]
struct Ledger {
    acked: Ranges,
    /// Acknowledged by a leader alone (acks=1) that has followers: nobody promises that they stay.
    alone: Ranges,
    seen: Seen,
    /// Retention removed what is below.
    deleted: Offset,
    /// When a machine last died, and where the log ended then.
    torn: Option<(Instant, Offset)>,
}

/// One record at a consumer.
struct Received<'a> {
    topic: &'a TopicName,
    partition: i32,
    offset: Offset,
}

type Verdict = Result<(), (&'static str, String, Option<&'static str>)>;

impl Checks {
    /// `said` is when the broker said what the client reports of now; `alone` is whether its leader said it for itself.
    pub fn report(&mut self, at: Instant, said: Instant, name: &Arc<str>, alone: bool, report: &Report) {
        match report {
            // Without acknowledgements (acks=0) nothing is promised.
            Report::Acked { offset: -1, .. } => {}
            Report::Acked { topic, partition, sequence, offset } => {
                let ledger = ledger(&mut self.topics, topic, *partition);
                // The acknowledgement was on its way while the machine died: it is of a record that is gone already.
                if ledger.torn.is_some_and(|(died, end)| said <= died && *offset >= end) {
                    self.lost += 1;
                    return;
                }
                // What stood there is gone, as another record has its place.
                let (lost, gone) = no_committed_record_lost::replaced(ledger, topic, *partition, *offset);
                let verdict = inconsistent_offsets::check(ledger, topic, *partition, *offset, name, *sequence);
                let acked = if alone { &mut ledger.alone } else { &mut ledger.acked };
                acked.insert(*offset, *offset + 1);
                self.lost += lost;
                self.judge(at, gone);
                self.judge(at, verdict);
            }
            Report::Received { topic, partition, offset, timestamp, key, value } => {
                let received = Received { topic, partition: *partition, offset: *offset };
                let ledger = ledger(&mut self.topics, topic, *partition);
                let hash = consistent_read::hash(*timestamp, key.as_deref(), value.as_deref());
                let next = next(&mut self.next, name, topic, *partition);
                let expected = *next;
                *next = offset + 1;
                let verdicts = [
                    consistent_read::check(ledger, &received, hash),
                    nonmonotonic_poll::check(&received, name, expected),
                    poll_skip::check(ledger, &received, name, expected),
                    lost_write::check(ledger, &received, name, expected),
                ];
                for verdict in verdicts {
                    self.judge(at, verdict);
                }
            }
            Report::Sent { .. } | Report::Failed { .. } | Report::Note(_) => {}
        }
    }

    /// All copies of a partition end at `end` or before.
    pub fn ends(&mut self, at: Instant, topic: &TopicName, partition: i32, end: Offset, exempt: Option<&'static str>) {
        let Some(ledger) = self.topics.get_mut(topic).and_then(|ledgers| ledgers.get_mut(partition as usize)) else {
            return;
        };
        if exempt.is_some() {
            ledger.torn = Some((at, end));
        }
        let (lost, verdict) = no_committed_record_lost::check(ledger, topic, partition, end, exempt);
        self.lost += lost;
        if ledger.seen.forget(end) || lost > 0 {
            // Consumers beyond the end start anew, and what comes there now is something else.
            for offsets in self.next.values_mut().filter_map(|topics| topics.get_mut(topic)) {
                if let Some(next) = offsets.get_mut(partition as usize) {
                    *next = -1;
                }
            }
        }
        self.judge(at, verdict);
    }

    /// Retention removed what is below.
    pub fn deleted(&mut self, topic: &TopicName, partition: i32, below: Offset) {
        let ledger = ledger(&mut self.topics, topic, partition);
        ledger.deleted = ledger.deleted.max(below);
        ledger.acked.remove(Offset::MIN, below);
        ledger.alone.remove(Offset::MIN, below);
    }

    /// The topic is gone: one of the same name is another.
    pub fn removed(&mut self, topic: &TopicName) {
        self.topics.remove(topic);
        for topics in self.next.values_mut() {
            topics.remove(topic);
        }
    }

    /// A consumer starts, perhaps under the name of one that was stopped.
    pub fn began(&mut self, name: &str) {
        self.next.remove(name);
    }

    /// Partitions of which records were acknowledged or consumed.
    pub fn partitions(&self) -> Vec<(TopicName, i32)> {
        let partitions = |(topic, ledgers): (&TopicName, &Vec<Ledger>)| {
            (0..ledgers.len() as i32).map(|partition| (topic.clone(), partition)).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    /// Acknowledged records that are gone, exempt or not.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn violations(&self) -> &[Arc<Violation>] {
        &self.violations
    }

    fn judge(&mut self, at: Instant, verdict: Verdict) {
        if let Err((invariant, found, exempt)) = verdict
            && self.violations.len() < MOST
        {
            self.violations.push(Arc::new(Violation { invariant, at, found, exempt }));
        }
    }
}

fn ledger<'a>(topics: &'a mut BTreeMap<TopicName, Vec<Ledger>>, topic: &TopicName, partition: i32) -> &'a mut Ledger {
    if !topics.contains_key(topic) {
        topics.insert(topic.clone(), Vec::new());
    }
    let ledgers = topics.get_mut(topic).expect("it was put in");
    let place = partition as usize;
    if ledgers.len() <= place {
        ledgers.resize(place + 1, Ledger::default());
    }
    &mut ledgers[place]
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
