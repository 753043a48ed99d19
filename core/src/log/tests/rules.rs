//! When to roll, what to flush, what may go.

use super::*;
use crate::broker::effect::Effect;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1_000, retention_ms: -1, ..LogConfig::default() }
}

#[test]
fn a_segment_is_left_before_a_batch_that_would_overflow_it() {
    let (mut log, mut disk) = create(config());
    let size = batch(&[0], 200).bytes.len();
    assert_eq!(1_000 / size, 3, "three fit");
    (0..7).for_each(|_| _ = append(&mut log, &mut disk, at(0), batch(&[0], 200)));
    assert!(disk.segments.keys().eq(&[0, 3, 6]));
    assert_eq!(disk.flushed, 6, "what is left behind is synced");
    let error = log.append(at(0), batch(&[0], 1_000), 0, None, ORIGIN, &mut Vec::new()).unwrap_err();
    assert_eq!(error.error, ErrorCode::RecordListTooLarge);
    assert!(error.message.contains("fix-0, which exceeds the maximum configured segment size of 1000."));
}

#[test]
fn segment_ms_counts_by_the_records_timestamps_or_else_by_the_clock() {
    let bases = |timestamps: &[(i64, i64)]| {
        let (mut log, mut disk) = create(LogConfig { segment_ms: 100, ..config() });
        for (wall, timestamp) in timestamps {
            append(&mut log, &mut disk, at(*wall), batch(&[*timestamp], 10));
        }
        disk.segments.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(bases(&[(0, 1_000), (900, 1_100), (901, 1_101)]), [0, 2], "more than segment.ms, not as much");
    assert_eq!(bases(&[(0, -1), (100, -1), (101, -1)]), [0, 2]);
    assert_eq!(bases(&[(0, 5_000), (900, 10)]), [0], "older records never roll");
}

#[test]
fn a_full_index_or_a_far_offset_rolls() {
    let tight = LogConfig { segment_index_bytes: 24, index_interval_bytes: 0, segment_bytes: 1 << 20, ..config() };
    let (mut log, mut disk) = create(tight);
    (0..6).for_each(|n| _ = append(&mut log, &mut disk, at(0), batch(&[n], 10)));
    assert!(disk.segments.keys().eq(&[0, 2, 4]), "room for one time entry and the one that ends the file");

    let (mut log, mut disk) = create(config());
    append(&mut log, &mut disk, at(0), batch(&[0], 10));
    let mut far = batch(&[0], 10);
    far.header.last_offset_delta = i32::MAX;
    let mut out = Vec::new();
    log.append(at(0), far, 0, None, ORIGIN, &mut out).unwrap();
    assert!(out.iter().any(|effect| matches!(effect, Effect::Roll { base: 1, .. })));
}

#[test]
fn flush_messages_and_flush_ms_ask_once() {
    let flushes = |out: &[Effect]| out.iter().filter(|effect| matches!(effect, Effect::Flush { .. })).count();
    let (mut log, _) = create(LogConfig { flush_messages: 3, flush_ms: 50, ..config() });
    let mut out = Vec::new();
    log.append(at(10), batch(&[0, 0], 10), 0, None, ORIGIN, &mut out).unwrap();
    assert_eq!((flushes(&out), log.deadline()), (0, Some(Instant::from_millis(50))));
    log.append(at(20), batch(&[0], 10), 0, None, ORIGIN, &mut out).unwrap();
    assert_eq!((flushes(&out), log.deadline(), log.recovery_point()), (1, None, 0));
    log.appended(3);
    log.flushed(at(30), 3, 0);
    assert_eq!(log.recovery_point(), 3);
    log.append(at(40), batch(&[0], 10), 0, None, ORIGIN, &mut out).unwrap();
    log.tick(at(79), &mut out);
    assert_eq!(flushes(&out), 1);
    log.tick(at(80), &mut out);
    log.tick(at(900), &mut out);
    assert_eq!(flushes(&out), 2);
}

#[test]
fn a_flush_that_was_asked_for_before_a_truncation_says_nothing_of_what_is_there_since() {
    let (mut log, mut disk) = create(config());
    (0..10).for_each(|n| _ = append(&mut log, &mut disk, at(0), batch(&[n], 10)));
    let mut out = Vec::new();
    log.flush(&mut out);
    assert!(matches!(out[..], [Effect::Flush { end: 10, truncations: 0, .. }]), "{out:?}");
    let cut = resolve!(log, disk, log.cut(8)).unwrap().unwrap();
    log.truncate(at(1), cut, &mut out);
    log.flushed(at(2), 10, 0);
    assert_eq!(log.recovery_point(), 0);
    out.clear();
    log.flush(&mut out);
    assert!(matches!(out[..], [Effect::Flush { end: 8, truncations: 1, .. }]), "{out:?}");
    log.flushed(at(3), 8, 1);
    assert_eq!(log.recovery_point(), 8);
}

#[test]
fn the_high_watermark_never_passes_what_is_in_the_file() {
    let (mut log, _) = create(config());
    log.append(at(0), batch(&[0, 0], 10), 0, None, ORIGIN, &mut Vec::new()).unwrap();
    assert!(!log.raise_high_watermark(2));
    assert_eq!(log.read(0, 1_000, log.end(), true), Found::Here(Ok(Slice::default())), "not before it is written");
    log.appended(2);
    assert!(log.raise_high_watermark(2) && !log.raise_high_watermark(1));
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (2, 2));
}

#[test]
fn retention_drops_the_oldest_segments_but_none_that_is_not_committed() {
    let (mut log, mut disk) = create(config());
    let mut out = Vec::new();
    (0..9).for_each(|n| _ = append(&mut log, &mut disk, at(n * 10), batch(&[n * 10], 200)));
    assert_eq!(log.segments(), 3);

    log.reconfigure(LogConfig { retention_ms: 100, ..config() });
    assert!(!log.retain(at(120), &mut out), "20 + 100 is not over");
    log.high_watermark = 2;
    assert!(!log.retain(at(121), &mut out), "not committed");
    log.high_watermark = 9;
    assert!(log.retain(at(121), &mut out));
    disk.enact(&mut out);
    assert_eq!((log.log_start_offset(), disk.segments.len()), (3, 2));
    assert_eq!(disk.saved["fix-0/leader-epoch-checkpoint"], "0\n1\n0 3\n");

    assert!(log.retain(at(100_000), &mut out), "all of it: a new active segment takes the place");
    disk.enact(&mut out);
    assert_eq!((log.log_start_offset(), log.end(), log.bytes()), (9, 9, 0));
    assert!(disk.segments.keys().eq(&[9]));
    assert!(!log.retain(at(200_000), &mut out) && out.is_empty());
}

#[test]
fn retention_bytes_keeps_at_least_that_much() {
    let (mut log, mut disk) = create(config());
    (0..12).for_each(|_| _ = append(&mut log, &mut disk, at(0), batch(&[0], 200)));
    let segment = log.bytes() / 4;
    log.reconfigure(LogConfig { retention_bytes: 2 * segment as i64 + 1, ..config() });
    assert!(log.retain(at(0), &mut Vec::new()));
    assert_eq!(log.bytes(), 3 * segment);
    let compacted = LogConfig { cleanup_delete: false, retention_bytes: 0, retention_ms: 0, ..config() };
    log.reconfigure(compacted);
    assert!(!log.retain(at(900), &mut Vec::new()), "cleanup.policy=compact");
}

#[test]
fn deleted_records_are_out_of_range_and_their_segments_go() {
    let (mut log, mut disk) = create(config());
    let mut out = Vec::new();
    (0..9).for_each(|_| _ = append(&mut log, &mut disk, at(0), batch(&[0], 200)));
    assert_eq!(log.raise_log_start(10, &mut out), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(log.raise_log_start(7, &mut out), Ok(()));
    assert_eq!(log.read(6, 100, 9, true), Found::Here(Err(ErrorCode::OffsetOutOfRange)));
    assert_eq!((log.earliest().offset, log.log_start_offset_checkpoint()), (7, Some(7)));
    assert!(log.retain(at(0), &mut out));
    disk.enact(&mut out);
    assert!(disk.segments.keys().eq(&[6]));
}

#[test]
fn a_first_batch_that_is_too_large_is_given_whole_or_not_at_all() {
    let (mut log, mut disk) = create(config());
    (0..3).for_each(|_| _ = append(&mut log, &mut disk, at(0), batch(&[0, 0], 100)));
    let size = batch(&[0, 0], 100).bytes.len() as u32;
    let read = |log: &Log, offset, max, upper, min_one| match log.read(offset, max, upper, min_one) {
        Found::Here(Ok(slice)) => slice.extent.map(|extent| (extent.position, extent.len)),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&log, 1, 10, 6, true), Some((0, size)), "from the start of the batch that holds the offset");
    assert_eq!(read(&log, 1, 10, 6, false), None);
    assert_eq!(read(&log, 2, size + 9, 6, false), Some((size, size + 9)), "may end within a batch");
    assert_eq!(read(&log, 0, 9_999, 4, false), Some((0, 2 * size)), "but before the upper bound, between two");
    assert_eq!(read(&log, 0, 9_999, 3, false), Some((0, size)));
    assert_eq!(read(&log, 6, 9_999, 6, true), None);
    assert_eq!(log.read(7, 9_999, 6, true), Found::Here(Err(ErrorCode::OffsetOutOfRange)));
}
