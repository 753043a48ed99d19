//! One line for a message: what a person wants to read of it.
//!
//! `Produce v12 orders-1 3 records 212 B acks=1`, `Fetch v17 orders-0@57 max.wait.ms=500`,
//! `Fetch v17 orders-0 212 B high_watermark=60`. From some version on clients name topics by id only, so a line takes
//! the names by id; an id that is not among them is printed.

mod group;
mod share;
mod transaction;

use std::fmt::{self, Debug, Write};

use kafka_protocol::messages::{RequestKind, ResponseKind, TopicName};
use uuid::Uuid;

use super::request::follower;
use super::{Request, Response};
use crate::error;
use crate::vec_map::VecMap;
use crate::view::MessageKind;

/// Topics by id.
pub type Names = VecMap<Uuid, TopicName>;

/// Partitions that a line names; the rest is a number.
const MOST: usize = 3;

/// Which mark a request is drawn as.
pub fn request_kind(body: &RequestKind) -> MessageKind {
    match body {
        RequestKind::Produce(_) => MessageKind::Produce,
        RequestKind::Fetch(fetch) if follower(fetch).is_some() => MessageKind::ReplicaFetch,
        RequestKind::Fetch(_) => MessageKind::Fetch,
        _ => MessageKind::Other,
    }
}

/// The topic that a request is about, if it is about one.
pub fn request_topic(body: &RequestKind, names: &Names) -> Option<TopicName> {
    match body {
        RequestKind::Produce(body) => {
            body.topic_data.first().and_then(|topic| resolve(&topic.name, topic.topic_id, names))
        }
        RequestKind::Fetch(body) => body.topics.first().and_then(|topic| resolve(&topic.topic, topic.topic_id, names)),
        RequestKind::ListOffsets(body) => body.topics.first().map(|topic| topic.name.clone()),
        RequestKind::OffsetForLeaderEpoch(body) => body.topics.first().map(|topic| topic.topic.clone()),
        RequestKind::OffsetCommit(body) => body.topics.first().map(|topic| topic.name.clone()),
        RequestKind::CreateTopics(body) => body.topics.first().map(|topic| topic.name.clone()),
        RequestKind::CreatePartitions(body) => body.topics.first().map(|topic| topic.name.clone()),
        RequestKind::Metadata(body) => {
            body.topics.as_ref()?.first().and_then(|topic| resolve_maybe(topic.name.as_ref(), topic.topic_id, names))
        }
        _ => None,
    }
}

/// The topic that a response is about, if it is about one.
pub fn response_topic(body: &ResponseKind, names: &Names) -> Option<TopicName> {
    match body {
        ResponseKind::Produce(body) => {
            body.responses.first().and_then(|topic| resolve(&topic.name, topic.topic_id, names))
        }
        ResponseKind::Fetch(body) => {
            body.responses.first().and_then(|topic| resolve(&topic.topic, topic.topic_id, names))
        }
        ResponseKind::ListOffsets(body) => body.topics.first().map(|topic| topic.name.clone()),
        ResponseKind::OffsetForLeaderEpoch(body) => body.topics.first().map(|topic| topic.topic.clone()),
        ResponseKind::OffsetCommit(body) => body.topics.first().map(|topic| topic.name.clone()),
        ResponseKind::CreateTopics(body) => body.topics.first().map(|topic| topic.name.clone()),
        ResponseKind::Metadata(body) => match &body.topics[..] {
            [topic] => resolve_maybe(topic.name.as_ref(), topic.topic_id, names),
            _ => None,
        },
        _ => None,
    }
}

/// Does a response say that something went wrong?
pub fn is_error(body: &ResponseKind) -> bool {
    first_error(body) != error::NONE
}

/// The first error code in a response; 0 where all went well. Looks into the APIs that are served.
pub fn first_error(body: &ResponseKind) -> i16 {
    fn first(codes: impl IntoIterator<Item = i16>) -> i16 {
        codes.into_iter().find(|&code| code != error::NONE).unwrap_or(error::NONE)
    }
    match body {
        ResponseKind::Produce(body) => first(
            body.responses.iter().flat_map(|topic| &topic.partition_responses).map(|partition| partition.error_code),
        ),
        ResponseKind::Fetch(body) => first(
            [body.error_code]
                .into_iter()
                .chain(body.responses.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code)),
        ),
        ResponseKind::ListOffsets(body) => {
            first(body.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code))
        }
        ResponseKind::OffsetForLeaderEpoch(body) => {
            first(body.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code))
        }
        ResponseKind::Metadata(body) => {
            first([body.error_code].into_iter().chain(body.topics.iter().map(|topic| topic.error_code)))
        }
        ResponseKind::ApiVersions(body) => body.error_code,
        ResponseKind::CreateTopics(body) => first(body.topics.iter().map(|topic| topic.error_code)),
        ResponseKind::DeleteTopics(body) => first(body.responses.iter().map(|topic| topic.error_code)),
        ResponseKind::CreatePartitions(body) => first(body.results.iter().map(|result| result.error_code)),
        ResponseKind::DescribeTopicPartitions(body) => first(body.topics.iter().map(|topic| topic.error_code)),
        ResponseKind::DescribeConfigs(body) => first(body.results.iter().map(|result| result.error_code)),
        ResponseKind::AlterConfigs(body) => first(body.responses.iter().map(|result| result.error_code)),
        ResponseKind::IncrementalAlterConfigs(body) => first(body.responses.iter().map(|result| result.error_code)),
        ResponseKind::DescribeCluster(body) => body.error_code,
        ResponseKind::ListConfigResources(body) => body.error_code,
        ResponseKind::DescribeLogDirs(body) => {
            first([body.error_code].into_iter().chain(body.results.iter().map(|directory| directory.error_code)))
        }
        ResponseKind::InitProducerId(body) => body.error_code,
        body => {
            let codes = group::error_codes(body).into_iter().chain(transaction::error_codes(body));
            first(codes.chain(share::error_codes(body)))
        }
    }
}

/// The line of a request.
pub fn request(request: &Request, names: &Names) -> String {
    let mut line = format!("{:?} v{}", request.api_key, request.version);
    write_request(request, names, &mut line);
    line
}

/// The line of a response.
pub fn response(response: &Response, names: &Names) -> String {
    let mut line = String::new();
    write_response(response, names, &mut line);
    line
}

/// With topic ids where there are no names.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&request(self, &Names::new()))
    }
}

/// With topic ids where there are no names.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&response(self, &Names::new()))
    }
}

// Writing to a string cannot fail, so the results of `write!` are not looked at below.

fn write_request(request: &Request, names: &Names, line: &mut String) {
    match &request.body {
        RequestKind::Produce(body) => {
            let partitions = body.topic_data.iter().flat_map(|topic| {
                topic.partition_data.iter().map(move |partition| (&topic.name, topic.topic_id, partition.index))
            });
            let mut batches = request.batches.iter();
            list(line, partitions, |line, (name, id, index)| {
                write_partition(line, name, id, index, names);
                match batches.next() {
                    Some(Ok(checked)) => {
                        write_count(line, checked.batch.header.record_count, "record");
                        let _ = write!(line, " {} B", checked.batch.bytes.len());
                    }
                    Some(Err(invalid)) => {
                        let _ = write!(line, " {}", error::name(invalid.error.code()));
                    }
                    None => {}
                }
            });
            let _ = match body.acks {
                -1 => write!(line, " acks=all"),
                acks => write!(line, " acks={acks}"),
            };
        }
        RequestKind::Fetch(body) => {
            let partitions = body.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| (&topic.topic, topic.topic_id, partition))
            });
            list(line, partitions, |line, (name, id, partition)| {
                write_partition(line, name, id, partition.partition, names);
                let _ = write!(line, "@{}", partition.fetch_offset);
            });
            if body.session_id != 0 {
                let _ = write!(line, " session={}#{}", body.session_id, body.session_epoch);
            }
            let _ = write!(line, " max.wait.ms={}", body.max_wait_ms);
            if body.min_bytes > 1 {
                let _ = write!(line, " min.bytes={}", body.min_bytes);
            }
        }
        RequestKind::ListOffsets(body) => {
            let partitions = body
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |partition| (&topic.name, partition)));
            list(line, partitions, |line, (name, partition)| {
                let _ = write!(line, " {}-{} ", name.0, partition.partition_index);
                let _ = match partition.timestamp {
                    -1 => write!(line, "latest"),
                    -2 => write!(line, "earliest"),
                    -3 => write!(line, "max timestamp"),
                    -4 => write!(line, "earliest local"),
                    -5 => write!(line, "latest tiered"),
                    timestamp => write!(line, "at {timestamp}"),
                };
            });
        }
        RequestKind::OffsetForLeaderEpoch(body) => {
            let partitions = body
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |partition| (&topic.topic, partition)));
            list(line, partitions, |line, (name, partition)| {
                let _ = write!(line, " {}-{} epoch {}", name.0, partition.partition, partition.leader_epoch);
            });
        }
        RequestKind::Metadata(body) => match &body.topics {
            None => line.push_str(" all topics"),
            Some(topics) if topics.is_empty() && request.version == 0 => line.push_str(" all topics"),
            Some(topics) if topics.is_empty() => line.push_str(" no topics"),
            Some(topics) => list(line, topics.iter(), |line, topic| {
                line.push(' ');
                match resolve_maybe(topic.name.as_ref(), topic.topic_id, names) {
                    Some(name) => line.push_str(&name.0),
                    None => {
                        let _ = write!(line, "{}", topic.topic_id);
                    }
                }
            }),
        },
        RequestKind::ApiVersions(body) if !body.client_software_name.is_empty() => {
            let _ = write!(line, " {} {}", body.client_software_name, body.client_software_version);
        }
        RequestKind::CreateTopics(body) => list(line, body.topics.iter(), |line, topic| {
            let _ = write!(line, " {}", topic.name.0);
            if topic.assignments.is_empty() {
                let _ = write!(
                    line,
                    " partitions={} replication.factor={}",
                    topic.num_partitions, topic.replication_factor
                );
            }
            for config in &topic.configs {
                let _ = write!(line, " {}={}", config.name, config.value.as_deref().unwrap_or("null"));
            }
        }),
        RequestKind::CreatePartitions(body) => list(line, body.topics.iter(), |line, topic| {
            let _ = write!(line, " {} partitions={}", topic.name.0, topic.count);
        }),
        RequestKind::DeleteTopics(body) => {
            let named =
                body.topics.iter().filter_map(|topic| resolve_maybe(topic.name.as_ref(), topic.topic_id, names));
            list(line, named.chain(body.topic_names.iter().cloned()), |line, name| {
                let _ = write!(line, " {}", name.0);
            });
        }
        body => {
            group::write_request(body, names, line);
            transaction::write_request(body, line);
            share::write_request(body, names, line);
        }
    }
}

fn write_response(response: &Response, names: &Names, line: &mut String) {
    let _ = write!(line, "{} v{}", variant(&response.body), response.version);
    match &*response.body {
        ResponseKind::Produce(body) => {
            let partitions = body.responses.iter().flat_map(|topic| {
                topic.partition_responses.iter().map(move |partition| (&topic.name, topic.topic_id, partition))
            });
            list(line, partitions, |line, (name, id, partition)| {
                write_partition(line, name, id, partition.index, names);
                if partition.error_code != error::NONE {
                    let _ = write!(line, " {}", error::name(partition.error_code));
                } else {
                    let _ = write!(line, "@{}", partition.base_offset);
                }
            });
        }
        ResponseKind::Fetch(body) => {
            write_error(line, body.error_code);
            let mut records = response.records.iter();
            let partitions = body.responses.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| (&topic.topic, topic.topic_id, partition))
            });
            list(line, partitions, |line, (name, id, partition)| {
                write_partition(line, name, id, partition.partition_index, names);
                if partition.error_code != error::NONE {
                    let _ = write!(line, " {}", error::name(partition.error_code));
                } else {
                    let stored = records.next().copied().flatten().map(|extent| extent.len as usize);
                    let bytes = stored.or(partition.records.as_ref().map(|records| records.len())).unwrap_or(0);
                    let _ = write!(line, " {bytes} B high_watermark={}", partition.high_watermark);
                    if partition.diverging_epoch.epoch >= 0 {
                        let diverging = &partition.diverging_epoch;
                        let _ = write!(line, " diverges: epoch {} ends at {}", diverging.epoch, diverging.end_offset);
                    }
                    if partition.preferred_read_replica.0 >= 0 {
                        let _ = write!(line, " preferred_read_replica={}", partition.preferred_read_replica.0);
                    }
                }
            });
            if body.session_id != 0 {
                let _ = write!(line, " session={}", body.session_id);
            }
        }
        ResponseKind::ListOffsets(body) => {
            let partitions = body
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |partition| (&topic.name, partition)));
            list(line, partitions, |line, (name, partition)| {
                let _ = write!(line, " {}-{}", name.0, partition.partition_index);
                if partition.error_code != error::NONE {
                    let _ = write!(line, " {}", error::name(partition.error_code));
                } else {
                    let _ = write!(line, "@{}", partition.offset);
                }
            });
        }
        ResponseKind::OffsetForLeaderEpoch(body) => {
            let partitions = body
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(move |partition| (&topic.topic, partition)));
            list(line, partitions, |line, (name, partition)| {
                let _ = write!(line, " {}-{}", name.0, partition.partition);
                if partition.error_code != error::NONE {
                    let _ = write!(line, " {}", error::name(partition.error_code));
                } else {
                    let _ = write!(line, " epoch {} ends at {}", partition.leader_epoch, partition.end_offset);
                }
            });
        }
        ResponseKind::Metadata(body) => {
            write_error(line, first_error(&response.body));
            write_count(line, body.brokers.len() as i32, "broker");
            write_count(line, body.topics.len() as i32, "topic");
        }
        ResponseKind::ApiVersions(body) => {
            write_error(line, body.error_code);
            write_count(line, body.api_keys.len() as i32, "API");
        }
        body => {
            if share::write_response(response, names, line) {
                return;
            }
            write_error(line, first_error(body));
            group::write_response(body, names, line);
            transaction::write_response(body, line);
        }
    }
}

/// ` a b c +7`: what `item` writes for the first few, and how many more there are.
fn list<T>(line: &mut String, items: impl Iterator<Item = T>, mut item: impl FnMut(&mut String, T)) {
    let mut more = 0;
    for (index, each) in items.enumerate() {
        if index < MOST {
            item(line, each);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let _ = write!(line, " +{more}");
    }
}

fn write_partition(line: &mut String, name: &TopicName, id: Uuid, index: i32, names: &Names) {
    let _ = match resolve(name, id, names) {
        Some(name) => write!(line, " {}-{index}", name.0),
        None => write!(line, " {id}-{index}"),
    };
}

fn write_error(line: &mut String, code: i16) {
    if code != error::NONE {
        let _ = write!(line, " {}", error::name(code));
    }
}

fn write_count(line: &mut String, count: i32, noun: &str) {
    let _ = write!(line, " {count} {noun}{}", if count == 1 { "" } else { "s" });
}

/// The topic's name, given or known by its id.
fn resolve(name: &TopicName, id: Uuid, names: &Names) -> Option<TopicName> {
    if name.0.is_empty() { names.get(&id).cloned() } else { Some(name.clone()) }
}

fn resolve_maybe(name: Option<&TopicName>, id: Uuid, names: &Names) -> Option<TopicName> {
    name.cloned().or_else(|| names.get(&id).cloned())
}

/// The name of an enum's variant, without printing what is in it.
pub(super) fn variant(value: &dyn Debug) -> String {
    struct Head(String);
    impl fmt::Write for Head {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            match text.split_once('(') {
                // An error ends the printing here.
                Some((head, _)) => {
                    self.0.push_str(head);
                    Err(fmt::Error)
                }
                None => {
                    self.0.push_str(text);
                    Ok(())
                }
            }
        }
    }
    let mut head = Head(String::new());
    let _ = write!(head, "{value:?}");
    head.0
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{ApiKey, FetchRequest, ProduceResponse};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_fetch_names_topics_that_it_knows_by_id() {
        let id = Uuid::from_u128(7);
        let names = Names::from([(id, TopicName(StrBytes::from_static_str("orders")))]);
        let partitions =
            (0..5).map(|index| FetchPartition::default().with_partition(index).with_fetch_offset(57)).collect();
        let topic = FetchTopic::default().with_topic_id(id).with_partitions(partitions);
        let body = FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![topic]);
        let fetch = Request {
            len: 0,
            api_key: ApiKey::Fetch,
            version: 17,
            correlation_id: 1,
            client_id: None,
            host: None,
            body: body.into(),
            batches: Vec::new(),
        };
        assert_eq!(request(&fetch, &names), "Fetch v17 orders-0@57 orders-1@57 orders-2@57 +2 max.wait.ms=500");
    }

    #[test]
    fn a_response_says_what_went_wrong_in_kafkas_words() {
        let partition =
            PartitionProduceResponse::default().with_error_code(ErrorCode::NotLeaderOrFollower.code()).with_index(1);
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_responses(vec![partition]);
        let body = ResponseKind::Produce(ProduceResponse::default().with_responses(vec![topic]));
        assert!(is_error(&body));
        assert_eq!(Response::new(12, body).to_string(), "Produce v12 orders-1 NOT_LEADER_OR_FOLLOWER");
    }
}
