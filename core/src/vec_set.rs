//! An ordered set of few: a sorted vector, with the names that `BTreeSet` gives to the same things. When it is the right
//! one, [`VecMap`](crate::vec_map::VecMap) says.

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::{slice, vec};

use crate::arrange::Arrange;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VecSet<T> {
    items: Vec<T>,
}

impl<T> VecSet<T> {
    pub const fn new() -> Self {
        VecSet { items: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.items.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.items.iter()
    }

    pub fn first(&self) -> Option<&T> {
        self.items.first()
    }

    pub fn last(&self) -> Option<&T> {
        self.items.last()
    }

    pub fn pop_first(&mut self) -> Option<T> {
        (!self.is_empty()).then(|| self.items.remove(0))
    }

    pub fn pop_last(&mut self) -> Option<T> {
        self.items.pop()
    }

    pub fn retain(&mut self, keeps: impl FnMut(&T) -> bool) {
        self.items.retain(keeps);
    }
}

impl<T: Ord> VecSet<T> {
    fn place<Q: Ord + ?Sized>(&self, item: &Q) -> Result<usize, usize>
    where
        T: Borrow<Q>,
    {
        self.items.binary_search_by(|known| known.borrow().cmp(item))
    }

    pub fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.place(item).is_ok()
    }

    pub fn get<Q: Ord + ?Sized>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
    {
        self.place(item).ok().map(|place| &self.items[place])
    }

    /// Whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        // Most come in order.
        if self.items.last().is_none_or(|last| *last < item) {
            self.items.push(item);
            return true;
        }
        let place = self.place(&item);
        if let Err(place) = place {
            self.items.insert(place, item);
        }
        place.is_err()
    }

    /// Whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.take(item).is_some()
    }

    pub fn take<Q: Ord + ?Sized>(&mut self, item: &Q) -> Option<T>
    where
        T: Borrow<Q>,
    {
        self.place(item).ok().map(|place| self.items.remove(place))
    }

    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> slice::Iter<'_, T>
    where
        T: Borrow<Q>,
    {
        let from_item = |item: &Q| self.place(item).unwrap_or_else(|place| place);
        let behind_item = |item: &Q| self.place(item).map_or_else(|place| place, |place| place + 1);
        let from = match range.start_bound() {
            Bound::Included(item) => from_item(item),
            Bound::Excluded(item) => behind_item(item),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(item) => behind_item(item),
            Bound::Excluded(item) => from_item(item),
            Bound::Unbounded => self.len(),
        };
        self.items[from..to].iter()
    }

    /// What the other one has not.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|item| !other.contains(*item))
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|item| other.contains(item))
    }

    pub fn is_disjoint(&self, other: &Self) -> bool {
        !self.iter().any(|item| other.contains(item))
    }

    /// Takes all out of the other one.
    pub fn append(&mut self, other: &mut Self) {
        self.extend(other.items.drain(..));
    }
}

impl<T> Default for VecSet<T> {
    fn default() -> Self {
        VecSet::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for VecSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<T: Ord> Extend<T> for VecSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        let items = items.into_iter();
        self.items.reserve(items.size_hint().0);
        for item in items {
            self.insert(item);
        }
    }
}

impl<T: Ord> FromIterator<T> for VecSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items: Vec<T> = items.into_iter().collect();
        if !items.is_sorted() {
            items.arrange();
        }
        items.dedup();
        VecSet { items }
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for VecSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T> IntoIterator for VecSet<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> vec::IntoIter<T> {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a VecSet<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_as_a_tree() {
        let items = [5, 1, 3, 1, 4, 5];
        let (mut set, mut tree) = (VecSet::from(items), BTreeSet::from(items));
        for item in [2, 3, 9] {
            assert_eq!(set.insert(item), tree.insert(item), "{item}");
        }
        for item in [1, 1, 8] {
            assert_eq!(set.remove(&item), tree.remove(&item), "{item}");
        }
        assert!(set.iter().eq(&tree));
        assert_eq!(format!("{set:?}"), format!("{tree:?}"));
        for from in 0..10 {
            for to in from..10 {
                assert!(set.range(from..to).eq(tree.range(from..to)), "{from} to {to}");
            }
        }
        let others = ([3, 4, 100], VecSet::from([3, 4, 100]));
        assert!(set.difference(&others.1).eq(tree.difference(&others.0.into())));
        assert_eq!((set.is_subset(&others.1), set.is_disjoint(&others.1)), (false, false));
        set.append(&mut VecSet::from([4, 6, 0]));
        assert!(set.iter().eq(&[0, 2, 3, 4, 5, 6, 9]));
    }
}
