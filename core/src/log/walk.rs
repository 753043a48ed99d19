//! Going from batch to batch by their headers: through the dense table where it knows the way, through bytes elsewhere.

use super::lookup::Place;
use super::segment::Segment;
use super::{Extent, Log};
use crate::id::Offset;
use crate::record::BatchHeader;
use crate::record::batch::HEADER_LEN;

/// Bytes that one step of a walk asks for at most. A thinned index leaves about as much between two entries.
pub const STEP_BYTES: u32 = 64 * 1024;

/// Where a walk stands: at the first byte of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    segment: Offset,
    position: u32,
    one_segment: bool,
    generation: u32,
}

/// Where a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// To the batch that was looked for.
    Hit(Place),
    /// To where only the bytes can tell.
    Read(Extent, Cursor),
    /// To the end of the log (or of the segment) without a hit.
    End,
    /// The log was cut, or the segment is gone: the cursor means nothing any more.
    Changed,
    /// To something that is not a batch of this segment.
    Corrupt,
}

impl Cursor {
    /// The walk ends where the segment ends.
    pub fn within_segment(self) -> Cursor {
        Cursor { one_segment: true, ..self }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Log {
    /// A cursor at a batch of which it is known that it lies there.
    pub(super) fn cursor(&self, segment: Offset, position: u32) -> Cursor {
        Cursor { segment, position, one_segment: false, generation: self.generation }
    }

    /// A cursor at or before the batch that holds `offset`.
    pub(super) fn cursor_for(&self, offset: Offset) -> Cursor {
        let segment = self.segment_for(offset).unwrap_or(&self.segments[0]);
        self.cursor(segment.base, segment.index.lookup(offset))
    }

    /// To the batch that holds `offset` or the first after it.
    pub(super) fn find_offset(&self, offset: Offset) -> Walked {
        match self.newest.covers_offset(offset) {
            true => self.newest.at_offset(offset).map_or(Walked::End, Walked::Hit),
            false => self.walk_to_offset(offset, self.cursor_for(offset)),
        }
    }

    /// The same, from a cursor before it.
    pub(super) fn walk_to_offset(&self, offset: Offset, from: Cursor) -> Walked {
        if !self.newest.covers_offset(offset) {
            return self.walk(from, None, |place| place.last_offset >= offset);
        }
        match self.newest.at_offset(offset) {
            Some(place) if !from.one_segment || place.segment == from.segment => Walked::Hit(place),
            _ => Walked::End,
        }
    }

    /// On from `cursor` to the first batch for which `hit` holds. `bytes` are what the walk asked for when it stood there,
    /// `None` at its start.
    pub(super) fn walk(&self, mut cursor: Cursor, bytes: Option<&[u8]>, mut hit: impl FnMut(&Place) -> bool) -> Walked {
        if cursor.generation != self.generation {
            return Walked::Changed;
        }
        let mut rest = bytes.unwrap_or_default();
        let mut asked = bytes.is_some();
        loop {
            let Some(segment) = self.segment(cursor.segment) else { return Walked::Changed };
            if self.newest.covers(cursor.segment, cursor.position) {
                return self.walk_newest(cursor, hit);
            }
            if cursor.position >= segment.size {
                match self.segment_after(cursor.segment).filter(|_| !cursor.one_segment) {
                    Some(next) => cursor = self.cursor(next.base, 0),
                    None => return Walked::End,
                }
                (rest, asked) = (&[], false);
                continue;
            }
            if rest.len() < HEADER_LEN {
                return if asked { Walked::Corrupt } else { Walked::Read(self.step(segment, cursor), cursor) };
            }
            let Some(place) = place_in(segment, cursor.position, rest) else { return Walked::Corrupt };
            if hit(&place) {
                return Walked::Hit(place);
            }
            cursor.position = place.end();
            (rest, asked) = (rest.get(place.size as usize..).unwrap_or_default(), false);
        }
    }

    fn walk_newest(&self, cursor: Cursor, mut hit: impl FnMut(&Place) -> bool) -> Walked {
        let mut places = self.newest.from(cursor.segment, cursor.position);
        let found = places.find(|place| hit(place) || (cursor.one_segment && place.segment != cursor.segment));
        match found {
            Some(place) if !cursor.one_segment || place.segment == cursor.segment => Walked::Hit(place),
            _ => Walked::End,
        }
    }

    /// What to read next: up to and with the header of the batch that has the next index entry.
    fn step(&self, segment: &Segment, cursor: Cursor) -> Extent {
        let next = segment.index.position_after(cursor.position).map_or(segment.size, |at| at + HEADER_LEN as u32);
        let end = next.min(segment.size).min(cursor.position.saturating_add(STEP_BYTES));
        // At the least a header; the file may be shorter, and then it is corrupt.
        let len = (end - cursor.position).max(HEADER_LEN as u32);
        Extent { log: self.id, segment: segment.base, position: cursor.position, len }
    }
}

/// The batch at the start of `bytes`, which lie at `position`; `None` where it cannot be one of that segment.
fn place_in(segment: &Segment, position: u32, bytes: &[u8]) -> Option<Place> {
    let header = BatchHeader::parse(bytes).ok()?;
    let size = u32::try_from(header.size()).ok()?;
    let fits = position.checked_add(size).is_some_and(|end| end <= segment.size);
    let belongs = header.base_offset >= segment.base && header.last_offset_delta >= 0;
    (fits && belongs).then(|| Place {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        segment: segment.base,
        position,
        size,
        max_timestamp: header.max_timestamp,
        leader_epoch: header.partition_leader_epoch,
        producer_id: header.producer_id,
        transactional: header.is_transactional(),
        control: header.is_control(),
    })
}
