//! What moving replicas may cost (KIP-73): so many bytes a second a broker sends, and so many it fetches, of the replicas
//! that their topics throttle. Who is in sync is never held back.
//!
//! Measured as by Kafka's `SimpleRate`: what the last windows hold, over the time since the oldest of them began.

use std::collections::VecDeque;

use crate::config::BrokerSettings;
use crate::time::{Duration, Instant};

/// One direction.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    /// When each window began, and its bytes; in order.
    windows: VecDeque<(Instant, u64)>,
}

impl Throttle {
    pub fn record(&mut self, now: Instant, bytes: u64, settings: &BrokerSettings) {
        if bytes == 0 {
            return;
        }
        let (length, kept) = (settings.replication_quota_window, settings.replication_quota_windows);
        self.windows.retain(|(began, _)| now.since(*began) < length * kept);
        match self.windows.back_mut() {
            Some((began, sum)) if now.since(*began) < length => *sum += bytes,
            _ => self.windows.push_back((now, bytes)),
        }
    }

    /// Nothing was counted yet: no rate is exceeded.
    pub fn is_idle(&self) -> bool {
        self.windows.is_empty()
    }

    /// When the rate is no more than `bytes_per_second`; `None` where it is not more now.
    pub fn exceeded_until(&self, now: Instant, bytes_per_second: u64, settings: &BrokerSettings) -> Option<Instant> {
        if self.windows.is_empty() {
            return None;
        }
        let (length, kept) = (settings.replication_quota_window, settings.replication_quota_windows);
        let current = || self.windows.iter().filter(|(began, _)| now.since(*began) < length * kept);
        let (oldest, _) = *current().next()?;
        let bytes: u64 = current().map(|(_, sum)| sum).sum();
        // At 0 nothing passes until the windows are empty.
        let allowed_after = match bytes_per_second {
            0 => length * kept,
            rate => Duration::from_nanos((u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate)) as u64),
        };
        // What came within one window counts over a whole one.
        let elapsed = now.since(oldest).max(length);
        (allowed_after > elapsed).then(|| oldest + allowed_after.min(length * kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_rate_is_exceeded_until_enough_time_has_passed() {
        let settings = BrokerSettings::default();
        let mut throttle = Throttle::default();
        let until = |throttle: &Throttle, now| throttle.exceeded_until(at(now), 1_000, &settings);
        assert_eq!(until(&throttle, 0), None);
        throttle.record(at(0), 900, &settings);
        assert_eq!(until(&throttle, 1), None, "what comes within a second may come at once");
        throttle.record(at(500), 2_100, &settings);
        assert_eq!((until(&throttle, 500), until(&throttle, 2_999)), (Some(at(3_000)), Some(at(3_000))));
        assert_eq!(until(&throttle, 3_000), None);
        throttle.record(at(3_000), 1_000, &settings);
        assert_eq!(until(&throttle, 3_000), Some(at(4_000)));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let settings = BrokerSettings::default();
        let mut throttle = Throttle::default();
        throttle.record(at(0), 1_000_000, &settings);
        assert_eq!(throttle.exceeded_until(at(10_999), 1_000, &settings), Some(at(11_000)));
        assert_eq!(throttle.exceeded_until(at(11_000), 1_000, &settings), None);
        assert_eq!(throttle.exceeded_until(at(5), 0, &settings), Some(at(11_000)));
    }
}
