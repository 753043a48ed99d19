//! How much clients do of something in a second, and how long one must wait that does more than it may.

use super::entity::{ClientQuotas, Key};
use super::limits::{PerClient, Tags};
use super::window::{Samples, Windows};
use crate::time::{Duration, Instant};

/// How long clients had to wait: Kafka's `metrics.num.samples` and `metrics.sample.window.ms`.
pub(super) const WAITED: Windows = Windows { count: 2, length: Duration::from_secs(30) };

#[derive(Clone, Debug)]
pub struct Meter {
    windows: Windows,
    /// Nobody waits longer.
    longest: Option<Duration>,
    clients: PerClient<Client>,
}

#[derive(Clone, Debug, Default)]
struct Client {
    rate: Samples,
    /// In milliseconds.
    waited: Samples,
}

/// What is known of clients that are measured together.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub tags: Tags,
    /// In a second.
    pub rate: f64,
    /// How long they had to wait, in milliseconds; `None` where nobody had to.
    pub waited: Option<f64>,
}

impl Meter {
    pub fn new(key: Key, windows: Windows, longest: Option<Duration>) -> Meter {
        Meter { windows, longest, clients: PerClient::new(key) }
    }

    pub fn follow(&mut self, quotas: &ClientQuotas) {
        self.clients.follow(quotas);
    }

    pub fn is_enabled(&self) -> bool {
        self.clients.is_enabled()
    }

    pub fn limits(&self, user: &str, client: &str) -> bool {
        self.clients.limits(user, client)
    }

    /// A client has done that much: how long it must wait, until its rate is what it may be. Zero if it need not.
    pub fn record(&mut self, now: Instant, user: &str, client: &str, value: f64) -> Duration {
        if !self.is_enabled() {
            return Duration::ZERO;
        }
        let (known, limit) = self.clients.of(now, user, client);
        known.rate.record(self.windows, now, value);
        let (rate, span) = known.rate.rate(self.windows, now);
        let wait = limit.map_or(Duration::ZERO, |limit| wait(rate, limit, span));
        self.longest.map_or(wait, |longest| wait.min(longest))
    }

    /// What was recorded was not done.
    pub fn take_back(&mut self, now: Instant, user: &str, client: &str, value: f64) {
        self.note(now, user, client, -value);
    }

    /// A client has done that much; it is told with what it does next.
    pub fn note(&mut self, now: Instant, user: &str, client: &str, value: f64) {
        if self.is_enabled() {
            self.clients.of(now, user, client).0.rate.record(self.windows, now, value);
        }
    }

    /// More than this at once would make the client wait, even if it had done nothing before.
    pub fn most_at_once(&mut self, now: Instant, user: &str, client: &str) -> Option<f64> {
        if !self.is_enabled() {
            return None;
        }
        self.clients.of(now, user, client).1.map(|limit| limit * self.windows.seconds_but_one())
    }

    /// A client is told to wait.
    pub fn waits(&mut self, now: Instant, user: &str, client: &str, wait: Duration) {
        self.clients.of(now, user, client).0.waited.record(WAITED, now, wait.as_millis() as f64);
    }

    pub fn measured(&self, now: Instant) -> Vec<Measured> {
        let measured = |(tags, client, _): (&Tags, &Client, _)| Measured {
            tags: tags.clone(),
            rate: client.rate.rate(self.windows, now).0,
            waited: client.waited.average(WAITED, now),
        };
        self.clients.iter().map(measured).collect()
    }
}

/// For how long whoever does that much in a second, measured over so many milliseconds, must do nothing, until it is what it
/// may be; zero where it is not more. Kafka's `QuotaUtils.throttleTime`.
pub(super) fn wait(rate: f64, limit: f64, span: u64) -> Duration {
    let millis = ((rate - limit) / limit * span as f64).round();
    // What is less than nothing is nothing.
    Duration::from_millis((millis as u64).min(i32::MAX as u64))
}

#[cfg(test)]
mod tests {
    use super::super::entity::QuotaEntity;
    use super::*;

    const WINDOWS: Windows = Windows { count: 11, length: Duration::from_secs(1) };

    fn meter(limit: &str, longest: Option<Duration>) -> Meter {
        let mut meter = Meter::new(Key::ProducerByteRate, WINDOWS, longest);
        let set = [(Key::ProducerByteRate.name().to_owned(), limit.to_owned())].into();
        meter.follow(&[(QuotaEntity::from_path("clients/c").unwrap(), set)].into());
        meter
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn who_does_too_much_waits_until_the_rate_is_what_it_may_be() {
        let mut meter = meter("1000", None);
        let mut record = |millis, value| meter.record(at(millis), "u", "c", value).as_millis();
        assert_eq!((record(0, 4_000.0), record(100, 6_000.0)), (0, 0), "ten seconds' worth may come at once");
        // 15 100 bytes in 10.2 s: 4.9 s more, and it is 1000 a second.
        assert_eq!(record(200, 5_100.0), 4_900);
        // As in Kafka: while ten seconds are not over, those that are take the place of those that were assumed.
        assert_eq!((record(5_100, 0.0), record(11_199, 0.0)), (5_000, 3_901));
        assert_eq!(record(11_200, 0.0), 0, "what came in the first second is forgotten");
        let measured = meter.measured(at(11_200));
        assert_eq!((measured[0].tags.client.as_str(), measured[0].rate, measured[0].waited), ("c", 0.0, None));
    }

    #[test]
    fn nobody_waits_longer_than_the_longest() {
        let mut meter = meter("10", Some(Duration::from_secs(1)));
        assert_eq!(meter.record(at(0), "u", "c", 1e9), Duration::from_secs(1));
        meter.waits(at(0), "u", "c", Duration::from_secs(1));
        assert_eq!(meter.measured(at(1))[0].waited, Some(1_000.0));
    }

    #[test]
    fn what_was_taken_back_was_not_done() {
        let mut meter = meter("1000", None);
        assert_ne!(meter.record(at(0), "u", "c", 20_000.0), Duration::ZERO);
        meter.take_back(at(0), "u", "c", 20_000.0);
        assert_eq!(meter.record(at(0), "u", "c", 10_000.0), Duration::ZERO);
        assert_eq!(meter.most_at_once(at(0), "u", "c"), Some(10_000.0));
        assert_eq!(meter.most_at_once(at(0), "u", "other"), None);
    }
}
