//! What is known of one partition: what lies in the logs of its replicas, what of that is committed, what was promised
//! to producers and seen by consumers.
//!
//! What is committed is what a leader's high watermark has passed. It is written down once ([`Ledger::truth`]), and every
//! replica's log is compared with it once, so that looking on costs a step for every record and no more.

use std::cell::Cell;
use std::collections::VecDeque;

use uuid::Uuid;

use super::consistent_read::Seen;
use super::marks::Marks;
use super::no_committed_record_lost::{GIVEN_UP, UNCLEAN};
use super::ranges::Ranges;
use super::transactions::Transactions;
use super::{Promises, Verdict};
use crate::id::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use crate::partition::{Partition, Role};
use crate::protocol::cluster::Assignment;
use crate::time::Instant;
use crate::vec_map::VecMap;

#[derive(Clone)]
pub(super) struct Ledger {
    pub name: TopicPartition,
    pub topic_id: Uuid,
    /// There is no such topic any more, or another one of that name.
    pub gone: bool,
    /// What the topic says of `unclean.leader.election.enable`.
    pub unclean: bool,
    /// An operator has asked for an unclean election.
    pub unclean_asked: bool,
    /// And of `min.insync.replicas`.
    pub min_insync: usize,
    /// The topic is compacted, or was: records are marked one by one.
    pub compacted: bool,
    /// What compaction has taken away rightly, on some replica at least.
    pub removed: Ranges,
    /// What ZooKeeper holds, a state or none yet.
    pub written: Assignment,
    /// The same, once there is a state.
    pub authority: Option<Assignment>,
    /// The controller that placed it has been looked at.
    pub placed: bool,
    /// Who led in an epoch, as far as anybody believed it of itself.
    pub leaders: VecMap<LeaderEpoch, BrokerId>,
    pub replicas: VecMap<BrokerId, Replica>,
    /// What is committed.
    pub truth: Marks,
    /// What was acknowledged and is not known to be gone.
    pub acked: Ranges,
    /// Of that, what a leader alone acknowledged.
    pub single: Ranges,
    /// Everything that was acknowledged by all in-sync replicas lies below.
    pub promised: Offset,
    /// What was acknowledged by a leader alone and is not committed: offsets and marks.
    pub alone: VecDeque<(Offset, u64)>,
    pub seen: Seen,
    pub transactions: Transactions,
    /// Retention removed what is below.
    pub deleted: Offset,
    /// When something committed was last lost as Kafka allows it, and from where on.
    pub torn: Option<(Instant, Offset)>,
    /// A replica has started anew, or cut its log: it has its producers from a snapshot, as Kafka's, that holds the last
    /// batch of each alone.
    pub recalled: bool,
    /// Invariants that are broken here: each is told once.
    pub broken: Vec<&'static str>,
}

/// One replica's log, and its process.
#[derive(Clone)]
pub(super) struct Replica {
    pub marks: Marks,
    /// Below, it is what is committed. Looking on moves it.
    agrees: Cell<Offset>,
    /// Where its log ended before its machine died, or its disk: until it is in sync again and has everything. It may have
    /// told its leader of all that, and the word may still be on its way.
    pub lost: Option<Offset>,
    /// It has more than that, and answers for none of it: that was lost as Kafka allows it. Until it is cut back.
    trusted: Offset,
    /// `None` while no process runs.
    pub process: Option<Process>,
}

/// What a broker believes of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub leads: bool,
    pub epoch: LeaderEpoch,
    pub high_watermark: Offset,
    /// Of a leader: where its epoch began, and who is in sync with it.
    pub epoch_start: Offset,
    pub isr: Vec<BrokerId>,
}

impl Process {
    /// Whether it leads, or in which epoch.
    pub fn is_changed_by(&self, partition: &Partition) -> bool {
        self.epoch != partition.leader_epoch() || self.leads != matches!(partition.role, Role::Leader(_))
    }

    /// Whether it believes anything else now.
    pub fn set(&mut self, partition: &Partition) -> bool {
        let (leads, epoch_start, isr) = match &partition.role {
            Role::Leader(leader) => (true, leader.epoch_start, leader.isr()),
            Role::Follower(_) => (false, self.epoch_start, &[][..]),
        };
        let (high_watermark, epoch) = (partition.log.high_watermark(), partition.leader_epoch());
        let now = (leads, epoch, high_watermark, epoch_start);
        let changes = now != (self.leads, self.epoch, self.high_watermark, self.epoch_start) || self.isr != isr;
        if changes {
            (self.leads, self.epoch, self.high_watermark, self.epoch_start) = now;
            self.isr.clear();
            self.isr.extend_from_slice(isr);
        }
        changes
    }
}

impl Default for Replica {
    fn default() -> Self {
        let (marks, agrees) = (Marks::default(), Cell::default());
        Replica { marks, agrees, lost: None, trusted: Offset::MAX, process: None }
    }
}

impl Replica {
    /// As far as this log is what is committed, looked at up to `to`.
    pub fn agrees(&self, truth: &Marks, to: Offset) -> Offset {
        let to = to.min(self.marks.end()).min(truth.end());
        let mut agrees = self.agrees.get();
        while agrees < to {
            let (own, committed) = (self.marks.get(agrees), truth.get(agrees));
            // A log that began later knows nothing of what was before, and cannot contradict.
            if own != committed && own != 0 && committed != 0 {
                break;
            }
            agrees += 1;
        }
        self.agrees.set(agrees);
        agrees
    }

    /// The log ends there now.
    pub fn cut(&mut self, end: Offset) {
        self.marks.cut(end);
        self.agrees.set(self.agrees.get().min(self.marks.end()));
        if self.marks.end() <= self.trusted {
            self.trusted = Offset::MAX;
        }
    }

    pub fn begin_at(&mut self, start: Offset) {
        self.marks.begin_at(start);
        self.agrees.set(0);
        self.trusted = Offset::MAX;
    }

    /// It answers for everything that it has.
    pub fn trust(&mut self) {
        self.trusted = Offset::MAX;
    }

    pub fn is_lossy(&self) -> bool {
        self.lost.is_some()
    }

    /// The high watermark that it must answer for.
    pub fn high_watermark(&self) -> Offset {
        self.process.as_ref().map_or(0, |process| process.high_watermark.min(self.trusted))
    }
}

impl Ledger {
    /// One may be elected that is not in sync.
    pub fn may_be_unclean(&self) -> bool {
        self.unclean || self.unclean_asked
    }

    pub fn new(name: TopicPartition, topic_id: Uuid) -> Ledger {
        Ledger {
            name,
            topic_id,
            gone: false,
            unclean: false,
            unclean_asked: false,
            min_insync: 1,
            compacted: false,
            removed: Ranges::default(),
            written: Assignment::default(),
            authority: None,
            placed: false,
            leaders: VecMap::new(),
            replicas: VecMap::default(),
            truth: Marks::default(),
            acked: Ranges::default(),
            single: Ranges::default(),
            promised: 0,
            alone: VecDeque::new(),
            seen: Seen::default(),
            transactions: Transactions::default(),
            deleted: 0,
            torn: None,
            recalled: false,
            broken: Vec::new(),
        }
    }

    /// Acknowledged records that nobody has got, and that somebody could get.
    pub fn unseen(&self) -> u64 {
        let offsets = self.acked.iter().flat_map(|(from, to)| from.max(self.deleted)..to.min(self.truth.end()));
        offsets.filter(|offset| !self.transactions.hides(*offset, true) && !self.seen.has(*offset)).count() as u64
    }

    /// What was said then of that offset is of a record that was lost since.
    pub fn is_torn(&self, said: Instant, offset: Offset) -> bool {
        self.torn.is_some_and(|(torn, end)| said <= torn && offset >= end)
    }

    /// That offset lies beyond what is committed since something was lost.
    pub fn is_given_up(&self, offset: Offset) -> bool {
        offset >= self.truth.end() && self.torn.is_some_and(|(_, end)| offset >= end)
    }

    /// A producer was told that its record has that offset.
    pub fn promise(&mut self, offset: Offset, alone: bool) -> Verdict {
        if offset < self.truth.end() {
            self.promised = self.promised.max(if alone { 0 } else { offset + 1 });
            return Ok(());
        }
        if alone {
            let marks = self.replicas.values().map(|replica| replica.marks.get(offset));
            self.alone.extend(marks.max().filter(|mark| *mark != 0).map(|mark| (offset, mark)));
            return Ok(());
        }
        // A leader that was given up goes on promising for a while.
        let exempt = match self.torn {
            Some(_) if self.may_be_unclean() => Some(UNCLEAN),
            Some(_) if self.is_given_up(offset) => Some(GIVEN_UP),
            _ => None,
        };
        let found = format!("{} offset {offset} is acknowledged to acks=all and not committed", self.name);
        Err(("NoCommittedRecordLost", found, exempt))
    }

    /// The topic's settings say so from now on.
    pub fn keep_to(&mut self, promises: &Promises) {
        (self.unclean, self.min_insync) = (promises.unclean, promises.min_insync);
        if promises.compacted && !self.compacted {
            self.compact();
        }
    }

    /// The topic is compacted from now on. What batches were marked with says nothing of their records.
    pub fn compact(&mut self) {
        self.compacted = true;
        self.truth.forget_all();
        self.replicas.values_mut().for_each(|replica| replica.marks.forget_all());
        self.alone.clear();
    }

    /// Compaction has taken a record away on that replica.
    pub fn remove(&mut self, id: BrokerId, offset: Offset) {
        self.replica(id).marks.forget(offset);
        self.removed.insert(offset, offset + 1);
        self.acked.remove(offset, offset + 1);
        self.single.remove(offset, offset + 1);
    }

    pub fn replica(&mut self, id: BrokerId) -> &mut Replica {
        self.replicas.get_or_insert_with(id, Replica::default)
    }

    /// Those that believe to lead, with the high watermark that they must answer for.
    pub fn leaders(&self) -> impl Iterator<Item = (BrokerId, &Replica, &Process)> {
        self.replicas.iter().filter_map(|(id, replica)| {
            let process = replica.process.as_ref().filter(|process| process.leads)?;
            Some((*id, replica, process))
        })
    }

    /// A leader's high watermark has risen: what it has below is committed from now on. False where what is committed
    /// already is not what it has.
    pub fn commit(&mut self, leader: BrokerId) -> bool {
        let Some(replica) = self.replicas.get(&leader) else { return true };
        let end = self.truth.end();
        let high_watermark = replica.high_watermark();
        if high_watermark <= end {
            return true;
        }
        if replica.agrees(&self.truth, end) < end {
            return false;
        }
        for offset in end..high_watermark {
            self.truth.append(offset + 1, replica.marks.get(offset));
        }
        replica.agrees.set(self.truth.end());
        true
    }

    pub fn is_lossy(&self) -> bool {
        self.replicas.values().any(Replica::is_lossy)
    }

    /// Replicas whose machines may have lost something, and that are not known to have it back.
    pub fn lossy(&self) -> usize {
        self.replicas.values().filter(|replica| replica.is_lossy()).count()
    }

    /// The most of what is committed that any of them has.
    pub fn survives(&self, on: impl Fn(&BrokerId) -> bool) -> Offset {
        let replicas = self.replicas.iter().filter(|(id, _)| on(id));
        replicas.map(|(_, replica)| replica.agrees(&self.truth, self.truth.end())).max().unwrap_or(0)
    }

    /// What was committed from `end` on is gone; the logs of `heirs` say what comes there now.
    pub fn forget(&mut self, at: Instant, end: Offset, heirs: &[BrokerId]) {
        self.truth.cut(end);
        self.transactions.forget(end);
        self.promised = self.promised.min(end);
        self.torn = Some((at, end));
        for (id, replica) in self.replicas.iter_mut() {
            replica.agrees.set(replica.agrees.get().min(end));
            if heirs.contains(id) {
                replica.trust();
            } else if replica.marks.end() > end {
                replica.trusted = replica.trusted.min(end);
            }
        }
    }
}
