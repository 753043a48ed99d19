//! A consumer: it reads the partitions that its group assigns it, from where the group has come to; or, without a group, all
//! partitions of its topics, from where `auto.offset.reset` says.
//!
//! ```text
//! brokers ─Fetch→ session → fetched (decoded, waiting) → poll() → application
//!            ↑                                             │
//!            └────────────── positions ←───────────────────┘
//!                               ↑ assigned, committed
//!                             group
//! ```
//!
//! `group/` the member of a group, `assignor/` how its leader assigns | `positions.rs` where it reads, and ListOffsets | `validate.rs` whether the log still holds what was read |
//! `session.rs` fetch sessions | `answers.rs` what brokers say | `fetched.rs` decoding | `settings.rs` Kafka's names |
//! `program.rs` a program that calls poll() itself
//!
//! 1. One fetch at a time is on its way to a broker, and none while the application has records of that broker's
//!    partitions to poll: a slow application is not buried.
//! 2. The application is in poll(), but for the time that it takes for the records that it got (`rate`), and while it waits
//!    for a commit, or for the transaction in which it works them off. A program says itself when it is.
//! 3. The position of a partition is the offset after the last record that was polled; it never goes back but by a
//!    reset, a seek or another assignment; a reset is told in a note.
//! 4. At a record that a deserializer refuses the position stays: poll() throws for it until the application seeks past it, or
//!    pauses or loses its partition, and gives nothing of other partitions either.

mod answers;
pub mod assignor;
pub mod fetched;
pub mod group;
pub mod positions;
mod program;
pub mod session;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod validate;

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use self::fetched::Fetched;
use self::group::{Around, Ask, Group};
use self::positions::{Position, State, Tenure};
use self::session::Session;
pub use self::settings::Settings;
use self::validate::{Asked, Validity};
use super::connection::{LinkId, Network};
use super::exception::Exception;
use super::metadata::Metadata;
use super::serdes::Serde;
use super::setting;
use super::{Command, Effect, Endpoint, Event, NextOffset, Polled, Read, Report};
use crate::id::{Offset, TopicPartition};
use crate::node::Node;
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Instant, Now, Timestamp, sooner};
use crate::vec_map::VecMap;
use crate::view::{ConsumerView, FactGroup, Health, PositionView};

/// An application that is stuck calls poll() no more.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The last version of Fetch that names topics; later ones give their ids.
const LAST_WITH_NAMES: i16 = 12;

/// Reads partitions of its topics.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: String,
    set: setting::Set,
    settings: Arc<Settings>,
    metadata: Metadata,
    network: Network<Tag>,
    /// Which metadata the positions follow.
    assigned: u64,
    positions: Vec<Position>,
    sessions: Vec<Session>,
    fetched: VecDeque<Fetched>,
    /// When the application polls next; it takes its time if `rate` is set.
    next_poll: Instant,
    /// Thousandths of a record a second that it works off; `None`: without limit; 0: it is stuck.
    rate_milli: Option<u64>,
    group: Option<Group>,
    /// A program calls poll(), natively.
    by_program: bool,
    /// It has picked its partitions by assign().
    picked: bool,
    /// A transaction works off what poll() gave of that position, from that offset on.
    working: Option<(Tenure, Offset)>,
    received: u64,
    /// When it last looked what there is to do.
    looked: Instant,
    wall: Timestamp,
    dice: Stream,
}

/// What a request was for.
#[derive(Clone, Debug)]
pub enum Tag {
    Metadata,
    Group(Ask),
    Fetch,
    /// The positions that asked.
    ListOffsets {
        asked: Vec<usize>,
    },
    /// The positions that are doubtful.
    Epochs {
        asked: Vec<Asked>,
    },
}

impl Consumer {
    /// `name` is its `client.id` unless that is set. An error names the setting that is wrong.
    pub fn new(
        name: &str,
        topics: &[String],
        settings: &VecMap<String, String>,
        bootstrap: Vec<Endpoint>,
        seed: Seed,
    ) -> Result<Consumer, String> {
        let set = Arc::new(settings.clone());
        let mut settings = Settings::of(settings)?;
        if settings.connection.client_id.is_empty() {
            settings.connection.client_id = StrBytes::from_string(name.to_string());
        }
        let stream = |what: &str| seed.stream(&format!("{name} {what}"));
        let topics: Vec<TopicName> =
            topics.iter().map(|topic| TopicName(StrBytes::from_string(topic.clone()))).collect();
        let member_id = StrBytes::from_string(stream("member").uuid().to_string());
        let group = settings.group.as_ref().map(|group| Group::new(group, &topics, member_id));
        let metadata = Metadata::new(bootstrap, topics, settings.auto_create, stream("metadata"));
        Ok(Consumer {
            name: name.to_string(),
            set,
            metadata: metadata.matching(settings.pattern.clone()),
            network: Network::new(settings.connection.clone(), stream("network")),
            assigned: 0,
            positions: Vec::new(),
            sessions: Vec::new(),
            fetched: VecDeque::new(),
            next_poll: Instant::ZERO,
            rate_milli: settings.rate_milli,
            group,
            by_program: false,
            picked: false,
            working: None,
            received: 0,
            looked: Instant::ZERO,
            wall: Timestamp::NONE,
            dice: stream("fetch"),
            settings: Arc::new(settings),
        })
    }

    /// Whether it gets nothing of transactions that are open or aborted.
    pub fn reads_committed(&self) -> bool {
        self.settings.isolation_level == 1
    }

    pub fn view(&self) -> ConsumerView {
        let position = |position: &Position| match position.state {
            State::At(offset) => {
                Some(PositionView { topic: position.topic.to_string(), partition: position.partition, offset })
            }
            _ => None,
        };
        ConsumerView {
            name: self.name.clone(),
            client_id: self.settings.connection.client_id.to_string(),
            settings: setting::text(self.set.iter()),
            group: self.group.as_ref().map(|group| group.id().to_string()),
            topics: self.metadata.topics().iter().map(|topic| topic.name.to_string()).collect(),
            health: Health::Running,
            received: self.received,
            lag: self.positions.iter().map(Position::lag).sum(),
            positions: self.positions.iter().filter_map(position).collect(),
            unplaced: self.positions.iter().filter(|one| !matches!(one.state, State::At(_) | State::Free)).count()
                as u32,
            membership: self.group.as_ref().map(|group| group.state().to_owned()).unwrap_or_default(),
        }
    }

    /// What its deserializers take, if it reads that topic.
    pub fn serdes(&self, topic: &str) -> Option<[Serde; 2]> {
        let reads = self.metadata.topics().iter().any(|known| &*known.name.0 == topic);
        reads.then_some([self.settings.key_deserializer, self.settings.value_deserializer])
    }

    /// What there is to see of it beyond the view.
    pub fn facts(&self) -> Vec<FactGroup> {
        let group = |title: &str, facts| FactGroup { title: title.to_string(), facts };
        let position = |position: &Position| {
            let state = match &position.state {
                State::Free => "not assigned".to_string(),
                State::Fresh => "asks where the group is".to_string(),
                State::Unknown => "no position yet".to_string(),
                State::Asked => "asks where to begin".to_string(),
                State::At(offset) => {
                    let from = if position.preferred.is_some() { ", read from a follower" } else { "" };
                    format!("position {offset}, high watermark {}{from}", position.high_watermark)
                }
                State::Halted(why) => format!("halted: {}", why.message),
            };
            (position.name().to_string(), state)
        };
        let waiting: usize = self.fetched.iter().map(|fetched| fetched.records.len()).sum();
        let sessions =
            self.sessions.iter().enumerate().map(|(at, session)| (format!("session {at}"), session.describe()));
        let own = self.positions.iter().filter(|position| position.state != State::Free);
        let mut deserializer = vec![
            ("key.deserializer".to_string(), self.settings.key_deserializer.deserializer().to_string()),
            ("value.deserializer".to_string(), self.settings.value_deserializer.deserializer().to_string()),
        ];
        let poison = self.fetched.iter().find_map(|fetched| fetched.poison.as_ref());
        deserializer.extend(poison.map(|exception| ("poll() throws".to_string(), exception.to_string())));
        let mut facts: Vec<FactGroup> = self.group.iter().map(Group::facts).collect();
        facts.extend([
            group("Positions", own.map(position).collect()),
            group("Deserializer", deserializer),
            group("Fetched", vec![("records that wait for poll()".to_string(), waiting.to_string())]),
            group("Fetch sessions", sessions.collect()),
            group("Connections", self.network.facts()),
            group("Settings", setting::facts(settings::TABLE, &self.set, &self.name)),
        ]);
        facts
    }

    fn run(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.looked = now;
        self.network.poll(now, out);
        if self.network.take_broken() {
            self.metadata.stale(now);
        }
        for (link, tag) in self.network.take_lost() {
            self.lost(now, link, tag, out);
        }
        self.metadata.poll(now, &self.settings.connection, &mut self.network, Tag::Metadata, out);
        if self.group.is_none() && !self.picked && self.assigned != self.metadata.version {
            positions::assign(&mut self.positions, &self.metadata);
        }
        loop {
            let polling = self.is_polling(now);
            self.with_group(now, polling, out, Group::run);
            let received = self.received;
            if self.is_polling(now) && !self.group.as_ref().is_some_and(Group::withholds) {
                self.poll(now, out);
            }
            // An application that takes no time has called again.
            if self.group.is_none() || self.received == received || !self.is_polling(now) {
                break;
            }
        }
        self.find_leaders();
        let homeless = |position: &Position| position.leader.is_none() && !matches!(position.state, State::Free);
        if self.positions.iter().any(homeless) {
            self.metadata.stale(now);
        }
        // Of all sessions at once: almost always there are none of either.
        let unknown = self.positions.iter().any(|position| matches!(position.state, State::Unknown));
        let doubtful = self.positions.iter().any(|position| position.is_doubtful(now));
        for at in 0..self.sessions.len() {
            if unknown {
                self.ask(now, at, out);
            }
            if doubtful {
                self.validate(now, at, out);
            }
            self.fetch(now, at, out);
        }
    }

    /// (2)
    fn is_polling(&self, now: Instant) -> bool {
        self.next_poll <= now && self.working.is_none() && !self.group.as_ref().is_some_and(Group::is_committing)
    }

    fn with_group(
        &mut self,
        now: Instant,
        polling: bool,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Group, &mut Around<'_>),
    ) {
        let Some(group) = &mut self.group else { return };
        let mut around = Around {
            now,
            settings: &self.settings,
            network: &mut self.network,
            metadata: &mut self.metadata,
            positions: &mut self.positions,
            fetched: &mut self.fetched,
            dice: &mut self.dice,
            out,
            polling,
        };
        act(group, &mut around);
    }

    /// Who is to be asked for what the consumer reads.
    fn find_leaders(&mut self) {
        let moved = self.group.as_mut().is_some_and(Group::take_moved);
        if self.assigned == self.metadata.version && !moved {
            return;
        }
        self.assigned = self.metadata.version;
        positions::lead(&mut self.positions, &self.metadata);
        for at in 0..self.positions.len() {
            if let Some((link, _)) = self.positions[at].leader {
                self.reads_from(link);
            }
        }
    }

    fn reads_from(&mut self, link: LinkId) {
        if !self.sessions.iter().any(|session| session.link == link) {
            self.sessions.push(Session::new(link));
        }
    }

    /// The application's poll(): as many records as it takes at once, and then the time that it takes for them.
    fn poll(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while self.next_poll <= now
            && let Some(place) = self.fetched.iter().position(|fetched| !self.positions[fetched.position].paused)
        {
            let fetched = &mut self.fetched[place];
            let position = &mut self.positions[fetched.position];
            // (4) It is thrown once more, which was told.
            if fetched.poison.is_some() {
                return;
            }
            let group = self.group.as_ref().zip(self.settings.group.as_ref().filter(|group| group.transactional));
            let mut polled = group.map(|(group, _)| Polled { offsets: group.nothing(), records: Vec::new() });
            let mut count = 0;
            while count < self.settings.max_poll_records
                && let Some(record) = fetched.records.pop_front()
            {
                if let Err(exception) = fetched::deserialize(&self.settings, position, &record) {
                    fetched.records.push_front(record);
                    // Those before it are given first.
                    if count == 0 {
                        let error = exception.to_string();
                        out.push(Effect::Report(Report::Thrown { call: "poll", error }));
                        fetched.poison = Some(exception);
                        return;
                    }
                    break;
                }
                count += 1;
                // (3)
                position.state = State::At(record.offset.wrapping_add(1));
                position.epoch = fetched.epoch_of(record.offset);
                if let Some(polled) = &mut polled {
                    let (partition, offset, key) = (position.name(), record.offset, record.key.clone());
                    polled.records.push(Read { partition, offset, key });
                }
                out.push(Effect::Report(Report::Received {
                    topic: position.topic.clone(),
                    partition: position.partition,
                    offset: record.offset,
                    timestamp: record.timestamp.0,
                    timestamp_type: fetched.timestamp_type_of(record.offset),
                    leader_epoch: position.epoch,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                }));
            }
            self.received += count as u64;
            match self.rate_milli {
                Some(0) => self.next_poll = NEVER,
                Some(rate) => {
                    self.next_poll = now + Duration::from_nanos(1_000_000_000_000 / rate).saturating_mul(count as u32);
                }
                None if self.by_program && count > 0 => self.next_poll = NEVER,
                None => {}
            }
            let index = fetched.position;
            if fetched.records.is_empty() {
                position.buffered = false;
                position.state = match fetched.broken.take() {
                    Some(why) => {
                        out.push(Effect::Report(Report::Note(why.clone())));
                        State::Halted(Exception::kafka(why))
                    }
                    None => State::At(fetched.next_offset),
                };
                self.fetched.remove(place);
            }
            if let Some(polled) = polled.filter(|polled| !polled.records.is_empty()) {
                self.work_off(index, polled, out);
            }
            if let (Some(group), Some(settings)) = (&mut self.group, &self.settings.group) {
                group.polled(settings);
                return;
            }
        }
    }

    /// The application works off what poll() gave, in a transaction.
    fn work_off(&mut self, index: usize, mut polled: Polled, out: &mut Vec<Effect>) {
        let position = &self.positions[index];
        let next = match position.state {
            State::At(offset) => offset,
            _ => polled.records[polled.records.len() - 1].offset + 1,
        };
        self.working = Some((Tenure { index, count: position.tenure }, polled.records[0].offset));
        polled.offsets.offsets.push(NextOffset {
            topic: position.topic.to_string(),
            partition: position.partition,
            offset: next,
            leader_epoch: position.epoch,
        });
        out.push(Effect::Report(Report::Polled(Arc::new(polled))));
    }

    /// It has done so, or reads again what it has: from where its transaction began.
    fn processed(&mut self, well: bool, out: &mut Vec<Effect>) {
        let Some((tenure, offset)) = self.working.take() else { return };
        let Some(position) = tenure.of(&mut self.positions).filter(|_| !well) else { return };
        (position.state, position.epoch, position.validity) = (State::At(offset), -1, Validity::Valid);
        position.buffered = false;
        out.push(Effect::Report(Report::Sought { partition: position.name(), offset }));
        self.fetched.retain(|fetched| fetched.position != tenure.index);
    }

    fn command(&mut self, now: Instant, command: Command, out: &mut Vec<Effect>) {
        match command {
            // Consumers send nothing.
            Command::Send(_) | Command::Transaction(_) | Command::SendOffsets(_) => {}
            Command::Rate { milli_per_second } => {
                // What it is busy with it is done with at the new pace.
                self.next_poll = if milli_per_second == 0 { NEVER } else { self.next_poll.min(now) };
                self.rate_milli = Some(milli_per_second);
                setting::set_rate(&mut self.set, milli_per_second);
            }
            Command::Close => match &mut self.group {
                Some(group) => group.close(now),
                None => out.push(Effect::Report(Report::Closed)),
            },
            Command::Seek { name, offset } => self.with_position(&name, out, |position, fetched, index, out| {
                out.push(Effect::Report(Report::Sought { partition: name.clone(), offset }));
                (position.state, position.epoch, position.validity) = (State::At(offset), -1, Validity::Valid);
                position.buffered = false;
                fetched.retain(|fetched| fetched.position != index);
            }),
            Command::Pause { name } => self.with_position(&name, out, |position, _, _, _| position.paused = true),
            Command::Resume { name } => self.with_position(&name, out, |position, _, _, _| position.paused = false),
        }
    }

    fn with_position(
        &mut self,
        name: &TopicPartition,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Position, &mut VecDeque<Fetched>, usize, &mut Vec<Effect>),
    ) {
        let own = |position: &Position| position.state != State::Free && position.name() == *name;
        match self.positions.iter().position(own) {
            Some(index) => act(&mut self.positions[index], &mut self.fetched, index, out),
            None => out.push(Effect::Report(Report::Note(format!("No current assignment for partition {name}")))),
        }
    }

    /// Asks a broker where to begin in those of its partitions that have no position.
    fn ask(&mut self, now: Instant, at: usize, out: &mut Vec<Effect>) {
        let link = self.sessions[at].link;
        let asks = |position: &Position| {
            let led = position.leader.is_some_and(|(leader, _)| leader == link);
            led && position.state == State::Unknown && position.retry_at <= now
        };
        if !self.positions.iter().any(asks) || !self.network.connect(now, link, out) {
            return;
        }
        let Some(version) = self.network.version(link, ApiKey::ListOffsets) else { return };
        if let Some((request, asked)) = positions::ask(&mut self.positions, now, link, self.wall, &self.settings) {
            let (api, tag) = ((ApiKey::ListOffsets, version), Tag::ListOffsets { asked });
            self.network.send(now, link, api, RequestKind::ListOffsets(request), Some(tag), out);
        }
    }

    /// Asks a leader whether what was read is still there.
    fn validate(&mut self, now: Instant, at: usize, out: &mut Vec<Effect>) {
        let link = self.sessions[at].link;
        let asks = |position: &Position| {
            position.leader.is_some_and(|(leader, _)| leader == link) && position.is_doubtful(now)
        };
        if !self.positions.iter().any(asks) || !self.network.connect(now, link, out) {
            return;
        }
        let Some(version) = self.network.version(link, ApiKey::OffsetForLeaderEpoch) else {
            // A broker that cannot be asked is believed.
            let doubtful = self.positions.iter_mut().filter(|position| asks(position));
            return doubtful.for_each(|position| position.validity = Validity::Valid);
        };
        if let Some((request, asked)) = validate::ask(&mut self.positions, now, link) {
            let (api, tag) = ((ApiKey::OffsetForLeaderEpoch, version), Tag::Epochs { asked });
            self.network.send(now, link, api, request.into(), Some(tag), out);
        }
    }

    fn fetch(&mut self, now: Instant, at: usize, out: &mut Vec<Effect>) {
        let session = &mut self.sessions[at];
        let link = session.link;
        let read = |position: &&Position| position.source(now).is_some_and(|(source, _)| source == link);
        // (1)
        if session.in_flight
            || session.retry_at > now
            || self.positions.iter().filter(read).any(|read| read.buffered && !read.paused)
        {
            return;
        }
        if !self.positions.iter().filter(read).any(|read| read.fetchable(now).is_some()) {
            return;
        }
        if !self.network.connect(now, link, out) {
            return;
        }
        let Some(version) = self.network.version(link, ApiKey::Fetch) else { return };
        if let Some(request) = session.fetch(&self.positions, now, &self.settings) {
            let version = if session.has_ids() { version } else { version.min(LAST_WITH_NAMES) };
            self.network.send(now, link, (ApiKey::Fetch, version), RequestKind::Fetch(request), Some(Tag::Fetch), out);
        }
    }
}

impl Node for Consumer {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        let at = now.instant;
        if self.group.as_ref().is_some_and(Group::is_closed) {
            return;
        }
        self.wall = now.wall;
        match event {
            Event::Timer => {}
            Event::Opened { conn } => self.network.opened(at, conn, out),
            Event::Closed { conn } => self.network.closed(at, conn),
            Event::Response { conn, correlation_id, version, body } => {
                if let Some(answer) = self.network.response(at, conn, correlation_id, version, body, out) {
                    self.answered(at, answer, out);
                }
            }
            Event::Command(command) => self.command(at, *command, out),
            Event::Call { id, call } => self.called(at, id, *call, out),
            Event::Processed { well } => self.processed(well, out),
            // That of producers.
            Event::Process(_) => {}
        }
        self.run(at, out);
    }

    fn deadline(&self) -> Option<Instant> {
        if self.group.as_ref().is_some_and(Group::is_closed) {
            return None;
        }
        let waits = self.group.is_some() || self.fetched.iter().any(|fetched| !self.positions[fetched.position].paused);
        // What could not be polled when it last looked waits for something else.
        let poll = (waits && self.next_poll > self.looked && self.next_poll != NEVER).then_some(self.next_poll);
        let group = self.group.as_ref().zip(self.settings.group.as_ref());
        let group = group.and_then(|(group, settings)| group.deadline(settings, self.looked));
        // Back-offs that are over wait for the network, not for time.
        let retries = self.positions.iter().map(|position| position.retry_at);
        let retries = retries.chain(self.sessions.iter().map(|session| session.retry_at));
        let retry = retries.filter(|at| *at > self.looked).min();
        sooner(sooner(poll, sooner(group, retry)), sooner(self.metadata.deadline(), self.network.deadline()))
    }
}
