//! Lines about what an operator does to a cluster that runs.
//!
//! | line | what happens |
//! | --- | --- |
//! | `topic orders partitions=3 replication.factor=3 retention.ms=5000` | the topic is made |
//! | `delete orders` | it goes |
//! | `grow orders partitions=6` | it has more partitions |
//! | `reassign orders-0 2,3,1` | its replicas move there; the first is preferred to lead |
//! | `reassign orders-0 cancel` | they go back to where they were |
//! | `elect preferred orders-0` | the first of its replicas leads, if it is in sync |
//! | `elect unclean orders-0` | one of them leads that lives, whatever is lost |
//! | `config orders retention.ms=5000 flush.ms=` | a topic's settings; one without a value is taken back |
//! | `config broker-1 …`, `config brokers …` | settings of one broker, or of all |
//! | `delete-records orders-0 before=20` | what lies below that offset goes; below -1, all that is committed |
//! | `quota client=p1 producer_byte_rate=1000 request_percentage=` | a client may do no more; without a value it may again |
//! | `quota user=u client=* …` | the same of every client of that user that has no quota by name |

use std::fmt::{self, Display, Formatter};

use super::line::{Line, Parsed, none_of};
use super::names::{topic_config, topic_name};
use super::parse::MAX_PARTITIONS;
use super::text::properties;
use crate::client::admin::{Election, Errand, Whose};
use crate::config::dynamic;
use crate::config::table::BROKER;
use crate::config::{BrokerSettings, TopicConfig};
use crate::id::BrokerId;
use crate::near::hint;
use crate::quota::{Key, QuotaEntity, Who};
use crate::vec_map::VecMap;

/// The words that open a line about them.
pub const WORDS: [&str; 8] = ["topic", "delete", "grow", "reassign", "elect", "config", "delete-records", "quota"];

impl Line<'_> {
    /// The rest of a line that begins with one of [`WORDS`], which stands at `at`.
    pub(super) fn errand(&self, at: usize, word: &str) -> Parsed<Errand> {
        match word {
            "topic" => self.create(at),
            "delete" => {
                let topic = self.topic_name(at + 1)?;
                self.end(at + 2)?;
                Ok(Errand::Delete { topic })
            }
            "grow" => self.grow(at),
            "reassign" => self.reassign(at),
            "elect" => self.elect(at),
            "config" => self.configure(at),
            "delete-records" => self.delete_records(at),
            "quota" => self.quota(at),
            _ => self.wrong(at, none_of(word, WORDS.into_iter())),
        }
    }

    fn create(&self, at: usize) -> Parsed<Errand> {
        let topic = self.topic_name(at + 1)?;
        let (mut partitions, mut replication_factor) =
            self.names.map_or((1, 1), |names| (names.partitions, names.replication_factor));
        let brokers = self.brokers();
        let too_many = || format!("expected a replication.factor of at most {brokers}, the number of brokers");
        let mut configs = VecMap::new();
        for (property, value, word) in self.properties(at + 2)? {
            match property.as_str() {
                "partitions" => match value.parse() {
                    Ok(count) if (1..=MAX_PARTITIONS).contains(&count) => partitions = count,
                    _ => {
                        return self
                            .at(&word, format!("expected partitions from 1 to {MAX_PARTITIONS}, found {value}"));
                    }
                },
                "replication.factor" => match value.parse() {
                    Ok(count) if (1..=brokers).contains(&count) => replication_factor = count,
                    Ok(count) if count > brokers => return self.at(&word, too_many()),
                    _ => return self.at(&word, format!("expected a replication.factor from 1, found {value}")),
                },
                _ => {
                    topic_config(&property, &value).or_else(|message| self.at(&word, message))?;
                    configs.insert(property, value);
                }
            }
        }
        if replication_factor > brokers {
            return self.wrong(at, too_many());
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return self.wrong(at, format!("expected partitions from 1 to {MAX_PARTITIONS}, found {partitions}"));
        }
        // Each is right; are they together?
        TopicConfig::new(&configs, &BrokerSettings::default())
            .map(drop)
            .or_else(|error| self.wrong_together(at + 2, &error.0))?;
        Ok(Errand::Create { topic, partitions, replication_factor, configs })
    }

    fn grow(&self, at: usize) -> Parsed<Errand> {
        let topic = self.topic_name(at + 1)?;
        let expected = format!("partitions=, from 1 to {MAX_PARTITIONS}, such as partitions=6");
        let text = self.text(at + 2, &expected)?;
        self.end(at + 3)?;
        match text.strip_prefix("partitions=").and_then(|count| count.parse().ok()) {
            Some(partitions) if (1..=MAX_PARTITIONS).contains(&partitions) => Ok(Errand::Grow { topic, partitions }),
            _ => self.wrong(at + 2, format!("expected {expected}, found {text}")),
        }
    }

    fn reassign(&self, at: usize) -> Parsed<Errand> {
        let (topic, partition) = self.partition(at + 1)?;
        let expected = "brokers' ids, such as 2,3,1, or cancel";
        let text = self.text(at + 2, expected)?;
        self.end(at + 3)?;
        if text == "cancel" {
            return Ok(Errand::Reassign { topic, partition, target: None });
        }
        let brokers = self.brokers();
        let mut target = Vec::new();
        for id in text.split(',') {
            match id.parse::<u32>() {
                Ok(id) if (1..=brokers).contains(&id) && !target.contains(&BrokerId(id as i32)) => {
                    target.push(BrokerId(id as i32));
                }
                Ok(id) if (1..=brokers).contains(&id) => {
                    return self.wrong(at + 2, format!("expected every broker once, found {id} twice"));
                }
                Ok(id) => return self.wrong(at + 2, format!("expected brokers from 1 to {brokers}, found {id}")),
                Err(_) => return self.wrong(at + 2, format!("expected {expected}, found {text}")),
            }
        }
        Ok(Errand::Reassign { topic, partition, target: Some(target) })
    }

    fn elect(&self, at: usize) -> Parsed<Errand> {
        let word = self.text(at + 1, "preferred or unclean")?;
        let Some(election) = Election::ALL.into_iter().find(|election| election.name() == word) else {
            let hint = hint(&word, Election::ALL.map(Election::name));
            return self.wrong(at + 1, format!("expected preferred or unclean, found {word}.{hint}"));
        };
        let (topic, partition) = self.partition(at + 2)?;
        self.end(at + 3)?;
        Ok(Errand::Elect { election, topic, partition })
    }

    fn configure(&self, at: usize) -> Parsed<Errand> {
        let expected = "a topic, a broker such as broker-1, or brokers";
        let name = self.text(at + 1, expected)?;
        let whose = match name.as_str() {
            "brokers" => Whose::AllBrokers,
            _ if name.starts_with("broker-") => Whose::Broker(self.broker(at + 1)?),
            _ => Whose::Topic(self.topic_name(at + 1)?),
        };
        let mut configs = VecMap::new();
        for (property, value, word) in self.properties(at + 2)? {
            let right = match &whose {
                Whose::Topic(_) if value.is_empty() => topic_config_name(&property),
                Whose::Topic(_) => topic_config(&property, &value),
                Whose::Broker(_) | Whose::AllBrokers => broker_config(&property, &value, whose != Whose::AllBrokers),
            };
            right.or_else(|message| self.at(&word, message))?;
            configs.insert(property, Some(value).filter(|value| !value.is_empty()));
        }
        if configs.is_empty() {
            return self.wrong(self.words.len(), "expected a setting, such as retention.ms=5000");
        }
        Ok(Errand::Configure { whose, configs })
    }

    fn delete_records(&self, at: usize) -> Parsed<Errand> {
        let (topic, partition) = self.partition(at + 1)?;
        let expected = "up to where, such as before=20";
        let text = self.text(at + 2, expected)?;
        self.end(at + 3)?;
        match text.strip_prefix("before=").and_then(|offset| offset.parse().ok()) {
            Some(before) if before >= -1 => Ok(Errand::DeleteRecords { topic, partition, before }),
            _ => self.wrong(at + 2, format!("expected {expected}, found {text}")),
        }
    }

    fn quota(&self, at: usize) -> Parsed<Errand> {
        let (mut whose, mut quotas) = (QuotaEntity::default(), VecMap::new());
        for (property, value, word) in self.properties(at + 1)? {
            let who = || if value == "*" { Who::Default } else { Who::Named(value.clone()) };
            match (property.as_str(), Key::of_client(&property)) {
                ("user" | "client", _) if value.is_empty() => {
                    return self.at(&word, format!("expected a {property}, or *"));
                }
                ("user", _) => whose.user = Some(who()),
                ("client", _) => whose.client = Some(who()),
                (_, Some(key)) => {
                    let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
                    let right = number.is_some_and(|number| key.whole().is_none() || number.fract() == 0.0);
                    if !value.is_empty() && !right {
                        let kind = if key.whole().is_some() { "a whole number" } else { "a number" };
                        return self.at(&word, format!("expected {kind} above 0, found {value}"));
                    }
                    quotas.insert(key, Some(value).filter(|value| !value.is_empty()));
                }
                (_, None) => {
                    let known = ["user", "client"].into_iter().chain(Key::OF_CLIENTS.map(Key::name));
                    return self.at(&word, none_of(&property, known));
                }
            }
        }
        if whose == QuotaEntity::default() {
            return self.wrong(at + 1, "expected whose it is, such as client=p1");
        }
        if quotas.is_empty() {
            return self.wrong(self.words.len(), "expected a quota, such as producer_byte_rate=1000");
        }
        Ok(Errand::Quota { whose, quotas })
    }

    /// `orders-0`.
    pub(super) fn partition(&self, at: usize) -> Parsed<(String, i32)> {
        let text = self.text(at, "a partition, such as orders-0")?;
        let split = text.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
        match split.filter(|(topic, _)| topic_name(topic).is_ok()) {
            Some((topic, index)) => Ok((topic.to_owned(), index.into())),
            None => self.wrong(at, format!("expected a partition, such as orders-0, found {text}")),
        }
    }
}

impl Display for Errand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Errand::Create { topic, partitions, replication_factor, configs } => {
                write!(f, "topic {topic} partitions={partitions} replication.factor={replication_factor}")?;
                properties(f, configs.iter().map(|(name, value)| (name, value.as_str())))
            }
            Errand::Delete { topic } => write!(f, "delete {topic}"),
            Errand::Grow { topic, partitions } => write!(f, "grow {topic} partitions={partitions}"),
            Errand::Reassign { topic, partition, target: Some(ids) } => {
                let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
                write!(f, "reassign {topic}-{partition} {}", ids.join(","))
            }
            Errand::Reassign { topic, partition, target: None } => write!(f, "reassign {topic}-{partition} cancel"),
            Errand::Elect { election, topic, partition } => {
                write!(f, "elect {} {topic}-{partition}", election.name())
            }
            Errand::Configure { whose, configs } => {
                write!(f, "config {whose}")?;
                properties(f, configs.iter().map(|(name, value)| (name, value.as_deref().unwrap_or_default())))
            }
            Errand::DeleteRecords { topic, partition, before } => {
                write!(f, "delete-records {topic}-{partition} before={before}")
            }
            Errand::Quota { whose, quotas } => {
                f.write_str("quota")?;
                for (kind, who) in [("user", &whose.user), ("client", &whose.client)] {
                    match who {
                        Some(Who::Default) => write!(f, " {kind}=*")?,
                        Some(Who::Named(name)) => properties(f, [(&kind.to_owned(), name.as_str())].into_iter())?,
                        None => {}
                    }
                }
                let texts: Vec<_> = quotas.iter().map(|(key, value)| (key.name().to_owned(), value)).collect();
                properties(f, texts.iter().map(|(name, value)| (name, value.as_deref().unwrap_or_default())))
            }
        }
    }
}

fn topic_config_name(name: &str) -> Result<(), String> {
    use crate::config::table::TOPIC;
    match TOPIC.get(name) {
        Some(_) => Ok(()),
        None => Err(format!("a topic has no config {name}.{}", hint(name, TOPIC.iter().map(|known| known.name)))),
    }
}

fn broker_config(name: &str, value: &str, of_one: bool) -> Result<(), String> {
    if BROKER.get(name).is_none() {
        let known = BROKER.iter().map(|known| known.name);
        return Err(format!("a broker has no setting {name}.{}", hint(name, known)));
    }
    if value.is_empty() {
        return Ok(());
    }
    dynamic::validate(&[(name.to_owned(), value.to_owned())].into(), of_one).map_err(|error| error.0)
}
