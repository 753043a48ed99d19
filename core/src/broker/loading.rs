//! The coordinators' shards are loaded when this broker begins to lead their partitions, by reading what was written, a piece
//! after the other, and dropped when it leads them no more ([`super::coordinate`]).

use super::coordinate::{Hosted, each};
use super::{Broker, Effect};
use crate::broker::purgatory::Reading;
use crate::coordinator::topic::Internal;
use crate::coordinator::{Event, Shard};
use crate::error::ErrorCode;
use crate::id::{LogId, TopicPartition};
use crate::log::{Found, ReadSeek, Slice};
use crate::view::Level;

/// Bytes of a log that are replayed in one step, so that nobody else waits long.
const LOAD_BYTES: u32 = 256 * 1024;

/// A look into a log that is being loaded.
#[derive(Clone)]
pub struct Loading {
    kind: Internal,
    partition: i32,
    generation: u64,
    /// Not the records yet, but where they lie.
    seek: Option<ReadSeek>,
}

impl Broker {
    /// A partition may be led here now, or not any more.
    pub(super) fn look_after(&mut self, log: LogId, out: &mut Vec<Effect>) {
        let Some(partition) = self.slot(log) else { return };
        let name = partition.name.clone();
        let leads = partition.led_in(-1).is_ok();
        if let Some(kind) = Internal::of(&name.topic) {
            each!(kind, self.look_after_shard(&name, log, leads, out));
        }
    }

    /// A partition is not here any more.
    pub(super) fn look_after_none(&mut self, name: &TopicPartition, out: &mut Vec<Effect>) {
        if let Some(kind) = Internal::of(&name.topic) {
            each!(kind, self.drop_shard(name.partition, out));
        }
    }

    fn look_after_shard<M: Hosted>(&mut self, name: &TopicPartition, log: LogId, leads: bool, out: &mut Vec<Effect>) {
        let partition = name.partition;
        let start = self.slot(log).map_or(0, |slot| slot.log.log_start_offset());
        let coordinators = M::coordinators(self);
        let here = coordinators.shards.get(&partition).is_some_and(|shard| shard.log == log);
        if here == leads {
            return;
        }
        self.drop_shard::<M>(partition, out);
        if leads {
            let coordinators = M::coordinators(self);
            let generation = coordinators.next_generation;
            coordinators.next_generation += 1;
            coordinators.shards.insert(partition, Shard::new(log, generation, start));
            self.coordinated.insert(log, (M::TOPIC, partition));
            self.load::<M>(partition, out);
        }
    }

    fn drop_shard<M: Hosted>(&mut self, partition: i32, out: &mut Vec<Effect>) {
        if M::coordinators(self).shard(partition).is_ok() {
            let decision = self.decide_in::<M>(partition, Event::Unloading);
            for reply in decision.replies {
                self.gathers.put(reply, out);
            }
        }
        let coordinators = M::coordinators(self);
        let Some(mut shard) = coordinators.shards.remove(&partition) else { return };
        coordinators.set_alarm(partition);
        self.coordinated.remove(&shard.log);
        M::dropped(self, partition);
        for mut settled in shard.abandon() {
            let next = settled.next.take();
            self.refused(settled, ErrorCode::NotCoordinator, out);
            if let Some(next) = next {
                M::abandoned(self, next, out);
            }
        }
    }

    /// Goes on reading a shard's log.
    pub(super) fn load<M: Hosted>(&mut self, partition: i32, out: &mut Vec<Effect>) {
        let Some(shard) = M::coordinators(self).shard_mut(partition) else { return };
        let Some(next) = shard.loads_from() else { return };
        let (log, generation) = (shard.log, shard.generation);
        let Some(slot) = self.slot(log) else { return };
        let (start, end) = (slot.log.log_start_offset(), slot.log.end());
        if next >= end {
            return self.shard_loaded::<M>(partition, log, out);
        }
        if next < start {
            M::coordinators(self).shard_mut(partition).expect("it was there").skip_to(start);
            return self.load::<M>(partition, out);
        }
        // Until its bytes are in the file they cannot be read: `appended` comes back.
        if next >= slot.log.appended_end() {
            return;
        }
        let found = slot.log.read(next, LOAD_BYTES, slot.log.appended_end(), true);
        self.look_for_records::<M>(partition, generation, found, out);
    }

    fn look_for_records<M: Hosted>(
        &mut self,
        partition: i32,
        generation: u64,
        found: Found<Result<Slice, ErrorCode>, ReadSeek>,
        out: &mut Vec<Effect>,
    ) {
        let (extent, seek) = match found {
            Found::Read(extent, seek) => (extent, Some(seek)),
            Found::Here(Ok(slice)) => match slice.extent {
                Some(extent) => (extent, None),
                None => return self.shard_failed::<M>(partition, "the log ends where it should not", out),
            },
            Found::Here(Err(error)) => return self.shard_failed::<M>(partition, &error.to_string(), out),
        };
        if let Some(shard) = M::coordinators(self).shard_mut(partition) {
            shard.reads();
        }
        let read = self.purgatory.read(Reading::Load(Loading { kind: M::TOPIC, partition, generation, seek }));
        out.push(Effect::Read { read, extent });
    }

    /// What was to be read is there.
    pub(super) fn resume_load(&mut self, loading: Loading, bytes: &bytes::Bytes, out: &mut Vec<Effect>) {
        each!(loading.kind, self.resume_load_of(loading, bytes, out));
    }

    fn resume_load_of<M: Hosted>(&mut self, loading: Loading, bytes: &bytes::Bytes, out: &mut Vec<Effect>) {
        let Loading { partition, generation, seek, .. } = loading;
        let Some(shard) = M::coordinators(self).shard_mut(partition) else { return };
        if shard.generation != generation {
            return;
        }
        let log = shard.log;
        let Some(slot) = self.slot(log) else { return };
        if let Some(seek) = seek {
            let found = seek.resume(&slot.log, bytes);
            return self.look_for_records::<M>(partition, generation, found, out);
        }
        let high_watermark = slot.log.high_watermark();
        let shard = M::coordinators(self).shard_mut(partition).expect("it was there");
        match shard.replay_read(bytes.clone(), high_watermark) {
            Ok(()) => self.load::<M>(partition, out),
            Err(why) => self.shard_failed::<M>(partition, &why, out),
        }
    }

    fn shard_loaded<M: Hosted>(&mut self, partition: i32, log: LogId, out: &mut Vec<Effect>) {
        let Some(slot) = self.slot(log) else { return };
        let (end, high_watermark) = (slot.log.end(), slot.log.high_watermark());
        if let Some(shard) = M::coordinators(self).shard_mut(partition) {
            shard.loaded(end, high_watermark);
        }
        self.coordinate::<M>(partition, Event::Loaded, out);
    }

    /// Nothing can be said about what is kept there, so nobody is told anything.
    fn shard_failed<M: Hosted>(&mut self, partition: i32, why: &str, out: &mut Vec<Effect>) {
        if let Some(shard) = M::coordinators(self).shard_mut(partition) {
            shard.failed();
        }
        let name = TopicPartition::new(M::TOPIC.name(), partition);
        let text = format!("Failed to load metadata from {name} due to {why}");
        out.push(Effect::Note { level: Level::Bad, text });
    }
}
