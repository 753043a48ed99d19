//! Fetch sessions (KIP-227): the broker remembers which partitions a consumer fetches, so that a request names only what
//! changed and a response only what is new.
//!
//! ```text
//! epoch  0, any id ──▶ full fetch; a new session begins if there is a slot
//! epoch −1, any id ──▶ full fetch without a session; the session of that id ends
//! epoch  n, its id ──▶ incremental: partitions added, changed, forgotten
//! ```
//!
//! 1. `epoch` is the one that the next request must have; it counts 1, 2, …, i32::MAX, 1, ….
//! 2. A partition that had data goes to the end of its session's order, so that a full one cannot starve the others.
//! 3. There are at most `slots` sessions. A new one takes the place of one that was not used for two minutes, or else of
//!    the least valuable of those that are two minutes old: clients' before followers', small before large, and never of
//!    one worth more than itself. A follower's also takes the place of a client's young one.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::error::ErrorCode;
use crate::id::Offset;
use crate::rng::Stream;
use crate::time::{Duration, Instant};

/// Kafka's MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS.
const EVICTION: Duration = Duration::from_millis(120_000);

pub const INITIAL_EPOCH: i32 = 0;
pub const FINAL_EPOCH: i32 = -1;

/// How a session names a partition: by the topic's id from Fetch 13 on, by its name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    Id(Uuid),
    Name(TopicName),
}

pub type Key = (TopicRef, i32);

/// What a client asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub fetch_offset: Offset,
    pub max_bytes: i32,
    pub current_leader_epoch: i32,
    /// Who wrote the last record before `fetch_offset`; −1 where it is not told.
    pub last_fetched_epoch: i32,
    /// Where a follower's own log begins; −1 for consumers.
    pub log_start_offset: Offset,
}

/// What a client was told last of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
}

impl Told {
    pub const NOTHING: Told = Told { high_watermark: -1, log_start_offset: -1 };
}

/// What became of a partition in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub told: Told,
    pub has_records: bool,
    /// It says something that must be heard: to read elsewhere, or where to cut.
    pub has_advice: bool,
    pub has_error: bool,
}

/// How a response is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Sessionless,
    /// All partitions are answered; a session begins with them.
    Full,
    /// Of the session with that id, answered at that epoch.
    Incremental {
        id: i32,
        epoch: i32,
    },
}

/// A partition that is read, and its place in the session's order; 0 where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub key: Key,
    pub wanted: Wanted,
    pub place: u64,
}

#[derive(Clone, Debug)]
struct Cached {
    key: Key,
    wanted: Wanted,
    told: Told,
}

#[derive(Clone, Debug)]
struct Session {
    /// A follower's.
    privileged: bool,
    uses_topic_ids: bool,
    created: Instant,
    last_used: Instant,
    epoch: i32,
    /// In the order in which they are read (2).
    order: BTreeMap<u64, Cached>,
    places: BTreeMap<Key, u64>,
    next_place: u64,
    /// The size under which it stands in the lists of what can be evicted, and in which: by followers, and by all.
    listed_size: usize,
    is_listed: (bool, bool),
}

impl Session {
    fn put(&mut self, key: &Key, wanted: Wanted, told: Told) {
        if let Some(cached) = self.places.get(key).and_then(|place| self.order.get_mut(place)) {
            // What was on its way to a follower while its leader's epoch began it has not taken: it is told once more.
            if self.privileged && wanted.current_leader_epoch != cached.wanted.current_leader_epoch {
                cached.told = Told::NOTHING;
            }
            cached.wanted = wanted;
            return;
        }
        self.places.insert(key.clone(), self.next_place);
        self.order.insert(self.next_place, Cached { key: key.clone(), wanted, told });
        self.next_place += 1;
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    /// Whether the response must name the partition at that place.
    fn must_name(&self, place: u64, outcome: &Outcome) -> bool {
        let said = outcome.has_records || outcome.has_advice || outcome.has_error;
        said || self.order.get(&place).is_none_or(|cached| cached.told != outcome.told)
    }

    /// Notes an outcome. True where the response must name the partition.
    fn answer(&mut self, place: u64, outcome: &Outcome) -> bool {
        let said = outcome.has_records || outcome.has_advice || outcome.has_error;
        let Some(cached) = self.order.get_mut(&place) else { return true };
        let must = said || cached.told != outcome.told;
        cached.told = outcome.told;
        if outcome.has_error {
            // When the error goes away the partition is news.
            cached.told.high_watermark = -1;
        }
        // (2) It may be the last already.
        if outcome.has_records
            && place + 1 != self.next_place
            && let Some(cached) = self.order.remove(&place)
        {
            self.places.insert(cached.key.clone(), self.next_place);
            self.order.insert(self.next_place, cached);
            self.next_place += 1;
        }
        must
    }
}

/// The sessions of one broker.
#[derive(Clone)]
pub struct Sessions {
    slots: usize,
    ids: Stream,
    sessions: BTreeMap<i32, Session>,
    /// Who may be evicted by everybody, and by followers: worst first (privileged, partitions, id).
    evictable_by_all: BTreeSet<(bool, usize, i32)>,
    evictable_by_privileged: BTreeSet<(bool, usize, i32)>,
}

impl Sessions {
    pub fn new(slots: usize, ids: Stream) -> Sessions {
        Sessions {
            slots,
            ids,
            sessions: BTreeMap::new(),
            evictable_by_all: BTreeSet::new(),
            evictable_by_privileged: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// A request came: how it is answered and what it reads, in order. `asked` and `forgotten` are what it names.
    ///
    /// Errors, for the whole response: `FetchSessionIdNotFound`, `InvalidFetchSessionEpoch`,
    /// `FetchSessionTopicIdError`.
    pub fn open(
        &mut self,
        now: Instant,
        id: i32,
        epoch: i32,
        uses_topic_ids: bool,
        mut asked: Vec<Read>,
        forgotten: &[Key],
    ) -> Result<(Context, Vec<Read>), ErrorCode> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.remove(id);
            let context = if epoch == FINAL_EPOCH { Context::Sessionless } else { Context::Full };
            return Ok((context, asked));
        }
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for Read { key, wanted, .. } in &asked {
            session.put(key, *wanted, Told::NOTHING);
        }
        for key in forgotten {
            session.forget(key);
        }
        if session.order.is_empty() {
            self.remove(id);
            return Ok((Context::Sessionless, asked));
        }
        session.epoch = next_epoch(session.epoch);
        let context = Context::Incremental { id, epoch: session.epoch };
        asked.clear();
        let read =
            |(place, cached): (&u64, &Cached)| Read { key: cached.key.clone(), wanted: cached.wanted, place: *place };
        asked.extend(session.order.iter().map(read));
        self.touch(id, now);
        Ok((context, asked))
    }

    /// Begins a session with what a full fetch was answered. 0 where there is no room.
    pub fn begin(
        &mut self,
        now: Instant,
        privileged: bool,
        uses_topic_ids: bool,
        partitions: Vec<(Key, Wanted, Outcome)>,
    ) -> i32 {
        if self.sessions.len() >= self.slots && !self.evict(now, privileged, partitions.len()) {
            return 0;
        }
        let id = self.new_id();
        let mut session = Session {
            privileged,
            uses_topic_ids,
            created: now,
            last_used: now,
            epoch: next_epoch(INITIAL_EPOCH),
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 1,
            listed_size: 0,
            is_listed: (false, false),
        };
        for (key, wanted, outcome) in partitions {
            session.put(&key, wanted, outcome.told);
        }
        self.sessions.insert(id, session);
        self.touch(id, now);
        id
    }

    /// Sets which partitions an incremental response must name, by their places.
    ///
    /// Errors: `InvalidFetchSessionEpoch` where the session has moved on meanwhile.
    pub fn answer<'a>(
        &mut self,
        id: i32,
        epoch: i32,
        outcomes: impl Iterator<Item = (u64, Outcome, &'a mut bool)>,
    ) -> Result<(), ErrorCode> {
        let mut session = self.sessions.get_mut(&id);
        if session.as_ref().is_some_and(|session| session.epoch != epoch) {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        for (place, outcome, named) in outcomes {
            // Evicted while the request waited: it is answered all the same.
            *named = session.as_mut().is_none_or(|session| session.answer(place, &outcome));
        }
        Ok(())
    }

    /// Whether an incremental response would have to name the partition at that place.
    pub fn would_name(&self, id: i32, place: u64, outcome: &Outcome) -> bool {
        self.sessions.get(&id).is_none_or(|session| session.must_name(place, outcome))
    }

    /// At which epoch a session is.
    pub fn epoch(&self, id: i32) -> Option<i32> {
        self.sessions.get(&id).map(|session| session.epoch)
    }

    fn new_id(&mut self) -> i32 {
        loop {
            let id = self.ids.between(1, i32::MAX as u64 - 1) as i32;
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// (3)
    fn evict(&mut self, now: Instant, privileged: bool, size: usize) -> bool {
        let last_used = self.sessions.iter().map(|(id, session)| (session.last_used, *id));
        let Some((last_used, oldest)) = last_used.min() else { return false };
        if now.since(last_used) > EVICTION {
            self.remove(oldest);
            return true;
        }
        let list = if privileged { &self.evictable_by_privileged } else { &self.evictable_by_all };
        match list.first() {
            Some(&worst) if worst <= (privileged, size, 0) => {
                self.remove(worst.2);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.unlist(id, &session);
        }
    }

    fn unlist(&mut self, id: i32, session: &Session) {
        let key = (session.privileged, session.listed_size, id);
        self.evictable_by_all.remove(&key);
        self.evictable_by_privileged.remove(&key);
    }

    fn touch(&mut self, id: i32, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.last_used = now;
        let old = now.since(session.created) > EVICTION;
        let is_listed = (!session.privileged || old, old);
        let size = session.order.len();
        if (size, is_listed) == (session.listed_size, session.is_listed) {
            return;
        }
        let before = (session.privileged, session.listed_size, id);
        self.evictable_by_all.remove(&before);
        self.evictable_by_privileged.remove(&before);
        (session.listed_size, session.is_listed) = (size, is_listed);
        let key = (session.privileged, size, id);
        if is_listed.0 {
            self.evictable_by_privileged.insert(key);
        }
        if is_listed.1 {
            self.evictable_by_all.insert(key);
        }
    }
}

/// (1)
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    const WANTED: Wanted = Wanted {
        fetch_offset: 0,
        max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        log_start_offset: -1,
    };

    fn key(partition: i32) -> Key {
        (TopicRef::Id(Uuid::from_u128(1)), partition)
    }

    fn outcome(high_watermark: Offset, has_records: bool) -> Outcome {
        let told = Told { high_watermark, log_start_offset: 0 };
        Outcome { told, has_records, has_advice: false, has_error: false }
    }

    fn sessions(slots: usize) -> Sessions {
        Sessions::new(slots, Seed(1).stream("fetch-sessions"))
    }

    fn begin(sessions: &mut Sessions, now: Instant, privileged: bool, partitions: i32) -> i32 {
        let partitions = (0..partitions).map(|index| (key(index), WANTED, outcome(0, false))).collect();
        sessions.begin(now, privileged, true, partitions)
    }

    #[test]
    fn an_incremental_response_names_only_what_is_new_and_what_had_data_goes_last() {
        let mut sessions = sessions(10);
        let now = Instant::ZERO;
        let id = begin(&mut sessions, now, false, 3);
        let (context, reads) = sessions.open(now, id, 1, true, vec![], &[]).unwrap();
        assert_eq!(context, Context::Incremental { id, epoch: 2 });
        assert_eq!(reads.iter().map(|read| read.key.1).collect::<Vec<_>>(), [0, 1, 2]);
        let outcomes = [outcome(5, true), outcome(0, false), outcome(7, false)];
        let mut named = [false; 3];
        let told =
            reads.iter().zip(outcomes).zip(&mut named).map(|((read, outcome), named)| (read.place, outcome, named));
        assert_eq!((sessions.answer(id, 2, told), named), (Ok(()), [true, false, true]));
        let (_, reads) = sessions.open(now, id, 2, true, vec![], &[]).unwrap();
        assert_eq!(reads.iter().map(|read| read.key.1).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn a_follower_that_comes_in_another_epoch_is_told_the_high_watermark_again() {
        for (privileged, named) in [(true, true), (false, false)] {
            let mut sessions = sessions(10);
            let id = begin(&mut sessions, Instant::ZERO, privileged, 1);
            let later = Read { key: key(0), wanted: Wanted { current_leader_epoch: 2, ..WANTED }, place: 0 };
            let (_, reads) = sessions.open(Instant::ZERO, id, 1, true, vec![later], &[]).unwrap();
            assert_eq!(sessions.would_name(id, reads[0].place, &outcome(0, false)), named);
        }
    }

    #[test]
    fn a_wrong_id_a_wrong_epoch_and_a_change_of_naming_are_told_apart() {
        let mut sessions = sessions(10);
        let now = Instant::ZERO;
        let id = begin(&mut sessions, now, false, 1);
        let mut open = |id, epoch, ids| sessions.open(now, id, epoch, ids, vec![], &[]).map(|(context, _)| context);
        assert_eq!(open(id + 1, 1, true), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(open(id, 2, true), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(open(id, 1, false), Err(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(open(id, 1, true), Ok(Context::Incremental { id, epoch: 2 }));
        assert_eq!(open(id, FINAL_EPOCH, true), Ok(Context::Sessionless));
        assert_eq!(open(id, 2, true), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_session_that_forgets_everything_ends() {
        let mut sessions = sessions(10);
        let id = begin(&mut sessions, Instant::ZERO, false, 1);
        let opened = sessions.open(Instant::ZERO, id, 1, true, vec![], &[key(0)]).unwrap();
        assert_eq!((opened, sessions.len()), ((Context::Sessionless, vec![]), 0));
    }

    #[test]
    fn a_young_session_yields_only_to_followers_and_an_old_one_to_what_is_worth_more() {
        let mut sessions = sessions(1);
        let first = begin(&mut sessions, Instant::ZERO, false, 2);
        assert_ne!(first, 0);
        assert_eq!(begin(&mut sessions, Instant::from_millis(1), false, 9), 0);
        let follower = begin(&mut sessions, Instant::from_millis(2), true, 1);
        assert_ne!(follower, 0);
        assert_eq!(begin(&mut sessions, Instant::from_millis(3), false, 9), 0);
        // Not used for two minutes: anybody may have it.
        assert_ne!(begin(&mut sessions, Instant::from_millis(120_003), false, 1), 0);
        assert_eq!(sessions.len(), 1);
    }
}
