//! The wire: what a client and a server say, as ZooKeeper's own bytes.
//!
//! ```text
//! frame    = length:i32 payload                    the first of a client is a connect, all others are requests
//! request  = xid:i32 type:i32 record
//! response = xid:i32 zxid:i64 error:i32 record     no record where there is an error; xid −1 is a watch event
//! multi    = (type:i32 done=0 error:i32 record)… −1 done=1 −1
//! ```
//!
//! 1. Nothing that comes from the other side is believed: what is no such message ends its connection, and a request whose
//!    head can be read is answered, if only by an error.
//! 2. An answer does not say to what it is one: a client's end remembers what it has asked, in order.
//! 3. What is read holds nothing of the frame that it came in: small values live long.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::jute::{Malformed, Reader, Write};
use super::protocol::{
    Connect, Connected, CreateMode, Error, Failed, Op, Password, Reply, Stat, ToClient, ToServer, WatchEvent,
    WatchKind, code,
};
use super::{Path, SessionId, Zxid};

/// Bytes of the length.
const PREFIX: usize = 4;
const PROTOCOL_VERSION: i32 = 0;
/// ZooKeeper's numbers of what is no answer to a request of a user's.
const NOTIFICATION_XID: i32 = -1;
/// `KeeperState.SyncConnected`.
const SYNC_CONNECTED: i32 = 3;
/// The scheme of names and passwords.
const DIGEST: &str = "digest";
/// Every permission that there is.
const ALL: i32 = 0b1_1111;

/// A server's end of a connection.
#[derive(Clone, Debug, Default)]
pub struct ServerEnd {
    connected: bool,
    /// The client asked whether a server that can only read would do: one that did is told, others do not know the word.
    read_only: bool,
}

/// A client's end of a connection.
#[derive(Clone, Debug, Default)]
pub struct ClientEnd {
    connected: bool,
    /// The types of what was asked and is not answered. (2)
    awaited: VecDeque<i32>,
}

impl ServerEnd {
    /// What a client's frame says. An error is that it is no client, or none that can be understood.
    pub fn decode(&mut self, frame: Bytes) -> Result<ToServer, Malformed> {
        let mut reader = Reader::new(frame);
        if !self.connected {
            self.connected = true;
            let connect = read_connect(&mut reader)?;
            self.read_only = !reader.is_empty();
            return Ok(ToServer::Connect(connect));
        }
        let (xid, code) = (reader.int()?, reader.int()?);
        // (1)
        let op = read_op(code, &mut reader).unwrap_or(Op::Refused { code, error: Error::MarshallingError });
        Ok(ToServer::Request { xid, op })
    }

    /// Puts the message behind what is in `out`, as a frame.
    pub fn encode(&self, message: &ToClient, out: &mut BytesMut) {
        frame(out, |out| match message {
            ToClient::Connected(connected) => {
                out.put_i32(PROTOCOL_VERSION);
                out.put_i32(connected.timeout_ms);
                out.put_i64(connected.session.0);
                out.put_buffer(Some(&connected.password.0));
                if self.read_only {
                    out.put_bool(false);
                }
            }
            ToClient::Response { xid, zxid, result } => {
                put_reply_header(out, *xid, zxid.0, result.as_ref().err().map_or(0, |error| error.code()));
                if let Ok(reply) = result {
                    put_reply(out, reply);
                }
            }
            ToClient::Notification(event) => {
                put_reply_header(out, NOTIFICATION_XID, -1, 0);
                out.put_i32(event.kind as i32);
                out.put_i32(SYNC_CONNECTED);
                out.put_string(&event.path);
            }
        });
    }
}

impl ClientEnd {
    /// Puts the message behind what is in `out`, as a frame.
    pub fn encode(&mut self, message: &ToServer, out: &mut BytesMut) {
        frame(out, |out| match message {
            ToServer::Connect(connect) => {
                out.put_i32(PROTOCOL_VERSION);
                out.put_i64(connect.last_zxid_seen.0);
                out.put_i32(connect.timeout_ms);
                out.put_i64(connect.session.0);
                out.put_buffer(Some(&connect.password.0));
                out.put_bool(false);
            }
            ToServer::Request { xid, op } => {
                self.awaited.push_back(op.code());
                out.put_i32(*xid);
                out.put_i32(op.code());
                put_op(out, op);
            }
        });
    }

    /// What a server's frame says. An error is that it is no server, or none that can be understood.
    pub fn decode(&mut self, frame: Bytes) -> Result<ToClient, Malformed> {
        let mut reader = Reader::new(frame);
        if !self.connected {
            self.connected = true;
            return Ok(ToClient::Connected(read_connected(&mut reader)?));
        }
        let (xid, zxid, error) = (reader.int()?, Zxid(reader.long()?), reader.int()?);
        if xid == NOTIFICATION_XID {
            return Ok(ToClient::Notification(read_event(&mut reader)?));
        }
        let code = self.awaited.pop_front().ok_or(Malformed("an answer to something that was asked"))?;
        let result = match error {
            0 => Ok(read_reply(code, &mut reader)?),
            error => Err(Error::from_code(error).unwrap_or(Error::SystemError)),
        };
        Ok(ToClient::Response { xid, zxid, result })
    }
}

fn frame(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    put(out);
    let length = (out.len() - start - PREFIX) as i32;
    out[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

fn read_connect(reader: &mut Reader) -> Result<Connect, Malformed> {
    reader.int()?;
    let last_zxid_seen = Zxid(reader.long()?);
    let timeout_ms = reader.int()?;
    Ok(Connect { last_zxid_seen, timeout_ms, session: SessionId(reader.long()?), password: read_password(reader)? })
}

fn read_connected(reader: &mut Reader) -> Result<Connected, Malformed> {
    reader.int()?;
    let timeout_ms = reader.int()?;
    Ok(Connected { timeout_ms, session: SessionId(reader.long()?), password: read_password(reader)? })
}

/// One of another length is nobody's, as are zeros.
fn read_password(reader: &mut Reader) -> Result<Password, Malformed> {
    let bytes = reader.buffer()?.unwrap_or_default();
    Ok(bytes.as_ref().try_into().map(Password).unwrap_or_default())
}

fn read_event(reader: &mut Reader) -> Result<WatchEvent, Malformed> {
    use WatchKind::*;
    let kind = reader.int()?;
    let known = [NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged];
    let kind = known.into_iter().find(|known| *known as i32 == kind).ok_or(Malformed("a kind of watch event"))?;
    reader.int()?;
    Ok(WatchEvent { kind, path: reader.string()? })
}

fn put_op(out: &mut BytesMut, op: &Op) {
    match op {
        Op::Create { path, data, mode } | Op::Create2 { path, data, mode } => {
            out.put_string(path);
            out.put_buffer(data.as_deref());
            put_open_acl(out);
            out.put_i32(*mode as i32);
        }
        Op::Delete { path, version } | Op::Check { path, version } => {
            out.put_string(path);
            out.put_i32(*version);
        }
        Op::Exists { path, watch }
        | Op::GetData { path, watch }
        | Op::GetChildren { path, watch }
        | Op::GetChildren2 { path, watch } => {
            out.put_string(path);
            out.put_bool(*watch);
        }
        Op::SetData { path, data, version } => {
            out.put_string(path);
            out.put_buffer(data.as_deref());
            out.put_i32(*version);
        }
        Op::Sync { path } | Op::GetAcl { path } => out.put_string(path),
        Op::Multi(ops) => {
            for op in ops {
                put_multi_header(out, op.code(), false, -1);
                put_op(out, op);
            }
            put_multi_header(out, -1, true, -1);
        }
        Op::SetWatches { relative_zxid, data, exist, child } => {
            out.put_i64(relative_zxid.0);
            put_strings(out, data);
            put_strings(out, exist);
            put_strings(out, child);
        }
        Op::Auth => {
            out.put_i32(0);
            out.put_string(DIGEST);
            out.put_buffer(None);
        }
        Op::Ping | Op::CloseSession | Op::Refused { .. } => {}
    }
}

fn read_op(code: i32, reader: &mut Reader) -> Result<Op, Malformed> {
    Ok(match code {
        code::CREATE | code::CREATE2 => read_create(code, reader)?,
        code::DELETE => Op::Delete { path: reader.string()?, version: reader.int()? },
        code::CHECK => Op::Check { path: reader.string()?, version: reader.int()? },
        code::EXISTS => Op::Exists { path: reader.string()?, watch: reader.bool()? },
        code::GET_DATA => Op::GetData { path: reader.string()?, watch: reader.bool()? },
        code::GET_CHILDREN => Op::GetChildren { path: reader.string()?, watch: reader.bool()? },
        code::GET_CHILDREN2 => Op::GetChildren2 { path: reader.string()?, watch: reader.bool()? },
        code::SET_DATA => Op::SetData { path: reader.string()?, data: read_data(reader)?, version: reader.int()? },
        code::SYNC => Op::Sync { path: reader.string()? },
        code::GET_ACL => Op::GetAcl { path: reader.string()? },
        code::MULTI => Op::Multi(read_multi(reader)?),
        code::SET_WATCHES => Op::SetWatches {
            relative_zxid: Zxid(reader.long()?),
            data: reader.vector(Reader::string)?,
            exist: reader.vector(Reader::string)?,
            child: reader.vector(Reader::string)?,
        },
        code::PING => Op::Ping,
        code::CLOSE_SESSION => Op::CloseSession,
        code::AUTH => {
            reader.int()?;
            let scheme = reader.string()?;
            reader.buffer()?;
            match &*scheme {
                DIGEST => Op::Auth,
                _ => Op::Refused { code, error: Error::AuthFailed },
            }
        }
        code => Op::Refused { code, error: Error::Unimplemented },
    })
}

/// A znode that not everyone may do everything with, or that goes by itself, is not to be had here.
fn read_create(code: i32, reader: &mut Reader) -> Result<Op, Malformed> {
    let (path, data) = (reader.string()?, read_data(reader)?);
    let acl = reader.vector(|reader| {
        let all = reader.int()? == ALL;
        Ok(all & (&*reader.string()? == "world") & (&*reader.string()? == "anyone"))
    })?;
    let mode = match reader.int()? {
        0 => CreateMode::Persistent,
        1 => CreateMode::Ephemeral,
        2 => CreateMode::PersistentSequential,
        3 => CreateMode::EphemeralSequential,
        4..=6 => return Ok(Op::Refused { code, error: Error::Unimplemented }),
        _ => return Ok(Op::Refused { code, error: Error::BadArguments }),
    };
    Ok(match (&*acl, code) {
        ([], _) => Op::Refused { code, error: Error::InvalidAcl },
        ([true], code::CREATE2) => Op::Create2 { path, data, mode },
        ([true], _) => Op::Create { path, data, mode },
        _ => Op::Refused { code, error: Error::Unimplemented },
    })
}

fn read_multi(reader: &mut Reader) -> Result<Vec<Op>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let (code, done, _) = read_multi_header(reader)?;
        if done {
            return Ok(ops);
        }
        match code {
            code::CREATE | code::CREATE2 | code::DELETE | code::SET_DATA | code::CHECK => {
                ops.push(read_op(code, reader)?);
            }
            _ => return Err(Malformed("an operation that can be in a multi")),
        }
    }
}

fn put_reply(out: &mut BytesMut, reply: &Reply) {
    match reply {
        Reply::Create { path } | Reply::Sync { path } => out.put_string(path),
        Reply::Create2 { path, stat } => {
            out.put_string(path);
            put_stat(out, stat);
        }
        Reply::Exists { stat } | Reply::SetData { stat } => put_stat(out, stat),
        Reply::GetData { data, stat } => {
            out.put_buffer(data.as_deref());
            put_stat(out, stat);
        }
        Reply::GetChildren { children } => put_strings(out, children),
        Reply::GetChildren2 { children, stat } => {
            put_strings(out, children);
            put_stat(out, stat);
        }
        Reply::GetAcl { stat } => {
            put_open_acl(out);
            put_stat(out, stat);
        }
        Reply::Multi(Ok(replies)) => {
            for reply in replies {
                put_multi_header(out, multi_code(reply), false, 0);
                put_reply(out, reply);
            }
            put_multi_header(out, -1, true, -1);
        }
        Reply::Multi(Err(failed)) => {
            for at in 0..failed.of {
                let error = match at.cmp(&failed.at) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => failed.error.code(),
                    std::cmp::Ordering::Greater => Error::RuntimeInconsistency.code(),
                };
                put_multi_header(out, code::ERROR, false, error);
                out.put_i32(error);
            }
            put_multi_header(out, -1, true, -1);
        }
        Reply::Delete | Reply::Check | Reply::SetWatches | Reply::Auth | Reply::Ping | Reply::CloseSession => {}
    }
}

/// The type of an operation that was answered so, of those that can be in a multi.
fn multi_code(reply: &Reply) -> i32 {
    match reply {
        Reply::Create { .. } => code::CREATE,
        Reply::Create2 { .. } => code::CREATE2,
        Reply::Delete => code::DELETE,
        Reply::SetData { .. } => code::SET_DATA,
        _ => code::CHECK,
    }
}

fn read_reply(code: i32, reader: &mut Reader) -> Result<Reply, Malformed> {
    Ok(match code {
        code::CREATE => Reply::Create { path: reader.string()? },
        code::CREATE2 => Reply::Create2 { path: reader.string()?, stat: read_stat(reader)? },
        code::DELETE => Reply::Delete,
        code::CHECK => Reply::Check,
        code::EXISTS => Reply::Exists { stat: read_stat(reader)? },
        code::GET_DATA => Reply::GetData { data: read_data(reader)?, stat: read_stat(reader)? },
        code::SET_DATA => Reply::SetData { stat: read_stat(reader)? },
        code::GET_CHILDREN => Reply::GetChildren { children: reader.vector(Reader::string)? },
        code::GET_CHILDREN2 => {
            Reply::GetChildren2 { children: reader.vector(Reader::string)?, stat: read_stat(reader)? }
        }
        code::GET_ACL => {
            reader.vector(|reader| {
                reader.int()?;
                reader.string()?;
                reader.string()
            })?;
            Reply::GetAcl { stat: read_stat(reader)? }
        }
        code::SYNC => Reply::Sync { path: reader.string()? },
        code::MULTI => Reply::Multi(read_multi_reply(reader)?),
        code::SET_WATCHES => Reply::SetWatches,
        code::AUTH => Reply::Auth,
        code::PING => Reply::Ping,
        code::CLOSE_SESSION => Reply::CloseSession,
        _ => return Err(Malformed("an answer to an operation that is known here")),
    })
}

fn read_multi_reply(reader: &mut Reader) -> Result<Result<Vec<Reply>, Failed>, Malformed> {
    let (mut replies, mut of, mut failed) = (Vec::new(), 0, None);
    loop {
        let (code, done, error) = read_multi_header(reader)?;
        if done {
            break;
        }
        if code == code::ERROR {
            reader.int()?;
            if error != 0 && failed.is_none() {
                failed = Some((of, Error::from_code(error).unwrap_or(Error::SystemError)));
            }
        } else if code == code::MULTI {
            return Err(Malformed("no multi in a multi"));
        } else {
            replies.push(read_reply(code, reader)?);
        }
        of += 1;
    }
    Ok(match failed {
        Some((at, error)) => Err(Failed { at, of, error }),
        None => Ok(replies),
    })
}

fn put_reply_header(out: &mut BytesMut, xid: i32, zxid: i64, error: i32) {
    out.put_i32(xid);
    out.put_i64(zxid);
    out.put_i32(error);
}

fn put_multi_header(out: &mut BytesMut, code: i32, done: bool, error: i32) {
    out.put_i32(code);
    out.put_bool(done);
    out.put_i32(error);
}

fn read_multi_header(reader: &mut Reader) -> Result<(i32, bool, i32), Malformed> {
    Ok((reader.int()?, reader.bool()?, reader.int()?))
}

fn put_strings(out: &mut BytesMut, strings: &[Path]) {
    out.put_i32(strings.len() as i32);
    strings.iter().for_each(|string| out.put_string(string));
}

/// ZooKeeper's OPEN_ACL_UNSAFE: anyone may do anything.
pub(super) fn put_open_acl(out: &mut BytesMut) {
    out.put_i32(1);
    out.put_i32(ALL);
    out.put_string("world");
    out.put_string("anyone");
}

/// (3)
fn read_data(reader: &mut Reader) -> Result<Option<Bytes>, Malformed> {
    Ok(reader.buffer()?.map(|data| Bytes::copy_from_slice(&data)))
}

fn put_stat(out: &mut BytesMut, stat: &Stat) {
    out.put_i64(stat.czxid.0);
    out.put_i64(stat.mzxid.0);
    out.put_i64(stat.ctime);
    out.put_i64(stat.mtime);
    out.put_i32(stat.version);
    out.put_i32(stat.cversion);
    out.put_i32(stat.aversion);
    out.put_i64(stat.ephemeral_owner.0);
    out.put_i32(stat.data_length);
    out.put_i32(stat.num_children);
    out.put_i64(stat.pzxid.0);
}

fn read_stat(reader: &mut Reader) -> Result<Stat, Malformed> {
    Ok(Stat {
        czxid: Zxid(reader.long()?),
        mzxid: Zxid(reader.long()?),
        ctime: reader.long()?,
        mtime: reader.long()?,
        version: reader.int()?,
        cversion: reader.int()?,
        aversion: reader.int()?,
        ephemeral_owner: SessionId(reader.long()?),
        data_length: reader.int()?,
        num_children: reader.int()?,
        pzxid: Zxid(reader.long()?),
    })
}
