//! A producer as a page draws it: where what it has in hand is.

use super::Producer;
use super::accumulator::{ProducerBatch, QueueId};
use super::application::Method;
use super::partitioner::Class;
use crate::arrange::Arrange;
use crate::vec_map::VecMap;
use crate::view::{PendingView, QueueView, StagesView};

impl Producer {
    pub(super) fn stages(&self) -> StagesView {
        let mut queues: VecMap<QueueId, QueueView> = VecMap::new();
        for (id, _, queue) in self.accumulator.waiting() {
            let view = queues.entry(id).or_default();
            view.waiting = queue.batches() as u32;
            view.batches = queue.iter().take(StagesView::BATCHES).map(pending).collect();
        }
        for (id, batch) in self.sender.flying() {
            let view = queues.entry(*id).or_default();
            view.in_flight += 1;
            if view.flying.len() < StagesView::BATCHES {
                view.flying.push(pending(batch));
            }
        }
        let named = |(id, view): (QueueId, QueueView)| QueueView {
            topic: self.accumulator.queues(id.topic).topic.0.to_string(),
            partition: id.partition as i32,
            ..view
        };
        let mut queues: Vec<QueueView> = queues.into_iter().map(named).collect();
        queues.arrange_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        let settings = &self.settings;
        StagesView {
            blocked: self.application.blocking().filter(|(method, _)| matches!(method, Method::Send(..))).map(
                |(_, since)| {
                    let why =
                        if self.accumulator.is_exhausted() { "buffer.memory is used up" } else { "it needs metadata" };
                    format!("{why}, since {:.1} s", since.as_secs_f64())
                },
            ),
            partitioner: match (&settings.partitioner, settings.ignore_keys) {
                (Class::BuiltIn, true) => "sticky: one partition until a batch is full",
                (Class::BuiltIn, false) => "murmur2(key) mod partitions; without a key sticky",
                (named, _) => named.name(),
            }
            .to_owned(),
            batch_size: settings.batch_size as u32,
            linger_ms: settings.linger.as_millis() as u64,
            queues,
        }
    }
}

fn pending(batch: &ProducerBatch) -> PendingView {
    let records = batch.sequences.len() as u32;
    PendingView { records, bytes: batch.size() as u32, attempts: batch.attempts }
}
