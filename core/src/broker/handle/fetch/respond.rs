//! The answer to a Fetch: what the last pass over its partitions found, told in the session's terms.

use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId as WireBroker, FetchResponse, ProducerId, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use super::{Fetching, Part};
use crate::broker::session::{Context, Outcome, Told, TopicRef};
use crate::broker::{Broker, Effect};
use crate::error::{self, ErrorCode};
use crate::id::BrokerId;
use crate::log::Extent;
use crate::protocol::Response;
use crate::time::Duration;

impl Broker {
    pub(super) fn respond(&mut self, fetching: Box<Fetching>, out: &mut Vec<Effect>) {
        if fetching.replica.is_none() && self.quotas.is_enabled() {
            let bytes = self.answer_len(&fetching);
            let wait = self.quotas.fetched(self.now.instant, fetching.asked.ticket, bytes);
            if !wait.is_zero() {
                return self.silence(*fetching, wait, out);
            }
        }
        let Fetching { asked, context, replica, read_committed, mut parts, .. } = *fetching;
        let session_id = match context {
            Context::Sessionless => 0,
            Context::Full => {
                let remembered = parts.iter().map(|part| (part.key.clone(), part.wanted, part.outcome()));
                self.sessions.begin(asked.now.instant, replica.is_some(), asked.version >= 13, remembered.collect())
            }
            Context::Incremental { id, epoch } => {
                let outcomes = parts.iter_mut().map(|part| {
                    let outcome = part.outcome();
                    (part.place, outcome, &mut part.named)
                });
                if let Err(error) = self.sessions.answer(id, epoch, outcomes) {
                    let body = FetchResponse::default().with_error_code(error.code()).with_session_id(id);
                    return asked.reply(body, out);
                }
                id
            }
        };
        let named = parts.iter().filter(|part| part.named);
        let (mut body, records) = self.body(named, asked.version, read_committed, replica);
        body.session_id = session_id;
        for extent in records.iter().flatten() {
            let bytes = u64::from(extent.len);
            self.bytes_out += bytes;
            if replica.is_some() && self.slot(extent.log).is_some_and(|it| it.settings.throttled_as_leader) {
                self.leader_throttle.record(self.now.instant, bytes, &self.settings);
            }
        }
        let response = Response { records, ..Response::new(asked.version, body) };
        out.push(Effect::Reply { ticket: asked.ticket, response });
    }

    /// What is told of the parts, and the records that belong to it.
    fn body<'a>(
        &self,
        parts: impl Iterator<Item = &'a Part> + Clone,
        version: i16,
        read_committed: bool,
        replica: Option<BrokerId>,
    ) -> (FetchResponse, Vec<Option<Extent>>) {
        let mut body = FetchResponse::default();
        let mut records = Vec::with_capacity(parts.clone().count());
        for part in parts {
            records.push(part.seen.ok().and_then(|seen| seen.extent));
            let data = self.partition_data(part, version, read_committed, replica, &mut body.node_endpoints);
            let (name, id) = match &part.key.0 {
                TopicRef::Name(name) => (name.clone(), Uuid::nil()),
                TopicRef::Id(id) => (TopicName::default(), *id),
            };
            match body.responses.last_mut().filter(|last| last.topic == name && last.topic_id == id) {
                Some(topic) => topic.partitions.push(data),
                None => {
                    let mut topic = FetchableTopicResponse::default();
                    (topic.topic, topic.topic_id) = (name, id);
                    topic.partitions = vec![data];
                    match body.responses.is_empty() {
                        true => body.responses = vec![topic],
                        false => body.responses.push(topic),
                    }
                }
            }
        }
        (body, records)
    }

    /// Bytes of the answer that there would be, as Kafka counts them against quotas.
    fn answer_len(&self, fetching: &Fetching) -> u64 {
        let Fetching { asked, context, replica, read_committed, parts, .. } = fetching;
        let named = parts.iter().filter(|part| match *context {
            Context::Sessionless | Context::Full => true,
            Context::Incremental { id, .. } => self.sessions.would_name(id, part.place, &part.outcome()),
        });
        let (body, records) = self.body(named, asked.version, *read_committed, *replica);
        let records: u64 = records.iter().flatten().map(|extent| u64::from(extent.len)).sum();
        4 + body.compute_size(asked.version).unwrap_or(0) as u64 + records
    }

    /// The client must wait: it is given nothing, and its session stays where it is.
    fn silence(&mut self, fetching: Fetching, wait: Duration, out: &mut Vec<Effect>) {
        let Fetching { asked, context, .. } = fetching;
        let (session_id, code) = match context {
            Context::Sessionless | Context::Full => (0, error::NONE),
            Context::Incremental { id, epoch } => {
                let moved_on = self.sessions.epoch(id).is_some_and(|now| now != epoch);
                (id, if moved_on { ErrorCode::InvalidFetchSessionEpoch.code() } else { error::NONE })
            }
        };
        let body = FetchResponse::default()
            .with_throttle_time_ms(wait.as_millis() as i32)
            .with_session_id(session_id)
            .with_error_code(code);
        out.push(Effect::Mute { conn: asked.ticket.conn, until: self.now.instant + wait });
        asked.reply(body, out);
    }

    #[inline]
    fn partition_data(
        &self,
        part: &Part,
        version: i16,
        read_committed: bool,
        replica: Option<BrokerId>,
        endpoints: &mut Vec<NodeEndpoint>,
    ) -> PartitionData {
        let mut data = PartitionData::default();
        data.partition_index = part.key.1;
        data.records = None;
        match part.seen {
            Ok(seen) => {
                data.high_watermark = seen.high_watermark;
                data.last_stable_offset = seen.last_stable_offset;
                data.log_start_offset = if version >= 5 { seen.log_start_offset } else { -1 };
                data.aborted_transactions = read_committed.then(|| self.aborted_transactions(part));
                if let Some((epoch, end_offset)) = seen.diverges {
                    data.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
                }
                if let Some(BrokerId(preferred)) = seen.preferred {
                    data.preferred_read_replica = WireBroker(preferred);
                }
                data
            }
            Err(error) => {
                // Consumers before Fetch 6 know no storage errors.
                let told = if error == ErrorCode::KafkaStorageError && version <= 5 {
                    ErrorCode::NotLeaderOrFollower
                } else {
                    error
                };
                let unknown = matches!(error, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition);
                let mut data = data.with_error_code(told.code()).with_high_watermark(-1).with_aborted_transactions(
                    // What was refused by name never came to the log, which knows that there are none.
                    (read_committed || unknown).then(Vec::new),
                );
                // Followers hear of leaders from the controller.
                if replica.is_none()
                    && version >= 16
                    && matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
                {
                    self.name_fetch_leader(part, &mut data, endpoints);
                }
                data
            }
        }
    }

    /// Those that may have records in what is sent.
    fn aborted_transactions(&self, part: &Part) -> Vec<AbortedTransaction> {
        let partition = part.log.ok().and_then(|log| self.slot(log));
        let extent = part.seen.ok().and_then(|seen| seen.extent);
        let (Some(partition), Some(extent)) = (partition, extent) else { return Vec::new() };
        let aborted = partition.log.aborted_in(part.wanted.fetch_offset, &extent);
        let told = aborted.into_iter().map(|one| {
            let producer_id = ProducerId(one.producer_id);
            AbortedTransaction::default().with_producer_id(producer_id).with_first_offset(one.first_offset)
        });
        told.collect()
    }

    fn name_fetch_leader(&self, part: &Part, data: &mut PartitionData, endpoints: &mut Vec<NodeEndpoint>) {
        let Some(name) = self.name_by(&part.key.0) else { return };
        let (assignment, leader) = self.leader_of(name, part.key.1);
        let Some(assignment) = assignment else { return };
        data.current_leader = LeaderIdAndEpoch::default()
            .with_leader_id(WireBroker(assignment.leader.0))
            .with_leader_epoch(assignment.leader_epoch);
        if let Some(leader) = leader.filter(|leader| endpoints.iter().all(|known| known.node_id.0 != leader.id.0)) {
            endpoints.push(
                NodeEndpoint::default()
                    .with_node_id(WireBroker(leader.id.0))
                    .with_host(StrBytes::from_string(leader.host.clone()))
                    .with_port(i32::from(leader.port))
                    .with_rack(leader.rack.clone().map(StrBytes::from_string)),
            );
        }
    }
}

impl Part {
    fn outcome(&self) -> Outcome {
        match self.seen {
            Ok(seen) => Outcome {
                told: Told { high_watermark: seen.high_watermark, log_start_offset: seen.log_start_offset },
                has_records: seen.extent.is_some_and(|extent| extent.len > 0),
                has_advice: seen.diverges.is_some() || seen.preferred.is_some(),
                has_error: false,
            },
            Err(_) => Outcome { told: Told::NOTHING, has_records: false, has_advice: false, has_error: true },
        }
    }
}
