//! What came in the last while: Kafka's `SampledStat`, with the arithmetic of its `Rate`.
//!
//! A window begins with the first thing that comes after the one before it was over, so between two of them there may be
//! any time; one in which nothing has come for as long as all windows together last does not count.

use crate::time::{Duration, Instant};

/// How many windows count, and how long each of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub count: u32,
    pub length: Duration,
}

impl Windows {
    fn millis(self) -> u64 {
        self.length.as_millis() as u64
    }

    /// Seconds that all of them last.
    pub fn seconds(self) -> f64 {
        f64::from(self.count) * self.millis() as f64 / 1e3
    }

    /// Seconds that all but one of them last.
    pub fn seconds_but_one(self) -> f64 {
        f64::from(self.count - 1) * self.millis() as f64 / 1e3
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// In milliseconds, as all times here.
    began: u64,
    latest: u64,
    sum: f64,
    events: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// One more than count: the oldest may overlap what is measured.
    samples: Vec<Sample>,
    current: usize,
}

impl Samples {
    pub fn record(&mut self, windows: Windows, now: Instant, value: f64) {
        let at = now.as_millis();
        let new = Sample { began: at, latest: at, sum: 0.0, events: 0 };
        if self.samples.is_empty() {
            self.samples.push(new);
        }
        if at.saturating_sub(self.samples[self.current].began) >= windows.millis() {
            self.current = (self.current + 1) % (windows.count as usize + 1);
            match self.samples.get_mut(self.current) {
                Some(sample) => *sample = new,
                None => self.samples.push(new),
            }
        }
        let sample = &mut self.samples[self.current];
        sample.sum += value;
        sample.events += 1;
        sample.latest = at;
    }

    /// Those that count, and the time over which they do, in milliseconds.
    fn measured(&self, windows: Windows, now: Instant) -> (impl Iterator<Item = &Sample>, u64) {
        let at = now.as_millis();
        let expires = u64::from(windows.count) * windows.millis();
        let counts = move |sample: &&Sample| at.saturating_sub(sample.latest) < expires;
        let oldest = self.samples.iter().filter(counts).map(|sample| sample.began).min().unwrap_or(at);
        // What came in little time counts over all windows but the last.
        let elapsed = at - oldest;
        let (full, least) = (elapsed / windows.millis(), u64::from(windows.count) - 1);
        let span = elapsed + least.saturating_sub(full) * windows.millis();
        (self.samples.iter().filter(counts), span.max(1))
    }

    /// In a second; and the time over which it was measured, in milliseconds.
    pub fn rate(&self, windows: Windows, now: Instant) -> (f64, u64) {
        let (samples, span) = self.measured(windows, now);
        (samples.fold(0.0, |sum, sample| sum + sample.sum) / (span as f64 / 1e3), span)
    }

    /// Of what was recorded; `None` where nothing was.
    pub fn average(&self, windows: Windows, now: Instant) -> Option<f64> {
        let (samples, _) = self.measured(windows, now);
        let (sum, events) = samples.fold((0.0, 0), |(sum, events), sample| (sum + sample.sum, events + sample.events));
        (events > 0).then(|| sum / events as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { count: 11, length: Duration::from_secs(1) };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn what_comes_in_little_time_counts_over_all_windows_but_one() {
        let mut samples = Samples::default();
        assert_eq!(samples.rate(WINDOWS, at(5)).0, 0.0);
        samples.record(WINDOWS, at(5), 5_000.0);
        assert_eq!(samples.rate(WINDOWS, at(5)), (500.0, 10_000));
        samples.record(WINDOWS, at(505), 550.0);
        assert_eq!(samples.rate(WINDOWS, at(505)), (5_550.0 / 10.5, 10_500));
        // A full window takes the place of one that was only assumed.
        assert_eq!(samples.rate(WINDOWS, at(1_005)).1, 10_000);
    }

    #[test]
    fn a_window_is_forgotten_once_nothing_came_in_it_for_so_long() {
        let mut samples = Samples::default();
        samples.record(WINDOWS, at(0), 1_000.0);
        samples.record(WINDOWS, at(999), 1_000.0);
        samples.record(WINDOWS, at(5_000), 300.0);
        assert_eq!(samples.rate(WINDOWS, at(11_998)), (2_300.0 / 11.998, 11_998));
        // The first of them began long ago; what is left is measured over what it lasts.
        assert_eq!(samples.rate(WINDOWS, at(11_999)), (300.0 / 10.999, 10_999));
        assert_eq!(samples.rate(WINDOWS, at(16_000)), (0.0, 10_000));
    }

    #[test]
    fn there_are_no_more_windows_than_count() {
        let windows = Windows { count: 2, length: Duration::from_secs(30) };
        let mut samples = Samples::default();
        assert_eq!(samples.average(windows, at(0)), None);
        for second in 0..1_000 {
            samples.record(windows, at(second * 1_000), second as f64);
        }
        assert_eq!(samples.samples.len(), 3);
        let average = samples.average(windows, at(999_000)).unwrap();
        assert!((950.0..970.0).contains(&average), "{average}");
    }
}
