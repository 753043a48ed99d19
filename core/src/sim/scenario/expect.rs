//! Lines about what is expected.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::line::{Line, Parsed, none_of};
use super::names::topic_name;
use super::parse::NOBODY;
use super::{BROKER_COUNTS, CLUSTER_COUNTS, COUNTS, Comparison, Expectation, GROUP_COUNTS, PARTITION_COUNTS};
use crate::id::TopicPartition;
use crate::near::hint;

impl Line<'_> {
    pub(super) fn expect(&self, from: usize) -> Parsed<Expectation> {
        // Spaces around the comparison are free.
        let mut text = String::new();
        for index in from + 1..self.words.len() {
            text.push_str(&self.text(index, "an expectation")?);
        }
        match text.as_str() {
            "no-acked-record-lost" => return Ok(Expectation::NoAckedRecordLost),
            "invariants-hold" => return Ok(Expectation::InvariantsHold),
            "settled" => return Ok(Expectation::Settled),
            _ => {}
        }
        let counts = COUNTS.map(|(name, _)| name);
        let of_partitions = PARTITION_COUNTS.map(|(name, _)| name);
        let of_cluster = CLUSTER_COUNTS.map(|(name, _)| name);
        let of_brokers = BROKER_COUNTS.map(|(name, _)| name);
        let of_groups = GROUP_COUNTS.map(|(name, _)| name);
        if let Some(owner) = text.strip_prefix("owner:") {
            return self.owner(from + 1, owner);
        }
        let known = || {
            let all = counts.into_iter().chain(of_partitions).chain(of_cluster).chain(of_brokers).chain(of_groups);
            all.chain(["no-acked-record-lost", "invariants-hold", "settled"])
        };
        let Some(at) = text.find(['<', '=', '>']) else {
            let hint = hint(&text, known());
            let message =
                format!("expected no-acked-record-lost, or a count such as acked >= 100, found {text}.{hint}");
            return self.wrong(from + 1, message);
        };
        let (what, rest) = text.split_at(at);
        let (count, of) = what.split_once(':').map_or((what, None), |(count, of)| (count, Some(of)));
        match of {
            None if counts.contains(&count) || of_cluster.contains(&count) || of_brokers.contains(&count) => {}
            Some(of) if of_brokers.contains(&count) => drop(self.broker_named(from + 1, of)?),
            Some(of) if counts.contains(&count) => self.known_client(from + 1, of, true, true)?,
            Some(of) if of_partitions.contains(&count) => {
                let partition =
                    of.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<u16>().ok()?)));
                if partition.is_none_or(|(topic, _)| topic_name(topic).is_err()) {
                    return self.wrong(from + 1, format!("expected a partition, such as {count}:orders-0"));
                }
            }
            Some(of) if of_groups.contains(&count) && !of.is_empty() => {}
            None | Some("") if of_groups.contains(&count) => {
                return self.wrong(from + 1, format!("expected a group behind it, such as {count}:g"));
            }
            None if of_partitions.contains(&count) => {
                return self.wrong(from + 1, format!("expected a partition behind it, such as {count}:orders-0"));
            }
            _ => return self.wrong(from + 1, none_of(count, known())),
        }
        let number = rest.trim_start_matches(['<', '=', '>']);
        let symbol = match &rest[..rest.len() - number.len()] {
            "==" => "=",
            symbol => symbol,
        };
        let op = Comparison::ALL.into_iter().find(|op| op.symbol() == symbol);
        match (op, number.parse()) {
            (Some(op), Ok(value)) => Ok(Expectation::Count { what: what.to_string(), op, value }),
            (None, _) => self.wrong(from + 1, format!("expected one of <, <=, =, >=, >, found {symbol}")),
            (_, Err(_)) => self.wrong(self.words.len() - 1, format!("expected a whole number after {symbol}")),
        }
    }

    /// `g:orders-0=c1`, behind `owner:`.
    fn owner(&self, index: usize, text: &str) -> Parsed<Expectation> {
        let parts = text.split_once('=').and_then(|(what, consumer)| Some((what.rsplit_once(':')?, consumer)));
        let Some(((group, partition), consumer)) = parts.filter(|((group, _), _)| !group.is_empty()) else {
            return self.wrong(index, "expected a group, a partition and a consumer, such as owner:g:orders-0 = c1");
        };
        let name = partition.rsplit_once('-').and_then(|(topic, number)| Some((topic, number.parse::<u16>().ok()?)));
        let Some((topic, number)) = name.filter(|(topic, _)| topic_name(topic).is_ok()) else {
            return self.wrong(index, format!("expected a partition, such as orders-0, found {partition}"));
        };
        if consumer != NOBODY {
            self.known_client(index, consumer, false, true)?;
        }
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let partition = TopicPartition::new(topic, i32::from(number));
        Ok(Expectation::Owner { group: group.to_owned(), partition, consumer: consumer.to_owned() })
    }
}
