//! Produce: appends batches, and replies when `acks` are met.
//!
//! acks=0 has no reply; where something is wrong the connection is closed, so that the client looks again who leads.
//! acks=1 waits until the driver has written the batch, acks=all until the high watermark is past it. From version 13
//! topics are named by id; from 10 NOT_LEADER_OR_FOLLOWER says who leads.
//!
//! A batch of an idempotent producer follows on the one before it, or is refused; one that is there already is answered
//! as if it had just been appended, with the offset and the timestamp that it has.

pub(in crate::broker) mod hold;

use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId as WireBroker, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::purgatory::Parked;
use crate::broker::{Broker, Effect};
use crate::coordinator::topic::{ADMIN_CLIENT, is_internal};
use crate::error::{self, ErrorCode};
use crate::id::{LogId, Offset, TopicPartition};
use crate::log::{Origin, Placed, Verified};
use crate::partition::Until;
use crate::record::check::{Checked, Invalid};
use crate::time::{Duration, Instant};
use hold::Looked;

/// A Produce whose batches are placed, on its way to being acknowledged.
#[derive(Clone)]
pub struct Producing {
    pub asked: Asked,
    /// Only acks=all can be waited for in vain.
    pub deadline: Option<Instant>,
    response: ProduceResponse,
    waits: Vec<Wait>,
    /// How many of `waits` are not done.
    left: usize,
}

/// One batch, and where the response speaks of it.
#[derive(Clone, Copy)]
struct Wait {
    topic: usize,
    partition: usize,
    log: LogId,
    end: Offset,
    /// It was there already: what it waits for may have happened.
    is_twin: bool,
    done: bool,
}

impl Producing {
    /// What each batch waits for.
    pub fn ends(&self) -> impl Iterator<Item = (LogId, Offset)> {
        self.waits.iter().map(|wait| (wait.log, wait.end))
    }

    /// One batch is done, well or not. True when it was the last.
    pub fn settle(&mut self, wait: usize, result: Result<(), ErrorCode>) -> bool {
        let wait = &mut self.waits[wait];
        if !std::mem::replace(&mut wait.done, true) {
            self.left -= 1;
            if let Err(error) = result {
                let partition = &mut self.response.responses[wait.topic].partition_responses[wait.partition];
                partition.error_code = error.code();
            }
        }
        self.left == 0
    }

    /// The time is up for all that is not done.
    pub fn expire(mut self, out: &mut Vec<Effect>) {
        for wait in 0..self.waits.len() {
            self.settle(wait, Err(ErrorCode::RequestTimedOut));
        }
        self.asked.reply(self.response, out);
    }
}

/// A Produce that nothing has been done for.
#[derive(Clone)]
pub struct Held {
    pub asked: Asked,
    body: ProduceRequest,
    /// One for each partition of the body.
    batches: Vec<Result<Checked, Invalid>>,
}

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: ProduceRequest,
    batches: Vec<Result<Checked, Invalid>>,
    out: &mut Vec<Effect>,
) {
    if let Some(held) = broker.holds.queue(Held { asked, body, batches }) {
        produce(broker, held, out);
    }
}

fn produce(broker: &mut Broker, held: Held, out: &mut Vec<Effect>) {
    let transactional = |checked: &Checked| checked.batch.header.is_transactional();
    let refused = match held.body.acks {
        _ if held.body.transactional_id.is_none() && held.batches.iter().flatten().any(transactional) => {
            Some(ErrorCode::TransactionalIdAuthorizationFailed)
        }
        -1..=1 => None,
        _ => Some(ErrorCode::InvalidRequiredAcks),
    };
    match refused {
        Some(error) => append_all(broker, held, Before::Refused(error), out),
        None if held.body.transactional_id.is_none() => append_all(broker, held, Before::Nothing, out),
        None => broker.look_at_transaction(held, out),
    }
}

/// What is known before the batches are appended.
#[derive(Clone, Copy)]
enum Before<'a> {
    Nothing,
    /// None of them is.
    Refused(ErrorCode),
    Looked(&'a Looked),
}

fn append_all(broker: &mut Broker, held: Held, before: Before<'_>, out: &mut Vec<Effect>) {
    let Held { asked, body, batches } = held;
    let mut response = ProduceResponse::default().with_responses(Vec::with_capacity(body.topic_data.len()));
    let mut waits: Vec<Wait> = Vec::with_capacity(batches.len());
    let mut first_error = None;
    let mut batches = batches.into_iter();
    for topic in body.topic_data {
        let name = broker.topic_name(asked.version >= 13, &topic.name, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for partition in topic.partition_data {
            // `Request` holds one for each partition of the body.
            let Some(batch) = batches.next() else { break };
            let index = partition.index;
            let placed = match (&name, before) {
                (Err(error), _) => Err(Refused::plain(*error)),
                (Ok(name), before) => append(broker, &asked, name, index, body.acks, batch, before, out),
            };
            partitions.push(match placed {
                Ok(Appended { log, placed, is_twin, log_start_offset }) => {
                    let (topic, partition, end) = (response.responses.len(), partitions.len(), placed.last_offset + 1);
                    waits.push(Wait { topic, partition, log, end, is_twin, done: false });
                    PartitionProduceResponse::default()
                        .with_index(index)
                        .with_base_offset(placed.base_offset)
                        .with_log_append_time_ms(placed.append_time.map_or(-1, |time| time.0))
                        .with_log_start_offset(log_start_offset)
                }
                Err(refused) => {
                    first_error.get_or_insert(refused.invalid.error);
                    let mut answer = refused.answer(index);
                    if let (Ok(name), ErrorCode::NotLeaderOrFollower, 10..) =
                        (&name, refused.invalid.error, asked.version)
                    {
                        name_leader(broker, name, &mut answer, &mut response.node_endpoints);
                    }
                    answer
                }
            });
        }
        response.responses.push(
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_partition_responses(partitions),
        );
    }

    match body.acks {
        0 => match first_error {
            None => out.push(Effect::NoReply { ticket: asked.ticket }),
            Some(error) => {
                let why = format!(
                    "Closing connection due to error during produce request with acks=0: {}",
                    error::name(error.code())
                );
                out.push(Effect::Close { conn: asked.ticket.conn, why });
            }
        },
        _ if waits.is_empty() => asked.reply(response, out),
        acks => {
            let timeout = Duration::from_millis(body.timeout_ms.max(0) as u64);
            let (until, deadline) = match acks {
                1 => (Until::Written, None),
                _ => (Until::Committed, Some(asked.now.instant + timeout)),
            };
            let (ticket, left) = (asked.ticket, waits.len());
            let twins: Vec<(usize, LogId, Offset)> =
                (0..).zip(&waits).filter(|(_, one)| one.is_twin).map(|(at, one)| (at, one.log, one.end)).collect();
            let producing = Box::new(Producing { asked, deadline, response, waits, left });
            broker.purgatory.park(ticket, Parked::Produce(producing), until);
            for (wait, log, end) in twins {
                if let Some(result) = broker.slot(log).and_then(|partition| partition.has(until, end)) {
                    broker.settle(ticket, wait, result, out);
                }
            }
        }
    }
}

/// A batch that was taken.
struct Appended {
    log: LogId,
    placed: Placed,
    is_twin: bool,
    log_start_offset: Offset,
}

/// Why a batch was not taken.
struct Refused {
    invalid: Invalid,
    /// What its message says, where that is told to whoever asked.
    told: Option<String>,
    /// Kafka tells it with those errors that only the log itself can find.
    log_start_offset: Offset,
}

impl Refused {
    fn plain(error: ErrorCode) -> Refused {
        let invalid = Invalid::new(error, "");
        Refused { invalid, told: None, log_start_offset: -1 }
    }

    /// With a message.
    fn told(error: ErrorCode, message: String) -> Refused {
        Refused { told: Some(message), ..Refused::plain(error) }
    }

    fn answer(&self, index: i32) -> PartitionProduceResponse {
        let record_errors = self.invalid.record_errors.iter().map(|(batch_index, message)| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(*batch_index)
                .with_batch_index_error_message(Some(StrBytes::from_string(message.clone())))
        });
        let told = self.told.as_deref();
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(self.invalid.error.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(self.log_start_offset)
            .with_record_errors(record_errors.collect())
            .with_error_message(told.map(|message| StrBytes::from_string(message.to_owned())))
    }
}

#[allow(clippy::too_many_arguments)]
fn append(
    broker: &mut Broker,
    asked: &Asked,
    topic: &TopicName,
    index: i32,
    acks: i16,
    batch: Result<Checked, Invalid>,
    before: Before<'_>,
    out: &mut Vec<Effect>,
) -> Result<Appended, Refused> {
    let log = broker.hosted(topic, index);
    if let Err(error @ ErrorCode::UnknownTopicOrPartition) = log {
        return Err(Refused::plain(error));
    }
    let batch = match batch {
        Err(invalid) if invalid.at_sight => return Err(Refused { invalid, told: None, log_start_offset: -1 }),
        batch => batch,
    };
    if is_internal(topic) && asked.client_id.as_deref() != Some(ADMIN_CLIENT) {
        return Err(Refused::plain(ErrorCode::InvalidTopicException));
    }
    let guard = match before {
        Before::Nothing => None,
        Before::Refused(error) => return Err(Refused::plain(error)),
        Before::Looked(looked) => looked.guard(&TopicPartition::new(topic.clone(), index))?,
    };
    let log = log.map_err(Refused::plain)?;
    let verified = Verified { guard, required: broker.settings.transactions.verification_enable };
    let Some(partition) = broker.partition_mut(log) else {
        return Err(Refused::plain(ErrorCode::NotLeaderOrFollower));
    };
    let mut bytes = 0;
    let end = partition.log.end();
    let placed = batch.and_then(|checked| {
        bytes = checked.batch.bytes.len();
        partition.append(asked.now, acks, checked, Origin::Client(verified), out)
    });
    let log_start_offset = partition.log.log_start_offset();
    match placed {
        Ok(placed) => {
            let flush = partition.log.deadline();
            let is_twin = partition.log.end() == end;
            if !is_twin {
                broker.appending(log, bytes, flush);
            }
            Ok(Appended { log, placed, is_twin, log_start_offset })
        }
        Err(invalid) => {
            let tells_start = !matches!(
                invalid.error,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::MessageTooLarge
                    | ErrorCode::RecordListTooLarge
                    | ErrorCode::CorruptMessage
                    | ErrorCode::UnsupportedCompressionType
            );
            let told = invalid.told().map(str::to_owned);
            Err(Refused { invalid, told, log_start_offset: if tells_start { log_start_offset } else { -1 } })
        }
    }
}

/// Says in an answer who leads, and where it listens.
fn name_leader(
    broker: &Broker,
    topic: &TopicName,
    answer: &mut PartitionProduceResponse,
    endpoints: &mut Vec<NodeEndpoint>,
) {
    let (assignment, leader) = broker.leader_of(topic, answer.index);
    let Some(assignment) = assignment else { return };
    answer.current_leader = LeaderIdAndEpoch::default()
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

impl Broker {
    /// All batches of a Produce are done.
    pub(in crate::broker) fn produced(&self, mut producing: Box<Producing>, out: &mut Vec<Effect>) {
        if producing.asked.version >= 10 {
            self.name_leaders(&mut producing);
        }
        producing.asked.reply(producing.response, out);
    }

    /// Says who leads now what this broker led when it took the batches.
    fn name_leaders(&self, producing: &mut Producing) {
        let ProduceResponse { responses, node_endpoints, .. } = &mut producing.response;
        for wait in &producing.waits {
            let answer = &mut responses[wait.topic].partition_responses[wait.partition];
            if answer.error_code == ErrorCode::NotLeaderOrFollower.code()
                && let Some(partition) = self.slot(wait.log)
            {
                name_leader(self, &partition.name.topic, answer, node_endpoints);
            }
        }
    }
}
