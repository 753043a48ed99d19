//! What a consumer does with brokers' answers.

use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchResponse, ResponseKind};

use super::fetched;
use super::group;
use super::positions::{self, Position, State};
use super::session::Session;
use super::settings::Reset;
use super::validate::{self, Validity, Verdict};
use super::{Consumer, Tag};
use crate::client::connection::{Answer, LinkId};
use crate::client::exception::Exception;
use crate::client::{Effect, Endpoint, Report};
use crate::error::{self, ErrorCode};
use crate::id::{BrokerId, Offset};
use crate::time::Instant;

impl Consumer {
    pub(super) fn answered(&mut self, now: Instant, answer: Answer<Tag>, out: &mut Vec<Effect>) {
        let answer = match group::of(answer) {
            Ok((link, ask, body)) => {
                return self.with_group(now, false, out, |group, around| group.answered(around, link, ask, body));
            }
            Err(answer) => answer,
        };
        // The one that comes often, and is large.
        if let (Tag::Fetch, ResponseKind::Fetch(body)) = (&answer.tag, &*answer.body) {
            return self.fetch_answered(now, answer.link, body, out);
        }
        match (answer.tag, *answer.body) {
            (Tag::Metadata, ResponseKind::Metadata(body)) => {
                self.metadata.update(now, &self.settings.connection, body, &mut self.network);
            }
            (Tag::ListOffsets { asked }, ResponseKind::ListOffsets(body)) => {
                let by_time = matches!(self.settings.reset, Reset::ByDuration(_));
                for (index, result) in positions::told(&mut self.positions, &asked, &body, by_time) {
                    match result {
                        Ok(_) => self.positions[index].failures = 0,
                        Err(error) => self.back_off(now, index, error, out),
                    }
                }
            }
            (Tag::Epochs { asked }, ResponseKind::OffsetForLeaderEpoch(body)) => {
                for (index, verdict) in validate::told(&mut self.positions, &asked, &body, self.settings.reset) {
                    match verdict {
                        Verdict::Valid => self.positions[index].failures = 0,
                        Verdict::Truncated(note) => out.push(Effect::Report(Report::Note(note))),
                        Verdict::Failed(error) => self.back_off(now, index, error, out),
                    }
                }
            }
            // An answer of another kind is none.
            (tag, _) => self.lost(now, answer.link, tag, out),
        }
    }

    pub(super) fn lost(&mut self, now: Instant, link: LinkId, tag: Tag, out: &mut Vec<Effect>) {
        match tag {
            Tag::Group(ask) => self.with_group(now, false, out, |group, around| group.lost(around, link, ask)),
            Tag::Metadata => self.metadata.lost(now, &self.settings.connection),
            Tag::Fetch => {
                self.sessions.iter_mut().filter(|session| session.link == link).for_each(Session::lost);
                // A follower that cannot be heard is not read from.
                let preferred =
                    |position: &&mut Position| position.preferred.is_some_and(|(follower, _)| follower == link);
                self.positions.iter_mut().filter(preferred).for_each(|position| position.preferred = None);
                self.metadata.stale(now);
            }
            Tag::Epochs { asked } => {
                for one in asked {
                    if let Some(position) = one.waiting(&mut self.positions) {
                        position.validity = Validity::Doubtful;
                    }
                }
                self.metadata.stale(now);
            }
            Tag::ListOffsets { asked } => {
                for index in asked {
                    let position = &mut self.positions[index];
                    if position.state == State::Asked {
                        position.state = State::Unknown;
                    }
                }
                self.metadata.stale(now);
            }
        }
    }

    fn fetch_answered(&mut self, now: Instant, link: LinkId, response: &FetchResponse, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.link == link) else { return };
        if let Some(error) = ErrorCode::try_from_code(response.error_code) {
            let note = format!("fetch refused: {}", error::name(error.code()));
            if !session.refused(error) {
                session.retry_at = now + self.settings.connection.retry_backoff.after(0, &mut self.dice);
                self.metadata.stale(now);
            }
            return out.push(Effect::Report(Report::Note(note)));
        }
        session.answered(response.session_id);
        for topic in &response.responses {
            for answer in &topic.partitions {
                let of = |position: &Position| {
                    let same = if topic.topic_id.is_nil() {
                        position.topic == topic.topic
                    } else {
                        position.topic_id == topic.topic_id
                    };
                    same && position.partition == answer.partition_index
                };
                // An answer that nobody awaits is dropped: the topic was made anew meanwhile, or is read elsewhere now, or
                // what the answer follows on may not be there any more.
                let Some(index) = self.positions.iter().position(of) else { continue };
                let position = &self.positions[index];
                // Nor is one to an offset that the application has left, or that the group has taken away since.
                let Some(session) = self.sessions.iter().find(|session| session.link == link) else { return };
                let awaited = !position.buffered
                    && session.asked_for(position)
                    && position.validity == Validity::Valid
                    && position.source(now).is_some_and(|(source, _)| source == link);
                if let State::At(offset) = position.state
                    && awaited
                {
                    let endpoint =
                        response.node_endpoints.iter().find(|node| node.node_id == answer.current_leader.leader_id);
                    let endpoint =
                        endpoint.map(|node| Endpoint { host: node.host.to_string(), port: node.port as u16 });
                    self.partition_answered(now, index, offset, answer, endpoint, out);
                }
            }
        }
    }

    fn partition_answered(
        &mut self,
        now: Instant,
        index: usize,
        offset: Offset,
        answer: &PartitionData,
        endpoint: Option<Endpoint>,
        out: &mut Vec<Effect>,
    ) {
        let position = &mut self.positions[index];
        match ErrorCode::try_from_code(answer.error_code) {
            None if answer.preferred_read_replica.0 >= 0 => {
                let until = now + self.settings.connection.metadata_max_age;
                let follower = self.metadata.broker(BrokerId(answer.preferred_read_replica.0));
                position.preferred = follower.map(|link| (link, until));
                match follower {
                    Some(link) => self.reads_from(link),
                    None => {
                        position.retry_at = now + self.settings.connection.retry_backoff.after(0, &mut self.dice);
                        self.metadata.stale(now);
                    }
                }
            }
            None => {
                position.failures = 0;
                // Who reads what is committed lags behind that alone.
                position.high_watermark = match self.settings.isolation_level {
                    1 => answer.last_stable_offset,
                    _ => answer.high_watermark,
                };
                if let Some(bytes) = answer.records.as_ref().filter(|bytes| !bytes.is_empty()) {
                    position.buffered = true;
                    let aborted = answer.aborted_transactions.as_deref().unwrap_or_default();
                    let fetched = fetched::decode(position, index, offset, (bytes, aborted), self.settings.check_crcs);
                    self.fetched.push_back(fetched);
                }
            }
            // A follower may lag: only the leader's word counts.
            Some(ErrorCode::OffsetOutOfRange) if position.preferred.take().is_some() => {}
            Some(ErrorCode::OffsetOutOfRange) => {
                let name = position.name();
                let note = match self.settings.reset {
                    Reset::None => {
                        let why = format!("Fetch position {offset} is out of range for partition {name}");
                        position.state = State::Halted(Exception::new("OffsetOutOfRangeException", why.clone()));
                        format!("{why}, and no reset policy is set")
                    }
                    _ => {
                        position.state = State::Unknown;
                        format!("Fetch position {offset} is out of range for partition {name}, resetting offset")
                    }
                };
                out.push(Effect::Report(Report::Note(note)));
            }
            Some(error) => {
                position.preferred = None;
                let (topic, partition) = (position.topic.clone(), position.partition);
                let leader = (answer.current_leader.leader_id.0, answer.current_leader.leader_epoch);
                self.back_off(now, index, error, out);
                self.metadata.hint(&topic, partition, leader, endpoint, &mut self.network);
            }
        }
    }

    /// A partition could not be read: metadata may help, and time.
    fn back_off(&mut self, now: Instant, index: usize, error: ErrorCode, out: &mut Vec<Effect>) {
        let position = &mut self.positions[index];
        position.retry_at = now + self.settings.connection.retry_backoff.after(position.failures, &mut self.dice);
        position.failures += 1;
        if position.failures == 1 {
            out.push(Effect::Report(Report::Note(format!("{}: {}", position.name(), error::name(error.code())))));
        }
        self.metadata.stale(now);
    }
}
