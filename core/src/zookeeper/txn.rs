//! Transactions: what has changed, as ZooKeeper's log keeps it (`log.<zxid of its first transaction, hexadecimal>`).
//!
//! ```text
//! log   = "ZKLG" version:i32=2 dbid:i64=0 entry…
//! entry = adler32(payload):i64 length:i32 payload 0x42
//! payload = session:i64 cxid:i32 zxid:i64 time:i64 type:i32 transaction
//! ```
//!
//! What follows the last entry is nothing, zeros that ZooKeeper has laid in advance, or an entry that was being written
//! when the machine died.

use bytes::{BufMut, Bytes, BytesMut};

use super::jute::{Adler32, Malformed, Reader, Write};
use super::protocol::code;
use super::wire::put_open_acl;
use super::{Path, SessionId, Zxid};

/// The first bytes of a log.
pub const LOG_HEADER: [u8; 16] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
const END_OF_ENTRY: u8 = 0x42;
/// Checksum and length.
const OVERHEAD: usize = 12;

/// Who changed something, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub session: SessionId,
    /// The client's number of its request.
    pub cxid: i32,
    pub zxid: Zxid,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// A change, decided: to replay it asks no questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn {
    Create {
        path: Path,
        data: Option<Bytes>,
        ephemeral: bool,
        /// Children that the parent has ever had, this one included.
        parent_cversion: i32,
    },
    Delete {
        path: Path,
    },
    SetData {
        path: Path,
        data: Option<Bytes>,
        version: i32,
    },
    /// In a multi: it held.
    Check {
        path: Path,
        version: i32,
    },
    Multi(Vec<Txn>),
    CreateSession {
        timeout_ms: i32,
    },
    /// And these ephemeral znodes go with it.
    CloseSession {
        paths: Vec<Path>,
    },
    /// A genuine server counts and logs what it has refused.
    Error {
        code: i32,
    },
}

/// What comes next in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// An entry, and how many bytes it takes.
    Entry(Header, Txn, usize),
    End,
    /// No whole entry, and why.
    Torn(String),
}

/// The entry as the log's bytes.
pub fn encode(header: &Header, txn: &Txn) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_i64(header.session.0);
    payload.put_i32(header.cxid);
    payload.put_i64(header.zxid.0);
    payload.put_i64(header.time);
    payload.put_i32(txn.code());
    txn.write(&mut payload);
    let mut entry = BytesMut::with_capacity(payload.len() + OVERHEAD + 1);
    entry.put_i64(Adler32::of(&payload));
    entry.put_buffer(Some(&payload));
    entry.put_u8(END_OF_ENTRY);
    entry.freeze()
}

/// The entry at the beginning of `bytes`.
pub fn next(bytes: &Bytes) -> Next {
    let torn = |why: &str| Next::Torn(why.to_owned());
    if bytes.iter().all(|byte| *byte == 0) {
        return Next::End;
    }
    let mut reader = Reader::new(bytes.clone());
    let (Ok(checksum), Ok(Some(payload))) = (reader.long(), reader.buffer()) else {
        return torn("it is cut off");
    };
    let size = OVERHEAD + payload.len() + 1;
    match bytes.get(size - 1) {
        None => return torn("it is cut off"),
        Some(&END_OF_ENTRY) => {}
        Some(_) => return torn("it has no end mark"),
    }
    if Adler32::of(&payload) != checksum {
        return torn("its checksum is wrong");
    }
    match decode(payload) {
        Ok((header, txn)) => Next::Entry(header, txn, size),
        Err(why) => Next::Torn(why.to_string()),
    }
}

fn decode(payload: Bytes) -> Result<(Header, Txn), Malformed> {
    let mut reader = Reader::new(payload);
    let session = SessionId(reader.long()?);
    let header = Header { session, cxid: reader.int()?, zxid: Zxid(reader.long()?), time: reader.long()? };
    let code = reader.int()?;
    // A genuine server puts a digest of its tree behind.
    Ok((header, Txn::read(code, &mut reader)?))
}

impl Txn {
    fn code(&self) -> i32 {
        match self {
            Txn::Create { .. } => code::CREATE,
            Txn::Delete { .. } => code::DELETE,
            Txn::SetData { .. } => code::SET_DATA,
            Txn::Check { .. } => code::CHECK,
            Txn::Multi(_) => code::MULTI,
            Txn::CreateSession { .. } => code::CREATE_SESSION,
            Txn::CloseSession { .. } => code::CLOSE_SESSION,
            Txn::Error { .. } => code::ERROR,
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Txn::Create { path, data, ephemeral, parent_cversion } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                put_open_acl(out);
                out.put_bool(*ephemeral);
                out.put_i32(*parent_cversion);
            }
            Txn::Delete { path } => out.put_string(path),
            Txn::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Txn::Check { path, version } => {
                out.put_string(path);
                out.put_i32(*version);
            }
            Txn::Multi(txns) => {
                out.put_i32(txns.len() as i32);
                for txn in txns {
                    let mut inner = BytesMut::new();
                    txn.write(&mut inner);
                    out.put_i32(txn.code());
                    out.put_buffer(Some(&inner));
                }
            }
            Txn::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Txn::CloseSession { paths } => {
                out.put_i32(paths.len() as i32);
                paths.iter().for_each(|path| out.put_string(path));
            }
            Txn::Error { code } => out.put_i32(*code),
        }
    }

    fn read(code: i32, reader: &mut Reader) -> Result<Txn, Malformed> {
        Ok(match code {
            code::CREATE | code::CREATE2 => {
                let (path, data) = (reader.string()?, reader.buffer()?);
                reader.vector(|reader| {
                    reader.int()?;
                    reader.string()?;
                    reader.string()
                })?;
                Txn::Create { path, data, ephemeral: reader.bool()?, parent_cversion: reader.int()? }
            }
            code::DELETE => Txn::Delete { path: reader.string()? },
            code::SET_DATA => Txn::SetData { path: reader.string()?, data: reader.buffer()?, version: reader.int()? },
            code::CHECK => Txn::Check { path: reader.string()?, version: reader.int()? },
            code::MULTI => Txn::Multi(reader.vector(|reader| {
                let code = reader.int()?;
                let inner = reader.buffer()?.ok_or(Malformed("a transaction of a multi"))?;
                if code == code::MULTI {
                    return Err(Malformed("no multi in a multi"));
                }
                Txn::read(code, &mut Reader::new(inner))
            })?),
            code::CREATE_SESSION => Txn::CreateSession { timeout_ms: reader.int()? },
            code::CLOSE_SESSION => Txn::CloseSession { paths: reader.vector(Reader::string)? },
            code::ERROR => Txn::Error { code: reader.int()? },
            _ => return Err(Malformed("a type of transaction that is known here")),
        })
    }
}
