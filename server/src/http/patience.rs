//! Connections to the page that must ask for something before long, and read what they are told: one that says nothing, or
//! half a request and then nothing, or lets its answer lie, does not hold its descriptor for ever. Whoever waits for an
//! answer may wait, and whoever watches (a WebSocket) may stay.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use crate::descriptors;

/// Until a request has come whole, from the last answer on, and until some of an answer has been taken.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Patient {
    pub listener: TcpListener,
    pub patience: Duration,
}

impl Listener for Patient {
    type Io = Opened;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Opened, SocketAddr) {
        let place = descriptors::page().acquire_owned().await.expect("it is never closed");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let (patience, asker) = (self.patience, Asker::default());
        (Opened { stream, _place: place, patience, asker, asked: 0, hears: None, tells: None }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pub struct Opened {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    patience: Duration,
    asker: Asker,
    /// How often they had asked when last looked.
    asked: usize,
    /// Runs while a request is to come.
    hears: Option<Pin<Box<Sleep>>>,
    /// Runs while what is to be sent finds no room.
    tells: Option<Pin<Box<Sleep>>>,
}

/// Whoever asks over one connection.
#[derive(Clone, Default)]
pub struct Asker(Arc<Asked>);

#[derive(Default)]
struct Asked {
    /// How many requests came whole.
    count: AtomicUsize,
    /// They wait for us.
    waits: AtomicBool,
}

impl Asker {
    /// A request came whole, and what it asks for may take long.
    pub fn waits(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.waits.store(true, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.0.waits.store(false, Ordering::Relaxed);
    }
}

/// A request without a body is there as soon as it is heard; of another, who reads its body knows.
pub async fn heard(ConnectInfo(asker): ConnectInfo<Asker>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        asker.waits();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        asker.answered();
    }
    response
}

impl Connected<IncomingStream<'_, Patient>> for Asker {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Asker {
        stream.io().asker.clone()
    }
}

/// Lets the time run that there is for it; ready when none is left.
fn over(timer: &mut Option<Pin<Box<Sleep>>>, patience: Duration, context: &mut Context<'_>) -> bool {
    timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context).is_ready()
}

impl Opened {
    /// What became of an attempt to send.
    fn told(&mut self, told: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if told.is_ready() {
            self.tells = None;
        } else if over(&mut self.tells, self.patience, context) {
            self.tells = None;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        told
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Opened { patience, asker, asked, hears, .. } = &mut *self;
        let count = asker.0.count.load(Ordering::Relaxed);
        if asker.0.waits.load(Ordering::Relaxed) || count != *asked {
            (*asked, *hears) = (count, None);
        }
        if !asker.0.waits.load(Ordering::Relaxed) && over(hears, *patience, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.told(told, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        runs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.stream).poll_write_vectored(context, runs);
        self.told(told, context)
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
        opened.asker.answered();
        let read = opened.read_to_end(&mut bytes).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut, "who has their answer is to ask again, or to go");
    }

    #[tokio::test]
    async fn who_does_not_take_their_answer_is_cut_off() {
        let patience = Duration::from_millis(50);
        let mut listener = Patient { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), patience };
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut opened, _) = listener.accept().await;
        opened.asker.waits();
        let answer = vec![0; 64 << 20];
        assert_eq!(opened.write_all(&answer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        // Whoever reads goes on.
        let reader = tokio::spawn(async move {
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await
        });
        opened.write_all(&answer[..1 << 20]).await.unwrap();
        drop(opened);
        assert!(reader.await.unwrap().unwrap() > 1 << 20);
    }
}
