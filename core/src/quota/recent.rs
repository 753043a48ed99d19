//! What is known of those that did something lately: of so many at most, as they choose their names themselves.

use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Of so many at once.
const MOST: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Recent<K, T> {
    /// Whoever did nothing for that long need not be known.
    forgotten_after: Duration,
    known: VecMap<K, (Instant, T)>,
}

impl<K: Ord + Clone, T> Recent<K, T> {
    pub fn new(forgotten_after: Duration) -> Recent<K, T> {
        Recent { forgotten_after, known: VecMap::new() }
    }

    /// What is known of whoever does something now.
    pub fn of(&mut self, now: Instant, key: K, new: impl FnOnce(&K) -> T) -> &mut T {
        if !self.known.contains_key(&key) {
            self.make_room(now);
        }
        let (used, known) = self.known.entry(key).or_insert_with_key(|key| (now, new(key)));
        *used = now;
        known
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.known.iter().map(|(key, (_, known))| (key, known))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut T)> {
        self.known.iter_mut().map(|(key, (_, known))| (key, known))
    }

    fn make_room(&mut self, now: Instant) {
        let forgotten_after = self.forgotten_after;
        self.known.retain(|_, (used, _)| now.since(*used) < forgotten_after);
        if self.known.len() >= MOST
            && let Some(oldest) = self.known.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone())
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let mut recent = Recent::new(Duration::from_secs(60));
        for key in 0..MOST as u64 + 5 {
            recent.of(Instant::from_millis(key), key, |_| ());
        }
        assert_eq!(recent.iter().count(), MOST);
        assert!(recent.iter().all(|(&key, ())| key >= 5), "those that did nothing for longest have gone");
        recent.of(Instant::from_millis(100_000), 0, |_| ());
        assert_eq!(recent.iter().count(), 1);
    }
}
