//! A session held over TCP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ResponseKind;

use crate::session::{Exchange, Learned};

/// One frame out, one frame in, lengths added and taken off.
pub fn call(stream: &mut TcpStream, frame: &[u8]) -> std::io::Result<Bytes> {
    let mut out = Vec::with_capacity(4 + frame.len());
    out.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    out.extend_from_slice(frame);
    stream.write_all(&out)?;
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let mut answer = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer.into())
}

/// Holds the session with the broker at `address`; gives every exchange's name and what was understood of its answer.
pub fn hold(address: &str, script: &[Exchange]) -> Vec<(String, Result<ResponseKind, String>)> {
    let connect = || {
        let stream = TcpStream::connect(address).unwrap_or_else(|why| panic!("{address}: {why}"));
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        stream
    };
    let mut stream = connect();
    let mut learned = Learned::default();
    let mut answers = Vec::with_capacity(script.len());
    for (correlation_id, exchange) in (0..).zip(script) {
        let answer = call(&mut stream, &exchange.frame(correlation_id, &learned));
        let understood = match answer {
            Ok(frame) if frame.starts_with(&i32::to_be_bytes(correlation_id)) => {
                exchange.understand(frame, &mut learned)
            }
            Ok(_) => Err(format!("{}: another request's answer", exchange.name)),
            Err(why) => {
                stream = connect();
                Err(format!("{}: the connection was lost: {why}", exchange.name))
            }
        };
        answers.push((exchange.name.clone(), understood));
    }
    answers
}
