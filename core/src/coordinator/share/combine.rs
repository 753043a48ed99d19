//! Batches of a share-partition's state, put together as Kafka's `PersisterStateBatchCombiner` does: what lies below the
//! start offset goes; where two overlap, the one with the higher delivery count holds, then the one whose state is further;
//! neighbours that say the same become one.

use super::StateBatch;

impl StateBatch {
    /// Which of two that overlap holds.
    fn rank(&self) -> (i16, i8) {
        (self.delivery_count, self.delivery_state)
    }
}

/// In the order of offsets, without overlaps. A start offset of −1 is none.
pub fn combine(so_far: &[StateBatch], new: &[StateBatch], start_offset: i64) -> Vec<StateBatch> {
    let mut whole: Vec<StateBatch> = Vec::new();
    let all = so_far.iter().chain(new).filter(|batch| batch.last_offset >= start_offset);
    // In order, so that each is laid near the end.
    let mut all: Vec<&StateBatch> = all.filter(|batch| batch.first_offset <= batch.last_offset).collect();
    all.sort_by_key(|batch| batch.first_offset);
    for batch in all {
        lay(&mut whole, StateBatch { first_offset: batch.first_offset.max(start_offset), ..*batch });
    }
    let mut combined: Vec<StateBatch> = Vec::with_capacity(whole.len());
    for batch in whole {
        match combined.last_mut() {
            Some(last) if last.last_offset + 1 == batch.first_offset && last.rank() == batch.rank() => {
                last.last_offset = batch.last_offset;
            }
            _ => combined.push(batch),
        }
    }
    combined
}

/// Lays a batch over those that are there, which are in order and do not overlap: each offset keeps what ranks higher.
fn lay(whole: &mut Vec<StateBatch>, batch: StateBatch) {
    let begin = whole.partition_point(|other| other.last_offset < batch.first_offset);
    let end = whole.partition_point(|other| other.first_offset <= batch.last_offset);
    let mut pieces = Vec::with_capacity(2 * (end - begin) + 1);
    let mut next = batch.first_offset;
    let mut piece = |of: &StateBatch, first_offset, last_offset| {
        if first_offset <= last_offset {
            pieces.push(StateBatch { first_offset, last_offset, ..*of });
        }
    };
    for other in &whole[begin..end] {
        piece(&batch, next, other.first_offset - 1);
        if other.rank() > batch.rank() {
            piece(other, other.first_offset, other.last_offset);
        } else {
            piece(other, other.first_offset, batch.first_offset - 1);
            piece(&batch, other.first_offset.max(batch.first_offset), other.last_offset.min(batch.last_offset));
            piece(other, batch.last_offset + 1, other.last_offset);
        }
        next = other.last_offset + 1;
    }
    piece(&batch, next, batch.last_offset);
    whole.splice(begin..end, pieces);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch((first_offset, last_offset, delivery_state, delivery_count): (i64, i64, i8, i16)) -> StateBatch {
        StateBatch { first_offset, last_offset, delivery_state, delivery_count }
    }

    /// The cases that Kafka's combiner numbers, and chains of them.
    #[test]
    fn the_higher_delivery_count_holds_and_then_the_state_that_is_further() {
        type Batches = &'static [(i64, i64, i8, i16)];
        let cases: [(Batches, Batches, i64, Batches); 10] = [
            (&[(0, 9, 0, 1)], &[(0, 9, 2, 1)], -1, &[(0, 9, 2, 1)]),
            (&[(0, 9, 0, 1)], &[(0, 4, 0, 2)], -1, &[(0, 4, 0, 2), (5, 9, 0, 1)]),
            (&[(0, 4, 0, 2)], &[(0, 9, 0, 1)], -1, &[(0, 4, 0, 2), (5, 9, 0, 1)]),
            (&[(0, 9, 0, 1)], &[(3, 5, 4, 1)], -1, &[(0, 2, 0, 1), (3, 5, 4, 1), (6, 9, 0, 1)]),
            (&[(0, 9, 2, 1)], &[(3, 5, 0, 1)], -1, &[(0, 9, 2, 1)]),
            (&[(0, 9, 0, 1)], &[(5, 14, 0, 2)], -1, &[(0, 4, 0, 1), (5, 14, 0, 2)]),
            (&[(0, 9, 0, 2)], &[(5, 14, 0, 1)], -1, &[(0, 9, 0, 2), (10, 14, 0, 1)]),
            (&[(0, 4, 2, 1)], &[(5, 9, 2, 1)], -1, &[(0, 9, 2, 1)]),
            (&[(0, 4, 2, 1), (8, 9, 2, 1)], &[(5, 5, 0, 1)], 3, &[(3, 4, 2, 1), (5, 5, 0, 1), (8, 9, 2, 1)]),
            (
                &[(0, 4, 0, 1), (10, 14, 0, 3)],
                &[(2, 20, 0, 2)],
                -1,
                &[(0, 1, 0, 1), (2, 9, 0, 2), (10, 14, 0, 3), (15, 20, 0, 2)],
            ),
        ];
        for (so_far, new, start, expected) in cases {
            let [so_far, new, expected] = [so_far, new, expected].map(|it| it.iter().map(|it| batch(*it)).collect());
            let (so_far, new, expected): (Vec<_>, Vec<_>, Vec<_>) = (so_far, new, expected);
            assert_eq!(combine(&so_far, &new, start), expected, "{so_far:?} and {new:?} from {start}");
        }
    }
}
