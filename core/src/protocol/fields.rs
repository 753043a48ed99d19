//! The fields of a message as people read them: the real struct, an indented line for each field.
//!
//! Every message has a `Debug` form that names all its fields; this takes that text apart and leaves the noise out:
//! braces, wrappers with one value, tagged fields that nobody sent; and, of the messages that are seen most, what their
//! version does not carry ([`SPOKEN`]).
//!
//! ```text
//! acks: 1
//! timeout_ms: 30000
//! topic_data:
//!   - name: "orders"
//!     partition_data:
//!       - index: 0
//! ```

use std::fmt::{Debug, Write};
use std::ops::RangeInclusive;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::{Request, Response};
use crate::error;

/// A Produce's records stand beside the body, by partition, as far as they are batches.
pub fn of_request(request: &Request) -> String {
    let text = print(&request.body, request.version);
    if !matches!(request.body, RequestKind::Produce(_)) {
        return text;
    }
    let mut batches = request.batches.iter();
    let line = |line: &str| {
        let Some(before) = line.strip_suffix("records: null") else { return format!("{line}\n") };
        match batches.next() {
            Some(Ok(checked)) => format!("{before}records: {} bytes\n", checked.batch.bytes.len()),
            Some(Err(invalid)) => format!("{before}records: refused, {}\n", error::name(invalid.error.code())),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// A Fetch's records travel beside the body, by partition; where there are none the wire has them empty, not null.
pub fn of_response(response: &Response) -> String {
    let text = print(&*response.body, response.version);
    if !matches!(*response.body, ResponseKind::Fetch(_)) {
        return text;
    }
    let mut extents = response.records.iter();
    let line = |line: &str| {
        let Some(field) = line.find("records:") else { return format!("{line}\n") };
        let len = extents.next().and_then(Option::as_ref).map_or(0, |extent| extent.len);
        let untold = line.ends_with("records: null");
        match untold || line.ends_with("records: b\"\"") {
            true if len == 0 => format!("{}records: empty\n", &line[..field]),
            true => format!("{}records: {len} bytes\n", &line[..field]),
            false => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// What goes to ZooKeeper or comes from it.
pub fn of_zookeeper(message: &impl Debug) -> String {
    print(message, 0)
}

fn print(message: &dyn Debug, version: i16) -> String {
    let text = format!("{message:?}");
    // The name of the innermost struct comes last before the fields.
    let name = text.split([' ', '{']).next().and_then(|names| names.rsplit('(').next()).unwrap_or("");
    let spoken = SPOKEN.iter().find(|(message, _)| *message == name).map_or(&[][..], |(_, fields)| fields);
    let mut printer = Printer { out: String::with_capacity(text.len()), version, spoken };
    match (Parser { rest: &text }).value() {
        Value::Struct(fields) => printer.fields(&fields, 0),
        other => printer.value(&other, 0),
    }
    printer.out
}

/// In which versions a field is on the wire, as the message's definition says it; fields that all of its versions have are
/// left out, and so are those whose name means two things.
type Spoken = &'static [(&'static str, RangeInclusive<i16>)];

const ANY: i16 = i16::MAX;
const SPOKEN: &[(&str, Spoken)] = &[
    ("ProduceRequest", &[("name", 0..=12), ("topic_id", 13..=ANY)]),
    (
        "ProduceResponse",
        &[
            ("name", 0..=12),
            ("topic_id", 13..=ANY),
            ("log_start_offset", 5..=ANY),
            ("record_errors", 8..=ANY),
            ("error_message", 8..=ANY),
            ("current_leader", 10..=ANY),
            ("node_endpoints", 10..=ANY),
        ],
    ),
    (
        "FetchRequest",
        &[
            ("topic", 0..=12),
            ("topic_id", 13..=ANY),
            ("log_start_offset", 5..=ANY),
            ("session_id", 7..=ANY),
            ("session_epoch", 7..=ANY),
            ("forgotten_topics_data", 7..=ANY),
            ("current_leader_epoch", 9..=ANY),
            ("rack_id", 11..=ANY),
            ("cluster_id", 12..=ANY),
            ("last_fetched_epoch", 12..=ANY),
            ("replica_state", 15..=ANY),
            ("replica_directory_id", 17..=ANY),
            ("high_watermark", 18..=ANY),
        ],
    ),
    (
        "FetchResponse",
        &[
            ("topic", 0..=12),
            ("topic_id", 13..=ANY),
            ("log_start_offset", 5..=ANY),
            ("session_id", 7..=ANY),
            ("preferred_read_replica", 11..=ANY),
            ("diverging_epoch", 12..=ANY),
            ("current_leader", 12..=ANY),
            ("snapshot_id", 12..=ANY),
            ("node_endpoints", 16..=ANY),
        ],
    ),
    (
        "MetadataRequest",
        &[
            ("allow_auto_topic_creation", 4..=ANY),
            ("include_cluster_authorized_operations", 8..=10),
            ("include_topic_authorized_operations", 8..=ANY),
            ("topic_id", 10..=ANY),
        ],
    ),
    (
        "MetadataResponse",
        &[
            ("controller_id", 1..=ANY),
            ("rack", 1..=ANY),
            ("is_internal", 1..=ANY),
            ("cluster_id", 2..=ANY),
            ("throttle_time_ms", 3..=ANY),
            ("offline_replicas", 5..=ANY),
            ("leader_epoch", 7..=ANY),
            ("cluster_authorized_operations", 8..=10),
            ("topic_authorized_operations", 8..=ANY),
            ("topic_id", 10..=ANY),
        ],
    ),
    (
        "ListOffsetsRequest",
        &[("isolation_level", 2..=ANY), ("current_leader_epoch", 4..=ANY), ("timeout_ms", 10..=ANY)],
    ),
    ("ListOffsetsResponse", &[("throttle_time_ms", 2..=ANY), ("leader_epoch", 4..=ANY)]),
    ("FindCoordinatorRequest", &[("key", 0..=3), ("key_type", 1..=ANY), ("coordinator_keys", 4..=ANY)]),
    ("JoinGroupRequest", &[("rebalance_timeout_ms", 1..=ANY), ("group_instance_id", 5..=ANY), ("reason", 8..=ANY)]),
    ("OffsetCommitResponse", &[("throttle_time_ms", 3..=ANY), ("name", 0..=9), ("topic_id", 10..=ANY)]),
];

struct Printer {
    out: String,
    version: i16,
    spoken: Spoken,
}

/// What `Debug` can say.
enum Value<'a> {
    Atom(&'a str),
    List(Vec<Value<'a>>),
    /// Named fields, or the entries of a map.
    Struct(Vec<(&'a str, Value<'a>)>),
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Value<'a> {
        let word = self.word();
        match self.rest.as_bytes().first() {
            Some(b'(') => {
                // A wrapper: `Some(5)`, `TopicName("orders")`. One value stands for itself.
                let mut values = self.list(b')');
                if values.len() == 1 { values.remove(0) } else { Value::List(values) }
            }
            Some(b'[') => Value::List(self.list(b']')),
            Some(b' ') if self.rest.starts_with(" {") => {
                self.rest = &self.rest[1..];
                self.fields()
            }
            Some(b'{') => self.fields(),
            _ => Value::Atom(word),
        }
    }

    /// A name, a number, or a string with its quotes.
    fn word(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let quote = bytes.iter().take(2).position(|&byte| byte == b'"');
        let end = match quote {
            Some(open) if open == 0 || bytes[0] == b'b' => {
                let mut at = open + 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                (at + 1).min(bytes.len())
            }
            _ => bytes.iter().position(|byte| b" ,()[]{}:".contains(byte)).unwrap_or(bytes.len()),
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn list(&mut self, close: u8) -> Vec<Value<'a>> {
        self.skip(1);
        let mut values = Vec::new();
        while !self.closes(close) {
            values.push(self.value());
            self.separator();
        }
        values
    }

    fn fields(&mut self) -> Value<'a> {
        self.skip(1);
        let mut fields = Vec::new();
        while !self.closes(b'}') {
            let name = self.word();
            self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest).trim_start();
            fields.push((name, self.value()));
            self.separator();
        }
        Value::Struct(fields)
    }

    fn separator(&mut self) {
        self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest).trim_start();
    }

    /// Takes the closing bracket, or finds the text at its end.
    fn closes(&mut self, close: u8) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.as_bytes().first() {
            None => true,
            Some(&byte) if byte == close => {
                self.skip(1);
                true
            }
            // Nothing that a value can begin with: go on behind it rather than stand still.
            Some(b')' | b']' | b'}' | b',' | b':') => {
                self.skip(1);
                false
            }
            Some(_) => false,
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }
}

impl Printer {
    fn is_on_the_wire(&self, name: &str) -> bool {
        self.spoken
            .iter()
            .find(|(field, _)| *field == name)
            .is_none_or(|(_, versions)| versions.contains(&self.version))
    }

    fn fields(&mut self, fields: &[(&str, Value<'_>)], indent: usize) {
        for (name, value) in fields {
            let is_noise = *name == "unknown_tagged_fields" && matches!(value, Value::Struct(them) if them.is_empty());
            if is_noise || !self.is_on_the_wire(name) {
                continue;
            }
            let _ = write!(self.out, "{:indent$}{name}:", "");
            self.value(value, indent);
        }
    }

    /// Prints what stands behind `name:`, up to the end of its last line.
    fn value(&mut self, value: &Value<'_>, indent: usize) {
        let out = &mut self.out;
        match value {
            Value::Atom("None") => out.push_str(" null\n"),
            Value::Atom(text) => {
                let _ = writeln!(out, " {}", shortened(text));
            }
            Value::List(values) if values.is_empty() => out.push_str(" []\n"),
            Value::Struct(fields) if fields.is_empty() => out.push_str(" {}\n"),
            Value::Struct(fields) => {
                out.push('\n');
                self.fields(fields, indent + 2);
            }
            Value::List(values) if values.iter().all(|value| matches!(value, Value::Atom(_))) => {
                out.push_str(" [");
                for (index, value) in values.iter().enumerate() {
                    let Value::Atom(text) = value else { continue };
                    let _ = write!(out, "{}{text}", if index == 0 { "" } else { ", " });
                }
                out.push_str("]\n");
            }
            Value::List(values) => {
                out.push('\n');
                for value in values {
                    let start = self.out.len();
                    match value {
                        Value::Struct(fields) => self.fields(fields, indent + 4),
                        other => {
                            let _ = write!(self.out, "{:1$}", "", indent + 3);
                            self.value(other, indent + 4);
                        }
                    }
                    // The first field's indentation makes room for the dash.
                    if self.out.len() >= start + indent + 4 {
                        self.out.replace_range(start + indent + 2..start + indent + 3, "-");
                    }
                }
            }
        }
    }
}

/// Byte strings can be megabytes; the first of them are enough here.
fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{ApiKey, ProduceRequest, TopicName};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::record::check::check;
    use crate::record::{BatchBuilder, Compression};
    use crate::time::Timestamp;

    #[test]
    fn fields_are_lines_without_noise() {
        let partition = |index| PartitionProduceData::default().with_index(index).with_records(None);
        let partitions = vec![partition(0), partition(1)];
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("or, \"ders\"")))
            .with_partition_data(partitions);
        let body = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
        let mut request = Request::new(ApiKey::Produce, 12, 1, None, body.into());
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(Timestamp(1), None, Some(b"v"), &[]);
        request.batches[1] = check(12, Some(batch.build().bytes));
        assert_eq!(
            of_request(&request),
            "\
transactional_id: null
acks: -1
timeout_ms: 0
topic_data:
  - name: \"or, \\\"ders\\\"\"
    partition_data:
      - index: 0
        records: refused, INVALID_RECORD
      - index: 1
        records: 69 bytes
"
        );
    }
}
