//! What a run says of itself, if it is asked to: every event and effect as the one line that it displays as. Golden
//! scripts compare the lines, twin runs their hash. Nothing is formatted while nobody asks.

use std::fmt::{self, Write};

use crate::time::Instant;

/// Whether and how a simulation is written down.
#[derive(Clone, Debug, Default)]
pub enum Trace {
    #[default]
    Off,
    /// Only a hash of the lines so far.
    Hash(TraceHash),
    /// The lines since they were last taken.
    Lines(Vec<TraceLine>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    pub at: Instant,
    pub node: String,
    /// `<` for what happened to the node, `>` for what it wants, `!` for what was done to the cluster; then the line.
    pub text: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at, self.node, self.text)
    }
}

/// FNV-1a, 64 bits, over the lines with their line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(pub u64);

impl Default for TraceHash {
    fn default() -> Self {
        TraceHash(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for TraceHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 = text.bytes().fold(self.0, hash);
        Ok(())
    }
}

impl Trace {
    pub fn is_on(&self) -> bool {
        !matches!(self, Trace::Off)
    }

    /// One line; `mark` is as in [`TraceLine::text`].
    pub fn line(&mut self, at: Instant, node: &str, mark: char, what: &dyn fmt::Display) {
        match self {
            Trace::Off => {}
            // Writing to a hash cannot fail.
            Trace::Hash(hash) => drop(writeln!(hash, "{at} {node} {mark} {what}")),
            Trace::Lines(lines) => {
                lines.push(TraceLine { at, node: node.to_owned(), text: format!("{mark} {what}") });
            }
        }
    }

    /// The lines since the last time; empty unless this is [`Trace::Lines`].
    pub fn take(&mut self) -> Vec<TraceLine> {
        match self {
            Trace::Lines(lines) => std::mem::take(lines),
            Trace::Off | Trace::Hash(_) => Vec::new(),
        }
    }

    /// The hash so far, where it is kept.
    pub fn hash(&self) -> Option<u64> {
        match self {
            Trace::Hash(hash) => Some(hash.0),
            Trace::Off | Trace::Lines(_) => None,
        }
    }
}
