//! A broker's way to ZooKeeper: its client's connections, over TCP.
//!
//! What is sent and what comes takes the ways between the two, which a fault can cut or make slow.
//!
//! 1. An open is answered by `Opened` or `Closed`, and `Closed` is the last that is told of a connection.
//! 2. What goes wrong ends that connection, with a line in the log, and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use ottla_core::broker;
use ottla_core::id::ConnId;
use ottla_core::zookeeper::wire::ClientEnd;
use ottla_core::zookeeper::{ToServer, client};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, warn};

use crate::driver::Inbox;
use crate::frame::{Frames, Progress};
use crate::link::Way;

/// No answer is longer: the children of a znode, at most.
const MAX_ANSWER: i32 = 64 << 20;

pub struct Link {
    pub runtime: Handle,
    /// Where ZooKeeper listens.
    pub address: SocketAddr,
    pub there: Arc<Way>,
    pub back: Arc<Way>,
    pub broker: Sender<Inbox>,
    /// Dropping one closes the connection.
    pub open: BTreeMap<ConnId, UnboundedSender<ToServer>>,
}

impl Link {
    /// Carries out what a broker wants of ZooKeeper.
    pub fn execute(&mut self, effect: client::Effect) {
        match effect {
            client::Effect::Open { conn } => {
                let (messages, queue) = unbounded_channel();
                self.open.insert(conn, messages);
                let (runtime, address) = (self.runtime.clone(), self.address);
                let tell = Tell { broker: self.broker.clone(), back: self.back.clone() };
                self.there.send(move || drop(runtime.spawn(connect(conn, address, queue, tell))));
            }
            client::Effect::Send { conn, message } => {
                if let Some(messages) = self.open.get(&conn) {
                    let messages = messages.clone();
                    // Where the task has ended its `Closed` is on the way.
                    self.there.send(move || drop(messages.send(message)));
                }
            }
            client::Effect::Close { conn } => drop(self.open.remove(&conn)),
        }
    }

    /// The broker has been told that the connection is gone.
    pub fn closed(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }
}

/// What a connection's task tells the broker.
struct Tell {
    broker: Sender<Inbox>,
    back: Arc<Way>,
}

impl Tell {
    fn tell(&self, event: client::Event) {
        let broker = self.broker.clone();
        self.back.send(move || drop(broker.send(Inbox::Event(broker::Event::ZooKeeper(event)))));
    }
}

async fn connect(conn: ConnId, address: SocketAddr, mut messages: UnboundedReceiver<ToServer>, tell: Tell) {
    let connected = tokio::select! {
        connected = TcpStream::connect(address) => connected,
        // Nothing is sent before it is open: the broker has given it up.
        _ = messages.recv() => return,
    };
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%conn, %address, %error, "cannot connect to zookeeper");
            return tell.tell(client::Event::Closed { conn });
        }
    };
    let _ = stream.set_nodelay(true);
    tell.tell(client::Event::Opened { conn });
    let end = Mutex::default();
    let (read, write) = stream.into_split();
    let why = tokio::select! {
        why = send(write, &mut messages, &end) => why,
        why = receive(conn, read.as_ref(), &end, &tell) => why,
    };
    match why {
        Some(why) => warn!(%conn, %address, "zookeeper: {why}"),
        None => debug!(%conn, %address, "the connection with zookeeper is closed"),
    }
    tell.tell(client::Event::Closed { conn });
}

/// Ends when the broker closes the connection, or it can take no more.
async fn send(
    mut stream: OwnedWriteHalf,
    messages: &mut UnboundedReceiver<ToServer>,
    end: &Mutex<ClientEnd>,
) -> Option<String> {
    let mut frames = BytesMut::new();
    while let Some(first) = messages.recv().await {
        let mut next = Some(first);
        while let Some(message) = next.take() {
            end.lock().expect("not poisoned").encode(&message, &mut frames);
            next = messages.try_recv().ok();
        }
        if let Err(error) = stream.write_all(&frames).await {
            debug!(%error, "the connection with zookeeper is lost");
            return None;
        }
        frames.clear();
    }
    None
}

/// Ends when ZooKeeper closes the connection, or says what cannot be understood.
async fn receive(conn: ConnId, stream: &TcpStream, end: &Mutex<ClientEnd>, tell: &Tell) -> Option<String> {
    let progress = Progress::default();
    let mut frames = Frames::new(stream, MAX_ANSWER, &progress);
    loop {
        let frame = match frames.next().await {
            Ok(frame) => frame,
            Err(why) => {
                debug!(%conn, "{why}");
                return None;
            }
        };
        match end.lock().expect("not poisoned").decode(frame) {
            Ok(message) => tell.tell(client::Event::Message { conn, message: message.into() }),
            Err(why) => return Some(why.to_string()),
        }
    }
}
