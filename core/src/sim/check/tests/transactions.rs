//! The checkers of transactions: a producer's batches in a committed log, and what its application says of them.

use std::sync::Arc;

use super::super::transactions::{Transactions, Wrote};
use super::super::writers::Who;
use super::super::{
    contiguous_sequences, fenced_epoch, lost_write, poll_skip, same_marker, stable_offset, transaction_timeout,
};
use super::*;
use crate::client::{NextOffset, Offsets, Polled, Read, TransactionStage};
use crate::record::{Marker, TimestampType};

/// A log of one partition, all of it committed.
struct Written {
    ledger: Ledger,
    ends: same_marker::Ends,
    told: Vec<&'static str>,
}

impl Written {
    fn new() -> Written {
        let ledger = Ledger::new(TopicPartition::new(topic(), 0), Uuid::from_u128(1));
        Written { ledger, ends: Default::default(), told: Vec::new() }
    }

    /// `count` records of producer 7, or a marker that commits or aborts.
    fn write(&mut self, epoch: i16, sequence: i32, count: usize, marker: Option<bool>) -> &mut Self {
        let base_offset = self.ledger.truth.end();
        let batch = match marker {
            Some(commit) => Marker { commit, coordinator_epoch: 0 }.batch(Timestamp(0), 7, epoch),
            None => {
                let mut builder = BatchBuilder::new(Compression::None);
                builder.set_producer(7, epoch, sequence);
                builder.set_transactional();
                for _ in 0..count {
                    builder.append(Timestamp(0), None, Some(b"x"), &[]);
                }
                builder.build()
            }
        };
        let header = Stamp { base_offset, leader_epoch: 0, append_time: None }.header(&batch);
        let mark = super::super::marks::mark(&header);
        self.ledger.transactions.appended(mark, Wrote::of(&header, &batch).unwrap());
        self.ledger.truth.append(header.next_offset(), mark);
        let Ledger { transactions, truth, name, .. } = &mut self.ledger;
        for committed in transactions.committed(NOW, truth, base_offset) {
            let verdicts = [
                contiguous_sequences::check(name, &committed),
                fenced_epoch::check(name, &committed),
                same_marker::check(&mut self.ends, name, &committed),
            ];
            self.told.extend(verdicts.into_iter().filter_map(|verdict| Some(verdict.err()?.0)));
        }
        self
    }
}

#[test]
fn a_gap_in_the_sequences_and_an_epoch_that_does_not_begin_at_0_break_contiguous_sequences() {
    let mut written = Written::new();
    written.write(0, 0, 2, None).write(0, 2, 3, None).write(1, 0, 1, Some(true)).write(1, 0, 2, None);
    assert_eq!(written.told, [""; 0]);
    written.write(1, 3, 1, None);
    assert_eq!(written.told, ["ContiguousSequences"]);
    written.write(2, 5, 1, None);
    assert_eq!(written.told, ["ContiguousSequences"; 2]);
}

#[test]
fn an_earlier_epoch_after_a_later_one_breaks_fenced_epoch() {
    let mut written = Written::new();
    written.write(0, 0, 1, None).write(1, 0, 1, Some(false)).write(0, 1, 1, None);
    assert_eq!(written.told, ["FencedEpoch"]);
}

#[test]
fn one_transaction_that_ends_in_two_ways_breaks_same_marker() {
    let mut ends = Default::default();
    for (commit, told) in [(true, &[][..]), (true, &[]), (false, &["SameMarker"])] {
        let mut written = Written { ends, ..Written::new() };
        written.write(0, 0, 1, None).write(1, -1, 1, Some(commit));
        assert_eq!(written.told, told);
        ends = written.ends;
    }
}

#[test]
fn a_last_stable_offset_beyond_the_high_watermark_breaks_stable_offset() {
    let name = TopicPartition::new(topic(), 0);
    assert_eq!(stable_offset::check(&name, (3, 5, 9)), Ok(()));
    assert_eq!(fires(stable_offset::check(&name, (6, 5, 9)), "StableOffset"), None);
}

#[test]
fn a_transaction_that_nobody_ends_breaks_transaction_timeout_when_its_time_is_over() {
    let mut written = Written::new();
    written.write(0, 0, 1, None);
    let check = |ledger: Ledger, secs| {
        transaction_timeout::check(&[ledger], NOW + Duration::from_secs(secs), Duration::from_secs(60))
    };
    assert_eq!(check(written.ledger.clone(), 70), Ok(()));
    assert!(check(written.ledger.clone(), 80).is_err());
    written.write(1, -1, 1, Some(true));
    assert_eq!(check(written.ledger, 80), Ok(()));
}

#[test]
fn markers_and_what_was_aborted_are_no_records_that_a_consumer_has_skipped() {
    let mut written = Written::new();
    written.write(0, 0, 2, None).write(1, -1, 1, Some(false)).write(1, 0, 1, None);
    let (topic, consumer) = (topic(), Arc::from("c1"));
    written.ledger.acked.insert(0, 4);
    let received = Received { topic: &topic, partition: 0, offset: 3 };
    for (committed, from, skips) in [(true, 0, false), (false, 2, false), (false, 1, true)] {
        let who = (&consumer, committed);
        assert_eq!(poll_skip::check(&written.ledger, &received, who, from).is_err(), skips);
        assert_eq!(lost_write::check(&written.ledger, &received, who, from).is_err(), skips);
    }
}

/// Checks that know a producer p1 and two consumers, and a partition whose first records are its own.
fn watching(idempotent: bool, commit: bool) -> Checks {
    let mut written = Written::new();
    written.write(0, 0, 2, None).write(1, -1, 1, Some(commit)).write(1, 0, 1, None);
    let mut checks = Checks { ledgers: vec![written.ledger], ..Checks::default() };
    checks.index.insert(topic(), vec![0]);
    let producer = |id: &str| Who::Producer {
        idempotent,
        transactional_id: Some(id.to_owned()),
        timeout: Duration::from_secs(60),
        reads: None,
    };
    checks.began(&Arc::from("p1"), producer("t1"));
    checks.began(&Arc::from("p2"), producer("t1"));
    checks.began(&Arc::from("all"), Who::Consumer { read_committed: false });
    checks.began(&Arc::from("committed"), Who::Consumer { read_committed: true });
    checks
}

fn reads(checks: &mut Checks, consumer: &str, offset: Offset, value: &'static str) -> Vec<&'static str> {
    let value = Some(Bytes::from_static(value.as_bytes()));
    let report = Report::Received {
        topic: topic(),
        partition: 0,
        offset,
        timestamp: 0,
        timestamp_type: TimestampType::CreateTime,
        leader_epoch: 0,
        key: None,
        value,
        headers: Vec::new(),
    };
    tells(checks, consumer, &report)
}

fn tells(checks: &mut Checks, name: &str, report: &Report) -> Vec<&'static str> {
    let before = checks.violations().len();
    checks.report(NOW, NOW, &Arc::from(name), false, report);
    checks.violations()[before..].iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_record_of_an_aborted_transaction_breaks_g1a_and_one_of_an_open_one_g1b_for_who_reads_what_is_committed() {
    for (commit, offset, told) in [(false, 0, &["G1a"][..]), (true, 0, &[]), (true, 3, &["G1b"])] {
        let mut checks = watching(true, commit);
        assert_eq!(reads(&mut checks, "all", offset, "x"), [""; 0]);
        assert_eq!(reads(&mut checks, "committed", offset, "x"), told);
    }
}

#[test]
fn a_record_that_its_application_has_aborted_breaks_g1a_whatever_the_log_says_and_before_it_commits_g1b() {
    for (stage, told) in [
        (TransactionStage::Committed, &[][..]),
        (TransactionStage::Aborted, &["G1a"]),
        (TransactionStage::Begun, &["G1b"]),
    ] {
        let mut checks = watching(true, true);
        for report in [
            Report::Transaction(TransactionStage::Begun),
            Report::Sent { topic: topic(), partition: 0, sequence: 0 },
            Report::Transaction(stage),
        ] {
            tells(&mut checks, "p1", &report);
        }
        assert_eq!(reads(&mut checks, "committed", 0, "p1-0...."), told);
    }
}

#[test]
fn a_numbered_record_at_two_offsets_breaks_duplicate_if_its_producer_is_idempotent() {
    for (idempotent, told) in [(true, &["Duplicate"][..]), (false, &[])] {
        let mut checks = watching(idempotent, true);
        assert_eq!(reads(&mut checks, "all", 0, "p1-0"), [""; 0]);
        assert_eq!(reads(&mut checks, "committed", 0, "p1-0"), [""; 0], "another consumer reads it, too");
        assert_eq!(reads(&mut checks, "all", 1, "p1-0"), told);
        assert_eq!(checks.duplicates(), 1);
    }
}

#[test]
fn a_duplicate_is_exempt_where_its_producer_had_to_renumber_it_and_a_replica_has_its_producers_from_a_snapshot() {
    let renumbered = Report::Renumbered { topic: topic(), partition: 0, sequences: vec![3, 4] };
    for (value, recalled, exempt) in [("p1-3", true, true), ("p1-3", false, false), ("p1-5", true, false)] {
        let mut checks = watching(true, true);
        tells(&mut checks, "p1", &renumbered);
        checks.ledgers[0].recalled = recalled;
        reads(&mut checks, "all", 0, value);
        assert_eq!(reads(&mut checks, "all", 1, value), ["Duplicate"]);
        let told = checks.violations().iter().find(|violation| violation.invariant == "Duplicate").unwrap();
        assert_eq!(told.exempt.is_some(), exempt, "{value}");
    }
}

#[test]
fn a_commit_of_what_was_begun_after_another_took_the_transactional_id_breaks_live_epoch() {
    let mut checks = watching(true, true);
    tells(&mut checks, "p1", &Report::Transaction(TransactionStage::Initialized));
    tells(&mut checks, "p2", &Report::Transaction(TransactionStage::Initialized));
    let later = NOW + Duration::from_secs(1);
    for (report, told) in [
        (Report::Transaction(TransactionStage::Begun), 0),
        (Report::Sent { topic: topic(), partition: 0, sequence: 0 }, 0),
        (Report::Transaction(TransactionStage::Committed), 1),
    ] {
        checks.report(later, later, &Arc::from("p1"), false, &report);
        assert_eq!(checks.violations().len(), told);
    }
    assert_eq!(checks.violations()[0].invariant, "LiveEpoch");
}

#[test]
fn what_is_acknowledged_and_read_by_nobody_is_unseen() {
    let mut checks = watching(true, true);
    checks.ledgers[0].acked.insert(0, 2);
    assert_eq!(checks.unseen(), 2);
    reads(&mut checks, "all", 0, "p1-0");
    assert_eq!(checks.unseen(), 1);
    let Transactions { aborted, .. } = &mut checks.ledgers[0].transactions;
    aborted.insert(1, 2);
    assert_eq!(checks.unseen(), 0, "nobody need see what was aborted");
}

#[test]
fn what_its_application_has_committed_and_the_log_calls_aborted_is_a_lost_write_when_all_has_settled() {
    for (commit, lost) in [(true, false), (false, true)] {
        let mut checks = watching(true, commit);
        for report in [
            Report::Transaction(TransactionStage::Begun),
            Report::Sent { topic: topic(), partition: 0, sequence: 0 },
            Report::Acked { topic: topic(), partition: 0, sequence: 0, offset: 1, log_append_time: -1 },
            Report::Transaction(TransactionStage::Committed),
        ] {
            tells(&mut checks, "p1", &report);
        }
        // The transaction that is open in this log is another one's.
        checks.ledgers[0].transactions.open.clear();
        assert_eq!(checks.settled(NOW).is_err(), lost);
    }
}

/// An application of two clients, c1 and e1, whose group has the partition; and orders 0 and 1 as its consumer gets them.
fn working() -> (Checks, Report) {
    let mut checks = watching(true, true);
    let partition = TopicPartition::new(topic(), 0);
    checks.ledgers[0].transactions.open.clear();
    checks.began(&Arc::from("c1"), Who::Consumer { read_committed: true });
    checks.began(
        &Arc::from("e1"),
        Who::Producer {
            idempotent: true,
            transactional_id: Some("e1".to_owned()),
            timeout: Duration::from_secs(60),
            reads: Some("c1".to_owned()),
        },
    );
    let assigned = Report::Assigned {
        group: "g".into(),
        member_id: "m".into(),
        instance_id: None,
        generation: 1,
        added: vec![partition.clone()],
        owned: vec![partition.clone()],
    };
    assert_eq!(tells(&mut checks, "c1", &assigned), [""; 0]);
    let read = |offset| Read { partition: partition.clone(), offset, key: None };
    let offsets = Offsets {
        group: "g".to_owned(),
        member: "m".to_owned(),
        generation: 1,
        offsets: vec![NextOffset { topic: topic().to_string(), partition: 0, offset: 2, leader_epoch: -1 }],
    };
    (checks, Report::Polled(Arc::new(Polled { offsets, records: vec![read(0), read(1)] })))
}

#[test]
fn a_record_that_two_committed_transactions_have_consumed_breaks_consume_counts() {
    for (stage, told) in [(TransactionStage::Committed, &["ConsumeCounts"; 2][..]), (TransactionStage::Aborted, &[])] {
        let (mut checks, polled) = working();
        let mut heard = Vec::new();
        for stage in [stage, TransactionStage::Committed] {
            tells(&mut checks, "c1", &polled);
            heard.extend(tells(&mut checks, "e1", &Report::Transaction(TransactionStage::Begun)));
            heard.extend(tells(&mut checks, "e1", &Report::Transaction(stage)));
        }
        assert_eq!(heard, told);
    }
}

#[test]
fn a_record_of_which_nothing_was_made_breaks_consume_counts_when_all_has_settled() {
    let (mut checks, polled) = working();
    tells(&mut checks, "c1", &polled);
    assert_eq!(checks.settled(NOW), Ok(()), "nobody reads what is made");
    reads(&mut checks, "committed", 0, "g:orders-0-0");
    assert_eq!(checks.settled(NOW).unwrap_err(), "nothing was made of offset 1 by g:orders-0");
    // Then comes a marker, and one more order.
    reads(&mut checks, "committed", 1, "g:orders-0-1");
    assert_eq!(checks.settled(NOW).unwrap_err(), "nothing was made of offset 3 by g:orders-0");
    reads(&mut checks, "committed", 3, "g:orders-0-3");
    assert_eq!(checks.settled(NOW), Ok(()));
}

#[test]
fn two_results_of_one_order_break_duplicate_for_who_reads_what_is_committed() {
    let (mut checks, polled) = working();
    tells(&mut checks, "c1", &polled);
    assert_eq!(reads(&mut checks, "all", 0, "g:orders-0-7"), [""; 0], "it may be aborted");
    assert_eq!(reads(&mut checks, "committed", 0, "g:orders-0-7"), [""; 0]);
    assert_eq!(reads(&mut checks, "committed", 1, "g:orders-0-7"), ["Duplicate"]);
}
