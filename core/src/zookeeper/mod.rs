//! ZooKeeper: where brokers register, race to be the controller, and where a cluster keeps what must outlive them.
//!
//! Its operations, results, error codes and files are ZooKeeper's own (a server of one, as `zkServer.sh standalone` runs
//! it), and so is its wire: its own clients find nothing else. What Kafka puts into the
//! tree is Kafka's business: [`crate::protocol::znode`].
//!
//! ```text
//! client.rs ── connect, operations, pings ──▶ server.rs ──▶ tree.rs    decides, replays
//!     ◀── results, watch events ───────────────   │          session.rs, watch.rs
//!                                                 ├──▶ Append, answered by Written: then, and not before, the results leave
//!                                                 └──▶ Save: a snapshot, and the logs before it can go
//! ```
//!
//! `protocol.rs` what is said | `path.rs` which paths can be | `tree.rs` znodes | `session.rs` who lives | `watch.rs` who
//! waits for what | `server.rs` the node | `client.rs` the other end | `txn.rs`, `store.rs` the log, the snapshots and what
//! a start makes of them | `jute.rs` ZooKeeper's encoding | `wire.rs` what is said, as bytes | `view.rs` what a page sees

pub mod client;
pub mod jute;
pub mod path;
pub mod protocol;
pub mod server;
pub mod session;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod txn;
pub mod view;
pub mod watch;
pub mod wire;

pub use client::Client;
pub use protocol::{Error, Op, Reply, Stat, ToClient, ToServer};
pub use server::Server;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// As scenarios and the page name the machine with it.
pub const NAME: &str = "zookeeper";

/// The path of a znode: `/brokers/ids/1`.
pub type Path = Arc<str>;

/// ZooKeeper's transaction id: counts every change of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Zxid(pub i64);

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A session; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub i64);

impl SessionId {
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
