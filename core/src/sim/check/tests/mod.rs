//! Every checker fires where its rule is broken, and only there: a partition of three replicas as it should be, then with
//! one thing wrong.

mod transactions;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::ledger::{Ledger, Process};
use super::no_committed_record_lost::{LOSSY, SO_MANY, UNCLEAN};
use super::*;
use crate::id::{LogId, TopicPartition};
use crate::log::epoch::EpochCache;
use crate::protocol::cluster::{Assignment, Registration};
use crate::protocol::znode;
use crate::record::{Batch, BatchBuilder, Compression, Marker, Record, Stamp};
use crate::sim::Tally;
use crate::time::Timestamp;
use crate::view::{ConsumerView, GroupView, MemberView, TopicView, View};
use crate::zookeeper::txn::Txn;

const LEADER: BrokerId = BrokerId(1);
const FOLLOWER: BrokerId = BrokerId(2);
const LATE: BrokerId = BrokerId(3);
const NOW: Instant = Instant::from_millis(1_000);

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

fn assignment(leader: BrokerId, leader_epoch: i32, isr: &[BrokerId]) -> Assignment {
    let replicas = vec![LEADER, FOLLOWER, LATE];
    Assignment {
        replicas,
        isr: isr.to_vec(),
        leader,
        leader_epoch,
        partition_epoch: leader_epoch,
        ..Assignment::default()
    }
}

fn follows(epoch: i32, high_watermark: Offset) -> Process {
    Process { leads: false, epoch, high_watermark, epoch_start: 0, isr: Vec::new() }
}

fn leads(epoch: i32, high_watermark: Offset, epoch_start: Offset) -> Process {
    Process { leads: true, epoch, high_watermark, epoch_start, isr: vec![LEADER, FOLLOWER] }
}

/// One leader with ten records, eight of them committed; a follower in sync has nine, another one has five.
fn sound() -> Ledger {
    let mut ledger = Ledger::new(TopicPartition::new(topic(), 0), Uuid::from_u128(1));
    ledger.authority = Some(assignment(LEADER, 3, &[LEADER, FOLLOWER]));
    for (id, end, process) in [(LEADER, 10, leads(3, 8, 2)), (FOLLOWER, 9, follows(3, 7)), (LATE, 5, follows(3, 5))] {
        let replica = ledger.replica(id);
        for offset in 0..end {
            replica.marks.append(offset + 1, offset as u64 + 100);
        }
        replica.process = Some(process);
    }
    ledger.leaders.insert(3, LEADER);
    assert!(ledger.commit(LEADER));
    ledger.acked.insert(0, 8);
    ledger.promised = 8;
    ledger
}

fn process(ledger: &mut Ledger, id: BrokerId) -> &mut Process {
    ledger.replica(id).process.as_mut().unwrap()
}

/// Another record than was there.
fn rewrite(ledger: &mut Ledger, id: BrokerId, from: Offset, to: Offset) {
    let replica = ledger.replica(id);
    replica.cut(from);
    replica.marks.append(to, 7);
}

#[track_caller]
fn fires(verdict: Verdict, invariant: &str) -> Option<&'static str> {
    let (fired, found, exempt) = verdict.expect_err("the rule is broken");
    assert_eq!(fired, invariant, "{found}");
    exempt
}

#[test]
fn what_is_as_it_should_be_breaks_nothing() {
    let ledger = sound();
    for verdict in [
        valid_high_watermark::check(&ledger),
        strong_isr::check(&ledger),
        weak_isr::check(&ledger),
        leader_completeness::check(&ledger),
        log_matching::check(&ledger, LEADER),
        log_matching::check(&ledger, FOLLOWER),
        log_matching::check(&ledger, LATE),
        leader_in_isr::check(&ledger, &assignment(FOLLOWER, 4, &[FOLLOWER])),
        monotonic_epochs::decided(&ledger, &assignment(FOLLOWER, 4, &[FOLLOWER])),
        epoch_fenced_truncation::appends(&ledger, LATE, 5),
        epoch_fenced_truncation::joins(&ledger, &assignment(LEADER, 3, &[LEADER, FOLLOWER, LATE])),
        valid_fetcher_state::check(&ledger, LEADER, true, 0),
        valid_fetcher_state::check(&ledger, FOLLOWER, false, 1),
    ] {
        assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn a_replica_in_sync_that_ends_below_the_high_watermark_breaks_valid_high_watermark() {
    let mut ledger = sound();
    ledger.replica(FOLLOWER).cut(7);
    assert_eq!(fires(valid_high_watermark::check(&ledger), "ValidHighWatermark"), None);
    ledger.replica(FOLLOWER).lost = Some(10);
    assert_eq!(valid_high_watermark::check(&ledger), Ok(()), "its machine lost them");
}

#[test]
fn another_record_on_a_member_of_the_controllers_isr_breaks_strong_isr_and_of_the_leaders_weak_isr() {
    let mut ledger = sound();
    rewrite(&mut ledger, FOLLOWER, 7, 9);
    assert_eq!(fires(strong_isr::check(&ledger), "StrongIsr"), None);
    assert_eq!(fires(weak_isr::check(&ledger), "WeakIsr"), None);
    // For the leader it has left already: only the controller could still elect it.
    process(&mut ledger, LEADER).isr = vec![LEADER];
    assert_eq!(weak_isr::check(&ledger), Ok(()));
    assert_eq!(fires(strong_isr::check(&ledger), "StrongIsr"), None);
    // And the other way round.
    process(&mut ledger, LEADER).isr = vec![LEADER, FOLLOWER];
    ledger.authority = Some(assignment(LEADER, 3, &[LEADER]));
    assert_eq!(strong_isr::check(&ledger), Ok(()));
    assert_eq!(fires(weak_isr::check(&ledger), "WeakIsr"), None);
}

#[test]
fn two_logs_that_differ_below_both_high_watermarks_break_log_matching() {
    let mut ledger = sound();
    rewrite(&mut ledger, LATE, 3, 5);
    assert_eq!(fires(log_matching::check(&ledger, LATE), "LogMatching"), None);
    process(&mut ledger, LATE).high_watermark = 3;
    assert_eq!(log_matching::check(&ledger, LATE), Ok(()), "it does not know them to be committed");
    // A second leader that commits something else.
    let mut ledger = sound();
    rewrite(&mut ledger, FOLLOWER, 4, 9);
    *process(&mut ledger, FOLLOWER) = leads(4, 9, 4);
    assert!(!ledger.commit(FOLLOWER));
    assert_eq!(fires(log_matching::check(&ledger, FOLLOWER), "LogMatching"), None);
}

#[test]
fn a_leader_outside_the_isr_and_a_stranger_in_it_break_leader_in_isr() {
    let mut ledger = sound();
    let check = |ledger: &Ledger, now: &Assignment| fires(leader_in_isr::check(ledger, now), "LeaderInIsr");
    assert_eq!(check(&ledger, &assignment(LATE, 4, &[LEADER])), None);
    assert_eq!(check(&ledger, &assignment(LEADER, 4, &[])), None);
    assert_eq!(check(&ledger, &assignment(LEADER, 4, &[LEADER, BrokerId(9)])), None);
    assert_eq!(check(&ledger, &assignment(LATE, 4, &[LATE])), None, "it was not in sync");
    ledger.unclean = true;
    assert_eq!(check(&ledger, &assignment(LATE, 4, &[LATE])), Some(UNCLEAN));
}

#[test]
fn a_leader_without_an_acknowledged_record_breaks_leader_completeness() {
    let mut ledger = sound();
    ledger.authority = Some(assignment(LATE, 4, &[LATE]));
    *process(&mut ledger, LATE) = leads(4, 5, 5);
    assert_eq!(fires(leader_completeness::check(&ledger), "LeaderCompleteness"), None);
    process(&mut ledger, LATE).leads = false;
    assert_eq!(leader_completeness::check(&ledger), Ok(()), "it does not know yet that it leads");
}

#[test]
fn an_epoch_that_falls_or_has_two_leaders_breaks_monotonic_epochs() {
    let mut ledger = sound();
    let decided = |now: &Assignment| monotonic_epochs::decided(&sound(), now);
    assert_eq!(fires(decided(&assignment(LEADER, 2, &[LEADER])), "MonotonicEpochs"), None);
    assert_eq!(fires(decided(&assignment(FOLLOWER, 3, &[FOLLOWER])), "MonotonicEpochs"), None);
    let mut believed = |id, before, now: &Process| monotonic_epochs::believed(&mut ledger, id, before, now);
    assert_eq!(fires(believed(LEADER, Some(4), &leads(3, 8, 2)), "MonotonicEpochs"), None);
    assert_eq!(fires(believed(FOLLOWER, Some(2), &leads(3, 8, 2)), "MonotonicEpochs"), None);
    assert_eq!(believed(FOLLOWER, Some(3), &leads(4, 8, 9)), Ok(()));
}

#[test]
fn a_follower_that_appends_behind_a_record_of_its_own_breaks_epoch_fenced_truncation() {
    let mut ledger = sound();
    rewrite(&mut ledger, LATE, 4, 5);
    assert_eq!(fires(epoch_fenced_truncation::appends(&ledger, LATE, 5), "EpochFencedTruncation"), None);
    let rise = |text: &[u8]| EpochCache::parse(text).unwrap();
    assert_eq!(epoch_fenced_truncation::epochs(&ledger, LATE, &rise(b"0\n2\n0 0\n3 4\n")), Ok(()));
    process(&mut ledger, LEADER).epoch_start = 6;
    let joins = epoch_fenced_truncation::joins(&ledger, &assignment(LEADER, 3, &[LEADER, FOLLOWER, LATE]));
    assert_eq!(fires(joins, "EpochFencedTruncation"), None);
}

#[test]
fn a_leader_that_fetches_and_a_follower_with_two_leaders_break_valid_fetcher_state() {
    let ledger = sound();
    assert_eq!(fires(valid_fetcher_state::check(&ledger, LEADER, true, 1), "ValidFetcherState"), None);
    assert_eq!(fires(valid_fetcher_state::check(&ledger, FOLLOWER, false, 2), "ValidFetcherState"), None);
}

#[test]
fn replicas_in_one_rack_where_there_are_two_break_rack_spread() {
    let alive = |racks: [Option<&str>; 3]| {
        let broker = |(id, rack): (BrokerId, Option<&str>)| {
            (id, Registration { id, host: String::new(), port: 0, rack: rack.map(str::to_owned) })
        };
        [LEADER, FOLLOWER, LATE].into_iter().zip(racks).map(broker).collect::<VecMap<_, _>>()
    };
    let two = Assignment { replicas: vec![LEADER, LATE], ..assignment(LEADER, 0, &[LEADER, LATE]) };
    let check = |racks| rack_spread::check(&sound(), &two, &alive(racks));
    assert_eq!(fires(check([Some("a"), Some("b"), Some("a")]), "RackSpread"), None);
    assert_eq!(check([Some("a"), Some("b"), Some("b")]), Ok(()));
    assert_eq!(check([Some("a"), None, Some("a")]), Ok(()), "Kafka spreads only where every broker has a rack");
}

#[test]
fn what_no_replica_has_any_more_breaks_no_committed_record_lost_unless_all_machines_in_sync_lost_it() {
    let mut ledger = sound();
    ledger.replica(LEADER).cut(5);
    assert_eq!(no_committed_record_lost::check(&mut ledger, NOW, None), (0, vec![]), "the follower has them");
    ledger.replica(FOLLOWER).cut(6);
    let (lost, verdicts) = no_committed_record_lost::check(&mut ledger, NOW, None);
    assert_eq!((lost, ledger.truth.end()), (2, 6));
    assert_eq!(fires(verdicts.into_iter().next().unwrap(), "NoCommittedRecordLost"), None);

    let mut ledger = sound();
    ledger.replica(LEADER).cut(5);
    ledger.replica(FOLLOWER).cut(6);
    let (lost, verdicts) = no_committed_record_lost::check(&mut ledger, NOW, Some(LOSSY));
    assert_eq!(lost, 2);
    assert_eq!(fires(verdicts.into_iter().next().unwrap(), "NoCommittedRecordLost"), Some(LOSSY));
}

#[test]
fn as_many_lossy_machines_as_min_insync_replicas_may_lose_what_others_give_up() {
    for (min_insync, exempt) in [(1, Some(SO_MANY)), (2, None)] {
        let mut ledger = sound();
        ledger.min_insync = min_insync;
        ledger.replica(LATE).lost = Some(10);
        for replica in [LEADER, FOLLOWER, LATE] {
            ledger.replica(replica).cut(5);
        }
        let (_, verdicts) = no_committed_record_lost::check(&mut ledger, NOW, None);
        assert_eq!(fires(verdicts.into_iter().next().unwrap(), "NoCommittedRecordLost"), exempt);
    }
}

#[test]
fn a_record_that_a_leader_alone_acknowledged_may_be_lost_and_is_told() {
    let mut ledger = sound();
    assert_eq!(ledger.promise(9, true), Ok(()));
    assert_eq!(fires(ledger.promise(9, false), "NoCommittedRecordLost"), None);
    ledger.acked.insert(9, 10);
    ledger.replica(LEADER).cut(9);
    let (lost, verdicts) = no_committed_record_lost::check(&mut ledger, NOW, None);
    assert_eq!(lost, 1);
    assert!(fires(verdicts.into_iter().next().unwrap(), "NoCommittedRecordLost").is_some());
}

/// The whole way, from what the simulator observes to what is told.
#[test]
fn what_brokers_write_and_cut_is_seen() {
    let batch = {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(Timestamp(7), None, Some(&Bytes::from_static(b"x")), &[]);
        batch.build()
    };
    let header = |base_offset| Stamp { base_offset, leader_epoch: 0, append_time: None }.header(&batch);
    let mut checks = Checks::default();
    let partitions = [assignment(LEADER, 0, &[LEADER, FOLLOWER])];
    let create = |path, data| Txn::Create { path, data: Some(data), ephemeral: false, parent_cversion: 1 };
    let multi = Txn::Multi(vec![
        create(znode::topic_path(&topic()), znode::topic(Uuid::from_u128(1), &partitions)),
        create(znode::state_path(&topic(), 0), znode::state(&partitions[0], 1)),
    ]);
    checks.logged(NOW, &multi, &Promises::default(), &mut Tally::default());
    assert_eq!(checks.ledgers[0].authority.as_ref().map(|authority| &authority.isr), Some(&partitions[0].isr));
    let (name, log) = (TopicPartition::new(topic(), 0), LogId(0));
    for broker in [LEADER, FOLLOWER] {
        checks.log_opened(broker, log, &name, 0);
        for offset in 0..10 {
            checks.appended(NOW, broker, log, &header(offset), &batch);
        }
    }
    let ledger = &mut checks.ledgers[0];
    ledger.replica(LEADER).process = Some(leads(0, 10, 0));
    assert!(ledger.commit(LEADER));
    checks.truncated(NOW, FOLLOWER, log, 9);
    let told: Vec<_> = checks.violations().iter().map(|violation| violation.invariant).collect();
    assert_eq!(told, ["ValidHighWatermark", "StrongIsr", "WeakIsr"]);
    checks.died(NOW, LEADER, Death::Killed, |_| 9);
    assert_eq!(checks.violations().last().unwrap().invariant, "NoCommittedRecordLost");
}

/// A batch at that offset: for every record its key, and its value unless it is a tombstone.
fn keyed(base_offset: Offset, records: &[(&str, Option<&str>)]) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        builder.append(Timestamp(7), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    let batch = builder.build();
    let stamp = Stamp { base_offset, leader_epoch: 0, append_time: None };
    Batch::parse([&stamp.apply(&batch)[..], &batch.payload()].concat().into()).unwrap()
}

/// A compacted partition: `a=1 a=2 b=1` and `a=-` behind it are committed on both replicas.
fn compacted() -> (Ledger, [Batch; 2]) {
    let mut ledger = Ledger::new(TopicPartition::new(topic(), 0), Uuid::from_u128(1));
    ledger.compact();
    ledger.authority = Some(assignment(LEADER, 0, &[LEADER, FOLLOWER]));
    let batches = [keyed(0, &[("a", Some("1")), ("a", Some("2")), ("b", Some("1"))]), keyed(3, &[("a", None)])];
    for id in [LEADER, FOLLOWER] {
        for batch in &batches {
            assert_eq!(last_value_kept::appended(&mut ledger, id, &batch.header, batch), Ok(()));
        }
        ledger.replica(id).process = Some(if id == LEADER { leads(0, 4, 0) } else { follows(0, 4) });
    }
    assert!(ledger.commit(LEADER));
    ledger.acked.insert(0, 4);
    (ledger, batches)
}

#[test]
fn compaction_may_take_what_a_later_record_supersedes_and_nothing_else() {
    let clean = |new: Vec<Batch>, now: i64| {
        let (mut ledger, [old, later]) = compacted();
        let replacement = Replacement { old: vec![old], new, later: vec![later] };
        let verdict = last_value_kept::check(&mut ledger, LEADER, Timestamp(now), &replacement);
        (verdict, ledger)
    };
    let (verdict, ledger) = clean(vec![keyed(2, &[("b", Some("1"))])], 0);
    assert_eq!(verdict, Ok(()));
    assert_eq!((ledger.removed.count(0, 9), ledger.acked.count(0, 9)), (2, 2));
    for verdict in [log_matching::check(&ledger, LEADER), strong_isr::check(&ledger), weak_isr::check(&ledger)] {
        assert_eq!(verdict, Ok(()), "each replica cleans for itself");
    }
    let received = |offset| Received { topic: Box::leak(Box::new(topic())), partition: 0, offset };
    let consumer: Arc<str> = "c1".into();
    assert_eq!(poll_skip::check(&ledger, &received(2), (&consumer, false), 0), Ok(()));
    assert_eq!(fires(poll_skip::check(&ledger, &received(3), (&consumer, false), 0), "PollSkip"), None);
    assert_eq!(lost_write::check(&ledger, &received(2), (&consumer, false), 0), Ok(()));

    let found = |new, now| clean(new, now).0.expect_err("the rule is broken").1;
    assert!(found(vec![], 0).contains("offset 2 on broker-1 is the last of its key and is gone"));
    assert!(found(vec![keyed(2, &[("b", Some("9"))])], 0).contains("offset 2 on broker-1 is another record now"));
    assert!(found(vec![keyed(2, &[("b", Some("1")), ("c", None)])], 0).contains("offset 3 on broker-1 comes out of"));
}

#[test]
fn compaction_may_take_a_tombstone_when_its_horizon_has_passed() {
    let (_, [_, tombstone]) = compacted();
    let raw = Record::decode(&tombstone).unwrap();
    assert!(raw[0].value.is_none());
    let mut horizon = tombstone.header;
    horizon.set_delete_horizon(true);
    horizon.base_timestamp = Timestamp(100);
    let payload = tombstone.payload();
    let old = Batch::parse([&horizon.seal(&payload)[..], &payload].concat().into()).unwrap();
    for (now, holds) in [(99, false), (100, true)] {
        let replacement = Replacement { old: vec![old.clone()], new: vec![], later: vec![] };
        let verdict = last_value_kept::check(&mut compacted().0, LEADER, Timestamp(now), &replacement);
        assert_eq!(verdict.is_ok(), holds, "{verdict:?}");
    }
}

#[test]
fn compaction_may_take_what_was_aborted_and_for_nothing_that_is_not_committed() {
    let at = |base_offset, batch: Batch| {
        let stamp = Stamp { base_offset, leader_epoch: 0, append_time: None };
        Batch::parse([&stamp.apply(&batch)[..], &batch.payload()].concat().into()).unwrap()
    };
    let plain = keyed(0, &[("a", Some("1"))]);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_producer(7, 0, 0);
    builder.set_transactional();
    builder.append(Timestamp(7), Some(b"a"), Some(b"2"), &[]);
    let of_transaction = at(1, builder.build());
    let marker = |commit| at(2, Marker { commit, coordinator_epoch: 0 }.batch(Timestamp(7), 7, 0));
    let check = |log: &[&Batch], new: &[&Batch]| {
        let owned = |batches: &[&Batch]| batches.iter().copied().cloned().collect::<Vec<_>>();
        let replacement = Replacement { old: owned(log), new: owned(new), later: vec![] };
        last_value_kept::check(&mut compacted().0, LEADER, Timestamp(0), &replacement).map_err(|why| why.1)
    };
    let (commit, abort) = (&marker(true), &marker(false));
    let log = [&plain, &of_transaction, commit];
    assert_eq!(check(&log, &log[1..]), Ok(()), "the committed one supersedes");
    let gone = check(&[&plain, &of_transaction], &[&of_transaction]).unwrap_err();
    assert!(gone.contains("offset 0 on broker-1 is the last of its key"), "by an open one: {gone}");
    let log = [&plain, &of_transaction, abort];
    assert_eq!(check(&log, &[&plain, abort]), Ok(()));
    let gone = check(&log, &log[1..]).unwrap_err();
    assert!(gone.contains("offset 0 on broker-1 is the last of its key"), "by an aborted one: {gone}");
    let gone = check(&log, &log[..2]).unwrap_err();
    assert!(gone.contains("offset 2 on broker-1 ends a transaction of which something is left"), "{gone}");
}

#[test]
fn a_follower_may_lack_what_was_cleaned_away_and_nothing_else() {
    let (mut ledger, [old, later]) = compacted();
    let new = keyed(2, &[("b", Some("1"))]);
    let replacement = Replacement { old: vec![old], new: vec![new.clone()], later: vec![later.clone()] };
    assert_eq!(last_value_kept::check(&mut ledger, LEADER, Timestamp(0), &replacement), Ok(()));
    assert_eq!(last_value_kept::appended(&mut ledger, LATE, &new.header, &new), Ok(()));
    assert_eq!(last_value_kept::appended(&mut ledger, LATE, &later.header, &later), Ok(()));
    assert_eq!(log_matching::check(&ledger, LATE), Ok(()));
    assert_eq!(
        fires(last_value_kept::appended(&mut ledger, BrokerId(4), &later.header, &later), "LastValueKept"),
        None,
        "b's record is missing"
    );
}

/// A group of two members that have each been given a partition in generation 3.
fn members() -> Groups {
    let mut groups = Groups::default();
    for (name, partition) in [("c1", 0), ("c2", 1)] {
        assert!(all_hold(groups.told(NOW, &name.into(), &given(name, 3, &[partition]))));
    }
    groups
}

fn of(partition: i32) -> TopicPartition {
    TopicPartition::new(topic(), partition)
}

fn given(member: &str, generation: i32, partitions: &[i32]) -> Report {
    let owned: Vec<TopicPartition> = partitions.iter().map(|partition| of(*partition)).collect();
    Report::Assigned {
        group: StrBytes::from_static_str("g"),
        member_id: StrBytes::from_string(member.to_owned()),
        instance_id: None,
        generation,
        added: owned.clone(),
        owned,
    }
}

fn committed(generation: i32, asked: Instant, offset: Offset) -> Report {
    Report::Committed { group: StrBytes::from_static_str("g"), generation, asked, offsets: vec![(of(0), offset)] }
}

fn gets(groups: &mut Groups, name: &str, offset: Offset) -> Vec<Verdict> {
    let topic = topic();
    groups.received(&name.into(), &Received { topic: &topic, partition: 0, offset }, || None, |_| false)
}

fn all_hold(verdicts: Vec<Verdict>) -> bool {
    verdicts.into_iter().all(|verdict| verdict.is_ok())
}

#[track_caller]
fn one_fires(verdicts: Vec<Verdict>, invariant: &str) {
    let fired: Vec<_> = verdicts.into_iter().filter_map(Verdict::err).collect();
    assert_eq!(fired.iter().map(|(fired, ..)| *fired).collect::<Vec<_>>(), [invariant], "{fired:?}");
}

#[test]
fn a_partition_that_two_members_get_in_one_generation_breaks_one_owner() {
    one_fires(members().told(NOW, &"c2".into(), &given("c2", 3, &[0, 1])), "OneOwner");
    assert!(all_hold(members().told(NOW, &"c2".into(), &given("c2", 4, &[0, 1]))), "c1 has missed a generation");
}

#[test]
fn a_generation_that_falls_breaks_monotonic_generation() {
    one_fires(members().told(NOW, &"c1".into(), &given("c1", 2, &[0])), "MonotonicGeneration");
    assert!(all_hold(members().told(NOW, &"c1".into(), &given("c1-again", 1, &[2]))), "another member");
}

#[test]
fn a_commit_of_what_another_owns_since_a_later_generation_breaks_stale_commit() {
    let later = Instant::from_millis(2_000);
    let mut groups = members();
    assert!(all_hold(groups.told(NOW, &"c1".into(), &committed(3, NOW, 5))));
    assert!(all_hold(groups.told(NOW, &"c2".into(), &given("c2", 4, &[0, 1]))));
    assert!(all_hold(groups.told(later, &"c1".into(), &committed(3, NOW, 5))), "it was on its way");
    one_fires(groups.told(later, &"c1".into(), &committed(3, later, 5)), "StaleCommit");
}

#[test]
fn who_takes_over_begins_where_the_group_has_committed_and_skips_nothing() {
    let take_over = || {
        let mut groups = members();
        (0..7).for_each(|offset| assert!(all_hold(gets(&mut groups, "c1", offset))));
        assert!(all_hold(groups.told(NOW, &"c1".into(), &committed(3, NOW, 5))));
        assert!(all_hold(groups.told(NOW, &"c2".into(), &given("c2", 4, &[0, 1]))));
        groups
    };
    one_fires(gets(&mut take_over(), "c2", 4), "CommittedOffsetKept");
    one_fires(gets(&mut take_over(), "c2", 8), "Unseen");
    for (offset, redelivered) in [(5, 1), (7, 0)] {
        let mut groups = take_over();
        assert!(all_hold(gets(&mut groups, "c2", offset)));
        assert_eq!(groups.get("g").unwrap().redelivered, redelivered);
    }
    let mut sought = take_over();
    sought.sought(&"c2".into(), &of(0), 100);
    assert!(all_hold(gets(&mut sought, "c2", 100)), "the application wants it so");
    let mut stale = take_over();
    stale.sought(&"c1".into(), &of(0), 2);
    assert!(all_hold(gets(&mut stale, "c1", 2)), "it has not heard of c2");
    one_fires(gets(&mut stale, "c2", 4), "CommittedOffsetKept");
    let mut late = take_over();
    assert!(all_hold(late.told(NOW, &"c1".into(), &given("c1", 3, &[0]))));
    assert!(all_hold(gets(&mut late, "c1", 2)), "it hears of its generation when the next has begun");
    one_fires(gets(&mut late, "c2", 4), "CommittedOffsetKept");
}

#[test]
fn time_without_a_reader_counts_from_the_death_of_one_to_the_next() {
    let mut groups = members();
    groups.ended(NOW, &"c1".into());
    let told = |groups: &Groups, at| {
        let group = groups.get("g").unwrap();
        (group.owner(&of(0)).map(|name| name.to_string()), group.longest_idle(Instant::from_millis(at)).as_millis())
    };
    assert_eq!(told(&groups, 3_000), (None, 2_000));
    assert!(all_hold(groups.told(Instant::from_millis(4_000), &"c2".into(), &given("c2", 4, &[0, 1]))));
    assert_eq!(told(&groups, 9_000), (Some("c2".to_owned()), 3_000));
    assert_eq!(groups.get("g").unwrap().rebalances(), 2);
}

#[test]
fn a_partition_of_a_live_group_that_nobody_owns_breaks_eventually_owned() {
    let consumer = ConsumerView {
        name: "c1".to_owned(),
        group: Some("g".to_owned()),
        topics: vec!["orders".to_owned()],
        ..ConsumerView::default()
    };
    let member = MemberView { assigned: vec![("orders".to_owned(), 0)], ..MemberView::default() };
    let group =
        GroupView { id: "g".to_owned(), state: "Stable".to_owned(), members: vec![member], ..GroupView::default() };
    let topic = TopicView { name: "orders".to_owned(), partitions: 1, ..TopicView::default() };
    let sound = View { consumers: vec![consumer], groups: vec![group], topics: vec![topic], ..View::default() };
    assert_eq!(eventually_owned::check(&sound), Ok(()));
    let broken = |breaks: fn(&mut View)| {
        let mut view = sound.clone();
        breaks(&mut view);
        eventually_owned::check(&view).unwrap_err()
    };
    assert_eq!(broken(|view| view.groups[0].members[0].assigned.clear()), "group g: nobody owns orders-0");
    assert_eq!(broken(|view| view.groups[0].state = "PreparingRebalance".to_owned()), "group g is PreparingRebalance");
    assert_eq!(broken(|view| view.groups.clear()), "nobody coordinates group g");
    assert_eq!(broken(|view| view.groups[0].members.clear()), "group g has 0 members, and 1 consumers are in it");
    assert_eq!(broken(|view| view.consumers[0].unplaced = 1), "c1 does not know where to begin");
}
