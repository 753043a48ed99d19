//! Clients, natively: what a client node wants of its connections, over TCP. A broker that follows others is such a
//! client.
//!
//! One task a connection. It writes requests in the order in which they were sent, and tells answers in the order in
//! which they come; frames are decoded there, and the record sets of a Fetch are slices of their frame.
//!
//! What is sent and what comes takes the ways between the two, which a fault can cut or make slow.
//!
//! 1. An open is answered by `Opened` or `Closed`, and `Closed` is the last that is told of a connection.
//! 2. What goes wrong ends that connection, with a line in the log, and nothing else.
//! 3. An answer has at most as many bytes as [`Peers::limited`] says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kafka_protocol::messages::ApiKey;
use ottla_core::client::{Endpoint, Event, Wire};
use ottla_core::id::ConnId;
use ottla_core::protocol::{Request, Response};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, warn};

use crate::frame::{End, Frames, Progress};
use crate::gather::Requests;
use crate::link::Way;

/// Whom events are told to; it runs in the connection's task.
pub type Listen = Arc<dyn Fn(Event) + Send + Sync>;
/// The way to an endpoint, and the way back; and where to find what listens in this process: what it advertises is for
/// clients, who may be elsewhere.
pub type Route = Arc<dyn Fn(&Endpoint) -> (Arc<Way>, Arc<Way>, Option<SocketAddr>) + Send + Sync>;

pub struct Peers {
    runtime: tokio::runtime::Handle,
    route: Route,
    listen: Listen,
    /// Bytes of an answer, at most.
    limit: i32,
    /// Bytes of records that connections have yet to write.
    unsent: Arc<AtomicUsize>,
    open: BTreeMap<ConnId, Open>,
}

struct Open {
    /// Dropping it closes the connection.
    requests: UnboundedSender<Outgoing>,
    there: Arc<Way>,
}

/// A request, until it is written or given up.
struct Outgoing {
    request: Box<Request>,
    unsent: Arc<AtomicUsize>,
}

impl Outgoing {
    fn new(request: Box<Request>, unsent: &Arc<AtomicUsize>) -> Outgoing {
        unsent.fetch_add(request.len, Ordering::Relaxed);
        Outgoing { request, unsent: unsent.clone() }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.unsent.fetch_sub(self.request.len, Ordering::Relaxed);
    }
}

/// What a connection's task tells the node.
struct Tell {
    listen: Listen,
    back: Arc<Way>,
}

impl Tell {
    fn tell(&self, event: Event) {
        let listen = self.listen.clone();
        self.back.send(move || listen(event));
    }
}

impl Peers {
    pub fn new(runtime: tokio::runtime::Handle, route: Route, listen: Listen) -> Peers {
        Peers { runtime, route, listen, limit: i32::MAX, unsent: Arc::default(), open: BTreeMap::new() }
    }

    /// (3)
    pub fn limited(self, limit: i32) -> Peers {
        Peers { limit, ..self }
    }

    /// Bytes of records that are still to be written.
    pub fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    pub fn execute(&mut self, wire: Wire) {
        match wire {
            Wire::Open { conn, to } => {
                let (requests, queue) = unbounded_channel();
                let (there, back, address) = (self.route)(&to);
                self.open.insert(conn, Open { requests, there: there.clone() });
                let (runtime, tell) = (self.runtime.clone(), Tell { listen: self.listen.clone(), back });
                let limit = self.limit;
                there.send(move || drop(runtime.spawn(connect(conn, (to, address), queue, tell, limit))));
            }
            Wire::Send { conn, request } => {
                if let Some(Open { requests, there }) = self.open.get(&conn) {
                    let (requests, request) = (requests.clone(), Outgoing::new(request, &self.unsent));
                    // Where the task has ended its `Closed` is on the way.
                    there.send(move || drop(requests.send(request)));
                }
            }
            Wire::Close { conn } => drop(self.open.remove(&conn)),
        }
    }

    /// The node has been told that the connection is gone.
    pub fn closed(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }
}

/// Requests that are written at once, at most.
const AT_ONCE: usize = 64;

/// A request that waits for its answer.
struct Awaited {
    api: ApiKey,
    version: i16,
}

async fn connect(
    conn: ConnId,
    (to, route): (Endpoint, Option<SocketAddr>),
    mut requests: UnboundedReceiver<Outgoing>,
    tell: Tell,
    limit: i32,
) {
    let reach = async {
        match route {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((to.host.as_str(), to.port)).await,
        }
    };
    let connected = tokio::select! {
        connected = reach => connected,
        // Nothing is sent before it is open: the node has given it up.
        _ = requests.recv() => return,
    };
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%conn, host = to.host, port = to.port, %error, "cannot connect");
            return tell.tell(Event::Closed { conn });
        }
    };
    // Requests are written whole; waiting to fill packets would only delay them.
    let _ = stream.set_nodelay(true);
    tell.tell(Event::Opened { conn });
    let awaited = Mutex::default();
    let (read, write) = stream.into_split();
    let why = tokio::select! {
        why = send(write, &mut requests, &awaited) => why,
        why = receive(conn, read.as_ref(), limit, &awaited, &tell) => why,
    };
    match why {
        Some(why) => warn!(%conn, host = to.host, port = to.port, "{why}"),
        None => debug!(%conn, host = to.host, port = to.port, "closed"),
    }
    tell.tell(Event::Closed { conn });
}

/// Ends when the node closes the connection, or it can take no more.
async fn send(
    mut stream: OwnedWriteHalf,
    requests: &mut UnboundedReceiver<Outgoing>,
    awaited: &Mutex<VecDeque<Awaited>>,
) -> Option<String> {
    let mut frames = Requests::default();
    let mut written = Vec::new();
    while let Some(first) = requests.recv().await {
        let mut next = Some(first);
        while let Some(outgoing) = next.take() {
            let request = &outgoing.request;
            if let Err(error) = frames.push(request) {
                return Some(format!("a request that cannot be encoded: {error}"));
            }
            if request.awaits_response() {
                let waits = Awaited { api: request.api_key, version: request.version };
                awaited.lock().expect("not poisoned").push_back(waits);
            }
            written.push(outgoing);
            next = if written.len() < AT_ONCE { requests.try_recv().ok() } else { None };
        }
        if let Err(error) = frames.send(&mut stream).await {
            debug!(%error, "a connection is lost");
            return None;
        }
        written.clear();
    }
    None
}

/// Ends when the other side closes the connection, or says what cannot be understood.
async fn receive(
    conn: ConnId,
    stream: &TcpStream,
    limit: i32,
    awaited: &Mutex<VecDeque<Awaited>>,
    tell: &Tell,
) -> Option<String> {
    let progress = Progress::default();
    let mut frames = Frames::new(stream, limit, &progress);
    loop {
        let frame = match frames.next().await {
            Ok(frame) => frame,
            Err(End::Length { length, bytes, .. }) => {
                let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
                return Some(match String::from_utf8_lossy(&bytes) {
                    text if is_text => format!("not a Kafka broker: {text:?} where an answer's length belongs"),
                    _ => format!("an answer of {length} bytes where 0 to {limit} are allowed"),
                });
            }
            Err(end) => {
                debug!(%conn, "{end}");
                return None;
            }
        };
        let Some(Awaited { api, version }) = awaited.lock().expect("not poisoned").pop_front() else {
            return Some("an answer to nothing".to_owned());
        };
        // Lengths inside a frame are the other side's word; a decoder that trips over one ends this connection only.
        let decoded = catch_unwind(AssertUnwindSafe(|| Response::decode(api, version, frame)));
        let (correlation_id, response) = match decoded {
            Ok(Ok(decoded)) => decoded,
            Ok(Err(error)) => return Some(format!("an answer to {api:?} v{version} that cannot be decoded: {error}")),
            Err(_) => return Some(format!("an answer to {api:?} v{version} that cannot be decoded")),
        };
        let Response { version, body, .. } = response;
        tell.tell(Event::Response { conn, correlation_id, version, body });
    }
}
