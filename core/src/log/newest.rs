//! The dense table: where each of the newest batches lies. Consumers and followers live here, so their look-ups need no
//! bytes; so does the page.
//!
//! 1. Its batches follow one another without a hole and end where the log ends.

use super::chunks::Chunks;
use super::lookup::Place;
use crate::id::Offset;

/// Batches that are always kept; a chunk more may be there.
pub const NEWEST: usize = 1_024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    places: Chunks<Place>,
}

impl Newest {
    pub fn push(&mut self, place: Place) {
        let last = self.places.last();
        assert!(last.is_none_or(|last| (last.segment, last.position) < (place.segment, place.position)), "(1)");
        self.places.push(place);
        self.places.shed(NEWEST);
    }

    pub fn first(&self) -> Option<Place> {
        self.places.first()
    }

    pub fn last(&self) -> Option<Place> {
        self.places.last()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Place> + '_ {
        self.places.iter()
    }

    /// Knows every batch from that position on.
    pub fn covers(&self, segment: Offset, position: u32) -> bool {
        self.first().is_some_and(|first| (first.segment, first.position) <= (segment, position))
    }

    /// Knows every batch from the one that holds `offset` on.
    pub fn covers_offset(&self, offset: Offset) -> bool {
        self.first().is_some_and(|first| first.base_offset <= offset)
    }

    /// The batch that holds `offset`, or the first one after it. Only where the table covers the offset.
    pub fn at_offset(&self, offset: Offset) -> Option<Place> {
        // Most read the newest batch.
        if let Some(last) = self.last().filter(|last| last.base_offset <= offset) {
            return (offset <= last.last_offset).then_some(last);
        }
        self.places.get(self.places.partition_point(|place| place.last_offset < offset))
    }

    /// The batches from that position on. Only where the table covers the position.
    pub fn from(&self, segment: Offset, position: u32) -> impl Iterator<Item = Place> + '_ {
        let first = self.places.partition_point(|place| (place.segment, place.position) < (segment, position));
        (first..self.places.len()).filter_map(|at| self.places.get(at))
    }

    /// Keeps the batches that end below `end`.
    pub fn truncate(&mut self, end: Offset) {
        self.places.truncate(self.places.partition_point(|place| place.last_offset < end));
    }

    /// Forgets the batches of segments below `below`.
    pub fn delete(&mut self, below: Offset) {
        self.places = self.places.iter().filter(|place| place.segment >= below).collect();
    }

    /// The segments below `below` are others now, which end with these batches.
    pub fn replace(&mut self, below: Offset, places: &Chunks<Place>) {
        if self.first().is_some_and(|first| first.segment < below) {
            let rest = self.places.iter().filter(|place| place.segment >= below);
            self.places = places.iter().chain(rest).collect();
            self.places.shed(NEWEST);
        }
    }

    pub fn clear(&mut self) {
        self.places = Chunks::new();
    }
}
