//! What DescribeConfigs says of settings, and CreateTopics of a new topic's.

use std::borrow::Cow;

use kafka_protocol::protocol::StrBytes;

use super::broker::{BrokerSettings, Layers};
use super::setting::{Dynamic, Kind, Setting};
use super::table::{BROKER, GROUP, TOPIC};
use super::{group, topic};
use crate::vec_map::VecMap;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    /// Set of this broker while it runs.
    DynamicBroker = 2,
    /// Set of all brokers while they run.
    DynamicDefaultBroker = 3,
    /// Given when the broker started.
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}

/// A name as it is sent.
pub fn wire(name: Cow<'static, str>) -> StrBytes {
    match name {
        Cow::Borrowed(name) => StrBytes::from_static_str(name),
        Cow::Owned(name) => StrBytes::from_string(name),
    }
}

/// A setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Cow<'static, str>,
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    /// `None` where nobody knows it.
    pub kind: Option<Kind>,
    /// The value and those that it hides, strongest first.
    pub synonyms: Vec<Synonym>,
    pub documentation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: Cow<'static, str>,
    pub value: Option<String>,
    pub source: Source,
}

/// All that a topic with these settings of its own has.
pub fn topic(set: &VecMap<String, String>, broker: &BrokerSettings) -> Vec<Entry> {
    TOPIC
        .iter()
        .filter(|setting| !setting.internal || set.contains_key(setting.name))
        .map(|setting| {
            let own =
                set.get(setting.name).map(|text| setting.parse(text).map_or(Some(text.clone()), |value| value.text()));
            let names: Vec<&'static str> = topic::synonyms(setting.name).iter().map(|(name, _)| *name).collect();
            let mut synonyms =
                names.first().map_or_else(Vec::new, |first| broker_synonyms(first, &names, broker.layers()));
            if let Some(value) = &own {
                synonyms.insert(0, Synonym { name: setting.name.into(), value: value.clone(), source: Source::Topic });
            }
            let value = own.unwrap_or_else(|| topic::inherited(setting.name, broker).text());
            entry(setting, value, false, synonyms)
        })
        .collect()
}

/// All that a group with these settings of its own has.
pub fn group(set: &VecMap<String, String>, broker: &BrokerSettings) -> Vec<Entry> {
    let described = |setting: &'static Setting| {
        // Some can be set of one group alone.
        let of_all = BROKER.get(&group::of_all(setting.name));
        let own =
            set.get(setting.name).map(|text| setting.parse(text).map_or(Some(text.clone()), |value| value.text()));
        let default =
            || Synonym { name: setting.name.into(), value: setting.default_value().text(), source: Source::Default };
        let mut synonyms = match of_all {
            Some(of_all) => broker_synonyms(of_all.name, &[of_all.name], broker.layers()),
            None => vec![default()],
        };
        if let Some(value) = &own {
            synonyms.insert(0, Synonym { name: setting.name.into(), value: value.clone(), source: Source::Group });
        }
        let value = own.unwrap_or_else(|| match of_all {
            Some(of_all) => broker.value(of_all.name).text(),
            None => setting.default_value().text(),
        });
        entry(setting, value, false, synonyms)
    };
    GROUP.iter().map(described).collect()
}

/// All that a broker has; `own` is what it decided itself, such as `node.id`.
pub fn broker(broker: &BrokerSettings, own: &[(&str, String)]) -> Vec<Entry> {
    let mut layers = broker.layers().clone();
    layers.given.extend(own.iter().map(|(name, value)| (name.to_string(), value.clone())));
    let known = BROKER.iter().filter(|setting| !setting.internal || layers.set(setting.name).is_some());
    let known = known.map(|setting| known_of_broker(setting, &layers));
    known.chain(layers.names().filter(|name| BROKER.get(name).is_none()).map(|name| unknown(name, &layers))).collect()
}

/// What was set of all brokers while they run.
pub fn all_brokers(set: &VecMap<String, String>) -> Vec<Entry> {
    let layers = Layers { all: set.clone(), ..Layers::default() };
    let entries = set.keys().map(|name| match BROKER.get(name) {
        Some(setting) => known_of_broker(setting, &layers),
        None => unknown(name, &layers),
    });
    let of_all = |entry: Entry| {
        let synonyms = entry.synonyms.into_iter().filter(|synonym| synonym.source == Source::DynamicDefaultBroker);
        Entry { synonyms: synonyms.collect(), ..entry }
    };
    entries.map(of_all).collect()
}

fn known_of_broker(setting: &'static Setting, layers: &Layers) -> Entry {
    let names = same_thing(setting.name);
    let names = if names.is_empty() { &[setting.name][..] } else { names };
    let synonyms = broker_synonyms(setting.name, names, layers);
    let value = match layers.set(setting.name) {
        Some(text) => setting.parse(text).map_or(Some(text.to_owned()), |value| value.text()),
        None => setting.default.map(str::to_owned),
    };
    entry(setting, value, setting.dynamic == Dynamic::ReadOnly, synonyms)
}

/// What nobody knows may be a secret.
fn unknown(name: &str, layers: &Layers) -> Entry {
    let sources = layers.each().into_iter().filter(|(set, _)| set.contains_key(name));
    let synonyms: Vec<Synonym> =
        sources.map(|(_, source)| Synonym { name: name.to_owned().into(), value: None, source }).collect();
    Entry {
        name: name.to_owned().into(),
        value: None,
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: true,
        sensitive: true,
        kind: None,
        synonyms,
        documentation: "",
    }
}

impl Layers {
    /// The strongest first.
    fn each(&self) -> [(&VecMap<String, String>, Source); 3] {
        [
            (&self.own, Source::DynamicBroker),
            (&self.all, Source::DynamicDefaultBroker),
            (&self.given, Source::StaticBroker),
        ]
    }

    /// What holds.
    fn set(&self, name: &str) -> Option<&str> {
        self.each().iter().find_map(|(set, _)| set.get(name).map(String::as_str))
    }

    /// All that are set, in order, each once.
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.each().into_iter().flat_map(|(set, _)| set.keys().map(String::as_str));
        names.collect::<crate::vec_set::VecSet<_>>().into_iter()
    }
}

fn entry(setting: &'static Setting, value: Option<String>, read_only: bool, synonyms: Vec<Synonym>) -> Entry {
    let sensitive = setting.is_sensitive();
    Entry {
        name: setting.name.into(),
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only,
        sensitive,
        kind: Some(setting.kind),
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

/// What is set of `names`, the strongest first, then their defaults; Kafka leaves out what comes before the first that is
/// `name` itself.
fn broker_synonyms(name: &str, names: &[&'static str], layers: &Layers) -> Vec<Synonym> {
    let settings = || names.iter().filter_map(|name| BROKER.get(name));
    let secret = |setting: &Setting, value: String| Some(value).filter(|_| !setting.is_sensitive());
    let set = layers.each().into_iter().flat_map(|(set, source)| {
        settings().filter_map(move |setting| {
            let value = secret(setting, set.get(setting.name)?.clone());
            Some(Synonym { name: setting.name.into(), value, source })
        })
    });
    let defaults = settings().filter(|setting| !setting.is_set_while_running_only()).filter_map(|setting| {
        let value = secret(setting, setting.default?.to_owned());
        Some(Synonym { name: setting.name.into(), value, source: Source::Default })
    });
    set.chain(defaults).skip_while(|synonym| synonym.name != name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BrokerId;
    use crate::protocol::cluster::BrokerConfigs;

    fn map(pairs: &[(&str, &str)]) -> VecMap<String, String> {
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
    fn what_only_one_group_can_be_set_to_has_a_default_of_its_own() {
        let set = map(&[("share.auto.offset.reset", "earliest"), ("share.record.lock.duration.ms", "20000")]);
        let entries = group(&set, &BrokerSettings::default());
        assert_eq!(
            line(&entries, "share.auto.offset.reset"),
            "earliest | Group share.auto.offset.reset=earliest/Group, share.auto.offset.reset=latest/Default"
        );
        assert_eq!(
            line(&entries, "share.record.lock.duration.ms"),
            "20000 | Group share.record.lock.duration.ms=20000/Group, \
             group.share.record.lock.duration.ms=30000/Default"
        );
        assert_eq!(
            line(&entries, "share.renew.acknowledge.enable"),
            "true | Default share.renew.acknowledge.enable=true/Default"
        );
    }

    #[test]
    fn what_is_set_while_a_broker_runs_stands_before_what_was_given() {
        let given = BrokerSettings::parse(&map(&[("log.segment.bytes", "1048576")])).unwrap();
        let all = map(&[("log.segment.bytes", "2097152"), ("of.a.plugin", "x")]);
        let one = map(&[("log.segment.bytes", "3145728")]);
        let configs = BrokerConfigs([(None, all.clone()), (Some(BrokerId(1)), one)].into());
        let settings = given.under(&configs, BrokerId(1));
        assert_eq!(
            line(&broker(&settings, &[]), "log.segment.bytes"),
            "3145728 | DynamicBroker log.segment.bytes=3145728/DynamicBroker, \
             log.segment.bytes=2097152/DynamicDefaultBroker, log.segment.bytes=1048576/StaticBroker, \
             log.segment.bytes=1073741824/Default"
        );
        assert_eq!(
            line(&broker(&settings, &[]), "of.a.plugin"),
            "null | DynamicDefaultBroker of.a.plugin=null/DynamicDefaultBroker"
        );
        let of_all = all_brokers(&all);
        assert_eq!(of_all.len(), 2);
        assert_eq!(
            line(&of_all, "log.segment.bytes"),
            "2097152 | DynamicDefaultBroker log.segment.bytes=2097152/DynamicDefaultBroker"
        );
        assert!(line(&topic(&VecMap::new(), &settings), "segment.bytes").starts_with("3145728 | DynamicBroker "));
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
