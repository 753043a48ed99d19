//! The markers that end transactions, on their way to the leaders of their partitions, as Kafka's
//! `TransactionMarkerChannelManager` sends them.
//!
//! ```text
//! mark ─▶ place ─[its leader is known and lives]─▶ queued ─[send]─▶ sent ─[NONE]─▶ told
//!           ▲ └─[not]─▶ resting ◀─[lost, or refused for now]─────────┘
//!           └──────────────┘
//! ```
//!
//! 1. A marker counts for the transaction that it was sent for: same id, same term of the coordinator.
//! 2. A partition whose topic is gone needs none.
//! 3. Where a marker comes too late, because the producer or the coordinator has another epoch, another coordinator ends
//!    the transaction: this one lets it be.

use std::sync::Arc;

use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::write_txn_markers_response::WritableTxnMarkerResult;
use kafka_protocol::messages::{ApiKey, ProducerId, RequestKind, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::{RETRY, Sent, Transacting};
use crate::broker::{Broker, Effect};
use crate::client::Wire;
use crate::coordinator::Event;
use crate::coordinator::transaction::end::Complete;
use crate::coordinator::transaction::{Ask, Marks, Transactions};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LeaderEpoch, TopicPartition};
use crate::protocol::cluster::ClusterState;
use crate::protocol::markers::{LATEST, with_transaction_version};
use crate::time::Instant;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;
use crate::view::Level;

#[derive(Clone, Default)]
pub struct Markers {
    /// Transactions that not all of their partitions have been told how they end, by the partition of
    /// `__transaction_state` and the transactional id.
    ending: VecMap<(i32, Arc<str>), Ending>,
    channels: VecMap<BrokerId, Channel>,
    resting: VecSet<(Instant, Marker)>,
    /// Ended, and the coordinator does not know.
    done: Vec<(i32, Complete)>,
    /// What the log of this process is to say.
    notes: Vec<String>,
}

#[derive(Clone)]
struct Ending {
    marks: Marks,
    coordinator_epoch: LeaderEpoch,
}

/// One transaction's, for one partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Marker {
    of: (i32, Arc<str>),
    coordinator_epoch: LeaderEpoch,
    to: TopicPartition,
}

/// What one broker is told.
#[derive(Clone, Default)]
struct Channel {
    queued: VecSet<Marker>,
    sent: Option<VecSet<Marker>>,
}

impl Markers {
    pub fn deadline(&self) -> Option<Instant> {
        self.resting.first().map(|&(at, _)| at)
    }

    /// The transaction ends so, says the coordinator of that partition in that term.
    fn mark(&mut self, now: Instant, cluster: &ClusterState, partition: i32, coordinator_epoch: i32, marks: Marks) {
        let of = (partition, marks.id.clone());
        let partitions = marks.partitions.clone();
        self.ending.insert(of.clone(), Ending { marks, coordinator_epoch });
        self.close(&of);
        for to in partitions {
            self.place(now, cluster, Marker { of: of.clone(), coordinator_epoch, to });
        }
    }

    /// This broker coordinates that partition no more.
    fn forget(&mut self, partition: i32) {
        self.ending.retain(|(of, _), _| *of != partition);
    }

    fn place(&mut self, now: Instant, cluster: &ClusterState, marker: Marker) {
        // (1)
        if self.ending_of(&marker).is_none() {
            return;
        }
        let topic = cluster.topics.get(&marker.to.topic);
        let index = usize::try_from(marker.to.partition).ok();
        match topic.and_then(|topic| topic.partitions.get(index?)) {
            // (2)
            None => self.told(&marker),
            Some(assignment) if cluster.brokers.contains_key(&assignment.leader) => {
                self.channels.entry(assignment.leader).or_default().queued.insert(marker);
            }
            Some(_) => drop(self.resting.insert((now + RETRY, marker))),
        }
    }

    fn ending_of(&mut self, marker: &Marker) -> Option<&mut Ending> {
        self.ending.get_mut(&marker.of).filter(|ending| is_of(Some(ending), marker))
    }

    /// The partition knows.
    fn told(&mut self, marker: &Marker) {
        if let Some(ending) = self.ending_of(marker) {
            ending.marks.partitions.remove(&marker.to);
            self.close(&marker.of);
        }
    }

    /// If all partitions know, so will the coordinator.
    fn close(&mut self, of: &(i32, Arc<str>)) {
        if self.ending.get(of).is_some_and(|ending| ending.marks.partitions.is_empty())
            && let Some(Ending { marks, .. }) = self.ending.remove(of)
        {
            self.done.push((of.0, Complete { id: marks.id, producer: marks.producer }));
        }
    }

    /// What became of a marker.
    fn answered(&mut self, now: Instant, marker: Marker, error: Result<(), ErrorCode>) {
        use ErrorCode::*;
        match error {
            Ok(()) => self.told(&marker),
            // Nobody can have written there as part of a transaction.
            Err(UnsupportedForMessageFormat | UnsupportedVersion) => self.told(&marker),
            Err(error @ (InvalidProducerEpoch | TransactionCoordinatorFenced)) => {
                if self.ending_of(&marker).is_some() {
                    // (3)
                    self.ending.remove(&marker.of);
                    self.notes.push(format!(
                        "Sending {}'s transaction marker for partition {} has permanently failed with error {} with the \
                         current coordinator epoch {}; cancel sending any more transaction markers",
                        marker.of.1,
                        marker.to,
                        crate::error::name(error.code()),
                        marker.coordinator_epoch
                    ));
                }
            }
            Err(_) => drop(self.resting.insert((now + RETRY, marker))),
        }
    }
}

impl Broker {
    /// The coordinator of that partition has decided how a transaction ends.
    pub(in crate::broker) fn mark(&mut self, partition: i32, marks: Marks, out: &mut Vec<Effect>) {
        let epoch = self.coordinator_epoch(partition);
        let now = self.now;
        self.transacting.markers.mark(now.instant, &self.cluster, partition, epoch, marks);
        self.transact(now, out);
    }

    /// This broker coordinates that partition no more.
    pub(in crate::broker) fn forget_markers(&mut self, partition: i32) {
        self.transacting.markers.forget(partition);
    }

    pub(super) fn place_markers_anew(&mut self, out: &mut Vec<Effect>) {
        let now = self.now.instant;
        let markers = &mut self.transacting.markers;
        let queued = markers.channels.values_mut().flat_map(|channel| std::mem::take(&mut channel.queued));
        let resting = std::mem::take(&mut markers.resting).into_iter().map(|(_, marker)| marker);
        for marker in queued.collect::<Vec<_>>().into_iter().chain(resting) {
            markers.place(now, &self.cluster, marker);
        }
        self.complete_transactions(out);
    }

    pub(super) fn send_markers(&mut self, now: Instant, wants: &mut Vec<Wire>, out: &mut Vec<Effect>) {
        let cluster = self.cluster.clone();
        let Transacting { markers, to_leaders, .. } = &mut self.transacting;
        while markers.resting.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, marker)) = markers.resting.pop_first()
        {
            markers.place(now, &cluster, marker);
        }
        let Markers { ending, channels, resting, .. } = markers;
        for (id, channel) in channels {
            if channel.sent.is_some() {
                continue;
            }
            // (1)
            channel.queued.retain(|marker| is_of(ending.get(&marker.of), marker));
            if channel.queued.is_empty() {
                continue;
            }
            let body = |version| request(version, &channel.queued, ending);
            let sent = to_leaders.send(now, (ApiKey::WriteTxnMarkers, *id), cluster.brokers.get(id), body, wants);
            match sent {
                Sent::Yes => channel.sent = Some(std::mem::take(&mut channel.queued)),
                Sent::Waits => {}
                Sent::No => {
                    let queued = std::mem::take(&mut channel.queued);
                    resting.extend(queued.into_iter().map(|marker| (now + RETRY, marker)));
                }
            }
        }
        self.complete_transactions(out);
    }

    pub(super) fn markers_answered(
        &mut self,
        broker: BrokerId,
        body: Option<WriteTxnMarkersResponse>,
        out: &mut Vec<Effect>,
    ) {
        let now = self.now.instant;
        let markers = &mut self.transacting.markers;
        let Some(sent) = markers.channels.get_mut(&broker).and_then(|channel| channel.sent.take()) else { return };
        let results: VecMap<i64, WritableTxnMarkerResult> =
            body.into_iter().flat_map(|body| body.markers).map(|one| (one.producer_id.0, one)).collect();
        for marker in sent {
            let producer = markers.ending_of(&marker).map(|ending| ending.marks.producer.id);
            let code = producer.and_then(|producer| code(results.get(&producer)?, &marker.to));
            // Of what the answer does not speak, nothing is known.
            let result = match code.map(ErrorCode::try_from_code) {
                Some(None) => Ok(()),
                Some(Some(error)) => Err(error),
                None => Err(ErrorCode::NetworkException),
            };
            markers.answered(now, marker, result);
        }
        self.complete_transactions(out);
    }

    /// Tells coordinators what has ended.
    fn complete_transactions(&mut self, out: &mut Vec<Effect>) {
        for text in std::mem::take(&mut self.transacting.markers.notes) {
            out.push(Effect::Note { level: Level::Warn, text });
        }
        for (partition, complete) in std::mem::take(&mut self.transacting.markers.done) {
            self.coordinate::<Transactions>(partition, Event::Asked(Ask::Complete(complete)), out);
        }
    }
}

/// (1)
fn is_of(ending: Option<&Ending>, marker: &Marker) -> bool {
    ending.is_some_and(|ending| ending.coordinator_epoch == marker.coordinator_epoch)
}

fn code(result: &WritableTxnMarkerResult, to: &TopicPartition) -> Option<i16> {
    let topic = result.topics.iter().find(|topic| topic.name == to.topic)?;
    let partition = topic.partitions.iter().find(|partition| partition.partition_index == to.partition)?;
    Some(partition.error_code)
}

/// Markers, in their order, so that those of a transaction, and of a topic, stand together.
fn request(version: i16, sent: &VecSet<Marker>, ending: &VecMap<(i32, Arc<str>), Ending>) -> RequestKind {
    let sent: Vec<&Marker> = sent.iter().collect();
    let mut markers: Vec<WritableTxnMarker> = Vec::new();
    for same in sent.chunk_by(|one, next| one.of == next.of) {
        let Some(Ending { marks, coordinator_epoch }) = ending.get(&same[0].of) else { continue };
        let topics = same.chunk_by(|one, next| one.to.topic == next.to.topic).map(|same| {
            WritableTxnMarkerTopic::default()
                .with_name(same[0].to.topic.clone())
                .with_partition_indexes(same.iter().map(|marker| marker.to.partition).collect())
        });
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(marks.producer.id))
            .with_producer_epoch(marks.producer.epoch)
            .with_transaction_result(marks.commit)
            .with_topics(topics.collect())
            .with_coordinator_epoch(*coordinator_epoch);
        markers.push(if version >= LATEST { with_transaction_version(marker, marks.version) } else { marker });
    }
    WriteTxnMarkersRequest::default().with_markers(markers).into()
}
