//! What this broker asks of others for transactions: the leaders of partitions to end them there, and coordinators whether
//! who writes here may.
//!
//! ```text
//! coordinator ─[Order::Mark]─▶ markers.rs ─▶ WriteTxnMarkers ─▶ … all told ─▶ Ask::Complete ─▶ coordinator
//! Produce, TxnOffsetCommit ─▶ verify.rs ─▶ AddPartitionsToTxn ─▶ a verdict ─▶ they go on
//! ```
//!
//! Each goes over connections of its own, as in Kafka, so that no verdict waits behind a marker that is being replicated;
//! and to this broker itself too. To each broker one request of each kind is on its way at most; what comes up meanwhile
//! goes with the next. `shards.rs` the coordinators' side

mod markers;
mod shards;
pub(super) mod verify;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Effect};
use crate::client::connection::{Answer, Backoff, Network, Settings};
use crate::client::{self, Endpoint, Wire};
use crate::config::BrokerSettings;
use crate::id::{BrokerId, ConnId};
use crate::protocol::cluster::Registration;
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now, sooner};
use crate::vec_map::VecMap;

use markers::Markers;
use verify::Verifier;

/// Kafka's `reconnect.backoff.ms` of such a client, and its `socket.connection.setup.timeout`s.
const RECONNECT: Backoff = Backoff { least: Duration::from_millis(50), most: Duration::from_millis(50) };
const SETUP_TIMEOUT: Backoff = Backoff { least: Duration::from_millis(10_000), most: Duration::from_millis(30_000) };
/// How long to wait before something is sent again that was refused for now.
const RETRY: Duration = Duration::from_millis(50);
/// Where the numbers of their connections begin; those over which it replicates are below.
const MARKERS: ConnId = ConnId(1 << 32);
const VERIFICATIONS: ConnId = ConnId(2 << 32);
pub(super) const SHARE_STATES: ConnId = ConnId(3 << 32);
/// Behind the broker's name they are its client ids there.
const MARKERS_NAME: &str = "txn-marker-sender";
const VERIFICATIONS_NAME: &str = "add-partitions-manager";
pub(super) const SHARE_STATES_NAME: &str = "share-state-persister";

#[derive(Clone)]
pub(super) struct Transacting {
    markers: Markers,
    to_leaders: Line<BrokerId>,
    verifier: Verifier,
    to_coordinators: Line<BrokerId>,
}

/// Connections for one purpose. What comes back with an answer is what was sent along: whom it is from, which call it is.
#[derive(Clone)]
pub(super) struct Line<T> {
    network: Network<T>,
}

fn client_id(broker: BrokerId, name: &str) -> StrBytes {
    StrBytes::from_string(format!("{broker}-{name}"))
}

/// The broker that calls itself so where it asks others for transactions, or for shared partitions. Anybody can: good for a picture, not for trust.
pub fn asker(client_id: &str) -> Option<BrokerId> {
    let names = [MARKERS_NAME, VERIFICATIONS_NAME, SHARE_STATES_NAME].into_iter();
    let id =
        names.filter_map(|name| client_id.strip_prefix("broker-")?.strip_suffix(name)?.strip_suffix('-')).next()?;
    id.parse().ok().map(BrokerId)
}

impl Transacting {
    pub fn new(own: BrokerId, settings: &BrokerSettings, mut dice: impl FnMut(&str) -> Stream) -> Transacting {
        let mut line = |name: &str, first: ConnId| Line::new(own, settings, name, first, dice(name));
        Transacting {
            markers: Markers::default(),
            to_leaders: line(MARKERS_NAME, MARKERS),
            verifier: Verifier::default(),
            to_coordinators: line(VERIFICATIONS_NAME, VERIFICATIONS),
        }
    }

    /// Whether it happened on one of these connections.
    pub fn owns(event: &client::Event) -> bool {
        conn(event).is_some_and(|conn| conn >= MARKERS)
    }

    pub fn deadline(&self) -> Option<Instant> {
        let lines = sooner(self.to_leaders.network.deadline(), self.to_coordinators.network.deadline());
        sooner(lines, self.markers.deadline())
    }
}

pub(super) fn conn(event: &client::Event) -> Option<ConnId> {
    match event {
        client::Event::Opened { conn } | client::Event::Closed { conn } | client::Event::Response { conn, .. } => {
            Some(*conn)
        }
        client::Event::Timer
        | client::Event::Command(_)
        | client::Event::Call { .. }
        | client::Event::Process(_)
        | client::Event::Processed { .. } => None,
    }
}

/// What came of an attempt to send.
pub(super) enum Sent {
    Yes,
    /// The connection does not stand yet.
    Waits,
    /// The broker is not in the cluster, cannot be connected, or does not know the request.
    No,
}

impl<T: Copy> Line<T> {
    /// The numbers of its connections begin at `first`.
    pub(super) fn new(own: BrokerId, settings: &BrokerSettings, name: &str, first: ConnId, dice: Stream) -> Line<T> {
        let settings = Settings {
            client_id: client_id(own, name),
            request_timeout: settings.request_timeout,
            retry_backoff: RECONNECT,
            reconnect_backoff: RECONNECT,
            setup_timeout: SETUP_TIMEOUT,
            metadata_max_age: Duration::MAX,
            metadata_max_idle: None,
        };
        Line { network: Network::new(settings, dice).numbered_from(first) }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.network.deadline()
    }

    pub(super) fn happened(&mut self, now: Instant, event: client::Event, wants: &mut Vec<Wire>) -> Option<Answer<T>> {
        match event {
            client::Event::Opened { conn } => self.network.opened(now, conn, wants),
            client::Event::Closed { conn } => self.network.closed(now, conn),
            client::Event::Response { conn, correlation_id, version, body } => {
                return self.network.response(now, conn, correlation_id, version, body, wants);
            }
            client::Event::Timer
            | client::Event::Command(_)
            | client::Event::Call { .. }
            | client::Event::Process(_)
            | client::Event::Processed { .. } => {}
        }
        None
    }

    /// Sends at the newest version that both know.
    pub(super) fn send(
        &mut self,
        now: Instant,
        (api, tag): (ApiKey, T),
        registration: Option<&Registration>,
        body: impl FnOnce(i16) -> RequestKind,
        wants: &mut Vec<Wire>,
    ) -> Sent {
        let Some(registration) = registration else { return Sent::No };
        let link = self.network.link(&endpoint(registration));
        if !self.network.connect(now, link, wants) {
            return if self.network.is_backing_off(now, link) { Sent::No } else { Sent::Waits };
        }
        let Some(version) = self.network.version(link, api) else { return Sent::No };
        self.network.send(now, link, (api, version), body(version), Some(tag), wants);
        Sent::Yes
    }

    /// That broker is not there any more.
    pub(super) fn hang_up(&mut self, now: Instant, registration: &Registration, wants: &mut Vec<Wire>) {
        let link = self.network.link(&endpoint(registration));
        self.network.hang_up(now, link, wants);
    }

    /// Whose answers are lost.
    pub(super) fn poll(&mut self, now: Instant, wants: &mut Vec<Wire>) -> impl Iterator<Item = T> + use<T> {
        self.network.poll(now, wants);
        self.network.take_lost().into_iter().map(|(_, from)| from)
    }
}

fn endpoint(registration: &Registration) -> Endpoint {
    Endpoint { host: registration.host.clone(), port: registration.port }
}

impl Broker {
    /// Something happened on one of these connections.
    pub(super) fn as_transacting_client(&mut self, now: Now, event: client::Event, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        let Transacting { to_leaders, to_coordinators, .. } = &mut self.transacting;
        let verifies = conn(&event).is_some_and(|conn| conn >= VERIFICATIONS);
        let line = if verifies { to_coordinators } else { to_leaders };
        let answer = line.happened(now.instant, event, &mut wants);
        out.extend(wants.into_iter().map(Effect::Client));
        match answer.map(|Answer { tag, body, .. }| (tag, *body)) {
            Some((from, ResponseKind::WriteTxnMarkers(body))) => self.markers_answered(from, Some(body), out),
            Some((from, ResponseKind::AddPartitionsToTxn(body))) => self.verification_answered(from, Some(body), out),
            // Of another kind it cannot be: it has the request's correlation id, and was decoded as its answer.
            Some(_) | None => {}
        }
        self.transact(now, out);
    }

    /// Sends whatever is to be sent now.
    pub(super) fn transact(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        let Transacting { to_leaders, to_coordinators, .. } = &mut self.transacting;
        let lost_markers = to_leaders.poll(now.instant, &mut wants);
        let lost_verifications = to_coordinators.poll(now.instant, &mut wants);
        for broker in lost_markers {
            self.markers_answered(broker, None, out);
        }
        for broker in lost_verifications {
            self.verification_answered(broker, None, out);
        }
        self.send_markers(now.instant, &mut wants, out);
        self.send_verifications(now.instant, &mut wants, out);
        out.extend(wants.into_iter().map(Effect::Client));
        self.retry_verifications(now, out);
    }

    /// The cluster's state is another: partitions may have other leaders, and brokers be gone.
    pub(super) fn transacting_sees_cluster(
        &mut self,
        now: Now,
        before: &VecMap<BrokerId, Registration>,
        out: &mut Vec<Effect>,
    ) {
        let mut wants = Vec::new();
        for (id, registration) in before {
            if self.cluster.brokers.get(id) != Some(registration) {
                self.transacting.to_leaders.hang_up(now.instant, registration, &mut wants);
                self.transacting.to_coordinators.hang_up(now.instant, registration, &mut wants);
            }
        }
        out.extend(wants.into_iter().map(Effect::Client));
        self.place_markers_anew(out);
        self.transact(now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_known_by_the_client_ids_that_it_has_here() {
        for name in [MARKERS_NAME, VERIFICATIONS_NAME, SHARE_STATES_NAME] {
            assert_eq!(asker(&client_id(BrokerId(12), name)), Some(BrokerId(12)));
        }
        for other in ["broker-12", "broker--txn-marker-sender", "shop", "broker-1-fetcher-0"] {
            assert_eq!(asker(other), None, "{other}");
        }
    }
}
