//! The words on the wire. Messages are kafka-protocol's structs; this room adds what a driver and a broker say about them.
//!
//! `request.rs`, `response.rs` a decoded message and its frame | `version.rs` which APIs at which versions |
//! `cluster/` what brokers say to each other | `znode/` what Kafka keeps in ZooKeeper | `line.rs` one line for a
//! message, for traces and for the page | `fields.rs` all its fields | `markers.rs` the newest WriteTxnMarkers, `by_id.rs`
//! the newest OffsetCommit and OffsetFetch, `log_dirs.rs` the newest DescribeLogDirs, of what `compact.rs` has |
//! `share.rs` the newest requests of share groups | `strings.rs` which strings are too long to be kept

pub mod by_id;
pub mod cluster;
mod compact;
pub mod fields;
pub mod line;
pub mod log_dirs;
pub mod markers;
pub mod request;
pub mod response;
pub mod share;
pub mod strings;
pub mod throttle;
pub mod version;
pub mod znode;

pub use request::{Request, Unchecked};
pub use response::Response;
