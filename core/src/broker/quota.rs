//! Clients are held to their quotas (KIP-219): one that has done more than it may is answered at once, told for how long it
//! should wait, and not heard for that long.
//!
//! ```text
//! request ─▶ noted, whose it is ─▶ … ─▶ answer ─▶ measured: bytes taken, bytes given, time ─▶ within all quotas
//!                                                                                       └─▶ too much: told, and muted
//! ```
//!
//! 1. Nothing is noted, and nothing measured, before there is a quota.
//! 2. Of a client that has a quota one request is taken at a time, or it would have sent many more before it is muted.
//! 3. A consumer that must wait is given no records: they do not count, and it comes again for them.
//! 4. Followers are not held to quotas, and cost nobody's.
//! 5. What a request took of the broker's time is known only after it; so it counts with the client's next answer.

use std::sync::Arc;

use kafka_protocol::messages::RequestKind;
use kafka_protocol::protocol::StrBytes;

use super::{Broker, Effect};
use crate::config::BrokerSettings;
use crate::id::{ConnId, Ticket};
use crate::protocol::request::follower;
use crate::protocol::{Request, throttle};
use crate::quota::arrivals::ArrivalRates;
use crate::quota::bucket::Spent;
use crate::quota::meter::{Measured, Meter};
use crate::quota::{ANONYMOUS, ClientQuotas, Key};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

#[derive(Clone)]
pub struct Quotas {
    produce: Meter,
    fetch: Meter,
    request: Meter,
    /// Some quota was set, of these or of the controller's.
    enabled: bool,
    /// Requests without an answer.
    asked: VecMap<Ticket, Caller>,
    /// Connections of which it is known whether their clients have quotas. (2)
    looked_at: VecSet<ConnId>,
    /// Who asked last; `None` where that is not counted.
    latest: Option<StrBytes>,
}

/// Whose a request is, and what it costs.
#[derive(Clone)]
struct Caller {
    client: StrBytes,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Produce {
        bytes: usize,
    },
    /// A follower's. (4)
    Replication,
    Other,
}

/// What clients do, of each kind.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    pub produce: Vec<Measured>,
    pub fetch: Vec<Measured>,
    pub request: Vec<Measured>,
    pub mutations: Vec<Spent>,
}

impl Quotas {
    pub fn new(settings: &BrokerSettings) -> Quotas {
        let windows = settings.quota_windows;
        Quotas {
            produce: Meter::new(Key::ProducerByteRate, windows, None),
            fetch: Meter::new(Key::ConsumerByteRate, windows, None),
            request: Meter::new(Key::RequestPercentage, windows, Some(windows.length)),
            enabled: false,
            asked: VecMap::new(),
            looked_at: VecSet::new(),
            latest: None,
        }
    }

    /// These hold from now on.
    pub fn follow(&mut self, quotas: &ClientQuotas) {
        self.enabled |= quotas.values().flat_map(VecMap::keys).any(|name| Key::of_client(name).is_some());
        self.looked_at.clear();
        for meter in [&mut self.produce, &mut self.fetch, &mut self.request] {
            meter.follow(quotas);
        }
    }

    /// (1)
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// A request has come.
    pub fn asked(&mut self, ticket: Ticket, request: &Request, out: &mut Vec<Effect>) {
        let what = match &request.body {
            RequestKind::Produce(_) => What::Produce { bytes: request.len },
            RequestKind::Fetch(fetch) if follower(fetch).is_some() => What::Replication,
            _ => What::Other,
        };
        let client = request.client_id.clone().unwrap_or_default();
        if self.looked_at.insert(ticket.conn)
            && what != What::Replication
            && [&self.produce, &self.fetch, &self.request].iter().any(|meter| meter.limits(ANONYMOUS, &client))
        {
            out.push(Effect::Limit { conn: ticket.conn });
        }
        self.latest = (what != What::Replication).then(|| client.clone());
        self.asked.insert(ticket, Caller { client, what });
    }

    /// What came last took so long. (5)
    pub fn spent(&mut self, now: Instant, time: Duration) {
        if let Some(client) = &self.latest {
            self.request.note(now, ANONYMOUS, client, time.as_nanos() as f64 / 1e7);
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.asked.retain(|ticket, _| ticket.conn != conn);
        self.looked_at.remove(&conn);
    }

    /// No more than this is to be fetched by a client at once.
    pub fn most_fetched(&mut self, now: Instant, client: &str) -> Option<u32> {
        self.fetch.most_at_once(now, ANONYMOUS, client).map(|bytes| bytes as u32)
    }

    /// For how long a consumer must wait that would be given so many bytes; zero if it gets them. (3)
    pub fn fetched(&mut self, now: Instant, ticket: Ticket, bytes: u64) -> Duration {
        let Some(Caller { client, .. }) = self.asked.remove(&ticket) else { return Duration::ZERO };
        let time = self.request.record(now, ANONYMOUS, &client, 0.0);
        let bandwidth = self.fetch.record(now, ANONYMOUS, &client, bytes as f64);
        let wait = time.max(bandwidth);
        if !wait.is_zero() {
            self.fetch.take_back(now, ANONYMOUS, &client, bytes as f64);
            let meter = if bandwidth > time { &mut self.fetch } else { &mut self.request };
            meter.waits(now, ANONYMOUS, &client, wait);
        }
        wait
    }

    /// For how long whoever is answered must wait; `controllers` is what the controller says. A producer that wants `no_answer`
    /// is not held to what its requests take of the broker's time.
    fn answered(&mut self, now: Instant, ticket: Ticket, controllers: Duration, no_answer: bool) -> Duration {
        let Some(Caller { client, what }) = self.asked.remove(&ticket) else { return Duration::ZERO };
        let bandwidth = match what {
            What::Replication => return Duration::ZERO,
            What::Produce { bytes } => self.produce.record(now, ANONYMOUS, &client, bytes as f64),
            What::Other => Duration::ZERO,
        };
        let time = if no_answer { Duration::ZERO } else { self.request.record(now, ANONYMOUS, &client, 0.0) };
        let own = bandwidth.max(time);
        if !own.is_zero() && own >= controllers {
            let meter = if bandwidth > time { &mut self.produce } else { &mut self.request };
            meter.waits(now, ANONYMOUS, &client, own);
        }
        own.max(controllers)
    }
}

impl Broker {
    /// Whether [`Event::Spent`](super::Event::Spent) is worth telling.
    pub fn counts_time(&self) -> bool {
        self.quotas.request.is_enabled()
    }

    /// What clients do, where there are quotas.
    pub fn usage(&self, now: Instant) -> Usage {
        let Quotas { produce, fetch, request, .. } = &self.quotas;
        let [produce, fetch, request] = [produce, fetch, request].map(|meter| meter.measured(now));
        let mutations = self.controller.as_ref().map_or(Vec::new(), |controller| controller.mutations(now));
        Usage { produce, fetch, request, mutations }
    }

    /// Of the effects from `begin` on: whoever is answered and has done too much is told, and muted.
    pub(super) fn hold_to_quotas(&mut self, begin: usize, out: &mut Vec<Effect>) {
        let now = self.now.instant;
        let mut mutes = Vec::new();
        for effect in &mut out[begin..] {
            let (ticket, wait) = match effect {
                Effect::Reply { ticket, response } => {
                    let controllers = throttle::of(&mut response.body);
                    let wait = self.quotas.answered(now, *ticket, controllers, false);
                    if wait > controllers {
                        throttle::set(&mut response.body, wait);
                    }
                    (*ticket, wait)
                }
                Effect::NoReply { ticket } => (*ticket, self.quotas.answered(now, *ticket, Duration::ZERO, true)),
                _ => continue,
            };
            if !wait.is_zero() {
                mutes.push(Effect::Mute { conn: ticket.conn, until: now + wait });
            }
        }
        if !mutes.is_empty() {
            // It must not be heard between its answer and the silence.
            out.splice(begin..begin, mutes);
        }
    }

    /// The cluster's quotas are others.
    pub(super) fn follow_quotas(&mut self, before: &ClientQuotas, out: &mut Vec<Effect>) {
        let cluster = Arc::clone(&self.cluster);
        self.quotas.follow(&cluster.quotas);
        let rates = ArrivalRates::of(&cluster.quotas);
        if rates != ArrivalRates::of(before) {
            out.push(Effect::LimitArrivals { rates });
        }
    }
}
