//! The application in front of a producer: it calls `send()` at a rate, one record after the other, and waits while a
//! call blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use crate::client::SendRecord;
use crate::record::Header;
use crate::time::{Duration, Instant};

/// Calls that may wait behind a blocked one; chosen records beyond them are refused.
const MAX_WAITING: usize = 1_000;

/// One call of `send()`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Counts from 0.
    pub sequence: u64,
    pub record: Made,
    /// Since when it blocks.
    pub blocked: Option<Instant>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Made {
    /// The record that the sequence says, to the producer's own topic.
    Numbered,
    /// One that somebody chose.
    Chosen(Arc<Chosen>),
}

/// A chosen record, as the producer's stages take it.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub topic: TopicName,
    pub record: SendRecord,
    pub headers: Vec<Header>,
}

#[derive(Clone, Debug)]
pub struct Application {
    /// Between two records; `None` for none.
    interval: Option<Duration>,
    next: Option<Instant>,
    sequence: u64,
    waiting: VecDeque<Call>,
}

impl Application {
    pub fn new(milli_per_second: u64) -> Self {
        Application { interval: interval(milli_per_second), next: None, sequence: 0, waiting: VecDeque::new() }
    }

    /// Changes the rate. The next record comes one interval from now.
    pub fn set_rate(&mut self, now: Instant, milli_per_second: u64) {
        self.interval = interval(milli_per_second);
        self.next = self.interval.map(|interval| now + interval);
    }

    /// Records a second.
    pub fn rate(&self) -> f64 {
        self.interval.map_or(0.0, |interval| 1.0 / interval.as_secs_f64())
    }

    /// A chosen record, to be sent after what waits already; its sequence, and whether it was taken.
    pub fn choose(&mut self, record: SendRecord) -> Result<(), (u64, Arc<Chosen>)> {
        let header = |(key, value): &(String, Option<Vec<u8>>)| Header {
            key: key.clone(),
            value: value.as_ref().map(|value| Bytes::copy_from_slice(value)),
        };
        let headers = record.headers.iter().map(header).collect();
        let topic = TopicName(StrBytes::from_string(record.topic.clone()));
        let chosen = Arc::new(Chosen { topic, record, headers });
        let sequence = self.number();
        if self.waiting.len() >= MAX_WAITING {
            return Err((sequence, chosen));
        }
        self.waiting.push_back(Call { sequence, record: Made::Chosen(chosen), blocked: None });
        Ok(())
    }

    /// The next call that is due, if one is.
    pub fn next(&mut self, now: Instant) -> Option<Call> {
        if let Some(call) = self.waiting.pop_front() {
            return Some(call);
        }
        let interval = self.interval?;
        let due = *self.next.get_or_insert(now);
        if due > now {
            return None;
        }
        // Who was blocked does not hurry afterwards.
        self.next = Some(if due + interval > now { due + interval } else { now + interval });
        Some(Call { sequence: self.number(), record: Made::Numbered, blocked: None })
    }

    /// The call could not be finished: it blocks, and everything behind it waits.
    pub fn block(&mut self, now: Instant, mut call: Call) {
        call.blocked.get_or_insert(now);
        self.waiting.push_front(call);
    }

    /// Since when the foremost call blocks.
    pub fn blocked(&self) -> Option<Instant> {
        self.waiting.front().and_then(|call| call.blocked)
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the next call is due, blocked ones aside.
    pub fn deadline(&self) -> Option<Instant> {
        match self.waiting.front() {
            Some(_) => None,
            None => self.interval.map(|_| self.next.unwrap_or(Instant::ZERO)),
        }
    }

    fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }
}

fn interval(milli_per_second: u64) -> Option<Duration> {
    (milli_per_second > 0).then(|| Duration::from_nanos(1_000_000_000_000 / milli_per_second))
}
