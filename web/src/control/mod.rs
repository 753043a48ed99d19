//! What the hand steers with: header, time with its scrubber (`scrub.rs`), gallery, keys; `dialog.rs` a sheet over everything.

pub mod dialog;
pub mod gallery;
pub mod header;
pub mod keys;
pub mod scrub;
pub mod time;
