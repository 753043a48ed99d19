//! The topics that coordinators write to. Clients read them as any other; nobody else writes to them.

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::protocol::StrBytes;

use crate::config::BrokerSettings;

/// Clients that call themselves so may write to internal topics.
pub const ADMIN_CLIENT: &str = "__admin_client";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Internal {
    /// `__consumer_offsets`.
    Groups,
    /// `__transaction_state`.
    Transactions,
    /// `__share_group_state`.
    ShareStates,
}

/// Topics that brokers keep for themselves, whether there is a coordinator here that needs them or not.
const NAMES: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

pub fn is_internal(topic: &TopicName) -> bool {
    NAMES.contains(&topic.0.as_str())
}

impl Internal {
    pub const ALL: [Internal; 3] = [Internal::Groups, Internal::Transactions, Internal::ShareStates];

    pub fn name(self) -> TopicName {
        TopicName(StrBytes::from_static_str(NAMES[self as usize]))
    }

    pub fn of(topic: &TopicName) -> Option<Internal> {
        Internal::ALL.into_iter().find(|internal| NAMES[*internal as usize] == topic.0.as_str())
    }

    /// As it is created when it is first needed.
    pub fn creatable(self, settings: &BrokerSettings) -> CreatableTopic {
        let topic = &settings.internal_topics[self as usize];
        let configs = topic.configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value.clone())))
        });
        CreatableTopic::default()
            .with_name(self.name())
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
            .with_configs(configs.collect())
    }
}

/// The partition in which the state of a group, of a transactional id, or of a share-partition is kept.
pub fn partition_for(key: &str, partitions: usize) -> i32 {
    // Java's `hashCode`, and Kafka's `Utils.abs`.
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let positive = hash.checked_abs().unwrap_or(0);
    positive % partitions.max(1) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafka_looks_for_them() {
        // The last one's hash is i32::MIN; that of a letter beyond the 16 bits is of its two halves.
        let cases = [("", 0), ("console-consumer-1", 24), ("polygenelubricants", 0), ("gruppe-ä", 48), ("𝄞", 44)];
        assert_eq!(cases.map(|(key, _)| partition_for(key, 50)), cases.map(|(_, partition)| partition));
    }
}
