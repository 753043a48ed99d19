//! ZooKeeper's port, where its own protocol is spoken: by this server's brokers, and by whoever else knows it.
//!
//! 1. Of a connection never more than [`IN_FLIGHT`] requests are read and not answered: a client that does not read stops
//!    being read.
//! 2. Whoever does not say at once that it wants a session, or takes its answers too slowly, is cut off.
//! 3. Whatever goes wrong ends this connection, with a line in the log, and nothing else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::id::ConnId;
use ottla_core::zookeeper::ToClient;
use ottla_core::zookeeper::protocol::MAX_REQUEST;
use ottla_core::zookeeper::wire::ServerEnd;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Handle, Inbox, Said};
use crate::frame::{Frames, Progress};

const IN_FLIGHT: usize = 64;
/// Until a session is asked for (ZooKeeper's `sessionlessCnxnTimeout`).
const FIRST: Duration = Duration::from_secs(10);
/// Until an answer is taken: no session lasts longer without a word.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers are joined up to this many bytes before they are sent.
const JOINED: usize = 64 << 10;
/// Clients that are no brokers of this server (ZooKeeper's `maxClientCnxns`).
pub const MAX_CLIENTS: usize = 60;

/// Accepts up to `max` connections at a time, for as long as the server runs.
pub async fn accept(listener: TcpListener, handle: Handle, max: usize) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    while connections.try_join_next().is_some() {}
                    if connections.len() < max {
                        connections.spawn(serve(stream, handle.clone()));
                    } else {
                        warn!(%peer, "zookeeper: not accepted, {max} connections are open");
                    }
                }
                Err(error) => {
                    warn!(%error, "zookeeper: cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, handle: Handle) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let conn = ConnId(NEXT.fetch_add(1, Ordering::Relaxed));
    let (client, said) = unbounded_channel();
    let _ = stream.set_nodelay(true);
    if handle.inbox.send(Inbox::Opened { conn, client }).is_err() {
        return;
    }
    let (end, room) = (Mutex::default(), Semaphore::new(IN_FLIGHT));
    let (read, write) = stream.into_split();
    let why = tokio::select! {
        biased;
        why = answer(write, said, &end, &room) => why,
        why = listen(conn, read.as_ref(), &handle, &end, &room) => why,
    };
    match why {
        Some(why) => warn!(%conn, "zookeeper: a client is cut off: {why}"),
        None => debug!(%conn, "zookeeper: closed"),
    }
    let _ = handle.inbox.send(Inbox::Closed { conn });
}

/// Ends when the client closes the connection, or says what cannot be understood.
async fn listen(
    conn: ConnId,
    stream: &TcpStream,
    handle: &Handle,
    end: &Mutex<ServerEnd>,
    room: &Semaphore,
) -> Option<String> {
    let progress = Progress::default();
    let mut frames = Frames::new(stream, MAX_REQUEST as i32, &progress);
    let mut first = true;
    loop {
        // (1)
        room.acquire().await.expect("never closed").forget();
        let next = match std::mem::take(&mut first) {
            true => match timeout(FIRST, frames.next()).await {
                Ok(next) => next,
                Err(_) => return Some(format!("it has asked for no session in {} s", FIRST.as_secs())),
            },
            false => frames.next().await,
        };
        let frame = match next {
            Ok(frame) => frame,
            Err(why) => {
                debug!(%conn, "{why}");
                return None;
            }
        };
        let message = match end.lock().expect("not poisoned").decode(frame) {
            Ok(message) => message,
            Err(why) => return Some(why.to_string()),
        };
        handle.inbox.send(Inbox::Message { conn, message }).ok()?;
    }
}

/// Ends when ZooKeeper closes the connection, or it can take no more.
async fn answer(
    mut stream: OwnedWriteHalf,
    mut said: UnboundedReceiver<Said>,
    end: &Mutex<ServerEnd>,
    room: &Semaphore,
) -> Option<String> {
    let mut frames = BytesMut::new();
    loop {
        let (mut next, mut answered, mut closed) = (Some(said.recv().await?), 0, false);
        while let Some(word) = next.take() {
            match word {
                Said::Message(message) => {
                    answered += usize::from(!matches!(message, ToClient::Notification(_)));
                    end.lock().expect("not poisoned").encode(&message, &mut frames);
                }
                Said::Closed => closed = true,
            }
            if !closed && frames.len() < JOINED {
                next = said.try_recv().ok();
            }
        }
        // (2)
        match timeout(PATIENCE, stream.write_all(&frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(%error, "zookeeper: a connection is lost");
                return None;
            }
            Err(_) => return Some(format!("it has taken nothing for {} s", PATIENCE.as_secs())),
        }
        frames.clear();
        room.add_permits(answered);
        if closed {
            return None;
        }
    }
}
