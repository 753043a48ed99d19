//! `kafka.txt` holds the files of one partition that Apache Kafka 4.3 wrote (gzip, base64): 44 batches of one to three
//! records, index.interval.bytes=300, segment.ms=60000, timestamps that jump back now and then.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::record::batch::batches;
use crate::record::compress;

fn fixture(name: &str) -> Vec<u8> {
    fixture_in(include_str!("kafka.txt"), name).unwrap()
}

/// A file of that name among those of a text.
pub fn fixture_in(text: &str, name: &str) -> Option<Vec<u8>> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(compress::decompress(Compression::Gzip, STANDARD.decode(line).unwrap().into()).unwrap().to_vec())
}

fn files(base: Offset) -> Files {
    let [log, index, time_index] = ["log", "index", "timeindex"].map(|ext| fixture(&format!("{base}.{ext}")));
    Files { log, index, time_index, txn_index: Vec::new() }
}

const BASES: [Offset; 3] = [0, 29, 55];

fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 300, segment_ms: 60_000, ..LogConfig::default() }
}

#[test]
fn the_same_batches_make_the_same_files() {
    let (mut log, mut disk) = create(config());
    for base in BASES {
        for (header, bytes) in batches(&files(base).log) {
            append(&mut log, &mut disk, at(0), Batch { header, bytes: Bytes::copy_from_slice(bytes) });
        }
    }
    assert!(disk.segments.keys().eq(&BASES), "rolled where Kafka rolled");
    assert!(disk.segments[&0] == files(0) && disk.segments[&29] == files(29));
    let active = Files { time_index: fixture("55.timeindex.live"), ..files(55) };
    assert_eq!(disk.segments[&55], active, "as it was before Kafka closed it");
    assert_eq!(disk.saved["fix-0/leader-epoch-checkpoint"], "0\n1\n0 0\n");
}

#[test]
fn kafkas_files_are_opened_as_they_are() {
    let disk = Disk { segments: BASES.map(|base| (base, files(base))).into(), ..Disk::default() };
    let clean = Checkpoints { recovery_point: 90, high_watermark: 90, ..Checkpoints::default() };
    let mut opened = disk.clone();
    let log = opened.open(config(), clean);
    assert_eq!((log.end(), log.high_watermark(), log.recovery_point(), log.segments()), (90, 90, 90, 3));
    assert_eq!(opened.segments, disk.segments, "nothing is written after a clean stop");

    // In use, Kafka's index files end in preallocated zeros.
    let mut in_use = disk.clone();
    let active = in_use.segments.get_mut(&55).unwrap();
    active.index.resize(1_000, 0);
    active.time_index.resize(1_200, 0);
    in_use.open(config(), clean);
    assert_eq!(in_use.segments, disk.segments);
}

#[test]
fn every_timestamp_is_found_where_kafka_finds_it() {
    let mut disk = Disk { segments: BASES.map(|base| (base, files(base))).into(), ..Disk::default() };
    let mut log = disk.open(config(), Checkpoints { recovery_point: 90, high_watermark: 90, ..Checkpoints::default() });
    log.newest.clear();
    let records: Vec<_> = disk.segments.values().flat_map(|files| records(&files.log)).collect();
    for timestamp in (1_699_999_990_000..1_700_000_180_000).step_by(997) {
        let found = resolve!(log, disk, log.offset_for_timestamp(Timestamp(timestamp))).unwrap();
        // Records are in order here as far as segments go: the first one overall is the first one of its segment.
        let expected = records.iter().find(|record| record.timestamp.0 >= timestamp);
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected.map(|r| (r.offset, r.timestamp)));
    }
    let max = resolve!(log, disk, log.offset_of_max_timestamp()).unwrap().unwrap();
    let expected = records.iter().rev().max_by_key(|record| record.timestamp).unwrap();
    assert_eq!((max.offset, max.timestamp, max.leader_epoch), (expected.offset, expected.timestamp, Some(0)));
}

fn records(log: &[u8]) -> Vec<crate::record::Record> {
    let batches = batches(log).map(|(header, bytes)| Batch { header, bytes: Bytes::copy_from_slice(bytes) });
    batches.flat_map(|batch| crate::record::Record::decode(&batch).unwrap()).collect()
}
