//! The coordinators' shards on this broker: loaded and dropped as partitions are led and lost, asked by the handlers of
//! clients' requests, woken by high watermarks and by the clock.
//!
//! ```text
//! loading.rs: this broker leads the partition ─▶ look_after ─▶ load ─[Read … Loaded]─▶ load … ─▶ Event::Loaded
//! handle/: a request ─▶ coordinate ─▶ decide ─▶ enact ─▶ append
//!                                       ▲         └─▶ nothing to wait for ─▶ settle ─▶ reply; Event::Written ─┐
//!                                       └───── high watermark [committed], clock [coordinator_timer] ─────────┘
//! ```

use std::sync::Arc;

use kafka_protocol::messages::{GroupId, ResponseKind, TopicName};
use uuid::Uuid;

use super::{Broker, Effect};
use crate::coordinator::group::{Ask, Groups, Next, Order};
use crate::coordinator::refuse::refuse;
use crate::coordinator::shard::Settled;
use crate::coordinator::topic::{Internal, partition_for};
use crate::coordinator::{Around, Decision, Event, Machine, Producer, Reply, Shard, Waiter, coordinator_error};
use crate::error::ErrorCode;
use crate::id::{LogId, Offset};
use crate::log::{Guard, Origin, Verified};
use crate::protocol::cluster::{ClusterState, Topic};
use crate::record::batch::HEADER_LEN;
use crate::record::check::Checked;
use crate::record::{BatchBuilder, Compression};
use crate::time::{Instant, Now};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// Bytes of a batch that is one of several.
const SPLIT_BYTES: usize = 256 * 1024;

/// A kind of coordinator that brokers run.
pub(crate) trait Hosted: Machine {
    const TOPIC: Internal;

    fn coordinators(broker: &mut Broker) -> &mut Coordinators<Self>;

    /// Does what was decided besides, in that partition's shard.
    fn carry_out(broker: &mut Broker, partition: i32, order: Self::Order, out: &mut Vec<Effect>);

    /// What will not be decided any more, as the shard is here no more.
    fn abandoned(_broker: &mut Broker, _next: Self::Next, _out: &mut Vec<Effect>) {}

    /// That shard is here no more.
    fn dropped(_broker: &mut Broker, _partition: i32) {}
}

/// The table of coordinators: a method for the one that writes to an internal topic.
macro_rules! each {
    ($kind:expr, $broker:ident.$method:ident($($argument:expr),*)) => {
        match $kind {
            Internal::Groups => $broker.$method::<$crate::coordinator::group::Groups>($($argument),*),
            Internal::Transactions => {
                $broker.$method::<$crate::coordinator::transaction::Transactions>($($argument),*)
            }
            Internal::ShareStates => $broker.$method::<$crate::coordinator::share::ShareStates>($($argument),*),
        }
    };
}
pub(super) use each;

impl Hosted for Groups {
    const TOPIC: Internal = Internal::Groups;

    fn coordinators(broker: &mut Broker) -> &mut Coordinators<Groups> {
        &mut broker.groups
    }

    fn carry_out(broker: &mut Broker, partition: i32, order: Order, out: &mut Vec<Effect>) {
        match order {
            Order::Note(level, text) => out.push(Effect::Note { level, text }),
            Order::ShareState(call) => broker.call_share_state(partition, call, out),
        }
    }

    fn abandoned(broker: &mut Broker, next: Next, out: &mut Vec<Effect>) {
        if let Next::Call(call) = next {
            broker.reply_all(call.refuse(ErrorCode::NotCoordinator), out);
        }
    }
}

/// All shards of one kind on this broker, by the partition of their topic.
#[derive(Clone)]
pub(crate) struct Coordinators<M: Machine> {
    pub(super) shards: VecMap<i32, Shard<M>>,
    /// When which of them is to be looked at.
    alarms: VecSet<(Instant, i32)>,
    /// Where each of them stands in `alarms`.
    alarm_of: VecMap<i32, Instant>,
    pub(super) next_generation: u64,
}

impl<M: Machine> Coordinators<M> {
    pub fn new() -> Self {
        Coordinators { shards: VecMap::new(), alarms: VecSet::new(), alarm_of: VecMap::new(), next_generation: 0 }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|&(at, _)| at)
    }

    /// The shards that answer, by partition.
    pub fn active(&self) -> impl Iterator<Item = (i32, &Shard<M>)> {
        self.shards.iter().filter(|(_, shard)| shard.active().is_ok()).map(|(&partition, shard)| (partition, shard))
    }

    /// Whether one of them is being loaded.
    pub fn is_loading(&self) -> bool {
        self.shards.values().any(Shard::is_loading)
    }

    /// The shard of a partition, if it answers.
    ///
    /// Errors: `NotCoordinator`, `CoordinatorLoadInProgress`.
    pub fn shard(&self, partition: i32) -> Result<&Shard<M>, ErrorCode> {
        let shard = self.shards.get(&partition).ok_or(ErrorCode::NotCoordinator)?;
        shard.active().map(|()| shard)
    }

    pub(super) fn shard_mut(&mut self, partition: i32) -> Option<&mut Shard<M>> {
        self.shards.get_mut(&partition)
    }

    /// Takes down when a shard is next to be looked at.
    pub(super) fn set_alarm(&mut self, partition: i32) {
        let at = self.shards.get(&partition).and_then(Shard::deadline);
        if self.alarm_of.get(&partition).copied() == at {
            return;
        }
        if let Some(before) = self.alarm_of.remove(&partition) {
            self.alarms.remove(&(before, partition));
        }
        if let Some(at) = at {
            self.alarm_of.insert(partition, at);
            self.alarms.insert((at, partition));
        }
    }
}

/// Which partition keeps what.
impl Broker {
    /// Of a group's id, a transactional id, or the key of a share-partition. `None` while there is no such topic.
    pub(crate) fn coordinator_partition(&self, kind: Internal, key: &str) -> Option<i32> {
        let topic = self.cluster.topics.get(&kind.name())?;
        Some(partition_for(key, topic.partitions.len()))
    }

    /// The shard of this broker that keeps `key`, if it answers.
    ///
    /// Errors: `NotCoordinator`, `CoordinatorLoadInProgress`.
    pub(crate) fn coordinator_of<M: Hosted>(&mut self, key: &str) -> Result<(i32, &Shard<M>), ErrorCode> {
        let partition = self.coordinator_partition(M::TOPIC, key).ok_or(ErrorCode::NotCoordinator)?;
        M::coordinators(self).shard(partition).map(|shard| (partition, shard))
    }
}

/// Asking.
impl Broker {
    /// Has the group's coordinator decide, if that is this broker; `template` is the answer that says why not.
    pub(crate) fn ask_group(
        &mut self,
        waiter: Waiter,
        group: &GroupId,
        template: impl Into<ResponseKind>,
        ask: impl FnOnce(Waiter, Arc<str>) -> Ask,
        out: &mut Vec<Effect>,
    ) {
        let found = match group.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => self.coordinator_of::<Groups>(group).map(|(partition, _)| partition),
        };
        match found {
            Ok(partition) => {
                self.coordinate::<Groups>(partition, Event::Asked(ask(waiter, group.as_str().into())), out)
            }
            Err(error) => {
                let mut body = template.into();
                refuse(&mut body, error);
                self.gathers.put(Reply { to: waiter, body }, out);
            }
        }
    }
}

/// Deciding.
impl Broker {
    /// Something is to be decided in a shard that answers.
    pub(crate) fn coordinate<M: Hosted>(&mut self, partition: i32, event: Event<M>, out: &mut Vec<Effect>) {
        let decision = self.decide_in(partition, event);
        self.enact::<M>(partition, decision, out);
        M::coordinators(self).set_alarm(partition);
    }

    pub(super) fn decide_in<M: Hosted>(&mut self, partition: i32, event: Event<M>) -> Decision<M> {
        let (cluster, topic_names, settings) = (self.cluster.clone(), self.topic_names.clone(), self.settings.clone());
        let around = Around { now: self.now, cluster: &cluster, topic_names: &topic_names, settings: &settings };
        match M::coordinators(self).shard(partition) {
            Ok(shard) => shard.machine().decide(&around, event),
            Err(_) => Decision::default(),
        }
    }

    fn enact<M: Hosted>(&mut self, partition: i32, decision: Decision<M>, out: &mut Vec<Effect>) {
        let now = self.now;
        let Decision { moves, timers, records, splits, producer, guard, replies, response, next, orders } = decision;
        let Some(shard) = M::coordinators(self).shard_mut(partition) else { return };
        shard.apply(moves, timers, now);
        let log = shard.log;
        let settled = Settled { response, next };
        let appended = !records.is_empty();
        let end = if !appended {
            shard.pending_end()
        } else {
            match self.append_records::<M>(partition, log, &records, splits, (producer, guard), out) {
                Ok(end) => Some(end),
                Err(error) => {
                    self.reply_all(replies, out);
                    return self.written::<M>(partition, settled, Err(coordinator_error(error)), out);
                }
            }
        };
        self.reply_all(replies, out);
        match end {
            Some(_) if settled.response.is_none() && settled.next.is_none() && !appended => {}
            Some(end) => {
                let deadline = now.instant + M::write_timeout(&self.settings);
                if let Some(shard) = M::coordinators(self).shard_mut(partition) {
                    shard.wait(end, deadline, settled);
                }
            }
            None => self.written::<M>(partition, settled, Ok(()), out),
        }
        for order in orders {
            M::carry_out(self, partition, order, out);
        }
    }

    /// Appends and replays. Gives where the records end.
    fn append_records<M: Hosted>(
        &mut self,
        partition: i32,
        log: LogId,
        records: &[M::Record],
        splits: bool,
        (producer, guard): (Option<Producer>, Option<Guard>),
        out: &mut Vec<Effect>,
    ) -> Result<Offset, ErrorCode> {
        let compression = M::compression(&self.settings);
        let mut rest = records;
        let mut end = 0;
        while !rest.is_empty() {
            let (batch, count) = batch::<M>(rest, splits, producer, compression, self.now);
            let (base, next) = match self.append_for_coordinator(log, batch, guard, out) {
                Ok(placed) => placed,
                Err(error) => {
                    // What was taken before it stands in the log, and is committed like everything else there.
                    if let Some(shard) = M::coordinators(self).shard_mut(partition).filter(|_| end > 0) {
                        shard.pend(end);
                    }
                    return Err(error);
                }
            };
            let (taken, more) = rest.split_at(count);
            if let Some(shard) = M::coordinators(self).shard_mut(partition) {
                shard.appended(taken, base, producer);
            }
            (rest, end) = (more, next);
        }
        Ok(end)
    }

    /// As a producer that waits for every in-sync replica would. Gives where the batch begins and ends.
    pub(crate) fn append_for_coordinator(
        &mut self,
        log: LogId,
        batch: Checked,
        guard: Option<Guard>,
        out: &mut Vec<Effect>,
    ) -> Result<(Offset, Offset), ErrorCode> {
        let now = self.now;
        let bytes = batch.batch.bytes.len();
        let required = self.settings.transactions.verification_enable;
        let Some(partition) = self.partition_mut(log) else { return Err(ErrorCode::NotLeaderOrFollower) };
        let origin = Origin::Coordinator(Verified { guard, required });
        let placed = partition.append(now, -1, batch, origin, out).map_err(|invalid| invalid.error)?;
        let flush = partition.log.deadline();
        self.appending(log, bytes, flush);
        Ok((placed.base_offset, placed.last_offset + 1))
    }

    /// It is known what became of a decision.
    fn written<M: Hosted>(
        &mut self,
        partition: i32,
        settled: Settled<M>,
        result: Result<(), ErrorCode>,
        out: &mut Vec<Effect>,
    ) {
        let Settled { response, next } = settled;
        match result {
            Ok(()) => self.reply_all(response, out),
            Err(error) => self.refused(Settled::<M> { response, next: None }, error, out),
        }
        if let Some(next) = next {
            let decision = self.decide_in(partition, Event::Written { next, result });
            self.enact::<M>(partition, decision, out);
        }
    }

    pub(super) fn refused<M: Machine>(&mut self, settled: Settled<M>, error: ErrorCode, out: &mut Vec<Effect>) {
        if let Some(Reply { to, mut body }) = settled.response {
            refuse(&mut body, error);
            self.gathers.put(Reply { to, body }, out);
        }
    }

    pub(super) fn reply_all(&mut self, replies: impl IntoIterator<Item = Reply>, out: &mut Vec<Effect>) {
        for reply in replies {
            self.gathers.put(reply, out);
        }
    }
}

/// Waking.
impl Broker {
    /// A log has more bytes in its file, or its high watermark has risen.
    pub(super) fn log_moved(&mut self, log: LogId, out: &mut Vec<Effect>) {
        if let Some(&(kind, partition)) = self.coordinated.get(&log) {
            each!(kind, self.shard_moved(partition, log, out));
        }
    }

    fn shard_moved<M: Hosted>(&mut self, partition: i32, log: LogId, out: &mut Vec<Effect>) {
        self.load::<M>(partition, out);
        let Some(high_watermark) = self.slot(log).map(|slot| slot.log.high_watermark()) else { return };
        while let Some(settled) =
            M::coordinators(self).shard_mut(partition).and_then(|shard| shard.commit(high_watermark))
        {
            if let Some(settled) = settled {
                self.written::<M>(partition, settled, Ok(()), out);
            }
        }
        M::coordinators(self).set_alarm(partition);
    }

    /// The clock: timers of shards, and those who wait in vain.
    pub(super) fn coordinator_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        for kind in Internal::ALL {
            each!(kind, self.coordinator_timer_of(now, out));
        }
    }

    fn coordinator_timer_of<M: Hosted>(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(&(_, partition)) = M::coordinators(self).alarms.first().filter(|(at, _)| *at <= now.instant) {
            let error = coordinator_error(ErrorCode::RequestTimedOut);
            while let Some(settled) =
                M::coordinators(self).shard_mut(partition).and_then(|shard| shard.give_up(now.instant))
            {
                self.written::<M>(partition, settled, Err(error), out);
            }
            while let Some(timer) =
                M::coordinators(self).shard_mut(partition).and_then(|shard| shard.expire(now.instant))
            {
                self.coordinate::<M>(partition, Event::Timer(timer), out);
            }
            M::coordinators(self).set_alarm(partition);
        }
    }

    /// The cluster's state is another.
    pub(super) fn coordinators_see_cluster(&mut self, before: &ClusterState, out: &mut Vec<Effect>) {
        if self.coordinated.is_empty() {
            return;
        }
        let cluster = self.cluster.clone();
        let is_gone =
            |(name, topic): &(&TopicName, &Topic)| cluster.topics.get(*name).is_none_or(|now| now.id != topic.id);
        let deleted: Arc<[(TopicName, Uuid)]> =
            before.topics.iter().filter(is_gone).map(|(name, topic)| (name.clone(), topic.id)).collect();
        let created = cluster.topics.keys().any(|name| !before.topics.contains_key(name));
        for kind in Internal::ALL {
            each!(kind, self.see_cluster(created, &deleted, out));
        }
    }

    fn see_cluster<M: Hosted>(&mut self, created: bool, deleted: &Arc<[(TopicName, Uuid)]>, out: &mut Vec<Effect>) {
        let partitions: Vec<i32> = M::coordinators(self).active().map(|(partition, _)| partition).collect();
        for partition in partitions {
            self.coordinate::<M>(partition, Event::Cluster { created, deleted: deleted.clone() }, out);
        }
    }
}

/// A batch of the first records, and how many they are; all, unless they may be split.
fn batch<M: Machine>(
    records: &[M::Record],
    splits: bool,
    producer: Option<Producer>,
    compression: Compression,
    now: Now,
) -> (Checked, usize) {
    let mut builder = BatchBuilder::new(compression);
    if let Some(producer) = producer {
        builder.set_producer(producer.id, producer.epoch, -1);
        builder.set_transactional();
    }
    for record in records {
        let (key, value) = M::encode(record);
        builder.append(now.wall, Some(&key), value.as_deref(), &[]);
        if splits && builder.size() >= SPLIT_BYTES {
            break;
        }
    }
    let (count, records_len) = (builder.count(), builder.size() - HEADER_LEN);
    (Checked { batch: builder.build(), keyless: false, min_timestamp: now.wall, records_len }, count)
}
