//! The znodes.
//!
//! [`Tree::attempt`] decides what an operation would change and replays it at once; [`Tree::replay`] alone writes, so that a
//! tree that is replayed from the log is the tree that was.
//!
//! Invariants:
//! 1. Every znode but the root is among the children of its parent, and nothing else is.
//! 2. An ephemeral znode has no children, and is in `ephemerals` under its session.
//! 3. Of a multi, all is done or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::path::{self, RESERVED};
use super::protocol::{ANY_VERSION, CreateMode, Error, Failed, Op, Reply, Stat};
use super::txn::{Header, Txn};
use super::{Path, SessionId};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Shared until it is written to, so that a copy is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    znodes: Arc<BTreeMap<Path, Arc<Znode>>>,
    ephemerals: VecMap<SessionId, VecSet<Path>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Znode {
    pub data: Option<Bytes>,
    /// As ZooKeeper keeps it: `cversion` counts the children that ever were, the two sizes are not kept.
    pub kept: Stat,
    /// Their names.
    pub children: VecSet<Path>,
}

/// What happened to a znode, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Created(Path),
    Deleted(Path),
    Set(Path),
}

impl Znode {
    /// The stat as it is told: changes of children are those that came and those that went.
    pub fn stat(&self) -> Stat {
        let num_children = self.children.len() as i32;
        Stat {
            cversion: self.kept.cversion * 2 - num_children,
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children,
            ..self.kept
        }
    }
}

impl Default for Tree {
    /// What a server has that was never used: znodes whose data is empty, not absent.
    fn default() -> Tree {
        let mut tree = Tree::empty();
        for path in RESERVED {
            tree.restore(path.into(), Znode { data: Some(Bytes::new()), ..Znode::default() });
        }
        tree
    }
}

impl Tree {
    /// Not even a root: for [`Tree::restore`].
    pub(super) fn empty() -> Tree {
        Tree { znodes: Arc::default(), ephemerals: VecMap::new() }
    }

    pub fn get(&self, path: &str) -> Result<&Znode, Error> {
        self.znodes.get(path).map(|znode| &**znode).ok_or(Error::NoNode)
    }

    /// Every znode, parents before their children.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Znode)> {
        self.znodes.iter().map(|(path, znode)| (path, &**znode))
    }

    /// The znodes that go with a session.
    pub fn ephemerals(&self, session: SessionId) -> Vec<Path> {
        self.ephemerals.get(&session).map_or_else(Vec::new, |paths| paths.iter().cloned().collect())
    }

    /// Puts a znode of a snapshot in. False where its parent is not there.
    pub(super) fn restore(&mut self, path: Path, znode: Znode) -> bool {
        if let Some((parent, name)) = path::split(&path) {
            let Some(parent) = self.get_mut(parent) else { return false };
            parent.children.insert(name.into());
        }
        self.put(path, Arc::new(znode));
        true
    }

    /// Does what `op` wants, if it can be done: gives the answer, and the transaction where there was one. `changed` takes
    /// what happened.
    pub fn attempt(
        &mut self,
        header: &Header,
        op: &Op,
        changed: &mut Vec<Change>,
    ) -> (Option<Txn>, Result<Reply, Error>) {
        if let Op::Multi(ops) = op {
            return match self.attempt_all(header, ops, changed) {
                Ok((txns, replies)) => (Some(Txn::Multi(txns)), Ok(Reply::Multi(Ok(replies)))),
                Err(failed) => (None, Ok(Reply::Multi(Err(failed)))),
            };
        }
        let done = self.decide(header.session, op).and_then(|txn| {
            let reply = self.replay(header, &txn, changed)?;
            Ok((txn, as_asked(op, reply)))
        });
        match done {
            Ok((txn, reply)) => (Some(txn), Ok(reply)),
            Err(error) => (None, Err(error)),
        }
    }

    /// (3)
    fn attempt_all(
        &mut self,
        header: &Header,
        ops: &[Op],
        changed: &mut Vec<Change>,
    ) -> Result<(Vec<Txn>, Vec<Reply>), Failed> {
        let before = changed.len();
        let mut undo: Vec<(Path, Option<Arc<Znode>>)> = Vec::new();
        let mut done = (Vec::with_capacity(ops.len()), Vec::with_capacity(ops.len()));
        for (at, op) in ops.iter().enumerate() {
            let result = self.decide(header.session, op).and_then(|txn| {
                for path in txn.touches() {
                    let old = self.znodes.get(&path).cloned();
                    undo.push((path, old));
                }
                let reply = self.replay(header, &txn, changed)?;
                Ok((txn, as_asked(op, reply)))
            });
            match result {
                Ok((txn, reply)) => {
                    done.0.push(txn);
                    done.1.push(reply);
                }
                Err(error) => {
                    for (path, old) in undo.into_iter().rev() {
                        match old {
                            Some(old) => self.put(path, old),
                            None => self.drop(&path),
                        }
                    }
                    changed.truncate(before);
                    return Err(Failed { at, of: ops.len(), error });
                }
            }
        }
        Ok(done)
    }

    /// What `op` would change; it changes nothing.
    fn decide(&self, session: SessionId, op: &Op) -> Result<Txn, Error> {
        match op {
            Op::Create { path, data, mode } | Op::Create2 { path, data, mode } => self.decide_create(path, data, *mode),
            Op::Delete { path, version } => {
                if RESERVED.contains(&&**path) {
                    return Err(Error::BadArguments);
                }
                path::validate(path)?;
                let znode = self.get(path)?;
                check(znode, *version)?;
                if !znode.children.is_empty() {
                    return Err(Error::NotEmpty);
                }
                Ok(Txn::Delete { path: path.clone() })
            }
            Op::SetData { path, data, version } => {
                path::validate(path)?;
                let znode = self.get(path)?;
                check(znode, *version)?;
                let version = znode.kept.version.wrapping_add(1);
                Ok(Txn::SetData { path: path.clone(), data: data.clone(), version })
            }
            Op::Check { path, version } => {
                path::validate(path)?;
                check(self.get(path)?, *version)?;
                Ok(Txn::Check { path: path.clone(), version: *version })
            }
            Op::CloseSession => Ok(Txn::CloseSession { paths: self.ephemerals(session) }),
            Op::Refused { error, .. } => Err(*error),
            _ => Err(Error::BadArguments),
        }
    }

    fn decide_create(&self, path: &Path, data: &Option<Bytes>, mode: CreateMode) -> Result<Txn, Error> {
        let (parent, _) = path.rsplit_once('/').ok_or(Error::BadArguments)?;
        let parent = self.get(if parent.is_empty() { "/" } else { parent })?;
        let path =
            if mode.is_sequential() { format!("{path}{:010}", parent.kept.cversion).into() } else { path.clone() };
        path::validate(&path)?;
        if self.znodes.contains_key(&path) {
            return Err(Error::NodeExists);
        }
        // (2)
        if parent.kept.ephemeral_owner != SessionId::NONE {
            return Err(Error::NoChildrenForEphemerals);
        }
        let parent_cversion = parent.kept.cversion.wrapping_add(1);
        Ok(Txn::Create { path, data: data.clone(), ephemeral: mode.is_ephemeral(), parent_cversion })
    }

    /// Makes the change; the only way in which a tree changes. An error is that it does not fit the tree.
    pub fn replay(&mut self, header: &Header, txn: &Txn, changed: &mut Vec<Change>) -> Result<Reply, Error> {
        match txn {
            Txn::Create { path, data, ephemeral, parent_cversion } => {
                let (parent, name) = path::split(path).ok_or(Error::BadArguments)?;
                if self.znodes.contains_key(path) {
                    return Err(Error::NodeExists);
                }
                let parent = self.get_mut(parent).ok_or(Error::NoNode)?;
                parent.children.insert(name.into());
                parent.kept.cversion = *parent_cversion;
                parent.kept.pzxid = header.zxid;
                let kept = Stat {
                    czxid: header.zxid,
                    mzxid: header.zxid,
                    pzxid: header.zxid,
                    ctime: header.time,
                    mtime: header.time,
                    ephemeral_owner: if *ephemeral { header.session } else { SessionId::NONE },
                    ..Stat::default()
                };
                let znode = Znode { data: data.clone(), kept, children: VecSet::new() };
                let stat = znode.stat();
                self.put(path.clone(), Arc::new(znode));
                changed.push(Change::Created(path.clone()));
                Ok(Reply::Create2 { path: path.clone(), stat })
            }
            Txn::Delete { path } => {
                self.delete(header, path)?;
                changed.push(Change::Deleted(path.clone()));
                Ok(Reply::Delete)
            }
            Txn::SetData { path, data, version } => {
                let znode = self.get_mut(path).ok_or(Error::NoNode)?;
                znode.data.clone_from(data);
                znode.kept.version = *version;
                znode.kept.mzxid = header.zxid;
                znode.kept.mtime = header.time;
                let stat = znode.stat();
                changed.push(Change::Set(path.clone()));
                Ok(Reply::SetData { stat })
            }
            Txn::Check { .. } => Ok(Reply::Check),
            Txn::Multi(txns) => {
                let replies = txns.iter().map(|txn| self.replay(header, txn, changed));
                Ok(Reply::Multi(Ok(replies.collect::<Result<_, _>>()?)))
            }
            Txn::CloseSession { paths } => {
                for path in paths {
                    self.delete(header, path)?;
                    changed.push(Change::Deleted(path.clone()));
                }
                Ok(Reply::CloseSession)
            }
            Txn::CreateSession { .. } | Txn::Error { .. } => Ok(Reply::Check),
        }
    }

    fn delete(&mut self, header: &Header, path: &Path) -> Result<(), Error> {
        let (parent, name) = path::split(path).ok_or(Error::BadArguments)?;
        self.get(path)?;
        let parent = self.get_mut(parent).ok_or(Error::NoNode)?;
        parent.children.remove(name);
        parent.kept.pzxid = header.zxid;
        self.drop(path);
        Ok(())
    }

    fn get_mut(&mut self, path: &str) -> Option<&mut Znode> {
        Arc::make_mut(&mut self.znodes).get_mut(path).map(Arc::make_mut)
    }

    fn put(&mut self, path: Path, znode: Arc<Znode>) {
        let owner = znode.kept.ephemeral_owner;
        if owner != SessionId::NONE {
            self.ephemerals.entry(owner).or_default().insert(path.clone());
        }
        Arc::make_mut(&mut self.znodes).insert(path, znode);
    }

    fn drop(&mut self, path: &Path) {
        let Some(znode) = Arc::make_mut(&mut self.znodes).remove(path) else { return };
        let owner = znode.kept.ephemeral_owner;
        if let Some(paths) = self.ephemerals.get_mut(&owner) {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&owner);
            }
        }
    }
}

impl Txn {
    /// The znodes that it writes to, in an order that can be taken back.
    fn touches(&self) -> Vec<Path> {
        match self {
            Txn::Create { path, .. } | Txn::Delete { path } => {
                path::split(path).map(|(parent, _)| parent.into()).into_iter().chain([path.clone()]).collect()
            }
            Txn::SetData { path, .. } => vec![path.clone()],
            _ => Vec::new(),
        }
    }
}

fn check(znode: &Znode, version: i32) -> Result<(), Error> {
    if version == ANY_VERSION || version == znode.kept.version { Ok(()) } else { Err(Error::BadVersion) }
}

/// A create is answered with the stat where that was asked for.
fn as_asked(op: &Op, reply: Reply) -> Reply {
    match (op, reply) {
        (Op::Create { .. }, Reply::Create2 { path, .. }) => Reply::Create { path },
        (_, reply) => reply,
    }
}
