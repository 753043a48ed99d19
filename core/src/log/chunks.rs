//! A vector that grows at its end and can be shortened at both, in chunks that its clones share: a checkpoint of a node
//! copies at most one chunk of it.

use std::collections::VecDeque;
use std::sync::Arc;

/// Elements in a shared chunk.
pub const CHUNK: usize = 128;

#[derive(Clone, Debug)]
pub struct Chunks<T> {
    /// Each of exactly [`CHUNK`] elements.
    full: VecDeque<Arc<[T]>>,
    /// Fewer than [`CHUNK`].
    tail: Vec<T>,
}

impl<T: Copy> Chunks<T> {
    pub fn new() -> Self {
        Chunks { full: VecDeque::new(), tail: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.full.len() * CHUNK + self.tail.len()
    }

    pub fn get(&self, at: usize) -> Option<T> {
        match self.full.get(at / CHUNK) {
            Some(chunk) => Some(chunk[at % CHUNK]),
            None => self.tail.get(at - self.full.len() * CHUNK).copied(),
        }
    }

    pub fn first(&self) -> Option<T> {
        self.get(0)
    }

    pub fn last(&self) -> Option<T> {
        let of_full = || self.full.back().map(|chunk| chunk[CHUNK - 1]);
        self.tail.last().copied().or_else(of_full)
    }

    pub fn push(&mut self, value: T) {
        self.tail.push(value);
        if self.tail.len() == CHUNK {
            self.full.push_back(self.tail.as_slice().into());
            self.tail.clear();
        }
    }

    /// Keeps the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let whole = len / CHUNK;
        if whole < self.full.len() {
            self.tail = self.full[whole][..len % CHUNK].to_vec();
            self.full.truncate(whole);
        } else {
            self.tail.truncate(len % CHUNK);
        }
    }

    /// Drops whole chunks from the front as long as at least `keep` elements stay.
    pub fn shed(&mut self, keep: usize) {
        while !self.full.is_empty() && self.len() - CHUNK >= keep {
            self.full.pop_front();
        }
    }

    /// The number of elements, from the front, for which `before` holds; they must come first.
    pub fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let whole = self.full.partition_point(|chunk| before(&chunk[CHUNK - 1]));
        let within = match self.full.get(whole) {
            Some(chunk) => chunk.partition_point(before),
            None => self.tail.partition_point(before),
        };
        whole * CHUNK + within
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + '_ {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.tail).copied()
    }
}

impl<T: Copy> Default for Chunks<T> {
    fn default() -> Self {
        Chunks::new()
    }
}

impl<T: Copy> FromIterator<T> for Chunks<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut chunks = Chunks::new();
        values.into_iter().for_each(|value| chunks.push(value));
        chunks
    }
}

impl<T: Copy + PartialEq> PartialEq for Chunks<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Copy + Eq> Eq for Chunks<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_vector() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7] {
            let chunks: Chunks<usize> = (0..len).collect();
            assert_eq!(
                (chunks.len(), chunks.first(), chunks.last()),
                (len, (len > 0).then_some(0), len.checked_sub(1))
            );
            assert!(chunks.iter().eq(0..len));
            for at in 0..=len {
                assert_eq!(chunks.partition_point(|value| *value < at), at);
                let mut cut = chunks.clone();
                cut.truncate(at);
                assert_eq!(cut, (0..at).collect());
                cut.push(9);
                assert_eq!(cut.get(at), Some(9));
            }
        }
    }

    #[test]
    fn sheds_no_more_than_it_may() {
        let mut chunks: Chunks<usize> = (0..3 * CHUNK + 5).collect();
        chunks.shed(CHUNK + 1);
        assert_eq!((chunks.first(), chunks.len()), (Some(2 * CHUNK), CHUNK + 5));
    }
}
