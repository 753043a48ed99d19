//! What a person holds, and all that there is to see of it that is not in the [`View`](super::View).

use serde::{Deserialize, Serialize};

use super::MessageView;
use crate::time::Instant;
use crate::zookeeper::Stat;

/// What a person holds: something to look into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    Message {
        id: u64,
    },
    Broker {
        id: i32,
    },
    Partition {
        broker: i32,
        topic: String,
        partition: i32,
    },
    /// The batch that holds that offset.
    Batch {
        broker: i32,
        topic: String,
        partition: i32,
        offset: i64,
    },
    Producer {
        name: String,
    },
    Consumer {
        name: String,
    },
    /// A group of consumers.
    Group {
        id: String,
    },
    /// A transactional id.
    Transaction {
        id: String,
    },
    Topic {
        name: String,
    },
    ZooKeeper,
    /// What ZooKeeper holds there.
    Znode {
        path: String,
    },
}

/// What there is to see of a [`Target`], and is not in the [`View`](super::View).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Detail {
    Message(MessageDetail),
    Batch(BatchDetail),
    Znode(ZnodeDetail),
    /// Everything else: names and values, in groups.
    Facts(Vec<FactGroup>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageDetail {
    pub message: MessageView,
    /// `Produce`, `13`, correlation id, client.id.
    pub api: String,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    /// The real struct's fields, indented, a line each.
    pub fields: String,
    /// The first batch that it carries, if it carries any.
    pub batch: Option<BatchDetail>,
    /// Of a message of a live server.
    #[serde(default)]
    pub passed: Option<Passed>,
}

/// When a live server had to do with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// When the request was read.
    pub read: Instant,
    /// When its answer was handed to the socket; `None` while there is none, as under acks=0.
    pub answered: Option<Instant>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchDetail {
    pub topic: String,
    pub partition: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    /// Where it lies: the segment's base offset and the position in its file; absent while on its way.
    pub at: Option<(i64, u32)>,
    /// The header's fields: name, value in words, first byte, bytes.
    pub header: Vec<HeaderField>,
    /// Decoded; at most 100.
    pub records: Vec<RecordView>,
    /// The first 4 KiB, as they are in the log.
    pub bytes: Vec<u8>,
    pub size: u32,
    /// Why the records could not be decoded.
    pub broken: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZnodeDetail {
    pub path: String,
    /// As text; `None` where there is none.
    pub data: Option<String>,
    pub stat: Stat,
    /// Sorted by name.
    pub children: Vec<ZnodeChild>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZnodeChild {
    pub name: String,
    /// How many it has itself.
    pub children: i32,
    pub ephemeral: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderField {
    pub name: String,
    pub value: String,
    pub at: u32,
    pub len: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    pub offset: i64,
    pub timestamp: i64,
    /// As the first of those that name a serializer or a deserializer reads it: who wrote it, who writes to its topic, who
    /// reads it. Where nobody names one, or can read it: as text where it is UTF-8, else as `0x…`.
    pub key: Option<String>,
    pub value: Option<String>,
    /// Each of those classes, and what it reads or throws.
    #[serde(default)]
    pub key_read: Vec<(String, String)>,
    #[serde(default)]
    pub value_read: Vec<(String, String)>,
    pub headers: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FactGroup {
    pub title: String,
    pub facts: Vec<(String, String)>,
}
