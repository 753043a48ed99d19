//! Who is called what, and whether Kafka knows the names of settings.

use std::collections::BTreeSet;

use super::lex::Word;
use super::parse::Line;
use crate::config::broker;
use crate::config::table::{BROKER, TOPIC};
use crate::near::hint;

/// Who is in the text, wherever they are written.
#[derive(Default)]
pub(super) struct Names {
    pub brokers: u32,
    pub producers: BTreeSet<String>,
    pub consumers: BTreeSet<String>,
}

impl Names {
    pub fn of<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Names {
        let mut names = Names { brokers: 1, ..Names::default() };
        for line in lines {
            let skip = usize::from(line.words.first().is_some_and(|word| word.bytes().starts_with(b"@")));
            let word = |index: usize| line.words.get(skip + index).and_then(Word::text);
            match word(0).as_deref() {
                Some("cluster") => {
                    let count = (1..).map_while(word).find_map(|word| word.strip_prefix("brokers=")?.parse().ok());
                    names.brokers = count.unwrap_or(names.brokers);
                }
                Some("producer") => names.producers.extend(word(1)),
                Some("consumer") => names.consumers.extend(word(1)),
                _ => {}
            }
        }
        names
    }
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Kafka's rule for topic names (`Topic.validate`).
pub(super) fn topic_name(name: &str) -> Result<(), String> {
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
        return Err(format!("a topic has no config {name}.{}", hint(name, TOPIC.iter().map(|known| known.name))));
    };
    setting.parse(value).map(drop).map_err(|error| error.0)
}

pub(super) fn broker_setting(name: &str, value: &str) -> Result<(), String> {
    broker::check(name, value).map_err(|error| match BROKER.get(name) {
        Some(_) => error.0,
        None => {
            let words = ["brokers", "racks", "latency", "loss", "placement"];
            let known = words.into_iter().chain(BROKER.iter().map(|known| known.name));
            format!("a broker has no setting {name}.{}", hint(name, known))
        }
    })
}
