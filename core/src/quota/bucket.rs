//! How many partitions a second the controller makes and removes for a client (KIP-599): a bucket of tokens.
//!
//! A client spends as many as it likes while it has any left, and none while it owes some; so one large request is taken
//! whole, and paid for afterwards.

use super::entity::{ClientQuotas, Key};
use super::limits::{PerClient, Tags};
use super::window::{Samples, Windows};
use crate::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Mutations {
    windows: Windows,
    clients: PerClient<Client>,
}

#[derive(Clone, Debug, Default)]
struct Client {
    /// As it was then; a new one is full.
    tokens: Option<(f64, Instant)>,
    spent: Samples,
}

/// What is known of clients that are measured together.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    pub tags: Tags,
    /// In a second.
    pub rate: f64,
    /// What is left; `None` where there is no limit.
    pub tokens: Option<f64>,
}

impl Client {
    fn left(&self, limit: f64, windows: Windows, now: Instant) -> f64 {
        let full = limit * windows.seconds();
        match self.tokens {
            Some((tokens, then)) => (tokens + limit * now.since(then).as_millis() as f64 / 1e3).min(full),
            None => full,
        }
    }
}

impl Mutations {
    pub fn new(windows: Windows) -> Mutations {
        Mutations { windows, clients: PerClient::new(Key::ControllerMutationRate) }
    }

    pub fn follow(&mut self, quotas: &ClientQuotas) {
        self.clients.follow(quotas);
    }

    pub fn is_enabled(&self) -> bool {
        self.clients.is_enabled()
    }

    /// Spends tokens. Where the client owes some it must wait, zero if not; a `strict` one has spent nothing then.
    pub fn spend(&mut self, now: Instant, user: &str, client: &str, tokens: f64, strict: bool) -> Duration {
        if !self.is_enabled() {
            return Duration::ZERO;
        }
        let windows = self.windows;
        let (known, limit) = self.clients.of(now, user, client);
        let Some(limit) = limit else {
            known.spent.record(windows, now, tokens);
            return Duration::ZERO;
        };
        let wait =
            |left: f64| Duration::from_millis((-left / limit * 1e3).round().clamp(0.0, f64::from(i32::MAX)) as u64);
        let left = known.left(limit, windows, now);
        if strict && left < 0.0 {
            return wait(left);
        }
        known.spent.record(windows, now, tokens);
        known.tokens = Some((left - tokens, now));
        if strict { Duration::ZERO } else { wait(left - tokens) }
    }

    pub fn spent(&self, now: Instant) -> Vec<Spent> {
        let spent = |(tags, client, limit): (&Tags, &Client, Option<f64>)| Spent {
            tags: tags.clone(),
            rate: client.spent.rate(self.windows, now).0,
            tokens: limit.map(|limit| client.left(limit, self.windows, now)),
        };
        self.clients.iter().map(spent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entity::QuotaEntity;
    use super::*;

    fn mutations() -> Mutations {
        let mut mutations = Mutations::new(Windows { count: 11, length: Duration::from_secs(1) });
        let set = [(Key::ControllerMutationRate.name().to_owned(), "2.0".to_owned())].into();
        mutations.follow(&[(QuotaEntity::from_path("users/<default>").unwrap(), set)].into());
        mutations
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn one_request_is_taken_whole_and_what_comes_after_it_waits() {
        let mut mutations = mutations();
        let mut spend = |millis, tokens, strict| mutations.spend(at(millis), "u", "c", tokens, strict).as_millis();
        assert_eq!(spend(0, 32.0, true), 0, "22 tokens are there, and it may owe");
        assert_eq!(spend(0, 1.0, true), 5_000);
        assert_eq!(spend(4_999, 1.0, true), 1);
        assert_eq!(spend(5_000, 4.0, true), 0);
        assert_eq!(spend(5_000, 0.0, true), 2_000);
        assert_eq!(spend(6_000, 1.0, false), 1_500, "one that is not strict spends what it owes");
        assert_eq!(mutations.spent(at(6_000))[0].tokens, Some(-3.0));
        assert_eq!(mutations.spent(at(60_000))[0].tokens, Some(22.0));
    }
}
