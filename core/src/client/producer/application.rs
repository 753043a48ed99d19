//! The application in front of a producer: it calls `send()` at a rate, one record after the other, and waits while a
//! call blocks.
//!
//! With `handler.ms` its main thread hands every record to one of `handlers` threads, which share the producer: a thread
//! works on a record for that time, then calls `send()`. While all of them are at work the main thread waits.
//!
//! With `transaction.every` it sends its records in transactions, as Kafka's documentation tells an application to:
//!
//! ```text
//! initTransactions() → beginTransaction() → send() … send() → commitTransaction(), or abortTransaction() by dice
//!                           ↑                 │ throws            │ throws
//!                           └──────── abortTransaction() ←────────┘      fenced: it closes the producer
//! ```
//!
//! With `reads` it does so for what a consumer of the same application gives it, poll by poll:
//!
//! ```text
//! poll() → beginTransaction() → send() for every record → sendOffsetsToTransaction() → commitTransaction() → poll()
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::settings::Settings;
use crate::client::{Offsets, Polled, SendRecord, Turn};
use crate::record::Header;
use crate::rng::Stream;
use crate::time::{Duration, Instant};

/// Calls that may wait behind a blocked one; chosen records beyond them are refused.
const MAX_WAITING: usize = 1_000;

/// A call of one of the producer's methods.
#[derive(Clone, Debug)]
pub struct MethodCall {
    pub method: Method,
    /// Since when it blocks.
    pub blocked: Option<Instant>,
    /// The number of a program's call, if it is one.
    pub id: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Method {
    /// send(), with the record's number: they count from 0.
    Send(u64, Made),
    InitTransactions,
    Transaction(Turn),
    SendOffsets(Arc<Offsets>),
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Made {
    /// The record that its number says, to the producer's own topic.
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
    waiting: VecDeque<MethodCall>,
    /// Calls that block, each in a thread of its own: only where a program calls.
    blocked: VecDeque<MethodCall>,
    threads: bool,
    /// Handlers at work, by the moments when they will send.
    at_work: VecDeque<Instant>,
    handlers: usize,
    handling: Duration,
    transactions: Option<Transactions>,
    /// It works off what a consumer gives it.
    reads: bool,
    /// It has closed its producer.
    closed: bool,
}

/// Transactions that it makes by itself.
#[derive(Clone, Debug)]
struct Transactions {
    /// Records of each.
    every: u64,
    /// Aborted of a hundred.
    aborts: u64,
    /// Records of the one that is open.
    open: Option<u64>,
    dice: Stream,
}

impl MethodCall {
    fn new(method: Method, id: Option<u64>) -> MethodCall {
        MethodCall { method, blocked: None, id }
    }
}

impl Application {
    pub fn new(settings: &Settings, dice: Stream) -> Self {
        let (every, aborts) = (settings.transaction_every, settings.transaction_aborts);
        let begin = settings.transactional_id.as_ref().map(|_| MethodCall::new(Method::InitTransactions, None));
        Application {
            interval: interval(settings.rate_milli),
            next: None,
            sequence: 0,
            waiting: begin.into_iter().collect(),
            blocked: VecDeque::new(),
            threads: false,
            at_work: VecDeque::new(),
            handlers: settings.handlers,
            handling: settings.handling,
            transactions: (every > 0).then_some(Transactions { every, aborts, open: None, dice }),
            reads: settings.reads.is_some(),
            closed: false,
        }
    }

    /// The threads of a program instead: nothing is called by itself, and who blocks keeps nobody else waiting.
    pub fn of_program(self) -> Self {
        Application { waiting: VecDeque::new(), interval: None, transactions: None, threads: true, ..self }
    }

    /// Records that were handed over.
    pub fn sent(&self) -> u64 {
        self.sequence
    }

    /// What a consumer gave is one transaction, with a record to `topic` for each of its own. It comes whole: the consumer
    /// gives no more than `max.poll.records`, and nothing again before this has ended.
    pub fn process(&mut self, polled: &Polled, topic: &TopicName) {
        if self.closed {
            return;
        }
        let mut call = |method| self.waiting.push_back(MethodCall::new(method, None));
        call(Method::Transaction(Turn::Begin));
        for read in &polled.records {
            // It says what it was made of, so that what arrives can be matched with what was read.
            let value = format!("{}:{}-{}", polled.offsets.group, read.partition, read.offset);
            let record = SendRecord {
                topic: topic.to_string(),
                key: read.key.as_ref().map(|key| key.to_vec()),
                value: Some(value.into_bytes()),
                ..SendRecord::default()
            };
            let chosen = Arc::new(Chosen { topic: topic.clone(), record, headers: Vec::new() });
            call(Method::Send(self.sequence, Made::Chosen(chosen)));
            self.sequence += 1;
        }
        call(Method::SendOffsets(Arc::new(polled.offsets.clone())));
        call(Method::Transaction(Turn::Commit));
    }

    /// Changes the rate. The next record comes one interval from now; who makes no more ends what is open.
    pub fn set_rate(&mut self, now: Instant, milli_per_second: u64) {
        self.interval = interval(milli_per_second);
        self.next = self.interval.map(|interval| now + interval);
        if self.interval.is_none() && self.transactions.as_mut().is_some_and(|it| it.open.take().is_some()) {
            self.ask(Method::Transaction(Turn::Commit));
        }
    }

    /// Records a second.
    pub fn rate(&self) -> f64 {
        self.interval.filter(|_| !self.closed).map_or(0.0, |interval| 1.0 / interval.as_secs_f64())
    }

    /// A chosen record, to be sent after what waits already; its number, and whether it was taken.
    pub fn choose(&mut self, record: SendRecord) -> Result<(), (u64, Arc<Chosen>)> {
        let (number, chosen) = (self.number(), chosen(record));
        if self.waiting.len() >= MAX_WAITING || self.closed {
            return Err((number, chosen));
        }
        self.ask(Method::Send(number, Made::Chosen(chosen)));
        Ok(())
    }

    /// A thread's record under the program's number, and since when it blocks if it does already.
    pub fn send(&mut self, number: u64, record: SendRecord, blocked: Option<Instant>) {
        self.sequence = number + 1;
        let made = Made::Chosen(chosen(record));
        self.waiting.push_back(MethodCall { blocked, ..MethodCall::new(Method::Send(number, made), None) });
    }

    /// A call, to be made after what waits already.
    pub fn ask(&mut self, method: Method) {
        if self.waiting.len() < MAX_WAITING && !self.closed {
            self.waiting.push_back(MethodCall::new(method, None));
        }
    }

    /// A call of a thread.
    pub fn call(&mut self, id: u64, method: Method) {
        self.waiting.push_back(MethodCall::new(method, Some(id)));
    }

    /// Threads that block try again, before what came since.
    pub fn retry(&mut self) {
        if !self.blocked.is_empty() {
            self.blocked.append(&mut self.waiting);
            std::mem::swap(&mut self.blocked, &mut self.waiting);
        }
    }

    /// The producer is closed under it: gives the records that wait, the first of which may block. A transaction that is being
    /// ended comes to its end.
    pub fn close(&mut self) -> VecDeque<MethodCall> {
        self.closed = true;
        self.at_work.clear();
        self.retry();
        let ends = |call: &MethodCall| {
            matches!(call.method, Method::Transaction(_) | Method::SendOffsets(_)) && call.blocked.is_some()
        };
        let (kept, gone): (VecDeque<MethodCall>, _) = std::mem::take(&mut self.waiting).into_iter().partition(ends);
        self.waiting = kept;
        gone
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next call that is due, if one is.
    pub fn next(&mut self, now: Instant) -> Option<MethodCall> {
        if let Some(call) = self.waiting.pop_front() {
            return Some(call);
        }
        if self.handling.is_zero() {
            self.due(now).then_some(())?;
        } else {
            while self.at_work.len() < self.handlers && self.due(now) {
                self.at_work.push_back(now + self.handling);
            }
            self.at_work.pop_front_if(|done| *done <= now)?;
        }
        let record = Method::Send(self.number(), Made::Numbered);
        let Some(transactions) = &mut self.transactions else { return Some(MethodCall::new(record, None)) };
        let sent = transactions.open.map_or(1, |sent| sent + 1);
        let begins = transactions.open.is_none();
        transactions.open = Some(sent).filter(|sent| *sent < transactions.every);
        let ends = transactions.open.is_none().then(|| match transactions.dice.below(100) < transactions.aborts {
            true => Turn::Abort,
            false => Turn::Commit,
        });
        if begins {
            self.ask(Method::Transaction(Turn::Begin));
        }
        self.ask(record);
        ends.into_iter().for_each(|turn| self.ask(Method::Transaction(turn)));
        self.waiting.pop_front()
    }

    /// Whether a record is to be made now.
    fn due(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval.filter(|_| !self.closed) else { return false };
        let due = *self.next.get_or_insert(now);
        if due > now {
            return false;
        }
        // Who was blocked does not hurry afterwards.
        self.next = Some(if due + interval > now { due + interval } else { now + interval });
        true
    }

    /// The call could not be finished: it blocks. Whether everything behind it waits.
    pub fn block(&mut self, now: Instant, mut call: MethodCall) -> bool {
        call.blocked.get_or_insert(now);
        match self.threads {
            true => self.blocked.push_back(call),
            false => self.waiting.push_front(call),
        }
        !self.threads
    }

    /// A call threw. True if the application does something about it.
    pub fn thrown(&mut self, method: &Method, fatal: bool) -> bool {
        if !self.recovers() {
            return false;
        }
        if fatal {
            self.closed = true;
            self.waiting.clear();
            return true;
        }
        // What it was about to do in this transaction it does not.
        match &mut self.transactions {
            Some(transactions) => {
                transactions.open = None;
                self.waiting
                    .retain(|call| !matches!(call.method, Method::Transaction(_) | Method::Send(_, Made::Numbered)));
            }
            None => self.waiting.clear(),
        }
        let again = match method {
            Method::InitTransactions => Method::InitTransactions,
            _ => Method::Transaction(Turn::Abort),
        };
        self.waiting.push_front(MethodCall::new(again, None));
        true
    }

    /// A call timed out: it is made again, where the application was written to.
    pub fn again(&mut self, method: &Method) {
        if self.recovers() {
            self.waiting.push_front(MethodCall::new(method.clone(), None));
        }
    }

    /// It was written to go on where a call throws.
    fn recovers(&self) -> bool {
        (self.transactions.is_some() || self.reads) && !self.closed
    }

    /// The foremost call, where it blocks, and since when.
    pub fn blocking(&self) -> Option<(&Method, Instant)> {
        let call = self.blocked.front().or(self.waiting.front())?;
        Some((&call.method, call.blocked?))
    }

    /// Since when the one blocks that has done so for longest.
    pub fn blocked(&self) -> Option<Instant> {
        self.blocked.iter().chain(self.waiting.front()).filter_map(|call| call.blocked).min()
    }

    /// Handlers that work on a record.
    pub fn at_work(&self) -> usize {
        self.at_work.len()
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.blocked.len() + self.waiting.len()
    }

    /// When the next call is due, blocked ones aside.
    pub fn deadline(&self) -> Option<Instant> {
        match self.waiting.front() {
            Some(_) => None,
            None => {
                let takes = self.interval.is_some() && !self.closed && self.at_work.len() < self.handlers;
                let next = takes.then(|| self.next.unwrap_or(Instant::ZERO));
                next.into_iter().chain(self.at_work.front().copied()).min()
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }
}

fn chosen(record: SendRecord) -> Arc<Chosen> {
    let header = |(key, value): &(String, Option<Vec<u8>>)| Header {
        key: key.clone(),
        value: value.as_ref().map(|value| Bytes::copy_from_slice(value)),
    };
    let headers = record.headers.iter().map(header).collect();
    let topic = TopicName(StrBytes::from_string(record.topic.clone()));
    Arc::new(Chosen { topic, record, headers })
}

fn interval(milli_per_second: u64) -> Option<Duration> {
    (milli_per_second > 0).then(|| Duration::from_nanos(1_000_000_000_000 / milli_per_second))
}
