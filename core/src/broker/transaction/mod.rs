//! What this broker asks of others for transactions: the leaders of partitions to end them there, and coordinators whether
//! who writes here may.
//!
//! ```text
//! coordinator ─[Order::Mark]─▶ markers.rs ─▶ WriteTxnMarkers ─▶ … all told ─▶ Ask::Complete ─▶ coordinator
//! Produce, TxnOffsetCommit ─▶ verify.rs ─▶ AddPartitionsToTxn ─▶ a verdict ─▶ they go on
//! ```
//!
//! Both go over connections of their own, as in Kafka, and to this broker itself too. To each broker one request of each
//! kind is on its way at most; what comes up meanwhile goes with the next.

mod markers;
pub(super) mod verify;

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Effect};
use crate::client;
use crate::client::Endpoint;
use crate::client::connection::{Answer, Backoff, LinkId, Network, Settings};
use crate::config::BrokerSettings;
use crate::id::{BrokerId, ConnId};
use crate::protocol::cluster::Registration;
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now};

use markers::Markers;
use verify::Verifier;

/// Kafka's `reconnect.backoff.ms` of such a client, and its `socket.connection.setup.timeout`s.
const RECONNECT: Backoff = Backoff { least: Duration::from_millis(50), most: Duration::from_millis(50) };
const SETUP_TIMEOUT: Backoff = Backoff { least: Duration::from_millis(10_000), most: Duration::from_millis(30_000) };
/// How long to wait before something is sent again that was refused for now.
const RETRY: Duration = Duration::from_millis(50);
/// Told apart by this from the connections over which it replicates.
const FIRST_CONN: ConnId = ConnId(1 << 32);

#[derive(Clone)]
pub(super) struct Transacting {
    network: Network<Tag>,
    markers: Markers,
    verifier: Verifier,
}

/// Whom a request went to, and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Markers(BrokerId),
    Verify(BrokerId),
}

impl Transacting {
    pub fn new(own: BrokerId, settings: &BrokerSettings, dice: Stream) -> Transacting {
        let settings = Settings {
            client_id: StrBytes::from_string(format!("{}-transactions", own.0)),
            request_timeout: settings.request_timeout,
            retry_backoff: RECONNECT,
            reconnect_backoff: RECONNECT,
            setup_timeout: SETUP_TIMEOUT,
            metadata_max_age: Duration::MAX,
        };
        let network = Network::new(settings, dice).numbered_from(FIRST_CONN);
        Transacting { network, markers: Markers::default(), verifier: Verifier::default() }
    }

    /// Whether it happened on one of these connections.
    pub fn owns(event: &client::Event) -> bool {
        match event {
            client::Event::Opened { conn }
            | client::Event::Closed { conn }
            | client::Event::Response { conn, .. } => *conn >= FIRST_CONN,
            client::Event::Timer | client::Event::Command(_) => false,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.network.deadline().into_iter().chain(self.markers.deadline()).min()
    }
}

/// Something to send to a broker, over a connection that stands.
enum Reach {
    Ready(LinkId),
    /// Not yet.
    Waits,
    /// It is not in the cluster, or cannot be connected.
    Not,
}

fn reach(
    network: &mut Network<Tag>,
    now: Instant,
    registration: Option<&Registration>,
    wants: &mut Vec<client::Effect>,
) -> Reach {
    let Some(registration) = registration else { return Reach::Not };
    let link = network.link(&Endpoint { host: registration.host.clone(), port: registration.port });
    match network.connect(now, link, wants) {
        true => Reach::Ready(link),
        false if network.is_backing_off(now, link) => Reach::Not,
        false => Reach::Waits,
    }
}

/// Sends at the newest version that both know; false where there is none.
fn send(
    network: &mut Network<Tag>,
    now: Instant,
    link: LinkId,
    api: ApiKey,
    body: impl FnOnce(i16) -> RequestKind,
    tag: Tag,
    wants: &mut Vec<client::Effect>,
) -> bool {
    let Some(version) = network.version(link, api) else { return false };
    network.send(now, link, (api, version), body(version), Some(tag), wants);
    true
}

impl Broker {
    /// Something happened on one of these connections.
    pub(super) fn as_transacting_client(&mut self, now: Now, event: client::Event, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        let network = &mut self.transacting.network;
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
                network.response(now.instant, conn, correlation_id, version, *body, &mut wants)
            }
            client::Event::Timer | client::Event::Command(_) => None,
        };
        out.extend(wants.into_iter().map(Effect::Client));
        if let Some(Answer { tag, body, .. }) = answer {
            self.transaction_peer_answered(tag, Some(body), out);
        }
        self.transact(now, out);
    }

    /// Sends whatever is to be sent now.
    pub(super) fn transact(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        self.transacting.network.poll(now.instant, &mut wants);
        for (_, tag) in self.transacting.network.take_lost() {
            self.transaction_peer_answered(tag, None, out);
        }
        self.send_markers(now.instant, &mut wants, out);
        self.send_verifications(now.instant, &mut wants, out);
        out.extend(wants.into_iter().map(Effect::Client));
        self.retry_verifications(now, out);
    }

    /// `None` where the answer is lost.
    fn transaction_peer_answered(&mut self, tag: Tag, body: Option<ResponseKind>, out: &mut Vec<Effect>) {
        match (tag, body) {
            (Tag::Markers(broker), Some(ResponseKind::WriteTxnMarkers(body))) => {
                self.markers_answered(broker, Some(body), out);
            }
            (Tag::Markers(broker), _) => self.markers_answered(broker, None, out),
            (Tag::Verify(broker), Some(ResponseKind::AddPartitionsToTxn(body))) => {
                self.verification_answered(broker, Some(body), out);
            }
            (Tag::Verify(broker), _) => self.verification_answered(broker, None, out),
        }
    }

    /// The cluster's state is another: partitions may have other leaders, and brokers be gone.
    pub(super) fn transacting_sees_cluster(
        &mut self,
        now: Now,
        before: &BTreeMap<BrokerId, Registration>,
        out: &mut Vec<Effect>,
    ) {
        let mut wants = Vec::new();
        for (id, registration) in before {
            if self.cluster.brokers.get(id) != Some(registration) {
                let network = &mut self.transacting.network;
                let link = network.link(&Endpoint { host: registration.host.clone(), port: registration.port });
                network.hang_up(now.instant, link, &mut wants);
            }
        }
        out.extend(wants.into_iter().map(Effect::Client));
        self.place_markers_anew(out);
        self.transact(now, out);
    }
}
