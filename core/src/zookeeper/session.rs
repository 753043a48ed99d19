//! Sessions: a client lives as long as it is heard of within its time, over however many connections.
//!
//! ```text
//! ─ connect ─▶ alive ─ nothing heard for its timeout, or closeSession ─▶ closed, and its ephemeral znodes with it
//!              ▲   │ its connection is lost
//!              └───┘ connect, with the session's id and password
//! ```
//!
//! As ZooKeeper does, time is counted in ticks: a session is closed at the first tick after its time is over.

use super::SessionId;
use super::protocol::Password;
use crate::id::ConnId;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

#[derive(Clone, Debug, Default)]
pub struct Sessions {
    alive: VecMap<SessionId, Session>,
    next: i64,
    tick: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub timeout: Duration,
    expires: Instant,
    /// Where its client is, if it is connected.
    pub conn: Option<ConnId>,
}

impl Sessions {
    /// New ids begin with `first`. Sessions from before get their whole time, from now on.
    pub fn open(first: SessionId, tick: Duration, before: &VecMap<SessionId, i32>, now: Instant) -> Sessions {
        let newest = before.keys().next_back().map_or(0, |newest| newest.0 + 1);
        let mut sessions = Sessions { alive: VecMap::new(), next: first.0.max(newest), tick };
        for (&id, &timeout_ms) in before {
            let timeout = Duration::from_millis(timeout_ms.max(0) as u64);
            sessions.alive.insert(id, Session { timeout, expires: now, conn: None });
            sessions.touch(id, now);
        }
        sessions
    }

    pub fn create(&mut self, timeout: Duration, conn: ConnId, now: Instant) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        self.alive.insert(id, Session { timeout, expires: now, conn: Some(conn) });
        self.touch(id, now);
        id
    }

    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.alive.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.alive.iter().map(|(id, session)| (*id, session))
    }

    /// It is heard of.
    pub fn touch(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.alive.get_mut(&id) else { return };
        let end = (now + session.timeout).as_nanos();
        let tick = (self.tick.as_nanos() as u64).max(1);
        session.expires = Instant::from_nanos((end / tick + 1) * tick);
    }

    /// Its client is on that connection now; gives the one that it was on.
    pub fn attach(&mut self, id: SessionId, conn: ConnId) -> Option<ConnId> {
        self.alive.get_mut(&id)?.conn.replace(conn)
    }

    /// The connection is gone; the session stays, for its time.
    pub fn detach(&mut self, id: SessionId, conn: ConnId) {
        if let Some(session) = self.alive.get_mut(&id).filter(|session| session.conn == Some(conn)) {
            session.conn = None;
        }
    }

    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.alive.remove(&id)
    }

    /// One whose time is over.
    pub fn expired(&self, now: Instant) -> Option<SessionId> {
        self.alive.iter().find(|(_, session)| session.expires <= now).map(|(id, _)| *id)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.alive.values().map(|session| session.expires).min()
    }
}

/// What proves that a session is one's own: bytes that ZooKeeper draws from `java.util.Random`, seeded with the id and a
/// number that it calls a secret.
pub fn password(id: SessionId) -> Password {
    const SECRET: i64 = 0xB341_5C00;
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((id.0 ^ SECRET) as u64 ^ MULTIPLIER) & MASK;
    let mut bytes = [0; 16];
    for word in bytes.chunks_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    Password(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(500);

    #[test]
    fn a_session_lives_from_touch_to_touch_and_ends_at_a_tick() {
        let at = Instant::from_millis;
        let mut sessions = Sessions::open(SessionId(7), TICK, &VecMap::new(), at(0));
        let id = sessions.create(Duration::from_millis(4_000), ConnId(1), at(10));
        assert_eq!((id, sessions.deadline()), (SessionId(7), Some(at(4_500))));
        sessions.touch(id, at(3_000));
        assert_eq!((sessions.expired(at(7_499)), sessions.expired(at(7_500))), (None, Some(id)));
    }

    #[test]
    fn sessions_from_before_get_their_time_and_their_ids_are_not_given_again() {
        let before = [(SessionId(90), 1_000)].into();
        let mut sessions = Sessions::open(SessionId(7), TICK, &before, Instant::from_millis(2_000));
        assert_eq!(sessions.deadline(), Some(Instant::from_millis(3_500)));
        assert_eq!(sessions.create(TICK, ConnId(1), Instant::ZERO), SessionId(91));
    }

    #[test]
    fn passwords_are_those_of_zookeeper() {
        // new java.util.Random(0x100000001L ^ 0xB3415C00L).nextBytes(bytes)
        let told = [5, 0x4c, 0x5a, 0x64, 0x37, 0x32, 0x14, 0xa8, 0x15, 0xe7, 0x4d, 0x1d, 0x0c, 0x73, 0xdf, 0xa6];
        assert_eq!(password(SessionId(0x1_0000_0001)), Password(told));
    }
}
