//! All settings of Kafka 4.3, and the few that are not its, from the tables beside this file.

use std::sync::LazyLock;

use super::setting::{Dynamic, Kind, Setting, Valid};
use crate::vec_map::VecMap;

/// A text that only a real broker's clients ask for, and that a page need not carry.
macro_rules! not_on_a_page {
    ($file:literal) => {
        if cfg!(target_arch = "wasm32") { "" } else { include_str!($file) }
    };
}

/// What a topic can be set to.
pub static TOPIC: LazyLock<Table> =
    LazyLock::new(|| Table::parse([(include_str!("topic.tsv"), not_on_a_page!("topic.documentation.tsv"))]));
/// What a broker can be set to. What Kafka 4.3 has no more, or never had, DescribeConfigs shows only where it is set.
pub static BROKER: LazyLock<Table> = LazyLock::new(|| {
    Table::parse([
        (include_str!("broker.tsv"), not_on_a_page!("broker.documentation.tsv")),
        (include_str!("own.tsv"), not_on_a_page!("own.documentation.tsv")),
    ])
});

/// What a group can be set to: what all groups can be, without the `group.` in front, and what only one can be.
pub static GROUP: LazyLock<Table> = LazyLock::new(|| {
    let alone = Table::parse([(include_str!("group.tsv"), not_on_a_page!("group.documentation.tsv"))]);
    let own = |name: &'static str| match BROKER.get(&super::group::of_all(name)) {
        Some(of_all) => {
            // How large it may be, brokers are set to.
            let valid = match of_all.valid {
                Valid::Range { min, .. } => Valid::Range { min, max: None },
                valid => valid,
            };
            Setting { name, dynamic: Dynamic::PerGroup, valid, ..of_all.clone() }
        }
        None => alone.get(name).expect("what not all groups have one group has").clone(),
    };
    Table::new(super::group::OF_ONE.map(own).into())
});

/// Settings in the order in which Kafka defines them.
#[derive(Clone, Debug)]
pub struct Table {
    settings: Vec<Setting>,
    by_name: VecMap<&'static str, usize>,
}

impl Table {
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.by_name.get(name).map(|&index| &self.settings[index])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    /// From files of settings, each with what has their documentation in the same order, or nothing.
    fn parse<const FILES: usize>(files: [(&'static str, &'static str); FILES]) -> Table {
        let settings = files.into_iter().flat_map(|(settings, documentation)| {
            let mut documentation = documentation.lines();
            settings.lines().skip(1).map(move |line| setting(line, documentation.next()))
        });
        Table::new(settings.collect())
    }

    fn new(settings: Vec<Setting>) -> Table {
        let by_name = settings.iter().enumerate().map(|(index, setting)| (setting.name, index)).collect();
        Table { settings, by_name }
    }
}

fn setting(line: &'static str, documentation: Option<&str>) -> Setting {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let [name, kind, default, _importance, dynamic, visible, valid] = columns[..] else {
        panic!("a line of a settings table has seven columns: {line}");
    };
    let documentation = documentation.map_or("", |line| {
        let (of, documentation) = line.split_once('\t').expect("a line of documentation has a name and a text");
        assert_eq!(of, name, "documentation is in the order of the settings");
        documentation
    });
    Setting {
        name,
        kind: Kind::from_name(kind).expect("the tables' types are Kafka's"),
        default: default.strip_prefix('='),
        dynamic: match dynamic {
            "read-only" => Dynamic::ReadOnly,
            "per-broker" => Dynamic::PerBroker,
            "cluster-wide" => Dynamic::ClusterWide,
            "per-group" => Dynamic::PerGroup,
            _ => Dynamic::PerTopic,
        },
        internal: visible == "internal",
        documentation: documentation.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\"),
        valid: valid_values(valid),
    }
}

/// Kafka's own words for what is valid: `[1,...]`, `[0,...,1]`, `[compact, delete]`, …
fn valid_values(words: &'static str) -> Valid {
    if let Some(names) = words.strip_prefix("(case insensitive) [") {
        return Valid::OneOfIgnoringCase(names.trim_end_matches(']'));
    }
    if let Some(names) = words.strip_prefix("non-empty list of [") {
        return Valid::SomeOf(names.trim_end_matches(']'));
    }
    if words.starts_with("[partitionId]") {
        return Valid::ThrottledReplicas;
    }
    match words {
        "non-empty string" => return Valid::NonEmptyString,
        "non-empty list" => return Valid::NonEmptyList,
        "no duplicates" => return Valid::NoDuplicates,
        "earliest, latest or by_duration" => return Valid::OffsetReset,
        "[1,...,9] or -1" => return Valid::LevelOrDefault { min: 1, max: 9, default: -1 },
        _ => {}
    }
    let Some(inner) = words.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return Valid::Any;
    };
    match inner.split_once(",...") {
        Some((min, max)) => Valid::Range { min: Some(min), max: max.strip_prefix(',') },
        None => Valid::OneOf(inner),
    }
}
