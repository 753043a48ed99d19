//! What a server leaves on disk, in ZooKeeper's own formats and names, and what a start makes of it.
//!
//! ```text
//! version-2/snapshot.0  log.1  …  snapshot.2710  log.2711
//! snapshot = "ZKSN" version:i32=2 dbid:i64=-1 sessions acls znodes "/" adler32:i64 "/"
//! ```
//!
//! 1. The state is the newest whole snapshot, and the transactions behind it, each of them there.
//! 2. A log may end in the middle of an entry: nobody was told of that one, and it is cut off. Anywhere else a damage is
//!    refused, by name: what is behind it cannot be told from what was lost.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::jute::{Adler32, Malformed, Reader, Write};
use super::protocol::Stat;
use super::tree::{Tree, Znode};
use super::txn::{self, Header, LOG_HEADER, Next, Txn};
use super::{SessionId, Zxid};
use crate::arrange::Arrange;
use crate::vec_map::VecMap;

const SNAPSHOT_HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// The id of OPEN_ACL_UNSAFE.
const OPEN_ACL: i64 = -1;

/// The files of the data directory, by name.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub files: BTreeMap<String, Bytes>,
}

/// What a start goes on from.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    pub tree: Tree,
    /// Their timeouts.
    pub sessions: VecMap<SessionId, i32>,
    pub zxid: Zxid,
    /// Absent where nothing was ever stored.
    pub snapshot: Option<Zxid>,
    /// The log that is written to, and how many of its bytes are good.
    pub log: Option<(String, u64)>,
    /// Transactions behind the snapshot.
    pub replayed: u32,
    /// What was passed over or cut off, and why.
    pub notes: Vec<String>,
}

pub fn snapshot_name(zxid: Zxid) -> String {
    format!("snapshot.{:x}", zxid.0)
}

pub fn log_name(first: Zxid) -> String {
    format!("log.{:x}", first.0)
}

/// The files that a snapshot made superfluous, where the newest `retain` snapshots are kept.
pub fn superfluous<'a>(files: impl Iterator<Item = &'a str> + Clone, retain: usize) -> Vec<String> {
    let snapshots = numbered(files.clone(), "snapshot.");
    let Some(oldest) = snapshots.iter().rev().take(retain).next_back().map(|(zxid, _)| *zxid) else {
        return Vec::new();
    };
    let logs = numbered(files, "log.");
    // The last log that begins at or before the oldest snapshot may hold what follows it.
    let needed = logs.iter().rev().map(|(zxid, _)| *zxid).find(|first| first.0 <= oldest.0 + 1);
    let snapshots = snapshots.into_iter().filter(|(zxid, _)| *zxid < oldest);
    let logs = logs.into_iter().filter(|(first, _)| needed.is_some_and(|needed| *first < needed));
    snapshots.chain(logs).map(|(_, name)| name.to_owned()).collect()
}

pub fn recover(image: &Image) -> Result<Recovered, String> {
    let names = || image.files.keys().map(String::as_str);
    let mut recovered = Recovered::default();
    let snapshots = numbered(names(), "snapshot.");
    for (zxid, name) in snapshots.iter().rev() {
        match decode_snapshot(&image.files[*name]) {
            Ok((tree, sessions)) => {
                recovered.tree = tree;
                recovered.sessions = sessions;
                recovered.zxid = *zxid;
                recovered.snapshot = Some(*zxid);
                recovered.notes.iter_mut().for_each(|note| note.push_str("; an older one is taken"));
                break;
            }
            Err(why) => recovered.notes.push(format!("{name} is damaged ({why})")),
        }
    }
    let logs = numbered(names(), "log.");
    if recovered.snapshot.is_none() && !(snapshots.is_empty() && logs.is_empty()) {
        let damaged = recovered.notes.pop().unwrap_or_else(|| "there are logs, but no snapshot".to_owned());
        return Err(format!("no snapshot can be read: {damaged}"));
    }
    for (at, (_, name)) in logs.iter().enumerate() {
        let is_last = at + 1 == logs.len();
        recovered.replay(name, &image.files[*name], is_last)?;
    }
    Ok(recovered)
}

impl Recovered {
    fn replay(&mut self, name: &str, log: &Bytes, is_last: bool) -> Result<(), String> {
        if !log.starts_with(&LOG_HEADER) {
            // The machine died as it was made.
            if is_last && LOG_HEADER.starts_with(&log[..log.len().min(LOG_HEADER.len())]) {
                self.log = Some((name.to_owned(), 0));
                return Ok(());
            }
            return Err(format!("{name} is not a log of ZooKeeper's"));
        }
        let mut at = LOG_HEADER.len();
        loop {
            let (header, txn) = match txn::next(&log.slice(at..)) {
                Next::Entry(header, txn, size) => {
                    at += size;
                    (header, txn)
                }
                Next::End => break,
                Next::Torn(why) => {
                    let what = format!("{name}, byte {at}: a transaction cannot be read ({why})");
                    // (2)
                    if !is_last || whole_entry_after(log, at) {
                        return Err(format!("{what}, and there are others behind it"));
                    }
                    self.notes.push(format!("{what}; {} bytes at the end are cut off", log.len() - at));
                    break;
                }
            };
            if header.zxid <= self.zxid {
                continue;
            }
            // (1)
            if header.zxid.0 != self.zxid.0 + 1 {
                return Err(format!(
                    "{name}: transaction {} follows {}: those between are missing",
                    header.zxid, self.zxid
                ));
            }
            self.apply(&header, &txn).map_err(|why| format!("{name}: transaction {}: {why}", header.zxid))?;
        }
        self.log = is_last.then(|| (name.to_owned(), at as u64)).or(self.log.take());
        Ok(())
    }

    fn apply(&mut self, header: &Header, txn: &Txn) -> Result<(), String> {
        self.zxid = header.zxid;
        self.replayed += 1;
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.session, *timeout_ms);
            }
            Txn::CloseSession { .. } => {
                self.sessions.remove(&header.session);
            }
            _ => {}
        }
        let replayed = self.tree.replay(header, txn, &mut Vec::new());
        replayed.map(drop).map_err(|error| format!("{error} as it is replayed"))
    }
}

/// Whether an entry can be read anywhere behind a place where none can.
fn whole_entry_after(log: &Bytes, at: usize) -> bool {
    // An entry ends with its mark, so the next one would begin behind one.
    let ends = log.iter().enumerate().skip(at).filter(|(_, byte)| **byte == b'B').map(|(at, _)| at + 1);
    ends.filter(|at| *at < log.len()).any(|at| matches!(txn::next(&log.slice(at..)), Next::Entry(..)))
}

/// Files of that kind by the number in their names.
fn numbered<'a>(files: impl Iterator<Item = &'a str>, prefix: &str) -> Vec<(Zxid, &'a str)> {
    let number = |name: &'a str| Some((Zxid(i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?), name));
    let mut numbered: Vec<_> = files.filter_map(number).collect();
    numbered.arrange();
    numbered
}

/// A snapshot's bytes.
pub fn encode_snapshot<'a>(tree: &Tree, sessions: impl ExactSizeIterator<Item = (SessionId, i32)> + 'a) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&SNAPSHOT_HEADER);
    out.put_i32(sessions.len() as i32);
    for (id, timeout_ms) in sessions {
        out.put_i64(id.0);
        out.put_i32(timeout_ms);
    }
    // No access control lists but the open one, which needs no entry.
    out.put_i32(0);
    for (path, znode) in tree.iter() {
        // The root is called "" here.
        out.put_string(if &**path == "/" { "" } else { path });
        out.put_buffer(znode.data.as_deref());
        out.put_i64(OPEN_ACL);
        put_kept(&mut out, &znode.kept);
    }
    out.put_string("/");
    let checksum = Adler32::of(&out);
    out.put_i64(checksum);
    out.put_string("/");
    out.freeze()
}

fn decode_snapshot(bytes: &Bytes) -> Result<(Tree, VecMap<SessionId, i32>), Malformed> {
    if !bytes.starts_with(&SNAPSHOT_HEADER[..8]) {
        return Err(Malformed("the header of a snapshot"));
    }
    let mut reader = Reader::new(bytes.slice(SNAPSHOT_HEADER.len().min(bytes.len())..));
    let sessions = (0..reader.int()?).map(|_| Ok((SessionId(reader.long()?), reader.int()?)));
    let sessions = sessions.collect::<Result<_, Malformed>>()?;
    if reader.int()? != 0 {
        return Err(Malformed("no access control lists but the open one"));
    }
    let mut tree = Tree::empty();
    loop {
        let path = match &*reader.string()? {
            "/" => break,
            "" => "/".into(),
            path => path.into(),
        };
        let data = reader.buffer()?;
        reader.long()?;
        let kept = read_kept(&mut reader)?;
        if !tree.restore(path, Znode { data, kept, ..Znode::default() }) {
            return Err(Malformed("a znode's parent before it"));
        }
    }
    let end = bytes.len() - reader.remaining();
    if reader.long()? != Adler32::of(&bytes[..end]) {
        return Err(Malformed("the checksum of what was read"));
    }
    match tree.get("/") {
        Ok(_) => Ok((tree, sessions)),
        Err(_) => Err(Malformed("a root")),
    }
}

fn put_kept(out: &mut BytesMut, kept: &Stat) {
    out.put_i64(kept.czxid.0);
    out.put_i64(kept.mzxid.0);
    out.put_i64(kept.ctime);
    out.put_i64(kept.mtime);
    out.put_i32(kept.version);
    out.put_i32(kept.cversion);
    out.put_i32(kept.aversion);
    out.put_i64(kept.ephemeral_owner.0);
    out.put_i64(kept.pzxid.0);
}

fn read_kept(reader: &mut Reader) -> Result<Stat, Malformed> {
    Ok(Stat {
        czxid: Zxid(reader.long()?),
        mzxid: Zxid(reader.long()?),
        ctime: reader.long()?,
        mtime: reader.long()?,
        version: reader.int()?,
        cversion: reader.int()?,
        aversion: reader.int()?,
        ephemeral_owner: SessionId(reader.long()?),
        pzxid: Zxid(reader.long()?),
        ..Stat::default()
    })
}
