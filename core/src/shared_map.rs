//! An ordered map whose clones share what they have in common: cloning costs nothing, and a change after it copies one
//! path of the tree. So a state can be kept as it was, and a node is cheap to checkpoint.
//!
//! A weight-balanced tree, with the parameters of Haskell's `Data.Map` (Hirai and Yamamoto proved them right):
//!
//! 1. Keys rise from left to right.
//! 2. The weight of a subtree (its size and one) is at most [`DELTA`] times its sibling's.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

const DELTA: usize = 3;
/// Below it a single rotation balances, from it on a double one.
const RATIO: usize = 2;

pub struct SharedMap<K, V> {
    root: Link<K, V>,
}

type Link<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Clone)]
struct Node<K, V> {
    key: K,
    value: V,
    size: usize,
    left: Link<K, V>,
    right: Link<K, V>,
}

impl<K, V> SharedMap<K, V> {
    pub const fn new() -> Self {
        SharedMap { root: None }
    }

    pub fn len(&self) -> usize {
        size(&self.root)
    }

    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// In the order of the keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { path: Vec::new() };
        iter.descend(&self.root);
        iter
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut link = &self.root;
        while let Some(node) = link {
            link = match key.cmp(node.key.borrow()) {
                std::cmp::Ordering::Less => &node.left,
                std::cmp::Ordering::Greater => &node.right,
                std::cmp::Ordering::Equal => return Some((&node.key, &node.value)),
            };
        }
        None
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// From the first key that is not below `from`, in the order of the keys.
    pub fn range_from<Q: Ord + ?Sized>(&self, from: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let mut path = Vec::new();
        let mut link = &self.root;
        while let Some(node) = link {
            if node.key.borrow() < from {
                link = &node.right;
            } else {
                path.push(&**node);
                link = &node.left;
            }
        }
        Iter { path }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// What stood there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        insert(&mut self.root, key, value)
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // A path is not copied for nothing.
        self.get(key)?;
        remove(&mut self.root, key).map(|(_, value)| value)
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut link = &mut self.root;
        while let Some(node) = link {
            let node = Arc::make_mut(node);
            link = match key.cmp(node.key.borrow()) {
                std::cmp::Ordering::Less => &mut node.left,
                std::cmp::Ordering::Greater => &mut node.right,
                std::cmp::Ordering::Equal => return Some(&mut node.value),
            };
        }
        None
    }
}

/// A walk over a map, or over the end of it.
pub struct Iter<'a, K, V> {
    /// What comes next, last; each with everything to its right.
    path: Vec<&'a Node<K, V>>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut link: &'a Link<K, V>) {
        while let Some(node) = link {
            self.path.push(node);
            link = &node.left;
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.path.pop()?;
        self.descend(&node.right);
        Some((&node.key, &node.value))
    }
}

fn size<K, V>(link: &Link<K, V>) -> usize {
    link.as_ref().map_or(0, |node| node.size)
}

fn weight<K, V>(link: &Link<K, V>) -> usize {
    size(link) + 1
}

fn insert<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>, key: K, value: V) -> Option<V> {
    let Some(shared) = link else {
        *link = Some(Arc::new(Node { key, value, size: 1, left: None, right: None }));
        return None;
    };
    let node = Arc::make_mut(shared);
    let before = match key.cmp(&node.key) {
        std::cmp::Ordering::Less => insert(&mut node.left, key, value),
        std::cmp::Ordering::Greater => insert(&mut node.right, key, value),
        std::cmp::Ordering::Equal => return Some(std::mem::replace(&mut node.value, value)),
    };
    if before.is_none() {
        balance(shared);
    }
    before
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(link: &mut Link<K, V>, key: &Q) -> Option<(K, V)> {
    let shared = link.as_mut()?;
    let node = Arc::make_mut(shared);
    let removed = match key.cmp(node.key.borrow()) {
        std::cmp::Ordering::Less => remove(&mut node.left, key),
        std::cmp::Ordering::Greater => remove(&mut node.right, key),
        std::cmp::Ordering::Equal => return take_root(link),
    };
    balance(shared);
    removed
}

/// Takes the node at the root of a subtree out; its neighbour in the heavier child takes its place.
fn take_root<K: Clone, V: Clone>(link: &mut Link<K, V>) -> Option<(K, V)> {
    let node = Arc::make_mut(link.as_mut()?);
    let neighbour = if size(&node.left) > size(&node.right) {
        take_end(&mut node.left, |node| &mut node.right, |node| &mut node.left)
    } else {
        take_end(&mut node.right, |node| &mut node.left, |node| &mut node.right)
    };
    match neighbour {
        Some((key, value)) => {
            let key = std::mem::replace(&mut node.key, key);
            let value = std::mem::replace(&mut node.value, value);
            if let Some(shared) = link {
                balance(shared);
            }
            Some((key, value))
        }
        // A leaf.
        None => link.take().map(|node| match Arc::try_unwrap(node) {
            Ok(node) => (node.key, node.value),
            Err(node) => (node.key.clone(), node.value.clone()),
        }),
    }
}

type Side<K, V> = fn(&mut Node<K, V>) -> &mut Link<K, V>;

/// Takes the outermost node on one side of a subtree.
fn take_end<K: Clone, V: Clone>(link: &mut Link<K, V>, outer: Side<K, V>, inner: Side<K, V>) -> Option<(K, V)> {
    let shared = link.as_mut()?;
    let node = Arc::make_mut(shared);
    if let Some(end) = take_end(outer(node), outer, inner) {
        balance(shared);
        return Some(end);
    }
    let rest = inner(node).take();
    let (key, value) = (node.key.clone(), node.value.clone());
    *link = rest;
    Some((key, value))
}

/// Sets the size of a node whose children are balanced, and rotates where one of them has become too heavy. (2)
fn balance<K: Clone, V: Clone>(shared: &mut Arc<Node<K, V>>) {
    let node = Arc::make_mut(shared);
    node.size = 1 + size(&node.left) + size(&node.right);
    if node.size <= 2 {
        return;
    }
    if weight(&node.right) > DELTA * weight(&node.left) {
        rotate(shared, |node| &mut node.right, |node| &mut node.left);
    } else if weight(&node.left) > DELTA * weight(&node.right) {
        rotate(shared, |node| &mut node.left, |node| &mut node.right);
    }
}

/// The heavy child takes its parent's place, or where its inner child is the heavier one, that.
fn rotate<K: Clone, V: Clone>(shared: &mut Arc<Node<K, V>>, heavy: Side<K, V>, light: Side<K, V>) {
    let node = Arc::make_mut(shared);
    let child = Arc::make_mut(heavy(node).as_mut().expect("it is heavy"));
    if weight(light(child)) >= RATIO * weight(heavy(child)) {
        raise(heavy(node).as_mut().expect("it is heavy"), light, heavy);
    }
    raise(shared, heavy, light);
}

/// The child on the `heavy` side takes its parent's place.
fn raise<K: Clone, V: Clone>(shared: &mut Arc<Node<K, V>>, heavy: Side<K, V>, light: Side<K, V>) {
    let mut child = heavy(Arc::make_mut(shared)).take().expect("there is one to raise");
    std::mem::swap(shared, &mut child);
    // From here on `shared` is what was the child, and `child` what was the parent.
    let (up, down) = (Arc::make_mut(shared), Arc::make_mut(&mut child));
    *heavy(down) = light(up).take();
    down.size = 1 + size(&down.left) + size(&down.right);
    *light(up) = Some(child);
    up.size = 1 + size(&up.left) + size(&up.right);
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        SharedMap { root: self.root.clone() }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        SharedMap::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut map = SharedMap::new();
        for (key, value) in pairs {
            map.insert(key, value);
        }
        map
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Seed;

    /// (1), (2), and sizes that are right.
    fn check(link: &Link<u64, u64>) -> usize {
        let Some(node) = link else { return 0 };
        let (left, right) = (check(&node.left), check(&node.right));
        assert!(node.left.as_ref().is_none_or(|left| left.key < node.key));
        assert!(node.right.as_ref().is_none_or(|right| node.key < right.key));
        assert_eq!(node.size, 1 + left + right);
        assert!(left + right < 2 || left < DELTA * (right + 1) && right < DELTA * (left + 1), "{left} {right}");
        node.size
    }

    #[test]
    fn it_is_a_map_and_clones_keep_what_was() {
        let mut dice = Seed(3).stream("map");
        let mut map = SharedMap::new();
        let mut model = BTreeMap::new();
        let mut kept = Vec::new();
        for round in 0..20_000 {
            let key = dice.below(700);
            match dice.below(5) {
                0 | 1 => assert_eq!(map.insert(key, round), model.insert(key, round)),
                // It shrinks for a while, then grows.
                2 | 3 if round / 4_000 % 2 == 1 => assert_eq!(map.remove(&key), model.remove(&key)),
                2 => assert_eq!(map.remove(&key), model.remove(&key)),
                _ => match (map.get_mut(&key), model.get_mut(&key)) {
                    (Some(one), Some(other)) => (*one, *other) = (round, round),
                    (one, other) => assert!(one.is_none() && other.is_none()),
                },
            }
            if round % 1_000 == 0 {
                kept.push((map.clone(), model.clone()));
                check(&map.root);
            }
            assert_eq!(map.len(), model.len());
        }
        kept.push((map, model));
        for (map, model) in kept {
            check(&map.root);
            assert!(map.iter().eq(model.iter()));
            let from = dice.below(700);
            assert!(map.range_from(&from).eq(model.range(from..)), "from {from}");
            assert!((0..700).all(|key| map.get(&key) == model.get(&key)));
        }
    }

    #[test]
    fn what_comes_in_order_is_balanced_too() {
        let map: SharedMap<u64, u64> = (0..5_000).map(|key| (key, key)).collect();
        check(&map.root);
        let map: SharedMap<u64, u64> = (0..5_000).rev().map(|key| (key, key)).collect();
        check(&map.root);
    }
}
