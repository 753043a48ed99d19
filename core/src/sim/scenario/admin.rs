//! What an admin asks of the cluster, besides topics: one line each, the same words in a simulation and on a live server.
//!
//! | line | what it asks |
//! | --- | --- |
//! | `delete-records orders-0 before=20` | what lies below that offset goes; `before=-1`: all that is committed |
//! | `quota client=p1 producer_byte_rate=1000` | that client may do no more; `off` in the place of the number takes it back |
//! | `quota user=u client=*` … | `*` is whoever has no quota by name; where both are named, those clients of that user |

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, ApiKey, DeleteRecordsRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::lex::quote;
use super::names::topic_name;
use super::parse::Line;
use super::{Action, ParseError};
use crate::error::NONE;
use crate::id::Offset;
use crate::near::hint;
use crate::quota::{Key, QuotaEntity, Who};

/// The words that open such a line.
pub(super) const WORDS: [&str; 2] = ["delete-records", "quota"];

#[derive(Clone, Debug, PartialEq)]
pub enum Admin {
    DeleteRecords {
        topic: String,
        partition: i32,
        before: Offset,
    },
    /// `None` takes a quota back.
    Quota {
        whose: QuotaEntity,
        set: BTreeMap<Key, Option<f64>>,
    },
}

impl Line<'_> {
    pub(super) fn admin(&self, from: usize, word: &str) -> Result<Action, ParseError> {
        let admin = if word == "quota" { self.quota(from)? } else { self.delete_records(from)? };
        Ok(Action::Admin(admin))
    }

    fn delete_records(&self, from: usize) -> Result<Admin, ParseError> {
        let text = self.text(from + 1, "a partition, such as orders-0")?;
        let parts = text.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
        let Some((topic, partition)) = parts.filter(|(topic, _)| topic_name(topic).is_ok()) else {
            return self.wrong(from + 1, format!("expected a partition, such as orders-0, found {text}"));
        };
        let mut before = None;
        for (name, value, word) in self.properties(from + 2)? {
            match (name.as_str(), value.parse()) {
                ("before", Ok(offset)) if offset >= -1 => before = Some(offset),
                ("before", _) => return self.at(&word, format!("expected an offset, or -1, found {value}")),
                _ => return self.at(&word, format!("expected before=20, found {name}")),
            }
        }
        let Some(before) = before else { return self.wrong(from + 2, "expected up to where, such as before=20") };
        Ok(Admin::DeleteRecords { topic: topic.to_owned(), partition: i32::from(partition), before })
    }

    fn quota(&self, from: usize) -> Result<Admin, ParseError> {
        let keys = || Key::ALL.into_iter().map(Key::name);
        let (mut whose, mut set) = (QuotaEntity { user: None, client: None }, BTreeMap::new());
        for (name, value, word) in self.properties(from + 1)? {
            let who = || if value == "*" { Who::Default } else { Who::Named(value.clone()) };
            match (name.as_str(), Key::from_name(&name)) {
                ("user" | "client", _) if value.is_empty() => {
                    return self.at(&word, format!("expected a {name}, or *"));
                }
                ("user", _) => whose.user = Some(who()),
                ("client", _) => whose.client = Some(who()),
                (_, Some(key)) => {
                    let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
                    let number = number.filter(|number| !key.is_whole() || number.fract() == 0.0);
                    if value != "off" && number.is_none() {
                        let kind = if key.is_whole() { "a whole number" } else { "a number" };
                        return self.at(&word, format!("expected {kind} above 0, or off, found {value}"));
                    }
                    set.insert(key, number);
                }
                (_, None) => {
                    let known: Vec<&str> = ["user", "client"].into_iter().chain(keys()).collect();
                    let hint = hint(&name, known.iter().copied());
                    return self.at(&word, format!("expected one of {}, found {name}.{hint}", known.join(", ")));
                }
            }
        }
        if whose == (QuotaEntity { user: None, client: None }) {
            return self.wrong(from + 1, "expected whose it is, such as client=p1");
        }
        if set.is_empty() {
            return self.wrong(self.words.len(), "expected a quota, such as producer_byte_rate=1000");
        }
        Ok(Admin::Quota { whose, set })
    }
}

impl Display for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Admin::DeleteRecords { topic, partition, before } => {
                write!(f, "delete-records {topic}-{partition} before={before}")
            }
            Admin::Quota { whose, set } => {
                f.write_str("quota")?;
                for (kind, who) in [("user", &whose.user), ("client", &whose.client)] {
                    match who {
                        Some(Who::Default) => write!(f, " {kind}=*")?,
                        Some(Who::Named(name)) => write!(f, " {kind}={}", quote(name.as_bytes(), |_| true))?,
                        None => {}
                    }
                }
                set.iter().try_for_each(|(key, value)| match value {
                    Some(value) => write!(f, " {}={value}", key.name()),
                    None => write!(f, " {}=off", key.name()),
                })
            }
        }
    }
}

impl Admin {
    /// What is asked of a broker, in that version: of the partition's leader where it is about one.
    pub fn request(&self, timeout_ms: i32) -> (ApiKey, i16, RequestKind) {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        match self {
            Admin::DeleteRecords { topic, partition, before } => {
                let asked = DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(*before);
                let topic =
                    DeleteRecordsTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![asked]);
                let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
                (ApiKey::DeleteRecords, 2, request.into())
            }
            Admin::Quota { whose, set } => {
                let part = |kind: &str, who: &Option<Who>| {
                    let name = match who.as_ref()? {
                        Who::Default => None,
                        Who::Named(name) => Some(text(name)),
                    };
                    Some(EntityData::default().with_entity_type(text(kind)).with_entity_name(name))
                };
                let parts = [part("user", &whose.user), part("client-id", &whose.client)];
                let ops = set.iter().map(|(key, value)| {
                    OpData::default()
                        .with_key(text(key.name()))
                        .with_value(value.unwrap_or(0.0))
                        .with_remove(value.is_none())
                });
                let entry =
                    EntryData::default().with_entity(parts.into_iter().flatten().collect()).with_ops(ops.collect());
                (ApiKey::AlterClientQuotas, 1, AlterClientQuotasRequest::default().with_entries(vec![entry]).into())
            }
        }
    }

    /// Kafka's error in the answer, and the words that go with it; `None` where it answers something else.
    pub fn outcome(response: &ResponseKind) -> Option<(i16, Option<String>)> {
        match response {
            ResponseKind::DeleteRecords(response) => {
                let partition = response.topics.first().and_then(|topic| topic.partitions.first())?;
                Some((partition.error_code, None))
            }
            ResponseKind::AlterClientQuotas(response) => {
                let entry = response.entries.first()?;
                let words = entry.error_message.as_ref().filter(|_| entry.error_code != NONE);
                Some((entry.error_code, words.map(|words| words.to_string())))
            }
            _ => None,
        }
    }
}
