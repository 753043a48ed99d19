//! One connection between two brokers of a cluster: a hello, an accept, then calls and answers of both.
//!
//! Of two brokers the one with the higher id connects, to the port where the other's clients are served, and again whenever
//! there is no connection. Frames are decoded in the connection's task.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use ottla_core::id::BrokerId;
use ottla_core::protocol::cluster::wire::{Frame, Hello, MAX_FRAME, Message};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Exchange, Node, Opened};
use crate::frame::{Frames, Progress};

/// Between two tries to reach another broker.
const RETRY: Duration = Duration::from_millis(50);

/// Connects until there is a connection, or nobody wants one any more.
pub(super) async fn dial(exchange: Arc<Exchange>, own: BrokerId, other: BrokerId, address: SocketAddr, process: u64) {
    while exchange.wants(own, other, process) {
        if !exchange.is_cut(own, other) && attempt(&exchange, own, other, address, process).await {
            return;
        }
        sleep(RETRY).await;
    }
}

/// False where there was nobody to be reached.
async fn attempt(exchange: &Arc<Exchange>, own: BrokerId, other: BrokerId, address: SocketAddr, process: u64) -> bool {
    exchange.way(Node::Broker(own), Node::Broker(other)).pass().await;
    let Ok(Ok(mut stream)) = timeout(exchange.session, TcpStream::connect(address)).await else { return false };
    let _ = stream.set_nodelay(true);
    let hello = Hello { secret: exchange.secret.clone(), from: own, to: other };
    if stream.write_all(&hello.encode()).await.is_err() {
        return false;
    }
    let (read, write) = stream.split();
    let progress = Progress::default();
    let mut frames = Frames::new(read.as_ref(), MAX_FRAME, &progress);
    let Ok(Ok(accept)) = timeout(exchange.session, frames.next()).await else { return false };
    if !matches!(Message::decode(accept), Ok(Message::Accept)) {
        warn!(broker = %own, %other, %address, "whoever listens there is no broker of this cluster");
        return false;
    }
    if let Some(opened) = exchange.opened(own, other, Some(process)) {
        converse(exchange, own, other, opened, (frames, write)).await;
    }
    true
}

impl Exchange {
    /// Serves a connection that began with a hello, at the port of `own`.
    pub async fn accept(self: &Arc<Self>, own: BrokerId, hello: Bytes, stream: &mut TcpStream) {
        let hello = match Hello::decode(hello) {
            Ok(hello) => hello,
            Err(why) => return warn!(broker = %own, "not another broker: {why}"),
        };
        let other = hello.from;
        if hello.secret != self.secret || hello.to != own || !self.knows(other) || other == own {
            return warn!(broker = %own, %other, to = %hello.to, "not of this cluster");
        }
        let Some(opened) = self.opened(own, other, None) else { return };
        let (read, write) = stream.split();
        let progress = Progress::default();
        let frames = Frames::new(read.as_ref(), MAX_FRAME, &progress);
        converse(self, own, other, opened, (frames, write)).await;
    }
}

async fn converse(
    exchange: &Arc<Exchange>,
    own: BrokerId,
    other: BrokerId,
    opened: Opened,
    (frames, stream): (Frames<'_>, WriteHalf<'_>),
) {
    let Opened { connection, queue, broken } = opened;
    let socket = frames.stream();
    let why = tokio::select! {
        why = send(stream, queue) => why,
        why = hear(exchange, own, other, connection, frames) => why,
    };
    match why {
        Some(why) => warn!(broker = %own, %other, "{why}"),
        None => debug!(broker = %own, %other, "the connection between brokers is closed"),
    }
    if broken.load(Ordering::Acquire) {
        let _ = set_socket_linger(socket, Some(Duration::ZERO));
    }
    // It comes after all that the other has said.
    let exchange = exchange.clone();
    let way = exchange.way(Node::Broker(other), Node::Broker(own));
    way.send(move || exchange.closed(own, other, connection));
}

/// Ends when the broker closes the connection, or it can take no more.
async fn send(mut stream: WriteHalf<'_>, mut queue: UnboundedReceiver<Frame>) -> Option<String> {
    while let Some(Frame { head, body }) = queue.recv().await {
        if let Err(error) = stream.write_all_buf(&mut head.chain(body)).await {
            debug!(%error, "the connection between brokers is lost");
            return None;
        }
    }
    None
}

/// Ends when the other broker closes the connection, or says what cannot be understood.
async fn hear(
    exchange: &Arc<Exchange>,
    own: BrokerId,
    other: BrokerId,
    connection: u64,
    mut frames: Frames<'_>,
) -> Option<String> {
    loop {
        let frame = match frames.next().await {
            Ok(frame) => frame,
            Err(end) => {
                debug!(broker = %own, %other, "{end}");
                return None;
            }
        };
        // Lengths inside a frame are the other side's word; a decoder that trips over one ends this connection only.
        match catch_unwind(AssertUnwindSafe(|| Message::decode(frame))) {
            Ok(Ok(message)) => exchange.hear(own, other, connection, message),
            Ok(Err(why)) => return Some(why.to_string()),
            Err(_) => return Some("a frame that cannot be decoded".to_owned()),
        }
    }
}
