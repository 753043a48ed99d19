//! Torn tails, lying indexes, missing files.

use super::*;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 12_000, ..LogConfig::default() }
}

fn filled(batches: i64) -> (Log, Disk) {
    let (mut log, mut disk) = create(config());
    (0..batches).for_each(|n| _ = append(&mut log, &mut disk, at(0), batch(&[n, n + 1], (n as usize % 7) * 100)));
    (log, disk)
}

#[test]
fn a_tail_torn_at_any_byte_loses_no_whole_batch() {
    let (_, disk) = filled(9);
    let log = &disk.segments[&0].log;
    let ends: Vec<usize> = {
        let mut walk = crate::record::batch::batches(log);
        std::iter::from_fn(|| walk.next().map(|_| walk.position())).collect()
    };
    assert_eq!(ends.last(), Some(&log.len()));
    for len in 0..=log.len() {
        let whole = ends.iter().filter(|end| **end <= len).count();
        let image = recover::scan(0, &log[..len], None, Timestamp(0));
        assert_eq!((image.next_offset, image.torn.is_some()), (2 * whole as i64, !ends.contains(&len) && len > 0));

        let mut torn = Disk::default();
        torn.segments.insert(0, Files { log: log[..len].to_vec(), ..disk.segments[&0].clone() });
        let opened = torn.open(config(), Checkpoints::default());
        assert_eq!((opened.end(), opened.bytes()), (2 * whole as i64, torn.segments[&0].log.len() as u64));
        assert_eq!(torn.segments[&0].log, log[..whole.checked_sub(1).map_or(0, |last| ends[last])]);
    }
}

#[test]
fn a_flipped_bit_anywhere_ends_the_log_before_its_batch() {
    let (_, disk) = filled(3);
    let log = &disk.segments[&0].log;
    let batches: Vec<_> = crate::record::batch::batches(log).map(|(header, bytes)| (header, bytes.len())).collect();
    let start = batches[0].1;
    // Base offset and leader epoch lie outside the CRC; of them only what breaks the order of offsets can be seen.
    for at in (start + 8..start + 12).chain(start + 16..start + batches[1].1) {
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        let image = recover::scan(0, &flipped, None, Timestamp(0));
        assert_eq!((image.next_offset, image.valid_len as usize), (2, start), "byte {at}");
        assert!(image.torn.is_some_and(|why| why.starts_with(&format!("byte {start}: "))));
    }
}

#[test]
fn what_lies_behind_a_torn_segment_goes() {
    let (log, mut disk) = filled(60);
    assert!(log.segments() > 2);
    let second = *disk.segments.keys().nth(1).unwrap();
    disk.segments.get_mut(&second).unwrap().log[200] ^= 1;
    let opened = disk.open(config(), Checkpoints { recovery_point: 0, ..Checkpoints::default() });
    assert_eq!((opened.segments(), disk.segments.len()), (2, 2));
    assert!(opened.end() >= second && opened.end() < second + 8);
}

#[test]
fn indexes_are_rebuilt_as_they_were_written() {
    let (log, disk) = filled(60);
    let sealed: Vec<Offset> = disk.segments.keys().copied().take(2).collect();
    type Spoil = fn(&mut Vec<u8>);
    let spoils: [(Spoil, bool); 5] = [
        (|_| (), true),
        (Vec::clear, false),
        (|file| file.fill(0), false),
        (|file| file.truncate(13), true),
        (|file| file.fill(0xff), true),
    ];
    for (spoil, whole) in spoils {
        for recovery_point in [0, log.end() / 2, log.end()] {
            let mut spoiled = disk.clone();
            for files in spoiled.segments.values_mut() {
                spoil(&mut files.index);
                spoil(&mut files.time_index);
            }
            let opened = spoiled.open(config(), Checkpoints { recovery_point, ..Checkpoints::default() });
            assert_eq!(opened.end(), log.end());
            if whole || recovery_point == 0 {
                // (Below the recovery point an empty index is one: of a topic with a large index.interval.bytes.)
                sealed.iter().for_each(|base| assert_eq!(spoiled.segments[base], disk.segments[base]));
            }
            for offset in 0..log.end() {
                let place = resolve!(opened, spoiled, opened.locate(offset)).unwrap();
                assert_eq!(Ok(place), resolve!(log, disk, log.locate(offset)));
            }
        }
    }
}

#[test]
fn an_index_of_another_log_is_not_believed() {
    let (log, mut disk) = filled(30);
    let (active, files) = disk.segments.iter_mut().next_back().unwrap();
    let active = *active;
    assert!(!files.index.is_empty(), "{active}");
    let position = files.index.len() - 1;
    files.index[position] ^= 0x04;
    let opened = disk.open(config(), Checkpoints { recovery_point: log.end(), ..Checkpoints::default() });
    assert_eq!(opened.end(), log.end());
    for offset in 0..log.end() {
        assert_eq!(resolve!(opened, disk, opened.locate(offset)), resolve!(log, disk, log.locate(offset)));
    }
}

#[test]
fn after_a_clean_stop_only_the_end_of_a_segment_is_read() {
    let (mut log, mut disk) = create(LogConfig::default());
    (0..400).for_each(|n| _ = append(&mut log, &mut disk, at(0), batch(&[n], 1_000)));
    let files = &disk.segments[&0];
    let segment = SegmentFiles {
        base: 0,
        log_len: files.log.len() as u64,
        modified: Timestamp(0),
        index: Some(&files.index),
        time_index: Some(&files.time_index),
        txn_index: None,
    };
    let mut scanner = Scanner::new(&segment, 400);
    let mut read = 0;
    while let Some(wanted) = scanner.wants() {
        let bytes = &files.log[wanted.start as usize..wanted.end as usize];
        read += bytes.len();
        scanner.feed(bytes);
    }
    let image = scanner.finish();
    assert!((image.next_offset, image.stale_index) == (400, false) && read < 32 * 1024, "{read} bytes");
    assert_eq!(image.max, Some(TimeEntry { timestamp: Timestamp(399), offset: 399 }));
}

#[test]
fn a_log_that_ends_below_its_start_begins_anew_there() {
    let (_, mut disk) = filled(5);
    let checkpoints = Checkpoints { log_start_offset: 50, recovery_point: 70, high_watermark: 70, cleaned: None };
    let mut log = disk.open(config(), checkpoints);
    assert_eq!((log.log_start_offset(), log.end(), log.high_watermark(), log.recovery_point()), (50, 50, 50, 50));
    assert!(disk.segments.keys().eq(&[50]));
    assert_eq!(append(&mut log, &mut disk, at(0), batch(&[0], 10)).base_offset, 50);
}

#[test]
fn bytes_that_are_no_log_never_panic() {
    let mut dice = crate::rng::Seed(5).stream("garbage");
    let (_, disk) = filled(8);
    for _ in 0..2_000 {
        let mut log = disk.segments[&0].log.clone();
        for _ in 0..dice.between(1, 8) {
            let at = dice.below(log.len() as u64) as usize;
            log[at] = dice.next() as u8;
        }
        let image = recover::scan(dice.below(20) as i64, &log, None, Timestamp(0));
        let mut out = Vec::new();
        let image = LogImage { segments: vec![image], ..LogImage::default() };
        Log::open(LOG, "fix-0".into(), config(), image, Checkpoints::default(), Some(b"\xff"), at(0), &mut out);
    }
}
