//! Kafka's small text files: offset checkpoints, `partition.metadata`, `meta.properties`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::id::{Offset, TopicPartition};
use crate::vec_map::VecMap;

// In the data directory.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
pub const LOG_START: &str = "log-start-offset-checkpoint";
pub const REPLICATION: &str = "replication-offset-checkpoint";
pub const CLEANER: &str = "cleaner-offset-checkpoint";
pub const META: &str = "meta.properties";
/// How the name of a directory ends that was set aside: nobody's log, and nobody's to remove.
pub const STRAY: &str = "-stray";
/// How the name of a directory ends that is on its way out.
pub const DELETE: &str = "-delete";
// In a log's directory.
pub const PARTITION_METADATA: &str = "partition.metadata";
pub const LEADER_EPOCH: &str = "leader-epoch-checkpoint";

/// Why a file could not be read: the line (from 1) and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for Malformed {}

/// Reads one of the three offset checkpoints. An empty file is an empty map.
pub fn parse_offsets(text: &[u8]) -> Result<VecMap<TopicPartition, Offset>, Malformed> {
    let mut offsets = VecMap::new();
    for row in Table::parse(text)?.rows {
        let [topic, partition, offset] = row.fields()?;
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        offsets.insert(TopicPartition::new(topic, row.number(partition)?), row.number(offset)?);
    }
    Ok(offsets)
}

pub fn print_offsets<'a>(offsets: impl IntoIterator<Item = (&'a TopicPartition, Offset)>) -> String {
    Table::print(offsets.into_iter().map(|(tp, offset)| format!("{} {} {offset}", tp.topic.0, tp.partition)))
}

/// The topic id in a `partition.metadata`.
pub fn parse_partition_metadata(text: &[u8]) -> Result<Uuid, Malformed> {
    let properties = Properties::parse(text, ':')?;
    properties.version("0")?;
    properties.uuid("topic_id")
}

pub fn print_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {}", print_uuid(topic_id))
}

/// Whose data directory it is: `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Option<Uuid>,
}

pub fn parse_meta(text: &[u8]) -> Result<MetaProperties, Malformed> {
    let properties = Properties::parse(text, '=')?;
    properties.version("1")?;
    let (line, node_id) = properties.get("node.id")?;
    Ok(MetaProperties {
        cluster_id: properties.get("cluster.id")?.1.to_owned(),
        node_id: parse_number(line, node_id)?,
        directory_id: properties.get("directory.id").is_ok().then(|| properties.uuid("directory.id")).transpose()?,
    })
}

pub fn print_meta(meta: &MetaProperties) -> String {
    let mut text = format!("#\nnode.id={}\n", meta.node_id);
    if let Some(id) = meta.directory_id {
        text += &format!("directory.id={}\n", print_uuid(id));
    }
    text + &format!("version=1\ncluster.id={}\n", meta.cluster_id)
}

/// A UUID in Kafka's words: base64, URL-safe, without padding.
pub fn print_uuid(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

pub fn parse_uuid(text: &str) -> Option<Uuid> {
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok())
}

/// The form of a checkpoint file: `0` (its version), the number of rows, then the rows, fields between blanks.
pub(super) struct Table<'a> {
    pub rows: Vec<Row<'a>>,
}

pub(super) struct Row<'a> {
    line: usize,
    text: &'a str,
}

impl<'a> Table<'a> {
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut rows = utf8(text)?.lines().enumerate().map(|(at, text)| Row { line: at + 1, text });
        let (Some(version), Some(count)) = (rows.next(), rows.next()) else {
            return Ok(Table { rows: Vec::new() });
        };
        if version.number::<i32>(version.text)? != 0 {
            return Err(version.malformed(format!("version {}, expected 0", version.text)));
        }
        let expected: usize = count.number(count.text)?;
        let rows: Vec<Row> = rows.collect();
        if rows.len() != expected {
            return Err(count.malformed(format!("{expected} entries expected, {} found", rows.len())));
        }
        Ok(Table { rows })
    }

    pub fn print(rows: impl Iterator<Item = String>) -> String {
        let rows: Vec<String> = rows.collect();
        let mut text = format!("0\n{}\n", rows.len());
        for row in rows {
            text += &row;
            text.push('\n');
        }
        text
    }
}

impl<'a> Row<'a> {
    pub fn fields<const N: usize>(&self) -> Result<[&'a str; N], Malformed> {
        let fields: Vec<&str> = self.text.split_whitespace().collect();
        fields.try_into().map_err(|_| self.malformed(format!("`{}` does not have {N} fields", self.text)))
    }

    pub fn number<T: FromStr>(&self, text: &str) -> Result<T, Malformed> {
        parse_number(self.line, text)
    }

    pub fn malformed(&self, why: String) -> Malformed {
        Malformed { line: self.line, why }
    }
}

/// `name: value` or `name=value` by line; `#` begins a comment.
struct Properties<'a> {
    lines: Vec<(usize, &'a str, &'a str)>,
    end: usize,
}

impl<'a> Properties<'a> {
    fn parse(text: &'a [u8], separator: char) -> Result<Self, Malformed> {
        let text = utf8(text)?;
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let (name, value) = line
                .split_once(separator)
                .ok_or_else(|| Malformed { line: at + 1, why: format!("`{line}` has no `{separator}`") })?;
            lines.push((at + 1, name.trim(), value.trim()));
        }
        Ok(Properties { lines, end: text.lines().count() + 1 })
    }

    /// The line and the value.
    fn get(&self, name: &str) -> Result<(usize, &'a str), Malformed> {
        let found = self.lines.iter().find(|(_, other, _)| *other == name);
        found
            .map(|(line, _, value)| (*line, *value))
            .ok_or_else(|| Malformed { line: self.end, why: format!("`{name}` is missing") })
    }

    fn version(&self, expected: &str) -> Result<(), Malformed> {
        let (line, version) = self.get("version")?;
        if version == expected {
            return Ok(());
        }
        Err(Malformed { line, why: format!("version {version}, expected {expected}") })
    }

    fn uuid(&self, name: &str) -> Result<Uuid, Malformed> {
        let (line, text) = self.get(name)?;
        parse_uuid(text).ok_or_else(|| Malformed { line, why: format!("`{text}` is not a UUID") })
    }
}

fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|error| {
        let before = text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Malformed { line: before + 1, why: "not UTF-8".to_owned() }
    })
}

fn parse_number<T: FromStr>(line: usize, text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed { line, why: format!("`{text}` is not a number") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_offset_checkpoint_is_read_and_printed() {
        let text = "0\n2\nfix 0 90\norders 11 7\n";
        let offsets = parse_offsets(text.as_bytes()).unwrap();
        let words: Vec<String> = offsets.iter().map(|(tp, offset)| format!("{tp} {offset}")).collect();
        assert_eq!(words, ["fix-0 90", "orders-11 7"]);
        assert_eq!(print_offsets(offsets.iter().map(|(tp, offset)| (tp, *offset))), text);
        assert_eq!(parse_offsets(b""), Ok(VecMap::new()));
        assert_eq!(parse_offsets(b"0\n0\n"), Ok(VecMap::new()));
    }

    #[test]
    fn a_malformed_checkpoint_says_where_and_why() {
        let error = |text: &str| parse_offsets(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("1\n0\n"), "line 1: version 1, expected 0");
        assert_eq!(error("0\n2\na 0 1\n"), "line 2: 2 entries expected, 1 found");
        assert_eq!(error("0\n1\na 0\n"), "line 3: `a 0` does not have 3 fields");
        assert_eq!(error("0\n1\na 0 99999999999999999999\n"), "line 3: `99999999999999999999` is not a number");
        assert_eq!(parse_offsets(b"0\n1\n\xff\n").unwrap_err().to_string(), "line 3: not UTF-8");
    }

    #[test]
    fn kafkas_metadata_files_are_read_and_printed() {
        let text = "version: 0\ntopic_id: RlGxqEOSSD2Dx_xaZbyk7w";
        let id = parse_partition_metadata(text.as_bytes()).unwrap();
        assert_eq!(print_partition_metadata(id), text);

        let text = b"#\n#Mon Nov 23 01:44:50 UTC 2026\nnode.id=1\ndirectory.id=cFmR4wevZGJ4WwqUpK6LHA\nversion=1\n\
            cluster.id=MkU3OEVBNTcwNTJENDM2Qg\n";
        let meta = parse_meta(text).unwrap();
        assert_eq!((meta.node_id, meta.cluster_id.as_str()), (1, "MkU3OEVBNTcwNTJENDM2Qg"));
        assert_eq!(meta.directory_id.map(print_uuid).as_deref(), Some("cFmR4wevZGJ4WwqUpK6LHA"));
        assert_eq!(parse_meta(print_meta(&meta).as_bytes()), Ok(meta));
        assert_eq!(parse_meta(b"version=1\n").unwrap_err().to_string(), "line 2: `node.id` is missing");
        assert_eq!(parse_meta(b"version\n").unwrap_err().to_string(), "line 1: `version` has no `=`");
    }
}
