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

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::ApiKey;
use ottla_core::client::{Effect, Endpoint, Event};
use ottla_core::id::ConnId;
use ottla_core::protocol::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, warn};

use crate::frame::{Frames, PREFIX, Progress};
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
    open: BTreeMap<ConnId, Open>,
}

struct Open {
    /// Dropping it closes the connection.
    requests: UnboundedSender<Box<Request>>,
    there: Arc<Way>,
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
        Peers { runtime, route, listen, open: BTreeMap::new() }
    }

    pub fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Open { conn, to } => {
                let (requests, queue) = unbounded_channel();
                let (there, back, address) = (self.route)(&to);
                self.open.insert(conn, Open { requests, there: there.clone() });
                let (runtime, tell) = (self.runtime.clone(), Tell { listen: self.listen.clone(), back });
                there.send(move || drop(runtime.spawn(connect(conn, to, address, queue, tell))));
            }
            Effect::Send { conn, request } => {
                if let Some(Open { requests, there }) = self.open.get(&conn) {
                    let requests = requests.clone();
                    // Where the task has ended its `Closed` is on the way.
                    there.send(move || drop(requests.send(request)));
                }
            }
            Effect::Close { conn } => drop(self.open.remove(&conn)),
            Effect::Report(report) => debug!("{report}"),
        }
    }

    /// The node has been told that the connection is gone.
    pub fn closed(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }
}

/// A request that waits for its answer.
struct Awaited {
    api: ApiKey,
    version: i16,
}

async fn connect(
    conn: ConnId,
    to: Endpoint,
    route: Option<SocketAddr>,
    mut requests: UnboundedReceiver<Box<Request>>,
    tell: Tell,
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
        why = receive(conn, read.as_ref(), &awaited, &tell) => why,
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
    requests: &mut UnboundedReceiver<Box<Request>>,
    awaited: &Mutex<VecDeque<Awaited>>,
) -> Option<String> {
    let mut frames = BytesMut::new();
    while let Some(first) = requests.recv().await {
        let mut next = Some(first);
        while let Some(request) = next.take() {
            let start = frames.len();
            frames.put_i32(0);
            if let Err(error) = request.encode(&mut frames) {
                return Some(format!("a request that cannot be encoded: {error}"));
            }
            let length = (frames.len() - start - PREFIX) as i32;
            frames[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
            if request.awaits_response() {
                let waits = Awaited { api: request.api_key, version: request.version };
                awaited.lock().expect("not poisoned").push_back(waits);
            }
            next = requests.try_recv().ok();
        }
        if let Err(error) = stream.write_all(&frames).await {
            debug!(%error, "a connection is lost");
            return None;
        }
        frames.clear();
    }
    None
}

/// Ends when the other side closes the connection, or says what cannot be understood.
async fn receive(conn: ConnId, stream: &TcpStream, awaited: &Mutex<VecDeque<Awaited>>, tell: &Tell) -> Option<String> {
    let progress = Progress::default();
    let mut frames = Frames::new(stream, i32::MAX, &progress);
    loop {
        let frame = match frames.next().await {
            Ok(frame) => frame,
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
        tell.tell(Event::Response { conn, correlation_id, version, body: Box::new(body) });
    }
}
