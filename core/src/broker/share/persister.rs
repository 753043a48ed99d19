//! What is kept of share-partitions lies with their share coordinators: this broker asks them, as Kafka's
//! `PersisterStateManager` does. Where this broker is the coordinator it is asked directly.
//!
//! ```text
//! ask_share_state ─▶ place ─[its coordinator is another broker]─▶ queued ─▶ sent ─[answered]─▶ the caller
//!                     │ ▲  └[it is this one]─▶ coordinate … Order::Answer ──────────────────▶ the caller
//!                     ▼ └───────────────┐
//!                   resting ◀─[there is none yet, lost, refused for now]
//! ```
//!
//! 1. Who asks is answered once, whatever happens.
//! 2. The topic is created when it is first needed.

use kafka_protocol::messages::*;

use super::Sharing;
use crate::broker::coordinate::{Coordinators, Hosted};
use crate::broker::gather::Join;
use crate::broker::handle::Asked;
use crate::broker::transaction::{Line, SHARE_STATES, SHARE_STATES_NAME, Sent};
use crate::broker::{Broker, Effect};
use crate::client;
use crate::config::BrokerSettings;
use crate::coordinator::share::answer::{self, Answer, Refused};
use crate::coordinator::share::{Ask, Key, Order, ShareStates, StateBatch, To, What};
use crate::coordinator::topic::Internal;
use crate::coordinator::{Event, Waiter};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::share::write_with_delivery_complete_count;
use crate::rng::Stream;
use crate::time::{Duration, Instant, Now, sooner};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What to wait before it is asked again: twice as long each time, at most so long.
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_millis(1_000);
/// Kafka gives up after as long, about.
const MAX_TRIES: u32 = 30;

/// Who asks, and is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareCaller {
    /// The leader of the share-partition, which is this broker.
    Partition(super::Purpose),
    /// A group coordinator; the number is of its call, and of the part of it.
    Group(u64, usize),
}

#[derive(Clone)]
pub(super) struct Persister {
    calls: VecMap<u64, Call>,
    next: u64,
    resting: VecSet<(Instant, u64)>,
    /// Calls that are to be sent.
    queued: VecSet<u64>,
    line: Line<u64>,
}

#[derive(Clone)]
struct Call {
    key: Key,
    what: What,
    caller: ShareCaller,
    tries: u32,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Resting,
    /// It is to be sent there.
    Queued(BrokerId),
    Sent,
    /// This broker's shard of that partition decides.
    Here(i32),
}

impl Persister {
    pub fn new(own: BrokerId, settings: &BrokerSettings, mut dice: impl FnMut(&str) -> Stream) -> Persister {
        let line = Line::new(own, settings, SHARE_STATES_NAME, SHARE_STATES, dice(SHARE_STATES_NAME));
        Persister { calls: VecMap::new(), next: 0, resting: VecSet::new(), queued: VecSet::new(), line }
    }

    pub fn deadline(&self) -> Option<Instant> {
        sooner(self.line.deadline(), self.resting.first().map(|&(at, _)| at))
    }
}

impl Hosted for ShareStates {
    const TOPIC: Internal = Internal::ShareStates;

    fn coordinators(broker: &mut Broker) -> &mut Coordinators<ShareStates> {
        &mut broker.share_states
    }

    fn carry_out(broker: &mut Broker, partition: i32, order: Order, out: &mut Vec<Effect>) {
        match order {
            Order::Answer(call, answer) => broker.share_state_decided(call, answer, out),
            Order::Prune => broker.prune_share_states(partition, out),
        }
    }

    fn dropped(broker: &mut Broker, partition: i32) {
        broker.rest_all(|place| place == Place::Here(partition));
    }
}

/// Asking.
impl Broker {
    /// Asks the coordinator of a share-partition; the caller is told what it says, or that it cannot be reached.
    pub(crate) fn ask_share_state(&mut self, key: Key, what: What, caller: ShareCaller, out: &mut Vec<Effect>) {
        self.note_share_call(key, what, caller, out);
        self.send_share_calls(self.now, out);
    }

    /// The same, but for the sending: [`Broker::send_share_calls`] is to come.
    pub(crate) fn note_share_call(&mut self, key: Key, what: What, caller: ShareCaller, out: &mut Vec<Effect>) {
        let persister = &mut self.sharing.persister;
        let number = persister.next;
        persister.next += 1;
        persister.calls.insert(number, Call { key, what, caller, tries: 0, place: Place::Resting });
        self.place_share_call(number, out);
    }

    /// Has the coordinators of several share-partitions decide for a client, as far as that is this broker.
    pub(in crate::broker) fn ask_share_states(
        &mut self,
        asked: Asked,
        asks: Vec<(Key, What)>,
        join: Join,
        out: &mut Vec<Effect>,
    ) {
        self.gathers.begin(asked.clone(), asks.len(), join, out);
        for (part, (key, what)) in asks.into_iter().enumerate() {
            let waiter = Waiter::from(asked.clone()).part(part);
            match self.coordinator_of::<ShareStates>(&key.coordinator_key()).map(|(partition, _)| partition) {
                Ok(partition) => {
                    let ask = Ask { to: To::Client(waiter), key, what };
                    self.coordinate::<ShareStates>(partition, Event::Asked(ask), out);
                }
                Err(error) => {
                    let body = answer::response(&key, &what, Err(error.into()));
                    self.gathers.put(waiter.reply(body), out);
                }
            }
        }
    }

    fn place_share_call(&mut self, number: u64, out: &mut Vec<Effect>) {
        let Some(call) = self.sharing.persister.calls.get(&number) else { return };
        let (key, what) = (call.key.clone(), call.what.clone());
        // (2)
        let Some(partition) = self.coordinator_partition(Internal::ShareStates, &key.coordinator_key()) else {
            self.create_internal(self.now, Internal::ShareStates, out);
            return self.rest(number, ErrorCode::CoordinatorNotAvailable.into(), out);
        };
        let leader = self.leader_of(&Internal::ShareStates.name(), partition).1.map(|leader| leader.id);
        let place = match leader {
            None => return self.rest(number, ErrorCode::CoordinatorNotAvailable.into(), out),
            Some(leader) if leader == self.id() => match self.share_states.shard(partition) {
                Ok(_) => Place::Here(partition),
                Err(error) => return self.rest(number, error.into(), out),
            },
            Some(leader) => Place::Queued(leader),
        };
        let persister = &mut self.sharing.persister;
        if let Some(call) = persister.calls.get_mut(&number) {
            call.place = place;
        }
        if let Place::Queued(_) = place {
            persister.queued.insert(number);
        }
        if let Place::Here(partition) = place {
            let ask = Ask { to: To::Own(number), key, what };
            self.coordinate::<ShareStates>(partition, Event::Asked(ask), out);
        }
    }

    /// It is asked again later, unless it was asked often enough.
    fn rest(&mut self, number: u64, why: Refused, out: &mut Vec<Effect>) {
        let persister = &mut self.sharing.persister;
        let Some(call) = persister.calls.get_mut(&number) else { return };
        if call.tries >= MAX_TRIES {
            return self.share_state_answered(number, Err(why), out);
        }
        let after = BACKOFF.saturating_mul(1 << call.tries.min(10)).min(MAX_BACKOFF);
        call.tries += 1;
        call.place = Place::Resting;
        persister.resting.insert((self.now.instant + after, number));
    }

    /// Those at such a place are asked again at once.
    fn rest_all(&mut self, is_there: impl Fn(Place) -> bool) {
        let Sharing { persister, .. } = &mut self.sharing;
        for (&number, call) in persister.calls.iter_mut().filter(|(_, call)| is_there(call.place)) {
            call.place = Place::Resting;
            persister.resting.insert((self.now.instant, number));
        }
    }

    pub(in crate::broker) fn send_share_calls(&mut self, now: Now, out: &mut Vec<Effect>) {
        let cluster = self.cluster.clone();
        let mut wants = Vec::new();
        let mut failed = Vec::new();
        let Persister { calls, line, queued, .. } = &mut self.sharing.persister;
        queued.retain(|&number| {
            let Some(call) = calls.get_mut(&number) else { return false };
            let Place::Queued(to) = call.place else { return false };
            let body = |_| request(&call.key, &call.what);
            match line.send(now.instant, (api(&call.what), number), cluster.brokers.get(&to), body, &mut wants) {
                Sent::Yes => call.place = Place::Sent,
                Sent::Waits => return true,
                Sent::No => failed.push(number),
            }
            false
        });
        out.extend(wants.into_iter().map(Effect::Client));
        for number in failed {
            self.rest(number, ErrorCode::CoordinatorNotAvailable.into(), out);
        }
    }
}

/// Being answered.
impl Broker {
    /// Something happened on one of these connections.
    pub(in crate::broker) fn as_sharing_client(&mut self, now: Now, event: client::Event, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        let persister = &mut self.sharing.persister;
        let answer = persister.line.happened(now.instant, event, &mut wants);
        out.extend(wants.into_iter().map(Effect::Client));
        if let Some(answer) = answer
            && let Some(call) = self.sharing.persister.calls.get(&answer.tag)
        {
            let said = answer::parse(&call.key, &answer.body);
            let said = said.unwrap_or_else(|| Err(ErrorCode::UnknownServerError.into()));
            self.share_state_decided(answer.tag, said, out);
        }
        self.ask_share_states_again(now, out);
    }

    /// The clock, or an answer that will not come.
    pub(super) fn ask_share_states_again(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut wants = Vec::new();
        let lost: Vec<u64> = self.sharing.persister.line.poll(now.instant, &mut wants).collect();
        out.extend(wants.into_iter().map(Effect::Client));
        for number in lost {
            self.rest(number, ErrorCode::NetworkException.into(), out);
        }
        while let Some(&(at, number)) = self.sharing.persister.resting.first().filter(|(at, _)| *at <= now.instant) {
            self.sharing.persister.resting.remove(&(at, number));
            self.place_share_call(number, out);
        }
        self.send_share_calls(now, out);
    }

    pub(super) fn persister_sees_cluster(
        &mut self,
        now: Now,
        before: &VecMap<BrokerId, crate::protocol::cluster::Registration>,
        out: &mut Vec<Effect>,
    ) {
        let mut wants = Vec::new();
        for (id, registration) in before {
            if self.cluster.brokers.get(id) != Some(registration) {
                self.sharing.persister.line.hang_up(now.instant, registration, &mut wants);
            }
        }
        out.extend(wants.into_iter().map(Effect::Client));
        // Their coordinators may be others now.
        self.rest_all(|place| matches!(place, Place::Queued(_)));
        self.ask_share_states_again(now, out);
    }

    /// A coordinator has spoken: it may say that it is none.
    fn share_state_decided(&mut self, number: u64, said: Result<Answer, Refused>, out: &mut Vec<Effect>) {
        use ErrorCode::*;
        match said {
            Err(refused)
                if matches!(refused.error, CoordinatorNotAvailable | NotCoordinator | CoordinatorLoadInProgress) =>
            {
                self.rest(number, refused, out);
            }
            said => self.share_state_answered(number, said, out),
        }
    }

    /// (1)
    fn share_state_answered(&mut self, number: u64, said: Result<Answer, Refused>, out: &mut Vec<Effect>) {
        let Some(call) = self.sharing.persister.calls.remove(&number) else { return };
        match call.caller {
            ShareCaller::Partition(purpose) => self.share_partition_answered(call.key, purpose, said, out),
            ShareCaller::Group(number, part) => self.share_part_answered((number, part), said, out),
        }
    }

    /// What nobody needs any more goes from that partition's log: by what is committed, for a newer snapshot may still be cut
    /// off.
    fn prune_share_states(&mut self, partition: i32, out: &mut Vec<Effect>) {
        let Ok(shard) = self.share_states.shard(partition) else { return };
        if let Some(below) = shard.committed().redundant_below() {
            self.delete_below(shard.log, below, out);
        }
    }
}

fn api(what: &What) -> ApiKey {
    match what {
        What::Initialize { .. } => ApiKey::InitializeShareGroupState,
        What::Read { .. } => ApiKey::ReadShareGroupState,
        What::Write(_) => ApiKey::WriteShareGroupState,
        What::Delete => ApiKey::DeleteShareGroupState,
        What::Summary { .. } => ApiKey::ReadShareGroupStateSummary,
    }
}

/// The request that asks so.
fn request(key: &Key, what: &What) -> RequestKind {
    macro_rules! whole {
        ($module:ident, $data:ident, $request:ident, $with:expr) => {{
            use $module::{PartitionData, $data};
            let partition = PartitionData::default().with_partition(key.partition);
            let partition: PartitionData = $with(partition);
            let topic = $data::default().with_topic_id(key.topic_id).with_partitions(vec![partition]);
            let group = kafka_protocol::protocol::StrBytes::from_string(key.group.to_string());
            $request::default().with_group_id(group).with_topics(vec![topic]).into()
        }};
    }
    match what {
        What::Initialize { state_epoch, start_offset } => whole!(
            initialize_share_group_state_request,
            InitializeStateData,
            InitializeShareGroupStateRequest,
            |partition: initialize_share_group_state_request::PartitionData| partition
                .with_state_epoch(*state_epoch)
                .with_start_offset(*start_offset)
        ),
        What::Read { leader_epoch } => whole!(
            read_share_group_state_request,
            ReadStateData,
            ReadShareGroupStateRequest,
            |partition: read_share_group_state_request::PartitionData| partition.with_leader_epoch(*leader_epoch)
        ),
        What::Summary { leader_epoch } => whole!(
            read_share_group_state_summary_request,
            ReadStateSummaryData,
            ReadShareGroupStateSummaryRequest,
            |partition: read_share_group_state_summary_request::PartitionData| partition
                .with_leader_epoch(*leader_epoch)
        ),
        What::Delete => {
            whole!(delete_share_group_state_request, DeleteStateData, DeleteShareGroupStateRequest, |partition| {
                partition
            })
        }
        What::Write(write) => {
            use write_share_group_state_request::StateBatch as Wire;
            let batch = |batch: &StateBatch| {
                Wire::default()
                    .with_first_offset(batch.first_offset)
                    .with_last_offset(batch.last_offset)
                    .with_delivery_state(batch.delivery_state)
                    .with_delivery_count(batch.delivery_count)
            };
            whole!(
                write_share_group_state_request,
                WriteStateData,
                WriteShareGroupStateRequest,
                |partition: write_share_group_state_request::PartitionData| {
                    let partition = partition
                        .with_state_epoch(write.state_epoch)
                        .with_leader_epoch(write.leader_epoch)
                        .with_start_offset(write.start_offset)
                        .with_state_batches(write.batches.iter().map(batch).collect());
                    write_with_delivery_complete_count(partition, write.delivery_complete_count)
                }
            )
        }
    }
}
