//! A replica's log as a strip of cells.
//!
//! A cell is a batch. All replicas of a partition share one scale, so that a batch has its cell at the same place on
//! every broker, and lag is empty cells.
//!
//! 1. Cells are at most as many as asked for, and the newest.
//! 2. An offset between two batches' bases lies between their cells.

use std::fmt::Write;

use ottla_core::view::{BatchView, Fate, ReplicaView, View};

/// From offsets to cells: the bases of the newest batches of the partition, and the end after them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scale {
    bases: Vec<i64>,
    end: i64,
}

impl Scale {
    /// Taken from the replica that reaches furthest; of several, the leader.
    pub fn of(view: &View, topic: &str, partition: i32, cells: usize) -> Scale {
        let replicas = view.brokers.iter().filter_map(|broker| replica(&broker.replicas, topic, partition));
        let Some(longest) = replicas.max_by_key(|replica| (replica.end, replica.leader)) else {
            return Scale::default();
        };
        let newest = longest.batches.len().saturating_sub(cells);
        let bases = longest.batches[newest..].iter().map(|batch| batch.base_offset).collect();
        Scale { bases, end: longest.end }
    }

    pub fn cells(&self) -> usize {
        self.bases.len()
    }

    pub fn end(&self) -> i64 {
        self.end
    }

    /// The first offset that has a place.
    pub fn start(&self) -> i64 {
        self.bases.first().copied().unwrap_or(self.end)
    }

    /// Where an offset lies, in cells from the left; held within the strip.
    pub fn at(&self, offset: i64) -> f64 {
        let after = self.bases.partition_point(|base| *base <= offset);
        if after == 0 {
            return 0.0;
        }
        let base = self.bases[after - 1];
        let next = self.bases.get(after).copied().unwrap_or(self.end).max(base + 1);
        (after - 1) as f64 + ((offset - base) as f64 / (next - base) as f64).min(1.0)
    }

    /// The base offset of the cell at `x` cells from the left.
    pub fn base(&self, x: f64) -> Option<i64> {
        (x >= 0.0).then(|| self.bases.get(x as usize).copied()).flatten()
    }
}

/// The replica of a partition, in a list that is sorted by topic and partition.
pub fn replica<'a>(replicas: &'a [ReplicaView], topic: &str, partition: i32) -> Option<&'a ReplicaView> {
    let key = |replica: &ReplicaView| (replica.topic.as_str().cmp(topic)).then(replica.partition.cmp(&partition));
    replicas.binary_search_by(key).ok().map(|at| &replicas[at])
}

/// The size of a cell, in units of the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    pub pitch: f64,
    pub width: f64,
    pub height: f64,
}

/// How wide a marker is.
const MARKER: f64 = 3.0;

/// What is to be drawn, from the strip's own top left corner; offsets along it in units of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    /// Path of the cells that hold a batch.
    pub held: String,
    /// Path of those (or parts of those) above the high watermark.
    pub uncommitted: String,
    /// Path of the cells that another replica has and this one lacks.
    pub missing: String,
    /// Paths of the markers that end a transaction.
    pub commit_markers: String,
    pub abort_markers: String,
    /// Path of the batches that are of an aborted transaction, and of the brackets above them and above open ones.
    pub aborted: String,
    pub aborted_brackets: String,
    pub open_brackets: String,
    /// Where the last stable offset stands, if it is below the high watermark.
    pub stable: Option<f64>,
    /// How far the line below reaches: flushed.
    pub flushed: f64,
    /// Where the flag stands: the high watermark.
    pub high_watermark: Option<f64>,
    /// Where the log begins, if that is on the strip and not at offset 0.
    pub torn: Option<f64>,
    /// The log goes on to the left of the strip.
    pub more: bool,
    /// Where a new leader epoch begins.
    pub epochs: Vec<(f64, i32)>,
}

impl Strip {
    pub fn of(replica: &ReplicaView, scale: &Scale, cell: Cell) -> Strip {
        let mut strip = Strip::default();
        if scale.cells() == 0 {
            return strip;
        }
        let x = |offset: i64| scale.at(offset) * cell.pitch;
        let gap = cell.pitch - cell.width;
        let mut epoch = None;
        let mut spans: Vec<(Fate, f64, f64)> = Vec::new();
        for batch in &replica.batches {
            let BatchView { base_offset, last_offset, leader_epoch, .. } = *batch;
            let new_epoch = epoch.is_some_and(|epoch| epoch != leader_epoch);
            epoch = Some(leader_epoch);
            if last_offset < scale.start() {
                continue;
            }
            let (left, right) = (x(base_offset), x(last_offset + 1) - gap);
            if new_epoch {
                strip.epochs.push((left - gap / 2.0, leader_epoch));
            }
            match batch.fate {
                Fate::CommitMarker => push(&mut strip.commit_markers, left, right.min(left + MARKER), cell.height),
                Fate::AbortMarker => push(&mut strip.abort_markers, left, right.min(left + MARKER), cell.height),
                Fate::Aborted => push(&mut strip.aborted, left, right, cell.height),
                Fate::Plain | Fate::Open | Fate::Committed => push(&mut strip.held, left, right, cell.height),
            }
            if [Fate::Open, Fate::Aborted].contains(&batch.fate) {
                match spans.last_mut() {
                    Some((fate, _, end)) if *fate == batch.fate && left - *end < cell.pitch / 2.0 => *end = right,
                    _ => spans.push((batch.fate, left, right)),
                }
            }
            if batch.fate.is_marker() {
                continue;
            }
            if last_offset >= replica.high_watermark {
                push(&mut strip.uncommitted, left.max(x(replica.high_watermark)), right, cell.height);
            }
        }
        for (fate, left, right) in spans {
            let path = if fate == Fate::Open { &mut strip.open_brackets } else { &mut strip.aborted_brackets };
            let _ = write!(path, "M{left:.1} -1v-2.5h{:.1}v2.5", right - left);
        }
        for index in 0..scale.cells() {
            if scale.bases[index] >= replica.end {
                let left = index as f64 * cell.pitch + 0.5;
                push(&mut strip.missing, left, left + cell.width - 1.0, cell.height);
            }
        }
        strip.flushed = (x(replica.flushed.min(replica.end)) - gap).max(0.0);
        strip.high_watermark = (replica.high_watermark >= scale.start()).then(|| x(replica.high_watermark) - gap / 2.0);
        let stable = Some(replica.stable).filter(|stable| *stable < replica.high_watermark);
        strip.stable = stable.map(|stable| x(stable) - gap / 2.0);
        strip.torn = (replica.log_start > 0 && replica.log_start >= scale.start()).then(|| x(replica.log_start));
        strip.more = replica.log_start < scale.start();
        strip
    }
}

fn push(path: &mut String, left: f64, right: f64, height: f64) {
    if right - left > 0.2 {
        let _ = write!(path, "M{:.1} 0h{:.1}v{height}h{:.1}z", left, right - left, left - right);
    }
}

#[cfg(test)]
mod tests {
    use ottla_core::view::BrokerView;

    use super::*;

    const CELL: Cell = Cell { pitch: 10.0, width: 9.0, height: 13.0 };

    fn replica_of(end: i64, size: i64, leader: bool) -> ReplicaView {
        let batch =
            |i: i64| BatchView { base_offset: i * size, last_offset: i * size + size - 1, ..BatchView::default() };
        ReplicaView {
            topic: "orders".into(),
            leader,
            end,
            high_watermark: end,
            stable: end,
            flushed: end,
            batches: (0..end / size).map(batch).collect(),
            ..ReplicaView::default()
        }
    }

    fn view_of(replicas: Vec<ReplicaView>) -> View {
        let broker = |replica| BrokerView { replicas: vec![replica], ..BrokerView::default() };
        View { brokers: replicas.into_iter().map(broker).collect(), ..View::default() }
    }

    #[test]
    fn lag_is_empty_cells_on_a_common_scale() {
        let view = view_of(vec![replica_of(12, 3, true), replica_of(6, 3, false)]);
        let scale = Scale::of(&view, "orders", 0, 25);
        let cells = |path: &str| path.matches('M').count();
        let [leader, follower] = [0, 1].map(|i| Strip::of(&view.brokers[i].replicas[0], &scale, CELL));
        assert_eq!((cells(&leader.held), cells(&leader.missing)), (4, 0));
        assert_eq!((cells(&follower.held), cells(&follower.missing)), (2, 2));
        assert!(leader.held.starts_with(&follower.held), "the same batch has the same place");
    }

    #[test]
    fn only_the_newest_batches_have_cells_and_every_offset_has_a_place() {
        let view = view_of(vec![replica_of(300, 3, true)]);
        let scale = Scale::of(&view, "orders", 0, 25);
        assert_eq!((scale.cells(), scale.start()), (25, 225));
        assert_eq!((scale.at(0), scale.at(225), scale.at(228), scale.at(300)), (0.0, 0.0, 1.0, 25.0));
        assert!((scale.at(226) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((scale.base(1.5), scale.base(25.0), scale.base(-0.1)), (Some(228), None, None));
        assert!(Strip::of(&view.brokers[0].replicas[0], &scale, CELL).more);
    }

    #[test]
    fn the_high_watermark_divides_a_batch() {
        let mut replica = replica_of(12, 6, true);
        replica.high_watermark = 9;
        replica.stable = 9;
        replica.log_start = 6;
        replica.batches.remove(0);
        replica.batches[0].leader_epoch = 1;
        let view = view_of(vec![replica]);
        let strip = Strip::of(&view.brokers[0].replicas[0], &Scale::of(&view, "orders", 0, 25), CELL);
        assert_eq!(strip.uncommitted, "M5.0 0h4.0v13h-4.0z");
        assert_eq!(strip.high_watermark, Some(4.5));
        assert_eq!(strip.torn, Some(0.0));
    }

    #[test]
    fn an_open_transaction_is_bracketed_an_aborted_one_is_hollow_and_markers_are_narrow() {
        let mut replica = replica_of(6, 1, true);
        let fates = [Fate::Aborted, Fate::Aborted, Fate::AbortMarker, Fate::Plain, Fate::Open, Fate::Open];
        for (batch, fate) in replica.batches.iter_mut().zip(fates) {
            batch.fate = fate;
        }
        replica.stable = 4;
        let view = view_of(vec![replica]);
        let strip = Strip::of(&view.brokers[0].replicas[0], &Scale::of(&view, "orders", 0, 25), CELL);
        assert_eq!(strip.aborted_brackets, "M0.0 -1v-2.5h19.0v2.5");
        assert_eq!(strip.open_brackets, "M40.0 -1v-2.5h19.0v2.5");
        assert_eq!(strip.abort_markers, "M20.0 0h3.0v13h-3.0z");
        assert_eq!((strip.held.matches('M').count(), strip.aborted.matches('M').count()), (3, 2));
        assert_eq!(strip.stable, Some(39.5));
    }

    #[test]
    fn an_empty_log_draws_nothing() {
        let view = view_of(vec![replica_of(0, 1, true)]);
        let scale = Scale::of(&view, "orders", 0, 25);
        assert_eq!(Strip::of(&view.brokers[0].replicas[0], &scale, CELL), Strip::default());
        assert_eq!(Scale::of(&view, "nothing", 0, 25).at(7), 0.0);
    }
}
