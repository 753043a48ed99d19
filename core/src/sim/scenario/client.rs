//! Lines about producers and consumers: who they are, and what they are told to send.

use super::Action;
use super::line::{Line, Parsed, none_of};
use super::names::topic_name;
use crate::arrange::Arrange;
use crate::client::{Command, NextOffset, Offsets, SendRecord, consumer, producer};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

impl Line<'_> {
    pub(super) fn producer(&self, from: usize) -> Parsed<Action> {
        let name = self.client_name(from + 1)?;
        let (mut topics, mut settings) = (Vec::new(), VecMap::new());
        for (property, value, word) in self.properties(from + 2)? {
            if property == "topic" {
                topics = value.split(',').map(str::to_string).collect();
                topics.iter().try_for_each(|topic| topic_name(topic)).or_else(|message| self.at(&word, message))?;
            } else {
                producer::settings::check(&property, &value).or_else(|message| self.at(&word, message))?;
                if property == "reads" && self.names.is_some_and(|names| !names.consumers.contains(&value)) {
                    return self.at(&word, format!("there is no consumer {value}"));
                }
                settings.insert(property, value);
            }
        }
        if topics.is_empty() {
            return self.wrong(self.words.len(), "expected the producer's topic, such as topic=orders");
        }
        producer::Settings::of(&settings).map(drop).or_else(|message| self.wrong_together(from + 2, &message))?;
        Ok(Action::Producer { name, topics, settings })
    }

    pub(super) fn consumer(&self, from: usize) -> Parsed<Action> {
        let name = self.client_name(from + 1)?;
        let (mut topics, mut settings) = (Vec::new(), VecMap::new());
        for (property, value, word) in self.properties(from + 2)? {
            if property == "topics" {
                topics = value.split(',').map(str::to_string).collect();
                topics.iter().try_for_each(|topic| topic_name(topic)).or_else(|message| self.at(&word, message))?;
            } else {
                consumer::settings::check(&property, &value).or_else(|message| self.at(&word, message))?;
                settings.insert(property, value);
            }
        }
        if topics.is_empty() && !settings.contains_key("pattern") {
            return self.wrong(self.words.len(), "expected the consumer's topics, such as topics=orders,payments");
        }
        consumer::Settings::of(&settings).map(drop).or_else(|message| self.wrong_together(from + 2, &message))?;
        Ok(Action::Consumer { name, topics, settings })
    }

    pub(super) fn send(&self, from: usize) -> Parsed<Action> {
        const FIELDS: [&str; 6] = ["by", "key", "value", "header", "partition", "timestamp"];
        let mut record = SendRecord { topic: self.topic_name(from + 1)?, ..SendRecord::default() };
        let mut by = None;
        let mut seen = VecSet::new();
        for word in self.words.iter().skip(from + 2) {
            let Some((name, value)) = word.split(b'=') else {
                return self
                    .at(word, format!("expected a field with its value, such as key=4711: {}", FIELDS.join(", ")));
            };
            let name = name.text().unwrap_or_default();
            if name != "header" && !seen.insert(name.clone()) {
                return self.at(word, format!("{name} is given twice"));
            }
            match name.as_str() {
                "by" => {
                    let producer = value.text().unwrap_or_default();
                    self.known_client_at(&value, &producer, true, false)?;
                    by = Some(producer);
                }
                "key" => record.key = Some(value.bytes()),
                "value" => record.value = Some(value.bytes()),
                "header" => {
                    let (key, header) = match value.split(b':') {
                        Some((key, header)) => (key, Some(header.bytes())),
                        None => (value, None),
                    };
                    let Some(key) = key.text() else { return self.at(&key, "expected a header's key in UTF-8") };
                    record.headers.push((key, header));
                }
                "partition" => match value.text().and_then(|text| text.parse().ok()) {
                    Some(partition) if partition >= 0 => record.partition = Some(partition),
                    _ => return self.at(&value, "expected a partition: a whole number from 0"),
                },
                "timestamp" => match value.text().and_then(|text| text.parse().ok()) {
                    Some(timestamp) if timestamp >= 0 => record.timestamp = Some(timestamp),
                    _ => return self.at(&value, "expected a timestamp: milliseconds since 1970"),
                },
                _ => return self.at(word, none_of(&name, FIELDS.into_iter())),
            }
        }
        Ok(Action::Send { by, record })
    }

    /// `offsets p1 shop orders-0=42 orders-1=7`
    pub(super) fn offsets(&self, from: usize) -> Parsed<Action> {
        let client = self.client(from + 1, true, false)?;
        let group = self.text(from + 2, "a group, such as shop")?;
        let mut offsets: Vec<NextOffset> = Vec::new();
        for (name, value, word) in self.properties(from + 3)? {
            let place = name.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
            match (place.filter(|(topic, _)| topic_name(topic).is_ok()), value.parse::<i64>()) {
                (Some((topic, partition)), Ok(offset @ 0..)) => {
                    let (topic, partition) = (topic.to_string(), i32::from(partition));
                    offsets.push(NextOffset { topic, partition, offset, leader_epoch: -1 });
                }
                _ => return self.at(&word, "expected a partition with the offset that comes next: orders-0=42"),
            }
        }
        if offsets.is_empty() {
            return self.wrong(self.words.len(), "expected a partition with the offset that comes next: orders-0=42");
        }
        offsets.arrange();
        let offsets = Offsets { group, member: String::new(), generation: -1, offsets };
        Ok(Action::Command { client, command: Command::SendOffsets(offsets) })
    }
}
