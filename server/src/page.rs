//! What `ottla do` and `ottla zk` ask of a running server, by the port of its page.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// To connect; what is done may take as long as it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it is: HOST:PORT, or a URL of HTTP's.
pub const DEFAULT: &str = "http://127.0.0.1:8080";

/// Asks with a method such as GET, and the path behind the address; gives the status and the body.
pub fn ask(url: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let authority = authority(url).ok_or_else(|| {
        wrong("expected an address such as http://127.0.0.1:8080 or 127.0.0.1:8080: the page speaks HTTP without TLS")
    })?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut last = wrong("no such host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return answer(stream, authority, method, path, body),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
fn answer(mut stream: TcpStream, authority: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
    );
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP server"))
}

fn authority(url: &str) -> Option<&str> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => url,
    };
    rest.split('/').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_http_and_of_nothing_else() {
        for url in ["http://127.0.0.1:8080", "HTTP://127.0.0.1:8080/", "127.0.0.1:8080"] {
            assert_eq!(authority(url), Some("127.0.0.1:8080"));
        }
        for url in ["https://127.0.0.1:8080", "ftp://127.0.0.1", "http://", "", "/x"] {
            assert_eq!(authority(url), None, "{url:?}");
        }
    }
}
