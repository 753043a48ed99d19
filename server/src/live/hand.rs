//! What a hand on the page does to the server: it is one more client, inside the process.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, MetadataRequest, ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ottla_core::broker::Event;
use ottla_core::client::SendRecord;
use ottla_core::client::admin::Errand;
use ottla_core::client::producer::partitioner::for_key;
use ottla_core::error::{self, ErrorCode};
use ottla_core::id::{BrokerId, Offset, Ticket};
use ottla_core::protocol::{Request, Response};
use ottla_core::record::{BatchBuilder, Compression, Header};
use ottla_core::time::Timestamp;
use ottla_core::view::Health;
use tokio::sync::mpsc::unbounded_channel;

use crate::connection::{Outbound, next_conn};
use crate::driver::{Handle, Inbox};
use crate::host::Host;
use crate::serve::Server;
use crate::splice::FileSlice;

/// The client.id of what is sent from the page.
const CLIENT_ID: &str = "page";
/// How long a topic that was just made may take to find its leader, and a leader to hear of it.
const PATIENCE: Duration = Duration::from_secs(5);
const TIMEOUT_MS: i32 = 30_000;

/// Produces one chosen record; gives where it lies: `orders-0@57`.
pub async fn send(server: &Arc<Server>, record: SendRecord) -> Result<String, String> {
    let topic = TopicName(StrBytes::from_string(record.topic));
    let timestamp = record.timestamp.map_or_else(|| server.live.clock.now().wall, Timestamp);
    let headers = record.headers.into_iter().map(|(key, value)| Header { key, value: value.map(Into::into) });
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers.collect::<Vec<_>>());
    let bytes = batch.build().bytes;
    let begin = Instant::now();
    loop {
        let (partition, leader) = leader(server, &topic, |count| match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => for_key(key, count) as i32,
            (None, None) => 0,
        })
        .await?;
        let broker = server.broker(leader).ok_or_else(|| format!("{leader} leads it and is not running"))?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(bytes.clone()));
        let data = TopicProduceData::default().with_name(topic.clone()).with_partition_data(vec![data]);
        let body = ProduceRequest::default().with_acks(1).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![data]);
        let (response, _) = ask(&broker, Some(CLIENT_ID), ApiKey::Produce, 9, RequestKind::Produce(body)).await?;
        let ResponseKind::Produce(produce) = *response.body else { return Err("no Produce response".into()) };
        let answer = produce.responses.first().and_then(|topic| topic.partition_responses.first());
        let answer = answer.ok_or("an empty Produce response")?;
        match ErrorCode::try_from_code(answer.error_code) {
            None => return Ok(format!("{}-{partition}@{}", topic.0, answer.base_offset)),
            // It has not heard yet that it leads, or hosts it; or it leads no more. Nothing is written then.
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower) if begin.elapsed() < PATIENCE => {
                tokio::time::sleep(BACKOFF).await;
            }
            Some(error) => return Err(explain(error.code(), answer.error_message.as_deref())),
        }
    }
}

/// Kafka's `default.api.timeout.ms` and `retry.backoff.ms` of those who ask for such things.
const API_TIMEOUT: Duration = Duration::from_secs(60);
const BACKOFF: Duration = Duration::from_millis(100);

/// Asks the cluster for what an operator wants of it; again while it has no controller.
pub async fn errand(server: &Arc<Server>, errand: &Errand) -> Result<String, String> {
    let begin = Instant::now();
    loop {
        match try_errand(server, errand).await? {
            Err((ErrorCode::NotController, _)) if begin.elapsed() < API_TIMEOUT => tokio::time::sleep(BACKOFF).await,
            Err((error, message)) => return Err(explain(error.code(), Some(&message))),
            Ok(done) => return Ok(done),
        }
    }
}

async fn try_errand(server: &Arc<Server>, errand: &Errand) -> Result<Result<String, (ErrorCode, String)>, String> {
    let broker = match (errand.taker(), errand.partition()) {
        (Some(id), _) => server.broker(id).ok_or_else(|| format!("{id} is not running"))?,
        (None, Some((topic, partition))) => {
            let topic = TopicName(StrBytes::from_string(topic.to_owned()));
            let (_, leader) = leader(server, &topic, |_| partition).await?;
            server.broker(leader).ok_or_else(|| format!("{leader} leads it and is not running"))?
        }
        (None, None) => anyone(server)?,
    };
    let (api, version, body) = errand.request(TIMEOUT_MS);
    let (response, _) = ask(&broker, Some(CLIENT_ID), api, version, body).await?;
    match errand.outcome(&response.body) {
        Some(outcome) => Ok(outcome.map(|()| match errand {
            Errand::Create { topic, partitions, .. } => format!("topic {topic} with {partitions} partitions"),
            _ => "done".to_owned(),
        })),
        None => Err(format!("no {api:?} response")),
    }
}

/// Where the batch that holds an offset lies, as a consumer would be given it; `None` where there is none.
pub async fn locate(broker: &Handle, topic: &str, partition: i32, offset: Offset) -> Option<(Offset, u32, FileSlice)> {
    let asked =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1);
    let topic = TopicName(StrBytes::from_string(topic.to_owned()));
    let topic = FetchTopic::default().with_topic(topic).with_partitions(vec![asked]);
    let body = FetchRequest::default().with_max_wait_ms(0).with_min_bytes(0).with_topics(vec![topic]);
    let (response, files) = ask(broker, None, ApiKey::Fetch, 11, RequestKind::Fetch(body)).await.ok()?;
    let extent = response.records.first().copied().flatten()?;
    Some((extent.segment, extent.position, files.into_iter().next().flatten()?))
}

/// The partition that is chosen when it is known how many there are, and its leader. A topic that is not there is made, where
/// the server allows it.
async fn leader(
    server: &Arc<Server>,
    topic: &TopicName,
    choose: impl Fn(usize) -> i32,
) -> Result<(i32, BrokerId), String> {
    let begin = Instant::now();
    loop {
        let asked = MetadataRequestTopic::default().with_name(Some(topic.clone()));
        let body = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
        let body = RequestKind::Metadata(body);
        let (response, _) = ask(&anyone(server)?, Some(CLIENT_ID), ApiKey::Metadata, 12, body).await?;
        let ResponseKind::Metadata(metadata) = *response.body else { return Err("no Metadata response".into()) };
        let answer = metadata.topics.first().ok_or("an empty Metadata response")?;
        let error = match ErrorCode::try_from_code(answer.error_code) {
            Some(error) => error,
            None => {
                let partition = choose(answer.partitions.len());
                let found = answer.partitions.iter().find(|it| it.partition_index == partition);
                let found = found.ok_or_else(|| format!("{} has no partition {partition}", topic.0))?;
                if found.leader_id.0 >= 0 {
                    return Ok((partition, BrokerId(found.leader_id.0)));
                }
                ErrorCode::LeaderNotAvailable
            }
        };
        if !error.is_retriable() || begin.elapsed() > PATIENCE {
            return Err(explain(error.code(), None));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A broker that answers.
fn anyone(server: &Server) -> Result<Handle, String> {
    let running = server.hosts.iter().find(|host| host.health() == Health::Running);
    running.and_then(Host::broker).ok_or_else(|| "no broker is running".to_owned())
}

/// Sends one request on a connection of its own. Without a client id it is not shown.
async fn ask(
    broker: &Handle,
    client_id: Option<&'static str>,
    api: ApiKey,
    version: i16,
    body: RequestKind,
) -> Result<(Response, Vec<Option<FileSlice>>), String> {
    let stopped = |_| "the broker stopped".to_owned();
    let conn = next_conn();
    let (replies, mut outbound) = unbounded_channel();
    broker.send(Inbox::Opened { conn, replies }).map_err(stopped)?;
    let request = Request::new(api, version, 0, client_id.map(StrBytes::from_static_str), body);
    let watched = client_id.map(|_| broker.live.hand(broker.id));
    let message = watched.as_ref().and_then(|watched| watched.request(&broker.live, &request, 0));
    let ticket = Ticket { conn, seq: 0 };
    broker.send(Inbox::Event(Event::Request { ticket, request })).map_err(stopped)?;
    let timeout = Duration::from_millis(TIMEOUT_MS as u64);
    let answer = async {
        loop {
            match outbound.recv().await {
                // There is nothing more to say on this connection.
                Some(Outbound::Limit | Outbound::Mute { .. }) => {}
                answer => return answer,
            }
        }
    };
    let answer = tokio::time::timeout(timeout, answer).await;
    let _ = broker.send(Inbox::Event(Event::Closed { conn }));
    let answer = answer.map_err(|_| format!("{} did not answer in {} s", broker.id, timeout.as_secs()))?;
    match answer {
        Some(Outbound::Reply { response, files, .. }) => {
            if let Some(watched) = watched {
                watched.response(&broker.live, message, 0, &response, &files);
            }
            Ok((response, files))
        }
        Some(Outbound::NoReply { .. } | Outbound::Limit | Outbound::Mute { .. }) => Err("no answer".into()),
        Some(Outbound::Close { why }) => Err(why),
        None => Err("the broker stopped".into()),
    }
}

/// An error in Kafka's words.
fn explain(code: i16, message: Option<&str>) -> String {
    match (ErrorCode::try_from_code(code), message) {
        (Some(error), message) => {
            let message = message.map_or_else(|| error::message(error), Cow::from);
            format!("{}: {message}", error::name(code))
        }
        (None, _) => format!("error {code}"),
    }
}
