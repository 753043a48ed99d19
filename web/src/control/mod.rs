//! What the hand steers with: header, time, gallery, keys.

pub mod dialog;
pub mod gallery;
pub mod header;
pub mod keys;
pub mod scrub;
pub mod time;
