//! What is kept of each of a broker's logs, by [`LogId`]. Ids are not used twice, so that late answers about a removed log
//! find nothing; and of a log that is removed nothing stays, however many come and go.
//!
//! 1. Ids rise from front to back. While none is missing, a log's place is its id.

use crate::id::LogId;

#[derive(Clone, Debug)]
pub struct LogTable<T> {
    rows: Vec<(LogId, T)>,
}

impl<T> Default for LogTable<T> {
    fn default() -> Self {
        LogTable { rows: Vec::new() }
    }
}

impl<T> LogTable<T> {
    pub fn get(&self, log: LogId) -> Option<&T> {
        self.find(log).ok().map(|at| &self.rows[at].1)
    }

    pub fn get_mut(&mut self, log: LogId) -> Option<&mut T> {
        self.find(log).ok().map(|at| &mut self.rows[at].1)
    }

    pub fn insert(&mut self, log: LogId, row: T) {
        match self.find(log) {
            Ok(at) => self.rows[at].1 = row,
            Err(at) => self.rows.insert(at, (log, row)),
        }
    }

    pub fn remove(&mut self, log: LogId) -> Option<T> {
        self.find(log).ok().map(|at| self.rows.remove(at).1)
    }

    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        self.rows.iter().map(|(log, _)| *log)
    }

    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().map(|(_, row)| row)
    }

    /// The place of a log, or the one that it would have.
    fn find(&self, log: LogId) -> Result<usize, usize> {
        let id = log.0 as usize;
        if self.rows.get(id).is_some_and(|(at, _)| *at == log) {
            return Ok(id);
        }
        // (1) Before it lie at most as many as have lower ids.
        self.rows[..id.min(self.rows.len())].binary_search_by_key(&log, |(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_leaves_nothing_and_its_neighbours_where_they_are() {
        let mut table = LogTable::default();
        for id in 0..1_000 {
            table.insert(LogId(id), id);
            if id > 3 {
                assert_eq!(table.remove(LogId(id - 1)), Some(id - 1));
            }
        }
        assert_eq!(table.logs().collect::<Vec<_>>(), [0, 1, 2, 999].map(LogId));
        for id in [0, 1, 2, 999] {
            assert_eq!(table.get(LogId(id)), Some(&id));
        }
        for id in [3, 4, 998, 1_000] {
            assert_eq!(table.get(LogId(id)), None);
            assert_eq!(table.remove(LogId(id)), None);
        }
        table.insert(LogId(500), 7);
        table.insert(LogId(2), 8);
        assert_eq!(table.rows_mut().map(|row| *row).collect::<Vec<_>>(), [0, 1, 8, 7, 999]);
    }
}
