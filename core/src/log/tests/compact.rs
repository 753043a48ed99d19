//! Compaction against a naive model that knows every record, and the rules of what may be cleaned when.

use std::collections::BTreeSet;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::log::compact::{Cleaned, Cleaning, Limits, Over, Step};
use crate::record::batch::batches;
use crate::record::{BatchHeader, Record, compress};
use crate::rng::{Seed, Stream};

const LIMITS: Limits = Limits { map_bytes: 1 << 20, load_per_million: 900_000, chunk_bytes: 4_096 };
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        cleanup_compact: true,
        cleanup_delete: false,
        min_cleanable_dirty_per_million: 0,
        ..LogConfig::default()
    }
}

/// A batch of records: each a key, a value (none is a tombstone) and a time.
fn keyed(codec: Compression, records: &[(&str, Option<&str>, i64)]) -> Batch {
    let mut builder = BatchBuilder::new(codec);
    for (key, value, time) in records {
        builder.append(Timestamp(*time), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder.build()
}

fn put(log: &mut Log, disk: &mut Disk, records: &[(&str, Option<&str>)]) {
    let records: Vec<_> = records.iter().map(|(key, value)| (*key, *value, 5)).collect();
    append(log, disk, at(0), keyed(Compression::None, &records));
}

/// Begins a new segment.
fn roll(log: &mut Log, disk: &mut Disk) {
    let mut out = Vec::new();
    log.roll(at(0), &mut out);
    disk.enact(&mut out);
}

/// Cleans all that can be cleaned, whatever the dirty ratio; does what a driver and a broker do.
fn clean(log: &mut Log, disk: &mut Disk, limits: &Limits, now: i64) -> Over {
    let mut out = Vec::new();
    let cleanable = log.cleanable(Timestamp(now));
    let mut cleaning = Cleaning::begin(log, cleanable, limits, at(now));
    let mut step = cleaning.start(log, &mut out);
    loop {
        disk.enact(&mut out);
        step = match step {
            Step::Work(extent, job) => {
                let done = job.run(&disk.read(extent));
                cleaning.worked(log, done, &mut out)
            }
            Step::Seal { segment, files, modified } => {
                let seal = crate::id::WorkId(0);
                out.push(Effect::Seal { seal, log: LOG, segment, files, modified });
                disk.enact(&mut out);
                cleaning.sealed(log, &mut out)
            }
            Step::Over(over) => {
                assert!(disk.aside.is_empty());
                return over;
            }
        }
    }
}

fn cleaned(log: &mut Log, disk: &mut Disk, limits: &Limits, now: i64) -> Cleaned {
    match clean(log, disk, limits, now) {
        Over::Cleaned(cleaned) => cleaned,
        other => panic!("{other:?}"),
    }
}

/// Every batch that lies in the files, and its records.
fn contents(disk: &Disk) -> Vec<(Batch, Vec<Record>)> {
    let batches = disk.segments.values().flat_map(|files| {
        batches(&files.log).map(|(header, bytes)| Batch { header, bytes: Bytes::copy_from_slice(bytes) })
    });
    batches.map(|batch| (batch.clone(), Record::decode(&batch).unwrap())).collect()
}

fn records(disk: &Disk) -> Vec<Record> {
    contents(disk).into_iter().flat_map(|(_, records)| records).collect()
}

/// `key=value@offset`, in order.
fn words(disk: &Disk) -> Vec<String> {
    let text = |bytes: &Option<Bytes>| bytes.as_ref().map_or("-".into(), |it| String::from_utf8_lossy(it).into_owned());
    records(disk).iter().map(|it| format!("{}={}@{}", text(&it.key), text(&it.value), it.offset)).collect()
}

#[test]
fn of_every_key_the_last_record_stays_at_its_offset() {
    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    put(&mut log, &mut disk, &[("c", Some("1")), ("b", Some("2"))]);
    roll(&mut log, &mut disk);
    put(&mut log, &mut disk, &[("a", Some("3"))]);
    let over = cleaned(&mut log, &mut disk, &LIMITS, 10);
    assert_eq!(words(&disk), ["a=2@2", "c=1@3", "b=2@4", "a=3@5"], "the active segment is not looked at");
    assert_eq!((over.from, over.end, over.records, over.records_left), (0, 5, 5, 3));
    assert_eq!((log.cleaned(), log.log_start_offset(), log.end()), (Some(5), 0, 6));

    roll(&mut log, &mut disk);
    let over = cleaned(&mut log, &mut disk, &LIMITS, 10);
    assert_eq!(words(&disk), ["c=1@3", "b=2@4", "a=3@5"]);
    assert_eq!((over.from, over.end, log.segments()), (5, 6, 2), "small segments become one");
    let batches: Vec<_> =
        contents(&disk).iter().map(|(batch, _)| (batch.header.base_offset, batch.header.last_offset())).collect();
    assert_eq!(batches, [(3, 4), (5, 5)], "the first batch had nothing left");
}

/// A record of another key, in a segment of its own: only what is dirty is cleaned.
fn soil(log: &mut Log, disk: &mut Disk, key: &str) {
    put(log, disk, &[(key, Some("x"))]);
    roll(log, disk);
}

#[test]
fn the_last_batch_below_what_cannot_be_cleaned_stays_though_it_is_empty() {
    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1"))]);
    put(&mut log, &mut disk, &[("b", Some("1"))]);
    roll(&mut log, &mut disk);
    put(&mut log, &mut disk, &[("a", Some("2")), ("b", Some("2"))]);
    cleaned(&mut log, &mut disk, &LIMITS, 10);
    roll(&mut log, &mut disk);
    // (The active segment's keys were not learnt.)
    assert_eq!(words(&disk), ["a=1@0", "b=1@1", "a=2@2", "b=2@3"]);
    let bases = |disk: &Disk| contents(disk).iter().map(|(batch, _)| batch.header.base_offset).collect::<Vec<_>>();
    cleaned(&mut log, &mut disk, &LIMITS, 10);
    assert_eq!((words(&disk), bases(&disk)), (vec!["a=2@2".to_owned(), "b=2@3".to_owned()], vec![2]));

    put(&mut log, &mut disk, &[("c", None)]);
    roll(&mut log, &mut disk);
    cleaned(&mut log, &mut disk, &LIMITS, 10);
    put(&mut log, &mut disk, &[("c", None)]);
    roll(&mut log, &mut disk);
    assert_eq!(cleaned(&mut log, &mut disk, &LIMITS, 20 + DAY_MS).end, 6);
    assert_eq!(bases(&disk), [2, 5], "the tombstone at 4 is over");
    soil(&mut log, &mut disk, "d");
    cleaned(&mut log, &mut disk, &LIMITS, 30 + 2 * DAY_MS);
    assert_eq!((words(&disk).len(), bases(&disk)), (3, vec![2, 6]));
}

#[test]
fn where_nothing_is_left_of_the_last_batch_it_says_where_the_log_ends() {
    let (mut log, mut disk) = create(LogConfig { segment_bytes: 200, ..config() });
    put(&mut log, &mut disk, &[("a", None)]);
    roll(&mut log, &mut disk);
    cleaned(&mut log, &mut disk, &LIMITS, 10);
    let horizon = Timestamp(10 + DAY_MS);
    assert_eq!(contents(&disk)[0].0.header.delete_horizon(), Some(horizon));
    log.cleaned = None;
    cleaned(&mut log, &mut disk, &LIMITS, horizon.0);
    let all = contents(&disk);
    let header = all[0].0.header;
    assert_eq!((all.len(), header.record_count, header.base_offset, header.last_offset()), (1, 0, 0, 0));
    let opened = disk.open(config(), Checkpoints { recovery_point: 1, cleaned: Some(1), ..Checkpoints::default() });
    assert_eq!((opened.end(), opened.cleaned()), (1, Some(1)));
}

#[test]
fn a_tombstone_stays_until_its_delete_horizon_has_passed() {
    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1")), ("a", None), ("b", Some("1"))]);
    roll(&mut log, &mut disk);
    cleaned(&mut log, &mut disk, &LIMITS, 1_000);
    assert_eq!(words(&disk), ["a=-@1", "b=1@2"], "whoever reads from the start is told");
    let horizon = |disk: &Disk| contents(disk)[0].0.header.delete_horizon();
    assert_eq!(horizon(&disk), Some(Timestamp(1_000 + DAY_MS)));
    assert_eq!(records(&disk)[0].timestamp, Timestamp(5), "the horizon takes no record's time");

    soil(&mut log, &mut disk, "c");
    cleaned(&mut log, &mut disk, &LIMITS, 999 + DAY_MS);
    assert_eq!((words(&disk).len(), horizon(&disk)), (3, Some(Timestamp(1_000 + DAY_MS))), "it is set once");
    soil(&mut log, &mut disk, "d");
    cleaned(&mut log, &mut disk, &LIMITS, 1_000 + DAY_MS);
    assert_eq!(words(&disk), ["b=1@2", "c=x@3", "d=x@4"]);
}

#[test]
fn what_is_too_new_or_not_stable_is_not_cleaned() {
    let (mut log, mut disk) = create(LogConfig { min_compaction_lag_ms: 100, ..config() });
    for time in [1_000, 1_050, 1_100] {
        append(&mut log, &mut disk, at(0), keyed(Compression::None, &[("a", Some("x"), time)]));
        roll(&mut log, &mut disk);
    }
    let first_uncleanable = |log: &Log, now| log.cleanable(Timestamp(now)).first_uncleanable;
    assert_eq!([1_099, 1_100, 1_150, 1_200].map(|now| first_uncleanable(&log, now)), [0, 1, 2, 3]);
    let mut unstable = log.clone();
    unstable.high_watermark = 2;
    assert_eq!(first_uncleanable(&unstable, 9_999), 2);
    put(&mut log, &mut disk, &[("a", Some("y"))]);
    assert_eq!(first_uncleanable(&log, 9_999), 3, "the active segment");
}

#[test]
fn a_log_is_due_when_it_is_dirty_enough_or_has_waited_for_too_long() {
    let (mut log, mut disk) = create(config());
    let fill = |log: &mut Log, disk: &mut Disk, key: &str, time: i64| {
        append(log, disk, at(0), keyed(Compression::None, &[(key, Some("value"), time)]));
        roll(log, disk);
    };
    (0..3).for_each(|n| fill(&mut log, &mut disk, &format!("{n}"), 1_000));
    cleaned(&mut log, &mut disk, &LIMITS, 2_000);
    assert!(!log.cleanable(Timestamp(2_000)).is_due(0), "nothing is dirty");
    fill(&mut log, &mut disk, "4", 3_000);
    let cleanable = log.cleanable(Timestamp(3_000));
    assert_eq!([240_000, 250_000, 260_000].map(|ratio| cleanable.is_due(ratio)), [true, false, false], "a quarter is");
    assert!(!cleanable.is_due(u32::MAX));

    log.reconfigure(LogConfig { max_compaction_lag_ms: 500, ..config() });
    assert!(!log.cleanable(Timestamp(3_500)).is_due(u32::MAX));
    assert!(log.cleanable(Timestamp(3_501)).is_due(u32::MAX));
}

#[test]
fn a_map_that_is_full_ends_the_round_and_the_next_goes_on_there() {
    let (mut log, mut disk) = create(config());
    for round in 0..3 {
        for key in 0..20 {
            put(&mut log, &mut disk, &[(&format!("key-{key}"), Some(&format!("{round}")))]);
        }
    }
    roll(&mut log, &mut disk);
    let limits = Limits { map_bytes: 24 * 16, load_per_million: 500_000, ..LIMITS };
    let mut ends = Vec::new();
    while log.cleanable(Timestamp(9)).is_due(0) {
        ends.push(cleaned(&mut log, &mut disk, &limits, 9).end);
    }
    assert_eq!(ends[..3], [8, 16, 24], "eight keys fit");
    assert_eq!((ends.last(), log.cleaned()), (Some(&60), Some(60)));
    assert_eq!(words(&disk).len(), 20);
    assert!(words(&disk).iter().all(|word| word.contains("=2@")));
}

#[test]
fn a_batch_larger_than_the_buffer_is_read_whole() {
    let (mut log, mut disk) = create(LogConfig { segment_bytes: 1 << 20, ..config() });
    let long = "x".repeat(10_000);
    put(&mut log, &mut disk, &[("a", Some("1"))]);
    put(&mut log, &mut disk, &[("a", Some(&long)), ("b", Some(&long))]);
    put(&mut log, &mut disk, &[("b", Some("2"))]);
    roll(&mut log, &mut disk);
    cleaned(&mut log, &mut disk, &Limits { chunk_bytes: 100, ..LIMITS }, 9);
    assert_eq!(words(&disk).iter().map(|word| &word[word.len() - 2..]).collect::<Vec<_>>(), ["@1", "@3"]);
}

#[test]
fn a_corrupt_batch_is_left_as_it_is() {
    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1"))]);
    put(&mut log, &mut disk, &[("a", Some("2"))]);
    roll(&mut log, &mut disk);
    *disk.segments.get_mut(&0).unwrap().log.last_mut().unwrap() ^= 1;
    let before = disk.segments.clone();
    let Over::Corrupt(why) = clean(&mut log, &mut disk, &LIMITS, 9) else { panic!() };
    assert!(why.starts_with("the batch at offset 1: "), "{why}");
    assert_eq!((disk.segments, log.cleaned()), (before, None));

    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1"))]);
    roll(&mut log, &mut disk);
    disk.segments.get_mut(&0).unwrap().log.truncate(30);
    assert!(matches!(clean(&mut log, &mut disk, &LIMITS, 9), Over::Corrupt(_)), "the file is cut");
}

#[test]
fn a_log_that_is_cut_meanwhile_is_not_replaced() {
    let (mut log, mut disk) = create(config());
    put(&mut log, &mut disk, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut log, &mut disk);
    put(&mut log, &mut disk, &[("b", Some("1"))]);
    let mut out = Vec::new();
    let mut cleaning = Cleaning::begin(&log, log.cleanable(Timestamp(9)), &LIMITS, at(9));
    let mut step = cleaning.start(&mut log, &mut out);
    while let Step::Work(extent, job) = step {
        step = cleaning.worked(&mut log, job.run(&disk.read(extent)), &mut out);
        disk.enact(&mut out);
    }
    assert!(matches!(step, Step::Seal { segment: 0, .. }) && disk.aside.contains_key(&0));
    let cut = resolve!(log, disk, log.cut(0)).unwrap().unwrap();
    log.truncate(at(9), cut, &mut out);
    assert!(matches!(cleaning.sealed(&mut log, &mut out), Step::Over(Over::Aborted)));
    disk.enact(&mut out);
    assert!(disk.aside.is_empty() && words(&disk).is_empty() && log.end() == 0);
}

#[test]
fn what_was_being_looked_up_is_found_where_it_lies_now() {
    let (mut log, mut disk) = create(LogConfig { segment_bytes: 4_000, index_interval_bytes: 0, ..config() });
    let value = "v".repeat(200);
    (0..60).for_each(|n| put(&mut log, &mut disk, &[(&format!("{}", n % 7), Some(&value))]));
    roll(&mut log, &mut disk);
    log.newest.clear();
    let Found::Read(extent, seek) = log.locate(50) else { panic!("it needs bytes") };
    let bytes = disk.read(extent);
    cleaned(&mut log, &mut disk, &LIMITS, 9);
    let place = resolve!(log, disk, seek.resume(&log, &bytes)).unwrap();
    assert_eq!(place.base_offset, 53, "the first that is left from there on");
    assert_eq!(disk.segments.len(), 6, "groups are made of what there was");
}

/// `compact.txt` holds the files of one partition (gzip, base64; of the active segment only the log) before and after
/// Apache Kafka 4.3 cleaned it, twice: batches of every codec, segments of 1,500 bytes, index.interval.bytes=300,
/// delete.retention.ms=1.
fn kafkas(files: &str, label: &str) -> Disk {
    let mut disk = Disk::default();
    for line in files.lines() {
        let [at, name, contents] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let Some((base, extension)) = name.split_once('.').filter(|_| at == label) else { continue };
        let contents = compress::decompress(Compression::Gzip, STANDARD.decode(contents).unwrap().into()).unwrap();
        let files = disk.segments.entry(base.parse().unwrap()).or_default();
        match extension {
            "log" => files.log = contents.to_vec(),
            "index" => files.index = contents.to_vec(),
            "txnindex" => files.txn_index = contents.to_vec(),
            _ => files.time_index = contents.to_vec(),
        }
    }
    disk
}

/// When Kafka cleaned: the delete horizons that it set tell.
fn time_of_cleaning(before: &Disk, after: &Disk) -> i64 {
    let horizons = |disk: &Disk| -> Vec<i64> {
        contents(disk).iter().filter_map(|(batch, _)| batch.header.delete_horizon()).map(|time| time.0).collect()
    };
    let old = horizons(before);
    horizons(after).into_iter().find(|horizon| !old.contains(horizon)).expect("a tombstone was met") - 1
}

#[test]
fn what_is_left_of_kafkas_files_is_what_kafka_leaves() {
    agrees(include_str!("compact.txt"), &[156, 248]);
}

/// `compact_transactions.txt` is such another, cleaned three times: an idempotent producer and four that write in
/// transactions of one segment and of many, committed and aborted. One is open at the first cleaning and aborted then.
#[test]
fn what_is_left_of_transactions_is_what_kafka_leaves() {
    agrees(include_str!("compact_transactions.txt"), &[145, 244, 274]);
}

fn agrees(files: &str, ends: &[Offset]) {
    let config = LogConfig { segment_bytes: 1_500, index_interval_bytes: 300, delete_retention_ms: 1, ..config() };
    let mut cleaned_before = None;
    for (round, &end) in (1..).zip(ends) {
        let (mut disk, after) = (kafkas(files, &format!("in{round}")), kafkas(files, &format!("out{round}")));
        let now = time_of_cleaning(&disk, &after);
        let log_end = contents(&disk).last().unwrap().0.header.next_offset();
        let checkpoints = Checkpoints {
            log_start_offset: 0,
            recovery_point: log_end,
            high_watermark: log_end,
            cleaned: cleaned_before,
        };
        let mut log = disk.open(config.clone(), checkpoints);
        replay(&mut log, &mut disk, at(now));
        assert_eq!(cleaned(&mut log, &mut disk, &LIMITS, now).end, end);
        cleaned_before = log.cleaned();

        assert!(disk.segments.keys().eq(after.segments.keys()), "round {round}");
        for (base, files) in &after.segments {
            assert_eq!(disk.segments[base].txn_index, files.txn_index, "round {round}, segment {base}");
        }
        let (ours, theirs) = (contents(&disk), contents(&after));
        assert_eq!(ours.len(), theirs.len());
        for ((our, records), (their, expected)) in ours.iter().zip(&theirs) {
            assert_eq!(records, expected);
            let free_of_codec = |header: BatchHeader| BatchHeader { crc: 0, batch_length: 0, ..header };
            assert_eq!(free_of_codec(our.header), free_of_codec(their.header));
            if our.header.compression() == Ok(Compression::None) {
                assert_eq!(our.bytes, their.bytes, "byte for byte");
            }
        }
    }
}

/// What was written, and what became of it.
#[derive(Default)]
struct History {
    /// The next of every producer; from [`TRANSACTIONAL`] on they write in transactions.
    sequences: BTreeMap<i64, i32>,
    /// Offsets of the batches of transactions that are open.
    open: BTreeMap<i64, Vec<(Offset, Offset)>>,
    /// Of records of transactions that were aborted.
    aborted: BTreeSet<Offset>,
}

const TRANSACTIONAL: i64 = 10;

impl History {
    /// A random batch, of a producer or of none.
    fn produce(&mut self, log: &mut Log, disk: &mut Disk, dice: &mut Stream, clock: &mut i64) {
        let codec = if dice.chance(600_000) { Compression::None } else { Compression::ALL[dice.below(5) as usize] };
        let mut builder = BatchBuilder::new(codec);
        let producer = [None, Some(dice.below(3) as i64), Some(TRANSACTIONAL + dice.below(3) as i64)];
        let producer = producer[dice.below(3) as usize];
        let count = dice.between(1, 6) as i32;
        if let Some(id) = producer {
            let sequence = self.sequences.entry(id).or_default();
            builder.set_producer(id, 0, *sequence);
            *sequence += count;
        }
        let transactional = producer.filter(|id| *id >= TRANSACTIONAL);
        if transactional.is_some() {
            builder.set_transactional();
        }
        for _ in 0..count {
            *clock += dice.below(40) as i64;
            let key = format!("key-{}", dice.below(30));
            let value = (!dice.chance(200_000)).then(|| "v".repeat(dice.below(80) as usize));
            builder.append(Timestamp(*clock), Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[]);
        }
        let origin = Origin::Client(Verified::default());
        let placed = append_as(log, disk, at(*clock), builder.build(), origin);
        if let Some(id) = transactional {
            self.open.entry(id).or_default().push((placed.base_offset, placed.last_offset));
        }
    }

    /// Ends one of the transactions that are open, if there is one.
    fn end(&mut self, log: &mut Log, disk: &mut Disk, dice: &mut Stream, clock: i64) {
        let ids: Vec<i64> = self.open.keys().copied().collect();
        let Some(&id) = ids.get(dice.below(3) as usize) else { return };
        let batches = self.open.remove(&id).unwrap();
        let commit = dice.chance(500_000);
        let marker = Marker { commit, coordinator_epoch: 0 }.batch(Timestamp(clock), id, 0);
        append_as(log, disk, at(clock), marker, Origin::Marker { version: 0 });
        if !commit {
            self.aborted.extend(batches.into_iter().flat_map(|(first, last)| first..=last));
        }
    }

    /// What the rule says is left, from all that there was: nothing is decided by offsets of batches here.
    fn left(
        &self,
        before: &[(Batch, Vec<Record>)],
        looked_at: impl Fn(Offset) -> bool,
        learnt: Range<Offset>,
        now: i64,
    ) -> Vec<Record> {
        let mut last: BTreeMap<&Option<Bytes>, Offset> = BTreeMap::new();
        let data = before.iter().filter(|(batch, _)| !batch.header.is_control()).flat_map(|(_, records)| records);
        for record in data.filter(|it| learnt.contains(&it.offset) && !self.aborted.contains(&it.offset)) {
            last.insert(&record.key, record.offset);
        }
        let mut left = Vec::new();
        // Producers of whose transaction something is there.
        let mut there = BTreeSet::new();
        for (batch, records) in before {
            let header = &batch.header;
            let marks_nothing = header.is_control() && !there.remove(&header.producer_id);
            if header.is_transactional() && !header.is_control() {
                there.insert(header.producer_id);
            }
            let is_over = header.delete_horizon().is_some_and(|horizon| horizon.0 <= now);
            for record in records {
                let superseded = last.get(&record.key).is_some_and(|last| *last > record.offset);
                let goes = match header.is_control() {
                    true => marks_nothing && is_over,
                    false if self.aborted.contains(&record.offset) => true,
                    false => record.offset < learnt.end && (superseded || record.value.is_none() && is_over),
                };
                if !goes || !looked_at(header.base_offset) {
                    left.push(record.clone());
                }
            }
        }
        left
    }

    /// Of every aborted transaction that is not all gone the marker's segment says so.
    fn check_aborted(&self, log: &Log, disk: &Disk) {
        let open: BTreeSet<Offset> = self.open.values().flatten().flat_map(|(first, last)| *first..=*last).collect();
        let mut there: BTreeMap<i64, Vec<Offset>> = BTreeMap::new();
        for (batch, _) in contents(disk) {
            let header = batch.header;
            match Marker::of(&batch).filter(|_| header.is_control()) {
                Some(marker) => {
                    let batches = there.remove(&header.producer_id).unwrap_or_default();
                    let found = log.aborted_between(header.base_offset, header.base_offset + 1);
                    let found = found.iter().find(|one| one.last_offset == header.base_offset);
                    if !marker.commit && !batches.is_empty() {
                        let first = found.expect("it is indexed").first_offset;
                        assert!(batches.iter().all(|offset| *offset >= first));
                    }
                    assert!(found.is_none() || !marker.commit);
                }
                None if header.is_transactional() && !open.contains(&header.base_offset) => {
                    there.entry(header.producer_id).or_default().push(header.base_offset);
                }
                None => {}
            }
        }
        assert!(there.is_empty(), "without their markers nobody knows what became of {there:?}");
    }
}

#[test]
fn random_histories_of_cleanings_agree_with_the_model() {
    let mut thinned = 0;
    for seed in 0..150 {
        let mut dice = Seed(seed).stream("compact");
        let config = LogConfig {
            segment_bytes: dice.between(1_500, 8_000) as u32,
            index_interval_bytes: dice.below(1_500) as u32,
            segment_index_bytes: dice.between(100, 4_000) as u32,
            delete_retention_ms: dice.below(2_000) as i64,
            min_compaction_lag_ms: if dice.chance(300_000) { dice.below(2_000) as i64 } else { 0 },
            ..config()
        };
        let limits = Limits {
            map_bytes: 24 * dice.between(4, 60),
            load_per_million: 900_000,
            chunk_bytes: dice.between(10, 3_000) as u32,
        };
        let (mut log, mut disk) = create(config.clone());
        let (mut history, mut clock) = (History::default(), 1_000);
        for _ in 0..200 {
            match dice.below(100) {
                0..3 => roll(&mut log, &mut disk),
                3..9 => {
                    let before = contents(&disk);
                    let bases: Vec<Offset> = disk.segments.keys().copied().collect();
                    let cleanable = log.cleanable(Timestamp(clock));
                    if !cleanable.is_due(0) {
                        continue;
                    }
                    let Cleaned { from, end, .. } = cleaned(&mut log, &mut disk, &limits, clock);
                    // Segments above the last one that was begun are not looked at.
                    let next = bases.iter().copied().find(|base| *base >= end).unwrap_or(Offset::MAX);
                    let looked_at = |offset| offset < next.min(cleanable.first_uncleanable);
                    let left = records(&disk);
                    let expected = history.left(&before, looked_at, from..end, clock);
                    let offsets = |records: &[Record]| records.iter().map(|it| it.offset).collect::<Vec<_>>();
                    assert_eq!(
                        offsets(&left),
                        offsets(&expected),
                        "seed {seed} [{from}, {end}) below {next} at {clock}"
                    );
                    assert!(left == expected);
                    thinned += before.iter().map(|(_, records)| records.len()).sum::<usize>() - left.len();
                    // Batches keep their offsets, and what the last one says of the log's end.
                    let ranges = |all: &[(Batch, Vec<Record>)]| {
                        let range = |(it, _): &(Batch, Vec<Record>)| (it.header.base_offset, it.header.last_offset());
                        all.iter().map(range).collect::<Vec<_>>()
                    };
                    let after = contents(&disk);
                    assert!(ranges(&after).iter().all(|range| ranges(&before).contains(range)));
                    assert_eq!(ranges(&after).last(), ranges(&before).last());
                    assert!(after.iter().all(|(batch, _)| batch.crc_is_right()));
                    history.check_aborted(&log, &disk);
                    model::check(&log, &disk, &mut dice);
                }
                9..11 => log.newest.clear(),
                11..13 => {
                    let checkpoints = Checkpoints {
                        log_start_offset: 0,
                        recovery_point: log.end(),
                        high_watermark: log.end(),
                        cleaned: log.cleaned(),
                    };
                    let files = disk.segments.clone();
                    log = disk.open(config.clone(), checkpoints);
                    replay(&mut log, &mut disk, at(clock));
                    assert_eq!(disk.segments, files, "nothing is to be mended");
                }
                13..15 => {
                    let checkpoints = Checkpoints { cleaned: log.cleaned(), ..Checkpoints::default() };
                    let end = log.end();
                    log = disk.open(config.clone(), checkpoints);
                    replay(&mut log, &mut disk, at(clock));
                    assert_eq!(log.end(), end, "every batch is checked");
                    log.raise_high_watermark(end);
                }
                15..30 => history.end(&mut log, &mut disk, &mut dice, clock),
                _ => history.produce(&mut log, &mut disk, &mut dice, &mut clock),
            }
        }
        model::check(&log, &disk, &mut dice);
    }
    assert!(thinned > 10_000, "only {thinned} records were removed");
}
