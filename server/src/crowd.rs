//! The connections of a broker: how many there may be, and which of them goes.
//!
//! 1. While `max.connections` are open nobody else is accepted: who comes waits in the system's queue, and nobody is
//!    turned away. Of those that the listener has when the limit is lowered, the least recently used go.
//! 2. An address that has `max.connections.per.ip` open is turned away. One that opens more in a second than its
//!    `connection_creation_rate` allows is, too, but later (`listen.rs`).
//! 3. Connections with other brokers count, and are the last to go: Kafka protects those of the listener that brokers
//!    have for themselves, where there is one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ottla_core::config::ConnectionLimits;
use ottla_core::vec_map::VecMap;
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::warn;

/// When something last came or went over a connection.
#[derive(Default)]
pub struct Used(AtomicU64);

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Used {
    pub fn now(&self, now: Instant) {
        self.0.store(now.saturating_duration_since(*BEGIN).as_nanos() as u64, Ordering::Relaxed);
    }

    /// By another broker.
    pub fn protect(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

/// [`ConnectionLimits`], the hosts' names resolved.
pub struct Limits {
    most: usize,
    per_ip: usize,
    overrides: VecMap<IpAddr, usize>,
}

impl Limits {
    pub async fn of(limits: ConnectionLimits) -> Limits {
        let mut found = Limits::of_addresses(&limits);
        for (host, count) in limits.overrides.into_iter().filter(|(host, _)| host.parse::<IpAddr>().is_err()) {
            match tokio::net::lookup_host((&*host, 0)).await.map(|mut found| found.next()) {
                Ok(Some(address)) => drop(found.overrides.insert(address.ip().to_canonical(), count)),
                Ok(None) => warn!(host, "max.connections.per.ip.overrides: no address"),
                Err(error) => warn!(host, %error, "max.connections.per.ip.overrides: no address"),
            }
        }
        found
    }

    /// Without those of hosts by their names.
    pub fn of_addresses(limits: &ConnectionLimits) -> Limits {
        let address = |host: &String| host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let overrides = limits.overrides.iter().filter_map(|(host, count)| Some((address(host)?, *count)));
        Limits { most: limits.most, per_ip: limits.per_ip, overrides: overrides.collect() }
    }
}

/// On the clock that [`Used`] shows, too.
pub fn now() -> ottla_core::time::Instant {
    ottla_core::time::Instant::from_nanos(BEGIN.elapsed().as_nanos() as u64)
}

#[derive(Default)]
pub struct Crowd {
    tasks: JoinSet<()>,
    guests: BTreeMap<Id, Guest>,
    by_ip: BTreeMap<IpAddr, usize>,
}

struct Guest {
    ip: IpAddr,
    used: Arc<Used>,
    task: AbortHandle,
}

impl Crowd {
    /// (1)
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.guests.len() >= limits.most
    }

    /// An error is how many that address may have. (2)
    pub fn admits(&self, ip: IpAddr, limits: &Limits) -> Result<(), usize> {
        let ip = ip.to_canonical();
        let most = limits.overrides.get(&ip).copied().unwrap_or(limits.per_ip);
        if self.by_ip.get(&ip).copied().unwrap_or(0) < most { Ok(()) } else { Err(most) }
    }

    pub fn enter<F: Future<Output = ()> + Send + 'static>(&mut self, ip: IpAddr, serve: impl FnOnce(Arc<Used>) -> F) {
        let (ip, used) = (ip.to_canonical(), Arc::new(Used::default()));
        used.now(Instant::now());
        let task = self.tasks.spawn(serve(used.clone()));
        *self.by_ip.entry(ip).or_default() += 1;
        self.guests.insert(task.id(), Guest { ip, used, task });
    }

    /// Ends when one has ended; at once where there is none: false.
    pub async fn leave(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        self.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
        true
    }

    /// Closes those that are too many. (1)
    pub fn thin_out(&mut self, limits: &Limits) {
        while self.guests.len() > limits.most {
            let used = |guest: &Guest| guest.used.0.load(Ordering::Relaxed);
            let oldest = self.guests.iter().min_by_key(|(_, guest)| used(guest)).map(|(id, _)| *id);
            let Some(guest) = oldest.and_then(|id| self.forget(id)) else { return };
            guest.task.abort();
        }
    }

    pub async fn disperse(mut self) {
        self.tasks.shutdown().await;
    }

    fn forget(&mut self, id: Id) -> Option<Guest> {
        let guest = self.guests.remove(&id)?;
        if let Some(count) = self.by_ip.get_mut(&guest.ip) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&guest.ip);
            }
        }
        Some(guest)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn limits(most: usize) -> Limits {
        Limits { most, per_ip: usize::MAX, overrides: VecMap::new() }
    }

    #[tokio::test]
    async fn those_that_were_not_used_for_longest_go_first_and_brokers_last() {
        let mut crowd = Crowd::default();
        let mut used = Vec::new();
        for last in 1..=4 {
            crowd.enter(IpAddr::from([127, 0, 0, last]), |own| {
                used.push(own);
                pending()
            });
        }
        used[0].protect();
        used[1].now(Instant::now());
        let left = |crowd: &Crowd| crowd.by_ip.keys().map(|ip| ip.to_string()).collect::<Vec<_>>();
        crowd.thin_out(&limits(2));
        assert_eq!(left(&crowd), ["127.0.0.1", "127.0.0.2"]);
        assert!(crowd.is_full(&limits(2)) && !crowd.is_full(&limits(3)));
        crowd.thin_out(&limits(1));
        assert_eq!(left(&crowd), ["127.0.0.1"]);
        while crowd.tasks.len() > 1 {
            assert!(crowd.leave().await);
        }
        crowd.disperse().await;
    }
}
