//! One client's connection: frames in, answers out, in the order of the requests.
//!
//! Two loops in one task. The first reads frames, decodes them and checks their batches (the CRC is computed here, not
//! on the broker's thread), and hands the requests to the broker. The second collects the broker's answers and sends
//! them, each when all before it have been sent.
//!
//! 1. Never more than [`IN_FLIGHT`] requests, nor [`IN_FLIGHT_BYTES`] of them (but always one), are read and not
//!    answered, and none is taken while more than [`UNSENT_BYTES`] of answers wait: a client that does not read stops
//!    being read, and costs no more memory. Of requests whose answers may be many times as long as they are
//!    ([`is_measured`] says of which that is not so) one is taken at a time, as Kafka does with all.
//! 2. Every request holds a place in [`Order`] before the broker sees it, and leaves it answered or with the connection.
//! 3. Batches that take long to check are checked by [`LONG_CHECKS`] threads of their own: neither other connections nor
//!    the page wait for them.
//! 4. Of a client that has a quota one request is taken at a time. One that did more than it may is muted: no request of
//!    it is taken before the time is up. Its answers go out meanwhile, and it is not idle.
//! 5. Whatever goes wrong ends this connection, with a line in the log, and nothing else.
//! 6. One that says hello is no client but another broker: its connection is the exchange's from there on.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use kafka_protocol::protocol::Encodable;
use ottla_core::broker::Event;
use ottla_core::config::ConnectionLimits;
use ottla_core::id::{ConnId, Ticket};
use ottla_core::protocol::cluster::wire::Hello;
use ottla_core::protocol::request::follower;
use ottla_core::protocol::{Request, Response, Unchecked};
use ottla_core::quota::arrivals::ArrivalRates;
use ottla_core::quota::window::Windows;
use rustix::net::sockopt::set_socket_linger;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::crowd::Used;
use crate::driver::{Handle, Inbox};
use crate::exchange::Exchange;
use crate::frame::{End, Frames, Progress};
use crate::live::Watched;
use crate::splice::{Answer, FileSlice};

/// Requests of one connection that may wait for their answers.
const IN_FLIGHT: usize = 32;
/// Bytes of requests of one connection that may wait for their answers.
const IN_FLIGHT_BYTES: usize = 16 << 20;
/// Bytes of answers of one connection that may wait for the client to read; records in files do not count.
const UNSENT_BYTES: usize = 1 << 20;
/// Answers are joined up to this many bytes before they are sent.
const JOINED: usize = 64 << 10;
/// A client that sends a frame, or takes an answer, more slowly than this is cut off, [`PATIENCE`] granted.
const SLOWEST_BYTES_PER_S: u64 = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Places for batches that take long to check, over all connections of the process: a processor is left to all others.
static LONG_CHECKS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    Arc::new(Semaphore::new(processors.saturating_sub(1).max(1)))
});

/// What every connection of a broker needs.
pub struct Listener {
    pub broker: Handle,
    pub exchange: Arc<Exchange>,
    /// Kafka's `socket.request.max.bytes`.
    pub max_request_bytes: i32,
    /// Kafka's `connections.max.idle.ms`.
    pub max_idle: Duration,
    /// Kafka's `queued.max.requests`: a place for each request that waits for the broker's thread.
    pub queue: Arc<Semaphore>,
    /// They can be set while the broker runs.
    pub limits: watch::Receiver<ConnectionLimits>,
    pub rates: watch::Receiver<ArrivalRates>,
    /// Over which those are measured.
    pub windows: Windows,
    /// Kafka's `socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer: Option<u32>,
    /// Kafka's `socket.send.buffer.bytes`, likewise.
    pub send_buffer: Option<u32>,
    /// The broker's process died: its connections end by a reset.
    pub broken: AtomicBool,
    /// The broker's process stands still: no client is to blame for that.
    pub still: AtomicBool,
}

/// What a broker has to say to a connection.
#[derive(Debug)]
pub enum Outbound {
    Reply { seq: u64, response: Response, files: Vec<Option<FileSlice>> },
    NoReply { seq: u64 },
    Limit,
    Mute { until: Instant },
    Close { why: String },
}

/// Connections are numbered over all brokers of the process.
pub fn next_conn() -> ConnId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ConnId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Serves a connection until it ends.
pub async fn serve(mut socket: Socket, peer: SocketAddr, used: Arc<Used>) {
    // Answers are written whole; waiting to fill packets would only delay them.
    let _ = socket.stream.set_nodelay(true);
    let listener = socket.listener.clone();
    let conn = next_conn();
    if let Some(hello) = attend(&socket.stream, conn, peer, &listener, &used).await {
        used.protect();
        // (6)
        listener.exchange.accept(listener.broker.id, hello, &mut socket.stream).await;
    }
}

/// Serves a client until it is gone, or turns out to be another broker: gives the hello.
async fn attend(stream: &TcpStream, conn: ConnId, peer: SocketAddr, listener: &Listener, used: &Used) -> Option<Bytes> {
    let (replies, outbound) = unbounded_channel();
    listener.broker.metrics.connections.inc();
    let watched = listener.broker.live.opened(listener.broker.id, conn, peer.to_string());
    let connection = Connection {
        conn,
        stream,
        listener,
        used,
        order: Mutex::default(),
        muted: Mutex::default(),
        spent: AtomicU64::new(0),
        room: Notify::new(),
        received: Progress::default(),
        sent: AtomicU64::new(0),
        watched,
        host: format!("/{}", peer.ip()).into(),
    };
    listener.broker.send(Inbox::Opened { conn, replies }).ok()?;
    debug!(%conn, %peer, broker = %listener.broker.id, "connected");
    let why = tokio::select! {
        biased;
        why = connection.answer(outbound) => why,
        why = connection.read() => why,
        why = connection.watch() => why,
    };
    match why {
        Why::Gone(why) => debug!(%conn, %peer, "{why}"),
        Why::Idle => info!(%conn, %peer, "idle for connections.max.idle.ms, closed"),
        Why::Cut(why) => warn!(%conn, %peer, client = connection.watched.client_id(), "cut off: {why}"),
        Why::Peer(hello) => return Some(hello),
    }
    None
}

/// However it ends: by itself, or with the broker's process.
pub struct Socket {
    pub stream: TcpStream,
    pub listener: Arc<Listener>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.listener.broken.load(Ordering::Relaxed) {
            let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let Listener { broker, broken, .. } = self.listener;
        broker.metrics.connections.dec();
        broker.live.closed(self.conn, broken.load(Ordering::Relaxed));
        let _ = broker.send(Inbox::Event(Event::Closed { conn: self.conn }));
    }
}

/// How a connection ended.
enum Why {
    /// As connections do.
    Gone(String),
    Idle,
    /// The client did what a client must not do.
    Cut(String),
    /// It is another broker.
    Peer(Bytes),
}

struct Connection<'a> {
    conn: ConnId,
    stream: &'a TcpStream,
    listener: &'a Listener,
    used: &'a Used,
    order: Mutex<Order>,
    /// No request is taken before then.
    muted: Mutex<Option<Instant>>,
    /// Nanoseconds that reading its requests and writing its answers took of a processor, since the last request was taken.
    spent: AtomicU64,
    /// Told when an answer made room for a request.
    room: Notify,
    received: Progress,
    /// Bytes sent.
    sent: AtomicU64,
    watched: Arc<Watched>,
    /// Where its requests come from.
    host: Arc<str>,
}

/// The requests that were read and not answered, oldest first.
#[derive(Default)]
struct Order {
    /// The sequence number of the front.
    front: u64,
    places: VecDeque<Place>,
    bytes: usize,
    /// Bytes of answers that are there and not sent, of requests that are measured.
    unsent: usize,
    /// Requests that are not measured and whose answers are not sent.
    unmeasured: usize,
    /// The client has a quota: one request at a time.
    limited: bool,
    /// Of both, what is being sent: its places are gone.
    sending: (usize, usize),
}

struct Place {
    api: ApiKey,
    /// It is of a broker that follows this one.
    follower: bool,
    correlation_id: i32,
    bytes: usize,
    since: Instant,
    /// Its id among the watched messages, if someone watches.
    message: Option<u64>,
    /// Of the answer, once it is there.
    unsent: usize,
    reply: Option<Option<(Response, Vec<Option<FileSlice>>)>>,
}

impl Order {
    /// (1)
    fn has_room(&self, api: ApiKey, bytes: usize) -> bool {
        let fits = self.places.len() < IN_FLIGHT && self.bytes + bytes <= IN_FLIGHT_BYTES;
        if self.limited {
            return self.places.is_empty() && self.unsent == 0 && self.unmeasured == 0;
        }
        let alone = is_measured(api) || self.unmeasured == 0;
        alone && self.unsent <= UNSENT_BYTES && (self.places.is_empty() || fits)
    }

    fn enter(&mut self, place: Place) -> u64 {
        self.bytes += place.bytes;
        self.unmeasured += usize::from(!is_measured(place.api));
        self.places.push_back(place);
        self.front + self.places.len() as u64 - 1
    }

    fn fill(&mut self, seq: u64, reply: Option<(Response, Vec<Option<FileSlice>>)>) {
        let at = seq.checked_sub(self.front).map(|at| at as usize);
        if let Some(place) = at.and_then(|at| self.places.get_mut(at)) {
            place.unsent = match reply.as_ref().map(|(response, _)| (&*response.body, response.version)) {
                Some((ResponseKind::Fetch(fetch), version)) => fetch.compute_size(version).unwrap_or(0),
                _ => 0,
            };
            self.unsent += place.unsent;
            place.reply = Some(reply);
        }
    }

    /// The oldest request, if its answer is there.
    fn leave(&mut self) -> Option<Place> {
        let place = self.places.pop_front_if(|place| place.reply.is_some())?;
        self.front += 1;
        self.bytes -= place.bytes;
        self.sending.0 += place.unsent;
        self.sending.1 += usize::from(!is_measured(place.api));
        Some(place)
    }

    /// Every answer that has left is with the client's system.
    fn sent(&mut self) {
        let (unsent, unmeasured) = std::mem::take(&mut self.sending);
        self.unsent -= unsent;
        self.unmeasured -= unmeasured;
    }
}

/// Whether an answer is about as long as its request, records in files aside.
fn is_measured(api: ApiKey) -> bool {
    matches!(api, ApiKey::Produce | ApiKey::Fetch)
}

/// Decodes a request and checks its batches, elsewhere if that takes long.
async fn decode(frame: Bytes) -> Result<Box<Request>, Why> {
    // Lengths inside a frame are the client's word; a decoder that trips over one takes down this connection only.
    let light = || Unchecked::decode(frame).map(Unchecked::check_lightly);
    let request = match catch_unwind(AssertUnwindSafe(light)) {
        Ok(Ok(Ok(request))) => Some(request),
        Ok(Ok(Err(heavy))) => {
            // (3)
            let place = LONG_CHECKS.clone().acquire_owned().await.expect("never closed");
            let check = move || {
                let request = heavy.check();
                drop(place);
                request
            };
            tokio::task::spawn_blocking(check).await.ok()
        }
        Ok(Err(error)) => return Err(Why::Cut(error.to_string())),
        Err(_) => None,
    };
    request.ok_or_else(|| Why::Cut("a request that cannot be decoded".into()))
}

impl Connection<'_> {
    async fn read(&self) -> Why {
        let mut frames = Frames::new(self.stream, self.listener.max_request_bytes, &self.received);
        loop {
            let frame = match frames.next().await {
                Ok(frame) => frame,
                Err(End::Closed) => return Why::Gone(End::Closed.to_string()),
                Err(End::Lost(error)) => return Why::Gone(error.to_string()),
                Err(end) => return Why::Cut(end.to_string()),
            };
            if Hello::is_one(&frame) {
                return Why::Peer(frame);
            }
            // A client with a full window must not keep its neighbours waiting.
            tokio::task::consume_budget().await;
            if let Err(why) = self.take(frame).await {
                return why;
            }
        }
    }

    async fn take(&self, frame: Bytes) -> Result<(), Why> {
        let bytes = frame.len();
        let since = Instant::now();
        self.used.now(since);
        let mut request = decode(frame).await?;
        request.host = Some(self.host.clone());
        let spent = since.elapsed() + Duration::from_nanos(self.spent.swap(0, Ordering::Relaxed));
        loop {
            while !self.order.lock().expect("not poisoned").has_room(request.api_key, bytes) {
                self.room.notified().await;
            }
            // (4)
            let Some(until) = self.muted_until() else { break };
            tokio::time::sleep_until(until.into()).await;
        }
        let live = &self.listener.broker.live;
        let message = self.watched.request(live, &request, bytes);
        self.listener.broker.metrics.request(request.api_key, bytes);
        let place = Place {
            api: request.api_key,
            follower: matches!(&request.body, RequestKind::Fetch(fetch) if follower(fetch).is_some()),
            correlation_id: request.correlation_id,
            bytes,
            since,
            message,
            unsent: 0,
            reply: None,
        };
        let seq = self.order.lock().expect("not poisoned").enter(place);
        let ticket = Ticket { conn: self.conn, seq };
        let place = self.listener.queue.clone().acquire_owned().await.expect("never closed");
        let message = Inbox::Request { ticket, request, place, spent };
        self.listener.broker.send(message).map_err(|_| Why::Gone("the broker stopped".into()))
    }

    fn mute(&self, until: Instant) {
        let mut muted = self.muted.lock().expect("not poisoned");
        *muted = (*muted).max(Some(until));
    }

    fn muted_until(&self) -> Option<Instant> {
        self.muted.lock().expect("not poisoned").filter(|until| *until > Instant::now())
    }

    async fn answer(&self, mut outbound: UnboundedReceiver<Outbound>) -> Why {
        let mut answer = Answer::default();
        let mut close = None;
        loop {
            let Some(first) = outbound.recv().await else { return Why::Gone("the broker stopped".into()) };
            let mut next = Some(first);
            while let Some(message) = next.take() {
                let mut order = self.order.lock().expect("not poisoned");
                match message {
                    Outbound::Reply { seq, response, files } => order.fill(seq, Some((response, files))),
                    Outbound::NoReply { seq } => order.fill(seq, None),
                    Outbound::Limit => order.limited = true,
                    Outbound::Mute { until } => self.mute(until),
                    Outbound::Close { why } => close = Some(why),
                }
                drop(order);
                next = outbound.try_recv().ok();
            }
            if let Err(why) = self.send_ready(&mut answer).await {
                return why;
            }
            if let Some(why) = close {
                return Why::Cut(why);
            }
        }
    }

    /// Sends every answer whose turn has come.
    async fn send_ready(&self, answer: &mut Answer) -> Result<(), Why> {
        loop {
            let place = self.order.lock().expect("not poisoned").leave();
            let more = place.is_some();
            if let Some(place) = place {
                self.encode(place, answer)?;
            }
            if (!more || answer.len() >= JOINED) && !answer.is_empty() {
                let moved = |bytes| {
                    self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
                };
                answer.send(self.stream, moved).await.map_err(|error| Why::Gone(error.to_string()))?;
                self.order.lock().expect("not poisoned").sent();
            }
            if !more {
                // Some are answered by nothing.
                self.order.lock().expect("not poisoned").sent();
                self.room.notify_one();
                return Ok(());
            }
        }
    }

    fn encode(&self, place: Place, answer: &mut Answer) -> Result<(), Why> {
        let Some(Some((response, files))) = place.reply else { return Ok(()) };
        let (before, encoded, begun) = (answer.len(), answer.encoded(), Instant::now());
        let live = &self.listener.broker.live;
        let kept = self.watched.response(live, place.message, place.correlation_id, &response, &files);
        answer
            .push(place.api, place.correlation_id, response, files)
            .map_err(|error| Why::Cut(format!("an answer to {:?} that cannot be encoded: {error}", place.api)))?;
        if let Some(kept) = kept {
            live.messages().weigh(kept, answer.encoded() - encoded);
        }
        let now = Instant::now();
        self.used.now(now);
        self.spent.fetch_add((now - begun).as_nanos() as u64, Ordering::Relaxed);
        self.listener.broker.metrics.response(place.api, place.follower, answer.len() - before, now - place.since);
        Ok(())
    }

    /// Ends when the client is idle or too slow. Looks now and then, so that a request costs no timer.
    async fn watch(&self) -> Why {
        let idle = self.listener.max_idle;
        let mut ticks = interval(idle.clamp(Duration::from_millis(10), Duration::from_secs(20)) / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut quiet_since, mut bytes) = (Instant::now(), 0);
        let (mut begun, mut frames) = (Instant::now(), 0);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let moved = self.received.bytes.load(Ordering::Relaxed) + self.sent.load(Ordering::Relaxed);
            let kept_waiting = self.listener.still.load(Ordering::Relaxed) || self.muted_until().is_some();
            if std::mem::replace(&mut bytes, moved) != moved || kept_waiting {
                quiet_since = now;
            }
            let complete = self.received.frames.load(Ordering::Relaxed);
            let pending = self.received.pending.load(Ordering::Relaxed);
            if std::mem::replace(&mut frames, complete) != complete || pending == 0 {
                begun = now;
            }
            if now - begun > PATIENCE + Duration::from_secs(pending / SLOWEST_BYTES_PER_S) {
                return Why::Cut(format!("{:?} for a frame of {pending} bytes", now - begun));
            }
            if now - quiet_since > idle {
                let waiting = self.order.lock().expect("not poisoned").places.len();
                return match (pending, waiting) {
                    (0, 0) => Why::Idle,
                    (0, _) => Why::Cut(format!("it takes no answers; {waiting} requests wait")),
                    _ => Why::Cut(format!(
                        "half a frame of {pending} bytes, and then nothing for {:?}",
                        now - quiet_since
                    )),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchResponse, MetadataResponse};

    use super::*;

    fn place(api: ApiKey) -> Place {
        Place {
            api,
            follower: false,
            correlation_id: 0,
            bytes: 100,
            since: Instant::now(),
            message: None,
            unsent: 0,
            reply: None,
        }
    }

    fn reply(body: impl Into<ResponseKind>) -> Option<(Response, Vec<Option<FileSlice>>)> {
        Some((Response::new(12, body.into()), Vec::new()))
    }

    #[test]
    fn of_requests_with_long_answers_one_is_taken_until_its_answer_is_sent() {
        let mut order = Order::default();
        let seq = order.enter(place(ApiKey::Metadata));
        assert!(!order.has_room(ApiKey::DescribeConfigs, 100) && order.has_room(ApiKey::Produce, 100));
        order.fill(seq, reply(MetadataResponse::default()));
        assert!(order.leave().is_some());
        assert!(!order.has_room(ApiKey::Metadata, 100));
        order.sent();
        assert!(order.has_room(ApiKey::Metadata, 100));
    }

    #[test]
    fn of_a_client_that_has_a_quota_one_request_is_taken_at_a_time() {
        let mut order = Order { limited: true, ..Order::default() };
        let seq = order.enter(place(ApiKey::Produce));
        assert!(!order.has_room(ApiKey::Produce, 100));
        order.fill(seq, reply(MetadataResponse::default()));
        assert!(order.leave().is_some());
        order.sent();
        assert!(order.has_room(ApiKey::Produce, 100));
    }

    #[test]
    fn no_request_is_taken_while_many_bytes_of_answers_wait() {
        let mut order = Order::default();
        let seq = order.enter(place(ApiKey::Fetch));
        assert!(order.has_room(ApiKey::Fetch, 100));
        let topic = FetchableTopicResponse::default().with_partitions(vec![PartitionData::default(); 100_000]);
        order.fill(seq, reply(FetchResponse::default().with_responses(vec![topic])));
        assert!(!order.has_room(ApiKey::Fetch, 100) && !order.has_room(ApiKey::Produce, 100));
        assert!(order.leave().is_some());
        assert!(!order.has_room(ApiKey::Fetch, 100));
        order.sent();
        assert!(order.has_room(ApiKey::Fetch, 100));
    }
}
