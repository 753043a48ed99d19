//! A client of a running server's ZooKeeper, for what no broker would write.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::{Bytes, BytesMut};
use ottla_core::zookeeper::protocol::{ANY_VERSION, Connect, Op, Password, Reply, ToClient, ToServer};
use ottla_core::zookeeper::wire::ClientEnd;
use ottla_core::zookeeper::{SessionId, Zxid};

/// What a znode holds.
pub fn get(zookeeper: SocketAddr, path: &str) -> Bytes {
    match ask(zookeeper, Op::GetData { path: path.into(), watch: false }) {
        Reply::GetData { data, .. } => data.expect("data"),
        other => panic!("{other:?}"),
    }
}

/// Writes what a znode holds.
pub fn set(zookeeper: SocketAddr, path: &str, data: Bytes) {
    ask(zookeeper, Op::SetData { path: path.into(), data: Some(data), version: ANY_VERSION });
}

fn ask(zookeeper: SocketAddr, op: Op) -> Reply {
    let mut stream = TcpStream::connect(zookeeper).expect("it listens");
    let mut end = ClientEnd::default();
    let mut call = |message| {
        let mut frame = BytesMut::new();
        end.encode(&message, &mut frame);
        stream.write_all(&frame).expect("it takes a request");
        let mut len = [0; 4];
        stream.read_exact(&mut len).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut answer).expect("an answer");
        end.decode(answer.into()).expect("an answer of ZooKeeper's")
    };
    let connect = Connect {
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: Password::default(),
    };
    call(ToServer::Connect(connect));
    match call(ToServer::Request { xid: 1, op }) {
        ToClient::Response { result, .. } => result.expect("done"),
        other => panic!("{other:?}"),
    }
}
