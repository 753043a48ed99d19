//! Who is called what, and whether Kafka knows the names of settings.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::fault;
use super::lex::Word;
use super::line::{Line, Parsed};
use super::parse::MAX_BROKERS;
use crate::config::broker;
use crate::config::table::{BROKER, TOPIC};
use crate::id::{BrokerId, TopicPartition};
use crate::near::hint;
use crate::sim::admin::NAME as ADMIN;
use crate::sim::workload::HAND;
use crate::vec_set::VecSet;
use crate::zookeeper::NAME as ZOOKEEPER;

/// Who is in the text, wherever they are written.
#[derive(Default)]
pub(super) struct Names {
    /// Those of the beginning and those that are added.
    pub brokers: u32,
    /// The cluster's `num.partitions` and `default.replication.factor`: what a topic has where its line does not say it.
    pub partitions: u32,
    pub replication_factor: u32,
    pub racks: VecSet<String>,
    pub producers: VecSet<String>,
    pub consumers: VecSet<String>,
}

impl Names {
    pub fn of<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Names {
        let mut names = Names { brokers: 1, partitions: 1, replication_factor: 1, ..Names::default() };
        let mut added: u32 = 0;
        for line in lines {
            let skip = usize::from(line.words.first().is_some_and(|word| word.bytes().starts_with(b"@")));
            let word = |index: usize| line.words.get(skip + index).and_then(Word::text);
            match word(0).as_deref() {
                Some("cluster") => {
                    let count = |name: &str| {
                        (1..).map_while(word).find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
                    };
                    names.brokers = count("brokers").unwrap_or(names.brokers);
                    names.partitions = count("num.partitions").unwrap_or(names.partitions);
                    names.replication_factor = count("default.replication.factor").unwrap_or(names.replication_factor);
                    let racks = (1..).map_while(word).find_map(|word| Some(word.strip_prefix("racks=")?.to_owned()));
                    names.racks.extend(racks.iter().flat_map(|racks| racks.split(',')).map(str::to_owned));
                }
                Some("add") => added += 1,
                Some("producer") => names.producers.extend(word(1)),
                Some("consumer") => names.consumers.extend(word(1)),
                _ => {}
            }
        }
        // More are refused where they are written, and need no names.
        names.brokers = names.brokers.saturating_add(added).min(MAX_BROKERS + 1);
        names
    }
}

impl Line<'_> {
    pub fn topic_name(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a topic's name")?;
        topic_name(&name).or_else(|message| self.wrong(index, message))?;
        Ok(name)
    }

    pub(super) fn client_name(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a name, such as p1")?;
        if name.contains('=') || !is_name(&name) {
            return self.wrong(index, format!("expected a name of letters, digits, - and _, such as p1, found {name}"));
        }
        if [HAND, ADMIN, ZOOKEEPER].contains(&&name[..]) {
            return self.wrong(index, format!("expected another name: {name} is there in every run"));
        }
        if name.starts_with("broker-") {
            return self.wrong(index, "expected another name: those that begin with broker- are the brokers'");
        }
        if fault::RESERVED.contains(&&name[..]) {
            return self.wrong(index, format!("expected another name: {name} is a word of scenarios"));
        }
        Ok(name)
    }

    pub(super) fn client(&self, index: usize, producers: bool, consumers: bool) -> Parsed<String> {
        let name = self.text(index, if consumers { "a producer or consumer" } else { "a producer" })?;
        self.known_client(index, &name, producers, consumers)?;
        Ok(name)
    }

    pub(super) fn consumer_named(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a consumer, such as c1")?;
        match self.names {
            Some(names) if !names.consumers.contains(&name) => {
                let hint = hint(&name, names.consumers.iter().map(String::as_str));
                self.wrong(index, format!("no consumer is called {name}.{hint}"))
            }
            _ => Ok(name),
        }
    }

    /// Whether the word there may name a producer or consumer.
    pub(super) fn is_client(&self, index: usize) -> bool {
        let name = self.words.get(index).and_then(Word::text);
        name.is_some_and(|name| !name.starts_with("broker-") && !fault::RESERVED.contains(&&name[..]))
    }

    /// `orders-0`.
    pub(super) fn topic_partition(&self, index: usize) -> Parsed<TopicPartition> {
        let (topic, partition) = self.partition(index)?;
        Ok(TopicPartition::new(TopicName(StrBytes::from_string(topic)), partition))
    }

    pub(super) fn known_client(&self, index: usize, name: &str, producers: bool, consumers: bool) -> Parsed<()> {
        self.is_known_client(name, producers, consumers, &[]).or_else(|message| self.wrong(index, message))
    }

    pub(super) fn known_client_at(&self, word: &Word, name: &str, producers: bool, consumers: bool) -> Parsed<()> {
        self.is_known_client(name, producers, consumers, &[]).or_else(|message| self.at(word, message))
    }

    /// Who is none may have meant one of `others`, too.
    pub(super) fn is_known_client(
        &self,
        name: &str,
        producers: bool,
        consumers: bool,
        others: &[String],
    ) -> Result<(), String> {
        let Some(names) = self.names else { return Ok(()) };
        let known = || {
            let producers = names.producers.iter().filter(move |_| producers);
            producers.chain(names.consumers.iter().filter(move |_| consumers)).map(String::as_str)
        };
        // Who sends the records that a scenario chooses; there from the first of them on.
        if known().any(|known| known == name) || name == HAND {
            return Ok(());
        }
        let kind = if consumers { "producer or consumer" } else { "producer" };
        let near = hint(name, known().chain(others.iter().map(String::as_str)));
        Err(format!("no {kind} is called {name}.{near}"))
    }

    pub(super) fn broker(&self, index: usize) -> Parsed<BrokerId> {
        let text = self.text(index, "a broker, such as broker-1")?;
        self.broker_named(index, &text)
    }

    pub(super) fn broker_names(&self) -> Vec<String> {
        (1..=self.brokers()).map(|id| format!("broker-{id}")).collect()
    }

    /// How many there may be.
    pub(super) fn brokers(&self) -> u32 {
        self.names.map_or(MAX_BROKERS, |names| names.brokers)
    }

    pub(super) fn broker_named(&self, index: usize, text: &str) -> Parsed<BrokerId> {
        let brokers = self.brokers();
        match BrokerId::named(text) {
            Some(id) if (1..=brokers).contains(&id.0.cast_unsigned()) => Ok(id),
            Some(_) if brokers == 1 => self.wrong(index, format!("expected broker-1, the only broker, found {text}")),
            Some(_) => self.wrong(index, format!("expected broker-1 to broker-{brokers}, found {text}")),
            None => {
                let near = hint(text, self.broker_names().iter().map(String::as_str));
                self.wrong(index, format!("expected a broker, such as broker-1, found {text}.{near}"))
            }
        }
    }

    pub(super) fn known_rack(&self, index: usize, rack: &str) -> Parsed<()> {
        let Some(names) = self.names else { return Ok(()) };
        match names.racks.contains(rack) {
            true => Ok(()),
            false => {
                let hint = hint(rack, names.racks.iter().map(String::as_str));
                self.wrong(index, format!("no broker is in a rack {rack}.{hint}"))
            }
        }
    }

    pub(super) fn node(&self, index: usize) -> Parsed<String> {
        let name = self.text(index, "a broker, zookeeper, producer or consumer")?;
        if name == ZOOKEEPER {
            return Ok(name);
        }
        if name.starts_with("broker-") {
            return self.broker(index).map(|broker| broker.to_string());
        }
        let mut others = self.broker_names();
        others.push(ZOOKEEPER.to_owned());
        self.is_known_client(&name, true, true, &others).or_else(|message| self.wrong(index, message))?;
        Ok(name)
    }
}

/// A client's name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Kafka's rule for topic names (`Topic.validate`).
pub fn topic_name(name: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name == "." || name == ".." || name.len() > 249 || !name.bytes().all(legal) {
        return Err(format!(
            "expected a topic's name: 1 to 249 of ASCII letters, digits, '.', '_' and '-', found {name}"
        ));
    }
    Ok(())
}

pub(super) fn topic_config(name: &str, value: &str) -> Result<(), String> {
    let Some(setting) = TOPIC.get(name) else {
        let known = ["partitions", "replication.factor"].into_iter().chain(TOPIC.iter().map(|known| known.name));
        return Err(format!("a topic has no config {name}.{}", hint(name, known)));
    };
    setting.parse(value).map(drop).map_err(|error| error.0)
}

pub(super) fn broker_setting(name: &str, value: &str) -> Result<(), String> {
    broker::check(name, value).map_err(|error| match BROKER.get(name) {
        Some(_) => error.0,
        None => {
            let words = super::cluster::PROPERTIES;
            let known = words.into_iter().chain(BROKER.iter().map(|known| known.name));
            format!("a broker has no setting {name}.{}", hint(name, known))
        }
    })
}
