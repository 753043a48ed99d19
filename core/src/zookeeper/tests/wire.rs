//! What ZooKeeper 3.8.4 was asked and answered, byte for byte (`recorded.tsv`: a name, the request, and all that came back
//! until its answer was there). It is understood here, said again in the same bytes, and answered alike.

use std::collections::BTreeMap;

use super::super::wire::{ClientEnd, ServerEnd};
use super::*;

struct Exchange {
    name: &'static str,
    asked: Bytes,
    said: Vec<Bytes>,
}

fn recorded() -> Vec<Exchange> {
    let bytes = |text: &str| -> Bytes {
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<_>>().into()
    };
    let exchange = |line: &'static str| {
        let mut columns = line.split('\t');
        let name = columns.next().unwrap();
        let mut frames = columns.map(bytes);
        Exchange { name, asked: frames.next().unwrap(), said: frames.collect() }
    };
    include_str!("recorded.tsv").lines().map(exchange).collect()
}

/// The payload of the one frame in `out`.
fn payload(out: BytesMut) -> Bytes {
    let mut frame = out.freeze();
    assert_eq!(frame.split_to(4).as_ref(), (frame.len() as i32).to_be_bytes());
    frame
}

/// What both say must not depend on when it was said, nor on how many changes there were before.
fn timeless(mut message: ToClient) -> ToClient {
    let plain = |stat: &mut Stat| {
        (stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime) = Default::default();
        if stat.ephemeral_owner != SessionId::NONE {
            stat.ephemeral_owner = SessionId(1);
        }
    };
    fn stats(reply: &mut Reply, plain: &impl Fn(&mut Stat)) {
        match reply {
            Reply::Create2 { stat, .. } | Reply::Exists { stat } | Reply::GetData { stat, .. } => plain(stat),
            Reply::SetData { stat } | Reply::GetChildren2 { stat, .. } | Reply::GetAcl { stat } => plain(stat),
            Reply::Multi(Ok(replies)) => replies.iter_mut().for_each(|reply| stats(reply, plain)),
            _ => {}
        }
        // The order of children is nobody's promise.
        if let Reply::GetChildren { children } | Reply::GetChildren2 { children, .. } = reply {
            children.sort();
        }
    }
    match &mut message {
        ToClient::Connected(connected) => {
            (connected.session, connected.password) = (SessionId(1), Password::default());
        }
        ToClient::Response { zxid, result, .. } => {
            *zxid = Zxid(0);
            let _ = result.as_mut().map(|reply| stats(reply, &plain));
        }
        ToClient::Notification(_) => {}
    }
    message
}

#[test]
fn what_zookeeper_and_its_clients_say_is_said_here_in_the_same_bytes() {
    let (mut server, mut client) = (ServerEnd::default(), ClientEnd::default());
    for Exchange { name, asked, said } in recorded() {
        let request = server.decode(asked.clone()).unwrap();
        let mut out = BytesMut::new();
        client.encode(&request, &mut out);
        // What is refused has no bytes of its own, and nobody's name and password are sent.
        if !matches!(request, ToServer::Request { op: Op::Refused { .. } | Op::Auth, .. }) {
            assert_eq!(payload(out), asked, "{name}: {request}");
        }
        for frame in said {
            let message = client.decode(frame.clone()).unwrap();
            let mut out = BytesMut::new();
            server.encode(&message, &mut out);
            assert_eq!(payload(out), frame, "{name}: {message}");
        }
    }
}

#[test]
fn what_zookeeper_was_asked_is_answered_here_as_it_answered() {
    let (mut server, mut client) = (ServerEnd::default(), ClientEnd::default());
    let mut room = Room::new();
    for Exchange { name, asked, said } in recorded() {
        let message = server.decode(asked).unwrap();
        client.encode(&message, &mut BytesMut::new());
        room.step(Event::Message { conn: ConnId(1), message });
        for frame in said {
            let theirs = timeless(client.decode(frame).unwrap());
            let ours = room.hear(1).map(timeless);
            assert_eq!(ours, Some(theirs), "{name}");
        }
        assert_eq!(room.hear(1), None, "{name}");
    }
    assert_eq!(room.closed, [ConnId(1)]);
}

#[test]
fn bytes_that_mean_nothing_end_a_connection_or_are_refused_and_do_no_more() {
    let requests = recorded().into_iter().map(|exchange| exchange.asked).collect::<Vec<_>>();
    let (connect, requests) = requests.split_first().unwrap();
    let outcome = |frame: Bytes| {
        let mut end = ServerEnd::default();
        end.decode(connect.clone()).unwrap();
        end.decode(frame)
    };
    let mut refused = BTreeMap::new();
    for request in requests {
        for len in 0..request.len() {
            match outcome(request.slice(..len)) {
                Err(_) => assert!(len < 8, "its head is there"),
                Ok(ToServer::Request { op: Op::Refused { error, .. }, .. }) => {
                    *refused.entry(error.to_string()).or_insert(0) += 1;
                }
                Ok(message) => panic!("{message} of {len} bytes of {request:?}"),
            }
        }
    }
    assert!(refused["MARSHALLINGERROR"] > 100, "{refused:?}");
    // A vector of two thousand million paths is not made room for.
    let mut vast = BytesMut::new();
    vast.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
    let refusal = Op::Refused { code: 101, error: Error::MarshallingError };
    assert_eq!(outcome(vast.freeze()), Ok(ToServer::Request { xid: 1, op: refusal }));
}
