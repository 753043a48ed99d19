//! A set of offsets, or of records' numbers, as ranges: what is acknowledged comes almost in order, so there are few.

use crate::id::Offset;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// Half open, sorted, apart from each other.
    ranges: Vec<(Offset, Offset)>,
}

impl Ranges {
    pub fn insert(&mut self, from: Offset, to: Offset) {
        match self.ranges.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            Some((_, end)) if *end > from => {
                let first = self.ranges.partition_point(|(_, end)| *end < from);
                let last = self.ranges.partition_point(|(start, _)| *start <= to);
                let merged =
                    self.ranges[first..last].iter().fold((from, to), |all, one| (all.0.min(one.0), all.1.max(one.1)));
                self.ranges.splice(first..last, [merged]);
            }
            _ => self.ranges.push((from, to)),
        }
    }

    /// How many offsets of `from..to` are in it.
    pub fn count(&self, from: Offset, to: Offset) -> u64 {
        let first = self.ranges.partition_point(|(_, end)| *end <= from);
        let within = self.ranges[first..].iter().take_while(|(start, _)| *start < to);
        within.map(|(start, end)| ((*end).min(to) - (*start).max(from)) as u64).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.ranges.iter().copied()
    }

    pub fn contains(&self, offset: Offset) -> bool {
        self.count(offset, offset + 1) == 1
    }

    pub fn remove(&mut self, from: Offset, to: Offset) {
        if self.count(from, to) == 0 {
            return;
        }
        let rest = |&(start, end): &(Offset, Offset)| [(start, end.min(from)), (start.max(to), end)];
        self.ranges = self.ranges.iter().flat_map(rest).filter(|(start, end)| start < end).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_together_and_are_cut_apart() {
        let mut set = Ranges::default();
        for offset in [0, 1, 5, 3, 2, 9, 4] {
            set.insert(offset, offset + 1);
        }
        assert_eq!(set.ranges, [(0, 6), (9, 10)]);
        assert_eq!((set.count(4, 100), set.contains(8), set.contains(9)), (3, false, true));
        set.remove(2, 4);
        assert_eq!(set.ranges, [(0, 2), (4, 6), (9, 10)]);
        set.remove(5, Offset::MAX);
        assert_eq!(set.ranges, [(0, 2), (4, 5)]);
    }
}
