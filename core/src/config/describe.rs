//! What DescribeConfigs says of settings, and CreateTopics of a new topic's.

use std::collections::BTreeMap;

use super::broker::BrokerSettings;
use super::setting::{Dynamic, Kind, Setting};
use super::table::{BROKER, TOPIC};
use super::topic;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    /// Given when the broker started.
    StaticBroker = 4,
    Default = 5,
}

/// A setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: Kind,
    /// The value and those that it hides, strongest first.
    pub synonyms: Vec<Synonym>,
    pub documentation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
}

/// All that a topic with these settings of its own has.
pub fn topic(set: &BTreeMap<String, String>, broker: &BrokerSettings) -> Vec<Entry> {
    TOPIC
        .iter()
        .filter(|setting| !setting.internal || set.contains_key(setting.name))
        .map(|setting| {
            let own =
                set.get(setting.name).map(|text| setting.parse(text).map_or(Some(text.clone()), |value| value.text()));
            let names: Vec<&'static str> = topic::synonyms(setting.name).iter().map(|(name, _)| *name).collect();
            let mut synonyms =
                names.first().map_or_else(Vec::new, |first| broker_synonyms(first, &names, broker.set()));
            if let Some(value) = &own {
                synonyms.insert(0, Synonym { name: setting.name, value: value.clone(), source: Source::Topic });
            }
            let value = own.unwrap_or_else(|| topic::inherited(setting.name, broker).text());
            entry(setting, value, false, synonyms)
        })
        .collect()
}

/// All that a broker has; `own` is what it decided itself, such as `node.id`.
pub fn broker(broker: &BrokerSettings, own: &[(&str, String)]) -> Vec<Entry> {
    let mut set = broker.set().clone();
    set.extend(own.iter().map(|(name, value)| (name.to_string(), value.clone())));
    BROKER
        .iter()
        .filter(|setting| !setting.internal || set.contains_key(setting.name))
        .map(|setting| {
            let names = same_thing(setting.name);
            let names = if names.is_empty() { &[setting.name][..] } else { names };
            let synonyms = broker_synonyms(setting.name, names, &set);
            let value = match set.get(setting.name) {
                Some(text) => setting.parse(text).map_or(Some(text.clone()), |value| value.text()),
                None => setting.default.map(str::to_owned),
            };
            entry(setting, value, setting.dynamic == Dynamic::ReadOnly, synonyms)
        })
        .collect()
}

fn entry(setting: &'static Setting, value: Option<String>, read_only: bool, synonyms: Vec<Synonym>) -> Entry {
    let sensitive = setting.is_sensitive();
    Entry {
        name: setting.name,
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only,
        sensitive,
        kind: setting.kind,
        synonyms,
        documentation: &setting.documentation,
    }
}

/// Broker settings that set the same thing in other units.
fn same_thing(name: &str) -> &'static [&'static str] {
    match name {
        "log.roll.ms" | "log.roll.hours" => &["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => &[],
    }
}

/// What is set of `names`, then their defaults; Kafka leaves out what comes before the first that is `name` itself.
fn broker_synonyms(name: &str, names: &[&'static str], set: &BTreeMap<String, String>) -> Vec<Synonym> {
    let settings = || names.iter().filter_map(|name| BROKER.get(name));
    let secret = |setting: &Setting, value: String| Some(value).filter(|_| !setting.is_sensitive());
    let statics = settings().filter_map(|setting| {
        let value = secret(setting, set.get(setting.name)?.clone());
        Some(Synonym { name: setting.name, value, source: Source::StaticBroker })
    });
    let defaults = settings().filter_map(|setting| {
        let value = secret(setting, setting.default?.to_owned());
        Some(Synonym { name: setting.name, value, source: Source::Default })
    });
    statics.chain(defaults).skip_while(|synonym| synonym.name != name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// `name = value | SOURCE synonyms`, as a script that asked Kafka 4.3 printed them.
    fn line(entries: &[Entry], name: &str) -> String {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        let text = |value: &Option<String>| value.clone().unwrap_or("null".into());
        let synonyms: Vec<String> = entry
            .synonyms
            .iter()
            .map(|synonym| format!("{}={}/{:?}", synonym.name, text(&synonym.value), synonym.source))
            .collect();
        format!("{} | {:?} {}", text(&entry.value), entry.source, synonyms.join(", "))
    }

    #[test]
    fn a_topics_settings_name_their_source_and_their_synonyms() {
        let broker = BrokerSettings::parse(&map(&[("log.segment.bytes", "2097152")])).unwrap();
        let entries = topic(&map(&[("retention.ms", " 5 "), ("cleanup.policy", "")]), &broker);
        assert_eq!(entries.len(), 33);
        assert_eq!(
            line(&entries, "cleanup.policy"),
            " | Topic cleanup.policy=/Topic, log.cleanup.policy=delete/Default"
        );
        assert_eq!(line(&entries, "retention.ms"), "5 | Topic retention.ms=5/Topic");
        assert_eq!(line(&entries, "segment.ms"), "604800000 | Default ");
        assert_eq!(line(&entries, "flush.ms"), "9223372036854775807 | Default ");
        assert_eq!(
            line(&entries, "segment.bytes"),
            "2097152 | StaticBroker log.segment.bytes=2097152/StaticBroker, log.segment.bytes=1073741824/Default"
        );
        assert_eq!(line(&entries, "max.message.bytes"), "1048588 | Default message.max.bytes=1048588/Default");
    }

    #[test]
    fn a_brokers_settings_show_no_secret() {
        let settings = BrokerSettings::parse(&map(&[("ssl.key.password", "hush")])).unwrap();
        let entries = broker(&settings, &[("broker.id", "1".into())]);
        assert_eq!(line(&entries, "ssl.key.password"), "null | StaticBroker ssl.key.password=null/StaticBroker");
        assert_eq!(line(&entries, "broker.id"), "1 | StaticBroker broker.id=1/StaticBroker, broker.id=-1/Default");
        assert_eq!(line(&entries, "log.retention.ms"), "null | Default ");
        let by_name = |name| entries.iter().find(|entry| entry.name == name).unwrap();
        assert!(by_name("broker.id").read_only && !by_name("log.segment.bytes").read_only);
    }
}
