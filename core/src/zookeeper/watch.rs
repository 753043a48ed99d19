//! Who waits for what. A watch is set by a read, and is gone when it has fired once.
//!
//! | set by | fires |
//! | --- | --- |
//! | exists, getData | NodeCreated, NodeDeleted, NodeDataChanged |
//! | getChildren | NodeDeleted; NodeChildrenChanged where a child came or went |

use std::collections::BTreeMap;

use super::protocol::{WatchEvent, WatchKind};
use super::tree::Change;
use super::{Path, path};
use crate::id::ConnId;
use crate::vec_set::VecSet;

/// Watches belong to a connection; a client that connects anew sets them again.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    data: BTreeMap<Path, VecSet<ConnId>>,
    child: BTreeMap<Path, VecSet<ConnId>>,
}

impl Watches {
    pub fn watch_data(&mut self, path: Path, conn: ConnId) {
        self.data.entry(path).or_default().insert(conn);
    }

    pub fn watch_children(&mut self, path: Path, conn: ConnId) {
        self.child.entry(path).or_default().insert(conn);
    }

    /// What a change fires, in the order in which ZooKeeper tells it.
    pub fn fire(&mut self, change: &Change, out: &mut Vec<(ConnId, WatchEvent)>) {
        let (Change::Created(path) | Change::Deleted(path) | Change::Set(path)) = change;
        let mut tell = |conns: VecSet<ConnId>, kind: WatchKind, path: &Path| {
            out.extend(conns.into_iter().map(|conn| (conn, WatchEvent { kind, path: path.clone() })));
        };
        let data = self.data.remove(path).unwrap_or_default();
        match change {
            Change::Set(_) => return tell(data, WatchKind::NodeDataChanged, path),
            Change::Created(_) => tell(data, WatchKind::NodeCreated, path),
            // One that watches both is told once.
            Change::Deleted(_) => {
                let child = self.child.remove(path).unwrap_or_default();
                tell(data.into_iter().chain(child).collect(), WatchKind::NodeDeleted, path);
            }
        }
        if let Some((parent, _)) = path::split(path)
            && let Some((parent, conns)) = self.child.remove_entry(parent)
        {
            tell(conns, WatchKind::NodeChildrenChanged, &parent);
        }
    }

    /// The connection is gone, and its watches with it.
    pub fn forget(&mut self, conn: ConnId) {
        for watches in [&mut self.data, &mut self.child] {
            watches.retain(|_, conns| {
                conns.remove(&conn);
                !conns.is_empty()
            });
        }
    }
}
