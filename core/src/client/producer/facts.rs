//! What there is to see of a producer.

use super::accumulator::QueueId;
use super::{Producer, name_of, settings};
use crate::client::serdes::Serde;
use crate::client::setting;
use crate::view::{FactGroup, Health, IdentityView, ProducerView};

impl Producer {
    pub fn view(&self) -> ProducerView {
        ProducerView {
            name: self.name.clone(),
            // The rate stands beside it.
            settings: setting::text(self.set.iter().filter(|(name, _)| *name != "rate")),
            topic: self.topics.iter().map(|topic| &*topic.0).collect::<Vec<_>>().join(","),
            health: Health::Running,
            rate: self.application.rate(),
            sent: self.counts.sent,
            acked: self.counts.acked,
            failed: self.counts.failed,
            retries: self.counts.retries,
            buffered: self.accumulator.reserved(),
            buffer_memory: self.settings.buffer_memory,
            requests: self.counts.requests,
            in_flight: self.network.all_in_flight() as u32,
            identity: self.sender.transactions.as_ref().map(|manager| IdentityView {
                producer_id: manager.producer().id,
                producer_epoch: manager.producer().epoch,
                transactional_id: manager.transactional_id.as_ref().map(|id| id.to_string()),
                state: manager.state().to_owned(),
                partitions: manager.added().map(|id| self.partition(id)).collect(),
                committed: self.counts.committed,
                aborted: self.counts.aborted,
            }),
            stages: Some(self.stages()),
        }
    }

    /// What its serializers take, and its producer id.
    pub fn serdes(&self) -> ([Serde; 2], i64) {
        let id = self.sender.transactions.as_ref().map_or(-1, |manager| manager.producer().id);
        ([self.settings.key_serializer, self.settings.value_serializer], id)
    }

    pub fn writes_to(&self, topic: &str) -> bool {
        self.topics.iter().any(|known| &*known.0 == topic)
    }

    fn partition(&self, id: QueueId) -> String {
        format!("{}-{}", self.accumulator.queues(id.topic).topic.0, id.partition)
    }

    /// What there is to see of it beyond the view, stage by stage.
    pub fn facts(&self) -> Vec<FactGroup> {
        let group = |title: &str, facts| FactGroup { title: title.to_string(), facts };
        let fact = |name: &str, value: String| (name.to_string(), value);
        let queued = self.accumulator.waiting().map(|(id, topic, queue)| {
            let first = queue.first().map_or(0, |batch| batch.sequences.len());
            (
                format!("{}-{}", topic.0, id.partition),
                format!("{} batches, {first} records in the first", queue.batches()),
            )
        });
        let mut partitioner = vec![fact("partitioner.class", self.settings.partitioner.name().to_string())];
        partitioner.extend(
            self.accumulator.sticky().map(|(topic, partition)| {
                (format!("without a key, of {}", topic.0), format!("to partition {partition}"))
            }),
        );
        let blocking = self.application.blocking();
        let blocked =
            blocking.map_or("none".to_string(), |(method, since)| format!("{}() since {since}", name_of(method)));
        let accumulator = [fact("bytes reserved", self.accumulator.reserved().to_string())].into_iter().chain(queued);
        let leaders = self.metadata.topics().iter().flat_map(|topic| {
            topic.partitions.iter().enumerate().map(|(index, partition)| {
                let leader = partition.leader.map_or("none".to_string(), |leader| leader.to_string());
                (format!("{}-{index}", topic.name.0), format!("leader {leader}, epoch {}", partition.leader_epoch))
            })
        });
        let groups = vec![
            group(
                "Application",
                vec![
                    fact("records a second", self.application.rate().to_string()),
                    fact("call that blocks", blocked),
                    fact("calls waiting", self.application.waiting().to_string()),
                    fact("handlers at work", format!("{} of {}", self.application.at_work(), self.settings.handlers)),
                ],
            ),
            group(
                "Serializer",
                vec![
                    fact("key.serializer", self.settings.key_serializer.serializer().to_string()),
                    fact("value.serializer", self.settings.value_serializer.serializer().to_string()),
                ],
            ),
            group("Partitioner", partitioner),
            group("Accumulator", accumulator.collect()),
            group(
                "Transaction manager",
                self.sender.transactions.as_ref().map_or(Vec::new(), |manager| manager.facts(|id| self.partition(id))),
            ),
            group(
                "Sender",
                vec![
                    fact("batches in flight", self.sender.in_flight().to_string()),
                    fact("requests", self.counts.requests.to_string()),
                ],
            ),
            group("Metadata", leaders.collect()),
            group("Connections", self.network.facts()),
            group("Settings", setting::facts(settings::TABLE, &self.set, &self.name)),
        ];
        groups.into_iter().filter(|group| group.title != "Transaction manager" || !group.facts.is_empty()).collect()
    }
}
