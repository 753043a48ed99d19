//! What the page is told of a running server, by the WebSocket that tells it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ottla_core::view::View;

use crate::server::Server;

/// The page's end of the WebSocket.
pub struct Page(BufReader<TcpStream>);

impl Page {
    pub fn open(server: &Server) -> Page {
        let mut stream = TcpStream::connect(server.page).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let page = server.page;
        let request = format!(
            "GET /api/live HTTP/1.1\r\nHost: {page}\r\nOrigin: http://{page}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 101"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        Page(reader)
    }

    /// The next view.
    pub fn view(&mut self) -> View {
        self.try_view().expect("a view")
    }

    /// Fails where none comes for a minute.
    fn try_view(&mut self) -> std::io::Result<View> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        assert_eq!(head[0], 0x81, "a whole text");
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.array())),
            127 => u64::from_be_bytes(self.array()),
            short => u64::from(short),
        };
        let mut text = vec![0; length as usize];
        self.0.read_exact(&mut text).unwrap();
        Ok(serde_json::from_slice(&text).unwrap())
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn wait_for(&mut self, mut what: impl FnMut(&View) -> bool) -> View {
        let begin = Instant::now();
        let mut last = self.view();
        while !what(&last) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{last:?}");
            last = self.try_view().unwrap_or_else(|why| panic!("{why} after {last:?}"));
        }
        last
    }
}
