//! What the tests of this room share.

pub mod chain;
pub mod foreign;
pub mod page;
pub mod server;
pub mod session;
pub mod wire;
pub mod zookeeper;
