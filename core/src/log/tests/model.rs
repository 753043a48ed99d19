//! Random histories against a model that knows every batch.

use super::*;
use crate::record::Record;
use crate::rng::{Seed, Stream};

/// What the log should hold: every batch, where it lies, and its records' timestamps.
#[derive(Clone, Debug, Default)]
struct Model {
    batches: Vec<(Place, Vec<(Offset, i64)>)>,
}

impl Model {
    /// From the files, by decoding everything.
    fn of(disk: &Disk) -> Model {
        let mut model = Model::default();
        for (segment, files) in &disk.segments {
            let mut position = 0;
            for (header, bytes) in crate::record::batch::batches(&files.log) {
                let place = Place {
                    base_offset: header.base_offset,
                    last_offset: header.last_offset(),
                    segment: *segment,
                    position,
                    size: bytes.len() as u32,
                    max_timestamp: header.max_timestamp,
                    leader_epoch: header.partition_leader_epoch,
                    producer_id: header.producer_id,
                    transactional: header.is_transactional(),
                    control: header.is_control(),
                };
                position += place.size;
                let records = Record::decode(&Batch { header, bytes: Bytes::copy_from_slice(bytes) }).unwrap();
                model.batches.push((place, records.iter().map(|r| (r.offset, r.timestamp.0)).collect()));
            }
            assert_eq!(position as usize, files.log.len());
        }
        model
    }

    fn holds(&self, offset: Offset) -> Option<Place> {
        self.batches.iter().map(|(place, _)| *place).find(|place| place.last_offset >= offset)
    }

    /// Kafka's `LogSegment.read`.
    fn read(&self, offset: Offset, max_bytes: u32, upper: Offset, min_one: bool) -> Option<(Offset, u32, u32)> {
        let first = self.holds(offset).filter(|first| first.base_offset < upper)?;
        let below = self.batches.iter().map(|(place, _)| place);
        let below = below.filter(|place| place.segment == first.segment && place.last_offset < upper);
        let limit = below.map(|place| place.end()).max()?;
        let max = if min_one { max_bytes.max(first.size) } else { max_bytes };
        let len = max.min(limit.saturating_sub(first.position));
        (max >= first.size && len > 0).then_some((first.segment, first.position, len))
    }

    /// Kafka's `searchOffsetInLocalLog`.
    fn by_time(&self, timestamp: i64, start: Offset) -> Option<(Offset, i64)> {
        let segment = self.batches.iter().find(|(place, _)| place.max_timestamp.0 >= timestamp)?.0.segment;
        let records =
            self.batches.iter().filter(|(place, _)| place.segment == segment).flat_map(|(_, records)| records);
        records.copied().find(|(offset, time)| *time >= timestamp && *offset >= start)
    }
}

fn random_batch(dice: &mut Stream, clock: &mut i64) -> Batch {
    *clock += dice.below(40) as i64;
    let timestamps: Vec<i64> = (0..dice.between(1, 4))
        .map(|_| *clock - if dice.chance(200_000) { dice.below(900) as i64 } else { 0 })
        .collect();
    let len = if dice.chance(50_000) { dice.below(800) } else { dice.below(200) };
    batch(&timestamps, len as usize)
}

pub(super) fn check(log: &Log, disk: &Disk, dice: &mut Stream) {
    let model = Model::of(disk);
    let (start, end) = (log.log_start_offset(), log.end());
    let upper = dice.between(start as u64, log.appended_end() as u64) as i64;
    for _ in 0..6 {
        let offset = start + dice.below((end - start + 1) as u64) as i64;
        let (max_bytes, min_one) = (dice.below(6_000) as u32, dice.chance(500_000));
        let slice = resolve!(log, disk, log.read(offset, max_bytes, upper, min_one)).unwrap();
        let found = slice.extent.map(|extent| (extent.segment, extent.position, extent.len));
        let expected = if offset < upper { model.read(offset, max_bytes, upper, min_one) } else { None };
        assert_eq!(found, expected, "read {offset} {max_bytes} {upper} {min_one} of {log:?}");
        if offset < end {
            assert_eq!(resolve!(log, disk, log.locate(offset)).ok(), model.holds(offset));
        }
    }
    let times = model.batches.iter().map(|(place, _)| place.max_timestamp.0);
    let latest = times.max().unwrap_or_default();
    let timestamp = latest - dice.below(3_000) as i64;
    let found = resolve!(log, disk, log.offset_for_timestamp(Timestamp(timestamp))).unwrap();
    let found = found.map(|found| (found.offset, found.timestamp.0));
    assert_eq!(found, model.by_time(timestamp, start), "time {timestamp} from {start}");
    let max = resolve!(log, disk, log.offset_of_max_timestamp()).unwrap();
    let records = model.batches.iter().flat_map(|(_, records)| records);
    let expected = records.copied().filter(|(_, time)| *time == latest).min();
    assert_eq!(max.map(|max| (max.offset, max.timestamp.0)), expected);
}

/// A crash: bytes from the recovery point on may be missing, and of index entries whatever has not been synced.
fn restart(log: &Log, disk: &mut Disk, config: &LogConfig, dice: &mut Stream) -> Log {
    let flushed = log.log_start_offset().max(dice.between(0, log.end() as u64) as i64);
    let safe = match resolve!(log, disk, log.cut(flushed)).unwrap() {
        Some(cut) => (cut.segment, cut.position as usize),
        None => (Offset::MAX, 0),
    };
    let before = Model::of(disk);
    if dice.chance(500_000) {
        let suspects: Vec<Offset> = disk.segments.range(safe.0..).map(|(base, _)| *base).collect();
        if let Some(torn) = suspects.get(dice.below(suspects.len() as u64) as usize) {
            disk.segments.retain(|base, _| base <= torn);
            let log = &mut disk.segments.get_mut(torn).unwrap().log;
            let first = if *torn == safe.0 { safe.1 } else { 0 };
            log.truncate(dice.between(first as u64, log.len() as u64) as usize);
        }
        for files in disk.segments.range_mut(safe.0..).map(|(_, files)| files) {
            (files.index, files.time_index) = match dice.below(3) {
                0 => (vec![0; 80], vec![0; 120]),
                1 => (Vec::new(), vec![7; 11]),
                _ => (std::mem::take(&mut files.index), Vec::new()),
            };
        }
    }
    let checkpoints = Checkpoints {
        log_start_offset: log.log_start_offset(),
        recovery_point: flushed,
        high_watermark: log.high_watermark(),
        cleaned: log.cleaned(),
    };
    let opened = disk.open(config.clone(), checkpoints);
    let after = Model::of(disk);
    assert!(before.batches.starts_with(&after.batches), "what is left is a beginning");
    let start = opened.log_start_offset();
    let safe = before.batches.iter().filter(|(place, _)| (start..flushed).contains(&place.last_offset));
    assert!(safe.clone().all(|batch| after.batches.contains(batch)), "nothing that was synced is lost");
    opened
}

#[test]
fn random_histories_agree_with_the_model() {
    for seed in 0..200 {
        let mut dice = Seed(seed).stream("log");
        let config = LogConfig {
            segment_bytes: dice.between(3_500, 20_000) as u32,
            segment_ms: dice.between(500, 50_000),
            index_interval_bytes: dice.below(1_500) as u32,
            segment_index_bytes: dice.between(60, 4_000) as u32,
            retention_ms: -1,
            ..LogConfig::default()
        };
        let (mut log, mut disk) = create(config.clone());
        let (mut clock, mut out) = (1_000, Vec::new());
        for _ in 0..250 {
            match dice.below(100) {
                // The dense table forgets: the sparse index and the bytes must do.
                0..3 => log.newest.clear(),
                3..5 => {
                    let start = dice.between(log.log_start_offset() as u64, log.high_watermark() as u64) as i64;
                    log.raise_log_start(start, &mut out).unwrap();
                    log.retain(at(clock), &mut out);
                    disk.enact(&mut out);
                }
                5..7 => {
                    let first = *disk.segments.keys().next().unwrap();
                    let end = log.end() - (dice.below(60) as i64).min(log.end() - first);
                    if let Some(cut) = resolve!(log, disk, log.cut(end)).unwrap() {
                        log.truncate(at(clock), cut, &mut out);
                        disk.enact(&mut out);
                        assert_eq!(log.end(), end);
                        let kept: Vec<_> =
                            log.segments.iter().map(|segment| segment.max.map(|max| max.timestamp)).collect();
                        let max = |base: &Offset| {
                            let batches =
                                Model::of(&disk).batches.into_iter().filter(|(place, _)| place.segment == *base);
                            batches.map(|(place, _)| place.max_timestamp).max()
                        };
                        assert_eq!(kept, disk.segments.keys().map(max).collect::<Vec<_>>());
                    }
                }
                7..9 => log = restart(&log, &mut disk, &config, &mut dice),
                9..12 => _ = log.raise_high_watermark(log.appended_end()),
                _ => {
                    log.append(at(clock), random_batch(&mut dice, &mut clock), 0, None, ORIGIN, &mut out).unwrap();
                    disk.enact(&mut out);
                    if dice.chance(700_000) {
                        log.appended(disk.appended);
                        log.raise_high_watermark(disk.appended);
                    }
                }
            }
            if dice.chance(150_000) {
                check(&log, &disk, &mut dice);
            }
        }
        check(&log, &disk, &mut dice);
    }
}

#[test]
fn a_clone_is_not_moved_by_what_its_original_does() {
    let (mut log, mut disk) = create(LogConfig { segment_bytes: 5_000, ..LogConfig::default() });
    let mut dice = Seed(1).stream("clone");
    let mut clock = 0;
    (0..300).for_each(|_| _ = append(&mut log, &mut disk, at(0), random_batch(&mut dice, &mut clock)));
    let (before, then) = (log.clone(), disk.clone());
    let shape = format!("{before:?}");
    (0..300).for_each(|_| _ = append(&mut log, &mut disk, at(0), random_batch(&mut dice, &mut clock)));
    assert_eq!(format!("{before:?}"), shape);
    check(&before, &then, &mut dice);
}
