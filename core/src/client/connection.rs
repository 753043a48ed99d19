//! Connections to brokers: one per endpoint, requests in flight on it, their time-outs, and the way back after a loss.
//!
//! ```text
//! Down → Connecting [connect]  → Handshaking [opened] → Ready [ApiVersions answered]
//!   ↑ back-off grows             |                       |
//!   └────────────────────────────┴───────────────────────┘ [closed, refused, setup time-out, request time-out]
//! ```
//!
//! 1. Responses of a connection come in the order of its requests; one that does not fit cuts the connection.
//! 2. A request that is not answered within `request.timeout.ms` cuts the connection, as in Kafka's `NetworkClient`:
//!    what came later would belong to nobody.
//! 3. Whoever sent a request gets its tag back exactly once: answered ([`Network::response`]) or lost
//!    ([`Network::take_lost`]).

use std::cell::Cell;
use std::collections::VecDeque;

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::setting::{Reader, Setting, Valid};
use super::{Endpoint, Wire};
use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::protocol::{Request, version};
use crate::rng::Stream;
use crate::time::{Duration, Instant, sooner};

/// The APIs that a client speaks; WriteTxnMarkers and the last five are for brokers among themselves.
const APIS: [ApiKey; 25] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::ApiVersions,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::AddPartitionsToTxn,
    ApiKey::InitProducerId,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
    ApiKey::WriteTxnMarkers,
    ApiKey::InitializeShareGroupState,
    ApiKey::ReadShareGroupState,
    ApiKey::WriteShareGroupState,
    ApiKey::DeleteShareGroupState,
    ApiKey::ReadShareGroupStateSummary,
];

pub(super) const METADATA_MAX_AGE: Setting = Setting {
    name: "metadata.max.age.ms",
    default: "300000",
    valid: Valid::Number(0, i64::MAX),
    doc: "After how long metadata is asked for again although nothing went wrong.",
};
pub(super) const METADATA_MAX_IDLE: Setting = Setting {
    name: "metadata.max.idle.ms",
    default: "300000",
    valid: Valid::Number(5_000, i64::MAX),
    doc: "After how long metadata of a topic to which nothing was sent is not asked for any more.",
};
pub(super) const RECONNECT_BACKOFF: Setting = Setting {
    name: "reconnect.backoff.ms",
    default: "50",
    valid: Valid::Number(0, i64::MAX),
    doc: "How long to wait before connecting to a broker again; each further failure waits twice as long.",
};
pub(super) const RECONNECT_BACKOFF_MAX: Setting = Setting {
    name: "reconnect.backoff.max.ms",
    default: "1000",
    valid: Valid::Number(0, i64::MAX),
    doc: "The longest wait before connecting again.",
};
pub(super) const SETUP_TIMEOUT: Setting = Setting {
    name: "socket.connection.setup.timeout.ms",
    default: "10000",
    valid: Valid::Number(0, i64::MAX),
    doc: "How long a connection may take to stand; each further failure allows twice as long.",
};
pub(super) const SETUP_TIMEOUT_MAX: Setting = Setting {
    name: "socket.connection.setup.timeout.max.ms",
    default: "30000",
    valid: Valid::Number(0, i64::MAX),
    doc: "The longest that a connection may take to stand.",
};

/// What every client can set.
#[derive(Clone, Debug)]
pub struct Settings {
    pub client_id: StrBytes,
    pub request_timeout: Duration,
    pub retry_backoff: Backoff,
    pub reconnect_backoff: Backoff,
    pub setup_timeout: Backoff,
    pub metadata_max_age: Duration,
    /// Of producers.
    pub metadata_max_idle: Option<Duration>,
}

impl Settings {
    pub(super) fn of(read: Reader<'_>) -> Settings {
        let backoff = |least, most| Backoff { least: read.millis(least), most: read.millis(most) };
        Settings {
            client_id: StrBytes::from_string(read.text("client.id").to_string()),
            request_timeout: read.millis("request.timeout.ms"),
            retry_backoff: backoff("retry.backoff.ms", "retry.backoff.max.ms"),
            reconnect_backoff: backoff(RECONNECT_BACKOFF.name, RECONNECT_BACKOFF_MAX.name),
            setup_timeout: backoff(SETUP_TIMEOUT.name, SETUP_TIMEOUT_MAX.name),
            metadata_max_age: read.millis(METADATA_MAX_AGE.name),
            metadata_max_idle: read.has(METADATA_MAX_IDLE.name).then(|| read.millis(METADATA_MAX_IDLE.name)),
        }
    }
}

/// Twice as long with every failure, up to a limit, ± 20 % so that clients do not come back all at once.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub least: Duration,
    pub most: Duration,
}

impl Backoff {
    /// `failures` counts from 0: how often it had failed before.
    pub fn after(self, failures: u32, dice: &mut Stream) -> Duration {
        let least = self.least.min(self.most);
        let term = least.saturating_mul(1 << failures.min(20)).min(self.most);
        (term / 1_000).saturating_mul(dice.between(800, 1_200) as u32).min(self.most)
    }
}

/// Which connection: a place in the table, for the client's whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(usize);

/// All connections of a client. `T` is what the client wants back with a response.
#[derive(Clone, Debug)]
pub struct Network<T> {
    settings: Settings,
    links: Vec<Link<T>>,
    next_conn: u64,
    dice: Stream,
    lost: Vec<(LinkId, T)>,
    /// A connection was lost or refused.
    broken: bool,
    /// The newest features that a broker told of: their epoch, and the level of `transaction.version`.
    features: Option<(i64, i16)>,
    /// The deadline, unless it is to be found out anew: it is asked for after every step.
    due: Cell<Option<Option<Instant>>>,
}

#[derive(Clone, Debug)]
struct Link<T> {
    to: Endpoint,
    /// Kept for a coordinator.
    apart: bool,
    state: State,
    conn: ConnId,
    /// Somebody wants to send: reconnect as soon as the back-off is over.
    wanted: bool,
    /// In a row.
    failures: u32,
    /// The highest version that both sides know, by API.
    versions: Vec<(ApiKey, i16)>,
    next_correlation: i32,
    in_flight: VecDeque<InFlight<T>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { until: Instant },
    Connecting { give_up: Instant },
    Handshaking,
    Ready,
}

#[derive(Clone, Debug)]
struct InFlight<T> {
    correlation_id: i32,
    give_up: Instant,
    /// `None` for ApiVersions, which is the network's own.
    tag: Option<T>,
}

/// A response, matched with its request.
#[derive(Debug)]
pub struct Answer<T> {
    pub link: LinkId,
    pub version: i16,
    pub body: Box<ResponseKind>,
    pub tag: T,
}

impl<T> Network<T> {
    pub fn new(settings: Settings, dice: Stream) -> Self {
        Network {
            settings,
            links: Vec::new(),
            next_conn: 0,
            dice,
            lost: Vec::new(),
            broken: false,
            features: None,
            due: Cell::default(),
        }
    }

    /// Its connections are told apart from those of others by their numbers, from `first` on.
    pub fn numbered_from(self, first: ConnId) -> Self {
        Network { next_conn: first.0, ..self }
    }

    /// The link to that endpoint; a new one is down.
    pub fn link(&mut self, to: &Endpoint) -> LinkId {
        self.link_of(to, false)
    }

    /// A link to that endpoint beside the usual one: what a coordinator is asked must not wait behind a Fetch, as a broker
    /// answers in order.
    pub fn link_apart(&mut self, to: &Endpoint) -> LinkId {
        self.link_of(to, true)
    }

    fn link_of(&mut self, to: &Endpoint, apart: bool) -> LinkId {
        let known = self.links.iter().position(|link| link.to == *to && link.apart == apart);
        LinkId(known.unwrap_or_else(|| {
            self.links.push(Link {
                to: to.clone(),
                apart,
                state: State::Down { until: Instant::ZERO },
                conn: ConnId(u64::MAX),
                wanted: false,
                failures: 0,
                versions: Vec::new(),
                next_correlation: 0,
                in_flight: VecDeque::new(),
            });
            self.links.len() - 1
        }))
    }

    /// Whether requests can be sent now. If not, the connection is on its way, or will be after its back-off.
    pub fn connect(&mut self, now: Instant, id: LinkId, out: &mut Vec<impl From<Wire>>) -> bool {
        let link = &mut self.links[id.0];
        if link.state == State::Ready && link.wanted {
            return true;
        }
        self.due.take();
        link.wanted = true;
        if let State::Down { until } = link.state
            && until <= now
        {
            link.conn = ConnId(self.next_conn);
            self.next_conn += 1;
            let patience = self.settings.setup_timeout.after(link.failures, &mut self.dice);
            link.state = State::Connecting { give_up: now + patience };
            out.push(Wire::Open { conn: link.conn, to: link.to.clone() }.into());
        }
        link.state == State::Ready
    }

    pub fn is_ready(&self, id: LinkId) -> bool {
        self.links[id.0].state == State::Ready
    }

    /// Whether connecting has failed and its back-off is not over.
    pub fn is_backing_off(&self, now: Instant, id: LinkId) -> bool {
        matches!(self.links[id.0].state, State::Down { until } if until > now)
    }

    /// Requests that wait for their responses.
    pub fn in_flight(&self, id: LinkId) -> usize {
        self.links[id.0].in_flight.len()
    }

    pub fn all_in_flight(&self) -> usize {
        self.links.iter().map(|link| link.in_flight.len()).sum()
    }

    /// The highest version of an API that both sides know; `None` before the handshake, or where there is none.
    pub fn version(&self, id: LinkId, api: ApiKey) -> Option<i16> {
        self.links[id.0].versions.iter().find(|(known, _)| *known == api).map(|(_, version)| *version)
    }

    /// Sends on a ready link, at a version that both know. Without a tag no response is expected.
    #[inline]
    pub fn send(
        &mut self,
        now: Instant,
        id: LinkId,
        (api, version): (ApiKey, i16),
        body: RequestKind,
        tag: Option<T>,
        out: &mut Vec<impl From<Wire>>,
    ) {
        self.send_patiently(now, id, (api, version), body, tag, self.settings.request_timeout, out);
    }

    /// The same, where the broker may take longer to answer.
    #[allow(clippy::too_many_arguments)]
    #[inline]
    pub fn send_patiently(
        &mut self,
        now: Instant,
        id: LinkId,
        (api, version): (ApiKey, i16),
        body: RequestKind,
        tag: Option<T>,
        patience: Duration,
        out: &mut Vec<impl From<Wire>>,
    ) {
        let link = &mut self.links[id.0];
        let correlation_id = link.correlation();
        if tag.is_some() {
            let give_up = now + patience.max(self.settings.request_timeout);
            link.in_flight.push_back(InFlight { correlation_id, give_up, tag });
            let due = self.due.take().filter(|_| link.state == State::Ready);
            self.due.set(due.map(|due| sooner(due, Some(give_up))));
        }
        let request = Request::new(api, version, correlation_id, Some(self.settings.client_id.clone()), body);
        out.push(Wire::Send { conn: link.conn, request }.into());
    }

    pub fn opened(&mut self, now: Instant, conn: ConnId, out: &mut Vec<impl From<Wire>>) {
        if let Some(id) = self.of(conn)
            && let State::Connecting { .. } = self.links[id.0].state
        {
            self.due.take();
            self.links[id.0].state = State::Handshaking;
            self.handshake(now, id, ApiKey::ApiVersions.valid_versions().max, out);
        }
    }

    /// Nobody needs the link any more: its connection is closed, and how it failed before is forgotten.
    pub fn hang_up(&mut self, now: Instant, id: LinkId, out: &mut Vec<impl From<Wire>>) {
        self.due.take();
        let link = &mut self.links[id.0];
        if !matches!(link.state, State::Down { .. }) {
            out.push(Wire::Close { conn: link.conn }.into());
        }
        link.state = State::Down { until: now };
        (link.wanted, link.failures) = (false, 0);
        link.versions.clear();
        // (3)
        self.lost.extend(link.in_flight.drain(..).filter_map(|request| Some((id, request.tag?))));
    }

    /// The world took the connection away, or refused it.
    pub fn closed(&mut self, now: Instant, conn: ConnId) {
        if let Some(id) = self.of(conn) {
            self.down(now, id);
        }
    }

    /// Takes a response; gives it with its tag if it is not the network's own.
    pub fn response(
        &mut self,
        now: Instant,
        conn: ConnId,
        correlation_id: i32,
        version: i16,
        body: Box<ResponseKind>,
        out: &mut Vec<impl From<Wire>>,
    ) -> Option<Answer<T>> {
        let id = self.of(conn)?;
        let link = &mut self.links[id.0];
        let answered = link.in_flight.pop_front();
        if let (Some(answered), Some(due)) = (&answered, self.due.get())
            && due == Some(answered.give_up)
        {
            self.due.take();
        }
        match answered {
            Some(InFlight { correlation_id: awaited, tag: Some(tag), .. }) if awaited == correlation_id => {
                Some(Answer { link: id, version, body, tag })
            }
            Some(InFlight { correlation_id: awaited, tag: None, .. }) if awaited == correlation_id => {
                match *body {
                    ResponseKind::ApiVersions(body) if body.error_code == 0 => {
                        self.learn_features(&body);
                        self.shake(now, id, &body.api_keys, out);
                    }
                    ResponseKind::ApiVersions(body)
                        if body.error_code == ErrorCode::UnsupportedVersion.code() && !link.downgraded() =>
                    {
                        let known = body.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16);
                        let ours = ApiKey::ApiVersions.valid_versions().max;
                        self.handshake(now, id, known.map_or(0, |known| known.max_version.clamp(0, ours - 1)), out);
                    }
                    _ => self.cut(now, id, out),
                }
                None
            }
            other => {
                // (1) Not what was asked: nothing on this connection can be believed any more.
                link.in_flight.extend(other);
                self.cut(now, id, out);
                None
            }
        }
    }

    /// Gives up what has waited too long, and opens what is wanted and may be tried again.
    #[inline]
    pub fn poll(&mut self, now: Instant, out: &mut Vec<impl From<Wire>>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.cut_and_open(now, out);
        }
    }

    fn cut_and_open(&mut self, now: Instant, out: &mut Vec<impl From<Wire>>) {
        for at in 0..self.links.len() {
            let link = &self.links[at];
            match link.state {
                State::Down { until } if link.wanted && until <= now => {
                    self.connect(now, LinkId(at), out);
                }
                State::Connecting { give_up } if give_up <= now => self.cut(now, LinkId(at), out),
                // (2)
                _ if link.give_up().is_some_and(|give_up| give_up <= now) => self.cut(now, LinkId(at), out),
                _ => {}
            }
        }
    }

    /// The tags of requests that will not be answered, since the last call.
    pub fn take_lost(&mut self) -> Vec<(LinkId, T)> {
        std::mem::take(&mut self.lost)
    }

    /// Whether a connection was lost or refused since the last call: whoever led partitions there may not any more.
    pub fn take_broken(&mut self) -> bool {
        std::mem::take(&mut self.broken)
    }

    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        if let Some(due) = self.due.get() {
            return due;
        }
        let due = self.find_deadline();
        self.due.set(Some(due));
        due
    }

    fn find_deadline(&self) -> Option<Instant> {
        let of = |link: &Link<T>| match link.state {
            State::Down { until } => link.wanted.then_some(until),
            State::Connecting { give_up } => Some(give_up),
            State::Handshaking | State::Ready => link.give_up(),
        };
        self.links.iter().map(of).fold(None, sooner)
    }

    /// For the page: the endpoint and how it stands, of every link.
    pub fn facts(&self) -> Vec<(String, String)> {
        let of = |link: &Link<T>| {
            let state = match link.state {
                State::Down { until } => format!("down; opened when it is needed, from {until} on"),
                State::Connecting { .. } => "connecting".to_string(),
                State::Handshaking => "asks for API versions".to_string(),
                State::Ready => format!("ready, {} in flight", link.in_flight.len()),
            };
            (format!("{}:{}", link.to.host, link.to.port), state)
        };
        self.links.iter().map(of).collect()
    }

    fn of(&self, conn: ConnId) -> Option<LinkId> {
        let live = |link: &Link<T>| link.conn == conn && !matches!(link.state, State::Down { .. });
        self.links.iter().position(live).map(LinkId)
    }

    fn handshake(&mut self, now: Instant, id: LinkId, version: i16, out: &mut Vec<impl From<Wire>>) {
        self.due.take();
        let link = &mut self.links[id.0];
        link.versions = vec![(ApiKey::ApiVersions, version)];
        let correlation_id = link.correlation();
        let give_up = now + self.settings.request_timeout;
        link.in_flight.push_back(InFlight { correlation_id, give_up, tag: None });
        let body = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ottla"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let client_id = Some(self.settings.client_id.clone());
        let request =
            Request::new(ApiKey::ApiVersions, version, correlation_id, client_id, RequestKind::ApiVersions(body));
        out.push(Wire::Send { conn: link.conn, request }.into());
    }

    fn learn_features(&mut self, body: &ApiVersionsResponse) {
        let epoch = body.finalized_features_epoch;
        if epoch >= 0 && self.features.is_none_or(|(known, _)| epoch > known) {
            let level = body.finalized_features.iter().find(|feature| &*feature.name == "transaction.version");
            self.features = Some((epoch, level.map_or(0, |level| level.max_version_level)));
        }
    }

    /// The newest features that a broker told of: their epoch, and the level of `transaction.version`.
    pub fn features(&self) -> Option<(i64, i16)> {
        self.features
    }

    /// The handshake is done: the highest version that both know, of each API.
    fn shake(&mut self, now: Instant, id: LinkId, theirs: &[ApiVersion], out: &mut Vec<impl From<Wire>>) {
        let common = |api: ApiKey| {
            let ours = version::spoken(api);
            let theirs = theirs.iter().find(|theirs| theirs.api_key == api as i16)?;
            let version = ours.max.min(theirs.max_version);
            (version >= ours.min && version >= theirs.min_version).then_some((api, version))
        };
        let link = &mut self.links[id.0];
        link.versions = APIS.into_iter().filter_map(common).collect();
        // A broker that shares no version of Metadata with us is of no use, today or in a second.
        if link.versions.iter().any(|(api, _)| *api == ApiKey::Metadata) {
            link.state = State::Ready;
            link.failures = 0;
        } else {
            self.cut(now, id, out);
        }
    }

    fn cut(&mut self, now: Instant, id: LinkId, out: &mut Vec<impl From<Wire>>) {
        out.push(Wire::Close { conn: self.links[id.0].conn }.into());
        self.down(now, id);
    }

    fn down(&mut self, now: Instant, id: LinkId) {
        self.due.take();
        let link = &mut self.links[id.0];
        let wait = self.settings.reconnect_backoff.after(link.failures, &mut self.dice);
        link.failures += 1;
        link.state = State::Down { until: now + wait };
        link.wanted = false;
        link.versions.clear();
        self.broken = true;
        // (3)
        self.lost.extend(link.in_flight.drain(..).filter_map(|request| Some((id, request.tag?))));
    }
}

impl<T> Link<T> {
    /// When the first of the requests in flight has waited too long.
    fn give_up(&self) -> Option<Instant> {
        self.in_flight.iter().map(|request| request.give_up).min()
    }

    fn correlation(&mut self) -> i32 {
        let id = self.next_correlation;
        self.next_correlation = id.wrapping_add(1) & i32::MAX;
        id
    }

    /// Whether ApiVersions has been asked at a lower version already.
    fn downgraded(&self) -> bool {
        self.versions.first().is_some_and(|(_, version)| *version < ApiKey::ApiVersions.valid_versions().max)
    }
}
