//! Share sessions: which partitions a member of a group has from this broker, as Kafka's `ShareSessionCache` keeps them.
//!
//! 1. Epoch 0 begins one, in place of what there was; −1 ends it; else each request names the next.
//! 2. It ends with the connection that it was begun on.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::error::ErrorCode;
use crate::id::ConnId;
use crate::vec_map::VecMap;

pub const INITIAL_EPOCH: i32 = 0;
pub const FINAL_EPOCH: i32 = -1;

/// Group and member.
pub type SessionKey = (Arc<str>, Arc<str>);
/// A partition of a topic.
pub type TopicPartitionId = (Uuid, i32);

#[derive(Clone, Debug)]
struct Session {
    epoch: i32,
    conn: ConnId,
    /// In the order in which they came; those that no response has named yet are new.
    partitions: Vec<(TopicPartitionId, bool)>,
}

#[derive(Clone, Debug, Default)]
pub struct Sessions {
    sessions: VecMap<SessionKey, Session>,
}

impl Sessions {
    /// A ShareFetch came: what it reads, and whether the response must name it.
    ///
    /// Errors: `ShareSessionNotFound`, `InvalidShareSessionEpoch`, `ShareSessionLimitReached`.
    pub fn open(
        &mut self,
        key: &SessionKey,
        (epoch, conn): (i32, ConnId),
        asked: &[TopicPartitionId],
        forgotten: &[TopicPartitionId],
        most: usize,
    ) -> Result<Vec<(TopicPartitionId, bool)>, ErrorCode> {
        if epoch == INITIAL_EPOCH {
            self.sessions.remove(key);
            if self.sessions.len() >= most {
                return Err(ErrorCode::ShareSessionLimitReached);
            }
            let mut known = BTreeSet::new();
            let mut partitions: Vec<(TopicPartitionId, bool)> =
                asked.iter().filter(|id| known.insert(**id)).map(|id| (*id, true)).collect();
            let wanted = partitions.clone();
            partitions.iter_mut().for_each(|(_, is_new)| *is_new = false);
            self.sessions.insert(key.clone(), Session { epoch: 1, conn, partitions });
            return Ok(wanted);
        }
        if epoch == FINAL_EPOCH {
            return self.sessions.contains_key(key).then(Vec::new).ok_or(ErrorCode::ShareSessionNotFound);
        }
        self.advance(key, epoch)?;
        let Some(session) = self.sessions.get_mut(key) else { return Err(ErrorCode::ShareSessionNotFound) };
        let mut known: BTreeSet<TopicPartitionId> = session.partitions.iter().map(|(id, _)| *id).collect();
        session.partitions.extend(asked.iter().filter(|id| known.insert(**id)).map(|id| (*id, true)));
        let forgotten: BTreeSet<&TopicPartitionId> = forgotten.iter().collect();
        session.partitions.retain(|(id, _)| !forgotten.contains(id));
        let wanted = session.partitions.clone();
        session.partitions.iter_mut().for_each(|(_, is_new)| *is_new = false);
        Ok(wanted)
    }

    /// A ShareAcknowledge came.
    ///
    /// Errors: `ShareSessionNotFound`, `InvalidShareSessionEpoch`.
    pub fn acknowledge(&mut self, key: &SessionKey, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            INITIAL_EPOCH => Err(ErrorCode::InvalidShareSessionEpoch),
            FINAL_EPOCH if self.sessions.contains_key(key) => Ok(()),
            FINAL_EPOCH => Err(ErrorCode::ShareSessionNotFound),
            epoch => self.advance(key, epoch),
        }
    }

    /// (1)
    fn advance(&mut self, key: &SessionKey, epoch: i32) -> Result<(), ErrorCode> {
        let session = self.sessions.get_mut(key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        Ok(())
    }

    /// Ends one: the partitions that the member may have records of.
    pub fn close(&mut self, key: &SessionKey) -> Vec<TopicPartitionId> {
        let session = self.sessions.remove(key);
        session.map(|session| session.partitions.into_iter().map(|(id, _)| id).collect()).unwrap_or_default()
    }

    /// Whether some member of the group has one.
    pub fn has(&self, group: &str) -> bool {
        self.sessions.keys().any(|(of, _)| &**of == group)
    }

    /// (2)
    pub fn of_connection(&self, conn: ConnId) -> Vec<SessionKey> {
        self.sessions.iter().filter(|(_, session)| session.conn == conn).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_epochs_that_follow_each_other_and_partitions_that_come_and_go() {
        let mut sessions = Sessions::default();
        let key = |member: &str| (Arc::from("group"), Arc::from(member));
        let (a, conn) = (key("a"), ConnId(1));
        let id = |partition| (Uuid::from_u128(7), partition);
        let names = |opened: Result<Vec<(TopicPartitionId, bool)>, ErrorCode>| {
            opened.map(|all| all.into_iter().map(|((_, partition), is_new)| (partition, is_new)).collect::<Vec<_>>())
        };
        let mut open = |key: &SessionKey, epoch, asked: &[TopicPartitionId], forgotten: &[TopicPartitionId]| {
            names(sessions.open(key, (epoch, conn), asked, forgotten, 1))
        };
        assert_eq!(open(&a, 1, &[], &[]), Err(ErrorCode::ShareSessionNotFound));
        assert_eq!(open(&a, 0, &[id(0), id(1)], &[]), Ok(vec![(0, true), (1, true)]));
        assert_eq!(open(&key("b"), 0, &[], &[]), Err(ErrorCode::ShareSessionLimitReached));
        assert_eq!(open(&a, 2, &[], &[]), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(open(&a, 1, &[id(2)], &[id(0)]), Ok(vec![(1, false), (2, true)]));
        assert_eq!(sessions.acknowledge(&a, 0), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(sessions.acknowledge(&a, 2), Ok(()));
        assert_eq!(sessions.of_connection(conn), std::slice::from_ref(&a));
        assert_eq!(sessions.close(&a), [id(1), id(2)]);
        assert_eq!(sessions.acknowledge(&a, FINAL_EPOCH), Err(ErrorCode::ShareSessionNotFound));
    }
}
