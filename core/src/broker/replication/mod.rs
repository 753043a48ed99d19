//! This broker as a follower: it fetches from the leaders of its partitions, over the same API as every client.
//!
//! One [`Fetcher`] a leader, as Kafka's `ReplicaFetcherThread`. Of each partition it knows one of
//!
//! ```text
//!                       ┌─[cut, and asks again: KIP-279]
//!                       ▼ │
//! a new leader epoch ─▶ Truncating ─[both logs agree]─▶ Fetching ─[OFFSET_OUT_OF_RANGE]─▶ OutOfRange
//!                                                        ▲  └─[diverging epoch: cut]       │
//!                                                        └──[cut, or begun anew]───────────┘
//! any ─[the leader is in a later epoch, or sends what does not fit]─▶ Failed, until the next epoch
//! any ─[an error that passes]─▶ the same, after replica.fetch.backoff.ms
//! ```
//!
//! 1. A partition is in at most one fetcher, its leader's, and in none while this broker leads it (ValidFetcherState).
//! 2. A fetcher has at most one request on its way, and none while one of its logs is being written or cut: what it asks
//!    for next says that everything before is in the file.
//! 3. It fetches in a leader epoch only when the leader has said where the two logs part (EpochFencedTruncation).
//! 4. An answer counts for a partition that stands where it stood when it was asked about: same epoch, same offset.
//! 5. Batches are appended as they came.
//!
//! `fetcher.rs` what is asked next | `answers.rs` what is done with the answer | `truncate.rs` where to cut

mod answers;
mod fetcher;
mod truncate;

use kafka_protocol::protocol::StrBytes;

use super::share::Sharing;
use super::transaction::Transacting;
use super::{Broker, Effect};
use crate::client::connection::{Backoff, Network, Settings};
use crate::client::{self, Endpoint, Wire};
use crate::config::BrokerSettings;
use crate::id::{BrokerId, LeaderEpoch, LogId};
use crate::log::CutSeek;
use crate::partition::{Partition, Role};
use crate::record::Batch;
use crate::record::check::Invalid;
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now, sooner};
use crate::vec_map::VecMap;

use fetcher::Fetcher;
pub use fetcher::Progress;

/// Kafka's `socket.connection.setup.timeout.ms` and `socket.connection.setup.timeout.max.ms`.
const SETUP_TIMEOUT: Backoff = Backoff { least: Duration::from_millis(10_000), most: Duration::from_millis(30_000) };

#[derive(Clone)]
pub(super) struct Replication {
    network: Network<Tag>,
    fetchers: VecMap<BrokerId, Fetcher>,
    /// (1)
    leaders: VecMap<LogId, BrokerId>,
    next_tag: u64,
    /// A sink, kept for its room: empty between two steps.
    wants: Vec<Wire>,
}

/// A request of a fetcher, counted over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u64);

/// A cut that waits for bytes.
#[derive(Clone, Debug)]
pub struct Cutting {
    log: LogId,
    /// In which it is followed.
    epoch: LeaderEpoch,
    at: truncate::Cutoff,
    seek: CutSeek,
}

impl Replication {
    pub fn new(own: BrokerId, settings: &BrokerSettings, dice: Stream) -> Replication {
        let backoff = Backoff { least: settings.replica_fetch_backoff, most: settings.replica_fetch_backoff };
        let settings = Settings {
            client_id: StrBytes::from_string(format!("{own}-fetcher-0")),
            request_timeout: settings.replica_socket_timeout,
            retry_backoff: backoff,
            reconnect_backoff: backoff,
            setup_timeout: SETUP_TIMEOUT,
            metadata_max_age: Duration::MAX,
            metadata_max_idle: None,
        };
        let network = Network::new(settings, dice);
        Replication { network, fetchers: VecMap::default(), leaders: VecMap::new(), next_tag: 0, wants: Vec::new() }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.fetchers.values().map(Fetcher::deadline).fold(self.network.deadline(), sooner)
    }

    /// The log is none of this broker's to follow any more.
    pub fn unfollow(&mut self, log: LogId) {
        if let Some(fetcher) = self.leaders.remove(&log).and_then(|leader| self.fetchers.get_mut(&leader)) {
            fetcher.remove(log);
        }
    }

    /// From how many leaders that log is fetched (1).
    pub fn fetchers_of(&self, log: LogId) -> usize {
        self.fetchers.values().filter(|fetcher| fetcher.partitions.contains_key(&log)).count()
    }

    /// How far following that log has come.
    pub fn progress(&self, log: LogId) -> Option<Progress> {
        self.fetchers.get(self.leaders.get(&log)?)?.progress(log)
    }

    fn fetcher_of(&mut self, log: LogId) -> Option<&mut Fetcher> {
        self.fetchers.get_mut(self.leaders.get(&log)?)
    }
}

impl Broker {
    /// The partition's role may have changed: it is followed where it must be, and nowhere else.
    pub(super) fn refollow(&mut self, log: LogId) {
        let wanted = self.slot(log).and_then(|partition| match &partition.role {
            Role::Follower(follower) if partition.offline.is_none() => Some((follower.leader, follower.epoch)),
            _ => None,
        });
        let registration = wanted.and_then(|(leader, _)| self.cluster.brokers.get(&leader));
        let (Some((leader, epoch)), Some(registration)) = (wanted, registration) else {
            return self.replication.unfollow(log);
        };
        let endpoint = Endpoint { host: registration.host.clone(), port: registration.port };
        let Some(partition) = self.partitions.get(log) else { return };
        let replication = &mut self.replication;
        if replication.leaders.get(&log) != Some(&leader) {
            replication.unfollow(log);
            replication.leaders.insert(log, leader);
        }
        let link = replication.network.link(&endpoint);
        let fetcher = replication.fetchers.get_or_insert_with(leader, || Fetcher::new(link));
        fetcher.follow(log, partition, epoch, self.config.bugs);
    }

    /// Something happened to this broker as a client.
    pub(super) fn as_client(
        &mut self,
        now: Now,
        event: client::Event,
        batches: Vec<Result<Vec<Batch>, Invalid>>,
        out: &mut Vec<Effect>,
    ) {
        if Sharing::owns(&event) {
            return self.as_sharing_client(now, event, out);
        }
        if Transacting::owns(&event) {
            return self.as_transacting_client(now, event, out);
        }
        let mut wants = std::mem::take(&mut self.replication.wants);
        let network = &mut self.replication.network;
        let answer = match event {
            client::Event::Opened { conn } => {
                network.opened(now.instant, conn, &mut wants);
                None
            }
            client::Event::Closed { conn } => {
                network.closed(now.instant, conn);
                None
            }
            client::Event::Response { conn, correlation_id, version, body } => {
                network.response(now.instant, conn, correlation_id, version, body, &mut wants)
            }
            client::Event::Timer
            | client::Event::Command(_)
            | client::Event::Call { .. }
            | client::Event::Process(_)
            | client::Event::Processed { .. } => None,
        };
        if !wants.is_empty() {
            out.extend(wants.drain(..).map(Effect::Client));
        }
        self.replication.wants = wants;
        if let Some(answer) = answer {
            self.leader_answered(now, answer, batches, out);
        }
        self.replicate(now, out);
    }

    /// Asks the leaders whatever is to be asked now.
    pub(super) fn replicate(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.replication.fetchers.is_empty() {
            return;
        }
        let mut wants = std::mem::take(&mut self.replication.wants);
        let replication = &mut self.replication;
        replication.network.poll(now.instant, &mut wants);
        for (_, tag) in replication.network.take_lost() {
            for fetcher in replication.fetchers.values_mut() {
                fetcher.lost(tag, now.instant + self.settings.replica_fetch_backoff);
            }
        }
        let mut place = 0;
        while let Some(&leader) = self.replication.fetchers.key_at(place) {
            self.ask_leader(now, leader, &mut wants, out);
            // It is taken out where nothing is fetched from it any more.
            place += usize::from(self.replication.fetchers.key_at(place) == Some(&leader));
        }
        if !wants.is_empty() {
            out.extend(wants.drain(..).map(Effect::Client));
        }
        self.replication.wants = wants;
    }

    /// The driver has written what this follower gave it.
    pub(super) fn replica_written(&mut self, now: Now, log: LogId, out: &mut Vec<Effect>) {
        let Some(leader) = self.replication.leaders.get(&log) else { return };
        let is_written = |partition: &Partition| {
            partition.log.appended_end() == partition.log.end() && !partition.log.is_replaying()
        };
        let written = self.slot(log).is_none_or(is_written);
        let Some(fetcher) = self.replication.fetchers.get_mut(leader).filter(|_| written) else { return };
        if fetcher.free(log) {
            self.replicate(now, out);
        }
    }
}
