//! The one contract: everything that lives in a cluster is a [`Node`], a state machine with one way in and one way out.
//!
//! 1. When [`Node::step`] returns, `out` is complete.
//! 2. Effects are carried out in the order in which they stand in `out`: per log and per connection that order is what
//!    the world sees, and nothing is promised between two logs or two connections.
//! 3. Whatever asks for an answer (an append, a flush, a read, a call) gets exactly one, as a later event.
//! 4. `now` never goes back.
//! 5. A reply that must wait (for the disk, for replicas, for data) waits inside the node, so that a driver holds no
//!    rule of Kafka's.
//! 6. Every event and every effect has a one-line `Display`: golden traces, the page's event log and the server's debug
//!    log are that one text.

use crate::time::{Instant, Now};

/// A broker, a producer, a consumer: anything that the simulator or a native driver can run.
pub trait Node {
    type Event;
    type Effect;

    /// Takes one event and pushes what must happen, in the order in which it must become visible.
    ///
    /// Never blocks, reads no clock, rolls no dice and never fails: what the world does wrong is an event.
    fn step(&mut self, now: Now, event: Self::Event, out: &mut Vec<Self::Effect>);

    /// When this node next wants its timer event. An early timer is harmless; a late one only delays.
    fn deadline(&self) -> Option<Instant>;
}
