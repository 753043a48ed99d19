//! Topics go. What is refused, and in which words, is Kafka's `ReplicationControlManager`; how they go is that of Kafka with
//! ZooKeeper:
//!
//! ```text
//! (there) ─[asked for, or marked by another hand]─▶ deleting: marked, led by nobody, gone for clients
//!         deleting ─[every broker with a replica of it has dropped that]─▶ its znodes go, the mark last
//! ```
//!
//! 1. While a broker with a replica is down the topic stays marked, and its name is taken: what comes back with that broker
//!    must not be taken for another topic's.
//! 2. A reassignment of it ends there: all replicas go, those that it brought too.

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::topic::{plain, refuse, text, twice};
use super::{Controller, Output, Work};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, Topic};
use crate::time::Now;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// A deletion that is under way.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    /// In which version of the cluster's state it began: who has applied that has dropped its replicas.
    since: u64,
    /// Who has not.
    left: VecSet<BrokerId>,
}

impl Deletion {
    fn of(topic: &Topic, since: u64) -> Deletion {
        let replicas = topic.partitions.iter().flat_map(|partition| &partition.replicas);
        Deletion { since, left: replicas.copied().collect() }
    }
}

impl Controller {
    pub fn delete_topics(&mut self, request: &DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
        let asked: Vec<(Option<TopicName>, Uuid)> = if version >= 6 {
            request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)).collect()
        } else {
            request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil())).collect()
        };
        let names_twice = twice(asked.iter().filter(|(_, id)| id.is_nil()).filter_map(|(name, _)| name.as_ref()));
        let ids_twice = twice(asked.iter().filter(|(name, id)| name.is_none() && !id.is_nil()).map(|(_, id)| id));

        let by_id: VecMap<Uuid, TopicName> = match asked.iter().any(|(name, _)| name.is_none()) {
            true => self.state.topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect(),
            false => VecMap::new(),
        };

        let mut results = Vec::new();
        let mut gone: VecSet<TopicName> = VecSet::new();
        for (name, id) in &asked {
            let outcome = match (name, id.is_nil()) {
                (None, true) => refuse(ErrorCode::InvalidRequest, "Neither topic name nor id were specified."),
                (Some(_), false) => {
                    refuse(ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.")
                }
                (Some(name), true) if names_twice.contains(name) => continue,
                (None, false) if ids_twice.contains(id) => continue,
                _ if !self.settings.delete_topic_enable && version < 3 => {
                    refuse(ErrorCode::InvalidRequest, "Topic deletion is disabled.")
                }
                _ if !self.settings.delete_topic_enable => Err(plain(ErrorCode::TopicDeletionDisabled)),
                (Some(name), true) => match self.state.topics.get(name) {
                    Some(topic) => Ok((name.clone(), topic.id, topic.partitions.len())),
                    None => Err(plain(ErrorCode::UnknownTopicOrPartition)),
                },
                (None, false) => match by_id.get(id).and_then(|name| self.state.topics.get_key_value(name)) {
                    Some((name, topic)) => Ok((name.clone(), *id, topic.partitions.len())),
                    None => Err(plain(ErrorCode::UnknownTopicId)),
                },
            };
            let outcome = outcome.and_then(|(name, id, partitions)| {
                if gone.contains(&name) {
                    let why = "The provided topic name maps to an ID that was already supplied.";
                    return refuse(ErrorCode::InvalidRequest, why);
                }
                self.charge(partitions)?;
                gone.insert(name.clone());
                Ok((name, id))
            });
            results.push(match outcome {
                Ok((name, id)) => DeletableTopicResult::default().with_name(Some(name)).with_topic_id(id),
                Err((error, message)) => DeletableTopicResult::default()
                    .with_name(name.clone())
                    .with_topic_id(*id)
                    .with_error_code(error.code())
                    .with_error_message(Some(text(message))),
            });
        }
        let duplicate = |message: &'static str| {
            DeletableTopicResult::default()
                .with_error_code(ErrorCode::InvalidRequest.code())
                .with_error_message(Some(StrBytes::from_static_str(message)))
        };
        results.extend(names_twice.into_iter().map(|name| duplicate("Duplicate topic name.").with_name(Some(name))));
        results
            .extend(ids_twice.into_iter().map(|id| duplicate("Duplicate topic id.").with_name(None).with_topic_id(id)));
        if !gone.is_empty() {
            self.begin_deletion(gone);
        }
        DeleteTopicsResponse::default().with_responses(results)
    }

    /// From now on they are gone for clients, and brokers drop what they have of them.
    pub(super) fn begin_deletion(&mut self, names: VecSet<TopicName>) {
        self.change(|state| {
            for name in names {
                let Some(mut topic) = state.topics.remove(&name) else { continue };
                topic.partitions.iter_mut().for_each(abandon);
                state.deleting.insert(name, topic);
            }
        });
        self.watch_deletions();
    }

    /// An earlier controller has begun them.
    pub(super) fn resume_deletions(&mut self) {
        self.deletions.clear();
        if !self.state.deleting.is_empty() {
            self.change(|state| {
                state.deleting.values_mut().flat_map(|topic| &mut topic.partitions).for_each(abandon);
            });
        }
        self.watch_deletions();
    }

    fn watch_deletions(&mut self) {
        let (version, deleting) = (self.state.version, &self.state.deleting);
        self.deletions.retain(|name, _| deleting.contains_key(name));
        for (name, topic) in deleting {
            self.deletions.entry(name.clone()).or_insert_with(|| Deletion::of(topic, version));
        }
    }

    /// A broker lives by that version of the cluster's state.
    pub fn confirmed(&mut self, now: Now, broker: BrokerId, version: u64, out: &mut Vec<Output>) {
        let mut done = false;
        for deletion in self.deletions.values_mut().filter(|deletion| deletion.since <= version) {
            done |= deletion.left.remove(&broker) && deletion.left.is_empty();
        }
        if done {
            self.enqueue(now, Work::Deleted, out);
        }
    }

    /// Topics of which nothing is left anywhere.
    pub(super) fn finish_deletions(&mut self) {
        let done = self.deletions.iter().filter(|(_, deletion)| deletion.left.is_empty());
        let done: Vec<TopicName> = done.map(|(name, _)| name.clone()).collect();
        if !done.is_empty() {
            self.change(|state| state.deleting.retain(|name, _| !done.contains(name)));
        }
    }
}

/// Nobody leads it any more.
fn abandon(partition: &mut Assignment) {
    if partition.partition_epoch == Assignment::NEW {
        // It never was.
        partition.isr.clear();
    } else if partition.leader != BrokerId::NONE {
        partition.leader_epoch += 1;
    }
    partition.leader = BrokerId::NONE;
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cluster, topic};
    use super::super::topic::tests::{create, request};
    use super::*;

    #[test]
    fn topics_are_deleted_by_name_or_by_id() {
        use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
        let mut controller = cluster(1);
        create(&mut controller, request("x", 1, 1));
        create(&mut controller, request("y", 1, 1));
        let id = controller.state().topics[&topic("y")].id;
        let states = vec![
            DeleteTopicState::default().with_name(Some(topic("x"))),
            DeleteTopicState::default().with_name(None).with_topic_id(id),
            DeleteTopicState::default().with_name(Some(topic("z"))),
        ];
        let response = controller.delete_topics(&DeleteTopicsRequest::default().with_topics(states), 6);
        assert_eq!(response.responses.iter().map(|result| result.error_code).collect::<Vec<_>>(), [0, 0, 3]);
        assert!(controller.state().topics.is_empty());
    }
}
