//! Sorting of short lists: as the standard library's, stable, but with code that is there once and not anew for every
//! type, which counts on a page.

use std::cmp::Ordering;

pub trait Arrange<T> {
    fn arrange(&mut self)
    where
        T: Ord;

    fn arrange_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering);

    fn arrange_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K);
}

impl<T> Arrange<T> for [T] {
    fn arrange(&mut self)
    where
        T: Ord,
    {
        self.arrange_by(T::cmp);
    }

    fn arrange_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        if self.len() < 2 {
            return;
        }
        let order = order(self.len(), &mut |one, other| compare(&self[one], &self[other]));
        apply(order, &mut |one, other| self.swap(one, other));
    }

    fn arrange_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) {
        self.arrange_by(|one, other| key(one).cmp(&key(other)));
    }
}

/// Of each thing whether it is the first one like it: what a set says that takes one after the other, for as many as a request
/// may hold.
pub fn firsts<T: Ord>(items: &[T]) -> Vec<bool> {
    let order = order(items.len(), &mut |one, other| items[one].cmp(&items[other]));
    let mut firsts = vec![true; items.len()];
    for pair in order.windows(2) {
        firsts[pair[1]] = items[pair[0]] != items[pair[1]];
    }
    firsts
}

/// From where the thing of each place comes.
fn order(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

/// Cycle by cycle, each thing swapped to its place.
fn apply(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut place = start;
        while order[place] != start {
            let from = order[place];
            swap(place, from);
            order[place] = place;
            place = from;
        }
        order[place] = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_its_kind_is_known() {
        assert_eq!(firsts(&[3, 1, 3, 2, 1, 1]), [true, true, false, true, false, false]);
        assert!(firsts::<u8>(&[]).is_empty());
    }

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        for len in 0..40u64 {
            let items: Vec<(u64, u64)> = (0..len).map(|at| (at * at * 7 % 11, at)).collect();
            let (mut ours, mut theirs) = (items.clone(), items);
            ours.arrange_by_key(|(key, _)| *key);
            theirs.sort_by_key(|(key, _)| *key);
            assert_eq!(ours, theirs);
            ours.arrange_by(|one, other| other.cmp(one));
            theirs.sort_by(|one, other| other.cmp(one));
            assert_eq!(ours, theirs);
            ours.arrange();
            theirs.sort();
            assert_eq!(ours, theirs);
        }
    }
}
