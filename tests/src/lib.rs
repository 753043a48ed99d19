//! What the tests of this room share.

pub mod page;
pub mod server;
pub mod session;
pub mod wire;
