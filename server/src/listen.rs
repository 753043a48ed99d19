//! A broker's port: the server's for as long as it runs, listened on while the broker runs; and who is let in, whom
//! `crowd.rs` has.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_core::quota::arrivals::Arrivals;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, info, warn};

use crate::connection::{self, Listener, Socket};
use crate::crowd::{self, Crowd, Limits};
use crate::descriptors;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that nobody else gets: whoever connects while nobody listens is refused, and the broker finds it free when it
/// starts again.
pub struct Port {
    pub address: SocketAddr,
    /// Bound, and never listened on.
    _held: TcpSocket,
}

impl Port {
    /// Port 0 picks a free one. An error where another process listens there.
    pub fn hold(address: SocketAddr) -> io::Result<Port> {
        let held = bound(address)?;
        Ok(Port { address: held.local_addr()?, _held: held })
    }

    /// Accepts connections until it is closed.
    pub fn listen(&self, context: Arc<Listener>) -> io::Result<Listening> {
        let socket = bound(self.address)?;
        // Connections inherit them.
        context.receive_buffer.map(|bytes| socket.set_recv_buffer_size(bytes)).transpose()?;
        context.send_buffer.map(|bytes| socket.set_send_buffer_size(bytes)).transpose()?;
        let listener = socket.listen(BACKLOG)?;
        let (close, closed) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, context.clone(), closed));
        Ok(Listening { context, close, accepting })
    }
}

/// Two sockets of one process may be bound to one port as long as only one of them listens.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub struct Listening {
    context: Arc<Listener>,
    close: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// From here on connections end by a reset, as the kernel ends those of a process that died.
    pub fn breaks(&self) {
        self.context.broken.store(true, Ordering::Relaxed);
    }

    pub fn stands_still(&self, still: bool) {
        self.context.still.store(still, Ordering::Relaxed);
    }

    /// Nobody listens any more, and no connection is left.
    pub async fn close(self) {
        let _ = self.close.send(());
        let _ = self.accepting.await;
    }
}

/// The next connection, when there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>) {
    let place = places.clone().acquire_owned().await.expect("it is never closed");
    (place, listener.accept().await)
}

async fn accept(listener: TcpListener, context: Arc<Listener>, mut closed: oneshot::Receiver<()>) {
    let mut crowd = Crowd::default();
    let mut given = context.limits.clone();
    let known = given.borrow_and_update().clone();
    let mut limits = Limits::of_addresses(&known);
    // Who has limits by name is looked for; that may take as long as it likes.
    let mut looking = JoinSet::new();
    looking.spawn(Limits::of(known));
    let mut rates = context.rates.clone();
    let mut arrivals = Arrivals::new(context.windows);
    // Those that came too often, until they are closed.
    let mut late = JoinSet::new();
    let places = descriptors::kafka();
    let (mut told, mut crowded, mut failing) = (false, false, false);
    loop {
        let is_full = crowd.is_full(&limits);
        if is_full && !std::mem::replace(&mut told, is_full) {
            warn!(broker = %context.broker.id, "max.connections are open: whoever comes waits until another goes");
        }
        if places.available_permits() == 0 && !std::mem::replace(&mut crowded, true) {
            warn!(
                "a quarter of the files that the system lets be open are connections: whoever comes waits until another goes"
            );
        }
        tokio::select! {
            (place, accepted) = next(&listener, &places), if !is_full => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    let socket = Socket { stream, listener: context.clone() };
                    if let Err(wait) = arrivals.came(crowd::now(), peer.ip()) {
                        debug!("Delaying closing of connection from {} for {} ms.", peer.ip(), wait.as_millis());
                        context.broker.metrics.throttled_connections.inc();
                        late.spawn(async move {
                            tokio::time::sleep(wait).await;
                            drop((socket, place));
                        });
                        continue;
                    }
                    match crowd.admits(peer.ip(), &limits) {
                        Ok(()) => crowd.enter(peer.ip(), |used| {
                            let served = connection::serve(socket, peer, used);
                            async move {
                                served.await;
                                drop(place);
                            }
                        }),
                        Err(most) => info!(
                            "Rejected connection from {}, address already has the configured maximum of {most} \
                             connections.",
                            peer.ip()
                        ),
                    }
                }
                Err(error) => {
                    // Those in use end some time.
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "cannot accept a connection; it is tried again and again");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            true = crowd.leave() => {}
            Some(_) = late.join_next() => {}
            Ok(()) = given.changed() => {
                looking.abort_all();
                looking.spawn(Limits::of(given.borrow_and_update().clone()));
            }
            // One that was not needed any more has found nothing.
            Some(found) = looking.join_next() => if let Ok(found) = found {
                limits = found;
                crowd.thin_out(&limits);
                told = false;
            },
            Ok(()) = rates.changed() => arrivals.follow(rates.borrow_and_update().clone()),
            _ = &mut closed => break,
        }
    }
    drop(listener);
    late.shutdown().await;
    crowd.disperse().await;
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_port_that_is_held_refuses_whoever_comes_and_one_that_is_served_is_not_to_be_had() {
        let port = Port::hold("127.0.0.1:0".parse().unwrap()).unwrap();
        let refused = TcpStream::connect(port.address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let served = bound(port.address).unwrap().listen(1).unwrap();
        let taken = Port::hold(port.address).map(|_| ()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        drop(served);
        Port::hold(port.address).unwrap();
    }
}
