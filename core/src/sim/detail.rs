//! What there is to see of one thing: message bodies, bytes of batches, facts.

use kafka_protocol::messages::ResponseKind;

use super::Simulation;
use super::inspect::describe;
use super::network::{Body, Connection, Header, Message};
use super::workload::App;
use crate::arrange::Arrange;
use crate::client::serdes::Serde;
use crate::protocol::fields;
use crate::record::{Batch, Record};
use crate::view::{BatchDetail, Detail, FactGroup, MessageDetail, MessageView, RecordView, Target};
use crate::zookeeper::{ToClient, ToServer};

/// Records that a detail shows.
const RECORDS: usize = 100;
/// Bytes of a batch that a detail shows.
const BYTES: usize = 4 << 10;
/// Bytes of a key, a value, a header that a detail shows.
const SHOWN: usize = 1 << 10;
/// Headers of a record that a detail shows.
const HEADERS: usize = 32;

/// A class that clients name, and how it reads.
type Reading = (&'static str, Serde);

impl Simulation {
    /// What there is to see of `target` now; `None` where it is not (any more).
    pub fn detail(&self, target: &Target) -> Option<Detail> {
        match target {
            Target::Message { id } => self.message_detail(*id).map(Detail::Message),
            Target::Batch { broker, topic, partition, offset } => {
                self.batch_at(*broker, topic, *partition, *offset).map(Detail::Batch)
            }
            Target::Broker { id } => self.broker_facts(*id).map(Detail::Facts),
            Target::Partition { broker, topic, partition } => {
                self.partition_facts(*broker, topic, *partition).map(Detail::Facts)
            }
            Target::ZooKeeper => Some(Detail::Facts(self.zookeeper_facts())),
            Target::Znode { path } => self.znode(path).map(Detail::Znode),
            // All that is known of it is in the view.
            Target::Group { .. } | Target::Transaction { .. } | Target::Topic { .. } => Some(Detail::Facts(Vec::new())),
            Target::Producer { name } | Target::Consumer { name } => {
                let facts = match &self.client_of(name)?.app {
                    App::Producer(producer) => producer.facts(),
                    App::Consumer(consumer) => consumer.facts(),
                    App::Admin(_) | App::Guest(_) => return None,
                };
                Some(Detail::Facts(facts))
            }
        }
    }

    fn message_detail(&self, id: u64) -> Option<MessageDetail> {
        let names = self.topic_names();
        let view = self.view().messages.into_iter().find(|message| message.id == id)?;
        let (connection, message) = self.network.message(id)?;
        let mut detail = of_body(connection, message, &names, view);
        if let Some((topic, partition, batch)) = first_batch(&message.body, &names) {
            detail.batch = Some(self.batch_detail(&topic, partition, &batch, None));
        }
        Some(detail)
    }

    fn batch_at(&self, broker: i32, topic: &str, partition: i32, offset: i64) -> Option<BatchDetail> {
        let (_, host) = self.hosts().find(|(_, host)| host.id().0 == broker)?;
        let directory = format!("{topic}-{partition}");
        let (segment, position) = host.disk.find(&directory, offset)?;
        let batch = Batch::parse(host.disk.batch(&directory, segment, position)?).ok()?;
        Some(self.batch_detail(topic, partition, &batch, Some((segment, position))))
    }

    fn batch_detail(&self, topic: &str, partition: i32, batch: &Batch, at: Option<(i64, u32)>) -> BatchDetail {
        decode(topic, partition, batch, at, &self.readings(topic, batch.header.producer_id))
    }

    /// What clients take the keys and the values of a topic for: first who wrote the batch, then who else writes to the topic,
    /// then who reads it.
    fn readings(&self, topic: &str, producer_id: i64) -> [Vec<Reading>; 2] {
        let apps = || self.clients().map(|(_, client)| &client.app);
        let producers = apps().filter_map(|app| match app {
            App::Producer(producer) => {
                let (serdes, id) = producer.serdes();
                let wrote = id >= 0 && id == producer_id;
                (wrote || producer.writes_to(topic)).then_some((!wrote, serdes))
            }
            _ => None,
        });
        let mut producers: Vec<_> = producers.collect();
        producers.arrange_by_key(|(other, _)| *other);
        let consumers = apps().filter_map(|app| match app {
            App::Consumer(consumer) => consumer.serdes(topic),
            _ => None,
        });
        let mut readings = [Vec::new(), Vec::new()];
        let written = producers.into_iter().map(|(_, serdes)| serdes.map(|serde| (serde.serializer(), serde)));
        for both in written.chain(consumers.map(|serdes| serdes.map(|serde| (serde.deserializer(), serde)))) {
            for (all, one) in readings.iter_mut().zip(both) {
                // Of bytes nobody says what they are.
                if !one.1.is_plain() && !all.iter().any(|known: &Reading| known.1 == one.1) {
                    all.push(one);
                }
            }
        }
        readings
    }

    fn broker_facts(&self, id: i32) -> Option<Vec<FactGroup>> {
        let (_, host) = self.hosts().find(|(_, host)| host.id().0 == id)?;
        let machine = group(
            "Machine",
            [
                ("process", if host.broker().is_some() { "running" } else { "dead" }.to_owned()),
                ("starts", host.incarnation.to_string()),
                ("bytes on disk", host.disk.bytes().to_string()),
            ],
        );
        let mut groups = host.broker().map_or_else(Vec::new, |broker| broker.broker_facts());
        groups.push(machine);
        Some(groups)
    }

    fn partition_facts(&self, broker: i32, topic: &str, partition: i32) -> Option<Vec<FactGroup>> {
        let (_, host) = self.hosts().find(|(_, host)| host.id().0 == broker)?;
        let segments = host.disk.segments(&format!("{topic}-{partition}"));
        let files = segments.iter().map(|(base, bytes)| (format!("{base:020}.log"), format!("{bytes} B"))).collect();
        let mut groups = match host.broker() {
            Some(broker) => broker.partition_facts(topic, partition)?,
            None => Vec::new(),
        };
        groups.push(FactGroup { title: "Files".to_owned(), facts: files });
        Some(groups)
    }
}

fn group<const N: usize>(title: &str, facts: [(&str, String); N]) -> FactGroup {
    FactGroup { title: title.to_owned(), facts: facts.map(|(name, value)| (name.to_owned(), value)).into() }
}

fn of_body(
    connection: &Connection,
    message: &Message,
    names: &crate::protocol::line::Names,
    view: MessageView,
) -> MessageDetail {
    let message_view = MessageView { line: describe(&message.body, names).line, ..view };
    let detail = MessageDetail { message: message_view, ..MessageDetail::default() };
    match &message.body {
        Body::Request(request) => MessageDetail {
            api: format!("{:?}", request.api_key),
            version: request.version,
            correlation_id: request.correlation_id,
            client_id: request.client_id.as_ref().map(|id| id.to_string()),
            fields: fields::of_request(request),
            ..detail
        },
        Body::Response { to: Header { api_key, correlation_id, .. }, response } => MessageDetail {
            api: format!("{api_key:?}"),
            version: response.version,
            correlation_id: *correlation_id,
            client_id: connection.client_id().map(str::to_owned),
            fields: fields::of_response(response),
            ..detail
        },
        Body::Call { request, .. } => {
            MessageDetail { api: "cluster".to_owned(), fields: request.to_string(), ..detail }
        }
        Body::Answer { response, .. } => {
            MessageDetail { api: "cluster".to_owned(), fields: response.to_string(), ..detail }
        }
        Body::ToZooKeeper(message) => {
            let xid = if let ToServer::Request { xid, .. } = message { *xid } else { 0 };
            let fields = fields::of_zookeeper(message);
            MessageDetail { api: "ZooKeeper".to_owned(), correlation_id: xid, fields, ..detail }
        }
        Body::FromZooKeeper(message) => {
            let xid = if let ToClient::Response { xid, .. } = &**message { *xid } else { 0 };
            let fields = fields::of_zookeeper(&**message);
            MessageDetail { api: "ZooKeeper".to_owned(), correlation_id: xid, fields, ..detail }
        }
        Body::Connect | Body::Accept | Body::Close | Body::Unreachable { .. } => detail,
    }
}

/// The first batch that a message carries: topic, partition, the batch.
fn first_batch(body: &Body, names: &crate::protocol::line::Names) -> Option<(String, i32, Batch)> {
    use kafka_protocol::messages::RequestKind;
    match body {
        Body::Request(request) => {
            let RequestKind::Produce(produce) = &request.body else { return None };
            let mut partitions = (produce.topic_data.iter())
                .flat_map(|topic| topic.partition_data.iter().map(move |partition| (topic, partition)))
                .zip(&request.batches);
            let ((topic, partition), checked) = partitions.find(|(_, checked)| checked.is_ok())?;
            let name = names.get(&topic.topic_id).unwrap_or(&topic.name);
            Some((name.0.to_string(), partition.index, checked.as_ref().ok()?.batch.clone()))
        }
        Body::Response { response, .. } => {
            let ResponseKind::Fetch(fetch) = &*response.body else { return None };
            let mut partitions = (fetch.responses.iter())
                .flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)));
            partitions.find_map(|(topic, partition)| {
                let batch = Batch::parse(partition.records.clone()?).ok()?;
                let name = names.get(&topic.topic_id).unwrap_or(&topic.topic);
                Some((name.0.to_string(), partition.partition_index, batch))
            })
        }
        _ => None,
    }
}

/// A batch with its header's fields, its records and its bytes; `at` is where it lies, if it lies anywhere.
pub fn batch_detail(topic: &str, partition: i32, batch: &Batch, at: Option<(i64, u32)>) -> BatchDetail {
    decode(topic, partition, batch, at, &[Vec::new(), Vec::new()])
}

fn decode(
    topic: &str,
    partition: i32,
    batch: &Batch,
    at: Option<(i64, u32)>,
    readings: &[Vec<Reading>; 2],
) -> BatchDetail {
    let (records, broken) = match Record::decode_first(batch, RECORDS) {
        Ok(records) => (records, None),
        Err(why) => (Vec::new(), Some(why.to_string())),
    };
    BatchDetail {
        topic: topic.to_owned(),
        partition,
        base_offset: batch.header.base_offset,
        last_offset: batch.header.last_offset(),
        at,
        header: batch.header.fields(),
        records: records.iter().map(|record| record_view(record, readings)).collect(),
        bytes: batch.bytes[..batch.bytes.len().min(BYTES)].to_vec(),
        size: batch.bytes.len() as u32,
        broken,
    }
}

fn record_view(record: &Record, [of_keys, of_values]: &[Vec<Reading>; 2]) -> RecordView {
    let shown = record.headers.iter().take(HEADERS);
    let shown = shown.map(|header| (text(header.key.as_bytes()), header.value.as_deref().map(text)));
    let rest = record.headers.len().saturating_sub(HEADERS);
    let headers = shown.chain((rest > 0).then(|| (format!("… and {rest} more"), None))).collect();
    let (key, key_read) = read(record.key.as_deref(), of_keys);
    let (value, value_read) = read(record.value.as_deref(), of_values);
    RecordView { offset: record.offset, timestamp: record.timestamp.0, key, value, key_read, value_read, headers }
}

/// What bytes are to the first that can read them, and what each of them says.
fn read(bytes: Option<&[u8]>, readings: &[Reading]) -> (Option<String>, Vec<(String, String)>) {
    let Some(bytes) = bytes else { return (None, Vec::new()) };
    let mut first = None;
    let all = readings.iter().map(|(class, serde)| match serde.read(bytes) {
        Ok(read) => {
            let read = read.unwrap_or_else(|| text(bytes));
            first.get_or_insert_with(|| read.clone());
            (class.to_string(), read)
        }
        Err(exception) => (class.to_string(), text(exception.to_string().as_bytes())),
    });
    let all = all.collect();
    (Some(first.unwrap_or_else(|| text(bytes))), all)
}

/// As text where it is UTF-8, else as `0x…`. What is long is cut, and its length told.
fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) => text.to_owned(),
        // A letter may be cut in two.
        Err(error) if error.error_len().is_none() && shown.len() < bytes.len() => {
            String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned()
        }
        Err(_) => shown.iter().fold("0x".to_owned(), |all, byte| format!("{all}{byte:02x}")),
    };
    if shown.len() < bytes.len() {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression, Header};
    use crate::time::Timestamp;

    #[test]
    fn a_value_is_what_the_first_class_reads_and_each_says_what_it_reads() {
        let by = |serde: Serde| (serde.deserializer(), serde);
        let readings = [by(Serde::Integer), by(Serde::String)];
        let said = |class: &str, read: &str| (class.to_owned(), read.to_owned());
        let (shown, read) = super::read(Some(&[0, 0, 0, 42]), &readings);
        assert_eq!(shown.as_deref(), Some("42"));
        assert_eq!(read, [said("IntegerDeserializer", "42"), said("StringDeserializer", "\0\0\0*")]);
        let (shown, read) = super::read(Some(b"hello"), &readings);
        assert_eq!(shown.as_deref(), Some("hello"));
        let why = "SerializationException: Size of data received by IntegerDeserializer is not 4";
        assert_eq!(read, [said("IntegerDeserializer", why), said("StringDeserializer", "hello")]);
        assert_eq!(super::read(Some(b"hello"), &readings[..1]).0.as_deref(), Some("hello"));
        assert_eq!(super::read(None, &readings), (None, Vec::new()));
    }

    #[test]
    fn a_record_of_any_size_is_shown_in_a_few_kilobytes() {
        let long = "é".repeat(1 << 20);
        let binary = vec![0xff; 1 << 20];
        let header = |n: usize| Header { key: format!("{n}{long}"), value: Some(binary.clone().into()) };
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1), Some(b"key"), Some(long.as_bytes()), &[header(1), header(2)]);
        let many: Vec<Header> = (0..1000).map(|_| Header { key: "k".into(), value: None }).collect();
        builder.append(Timestamp(1), Some(&binary), None, &many);
        let detail = batch_detail("orders", 0, &builder.build(), None);
        let [first, second] = &detail.records[..] else { panic!() };
        assert_eq!(first.key.as_deref(), Some("key"));
        let value = first.value.as_deref().unwrap();
        assert!(value.starts_with("éé") && value.ends_with("é… (2097152 bytes)"), "{value}");
        assert!(second.key.as_deref().unwrap().ends_with("ff… (1048576 bytes)"));
        assert_eq!(second.headers.last().unwrap().0, "… and 968 more");
        let shown = format!("{:?}", detail.records).len();
        assert!(shown < 20_000, "{shown}");
    }
}
