//! What a consumer does as a member of a group.
//!
//! ```text
//! nobody known ─FindCoordinator→ coordinator ─┬ classic.rs:  JoinGroup, SyncGroup, Heartbeat   → partitions
//!                                             └ consumer.rs: ConsumerGroupHeartbeat (KIP-848)   → partitions
//! partitions ─OffsetFetch→ positions … poll() … ─OffsetCommit→     offsets.rs
//! ```
//!
//! `coordinator.rs` who it is | `classic.rs` a member of the classic protocol, `join.rs` how it joins, `subscription.rs` what
//! members tell each other | `consumer.rs` a member of the consumer protocol | `offsets.rs` what is committed, `called.rs`
//! because a program calls for it
//!
//! 1. A member changes what it owns only while its application is in poll(): only then is it asked, and told.
//! 2. What a member lets go of it lets go of before it says so; what it had under a generation that it is no longer in
//!    is lost, not let go of.
//! 3. Heartbeats go on while the application is busy, for `max.poll.interval.ms`.

mod called;
mod classic;
mod consumer;
mod coordinator;
mod join;
mod offsets;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use self::classic::Classic;
use self::consumer::Member;
use self::coordinator::Coordinator;
use self::offsets::Offsets;
pub use self::offsets::Why;
use super::fetched::Fetched;
use super::positions::{self, Position, Tenure};
use super::settings::{GroupSettings, Protocol};
use super::{Settings, Tag};
use crate::client::connection::{Answer, LinkId, Network};
use crate::client::exception::Exception;
use crate::client::metadata::Metadata;
use crate::client::{self, Effect, Report};
use crate::id::{Offset, TopicPartition};
use crate::rng::Stream;
use crate::time::{Duration, Instant};
use crate::view::FactGroup;

/// A consumer's part in its group.
#[derive(Clone, Debug)]
pub struct Group {
    coordinator: Coordinator,
    membership: Membership,
    offsets: Offsets,
    shared: Shared,
}

/// What all of it goes by.
#[derive(Clone, Debug)]
pub struct Shared {
    pub id: StrBytes,
    /// What the application subscribed to by name.
    topics: Vec<TopicName>,
    /// Sorted: what the consumer may read.
    owned: Vec<TopicPartition>,
    /// As whom it was given something last.
    joined: Identity,
    /// The application called poll() last, as far as it is not in it.
    polled: Instant,
    /// Since the last call of [`Group::take_moved`].
    moved: bool,
    /// Why the application cannot go on: an exception that it does not catch.
    fatal: Option<Exception>,
    stage: Life,
}

/// `Running → Closing [close] → Closed [left, or 30 s have passed; an exception]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Closing { until: Instant },
    Closed,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
enum Membership {
    Classic(Classic),
    Consumer(Member),
    /// Of nobody: the application picks its partitions, and the group keeps its offsets.
    Picked,
}

/// What a request was for.
#[derive(Clone, Debug)]
pub enum Ask {
    Coordinator,
    /// Under that generation.
    Join,
    Sync {
        generation: i32,
    },
    Heartbeat {
        generation: i32,
    },
    Leave,
    /// Of the consumer protocol.
    Beat {
        leaves: bool,
    },
    Fetch(Vec<Tenure>),
    Commit(offsets::Commit),
}

/// Who a member is to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    member_id: StrBytes,
    /// The member epoch, in the consumer protocol.
    generation: i32,
}

/// What a group works with.
pub struct Around<'a> {
    pub now: Instant,
    pub settings: &'a Settings,
    pub network: &'a mut Network<Tag>,
    pub metadata: &'a mut Metadata,
    pub positions: &'a mut Vec<Position>,
    pub fetched: &'a mut VecDeque<Fetched>,
    pub dice: &'a mut Stream,
    pub out: &'a mut Vec<Effect>,
    /// The application is in poll().
    pub polling: bool,
}

/// How long closing may take: Kafka's `CloseOptions`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

impl Group {
    pub fn new(settings: &GroupSettings, topics: &[TopicName], member_id: StrBytes) -> Group {
        let mut topics = topics.to_vec();
        topics.sort();
        topics.dedup();
        Group {
            coordinator: Coordinator::default(),
            membership: match &settings.protocol {
                Protocol::Classic { .. } => Membership::Classic(Classic::default()),
                Protocol::Consumer { .. } => Membership::Consumer(Member::new(member_id)),
            },
            offsets: Offsets::default(),
            shared: Shared {
                id: settings.id.clone(),
                topics,
                owned: Vec::new(),
                joined: Identity { member_id: StrBytes::default(), generation: -1 },
                polled: Instant::ZERO,
                moved: false,
                fatal: None,
                stage: Life::Running,
            },
        }
    }

    pub fn id(&self) -> &StrBytes {
        &self.shared.id
    }

    /// As whom an application commits with a transaction: Kafka's `ConsumerGroupMetadata`, and no offsets yet. Who is a
    /// member no more says who it was last, so that it is refused: nobody's commit would be taken.
    pub fn nothing(&self) -> client::Offsets {
        let identity = match &self.membership {
            Membership::Consumer(member) if member.identity().generation > 0 => member.identity(),
            _ => self.shared.joined.clone(),
        };
        let (group, member) = (self.shared.id.to_string(), identity.member_id.to_string());
        client::Offsets { group, member, generation: identity.generation, offsets: Vec::new() }
    }

    /// Whether the partitions that are owned may be others than at the last call.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.shared.moved)
    }

    /// Whether the application waits for a commit, and is not in poll().
    pub fn is_committing(&self) -> bool {
        self.offsets.blocks()
    }

    /// Whether poll() gives nothing: what is owned is about to be let go of, or the application is no more.
    pub fn withholds(&self) -> bool {
        let revokes = match &self.membership {
            Membership::Classic(classic) => classic.revokes(),
            // What poll() gave now would not be in the commit that is on its way.
            Membership::Consumer(member) => member.is_reconciling() && self.offsets.is_last_asked(),
            Membership::Picked => false,
        };
        revokes || self.shared.stage != Life::Running
    }

    pub fn is_closed(&self) -> bool {
        self.shared.stage == Life::Closed
    }

    /// The application has got records.
    pub fn polled(&mut self, settings: &GroupSettings) {
        self.offsets.polled(settings);
    }

    /// The application closes the consumer: it commits, lets go, leaves, and is gone.
    pub fn close(&mut self, now: Instant) {
        if self.shared.stage == Life::Running {
            self.shared.stage = Life::Closing { until: now + CLOSE_TIMEOUT };
            self.offsets.prepare(false);
        }
    }

    /// subscribe(): the members share these from now on.
    pub fn subscribe(&mut self, now: Instant, mut topics: Vec<TopicName>, metadata: &mut Metadata) {
        topics.sort();
        topics.dedup();
        self.shared.topics = topics;
        if let Membership::Consumer(member) = &mut self.membership {
            member.say_soon(now);
            // In the classic protocol the group's other topics are known to be needed, or not, when it is joined again.
            metadata.keep(|topic| self.shared.needs(topic));
        }
    }

    /// assign(): these are read, whoever else reads them.
    pub fn pick(&mut self, now: Instant, mut partitions: Vec<TopicPartition>, settings: Option<&GroupSettings>) {
        partitions.sort();
        (self.membership, self.shared.owned) = (Membership::Picked, partitions);
        self.shared.moved = true;
        if let Some(settings) = settings {
            self.offsets.begin(now, settings);
        }
    }

    /// commitSync() or commitAsync().
    pub fn commit(&mut self, now: Instant, id: u64, offsets: Option<Vec<(TopicPartition, Offset)>>, sync: bool) {
        self.offsets.call(now, id, offsets, sync);
    }

    /// groupMetadata(): the group, the member's id and its generation.
    pub fn metadata(&self) -> (String, String, i32) {
        let Identity { member_id, generation } = self.membership.identity();
        (self.shared.id.to_string(), member_id.to_string(), generation)
    }

    /// Why the application cannot go on, if so.
    pub fn fatal(&self) -> Option<&Exception> {
        self.shared.fatal.as_ref()
    }

    pub fn run(&mut self, around: &mut Around<'_>) {
        let Some(settings) = &around.settings.group else { return };
        if around.polling {
            self.shared.polled = around.now;
        }
        self.offsets.expire(around);
        if self.shared.fatal.is_some() {
            return self.shared.end(around);
        }
        if let Life::Closing { until } = self.shared.stage {
            self.closing(around, settings, until);
            return;
        }
        self.take_part(around, settings);
        if self.shared.fatal.is_some() {
            return self.shared.end(around);
        }
        // It may have turned out not to be the coordinator.
        if self.coordinator.link().is_none() {
            self.coordinator.find(around, &self.shared.id);
        }
    }

    fn take_part(&mut self, around: &mut Around<'_>, settings: &GroupSettings) {
        let Some(link) = self.coordinator.find(around, &self.shared.id) else { return };
        let Group { membership, offsets, shared, coordinator } = self;
        match membership {
            Membership::Classic(classic) => classic.run(around, settings, shared, offsets, coordinator, link),
            Membership::Consumer(member) => member.run(around, settings, shared, offsets, link),
            Membership::Picked => {}
        }
        if let Some(link) = coordinator.link() {
            offsets.fetch(around, shared, membership, link);
            offsets.commit_called(around, settings, shared, membership, link);
            offsets.commit_what_is_due(around, settings, shared, membership.committer(), link);
        }
    }

    /// Commits, lets go, leaves: a step for every call, and without a coordinator none.
    fn closing(&mut self, around: &mut Around<'_>, settings: &GroupSettings, until: Instant) {
        let Group { membership, offsets, shared, coordinator } = self;
        let link =
            if shared.fatal.is_none() && until > around.now { coordinator.find(around, &shared.id) } else { None };
        let identity = membership.identity();
        let unreachable = link.is_none() && (coordinator.is_hopeless() || shared.owned.is_empty());
        if until > around.now && !unreachable {
            let Some(link) = link else { return };
            offsets.commit_called(around, settings, shared, membership, link);
            let picked = matches!(membership, Membership::Picked);
            if !offsets.closes(around, settings, shared, (identity, picked), link) {
                return;
            }
            shared.let_go_of_all(around, membership.generation());
            let left = match membership {
                Membership::Classic(classic) => {
                    classic.leave(around, settings, shared, link, "the consumer is being closed")
                }
                Membership::Consumer(member) => member.leave(around, settings, shared, link),
                Membership::Picked => true,
            };
            if !left {
                return;
            }
        }
        shared.let_go_of_all(around, membership.generation());
        shared.end(around);
    }

    pub fn answered(&mut self, around: &mut Around<'_>, link: LinkId, ask: Ask, body: ResponseKind) {
        let Group { membership, offsets, shared, coordinator } = self;
        match (ask, body, membership) {
            (Ask::Coordinator, ResponseKind::FindCoordinator(body), membership) => {
                if coordinator.told(around, shared, body)
                    && let Membership::Classic(classic) = membership
                {
                    classic.found(around.now);
                }
            }
            (Ask::Join, ResponseKind::JoinGroup(body), Membership::Classic(classic)) => {
                classic.joined(around, shared, coordinator, body);
            }
            (Ask::Sync { generation }, ResponseKind::SyncGroup(body), Membership::Classic(classic)) => {
                classic.synced(around, shared, coordinator, generation, body);
            }
            (Ask::Heartbeat { generation }, ResponseKind::Heartbeat(body), Membership::Classic(classic)) => {
                classic.beaten(around, shared, coordinator, generation, body);
            }
            (Ask::Leave, _, _) => {}
            (Ask::Beat { leaves }, ResponseKind::ConsumerGroupHeartbeat(body), Membership::Consumer(member)) => {
                member.beaten(around, shared, coordinator, leaves, body);
            }
            (Ask::Fetch(asked), ResponseKind::OffsetFetch(body), _) => {
                offsets.fetched(around, shared, coordinator, asked, body);
            }
            (Ask::Commit(commit), ResponseKind::OffsetCommit(body), membership) => {
                offsets.committed(around, shared, coordinator, membership, commit, body);
            }
            // An answer of another kind is none.
            (ask, ..) => self.lost(around, link, ask),
        }
    }

    /// No answer will come.
    pub fn lost(&mut self, around: &mut Around<'_>, link: LinkId, ask: Ask) {
        if !matches!(ask, Ask::Coordinator) && self.coordinator.link() == Some(link) {
            self.coordinator.forget();
        }
        match ask {
            Ask::Coordinator => self.coordinator.lost(around),
            Ask::Join | Ask::Sync { .. } | Ask::Heartbeat { .. } => {
                if let Membership::Classic(classic) = &mut self.membership {
                    classic.lost(around, &ask);
                }
            }
            Ask::Leave => {}
            Ask::Beat { leaves } => {
                if let Membership::Consumer(member) = &mut self.membership {
                    member.lost(around, leaves);
                }
            }
            Ask::Fetch(asked) => self.offsets.fetch_lost(around, asked),
            Ask::Commit(commit) => self.offsets.commit_lost(around, commit),
        }
    }

    /// When it next has something to do; what lies at or before `looked` waits for something else.
    pub fn deadline(&self, settings: &GroupSettings, looked: Instant) -> Option<Instant> {
        let close = match self.shared.stage {
            Life::Closing { until } => Some(until),
            Life::Running | Life::Closed => None,
        };
        if self.shared.stage == Life::Closed {
            return None;
        }
        let member = match &self.membership {
            Membership::Classic(classic) => classic.deadline(settings, &self.shared),
            Membership::Consumer(member) => member.deadline(settings, &self.shared),
            Membership::Picked => Vec::new(),
        };
        let times = member.into_iter().chain(self.offsets.deadline(settings)).chain(close);
        times.chain(self.coordinator.deadline()).filter(|at| *at > looked).min()
    }

    /// How it stands with the group, in words.
    pub fn state(&self) -> &'static str {
        self.membership.state()
    }

    /// For the page.
    pub fn facts(&self) -> FactGroup {
        let fact = |name: &str, value: String| (name.to_string(), value);
        let mut facts = vec![
            fact("group", self.shared.id.to_string()),
            fact("state", self.membership.state().to_string()),
            fact("member", self.membership.identity().member_id.to_string()),
            fact("generation", self.membership.generation().to_string()),
            fact("coordinator", if self.coordinator.link().is_some() { "known" } else { "not known" }.to_string()),
        ];
        facts.extend(self.shared.fatal.iter().map(|why| fact("cannot go on", why.message.clone())));
        FactGroup { title: "Group".to_string(), facts }
    }
}

impl Membership {
    fn identity(&self) -> Identity {
        match self {
            Membership::Classic(classic) => classic.identity(),
            Membership::Consumer(member) => member.identity(),
            Membership::Picked => Identity { member_id: StrBytes::default(), generation: classic::NONE },
        }
    }

    /// As whom it may commit, if it may: not while it joins.
    fn committer(&self) -> Option<Identity> {
        let may = match self {
            Membership::Classic(classic) => classic.may_commit(),
            Membership::Consumer(member) => member.may_commit(),
            Membership::Picked => true,
        };
        may.then(|| self.identity())
    }

    fn generation(&self) -> i32 {
        self.identity().generation
    }

    fn state(&self) -> &'static str {
        match self {
            Membership::Classic(classic) => classic.state(),
            Membership::Consumer(member) => member.state(),
            Membership::Picked => "no member",
        }
    }
}

impl Shared {
    /// Whether its metadata is asked for, for this member's own sake.
    fn needs(&self, topic: &TopicName) -> bool {
        self.topics.contains(topic) || self.owned.iter().any(|partition| partition.topic == *topic)
    }

    /// What no member that it assigns for needs, and itself does not, is not asked for any more.
    fn keep_metadata(&self, around: &mut Around<'_>, others_need: impl Fn(&TopicName) -> bool) {
        let subscribed = self.subscription(around);
        around.metadata.keep(|topic| others_need(topic) || subscribed.contains(topic) || self.needs(topic));
    }

    /// What the application has subscribed to, as far as that is known.
    fn subscription(&self, around: &Around<'_>) -> Vec<TopicName> {
        let mut topics = self.topics.clone();
        if let Some(pattern) = &around.settings.pattern {
            let known = around.metadata.topics().iter().map(|topic| &topic.name);
            topics.extend(known.filter(|name| pattern.is_match(name)).cloned());
            topics.sort();
            topics.dedup();
        }
        topics
    }

    /// The listener is told that these are its own no more.
    fn revoke(&mut self, around: &mut Around<'_>, generation: i32, partitions: Vec<TopicPartition>) {
        if !partitions.is_empty() {
            self.release(around, &partitions);
            let group = self.id.clone();
            around.out.push(Effect::Report(Report::Revoked { group, generation, partitions }));
        }
    }

    /// The listener is told that somebody else may have had these for a while.
    fn lose_all(&mut self, around: &mut Around<'_>) {
        let partitions = self.owned.clone();
        if !partitions.is_empty() {
            self.release(around, &partitions);
            around.out.push(Effect::Report(Report::Lost { group: self.id.clone(), partitions }));
        }
    }

    fn let_go_of_all(&mut self, around: &mut Around<'_>, generation: i32) {
        match generation {
            ..=0 => self.lose_all(around),
            _ => self.revoke(around, generation, self.owned.clone()),
        }
    }

    fn release(&mut self, around: &mut Around<'_>, partitions: &[TopicPartition]) {
        self.owned.retain(|one| !partitions.contains(one));
        positions::release(around.positions, around.fetched, partitions);
        self.moved = true;
    }

    /// Owns these from now on: the listener is told which are new.
    fn assign(
        &mut self,
        around: &mut Around<'_>,
        member_id: StrBytes,
        generation: i32,
        mut owned: Vec<TopicPartition>,
    ) {
        owned.sort();
        let added: Vec<TopicPartition> = owned.iter().filter(|one| !self.owned.contains(one)).cloned().collect();
        positions::take(around.positions, around.metadata, &added);
        self.owned.clone_from(&owned);
        self.joined = Identity { member_id: member_id.clone(), generation };
        self.moved = true;
        let instance_id = around.settings.group.as_ref().and_then(|group| group.instance_id.clone());
        let group = self.id.clone();
        around.out.push(Effect::Report(Report::Assigned { group, member_id, instance_id, generation, added, owned }));
    }

    fn end(&mut self, around: &mut Around<'_>) {
        if self.stage != Life::Closed {
            self.stage = Life::Closed;
            around.out.push(Effect::Report(Report::Closed));
        }
    }

    /// An exception that no application catches: its process ends.
    fn fail(&mut self, around: &mut Around<'_>, why: Exception) {
        around.note(why.message.clone());
        self.fatal = Some(why);
    }
}

impl Around<'_> {
    fn note(&mut self, text: impl Into<String>) {
        self.out.push(Effect::Report(Report::Note(text.into())));
    }

    fn retry_at(&mut self, failures: u32) -> Instant {
        self.now + self.settings.connection.retry_backoff.after(failures, self.dice)
    }

    /// Asks the coordinator, if it can be asked now.
    fn ask(&mut self, link: LinkId, api: ApiKey, most: i16, ask: Ask, patience: Duration, body: RequestKind) -> bool {
        if !self.network.connect(self.now, link, self.out) {
            return false;
        }
        let Some(version) = self.network.version(link, api) else { return false };
        let (api, tag) = ((api, version.min(most)), Some(Tag::Group(ask)));
        self.network.send_patiently(self.now, link, api, body, tag, patience, self.out);
        true
    }
}

/// An answer that is the group's.
pub fn of(answer: Answer<Tag>) -> Result<(LinkId, Ask, ResponseKind), Answer<Tag>> {
    match answer.tag {
        Tag::Group(ask) => Ok((answer.link, ask, *answer.body)),
        tag => Err(Answer { tag, ..answer }),
    }
}
