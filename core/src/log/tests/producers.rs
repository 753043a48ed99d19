//! Producers and their transactions. `transactions.txt` holds what Apache Kafka 4.3 wrote (gzip, base64): an idempotent
//! producer and two transactional ones that commit, abort and leave one open, in segments of 800 bytes.

use std::collections::BTreeMap;

use super::kafka::fixture_in;
use super::*;
use crate::log::producer::{Producer, Written};
use crate::record::Marker;
use crate::record::batch::batches;
use crate::record::check::Invalid;
use crate::view::Fate;

const BASES: [Offset; 5] = [0, 7, 14, 21, 28];
const END: Offset = 32;

fn fixture(name: &str) -> Option<Vec<u8>> {
    fixture_in(include_str!("transactions.txt"), name)
}

fn kafkas() -> Vec<Batch> {
    let logs = BASES.map(|base| fixture(&format!("{base}.log")).unwrap());
    let of = |log: &Vec<u8>| -> Vec<Batch> {
        batches(log).map(|(header, bytes)| Batch { header, bytes: Bytes::copy_from_slice(bytes) }).collect()
    };
    logs.iter().flat_map(of).collect()
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 800, index_interval_bytes: 300, ..LogConfig::default() }
}

/// Just after Kafka wrote it: no producer has expired.
fn then() -> Now {
    at(kafkas().last().unwrap().header.max_timestamp.0)
}

/// A follower of Kafka's log, that has everything.
fn follower() -> (Log, Disk) {
    let (mut log, mut disk) = create(config());
    let mut out = Vec::new();
    for batch in kafkas() {
        log.append_replica(then(), batch, &mut out).unwrap();
        disk.enact(&mut out);
    }
    log.appended(disk.appended);
    (log, disk)
}

/// What a snapshot would keep of it.
fn known(log: &Log) -> Vec<(i64, Producer)> {
    snapshot::decode(&snapshot::encode(log.producers())).unwrap()
}

fn from_producer(epoch: i16, sequence: i32, count: usize, transactional: bool) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_producer(7, epoch, sequence);
    if transactional {
        builder.set_transactional();
    }
    (0..count).for_each(|_| _ = builder.append(Timestamp(5), None, Some(b"v"), &[]));
    builder.build()
}

fn produce(log: &mut Log, batch: Batch) -> Result<Placed, Invalid> {
    log.append(at(0), batch, 0, None, Origin::Client(Verified::default()), &mut Vec::new())
}

fn end(log: &mut Log, epoch: i16, commit: bool, coordinator_epoch: i32, version: i8) -> Result<Placed, Invalid> {
    let batch = Marker { commit, coordinator_epoch }.batch(Timestamp(6), 7, epoch);
    log.append(at(0), batch, 0, None, Origin::Marker { version }, &mut Vec::new())
}

fn error(result: Result<Placed, Invalid>) -> ErrorCode {
    result.unwrap_err().error
}

#[test]
fn the_same_batches_make_kafkas_snapshots_and_indexes_of_aborted_transactions() {
    let (mut log, mut disk) = follower();
    assert!(disk.segments.keys().eq(&BASES));
    let mut out = Vec::new();
    log.take_snapshot(&mut out);
    disk.enact(&mut out);
    for at in BASES[1..].iter().chain([&END]) {
        let ours = &disk.saved[&format!("fix-0/{at:020}.snapshot")];
        assert_eq!(ours[..], fixture(&format!("{at}.snapshot")).unwrap(), "the snapshot at {at}");
    }
    for base in BASES {
        let kafkas = fixture(&format!("{base}.txnindex")).unwrap_or_default();
        assert_eq!(disk.segments[&base].txn_index, kafkas, "the aborted transactions of {base}");
    }
}

#[test]
fn the_last_stable_offset_is_where_the_first_open_transaction_began_and_waits_for_its_marker() {
    let (mut log, _) = follower();
    let high_watermarks = 0..=END;
    let mut stable = Vec::new();
    for high_watermark in high_watermarks {
        log.raise_high_watermark(high_watermark);
        stable.push(log.last_stable_offset());
    }
    // Transactions at 3..=11 (aborted), 7..=12 (committed), 13..=21 (aborted), 14..=18 (aborted), 19..=29 (committed),
    // and 30, which is open.
    let expected: Vec<Offset> =
        [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 7].into_iter().chain([13; 9]).chain([19; 8]).chain([30; 3]).collect();
    assert_eq!(stable, expected);
}

#[test]
fn the_page_is_told_what_each_batch_is_to_transactions() {
    let (log, _) = follower();
    let fates: BTreeMap<Offset, Fate> = log.newest(64).iter().map(|batch| (batch.base_offset, batch.fate)).collect();
    let markers: Vec<(Offset, Fate)> =
        fates.iter().filter(|(_, fate)| fate.is_marker()).map(|(at, fate)| (*at, *fate)).collect();
    let (commit, abort) = (Fate::CommitMarker, Fate::AbortMarker);
    assert_eq!(markers, [(11, abort), (12, commit), (18, abort), (21, abort), (29, commit)]);
    // Where the transactions begin that the test above lists.
    let of = |at: &Offset| fates[at];
    assert_eq!([3, 13, 14].map(|at| of(&at)), [Fate::Aborted; 3]);
    assert_eq!([7, 19].map(|at| of(&at)), [Fate::Committed; 2]);
    assert_eq!((of(&0), of(&30)), (Fate::Plain, Fate::Open));
}

#[test]
fn whatever_is_missing_is_found_out_again_from_the_newest_snapshot_that_holds() {
    let (mut log, disk) = follower();
    log.raise_high_watermark(END);
    let (all, indexes): (_, Vec<_>) =
        (known(&log), disk.segments.values().map(|files| files.txn_index.clone()).collect());
    let newest = |disk: &Disk, below: Offset| -> Vec<String> {
        disk.saved.keys().filter(|file| **file < format!("fix-0/{below:020}.snapshot")).cloned().collect()
    };
    for (kept, recovery_point) in [(END + 1, END), (END + 1, 0), (15, END), (15, 20), (8, 28), (0, END), (0, 0)] {
        let mut disk = disk.clone();
        let kept = newest(&disk, kept);
        disk.saved.retain(|file, _| !file.ends_with(".snapshot") || kept.contains(file));
        let checkpoints = Checkpoints { recovery_point, ..Checkpoints::default() };
        let mut opened = disk.open_at(config(), checkpoints, then());
        replay(&mut opened, &mut disk, then());
        opened.raise_high_watermark(END);
        assert_eq!(known(&opened), all);
        assert_eq!(opened.producers().first_unstable_offset(), log.producers().first_unstable_offset());
        assert!(disk.segments.values().map(|files| &files.txn_index).eq(&indexes));
        assert!(disk.saved.contains_key(&format!("fix-0/{END:020}.snapshot")), "it need not be found out again");
    }
}

#[test]
fn a_damaged_snapshot_is_removed_and_the_one_before_it_used() {
    let (log, mut disk) = follower();
    let newest = "fix-0/00000000000000000028.snapshot";
    let mut damaged = disk.saved[newest].to_vec();
    damaged[20] ^= 1;
    disk.saved.insert(newest.to_owned(), damaged.into());
    let mut opened = disk.open_at(config(), Checkpoints { recovery_point: END, ..Checkpoints::default() }, then());
    assert!(!disk.saved.contains_key(newest));
    replay(&mut opened, &mut disk, then());
    assert_eq!(known(&opened), known(&log));
}

#[test]
fn a_cut_log_knows_what_it_knew_when_it_ended_there() {
    for end in 0..END {
        let (mut log, mut disk) = follower();
        let (mut shorter, _) = create(config());
        let kept = kafkas().into_iter().filter(|batch| batch.header.last_offset() < end);
        kept.for_each(|batch| shorter.append_replica(then(), batch, &mut Vec::new()).unwrap());
        let mut out = Vec::new();
        let cut = resolve!(log, disk, log.cut(end)).unwrap().unwrap();
        log.truncate(then(), cut, &mut out);
        disk.enact(&mut out);
        replay(&mut log, &mut disk, then());
        assert_eq!(known(&log), known(&shorter), "cut to {end}");
        let open = |log: &mut Log| {
            log.producers_mut().replicated(END);
            log.producers().first_unstable_offset()
        };
        assert_eq!(open(&mut log), open(&mut shorter));
        let aborted = |log: &Log| -> Vec<_> {
            log.segments.iter().flat_map(|one| one.aborted.iter().collect::<Vec<_>>()).collect()
        };
        assert_eq!(aborted(&log), aborted(&shorter));
        let above = format!("fix-0/{:020}.snapshot", end + 1);
        assert!(disk.saved.keys().all(|file| !file.ends_with(".snapshot") || *file < above));
    }
}

#[test]
fn until_they_are_known_no_producers_batch_is_taken_and_nothing_is_stable() {
    let (_, mut disk) = follower();
    disk.saved.retain(|file, _| !file.ends_with(".snapshot"));
    let mut log = disk.open_at(
        config(),
        Checkpoints { recovery_point: END, high_watermark: END, ..Checkpoints::default() },
        then(),
    );
    assert_eq!((log.is_replaying(), log.last_stable_offset(), log.high_watermark()), (true, 0, END));
    assert_eq!(error(produce(&mut log, from_producer(0, 0, 1, false))), ErrorCode::NotLeaderOrFollower);
    let mut out = Vec::new();
    log.append(at(0), batch(&[1], 3), 0, None, ORIGIN, &mut out).unwrap();
    disk.enact(&mut out);
    replay(&mut log, &mut disk, then());
    assert_eq!(log.last_stable_offset(), 30);
    assert!(produce(&mut log, from_producer(0, 0, 1, false)).is_ok());
}

#[test]
fn a_log_without_producers_reads_nothing_to_know_so() {
    let (mut log, mut disk) = create(config());
    (0..40).for_each(|n| _ = append(&mut log, &mut disk, at(0), batch(&[n], 100)));
    for recovery_point in [0, log.end()] {
        let mut opened = disk.open(config(), Checkpoints { recovery_point, ..Checkpoints::default() });
        assert_eq!((opened.is_replaying(), opened.last_stable_offset()), (false, 0), "{recovery_point}");
        assert!(produce(&mut opened, from_producer(3, 9, 1, false)).is_ok(), "whatever it wrote is gone");
    }
}

#[test]
fn what_comes_again_is_answered_as_it_was_and_what_does_not_follow_on_is_refused() {
    let (mut log, _) = create(LogConfig::default());
    let first = produce(&mut log, from_producer(0, 0, 3, false)).unwrap();
    for sequence in (3..=15).step_by(3) {
        produce(&mut log, from_producer(0, sequence, 3, false)).unwrap();
    }
    assert_eq!((first.base_offset, log.end()), (0, 18));
    let again = produce(&mut log, from_producer(0, 3, 3, false)).unwrap();
    assert_eq!((again.base_offset, again.last_offset, again.append_time), (3, 5, Some(Timestamp(5))));
    assert_eq!(log.end(), 18);
    // Five are remembered; of the others it is only known that they are old.
    assert_eq!(error(produce(&mut log, from_producer(0, 0, 3, false))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(error(produce(&mut log, from_producer(0, 3, 2, false))), ErrorCode::OutOfOrderSequenceNumber);
    let gap = produce(&mut log, from_producer(0, 21, 1, false)).unwrap_err();
    assert_eq!(
        gap.message,
        "Out of order sequence number for producer 7 at offset 18 in partition fix-0: 21 (incoming seq. number), 17 \
         (current end sequence number)"
    );
    assert_eq!(error(produce(&mut log, from_producer(1, 5, 1, false))), ErrorCode::OutOfOrderSequenceNumber);
    assert!(produce(&mut log, from_producer(1, 0, 1, false)).is_ok());
    assert_eq!(error(produce(&mut log, from_producer(0, 18, 1, false))), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn sequences_wrap_to_zero() {
    let (mut log, _) = create(LogConfig::default());
    produce(&mut log, from_producer(0, i32::MAX - 1, 2, false)).unwrap();
    produce(&mut log, from_producer(0, 0, 1, false)).unwrap();
    let (mut log, _) = create(LogConfig::default());
    produce(&mut log, from_producer(0, i32::MAX - 1, 3, false)).unwrap();
    assert_eq!(produce(&mut log, from_producer(0, i32::MAX - 1, 3, false)).unwrap().base_offset, 0);
    assert!(produce(&mut log, from_producer(0, 1, 1, false)).is_ok());
}

#[test]
fn a_marker_of_an_old_epoch_or_coordinator_ends_nothing() {
    let (mut log, _) = create(LogConfig::default());
    produce(&mut log, from_producer(4, 0, 1, true)).unwrap();
    assert_eq!(error(produce(&mut log, from_producer(4, 1, 1, false))), ErrorCode::InvalidTxnState);
    assert_eq!(error(end(&mut log, 3, true, 2, 0)), ErrorCode::InvalidProducerEpoch);
    // With an epoch for every transaction, the marker must be above it.
    assert_eq!(error(end(&mut log, 4, true, 2, 2)), ErrorCode::InvalidProducerEpoch);
    end(&mut log, 5, true, 2, 2).unwrap();
    end(&mut log, 5, true, 3, 2).expect("the same again, by a later coordinator");
    assert_eq!(error(end(&mut log, 6, false, 2, 2)), ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(error(produce(&mut log, from_producer(4, 1, 1, true))), ErrorCode::InvalidProducerEpoch);
    assert!(produce(&mut log, from_producer(5, 0, 1, true)).is_ok());
    assert_eq!(log.producers().first_unstable_offset(), Some(0), "nothing is replicated yet");
}

#[test]
fn a_transaction_must_be_verified_and_a_guard_is_good_for_one() {
    let (mut log, _) = create(LogConfig::default());
    let client = |log: &mut Log, guard, batch| {
        log.append(at(0), batch, 0, None, Origin::Client(Verified { guard, required: true }), &mut Vec::new())
    };
    let transactional = |sequence| from_producer(0, sequence, 1, true);
    assert_eq!(error(client(&mut log, None, transactional(0))), ErrorCode::InvalidTxnState);
    let guard = log.producers_mut().begin_verification(Timestamp(0), 7, 0, 0, false).unwrap();
    assert!(guard.is_some());
    // The transaction is over before the coordinator's word comes, and the next one begins.
    end(&mut log, 0, false, 0, 0).unwrap();
    assert_eq!(error(client(&mut log, guard, transactional(0))), ErrorCode::InvalidTxnState);
    let next = log.producers_mut().begin_verification(Timestamp(0), 7, 0, 0, false).unwrap();
    assert_eq!(error(client(&mut log, guard, transactional(0))), ErrorCode::InvalidTxnState);
    client(&mut log, next, transactional(0)).unwrap();
    client(&mut log, None, transactional(1)).expect("it is open");
    assert_eq!(log.producers_mut().begin_verification(Timestamp(0), 7, 0, 2, false), Ok(None));
}

#[test]
fn a_batch_does_not_overtake_one_that_is_being_verified() {
    let (mut log, _) = create(LogConfig::default());
    let guard = log.producers_mut().begin_verification(Timestamp(0), 7, 0, 0, true).unwrap();
    assert_eq!(log.producers_mut().begin_verification(Timestamp(0), 7, 0, 1, true).unwrap(), guard);
    let second = log.append(
        at(0),
        from_producer(0, 1, 1, true),
        0,
        None,
        Origin::Client(Verified { guard, required: true }),
        &mut Vec::new(),
    );
    assert_eq!(error(second), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn whoever_has_not_written_for_long_is_forgotten_unless_a_transaction_is_open() {
    let (mut log, _) = follower();
    let producers = log.producers_mut();
    let later = Timestamp(then().wall.0 + LogConfig::default().producer_id_expiration_ms + 1_000);
    assert!(producers.has_expired(later, config().producer_id_expiration_ms));
    producers.expire(later, config().producer_id_expiration_ms);
    assert_eq!(producers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
}

#[test]
fn retention_takes_snapshots_along() {
    let (mut log, mut disk) = follower();
    log.raise_high_watermark(END);
    log.raise_log_start(15, &mut Vec::new()).unwrap();
    let mut out = Vec::new();
    log.retain(then(), &mut out);
    disk.enact(&mut out);
    let mut snapshots = disk.saved.keys().filter(|file| file.ends_with(".snapshot"));
    assert_eq!(snapshots.next().unwrap(), "fix-0/00000000000000000014.snapshot");
    assert_eq!(log.last_stable_offset(), 30);
}

#[test]
fn a_fetch_is_told_of_the_aborted_transactions_that_reach_into_it() {
    let (mut log, disk) = follower();
    log.raise_high_watermark(END);
    let firsts = |log: &Log, offset, max_bytes| {
        let slice = resolve!(log, disk, log.read(offset, max_bytes, log.last_stable_offset(), true)).unwrap();
        log.aborted_in(offset, &slice.extent.unwrap())
            .iter()
            .map(|one| (one.producer_id, one.first_offset))
            .collect::<Vec<_>>()
    };
    assert_eq!(firsts(&log, 0, 10_000), [(1, 3)]);
    assert_eq!(firsts(&log, 12, 10_000), [(2, 13)], "it ends in a later segment");
    assert_eq!(firsts(&log, 14, 10_000), [(1, 14), (2, 13)]);
    assert_eq!(firsts(&log, 19, 10_000), [(2, 13)]);
    assert_eq!(firsts(&log, 22, 10_000), []);
}

#[test]
fn a_snapshot_that_is_none_is_not_believed() {
    let (log, _) = follower();
    let good = snapshot::encode(log.producers());
    assert!(snapshot::decode(&good).is_some());
    assert_eq!(snapshot::decode(&good[..good.len() - 1]), None);
    assert_eq!(snapshot::decode(&[]), None);
    for at in 0..good.len() {
        let mut flipped = good.to_vec();
        flipped[at] ^= 4;
        assert_eq!(snapshot::decode(&flipped), None, "byte {at}");
    }
    let empty = snapshot::encode(&Default::default());
    assert_eq!((empty.len(), snapshot::decode(&empty)), (10, Some(vec![])));
    let one = Written { last_sequence: 3, last_offset: 9, offset_delta: 2, timestamp: Timestamp(1) };
    assert_eq!(one.first_offset(), 7);
}
