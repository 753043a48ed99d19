//! Records as lines of text, by the flags and names of Kafka's console tools: what their `LineMessageReader` reads and their
//! `DefaultMessageFormatter` prints.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use ottla_core::client::serdes::{DESERIALIZERS, Serde};

use crate::client::{Config, ConsumerRecord, Exception, ProducerRecord, TimestampType};

/// `name=value`, of a flag.
pub fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// These, and what `--key-separator` stands for; `keyed` is the one that says that there are keys.
pub fn separated(properties: &[(String, String)], keyed: &str, separator: Option<&String>) -> Vec<(String, String)> {
    let own = separator.into_iter().flat_map(|text| [(keyed, "true"), ("key.separator", text)]);
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    properties.iter().cloned().chain(own).collect()
}

/// A client's settings: those of the file, and over them those that flags name.
///
/// Errors: in words, naming the file that cannot be read.
pub fn config(
    file: Option<&Path>,
    properties: &[(String, String)],
    bootstrap_server: &str,
    client_id: &str,
) -> Result<Config, String> {
    let of_file = match file {
        Some(path) => {
            let unreadable = |error: &dyn Display| format!("{}: {error}", path.display());
            let file = File::open(path).map_err(|error| unreadable(&error))?;
            java_properties::read(BufReader::new(file)).map_err(|error| unreadable(&error))?
        }
        None => HashMap::new(),
    };
    let set = |config: Config, (name, value): (&String, &String)| config.set(name, value.trim());
    let config = of_file.iter().fold(Config::new(), set);
    let config = properties.iter().map(|(name, value)| (name, value)).fold(config, set);
    Ok(config.set("bootstrap.servers", bootstrap_server).default_to("client.id", client_id))
}

/// With `--property` Kafka's older tools say how lines are read and printed: what has a name of `lines` is of those, the rest
/// is the client's.
pub fn sorted(properties: &[(String, String)], lines: &[&str]) -> [Vec<(String, String)>; 2] {
    let (of_lines, of_client) = properties.iter().cloned().partition(|(name, _)| lines.contains(&&**name));
    [of_lines, of_client]
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    value.trim().parse().map_err(|_| format!("expected {name} to be true or false, found {value}"))
}

/// What [`Reader`] knows.
pub const OF_READER: &[&str] = &[
    "parse.key",
    "key.separator",
    "parse.headers",
    "headers.delimiter",
    "headers.separator",
    "headers.key.separator",
    "ignore.error",
    "null.marker",
];
/// What [`Formatter`] knows and no consumer does.
pub const OF_FORMATTER: &[&str] = &[
    "print.timestamp",
    "print.partition",
    "print.offset",
    "print.delivery",
    "print.epoch",
    "print.headers",
    "print.key",
    "print.value",
    "key.separator",
    "line.separator",
    "headers.separator",
    "null.literal",
    "headers.deserializer",
];

/// How lines become records.
#[derive(Clone, Debug)]
pub struct Reader {
    pub topic: String,
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
}

impl Reader {
    pub fn new(topic: &str, properties: &[(String, String)]) -> Result<Reader, String> {
        let mut reader = Reader {
            topic: topic.to_owned(),
            parse_key: false,
            key_separator: "\t".to_owned(),
            parse_headers: false,
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            ignore_error: false,
            null_marker: None,
        };
        for (name, value) in properties {
            match name.as_str() {
                "parse.key" => reader.parse_key = flag(name, value)?,
                "key.separator" => reader.key_separator.clone_from(value),
                "parse.headers" => reader.parse_headers = flag(name, value)?,
                "headers.delimiter" => reader.headers_delimiter.clone_from(value),
                "headers.separator" => reader.headers_separator.clone_from(value),
                "headers.key.separator" => reader.headers_key_separator.clone_from(value),
                "ignore.error" => reader.ignore_error = flag(name, value)?,
                "null.marker" => reader.null_marker = Some(value.clone()),
                unknown => return Err(format!("a reader has no property {unknown}")),
            }
        }
        let separators = [
            ("key.separator", &reader.key_separator, reader.parse_key),
            ("headers.delimiter", &reader.headers_delimiter, reader.parse_headers),
            ("headers.separator", &reader.headers_separator, reader.parse_headers),
            ("headers.key.separator", &reader.headers_key_separator, reader.parse_headers),
        ];
        match separators.iter().find(|(_, separator, used)| *used && separator.is_empty()) {
            Some((name, ..)) => Err(format!("{name} must not be empty")),
            None => Ok(reader),
        }
    }

    /// The record of a line without its end: `headers⇥key⇥value`, as far as those are wanted.
    pub fn read(&self, line: &[u8], number: u64) -> Result<ProducerRecord, String> {
        let mut rest = line;
        let mut headers = None;
        if self.parse_headers {
            headers = self.part(&mut rest, &self.headers_delimiter, "headers delimiter", number)?;
        }
        let mut key = None;
        if self.parse_key {
            key = self.part(&mut rest, &self.key_separator, "key separator", number)?;
        }
        let null = |bytes: &[u8]| self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == bytes);
        let mut record = match null(rest) {
            true => ProducerRecord::without_value(&self.topic),
            false => ProducerRecord::new(&self.topic, rest),
        };
        if let Some(key) = key.filter(|key| !null(key)) {
            record = record.key(key);
        }
        for pair in headers.filter(|headers| !null(headers)).iter().flat_map(|of| split(of, &self.headers_separator)) {
            let Some((name, value)) = split_once(pair, &self.headers_key_separator) else {
                if self.ignore_error {
                    record = record.header(&String::from_utf8_lossy(pair), None);
                    continue;
                }
                let pair = String::from_utf8_lossy(pair);
                return Err(format!("No header key separator found in pair '{pair}' on line number {number}"));
            };
            record = record.header(&String::from_utf8_lossy(name), Some(value).filter(|value| !null(value)));
        }
        Ok(record)
    }

    fn part<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> Result<Option<&'a [u8]>, String> {
        match split_once(rest, separator) {
            Some((part, after)) => {
                *rest = after;
                Ok(Some(part))
            }
            None if self.ignore_error => Ok(None),
            None => Err(format!("No {what} found on line number {number}: '{}'", String::from_utf8_lossy(rest))),
        }
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator.as_bytes())?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn split<'a>(bytes: &'a [u8], separator: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (first, after) = split_once(bytes, separator).map_or((bytes, None), |(first, after)| (first, Some(after)));
        rest = after;
        Some(first)
    })
}

/// How records become lines.
#[derive(Clone, Debug)]
pub struct Formatter {
    timestamp: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    /// What makes words of their bytes; bytes are printed as they are without one.
    headers_deserializer: Option<Serde>,
    key_deserializer: Option<Serde>,
    value_deserializer: Option<Serde>,
}

impl Formatter {
    pub fn new(properties: &[(String, String)]) -> Result<Formatter, String> {
        let mut formatter = Formatter {
            timestamp: false,
            partition: false,
            offset: false,
            delivery: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_owned(),
            line_separator: "\n".to_owned(),
            headers_separator: ",".to_owned(),
            null_literal: "null".to_owned(),
            headers_deserializer: deserializer(properties, "headers", "value")?,
            key_deserializer: deserializer(properties, "key", "key")?,
            value_deserializer: deserializer(properties, "value", "value")?,
        };
        for (name, value) in properties {
            match name.as_str() {
                "print.timestamp" => formatter.timestamp = flag(name, value)?,
                "print.partition" => formatter.partition = flag(name, value)?,
                "print.offset" => formatter.offset = flag(name, value)?,
                "print.delivery" => formatter.delivery = flag(name, value)?,
                "print.epoch" => formatter.epoch = flag(name, value)?,
                "print.headers" => formatter.headers = flag(name, value)?,
                "print.key" => formatter.key = flag(name, value)?,
                "print.value" => formatter.value = flag(name, value)?,
                "key.separator" => formatter.key_separator.clone_from(value),
                "line.separator" => formatter.line_separator.clone_from(value),
                "headers.separator" => formatter.headers_separator.clone_from(value),
                "null.literal" => formatter.null_literal.clone_from(value),
                "headers.deserializer" | "key.deserializer" | "value.deserializer" => {}
                entries if DESERIALIZED.iter().any(|(part, as_)| *entries == list_setting(part, as_)) => {}
                unknown => return Err(format!("a formatter has no property {unknown}")),
            }
        }
        Ok(formatter)
    }

    /// Puts the record's line behind what is in `out`; where a deserializer does not take its bytes, in Kafka's words.
    pub fn print(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> Result<(), Exception> {
        let wanted = [
            self.timestamp,
            self.partition,
            self.offset,
            self.delivery,
            self.epoch,
            self.headers,
            self.key,
            self.value,
        ];
        let last = wanted.iter().rposition(|wanted| *wanted);
        for (field, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            match field {
                0 if record.timestamp < 0 => out.extend(b"NO_TIMESTAMP"),
                0 => put(out, format_args!("{}:{}", type_of(record.timestamp_type), record.timestamp)),
                1 => put(out, format_args!("Partition:{}", record.partition)),
                2 => put(out, format_args!("Offset:{}", record.offset)),
                // Only those of a share group are counted.
                3 => out.extend(b"Delivery:NOT_PRESENT"),
                4 => put(out, format_args!("Epoch:{}", record.leader_epoch)),
                5 if record.headers.is_empty() => out.extend(b"NO_HEADERS"),
                5 => {
                    for (at, header) in record.headers.iter().enumerate() {
                        if at > 0 {
                            out.extend(self.headers_separator.bytes());
                        }
                        put(out, format_args!("{}:", header.key));
                        self.words(self.headers_deserializer, header.value.as_deref(), out)?;
                    }
                }
                6 => self.words(self.key_deserializer, record.key.as_deref(), out)?,
                _ => self.words(self.value_deserializer, record.value.as_deref(), out)?,
            }
            let separator = if Some(field) == last { &self.line_separator } else { &self.key_separator };
            out.extend(separator.bytes());
        }
        Ok(())
    }

    fn words(&self, deserializer: Option<Serde>, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Exception> {
        let Some(bytes) = bytes else {
            out.extend(self.null_literal.bytes());
            return Ok(());
        };
        match deserializer.map(|deserializer| deserializer.read(bytes)).transpose()?.flatten() {
            Some(words) => out.extend(words.bytes()),
            None => out.extend(bytes),
        }
        Ok(())
    }
}

/// Whose deserializers a formatter has, and as which part of a record Kafka configures each.
const DESERIALIZED: [(&str, &str); 3] = [("headers", "value"), ("key", "key"), ("value", "value")];

/// The property that says of which class a list's entries are: what a deserializer's own settings are called behind its name.
fn list_setting(part: &str, as_: &str) -> String {
    format!("{part}.deserializer.default.list.{as_}.serde.inner")
}

fn deserializer(properties: &[(String, String)], part: &str, as_: &str) -> Result<Option<Serde>, String> {
    let find = |wanted: &str| properties.iter().rfind(|(name, _)| name == wanted).map(|(_, value)| value.trim());
    let name = format!("{part}.deserializer");
    let Some(class) = find(&name) else { return Ok(None) };
    let setting = list_setting(part, as_);
    let known = DESERIALIZERS.iter().any(|known| class.ends_with(known));
    match (Serde::of(class, find(&setting).unwrap_or_default()), known) {
        (Some(serde), true) => Ok(Some(serde)),
        (None, true) if class.ends_with("ListDeserializer") => Err(format!(
            "{class} wants to know the class of entries: {setting}=org.apache.kafka.common.serialization.Serdes$StringSerde or another"
        )),
        _ => Err(format!("Unable to instantiate a deserializer from {class}")),
    }
}

fn put(out: &mut Vec<u8>, words: std::fmt::Arguments<'_>) {
    out.write_fmt(words).expect("memory takes what is written");
}

fn type_of(timestamp: TimestampType) -> &'static str {
    match timestamp {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_core::record::Header;

    use super::*;

    fn properties(text: &str) -> Vec<(String, String)> {
        text.split(' ').filter(|pair| !pair.is_empty()).map(|pair| property(pair).unwrap()).collect()
    }

    #[test]
    fn a_line_is_read_as_kafkas_console_producer_reads_it() {
        let read = |properties_: &str, line: &str| Reader::new("t", &properties(properties_))?.read(line.as_bytes(), 7);
        let plain = |value: &str| ProducerRecord::new("t", value);
        assert_eq!(read("", "a\tb"), Ok(plain("a\tb")));
        assert_eq!(read("parse.key=true", "a\tb\tc"), Ok(plain("b\tc").key("a")));
        assert_eq!(read("parse.key=true key.separator=::", "a::b"), Ok(plain("b").key("a")));
        assert_eq!(read("parse.key=true", "ab"), Err("No key separator found on line number 7: 'ab'".to_owned()));
        assert_eq!(read("parse.key=true ignore.error=true", "ab"), Ok(plain("ab")));
        let null = "parse.key=true null.marker=-";
        assert_eq!(read(null, "k\t-"), Ok(ProducerRecord::without_value("t").key("k")));
        assert_eq!(read(null, "-\tv"), Ok(plain("v")));
        let headers = plain("v").key("k").header("h", Some(b"1")).header("i", Some(b""));
        assert_eq!(read("parse.headers=true parse.key=true", "h:1,i:\tk\tv"), Ok(headers));
        let lacks = "No header key separator found in pair 'i' on line number 7";
        assert_eq!(read("parse.headers=true", "h:1,i\tv"), Err(lacks.to_owned()));
        assert!(Reader::new("t", &properties("parse.key=true key.separator=")).is_err());
        assert!(Reader::new("t", &properties("parse.keys=true")).is_err());
    }

    #[test]
    fn a_record_is_printed_as_kafkas_console_consumer_prints_it() {
        let record = ConsumerRecord {
            topic: "t".into(),
            partition: 3,
            offset: 9,
            timestamp: 1_700,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: 2,
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: vec![Header { key: "h".to_owned(), value: Some(Bytes::from_static(b"1")) }],
        };
        let print = |text: &str| {
            let mut out = Vec::new();
            Formatter::new(&properties(text)).unwrap().print(&record, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(""), "v\n");
        assert_eq!(print("print.key=true"), "null\tv\n");
        let all = "print.timestamp=true print.partition=true print.offset=true print.headers=true print.key=true";
        assert_eq!(print(all), "CreateTime:1700\tPartition:3\tOffset:9\th:1\tnull\tv\n");
        assert_eq!(print("print.key=true print.value=false line.separator=;"), "null;");
        assert_eq!(print("print.delivery=true"), "Delivery:NOT_PRESENT\tv\n");
        assert_eq!(print("print.epoch=true print.offset=true"), "Offset:9\tEpoch:2\tv\n");
        assert_eq!(print("print.value=false"), "");
        assert!(Formatter::new(&properties("print.all=true")).is_err());
        assert!(Formatter::new(&properties("value.deserializer=org.acme.Deserializer")).is_err());
    }

    #[test]
    fn a_formatters_deserializers_make_words_of_bytes() {
        let list = [&b"\0\0\0\0\0"[..], &1i32.to_be_bytes(), &7i64.to_be_bytes()].concat();
        let record = ConsumerRecord {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: 2,
            key: Some(Bytes::from_static(&[0, 0, 1, 2])),
            value: Some(Bytes::from(list)),
            headers: vec![Header { key: "h".to_owned(), value: Some(Bytes::from_static(&[0, 9])) }],
        };
        let print = |text: &str| {
            let mut out = Vec::new();
            let done = Formatter::new(&properties(text)).unwrap().print(&record, &mut out);
            done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
        };
        let all = "print.headers=true print.key=true headers.deserializer=ShortDeserializer \
                   key.deserializer=org.apache.kafka.common.serialization.IntegerDeserializer \
                   value.deserializer=org.apache.kafka.common.serialization.ListDeserializer \
                   value.deserializer.default.list.value.serde.inner=org.apache.kafka.common.serialization.Serdes$LongSerde";
        assert_eq!(print(all).unwrap(), "h:9\t258\t[7]\n");
        let said = "SerializationException: Size of data received by LongDeserializer is not 8";
        assert_eq!(print("value.deserializer=LongDeserializer").unwrap_err(), said);
        let unsaid = Formatter::new(&properties("value.deserializer=ListDeserializer")).unwrap_err();
        assert!(unsaid.contains("default.list.value.serde.inner"), "{unsaid}");
    }

    #[test]
    fn settings_come_from_a_file_and_flags_have_the_last_word() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "# ours\nsecurity.protocol : PLAINTEXT\nacks=all\nclient.id = a\\\n b\n").unwrap();
        let flags = [("acks".to_owned(), "1".to_owned())];
        let config = |path: &Path| config(Some(path), &flags, "here:9092", "console-producer");
        let read = config(file.path()).unwrap();
        let known = ["security.protocol", "acks", "client.id", "bootstrap.servers"].map(|name| read.get(name).unwrap());
        assert_eq!(known, ["PLAINTEXT", "1", "ab", "here:9092"]);
        let missing = config(Path::new("/no/such/file")).unwrap_err();
        assert!(missing.starts_with("/no/such/file: No such file"), "{missing}");
    }

    #[test]
    fn a_property_of_lines_is_told_from_one_of_the_client() {
        let given =
            [("print.key", "true"), ("fetch.min.bytes", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sorted(&given, OF_FORMATTER), given.map(|one| vec![one]));
    }
}
