//! Connections to the page that must ask for something before long: one that says nothing, or half a request and then
//! nothing, does not hold its descriptor for ever. Whoever has asked once may stay.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

/// Until the first request has come whole.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Patient {
    pub listener: TcpListener,
    pub patience: Duration,
}

impl Listener for Patient {
    type Io = Opened;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Opened, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Opened { stream, patience: Some(Box::pin(sleep(self.patience))), asker: Asker::default() }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pub struct Opened {
    stream: TcpStream,
    /// `None` once something was asked.
    patience: Option<Pin<Box<Sleep>>>,
    asker: Asker,
}

/// Whoever asks over one connection.
#[derive(Clone, Default)]
pub struct Asker {
    /// A request came whole: from now on they wait for us.
    has_asked: Arc<AtomicBool>,
}

impl Asker {
    /// What they asked for may take long.
    pub fn waits(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
    }
}

/// A request without a body is there as soon as it is heard; of another, who reads its body knows.
pub async fn heard(ConnectInfo(asker): ConnectInfo<Asker>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        asker.waits();
    }
    next.run(request).await
}

impl Connected<IncomingStream<'_, Patient>> for Asker {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Asker {
        stream.io().asker.clone()
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.asker.has_asked.load(Ordering::Relaxed) {
            self.patience = None;
        }
        if self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        runs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, runs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_never_ends_a_request_is_cut_off_and_who_has_asked_is_not() {
        let patience = Duration::from_millis(50);
        let mut listener = Patient { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), patience };
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut opened, _) = listener.accept().await;
        client.write_all(b"GET / HTT").await.unwrap();
        let read = opened.read_to_end(&mut Vec::new()).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);

        // An answer that asks for the rest is none.
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut opened, _) = listener.accept().await;
        opened.write_all(b"HTTP/1.1 100 Continue\r\n").await.unwrap();
        let read = opened.read_to_end(&mut Vec::new()).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut opened, _) = listener.accept().await;
        opened.asker.waits();
        let mut bytes = Vec::new();
        let reads = tokio::time::timeout(patience * 4, opened.read_to_end(&mut bytes));
        assert!(reads.await.is_err(), "who has asked is not cut off while the answer takes long");
    }
}
