//! What the tests of this room share.

pub mod session;
pub mod wire;
