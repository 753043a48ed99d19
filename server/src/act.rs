//! `ottla do`: lines of a scenario, done on a server that runs.
//!
//! Exit code 0: all were done. 1: one was not, or there is no server. 2: the text is wrong, and nothing was done.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

/// To connect; what is done may take as long as it takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct DoArgs {
    /// Lines such as 'kill broker-2'; words without quotes are one line, and without any the lines are read from stdin
    #[arg(value_name = "LINE")]
    lines: Vec<String>,
    /// Where the server's page is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    http: String,
}

/// One object of the server's answer.
#[derive(Deserialize)]
struct Told {
    line: usize,
    column: Option<usize>,
    action: Option<String>,
    done: Option<String>,
    error: Option<String>,
}

pub fn act(args: DoArgs) -> ExitCode {
    let text = match text(args.lines) {
        Ok(text) => text,
        Err(error) => return fail(&error.to_string(), 2),
    };
    let (status, body) = match post(&args.http, &text) {
        Ok(answer) => answer,
        Err(error) => return fail(&format!("{}: {error}", args.http), 1),
    };
    let Ok(told) = body.lines().map(serde_json::from_str::<Told>).collect::<Result<Vec<_>, _>>() else {
        return fail(&format!("{} answered {status}: {}", args.http, body.trim()), 1);
    };
    for Told { line, column, action, done, error } in told {
        match (action, done, error) {
            (Some(action), Some(done), _) => println!("{action}: {done}"),
            (Some(action), _, Some(error)) => eprintln!("{action} is not done: {error}"),
            (None, _, Some(error)) => eprintln!("line {line}, column {}: {error}", column.unwrap_or(1)),
            _ => {}
        }
    }
    match status {
        200 => ExitCode::SUCCESS,
        400 => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("ottla: {why}");
    ExitCode::from(code)
}

/// `'kill broker-2' 'start broker-2'` are two lines, `kill broker-2` is one.
fn text(words: Vec<String>) -> io::Result<String> {
    if words.is_empty() {
        let mut text = String::new();
        return io::stdin().lock().read_to_string(&mut text).map(|_| text);
    }
    let quoted = words.iter().any(|word| word.contains(char::is_whitespace));
    Ok(words.join(if quoted { "\n" } else { " " }))
}

/// HOST:PORT of what `--http` takes: that alone, or a URL of HTTP's.
fn authority(url: &str) -> Option<&str> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => url,
    };
    rest.split('/').next().filter(|host| !host.is_empty())
}

/// Gives the status and the body.
fn post(url: &str, text: &str) -> io::Result<(u16, String)> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let authority = authority(url).ok_or_else(|| {
        wrong("expected an address such as http://127.0.0.1:8080 or 127.0.0.1:8080: the page speaks HTTP without TLS")
    })?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut last = wrong("no such host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return ask(stream, authority, text),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
fn ask(mut stream: TcpStream, authority: &str, text: &str) -> io::Result<(u16, String)> {
    let length = text.len();
    let head = format!(
        "POST /api/actions HTTP/1.0\r\nHost: {authority}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
    );
    stream.write_all(format!("{head}\r\n{text}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP server"))
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

    #[test]
    fn quoted_arguments_are_lines_and_bare_words_are_one() {
        let text = |words: &[&str]| text(words.iter().map(|word| word.to_string()).collect()).unwrap();
        assert_eq!(text(&["kill broker-2", "heal"]), "kill broker-2\nheal");
        assert_eq!(text(&["kill", "broker-2"]), "kill broker-2");
        assert_eq!(text(&["heal"]), "heal");
    }
}
