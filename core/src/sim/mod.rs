//! The simulator: one heap of events, one clock, and a world in which things break.

pub mod history;
pub mod scenario;
pub mod view;
