//! What the program says in a terminal. That nobody listens any more is no reason to panic.

use std::io::{ErrorKind, Write};
use std::process::exit;

/// What was asked for, on stdout. Where it cannot be written nothing is left to do: the program ends, quietly if whoever read
/// it has read enough.
pub fn say(text: &str) {
    let Err(error) = writeln!(std::io::stdout().lock(), "{text}") else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        exit(0);
    }
    complain!("ottla: {error}");
    exit(1);
}

/// What went wrong, on stderr, for whoever looks.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr().lock(), $($words)*);
    }};
}
pub(crate) use complain;
