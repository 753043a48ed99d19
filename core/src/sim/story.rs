//! The event log: what a person would tell of a run. Not every event is a line; `trace.rs` has them all.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;

use super::scenario::Action;
use crate::broker;
use crate::client::line::List;
use crate::client::{self, Report, TransactionStage};
use crate::error::ErrorCode;
use crate::protocol::line;
use crate::time::Instant;
use crate::view::{Level, LogLine, View};

/// The newest lines.
#[derive(Clone, Default)]
pub(super) struct Story {
    lines: VecDeque<Arc<LogLine>>,
    seq: u64,
    /// Of an internal topic, whose partitions a broker comes to host all at once: how many so far.
    hosted: u32,
}

impl Story {
    pub fn say(&mut self, at: Instant, node: impl Display, level: Level, text: String) {
        if self.lines.len() == View::LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Arc::new(LogLine { at, seq: self.seq, node: node.to_string(), text, level }));
        self.seq += 1;
    }

    pub fn lines(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter().map(|line| &**line)
    }

    pub fn lines_from(&self, seq: u64) -> impl Iterator<Item = &LogLine> {
        self.lines().skip_while(move |line| line.seq < seq)
    }

    pub fn broker_event(&mut self, at: Instant, name: &str, event: &broker::Event) {
        use broker::Event;
        match event {
            Event::Peer { id, up: true } => self.say(at, name, Level::Good, format!("connected with {id}")),
            Event::Peer { id, up: false } => self.say(at, name, Level::Warn, format!("lost {id}")),
            Event::Offline { cause, .. } => self.say(at, name, Level::Bad, format!("a log went offline: {cause}")),
            _ => {}
        }
    }

    fn hosts(&mut self, at: Instant, name: &str, directory: &str, base: i64) {
        let topic = directory.rsplit_once('-').map_or(directory, |(topic, _)| topic);
        let many = |count| format!("hosts {count} partitions of {topic}");
        let goes_on = |last: &Arc<LogLine>| {
            last.at == at
                && last.node == name
                && (last.text == many(self.hosted) || last.text.starts_with(&format!("hosts {topic}-")))
        };
        if topic.starts_with("__") && self.lines.back().is_some_and(goes_on) {
            self.hosted += 1;
            let text = many(self.hosted);
            if let Some(last) = self.lines.back_mut() {
                Arc::make_mut(last).text = text;
            }
        } else {
            self.hosted = 1;
            self.say(at, name, Level::Good, format!("hosts {directory} from offset {base} on"));
        }
    }

    /// `directory` is that of the log that the effect is on.
    pub fn broker_effect(&mut self, at: Instant, name: &str, directory: &str, effect: &broker::Effect) {
        use broker::Effect;
        match effect {
            Effect::Open { directory, base, .. } => self.hosts(at, name, directory, *base),
            Effect::Roll { base, .. } => {
                self.say(at, name, Level::Info, format!("{directory} rolls: new segment at {base}"))
            }
            Effect::Truncate { end, .. } => {
                self.say(at, name, Level::Warn, format!("{directory} is cut back to offset {end}"))
            }
            Effect::Delete { below, .. } => {
                self.say(at, name, Level::Info, format!("{directory}: segments below offset {below} are deleted"));
            }
            Effect::Remove { .. } => self.say(at, name, Level::Warn, format!("{directory} is removed")),
            Effect::Note { level, text } => self.say(at, name, *level, text.clone()),
            Effect::Fail { why } => self.say(at, name, Level::Bad, format!("cannot go on: {why}")),
            Effect::Close { why, .. } => self.say(at, name, Level::Warn, format!("cuts a client off: {why}")),
            _ => {}
        }
    }

    pub fn client_event(&mut self, at: Instant, name: &str, event: &client::Event) {
        let client::Event::Response { body, .. } = event else { return };
        let code = line::first_error(body);
        if let Some(error) = ErrorCode::try_from_code(code) {
            self.say(at, name, Level::Warn, format!("is answered {error:?}"));
        }
    }
}

/// What a report is in the event log, if it is anything.
pub(super) fn of_report(report: &Report) -> Option<(Level, String)> {
    match report {
        Report::Failed { topic, partition, sequence, .. } => {
            let (topic, why) = (&topic.0, report.why().unwrap_or_default());
            Some((
                Level::Bad,
                match partition {
                    -1 => format!("gives up record {sequence} for {topic}: {why}"),
                    partition => format!("gives up record {sequence} for {topic}-{partition}: {why}"),
                },
            ))
        }
        Report::Assigned { group, generation, added, owned, .. } => {
            let text = format!("{group}: is assigned {} in {generation}, and owns {}", List(added), List(owned));
            Some((Level::Good, text))
        }
        Report::Revoked { group, partitions, .. } => {
            Some((Level::Warn, format!("{group}: lets go of {}", List(partitions))))
        }
        Report::Lost { group, partitions } => Some((Level::Bad, format!("{group}: has lost {}", List(partitions)))),
        Report::Closed => Some((Level::Info, "closed".to_owned())),
        Report::Note(text) => Some((Level::Info, text.clone())),
        Report::Thrown { call, error } => Some((Level::Bad, format!("{call}() throws {error}"))),
        Report::Transaction(TransactionStage::Initialized) => {
            Some((Level::Info, "has its transactional id".to_owned()))
        }
        Report::Transaction(TransactionStage::Begun) => Some((Level::Info, "begins a transaction".to_owned())),
        Report::Transaction(TransactionStage::Committed) => {
            Some((Level::Good, "has committed its transaction".to_owned()))
        }
        Report::Transaction(TransactionStage::Aborted) => Some((Level::Warn, "has aborted its transaction".to_owned())),
        Report::Transaction(TransactionStage::Committing | TransactionStage::Aborting) => None,
        Report::Committed { .. } | Report::Sought { .. } | Report::Polled(_) => None,
        Report::Renumbered { topic, partition, sequences } => {
            let text = format!("writes {} records to {}-{partition} once more, perhaps", sequences.len(), topic.0);
            Some((Level::Warn, text))
        }
        Report::Sent { .. } | Report::Acked { .. } | Report::Received { .. } | Report::Returned { .. } => None,
    }
}

/// How an action looks in the event log and on the time line.
pub(super) fn level_of(action: &Action) -> Level {
    match action {
        Action::Fault(fault) => fault.level(),
        Action::AddBroker => Level::Good,
        Action::Stop(_) => Level::Warn,
        _ => Level::Info,
    }
}

/// What an action is in the event log; an expectation has its own line.
pub(super) fn of_action(action: &Action) -> Option<(Level, String)> {
    match action {
        Action::Expect(_) => None,
        _ => Some((level_of(action), action.to_string())),
    }
}
