//! The process's file descriptors, and how many are for what: nobody who connects can take those that logs need.
//!
//! Half are for files, a quarter for connections with brokers, an eighth for the page's; the rest is for what the server opens
//! by itself. Whoever comes when their part is in use waits in the system's queue.

use std::sync::{Arc, LazyLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

static KAFKA: LazyLock<Arc<Semaphore>> = LazyLock::new(|| places(4));
static PAGE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| places(8));

/// As many as the system allows.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// How many files may be open.
pub fn files() -> usize {
    limit() / 2
}

/// A place for each connection with a broker.
pub fn kafka() -> Arc<Semaphore> {
    KAFKA.clone()
}

/// A place for each connection with the page.
pub fn page() -> Arc<Semaphore> {
    PAGE.clone()
}

fn places(part: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((limit() / part).clamp(1, Semaphore::MAX_PERMITS)))
}

fn limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize)
}
